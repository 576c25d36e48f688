/* SPDX-License-Identifier: MIT */
/* Who takes an event: each function for itself, within its own bounds and the runtime's; or all or none. */
#include "model.h"

#include <stddef.h>

int model_intake(const struct model *model, bool is_inside)
{
	if (model->phase == PHASE_OPEN || (model->phase == PHASE_DRAINING && is_inside))
		return FAAS_OK;
	return FAAS_ECLOSED;
}

void model_count_rejected(struct model_function *function, int code)
{
	struct faas_function_stats *stats = &function->stats;

	switch (code) {
	case FAAS_EFULL:
		stats->rejected_full++;
		break;
	case FAAS_ERUNTIMEFULL:
		stats->rejected_runtime_full++;
		break;
	case FAAS_ETHROTTLED:
		stats->rejected_throttled++;
		break;
	case FAAS_ECLOSED:
	case FAAS_ENOTFOUND:
		stats->rejected_closed++;
		break;
	default:
		stats->rejected_other++;
		break;
	}
}

void model_accept(struct model_invocation *invocation)
{
	invocation->accepted = invocation->function->model->now;
	invocation->ready = invocation->accepted;
	invocation->function->stats.accepted++;
	model_add_unsettled(invocation);
}

void model_enqueue(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;

	invocation->next = NULL;
	invocation->status = FAAS_STATUS_QUEUED;
	if (function->queue)
		function->queue_last->next = invocation;
	else
		function->queue = invocation;
	function->queue_last = invocation;
	function->queued++;
	function->load_bytes += invocation->bytes;
	function->model->queued_events++;
	function->model->queued_bytes += invocation->bytes;
}

static void push(struct model_invocation *invocation)
{
	model_accept(invocation);
	model_enqueue(invocation);
}

void model_unqueue(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	struct model_invocation **at = &function->queue, *before = NULL;

	while (*at != invocation) {
		before = *at;
		at = &before->next;
	}
	*at = invocation->next;
	if (function->queue_last == invocation)
		function->queue_last = before;
	function->queued--;
	function->load_bytes -= invocation->bytes;
	function->model->queued_events--;
	function->model->queued_bytes -= invocation->bytes;
}

/* What is delayed keeps its room. */
static bool has_room(const struct model_function *function, uint64_t bytes)
{
	return function->queued + function->delayed < function->max_events &&
	       function->load_bytes + bytes <= function->max_bytes;
}

static bool runtime_has_room(const struct model *model, uint64_t events, uint64_t bytes)
{
	return model->queued_events + events <= model->max_events && model->queued_bytes + bytes <= model->max_bytes;
}

/* Whether there would be room if all that may be dropped were. */
static bool would_have_room(const struct model_function *function, uint64_t bytes)
{
	uint64_t delayed_bytes = 0;

	for (const struct model_invocation *delayed = function->delays; delayed; delayed = delayed->next)
		delayed_bytes += delayed->bytes;
	return function->delayed < function->max_events && delayed_bytes + bytes <= function->max_bytes;
}

/* Whether the function's own bounds say no. */
static int peek(const struct model_function *function, uint64_t bytes)
{
	if (!function->is_open)
		return FAAS_ENOTFOUND;
	if (has_room(function, bytes) || (function->drops_oldest && would_have_room(function, bytes)))
		return FAAS_OK;
	return FAAS_EFULL;
}

static void drop_for(struct model_function *function, uint64_t bytes)
{
	while (!has_room(function, bytes))
		model_settle_waiting(function->queue, END_DROPPED, FAAS_EDROPPED);
}

int model_offer(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	int code = peek(function, invocation->bytes);

	if (code == FAAS_OK) {
		/* What was dropped stays dropped, also where the runtime then has no room for a larger event. */
		drop_for(function, invocation->bytes);
		if (!runtime_has_room(function->model, 1, invocation->bytes))
			code = FAAS_ERUNTIMEFULL;
	}
	if (code == FAAS_OK)
		push(invocation);
	else
		model_count_rejected(function, code);
	return code;
}

/* Which of them refuses, and why; `count`: none. */
static int find_refusal(struct model_invocation **invocations, int count, int *ret_code)
{
	uint64_t bytes = 0;

	for (int i = 0; i < count; i++) {
		*ret_code = peek(invocations[i]->function, invocations[i]->bytes);
		if (*ret_code != FAAS_OK)
			return i;
	}
	*ret_code = FAAS_ERUNTIMEFULL;
	for (int i = 0; i < count; i++) {
		bytes += invocations[i]->bytes;
		if (!runtime_has_room(invocations[i]->function->model, (uint64_t)i + 1, bytes))
			return i;
	}
	*ret_code = FAAS_OK;
	return count;
}

int model_offer_all(struct model_invocation **invocations, int count, int *codes)
{
	int code, refuser = find_refusal(invocations, count, &code);

	for (int i = 0; i < count; i++) {
		codes[i] = refuser == count ? FAAS_OK : i == refuser ? code : FAAS_EREFUSED;
		if (codes[i] != FAAS_OK) {
			model_count_rejected(invocations[i]->function, codes[i]);
			continue;
		}
		drop_for(invocations[i]->function, invocations[i]->bytes);
		push(invocations[i]);
	}
	return code;
}

void model_unregister(struct model_function *function, bool is_closing)
{
	struct model *model = function->model;

	function->is_open = false;
	function->is_closing = is_closing;
	model->names[function->name] = NULL;
	for (int i = 0; i < BINDINGS; i++)
		if (model->bindings[i].function == function)
			model->bindings[i].id = 0;
	while (function->queue)
		model_settle_waiting(function->queue, END_CANCELLED, FAAS_ECANCELLED);
	while (function->delays)
		model_settle_waiting(function->delays, END_CANCELLED, FAAS_ECANCELLED);
	model_lose_letters(function);
}
