/* SPDX-License-Identifier: MIT */
/* One evaluation: its values, its errors, what it may spend. */
#ifndef FAAS_FILTER_RUN_H
#define FAAS_FILTER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/atomics.h"
#include "base/event.h"
#include "filter/program.h"

struct value {
	const char *text; /* STRING: never NULL; in the event, the program, or built */
	union {
		int32_t integer; /* INTEGER; BOOLEAN: 0 or 1 */
		uint32_t bytes;  /* STRING */
	};
	uint32_t type; /* FAAS_ATTRIBUTE_BOOLEAN, FAAS_ATTRIBUTE_INTEGER or FAAS_ATTRIBUTE_STRING */
};

#define NEAR_BYTES 256u /* of text are built without allocating */

struct run {
	const struct program *program;
	const faas_event *event; /* NULL: of what is folded while compiling */
	const struct allocator *allocator;
	int error;      /* ends the run after the instruction that met it */
	bool stopped;   /* that was a limit: no value counts */
	int32_t steps;  /* left */
	uint32_t built; /* bytes of text */
	uint32_t near_used;
	struct arena arena; /* what does not fit in `near` */
	char near[NEAR_BYTES];
	struct value stack[FAAS_MAX_FILTER_VALUES];
};

/* ---- Running (run.c) --------------------------------------------------------------------------------------------- */

void faas__filter_run_init(struct run *run, const struct program *program, const struct allocator *allocator,
                           const faas_event *event);
void faas__filter_run_deinit(struct run *run);

/* Runs the program. Its value, valid until deinit, also where `error` says that there was one. */
struct value faas__filter_execute(struct run *run);

/* ---- Spending (value.c) ------------------------------------------------------------------------------------------ */

/* Notes an error of the language, beside which the operator yields a value; or a limit, which leaves none. */
void faas__filter_fail(struct run *run, int code);
void faas__filter_stop(struct run *run, int code);

/* Pays for looking at `steps` characters. False: too many, and the run is stopped. */
static inline bool faas__filter_spend(struct run *run, size_t steps)
{
	if (likely(steps <= (size_t)run->steps)) {
		run->steps -= (int32_t)steps;
		return true;
	}
	faas__filter_stop(run, FAAS_EFILTERSTEPS);
	return false;
}

/* Room for text that lasts as long as the run. NULL: too much, or no memory, and the run is stopped. */
char *faas__filter_room(struct run *run, size_t bytes);

/* ---- Values (value.c) -------------------------------------------------------------------------------------------- */

static inline struct value faas__filter_boolean(bool boolean)
{
	return (struct value){.integer = boolean, .type = FAAS_ATTRIBUTE_BOOLEAN};
}

static inline struct value faas__filter_integer(int32_t integer)
{
	return (struct value){.integer = integer, .type = FAAS_ATTRIBUTE_INTEGER};
}

static inline struct value faas__filter_string(const char *text, size_t bytes)
{
	return (struct value){.text = text, .bytes = (uint32_t)bytes, .type = FAAS_ATTRIBUTE_STRING};
}

/* false, 0 or ""; of TYPE_ANY: false. */
struct value faas__filter_zero(uint32_t type);

/* Whether a value could be cast. */
bool faas__filter_can_cast(const struct value *x, uint32_t type);

/* Casts a value. It is the zero of the type, and there is an error, if it cannot be. */
void faas__filter_convert(struct run *run, struct value *x, uint32_t type);

static inline void faas__filter_cast(struct run *run, struct value *x, uint32_t type)
{
	if (unlikely(x->type != type))
		faas__filter_convert(run, x, type);
}

/* ---- What operators do (operators.c, like.c, functions.c) -------------------------------------------------------- */
/* Operands may be cast where they stand; results take the place of x. */

void faas__filter_not(struct run *run, struct value *x);
void faas__filter_negate(struct run *run, struct value *x);
void faas__filter_binary(struct run *run, const struct instruction *at, struct value *x, struct value *y);

/* Whether x = y, with y cast to the type of x. */
bool faas__filter_is_element(struct run *run, const struct value *x, struct value *y);

/* Rewrites a pattern of `bytes` bytes, which stands LIKE_HEADER bytes behind `at`, as faas__filter_like wants it. What
 * it then has in bytes, from `at` on. */
#define LIKE_HEADER 4u
size_t faas__filter_like_prepare(char *at, size_t bytes);
bool faas__filter_like(struct run *run, struct value *x, const char *pattern, size_t bytes);

/* Finds a function by name and number of arguments. Its number, or -1; the type of its values in *ret_type. */
int faas__filter_function_find(const char *name, size_t bytes, size_t arguments, uint32_t *ret_type);
void faas__filter_call(struct run *run, unsigned function, struct value *x, unsigned count);

/* ---- Attributes (attribute.c) ------------------------------------------------------------------------------------ */

/* Which context attribute has the name, in any case; ATTRIBUTE_EXTENSION: none. */
enum context_attribute faas__filter_attribute_find(const char *name, size_t bytes);

bool faas__filter_attribute_exists(const faas_event *event, enum context_attribute attribute);
bool faas__filter_extension_exists(const faas_event *event, const char *name);

/* The attribute's value, or false and an error. */
struct value faas__filter_attribute(struct run *run, enum context_attribute attribute);
struct value faas__filter_extension(struct run *run, const char *name);

#endif
