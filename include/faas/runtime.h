/* SPDX-License-Identifier: MIT */
/*
 * Runtimes: one scheduler with its functions, bindings, queues and threads. Several may coexist; they share nothing.
 *
 * A runtime with threads runs by itself. One with `threads = FAAS_NONE` is in manual mode: nothing runs until the host
 * calls faas_run, and what runs, runs on that caller's thread. With a manual clock as well, the same seed and the same
 * calls give the same steps in the same order.
 *
 * Pool threads block all signals. A handler must not end its thread (pthread_exit), jump out (longjmp past its own
 * frame) or let a C++ exception out: the first two leave its worker and slot taken for good, the last ends the process
 * as the C++ runtime decides.
 */
#ifndef FAAS_RUNTIME_H
#define FAAS_RUNTIME_H

#include <faas/common.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FAAS_LOG_ERROR 1
#define FAAS_LOG_WARNING 2
#define FAAS_LOG_INFO 3
#define FAAS_LOG_DEBUG 4

/**
 * A host's log sink. `function` is the name of the function the line is about, or NULL. The strings are valid during
 * the call only. Called on the thread that has something to say (a handler's, a pool thread's or a caller's), never on
 * the monitor and never under a lock. It may emit events, invoke asynchronously and register; waiting is FAAS_EDEADLK.
 */
typedef void faas_log_fn(void *user, int32_t level, const char *function, const char *message);

/** Settings of a runtime. Zero in any field is the default given beside it. */
typedef struct faas_runtime_config {
	uint32_t struct_size;
	int32_t threads;           /* pool threads that run handlers. 0: one a core; FAAS_NONE: manual mode */
	int32_t max_threads;       /* with those added while running handlers block; those that replace overruns come on
	                              top. 0: threads + 256; less than `threads` counts as `threads` */
	int32_t max_overruns;      /* threads replaced at once because their handler overran. 0: 64; FAAS_NONE: none */
	int32_t spin_us;           /* a thread out of work looks around this long before it parks (a 32nd, once that was
	                              in vain eight times in a row), and a waiter before it sleeps (up to three times as long
	                              for a function whose handlers have lately taken less than 20 us, and never deferred).
	                              0: 20 (where the process has one core: it gives way a few times instead); at most
	                              1,000,000; FAAS_NONE: not at all */
	int32_t log_level;         /* the most talkative level that reaches `log`. 0: FAAS_LOG_WARNING */
	int32_t max_concurrency;   /* attempts at once over all functions, overruns and deferrals included. 0:
	                              FAAS_UNLIMITED */
	int32_t reserved;
	int64_t thread_idle_ms;    /* a parked thread leaves after this. 0: 10,000; FAAS_NEVER */
	int64_t queue_events;      /* bound on all queues together. 0: 16,000,000; FAAS_UNLIMITED */
	int64_t queue_bytes;       /* bound on all queues together. 0: 4 GiB; FAAS_UNLIMITED */
	int64_t max_data_bytes;    /* bytes of data in one event or answer. 0: 16 MiB; at most FAAS_MAX_DATA */
	uint64_t seed;             /* of ids and of random choices. 0: drawn from the system (manual clock: 0 itself, and
	                              functions equally due take turns in arrival order instead of a drawn one) */
	uint64_t stack_bytes;      /* of pool threads. 0: the system's default; at least 64 KiB, and as much more as the
	                              system wants for itself: with less no thread can be made */
	const char *source;        /* `source` of events that name none. NULL: "faas" */
	const char *thread_name;   /* of pool threads, at most 15 bytes. NULL: "faas" */
	faas_clock *clock;         /* the runtime takes a reference. NULL: the system's monotonic clock */
	const faas_allocator_config *allocator; /* copied. NULL: the C library's */
	faas_log_fn *log;          /* NULL: nothing is logged */
	void *log_user;
	void (*on_thread_start)(void *user); /* on every pool thread, before its first handler; NULL: none */
	void (*on_thread_stop)(void *user);  /* on the same thread, after its last handler; NULL: none */
	void *thread_user;
	void *reserved_pointer;
} faas_runtime_config;

/** faas_close: do not wait for handlers that still run; the last of them to return frees the runtime. */
#define FAAS_CLOSE_DETACH 1u

/**
 * Opens a runtime. Its threads start on demand.
 *
 * On failure nothing is left behind and `*ret_runtime` is untouched.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets the runtime and must close it; `config` is copied and may be NULL for all defaults
 * Units:    as said in faas_runtime_config
 * Returns:  FAAS_OK;
 *           FAAS_EINVAL: a field is out of range, or a manual clock was given with threads;
 *           FAAS_ETOOLONG: `source` or `thread_name` is too long; FAAS_ETEXT: one of them is not UTF-8;
 *           FAAS_ENOMEM; FAAS_ETHREAD: the monitor thread could not be made; FAAS_ESYSTEM: no random bytes
 */
FAAS_API int faas_open(const faas_runtime_config *config, faas_runtime **ret_runtime);

/**
 * Refuses new events from outside (FAAS_ECLOSED), still takes those that accepted work emits or invokes, and waits
 * until all accepted work is settled. A drained runtime stays drained: only stats, handles and faas_close are left.
 * When the time runs out, intake stays refused, the work goes on, and the call may be repeated.
 * In manual mode it runs what can run, on this thread, and never sleeps.
 *
 * Threads:  any, but not from a handler or callback
 * Blocks:   up to `timeout_ms`
 * Owns:     nothing
 * Units:    milliseconds; 0: do not wait; FAAS_NEVER: without limit
 * Returns:  FAAS_OK: all accepted work is settled; FAAS_EPENDING: the time ran out first;
 *           FAAS_EAGAIN: manual mode, and what is left waits for time to move; FAAS_ENOMEM: manual mode, no memory for
 *           this thread's records, nothing was run;
 *           FAAS_EDEADLK: called from a handler or callback; FAAS_EINVAL
 */
FAAS_API int faas_drain(faas_runtime *runtime, int64_t timeout_ms);

/**
 * Drains for up to `grace_ms`, cancels what is left, retires all workers (each `fini` runs on this thread) and frees
 * the runtime. Handlers that are still running are told that they are cancelled, and get what is left of the grace.
 * While one runs, nothing it could touch is freed, and the call returns FAAS_EBUSY; call again, which waits for up to
 * `grace_ms` for them to return, or with FAAS_CLOSE_DETACH.
 * Handles of functions, invocations and emissions may outlive the runtime; they answer what they know, and
 * otherwise FAAS_ECLOSED. With handles left, or after FAAS_CLOSE_DETACH, the memory goes when the last one does.
 *
 * Threads:  one at a time; no other call on the runtime may be under way or follow, except handles' and, after
 *           FAAS_EBUSY, this one. Not from a handler or callback
 * Blocks:   up to `grace_ms`, then for a moment until idle pool threads have left; no longer for any handler
 * Owns:     takes the runtime on FAAS_OK; leaves it with the caller on every other code
 * Units:    milliseconds; 0: no grace (in manual mode what can run, runs all the same); FAAS_NEVER: without limit
 * Returns:  FAAS_OK; FAAS_EBUSY: handlers still run, nothing was freed; FAAS_EDEADLK: called from a handler or
 *           callback; FAAS_EINVAL: `runtime` is NULL, a negative grace, an unknown flag
 */
FAAS_API int faas_close(faas_runtime *runtime, int64_t grace_ms, uint32_t flags);

/** What a close found unfinished when its grace was over. */
struct faas_close_stats {
	uint32_t struct_size;
	uint32_t reserved;
	uint64_t queued;       /* cancelled before they began */
	uint64_t delayed;      /* cancelled between two attempts */
	uint64_t running;      /* cancelled while their init or handler ran */
	uint64_t deferred;     /* cancelled while their completion was awaited */
	uint64_t overrunning;  /* handlers and inits that had not returned, `running` included */
	uint64_t dead_letters; /* forgotten */
};

/**
 * faas_close with a report of what was left. Each function that had something left is also logged, as a warning.
 *
 * Threads:  as faas_close
 * Blocks:   as faas_close
 * Owns:     as faas_close; `*ret_report` (may be NULL; its struct_size is set by the caller) is written on FAAS_OK and
 *           FAAS_EBUSY; a later call after FAAS_EBUSY reports the same, with what still overruns
 * Units:    as faas_close
 * Returns:  as faas_close
 */
FAAS_API int faas_close_with_report(faas_runtime *runtime, int64_t grace_ms, uint32_t flags,
                                    struct faas_close_stats *ret_report);

/**
 * Performs up to `max_steps` steps on the caller's thread: run one attempt with its init, retire one worker, or call
 * one callback. For manual mode, and for hosts that lend a thread of their own to a runtime that has threads.
 *
 * Threads:  any number at once (with a manual clock: one at a time); not from a handler or callback
 * Blocks:   for as long as the handlers it runs
 * Owns:     nothing
 * Units:    `max_steps`: steps, at least 1
 * Returns:  the number of steps done, 0 when nothing was runnable (or another thread was just taking it);
 *           FAAS_EDEADLK: called from a handler or callback; FAAS_EINVAL; FAAS_ENOMEM: no memory for this thread's records, nothing was run
 */
FAAS_API int faas_run(faas_runtime *runtime, int max_steps);

/**
 * When something will next become due by time alone: a deadline, a retry, a rate's next token, an idle worker's end, an
 * init's backoff, the next look at a function's demand.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    `*ret_ns`: nanoseconds from now; 0: something may be runnable now; FAAS_NEVER: nothing is due
 * Returns:  FAAS_OK; FAAS_EINVAL
 */
FAAS_API int faas_next_due(faas_runtime *runtime, int64_t *ret_ns);

#ifndef __cplusplus
/** FAAS_RUNTIME(.threads = 4): a config whose other fields are the defaults. */
#define FAAS_RUNTIME(...) (&(faas_runtime_config){.struct_size = sizeof(faas_runtime_config), __VA_ARGS__})
#endif

#ifdef __cplusplus
}
#endif

#endif
