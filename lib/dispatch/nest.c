/* SPDX-License-Identifier: MIT */
/*
 * Running an invocation on the thread that waits for it: nested in the handler that waits, or inline in the host's own
 * call. It is a batch of one, with a tally on the stack.
 */
#include "dispatch/emit.h"
#include "dispatch/retry.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* Slots of the function that handlers hold which this thread is inside of. */
static int64_t slots_held_here(const struct runner *runner, const faas_function *function)
{
	int64_t held = 0;

	for (int depth = 0; depth < runner->depth; depth++)
		held += runner->contexts[depth].function == function;
	return held;
}

/* What one run needs, from its claim to its end. */
struct run {
	struct runner *runner;
	faas_function *function;
	faas_invocation *invocation;
	struct worker *worker;
	faas_context *context;
	struct taken taken;
	struct tally tally;
	bool is_cold;
	faas_invocation *expired; /* SETTLING and counted */
};

/* The samples of the tally, most of what this is, are left as they are. */
static void begin(struct run *run, struct runner *runner, faas_invocation *invocation)
{
	run->runner = runner;
	run->function = invocation->function;
	run->invocation = invocation;
	run->worker = NULL;
	run->is_cold = false;
	run->expired = NULL;
	faas__tally_init(&run->tally);
}

/* Whether this thread is inside of an attempt of it. */
static bool is_inside(const struct runner *runner, const faas_invocation *invocation)
{
	for (int depth = 0; depth < runner->depth; depth++)
		if (runner->contexts[depth].invocation == invocation)
			return true;
	return false;
}

/* A slot and a worker. RUN_CLAIMED, or why there is none. */
static int take(struct run *run, faas_function *function) holds_lock(function->mu)
{
	if (function->active >= function->max_concurrency)
		return slots_held_here(run->runner, function) >= function->active ? FAAS_EDEADLK : FAAS_EAGAIN;
	run->worker = faas__slot_take(function, run->runner->now, &run->is_cold);
	if (run->worker)
		return RUN_CLAIMED;
	/* Each attempt this thread is inside of has a slot of the runtime's. */
	return faas__share_is_all(function->runtime, run->runner->depth) ? FAAS_EDEADLK : FAAS_EAGAIN;
}

static void prepare(struct run *run, faas_function *function) holds_lock(function->mu)
{
	faas__rate_take(function, run->runner->now, 1);
	faas__demand_wake(function, run->runner->now);
	faas__key_hold(run->invocation);
	list_push_back(&function->tallies, &run->tally.node);
	run->context = faas__attempt_begin(run->runner, function, run->invocation, run->is_cold);
	run->context->worker = run->worker;
}

/* Makes the invocation an attempt of this thread's. False: the thread in whose batch it stands was faster. */
static bool claim(struct run *run, faas_function *function) holds_lock(function->mu)
{
	prepare(run, function);
	return faas__attempt_claim_locked(run->context, &run->taken, &run->tally);
}

/* The same for one that nobody else has seen. During an init it can be ended before its handler has begun. */
static void claim_unseen(struct run *run, faas_function *function) holds_lock(function->mu)
{
	prepare(run, function);
	if (likely(!run->is_cold)) {
		faas__attempt_claim_unseen(run->context, &run->tally);
	} else {
		run->taken = faas__taken(run->invocation);
		(void)faas__attempt_claim_locked(run->context, &run->taken, &run->tally);
	}
}

/* The attempt itself and its end; no lock is held. `claimed`: else the slot is only given back. */
static void finish(struct run *run, bool claimed)
{
	faas_function *function = run->function;
	enum started started = STARTED;
	enum ran ran = RAN;

	if (!claimed && run->is_cold)
		started = START_FAILED;
	if (claimed && run->is_cold)
		started = faas__attempt_start_worker(run->context, &run->runner->now, &run->tally);
	if (claimed && started == STARTED)
		ran = faas__attempt_run(run->context, &run->runner->now, &run->tally);
	faas__attempt_let_go(function, run->invocation);
	faas__mutex_lock(&function->mu);
	if (!claimed) {
		faas__rate_give_back(function, 1);
		function->starting -= run->is_cold;
		function->busy += run->is_cold;
	}
	faas__slot_release(run->runner, function, run->worker, started, ran, &run->tally);
}

/* Whether a waiter may claim the head of a key. Out of another thread's batch only one with a result, which that thread
   claims by compare-and-swap; the others come back to the queue when that thread takes long. */
static bool is_free(const faas_invocation *head)
{
	return faas__phase_of(load_acquire(&head->state)) == PHASE_QUEUED &&
	       (head->is_linked == LINK_BACKLOG || (head->is_linked == LINK_TAKEN && faas__has_result(head)));
}

/*
 * What has to run before the invocation can, or itself. NULL: somebody else has that, or it waits for an overrun; then
 * `*ret_code` says RUN_TAKEN, or FAAS_EDEADLK where that is this very thread.
 */
static faas_invocation *first_to_run(const struct runner *runner, faas_function *function,
                                     faas_invocation *invocation, int *ret_code) holds_lock(function->mu)
{
	faas_invocation *head = invocation;

	*ret_code = RUN_TAKEN;
	if (faas__phase_of(load_acquire(&invocation->state)) != PHASE_QUEUED)
		return NULL;
	if (likely(!faas__is_keyed(invocation)))
		return invocation;
	head = faas__key_head(function, invocation);
	if (is_inside(runner, head))
		*ret_code = FAAS_EDEADLK;
	else if (is_free(head))
		return head;
	return NULL;
}

/* No attempt of it may begin any more. One in a batch is left to the thread that took it in time. */
seldom static int expire(struct run *run, faas_function *function, uint64_t *ret_freed, faas_invocation **dead)
	holds_lock(function->mu)
{
	if (!faas__queue_remove(function, run->invocation, ret_freed, dead))
		return RUN_TAKEN;
	/* Nobody else moves it: all who could do so hold the lock. */
	(void)faas__invocation_move(run->invocation, PHASE_QUEUED, PHASE_SETTLING);
	faas__count_end(function, false, END_EXPIRED);
	faas__key_check(function, run->invocation);
	faas__dead_add(&run->expired, run->invocation);
	return RUN_EXPIRED;
}

/* The same, once what can be reached stands in its place. */
static int choose(struct run *run, faas_function *function, uint64_t *ret_freed, faas_invocation **dead)
	holds_lock(function->mu)
{
	int result, expiry_code;

	if (faas__phase_of(load_acquire(&run->invocation->state)) != PHASE_QUEUED)
		return RUN_TAKEN;
	if (!faas__queue_file(function, run->invocation, ret_freed, dead))
		return RUN_UNLINKED;
	run->invocation = first_to_run(run->runner, function, run->invocation, &result);
	if (!run->invocation)
		return result;
	run->taken = faas__taken(run->invocation);
	if (faas__retry_expiry(run->invocation, run->runner->now, &expiry_code) == END_EXPIRED &&
	    faas__slot_can_start(function, run->runner->now))
		return expire(run, function, ret_freed, dead);
	result = take(run, function);
	if (result != RUN_CLAIMED)
		return result;
	/* One in another thread's batch stays there as a mere reference, which is not ours. */
	if (!faas__queue_remove(function, run->invocation, ret_freed, dead))
		faas_invocation_ref(run->invocation);
	return result;
}

seldom int faas__run_invocation(struct runner *runner, faas_invocation *invocation)
{
	faas_function *function = invocation->function;
	faas_invocation *dead = NULL;
	uint64_t freed = 0;
	bool claimed = false, gave_share;
	struct run run;
	int result;

	if (runner->depth >= THREAD_DEPTH)
		return FAAS_EAGAIN;
	begin(&run, runner, invocation);
	runner->now = faas__stopwatch_now(&runner->watch, runner->now);
	faas__mutex_lock(&function->mu);
	result = choose(&run, function, &freed, &dead);
	faas__queue_left(function, freed);
	if (result == RUN_CLAIMED)
		claimed = claim(&run, function);
	gave_share = faas__share_was_unused(function);
	faas__mutex_unlock(&function->mu);
	if (gave_share)
		faas__share_tell(runner->runtime);
	faas__queue_freed(function, freed);
	faas__dead_unref(dead);
	if (result == RUN_EXPIRED) {
		faas__settle_expired(run.expired, runner->now);
		return RUN_CLAIMED;
	}
	if (result != RUN_CLAIMED)
		return result;
	faas_function_ref(function);
	finish(&run, claimed);
	faas__invocation_unref(run.invocation);
	faas_function_unref(function);
	return claimed ? RUN_CLAIMED : RUN_TAKEN;
}

int faas__run_unqueued(struct runner *runner, faas_invocation *invocation)
{
	faas_function *function = invocation->function;
	bool gave_share;
	struct run run;
	int result;

	/* One of an ordered function goes through the queue, which knows what stands before it. */
	if (runner->depth >= THREAD_DEPTH || function->is_ordered)
		return FAAS_EAGAIN;
	begin(&run, runner, invocation);
	faas__mutex_lock(&function->mu);
	result = faas__intake_check(runner->runtime);
	if (result == FAAS_OK)
		result = load_relaxed(&function->is_closed) ? FAAS_ENOTFOUND : take(&run, function);
	if (result == RUN_CLAIMED) {
		add_relaxed(&function->accepted, 1);
		claim_unseen(&run, function);
	}
	gave_share = faas__share_was_unused(function);
	faas__mutex_unlock(&function->mu);
	if (gave_share)
		faas__share_tell(runner->runtime);
	if (result != RUN_CLAIMED)
		return result;
	finish(&run, true);
	return result;
}
