/* SPDX-License-Identifier: MIT */
/*
 * Compresses bytes into a zlib stream (RFC 1950, RFC 1951) of one block with the fixed Huffman codes.
 */
#ifndef THUMBNAILS_DEFLATE_H
#define THUMBNAILS_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

#define DEFLATE_HASHES 4096

struct deflate {
	/* tables, made once */
	uint16_t code[288]; /* of literals, the end mark and lengths, first bit lowest */
	uint8_t code_bits[288];
	uint8_t distance_code[32]; /* 5 bits each */
	/* the run under way */
	size_t seen[DEFLATE_HASHES]; /* by hash of three bytes: 1 + where they last began; 0: never */
	uint8_t *out;
	uint64_t bits; /* bits that do not fill a byte yet */
	unsigned bit_count;
};

void deflate_init(struct deflate *deflate);

/* Compresses `count` bytes into `out`, replacing what is there. 0, or -1: no memory. */
int deflate_run(struct deflate *deflate, const uint8_t *bytes, size_t count, struct buffer *out);

#endif
