/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes filters: any bytes as an expression, compiled and evaluated against an event whose texts are fuzzed as well.
 *
 *     one byte: after how many allocations the next one fails (255: never)
 *     an expression, up to a zero byte or the end
 *     a text for the event's subject and one of its extensions, where CloudEvents allows it
 *
 * Beyond not crashing: errors are the documented ones and point into the expression; what is evaluated twice yields
 * the same; matching agrees with evaluating; a value is of the type that the compiler promised; strings are UTF-8; all
 * memory comes back. With libFuzzer:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_POSIX_C_SOURCE=200809L -Iinclude
 *           -Ilib test/fuzz/fuzz_filter.c lib/filter/<all>.c lib/base/<all>.c -lpthread -o fuzz_filter
 *     ./fuzz_filter -dict=test/fuzz/filter.dict -max_total_time=60 corpus test/fuzz/filter_seeds
 *
 * With -DFAAS_FUZZ_MAIN, and without -fsanitize=fuzzer, it runs the files named on its command line.
 */
#include <faas/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/program.h"
#include "filter/text.h"

#define MUST(condition) ((condition) ? (void)0 : failed(#condition, __LINE__))
#define TEXT_BYTES (FAAS_MAX_FILTER_TEXT + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void failed(const char *condition, int line)
{
	fprintf(stderr, "fuzz_filter.c:%d: %s\n", line, condition);
	abort();
}

/* ---- An allocator that fails, once ------------------------------------------------------------------------------- */

struct memory {
	uint64_t live;
	int until_failure;
};

static void *memory_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;

	MUST(alignment <= 16 && bytes > 0 && bytes < 1000000);
	if (memory->until_failure-- == 0)
		return NULL;
	memory->live += bytes;
	return malloc((size_t)bytes);
}

static void memory_free(void *user, void *block, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;

	(void)alignment;
	MUST(bytes <= memory->live);
	memory->live -= bytes;
	free(block);
}

/* ---- The event --------------------------------------------------------------------------------------------------- */

static faas_event *event_with(const char *text)
{
	const faas_attribute_config attributes[] = {
		FAAS_ATTRIBUTE(.name = "a", .data = text),
		FAAS_ATTRIBUTE(.name = "b", .type = FAAS_ATTRIBUTE_BOOLEAN, .integer = 1),
		FAAS_ATTRIBUTE(.name = "c", .type = FAAS_ATTRIBUTE_INTEGER, .integer = -7),
		FAAS_ATTRIBUTE(.name = "d", .type = FAAS_ATTRIBUTE_BINARY, .data = text, .bytes = strlen(text)),
		FAAS_ATTRIBUTE(.name = "e", .type = FAAS_ATTRIBUTE_TIMESTAMP, .integer = INT64_MIN),
		FAAS_ATTRIBUTE(.name = "f", .type = FAAS_ATTRIBUTE_URI_REFERENCE, .data = "#x"),
	};
	faas_event *event = NULL;

	(void)faas_event_new(FAAS_EVENT(.type = "t.u", .subject = text, .id = "i", .unix_ns = 1, .attributes = attributes,
	                                .attribute_count = sizeof(attributes) / sizeof(attributes[0])),
	                     &event);
	return event;
}

/* ---- One expression ---------------------------------------------------------------------------------------------- */

static faas_filter *compile(const char *expression, uint32_t flags, const faas_allocator_config *allocator)
{
	struct faas_filter_error_stats wrong = {.struct_size = sizeof(wrong)};
	faas_filter *filter = NULL;
	int code = faas_filter_compile(FAAS_FILTER(.expression = expression, .flags = flags, .allocator = allocator),
	                               &filter, &wrong);

	if (code == FAAS_OK || code == FAAS_ENOMEM) {
		MUST(wrong.code == FAAS_OK && (code == FAAS_OK) == (filter != NULL));
		return filter;
	}
	MUST(!filter && wrong.code == code);
	MUST(code == FAAS_ETEXT || (code <= FAAS_EFILTER && code >= FAAS_EFILTERSIZE) ||
	     (code == FAAS_EFILTERFUNCTION && flags != 0));
	MUST(wrong.position <= strlen(expression) && strncmp(wrong.message, "expected ", 9) == 0);
	MUST(memchr(wrong.message, 0, sizeof(wrong.message)) != NULL);
	return NULL;
}

static int is_code_of_evaluation(int code)
{
	return code == FAAS_OK || code == FAAS_ENOMEM || (code <= FAAS_EFILTERTEXT && code >= FAAS_EFILTERCALL);
}

static void evaluate(const faas_filter *filter, const faas_event *event, struct memory *memory)
{
	static char text[TEXT_BYTES], again[TEXT_BYTES];
	struct faas_filter_value_stats value = {.struct_size = sizeof(value)}, same = value;
	uint64_t live = memory->live;
	int code = faas_filter_evaluate(filter, event, text, sizeof(text), &value), error, passes;

	MUST(is_code_of_evaluation(code) && memory->live == live);
	MUST(value.type >= FAAS_ATTRIBUTE_STRING && value.type <= FAAS_ATTRIBUTE_INTEGER);
	MUST(filter->program.type == TYPE_ANY || filter->program.type == (uint32_t)value.type ||
	     (code == FAAS_EFILTERMISSING && filter->program.code_count == 1)); /* nothing but an attribute: false */
	if (value.type == FAAS_ATTRIBUTE_STRING) {
		MUST(value.bytes < TEXT_BYTES && strlen(text) == value.bytes && value.integer == 0);
		MUST(faas__filter_utf8_end(text, (size_t)value.bytes) == value.bytes);
	} else {
		MUST(value.integer >= (value.type == FAAS_ATTRIBUTE_BOOLEAN ? 0 : INT32_MIN));
		MUST(value.integer <= (value.type == FAAS_ATTRIBUTE_BOOLEAN ? 1 : INT32_MAX) && value.bytes == 0);
	}
	if (memory->until_failure >= 0)
		return;
	code = code == FAAS_ENOMEM ? faas_filter_evaluate(filter, event, text, sizeof(text), &value) : code;
	MUST(code == faas_filter_evaluate(filter, event, again, sizeof(again), &same));
	MUST(memcmp(&value, &same, sizeof(same)) == 0 && (same.bytes == 0 || memcmp(text, again, (size_t)same.bytes) == 0));
	passes = faas_filter_matches(filter, event, &error);
	MUST(passes == (code == FAAS_OK && value.type == FAAS_ATTRIBUTE_BOOLEAN && value.integer == 1));
	MUST(error == code || (code == FAAS_OK && error == FAAS_EFILTER && value.type != FAAS_ATTRIBUTE_BOOLEAN));
}

static void try_one(const char *expression, const faas_event *event, int until_failure)
{
	struct memory memory = {.until_failure = until_failure};
	faas_allocator_config allocator = {
		.struct_size = sizeof(allocator), .alloc = memory_alloc, .free = memory_free, .user = &memory};
	faas_filter *filter = compile(expression, 0, &allocator), *predicate;

	memory.until_failure = -1;
	predicate = compile(expression, FAAS_FILTER_PREDICATE, &allocator);
	MUST(!predicate || predicate->program.type == FAAS_ATTRIBUTE_BOOLEAN || predicate->program.type == TYPE_ANY);
	MUST(!predicate || filter || until_failure >= 0);
	faas_filter_free(predicate);
	if (filter) {
		memory.until_failure = until_failure;
		evaluate(filter, event, &memory);
		memory.until_failure = -1;
		evaluate(filter, event, &memory);
	}
	faas_filter_free(filter);
	MUST(memory.live == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	int until_failure = bytes > 0 && data[0] != 255 ? data[0] : -1;
	char *expression = malloc(bytes + 2), *text;
	faas_event *event;

	MUST(expression != NULL);
	if (bytes > 0)
		memcpy(expression, data + 1, bytes - 1);
	expression[bytes > 0 ? bytes - 1 : 0] = 0;
	expression[bytes > 0 ? bytes : 1] = 0;
	text = expression + strlen(expression) + 1;
	if (text > expression + bytes)
		text = expression + strlen(expression);
	event = event_with(text);
	if (!event)
		event = event_with("images/cat.png");
	try_one(expression, event, until_failure);
	faas_event_free(event);
	free(expression);
	return 0;
}

/* ---- Without libFuzzer ------------------------------------------------------------------------------------------- */

#ifdef FAAS_FUZZ_MAIN
int main(int count, char **names)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < count; i++) {
		FILE *file = fopen(names[i], "rb");

		if (!file) {
			perror(names[i]);
			return 1;
		}
		(void)LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
		(void)fclose(file);
	}
	printf("fuzz_filter: %d inputs\n", count - 1);
	return 0;
}
#endif
