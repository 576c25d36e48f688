/* SPDX-License-Identifier: MIT */
/*
 * An event's attributes as values of the language.
 *
 * Texts are slices of the event. What an event holds in another form is written here, as CloudEvents writes that type
 * as a string (CloudEvents 1.0.2, "Type System"): a Timestamp as RFC 3339, Binary in base64; and an id that the
 * library made, as faas_event_id does. An event keeps the moment of a Timestamp, not how its emitter spelled it, so
 * there is one spelling: UTC, and a fraction only as long as it needs to be.
 *
 * Rules: CESQL v1, 3.2 "CloudEvent context identifiers and types". The calendar is done by hand because gmtime_r ends
 * in 2038 where time_t has 32 bits, and is a call into the C library's time zone code for a division.
 */
#include <string.h>

#include "filter/lex.h"
#include "filter/run.h"

#define NS_PER_S 1000000000
#define S_PER_DAY 86400
#define TIME_BYTES 30u /* 2024-02-29T12:00:00.000000000Z */

/* ---- Timestamps -------------------------------------------------------------------------------------------------- */

static char *put_number(char *at, uint32_t number, unsigned digits)
{
	for (unsigned i = digits; i > 0; i--) {
		at[i - 1] = (char)('0' + number % 10);
		number /= 10;
	}
	return at + digits;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/*
 * Splits a count of days from the 1st of March 1600 into year, month and day. Years begin in March here, so that the
 * leap day is the last of its year, of its four years, of its century and of its four centuries; the last of those
 * lack, or have, one day, which is what the `least` are for.
 */
static void split_days(uint32_t days, uint32_t *parts)
{
	static const uint16_t month_ends[] = {31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337, 366};
	uint32_t year = 1600, part, month = 0;

	year += 400 * (days / 146097);
	days %= 146097;
	part = least(days / 36524, 3);
	year += 100 * part;
	days -= 36524 * part;
	year += 4 * (days / 1461);
	days %= 1461;
	part = least(days / 365, 3);
	year += part;
	days -= 365 * part;
	while (days >= month_ends[month])
		month++;
	parts[0] = year + (month >= 10);
	parts[1] = month < 10 ? month + 3 : month - 9;
	parts[2] = days - (month > 0 ? month_ends[month - 1] : 0) + 1;
}

seldom static struct value from_time(struct run *run, int64_t unix_ns)
{
	static const char between[] = {'-', '-', 'T', ':', ':', '.'};
	const int64_t march_1600 = -135080; /* days from 1970 */
	int64_t fraction = unix_ns % NS_PER_S, seconds = unix_ns / NS_PER_S - (fraction < 0);
	int64_t days = seconds / S_PER_DAY - (seconds % S_PER_DAY < 0);
	uint32_t clock = (uint32_t)(seconds - days * S_PER_DAY);
	uint32_t parts[] = {
		0, 0, 0, clock / 3600, clock / 60 % 60, clock % 60, (uint32_t)(fraction + (fraction < 0 ? NS_PER_S : 0))};
	char *room = faas__filter_room(run, TIME_BYTES), *at = room;

	if (!room)
		return faas__filter_string("", 0);
	split_days((uint32_t)(days - march_1600), parts);
	for (unsigned i = 0; i < 7; i++) {
		if (i > 0)
			*at++ = between[i - 1];
		at = put_number(at, parts[i], i == 0 ? 4 : i == 6 ? 9 : 2);
	}
	while (at[-1] == '0') /* of the fraction, whose point stops this */
		at--;
	if (at[-1] == '.')
		at--;
	*at++ = 'Z';
	return faas__filter_string(room, (size_t)(at - room));
}

/* ---- Other types ------------------------------------------------------------------------------------------------- */

/* RFC 4648, section 4, with padding. */
static struct value from_bytes(struct run *run, const unsigned char *from, size_t bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t length = (bytes + 2) / 3 * 4;
	char *room = faas__filter_room(run, length), *at = room;

	if (!room)
		return faas__filter_string("", 0);
	for (size_t i = 0; i < bytes; i += 3) {
		size_t left = bytes - i;
		uint32_t group = (uint32_t)from[i] << 16;

		group |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
		group |= left > 2 ? from[i + 2] : 0;
		*at++ = digits[group >> 18];
		*at++ = digits[group >> 12 & 63];
		*at++ = left > 1 ? digits[group >> 6 & 63] : '=';
		*at++ = left > 2 ? digits[group & 63] : '=';
	}
	return faas__filter_string(room, length);
}

static struct value missing(struct run *run)
{
	faas__filter_fail(run, FAAS_EFILTERMISSING);
	return faas__filter_boolean(false);
}

static struct value from_text(struct run *run, const char *text)
{
	size_t bytes;

	if (unlikely(!text))
		return missing(run);
	bytes = strlen(text);
	(void)faas__filter_spend(run, bytes / 16);
	return faas__filter_string(text, bytes);
}

static struct value from_id(struct run *run)
{
	char *room;

	const struct event_rare *rare = faas__event_rare(run->event);

	if (rare->id != 0)
		return from_text(run, faas__event_text(run->event) + rare->id);
	room = faas__filter_room(run, FAAS_ID_SIZE);
	return from_text(run, room ? faas_event_id(run->event, room) : "");
}

static const struct event_attribute *find_extension(const faas_event *event, const char *name)
{
	const char *text = faas__event_text(event);
	const struct event_attribute *table = (const struct event_attribute *)(const void *)(text + faas__event_rare(event)->attributes);

	for (size_t i = 0; i < event->attribute_count; i++)
		if (strcmp(text + table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

enum context_attribute faas__filter_attribute_find(const char *name, size_t bytes)
{
	const char *at = faas__attribute_names;
	unsigned i = 0;

	for (; i < ATTRIBUTE_EXTENSION && !faas__filter_same_word(name, bytes, at); i++)
		at += strlen(at) + 1;
	return i;
}

bool faas__filter_attribute_exists(const faas_event *event, enum context_attribute attribute)
{
	switch (attribute) {
	case ATTRIBUTE_SUBJECT:
		return event->subject != 0;
	case ATTRIBUTE_TIME:
		return faas_event_unix_ns(event) != FAAS_NO_TIME;
	case ATTRIBUTE_DATACONTENTTYPE:
		return faas__event_rare(event)->datacontenttype != 0;
	case ATTRIBUTE_DATASCHEMA:
		return faas__event_rare(event)->dataschema != 0;
	default:
		return attribute <= ATTRIBUTE_SPECVERSION;
	}
}

bool faas__filter_extension_exists(const faas_event *event, const char *name)
{
	return find_extension(event, name) != NULL;
}

struct value faas__filter_attribute(struct run *run, enum context_attribute attribute)
{
	switch (attribute) {
	case ATTRIBUTE_ID:
		return from_id(run);
	case ATTRIBUTE_SOURCE:
		return from_text(run, faas_event_source(run->event));
	case ATTRIBUTE_TYPE:
		return from_text(run, faas__event_text(run->event));
	case ATTRIBUTE_SPECVERSION:
		return faas__filter_string("1.0", 3);
	case ATTRIBUTE_SUBJECT:
		return from_text(run, faas_event_subject(run->event));
	case ATTRIBUTE_DATACONTENTTYPE:
		return from_text(run, faas_event_datacontenttype(run->event));
	case ATTRIBUTE_DATASCHEMA:
		return from_text(run, faas_event_dataschema(run->event));
	default:
		if (!faas__filter_attribute_exists(run->event, attribute))
			return missing(run);
		return from_time(run, faas_event_unix_ns(run->event));
	}
}

struct value faas__filter_extension(struct run *run, const char *name)
{
	const struct event_attribute *found = find_extension(run->event, name);
	const char *data;

	if (!found)
		return missing(run);
	data = faas__event_text(run->event) + found->data;
	switch (found->type) {
	case FAAS_ATTRIBUTE_BOOLEAN:
		return faas__filter_boolean(found->integer != 0);
	case FAAS_ATTRIBUTE_INTEGER:
		return faas__filter_integer((int32_t)found->integer);
	case FAAS_ATTRIBUTE_TIMESTAMP:
		return from_time(run, found->integer);
	case FAAS_ATTRIBUTE_BINARY:
		return from_bytes(run, (const unsigned char *)data, found->bytes);
	default: /* String, URI, URI-reference */
		return faas__filter_string(data, found->bytes);
	}
}
