/* SPDX-License-Identifier: MIT */
/* Dead letters: what is kept of what failed for good, and how it is read, tried again and forgotten. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;
static faas_function *function; /* "f", counted by the test */

/* A bed in *state, and a trial that always fails, at once for good. */
static int setup(void **state)
{
	int result = bed_setup(state);

	trial = (struct trial){.fails = ALWAYS, .clock = ((struct bed *)*state)->clock};
	function = NULL;
	return result;
}

static int teardown(void **state)
{
	faas_function_unref(function);
	return bed_teardown(state);
}

/* Registers "f", which tries once unless the config says otherwise. */
static void add(struct bed *bed, const faas_function_config *config)
{
	faas_function_config own = *config;

	own.attempts = own.attempts ? own.attempts : 1;
	bed_register(bed, "f", &own);
	function = bed_find(bed, "f");
}

/* Lets events fail that have these numbers as texts. */
static void fail_some(struct bed *bed, int first, int last)
{
	char text[16];

	for (int i = first; i <= last; i++) {
		snprintf(text, sizeof(text), "%d", i);
		bed_queue(bed, "f", TEXT(text));
	}
	bed_run(bed);
}

/* The oldest letter; the caller's. */
static faas_invocation *oldest(void)
{
	faas_invocation *letter = NULL;
	uint64_t position = 0;

	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	return letter;
}

/* ---- What is kept ------------------------------------------------------------------------------------------------ */

static void by_default_the_last_hundred_are_kept(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter;

	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 100);
	assert_int_equal(100, bed_stats(bed, "f").dead_letters);
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_lost);
	fail_some(bed, 101, 105);
	assert_int_equal(100, bed_stats(bed, "f").dead_letters);
	assert_int_equal(105, bed_stats(bed, "f").dead_letters_added);
	assert_int_equal(5, bed_stats(bed, "f").dead_letters_lost);
	letter = oldest();
	assert_string_equal("6", faas_event_data(faas_invocation_event(letter), NULL));
	faas_invocation_unref(letter);
}

static void as_many_are_kept_as_it_says(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial, .dead_letters = 3));
	fail_some(bed, 1, 2);
	assert_string_equal("1 2", letter_texts(function));
	fail_some(bed, 3, 5);
	assert_string_equal("3 4 5", letter_texts(function));
	assert_int_equal(2, bed_stats(bed, "f").dead_letters_lost);
}

static void none_may_be_kept(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial, .dead_letters = FAAS_NONE));
	fail_some(bed, 1, 10);
	assert_string_equal("", letter_texts(function));
	assert_int_equal(0, bed_stats(bed, "f").dead_letters);
	assert_int_equal(10, bed_stats(bed, "f").failed);
	assert_int_equal(0, faas_function_redrive(function, NULL));
	assert_int_equal(0, faas_function_purge(function, NULL));
}

static void they_are_bounded_in_bytes_like_the_queue(void **state)
{
	struct bed *bed = *state;
	uint64_t each;

	bed_register(bed, "measure", FAAS_FUNCTION(.handler = nothing_handler));
	bed_queue(bed, "measure", TEXT("1"));
	each = bed_stats(bed, "measure").queued_bytes;
	bed_run(bed);
	add(bed, TRIAL(.user = &trial, .queue_bytes = (int64_t)(3 * each)));
	for (int i = 1; i <= 5; i++)
		fail_some(bed, i, i);
	assert_string_equal("3 4 5", letter_texts(function));
	assert_int_equal(2, bed_stats(bed, "f").dead_letters_lost);
	/* They are no part of the queue. */
	assert_int_equal(0, bed_stats(bed, "f").queued_bytes);
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
}

static void only_what_failed_for_good_is_kept(void **state)
{
	struct bed *bed = *state;
	faas_invocation *cancelled;

	add(bed, TRIAL(.user = &trial, .attempts = 2, .max_age_ms = 1000, .queue_events = 1, .deadline_ms = 10,
	               .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_queue(bed, "f", TEXT("dropped"));
	cancelled = bed_start(bed, "f", TEXT("cancelled"));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(cancelled));
	faas_invocation_unref(cancelled);
	assert_int_equal(FAAS_EFAILED, faas_invoke(bed->runtime, "f", TEXT("synchronous"), 0, NULL));
	trial.fails = 0;
	fail_some(bed, 0, 0);
	trial.fails = ALWAYS;
	fail_some(bed, 1, 1);
	assert_string_equal("", letter_texts(function));
	bed_pass_ms(bed, 100);
	bed_run(bed);
	assert_string_equal("1", letter_texts(function));
	trial.takes_ns = 10 * MS;
	fail_some(bed, 2, 2);
	bed_pass_ms(bed, 100);
	bed_run(bed);
	assert_string_equal("1 2", letter_texts(function));
	bed_queue(bed, "f", TEXT("3"));
	bed_advance_ms(bed, 1000);
	bed_run(bed);
	assert_string_equal("1 2 3", letter_texts(function));
	assert_int_equal(1, bed_stats(bed, "f").timed_out);
	assert_int_equal(1, bed_stats(bed, "f").expired);
}

static void what_expired_together_stands_in_its_order(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial, .max_age_ms = 10, .dead_letters = 3));
	for (char name[] = "1"; name[0] <= '5'; name[0]++)
		bed_queue(bed, "f", TEXT(name));
	bed_advance_ms(bed, 10);
	bed_run(bed);
	assert_string_equal("3 4 5", letter_texts(function));
}

/* ---- What they say ----------------------------------------------------------------------------------------------- */

static int settled_count;

static void count_settled(faas_invocation *invocation, void *user)
{
	(void)invocation;
	(void)user;
	settled_count++;
}

static void a_letter_nobody_had_a_handle_of_tells_how_it_failed(void **state)
{
	struct bed *bed = *state;
	struct faas_timing_stats timing;
	faas_invocation *letter;

	trial.says = "no such file";
	trial.result = 12;
	trial.takes_ns = MS;
	add(bed, TRIAL(.user = &trial, .attempts = 2));
	bed_queue(bed, "f", FAAS_EVENT(.type = "t", .id = "id", .key = "k", .data = "text", .data_bytes = 4));
	bed_pass_ms(bed, 1000);
	letter = oldest();
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(letter));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(letter));
	assert_int_equal(FAAS_EFAILED, faas_invocation_answer(letter, NULL, NULL, NULL));
	assert_string_equal("no such file", faas_invocation_message(letter));
	assert_int_equal(12, faas_invocation_handler_result(letter));
	assert_string_equal("f", faas_invocation_function(letter));
	assert_string_equal("t", faas_event_type(faas_invocation_event(letter)));
	assert_string_equal("k", faas_event_key(faas_invocation_event(letter)));
	assert_string_equal("id", faas_event_id(faas_invocation_event(letter), (char[FAAS_ID_SIZE]){0}));
	timing = timing_of(letter);
	assert_int_equal(2, timing.attempts);
	assert_int_equal(0, timing.queued_ns + timing.init_ns + timing.run_ns + timing.total_ns + timing.is_cold);
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(letter));
	assert_int_equal(FAAS_OK, faas_invocation_wait(letter, FAAS_NEVER));
	settled_count = 0;
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(letter, count_settled, NULL));
	assert_int_equal(1, settled_count);
	assert_int_equal(FAAS_EEXIST, faas_invocation_on_settled(letter, count_settled, NULL));
	assert_int_equal(1, settled_count);
	faas_invocation_unref(letter);
}

static void so_do_those_that_timed_out_or_expired(void **state)
{
	static const int outcomes[] = {FAAS_ETIMEDOUT, FAAS_EEXPIRED, FAAS_ETIMEDOUT};
	static const int statuses[] = {FAAS_STATUS_TIMED_OUT, FAAS_STATUS_EXPIRED, FAAS_STATUS_EXPIRED};
	struct bed *bed = *state;
	faas_invocation *letter;
	uint64_t position = 0;

	trial.takes_ns = 20 * MS;
	add(bed, TRIAL(.user = &trial, .deadline_ms = 10, .max_age_ms = 100));
	bed_queue(bed, "f", NULL);
	bed_run(bed);
	bed_queue(bed, "f", NULL);
	bed_advance_ms(bed, 100);
	bed_queue(bed, "f", FAAS_EVENT(.timeout_ms = 5));
	bed_advance_ms(bed, 5);
	bed_run(bed);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
		assert_int_equal(outcomes[i], faas_invocation_outcome(letter));
		assert_int_equal(statuses[i], faas_invocation_status(letter));
		assert_string_equal(faas_strerror(outcomes[i]), faas_invocation_message(letter));
		assert_int_equal(0, faas_invocation_handler_result(letter));
		assert_int_equal(i == 0, timing_of(letter).attempts);
		faas_invocation_unref(letter);
	}
}

static void a_letter_is_the_invocation_itself(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation, *letter;
	faas_emission *emission = NULL;
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	uint64_t position = 0;

	trial.takes_ns = MS;
	add(bed, TRIAL(.user = &trial));
	bed_bind(bed, "t", "f");
	invocation = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	assert_ptr_equal(invocation, letter);
	assert_int_equal(MS, timing_of(letter).total_ns);
	faas_invocation_unref(letter);
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 0, &entry));
	assert_ptr_equal(entry.invocation, letter);
	faas_invocation_unref(letter);
	faas_emission_unref(emission);
	faas_invocation_unref(invocation);
}

/* ---- Walking ----------------------------------------------------------------------------------------------------- */

static void a_walk_goes_on_while_others_come_and_go(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter, *untouched;
	uint64_t position = 0, before;

	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 4);
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	assert_int_equal(1, faas_function_purge(function, letter));
	faas_invocation_unref(letter);
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	assert_string_equal("2", faas_event_data(faas_invocation_event(letter), NULL));
	faas_invocation_unref(letter);
	fail_some(bed, 5, 5);
	for (char name[] = "3"; name[0] <= '5'; name[0]++) {
		assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
		assert_string_equal(name, faas_event_data(faas_invocation_event(letter), NULL));
		faas_invocation_unref(letter);
	}
	before = position;
	untouched = letter;
	assert_int_equal(FAAS_ENOTFOUND, faas_function_dead_letter(function, &position, &letter));
	assert_int_equal(before, position);
	assert_ptr_equal(untouched, letter);
	fail_some(bed, 6, 6);
	assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	assert_string_equal("6", faas_event_data(faas_invocation_event(letter), NULL));
	faas_invocation_unref(letter);
	position = UINT64_MAX;
	assert_int_equal(FAAS_ENOTFOUND, faas_function_dead_letter(function, &position, &letter));
}

static void calls_without_sense_are_refused(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter;
	uint64_t position = 0;

	add(bed, TRIAL(.user = &trial));
	assert_int_equal(FAAS_EINVAL, faas_function_dead_letter(NULL, &position, &letter));
	assert_int_equal(FAAS_EINVAL, faas_function_dead_letter(function, NULL, &letter));
	assert_int_equal(FAAS_EINVAL, faas_function_dead_letter(function, &position, NULL));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_dead_letter(function, &position, &letter));
	assert_int_equal(FAAS_EINVAL, faas_function_redrive(NULL, NULL));
	assert_int_equal(FAAS_EINVAL, faas_function_purge(NULL, NULL));
	assert_int_equal(FAAS_EINVAL, faas_function_cancel_all(NULL));
}

/* ---- Forgetting -------------------------------------------------------------------------------------------------- */

static void one_or_all_can_be_forgotten(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter, *running;

	add(bed, TRIAL(.user = &trial));
	bed_register(bed, "g", FAAS_FUNCTION(.handler = nothing_handler));
	fail_some(bed, 1, 4);
	letter = oldest();
	assert_int_equal(1, faas_function_purge(function, letter));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_purge(function, letter));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(letter));
	faas_invocation_unref(letter);
	running = bed_start(bed, "g", NULL);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_purge(function, running));
	bed_run(bed);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_purge(function, running));
	faas_invocation_unref(running);
	assert_string_equal("2 3 4", letter_texts(function));
	assert_int_equal(3, faas_function_purge(function, NULL));
	assert_int_equal(0, faas_function_purge(function, NULL));
	assert_int_equal(0, bed_stats(bed, "f").dead_letters);
	assert_int_equal(4, bed_stats(bed, "f").dead_letters_added);
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_lost);
}

static void what_is_forgotten_gives_its_memory_back(void **state)
{
	struct bed *bed = *state;
	static const char large[200000];
	int64_t before;

	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 1);
	assert_int_equal(1, faas_function_purge(function, NULL));
	before = bed->memory.bytes;
	for (int i = 0; i < 20; i++)
		bed_queue(bed, "f", FAAS_EVENT(.data = large, .data_bytes = sizeof(large)));
	bed_run(bed);
	assert_true(bed->memory.bytes > before + 20 * (int64_t)sizeof(large));
	assert_int_equal(20, faas_function_purge(function, NULL));
	bed_run(bed);
	bed_run(bed);
	assert_in_range(bed->memory.bytes, 0, before + (1 << 20));
}

static void they_go_with_their_function_at_once(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter, *none = NULL;
	uint64_t position = 0;

	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 4);
	letter = oldest();
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(0, stats_of(function).dead_letters);
	assert_int_equal(4, stats_of(function).dead_letters_lost);
	assert_int_equal(4, bed_totals(bed).total.dead_letters_lost);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_dead_letter(function, &position, &none));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_redrive(function, letter));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_purge(function, letter));
	assert_int_equal(0, faas_function_purge(function, NULL));
	bed_run(bed);
	assert_int_equal(4, bed_totals(bed).total.dead_letters_lost);
	/* Whoever has one may still read it. */
	assert_string_equal("1", faas_event_data(faas_invocation_event(letter), NULL));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(letter));
	faas_invocation_unref(letter);
}

static void a_letter_outlives_the_runtime(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter;

	trial.says = "long ago";
	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 1);
	letter = oldest();
	faas_function_unref(function);
	function = NULL;
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_string_equal("long ago", faas_invocation_message(letter));
	assert_string_equal("f", faas_invocation_function(letter));
	faas_invocation_unref(letter);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(by_default_the_last_hundred_are_kept),
		TEST(as_many_are_kept_as_it_says),
		TEST(none_may_be_kept),
		TEST(they_are_bounded_in_bytes_like_the_queue),
		TEST(only_what_failed_for_good_is_kept),
		TEST(what_expired_together_stands_in_its_order),
		TEST(a_letter_nobody_had_a_handle_of_tells_how_it_failed),
		TEST(so_do_those_that_timed_out_or_expired),
		TEST(a_letter_is_the_invocation_itself),
		TEST(a_walk_goes_on_while_others_come_and_go),
		TEST(calls_without_sense_are_refused),
		TEST(one_or_all_can_be_forgotten),
		TEST(what_is_forgotten_gives_its_memory_back),
		TEST(they_go_with_their_function_at_once),
		TEST(a_letter_outlives_the_runtime),
	};

	return cmocka_run_group_tests_name("letter", tests, NULL, NULL);
}
