/* SPDX-License-Identifier: MIT */
/*
 * Callbacks that use the library from wherever delivery settles something: completions, deadlines of deferrals, cancels
 * between attempts, expiry, unregistering, dropping, closing. And in which order records and callbacks come. Manual mode.
 */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;
static struct hold hold;

/* What a callback found when it did everything that it may, and what it may not. */
static struct busy {
	struct bed *bed;
	faas_function *function; /* "f" */
	faas_deferral *other;    /* one more token; NULL: none */
	int count, outcome;
	int emit, invoke, add, leave, redrive, purge, cancel, complete, letter;
	int run, drain, close, wait, sync;
	struct faas_function_stats stats;
} busy;

static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.clock = ((struct bed *)*state)->clock};
	hold = (struct hold){0};
	memset(&busy, 0, sizeof(busy));
	busy.bed = *state;
	bed_register(busy.bed, "g", FAAS_FUNCTION(.handler = nothing_handler));
	bed_bind(busy.bed, "g", "g");
	return result;
}

static int teardown(void **state)
{
	hold_clear(&hold);
	faas_function_unref(busy.function);
	return bed_teardown(state);
}

static void use_everything(faas_invocation *invocation, void *user)
{
	faas_runtime *runtime = busy.bed->runtime;
	faas_invocation *other = NULL, *letter = NULL;
	uint64_t position = 0;

	(void)user;
	busy.count++;
	busy.outcome = faas_invocation_outcome(invocation);
	busy.emit = faas_emit_event(runtime, FAAS_EVENT(.type = "g"), NULL);
	busy.invoke = faas_invoke_async(runtime, "g", NULL, &other);
	busy.wait = faas_invocation_wait(other, FAAS_NEVER);
	busy.cancel = faas_invocation_cancel(other);
	faas_invocation_unref(other);
	busy.add = faas_register_function(runtime, "new", FAAS_FUNCTION(.handler = nothing_handler));
	busy.leave = faas_unregister_function(runtime, "new");
	busy.letter = faas_function_dead_letter(busy.function, &position, &letter);
	faas_invocation_unref(letter);
	busy.redrive = faas_function_redrive(busy.function, NULL);
	busy.purge = faas_function_purge(busy.function, NULL);
	if (busy.other)
		busy.complete = faas_complete(busy.other, NULL, 0, NULL);
	busy.sync = faas_invoke(runtime, "g", NULL, 0, NULL);
	busy.run = faas_run(runtime, 1);
	busy.drain = faas_drain(runtime, 0);
	busy.close = faas_close(runtime, 0, 0);
	busy.stats = peek(runtime, "f");
}

/* Registers "f" and hands it an event whose settlement is told. */
static faas_invocation *start_told(const faas_function_config *config)
{
	faas_invocation *invocation;

	bed_register(busy.bed, "f", config);
	busy.function = bed_find(busy.bed, "f");
	invocation = bed_start(busy.bed, "f", FAAS_EVENT(.timeout_ms = 0));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, use_everything, NULL));
	return invocation;
}

static void check_told(faas_invocation *invocation, int outcome)
{
	assert_int_equal(1, busy.count);
	assert_int_equal(outcome, busy.outcome);
	assert_int_equal(1, busy.emit);
	assert_int_equal(FAAS_OK, busy.invoke);
	assert_int_equal(FAAS_EDEADLK, busy.wait);
	assert_int_equal(FAAS_OK, busy.cancel);
	assert_int_equal(FAAS_OK, busy.add);
	assert_int_equal(FAAS_OK, busy.leave);
	assert_int_equal(FAAS_EDEADLK, busy.sync);
	assert_int_equal(FAAS_EDEADLK, busy.run);
	assert_int_equal(FAAS_EDEADLK, busy.drain);
	assert_int_equal(FAAS_EDEADLK, busy.close);
	faas_invocation_unref(invocation);
	bed_run(busy.bed);
	assert_int_equal(1, bed_stats(busy.bed, "g").succeeded);
	assert_int_equal(1, busy.count);
}

/* ---- From a completion ------------------------------------------------------------------------------------------- */

static void a_completion_calls_back_without_a_lock(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(HELD(.attempts = 1));

	bed_queue(bed, "f", NULL);
	bed_run(bed);
	busy.other = hold.tokens[1];
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], "x", 1, NULL));
	assert_int_equal(FAAS_OK, busy.complete);
	assert_int_equal(2, busy.stats.succeeded);
	assert_int_equal(0, busy.stats.deferred);
	check_told(invocation, FAAS_OK);
}

static void so_does_a_failed_one(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(HELD(.attempts = 1));

	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_complete_failed(hold.tokens[0], "x"));
	assert_int_equal(1, busy.stats.failed);
	check_told(invocation, FAAS_EFAILED);
}

static void and_the_last_reference_to_a_token(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(HELD(.attempts = 1));

	bed_run(bed);
	hold_clear(&hold);
	check_told(invocation, FAAS_EABANDONED);
}

static void the_deadline_of_a_deferral_calls_back_in_a_step(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(HELD(.attempts = 1, .deadline_ms = 10));

	bed_queue(bed, "f", NULL);
	bed_run(bed);
	busy.other = hold.tokens[1];
	bed_advance_ms(bed, 10);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(0, busy.count);
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_ESETTLED, busy.complete);
	check_told(invocation, FAAS_ETIMEDOUT);
}

/* ---- From the end of a wait -------------------------------------------------------------------------------------- */

static void cancelling_what_is_deferred_calls_back(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(HELD(.attempts = 1));

	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(1, busy.stats.cancelled);
	check_told(invocation, FAAS_ECANCELLED);
}

static void cancelling_what_is_delayed_calls_back(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	invocation = start_told(TRIAL(.user = &trial));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(0, busy.stats.delayed);
	check_told(invocation, FAAS_ECANCELLED);
}

static void the_last_attempt_calls_back_once_and_leaves_its_letter_after_that(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	invocation = start_told(TRIAL(.user = &trial, .backoff_ms = FAAS_NONE));
	bed_run(bed);
	assert_int_equal(FAAS_ENOTFOUND, busy.letter);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	assert_int_equal(3, trial.count);
	check_told(invocation, FAAS_EFAILED);
}

static void what_expires_calls_back(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(TRIAL(.user = &trial, .max_age_ms = 10));

	bed_advance_ms(bed, 10);
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(1, busy.stats.expired);
	assert_int_equal(0, busy.stats.queued);
	check_told(invocation, FAAS_EEXPIRED);
}

static void unregistering_calls_back_for_what_was_delayed(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	invocation = start_told(TRIAL(.user = &trial));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, busy.letter);
	assert_int_equal(0, busy.redrive);
	check_told(invocation, FAAS_ECANCELLED);
}

static void what_a_letter_pushes_out_calls_back(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	trial.fails = ALWAYS;
	invocation =
		start_told(TRIAL(.user = &trial, .attempts = 1, .queue_events = 1, .queue_full = FAAS_FULL_DROP_OLDEST));
	/* This one drops that one. */
	bed_queue(bed, "f", NULL);
	check_told(invocation, FAAS_EDROPPED);
	busy.count = 0;
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, use_everything, NULL));
	assert_int_equal(1, faas_function_redrive(busy.function, NULL));
	assert_int_equal(1, busy.count);
	assert_int_equal(FAAS_EDROPPED, busy.outcome);
	assert_int_equal(0, busy.redrive);
	faas_invocation_unref(invocation);
}

static void a_close_calls_back_while_it_refuses_everything(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = start_told(HELD(.attempts = 1, .deadline_ms = FAAS_NEVER));
	int code;

	bed_run(bed);
	code = faas_close(bed->runtime, 0, 0);
	assert_int_equal(FAAS_OK, code);
	bed->runtime = NULL;
	assert_int_equal(1, busy.count);
	assert_int_equal(FAAS_ECANCELLED, busy.outcome);
	assert_int_equal(FAAS_ECLOSED, busy.emit);
	assert_int_equal(FAAS_ECLOSED, busy.invoke);
	assert_int_equal(FAAS_ECLOSED, busy.add);
	assert_int_equal(FAAS_EDEADLK, busy.close);
	faas_invocation_unref(invocation);
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static uint64_t offered_in_callback, records_in_callback;

static void look_at_destination(faas_invocation *invocation, void *user)
{
	struct bed *bed = user;

	(void)invocation;
	offered_in_callback = peek(bed->runtime, "g").offered;
	records_in_callback = peek(bed->runtime, "f").records;
}

static void a_callback_comes_before_the_record_is_offered(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	bed_register(bed, "f", TRIAL(.user = &trial, .on_success = "g"));
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, look_at_destination, bed));
	offered_in_callback = records_in_callback = 77;
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(0, offered_in_callback);
	assert_int_equal(0, records_in_callback);
	assert_int_equal(1, bed_stats(bed, "g").offered);
	faas_invocation_unref(invocation);
}

static void records_come_in_the_order_of_what_they_record(void **state)
{
	struct bed *bed = *state;
	struct trial taker = {.clock = bed->clock};

	bed_register(bed, "bad", TRIAL(.user = &taker));
	bed_register(bed, "f", TRIAL(.user = &trial, .max_age_ms = 10, .on_failure = "bad"));
	for (char name[] = "a"; name[0] <= 'e'; name[0]++)
		bed_queue(bed, "f", TEXT(name));
	bed_advance_ms(bed, 10);
	bed_run(bed);
	assert_string_equal("a1@10 b1@10 c1@10 d1@10 e1@10", trial_story(&taker));
}

static void a_deadline_offers_its_record_at_once(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", HELD(.attempts = 1, .deadline_ms = 10, .on_failure = "g"));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	bed_advance_ms(bed, 10);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").records);
	assert_int_equal(1, bed_stats(bed, "g").succeeded);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_completion_calls_back_without_a_lock),
		TEST(so_does_a_failed_one),
		TEST(and_the_last_reference_to_a_token),
		TEST(the_deadline_of_a_deferral_calls_back_in_a_step),
		TEST(cancelling_what_is_deferred_calls_back),
		TEST(cancelling_what_is_delayed_calls_back),
		TEST(the_last_attempt_calls_back_once_and_leaves_its_letter_after_that),
		TEST(what_expires_calls_back),
		TEST(unregistering_calls_back_for_what_was_delayed),
		TEST(what_a_letter_pushes_out_calls_back),
		TEST(a_close_calls_back_while_it_refuses_everything),
		TEST(a_callback_comes_before_the_record_is_offered),
		TEST(records_come_in_the_order_of_what_they_record),
		TEST(a_deadline_offers_its_record_at_once),
	};

	return cmocka_run_group_tests_name("reentry and delivery", tests, NULL, NULL);
}
