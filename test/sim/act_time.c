/* SPDX-License-Identifier: MIT */
/* Time passes, steps are taken, the runtime drains. */
#include "sim.h"

static uint64_t retired(const struct faas_function_stats *stats)
{
	return stats->retired_idle + stats->retired_unregistered + stats->retired_closed;
}

/*
 * Two kinds of steps call nobody: a start ahead of need where there is no init, and the end of a worker where there is
 * no fini. The counts tell of them; here the model follows, and says whether they were allowed.
 */
static void catch_up_with(struct sim *sim, struct model_function *function)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	bool was_step;

	(void)faas_function_stats(function->real, &stats);
	while (!has_failed() && !function->has_init && stats.provisioned_starts > function->stats.provisioned_starts) {
		trace("(f%d starts a worker ahead of need)", function->name);
		model_provisioned(function);
		sim->model.steps++;
	}
	while (!has_failed() && !function->has_fini && retired(&stats) > retired(&function->stats)) {
		struct model_worker *worker = function->warm;

		while (worker && worker->below)
			worker = worker->below;
		trace("(f%d retires a worker)", function->name);
		model_retired(function, worker ? worker->number : 0, &was_step);
		sim->model.steps++;
	}
}

void catch_up(struct sim *sim)
{
	for (struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->real && ((function->provisioned > 0 && !function->has_init) ||
		                       (!function->has_fini && function->warm_count > 0)))
			catch_up_with(sim, function);
}

void expect_rest(struct sim *sim)
{
	if (sim->place->kind != PLACE_HOST)
		return;
	expect("callbacks that did not come", 0, sim->model.due_now);
	expect("handlers that did not end", 0, sim->model.depth);
	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->finis_due)
			complain("fini", "of an overrun of f%d did not come", function->name);
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------- */

static void expect_released(struct sim *sim)
{
	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->has_release && model_is_over(function))
			expect("released", 1, function->released);
}

/* What must have happened in a call that took up to `most` steps and says that it took `steps`. */
static void expect_steps(struct sim *sim, int64_t before, int most, int steps)
{
	catch_up(sim);
	expect("steps", sim->model.steps - before, steps);
	expect_rest(sim);
	if (steps == most || has_failed())
		return;
	if (model_is_runnable(&sim->model))
		complain("idle", "nothing more runs, but something could");
	expect_released(sim);
}

void take_steps(struct sim *sim, int most)
{
	int64_t before = sim->model.steps;
	int steps;

	trace("run up to %d steps ...", most);
	steps = faas_run(sim->runtime, most);
	if (has_failed())
		return;
	expect_steps(sim, before, most, steps);
	trace("... %d steps", steps);
}

void act_run(struct sim *sim, const struct draw *draw)
{
	if (sim->place->kind == PLACE_HOST)
		take_steps(sim, draw_pick(draw, 0, 8) == 7 ? 1 + draw_pick(draw, 1, 20) : 1);
	else
		expect("run inside", FAAS_EDEADLK, faas_run(sim->runtime, 1));
}

void act_drain(struct sim *sim, const struct draw *draw)
{
	int64_t before = sim->model.steps;
	int result, expected = FAAS_OK;

	(void)draw;
	if (sim->place->kind != PLACE_HOST) {
		expect("drain inside", FAAS_EDEADLK, faas_drain(sim->runtime, 0));
		expect("close inside", FAAS_EDEADLK, faas_close(sim->runtime, 0, 0));
		return;
	}
	trace("drain ...");
	sim->model.phase = PHASE_DRAINING;
	result = faas_drain(sim->runtime, FAAS_NEVER);
	if (has_failed())
		return;
	catch_up(sim);
	expect_steps(sim, before, -1, (int)(sim->model.steps - before));
	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->queued > 0)
			expected = FAAS_EAGAIN;
	trace("... %s", code_name(expected));
	expect("drain", expected, result);
}

/* ---- Time ------------------------------------------------------------------------------------------------------------ */

void advance(struct sim *sim, int64_t duration)
{
	trace("advance %lld ns", (long long)duration);
	model_advance(&sim->model, duration);
	expect("advance", FAAS_OK, faas_clock_advance(sim->clock, duration));
	expect("now", sim->model.now, faas_clock_now(sim->clock));
}

void act_advance(struct sim *sim, const struct draw *draw)
{
	int64_t due = 0;

	if (sim->place->holds_clock)
		return;
	switch (draw_pick(draw, 0, 8)) {
	case 0:
		advance(sim, MS);
		return;
	case 1:
		advance(sim, draw_pick(draw, 1, 1000));
		return;
	case 2:
	case 3:
		advance(sim, draw_pick(draw, 1, 20 * MS));
		return;
	case 4:
		advance(sim, draw_pick(draw, 1, 200) * MS);
		return;
	default:
		expect("next due", FAAS_OK, faas_next_due(sim->runtime, &due));
		if (due > 0)
			advance(sim, due - 1 + draw_pick(draw, 2, 3));
		return;
	}
}
