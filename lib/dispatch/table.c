/* SPDX-License-Identifier: MIT */
/*
 * A table is a tree of tokens: a node for each distinct beginning of a pattern, literal children found through one
 * hash table of (parent, token), the `*` child by its number. Bindings stand in one array, grouped by the node their
 * pattern ends in; those that end in `>` form a second group there. A look-up walks the event's tokens and follows at
 * most the literal and the `*` child of each node.
 *
 * Most patterns have no wildcard. Such a one is a single step, from a root of its own: its whole text is the token. All
 * tables use one seed, so that the hash of an event's type is computed once for all of them; and a table in which no
 * pattern has a wildcard is done after that step.
 *
 * With wildcards a walk can branch at every token. It recurses once for a branch, and types have at most 512 tokens, of
 * which a walk goes no deeper than the longest pattern.
 */
#include "dispatch/table.h"

#include <string.h>

#include "base/text.h"
#include "dispatch/function.h"

#define NO_NODE 0u       /* the root is nobody's child */
#define WHOLE UINT32_MAX /* the parent of those that are found by their whole text */

struct node {
	uint32_t star;       /* child for `*`; NO_NODE: none */
	uint32_t end_first;  /* bindings whose pattern ends here */
	uint32_t end_count;
	uint32_t tail_first; /* bindings whose pattern goes on with `>` */
	uint32_t tail_count;
};

struct edge {
	const char *token; /* inside a binding's pattern */
	uint32_t token_bytes;
	uint32_t parent;
	uint32_t child; /* NO_NODE: free */
	uint32_t hash;
};

struct route_tree {
	uint64_t seed;
	size_t count;
	bool has_wildcards;
	struct binding **bindings; /* grouped by node */
	struct node *nodes;
	size_t node_count, node_capacity;
	struct edge *edges;
	size_t edge_capacity; /* a power of two */
	size_t edge_count;
};

int faas__match_add(struct match_list *list, struct faas_function *function)
{
	if (list->count == list->capacity) {
		void *array = list->functions;
		int error = faas__array_grow(list->allocator, &array, &list->capacity, list->count + 1, sizeof(*list->functions));

		if (error != FAAS_OK)
			return error;
		list->functions = array;
	}
	if (list->count > 0 && list->functions[list->count - 1]->index >= function->index)
		list->is_sorted = false;
	list->functions[list->count++] = function;
	return FAAS_OK;
}

int faas__match_add_binding(struct match_list *list, struct binding *binding)
{
	if (!binding->filter)
		return faas__match_add(list, binding->function);
	if (list->filtered_count == list->filtered_capacity) {
		void *array = list->filtered;
		int error = faas__array_grow(list->allocator, &array, &list->filtered_capacity, list->filtered_count + 1,
		                             sizeof(struct binding *));

		if (error != FAAS_OK)
			return error;
		list->filtered = array;
	}
	list->filtered[list->filtered_count++] = binding;
	return FAAS_OK;
}

/* Tokens are short: a call would take longer. */
static size_t token_length(const char *at)
{
	size_t bytes = 0;

	while (at[bytes] != 0 && at[bytes] != '.')
		bytes++;
	return bytes;
}

bool faas__pattern_matches(const char *pattern, const char *type)
{
	for (;;) {
		size_t p = token_length(pattern), t = token_length(type);

		if (pattern[0] == '>' && p == 1)
			return true;
		if (!(p == 1 && pattern[0] == '*') && (p != t || memcmp(pattern, type, p) != 0))
			return false;
		if (pattern[p] == 0 || type[t] == 0)
			return pattern[p] == type[t];
		pattern += p + 1;
		type += t + 1;
	}
}

/* ---- Building ---------------------------------------------------------------------------------------------------- */

uint32_t faas__route_hash(const char *text, size_t bytes, uint64_t seed)
{
	uint32_t hash = (uint32_t)faas__text_hash(text, bytes, seed);

	return hash != 0 ? hash : 1;
}

static uint32_t edge_hash(const struct route_tree *tree, uint32_t parent, const char *token, size_t bytes)
{
	return faas__route_hash(token, bytes, tree->seed ^ parent);
}

/* The edge, or the free place where it belongs. */
static struct edge *find_edge(const struct route_tree *tree, uint32_t parent, const char *token, size_t bytes,
                              uint32_t hash)
{
	size_t mask = tree->edge_capacity - 1, i = hash & mask;

	for (;; i = (i + 1) & mask) {
		struct edge *edge = &tree->edges[i];

		if (edge->child == NO_NODE || (edge->hash == hash && edge->parent == parent && edge->token_bytes == bytes &&
		                               memcmp(edge->token, token, bytes) == 0))
			return edge;
	}
}

static uint32_t add_node(struct route_tree *tree, const struct allocator *allocator)
{
	void *array = tree->nodes;

	if (faas__array_grow(allocator, &array, &tree->node_capacity, tree->node_count + 1, sizeof(*tree->nodes)) != FAAS_OK)
		return NO_NODE;
	tree->nodes = array;
	tree->nodes[tree->node_count] = (struct node){0};
	return (uint32_t)tree->node_count++;
}

static bool grow_edges(struct route_tree *tree, const struct allocator *allocator)
{
	struct edge *old = tree->edges;
	size_t old_capacity = tree->edge_capacity, capacity = old_capacity > 0 ? old_capacity * 2 : 16;
	struct edge *edges = faas__alloc_zero(allocator, capacity * sizeof(*edges));

	if (!edges)
		return false;
	tree->edges = edges;
	tree->edge_capacity = capacity;
	for (size_t i = 0; i < old_capacity; i++)
		if (old[i].child != NO_NODE)
			*find_edge(tree, old[i].parent, old[i].token, old[i].token_bytes, old[i].hash) = old[i];
	faas__free(allocator, old, old_capacity * sizeof(*old));
	return true;
}

static uint32_t literal_child(struct route_tree *tree, const struct allocator *allocator, uint32_t parent,
                              const char *token, size_t bytes, uint32_t hash)
{
	struct edge *edge;
	uint32_t child;

	if ((tree->edge_count + 1) * 4 > tree->edge_capacity * 3 && !grow_edges(tree, allocator))
		return NO_NODE;
	edge = find_edge(tree, parent, token, bytes, hash);
	if (edge->child != NO_NODE)
		return edge->child;
	child = add_node(tree, allocator);
	if (child == NO_NODE)
		return NO_NODE;
	*edge = (struct edge){.token = token, .token_bytes = (uint32_t)bytes, .parent = parent, .child = child, .hash = hash};
	tree->edge_count++;
	return child;
}

static uint32_t star_child(struct route_tree *tree, const struct allocator *allocator, uint32_t parent)
{
	if (tree->nodes[parent].star == NO_NODE) {
		uint32_t child = add_node(tree, allocator);

		tree->nodes[parent].star = child;
	}
	return tree->nodes[parent].star;
}

/* The node at which a pattern with wildcards ends (of one with `>`: the node before it), made if it is not there. */
static uint32_t place_tokens(struct route_tree *tree, const struct allocator *allocator, const char *pattern,
                             bool *ret_is_tail)
{
	uint32_t node = 0;

	for (;;) {
		size_t bytes = token_length(pattern);

		*ret_is_tail = bytes == 1 && pattern[0] == '>';
		if (*ret_is_tail)
			return node;
		node = bytes == 1 && pattern[0] == '*'
		           ? star_child(tree, allocator, node)
		           : literal_child(tree, allocator, node, pattern, bytes, edge_hash(tree, node, pattern, bytes));
		if (node == NO_NODE || pattern[bytes] == 0)
			return node;
		pattern += bytes + 1;
	}
}

/* False: no memory. */
static bool place(struct route_tree *tree, const struct allocator *allocator, const struct binding *binding,
                  uint32_t *ret_node, bool *ret_is_tail)
{
	*ret_is_tail = false;
	if (binding->hash != 0) {
		*ret_node = literal_child(tree, allocator, WHOLE, binding->pattern, binding->pattern_bytes, binding->hash);
	} else {
		tree->has_wildcards = true;
		*ret_node = place_tokens(tree, allocator, binding->pattern, ret_is_tail);
	}
	return *ret_node != NO_NODE || *ret_is_tail;
}

struct placed {
	uint32_t node;
	bool is_tail;
};

/* Counting sort: each node's groups get their place, then the bindings are dealt out in their given order. */
static void group(struct route_tree *tree, struct binding *const *bindings, const struct placed *placed, size_t count)
{
	uint32_t at = 0;

	for (size_t i = 0; i < tree->node_count; i++) {
		struct node *node = &tree->nodes[i];

		node->end_first = at;
		at += node->end_count;
		node->tail_first = at;
		at += node->tail_count;
		node->end_count = 0;
		node->tail_count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		struct node *node = &tree->nodes[placed[i].node];

		if (placed[i].is_tail)
			tree->bindings[node->tail_first + node->tail_count++] = bindings[i];
		else
			tree->bindings[node->end_first + node->end_count++] = bindings[i];
	}
}

static bool place_all(struct route_tree *tree, const struct allocator *allocator, struct binding *const *bindings,
                      struct placed *placed, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct node *node;

		if (!place(tree, allocator, bindings[i], &placed[i].node, &placed[i].is_tail))
			return false;
		node = &tree->nodes[placed[i].node];
		if (placed[i].is_tail)
			node->tail_count++;
		else
			node->end_count++;
	}
	return true;
}

struct route_tree *faas__route_tree_new(const struct allocator *allocator, struct binding *const *bindings,
                                        size_t count, uint64_t seed)
{
	struct route_tree *tree = faas__alloc_zero(allocator, sizeof(*tree));
	struct placed *placed = faas__alloc(allocator, (count + 1) * sizeof(*placed));

	if (!tree || !placed)
		goto fail;
	tree->seed = seed;
	tree->bindings = faas__alloc(allocator, (count + 1) * sizeof(*tree->bindings));
	if (!tree->bindings)
		goto fail;
	tree->count = count;
	(void)add_node(tree, allocator); /* the root is number 0 */
	if (tree->node_count == 0 || !grow_edges(tree, allocator) ||
	    !place_all(tree, allocator, bindings, placed, count))
		goto fail;
	group(tree, bindings, placed, count);
	for (size_t i = 0; i < count; i++)
		add_relaxed(&bindings[i]->refs, 1);
	faas__free(allocator, placed, (count + 1) * sizeof(*placed));
	return tree;
fail:
	faas__free(allocator, placed, (count + 1) * sizeof(*placed));
	faas__route_tree_free(allocator, tree);
	return NULL;
}

void faas__route_tree_free(const struct allocator *allocator, struct route_tree *tree)
{
	if (!tree)
		return;
	faas__free(allocator, tree->nodes, tree->node_capacity * sizeof(*tree->nodes));
	faas__free(allocator, tree->edges, tree->edge_capacity * sizeof(*tree->edges));
	if (tree->bindings)
		faas__free(allocator, tree->bindings, (tree->count + 1) * sizeof(*tree->bindings));
	faas__free(allocator, tree, sizeof(*tree));
}

size_t faas__route_tree_count(const struct route_tree *tree)
{
	return tree->count;
}

struct binding *const *faas__route_tree_bindings(const struct route_tree *tree)
{
	return tree->bindings;
}

/* ---- Matching ---------------------------------------------------------------------------------------------------- */

static int add_group(const struct route_tree *tree, uint32_t first, uint32_t count, struct match_list *list)
{
	for (uint32_t i = first; i < first + count; i++) {
		int error;

		if (load_relaxed(&tree->bindings[i]->is_dead))
			continue;
		error = faas__match_add_binding(list, tree->bindings[i]);
		if (error != FAAS_OK)
			return error;
	}
	return FAAS_OK;
}

static int walk(const struct route_tree *tree, uint32_t at, const char *type, struct match_list *list)
{
	int error = FAAS_OK;

	for (;;) {
		const struct node *node = &tree->nodes[at];
		size_t bytes = token_length(type);
		bool is_last = type[bytes] == 0;

		error = add_group(tree, node->tail_first, node->tail_count, list);
		if (error == FAAS_OK && node->star != NO_NODE) {
			const struct node *star = &tree->nodes[node->star];

			if (is_last)
				error = add_group(tree, star->end_first, star->end_count, list);
			else
				error = walk(tree, node->star, type + bytes + 1, list);
		}
		if (error != FAAS_OK)
			return error;
		at = find_edge(tree, at, type, bytes, edge_hash(tree, at, type, bytes))->child;
		if (at == NO_NODE)
			return FAAS_OK;
		if (is_last)
			return add_group(tree, tree->nodes[at].end_first, tree->nodes[at].end_count, list);
		type += bytes + 1;
	}
}

int faas__route_tree_match(const struct route_tree *tree, const char *type, size_t type_bytes, uint32_t hash,
                           struct match_list *list)
{
	uint32_t whole = find_edge(tree, WHOLE, type, type_bytes, hash)->child;
	int error = FAAS_OK;

	if (whole != NO_NODE)
		error = add_group(tree, tree->nodes[whole].end_first, tree->nodes[whole].end_count, list);
	return error == FAAS_OK && tree->has_wildcards ? walk(tree, 0, type, list) : error;
}
