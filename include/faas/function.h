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

/** A synchronous faas_invoke runs on the caller's own thread when a worker is free or may be started; but not where events
    are ordered by their key. */
#define FAAS_FUNCTION_INLINE 1u

#define FAAS_FULL_REJECT 0      /* a full queue refuses the new event with FAAS_EFULL */
#define FAAS_FULL_DROP_OLDEST 1 /* a full queue drops its oldest event, counted as dropped */

#define FAAS_ORDER_NONE 0   /* events run as threads and workers are free */
#define FAAS_ORDER_BY_KEY 1 /* events of one key run one at a time, in the order they were accepted */

#define FAAS_WARM_KEEP 0   /* idle workers stay warm for keep_warm_ms */
#define FAAS_WARM_DEMAND 1 /* as many stay warm as the load of the last minute asks for */

/**
 * Settings of a function. Zero in any field is the default given beside it.
 *
 * Retries are for asynchronous invocations (emitted, or by faas_invoke_async); a synchronous one is a single attempt.
 * An attempt that fails or times out, or whose init does, is made again after a random delay: before retry number n it
 * is drawn evenly from 0 to min(backoff_max_ms, backoff_ms * 2^(n-1)) (the "full jitter" of Marc Brooker, "Exponential
 * Backoff And Jitter", AWS Architecture Blog, 2015; `jitter_percent` says how much of it is drawn). An invocation that
 * waits for its retry keeps its place in the queue's bounds, and is taken even where others filled the queue meanwhile.
 * What waits for a thread, a worker, a rate or a key has not been attempted.
 *
 * With FAAS_ORDER_BY_KEY an event waits until every earlier one of its key is settled and no handler runs for it any
 * more: retries, overruns and deferrals keep the head of their key. Events without a key are not ordered. Without an
 * order a thread goes on first with what its own handlers emitted, so that a tree of events stays small; after 200 us of
 * that, others have their turn.
 *
 * `rate_per_s` is a token bucket of `rate_burst` tokens: every attempt takes one when it starts; the queue absorbs what
 * comes faster. `reserved_concurrency` is a part of the runtime's max_concurrency that only this function can use;
 * beyond it the function takes from what nobody has reserved.
 *
 * FAAS_WARM_DEMAND: once a second the arrivals and the mean time of an attempt are smoothed with a half-life of ten
 * seconds. By Little's law their product is how many workers are busy at a time; that many, and four times its square root
 * more for chance (after the square-root rule of Halfin and Whitt, Operations Research 29, 1981), are kept and started
 * ahead of need, within max_concurrency; a worker beyond that, and beyond `provisioned`, is retired when it has idled for
 * twenty seconds (or keep_warm_ms, if that is shorter), but for the last, which stays keep_warm_ms.
 */
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
	int32_t attempts;          /* of one asynchronous invocation, 1 to FAAS_MAX_ATTEMPTS. 0: 3; FAAS_UNLIMITED: until
	                              its age runs out (or after 65,535) */
	int64_t max_age_ms;        /* an asynchronous event that is older begins no attempt and no delay. 0: 6 hours;
	                              FAAS_NEVER */
	int64_t backoff_ms;        /* before the first retry, doubled for each further one. 0: 100; FAAS_NONE: no delays */
	int64_t backoff_max_ms;    /* the longest delay. 0: 20,000; less than backoff_ms counts as that */
	int32_t jitter_percent;    /* how much of a delay is random, 1 to 100. 0: 100; FAAS_NONE: delays are exact */
	int32_t order;             /* FAAS_ORDER_NONE (0) or FAAS_ORDER_BY_KEY */
	int32_t dead_letters;      /* failed asynchronous invocations that are kept, in at most queue_bytes of memory; more
	                              push out the oldest. 0: 100; FAAS_NONE */
	int32_t rate_per_s;        /* attempts started a second, up to FAAS_MAX_RATE. 0: FAAS_UNLIMITED */
	int32_t rate_burst;        /* of them at once. 0: as many as rate_per_s */
	int32_t reserved_concurrency; /* of the runtime's max_concurrency; at most this function's. 0: none */
	int32_t warm_policy;       /* FAAS_WARM_KEEP (0) or FAAS_WARM_DEMAND */
	int32_t reserved;
	const char *on_success;    /* the function that gets a record of each asynchronous success. It need not be
	                              registered yet; the first record that is not taken is logged. NULL: none */
	const char *on_failure;    /* the function that gets a record of each failure instead of the dead letters. NULL:
	                              none */
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
 * Returns:  FAAS_OK; FAAS_EINVAL: no handler, or a field is out of range; FAAS_ENAME: of it or of a destination;
 *           FAAS_EEXIST: the name is taken; FAAS_EFUNCTIONS: too many; FAAS_ERESERVED: the runtime has not so much
 *           concurrency left to reserve; FAAS_ENOMEM; FAAS_ECLOSED
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

/**
 * Cancels everything of the function: what is queued, delayed, deferred or running, as faas_invocation_cancel does.
 * Events that are accepted meanwhile may or may not be among it. Callbacks of what was running are left to pool
 * threads (or faas_run).
 *
 * Threads:  any, anywhere, also from the function's own handler, which is told like any other
 * Blocks:   no
 * Owns:     nothing
 * Units:    invocations
 * Returns:  how many this call cancelled; FAAS_EINVAL
 */
FAAS_API int faas_function_cancel_all(faas_function *function);

/* ---- Dead letters ------------------------------------------------------------------------------------------------ */
/* Asynchronous invocations that failed, timed out or expired for good, oldest first, where the function has no
   on_failure or that refused the record. They are read like any settled invocation; of one that nobody had a handle of,
   faas_invocation_timing knows only the attempts. They go with their function. */

/**
 * Walks the dead letters: the oldest one after `*position`. Others may be added, redriven and purged meanwhile.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets a reference to the invocation
 * Units:    `*position`: 0 begins; set to where the walk stands
 * Returns:  FAAS_OK; FAAS_ENOTFOUND: there are no more; FAAS_EINVAL
 */
FAAS_API int faas_function_dead_letter(faas_function *function, uint64_t *position, faas_invocation **ret_invocation);

/**
 * Tries a dead letter again: it leaves the dead letters, and its event is accepted as a new asynchronous invocation, with
 * all its attempts and a new age. One that is refused stays where it was.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing; `letter` NULL: all of them, oldest first, until one is refused
 * Units:    invocations
 * Returns:  how many were redriven; when none was, 0 (there was none) or why the first was refused: FAAS_EFULL;
 *           FAAS_ERUNTIMEFULL; FAAS_ENOTFOUND: the function is unregistered, or `letter` is none of its dead letters;
 *           FAAS_ECLOSED; FAAS_ENOMEM; FAAS_EINVAL
 */
FAAS_API int faas_function_redrive(faas_function *function, faas_invocation *letter);

/**
 * Forgets a dead letter.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing; `letter` NULL: all of them
 * Units:    invocations
 * Returns:  how many were forgotten; FAAS_ENOTFOUND: `letter` is none of its dead letters; FAAS_EINVAL
 */
FAAS_API int faas_function_purge(faas_function *function, faas_invocation *letter);

#ifndef __cplusplus
/**
 * What AWS Lambda does with asynchronous events: three attempts, one and two minutes apart, for up to six hours. For use
 * as FAAS_FUNCTION(.handler = resize, FAAS_RETRY_LAMBDA). Source: AWS Lambda Developer Guide, "How Lambda handles errors
 * and retries with asynchronous invocation".
 */
#define FAAS_RETRY_LAMBDA                                                                                              \
	.attempts = 3, .backoff_ms = 60000, .backoff_max_ms = 120000, .jitter_percent = FAAS_NONE, .max_age_ms = 21600000

/** FAAS_FUNCTION(.handler = resize, .deadline_ms = 5000): a config whose other fields are the defaults. */
#define FAAS_FUNCTION(...) (&(faas_function_config){.struct_size = sizeof(faas_function_config), __VA_ARGS__})
#endif

#ifdef __cplusplus
}
#endif

#endif
