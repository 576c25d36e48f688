/* SPDX-License-Identifier: MIT */
/*
 * Text checks. Strings that are plain ASCII, which nearly all are, pass byte by byte through one comparison; anything
 * else is decoded. Reading eight bytes at a time would be faster and would read past the end of what the caller gave.
 */
#include "base/text.h"

#include <string.h>

#include "base/atomics.h"
#include "base/random.h"
#include "faas/common.h"

/* Decodes one character that is not ASCII. Its bytes, or 0: malformed. */
static size_t decode(const unsigned char *at, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t bytes = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	uint32_t code;

	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	code = at[0] & (0xffu >> (bytes + 1));
	for (size_t i = 1; i < bytes; i++) {
		if ((at[i] & 0xc0) != 0x80) /* the closing NUL stops this as well */
			return 0;
		code = code << 6 | (at[i] & 0x3fu);
	}
	if (code < least[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return bytes;
}

static bool is_barred(uint32_t code)
{
	return code <= 0x9f || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

seldom int faas__text_check(const char *text, size_t limit, size_t *ret_bytes)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t i = 0;

	while (at[i] != 0) {
		uint32_t code;
		size_t bytes = 1;

		if (unlikely(at[i] < 0x20 || at[i] == 0x7f))
			return FAAS_EATTRIBUTE;
		if (unlikely(at[i] >= 0x80)) {
			bytes = decode(at + i, &code);
			if (bytes == 0)
				return FAAS_ETEXT;
			if (is_barred(code))
				return FAAS_EATTRIBUTE;
		}
		i += bytes;
		if (unlikely(i > limit))
			return FAAS_ETOOLONG;
	}
	*ret_bytes = i;
	return FAAS_OK;
}

/* Whether a token of these bytes, which `end` follows, may stand in a type or pattern. */
static bool is_token(const unsigned char *token, size_t bytes, unsigned char end, bool wildcards)
{
	if (bytes != 1)
		return bytes > 0;
	if (token[0] == '*')
		return wildcards;
	return token[0] != '>' || (wildcards && end == 0);
}

int faas__type_check(const char *type, bool wildcards, int code, size_t *ret_bytes)
{
	const unsigned char *const first = (const unsigned char *)type;
	const unsigned char *at = first, *token = first;

	for (;;) {
		uint32_t character;
		size_t bytes;

		/* What nearly all consist of, by one comparison each. */
		while ((unsigned char)(*at - '/') < 0x7f - '/')
			at++;
		if (*at == '.' || *at == 0) {
			if (at - first > FAAS_MAX_TYPE)
				return FAAS_ETOOLONG;
			if (!is_token(token, (size_t)(at - token), *at, wildcards))
				return code;
			if (*at == 0)
				break;
			token = ++at;
		} else if (*at <= ' ' || *at == 0x7f) {
			return code;
		} else if (*at < 0x80) {
			at++;
		} else {
			bytes = decode(at, &character);
			if (bytes == 0)
				return FAAS_ETEXT;
			if (is_barred(character))
				return code;
			at += bytes;
		}
	}
	*ret_bytes = (size_t)(at - first);
	return FAAS_OK;
}

uint64_t faas__text_hash(const char *text, size_t bytes, uint64_t seed)
{
	uint64_t hash = seed ^ (bytes * 0x9e3779b97f4a7c15u), word = 0;

	while (bytes > sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
		text += sizeof(word);
		bytes -= sizeof(word);
	}
	/* Byte by byte: a copy of so few whose number is not known would be a call. */
	while (bytes > 0)
		word = word << 8 | (unsigned char)text[--bytes];
	return faas__mix64(hash ^ word);
}

seldom size_t faas__name_check(const char *name)
{
	size_t i;

	for (i = 0; name[i] != 0; i++) {
		char c = name[i];
		bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';

		if (!fits || i == FAAS_MAX_NAME)
			return 0;
	}
	return i;
}
