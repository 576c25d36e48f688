/* SPDX-License-Identifier: MIT */
/*
 * An intrusive pairing heap: the smallest key first, equal keys by the second key.
 *
 * Nodes live inside what they order, so neither insertion nor removal allocates or fails. Insertion and look-up are
 * O(1), removal O(log n) amortised.
 * Source: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", Algorithmica 1, 1986; two-pass variant.
 */
#ifndef FAAS_BASE_HEAP_H
#define FAAS_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	struct heap_node *child; /* first of its children */
	struct heap_node *next;  /* its next sibling */
	struct heap_node *prev;  /* its previous sibling, or its parent if it is the first; itself: the root */
	int64_t key;
	uint64_t second;
};

struct heap {
	struct heap_node *root;
};

static inline struct heap_node *faas__heap_first(const struct heap *heap)
{
	return heap->root;
}

/* A node in no heap has prev == NULL. Zeroed memory is a node in no heap. */
static inline bool faas__heap_contains(const struct heap_node *node)
{
	return node->prev != NULL;
}

void faas__heap_insert(struct heap *heap, struct heap_node *node);
void faas__heap_remove(struct heap *heap, struct heap_node *node);

#endif
