/* SPDX-License-Identifier: MIT */
/* Cancelling everything of a function at once, in whatever state it is. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;
static struct hold hold;
static faas_function *function; /* "f", counted by the test */

static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.clock = ((struct bed *)*state)->clock};
	hold = (struct hold){0};
	function = NULL;
	return result;
}

static int teardown(void **state)
{
	hold_clear(&hold);
	faas_function_unref(function);
	return bed_teardown(state);
}

static void add(struct bed *bed, const faas_function_config *config)
{
	bed_register(bed, "f", config);
	function = bed_find(bed, "f");
}

static void check_empty(struct bed *bed, uint64_t cancelled)
{
	struct faas_function_stats stats = bed_stats(bed, "f");

	assert_int_equal(0, stats.queued + stats.delayed + stats.running + stats.deferred);
	assert_int_equal(cancelled, stats.cancelled);
	assert_int_equal(0, stats.queued_bytes);
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
}

static void what_is_queued_never_runs(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	add(bed, TRIAL(.user = &trial));
	bed_register(bed, "g", TRIAL(.user = &trial));
	bed_queue(bed, "g", TEXT("g"));
	for (int i = 0; i < 1000; i++)
		bed_queue(bed, "f", NULL);
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(1001, faas_function_cancel_all(function));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(0, faas_function_cancel_all(function));
	assert_int_equal(1, bed_totals(bed).queued_events);
	bed_run(bed);
	assert_string_equal("g1@0", trial_story(&trial));
	check_empty(bed, 1001);
	/* What comes later is not among it. */
	bed_queue(bed, "f", TEXT("a"));
	bed_run(bed);
	assert_string_equal("g1@0 a1@0", trial_story(&trial));
	faas_invocation_unref(invocation);
}

static void what_is_delayed_is_not_tried_again(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	add(bed, TRIAL(.user = &trial));
	for (int i = 0; i < 10; i++)
		bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(10, faas_function_cancel_all(function));
	check_empty(bed, 10);
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_added);
	/* Only the idle worker is left to end. */
	assert_int_equal(600000 * MS, bed_next_due(bed));
	bed_pass_ms(bed, 1000);
	assert_int_equal(10, trial.count);
}

static void what_is_deferred_is_cancelled_with_its_token(void **state)
{
	struct bed *bed = *state;

	add(bed, FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .max_concurrency = 2));
	for (int i = 0; i < 5; i++)
		bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(5, faas_function_cancel_all(function));
	check_empty(bed, 5);
	for (int i = 0; i < 2; i++)
		assert_int_equal(FAAS_ESETTLED, faas_complete(hold.tokens[i], NULL, 0, NULL));
	bed_queue(bed, "f", NULL);
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[2], NULL, 0, NULL));
}

static void what_waits_for_a_key_a_token_or_a_slot_is_cancelled(void **state)
{
	static faas_function_config configs[3];
	struct bed *bed = *state;

	configs[0] = *TRIAL(.user = &trial, .order = FAAS_ORDER_BY_KEY);
	configs[1] = *TRIAL(.user = &trial, .rate_per_s = 1, .rate_burst = 1);
	configs[2] = *FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .max_concurrency = 1);
	trial.fails = ALWAYS;
	for (size_t i = 0; i < COUNT_OF(configs); i++) {
		add(bed, &configs[i]);
		for (int k = 0; k < 6; k++)
			bed_queue(bed, "f", KEYED("k", "x"));
		assert_int_equal(1, bed_run(bed));
		assert_int_equal(5, bed_stats(bed, "f").queued);
		assert_int_equal(6, faas_function_cancel_all(function));
		check_empty(bed, 6);
		assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
		faas_function_unref(function);
		function = NULL;
		bed_run(bed);
	}
}

/* ---- From inside ------------------------------------------------------------------------------------------------- */

struct inside {
	faas_invocation *invocation;
	int cancelled, is_cancelled, status;
	struct faas_function_stats stats;
};

static void cancel_all_inside(faas_context *context, void *arg)
{
	struct inside *inside = arg;

	inside->cancelled = faas_function_cancel_all(function);
	inside->is_cancelled = faas_context_is_cancelled(context);
	inside->status = faas_invocation_status(inside->invocation);
	peek_at_self(context, &inside->stats);
}

static void a_handler_that_cancels_all_is_told_like_any_other(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {0};

	trial.does = cancel_all_inside;
	trial.arg = &inside;
	trial.reply = "dropped";
	add(bed, TRIAL(.user = &trial));
	inside.invocation = bed_start(bed, "f", NULL);
	bed_queue(bed, "f", NULL);
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(3, inside.cancelled);
	assert_int_equal(1, inside.is_cancelled);
	assert_int_equal(FAAS_STATUS_CANCELLED, inside.status);
	assert_int_equal(1, inside.stats.overrunning);
	assert_int_equal(3, inside.stats.cancelled);
	assert_int_equal(1, trial.count);
	check_empty(bed, 3);
	assert_int_equal(1, bed_stats(bed, "f").overruns);
	assert_int_equal(0, bed_stats(bed, "f").overrunning);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_answer(inside.invocation, NULL, NULL, NULL));
	faas_invocation_unref(inside.invocation);
}

static void cancel_in_init(faas_context *context, void *arg)
{
	(void)context;
	*(int *)arg = faas_function_cancel_all(function);
}

static void an_init_in_an_attempt_is_cancelled_but_not_one_ahead_of_need(void **state)
{
	struct stage *stage = *state;
	int cancelled = -99;

	stage->life.in_init = cancel_in_init;
	stage->life.arg = &cancelled;
	stage_register(stage, "f", FAAS_FUNCTION(.provisioned = 1));
	function = bed_find(&stage->bed, "f");
	bed_run(&stage->bed);
	assert_int_equal(0, cancelled);
	assert_int_equal(0, bed_stats(&stage->bed, "f").overruns);
	assert_int_equal(1, bed_stats(&stage->bed, "f").warm);
	faas_function_unref(function);
	stage_register(stage, "g", NULL);
	function = bed_find(&stage->bed, "g");
	stage_queue(stage, "g", NULL);
	bed_run(&stage->bed);
	assert_int_equal(1, cancelled);
	assert_int_equal(1, bed_stats(&stage->bed, "g").cancelled);
	faas_function_unref(function);
	function = NULL;
}

static int told, in_callback;

static void cancel_all_in_callback(faas_invocation *invocation, void *user)
{
	(void)user;
	told++;
	in_callback += faas_function_cancel_all(function);
	in_callback += faas_invocation_outcome(invocation) == FAAS_ECANCELLED ? 0 : 1000;
}

static void callbacks_come_once_each_and_may_cancel_all_themselves(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocations[20];

	told = in_callback = 0;
	add(bed, TRIAL(.user = &trial));
	for (int i = 0; i < 20; i++) {
		invocations[i] = bed_start(bed, "f", NULL);
		assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocations[i], cancel_all_in_callback, NULL));
	}
	assert_int_equal(20, faas_function_cancel_all(function));
	assert_int_equal(20, told);
	assert_int_equal(0, in_callback);
	for (int i = 0; i < 20; i++)
		faas_invocation_unref(invocations[i]);
}

/* ---- What it leaves alone ---------------------------------------------------------------------------------------- */

static void dead_letters_and_workers_stay(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	add(bed, TRIAL(.user = &trial, .attempts = 1));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(0, faas_function_cancel_all(function));
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	assert_int_equal(1, bed_stats(bed, "f").warm);
	assert_int_equal(1, faas_function_redrive(function, NULL));
	assert_int_equal(1, faas_function_cancel_all(function));
	assert_int_equal(0, bed_stats(bed, "f").dead_letters);
}

static void what_timed_out_and_still_runs_is_over_already(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {0};

	trial.takes_ns = 20 * MS;
	trial.does = cancel_all_inside;
	trial.arg = &inside;
	add(bed, TRIAL(.user = &trial, .attempts = 1, .deadline_ms = 10));
	inside.invocation = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(0, inside.cancelled);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, inside.status);
	faas_invocation_unref(inside.invocation);
}

static void a_delayed_retry_of_an_overrun_is_cancelled(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {0};

	trial.takes_ns = 20 * MS;
	trial.does = cancel_all_inside;
	trial.arg = &inside;
	add(bed, TRIAL(.user = &trial, .deadline_ms = 10));
	inside.invocation = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, inside.cancelled);
	assert_int_equal(FAAS_STATUS_CANCELLED, inside.status);
	bed_pass_ms(bed, 1000);
	assert_int_equal(1, trial.count);
	check_empty(bed, 1);
	faas_invocation_unref(inside.invocation);
}

static void of_an_unregistered_function_only_deferrals_are_left(void **state)
{
	struct bed *bed = *state;

	add(bed, FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .max_concurrency = 1));
	bed_queue(bed, "f", NULL);
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(1, faas_function_cancel_all(function));
	assert_int_equal(0, faas_function_cancel_all(function));
	assert_int_equal(2, stats_of(function).cancelled);
}

static void after_the_close_there_is_nothing_to_cancel(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial));
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_int_equal(0, faas_function_cancel_all(function));
	assert_int_equal(0, faas_function_purge(function, NULL));
	assert_int_equal(0, faas_function_redrive(function, NULL));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_queued_never_runs),
		TEST(what_is_delayed_is_not_tried_again),
		TEST(what_is_deferred_is_cancelled_with_its_token),
		TEST(what_waits_for_a_key_a_token_or_a_slot_is_cancelled),
		TEST(a_handler_that_cancels_all_is_told_like_any_other),
		STAGE_TEST(an_init_in_an_attempt_is_cancelled_but_not_one_ahead_of_need),
		TEST(callbacks_come_once_each_and_may_cancel_all_themselves),
		TEST(dead_letters_and_workers_stay),
		TEST(what_timed_out_and_still_runs_is_over_already),
		TEST(a_delayed_retry_of_an_overrun_is_cancelled),
		TEST(of_an_unregistered_function_only_deferrals_are_left),
		TEST(after_the_close_there_is_nothing_to_cancel),
	};

	return cmocka_run_group_tests_name("cancel all", tests, NULL, NULL);
}
