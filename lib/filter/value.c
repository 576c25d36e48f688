/* SPDX-License-Identifier: MIT */
/*
 * Values and what an evaluation may spend.
 *
 * A value is a tag and 16 bytes at most; a string is a slice of the event, of the program, or of text built here. Built
 * text goes to a small buffer inside the run first, so that a number or a time costs no allocation, then to an arena;
 * all of it is freed with the run, and none of it before, so no slice ever needs an owner. That would let a short
 * expression hoard memory if the bytes it may build were not bounded: FAAS_MAX_FILTER_TEXT.
 *
 * Rules: CESQL v1, 3.7 "Type casting". A cast that fails gives the zero of its type and an error, and the operator that
 * needed it goes on with that.
 */
#include <string.h>

#include "filter/lex.h"
#include "filter/run.h"

void faas__filter_fail(struct run *run, int code)
{
	if (run->error == FAAS_OK)
		run->error = code;
}

void faas__filter_stop(struct run *run, int code)
{
	if (!run->stopped)
		run->error = code;
	run->stopped = true;
}

char *faas__filter_room(struct run *run, size_t bytes)
{
	char *room;

	if (bytes > FAAS_MAX_FILTER_TEXT - run->built) {
		faas__filter_stop(run, FAAS_EFILTERTEXT);
		return NULL;
	}
	run->built += (uint32_t)bytes;
	if (bytes <= NEAR_BYTES - run->near_used) {
		room = run->near + run->near_used;
		run->near_used += (uint32_t)bytes;
		return room;
	}
	room = faas__arena_alloc(&run->arena, run->allocator, bytes);
	if (!room)
		faas__filter_stop(run, FAAS_ENOMEM);
	return room;
}

struct value faas__filter_zero(uint32_t type)
{
	if (type == FAAS_ATTRIBUTE_STRING)
		return faas__filter_string("", 0);
	return type == FAAS_ATTRIBUTE_INTEGER ? faas__filter_integer(0) : faas__filter_boolean(false);
}

/* ---- Casts ------------------------------------------------------------------------------------------------------- */

/* A sign, or none, and digits: an Integer if it is in range. Nothing is set if not. */
static bool read_integer(const struct value *x, int32_t *ret_integer)
{
	bool negative = x->bytes > 0 && x->text[0] == '-';
	uint32_t i = negative || (x->bytes > 0 && x->text[0] == '+');
	int64_t sum = 0;

	if (i == x->bytes)
		return false;
	for (; i < x->bytes; i++) {
		if (x->text[i] < '0' || x->text[i] > '9')
			return false;
		sum = sum * 10 + (x->text[i] - '0');
		if (sum > (int64_t)INT32_MAX + negative)
			return false;
	}
	*ret_integer = (int32_t)(negative ? -sum : sum);
	return true;
}

static bool read_boolean(const struct value *x, int32_t *ret_boolean)
{
	*ret_boolean = faas__filter_same_word(x->text, x->bytes, "true");
	return *ret_boolean == 1 || faas__filter_same_word(x->text, x->bytes, "false");
}

static struct value write_integer(struct run *run, int32_t integer)
{
	uint32_t left = integer < 0 ? 0u - (uint32_t)integer : (uint32_t)integer;
	char digits[11], *at = digits + sizeof(digits), *room;
	size_t bytes;

	do
		*--at = (char)('0' + left % 10);
	while ((left /= 10) > 0);
	if (integer < 0)
		*--at = '-';
	bytes = (size_t)(digits + sizeof(digits) - at);
	room = faas__filter_room(run, bytes);
	if (!room)
		return faas__filter_string("", 0);
	memcpy(room, at, bytes);
	return faas__filter_string(room, bytes);
}

static struct value to_string(struct run *run, const struct value *x)
{
	if (x->type == FAAS_ATTRIBUTE_INTEGER)
		return write_integer(run, x->integer);
	return x->integer ? faas__filter_string("true", 4) : faas__filter_string("false", 5);
}

bool faas__filter_can_cast(const struct value *x, uint32_t type)
{
	int32_t read;

	if (x->type != FAAS_ATTRIBUTE_STRING || type == FAAS_ATTRIBUTE_STRING)
		return true;
	return type == FAAS_ATTRIBUTE_INTEGER ? read_integer(x, &read) : read_boolean(x, &read);
}

static struct value from_string(struct run *run, const struct value *x, uint32_t type)
{
	int32_t read = 0;
	bool fits = type == FAAS_ATTRIBUTE_INTEGER ? read_integer(x, &read) : read_boolean(x, &read);

	if (!fits)
		faas__filter_fail(run, FAAS_EFILTERCAST);
	return type == FAAS_ATTRIBUTE_INTEGER ? faas__filter_integer(read) : faas__filter_boolean(read);
}

void faas__filter_convert(struct run *run, struct value *x, uint32_t type)
{
	if (x->type == FAAS_ATTRIBUTE_STRING)
		*x = from_string(run, x, type);
	else if (type == FAAS_ATTRIBUTE_STRING)
		*x = to_string(run, x);
	else
		*x = type == FAAS_ATTRIBUTE_INTEGER ? faas__filter_integer(x->integer) : faas__filter_boolean(x->integer != 0);
}
