/* SPDX-License-Identifier: MIT */
/*
 * Pool threads. One that has run out of work looks around for a moment, then parks; parked longest, it leaves.
 *
 * Waking costs the waker 5-7 us, so it is done rarely: not while a thread looks around, and by the thread that found
 * more than it can do rather than by the emitter. No wake-up is lost:
 *
 *     a producer     inserts a turn (count + 1), then reads `looking`, then `parked_count`
 *     a thread       looking + 1 ... looks in vain ... joins the parked, looking - 1, then reads count once more
 *
 * All of these are sequentially consistent. If the producer saw somebody looking, that one has not yet read the count
 * for the last time and will see the turn; if it saw nobody looking, it sees everybody who parked before. A thread that
 * was idle and takes a turn passes the call on if more turns wait, so one call is enough for any number of turns.
 *
 * That holds for turns that become ready. A thread that puts its own turn back calls nobody if its handlers are fast and
 * as many threads are at work as there are processors: it comes back for the turn itself, and should it be held up, the
 * monitor sees that no turn is taken and calls one.
 *
 * Threads are started by the monitor alone: emitters never pay for it, and a failure is tried again at the next tick.
 */
#include "executor/executor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LOOKS_PER_CLOCK 16 /* looks at the run queue between two looks at the clock */
#define PARKED_LOOKS 8     /* at most, for a thread to wake */

int faas__thread_init(struct thread *thread, struct executor *executor, bool is_guest)
{
	thread->executor = executor;
	thread->is_guest = is_guest;
	list_init(&thread->node);
	if (faas__mutex_init(&thread->mu) != FAAS_OK)
		return FAAS_ETHREAD;
	if (faas__cond_init(&thread->cond) != FAAS_OK) {
		faas__mutex_deinit(&thread->mu);
		return FAAS_ETHREAD;
	}
	return FAAS_OK;
}

void faas__thread_deinit(struct thread *thread)
{
	while (load_acquire(&thread->wakers) != 0)
		faas__thread_yield();
	faas__cond_deinit(&thread->cond);
	faas__mutex_deinit(&thread->mu);
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
 * Signals without the lock, which the woken thread would only run into: that is two more switches. It may be up and away
 * before the signal is sent, and so it does not go before its wakers have.
 */
static void wake(struct thread *thread)
{
	faas__mutex_lock(&thread->mu);
	thread->is_woken = true;
	faas__mutex_unlock(&thread->mu);
	faas__cond_signal(&thread->cond);
	sub_acq_rel(&thread->wakers, 1);
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

static bool wake_one_parked(struct executor *executor)
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
	if (thread)
		wake(thread);
	return thread != NULL;
}

void faas__executor_wake(struct executor *executor)
{
	if (faas__executor_is_manual(executor) || load_seq_cst(&executor->looking) > 0)
		return;
	if (load_seq_cst(&executor->parked_count) > 0 && wake_one_parked(executor))
		return;
	if ((int64_t)load_relaxed(&executor->thread_count) < executor->base_threads) {
		store_seq_cst(&executor->monitor.wants_thread, 1);
		faas__monitor_poke(executor);
		return;
	}
	/* Everybody is busy; should they turn out to be blocked, the monitor adds threads. */
	faas__monitor_tick(executor);
}

/* Sleeps until woken. False: nobody came for the whole time, and the thread is off the stack. */
static bool sleep_parked(struct executor *executor, struct thread *thread)
{
	bool was_woken;

	faas__mutex_lock(&thread->mu);
	while (!thread->is_woken && !faas__cond_wait_ns(&thread->cond, &thread->mu, executor->thread_idle_ns))
		continue;
	was_woken = thread->is_woken;
	faas__mutex_unlock(&thread->mu);
	if (was_woken || !remove_parked(executor, thread))
		return true;
	return false;
}

/* Whoever took a thread off the stack wakes it, perhaps a little later: that call must not hit its next sleep. */
static void await_wake(struct thread *thread)
{
	faas__mutex_lock(&thread->mu);
	while (!thread->is_woken)
		faas__cond_wait(&thread->cond, &thread->mu);
	thread->is_woken = false;
	faas__mutex_unlock(&thread->mu);
}

/* ---- Looking for work -------------------------------------------------------------------------------------------- */

static bool is_stopping(struct executor *executor)
{
	return load_seq_cst(&executor->is_stopping) != 0;
}

/*
 * Looks around for up to spin_ns, or gives way a few times. `looking` is held on return if nothing was found.
 *
 * Where enough look already, one more is too many as soon as it has seen one of them look. Not before: whoever woke on its
 * processor may have pushed it off, and nobody else would come while it seems to be looking.
 */
static struct turn *look_around(struct executor *executor)
{
	int64_t until = 0, now;
	uint32_t yields = executor->yields, seen = load_relaxed(&executor->looks);
	bool is_extra = (int64_t)add_seq_cst(&executor->looking, 1) >= executor->max_looking;
	struct turn *turn;

	for (uint32_t looks = 0;; looks++) {
		turn = faas__turn_next(executor);
		if (turn) {
			sub_seq_cst(&executor->looking, 1);
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
			until = now + executor->spin_ns;
		if (now >= until)
			return NULL;
		/* The others have found something to do. */
		if ((int64_t)load_relaxed(&executor->looking) <= executor->max_looking)
			is_extra = false;
		if (!is_extra)
			bump_relaxed(&executor->looks, 1);
		else if (load_relaxed(&executor->looks) != seen)
			return NULL;
		if (load_relaxed(&executor->published_now) != 0)
			store_relaxed(&executor->published_now, now);
	}
}

/* Whoever was idle and takes a turn calls another thread if there is more: producers rely on it. */
static struct turn *pass_on(struct executor *executor, struct turn *turn)
{
	if (load_seq_cst(&executor->run_queue.count) > 0)
		faas__executor_wake(executor);
	return turn;
}

/* Parks until there may be work. False: nobody came for so long that the thread should leave. */
static bool park(struct executor *executor, struct thread *thread)
{
	/* Nobody keeps the published time fresh while this thread sleeps; others that run will publish again. */
	store_relaxed(&executor->published_now, 0);
	push_parked(executor, thread);
	sub_seq_cst(&executor->looking, 1);
	if ((load_seq_cst(&executor->run_queue.count) > 0 || is_stopping(executor)) && remove_parked(executor, thread))
		return true;
	if (sleep_parked(executor, thread)) {
		await_wake(thread);
		return true;
	}
	return is_stopping(executor) || load_seq_cst(&executor->run_queue.count) > 0;
}

/* The next turn, after as long as it takes. NULL: the thread should leave. */
static struct turn *await_turn(struct executor *executor, struct thread *thread)
{
	struct turn *turn = faas__turn_next(executor);
	bool stays = true;

	if (turn)
		return turn;
	store_seq_cst(&thread->is_idle, 1);
	while (!turn && stays && !is_stopping(executor)) {
		if ((int64_t)load_relaxed(&executor->looking) >= executor->most_looking)
			add_seq_cst(&executor->looking, 1);
		else
			turn = look_around(executor);
		if (!turn) {
			stays = park(executor, thread);
			turn = faas__turn_next(executor);
		}
	}
	if (!turn)
		return NULL;
	/* Before the look at wake_at of whoever begins an attempt: the monitor must see either this or a poke. */
	store_seq_cst(&thread->is_idle, 0);
	return pass_on(executor, turn);
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
	executor->ops->thread_unlisted(thread);
	is_last = sub_seq_cst(&executor->thread_count, 1) == 1 && executor->is_detached;
	/* The last one is joined by nobody: the monitor would wait for it, and it for the monitor. */
	if (!is_last)
		list_push_back(&executor->left, &thread->node);
	stops = is_stopping(executor);
	faas__cond_broadcast(&executor->threads_cond);
	faas__mutex_unlock(&executor->threads_mu);
	if (is_last) {
		faas__thread_detach_self();
		executor->ops->last_left(thread);
	} else if (!stops) {
		/* To be joined soon, even where everything else rests. */
		faas__monitor_poke(executor);
		/* A turn that became ready since this thread last looked found it neither parked nor gone. */
		if (load_seq_cst(&executor->run_queue.count) > 0)
			faas__executor_wake(executor);
	}
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	struct executor *executor = thread->executor;
	struct turn *turn;

	faas__thread_set_name(executor->thread_name);
	store_relaxed(&thread->number, faas__thread_number());
	executor->ops->thread_begin(thread);
	while ((turn = await_turn(executor, thread)) != NULL)
		(void)turn->ops->take(turn, thread);
	executor->ops->thread_end(thread);
	leave(executor, thread);
	return NULL;
}

static void raise_peak(struct executor *executor, uint32_t count)
{
	if (count > load_relaxed(&executor->threads_peak))
		store_relaxed(&executor->threads_peak, count);
}

void faas__thread_start_one(struct executor *executor)
{
	struct thread *thread = executor->ops->thread_new(executor);
	int error = FAAS_ETHREAD;

	if (!thread) {
		add_relaxed(&executor->thread_failures, 1);
		return;
	}
	/* Under the lock, so that the thread is listed before it can leave. */
	faas__mutex_lock(&executor->threads_mu);
	if (!is_stopping(executor))
		error = faas__thread_start(&thread->handle, executor->stack_bytes, thread_main, thread);
	if (error == FAAS_OK) {
		list_push_back(&executor->threads, &thread->node);
		raise_peak(executor, add_relaxed(&executor->thread_count, 1) + 1);
		add_relaxed(&executor->threads_started, 1);
	}
	faas__mutex_unlock(&executor->threads_mu);
	if (error == FAAS_OK)
		return;
	add_relaxed(&executor->thread_failures, 1);
	executor->ops->thread_free(thread);
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
		executor->ops->thread_free(thread);
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
	executor->ops->thread_unlisted(thread);
	faas__mutex_unlock(&executor->threads_mu);
}

bool faas__executor_step(struct executor *executor, struct thread *thread)
{
	struct turn *turn;

	while ((turn = faas__turn_next(executor)) != NULL)
		if (turn->ops->take(turn, thread))
			return true;
	return false;
}

void faas__thread_wait_begin(struct thread *thread)
{
	if (thread->is_guest)
		return;
	store_seq_cst(&thread->is_waiting, 1);
	if (load_seq_cst(&thread->executor->run_queue.count) > 0)
		faas__monitor_tick(thread->executor);
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
	if (load_seq_cst(&thread->executor->run_queue.count) > 0)
		faas__monitor_tick(thread->executor);
}

void faas__thread_stuck_end(struct thread *thread)
{
	if (!thread->is_guest && sub_acq_rel(&thread->stuck, 1) == 1)
		sub_seq_cst(&thread->executor->stuck_threads, 1);
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

/* Half of the threads that can run at a time: those that have work are not to wait for those that look for it. */
static int32_t max_looking(const struct executor *executor)
{
	int32_t cpus = (int32_t)executor->cpus;
	int32_t threads = executor->base_threads < cpus ? executor->base_threads : cpus;

	return threads > 1 ? threads / 2 : 1;
}

int faas__executor_init(struct executor *executor, const struct executor_config *config)
{
	struct mutex *mutexes[] = {&executor->run_queue.mu, &executor->idle_mu, &executor->threads_mu,
	                           &executor->timers_mu, &executor->monitor.mu, &executor->visit_mu};
	const size_t count = sizeof(mutexes) / sizeof(mutexes[0]);
	size_t made = 0;

	memset(executor, 0, sizeof(*executor));
	executor->ops = config->ops;
	executor->allocator = config->allocator;
	executor->clock = config->clock;
	executor->base_threads = config->threads;
	executor->max_threads = config->max_threads;
	executor->max_overruns = config->max_overruns;
	executor->spin_ns = (int64_t)config->spin_us * 1000;
	executor->yields = config->yields;
	executor->cpus = (uint32_t)faas__cpu_count();
	executor->max_looking = max_looking(executor);
	/* On one core nobody sees another look. */
	executor->most_looking = executor->spin_ns > 0 && executor->cpus > 1 ? 2 * executor->max_looking : executor->max_looking;
	executor->thread_idle_ns = config->thread_idle_ns;
	executor->stack_bytes = config->stack_bytes;
	(void)snprintf(executor->thread_name, sizeof(executor->thread_name), "%s", config->thread_name);
	executor->run_queue.draw.state = config->draw_seed;
	list_init(&executor->threads);
	list_init(&executor->left);
	store_relaxed(&executor->shortest_ns, TIME_NEVER);
	store_relaxed(&executor->monitor.wake_at, TIME_NEVER);
	while (made < count && faas__mutex_init(mutexes[made]) == FAAS_OK)
		made++;
	if (made < count)
		goto fail_mutex;
	if (faas__cond_init(&executor->threads_cond) != FAAS_OK)
		goto fail_mutex;
	if (faas__cond_init(&executor->monitor.cond) != FAAS_OK)
		goto fail_cond;
	if (!faas__executor_is_manual(executor) && faas__monitor_start(executor) != FAAS_OK)
		goto fail_monitor;
	return FAAS_OK;
fail_monitor:
	faas__cond_deinit(&executor->monitor.cond);
fail_cond:
	faas__cond_deinit(&executor->threads_cond);
fail_mutex:
	while (made > 0)
		faas__mutex_deinit(mutexes[--made]);
	return FAAS_ETHREAD;
}

void faas__executor_stop(struct executor *executor)
{
	/* Under the lock: no thread is started after this. */
	faas__mutex_lock(&executor->threads_mu);
	store_seq_cst(&executor->is_stopping, 1);
	faas__mutex_unlock(&executor->threads_mu);
	while (wake_one_parked(executor))
		continue;
}

/* Whether a thread runs user code, which may take for ever. */
static bool is_occupied(const struct thread *thread)
{
	return faas__slot_is_running(&thread->slots[0]);
}

int faas__executor_join(struct executor *executor, int64_t until)
{
	int occupied, present;

	faas__mutex_lock(&executor->threads_mu);
	for (;;) {
		occupied = 0;
		present = 0;
		list_each(node, &executor->threads) {
			const struct thread *thread = container_of(node, const struct thread, node);
			bool runs = is_occupied(thread);

			/* Idle guests stay on the list. */
			present += runs || !thread->is_guest;
			occupied += runs;
		}
		if (present == 0 || (present == occupied && faas__executor_now(executor) >= until))
			break;
		/* The others are between two turns; they leave without being asked again. */
		(void)faas__cond_wait_ns(&executor->threads_cond, &executor->threads_mu, TICK_NS);
	}
	faas__mutex_unlock(&executor->threads_mu);
	faas__threads_reap(executor);
	return occupied;
}

bool faas__executor_detach(struct executor *executor)
{
	bool is_occupied_still;

	faas__mutex_lock(&executor->threads_mu);
	is_occupied_still = load_relaxed(&executor->thread_count) > 0;
	executor->is_detached = is_occupied_still;
	faas__mutex_unlock(&executor->threads_mu);
	return is_occupied_still;
}

void faas__executor_quiesce(struct executor *executor)
{
	if (!faas__executor_is_manual(executor))
		faas__monitor_stop(executor);
}

void faas__executor_deinit(struct executor *executor)
{
	assert(list_empty(&executor->threads));
	faas__threads_reap(executor);
	faas__cond_deinit(&executor->monitor.cond);
	faas__cond_deinit(&executor->threads_cond);
	faas__mutex_deinit(&executor->visit_mu);
	faas__mutex_deinit(&executor->monitor.mu);
	faas__mutex_deinit(&executor->timers_mu);
	faas__mutex_deinit(&executor->threads_mu);
	faas__mutex_deinit(&executor->idle_mu);
	faas__mutex_deinit(&executor->run_queue.mu);
}
