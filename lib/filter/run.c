/* SPDX-License-Identifier: MIT */
/*
 * The machine: a loop over instructions and a stack of values.
 *
 * Programs have jumps, but only forwards, and every instruction's work is bounded by what faas__filter_spend and
 * faas__filter_room allow; so an evaluation ends. The compiler counted the stack, so pushing need not check. Walking a
 * tree instead would need no compiler beside the parser, but recursion, and a pointer followed for each operand.
 *
 * The first error ends an evaluation: the "fail fast mode" of CESQL v1, 4.1 "Error handling". The value beside the
 * error is what the operator that met it yields, if that is the outermost one (3.3 "Errors"): ABS, LEFT and RIGHT have
 * one to offer. Else it is the zero of the expression's type: `1 != 1 / 0` is false, as the conformance kit has it,
 * although `1 / 0` alone is 0. A missing attribute (3.2) needs no rule of its own then, and no value to stand for it.
 */
#include "filter/run.h"

#include <assert.h>

void faas__filter_run_init(struct run *run, const struct program *program, const struct allocator *allocator,
                           const faas_event *event)
{
	run->program = program;
	run->event = event;
	run->allocator = allocator;
	run->error = FAAS_OK;
	run->stopped = false;
	run->steps = FAAS_MAX_FILTER_STEPS;
	run->built = 0;
	run->near_used = 0;
	run->arena = (struct arena){0};
	/* `near` and `stack` are 2 KiB that need no clearing. */
}

void faas__filter_run_deinit(struct run *run)
{
	if (unlikely(run->arena.chunks))
		faas__arena_deinit(&run->arena, run->allocator);
}

/* Instructions that push a value. */
static struct value load(struct run *run, const struct instruction *at)
{
	const char *text = run->program->text;

	switch ((enum operation)at->operation) {
	case OP_BOOLEAN:
		return faas__filter_boolean(at->flag);
	case OP_INTEGER:
		return faas__filter_integer((int32_t)at->a);
	case OP_STRING:
		return faas__filter_string(text + at->a, at->b);
	case OP_ATTRIBUTE:
		return faas__filter_attribute(run, at->flag);
	case OP_EXTENSION:
		return faas__filter_extension(run, text + at->a);
	case OP_EXISTS:
		return faas__filter_boolean(faas__filter_attribute_exists(run->event, at->flag));
	case OP_EXISTS_EXTENSION:
		return faas__filter_boolean(faas__filter_extension_exists(run->event, text + at->a));
	default:
		faas__filter_fail(run, FAAS_EFILTERFUNCTION);
		return faas__filter_boolean(false);
	}
}

/* The left side of AND or OR is on top. Whether it decides; else it is taken off. */
static bool is_decided(struct run *run, const struct instruction *at, struct value **top)
{
	struct value *left = *top - 1;

	faas__filter_cast(run, left, FAAS_ATTRIBUTE_BOOLEAN);
	if (left->integer == (at->operation == OP_OR))
		return true;
	*top = left;
	return false;
}

/* One instruction. Where the next one stands. */
static const struct instruction *step(struct run *run, const struct instruction *at, struct value **ret_top)
{
	const struct program *program = run->program;
	struct value *top = *ret_top;

	switch ((enum operation)at->operation) {
	case OP_AND:
	case OP_OR:
		return is_decided(run, at, ret_top) ? program->code + at->a : at + 1;
	case OP_NOT:
		faas__filter_not(run, top - 1);
		break;
	case OP_NEGATE:
		faas__filter_negate(run, top - 1);
		break;
	case OP_TRUTH:
		faas__filter_cast(run, top - 1, FAAS_ATTRIBUTE_BOOLEAN);
		break;
	case OP_LIKE:
		top[-1] = faas__filter_boolean(faas__filter_like(run, top - 1, program->text + at->a, at->b) != at->flag);
		break;
	case OP_IN:
		*top++ = faas__filter_boolean(false);
		break;
	case OP_ELEMENT:
		top--;
		top[-1].integer |= faas__filter_is_element(run, top - 2, top);
		break;
	case OP_END_IN:
		top--;
		top[-1] = faas__filter_boolean(top[0].integer != at->flag);
		break;
	case OP_CALL:
		top -= at->flag;
		faas__filter_call(run, at->b, top, at->flag);
		top++;
		break;
	default:
		if (at->operation <= OP_NO_FUNCTION) {
			*top++ = load(run, at);
		} else {
			top--;
			faas__filter_binary(run, at, top - 1, top);
		}
	}
	*ret_top = top;
	return at + 1;
}

struct value faas__filter_execute(struct run *run)
{
	const struct instruction *at = run->program->code, *end = at + run->program->code_count;
	struct value *top = run->stack;

	while (at < end && likely(run->error == FAAS_OK))
		at = step(run, at, &top);
	if (at < end || run->stopped)
		return faas__filter_zero(run->program->type);
	assert(top == run->stack + 1);
	return top[-1];
}
