/* SPDX-License-Identifier: MIT */
/*
 * What every libfaas header needs: version, export mark, error codes, special values, limits, allocator.
 *
 * Config and stats structs begin with `struct_size`, which the caller sets to sizeof its struct; a zero in any other
 * field means the documented default. A larger struct from a newer caller is taken if the bytes this library does not
 * know are zero (else FAAS_EINVAL); a smaller one from an older caller is taken as if the rest were zero.
 */
#ifndef FAAS_COMMON_H
#define FAAS_COMMON_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FAAS_API __attribute__((visibility("default")))
#else
#define FAAS_API
#endif

#define FAAS_VERSION_MAJOR 0
#define FAAS_VERSION_MINOR 1
#define FAAS_VERSION_PATCH 0

/* ---- Opaque types ------------------------------------------------------------------------------------------------ */

typedef struct faas_runtime faas_runtime;       /* one scheduler with its functions, queues and threads */
typedef struct faas_function faas_function;     /* a registered function; counted */
typedef struct faas_event faas_event;           /* what a handler reads; never changes */
typedef struct faas_emission faas_emission;     /* what became of one emitted event; counted */
typedef struct faas_invocation faas_invocation; /* one function called for one event; counted */
typedef struct faas_context faas_context;       /* one attempt, as its handler sees it */
typedef struct faas_clock faas_clock;           /* a source of time; counted */
typedef struct faas_deferral faas_deferral;     /* the right to complete a deferred invocation; counted */

/* ---- Special values ---------------------------------------------------------------------------------------------- */

#define FAAS_NEVER (-1)     /* a duration: never */
#define FAAS_UNLIMITED (-1) /* a limit: none */
#define FAAS_NONE (-1)      /* a count whose zero means the default: zero */

/* ---- Error codes: zero or a negative number, each with one meaning ----------------------------------------------- */

#define FAAS_OK 0
#define FAAS_EINVAL (-1)        /* an argument is NULL, out of range, or of an unknown size */
#define FAAS_ENOMEM (-2)        /* the allocator refused */
#define FAAS_ETHREAD (-3)       /* a thread, mutex or condition variable could not be made */
#define FAAS_ESYSTEM (-4)       /* another system call failed */
#define FAAS_EFORKED (-5)       /* this is a forked child: it may call nothing */
#define FAAS_ENAME (-6)         /* a function name is not 1 to 64 of [A-Za-z0-9_-] */
#define FAAS_EEXIST (-7)        /* the name is taken, or the callback is set already */
#define FAAS_ENOTFOUND (-8)     /* no such function, binding or attribute */
#define FAAS_EPATTERN (-9)      /* a binding's pattern is malformed */
#define FAAS_ETYPE (-10)        /* an event's type is missing, empty or malformed */
#define FAAS_EATTRIBUTE (-11)   /* an attribute's name, type or value is not one CloudEvents allows, or it came twice */
#define FAAS_EATTRIBUTES (-12)  /* more attributes than FAAS_MAX_ATTRIBUTES */
#define FAAS_ETOOLONG (-13)     /* a string is longer than its limit */
#define FAAS_ETOOBIG (-14)      /* event data, attributes together, or an answer are larger than their limit */
#define FAAS_ETEXT (-15)        /* a string is not UTF-8 */
#define FAAS_EFULL (-16)        /* the function's queue is full, in events or in bytes */
#define FAAS_ERUNTIMEFULL (-17) /* the runtime's queues together are full, in events or in bytes */
#define FAAS_ECLOSED (-18)      /* the runtime drains or is closed */
#define FAAS_EFUNCTIONS (-19)   /* more functions than FAAS_MAX_FUNCTIONS */
#define FAAS_EBINDINGS (-20)    /* more bindings than FAAS_MAX_BINDINGS */
#define FAAS_ELOOP (-21)        /* a chain of events caused by events is longer than FAAS_MAX_HOPS */
#define FAAS_EPENDING (-22)     /* not settled yet: the wait's time ran out first */
#define FAAS_EAGAIN (-23)       /* manual mode: nothing can run until time moves or the host acts */
#define FAAS_EDEADLK (-24)      /* the wait could never end: the caller holds what it would wait for */
#define FAAS_EBUSY (-25)        /* handlers still run; call again */
#define FAAS_EFAILED (-26)      /* the handler returned a failure */
#define FAAS_ETIMEDOUT (-27)    /* the deadline, or the caller's timeout, passed first */
#define FAAS_ECANCELLED (-28)   /* cancelled: by its handle, by unregistering, or by closing */
#define FAAS_EDROPPED (-29)     /* pushed out of a full queue by a newer event */
#define FAAS_EINIT (-30)        /* the worker's init failed or outlived its deadline */
#define FAAS_ESTATE (-31)       /* the call does not fit where it was made, such as a reply from init */
#define FAAS_EREFUSED (-32)     /* FAAS_EMIT_ALL: another function refused, so none took the event */
#define FAAS_ETHROTTLED (-33)   /* the function's rate would make the call wait past its timeout */
#define FAAS_ESETTLED (-34)     /* completed, cancelled or past its deadline already */
#define FAAS_ERESERVED (-35)    /* more concurrency is reserved than the runtime has to give */
#define FAAS_EEXPIRED (-36)     /* max_age_ms passed before an attempt succeeded */
#define FAAS_EABANDONED (-37)   /* deferred, and the last token was given back without a completion */

/* Of filters (faas/filter.h). */
#define FAAS_EFILTER (-40)         /* the expression is malformed, or of the wrong type */
#define FAAS_EFILTERLONG (-41)     /* the expression is longer than FAAS_MAX_FILTER */
#define FAAS_EFILTERDEPTH (-42)    /* the expression is nested deeper than FAAS_MAX_FILTER_DEPTH */
#define FAAS_EFILTERVALUES (-43)   /* the expression needs more than FAAS_MAX_FILTER_VALUES values at once */
#define FAAS_EFILTERSIZE (-44)     /* the compiled expression is larger than FAAS_MAX_FILTER_PROGRAM */
#define FAAS_EFILTERTEXT (-45)     /* an evaluation builds more text than FAAS_MAX_FILTER_TEXT */
#define FAAS_EFILTERSTEPS (-46)    /* an evaluation takes more steps than FAAS_MAX_FILTER_STEPS */
#define FAAS_EFILTERMATH (-47)     /* CESQL's MathError: a division by zero or an overflow */
#define FAAS_EFILTERCAST (-48)     /* CESQL's CastError: a value has no counterpart in the type that was needed */
#define FAAS_EFILTERMISSING (-49)  /* CESQL's MissingAttributeError: the event has no such attribute */
#define FAAS_EFILTERFUNCTION (-50) /* CESQL's MissingFunctionError: no function of that name and number of arguments */
#define FAAS_EFILTERCALL (-51)     /* CESQL's FunctionEvaluationError: an argument is out of the function's range */

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

#define FAAS_MAX_NAME 64              /* bytes in a function's name: FAAS_ENAME */
#define FAAS_MAX_TYPE 1024            /* bytes in an event's type or a binding's pattern: FAAS_ETOOLONG */
#define FAAS_MAX_STRING 4096          /* bytes in any other attribute or content type: FAAS_ETOOLONG */
#define FAAS_MAX_ATTRIBUTES 64        /* extension attributes of one event: FAAS_EATTRIBUTES */
#define FAAS_MAX_ATTRIBUTE_BYTES 65000 /* bytes of all attributes of one event together, 16 more for each: FAAS_ETOOBIG */
#define FAAS_MAX_DATA (1 << 30)       /* bytes of data in one event or answer: FAAS_ETOOBIG */
#define FAAS_MAX_FUNCTIONS 1000000    /* functions registered in one runtime: FAAS_EFUNCTIONS */
#define FAAS_MAX_BINDINGS 4000000     /* bindings in one runtime: FAAS_EBINDINGS */
#define FAAS_MAX_QUEUE_EVENTS 16000000 /* events in one function's queue: FAAS_EINVAL at registration */
#define FAAS_MAX_THREADS 4096         /* pool threads of one runtime: FAAS_EINVAL at open */
#define FAAS_MAX_HOPS 16              /* events caused by events, in a row: FAAS_ELOOP */
#define FAAS_MAX_ATTEMPTS 1000        /* attempts of one invocation: FAAS_EINVAL at registration */
#define FAAS_MAX_RATE 1000000000      /* attempts a second, or in a burst: FAAS_EINVAL at registration */
#define FAAS_MAX_DEAD_LETTERS 16000000 /* dead letters of one function: FAAS_EINVAL at registration */
#define FAAS_MAX_DEPTH 16             /* handlers nested on one thread by waiting; deeper waits park the thread */
#define FAAS_MAX_DURATION_MS 3155760000000 /* 100 years; longer durations are FAAS_EINVAL */
#define FAAS_MAX_FILTER 16384         /* bytes of a filter expression: FAAS_EFILTERLONG */
#define FAAS_MAX_FILTER_DEPTH 64      /* operands inside operands of an expression: FAAS_EFILTERDEPTH */
#define FAAS_MAX_FILTER_VALUES 128    /* arguments and operands that wait for each other: FAAS_EFILTERVALUES */
#define FAAS_MAX_FILTER_PROGRAM 65536 /* bytes of a compiled expression: FAAS_EFILTERSIZE */
#define FAAS_MAX_FILTER_TEXT 65536    /* bytes of text that one evaluation builds: FAAS_EFILTERTEXT */
#define FAAS_MAX_FILTER_STEPS 1000000 /* bytes that one evaluation looks at one by one: FAAS_EFILTERSTEPS */
#define FAAS_ID_SIZE 40               /* bytes that hold any id the library makes, with its NUL */

/* ---- Allocator --------------------------------------------------------------------------------------------------- */

/**
 * Where the library gets its memory. `alloc` returns `bytes` bytes at a multiple of `alignment` (a power of two), or
 * NULL; `free` takes back a block with the same size and alignment it was made with. Both may be called from any
 * thread at any time and must not call back into the library. The default uses the C library, and maps large aligned
 * blocks from the system so that they can be given back.
 */
typedef struct faas_allocator_config {
	uint32_t struct_size;
	uint32_t reserved;
	void *(*alloc)(void *user, uint64_t bytes, uint64_t alignment);
	void (*free)(void *user, void *memory, uint64_t bytes, uint64_t alignment);
	void *user;
	void *reserved_pointer;
} faas_allocator_config;

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/**
 * The text of an error code, such as "the function's queue is full".
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text is static
 * Units:    none
 * Returns:  the text; "unknown error" for a number that is no code
 */
FAAS_API const char *faas_strerror(int code);

/**
 * The constant's name of an error code, such as "FAAS_EFULL".
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text is static
 * Units:    none
 * Returns:  the name; "FAAS_EUNKNOWN" for a number that is no code
 */
FAAS_API const char *faas_error_name(int code);

/**
 * The version of the library that runs, which may be newer than the header's FAAS_VERSION_...
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    major * 1,000,000 + minor * 1,000 + patch
 * Returns:  the number, always positive
 */
FAAS_API int faas_version(void);

#ifdef __cplusplus
}
#endif

#endif
