/* SPDX-License-Identifier: MIT */
/* Extension attributes that are refused, at their exact bounds, and those of callers that know larger or smaller ones. */
#include "support.h"

static int setup(void **state)
{
	if (bed_setup(state) != 0)
		return -1;
	bed_register(*state, "f", ONCE(.handler = nothing_handler));
	bed_bind(*state, ">", "f");
	return 0;
}

/* ---- Extension attributes ---------------------------------------------------------------------------------------- */

static void check_one(struct bed *bed, const faas_attribute_config *attribute, int code)
{
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = attribute, .attribute_count = 1), code);
}

static void names_are_1_to_20_lower_case_letters_and_digits(void **state)
{
	static const char *const good[] = {"a", "0", "z9", "a2345678901234567890", "key", "idx", "types"};
	static const char *const bad[] = {"",           "a23456789012345678901",
	                                  "A",          "aB",
	                                  "a_b",        "a-b",
	                                  "a.b",        "a b",
	                                  "\xc3\xa4",   "\xff",
	                                  "a\n",        "specversion",
	                                  "id",         "source",
	                                  "type",       "time",
	                                  "data",       "subject",
	                                  "a\x01b",     "datacontenttype",
	                                  "dataschema", "{",
	                                  "`",          "/"};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = good[i], .data = "v");

		check_one(bed, &attribute, FAAS_OK);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = bad[i], .data = "v");

		check_one(bed, &attribute, FAAS_EATTRIBUTE);
	}
	check_one(bed, &(faas_attribute_config)FAAS_ATTRIBUTE(.data = "no name"), FAAS_EATTRIBUTE);
}

static void no_name_comes_twice(void **state)
{
	faas_attribute_config attributes[4];
	struct bed *bed = *state;

	for (int first = 0; first < 4; first++)
		for (int second = first; second < 4; second++) {
			const char *names[4] = {"a", "b", "c", "d"};

			names[second] = names[first];
			for (int i = 0; i < 4; i++)
				attributes[i] = (faas_attribute_config)FAAS_ATTRIBUTE(.name = names[i], .data = "v");
			bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = 4),
			                first == second ? FAAS_OK : FAAS_EATTRIBUTE);
		}
}

static void values_fit_their_type(void **state)
{
	static const struct {
		int code;
		faas_attribute_config attribute;
	} cases[] = {
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n")},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_STRING)},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_URI)},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_URI_REFERENCE)},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = -1, .data = "v")},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_TIMESTAMP + 1, .data = "v")},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = -1)},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 2)},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_INTEGER, .integer = INT64_C(2147483648))},
		{FAAS_EATTRIBUTE, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_INTEGER, .integer = INT64_C(-2147483649))},
		{FAAS_EINVAL, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_BINARY, .bytes = 1)},
		{FAAS_OK, FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_BINARY, .data = "ignored", .bytes = 0)},
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check_one(bed, &cases[i].attribute, cases[i].code);
}

static void binary_is_at_most_4096_bytes(void **state)
{
	static const char bytes[FAAS_MAX_STRING + 1];
	struct bed *bed = *state;
	faas_attribute_config attribute =
		FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_BINARY, .data = bytes, .bytes = FAAS_MAX_STRING);

	check_one(bed, &attribute, FAAS_OK);
	attribute.bytes = FAAS_MAX_STRING + 1;
	check_one(bed, &attribute, FAAS_ETOOLONG);
	attribute.bytes = UINT64_MAX;
	check_one(bed, &attribute, FAAS_ETOOLONG);
}

static void uris_are_checked(void **state)
{
	static const char *const uris[] = {"a:", "urn:x:y", "HTTP://h/p?q#f", "a+b-c.1:x", "x:%20[]"};
	static const char *const references[] = {"", "a", "/a/b", "../x", "//h", "#f", "1:2"};
	static const char *const neither[] = {"a: b", "a:\"", "a:<", "a:>", "a:\\",       "a:^",
	                                      "a:`",  "a:{",  "a:|", "a:}", "a:\xc3\xa4", "a:\x01"};
	struct bed *bed = *state;
	faas_attribute_config uri = FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_URI);
	faas_attribute_config reference = FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_URI_REFERENCE);

	for (size_t i = 0; i < COUNT_OF(uris); i++) {
		uri.data = reference.data = uris[i];
		check_one(bed, &uri, FAAS_OK);
		check_one(bed, &reference, FAAS_OK);
		bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = uris[i]), FAAS_OK);
	}
	for (size_t i = 0; i < COUNT_OF(references); i++) {
		uri.data = reference.data = references[i];
		check_one(bed, &uri, FAAS_EATTRIBUTE);
		check_one(bed, &reference, FAAS_OK);
		bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = references[i]), FAAS_EATTRIBUTE);
	}
	for (size_t i = 0; i < COUNT_OF(neither); i++) {
		uri.data = reference.data = neither[i];
		check_one(bed, &uri, FAAS_EATTRIBUTE);
		check_one(bed, &reference, FAAS_EATTRIBUTE);
		bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = neither[i]), FAAS_EATTRIBUTE);
	}
}

static void there_are_at_most_64_extensions(void **state)
{
	faas_attribute_config attributes[FAAS_MAX_ATTRIBUTES + 1];
	char names[FAAS_MAX_ATTRIBUTES + 1][16];
	struct bed *bed = *state;

	for (int i = 0; i <= FAAS_MAX_ATTRIBUTES; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		attributes[i] = (faas_attribute_config)FAAS_ATTRIBUTE(.name = names[i], .data = "v");
	}
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = FAAS_MAX_ATTRIBUTES),
	                FAAS_OK);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = FAAS_MAX_ATTRIBUTES + 1),
	                FAAS_EATTRIBUTES);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = UINT64_MAX),
	                FAAS_EATTRIBUTES);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attribute_count = 1), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = attributes), FAAS_OK);
}

/* The library's own bytes between them count, too: 300 are more than enough for those. */
static void attributes_together_are_limited(void **state)
{
	enum { EACH = FAAS_MAX_STRING, COUNT = 10 };
	static char text[EACH + 1], last[EACH + 1];
	faas_attribute_config attributes[COUNT];
	char names[COUNT][16];
	struct bed *bed = *state;
	/* The type, six strings, all names, and the values of all extensions but the last. */
	const size_t others = 1 + 6 * EACH + 2 * COUNT + (COUNT - 1) * EACH;

	memset(text, 'x', EACH);
	text[1] = ':'; /* a URI as well */
	for (int i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		attributes[i] = (faas_attribute_config)FAAS_ATTRIBUTE(.name = names[i], .data = i + 1 < COUNT ? text : last);
	}
	for (int is_over = 0; is_over < 2; is_over++) {
		memset(last, 'x', EACH);
		last[(is_over ? FAAS_MAX_ATTRIBUTE_BYTES + 1 : FAAS_MAX_ATTRIBUTE_BYTES - 300) - others] = 0;
		bed_check_event(bed,
		                FAAS_EVENT(.type = "t", .source = text, .subject = text, .id = text, .datacontenttype = text,
		                           .dataschema = text, .key = text, .attributes = attributes, .attribute_count = COUNT),
		                is_over ? FAAS_ETOOBIG : FAAS_OK);
	}
}

struct other_attribute {
	faas_attribute_config config;
	uint64_t extra;
};

static void attributes_of_another_size_follow_the_same_rules(void **state)
{
	struct other_attribute larger[] = {{.config = FAAS_ATTRIBUTE(.name = "a", .data = "v")},
	                                   {.config = FAAS_ATTRIBUTE(.name = "b", .data = "v")}};
	faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = "a", .type = FAAS_ATTRIBUTE_INTEGER);
	struct bed *bed = *state;

	larger[0].config.struct_size = larger[1].config.struct_size = sizeof(larger[0]);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = &larger[0].config, .attribute_count = 2), FAAS_OK);
	larger[1].extra = 1;
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = &larger[0].config, .attribute_count = 2), FAAS_EINVAL);
	attribute.struct_size = offsetof(faas_attribute_config, data);
	check_one(bed, &attribute, FAAS_OK);
	attribute.struct_size = 0;
	check_one(bed, &attribute, FAAS_EINVAL);
}

static void an_attribute_is_read_into_a_struct_of_any_size(void **state)
{
	struct bed *bed = *state;
	struct other_attribute larger;
	faas_attribute_config smaller,
		attribute = FAAS_ATTRIBUTE(.name = "a", .type = FAAS_ATTRIBUTE_INTEGER, .integer = 5);
	faas_invocation *invocation = NULL;
	const faas_event *event;

	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f",
	                                            FAAS_EVENT(.type = "t", .attributes = &attribute, .attribute_count = 1),
	                                            &invocation));
	event = faas_invocation_event(invocation);
	memset(&larger, 0xa5, sizeof(larger));
	larger.config.struct_size = sizeof(larger);
	assert_int_equal(FAAS_OK, faas_event_attribute(event, "a", &larger.config));
	assert_int_equal(5, larger.config.integer);
	assert_int_equal(0, larger.extra);
	memset(&smaller, 0xa5, sizeof(smaller));
	smaller.struct_size = offsetof(faas_attribute_config, bytes);
	assert_int_equal(FAAS_OK, faas_event_attribute(event, "a", &smaller));
	assert_int_equal(5, smaller.integer);
	assert_int_equal(UINT64_C(0xa5a5a5a5a5a5a5a5), smaller.bytes);
	smaller.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_event_attribute(event, "a", &smaller));
	faas_invocation_unref(invocation);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(names_are_1_to_20_lower_case_letters_and_digits),
		TEST(no_name_comes_twice),
		TEST(values_fit_their_type),
		TEST(binary_is_at_most_4096_bytes),
		TEST(uris_are_checked),
		TEST(there_are_at_most_64_extensions),
		TEST(attributes_together_are_limited),
		TEST(attributes_of_another_size_follow_the_same_rules),
		TEST(an_attribute_is_read_into_a_struct_of_any_size),
	};

	return cmocka_run_group_tests_name("event extensions", tests, NULL, NULL);
}
