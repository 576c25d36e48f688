/* SPDX-License-Identifier: MIT */
/*
 * What the library calls. Each tells the model, which says whether this may happen now, and then does what its script
 * says. After the first disagreement they succeed and do nothing any more, so that the call under way comes to its end.
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

/* Inside of a call that waits: what it waits for, and nothing else. */
static struct model_invocation *target_of(struct sim *sim, const struct model_function *function)
{
	struct model_invocation *target = sim->model.target;

	if (!target)
		target = awaited(sim->place);
	if (sim->model.target != target && model_waits_are_over(&sim->model))
		complain("wait", "it goes on, but its time is over");
	if (!target)
		complain("nested", "f%d runs inside of something that does not wait for it", function->name);
	else if (target->function != function)
		complain("nested", "f%d runs where event %d is waited for", function->name, target->event->number);
	sim->model.target = NULL;
	return target;
}

/* Of those in the queue that may begin, the one with this event. */
static struct model_invocation *ready_one(const struct model_function *function, int number)
{
	struct model_invocation *found = NULL;

	for (struct model_invocation *queued = function->queue; queued; queued = queued->next) {
		if (queued->event->number != number || !model_key_lets(queued))
			continue;
		if (found)
			unsure();
		found = queued;
	}
	return found;
}

/* What an attempt of this function must be of, whoever called it. `event`: NULL: an init, that was told of none. */
static struct model_invocation *next_invocation(struct sim *sim, struct model_function *function,
                                                const faas_event *event)
{
	struct model_invocation *next;

	if (sim->model.target || sim->place->kind != PLACE_HOST)
		return target_of(sim, function);
	next = function->taken ? function->taken : model_first_ready(function);
	/* In an ordered function it may be any of those that may begin. */
	if (event && !function->taken && model_count_ready(function) > 1)
		next = ready_one(function, number_of(event));
	function->taken = NULL;
	if (!next)
		complain("attempt", "f%d runs, but nothing may begin", function->name);
	sim->model.steps++;
	return has_failed() ? NULL : next;
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

/* The init was called before it could be told for which event. */
static struct model_attempt *end_blind_init(struct model_attempt *attempt)
{
	int state = attempt ? attempt->function->blind_init : 0;

	if (state == 0)
		return attempt;
	attempt->function->blind_init = 0;
	if (!attempt->is_init)
		complain("init", "f%d has a warm worker", attempt->function->name);
	else
		model_init_ended(attempt, 0, state);
	return attempt;
}

/* The attempt whose init has just succeeded, or a new one on a worker that needs none. */
static struct model_attempt *attempt_of_handler(struct sim *sim, struct model_function *function,
                                                const faas_event *event)
{
	struct model *model = &sim->model;
	struct model_attempt *top = model->depth > 0 ? &model->stack[model->depth - 1] : NULL, *attempt;

	if (top && top->awaits_handler) {
		if (top->function != function)
			complain("handler", "f%d runs after the init of f%d", function->name, top->function->name);
		return top;
	}
	attempt = end_blind_init(begin(next_invocation(sim, function, event)));
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
	attempt = attempt_of_handler(sim, function, event);
	if (!attempt || has_failed())
		return 0;
	attempt->awaits_handler = false;
	place.attempt = attempt;
	place_push(sim, &place);
	trace("handler of f%d, event %d, attempt %d%s%s", function->name, attempt->invocation->event->number,
	      attempt->invocation->attempts, attempt->is_cold ? ", cold" : "",
	      attempt->invocation->record ? ", a record" : "");
	expect("order", attempt->invocation->event->number, number_of(event));
	compare_context(sim, context, attempt);
	result = script_handler(sim, attempt, attempt->invocation->event);
	trace("returns %d", result);
	place_pop(sim);
	if (!has_failed())
		model_handler_ended(attempt, result);
	return result;
}

/* Whether it is for one of several events, of which the library has not yet said which. */
static bool is_blind(const struct sim *sim, const struct model_function *function)
{
	return sim->place->kind == PLACE_HOST && !sim->model.target && !function->taken && model_count_ready(function) > 1;
}

/* For an event, or ahead of need? The counts tell. */
static struct model_attempt *attempt_of_init(struct sim *sim, struct model_function *function, bool *ret_is_blind)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	struct model_attempt *attempt;

	(void)faas_function_stats(function->real, &stats);
	*ret_is_blind = stats.provisioned_starts == function->stats.provisioned_starts && is_blind(sim, function);
	if (*ret_is_blind)
		return NULL;
	if (stats.provisioned_starts == function->stats.provisioned_starts)
		attempt = begin(next_invocation(sim, function, NULL));
	else if (sim->place->kind != PLACE_HOST || sim->model.target)
		return NULL;
	else
		attempt = model_begin(function, NULL);
	sim->model.steps += attempt && !attempt->invocation;
	if (attempt && !attempt->is_init)
		complain("init", "f%d has a warm worker", function->name);
	return attempt;
}

/* It goes with the model, since without a fini, or where a run is given up, nobody else frees it. */
static int *new_state(struct sim *sim, const struct model_function *function)
{
	int *state = model_alloc(&sim->model, sizeof(*state));

	*state = ++sim->workers;
	sim->states_alive += function->has_fini;
	return state;
}

static int run_init(struct sim *sim, struct model_attempt *attempt, faas_context *context)
{
	struct place place = {.kind = PLACE_HANDLER, .context = context, .attempt = attempt};
	int result;

	place_push(sim, &place);
	trace("init of f%d%s", attempt->function->name, attempt->invocation ? "" : ", ahead of need");
	compare_context(sim, context, attempt);
	result = script_init(sim, attempt);
	trace("returns %d", result);
	place_pop(sim);
	return result;
}

int hook_init(faas_context *context, void **ret_state)
{
	struct model_function *function = faas_context_user(context);
	struct sim *sim = sim_of(function->model);
	struct model_attempt *attempt;
	int result = 0, *state = NULL;
	bool is_blind_one;

	if (has_failed())
		return 0;
	catch_up(sim);
	attempt = attempt_of_init(sim, function, &is_blind_one);
	if (!attempt && !is_blind_one)
		complain("init", "f%d starts a worker ahead of need inside of something", function->name);
	if (has_failed())
		return 0;
	if (attempt)
		result = run_init(sim, attempt, context);
	if (result == 0) {
		state = new_state(sim, function);
		*ret_state = state;
	}
	if (is_blind_one)
		function->blind_init = *state;
	else if (!has_failed())
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
	/* What expires in one turn, and what their records push out, is settled one by one. */
	if (!invocation->is_one_of_many)
		script_callback(sim, draw_mix(invocation->event->script, 3), invocation->event->plain);
	place_pop(sim);
	if (place.holds_clock)
		model_call_ended(invocation);
}

void hook_emission_settled(faas_emission *real, void *user)
{
	struct model_emission *emission = user;
	struct sim *sim = sim_of(emission->model);
	struct place place = {.kind = PLACE_CALLBACK};

	if (has_failed())
		return;
	catch_up(sim);
	place.holds_clock = emission->call == CALL_DUE_NOW;
	model_called(&sim->model, &emission->call);
	place_push(sim, &place);
	trace("callback of an emission of %d", emission->count);
	expect("emission count", emission->count, faas_emission_count(real));
	place_pop(sim);
	if (place.holds_clock)
		model_call_ended(emission->last);
}
