/* SPDX-License-Identifier: MIT */
/*
 * Upper and lower case. CESQL's LOWER and UPPER (CESQL v1, 3.5.1) work on Unicode strings, the C library's towlower
 * depends on the host's locale, so the library brings a table of its own.
 *
 * Mappings of one character to several (the German sharp s to SS) and those that depend on a language or on the place
 * in a word (the Greek final sigma) are left out: they would triple the table for what filters do not ask.
 */
#include "filter/casing_table.h"
#include "filter/text.h"

static uint32_t ascii(uint32_t code, bool upper)
{
	if (upper)
		return code >= 'a' && code <= 'z' ? code - 32 : code;
	return code >= 'A' && code <= 'Z' ? code + 32 : code;
}

/* Where a range maps the character to; the character itself: nowhere. */
static uint32_t mapped(const struct case_range *range, uint32_t within)
{
	uint32_t distance = (within - range->first) & 0xffff;

	return distance <= range->span && distance % range->step == 0 ? (within + range->delta) & 0xffff : within;
}

/* The same for a mapping that holds backwards. */
static uint32_t mapped_back(const struct case_range *range, uint32_t within)
{
	uint32_t other = (within - range->delta) & 0xffff;

	return !range->one_way && mapped(range, other) == within ? other : within;
}

/* One after the other: two tables to bisect would be twice as large, and text beyond ASCII is seldom recased. */
uint32_t faas__filter_recase(uint32_t code, bool upper)
{
	const uint32_t plane = code >> 16, within = code & 0xffff;
	uint32_t result = within;

	if (code < 0x80)
		return ascii(code, upper);
	if (plane > 1)
		return code;
	for (size_t i = plane * TO_LOWER_PLANE_0; result == within && i < (plane ? TO_LOWER_END : TO_LOWER_PLANE_0); i++)
		result = upper ? mapped_back(&to_lower[i], within) : mapped(&to_lower[i], within);
	for (size_t i = 0; upper && result == within && i < TO_UPPER_PLANE_0 && plane == 0; i++)
		result = mapped(&to_upper[i], within);
	return plane << 16 | result;
}
