/* SPDX-License-Identifier: MIT */
/* The operations there are, how often each is chosen, and how a run is made of them. */
#include "sim.h"

#include <stdlib.h>

struct kind {
	void (*act)(struct sim *sim, const struct draw *draw);
	int outside, inside; /* weights: of the host, of handlers and callbacks */
};

static const struct kind kinds[] = {
	{act_run, 30, 1},
	{act_emit, 18, 12},
	{act_invoke_async, 12, 12},
	{act_advance, 11, 2},
	{act_invoke, 8, 14},
	{act_register, 7, 1},
	{act_bind, 5, 1},
	{act_cancel, 5, 8},
	{act_on_settled, 8, 6},
	{act_unref, 7, 3},
	{act_wait, 4, 6},
	{act_unregister, 2, 2},
	{act_unbind, 2, 1},
	{act_ref, 1, 1},
	{act_emission_cancel, 1, 1},
	{act_emission_on_settled, 3, 3},
	{act_emission_unref, 3, 1},
	{act_emission_wait, 2, 3},
	{act_complete, 9, 5},
	{act_token_unref, 3, 2},
	{act_token_ref, 1, 1},
	{act_walk, 3, 1},
	{act_redrive, 3, 2},
	{act_purge, 1, 1},
	{act_cancel_all, 1, 1},
	{act_burst, 1, 0},
};

#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static int pick_kind(uint64_t seed, bool is_inside)
{
	int sum = 0, kind;
	int at;

	for (kind = 0; kind < KINDS; kind++)
		sum += is_inside ? kinds[kind].inside : kinds[kind].outside;
	at = (int)((draw_mix(seed, 555) >> 20) % (uint64_t)sum);
	for (kind = 0; kind < KINDS - 1; kind++) {
		at -= is_inside ? kinds[kind].inside : kinds[kind].outside;
		if (at < 0)
			break;
	}
	return kind;
}

void ops_generate(struct plan *plan, uint64_t seed, int steps)
{
	*plan = (struct plan){.seed = seed, .count = steps};
	plan->ops = calloc((size_t)steps + 1, sizeof(*plan->ops));
	if (!plan->ops)
		abort();
	for (int i = 0; i < steps; i++) {
		plan->ops[i].draw.seed = draw_mix(seed, (uint64_t)i + 100);
		plan->ops[i].kind = pick_kind(plan->ops[i].draw.seed, false);
	}
	/* A beginning with something to run, and in some runs a drain before the end. */
	for (int i = 0; i < steps && i < 12; i++)
		for (int kind = 0; kind < KINDS; kind++)
			if (kinds[kind].act == (i % 2 ? act_bind : act_register))
				plan->ops[i].kind = kind;
	if (draw_mix(seed, 7) % 4 == 0 && steps > 0)
		plan->ops[steps - 1 - (int)(draw_mix(seed, 8) % (uint64_t)(1 + steps / 5))].kind = KINDS;
}

void ops_do(struct sim *sim, const struct op *op)
{
	if (op->kind == KINDS)
		act_drain(sim, &op->draw);
	else
		kinds[op->kind].act(sim, &op->draw);
}

void ops_do_inside(struct sim *sim, const struct draw *draw)
{
	if (draw_pick(draw, 29, 40) == 39) {
		act_drain(sim, draw);
		return;
	}
	kinds[pick_kind(draw->seed, true)].act(sim, draw);
}
