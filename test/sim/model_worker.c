/* SPDX-License-Identifier: MIT */
/* Workers between attempts: kept warm, retired, made ahead of need; and what may happen next. */
#include "model.h"

#include <stddef.h>

#include "report.h"

#define SURPLUS (20000 * MS) /* how long a worker idles that demand does not ask for */

uint64_t model_present(const struct model_function *function)
{
	return function->warm_count + function->busy + function->starting;
}

void model_raise_peak(struct model_function *function)
{
	if (model_present(function) > function->stats.workers_peak)
		function->stats.workers_peak = model_present(function);
}

void model_put_warm(struct model_function *function, struct model_worker *worker)
{
	worker->idle_since = function->model->now;
	worker->below = function->warm;
	function->warm = worker;
	function->warm_count++;
}

struct model_worker *model_pop_warm(struct model_function *function)
{
	struct model_worker *worker = function->warm;

	function->warm = worker->below;
	function->warm_count--;
	return worker;
}

/* The one that was used longest ago. */
static struct model_worker *bottom(const struct model_function *function)
{
	struct model_worker *worker = function->warm;

	while (worker && worker->below)
		worker = worker->below;
	return worker;
}

/* Whether a worker that nobody asks for goes sooner than others. The last one does not. */
static bool goes_sooner(const struct model_function *function)
{
	return function->follows_demand && model_present(function) > 1 && function->keep_warm > SURPLUS;
}

/* When the oldest warm worker is to go; NEVER. */
static int64_t idle_end(const struct model_function *function)
{
	if (function->warm_count == 0 || model_present(function) <= model_target(function))
		return NEVER;
	return after(bottom(function)->idle_since, goes_sooner(function) ? SURPLUS : function->keep_warm);
}

static bool may_retire(const struct model_function *function)
{
	if (!function->is_open)
		return function->warm_count > 0;
	return idle_end(function) <= function->model->now;
}

static bool may_start(const struct model_function *function)
{
	return !function->is_paused || function->model->now >= function->paused_until;
}

bool model_can_start(const struct model_function *function)
{
	return model_has_slot(function) && (function->warm_count > 0 || may_start(function)) && model_rate_lets(function);
}

bool model_may_begin(const struct model_invocation *invocation)
{
	return model_can_start(invocation->function) && model_key_lets(invocation);
}

bool model_wants_provisioned(const struct model_function *function)
{
	return function->is_open && function->model->phase == PHASE_OPEN && model_has_slot(function) &&
	       may_start(function) && function->model->now >= function->provision_after &&
	       model_present(function) < model_target(function);
}

/* Takes the worker with this state out of a stack; NULL: it is not in it. */
static struct model_worker *take_out(struct model_worker **stack, int state)
{
	for (struct model_worker **at = stack; *at; at = &(*at)->below) {
		struct model_worker *worker = *at;

		if (worker->number == state) {
			*at = worker->below;
			return worker;
		}
	}
	return NULL;
}

static void count_retired(struct model_function *function)
{
	if (function->is_closing)
		function->stats.retired_closed++;
	else if (!function->is_open)
		function->stats.retired_unregistered++;
	else if (goes_sooner(function))
		function->stats.retired_surplus++;
	else
		function->stats.retired_idle++;
}

void model_retired(struct model_function *function, int state, bool *ret_was_step)
{
	struct model_worker *worker = take_out(&function->finis_due, state), **oldest = &function->warm;

	*ret_was_step = worker == NULL;
	if (worker)
		return;
	if (!may_retire(function)) {
		complain("retired", "a worker of f%d that should stay", function->name);
		return;
	}
	if (function->is_open || !function->has_init) {
		/* Of those that age, the oldest. */
		while ((*oldest)->below)
			oldest = &(*oldest)->below;
		worker = (*oldest)->number == state ? take_out(oldest, state) : NULL;
	} else {
		worker = take_out(&function->warm, state);
	}
	if (!worker) {
		complain("retired", "another worker of f%d than the one that is due", function->name);
		return;
	}
	count_retired(function);
	function->warm_count--;
}

/* ---- What may happen ----------------------------------------------------------------------------------------------- */

bool model_is_runnable(const struct model *model)
{
	if (model->due_later > 0)
		return true;
	for (const struct model_function *function = model->functions; function; function = function->next)
		if (may_retire(function) || model_wants_provisioned(function) ||
		    (model_can_start(function) && model_first_ready(function)))
			return true;
	return false;
}

/* When a function wants something that only time brings. */
static int64_t function_due(const struct model_function *function)
{
	int64_t due = NEVER, now = function->model->now;

	if (!function->is_open)
		return NEVER;
	due = idle_end(function);
	if (model_first_ready(function) && !model_rate_lets(function))
		due = sooner(due, model_rate_next(function, 0));
	if (function->is_paused && function->paused_until > now)
		due = sooner(due, function->paused_until);
	if (model_present(function) < model_target(function) && function->provision_after > now) {
		int64_t start = function->provision_after;

		if (function->is_paused && function->paused_until > start)
			start = function->paused_until;
		due = sooner(due, start);
	}
	return due;
}

int64_t model_next_due(const struct model *model)
{
	int64_t due = NEVER;

	if (model_is_runnable(model))
		return 0;
	for (const struct model_function *function = model->functions; function; function = function->next)
		due = sooner(due, function_due(function));
	due = sooner(due, model_next_moment(model));
	if (due == NEVER)
		return FAAS_NEVER;
	return due > model->now ? due - model->now : 0;
}

bool model_is_over(const struct model_function *function)
{
	return !function->is_open && !function->queue && function->active == 0 && function->warm_count == 0 &&
	       !function->finis_due;
}
