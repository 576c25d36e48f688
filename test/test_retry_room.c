/* SPDX-License-Identifier: MIT */
/*
 * Retries among other things: the room they keep, the overruns they leave behind, failed inits, cancelling, waiting, and
 * what the library is called with meanwhile. Manual mode.
 */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;

/* A bed in *state, and a trial that always fails. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.fails = ALWAYS, .clock = ((struct bed *)*state)->clock};
	return result;
}

/* Queues one more event. */
static void queue_another(faas_context *context, void *arg)
{
	if (faas_context_attempt(context) == 1)
		*(int *)arg = faas_invoke_async(faas_context_runtime(context), "f", TEXT("b"), NULL);
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

static void a_delayed_event_keeps_its_room(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .queue_events = 2));
	bed_queue(bed, "f", TEXT("a"));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").delayed);
	assert_int_equal(1, bed_totals(bed).queued_events);
	assert_true(bed_stats(bed, "f").queued_bytes > 0);
	assert_int_equal(bed_stats(bed, "f").queued_bytes, bed_totals(bed).queued_bytes);
	bed_queue(bed, "f", TEXT("b"));
	assert_int_equal(FAAS_EFULL, faas_invoke_async(bed->runtime, "f", TEXT("c"), NULL));
	assert_int_equal(2, bed_totals(bed).queued_events);
	bed_run(bed);
	assert_int_equal(2, bed_stats(bed, "f").delayed);
	assert_int_equal(FAAS_EFULL, faas_invoke_async(bed->runtime, "f", TEXT("c"), NULL));
	bed_pass_ms(bed, 1000);
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
	assert_int_equal(2, bed_stats(bed, "f").failed);
}

static void a_retry_is_never_refused_though_the_queue_is_full(void **state)
{
	struct bed *bed = *state;
	int code = -99;

	trial.fails = 1;
	trial.does = queue_another;
	trial.arg = &code;
	bed_register(bed, "f", TRIAL(.user = &trial, .queue_events = 1));
	bed_queue(bed, "f", TEXT("a"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	/* "b" took the room while "a" ran. */
	assert_int_equal(FAAS_OK, code);
	assert_int_equal(1, bed_stats(bed, "f").delayed);
	assert_int_equal(1, bed_stats(bed, "f").queued);
	assert_int_equal(2, bed_totals(bed).queued_events);
	trial.does = NULL;
	assert_int_equal(FAAS_EFULL, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	bed_advance_ms(bed, 100);
	assert_int_equal(2, bed_stats(bed, "f").queued);
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 b1@100 a2@100 b2@200", trial_story(&trial));
	assert_int_equal(2, bed_stats(bed, "f").succeeded);
}

static void nor_though_the_runtime_is_full(void **state)
{
	struct bed bed;
	int code = -99;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 1));
	trial = (struct trial){.fails = 1, .clock = bed.clock, .does = queue_another, .arg = &code};
	bed_register(&bed, "f", TRIAL(.user = &trial, .backoff_ms = FAAS_NONE));
	bed_register(&bed, "g", TRIAL(.user = &trial));
	bed_queue(&bed, "f", TEXT("a"));
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(FAAS_OK, code);
	assert_int_equal(2, bed_totals(&bed).queued_events);
	assert_int_equal(FAAS_ERUNTIMEFULL, faas_invoke_async(bed.runtime, "g", NULL, NULL));
	trial.does = NULL;
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(2, bed_totals(&bed).queued_events);
	bed_run(&bed);
	assert_string_equal("a1@0 b1@0 a2@0 b2@0", trial_story(&trial));
	assert_int_equal(0, bed_totals(&bed).queued_events);
	bed_queue(&bed, "g", NULL);
	bed_pass_ms(&bed, 1000);
	bed_close(&bed);
}

static void a_full_queue_does_not_drop_what_is_delayed(void **state)
{
	struct bed *bed = *state;
	faas_invocation *delayed, *queued;

	bed_register(bed, "f", TRIAL(.user = &trial, .queue_events = 2, .queue_full = FAAS_FULL_DROP_OLDEST));
	delayed = bed_start(bed, "f", TEXT("a"));
	bed_run(bed);
	queued = bed_start(bed, "f", TEXT("b"));
	bed_queue(bed, "f", TEXT("c"));
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(delayed));
	assert_int_equal(FAAS_STATUS_DROPPED, faas_invocation_status(queued));
	bed_run(bed);
	/* Nothing is left that could be dropped. */
	assert_int_equal(2, bed_stats(bed, "f").delayed);
	assert_int_equal(FAAS_EFULL, faas_invoke_async(bed->runtime, "f", TEXT("d"), NULL));
	assert_int_equal(1, bed_stats(bed, "f").dropped);
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 c1@0 a2@100 c2@100 a3@300 c3@300", trial_story(&trial));
	faas_invocation_unref(delayed);
	faas_invocation_unref(queued);
}

/* ---- Overruns ---------------------------------------------------------------------------------------------------- */

struct glance {
	faas_clock *clock;
	faas_invocation *invocation;
	int status[3];
	int wait[3];
	struct faas_function_stats stats[3];
	int cancelled;
};

/* Past its deadline of 10 ms: before its retry is due, when it is, and later. */
static void overrun_and_look(faas_context *context, void *arg)
{
	static const int64_t steps[] = {50 * MS, 60 * MS, 100 * MS};
	struct glance *glance = arg;

	if (faas_context_attempt(context) > 1)
		return;
	for (int i = 0; i < 3; i++) {
		(void)faas_clock_advance(glance->clock, steps[i]);
		glance->status[i] = faas_invocation_status(glance->invocation);
		glance->wait[i] = faas_invocation_wait(glance->invocation, FAAS_NEVER);
		peek_at_self(context, &glance->stats[i]);
	}
	glance->cancelled = faas_context_is_cancelled(context);
	(void)faas_context_reply(context, "late", 4, NULL);
}

static void a_timed_out_attempt_is_retried_while_its_handler_still_runs(void **state)
{
	struct bed *bed = *state;
	struct glance glance = {.clock = bed->clock};

	trial.fails = 0;
	trial.does = overrun_and_look;
	trial.arg = &glance;
	bed_register(bed, "f", TRIAL(.user = &trial, .deadline_ms = 10));
	glance.invocation = bed_start(bed, "f", TEXT("a"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_STATUS_DELAYED, glance.status[0]);
	assert_int_equal(FAAS_STATUS_QUEUED, glance.status[1]);
	assert_int_equal(FAAS_STATUS_QUEUED, glance.status[2]);
	/* It may wait for its own retry, but its time is over. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(FAAS_EPENDING, glance.wait[i]);
	assert_int_equal(1, glance.stats[0].delayed);
	assert_int_equal(1, glance.stats[0].overrunning);
	assert_int_equal(0, glance.stats[0].running);
	assert_int_equal(1, glance.stats[1].queued);
	assert_int_equal(1, glance.stats[1].overrunning);
	assert_int_equal(0, glance.stats[2].timed_out);
	assert_int_equal(1, glance.stats[2].retries);
	assert_int_equal(1, glance.cancelled);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(glance.invocation));
	bed_run(bed);
	assert_string_equal("a1@0 a2@210", trial_story(&trial));
	assert_int_equal(FAAS_ENOTFOUND, faas_invocation_answer(glance.invocation, NULL, NULL, NULL));
	assert_int_equal(2, timing_of(glance.invocation).attempts);
	assert_int_equal(210 * MS, timing_of(glance.invocation).total_ns);
	assert_int_equal(1, bed_stats(bed, "f").overruns);
	assert_int_equal(1, bed_stats(bed, "f").retired_overrun);
	/* The second attempt waited from 110 ms on. */
	assert_int_equal(100 * MS, bed_stats(bed, "f").queue_time.sum_ns);
	faas_invocation_unref(glance.invocation);
}

static void all_attempts_may_time_out(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.takes_ns = 30 * MS;
	bed_register(bed, "f", TRIAL(.user = &trial, .deadline_ms = 10));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 1000);
	/* Each delay begins at the deadline. */
	assert_string_equal("a1@0 a2@110 a3@320", trial_story(&trial));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(330 * MS, timing_of(invocation).total_ns);
	assert_int_equal(10 * MS, timing_of(invocation).run_ns);
	assert_int_equal(1, bed_stats(bed, "f").timed_out);
	assert_int_equal(3, bed_stats(bed, "f").overruns);
	assert_int_equal(3, bed_stats(bed, "f").cold_starts);
	assert_int_equal(30, bed_stats(bed, "f").billed_ms);
	faas_invocation_unref(invocation);
}

static void a_permanent_failure_after_the_deadline_comes_too_late(void **state)
{
	struct bed *bed = *state;

	trial.takes_ns = 30 * MS;
	trial.fails = 1;
	trial.is_permanent = 1;
	bed_register(bed, "f", TRIAL(.user = &trial, .deadline_ms = 31, .backoff_ms = 1));
	bed_queue(bed, "f", TEXT("a"));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").failed);
	trial.takes_ns = 31 * MS;
	bed_queue(bed, "f", TEXT("b"));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").failed);
	trial.takes_ns = 0;
	bed_pass_ms(bed, 10);
	assert_string_equal("a1@0 b1@30 b2@62", trial_story(&trial));
}

/* ---- Inits ------------------------------------------------------------------------------------------------------- */

static void a_failed_init_is_an_attempt(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", FAAS_FUNCTION(.jitter_percent = FAAS_NONE));
	stage->life.init_fails = 2;
	invocation = stage_start(stage, "f", NULL);
	bed_pass_ms(&stage->bed, 1000);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_int_equal(3, timing_of(invocation).attempts);
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(2, bed_stats(&stage->bed, "f").init_failures);
	assert_int_equal(2, bed_stats(&stage->bed, "f").retries);
	assert_int_equal(1, bed_stats(&stage->bed, "f").requests);
	assert_int_equal(300 * MS, timing_of(invocation).total_ns);
	faas_invocation_unref(invocation);
}

static void inits_that_always_fail_use_up_the_attempts(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", FAAS_FUNCTION(.attempts = 2));
	stage->life.init_fails = 2;
	stage->life.init_says = "no licence";
	invocation = stage_start(stage, "f", NULL);
	bed_pass_ms(&stage->bed, 1000);
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	assert_int_equal(7, faas_invocation_handler_result(invocation));
	assert_string_equal("no licence", faas_invocation_message(invocation));
	assert_int_equal(2, timing_of(invocation).attempts);
	assert_int_equal(1, timing_of(invocation).is_cold);
	assert_int_equal(0, stage->life.runs);
	faas_invocation_unref(invocation);
}

static void give_up_for_good(faas_context *context, void *arg)
{
	(void)arg;
	(void)faas_context_fail_permanent(context, "never");
}

static void an_init_may_fail_for_good(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", FAAS_FUNCTION(.attempts = 9));
	stage->life.init_fails = 1;
	stage->life.in_init = give_up_for_good;
	invocation = stage_start(stage, "f", NULL);
	bed_pass_ms(&stage->bed, 1000);
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	assert_string_equal("never", faas_invocation_message(invocation));
	assert_int_equal(1, timing_of(invocation).attempts);
	faas_invocation_unref(invocation);
}

static void an_init_past_its_deadline_is_retried(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f",
	               FAAS_FUNCTION(.init_deadline_ms = 20, .init_backoff_ms = FAAS_NONE, .jitter_percent = FAAS_NONE));
	stage->life.init_takes_ns = 50 * MS;
	invocation = stage_start(stage, "f", NULL);
	bed_run(&stage->bed);
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_int_equal(70 * MS, bed_next_due(&stage->bed));
	stage->life.init_takes_ns = 0;
	bed_pass_ms(&stage->bed, 1000);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_int_equal(120 * MS, timing_of(invocation).total_ns);
	faas_invocation_unref(invocation);
}

/* ---- Ends between two attempts ----------------------------------------------------------------------------------- */

static int told;

static void count_settled(faas_invocation *invocation, void *user)
{
	(void)invocation;
	(void)user;
	told++;
}

static void a_delayed_event_can_be_cancelled(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	told = 0;
	bed_register(bed, "f", TRIAL(.user = &trial, .queue_events = 1));
	invocation = bed_start(bed, "f", TEXT("a"));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, count_settled, NULL));
	bed_run(bed);
	assert_int_equal(0, told);
	bed_advance_ms(bed, 40);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(1, told);
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(invocation));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(1, timing_of(invocation).attempts);
	assert_int_equal(40 * MS, timing_of(invocation).total_ns);
	assert_int_equal(1, bed_stats(bed, "f").cancelled);
	assert_int_equal(0, bed_stats(bed, "f").delayed);
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_added);
	bed_queue(bed, "f", TEXT("b"));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 b1@40 b2@140 b3@340", trial_story(&trial));
	faas_invocation_unref(invocation);
}

static void a_retry_in_the_queue_can_be_cancelled(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_run(bed);
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0", trial_story(&trial));
	faas_invocation_unref(invocation);
}

static void cancelling_the_overrun_of_a_delayed_event_ends_it(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.takes_ns = 20 * MS;
	bed_register(bed, "f", TRIAL(.user = &trial, .deadline_ms = 10));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	bed_pass_ms(bed, 1000);
	assert_int_equal(1, trial.count);
	assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(invocation));
	faas_invocation_unref(invocation);
}

static void unregistering_cancels_what_is_delayed(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;
	faas_function *function;

	bed_register(bed, "f", TRIAL(.user = &trial));
	function = bed_find(bed, "f");
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_queue(bed, "f", TEXT("b"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(2, stats_of(function).cancelled);
	bed_run(bed);
	assert_int_equal(FAAS_NEVER, bed_next_due(bed));
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(2, trial.count);
	faas_invocation_unref(invocation);
	faas_function_unref(function);
}

static void unregister_self(faas_context *context, void *arg)
{
	*(int *)arg = faas_unregister_function(faas_context_runtime(context), "f");
}

static void what_fails_in_an_unregistered_function_is_not_retried(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;
	int code = -99;

	trial.does = unregister_self;
	trial.arg = &code;
	trial.says = "gone";
	bed_register(bed, "f", TRIAL(.user = &trial));
	invocation = bed_start(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 1000);
	assert_int_equal(FAAS_OK, code);
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_string_equal("gone", faas_invocation_message(invocation));
	assert_int_equal(1, trial.count);
	assert_int_equal(1, bed_totals(bed).total.dead_letters_lost);
	faas_invocation_unref(invocation);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_delayed_event_keeps_its_room),
		TEST(a_retry_is_never_refused_though_the_queue_is_full),
		cmocka_unit_test(nor_though_the_runtime_is_full),
		TEST(a_full_queue_does_not_drop_what_is_delayed),
		TEST(a_timed_out_attempt_is_retried_while_its_handler_still_runs),
		TEST(all_attempts_may_time_out),
		TEST(a_permanent_failure_after_the_deadline_comes_too_late),
		STAGE_TEST(a_failed_init_is_an_attempt),
		STAGE_TEST(inits_that_always_fail_use_up_the_attempts),
		STAGE_TEST(an_init_may_fail_for_good),
		STAGE_TEST(an_init_past_its_deadline_is_retried),
		TEST(a_delayed_event_can_be_cancelled),
		TEST(a_retry_in_the_queue_can_be_cancelled),
		TEST(cancelling_the_overrun_of_a_delayed_event_ends_it),
		TEST(unregistering_cancels_what_is_delayed),
		TEST(what_fails_in_an_unregistered_function_is_not_retried),
	};

	return cmocka_run_group_tests_name("retry room", tests, NULL, NULL);
}
