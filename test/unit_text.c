/* SPDX-License-Identifier: MIT */
/* Strings from callers: every character there is, every short malformed one, types and patterns, names, hashes. */
#include "unit.h"

#include "base/text.h"
#include "faas/common.h"

/* ---- UTF-8, by the table of the standard --------------------------------------------------------------------------- */

/*
 * The well-formed sequences, as ranges of each byte.
 * Source: The Unicode Standard 15.0, table 3-7.
 */
static const struct row {
	unsigned char bytes, from[4], to[4];
} rows[] = {
	{1, {0x01, 0, 0, 0}, {0x7f, 0, 0, 0}},
	{2, {0xc2, 0x80, 0, 0}, {0xdf, 0xbf, 0, 0}},
	{3, {0xe0, 0xa0, 0x80, 0}, {0xe0, 0xbf, 0xbf, 0}},
	{3, {0xe1, 0x80, 0x80, 0}, {0xec, 0xbf, 0xbf, 0}},
	{3, {0xed, 0x80, 0x80, 0}, {0xed, 0x9f, 0xbf, 0}},
	{3, {0xee, 0x80, 0x80, 0}, {0xef, 0xbf, 0xbf, 0}},
	{4, {0xf0, 0x90, 0x80, 0x80}, {0xf0, 0xbf, 0xbf, 0xbf}},
	{4, {0xf1, 0x80, 0x80, 0x80}, {0xf3, 0xbf, 0xbf, 0xbf}},
	{4, {0xf4, 0x80, 0x80, 0x80}, {0xf4, 0x8f, 0xbf, 0xbf}},
};

/* Bytes of the character that begins here; 0: none does. */
static size_t length_of(const unsigned char *at)
{
	for (size_t r = 0; r < COUNT_OF(rows); r++) {
		size_t i = 0;

		while (i < rows[r].bytes && at[i] >= rows[r].from[i] && at[i] <= rows[r].to[i])
			i++;
		if (i == rows[r].bytes)
			return i;
	}
	return 0;
}

static uint32_t code_of(const unsigned char *at, size_t bytes)
{
	uint32_t code = bytes == 1 ? at[0] : at[0] & (0x7fu >> bytes);

	for (size_t i = 1; i < bytes; i++)
		code = code * 64 + (at[i] & 63u);
	return code;
}

/* CloudEvents 1.0.2, "Type System", String. */
static bool is_barred(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0xfdd0 && code <= 0xfdef) ||
	       (code & 0xffff) >= 0xfffe;
}

/* FAAS_OK, FAAS_ETEXT or FAAS_EATTRIBUTE, whichever comes first. */
static int check_plainly(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at != 0) {
		size_t bytes = length_of(at);

		if (bytes == 0)
			return FAAS_ETEXT;
		if (is_barred(code_of(at, bytes)))
			return FAAS_EATTRIBUTE;
		at += bytes;
	}
	return FAAS_OK;
}

static void check_one(const char *text)
{
	size_t bytes = 77;
	int wanted = check_plainly(text), got = faas__text_check(text, 100, &bytes);

	if (got != wanted)
		fail_msg("%02x %02x %02x %02x: %s, not %s", (unsigned char)text[0], (unsigned char)text[1],
		         (unsigned char)text[2], (unsigned char)text[3], faas_error_name(got), faas_error_name(wanted));
	if (got == FAAS_OK && bytes != strlen(text))
		fail_msg("%zu bytes, not %zu", bytes, strlen(text));
}

static void every_sequence_of_three_bytes_is_judged_right(void **state)
{
	(void)state;
	for (unsigned a = 1; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			char two[] = {(char)a, (char)b, 0, 0, 0};

			check_one(two);
			/* Below, no third byte can matter. */
			if (a < 0xe0)
				continue;
			for (unsigned c = 0; c < 256; c++) {
				char three[] = {(char)a, (char)b, (char)c, 0, 0};

				check_one(three);
			}
		}
}

static void long_sequences_are_judged_right(void **state)
{
	struct random random = unit_random("UTF-8");

	(void)state;
	for (int i = 0; i < 400000; i++) {
		/* Bytes at the edges of the ranges, where mistakes are made. */
		static const unsigned char edges[] = {0x01, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
		                                      0xa0, 0xb7, 0xbd, 0xbe, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0,
		                                      0xed, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
		char text[12];
		size_t bytes = (size_t)unit_below(&random, sizeof(text));

		for (size_t k = 0; k < bytes; k++)
			text[k] = (char)edges[unit_below(&random, sizeof(edges))];
		text[bytes] = 0;
		check_one(text);
	}
}

static size_t encode(uint32_t code, char *text)
{
	size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = bytes; i-- > 1; code >>= 6)
		text[i] = (char)(0x80 | (code & 63));
	text[0] = (char)(marks[bytes] | code);
	text[bytes] = 0;
	return bytes;
}

static void every_character_is_judged_right(void **state)
{
	(void)state;
	for (uint32_t code = 1; code < 0x110000; code++) {
		char text[8] = {0};
		size_t bytes = encode(code, text), got = 0;
		bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
		int wanted = is_surrogate ? FAAS_ETEXT : is_barred(code) ? FAAS_EATTRIBUTE : FAAS_OK;

		if (faas__text_check(text, bytes, &got) != wanted || (wanted == FAAS_OK && got != bytes))
			fail_msg("U+%04X", (unsigned)code);
		if (wanted == FAAS_OK && faas__text_check(text, bytes - 1, &got) != FAAS_ETOOLONG)
			fail_msg("U+%04X fits into %zu bytes", (unsigned)code, bytes - 1);
	}
}

/* ---- Types and patterns ------------------------------------------------------------------------------------------ */

/* Whether it is well-formed. Codes are not compared: of several faults any may be told. */
static bool is_type(const char *type, bool wildcards)
{
	const char *token = type;

	if (check_plainly(type) != FAAS_OK || strchr(type, ' ') || strlen(type) > FAAS_MAX_TYPE)
		return false;
	for (;;) {
		size_t bytes = strcspn(token, ".");

		if (bytes == 0)
			return false;
		if (bytes == 1 && *token == '*' && !wildcards)
			return false;
		if (bytes == 1 && *token == '>' && (!wildcards || token[1] != 0))
			return false;
		if (token[bytes] == 0)
			return true;
		token += bytes + 1;
	}
}

static void random_types_are_judged_right(void **state)
{
	static const char *const pieces[] = {"a",        "bc",   ".",    ".",  "*",        ">", " ",
	                                     "\xc3\xa9", "\xc3", "\x7f", "\t", "\xc2\x85", "-"};
	struct random random = unit_random("types");
	int good = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char type[64] = "";
		size_t count = 1 + (size_t)unit_below(&random, 8), kinds = unit_below(&random, 3) ? 6 : COUNT_OF(pieces),
			   bytes = 77;
		bool wildcards = unit_below(&random, 2) == 0, wanted;
		int code;

		for (size_t k = 0; k < count; k++)
			strcat(type, pieces[unit_below(&random, kinds)]);
		wanted = is_type(type, wildcards);
		code = faas__type_check(type, wildcards, FAAS_EPATTERN, &bytes);
		if ((code == FAAS_OK) != wanted || (wanted && bytes != strlen(type)))
			fail_msg("\"%s\": %s", type, faas_error_name(code));
		if (code != FAAS_OK && code != FAAS_EPATTERN && code != FAAS_ETEXT)
			fail_msg("\"%s\": %s", type, faas_error_name(code));
		good += wanted;
	}
	assert_true(good > 1000);
}

static void a_type_may_be_so_long(void **state)
{
	char type[FAAS_MAX_TYPE + 2];
	size_t bytes = 0;

	(void)state;
	memset(type, 'x', sizeof(type));
	type[FAAS_MAX_TYPE] = 0;
	assert_int_equal(FAAS_OK, faas__type_check(type, false, FAAS_ETYPE, &bytes));
	assert_int_equal(FAAS_MAX_TYPE, bytes);
	type[FAAS_MAX_TYPE] = 'x';
	type[FAAS_MAX_TYPE + 1] = 0;
	assert_int_equal(FAAS_ETOOLONG, faas__type_check(type, false, FAAS_ETYPE, &bytes));
	type[0] = 0;
	assert_int_equal(FAAS_ETYPE, faas__type_check(type, false, FAAS_ETYPE, &bytes));
}

/* ---- Names and hashes -------------------------------------------------------------------------------------------- */

static void names_are_letters_digits_and_two_more(void **state)
{
	char name[FAAS_MAX_NAME + 2];

	(void)state;
	for (int c = 1; c < 256; c++) {
		char one[] = {'a', (char)c, 0};
		bool fits = c < 128 && c != 0 && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", c);

		assert_int_equal(fits ? 2 : 0, faas__name_check(one));
	}
	assert_int_equal(0, faas__name_check(""));
	memset(name, 'n', sizeof(name));
	name[FAAS_MAX_NAME] = 0;
	assert_int_equal(FAAS_MAX_NAME, faas__name_check(name));
	name[FAAS_MAX_NAME] = 'n';
	name[FAAS_MAX_NAME + 1] = 0;
	assert_int_equal(0, faas__name_check(name));
}

/* So many names in a row, and none of 1,024 places has far more than its share, whichever bits choose it. */
static void hashes_are_spread(void **state)
{
	enum { NAMES = 65536, PLACES = 1024 };
	static uint32_t low[PLACES], high[PLACES];

	(void)state;
	memset(low, 0, sizeof(low));
	memset(high, 0, sizeof(high));
	for (uint32_t i = 0; i < NAMES; i++) {
		char name[40];
		int bytes = snprintf(name, sizeof(name), "orders.%u.created.by-%u", i % 256, i / 256);
		uint64_t hash = faas__text_hash(name, (size_t)bytes, 1);

		assert_true(hash == faas__text_hash(name, (size_t)bytes, 1));
		assert_true(hash != faas__text_hash(name, (size_t)bytes, 2));
		assert_true(hash != faas__text_hash(name, (size_t)bytes - 1, 1));
		low[hash % PLACES]++;
		high[hash >> 54]++;
	}
	for (size_t i = 0; i < PLACES; i++) {
		assert_in_range(low[i], 1, 2 * NAMES / PLACES);
		assert_in_range(high[i], 1, 2 * NAMES / PLACES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sequence_of_three_bytes_is_judged_right),
		cmocka_unit_test(long_sequences_are_judged_right),
		cmocka_unit_test(every_character_is_judged_right),
		cmocka_unit_test(random_types_are_judged_right),
		cmocka_unit_test(a_type_may_be_so_long),
		cmocka_unit_test(names_are_letters_digits_and_two_more),
		cmocka_unit_test(hashes_are_spread),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
