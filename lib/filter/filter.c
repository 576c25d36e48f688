/* SPDX-License-Identifier: MIT */
/*
 * Filters as callers see them: compile, evaluate, free.
 *
 * Compiling reads an expression once, from left to right, into a program (parse.c, build.c), which is then put into one
 * block: a filter never changes after that, so threads may share it without more ado. Evaluating runs the program
 * against an event (run.c); what a run needs stands on the caller's stack, some 2.5 KiB, and only text that is built
 * (CONCAT and the like) may ask the allocator for more. Compiling takes some 300 bytes of stack for each level of
 * nesting, 20 KiB at the limit.
 *
 * Bounds: the expression's length and depth when it is parsed, the program's size and the height of its stack when it
 * is built, text and steps when it runs. Each has a constant and an error.
 */
#include <string.h>

#include "base/config.h"
#include "filter/parse.h"
#include "filter/run.h"
#include "filter/text.h"

/* ---- Compiling --------------------------------------------------------------------------------------------------- */

/* Length and encoding. */
static int check_text(const char *expression, struct faas_filter_error_stats *report)
{
	struct token where = {.kind = TOKEN_BAD};
	size_t bytes = 0, good;

	while (bytes <= FAAS_MAX_FILTER && expression[bytes] != 0)
		bytes++;
	good = faas__filter_utf8_end(expression, bytes);
	if (bytes <= FAAS_MAX_FILTER && good == bytes)
		return FAAS_OK;
	where.at = (uint32_t)(bytes > FAAS_MAX_FILTER ? FAAS_MAX_FILTER : good);
	faas__filter_report(report, bytes > FAAS_MAX_FILTER ? FAAS_EFILTERLONG : FAAS_ETEXT, expression, &where, NULL);
	return report->code;
}

int faas__filter_compile(const char *expression, uint32_t flags, const struct allocator *allocator,
                         faas_filter **ret_filter, struct faas_filter_error_stats *ret_error)
{
	struct faas_filter_error_stats report = {.code = FAAS_OK};
	struct builder builder = {.allocator = allocator};
	uint32_t type = TYPE_ANY;
	int error = check_text(expression, &report);

	if (error == FAAS_OK)
		error = faas__filter_parse(&builder, expression, flags, &type, &report);
	if (error == FAAS_OK)
		error = faas__filter_finish(&builder, type, ret_filter);
	faas__filter_builder_deinit(&builder);
	if (report.code != FAAS_OK && ret_error)
		(void)faas__stats_write(ret_error, &report, sizeof(report));
	return error;
}

int faas_filter_compile(const faas_filter_config *config, faas_filter **ret_filter,
                        struct faas_filter_error_stats *ret_error)
{
	faas_filter_config copy;
	struct allocator allocator;
	struct faas_filter_error_stats none = {.code = FAAS_OK};

	if (!config || !ret_filter || (ret_error && faas__stats_write(ret_error, &none, sizeof(none)) != FAAS_OK))
		return FAAS_EINVAL;
	config = faas__config_read(config, &copy, sizeof(copy));
	if (!config || !config->expression || (config->flags & ~FAAS_FILTER_PREDICATE) != 0)
		return FAAS_EINVAL;
	if (faas__allocator_init(&allocator, config->allocator) != FAAS_OK)
		return FAAS_EINVAL;
	return faas__filter_compile(config->expression, config->flags, &allocator, ret_filter, ret_error);
}

void faas_filter_free(faas_filter *filter)
{
	struct allocator allocator;

	if (!filter)
		return;
	allocator = filter->allocator;
	faas__free(&allocator, filter, filter->bytes);
}

/* ---- Evaluating -------------------------------------------------------------------------------------------------- */

static void copy_text(const struct value *value, char *buffer, uint64_t buffer_bytes)
{
	size_t fits = value->bytes;

	if (buffer_bytes == 0)
		return;
	if (fits > buffer_bytes - 1) {
		fits = (size_t)buffer_bytes - 1;
		while (fits > 0 && !faas__filter_is_start(value->text[fits]))
			fits--;
	}
	memcpy(buffer, value->text, fits);
	buffer[fits] = 0;
}

int faas_filter_evaluate(const faas_filter *filter, const faas_event *event, char *buffer, uint64_t buffer_bytes,
                         struct faas_filter_value_stats *ret_value)
{
	struct faas_filter_value_stats out = {.integer = 0};
	struct value value;
	struct run run;

	if (!filter || !event || (!buffer && buffer_bytes > 0) || !ret_value)
		return FAAS_EINVAL;
	if (faas__stats_write(ret_value, &out, sizeof(out)) != FAAS_OK)
		return FAAS_EINVAL;
	faas__filter_run_init(&run, &filter->program, &filter->allocator, event);
	value = faas__filter_execute(&run);
	out.type = (int32_t)value.type;
	if (value.type == FAAS_ATTRIBUTE_STRING) {
		out.bytes = value.bytes;
		copy_text(&value, buffer, buffer_bytes);
	} else {
		out.integer = value.integer;
	}
	(void)faas__stats_write(ret_value, &out, sizeof(out));
	faas__filter_run_deinit(&run);
	return run.error;
}

int faas_filter_matches(const faas_filter *filter, const faas_event *event, int *ret_error)
{
	int error = FAAS_EINVAL;
	bool passes = false;
	struct value value;
	struct run run;

	if (filter && event) {
		faas__filter_run_init(&run, &filter->program, &filter->allocator, event);
		value = faas__filter_execute(&run);
		error = run.error;
		if (error == FAAS_OK && value.type != FAAS_ATTRIBUTE_BOOLEAN)
			error = FAAS_EFILTER;
		passes = error == FAAS_OK && value.integer == 1;
		faas__filter_run_deinit(&run);
	}
	if (ret_error)
		*ret_error = error;
	return passes;
}
