/* SPDX-License-Identifier: MIT */
/* Everything that can be asked of an invocation. */
#include "sim.h"

#include <string.h>

static void compare_answer(const struct handle *handle)
{
	const struct model_invocation *invocation = handle->model;
	const char *content_type = NULL, *text = script_text(invocation->answer);
	const void *data = NULL;
	uint64_t bytes = 0;
	int expected = invocation->code;

	if (expected == FAAS_OK && invocation->answer == 0)
		expected = FAAS_ENOTFOUND;
	expect("answer", expected, faas_invocation_answer(handle->real, &data, &bytes, &content_type));
	if (expected != FAAS_OK || has_failed())
		return;
	if (bytes != strlen(text) || memcmp(data, text, bytes + 1) != 0)
		complain("answer", "%llu bytes instead of \"%s\"", (unsigned long long)bytes, text);
	expect("answer's content type", invocation->answer % 2, content_type != NULL);
}

static void compare_message(const struct handle *handle)
{
	const struct model_invocation *invocation = handle->model;
	const char *expected = "", *found = faas_invocation_message(handle->real);

	if (invocation->code != FAAS_EPENDING && invocation->code != FAAS_OK)
		expected = invocation->message ? script_text(invocation->message) : faas_strerror(invocation->code);
	if (strcmp(expected, found) != 0)
		complain("message", "\"%s\" instead of \"%s\"", found, expected);
}

static void compare_timing(const struct handle *handle)
{
	const struct model_invocation *invocation = handle->model;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	bool is_settled = model_is_settled(invocation);

	expect("timing", is_settled ? FAAS_OK : FAAS_EPENDING, faas_invocation_timing(handle->real, &timing));
	if (!is_settled)
		return;
	expect("timing's attempts", invocation->attempts, timing.attempts);
	/* A dead letter that nobody had a handle of knows no more. */
	if (!invocation->has_result)
		return;
	expect("timing's is_cold", invocation->is_cold, timing.is_cold);
	expect("timing's queued_ns", invocation->queued_ns, timing.queued_ns);
	expect("timing's init_ns", invocation->init_ns, timing.init_ns);
	expect("timing's run_ns", invocation->run_ns, timing.run_ns);
	expect("timing's total_ns", invocation->total_ns, timing.total_ns);
}

void compare_handle(struct handle *handle)
{
	const struct model_invocation *invocation = handle->model;

	expect("status", invocation->status, faas_invocation_status(handle->real));
	if (handle->was_compared)
		return;
	expect("outcome", invocation->code, faas_invocation_outcome(handle->real));
	expect("handler's result", invocation->handler_result, faas_invocation_handler_result(handle->real));
	compare_answer(handle);
	compare_message(handle);
	compare_timing(handle);
	expect("event", invocation->event->number, number_of(faas_invocation_event(handle->real)));
	if (strcmp(faas_invocation_function(handle->real), function_name(invocation->function->name)) != 0)
		complain("function's name", "%s", faas_invocation_function(handle->real));
	handle->was_compared = model_is_settled(invocation);
}

void compare_settled(faas_invocation *real, const struct model_invocation *model)
{
	struct handle handle = {.real = real, .model = (struct model_invocation *)(uintptr_t)model};

	compare_handle(&handle);
}
