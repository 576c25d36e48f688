/* SPDX-License-Identifier: MIT */
/*
 * The route table: a snapshot of immutable tables, replaced as a whole and read without a lock.
 *
 * One table for all bindings would be rebuilt at every bind: 100,000 binds in a row would cost n^2. So a snapshot holds
 * several: a short list of the latest bindings, which is compared one by one, and trees whose sizes at least halve from
 * one to the next. When the list is full it becomes a tree, merged with those that are not larger: each binding is
 * rebuilt about log2(n / LATEST_MAX) times in all. (Source: the logarithmic method of Bentley and Saxe, 1980.)
 *
 * A lane remembers the last types it routed, as long as `generation` stands still, so that in practice neither the
 * number of trees nor of bindings is felt.
 *
 * Unbinding marks the binding dead, which readers look at, and moves the generation on; it needs no memory. When half
 * of all that stands in tables is dead, the next change rebuilds everything.
 *
 * Reading: in a lane (lane.h). An unlinked snapshot is freed when no lane is left that entered before the unlinking.
 * Trees and bindings are counted by the snapshots and trees they stand in, under mu.
 */
#include "dispatch/snapshot.h"

#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "faas/filter.h"

#define FEW_DEAD 64u

void faas__binding_unref(faas_runtime *runtime, struct binding *binding)
{
	if (sub_acq_rel(&binding->refs, 1) != 1)
		return;
	faas_function_unref(binding->function);
	faas_filter_free(binding->filter);
	faas__free(&runtime->allocator, binding, sizeof(*binding) + binding->pattern_bytes + 1);
}

static void tree_unref(faas_runtime *runtime, struct counted_tree *counted)
{
	if (!counted || --counted->refs > 0)
		return;
	for (size_t i = 0; i < faas__route_tree_count(counted->tree); i++)
		faas__binding_unref(runtime, faas__route_tree_bindings(counted->tree)[i]);
	faas__route_tree_free(&runtime->allocator, counted->tree);
	faas__free(&runtime->allocator, counted, sizeof(*counted));
}

void faas__snapshot_free(faas_runtime *runtime, struct route_snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->tree_count; i++)
		tree_unref(runtime, snapshot->trees[i]);
	for (size_t i = 0; i < snapshot->latest_count; i++)
		faas__binding_unref(runtime, snapshot->latest[i]);
	faas__free(&runtime->allocator, snapshot, sizeof(*snapshot));
}

/*
 * Freeing a snapshot may drop the last reference on a function, which frees it: that takes no lock and runs no user
 * code (release was called when the function finished).
 */
void faas__snapshot_collect(faas_runtime *runtime)
{
	struct route_snapshot **at = &runtime->routes.retired;

	while (*at) {
		struct route_snapshot *snapshot = *at;

		if (!faas__epoch_has_passed(runtime, snapshot->retired_at)) {
			at = &snapshot->next_retired;
			continue;
		}
		*at = snapshot->next_retired;
		faas__snapshot_free(runtime, snapshot);
	}
}

void faas__routes_collect(faas_runtime *runtime)
{
	faas__mutex_lock(&runtime->routes.mu);
	faas__snapshot_collect(runtime);
	faas__mutex_unlock(&runtime->routes.mu);
}

void faas__snapshot_publish(faas_runtime *runtime, struct route_snapshot *snapshot)
{
	struct route_table *routes = &runtime->routes;
	struct route_snapshot *old = exchange_seq_cst(&routes->current, snapshot);

	add_seq_cst(&routes->generation, 1);
	if (old) {
		old->retired_at = faas__epoch_advance(runtime);
		old->next_retired = routes->retired;
		routes->retired = old;
	}
	faas__snapshot_collect(runtime);
}

/* ---- Building a new snapshot ------------------------------------------------------------------------------------- */

/* A copy with references of its own. */
struct route_snapshot *faas__snapshot_copy(faas_runtime *runtime, const struct route_snapshot *from)
{
	struct route_snapshot *copy = faas__alloc_zero(&runtime->allocator, sizeof(*copy));

	if (!copy || !from)
		return copy;
	copy->tree_count = from->tree_count;
	copy->latest_count = from->latest_count;
	for (size_t i = 0; i < from->tree_count; i++) {
		copy->trees[i] = from->trees[i];
		copy->trees[i]->refs++;
	}
	for (size_t i = 0; i < from->latest_count; i++) {
		copy->latest[i] = from->latest[i];
		copy->latest_hashes[i] = from->latest_hashes[i];
		add_relaxed(&copy->latest[i]->refs, 1);
	}
	return copy;
}

static size_t gather(struct binding **into, size_t count, struct binding *const *from, size_t from_count)
{
	for (size_t i = 0; i < from_count; i++)
		if (!load_relaxed(&from[i]->is_dead))
			into[count++] = from[i];
	return count;
}

/* A tree of the trees from `first` on and the latest ones. 0, or FAAS_ENOMEM. */
static int make_tree(faas_runtime *runtime, const struct route_snapshot *snapshot, size_t first,
                     struct counted_tree **ret_tree)
{
	const struct allocator *allocator = &runtime->allocator;
	struct counted_tree *counted = faas__alloc_zero(allocator, sizeof(*counted));
	size_t capacity = snapshot->latest_count + 1, count = 0;
	struct binding **all;

	for (size_t i = first; i < snapshot->tree_count; i++)
		capacity += faas__route_tree_count(snapshot->trees[i]->tree);
	all = faas__alloc(allocator, capacity * sizeof(struct binding *));
	if (counted && all) {
		for (size_t i = first; i < snapshot->tree_count; i++)
			count = gather(all, count, faas__route_tree_bindings(snapshot->trees[i]->tree),
			               faas__route_tree_count(snapshot->trees[i]->tree));
		count = gather(all, count, snapshot->latest, snapshot->latest_count);
		counted->tree = faas__route_tree_new(allocator, all, count, runtime->hash_seed);
	}
	faas__free(allocator, all, capacity * sizeof(struct binding *));
	if (!counted || !counted->tree) {
		faas__free(allocator, counted, sizeof(*counted));
		return FAAS_ENOMEM;
	}
	counted->refs = 1;
	*ret_tree = counted;
	return FAAS_OK;
}

/* Replaces the trees from `first` on and the latest ones by one tree. 0, or FAAS_ENOMEM and nothing changed. */
static int merge_from(faas_runtime *runtime, struct route_snapshot *snapshot, size_t first)
{
	struct counted_tree *merged;
	int error = make_tree(runtime, snapshot, first, &merged);

	if (error != FAAS_OK)
		return error;
	for (size_t i = first; i < snapshot->tree_count; i++)
		tree_unref(runtime, snapshot->trees[i]);
	for (size_t i = 0; i < snapshot->latest_count; i++)
		faas__binding_unref(runtime, snapshot->latest[i]);
	snapshot->trees[first] = merged;
	snapshot->tree_count = first + 1;
	snapshot->latest_count = 0;
	return FAAS_OK;
}

/* Where the merge begins so that tree sizes at least halve from one to the next. */
static size_t merge_point(const struct route_snapshot *snapshot)
{
	size_t first = snapshot->tree_count, size = snapshot->latest_count;

	while (first > 0 && faas__route_tree_count(snapshot->trees[first - 1]->tree) < 2 * size)
		size += faas__route_tree_count(snapshot->trees[--first]->tree);
	return first;
}

bool faas__snapshot_is_stale(const struct route_table *routes)
{
	return routes->dead > routes->count + FEW_DEAD;
}

int faas__snapshot_rebuild(faas_runtime *runtime, struct route_snapshot *snapshot)
{
	int error = merge_from(runtime, snapshot, 0);

	if (error == FAAS_OK)
		runtime->routes.dead = 0;
	return error;
}

int faas__snapshot_make_room(faas_runtime *runtime, struct route_snapshot *snapshot)
{
	if (faas__snapshot_is_stale(&runtime->routes))
		return faas__snapshot_rebuild(runtime, snapshot);
	if (snapshot->latest_count < LATEST_MAX)
		return FAAS_OK;
	return merge_from(runtime, snapshot, merge_point(snapshot));
}
