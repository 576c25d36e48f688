/* SPDX-License-Identifier: MIT */
/*
 * Makes pictures smaller by exact area averaging, row by row.
 */
#ifndef THUMBNAILS_RESAMPLE_H
#define THUMBNAILS_RESAMPLE_H

#include <stdint.h>

#include "buffer.h"
#include "light.h"

struct resample {
	/* known after resample_begin */
	uint32_t width;
	uint32_t height;
	uint32_t channels;
	uint32_t out_width;
	uint32_t out_height;
	/* complete after `height` rows: out_height rows of out_width * channels 8-bit samples */
	struct buffer pixels;
	/* its own */
	struct buffer row;  /* uint64_t: the current row, averaged across only */
	struct buffer sum;  /* uint64_t: the current row of the thumbnail so far */
	uint32_t rows_left; /* what the current row of the thumbnail still needs, in 1/out_height of a row */
};

/* Begins a picture whose longest side becomes at most `longest`; smaller ones keep their size. 0, or -1: no memory. */
int resample_begin(struct resample *resample, uint32_t width, uint32_t height, uint32_t channels, uint32_t longest);

/* Takes the next row; `linear` is the light of each sample. */
void resample_row(struct resample *resample, const uint16_t *samples, const uint32_t *linear,
                  const struct light *light);

void resample_deinit(struct resample *resample);

#endif
