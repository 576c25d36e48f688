/* SPDX-License-Identifier: MIT */
/*
 * Filters: expressions over an event's attributes, in version 1 of CESQL, the expression language of CloudEvents
 * (https://github.com/cloudevents/spec, cesql/spec.md).
 *
 *     subject LIKE 'images/%' AND NOT EXISTS draft
 *
 * An expression is compiled once, then evaluated against any number of events, by any number of threads at once. Every
 * evaluation ends with a value, which is a Boolean, an Integer or a String, and an error or none. It is bounded in
 * time, stack and memory whatever the expression and the event hold.
 *
 * The first error ends the evaluation (CESQL's "fail fast mode"). The value beside it is what the operator or function
 * that failed yields, if it is the outermost one: `LEFT('abc', -2)` is 'abc' and FAAS_EFILTERCALL. Else it is false, 0
 * or '', by the type of the whole: `missing * 5` is 0 and FAAS_EFILTERMISSING.
 *
 * Of the rules that surprise: `AND`, `OR` and `XOR` have one precedence and go from left to right, so mixed ones want
 * parentheses; `NOT` and `-` bind before anything else, so `NOT x = y` is `(NOT x) = y`; `=` compares as the type of
 * its right side.
 *
 * Attributes are read by their names in lower case, however the expression spells them: `id`, `source`, `type`,
 * `subject`, `time`, `datacontenttype`, `dataschema`, `specversion` ("1.0") and the extensions. Boolean and Integer
 * extensions keep their type; all others are Strings: a Timestamp as RFC 3339 has it, in UTC with as many digits as it
 * needs (2024-02-29T12:00:00.5Z), Binary in base64. What ordering goes by (`key`) is no attribute. The words AND, OR,
 * XOR, NOT, LIKE, IN, EXISTS, TRUE and FALSE cannot be read as attributes.
 *
 * Where the specification leaves a choice: an Integer operation that overflows is 0 and FAAS_EFILTERMATH; a failed
 * cast gives the zero of its type, and its operator goes on with that; all elements after `IN` are evaluated;
 * characters are Unicode code points, and LOWER and UPPER know those that map to one character; a backslash in a
 * string is itself unless it stands before the kind of quote that ends the string. `NOT 5` is true and
 * FAAS_EFILTERCAST, as the conformance kit has it. IS_BOOL(x) and IS_INT(x), which tell whether a cast would succeed,
 * are there beside the functions of the specification.
 */
#ifndef FAAS_FILTER_H
#define FAAS_FILTER_H

#include <faas/common.h>
#include <faas/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct faas_filter faas_filter; /* a compiled expression; never changes */

/* ---- Compiling --------------------------------------------------------------------------------------------------- */

/** The expression is to tell whether an event matches: refuse what never could, and unknown functions. */
#define FAAS_FILTER_PREDICATE 1u

/** A filter to be compiled. */
typedef struct faas_filter_config {
	uint32_t struct_size;
	uint32_t flags;         /* FAAS_FILTER_... */
	const char *expression; /* CESQL, NUL-terminated UTF-8 */
	const faas_allocator_config *allocator; /* copied. NULL: the C library's */
} faas_filter_config;

/** Where an expression is wrong, and what was expected there. */
struct faas_filter_error_stats {
	uint32_t struct_size;
	int32_t code;       /* as faas_filter_compile returned it */
	uint64_t position;  /* of the first byte that does not fit, from 0 */
	char message[112];  /* such as: expected an operator or the end, found ")" */
};

/**
 * Compiles an expression.
 *
 * After a failure nothing is left behind and `*ret_filter` is untouched. `*ret_error` (may be NULL) tells what is wrong
 * where the expression is at fault, which is every FAAS_EFILTER... and FAAS_ETEXT; else its `code` is FAAS_OK.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `config` is copied; the caller gets the filter and must free it
 * Units:    `position`: bytes
 * Returns:  FAAS_OK; FAAS_EINVAL: a NULL, an unknown flag or a bad struct_size; FAAS_ENOMEM; FAAS_ETEXT;
 *           FAAS_EFILTER: malformed, or of a type that FAAS_FILTER_PREDICATE does not take;
 *           FAAS_EFILTERFUNCTION: an unknown function, with FAAS_FILTER_PREDICATE only;
 *           FAAS_EFILTERLONG; FAAS_EFILTERDEPTH; FAAS_EFILTERVALUES; FAAS_EFILTERSIZE: a limit
 */
FAAS_API int faas_filter_compile(const faas_filter_config *config, faas_filter **ret_filter,
                                 struct faas_filter_error_stats *ret_error);

/**
 * Frees a filter. No evaluation may be under way. NULL does nothing.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     takes the filter
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_filter_free(faas_filter *filter);

/* ---- Evaluating -------------------------------------------------------------------------------------------------- */

/** The value of an expression. */
struct faas_filter_value_stats {
	uint32_t struct_size;
	int32_t type;    /* FAAS_ATTRIBUTE_BOOLEAN, FAAS_ATTRIBUTE_INTEGER or FAAS_ATTRIBUTE_STRING */
	int64_t integer; /* INTEGER: its value; BOOLEAN: 0 or 1; else 0 */
	uint64_t bytes;  /* STRING: its whole length without a NUL, also where the buffer was too small; else 0 */
};

/**
 * Evaluates a filter: a value, and an error or none.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `buffer` and `ret_value` stay the caller's; `struct_size` is set by the caller
 * Units:    `buffer_bytes`: bytes at `buffer`, which takes a String value and a NUL, cut to what fits; may be NULL if 0
 * Returns:  FAAS_OK: `*ret_value` is the value;
 *           FAAS_EFILTERMATH; FAAS_EFILTERCAST; FAAS_EFILTERMISSING; FAAS_EFILTERFUNCTION; FAAS_EFILTERCALL: an
 *           error of the language, and `*ret_value` is the value beside it;
 *           FAAS_EFILTERTEXT; FAAS_EFILTERSTEPS: a limit; FAAS_ENOMEM; and `*ret_value` is false, 0 or '', by the
 *           type of the expression;
 *           FAAS_EINVAL: a NULL or a bad struct_size, and nothing is set
 */
FAAS_API int faas_filter_evaluate(const faas_filter *filter, const faas_event *event, char *buffer,
                                  uint64_t buffer_bytes, struct faas_filter_value_stats *ret_value);

/**
 * Whether an event passes a filter: the value is the Boolean true, and there is no error.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  1: it passes; 0: it does not, and `*ret_error` (may be NULL) is FAAS_OK, one of the codes of
 *           faas_filter_evaluate, or FAAS_EFILTER: the value is no Boolean. Where it passes, that is FAAS_OK
 */
FAAS_API int faas_filter_matches(const faas_filter *filter, const faas_event *event, int *ret_error);

#ifndef __cplusplus
/** FAAS_FILTER(.expression = "subject LIKE 'images/%'"): a config whose other fields are the defaults. */
#define FAAS_FILTER(...) (&(faas_filter_config){.struct_size = sizeof(faas_filter_config), __VA_ARGS__})
#endif

#ifdef __cplusplus
}
#endif

#endif
