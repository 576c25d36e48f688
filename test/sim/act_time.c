/* SPDX-License-Identifier: MIT */
/* Time passes, steps are taken, the runtime drains. */
#include "sim.h"

static uint64_t retired(const struct faas_function_stats *stats)
{
	return stats->retired_idle + stats->retired_surplus + stats->retired_unregistered + stats->retired_closed;
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

struct model_invocation *awaited(const struct place *place)
{
	struct model_invocation *invocation = place->waits_on;

	if (!invocation && place->waits_for)
		invocation = model_first_unsettled(place->waits_for);
	return invocation && !model_is_settled(invocation) ? model_head(invocation) : NULL;
}

static uint64_t expired_more(const struct model_function *function)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	(void)faas_function_stats(function->real, &stats);
	stats.expired -= function->expired_ahead;
	return stats.expired > function->stats.expired ? stats.expired - function->stats.expired : 0;
}

/* What a wait inside a handler finds expired. */
static void expire_awaited(struct sim *sim)
{
	struct model_invocation *invocation;
	int code;

	while ((invocation = awaited(sim->place)) != NULL && invocation->status == FAAS_STATUS_QUEUED &&
	       !(invocation->is_sync && invocation == sim->place->waits_on) && model_is_expired(invocation, &code) &&
	       model_may_nest(&sim->model, invocation) == FAAS_OK && expired_more(invocation->function) > 0) {
		trace("(event %d at f%d has expired)", invocation->event->number, invocation->function->name);
		model_settle_waiting(invocation, END_EXPIRED, code);
	}
}

/*
 * A turn settles what has expired before it runs what has not; without anything to run, that is a step of its own. What
 * comes into the queue only then, it does not run.
 */
static void expire(struct sim *sim, struct model_function *function)
{
	uint64_t found = expired_more(function);
	int count;

	if (found == 0)
		return;
	count = model_expire(function, found);
	trace("(of f%d %d have expired)", function->name, count);
	sim->model.steps += count > 0 && !model_has_marked(function);
}

/* Of two turns of which nobody told it is not known which came first. That shows where their records went. */
static bool is_order_known(const struct sim *sim)
{
	int count = 0, followed = 0;

	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->real && function->queue && expired_more(function) > 0) {
			count++;
			followed += function->on_failure >= 0;
		}
	return count <= 1 || followed == 0;
}

static void expire_all(struct sim *sim)
{
	struct model_function *function;

	if (!is_order_known(sim))
		unsure();
	for (function = sim->model.functions; function; function = function->next)
		if (function->queue)
			model_mark(function);
	for (function = sim->model.functions; function; function = function->next)
		if (function->real && function->queue && model_can_start(function))
			expire(sim, function);
}

void catch_up(struct sim *sim)
{
	learn(sim);
	if (sim->place->waits_on || sim->place->waits_for)
		expire_awaited(sim);
	if (sim->place->kind == PLACE_HOST)
		expire_all(sim);
	for (struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->real && ((model_target(function) > 0 && !function->has_init) ||
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
		if (function->unsettled)
			expected = FAAS_EAGAIN;
	trace("... %s", code_name(expected));
	expect("drain", expected, result);
}

/* ---- Time ------------------------------------------------------------------------------------------------------------ */

/* Whether there are looks, once a second. */
static bool follows_demand(const struct sim *sim)
{
	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (model_look_at(function) != NEVER)
			return true;
	return false;
}

void act_advance(struct sim *sim, const struct draw *draw)
{
	int64_t due = 0;

	switch (draw_pick(draw, 0, 10)) {
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
	case 8:
	case 9:
		if (follows_demand(sim)) {
			advance(sim, draw_pick(draw, 1, 40) * 1000 * MS);
			return;
		}
		/* fall through */
	default:
		expect("next due", FAAS_OK, faas_next_due(sim->runtime, &due));
		if (due > 0)
			advance(sim, due - 1 + draw_pick(draw, 2, 3));
		return;
	}
}
