/* SPDX-License-Identifier: MIT */
/* Events that are refused: each limit and rule with its own error, at its exact bound, and nothing tried. */
#include "support.h"

static int setup(void **state)
{
	if (bed_setup(state) != 0)
		return -1;
	bed_register(*state, "f", ONCE(.handler = nothing_handler));
	bed_bind(*state, ">", "f");
	return 0;
}

/* The same for an event with one more attribute that is `text`. */
static void check_text(struct bed *bed, const char *text, int code)
{
	faas_attribute_config string = FAAS_ATTRIBUTE(.name = "n", .data = text);

	bed_check_event(bed, FAAS_EVENT(.type = "t", .source = text), code);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .subject = text), code);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .id = text), code);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .datacontenttype = text), code);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .key = text), code);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = &string, .attribute_count = 1), code);
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

static void a_type_is_dot_separated_tokens(void **state)
{
	static const char *const good[] = {"a", "a.b", "a.b.c", "A-b_c/d:e", "\xc3\xa4.\xe6\x97\xa5", "a*b", "x>", ">x.**"};
	static const char *const bad[] = {"",      ".",   "a.",    ".a",  "a..b", "..",  "*",    ">",    "a.*", "*.a",
	                                  "a.*.b", "a.>", ">.a.b", "a b", " a",   "a\t", "\x01", "\x7f", "a.\n"};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(good); i++)
		bed_check_event(bed, FAAS_EVENT(.type = good[i]), FAAS_OK);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		bed_check_event(bed, FAAS_EVENT(.type = bad[i]), FAAS_ETYPE);
	assert_int_equal(FAAS_ETYPE, faas_emit_event(bed->runtime, FAAS_EVENT(.subject = "no type"), NULL));
}

/* And before anything that comes after it; a type that was refused is refused again. */
static void a_wrong_type_is_told_before_other_mistakes(void **state)
{
	faas_attribute_config nameless = FAAS_ATTRIBUTE(.data = "v");
	struct bed *bed = *state;
	char large[FAAS_MAX_STRING + 2];

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	for (int i = 0; i < 3; i++) {
		bed_check_event(bed, FAAS_EVENT(.type = "a..b"), FAAS_ETYPE);
		bed_check_event(bed, FAAS_EVENT(.type = "a..b", .subject = "\x01"), FAAS_ETYPE);
		bed_check_event(bed, FAAS_EVENT(.type = "a\xc3", .subject = large), FAAS_ETEXT);
		bed_check_event(bed, FAAS_EVENT(.type = large, .key = ""), FAAS_ETOOLONG);
		bed_check_event(bed, FAAS_EVENT(.type = ".a", .attributes = &nameless, .attribute_count = 1), FAAS_ETYPE);
		bed_check_event(bed, FAAS_EVENT(.type = "a.b", .subject = "\x01"), FAAS_EATTRIBUTE);
	}
}

static void a_type_is_at_most_1024_bytes(void **state)
{
	char type[FAAS_MAX_TYPE + 2];
	struct bed *bed = *state;

	memset(type, 't', sizeof(type));
	type[FAAS_MAX_TYPE] = 0;
	bed_check_event(bed, FAAS_EVENT(.type = type), FAAS_OK);
	type[FAAS_MAX_TYPE] = 't';
	type[FAAS_MAX_TYPE + 1] = 0;
	bed_check_event(bed, FAAS_EVENT(.type = type), FAAS_ETOOLONG);
	/* As many tokens as fit. */
	for (size_t i = 1; i < FAAS_MAX_TYPE; i += 2)
		type[i] = '.';
	type[FAAS_MAX_TYPE - 1] = 0;
	bed_check_event(bed, FAAS_EVENT(.type = type), FAAS_OK);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

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
		bed_check_event(bed, FAAS_EVENT(.type = malformed[i]), FAAS_ETEXT);
		bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = malformed[i]), FAAS_ETEXT);
		bed_check_event(bed, FAAS_EVENT(.type = "t", .attributes = &reference, .attribute_count = 1), FAAS_ETEXT);
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
	bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = text), FAAS_OK);
	text[FAAS_MAX_STRING] = 'x';
	text[FAAS_MAX_STRING + 1] = 0;
	check_text(bed, text, FAAS_ETOOLONG);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = text), FAAS_ETOOLONG);
}

static void what_cloudevents_wants_filled_is_not_empty(void **state)
{
	struct bed *bed = *state;

	bed_check_event(bed, FAAS_EVENT(.type = "t", .source = ""), FAAS_EATTRIBUTE);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .subject = ""), FAAS_EATTRIBUTE);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .id = ""), FAAS_EATTRIBUTE);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .datacontenttype = ""), FAAS_EATTRIBUTE);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .dataschema = ""), FAAS_EATTRIBUTE);
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

/* The runtime's own limit; an event without a runtime has only FAAS_MAX_DATA. */
static void check_data(struct bed *bed, const void *data, uint64_t bytes, int code)
{
	const faas_event_config *event = FAAS_EVENT(.type = "t", .data = data, .data_bytes = bytes);

	assert_int_equal(code == FAAS_OK ? 1 : code, faas_emit_event(bed->runtime, event, NULL));
	assert_int_equal(code, faas_invoke_async(bed->runtime, "f", event, NULL));
}

static void data_is_at_most_what_the_runtime_allows(void **state)
{
	static const char data[1001];
	struct bed bed;
	faas_event *event = NULL;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.max_data_bytes = 1000));
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	bed_bind(&bed, ">", "f");
	check_data(&bed, data, 1000, FAAS_OK);
	check_data(&bed, data, 1001, FAAS_ETOOBIG);
	check_data(&bed, data, UINT64_MAX, FAAS_ETOOBIG);
	check_data(&bed, NULL, 1, FAAS_EINVAL);
	assert_int_equal(2, bed_totals(&bed).total.offered);
	bed_close(&bed);
	assert_int_equal(FAAS_ETOOBIG,
	                 faas_event_new(FAAS_EVENT(.type = "t", .data = data, .data_bytes = FAAS_MAX_DATA + 1u), &event));
	assert_int_equal(FAAS_EINVAL, faas_event_new(FAAS_EVENT(.type = "t", .data_bytes = 1), &event));
	assert_null(event);
}

static void data_is_at_most_16_mib_by_default(void **state)
{
	struct bed *bed = *state;
	char *data = calloc(1, (16 << 20) + 1);

	assert_non_null(data);
	check_data(bed, data, 16 << 20, FAAS_OK);
	check_data(bed, data, (16 << 20) + 1, FAAS_ETOOBIG);
	free(data);
}

/* ---- The call itself --------------------------------------------------------------------------------------------- */

static void numbers_out_of_range_are_refused(void **state)
{
	struct bed *bed = *state;
	faas_event *event = NULL;

	bed_check_event(bed, FAAS_EVENT(.type = "t", .flags = ~FAAS_EMIT_ALL), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .wait_ms = -2), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .wait_ms = FAAS_MAX_DURATION_MS + 1), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .wait_ms = FAAS_MAX_DURATION_MS), FAAS_OK);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .wait_ms = FAAS_NEVER), FAAS_OK);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .unix_ns = -1), FAAS_EINVAL);
	bed_check_event(bed, FAAS_EVENT(.type = "t", .unix_ns = INT64_MAX), FAAS_OK);
	assert_int_equal(FAAS_EINVAL, faas_event_new(NULL, &event));
	assert_int_equal(FAAS_EINVAL, faas_event_new(FAAS_EVENT(.type = "t"), NULL));
	assert_null(event);
	faas_event_free(NULL);
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
	bed_check_event(bed, &other.config, FAAS_OK);
	other.extra[0] = 1;
	bed_check_event(bed, &other.config, FAAS_EINVAL);
	other.extra[0] = 0;
	other.extra[63] = 1;
	bed_check_event(bed, &other.config, FAAS_EINVAL);
	other.config.struct_size = sizeof(other) - 1;
	bed_check_event(bed, &other.config, FAAS_OK);
}

static void a_smaller_config_is_taken_as_if_the_rest_were_zero(void **state)
{
	const uint32_t bytes = offsetof(faas_event_config, key);
	faas_event_config config = *FAAS_EVENT(.type = "t", .subject = "s", .key = "\xff", .data = "x");
	void *beginning = malloc(bytes); /* only so much of it is there at all */
	struct bed *bed = *state;

	assert_non_null(beginning);
	config.struct_size = bytes;
	bed_check_event(bed, &config, FAAS_OK);
	memcpy(beginning, &config, bytes);
	bed_check_event(bed, beginning, FAAS_OK);
	free(beginning);
	config.struct_size = 0;
	bed_check_event(bed, &config, FAAS_EINVAL);
	config.struct_size = sizeof(uint32_t);
	bed_check_event(bed, &config, FAAS_EINVAL);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_type_is_dot_separated_tokens),
		TEST(a_wrong_type_is_told_before_other_mistakes),
		TEST(a_type_is_at_most_1024_bytes),
		TEST(malformed_utf_8_is_refused),
		TEST(control_characters_are_refused),
		TEST(characters_that_are_none_are_refused),
		TEST(strings_are_at_most_4096_bytes),
		TEST(what_cloudevents_wants_filled_is_not_empty),
		cmocka_unit_test(data_is_at_most_what_the_runtime_allows),
		TEST(data_is_at_most_16_mib_by_default),
		TEST(numbers_out_of_range_are_refused),
		TEST(a_larger_config_is_taken_if_the_rest_is_zero),
		TEST(a_smaller_config_is_taken_as_if_the_rest_were_zero),
	};

	return cmocka_run_group_tests_name("event refused", tests, NULL, NULL);
}
