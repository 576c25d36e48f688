/* SPDX-License-Identifier: MIT */
/*
 * Events, the bindings that lead them to functions, and emissions, which tell what became of them.
 *
 * An event carries the context attributes of CloudEvents 1.0 (https://github.com/cloudevents/spec) and a payload of
 * bytes. It is copied once when it is emitted and never changes after that.
 */
#ifndef FAAS_EVENT_H
#define FAAS_EVENT_H

#include <faas/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct faas_filter_error_stats; /* faas/filter.h */

/* ---- Attributes -------------------------------------------------------------------------------------------------- */

/* The types of CloudEvents attributes. */
#define FAAS_ATTRIBUTE_STRING 1
#define FAAS_ATTRIBUTE_BOOLEAN 2
#define FAAS_ATTRIBUTE_INTEGER 3 /* -2,147,483,648 to 2,147,483,647 */
#define FAAS_ATTRIBUTE_BINARY 4
#define FAAS_ATTRIBUTE_URI 5
#define FAAS_ATTRIBUTE_URI_REFERENCE 6
#define FAAS_ATTRIBUTE_TIMESTAMP 7

/**
 * One extension attribute. Its name is 1 to 20 of [a-z0-9], none of the names CloudEvents itself defines, and not
 * given twice. URIs are checked for characters no URI may hold; a URI begins with a scheme.
 */
typedef struct faas_attribute_config {
	uint32_t struct_size;
	int32_t type;      /* FAAS_ATTRIBUTE_...; 0: a string */
	int64_t integer;   /* BOOLEAN: 0 or 1; INTEGER: its value; TIMESTAMP: nanoseconds since 1970-01-01 UTC */
	uint64_t bytes;    /* BINARY: bytes at `data` */
	const char *name;
	const void *data;  /* STRING, URI, URI_REFERENCE: a NUL-terminated UTF-8 string; BINARY: bytes */
} faas_attribute_config;

/* ---- Emitting ---------------------------------------------------------------------------------------------------- */

/** All matched functions take the event, or none does. The runtime's room is asked for first: where that is full, not even
    a function that drops its oldest takes it. */
#define FAAS_EMIT_ALL 1u

/**
 * An event to be emitted or to invoke a function with. Strings are NUL-terminated UTF-8 without control characters;
 * NULL is "not given", and an empty string is FAAS_EATTRIBUTE where CloudEvents wants one that is not empty. Bytes of
 * another kind, such as file names, belong in `data`.
 */
typedef struct faas_event_config {
	uint32_t struct_size;
	uint32_t flags;         /* FAAS_EMIT_... */
	int64_t unix_ns;        /* `time`, in nanoseconds since 1970-01-01 UTC, not negative. 0: the time of the emit */
	int64_t wait_ms;        /* wait this long for room in full queues. 0: not at all; FAAS_NEVER: without limit, and
	                           for ever where handlers hang for good. Only on host threads of a runtime that has
	                           threads; elsewhere ignored */
	int64_t timeout_ms;     /* the caller gives up this long after it was accepted: what has not begun then expires when
	                           its turn comes, and no attempt runs longer. 0 or FAAS_NEVER: never */
	int64_t reserved;
	uint64_t data_bytes;
	uint64_t attribute_count;
	const char *type;       /* what happened, in dot-separated tokens: object.created.image. Required to emit */
	const char *source;     /* NULL: the runtime's */
	const char *subject;    /* NULL: none */
	const char *id;         /* unique with `source`. NULL: made by the library */
	const char *datacontenttype; /* NULL: none */
	const char *dataschema; /* a URI. NULL: none */
	const char *key;        /* what ordering goes by; no CloudEvents attribute. NULL: none */
	const void *data;       /* `data_bytes` bytes; may be NULL if that is 0 */
	const faas_attribute_config *attributes; /* `attribute_count` extensions */
	void *reserved_pointer;
} faas_event_config;

/**
 * Emits an event to every function whose bindings match its type: each takes or refuses it for itself.
 *
 * `id`, `source` and `time` that are not given are filled in: a 64-bit prefix drawn at open and a counter; the
 * runtime's `source`; the time of the emit (see faas_event_unix_ns for its grain). With `ret_emission` the caller can
 * wait for the functions, read their answers, and see which refused, and why. Without it the event costs less.
 *
 * Threads:  any, anywhere, also from handlers and callbacks
 * Blocks:   only with `wait_ms`, while a queue is full; nothing is reserved meanwhile
 * Owns:     `event` is copied, and may be changed and used again: a program that emits in a loop fills it in once. The
 *           caller gets one reference to the emission, also when every match refused or nothing matched; on other
 *           failures `*ret_emission` is untouched
 * Units:    as said in faas_event_config
 * Returns:  how many functions took it, 0 if none matched; when some matched and none took it, the first refusal:
 *           FAAS_EFULL, FAAS_ERUNTIMEFULL, FAAS_ENOMEM or (unregistered meanwhile) FAAS_ENOTFOUND; or nothing was
 *           tried: FAAS_EINVAL; FAAS_ETYPE; FAAS_EATTRIBUTE; FAAS_EATTRIBUTES; FAAS_ETOOLONG; FAAS_ETOOBIG;
 *           FAAS_ETEXT; FAAS_ECLOSED; FAAS_ENOMEM; FAAS_ELOOP
 */
FAAS_API int faas_emit_event(faas_runtime *runtime, const faas_event_config *event, faas_emission **ret_emission);

/* ---- Bindings ---------------------------------------------------------------------------------------------------- */

/** A binding: events whose type matches the pattern go to the function. */
typedef struct faas_binding_config {
	uint32_t struct_size;
	uint32_t reserved;
	const char *pattern;  /* dot-separated tokens; `*` is any one token, a last `>` one or more */
	const char *function; /* its name */
	const char *filter;   /* a CESQL expression over the attributes (faas/filter.h): only events for which it is true
	                         pass. NULL: all do */
	struct faas_filter_error_stats *filter_error; /* where to say what is wrong with the filter; its `struct_size` is
	                                                 set by the caller. NULL: nowhere */
} faas_binding_config;

/**
 * Binds a pattern to a function. The rules are those of NATS subjects (https://docs.nats.io/nats-concepts/subjects):
 * tokens are not empty, `*` and `>` are wildcards only as whole tokens, and `>` only as the last one. A function that
 * several of its own bindings match gets an event once.
 *
 * A filter is compiled here, once. An event for which it ends in an error does not pass; such errors are counted, and
 * the first one of a binding is logged.
 *
 * Threads:  any, anywhere; an emit that starts after the return sees the binding
 * Blocks:   no
 * Owns:     `binding` is copied
 * Units:    none
 * Returns:  FAAS_OK; FAAS_EINVAL; FAAS_EPATTERN; FAAS_ETOOLONG; FAAS_ETEXT; FAAS_ENAME; FAAS_ENOTFOUND: no such
 *           function; FAAS_EBINDINGS: too many; FAAS_ENOMEM; FAAS_ECLOSED; and, of the filter, with its place in
 *           `filter_error`: FAAS_EFILTER: malformed, or never a Boolean; FAAS_EFILTERFUNCTION; FAAS_EFILTERLONG;
 *           FAAS_EFILTERDEPTH; FAAS_EFILTERVALUES; FAAS_EFILTERSIZE
 */
FAAS_API int faas_bind(faas_runtime *runtime, const faas_binding_config *binding, uint64_t *ret_id);

/**
 * Removes a binding. Events already taken stay.
 *
 * Threads:  any, anywhere; an emit that starts after the return does not see the binding
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  FAAS_OK; FAAS_ENOTFOUND; FAAS_EINVAL
 */
FAAS_API int faas_unbind(faas_runtime *runtime, uint64_t id);

/** What a binding's filter did. A binding without one counts nothing. */
struct faas_binding_stats {
	uint32_t struct_size;
	uint32_t reserved;
	uint64_t passed;   /* events whose type matched and which passed */
	uint64_t stopped;  /* events whose type matched and for which the filter was false */
	uint64_t errors;   /* events for which it ended in an error */
};

/* The call bears the struct's name, as stat() does, and compilers warn of that in C++. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/**
 * A binding's numbers.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `struct_size` is set by the caller
 * Units:    events
 * Returns:  FAAS_OK; FAAS_ENOTFOUND; FAAS_EINVAL
 */
FAAS_API int faas_binding_stats(faas_runtime *runtime, uint64_t id, struct faas_binding_stats *ret_stats);

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* ---- Reading events ---------------------------------------------------------------------------------------------- */
/* What these return belongs to the event and is valid as long as it: in a handler until the handler returns, through
   an invocation as long as its reference. */

/**
 * The event's type. faas_event_source, _subject, _datacontenttype, _dataschema and _key likewise: NULL where the
 * event has none (it always has a type and a source).
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event
 * Units:    none
 * Returns:  the text, or NULL
 */
FAAS_API const char *faas_event_type(const faas_event *event);

/**
 * The event's source.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event (or the runtime, and lives as long)
 * Units:    none
 * Returns:  the text
 */
FAAS_API const char *faas_event_source(const faas_event *event);

/**
 * The event's subject.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event
 * Units:    none
 * Returns:  the text, or NULL
 */
FAAS_API const char *faas_event_subject(const faas_event *event);

/**
 * The content type of the event's data.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event
 * Units:    none
 * Returns:  the text, or NULL
 */
FAAS_API const char *faas_event_datacontenttype(const faas_event *event);

/**
 * The schema of the event's data.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event
 * Units:    none
 * Returns:  the text, or NULL
 */
FAAS_API const char *faas_event_dataschema(const faas_event *event);

/**
 * The event's ordering key.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event
 * Units:    none
 * Returns:  the text, or NULL
 */
FAAS_API const char *faas_event_key(const faas_event *event);

/**
 * The event's id. One the library made is written into `buffer`, as 16 hex digits, a dash, and a decimal counter.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event if its emitter gave it, else it is `buffer`
 * Units:    `buffer`: at least FAAS_ID_SIZE bytes
 * Returns:  the text
 */
FAAS_API const char *faas_event_id(const faas_event *event, char *buffer);

/**
 * The event's time. One the library filled in has the grain of the clock that running threads publish for each other:
 * on a busy runtime it may lie up to a millisecond before the emit.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    nanoseconds since 1970-01-01 UTC
 * Returns:  the time
 */
FAAS_API int64_t faas_event_unix_ns(const faas_event *event);

/**
 * The event's data. A zero byte that is not counted follows it.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the bytes belong to the event
 * Units:    `*ret_bytes` (may be NULL): bytes; the data begins at a multiple of 8
 * Returns:  the data, never NULL
 */
FAAS_API const void *faas_event_data(const faas_event *event, uint64_t *ret_bytes);

/**
 * How many extension attributes the event has.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  the number
 */
FAAS_API uint64_t faas_event_attribute_count(const faas_event *event);

/**
 * The name of one of the extension attributes, which stand in the order they were given.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text belongs to the event
 * Units:    `index`: from 0
 * Returns:  the name; NULL past the last
 */
FAAS_API const char *faas_event_attribute_name(const faas_event *event, uint64_t index);

/**
 * Reads an extension attribute by name.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     what `ret_attribute` points to belongs to the event; `struct_size` is set by the caller
 * Units:    as said in faas_attribute_config; for texts `bytes` is their length
 * Returns:  FAAS_OK; FAAS_ENOTFOUND; FAAS_EINVAL
 */
FAAS_API int faas_event_attribute(const faas_event *event, const char *name, faas_attribute_config *ret_attribute);

/* ---- Events without a runtime ------------------------------------------------------------------------------------ */

/** What faas_event_unix_ns says of an event that has no time: one of faas_event_new to which none was given. */
#define FAAS_NO_TIME INT64_MIN

/**
 * Makes an event that belongs to no runtime, such as one to try a filter on. What is not given is filled in as by
 * faas_emit_event, except that there is no time then, and `source` is "faas". `wait_ms` and `flags` have no meaning.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `event` is copied; the caller gets the new event and must free it
 * Units:    as said in faas_event_config
 * Returns:  FAAS_OK; FAAS_EINVAL; FAAS_ETYPE; FAAS_EATTRIBUTE; FAAS_EATTRIBUTES; FAAS_ETOOLONG; FAAS_ETOOBIG;
 *           FAAS_ETEXT; FAAS_ENOMEM; FAAS_ESYSTEM: no random bytes for an id
 */
FAAS_API int faas_event_new(const faas_event_config *event, faas_event **ret_event);

/**
 * Frees an event of faas_event_new. NULL, and events of a runtime, are left alone.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     takes the event
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_event_free(faas_event *event);

/* ---- Emissions --------------------------------------------------------------------------------------------------- */

/** What became of an event at one function. */
struct faas_emission_entry_stats {
	uint32_t struct_size;
	int32_t code;                /* FAAS_OK: taken; else why the function refused */
	const char *function;        /* its name; valid as long as the emission */
	faas_invocation *invocation; /* borrowed from the emission; NULL when refused */
};

/** Called once, when every function that took the event is settled. Same rights as faas_settled_fn. */
typedef void faas_emission_settled_fn(faas_emission *emission, void *user);

/**
 * How many functions matched, those that refused included.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  the number
 */
FAAS_API int faas_emission_count(const faas_emission *emission);

/**
 * What became of the event at one of the matched functions, which stand in the order of their registration.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     pointers in `*ret_entry` are borrowed from the emission; `struct_size` is set by the caller
 * Units:    `index`: from 0
 * Returns:  FAAS_OK; FAAS_ENOTFOUND: `index` is past the last; FAAS_EINVAL
 */
FAAS_API int faas_emission_entry(const faas_emission *emission, int index, struct faas_emission_entry_stats *ret_entry);

/**
 * Waits until every function that took the event is settled. Rules for waiting inside a handler are those of
 * faas_invocation_wait.
 *
 * Threads:  any; from a handler by its rules; from a callback FAAS_EDEADLK
 * Blocks:   up to `timeout_ms`
 * Owns:     nothing
 * Units:    milliseconds; 0: only look, from anywhere, and run nothing; FAAS_NEVER: without limit
 * Returns:  FAAS_OK: all are settled; else as faas_invocation_wait
 */
FAAS_API int faas_emission_wait(faas_emission *emission, int64_t timeout_ms);

/**
 * Cancels every invocation of the emission that is not settled, as faas_invocation_cancel does.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  how many were cancelled by this call; FAAS_EINVAL
 */
FAAS_API int faas_emission_cancel(faas_emission *emission);

/**
 * Asks for one call when all is settled; at once, on this thread, if it is already.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the library holds a reference until the call has returned; `user` stays the caller's
 * Units:    none
 * Returns:  FAAS_OK; FAAS_EEXIST: a callback was set before; FAAS_EINVAL
 */
FAAS_API int faas_emission_on_settled(faas_emission *emission, faas_emission_settled_fn *callback, void *user);

/**
 * Takes one more reference.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference more
 * Units:    none
 * Returns:  `emission`
 */
FAAS_API faas_emission *faas_emission_ref(faas_emission *emission);

/**
 * Gives one reference back. The invocations go on. NULL does nothing.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     takes the caller's reference
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_emission_unref(faas_emission *emission);

#ifndef __cplusplus
/** FAAS_EVENT(.type = "a.b", .data = p, .data_bytes = n): a config whose other fields are the defaults. */
#define FAAS_EVENT(...) (&(faas_event_config){.struct_size = sizeof(faas_event_config), __VA_ARGS__})
/** FAAS_BINDING(.pattern = "a.*", .function = "f"). */
#define FAAS_BINDING(...) (&(faas_binding_config){.struct_size = sizeof(faas_binding_config), __VA_ARGS__})
/** FAAS_ATTRIBUTE(.name = "draft", .data = "yes"): one element of an array of attributes. */
#define FAAS_ATTRIBUTE(...) {.struct_size = sizeof(faas_attribute_config), __VA_ARGS__}
#endif

#ifdef __cplusplus
}
#endif

#endif
