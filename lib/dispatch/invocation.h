/* SPDX-License-Identifier: MIT */
/*
 * Invocations: one block each, with the event in it where no other function shares it.
 *
 *     struct faas_invocation | struct result, if anybody can ask | struct faas_event, unless shared
 *
 * The state word decides everything; whoever wins a transition does the counting:
 *
 *     QUEUED  -> STARTING   the thread that runs it (or a waiter that claims it)
 *     STARTING -> RUNNING   the same thread, after it has counted the start and written the attempt's times; between an
 *                           init and the handler it goes back to STARTING for a moment
 *     QUEUED  -> SETTLING   cancelled, dropped, expired
 *     RUNNING -> SETTLING   the thread that ran it; or its deadline, or a cancel: then the attempt is abandoned
 *     SETTLING -> SETTLED   the same thread, after the result is written
 *
 * They are compare-and-swaps where anybody else could hold a reference, that is, where there is a result. Without one,
 * only the thread that runs it and a claimant of that thread's slot can reach a running invocation, and the slot's own
 * exchange orders those two.
 *
 * An attempt is a faas_context on the thread that runs it. Whoever abandons an attempt writes `is_abandoned` in the
 * context as the very last thing; the thread, finding that it lost the transition, waits for that before it lets the
 * context and the invocation go. So an attempt may outlive its invocation's settlement, and nobody touches a context
 * that is gone.
 *
 * References: one for the queue, handed on to the thread that takes it from there; one for each handle. A claimed or
 * cancelled invocation that cannot be reached in the queue stays there as a mere reference until it comes up.
 */
#ifndef FAAS_DISPATCH_INVOCATION_H
#define FAAS_DISPATCH_INVOCATION_H

#include "base/atomics.h"
#include "base/event.h"
#include "base/list.h"
#include "base/mpsc.h"
#include "dispatch/callback.h"
#include "faas/invocation.h"

struct lane;

/* state: the phase, the status when settled, and who must be told. */
#define PHASE_MASK 0x0fu
#define PHASE_QUEUED 0u
#define PHASE_RUNNING 1u
#define PHASE_SETTLING 2u
#define PHASE_SETTLED 3u
#define PHASE_STARTING 4u
#define STATUS_SHIFT 4
#define STATUS_MASK 0xf0u
#define HAS_WAITERS 0x100u
#define HAS_CALLBACK 0x200u   /* on_settled is written */
#define CALLBACK_TAKEN 0x400u /* somebody writes, or has written, on_settled */

#define INVOCATION_HAS_RESULT 1u  /* somebody can ask */
#define INVOCATION_SHARED_EVENT 2u /* the event is a block of its own */

/* What somebody may ask for. Written by the winner of SETTLING, read after SETTLED. */
struct result {
	struct callback callback;
	faas_settled_fn *on_settled; /* written before HAS_CALLBACK is set */
	void *on_settled_user;
	struct faas_emission *emission; /* counted until settled; NULL: none */
	int64_t deadline;     /* the caller's; TIME_NEVER: none; fixed before it is queued */
	int64_t queued_ns, init_ns, run_ns;
	struct answer *answer;   /* owned */
	struct message *message; /* owned */
	int32_t code;
	int32_t handler_result;
	uint32_t is_cold;
	uint32_t unused;
};

struct faas_invocation {
	struct mpsc_node node; /* in the inbox */
	union {
		struct list link;      /* under function.mu: in the backlog, if is_linked */
		faas_context *attempt; /* from before RUNNING until its end */
	};
	faas_function *function; /* counted if there is a result */
	faas_event *event;
	atomic_u32 state;
	atomic_u32 refs;
	uint32_t block_bytes; /* fixed */
	uint16_t attempts;    /* written by the thread that runs it */
	uint8_t flags;        /* fixed */
	uint8_t is_linked;    /* under function.mu */
};

/* An event that several functions got. */
struct shared_event {
	atomic_u32 refs;
	uint32_t block_bytes;
	faas_event event;
};

static inline struct result *faas__result_of(const faas_invocation *invocation)
{
	return (struct result *)(uintptr_t)(invocation + 1);
}

static inline bool faas__has_result(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_HAS_RESULT) != 0;
}

static inline uint32_t faas__phase_of(uint32_t state)
{
	return state & PHASE_MASK;
}

static inline bool faas__is_settled(const faas_invocation *invocation)
{
	return faas__phase_of(load_acquire(&invocation->state)) == PHASE_SETTLED;
}

/* Moves from one phase to another, keeping the other bits. False: it was in another phase. */
bool faas__invocation_move(faas_invocation *invocation, uint32_t from, uint32_t to);

/*
 * Makes an invocation and, unless `shared` is given, its event. One reference, the queue's; one more for a result.
 * NULL: no memory.
 */
faas_invocation *faas__invocation_new(faas_runtime *runtime, struct lane *lane, faas_function *function,
                                      const struct event_plan *plan, struct shared_event *shared, bool has_result,
                                      uint64_t sequence, int64_t stamp_ns);

/* An event for several invocations, with one reference of the caller's. NULL: no memory. */
struct shared_event *faas__shared_event_new(faas_runtime *runtime, struct lane *lane, const struct event_plan *plan,
                                            uint64_t sequence, int64_t stamp_ns);
void faas__shared_event_unref(faas_runtime *runtime, struct lane *lane, struct shared_event *shared);

/* Memory that counts against the queue's bound in bytes. */
static inline size_t faas__invocation_bytes(const faas_invocation *invocation)
{
	size_t bytes = invocation->block_bytes;

	if (invocation->flags & INVOCATION_SHARED_EVENT)
		bytes += sizeof(faas_event) + invocation->event->data + invocation->event->data_bytes;
	return bytes;
}

/* Gives back a reference, on a thread that is in `lane`, or on a runner with its lane. */
void faas__invocation_unref_in(faas_invocation *invocation, struct lane *lane);
/* Gives back a reference, on any thread that is in no lane. */
void faas__invocation_unref(faas_invocation *invocation);

/* References that were found under a lock and must be given back without it; linked through `node`. */
void faas__dead_add(faas_invocation **dead, faas_invocation *invocation);
void faas__dead_unref(faas_invocation *dead);

#endif
