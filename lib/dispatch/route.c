/* SPDX-License-Identifier: MIT */
/*
 * Routing, in a lane: from an event's type to functions. A lane remembers the last types it routed as long as the
 * table's generation stands still; types that lead to a filter are looked up each time, because filters ask the event.
 * How the table is made: snapshot.c, table.c; who changes it: bind.c.
 */
#include "dispatch/route.h"

#include <stdlib.h>
#include <string.h>

#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/snapshot.h"
#include "faas/filter.h"

seldom static int by_index(const void *a, const void *b)
{
	const struct faas_function *const *x = a, *const *y = b;

	return ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

/* Tables are searched one after the other, and one function may have bound itself twice. */
seldom static void sort_unique(struct match_list *list)
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

/* Where there is no wildcard, and mostly there is none, only the very same text will do. */
static bool matches(const struct binding *binding, const char *type, size_t type_bytes)
{
	if (binding->hash != 0)
		return binding->pattern_bytes == type_bytes && memcmp(binding->pattern, type, type_bytes) == 0;
	return faas__pattern_matches(binding->pattern, type);
}

seldom static int match_all(const struct route_snapshot *snapshot, const char *type, size_t type_bytes, uint32_t hash,
                            struct match_list *list)
{
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		int error = faas__route_tree_match(snapshot->trees[i]->tree, type, type_bytes, hash, list);

		if (error != FAAS_OK)
			return error;
	}
	for (size_t i = 0; i < snapshot->latest_count; i++) {
		struct binding *binding = snapshot->latest[i];
		int error;

		if ((snapshot->latest_hashes[i] != 0 && snapshot->latest_hashes[i] != hash) ||
		    load_relaxed(&binding->is_dead) || !matches(binding, type, type_bytes))
			continue;
		error = faas__match_add_binding(list, binding);
		if (error != FAAS_OK)
			return error;
	}
	sort_unique(list);
	return FAAS_OK;
}

/* What has many matches is remembered only until the lane collects others. */
seldom static void remember(struct lane *lane, uint64_t generation, const char *type, size_t type_bytes,
                            const struct match_list *list)
{
	struct route_cache_key *key = &lane->collected;

	if (type_bytes > ROUTE_CACHE_TYPE)
		return;
	if (list->count <= ROUTE_CACHE_MATCHES) {
		struct route_cache_entry *pair = faas__route_pair(lane, type, type_bytes);

		pair[1] = pair[0];
		key = &pair->key;
		key->count = (uint8_t)list->count;
		if (list->count > 0)
			memcpy(pair->matches, list->functions, list->count * sizeof(*list->functions));
	}
	lane->collected_count = list->count;
	key->generation = generation;
	key->type_bytes = (uint8_t)type_bytes;
	memcpy(key->type, type, type_bytes);
}

/* To collect in. */
static struct match_list list_of(faas_runtime *runtime, struct lane *lane)
{
	lane->collected.generation = 0;
	return (struct match_list){.allocator = &runtime->allocator,
	                           .functions = lane->matches,
	                           .capacity = lane->matches_capacity,
	                           .filtered = lane->filtered,
	                           .filtered_capacity = lane->filtered_capacity,
	                           .is_sorted = true};
}

/* The lane keeps what the list has grown to. */
static void keep_list(struct lane *lane, const struct match_list *list, struct route *route)
{
	lane->matches = list->functions;
	lane->matches_capacity = list->capacity;
	lane->filtered = list->filtered;
	lane->filtered_capacity = list->filtered_capacity;
	route->matches = list->functions;
	route->count = list->count;
	route->filtered = list->filtered;
	route->filtered_count = list->filtered_count;
}

seldom int faas__route(faas_runtime *runtime, struct lane *lane, struct event_plan *plan, struct route *ret_route)
{
	const char *type = plan->config->type;
	const size_t type_bytes = plan->lengths.type;
	/* Before the snapshot: what is remembered under this generation is at least as new. */
	uint64_t generation = load_seq_cst(&runtime->routes.generation);
	const struct route_cache_entry *entry = faas__route_remembered(lane, generation, type, type_bytes);
	struct route_snapshot *snapshot;
	struct match_list list;
	int error;

	*ret_route = (struct route){.matches = lane->matches, .count = lane->collected_count};
	if (faas__route_is_of(&lane->collected, generation, type, type_bytes))
		return FAAS_OK;
	if (entry) {
		*ret_route = (struct route){.matches = entry->matches, .count = entry->key.count};
		return FAAS_OK;
	}
	/* Only types that have passed are remembered. */
	error = faas__event_plan_type(plan);
	if (error != FAAS_OK)
		return error;
	list = list_of(runtime, lane);
	snapshot = load_seq_cst(&runtime->routes.current);
	if (snapshot)
		error = match_all(snapshot, type, type_bytes, faas__route_hash(type, type_bytes, runtime->hash_seed), &list);
	keep_list(lane, &list, ret_route);
	if (error == FAAS_OK && list.filtered_count == 0)
		remember(lane, generation, type, type_bytes, &list);
	return error;
}

/* Whether the event passes; counts. True in `*ret_is_first`: the binding's first error. */
static bool passes(struct binding *binding, const faas_event *event, bool *ret_is_first, int *ret_code)
{
	int code = FAAS_OK;
	bool pass = faas_filter_matches(binding->filter, event, &code) == 1;

	*ret_is_first = false;
	if (pass) {
		add_relaxed(&binding->passed, 1);
	} else if (code == FAAS_OK) {
		add_relaxed(&binding->stopped, 1);
	} else {
		add_relaxed(&binding->errors, 1);
		*ret_is_first = load_relaxed(&binding->is_error_logged) == 0 &&
		                exchange_acq_rel(&binding->is_error_logged, 1) == 0;
		*ret_code = code;
	}
	return pass;
}

int faas__route_filter(faas_runtime *runtime, struct lane *lane, const faas_event *event, struct route *route,
                       struct binding **ret_error, int *ret_code)
{
	struct match_list list = list_of(runtime, lane);
	size_t filtered = route->filtered_count;
	int error = FAAS_OK;

	*ret_error = NULL;
	list.count = route->count;
	for (size_t i = 0; i < filtered && error == FAAS_OK; i++) {
		struct binding *binding = route->filtered[i];
		bool is_first;
		int code;

		if (passes(binding, event, &is_first, &code)) {
			error = faas__match_add(&list, binding->function);
		} else if (is_first && !*ret_error) {
			add_relaxed(&binding->refs, 1);
			*ret_error = binding;
			*ret_code = code;
		} else if (is_first) {
			/* One line for one event; the next error of this binding is its first again. */
			store_relaxed(&binding->is_error_logged, 0);
		}
	}
	sort_unique(&list);
	keep_list(lane, &list, route);
	return error;
}
