/* SPDX-License-Identifier: MIT */
/*
 * A distribution of durations in 1 KiB: four buckets for each doubling from 256 ns to 18 minutes, so that a bucket's
 * middle is at most 12.5 % away from anything in it.
 * Source: the log-linear buckets of HdrHistogram (Gil Tene).
 */
#ifndef FAAS_OBSERVE_HISTOGRAM_H
#define FAAS_OBSERVE_HISTOGRAM_H

#include <stdint.h>

#include "faas/stats.h"

#define HISTOGRAM_BUCKETS 128u

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Exact beside the buckets, and there before they are. */
struct duration_sum {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
};

#define HISTOGRAM_FIRST_SHIFT 6u /* bucket 0 begins at 4 << 6 = 256 ns */

static inline uint32_t faas__highest_bit(uint64_t x)
{
#if defined(__GNUC__)
	return 63u - (uint32_t)__builtin_clzll(x);
#else
	uint32_t bit = 0;

	while (x >>= 1)
		bit++;
	return bit;
#endif
}

/* The bucket of a duration; one below 0 counts as 0. */
static inline uint8_t faas__histogram_bucket(int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;
	uint32_t shift, bucket;

	if (value < 4u << HISTOGRAM_FIRST_SHIFT)
		return 0;
	shift = faas__highest_bit(value) - 2;
	bucket = (shift - HISTOGRAM_FIRST_SHIFT) * 4 + (uint32_t)(value >> shift) - 4;
	return (uint8_t)(bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1);
}

/* The duration that stands for a bucket. */
uint64_t faas__histogram_value(uint32_t bucket);

/* `histogram` may be NULL: then percentiles are 0. */
void faas__latency_summary(const struct histogram *histogram, const struct duration_sum *sum,
                           struct faas_latency_stats *ret_stats);

static inline void faas__duration_add(struct duration_sum *sum, int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;

	sum->count++;
	sum->sum_ns += value;
	if (value > sum->max_ns)
		sum->max_ns = value;
}

static inline void faas__duration_merge(struct duration_sum *sum, const struct duration_sum *more)
{
	sum->count += more->count;
	sum->sum_ns += more->sum_ns;
	if (more->max_ns > sum->max_ns)
		sum->max_ns = more->max_ns;
}

#endif
