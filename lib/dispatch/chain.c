/* SPDX-License-Identifier: MIT */
/*
 * Chains: which functions led to an event. Each event that a handler emits carries the numbers of the functions before
 * it, one for each hop; for a record they are found through the invocation it is the record of. Numbers become names only
 * when a chain is too long and somebody is to be told.
 */
#include <string.h>

#include "dispatch/emit.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define SEPARATOR " -> "
#define NAME_ROOM (FAAS_MAX_NAME + sizeof(SEPARATOR))

/* The functions that led to the invocation, its own not among them. How many. */
static uint32_t lineage(const faas_invocation *invocation, uint32_t *numbers)
{
	uint32_t depth = 0, count;

	/* Records lie on top of the event's own chain, the last one first. */
	for (const faas_invocation *at = invocation; faas__is_record(at); at = faas__record_of(at)->of)
		depth += faas__record_of(at)->is_redriven == 0;
	count = faas__event_of(invocation)->hops;
	faas__event_chain(faas__event_of(invocation), numbers);
	count += depth;
	for (const faas_invocation *at = invocation; faas__is_record(at); at = faas__record_of(at)->of)
		if (!faas__record_of(at)->is_redriven && --depth + faas__event_of(invocation)->hops < FAAS_MAX_HOPS)
			numbers[depth + faas__event_of(invocation)->hops] = (uint32_t)faas__record_of(at)->of->function->index;
	return count < FAAS_MAX_HOPS ? count : FAAS_MAX_HOPS;
}

static const char *name_of(const faas_runtime *runtime, uint32_t number) holds_lock(runtime->functions_mu)
{
	list_each(node, &runtime->function_list) {
		const faas_function *function = container_of(node, const faas_function, node);

		if ((uint32_t)function->index == number)
			return function->name;
	}
	/* Unregistered meanwhile. */
	return "?";
}

/* "a -> b -> c": the chain, and the function that would have made it longer. */
static const char *describe(faas_context *context, const uint32_t *numbers, uint32_t count)
{
	faas_runtime *runtime = context->runner->runtime;
	char *text = faas_context_alloc(context, (count + 1) * NAME_ROOM), *at = text;

	if (!text)
		return faas_strerror(FAAS_ELOOP);
	faas__mutex_lock(&runtime->functions_mu);
	for (uint32_t i = 0; i < count; i++) {
		const char *name = name_of(runtime, numbers[i]);
		size_t bytes = strlen(name);

		memcpy(at, name, bytes);
		memcpy(at + bytes, SEPARATOR, sizeof(SEPARATOR) - 1);
		at += bytes + sizeof(SEPARATOR) - 1;
	}
	faas__mutex_unlock(&runtime->functions_mu);
	memcpy(at, context->function->name, context->function->name_bytes);
	return text;
}

int faas__chain_extend(faas_context *context, struct event_plan *plan)
{
	uint32_t numbers[FAAS_MAX_HOPS];
	uint32_t hops = faas__hops_of(context->invocation) + 1, known = lineage(context->invocation, numbers);

	if (hops > FAAS_MAX_HOPS) {
		context->error = describe(context, numbers, known);
		return FAAS_ELOOP;
	}
	memcpy(plan->chain, numbers, known * sizeof(*numbers));
	plan->chain[hops - 1] = (uint32_t)context->function->index;
	plan->hops = (uint8_t)hops;
	faas__event_plan_chain(plan);
	return FAAS_OK;
}
