/* SPDX-License-Identifier: MIT */
/* Characters: UTF-8, white space and case. */
#ifndef FAAS_FILTER_TEXT_H
#define FAAS_FILTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHARACTER_MAX 4u /* bytes */

/* Whether a byte begins a character, in a text that is UTF-8. */
static inline bool faas__filter_is_start(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

/* Decodes the character at `at`, which has `bytes` > 0 bytes. Its bytes, or 0: malformed. */
size_t faas__filter_decode(const char *at, size_t bytes, uint32_t *ret_code);

/* Writes a character into CHARACTER_MAX bytes. Its bytes. */
size_t faas__filter_encode(uint32_t code, char *at);

/* Where the first byte that is not UTF-8 stands; `bytes` if there is none. */
size_t faas__filter_utf8_end(const char *text, size_t bytes);

/* How many characters a text has. */
size_t faas__filter_length(const char *text, size_t bytes);

/* How many bytes the first `characters` characters take; `bytes` if there are not so many. */
size_t faas__filter_skip(const char *text, size_t bytes, size_t characters);

/* Unicode's property White_Space. */
bool faas__filter_is_space(uint32_t code);

/* The upper-case or lower-case counterpart, or the character itself. Simple mappings: one character to one. */
uint32_t faas__filter_recase(uint32_t code, bool upper);

#endif
