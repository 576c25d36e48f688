/* SPDX-License-Identifier: MIT */
/* What becomes of events that are too old, or whose caller has given up. Manual mode. */
#include "support_trial.h"

#define HOUR_MS INT64_C(3600000)
#define ALWAYS 1000000

static struct trial trial;

/* A bed in *state, and a trial that always succeeds. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.clock = ((struct bed *)*state)->clock};
	return result;
}

/* ---- Age --------------------------------------------------------------------------------------------------------- */

static void by_default_an_event_may_be_six_hours_old(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial));
	bed_queue(bed, "f", TEXT("a"));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 1));
	invocation = bed_start(bed, "f", TEXT("b"));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 6 * HOUR_MS * MS - 1));
	assert_int_equal(0, trial.count);
	assert_int_equal(1, bed_run(bed));
	assert_string_equal("b1@21600000", trial_story(&trial));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_int_equal(1, bed_stats(bed, "f").expired);
	faas_invocation_unref(invocation);
}

static void what_is_too_old_takes_no_worker(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 10));
	invocation = bed_start(bed, "f", NULL);
	bed_advance_ms(bed, 10);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EEXPIRED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_EEXPIRED, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_string_equal(faas_strerror(FAAS_EEXPIRED), faas_invocation_message(invocation));
	assert_int_equal(0, timing_of(invocation).attempts);
	assert_int_equal(10 * MS, timing_of(invocation).queued_ns);
	assert_int_equal(10 * MS, timing_of(invocation).total_ns);
	assert_int_equal(0, timing_of(invocation).run_ns);
	assert_int_equal(0, bed_stats(bed, "f").workers_peak);
	assert_int_equal(0, bed_stats(bed, "f").requests);
	assert_int_equal(0, bed_stats(bed, "f").queue_time.count);
	faas_invocation_unref(invocation);
}

static void an_age_without_limit_never_ends(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = FAAS_NEVER));
	bed_queue(bed, "f", NULL);
	bed_advance_ms(bed, FAAS_MAX_DURATION_MS);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
}

static void a_running_attempt_is_not_too_old(void **state)
{
	struct bed *bed = *state;

	trial.takes_ns = 500 * MS;
	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 10));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
}

static void no_delay_begins_that_would_end_after_the_age(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 10, .max_age_ms = 300));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 100);
	bed_run(bed);
	/* The next would be due at 300 ms exactly. */
	assert_string_equal("a1@0 a2@100", trial_story(&trial));
	assert_int_equal(FAAS_EEXPIRED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(100 * MS, timing_of(invocation).total_ns);
	assert_int_equal(2, timing_of(invocation).attempts);
	assert_int_equal(1, bed_stats(bed, "f").retries);
	assert_int_equal(1, bed_stats(bed, "f").expired);
	assert_int_equal(0, bed_stats(bed, "f").failed);
	faas_invocation_unref(invocation);
}

static void a_delay_that_ends_a_nanosecond_before_the_age_begins(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 3, .max_age_ms = 301));
	bed_queue(bed, "f", TEXT("a"));
	assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, MS - 1));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0+999999 a2@100+999999 a3@300+999999", trial_story(&trial));
	assert_int_equal(1, bed_stats(bed, "f").failed);
}

static void what_grew_too_old_in_the_queue_between_attempts_expires(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	trial.says = "broken";
	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 200));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_run(bed);
	bed_advance_ms(bed, 200);
	bed_run(bed);
	assert_string_equal("a1@0", trial_story(&trial));
	assert_int_equal(FAAS_EEXPIRED, faas_invocation_outcome(invocation));
	assert_string_equal(faas_strerror(FAAS_EEXPIRED), faas_invocation_message(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_int_equal(1, timing_of(invocation).attempts);
	assert_int_equal(0, timing_of(invocation).queued_ns);
	assert_int_equal(200 * MS, timing_of(invocation).total_ns);
	faas_invocation_unref(invocation);
}

static void synchronous_calls_have_no_age(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 1, .init_deadline_ms = FAAS_NEVER));
	trial.takes_ns = 100 * MS;
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
}

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

static int settled_count;
static char settled_order[64];

static void note_settled(faas_invocation *invocation, void *user)
{
	settled_order[settled_count++] = (char)(faas_invocation_outcome(invocation) == FAAS_EEXPIRED ? *(char *)user : '?');
	settled_order[settled_count] = 0;
}

static void any_number_expires_in_one_step_with_the_first_that_lives(void **state)
{
	static char names[] = "abcde";
	struct bed *bed = *state;

	settled_count = 0;
	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 10));
	for (int i = 0; i < 5; i++) {
		faas_invocation *invocation = bed_start(bed, "f", NULL);

		assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, note_settled, &names[i]));
		faas_invocation_unref(invocation);
	}
	bed_advance_ms(bed, 5);
	bed_queue(bed, "f", TEXT("x"));
	bed_queue(bed, "f", TEXT("y"));
	bed_advance_ms(bed, 5);
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_string_equal("x1@10", trial_story(&trial));
	assert_int_equal(5, bed_stats(bed, "f").expired);
	assert_string_equal("abcde", settled_order);
	assert_int_equal(1, bed_run(bed));
}

static void a_turn_that_only_found_what_is_too_old_is_a_step(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 10));
	for (int i = 0; i < 100; i++)
		bed_queue(bed, "f", NULL);
	bed_advance_ms(bed, 10);
	assert_int_equal(0, bed_next_due(bed));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(100, bed_stats(bed, "f").expired);
	assert_int_equal(0, faas_run(bed->runtime, 1));
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
}

static void what_could_not_begin_anyway_is_not_looked_at(void **state)
{
	struct bed *bed = *state;
	struct hold hold = {0};
	faas_invocation *invocation;

	bed_register(bed, "f",
	             FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .max_concurrency = 1, .max_age_ms = 10));
	bed_queue(bed, "f", NULL);
	invocation = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").deferred);
	bed_advance_ms(bed, 10);
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(1, hold.count);
	hold_clear(&hold);
	faas_invocation_unref(invocation);
}

/* ---- The caller's own time --------------------------------------------------------------------------------------- */

static void a_caller_may_give_up_before_it_began(void **state)
{
	struct bed *bed = *state;
	faas_invocation *early, *late;
	faas_emission *emission = NULL;

	bed_register(bed, "f", TRIAL(.user = &trial));
	bed_bind(bed, "t", "f");
	early = bed_start(bed, "f", FAAS_EVENT(.data = "a", .data_bytes = 1, .timeout_ms = 11));
	late = bed_start(bed, "f", FAAS_EVENT(.data = "b", .data_bytes = 1, .timeout_ms = 10));
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .timeout_ms = 10), &emission));
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .timeout_ms = 10), NULL));
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .timeout_ms = FAAS_NEVER), NULL));
	bed_advance_ms(bed, 10);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(late));
	bed_run(bed);
	assert_string_equal("a1@10 1@10", trial_story(&trial));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(early));
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(late));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(late));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 0));
	assert_int_equal(3, bed_stats(bed, "f").expired);
	assert_int_equal(0, bed_stats(bed, "f").timed_out);
	faas_emission_unref(emission);
	faas_invocation_unref(early);
	faas_invocation_unref(late);
}

static int64_t remaining_ms;

static void note_remaining(faas_context *context, void *arg)
{
	(void)arg;
	remaining_ms = faas_context_remaining_ms(context);
}

static void no_attempt_runs_longer_than_the_caller_waits(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.does = note_remaining;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 1));
	bed_queue(bed, "f", FAAS_EVENT(.timeout_ms = 50));
	bed_advance_ms(bed, 20);
	bed_run(bed);
	assert_int_equal(30, remaining_ms);
	trial.takes_ns = 70 * MS;
	invocation = bed_start(bed, "f", FAAS_EVENT(.timeout_ms = 50));
	bed_run(bed);
	assert_int_equal(0, remaining_ms);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(50 * MS, timing_of(invocation).run_ns);
	assert_int_equal(1, bed_stats(bed, "f").timed_out);
	faas_invocation_unref(invocation);
}

static void retries_stop_when_the_caller_has_given_up(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 9));
	invocation = bed_start(bed, "f", FAAS_EVENT(.data = "a", .data_bytes = 1, .timeout_ms = 700));
	bed_pass_ms(bed, 5000);
	/* The fourth would be due at 700 ms exactly. */
	assert_string_equal("a1@0 a2@100 a3@300", trial_story(&trial));
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(300 * MS, timing_of(invocation).total_ns);
	faas_invocation_unref(invocation);
}

static void an_attempt_cut_short_by_the_caller_is_not_retried(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.takes_ns = 60 * MS;
	bed_register(bed, "f", TRIAL(.user = &trial, .backoff_ms = FAAS_NONE));
	invocation = bed_start(bed, "f", FAAS_EVENT(.timeout_ms = 50));
	bed_run(bed);
	assert_int_equal(1, trial.count);
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(50 * MS, timing_of(invocation).total_ns);
	faas_invocation_unref(invocation);
}

static void age_is_told_before_the_callers_time(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 20));
	invocation = bed_start(bed, "f", FAAS_EVENT(.timeout_ms = 10));
	bed_advance_ms(bed, 20);
	bed_run(bed);
	assert_int_equal(FAAS_EEXPIRED, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void the_shorter_of_two_timeouts_holds_for_a_synchronous_call(void **state)
{
	static const int64_t timeouts[][2] = {{30, 0}, {30, 90}, {90, 30}, {FAAS_NEVER, 30}, {30, FAAS_NEVER}};
	struct bed *bed = *state;

	trial.takes_ns = 60 * MS;
	bed_register(bed, "f", TRIAL(.user = &trial));
	for (size_t i = 0; i < COUNT_OF(timeouts); i++) {
		faas_invocation *invocation = NULL;

		assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(bed->runtime, "f", FAAS_EVENT(.timeout_ms = timeouts[i][0]),
		                                             timeouts[i][1], &invocation));
		assert_int_equal(30 * MS, timing_of(invocation).run_ns);
		faas_invocation_unref(invocation);
	}
}

static void a_timeout_out_of_range_is_refused(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial));
	bed_bind(bed, ">", "f");
	bed_check_event(bed, FAAS_EVENT(.type = "t", .timeout_ms = -2), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .timeout_ms = FAAS_MAX_DURATION_MS + 1), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .reserved = 1), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .timeout_ms = FAAS_MAX_DURATION_MS), FAAS_OK);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .timeout_ms = FAAS_NEVER), FAAS_OK);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(by_default_an_event_may_be_six_hours_old),
		TEST(what_is_too_old_takes_no_worker),
		TEST(an_age_without_limit_never_ends),
		TEST(a_running_attempt_is_not_too_old),
		TEST(no_delay_begins_that_would_end_after_the_age),
		TEST(a_delay_that_ends_a_nanosecond_before_the_age_begins),
		TEST(what_grew_too_old_in_the_queue_between_attempts_expires),
		TEST(synchronous_calls_have_no_age),
		TEST(any_number_expires_in_one_step_with_the_first_that_lives),
		TEST(a_turn_that_only_found_what_is_too_old_is_a_step),
		TEST(what_could_not_begin_anyway_is_not_looked_at),
		TEST(a_caller_may_give_up_before_it_began),
		TEST(no_attempt_runs_longer_than_the_caller_waits),
		TEST(retries_stop_when_the_caller_has_given_up),
		TEST(an_attempt_cut_short_by_the_caller_is_not_retried),
		TEST(age_is_told_before_the_callers_time),
		TEST(the_shorter_of_two_timeouts_holds_for_a_synchronous_call),
		TEST(a_timeout_out_of_range_is_refused),
	};

	return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
