/* SPDX-License-Identifier: MIT */
/*
 * Events that several functions get, again and again: a lane remembers what a type led to, the event is written once and
 * read by all, and a function that needs no more than the event gets it by the shortest way. None of this may show.
 */
#include "support.h"

#define TIMES 3
#define MANY 6 /* more than a lane remembers beside a type */

static struct record record;

static int setup(void **state)
{
	record_init(&record);
	return bed_setup(state);
}

static int teardown(void **state)
{
	int failed = bed_teardown(state);

	record_deinit(&record);
	return failed;
}

#define RECORDS ONCE(.handler = record_handler, .user = &record)

/* A function for each letter, bound to the type. */
static void register_each(struct bed *bed, const char *letters, const char *type, const faas_function_config *config)
{
	for (; *letters; letters++) {
		char name[] = {*letters, 0};

		bed_register(bed, name, config);
		bed_bind(bed, type, name);
	}
}

/* Emits, runs, and says which functions ran, in order of registration. */
static const char *reached(struct bed *bed, const char *type, int taken)
{
	int before = record.count;
	static char letters[64];
	size_t count = 0;

	assert_int_equal(taken, bed_emit(bed, type, "x"));
	bed_run(bed);
	for (char c = 'a'; c <= 'z'; c++)
		for (int i = before; i < record.count && i < RECORD_MAX; i++)
			if (record.calls[i].function[0] == c && count + 1 < sizeof(letters))
				letters[count++] = c;
	letters[count] = 0;
	return letters;
}

/* ---- Who gets it ------------------------------------------------------------------------------------------------- */

static void each_type_reaches_its_own_functions_each_time(void **state)
{
	struct bed *bed = *state;

	register_each(bed, "abcdef", "t", RECORDS);
	register_each(bed, "ghijk", "u", RECORDS);
	register_each(bed, "lm", "v", RECORDS);
	bed_register(bed, "n", RECORDS);
	bed_bind(bed, "u", "a");
	bed_bind(bed, "*", "n");
	for (int i = 0; i < TIMES; i++) {
		assert_string_equal("abcdefn", reached(bed, "t", 7));
		assert_string_equal("abcdefn", reached(bed, "t", 7));
		assert_string_equal("lmn", reached(bed, "v", 3));
		assert_string_equal("abcdefn", reached(bed, "t", 7));
		assert_string_equal("aghijkn", reached(bed, "u", 7));
		assert_string_equal("n", reached(bed, "w", 1));
		assert_string_equal("aghijkn", reached(bed, "u", 7));
	}
}

static void what_is_bound_and_unbound_shows_at_once(void **state)
{
	struct bed *bed = *state;
	uint64_t id;

	register_each(bed, "abcdef", "t", RECORDS);
	bed_register(bed, "g", RECORDS);
	for (int i = 0; i < TIMES; i++) {
		assert_string_equal("abcdef", reached(bed, "t", 6));
		id = bed_bind(bed, "t", "g");
		assert_string_equal("abcdefg", reached(bed, "t", 7));
		assert_string_equal("abcdefg", reached(bed, "t", 7));
		assert_int_equal(FAAS_OK, faas_unbind(bed->runtime, id));
		assert_string_equal("abcdef", reached(bed, "t", 6));
	}
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "c"));
	assert_string_equal("abdef", reached(bed, "t", 5));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "a"));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "b"));
	assert_string_equal("def", reached(bed, "t", 3));
}

/* A filter asks each event, and collects where a lane remembers what it has collected. */
static void filters_are_asked_between_what_is_remembered(void **state)
{
	struct bed *bed = *state;

	register_each(bed, "abcdef", "t", RECORDS);
	register_each(bed, "ghijk", "u", RECORDS);
	assert_int_equal(FAAS_OK,
	                 faas_bind(bed->runtime, FAAS_BINDING(.pattern = "u", .function = "a", .filter = "type = 'u'"), NULL));
	assert_int_equal(FAAS_OK,
	                 faas_bind(bed->runtime, FAAS_BINDING(.pattern = "u", .function = "b", .filter = "type = 't'"), NULL));
	for (int i = 0; i < TIMES; i++) {
		assert_string_equal("abcdef", reached(bed, "t", 6));
		assert_string_equal("aghijk", reached(bed, "u", 6));
		assert_string_equal("aghijk", reached(bed, "u", 6));
	}
}

/* ---- Functions that need more than the event, or have no room ---------------------------------------------------- */

static void each_function_gets_it_as_it_needs_it(void **state)
{
	struct bed *bed = *state;

	register_each(bed, "a", "t", RECORDS);
	register_each(bed, "b", "t", ONCE(.handler = record_handler, .user = &record, .order = FAAS_ORDER_BY_KEY));
	bed_register(bed, "z", RECORDS);
	register_each(bed, "c", "t", ONCE(.handler = record_handler, .user = &record, .on_success = "z"));
	register_each(bed, "d", "t", ONCE(.handler = record_handler, .user = &record, .queue_events = 1));
	register_each(bed, "e", "t",
	              ONCE(.handler = record_handler, .user = &record, .queue_events = 1, .queue_full = FAAS_FULL_DROP_OLDEST));
	register_each(bed, "f", "t", RECORDS);
	for (int i = 1; i <= TIMES; i++) {
		assert_int_equal(6, bed_emit(bed, "t", "first"));
		/* Full; and dropped. */
		assert_string_equal("aabbccdeffzz", reached(bed, "t", 5));
		assert_int_equal(i, bed_stats(bed, "d").rejected_full);
		assert_int_equal(i, bed_stats(bed, "e").dropped);
		assert_int_equal(2 * i, bed_stats(bed, "a").succeeded);
		assert_int_equal(2 * i, bed_stats(bed, "b").succeeded);
		assert_int_equal(2 * i, bed_stats(bed, "c").records);
		assert_int_equal(i, bed_stats(bed, "e").succeeded);
		assert_int_equal(0, bed_totals(bed).queued_events);
		assert_int_equal(0, bed_totals(bed).queued_bytes);
	}
}

static void what_the_runtime_has_no_room_for_is_refused_function_by_function(void **state)
{
	struct bed bed;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 4));
	register_each(&bed, "abcdef", "t", RECORDS);
	for (int i = 1; i <= TIMES; i++) {
		assert_string_equal("abcd", reached(&bed, "t", 4));
		assert_int_equal(i, bed_stats(&bed, "e").rejected_runtime_full);
		assert_int_equal(i, bed_stats(&bed, "f").rejected_runtime_full);
		assert_int_equal(0, bed_totals(&bed).queued_events);
		assert_int_equal(0, bed_totals(&bed).queued_bytes);
	}
	bed_close(&bed);
	record_deinit(&record);
}

/* What each counts against a queue's bound in bytes is the same, whichever way it came. */
static void each_way_counts_the_same_bytes(void **state)
{
	struct bed *bed = *state;
	uint64_t bytes;

	register_each(bed, "abcdef", "t", ONCE(.handler = nothing_handler));
	assert_int_equal(MANY, bed_emit(bed, "t", "x"));
	bytes = bed_stats(bed, "a").queued_bytes;
	assert_true(bytes > 0);
	for (int i = 1; i <= TIMES; i++) {
		bed_run(bed);
		assert_int_equal(0, bed_stats(bed, "a").queued_bytes);
		assert_int_equal(MANY, bed_emit(bed, "t", "x"));
		assert_int_equal(bytes, bed_stats(bed, "a").queued_bytes);
		assert_int_equal(MANY * bytes, bed_totals(bed).queued_bytes);
	}
	bed_run(bed);
}

/* ---- What they read ---------------------------------------------------------------------------------------------- */

static char bytes[100000];

struct reader {
	uint64_t count;
	char id[FAAS_ID_SIZE]; /* of the first that reads it */
	int mistakes, runs, fails;
};

static int read_event(faas_context *context, const faas_event *event)
{
	struct reader *reader = faas_context_user(context);
	uint64_t count;
	const char *data = faas_event_data(event, &count);
	char buffer[FAAS_ID_SIZE];
	const char *id = faas_event_id(event, buffer);

	reader->runs++;
	if (!reader->id[0])
		snprintf(reader->id, sizeof(reader->id), "%s", id);
	reader->mistakes += count != reader->count || memcmp(data, bytes, count) != 0 || data[count] != 0;
	reader->mistakes += strcmp(id, reader->id) != 0 || strcmp(faas_event_subject(event), "s") != 0;
	return reader->fails-- > 0;
}

static void events_of_every_size_are_read_whole_by_all(void **state)
{
	static const uint64_t sizes[] = {0, 1, 63, 64, 65, 1000, 1900, 1990, 2048, 10000, sizeof(bytes)};
	struct bed *bed = *state;
	struct reader reader = {0};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256);
	register_each(bed, "abcdef", "t", ONCE(.handler = read_event, .user = &reader));
	for (size_t i = 0; i < TIMES * COUNT_OF(sizes); i++) {
		reader = (struct reader){.count = sizes[i % COUNT_OF(sizes)]};
		assert_int_equal(MANY, faas_emit_event(bed->runtime,
		                                       FAAS_EVENT(.type = "t", .subject = "s", .data = bytes,
		                                                  .data_bytes = reader.count),
		                                       NULL));
		bed_run(bed);
		assert_int_equal(MANY, reader.runs);
		assert_int_equal(0, reader.mistakes);
	}
}

/* Some are done with it while others try again. */
static void one_that_is_tried_again_reads_the_same(void **state)
{
	struct bed *bed = *state;
	struct reader reader;

	register_each(bed, "abcdef", "t",
	              FAAS_FUNCTION(.handler = read_event, .user = &reader, .attempts = 3, .backoff_ms = 10,
	                            .jitter_percent = FAAS_NONE));
	for (int i = 1; i <= TIMES; i++) {
		reader = (struct reader){.count = 100, .fails = 3};
		assert_int_equal(MANY, faas_emit_event(bed->runtime,
		                                       FAAS_EVENT(.type = "t", .subject = "s", .data = bytes, .data_bytes = 100),
		                                       NULL));
		bed_run(bed);
		assert_int_equal(MANY, reader.runs);
		bed_advance_ms(bed, 10);
		bed_run(bed);
		assert_int_equal(MANY + 3, reader.runs);
		assert_int_equal(0, reader.mistakes);
		assert_int_equal(i * MANY, bed_totals(bed).total.succeeded);
		assert_int_equal(i * 3, bed_totals(bed).total.retries);
	}
}

/* Nobody waits for them, but the emitter said until when they may begin. */
static void some_come_too_late(void **state)
{
	struct bed *bed = *state;

	register_each(bed, "abcdef", "t", RECORDS);
	for (int i = 1; i <= TIMES; i++) {
		assert_int_equal(MANY, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .timeout_ms = 10), NULL));
		assert_int_equal(MANY, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), NULL));
		bed_advance_ms(bed, 10);
		bed_run(bed);
		assert_int_equal(i * MANY, record.count);
		assert_int_equal(i * MANY, bed_totals(bed).total.expired);
	}
}

/* Those who asked for the fate of theirs, and those who did not, share a type. */
static void some_emits_want_an_emission_and_others_do_not(void **state)
{
	struct bed *bed = *state;
	faas_emission *emissions[TIMES];

	register_each(bed, "abcdef", "t", RECORDS);
	for (int i = 0; i < TIMES; i++) {
		assert_int_equal(MANY, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emissions[i]));
		assert_int_equal(MANY, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), NULL));
		assert_int_equal(MANY, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .timeout_ms = 1000), NULL));
		assert_int_equal(MANY, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .flags = FAAS_EMIT_ALL), NULL));
	}
	bed_run(bed);
	for (int i = 0; i < TIMES; i++) {
		assert_int_equal(MANY, faas_emission_count(emissions[i]));
		assert_int_equal(FAAS_OK, faas_emission_wait(emissions[i], 0));
		faas_emission_unref(emissions[i]);
	}
	assert_int_equal(TIMES * 4 * MANY, record.count);
	assert_int_equal(TIMES * 4 * MANY, bed_totals(bed).total.succeeded);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_type_reaches_its_own_functions_each_time),
		TEST(what_is_bound_and_unbound_shows_at_once),
		TEST(filters_are_asked_between_what_is_remembered),
		TEST(each_function_gets_it_as_it_needs_it),
		cmocka_unit_test(what_the_runtime_has_no_room_for_is_refused_function_by_function),
		TEST(each_way_counts_the_same_bytes),
		TEST(events_of_every_size_are_read_whole_by_all),
		TEST(one_that_is_tried_again_reads_the_same),
		TEST(some_come_too_late),
		TEST(some_emits_want_an_emission_and_others_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
