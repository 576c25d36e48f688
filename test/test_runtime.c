/* SPDX-License-Identifier: MIT */
/* Opening runtimes: every setting's range and effect, logging, steps, several at once. Ends: test_runtime_end.c. */
#include "support.h"

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

/* Opens what must not open. */
static void check_refused(const faas_runtime_config *config, int code)
{
	static char untouched;
	faas_runtime *const before = (faas_runtime *)(void *)&untouched;
	faas_runtime *runtime = before;
	faas_runtime_config with_memory = *config;
	struct memory memory;

	memory_init(&memory);
	with_memory.allocator = &memory.config;
	assert_int_equal(code, faas_open(&with_memory, &runtime));
	assert_ptr_equal(before, runtime);
	assert_int_equal(0, memory.calls);
	memory_check_empty(&memory);
}

static void check_opens(const faas_runtime_config *config)
{
	faas_runtime_config manual = *config;
	faas_runtime *runtime = NULL;

	if (manual.threads == 0)
		manual.threads = FAAS_NONE;
	assert_int_equal(FAAS_OK, faas_open(&manual, &runtime));
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
}

static void fields_out_of_range_are_refused(void **state)
{
	const int64_t too_long = FAAS_MAX_DURATION_MS + 1;

	(void)state;
	check_refused(FAAS_RUNTIME(.threads = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.threads = FAAS_MAX_THREADS + 1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.max_threads = -1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.max_threads = FAAS_MAX_THREADS + 1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.max_overruns = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.spin_us = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.log_level = -1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.log_level = FAAS_LOG_DEBUG + 1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.thread_idle_ms = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.thread_idle_ms = too_long), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.queue_events = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.queue_bytes = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.max_data_bytes = -1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.max_data_bytes = (int64_t)FAAS_MAX_DATA + 1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.stack_bytes = 1), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.stack_bytes = 65535), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.max_concurrency = -2), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.reserved = 1), FAAS_EINVAL);
}

static void fields_at_their_bounds_are_taken(void **state)
{
	(void)state;
	check_opens(FAAS_RUNTIME(.threads = FAAS_MAX_THREADS));
	check_opens(FAAS_RUNTIME(.threads = 2, .max_threads = 1));
	check_opens(FAAS_RUNTIME(.max_threads = FAAS_MAX_THREADS));
	check_opens(FAAS_RUNTIME(.max_overruns = FAAS_NONE));
	check_opens(FAAS_RUNTIME(.spin_us = FAAS_NONE));
	check_opens(FAAS_RUNTIME(.log_level = FAAS_LOG_ERROR));
	check_opens(FAAS_RUNTIME(.log_level = FAAS_LOG_DEBUG));
	check_opens(FAAS_RUNTIME(.thread_idle_ms = FAAS_NEVER));
	check_opens(FAAS_RUNTIME(.thread_idle_ms = FAAS_MAX_DURATION_MS));
	check_opens(FAAS_RUNTIME(.queue_events = FAAS_UNLIMITED, .queue_bytes = FAAS_UNLIMITED));
	check_opens(FAAS_RUNTIME(.queue_events = INT64_MAX, .queue_bytes = INT64_MAX));
	check_opens(FAAS_RUNTIME(.queue_events = 1, .queue_bytes = 1));
	check_opens(FAAS_RUNTIME(.max_data_bytes = FAAS_MAX_DATA));
	check_opens(FAAS_RUNTIME(.max_data_bytes = 1));
	check_opens(FAAS_RUNTIME(.stack_bytes = 65536));
	check_opens(FAAS_RUNTIME(.max_concurrency = 1));
	check_opens(FAAS_RUNTIME(.max_concurrency = INT32_MAX));
	check_opens(FAAS_RUNTIME(.max_concurrency = FAAS_UNLIMITED));
	check_opens(FAAS_RUNTIME(.seed = UINT64_MAX));
	check_opens(FAAS_RUNTIME(.thread_name = "123456789012345"));
	check_opens(FAAS_RUNTIME(.thread_name = ""));
}

static void texts_are_checked(void **state)
{
	char source[FAAS_MAX_STRING + 2];

	(void)state;
	memset(source, 's', sizeof(source));
	source[FAAS_MAX_STRING + 1] = 0;
	check_refused(FAAS_RUNTIME(.source = source), FAAS_ETOOLONG);
	check_refused(FAAS_RUNTIME(.source = "\xff"), FAAS_ETEXT);
	check_refused(FAAS_RUNTIME(.source = ""), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.thread_name = "1234567890123456"), FAAS_ETOOLONG);
	check_refused(FAAS_RUNTIME(.thread_name = "a\xc3"), FAAS_ETEXT);
	source[FAAS_MAX_STRING] = 0;
	check_opens(FAAS_RUNTIME(.source = source));
}

static void a_manual_clock_goes_without_threads(void **state)
{
	faas_clock *clock = NULL;

	(void)state;
	assert_int_equal(FAAS_OK, faas_clock_new_manual(0, &clock));
	check_refused(FAAS_RUNTIME(.clock = clock), FAAS_EINVAL);
	check_refused(FAAS_RUNTIME(.clock = clock, .threads = 1), FAAS_EINVAL);
	check_opens(FAAS_RUNTIME(.clock = clock, .threads = FAAS_NONE));
	faas_clock_unref(clock);
}

static void a_config_of_another_size_follows_the_rules(void **state)
{
	struct {
		faas_runtime_config config;
		uint64_t extra;
	} larger = {.config = *FAAS_RUNTIME(.threads = FAAS_NONE)};
	faas_runtime *runtime = NULL;

	(void)state;
	larger.config.struct_size = sizeof(larger);
	larger.extra = 1;
	assert_int_equal(FAAS_EINVAL, faas_open(&larger.config, &runtime));
	assert_null(runtime);
	larger.extra = 0;
	assert_int_equal(FAAS_OK, faas_open(&larger.config, &runtime));
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
	larger.config.struct_size = offsetof(faas_runtime_config, queue_events);
	larger.config.queue_events = -2; /* not there, for a caller that old */
	assert_int_equal(FAAS_OK, faas_open(&larger.config, &runtime));
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
	larger.config.struct_size = 0;
	check_refused(&larger.config, FAAS_EINVAL);
	larger.config.struct_size = sizeof(uint32_t);
	check_refused(&larger.config, FAAS_EINVAL);
	assert_int_equal(FAAS_EINVAL, faas_open(FAAS_RUNTIME(.threads = FAAS_NONE), NULL));
}

/* The defaults have threads. */
static void no_config_is_all_defaults(void **state)
{
	struct record record;
	faas_runtime *runtime = NULL;

	(void)state;
	record_init(&record);
	assert_int_equal(FAAS_OK, faas_open(NULL, &runtime));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(runtime, "f", ONCE(.handler = record_handler, .user = &record)));
	assert_int_equal(FAAS_OK, faas_invoke(runtime, "f", NULL, 0, NULL));
	assert_true(totals_of(runtime).threads_started >= 1);
	assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
	assert_int_equal(1, record.count);
	record_deinit(&record);
}

/* ---- Allocators -------------------------------------------------------------------------------------------------- */

static void allocators_are_checked(void **state)
{
	struct memory memory;
	faas_allocator_config config;
	struct {
		faas_allocator_config config;
		uint64_t extra;
	} larger;
	faas_runtime *runtime = NULL;
	faas_runtime_config open = *FAAS_RUNTIME(.threads = FAAS_NONE, .allocator = &config);

	(void)state;
	memory_init(&memory);
	config = memory.config;
	config.alloc = NULL;
	assert_int_equal(FAAS_EINVAL, faas_open(&open, &runtime));
	config = memory.config;
	config.free = NULL;
	assert_int_equal(FAAS_EINVAL, faas_open(&open, &runtime));
	config = memory.config;
	config.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_open(&open, &runtime));
	larger.config = memory.config;
	larger.config.struct_size = sizeof(larger);
	larger.extra = 1;
	open.allocator = &larger.config;
	assert_int_equal(FAAS_EINVAL, faas_open(&open, &runtime));
	assert_null(runtime);
	assert_int_equal(0, memory.calls);
	larger.extra = 0;
	assert_int_equal(FAAS_OK, faas_open(&open, &runtime));
	memset(&larger, 0, sizeof(larger)); /* it was copied */
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
	config = memory.config;
	config.struct_size = offsetof(faas_allocator_config, reserved_pointer);
	open.allocator = &config;
	assert_int_equal(FAAS_OK, faas_open(&open, &runtime));
	assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
	memory_check_empty(&memory);
}

static int alloc_handler(faas_context *context, const faas_event *event)
{
	struct memory *memory = faas_context_user(context);
	int64_t before = memory->bytes;

	(void)event;
	if (!faas_context_alloc(context, 100000) || memory->bytes < before + 100000)
		return 1;
	return faas_context_reply(context, "x", 1, NULL);
}

static void all_memory_comes_from_the_allocator_and_goes_back(void **state)
{
	struct bed *bed = *state;
	int64_t opened = bed->memory.bytes, calls = bed->memory.calls;

	assert_true(opened > 0);
	bed_register(bed, "f", ONCE(.handler = alloc_handler, .user = &bed->memory));
	assert_true(bed->memory.calls > calls);
	calls = bed->memory.calls;
	bed_bind(bed, "t", "f");
	assert_true(bed->memory.calls > calls);
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	/* The teardown asserts that nothing is left. */
}

/* ---- Logging ----------------------------------------------------------------------------------------------------- */

struct log {
	int count;
	int32_t level;
	char function[16];
	char message[64];
	faas_runtime *runtime; /* NULL: makes no calls */
	int said[6];
};

static void log_sink(void *user, int32_t level, const char *function, const char *message)
{
	struct log *log = user;

	log->count++;
	log->level = level;
	snprintf(log->function, sizeof(log->function), "%s", function ? function : "(none)");
	snprintf(log->message, sizeof(log->message), "%s", message);
	if (!log->runtime)
		return;
	log->said[0] = faas_emit_event(log->runtime, FAAS_EVENT(.type = "nobody"), NULL);
	log->said[1] = faas_run(log->runtime, 1);
	log->said[2] = faas_drain(log->runtime, 0);
	log->said[3] = faas_close(log->runtime, 0, 0);
	log->said[4] = faas_invoke(log->runtime, "f", NULL, 0, NULL);
	log->said[5] = faas_register_function(log->runtime, "new", ONCE(.handler = nothing_handler));
}

static int log_handler(faas_context *context, const faas_event *event)
{
	int failures = 0;

	(void)event;
	for (int level = FAAS_LOG_ERROR; level <= FAAS_LOG_DEBUG; level++)
		failures += faas_context_log(context, level, "a line") != FAAS_OK;
	failures += faas_context_log(context, FAAS_LOG_ERROR - 1, "x") != FAAS_EINVAL;
	failures += faas_context_log(context, FAAS_LOG_DEBUG + 1, "x") != FAAS_EINVAL;
	failures += faas_context_log(context, FAAS_LOG_ERROR, NULL) != FAAS_EINVAL;
	failures += faas_context_log(NULL, FAAS_LOG_ERROR, "x") != FAAS_EINVAL;
	return failures;
}

static void the_level_decides_what_is_logged(void **state)
{
	(void)state;
	for (int32_t level = 0; level <= FAAS_LOG_DEBUG; level++) {
		struct bed bed;
		struct log log = {.count = 0};
		int32_t most = level != 0 ? level : FAAS_LOG_WARNING;

		bed_open(&bed, FAAS_RUNTIME(.log = log_sink, .log_user = &log, .log_level = level));
		bed_register(&bed, "f", ONCE(.handler = log_handler));
		assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
		assert_int_equal(most, log.count);
		assert_int_equal(most, log.level);
		assert_string_equal("f", log.function);
		assert_string_equal("a line", log.message);
		bed_close(&bed);
	}
}

static void without_a_sink_nothing_is_logged(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.log_level = FAAS_LOG_DEBUG));
	bed_register(&bed, "f", ONCE(.handler = log_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	bed_close(&bed);
}

static void a_sink_may_emit_and_register_but_not_wait(void **state)
{
	static const int expected[6] = {0, FAAS_EDEADLK, FAAS_EDEADLK, FAAS_EDEADLK, FAAS_EDEADLK, FAAS_OK};
	struct bed bed;
	struct log log = {.count = 0};

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.log = log_sink, .log_user = &log, .log_level = FAAS_LOG_ERROR));
	log.runtime = bed.runtime;
	bed_register(&bed, "f", ONCE(.handler = log_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	assert_int_equal(1, log.count);
	assert_memory_equal(expected, log.said, sizeof(expected));
	assert_int_equal(0, bed_stats(&bed, "new").offered);
	assert_int_equal(1, bed_stats(&bed, "f").rejected_other); /* the invoke that could not wait */
	bed_close(&bed);
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static void run_does_at_most_so_many_steps(void **state)
{
	struct bed *bed = *state;
	struct record record;

	record_init(&record);
	bed_register(bed, "f", ONCE(.handler = record_handler, .user = &record));
	bed_bind(bed, "f", "f");
	assert_int_equal(0, faas_run(bed->runtime, 1));
	for (int i = 0; i < 10; i++)
		assert_int_equal(1, bed_emit(bed, "f", ""));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(1, record.count);
	assert_int_equal(4, faas_run(bed->runtime, 4));
	assert_int_equal(5, record.count);
	assert_int_equal(5, faas_run(bed->runtime, INT32_MAX));
	assert_int_equal(10, record.count);
	assert_int_equal(0, faas_run(bed->runtime, INT32_MAX));
	assert_int_equal(FAAS_EINVAL, faas_run(bed->runtime, 0));
	assert_int_equal(FAAS_EINVAL, faas_run(bed->runtime, -1));
	assert_int_equal(FAAS_EINVAL, faas_run(NULL, 1));
	record_deinit(&record);
}

static void next_due_tells_what_time_will_bring(void **state)
{
	struct bed *bed = *state;
	int64_t due = 77;

	assert_int_equal(FAAS_EINVAL, faas_next_due(NULL, &due));
	assert_int_equal(FAAS_EINVAL, faas_next_due(bed->runtime, NULL));
	assert_int_equal(77, due);
	assert_int_equal(FAAS_NEVER, bed_next_due(bed));
	bed_register(bed, "f", ONCE(.handler = nothing_handler, .keep_warm_ms = 50));
	assert_int_equal(FAAS_NEVER, bed_next_due(bed));
	bed_bind(bed, "f", "f");
	assert_int_equal(1, bed_emit(bed, "f", ""));
	assert_int_equal(0, bed_next_due(bed));
	bed_run(bed);
	assert_int_equal(50 * MS, bed_next_due(bed));
	bed_advance_ms(bed, 20);
	assert_int_equal(30 * MS, bed_next_due(bed));
	bed_advance_ms(bed, 30);
	assert_int_equal(0, bed_next_due(bed));
	assert_int_equal(1, bed_stats(bed, "f").warm);
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").retired_idle);
	assert_int_equal(FAAS_NEVER, bed_next_due(bed));
}

/* ---- Several runtimes -------------------------------------------------------------------------------------------- */

static int pass_on_handler(faas_context *context, const faas_event *event)
{
	faas_runtime *other = *(faas_runtime **)faas_context_user(context);

	/* What is true of one's own runtime is not of another: here one may even run it. */
	if (faas_context_runtime(context) == other || !faas_event_type(event))
		return 1;
	if (faas_emit_event(other, FAAS_EVENT(.type = "t", .data = "passed", .data_bytes = 6), NULL) != 1)
		return 2;
	return faas_run(other, 10) == 1 ? 0 : 3;
}

static void runtimes_share_nothing(void **state)
{
	struct bed *bed = *state, other;
	struct record record;

	record_init(&record);
	bed_open(&other, FAAS_RUNTIME(.seed = 7, .source = "other"));
	bed_register(bed, "f", ONCE(.handler = pass_on_handler, .user = &other.runtime));
	bed_bind(bed, "t", "f");
	assert_int_equal(0, bed_emit(&other, "t", ""));
	bed_register(&other, "f", ONCE(.handler = record_handler, .user = &record));
	bed_bind(&other, "t", "f");
	assert_int_equal(1, bed_emit(bed, "t", ""));
	assert_int_equal(1, faas_run(bed->runtime, 10));
	assert_string_equal("passed", record_texts(&record));
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
	assert_int_equal(1, bed_stats(&other, "f").succeeded);
	assert_int_equal(1, bed_totals(bed).emitted);
	assert_int_equal(2, bed_totals(&other).emitted);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(1, bed_totals(&other).functions);
	bed_close(&other);
	record_deinit(&record);
	assert_int_equal(0, bed_emit(bed, "t", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_out_of_range_are_refused),
		cmocka_unit_test(fields_at_their_bounds_are_taken),
		cmocka_unit_test(texts_are_checked),
		cmocka_unit_test(a_manual_clock_goes_without_threads),
		cmocka_unit_test(a_config_of_another_size_follows_the_rules),
		cmocka_unit_test(no_config_is_all_defaults),
		cmocka_unit_test(allocators_are_checked),
		BED_TEST(all_memory_comes_from_the_allocator_and_goes_back),
		cmocka_unit_test(the_level_decides_what_is_logged),
		cmocka_unit_test(without_a_sink_nothing_is_logged),
		cmocka_unit_test(a_sink_may_emit_and_register_but_not_wait),
		BED_TEST(run_does_at_most_so_many_steps),
		BED_TEST(next_due_tells_what_time_will_bring),
		BED_TEST(runtimes_share_nothing),
	};

	return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
