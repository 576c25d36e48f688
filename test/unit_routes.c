/* SPDX-License-Identifier: MIT */
/* Matching types against patterns: the tree of tokens and the single comparison, against a plain matcher. */
#include "unit.h"

#include "dispatch/function.h"
#include "dispatch/table.h"

#define BINDINGS 300
#define FUNCTIONS 40

static faas_function *functions[FUNCTIONS];
static struct binding *bindings[BINDINGS];
static uint64_t seed;

/* ---- A plain matcher --------------------------------------------------------------------------------------------- */

/* The next token and what follows it; NULL: it was the last. */
static const char *cut(const char *text, char *token, size_t size)
{
	size_t bytes = strcspn(text, ".");

	assert_true(bytes > 0 && bytes < size);
	memcpy(token, text, bytes);
	token[bytes] = 0;
	return text[bytes] == 0 ? NULL : text + bytes + 1;
}

static bool matches(const char *pattern, const char *type)
{
	char wanted[64], token[64];
	const char *pattern_rest = cut(pattern, wanted, sizeof(wanted)), *type_rest = cut(type, token, sizeof(token));

	if (strcmp(wanted, ">") == 0)
		return true;
	if (strcmp(wanted, "*") != 0 && strcmp(wanted, token) != 0)
		return false;
	if (!pattern_rest || !type_rest)
		return !pattern_rest && !type_rest;
	return matches(pattern_rest, type_rest);
}

/* ---- Random patterns and types ------------------------------------------------------------------------------------- */

static void draw_tokens(struct random *random, char *text, bool wildcards)
{
	static const char *const tokens[] = {"a", "b", "cc", "dd", "*a", "b>", "caf\xc3\xa9"};
	size_t count = 1 + (size_t)unit_below(random, 6);

	*text = 0;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			strcat(text, ".");
		if (wildcards && unit_below(random, 4) == 0)
			strcat(text, "*");
		else if (wildcards && i + 1 == count && unit_below(random, 4) == 0)
			strcat(text, ">");
		else
			strcat(text, tokens[unit_below(random, COUNT_OF(tokens))]);
	}
}

static struct binding *binding_new(struct random *random)
{
	char pattern[64];
	struct binding *binding;

	draw_tokens(random, pattern, true);
	binding = calloc(1, sizeof(*binding) + strlen(pattern) + 1);
	assert_non_null(binding);
	strcpy(binding->pattern, pattern);
	binding->pattern_bytes = (uint32_t)strlen(pattern);
	if (!strpbrk(pattern, "*>"))
		binding->hash = faas__route_hash(pattern, strlen(pattern), seed);
	binding->function = functions[unit_below(random, FUNCTIONS)];
	store_relaxed(&binding->refs, 1);
	return binding;
}

static void setup_bindings(struct random *random)
{
	seed = faas__random_next(random);
	for (size_t i = 0; i < FUNCTIONS; i++) {
		/* Functions have a line of their own. */
		functions[i] = aligned_alloc(FAAS_LINE, sizeof(*functions[i]));
		assert_non_null(functions[i]);
		memset(functions[i], 0, sizeof(*functions[i]));
		functions[i]->index = i;
	}
	for (size_t i = 0; i < BINDINGS; i++)
		bindings[i] = binding_new(random);
}

static void free_bindings(void)
{
	for (size_t i = 0; i < BINDINGS; i++)
		free(bindings[i]);
	for (size_t i = 0; i < FUNCTIONS; i++)
		free(functions[i]);
	unit_check_empty();
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void one_pattern_matches_as_it_should(void **state)
{
	static const struct {
		const char *pattern, *type;
		bool matches;
	} table[] = {
		{"a", "a", true},          {"a", "b", false},       {"a", "aa", false},      {"aa", "a", false},
		{"*", "a", true},          {"*", "a.b", false},     {">", "a", true},        {">", "a.b.c", true},
		{"a.*", "a.b", true},      {"a.*", "a", false},     {"a.*", "a.b.c", false}, {"a.>", "a.b", true},
		{"a.>", "a.b.c.d", true},  {"a.>", "a", false},     {"*.b", "a.b", true},    {"*.b", "a.c", false},
		{"*.*", "a.b", true},      {"*.>", "a.b", true},    {"*.>", "a", false},     {"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false}, {"*a", "*a", true},      {"*a", "xa", false},     {"b>", "b>", true},
		{"b>", "b.c", false},      {"a.b.c", "a.b", false}, {"a.b", "a.b.c", false}, {"*.*.*", "a.b", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (faas__pattern_matches(table[i].pattern, table[i].type) != table[i].matches)
			fail_msg("%s and %s", table[i].pattern, table[i].type);
}

static void random_patterns_match_as_the_plain_ones_do(void **state)
{
	struct random random = unit_random("patterns");
	int good = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char pattern[64], type[64];

		draw_tokens(&random, pattern, true);
		draw_tokens(&random, type, false);
		if (faas__pattern_matches(pattern, type) != matches(pattern, type))
			fail_msg("%s and %s", pattern, type);
		good += matches(pattern, type);
	}
	assert_true(good > 1000);
}

/* What a tree must find: each function of a living binding that matches. */
static void check_matches(const struct route_tree *tree, size_t count, const char *type)
{
	bool wanted[FUNCTIONS] = {false}, found[FUNCTIONS] = {false};
	struct match_list list = {.allocator = &unit_allocator, .is_sorted = true};

	for (size_t i = 0; i < count; i++)
		if (!load_relaxed(&bindings[i]->is_dead) && matches(bindings[i]->pattern, type))
			wanted[bindings[i]->function->index] = true;
	assert_int_equal(FAAS_OK, faas__route_tree_match(tree, type, strlen(type),
	                                                  faas__route_hash(type, strlen(type), seed), &list));
	for (size_t i = 0; i < list.count; i++) {
		found[list.functions[i]->index] = true;
		if (list.is_sorted && i > 0)
			assert_true(list.functions[i - 1]->index < list.functions[i]->index);
	}
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (wanted[i] != found[i])
			fail_msg("%s: function %zu is %s", type, i, found[i] ? "found" : "missed");
	faas__free(&unit_allocator, list.functions, list.capacity * sizeof(*list.functions));
}

static void a_random_tree_finds_what_matches(void **state)
{
	struct random random = unit_random("route tree");

	(void)state;
	for (int round = 0; round < 60; round++) {
		size_t count = round == 0 ? 0 : (size_t)unit_below(&random, BINDINGS + 1);
		struct route_tree *tree;

		setup_bindings(&random);
		tree = faas__route_tree_new(&unit_allocator, bindings, count, seed);
		assert_non_null(tree);
		assert_int_equal(count, faas__route_tree_count(tree));
		for (size_t i = 0; i < BINDINGS; i++)
			assert_int_equal(i < count ? 2 : 1, load_relaxed(&bindings[i]->refs));
		for (int i = 0; i < 300; i++) {
			char type[64];

			draw_tokens(&random, type, false);
			check_matches(tree, count, type);
			/* Unbinding leaves a binding in its trees, dead. */
			if (count > 0 && i % 10 == 0)
				store_relaxed(&bindings[unit_below(&random, count)]->is_dead, 1);
		}
		faas__route_tree_free(&unit_allocator, tree);
		free_bindings();
	}
}

static void a_tree_without_memory_is_not_made(void **state)
{
	struct random random = unit_random("route memory");
	struct route_tree *tree = NULL;
	int refusals = 0;

	(void)state;
	setup_bindings(&random);
	for (long long n = 0; !tree; n++) {
		unit_refuse_from(n);
		tree = faas__route_tree_new(&unit_allocator, bindings, BINDINGS, seed);
		unit_refuse_from(-1);
		if (tree)
			break;
		refusals++;
		unit_check_empty();
		for (size_t i = 0; i < BINDINGS; i++)
			assert_int_equal(1, load_relaxed(&bindings[i]->refs));
	}
	assert_true(refusals > 5);
	check_matches(tree, BINDINGS, "a.b.cc");
	faas__route_tree_free(&unit_allocator, tree);
	free_bindings();
}

/* As many tokens as a type can have, and patterns that make each of them a fork. */
static void a_long_type_is_no_trouble(void **state)
{
	enum { TOKENS = 20 };
	struct random random = unit_random("long types");
	char type[1024] = "";
	struct route_tree *tree;

	(void)state;
	setup_bindings(&random);
	for (size_t b = 0; b < 2 * TOKENS; b++) {
		struct binding *binding = calloc(1, sizeof(*binding) + 2 * TOKENS + 2);

		assert_non_null(binding);
		for (size_t t = 0; t < TOKENS; t++)
			strcat(strcat(binding->pattern, t == 0 ? "" : "."), t == b % TOKENS ? (b < TOKENS ? "a" : "*")
			                                                    : b < TOKENS    ? "*"
			                                                                    : "a");
		binding->pattern_bytes = (uint32_t)strlen(binding->pattern);
		binding->function = bindings[b]->function;
		store_relaxed(&binding->refs, 1);
		free(bindings[b]);
		bindings[b] = binding;
	}
	tree = faas__route_tree_new(&unit_allocator, bindings, BINDINGS, seed);
	assert_non_null(tree);
	for (size_t t = 0; t < TOKENS; t++) {
		strcat(strcat(type, t == 0 ? "" : "."), "a");
		check_matches(tree, BINDINGS, type);
	}
	faas__route_tree_free(&unit_allocator, tree);
	free_bindings();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_pattern_matches_as_it_should),
		cmocka_unit_test(random_patterns_match_as_the_plain_ones_do),
		cmocka_unit_test(a_random_tree_finds_what_matches),
		cmocka_unit_test(a_tree_without_memory_is_not_made),
		cmocka_unit_test(a_long_type_is_no_trouble),
	};

	return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
