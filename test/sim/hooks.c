/* SPDX-License-Identifier: MIT */
/*
 * What the library calls. Each tells the model, which says whether this may happen now, and then does what its script
 * says. After the first disagreement they do nothing any more, so that the call under way comes to its end.
 *
 * Left out: a callback that comes at once, inside of what settled its invocation, does not move the clock. It is not
 * promised whether a worker's idle time begins before or after it, nor how a worker is counted that was taken for a
 * caller whose time ended in it.
 */
#include "sim.h"

#include <stdlib.h>

struct sim *sim_of(const struct model *model)
{
	/* It is the first member. */
	return (struct sim *)(uintptr_t)model;
}

struct place *place_push(struct sim *sim, struct place *place)
{
	place->outer = sim->place;
	sim->place = place;
	trace_depth++;
	return place;
}

void place_pop(struct sim *sim)
{
	sim->place = sim->place->outer;
	trace_depth--;
}

/* ---- Attempts ------------------------------------------------------------------------------------------------------- */

/* What an attempt of this function must be of, whoever called it. NULL with a complaint, or (`may_provision`) without. */
static struct model_invocation *next_invocation(struct sim *sim, struct model_function *function)
{
	struct model *model = &sim->model;
	struct model_invocation *target = model->target;

	if (!target && sim->place->waits_for)
		target = model_first_unsettled(sim->place->waits_for);
	if (target && sim->place->waits_for && model_waits_are_over(model))
		complain("wait", "for an emission goes on, but its time is over");
	if (target) {
		model->target = NULL;
		if (target->function != function)
			complain("nested", "f%d runs where event %d is waited for", function->name, target->event->number);
		return target->function == function ? target : NULL;
	}
	if (sim->place->kind != PLACE_HOST)
		complain("nested", "f%d runs inside of something that does not wait for it", function->name);
	else if (!function->queue)
		complain("attempt", "f%d runs, but nothing is queued", function->name);
	else
		model->steps++;
	return has_failed() ? NULL : function->queue;
}

static struct model_attempt *begin(struct model_invocation *invocation)
{
	if (!invocation)
		return NULL;
	if (invocation->status != FAAS_STATUS_QUEUED) {
		complain("attempt", "event %d runs again", invocation->event->number);
		return NULL;
	}
	for (struct model_invocation *queued = invocation->function->queue; queued; queued = queued->next)
		if (queued == invocation) {
			model_unqueue(invocation);
			break;
		}
	return model_begin(invocation->function, invocation);
}

/* The attempt whose init has just succeeded, or a new one on a worker that needs none. */
static struct model_attempt *attempt_of_handler(struct sim *sim, struct model_function *function)
{
	struct model *model = &sim->model;
	struct model_attempt *top = model->depth > 0 ? &model->stack[model->depth - 1] : NULL, *attempt;

	if (top && top->awaits_handler) {
		if (top->function != function)
			complain("handler", "f%d runs after the init of f%d", function->name, top->function->name);
		return top;
	}
	attempt = begin(next_invocation(sim, function));
	if (attempt && attempt->is_init)
		complain("handler", "f%d runs without an init", function->name);
	return attempt;
}

int hook_handler(faas_context *context, const faas_event *event)
{
	struct model_function *function = faas_context_user(context);
	struct sim *sim = sim_of(function->model);
	struct model_attempt *attempt;
	struct place place = {.kind = PLACE_HANDLER, .context = context};
	int result;

	if (has_failed())
		return 0;
	catch_up(sim);
	attempt = attempt_of_handler(sim, function);
	if (!attempt || has_failed())
		return 0;
	attempt->awaits_handler = false;
	place.attempt = attempt;
	place_push(sim, &place);
	trace("handler of f%d, event %d%s", function->name, attempt->invocation->event->number,
	      attempt->is_cold ? ", cold" : "");
	expect("order", attempt->invocation->event->number, number_of(event));
	compare_context(sim, context, attempt);
	result = script_handler(sim, attempt, attempt->invocation->event);
	trace("returns %d", result);
	place_pop(sim);
	if (!has_failed())
		model_handler_ended(attempt, result);
	return result;
}

/* For an event, or ahead of need? The counts tell. */
static struct model_attempt *attempt_of_init(struct sim *sim, struct model_function *function)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	struct model_attempt *attempt;

	(void)faas_function_stats(function->real, &stats);
	if (stats.provisioned_starts == function->stats.provisioned_starts)
		attempt = begin(next_invocation(sim, function));
	else if (sim->place->kind != PLACE_HOST || sim->model.target)
		return NULL;
	else
		attempt = model_begin(function, NULL);
	sim->model.steps += attempt && !attempt->invocation;
	if (attempt && !attempt->is_init)
		complain("init", "f%d has a warm worker", function->name);
	return attempt;
}

int hook_init(faas_context *context, void **ret_state)
{
	struct model_function *function = faas_context_user(context);
	struct sim *sim = sim_of(function->model);
	struct model_attempt *attempt;
	struct place place = {.kind = PLACE_HANDLER, .context = context};
	int result, *state = NULL;

	if (has_failed())
		return 1;
	catch_up(sim);
	attempt = attempt_of_init(sim, function);
	if (!attempt)
		complain("init", "f%d starts a worker ahead of need inside of something", function->name);
	if (has_failed())
		return 1;
	place.attempt = attempt;
	place_push(sim, &place);
	trace("init of f%d%s", function->name, attempt->invocation ? "" : ", ahead of need");
	compare_context(sim, context, attempt);
	result = script_init(sim, attempt);
	trace("returns %d", result);
	place_pop(sim);
	if (result == 0) {
		/* Without a fini nobody frees it. */
		state = function->has_fini ? malloc(sizeof(*state)) : model_alloc(&sim->model, sizeof(*state));
		if (!state)
			abort();
		*state = ++sim->workers;
		sim->states_alive += function->has_fini;
		*ret_state = state;
	}
	if (!has_failed())
		model_init_ended(attempt, result, state ? *state : 0);
	return result;
}

/* ---- Ends ----------------------------------------------------------------------------------------------------------- */

void hook_fini(void *given, void *user)
{
	struct model_function *function = user;
	struct sim *sim = sim_of(function->model);
	struct place place = {.kind = PLACE_CALLBACK};
	int *state = given, number = state ? *state : 0;
	bool was_step = false;

	free(state);
	sim->states_alive -= state != NULL;
	if (has_failed())
		return;
	catch_up(sim);
	trace("fini of f%d, worker %d", function->name, number);
	if (function->has_init != (state != NULL))
		complain("fini", "a state that is %s", state ? "there" : "missing");
	model_retired(function, number, &was_step);
	sim->model.steps += was_step;
	place_push(sim, &place);
	script_callback(sim, draw_mix(function->script.seed, (uint64_t)number), function->script.plain);
	place_pop(sim);
}

void hook_release(void *user)
{
	struct model_function *function = user;
	struct sim *sim = sim_of(function->model);
	struct place place = {.kind = PLACE_CALLBACK};

	if (has_failed())
		return;
	catch_up(sim);
	trace("release of f%d", function->name);
	if (!model_is_over(function) && sim->model.phase != PHASE_CLOSING)
		complain("release", "f%d is still in use", function->name);
	if (function->released++ > 0)
		complain("release", "f%d again", function->name);
	place_push(sim, &place);
	script_callback(sim, draw_mix(function->script.seed, 5), function->script.plain);
	place_pop(sim);
}

void hook_settled(faas_invocation *real, void *user)
{
	struct model_invocation *invocation = user;
	struct sim *sim = sim_of(invocation->function->model);
	struct handle handle = {.real = real, .model = invocation};
	struct place place = {.kind = PLACE_CALLBACK};

	if (has_failed())
		return;
	catch_up(sim);
	place.holds_clock = invocation->call == CALL_DUE_NOW;
	model_called(&sim->model, &invocation->call);
	place_push(sim, &place);
	trace("callback of event %d at f%d", invocation->event->number, invocation->function->name);
	compare_handle(&handle);
	script_callback(sim, draw_mix(invocation->event->script, 3), invocation->event->plain);
	place_pop(sim);
}

void hook_emission_settled(faas_emission *real, void *user)
{
	struct model_emission *emission = user;
	struct sim *sim = sim_of(emission->model);
	struct place place = {.kind = PLACE_CALLBACK};

	if (has_failed())
		return;
	catch_up(sim);
	model_called(&sim->model, &emission->call);
	place_push(sim, &place);
	trace("callback of an emission of %d", emission->count);
	expect("emission count", emission->count, faas_emission_count(real));
	place_pop(sim);
}
