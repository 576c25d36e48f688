/* SPDX-License-Identifier: MIT */
/*
 * A function: its queue, its workers, its counts.
 *
 * The queue has two ends. Emitters reserve room in `load` by compare-and-swap and push to `inbox` without a lock. The
 * rest is under `mu`: takers pop from `backlog` first, then from the inbox. An invocation that must leave from the
 * middle (cancelled, claimed by a waiter) is reached by moving the inbox to the backlog, which is linked both ways.
 *
 *     load.events  == invocations in inbox + backlog + reserved and about to be pushed
 *     ahead.events == invocations that threads took beyond the one they began with; load + ahead is bounded
 *     active      == attempts and inits that hold a slot (overruns included), never above max_concurrency
 *     accepted    == started + unstarted ends + queued            queued, running are derived, see account.c
 *     started     == ended + running
 *
 * Life: registered -> closed (refuses) -> sealed (no emitter can still push) -> finished (nothing queued, active, warm;
 * `release` has been called) -> freed with the last reference.
 */
#ifndef FAAS_DISPATCH_FUNCTION_H
#define FAAS_DISPATCH_FUNCTION_H

#include "base/atomics.h"
#include "base/list.h"
#include "base/mpsc.h"
#include "base/sync.h"
#include "dispatch/invocation.h"
#include "executor/executor.h"
#include "faas/function.h"
#include "observe/histogram.h"

/* One initialised copy of a function. Belongs to the thread that took it, or stands in `warm`. */
struct worker {
	struct list node;   /* under function.mu: in warm */
	void *state;
	int64_t idle_since; /* under function.mu */
};

/* load: events in the upper 24 bits, bytes in the lower 40. */
#define LOAD_EVENT ((uint64_t)1 << 40)
#define LOAD_BYTES(load) ((load) & (LOAD_EVENT - 1))
#define LOAD_EVENTS(load) ((load) >> 40)

/* How invocations end; also the index of their counters. */
enum end {
	END_SUCCEEDED,
	END_FAILED,
	END_TIMED_OUT,
	END_EXPIRED,
	END_CANCELLED,
	END_DROPPED,
	END_COUNT
};

#define BATCH_MAX 64u

/*
 * What a thread has done with a batch so far. One writer; readers hold function.mu and read `ended` before `started`,
 * so that what runs is never negative. Folded into the function's counts, and emptied, under function.mu.
 */
struct tally {
	struct list node; /* under function.mu: in function.tallies */
	atomic_u32 started; /* TALLY_STARTED for each, TALLY_COLD for each with an init: one word, so that both show at once */
	atomic_u32 ended[END_COUNT];
	atomic_u32 published; /* of the ended ones, those whose waiters have been told */
	atomic_u32 samples; /* entries below that are complete */
	atomic_u64 billed_ms;
	uint8_t queue_bucket[BATCH_MAX];
	uint8_t run_bucket[BATCH_MAX];
	int64_t queue_ns[BATCH_MAX];
	int64_t run_ns[BATCH_MAX];
};

#define TALLY_STARTED 1u
#define TALLY_COLD 0x10000u
#define TALLY_STARTS(word) ((word) & 0xffffu)
#define TALLY_COLDS(word) ((word) >> 16)

enum retirement {
	RETIRED_IDLE,
	RETIRED_OVERRUN,
	RETIRED_UNREGISTERED,
	RETIRED_CLOSED,
	RETIRED_COUNT
};

/* Under function.mu. */
struct counts {
	uint64_t started;
	uint64_t cold; /* of the started ones */
	uint64_t started_ends[END_COUNT];   /* of invocations that had been started */
	uint64_t unstarted_ends[END_COUNT]; /* of those that had not */
	uint64_t rejected_full, rejected_runtime_full, rejected_closed, rejected_other;
	uint64_t overruns;
	uint64_t overrunning; /* gauge */
	uint64_t unpublished; /* gauge: ends that are counted, but whose waiters may not have been told */
	uint64_t provisioned_starts, init_failures, init_ns;
	uint64_t retired[RETIRED_COUNT];
	uint64_t workers_peak;
	uint64_t requests, billed_ms;
	struct duration_sum queue_time, run_time;
};

struct faas_function {
	/* fixed after registration */
	struct faas_runtime *runtime; /* counted */
	faas_handler_fn *handler;
	faas_init_fn *init;
	faas_fini_fn *fini;
	void *user;
	void (*release)(void *user);
	uint64_t index;            /* order of registration */
	uint32_t flags;
	uint32_t max_events;
	uint64_t max_bytes;
	int64_t deadline_ns, init_deadline_ns, init_backoff_ns, keep_warm_ns; /* TIME_NEVER: none */
	int64_t max_concurrency;   /* INT64_MAX: unlimited */
	uint32_t provisioned;
	bool drops_oldest;
	char name[FAAS_MAX_NAME + 1];

	/* emitters write these: one line */
	on_own_line struct mpsc_in inbox_in;
	atomic_u64 load;           /* emitters reserve; takers give back */
	atomic_u64 ahead;          /* takers; emitters read it */
	atomic_u64 accepted;
	struct turn turn;          /* state: emitters and takers */

	on_own_line atomic_u32 refs; /* the registry until finished, handles, bindings, set timers, answerable invocations */
	atomic_u32 is_closed;        /* writer: unregister, close; readers: emitters */
	atomic_u32 room_waiters;     /* emitters that wait for room */
	atomic_u32 chores;           /* something besides events wants a turn */
	struct list node;            /* under runtime.functions_mu: in function_list */
	struct list bindings;        /* under route.mu */

	on_own_line struct mutex mu;
	struct mpsc_out inbox_out;   /* under mu */
	struct list backlog;         /* under mu: older than the inbox */
	struct list warm;            /* under mu: the one used last first */
	struct list tallies;         /* under mu: of batches that run */
	uint32_t warm_count;         /* under mu */
	uint32_t starting;           /* under mu */
	uint32_t busy;               /* under mu: workers that run something */
	uint32_t retiring;           /* under mu: workers whose fini runs */
	int64_t active;              /* under mu */
	int64_t run_ns_average;      /* under mu: moving; 0: none yet */
	bool is_paused;              /* under mu: nothing starts before init_retry_at */
	int64_t init_retry_at;       /* under mu */
	int64_t provision_after;     /* under mu: no start ahead of need before */
	int64_t timer_due;           /* under mu; TIME_NEVER: not set */
	uint32_t init_failed;        /* under mu: in a row */
	bool is_sealed;              /* under mu */
	bool is_finished;            /* under mu */
	bool is_past;                /* under mu: its counts have been added to the runtime's past */
	bool is_closing;             /* under mu: the runtime is closed, not the function unregistered */
	struct timer timer;          /* counted while set: the idle end of a worker, or the end of a backoff */
	struct counts counts;        /* under mu */
	struct histogram *queue_histogram; /* under mu; made at first use */
	struct histogram *run_histogram;
};

/* ---- function.c -------------------------------------------------------------------------------------------------- */

/* A reference to the function of this name. 0, FAAS_ENAME or FAAS_ENOTFOUND. */
int faas__function_get(faas_runtime *runtime, const char *name, faas_function **ret_function);

/* Closes and seals a function and cancels what is queued. `closing`: because the runtime is. */
void faas__function_shut(faas_function *function, bool closing);

/* Settles invocations that were popped, moved to SETTLING and counted, and drops the queue's references. */
void faas__settle_popped(faas_invocation *chain, enum end end, bool from_monitor);

/* After something ended: calls release and gives up the registry's reference if it was the last thing. Unlocks. */
void faas__function_unlock_and_finish(faas_function *function) drops_lock(function->mu);

/* ---- queue.c ----------------------------------------------------------------------------------------------------- */

/* Room for one event. 0, FAAS_EFULL, or FAAS_ENOTFOUND: it is closed. */
int faas__queue_reserve(faas_function *function, size_t bytes);
void faas__queue_unreserve(faas_function *function, uint64_t events, uint64_t bytes);

/* Makes an invocation that has a reservation visible to takers, and kicks the function. */
void faas__queue_push(faas_function *function, faas_invocation *invocation);

/* The oldest invocation, perhaps one that is settled or claimed by now; NULL: none can be reached. Its room is free. */
faas_invocation *faas__queue_pop(faas_function *function, uint64_t *ret_freed) holds_lock(function->mu);

/* What came of putting invocations back, to be dealt with out of the lock. */
struct put_back {
	faas_invocation *dead;      /* not queued any more: mere references */
	faas_invocation *cancelled; /* the function is closed: for faas__settle_popped */
	uint64_t load;              /* what stands in the queue again */
};

/* Puts back what a thread took ahead, before everything else. */
void faas__queue_put_back(faas_function *function, faas_invocation **invocations, size_t count,
                          struct put_back *ret) holds_lock(function->mu);

/*
 * Takes an invocation out of the middle. False: it cannot be reached, and will be passed over later. Mere references
 * that were met on the way are added to `dead`.
 */
bool faas__queue_remove(faas_function *function, faas_invocation *invocation, uint64_t *ret_freed,
                        faas_invocation **dead) holds_lock(function->mu);

/* Whether so much is free that emitters who wait are told. */
bool faas__queue_has_room_to_tell(const faas_function *function);

/*
 * What was popped beyond the first stays counted, in `ahead`, until the batch is over: so bounds hold for what is taken
 * ahead, too. `popped` is the load of all, `rest` of those beyond the first.
 */
void faas__queue_took(faas_function *function, uint64_t popped, uint64_t rest) holds_lock(function->mu);
void faas__queue_end_rest(faas_function *function, uint64_t rest) holds_lock(function->mu);

/* Room has been given back: returns it to the runtime, and wakes emitters that wait for it. */
void faas__queue_freed(faas_function *function, uint64_t freed);

/* All that counts against the bounds. */
static inline uint64_t faas__queue_load(const faas_function *function)
{
	return load_seq_cst(&function->load) + load_seq_cst(&function->ahead);
}

static inline bool faas__queue_has_events(const faas_function *function)
{
	return load_seq_cst(&function->load) >= LOAD_EVENT;
}

/* ---- worker.c ---------------------------------------------------------------------------------------------------- */

struct worker *faas__worker_new(faas_function *function);

/* Undoes a worker, counted in `retiring`, on this thread; no lock is held. */
void faas__worker_retire(faas_function *function, struct worker *worker, enum retirement why);

/* A worker that should go now; NULL: none. Taken off the warm ones. */
struct worker *faas__worker_pop_expired(faas_function *function, int64_t now, enum retirement *ret_why)
	holds_lock(function->mu);

/* Returns a worker that has run; it is the warmest now. */
void faas__worker_put_warm(faas_function *function, struct worker *worker, int64_t now) holds_lock(function->mu);

/* Sets the function's timer to what comes first. */
void faas__worker_arm_timer(faas_function *function) holds_lock(function->mu);

/* How an init ended; arms or ends the backoff. */
void faas__worker_init_ended(faas_function *function, bool succeeded, int64_t now, int64_t took_ns)
	holds_lock(function->mu);

/* A start ahead of need failed: the next one waits, even where starts on demand do not. */
void faas__worker_provision_failed(faas_function *function, int64_t now) holds_lock(function->mu);

/* What was due by `now` is over: starts may go on. */
void faas__worker_end_pauses(faas_function *function, int64_t now) holds_lock(function->mu);

/* No memory for a worker: starts are paused for a moment. */
void faas__worker_out_of_memory(faas_function *function, int64_t now) holds_lock(function->mu);

void faas__worker_timer_fired(struct timer *timer, int64_t now);

/* Whether a start is allowed at `now`, as far as failed inits go. */
static inline bool faas__worker_may_start(const faas_function *function, int64_t now)
{
	return !function->is_paused || now >= function->init_retry_at;
}

/* Gives the function a turn for something besides events. On a finished one: not to be called. */
void faas__function_chore(faas_function *function);

/* ---- account.c --------------------------------------------------------------------------------------------------- */

/* Adds a tally to the function's counts and empties it. */
void faas__tally_fold(faas_function *function, struct tally *tally) holds_lock(function->mu);
/* Counts an end. When it has been published, and the invocation let go, faas__count_published. */
void faas__count_end(faas_function *function, bool was_started, enum end end) holds_lock(function->mu);
void faas__count_published(faas_function *function) without_lock(function->mu);
void faas__count_run(faas_function *function, int64_t queued_ns, int64_t run_ns) holds_lock(function->mu);
void faas__count_rejected(faas_function *function, int code) without_lock(function->mu);

/* Adds what a finished function counted to the runtime's past. */
int faas__past_init(faas_runtime *runtime);
void faas__past_deinit(faas_runtime *runtime);
void faas__past_add(faas_function *function);

/* Whether everything the function accepted is settled. */
bool faas__function_is_settled(faas_function *function);

/* In debug builds: the derived gauges against a walk over the queue. Manual mode, or a function at rest. */
void faas__function_check(faas_function *function) holds_lock(function->mu);

#endif
