/* SPDX-License-Identifier: MIT */
/*
 * Order by key where somebody waits: synchronous calls, waits inside of handlers; and many keys at once. Manual mode.
 */
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

/* ---- Outside ----------------------------------------------------------------------------------------------------- */

static void a_synchronous_call_stands_in_line(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("l", "b"));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", KEYED("k", "c"), 0, NULL));
	bed_run(bed);
	assert_int_equal(3, trial.count);
	assert_string_equal("a", trial.seen[0].text);
}

static void a_synchronous_call_behind_a_delayed_one_gives_up(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = NULL;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	assert_int_equal(FAAS_EAGAIN, faas_invoke(bed->runtime, "f", KEYED("k", "b"), 0, &invocation));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(1, trial.count);
	trial.fails = 0;
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", KEYED("l", "c"), 0, NULL));
	bed_pass_ms(bed, 1000);
	assert_string_equal("a1@0 c1@0 a2@100", trial_story(&trial));
	faas_invocation_unref(invocation);
}

static void a_wait_for_one_behind_a_delayed_one_gives_up(void **state)
{
	struct bed *bed = *state;
	faas_invocation *delayed, *behind;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	delayed = bed_start(bed, "f", KEYED("k", "a"));
	behind = bed_start(bed, "f", KEYED("k", "b"));
	assert_int_equal(FAAS_EAGAIN, faas_invocation_wait(delayed, FAAS_NEVER));
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(delayed));
	assert_int_equal(FAAS_EAGAIN, faas_invocation_wait(behind, FAAS_NEVER));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_EAGAIN, faas_invocation_wait(behind, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(delayed));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_OK, faas_invocation_wait(behind, FAAS_NEVER));
	faas_invocation_unref(delayed);
	faas_invocation_unref(behind);
}

static void an_ordered_function_is_never_inline(void **state)
{
	struct bed *bed = *state;

	trial.fails = 1;
	bed_register(bed, "f", ORDERED(.attempts = 2, .flags = FAAS_FUNCTION_INLINE));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	assert_int_equal(FAAS_EAGAIN, faas_invoke(bed->runtime, "f", KEYED("k", "b"), 0, NULL));
	assert_int_equal(1, trial.count);
	bed_advance_ms(bed, 100);
	trial.fails = 0;
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", KEYED("k", "c"), 0, NULL));
	assert_string_equal("a1@0 a2@100 c1@100", trial_story(&trial));
}

/* ---- Inside of handlers ------------------------------------------------------------------------------------------ */

struct waiter {
	faas_invocation *awaited;
	int code, status;
};

static void wait_inside(faas_context *context, void *arg)
{
	struct waiter *waiter = arg;

	(void)context;
	if (!waiter->awaited)
		return;
	waiter->code = faas_invocation_wait(waiter->awaited, FAAS_NEVER);
	waiter->status = faas_invocation_status(waiter->awaited);
}

static void a_wait_runs_what_stands_before_it_under_the_same_key(void **state)
{
	struct bed *bed = *state;
	struct trial outer = {.clock = bed->clock, .does = wait_inside};
	struct waiter waiter = {.code = -99};

	outer.arg = &waiter;
	bed_register(bed, "g", TRIAL(.user = &outer));
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "g", NULL);
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_queue(bed, "f", KEYED("l", "x"));
	bed_queue(bed, "f", KEYED("k", "b"));
	waiter.awaited = bed_start(bed, "f", KEYED("k", "c"));
	bed_queue(bed, "f", KEYED("k", "d"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_OK, waiter.code);
	assert_int_equal(FAAS_STATUS_SUCCEEDED, waiter.status);
	assert_string_equal("a1@0 b1@0 c1@0", trial_story(&trial));
	bed_run(bed);
	assert_int_equal(5, trial.count);
	faas_invocation_unref(waiter.awaited);
}

static void a_retry_that_such_a_wait_runs_keeps_its_number(void **state)
{
	struct bed *bed = *state;
	struct trial outer = {.clock = bed->clock, .does = wait_inside};
	struct waiter waiter = {.code = -99};

	trial.fails = 1;
	outer.arg = &waiter;
	bed_register(bed, "g", TRIAL(.user = &outer));
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	bed_advance_ms(bed, 50);
	bed_queue(bed, "g", NULL);
	bed_advance_ms(bed, 50);
	trial.fails = 0;
	waiter.awaited = bed_start(bed, "f", KEYED("k", "b"));
	bed_run(bed);
	assert_int_equal(FAAS_OK, waiter.code);
	assert_string_equal("a1@0 a2@100 b1@100", trial_story(&trial));
	faas_invocation_unref(waiter.awaited);
}

static void a_handler_cannot_wait_for_its_own_key(void **state)
{
	struct bed *bed = *state;
	struct waiter waiter = {.code = -99};

	trial.does = wait_inside;
	trial.arg = &waiter;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	waiter.awaited = bed_start(bed, "f", KEYED("k", "b"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_EDEADLK, waiter.code);
	assert_int_equal(FAAS_STATUS_QUEUED, waiter.status);
	trial.does = NULL;
	bed_run(bed);
	assert_string_equal("a1@0 b1@0", trial_story(&trial));
	faas_invocation_unref(waiter.awaited);
}

static int nested_code;
static struct faas_function_stats nested_stats;

static void invoke_own_key(faas_context *context, void *arg)
{
	(void)arg;
	if (nested_code != -99)
		return;
	nested_code = 0;
	nested_code = faas_context_invoke(context, "f", KEYED("k", "b"), 0, NULL);
	peek_at_self(context, &nested_stats);
}

static void nor_invoke_it(void **state)
{
	struct bed *bed = *state;

	nested_code = -99;
	trial.does = invoke_own_key;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	bed_run(bed);
	assert_int_equal(FAAS_EDEADLK, nested_code);
	assert_string_equal("a1@0", trial_story(&trial));
	assert_int_equal(0, nested_stats.queued);
	assert_int_equal(0, bed_stats(bed, "f").queued);
}

static void another_key_can_be_waited_for(void **state)
{
	struct bed *bed = *state;
	struct waiter waiter = {.code = -99};

	trial.does = wait_inside;
	trial.arg = &waiter;
	bed_register(bed, "f", ORDERED(.attempts = 2));
	bed_queue(bed, "f", KEYED("k", "a"));
	waiter.awaited = bed_start(bed, "f", KEYED("l", "b"));
	trial.count = 0;
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_OK, faas_invocation_wait(waiter.awaited, 0));
	assert_int_equal(2, trial.count);
	faas_invocation_unref(waiter.awaited);
}

/* ---- Many keys --------------------------------------------------------------------------------------------------- */

#define KEYS 100000

static struct tally {
	int count, mistakes, fails; /* `fails`: first attempts of first events fail */
	uint8_t last[KEYS];         /* by key: which of its events came last */
} tally;

static int tally_handler(faas_context *context, const faas_event *event)
{
	int numbers[2];

	memcpy(numbers, faas_event_data(event, NULL), sizeof(numbers));
	if (tally.fails && numbers[1] == 1 && faas_context_attempt(context) == 1)
		return 1;
	tally.count++;
	tally.mistakes += tally.last[numbers[0]] + 1 != numbers[1];
	tally.last[numbers[0]] = (uint8_t)numbers[1];
	return 0;
}

static void queue_key(struct bed *bed, int i, int round)
{
	int numbers[2] = {i, round};
	char key[32];

	snprintf(key, sizeof(key), "customer/%d", i);
	bed_queue(bed, "f", FAAS_EVENT(.key = key, .data = numbers, .data_bytes = sizeof(numbers)));
}

/* Registers "f", and says how much memory is in use when it has run once. */
static int64_t prepare_tally(struct bed *bed)
{
	memset(&tally, 0, sizeof(tally));
	bed_register(bed, "f",
	             FAAS_FUNCTION(.handler = tally_handler, .order = FAAS_ORDER_BY_KEY, .backoff_ms = 1000,
	                           .jitter_percent = FAAS_NONE));
	queue_key(bed, 0, 1);
	bed_run(bed);
	assert_int_equal(1, tally.count);
	memset(&tally, 0, sizeof(tally));
	return bed->memory.bytes;
}

/* What lay unused between two looks goes. */
static void check_memory(struct bed *bed, int64_t before)
{
	assert_int_equal(0, bed_run(bed));
	assert_int_equal(0, bed_run(bed));
	assert_in_range(bed->memory.bytes, 0, before + (1 << 20));
}

/* Of each key the head is delayed, and another event waits behind it. */
static void a_hundred_thousand_keys_leave_no_memory_behind(void **state)
{
	struct bed *bed = *state;
	int64_t before = prepare_tally(bed);

	tally.fails = 1;
	for (int i = 0; i < KEYS; i++) {
		queue_key(bed, i, 1);
		queue_key(bed, i, 2);
		assert_int_equal(1, faas_run(bed->runtime, 1));
		assert_int_equal(FAAS_OK, faas_clock_advance(bed->clock, 1));
	}
	assert_int_equal(KEYS, bed_stats(bed, "f").delayed);
	assert_int_equal(KEYS, bed_stats(bed, "f").queued);
	assert_true(bed->memory.bytes > before + 2 * KEYS * 100);
	assert_int_equal(0, tally.count);
	bed_pass_ms(bed, 2000);
	assert_int_equal(2 * KEYS, tally.count);
	assert_int_equal(0, tally.mistakes);
	assert_int_equal(2 * KEYS + 1, bed_stats(bed, "f").succeeded);
	check_memory(bed, before);
}

static void nor_do_those_that_were_cancelled(void **state)
{
	struct bed *bed = *state;
	int64_t before = prepare_tally(bed);
	faas_function *function = bed_find(bed, "f");

	for (int round = 1; round <= 3; round++)
		for (int i = 0; i < KEYS; i++)
			queue_key(bed, i, round);
	assert_int_equal(3 * KEYS, faas_function_cancel_all(function));
	assert_int_equal(0, bed_stats(bed, "f").queued);
	bed_run(bed);
	assert_int_equal(0, tally.count);
	check_memory(bed, before);
	for (int round = 1; round <= 3; round++)
		for (int i = 0; i < 100; i++)
			queue_key(bed, i, round);
	bed_run(bed);
	assert_int_equal(300, tally.count);
	assert_int_equal(0, tally.mistakes);
	faas_function_unref(function);
}

/* ---- At random --------------------------------------------------------------------------------------------------- */

#define RANDOM_EVENTS 1500
#define RANDOM_KEYS 7

static struct chance {
	faas_clock *clock;
	uint64_t seed;
	int key_of[RANDOM_EVENTS];
	faas_invocation *invocations[RANDOM_EVENTS];
	faas_deferral *tokens[RANDOM_EVENTS];
	int mistakes;
} chance;

/* Whether an earlier one of its key is on the way. */
static int chance_handler(faas_context *context, const faas_event *event)
{
	int number;

	memcpy(&number, faas_event_data(event, NULL), sizeof(number));
	for (int i = 0; i < number; i++)
		chance.mistakes += chance.key_of[i] == chance.key_of[number] && chance.key_of[i] != 0 &&
		                   faas_invocation_outcome(chance.invocations[i]) == FAAS_EPENDING;
	if (random_below(&chance.seed, 8) == 0)
		(void)faas_clock_advance(chance.clock, (int64_t)random_below(&chance.seed, (uint64_t)(30 * MS)));
	if (random_below(&chance.seed, 6) == 0) {
		faas_deferral_unref(chance.tokens[number]);
		chance.tokens[number] = NULL;
		(void)faas_context_defer(context, &chance.tokens[number]);
	}
	return random_below(&chance.seed, 3) == 0;
}

static void whatever_happens_the_order_of_a_key_holds(void **state)
{
	static const char *const keys[RANDOM_KEYS] = {NULL, "a", "b", "c", "d", "e", "f"};
	struct bed *bed = *state;
	struct faas_function_stats stats;

	memset(&chance, 0, sizeof(chance));
	chance.seed = random_seed("key");
	chance.clock = bed->clock;
	bed_register(bed, "f",
	             FAAS_FUNCTION(.handler = chance_handler, .order = FAAS_ORDER_BY_KEY, .deadline_ms = 20,
	                           .backoff_ms = 10, .max_age_ms = 500));
	for (int i = 0; i < RANDOM_EVENTS; i++) {
		int victim = (int)random_below(&chance.seed, (uint64_t)i + 1);

		chance.key_of[i] = (int)random_below(&chance.seed, RANDOM_KEYS);
		chance.invocations[i] =
			bed_start(bed, "f", FAAS_EVENT(.key = keys[chance.key_of[i]], .data = &i, .data_bytes = sizeof(i)));
		if (random_below(&chance.seed, 2) == 0)
			(void)faas_run(bed->runtime, 1 + (int)random_below(&chance.seed, 3));
		if (random_below(&chance.seed, 20) == 0)
			(void)faas_invocation_cancel(chance.invocations[victim]);
		if (random_below(&chance.seed, 4) == 0 && chance.tokens[victim])
			(void)faas_complete(chance.tokens[victim], NULL, 0, NULL);
		if (random_below(&chance.seed, 4) == 0)
			bed_pass_ns(bed, (int64_t)random_below(&chance.seed, (uint64_t)(20 * MS)));
	}
	bed_pass_ms(bed, 60000);
	bed_run(bed);
	assert_int_equal(0, chance.mistakes);
	stats = bed_stats(bed, "f");
	assert_int_equal(0, stats.queued + stats.delayed + stats.running + stats.deferred);
	assert_int_equal(RANDOM_EVENTS, stats.succeeded + stats.failed + stats.timed_out + stats.expired + stats.cancelled);
	for (int i = 0; i < RANDOM_EVENTS; i++) {
		faas_deferral_unref(chance.tokens[i]);
		faas_invocation_unref(chance.invocations[i]);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_synchronous_call_stands_in_line),
		TEST(a_synchronous_call_behind_a_delayed_one_gives_up),
		TEST(a_wait_for_one_behind_a_delayed_one_gives_up),
		TEST(an_ordered_function_is_never_inline),
		TEST(a_wait_runs_what_stands_before_it_under_the_same_key),
		TEST(a_retry_that_such_a_wait_runs_keeps_its_number),
		TEST(a_handler_cannot_wait_for_its_own_key),
		TEST(nor_invoke_it),
		TEST(another_key_can_be_waited_for),
		TEST(a_hundred_thousand_keys_leave_no_memory_behind),
		TEST(nor_do_those_that_were_cancelled),
		TEST(whatever_happens_the_order_of_a_key_holds),
	};

	return cmocka_run_group_tests_name("key and wait", tests, NULL, NULL);
}
