/* SPDX-License-Identifier: MIT */
/*
 * Pool threads. One that has run out of work looks around for a moment, then parks; parked longest, it leaves.
 *
 * Waking costs the waker 5-7 us, and a thread that wakes on the waker's processor pushes it off. So it is done rarely: not
 * while a thread is attentive, which means that it looks around, or is at work on a turn that is known to be over soon,
 * or has been woken and is on its way; and by the thread that found more than it can do rather than by the emitter. No
 * wake-up is lost:
 *
 *     a producer     inserts a turn, then reads `attentive`, then `parked_count`
 *     a thread       becomes attentive ... looks in vain ... joins the parked, is attentive no more, then looks once more
 *     or             becomes attentive ... takes a turn that may take long, is attentive no more, then looks once more
 *
 * All of these are sequentially consistent. If the producer saw somebody attentive, that one has not yet looked for the
 * last time (or its start fails, and the monitor is told): it will see the turn, and either take it or, having taken another
 * that may take long, call somebody else for it; so one call is enough for any number of turns. If the producer saw nobody
 * attentive, it sees everybody who parked before.
 *
 * What is known may be wrong: the monitor watches while turns wait for a quick thread, calls another if no turn is taken,
 * and does not count one as quick that has been in one attempt from one look to the next.
 *
 * That holds for turns that become ready. A thread that puts its own turn back calls nobody if its handlers are fast and
 * as many threads are at work as there are processors, or little is behind it: it comes back for the turn itself, or goes on
 * without another one while no other is ready (faas__thread_stays); and should it be held up, the monitor sees that nobody
 * takes a turn or goes on, and calls one.
 *
 * Threads are started by the monitor, and by pool threads that find more than they can do: emitters never pay for it, and
 * a failure is tried again by the monitor at the next tick. From its start on a thread counts as one that has been woken.
 *
 * A pool thread that starts or wakes another one keeps it off its own processor first: while that one sleeps, or waits for
 * threads_mu at its beginning. It lets itself go before it does anything else, so there is never more than one at it, the host's
 * on_thread_start comes after it, and nothing inherits it.
 */
#include "executor/executor.h"

#define LOOKS_PER_CLOCK 16    /* looks at the run queue between two looks at the clock */
#define PATIENT_LOOKS 8       /* in vain, in a row, before it looks only briefly: */
#define BRIEFER 32            /* for such a part of the time */
#define PARKED_LOOKS 8        /* at most, for a thread to wake */
#define WORTH_WAKING_NS 20000 /* of work that waits before a quick thread calls another */

int faas__thread_init(struct thread *thread, struct executor *executor, bool is_guest)
{
	thread->executor = executor;
	thread->is_guest = is_guest;
	list_init(&thread->node);
	return faas__parking_init(&thread->parking);
}

void faas__thread_deinit(struct thread *thread)
{
	while (load_acquire(&thread->wakers) != 0)
		faas__thread_yield();
	faas__parking_deinit(&thread->parking);
}

/* ---- Parking ----------------------------------------------------------------------------------------------------- */

static void push_parked(struct executor *executor, struct thread *thread)
{
	faas__mutex_lock(&executor->idle_mu);
	thread->is_parked = true;
	thread->parked_cpu = faas__thread_cpu();
	thread->parked_below = executor->parked;
	executor->parked = thread;
	add_seq_cst(&executor->parked_count, 1);
	faas__mutex_unlock(&executor->idle_mu);
}

/* False: somebody has taken it off already, and will wake it. */
static bool remove_parked(struct executor *executor, struct thread *thread)
{
	struct thread **at = &executor->parked;
	bool was_parked;

	faas__mutex_lock(&executor->idle_mu);
	was_parked = thread->is_parked;
	if (was_parked) {
		while (*at != thread)
			at = &(*at)->parked_below;
		*at = thread->parked_below;
		thread->is_parked = false;
		sub_seq_cst(&executor->parked_count, 1);
	}
	faas__mutex_unlock(&executor->idle_mu);
	return was_parked;
}

/*
 * Where in the stack of parked threads the one to wake is: that which parked last, or rather the last of those that did
 * so on another processor. Systems tend to wake a thread where it slept. On this processor it would push the waker off,
 * which is most likely about to make more work: it would find one event, run it, look around in vain, and park, and all
 * this again for the next event, while another processor idles.
 */
static struct thread **find_parked(struct executor *executor) holds_lock(executor->idle_mu)
{
	struct thread **at = &executor->parked;
	const int here = faas__thread_cpu();

	for (int looks = 0; *at && looks < PARKED_LOOKS; looks++, at = &(*at)->parked_below)
		if ((*at)->parked_cpu != here)
			return at;
	return &executor->parked;
}

/* Says what others may count on from now on. */
static void set_state(struct thread *thread, uint64_t state)
{
	uint64_t before = load_relaxed(&thread->state), adds;

	if (before == state)
		return;
	/* Before the look at wake_at of whoever begins an attempt: the monitor must see either this or a poke. */
	before = exchange_seq_cst(&thread->state, state);
	adds = (state & ~THREAD_IDLE) - (before & ~THREAD_IDLE);
	if (adds != 0)
		add_seq_cst(&thread->executor->attentive, adds);
}

/*
 * Counts the thread as attentive from now on: no second one is woken while the first is on its way. `cpu`: where it would push
 * off its waker, which is at work for long; -1: anywhere.
 */
bool faas__thread_wake_parked(struct executor *executor, int cpu)
{
	struct thread **at, *thread;

	faas__mutex_lock(&executor->idle_mu);
	at = find_parked(executor);
	thread = *at;
	if (thread) {
		*at = thread->parked_below;
		thread->is_parked = false;
		add_relaxed(&thread->wakers, 1);
		sub_seq_cst(&executor->parked_count, 1);
	}
	faas__mutex_unlock(&executor->idle_mu);
	if (!thread)
		return false;
	add_seq_cst(&executor->attentive, THREAD_WOKEN);
	if (faas__thread_keep_off(&thread->handle, cpu))
		thread->kept_off = cpu + 1;
	faas__parking_wake(&thread->parking);
	/* It may be up and away by now, and so it does not go before its wakers have. */
	sub_acq_rel(&thread->wakers, 1);
	return true;
}

/* What is ready is left to a thread that may be held up: then the monitor is to see that no turn is taken. */
static void leave_to_quick(struct executor *executor)
{
	if (load_relaxed(&executor->monitor.is_relied_on) == 0)
		store_seq_cst(&executor->monitor.is_relied_on, 1);
	faas__monitor_tick_soon(executor);
}

void faas__executor_wake(struct executor *executor)
{
	uint64_t attentive = load_seq_cst(&executor->attentive);

	if ((attentive & LOOKING_MASK) != 0)
		return;
	if (attentive == 0)
		(void)faas__executor_wake_more(executor, NULL);
	else
		leave_to_quick(executor);
}

/* Wakes one, or sees to it that one is started. False: none is parked, and all there are to be have been. */
static bool call_one(struct executor *executor, const struct thread *thread)
{
	const bool is_at_work = thread && !thread->is_guest;
	const int cpu = faas__thread_cpu();

	if (load_seq_cst(&executor->parked_count) > 0 && faas__thread_wake_parked(executor, is_at_work ? cpu : -1))
		return true;
	if ((int64_t)load_relaxed(&executor->thread_count) >= executor->base_threads)
		return false;
	if (is_at_work && load_relaxed(&executor->starts_fail) == 0 &&
	    faas__thread_start_one(executor, (uint32_t)executor->base_threads, cpu)) {
		/* What the host does at its start may take long. */
		faas__monitor_tick(executor);
	} else {
		store_seq_cst(&executor->monitor.wants_thread, (uint32_t)(cpu + 2));
		faas__monitor_poke(executor);
	}
	return true;
}

bool faas__executor_wake_more(struct executor *executor, struct thread *thread)
{
	if (faas__executor_is_manual(executor) ||
	    (load_seq_cst(&executor->attentive) & (LOOKING_MASK | WOKEN_MASK)) != 0)
		return false;
	if ((load_seq_cst(&executor->parked_count) > 0 ||
	     (int64_t)load_relaxed(&executor->thread_count) < executor->base_threads) &&
	    call_one(executor, thread))
		return true;
	/* Everybody is busy; should they turn out to be blocked, the monitor adds threads. */
	faas__monitor_tick(executor);
	return false;
}

/* Whoever started or woke the thread has kept it off a processor: from now on it goes where it could before. */
static void let_go(struct thread *thread)
{
	if (thread->kept_off != 0)
		faas__thread_let_go(&thread->handle, thread->kept_off - 1);
	thread->kept_off = 0;
}

/* Sleeps until woken. False: nobody came for the whole time, and the thread is off the stack. */
static bool sleep_parked(struct executor *executor, struct thread *thread)
{
	if (!faas__parking_wait(&thread->parking, executor->thread_idle_ns)) {
		if (remove_parked(executor, thread))
			return false;
		/* Whoever took it off the stack wakes it, perhaps a little later: that must not hit its next sleep. */
		while (!faas__parking_wait(&thread->parking, TIME_NEVER))
			continue;
	}
	/* As its waker has counted it. */
	store_seq_cst(&thread->state, THREAD_WOKEN);
	let_go(thread);
	return true;
}

/* ---- Looking for work -------------------------------------------------------------------------------------------- */

static bool is_stopping(struct executor *executor)
{
	return load_seq_cst(&executor->is_stopping) != 0;
}

/*
 * Looks around for up to spin_ns, or gives way a few times. Where events come too seldom for that to be of use, it soon
 * looks for less long: that saves processor time, and a thread that has used little is woken sooner by systems that
 * share a processor out evenly.
 *
 * Where enough look already, one more is too many as soon as it has seen one of them look. Not before: whoever woke on its
 * processor may have pushed it off, and nobody else would come while it seems to be looking.
 */
static struct turn *look_around(struct executor *executor, struct thread *thread)
{
	int64_t until = 0, now;
	uint32_t yields = executor->yields, seen = load_relaxed(&executor->looks);
	struct turn *turn;
	bool is_extra;

	set_state(thread, THREAD_LOOKING);
	is_extra = faas__executor_looking(executor) > executor->max_looking;
	for (uint32_t looks = 0;; looks++) {
		turn = faas__turn_next(executor);
		if (turn) {
			thread->looks_in_vain = 0;
			return turn;
		}
		if (is_stopping(executor))
			return NULL;
		if (executor->spin_ns == 0) {
			if (yields-- == 0)
				return NULL;
			faas__thread_yield();
			continue;
		}
		cpu_relax();
		if (looks % LOOKS_PER_CLOCK != 0)
			continue;
		now = faas__executor_now(executor);
		if (until == 0)
			until = now + (thread->looks_in_vain < PATIENT_LOOKS ? executor->spin_ns : executor->spin_ns / BRIEFER);
		if (now >= until) {
			thread->looks_in_vain++;
			thread->gave_up_at = now;
			return NULL;
		}
		/* The others have found something to do. */
		if (faas__executor_looking(executor) <= executor->max_looking)
			is_extra = false;
		if (!is_extra)
			bump_relaxed(&executor->looks, 1);
		else if (load_relaxed(&executor->looks) != seen)
			return NULL;
		if (load_relaxed(&executor->published_now) != 0)
			faas__executor_publish(executor, now);
	}
}

void faas__thread_slow_down(struct thread *thread)
{
	if (thread->is_guest || load_relaxed(&thread->state) == THREAD_BUSY)
		return;
	set_state(thread, THREAD_BUSY);
	if (faas__run_queue_has_turns(&thread->executor->run_queue))
		faas__executor_wake(thread->executor);
}

bool faas__thread_stays(struct thread *thread, const struct turn *turn, bool wake)
{
	bump_relaxed(&thread->stays, 1);
	if (load_relaxed(&turn->expected_ns) == 0)
		faas__thread_slow_down(thread);
	return wake && faas__run_queue_has_turns(&thread->executor->run_queue) &&
	       faas__executor_wake_more(thread->executor, thread);
}

/*
 * Says how long the turn will keep the thread. If that may be long and more is ready, others are called: producers who saw
 * this thread come by rely on it. If it is known not to be long, they are left to wait, unless that would be for long.
 */
static struct turn *begin(struct executor *executor, struct thread *thread, struct turn *turn)
{
	if (load_relaxed(&turn->expected_ns) == 0) {
		faas__thread_slow_down(thread);
		return turn;
	}
	set_state(thread, THREAD_QUICK);
	if (!faas__run_queue_has_turns(&executor->run_queue))
		return turn;
	if (load_relaxed(&executor->run_queue.expected_ns) > WORTH_WAKING_NS)
		(void)faas__executor_wake_more(executor, thread);
	leave_to_quick(executor);
	return turn;
}

/* Parks until there may be work. False: nobody came for so long that the thread should leave. */
static bool park(struct executor *executor, struct thread *thread)
{
	/* Nobody keeps the published time fresh while this thread sleeps; others that run will publish again. */
	store_relaxed(&executor->published_now, 0);
	push_parked(executor, thread);
	set_state(thread, THREAD_PARKED);
	if ((faas__run_queue_has_turns(&executor->run_queue) || is_stopping(executor)) && remove_parked(executor, thread))
		return true;
	return sleep_parked(executor, thread) || is_stopping(executor) || faas__run_queue_has_turns(&executor->run_queue);
}

/* The next turn, after as long as it takes. NULL: the thread should leave. */
static struct turn *await_turn(struct executor *executor, struct thread *thread)
{
	struct turn *turn = faas__turn_next(executor);
	bool stays = true;

	while (!turn && stays && !is_stopping(executor)) {
		if (faas__executor_looking(executor) < executor->most_looking)
			turn = look_around(executor, thread);
		if (!turn) {
			stays = park(executor, thread);
			turn = faas__turn_next(executor);
			/* Nobody else could have taken it: a little more patience would have paid. */
			if (turn && load_relaxed(&executor->attentive) == THREAD_WOKEN &&
			    faas__executor_now(executor) - thread->gave_up_at < executor->spin_ns)
				thread->looks_in_vain = 0;
		}
	}
	if (turn)
		return begin(executor, thread, turn);
	set_state(thread, THREAD_BUSY);
	return NULL;
}

/* ---- The life of a thread ---------------------------------------------------------------------------------------- */

/*
 * Once listed in `left` and unlocked, a stopping executor may be gone at any moment; one that is not stopping lives on
 * while this thread has not been joined.
 */
static void leave(struct executor *executor, struct thread *thread)
{
	bool stops, is_last;

	faas__mutex_lock(&executor->threads_mu);
	list_remove(&thread->node);
	executor->ops.thread_unlisted(thread);
	is_last = sub_seq_cst(&executor->thread_count, 1) == 1 && executor->is_detached;
	/* The last one is joined by nobody: the monitor would wait for it, and it for the monitor. */
	if (!is_last)
		list_push_back(&executor->left, &thread->node);
	stops = is_stopping(executor);
	faas__cond_broadcast(&executor->threads_cond);
	faas__mutex_unlock(&executor->threads_mu);
	if (is_last) {
		faas__thread_detach_self();
		executor->ops.last_left(thread);
	} else if (!stops) {
		/* To be joined soon, even where everything else rests. */
		faas__monitor_poke(executor);
		/* A turn that became ready since this thread last looked found it neither parked nor gone. */
		if (faas__run_queue_has_turns(&executor->run_queue))
			faas__executor_wake(executor);
	}
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	struct executor *executor = thread->executor;
	struct turn *turn;

	faas__thread_set_name(executor->thread_name);
	/* Its maker is done with it then. */
	faas__mutex_lock(&executor->threads_mu);
	faas__mutex_unlock(&executor->threads_mu);
	let_go(thread);
	store_relaxed(&thread->number, faas__thread_number());
	executor->ops.thread_begin(thread);
	while ((turn = await_turn(executor, thread)) != NULL)
		(void)turn->take(turn, thread);
	executor->ops.thread_end(thread);
	leave(executor, thread);
	return NULL;
}

static void raise_peak(struct executor *executor, uint32_t count)
{
	if (count > load_relaxed(&executor->threads_peak))
		store_relaxed(&executor->threads_peak, count);
}

bool faas__thread_start_one(struct executor *executor, uint32_t most, int cpu)
{
	struct thread *thread = executor->ops.thread_new(executor);
	bool is_wanted = true, starts = false;

	if (thread) {
		/* It is on its way from now on, as if it had been woken. */
		store_relaxed(&thread->state, THREAD_WOKEN);
		add_seq_cst(&executor->attentive, THREAD_WOKEN);
		/* Under the lock, so that the thread is listed before it can leave. */
		faas__mutex_lock(&executor->threads_mu);
		is_wanted = !is_stopping(executor) && load_relaxed(&executor->thread_count) < most;
		if (is_wanted)
			starts = faas__thread_start(&thread->handle, executor->stack_bytes, thread_main, thread) == FAAS_OK;
		if (starts) {
			list_push_back(&executor->threads, &thread->node);
			raise_peak(executor, add_relaxed(&executor->thread_count, 1) + 1);
			add_relaxed(&executor->threads_started, 1);
			if (faas__thread_keep_off(&thread->handle, cpu))
				thread->kept_off = cpu + 1;
		}
		faas__mutex_unlock(&executor->threads_mu);
		if (!starts) {
			sub_seq_cst(&executor->attentive, THREAD_WOKEN);
			executor->ops.thread_free(thread);
		}
	}
	if (!starts && is_wanted)
		add_relaxed(&executor->thread_failures, 1);
	if (is_wanted)
		store_relaxed(&executor->starts_fail, !starts);
	return starts;
}

void faas__threads_reap(struct executor *executor)
{
	for (;;) {
		struct list *node;
		struct thread *thread;

		faas__mutex_lock(&executor->threads_mu);
		node = list_pop_front(&executor->left);
		faas__mutex_unlock(&executor->threads_mu);
		if (!node)
			return;
		thread = container_of(node, struct thread, node);
		faas__thread_join(&thread->handle);
		executor->ops.thread_free(thread);
	}
}

void faas__executor_add_guest(struct executor *executor, struct thread *thread)
{
	faas__mutex_lock(&executor->threads_mu);
	list_push_back(&executor->threads, &thread->node);
	faas__mutex_unlock(&executor->threads_mu);
}

void faas__executor_remove_guest(struct executor *executor, struct thread *thread)
{
	faas__mutex_lock(&executor->threads_mu);
	list_remove(&thread->node);
	executor->ops.thread_unlisted(thread);
	faas__mutex_unlock(&executor->threads_mu);
}

bool faas__executor_step(struct executor *executor, struct thread *thread)
{
	struct turn *turn;

	while ((turn = faas__turn_next(executor)) != NULL)
		if (turn->take(turn, thread))
			return true;
	return false;
}

void faas__thread_wait_begin(struct thread *thread)
{
	if (thread->is_guest)
		return;
	faas__thread_slow_down(thread);
	store_seq_cst(&thread->is_waiting, 1);
	if (faas__run_queue_has_turns(&thread->executor->run_queue))
		faas__monitor_tick_soon(thread->executor);
}

void faas__thread_wait_end(struct thread *thread)
{
	if (!thread->is_guest)
		store_release(&thread->is_waiting, 0);
}

void faas__thread_stuck_begin(struct thread *thread)
{
	if (thread->is_guest || add_acq_rel(&thread->stuck, 1) != 0)
		return;
	add_seq_cst(&thread->executor->stuck_threads, 1);
	if (faas__run_queue_has_turns(&thread->executor->run_queue))
		faas__monitor_tick_soon(thread->executor);
}

void faas__thread_stuck_end(struct thread *thread)
{
	if (!thread->is_guest && sub_acq_rel(&thread->stuck, 1) == 1)
		sub_seq_cst(&thread->executor->stuck_threads, 1);
}
