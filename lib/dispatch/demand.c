/* SPDX-License-Identifier: MIT */
/*
 * Warmth that follows demand (FAAS_WARM_DEMAND). Once a second, while anything comes in or is still remembered, arrivals
 * and the mean time of an attempt are smoothed; their product is the load: how many workers are busy at a time (Little,
 * "A proof for the queuing formula L = lambda W", Operations Research 9, 1961). What is kept warm is the load and four
 * times its square root more, rounded up (after Halfin and Whitt, "Heavy-traffic limits for queues with many exponential
 * servers", Operations Research 29, 1981). The factor and the time for which surplus workers idle were chosen by
 * test/bench/warmth.c.
 */
#include "dispatch/queue.h"
#include "dispatch/runtime.h"

#define LOOK_NS 1000000000
#define SMOOTHING 0.0670 /* 1 - 2^(-1/10): a half-life of ten looks */
#define MARGIN 4         /* square roots of the load, for chance */
#define LEAST_LOAD 0.0001
#define MOST_WORKERS 1000000.0

uint32_t faas__demand_target(const faas_function *function)
{
	uint32_t target = faas__service(function)->demand.target;

	return target > function->provisioned ? target : function->provisioned;
}

int64_t faas__demand_due(const faas_function *function)
{
	int64_t look_at = faas__service(function)->demand.look_at;

	return look_at != 0 ? look_at : TIME_NEVER;
}

void faas__demand_wake(faas_function *function, int64_t now)
{
	if (likely(!function->follows_demand) || faas__service(function)->demand.look_at != 0)
		return;
	faas__service(function)->demand.look_at = now + LOOK_NS;
	faas__worker_arm_timer(function);
}

/* Newton's method: the C library's would need another library. */
static double square_root(double x)
{
	double root = x > 1 ? x : 1;

	for (int i = 0; i < 64; i++)
		root = (root + x / root) / 2;
	return root;
}

static uint32_t workers_for(double load)
{
	double workers;

	if (load < LEAST_LOAD)
		return 0;
	workers = load + MARGIN * square_root(load);
	if (workers >= MOST_WORKERS)
		return (uint32_t)MOST_WORKERS;
	return (uint32_t)workers + ((double)(uint32_t)workers < workers);
}

bool faas__demand_look(faas_function *function, int64_t now)
{
	struct service *service = faas__service(function);
	struct demand *demand = &service->demand;
	uint64_t accepted = faas__queue_accepted(function) + service->counts.retries;
	uint64_t runs = service->counts.run_time.count - demand->seen_runs;
	double run_ns = (double)service->counts.run_time.sum_ns;
	uint32_t target, most = (uint32_t)MOST_WORKERS;

	demand->arrivals += ((double)(accepted - demand->seen_accepted) - demand->arrivals) * SMOOTHING;
	if (runs > 0) {
		double mean = (run_ns - demand->seen_run_ns) / (double)runs;

		demand->run_ns += (mean - demand->run_ns) * (demand->run_ns > 0 ? SMOOTHING : 1);
	}
	demand->seen_accepted = accepted;
	demand->seen_runs += runs;
	demand->seen_run_ns = run_ns;
	target = workers_for(demand->arrivals * demand->run_ns / 1e9);
	if (function->max_concurrency < (int64_t)most)
		most = (uint32_t)function->max_concurrency;
	if (target > most)
		target = most;
	/* Forgotten: no more looks until something comes in. */
	demand->look_at = target > 0 ? now + LOOK_NS : 0;
	if (target == demand->target)
		return false;
	demand->target = target;
	return true;
}
