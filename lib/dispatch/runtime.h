/* SPDX-License-Identifier: MIT */
/*
 * The runtime: what everything in lib/dispatch stands in.
 *
 * Locks, in the order in which they may be taken; all others are taken alone:
 *
 *     clock.mu                      a manual clock's followers, while they fire
 *     functions_mu                  the registry: names, order, what became of past functions
 *     route.mu                      bindings; writers of the route table
 *     wait_bucket.mu                who sleeps there; under it a look whether there is room
 *     function.mu                   queue's end, workers, counts of one function
 *     run_queue.mu, timers_mu, depot.mu, runners_mu, callbacks_mu, share.mu
 *                                   leaves: nothing is taken under them
 *
 * User code (handlers, init, fini, release, on_settled, log) runs under none of them.
 */
#ifndef FAAS_DISPATCH_RUNTIME_H
#define FAAS_DISPATCH_RUNTIME_H

#include "base/alloc.h"
#include "base/atomics.h"
#include "base/blocks.h"
#include "base/clock.h"
#include "base/event.h"
#include "base/list.h"
#include "base/map.h"
#include "base/sync.h"
#include "dispatch/callback.h"
#include "dispatch/function.h"
#include "dispatch/lane.h"
#include "dispatch/route.h"
#include "dispatch/share.h"
#include "executor/executor.h"
#include "faas/runtime.h"
#include "observe/log.h"

#define WAIT_BUCKETS 64u

/* Where threads sleep until some invocation, emission or queue changes; chosen by its address. */
struct wait_bucket {
	on_own_line struct mutex mu;
	struct cond cond;
};

/* How far the end has come; only ever grows. */
#define RUNTIME_OPEN 0u
#define RUNTIME_DRAINING 1u /* intake from outside is refused */
#define RUNTIME_CLOSING 2u  /* all intake is refused, what is left is cancelled */
#define RUNTIME_CLOSED 3u   /* no thread, worker or function is left: handles only */

struct faas_runtime {
	atomic_u32 refs; /* the host's, one for each function and emission */
	atomic_u32 phase;
	uint32_t fork_generation; /* fixed */
	struct allocator allocator; /* fixed */
	faas_clock *clock;          /* fixed; counted; NULL: the system's */
	struct clock_follower follower;
	struct event_origin origin; /* fixed */
	char *source;               /* fixed; what origin.source points to */
	size_t source_bytes;
	struct log log;             /* fixed */
	void (*on_thread_start)(void *user); /* fixed */
	void (*on_thread_stop)(void *user);
	void *thread_user;
	uint64_t max_data_bytes;    /* fixed */
	uint64_t hash_seed;         /* fixed */
	uint32_t local_count;       /* fixed: local queues of a function that has any; 0: none has */
	atomic_u32 locals_given;    /* to threads, in turn */
	struct faas_close_stats report; /* closing thread only: what was left */
	atomic_u32 visitors;             /* host threads that look at what threads run, through a handle */
	atomic_u64 left_in_batches;      /* likewise, cancelled by the threads that had taken it */
	atomic_u32 is_detached;     /* the last thread to leave frees the rest */

	struct block_pool pool;
	struct lanes lanes;
	struct route_table routes;
	struct executor executor;
	struct callbacks callbacks;
	struct share share;
	struct wait_bucket buckets[WAIT_BUCKETS];

	struct mutex functions_mu;
	struct map functions;           /* under functions_mu: by name */
	struct map destinations;        /* under functions_mu: names that records are passed on to; owned */
	struct service no_service;      /* fixed: what functions without an event have instead of their own */
	struct list function_list;      /* under functions_mu: registered and not yet finished */
	uint64_t function_count;        /* under functions_mu: registered */
	uint64_t function_index;        /* under functions_mu: ever registered */
	struct sums *past;              /* under functions_mu: sums over finished functions */

	struct mutex runners_mu;
	struct runner *idle_guests;     /* under runners_mu: for callers that run handlers */
	uint64_t past_emitted;          /* under executor.threads_mu: counted by lanes that are gone */
	uint64_t past_unmatched;
};

static inline bool faas__runtime_is_manual(const faas_runtime *runtime)
{
	return faas__executor_is_manual(&runtime->executor);
}

static inline int64_t faas__runtime_now(const faas_runtime *runtime)
{
	return faas__clock_now(runtime->clock);
}

/* True in a forked child, which may touch nothing. */
static inline bool faas__runtime_is_forked(const faas_runtime *runtime)
{
	return unlikely(runtime->fork_generation != faas__fork_generation());
}

faas_runtime *faas__runtime_ref(faas_runtime *runtime);
void faas__runtime_unref(faas_runtime *runtime);

static inline struct wait_bucket *faas__wait_bucket(faas_runtime *runtime, const void *object)
{
	return &runtime->buckets[((uintptr_t)object >> 6) * 0x9e3779b1u >> 8 & (WAIT_BUCKETS - 1)];
}

/* Frees what a closing runtime still has, when no thread is left but the caller: `own`, or (NULL) a host's. */
void faas__runtime_tear_down(faas_runtime *runtime, struct thread *own);

/* Whether everything accepted is settled at this moment, over all functions. */
bool faas__runtime_is_settled(faas_runtime *runtime);

/* Passes a line to the host's log. No lock may be held. */
void faas__log(faas_runtime *runtime, int32_t level, const char *function, const char *message);

/* Milliseconds as given in configs; FAAS_NEVER becomes TIME_NEVER. */
int64_t faas__ms_to_ns(int64_t ms);
/* A time from now; TIME_NEVER stays. */
static inline int64_t faas__time_after(int64_t now, int64_t duration_ns)
{
	return duration_ns >= TIME_NEVER - now ? TIME_NEVER : now + duration_ns;
}
/* Whether a duration from a config is FAAS_NEVER or in range. */
bool faas__is_duration(int64_t ms);

#endif
