/* SPDX-License-Identifier: MIT */
/* Events that are refused: each limit and rule with its own error, at its exact bound, and nothing tried. */
#include "support.h"

static int setup(void **state)
{
	if (bed_setup(state) != 0)
		return -1;
	bed_register(*state, "f", FAAS_FUNCTION(.handler = nothing_handler));
	bed_bind(*state, ">", "f");
	return 0;
}

/* Emits and invokes: both say `code`, and if that is an error, nothing has changed. */
static void check_both(struct bed *bed, const faas_event_config *config, int code)
{
	struct faas_runtime_stats before = bed_totals(bed), after;
	faas_emission *emission = NULL;
	faas_invocation *invocation = NULL;
	int taken = faas_emit_event(bed->runtime, config, &emission);

	assert_int_equal(code == FAAS_OK ? 1 : code, taken);
	assert_int_equal(code, faas_invoke_async(bed->runtime, "f", config, &invocation));
	after = bed_totals(bed);
	if (code != FAAS_OK) {
		assert_null(emission);
		assert_null(invocation);
		assert_memory_equal(&before, &after, sizeof(before));
		return;
	}
	assert_int_equal(before.emitted + 1, after.emitted);
	assert_int_equal(before.total.accepted + 2, after.total.accepted);
	assert_int_equal(2, faas_emission_cancel(emission) + (faas_invocation_cancel(invocation) == FAAS_OK));
	faas_emission_unref(emission);
	faas_invocation_unref(invocation);
}

/* The same for an event with one more attribute that is `text`. */
static void check_text(struct bed *bed, const char *text, int code)
{
	faas_attribute_config string = FAAS_ATTRIBUTE(.name = "n", .data = text);

	check_both(bed, FAAS_EVENT(.type = "t", .source = text), code);
	check_both(bed, FAAS_EVENT(.type = "t", .subject = text), code);
	check_both(bed, FAAS_EVENT(.type = "t", .id = text), code);
	check_both(bed, FAAS_EVENT(.type = "t", .datacontenttype = text), code);
	check_both(bed, FAAS_EVENT(.type = "t", .key = text), code);
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = &string, .attribute_count = 1), code);
}

/* ---- Types --------------------------------------------------------------------------------------------------------- */

static void a_type_is_dot_separated_tokens(void **state)
{
	static const char *const good[] = {"a", "a.b", "a.b.c", "A-b_c/d:e", "\xc3\xa4.\xe6\x97\xa5", "a*b", "x>", ">x.**"};
	static const char *const bad[] = {"",      ".",   "a.",    ".a",  "a..b", "..",  "*",    ">",    "a.*", "*.a",
	                                  "a.*.b", "a.>", ">.a.b", "a b", " a",   "a\t", "\x01", "\x7f", "a.\n"};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(good); i++)
		check_both(bed, FAAS_EVENT(.type = good[i]), FAAS_OK);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		check_both(bed, FAAS_EVENT(.type = bad[i]), FAAS_ETYPE);
	assert_int_equal(FAAS_ETYPE, faas_emit_event(bed->runtime, FAAS_EVENT(.subject = "no type"), NULL));
}

static void a_type_is_at_most_1024_bytes(void **state)
{
	char type[FAAS_MAX_TYPE + 2];
	struct bed *bed = *state;

	memset(type, 't', sizeof(type));
	type[FAAS_MAX_TYPE] = 0;
	check_both(bed, FAAS_EVENT(.type = type), FAAS_OK);
	type[FAAS_MAX_TYPE] = 't';
	type[FAAS_MAX_TYPE + 1] = 0;
	check_both(bed, FAAS_EVENT(.type = type), FAAS_ETOOLONG);
	/* As many tokens as fit. */
	for (size_t i = 1; i < FAAS_MAX_TYPE; i += 2)
		type[i] = '.';
	type[FAAS_MAX_TYPE - 1] = 0;
	check_both(bed, FAAS_EVENT(.type = type), FAAS_OK);
}

/* ---- Texts --------------------------------------------------------------------------------------------------------- */

static void malformed_utf_8_is_refused(void **state)
{
	static const char *const malformed[] = {
		"\x80",             /* goes on from nothing */
		"a\xbf",            /* likewise */
		"\xc2",             /* ends too early, after one of two */
		"\xc2z",            /* */
		"\xc2\xc2\xa0",     /* */
		"\xe1\x80",         /* two of three */
		"\xe1\x80z",        /* */
		"\xf1\x80\x80",     /* three of four */
		"\xf1\x80\x80z",    /* */
		"\xc0\x80",         /* overlong U+0000 */
		"\xc0\xaf",         /* overlong slash */
		"\xc1\xbf",         /* overlong U+007F */
		"\xe0\x80\x80",     /* overlong in three */
		"\xe0\x9f\xbf",     /* overlong U+07FF */
		"\xf0\x80\x80\x80", /* overlong in four */
		"\xf0\x8f\xbf\xbf", /* overlong U+FFFF */
		"\xed\xa0\x80",     /* surrogate U+D800 */
		"\xed\xbf\xbf",     /* surrogate U+DFFF */
		"\xf4\x90\x80\x80", /* U+110000 */
		"\xf5\x80\x80\x80", /* */
		"\xf8\x88\x80\x80\x80",
		"\xfe",
		"\xff",
		"fine-so-far-\xff",
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(malformed); i++) {
		faas_attribute_config reference =
			FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_URI_REFERENCE, .data = malformed[i]);

		check_text(bed, malformed[i], FAAS_ETEXT);
		check_both(bed, FAAS_EVENT(.type = malformed[i]), FAAS_ETEXT);
		check_both(bed, FAAS_EVENT(.type = "t", .dataschema = malformed[i]), FAAS_ETEXT);
		check_both(bed, FAAS_EVENT(.type = "t", .attributes = &reference, .attribute_count = 1), FAAS_ETEXT);
	}
}

static void control_characters_are_refused(void **state)
{
	struct bed *bed = *state;
	char text[] = "a?b";

	for (int c = 1; c < 0x80; c++) {
		text[1] = (char)c;
		check_text(bed, text, c < 0x20 || c == 0x7f ? FAAS_EATTRIBUTE : FAAS_OK);
	}
	check_text(bed, "\xc2\x80", FAAS_EATTRIBUTE);
	check_text(bed, "\xc2\x9f", FAAS_EATTRIBUTE);
	check_text(bed, "\xc2\xa0", FAAS_OK);
}

/* CloudEvents bars these from its strings as well. */
static void characters_that_are_none_are_refused(void **state)
{
	static const char *const barred[] = {"\xef\xb7\x90", "\xef\xb7\xaf",     "\xef\xbf\xbe",
	                                     "\xef\xbf\xbf", "\xf0\x9f\xbf\xbe", "\xf4\x8f\xbf\xbf"};
	static const char *const fine[] = {"\xef\xb7\x8f", "\xef\xb7\xb0", "\xef\xbf\xbd", "\xf0\x9f\xbf\xbd"};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(barred); i++)
		check_text(bed, barred[i], FAAS_EATTRIBUTE);
	for (size_t i = 0; i < COUNT_OF(fine); i++)
		check_text(bed, fine[i], FAAS_OK);
}

static void strings_are_at_most_4096_bytes(void **state)
{
	char text[FAAS_MAX_STRING + 2];
	struct bed *bed = *state;

	memset(text, 'x', sizeof(text));
	text[1] = ':'; /* a URI as well */
	text[FAAS_MAX_STRING] = 0;
	check_text(bed, text, FAAS_OK);
	check_both(bed, FAAS_EVENT(.type = "t", .dataschema = text), FAAS_OK);
	text[FAAS_MAX_STRING] = 'x';
	text[FAAS_MAX_STRING + 1] = 0;
	check_text(bed, text, FAAS_ETOOLONG);
	check_both(bed, FAAS_EVENT(.type = "t", .dataschema = text), FAAS_ETOOLONG);
}

static void what_cloudevents_wants_filled_is_not_empty(void **state)
{
	struct bed *bed = *state;

	check_both(bed, FAAS_EVENT(.type = "t", .source = ""), FAAS_EATTRIBUTE);
	check_both(bed, FAAS_EVENT(.type = "t", .subject = ""), FAAS_EATTRIBUTE);
	check_both(bed, FAAS_EVENT(.type = "t", .id = ""), FAAS_EATTRIBUTE);
	check_both(bed, FAAS_EVENT(.type = "t", .datacontenttype = ""), FAAS_EATTRIBUTE);
	check_both(bed, FAAS_EVENT(.type = "t", .dataschema = ""), FAAS_EATTRIBUTE);
}

/* ---- Extension attributes ------------------------------------------------------------------------------------------ */

static void check_one(struct bed *bed, const faas_attribute_config *attribute, int code)
{
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = attribute, .attribute_count = 1), code);
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
			check_both(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = 4),
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
		check_both(bed, FAAS_EVENT(.type = "t", .dataschema = uris[i]), FAAS_OK);
	}
	for (size_t i = 0; i < COUNT_OF(references); i++) {
		uri.data = reference.data = references[i];
		check_one(bed, &uri, FAAS_EATTRIBUTE);
		check_one(bed, &reference, FAAS_OK);
		check_both(bed, FAAS_EVENT(.type = "t", .dataschema = references[i]), FAAS_EATTRIBUTE);
	}
	for (size_t i = 0; i < COUNT_OF(neither); i++) {
		uri.data = reference.data = neither[i];
		check_one(bed, &uri, FAAS_EATTRIBUTE);
		check_one(bed, &reference, FAAS_EATTRIBUTE);
		check_both(bed, FAAS_EVENT(.type = "t", .dataschema = neither[i]), FAAS_EATTRIBUTE);
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
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = FAAS_MAX_ATTRIBUTES), FAAS_OK);
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = FAAS_MAX_ATTRIBUTES + 1),
	           FAAS_EATTRIBUTES);
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = UINT64_MAX), FAAS_EATTRIBUTES);
	check_both(bed, FAAS_EVENT(.type = "t", .attribute_count = 1), FAAS_EINVAL);
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = attributes), FAAS_OK);
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
		check_both(bed,
		           FAAS_EVENT(.type = "t", .source = text, .subject = text, .id = text, .datacontenttype = text,
		                      .dataschema = text, .key = text, .attributes = attributes, .attribute_count = COUNT),
		           is_over ? FAAS_ETOOBIG : FAAS_OK);
	}
}

/* ---- Data ---------------------------------------------------------------------------------------------------------- */

static void data_is_at_most_what_the_runtime_allows(void **state)
{
	static const char data[1001];
	struct bed bed;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.max_data_bytes = 1000));
	bed_register(&bed, "f", FAAS_FUNCTION(.handler = nothing_handler));
	bed_bind(&bed, ">", "f");
	check_both(&bed, FAAS_EVENT(.type = "t", .data = data, .data_bytes = 1000), FAAS_OK);
	check_both(&bed, FAAS_EVENT(.type = "t", .data = data, .data_bytes = 1001), FAAS_ETOOBIG);
	check_both(&bed, FAAS_EVENT(.type = "t", .data = data, .data_bytes = UINT64_MAX), FAAS_ETOOBIG);
	check_both(&bed, FAAS_EVENT(.type = "t", .data_bytes = 1), FAAS_EINVAL);
	bed_close(&bed);
}

static void data_is_at_most_16_mib_by_default(void **state)
{
	struct bed *bed = *state;
	char *data = calloc(1, (16 << 20) + 1);

	assert_non_null(data);
	check_both(bed, FAAS_EVENT(.type = "t", .data = data, .data_bytes = 16 << 20), FAAS_OK);
	check_both(bed, FAAS_EVENT(.type = "t", .data = data, .data_bytes = (16 << 20) + 1), FAAS_ETOOBIG);
	free(data);
}

/* ---- The call itself ----------------------------------------------------------------------------------------------- */

static void numbers_out_of_range_are_refused(void **state)
{
	struct bed *bed = *state;

	check_both(bed, FAAS_EVENT(.type = "t", .flags = ~FAAS_EMIT_ALL), FAAS_EINVAL);
	check_both(bed, FAAS_EVENT(.type = "t", .wait_ms = -2), FAAS_EINVAL);
	check_both(bed, FAAS_EVENT(.type = "t", .wait_ms = FAAS_MAX_DURATION_MS + 1), FAAS_EINVAL);
	check_both(bed, FAAS_EVENT(.type = "t", .wait_ms = FAAS_MAX_DURATION_MS), FAAS_OK);
	check_both(bed, FAAS_EVENT(.type = "t", .wait_ms = FAAS_NEVER), FAAS_OK);
	assert_int_equal(FAAS_EINVAL, faas_emit_event(NULL, FAAS_EVENT(.type = "t"), NULL));
	assert_int_equal(FAAS_EINVAL, faas_emit_event(bed->runtime, NULL, NULL));
}

/* A config as a caller of another version has it: `extra` bytes more than ours, the first of them `next`. */
struct other_event {
	faas_event_config config;
	unsigned char extra[64];
};

static void a_larger_config_is_taken_if_the_rest_is_zero(void **state)
{
	struct other_event other = {.config = *FAAS_EVENT(.type = "t")};
	struct bed *bed = *state;

	other.config.struct_size = sizeof(other);
	check_both(bed, &other.config, FAAS_OK);
	other.extra[0] = 1;
	check_both(bed, &other.config, FAAS_EINVAL);
	other.extra[0] = 0;
	other.extra[63] = 1;
	check_both(bed, &other.config, FAAS_EINVAL);
	other.config.struct_size = sizeof(other) - 1;
	check_both(bed, &other.config, FAAS_OK);
}

static void a_smaller_config_is_taken_as_if_the_rest_were_zero(void **state)
{
	const uint32_t bytes = offsetof(faas_event_config, key);
	faas_event_config config = *FAAS_EVENT(.type = "t", .subject = "s", .key = "\xff", .data = "x");
	void *beginning = malloc(bytes); /* only so much of it is there at all */
	struct bed *bed = *state;

	assert_non_null(beginning);
	config.struct_size = bytes;
	check_both(bed, &config, FAAS_OK);
	memcpy(beginning, &config, bytes);
	check_both(bed, beginning, FAAS_OK);
	free(beginning);
	config.struct_size = 0;
	check_both(bed, &config, FAAS_EINVAL);
	config.struct_size = sizeof(uint32_t);
	check_both(bed, &config, FAAS_EINVAL);
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
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = &larger[0].config, .attribute_count = 2), FAAS_OK);
	larger[1].extra = 1;
	check_both(bed, FAAS_EVENT(.type = "t", .attributes = &larger[0].config, .attribute_count = 2), FAAS_EINVAL);
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
		TEST(a_type_is_dot_separated_tokens),
		TEST(a_type_is_at_most_1024_bytes),
		TEST(malformed_utf_8_is_refused),
		TEST(control_characters_are_refused),
		TEST(characters_that_are_none_are_refused),
		TEST(strings_are_at_most_4096_bytes),
		TEST(what_cloudevents_wants_filled_is_not_empty),
		TEST(names_are_1_to_20_lower_case_letters_and_digits),
		TEST(no_name_comes_twice),
		TEST(values_fit_their_type),
		TEST(binary_is_at_most_4096_bytes),
		TEST(uris_are_checked),
		TEST(there_are_at_most_64_extensions),
		TEST(attributes_together_are_limited),
		cmocka_unit_test(data_is_at_most_what_the_runtime_allows),
		TEST(data_is_at_most_16_mib_by_default),
		TEST(numbers_out_of_range_are_refused),
		TEST(a_larger_config_is_taken_if_the_rest_is_zero),
		TEST(a_smaller_config_is_taken_as_if_the_rest_were_zero),
		TEST(attributes_of_another_size_follow_the_same_rules),
		TEST(an_attribute_is_read_into_a_struct_of_any_size),
	};

	return cmocka_run_group_tests_name("event refused", tests, NULL, NULL);
}
