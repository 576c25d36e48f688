/* SPDX-License-Identifier: MIT */
/* See report.h. One run at a time in one process, so this is the one place with variables of its own. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <faas.h>

static char kind_text[64], full_text[400];
static bool tracing, is_unsure;
int trace_depth;

void report_begin(bool is_tracing_wanted)
{
	kind_text[0] = 0;
	full_text[0] = 0;
	is_unsure = false;
	tracing = is_tracing_wanted;
	trace_depth = 0;
}

void complain(const char *kind, const char *format, ...)
{
	va_list arguments;
	size_t used;

	if (has_failed())
		return;
	(void)snprintf(kind_text, sizeof(kind_text), "%s", kind);
	used = (size_t)snprintf(full_text, sizeof(full_text), "%s: ", kind);
	va_start(arguments, format);
	(void)vsnprintf(full_text + used, sizeof(full_text) - used, format, arguments);
	va_end(arguments);
	trace("DISAGREEMENT %s", full_text);
}

void expect(const char *kind, int64_t expected, int64_t found)
{
	if (expected != found)
		complain(kind, "expected %lld, found %lld", (long long)expected, (long long)found);
}

void unsure(void)
{
	if (has_failed())
		return;
	is_unsure = true;
	trace("(what comes next is not promised: the end)");
}

bool has_failed(void)
{
	return kind_text[0] != 0 || is_unsure;
}

bool was_unsure(void)
{
	return is_unsure;
}

const char *complaint_kind(void)
{
	return kind_text;
}

const char *complaint_text(void)
{
	return full_text;
}

bool is_tracing(void)
{
	return tracing;
}

void trace(const char *format, ...)
{
	va_list arguments;

	if (!tracing)
		return;
	(void)printf("%*s", 2 + 4 * trace_depth, "");
	va_start(arguments, format);
	(void)vprintf(format, arguments);
	va_end(arguments);
	(void)printf("\n");
	/* So that nothing is lost where it crashes. */
	(void)fflush(stdout);
}

const char *code_name(int code)
{
	static char number[16];

	if (code <= 0)
		return faas_error_name(code);
	(void)snprintf(number, sizeof(number), "%d", code);
	return number;
}
