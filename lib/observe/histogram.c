/* SPDX-License-Identifier: MIT */
/*
 * Bucket k covers [4 + k % 4, 5 + k % 4) * 2^(6 + k / 4) ns. The first also takes everything below it, the last
 * everything above.
 */
#include "observe/histogram.h"

#include <stddef.h>

#include "base/atomics.h"

#define END_NS ((uint64_t)8 << 37) /* where the last bucket would end */

uint64_t faas__histogram_value(uint32_t bucket)
{
	uint32_t shift = HISTOGRAM_FIRST_SHIFT + bucket / 4;

	/* The middle: half a bucket's width above its lower bound. */
	return ((uint64_t)(4 + bucket % 4) << shift) + ((uint64_t)1 << (shift - 1));
}

/* The value that `permille` of all are not above. */
seldom static uint64_t percentile(const struct histogram *histogram, uint64_t total, uint64_t permille, uint64_t max)
{
	uint64_t rank = total / 1000 * permille + (total % 1000 * permille + 999) / 1000, seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t value = faas__histogram_value(i);

		seen += histogram->counts[i];
		if (seen >= rank && seen > 0)
			return (i == HISTOGRAM_BUCKETS - 1 && max >= END_NS) || value > max ? max : value;
	}
	return max;
}

seldom void faas__latency_summary(const struct histogram *histogram, const struct duration_sum *sum,
                           struct faas_latency_stats *ret_stats)
{
	uint64_t total = 0;

	*ret_stats = (struct faas_latency_stats){.count = sum->count, .sum_ns = sum->sum_ns, .max_ns = sum->max_ns};
	if (!histogram)
		return;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += histogram->counts[i];
	if (total == 0)
		return;
	ret_stats->p50_ns = percentile(histogram, total, 500, sum->max_ns);
	ret_stats->p90_ns = percentile(histogram, total, 900, sum->max_ns);
	ret_stats->p99_ns = percentile(histogram, total, 990, sum->max_ns);
	ret_stats->p999_ns = percentile(histogram, total, 999, sum->max_ns);
}
