/* SPDX-License-Identifier: MIT */
/*
 * How much memory a queued event counts as. The header says "in memory" and no more, so the library itself is asked:
 * each kind of event once, in a runtime of its own.
 */
#include "sim.h"

#include <stdlib.h>

#define KINDS 4096

static struct {
	uint64_t key, bytes;
} known[KINDS];

static int succeed(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 0;
}

/* What an event that several functions take, or one alone takes, adds to the queue of one. */
static uint64_t ask(const struct model_event *event, bool has_result, bool is_shared)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_runtime *runtime = NULL;
	faas_function *function = NULL;
	faas_emission *emission = NULL;
	faas_invocation *invocation = NULL;
	struct event_form form;
	int error;

	form_event(event, &form);
	error = faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .seed = 1), &runtime);
	error = error ? error : faas_register_function(runtime, "f", FAAS_FUNCTION(.handler = succeed));
	error = error ? error : faas_register_function(runtime, "g", FAAS_FUNCTION(.handler = succeed));
	error = error ? error : faas_function_find(runtime, "f", &function);
	error = error ? error : faas_bind(runtime, FAAS_BINDING(.pattern = ">", .function = "f"), NULL);
	error = error ? error : faas_bind(runtime, FAAS_BINDING(.pattern = ">", .function = "g"), NULL);
	if (error)
		abort();
	if (is_shared)
		error = faas_emit_event(runtime, &form.config, has_result ? &emission : NULL) != 2;
	else
		error = faas_function_invoke_async(function, &form.config, has_result ? &invocation : NULL);
	if (error || faas_function_stats(function, &stats) != FAAS_OK)
		abort();
	faas_emission_unref(emission);
	faas_invocation_unref(invocation);
	(void)faas_close(runtime, 0, 0);
	faas_function_unref(function);
	return stats.queued_bytes;
}

uint64_t size_of(const struct model_event *event, bool has_result, bool is_shared)
{
	uint64_t key = (uint64_t)event->payload << 16 | (uint64_t)(event->type + 1) << 8 | (uint64_t)event->subject << 6 |
	               (uint64_t)(event->attribute > 0) << 5 | (uint64_t)is_shared << 2 | (uint64_t)has_result << 1 | 1u;
	uint64_t at;

	for (at = draw_mix(key, 0) % KINDS; known[at].key != 0; at = (at + 1) % KINDS)
		if (known[at].key == key)
			return known[at].bytes;
	known[at].key = key;
	known[at].bytes = ask(event, has_result, is_shared);
	return known[at].bytes;
}
