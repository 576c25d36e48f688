/* SPDX-License-Identifier: MIT */
/* The pairing heap of heap.h. Both passes of a removal are loops: no depth of recursion depends on the input. */
#include "base/heap.h"

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	return a->second < b->second;
}

/* Makes the later of two roots the first child of the earlier one. Either may be NULL. */
static struct heap_node *meld(struct heap_node *a, struct heap_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (before(b, a)) {
		struct heap_node *swap = a;

		a = b;
		b = swap;
	}
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	b->prev = a;
	a->child = b;
	return a;
}

/* Melds a list of siblings: in pairs from left to right, then the pairs from right to left. */
static struct heap_node *meld_siblings(struct heap_node *first)
{
	struct heap_node *pairs = NULL, *root = NULL;

	while (first) {
		struct heap_node *a = first, *b = a->next, *pair;

		first = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct heap_node *pair = pairs;

		pairs = pair->next;
		pair->next = NULL;
		root = meld(root, pair);
	}
	return root;
}

static void set_root(struct heap *heap, struct heap_node *root)
{
	heap->root = root;
	if (root) {
		root->prev = root;
		root->next = NULL;
	}
}

void faas__heap_insert(struct heap *heap, struct heap_node *node)
{
	node->child = NULL;
	node->next = NULL;
	set_root(heap, meld(heap->root, node));
}

static void cut(struct heap_node *node)
{
	if (node->prev->child == node)
		node->prev->child = node->next;
	else
		node->prev->next = node->next;
	if (node->next)
		node->next->prev = node->prev;
	node->next = NULL;
}

void faas__heap_remove(struct heap *heap, struct heap_node *node)
{
	struct heap_node *children = node->child;

	node->child = NULL;
	if (heap->root == node) {
		set_root(heap, meld_siblings(children));
	} else {
		cut(node);
		set_root(heap, meld(heap->root, meld_siblings(children)));
	}
	node->prev = NULL;
}
