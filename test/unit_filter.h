/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests of filters share: tables of expressions and what they must yield, on one event.
 *
 *     type a.b, source //host/x, subject images/cat.png, id 7; extensions: flag (Boolean true), hops (Integer 5), word
 *     (String of 6 characters in 7 bytes), ten (String 10), ref (URI-reference ../x), link (URI urn:x), raw (Binary 00
 *     01 ff), due (Timestamp), nothing (String, empty)
 */
#ifndef TEST_UNIT_FILTER_H
#define TEST_UNIT_FILTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "faas/filter.h"

struct wanted {
	const char *expression;
	int code, type;
	int64_t integer;
	const char *text;
};

/* What an expression yields without an error, and with one. */
/* clang-format off */
#define BOOLEAN(expression, boolean) {expression, FAAS_OK, FAAS_ATTRIBUTE_BOOLEAN, boolean, NULL}
#define INTEGER(expression, integer) {expression, FAAS_OK, FAAS_ATTRIBUTE_INTEGER, integer, NULL}
#define STRING(expression, text) {expression, FAAS_OK, FAAS_ATTRIBUTE_STRING, 0, text}
#define BOOLEAN_AND(code, expression, boolean) {expression, code, FAAS_ATTRIBUTE_BOOLEAN, boolean, NULL}
#define INTEGER_AND(code, expression, integer) {expression, code, FAAS_ATTRIBUTE_INTEGER, integer, NULL}
#define STRING_AND(code, expression, text) {expression, code, FAAS_ATTRIBUTE_STRING, 0, text}
/* clang-format on */

static inline faas_event *common_event(void)
{
	static const unsigned char bytes[] = {0, 1, 255};
	const faas_attribute_config attributes[] = {
		FAAS_ATTRIBUTE(.name = "flag", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 1),
		FAAS_ATTRIBUTE(.name = "hops", .type = FAAS_ATTRIBUTE_INTEGER, .integer = 5),
		FAAS_ATTRIBUTE(.name = "word", .data = "Stra\303\237e"),
		FAAS_ATTRIBUTE(.name = "ten", .type = FAAS_ATTRIBUTE_STRING, .data = "10"),
		FAAS_ATTRIBUTE(.name = "ref", .type = FAAS_ATTRIBUTE_URI_REFERENCE, .data = "../x"),
		FAAS_ATTRIBUTE(.name = "link", .type = FAAS_ATTRIBUTE_URI, .data = "urn:x"),
		FAAS_ATTRIBUTE(.name = "raw", .type = FAAS_ATTRIBUTE_BINARY, .data = bytes, .bytes = sizeof(bytes)),
		FAAS_ATTRIBUTE(.name = "due", .type = FAAS_ATTRIBUTE_TIMESTAMP, .integer = 1709207999500000000),
		FAAS_ATTRIBUTE(.name = "nothing", .data = ""),
	};
	faas_event *event = NULL;

	assert_int_equal(FAAS_OK,
	                 faas_event_new(FAAS_EVENT(.type = "a.b", .source = "//host/x", .subject = "images/cat.png",
	                                           .id = "7", .attributes = attributes,
	                                           .attribute_count = sizeof(attributes) / sizeof(attributes[0])),
	                                &event));
	return event;
}

/* Compiles what must compile. */
static inline faas_filter *compiled(const char *expression)
{
	struct faas_filter_error_stats wrong = {.struct_size = sizeof(wrong)};
	faas_filter *filter = NULL;

	if (faas_filter_compile(FAAS_FILTER(.expression = expression), &filter, &wrong) != FAAS_OK)
		fail_msg("%.200s: at %u: %s", expression, (unsigned)wrong.position, wrong.message);
	return filter;
}

static inline void check_one(const faas_event *event, const struct wanted *wanted)
{
	struct faas_filter_value_stats value = {.struct_size = sizeof(value)};
	faas_filter *filter = compiled(wanted->expression);
	char text[500];
	int error = 1, code = faas_filter_evaluate(filter, event, text, sizeof(text), &value);
	int passes = code == FAAS_OK && value.type == FAAS_ATTRIBUTE_BOOLEAN && value.integer == 1;

	if (code != wanted->code || value.type != wanted->type || value.integer != wanted->integer)
		fail_msg("%.200s: code %d, type %d, integer %d", wanted->expression, code, (int)value.type, (int)value.integer);
	if (wanted->text && (strcmp(text, wanted->text) != 0 || value.bytes != strlen(wanted->text)))
		fail_msg("%.200s: \"%s\"", wanted->expression, text);
	assert_int_equal(passes, faas_filter_matches(filter, event, &error));
	if (error != code && !(code == FAAS_OK && error == FAAS_EFILTER && value.type != FAAS_ATTRIBUTE_BOOLEAN))
		fail_msg("%.200s: %d while evaluating, %d while matching", wanted->expression, code, error);
	faas_filter_free(filter);
}

static inline void check_all(const struct wanted *wanted, size_t count)
{
	faas_event *event = common_event();

	for (size_t i = 0; i < count; i++)
		check_one(event, &wanted[i]);
	faas_event_free(event);
}

#define CHECK(table) check_all(table, sizeof(table) / sizeof((table)[0]))

#endif
