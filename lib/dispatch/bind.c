/* SPDX-License-Identifier: MIT */
/*
 * Bindings: made, found by id, removed. An id is a slot's number and its generation, so that the id of a binding that is
 * gone finds nothing, whoever has the slot now. Every change is made under the route table's mutex; see snapshot.c for
 * how readers see it.
 */
#include <string.h>

#include "base/config.h"
#include "base/text.h"
#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/snapshot.h"
#include "faas/filter.h"

#define NO_SLOT UINT32_MAX

int faas__routes_init(struct route_table *routes)
{
	routes->first_free = NO_SLOT;
	store_relaxed(&routes->generation, 1);
	return faas__mutex_init(&routes->mu);
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
	if (!strpbrk(pattern, "*>"))
		binding->hash = faas__route_hash(pattern, bytes, runtime->hash_seed);
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
	snapshot = faas__snapshot_copy(runtime, load_relaxed(&routes->current));
	if (!snapshot)
		return FAAS_ENOMEM;
	error = faas__snapshot_make_room(runtime, snapshot);
	if (error == FAAS_OK)
		error = slot_take(runtime, binding);
	if (error != FAAS_OK) {
		faas__snapshot_free(runtime, snapshot);
		return error;
	}
	snapshot->latest_hashes[snapshot->latest_count] = binding->hash;
	snapshot->latest[snapshot->latest_count++] = binding;
	add_relaxed(&binding->refs, 1);
	list_push_back(&binding->function->bindings, &binding->node);
	routes->count++;
	faas__snapshot_publish(runtime, snapshot);
	return FAAS_OK;
}

/* Compiles a binding's filter. 0, or why it cannot be. */
static int compile_filter(faas_runtime *runtime, const faas_binding_config *config, faas_filter **ret_filter)
{
	const faas_allocator_config allocator = {.struct_size = sizeof(allocator),
	                                         .alloc = runtime->allocator.alloc,
	                                         .free = runtime->allocator.free,
	                                         .user = runtime->allocator.user};
	const faas_filter_config filter = {.struct_size = sizeof(filter),
	                                   .flags = FAAS_FILTER_PREDICATE,
	                                   .expression = config->filter,
	                                   .allocator = &allocator};

	*ret_filter = NULL;
	return config->filter ? faas_filter_compile(&filter, ret_filter, config->filter_error) : FAAS_OK;
}

/* Checks a config and makes the binding. 0, or one of the codes of faas_bind. */
static int make_binding(faas_runtime *runtime, const faas_binding_config *config, struct binding **ret_binding)
{
	faas_function *function;
	faas_filter *filter;
	size_t bytes;
	int error = faas__type_check(config->pattern, true, FAAS_EPATTERN, &bytes);

	if (error == FAAS_OK)
		error = compile_filter(runtime, config, &filter);
	if (error != FAAS_OK)
		return error;
	error = faas__function_get(runtime, config->function, &function);
	if (error == FAAS_OK) {
		*ret_binding = binding_new(runtime, config->pattern, bytes, function);
		if (!*ret_binding)
			error = FAAS_ENOMEM;
		faas_function_unref(function);
	}
	if (error != FAAS_OK)
		faas_filter_free(filter);
	else
		(*ret_binding)->filter = filter;
	return error;
}

int faas_bind(faas_runtime *runtime, const faas_binding_config *given, uint64_t *ret_id)
{
	faas_binding_config copy;
	const faas_binding_config *config;
	struct binding *binding;
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
	error = make_binding(runtime, config, &binding);
	if (error != FAAS_OK)
		return error;
	faas__mutex_lock(&runtime->routes.mu);
	error = insert(runtime, binding);
	if (error == FAAS_OK && ret_id)
		*ret_id = binding_id(&runtime->routes, binding);
	faas__mutex_unlock(&runtime->routes.mu);
	if (error != FAAS_OK)
		faas__binding_unref(runtime, binding);
	return error;
}

int faas_binding_stats(faas_runtime *runtime, uint64_t id, struct faas_binding_stats *ret_stats)
{
	struct faas_binding_stats stats = {0};
	const struct binding *binding;

	if (!runtime || !ret_stats)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	faas__mutex_lock(&runtime->routes.mu);
	binding = binding_by_id(&runtime->routes, id);
	if (binding) {
		stats.passed = load_relaxed(&binding->passed);
		stats.stopped = load_relaxed(&binding->stopped);
		stats.errors = load_relaxed(&binding->errors);
	}
	faas__mutex_unlock(&runtime->routes.mu);
	return binding ? faas__stats_write(ret_stats, &stats, sizeof(stats)) : FAAS_ENOTFOUND;
}

static void bury(faas_runtime *runtime, struct binding *binding) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;

	store_relaxed(&binding->is_dead, 1);
	list_remove(&binding->node);
	slot_free(routes, binding->slot);
	routes->count--;
	routes->dead++;
	faas__binding_unref(runtime, binding);
}

/* Dead bindings go when a rebuild succeeds; until then they only take room. */
static void after_burial(faas_runtime *runtime) holds_lock(runtime->routes.mu)
{
	struct route_table *routes = &runtime->routes;
	struct route_snapshot *snapshot;

	add_seq_cst(&routes->generation, 1);
	if (!faas__snapshot_is_stale(routes) && routes->count > 0)
		return;
	snapshot = faas__snapshot_copy(runtime, load_relaxed(&routes->current));
	if (!snapshot)
		return;
	if (faas__snapshot_rebuild(runtime, snapshot) != FAAS_OK) {
		faas__snapshot_free(runtime, snapshot);
		return;
	}
	faas__snapshot_publish(runtime, snapshot);
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
	faas__snapshot_collect(runtime);
	faas__snapshot_free(runtime, exchange_seq_cst(&routes->current, NULL));
	for (uint32_t i = 0; i < routes->slots_used; i++)
		if (routes->slots[i].binding)
			faas__binding_unref(runtime, routes->slots[i].binding);
	faas__free(&runtime->allocator, routes->slots, routes->slots_capacity * sizeof(*routes->slots));
	routes->slots = NULL;
	routes->slots_capacity = 0;
	routes->slots_used = 0;
	faas__mutex_unlock(&runtime->routes.mu);
}
