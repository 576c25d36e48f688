/* SPDX-License-Identifier: MIT */
/* Dead letters that are tried again. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

static struct trial trial;
static faas_function *function; /* "f", counted by the test */

/* A bed in *state, and a trial that always fails. */
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

static void add(struct bed *bed, const faas_function_config *config)
{
	bed_register(bed, "f", config);
	function = bed_find(bed, "f");
}

/* Lets events fail for good that have these numbers as texts, and forgets that they were tried. */
static void fail_some(struct bed *bed, int first, int last)
{
	char text[16];

	trial.is_permanent = 1;
	for (int i = first; i <= last; i++) {
		snprintf(text, sizeof(text), "%d", i);
		bed_queue(bed, "f", TEXT(text));
		bed_run(bed);
	}
	trial.is_permanent = 0;
	trial.count = 0;
}

/* Letter number n from 0; the caller's. */
static faas_invocation *letter_number(int n)
{
	faas_invocation *letter = NULL;
	uint64_t position = 0;

	for (int i = 0; i <= n; i++) {
		faas_invocation_unref(letter);
		assert_int_equal(FAAS_OK, faas_function_dead_letter(function, &position, &letter));
	}
	return letter;
}

/* ---- What is accepted -------------------------------------------------------------------------------------------- */

static void a_letter_is_tried_again_as_if_new(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter;
	struct faas_function_stats before, after;

	add(bed, TRIAL(.user = &trial, .max_age_ms = 1000));
	fail_some(bed, 1, 3);
	letter = letter_number(1);
	bed_advance_ms(bed, 5000);
	before = bed_stats(bed, "f");
	assert_int_equal(1, faas_function_redrive(function, letter));
	after = bed_stats(bed, "f");
	assert_int_equal(before.offered + 1, after.offered);
	assert_int_equal(before.accepted + 1, after.accepted);
	assert_int_equal(1, after.queued);
	assert_int_equal(2, after.dead_letters);
	assert_int_equal(1, after.dead_letters_redriven);
	assert_int_equal(before.dead_letters_added, after.dead_letters_added);
	assert_int_equal(0, after.dead_letters_lost);
	assert_int_equal(1, bed_totals(bed).queued_events);
	assert_string_equal("1 3", letter_texts(function));
	/* It is the letter no more, and tells of its own end. */
	assert_int_equal(FAAS_ENOTFOUND, faas_function_redrive(function, letter));
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(letter));
	trial.fails = 1;
	bed_pass_ms(bed, 500);
	assert_string_equal("21@5000 22@5100", trial_story(&trial));
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
	assert_int_equal(1, timing_of(letter).attempts);
	faas_invocation_unref(letter);
}

static void all_are_tried_again_oldest_first(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial));
	assert_int_equal(0, faas_function_redrive(function, NULL));
	fail_some(bed, 1, 5);
	trial.fails = 0;
	assert_int_equal(5, faas_function_redrive(function, NULL));
	assert_string_equal("", letter_texts(function));
	bed_run(bed);
	assert_string_equal("11@0 21@0 31@0 41@0 51@0", trial_story(&trial));
	assert_int_equal(5, bed_stats(bed, "f").dead_letters_redriven);
	assert_int_equal(0, faas_function_redrive(function, NULL));
}

static void what_fails_again_is_a_letter_again_behind_the_others(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 3);
	for (int round = 1; round <= 3; round++) {
		faas_invocation *letter = letter_number(0);

		trial.is_permanent = 1;
		trial.says = "still";
		assert_int_equal(1, faas_function_redrive(function, letter));
		bed_run(bed);
		faas_invocation_unref(letter);
	}
	assert_string_equal("1 2 3", letter_texts(function));
	assert_int_equal(6, bed_stats(bed, "f").dead_letters_added);
	assert_int_equal(3, bed_stats(bed, "f").dead_letters_redriven);
	for (int round = 0; round < 4; round++) {
		assert_int_equal(3, faas_function_redrive(function, NULL));
		bed_run(bed);
		assert_string_equal("1 2 3", letter_texts(function));
	}
	assert_int_equal(3, faas_function_purge(function, NULL));
}

static int same_event(faas_context *context, const faas_event *event)
{
	char buffer[FAAS_ID_SIZE];
	const char *id = faas_event_id(event, buffer);
	char *seen = faas_context_user(context);

	if (seen[0] == 0)
		snprintf(seen, FAAS_ID_SIZE, "%s", id);
	else if (strcmp(seen, id) != 0)
		return 2;
	if (strcmp(faas_event_type(event), "t.x") != 0 || strcmp(faas_event_key(event), "k") != 0)
		return 3;
	return faas_event_attribute_count(event) == 1 ? 1 : 4;
}

static void the_event_stays_what_it_was(void **state)
{
	static char seen[FAAS_ID_SIZE];
	const faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = "a", .data = "b");
	struct bed *bed = *state;
	faas_invocation *letter;

	seen[0] = 0;
	add(bed, FAAS_FUNCTION(.handler = same_event, .user = seen, .attempts = 1));
	bed_bind(bed, "t.*", "f");
	assert_int_equal(
		1,
		faas_emit_event(bed->runtime,
	                    FAAS_EVENT(.type = "t.x", .key = "k", .attributes = &attribute, .attribute_count = 1), NULL));
	bed_run(bed);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(1, faas_function_redrive(function, NULL));
		bed_run(bed);
	}
	letter = letter_number(0);
	assert_int_equal(1, faas_invocation_handler_result(letter));
	assert_string_equal(seen, faas_event_id(faas_invocation_event(letter), (char[FAAS_ID_SIZE]){0}));
	faas_invocation_unref(letter);
}

static void a_letter_whose_destination_refused_it_may_be_passed_on_later(void **state)
{
	struct bed *bed = *state;
	struct trial taker = {.clock = bed->clock};

	add(bed, TRIAL(.user = &trial, .on_failure = "g"));
	fail_some(bed, 1, 1);
	assert_string_equal("1", letter_texts(function));
	bed_register(bed, "g", TRIAL(.user = &taker));
	assert_int_equal(1, faas_function_redrive(function, NULL));
	trial.is_permanent = 1;
	bed_run(bed);
	assert_string_equal("", letter_texts(function));
	assert_string_equal("11@0", trial_story(&taker));
}

/* The letter of a destination holds the record; what is redriven is a record, too. */
static const char *recorded;

static int record_or_fail(faas_context *context, const faas_event *event)
{
	faas_invocation *record = faas_context_record(context);

	(void)event;
	recorded = record ? faas_invocation_function(record) : NULL;
	return recorded && strcmp(recorded, "f") == 0 ? 1 : 2;
}

static void the_letter_of_a_destination_stays_a_record(void **state)
{
	struct bed *bed = *state;

	add(bed, TRIAL(.user = &trial, .on_failure = "g"));
	bed_register(bed, "g", FAAS_FUNCTION(.handler = record_or_fail, .attempts = 1));
	fail_some(bed, 1, 1);
	faas_function_unref(function);
	function = bed_find(bed, "g");
	for (int i = 0; i < 3; i++) {
		faas_invocation *letter = letter_number(0);

		recorded = NULL;
		assert_int_equal(1, faas_function_redrive(function, letter));
		bed_run(bed);
		assert_non_null(recorded);
		assert_string_equal("f", recorded);
		faas_invocation_unref(letter);
	}
	assert_int_equal(4, bed_stats(bed, "g").failed);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void what_is_refused_stays_where_it_was(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter;

	add(bed, TRIAL(.user = &trial, .queue_events = 2));
	fail_some(bed, 1, 4);
	bed_queue(bed, "f", TEXT("x"));
	bed_queue(bed, "f", TEXT("y"));
	letter = letter_number(1);
	assert_int_equal(FAAS_EFULL, faas_function_redrive(function, letter));
	assert_int_equal(FAAS_EFULL, faas_function_redrive(function, NULL));
	assert_string_equal("1 2 3 4", letter_texts(function));
	assert_int_equal(2, bed_stats(bed, "f").rejected_full);
	assert_int_equal(0, bed_stats(bed, "f").dead_letters_redriven);
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(letter));
	trial.fails = 0;
	bed_run(bed);
	/* Until one is refused. */
	assert_int_equal(2, faas_function_redrive(function, NULL));
	assert_string_equal("3 4", letter_texts(function));
	assert_int_equal(3, bed_stats(bed, "f").rejected_full);
	bed_run(bed);
	assert_string_equal("x1@0 y1@0 11@0 21@0", trial_story(&trial));
	faas_invocation_unref(letter);
}

static void a_full_runtime_refuses_too(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 1));
	trial = (struct trial){.fails = ALWAYS, .clock = bed.clock};
	add(&bed, TRIAL(.user = &trial));
	bed_register(&bed, "g", FAAS_FUNCTION(.handler = nothing_handler));
	fail_some(&bed, 1, 2);
	bed_queue(&bed, "g", NULL);
	assert_int_equal(FAAS_ERUNTIMEFULL, faas_function_redrive(function, NULL));
	assert_string_equal("1 2", letter_texts(function));
	assert_int_equal(1, bed_stats(&bed, "f").rejected_runtime_full);
	bed_run(&bed);
	assert_int_equal(1, faas_function_redrive(function, NULL));
	assert_string_equal("2", letter_texts(function));
	trial.fails = 0;
	bed_run(&bed);
	faas_function_unref(function);
	function = NULL;
	bed_close(&bed);
}

static void a_drained_runtime_refuses(void **state)
{
	struct bed *bed = *state;
	faas_invocation *letter;

	add(bed, TRIAL(.user = &trial));
	fail_some(bed, 1, 2);
	letter = letter_number(0);
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_ECLOSED, faas_function_redrive(function, letter));
	assert_int_equal(FAAS_ECLOSED, faas_function_redrive(function, NULL));
	assert_string_equal("1 2", letter_texts(function));
	assert_int_equal(2, bed_stats(bed, "f").dead_letters);
	assert_int_equal(1, faas_function_purge(function, letter));
	faas_invocation_unref(letter);
}

static void what_is_no_letter_of_the_function_is_not_found(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation, *other = NULL;
	faas_function *g;
	uint64_t position = 0;

	add(bed, TRIAL(.user = &trial, .attempts = 2));
	bed_register(bed, "g", TRIAL(.user = &trial, .attempts = 1));
	g = bed_find(bed, "g");
	bed_queue(bed, "g", NULL);
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_redrive(function, invocation));
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_redrive(function, invocation));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_purge(function, invocation));
	assert_int_equal(FAAS_OK, faas_function_dead_letter(g, &position, &other));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_redrive(function, other));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_purge(function, other));
	bed_pass_ms(bed, 500);
	assert_int_equal(1, faas_function_redrive(function, invocation));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_redrive(function, invocation));
	assert_int_equal(1, bed_stats(bed, "g").dead_letters);
	bed_pass_ms(bed, 500);
	faas_invocation_unref(invocation);
	faas_invocation_unref(other);
	faas_function_unref(g);
}

static void a_queue_that_drops_its_oldest_drops_it_for_a_letter(void **state)
{
	struct bed *bed = *state;
	faas_invocation *queued;

	add(bed, TRIAL(.user = &trial, .queue_events = 1, .queue_full = FAAS_FULL_DROP_OLDEST));
	fail_some(bed, 1, 2);
	queued = bed_start(bed, "f", TEXT("x"));
	trial.fails = 0;
	assert_int_equal(2, faas_function_redrive(function, NULL));
	assert_int_equal(FAAS_EDROPPED, faas_invocation_outcome(queued));
	bed_run(bed);
	assert_string_equal("21@0", trial_story(&trial));
	assert_int_equal(2, bed_stats(bed, "f").dropped);
	faas_invocation_unref(queued);
}

/* ---- From inside ------------------------------------------------------------------------------------------------- */

static int redriven_inside, purged_inside;

static void redrive_inside(faas_context *context, void *arg)
{
	(void)context;
	(void)arg;
	redriven_inside = faas_function_redrive(function, NULL);
	purged_inside = faas_function_purge(function, NULL);
}

static void redrive_in_callback(faas_invocation *invocation, void *user)
{
	(void)invocation;
	(void)user;
	redriven_inside = faas_function_redrive(function, NULL);
}

static void handlers_and_callbacks_may_redrive_and_purge(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	add(bed, TRIAL(.user = &trial, .queue_events = 2));
	fail_some(bed, 1, 3);
	trial.fails = 0;
	trial.does = redrive_inside;
	bed_queue(bed, "f", TEXT("x"));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(2, redriven_inside);
	assert_int_equal(1, purged_inside);
	trial.does = NULL;
	bed_run(bed);
	assert_string_equal("x1@0 11@0 21@0", trial_story(&trial));
	trial.fails = ALWAYS;
	fail_some(bed, 4, 4);
	trial.fails = 0;
	invocation = bed_start(bed, "f", TEXT("y"));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, redrive_in_callback, NULL));
	bed_run(bed);
	assert_int_equal(1, redriven_inside);
	assert_string_equal("y1@0 41@0", trial_story(&trial));
	faas_invocation_unref(invocation);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_letter_is_tried_again_as_if_new),
		TEST(all_are_tried_again_oldest_first),
		TEST(what_fails_again_is_a_letter_again_behind_the_others),
		TEST(the_event_stays_what_it_was),
		TEST(a_letter_whose_destination_refused_it_may_be_passed_on_later),
		TEST(the_letter_of_a_destination_stays_a_record),
		TEST(what_is_refused_stays_where_it_was),
		cmocka_unit_test(a_full_runtime_refuses_too),
		TEST(a_drained_runtime_refuses),
		TEST(what_is_no_letter_of_the_function_is_not_found),
		TEST(a_queue_that_drops_its_oldest_drops_it_for_a_letter),
		TEST(handlers_and_callbacks_may_redrive_and_purge),
	};

	return cmocka_run_group_tests_name("redrive", tests, NULL, NULL);
}
