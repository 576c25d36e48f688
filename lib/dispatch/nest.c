/* SPDX-License-Identifier: MIT */
/*
 * Running an invocation on the thread that waits for it: nested in the handler that waits, or inline in the host's own
 * call. It is a batch of one, with a tally on the stack.
 */
#include "dispatch/emit.h"
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
	struct tally tally;
	bool is_cold;
};

/* A slot and a worker. RUN_CLAIMED, or why there is none. */
static int take(struct run *run, faas_function *function) holds_lock(function->mu)
{
	if (faas__phase_of(load_acquire(&run->invocation->state)) != PHASE_QUEUED)
		return RUN_TAKEN;
	if (function->active >= function->max_concurrency)
		return slots_held_here(run->runner, function) >= function->active ? FAAS_EDEADLK : FAAS_EAGAIN;
	run->worker = faas__slot_take(function, run->runner->now, &run->is_cold);
	if (!run->worker)
		return FAAS_EAGAIN;
	list_push_back(&function->tallies, &run->tally.node);
	run->context = faas__attempt_begin(run->runner, function, run->invocation, run->is_cold, run->runner->now);
	run->context->worker = run->worker;
	return RUN_CLAIMED;
}

/* The attempt itself and its end; no lock is held. `claimed`: else the slot is only given back. */
static void finish(struct run *run, bool claimed)
{
	faas_function *function = run->function;
	enum started started = STARTED;
	bool in_time = true;

	if (!claimed && run->is_cold)
		started = START_FAILED;
	if (claimed && run->is_cold)
		started = faas__attempt_start_worker(run->context, &run->runner->now, &run->tally);
	if (claimed && started == STARTED)
		in_time = faas__attempt_run(run->context, &run->runner->now, &run->tally);
	faas__mutex_lock(&function->mu);
	if (!claimed && run->is_cold) {
		function->starting--;
		function->busy++;
	}
	faas__slot_release(run->runner, function, run->worker, started, in_time, &run->tally);
}

int faas__run_invocation(struct runner *runner, faas_invocation *invocation)
{
	faas_function *function = invocation->function;
	struct run run = {.runner = runner, .function = function, .invocation = invocation};
	faas_invocation *dead = NULL;
	bool removed;
	uint64_t freed = 0;
	int result;

	if (runner->depth >= THREAD_DEPTH)
		return FAAS_EAGAIN;
	runner->now = faas__runtime_now(runner->runtime);
	faas__mutex_lock(&function->mu);
	result = take(&run, function);
	if (result != RUN_CLAIMED) {
		faas__mutex_unlock(&function->mu);
		return result;
	}
	/* Out of the queue while it is still queued, because running reuses its link. */
	removed = faas__queue_remove(function, invocation, &freed, &dead);
	sub_seq_cst(&function->load, freed);
	if (!faas__attempt_claim_locked(run.context, &run.tally))
		result = RUN_TAKEN;
	else if (!removed)
		/* It stays in the queue as a mere reference, which is not ours. */
		faas_invocation_ref(invocation);
	faas__mutex_unlock(&function->mu);
	faas__queue_freed(function, freed);
	faas__dead_unref(dead);
	faas_function_ref(function);
	finish(&run, result == RUN_CLAIMED);
	if (removed || result == RUN_CLAIMED)
		faas__invocation_unref(invocation);
	faas_function_unref(function);
	return result;
}

int faas__run_unqueued(struct runner *runner, faas_invocation *invocation)
{
	faas_function *function = invocation->function;
	struct run run = {.runner = runner, .function = function, .invocation = invocation};
	int result;

	if (runner->depth >= THREAD_DEPTH)
		return FAAS_EAGAIN;
	/* The caller has just looked at the clock. */
	runner->now = invocation->event->stamp_ns;
	faas__mutex_lock(&function->mu);
	result = faas__intake_check(runner->runtime);
	if (result == FAAS_OK)
		result = load_relaxed(&function->is_closed) ? FAAS_ENOTFOUND : take(&run, function);
	if (result == RUN_CLAIMED) {
		add_relaxed(&function->accepted, 1);
		(void)faas__attempt_claim_locked(run.context, &run.tally);
	}
	faas__mutex_unlock(&function->mu);
	if (result != RUN_CLAIMED)
		return result;
	finish(&run, true);
	/* The queue's reference, which no queue had. */
	faas__invocation_unref(invocation);
	return result;
}
