/* SPDX-License-Identifier: MIT */
/*
 * Functions: a unique name, a queue with bounds, limits, and the code to run.
 *
 * A worker is one initialised copy of a function: `init` makes its state (a cold start), handlers run on it one at a
 * time, and `fini` undoes it when it has idled too long or is no longer needed. State needs no lock of its own.
 */
#ifndef FAAS_FUNCTION_H
#define FAAS_FUNCTION_H

#include <faas/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A handler. 0 is success, anything else a failure. It runs with no lock held, on a pool thread (or the thread that
 * called faas_run, or that waits for this very invocation), and may call everything in this library except faas_run,
 * faas_drain and faas_close. `context` and `event` are valid until it returns, however late that is.
 */
typedef int faas_handler_fn(faas_context *context, const faas_event *event);

/**
 * Makes a worker's state; 0 is success, anything else a failure. A NULL state is a fine state. After its deadline
 * (`init_deadline_ms`) the worker is given up: when init returns late with success, fini is called at once.
 * The context has its own time, user pointer and log; it has no event to answer.
 */
typedef int faas_init_fn(faas_context *context, void **ret_state);

/**
 * Undoes one successful init (or, without an init, one worker, with a NULL state), exactly once, on a pool thread or the thread that closes, under no lock. It may emit,
 * invoke asynchronously and register; waiting is FAAS_EDEADLK.
 */
typedef void faas_fini_fn(void *state, void *user);

/** A synchronous faas_invoke runs on the caller's own thread when a worker is free or may be started. */
#define FAAS_FUNCTION_INLINE 1u

#define FAAS_FULL_REJECT 0      /* a full queue refuses the new event with FAAS_EFULL */
#define FAAS_FULL_DROP_OLDEST 1 /* a full queue drops its oldest event, counted as dropped */

/** Settings of a function. Zero in any field is the default given beside it. */
typedef struct faas_function_config {
	uint32_t struct_size;
	uint32_t flags;            /* FAAS_FUNCTION_... */
	int64_t deadline_ms;       /* of one attempt, from the handler's start. 0: 3,000; FAAS_NEVER */
	int64_t init_deadline_ms;  /* of one init. 0: 10,000; FAAS_NEVER */
	int64_t init_backoff_ms;   /* after a failed init nothing starts for this long, doubled by each further failure up
	                              to 64 times; warm workers go on. 0: 100; FAAS_NONE: no pause (but 100 ms between
	                              starts of provisioned workers that fail) */
	int64_t keep_warm_ms;      /* an idle worker is retired after this. 0: 600,000; FAAS_NEVER */
	int64_t queue_bytes;       /* bound on the queue, in memory. 0: 256 MiB; FAAS_UNLIMITED */
	int32_t queue_events;      /* bound on the queue. 0: 1,000,000; at most FAAS_MAX_QUEUE_EVENTS */
	int32_t queue_full;        /* FAAS_FULL_REJECT (0) or FAAS_FULL_DROP_OLDEST */
	int32_t max_concurrency;   /* attempts at once, overruns included. 0: FAAS_UNLIMITED */
	int32_t provisioned;       /* workers made ahead of need and kept. 0: none; at most max_concurrency */
	int32_t weight;            /* share of thread time when threads are short, 1 to 1,000. 0: 100 */
	int32_t reserved;
	faas_handler_fn *handler;  /* required */
	faas_init_fn *init;        /* NULL: none, workers start with a NULL state */
	faas_fini_fn *fini;        /* NULL: none */
	void *user;                /* for faas_context_user */
	void (*release)(void *user); /* called once, after the last use of `user`, on a pool thread or on the thread whose
	                                call ended that use, under no lock; never after a failed registration. NULL: none */
	void *reserved_pointer;
} faas_function_config;

/**
 * Registers a function. Events reach it through bindings and invokes.
 *
 * On failure nothing has changed, and `release` is not called.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `name` and `config` are copied; `user` is the library's until `release`
 * Units:    as said in faas_function_config
 * Returns:  FAAS_OK; FAAS_EINVAL: no handler, or a field is out of range; FAAS_ENAME; FAAS_EEXIST: the name is taken;
 *           FAAS_EFUNCTIONS: too many; FAAS_ENOMEM; FAAS_ECLOSED
 */
FAAS_API int faas_register_function(faas_runtime *runtime, const char *name, const faas_function_config *config);

/**
 * Unregisters a function: its bindings go, what is queued settles as cancelled, what runs finishes, its workers
 * retire, and the name is free at once. Its numbers stay in the runtime's totals.
 *
 * Threads:  any, anywhere, also from the function's own handler
 * Blocks:   for a moment, until emits that have already seen the function are done with it
 * Owns:     the library's hold on `user` ends when the last handler and fini have returned: then `release` runs
 * Units:    none
 * Returns:  FAAS_OK; FAAS_ENOTFOUND: no such function; FAAS_ENAME; FAAS_EINVAL
 */
FAAS_API int faas_unregister_function(faas_runtime *runtime, const char *name);

/**
 * Finds a function by name, to skip the look-up on hot paths.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference; it keeps the numbers readable, but neither the function registered nor its
 *           workers alive
 * Units:    none
 * Returns:  FAAS_OK; FAAS_ENOTFOUND; FAAS_ENAME; FAAS_EINVAL; FAAS_ECLOSED
 */
FAAS_API int faas_function_find(faas_runtime *runtime, const char *name, faas_function **ret_function);

/**
 * The function's name.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text is valid as long as the reference
 * Units:    none
 * Returns:  the name
 */
FAAS_API const char *faas_function_name(const faas_function *function);

/**
 * Takes one more reference.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference more
 * Units:    none
 * Returns:  `function`
 */
FAAS_API faas_function *faas_function_ref(faas_function *function);

/**
 * Gives one reference back. NULL does nothing.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     takes the caller's reference
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_function_unref(faas_function *function);

#ifndef __cplusplus
/** FAAS_FUNCTION(.handler = resize, .deadline_ms = 5000): a config whose other fields are the defaults. */
#define FAAS_FUNCTION(...) (&(faas_function_config){.struct_size = sizeof(faas_function_config), __VA_ARGS__})
#endif

#ifdef __cplusplus
}
#endif

#endif
