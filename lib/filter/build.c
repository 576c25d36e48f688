/* SPDX-License-Identifier: MIT */
/*
 * Builds programs: two arrays that grow, instructions and texts, put into one block at the end.
 *
 * An operator whose operands are all constants is evaluated here, by the machine that evaluates programs, and what it
 * yields takes their place: `60 * 60`, `-'5'`, `UPPER('png')`. There is no second implementation to keep in step. What
 * ends in an error stays as it is, because its error belongs to the evaluation (CESQL v1, 3.3 "Errors"). Operands are
 * the last instructions, so folding is cutting the program's end; but not where a jump lands between them, as in
 * `(a AND true) = true`, where the `true` on the left is only one of two ways to get there.
 *
 * The first error sticks and makes all later calls do nothing, which lets the parser go on to a place where it stops.
 */
#include <string.h>

#include "filter/run.h"

#define FOLDED_MAX 256u /* bytes of a string that takes the place of its operands */

void faas__filter_builder_deinit(struct builder *builder)
{
	faas__free(builder->allocator, builder->code, builder->code_capacity * sizeof(*builder->code));
	faas__free(builder->allocator, builder->text, builder->text_capacity);
}

/* Makes room for one more instruction and `bytes` more of text. False: an error. */
static bool reserve(struct builder *builder, size_t bytes)
{
	size_t code_count = builder->code_count + 1, text_bytes = builder->text_bytes + bytes;
	void *code = builder->code, *text = builder->text;

	if (builder->error != FAAS_OK)
		return false;
	if (code_count * sizeof(*builder->code) + text_bytes > FAAS_MAX_FILTER_PROGRAM) {
		builder->error = FAAS_EFILTERSIZE;
		return false;
	}
	builder->error =
		faas__array_grow(builder->allocator, &code, &builder->code_capacity, code_count, sizeof(*builder->code));
	builder->code = code;
	if (builder->error == FAAS_OK && text_bytes > 0)
		builder->error = faas__array_grow(builder->allocator, &text, &builder->text_capacity, text_bytes, 1);
	builder->text = text;
	return builder->error == FAAS_OK;
}

static void append(struct builder *builder, struct instruction instruction, uint32_t takes)
{
	builder->code[builder->code_count++] = instruction;
	builder->height = builder->height - takes + 1;
	if (builder->height > FAAS_MAX_FILTER_VALUES)
		builder->error = FAAS_EFILTERVALUES;
}

/* ---- Folding ----------------------------------------------------------------------------------------------------- */

static bool is_constant(const struct instruction *instruction)
{
	return instruction->operation <= OP_STRING;
}

/* An operator that needs nothing but its operands. */
static bool is_pure(const struct instruction *instruction)
{
	switch (instruction->operation) {
	case OP_AND:
	case OP_OR:
	case OP_IN:
	case OP_ELEMENT:
	case OP_END_IN:
		return false;
	default:
		return instruction->operation >= OP_NOT;
	}
}

/* Cuts the program at an instruction, and the texts at the first that belongs to what is cut. */
static void cut(struct builder *builder, size_t first)
{
	for (size_t i = builder->code_count; i > first; i--) {
		const struct instruction *instruction = &builder->code[i - 1];

		if (instruction->operation == OP_STRING || instruction->operation == OP_LIKE)
			builder->text_bytes = instruction->a;
	}
	builder->code_count = first;
	builder->height--;
}

static void replace(struct builder *builder, size_t first, const struct value *value)
{
	struct instruction instruction = {.operation = OP_STRING};
	char copy[FOLDED_MAX], *to;

	if (value->type == FAAS_ATTRIBUTE_STRING) {
		if (value->bytes > sizeof(copy))
			return;
		memcpy(copy, value->text, value->bytes); /* it may stand in what is cut */
		cut(builder, first);
		to = faas__filter_text_begin(builder, value->bytes);
		if (!to)
			return;
		memcpy(to, copy, value->bytes);
		faas__filter_text_end(builder, instruction, 0, value->bytes);
		return;
	}
	cut(builder, first);
	if (value->type == FAAS_ATTRIBUTE_INTEGER)
		instruction = (struct instruction){.operation = OP_INTEGER, .a = (uint32_t)value->integer};
	else
		instruction = (struct instruction){.operation = OP_BOOLEAN, .flag = (uint8_t)value->integer};
	append(builder, instruction, 0);
}

static void fold(struct builder *builder, uint32_t takes)
{
	size_t first = builder->code_count - 1 - takes;
	struct program program = {.code = builder->code + first, .text = builder->text, .code_count = takes + 1};
	struct value value;
	struct run run;

	if (builder->error != FAAS_OK || first < builder->target || !is_pure(&program.code[takes]))
		return;
	for (uint32_t i = 0; i < takes; i++)
		if (!is_constant(&program.code[i]))
			return;
	faas__filter_run_init(&run, &program, builder->allocator, NULL);
	value = faas__filter_execute(&run);
	if (run.error == FAAS_OK)
		replace(builder, first, &value);
	faas__filter_run_deinit(&run);
}

/* ---- Emitting ---------------------------------------------------------------------------------------------------- */

void faas__filter_emit(struct builder *builder, struct instruction instruction, uint32_t takes)
{
	if (!reserve(builder, 0))
		return;
	append(builder, instruction, takes);
	fold(builder, takes);
}

char *faas__filter_text_begin(struct builder *builder, size_t bytes)
{
	return reserve(builder, bytes + 1) ? builder->text + builder->text_bytes : NULL;
}

void faas__filter_text_end(struct builder *builder, struct instruction instruction, uint32_t takes, size_t bytes)
{
	instruction.a = (uint32_t)builder->text_bytes;
	instruction.b = (uint16_t)bytes;
	builder->text[builder->text_bytes + bytes] = 0;
	builder->text_bytes += bytes + 1;
	append(builder, instruction, takes);
	fold(builder, takes);
}

size_t faas__filter_emit_jump(struct builder *builder, enum operation operation)
{
	size_t jump = builder->code_count;

	if (reserve(builder, 0)) {
		append(builder, (struct instruction){.operation = (uint8_t)operation}, 1);
		builder->height--; /* where it does not jump */
	}
	return jump;
}

void faas__filter_land(struct builder *builder, size_t jump)
{
	if (builder->error != FAAS_OK)
		return;
	builder->code[jump].a = (uint32_t)builder->code_count;
	builder->target = builder->code_count;
}

struct builder_mark faas__filter_mark(const struct builder *builder)
{
	return (struct builder_mark){builder->code_count, builder->text_bytes, builder->target, builder->height};
}

void faas__filter_rewind(struct builder *builder, struct builder_mark mark)
{
	builder->code_count = mark.code_count;
	builder->text_bytes = mark.text_bytes;
	builder->target = mark.target;
	builder->height = mark.height;
}

int faas__filter_finish(struct builder *builder, uint32_t type, faas_filter **ret_filter)
{
	size_t code_bytes = builder->code_count * sizeof(*builder->code);
	size_t bytes = sizeof(faas_filter) + code_bytes + builder->text_bytes;
	faas_filter *filter = faas__alloc(builder->allocator, bytes);
	char *code;

	if (!filter)
		return FAAS_ENOMEM;
	code = (char *)(filter + 1);
	memcpy(code, builder->code, code_bytes);
	if (builder->text_bytes > 0)
		memcpy(code + code_bytes, builder->text, builder->text_bytes);
	*filter = (faas_filter){.allocator = *builder->allocator, .bytes = bytes};
	filter->program = (struct program){
		.code = (const struct instruction *)(const void *)code,
		.text = code + code_bytes,
		.code_count = (uint32_t)builder->code_count,
		.type = type,
	};
	*ret_filter = filter;
	return FAAS_OK;
}
