/* SPDX-License-Identifier: MIT */
/*
 * Invocations: one function called for one event, until it is settled, exactly once.
 */
#ifndef FAAS_INVOCATION_H
#define FAAS_INVOCATION_H

#include <faas/common.h>
#include <faas/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where an invocation stands. The first four are on the way, the others settled and final. */
#define FAAS_STATUS_QUEUED 0
#define FAAS_STATUS_DELAYED 1   /* an attempt failed, and the next one is not due yet */
#define FAAS_STATUS_RUNNING 2   /* its init or its handler runs */
#define FAAS_STATUS_DEFERRED 3  /* its handler has returned, and somebody will complete it */
#define FAAS_STATUS_SUCCEEDED 4
#define FAAS_STATUS_FAILED 5
#define FAAS_STATUS_TIMED_OUT 6
#define FAAS_STATUS_EXPIRED 7   /* the caller's timeout, or its age, ran out between attempts or before the first */
#define FAAS_STATUS_CANCELLED 8
#define FAAS_STATUS_DROPPED 9

/** How long an invocation took, and on what. */
struct faas_timing_stats {
	uint32_t struct_size;
	int32_t is_cold;    /* 1: the last attempt began with an init */
	int32_t attempts;   /* attempts begun */
	int32_t reserved;
	int64_t queued_ns;  /* from acceptance until a worker took it first, or until it was settled unrun */
	int64_t init_ns;    /* of the last attempt's init */
	int64_t run_ns;     /* of the last attempt's handler; of one that overran, its deadline; of a deferred one, until
	                       its completion */
	int64_t total_ns;   /* from acceptance until it was settled */
};

/**
 * Called once, when the invocation is settled: on the thread that settles it, or on a pool thread; never on the
 * monitor, never under a lock. It may emit events, invoke asynchronously, register and release; a wait, a synchronous
 * faas_invoke, faas_run, faas_drain and faas_close are FAAS_EDEADLK.
 */
typedef void faas_settled_fn(faas_invocation *invocation, void *user);

/**
 * Invokes a function with an event and waits for its answer: one attempt. `timeout_ms` covers queueing, a cold start
 * and the run; the function's own deadline also holds. Inside a handler use faas_context_invoke, which links the
 * two. `event` may be NULL, and its type may be: "faas.invoke".
 *
 * A function with FAAS_FUNCTION_INLINE runs on this thread; the call then returns when its handler does, however late,
 * with FAAS_ETIMEDOUT if that was after the deadline.
 *
 * Threads:  any; from a handler by the rules of faas_invocation_wait; from a callback FAAS_EDEADLK
 * Blocks:   until the invocation is settled
 * Owns:     `event` is copied; `*ret_invocation` (may be NULL) is always written: a reference for the caller if the
 *           invocation was accepted, whatever its outcome, else NULL
 * Units:    milliseconds; 0 or FAAS_NEVER: only the function's own deadline
 * Returns:  FAAS_OK: the handler succeeded; or its outcome: FAAS_EFAILED, FAAS_ETIMEDOUT, FAAS_ECANCELLED,
 *           FAAS_EDROPPED, FAAS_EINIT, FAAS_EABANDONED; or it was not accepted: FAAS_ETHROTTLED: the function's
 *           rate lets it begin only after the timeout; FAAS_EINVAL; FAAS_ENAME; FAAS_ENOTFOUND; FAAS_EFULL;
 *           FAAS_ERUNTIMEFULL; FAAS_ECLOSED; FAAS_ENOMEM; FAAS_ELOOP; FAAS_EDEADLK: the function's concurrency is
 *           held by handlers that wait for this call; FAAS_EAGAIN: manual mode, and it cannot run before time moves
 *           (the invocation is cancelled); and the event's own errors, as of faas_emit_event
 */
FAAS_API int faas_invoke(faas_runtime *runtime, const char *function, const faas_event_config *event,
                         int64_t timeout_ms, faas_invocation **ret_invocation);

/**
 * faas_invoke through a handle.
 *
 * Threads:  as faas_invoke
 * Blocks:   as faas_invoke
 * Owns:     as faas_invoke; the caller's reference on `function` must last until the call returns, whatever handlers do
 * Units:    as faas_invoke
 * Returns:  as faas_invoke; FAAS_ENOTFOUND: unregistered meanwhile
 */
FAAS_API int faas_function_invoke(faas_function *function, const faas_event_config *event, int64_t timeout_ms,
                                  faas_invocation **ret_invocation);

/**
 * Invokes a function with an event and returns at once. `wait_ms` of the event is honoured as by faas_emit_event.
 *
 * Threads:  any, anywhere, also from handlers and callbacks
 * Blocks:   only with `wait_ms`, while the queue is full
 * Owns:     `event` is copied; the caller gets a reference if `ret_invocation` is not NULL; untouched on failure
 * Units:    as said in faas_event_config
 * Returns:  FAAS_OK: accepted; FAAS_EINVAL; FAAS_ENAME; FAAS_ENOTFOUND; FAAS_EFULL; FAAS_ERUNTIMEFULL; FAAS_ECLOSED;
 *           FAAS_ENOMEM; FAAS_ELOOP; and the event's own errors, as of faas_emit_event
 */
FAAS_API int faas_invoke_async(faas_runtime *runtime, const char *function, const faas_event_config *event,
                               faas_invocation **ret_invocation);

/**
 * faas_invoke_async through a handle.
 *
 * Threads:  as faas_invoke_async
 * Blocks:   as faas_invoke_async
 * Owns:     as faas_invoke_async
 * Units:    as faas_invoke_async
 * Returns:  as faas_invoke_async; FAAS_ENOTFOUND: unregistered meanwhile
 */
FAAS_API int faas_function_invoke_async(faas_function *function, const faas_event_config *event,
                                        faas_invocation **ret_invocation);

/**
 * Waits until the invocation is settled.
 *
 * Inside a handler the thread runs what it waits for, and what stands before that under the same key, if that is still
 * queued and its function has a slot, nested to FAAS_MAX_DEPTH; otherwise it parks, and the pool may add a thread. It
 * never runs anything else. Where every slot of the awaited function or of the runtime, or its key, is held by handlers
 * that this thread is inside of, the wait could not end: FAAS_EDEADLK. Cycles
 * over several threads end with a handler's own time: no wait goes on past the deadline or the cancellation of a handler
 * it is made in (FAAS_EPENDING; from faas_invoke FAAS_ETIMEDOUT).
 * In manual mode outside a handler the wait performs steps as faas_run does.
 *
 * Threads:  any; from a handler as said; from a callback FAAS_EDEADLK
 * Blocks:   up to `timeout_ms`, and until a handler that it runs itself has returned; in manual mode only for that
 * Owns:     nothing
 * Units:    milliseconds; 0: only look, from anywhere, and run nothing; FAAS_NEVER: without limit
 * Returns:  FAAS_OK: it is settled, whatever the outcome; FAAS_EPENDING: the time ran out first; FAAS_EAGAIN: manual
 *           mode, and nothing it needs can run; FAAS_ENOMEM: manual mode, no memory for this thread's records;
 *           FAAS_EDEADLK; FAAS_EINVAL
 */
FAAS_API int faas_invocation_wait(faas_invocation *invocation, int64_t timeout_ms);

/**
 * Cancels an invocation. A queued one never runs. For a running one this is what a deadline is: it settles now as
 * cancelled, faas_context_is_cancelled says so, its handler becomes an overrun and its late answer is dropped.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  FAAS_OK: this call cancelled it; FAAS_ESTATE: it was settled before; FAAS_EINVAL
 */
FAAS_API int faas_invocation_cancel(faas_invocation *invocation);

/**
 * Asks for one call when the invocation is settled; at once, on this thread, if it is already.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the library holds a reference until the call has returned; `user` stays the caller's
 * Units:    none
 * Returns:  FAAS_OK; FAAS_EEXIST: a callback was set before; FAAS_EINVAL
 */
FAAS_API int faas_invocation_on_settled(faas_invocation *invocation, faas_settled_fn *callback, void *user);

/**
 * Where the invocation stands.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  a FAAS_STATUS_... number
 */
FAAS_API int faas_invocation_status(const faas_invocation *invocation);

/**
 * The outcome as an error code.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  FAAS_OK: succeeded; FAAS_EPENDING: not settled; FAAS_EFAILED; FAAS_EINIT; FAAS_ETIMEDOUT; FAAS_ECANCELLED;
 *           FAAS_EDROPPED
 */
FAAS_API int faas_invocation_outcome(const faas_invocation *invocation);

/**
 * What the handler said of its failure (faas_context_fail), or the text of the outcome.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the text is valid as long as the reference
 * Units:    none
 * Returns:  the text; "" while not settled and after a success
 */
FAAS_API const char *faas_invocation_message(const faas_invocation *invocation);

/**
 * What a failing handler returned.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    the handler's own
 * Returns:  the number; 0 unless the outcome is FAAS_EFAILED or FAAS_EINIT
 */
FAAS_API int faas_invocation_handler_result(const faas_invocation *invocation);

/**
 * The bytes the handler replied with, if it succeeded and replied.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     what the pointers lead to is valid as long as the reference; each may be NULL if not wanted
 * Units:    bytes; a zero byte that is not counted follows the data
 * Returns:  FAAS_OK: there is an answer; FAAS_ENOTFOUND: it succeeded without replying; or the outcome, as of
 *           faas_invocation_outcome; FAAS_EINVAL; on failures the outputs are untouched
 */
FAAS_API int faas_invocation_answer(const faas_invocation *invocation, const void **ret_data, uint64_t *ret_bytes,
                                    const char **ret_content_type);

/**
 * How long it took. Complete once settled.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `struct_size` is set by the caller
 * Units:    nanoseconds
 * Returns:  FAAS_OK; FAAS_EPENDING: not settled; FAAS_EINVAL
 */
FAAS_API int faas_invocation_timing(const faas_invocation *invocation, struct faas_timing_stats *ret_timing);

/**
 * The event of the invocation.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     borrowed: valid as long as the reference
 * Units:    none
 * Returns:  the event
 */
FAAS_API const faas_event *faas_invocation_event(const faas_invocation *invocation);

/**
 * The name of the invoked function.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     valid as long as the reference
 * Units:    none
 * Returns:  the name
 */
FAAS_API const char *faas_invocation_function(const faas_invocation *invocation);

/**
 * Takes one more reference.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference more
 * Units:    none
 * Returns:  `invocation`
 */
FAAS_API faas_invocation *faas_invocation_ref(faas_invocation *invocation);

/**
 * Gives one reference back. The invocation goes on. NULL does nothing.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     takes the caller's reference
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_invocation_unref(faas_invocation *invocation);

#ifdef __cplusplus
}
#endif

#endif
