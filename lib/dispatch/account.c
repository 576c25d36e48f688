/* SPDX-License-Identifier: MIT */
/*
 * Counts that add up at every moment, without a shared line touched per event.
 *
 * A thread counts what it does with batches in a tally of its own (tally.c), which hangs in the function's list while they
 * run and is folded into the function's counts, under the function's lock, when they are over or it is full. A snapshot,
 * under the same lock, adds the counts and the tallies. It reads sinks before sources: ends, then starts, then `accepted`;
 * each event passes these the other way round, so that what is derived from differences,
 *
 *     running = started - started_ends - retries - deferred
 *     queued  = accepted + retries - started - unstarted_ends - delayed
 *
 * is never negative, though emitters and running threads go on meanwhile. What is rare (retries, and the gauges delayed
 * and deferred) is counted under the lock itself: an attempt has started before it is put off, and what was put off
 * starts again only after that.
 */
#include <assert.h>
#include <string.h>

#include "base/config.h"
#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* What functions have counted: one, all, or (the runtime's `past`) those that have finished. */
struct sums {
	struct counts counts;
	struct rejections rejections;
	uint64_t accepted;
	struct histogram queue_histogram, run_histogram;
};

/* How things stand. */
struct gauges {
	uint64_t delayed, deferred, letters, queued_bytes;
	uint64_t starting, busy, warm, warm_target; /* workers */
};

static uint64_t sum_ends(const uint64_t ends[END_COUNT])
{
	uint64_t sum = 0;

	for (size_t i = 0; i < END_COUNT; i++)
		sum += ends[i];
	return sum;
}

/* ---- Counting what is refused -------------------------------------------------------------------------------------- */

static void add_rejected(struct rejections *rejections, int code)
{
	if (code == FAAS_EFULL)
		rejections->full++;
	else if (code == FAAS_ERUNTIMEFULL)
		rejections->runtime_full++;
	else if (code == FAAS_ECLOSED || code == FAAS_ENOTFOUND)
		rejections->closed++;
	else if (code == FAAS_ETHROTTLED)
		rejections->throttled++;
	else
		rejections->other++;
}

void faas__count_rejected(faas_function *function, int code)
{
	faas_runtime *runtime = function->runtime;
	bool is_past;

	faas__mutex_lock(&function->mu);
	add_rejected(&function->rejections, code);
	is_past = function->is_past;
	faas__mutex_unlock(&function->mu);
	if (!is_past)
		return;
	/* Through a handle that outlives the function: the totals have its counts already, but for this one. */
	faas__mutex_lock(&runtime->functions_mu);
	add_rejected(&runtime->past->rejections, code);
	faas__mutex_unlock(&runtime->functions_mu);
}

void faas__count_letter_lost(faas_function *function)
{
	faas_runtime *runtime = function->runtime;
	bool is_past;

	faas__mutex_lock(&function->mu);
	faas__service(function)->counts.letters_lost++;
	is_past = function->is_past;
	faas__mutex_unlock(&function->mu);
	if (!is_past)
		return;
	faas__mutex_lock(&runtime->functions_mu);
	runtime->past->counts.letters_lost++;
	faas__mutex_unlock(&runtime->functions_mu);
}

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

/* A function's counts with those of batches that run, and the part of its histograms that those add. */
struct snapshot {
	struct sums sums;
	struct gauges gauges;
};

static void add_each(uint64_t *to, const uint64_t *from, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(*to); i++)
		to[i] += from[i];
}

static void add_histogram(struct histogram *to, const struct histogram *from)
{
	if (from)
		add_each(to->counts, from->counts, sizeof(to->counts));
}

static void add_tally(struct sums *sums, const struct tally *tally)
{
	uint32_t samples, started;

	for (size_t i = 0; i < END_COUNT; i++)
		sums->counts.started_ends[i] += load_acquire(&tally->ended[i]);
	samples = load_acquire(&tally->samples);
	for (uint32_t i = 0; i < samples; i++) {
		int64_t queue_ns = tally->queue_ns[i], run_ns = tally->run_ns[i];

		sums->queue_histogram.counts[faas__histogram_bucket(queue_ns)]++;
		sums->run_histogram.counts[faas__histogram_bucket(run_ns)]++;
		faas__duration_add(&sums->counts.queue_time, queue_ns);
		faas__duration_add(&sums->counts.run_time, run_ns);
		sums->counts.requests++;
		sums->counts.billed_ms += faas__billed_ms(run_ns);
	}
	started = load_acquire(&tally->started);
	sums->counts.started += TALLY_STARTS(started);
	sums->counts.cold += TALLY_COLDS(started);
}

static void fill_gauges(const faas_function *function, struct gauges *gauges) holds_lock(function->mu)
{
	const struct service *service = faas__service(function);

	gauges->delayed = faas__queue_delayed(function);
	gauges->deferred = service->deferred;
	gauges->letters = service->letters_count;
	gauges->queued_bytes = LOAD_BYTES(faas__queue_load(function));
	gauges->starting = function->starting;
	gauges->busy = function->busy;
	gauges->warm = function->warm_count;
	gauges->warm_target = load_relaxed(&function->is_closed) ? 0 : faas__demand_target(function);
}

static void take_snapshot(const faas_function *function, struct snapshot *snapshot) holds_lock(function->mu)
{
	const struct service *service = faas__service(function);
	struct sums *sums = &snapshot->sums;

	sums->counts = service->counts;
	sums->rejections = function->rejections;
	memset(&sums->queue_histogram, 0, sizeof(sums->queue_histogram));
	memset(&sums->run_histogram, 0, sizeof(sums->run_histogram));
	add_histogram(&sums->queue_histogram, service->queue_histogram);
	add_histogram(&sums->run_histogram, service->run_histogram);
	list_each(node, &function->tallies)
		add_tally(sums, container_of(node, const struct tally, node));
	sums->accepted = faas__queue_accepted(function);
	fill_gauges(function, &snapshot->gauges);
}

static void add_sums(struct sums *to, const struct sums *from)
{
	/* All counts are sums of the same kind, but for the two last. */
	_Static_assert(offsetof(struct counts, queue_time) % sizeof(uint64_t) == 0, "nothing but sums before");
	add_each((uint64_t *)&to->counts, (const uint64_t *)&from->counts, offsetof(struct counts, queue_time));
	faas__duration_merge(&to->counts.queue_time, &from->counts.queue_time);
	faas__duration_merge(&to->counts.run_time, &from->counts.run_time);
	add_each((uint64_t *)&to->rejections, (const uint64_t *)&from->rejections, sizeof(to->rejections));
	to->accepted += from->accepted;
	add_histogram(&to->queue_histogram, &from->queue_histogram);
	add_histogram(&to->run_histogram, &from->run_histogram);
}

static void fill_ends(struct faas_function_stats *stats, const struct counts *counts)
{
	uint64_t ends[END_COUNT];

	for (size_t i = 0; i < END_COUNT; i++)
		ends[i] = counts->started_ends[i] + counts->unstarted_ends[i];
	stats->succeeded = ends[END_SUCCEEDED];
	stats->failed = ends[END_FAILED];
	stats->timed_out = ends[END_TIMED_OUT];
	stats->expired = ends[END_EXPIRED];
	stats->cancelled = ends[END_CANCELLED];
	stats->dropped = ends[END_DROPPED];
}

static void fill_stats(struct faas_function_stats *stats, const struct snapshot *snapshot)
{
	const struct rejections *rejections = &snapshot->sums.rejections;
	const struct counts *counts = &snapshot->sums.counts;
	const struct gauges *gauges = &snapshot->gauges;

	stats->accepted = snapshot->sums.accepted;
	stats->rejected_full = rejections->full;
	stats->rejected_runtime_full = rejections->runtime_full;
	stats->rejected_closed = rejections->closed;
	stats->rejected_throttled = rejections->throttled;
	stats->rejected_other = rejections->other;
	stats->rejected = rejections->full + rejections->runtime_full + rejections->closed + rejections->throttled +
	                  rejections->other;
	stats->offered = stats->accepted + stats->rejected;
	fill_ends(stats, counts);
	stats->delayed = gauges->delayed;
	stats->deferred = gauges->deferred;
	stats->queued_bytes = gauges->queued_bytes;
	stats->starting = gauges->starting;
	stats->busy = gauges->busy;
	stats->warm = gauges->warm;
	stats->warm_target = gauges->warm_target;
	stats->running = counts->started - sum_ends(counts->started_ends) - counts->retries - gauges->deferred;
	stats->queued = snapshot->sums.accepted + counts->retries - counts->started - sum_ends(counts->unstarted_ends) -
	                gauges->delayed;
	stats->retries = counts->retries;
	stats->deferrals = counts->deferrals;
	stats->dead_letters = gauges->letters;
	stats->dead_letters_added = counts->letters_added;
	stats->dead_letters_redriven = counts->letters_redriven;
	stats->dead_letters_lost = counts->letters_lost;
	stats->records = counts->records;
	stats->records_refused = counts->records_refused;
	stats->overrunning = counts->overrunning;
	stats->overruns = counts->overruns;
	stats->workers_peak = counts->workers_peak;
	stats->cold_starts = counts->cold + counts->provisioned_starts;
	stats->warm_starts = counts->started - counts->cold;
	stats->provisioned_starts = counts->provisioned_starts;
	stats->init_failures = counts->init_failures;
	stats->init_ns = counts->init_ns;
	stats->retired_idle = counts->retired[RETIRED_IDLE];
	stats->retired_surplus = counts->retired[RETIRED_SURPLUS];
	stats->retired_overrun = counts->retired[RETIRED_OVERRUN];
	stats->retired_unregistered = counts->retired[RETIRED_UNREGISTERED];
	stats->retired_closed = counts->retired[RETIRED_CLOSED];
	stats->requests = counts->requests;
	stats->billed_ms = counts->billed_ms;
	faas__latency_summary(&snapshot->sums.queue_histogram, &counts->queue_time, &stats->queue_time);
	faas__latency_summary(&snapshot->sums.run_histogram, &counts->run_time, &stats->run_time);
}

int faas_function_stats(const faas_function *given, struct faas_function_stats *ret_stats)
{
	/* The lock is no part of what callers see as the function's value. */
	faas_function *function = (faas_function *)(uintptr_t)given;
	struct faas_function_stats stats = {0};
	struct snapshot snapshot;

	if (!function || !ret_stats)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	faas__mutex_lock(&function->mu);
	take_snapshot(function, &snapshot);
	faas__mutex_unlock(&function->mu);
	fill_stats(&stats, &snapshot);
	return faas__stats_write(ret_stats, &stats, sizeof(stats));
}

/* ---- Totals ------------------------------------------------------------------------------------------------------ */

int faas__past_init(faas_runtime *runtime)
{
	runtime->past = faas__alloc_zero(&runtime->allocator, sizeof(*runtime->past));
	return runtime->past ? FAAS_OK : FAAS_ENOMEM;
}

void faas__past_deinit(faas_runtime *runtime)
{
	faas__free(&runtime->allocator, runtime->past, sizeof(*runtime->past));
}

void faas__past_add(faas_function *function)
{
	struct snapshot snapshot;

	faas__mutex_lock(&function->mu);
	take_snapshot(function, &snapshot);
	function->is_past = true;
	faas__mutex_unlock(&function->mu);
	add_sums(function->runtime->past, &snapshot.sums);
}

/* Everything that has a sum, under functions_mu. */
static void sum_functions(const faas_runtime *runtime, struct snapshot *sum) holds_lock(runtime->functions_mu)
{
	sum->sums = *runtime->past;
	memset(&sum->gauges, 0, sizeof(sum->gauges));
	list_each(node, &runtime->function_list) {
		faas_function *function = container_of(node, faas_function, node);
		struct snapshot one;

		faas__mutex_lock(&function->mu);
		take_snapshot(function, &one);
		faas__mutex_unlock(&function->mu);
		add_sums(&sum->sums, &one.sums);
		add_each((uint64_t *)&sum->gauges, (const uint64_t *)&one.gauges, sizeof(one.gauges));
	}
}

static void add_lane(struct faas_runtime_stats *stats, const struct lane *lane)
{
	stats->emitted += load_relaxed(&lane->emitted);
	stats->unmatched += load_relaxed(&lane->unmatched);
}

static void fill_lanes_and_threads(faas_runtime *runtime, struct faas_runtime_stats *stats)
{
	struct executor *executor = &runtime->executor;
	struct lanes *lanes = &runtime->lanes;

	stats->queued_events = stats->total.queued + stats->total.delayed;
	stats->queued_bytes = stats->total.queued_bytes;
	if (lanes->max_events != FAAS_UNLIMITED)
		stats->queued_events = (uint64_t)(lanes->max_events - load_relaxed(&lanes->free_events));
	if (lanes->max_bytes != FAAS_UNLIMITED)
		stats->queued_bytes = (uint64_t)(lanes->max_bytes - load_relaxed(&lanes->free_bytes));
	for (uint32_t i = 0; i < lanes->stripe_count; i++)
		add_lane(stats, &lanes->stripes[i]);
	faas__mutex_lock(&executor->threads_mu);
	stats->emitted += runtime->past_emitted;
	stats->unmatched += runtime->past_unmatched;
	list_each(node, &executor->threads) {
		const struct thread *thread = container_of(node, const struct thread, node);

		add_lane(stats, &((const struct runner *)(const void *)thread)->lane);
		stats->threads_idle += !thread->is_guest && faas__thread_is_idle(thread);
	}
	faas__mutex_unlock(&executor->threads_mu);
	stats->threads = load_relaxed(&executor->thread_count);
	stats->threads_peak = load_relaxed(&executor->threads_peak);
	stats->threads_started = load_relaxed(&executor->threads_started);
	stats->thread_failures = load_relaxed(&executor->thread_failures);
}

int faas_runtime_stats(faas_runtime *runtime, struct faas_runtime_stats *ret_stats)
{
	struct faas_runtime_stats stats = {0};
	struct snapshot sum;

	if (!runtime || !ret_stats)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	faas__mutex_lock(&runtime->functions_mu);
	sum_functions(runtime, &sum);
	stats.functions = runtime->function_count;
	faas__mutex_unlock(&runtime->functions_mu);
	fill_stats(&stats.total, &sum);
	faas__mutex_lock(&runtime->routes.mu);
	stats.bindings = runtime->routes.count;
	faas__mutex_unlock(&runtime->routes.mu);
	fill_lanes_and_threads(runtime, &stats);
	return faas__stats_write(ret_stats, &stats, sizeof(stats));
}

/* ---- At rest? ---------------------------------------------------------------------------------------------------- */

bool faas__function_is_settled(faas_function *function)
{
	const struct counts *counts;
	uint64_t ended;

	faas__mutex_lock(&function->mu);
	counts = &faas__service(function)->counts;
	ended = sum_ends(counts->started_ends) + sum_ends(counts->unstarted_ends) - counts->unpublished;
	list_each(node, &function->tallies)
		ended += load_acquire(&container_of(node, struct tally, node)->published);
	faas__mutex_unlock(&function->mu);
	return faas__queue_accepted(function) == ended;
}

/* One pass: the sum of what was accepted if all of it is settled, else UINT64_MAX. */
static uint64_t settled_pass(faas_runtime *runtime) holds_lock(runtime->functions_mu)
{
	uint64_t accepted = 0;

	list_each(node, &runtime->function_list) {
		faas_function *function = container_of(node, faas_function, node);

		if (!faas__function_is_settled(function))
			return UINT64_MAX;
		accepted += faas__queue_accepted(function);
	}
	return accepted;
}

/*
 * Functions are looked at one after the other, and what ran at one when the pass began may have emitted to another that
 * was already passed. If a second pass finds the same sum, nothing was accepted in between.
 */
bool faas__runtime_is_settled(faas_runtime *runtime)
{
	uint64_t first, second = 0;

	faas__mutex_lock(&runtime->functions_mu);
	first = settled_pass(runtime);
	if (first != UINT64_MAX)
		second = settled_pass(runtime);
	faas__mutex_unlock(&runtime->functions_mu);
	return first != UINT64_MAX && first == second;
}

#if defined(FAAS_DEBUG_CHECKS)

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

#define CHECKED_LINKS 64u

void faas__function_check(faas_function *function)
{
	const struct service *nobody = &function->runtime->no_service;
	uint64_t linked = 0;

	list_each(node, &function->backlog) {
		/* Each step asks; so not all of a long one. */
		if (++linked == CHECKED_LINKS)
			break;
	}
	assert(linked <= LOAD_EVENTS(faas__queue_in(function)) || load_relaxed(&function->is_closed));
	assert(faas__queue_delayed(function) <= function->held);
	assert(function->active >= 0 && function->active <= function->max_concurrency);
	/* The worker of a deferred attempt may still be on its way back, its slot already given away. */
	assert(function->defers || (int64_t)function->busy <= function->active);
	assert(faas__function_is_in_service(function) || (faas__queue_accepted(function) == 0 && function->busy == 0));
	assert(!nobody->function && nobody->timer_due == TIME_NEVER && list_empty(&nobody->letters) &&
	       nobody->counts.unpublished == 0 && nobody->counts.workers_peak == 0 && nobody->demand.look_at == 0);
	(void)nobody;
	(void)linked;
}

#endif
