/* SPDX-License-Identifier: MIT */
/*
 * How much memory a queued event counts as. The header says "in memory" and no more, so the library itself is asked:
 * each kind of event once, at each kind of function, in a runtime of its own.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define KINDS 65536

static struct {
	uint64_t key, bytes;
} known[KINDS];
static uint64_t known_count;

/* What is asked for. */
struct question {
	const struct model_event *event;
	bool has_result, is_shared, is_ordered, has_destination;
	enum way way;
};

/* The runtime in which it is asked. */
struct trial {
	const struct question *question;
	faas_clock *clock; /* stands still: nothing expires meanwhile */
	faas_runtime *runtime;
	faas_function *function;
	faas_emission *emission;
	faas_invocation *invocation;
	int hops_left;
	int error;
};

static int succeed(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 0;
}

static int fail(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 1;
}

/* Sends it to `f`: as an event that several take, or it alone; or to the function whose records `f` gets. */
static void offer(struct trial *trial)
{
	const struct question *question = trial->question;
	struct event_form form;

	form_event(question->event, &form);
	if (question->way == WAY_RECORD)
		trial->error = faas_invoke_async(trial->runtime, "h", &form.config, NULL) != FAAS_OK;
	else if (question->is_shared)
		trial->error =
			faas_emit_event(trial->runtime, &form.config, question->has_result ? &trial->emission : NULL) != 2;
	else
		trial->error = faas_function_invoke_async(trial->function, &form.config,
		                                          question->has_result ? &trial->invocation : NULL) != FAAS_OK;
}

/* One handler after the other, until the event is so many hops from its origin. */
static int hop(faas_context *context, const faas_event *event)
{
	struct trial *trial = faas_context_user(context);

	(void)event;
	if (--trial->hops_left > 0)
		trial->error = faas_invoke_async(trial->runtime, "hop", NULL, NULL);
	else
		offer(trial);
	return trial->error;
}

static void begin(struct trial *trial)
{
	const struct question *question = trial->question;
	faas_function_config config = *FAAS_FUNCTION(.handler = succeed, .attempts = 1);
	int error;

	if (question->way == WAY_REDRIVEN)
		config.handler = fail;
	config.order = question->is_ordered ? FAAS_ORDER_BY_KEY : FAAS_ORDER_NONE;
	config.on_success = question->has_destination ? "h" : NULL;
	error = faas_clock_new_manual(0, &trial->clock);
	error = error ? error
	              : faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .seed = 1, .clock = trial->clock), &trial->runtime);
	error = error ? error : faas_register_function(trial->runtime, "f", &config);
	error = error ? error : faas_register_function(trial->runtime, "g", FAAS_FUNCTION(.handler = succeed));
	error = error ? error
	              : faas_register_function(trial->runtime, "h", FAAS_FUNCTION(.handler = succeed, .on_success = "f"));
	error = error ? error
	              : faas_register_function(trial->runtime, "hop", FAAS_FUNCTION(.handler = hop, .user = trial));
	error = error ? error : faas_function_find(trial->runtime, "f", &trial->function);
	error = error ? error : faas_bind(trial->runtime, FAAS_BINDING(.pattern = ">", .function = "f"), NULL);
	error = error ? error : faas_bind(trial->runtime, FAAS_BINDING(.pattern = ">", .function = "g"), NULL);
	if (error)
		abort();
}

static void run(struct trial *trial, int steps)
{
	if (steps > 0 && (faas_run(trial->runtime, steps) != steps || trial->error))
		abort();
}

static uint64_t ask(const struct question *question)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	struct trial trial = {.question = question, .hops_left = question->event->hops};

	begin(&trial);
	if (question->event->hops > 0) {
		trial.error = faas_invoke_async(trial.runtime, "hop", NULL, NULL);
		run(&trial, question->event->hops);
	} else {
		offer(&trial);
	}
	if (question->way != WAY_OFFERED)
		run(&trial, 1);
	if (trial.error || (question->way == WAY_REDRIVEN && faas_function_redrive(trial.function, NULL) != 1) ||
	    faas_function_stats(trial.function, &stats) != FAAS_OK || stats.queued_bytes == 0)
		abort();
	faas_emission_unref(trial.emission);
	faas_invocation_unref(trial.invocation);
	(void)faas_close(trial.runtime, 0, 0);
	faas_function_unref(trial.function);
	faas_clock_unref(trial.clock);
	return stats.queued_bytes;
}

static uint64_t key_of(const struct question *question)
{
	const struct model_event *event = question->event;

	return (uint64_t)event->hops << 36 | (uint64_t)question->way << 34 | (uint64_t)question->has_destination << 33 |
	       (uint64_t)question->is_ordered << 32 | (uint64_t)event->payload << 16 | (uint64_t)(event->type + 1) << 8 |
	       (uint64_t)event->subject << 6 | (uint64_t)(event->attribute > 0) << 5 | (uint64_t)(event->key > 0) << 4 |
	       (uint64_t)(event->timeout > 0) << 3 | (uint64_t)question->is_shared << 2 |
	       (uint64_t)question->has_result << 1 | 1u;
}

uint64_t model_bytes(const struct model_function *function, const struct model_event *event, bool has_result,
                     bool is_shared, enum way way)
{
	struct question question = {.event = event, .has_result = has_result, .is_shared = is_shared, .way = way};
	uint64_t key, at;

	/* Nobody takes it. */
	if (event->hops > FAAS_MAX_HOPS)
		return 0;
	question.is_ordered = function->is_ordered;
	question.has_destination = function->on_success >= 0 || function->on_failure >= 0;
	key = key_of(&question);
	for (at = draw_mix(key, 0) % KINDS; known[at].key != 0; at = (at + 1) % KINDS)
		if (known[at].key == key)
			return known[at].bytes;
	/* Half full: forgotten, so that a place is found soon, and found at all. */
	if (++known_count > KINDS / 2) {
		memset(known, 0, sizeof(known));
		known_count = 1;
		at = draw_mix(key, 0) % KINDS;
	}
	known[at].key = key;
	known[at].bytes = ask(&question);
	return known[at].bytes;
}
