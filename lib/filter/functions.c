/* SPDX-License-Identifier: MIT */
/*
 * The functions of the language: what each does, and a table, searched while compiling.
 *
 * A call casts its arguments to the types in the table first. Cutting a string yields a slice of it, not a copy.
 * Functions differ in name or in number of arguments only, never in types, so a call is settled when it is compiled
 * (CESQL v1, 3.5 "Functions").
 *
 * Rules: CESQL v1, 3.5.1 "Built-in String manipulation", 3.5.2 "Built-in Math functions", 3.7 "Type casting" for what
 * INT, BOOL and STRING do. IS_BOOL and IS_INT come from drafts of the language.
 */
#include <string.h>

#include "filter/lex.h"
#include "filter/run.h"
#include "filter/text.h"

#define ANY_NUMBER 255u

#define BOOLEAN FAAS_ATTRIBUTE_BOOLEAN
#define INTEGER FAAS_ATTRIBUTE_INTEGER
#define STRING FAAS_ATTRIBUTE_STRING

static struct value out_of_range(struct run *run, struct value value)
{
	faas__filter_fail(run, FAAS_EFILTERCALL);
	return value;
}

/* ---- Whole strings ----------------------------------------------------------------------------------------------- */

static struct value call_length(struct run *run, const struct value *x)
{
	if (!faas__filter_spend(run, x->bytes))
		return faas__filter_integer(0);
	return faas__filter_integer((int32_t)faas__filter_length(x->text, x->bytes));
}

/* The strings from x[first] on, with a delimiter between them. */
static struct value join(struct run *run, struct value delimiter, const struct value *x, unsigned count)
{
	size_t bytes = count > 1 ? (size_t)delimiter.bytes * (count - 1) : 0, at = 0;
	char *room;

	for (unsigned i = 0; i < count; i++)
		bytes += x[i].bytes;
	room = faas__filter_room(run, bytes);
	if (!room)
		return faas__filter_string("", 0);
	for (unsigned i = 0; i < count; i++) {
		if (i > 0) {
			memcpy(room + at, delimiter.text, delimiter.bytes);
			at += delimiter.bytes;
		}
		memcpy(room + at, x[i].text, x[i].bytes);
		at += x[i].bytes;
	}
	return faas__filter_string(room, at);
}

/* Writes x in another case to `to`, or nowhere if that is NULL. How many bytes that takes. */
static size_t recase(const struct value *x, bool upper, char *to)
{
	size_t bytes = 0;

	for (size_t i = 0; i < x->bytes;) {
		uint32_t code = (unsigned char)x->text[i];
		char character[CHARACTER_MAX];
		size_t length = 1;

		if (code >= 0x80)
			length = faas__filter_decode(x->text + i, x->bytes - i, &code);
		i += length > 0 ? length : 1; /* what is no character cannot be here, but must not hold us up */
		code = faas__filter_recase(code, upper);
		length = code < 0x80 ? 1 : faas__filter_encode(code, character);
		if (to && length == 1)
			to[bytes] = (char)code;
		else if (to)
			memcpy(to + bytes, character, length);
		bytes += length;
	}
	return bytes;
}

static struct value change_case(struct run *run, const struct value *x, bool upper)
{
	size_t bytes = faas__filter_spend(run, 2 * (size_t)x->bytes) ? recase(x, upper, NULL) : 0;
	char *room = faas__filter_room(run, bytes);

	if (!room)
		return faas__filter_string("", 0);
	recase(x, upper, room);
	return faas__filter_string(room, bytes);
}

/* ---- Parts of strings -------------------------------------------------------------------------------------------- */

/* How many bytes of white space a text begins with. */
static size_t leading_space(const char *text, size_t bytes)
{
	size_t i = 0;

	while (i < bytes) {
		uint32_t code = 0;
		size_t length = faas__filter_decode(text + i, bytes - i, &code);

		if (length == 0 || !faas__filter_is_space(code))
			break;
		i += length;
	}
	return i;
}

/* How many bytes a text has without the white space at its end. */
static size_t without_trailing_space(const char *text, size_t bytes)
{
	while (bytes > 0) {
		size_t start = bytes - 1;
		uint32_t code = 0;

		while (start > 0 && !faas__filter_is_start(text[start]))
			start--;
		if (faas__filter_decode(text + start, bytes - start, &code) == 0 || !faas__filter_is_space(code))
			break;
		bytes = start;
	}
	return bytes;
}

static struct value call_trim(struct run *run, const struct value *x)
{
	size_t first;

	if (!faas__filter_spend(run, x->bytes))
		return *x;
	first = leading_space(x->text, x->bytes);
	return faas__filter_string(x->text + first, without_trailing_space(x->text + first, x->bytes - first));
}

static struct value call_left(struct run *run, const struct value *x)
{
	if (x[1].integer < 0)
		return out_of_range(run, x[0]);
	if (!faas__filter_spend(run, x->bytes))
		return x[0];
	return faas__filter_string(x->text, faas__filter_skip(x->text, x->bytes, (size_t)x[1].integer));
}

static struct value call_right(struct run *run, const struct value *x)
{
	size_t length, first;

	if (x[1].integer < 0)
		return out_of_range(run, x[0]);
	if (!faas__filter_spend(run, 2 * (size_t)x->bytes))
		return x[0];
	length = faas__filter_length(x->text, x->bytes);
	if (length <= (size_t)x[1].integer)
		return x[0];
	first = faas__filter_skip(x->text, x->bytes, length - (size_t)x[1].integer);
	return faas__filter_string(x->text + first, x->bytes - first);
}

static struct value call_substring(struct run *run, const struct value *x, unsigned count)
{
	const struct value none = faas__filter_string("", 0);
	int64_t position = x[1].integer, most = count > 2 ? x[2].integer : INT32_MAX, length;
	size_t first, bytes;

	if (!faas__filter_spend(run, 3 * (size_t)x->bytes))
		return none;
	length = (int64_t)faas__filter_length(x->text, x->bytes);
	if (position > length || position < -length || most < 0)
		return out_of_range(run, none);
	if (position == 0)
		return none;
	first = faas__filter_skip(x->text, x->bytes, (size_t)(position > 0 ? position - 1 : length + position));
	bytes = faas__filter_skip(x->text + first, x->bytes - first, (size_t)most);
	return faas__filter_string(x->text + first, bytes);
}

/* ---- Numbers and types ------------------------------------------------------------------------------------------- */

static struct value call_abs(struct run *run, const struct value *x)
{
	if (x->integer != INT32_MIN)
		return faas__filter_integer(x->integer < 0 ? -x->integer : x->integer);
	faas__filter_fail(run, FAAS_EFILTERMATH);
	return faas__filter_integer(INT32_MAX);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

enum call {
	CALL_LENGTH,
	CALL_CONCAT,
	CALL_CONCAT_WS,
	CALL_LOWER,
	CALL_UPPER,
	CALL_TRIM,
	CALL_LEFT,
	CALL_RIGHT,
	CALL_SUBSTRING,
	CALL_ABS,
	CALL_INT,
	CALL_BOOL,
	CALL_STRING,
	CALL_IS_BOOL,
	CALL_IS_INT,
};

/* Without pointers, each of which would be a relocation, four times as large. */
static const struct {
	char name[10];
	uint8_t least, most; /* arguments */
	uint8_t type;        /* of its values */
	uint8_t takes[3];    /* types of its arguments; the last stands for all that follow */
} functions[] = {
	[CALL_LENGTH] = {"LENGTH", 1, 1, INTEGER, {STRING, STRING, STRING}},
	[CALL_CONCAT] = {"CONCAT", 0, ANY_NUMBER, STRING, {STRING, STRING, STRING}},
	[CALL_CONCAT_WS] = {"CONCAT_WS", 1, ANY_NUMBER, STRING, {STRING, STRING, STRING}},
	[CALL_LOWER] = {"LOWER", 1, 1, STRING, {STRING, STRING, STRING}},
	[CALL_UPPER] = {"UPPER", 1, 1, STRING, {STRING, STRING, STRING}},
	[CALL_TRIM] = {"TRIM", 1, 1, STRING, {STRING, STRING, STRING}},
	[CALL_LEFT] = {"LEFT", 2, 2, STRING, {STRING, INTEGER, INTEGER}},
	[CALL_RIGHT] = {"RIGHT", 2, 2, STRING, {STRING, INTEGER, INTEGER}},
	[CALL_SUBSTRING] = {"SUBSTRING", 2, 3, STRING, {STRING, INTEGER, INTEGER}},
	[CALL_ABS] = {"ABS", 1, 1, INTEGER, {INTEGER, INTEGER, INTEGER}},
	[CALL_INT] = {"INT", 1, 1, INTEGER, {INTEGER, INTEGER, INTEGER}},
	[CALL_BOOL] = {"BOOL", 1, 1, BOOLEAN, {BOOLEAN, BOOLEAN, BOOLEAN}},
	[CALL_STRING] = {"STRING", 1, 1, STRING, {STRING, STRING, STRING}},
	[CALL_IS_BOOL] = {"IS_BOOL", 1, 1, BOOLEAN, {TYPE_ANY, TYPE_ANY, TYPE_ANY}},
	[CALL_IS_INT] = {"IS_INT", 1, 1, BOOLEAN, {TYPE_ANY, TYPE_ANY, TYPE_ANY}},
};

/* The arguments have been cast. */
static struct value call(struct run *run, unsigned function, const struct value *x, unsigned count)
{
	switch (function) {
	case CALL_LENGTH:
		return call_length(run, x);
	case CALL_CONCAT:
		return join(run, faas__filter_string("", 0), x, count);
	case CALL_CONCAT_WS:
		return join(run, x[0], x + 1, count - 1);
	case CALL_LOWER:
		return change_case(run, x, false);
	case CALL_UPPER:
		return change_case(run, x, true);
	case CALL_TRIM:
		return call_trim(run, x);
	case CALL_LEFT:
		return call_left(run, x);
	case CALL_RIGHT:
		return call_right(run, x);
	case CALL_SUBSTRING:
		return call_substring(run, x, count);
	case CALL_ABS:
		return call_abs(run, x);
	case CALL_IS_BOOL:
		return faas__filter_boolean(faas__filter_can_cast(x, BOOLEAN));
	case CALL_IS_INT:
		return faas__filter_boolean(faas__filter_can_cast(x, INTEGER));
	default: /* INT, BOOL, STRING: that was all */
		return *x;
	}
}

int faas__filter_function_find(const char *name, size_t bytes, size_t arguments, uint32_t *ret_type)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (!faas__filter_same_word(name, bytes, functions[i].name))
			continue;
		if (arguments < functions[i].least || arguments > functions[i].most)
			return -1;
		*ret_type = functions[i].type;
		return (int)i;
	}
	return -1;
}

void faas__filter_call(struct run *run, unsigned function, struct value *x, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t type = functions[function].takes[i < 3 ? i : 2];

		if (type != TYPE_ANY)
			faas__filter_cast(run, &x[i], type);
	}
	if (!run->stopped)
		*x = call(run, function, x, count);
}
