/* SPDX-License-Identifier: MIT */
/*
 * What the library decides by drawing: the model is told, and says whether it may be so. Where delays are drawn, time
 * passes in steps that stop before and at each moment that either of the two knows of, so that what happened in one of
 * them is known as exactly as can be.
 */
#include "sim.h"

#define PIECES 64       /* of what is left of a delay, while nobody says when it ends */
#define LEAST_PIECE (MS / 50)

/* ---- Watching ------------------------------------------------------------------------------------------------------- */

void watch(struct sim *sim, struct model_invocation *invocation, faas_invocation *real)
{
	struct watch *watch;

	if (!model_draws(invocation->function) || model_is_settled(invocation))
		return;
	watch = model_alloc(&sim->model, sizeof(*watch));
	watch->model = invocation;
	watch->next = sim->watches;
	sim->watches = watch;
	invocation->watched = faas_invocation_ref(real);
}

static void unwatch_settled(struct sim *sim, bool all)
{
	struct watch **at = &sim->watches;

	while (*at) {
		struct model_invocation *invocation = (*at)->model;

		if (!all && !model_is_settled(invocation)) {
			at = &(*at)->next;
			continue;
		}
		*at = (*at)->next;
		faas_invocation_unref(invocation->watched);
		invocation->watched = NULL;
	}
}

void unwatch_all(struct sim *sim)
{
	unwatch_settled(sim, true);
}

/* ---- Asking --------------------------------------------------------------------------------------------------------- */

static bool has_questions(const struct model_function *function)
{
	return function->undecided || function->queue_doubt > 0 || function->demand.least < function->demand.target ||
	       (function->delays && function->delays->ready == NEVER);
}

static void learn_of(struct sim *sim, bool is_clock)
{
	for (struct model_function *function = sim->model.functions; function && !has_failed(); function = function->next) {
		struct faas_function_stats found = {.struct_size = sizeof(found)};

		if (!function->real || !has_questions(function))
			continue;
		(void)faas_function_stats(function->real, &found);
		model_learn_target(function, found.warm_target);
		model_learn_draws(function, &found, is_clock);
		model_learn_queue_time(function, &found.queue_time);
	}
	unwatch_settled(sim, false);
}

void learn(struct sim *sim)
{
	learn_of(sim, false);
}

/* ---- Time ----------------------------------------------------------------------------------------------------------- */

/* Right before that moment, or at it. */
static int64_t up_to(int64_t now, int64_t at)
{
	return at > now + 1 ? at - 1 : now + 1;
}

/* When the library says that something is due, of which the model does not know; NEVER: it does not. */
static int64_t told_draw(struct sim *sim)
{
	int64_t expected = model_next_due(&sim->model), found = 0;

	expect("next due", FAAS_OK, faas_next_due(sim->runtime, &found));
	if (found > 0 && (expected < 0 || found < expected))
		return sim->model.now + found;
	return NEVER;
}

/* Whether it is promised to be no earlier than that. */
static bool is_exact(const struct sim *sim)
{
	return sim->place->kind == PLACE_HOST && !has_rates(sim);
}

/* Until when it may pass at once. */
static int64_t next_stop(struct sim *sim, int64_t told)
{
	const int64_t now = sim->model.now, first = model_first_draw(&sim->model, false);
	int64_t stop = up_to(now, model_next_moment(&sim->model));

	if (first == NEVER)
		return stop;
	if (told != NEVER)
		return sooner(stop, up_to(now, told));
	if (first > now + 1)
		return sooner(stop, first - 1);
	return sooner(stop, now + LEAST_PIECE + (model_first_draw(&sim->model, true) - now) / PIECES);
}

static void pass(struct sim *sim, int64_t until)
{
	int64_t duration = until - sim->model.now;

	model_advance(&sim->model, duration);
	expect("advance", FAAS_OK, faas_clock_advance(sim->clock, duration));
	expect("now", sim->model.now, faas_clock_now(sim->clock));
	if (!has_failed())
		learn_of(sim, true);
}

/* A callback that comes at once holds the clock for whatever is called inside it, a release for example. */
static bool clock_is_held(const struct sim *sim)
{
	const struct place *place = sim->place;

	while (place && !place->holds_clock)
		place = place->outer;
	return place != NULL;
}

void advance(struct sim *sim, int64_t duration)
{
	const int64_t until = sim->model.now + duration;

	if (clock_is_held(sim))
		return;
	trace("advance %lld ns", (long long)duration);
	learn(sim);
	while (!has_failed() && model_has_jitter(&sim->model) && sim->model.now < until) {
		const int64_t told = told_draw(sim);
		const uint64_t before = sim->model.draws_over;

		pass(sim, sooner(until, next_stop(sim, told)));
		if (!has_failed() && sim->model.now == told && sim->model.draws_over == before && is_exact(sim))
			complain("next due", "nothing came when it was due");
	}
	if (!has_failed() && sim->model.now <= until)
		pass(sim, until);
}
