/* SPDX-License-Identifier: MIT */
/* Blocks and references of invocations, and what their handles tell. The states are in invocation.h. */
#include "dispatch/invocation.h"

#include <string.h>

#include "base/config.h"
#include "dispatch/emission.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* Sizes go into 32 bits; FAAS_MAX_DATA keeps them there. */
static uint32_t block_size(size_t bytes)
{
	return (uint32_t)faas__block_size(bytes);
}

bool faas__invocation_move(faas_invocation *invocation, uint32_t from, uint32_t to)
{
	uint32_t state = load_acquire(&invocation->state);

	while (faas__phase_of(state) == from)
		if (cas_seq_cst(&invocation->state, &state, (state & ~PHASE_MASK) | to))
			return true;
	return false;
}

faas_invocation *faas__invocation_new(faas_runtime *runtime, struct lane *lane, faas_function *function,
                                      const struct event_plan *plan, struct shared_event *shared, bool has_result,
                                      uint64_t sequence, int64_t stamp_ns)
{
	size_t header = sizeof(faas_invocation) + (has_result ? sizeof(struct result) : 0);
	uint32_t bytes = block_size(header + (shared ? 0 : plan->bytes));
	faas_invocation *invocation = faas__block_alloc(&runtime->pool, &lane->blocks, bytes);

	if (unlikely(!invocation))
		return NULL;
	invocation->function = function;
	invocation->block_bytes = bytes;
	invocation->attempts = 0;
	invocation->flags = 0;
	invocation->is_linked = 0;
	store_relaxed(&invocation->state, PHASE_QUEUED);
	store_relaxed(&invocation->refs, has_result ? 2 : 1);
	if (has_result) {
		struct result *result = faas__result_of(invocation);

		invocation->flags |= INVOCATION_HAS_RESULT;
		memset(result, 0, sizeof(*result));
		result->deadline = TIME_NEVER;
		faas_function_ref(function);
	}
	if (shared) {
		invocation->flags |= INVOCATION_SHARED_EVENT;
		add_relaxed(&shared->refs, 1);
		invocation->event = &shared->event;
		return invocation;
	}
	invocation->event = (faas_event *)(void *)((char *)invocation + header);
	faas__event_write(plan, invocation->event, &runtime->origin, sequence, stamp_ns);
	return invocation;
}

struct shared_event *faas__shared_event_new(faas_runtime *runtime, struct lane *lane, const struct event_plan *plan,
                                            uint64_t sequence, int64_t stamp_ns)
{
	uint32_t bytes = block_size(offsetof(struct shared_event, event) + plan->bytes);
	struct shared_event *shared = faas__block_alloc(&runtime->pool, &lane->blocks, bytes);

	if (!shared)
		return NULL;
	store_relaxed(&shared->refs, 1);
	shared->block_bytes = bytes;
	faas__event_write(plan, &shared->event, &runtime->origin, sequence, stamp_ns);
	return shared;
}

void faas__shared_event_unref(faas_runtime *runtime, struct lane *lane, struct shared_event *shared)
{
	if (sub_acq_rel(&shared->refs, 1) == 1)
		faas__block_free(&runtime->pool, &lane->blocks, shared, shared->block_bytes);
}

static bool drop(faas_invocation *invocation)
{
	/* Alone with it: nobody can take a reference from one that nobody has. */
	if (load_acquire(&invocation->refs) == 1)
		return true;
	return sub_acq_rel(&invocation->refs, 1) == 1;
}

static void free_in(faas_invocation *invocation, struct lane *lane)
{
	faas_runtime *runtime = invocation->function->runtime;

	if (invocation->flags & INVOCATION_SHARED_EVENT)
		faas__shared_event_unref(runtime, lane, container_of(invocation->event, struct shared_event, event));
	faas__block_free(&runtime->pool, &lane->blocks, invocation, invocation->block_bytes);
}

/* What may call into user-visible parts, or need the runtime after the block is gone, comes after the lane. */
static void free_result(faas_invocation *invocation)
{
	struct result *result = faas__result_of(invocation);

	faas__answer_free(invocation->function->runtime, result->answer);
	faas__message_free(invocation->function->runtime, result->message);
}

void faas__invocation_unref_in(faas_invocation *invocation, struct lane *lane)
{
	faas_function *function = NULL;

	if (!drop(invocation))
		return;
	if (faas__has_result(invocation)) {
		function = invocation->function;
		free_result(invocation);
	}
	free_in(invocation, lane);
	faas_function_unref(function);
}

void faas__invocation_unref(faas_invocation *invocation)
{
	faas_runtime *runtime;
	faas_function *function = NULL;
	struct lane *lane;

	if (!drop(invocation))
		return;
	runtime = invocation->function->runtime;
	if (faas__has_result(invocation)) {
		function = invocation->function;
		free_result(invocation);
	}
	lane = faas__lane_enter(runtime, faas__runner_of(runtime));
	free_in(invocation, lane);
	faas__lane_leave(lane);
	faas_function_unref(function);
}

void faas__dead_add(faas_invocation **dead, faas_invocation *invocation)
{
	store_relaxed(&invocation->node.next, *dead ? &(*dead)->node : NULL);
	*dead = invocation;
}

void faas__dead_unref(faas_invocation *dead)
{
	while (dead) {
		struct mpsc_node *next = load_relaxed(&dead->node.next);

		faas__invocation_unref(dead);
		dead = next ? container_of(next, faas_invocation, node) : NULL;
	}
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

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
	return invocation->event;
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
	return faas__result_of(invocation)->code;
}

const char *faas_invocation_message(const faas_invocation *invocation)
{
	const struct result *result = faas__result_of(invocation);

	if (!faas__is_settled(invocation) || result->code == FAAS_OK)
		return "";
	return result->message ? result->message->text : faas_strerror(result->code);
}

int faas_invocation_handler_result(const faas_invocation *invocation)
{
	return faas__is_settled(invocation) ? faas__result_of(invocation)->handler_result : 0;
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
	result = faas__result_of(invocation);
	timing.is_cold = (int32_t)result->is_cold;
	timing.attempts = invocation->attempts;
	timing.queued_ns = result->queued_ns;
	timing.init_ns = result->init_ns;
	timing.run_ns = result->run_ns;
	return faas__stats_write(ret_timing, &timing, sizeof(timing));
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
