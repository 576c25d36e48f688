/* SPDX-License-Identifier: MIT */
/*
 * The monitor: one thread per runtime that runs no user code and mostly sleeps.
 *
 * It sees deadlines pass, fires timers, starts threads, and notices when running threads are blocked rather than busy.
 * To cost nothing per run, it is not told of deadlines: it sleeps until the earliest deadline among the slots and until
 * now + the shortest deadline there is, because nothing that begins after its look can be due earlier. While work waits,
 * was left to a thread that should come by soon, or a time is published, it looks every millisecond (it ticks), or less
 * often where it has found nothing to do for a while and nothing stands behind a run that could turn out to be long. After everything has come to rest it looks once more
 * and then sleeps until poked, so that an idle runtime uses no processor at all and a runtime that is used now and then
 * does not pay for waking its monitor each time.
 *
 * No poke is lost: wake_at is TIME_NEVER while the monitor is awake; who publishes something that is due at `d` does so
 * first and then compares d with wake_at (sequentially consistent). Either the monitor's look comes after the
 * publication, or the publisher sees TIME_NEVER (or the later time chosen by that look) and pokes, which keeps the
 * monitor from falling asleep. is_ticking likewise.
 *
 * Growth beyond the base number of threads: only when turns have waited for more than a tick, and fewer threads than
 * the base are running for real. A thread that is known to wait or to be given up counts as blocked; any other counts
 * as blocked if it is in the same attempt as at the last tick and its processor clock stood still meanwhile, and, where
 * the system tells, it is not waiting for a processor.
 */
#include "executor/executor.h"

#define TRIM_NS 200000000
#define CALM_TICKS 3     /* after so many looks that found nothing to do, the next ones come half as often, */
#define LONGEST_SHIFT 5u /* but not less often than every 32nd */

/* ---- Deadlines --------------------------------------------------------------------------------------------------- */

/*
 * Threads are listed under threads_mu, and an expiry takes other locks; so the claim is made under it, which keeps the
 * slot's owner from leaving, and the work is done after it is dropped.
 */
static bool claim_one_due(struct executor *executor, int64_t now, struct thread **ret_thread, struct slot **ret_slot,
                          void **ret_attempt)
{
	bool found = false;

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads) {
		struct thread *thread = container_of(node, struct thread, node);

		for (size_t depth = 0; depth < THREAD_DEPTH && !found; depth++) {
			if (!faas__slot_is_running(&thread->slots[depth]))
				break;
			found = faas__slot_claim_due(&thread->slots[depth], now, ret_attempt);
			*ret_thread = thread;
			*ret_slot = &thread->slots[depth];
		}
		if (found)
			break;
	}
	faas__mutex_unlock(&executor->threads_mu);
	return found;
}

static void expire_due(struct executor *executor, int64_t now)
{
	struct thread *thread;
	struct slot *slot;
	void *attempt;

	while (claim_one_due(executor, now, &thread, &slot, &attempt)) {
		/* It fires once: what is given up has no deadline any more. */
		store_relaxed(&slot->deadline, TIME_NEVER);
		executor->ops.expire(thread, attempt, now);
		faas__slot_let_go(slot);
	}
}

/* What one visit of a thread claimed. */
struct claimed {
	struct slot *slots[THREAD_DEPTH];
	void *attempts[THREAD_DEPTH];
	size_t count;
};

/* Whether somebody else is at one of the thread's slots, which is over soon. */
static bool is_any_claimed(const struct thread *thread)
{
	for (size_t depth = 0; depth < THREAD_DEPTH; depth++)
		if (faas__slot_is_claimed(&thread->slots[depth]))
			return true;
	return false;
}

/* Claims all that runs on a thread that this visit has not seen yet; nothing, while others are at it. False: it has seen
   all. */
static bool claim_thread(struct executor *executor, uint64_t visit, struct claimed *claimed)
{
	bool found = false;

	claimed->count = 0;
	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads) {
		struct thread *thread = container_of(node, struct thread, node);

		if (thread->visited == visit)
			continue;
		found = true;
		if (is_any_claimed(thread))
			break;
		thread->visited = visit;
		for (size_t depth = 0; depth < THREAD_DEPTH; depth++) {
			struct slot *slot = &thread->slots[depth];

			claimed->slots[claimed->count] = slot;
			claimed->count += faas__slot_claim(slot, &claimed->attempts[claimed->count]);
		}
		break;
	}
	faas__mutex_unlock(&executor->threads_mu);
	return found;
}

void faas__executor_visit(struct executor *executor, void (*visit)(void *attempt, void *arg), void *arg)
{
	struct claimed claimed;
	uint64_t number;

	faas__mutex_lock(&executor->visit_mu);
	number = ++executor->visits;
	while (claim_thread(executor, number, &claimed)) {
		if (claimed.count == 0)
			faas__thread_yield();
		for (size_t i = 0; i < claimed.count; i++) {
			if (claimed.attempts[i])
				visit(claimed.attempts[i], arg);
			faas__slot_let_go(claimed.slots[i]);
		}
	}
	faas__mutex_unlock(&executor->visit_mu);
}

void faas__executor_fire(struct executor *executor, int64_t now)
{
	expire_due(executor, now);
	faas__timers_fire(executor, now);
}

static int64_t earliest_deadline(struct executor *executor)
{
	int64_t earliest = TIME_NEVER;

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads) {
		struct thread *thread = container_of(node, struct thread, node);

		for (size_t depth = 0; depth < THREAD_DEPTH; depth++) {
			int64_t deadline;

			if (!faas__slot_is_running(&thread->slots[depth]))
				break;
			deadline = load_relaxed(&thread->slots[depth].deadline);
			if (deadline < earliest)
				earliest = deadline;
		}
	}
	faas__mutex_unlock(&executor->threads_mu);
	return earliest;
}

int64_t faas__executor_next_due(struct executor *executor)
{
	int64_t deadline = earliest_deadline(executor), timer = faas__timers_next(executor);

	return deadline < timer ? deadline : timer;
}

/* ---- Growth ------------------------------------------------------------------------------------------------------ */

struct census {
	int64_t now;
	int64_t running; /* pool threads that use, or may soon use, a processor */
	int64_t active;  /* of these, those that are not idle */
	int64_t busy;    /* pool threads and guests that are not idle */
	int64_t total;
	uint64_t stays;  /* of all threads, ever */
	bool is_long;    /* a pool thread is in the attempt that it was in at the last look */
};

/* Whether the thread has stood still since the last look, at which `same` attempt ran. Updates what was seen. */
static bool is_blocked(struct thread *thread, bool same)
{
	int64_t cpu_ns;

	if (load_acquire(&thread->is_waiting) != 0 || load_acquire(&thread->stuck) != 0)
		return true;
	if (!same) {
		thread->seen_cpu_ns = -1;
		thread->seen_blocked = false;
		return false;
	}
	cpu_ns = faas__thread_cpu_ns(&thread->handle);
	/* The first sight of an attempt only takes a reading. Where threads have no clock, a long run counts as blocked. */
	if (thread->seen_cpu_ns >= 0)
		thread->seen_blocked = cpu_ns - thread->seen_cpu_ns < TICK_NS / 4;
	else if (cpu_ns < 0)
		thread->seen_blocked = true;
	thread->seen_cpu_ns = cpu_ns;
	return thread->seen_blocked;
}

/* Others were to count on it to come back soon, and it has not. */
static void revoke(struct executor *executor, struct thread *thread)
{
	uint64_t state = THREAD_QUICK;

	if (load_relaxed(&thread->state) == state && cas_seq_cst(&thread->state, &state, THREAD_BUSY))
		sub_seq_cst(&executor->attentive, THREAD_QUICK);
}

/* `measure`: looks at processor clocks as well. */
static struct census take_census(struct executor *executor, bool measure)
{
	struct census census = {.now = faas__executor_now(executor)};

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads) {
		struct thread *thread = container_of(node, struct thread, node);
		bool idle = faas__thread_is_idle(thread);
		uint64_t word = load_acquire(&thread->slots[0].word);
		bool same = word == thread->seen_word && (word & SLOT_RUNNING) != 0, blocked;

		if (same)
			revoke(executor, thread);
		thread->seen_word = word;
		census.busy += !idle;
		census.stays += load_relaxed(&thread->stays);
		if (thread->is_guest)
			continue;
		census.is_long |= same;
		blocked = !idle && measure && is_blocked(thread, same);
		census.total++;
		census.running += !blocked;
		census.active += !idle && !blocked;
	}
	faas__mutex_unlock(&executor->threads_mu);
	return census;
}

static bool is_any_ahead(struct executor *executor)
{
	bool ahead = false;

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads)
		ahead = ahead || executor->ops.is_ahead(container_of(node, struct thread, node));
	faas__mutex_unlock(&executor->threads_mu);
	return ahead;
}

static struct slot *claim_one_ahead(struct executor *executor, struct thread **ret_thread)
{
	struct slot *slot = NULL;

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads) {
		struct thread *thread = container_of(node, struct thread, node);
		uint64_t word = load_acquire(&thread->slots[0].word);

		void *attempt;

		if ((word & SLOT_RUNNING) == 0 || word != thread->seen_word || !executor->ops.is_ahead(thread))
			continue;
		if (!faas__slot_claim(&thread->slots[0], &attempt))
			continue;
		*ret_thread = thread;
		slot = &thread->slots[0];
		break;
	}
	faas__mutex_unlock(&executor->threads_mu);
	return slot;
}

/* Gives what threads took ahead to others, where they have been in one attempt for a tick. */
static void hand_back_batches(struct executor *executor)
{
	struct thread *thread;
	struct slot *slot;

	while ((slot = claim_one_ahead(executor, &thread)) != NULL) {
		executor->ops.hand_back(thread);
		faas__slot_let_go(slot);
	}
}

/*
 * A processor clock stands still, too, while a thread waits for a processor on a busy machine: before the pool grows,
 * those that seemed blocked are looked at once more, with the system's own word on it.
 */
static int64_t count_starved(struct executor *executor)
{
	int64_t starved = 0;

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads) {
		struct thread *thread = container_of(node, struct thread, node);

		if (!thread->is_guest && thread->seen_blocked && load_acquire(&thread->is_waiting) == 0 &&
		    load_acquire(&thread->stuck) == 0)
			starved += faas__thread_is_runnable((long)load_relaxed(&thread->number));
	}
	faas__mutex_unlock(&executor->threads_mu);
	return starved;
}

static bool may_grow(struct executor *executor, const struct census *census)
{
	int64_t stuck = load_seq_cst(&executor->stuck_threads);

	if (stuck > executor->max_overruns)
		stuck = executor->max_overruns;
	if (census->total < executor->base_threads)
		return true;
	return census->running < executor->base_threads && census->total < executor->max_threads + stuck &&
	       census->running + count_starved(executor) < executor->base_threads;
}

static void grow(struct executor *executor, const struct census *census, bool stands_still)
{
	struct monitor *monitor = &executor->monitor;
	/* Asked for after a turn was put in the queue; so if it was asked for, the turn is seen, or was taken by others. */
	uint32_t wanted = exchange_seq_cst(&monitor->wants_thread, 0);
	int64_t now;

	if (!faas__run_queue_has_turns(&executor->run_queue)) {
		monitor->waited_ticks = 0;
		return;
	}
	/* Pokes make it look more often; and a host's clock may stand still. */
	now = faas__clock_now(NULL);
	if (now - monitor->ticked_at >= TICK_NS / 2) {
		monitor->waited_ticks++;
		monitor->ticked_at = now;
	}
	if (faas__executor_looking(executor) > 0)
		return;
	if (load_seq_cst(&executor->parked_count) > 0) {
		/*
		 * Not where as many as there are processors take turn after turn: more would be in their way. Nor for what happens
		 * to be ready just now.
		 */
		if (stands_still || (monitor->waited_ticks > 1 && census->active < (int64_t)executor->cpus))
			(void)faas__thread_wake_parked(executor, -1);
	} else if ((wanted || monitor->waited_ticks > 1) && may_grow(executor, census)) {
		(void)faas__thread_start_one(executor, (uint32_t)census->total + 1, (int)wanted - 2);
	}
}

/* ---- The loop ---------------------------------------------------------------------------------------------------- */

/* Nobody has refreshed the published time for a tick: it is stale, and emitters must read the clock themselves. */
static void check_published(struct executor *executor, int64_t now)
{
	int64_t published = load_relaxed(&executor->published_now);

	if (published != 0 && published < now - TICK_NS)
		(void)cas_relaxed(&executor->published_now, &published, 0);
}

static int64_t min_time(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t later(int64_t now, int64_t duration)
{
	return duration < TIME_NEVER - now ? now + duration : TIME_NEVER;
}

/*
 * When to look again while work waits or a time is published; TIME_NEVER. Each look takes a processor from a thread for a
 * moment. Where no thread has been seen blocked for a while, those at work in one attempt after the other, nothing
 * was taken ahead that could have to be handed back, and nobody is relied on to be quick, fewer looks will do: who blocks
 * then is seen a little later (faas__monitor_calm_no_more), but looked at again as soon as before. A host's clock may leap.
 */
static int64_t tick_ns(struct executor *executor, const struct census *census, bool stands_still)
{
	struct monitor *monitor = &executor->monitor;
	bool is_ahead = is_any_ahead(executor), publishes = load_seq_cst(&executor->published_now) != 0;
	bool wants_thread = load_seq_cst(&monitor->wants_thread) != 0;
	bool is_relied_on = exchange_seq_cst(&monitor->is_relied_on, 0) != 0;

	if (stands_still || census->is_long || census->running < executor->base_threads || monitor->waited_ticks <= 1 ||
	    publishes || wants_thread || executor->clock || load_seq_cst(&executor->attentive) != 0)
		monitor->calm_ticks = 0;
	else if (monitor->calm_ticks < CALM_TICKS * LONGEST_SHIFT)
		monitor->calm_ticks++;
	if (!faas__run_queue_has_turns(&executor->run_queue) && !publishes && !wants_thread && !is_ahead && !is_relied_on)
		return TIME_NEVER;
	/* That may just happen to be so at this moment. */
	if (is_ahead)
		return TICK_NS;
	return TICK_NS << monitor->calm_ticks / CALM_TICKS;
}

/* Trims while there is activity, and twice after its end: first to learn what lay unused since, then to free it. */
static void trim(struct executor *executor, int64_t now, bool is_busy)
{
	struct monitor *monitor = &executor->monitor;

	if (is_busy)
		monitor->trims_left = 2;
	if (monitor->trims_left == 0)
		return;
	if (monitor->trim_due == 0)
		monitor->trim_due = now + TRIM_NS;
	if (now < monitor->trim_due)
		return;
	executor->ops.trim(executor);
	monitor->trims_left -= !is_busy;
	monitor->trim_due = monitor->trims_left > 0 ? now + TRIM_NS : 0;
}

/* One look at everything. The time of the next one. Who pokes has something to do, and may be done with it by now. */
static int64_t look(struct executor *executor, bool was_poked, bool *was_busy)
{
	struct monitor *monitor = &executor->monitor;
	bool waits = faas__run_queue_has_turns(&executor->run_queue);
	int64_t now = faas__executor_now(executor), next;
	uint64_t taken = load_relaxed(&executor->run_queue.taken);
	bool stands_still, is_busy;
	struct census census;
	int64_t tick;

	faas__executor_fire(executor, now);
	hand_back_batches(executor);
	census = take_census(executor, load_relaxed(&monitor->is_ticking) != 0);
	taken += census.stays;
	if (was_poked)
		monitor->calm_ticks = 0;
	stands_still = taken == monitor->seen_taken;
	monitor->seen_taken = taken;
	grow(executor, &census, stands_still);
	check_published(executor, now);
	faas__threads_reap(executor);
	is_busy = census.busy > 0 || waits || was_poked;
	trim(executor, now, is_busy);

	next = faas__executor_next_due(executor);
	if (is_busy || *was_busy)
		next = min_time(next, later(now, load_seq_cst(&executor->shortest_ns)));
	if (monitor->trim_due != 0)
		next = min_time(next, monitor->trim_due);
	*was_busy = is_busy;
	store_seq_cst(&monitor->is_ticking, 0);
	tick = tick_ns(executor, &census, stands_still);
	if (tick != TIME_NEVER) {
		store_seq_cst(&monitor->is_ticking, tick == TICK_NS ? TICKING : TICKING_CALMLY);
		next = min_time(next, now + tick);
	}
	return next;
}

static void *monitor_main(void *arg)
{
	struct executor *executor = arg;
	struct monitor *monitor = &executor->monitor;
	bool was_busy = false, was_poked = false;

	faas__thread_set_name("faas-monitor");
	while (load_acquire(&monitor->is_stopping) == 0) {
		int64_t next;

		store_seq_cst(&monitor->wake_at, TIME_NEVER);
		next = look(executor, was_poked, &was_busy);
		/* Who poked it meanwhile ends this sleep at once. */
		store_seq_cst(&monitor->wake_at, next);
		if (next != TIME_NEVER)
			next -= faas__executor_now(executor);
		was_poked = faas__parking_wait(&monitor->parking, next);
	}
	return NULL;
}

void faas__monitor_poke(struct executor *executor)
{
	if (!faas__executor_is_manual(executor))
		faas__parking_wake(&executor->monitor.parking);
}

int faas__monitor_start(struct executor *executor)
{
	int error = faas__thread_start(&executor->monitor.handle, 0, monitor_main, executor);

	/*
	 * Systems tend to begin a thread on its maker's processor, where it would wait while the host makes its first events. So it
	 * runs, and sleeps, before that; and wakes where whoever wakes it is, whom it can push off, rather than a pool thread.
	 */
	faas__thread_yield();
	return error;
}

void faas__monitor_stop(struct executor *executor)
{
	struct monitor *monitor = &executor->monitor;

	store_release(&monitor->is_stopping, 1);
	faas__parking_wake(&monitor->parking);
	faas__thread_join(&monitor->handle);
}
