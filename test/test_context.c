/* SPDX-License-Identifier: MIT */
/* What a handler may ask and do through its context, but for waiting, which is in test_nest.c. Manual mode. */
#include "support_run.h"

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

struct answers {
	void *state, *user;
	faas_runtime *runtime;
	char function[FAAS_MAX_NAME + 1];
	int attempt, is_cold, is_cancelled;
	int64_t remaining_ms;
};

static void ask(faas_context *context, struct answers *answers)
{
	answers->state = faas_context_state(context);
	answers->user = faas_context_user(context);
	answers->runtime = faas_context_runtime(context);
	snprintf(answers->function, sizeof(answers->function), "%s", faas_context_function(context));
	answers->attempt = faas_context_attempt(context);
	answers->is_cold = faas_context_is_cold(context);
	answers->is_cancelled = faas_context_is_cancelled(context);
	answers->remaining_ms = faas_context_remaining_ms(context);
}

struct asker {
	struct answers init, handler;
	int made; /* what init makes */
};

static int ask_in_init(faas_context *context, void **ret_state)
{
	struct asker *asker = faas_context_user(context);

	/* Also once it has made its state: that is the handler's to ask for. */
	*ret_state = &asker->made;
	ask(context, &asker->init);
	return 0;
}

static int ask_in_handler(faas_context *context, const faas_event *event)
{
	struct asker *asker = faas_context_user(context);

	(void)event;
	ask(context, &asker->handler);
	return 0;
}

static void a_context_answers_in_init_and_handler(void **state)
{
	struct stage *stage = *state;
	struct asker asker = {0};
	char name[FAAS_MAX_NAME + 1];

	memset(name, 'n', FAAS_MAX_NAME);
	name[FAAS_MAX_NAME] = 0;
	stage_register(stage, name,
	               ONCE(.handler = ask_in_handler, .init = ask_in_init, .user = &asker, .deadline_ms = 70,
	                             .init_deadline_ms = 80));
	assert_int_equal(FAAS_OK, stage_invoke(stage, name, NULL));
	assert_null(asker.init.state);
	assert_ptr_equal(&asker, asker.init.user);
	assert_ptr_equal(stage->bed.runtime, asker.init.runtime);
	assert_string_equal(name, asker.init.function);
	assert_int_equal(1, asker.init.attempt);
	assert_int_equal(1, asker.init.is_cold);
	assert_int_equal(0, asker.init.is_cancelled);
	assert_int_equal(80, asker.init.remaining_ms);
	assert_ptr_equal(&asker.made, asker.handler.state);
	assert_ptr_equal(&asker, asker.handler.user);
	assert_ptr_equal(stage->bed.runtime, asker.handler.runtime);
	assert_string_equal(name, asker.handler.function);
	assert_int_equal(1, asker.handler.attempt);
	assert_int_equal(1, asker.handler.is_cold);
	assert_int_equal(0, asker.handler.is_cancelled);
	assert_int_equal(70, asker.handler.remaining_ms);
	memset(&asker.init, 0, sizeof(asker.init));
	assert_int_equal(FAAS_OK, stage_invoke(stage, name, NULL));
	assert_null(asker.init.user); /* not called again */
	assert_int_equal(1, asker.handler.attempt);
	assert_int_equal(0, asker.handler.is_cold);
	assert_ptr_equal(&asker.made, asker.handler.state);
}

static void a_provisioned_init_has_a_context_too(void **state)
{
	struct stage *stage = *state;
	struct asker asker = {0};

	stage_register(stage, "f",
	               ONCE(.handler = ask_in_handler, .init = ask_in_init, .user = &asker, .provisioned = 1));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_string_equal("f", asker.init.function);
	assert_ptr_equal(&asker, asker.init.user);
	assert_int_equal(1, asker.init.attempt);
	assert_int_equal(10000, asker.init.remaining_ms);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(0, asker.handler.is_cold);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

#define PIECES 60

struct pieces {
	uint64_t sizes[PIECES];
	int refused, misaligned, damaged;
	void *too_large;
};

static void allocate_pieces(faas_context *context, void *arg)
{
	struct pieces *pieces = arg;
	unsigned char *made[PIECES];

	for (int i = 0; i < PIECES; i++) {
		made[i] = faas_context_alloc(context, pieces->sizes[i]);
		pieces->refused += !made[i];
		pieces->misaligned += (uintptr_t)made[i] % 16 != 0;
		if (made[i])
			memset(made[i], i, (size_t)pieces->sizes[i]);
	}
	for (int i = 0; i < PIECES; i++)
		for (uint64_t at = 0; made[i] && at < pieces->sizes[i]; at++)
			pieces->damaged += made[i][at] != i;
	pieces->too_large = faas_context_alloc(context, (uint64_t)FAAS_MAX_DATA + 1);
}

static void memory_of_an_attempt_is_aligned_and_its_own(void **state)
{
	struct stage *stage = *state;
	struct pieces pieces = {0};
	int64_t bytes;

	stage_register(stage, "f", NULL);
	/* 0, 1, 2, ... then sizes around powers of two, up to 64 KiB. */
	for (int i = 0; i < PIECES; i++)
		pieces.sizes[i] = i < 20 ? (uint64_t)i : ((uint64_t)1 << (i - 20) / 3 % 17) - 1 + (uint64_t)(i % 3);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = allocate_pieces, .arg = &pieces)));
	assert_int_equal(0, pieces.refused);
	assert_int_equal(0, pieces.misaligned);
	assert_int_equal(0, pieces.damaged);
	assert_null(pieces.too_large);
	/* Attempt after attempt, nothing piles up. */
	bytes = stage->bed.memory.bytes;
	for (int i = 0; i < 5; i++)
		assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = allocate_pieces, .arg = &pieces)));
	assert_int_equal(bytes, stage->bed.memory.bytes);
}

static void allocate_around_an_inner_attempt(faas_context *context, void *arg)
{
	struct pieces *pieces = arg;
	unsigned char *outer = faas_context_alloc(context, 3000);

	if (!outer) {
		pieces->refused++;
		return;
	}
	memset(outer, 0xcc, 3000);
	pieces->refused +=
		faas_context_invoke(context, "g", JOB(.does = allocate_pieces, .arg = pieces), 0, NULL) != FAAS_OK;
	for (int i = 0; i < 3000; i++)
		pieces->damaged += outer[i] != 0xcc;
}

static void inner_attempts_do_not_touch_the_outer_ones_memory(void **state)
{
	struct stage *stage = *state;
	struct pieces pieces = {0};

	for (int i = 0; i < PIECES; i++)
		pieces.sizes[i] = 100;
	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = allocate_around_an_inner_attempt, .arg = &pieces)));
	assert_int_equal(0, pieces.refused);
	assert_int_equal(0, pieces.damaged);
}

struct refused {
	struct memory *memory;
	void *small, *large;
	int reply, fail;
};

static void ask_while_memory_is_refused(faas_context *context, void *arg)
{
	struct refused *refused = arg;

	(void)faas_context_reply(context, "stands", 6, NULL);
	memory_fail(refused->memory, 0, INT64_MAX / 2);
	refused->small = faas_context_alloc(context, 1);
	refused->large = faas_context_alloc(context, 100000);
	refused->reply = faas_context_reply(context, "lost", 4, "text/plain");
	refused->fail = faas_context_fail(context, "lost");
	memory_fail(refused->memory, -1, 0);
}

static void refused_memory_is_said_and_the_earlier_reply_stands(void **state)
{
	struct stage *stage = *state;
	struct refused refused = {.memory = &stage->bed.memory, .small = &refused, .large = &refused};
	faas_invocation *invocation;
	const void *data = NULL;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.does = ask_while_memory_is_refused, .arg = &refused));
	assert_null(refused.small);
	assert_null(refused.large);
	assert_int_equal(FAAS_ENOMEM, refused.reply);
	assert_int_equal(1, refused.fail);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, NULL, NULL));
	assert_string_equal("stands", data);
	faas_invocation_unref(invocation);
}

/* ---- Saying ------------------------------------------------------------------------------------------------------ */

static void reply_from_init(faas_context *context, void *arg)
{
	*(int *)arg = faas_context_reply(context, "x", 1, NULL);
}

static void init_cannot_reply(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	int code = 0;

	stage_register(stage, "f", NULL);
	stage->life.in_init = reply_from_init;
	stage->life.arg = &code;
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_ESTATE, code);
	assert_int_equal(FAAS_ENOTFOUND, faas_invocation_answer(invocation, NULL, NULL, NULL));
	faas_invocation_unref(invocation);
	stage_register(stage, "g", ONCE(.provisioned = 1));
	code = 0;
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_ESTATE, code);
}

static void calls_without_a_context_are_refused(void **state)
{
	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_context_reply(NULL, NULL, 0, NULL));
	assert_int_equal(1, faas_context_fail(NULL, "x"));
	assert_int_equal(FAAS_EINVAL, faas_context_log(NULL, FAAS_LOG_ERROR, "x"));
	assert_int_equal(FAAS_EINVAL, faas_context_emit_event(NULL, FAAS_EVENT(.type = "a"), NULL));
	assert_int_equal(FAAS_EINVAL, faas_context_invoke(NULL, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_EINVAL, faas_context_invoke_async(NULL, "f", NULL, NULL));
}

struct log {
	int count;
	int32_t level;
	char function[16], message[32];
};

static void write_down(void *user, int32_t level, const char *function, const char *message)
{
	struct log *log = user;

	log->count++;
	log->level = level;
	snprintf(log->function, sizeof(log->function), "%s", function ? function : "(none)");
	snprintf(log->message, sizeof(log->message), "%s", message);
}

struct lines {
	int codes[FAAS_LOG_DEBUG + 2];
	int no_message;
};

static void log_at_all_levels(faas_context *context, void *arg)
{
	struct lines *lines = arg;

	/* The most important one last, so that it is the one that stands in the log. */
	for (int level = FAAS_LOG_DEBUG + 1; level >= 0; level--)
		lines->codes[level] = faas_context_log(context, level, level == FAAS_LOG_ERROR ? "broken" : "said");
	lines->no_message = faas_context_log(context, FAAS_LOG_ERROR, NULL);
}

static void the_log_gets_what_its_level_admits(void **state)
{
	static const struct {
		int32_t level;
		int lines;
	} cases[] = {{0, 2}, {FAAS_LOG_ERROR, 1}, {FAAS_LOG_WARNING, 2}, {FAAS_LOG_INFO, 3}, {FAAS_LOG_DEBUG, 4}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct stage stage;
		struct log log = {0};
		struct lines lines;

		stage_open(&stage, FAAS_RUNTIME(.log = write_down, .log_user = &log, .log_level = cases[i].level));
		stage_register(&stage, "speaker", NULL);
		assert_int_equal(FAAS_OK, stage_invoke(&stage, "speaker", JOB(.does = log_at_all_levels, .arg = &lines)));
		assert_int_equal(cases[i].lines, log.count);
		assert_int_equal(FAAS_LOG_ERROR, log.level);
		assert_string_equal("speaker", log.function);
		assert_string_equal("broken", log.message);
		assert_int_equal(FAAS_EINVAL, lines.codes[0]);
		for (int level = FAAS_LOG_ERROR; level <= FAAS_LOG_DEBUG; level++)
			assert_int_equal(FAAS_OK, lines.codes[level]);
		assert_int_equal(FAAS_EINVAL, lines.codes[FAAS_LOG_DEBUG + 1]);
		assert_int_equal(FAAS_EINVAL, lines.no_message);
		stage_close(&stage);
	}
}

static void without_a_sink_logging_is_fine(void **state)
{
	struct stage *stage = *state;
	struct lines lines;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = log_at_all_levels, .arg = &lines)));
	assert_int_equal(FAAS_OK, lines.codes[FAAS_LOG_ERROR]);
}

/* ---- Doing ------------------------------------------------------------------------------------------------------- */

struct forbidden {
	int run, drain, close;
};

static void try_the_forbidden(faas_context *context, void *arg)
{
	struct forbidden *forbidden = arg;
	faas_runtime *runtime = faas_context_runtime(context);

	forbidden->run = faas_run(runtime, 1);
	forbidden->drain = faas_drain(runtime, 0);
	forbidden->close = faas_close(runtime, 0, 0);
}

static void a_handler_cannot_run_drain_or_close(void **state)
{
	struct stage *stage = *state;
	struct forbidden handler = {0}, init = {0};

	stage_register(stage, "f", NULL);
	stage->life.in_init = try_the_forbidden;
	stage->life.arg = &init;
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = try_the_forbidden, .arg = &handler)));
	assert_int_equal(FAAS_EDEADLK, handler.run);
	assert_int_equal(FAAS_EDEADLK, handler.drain);
	assert_int_equal(FAAS_EDEADLK, handler.close);
	assert_int_equal(FAAS_EDEADLK, init.run);
	assert_int_equal(FAAS_EDEADLK, init.drain);
	assert_int_equal(FAAS_EDEADLK, init.close);
	/* Nothing has come of it. */
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
}

struct acts {
	int emit, async, full;
	faas_emission *emission;
	faas_invocation *invocation;
};

static void emit_and_invoke(faas_context *context, void *arg)
{
	struct acts *acts = arg;

	acts->emit = faas_context_emit_event(context, FAAS_EVENT(.type = "next.step"), &acts->emission);
	acts->async = faas_context_invoke_async(context, "next", NULL, &acts->invocation);
	/* Two are queued now. Waiting for room is not for handlers. */
	acts->full = faas_context_emit_event(context, FAAS_EVENT(.type = "next.step", .wait_ms = FAAS_NEVER), NULL);
}

static void assert_acts(struct stage *stage, struct acts *acts)
{
	assert_int_equal(1, acts->emit);
	assert_int_equal(FAAS_OK, acts->async);
	assert_int_equal(FAAS_EFULL, acts->full);
	assert_int_equal(2, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(acts->invocation));
	assert_int_equal(FAAS_OK, faas_emission_wait(acts->emission, 0));
	faas_invocation_unref(acts->invocation);
	faas_emission_unref(acts->emission);
}

static void handlers_and_inits_emit_and_invoke(void **state)
{
	struct stage *stage = *state;
	struct acts acts = {0};

	stage_register(stage, "next", ONCE(.queue_events = 2));
	bed_bind(&stage->bed, "next.>", "next");
	stage_register(stage, "f", NULL);
	stage_queue(stage, "f", JOB(.does = emit_and_invoke, .arg = &acts));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_acts(stage, &acts);
	stage_register(stage, "g", NULL);
	stage->life.in_init = emit_and_invoke;
	stage->life.arg = &acts;
	stage_queue(stage, "g", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	stage->life.in_init = NULL;
	assert_acts(stage, &acts);
}

static void accepted_work_still_emits_while_the_runtime_drains(void **state)
{
	struct stage *stage = *state;
	struct acts acts = {0};

	stage_register(stage, "next", ONCE(.queue_events = 2));
	bed_bind(&stage->bed, "next.>", "next");
	stage_register(stage, "f", NULL);
	stage_queue(stage, "f", JOB(.does = emit_and_invoke, .arg = &acts));
	assert_int_equal(FAAS_OK, faas_drain(stage->bed.runtime, FAAS_NEVER));
	assert_int_equal(FAAS_ECLOSED, bed_emit(&stage->bed, "next.step", ""));
	assert_int_equal(1, acts.emit);
	assert_int_equal(FAAS_OK, acts.async);
	assert_int_equal(3, bed_totals(&stage->bed).total.succeeded);
	faas_invocation_unref(acts.invocation);
	faas_emission_unref(acts.emission);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_context_answers_in_init_and_handler),
		STAGE_TEST(a_provisioned_init_has_a_context_too),
		STAGE_TEST(memory_of_an_attempt_is_aligned_and_its_own),
		STAGE_TEST(inner_attempts_do_not_touch_the_outer_ones_memory),
		STAGE_TEST(refused_memory_is_said_and_the_earlier_reply_stands),
		STAGE_TEST(init_cannot_reply),
		cmocka_unit_test(calls_without_a_context_are_refused),
		cmocka_unit_test(the_log_gets_what_its_level_admits),
		STAGE_TEST(without_a_sink_logging_is_fine),
		STAGE_TEST(a_handler_cannot_run_drain_or_close),
		STAGE_TEST(handlers_and_inits_emit_and_invoke),
		STAGE_TEST(accepted_work_still_emits_while_the_runtime_drains),
	};

	return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
