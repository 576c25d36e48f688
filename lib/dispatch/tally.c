/* SPDX-License-Identifier: MIT */
/* What running threads count: see account.c for how the counts add up. */
#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

void faas__count_published(faas_function *function, bool from_monitor)
{
	faas__mutex_lock(&function->mu);
	faas__service(function)->counts.unpublished--;
	faas__function_unlock_from(function, from_monitor);
}

void faas__count_end(faas_function *function, bool was_started, enum end end)
{
	struct service *service = faas__service(function);

	service->counts.unpublished++;
	if (was_started)
		service->counts.started_ends[end]++;
	else
		service->counts.unstarted_ends[end]++;
}

static struct histogram *histogram_of(faas_function *function, struct histogram **at)
{
	/* At first use. Refused memory costs these samples their place in the percentiles; sums and maxima stay exact. */
	if (!*at)
		*at = faas__alloc_zero(&function->runtime->allocator, sizeof(**at));
	return *at;
}

static void count_runs(faas_function *function, const int64_t *queue_ns, const int64_t *run_ns, uint32_t count)
	holds_lock(function->mu)
{
	struct service *service = faas__service(function);
	struct histogram *queue = histogram_of(function, &service->queue_histogram);
	struct histogram *run = histogram_of(function, &service->run_histogram);
	struct counts *counts = &service->counts;
	struct duration_sum queue_time = counts->queue_time, run_time = counts->run_time;
	uint64_t billed_ms = counts->billed_ms;

	for (uint32_t i = 0; i < count; i++) {
		if (likely(queue))
			queue->counts[faas__histogram_bucket(queue_ns[i])]++;
		if (likely(run))
			run->counts[faas__histogram_bucket(run_ns[i])]++;
		faas__duration_add(&queue_time, queue_ns[i]);
		faas__duration_add(&run_time, run_ns[i]);
		billed_ms += faas__billed_ms(run_ns[i]);
	}
	counts->queue_time = queue_time;
	counts->run_time = run_time;
	counts->billed_ms = billed_ms;
	counts->requests += count;
}

void faas__count_run(faas_function *function, int64_t queued_ns, int64_t run_ns)
{
	count_runs(function, &queued_ns, &run_ns, 1);
}

void faas__tally_fold(faas_function *function, struct tally *tally)
{
	struct counts *counts = &faas__service(function)->counts;
	uint32_t started = load_relaxed(&tally->started), succeeded = load_relaxed(&tally->ended[END_SUCCEEDED]);

	count_runs(function, tally->queue_ns, tally->run_ns, load_relaxed(&tally->samples));
	counts->started += TALLY_STARTS(started);
	counts->cold += TALLY_COLDS(started);
	counts->started_ends[END_SUCCEEDED] += succeeded;
	store_relaxed(&tally->ended[END_SUCCEEDED], 0);
	/* Where all did, none ended otherwise. */
	for (size_t i = END_SUCCEEDED + 1; succeeded != TALLY_STARTS(started) && i < END_COUNT; i++) {
		counts->started_ends[i] += load_relaxed(&tally->ended[i]);
		store_relaxed(&tally->ended[i], 0);
	}
	store_relaxed(&tally->published, 0);
	store_relaxed(&tally->started, 0);
	store_relaxed(&tally->samples, 0);
	list_remove(&tally->node);
}
