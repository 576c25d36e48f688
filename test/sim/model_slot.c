/* SPDX-License-Identifier: MIT */
/*
 * Slots. A function has its own limit, and the runtime one over all. What a function has reserved of that only it can
 * use; beyond it, it takes from what nobody has reserved. Overruns and deferrals hold their slot.
 */
#include "model.h"

/* It ends when the function is unregistered. What then still runs has not been reserved. */
static int64_t share(const struct model_function *function)
{
	return function->is_open ? function->reserved : 0;
}

int64_t model_reserved(const struct model *model)
{
	int64_t sum = 0;

	for (const struct model_function *function = model->functions; function; function = function->next)
		sum += share(function);
	return sum;
}

static bool runtime_has_slot(const struct model_function *function)
{
	const struct model *model = function->model;
	int64_t active = 0, unreserved = 0;

	if (model->max_concurrency == INT64_MAX)
		return true;
	for (const struct model_function *each = model->functions; each; each = each->next) {
		active += each->active;
		unreserved += each->active > share(each) ? each->active - share(each) : 0;
	}
	if (active >= model->max_concurrency)
		return false;
	return function->active < share(function) || unreserved < model->max_concurrency - model_reserved(model);
}

bool model_has_slot(const struct model_function *function)
{
	return function->active < function->max_concurrency && runtime_has_slot(function);
}

bool model_stack_holds_slots(const struct model_function *function)
{
	int64_t held = 0;

	for (int i = 0; i < function->model->depth; i++)
		held += function->model->stack[i].function == function;
	if (function->model->depth >= function->model->max_concurrency)
		return true;
	return function->active >= function->max_concurrency && held >= function->active;
}
