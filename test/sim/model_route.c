/* SPDX-License-Identifier: MIT */
/*
 * Which functions an event goes to. Patterns are matched token by token, from left to right, and filters are written
 * twice: as CESQL for the library, and as a line of C here.
 */
#include "model.h"

#include <string.h>

const char *const event_types[] = {"a", "a.b", "a.b.c", "b", "b.c", "c.b.a.b"};
const int event_type_count = sizeof(event_types) / sizeof(event_types[0]);
const char *const event_subjects[] = {NULL, "s", "t"};
const int event_subject_count = sizeof(event_subjects) / sizeof(event_subjects[0]);
const char *const binding_patterns[] = {">", "a", "a.b", "a.*", "a.>", "*", "*.b", "*.b.>", "b.c", "*.*", "c.b.a.b"};
const int binding_pattern_count = sizeof(binding_patterns) / sizeof(binding_patterns[0]);
const char *const binding_filters[] = {NULL,         "subject = 's'",         "EXISTS n",        "n > 1",
                                       "n IN (0, 2)", "type LIKE 'a%'", "NOT EXISTS subject", "EXISTS subject AND n = 1"};
const int binding_filter_count = sizeof(binding_filters) / sizeof(binding_filters[0]);

enum verdict { PASSES, IS_STOPPED, IS_ERROR };

static bool token_matches(const char *pattern, size_t pattern_bytes, const char *type, size_t type_bytes)
{
	if (pattern_bytes == 1 && pattern[0] == '*')
		return true;
	return pattern_bytes == type_bytes && memcmp(pattern, type, type_bytes) == 0;
}

static bool pattern_matches(const char *pattern, const char *type)
{
	for (;;) {
		size_t pattern_bytes = strcspn(pattern, "."), type_bytes = strcspn(type, ".");

		if (strcmp(pattern, ">") == 0)
			return true;
		if (!token_matches(pattern, pattern_bytes, type, type_bytes))
			return false;
		pattern += pattern_bytes;
		type += type_bytes;
		if (*pattern == 0 || *type == 0)
			return *pattern == *type;
		pattern++;
		type++;
	}
}

static enum verdict verdict(bool passes)
{
	return passes ? PASSES : IS_STOPPED;
}

static enum verdict filter(int filter_number, const struct model_event *event)
{
	const bool has_n = event->attribute > 0, has_subject = event->subject > 0;
	const int n = event->attribute - 1;

	switch (filter_number) {
	case 1:
		return has_subject ? verdict(event->subject == 1) : IS_ERROR;
	case 2:
		return verdict(has_n);
	case 3:
		return has_n ? verdict(n > 1) : IS_ERROR;
	case 4:
		return has_n ? verdict(n == 0 || n == 2) : IS_ERROR;
	case 5:
		return verdict(event_types[event->type][0] == 'a');
	case 6:
		return verdict(!has_subject);
	case 7:
		if (!has_subject)
			return IS_STOPPED;
		return has_n ? verdict(n == 1) : IS_ERROR;
	default:
		return PASSES;
	}
}

static bool binding_takes(struct model_binding *binding, const struct model_event *event, bool *ret_was_filtered)
{
	enum verdict what;

	if (!pattern_matches(binding_patterns[binding->pattern], event_types[event->type]))
		return false;
	if (binding->filter == 0)
		return true;
	*ret_was_filtered = true;
	what = filter(binding->filter, event);
	binding->passed += what == PASSES;
	binding->stopped += what == IS_STOPPED;
	binding->errors += what == IS_ERROR;
	return what == PASSES;
}

int model_route(struct model *model, const struct model_event *event, struct model_function *matches[NAMES],
                bool *ret_was_filtered)
{
	bool is_taken[BINDINGS];
	int count = 0;

	*ret_was_filtered = false;
	for (int i = 0; i < BINDINGS; i++)
		is_taken[i] = model->bindings[i].id != 0 && binding_takes(&model->bindings[i], event, ret_was_filtered);
	for (struct model_function *function = model->functions; function; function = function->next) {
		bool takes = false;

		for (int i = 0; i < BINDINGS; i++)
			takes = takes || (is_taken[i] && model->bindings[i].function == function);
		if (takes)
			matches[count++] = function;
	}
	return count;
}
