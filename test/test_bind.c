/* SPDX-License-Identifier: MIT */
/* Bindings: which events reach which functions, by patterns with the rules of NATS subjects. */
#include "support.h"

/* Registers `name` with a handler that does nothing. */
static void add(struct bed *bed, const char *name)
{
	bed_register(bed, name, ONCE(.handler = nothing_handler));
}

/* The functions an event of this type goes to, joined with blanks, in the order of the emission's entries. */
static const char *route(struct bed *bed, const char *type)
{
	static char names[4096];
	faas_emission *emission = NULL;
	int count = faas_emit_event(bed->runtime, FAAS_EVENT(.type = type), &emission);
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	char *end = names;

	assert_non_null(emission);
	assert_int_equal(count, faas_emission_count(emission));
	names[0] = 0;
	for (int i = 0; i < count; i++) {
		assert_int_equal(FAAS_OK, faas_emission_entry(emission, i, &entry));
		end += snprintf(end, sizeof(names) - (size_t)(end - names), i > 0 ? " %s" : "%s", entry.function);
	}
	assert_int_equal(count, faas_emission_cancel(emission));
	faas_emission_unref(emission);
	return names;
}

/* ---- Which patterns match which types ---------------------------------------------------------------------------- */

static void patterns_match_as_nats_subjects_do(void **state)
{
	static const struct {
		const char *pattern, *type;
		int matches;
	} cases[] = {
		{"a", "a", 1},
		{"a", "b", 0},
		{"a", "A", 0},
		{"a", "ab", 0},
		{"ab", "a", 0},
		{"a", "a.b", 0},
		{"a.b", "a", 0},
		{"a.b", "a.b", 1},
		{"a.b", "a.c", 0},
		{"a.b", "b.a", 0},
		{"a.b", "a.b.c", 0},
		{"*", "a", 1},
		{"*", "abc", 1},
		{"*", "a.b", 0},
		{"*.*", "a", 0},
		{"*.*", "a.b", 1},
		{"*.*", "a.b.c", 0},
		{"a.*", "a.b", 1},
		{"a.*", "a", 0},
		{"a.*", "b.b", 0},
		{"a.*", "a.b.c", 0},
		{"*.b", "a.b", 1},
		{"*.b", "a.c", 0},
		{"*.b", "b", 0},
		{"a.*.c", "a.b.c", 1},
		{"a.*.c", "a.b.d", 0},
		{"a.*.c", "a.c", 0},
		{"a.*.c", "a.b.b.c", 0},
		{">", "a", 1},
		{">", "a.b.c.d", 1},
		{"a.>", "a", 0},
		{"a.>", "a.b", 1},
		{"a.>", "a.b.c", 1},
		{"a.>", "b.a", 0},
		{"a.>", "ab.c", 0},
		{"*.>", "a", 0},
		{"*.>", "a.b", 1},
		{"*.>", "a.b.c", 1},
		{"a.*.>", "a.b", 0},
		{"a.*.>", "a.b.c", 1},
		{"a.*.>", "a.b.c.d", 1},
		{"*.b.>", "a.b.c", 1},
		{"*.b.>", "a.c.c", 0},
		/* Wildcards only as whole tokens. */
		{"a*", "a*", 1},
		{"a*", "ab", 0},
		{"**", "**", 1},
		{"**", "ab", 0},
		{"a>", "a>", 1},
		{"a>", "ab", 0},
		{">>", ">>", 1},
		{">>", "a", 0},
		{">x.b", ">x.b", 1},
		{">x.b", "a.b", 0},
		{"\xc3\xa4.*", "\xc3\xa4.x", 1},
		{"\xc3\xa4.*", "a.x", 0},
	};
	struct bed *bed = *state;

	add(bed, "f");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t id = bed_bind(bed, cases[i].pattern, "f");
		const char *names = route(bed, cases[i].type);

		if (strcmp(names, cases[i].matches ? "f" : "") != 0)
			fail_msg("%s and %s: got \"%s\"", cases[i].pattern, cases[i].type, names);
		assert_int_equal(FAAS_OK, faas_unbind(bed->runtime, id));
	}
}

static void malformed_patterns_are_refused(void **state)
{
	static const char *const malformed[] = {"",    ".",    "a.",   ".a",    "a..b", "..",   ">.a", "a.>.b",
	                                        ">.>", "a.>.", "*..*", "a b",   " ",    "a.\t", ".>",  ".*",
	                                        ">.",  "*.",   "\x01", "a\x7f", "a\n",  "a. ",  ">.*"};
	struct bed *bed = *state;
	uint64_t id = 77;

	add(bed, "f");
	for (size_t i = 0; i < COUNT_OF(malformed); i++) {
		int code = faas_bind(bed->runtime, FAAS_BINDING(.pattern = malformed[i], .function = "f"), &id);

		if (code != FAAS_EPATTERN)
			fail_msg("\"%s\": %s", malformed[i], faas_error_name(code));
	}
	assert_int_equal(77, id);
	assert_int_equal(0, bed_totals(bed).bindings);
}

static void every_other_refusal_has_its_code(void **state)
{
	struct {
		faas_binding_config config;
		uint64_t extra;
	} larger = {.config = *FAAS_BINDING(.pattern = "a", .function = "f")};
	struct bed *bed = *state;
	faas_runtime *runtime = bed->runtime;
	char pattern[FAAS_MAX_TYPE + 2];
	uint64_t id = 77;

	add(bed, "f");
	assert_int_equal(FAAS_EINVAL, faas_bind(NULL, FAAS_BINDING(.pattern = "a", .function = "f"), &id));
	assert_int_equal(FAAS_EINVAL, faas_bind(runtime, NULL, &id));
	assert_int_equal(FAAS_EINVAL, faas_bind(runtime, FAAS_BINDING(.function = "f"), &id));
	assert_int_equal(FAAS_EINVAL, faas_bind(runtime, FAAS_BINDING(.pattern = "a"), &id));
	assert_int_equal(FAAS_EINVAL,
	                 faas_bind(runtime, FAAS_BINDING(.pattern = "a", .function = "f", .reserved = 1), &id));
	assert_int_equal(FAAS_ETEXT, faas_bind(runtime, FAAS_BINDING(.pattern = "a.\xff", .function = "f"), &id));
	assert_int_equal(FAAS_ENAME, faas_bind(runtime, FAAS_BINDING(.pattern = "a", .function = ""), &id));
	assert_int_equal(FAAS_ENAME, faas_bind(runtime, FAAS_BINDING(.pattern = "a", .function = "f.g"), &id));
	assert_int_equal(FAAS_ENOTFOUND, faas_bind(runtime, FAAS_BINDING(.pattern = "a", .function = "g"), &id));
	memset(pattern, 'x', sizeof(pattern));
	pattern[FAAS_MAX_TYPE + 1] = 0;
	assert_int_equal(FAAS_ETOOLONG, faas_bind(runtime, FAAS_BINDING(.pattern = pattern, .function = "f"), &id));
	larger.config.struct_size = sizeof(larger);
	larger.extra = 1;
	assert_int_equal(FAAS_EINVAL, faas_bind(runtime, &larger.config, &id));
	larger.config.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_bind(runtime, &larger.config, &id));
	larger.config.struct_size = offsetof(faas_binding_config, function);
	assert_int_equal(FAAS_EINVAL, faas_bind(runtime, &larger.config, &id));
	assert_int_equal(77, id);
	assert_int_equal(0, bed_totals(bed).bindings);
	larger.config.struct_size = sizeof(larger);
	larger.extra = 0;
	assert_int_equal(FAAS_OK, faas_bind(runtime, &larger.config, &id));
	pattern[FAAS_MAX_TYPE] = 0;
	assert_int_equal(FAAS_OK, faas_bind(runtime, FAAS_BINDING(.pattern = pattern, .function = "f"), NULL));
	assert_string_equal("f", route(bed, pattern));
	assert_int_equal(2, bed_totals(bed).bindings);
	assert_int_equal(FAAS_EINVAL, faas_unbind(NULL, id));
}

/* Wherever they differ, and whether or not an event of either has been there before. */
static void types_that_are_alike_but_for_a_letter_are_told_apart(void **state)
{
	static const size_t lengths[] = {1, 7, 8, 9, 15, 16, 17, 24, 31, 45, 46, 47, 100};
	struct bed *bed = *state;
	char type[128], name[16];

	for (size_t k = 0; k < COUNT_OF(lengths); k++) {
		const size_t bytes = lengths[k];

		snprintf(name, sizeof(name), "f%zu", bytes);
		add(bed, name);
		memset(type, 'a', bytes);
		type[bytes] = 0;
		bed_bind(bed, type, name);
		/* So many letters that some pairs of types meet wherever a lane remembers types by a hash. */
		for (size_t at = 0; at < bytes; at++)
			for (char letter = 'b'; letter <= 'z'; letter++) {
				assert_string_equal(name, route(bed, type));
				type[at] = letter;
				assert_string_equal("", route(bed, type));
				assert_string_equal("", route(bed, type));
				type[at] = 'a';
			}
	}
}

static void a_binding_is_copied(void **state)
{
	struct bed *bed = *state;
	char pattern[] = "a.*", name[] = "f";

	add(bed, "f");
	bed_bind(bed, pattern, name);
	memset(pattern, 'X', sizeof(pattern));
	memset(name, 'X', sizeof(name));
	assert_string_equal("f", route(bed, "a.b"));
}

/* ---- Several bindings -------------------------------------------------------------------------------------------- */

static void a_function_bound_several_times_gets_an_event_once(void **state)
{
	static const char *const patterns[] = {"a.b", "a.b", "a.*", "*.b", "*.*", "a.>", ">"};
	struct bed *bed = *state;
	struct record record;

	record_init(&record);
	bed_register(bed, "f", ONCE(.handler = record_handler, .user = &record));
	/* So many that they stand in several tables. */
	for (int i = 0; i < 200; i++) {
		bed_bind(bed, patterns[i % (int)COUNT_OF(patterns)], "f");
		assert_int_equal(1, bed_emit(bed, "a.b", "x"));
		bed_run(bed);
		assert_int_equal(i + 1, record.count);
	}
	assert_int_equal(200, bed_stats(bed, "f").offered);
	record_deinit(&record);
}

static void functions_stand_in_the_order_of_their_registration(void **state)
{
	struct bed *bed = *state;
	struct record record;
	char name[2] = "";

	record_init(&record);
	for (char c = 'a'; c <= 'f'; c++) {
		name[0] = c;
		bed_register(bed, name, ONCE(.handler = record_handler, .user = &record));
	}
	for (char c = 'f'; c >= 'a'; c--) {
		name[0] = c;
		bed_bind(bed, c % 2 ? "*.x" : "t.>", name);
		bed_bind(bed, c % 2 ? "t.x" : ">", name);
	}
	assert_string_equal("a b c d e f", route(bed, "t.x"));
	assert_string_equal("b d f", route(bed, "t.y"));
	assert_string_equal("a b c d e f", route(bed, "u.x"));
	assert_int_equal(6, bed_emit(bed, "t.x", "x"));
	bed_run(bed);
	assert_string_equal("a b c d e f", record_functions(&record));
	record_deinit(&record);
}

/* ---- Unbinding --------------------------------------------------------------------------------------------------- */

static void an_unbound_pattern_matches_no_more(void **state)
{
	struct bed *bed = *state;
	struct record record;
	uint64_t first, second;

	record_init(&record);
	bed_register(bed, "f", ONCE(.handler = record_handler, .user = &record));
	first = bed_bind(bed, "a.*", "f");
	second = bed_bind(bed, "a.b", "f");
	assert_int_equal(1, bed_emit(bed, "a.b", "1"));
	assert_int_equal(FAAS_OK, faas_unbind(bed->runtime, first));
	assert_int_equal(1, bed_emit(bed, "a.b", "2"));
	assert_int_equal(0, bed_emit(bed, "a.c", "no"));
	assert_int_equal(FAAS_OK, faas_unbind(bed->runtime, second));
	assert_int_equal(0, bed_emit(bed, "a.b", "no"));
	bed_run(bed);
	assert_string_equal("1 2", record_texts(&record)); /* taken is taken */
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, first));
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, second));
	assert_int_equal(0, bed_totals(bed).bindings);
	assert_int_equal(2, bed_totals(bed).unmatched);
	record_deinit(&record);
}

static void ids_are_never_used_again(void **state)
{
	enum { ROUNDS = 40, EACH = 25 };
	static uint64_t ids[ROUNDS * EACH];
	struct bed *bed = *state;
	size_t count = 0;

	add(bed, "f");
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, 0));
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, 1));
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, UINT64_MAX));
	for (int round = 0; round < ROUNDS; round++) {
		size_t first = count;

		while (count < first + EACH)
			ids[count++] = bed_bind(bed, "a", "f");
		for (size_t i = 0; i < first; i++)
			assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, ids[i]));
		for (size_t i = first; i < count; i++) {
			assert_int_not_equal(0, ids[i]);
			for (size_t k = 0; k < i; k++)
				assert_true(ids[k] != ids[i]);
			assert_int_equal(FAAS_OK, faas_unbind(bed->runtime, ids[i]));
		}
	}
	assert_int_equal(0, bed_totals(bed).bindings);
}

static void unregistering_takes_the_bindings_along(void **state)
{
	struct bed *bed = *state;
	uint64_t id;

	add(bed, "f");
	add(bed, "g");
	for (int i = 0; i < 100; i++) {
		bed_bind(bed, "a", "f");
		bed_bind(bed, "a", "g");
	}
	id = bed_bind(bed, "b", "f");
	assert_string_equal("f g", route(bed, "a"));
	assert_int_equal(201, bed_totals(bed).bindings);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(100, bed_totals(bed).bindings);
	assert_string_equal("g", route(bed, "a"));
	assert_string_equal("", route(bed, "b"));
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(bed->runtime, id));
	assert_int_equal(FAAS_ENOTFOUND, faas_bind(bed->runtime, FAAS_BINDING(.pattern = "a", .function = "f"), &id));
	/* The name is free, and means another function now. */
	add(bed, "f");
	assert_string_equal("g", route(bed, "a"));
	bed_bind(bed, "a", "f");
	assert_string_equal("g f", route(bed, "a"));
}

/* ---- From inside ------------------------------------------------------------------------------------------------- */

static int rebind_handler(faas_context *context, const faas_event *event)
{
	faas_runtime *runtime = faas_context_runtime(context);
	uint64_t *id = faas_context_user(context), old = *id;

	if (faas_bind(runtime, FAAS_BINDING(.pattern = "new", .function = "f"), id) != FAAS_OK)
		return 1;
	return faas_unbind(runtime, old) == FAAS_OK && faas_event_type(event) ? 0 : 2;
}

static void a_handler_may_bind_and_unbind(void **state)
{
	struct bed *bed = *state;
	uint64_t id;

	bed_register(bed, "f", ONCE(.handler = rebind_handler, .user = &id));
	id = bed_bind(bed, "old", "f");
	assert_int_equal(1, bed_emit(bed, "old", ""));
	bed_run(bed);
	assert_int_equal(1, bed_stats(bed, "f").succeeded);
	assert_string_equal("", route(bed, "old"));
	assert_string_equal("f", route(bed, "new"));
}

static void a_closing_runtime_takes_no_bindings(void **state)
{
	struct bed *bed = *state;
	uint64_t id = 77;

	add(bed, "f");
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_ECLOSED, faas_bind(bed->runtime, FAAS_BINDING(.pattern = "a", .function = "f"), &id));
	assert_int_equal(77, id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(patterns_match_as_nats_subjects_do),
		BED_TEST(malformed_patterns_are_refused),
		BED_TEST(every_other_refusal_has_its_code),
		BED_TEST(types_that_are_alike_but_for_a_letter_are_told_apart),
		BED_TEST(a_binding_is_copied),
		BED_TEST(a_function_bound_several_times_gets_an_event_once),
		BED_TEST(functions_stand_in_the_order_of_their_registration),
		BED_TEST(an_unbound_pattern_matches_no_more),
		BED_TEST(ids_are_never_used_again),
		BED_TEST(unregistering_takes_the_bindings_along),
		BED_TEST(a_handler_may_bind_and_unbind),
		BED_TEST(a_closing_runtime_takes_no_bindings),
	};

	return cmocka_run_group_tests_name("bind", tests, NULL, NULL);
}
