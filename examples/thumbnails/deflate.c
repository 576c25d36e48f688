/* SPDX-License-Identifier: MIT */
/*
 * The small way to deflate. At each position a table says where the same three bytes began last; if they are within
 * the 32 KiB window, as many bytes as agree become a pair of length and distance, else the byte is a literal. All are
 * written with the fixed codes of the format, so no code has to be computed or sent.
 *
 * Nothing takes more than 9 bits for each byte it stands for: a literal takes 8 or 9; the dearest pair for three bytes
 * takes 7 + 5 + 13 bits. That bounds the output before the first byte is written.
 */
#include "deflate.h"

#include <string.h>

#define WINDOW 32768u
#define LONGEST_MATCH 258u
#define SHORTEST_MATCH 3u
#define END_OF_BLOCK 256u
#define FIRST_LENGTH 257u

/* Huffman codes are sent first bit first, everything else lowest bit first. */
static uint16_t reverse(uint32_t code, unsigned bits)
{
	uint32_t reversed = 0;
	for (unsigned i = 0; i < bits; i++)
		reversed |= (code >> i & 1u) << (bits - 1 - i);
	return (uint16_t)reversed;
}

static void set_codes(struct deflate *deflate, unsigned first, unsigned last, uint32_t code, unsigned bits)
{
	for (unsigned symbol = first; symbol <= last; symbol++) {
		deflate->code[symbol] = reverse(code++, bits);
		deflate->code_bits[symbol] = (uint8_t)bits;
	}
}

void deflate_init(struct deflate *deflate)
{
	set_codes(deflate, 0, 143, 0x30, 8);
	set_codes(deflate, 144, 255, 0x190, 9);
	set_codes(deflate, 256, 279, 0, 7);
	set_codes(deflate, 280, 287, 0xC0, 8);
	for (uint32_t i = 0; i < 32; i++)
		deflate->distance_code[i] = (uint8_t)reverse(i, 5);
}

static void put_bits(struct deflate *deflate, uint32_t bits, unsigned count)
{
	deflate->bits |= (uint64_t)bits << deflate->bit_count;
	deflate->bit_count += count;
	while (deflate->bit_count >= 8) {
		*deflate->out++ = (uint8_t)deflate->bits;
		deflate->bits >>= 8;
		deflate->bit_count -= 8;
	}
}

static void put_symbol(struct deflate *deflate, unsigned symbol)
{
	put_bits(deflate, deflate->code[symbol], deflate->code_bits[symbol]);
}

/*
 * Lengths and distances are coded like floating-point numbers: the symbol holds the place of the highest bit and the
 * `kept` bits below it, extra bits hold the rest. Small values are their own symbols.
 */
static unsigned split(uint32_t value, unsigned kept, unsigned *ret_extra_bits)
{
	unsigned extra_bits = 0;
	while (value >> extra_bits >= 2u << kept)
		extra_bits++;
	*ret_extra_bits = extra_bits;
	return (extra_bits << kept) + (value >> extra_bits);
}

static void put_match(struct deflate *deflate, uint32_t length, uint32_t distance)
{
	unsigned extra_bits = 0;
	uint32_t value = length - SHORTEST_MATCH;
	if (length == LONGEST_MATCH) {
		put_symbol(deflate, 285); /* the one exception: a symbol of its own */
	} else {
		put_symbol(deflate, FIRST_LENGTH + split(value, 2, &extra_bits));
		put_bits(deflate, value & ((1u << extra_bits) - 1), extra_bits);
	}
	value = distance - 1;
	put_bits(deflate, deflate->distance_code[split(value, 1, &extra_bits)], 5);
	put_bits(deflate, value & ((1u << extra_bits) - 1), extra_bits);
}

/* Notes that three bytes begin at `at`; where they last did before, plus 1, or 0. */
static size_t note(struct deflate *deflate, const uint8_t *bytes, size_t at)
{
	uint32_t three = (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8 | bytes[at + 2];
	uint32_t hash = (three * 2654435761u) >> 20;
	size_t before = deflate->seen[hash];
	deflate->seen[hash] = at + 1;
	return before;
}

static uint32_t match_length(const uint8_t *bytes, size_t before, size_t at, size_t count)
{
	size_t most = count - at < LONGEST_MATCH ? count - at : LONGEST_MATCH;
	uint32_t length = 0;
	while (length < most && bytes[before + length] == bytes[at + length])
		length++;
	return length;
}

static void put_block(struct deflate *deflate, const uint8_t *bytes, size_t count)
{
	size_t at = 0;
	put_bits(deflate, 1, 1); /* the last block */
	put_bits(deflate, 1, 2); /* with the fixed codes */
	while (at < count) {
		size_t before = count - at >= SHORTEST_MATCH ? note(deflate, bytes, at) : 0;
		uint32_t length = 0;
		if (before && at - (before - 1) <= WINDOW)
			length = match_length(bytes, before - 1, at, count);
		if (length < SHORTEST_MATCH) {
			put_symbol(deflate, bytes[at++]);
			continue;
		}
		put_match(deflate, length, (uint32_t)(at - (before - 1)));
		for (size_t end = at++ + length; at < end; at++)
			if (count - at >= SHORTEST_MATCH)
				note(deflate, bytes, at);
	}
	put_symbol(deflate, END_OF_BLOCK);
	put_bits(deflate, 0, (8 - deflate->bit_count) & 7); /* up to a whole byte */
}

static uint32_t adler32(const uint8_t *bytes, size_t count)
{
	uint32_t a = 1;
	uint32_t b = 0;
	for (size_t i = 0; i < count; i++) {
		a = (a + bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

int deflate_run(struct deflate *deflate, const uint8_t *bytes, size_t count, struct buffer *out)
{
	if (buffer_reserve(out, count + count / 8 + 16) < 0)
		return -1;
	memset(deflate->seen, 0, sizeof(deflate->seen));
	deflate->out = out->data;
	deflate->bits = 0;
	deflate->bit_count = 0;
	*deflate->out++ = 0x78; /* deflate with a 32 KiB window */
	*deflate->out++ = 0x01; /* the quick kind; makes the header a multiple of 31 */
	put_block(deflate, bytes, count);
	uint32_t sum = adler32(bytes, count);
	for (int shift = 24; shift >= 0; shift -= 8)
		*deflate->out++ = (uint8_t)(sum >> shift);
	out->size = (size_t)(deflate->out - (uint8_t *)out->data);
	return 0;
}
