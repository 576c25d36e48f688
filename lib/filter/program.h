/* SPDX-License-Identifier: MIT */
/*
 * Compiled expressions: instructions for a machine with a stack of values.
 *
 *     struct faas_filter | instructions | texts: literals, names of extensions, patterns
 */
#ifndef FAAS_FILTER_PROGRAM_H
#define FAAS_FILTER_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "faas/filter.h"

/* x is the value on top of the stack, or with y the one below it; what an instruction reads, it takes off. */
enum operation {
	OP_BOOLEAN,          /* push: flag */
	OP_INTEGER,          /* push: a, as int32_t */
	OP_STRING,           /* push: b bytes of text at a */
	OP_ATTRIBUTE,        /* push: the context attribute flag */
	OP_EXTENSION,        /* push: the extension whose name stands at a, b bytes and a NUL */
	OP_EXISTS,           /* push: whether there is a context attribute flag */
	OP_EXISTS_EXTENSION, /* push: whether there is an extension; as OP_EXTENSION */
	OP_NO_FUNCTION,      /* push: false, and an error */
	OP_NOT,              /* push: not x */
	OP_NEGATE,           /* push: -x */
	OP_MULTIPLY,         /* push: x * y; and so on */
	OP_DIVIDE,
	OP_REMAINDER,
	OP_ADD,
	OP_SUBTRACT,
	OP_EQUAL, /* flag: not equal */
	OP_LESS,
	OP_LESS_EQUAL,
	OP_GREATER,
	OP_GREATER_EQUAL,
	OP_XOR,
	OP_AND,     /* x is false: push it and go on at a; else nothing */
	OP_OR,      /* x is true: push it and go on at a; else nothing */
	OP_TRUTH,   /* push: x as a Boolean; ends the right side of AND and OR */
	OP_LIKE,    /* push: whether x matches the pattern of b bytes at a; flag: not */
	OP_IN,      /* push: x, false */
	OP_ELEMENT, /* of x, found, y: push x, found or x = y */
	OP_END_IN,  /* of x, found: push found; flag: not */
	OP_CALL,    /* push: the function b of the last flag values */
};

/* In the order of faas__attribute_names. */
enum context_attribute {
	ATTRIBUTE_ID,
	ATTRIBUTE_SOURCE,
	ATTRIBUTE_TYPE,
	ATTRIBUTE_SPECVERSION, /* up to here: no event is without it */
	ATTRIBUTE_SUBJECT,
	ATTRIBUTE_TIME,
	ATTRIBUTE_DATACONTENTTYPE,
	ATTRIBUTE_DATASCHEMA,
	ATTRIBUTE_EXTENSION, /* none of those */
};

struct instruction {
	uint8_t operation;
	uint8_t flag;
	uint16_t b;
	uint32_t a;
};

struct program {
	const struct instruction *code;
	const char *text;
	uint32_t code_count;
	uint32_t type; /* what its values are: FAAS_ATTRIBUTE_..., or TYPE_ANY */
};

/* All fixed after compiling. */
struct faas_filter {
	struct allocator allocator;
	struct program program; /* points behind this */
	size_t bytes;           /* of the block */
};

#define TYPE_ANY 0u /* known only when evaluated */

/* ---- Building (build.c) ------------------------------------------------------------------------------------------ */

struct builder {
	const struct allocator *allocator;
	struct instruction *code;
	char *text;
	size_t code_count, code_capacity;
	size_t text_bytes, text_capacity;
	size_t target;   /* nothing before this may be folded with what stands behind: a jump ends here */
	uint32_t height; /* values on the stack here */
	int error;       /* the first one. All calls but deinit do nothing after it */
};

/* Where a builder stood. */
struct builder_mark {
	size_t code_count, text_bytes, target;
	uint32_t height;
};

/* `builder` is zero but for its allocator. */
void faas__filter_builder_deinit(struct builder *builder);

/* Appends an instruction that takes `takes` values from the stack and puts one there, and folds it if it can. */
void faas__filter_emit(struct builder *builder, struct instruction instruction, uint32_t takes);

/* Room for text of at most `bytes` bytes; NULL: an error. Then appends an instruction that has what was written there:
 * the text at a, its bytes in b, and a NUL behind it. */
char *faas__filter_text_begin(struct builder *builder, size_t bytes);
void faas__filter_text_end(struct builder *builder, struct instruction instruction, uint32_t takes, size_t bytes);

/* Appends an instruction that jumps to where `land` is called with what this returned. */
size_t faas__filter_emit_jump(struct builder *builder, enum operation operation);
void faas__filter_land(struct builder *builder, size_t jump);

/* Undoes all since the mark was taken. */
struct builder_mark faas__filter_mark(const struct builder *builder);
void faas__filter_rewind(struct builder *builder, struct builder_mark mark);

/* Puts what was built into one block. */
int faas__filter_finish(struct builder *builder, uint32_t type, faas_filter **ret_filter);

/* ---- Compiling (parse.c, filter.c) ------------------------------------------------------------------------------- */

/* Parses into `builder`. The type of the expression's values in *ret_type, or what is wrong in *report. */
int faas__filter_parse(struct builder *builder, const char *expression, uint32_t flags, uint32_t *ret_type,
                       struct faas_filter_error_stats *report);

/* faas_filter_compile with an allocator of ours. Every argument must be given. */
int faas__filter_compile(const char *expression, uint32_t flags, const struct allocator *allocator,
                         faas_filter **ret_filter, struct faas_filter_error_stats *ret_error);

#endif
