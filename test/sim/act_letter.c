/* SPDX-License-Identifier: MIT */
/* Dead letters: walked, redriven, purged. And cancelling all of a function. */
#include "sim.h"

/* In the middle of a settlement it is not promised whether the letter is there already. */
static bool may_look(const struct sim *sim)
{
	return sim->place->kind != PLACE_CALLBACK || !sim->place->holds_clock;
}

void act_walk(struct sim *sim, const struct draw *draw)
{
	struct model_function *function = pick_function(sim, draw);
	struct model_invocation *letter;
	faas_invocation *real = NULL;
	uint64_t position = 0;
	int skip = draw_pick(draw, 2, 4);

	if (!function || !may_look(sim))
		return;
	trace("walk the dead letters of f%d: %llu", function->name, (unsigned long long)function->letter_count);
	for (letter = function->letters; letter && !has_failed(); letter = letter->next) {
		expect("dead letter", FAAS_OK, faas_function_dead_letter(function->real, &position, &real));
		if (has_failed())
			return;
		compare_settled(real, letter);
		if (skip-- == 0)
			(void)handle_add(sim, real, letter);
		else
			faas_invocation_unref(real);
	}
	expect("end of dead letters", FAAS_ENOTFOUND, faas_function_dead_letter(function->real, &position, &real));
}

/* A handle of something that may be a dead letter of the function; NULL: all are meant. */
static struct handle *pick_letter(struct sim *sim, const struct draw *draw, struct model_function **function)
{
	struct handle *handle = draw_chance(draw, 2, 60) ? handle_pick(sim, draw, 3) : NULL;

	*function = handle ? handle->model->function : pick_function(sim, draw);
	return handle;
}

void act_redrive(struct sim *sim, const struct draw *draw)
{
	struct model_function *function;
	const struct handle *handle = pick_letter(sim, draw, &function);
	bool was_quiet = sim->is_quiet;
	faas_invocation *real;
	int expected;

	if (!function || !may_look(sim) || sim->events >= EVENTS_MAX)
		return;
	real = handle ? faas_invocation_ref(handle->real) : NULL;
	expected = model_redrive(function, handle ? handle->model : NULL, sim->place->kind != PLACE_HOST);
	/* So that those that redrive themselves come to an end. */
	sim->events += expected > 0 ? expected : 0;
	trace("redrive %s of f%d -> %s", handle ? "one" : "all", function->name, code_name(expected));
	/* Callbacks of what it pushes out come between those it takes, all of which the model has taken. */
	sim->is_quiet = true;
	expect("redrive", expected, faas_function_redrive(function->real, real));
	sim->is_quiet = was_quiet;
	faas_invocation_unref(real);
}

void act_purge(struct sim *sim, const struct draw *draw)
{
	struct model_function *function;
	const struct handle *handle = pick_letter(sim, draw, &function);
	int expected;

	if (!function || !may_look(sim))
		return;
	expected = model_purge(function, handle ? handle->model : NULL);
	trace("purge %s of f%d -> %s", handle ? "one" : "all", function->name, code_name(expected));
	expect("purge", expected, faas_function_purge(function->real, handle ? handle->real : NULL));
}

void act_cancel_all(struct sim *sim, const struct draw *draw)
{
	struct model_function *function = pick_function(sim, draw);
	bool was_quiet = sim->is_quiet;
	int expected;

	if (!function || sim->place->kind == PLACE_CALLBACK)
		return;
	expected = model_cancel_all(function);
	trace("cancel all of f%d -> %d", function->name, expected);
	sim->is_quiet = true;
	expect("cancel all", expected, faas_function_cancel_all(function->real));
	sim->is_quiet = was_quiet;
}
