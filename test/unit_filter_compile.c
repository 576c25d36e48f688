/* SPDX-License-Identifier: MIT */
/* What is refused, where, and with what words; limits; constants; memory that is not there. */
#include "unit_filter.h"

#include <stdlib.h>

#include "filter/run.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct refused {
	const char *expression;
	uint64_t position;
	const char *message;
};

static int compile(const char *expression, uint32_t flags, faas_filter **ret_filter,
                   struct faas_filter_error_stats *wrong)
{
	*wrong = (struct faas_filter_error_stats){.struct_size = sizeof(*wrong), .code = 1};
	return faas_filter_compile(FAAS_FILTER(.expression = expression, .flags = flags), ret_filter, wrong);
}

static void check_refused(const struct refused *refused, int code, uint32_t flags)
{
	struct faas_filter_error_stats wrong;
	faas_filter *filter = (faas_filter *)&wrong;
	int got = compile(refused->expression, flags, &filter, &wrong);

	if (got != code || wrong.code != code || wrong.position != refused->position ||
	    strcmp(wrong.message, refused->message) != 0)
		fail_msg("%.100s: code %d, at %u: %s", refused->expression, got, (unsigned)wrong.position, wrong.message);
	assert_ptr_equal(filter, &wrong);
}

static void malformed(void **state)
{
	static const struct refused table[] = {
		{"", 0, "expected an operand, found the end"},
		{"  ", 2, "expected an operand, found the end"},
		{"a b", 2, "expected an operator or the end, found \"b\""},
		{"a = = b", 4, "expected an operand, found \"=\""},
		{"a = ", 4, "expected an operand, found the end"},
		{"(a", 2, "expected an operator or \")\", found the end"},
		{"a)", 1, "expected an operator or the end, found \")\""},
		{"()", 1, "expected an operand, found \")\""},
		{"a AND", 5, "expected an operand, found the end"},
		{"AND a", 0, "expected an operand, found \"AND\""},
		{"a NOT = b", 6, "expected LIKE or IN, found \"=\""},
		{"a LIKE 5", 7, "expected a string literal, found \"5\""},
		{"a LIKE b", 7, "expected a string literal, found \"b\""},
		{"a LIKE ('b')", 7, "expected a string literal, found \"(\""},
		{"a IN 5", 5, "expected \"(\", found \"5\""},
		{"a IN ()", 6, "expected an operand, found \")\""},
		{"a IN (1", 7, "expected an operator, \",\" or \")\", found the end"},
		{"a IN (1,)", 8, "expected an operand, found \")\""},
		{"a IN (1 2)", 8, "expected an operator, \",\" or \")\", found \"2\""},
		{"EXISTS", 6, "expected an attribute's name, found the end"},
		{"EXISTS 'a'", 7, "expected an attribute's name, found 'a'"},
		{"EXISTS NOT", 7, "expected an attribute's name, found \"NOT\""},
		{"EXISTS (a)", 7, "expected an attribute's name, found \"(\""},
		{"ABC(", 4, "expected an operand, found the end"},
		{"ABC(a", 5, "expected an operator, \",\" or \")\", found the end"},
		{"ABC(,)", 4, "expected an operand, found \",\""},
		{"A1(a)", 0, "expected a function's name of letters and underscores, found \"A1\""},
		{"_a(b)", 0, "expected a function's name of letters and underscores, found \"_a\""},
		{"a_b = 1", 0, "expected an attribute's name of letters and digits, found \"a_b\""},
		{"1 = 'a", 4, "expected a quote that ends this string"},
		{"'a\\'", 0, "expected a quote that ends this string"},
		{"\"a'", 0, "expected a quote that ends this string"},
		{"a = #", 4, "expected an operand, found \"#\""},
		{"a ! b", 2, "expected an operator or the end, found \"!\""},
		{"a == b", 3, "expected an operand, found \"=\""},
		{"a => b", 3, "expected an operand, found \">\""},
		{"\xc3\xa4 = 1", 0, "expected an operand, found \"\xc3\xa4\""},
		{"a\x01", 1, "expected an operator or the end, found \"?\""},
		{"2147483648", 0, "expected an integer from -2147483648 to 2147483647, found \"2147483648\""},
		{"-2147483649", 1, "expected an integer from -2147483648 to 2147483647, found \"2147483649\""},
		{"- 2147483648", 2, "expected an integer from -2147483648 to 2147483647, found \"2147483648\""},
		{"99999999999999999999999", 0,
	     "expected an integer from -2147483648 to 2147483647, found \"99999999999999999999999\""},
		{"+ 5", 2, "expected digits, found \"5\""},
		{"+a", 1, "expected digits, found \"a\""},
		{"5 + +", 5, "expected digits, found the end"},
		{"1 'abcdefghijklmnopqrstuvwxyz0123456789'", 2,
	     "expected an operator or the end, found 'abcdefghijklmnopqrstuvwxyz012..."},
		{"1 '\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4'",
	     2,
	     "expected an operator or the end, found "
	     "'\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4..."},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		check_refused(&table[i], FAAS_EFILTER, 0);
}

static void not_utf8(void **state)
{
	static const struct refused table[] = {
		{"a = '\xff'", 5, "expected UTF-8"},     {"a = '\xc3'", 5, "expected UTF-8"},
		{"\xe2\x82", 0, "expected UTF-8"},       {"'\xed\xa0\x80'", 1, "expected UTF-8"},
		{"'\xc0\xaf'", 1, "expected UTF-8"},     {"'\xf4\x90\x80\x80'", 1, "expected UTF-8"},
		{"'\xe0\x80\xaf'", 1, "expected UTF-8"}, {"'\x80'", 1, "expected UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		check_refused(&table[i], FAAS_ETEXT, 0);
}

/* 1.2: a filter's value is a Boolean; 3.3: what can be checked while compiling should be */
static void predicates(void **state)
{
	static const char *const fine[] = {"flag",    "subject LIKE 'a'", "EXISTS a AND b", "NOT a",
	                                   "BOOL(5)", "1 IN (1)",         "1 = 1"};
	static const struct refused types[] = {
		{" 1 + 1", 1, "expected a Boolean expression, not one that yields an Integer, found \"1\""},
		{"subject", 0, "expected a Boolean expression, not one that yields a String, found \"subject\""},
		{"-a", 0, "expected a Boolean expression, not one that yields an Integer, found \"-\""},
		{"UPPER(a)", 0, "expected a Boolean expression, not one that yields a String, found \"UPPER\""},
	};
	static const struct refused functions[] = {
		{"a AND LENGHT(b) > 1", 6, "expected a function that takes these arguments, found \"LENGHT\""},
		{"LENGTH(b, c) > 1", 0, "expected a function that takes these arguments, found \"LENGTH\""},
	};
	struct faas_filter_error_stats wrong;
	faas_filter *filter = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fine); i++) {
		assert_int_equal(FAAS_OK, compile(fine[i], FAAS_FILTER_PREDICATE, &filter, &wrong));
		assert_int_equal(FAAS_OK, wrong.code);
		faas_filter_free(filter);
	}
	for (size_t i = 0; i < COUNT_OF(types); i++)
		check_refused(&types[i], FAAS_EFILTER, FAAS_FILTER_PREDICATE);
	for (size_t i = 0; i < COUNT_OF(functions); i++)
		check_refused(&functions[i], FAAS_EFILTERFUNCTION, FAAS_FILTER_PREDICATE);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

/* `times` copies of `before`, then `middle`, then as many of `after`. */
static char *repeated(const char *before, const char *middle, const char *after, size_t times)
{
	size_t bytes = (strlen(before) + strlen(after)) * times + strlen(middle) + 1, at = 0;
	char *text = malloc(bytes);

	assert_non_null(text);
	for (size_t i = 0; i < times; i++)
		at += (size_t)snprintf(text + at, bytes - at, "%s", before);
	at += (size_t)snprintf(text + at, bytes - at, "%s", middle);
	for (size_t i = 0; i < times; i++)
		at += (size_t)snprintf(text + at, bytes - at, "%s", after);
	return text;
}

static void check_limit(int code, const char *before, const char *middle, const char *after, size_t times)
{
	char *text = repeated(before, middle, after, times);
	struct faas_filter_error_stats wrong;
	faas_filter *filter = NULL;

	assert_int_equal(code, compile(text, 0, &filter, &wrong));
	assert_int_equal(code, wrong.code);
	if (code != FAAS_OK)
		assert_memory_equal(wrong.message, "expected ", 9);
	faas_filter_free(filter);
	free(text);
}

static void limits_of_expressions(void **state)
{
	(void)state;
	check_limit(FAAS_OK, " ", "TRUE", "", FAAS_MAX_FILTER - 4);
	check_limit(FAAS_EFILTERLONG, " ", "TRUE", "", FAAS_MAX_FILTER - 3);
	check_limit(FAAS_EFILTERLONG, "'a", "", "", 100 * FAAS_MAX_FILTER);
	check_limit(FAAS_OK, "(", "TRUE", ")", FAAS_MAX_FILTER_DEPTH - 1);
	check_limit(FAAS_EFILTERDEPTH, "(", "TRUE", ")", FAAS_MAX_FILTER_DEPTH);
	check_limit(FAAS_OK, "NOT ", "a", "", FAAS_MAX_FILTER_DEPTH - 1);
	check_limit(FAAS_EFILTERDEPTH, "NOT ", "a", "", FAAS_MAX_FILTER_DEPTH);
	check_limit(FAAS_EFILTERDEPTH, "-", "a", "", 8000);
	check_limit(FAAS_EFILTERDEPTH, "a IN (", "a", ")", 1000);
	check_limit(FAAS_EFILTERDEPTH, "UPPER(", "a", ")", 1000);
	check_limit(FAAS_OK, "CONCAT(a, ", "a", ")", FAAS_MAX_FILTER_DEPTH - 1);
	check_limit(FAAS_OK, "", "a", " AND a", 1000); /* a chain does not nest */
	check_limit(FAAS_OK, "a OR ", "a", "", 1000);
	check_limit(FAAS_OK, "(a OR ", "a", ")", FAAS_MAX_FILTER_DEPTH / 2 - 1);
	check_limit(FAAS_OK, "CONCAT(", "1", ",1)", 1);
	check_limit(FAAS_EFILTERSIZE, "a+", "a", "", FAAS_MAX_FILTER / 2 - 1);
	check_limit(FAAS_EFILTERSIZE, "a-1+", "a", "", FAAS_MAX_FILTER / 4 - 1);
	check_limit(FAAS_OK, "a+", "a", "", 2700);
}

static void limit_of_values(void **state)
{
	char *arguments;
	char text[2000];

	(void)state;
	arguments = repeated(",a", "", "", FAAS_MAX_FILTER_VALUES - 1);
	(void)snprintf(text, sizeof(text), "CONCAT(a%s)", arguments);
	check_limit(FAAS_OK, "", text, "", 1);
	(void)snprintf(text, sizeof(text), "CONCAT(a,a%s)", arguments);
	check_limit(FAAS_EFILTERVALUES, "", text, "", 1);
	(void)snprintf(text, sizeof(text), "a + LENGTH(CONCAT(a%s))", arguments);
	check_limit(FAAS_EFILTERVALUES, "", text, "", 1);
	free(arguments);
	arguments = repeated(",a", "", "", 500); /* elements do not wait for each other */
	(void)snprintf(text, sizeof(text), "a IN (a%s)", arguments);
	check_limit(FAAS_OK, "", text, "", 1);
	free(arguments);
}

/* An expression whose Boolean value is false, and the code beside it. */
static void check_evaluation(int code, const char *before, const char *middle, const char *after)
{
	char *text = repeated(before, middle, after, 1);
	struct wanted wanted = BOOLEAN_AND(code, text, 0);
	faas_event *event = common_event();

	check_one(event, &wanted);
	faas_event_free(event);
	free(text);
}

static void limits_of_evaluation(void **state)
{
	char *a = repeated("a", "", "", 4000), *b = repeated("a", "b", "", 3000), *lower;
	static char text[FAAS_MAX_FILTER];

	(void)state;
	/* what begins with an attribute is not folded */
	(void)snprintf(text, sizeof(text), "CONCAT(id, '%s', '%s', '%s')", a, a, a);
	lower = repeated("LOWER(", text, ")", 4);
	check_evaluation(FAAS_OK, "", lower, " = ''");
	free(lower);
	lower = repeated("LOWER(", text, ")", 5);
	check_evaluation(FAAS_EFILTERTEXT, "", lower, " = ''");
	free(lower);
	/* an attempt at every character, and most of the pattern at each */
	(void)snprintf(text, sizeof(text), "'%s') LIKE '%%%s%%'", a, b);
	check_evaluation(FAAS_EFILTERSTEPS, "CONCAT(id, ", text, "");
	check_evaluation(FAAS_EFILTERSTEPS, "(", text, ""); /* folding is bounded as well */
	free(b);
	free(a);
}

/* Every expression here needs steps and text at many places; each of them may be the one at which they run out. */
static const char *const needy[] = {
	"LENGTH(word) + LENGTH(UPPER(word)) = 12",
	"LOWER(LEFT(word, 2)) = RIGHT('xst', 2)",
	"SUBSTRING(CONCAT(word, id), 2, 3) = TRIM(CONCAT(' ', 'tra'))",
	"CONCAT_WS(hops, raw, due, flag) LIKE '%Z%'",
	"subject LIKE '%_a%.p_g' AND type = 'a.b'",
	"TRIM(RIGHT(subject, 3)) IN ('x', LEFT('png', 3))",
};

static int run_with(const faas_filter *filter, const faas_event *event, int32_t steps, uint32_t text, bool is_near)
{
	struct value value;
	struct run run;
	int error;

	faas__filter_run_init(&run, &filter->program, &filter->allocator, event);
	run.steps = steps;
	run.built = FAAS_MAX_FILTER_TEXT - text;
	run.near_used = is_near ? 0 : NEAR_BYTES;
	value = faas__filter_execute(&run);
	assert_int_equal(FAAS_ATTRIBUTE_BOOLEAN, value.type);
	assert_int_equal(value.integer, run.error == FAAS_OK);
	assert_int_equal(run.stopped, run.error != FAAS_OK);
	error = run.error;
	faas__filter_run_deinit(&run);
	return error;
}

static void limits_hold_wherever_they_are_met(void **state)
{
	faas_event *event = common_event();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(needy); i++) {
		faas_filter *filter = compiled(needy[i]);
		int32_t steps = 0;
		uint32_t text = 0;

		while (run_with(filter, event, steps, FAAS_MAX_FILTER_TEXT, true) != FAAS_OK)
			steps++;
		while (run_with(filter, event, FAAS_MAX_FILTER_STEPS, text, true) != FAAS_OK)
			text++;
		assert_true(steps > 5 && steps < 500 && text < 500);
		if (steps > 0)
			assert_int_equal(FAAS_EFILTERSTEPS, run_with(filter, event, steps - 1, FAAS_MAX_FILTER_TEXT, true));
		if (text > 0)
			assert_int_equal(FAAS_EFILTERTEXT, run_with(filter, event, FAAS_MAX_FILTER_STEPS, text - 1, true));
		assert_int_equal(FAAS_OK, run_with(filter, event, steps, text, false));
		faas_filter_free(filter);
	}
	faas_event_free(event);
}

/* ---- Constants --------------------------------------------------------------------------------------------------- */

static uint32_t instructions_of(const char *expression)
{
	faas_filter *filter = compiled(expression);
	uint32_t count = filter->program.code_count;

	faas_filter_free(filter);
	return count;
}

static void constants_are_folded(void **state)
{
	static const struct wanted table[] = {
		INTEGER("60 * 60 * 24", 86400), BOOLEAN("NOT ('a' LIKE 'a%')", 0), STRING("UPPER(CONCAT('a', -'5'))", "A-5"),
		STRING("CONCAT()", ""),         BOOLEAN("'x' = UPPER('x')", 0),    INTEGER("LENGTH(TRIM('  abc '))", 3),
	};
	char *a = repeated("a", "", "", 300);
	char text[700];

	(void)state;
	CHECK(table);
	for (size_t i = 0; i < COUNT_OF(table); i++)
		assert_int_equal(1, instructions_of(table[i].expression));
	assert_int_equal(3, instructions_of("hops + 2 * 3"));
	assert_int_equal(4, instructions_of("hops IN (2 * 3)") - 1);
	assert_int_equal(2, instructions_of("-hops"));
	/* errors stay where they are; so do long strings, and what a jump may skip */
	assert_int_equal(3, instructions_of("1 / 0"));
	(void)snprintf(text, sizeof(text), "LOWER('%s')", a);
	assert_int_equal(2, instructions_of(text));
	assert_int_equal(6, instructions_of("(flag AND TRUE) = TRUE") + 1);
	assert_int_equal(1, instructions_of("EXISTS id"));
	free(a);
}

static void texts_of_folded_operands_are_gone(void **state)
{
	faas_filter *folded = compiled("CONCAT('abc', 'def', UPPER('ghi'))"), *plain = compiled("'abcdefGHI'");

	(void)state;
	assert_int_equal(folded->bytes, plain->bytes);
	faas_filter_free(folded);
	faas_filter_free(plain);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

struct counting {
	uint64_t live, calls;
	int64_t until_failure; /* -1: never */
};

static void *counting_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	struct counting *counting = user;

	(void)alignment;
	counting->calls++;
	if (counting->until_failure == 0)
		return NULL;
	if (counting->until_failure > 0)
		counting->until_failure--;
	counting->live += bytes;
	return malloc((size_t)bytes);
}

static void counting_free(void *user, void *memory, uint64_t bytes, uint64_t alignment)
{
	struct counting *counting = user;

	(void)alignment;
	assert_true(bytes <= counting->live);
	counting->live -= bytes;
	free(memory);
}

static const char wordy[] =
	"CONCAT_WS('-', type, 'a long text that does not fit beside the values of an evaluation, by far', "
	"'and another of the same kind, which is there only to be long', "
	"'and a third one, so that there is no room in those 256 bytes, for all of them', source, word, due) "
	"LIKE '%0Z' AND hops IN (1, 2, 3, 4, 5) AND EXISTS nothing";

static void every_allocation_may_fail(void **state)
{
	struct counting counting = {.until_failure = -1};
	faas_allocator_config allocator = {
		.struct_size = sizeof(allocator), .alloc = counting_alloc, .free = counting_free, .user = &counting};
	struct faas_filter_value_stats value = {.struct_size = sizeof(value)};
	faas_event *event = common_event();
	faas_filter *filter = NULL;
	int code = FAAS_ENOMEM, failures = 0;

	(void)state;
	while (code == FAAS_ENOMEM) {
		counting.until_failure = failures++;
		code = faas_filter_compile(FAAS_FILTER(.expression = wordy, .allocator = &allocator), &filter, NULL);
		assert_true(code == FAAS_OK || (counting.live == 0 && !filter));
	}
	assert_int_equal(FAAS_OK, code);
	assert_true(failures > 3);
	assert_int_equal(counting.live, filter->bytes);
	counting.until_failure = 0;
	assert_int_equal(FAAS_ENOMEM, faas_filter_evaluate(filter, event, NULL, 0, &value));
	assert_int_equal(FAAS_ATTRIBUTE_BOOLEAN, value.type);
	assert_int_equal(0, faas_filter_matches(filter, event, &code));
	assert_int_equal(FAAS_ENOMEM, code);
	counting.until_failure = -1;
	assert_int_equal(FAAS_OK, faas_filter_evaluate(filter, event, NULL, 0, &value));
	assert_int_equal(counting.live, filter->bytes);
	faas_filter_free(filter);
	assert_int_equal(0, counting.live);
	faas_event_free(event);
}

static void evaluation_without_much_text_allocates_nothing(void **state)
{
	static const char *const expressions[] = {
		"type = 'a.b' AND subject LIKE 'images/%'",
		"hops + 5 = ten",
		"STRING(hops) LIKE '5' AND due > '2024'",
		"LENGTH(TRIM(word)) = 6",
		"CONCAT(type, '/', subject) = 'a.b/images/cat.png'",
		"raw = 'AAH/' OR NOSUCH()",
	};
	struct counting counting = {.until_failure = -1};
	faas_allocator_config allocator = {
		.struct_size = sizeof(allocator), .alloc = counting_alloc, .free = counting_free, .user = &counting};
	faas_event *event = common_event();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(expressions); i++) {
		faas_filter *filter = NULL;
		uint64_t calls;

		assert_int_equal(
			FAAS_OK,
			faas_filter_compile(FAAS_FILTER(.expression = expressions[i], .allocator = &allocator), &filter, NULL));
		calls = counting.calls;
		(void)faas_filter_matches(filter, event, NULL);
		assert_int_equal(calls, counting.calls);
		faas_filter_free(filter);
	}
	assert_int_equal(0, counting.live);
	faas_event_free(event);
}

static void arguments_are_checked(void **state)
{
	struct {
		faas_filter_config config;
		uint64_t unknown;
	} newer = {.config = {.struct_size = sizeof(newer), .expression = "TRUE"}};
	struct faas_filter_error_stats wrong = {.struct_size = 4};
	faas_allocator_config no_allocator = {.struct_size = sizeof(no_allocator)};
	faas_filter *filter = NULL;

	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_filter_compile(NULL, &filter, NULL));
	assert_int_equal(FAAS_EINVAL, faas_filter_compile(FAAS_FILTER(.expression = "TRUE"), NULL, NULL));
	assert_int_equal(FAAS_EINVAL, faas_filter_compile(FAAS_FILTER(.expression = NULL), &filter, NULL));
	assert_int_equal(FAAS_EINVAL, faas_filter_compile(FAAS_FILTER(.expression = "TRUE", .flags = 2), &filter, NULL));
	assert_int_equal(FAAS_EINVAL, faas_filter_compile(FAAS_FILTER(.expression = "TRUE"), &filter, &wrong));
	assert_int_equal(FAAS_EINVAL,
	                 faas_filter_compile(FAAS_FILTER(.expression = "TRUE", .allocator = &no_allocator), &filter, NULL));
	assert_int_equal(FAAS_OK, faas_filter_compile(&newer.config, &filter, NULL));
	faas_filter_free(filter);
	newer.unknown = 1;
	assert_int_equal(FAAS_EINVAL, faas_filter_compile(&newer.config, &filter, NULL));
	faas_filter_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed),
		cmocka_unit_test(not_utf8),
		cmocka_unit_test(predicates),
		cmocka_unit_test(limits_of_expressions),
		cmocka_unit_test(limit_of_values),
		cmocka_unit_test(limits_of_evaluation),
		cmocka_unit_test(limits_hold_wherever_they_are_met),
		cmocka_unit_test(constants_are_folded),
		cmocka_unit_test(texts_of_folded_operands_are_gone),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(evaluation_without_much_text_allocates_nothing),
		cmocka_unit_test(arguments_are_checked),
	};

	return cmocka_run_group_tests_name("filter compile", tests, NULL, NULL);
}
