/* SPDX-License-Identifier: MIT */
/* Deferred completion: taking a token, completing it, and coming too late. Ends of other kinds: test_defer_end.c. */
#include "support_trial.h"

static struct hold hold;

static int setup(void **state)
{
	hold = (struct hold){0};
	return bed_setup(state);
}

static int teardown(void **state)
{
	hold_clear(&hold);
	return bed_teardown(state);
}

static void check_settled(faas_deferral *token)
{
	assert_int_equal(0, faas_deferral_is_open(token));
	assert_int_equal(FAAS_ESETTLED, faas_complete(token, NULL, 0, NULL));
	assert_int_equal(FAAS_ESETTLED, faas_complete(token, "late", 4, "text/plain"));
	assert_int_equal(FAAS_ESETTLED, faas_complete_failed(token, "late"));
	assert_int_equal(FAAS_ESETTLED, faas_complete_failed_permanent(token, NULL));
}

/* ---- While nobody has completed it ------------------------------------------------------------------------------- */

static void a_deferred_invocation_leaves_its_worker_and_keeps_its_slot(void **state)
{
	struct bed *bed = *state;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	struct faas_function_stats stats;
	faas_invocation *invocation, *next;

	invocation = bed_hold_one(bed, &hold, HELD(.max_concurrency = 1));
	assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EPENDING, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_EPENDING, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_string_equal("", faas_invocation_message(invocation));
	assert_int_equal(FAAS_EPENDING, faas_invocation_timing(invocation, &timing));
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(invocation, 0));
	assert_int_equal(FAAS_EAGAIN, faas_invocation_wait(invocation, FAAS_NEVER));
	stats = bed_stats(bed, "f");
	assert_int_equal(1, stats.deferred);
	assert_int_equal(1, stats.deferrals);
	assert_int_equal(0, stats.running + stats.busy + stats.overrunning);
	assert_int_equal(1, stats.warm);
	assert_int_equal(1, stats.requests);
	next = bed_start(bed, "f", NULL);
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(next));
	assert_int_equal(1, faas_deferral_is_open(hold.tokens[0]));
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(next));
	assert_int_equal(1, bed_stats(bed, "f").workers_peak);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[1], NULL, 0, NULL));
	faas_invocation_unref(invocation);
	faas_invocation_unref(next);
}

static void many_are_deferred_with_one_worker(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", HELD(.max_concurrency = 50));
	for (int i = 0; i < 60; i++)
		bed_queue(bed, "f", NULL);
	assert_int_equal(50, bed_run(bed));
	assert_int_equal(50, bed_stats(bed, "f").deferred);
	assert_int_equal(10, bed_stats(bed, "f").queued);
	assert_int_equal(1, bed_stats(bed, "f").workers_peak);
	for (int i = 0; i < 10; i++)
		assert_int_equal(FAAS_OK, faas_complete(hold.tokens[49 - i], NULL, 0, NULL));
	assert_int_equal(10, bed_run(bed));
	assert_int_equal(60, hold.count);
	assert_int_equal(10, bed_stats(bed, "f").succeeded);
	for (int i = 0; i < 60; i++)
		assert_int_equal(i < 40 || i > 49 ? FAAS_OK : FAAS_ESETTLED, faas_complete(hold.tokens[i], NULL, 0, NULL));
	assert_int_equal(60, bed_stats(bed, "f").succeeded);
}

/* ---- Successes --------------------------------------------------------------------------------------------------- */

static void a_completion_brings_the_answer(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;
	const void *data = NULL;
	const char *type = NULL;
	uint64_t bytes = 0;
	char answer[] = "forty-two";

	invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = 100));
	bed_advance_ms(bed, 40);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], answer, 9, "text/plain"));
	memset(answer, 'x', sizeof(answer));
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, &bytes, &type));
	assert_string_equal("forty-two", data);
	assert_int_equal(9, bytes);
	assert_string_equal("text/plain", type);
	assert_int_equal(40 * MS, timing_of(invocation).run_ns);
	assert_int_equal(40 * MS, timing_of(invocation).total_ns);
	assert_int_equal(1, timing_of(invocation).is_cold);
	assert_int_equal(1, timing_of(invocation).attempts);
	/* The bill is the handler's own time. */
	assert_int_equal(0, bed_stats(bed, "f").billed_ms);
	assert_int_equal(0, bed_stats(bed, "f").run_time.max_ns);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
	assert_int_equal(0, bed_stats(bed, "f").deferred);
	check_settled(hold.tokens[0]);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
	faas_invocation_unref(invocation);
}

static void without_data_the_handlers_reply_stands(void **state)
{
	struct bed *bed = *state;
	faas_invocation *first, *second, *third;
	const void *data = NULL;
	uint64_t bytes = 77;

	hold.reply = "early";
	first = bed_hold_one(bed, &hold, HELD(.deadline_ms = 100));
	second = bed_start(bed, "f", NULL);
	third = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_answer(first, &data, NULL, NULL));
	assert_string_equal("early", data);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[1], "late", 4, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_answer(second, &data, NULL, NULL));
	assert_string_equal("late", data);
	/* No bytes at an address are an answer. */
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[2], "", 0, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_answer(third, &data, &bytes, NULL));
	assert_int_equal(0, bytes);
	faas_invocation_unref(first);
	faas_invocation_unref(second);
	faas_invocation_unref(third);
}

static void without_any_reply_there_is_no_answer(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = 100));

	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(FAAS_ENOTFOUND, faas_invocation_answer(invocation, NULL, NULL, NULL));
	faas_invocation_unref(invocation);
}

static void what_cannot_be_an_answer_changes_nothing(void **state)
{
	struct bed bed;
	faas_invocation *invocation;
	char type[FAAS_MAX_STRING + 2];

	(void)state;
	hold = (struct hold){0};
	memset(type, 'x', sizeof(type));
	type[sizeof(type) - 1] = 0;
	bed_open(&bed, FAAS_RUNTIME(.max_data_bytes = 100));
	invocation = bed_hold_one(&bed, &hold, HELD(.deadline_ms = 100));
	assert_int_equal(FAAS_ETOOBIG, faas_complete(hold.tokens[0], type, 101, NULL));
	assert_int_equal(FAAS_ETOOLONG, faas_complete(hold.tokens[0], "x", 1, type));
	assert_int_equal(FAAS_ETEXT, faas_complete(hold.tokens[0], "x", 1, "\xff"));
	assert_int_equal(FAAS_EINVAL, faas_complete(hold.tokens[0], NULL, 1, NULL));
	assert_int_equal(1, faas_deferral_is_open(hold.tokens[0]));
	assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], type, 100, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
	hold_clear(&hold);
	bed_close(&bed);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static void a_failed_completion_is_retried(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = FAAS_NEVER));

	for (int i = 0; i < 3; i++) {
		assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(invocation));
		bed_advance_ms(bed, 10);
		assert_int_equal(FAAS_OK, faas_complete_failed(hold.tokens[i], i < 2 ? "not yet" : "given up"));
		check_settled(hold.tokens[i]);
		bed_pass_ms(bed, 100 << i);
		bed_run(bed);
	}
	assert_int_equal(3, hold.count);
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_string_equal("given up", faas_invocation_message(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_int_equal(330 * MS, timing_of(invocation).total_ns);
	assert_int_equal(10 * MS, timing_of(invocation).run_ns);
	assert_int_equal(3, timing_of(invocation).attempts);
	assert_int_equal(3, bed_stats(bed, "f").deferrals);
	assert_int_equal(2, bed_stats(bed, "f").retries);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	faas_invocation_unref(invocation);
}

static void a_permanent_one_is_not(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = FAAS_NEVER));
	char text[400];

	memset(text, 'm', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_int_equal(FAAS_OK, faas_complete_failed_permanent(hold.tokens[0], text));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_int_equal(255, strlen(faas_invocation_message(invocation)));
	assert_int_equal(0, bed_stats(bed, "f").retries);
	faas_invocation_unref(invocation);
}

static void a_failure_without_a_message_has_the_text_of_its_outcome(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.attempts = 1));

	assert_int_equal(FAAS_OK, faas_complete_failed(hold.tokens[0], NULL));
	assert_string_equal(faas_strerror(FAAS_EFAILED), faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
}

static void a_late_failure_with_an_early_reply_has_no_answer(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	hold.reply = "early";
	invocation = bed_hold_one(bed, &hold, HELD(.attempts = 1));
	assert_int_equal(FAAS_OK, faas_complete_failed(hold.tokens[0], "late"));
	assert_int_equal(FAAS_EFAILED, faas_invocation_answer(invocation, NULL, NULL, NULL));
	faas_invocation_unref(invocation);
}

/* ---- Time -------------------------------------------------------------------------------------------------------- */

static void until_its_deadline_a_completion_counts(void **state)
{
	struct bed *bed = *state;
	faas_invocation *first = bed_hold_one(bed, &hold, HELD(.attempts = 1)), *second = bed_start(bed, "f", NULL);

	bed_run(bed);
	assert_int_equal(3000 * MS, bed_next_due(bed));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 3000 * MS - 1));
	assert_int_equal(1, bed_next_due(bed));
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(first));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 1));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(second));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(second));
	assert_int_equal(3000 * MS, timing_of(second).run_ns);
	assert_int_equal(0, bed_stats(bed, "f").deferred);
	assert_int_equal(1, bed_stats(bed, "f").timed_out);
	assert_int_equal(0, bed_stats(bed, "f").overruns);
	check_settled(hold.tokens[1]);
	faas_invocation_unref(first);
	faas_invocation_unref(second);
}

static int take_time_and_defer(faas_context *context, const faas_event *event)
{
	(void)faas_clock_advance(faas_context_user(context), 6 * MS);
	hold.code = faas_context_defer(context, &hold.tokens[hold.count++]);
	(void)faas_clock_advance(faas_context_user(context), 1 * MS);
	(void)event;
	return 0;
}

static void the_deadline_stays_that_of_the_attempt(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(
		bed, &hold, FAAS_FUNCTION(.handler = take_time_and_defer, .user = bed->clock, .deadline_ms = 10, .attempts = 1));

	assert_int_equal(3 * MS, bed_next_due(bed));
	assert_int_equal(7, bed_stats(bed, "f").billed_ms);
	assert_int_equal(7 * MS, bed_stats(bed, "f").run_time.max_ns);
	bed_advance_ms(bed, 50);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(10 * MS, timing_of(invocation).total_ns);
	assert_int_equal(7, bed_stats(bed, "f").billed_ms);
	faas_invocation_unref(invocation);
}

static void without_a_deadline_it_waits_for_ever(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = FAAS_NEVER, .keep_warm_ms = FAAS_NEVER));

	assert_int_equal(FAAS_NEVER, bed_next_due(bed));
	bed_advance_ms(bed, FAAS_MAX_DURATION_MS);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void the_callers_time_ends_it_too(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", HELD(.attempts = 1));
	invocation = bed_start(bed, "f", FAAS_EVENT(.timeout_ms = 20));
	bed_advance_ms(bed, 5);
	bed_run(bed);
	assert_int_equal(15 * MS, bed_next_due(bed));
	bed_advance_ms(bed, 15);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	check_settled(hold.tokens[0]);
	faas_invocation_unref(invocation);
}

static void a_deferred_attempt_that_timed_out_is_retried(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = 50));

	bed_advance_ms(bed, 60);
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_int_equal(90 * MS, bed_next_due(bed));
	bed_advance_ms(bed, 90);
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(invocation));
	check_settled(hold.tokens[0]);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[1], NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_int_equal(2, timing_of(invocation).attempts);
	assert_int_equal(0, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_deferred_invocation_leaves_its_worker_and_keeps_its_slot),
		TEST(many_are_deferred_with_one_worker),
		TEST(a_completion_brings_the_answer),
		TEST(without_data_the_handlers_reply_stands),
		TEST(without_any_reply_there_is_no_answer),
		cmocka_unit_test(what_cannot_be_an_answer_changes_nothing),
		TEST(a_failed_completion_is_retried),
		TEST(a_permanent_one_is_not),
		TEST(a_failure_without_a_message_has_the_text_of_its_outcome),
		TEST(a_late_failure_with_an_early_reply_has_no_answer),
		TEST(until_its_deadline_a_completion_counts),
		TEST(the_deadline_stays_that_of_the_attempt),
		TEST(without_a_deadline_it_waits_for_ever),
		TEST(the_callers_time_ends_it_too),
		TEST(a_deferred_attempt_that_timed_out_is_retried),
	};

	return cmocka_run_group_tests_name("defer", tests, NULL, NULL);
}
