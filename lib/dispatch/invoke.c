/* SPDX-License-Identifier: MIT */
/*
 * Invoking one function: the emit without a look-up. A synchronous call then waits, with the caller's timeout as the
 * attempt's deadline; where its time runs out, the caller itself settles the invocation and need not be woken.
 */
#include "dispatch/defer.h"
#include "dispatch/emit.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"

static int offer_invoke(struct offer *offer, faas_function *function, bool has_handle,
                        faas_invocation **ret_invocation)
{
	struct lane *lane = faas__lane_enter(offer->runtime, offer->runner);
	struct parcel parcel = {.has_handle = has_handle};
	int code;

	faas__parcel_begin(&parcel, offer, lane);
	code = faas__offer_to(offer, lane, function, &parcel, ret_invocation);
	faas__lane_leave(lane);
	if (unlikely(code == FAAS_EFULL || code == FAAS_ERUNTIMEFULL))
		code = faas__offer_until(offer, function, &parcel, code, ret_invocation);
	if (unlikely(code != FAAS_OK))
		faas__count_rejected(function, code);
	faas__offer_end(offer);
	return code;
}

static const char *const invoke_type = "faas.invoke";

seldom int faas__invoke_async(faas_function *function, faas_context *context, const faas_event_config *event,
                       faas_invocation **ret_invocation)
{
	struct offer offer;
	faas_invocation *invocation;
	int error = faas__offer_begin(&offer, function->runtime, context, event, invoke_type);

	if (error != FAAS_OK) {
		if (error == FAAS_ECLOSED)
			faas__count_rejected(function, error);
		return error;
	}
	error = offer_invoke(&offer, function, ret_invocation != NULL, &invocation);
	if (error == FAAS_OK && ret_invocation)
		*ret_invocation = invocation;
	return error;
}

/* The caller's time is over: nobody waits any more. */
seldom static void give_up(faas_invocation *invocation)
{
	int64_t now = faas__runtime_now(invocation->function->runtime);

	while (!faas__is_settled(invocation)) {
		if (faas__settle_unrun(invocation, END_EXPIRED, 0) ||
		    faas__settle_abandon(invocation, END_TIMED_OUT, now, false) ||
		    faas__defer_end(invocation, END_TIMED_OUT, false))
			return;
		/* Somebody is settling it this moment. */
		faas__thread_yield();
	}
}

static int await_outcome(faas_invocation *invocation, int64_t until)
{
	int error = faas__await(invocation, until);

	if (error == FAAS_EPENDING) {
		give_up(invocation);
		error = FAAS_OK;
	}
	if (error == FAAS_OK)
		return faas_invocation_outcome(invocation);
	(void)faas_invocation_cancel(invocation);
	return error;
}

/*
 * Makes and runs it on this runner. RUN_CLAIMED, or why not; then nothing has happened. Nothing is looked up, and the lane
 * is this thread's own: it need not be entered.
 */
static int run_inline(struct offer *offer, struct runner *runner, faas_function *function, struct parcel *parcel,
                      faas_invocation **ret_invocation)
{
	struct lane *lane = &runner->lane;
	faas_invocation *invocation;
	int code;

	/* It starts at once, and needs the exact time anyway. */
	runner->now = faas__stopwatch_now(&runner->watch, runner->now);
	parcel->stamp_ns = runner->now;
	parcel->sequence = faas__lane_next_id(offer->runtime, lane);
	parcel->is_private = parcel->is_borrowed;
	invocation = faas__parcel_make(offer, lane, function, parcel);
	/* Should it have to be queued after all, others will have it as well. */
	parcel->is_private = false;
	if (!invocation)
		return FAAS_ENOMEM;
	/* The caller's alone: no queue will have one. */
	store_relaxed(&invocation->refs, 1);
	code = faas__run_unqueued(runner, invocation);
	if (code != RUN_CLAIMED) {
		faas__parcel_unmake(lane, invocation);
		return code;
	}
	*ret_invocation = invocation;
	return code;
}

/* Nearly always the run is over, nobody wants to know more of it, and its block can go back where it came from. */
static void let_go(struct runner *runner, faas_invocation **invocation, int *ret_code)
{
	if (unlikely(!faas__is_settled(*invocation)))
		return;
	*ret_code = faas_invocation_outcome(*invocation);
	faas__invocation_unref_in(*invocation, &runner->lane);
	*invocation = NULL;
}

/*
 * Runs it here if a slot and a worker are free. False: it goes to the queue like any other. `*ret_invocation` NULL: it is
 * over, with `*ret_code`; where the caller keeps a handle, never.
 */
static bool invoke_inline(struct offer *offer, faas_function *function, struct parcel *parcel,
                          faas_invocation **ret_invocation, int *ret_code)
{
	struct runner *runner = offer->runner ? offer->runner : faas__guest_get(offer->runtime);
	int code;

	if (!runner)
		return false;
	code = run_inline(offer, runner, function, parcel, ret_invocation);
	if (code == RUN_CLAIMED && parcel->is_borrowed)
		let_go(runner, ret_invocation, ret_code);
	if (!offer->runner)
		faas__guest_put(runner);
	return code == RUN_CLAIMED;
}

/* Whether the function's rate lets nothing begin before the deadline that is not queued yet. */
seldom static bool is_throttled(faas_function *function, int64_t deadline)
{
	uint64_t behind;
	bool is_closed;
	int64_t next;

	if (deadline == TIME_NEVER)
		return false;
	faas__mutex_lock(&function->mu);
	behind = LOAD_EVENTS(faas__queue_load(function)) - faas__queue_delayed(function);
	next = faas__rate_next(function, faas__runtime_now(function->runtime), behind);
	is_closed = load_relaxed(&function->is_closed) != 0;
	faas__mutex_unlock(&function->mu);
	/* Of a closed one the refusal is another. */
	return !is_closed && next >= deadline;
}

static int invoke_and_wait(struct offer *offer, faas_function *function, int64_t timeout_ns, bool keeps_handle,
                           faas_invocation **ret_invocation)
{
	bool is_inline = (function->flags & FAAS_FUNCTION_INLINE) != 0;
	struct parcel parcel = {.has_handle = true, .is_sync = true, .is_borrowed = !keeps_handle};
	int64_t own = offer->plan.config->timeout_ms;
	struct lane *lane;
	int code = FAAS_OK;

	if (own != 0 && faas__ms_to_ns(own) < timeout_ns)
		timeout_ns = faas__ms_to_ns(own);
	parcel.deadline = TIME_NEVER;
	if (timeout_ns != TIME_NEVER)
		parcel.deadline = faas__time_after(faas__runtime_now(offer->runtime), timeout_ns);
	if (unlikely(function->rate_interval_ns != 0) && is_throttled(function, parcel.deadline)) {
		faas__count_rejected(function, FAAS_ETHROTTLED);
		return FAAS_ETHROTTLED;
	}
	if (is_inline && invoke_inline(offer, function, &parcel, ret_invocation, &code))
		return *ret_invocation ? await_outcome(*ret_invocation, parcel.deadline) : code;
	lane = faas__lane_enter(offer->runtime, offer->runner);
	if (parcel.sequence == 0) {
		parcel.sequence = faas__lane_next_id(offer->runtime, lane);
		parcel.stamp_ns = faas__offer_now(offer);
	}
	code = faas__offer_to(offer, lane, function, &parcel, ret_invocation);
	faas__lane_leave(lane);
	faas__offer_end(offer);
	if (code != FAAS_OK) {
		faas__count_rejected(function, code);
		return code;
	}
	return await_outcome(*ret_invocation, parcel.deadline);
}

int faas__invoke(faas_function *function, faas_context *context, const faas_event_config *event, int64_t timeout_ms,
                 faas_invocation **ret_invocation)
{
	faas_runtime *runtime = function->runtime;
	faas_invocation *invocation = NULL;
	struct frame *frame;
	struct offer offer;
	int error;

	if (timeout_ms < FAAS_NEVER || timeout_ms > FAAS_MAX_DURATION_MS)
		return FAAS_EINVAL;
	error = faas__offer_begin(&offer, runtime, context, event, invoke_type);
	if (error != FAAS_OK) {
		if (error == FAAS_ECLOSED)
			faas__count_rejected(function, error);
		return error;
	}
	frame = faas__frame_of(runtime);
	if (frame && frame->kind != FRAME_HANDLER) {
		faas__count_rejected(function, FAAS_EDEADLK);
		return FAAS_EDEADLK;
	}
	error = invoke_and_wait(&offer, function, timeout_ms > 0 ? faas__ms_to_ns(timeout_ms) : TIME_NEVER,
	                        ret_invocation != NULL, &invocation);
	if (ret_invocation)
		*ret_invocation = invocation;
	else if (invocation)
		faas__invocation_unref(invocation);
	return error;
}

/* ---- Public calls ------------------------------------------------------------------------------------------------ */

/* Calls made inside a handler are linked to it as if they had been made through its context. */
static faas_context *current_context(const faas_runtime *runtime)
{
	struct frame *frame = faas__frame_of(runtime);

	return frame ? frame->context : NULL;
}

int faas_function_invoke(faas_function *function, const faas_event_config *event, int64_t timeout_ms,
                         faas_invocation **ret_invocation)
{
	if (ret_invocation)
		*ret_invocation = NULL;
	if (!function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	return faas__invoke(function, current_context(function->runtime), event, timeout_ms, ret_invocation);
}

int faas_function_invoke_async(faas_function *function, const faas_event_config *event,
                               faas_invocation **ret_invocation)
{
	if (!function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	return faas__invoke_async(function, current_context(function->runtime), event, ret_invocation);
}

seldom int faas_invoke(faas_runtime *runtime, const char *name, const faas_event_config *event, int64_t timeout_ms,
                faas_invocation **ret_invocation)
{
	faas_function *function;
	int error;

	if (ret_invocation)
		*ret_invocation = NULL;
	if (!runtime || !name)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	error = faas__function_get(runtime, name, &function);
	if (error != FAAS_OK)
		return error;
	error = faas__invoke(function, current_context(runtime), event, timeout_ms, ret_invocation);
	faas_function_unref(function);
	return error;
}

seldom int faas_invoke_async(faas_runtime *runtime, const char *name, const faas_event_config *event,
                      faas_invocation **ret_invocation)
{
	faas_function *function;
	int error;

	if (!runtime || !name)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	error = faas__function_get(runtime, name, &function);
	if (error != FAAS_OK)
		return error;
	error = faas__invoke_async(function, current_context(runtime), event, ret_invocation);
	faas_function_unref(function);
	return error;
}
