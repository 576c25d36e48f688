/* SPDX-License-Identifier: MIT */
/*
 * Running: a function's turn on a thread, and the attempts in it.
 *
 * A turn does one thing, chosen under the function's lock: retire a worker whose time is up, start a provisioned one,
 * or take events, a batch at a time, with one worker and one concurrency slot. The turn then says how the function goes on, so
 * that the next thread may come in while this one works. A batch is one event while handlers are slow or unknown, and
 * as many as fit in BATCH_NS while they are fast; what is left of a batch when its thread is held up goes back to the
 * queue's front (hand_back), where any thread finds it. While nothing else is ready, a thread goes on with the same function,
 * worker and slot from batch to batch, by the function's lock alone (choose_again): with slow handlers, and in a stream.
 *
 * Where events come in a stream and handlers are fast, two things keep emitters and takers out of each other's lines: a
 * thread waits a moment for a batch worth taking (linger.c), and keeps the turn to itself, blocked, as long as its batches
 * are long and little stands behind them (keeps_turn). Who keeps the turn has taken something ahead: so hand_back comes, and
 * opens it up, where a handler takes long.
 *
 * Attempts of a batch follow each other: the end of one is the start of the next, so the stopwatch is read once per
 * attempt. Nothing else is shared per event: counts go to the thread's tally, the deadline to the thread's slot.
 *
 * slot.c has slots and workers, attempt.c the single attempt, linger.c how a thread waits for events, nest.c runs for waiters.
 */
#include <string.h>

#include "dispatch/retry.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define BATCH_NS 20000      /* of handlers in one batch */
#define BATCH_LIMIT_NS 40000 /* after which the rest is put back: the handlers of now are not what they were */
#define WORTH_CALLING_NS 50000 /* of fast handlers behind this thread: waking takes some 6 us, and 10 until the other is there */
#define STREAM_EVENTS 8       /* in a batch: then they come in a stream */
#define FEW_EVENTS 4          /* in a batch: then two threads that come for the next one seldom meet at the function's lock */
#define TURN_NS 300           /* that a turn takes beside its handlers */
#define LEAST_CHARGE_NS 100   /* for an event, so that turns and weights count where the clock stands still */

enum step { STEP_NOTHING, STEP_RETIRE, STEP_PROVISION, STEP_BATCH, STEP_OVER };

/* What a turn chose to do. */
struct choice {
	enum step step;
	struct worker *worker;
	enum retirement why;
	bool is_cold;
	uint32_t count;
	uint64_t freed;
	faas_invocation *dead;
	faas_invocation *expired; /* SETTLING and counted */
	bool goes_on;       /* the turn is to be put back */
	bool worth_waking;
	int64_t charged;    /* thread time the batch is expected to take */
};

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

/* Runs one invocation that this thread holds a reference of. Drops it. */
static enum ran run_one(struct runner *runner, faas_function *function, struct worker *worker,
                        const struct taken *taken, bool is_cold, struct tally *tally, enum started *started)
{
	faas_invocation *invocation = taken->invocation;
	faas_context *context = faas__attempt_begin(runner, function, invocation, is_cold);
	enum ran ran = RAN;

	context->worker = worker;
	if (!faas__attempt_claim(context, taken, runner->now, tally)) {
		faas__attempt_let_go(function, invocation);
		faas__invocation_unref(invocation);
		return RAN;
	}
	if (is_cold)
		*started = faas__attempt_start_worker(context, &runner->now, tally);
	if (*started == STARTED)
		ran = faas__attempt_run(context, &runner->now, tally);
	faas__attempt_let_go(function, invocation);
	faas__invocation_unref_in(invocation, &runner->lane);
	return ran;
}

static int64_t moving_average(int64_t average, int64_t took, uint32_t count)
{
	int64_t each = count == 1 ? took : took / (int64_t)count;

	if (each < 1)
		each = 1;
	if (average == 0)
		return each;
	/* Up fast, since a batch must not be longer than the handlers of now allow; but not at once, since a thread that was
	   preempted looks like a slow handler. Down slowly. */
	if (each > average)
		return each < 4 * average ? each : 4 * average;
	return average - (average - each) / 8;
}

/* From a batch: how long the next ones may be, and whether threads that take them are quick. */
static void learn(faas_function *function, int64_t took, uint32_t count) holds_lock(function->mu)
{
	int64_t average = moving_average(function->run_ns_average, took, count);
	uint32_t most = 0, expected_ns = 0;

	/* One that defers takes a slot with it, which ends the batch. */
	if (average < BATCH_NS && !function->defers) {
		most = BATCH_NS / (uint32_t)average;
		expected_ns = (uint32_t)average + TURN_NS;
	}
	function->run_ns_average = average;
	function->batch_most = most < BATCH_MAX ? most : BATCH_MAX;
	/* It seldom changes, and then others need not fetch it. */
	if (load_relaxed(&function->turn.expected_ns) != expected_ns)
		store_relaxed(&function->turn.expected_ns, expected_ns);
}

/* Whether handlers are known to be so fast that batches are as long as they can be. */
static bool is_fast(const faas_function *function) holds_lock(function->mu)
{
	return function->batch_most == BATCH_MAX;
}

/* How many events may begin now. */
static uint32_t batch_size(const faas_function *function, int64_t now) holds_lock(function->mu)
{
	bool is_one = function->batch_most == 0 || faas__runtime_is_manual(function->runtime);

	return faas__rate_available(function, now, is_one ? 1 : function->batch_most);
}

/* ---- A turn ------------------------------------------------------------------------------------------------------ */

/* One that is not as young as most. False: it may begin all the same. */
seldom static bool expire_popped(faas_function *function, int64_t now, struct choice *choice,
                                 faas_invocation *invocation) holds_lock(function->mu)
{
	int code;

	if (faas__retry_expiry(invocation, now, &code) != END_EXPIRED)
		return false;
	/* Nobody else moves it: all who could do so hold the lock. */
	(void)faas__invocation_move(invocation, PHASE_QUEUED, PHASE_SETTLING);
	faas__count_end(function, false, END_EXPIRED);
	faas__key_check(function, invocation);
	faas__dead_add(&choice->expired, invocation);
	return true;
}

/*
 * The first line is here, which the queue is linked through. While others are popped, the rest comes: to be owned, since this
 * thread will give the block back (faas__block_own).
 */
static inline void fetch(const faas_invocation *invocation)
{
	for (size_t at = FAAS_LINE; at < BLOCK_LINES * FAAS_LINE && at < invocation->block_bytes; at += FAAS_LINE)
		prefetch_to_write((const char *)invocation + at);
}

/* One that was popped: into the batch, or, if it may not begin any more, among those that have ended. */
static void sort_popped(faas_function *function, struct runner *runner, struct choice *choice,
                        faas_invocation *invocation) holds_lock(function->mu)
{
	if (faas__phase_of(load_acquire(&invocation->state)) != PHASE_QUEUED) {
		faas__dead_add(&choice->dead, invocation);
	} else if (likely(faas__retry_is_young(invocation, runner->now)) ||
	           !expire_popped(function, runner->now, choice, invocation)) {
		faas__key_hold(invocation);
		fetch(invocation);
		runner->batch[choice->count++] = faas__taken(invocation);
	}
}

/* Takes events, `most` of them at most. */
static void fill_batch(faas_function *function, struct runner *runner, struct choice *choice, uint32_t most)
	holds_lock(function->mu)
{
	uint32_t queue = faas__queue_choose(function, runner);
	const uint64_t there = LOAD_EVENTS(faas__queue_in(function));
	uint64_t popped = 0, ahead = there;
	faas_invocation *invocation;

	while (choice->count < most && (invocation = faas__queue_pop(function, &queue, &popped)) != NULL) {
		/*
		 * One after the other, each would have to come from another core before it tells where the next one is. Those that
		 * were not there when this began are left alone: their emitter may be about to write to them.
		 */
		if (ahead > BLOCK_AHEAD + 1) {
			ahead--;
			prefetch_to_write(invocation->ahead);
		}
		sort_popped(function, runner, choice, invocation);
		if (choice->count <= 1)
			choice->freed = popped;
	}
	function->left_events = (int32_t)(there - LOAD_EVENTS(popped));
	if (popped != 0)
		faas__queue_took(function, popped, popped - choice->freed);
	if (choice->count == 0)
		return;
	faas__rate_take(function, runner->now, choice->count);
	faas__demand_wake(function, runner->now);
	choice->step = STEP_BATCH;
	choice->charged = choice->count * (function->run_ns_average + LEAST_CHARGE_NS);
	runner->batch_function = function;
	store_relaxed(&runner->batch_rest, popped - choice->freed);
	store_relaxed(&runner->batch_next, 0);
	/* Before the look at whether the monitor ticks, which is for what is ahead: of one nothing is, unless callbacks come first. */
	if (choice->count > 1 || choice->expired)
		store_seq_cst(&runner->batch_end, choice->count);
	else
		store_release(&runner->batch_end, 1);
	if (list_empty(&runner->tally.node))
		list_push_back(&function->tallies, &runner->tally.node);
}

static void choose_batch(faas_function *function, struct runner *runner, struct choice *choice)
	holds_lock(function->mu)
{
	uint64_t peak = faas__service(function)->counts.workers_peak;

	if (!faas__queue_has_events(function))
		return;
	choice->worker = faas__slot_take(function, runner->now, &choice->is_cold);
	if (!choice->worker)
		return;
	fill_batch(function, runner, choice, choice->is_cold ? 1 : batch_size(function, runner->now));
	if (choice->count > 0)
		return;
	/* Nothing to run, or a producer has not yet linked what it pushed. */
	faas__slot_untake(function, choice->worker, choice->is_cold, peak);
	choice->worker = NULL;
}

static bool wants_provisioned(const faas_function *function, int64_t now) holds_lock(function->mu)
{
	return !load_relaxed(&function->is_closed) && load_relaxed(&function->runtime->phase) == RUNTIME_OPEN &&
	       function->active < function->max_concurrency &&
	       faas__worker_may_start(function, now) && now >= faas__service(function)->provision_after &&
	       function->warm_count + function->busy + function->starting < faas__demand_target(function);
}

/* A worker to retire, or to start ahead of need. False: there is none, and no more chores. */
seldom static bool choose_chore(faas_function *function, struct runner *runner, struct choice *choice)
	holds_lock(function->mu)
{
	faas__worker_end_pauses(function, runner->now);
	choice->worker = faas__worker_pop_expired(function, runner->now, &choice->why);
	if (choice->worker) {
		choice->step = STEP_RETIRE;
	} else if (wants_provisioned(function, runner->now) && faas__share_take(function)) {
		choice->worker = faas__worker_new(function);
		if (choice->worker) {
			choice->step = STEP_PROVISION;
			faas__service(function)->counts.provisioned_starts++;
			function->starting++;
			function->active++;
			faas__slot_raise_peak(function);
		} else {
			faas__share_give_unused(function);
			faas__worker_out_of_memory(function, runner->now);
		}
	}
	if (choice->step == STEP_NOTHING) {
		faas__worker_arm_timer(function);
		return false;
	}
	/* Perhaps not the last. */
	store_seq_cst(&function->chores, 1);
	return true;
}

static void choose(faas_function *function, struct runner *runner, struct choice *choice) holds_lock(function->mu)
{
	if (unlikely(load_seq_cst(&function->chores) != 0)) {
		store_seq_cst(&function->chores, 0);
		if (choose_chore(function, runner, choice))
			return;
	}
	choose_batch(function, runner, choice);
}

/* Whether what stands in the queue is more than one thread of fast handlers should be left with. */
static bool is_much_behind(const faas_function *function) holds_lock(function->mu)
{
	return (int64_t)faas__queue_runnable(function) * function->run_ns_average > WORTH_CALLING_NS;
}

/* Whether another thread is to be called. Handlers that are known to be fast do not block. */
static bool is_worth_waking(const faas_function *function) holds_lock(function->mu)
{
	int64_t average = function->run_ns_average;

	return average == 0 || average > BATCH_NS ||
	       (is_much_behind(function) && !faas__executor_is_full(&function->runtime->executor));
}

/*
 * Whether the thread that has taken this batch keeps the turn while it is at it: a second thread would only be in its way,
 * and when the queue is empty, more will be here by the end. Of such a batch some are ahead, so that the monitor opens
 * the turn up if it takes long (hand_back).
 */
static bool keeps_turn(const faas_function *function, const struct choice *choice) holds_lock(function->mu)
{
	return choice->count >= STREAM_EVENTS && is_fast(function) && !is_much_behind(function);
}

/* Whether another attempt may begin; if not, what will change that is arranged. */
seldom static bool may_go_on(faas_function *function, int64_t now) holds_lock(function->mu)
{
	if (faas__slot_can_start(function, now))
		return true;
	if (faas__rate_available(function, now, 1) == 0)
		function->rate_due = faas__rate_next(function, now, 0);
	faas__worker_arm_timer(function);
	return false;
}

/* How the function goes on while this thread works. Of a finished function nothing goes on. */
static void decide_turn(faas_function *function, struct choice *choice, int64_t now) holds_lock(function->mu)
{
	if (load_seq_cst(&function->chores) != 0) {
		choice->goes_on = true;
		choice->worth_waking = true;
	} else if (keeps_turn(function, choice) || (faas__queue_has_events(function) && !may_go_on(function, now))) {
		faas__turn_block(&function->turn);
	} else if (faas__queue_has_events(function)) {
		choice->goes_on = true;
		choice->worth_waking = is_worth_waking(function);
	} else {
		faas__turn_idle(&function->turn);
		if (faas__queue_has_events(function) || load_seq_cst(&function->chores) != 0)
			faas__turn_kick(&function->runtime->executor, &function->turn);
	}
}

seldom static void provision(struct runner *runner, faas_function *function, struct worker *worker)
{
	faas_context *context = faas__attempt_begin(runner, function, NULL, true);
	enum started started;

	context->worker = worker;
	started = faas__attempt_start_worker(context, &runner->now, NULL);
	if (started == STARTED)
		faas__attempt_end(context);
	faas__mutex_lock(&function->mu);
	faas__service(function)->provision_after = 0;
	if (started != STARTED)
		faas__worker_provision_failed(function, runner->now);
	faas__slot_release(runner, function, worker, started, RAN, NULL);
}

seldom static void retire(faas_function *function, struct worker *worker, enum retirement why)
{
	faas__worker_retire(function, worker, why);
	faas__mutex_lock(&function->mu);
	faas__function_unlock_and_finish(function);
}

/* What a choice left to be done without the lock. */
static void settle_chosen(struct runner *runner, faas_function *function, struct choice *choice)
	without_lock(function->mu)
{
	faas__queue_freed(function, choice->freed);
	faas__dead_unref(choice->dead);
	choice->freed = 0;
	choice->dead = NULL;
	if (likely(!choice->expired))
		return;
	/* A callback may take long, and others may have the batch meanwhile. */
	if (choice->count > 0)
		faas__monitor_tick_soon(&runner->runtime->executor);
	faas__settle_expired(choice->expired, runner->now);
	choice->expired = NULL;
}

/*
 * After a batch of slow handlers, or in a stream: the next one for the same worker and slot, while nothing but this function
 * is ready and nobody waits for a slot. So of all that threads share this one writes nothing but the takers' line (function.h).
 * False: it is to give the worker back.
 */
seldom static bool choose_again(faas_function *function, struct runner *runner, struct choice *choice, int64_t took)
	holds_lock(function->mu)
{
	/* A guest, as any thread is in manual mode, is to return. */
	if (choice->is_cold || runner->thread.is_guest || (function->batch_most > FEW_EVENTS && !is_fast(function)) ||
	    faas__queue_runnable(function) < (is_fast(function) ? STREAM_EVENTS : 1u) ||
	    !faas__turn_is_alone(&runner->runtime->executor, &function->turn) || load_seq_cst(&function->chores) != 0 ||
	    load_seq_cst(&runner->runtime->share.waiters) != 0)
		return false;
	if (took >= TICK_NS || load_relaxed(&runner->tally.samples) + function->batch_most >= BATCH_MAX)
		faas__tally_fold(function, &runner->tally);
	runner->now = faas__stopwatch_now(&runner->watch, runner->now);
	if (is_fast(function))
		faas__await_batch(function, runner);
	choice->count = 0;
	fill_batch(function, runner, choice, batch_size(function, runner->now));
	if (choice->count == 0) {
		choice->step = STEP_OVER;
		return false;
	}
	/* Time that nobody else wanted is not charged, so that who comes next does not go before this one for as long. */
	choice->charged = 0;
	return true;
}

/* What a batch came to. */
struct outcome {
	enum started started;
	enum ran ran;
	uint32_t count; /* attempts */
	uint32_t next;  /* of those taken, the first that was not begun */
};

/* Runs what was taken: all of it, or until there is a reason to leave the rest to others. */
static void run_taken(struct runner *runner, faas_function *function, const struct choice *choice, struct outcome *outcome)
{
	const uint32_t before = TALLY_STARTS(load_relaxed(&runner->tally.started));
	const int64_t until = runner->now + BATCH_LIMIT_NS;

	while (outcome->next < load_relaxed(&runner->batch_end) && outcome->started == STARTED && outcome->ran == RAN) {
		bool is_cold = choice->is_cold && outcome->count == 0;
		const struct taken *taken = &runner->batch[outcome->next];

		/* Unregistered or closed: what was not begun is cancelled. */
		if (unlikely(load_relaxed(&function->is_closed)))
			break;
		if (unlikely(outcome->next > 0 && runner->now > until))
			break;
		if (likely(!is_cold && faas__is_plain(taken->invocation))) {
			outcome->next =
				faas__attempt_run_plain(runner, function, choice->worker, outcome->next, until, &outcome->ran);
		} else {
			store_relaxed(&runner->batch_next, ++outcome->next);
			outcome->ran = run_one(runner, function, choice->worker, taken, is_cold, &runner->tally, &outcome->started);
		}
		outcome->count = TALLY_STARTS(load_relaxed(&runner->tally.started)) - before;
	}
}

/* Goes on with the batch that choose_again has taken: others are to have the turn, too, if this thread has kept it and should
   do so no more. */
static void stay(struct runner *runner, faas_function *function, const struct choice *choice, uint64_t freed)
	drops_lock(function->mu)
{
	bool wakes = false;

	if (!keeps_turn(function, choice)) {
		wakes = is_worth_waking(function);
		if (load_seq_cst(&function->turn.state) == TURN_BLOCKED && may_go_on(function, runner->now))
			faas__turn_unblock(&runner->runtime->executor, &function->turn);
	}
	faas__mutex_unlock(&function->mu);
	faas__queue_freed(function, freed);
	/* That is no part of what comes next. */
	if (faas__thread_stays(&runner->thread, &function->turn, wakes))
		runner->now = faas__stopwatch_now(&runner->watch, runner->now);
}

/* False: it is over, and the worker has been given back. Else there is a new choice. */
static bool run_batch(struct runner *runner, faas_function *function, struct choice *choice)
{
	struct executor *executor = &runner->runtime->executor;
	struct outcome outcome = {.started = STARTED, .ran = RAN};
	int64_t began = runner->now, took;
	struct put_back rest;
	uint64_t held, freed;
	uint32_t end;

	if (choice->count > 1) {
		faas__executor_publish(executor, began);
		faas__monitor_tick_soon(executor);
	}
	run_taken(runner, function, choice, &outcome);
	faas__mutex_lock(&function->mu);
	/* A cold batch whose only invocation was taken by others never had its init. */
	if (choice->is_cold && outcome.count == 0) {
		function->starting--;
		function->busy++;
		outcome.started = START_FAILED;
	}
	rest.lost_count = 0;
	rest.cancelled = NULL;
	rest.load = 0;
	end = load_relaxed(&runner->batch_end);
	held = load_relaxed(&runner->batch_rest);
	/* Tokens of what was handed back were given back with it. */
	faas__rate_give_back(function, end - outcome.count);
	if (outcome.next < end)
		faas__queue_put_back(function, runner->batch + outcome.next, end - outcome.next, &rest);
	store_relaxed(&runner->batch_end, 0);
	store_relaxed(&runner->batch_next, 0);
	took = runner->now - began;
	if (took >= TICK_NS)
		faas__monitor_calm_no_more(executor);
	if (outcome.count > 0 && !choice->is_cold)
		learn(function, took, outcome.count);
	freed = held - rest.load;
	faas__queue_end_rest(function, held, rest.load);
	store_relaxed(&runner->batch_rest, 0);
	if (outcome.next == end && outcome.started == STARTED && outcome.ran == RAN &&
	    choose_again(function, runner, choice, took)) {
		stay(runner, function, choice, freed);
		return true;
	}
	faas__turn_charge(&function->turn, took + LEAST_CHARGE_NS * (int64_t)outcome.count - choice->charged);
	faas__slot_release(runner, function, choice->worker, outcome.started, outcome.ran, &runner->tally);
	faas__queue_freed(function, freed);
	if (unlikely(rest.cancelled || rest.lost_count > 0))
		faas__put_back_end(&rest, false);
	return choice->step == STEP_OVER;
}

/* Does what was chosen; no lock is held. True: there is a new choice. */
static bool carry_out(struct runner *runner, faas_function *function, struct choice *choice)
{
	if (unlikely(choice->step == STEP_RETIRE || choice->step == STEP_PROVISION || choice->is_cold))
		faas__thread_slow_down(&runner->thread);
	switch (choice->step) {
	case STEP_RETIRE:
		retire(function, choice->worker, choice->why);
		break;
	case STEP_PROVISION:
		provision(runner, function, choice->worker);
		break;
	case STEP_BATCH:
		runner->pushes_awaited = 0;
		return run_batch(runner, function, choice);
	case STEP_OVER:
		break;
	case STEP_NOTHING:
		/* Nothing could be reached: others go first. */
		faas__turn_charge(&function->turn, LEAST_CHARGE_NS);
		if (choice->goes_on)
			faas__await_push(runner);
		break;
	}
	return false;
}

bool faas__function_take(struct turn *turn, struct thread *thread)
{
	faas_function *function = container_of(turn, faas_function, turn);
	struct runner *runner = faas__runner_from(thread);
	struct executor *executor = &runner->runtime->executor;
	struct choice choice = {.step = STEP_NOTHING};
	bool gave_share, was_done;

	faas_function_ref(function);
	runner->now = faas__stopwatch_now(&runner->watch, runner->now);
	faas__mutex_lock(&function->mu);
	if (is_fast(function))
		faas__await_batch(function, runner);
	choose(function, runner, &choice);
	/* Before the turn is put back in its place. What it really took is known later. */
	faas__turn_charge(turn, choice.charged);
	decide_turn(function, &choice, runner->now);
	gave_share = faas__share_was_unused(function);
	faas__function_unlock_and_finish(function);
	/* Calling others is no part of what comes next. */
	if (choice.goes_on && faas__turn_again(executor, turn, thread, choice.worth_waking))
		runner->now = faas__stopwatch_now(&runner->watch, runner->now);
	if (unlikely(gave_share))
		faas__share_tell(runner->runtime);
	was_done = choice.step != STEP_NOTHING || choice.expired;
	do
		settle_chosen(runner, function, &choice);
	while (carry_out(runner, function, &choice));
	faas_function_unref(function);
	return was_done;
}
