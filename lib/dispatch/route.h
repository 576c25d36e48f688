/* SPDX-License-Identifier: MIT */
/*
 * Routes: from an event's type to the functions bound to it.
 */
#ifndef FAAS_DISPATCH_ROUTE_H
#define FAAS_DISPATCH_ROUTE_H

#include <string.h>

#include "base/alloc.h"
#include "base/atomics.h"
#include "base/list.h"
#include "base/sync.h"
#include "dispatch/lane.h"
#include "faas/common.h"

struct lane;
struct event_plan;

struct binding {
	struct list node;               /* under route.mu: of its function */
	struct faas_function *function; /* fixed; counted */
	atomic_u32 is_dead;             /* writer under route.mu; readers: lanes */
	uint32_t slot;                  /* fixed: its place in route.slots */
	atomic_u32 refs;                /* the registry, and each table it stands in */
	uint32_t pattern_bytes;         /* fixed */
	uint32_t hash;                  /* fixed: faas__route_hash of the pattern; 0: there may be wildcards in it */
	struct faas_filter *filter;     /* fixed; NULL: none */
	atomic_u64 passed, stopped, errors; /* any lane */
	atomic_u32 is_error_logged;     /* any lane */
	char pattern[];                 /* fixed */
};

struct binding_slot {
	struct binding *binding; /* NULL: free */
	uint32_t generation;     /* part of the id, so that an old id finds nothing */
	uint32_t next_free;
};

struct route_table {
	struct mutex mu;
	_Atomic(struct route_snapshot *) current; /* writers under mu; readers: lanes */
	atomic_u64 generation;           /* writers under mu; grows with every change; never 0 */
	struct binding_slot *slots;      /* under mu */
	size_t slots_capacity;
	uint32_t slots_used;
	uint32_t first_free;             /* under mu; NO_SLOT: none */
	uint64_t count;                  /* under mu: living bindings */
	uint64_t dead;                   /* under mu: dead ones that still stand in tables */
	struct route_snapshot *retired;  /* under mu: unlinked, perhaps still read */
};

int faas__routes_init(struct route_table *routes);
/* No lane is in use any more. */
void faas__routes_deinit(faas_runtime *runtime);

/* What a type leads to. In the lane, and valid while in it. */
struct route {
	struct faas_function *const *matches; /* each once, in the order of their registration */
	size_t count;
	struct binding *const *filtered;      /* bindings that match, but ask the event as well */
	size_t filtered_count;
};

/*
 * The pair of places where a type is remembered: by its end, in which types mostly differ. That three of them meet costs
 * a look-up, no more, so the hash need not withstand anybody.
 */
static inline struct route_cache_entry *faas__route_pair(struct lane *lane, const char *type, size_t bytes)
{
	size_t count = bytes < sizeof(uint64_t) ? bytes : sizeof(uint64_t);
	uint64_t end = 0;

	if (likely(count == sizeof(end)))
		memcpy(&end, type + bytes - sizeof(end), sizeof(end));
	else
		memcpy(&end, type, count);
	/* Folded, since a factor spreads what stands low better than what stands high. */
	end = ((end ^ end >> 32) & 0xffffffffu) + bytes;
	return lane->route_cache[end * 0x9e3779b97f4a7c15u >> (64 - ROUTE_CACHE_BITS)];
}

/* Types are short: a call would cost more than the comparison. Two words overlap where the last is not whole. */
static inline bool faas__route_is_same(const char *a, const char *b, size_t bytes)
{
	uint64_t word_a, word_b;

	if (unlikely(bytes < sizeof(word_a)))
		return memcmp(a, b, bytes) == 0;
	for (size_t at = 0;; at += sizeof(word_a)) {
		bool is_last = at + sizeof(word_a) >= bytes;

		if (is_last)
			at = bytes - sizeof(word_a);
		memcpy(&word_a, a + at, sizeof(word_a));
		memcpy(&word_b, b + at, sizeof(word_b));
		if (word_a != word_b || is_last)
			return word_a == word_b;
	}
}

static inline bool faas__route_is_of(const struct route_cache_key *key, uint64_t generation, const char *type,
                                     size_t bytes)
{
	return key->generation == generation && key->type_bytes == bytes && faas__route_is_same(key->type, type, bytes);
}

/* What the lane remembers of a type; NULL: nothing, or nothing of this generation. */
static inline const struct route_cache_entry *faas__route_remembered(struct lane *lane, uint64_t generation,
                                                                     const char *type, size_t type_bytes)
{
	const struct route_cache_entry *entry = faas__route_pair(lane, type, type_bytes), *end = entry + 2;

	while (!likely(faas__route_is_of(&entry->key, generation, type, type_bytes)))
		if (++entry == end)
			return NULL;
	return entry;
}

/* Checks the type of a planned event and looks it up. 0, FAAS_ENOMEM, or an error of the type. */
int faas__route(faas_runtime *runtime, struct lane *lane, struct event_plan *plan, struct route *ret_route);

/*
 * Asks the filters: adds the functions of those that `event` passes to the matches. `*ret_error`: a binding, counted,
 * whose first error this was, and the code; else NULL. 0, or FAAS_ENOMEM.
 */
int faas__route_filter(faas_runtime *runtime, struct lane *lane, const faas_event *event, struct route *route,
                       struct binding **ret_error, int *ret_code);
void faas__binding_unref(faas_runtime *runtime, struct binding *binding);

/* Removes all bindings of a function. */
void faas__route_remove_function(faas_runtime *runtime, struct faas_function *function);

/* Frees snapshots that no lane reads any more. */
void faas__routes_collect(faas_runtime *runtime);

#endif
