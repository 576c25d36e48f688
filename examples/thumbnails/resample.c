/* SPDX-License-Identifier: MIT */
/*
 * Exact area averaging. A pixel of the thumbnail covers width / out_width pixels of a row, which is rarely a whole
 * number, so pixels at its edges count by the part that lies inside. Choosing 1 / out_width of a pixel as the unit
 * makes all those parts whole numbers: a source pixel is out_width units wide and a thumbnail's pixel `width` units.
 * The same holds down the columns. So everything is added up in integers, without any rounding, and divided once at
 * the end: the result is the same on every machine.
 *
 * The largest sum is LIGHT_WHITE * width * height, which is under 2^62 with sides of at most 1,000,000. As a thumbnail
 * is never larger than its picture, a source pixel reaches into at most two pixels of the thumbnail each way.
 */
#include "resample.h"

#include <string.h>

/* The length of a side when the longest one becomes `longest`: rounded, at least 1, never more than it was. */
static uint32_t shorten(uint32_t side, uint32_t longest_side, uint32_t longest)
{
	if (longest_side <= longest)
		return side;
	uint64_t shorter = ((uint64_t)side * longest + longest_side / 2) / longest_side;
	return shorter ? (uint32_t)shorter : 1;
}

int resample_begin(struct resample *resample, uint32_t width, uint32_t height, uint32_t channels, uint32_t longest)
{
	uint32_t longest_side = width > height ? width : height;
	resample->width = width;
	resample->height = height;
	resample->channels = channels;
	resample->out_width = shorten(width, longest_side, longest);
	resample->out_height = shorten(height, longest_side, longest);
	resample->rows_left = height;

	size_t samples = (size_t)resample->out_width * channels;
	if (buffer_reserve(&resample->row, samples * sizeof(uint64_t)) < 0 ||
	    buffer_reserve(&resample->sum, samples * sizeof(uint64_t)) < 0 ||
	    buffer_reserve(&resample->pixels, samples * resample->out_height) < 0)
		return -1;
	memset(resample->sum.data, 0, samples * sizeof(uint64_t));
	resample->pixels.size = 0;
	return 0;
}

/* Averages one channel of a row across, into every `channels`th element of `out`. */
static void squeeze(const struct resample *resample, const uint16_t *samples, const uint32_t *linear, uint64_t *out)
{
	const uint32_t unit = resample->out_width;
	uint32_t left = resample->width; /* what the current pixel of the thumbnail still needs */
	uint64_t sum = 0;
	for (uint32_t x = 0; x < resample->width; x++, samples += resample->channels) {
		uint64_t light = linear[*samples];
		if (unit < left) {
			sum += light * unit;
			left -= unit;
			continue;
		}
		*out = sum + light * left;
		out += resample->channels;
		sum = light * (unit - left);
		left = resample->width - (unit - left);
	}
}

/* Adds the averaged row to the current row of the thumbnail. */
static void add_row(struct resample *resample, uint32_t weight)
{
	const uint64_t *row = resample->row.data;
	uint64_t *sum = resample->sum.data;
	size_t samples = (size_t)resample->out_width * resample->channels;
	for (size_t i = 0; i < samples; i++)
		sum[i] += row[i] * weight;
}

/* Turns the finished sums into a row of pixels and starts the next row at zero. */
static void finish_row(struct resample *resample, const struct light *light)
{
	uint64_t *sum = resample->sum.data;
	uint8_t *pixels = (uint8_t *)resample->pixels.data + resample->pixels.size;
	uint64_t area = (uint64_t)resample->width * resample->height;
	size_t samples = (size_t)resample->out_width * resample->channels;
	for (size_t i = 0; i < samples; i++) {
		pixels[i] = light_to_sample(light, (uint32_t)((sum[i] + area / 2) / area));
		sum[i] = 0;
	}
	resample->pixels.size += samples;
}

void resample_row(struct resample *resample, const uint16_t *samples, const uint32_t *linear, const struct light *light)
{
	const uint32_t unit = resample->out_height;
	uint64_t *row = resample->row.data;
	for (uint32_t channel = 0; channel < resample->channels; channel++)
		squeeze(resample, samples + channel, linear, row + channel);
	if (unit < resample->rows_left) {
		add_row(resample, unit);
		resample->rows_left -= unit;
		return;
	}
	uint32_t rest = unit - resample->rows_left;
	add_row(resample, resample->rows_left);
	finish_row(resample, light);
	add_row(resample, rest);
	resample->rows_left = resample->height - rest;
}

void resample_deinit(struct resample *resample)
{
	buffer_deinit(&resample->pixels);
	buffer_deinit(&resample->row);
	buffer_deinit(&resample->sum);
}
