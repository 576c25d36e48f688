/* SPDX-License-Identifier: MIT */
/* Strings from callers: how long, whether well-formed, and a hash of their bytes. */
#ifndef FAAS_BASE_TEXT_H
#define FAAS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Measures a string of at most `limit` bytes. 0, FAAS_ETOOLONG, FAAS_ETEXT (not UTF-8 as RFC 3629 has it), or
 * FAAS_EATTRIBUTE: a character that CloudEvents bars from strings (U+0000-U+001F, U+007F-U+009F, surrogates and
 * noncharacters; CloudEvents 1.0.2, "Type System").
 */
int faas__text_check(const char *text, size_t limit, size_t *ret_bytes);

/*
 * Measures an event's type or a pattern over types: dot-separated tokens, none empty, without spaces and barred
 * characters. `wildcards`: `*` and a last `>` are allowed as tokens. 0, FAAS_ETOOLONG, FAAS_ETEXT, or `code`.
 */
int faas__type_check(const char *type, bool wildcards, int code, size_t *ret_bytes);

/* The length of a text of nothing but at most `limit` spaces and graphic ASCII, which is well-formed; 0: it is another. */
static inline size_t faas__text_plain(const char *text, size_t limit)
{
	size_t bytes = 0;

	while (bytes < limit && (unsigned char)(text[bytes] - ' ') < 0x7f - ' ')
		bytes++;
	return text[bytes] == 0 ? bytes : 0;
}

/* A hash of bytes, different for every seed. */
uint64_t faas__text_hash(const char *text, size_t bytes, uint64_t seed);

/* Whether `name` is 1 to FAAS_MAX_NAME of [A-Za-z0-9_-]; its length if so, else 0. */
size_t faas__name_check(const char *name);

#endif
