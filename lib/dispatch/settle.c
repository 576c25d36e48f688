/* SPDX-License-Identifier: MIT */
/*
 * Settling: exactly once. Whoever moves the state to SETTLING owns the result, does the counting, and publishes; see
 * invocation.h for the states and function.h for what is counted.
 *
 * Order: count, write the result, publish, tell. So whoever learns that an invocation is settled finds it counted.
 */
#include "dispatch/emission.h"
#include "dispatch/record.h"
#include "dispatch/retry.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

seldom void faas__answer_free(faas_runtime *runtime, struct answer *answer)
{
	if (answer)
		faas__free(&runtime->allocator, answer, answer->block_bytes);
}

seldom void faas__message_free(faas_runtime *runtime, struct message *message)
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
	store_release(&result->is_published, 1);
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

seldom void faas__settle_counted(faas_invocation *invocation, enum end end, int code, bool from_monitor)
{
	struct brief brief = {.code = code != 0 ? code : code_of(end)};

	if (faas__has_result(invocation)) {
		struct result *result = faas__result_of(invocation);

		result->code = brief.code;
		result->handler_result = 0;
		result->total_ns = faas__runtime_now(invocation->function->runtime) - faas__accepted_at(invocation);
		if (invocation->attempts == 0)
			result->queued_ns = result->total_ns;
		faas__settle_publish(invocation, end, from_monitor);
	} else {
		store_release(&invocation->state, PHASE_SETTLED);
	}
	faas__follow(invocation, end, &brief, from_monitor);
}

/* Out of the queue, or out of its delay. False: it is in neither. */
seldom static bool leave_queue(faas_function *function, faas_invocation *invocation, enum end end, bool *ret_removed,
                        uint64_t *ret_freed, faas_invocation **dead) holds_lock(function->mu)
{
	if (faas__invocation_move(invocation, PHASE_DELAYED, PHASE_SETTLING)) {
		faas__retry_unlink(function, invocation);
		*ret_freed += LOAD_EVENT + faas__invocation_bytes(invocation);
		*ret_removed = true;
	} else if (faas__invocation_move(invocation, PHASE_QUEUED, PHASE_SETTLING)) {
		*ret_removed = faas__queue_remove(function, invocation, ret_freed, dead);
	} else {
		return false;
	}
	faas__count_end(function, false, end);
	faas__key_check(function, invocation);
	return true;
}

seldom bool faas__settle_unrun(faas_invocation *invocation, enum end end, int code)
{
	faas_function *function = invocation->function;
	faas_invocation *dead = NULL;
	uint64_t freed = 0;
	bool removed = false;

	/* Under the lock, so that the function does not finish between the move and the count. */
	faas__mutex_lock(&function->mu);
	if (!leave_queue(function, invocation, end, &removed, &freed, &dead)) {
		faas__mutex_unlock(&function->mu);
		return false;
	}
	faas__queue_left(function, freed);
	faas__worker_arm_timer(function);
	faas__function_unlock_and_finish(function);
	/* Room first: a callback may want it. */
	faas__queue_freed(function, freed);
	faas__settle_counted(invocation, end, code, false);
	if (removed)
		faas__invocation_unref(invocation);
	faas__dead_unref(dead);
	/* The caller's reference keeps the function in memory. */
	faas__count_published(function, false);
	return true;
}

/* How an attempt ended, for its result. */
struct attempt_end {
	int code;
	int handler_result;
	bool is_cold;
	uint32_t attempt;
	int64_t queued_ns, init_ns, run_ns, now;
};

static void write_result(faas_invocation *invocation, const struct attempt_end *how)
{
	struct result *result = faas__result_of(invocation);

	result->code = how->code;
	result->handler_result = how->handler_result;
	result->is_cold = how->is_cold;
	if (how->attempt == 1)
		result->queued_ns = how->queued_ns;
	result->init_ns = how->init_ns;
	result->run_ns = how->run_ns;
	result->total_ns = how->now - faas__accepted_at(invocation);
}

/* Counts that an attempt is given up while it runs, and how long it ran until now. */
seldom static void count_overrun(faas_function *function, const faas_context *context, int64_t now)
{
	faas__mutex_lock(&function->mu);
	faas__service(function)->counts.overruns++;
	faas__service(function)->counts.overrunning++;
	if (!context->is_init)
		faas__count_run(function, context->queued_ns, now - context->started);
	faas__mutex_unlock(&function->mu);
}

seldom static void publish_abandoned(faas_invocation *invocation, const struct attempt_end *how, enum end end,
                              bool from_monitor)
{
	struct brief brief = {.code = how->code};

	if (faas__has_result(invocation)) {
		write_result(invocation, how);
		faas__settle_publish(invocation, end, from_monitor);
	} else {
		store_release(&invocation->state, PHASE_SETTLED);
	}
	faas__follow(invocation, end, &brief, from_monitor);
}

seldom bool faas__settle_abandon(faas_invocation *invocation, enum end end, int64_t now, bool from_monitor)
{
	faas_function *function = invocation->function;
	bool has_result = faas__has_result(invocation);
	/* A caller that gives up does so for good; a deadline may be followed by another attempt. */
	bool retries = from_monitor && end != END_CANCELLED &&
	               faas__retry_is_possible(invocation, invocation->attempts, false);
	struct attempt_end how;
	faas_context *context;

	if (!faas__invocation_move(invocation, PHASE_RUNNING, retries ? PHASE_STARTING : PHASE_SETTLING))
		return false;
	/* From here on the attempt's thread cannot go past its end; see invocation.h. */
	context = invocation->attempt;
	store_release(&context->is_given_up, 1);
	/* Who cancels may have looked at the clock before the attempt began. */
	if (now < context->started)
		now = context->started;
	if (now > context->deadline)
		now = context->deadline;
	how = (struct attempt_end){
		.code = context->is_init && end == END_FAILED ? FAAS_EINIT : code_of(end),
		.is_cold = context->is_cold,
		.attempt = context->attempt,
		.queued_ns = context->queued_ns,
		.init_ns = context->init_ns + (context->is_init ? now - context->started : 0),
		.run_ns = context->is_init ? 0 : now - context->started,
		.now = now,
	};
	count_overrun(function, context, now);
	faas__thread_stuck_begin(&context->runner->thread);
	if (retries && has_result)
		write_result(invocation, &how);
	if (retries && faas__retry(invocation, how.attempt, now, &end, &how.code)) {
		store_release(&context->is_abandoned, 1);
		return true;
	}
	faas__mutex_lock(&function->mu);
	faas__count_end(function, true, end);
	faas__mutex_unlock(&function->mu);
	/*
	 * Callbacks may run long, and the thread must not wait for them: it is let go before. The monitor calls none; and
	 * once the thread is let go, the function may finish, which is not for the monitor: so there it is let go last.
	 */
	if (has_result)
		faas_invocation_ref(invocation);
	if (!from_monitor)
		store_release(&context->is_abandoned, 1);
	publish_abandoned(invocation, &how, end, from_monitor);
	if (has_result)
		faas__invocation_unref(invocation);
	faas__count_published(function, from_monitor);
	if (from_monitor)
		store_release(&context->is_abandoned, 1);
	return true;
}

/* Waits for whoever abandoned the attempt to be done with it. */
static void await_abandoned(faas_context *context)
{
	while (load_acquire(&context->is_abandoned) == 0)
		faas__thread_yield();
}

/* RUNNING -> `to`. False: somebody gave the attempt up. */
static bool win(faas_context *context, uint32_t to)
{
	faas_invocation *invocation = context->invocation;

	if (faas__has_result(invocation) && !faas__is_private(invocation))
		return faas__invocation_end_attempt(invocation, context->attempt, to);
	/* Only a claimant of the slot could have been at it, and the slot has ended. */
	if (unlikely(load_acquire(&context->is_given_up) != 0))
		return false;
	store_relaxed(&invocation->state, to == PHASE_SETTLING ? PHASE_SETTLED : to);
	return true;
}

static void publish_attempt(faas_context *context, const struct attempt_end *how, enum end end)
{
	faas_invocation *invocation = context->invocation;
	struct brief brief = {.code = how->code, .handler_result = how->handler_result, .message = &context->message};

	if (faas__has_result(invocation)) {
		struct result *result = faas__result_of(invocation);

		write_result(invocation, how);
		if (end == END_SUCCEEDED) {
			result->answer = context->answer;
			context->answer = NULL;
		} else {
			result->message = context->message;
			context->message = NULL;
		}
		/* Of a private one the only thread that could ask is this one. */
		if (!faas__is_private(invocation))
			faas__settle_publish(invocation, end, false);
	}
	if (unlikely(faas__is_followed(invocation->function, end)))
		faas__follow(invocation, end, &brief, false);
}

/* The common case: a success that nobody can ask for, or only the caller that waits, and that nothing follows. */
static bool settle_quietly(faas_context *context, int64_t now, struct tally *tally)
{
	if (unlikely(load_acquire(&context->is_given_up) != 0)) {
		await_abandoned(context);
		return false;
	}
	faas__settle_unasked(context, now, tally);
	return true;
}

bool faas__settle_attempt(faas_context *context, enum end end, int code, int handler_result, int64_t now,
                          struct tally *tally)
{
	faas_invocation *invocation = context->invocation;
	bool was_run = !context->is_init;
	bool retries = unlikely(end != END_SUCCEEDED) &&
	               faas__retry_is_possible(invocation, context->attempt, context->is_permanent);
	struct attempt_end how;

	/* A function with a destination gives every invocation a result. */
	if (likely(end == END_SUCCEEDED && (!faas__has_result(invocation) || faas__is_private(invocation))))
		return settle_quietly(context, now, tally);
	/* Late is late, whether or not anybody saw it pass: it counts up to its deadline. */
	if ((end == END_TIMED_OUT || context->is_init) && now > context->deadline)
		now = context->deadline;
	if (!win(context, retries ? PHASE_STARTING : PHASE_SETTLING)) {
		await_abandoned(context);
		return false;
	}
	if (was_run)
		faas__tally_sample(tally, context->queued_ns, now - context->started);
	how = (struct attempt_end){
		.code = code,
		.handler_result = end == END_FAILED ? handler_result : 0,
		.is_cold = context->is_cold,
		.attempt = context->attempt,
		.queued_ns = context->queued_ns,
		.init_ns = context->init_ns + (was_run ? 0 : now - context->started),
		.run_ns = was_run ? now - context->started : 0,
		.now = now,
	};
	if (retries) {
		/* The times of an attempt stay, should it turn out to be the last. */
		if (faas__has_result(invocation))
			write_result(invocation, &how);
		if (faas__retry(invocation, context->attempt, now, &end, &how.code))
			return true;
		if (!faas__has_result(invocation))
			store_relaxed(&invocation->state, PHASE_SETTLED);
		if (end != END_FAILED)
			how.handler_result = 0;
	}
	bump_release(&tally->ended[end], 1);
	publish_attempt(context, &how, end);
	bump_release(&tally->published, 1);
	return true;
}
