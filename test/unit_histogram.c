/* SPDX-License-Identifier: MIT */
/* Distributions of durations: where each value goes, how far off its bucket is, percentiles against sorted values. */
#include "unit.h"

#include "observe/histogram.h"

#define LEAST 256                         /* ns: below, values are only counted */
#define MOST (INT64_C(8) << 37)           /* ns: from there on likewise; 18 minutes */
#define HOUR (INT64_C(3600) * 1000000000) /* ns */

static void no_bucket_is_far_off(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (int64_t ns = LEAST; ns < MOST; ns += 1 + ns / 1000) {
		uint32_t bucket = faas__histogram_bucket(ns);
		double value = (double)faas__histogram_value(bucket), off = value / (double)ns - 1;

		if (bucket < last || bucket > last + 1 || off > 0.1251 || off < -0.1251)
			fail_msg("%lld ns: bucket %u after %u, %g off", (long long)ns, (unsigned)bucket, (unsigned)last, off);
		last = bucket;
	}
	assert_int_equal(HISTOGRAM_BUCKETS - 1, last);
}

static void what_is_too_short_or_too_long_is_counted(void **state)
{
	(void)state;
	assert_int_equal(0, faas__histogram_bucket(INT64_MIN));
	assert_int_equal(0, faas__histogram_bucket(-1));
	assert_int_equal(0, faas__histogram_bucket(0));
	assert_int_equal(0, faas__histogram_bucket(LEAST - 1));
	assert_int_equal(0, faas__histogram_bucket(LEAST));
	assert_int_equal(HISTOGRAM_BUCKETS - 1, faas__histogram_bucket(MOST - 1));
	assert_int_equal(HISTOGRAM_BUCKETS - 1, faas__histogram_bucket(HOUR));
	assert_int_equal(HISTOGRAM_BUCKETS - 1, faas__histogram_bucket(INT64_MAX));
}

static void buckets_rise(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++)
		assert_true(faas__histogram_value(i) > faas__histogram_value(i - 1));
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		assert_int_equal(i, faas__histogram_bucket((int64_t)faas__histogram_value(i)));
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void check_percentile(uint64_t got, const int64_t *sorted, size_t count, double share)
{
	size_t rank = (size_t)(share * (double)count + 0.999999);
	double wanted = (double)sorted[rank > 0 ? rank - 1 : 0];

	if ((double)got > wanted * 1.1251 || (double)got < wanted * 0.8749)
		fail_msg("percentile %g of %zu is %llu, not %g", share, count, (unsigned long long)got, wanted);
}

static void percentiles_are_near_those_of_the_values(void **state)
{
	static int64_t values[5000];
	struct random random = unit_random("histogram");

	(void)state;
	for (int round = 0; round < 200; round++) {
		size_t count = 1 + (size_t)unit_below(&random, COUNT_OF(values));
		uint64_t spread = 1 + unit_below(&random, 20);
		struct histogram histogram = {{0}};
		struct duration_sum sum = {0, 0, 0};
		struct faas_latency_stats stats;
		uint64_t exact = 0;

		for (size_t i = 0; i < count; i++) {
			values[i] = LEAST + (int64_t)(faas__random_next(&random) >> (25 + unit_below(&random, spread)));
			histogram.counts[faas__histogram_bucket(values[i])]++;
			faas__duration_add(&sum, values[i]);
			exact += (uint64_t)values[i];
		}
		qsort(values, count, sizeof(values[0]), by_value);
		faas__latency_summary(&histogram, &sum, &stats);
		assert_int_equal(count, stats.count);
		assert_int_equal(exact, stats.sum_ns);
		assert_int_equal(values[count - 1], stats.max_ns);
		check_percentile(stats.p50_ns, values, count, 0.5);
		check_percentile(stats.p90_ns, values, count, 0.9);
		check_percentile(stats.p99_ns, values, count, 0.99);
		check_percentile(stats.p999_ns, values, count, 0.999);
		assert_true(stats.p50_ns <= stats.p90_ns && stats.p90_ns <= stats.p99_ns && stats.p99_ns <= stats.p999_ns &&
		            stats.p999_ns <= stats.max_ns);
	}
}

static void nothing_has_no_percentiles(void **state)
{
	const struct duration_sum sum = {3, 30, 20};
	struct histogram histogram = {{0}};
	struct faas_latency_stats stats;

	(void)state;
	faas__latency_summary(NULL, &sum, &stats);
	assert_int_equal(3, stats.count);
	assert_int_equal(30, stats.sum_ns);
	assert_int_equal(20, stats.max_ns);
	assert_int_equal(0, stats.p50_ns + stats.p999_ns);
	faas__latency_summary(&histogram, &sum, &stats);
	assert_int_equal(0, stats.p50_ns + stats.p999_ns);
}

static void sums_are_merged(void **state)
{
	struct duration_sum a = {0, 0, 0}, b = {0, 0, 0};

	(void)state;
	faas__duration_add(&a, 5);
	faas__duration_add(&a, -5);
	faas__duration_add(&b, 7);
	faas__duration_merge(&a, &b);
	faas__duration_merge(&b, &(struct duration_sum){0, 0, 0});
	assert_int_equal(3, a.count);
	assert_int_equal(12, a.sum_ns);
	assert_int_equal(7, a.max_ns);
	assert_int_equal(1, b.count);
	assert_int_equal(7, b.max_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_bucket_is_far_off),
		cmocka_unit_test(what_is_too_short_or_too_long_is_counted),
		cmocka_unit_test(buckets_rise),
		cmocka_unit_test(percentiles_are_near_those_of_the_values),
		cmocka_unit_test(nothing_has_no_percentiles),
		cmocka_unit_test(sums_are_merged),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
