/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that a seed decides: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014). Good enough for jitter, ids and turns; not for secrets.
 */
#ifndef FAAS_BASE_RANDOM_H
#define FAAS_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t faas__mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static inline uint64_t faas__random_next(struct random *random)
{
	random->state += 0x9e3779b97f4a7c15u;
	return faas__mix64(random->state);
}

/* A number from the system. 0, or FAAS_ESYSTEM. */
int faas__random_seed(uint64_t *ret_seed);

#endif
