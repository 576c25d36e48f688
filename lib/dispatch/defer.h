/* SPDX-License-Identifier: MIT */
/*
 * Deferrals: the token of an attempt that somebody completes later. All that decides is under the lock of its function.
 *
 *     OPEN        the handler runs
 *     COMPLETED   the handler runs, and how it ends is known
 *     PENDING     the handler has returned; the invocation is DEFERRED and holds its slot and key
 *     CLOSED      settled, or the attempt ended in another way
 *
 * References: one for all tokens together, one of the attempt, which passes to the invocation while it is DEFERRED. The
 * deferral holds its invocation and its function.
 */
#ifndef FAAS_DISPATCH_DEFER_H
#define FAAS_DISPATCH_DEFER_H

#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "faas/deferral.h"

#define DEFER_OPEN 0u
#define DEFER_COMPLETED 1u
#define DEFER_PENDING 2u
#define DEFER_CLOSED 3u

struct faas_deferral {
	atomic_u32 tokens;
	atomic_u32 refs;
	faas_function *function;     /* fixed; counted */
	faas_invocation *invocation; /* fixed; counted */
	faas_context *context;       /* fixed; there until the handler returns */
	struct heap_node due;        /* under function.mu: PENDING; by deadline */
	uint32_t stage;              /* under function.mu */
	uint32_t attempt;            /* fixed */
	enum end end;                /* under function.mu: from COMPLETED on */
	int code;
	bool is_permanent;
	bool is_cold;                /* from PENDING on, like the times */
	int64_t started, queued_ns, init_ns;
	struct answer *answer;       /* owned; under function.mu: from COMPLETED on */
	struct message *message;
};

enum deferred { DEFERRED_PENDING, DEFERRED_COMPLETED, DEFERRED_LOST };

/*
 * The handler of an attempt that took a token has returned 0 in time. PENDING: the invocation is DEFERRED, and keeps the
 * slot. COMPLETED: it is to be settled as the deferral says. LOST: the attempt had been given up.
 */
enum deferred faas__defer_return(faas_context *context, int64_t now);
/* The attempt ends without being DEFERRED: the token is worth nothing any more. */
void faas__defer_close(faas_context *context);

/* Ends a DEFERRED invocation. False: it is not. */
bool faas__defer_end(faas_invocation *invocation, enum end end, bool from_monitor);
/* Ends the first of the function whose deadline is not after `now`. False: there is none. */
bool faas__defer_expire_one(faas_function *function, int64_t now, bool from_monitor);
/* Cancels one. False: there is none. */
bool faas__defer_cancel_one(faas_function *function, bool from_monitor);

/* When the first deadline of DEFERRED ones comes; TIME_NEVER. */
int64_t faas__defer_due(const faas_function *function) holds_lock(function->mu);

#endif
