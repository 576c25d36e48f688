/* SPDX-License-Identifier: MIT */
/* What user code does: decided by the event (or function) it is called for, so that a run can be repeated and cut. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

const char *script_text(int number)
{
	static char text[32];

	(void)snprintf(text, sizeof(text), "text %d", number);
	return text;
}

/* ---- Time ----------------------------------------------------------------------------------------------------------- */

/* Up to about this long, or past it, or exactly. */
static void take_time(struct sim *sim, const struct draw *draw, unsigned field, int64_t limit)
{
	int64_t most = limit < 50 * MS ? limit : 5 * MS;

	switch (draw_pick(draw, field, 10)) {
	case 5:
		advance(sim, draw_pick(draw, field, 100));
		break;
	case 6:
		advance(sim, draw_pick(draw, field, (int)(most / 1000)) * 1000);
		break;
	case 7:
		advance(sim, most - 1 + draw_pick(draw, field, 3));
		break;
	case 8:
		advance(sim, most + draw_pick(draw, field, (int)most));
		break;
	default:
		break;
	}
}

/* ---- Handlers ------------------------------------------------------------------------------------------------------- */

/* Passes the event on to itself, until it has gone too far. */
static void pass_on(struct sim *sim, const struct model_event *event, struct model_function *function)
{
	struct draw draw = {.seed = draw_mix(event->script, 11), .plain = event->plain};
	struct model_event *next = new_event(sim, &draw, false);

	next->relay = event->relay;
	next->payload = 8;
	if (function->is_open || function->real)
		send(sim, function, next, event->relay == 2, &draw);
}

static int reply(struct sim *sim, struct model_attempt *attempt, faas_context *context, int number)
{
	const char *text = script_text(number);

	(void)sim;
	expect("reply", FAAS_OK, faas_context_reply(context, text, strlen(text), number % 2 ? "text/plain" : NULL));
	attempt->answer = number;
	return 0;
}

static int fail(struct model_attempt *attempt, faas_context *context, int number)
{
	attempt->message = number;
	if (number % 4 == 3) {
		attempt->is_permanent = true;
		return faas_context_fail_permanent(context, script_text(number));
	}
	return faas_context_fail(context, script_text(number));
}

static void check_arena(faas_context *context, const struct draw *draw)
{
	int bytes = draw_pick(draw, 23, 3000);
	void *memory;

	if (draw_pick(draw, 22, 8) != 7)
		return;
	memory = faas_context_alloc(context, (uint64_t)bytes);
	if (!memory || (uintptr_t)memory % 16 != 0)
		complain("arena", "%d bytes at %p", bytes, memory);
	else
		memset(memory, 1, (size_t)bytes);
}

/* What it returns, and what it says before. */
static int end_handler(struct sim *sim, struct model_attempt *attempt, const struct draw *draw)
{
	faas_context *context = sim->place->context;
	int number = attempt->invocation->event->number, result = 0;

	switch (draw_pick(draw, 19, 12)) {
	case 5:
		return reply(sim, attempt, context, number);
	case 6:
		(void)reply(sim, attempt, context, number);
		return reply(sim, attempt, context, number + 1);
	case 7:
	case 8:
		return 1 + draw_pick(draw, 20, 100);
	case 9:
		return fail(attempt, context, number);
	case 10:
		return fail(attempt, context, number + attempt->invocation->attempts);
	case 11:
		/* What it said and does not mean. What then becomes of what it said of a deferral is not promised. */
		if (attempt->deferral)
			break;
		(void)fail(attempt, context, number);
		result = draw_pick(draw, 20, 2) - 1;
		if (result == 0)
			(void)reply(sim, attempt, context, number);
		break;
	default:
		break;
	}
	return result;
}

/* Of the functions that follow demand some take long, so that it asks for workers. */
static bool is_slow(const struct model_function *function)
{
	const struct draw draw = {.seed = function->script.seed, .plain = function->script.plain};

	return function->follows_demand && draw_chance(&draw, 21, 60);
}

int script_handler(struct sim *sim, struct model_attempt *attempt, const struct model_event *event)
{
	const struct model_invocation *invocation = attempt->invocation;
	const uint64_t which = (uint64_t)(invocation->hops - event->hops) * 100 + (uint64_t)invocation->attempts - 1;
	struct draw draw = {.seed = draw_mix(event->script, (uint64_t)attempt->function->name + 10 * which),
	                    .plain = event->plain};
	struct draw more = draw_child(&draw, 60);
	/* What is tried again, or comes of something else, does less, so that a run comes to an end. */
	int actions = draw_pick(&draw, 16, which > 0 ? 7 : 8) - 5;

	check_arena(sim->place->context, &draw);
	if (draw_chance(&more, 16, 25))
		take_token(sim, attempt, &more);
	if (draw_pick(&draw, 17, 2) == 1)
		take_time(sim, &draw, 18, attempt->function->deadline);
	if (event->relay && sim->events < EVENTS_MAX)
		pass_on(sim, event, attempt->function);
	for (int i = 0; i < actions && !has_failed() && sim->events < EVENTS_MAX; i++) {
		struct draw action = draw_child(&draw, (uint64_t)i);

		ops_do_inside(sim, &action);
	}
	if (draw_pick(&draw, 17, 2) == 0)
		take_time(sim, &draw, 18, attempt->function->deadline);
	if (is_slow(attempt->function) && draw_chance(&more, 20, 60))
		advance(sim, draw_pick(&more, 21, 2000) * MS);
	/* So that not too much falls due at the same moment. */
	if (draw_chance(&more, 18, 90))
		advance(sim, 1 + draw_pick(&more, 19, 7));
	if (has_failed())
		return 0;
	compare_context(sim, sim->place->context, attempt);
	return end_handler(sim, attempt, &draw);
}

int script_init(struct sim *sim, struct model_attempt *attempt)
{
	struct model_function *function = attempt->function;
	struct draw draw = {.seed = draw_mix(function->script.seed, (uint64_t)++function->inits),
	                    .plain = function->script.plain};
	faas_deferral *deferral = NULL;
	int result = 0;

	expect("reply in init", FAAS_ESTATE, faas_context_reply(sim->place->context, "x", 1, NULL));
	expect("defer in init", FAAS_ESTATE, faas_context_defer(sim->place->context, &deferral));
	take_time(sim, &draw, 26, function->init_deadline);
	if (draw_pick(&draw, 27, 12) == 11 && sim->events < EVENTS_MAX) {
		struct draw action = draw_child(&draw, 0);

		ops_do_inside(sim, &action);
	}
	if (draw_pick(&draw, 25, 6) == 4)
		result = 1 + draw_pick(&draw, 20, 9);
	else if (draw_pick(&draw, 25, 6) == 5)
		result = fail(attempt, sim->place->context, function->inits);
	return result;
}

/* ---- Callbacks ------------------------------------------------------------------------------------------------------ */

void script_callback(struct sim *sim, uint64_t seed, uint32_t plain)
{
	struct draw draw = {.seed = draw_mix(seed, 21), .plain = plain};

	/* A turn that has something to run is still settling what it found expired. */
	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->taken)
			return;
	if (sim->is_quiet || sim->events >= EVENTS_MAX || draw_pick(&draw, 28, 5) != 4)
		return;
	ops_do_inside(sim, &draw);
}
