/* SPDX-License-Identifier: MIT */
/*
 * Settling: exactly once. Whoever moves the state to SETTLING owns the result, does the counting, and publishes; see
 * invocation.h for the states and function.h for what is counted.
 *
 * Order: count, write the result, publish, tell. So whoever learns that an invocation is settled finds it counted.
 */
#include <string.h>

#include "dispatch/emission.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

void faas__answer_free(faas_runtime *runtime, struct answer *answer)
{
	if (answer)
		faas__free(&runtime->allocator, answer, answer->block_bytes);
}

void faas__message_free(faas_runtime *runtime, struct message *message)
{
	if (message)
		faas__free(&runtime->allocator, message, message->block_bytes);
}

void faas__wake_waiters(faas_runtime *runtime, const void *object)
{
	struct wait_bucket *bucket = faas__wait_bucket(runtime, object);

	faas__mutex_lock(&bucket->mu);
	faas__cond_broadcast(&bucket->cond);
	faas__mutex_unlock(&bucket->mu);
}

void faas__settle_publish(faas_invocation *invocation, enum end end, bool from_monitor)
{
	struct result *result = faas__result_of(invocation);
	faas_runtime *runtime = invocation->function->runtime;
	struct faas_emission *emission = result->emission;
	uint32_t status = (uint32_t)(FAAS_STATUS_SUCCEEDED + (int)end) << STATUS_SHIFT;
	uint32_t before;

	/* SETTLING | 1 is SETTLED. */
	before = or_acq_rel(&invocation->state, (PHASE_SETTLED & ~PHASE_SETTLING) | status);
	if (before & HAS_WAITERS)
		faas__wake_waiters(runtime, invocation);
	if (before & HAS_CALLBACK) {
		if (from_monitor)
			faas__callback_later(runtime, &result->callback);
		else
			faas__callback_now(runtime, &result->callback);
	}
	if (emission)
		faas__emission_one_settled(emission, from_monitor);
}

static int code_of(enum end end)
{
	static const int codes[END_COUNT] = {
		[END_SUCCEEDED] = FAAS_OK,           [END_FAILED] = FAAS_EFAILED,       [END_TIMED_OUT] = FAAS_ETIMEDOUT,
		[END_EXPIRED] = FAAS_ETIMEDOUT,      [END_CANCELLED] = FAAS_ECANCELLED, [END_DROPPED] = FAAS_EDROPPED,
	};

	return codes[end];
}

void faas__settle_counted(faas_invocation *invocation, enum end end, bool from_monitor)
{
	struct result *result = faas__result_of(invocation);

	result->code = code_of(end);
	result->queued_ns = faas__runtime_now(invocation->function->runtime) - invocation->event->stamp_ns;
	faas__settle_publish(invocation, end, from_monitor);
}

bool faas__settle_unrun(faas_invocation *invocation, enum end end)
{
	faas_function *function = invocation->function;
	faas_invocation *dead = NULL;
	uint64_t freed = 0;
	bool removed;

	/* Under the lock, so that the function does not finish between the move and the count. */
	faas__mutex_lock(&function->mu);
	if (!faas__invocation_move(invocation, PHASE_QUEUED, PHASE_SETTLING)) {
		faas__mutex_unlock(&function->mu);
		return false;
	}
	faas__count_end(function, false, end);
	removed = faas__queue_remove(function, invocation, &freed, &dead);
	sub_seq_cst(&function->load, freed);
	faas__function_unlock_and_finish(function);
	/* Room first: a callback may want it. */
	faas__queue_freed(function, freed);
	faas__settle_counted(invocation, end, false);
	if (removed)
		faas__invocation_unref(invocation);
	faas__dead_unref(dead);
	/* The caller's reference keeps the function in memory. */
	faas__count_published(function);
	return true;
}

bool faas__settle_abandon(faas_invocation *invocation, enum end end, int64_t now, bool from_monitor)
{
	faas_function *function = invocation->function;
	faas_context *context;
	bool has_result = faas__has_result(invocation);

	if (!faas__invocation_move(invocation, PHASE_RUNNING, PHASE_SETTLING))
		return false;
	/* From here on the attempt's thread cannot go past its end; see invocation.h. */
	context = invocation->attempt;
	store_release(&context->is_given_up, 1);
	/* Who cancels may have looked at the clock before the attempt began. */
	if (now < context->started)
		now = context->started;
	if (now > context->deadline)
		now = context->deadline;
	faas__mutex_lock(&function->mu);
	faas__count_end(function, true, end);
	function->counts.overruns++;
	function->counts.overrunning++;
	if (!context->is_init)
		faas__count_run(function, context->queued_ns, now - context->started);
	faas__mutex_unlock(&function->mu);
	faas__thread_stuck_begin(&context->runner->thread);
	if (has_result) {
		struct result *result = faas__result_of(invocation);

		faas_invocation_ref(invocation);
		result->code = context->is_init && end == END_FAILED ? FAAS_EINIT : code_of(end);
		result->is_cold = context->is_cold;
		result->queued_ns = context->queued_ns;
		result->init_ns = context->init_ns + (context->is_init ? now - context->started : 0);
		result->run_ns = context->is_init ? 0 : now - context->started;
	}
	/*
	 * Callbacks may run long, and the thread must not wait for them: it is let go before. The monitor calls none; and
	 * once the thread is let go, the function may finish, which is not for the monitor: so there it is let go last.
	 */
	if (!from_monitor)
		store_release(&context->is_abandoned, 1);
	if (has_result) {
		faas__settle_publish(invocation, end, from_monitor);
		faas__invocation_unref(invocation);
	}
	faas__count_published(function);
	if (from_monitor)
		store_release(&context->is_abandoned, 1);
	return true;
}

static void count_in_tally(struct tally *tally, enum end end, bool was_run, int64_t queued_ns, int64_t run_ns)
{
	if (was_run) {
		uint32_t at = load_relaxed(&tally->samples);

		tally->queue_ns[at] = queued_ns;
		tally->run_ns[at] = run_ns;
		bump_release(&tally->samples, 1);
	}
	bump_release(&tally->ended[end], 1);
}

/* Waits for whoever abandoned the attempt to be done with it. */
static void await_abandoned(faas_context *context)
{
	while (load_acquire(&context->is_abandoned) == 0)
		faas__thread_yield();
}

bool faas__settle_attempt(faas_context *context, enum end end, int code, int handler_result, int64_t now,
                          struct tally *tally)
{
	faas_invocation *invocation = context->invocation;
	bool was_run = !context->is_init;
	struct result *result;
	int64_t took;

	/* Late is late, whether or not anybody saw it pass: it counts up to its deadline. */
	if ((end == END_TIMED_OUT || context->is_init) && now > context->deadline)
		now = context->deadline;
	took = now - context->started;

	if (!faas__has_result(invocation)) {
		/* Only a claimant of the slot could have been at it, and the slot has ended. */
		if (faas__phase_of(load_acquire(&invocation->state)) != PHASE_RUNNING) {
			await_abandoned(context);
			return false;
		}
		store_relaxed(&invocation->state, PHASE_SETTLED);
		count_in_tally(tally, end, was_run, context->queued_ns, took);
		bump_release(&tally->published, 1);
		return true;
	}
	if (!faas__invocation_move(invocation, PHASE_RUNNING, PHASE_SETTLING)) {
		await_abandoned(context);
		return false;
	}
	result = faas__result_of(invocation);
	result->code = code;
	result->handler_result = handler_result;
	result->is_cold = context->is_cold;
	result->queued_ns = context->queued_ns;
	result->init_ns = context->init_ns + (was_run ? 0 : took);
	result->run_ns = was_run ? took : 0;
	if (end == END_SUCCEEDED) {
		result->answer = context->answer;
		context->answer = NULL;
	} else {
		result->message = context->message;
		context->message = NULL;
	}
	count_in_tally(tally, end, was_run, context->queued_ns, took);
	faas__settle_publish(invocation, end, false);
	bump_release(&tally->published, 1);
	return true;
}
