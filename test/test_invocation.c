/* SPDX-License-Identifier: MIT */
/* Invocations: what they end as, what they answer, what is refused, and who holds them how long. */
#include "support_run.h"

/* ---- Outcomes ---------------------------------------------------------------------------------------------------- */

static void a_success_says_so_everywhere(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invoke(stage->bed.runtime, "f", NULL, 0, &invocation));
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_string_equal("", faas_invocation_message(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_int_equal(FAAS_ENOTFOUND, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_string_equal("f", faas_invocation_function(invocation));
	assert_string_equal("faas.invoke", faas_event_type(faas_invocation_event(invocation)));
	faas_invocation_unref(invocation);
}

static void a_failure_says_why(void **state)
{
	struct stage *stage = *state;
	const void *data = &stage;
	const char *type = "untouched";
	uint64_t bytes = 42;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.says = "no such file"));
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_string_equal("no such file", faas_invocation_message(invocation));
	assert_int_equal(1, faas_invocation_handler_result(invocation));
	assert_int_equal(FAAS_EFAILED, faas_invocation_answer(invocation, &data, &bytes, &type));
	assert_ptr_equal(&stage, data);
	assert_int_equal(42, bytes);
	assert_string_equal("untouched", type);
	faas_invocation_unref(invocation);
}

/* Handlers' results are their own, also where they look like the library's codes. */
static void a_handlers_result_is_kept_as_it_is(void **state)
{
	static const int results[] = {1, -1, FAAS_EFULL, FAAS_ETIMEDOUT, INT32_MAX, INT32_MIN};
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	for (size_t i = 0; i < COUNT_OF(results); i++) {
		faas_invocation *invocation = stage_settle(stage, "f", JOB(.result = results[i]));

		assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
		assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
		assert_int_equal(results[i], faas_invocation_handler_result(invocation));
		assert_string_equal(faas_strerror(FAAS_EFAILED), faas_invocation_message(invocation));
		faas_invocation_unref(invocation);
	}
}

static void say_twice(faas_context *context, void *arg)
{
	(void)arg;
	(void)faas_context_fail(context, "first");
	(void)faas_context_fail(context, "second");
}

static void the_last_message_stands_if_the_attempt_fails(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.does = say_twice, .result = 9));
	assert_string_equal("second", faas_invocation_message(invocation));
	assert_int_equal(9, faas_invocation_handler_result(invocation));
	faas_invocation_unref(invocation);
	invocation = stage_settle(stage, "f", JOB(.does = say_twice, .result = 0));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_string_equal("", faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
}

static void a_long_message_is_cut_between_characters(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	char text[400];

	stage_register(stage, "f", NULL);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	invocation = stage_settle(stage, "f", JOB(.says = text));
	assert_int_equal(255, strlen(faas_invocation_message(invocation)));
	faas_invocation_unref(invocation);
	/* Two bytes on either side of the cut. */
	memcpy(text + 254, "\xc3\xa9", 2);
	invocation = stage_settle(stage, "f", JOB(.says = text));
	assert_int_equal(254, strlen(faas_invocation_message(invocation)));
	assert_memory_equal(text, faas_invocation_message(invocation), 254);
	faas_invocation_unref(invocation);
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

struct reply {
	const void *data;
	uint64_t bytes;
	const char *content_type;
	int code;
};

/* Replies one after the other, until one of them has no data and no bytes and a code that is not 0. */
static void reply_all(faas_context *context, void *arg)
{
	for (struct reply *reply = arg; reply->code != INT32_MAX; reply++)
		reply->code = faas_context_reply(context, reply->data, reply->bytes, reply->content_type);
}

#define NO_MORE           \
	{                     \
		.code = INT32_MAX \
	}

static void an_answer_comes_with_its_content_type(void **state)
{
	struct stage *stage = *state;
	struct reply replies[] = {{"a\0b", 3, "text/plain; charset=utf-8", -1}, NO_MORE};
	const void *data = NULL;
	const char *type = NULL;
	uint64_t bytes = 0;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.does = reply_all, .arg = replies));
	assert_int_equal(FAAS_OK, replies[0].code);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, &bytes, &type));
	assert_int_equal(3, bytes);
	assert_memory_equal("a\0b", data, 4); /* with the zero byte that is not counted */
	assert_string_equal("text/plain; charset=utf-8", type);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(FAAS_EINVAL, faas_invocation_answer(NULL, &data, &bytes, &type));
	faas_invocation_unref(invocation);
}

static void an_empty_answer_is_an_answer(void **state)
{
	struct stage *stage = *state;
	struct reply replies[] = {{NULL, 0, NULL, -1}, NO_MORE};
	const void *data = NULL;
	const char *type = "untouched";
	uint64_t bytes = 42;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.does = reply_all, .arg = replies));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, &bytes, &type));
	assert_non_null(data);
	assert_int_equal(0, *(const char *)data);
	assert_int_equal(0, bytes);
	assert_null(type);
	faas_invocation_unref(invocation);
}

static void a_second_reply_replaces_the_first_as_a_whole(void **state)
{
	struct stage *stage = *state;
	struct reply replies[] = {{"long answer", 11, "text/plain", -1}, {"short", 5, NULL, -1}, NO_MORE};
	const void *data = NULL;
	const char *type = "untouched";
	uint64_t bytes = 0;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.does = reply_all, .arg = replies));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, &bytes, &type));
	assert_int_equal(5, bytes);
	assert_string_equal("short", data);
	assert_null(type);
	faas_invocation_unref(invocation);
}

static void a_reply_that_is_refused_leaves_the_earlier_one(void **state)
{
	struct stage stage;
	char long_type[FAAS_MAX_STRING + 2];
	struct reply replies[] = {
		{"12345678", 8, "a/b", -1}, /* as large as may be */
		{"123456789", 9, NULL, -1}, {"", 0, long_type, -1}, {"", 0, "\xff", -1}, {NULL, 1, NULL, -1}, NO_MORE,
	};
	const void *data = NULL;
	const char *type = NULL;
	uint64_t bytes = 0;
	faas_invocation *invocation;

	(void)state;
	memset(long_type, 't', sizeof(long_type));
	long_type[sizeof(long_type) - 1] = 0;
	/* Jobs are events, and events have the same bound. */
	stage_open(&stage, FAAS_RUNTIME(.max_data_bytes = sizeof(struct job)));
	replies[0].bytes = sizeof(struct job);
	replies[0].data = calloc(1, sizeof(struct job) + 1);
	replies[1].bytes = sizeof(struct job) + 1;
	replies[1].data = replies[0].data;
	stage_register(&stage, "f", NULL);
	invocation = stage_settle(&stage, "f", JOB(.does = reply_all, .arg = replies));
	assert_int_equal(FAAS_OK, replies[0].code);
	assert_int_equal(FAAS_ETOOBIG, replies[1].code);
	assert_int_equal(FAAS_ETOOLONG, replies[2].code);
	assert_int_equal(FAAS_ETEXT, replies[3].code);
	assert_int_equal(FAAS_EINVAL, replies[4].code);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, &bytes, &type));
	assert_int_equal(sizeof(struct job), bytes);
	assert_string_equal("a/b", type);
	assert_int_equal(FAAS_EINVAL, faas_context_reply(NULL, "", 0, NULL));
	faas_invocation_unref(invocation);
	free((void *)(uintptr_t)replies[0].data);
	stage_close(&stage);
}

static void a_failure_delivers_no_answer(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.reply = "half done", .result = 1));
	assert_int_equal(FAAS_EFAILED, faas_invocation_answer(invocation, NULL, NULL, NULL));
	faas_invocation_unref(invocation);
}

static void a_reply_that_nobody_can_ask_for_is_taken_all_the_same(void **state)
{
	struct stage *stage = *state;
	struct reply replies[] = {{"to nobody", 9, NULL, -1}, {NULL, 7, NULL, -1}, NO_MORE};

	stage_register(stage, "f", NULL);
	stage_queue(stage, "f", JOB(.does = reply_all, .arg = replies));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, replies[0].code);
	assert_int_equal(FAAS_EINVAL, replies[1].code);
	assert_int_equal(1, bed_stats(&stage->bed, "f").succeeded);
}

/* ---- On the way -------------------------------------------------------------------------------------------------- */

struct sight {
	faas_invocation *invocation;
	int status, outcome, answer, timing;
	char message[8];
};

static void look_at(struct sight *sight)
{
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};

	sight->status = faas_invocation_status(sight->invocation);
	sight->outcome = faas_invocation_outcome(sight->invocation);
	sight->answer = faas_invocation_answer(sight->invocation, NULL, NULL, NULL);
	sight->timing = faas_invocation_timing(sight->invocation, &timing);
	snprintf(sight->message, sizeof(sight->message), "%s", faas_invocation_message(sight->invocation));
}

static void look_from_inside(faas_context *context, void *arg)
{
	(void)context;
	look_at(arg);
}

static void assert_on_the_way(const struct sight *sight, int status)
{
	assert_int_equal(status, sight->status);
	assert_int_equal(FAAS_EPENDING, sight->outcome);
	assert_int_equal(FAAS_EPENDING, sight->answer);
	assert_int_equal(FAAS_EPENDING, sight->timing);
	assert_string_equal("", sight->message);
	assert_int_equal(0, faas_invocation_handler_result(sight->invocation));
}

static void an_invocation_goes_from_queued_to_running_to_settled(void **state)
{
	struct stage *stage = *state;
	struct sight sight = {0};

	stage_register(stage, "f", NULL);
	sight.invocation = stage_start(stage, "f", JOB(.does = look_from_inside, .arg = &sight, .reply = "x"));
	look_at(&sight);
	assert_on_the_way(&sight, FAAS_STATUS_QUEUED);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_on_the_way(&sight, FAAS_STATUS_RUNNING);
	look_at(&sight);
	assert_int_equal(FAAS_STATUS_SUCCEEDED, sight.status);
	assert_int_equal(FAAS_OK, sight.outcome);
	assert_int_equal(FAAS_OK, sight.answer);
	assert_int_equal(FAAS_OK, sight.timing);
	faas_invocation_unref(sight.invocation);
}

static void init_that_looks(faas_context *context, void *arg)
{
	look_from_inside(context, arg);
}

static void an_invocation_is_running_while_its_init_runs(void **state)
{
	struct stage *stage = *state;
	struct sight sight = {0};

	stage_register(stage, "f", NULL);
	stage->life.in_init = init_that_looks;
	stage->life.arg = &sight;
	sight.invocation = stage_start(stage, "f", NULL);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_STATUS_RUNNING, sight.status);
	assert_int_equal(FAAS_EPENDING, sight.outcome);
	faas_invocation_unref(sight.invocation);
}

static void a_failed_init_fails_the_invocation_that_asked_for_it(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 2;
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
	assert_int_equal(7, faas_invocation_handler_result(invocation));
	assert_string_equal(faas_strerror(FAAS_EINIT), faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
	bed_advance_ms(&stage->bed, 100);
	stage->life.init_says = "no licence";
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	assert_string_equal("no licence", faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
	assert_int_equal(0, stage->life.runs);
}

/* ---- Refused ----------------------------------------------------------------------------------------------------- */

/* Invokes in both ways; the synchronous one writes its output in any case, the other one only on success. */
static void assert_refused(struct stage *stage, int code, const char *name, const faas_event_config *event)
{
	faas_runtime *runtime = stage ? stage->bed.runtime : NULL;
	faas_invocation *const marker = (faas_invocation *)(void *)&code;
	faas_invocation *invocation = marker;

	assert_int_equal(code, faas_invoke(runtime, name, event, 0, &invocation));
	assert_null(invocation);
	assert_int_equal(code, faas_invoke(runtime, name, event, 0, NULL));
	invocation = marker;
	assert_int_equal(code, faas_invoke_async(runtime, name, event, &invocation));
	assert_ptr_equal(marker, invocation);
	assert_int_equal(code, faas_invoke_async(runtime, name, event, NULL));
}

static void what_cannot_be_accepted_is_refused_with_its_reason(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	assert_refused(NULL, FAAS_EINVAL, "f", NULL);
	assert_refused(stage, FAAS_EINVAL, NULL, NULL);
	assert_refused(stage, FAAS_ENAME, "", NULL);
	assert_refused(stage, FAAS_ENAME, "no blanks", NULL);
	assert_refused(stage, FAAS_ENOTFOUND, "g", NULL);
	assert_refused(stage, FAAS_ETYPE, "f", FAAS_EVENT(.type = "a..b"));
	assert_refused(stage, FAAS_EINVAL, "f", FAAS_EVENT(.data_bytes = 1));
	assert_refused(stage, FAAS_ETEXT, "f", FAAS_EVENT(.subject = "\xff"));
	assert_refused(stage, FAAS_ETOOBIG, "f", FAAS_EVENT(.data = "", .data_bytes = (16 << 20) + 1));
	assert_int_equal(0, bed_stats(&stage->bed, "f").accepted);
	assert_int_equal(0, stage->life.runs);
}

static void a_timeout_out_of_range_is_refused(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = (faas_invocation *)(void *)stage;
	faas_function *function = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_EINVAL, faas_invoke(stage->bed.runtime, "f", NULL, -2, &invocation));
	assert_null(invocation);
	assert_int_equal(FAAS_EINVAL, faas_function_invoke(function, NULL, FAAS_MAX_DURATION_MS + 1, NULL));
	assert_int_equal(FAAS_OK, faas_invoke(stage->bed.runtime, "f", NULL, FAAS_MAX_DURATION_MS, NULL));
	assert_int_equal(FAAS_OK, faas_invoke(stage->bed.runtime, "f", NULL, FAAS_NEVER, NULL));
	assert_int_equal(2, stage->life.runs);
	faas_function_unref(function);
}

static void a_full_queue_refuses(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.queue_events = 1));
	stage_queue(stage, "f", NULL);
	assert_refused(stage, FAAS_EFULL, "f", NULL);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(4, bed_stats(&stage->bed, "f").rejected_full);
}

static void a_full_runtime_refuses(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, FAAS_RUNTIME(.queue_events = 1));
	stage_register(&stage, "f", NULL);
	stage_queue(&stage, "f", NULL);
	assert_refused(&stage, FAAS_ERUNTIMEFULL, "f", NULL);
	assert_int_equal(4, bed_stats(&stage.bed, "f").rejected_runtime_full);
	stage_close(&stage);
}

static void a_draining_runtime_refuses(void **state)
{
	struct stage *stage = *state;
	faas_function *function = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_drain(stage->bed.runtime, 0));
	assert_refused(stage, FAAS_ECLOSED, "f", NULL);
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke_async(function, NULL, NULL));
	assert_int_equal(6, stats_of(function).rejected_closed);
	faas_function_unref(function);
}

static void what_is_pushed_out_of_a_full_queue_ends_as_dropped(void **state)
{
	struct stage *stage = *state;
	faas_invocation *first, *second;

	stage_register(stage, "f", ONCE(.queue_events = 1, .queue_full = FAAS_FULL_DROP_OLDEST));
	first = stage_start(stage, "f", NULL);
	stage_advance_ns(stage, 5);
	second = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_STATUS_DROPPED, faas_invocation_status(first));
	assert_int_equal(FAAS_EDROPPED, faas_invocation_outcome(first));
	assert_string_equal(faas_strerror(FAAS_EDROPPED), faas_invocation_message(first));
	assert_int_equal(5, timing_of(first).queued_ns);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(second));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(second));
	faas_invocation_unref(first);
	faas_invocation_unref(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_success_says_so_everywhere),
		STAGE_TEST(a_failure_says_why),
		STAGE_TEST(a_handlers_result_is_kept_as_it_is),
		STAGE_TEST(the_last_message_stands_if_the_attempt_fails),
		STAGE_TEST(a_long_message_is_cut_between_characters),
		STAGE_TEST(an_answer_comes_with_its_content_type),
		STAGE_TEST(an_empty_answer_is_an_answer),
		STAGE_TEST(a_second_reply_replaces_the_first_as_a_whole),
		cmocka_unit_test(a_reply_that_is_refused_leaves_the_earlier_one),
		STAGE_TEST(a_failure_delivers_no_answer),
		STAGE_TEST(a_reply_that_nobody_can_ask_for_is_taken_all_the_same),
		STAGE_TEST(an_invocation_goes_from_queued_to_running_to_settled),
		STAGE_TEST(an_invocation_is_running_while_its_init_runs),
		STAGE_TEST(a_failed_init_fails_the_invocation_that_asked_for_it),
		STAGE_TEST(what_cannot_be_accepted_is_refused_with_its_reason),
		STAGE_TEST(a_timeout_out_of_range_is_refused),
		STAGE_TEST(a_full_queue_refuses),
		cmocka_unit_test(a_full_runtime_refuses),
		STAGE_TEST(a_draining_runtime_refuses),
		STAGE_TEST(what_is_pushed_out_of_a_full_queue_ends_as_dropped),
	};

	return cmocka_run_group_tests_name("invocation", tests, NULL, NULL);
}
