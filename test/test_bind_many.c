/* SPDX-License-Identifier: MIT */
/*
 * Many bindings: random patterns, bound and unbound in random order, against a matcher that compares them one by one.
 * FAAS_TEST_SEED repeats a run.
 */
#include "support.h"

#define FUNCTIONS 100
#define BINDINGS 10000
#define LARGEST 64 /* bytes of a pattern or type */

struct bound {
	uint64_t id;
	int function;
	char pattern[LARGEST];
};

struct model {
	struct bed bed;
	uint64_t seed;
	size_t count;
	struct bound bindings[BINDINGS];
	int is_registered[FUNCTIONS];
	int order[FUNCTIONS]; /* in which they were registered; the newest has the largest */
	int newest;
};

/* ---- The model --------------------------------------------------------------------------------------------------- */

/* Few tokens, so that patterns overlap and share beginnings. */
static void make_tokens(uint64_t *seed, int wildcards, char *to)
{
	static const char *const tokens[] = {"a", "b", "c", "ab", "\xc3\xa4", "a*", ">b", "image"};
	uint64_t count = 1 + random_below(seed, 6);

	to[0] = 0;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t kind = random_below(seed, 100);

		if (i > 0)
			strcat(to, ".");
		if (wildcards && kind < 25)
			strcat(to, "*");
		else if (wildcards && kind < 40 && i + 1 == count)
			strcat(to, ">");
		else
			strcat(to, tokens[random_below(seed, COUNT_OF(tokens))]);
	}
}

/* As the documentation says, one token after the other. */
static int does_match(const char *pattern, const char *type)
{
	const char *pattern_end = strchr(pattern, '.'), *type_end = strchr(type, '.');
	size_t pattern_bytes = pattern_end ? (size_t)(pattern_end - pattern) : strlen(pattern);
	size_t type_bytes = type_end ? (size_t)(type_end - type) : strlen(type);

	if (strcmp(pattern, ">") == 0)
		return 1;
	if (!(pattern_bytes == 1 && pattern[0] == '*') &&
	    !(pattern_bytes == type_bytes && memcmp(pattern, type, type_bytes) == 0))
		return 0;
	if (!pattern_end || !type_end)
		return !pattern_end && !type_end;
	return does_match(pattern_end + 1, type_end + 1);
}

static void function_name(int function, char name[16])
{
	snprintf(name, 16, "f%d", function);
}

/* ---- What is done to both ---------------------------------------------------------------------------------------- */

static void do_register(struct model *model, int function)
{
	char name[16];

	function_name(function, name);
	bed_register(&model->bed, name, ONCE(.handler = nothing_handler));
	model->is_registered[function] = 1;
	model->order[function] = model->newest++;
}

static void do_unregister(struct model *model, int function)
{
	char name[16];
	size_t kept = 0;

	function_name(function, name);
	assert_int_equal(FAAS_OK, faas_unregister_function(model->bed.runtime, name));
	model->is_registered[function] = 0;
	for (size_t i = 0; i < model->count; i++)
		if (model->bindings[i].function != function)
			model->bindings[kept++] = model->bindings[i];
		else
			assert_int_equal(FAAS_ENOTFOUND, faas_unbind(model->bed.runtime, model->bindings[i].id));
	model->count = kept;
}

static void do_bind(struct model *model)
{
	struct bound *bound = &model->bindings[model->count];
	char name[16];

	bound->function = (int)random_below(&model->seed, FUNCTIONS);
	if (!model->is_registered[bound->function])
		do_register(model, bound->function);
	make_tokens(&model->seed, 1, bound->pattern);
	function_name(bound->function, name);
	bound->id = bed_bind(&model->bed, bound->pattern, name);
	model->count++;
}

static void do_unbind(struct model *model)
{
	size_t at = (size_t)random_below(&model->seed, model->count);

	assert_int_equal(FAAS_OK, faas_unbind(model->bed.runtime, model->bindings[at].id));
	model->bindings[at] = model->bindings[--model->count];
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

static int expected_count(const struct model *model, const char *type, int wanted[FUNCTIONS])
{
	int count = 0;

	memset(wanted, 0, FUNCTIONS * sizeof(wanted[0]));
	for (size_t i = 0; i < model->count; i++) {
		const struct bound *bound = &model->bindings[i];

		if (wanted[bound->function] || !does_match(bound->pattern, type))
			continue;
		wanted[bound->function] = 1;
		count++;
	}
	return count;
}

static void compare(struct model *model)
{
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	faas_emission *emission = NULL;
	int wanted[FUNCTIONS], count, last = -1;
	char type[LARGEST];

	make_tokens(&model->seed, 0, type);
	count = expected_count(model, type, wanted);
	assert_int_equal(count, faas_emit_event(model->bed.runtime, FAAS_EVENT(.type = type), &emission));
	assert_int_equal(count, faas_emission_count(emission));
	for (int i = 0; i < count; i++) {
		int function;

		assert_int_equal(FAAS_OK, faas_emission_entry(emission, i, &entry));
		function = atoi(entry.function + 1);
		assert_int_equal(1, wanted[function]);
		wanted[function] = 0;
		assert_true(model->order[function] > last);
		last = model->order[function];
	}
	assert_int_equal(count, faas_emission_cancel(emission));
	faas_emission_unref(emission);
}

static void compare_some(struct model *model, int times)
{
	assert_int_equal(model->count, bed_totals(&model->bed).bindings);
	for (int i = 0; i < times; i++)
		compare(model);
}

static int setup(void **state)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		return -1;
	bed_open(&model->bed, NULL);
	model->seed = random_seed("bind many");
	*state = model;
	return 0;
}

static int teardown(void **state)
{
	struct model *model = *state;

	bed_close(&model->bed);
	free(model);
	return 0;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void ten_thousand_random_patterns_match_as_one_by_one(void **state)
{
	struct model *model = *state;

	while (model->count < BINDINGS) {
		do_bind(model);
		if (random_below(&model->seed, 5) == 0)
			do_unbind(model);
		if (random_below(&model->seed, 50) == 0)
			compare_some(model, 2);
	}
	compare_some(model, 100);
	while (model->count > 0) {
		do_unbind(model);
		if (random_below(&model->seed, 50) == 0)
			compare_some(model, 2);
	}
	compare_some(model, 10);
}

static void functions_come_and_go_with_their_patterns(void **state)
{
	struct model *model = *state;

	for (int round = 0; round < 5000; round++) {
		int function = (int)random_below(&model->seed, FUNCTIONS);

		if (model->count < BINDINGS)
			do_bind(model);
		if (random_below(&model->seed, 40) == 0 && model->is_registered[function])
			do_unregister(model, function);
		if (random_below(&model->seed, 20) == 0)
			compare_some(model, 1);
	}
	for (int function = 0; function < FUNCTIONS; function++)
		if (model->is_registered[function])
			do_unregister(model, function);
	compare_some(model, 10);
	bed_run(&model->bed);
	assert_int_equal(0, bed_totals(&model->bed).functions);
}

/* Memory follows what is bound now, not what was bound ever. */
static void memory_does_not_grow_with_rebinding(void **state)
{
	struct model *model = *state;
	int64_t after_warm_up = 0;

	do_register(model, 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t id = bed_bind(&model->bed, "a.b", "f0");

		assert_int_equal(FAAS_OK, faas_unbind(model->bed.runtime, id));
		if (i == 2000)
			after_warm_up = model->bed.memory.bytes;
	}
	assert_in_range(model->bed.memory.bytes, 0, 2 * after_warm_up);
	assert_int_equal(0, bed_totals(&model->bed).bindings);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ten_thousand_random_patterns_match_as_one_by_one),
		TEST(functions_come_and_go_with_their_patterns),
		TEST(memory_does_not_grow_with_rebinding),
	};

	return cmocka_run_group_tests_name("bind many", tests, NULL, NULL);
}
