/* SPDX-License-Identifier: MIT */
/*
 * Light. The samples of a picture are not proportional to light but to about its square root (the sRGB curve), so
 * averaging them as they are would make fine bright detail too dark. These tables lead from samples to linear light,
 * where averages are right, and back.
 */
#ifndef THUMBNAILS_LIGHT_H
#define THUMBNAILS_LIGHT_H

#include <stdint.h>

#define LIGHT_WHITE ((1u << 22) - 1) /* linear light goes from 0 to this */

struct light {
	uint32_t linear[65536];  /* of each 16-bit sample */
	uint32_t threshold[255]; /* [i]: the least light whose 8-bit sample is over i */
	uint32_t maxval;         /* the scale that `scaled` was made for; 0: none yet */
	uint32_t scaled[65536];  /* [0..maxval]: the light of each sample of that scale */
};

/* Makes the tables: some milliseconds of arithmetic, worth doing once. */
void light_init(struct light *light);

/* The light of each sample from 0 to `maxval`, which is at most 65535. Valid until the next call. */
const uint32_t *light_of_samples(struct light *light, uint32_t maxval);

/* The 8-bit sRGB sample nearest to a linear light. */
uint8_t light_to_sample(const struct light *light, uint32_t linear);

#endif
