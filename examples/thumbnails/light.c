/* SPDX-License-Identifier: MIT */
/*
 * The sRGB curve (IEC 61966-2-1) as tables: linear below 0.04045, a power of 2.4 above. That power is the twelfth power
 * of the fifth root, and Newton's method finds the root with nothing but plain arithmetic, so the tables do not depend
 * on whose math library is linked. The way back needs no curve: the 255 borders between neighbouring 8-bit samples
 * are light values too, and a search among them finds the sample.
 */
#include "light.h"

/* x must be in (0, 1]. From 1 the steps come down towards the root and stop when they no longer do. */
static double fifth_root(double x)
{
	double root = 1.0;
	for (;;) {
		double fourth = root * root * root * root;
		double next = root - (root * fourth - x) / (5.0 * fourth);
		if (next >= root - 1e-15)
			return root;
		root = next;
	}
}

static uint32_t linear_from_srgb(double sample)
{
	double light = sample / 12.92;
	if (sample > 0.04045) {
		double root = fifth_root((sample + 0.055) / 1.055);
		double cube = root * root * root;
		light = cube * cube * cube * cube;
	}
	return (uint32_t)(light * LIGHT_WHITE + 0.5);
}

void light_init(struct light *light)
{
	for (uint32_t i = 0; i < 65536; i++)
		light->linear[i] = linear_from_srgb(i / 65535.0);
	for (uint32_t i = 0; i < 255; i++)
		light->threshold[i] = linear_from_srgb((i + 0.5) / 255.0);
	light->maxval = 0;
}

const uint32_t *light_of_samples(struct light *light, uint32_t maxval)
{
	if (maxval == 65535)
		return light->linear;
	if (maxval != light->maxval)
		for (uint32_t i = 0; i <= maxval; i++)
			light->scaled[i] = light->linear[(i * 65535u + maxval / 2) / maxval];
	light->maxval = maxval;
	return light->scaled;
}

uint8_t light_to_sample(const struct light *light, uint32_t linear)
{
	uint32_t low = 0;
	uint32_t high = 255;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (linear >= light->threshold[middle])
			low = middle + 1;
		else
			high = middle;
	}
	return (uint8_t)low;
}
