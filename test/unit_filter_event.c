/* SPDX-License-Identifier: MIT */
/* Events without a runtime, and how filters see what events hold. */
#include "unit_filter.h"

#include <stdlib.h>
#include <time.h>

#include "base/event.h"

static faas_event *event_of(const faas_event_config *config)
{
	faas_event *event = NULL;

	assert_int_equal(FAAS_OK, faas_event_new(config, &event));
	return event;
}

static void check_on(const faas_event *event, const char *expression, const char *text)
{
	struct wanted wanted = STRING(expression, text);

	check_one(event, &wanted);
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static void an_event_has_what_it_was_given(void **state)
{
	faas_attribute_config attribute = FAAS_ATTRIBUTE(.name = "hops", .type = FAAS_ATTRIBUTE_INTEGER, .integer = -3);
	faas_attribute_config found = {.struct_size = sizeof(found)};
	faas_event *event =
		event_of(FAAS_EVENT(.type = "t", .source = "s", .subject = "u", .id = "i", .datacontenttype = "text/plain",
	                        .dataschema = "x:y", .key = "k", .unix_ns = 1, .data = "abc", .data_bytes = 3,
	                        .attributes = &attribute, .attribute_count = 1));
	char buffer[FAAS_ID_SIZE];
	uint64_t bytes;

	(void)state;
	assert_string_equal("t", faas_event_type(event));
	assert_string_equal("s", faas_event_source(event));
	assert_string_equal("u", faas_event_subject(event));
	assert_string_equal("i", faas_event_id(event, buffer));
	assert_string_equal("k", faas_event_key(event));
	assert_int_equal(1, faas_event_unix_ns(event));
	assert_string_equal("abc", faas_event_data(event, &bytes));
	assert_int_equal(3, bytes);
	assert_int_equal(FAAS_OK, faas_event_attribute(event, "hops", &found));
	assert_int_equal(FAAS_ATTRIBUTE_INTEGER, found.type);
	assert_int_equal(-3, found.integer);
	check_on(event, "CONCAT_WS(' ', datacontenttype, dataschema, time)",
	         "text/plain x:y 1970-01-01T00:00:00.000000001Z");
	faas_event_free(event);
}

static void an_event_has_an_id_and_a_source_of_its_own(void **state)
{
	faas_event *one = event_of(FAAS_EVENT(.type = "t")), *other = event_of(FAAS_EVENT(.type = "t"));
	char first[FAAS_ID_SIZE], second[FAAS_ID_SIZE], both[2 * FAAS_ID_SIZE];

	(void)state;
	assert_string_equal("faas", faas_event_source(one));
	assert_string_not_equal(faas_event_id(one, first), faas_event_id(other, second));
	assert_int_equal(FAAS_NO_TIME, faas_event_unix_ns(one));
	assert_int_equal(0, faas_event_data(one, NULL) == NULL);
	check_on(one, "id", first);
	(void)snprintf(both, sizeof(both), "%s%s", second, second);
	check_on(other, "CONCAT(id, id)", both);
	faas_event_free(one);
	faas_event_free(other);
}

static void events_are_checked(void **state)
{
	faas_event *event = (faas_event *)&event;

	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_event_new(NULL, &event));
	assert_int_equal(FAAS_EINVAL, faas_event_new(FAAS_EVENT(.type = "t"), NULL));
	assert_int_equal(FAAS_ETYPE, faas_event_new(FAAS_EVENT(.type = NULL), &event));
	assert_int_equal(FAAS_ETYPE, faas_event_new(FAAS_EVENT(.type = "a..b"), &event));
	assert_int_equal(FAAS_EATTRIBUTE, faas_event_new(FAAS_EVENT(.type = "a", .subject = ""), &event));
	assert_int_equal(FAAS_ETOOBIG,
	                 faas_event_new(FAAS_EVENT(.type = "a", .data = "", .data_bytes = FAAS_MAX_DATA + 1u), &event));
	assert_ptr_equal(event, &event);
	faas_event_free(NULL);
}

static void an_event_of_a_runtime_is_left_alone(void **state)
{
	static const struct event_origin origin = {.source = "runtime"};
	struct event_plan plan;
	faas_event *event;

	(void)state;
	assert_int_equal(FAAS_OK, faas__event_plan(&plan, FAAS_EVENT(.type = "t"), NULL, 0));
	event = malloc(plan.bytes);
	assert_non_null(event);
	faas__event_write(&plan, event, &origin, 1, 2);
	faas_event_free(event);
	check_on(event, "source", "runtime");
	check_on(event, "id", "0000000000000000-1");
	check_on(event, "time", "1970-01-01T00:00:00.000000002Z");
	free(event);
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

static void check_time(int64_t unix_ns, const char *text)
{
	faas_attribute_config due = FAAS_ATTRIBUTE(.name = "due", .type = FAAS_ATTRIBUTE_TIMESTAMP, .integer = unix_ns);
	faas_event *event = event_of(FAAS_EVENT(.type = "t", .id = "1", .attributes = &due, .attribute_count = 1));

	check_on(event, "due", text);
	faas_event_free(event);
}

static void times_are_written_as_rfc_3339_has_it(void **state)
{
	(void)state;
	check_time(0, "1970-01-01T00:00:00Z");
	check_time(-1, "1969-12-31T23:59:59.999999999Z");
	check_time(1000000000, "1970-01-01T00:00:01Z");
	check_time(1500000, "1970-01-01T00:00:00.0015Z");
	check_time(951782400000000000, "2000-02-29T00:00:00Z");
	check_time(951868799000000000, "2000-02-29T23:59:59Z");
	check_time(951868800000000000, "2000-03-01T00:00:00Z");
	check_time(-2203977600000000000, "1900-02-28T00:00:00Z");
	check_time(-2203891200000000000, "1900-03-01T00:00:00Z");
	check_time(4107542400000000000, "2100-03-01T00:00:00Z");
	check_time(4107456000000000000, "2100-02-28T00:00:00Z");
	check_time(1735689599000000000, "2024-12-31T23:59:59Z");
	check_time(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
	check_time(INT64_MIN, "1677-09-21T00:12:43.145224192Z");
}

/* Every day there is, against the C library's calendar, where its time_t reaches as far. */
static void every_day_has_its_date(void **state)
{
	const int64_t day = 86400;

	(void)state;
	if (sizeof(time_t) < sizeof(int64_t))
		skip();
	for (int64_t days = INT64_MIN / 1000000000 / day + 1; days < INT64_MAX / 1000000000 / day; days++) {
		time_t seconds = (time_t)(days * day + (days * 7919 % day + day) % day);
		char text[40];
		struct tm tm;

		assert_non_null(gmtime_r(&seconds, &tm));
		assert_true(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
		check_time((int64_t)seconds * 1000000000, text);
	}
}

static void bytes_are_written_in_base64(void **state)
{
	static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
	                                    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; /* RFC 4648, 10 */

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		faas_attribute_config raw =
			FAAS_ATTRIBUTE(.name = "raw", .type = FAAS_ATTRIBUTE_BINARY, .data = "foobar", .bytes = i);
		faas_event *event = event_of(FAAS_EVENT(.type = "t", .attributes = &raw, .attribute_count = 1));

		check_on(event, "raw", texts[i]);
		faas_event_free(event);
	}
}

static void the_largest_binary_is_written(void **state)
{
	static char bytes[FAAS_MAX_STRING];
	faas_attribute_config raw =
		FAAS_ATTRIBUTE(.name = "raw", .type = FAAS_ATTRIBUTE_BINARY, .data = bytes, .bytes = sizeof(bytes));
	faas_event *event = event_of(FAAS_EVENT(.type = "t", .attributes = &raw, .attribute_count = 1));
	struct wanted wanted = INTEGER("LENGTH(raw)", (FAAS_MAX_STRING + 2) / 3 * 4);

	(void)state;
	check_one(event, &wanted);
	faas_event_free(event);
}

static void integers_keep_their_range(void **state)
{
	const faas_attribute_config attributes[] = {
		FAAS_ATTRIBUTE(.name = "least", .type = FAAS_ATTRIBUTE_INTEGER, .integer = INT32_MIN),
		FAAS_ATTRIBUTE(.name = "most", .type = FAAS_ATTRIBUTE_INTEGER, .integer = INT32_MAX),
		FAAS_ATTRIBUTE(.name = "no", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 0),
	};
	const struct wanted table[] = {
		INTEGER("least", INT32_MIN),
		INTEGER("most", INT32_MAX),
		INTEGER("least + most", -1),
		BOOLEAN("no", 0),
		BOOLEAN("NOT no", 1),
		BOOLEAN("least < most", 1),
		INTEGER_AND(FAAS_EFILTERMATH, "most + 1", 0),
	};
	faas_event *event = event_of(FAAS_EVENT(.type = "t", .attributes = attributes, .attribute_count = 3));

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		check_one(event, &table[i]);
	faas_event_free(event);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static void a_text_is_cut_to_the_buffer_between_characters(void **state)
{
	static const char *const cut[] = {"", "S", "St", "Str", "Stra", "Stra", "Stra\303\237", "Stra\303\237e"};
	struct faas_filter_value_stats value = {.struct_size = sizeof(value)};
	faas_event *event = common_event();
	faas_filter *filter = compiled("word");

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		char *text = malloc(i + 1);

		assert_int_equal(FAAS_OK, faas_filter_evaluate(filter, event, text, i + 1, &value));
		assert_string_equal(cut[i], text);
		assert_int_equal(7, value.bytes);
		free(text);
	}
	assert_int_equal(FAAS_OK, faas_filter_evaluate(filter, event, NULL, 0, &value));
	assert_int_equal(7, value.bytes);
	faas_filter_free(filter);
	faas_event_free(event);
}

static void what_is_no_boolean_does_not_match(void **state)
{
	faas_event *event = common_event();
	faas_filter *filter = compiled("hops");
	int error = 0;

	(void)state;
	assert_int_equal(0, faas_filter_matches(filter, event, &error));
	assert_int_equal(FAAS_EFILTER, error);
	assert_int_equal(0, faas_filter_matches(filter, event, NULL));
	faas_filter_free(filter);
	faas_event_free(event);
}

static void arguments_are_checked(void **state)
{
	struct faas_filter_value_stats value = {.struct_size = sizeof(value), .integer = 99};
	faas_event *event = common_event();
	faas_filter *filter = compiled("TRUE");
	int error = 0;

	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_filter_evaluate(NULL, event, NULL, 0, &value));
	assert_int_equal(FAAS_EINVAL, faas_filter_evaluate(filter, NULL, NULL, 0, &value));
	assert_int_equal(FAAS_EINVAL, faas_filter_evaluate(filter, event, NULL, 1, &value));
	assert_int_equal(FAAS_EINVAL, faas_filter_evaluate(filter, event, NULL, 0, NULL));
	assert_int_equal(99, value.integer);
	value.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_filter_evaluate(filter, event, NULL, 0, &value));
	assert_int_equal(0, faas_filter_matches(NULL, event, &error));
	assert_int_equal(FAAS_EINVAL, error);
	assert_int_equal(0, faas_filter_matches(filter, NULL, &error));
	assert_int_equal(FAAS_EINVAL, error);
	assert_int_equal(1, faas_filter_matches(filter, event, &error));
	assert_int_equal(FAAS_OK, error);
	faas_filter_free(filter);
	faas_event_free(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_has_what_it_was_given),
		cmocka_unit_test(an_event_has_an_id_and_a_source_of_its_own),
		cmocka_unit_test(events_are_checked),
		cmocka_unit_test(an_event_of_a_runtime_is_left_alone),
		cmocka_unit_test(times_are_written_as_rfc_3339_has_it),
		cmocka_unit_test(every_day_has_its_date),
		cmocka_unit_test(bytes_are_written_in_base64),
		cmocka_unit_test(the_largest_binary_is_written),
		cmocka_unit_test(integers_keep_their_range),
		cmocka_unit_test(a_text_is_cut_to_the_buffer_between_characters),
		cmocka_unit_test(what_is_no_boolean_does_not_match),
		cmocka_unit_test(arguments_are_checked),
	};

	return cmocka_run_group_tests_name("filter event", tests, NULL, NULL);
}
