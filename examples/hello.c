/* SPDX-License-Identifier: MIT */
/* The smallest complete program: a function, an event that reaches it, and its answer. */
#include <faas.h>
#include <stdio.h>
#include <stdlib.h>

static int greet(faas_context *context, const faas_event *event)
{
	char text[100];
	int length = snprintf(text, sizeof(text), "Hello, %.80s!", (const char *)faas_event_data(event, NULL));

	return faas_context_reply(context, text, (uint64_t)length, "text/plain");
}

static void must(const char *what, int code)
{
	if (code < 0) {
		fprintf(stderr, "%s: %s\n", what, faas_strerror(code));
		exit(1);
	}
}

int main(void)
{
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	faas_runtime *runtime;
	faas_emission *emission;
	const void *answer;

	must("open", faas_open(NULL, &runtime));
	must("register", faas_register_function(runtime, "greet", FAAS_FUNCTION(.handler = greet)));
	must("bind", faas_bind(runtime, FAAS_BINDING(.pattern = "guest.*", .function = "greet"), NULL));

	must("emit", faas_emit_event(runtime, FAAS_EVENT(.type = "guest.new", .data = "Ada", .data_bytes = 3), &emission));
	must("wait", faas_emission_wait(emission, FAAS_NEVER));
	must("entry", faas_emission_entry(emission, 0, &entry));
	must("answer", faas_invocation_answer(entry.invocation, &answer, NULL, NULL));
	puts(answer);

	faas_emission_unref(emission);
	must("close", faas_close(runtime, FAAS_NEVER, 0));
	return 0;
}
