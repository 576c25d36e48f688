/* SPDX-License-Identifier: MIT */
/*
 * LIKE. A pattern is rewritten once, when it is compiled: `%` and a bare `_` become bytes that UTF-8 never has, escaped
 * ones become themselves, and in front stand how many bytes are literal before the first wildcard and after the last.
 * Those two are compared at once, which is all there is to do for `images/%` and `%.png`.
 *
 *     head (2 bytes) | tail (2 bytes) | literal head | wildcards and literals | literal tail
 *
 * In between, a failed attempt goes back to the last `%` only and lets it swallow one character more: what an earlier
 * `%` could swallow instead, the last one can as well. So an attempt is one character of the text against the rest of
 * the pattern at worst, characters of the text times bytes of the pattern in all, and every step is paid for. Matching
 * by recursion, or by handing the pattern to regexec, takes exponential time or memory that nobody bounds.
 *
 * Rules: CESQL v1, 3.4.3 "Like operator". `%` and `_` alone can be escaped; any other backslash is a character.
 */
#include <string.h>

#include "filter/run.h"
#include "filter/text.h"

#define ANY_RUN '\xff' /* % */
#define ANY_ONE '\xfe' /* _ */

/* ---- Preparing --------------------------------------------------------------------------------------------------- */

static bool is_wildcard(char byte)
{
	return byte == ANY_RUN || byte == ANY_ONE;
}

/* Resolves escapes; several `%` in a row are one. In place: it never grows. The new length. */
seldom static size_t rewrite(char *pattern, size_t bytes)
{
	size_t length = 0;

	for (size_t i = 0; i < bytes; i++) {
		char c = pattern[i];

		if (c == '\\' && i + 1 < bytes && (pattern[i + 1] == '%' || pattern[i + 1] == '_'))
			c = pattern[++i];
		else if (c == '%')
			c = ANY_RUN;
		else if (c == '_')
			c = ANY_ONE;
		if (c != ANY_RUN || length == 0 || pattern[length - 1] != ANY_RUN)
			pattern[length++] = c;
	}
	return length;
}

seldom size_t faas__filter_like_prepare(char *at, size_t bytes)
{
	char *body = at + LIKE_HEADER;
	size_t length = rewrite(body, bytes), literal = 0;
	uint16_t head, tail;

	while (literal < length && !is_wildcard(body[literal]))
		literal++;
	head = (uint16_t)literal;
	while (literal < length && !is_wildcard(body[length - 1 - (literal - head)]))
		literal++;
	tail = (uint16_t)(literal - head);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), &tail, sizeof(tail));
	return length + LIKE_HEADER;
}

/* ---- Matching ---------------------------------------------------------------------------------------------------- */

static size_t next_character(const char *text, size_t bytes, size_t at)
{
	do
		at++;
	while (at < bytes && !faas__filter_is_start(text[at]));
	return at;
}

/* The whole text against the whole pattern. */
static bool match(struct run *run, const char *text, size_t bytes, const char *pattern, size_t length)
{
	size_t t = 0, p = 0, last_t = 0, last_p = 0; /* where to go back to; last_p is 0: there was no % */

	while (t < bytes) {
		if (!faas__filter_spend(run, 1))
			return false;
		if (p < length && pattern[p] == ANY_RUN) {
			last_p = ++p;
			last_t = t;
			if (p == length)
				return true;
		} else if (p < length && pattern[p] == ANY_ONE) {
			p++;
			t = next_character(text, bytes, t);
		} else if (p < length && pattern[p] == text[t]) {
			p++;
			t++;
		} else if (last_p > 0) {
			p = last_p;
			t = last_t = next_character(text, bytes, last_t);
		} else {
			return false;
		}
	}
	while (p < length && pattern[p] == ANY_RUN)
		p++;
	return p == length;
}

bool faas__filter_like(struct run *run, struct value *x, const char *pattern, size_t bytes)
{
	size_t length = bytes - LIKE_HEADER, literal;
	uint16_t head, tail;

	memcpy(&head, pattern, sizeof(head));
	memcpy(&tail, pattern + sizeof(head), sizeof(tail));
	pattern += LIKE_HEADER;
	literal = (size_t)head + tail;
	faas__filter_cast(run, x, FAAS_ATTRIBUTE_STRING);
	if (x->bytes < literal || !faas__filter_spend(run, literal / 16) || memcmp(x->text, pattern, head) != 0)
		return false;
	if (head == length)
		return x->bytes == length;
	if (memcmp(x->text + x->bytes - tail, pattern + length - tail, tail) != 0)
		return false;
	if (length - literal == 1 && pattern[head] == ANY_RUN)
		return true;
	return match(run, x->text + head, x->bytes - literal, pattern + head, length - literal);
}
