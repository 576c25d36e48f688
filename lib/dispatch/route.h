/* SPDX-License-Identifier: MIT */
/*
 * Routes: from an event's type to the functions bound to it.
 */
#ifndef FAAS_DISPATCH_ROUTE_H
#define FAAS_DISPATCH_ROUTE_H

#include "base/alloc.h"
#include "base/atomics.h"
#include "base/list.h"
#include "base/sync.h"
#include "faas/common.h"

struct lane;

struct binding {
	struct list node;               /* under route.mu: of its function */
	struct faas_function *function; /* fixed; counted */
	atomic_u32 is_dead;             /* writer under route.mu; readers: lanes */
	uint32_t slot;                  /* fixed: its place in route.slots */
	atomic_u32 refs;                /* the registry, and each table it stands in */
	uint32_t pattern_bytes;         /* fixed */
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

/*
 * The functions that an event of this type goes to, each once, in the order of their registration. In the lane, and
 * valid while in it. `*ret_count` may be 0. 0, or FAAS_ENOMEM.
 */
int faas__route(faas_runtime *runtime, struct lane *lane, const char *type, size_t type_bytes,
                struct faas_function *const **ret_matches, size_t *ret_count);

/* Removes all bindings of a function. */
void faas__route_remove_function(faas_runtime *runtime, struct faas_function *function);

/* Frees snapshots that no lane reads any more. */
void faas__routes_collect(faas_runtime *runtime);

#endif
