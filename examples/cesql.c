/* SPDX-License-Identifier: MIT */
/*
 * Tries a CESQL expression on an event from the command line.
 *
 *     cesql "subject LIKE 'images/%' AND NOT EXISTS draft" subject=images/cat.png draft:boolean=true
 *
 * Prints the type and the value, and the error if there was one. Ends with 0 if the event would pass a filter with this
 * expression, 1 if not, 2 if the expression or the event is malformed.
 */
#include <faas.h>
#include <faas/filter.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MALFORMED 2

static const char usage[] =
	"usage: cesql EXPRESSION [ATTRIBUTE=VALUE | EXTENSION:TYPE=VALUE]...\n"
	"  ATTRIBUTE  id, source, type, subject, time, datacontenttype, dataschema, or an extension (a string)\n"
	"  TYPE       string, boolean, integer, binary, uri, uri-reference, timestamp\n"
	"  a time is as in 2024-02-29T12:00:00Z\n";

/* ---- The event --------------------------------------------------------------------------------------------------- */

/* The days from 1970-01-01 to a date. */
static int64_t days_to(int64_t year, int64_t month, int64_t day)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64_t leaps = month > 2 ? year : year - 1;

	return (year - 1970) * 365 + (leaps / 4 - leaps / 100 + leaps / 400) - 477 + before[month - 1] + day - 1;
}

/* RFC 3339, not checked for days that a month does not have. 0: not one. */
static int read_time(const char *text, int64_t *ret_ns)
{
	int year, month, day, hour, minute, second, used = 0, off_hour = 0, off_minute = 0;
	int64_t fraction = 0, unit = 100000000, offset;
	char sign[2] = "+";

	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &used) != 6 ||
	    used != 19 || year < 1678 || year > 2261 || month < 1 || month > 12)
		return 0;
	text += used;
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
			fraction += (*text - '0') * unit;
	if (strcmp(text, "Z") != 0 && strcmp(text, "z") != 0 &&
	    (sscanf(text, "%1[+-]%2d:%2d", sign, &off_hour, &off_minute) != 3 || strlen(text) != 6))
		return 0;
	offset = (int64_t)(off_hour * 3600 + off_minute * 60) * (sign[0] == '-' ? -1 : 1);
	*ret_ns = ((days_to(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - offset) * 1000000000 + fraction;
	return 1;
}

/* One of the strings that CloudEvents itself names, or NULL. */
static const char **context_string(faas_event_config *event, const char *name)
{
	const struct {
		const char *name;
		const char **string;
	} strings[] = {
		{"id", &event->id},           {"source", &event->source},         {"type", &event->type},
		{"subject", &event->subject}, {"dataschema", &event->dataschema}, {"datacontenttype", &event->datacontenttype},
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strcmp(strings[i].name, name) == 0)
			return strings[i].string;
	return NULL;
}

static int read_number(const char *text, int64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == 0;
}

static int read_extension(faas_attribute_config *extension, const char *type, const char *value)
{
	static const char *const types[] = {"string", "boolean", "integer", "binary", "uri", "uri-reference", "timestamp"};
	int32_t i = 0;

	while (i < 7 && strcmp(types[i], type) != 0)
		i++;
	extension->type = i + FAAS_ATTRIBUTE_STRING;
	extension->data = value;
	extension->bytes = strlen(value);
	switch (extension->type) {
	case FAAS_ATTRIBUTE_BOOLEAN:
		extension->integer = strcmp(value, "true") == 0;
		return extension->integer || strcmp(value, "false") == 0;
	case FAAS_ATTRIBUTE_INTEGER:
		return read_number(value, &extension->integer);
	case FAAS_ATTRIBUTE_TIMESTAMP:
		return read_time(value, &extension->integer);
	default:
		return i < 7;
	}
}

/* One argument. It is cut at ':' and '='. 0: malformed. */
static int read_argument(faas_event_config *event, faas_attribute_config *extensions, char *argument)
{
	char *value = strchr(argument, '='), *type = strchr(argument, ':');
	faas_attribute_config *extension = &extensions[event->attribute_count];
	const char **string;

	if (!value)
		return 0;
	*value++ = 0;
	if (type && type < value)
		*type++ = 0;
	else
		type = NULL;
	string = context_string(event, argument);
	if (string)
		*string = value;
	if (string || strcmp(argument, "specversion") == 0)
		return !type;
	if (strcmp(argument, "time") == 0)
		return !type && read_time(value, &event->unix_ns);
	event->attribute_count++;
	*extension = (faas_attribute_config){.struct_size = sizeof(*extension), .name = argument};
	return read_extension(extension, type ? type : "string", value);
}

/* ---- The expression ---------------------------------------------------------------------------------------------- */

static faas_filter *compile(const char *expression)
{
	struct faas_filter_error_stats wrong = {.struct_size = sizeof(wrong)};
	faas_filter *filter = NULL;
	int error = faas_filter_compile(FAAS_FILTER(.expression = expression), &filter, &wrong);

	if (wrong.code != FAAS_OK)
		fprintf(stderr, "%s\n%*s^ %s\n", expression, (int)wrong.position, "", wrong.message);
	if (error != FAAS_OK)
		fprintf(stderr, "error %d (%s): %s\n", error, faas_error_name(error), faas_strerror(error));
	return filter;
}

static void evaluate(const faas_filter *filter, const faas_event *event)
{
	struct faas_filter_value_stats value = {.struct_size = sizeof(value)};
	static char text[FAAS_MAX_FILTER_TEXT];
	int error = faas_filter_evaluate(filter, event, text, sizeof(text), &value);

	if (value.type == FAAS_ATTRIBUTE_STRING)
		printf("String %s\n", text);
	else if (value.type == FAAS_ATTRIBUTE_INTEGER)
		printf("Integer %lld\n", (long long)value.integer);
	else
		printf("Boolean %s\n", value.integer ? "true" : "false");
	if (error != FAAS_OK)
		fprintf(stderr, "error %d (%s): %s\n", error, faas_error_name(error), faas_strerror(error));
}

int main(int count, char **arguments)
{
	faas_attribute_config extensions[FAAS_MAX_ATTRIBUTES];
	faas_event_config config = {.struct_size = sizeof(config), .type = "example", .attributes = extensions};
	faas_filter *filter;
	faas_event *event;
	int error, passes;

	if (count < 2) {
		fputs(usage, stderr);
		return MALFORMED;
	}
	for (int i = 2; i < count; i++) {
		if (config.attribute_count == FAAS_MAX_ATTRIBUTES || !read_argument(&config, extensions, arguments[i])) {
			fprintf(stderr, "malformed: %s\n%s", arguments[i], usage);
			return MALFORMED;
		}
	}
	error = faas_event_new(&config, &event);
	if (error != FAAS_OK) {
		fprintf(stderr, "event: %s\n", faas_strerror(error));
		return MALFORMED;
	}
	filter = compile(arguments[1]);
	if (filter)
		evaluate(filter, event);
	passes = filter && faas_filter_matches(filter, event, NULL);
	faas_event_free(event);
	faas_filter_free(filter);
	return !filter ? MALFORMED : passes ? 0 : 1;
}
