/* SPDX-License-Identifier: MIT */
/*
 * Upper and lower case. CESQL's LOWER and UPPER (CESQL v1, 3.5.1) work on Unicode strings, the C library's towlower
 * depends on the host's locale, so the library brings a table of its own: ranges, sorted, found by bisection.
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

uint32_t faas__filter_recase(uint32_t code, bool upper)
{
	const struct case_range *ranges = upper ? to_upper : to_lower;
	uint32_t middle = upper ? TO_UPPER_PLANE_0 : TO_LOWER_PLANE_0, low = 0, high = middle;
	uint32_t within = code & 0xffff;

	if (code < 0x80)
		return ascii(code, upper);
	if (code >= 0x20000)
		return code;
	if (code >= 0x10000) {
		low = middle;
		high = (uint32_t)(upper ? sizeof(to_upper) : sizeof(to_lower)) / (uint32_t)sizeof(*ranges);
	}
	while (low < high) {
		const struct case_range *range = &ranges[(low + high) / 2];

		if (within < range->first)
			high = (low + high) / 2;
		else if (within > (uint32_t)range->first + range->span)
			low = (low + high) / 2 + 1;
		else if ((within - range->first) % range->step != 0)
			return code;
		else
			return (code & 0xffff0000u) | ((within + range->delta) & 0xffff);
	}
	return code;
}
