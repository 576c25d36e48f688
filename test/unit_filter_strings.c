/* SPDX-License-Identifier: MIT */
/* Functions and patterns. Random patterns are compared with the plainest matcher there is (FAAS_TEST_SEED repeats). */
#include "unit_filter.h"

#include <stdlib.h>
#include <time.h>

#include "filter/casing_table.h"
#include "filter/run.h"
#include "filter/text.h"

#define STREET "Stra\303\237e"                   /* 6 characters, 7 bytes */
#define FACES "\xf0\x9f\x98\x80\xf0\x9f\x98\x81" /* 2 characters, 8 bytes */

/* 3.5.1 "Built-in String manipulation" */
static void whole_strings(void **state)
{
	static const struct wanted table[] = {
		INTEGER("LENGTH('abc')", 3),
		INTEGER("LENGTH('')", 0),
		INTEGER("LENGTH(word)", 6),
		INTEGER("length('" FACES "')", 2),
		INTEGER("LENGTH(TRUE)", 4),
		INTEGER("LENGTH(-12)", 3),
		INTEGER("LENGTH(due)", 22),
		STRING("CONCAT()", ""),
		STRING("CONCAT('a')", "a"),
		STRING("CONCAT('a', 1, TRUE, type)", "a1truea.b"),
		STRING("CONCAT(raw, '-', hops)", "AAH/-5"),
		STRING("CONCAT_WS(',')", ""),
		STRING("CONCAT_WS(',', 'a')", "a"),
		STRING("CONCAT_WS(', ', 'a', '', 'b')", "a, , b"),
		STRING("CONCAT_WS('', type, id)", "a.b7"),
		STRING("Concat_Ws(0, 1, 2)", "102"),
		STRING("LOWER('AbC1')", "abc1"),
		STRING("UPPER('aBc1')", "ABC1"),
		STRING("UPPER(word)", "STRA\303\237E"),
		STRING("LOWER('\xc3\x84\xce\xa9\xd0\x96')", "\xc3\xa4\xcf\x89\xd0\xb6"),
		STRING("UPPER('\xc3\xa4\xcf\x89\xd0\xb6')", "\xc3\x84\xce\xa9\xd0\x96"),
		STRING("LOWER('\xe2\x84\xaa')", "k"),
		STRING("LOWER('\xc8\xba')", "\xe2\xb1\xa5"), /* both shorter and longer */
		STRING("UPPER('\xf0\x90\x90\xa8')", "\xf0\x90\x90\x80"),
		STRING("UPPER('\xc2\xb5\xcf\x82\xc4\xb1')", "\xce\x9c\xce\xa3I"), /* none of which is the lower case of it */
		STRING("LOWER(flag)", "true"),
		STRING("UPPER(UPPER(LOWER('x')))", "X"),
	};

	(void)state;
	CHECK(table);
}

static void parts_of_strings(void **state)
{
	static const struct wanted table[] = {
		STRING("TRIM('  a b ')", "a b"),
		STRING("TRIM('')", ""),
		STRING("TRIM(' \t\n ')", ""),
		STRING("TRIM('a')", "a"),
		STRING("TRIM('\xc2\xa0\xe3\x80\x80x\xe2\x80\xa8')", "x"),
		STRING("TRIM(' \xc3\xa4 ')", "\xc3\xa4"),
		STRING("TRIM('\xe2\x80\x8bx')", "\xe2\x80\x8bx"), /* U+200B is no white space */
		STRING("LEFT(word, 5)", "Stra\xc3\x9f"),
		STRING("LEFT('abc', 0)", ""),
		STRING("LEFT('abc', 3)", "abc"),
		STRING("LEFT('abc', 2147483647)", "abc"),
		STRING("LEFT('" FACES "', 1)", "\xf0\x9f\x98\x80"),
		STRING("RIGHT(word, 2)", "\303\237e"),
		STRING("RIGHT('abc', 0)", ""),
		STRING("RIGHT('abc', 3)", "abc"),
		STRING("RIGHT('abc', 4)", "abc"),
		STRING("RIGHT('', 1)", ""),
		STRING("SUBSTRING('abcdef', 1)", "abcdef"),
		STRING("SUBSTRING('abcdef', 6)", "f"),
		STRING("SUBSTRING('abcdef', -1)", "f"),
		STRING("SUBSTRING('abcdef', -6)", "abcdef"),
		STRING("SUBSTRING('abcdef', 0)", ""),
		STRING("SUBSTRING('', 0)", ""),
		STRING("SUBSTRING('abcdef', 2, 3)", "bcd"),
		STRING("SUBSTRING('abcdef', 2, 0)", ""),
		STRING("SUBSTRING('abcdef', 4, 100)", "def"),
		STRING("SUBSTRING('abcdef', -3, 2)", "de"),
		STRING("SUBSTRING('abcdef', 0, 5)", ""),
		STRING("SUBSTRING(word, 6, 1)", "e"),
		STRING("SUBSTRING(word, -2)", "\303\237e"),
		STRING("SUBSTRING(1234, '2', '2')", "23"),
		BOOLEAN("LEFT(subject, 6) = 'images'", 1),
	};

	(void)state;
	CHECK(table);
}

static void arguments_out_of_range(void **state)
{
	static const struct wanted table[] = {
		STRING_AND(FAAS_EFILTERCALL, "LEFT('abc', -1)", "abc"),
		STRING_AND(FAAS_EFILTERCALL, "RIGHT(word, -2147483648)", STREET),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING('abc', 4)", ""),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING('abc', -4)", ""),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING('', 1)", ""),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING('abc', 1, -1)", ""),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING('abc', 0, -1)", ""),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING('abc', 4, 1)", ""),
		STRING_AND(FAAS_EFILTERCALL, "SUBSTRING(word, -2147483648, 2147483647)", ""),
		INTEGER_AND(FAAS_EFILTERCALL, "LENGTH(LEFT('abc', -1))", 0),
		STRING_AND(FAAS_EFILTERCAST, "LEFT('abc', 'x')", ""),
		STRING_AND(FAAS_EFILTERCAST, "CONCAT(LEFT('abc', 'x'), 'y')", ""),
	};

	(void)state;
	CHECK(table);
}

/* 3.5.2 "Built-in Math functions", 3.7 "Type casting" */
static void numbers_and_types(void **state)
{
	static const struct wanted table[] = {
		INTEGER("ABS(-10)", 10),
		INTEGER("ABS(10)", 10),
		INTEGER("ABS('-3')", 3),
		INTEGER("ABS(-2147483647)", INT32_MAX),
		INTEGER_AND(FAAS_EFILTERMATH, "ABS(-2147483648)", INT32_MAX),
		INTEGER("INT('-1')", -1),
		INTEGER("INT(TRUE)", 1),
		INTEGER("INT(ten)", 10),
		INTEGER_AND(FAAS_EFILTERCAST, "INT('x')", 0),
		BOOLEAN("BOOL('TRUE')", 1),
		BOOLEAN("BOOL(0)", 0),
		BOOLEAN("BOOL(-1)", 1),
		BOOLEAN_AND(FAAS_EFILTERCAST, "BOOL('1')", 0),
		STRING("STRING(TRUE)", "true"),
		STRING("STRING(-2147483648)", "-2147483648"),
		STRING("STRING(0)", "0"),
		STRING("STRING(due)", "2024-02-29T11:59:59.5Z"),
		BOOLEAN("IS_INT('12')", 1),
		BOOLEAN("IS_INT('x')", 0),
		BOOLEAN("IS_INT(TRUE)", 1),
		BOOLEAN("IS_INT(ten) AND ten > 9", 1),
		BOOLEAN("IS_BOOL('false')", 1),
		BOOLEAN("IS_BOOL('')", 0),
		BOOLEAN("IS_BOOL(5)", 1),
	};

	(void)state;
	CHECK(table);
}

/* 3.4.3 "Like operator" */
static void patterns(void **state)
{
	static const struct wanted table[] = {
		BOOLEAN("'abc' LIKE 'abc'", 1),
		BOOLEAN("'abc' LIKE 'ABC'", 0),
		BOOLEAN("'abc' LIKE 'ab'", 0),
		BOOLEAN("'ab' LIKE 'abc'", 0),
		BOOLEAN("'' LIKE ''", 1),
		BOOLEAN("'a' LIKE ''", 0),
		BOOLEAN("'' LIKE '%'", 1),
		BOOLEAN("'' LIKE '%%'", 1),
		BOOLEAN("'' LIKE '_'", 0),
		BOOLEAN("subject LIKE 'images/%'", 1),
		BOOLEAN("subject LIKE '%.png'", 1),
		BOOLEAN("subject LIKE '%/%'", 1),
		BOOLEAN("subject LIKE 'images/%.png'", 1),
		BOOLEAN("subject LIKE '%images/cat.png%'", 1),
		BOOLEAN("subject LIKE 'image_/%'", 1),
		BOOLEAN("subject NOT LIKE 'x%'", 1),
		BOOLEAN("subject LIKE '%x%'", 0),
		BOOLEAN("'aba' LIKE 'ab%ba'", 0),
		BOOLEAN("'abba' LIKE 'ab%ba'", 1), /* head and tail do not share characters */
		BOOLEAN("'aab' LIKE '%ab'", 1),
		BOOLEAN("'mississippi' LIKE '%iss%ip%i'", 1),
		BOOLEAN("'mississippi' LIKE '%iss%ip_'", 0),
		BOOLEAN("'abc' LIKE '_%_%_'", 1),
		BOOLEAN("'ab' LIKE '_%_%_'", 0),
		BOOLEAN("'abc' LIKE '%_'", 1),
		BOOLEAN("'abc' LIKE '____'", 0),
		BOOLEAN("word LIKE 'Stra_e'", 1),
		BOOLEAN("word LIKE 'Stra__e'", 0),
		BOOLEAN("'" FACES "' LIKE '__'", 1),
		BOOLEAN("'" FACES "' LIKE '%_'", 1),
		BOOLEAN("'\xc3\xa4x' LIKE '%_x'", 1),
		BOOLEAN("'\xc3\xa4' LIKE '%__'", 0),
		BOOLEAN("'100%' LIKE '100\\%'", 1),
		BOOLEAN("'1000' LIKE '100\\%'", 0),
		BOOLEAN("'a_b' LIKE 'a\\_b'", 1),
		BOOLEAN("'axb' LIKE 'a\\_b'", 0),
		BOOLEAN("'a\\b' LIKE 'a\\b'", 1),
		BOOLEAN("'a\\\\b' LIKE 'a\\\\b'", 1),
		BOOLEAN("'\\%' LIKE '\\\\%'", 1),
		BOOLEAN("'it\\'s' LIKE 'it\\'%'", 1),
		BOOLEAN("'a%' LIKE '%\\%'", 1),
		BOOLEAN("'a%b' LIKE '%\\%'", 0),
	};

	(void)state;
	CHECK(table);
}

/* What a pattern means, without any thought of time: `pattern` and `text` are ASCII, both end with NUL. */
static int plain_like(const char *text, const char *pattern)
{
	if (*pattern == 0)
		return *text == 0;
	if (*pattern == '%')
		return plain_like(text, pattern + 1) || (*text != 0 && plain_like(text + 1, pattern));
	if (*pattern == '\\' && (pattern[1] == '%' || pattern[1] == '_'))
		return *text == pattern[1] && plain_like(text + 1, pattern + 2);
	return *text != 0 && (*pattern == '_' || *pattern == *text) && plain_like(text + 1, pattern + 1);
}

static void random_word(char *to, size_t most, const char *letters)
{
	size_t length = (size_t)rand() % (most + 1), count = strlen(letters);

	for (size_t i = 0; i < length; i++)
		to[i] = letters[(size_t)rand() % count];
	to[length] = 0;
}

static void random_patterns(void **state)
{
	const char *given = getenv("FAAS_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	faas_event *event = common_event();

	(void)state;
	print_message("FAAS_TEST_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 20000; i++) {
		char text[12], pattern[10], expression[60];
		struct wanted wanted = BOOLEAN(expression, 0);

		random_word(text, 11, "aab%_\\");
		random_word(pattern, 9, "aab%%_\\");
		if (text[0] && text[strlen(text) - 1] == '\\')
			text[0] = 0; /* it would escape the quote */
		if (pattern[0] && pattern[strlen(pattern) - 1] == '\\')
			pattern[0] = 0;
		(void)snprintf(expression, sizeof(expression), "'%s' LIKE '%s'", text, pattern);
		wanted.integer = plain_like(text, pattern);
		check_one(event, &wanted);
	}
	faas_event_free(event);
}

/* Whatever table is in use, it says of every character what it was made of, and no mapping is its own undoing. */
static void cases_of_all_characters(void **state)
{
	uint64_t digest = 0;

	(void)state;
	for (uint32_t code = 0; code < 0x110000; code++) {
		uint32_t down = faas__filter_recase(code, false), up = faas__filter_recase(code, true);

		if (code >= 0x80)
			digest = ((digest ^ down) * 0x100000001b3u ^ up) * 0x100000001b3u;
		assert_true(down < 0x110000 && up < 0x110000);
		assert_int_equal(down >> 16, code >> 16);
		if (down != code)
			assert_int_equal(faas__filter_recase(down, false), down);
		if (up != code)
			assert_int_equal(faas__filter_recase(up, true), up);
	}
	assert_true(digest == CASING_DIGEST);
}

static void every_character_survives_utf8(void **state)
{
	char text[CHARACTER_MAX];

	(void)state;
	for (uint32_t code = 0; code < 0x110000; code++) {
		size_t bytes = faas__filter_encode(code, text);
		uint32_t back = code + 1;
		int is_surrogate = code >= 0xd800 && code < 0xe000;

		assert_int_equal(faas__filter_decode(text, bytes, &back), is_surrogate ? 0 : bytes);
		if (!is_surrogate)
			assert_int_equal(back, code);
		if (bytes > 1)
			assert_int_equal(faas__filter_decode(text, bytes - 1, &back), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_strings),
		cmocka_unit_test(parts_of_strings),
		cmocka_unit_test(arguments_out_of_range),
		cmocka_unit_test(numbers_and_types),
		cmocka_unit_test(patterns),
		cmocka_unit_test(random_patterns),
		cmocka_unit_test(cases_of_all_characters),
		cmocka_unit_test(every_character_survives_utf8),
	};

	return cmocka_run_group_tests_name("filter strings", tests, NULL, NULL);
}
