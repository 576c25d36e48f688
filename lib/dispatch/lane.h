/* SPDX-License-Identifier: MIT */
/*
 * Lanes: what a thread needs to emit, without sharing a line with others.
 *
 * A pool thread owns the lane in its runner. Host threads share stripes: a few lanes of the runtime, one of which is
 * locked for the moment of an emit. So nothing hangs on thread-local storage that would need a destructor.
 *
 * While a thread is in its lane, what it read from the route table stays valid: the lane's word holds the epoch at
 * which it was entered (and is a stripe's lock at the same time). Who unlinks something from what lanes read waits for,
 * or defers to, the moment when no lane shows an epoch that old. No user code runs in a lane.
 * Source: Fraser, "Practical lock-freedom", 2004, section 5.2.3 (epoch-based reclamation).
 */
#ifndef FAAS_DISPATCH_LANE_H
#define FAAS_DISPATCH_LANE_H

#include "base/atomics.h"
#include "base/blocks.h"
#include "faas/common.h"

struct runner;

#define ROUTE_CACHE_BITS 5 /* 32 pairs */
#define ROUTE_CACHE_PAIRS (1u << ROUTE_CACHE_BITS)
#define ROUTE_CACHE_TYPE 46u
#define ROUTE_CACHE_MATCHES 4u

/* What a type led to, as long as the route table's generation has not changed. */
struct route_cache_key {
	uint64_t generation; /* 0: empty */
	uint8_t type_bytes;
	uint8_t count;       /* of matches, where they stand beside it */
	char type[ROUTE_CACHE_TYPE];
};

struct route_cache_entry {
	struct route_cache_key key;
	struct faas_function *matches[ROUTE_CACHE_MATCHES];
};

/* The owner (of a stripe: who holds it) alone touches all but `word` and the counters. */
struct lane {
	on_own_line atomic_u64 word; /* 0: nobody is in it */
	uint64_t id_next, id_end;    /* event numbers to hand out */
	int64_t credit_events;       /* room in the runtime's queues that is leased to this lane */
	int64_t credit_bytes;
	atomic_u64 emitted;          /* one writer; readers: stats */
	atomic_u64 unmatched;
	_Atomic(struct runner *) idle_guest; /* of a stripe: for a caller that runs handlers; anybody takes it */
	struct faas_function **matches; /* where a route look-up collects */
	size_t matches_capacity;
	struct route_cache_key collected; /* the type whose matches these still are, all of them */
	size_t collected_count;
	struct binding **filtered;      /* likewise */
	size_t filtered_capacity;
	struct route_cache_entry route_cache[ROUTE_CACHE_PAIRS][2]; /* of a pair, the newer first */
	struct block_cache blocks;
};

/* What all lanes of a runtime share. */
struct lanes {
	struct lane *stripes; /* fixed */
	uint32_t stripe_count; /* fixed; a power of two */
	on_own_line atomic_u64 epoch;  /* starts at 1 */
	on_own_line atomic_u64 id_next;
	on_own_line atomic_i64 free_events; /* room in all queues that is not leased */
	atomic_i64 free_bytes;
	/* fixed: */
	int64_t max_events, max_bytes;     /* FAAS_UNLIMITED: none */
	int64_t chunk_events, chunk_bytes; /* leased at a time */
};

/* Enters the runner's lane, or a stripe where `runner` is NULL. Not to be nested. */
struct lane *faas__lane_enter(faas_runtime *runtime, struct runner *runner);
static inline void faas__lane_leave(struct lane *lane);

/* The stripe that this thread tries first. */
static inline struct lane *faas__lane_stripe(const struct lanes *lanes);
/* Enters a stripe unless somebody is in it. */
static inline bool faas__lane_try_enter(const struct lanes *lanes, struct lane *lane);

/* The next event number. */
static inline uint64_t faas__lane_next_id(faas_runtime *runtime, struct lane *lane);
/* More numbers for it. */
void faas__lane_get_ids(faas_runtime *runtime, struct lane *lane);

/* Room for one event in the runtime's queues. False: they are full (or what is left is leased to other lanes). */
static inline bool faas__lane_reserve(faas_runtime *runtime, struct lane *lane, size_t bytes);
/* The same where more must be leased first. */
bool faas__lane_lease(faas_runtime *runtime, struct lane *lane, size_t bytes);
void faas__lane_release(faas_runtime *runtime, struct lane *lane, int64_t events, int64_t bytes);
/* Room that is taken even where there is none: for retries. */
void faas__lane_force(faas_runtime *runtime, int64_t events, int64_t bytes);

/* Its address tells threads apart; nobody reads it. */
extern _Thread_local FAST_TLS char faas__lane_identity;

static inline struct lane *faas__lane_stripe(const struct lanes *lanes)
{
	/* Threads' addresses differ by multiples of a page at least; the product's upper half depends on all of their bits. */
	uint64_t product = (uintptr_t)&faas__lane_identity * 0x9e3779b97f4a7c15u;

	return &lanes->stripes[(uint32_t)(product >> 32) & (lanes->stripe_count - 1)];
}

static inline bool faas__lane_try_enter(const struct lanes *lanes, struct lane *lane)
{
	uint64_t epoch = load_seq_cst(&lanes->epoch), nobody = 0;

	return cas_seq_cst(&lane->word, &nobody, epoch);
}

static inline void faas__lane_leave(struct lane *lane)
{
	store_release(&lane->word, 0);
}

static inline uint64_t faas__lane_next_id(faas_runtime *runtime, struct lane *lane)
{
	if (unlikely(lane->id_next == lane->id_end))
		faas__lane_get_ids(runtime, lane);
	return lane->id_next++;
}

static inline bool faas__lane_reserve(faas_runtime *runtime, struct lane *lane, size_t bytes)
{
	if (unlikely(lane->credit_events < 1 || lane->credit_bytes < (int64_t)bytes))
		return faas__lane_lease(runtime, lane, bytes);
	lane->credit_events--;
	lane->credit_bytes -= (int64_t)bytes;
	return true;
}

/* Makes everything that was unlinked before this call an age of its own. */
uint64_t faas__epoch_advance(faas_runtime *runtime);
/* Whether no lane can see what was unlinked before faas__epoch_advance returned `epoch`. */
bool faas__epoch_has_passed(faas_runtime *runtime, uint64_t epoch);
/* Waits for that; emits under way take microseconds. */
void faas__epoch_await(faas_runtime *runtime, uint64_t epoch);

#endif
