/* SPDX-License-Identifier: MIT */
/*
 * Draining and closing with work in every state that time alone does not run: delayed, deferred, waiting for a key, a
 * token or a slot; and the report of what was left. Manual mode; handlers that hang: test_drain_threads.c.
 */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;
static struct hold hold;

/* What the log says: the functions of the warnings. */
static char warned[256];
static int told;

static void sink(void *user, int32_t level, const char *function, const char *message)
{
	size_t at = strlen(warned);

	(void)user;
	if (level == FAAS_LOG_WARNING && message[0] != 0)
		snprintf(warned + at, sizeof(warned) - at, "%s ", function ? function : "-");
}

static void count_settled(faas_invocation *invocation, void *user)
{
	told++;
	*(int *)user = faas_invocation_outcome(invocation);
}

static int setup(void **state)
{
	struct bed *bed = malloc(sizeof(*bed));

	if (!bed)
		return -1;
	bed_open(bed, FAAS_RUNTIME(.log = sink));
	trial = (struct trial){.clock = bed->clock};
	hold = (struct hold){0};
	warned[0] = 0;
	told = 0;
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	hold_clear(&hold);
	return bed_teardown(state);
}

/* ---- Draining ---------------------------------------------------------------------------------------------------- */

static void a_drain_waits_for_retries(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = 2;
	bed_register(bed, "f", TRIAL(.user = &trial));
	invocation = bed_start(bed, "f", TEXT("a"));
	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ECLOSED, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, FAAS_NEVER));
	bed_advance_ms(bed, 199);
	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, FAAS_NEVER));
	bed_advance_ms(bed, 1);
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_string_equal("a1@0 a2@100 a3@300", trial_story(&trial));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void for_what_waits_behind_them(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", TRIAL(.user = &trial, .order = FAAS_ORDER_BY_KEY));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, 0));
		bed_advance_ms(bed, 100);
	}
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(2, bed_stats(bed, "f").succeeded);
}

static void for_deferred_completions(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", FAAS_FUNCTION(.handler = hold_handler, .user = &hold));
	bed_queue(bed, "f", NULL);
	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, 0));
	assert_int_equal(1, bed_stats(bed, "f").deferred);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
}

static void for_tokens_of_a_rate(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .rate_per_s = 10, .rate_burst = 1));
	bed_queue(bed, "f", NULL);
	bed_queue(bed, "f", NULL);
	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, 0));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_string_equal("1@0 1@100", trial_story(&trial));
}

static void and_for_records(void **state)
{
	struct bed *bed = *state;
	struct trial failing = {.fails = ALWAYS, .clock = bed->clock};

	bed_register(bed, "g", TRIAL(.user = &trial));
	bed_register(bed, "f", TRIAL(.user = &failing, .attempts = 1, .on_failure = "g"));
	bed_register(bed, "e", FAAS_FUNCTION(.handler = nothing_handler, .on_success = "f"));
	bed_queue(bed, "e", TEXT("a"));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(1, failing.count);
	assert_string_equal("a1@0", trial_story(&trial));
	assert_int_equal(0, bed_totals(bed).total.records_refused);
}

static void what_is_drained_keeps_its_dead_letters(void **state)
{
	struct bed *bed = *state;
	faas_function *function;
	uint64_t position = 0;
	faas_invocation *letter = NULL;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 1));
	bed_queue(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	function = bed_find(bed, "f");
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	faas_invocation_unref(letter);
	faas_function_unref(function);
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

/* Leaves 1 queued, 2 delayed, 3 deferred and 4 dead letters, and puts handles of the first six into `kept`. */
static void leave_some_of_each(struct bed *bed, faas_invocation **kept)
{
	int at = 0;

	trial.fails = ALWAYS;
	bed_register(bed, "deferring", FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .max_concurrency = 3));
	bed_register(bed, "delayed", TRIAL(.user = &trial));
	bed_register(bed, "dead", TRIAL(.user = &trial, .attempts = 1));
	bed_register(bed, "idle", FAAS_FUNCTION(.handler = nothing_handler));
	for (int i = 0; i < 4; i++)
		kept[at++] = bed_start(bed, "deferring", NULL);
	for (int i = 0; i < 2; i++)
		kept[at++] = bed_start(bed, "delayed", NULL);
	for (int i = 0; i < 4; i++)
		bed_queue(bed, "dead", NULL);
	bed_queue(bed, "idle", NULL);
	bed_run(bed);
	assert_int_equal(1, bed_totals(bed).total.queued);
	assert_int_equal(2, bed_totals(bed).total.delayed);
	assert_int_equal(3, bed_totals(bed).total.deferred);
	assert_int_equal(4, bed_totals(bed).total.dead_letters);
}

static void a_close_tells_what_it_cut_short(void **state)
{
	struct bed *bed = *state;
	struct faas_close_stats report = {.struct_size = sizeof(report), .running = 77};
	faas_invocation *kept[6];
	int outcomes[6] = {0};

	leave_some_of_each(bed, kept);
	for (int i = 0; i < 6; i++)
		assert_int_equal(FAAS_OK, faas_invocation_on_settled(kept[i], count_settled, &outcomes[i]));
	assert_int_equal(FAAS_OK, faas_close_with_report(bed->runtime, 0, 0, &report));
	bed->runtime = NULL;
	assert_int_equal(1, report.queued);
	assert_int_equal(2, report.delayed);
	assert_int_equal(0, report.running);
	assert_int_equal(3, report.deferred);
	assert_int_equal(0, report.overrunning);
	assert_int_equal(4, report.dead_letters);
	assert_int_equal(6, told);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(FAAS_ECANCELLED, outcomes[i]);
		assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(kept[i]));
		faas_invocation_unref(kept[i]);
	}
}

static void each_function_with_something_left_is_logged(void **state)
{
	struct bed *bed = *state;
	faas_invocation *kept[6];

	leave_some_of_each(bed, kept);
	warned[0] = 0;
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_non_null(strstr(warned, "deferring"));
	assert_non_null(strstr(warned, "delayed"));
	assert_non_null(strstr(warned, "dead"));
	assert_null(strstr(warned, "idle"));
	for (int i = 0; i < 6; i++)
		faas_invocation_unref(kept[i]);
}

static void with_nothing_left_there_is_nothing_to_say(void **state)
{
	struct bed *bed = *state;
	struct faas_close_stats report = {.struct_size = sizeof(report), .queued = 7, .delayed = 7, .deferred = 7};

	bed_register(bed, "f", TRIAL(.user = &trial));
	/* What can run, runs even without grace. */
	bed_queue(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_close_with_report(bed->runtime, 0, 0, &report));
	bed->runtime = NULL;
	assert_int_equal(1, trial.count);
	assert_int_equal(0, report.queued + report.delayed + report.running + report.deferred + report.overrunning +
	                        report.dead_letters);
	assert_string_equal("", warned);
}

static void nobody_need_ask_for_the_report(void **state)
{
	struct bed *bed = *state;
	faas_invocation *kept[6];

	leave_some_of_each(bed, kept);
	assert_int_equal(FAAS_OK, faas_close_with_report(bed->runtime, 0, 0, NULL));
	bed->runtime = NULL;
	for (int i = 0; i < 6; i++)
		faas_invocation_unref(kept[i]);
}

static void a_report_without_sense_is_refused_and_nothing_is_closed(void **state)
{
	struct bed *bed = *state;
	struct faas_close_stats report = {.struct_size = 0};

	bed_register(bed, "f", TRIAL(.user = &trial));
	assert_int_equal(FAAS_EINVAL, faas_close_with_report(bed->runtime, 0, 0, &report));
	report.struct_size = sizeof(report);
	assert_int_equal(FAAS_EINVAL, faas_close_with_report(NULL, 0, 0, &report));
	assert_int_equal(FAAS_EINVAL, faas_close_with_report(bed->runtime, -2, 0, &report));
	assert_int_equal(FAAS_EINVAL, faas_close_with_report(bed->runtime, 0, ~FAAS_CLOSE_DETACH, &report));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
}

static void a_report_follows_the_callers_struct_size(void **state)
{
	static const size_t sizes[] = {offsetof(struct faas_close_stats, deferred), sizeof(struct faas_close_stats) + 16};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		union {
			struct faas_close_stats report;
			unsigned char bytes[sizeof(struct faas_close_stats) + 32];
		} given;
		faas_invocation *kept[6];
		struct bed bed;

		memset(&given, 0xee, sizeof(given));
		given.report.struct_size = (uint32_t)sizes[i];
		bed_open(&bed, NULL);
		trial = (struct trial){.clock = bed.clock};
		hold = (struct hold){0};
		leave_some_of_each(&bed, kept);
		assert_int_equal(FAAS_OK, faas_close_with_report(bed.runtime, 0, 0, &given.report));
		bed.runtime = NULL;
		assert_int_equal(2, given.report.delayed);
		/* What a newer caller knows more of is zero; an older one is not written beyond. */
		for (size_t k = sizes[i]; k < sizeof(given); k++)
			assert_int_equal(0xee, given.bytes[k]);
		for (size_t k = sizeof(struct faas_close_stats); k < sizes[i]; k++)
			assert_int_equal(0, given.bytes[k]);
		for (int k = 0; k < 6; k++)
			faas_invocation_unref(kept[k]);
		hold_clear(&hold);
		bed_close(&bed);
	}
}

static int closed_inside;

static int closing_handler(faas_context *context, const faas_event *event)
{
	struct faas_close_stats report = {.struct_size = sizeof(report)};

	(void)event;
	closed_inside = faas_close_with_report(faas_context_runtime(context), 0, 0, &report);
	return 0;
}

static void no_handler_can_close(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", FAAS_FUNCTION(.handler = closing_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_EDEADLK, closed_inside);
}

static void deferrals_of_unregistered_functions_are_cut_short_too(void **state)
{
	struct bed *bed = *state;
	struct faas_close_stats report = {.struct_size = sizeof(report)};
	faas_invocation *invocation;

	bed_register(bed, "f", FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .deadline_ms = FAAS_NEVER));
	invocation = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_close_with_report(bed->runtime, 0, 0, &report));
	bed->runtime = NULL;
	assert_int_equal(1, report.deferred);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

/* A callback of the close offers what the close refuses. */
static void emit_again(faas_invocation *invocation, void *user)
{
	faas_runtime *runtime = user;

	(void)invocation;
	told = faas_invoke_async(runtime, "idle", NULL, NULL);
}

static void callbacks_of_a_close_can_start_nothing(void **state)
{
	struct bed *bed = *state;
	faas_invocation *kept[6];

	leave_some_of_each(bed, kept);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(kept[5], emit_again, bed->runtime));
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_true(told < 0);
	for (int i = 0; i < 6; i++)
		faas_invocation_unref(kept[i]);
}

/* The source's own failure comes in time; its destination is refused nothing that can still run. */
static void a_close_without_grace_runs_records_that_can_run(void **state)
{
	struct bed *bed = *state;
	struct trial failing = {.fails = ALWAYS, .clock = bed->clock};

	bed_register(bed, "g", TRIAL(.user = &trial));
	bed_register(bed, "f", TRIAL(.user = &failing, .attempts = 1, .on_failure = "g"));
	bed_queue(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_int_equal(1, trial.count);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_drain_waits_for_retries),
		TEST(for_what_waits_behind_them),
		TEST(for_deferred_completions),
		TEST(for_tokens_of_a_rate),
		TEST(and_for_records),
		TEST(what_is_drained_keeps_its_dead_letters),
		TEST(a_close_tells_what_it_cut_short),
		TEST(each_function_with_something_left_is_logged),
		TEST(with_nothing_left_there_is_nothing_to_say),
		TEST(nobody_need_ask_for_the_report),
		TEST(a_report_without_sense_is_refused_and_nothing_is_closed),
		cmocka_unit_test(a_report_follows_the_callers_struct_size),
		TEST(no_handler_can_close),
		TEST(deferrals_of_unregistered_functions_are_cut_short_too),
		TEST(callbacks_of_a_close_can_start_nothing),
		TEST(a_close_without_grace_runs_records_that_can_run),
	};

	return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
