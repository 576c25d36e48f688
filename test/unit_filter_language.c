/* SPDX-License-Identifier: MIT */
/* What CESQL expressions mean: each rule of the specification on its own. */
#include "unit_filter.h"

/* 2.2 "Value identifiers and literals" */
static void literals(void **state)
{
	static const struct wanted table[] = {
		INTEGER("0", 0),
		INTEGER("007", 7),
		INTEGER("+5", 5),
		INTEGER("-5", -5),
		INTEGER(" \t\r\n12 ", 12),
		INTEGER("2147483647", INT32_MAX),
		INTEGER("-2147483648", INT32_MIN),
		BOOLEAN("true", 1),
		BOOLEAN("FALSE", 0),
		BOOLEAN("tRuE", 1),
		STRING("''", ""),
		STRING("\"\"", ""),
		STRING("'a\"b'", "a\"b"),
		STRING("\"a'b\"", "a'b"),
		STRING("'it\\'s'", "it's"),
		STRING("\"\\\"x\\\"\"", "\"x\""),
		/* only the delimiter is escaped */
		STRING("'a\\b'", "a\\b"),
		STRING("'a\\\"b'", "a\\\"b"),
		STRING("'a\\\\'", "a\\\\"),
		STRING("'gr\xc3\xbc\303\237e'", "gr\xc3\xbc\303\237e"),
		STRING("'a\tb'", "a\tb"),
	};

	(void)state;
	CHECK(table);
}

/* 3.2 "CloudEvent context identifiers and types" */
static void attributes(void **state)
{
	static const struct wanted table[] = {
		STRING("type", "a.b"),
		STRING("SOURCE", "//host/x"),
		STRING("Subject", "images/cat.png"),
		STRING("id", "7"),
		STRING("specversion", "1.0"),
		BOOLEAN("flag", 1),
		INTEGER("hops", 5),
		STRING("Word", "Stra\303\237e"),
		STRING("ref", "../x"),
		STRING("link", "urn:x"),
		STRING("raw", "AAH/"),
		STRING("nothing", ""),
		STRING("due", "2024-02-29T11:59:59.5Z"),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "time", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "datacontenttype", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "dataschema", 0),
		/* what is no attribute */
		BOOLEAN_AND(FAAS_EFILTERMISSING, "key", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "data", 0),
		/* names may begin with a digit, and are not looked up by their beginning */
		BOOLEAN_AND(FAAS_EFILTERMISSING, "1st", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "flagg", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "fla", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "ids", 0),
	};

	(void)state;
	CHECK(table);
}

/* 3.2: the zero of the expression's type stands beside the error */
static void missing(void **state)
{
	static const struct wanted table[] = {
		INTEGER_AND(FAAS_EFILTERMISSING, "missing * 5", 0),
		INTEGER_AND(FAAS_EFILTERMISSING, "1 / missing", 0),
		INTEGER_AND(FAAS_EFILTERMISSING, "missing / 0", 0),
		INTEGER_AND(FAAS_EFILTERMISSING, "-missing", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing = ''", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing != ''", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "NOT missing", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing LIKE '%'", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing NOT LIKE 'a'", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing IN (1)", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "1 IN (1, missing)", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "1 NOT IN (2, missing)", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "missing OR TRUE", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "TRUE AND missing", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "TRUE AND (missing = '')", 0),
		INTEGER_AND(FAAS_EFILTERMISSING, "LENGTH(missing)", 0),
		STRING_AND(FAAS_EFILTERMISSING, "CONCAT('a', missing)", ""),
	};

	(void)state;
	CHECK(table);
}

/* 3.4.1, 3.4.2 */
static void arithmetic(void **state)
{
	static const struct wanted table[] = {
		INTEGER("2 + 3", 5),      INTEGER("2 - 3", -1),      INTEGER("2 * -3", -6),   INTEGER("7/2", 3),
		INTEGER("-7 / 2", -3),    INTEGER("7 / -2", -3),     INTEGER("7 % 3", 1),     INTEGER("-7 % 3", -1),
		INTEGER("7 % -3", 1),     INTEGER("-7 % -3", -1),    INTEGER("--5", 5),       INTEGER("- 5", -5),
		INTEGER("5-3", 2),        INTEGER("5 -3", 2),        INTEGER("5--3", 8),      INTEGER("5+-3", 2),
		INTEGER("-hops", -5),     INTEGER("hops - 1", 4),    INTEGER("-(2 + 3)", -5), INTEGER("-2147483648 % -1", 0),
		INTEGER("ten * '2'", 20), INTEGER("flag + flag", 2),
	};

	(void)state;
	CHECK(table);
}

static void overflow(void **state)
{
	static const struct wanted table[] = {
		INTEGER_AND(FAAS_EFILTERMATH, "1 / 0", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "1 % 0", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "hops / (hops - 5)", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "2147483647 + 1", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "-2147483648 - 1", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "65536 * 65536", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "-2147483648 / -1", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "--2147483648", 0),
		INTEGER_AND(FAAS_EFILTERMATH, "hops + 2147483647", 0),
		INTEGER("2147483646 + 1", INT32_MAX),
		/* where it is not the outermost operator, the whole is a zero */
		BOOLEAN_AND(FAAS_EFILTERMATH, "1 / 0 = 0", 0),
		BOOLEAN_AND(FAAS_EFILTERMATH, "FALSE OR (1 != 1 / 0)", 0),
		STRING_AND(FAAS_EFILTERMATH, "STRING(1 / 0)", ""),
		INTEGER_AND(FAAS_EFILTERMATH, "5 + 1 / 0", 0),
	};

	(void)state;
	CHECK(table);
}

static void comparison(void **state)
{
	static const struct wanted table[] = {
		BOOLEAN("1 = 1", 1),
		BOOLEAN("1 != 1", 0),
		BOOLEAN("1 <> 2", 1),
		BOOLEAN("1 < 2", 1),
		BOOLEAN("2 < 2", 0),
		BOOLEAN("2 <= 2", 1),
		BOOLEAN("3 > 2", 1),
		BOOLEAN("2 > 2", 0),
		BOOLEAN("2 >= 2", 1),
		BOOLEAN("1 >= 2", 0),
		BOOLEAN("-1 < 1", 1),
		BOOLEAN("1<2", 1),
		BOOLEAN("1<=-2", 0),
		BOOLEAN("1<>-1", 1),
		BOOLEAN("'a' = 'a'", 1),
		BOOLEAN("'a' = 'A'", 0),
		BOOLEAN("'a' = 'ab'", 0),
		BOOLEAN("'' = ''", 1),
		BOOLEAN("word = 'Stra\303\237e'", 1),
		BOOLEAN("subject != 'images'", 1),
		BOOLEAN("TRUE = TRUE", 1),
		BOOLEAN("TRUE XOR FALSE", 1),
		BOOLEAN("TRUE XOR TRUE", 0),
		BOOLEAN("FALSE XOR 'true'", 1),
	};

	(void)state;
	CHECK(table);
}

/* 3.7 "Type casting": the type of the right side decides for `=`, the operator's own for all others */
static void casts(void **state)
{
	static const struct wanted table[] = {
		BOOLEAN("ten = 10", 1),
		BOOLEAN("10 = ten", 1),
		BOOLEAN("'010' = 10", 1),
		BOOLEAN("10 = '010'", 0),
		BOOLEAN("TRUE = 'true'", 1),
		BOOLEAN("TRUE = 'TRUE'", 0),
		BOOLEAN("'TRUE' = TRUE", 1),
		BOOLEAN("1 = TRUE", 1),
		BOOLEAN("7 = TRUE", 1),
		BOOLEAN("TRUE = 7", 0),
		BOOLEAN("TRUE = 1", 1),
		BOOLEAN("'5' < '10'", 1),
		BOOLEAN("hops < ten", 1),
		BOOLEAN("'false' OR 'tRUE'", 1),
		BOOLEAN("1 AND 2", 1),
		BOOLEAN("0 OR 0", 0),
		INTEGER("TRUE + '+2'", 3),
		INTEGER("'-0' + 0", 0),
		INTEGER("'-2147483648' + 0", INT32_MIN),
		INTEGER("'00000000000002147483647' + 0", INT32_MAX),
		BOOLEAN("12 LIKE '1_'", 1),
		BOOLEAN("FALSE LIKE 'f%'", 1),
	};

	(void)state;
	CHECK(table);
}

static void failed_casts(void **state)
{
	static const struct wanted table[] = {
		INTEGER_AND(FAAS_EFILTERCAST, "'a' + 1", 1),
		INTEGER_AND(FAAS_EFILTERCAST, "-''", 0),
		INTEGER_AND(FAAS_EFILTERCAST, "0 + '2147483648'", 0),
		INTEGER_AND(FAAS_EFILTERCAST, "0 + '-2147483649'", 0),
		INTEGER_AND(FAAS_EFILTERCAST, "0 + ' 1'", 0),
		INTEGER_AND(FAAS_EFILTERCAST, "0 + '+'", 0),
		INTEGER_AND(FAAS_EFILTERCAST, "0 + '1x'", 0),
		INTEGER_AND(FAAS_EFILTERCAST, "0 + '99999999999999999999999'", 0),
		BOOLEAN_AND(FAAS_EFILTERCAST, "NOT 'yes'", 1),
		BOOLEAN_AND(FAAS_EFILTERCAST, "'tru' AND TRUE", 0),
		BOOLEAN_AND(FAAS_EFILTERCAST, "'truee' OR TRUE", 0),
		BOOLEAN_AND(FAAS_EFILTERCAST, "TRUE AND ''", 0),
		BOOLEAN_AND(FAAS_EFILTERCAST, "subject < 5", 1),
		BOOLEAN_AND(FAAS_EFILTERCAST, "subject = 5", 0),
		/* as the conformance kit has it; elsewhere an Integer is a Boolean */
		BOOLEAN_AND(FAAS_EFILTERCAST, "NOT 10", 1),
		BOOLEAN("NOT BOOL(10)", 0),
		BOOLEAN("10 AND TRUE", 1),
	};

	(void)state;
	CHECK(table);
}

/* 3.6 "Evaluation of the expression" */
static void precedence(void **state)
{
	static const struct wanted table[] = {
		INTEGER("2 + 3 * 4", 14),
		INTEGER("(2 + 3) * 4", 20),
		INTEGER("20 / 2 * 5", 50),
		INTEGER("10 - 2 - 3", 5),
		INTEGER("7 % 4 * 2", 6),
		BOOLEAN("1 + 1 = 2", 1),
		BOOLEAN("2 = 1 + 1", 1),
		BOOLEAN("1 < 2 = TRUE", 1),
		BOOLEAN("3 > 2 > 0", 1),
		BOOLEAN("1 = 1 AND 2 = 2", 1),
		/* AND, OR and XOR are of one rank, from left to right */
		BOOLEAN("TRUE OR TRUE AND FALSE", 0),
		BOOLEAN("TRUE OR (TRUE AND FALSE)", 1),
		BOOLEAN("FALSE AND TRUE OR TRUE", 1),
		BOOLEAN("TRUE XOR TRUE OR TRUE", 1),
		BOOLEAN("TRUE OR TRUE XOR TRUE", 0),
		/* NOT and - come before all others */
		BOOLEAN("NOT TRUE = FALSE", 1),
		BOOLEAN("NOT 'false' LIKE 'true'", 1),
		BOOLEAN("NOT FALSE AND FALSE", 0),
		BOOLEAN("-1 IN (-1)", 1),
		BOOLEAN("-ten LIKE '-10'", 1),
		BOOLEAN("NOT NOT TRUE", 1),
		BOOLEAN("NOT EXISTS draft", 1),
		/* LIKE and IN come before arithmetic */
		INTEGER("1 + 2 IN (2)", 2),
		INTEGER("2 * '1' LIKE '1'", 2),
		BOOLEAN("'a' LIKE 'a' LIKE 'true'", 1),
		BOOLEAN("1 IN (1) IN (TRUE)", 1),
		BOOLEAN("'a' NOT LIKE 'b' NOT IN (FALSE)", 1),
	};

	(void)state;
	CHECK(table);
}

static void short_circuit(void **state)
{
	static const struct wanted table[] = {
		BOOLEAN("FALSE AND missing", 0),
		BOOLEAN("TRUE OR missing", 1),
		BOOLEAN("FALSE AND 1 / 0", 0),
		BOOLEAN("TRUE OR NOSUCH()", 1),
		BOOLEAN("EXISTS missing AND missing = 'x'", 0),
		BOOLEAN("FALSE AND missing OR TRUE", 1),
		BOOLEAN("(TRUE OR missing) AND FALSE", 0),
		BOOLEAN("(flag AND TRUE) = TRUE", 1),
		BOOLEAN("FALSE = (flag AND FALSE)", 1),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "FALSE XOR missing", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "FALSE OR missing", 0),
		BOOLEAN_AND(FAAS_EFILTERMISSING, "TRUE AND missing", 0),
	};

	(void)state;
	CHECK(table);
}

/* 3.4.4, 3.4.5 */
static void exists_and_in(void **state)
{
	static const struct wanted table[] = {
		BOOLEAN("EXISTS id AND EXISTS source AND EXISTS type AND EXISTS specversion", 1),
		BOOLEAN("EXISTS subject", 1),
		BOOLEAN("EXISTS time", 0),
		BOOLEAN("EXISTS datacontenttype OR EXISTS dataschema", 0),
		BOOLEAN("EXISTS Flag", 1),
		BOOLEAN("EXISTS nothing", 1),
		BOOLEAN("EXISTS fla", 0),
		BOOLEAN("EXISTS 123", 0),
		BOOLEAN("EXISTS key", 0),
		BOOLEAN("hops IN (1, 5)", 1),
		BOOLEAN("hops NOT IN (1, 5)", 0),
		BOOLEAN("hops IN (1, 6)", 0),
		BOOLEAN("type IN ('a', \"a.b\")", 1),
		BOOLEAN("type IN ('A.B')", 0),
		BOOLEAN("type IN (type)", 1),
		BOOLEAN("5 IN (2 + 3)", 1),
		BOOLEAN("TRUE IN (FALSE, 1 = 1)", 1),
		/* elements become what the left side is */
		BOOLEAN("1 IN ('1')", 1),
		BOOLEAN("'1' IN (1)", 1),
		BOOLEAN("'01' IN (1)", 0),
		BOOLEAN("TRUE IN ('tRuE')", 1),
		BOOLEAN("'TRUE' IN (TRUE)", 0),
		BOOLEAN("TRUE IN (3)", 1),
		/* all of them are evaluated */
		BOOLEAN_AND(FAAS_EFILTERMATH, "1 IN (1, 1 / 0)", 0),
		BOOLEAN_AND(FAAS_EFILTERCAST, "1 IN (1, 'x')", 0),
	};

	(void)state;
	CHECK(table);
}

/* 3.5 "Functions": what is not there is noticed when it is called */
static void unknown_functions(void **state)
{
	static const struct wanted table[] = {
		BOOLEAN_AND(FAAS_EFILTERFUNCTION, "NOSUCH()", 0),
		BOOLEAN_AND(FAAS_EFILTERFUNCTION, "NO_SUCH(1, 'a', missing)", 0),
		BOOLEAN_AND(FAAS_EFILTERFUNCTION, "LENGTH()", 0),
		BOOLEAN_AND(FAAS_EFILTERFUNCTION, "LENGTH('a', 'b')", 0),
		BOOLEAN_AND(FAAS_EFILTERFUNCTION, "CONCAT_WS()", 0),
		BOOLEAN_AND(FAAS_EFILTERFUNCTION, "SUBSTRING('a')", 0),
		INTEGER_AND(FAAS_EFILTERFUNCTION, "NOSUCH('a' LIKE 'a', TRUE AND flag) + 1", 0),
		BOOLEAN("TRUE OR NOSUCH(TRUE AND flag, 'x')", 1),
	};

	(void)state;
	CHECK(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals),      cmocka_unit_test(attributes),    cmocka_unit_test(missing),
		cmocka_unit_test(arithmetic),    cmocka_unit_test(overflow),      cmocka_unit_test(comparison),
		cmocka_unit_test(casts),         cmocka_unit_test(failed_casts),  cmocka_unit_test(precedence),
		cmocka_unit_test(short_circuit), cmocka_unit_test(exists_and_in), cmocka_unit_test(unknown_functions),
	};

	return cmocka_run_group_tests_name("filter language", tests, NULL, NULL);
}
