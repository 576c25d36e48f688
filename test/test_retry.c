/* SPDX-License-Identifier: MIT */
/* Retries: how many, when, for how long, and what does not count as an attempt. Manual mode. */
#include "support_trial.h"

#define HOUR_MS INT64_C(3600000)
#define ALWAYS 1000000

static struct trial trial;

/* A bed in *state, and a trial that always fails. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.fails = ALWAYS, .clock = ((struct bed *)*state)->clock};
	return result;
}

/* ---- How often --------------------------------------------------------------------------------------------------- */

static void by_default_there_are_three_attempts_after_100_and_200_ms(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 60000);
	assert_string_equal("a1@0 a2@100 a3@300", trial_story(&trial));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
	assert_int_equal(3, timing_of(invocation).attempts);
	assert_int_equal(300 * MS, timing_of(invocation).total_ns);
	assert_int_equal(2, bed_stats(bed, "f").retries);
	assert_int_equal(1, bed_stats(bed, "f").failed);
	assert_int_equal(3, bed_stats(bed, "f").requests);
	faas_invocation_unref(invocation);
}

static void a_success_ends_them(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;
	const void *answer = NULL;

	trial.fails = 2;
	trial.says = "not yet";
	trial.reply = "at last";
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 10));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 60000);
	assert_string_equal("a1@0 a2@100 a3@300", trial_story(&trial));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &answer, NULL, NULL));
	assert_string_equal("at last", answer);
	assert_string_equal("", faas_invocation_message(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_int_equal(3, timing_of(invocation).attempts);
	assert_int_equal(0, bed_stats(bed, "f").failed);
	faas_invocation_unref(invocation);
}

static void one_attempt_is_one(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 1));
	bed_queue(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 60000);
	assert_string_equal("a1@0", trial_story(&trial));
	assert_int_equal(0, bed_stats(bed, "f").retries);
	assert_int_equal(1, bed_stats(bed, "f").failed);
}

static void a_thousand_attempts_are_the_most_that_can_be_counted_to(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = FAAS_MAX_ATTEMPTS, .backoff_ms = FAAS_NONE));
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(FAAS_MAX_ATTEMPTS, bed_run(bed));
	assert_int_equal(FAAS_MAX_ATTEMPTS, trial.count);
	assert_int_equal(FAAS_MAX_ATTEMPTS, trial.seen[FAAS_MAX_ATTEMPTS - 1].attempt);
	assert_int_equal(FAAS_MAX_ATTEMPTS, timing_of(invocation).attempts);
	assert_int_equal(0, faas_clock_now(bed->clock));
	faas_invocation_unref(invocation);
}

static void unlimited_attempts_go_on_until_the_age_ends_them(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(
		bed, "f",
		TRIAL(.user = &trial, .attempts = FAAS_UNLIMITED, .backoff_ms = 1, .backoff_max_ms = 1, .max_age_ms = 1500));
	invocation = bed_start(bed, "f", NULL);
	bed_pass_ms(bed, 5000);
	assert_int_equal(1500, trial.count);
	assert_int_equal(1500, trial.seen[1499].attempt);
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EEXPIRED, faas_invocation_outcome(invocation));
	assert_int_equal(1500, timing_of(invocation).attempts);
	faas_invocation_unref(invocation);
}

static void a_permanent_failure_is_the_last_one(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.is_permanent = 1;
	trial.says = "no such file";
	trial.result = 9;
	bed_register(bed, "f", TRIAL(.user = &trial));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 60000);
	assert_string_equal("a1@0", trial_story(&trial));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_int_equal(9, faas_invocation_handler_result(invocation));
	assert_string_equal("no such file", faas_invocation_message(invocation));
	assert_int_equal(0, bed_stats(bed, "f").retries);
	faas_invocation_unref(invocation);
}

static void a_handler_that_succeeds_has_not_failed_for_good(void **state)
{
	struct bed *bed = *state;

	trial.is_permanent = 1;
	trial.fails = 0;
	bed_register(bed, "f", TRIAL(.user = &trial));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
}

/* In an attempt of another kind of failure, permanence is of that attempt only. */
static int permanent_then_plain(faas_context *context, const faas_event *event)
{
	(void)event;
	(void)faas_context_fail_permanent(context, "first");
	return faas_context_fail(context, "second");
}

static void a_later_plain_failure_does_not_mend_a_permanent_one(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", FAAS_FUNCTION(.handler = permanent_then_plain));
	invocation = bed_start(bed, "f", NULL);
	bed_pass_ms(bed, 60000);
	assert_string_equal("second", faas_invocation_message(invocation));
	assert_int_equal(1, timing_of(invocation).attempts);
	faas_invocation_unref(invocation);
}

static void the_last_attempt_is_the_one_that_is_told_of(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;
	char text[300];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	trial.says = text;
	trial.takes_ns = 7 * MS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 2));
	invocation = bed_start(bed, "f", NULL);
	bed_advance_ms(bed, 5);
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_string_equal("", faas_invocation_message(invocation));
	assert_int_equal(FAAS_EPENDING, faas_invocation_outcome(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	trial.says = "again";
	trial.result = 4;
	trial.takes_ns = 3 * MS;
	bed_pass_ms(bed, 200);
	assert_string_equal("again", faas_invocation_message(invocation));
	assert_int_equal(4, faas_invocation_handler_result(invocation));
	assert_int_equal(0, timing_of(invocation).is_cold);
	assert_int_equal(5 * MS, timing_of(invocation).queued_ns);
	assert_int_equal(3 * MS, timing_of(invocation).run_ns);
	assert_int_equal(5 * MS + 7 * MS + 100 * MS + 3 * MS, timing_of(invocation).total_ns);
	assert_int_equal(10, bed_stats(bed, "f").billed_ms);
	faas_invocation_unref(invocation);
}

static void a_synchronous_call_is_one_attempt(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = NULL;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 5, .max_age_ms = 1));
	assert_int_equal(FAAS_EFAILED, faas_invoke(bed->runtime, "f", TEXT("a"), 0, &invocation));
	assert_int_equal(1, timing_of(invocation).attempts);
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0", trial_story(&trial));
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_added);
	faas_invocation_unref(invocation);
}

/* ---- When -------------------------------------------------------------------------------------------------------- */

static void delays_double_up_to_their_cap(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 7, .backoff_ms = 10, .backoff_max_ms = 100));
	bed_queue(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 60000);
	assert_string_equal("a1@0 a2@10 a3@30 a4@70 a5@150 a6@250 a7@350", trial_story(&trial));
}

static void by_default_the_cap_is_20_seconds(void **state)
{
	struct bed *bed = *state;
	int64_t delay = 100, at = 0;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 12));
	bed_queue(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 3 * HOUR_MS);
	assert_int_equal(12, trial.count);
	for (int i = 1; i < 12; i++) {
		at += delay;
		assert_int_equal(at * MS, trial.seen[i].at_ns);
		delay = delay * 2 > 20000 ? 20000 : delay * 2;
	}
}

static void a_cap_below_the_first_delay_counts_as_that(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 4, .backoff_ms = 50, .backoff_max_ms = 20));
	bed_queue(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 60000);
	assert_string_equal("a1@0 a2@50 a3@100 a4@150", trial_story(&trial));
}

static void the_longest_delays_do_not_overflow(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f",
	             TRIAL(.user = &trial, .attempts = FAAS_MAX_ATTEMPTS, .backoff_ms = FAAS_MAX_DURATION_MS,
	                   .backoff_max_ms = FAAS_MAX_DURATION_MS, .max_age_ms = FAAS_NEVER, .keep_warm_ms = FAAS_NEVER));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_MAX_DURATION_MS * MS, bed_next_due(bed));
	assert_int_equal(1, bed_stats(bed, "f").delayed);
}

static void the_retry_schedule_of_lambda_is_one_and_two_minutes(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", FAAS_FUNCTION(.handler = trial_handler, .user = &trial, FAAS_RETRY_LAMBDA));
	bed_queue(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 7 * HOUR_MS);
	assert_string_equal("a1@0 a2@60000 a3@180000", trial_story(&trial));
}

static void a_retry_comes_at_its_nanosecond_and_not_before(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.takes_ns = 1;
	bed_register(bed, "f", TRIAL(.user = &trial));
	invocation = bed_start(bed, "f", TEXT("a"));
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_int_equal(100 * MS, bed_next_due(bed));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 100 * MS - 1));
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(1, bed_next_due(bed));
	assert_int_equal(1, bed_stats(bed, "f").delayed);
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 1));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	assert_int_equal(0, bed_stats(bed, "f").delayed);
	assert_int_equal(1, bed_stats(bed, "f").queued);
	assert_int_equal(0, bed_next_due(bed));
	assert_int_equal(1, bed_run(bed));
	assert_string_equal("a1@0 a2@100+1", trial_story(&trial));
	faas_invocation_unref(invocation);
}

static void without_delays_a_retry_joins_the_end_of_the_queue(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .backoff_ms = FAAS_NONE));
	bed_queue(bed, "f", TEXT("a"));
	bed_queue(bed, "f", TEXT("b"));
	bed_run(bed);
	assert_string_equal("a1@0 b1@0 a2@0 b2@0 a3@0 b3@0", trial_story(&trial));
	assert_int_equal(4, bed_stats(bed, "f").retries);
}

static void a_due_retry_joins_the_end_of_the_queue(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", TRIAL(.user = &trial));
	bed_queue(bed, "f", TEXT("a"));
	bed_run(bed);
	bed_queue(bed, "f", TEXT("b"));
	bed_advance_ms(bed, 100);
	bed_queue(bed, "f", TEXT("c"));
	bed_run(bed);
	assert_string_equal("a1@0 b1@100 a2@100 c1@100", trial_story(&trial));
}

static void what_waits_in_the_queue_counts_from_when_the_retry_was_due(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", TRIAL(.user = &trial));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	bed_advance_ms(bed, 100 + 30);
	bed_run(bed);
	assert_int_equal(2, bed_stats(bed, "f").queue_time.count);
	assert_int_equal(30 * MS, bed_stats(bed, "f").queue_time.sum_ns);
}

static void an_emission_is_settled_with_the_last_attempt(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;

	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 2));
	bed_bind(bed, "t", "f");
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	bed_run(bed);
	assert_int_equal(FAAS_EPENDING, faas_emission_wait(emission, 0));
	assert_int_equal(FAAS_EAGAIN, faas_emission_wait(emission, FAAS_NEVER));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, FAAS_NEVER));
	assert_int_equal(2, trial.count);
	faas_emission_unref(emission);
}

/* ---- Chance ------------------------------------------------------------------------------------------------------ */

/* How long the first of two attempts was followed by nothing, for many events at once. */
static void draw_delays(uint64_t seed, int32_t jitter_percent, int64_t *delays, int count)
{
	struct bed bed;

	trial = (struct trial){.fails = 1};
	bed_open(&bed, FAAS_RUNTIME(.seed = seed));
	trial.clock = bed.clock;
	bed_register(
		&bed, "f",
		FAAS_FUNCTION(.handler = trial_handler, .user = &trial, .backoff_ms = 1000, .jitter_percent = jitter_percent));
	for (int i = 0; i < count; i++)
		bed_queue(&bed, "f", NULL);
	bed_pass_ms(&bed, 2000);
	assert_int_equal(2 * count, trial.count);
	for (int i = 0; i < count; i++)
		delays[i] = trial.seen[count + i].at_ns;
	bed_close(&bed);
}

static void check_jitter(int32_t jitter_percent, int64_t least_ms)
{
	enum { COUNT = 500 };
	int64_t delays[COUNT], least = INT64_MAX, most = 0, sum = 0, range = (1000 - least_ms) * MS;

	draw_delays(7, jitter_percent, delays, COUNT);
	for (int i = 0; i < COUNT; i++) {
		least = delays[i] < least ? delays[i] : least;
		most = delays[i] > most ? delays[i] : most;
		sum += delays[i] / COUNT;
	}
	assert_in_range(least, least_ms * MS, least_ms * MS + range / 20);
	assert_in_range(most, 1000 * MS - range / 20, 1000 * MS);
	/* evenly: six standard deviations of the mean are 8 % of the range */
	assert_in_range(sum, least_ms * MS + range / 100 * 42, least_ms * MS + range / 100 * 58);
}

static void the_whole_delay_is_drawn_by_default(void **state)
{
	(void)state;
	check_jitter(0, 0);
	check_jitter(100, 0);
}

static void a_part_of_the_delay_may_be_drawn(void **state)
{
	(void)state;
	check_jitter(50, 500);
	check_jitter(20, 800);
	check_jitter(1, 990);
}

static void delays_come_from_the_seed(void **state)
{
	int64_t first[20], same[20], other[20];

	(void)state;
	draw_delays(42, 0, first, 20);
	draw_delays(42, 0, same, 20);
	draw_delays(43, 0, other, 20);
	assert_memory_equal(first, same, sizeof(first));
	assert_memory_not_equal(first, other, sizeof(first));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(by_default_there_are_three_attempts_after_100_and_200_ms),
		TEST(a_success_ends_them),
		TEST(one_attempt_is_one),
		TEST(a_thousand_attempts_are_the_most_that_can_be_counted_to),
		TEST(unlimited_attempts_go_on_until_the_age_ends_them),
		TEST(a_permanent_failure_is_the_last_one),
		TEST(a_handler_that_succeeds_has_not_failed_for_good),
		TEST(a_later_plain_failure_does_not_mend_a_permanent_one),
		TEST(the_last_attempt_is_the_one_that_is_told_of),
		TEST(a_synchronous_call_is_one_attempt),
		TEST(delays_double_up_to_their_cap),
		TEST(by_default_the_cap_is_20_seconds),
		TEST(a_cap_below_the_first_delay_counts_as_that),
		TEST(the_longest_delays_do_not_overflow),
		TEST(the_retry_schedule_of_lambda_is_one_and_two_minutes),
		TEST(a_retry_comes_at_its_nanosecond_and_not_before),
		TEST(without_delays_a_retry_joins_the_end_of_the_queue),
		TEST(a_due_retry_joins_the_end_of_the_queue),
		TEST(what_waits_in_the_queue_counts_from_when_the_retry_was_due),
		TEST(an_emission_is_settled_with_the_last_attempt),
		cmocka_unit_test(the_whole_delay_is_drawn_by_default),
		cmocka_unit_test(a_part_of_the_delay_may_be_drawn),
		cmocka_unit_test(delays_come_from_the_seed),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
