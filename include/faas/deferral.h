/* SPDX-License-Identifier: MIT */
/*
 * Deferred completion: a handler takes a token (faas_context_defer), hands it to whoever will know the answer, and
 * returns 0. The invocation is settled when somebody completes it, or at the deadline of the attempt.
 *
 * A completion that comes while the handler still runs takes effect when it returns. The first completion counts; after
 * it, after the deadline, and after a cancellation, the others are FAAS_ESETTLED. When the last reference to the token is
 * given back and nobody has completed it, the attempt has failed (FAAS_EABANDONED).
 */
#ifndef FAAS_DEFERRAL_H
#define FAAS_DEFERRAL_H

#include <faas/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Completes a deferred attempt as a success, with an answer. `data` may be NULL if `bytes` is 0; then an answer that the
 * handler gave with faas_context_reply stands. `content_type` may be NULL: none.
 *
 * Threads:  any, anywhere, also in the handler itself
 * Blocks:   no; callbacks of the settlement run on this thread
 * Owns:     `data` and `content_type` are copied; the token stays the caller's
 * Units:    bytes, at most the runtime's max_data_bytes
 * Returns:  FAAS_OK; FAAS_ESETTLED; FAAS_ETOOBIG; FAAS_ETOOLONG; FAAS_ETEXT; FAAS_ENOMEM: nothing has changed;
 *           FAAS_EINVAL
 */
FAAS_API int faas_complete(faas_deferral *deferral, const void *data, uint64_t bytes, const char *content_type);

/**
 * Completes a deferred attempt as a failure, which may be retried. `message` may be NULL.
 *
 * Threads:  as faas_complete
 * Blocks:   as faas_complete
 * Owns:     `message` is copied; of more than 255 bytes the rest is cut off
 * Units:    none
 * Returns:  FAAS_OK; FAAS_ESETTLED; FAAS_EINVAL
 */
FAAS_API int faas_complete_failed(faas_deferral *deferral, const char *message);

/**
 * faas_complete_failed, for a failure that no retry can mend.
 *
 * Threads:  as faas_complete
 * Blocks:   as faas_complete
 * Owns:     as faas_complete_failed
 * Units:    none
 * Returns:  as faas_complete_failed
 */
FAAS_API int faas_complete_failed_permanent(faas_deferral *deferral, const char *message);

/**
 * Whether a completion would still count.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    none
 * Returns:  1: nobody has completed it and its time is not over; 0: it is settled
 */
FAAS_API int faas_deferral_is_open(const faas_deferral *deferral);

/**
 * Takes one more reference.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference more
 * Units:    none
 * Returns:  `deferral`
 */
FAAS_API faas_deferral *faas_deferral_ref(faas_deferral *deferral);

/**
 * Gives one reference back. NULL does nothing.
 *
 * Threads:  any, anywhere
 * Blocks:   no; with the last one, callbacks of the settlement may run on this thread
 * Owns:     takes the caller's reference
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_deferral_unref(faas_deferral *deferral);

#ifdef __cplusplus
}
#endif

#endif
