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
#include "dispatch/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/event.h"
#include "base/text.h"
#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"
#include "dispatch/table.h"

#define LATEST_MAX 32u
#define TREES_MAX 40u
#define NO_SLOT UINT32_MAX
#define FEW_DEAD 64u

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
};

int faas__routes_init(struct route_table *routes)
{
	routes->first_free = NO_SLOT;
	store_relaxed(&routes->generation, 1);
	return faas__mutex_init(&routes->mu);
}

/* ---- Matching, in a lane ----------------------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
	const struct faas_function *const *x = a, *const *y = b;

	return ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

/* Tables are searched one after the other, and one function may have bound itself twice. */
static void sort_unique(struct match_list *list)
{
	size_t kept = 0;

	if (list->is_sorted || list->count < 2)
		return;
	qsort(list->functions, list->count, sizeof(*list->functions), by_index);
	for (size_t i = 1; i < list->count; i++)
		if (list->functions[i] != list->functions[kept])
			list->functions[++kept] = list->functions[i];
	list->count = kept + 1;
}

static int match_all(const struct route_snapshot *snapshot, const char *type, struct match_list *list)
{
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		int error = faas__route_tree_match(snapshot->trees[i]->tree, type, list);

		if (error != FAAS_OK)
			return error;
	}
	for (size_t i = 0; i < snapshot->latest_count; i++) {
		struct binding *binding = snapshot->latest[i];
		int error;

		if (load_relaxed(&binding->is_dead) || !faas__pattern_matches(binding->pattern, type))
			continue;
		error = faas__match_add(list, binding->function);
		if (error != FAAS_OK)
			return error;
	}
	sort_unique(list);
	return FAAS_OK;
}

static void remember(struct route_cache_entry *entry, uint64_t hash, uint64_t generation, const char *type,
                     size_t type_bytes, const struct match_list *list)
{
	if (type_bytes > ROUTE_CACHE_TYPE || list->count > ROUTE_CACHE_MATCHES)
		return;
	entry->hash = hash;
	entry->generation = generation;
	entry->type_bytes = (uint8_t)type_bytes;
	entry->count = (uint8_t)list->count;
	memcpy(entry->type, type, type_bytes);
	if (list->count > 0)
		memcpy(entry->matches, list->functions, list->count * sizeof(*list->functions));
}

int faas__route(faas_runtime *runtime, struct lane *lane, const char *type, size_t type_bytes,
                struct faas_function *const **ret_matches, size_t *ret_count)
{
	/* Before the snapshot: what is remembered under this generation is at least as new. */
	uint64_t generation = load_seq_cst(&runtime->routes.generation);
	uint64_t hash = faas__text_hash(type, type_bytes, runtime->hash_seed);
	struct route_cache_entry *entry = &lane->route_cache[hash % ROUTE_CACHE_SIZE];
	struct match_list list = {.allocator = &runtime->allocator,
	                          .functions = lane->matches,
	                          .capacity = lane->matches_capacity,
	                          .is_sorted = true};
	struct route_snapshot *snapshot;
	int error = FAAS_OK;

	if (likely(entry->generation == generation && entry->hash == hash && entry->type_bytes == type_bytes &&
	           memcmp(entry->type, type, type_bytes) == 0)) {
		*ret_matches = entry->matches;
		*ret_count = entry->count;
		return FAAS_OK;
	}
	snapshot = load_seq_cst(&runtime->routes.current);
	if (snapshot)
		error = match_all(snapshot, type, &list);
	lane->matches = list.functions;
	lane->matches_capacity = list.capacity;
	if (error != FAAS_OK)
		return error;
	remember(entry, hash, generation, type, type_bytes, &list);
	*ret_matches = list.functions;
	*ret_count = list.count;
	return FAAS_OK;
}

/* ---- Counting: bindings, trees, snapshots ------------------------------------------------------------------------ */

static void binding_unref(faas_runtime *runtime, struct binding *binding)
{
	if (sub_acq_rel(&binding->refs, 1) != 1)
		return;
	faas_function_unref(binding->function);
	faas__free(&runtime->allocator, binding, sizeof(*binding) + binding->pattern_bytes + 1);
}

static void tree_unref(faas_runtime *runtime, struct counted_tree *counted)
{
	if (!counted || --counted->refs > 0)
		return;
	for (size_t i = 0; i < faas__route_tree_count(counted->tree); i++)
		binding_unref(runtime, faas__route_tree_bindings(counted->tree)[i]);
	faas__route_tree_free(&runtime->allocator, counted->tree);
	faas__free(&runtime->allocator, counted, sizeof(*counted));
}

static void snapshot_free(faas_runtime *runtime, struct route_snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->tree_count; i++)
		tree_unref(runtime, snapshot->trees[i]);
	for (size_t i = 0; i < snapshot->latest_count; i++)
		binding_unref(runtime, snapshot->latest[i]);
	faas__free(&runtime->allocator, snapshot, sizeof(*snapshot));
}

/*
 * Freeing a snapshot may drop the last reference on a function, which frees it: that takes no lock and runs no user
 * code (release was called when the function finished).
 */
static void collect(faas_runtime *runtime) holds_lock(runtime->routes.mu)
{
	struct route_snapshot **at = &runtime->routes.retired;

	while (*at) {
		struct route_snapshot *snapshot = *at;

		if (!faas__epoch_has_passed(runtime, snapshot->retired_at)) {
			at = &snapshot->next_retired;
			continue;
		}
		*at = snapshot->next_retired;
		snapshot_free(runtime, snapshot);
	}
}

void faas__routes_collect(faas_runtime *runtime)
{
	faas__mutex_lock(&runtime->routes.mu);
	collect(runtime);
	faas__mutex_unlock(&runtime->routes.mu);
}

/* Makes a snapshot the current one. */
static void publish(faas_runtime *runtime, struct route_snapshot *snapshot) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;
	struct route_snapshot *old = exchange_seq_cst(&routes->current, snapshot);

	add_seq_cst(&routes->generation, 1);
	if (old) {
		old->retired_at = faas__epoch_advance(runtime);
		old->next_retired = routes->retired;
		routes->retired = old;
	}
	collect(runtime);
}

/* ---- Building a new snapshot ------------------------------------------------------------------------------------- */

/* A copy with references of its own. */
static struct route_snapshot *snapshot_copy(faas_runtime *runtime, const struct route_snapshot *from)
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
		binding_unref(runtime, snapshot->latest[i]);
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

static int make_room(faas_runtime *runtime, struct route_snapshot *snapshot) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;

	if (routes->dead > routes->count + FEW_DEAD) {
		int error = merge_from(runtime, snapshot, 0);

		if (error == FAAS_OK)
			routes->dead = 0;
		return error;
	}
	if (snapshot->latest_count < LATEST_MAX)
		return FAAS_OK;
	return merge_from(runtime, snapshot, merge_point(snapshot));
}

/* ---- Slots: from ids to bindings --------------------------------------------------------------------------------- */

static int slot_take(faas_runtime *runtime, struct binding *binding) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;
	uint32_t slot = routes->first_free;

	if (slot != NO_SLOT) {
		routes->first_free = routes->slots[slot].next_free;
	} else {
		void *array = routes->slots;

		if (faas__array_grow(&runtime->allocator, &array, &routes->slots_capacity, (size_t)routes->slots_used + 1,
		                     sizeof(*routes->slots)) != FAAS_OK)
			return FAAS_ENOMEM;
		routes->slots = array;
		slot = routes->slots_used++;
		routes->slots[slot].generation = 1;
	}
	routes->slots[slot].binding = binding;
	binding->slot = slot;
	return FAAS_OK;
}

static void slot_free(struct route_table *routes, uint32_t slot)
{
	routes->slots[slot].binding = NULL;
	routes->slots[slot].generation++;
	routes->slots[slot].next_free = routes->first_free;
	routes->first_free = slot;
}

static uint64_t binding_id(const struct route_table *routes, const struct binding *binding)
{
	return (uint64_t)routes->slots[binding->slot].generation << 32 | (binding->slot + 1);
}

static struct binding *binding_by_id(const struct route_table *routes, uint64_t id)
{
	uint32_t slot = (uint32_t)id - 1;

	if ((uint32_t)id == 0 || slot >= routes->slots_used || routes->slots[slot].generation != id >> 32)
		return NULL;
	return routes->slots[slot].binding;
}

/* ---- Binding ----------------------------------------------------------------------------------------------------- */

static struct binding *binding_new(faas_runtime *runtime, const char *pattern, size_t bytes, faas_function *function)
{
	struct binding *binding = faas__alloc_zero(&runtime->allocator, sizeof(*binding) + bytes + 1);

	if (!binding)
		return NULL;
	memcpy(binding->pattern, pattern, bytes + 1);
	binding->pattern_bytes = (uint32_t)bytes;
	binding->function = faas_function_ref(function);
	store_relaxed(&binding->refs, 1);
	list_init(&binding->node);
	return binding;
}

static int insert(faas_runtime *runtime, struct binding *binding) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;
	struct route_snapshot *snapshot;
	int error;

	if (load_relaxed(&binding->function->is_closed))
		return FAAS_ENOTFOUND;
	if (routes->count >= FAAS_MAX_BINDINGS)
		return FAAS_EBINDINGS;
	snapshot = snapshot_copy(runtime, load_relaxed(&routes->current));
	if (!snapshot)
		return FAAS_ENOMEM;
	error = make_room(runtime, snapshot);
	if (error == FAAS_OK)
		error = slot_take(runtime, binding);
	if (error != FAAS_OK) {
		snapshot_free(runtime, snapshot);
		return error;
	}
	snapshot->latest[snapshot->latest_count++] = binding;
	add_relaxed(&binding->refs, 1);
	list_push_back(&binding->function->bindings, &binding->node);
	routes->count++;
	publish(runtime, snapshot);
	return FAAS_OK;
}

int faas_bind(faas_runtime *runtime, const faas_binding_config *given, uint64_t *ret_id)
{
	faas_binding_config copy;
	const faas_binding_config *config;
	struct binding *binding;
	faas_function *function;
	size_t bytes;
	int error;

	if (!runtime || !given)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	config = faas__config_read(given, &copy, sizeof(copy));
	if (!config || !config->pattern || !config->function || config->reserved != 0)
		return FAAS_EINVAL;
	if (load_acquire(&runtime->phase) != RUNTIME_OPEN)
		return FAAS_ECLOSED;
	error = faas__type_check(config->pattern, true, FAAS_EPATTERN, &bytes);
	if (error == FAAS_OK)
		error = faas__function_get(runtime, config->function, &function);
	if (error != FAAS_OK)
		return error;
	binding = binding_new(runtime, config->pattern, bytes, function);
	faas_function_unref(function);
	if (!binding)
		return FAAS_ENOMEM;
	faas__mutex_lock(&runtime->routes.mu);
	error = insert(runtime, binding);
	if (error == FAAS_OK && ret_id)
		*ret_id = binding_id(&runtime->routes, binding);
	faas__mutex_unlock(&runtime->routes.mu);
	if (error != FAAS_OK)
		binding_unref(runtime, binding);
	return error;
}

static void bury(faas_runtime *runtime, struct binding *binding) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;

	store_relaxed(&binding->is_dead, 1);
	list_remove(&binding->node);
	slot_free(routes, binding->slot);
	routes->count--;
	routes->dead++;
	binding_unref(runtime, binding);
}

/* Dead bindings go when a rebuild succeeds; until then they only take room. */
static void after_burial(faas_runtime *runtime) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;
	struct route_snapshot *snapshot;

	add_seq_cst(&routes->generation, 1);
	if (routes->dead <= routes->count + FEW_DEAD && routes->count > 0)
		return;
	snapshot = snapshot_copy(runtime, load_relaxed(&routes->current));
	if (!snapshot)
		return;
	if (merge_from(runtime, snapshot, 0) != FAAS_OK) {
		snapshot_free(runtime, snapshot);
		return;
	}
	routes->dead = 0;
	publish(runtime, snapshot);
}

int faas_unbind(faas_runtime *runtime, uint64_t id)
{
	struct binding *binding;

	if (!runtime)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	faas__mutex_lock(&runtime->routes.mu);
	binding = binding_by_id(&runtime->routes, id);
	if (binding) {
		bury(runtime, binding);
		after_burial(runtime);
	}
	faas__mutex_unlock(&runtime->routes.mu);
	return binding ? FAAS_OK : FAAS_ENOTFOUND;
}

void faas__route_remove_function(faas_runtime *runtime, struct faas_function *function)
{
	faas__mutex_lock(&runtime->routes.mu);
	if (!list_empty(&function->bindings)) {
		while (!list_empty(&function->bindings))
			bury(runtime, container_of(function->bindings.next, struct binding, node));
		after_burial(runtime);
	}
	faas__mutex_unlock(&runtime->routes.mu);
}

void faas__routes_deinit(faas_runtime *runtime)
{
	struct route_table *routes = &runtime->routes;

	faas__mutex_lock(&runtime->routes.mu);
	collect(runtime);
	snapshot_free(runtime, exchange_seq_cst(&routes->current, NULL));
	for (uint32_t i = 0; i < routes->slots_used; i++)
		if (routes->slots[i].binding)
			binding_unref(runtime, routes->slots[i].binding);
	faas__free(&runtime->allocator, routes->slots, routes->slots_capacity * sizeof(*routes->slots));
	routes->slots = NULL;
	routes->slots_capacity = 0;
	routes->slots_used = 0;
	faas__mutex_unlock(&runtime->routes.mu);
}
