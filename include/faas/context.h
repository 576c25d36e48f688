/* SPDX-License-Identifier: MIT */
/*
 * What a handler may ask and do. A context belongs to the thread that runs the handler (or init) and is valid until
 * that returns; every call here is for that thread only.
 */
#ifndef FAAS_CONTEXT_H
#define FAAS_CONTEXT_H

#include <faas/common.h>
#include <faas/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What the worker's init made.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     the state belongs to the worker; nobody else touches it while the handler runs
 * Units:    none
 * Returns:  the state; NULL without an init, and inside init
 */
FAAS_API void *faas_context_state(const faas_context *context);

/**
 * The function's user pointer.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     shared by all workers of the function
 * Units:    none
 * Returns:  the pointer given at registration
 */
FAAS_API void *faas_context_user(const faas_context *context);

/**
 * The runtime.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     borrowed
 * Units:    none
 * Returns:  the runtime
 */
FAAS_API faas_runtime *faas_context_runtime(const faas_context *context);

/**
 * The name of the function that runs.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     valid until the handler returns
 * Units:    none
 * Returns:  the name
 */
FAAS_API const char *faas_context_function(const faas_context *context);

/**
 * Which attempt of its invocation this is.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     nothing
 * Units:    from 1
 * Returns:  the number
 */
FAAS_API int faas_context_attempt(const faas_context *context);

/**
 * Whether this attempt began with an init.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  1: a cold start; 0: a warm one
 */
FAAS_API int faas_context_is_cold(const faas_context *context);

/**
 * How long until the attempt's deadline (inside init: the init's).
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     nothing
 * Units:    milliseconds, rounded down; 0: it has passed
 * Returns:  the time; FAAS_NEVER: there is no deadline
 */
FAAS_API int64_t faas_context_remaining_ms(const faas_context *context);

/**
 * Whether nobody waits for this attempt any more: its deadline has passed or it was cancelled. A handler that runs
 * long should ask now and then, and return.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  1: return soon, what it says is dropped; 0: go on
 */
FAAS_API int faas_context_is_cancelled(const faas_context *context);

/**
 * Memory that is freed when the attempt is over.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     the library frees it
 * Units:    bytes; the memory begins at a multiple of 16 and is not cleared
 * Returns:  the memory; NULL: the allocator refused, or `bytes` is over FAAS_MAX_DATA
 */
FAAS_API void *faas_context_alloc(faas_context *context, uint64_t bytes);

/**
 * Sets the answer. A second reply replaces the first. Only a success delivers it. `data` may be NULL if `bytes` is 0;
 * `content_type` may be NULL: none.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     `data` and `content_type` are copied; where nobody holds a handle the copy is saved
 * Units:    bytes, at most the runtime's max_data_bytes
 * Returns:  FAAS_OK; FAAS_ETOOBIG; FAAS_ETOOLONG; FAAS_ETEXT; FAAS_ENOMEM: the earlier reply stands; FAAS_EINVAL;
 *           FAAS_ESTATE: inside init
 */
FAAS_API int faas_context_reply(faas_context *context, const void *data, uint64_t bytes, const char *content_type);

/**
 * Says why the attempt fails, for use as `return faas_context_fail(context, "no such file")`. Inside init it says why
 * init fails.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     `message` is copied; of more than 255 bytes the rest is cut off
 * Units:    none
 * Returns:  1, for the handler to return
 */
FAAS_API int faas_context_fail(faas_context *context, const char *message);

/**
 * faas_context_fail, for a failure that no retry can mend: no further attempt is made.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     as faas_context_fail
 * Units:    none
 * Returns:  1, for the handler to return
 */
FAAS_API int faas_context_fail_permanent(faas_context *context, const char *message);

/**
 * Takes the right to complete this attempt later, from any thread (faas/deferral.h). When the handler then returns 0 its
 * worker and thread are free, while the invocation is deferred: its concurrency slot, its key and the deadline of the
 * attempt stay as they are. A handler that fails all the same has failed, and the token is worth nothing.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     the caller gets one reference to the token, and must give it back
 * Units:    none
 * Returns:  FAAS_OK; FAAS_EEXIST: this attempt is deferred already; FAAS_ESTATE: inside init; FAAS_ENOMEM; FAAS_EINVAL
 */
FAAS_API int faas_context_defer(faas_context *context, faas_deferral **ret_deferral);

/**
 * In the handler of a destination: the invocation that this one is the record of, settled, to be read with
 * faas_invocation_function, _event, _outcome, _status, _answer, _message, _handler_result and _timing. The event of the
 * destination's own invocation is the same event.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     borrowed; valid until the handler returns, longer with faas_invocation_ref
 * Units:    none
 * Returns:  the invocation; NULL: this attempt is no destination's
 */
FAAS_API faas_invocation *faas_context_record(const faas_context *context);

/**
 * More about the last error that a call on this context returned: for FAAS_ELOOP the functions of the chain, such as
 * "a -> b -> a -> b"; for other errors as faas_strerror.
 *
 * Threads:  the handler's own
 * Blocks:   no
 * Owns:     the text belongs to the attempt
 * Units:    none
 * Returns:  the text; "" before the first error
 */
FAAS_API const char *faas_context_error(const faas_context *context);

/**
 * Writes a line to the runtime's log, with the function's name.
 *
 * Threads:  the handler's own
 * Blocks:   as the host's log sink does
 * Owns:     `message` is passed on during the call
 * Units:    `level`: FAAS_LOG_ERROR to FAAS_LOG_DEBUG
 * Returns:  FAAS_OK, also where the level is not logged; FAAS_EINVAL
 */
FAAS_API int faas_context_log(faas_context *context, int level, const char *message);

/**
 * faas_emit_event, linked to this invocation: the new event is one hop further. Also takes events while draining.
 *
 * Threads:  the handler's own
 * Blocks:   no: `wait_ms` is ignored
 * Owns:     as faas_emit_event
 * Units:    as faas_emit_event
 * Returns:  as faas_emit_event; FAAS_ELOOP: the event would be more than FAAS_MAX_HOPS hops from its origin
 */
FAAS_API int faas_context_emit_event(faas_context *context, const faas_event_config *event,
                                     faas_emission **ret_emission);

/**
 * faas_invoke, linked to this invocation.
 *
 * Threads:  the handler's own
 * Blocks:   as faas_invoke
 * Owns:     as faas_invoke
 * Units:    as faas_invoke
 * Returns:  as faas_invoke; FAAS_ELOOP
 */
FAAS_API int faas_context_invoke(faas_context *context, const char *function, const faas_event_config *event,
                                 int64_t timeout_ms, faas_invocation **ret_invocation);

/**
 * faas_invoke_async, linked to this invocation.
 *
 * Threads:  the handler's own
 * Blocks:   no: `wait_ms` is ignored
 * Owns:     as faas_invoke_async
 * Units:    as faas_invoke_async
 * Returns:  as faas_invoke_async; FAAS_ELOOP
 */
FAAS_API int faas_context_invoke_async(faas_context *context, const char *function, const faas_event_config *event,
                                       faas_invocation **ret_invocation);

#ifdef __cplusplus
}
#endif

#endif
