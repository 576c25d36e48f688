/* SPDX-License-Identifier: MIT */
/*
 * Rates: a bucket of tokens that fills at an even pace. What is kept is the moment at which it will be full again; each
 * token taken puts that off by one interval, and with a burst of tokens in it, it may lie so many intervals less one in
 * the future.
 */
#include "model.h"

static int64_t full_at(const struct model_function *function)
{
	return function->rate_at > function->model->now ? function->rate_at : function->model->now;
}

int64_t model_rate_next(const struct model_function *function, uint64_t behind)
{
	int64_t at = full_at(function) + (int64_t)behind * function->rate_interval - function->rate_ahead;

	return function->rate_interval == 0 || at < function->model->now ? function->model->now : at;
}

bool model_rate_lets(const struct model_function *function)
{
	return model_rate_next(function, 0) == function->model->now;
}

void model_rate_take(struct model_function *function)
{
	function->rate_at = full_at(function) + function->rate_interval;
}
