/* SPDX-License-Identifier: MIT */
/* Sums: what was counted one by one, as the library tells it. */
#include "model.h"

void model_function_stats(const struct model_function *function, struct faas_function_stats *ret_stats)
{
	struct faas_function_stats stats = function->stats;

	stats.rejected = stats.rejected_full + stats.rejected_runtime_full + stats.rejected_closed +
	                 stats.rejected_throttled + stats.rejected_other;
	stats.offered = stats.accepted + stats.rejected;
	stats.queued = function->queued;
	stats.delayed = function->delayed;
	stats.deferred = function->deferred;
	stats.queued_bytes = function->load_bytes;
	stats.dead_letters = function->letter_count;
	stats.running = stats.accepted - stats.queued - stats.delayed - stats.deferred - stats.succeeded - stats.failed -
	                stats.timed_out - stats.expired - stats.cancelled - stats.dropped;
	stats.starting = function->starting;
	stats.busy = function->busy;
	stats.warm = function->warm_count;
	stats.warm_target = function->is_open ? model_target(function) : 0;
	*ret_stats = stats;
}

static void add_latency(struct faas_latency_stats *sum, const struct faas_latency_stats *one)
{
	sum->count += one->count;
	sum->sum_ns += one->sum_ns;
	if (one->max_ns > sum->max_ns)
		sum->max_ns = one->max_ns;
}

void model_total_stats(const struct model *model, struct faas_function_stats *ret_stats)
{
	struct faas_function_stats sum = {0}, one;
	const size_t first = offsetof(struct faas_function_stats, offered);
	const size_t count = (offsetof(struct faas_function_stats, queue_time) - first) / sizeof(uint64_t);

	for (const struct model_function *function = model->functions; function; function = function->next) {
		uint64_t *to = &sum.offered;
		const uint64_t *from = &one.offered;

		model_function_stats(function, &one);
		for (size_t i = 0; i < count; i++)
			to[i] += from[i];
		add_latency(&sum.queue_time, &one.queue_time);
		add_latency(&sum.run_time, &one.run_time);
	}
	*ret_stats = sum;
}
