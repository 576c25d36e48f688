/* SPDX-License-Identifier: MIT */
/*
 * Makes file names fit to be printed: well-formed UTF-8 passes, everything else is escaped byte by byte.
 */
#include "printable.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How many bytes a character that begins with this byte has; 0: none begins so. */
static size_t length_by_first(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xC2 && first < 0xE0)
		return 2;
	if (first >= 0xE0 && first < 0xF0)
		return 3;
	return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

/* Control characters, surrogates, and the code points that Unicode sets aside as no characters. */
static int is_printable(uint32_t point)
{
	if (point < 0x20 || (point >= 0x7F && point < 0xA0) || point == '\\')
		return 0;
	if ((point >= 0xD800 && point < 0xE000) || (point >= 0xFDD0 && point < 0xFDF0))
		return 0;
	return (point & 0xFFFE) != 0xFFFE && point < 0x110000;
}

/* The length of the printable character that text begins with; 0: it begins with none. */
static size_t printable_length(const char *text)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter ones must not be written longer */
	unsigned char first = (unsigned char)*text;
	size_t length = length_by_first(first);
	uint32_t point = length == 1 ? first : first & (0x7Fu >> length);
	for (size_t i = 1; i < length; i++) {
		unsigned char byte = (unsigned char)text[i]; /* a NUL ends the loop: it is no continuation */
		if ((byte & 0xC0) != 0x80)
			return 0;
		point = point << 6 | (byte & 0x3F);
	}
	return length && point >= least[length] && is_printable(point) ? length : 0;
}

void printable_name(const char *name, char *ret_text, size_t size)
{
	size_t used = 0;
	while (*name) {
		size_t length = printable_length(name);
		if (used + (length ? length : 4) >= size)
			break;
		if (length)
			memcpy(ret_text + used, name, length);
		else
			snprintf(ret_text + used, size - used, "\\x%02x", (unsigned)(unsigned char)*name);
		used += length ? length : 4;
		name += length ? length : 1;
	}
	ret_text[used] = '\0';
}
