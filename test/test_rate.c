/* SPDX-License-Identifier: MIT */
/* Rates: a token bucket before each attempt, exact to the nanosecond. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;

/* A bed in *state, and a trial that always succeeds. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.clock = ((struct bed *)*state)->clock};
	return result;
}

static void queue_many(struct bed *bed, const char *function, int count)
{
	for (int i = 0; i < count; i++)
		bed_queue(bed, function, NULL);
}

/* ---- When attempts begin ----------------------------------------------------------------------------------------- */

static void a_burst_of_one_spaces_attempts_evenly(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 1));
	queue_many(bed, "f", 4);
	bed_pass_ms(bed, 1000);
	assert_string_equal("1@0 1@100 1@200 1@300", trial_story(&trial));
}

static void by_default_a_burst_is_as_many_as_the_rate(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 5));
	queue_many(bed, "f", 7);
	bed_pass_ms(bed, 1000);
	assert_string_equal("1@0 1@0 1@0 1@0 1@0 1@200 1@400", trial_story(&trial));
}

static void the_time_of_a_token_is_rounded_up(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 3, .rate_burst = 1));
	queue_many(bed, "f", 3);
	bed_pass_ms(bed, 1000);
	assert_string_equal("1@0 1@333+333334 1@666+666668", trial_story(&trial));
}

static void a_bucket_holds_no_more_than_its_burst(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 2, .keep_warm_ms = FAAS_NEVER));
	bed_advance_ms(bed, 10000);
	queue_many(bed, "f", 4);
	bed_pass_ms(bed, 1000);
	assert_string_equal("1@10000 1@10000 1@10100 1@10200", trial_story(&trial));
	trial.count = 0;
	/* The bucket has had 100 years to fill. */
	bed_advance_ms(bed, FAAS_MAX_DURATION_MS);
	queue_many(bed, "f", 3);
	bed_pass_ms(bed, 1000);
	assert_int_equal(3, trial.count);
	assert_int_equal(trial.seen[0].at_ns, trial.seen[1].at_ns);
	assert_int_equal(trial.seen[0].at_ns + 100 * MS, trial.seen[2].at_ns);
}

static void a_token_comes_at_its_nanosecond(void **state)
{
	struct bed *bed = *state;
	int64_t due;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 1));
	queue_many(bed, "f", 2);
	assert_int_equal(1, bed_run(bed));
	due = bed_next_due(bed);
	assert_true(due > 0 && due <= 100 * MS);
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 100 * MS - 1));
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(1, bed_next_due(bed));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 1));
	assert_int_equal(0, bed_next_due(bed));
	assert_int_equal(1, bed_run(bed));
}

static void the_fastest_rate_is_a_token_a_nanosecond(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = FAAS_MAX_RATE, .rate_burst = 1));
	queue_many(bed, "f", 3);
	bed_pass_ns(bed, 100);
	assert_string_equal("1@0 1@0+1 1@0+2", trial_story(&trial));
}

static void without_a_rate_nothing_waits(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = FAAS_UNLIMITED));
	queue_many(bed, "f", 1500);
	assert_int_equal(1500, bed_run(bed));
}

static void attempts_begin_when_the_bucket_says_so_whenever_events_come(void **state)
{
	enum { COUNT = 400 };
	const int64_t interval = (1000000000 + 6) / 7;
	struct bed *bed = *state;
	uint64_t seed = random_seed("rate");
	int64_t expected[COUNT], tat = 0, last = 0;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 7, .rate_burst = 3));
	for (int i = 0; i < COUNT; i++) {
		int64_t at = faas_clock_now(bed->clock), begins = at > last ? at : last;

		tat = tat > at ? tat : at;
		if (tat - 2 * interval > begins)
			begins = tat - 2 * interval;
		expected[i] = last = begins;
		tat = (tat > begins ? tat : begins) + interval;
		bed_queue(bed, "f", NULL);
		bed_pass_ns(bed, (int64_t)random_below(&seed, (uint64_t)(random_below(&seed, 9) == 0 ? 2000 * MS : 200 * MS)));
	}
	bed_pass_ms(bed, 60000);
	assert_int_equal(COUNT, trial.count);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(expected[i], trial.seen[i].at_ns);
}

/* ---- What takes a token ------------------------------------------------------------------------------------------ */

static void retries_take_tokens_too(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 2, .rate_burst = 1, .backoff_ms = FAAS_NONE));
	bed_queue(bed, "f", TEXT("a"));
	bed_queue(bed, "f", TEXT("b"));
	bed_pass_ms(bed, 5000);
	assert_string_equal("a1@0 b1@500 a2@1000 b2@1500 a3@2000 b3@2500", trial_story(&trial));
}

static void what_waits_for_a_token_is_no_attempt(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 2, .rate_burst = 1, .attempts = 1));
	queue_many(bed, "f", 1);
	invocation = bed_start(bed, "f", NULL);
	for (int i = 0; i < 10; i++)
		bed_run(bed);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	bed_pass_ms(bed, 500);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_int_equal(1, timing_of(invocation).attempts);
	assert_int_equal(500 * MS, timing_of(invocation).queued_ns);
	faas_invocation_unref(invocation);
}

static void what_expired_or_was_cancelled_takes_none(void **state)
{
	struct bed *bed = *state;
	faas_invocation *cancelled;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 1, .max_age_ms = 90));
	bed_queue(bed, "f", TEXT("a"));
	cancelled = bed_start(bed, "f", TEXT("b"));
	bed_queue(bed, "f", TEXT("c"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(cancelled));
	bed_advance_ms(bed, 20);
	bed_queue(bed, "f", TEXT("d"));
	bed_advance_ms(bed, 70);
	/* "c" is too old now, but nothing could begin. */
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(2, bed_stats(bed, "f").queued);
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 d1@100", trial_story(&trial));
	assert_int_equal(1, bed_stats(bed, "f").expired);
	faas_invocation_unref(cancelled);
}

static void a_failed_init_takes_one(void **state)
{
	struct stage *stage = *state;

	stage_register(
		stage, "f",
		FAAS_FUNCTION(.rate_per_s = 2, .rate_burst = 1, .backoff_ms = FAAS_NONE, .init_backoff_ms = FAAS_NONE));
	stage->life.init_fails = 1;
	stage_queue(stage, "f", NULL);
	bed_run(&stage->bed);
	assert_int_equal(1, bed_stats(&stage->bed, "f").init_failures);
	assert_int_equal(0, stage->life.runs);
	bed_pass_ms(&stage->bed, 499);
	assert_int_equal(0, stage->life.runs);
	bed_pass_ms(&stage->bed, 1);
	bed_run(&stage->bed);
	assert_int_equal(1, stage->life.runs);
}

static void provisioned_starts_take_none(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.rate_per_s = 1, .rate_burst = 1, .provisioned = 3));
	bed_run(&stage->bed);
	assert_int_equal(3, stage->life.inits);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
}

static void each_function_has_its_own_bucket(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 1, .rate_burst = 1));
	bed_register(bed, "g", TRIAL(.user = &trial, .rate_per_s = 1, .rate_burst = 1));
	queue_many(bed, "f", 2);
	queue_many(bed, "g", 2);
	assert_int_equal(2, bed_run(bed));
}

/* ---- Synchronous calls ------------------------------------------------------------------------------------------- */

static void a_call_whose_token_would_come_too_late_is_refused(void **state)
{
	static const uint32_t flags[] = {0, FAAS_FUNCTION_INLINE};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		static char untouched;
		faas_invocation *invocation = (faas_invocation *)(void *)&untouched;

		bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 1, .flags = flags[i]));
		assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 1, NULL));
		assert_int_equal(FAAS_ETHROTTLED, faas_invoke(bed->runtime, "f", NULL, 100, &invocation));
		assert_null(invocation);
		assert_int_equal(1, bed_stats(bed, "f").rejected_throttled);
		assert_int_equal(1, bed_stats(bed, "f").rejected);
		assert_int_equal(1, bed_stats(bed, "f").accepted);
		/* One that may wait for it, cannot in manual mode. */
		assert_int_equal(FAAS_EAGAIN, faas_invoke(bed->runtime, "f", NULL, 101, &invocation));
		assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
		assert_int_equal(FAAS_EAGAIN, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
		faas_invocation_unref(invocation);
		/* None of these took a token. */
		bed_advance_ms(bed, 100);
		assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 1, NULL));
		assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	}
}

static void so_is_one_behind_others_that_will_take_the_tokens(void **state)
{
	struct bed *bed = *state;
	faas_function *function;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 2));
	function = bed_find(bed, "f");
	queue_many(bed, "f", 3);
	/* Tokens come at 0, 0, 100 and 200 ms; the fourth is this call's. */
	assert_int_equal(FAAS_ETHROTTLED, faas_function_invoke(function, NULL, 200, NULL));
	assert_int_equal(FAAS_EAGAIN, faas_function_invoke(function, NULL, 201, NULL));
	assert_int_equal(FAAS_ETHROTTLED, faas_invoke(bed->runtime, "f", FAAS_EVENT(.timeout_ms = 90), 0, NULL));
	assert_int_equal(2, bed_stats(bed, "f").rejected_throttled);
	bed_pass_ms(bed, 1000);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(function, NULL, 1, NULL));
	faas_function_unref(function);
}

static void what_is_queued_is_not_throttled(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 1, .rate_burst = 1, .queue_events = 3));
	bed_bind(bed, "t", "f");
	for (int i = 0; i < 3; i++)
		assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .timeout_ms = 1), NULL));
	assert_int_equal(FAAS_EFULL, bed_emit(bed, "t", ""));
	assert_int_equal(0, bed_stats(bed, "f").rejected_throttled);
	bed_pass_ms(bed, 10000);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
	assert_int_equal(2, bed_stats(bed, "f").expired);
}

static int nested_codes[3];

static int nesting_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	nested_codes[0] = faas_context_invoke(context, "f", NULL, 0, NULL);
	nested_codes[1] = faas_context_invoke(context, "f", NULL, 50, NULL);
	nested_codes[2] = faas_context_invoke(context, "f", NULL, 0, NULL);
	return 0;
}

static void nested_calls_take_tokens_and_are_refused_likewise(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 1));
	bed_register(bed, "g", FAAS_FUNCTION(.handler = nesting_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "g", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, nested_codes[0]);
	assert_int_equal(FAAS_ETHROTTLED, nested_codes[1]);
	assert_int_equal(FAAS_EAGAIN, nested_codes[2]);
	assert_int_equal(1, trial.count);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_burst_of_one_spaces_attempts_evenly),
		TEST(by_default_a_burst_is_as_many_as_the_rate),
		TEST(the_time_of_a_token_is_rounded_up),
		TEST(a_bucket_holds_no_more_than_its_burst),
		TEST(a_token_comes_at_its_nanosecond),
		TEST(the_fastest_rate_is_a_token_a_nanosecond),
		TEST(without_a_rate_nothing_waits),
		TEST(attempts_begin_when_the_bucket_says_so_whenever_events_come),
		TEST(retries_take_tokens_too),
		TEST(what_waits_for_a_token_is_no_attempt),
		TEST(what_expired_or_was_cancelled_takes_none),
		STAGE_TEST(a_failed_init_takes_one),
		STAGE_TEST(provisioned_starts_take_none),
		TEST(each_function_has_its_own_bucket),
		TEST(a_call_whose_token_would_come_too_late_is_refused),
		TEST(so_is_one_behind_others_that_will_take_the_tokens),
		TEST(what_is_queued_is_not_throttled),
		TEST(nested_calls_take_tokens_and_are_refused_likewise),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
