/* SPDX-License-Identifier: MIT */
/*
 * A function: its queue, its workers, its counts.
 *
 * The queue has two ends. Emitters reserve room in `admitted` by compare-and-swap and push to `inbox` without a lock,
 * handlers to local queues of their threads (queue.c). The rest is under `mu`: takers pop from `backlog` first, then from
 * the inbox, or from a local queue. An invocation that must leave from the middle (cancelled, claimed by a waiter) is
 * reached by moving all of these to the backlog, which is linked both ways.
 *
 * Emitters write one line and takers another, and neither looks at the other's more than once in a batch, since a line
 * that goes to another core and back costs as much as all the rest of an emit. So room is counted by two words of which
 * each grows at its end; emitters go by `released_seen`, an older value of `released`, until that seems full.
 *
 *     admitted - leased - popped == invocations in inbox + local queues + backlog + held, and reserved and about to be pushed
 *     admitted - leased - released == the same and those that threads took beyond the one they began with: this is bounded, but
 *                             for retries, which always find room
 *     held         == delayed ones + those that wait behind their key: in the queue, but not to be begun
 *     active      == attempts, inits and deferrals that hold a slot (overruns included), never above max_concurrency
 *     accepted + retries == started + unstarted ends + queued + delayed       queued, running are derived, see account.c
 *     started     == started ends + retries + deferred + running
 *
 * Life: registered -> closed (refuses) -> sealed (no emitter can still push) -> finished (nothing queued, active, warm;
 * `release` has been called) -> freed with the last reference.
 */
#ifndef FAAS_DISPATCH_FUNCTION_H
#define FAAS_DISPATCH_FUNCTION_H

#include "base/atomics.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mpsc.h"
#include "base/random.h"
#include "base/sync.h"
#include "dispatch/invocation.h"
#include "executor/executor.h"
#include "faas/function.h"
#include "faas/runtime.h"
#include "observe/histogram.h"

/* One initialised copy of a function. Belongs to the thread that took it, or stands in `warm`. */
struct worker {
	struct list node;   /* under function.mu: in warm */
	void *state;
	int64_t idle_since; /* under function.mu */
};

/* A load: events in the upper 24 bits, bytes in the lower 40. Sums may overflow; differences are right all the same. */
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
 * What a thread has done with a batch so far, and with those before it that it went on from. One writer; readers hold
 * function.mu and read `ended` before `started`, so that what runs is never negative. Folded into the function's counts,
 * and emptied, under function.mu.
 */
struct tally {
	struct list node; /* under function.mu: in function.tallies */
	atomic_u32 started; /* TALLY_STARTED for each, TALLY_COLD for each with an init: one word, so that both show at once */
	atomic_u32 ended[END_COUNT];
	atomic_u32 published; /* of the ended ones, those whose waiters have been told */
	atomic_u32 samples; /* entries below that are complete */
	int64_t queue_ns[BATCH_MAX];
	int64_t run_ns[BATCH_MAX];
};

static inline void faas__tally_init(struct tally *tally)
{
	list_init(&tally->node);
	store_relaxed(&tally->started, 0);
	for (size_t i = 0; i < END_COUNT; i++)
		store_relaxed(&tally->ended[i], 0);
	store_relaxed(&tally->published, 0);
	store_relaxed(&tally->samples, 0);
}

static inline void faas__tally_sample(struct tally *tally, int64_t queued_ns, int64_t run_ns)
{
	uint32_t at = load_relaxed(&tally->samples);

	tally->queue_ns[at] = queued_ns;
	tally->run_ns[at] = run_ns;
	store_release(&tally->samples, at + 1);
}

#define TALLY_STARTED 1u
#define TALLY_COLD 0x10000u
#define TALLY_STARTS(word) ((word) & 0xffffu)
#define TALLY_COLDS(word) ((word) >> 16)

enum retirement {
	RETIRED_IDLE,
	RETIRED_SURPLUS,
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
	uint64_t retries;     /* DELAYED, or at once queued again */
	uint64_t deferrals;
	uint64_t letters_added, letters_redriven, letters_lost;
	uint64_t records, records_refused;
	uint64_t overruns;
	uint64_t overrunning; /* gauge */
	uint64_t unpublished; /* gauge: ends that are counted, but whose waiters may not have been told */
	uint64_t provisioned_starts, init_failures, init_ns;
	uint64_t retired[RETIRED_COUNT];
	uint64_t workers_peak;
	uint64_t requests, billed_ms;
	struct duration_sum queue_time, run_time;
};

/* Under function.mu: events that the function did not take. */
struct rejections {
	uint64_t full, runtime_full, closed, throttled, other;
};

/* The heads of an ordered function's keys, by hash: intrusive chains. All under function.mu. */
struct key_table {
	faas_invocation **buckets;
	uint64_t count;
	uint64_t capacity;      /* a power of two */
};

/* What FAAS_WARM_DEMAND knows. All under function.mu. */
struct demand {
	double arrivals;       /* a second, smoothed */
	uint64_t seen_accepted; /* at the last look */
	uint64_t seen_runs;
	double seen_run_ns;
	double run_ns;         /* of an attempt, smoothed */
	int64_t look_at;       /* 0: not before something comes in */
	uint32_t target;
};

/* A local queue: an inbox for what is emitted on one thread (or a few, where there are many), see queue.c. */
struct local_queue {
	on_own_line struct mpsc_in in;
	atomic_u64 accepted;   /* writers: those who push */
	atomic_u64 leased;     /* load of room that is reserved for what they push next; grows under function.mu */
	struct mpsc_out out;   /* under function.mu */
	int64_t first_until;   /* under function.mu: till then its own threads come to it first; 0: from the next turn on */
};

/*
 * What a function needs when there is an event for it, and what 100,000 that wait for their first do without. Made by
 * whoever has that first event (or at registration, where it must not fail later: register.c), and there as long as the
 * function.
 */
struct service {
	faas_function *function;     /* fixed */
	struct timer timer;          /* counted while set: the idle end of a worker, or the end of a backoff */
	int64_t timer_due;           /* TIME_NEVER: not set; under function.mu, like all that follows */
	int64_t init_retry_at;
	int64_t provision_after;     /* no start ahead of need before */
	struct counts counts;
	struct histogram *queue_histogram; /* made at first use */
	struct histogram *run_histogram;
	struct demand demand;
	struct list letters;         /* dead letters, oldest first */
	uint64_t letters_count, letters_bytes, letter_number;
	uint64_t deferred;
	struct heap delays;          /* DELAYED ones, by when they are due */
	struct heap deferrals;       /* of DEFERRED ones, by deadline */
	uint64_t delay_number;       /* order of equally due ones */
	struct random random;        /* jitter */
	uint32_t queue_turns;        /* batches that were taken from all queues in turn */
	_Atomic(struct local_queue *) locals; /* runtime.local_count of them; written once, under mu; NULL: none yet */
};

/* What a function does besides running: fixed after registration. */
struct delivery {
	uint32_t max_attempts; /* at most UINT16_MAX, so that each has a number of its own in the state word */
	uint32_t jitter_percent;
	int64_t max_age_ns, backoff_ns, backoff_max_ns; /* TIME_NEVER: none */
	uint64_t max_letters;
	char *on_success, *on_failure; /* owned; NULL: none */
};

struct faas_function {
	/* fixed after registration, but for what is said; first what emitters look at */
	struct faas_runtime *runtime; /* counted */
	_Atomic(struct service *) service; /* written once, under mu: before that the runtime's no_service, to be read only */
	atomic_u32 is_in_service;  /* written once, after that */
	uint64_t max_bytes;
	uint32_t max_events;
	uint32_t flags;
	atomic_u32 is_closed;      /* writer: unregister, close; readers: emitters */
	uint16_t header_bytes;     /* of an invocation, without a result and the event */
	bool wants_records;        /* has a destination, so that every invocation has a result */
	bool drops_oldest;
	bool is_ordered;
	bool follows_demand;
	bool has_locals;           /* may have local queues */
	uint8_t name_bytes;        /* of FAAS_MAX_NAME and its NUL at most */
	uint32_t provisioned;
	faas_handler_fn *handler;
	void *user;
	int64_t deadline_ns, keep_warm_ns; /* TIME_NEVER: none */
	int64_t max_concurrency;   /* INT64_MAX: unlimited */
	int64_t rate_interval_ns;  /* between two attempts; 0: no limit */
	int64_t rate_slack_ns;     /* how far a burst may run ahead */
	const struct delivery *delivery; /* owned, unless it is the common one */
	uint64_t index;            /* order of registration */

	/* the emitters' line: they write the first five, and read the turn's state */
	on_own_line struct mpsc_in inbox_in;
	atomic_u64 admitted;       /* load of all that got room, and of what is leased; modulo 2^64 */
	atomic_u64 released_seen;  /* a value that `released` once had */
	atomic_u64 accepted;
	void (*release)(void *user); /* fixed; fills up the line */
	struct turn turn;          /* from its node on it stands in lines of the takers */
	atomic_u32 refs;           /* the registry until finished, handles, bindings, set timers, answerable invocations */
	atomic_u32 room_waiters;   /* emitters that wait for room */
	atomic_u32 is_refusal_logged; /* a destination has refused a record before */
	atomic_u32 chores;         /* something besides events wants a turn */
	struct list node;          /* under runtime.functions_mu: in function_list */
	struct list bindings;      /* under route.mu */
	faas_init_fn *init;        /* fixed */

	/* the takers' line: what each of them writes, and the lock, whose last words are not used */
	on_own_line struct mpsc_out inbox_out; /* all from here on under mu, unless something else is said */
	uint64_t popped;           /* load of what left the queue */
	atomic_u64 released;       /* readers without mu: load of what gave its room back */
	int64_t run_ns_average;    /* moving; 0: none yet */
	uint32_t batch_most;       /* events in a batch, by that; 0: not more than one */
	int32_t left_events;       /* what the last batch left behind, less what came while it was taken */
	struct mutex mu;
	struct list backlog;       /* older than the inbox; of an ordered function: what may begin */
	struct list arrivals;      /* of an ordered function: all that is sorted and queued, by acceptance */
	struct key_table *keys;    /* NULL: the function is not ordered */
	uint64_t held;             /* events of `load` that may not begin */
	atomic_u64 delayed_load;   /* who drops reads it without mu: what of the load is delayed */
	struct list warm;          /* the one used last first */
	struct list tallies;       /* of threads that run batches */
	uint32_t warm_count;
	uint32_t starting;
	uint32_t busy;             /* workers that run something */
	uint32_t retiring;         /* workers whose fini runs */
	int64_t active;
	int64_t taken_at;          /* when a batch was taken last */
	int64_t rate_at;           /* when the bucket is as good as empty; see rate.c */
	int64_t rate_due;          /* a token that the turn waits for; TIME_NEVER: none */
	faas_fini_fn *fini;        /* fixed */
	int64_t init_deadline_ns;  /* fixed; TIME_NEVER: none */
	int64_t init_backoff_ns;   /* fixed; TIME_NEVER: none */
	struct list share_node;    /* under share.mu: waits for the runtime's concurrency; counted */
	bool waits_for_share;      /* under share.mu */
	bool gave_share;           /* back unused; others are to be told when the lock is dropped */
	bool defers;               /* has deferred before */
	bool is_paused;            /* nothing starts before init_retry_at */
	bool is_sealed;
	bool is_finished;
	bool is_past;              /* its counts have been added to the runtime's past */
	bool is_closing;           /* the runtime is closed, not the function unregistered */
	uint32_t init_failed;      /* in a row */
	uint32_t reserved;         /* of the runtime's concurrency; 0 when closed */
	struct rejections rejections;
	char name[];               /* fixed; name_bytes with its NUL */
};

#if UINTPTR_MAX > 0xffffffffu
_Static_assert(offsetof(struct faas_function, turn.next_arrived) - offsetof(struct faas_function, inbox_in) < FAAS_LINE &&
                   offsetof(struct faas_function, turn.node) % FAAS_LINE == 0,
               "the emitters' line, and where those of the takers begin");
#endif

/* Whether there must be a struct result: somebody can ask, the caller has a deadline, or a record will be made of it. */
static inline bool faas__parcel_needs_result(const struct parcel *parcel, const faas_function *function)
{
	return parcel->has_handle || parcel->deadline != TIME_NEVER || function->wants_records;
}

/* Bytes of an invocation before its event. */
static inline size_t faas__invocation_header(const faas_function *function, bool has_result)
{
	return function->header_bytes + (has_result ? sizeof(struct result) : 0);
}

/* Of zeroed memory. */
static inline void faas__service_init(struct service *service)
{
	service->timer_due = TIME_NEVER;
	list_init(&service->letters);
}

static inline struct service *faas__service(const faas_function *function)
{
	return load_acquire(&function->service);
}

static inline bool faas__function_is_in_service(const faas_function *function)
{
	return load_acquire(&function->is_in_service) != 0;
}

/* ---- register.c -------------------------------------------------------------------------------------------------- */

/* Nobody has a reference any more. */
void faas__function_free(faas_function *function);

/* No function is left. */
void faas__destinations_free(faas_runtime *runtime);

/* Makes what it needs for events. 0, or FAAS_ENOMEM. Not under the lock. */
int faas__function_make_service(faas_function *function) without_lock(function->mu);

/* The same before each event, of which the first makes it. */
static inline int faas__function_serve(faas_function *function) without_lock(function->mu)
{
	return likely(faas__function_is_in_service(function)) ? FAAS_OK : faas__function_make_service(function);
}

/* ---- function.c -------------------------------------------------------------------------------------------------- */

/* A reference to the function of this name. 0, FAAS_ENAME or FAAS_ENOTFOUND. */
int faas__function_get(faas_runtime *runtime, const char *name, faas_function **ret_function);

/*
 * Closes and seals a function and cancels what is queued and delayed. `closing`: because the runtime is; then also what is
 * deferred. What was left is added to `report`, which may be NULL.
 */
void faas__function_shut(faas_function *function, bool closing, struct faas_close_stats *report);

/* Settles invocations that were popped, moved to SETTLING and counted, and drops the queue's references. */
void faas__settle_popped(faas_invocation *chain, enum end end, bool from_monitor);
/* The same for those that were too old, or too late for their caller, at `now`. */
void faas__settle_expired(faas_invocation *chain, int64_t now);

/* Whether nothing is left of a function that was shut, so that it can finish. */
bool faas__function_is_over(const faas_function *function) holds_lock(function->mu);

/* After something ended: calls release and gives up the registry's reference if it was the last thing. Unlocks. */
void faas__function_unlock_and_finish(faas_function *function) drops_lock(function->mu);
/* The same where it may be the monitor, which leaves finishing to a turn. */
void faas__function_unlock_from(faas_function *function, bool from_monitor) drops_lock(function->mu);

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

/* The same after a worker came back, cheap when a timer is set. */
void faas__worker_arm_for_idle(faas_function *function, int64_t now) holds_lock(function->mu);

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
	return !function->is_paused || now >= faas__service(function)->init_retry_at;
}

/* Gives the function a turn for something besides events. On a finished one: not to be called. */
void faas__function_chore(faas_function *function);

/* ---- key.c ------------------------------------------------------------------------------------------------------- */

/* Memory for an ordered function's table. 0, or FAAS_ENOMEM. */
int faas__keys_init(faas_function *function);
void faas__keys_deinit(faas_function *function);

/* A keyed invocation came out of the inbox: it may begin (true), or waits behind its key. */
bool faas__key_enter(faas_function *function, faas_invocation *invocation) holds_lock(function->mu);

/*
 * After something about a keyed invocation changed: if it is settled and nothing runs for it, its key goes to the next
 * one; if it waits for an overrun that is over, it may begin.
 */
void faas__key_check(faas_function *function, faas_invocation *invocation) holds_lock(function->mu);

/* Whether a retry may join the queue now; else it waits for its overrun. */
bool faas__key_may_retry(faas_function *function, faas_invocation *invocation) holds_lock(function->mu);

/* The head of the key that the invocation waits behind; itself if it is not keyed or not behind any. Not counted. */
faas_invocation *faas__key_head(faas_function *function, faas_invocation *invocation) holds_lock(function->mu);

/* Around an attempt of a keyed invocation: from its choice to its handler's return. */
static inline void faas__key_hold(faas_invocation *invocation)
{
	if (unlikely(faas__is_keyed(invocation)))
		faas__keyed_of(invocation)->running++;
}
void faas__key_let_go(faas_function *function, faas_invocation *invocation) holds_lock(function->mu);

/* ---- rate.c ------------------------------------------------------------------------------------------------------ */

/* How many attempts may begin at `now`, at most `most`. */
uint32_t faas__rate_available(const faas_function *function, int64_t now, uint32_t most) holds_lock(function->mu);
void faas__rate_take(faas_function *function, int64_t now, uint32_t count) holds_lock(function->mu);
void faas__rate_give_back(faas_function *function, uint32_t count) holds_lock(function->mu);
/* When the next one may begin, after `behind` others. */
int64_t faas__rate_next(const faas_function *function, int64_t now, uint64_t behind) holds_lock(function->mu);

/* ---- demand.c ---------------------------------------------------------------------------------------------------- */

/* Workers that should be there. */
uint32_t faas__demand_target(const faas_function *function) holds_lock(function->mu);
/* Looks once a second while there is demand. True: the target has changed. */
bool faas__demand_look(faas_function *function, int64_t now) holds_lock(function->mu);
/* When it wants to look; TIME_NEVER. */
int64_t faas__demand_due(const faas_function *function) holds_lock(function->mu);
/* Something was taken from the queue: looks go on. */
void faas__demand_wake(faas_function *function, int64_t now) holds_lock(function->mu);

/* ---- tally.c, account.c ------------------------------------------------------------------------------------------ */

/* Adds a tally to the function's counts and empties it. */
void faas__tally_fold(faas_function *function, struct tally *tally) holds_lock(function->mu);
/*
 * Counts an end. When it has been published, and the invocation let go, faas__count_published, with which the function
 * may finish; the monitor leaves that to a turn.
 */
void faas__count_end(faas_function *function, bool was_started, enum end end) holds_lock(function->mu);
void faas__count_published(faas_function *function, bool from_monitor) without_lock(function->mu);
/* A run's time as it is billed. */
static inline uint64_t faas__billed_ms(int64_t run_ns)
{
	return run_ns > 0 ? ((uint64_t)run_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

void faas__count_run(faas_function *function, int64_t queued_ns, int64_t run_ns) holds_lock(function->mu);
void faas__count_rejected(faas_function *function, int code) without_lock(function->mu);
void faas__count_letter_lost(faas_function *function) without_lock(function->mu);

/* Adds what a finished function counted to the runtime's past. */
int faas__past_init(faas_runtime *runtime);
void faas__past_deinit(faas_runtime *runtime);
void faas__past_add(faas_function *function);

/* Whether everything the function accepted is settled. */
bool faas__function_is_settled(faas_function *function);

/* In debug builds: the derived gauges against a walk over the queue. Manual mode, or a function at rest. */
void faas__function_check(faas_function *function) holds_lock(function->mu);

#endif
