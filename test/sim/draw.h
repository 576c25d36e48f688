/* SPDX-License-Identifier: MIT */
/*
 * Where choices come from. A draw is a seed with numbered fields; a field's value depends on nothing else, so leaving
 * one operation out of a run changes no choice of any other. A bit in `plain` makes a field 0, and 0 is always the
 * dullest choice: that is how a failing run is made simple.
 *
 * Fields 0 to 15 belong to operations, 16 to 31 to what handlers and inits do.
 */
#ifndef SIM_DRAW_H
#define SIM_DRAW_H

#include <stdint.h>

struct draw {
	uint64_t seed;
	uint32_t plain;
};

static inline uint64_t draw_mix(uint64_t seed, uint64_t salt)
{
	uint64_t x = seed + (salt + 1) * 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* 0 to count - 1. */
static inline int draw_pick(const struct draw *draw, unsigned field, int count)
{
	if (draw->plain >> field & 1)
		return 0;
	return (int)((draw_mix(draw->seed, field) >> 16) % (uint64_t)count);
}

/* True in `percent` of a hundred cases. */
static inline int draw_chance(const struct draw *draw, unsigned field, int percent)
{
	return draw_pick(draw, field, 100) >= 100 - percent;
}

static inline struct draw draw_child(const struct draw *draw, uint64_t salt)
{
	return (struct draw){.seed = draw_mix(draw->seed, 1000 + salt), .plain = draw->plain};
}

#endif
