/* SPDX-License-Identifier: MIT */
/* What an invocation's handle tells. */
#include <string.h>

#include "base/config.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

faas_invocation *faas_invocation_ref(faas_invocation *invocation)
{
	if (invocation)
		add_relaxed(&invocation->refs, 1);
	return invocation;
}

void faas_invocation_unref(faas_invocation *invocation)
{
	if (invocation && !faas__runtime_is_forked(invocation->function->runtime))
		faas__invocation_unref(invocation);
}

const faas_event *faas_invocation_event(const faas_invocation *invocation)
{
	return faas__event_of(invocation);
}

const char *faas_invocation_function(const faas_invocation *invocation)
{
	return faas_function_name(invocation->function);
}

int faas_invocation_status(const faas_invocation *invocation)
{
	uint32_t state = load_acquire(&invocation->state);

	switch (faas__phase_of(state)) {
	case PHASE_QUEUED:
		return FAAS_STATUS_QUEUED;
	case PHASE_DELAYED:
		return FAAS_STATUS_DELAYED;
	case PHASE_DEFERRED:
		return FAAS_STATUS_DEFERRED;
	case PHASE_SETTLED:
		return (int)((state & STATUS_MASK) >> STATUS_SHIFT);
	default:
		return FAAS_STATUS_RUNNING;
	}
}

int faas_invocation_outcome(const faas_invocation *invocation)
{
	if (!faas__is_settled(invocation))
		return FAAS_EPENDING;
	/* Without a result it is a dead letter. */
	return faas__has_result(invocation) ? faas__result_of(invocation)->code : invocation->letter.code;
}

const char *faas_invocation_message(const faas_invocation *invocation)
{
	const struct message *message;
	int code = faas_invocation_outcome(invocation);

	if (code == FAAS_EPENDING || code == FAAS_OK)
		return "";
	message = faas__has_result(invocation) ? faas__result_of(invocation)->message : invocation->letter.message;
	return message ? message->text : faas_strerror(code);
}

int faas_invocation_handler_result(const faas_invocation *invocation)
{
	if (!faas__is_settled(invocation))
		return 0;
	return faas__has_result(invocation) ? faas__result_of(invocation)->handler_result :
	                                      invocation->letter.handler_result;
}

int faas_invocation_answer(const faas_invocation *invocation, const void **ret_data, uint64_t *ret_bytes,
                           const char **ret_content_type)
{
	const struct answer *answer;
	int code;

	if (!invocation)
		return FAAS_EINVAL;
	code = faas_invocation_outcome(invocation);
	if (code != FAAS_OK)
		return code;
	answer = faas__result_of(invocation)->answer;
	if (!answer)
		return FAAS_ENOTFOUND;
	if (ret_data)
		*ret_data = answer->data;
	if (ret_bytes)
		*ret_bytes = answer->bytes;
	if (ret_content_type)
		*ret_content_type = answer->content_type;
	return FAAS_OK;
}

int faas_invocation_timing(const faas_invocation *invocation, struct faas_timing_stats *ret_timing)
{
	const struct result *result;
	struct faas_timing_stats timing = {0};

	if (!invocation || !ret_timing)
		return FAAS_EINVAL;
	if (!faas__is_settled(invocation))
		return FAAS_EPENDING;
	timing.attempts = invocation->attempts;
	if (!faas__has_result(invocation))
		return faas__stats_write(ret_timing, &timing, sizeof(timing));
	result = faas__result_of(invocation);
	timing.is_cold = (int32_t)result->is_cold;
	timing.queued_ns = result->queued_ns;
	timing.init_ns = result->init_ns;
	timing.run_ns = result->run_ns;
	timing.total_ns = result->total_ns;
	return faas__stats_write(ret_timing, &timing, sizeof(timing));
}

/* A dead letter without a result has no room for a callback, and needs none. */
static void call_for_letter(faas_invocation *invocation, faas_settled_fn *callback, void *user)
{
	struct frame frame;

	faas__callback_enter(&frame, invocation->function->runtime);
	callback(invocation, user);
	faas__callback_leave(&frame);
}

static void call_settled(struct callback *callback)
{
	struct result *result = container_of(callback, struct result, callback);
	faas_invocation *invocation = (faas_invocation *)(void *)result - 1;

	result->on_settled(invocation, result->on_settled_user);
	faas__invocation_unref(invocation);
}

int faas_invocation_on_settled(faas_invocation *invocation, faas_settled_fn *callback, void *user)
{
	struct result *result;

	if (!invocation || !callback)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(invocation->function->runtime))
		return FAAS_EFORKED;
	if (or_acq_rel(&invocation->state, CALLBACK_TAKEN) & CALLBACK_TAKEN)
		return FAAS_EEXIST;
	if (!faas__has_result(invocation)) {
		call_for_letter(invocation, callback, user);
		return FAAS_OK;
	}
	result = faas__result_of(invocation);
	result->callback.call = call_settled;
	result->on_settled = callback;
	result->on_settled_user = user;
	faas_invocation_ref(invocation);
	/* Either this sees the settlement, or the settlement sees this: then it calls. */
	if (faas__phase_of(or_acq_rel(&invocation->state, HAS_CALLBACK)) == PHASE_SETTLED)
		faas__callback_now(invocation->function->runtime, &result->callback);
	return FAAS_OK;
}
