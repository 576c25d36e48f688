/* SPDX-License-Identifier: MIT */
/*
 * Warmth that follows demand: once a second, from the first attempt until nothing is remembered, arrivals and the mean
 * time of an attempt are smoothed. Their product is the load, and workers are kept for the load and four times its
 * square root more, rounded up, within max_concurrency.
 */
#include "model.h"

#include "report.h"

#define LOOK (1000 * MS)
#define WEIGHT 0.067        /* of what is new: half of it is left after ten looks */
#define LEAST_LOAD 0.0001   /* less is nothing */
#define ROUNDING 1e-6       /* so near to a whole number either side may come out */

uint64_t model_target(const struct model_function *function)
{
	return function->demand.target > function->provisioned ? function->demand.target : function->provisioned;
}

int64_t model_look_at(const struct model_function *function)
{
	return function->is_open && function->follows_demand ? function->demand.look_at : NEVER;
}

void model_demand_wake(struct model_function *function)
{
	if (function->demand.look_at == NEVER)
		function->demand.look_at = function->model->now + LOOK;
}

void model_demand_counts(struct model_function *function)
{
	function->demand.counted = function->model->now + 1;
	if (function->demand.looked == function->demand.counted)
		unsure();
}

/* The least number that is no less than load + 4 * sqrt(load), but for `slack`. */
static uint64_t workers_for(double load, double slack)
{
	uint64_t count = 0;

	for (;; count++) {
		double beyond = (double)count + slack - load;

		if (beyond >= 0 && beyond * beyond >= 16 * load)
			return count;
	}
}

static uint64_t within(const struct model_function *function, uint64_t workers)
{
	return workers < (uint64_t)function->max_concurrency ? workers : (uint64_t)function->max_concurrency;
}

static double load_of(struct model_demand *demand, uint64_t arrivals, uint64_t runs, uint64_t run_ns)
{
	demand->arrivals += WEIGHT * ((double)(arrivals - demand->seen_arrivals) - demand->arrivals);
	if (runs > demand->seen_runs) {
		double mean = (double)(run_ns - demand->seen_run_ns) / (double)(runs - demand->seen_runs);

		demand->run_ns = demand->run_ns > 0 ? demand->run_ns + WEIGHT * (mean - demand->run_ns) : mean;
	}
	demand->seen_arrivals = arrivals;
	demand->seen_runs = runs;
	demand->seen_run_ns = run_ns;
	return demand->arrivals * demand->run_ns / 1e9;
}

void model_look(struct model_function *function)
{
	const struct faas_function_stats *stats = &function->stats;
	struct model_demand *demand = &function->demand;
	double load = load_of(demand, stats->accepted + stats->retries, stats->run_time.count, stats->run_time.sum_ns);

	demand->looked = function->model->now + 1;
	if (demand->counted == demand->looked)
		unsure();
	demand->target = load < LEAST_LOAD ? 0 : within(function, workers_for(load, -ROUNDING));
	demand->least = load < LEAST_LOAD ? 0 : within(function, workers_for(load, ROUNDING));
	demand->look_at = demand->target > 0 ? demand->looked - 1 + LOOK : NEVER;
}

void model_learn_target(struct model_function *function, uint64_t found)
{
	if (function->demand.least < function->demand.target && found == function->demand.least)
		function->demand.target = found;
	function->demand.least = function->demand.target;
}
