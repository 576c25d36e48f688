/* SPDX-License-Identifier: MIT */
/*
 * Invocations: one block each, with the event in it where no other function shares it.
 *
 *     struct faas_invocation | struct result | struct keyed | struct record | struct faas_event
 *
 * of which only the first is always there: a result if anybody can ask, or if the function passes records on; `keyed` if
 * it is ordered by its key; `record` if it is the record of another invocation (or that one redriven), whose event it
 * uses; the event, or where it is shared by several a pointer to it. The first fills one line, and nobody but the emitter
 * writes behind it where there is no result: so one line of the three that a common event has goes back and forth.
 *
 * The state word decides everything; whoever wins a transition does the counting:
 *
 *     QUEUED   -> STARTING  the thread that runs it (or a waiter that claims it)
 *     STARTING -> RUNNING   the same thread, after it has counted the start and written the attempt's times; between an
 *                           init and the handler it goes back to STARTING for a moment
 *     RUNNING  -> STARTING -> DELAYED or QUEUED    the attempt failed, and another one follows
 *     RUNNING  -> STARTING -> DEFERRED             the handler has returned and will be completed
 *     DELAYED  -> QUEUED    when it is due; under function.mu, like all that leave DELAYED and DEFERRED
 *     QUEUED, DELAYED -> SETTLING      cancelled; the former also dropped, expired
 *     DEFERRED -> SETTLING             completed, or its deadline, or cancelled; DEFERRED -> STARTING -> DELAYED: failed
 *     RUNNING  -> SETTLING  the thread that ran it; or its deadline, or a cancel: then the attempt is abandoned
 *     SETTLING -> SETTLED   the same thread, after the result is written
 *
 * They are compare-and-swaps where anybody else could hold a reference, that is, where there is a result. Without one,
 * only the thread that runs it and a claimant of that thread's slot can reach a running invocation, and the slot's own
 * exchange orders those two. STARTING is a moment in which one thread has it and others wait.
 *
 * An attempt is a faas_context on the thread that runs it. Whoever abandons an attempt writes `is_given_up` in the
 * context first and `is_abandoned` as the very last thing; the thread, finding that it lost the transition, waits for
 * that before it lets the context and the invocation go. So an attempt may outlive its invocation's settlement, and
 * nobody touches a context that is gone. It may also outlive the start of the next attempt: the state word carries the
 * number of the attempt it speaks of, so that the end of an old one cannot be taken for the end of a new one.
 *
 * References: one for the queue (DELAYED included), handed on to the thread that takes it from there; one for a token of
 * a deferral; one among the dead letters; one for each handle. A cancelled invocation that cannot be reached in the
 * queue stays there as a mere reference until it comes up; so does one that a waiter took out of another thread's batch,
 * and the number of the attempt in the state word tells that thread that it has lost it.
 */
#ifndef FAAS_DISPATCH_INVOCATION_H
#define FAAS_DISPATCH_INVOCATION_H

#include "base/atomics.h"
#include "base/event.h"
#include "base/heap.h"
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
#define PHASE_DELAYED 5u
#define PHASE_DEFERRED 6u
#define STATUS_SHIFT 4
#define STATUS_MASK 0xf0u
#define HAS_WAITERS 0x100u
#define HAS_CALLBACK 0x200u   /* on_settled is written */
#define CALLBACK_TAKEN 0x400u /* somebody writes, or has written, on_settled */
#define ATTEMPT_SHIFT 16      /* the number of the attempt, modulo 65536 */
#define ATTEMPT_MASK 0xffff0000u

#define INVOCATION_HAS_RESULT 1u   /* there is a struct result */
#define INVOCATION_SHARED_EVENT 2u /* the event is a block of its own */
#define INVOCATION_IS_SYNC 4u      /* a call: one attempt, and nothing follows */
#define INVOCATION_IS_KEYED 8u     /* its function is ordered: there is a struct keyed */
#define INVOCATION_IS_RECORD 16u   /* there is a struct record, and the event is that invocation's */
#define INVOCATION_IS_BORROWED 32u /* no handle but that of the caller, who keeps the function until the call is over */
#define INVOCATION_IS_PRIVATE 64u  /* and who runs it */

/* What somebody may ask for. */
struct result {
	struct callback callback;
	faas_settled_fn *on_settled; /* written before HAS_CALLBACK is set */
	void *on_settled_user;
	struct faas_emission *emission; /* counted until settled; NULL: none */
	int64_t deadline;     /* the caller's; TIME_NEVER: none; fixed before it is queued */
	faas_invocation *follow; /* a block for the record, made with this one; NULL: none is wanted, or it is under way */
	/* Set after SETTLED. Who spins until then looks at this word: the thread that runs it writes the state word four times,
	   and this line but once. */
	atomic_u32 is_published;
	uint32_t unused;
	/* written by the winner of SETTLING, read after SETTLED: */
	int64_t queued_ns, init_ns, run_ns, total_ns;
	struct answer *answer;   /* owned */
	struct message *message; /* owned */
	int32_t code;
	int32_t handler_result;
	uint32_t is_cold;
	uint32_t unused_too;
};

/* In an ordered function; all under function.mu. The first unsettled one of a key is its head. */
struct keyed {
	faas_invocation *next; /* of a head: in its bucket of function.keys */
	struct list waiting;   /* of a head: those that wait behind it, by `link` */
	struct list arrival;   /* while queued: in function.arrivals */
	faas_invocation *of;   /* fixed: the invocation */
	uint64_t hash;         /* fixed; of its key */
	uint32_t running;      /* attempts whose handler has not returned, or that are about to begin */
	uint32_t is_head;
};

/* Of a record, or of a dead letter's new life. */
struct record {
	faas_invocation *of;   /* counted: whose event this is */
	faas_event *event;
	int64_t stamp_ns;      /* when this was accepted */
	uint32_t hops;
	uint32_t is_redriven;  /* no record: the handler does not see `of` */
};

/* What is known of a dead letter that has no result. */
struct letter {
	struct list link;      /* under function.mu: in function.letters */
	struct message *message; /* owned */
	int32_t code;
	int32_t handler_result;
	uint64_t number;       /* of its place among the dead letters; with a result, too */
};

/* Where an invocation stands. */
#define LINK_NONE 0u    /* in the inbox, or not yet pushed */
#define LINK_BACKLOG 1u
#define LINK_WAITING 2u /* behind the head of its key; of a head: for its own overrun */
#define LINK_TAKEN 3u   /* not linked: in a thread's batch, or further on */
#define LINK_LETTER 4u  /* among the dead letters; from here on it counts its function even without a result */
#define LINK_FORMER 5u  /* not any more */

struct faas_invocation {
	union {
		struct {
			struct mpsc_node node; /* in the inbox; in chains of those to be let go */
			const void *ahead;     /* in the inbox: where a later one most likely lies; NULL */
		};
		struct list link;              /* under function.mu: see is_linked */
		faas_context *attempt;         /* from before RUNNING until its end */
		struct faas_deferral *deferral; /* DEFERRED */
		struct heap_node delay;        /* under function.mu: DELAYED; its key stays: when it was due */
		struct letter letter;          /* SETTLED and a dead letter */
	};
	faas_function *function; /* counted if there is a result that is not borrowed */
	/* What taking it from the queue looks at stands together. */
	atomic_u32 state;
	uint32_t block_bytes; /* fixed */
	uint16_t attempts;    /* written by the thread that runs it */
	uint8_t flags;        /* fixed */
	uint8_t is_linked;    /* under function.mu */
	atomic_u32 refs;
};

#if UINTPTR_MAX > 0xffffffffu
_Static_assert(sizeof(struct faas_invocation) == FAAS_LINE, "one line");
_Static_assert(offsetof(struct result, queued_ns) == FAAS_LINE && sizeof(struct result) == 2 * FAAS_LINE, "two lines");
#endif
_Static_assert(offsetof(struct heap_node, key) >= sizeof(struct list), "what was due stays while it is linked");

/* An event that several functions got. Who runs one only reads the event: what counts its references has another line. */
struct shared_event {
	atomic_u32 refs;
	uint32_t block_bytes;
	on_own_line faas_event event;
};

/* What an invocation of one is in: its header, and a pointer. */
#define SHARED_BLOCK_BYTES ((sizeof(faas_invocation) + sizeof(faas_event *) + BLOCK_STEP - 1) & ~(size_t)(BLOCK_STEP - 1))

static inline struct result *faas__result_of(const faas_invocation *invocation)
{
	return (struct result *)(uintptr_t)(invocation + 1);
}

static inline bool faas__has_result(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_HAS_RESULT) != 0;
}

/* Nothing but an event, which may be shared. */
static inline bool faas__is_bare(const faas_invocation *invocation)
{
	return (invocation->flags & ~INVOCATION_SHARED_EVENT) == 0;
}

/* The same, before its first attempt. */
static inline bool faas__is_plain(const faas_invocation *invocation)
{
	return faas__is_bare(invocation) && invocation->attempts == 0;
}

static inline bool faas__is_sync(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_IS_SYNC) != 0;
}

static inline bool faas__is_borrowed(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_IS_BORROWED) != 0;
}

static inline bool faas__is_private(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_IS_PRIVATE) != 0;
}

static inline bool faas__is_keyed(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_IS_KEYED) != 0;
}

static inline bool faas__is_record(const faas_invocation *invocation)
{
	return (invocation->flags & INVOCATION_IS_RECORD) != 0;
}

static inline struct keyed *faas__keyed_of(const faas_invocation *invocation)
{
	char *at = (char *)(uintptr_t)(invocation + 1);

	return (struct keyed *)(void *)(at + (faas__has_result(invocation) ? sizeof(struct result) : 0));
}

static inline struct record *faas__record_of(const faas_invocation *invocation)
{
	char *at = (char *)faas__keyed_of(invocation);

	return (struct record *)(void *)(at + (faas__is_keyed(invocation) ? sizeof(struct keyed) : 0));
}

/* Where the event lies, or the pointer to one that is shared. */
static inline void *faas__event_place(const faas_invocation *invocation)
{
	return faas__record_of(invocation);
}

/* faas__event_of where there is more. */
faas_event *faas__event_behind(const faas_invocation *invocation);

static inline faas_event *faas__event_of(const faas_invocation *invocation)
{
	/* Nothing else follows most. */
	if (likely(invocation->flags == 0))
		return (faas_event *)(uintptr_t)(invocation + 1);
	return faas__event_behind(invocation);
}

/* The same of a bare one. */
static inline faas_event *faas__event_of_bare(const faas_invocation *invocation)
{
	void *place = (void *)(uintptr_t)(invocation + 1);

	return unlikely(invocation->flags & INVOCATION_SHARED_EVENT) ? *(faas_event **)place : place;
}

/* When it was accepted. */
static inline int64_t faas__accepted_at(const faas_invocation *invocation)
{
	return unlikely(faas__is_record(invocation)) ? faas__record_of(invocation)->stamp_ns : faas__event_of(invocation)->stamp_ns;
}

/* Since when it waits for its next attempt. */
static inline int64_t faas__ready_at(const faas_invocation *invocation)
{
	return unlikely(invocation->attempts > 0) ? invocation->delay.key : faas__accepted_at(invocation);
}

/* How many events caused each other before this one. */
static inline uint32_t faas__hops_of(const faas_invocation *invocation)
{
	return unlikely(faas__is_record(invocation)) ? faas__record_of(invocation)->hops : faas__event_of(invocation)->hops;
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
/* The same out of attempt number `attempt`. False: that one has been ended by somebody else. */
bool faas__invocation_end_attempt(faas_invocation *invocation, uint32_t attempt, uint32_t to);

/* What is offered, the same for every function. */
struct parcel {
	struct shared_event *shared; /* NULL: in the invocation */
	uint32_t shared_refs;        /* references to it that nobody has yet */
	uint64_t sequence;
	int64_t stamp_ns;
	struct faas_emission *emission; /* NULL: none */
	int64_t deadline;            /* the caller's; TIME_NEVER: none */
	bool has_handle;             /* one reference is the caller's */
	bool is_sync;
	bool is_borrowed;            /* and no handle will leave the call that makes it */
	bool is_private;             /* and the caller runs it */
};

/* Writes the first line of a block, but for `ahead`: queued, with `refs` references. */
static inline void faas__invocation_write(faas_invocation *invocation, faas_function *function, uint32_t bytes,
                                          uint32_t refs, uint32_t flags)
{
	invocation->function = function;
	invocation->block_bytes = bytes;
	invocation->attempts = 0;
	invocation->flags = (uint8_t)flags;
	invocation->is_linked = LINK_NONE;
	store_relaxed(&invocation->state, PHASE_QUEUED);
	store_relaxed(&invocation->refs, refs);
}

/* Makes an invocation and, unless it is shared, its event. One reference, the queue's. NULL: no memory. */
faas_invocation *faas__invocation_new(faas_runtime *runtime, struct lane *lane, faas_function *function,
                                      const struct event_plan *plan, struct parcel *parcel);

/* A block for a record: it has all parts. NULL: no memory. faas__record_write makes an invocation of it. */
faas_invocation *faas__record_block(faas_runtime *runtime, struct lane *lane);
void faas__record_write(faas_invocation *block, faas_function *function, faas_invocation *of, int64_t now,
                        uint32_t hops);
/* Back to a mere block: nobody has seen it. */
void faas__record_unwrite(faas_invocation *block, struct lane *lane);

/* An event for several invocations, with so many references, which are the caller's. NULL: no memory. */
struct shared_event *faas__shared_event_new(faas_runtime *runtime, struct lane *lane, const struct event_plan *plan,
                                            uint64_t sequence, int64_t stamp_ns, uint32_t refs);
void faas__shared_event_unref(faas_runtime *runtime, struct lane *lane, struct shared_event *shared, uint32_t refs);

static inline struct shared_event *faas__shared_event_from(faas_event *event)
{
	return container_of(event, struct shared_event, event);
}

/* Memory that counts against the queue's bound in bytes. */
static inline size_t faas__invocation_bytes(const faas_invocation *invocation)
{
	size_t bytes = invocation->block_bytes;

	if (unlikely(invocation->flags & (INVOCATION_SHARED_EVENT | INVOCATION_IS_RECORD))) {
		const faas_event *event = faas__event_of(invocation);

		bytes += sizeof(*event) + event->data + event->data_bytes;
	}
	return bytes;
}

/* Gives back a reference, on a thread that is in `lane`, or on a runner with its lane. */
void faas__invocation_unref_in(faas_invocation *invocation, struct lane *lane);
/* Gives back a reference, on any thread that is in no lane. */
void faas__invocation_unref(faas_invocation *invocation);

/* References that were found under a lock and must be given back without it; linked through `node`. */
void faas__dead_add(faas_invocation **dead, faas_invocation *invocation);
void faas__dead_unref(faas_invocation *dead);
/* The same ones, in the order in which they were added. */
faas_invocation *faas__dead_reverse(faas_invocation *dead);

#endif
