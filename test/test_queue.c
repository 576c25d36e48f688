/* SPDX-License-Identifier: MIT */
/* Queues: their bounds, what happens when they are full, and their order. */
#include "support.h"

static struct record record;

static void add(struct bed *bed, const char *name, const faas_function_config *config)
{
	faas_function_config own = *config;

	own.handler = record_handler;
	own.user = &record;
	bed_register(bed, name, &own);
	bed_bind(bed, name, name);
}

static int setup(void **state)
{
	record_init(&record);
	return bed_setup(state);
}

static int teardown(void **state)
{
	int result = bed_teardown(state);

	record_deinit(&record);
	return result;
}

/* Emits numbered events until one is refused, and says how many were taken. */
static int fill(struct bed *bed, const char *type, int most, int *ret_code)
{
	char text[16];

	for (int i = 0; i < most; i++) {
		snprintf(text, sizeof(text), "%d", i);
		*ret_code = bed_emit(bed, type, text);
		if (*ret_code != 1)
			return i;
	}
	return most;
}

/* Memory that one queued event with one byte of data counts for. */
static uint64_t bytes_of_one(struct bed *bed, const char *function)
{
	uint64_t before = bed_stats(bed, function).queued_bytes, after;

	assert_int_equal(1, bed_emit(bed, function, "m"));
	after = bed_stats(bed, function).queued_bytes;
	bed_run(bed);
	assert_true(after > before);
	return after - before;
}

/* ---- Bounds ------------------------------------------------------------------------------------------------------ */

static void a_full_queue_refuses_and_keeps_order(void **state)
{
	struct bed *bed = *state;
	int code = 0;

	add(bed, "f", ONCE(.queue_events = 5));
	assert_int_equal(5, fill(bed, "f", 10, &code));
	assert_int_equal(FAAS_EFULL, code);
	assert_int_equal(5, bed_stats(bed, "f").queued);
	assert_int_equal(1, bed_stats(bed, "f").rejected_full);
	assert_int_equal(2, faas_run(bed->runtime, 2));
	assert_int_equal(1, bed_emit(bed, "f", "x"));
	assert_int_equal(1, bed_emit(bed, "f", "y"));
	assert_int_equal(FAAS_EFULL, bed_emit(bed, "f", "z"));
	bed_run(bed);
	assert_string_equal("0 1 2 3 4 x y", record_texts(&record));
	assert_int_equal(7, bed_stats(bed, "f").succeeded);
	assert_int_equal(9, bed_stats(bed, "f").offered);
	assert_int_equal(0, bed_stats(bed, "f").queued_bytes);
}

static void a_queue_is_bounded_in_bytes(void **state)
{
	struct bed *bed = *state;
	int code = 0;
	uint64_t each;

	add(bed, "measure", ONCE(.queue_events = 0));
	each = bytes_of_one(bed, "measure");
	add(bed, "f", ONCE(.queue_bytes = (int64_t)(3 * each)));
	assert_int_equal(3, fill(bed, "f", 10, &code));
	assert_int_equal(FAAS_EFULL, code);
	assert_int_equal(3 * each, bed_stats(bed, "f").queued_bytes);
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(2 * each, bed_stats(bed, "f").queued_bytes);
	assert_int_equal(1, bed_emit(bed, "f", "3"));
	assert_int_equal(FAAS_EFULL, bed_emit(bed, "f", "4"));
	/* One byte less is one event less. */
	add(bed, "g", ONCE(.queue_bytes = (int64_t)(3 * each - 1)));
	assert_int_equal(2, fill(bed, "g", 10, &code));
	/* The data counts. */
	add(bed, "h", ONCE(.queue_bytes = 1000));
	assert_int_equal(FAAS_EFULL,
	                 faas_emit_event(bed->runtime, FAAS_EVENT(.type = "h", .data = &record, .data_bytes = 1000), NULL));
}

static void the_runtime_bounds_the_events_of_all_queues(void **state)
{
	struct bed bed;
	int code = 0;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 4));
	add(&bed, "f", ONCE(.queue_events = 3));
	add(&bed, "g", ONCE(.queue_events = 3));
	assert_int_equal(3, fill(&bed, "f", 10, &code));
	assert_int_equal(FAAS_EFULL, code);
	assert_int_equal(1, fill(&bed, "g", 10, &code));
	assert_int_equal(FAAS_ERUNTIMEFULL, code);
	assert_int_equal(1, bed_stats(&bed, "g").rejected_runtime_full);
	assert_int_equal(4, bed_totals(&bed).queued_events);
	assert_int_equal(4, bed_totals(&bed).total.queued);
	/* What "f" runs is room for "g". */
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(3, bed_totals(&bed).queued_events);
	assert_int_equal(1, fill(&bed, "g", 10, &code));
	bed_run(&bed);
	assert_int_equal(0, bed_totals(&bed).queued_events);
	assert_int_equal(0, bed_totals(&bed).queued_bytes);
	assert_int_equal(5, record.count);
	bed_close(&bed);
	record_deinit(&record);
}

static void the_runtime_bounds_the_bytes_of_all_queues(void **state)
{
	struct bed bed;
	int code = 0;
	uint64_t each;

	(void)state;
	record_init(&record);
	bed_open(&bed, NULL);
	add(&bed, "f", ONCE(.queue_events = 0));
	each = bytes_of_one(&bed, "f");
	bed_close(&bed);
	bed_open(&bed, FAAS_RUNTIME(.queue_bytes = (int64_t)(4 * each)));
	add(&bed, "f", ONCE(.queue_events = 2));
	add(&bed, "g", ONCE(.queue_events = 0));
	assert_int_equal(2, fill(&bed, "f", 10, &code));
	assert_int_equal(2, fill(&bed, "g", 10, &code));
	assert_int_equal(FAAS_ERUNTIMEFULL, code);
	assert_int_equal(4 * each, bed_totals(&bed).queued_bytes);
	assert_int_equal(4 * each, bed_totals(&bed).total.queued_bytes);
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(1, fill(&bed, "g", 10, &code));
	bed_run(&bed);
	assert_int_equal(0, bed_totals(&bed).queued_bytes);
	bed_close(&bed);
	record_deinit(&record);
}

static void unlimited_is_unlimited(void **state)
{
	struct bed bed;
	int code = 0;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = FAAS_UNLIMITED, .queue_bytes = FAAS_UNLIMITED));
	add(&bed, "f", ONCE(.queue_bytes = FAAS_UNLIMITED, .queue_events = FAAS_MAX_QUEUE_EVENTS));
	assert_int_equal(50000, fill(&bed, "f", 50000, &code));
	assert_int_equal(50000, bed_stats(&bed, "f").queued);
	assert_int_equal(50000, bed_totals(&bed).queued_events);
	bed_run(&bed);
	assert_int_equal(50000, record.count);
	bed_close(&bed);
	record_deinit(&record);
}

static void an_emptied_queue_gives_its_memory_back(void **state)
{
	struct bed *bed = *state;
	int64_t before;
	int code = 0;

	add(bed, "f", ONCE(.queue_events = 0));
	assert_int_equal(1, bed_emit(bed, "f", "x"));
	bed_run(bed);
	before = bed->memory.bytes;
	assert_int_equal(20000, fill(bed, "f", 20000, &code));
	assert_true(bed->memory.bytes > before + 20000 * 100);
	bed_run(bed);
	/* What lay unused between two looks goes. */
	assert_int_equal(0, faas_run(bed->runtime, 1));
	assert_int_equal(0, faas_run(bed->runtime, 1));
	assert_in_range(bed->memory.bytes, 0, before + (1 << 20));
}

/* ---- Dropping the oldest ----------------------------------------------------------------------------------------- */

struct told {
	int count;
	int outcome;
	struct bed *bed;
	uint64_t dropped; /* what the stats said inside the callback */
};

static void on_settled(faas_invocation *invocation, void *user)
{
	struct told *told = user;
	faas_function *function = NULL;
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	told->count++;
	told->outcome = faas_invocation_outcome(invocation);
	if (faas_function_find(told->bed->runtime, "f", &function) == FAAS_OK)
		(void)faas_function_stats(function, &stats);
	told->dropped = stats.dropped;
	faas_function_unref(function);
}

static void a_full_queue_may_drop_its_oldest(void **state)
{
	struct bed *bed = *state;
	struct told told = {.bed = bed};
	faas_invocation *first = NULL, *second = NULL;
	int code = 0;

	add(bed, "f", ONCE(.queue_events = 3, .queue_full = FAAS_FULL_DROP_OLDEST));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, &first));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, &second));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(first, on_settled, &told));
	assert_int_equal(1, bed_emit(bed, "f", "a"));
	assert_int_equal(0, told.count);
	assert_int_equal(1, bed_emit(bed, "f", "b"));
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_EDROPPED, told.outcome);
	assert_int_equal(1, told.dropped);
	assert_int_equal(FAAS_STATUS_DROPPED, faas_invocation_status(first));
	assert_int_equal(FAAS_EDROPPED, faas_invocation_outcome(first));
	assert_string_equal(faas_strerror(FAAS_EDROPPED), faas_invocation_message(first));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(second));
	assert_int_equal(10, fill(bed, "f", 10, &code));
	assert_int_equal(FAAS_EDROPPED, faas_invocation_outcome(second));
	assert_int_equal(3, bed_totals(bed).queued_events);
	bed_run(bed);
	assert_int_equal(0, bed_totals(bed).queued_events);
	assert_int_equal(0, bed_totals(bed).queued_bytes);
	assert_string_equal("7 8 9", record_texts(&record));
	assert_int_equal(11, bed_stats(bed, "f").dropped);
	assert_int_equal(14, bed_stats(bed, "f").accepted);
	assert_int_equal(0, bed_stats(bed, "f").rejected);
	faas_invocation_unref(first);
	faas_invocation_unref(second);
}

static void a_large_event_drops_as_many_as_it_takes(void **state)
{
	static const char large[2000];
	struct bed *bed = *state;
	uint64_t each;
	int code = 0;

	add(bed, "measure", ONCE(.queue_events = 0));
	each = bytes_of_one(bed, "measure");
	record.count = 0;
	add(bed, "f", ONCE(.queue_bytes = (int64_t)(100 * each), .queue_full = FAAS_FULL_DROP_OLDEST));
	assert_int_equal(100, fill(bed, "f", 100, &code));
	assert_int_equal(0, bed_stats(bed, "f").dropped);
	assert_int_equal(1,
	                 faas_emit_event(bed->runtime, FAAS_EVENT(.type = "f", .data = large, .data_bytes = 2000), NULL));
	assert_in_range(bed_stats(bed, "f").dropped, 2000 / each, 2000 / each + 3);
	assert_in_range(bed_stats(bed, "f").queued_bytes, 2000, 100 * each);
	/* What never fits drops nothing. */
	code = (int)bed_stats(bed, "f").dropped;
	assert_int_equal(
		FAAS_EFULL,
		faas_emit_event(bed->runtime, FAAS_EVENT(.type = "f", .data = &record, .data_bytes = 100 * each), NULL));
	assert_int_equal(code, bed_stats(bed, "f").dropped);
	bed_run(bed);
	assert_int_equal(101 - code, record.count);
	assert_string_equal("99", record.calls[record.count - 2].data);
}

/* It has made room in its own queue by then, once. */
static void what_the_runtime_has_no_room_for_drops_one_at_most(void **state)
{
	static const char large[4000];
	struct bed bed;
	int code = 0;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_bytes = 8000));
	add(&bed, "f", ONCE(.queue_events = 3, .queue_full = FAAS_FULL_DROP_OLDEST));
	add(&bed, "g", ONCE(.queue_events = 0));
	assert_int_equal(3, fill(&bed, "f", 3, &code));
	(void)fill(&bed, "g", 1000, &code);
	assert_int_equal(FAAS_ERUNTIMEFULL, code);
	assert_int_equal(FAAS_ERUNTIMEFULL,
	                 faas_emit_event(bed.runtime, FAAS_EVENT(.type = "f", .data = large, .data_bytes = 4000), NULL));
	assert_int_equal(1, bed_stats(&bed, "f").dropped);
	assert_int_equal(2, bed_stats(&bed, "f").queued);
	assert_int_equal(1, bed_stats(&bed, "f").rejected_runtime_full);
	bed_run(&bed);
	bed_close(&bed);
	record_deinit(&record);
}

/* ---- Cancelling -------------------------------------------------------------------------------------------------- */

static void a_cancelled_event_frees_room(void **state)
{
	struct bed bed;
	faas_invocation *invocations[3];

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 4));
	add(&bed, "f", ONCE(.queue_events = 3));
	add(&bed, "g", ONCE(.queue_events = 0));
	for (int i = 0; i < 3; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, &invocations[i]));
	assert_int_equal(1, bed_emit(&bed, "g", "x"));
	assert_int_equal(FAAS_EFULL, bed_emit(&bed, "f", "x"));
	assert_int_equal(FAAS_ERUNTIMEFULL, bed_emit(&bed, "g", "x"));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocations[1]));
	assert_int_equal(3, bed_totals(&bed).queued_events);
	assert_int_equal(2, bed_stats(&bed, "f").queued);
	assert_int_equal(1, bed_emit(&bed, "f", "y"));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocations[0]));
	assert_int_equal(1, bed_emit(&bed, "g", "z"));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocations[2]));
	bed_run(&bed);
	assert_int_equal(3, record.count);
	assert_int_equal(3, bed_stats(&bed, "f").cancelled);
	assert_int_equal(0, bed_totals(&bed).queued_events);
	for (int i = 0; i < 3; i++)
		faas_invocation_unref(invocations[i]);
	bed_close(&bed);
	record_deinit(&record);
}

static void cancelling_keeps_the_order_of_the_others(void **state)
{
	enum { COUNT = 200 };
	struct bed *bed = *state;
	faas_invocation *invocations[COUNT];
	char expected[COUNT * 4 + 1] = "", number[16];
	uint64_t seed = random_seed("queue");

	add(bed, "f", ONCE(.queue_events = 0));
	for (int i = 0; i < COUNT; i++) {
		snprintf(number, sizeof(number), "%d", i);
		assert_int_equal(FAAS_OK,
		                 faas_invoke_async(bed->runtime, "f", FAAS_EVENT(.data = number, .data_bytes = strlen(number)),
		                                   &invocations[i]));
		if (random_below(&seed, 3) == 0) {
			int victim = (int)random_below(&seed, (uint64_t)i + 1);

			(void)faas_invocation_cancel(invocations[victim]);
		}
	}
	for (int i = 0; i < COUNT; i++) {
		snprintf(number, sizeof(number), expected[0] != 0 ? " %d" : "%d", i);
		if (faas_invocation_status(invocations[i]) == FAAS_STATUS_QUEUED)
			strcat(expected, number);
	}
	bed_run(bed);
	assert_string_equal(expected, record_texts(&record));
	for (int i = 0; i < COUNT; i++)
		faas_invocation_unref(invocations[i]);
}

static void unregistering_frees_the_runtimes_room(void **state)
{
	struct bed bed;
	int code = 0;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 3));
	add(&bed, "f", ONCE(.queue_events = 0));
	add(&bed, "g", ONCE(.queue_events = 0));
	assert_int_equal(3, fill(&bed, "f", 10, &code));
	assert_int_equal(FAAS_ERUNTIMEFULL, bed_emit(&bed, "g", "x"));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "f"));
	assert_int_equal(0, bed_totals(&bed).queued_events);
	assert_int_equal(3, fill(&bed, "g", 10, &code));
	bed_run(&bed);
	assert_string_equal("0 1 2", record_texts(&record));
	assert_int_equal(3, bed_totals(&bed).total.cancelled);
	bed_close(&bed);
	record_deinit(&record);
}

/* ---- Waiting for room in manual mode ----------------------------------------------------------------------------- */

static void manual_mode_never_waits_for_room(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = NULL;

	add(bed, "f", ONCE(.queue_events = 1));
	assert_int_equal(1, bed_emit(bed, "f", "x"));
	assert_int_equal(FAAS_EFULL, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER), NULL));
	assert_int_equal(
		FAAS_EFULL,
		faas_emit_event(bed->runtime, FAAS_EVENT(.type = "f", .wait_ms = FAAS_NEVER, .flags = FAAS_EMIT_ALL), NULL));
	assert_int_equal(FAAS_EFULL, faas_invoke_async(bed->runtime, "f", FAAS_EVENT(.wait_ms = FAAS_NEVER), &invocation));
	assert_null(invocation);
	assert_int_equal(3, bed_stats(bed, "f").rejected_full);
	assert_int_equal(0, faas_clock_now(bed->clock));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_full_queue_refuses_and_keeps_order),
		TEST(a_queue_is_bounded_in_bytes),
		cmocka_unit_test(the_runtime_bounds_the_events_of_all_queues),
		cmocka_unit_test(the_runtime_bounds_the_bytes_of_all_queues),
		cmocka_unit_test(unlimited_is_unlimited),
		TEST(an_emptied_queue_gives_its_memory_back),
		TEST(a_full_queue_may_drop_its_oldest),
		TEST(a_large_event_drops_as_many_as_it_takes),
		cmocka_unit_test(what_the_runtime_has_no_room_for_drops_one_at_most),
		cmocka_unit_test(a_cancelled_event_frees_room),
		TEST(cancelling_keeps_the_order_of_the_others),
		cmocka_unit_test(unregistering_frees_the_runtimes_room),
		TEST(manual_mode_never_waits_for_room),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
