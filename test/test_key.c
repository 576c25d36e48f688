/* SPDX-License-Identifier: MIT */
/* Order by key: who waits for whom, and what an event's key is held by. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000
#define ORDERED(...) TRIAL(.user = &trial, .order = FAAS_ORDER_BY_KEY, __VA_ARGS__)

static struct trial trial;

/* A bed in *state, and a trial that always succeeds. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.clock = ((struct bed *)*state)->clock};
	return result;
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static void one_key_keeps_the_order_of_acceptance(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 3));
	bed_bind(bed, "t", "f");
	bed_queue(bed, "f", KEYED("k", "a"));
	assert_int_equal(
		1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .key = "k", .data = "b", .data_bytes = 1), NULL));
	bed_queue(bed, "f", KEYED("k", "c"));
	bed_pass_ms(bed, 1000);
	/* Each waits until the one before it has been retried. */
	assert_string_equal("a1@0 a2@100 b1@100 b2@200 c1@200 c2@300", trial_story(&trial));
	assert_int_equal(3, bed_stats(bed, "f").succeeded);
}

static void other_keys_and_events_without_one_do_not_wait(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_run(bed);
	trial.fails = 0;
	bed_queue(bed, "f", KEYED("l", "c"));
	bed_queue(bed, "f", TEXT("d"));
	bed_run(bed);
	assert_string_equal("a1@0 c1@0 d1@0", trial_story(&trial));
	assert_int_equal(1, bed_stats(bed, "f").queued);
	assert_int_equal(1, bed_stats(bed, "f").delayed);
	bed_pass_ms(bed, 100);
	bed_run(bed);
	assert_string_equal("a1@0 c1@0 d1@0 a2@100 b1@100", trial_story(&trial));
}

static void without_order_a_key_means_nothing(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", TRIAL(.user = &trial));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 b1@0 a2@100 b2@100", trial_story(&trial));
}

static void events_without_a_key_are_not_ordered(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", TEXT("a"));
	bed_queue(bed, "f", TEXT("b"));
	bed_run(bed);
	assert_int_equal(2, trial.count);
	assert_int_equal(2, bed_stats(bed, "f").delayed);
}

static void each_function_has_its_own_order(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_register(bed, "g", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	bed_queue(bed, "g", KEYED("k", "b"));
	bed_run(bed);
	assert_string_equal("a1@0 b1@0", trial_story(&trial));
}

static void without_delays_a_retry_still_comes_before_the_next_of_its_key(void **state)
{
	struct bed *bed = *state;

	trial.fails = 2;
	bed_register(bed, "f", ORDERED(.backoff_ms = FAAS_NONE));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_run(bed);
	assert_string_equal("a1@0 a2@0 a3@0 b1@0 b2@0 b3@0", trial_story(&trial));
}

static void keys_are_told_apart_by_all_their_bytes(void **state)
{
	static char first[FAAS_MAX_STRING + 1], second[FAAS_MAX_STRING + 1];
	struct bed *bed = *state;

	memset(first, 'x', FAAS_MAX_STRING);
	memset(second, 'x', FAAS_MAX_STRING);
	second[FAAS_MAX_STRING - 1] = 'y';
	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED(first, "a"));
	bed_queue(bed, "f", KEYED(second, "b"));
	bed_queue(bed, "f", KEYED("x", "c"));
	bed_queue(bed, "f", KEYED("xx", "d"));
	bed_queue(bed, "f", KEYED("xx", "e"));
	bed_queue(bed, "f", KEYED(first, "f"));
	bed_run(bed);
	assert_int_equal(4, trial.count);
	assert_int_equal(2, bed_stats(bed, "f").queued);
	bed_pass_ms(bed, 1000);
	assert_int_equal(6, bed_stats(bed, "f").succeeded);
}

/* ---- What holds a key -------------------------------------------------------------------------------------------- */

static void a_deferral_keeps_its_key(void **state)
{
	struct bed *bed = *state;
	struct hold hold = {0};

	bed_register(bed, "f",
	             FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .order = FAAS_ORDER_BY_KEY, .attempts = 1));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_queue(bed, "f", KEYED("l", "c"));
	bed_run(bed);
	assert_int_equal(2, hold.count);
	assert_int_equal(2, bed_stats(bed, "f").deferred);
	assert_int_equal(1, bed_stats(bed, "f").queued);
	assert_int_equal(3000 * MS, bed_next_due(bed));
	assert_int_equal(FAAS_OK, faas_complete_failed(hold.tokens[0], NULL));
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(3, hold.count);
	/* At its deadline it lets go, too. */
	bed_queue(bed, "f", KEYED("l", "d"));
	assert_int_equal(0, bed_run(bed));
	bed_advance_ms(bed, 3000);
	bed_run(bed);
	assert_int_equal(4, hold.count);
	hold_clear(&hold);
}

struct look_around {
	faas_clock *clock;
	faas_invocation *next; /* of the same key */
	int64_t due;
	int status, wait;
};

/* Past its deadline of 10 ms: whether anything could run now. */
static void overrun_and_look(faas_context *context, void *arg)
{
	struct look_around *look = arg;

	if (look->next == NULL)
		return;
	(void)faas_clock_advance(look->clock, 20 * MS);
	look->status = faas_invocation_status(look->next);
	(void)faas_next_due(faas_context_runtime(context), &look->due);
	look->wait = faas_invocation_wait(look->next, FAAS_NEVER);
	look->next = NULL;
}

static void an_overrun_keeps_its_key(void **state)
{
	struct bed *bed = *state;
	struct look_around look = {.clock = bed->clock};
	faas_invocation *next;

	trial.does = overrun_and_look;
	trial.arg = &look;
	bed_register(bed, "f", ORDERED(.attempts = 1, .deadline_ms = 10));
	bed_queue(bed, "f", KEYED("k", "a"));
	look.next = next = bed_start(bed, "f", KEYED("k", "b"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_STATUS_QUEUED, look.status);
	assert_int_equal(FAAS_NEVER, look.due);
	assert_true(look.wait == FAAS_EPENDING || look.wait == FAAS_EDEADLK);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(next));
	bed_run(bed);
	assert_string_equal("a1@0 b1@20", trial_story(&trial));
	faas_invocation_unref(next);
}

static void even_where_its_retry_is_due(void **state)
{
	struct bed *bed = *state;
	struct look_around look = {.clock = bed->clock};
	faas_invocation *next;

	trial.does = overrun_and_look;
	trial.arg = &look;
	bed_register(bed, "f", ORDERED(.attempts = 2, .deadline_ms = 10, .backoff_ms = 1));
	bed_queue(bed, "f", KEYED("k", "a"));
	look.next = next = bed_start(bed, "f", KEYED("k", "b"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_STATUS_QUEUED, look.status);
	assert_int_equal(FAAS_NEVER, look.due);
	bed_run(bed);
	assert_string_equal("a1@0 a2@20 b1@20", trial_story(&trial));
	faas_invocation_unref(next);
}

/* ---- What lets a key go ------------------------------------------------------------------------------------------ */

static void a_cancelled_head_lets_the_next_one_begin(void **state)
{
	struct bed *bed = *state;
	faas_invocation *delayed, *queued, *middle;

	trial.fails = ALWAYS;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	delayed = bed_start(bed, "f", KEYED("k", "a"));
	queued = bed_start(bed, "f", KEYED("k", "b"));
	bed_queue(bed, "f", KEYED("k", "c"));
	middle = bed_start(bed, "f", KEYED("k", "d"));
	bed_queue(bed, "f", KEYED("k", "e"));
	bed_run(bed);
	trial.fails = 0;
	assert_int_equal(FAAS_OK, faas_invocation_cancel(middle));
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(delayed));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(queued));
	bed_run(bed);
	assert_string_equal("a1@0 c1@0 e1@0", trial_story(&trial));
	faas_invocation_unref(delayed);
	faas_invocation_unref(queued);
	faas_invocation_unref(middle);
}

static void a_cancelled_deferral_lets_go(void **state)
{
	struct bed *bed = *state;
	struct hold hold = {0};
	faas_invocation *invocation;

	bed_register(bed, "f", FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .order = FAAS_ORDER_BY_KEY));
	invocation = bed_start(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(0, bed_next_due(bed));
	bed_run(bed);
	assert_int_equal(2, hold.count);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[1], NULL, 0, NULL));
	hold_clear(&hold);
	faas_invocation_unref(invocation);
}

static void what_expired_lets_go(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", ORDERED(.max_age_ms = 1000));
	bed_queue(bed, "f", FAAS_EVENT(.key = "k", .data = "a", .data_bytes = 1, .timeout_ms = 10));
	bed_queue(bed, "f", FAAS_EVENT(.key = "k", .data = "b", .data_bytes = 1, .timeout_ms = 10));
	bed_queue(bed, "f", KEYED("k", "c"));
	bed_advance_ms(bed, 10);
	bed_run(bed);
	assert_string_equal("c1@10", trial_story(&trial));
	assert_int_equal(2, bed_stats(bed, "f").expired);
}

static void what_was_dropped_lets_go(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", ORDERED(.queue_events = 2, .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_queue(bed, "f", KEYED("k", "c"));
	bed_queue(bed, "f", KEYED("k", "d"));
	bed_run(bed);
	assert_string_equal("c1@0 d1@0", trial_story(&trial));
}

static void a_dropped_queue_behind_a_delayed_head_keeps_its_order(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.queue_events = 3, .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	trial.fails = 0;
	for (char name[] = "b"; name[0] <= 'f'; name[0]++)
		bed_queue(bed, "f", KEYED("k", name));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 a2@100 e1@100 f1@100", trial_story(&trial));
}

static void unregistering_lets_everything_go(void **state)
{
	struct bed *bed = *state;

	trial.fails = ALWAYS;
	bed_register(bed, "f", ORDERED(.attempts = 9));
	for (int i = 0; i < 5; i++)
		bed_queue(bed, "f", KEYED(i % 2 ? "k" : "l", "a"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(5, bed_totals(bed).total.cancelled);
	trial.fails = 0;
	bed_register(bed, "f", ORDERED(.attempts = 9));
	bed_queue(bed, "f", KEYED("k", "b"));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
}

static void a_dead_letter_stands_behind_those_accepted_before_it_was_redriven(void **state)
{
	struct bed *bed = *state;
	faas_function *function;

	trial.fails = ALWAYS;
	bed_register(bed, "f", ORDERED(.attempts = 1));
	function = bed_find(bed, "f");
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	trial.fails = 0;
	bed_queue(bed, "f", KEYED("k", "b"));
	assert_int_equal(1, faas_function_redrive(function, NULL));
	bed_queue(bed, "f", KEYED("k", "c"));
	bed_run(bed);
	assert_string_equal("a1@0 b1@0 a1@0 c1@0", trial_story(&trial));
	faas_function_unref(function);
}

static void records_have_the_key_of_their_event(void **state)
{
	struct bed *bed = *state;
	struct trial other = {.clock = bed->clock};

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_register(bed, "g", TRIAL(.user = &other, .on_success = "f"));
	bed_queue(bed, "g", KEYED("k", "a"));
	bed_queue(bed, "g", KEYED("k", "b"));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 a2@100 b1@100 b2@200", trial_story(&trial));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_key_keeps_the_order_of_acceptance),
		TEST(other_keys_and_events_without_one_do_not_wait),
		TEST(without_order_a_key_means_nothing),
		TEST(events_without_a_key_are_not_ordered),
		TEST(each_function_has_its_own_order),
		TEST(without_delays_a_retry_still_comes_before_the_next_of_its_key),
		TEST(keys_are_told_apart_by_all_their_bytes),
		TEST(a_deferral_keeps_its_key),
		TEST(an_overrun_keeps_its_key),
		TEST(even_where_its_retry_is_due),
		TEST(a_cancelled_head_lets_the_next_one_begin),
		TEST(a_cancelled_deferral_lets_go),
		TEST(what_expired_lets_go),
		TEST(what_was_dropped_lets_go),
		TEST(a_dropped_queue_behind_a_delayed_head_keeps_its_order),
		TEST(unregistering_lets_everything_go),
		TEST(a_dead_letter_stands_behind_those_accepted_before_it_was_redriven),
		TEST(records_have_the_key_of_their_event),
	};

	return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
