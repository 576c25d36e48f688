/* SPDX-License-Identifier: MIT */
/* Destinations: who gets a record of what, what it says, and what becomes of one that is refused. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;

/* What the handler of a destination sees of the record. */
static struct witness {
	int count, unset;
	int status, outcome, answer, handler_result, attempt, timing;
	int is_same_event, cancel, wait;
	char function[FAAS_MAX_NAME + 1], message[300], reply[64], data[64], own_data[64];
	struct faas_timing_stats times;
	faas_invocation *kept;
	int result; /* what the handler returns */
	int keeps;  /* it takes a reference */
} witness;

/* A bed in *state, and a trial that always succeeds. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.clock = ((struct bed *)*state)->clock};
	witness = (struct witness){0};
	return result;
}

static int witness_handler(faas_context *context, const faas_event *event)
{
	faas_invocation *record = faas_context_record(context);
	const void *reply = "";
	const char *text;
	uint64_t bytes;

	witness.count++;
	witness.attempt = faas_context_attempt(context);
	text = faas_event_data(event, &bytes);
	snprintf(witness.own_data, sizeof(witness.own_data), "%.*s", (int)bytes, text);
	witness.unset = record == NULL;
	if (!record)
		return witness.result;
	witness.status = faas_invocation_status(record);
	witness.outcome = faas_invocation_outcome(record);
	witness.handler_result = faas_invocation_handler_result(record);
	witness.answer = faas_invocation_answer(record, &reply, NULL, NULL);
	witness.times.struct_size = sizeof(witness.times);
	witness.timing = faas_invocation_timing(record, &witness.times);
	witness.is_same_event = faas_invocation_event(record) == event;
	witness.cancel = faas_invocation_cancel(record);
	witness.wait = faas_invocation_wait(record, FAAS_NEVER);
	snprintf(witness.reply, sizeof(witness.reply), "%s", (const char *)reply);
	snprintf(witness.function, sizeof(witness.function), "%s", faas_invocation_function(record));
	snprintf(witness.message, sizeof(witness.message), "%s", faas_invocation_message(record));
	text = faas_event_data(faas_invocation_event(record), &bytes);
	snprintf(witness.data, sizeof(witness.data), "%.*s", (int)bytes, text);
	if (witness.keeps && !witness.kept)
		witness.kept = faas_invocation_ref(record);
	return witness.result;
}

static void register_witness(struct bed *bed, const char *name)
{
	bed_register(bed, name, FAAS_FUNCTION(.handler = witness_handler, .attempts = 1));
}

/* ---- What a record says ------------------------------------------------------------------------------------------ */

static void a_success_goes_to_on_success_with_its_answer(void **state)
{
	struct bed *bed = *state;

	trial.reply = "forty-two";
	trial.fails = 1;
	trial.takes_ns = 3 * MS;
	register_witness(bed, "good");
	register_witness(bed, "bad");
	bed_register(bed, "f", TRIAL(.user = &trial, .on_success = "good", .on_failure = "bad"));
	bed_queue(bed, "f", TEXT("question"));
	bed_pass_ms(bed, 1000);
	assert_int_equal(1, witness.count);
	assert_int_equal(0, witness.unset);
	assert_int_equal(1, witness.attempt);
	assert_string_equal("f", witness.function);
	assert_int_equal(FAAS_STATUS_SUCCEEDED, witness.status);
	assert_int_equal(FAAS_OK, witness.outcome);
	assert_int_equal(FAAS_OK, witness.answer);
	assert_string_equal("forty-two", witness.reply);
	assert_string_equal("", witness.message);
	assert_int_equal(0, witness.handler_result);
	assert_string_equal("question", witness.data);
	assert_string_equal("question", witness.own_data);
	assert_int_equal(1, witness.is_same_event);
	assert_int_equal(FAAS_ESTATE, witness.cancel);
	assert_int_equal(FAAS_OK, witness.wait);
	assert_int_equal(FAAS_OK, witness.timing);
	assert_int_equal(2, witness.times.attempts);
	assert_int_equal(3 * MS, witness.times.run_ns);
	assert_int_equal(106 * MS, witness.times.total_ns);
	assert_int_equal(1, bed_stats(bed, "f").records);
	assert_int_equal(0, bed_stats(bed, "f").records_refused);
	assert_int_equal(1, bed_stats(bed, "good").offered);
	assert_int_equal(1, bed_stats(bed, "good").succeeded);
	assert_int_equal(0, bed_stats(bed, "bad").offered);
}

static void a_failure_goes_to_on_failure_with_what_was_said(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	trial.reply = "dropped";
	trial.says = "no such file";
	trial.result = 5;
	register_witness(bed, "good");
	register_witness(bed, "bad");
	bed_register(bed, "f", TRIAL(.user = &trial, .on_success = "good", .on_failure = "bad"));
	bed_queue(bed, "f", TEXT("question"));
	bed_pass_ms(bed, 1000);
	assert_int_equal(1, witness.count);
	assert_int_equal(FAAS_STATUS_FAILED, witness.status);
	assert_int_equal(FAAS_EFAILED, witness.outcome);
	assert_int_equal(FAAS_EFAILED, witness.answer);
	assert_string_equal("", witness.reply);
	assert_string_equal("no such file", witness.message);
	assert_int_equal(5, witness.handler_result);
	assert_int_equal(3, witness.times.attempts);
	assert_int_equal(300 * MS, witness.times.total_ns);
	assert_int_equal(1, bed_stats(bed, "bad").offered);
	assert_int_equal(0, bed_stats(bed, "good").offered);
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_added);
}

static void a_timeout_is_a_failure(void **state)
{
	struct bed *bed = *state;

	trial.takes_ns = 30 * MS;
	register_witness(bed, "bad");
	bed_register(bed, "f", TRIAL(.user = &trial, .deadline_ms = 10, .attempts = 1, .on_failure = "bad"));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, witness.status);
	assert_int_equal(FAAS_ETIMEDOUT, witness.outcome);
	assert_string_equal(faas_strerror(FAAS_ETIMEDOUT), witness.message);
	assert_int_equal(10 * MS, witness.times.total_ns);
	assert_int_equal(1, witness.count);
}

static void so_is_what_expired(void **state)
{
	struct bed *bed = *state;

	register_witness(bed, "bad");
	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 20, .on_failure = "bad"));
	bed_queue(bed, "f", FAAS_EVENT(.timeout_ms = 10));
	bed_advance_ms(bed, 10);
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_EXPIRED, witness.status);
	assert_int_equal(FAAS_ETIMEDOUT, witness.outcome);
	bed_queue(bed, "f", NULL);
	bed_advance_ms(bed, 20);
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_EXPIRED, witness.status);
	assert_int_equal(FAAS_EEXPIRED, witness.outcome);
	assert_int_equal(0, witness.times.attempts);
	assert_int_equal(2, witness.count);
	assert_int_equal(0, trial.count);
}

static void a_failed_init_is_told_of(void **state)
{
	struct stage *stage = *state;

	witness = (struct witness){0};
	register_witness(&stage->bed, "bad");
	stage_register(stage, "f", FAAS_FUNCTION(.attempts = 1, .on_failure = "bad"));
	stage->life.init_fails = 1;
	stage->life.init_says = "no licence";
	stage_queue(stage, "f", NULL);
	bed_run(&stage->bed);
	assert_int_equal(FAAS_EINIT, witness.outcome);
	assert_string_equal("no licence", witness.message);
	assert_int_equal(7, witness.handler_result);
	assert_int_equal(1, witness.times.is_cold);
}

static void what_is_no_destination_sees_no_record(void **state)
{
	struct bed *bed = *state;

	witness.unset = 77;
	register_witness(bed, "f");
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, witness.unset);
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_int_equal(1, witness.unset);
	assert_null(faas_context_record(NULL));
}

static void a_record_may_be_kept(void **state)
{
	struct bed *bed = *state;
	const void *answer = NULL;

	witness.keeps = 1;
	trial.reply = "kept";
	register_witness(bed, "good");
	bed_register(bed, "f", TRIAL(.user = &trial, .on_success = "good"));
	bed_queue(bed, "f", TEXT("event"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_answer(witness.kept, &answer, NULL, NULL));
	assert_string_equal("kept", answer);
	assert_string_equal("event", faas_event_data(faas_invocation_event(witness.kept), NULL));
	assert_string_equal("f", faas_invocation_function(witness.kept));
	faas_invocation_unref(witness.kept);
}

/* ---- Who gets none ----------------------------------------------------------------------------------------------- */

static void what_was_cancelled_or_dropped_leaves_no_record(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	register_witness(bed, "bad");
	bed_register(bed, "f",
	             TRIAL(.user = &trial, .on_success = "bad", .on_failure = "bad", .queue_events = 1,
	                   .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_queue(bed, "f", NULL);
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").dropped);
	assert_int_equal(1, bed_stats(bed, "f").cancelled);
	assert_int_equal(0, witness.count);
	assert_int_equal(0, bed_stats(bed, "f").records + bed_stats(bed, "f").records_refused);
	faas_invocation_unref(invocation);
}

static void synchronous_calls_leave_no_record(void **state)
{
	struct bed *bed = *state;

	register_witness(bed, "any");
	bed_register(bed, "f", TRIAL(.user = &trial, .on_success = "any", .on_failure = "any"));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	trial.fails = ALWAYS;
	assert_int_equal(FAAS_EFAILED, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	bed_pass_ms(bed, 1000);
	assert_int_equal(0, witness.count);
	assert_int_equal(0, bed_stats(bed, "f").records + bed_stats(bed, "f").records_refused);
}

/* ---- Records that are refused ------------------------------------------------------------------------------------ */

static void without_the_destination_a_failure_is_a_dead_letter(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 1, .on_success = "nobody", .on_failure = "nobody"));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").records_refused);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	trial.fails = 0;
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(2, bed_stats(bed, "f").records_refused);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	/* It is looked up each time. */
	register_witness(bed, "nobody");
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").records);
	assert_int_equal(1, witness.count);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "nobody"));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(3, bed_stats(bed, "f").records_refused);
}

static struct {
	int lines;
	char function[FAAS_MAX_NAME + 1], message[256];
} logged;

static void log_sink(void *user, int32_t level, const char *function, const char *message)
{
	(void)user;
	assert_int_equal(FAAS_LOG_WARNING, level);
	logged.lines++;
	snprintf(logged.function, sizeof(logged.function), "%s", function);
	snprintf(logged.message, sizeof(logged.message), "%s", message);
}

static void the_first_record_that_a_function_cannot_pass_on_is_logged(void **state)
{
	struct bed bed;

	(void)state;
	logged.lines = 0;
	bed_open(&bed, FAAS_RUNTIME(.log = log_sink));
	bed_register(&bed, "f", TRIAL(.user = &trial, .on_success = "nobody"));
	bed_register(&bed, "g", TRIAL(.user = &trial, .on_success = "nowhere"));
	bed_queue(&bed, "f", NULL);
	bed_run(&bed);
	assert_int_equal(1, logged.lines);
	assert_string_equal("f", logged.function);
	assert_non_null(strstr(logged.message, "nobody"));
	assert_non_null(strstr(logged.message, "FAAS_ENOTFOUND"));
	bed_queue(&bed, "f", NULL);
	bed_run(&bed);
	assert_int_equal(1, logged.lines);
	bed_queue(&bed, "g", NULL);
	bed_run(&bed);
	assert_int_equal(2, logged.lines);
	assert_string_equal("g", logged.function);
	assert_int_equal(2, bed_stats(&bed, "f").records_refused);
	bed_close(&bed);
}

/* Fills a function's queue from within a handler of another. */
static void fill_bad(faas_context *context, void *arg)
{
	(void)arg;
	while (faas_invoke_async(faas_context_runtime(context), "bad", NULL, NULL) == FAAS_OK)
		;
}

static void what_a_full_destination_refused_is_a_dead_letter(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	trial.does = fill_bad;
	bed_register(bed, "bad", FAAS_FUNCTION(.handler = witness_handler, .queue_events = 2));
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 1, .on_failure = "bad"));
	bed_queue(bed, "f", TEXT("lost"));
	bed_run(bed);
	assert_int_equal(2, bed_stats(bed, "bad").rejected_full);
	assert_int_equal(1, bed_stats(bed, "f").records_refused);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	assert_int_equal(2, witness.count);
	assert_int_equal(1, witness.unset);
}

static int drop_some_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	for (int i = 0; i < 3; i++)
		(void)faas_invoke_async(faas_context_runtime(context), "bad", NULL, NULL);
	return 1;
}

static void a_destination_may_drop_its_oldest_for_a_record(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "bad",
	             FAAS_FUNCTION(.handler = witness_handler, .queue_events = 2, .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_register(bed, "f", FAAS_FUNCTION(.handler = drop_some_handler, .attempts = 1, .on_failure = "bad"));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(2, bed_stats(bed, "bad").dropped);
	assert_int_equal(1, bed_stats(bed, "f").records);
	assert_int_equal(2, witness.count);
	assert_int_equal(0, witness.unset);
}

/* ---- Circles ----------------------------------------------------------------------------------------------------- */

static void a_function_that_is_its_own_destination_ends_after_16_hops(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = &trial, .attempts = 1, .on_failure = "f"));
	bed_queue(bed, "f", TEXT("a"));
	assert_int_equal(FAAS_MAX_HOPS + 1, bed_run(bed));
	assert_int_equal(FAAS_MAX_HOPS, bed_stats(bed, "f").records);
	assert_int_equal(1, bed_stats(bed, "f").records_refused);
	assert_int_equal(1, bed_stats(bed, "f").rejected_other);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	assert_int_equal(FAAS_MAX_HOPS + 1, bed_stats(bed, "f").failed);
}

static void destinations_in_a_circle_end_too(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", TRIAL(.user = &trial, .on_success = "g"));
	bed_register(bed, "g", TRIAL(.user = &trial, .on_success = "f"));
	bed_queue(bed, "f", TEXT("a"));
	assert_int_equal(FAAS_MAX_HOPS + 1, bed_run(bed));
	assert_int_equal(9, bed_stats(bed, "f").succeeded);
	assert_int_equal(8, bed_stats(bed, "g").succeeded);
	assert_int_equal(1, bed_stats(bed, "f").records_refused);
	assert_int_equal(1, bed_stats(bed, "g").rejected_other);
	assert_int_equal(0, bed_totals(bed).total.dead_letters);
}

static void a_destination_that_fails_has_retries_and_dead_letters_of_its_own(void **state)
{
	struct bed *bed = *state;
	struct trial *failing = &trial;
	faas_function *function;
	faas_invocation *letter = NULL;
	uint64_t position = 0;

	failing->fails = ALWAYS;
	bed_register(bed, "f", TRIAL(.user = failing, .attempts = 1, .on_failure = "g"));
	bed_register(bed, "g", TRIAL(.user = failing));
	bed_queue(bed, "f", TEXT("a"));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 a1@0 a2@100 a3@300", trial_story(failing));
	assert_int_equal(0, bed_stats(bed, "f").dead_letters);
	function = bed_find(bed, "g");
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	assert_string_equal("g", faas_invocation_function(letter));
	assert_string_equal("a", faas_event_data(faas_invocation_event(letter), NULL));
	faas_invocation_unref(letter);
	faas_function_unref(function);
}

static void a_record_of_a_record_tells_of_the_destination(void **state)
{
	struct bed *bed = *state;

	trial.reply = "second";
	register_witness(bed, "end");
	bed_register(bed, "f", FAAS_FUNCTION(.handler = nothing_handler, .on_success = "g"));
	bed_register(bed, "g", TRIAL(.user = &trial, .on_success = "end"));
	bed_queue(bed, "f", TEXT("a"));
	bed_run(bed);
	assert_string_equal("g", witness.function);
	assert_string_equal("second", witness.reply);
	assert_string_equal("a", witness.data);
	assert_int_equal(1, witness.is_same_event);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_success_goes_to_on_success_with_its_answer),
		TEST(a_failure_goes_to_on_failure_with_what_was_said),
		TEST(a_timeout_is_a_failure),
		TEST(so_is_what_expired),
		STAGE_TEST(a_failed_init_is_told_of),
		TEST(what_is_no_destination_sees_no_record),
		TEST(a_record_may_be_kept),
		TEST(what_was_cancelled_or_dropped_leaves_no_record),
		TEST(synchronous_calls_leave_no_record),
		TEST(without_the_destination_a_failure_is_a_dead_letter),
		TEST(the_first_record_that_a_function_cannot_pass_on_is_logged),
		TEST(what_a_full_destination_refused_is_a_dead_letter),
		TEST(a_destination_may_drop_its_oldest_for_a_record),
		TEST(a_function_that_is_its_own_destination_ends_after_16_hops),
		TEST(destinations_in_a_circle_end_too),
		TEST(a_destination_that_fails_has_retries_and_dead_letters_of_its_own),
		TEST(a_record_of_a_record_tells_of_the_destination),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
