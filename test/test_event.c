/* SPDX-License-Identifier: MIT */
/* Events as their readers see them: attributes, ids, time, extensions, data. Refusals are in test_event_refused.c. */
#include "support.h"

/* An event that nobody runs: its handle. */
static faas_invocation *hold(struct bed *bed, const faas_event_config *config)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", config, &invocation));
	assert_non_null(invocation);
	return invocation;
}

static int setup(void **state)
{
	if (bed_setup(state) != 0)
		return -1;
	bed_register(*state, "f", ONCE(.handler = nothing_handler));
	return 0;
}

/* ---- Context attributes ------------------------------------------------------------------------------------------ */

static void an_event_has_every_attribute_it_was_given(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation =
		hold(bed, FAAS_EVENT(.type = "object.created", .source = "/store/1", .subject = "cats/1.png", .id = "no 7",
	                         .datacontenttype = "image/png", .dataschema = "https://example.org/s?v=1#x", .key = "cats",
	                         .unix_ns = 1234567890123456789, .data = "abc", .data_bytes = 3));
	const faas_event *event = faas_invocation_event(invocation);
	char buffer[FAAS_ID_SIZE] = "untouched";
	uint64_t bytes = 0;

	assert_string_equal("object.created", faas_event_type(event));
	assert_string_equal("/store/1", faas_event_source(event));
	assert_string_equal("cats/1.png", faas_event_subject(event));
	assert_string_equal("no 7", faas_event_id(event, buffer));
	assert_string_equal("untouched", buffer);
	assert_string_equal("image/png", faas_event_datacontenttype(event));
	assert_string_equal("https://example.org/s?v=1#x", faas_event_dataschema(event));
	assert_string_equal("cats", faas_event_key(event));
	assert_int_equal(1234567890123456789, faas_event_unix_ns(event));
	assert_string_equal("abc", faas_event_data(event, &bytes));
	assert_int_equal(3, bytes);
	assert_int_equal(0, faas_event_attribute_count(event));
	faas_invocation_unref(invocation);
}

/* One string beside the type, of every length around those that are copied differently. */
static void each_string_may_be_the_only_one(void **state)
{
	static const size_t lengths[] = {1, 6, 7, 8, 14, 15, 16, 17, 40};
	static const char *(*const readers[])(const faas_event *event) = {
		faas_event_source, faas_event_subject, faas_event_datacontenttype, faas_event_dataschema, faas_event_key,
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < 6 * COUNT_OF(lengths); i++) {
		char buffer[FAAS_ID_SIZE], text[64] = "a:234567890123456789012345678901234567890123456789";
		faas_event_config config = *FAAS_EVENT(.type = "t", .data = "d", .data_bytes = 1);
		const char **fields[] = {&config.source,     &config.subject, &config.datacontenttype,
		                         &config.dataschema, &config.key,     &config.id};
		faas_invocation *invocation;
		const faas_event *event;

		text[lengths[i / 6]] = 0;
		if (i % 6 == 3 && lengths[i / 6] == 1)
			continue; /* no URI has one character */
		*fields[i % 6] = text;
		invocation = hold(bed, &config);
		event = faas_invocation_event(invocation);
		for (size_t k = 0; k < COUNT_OF(readers); k++) {
			if (k == i % 6)
				assert_string_equal(text, readers[k](event));
			else if (k == 0)
				assert_string_equal("faas", readers[k](event));
			else
				assert_null(readers[k](event));
		}
		if (i % 6 == 5)
			assert_string_equal(text, faas_event_id(event, buffer));
		assert_string_equal("t", faas_event_type(event));
		assert_string_equal("d", faas_event_data(event, NULL));
		faas_invocation_unref(invocation);
	}
}

static void what_is_not_given_is_missing_or_filled_in(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = hold(bed, FAAS_EVENT(.type = "t"));
	const faas_event *event = faas_invocation_event(invocation);
	faas_attribute_config found = {.struct_size = sizeof(found)};
	uint64_t bytes = 1;

	assert_string_equal("faas", faas_event_source(event));
	assert_null(faas_event_subject(event));
	assert_null(faas_event_datacontenttype(event));
	assert_null(faas_event_dataschema(event));
	assert_null(faas_event_key(event));
	assert_int_equal(BED_UNIX_NS, faas_event_unix_ns(event));
	assert_string_equal("", faas_event_data(event, &bytes));
	assert_int_equal(0, bytes);
	assert_string_equal("", faas_event_data(event, NULL));
	assert_int_equal(0, faas_event_attribute_count(event));
	assert_null(faas_event_attribute_name(event, 0));
	assert_int_equal(FAAS_ENOTFOUND, faas_event_attribute(event, "type", &found));
	faas_invocation_unref(invocation);
}

static void an_invoke_without_event_or_type_has_the_type_faas_invoke(void **state)
{
	struct bed *bed = *state;
	faas_invocation *none = hold(bed, NULL), *untyped = hold(bed, FAAS_EVENT(.subject = "s"));

	assert_string_equal("faas.invoke", faas_event_type(faas_invocation_event(none)));
	assert_string_equal("faas.invoke", faas_event_type(faas_invocation_event(untyped)));
	assert_string_equal("s", faas_event_subject(faas_invocation_event(untyped)));
	faas_invocation_unref(none);
	faas_invocation_unref(untyped);
}

static void strings_are_copied(void **state)
{
	struct bed *bed = *state;
	char type[] = "a.b", source[] = "s", name[] = "n", value[] = "v", data[] = "d";
	faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = name, .data = value);
	faas_invocation *invocation = hold(bed, FAAS_EVENT(.type = type, .source = source, .data = data, .data_bytes = 1,
	                                                   .attributes = &attribute, .attribute_count = 1));
	const faas_event *event = faas_invocation_event(invocation);

	type[0] = source[0] = name[0] = value[0] = data[0] = 'X';
	memset(&attribute, 'X', sizeof(attribute));
	attribute = (faas_attribute_config)FAAS_ATTRIBUTE(.type = 0);
	assert_string_equal("a.b", faas_event_type(event));
	assert_string_equal("s", faas_event_source(event));
	assert_string_equal("d", faas_event_data(event, NULL));
	assert_int_equal(FAAS_OK, faas_event_attribute(event, "n", &attribute));
	assert_string_equal("v", attribute.data);
	faas_invocation_unref(invocation);
}

static void all_of_utf_8_comes_through(void **state)
{
	/* U+00A0, U+07FF, U+0800, U+D7FF, U+E000, U+FFFD, U+10000, U+10FFFD */
	static const char text[] = "a\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd\xf0\x90\x80\x80"
							   "\xf4\x8f\xbf\xbd";
	struct bed *bed = *state;
	faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = "n", .data = text);
	faas_invocation *invocation =
		hold(bed, FAAS_EVENT(.type = text, .source = text, .subject = text, .id = text, .datacontenttype = text,
	                         .key = text, .attributes = &attribute, .attribute_count = 1));
	const faas_event *event = faas_invocation_event(invocation);

	assert_string_equal(text, faas_event_type(event));
	assert_string_equal(text, faas_event_source(event));
	assert_string_equal(text, faas_event_subject(event));
	assert_string_equal(text, faas_event_id(event, NULL));
	assert_string_equal(text, faas_event_datacontenttype(event));
	assert_string_equal(text, faas_event_key(event));
	assert_int_equal(FAAS_OK, faas_event_attribute(event, "n", &attribute));
	assert_string_equal(text, attribute.data);
	assert_int_equal(strlen(text), attribute.bytes);
	faas_invocation_unref(invocation);
}

/* ---- Id, source and time ----------------------------------------------------------------------------------------- */

/* 16 hex digits, a dash, a decimal counter. Its counter. */
static unsigned long long check_id(const char *id)
{
	char *end;

	assert_true(strlen(id) < FAAS_ID_SIZE);
	assert_int_equal(16, strspn(id, "0123456789abcdef"));
	assert_int_equal('-', id[16]);
	assert_in_range(id[17], '0', '9');
	(void)strtoull(id + 17, &end, 10);
	assert_int_equal(0, *end);
	return strtoull(id + 17, NULL, 10);
}

static void made_ids_have_one_prefix_and_differ(void **state)
{
	enum { COUNT = 700 }; /* more than are drawn at a time */
	static char ids[COUNT][FAAS_ID_SIZE];
	unsigned long long numbers[COUNT];
	struct bed *bed = *state;

	for (int i = 0; i < COUNT; i++) {
		faas_invocation *invocation = hold(bed, NULL);

		assert_ptr_equal(ids[i], faas_event_id(faas_invocation_event(invocation), ids[i]));
		numbers[i] = check_id(ids[i]);
		assert_memory_equal(ids[0], ids[i], 17);
		for (int k = 0; k < i; k++)
			assert_true(numbers[k] != numbers[i]);
		faas_invocation_unref(invocation);
	}
}

static int emit_and_keep(faas_context *context, const faas_event *event)
{
	faas_emission **emission = faas_context_user(context);

	(void)event;
	return faas_context_emit_event(context, FAAS_EVENT(.type = "from.handler"), emission) == 1 ? 0 : 1;
}

static void an_id_made_in_a_handler_is_new_too(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	faas_invocation *first = hold(bed, NULL), *last;
	char ids[3][FAAS_ID_SIZE];

	bed_register(bed, "emitter", ONCE(.handler = emit_and_keep, .user = &emission));
	bed_bind(bed, "go", "emitter");
	bed_bind(bed, "from.handler", "f");
	assert_int_equal(1, bed_emit(bed, "go", ""));
	bed_run(bed);
	last = hold(bed, NULL);
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 0, &entry));
	faas_event_id(faas_invocation_event(first), ids[0]);
	faas_event_id(faas_invocation_event(entry.invocation), ids[1]);
	faas_event_id(faas_invocation_event(last), ids[2]);
	for (int i = 0; i < 3; i++)
		check_id(ids[i]);
	assert_memory_equal(ids[0], ids[1], 17);
	assert_string_not_equal(ids[0], ids[1]);
	assert_string_not_equal(ids[1], ids[2]);
	faas_emission_unref(emission);
	faas_invocation_unref(first);
	faas_invocation_unref(last);
}

static void functions_that_share_an_event_see_one_id(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;
	struct faas_emission_entry_stats one = {.struct_size = sizeof(one)}, other = one;
	char ids[2][FAAS_ID_SIZE];

	bed_register(bed, "g", ONCE(.handler = nothing_handler));
	bed_bind(bed, "t", "f");
	bed_bind(bed, "t", "g");
	assert_int_equal(2, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 0, &one));
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 1, &other));
	assert_ptr_not_equal(one.invocation, other.invocation);
	assert_string_equal(faas_event_id(faas_invocation_event(one.invocation), ids[0]),
	                    faas_event_id(faas_invocation_event(other.invocation), ids[1]));
	faas_emission_unref(emission);
}

static void the_prefix_of_ids_comes_from_the_seed(void **state)
{
	static const uint64_t seeds[] = {1, 2, 1};
	char ids[3][FAAS_ID_SIZE];

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct bed bed;
		faas_invocation *invocation;

		bed_open(&bed, FAAS_RUNTIME(.seed = seeds[i]));
		bed_register(&bed, "f", ONCE(.handler = nothing_handler));
		invocation = hold(&bed, NULL);
		faas_event_id(faas_invocation_event(invocation), ids[i]);
		faas_invocation_unref(invocation);
		bed_close(&bed);
	}
	assert_string_equal(ids[0], ids[2]);
	assert_memory_not_equal(ids[0], ids[1], 16);
}

static void the_source_of_events_that_name_none_is_the_runtimes(void **state)
{
	struct bed bed;
	faas_invocation *mine, *its;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.source = "//host/app"));
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	mine = hold(&bed, FAAS_EVENT(.source = "mine"));
	its = hold(&bed, NULL);
	assert_string_equal("mine", faas_event_source(faas_invocation_event(mine)));
	assert_string_equal("//host/app", faas_event_source(faas_invocation_event(its)));
	faas_invocation_unref(mine);
	faas_invocation_unref(its);
	bed_close(&bed);
}

static void the_time_is_that_of_the_emit(void **state)
{
	struct bed *bed = *state;
	faas_invocation *early = hold(bed, NULL), *late, *given;

	bed_advance_ms(bed, 1500);
	late = hold(bed, NULL);
	given = hold(bed, FAAS_EVENT(.unix_ns = 1));
	bed_advance_ms(bed, 1);
	assert_int_equal(BED_UNIX_NS, faas_event_unix_ns(faas_invocation_event(early)));
	assert_int_equal(BED_UNIX_NS + 1500 * MS, faas_event_unix_ns(faas_invocation_event(late)));
	assert_int_equal(1, faas_event_unix_ns(faas_invocation_event(given)));
	faas_invocation_unref(early);
	faas_invocation_unref(late);
	faas_invocation_unref(given);
}

/* ---- Extension attributes ---------------------------------------------------------------------------------------- */

static void check_attribute(const faas_event *event, const char *name, int type, int64_t integer, const char *text,
                            uint64_t bytes)
{
	faas_attribute_config found;

	memset(&found, 0xa5, sizeof(found));
	found.struct_size = sizeof(found);
	assert_int_equal(FAAS_OK, faas_event_attribute(event, name, &found));
	assert_int_equal(sizeof(found), found.struct_size);
	assert_string_equal(name, found.name);
	assert_int_equal(type, found.type);
	if (type == FAAS_ATTRIBUTE_BOOLEAN || type == FAAS_ATTRIBUTE_INTEGER || type == FAAS_ATTRIBUTE_TIMESTAMP) {
		assert_int_equal(integer, found.integer);
		return;
	}
	assert_int_equal(bytes, found.bytes);
	assert_memory_equal(text, found.data, bytes);
	assert_int_equal(0, ((const char *)found.data)[bytes]);
}

static void extensions_keep_type_value_and_order(void **state)
{
	static const char raw[] = "\0a\0\xff";
	const faas_attribute_config given[] = {
		FAAS_ATTRIBUTE(.name = "untyped", .data = "a string"),
		FAAS_ATTRIBUTE(.name = "string", .type = FAAS_ATTRIBUTE_STRING, .data = ""),
		FAAS_ATTRIBUTE(.name = "no", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 0),
		FAAS_ATTRIBUTE(.name = "yes", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 1),
		FAAS_ATTRIBUTE(.name = "least", .type = FAAS_ATTRIBUTE_INTEGER, .integer = INT32_MIN),
		FAAS_ATTRIBUTE(.name = "most", .type = FAAS_ATTRIBUTE_INTEGER, .integer = INT32_MAX),
		FAAS_ATTRIBUTE(.name = "raw", .type = FAAS_ATTRIBUTE_BINARY, .data = raw, .bytes = 4),
		FAAS_ATTRIBUTE(.name = "nothing", .type = FAAS_ATTRIBUTE_BINARY),
		FAAS_ATTRIBUTE(.name = "uri", .type = FAAS_ATTRIBUTE_URI, .data = "urn:x"),
		FAAS_ATTRIBUTE(.name = "ref", .type = FAAS_ATTRIBUTE_URI_REFERENCE, .data = "../x?y=[z]%20"),
		FAAS_ATTRIBUTE(.name = "noref", .type = FAAS_ATTRIBUTE_URI_REFERENCE, .data = ""),
		FAAS_ATTRIBUTE(.name = "long0ago", .type = FAAS_ATTRIBUTE_TIMESTAMP, .integer = INT64_MIN),
		FAAS_ATTRIBUTE(.name = "2morrow", .type = FAAS_ATTRIBUTE_TIMESTAMP, .integer = INT64_MAX),
		FAAS_ATTRIBUTE(.name = "a2345678901234567890", .data = "20 characters"),
	};
	struct bed *bed = *state;
	faas_invocation *invocation =
		hold(bed, FAAS_EVENT(.unix_ns = 5, .attributes = given, .attribute_count = COUNT_OF(given), .data = "data",
	                         .data_bytes = 4));
	const faas_event *event = faas_invocation_event(invocation);

	assert_int_equal(COUNT_OF(given), faas_event_attribute_count(event));
	for (size_t i = 0; i < COUNT_OF(given); i++) {
		int type = given[i].type != 0 ? given[i].type : FAAS_ATTRIBUTE_STRING;
		uint64_t bytes = type == FAAS_ATTRIBUTE_BINARY ? given[i].bytes : given[i].data ? strlen(given[i].data) : 0;

		assert_string_equal(given[i].name, faas_event_attribute_name(event, i));
		check_attribute(event, given[i].name, type, given[i].integer, given[i].data ? given[i].data : "", bytes);
	}
	assert_null(faas_event_attribute_name(event, COUNT_OF(given)));
	assert_null(faas_event_attribute_name(event, UINT64_MAX));
	assert_int_equal(5, faas_event_unix_ns(event));
	assert_string_equal("data", faas_event_data(event, NULL));
	faas_invocation_unref(invocation);
}

static void extensions_are_found_by_their_exact_name(void **state)
{
	struct bed *bed = *state;
	const faas_attribute_config given[] = {FAAS_ATTRIBUTE(.name = "ab", .data = "1"),
	                                       FAAS_ATTRIBUTE(.name = "a", .data = "2")};
	faas_invocation *invocation = hold(bed, FAAS_EVENT(.attributes = given, .attribute_count = 2));
	const faas_event *event = faas_invocation_event(invocation);
	faas_attribute_config found = {.struct_size = sizeof(found), .integer = 77};

	assert_int_equal(FAAS_ENOTFOUND, faas_event_attribute(event, "A", &found));
	assert_int_equal(FAAS_ENOTFOUND, faas_event_attribute(event, "abc", &found));
	assert_int_equal(FAAS_ENOTFOUND, faas_event_attribute(event, "", &found));
	assert_int_equal(77, found.integer);
	assert_int_equal(FAAS_EINVAL, faas_event_attribute(NULL, "a", &found));
	assert_int_equal(FAAS_EINVAL, faas_event_attribute(event, NULL, &found));
	assert_int_equal(FAAS_EINVAL, faas_event_attribute(event, "a", NULL));
	check_attribute(event, "a", FAAS_ATTRIBUTE_STRING, 0, "2", 1);
	check_attribute(event, "ab", FAAS_ATTRIBUTE_STRING, 0, "1", 1);
	faas_invocation_unref(invocation);
}

static void an_event_has_up_to_64_extensions(void **state)
{
	struct bed *bed = *state;
	faas_attribute_config given[FAAS_MAX_ATTRIBUTES];
	char names[FAAS_MAX_ATTRIBUTES][16];
	faas_invocation *invocation;
	const faas_event *event;

	for (int i = 0; i < FAAS_MAX_ATTRIBUTES; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		given[i] =
			(faas_attribute_config)FAAS_ATTRIBUTE(.name = names[i], .type = FAAS_ATTRIBUTE_INTEGER, .integer = i);
	}
	invocation = hold(bed, FAAS_EVENT(.attributes = given, .attribute_count = FAAS_MAX_ATTRIBUTES));
	event = faas_invocation_event(invocation);
	assert_int_equal(FAAS_MAX_ATTRIBUTES, faas_event_attribute_count(event));
	for (int i = 0; i < FAAS_MAX_ATTRIBUTES; i++)
		check_attribute(event, names[i], FAAS_ATTRIBUTE_INTEGER, i, NULL, 0);
	faas_invocation_unref(invocation);
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

static void data_is_aligned_and_followed_by_a_zero(void **state)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct bed *bed = *state;

	for (size_t type_bytes = 1; type_bytes <= 10; type_bytes++)
		for (uint64_t bytes = 0; bytes < sizeof(text); bytes++) {
			char type[16] = "tttttttttt";
			faas_invocation *invocation;
			const char *data;
			uint64_t found = 0;

			type[type_bytes] = 0;
			invocation = hold(bed, FAAS_EVENT(.type = type, .data = text, .data_bytes = bytes));
			data = faas_event_data(faas_invocation_event(invocation), &found);
			assert_int_equal(0, (uintptr_t)data % 8);
			assert_int_equal(bytes, found);
			assert_memory_equal(text, data, bytes);
			assert_int_equal(0, data[bytes]);
			faas_invocation_unref(invocation);
		}
}

static void data_may_hold_any_bytes_and_be_large(void **state)
{
	enum { BYTES = 5000000 };
	struct bed *bed = *state;
	unsigned char *given = malloc(BYTES);
	faas_invocation *invocation;
	uint64_t seed = 1, bytes = 0;
	const unsigned char *data;

	assert_non_null(given);
	for (size_t i = 0; i < BYTES; i++)
		given[i] = (unsigned char)random_below(&seed, 256);
	invocation = hold(bed, FAAS_EVENT(.data = given, .data_bytes = BYTES));
	data = faas_event_data(faas_invocation_event(invocation), &bytes);
	assert_int_equal(BYTES, bytes);
	assert_memory_equal(given, data, BYTES);
	assert_int_equal(0, data[BYTES]);
	faas_invocation_unref(invocation);
	free(given);
}

/* ---- How long an event lives ------------------------------------------------------------------------------------- */

static int see_event(faas_context *context, const faas_event *event)
{
	const faas_event **seen = faas_context_user(context);

	*seen = event;
	return 0;
}

static void an_event_lives_as_long_as_a_handle_of_its_invocation(void **state)
{
	struct bed bed;
	const faas_event *seen = NULL, *event;
	faas_invocation *invocation = NULL;
	faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = "n", .data = "v");
	char id[FAAS_ID_SIZE], same[FAAS_ID_SIZE];

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.source = "kept"));
	bed_register(&bed, "g", ONCE(.handler = see_event, .user = &seen));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "g",
	                                            FAAS_EVENT(.type = "t", .data = "kept", .data_bytes = 4,
	                                                       .attributes = &attribute, .attribute_count = 1),
	                                            &invocation));
	event = faas_invocation_event(invocation);
	assert_string_equal("g", faas_invocation_function(invocation));
	faas_event_id(event, id);
	bed_run(&bed);
	assert_ptr_equal(event, seen);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "g"));
	assert_ptr_equal(invocation, faas_invocation_ref(invocation));
	faas_invocation_unref(invocation);
	bed_run(&bed);
	assert_int_equal(FAAS_OK, faas_close(bed.runtime, 0, 0));
	bed.runtime = NULL;
	assert_ptr_equal(event, faas_invocation_event(invocation));
	assert_string_equal("t", faas_event_type(event));
	assert_string_equal("kept", faas_event_source(event));
	assert_string_equal("kept", faas_event_data(event, NULL));
	assert_string_equal(id, faas_event_id(event, same));
	assert_int_equal(BED_UNIX_NS, faas_event_unix_ns(event));
	check_attribute(event, "n", FAAS_ATTRIBUTE_STRING, 0, "v", 1);
	faas_invocation_unref(invocation);
	bed_close(&bed);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_event_has_every_attribute_it_was_given),
		TEST(each_string_may_be_the_only_one),
		TEST(what_is_not_given_is_missing_or_filled_in),
		TEST(an_invoke_without_event_or_type_has_the_type_faas_invoke),
		TEST(strings_are_copied),
		TEST(all_of_utf_8_comes_through),
		TEST(made_ids_have_one_prefix_and_differ),
		TEST(an_id_made_in_a_handler_is_new_too),
		TEST(functions_that_share_an_event_see_one_id),
		cmocka_unit_test(the_prefix_of_ids_comes_from_the_seed),
		cmocka_unit_test(the_source_of_events_that_name_none_is_the_runtimes),
		TEST(the_time_is_that_of_the_emit),
		TEST(extensions_keep_type_value_and_order),
		TEST(extensions_are_found_by_their_exact_name),
		TEST(an_event_has_up_to_64_extensions),
		TEST(data_is_aligned_and_followed_by_a_zero),
		TEST(data_may_hold_any_bytes_and_be_large),
		cmocka_unit_test(an_event_lives_as_long_as_a_handle_of_its_invocation),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
