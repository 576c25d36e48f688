/* SPDX-License-Identifier: MIT */
/*
 * Characters. CESQL counts and cuts strings by character, which here is a Unicode code point (CESQL v1, 3.1 "Type
 * system": a String is a sequence of Unicode characters); what readers take for one character may be several.
 *
 * Events and expressions are checked to be UTF-8 when they come in, so counting is counting the bytes that begin a
 * character. Decoding checks its bounds nevertheless: whatever slipped through must not be read past its end.
 */
#include "filter/text.h"

size_t faas__filter_decode(const char *at, size_t bytes, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)at[0];
	size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t code = length == 1 ? first : first & (0x7fu >> length);

	if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || length > bytes)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if (faas__filter_is_start(at[i]))
			return 0;
		code = code << 6 | ((unsigned char)at[i] & 0x3fu);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

size_t faas__filter_encode(uint32_t code, char *at)
{
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = length - 1; i > 0; i--) {
		at[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	at[0] = (char)(lead[length] | code);
	return length;
}

size_t faas__filter_utf8_end(const char *text, size_t bytes)
{
	size_t i = 0;

	while (i < bytes) {
		uint32_t code;
		size_t length = faas__filter_decode(text + i, bytes - i, &code);

		if (length == 0)
			return i;
		i += length;
	}
	return bytes;
}

size_t faas__filter_length(const char *text, size_t bytes)
{
	size_t count = 0;

	for (size_t i = 0; i < bytes; i++)
		count += faas__filter_is_start(text[i]);
	return count;
}

size_t faas__filter_skip(const char *text, size_t bytes, size_t characters)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		if (faas__filter_is_start(text[i]) && characters-- == 0)
			break;
	return i;
}

bool faas__filter_is_space(uint32_t code)
{
	return (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 || code == 0x1680 ||
	       (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
	       code == 0x3000;
}
