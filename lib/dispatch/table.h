/* SPDX-License-Identifier: MIT */
/* Immutable tables of bindings: built once, read by any number of threads, counted. */
#ifndef FAAS_DISPATCH_TABLE_H
#define FAAS_DISPATCH_TABLE_H

#include "base/alloc.h"
#include "dispatch/route.h"

/* Where matches are collected. */
struct match_list {
	const struct allocator *allocator;
	struct faas_function **functions;
	size_t capacity;
	size_t count;
	bool is_sorted; /* strictly by index, so each once */
	struct binding **filtered; /* bindings with a filter */
	size_t filtered_capacity;
	size_t filtered_count;
};

/* 0, or FAAS_ENOMEM. */
int faas__match_add(struct match_list *list, struct faas_function *function);
/* The same for a binding that matches: to the functions, or, with a filter, to the filtered ones. */
int faas__match_add_binding(struct match_list *list, struct binding *binding);

/* Of a type, or of a whole pattern without wildcards. Never 0. */
uint32_t faas__route_hash(const char *text, size_t bytes, uint64_t seed);

/* Whether a pattern matches a type. Both are well-formed. */
bool faas__pattern_matches(const char *pattern, const char *type);

/*
 * A table of the living ones of `bindings`, one reference of the caller's. Counts a reference on each binding.
 * NULL: no memory.
 */
struct route_tree *faas__route_tree_new(const struct allocator *allocator, struct binding *const *bindings,
                                        size_t count, uint64_t seed);
size_t faas__route_tree_count(const struct route_tree *tree);
struct binding *const *faas__route_tree_bindings(const struct route_tree *tree);

/* Adds the functions of living bindings that match. `hash`: of the type, with the table's seed. 0, or FAAS_ENOMEM. */
int faas__route_tree_match(const struct route_tree *tree, const char *type, size_t type_bytes, uint32_t hash,
                           struct match_list *list);

/* Frees the table; its bindings are the caller's to release. */
void faas__route_tree_free(const struct allocator *allocator, struct route_tree *tree);

#endif
