/* SPDX-License-Identifier: MIT */
/*
 * Deferred completion; see defer.h for the stages.
 *
 * Whoever moves a deferral from PENDING to CLOSED, under the function's lock, settles the invocation or puts it off for a
 * retry. Until that is done it keeps the slot (retry) or counts as unpublished (settlement), so that the function does
 * not finish meanwhile.
 */
#include "dispatch/defer.h"

#include <string.h>

#include "dispatch/record.h"
#include "dispatch/retry.h"
#include "dispatch/runtime.h"
#include "faas/context.h"

static void drop(faas_deferral *deferral)
{
	faas_runtime *runtime = deferral->function->runtime;
	faas_function *function = deferral->function;

	if (sub_acq_rel(&deferral->refs, 1) != 1)
		return;
	faas__answer_free(runtime, deferral->answer);
	faas__message_free(runtime, deferral->message);
	faas__invocation_unref(deferral->invocation);
	faas__free(&runtime->allocator, deferral, sizeof(*deferral));
	faas_function_unref(function);
}

/* ---- In the handler ---------------------------------------------------------------------------------------------- */

int faas_context_defer(faas_context *context, faas_deferral **ret_deferral)
{
	faas_deferral *deferral;

	if (!context)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(context->runner->runtime))
		return FAAS_EFORKED;
	if (!ret_deferral)
		return faas__context_note(context, FAAS_EINVAL);
	if (context->is_init)
		return faas__context_note(context, FAAS_ESTATE);
	if (context->deferral)
		return faas__context_note(context, FAAS_EEXIST);
	deferral = faas__alloc_zero(&context->runner->runtime->allocator, sizeof(*deferral));
	if (!deferral)
		return faas__context_note(context, FAAS_ENOMEM);
	store_relaxed(&deferral->tokens, 1);
	store_relaxed(&deferral->refs, 2);
	deferral->function = faas_function_ref(context->function);
	deferral->invocation = faas_invocation_ref(context->invocation);
	deferral->context = context;
	deferral->attempt = context->attempt;
	deferral->stage = DEFER_OPEN;
	context->deferral = deferral;
	*ret_deferral = deferral;
	return FAAS_OK;
}

void faas__defer_close(faas_context *context)
{
	faas_deferral *deferral = context->deferral;

	context->deferral = NULL;
	faas__mutex_lock(&deferral->function->mu);
	deferral->stage = DEFER_CLOSED;
	faas__mutex_unlock(&deferral->function->mu);
	drop(deferral);
}

/* From a running attempt to DEFERRED. False: the attempt had been given up. */
static bool leave_running(faas_context *context)
{
	faas_invocation *invocation = context->invocation;

	if (faas__has_result(invocation))
		return faas__invocation_end_attempt(invocation, context->attempt, PHASE_STARTING);
	if (load_acquire(&context->is_given_up) != 0)
		return false;
	return faas__invocation_move(invocation, PHASE_RUNNING, PHASE_STARTING);
}

static void begin_pending(faas_function *function, faas_context *context, int64_t now) holds_lock(function->mu)
{
	faas_deferral *deferral = context->deferral;

	deferral->stage = DEFER_PENDING;
	deferral->started = context->started;
	deferral->queued_ns = context->queued_ns;
	deferral->init_ns = context->init_ns;
	deferral->is_cold = context->is_cold;
	deferral->answer = context->answer;
	context->answer = NULL;
	deferral->due.key = context->deadline;
	deferral->due.second = faas__service(function)->delay_number++;
	faas__heap_insert(&faas__service(function)->deferrals, &deferral->due);
	faas__service(function)->deferred++;
	function->defers = true;
	faas__service(function)->counts.deferrals++;
	faas__count_run(function, context->queued_ns, now - context->started);
	context->invocation->deferral = deferral;
	context->deferral = NULL;
	(void)faas__invocation_move(deferral->invocation, PHASE_STARTING, PHASE_DEFERRED);
	faas__worker_arm_timer(function);
}

enum deferred faas__defer_return(faas_context *context, int64_t now)
{
	faas_function *function = context->function;
	faas_deferral *deferral = context->deferral;
	enum deferred result = DEFERRED_COMPLETED;

	faas__mutex_lock(&function->mu);
	if (deferral->stage == DEFER_OPEN) {
		result = leave_running(context) ? DEFERRED_PENDING : DEFERRED_LOST;
		if (result == DEFERRED_PENDING)
			begin_pending(function, context, now);
	}
	faas__mutex_unlock(&function->mu);
	return result;
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

/* How it ends. */
struct ending {
	enum end end;
	int code;
	bool is_permanent;
	int64_t now;
	bool from_monitor;
};

/* PENDING -> CLOSED. True: it may be retried, and is STARTING, else SETTLING and counted. */
static bool close_pending(faas_function *function, faas_deferral *deferral, struct ending *ending)
	holds_lock(function->mu)
{
	faas_invocation *invocation = deferral->invocation;
	bool retries = ending->end != END_SUCCEEDED && ending->end != END_CANCELLED &&
	               faas__retry_is_possible(invocation, deferral->attempt, ending->is_permanent);

	/* Who ends it may have looked at the clock before the attempt began. */
	if (ending->now < deferral->started)
		ending->now = deferral->started;
	deferral->stage = DEFER_CLOSED;
	faas__heap_remove(&faas__service(function)->deferrals, &deferral->due);
	faas__service(function)->deferred--;
	(void)faas__invocation_move(invocation, PHASE_DEFERRED, retries ? PHASE_STARTING : PHASE_SETTLING);
	if (retries)
		return true;
	faas__count_end(function, true, ending->end);
	faas__slot_free(function);
	faas__key_check(function, invocation);
	return false;
}

/* Of the attempt, should it turn out to be the last. */
static void write_times(const faas_deferral *deferral, const struct ending *ending)
{
	struct result *result = faas__result_of(deferral->invocation);

	result->handler_result = 0;
	result->is_cold = deferral->is_cold;
	if (deferral->attempt == 1)
		result->queued_ns = deferral->queued_ns;
	result->init_ns = deferral->init_ns;
	result->run_ns = ending->now - deferral->started;
	result->total_ns = ending->now - faas__accepted_at(deferral->invocation);
}

/* It was DEFERRED and is SETTLING and counted: everything else. No lock is held. */
static void settle(faas_deferral *deferral, const struct ending *ending)
{
	faas_invocation *invocation = deferral->invocation;
	struct brief brief = {.code = ending->code, .message = &deferral->message};

	if (faas__has_result(invocation)) {
		struct result *result = faas__result_of(invocation);

		result->code = ending->code;
		write_times(deferral, ending);
		if (ending->end == END_SUCCEEDED) {
			result->answer = deferral->answer;
			deferral->answer = NULL;
		} else {
			result->message = deferral->message;
			deferral->message = NULL;
		}
		faas__settle_publish(invocation, ending->end, ending->from_monitor);
	} else {
		(void)faas__invocation_move(invocation, PHASE_SETTLING, PHASE_SETTLED);
	}
	faas__follow(invocation, ending->end, &brief, ending->from_monitor);
	faas__count_published(deferral->function, ending->from_monitor);
}

/* It was DEFERRED and is STARTING: perhaps another attempt. No lock is held. */
static void retry_or_settle(faas_deferral *deferral, struct ending *ending)
{
	faas_function *function = deferral->function;
	faas_invocation *invocation = deferral->invocation;
	bool again;

	if (faas__has_result(invocation))
		write_times(deferral, ending);
	again = faas__retry(invocation, deferral->attempt, ending->now, &ending->end, &ending->code);

	faas__mutex_lock(&function->mu);
	if (!again)
		faas__count_end(function, true, ending->end);
	faas__slot_free(function);
	faas__key_check(function, invocation);
	faas__function_unlock_from(function, ending->from_monitor);
	if (!again)
		settle(deferral, ending);
}

/* After close_pending, out of the lock; `retries` is what it said. Drops the invocation's reference to the deferral. */
static void finish(faas_deferral *deferral, struct ending *ending, bool retries)
{
	faas_runtime *runtime = deferral->function->runtime;

	if (retries)
		retry_or_settle(deferral, ending);
	else
		settle(deferral, ending);
	faas__share_tell(runtime);
	drop(deferral);
}

static struct ending ending_of(const faas_function *function, enum end end, bool from_monitor)
{
	struct ending ending = {.end = end, .from_monitor = from_monitor};

	ending.code = end == END_CANCELLED ? FAAS_ECANCELLED : FAAS_ETIMEDOUT;
	ending.now = faas__runtime_now(function->runtime);
	/* Whoever gives up for its caller's sake does so for good. */
	ending.is_permanent = true;
	return ending;
}

bool faas__defer_end(faas_invocation *invocation, enum end end, bool from_monitor)
{
	faas_function *function = invocation->function;
	struct ending ending = ending_of(function, end, from_monitor);
	faas_deferral *deferral = NULL;

	faas__mutex_lock(&function->mu);
	if (faas__phase_of(load_acquire(&invocation->state)) == PHASE_DEFERRED) {
		deferral = invocation->deferral;
		(void)close_pending(function, deferral, &ending);
	}
	faas__mutex_unlock(&function->mu);
	if (deferral)
		finish(deferral, &ending, false);
	return deferral != NULL;
}

static faas_deferral *first_pending(faas_function *function) holds_lock(function->mu)
{
	struct heap_node *first = faas__heap_first(&faas__service(function)->deferrals);

	return first ? container_of(first, faas_deferral, due) : NULL;
}

bool faas__defer_expire_one(faas_function *function, int64_t now, bool from_monitor)
{
	struct ending ending = ending_of(function, END_TIMED_OUT, from_monitor);
	faas_deferral *deferral;
	bool retries = false;

	ending.is_permanent = false;
	faas__mutex_lock(&function->mu);
	deferral = first_pending(function);
	if (deferral && deferral->due.key > now)
		deferral = NULL;
	if (deferral) {
		ending.now = deferral->due.key;
		retries = close_pending(function, deferral, &ending);
	}
	faas__mutex_unlock(&function->mu);
	if (deferral)
		finish(deferral, &ending, retries);
	return deferral != NULL;
}

bool faas__defer_cancel_one(faas_function *function, bool from_monitor)
{
	struct ending ending = ending_of(function, END_CANCELLED, from_monitor);
	faas_deferral *deferral;

	faas__mutex_lock(&function->mu);
	deferral = first_pending(function);
	if (deferral)
		(void)close_pending(function, deferral, &ending);
	faas__mutex_unlock(&function->mu);
	if (deferral)
		finish(deferral, &ending, false);
	return deferral != NULL;
}

int64_t faas__defer_due(const faas_function *function)
{
	const struct heap_node *first = faas__heap_first(&faas__service(function)->deferrals);

	return first ? first->key : TIME_NEVER;
}

/* ---- Completing -------------------------------------------------------------------------------------------------- */

/* The answer and message pass to the deferral where the completion counts; else they stay the caller's. */
static int complete(faas_deferral *deferral, struct ending *ending, struct answer **answer, struct message **message)
{
	faas_function *function = deferral->function;
	faas_runtime *runtime = function->runtime;
	bool finishes = false, retries = false;
	struct answer *old = NULL;
	int result = FAAS_OK;

	ending->now = faas__runtime_now(runtime);
	faas__mutex_lock(&function->mu);
	if (deferral->stage == DEFER_OPEN && load_acquire(&deferral->context->is_given_up) == 0) {
		deferral->stage = DEFER_COMPLETED;
	} else if (deferral->stage == DEFER_PENDING && ending->now < deferral->due.key) {
		finishes = true;
	} else {
		result = FAAS_ESETTLED;
	}
	if (result == FAAS_OK) {
		deferral->end = ending->end;
		deferral->code = ending->code;
		deferral->is_permanent = ending->is_permanent;
		if (*answer) {
			old = deferral->answer;
			deferral->answer = *answer;
			*answer = NULL;
		}
		deferral->message = *message;
		*message = NULL;
	}
	if (finishes)
		retries = close_pending(function, deferral, ending);
	faas__mutex_unlock(&function->mu);
	faas__answer_free(runtime, old);
	if (finishes)
		finish(deferral, ending, retries);
	return result;
}

int faas_complete(faas_deferral *deferral, const void *data, uint64_t bytes, const char *content_type)
{
	struct ending ending = {.end = END_SUCCEEDED, .code = FAAS_OK};
	struct answer *answer = NULL;
	struct message *message = NULL;
	faas_runtime *runtime;
	int result;

	if (!deferral)
		return FAAS_EINVAL;
	runtime = deferral->function->runtime;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (data || bytes > 0 || content_type) {
		result = faas__answer_new(runtime, deferral->invocation, data, bytes, content_type, &answer);
		if (result != FAAS_OK)
			return result;
	}
	result = complete(deferral, &ending, &answer, &message);
	faas__answer_free(runtime, answer);
	return result;
}

static int complete_failed(faas_deferral *deferral, const char *text, int code, bool is_permanent)
{
	struct ending ending = {.end = END_FAILED, .code = code, .is_permanent = is_permanent};
	struct answer *answer = NULL;
	struct message *message;
	faas_runtime *runtime;
	int result;

	if (!deferral)
		return FAAS_EINVAL;
	runtime = deferral->function->runtime;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	message = text ? faas__message_new(runtime, deferral->invocation, text) : NULL;
	result = complete(deferral, &ending, &answer, &message);
	faas__message_free(runtime, message);
	return result;
}

int faas_complete_failed(faas_deferral *deferral, const char *message)
{
	return complete_failed(deferral, message, FAAS_EFAILED, false);
}

int faas_complete_failed_permanent(faas_deferral *deferral, const char *message)
{
	return complete_failed(deferral, message, FAAS_EFAILED, true);
}

int faas_deferral_is_open(const faas_deferral *given)
{
	/* The lock is no part of what callers see as the token's value. */
	faas_deferral *deferral = (faas_deferral *)(uintptr_t)given;
	int64_t now;
	bool is_open;

	if (!deferral || faas__runtime_is_forked(deferral->function->runtime))
		return 0;
	now = faas__runtime_now(deferral->function->runtime);
	faas__mutex_lock(&deferral->function->mu);
	is_open = (deferral->stage == DEFER_PENDING && now < deferral->due.key) ||
	          (deferral->stage == DEFER_OPEN && load_acquire(&deferral->context->is_given_up) == 0);
	faas__mutex_unlock(&deferral->function->mu);
	return is_open;
}

faas_deferral *faas_deferral_ref(faas_deferral *deferral)
{
	if (deferral)
		add_relaxed(&deferral->tokens, 1);
	return deferral;
}

void faas_deferral_unref(faas_deferral *deferral)
{
	if (!deferral || faas__runtime_is_forked(deferral->function->runtime))
		return;
	if (sub_acq_rel(&deferral->tokens, 1) != 1)
		return;
	/* Nobody is left who could complete it. */
	(void)complete_failed(deferral, NULL, FAAS_EABANDONED, false);
	drop(deferral);
}
