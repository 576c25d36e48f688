/* SPDX-License-Identifier: MIT */
/* Snapshots of the route table: what lanes read, and how the next one is made. See snapshot.c. */
#ifndef FAAS_DISPATCH_SNAPSHOT_H
#define FAAS_DISPATCH_SNAPSHOT_H

#include "dispatch/route.h"
#include "dispatch/runtime.h"
#include "dispatch/table.h"

#define LATEST_MAX 32u
#define TREES_MAX 40u

struct counted_tree {
	uint64_t refs; /* under routes.mu */
	struct route_tree *tree;
};

struct route_snapshot {
	struct route_snapshot *next_retired;
	uint64_t retired_at; /* epoch */
	size_t tree_count;
	size_t latest_count;
	struct counted_tree *trees[TREES_MAX]; /* large ones first */
	struct binding *latest[LATEST_MAX];    /* counted */
	uint32_t latest_hashes[LATEST_MAX];    /* of each, the binding's */
};

/* A copy with references of its own; of NULL, an empty one. NULL: no memory. */
struct route_snapshot *faas__snapshot_copy(faas_runtime *runtime, const struct route_snapshot *from)
	holds_lock(runtime->routes.mu);
void faas__snapshot_free(faas_runtime *runtime, struct route_snapshot *snapshot) holds_lock(runtime->routes.mu);

/* Makes room for one more among the latest. 0, or FAAS_ENOMEM and nothing changed. */
int faas__snapshot_make_room(faas_runtime *runtime, struct route_snapshot *snapshot) holds_lock(runtime->routes.mu);

/* Whether so much is dead that a rebuild pays. */
bool faas__snapshot_is_stale(const struct route_table *routes);

/* One tree of all that lives. 0, or FAAS_ENOMEM and nothing changed. */
int faas__snapshot_rebuild(faas_runtime *runtime, struct route_snapshot *snapshot) holds_lock(runtime->routes.mu);

/* Makes a snapshot the current one, and frees old ones that no lane reads any more. */
void faas__snapshot_publish(faas_runtime *runtime, struct route_snapshot *snapshot) holds_lock(runtime->routes.mu);
void faas__snapshot_collect(faas_runtime *runtime) holds_lock(runtime->routes.mu);

#endif
