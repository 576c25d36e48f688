/* SPDX-License-Identifier: MIT */
/* Each number of the stats is driven to a known value. Manual mode, but for the numbers of threads. */
#include "support_run.h"

#include <sched.h>

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static void each_rejection_has_its_counter(void **state)
{
	struct stage stage;
	struct faas_function_stats stats;
	faas_function *function = NULL;

	(void)state;
	stage_open(&stage, FAAS_RUNTIME(.queue_events = 3));
	stage_register(&stage, "f", ONCE(.queue_events = 2));
	stage_register(&stage, "g", NULL);
	bed_bind(&stage.bed, "both", "f");
	bed_bind(&stage.bed, "both", "g");
	assert_int_equal(FAAS_OK, faas_function_find(stage.bed.runtime, "f", &function));
	stage_queue(&stage, "f", NULL);
	memory_fail(&stage.bed.memory, 0, INT64_MAX / 2);
	assert_int_equal(FAAS_ENOMEM,
	                 faas_invoke_async(stage.bed.runtime, "f", FAAS_EVENT(.data = "", .data_bytes = 1 << 20), NULL));
	memory_fail(&stage.bed.memory, -1, 0);
	stage_queue(&stage, "f", NULL);
	assert_int_equal(FAAS_EFULL, faas_invoke_async(stage.bed.runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_EFULL, faas_invoke_async(stage.bed.runtime, "f", NULL, NULL));
	/* Refused by f, so g does not get it either. */
	assert_int_equal(FAAS_EFULL,
	                 faas_emit_event(stage.bed.runtime, FAAS_EVENT(.type = "both", .flags = FAAS_EMIT_ALL), NULL));
	stats = bed_stats(&stage.bed, "g");
	assert_int_equal(1, stats.rejected_other);
	assert_int_equal(1, stats.offered);
	assert_int_equal(2, bed_run(&stage.bed));
	for (int i = 0; i < 3; i++)
		stage_queue(&stage, "g", NULL);
	assert_int_equal(FAAS_ERUNTIMEFULL, faas_invoke_async(stage.bed.runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage.bed.runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke_async(function, NULL, NULL));
	stats = stats_of(function);
	assert_int_equal(3, stats.rejected_full);
	assert_int_equal(1, stats.rejected_runtime_full);
	assert_int_equal(1, stats.rejected_other);
	assert_int_equal(1, stats.rejected_closed);
	assert_int_equal(6, stats.rejected);
	assert_int_equal(2, stats.accepted);
	assert_int_equal(8, stats.offered);
	faas_function_unref(function);
	stage_close(&stage);
}

static void each_end_has_its_counter(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;
	faas_invocation *invocation;

	stage_register(stage, "f", ONCE(.queue_events = 2, .queue_full = FAAS_FULL_DROP_OLDEST));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_EFAILED, stage_invoke(stage, "f", JOB(.result = 1)));
	assert_int_equal(FAAS_ETIMEDOUT, stage_invoke(stage, "f", JOB(.takes_ns = 3000 * MS)));
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	bed_advance_ms(&stage->bed, 100);
	stage_queue(stage, "f", JOB(.takes_ns = 2 * MS));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", NULL, 1, NULL));
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	faas_invocation_unref(invocation);
	for (int i = 0; i < 3; i++)
		stage_queue(stage, "f", NULL);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(3, stats.succeeded);
	assert_int_equal(2, stats.failed);
	assert_int_equal(1, stats.timed_out);
	assert_int_equal(1, stats.expired);
	assert_int_equal(1, stats.cancelled);
	assert_int_equal(1, stats.dropped);
	assert_int_equal(2, stats.queued);
	assert_int_equal(0, stats.running);
	assert_int_equal(11, stats.accepted);
	assert_int_equal(1, stats.overruns);
	assert_int_equal(1, stats.init_failures);
	assert_int_equal(5, stats.requests);
	assert_int_equal(3000 + 2, stats.billed_ms);
	assert_int_equal(3, stats.cold_starts);
	assert_int_equal(3, stats.warm_starts);
	assert_int_equal(1, stats.warm);
	assert_int_equal(1, stats.workers_peak);
}

static void queued_memory_is_counted(void **state)
{
	struct stage *stage = *state;
	uint64_t one, two;

	stage_register(stage, "f", NULL);
	stage_queue(stage, "f", FAAS_EVENT(.data = "", .data_bytes = 1));
	one = bed_stats(&stage->bed, "f").queued_bytes;
	assert_true(one > 0);
	for (int i = 0; i < 2; i++) {
		struct faas_runtime_stats totals;
		void *data = calloc(1, 10000);

		stage_queue(stage, "f", FAAS_EVENT(.data = data, .data_bytes = 10000));
		free(data);
		two = bed_stats(&stage->bed, "f").queued_bytes;
		assert_true(two >= one + 10000 && two < one + 12000);
		one = two;
		totals = bed_totals(&stage->bed);
		assert_int_equal(two, totals.total.queued_bytes);
		assert_int_equal(two, totals.queued_bytes);
		assert_int_equal(2 + i, totals.queued_events);
	}
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(0, bed_totals(&stage->bed).queued_bytes);
	assert_int_equal(0, bed_totals(&stage->bed).queued_events);
	assert_int_equal(0, bed_totals(&stage->bed).total.queued_bytes);
}

/* ---- The bill ---------------------------------------------------------------------------------------------------- */

static void run_times_are_billed_in_whole_milliseconds(void **state)
{
	static const struct {
		int64_t takes_ns;
		uint64_t billed_ms;
	} cases[] = {{0, 0},        {1, 1},        {MS - 1, 1}, {MS, 1}, {MS + 1, 2}, {2 * MS, 2}, {10 * MS - 1, 10},
	             {10 * MS, 10}, {999 * MS, 10}};
	struct stage *stage = *state;
	uint64_t billed_ms = 0;

	stage_register(stage, "f", ONCE(.deadline_ms = 10));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct faas_function_stats stats;

		(void)stage_invoke(stage, "f", JOB(.takes_ns = cases[i].takes_ns));
		stats = bed_stats(&stage->bed, "f");
		billed_ms += cases[i].billed_ms;
		assert_int_equal(billed_ms, stats.billed_ms);
		assert_int_equal(i + 1, stats.requests);
		assert_int_equal(i + 1, stats.run_time.count);
	}
}

static void time_in_init_is_counted_apart(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.init_backoff_ms = FAAS_NONE));
	stage->life.init_takes_ns = 5 * MS;
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 1)));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(10 * MS, stats.init_ns);
	assert_int_equal(1, stats.billed_ms);
	assert_int_equal(1, stats.run_time.sum_ns);
}

/* ---- Distributions ----------------------------------------------------------------------------------------------- */

#define SAMPLES 1000

static int compare(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The smallest of the samples that so many in a thousand are not above, against what the stats say. */
static void assert_percentile(const int64_t *sorted, uint64_t permille, uint64_t said)
{
	int64_t exact = sorted[(SAMPLES * permille + 999) / 1000 - 1];

	assert_in_range(said, (uint64_t)(exact - exact / 8), (uint64_t)(exact + exact / 8));
}

static void assert_distribution(int64_t *samples, const struct faas_latency_stats *stats)
{
	uint64_t sum = 0;

	qsort(samples, SAMPLES, sizeof(*samples), compare);
	for (size_t i = 0; i < SAMPLES; i++)
		sum += (uint64_t)samples[i];
	assert_int_equal(SAMPLES, stats->count);
	assert_int_equal(sum, stats->sum_ns);
	assert_int_equal(samples[SAMPLES - 1], stats->max_ns);
	assert_percentile(samples, 500, stats->p50_ns);
	assert_percentile(samples, 900, stats->p90_ns);
	assert_percentile(samples, 990, stats->p99_ns);
	assert_percentile(samples, 999, stats->p999_ns);
}

/* From `lowest` ns up to twice that, doubled up to `doublings` times: all magnitudes are equally likely. */
static int64_t draw(uint64_t *seed, int64_t lowest, uint64_t doublings)
{
	return (lowest + (int64_t)random_below(seed, (uint64_t)lowest)) << random_below(seed, doublings);
}

static void percentiles_are_off_by_an_eighth_at_most(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;
	uint64_t seed = random_seed("percentiles");
	static int64_t queue_times[SAMPLES], run_times[SAMPLES];

	stage_register(stage, "f", ONCE(.deadline_ms = FAAS_NEVER, .keep_warm_ms = FAAS_NEVER));
	for (size_t i = 0; i < SAMPLES; i++) {
		queue_times[i] = draw(&seed, 256, 31);
		run_times[i] = draw(&seed, 256, 31);
		stage_queue(stage, "f", JOB(.takes_ns = run_times[i]));
		stage_advance_ns(stage, queue_times[i]);
		assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	}
	stats = bed_stats(&stage->bed, "f");
	assert_distribution(queue_times, &stats.queue_time);
	assert_distribution(run_times, &stats.run_time);
	stats = bed_totals(&stage->bed).total;
	assert_distribution(queue_times, &stats.queue_time);
	assert_distribution(run_times, &stats.run_time);
	/* An unregistered function stays in the totals with all of that. */
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	bed_run(&stage->bed);
	stats = bed_totals(&stage->bed).total;
	assert_distribution(queue_times, &stats.queue_time);
	assert_distribution(run_times, &stats.run_time);
}

static void assert_near(int64_t exact_ns, uint64_t said)
{
	assert_in_range(said, (uint64_t)(exact_ns - exact_ns / 8), (uint64_t)(exact_ns + exact_ns / 8));
}

/* Half of three are two of them, and nine tenths of four are four. */
static void percentiles_of_a_few_are_rounded_up(void **state)
{
	struct stage *stage = *state;
	struct faas_latency_stats times;

	stage_register(stage, "f", ONCE(.deadline_ms = FAAS_NEVER));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 1000 * MS)));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 1 * MS)));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 10 * MS)));
	times = bed_stats(&stage->bed, "f").run_time;
	assert_near(10 * MS, times.p50_ns);
	assert_near(1000 * MS, times.p90_ns);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 100 * MS)));
	times = bed_stats(&stage->bed, "f").run_time;
	assert_near(10 * MS, times.p50_ns);
	assert_near(1000 * MS, times.p90_ns);
	assert_near(1000 * MS, times.p999_ns);
	assert_int_equal(1000 * MS, times.max_ns);
}

static void before_the_first_run_there_is_no_distribution(void **state)
{
	static const struct faas_latency_stats none;
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", NULL);
	stats = bed_stats(&stage->bed, "f");
	assert_memory_equal(&none, &stats.run_time, sizeof(none));
	assert_memory_equal(&none, &stats.queue_time, sizeof(none));
	/* One sample is every percentile, however short or long it was; none of them is above the maximum. */
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 3)));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(3, stats.run_time.max_ns);
	assert_true(stats.run_time.p50_ns <= 3 && stats.run_time.p999_ns <= 3);
}

/* ---- Sizes of structs -------------------------------------------------------------------------------------------- */

static void stats_follow_the_callers_struct_size(void **state)
{
	struct stage *stage = *state;
	union {
		struct faas_function_stats function;
		struct faas_runtime_stats runtime;
		unsigned char bytes[sizeof(struct faas_runtime_stats) + 64];
	} given;
	faas_function *function = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));

	/* A newer caller: what this library does not know is zero. */
	memset(&given, 0xee, sizeof(given));
	given.function.struct_size = sizeof(given.function) + 64;
	assert_int_equal(FAAS_OK, faas_function_stats(function, &given.function));
	assert_int_equal(1, given.function.succeeded);
	assert_int_equal(sizeof(given.function) + 64, given.function.struct_size);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(0, given.bytes[sizeof(given.function) + i]);
	assert_int_equal(0xee, given.bytes[sizeof(given.function) + 64]);

	/* An older caller: not a byte beyond its struct. */
	memset(&given, 0xee, sizeof(given));
	given.function.struct_size = offsetof(struct faas_function_stats, failed);
	assert_int_equal(FAAS_OK, faas_function_stats(function, &given.function));
	assert_int_equal(1, given.function.succeeded);
	for (size_t i = offsetof(struct faas_function_stats, failed); i < sizeof(given); i++)
		assert_int_equal(0xee, given.bytes[i]);

	memset(&given, 0xee, sizeof(given));
	given.runtime.struct_size = sizeof(given);
	assert_int_equal(FAAS_OK, faas_runtime_stats(stage->bed.runtime, &given.runtime));
	assert_int_equal(1, given.runtime.total.succeeded);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(0, given.bytes[sizeof(given.runtime) + i]);
	memset(&given, 0xee, sizeof(given));
	given.runtime.struct_size = offsetof(struct faas_runtime_stats, emitted);
	assert_int_equal(FAAS_OK, faas_runtime_stats(stage->bed.runtime, &given.runtime));
	assert_int_equal(1, given.runtime.functions);
	for (size_t i = offsetof(struct faas_runtime_stats, emitted); i < sizeof(given); i++)
		assert_int_equal(0xee, given.bytes[i]);
	faas_function_unref(function);
}

static void stats_without_a_size_are_refused(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats function_stats = {.struct_size = 0};
	struct faas_runtime_stats runtime_stats = {.struct_size = 4};
	faas_function *function = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_EINVAL, faas_function_stats(function, &function_stats));
	assert_int_equal(FAAS_EINVAL, faas_function_stats(function, NULL));
	assert_int_equal(FAAS_EINVAL, faas_runtime_stats(stage->bed.runtime, &runtime_stats));
	assert_int_equal(FAAS_EINVAL, faas_runtime_stats(stage->bed.runtime, NULL));
	function_stats.struct_size = sizeof(function_stats);
	runtime_stats.struct_size = sizeof(runtime_stats);
	assert_int_equal(FAAS_EINVAL, faas_function_stats(NULL, &function_stats));
	assert_int_equal(FAAS_EINVAL, faas_runtime_stats(NULL, &runtime_stats));
	faas_function_unref(function);
}

/* ---- The runtime ------------------------------------------------------------------------------------------------- */

static void the_runtime_counts_what_belongs_to_no_function(void **state)
{
	struct stage *stage = *state;
	struct faas_runtime_stats totals = bed_totals(&stage->bed);
	uint64_t binding;

	assert_int_equal(0, totals.functions + totals.bindings + totals.emitted + totals.unmatched);
	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	bed_bind(&stage->bed, "a", "f");
	binding = bed_bind(&stage->bed, "a", "g");
	assert_int_equal(0, bed_emit(&stage->bed, "b", ""));
	assert_int_equal(2, bed_emit(&stage->bed, "a", ""));
	assert_int_equal(FAAS_ETYPE, bed_emit(&stage->bed, "", ""));
	stage_queue(stage, "f", NULL); /* no emit */
	totals = bed_totals(&stage->bed);
	assert_int_equal(2, totals.functions);
	assert_int_equal(2, totals.bindings);
	assert_int_equal(2, totals.emitted);
	assert_int_equal(1, totals.unmatched);
	assert_int_equal(3, totals.queued_events);
	assert_int_equal(3, totals.total.accepted);
	assert_int_equal(FAAS_OK, faas_unbind(stage->bed.runtime, binding));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	totals = bed_totals(&stage->bed);
	assert_int_equal(1, totals.functions);
	assert_int_equal(0, totals.bindings);
	assert_int_equal(1, totals.queued_events);
	assert_int_equal(0, totals.threads + totals.threads_idle + totals.threads_peak + totals.threads_started);
}

static void unlimited_queues_are_counted_too(void **state)
{
	struct stage stage;
	struct faas_runtime_stats totals;

	(void)state;
	stage_open(&stage, FAAS_RUNTIME(.queue_events = FAAS_UNLIMITED, .queue_bytes = FAAS_UNLIMITED));
	stage_register(&stage, "f", NULL);
	for (int i = 0; i < 5; i++)
		stage_queue(&stage, "f", NULL);
	totals = bed_totals(&stage.bed);
	assert_int_equal(5, totals.queued_events);
	assert_int_equal(totals.total.queued_bytes, totals.queued_bytes);
	stage_close(&stage);
}

static void pool_threads_are_counted(void **state)
{
	struct memory memory;
	struct gate gate;
	faas_runtime *runtime = NULL;
	faas_invocation *invocations[2];
	struct faas_runtime_stats totals;
	const faas_function_config *held = ONCE(.handler = gate_handler, .user = &gate, .deadline_ms = FAAS_NEVER);

	(void)state;
	memory_init(&memory);
	gate_init(&gate);
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = 2, .max_threads = 2, .thread_idle_ms = FAAS_NEVER,
	                                                 .allocator = &memory.config),
	                                    &runtime));
	assert_int_equal(0, totals_of(runtime).threads_started);
	assert_int_equal(FAAS_OK, faas_register_function(runtime, "f", held));
	for (size_t i = 0; i < COUNT_OF(invocations); i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(runtime, "f", NULL, &invocations[i]));
	gate_await(&gate, 2);
	totals = totals_of(runtime);
	assert_int_equal(2, totals.threads);
	assert_int_equal(2, totals.threads_peak);
	assert_int_equal(2, totals.threads_started);
	assert_int_equal(0, totals.threads_idle);
	assert_int_equal(0, totals.thread_failures);
	assert_int_equal(2, totals.total.running);
	assert_int_equal(2, totals.total.busy);
	gate_open(&gate);
	while (totals_of(runtime).threads_idle < 2)
		sched_yield();
	assert_int_equal(2, totals_of(runtime).threads);
	for (size_t i = 0; i < COUNT_OF(invocations); i++)
		faas_invocation_unref(invocations[i]);
	assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
	memory_check_empty(&memory);
	gate_deinit(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rejection_has_its_counter),
		STAGE_TEST(each_end_has_its_counter),
		STAGE_TEST(queued_memory_is_counted),
		STAGE_TEST(run_times_are_billed_in_whole_milliseconds),
		STAGE_TEST(time_in_init_is_counted_apart),
		STAGE_TEST(percentiles_are_off_by_an_eighth_at_most),
		STAGE_TEST(percentiles_of_a_few_are_rounded_up),
		STAGE_TEST(before_the_first_run_there_is_no_distribution),
		STAGE_TEST(stats_follow_the_callers_struct_size),
		STAGE_TEST(stats_without_a_size_are_refused),
		STAGE_TEST(the_runtime_counts_what_belongs_to_no_function),
		STAGE_TEST(unlimited_queues_are_counted_too),
		cmocka_unit_test(pool_threads_are_counted),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
