/* SPDX-License-Identifier: MIT */
/*
 * Runners: threads as dispatch sees them, with their lane, the batch they took, and the attempts they are in.
 */
#ifndef FAAS_DISPATCH_RUNNER_H
#define FAAS_DISPATCH_RUNNER_H

#include "base/arena.h"
#include "base/stopwatch.h"
#include "dispatch/frame.h"
#include "dispatch/function.h"
#include "dispatch/lane.h"
#include "dispatch/queue.h"
#include "executor/executor.h"
#include "faas/context.h"

/* One attempt (or init). Its thread's, but for the fields that say otherwise. */
struct faas_context {
	struct runner *runner;       /* fixed */
	faas_function *function;
	faas_invocation *invocation; /* NULL: a provisioned start */
	struct worker *worker;       /* NULL: its init runs */
	int64_t started;             /* written before the slot begins; whoever abandons reads it */
	int64_t deadline;
	int64_t init_ns;
	atomic_u32 is_abandoned;     /* whoever abandons writes it last; see invocation.h */
	atomic_u32 is_given_up;      /* whoever abandons writes it first: nobody waits any more */
	uint32_t attempt;            /* its number */
	bool is_init;
	bool is_cold;
	bool is_permanent;           /* its failure is not to be retried */
	faas_deferral *deferral;     /* counted; NULL: no token was taken */
	int64_t queued_ns;
	struct answer *answer;
	struct message *message;
	const char *error;           /* the last one's text: static, or in the arena */
	struct arena arena;
};

struct runner {
	struct thread thread; /* first: the executor frees and aligns it */
	faas_runtime *runtime; /* fixed */
	struct runner *next_idle; /* under runtime.runners_mu: guests */
	int depth;             /* attempts this thread is in */
	uint32_t local;        /* fixed: the local queues it fills are the n-th of their functions; 0: none */
	uint32_t pushes_awaited; /* looks in a row that found what is just being pushed */
	struct frame base;     /* of the thread itself */
	int64_t now;           /* what the stopwatch said last */
	struct stopwatch watch;
	/* The batch; touched by the owner outside of slot 0, and by who claimed slot 0. */
	faas_function *batch_function;
	atomic_u32 batch_next;
	atomic_u32 batch_end;
	atomic_u64 batch_rest; /* what of function.ahead is this batch's; like the rest, but the monitor reads it */
	struct taken batch[BATCH_MAX];
	struct tally tally;
	struct lane lane;
	struct faas_context contexts[THREAD_DEPTH];
};

struct executor_ops faas__runner_ops(void);
/* A turn of a function (run.c). */
faas__take_fn faas__function_take;

static inline struct runner *faas__runner_from(struct thread *thread)
{
	return (struct runner *)(void *)thread;
}

/* A runner for a caller's thread, listed with the executor's threads as long as it exists. NULL: no memory, or
   the runtime is being closed. */
struct runner *faas__guest_get(faas_runtime *runtime);
void faas__guest_put(struct runner *runner);
/* All of them, and waits for those that hosts' threads are about to give back. No handler runs any more. */
void faas__guests_free(faas_runtime *runtime);

/* Takes back what threads took ahead of this function's queue. */
void faas__runners_hand_back(faas_function *function);

/* Settles everything that runs, of one function or (NULL) of all, as cancelled. How many those were. */
int faas__runners_cancel(faas_runtime *runtime, const faas_function *function);

/* ---- run.c ------------------------------------------------------------------------------------------------------- */

#define RUN_CLAIMED 1  /* it ran, or its init failed: it is settled or about to be */
#define RUN_TAKEN 0    /* somebody else has it, or what stands before it under its key */
#define RUN_EXPIRED 3  /* inside nest.c: no attempt of it may begin any more */
#define RUN_UNLINKED 2 /* it is just being pushed: in a moment */
/*
 * Runs a queued invocation, or what stands before it under its key, on this thread, nested in what it runs already.
 * RUN_CLAIMED, RUN_TAKEN, RUN_UNLINKED, FAAS_EAGAIN: no slot is free or starts are paused, FAAS_EDEADLK: every slot is held by this thread.
 */
int faas__run_invocation(struct runner *runner, faas_invocation *invocation);

/*
 * The same, at runner->now, for an invocation that nobody else has seen and that is in no queue. On RUN_CLAIMED it was
 * accepted; else nothing has happened. FAAS_ENOTFOUND: the function is closed.
 */
int faas__run_unqueued(struct runner *runner, faas_invocation *invocation);

/* ---- linger.c ---------------------------------------------------------------------------------------------------- */

/* Before a batch of fast handlers is taken: until it is worth it. The lock may be dropped meanwhile. */
void faas__await_batch(faas_function *function, struct runner *runner) holds_lock(function->mu);

/*
 * What stands in the queue cannot be reached: somebody is pushing it this moment, or has been pushed off their processor
 * while doing so. Two pool threads that wait for that on one processor would only give way to each other.
 */
void faas__await_push(struct runner *runner);

/* ---- attempt.c --------------------------------------------------------------------------------------------------- */

/* How a worker's start went: failed, or it returned a state too late (or for nobody). */
enum started { STARTED, START_FAILED, START_OVERRAN };

/* The context of the next attempt on this thread. `invocation` NULL: a start ahead of need. */
faas_context *faas__attempt_begin(struct runner *runner, faas_function *function, faas_invocation *invocation,
                                  bool is_cold);
void faas__attempt_end(faas_context *context);

/* Makes a queued invocation this thread's. False: it was cancelled or claimed, or its caller's time has passed. */
bool faas__attempt_claim(faas_context *context, const struct taken *taken, int64_t now, struct tally *tally);
/* The same for one with a result, whatever its caller's time, and also under the function's lock. */
bool faas__attempt_claim_locked(faas_context *context, const struct taken *taken, struct tally *tally);

/* The same for a first attempt of one that nobody else knows, without an init. */
void faas__attempt_claim_unseen(faas_context *context, struct tally *tally);

/* The attempt of a keyed invocation is over, or never began: its key may pass on. */
void faas__attempt_let_go(faas_function *function, faas_invocation *invocation);

/*
 * Makes the worker's state. Unless STARTED, the invocation, if any, is settled and the attempt over; the slot is still
 * held. `tally` NULL: without an invocation.
 */
enum started faas__attempt_start_worker(faas_context *context, int64_t *now, struct tally *tally);

/* How a run went, for its worker and slot: over; overran, and the worker must go; deferred, which keeps the slot. */
enum ran { RAN, RAN_OVER, RAN_DEFERRED };

/* Calls the handler, settles or retries or defers, ends the attempt. */
enum ran faas__attempt_run(faas_context *context, int64_t *now, struct tally *tally);

/*
 * All of these in one piece, for those of the batch, from the `next` on, that are plain: one after the other, in a warm
 * worker, until one does not succeed, or is another kind, or `until`; but at least one. Drops their references. Returns
 * the next one; `*ret_ran` stays where all went well.
 */
uint32_t faas__attempt_run_plain(struct runner *runner, faas_function *function, struct worker *worker, uint32_t next,
                                 int64_t until, enum ran *ret_ran);

/* ---- context.c --------------------------------------------------------------------------------------------------- */

/* What a call on the context returned, for faas_context_error; a chain was described where it was found too long. */
int faas__context_note(faas_context *context, int code);

/* ---- slot.c ------------------------------------------------------------------------------------------------------ */

bool faas__slot_can_start(faas_function *function, int64_t now) holds_lock(function->mu);

/* A slot and a worker, the warmest or a new one. NULL: none can be had now, and what will change that is arranged. */
struct worker *faas__slot_take(faas_function *function, int64_t now, bool *ret_is_cold) holds_lock(function->mu);
void faas__slot_raise_peak(faas_function *function) holds_lock(function->mu);

/* Gives a slot back, without a worker: turns that waited for it go on. */
void faas__slot_free(faas_function *function) holds_lock(function->mu);

/*
 * The end of a batch, a nested run or a provisioned start: slot back, tally (may be NULL) in, worker warm or gone.
 * Unlocks; the caller holds a reference to the function.
 */
void faas__slot_release(struct runner *runner, faas_function *function, struct worker *worker, enum started started,
                        enum ran ran, struct tally *tally) drops_lock(function->mu);

/* Undoes faas__slot_take where nothing has begun. `peak`: workers_peak before it. */
void faas__slot_untake(faas_function *function, struct worker *worker, bool is_cold, uint64_t peak)
	holds_lock(function->mu);

/* ---- settle.c ---------------------------------------------------------------------------------------------------- */

/* Writes and publishes the result of an unrun invocation that was moved to SETTLING and counted. `code` 0: the end's. */
void faas__settle_counted(faas_invocation *invocation, enum end end, int code, bool from_monitor);

/* Ends a queued or delayed invocation, one with a result, unrun. False: it was neither. `code` 0: the end's. */
bool faas__settle_unrun(faas_invocation *invocation, enum end end, int code);

/*
 * Ends a running invocation while its attempt goes on. False: it was not running. `from_monitor`: user code (callbacks)
 * is left to others.
 */
bool faas__settle_abandon(faas_invocation *invocation, enum end end, int64_t now, bool from_monitor);

/* The thread that ran it: how the attempt ended. False: it had been abandoned. */
bool faas__settle_attempt(faas_context *context, enum end end, int code, int handler_result, int64_t now,
                          struct tally *tally);

/* A success that nobody can ask for, or only the caller that waits, and that nothing follows; it was not abandoned. */
static inline void faas__settle_unasked(faas_context *context, int64_t now, struct tally *tally)
{
	store_relaxed(&context->invocation->state, PHASE_SETTLED);
	faas__tally_sample(tally, context->queued_ns, now - context->started);
	bump_release(&tally->ended[END_SUCCEEDED], 1);
	bump_release(&tally->published, 1);
}

/* Wakes who waits for the object at this address. */
void faas__wake_waiters(faas_runtime *runtime, const void *object);

/* Publishes a written result. The caller holds a reference. */
void faas__settle_publish(faas_invocation *invocation, enum end end, bool from_monitor);

/*
 * A copy of an answer; `*ret_answer` NULL: nobody could ask for it. 0, FAAS_EINVAL, FAAS_ETOOBIG, FAAS_ETOOLONG, FAAS_ETEXT,
 * FAAS_ENOMEM. Of a message; NULL: nobody could ask for it, or no memory.
 */
int faas__answer_new(faas_runtime *runtime, const faas_invocation *invocation, const void *data, uint64_t bytes,
                     const char *content_type, struct answer **ret_answer);
struct message *faas__message_new(faas_runtime *runtime, const faas_invocation *invocation, const char *text);
void faas__answer_free(faas_runtime *runtime, struct answer *answer);
void faas__message_free(faas_runtime *runtime, struct message *message);

/* A handler's answer or message, with its bytes and NULs behind it. */
struct answer {
	size_t block_bytes;
	uint64_t bytes;
	char *content_type; /* NULL: none */
	char data[];
};

struct message {
	size_t block_bytes;
	char text[];
};

#endif
