/* SPDX-License-Identifier: MIT */
/* Bindings with a filter: which events pass, what errors do, what a malformed filter leaves behind. */
#include "support.h"


static struct bed bed;
static struct record record;

static int setup(void **state)
{
	(void)state;
	record_init(&record);
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = record_handler, .user = &record));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bed_run(&bed);
	bed_close(&bed);
	record_deinit(&record);
	return 0;
}

static uint64_t bind_filter(const char *pattern, const char *function, const char *filter)
{
	uint64_t id = 0;

	assert_int_equal(
		faas_bind(bed.runtime, FAAS_BINDING(.pattern = pattern, .function = function, .filter = filter), &id),
		FAAS_OK);
	return id;
}

static struct faas_binding_stats stats_of_binding(uint64_t id)
{
	struct faas_binding_stats stats = {.struct_size = sizeof(stats)};

	assert_int_equal(faas_binding_stats(bed.runtime, id, &stats), FAAS_OK);
	return stats;
}

static int emit_subject(const char *subject, const char *text)
{
	return faas_emit_event(bed.runtime,
	                       FAAS_EVENT(.type = "object.created", .subject = subject, .data = text,
	                                  .data_bytes = strlen(text)),
	                       NULL);
}

static void only_events_for_which_the_filter_is_true_pass(void **state)
{
	uint64_t id = bind_filter("object.>", "f", "subject LIKE 'images/%'");

	(void)state;
	assert_int_equal(emit_subject("images/a.png", "a"), 1);
	assert_int_equal(emit_subject("texts/b.txt", "b"), 0);
	assert_int_equal(emit_subject("images/c.png", "c"), 1);
	assert_int_equal(bed_emit(&bed, "other.created", "d"), 0);
	bed_run(&bed);
	assert_string_equal(record_texts(&record), "a c");
	assert_int_equal(stats_of_binding(id).passed, 2);
	assert_int_equal(stats_of_binding(id).stopped, 1);
	assert_int_equal(stats_of_binding(id).errors, 0);
	assert_int_equal(bed_totals(&bed).unmatched, 2);
}

static void extensions_keep_their_type_on_the_way_to_the_filter(void **state)
{
	const faas_attribute_config attributes[] = {
		FAAS_ATTRIBUTE(.name = "width", .type = FAAS_ATTRIBUTE_INTEGER, .integer = 640),
		FAAS_ATTRIBUTE(.name = "draft", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 0),
	};

	(void)state;
	bind_filter("a", "f", "width + 1 = 641 AND NOT draft");
	bind_filter("b", "f", "width < 640 OR draft");
	assert_int_equal(faas_emit_event(bed.runtime,
	                                 FAAS_EVENT(.type = "a", .attributes = attributes,
	                                            .attribute_count = COUNT_OF(attributes)),
	                                 NULL),
	                 1);
	assert_int_equal(faas_emit_event(bed.runtime,
	                                 FAAS_EVENT(.type = "b", .attributes = attributes,
	                                            .attribute_count = COUNT_OF(attributes)),
	                                 NULL),
	                 0);
}

static void a_function_bound_with_and_without_filters_gets_an_event_once(void **state)
{
	(void)state;
	bind_filter("object.*", "f", "TRUE");
	bind_filter("object.created", "f", NULL);
	bind_filter(">", "f", "subject = 'x'");
	assert_int_equal(emit_subject("x", "a"), 1);
	bed_run(&bed);
	assert_int_equal(record.count, 1);
}

static void each_function_is_asked_by_its_own_filter(void **state)
{
	faas_emission *emission;
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

	(void)state;
	bed_register(&bed, "g", ONCE(.handler = record_handler, .user = &record));
	bed_register(&bed, "h", ONCE(.handler = record_handler, .user = &record));
	bind_filter("object.>", "h", "subject = 'x'");
	bind_filter("object.>", "g", "subject = 'y'");
	bind_filter("object.>", "f", "subject IN ('x', 'y')");
	assert_int_equal(faas_emit_event(bed.runtime,
	                                 FAAS_EVENT(.type = "object.created", .subject = "x", .flags = FAAS_EMIT_ALL),
	                                 &emission),
	                 2);
	assert_int_equal(faas_emission_count(emission), 2);
	assert_int_equal(faas_emission_entry(emission, 0, &entry), FAAS_OK);
	assert_string_equal(entry.function, "f");
	assert_int_equal(faas_emission_entry(emission, 1, &entry), FAAS_OK);
	assert_string_equal(entry.function, "h");
	faas_emission_unref(emission);
	bed_run(&bed);
	assert_string_equal(record_functions(&record), "f h");
}

struct lines {
	int count;
	int level;
	char function[80];
	char message[200];
};

static void keep_line(void *user, int32_t level, const char *function, const char *message)
{
	struct lines *lines = user;

	lines->count++;
	lines->level = level;
	snprintf(lines->function, sizeof(lines->function), "%s", function);
	snprintf(lines->message, sizeof(lines->message), "%s", message);
}

static void an_error_does_not_pass_is_counted_and_logged_the_first_time(void **state)
{
	struct lines lines = {0};
	struct bed other;
	uint64_t id;
	struct faas_binding_stats stats = {.struct_size = sizeof(stats)};

	(void)state;
	bed_open(&other, FAAS_RUNTIME(.log = keep_line, .log_user = &lines));
	bed_register(&other, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(
		faas_bind(other.runtime, FAAS_BINDING(.pattern = ">", .function = "f", .filter = "missing = 5"), &id), FAAS_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(bed_emit(&other, "a.b", ""), 0);
	assert_int_equal(faas_binding_stats(other.runtime, id, &stats), FAAS_OK);
	assert_int_equal(stats.errors, 3);
	assert_int_equal(stats.passed + stats.stopped, 0);
	assert_int_equal(lines.count, 1);
	assert_int_equal(lines.level, FAAS_LOG_WARNING);
	assert_string_equal(lines.function, "f");
	assert_non_null(strstr(lines.message, "FAAS_EFILTERMISSING"));
	bed_close(&other);
}

static void a_malformed_filter_makes_no_binding_and_says_where(void **state)
{
	static const struct {
		const char *filter;
		int code;
		uint64_t position;
	} cases[] = {
		{"subject LIKE", FAAS_EFILTER, 12},
		{"subject = 'x' AND", FAAS_EFILTER, 17},
		{"(TRUE", FAAS_EFILTER, 5},
		{"NOSUCH(subject)", FAAS_EFILTERFUNCTION, 0},
		{"1 + 2", FAAS_EFILTER, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct faas_filter_error_stats error = {.struct_size = sizeof(error)};
		uint64_t id = 77;

		assert_int_equal(faas_bind(bed.runtime,
		                           FAAS_BINDING(.pattern = ">", .function = "f", .filter = cases[i].filter,
		                                        .filter_error = &error),
		                           &id),
		                 cases[i].code);
		assert_int_equal(error.code, cases[i].code);
		assert_int_equal(error.position, cases[i].position);
		assert_true(error.message[0] != 0);
		assert_int_equal(id, 77);
	}
	assert_int_equal(bed_totals(&bed).bindings, 0);
	assert_int_equal(emit_subject("x", "a"), 0);
}

static void an_unbound_filter_stops_nothing_and_has_no_numbers(void **state)
{
	uint64_t id = bind_filter(">", "f", "subject = 'x'");
	struct faas_binding_stats stats = {.struct_size = sizeof(stats)};

	(void)state;
	assert_int_equal(emit_subject("x", "a"), 1);
	assert_int_equal(faas_unbind(bed.runtime, id), FAAS_OK);
	assert_int_equal(emit_subject("x", "b"), 0);
	assert_int_equal(faas_binding_stats(bed.runtime, id, &stats), FAAS_ENOTFOUND);
	assert_int_equal(faas_binding_stats(bed.runtime, id, NULL), FAAS_EINVAL);
	assert_int_equal(faas_binding_stats(NULL, id, &stats), FAAS_EINVAL);
}

/* Filtered types are not remembered, trees are built from lists: many of both must agree. */
static void many_filtered_bindings_agree_with_what_they_say(void **state)
{
	char name[32], filter[64];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		snprintf(filter, sizeof(filter), "INT(subject) < %d", i);
		bed_register(&bed, name, ONCE(.handler = nothing_handler));
		bind_filter(i % 2 ? "n.*" : "n.x", name, filter);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(faas_emit_event(bed.runtime, FAAS_EVENT(.type = "n.x", .subject = name), NULL), 99 - i);
	}
}

static void failing_allocations_leave_nothing_behind(void **state)
{
	uint64_t id;
	int code = FAAS_ENOMEM;

	(void)state;
	for (int n = 0; code == FAAS_ENOMEM; n++) {
		memory_fail(&bed.memory, n, 1);
		code = faas_bind(bed.runtime,
		                 FAAS_BINDING(.pattern = "a", .function = "f", .filter = "subject LIKE '%x' AND id <> 'y'"), &id);
		if (code != FAAS_OK)
			assert_int_equal(bed_totals(&bed).bindings, 0);
	}
	assert_int_equal(code, FAAS_OK);
	code = FAAS_ENOMEM;
	for (int n = 0; code == FAAS_ENOMEM; n++) {
		memory_fail(&bed.memory, n, 1);
		code = faas_emit_event(bed.runtime, FAAS_EVENT(.type = "a", .subject = "x"), NULL);
	}
	memory_fail(&bed.memory, -1, 0);
	assert_int_equal(code, 1);
	assert_int_equal(bed_stats(&bed, "f").accepted, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_events_for_which_the_filter_is_true_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(extensions_keep_their_type_on_the_way_to_the_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(a_function_bound_with_and_without_filters_gets_an_event_once, setup, teardown),
		cmocka_unit_test_setup_teardown(each_function_is_asked_by_its_own_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(an_error_does_not_pass_is_counted_and_logged_the_first_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_malformed_filter_makes_no_binding_and_says_where, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unbound_filter_stops_nothing_and_has_no_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(many_filtered_bindings_agree_with_what_they_say, setup, teardown),
		cmocka_unit_test_setup_teardown(failing_allocations_leave_nothing_behind, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
