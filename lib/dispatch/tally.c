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

void faas__count_run(faas_function *function, int64_t queued_ns, int64_t run_ns)
{
	struct service *service = faas__service(function);
	struct histogram *queue = histogram_of(function, &service->queue_histogram);
	struct histogram *run = histogram_of(function, &service->run_histogram);

	if (queue)
		queue->counts[faas__histogram_bucket(queued_ns)]++;
	if (run)
		run->counts[faas__histogram_bucket(run_ns)]++;
	faas__duration_add(&service->counts.queue_time, queued_ns);
	faas__duration_add(&service->counts.run_time, run_ns);
	service->counts.requests++;
	service->counts.billed_ms += faas__billed_ms(run_ns);
}

void faas__tally_fold(faas_function *function, struct tally *tally)
{
	struct counts *counts = &faas__service(function)->counts;
	uint32_t samples = load_relaxed(&tally->samples);

	for (uint32_t i = 0; i < samples; i++)
		faas__count_run(function, tally->queue_ns[i], tally->run_ns[i]);
	for (size_t i = 0; i < END_COUNT; i++) {
		counts->started_ends[i] += load_relaxed(&tally->ended[i]);
		store_relaxed(&tally->ended[i], 0);
	}
	store_relaxed(&tally->published, 0);
	counts->started += TALLY_STARTS(load_relaxed(&tally->started));
	counts->cold += TALLY_COLDS(load_relaxed(&tally->started));
	store_relaxed(&tally->started, 0);
	store_relaxed(&tally->samples, 0);
	list_remove(&tally->node);
}
