/* SPDX-License-Identifier: MIT */
/*
 * Writes 8-bit grey and RGB pictures as PNG, into memory.
 */
#ifndef THUMBNAILS_PNG_H
#define THUMBNAILS_PNG_H

#include <stdint.h>

#include "buffer.h"
#include "deflate.h"

struct png {
	uint32_t crc_table[256];
	struct deflate deflate;
	struct buffer rows;   /* what is compressed: the rows, each with a filter byte in front */
	struct buffer packed; /* compressed */
	struct buffer file;   /* the picture, after png_encode */
};

void png_init(struct png *png);

/* Encodes rows of width * channels samples, channels being 1 or 3, into `png->file`. 0, or -1: no memory. */
int png_encode(struct png *png, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels);

void png_deinit(struct png *png);

#endif
