/* SPDX-License-Identifier: MIT */
/*
 * What operators do. Operands are cast first, each operator to its own types, but for `=`, which takes the type of its
 * right side, and `IN`, which takes that of its left. An operator that fails yields a value all the same: the one that
 * its operands' zeros give, or 0 where arithmetic has no result.
 *
 * Rules: CESQL v1, 3.4.1 "Unary operators", 3.4.2 "Binary operators", 3.4.5 "In operator", 3.7 "Type casting".
 */
#include <string.h>

#include "filter/run.h"

/*
 * The specification casts an Integer to a Boolean without an error; the conformance kit has one for NOT, and for NOT
 * alone, with the value that a failed cast gives. We follow both, each where it speaks.
 */
void faas__filter_not(struct run *run, struct value *x)
{
	if (x->type == FAAS_ATTRIBUTE_INTEGER) {
		faas__filter_fail(run, FAAS_EFILTERCAST);
		*x = faas__filter_boolean(false);
	}
	faas__filter_cast(run, x, FAAS_ATTRIBUTE_BOOLEAN);
	x->integer = !x->integer;
}

/* A result that an Integer may not hold: overflow is an error, as ABS has it, and not wrapped. */
static struct value to_integer(struct run *run, int64_t result)
{
	if (likely(result >= INT32_MIN && result <= INT32_MAX))
		return faas__filter_integer((int32_t)result);
	faas__filter_fail(run, FAAS_EFILTERMATH);
	return faas__filter_integer(0);
}

void faas__filter_negate(struct run *run, struct value *x)
{
	faas__filter_cast(run, x, FAAS_ATTRIBUTE_INTEGER);
	*x = to_integer(run, -(int64_t)x->integer);
}

static struct value calculate(struct run *run, enum operation operation, int64_t x, int64_t y)
{
	switch (operation) {
	case OP_MULTIPLY:
		return to_integer(run, x * y);
	case OP_ADD:
		return to_integer(run, x + y);
	case OP_SUBTRACT:
		return to_integer(run, x - y);
	default:
		break;
	}
	if (y == 0) {
		faas__filter_fail(run, FAAS_EFILTERMATH);
		return faas__filter_integer(0);
	}
	return to_integer(run, operation == OP_DIVIDE ? x / y : x % y); /* C truncates, as the specification does */
}

static bool compare(enum operation operation, int32_t x, int32_t y)
{
	switch (operation) {
	case OP_LESS:
		return x < y;
	case OP_LESS_EQUAL:
		return x <= y;
	case OP_GREATER:
		return x > y;
	default:
		return x >= y;
	}
}

/* Of values of one type. */
static bool is_equal(struct run *run, const struct value *x, const struct value *y)
{
	if (x->type != FAAS_ATTRIBUTE_STRING)
		return x->integer == y->integer;
	return x->bytes == y->bytes && faas__filter_spend(run, x->bytes / 16) && memcmp(x->text, y->text, x->bytes) == 0;
}

bool faas__filter_is_element(struct run *run, const struct value *x, struct value *y)
{
	faas__filter_cast(run, y, x->type);
	return is_equal(run, x, y);
}

void faas__filter_binary(struct run *run, const struct instruction *at, struct value *x, struct value *y)
{
	enum operation operation = at->operation;
	uint32_t type = operation == OP_EQUAL ? y->type
	                : operation == OP_XOR ? FAAS_ATTRIBUTE_BOOLEAN
	                                      : FAAS_ATTRIBUTE_INTEGER;

	faas__filter_cast(run, x, type);
	faas__filter_cast(run, y, type);
	if (operation == OP_EQUAL)
		*x = faas__filter_boolean(is_equal(run, x, y) != at->flag);
	else if (operation == OP_XOR)
		x->integer ^= y->integer;
	else if (operation <= OP_SUBTRACT)
		*x = calculate(run, operation, x->integer, y->integer);
	else
		*x = faas__filter_boolean(compare(operation, x->integer, y->integer));
}
