/* SPDX-License-Identifier: MIT */
/*
 * A queue that many threads fill without a lock and one at a time empties.
 *
 * A producer exchanges the tail for its node (this is the moment that orders the queue) and then links the node behind
 * the one it found. Between these two steps, which a preemption can draw out, the nodes from there on exist but cannot
 * be reached: faas__mpsc_pop returns NULL though faas__mpsc_is_empty says no, and the consumer must come back later.
 *
 * The stub stands with the tail: where events come one at a time, each producer writes to it, and so needs no line but its
 * own and its node's.
 *
 * Source: Dmitry Vyukov, "Intrusive MPSC node-based queue", 1024cores.net.
 */
#ifndef FAAS_BASE_MPSC_H
#define FAAS_BASE_MPSC_H

#include "base/atomics.h"

struct mpsc_node {
	_Atomic(struct mpsc_node *) next;
};

struct mpsc_in {
	_Atomic(struct mpsc_node *) tail; /* any thread */
	struct mpsc_node stub;            /* stands in the queue when nothing else does */
};

struct mpsc_out {
	struct mpsc_node *head; /* the consumer of the moment */
};

static inline void faas__mpsc_init(struct mpsc_in *in, struct mpsc_out *out)
{
	store_relaxed(&in->stub.next, NULL);
	out->head = &in->stub;
	store_relaxed(&in->tail, &in->stub);
}

/* As far as one can tell while others push: a hint. */
static inline bool faas__mpsc_is_empty(const struct mpsc_in *in)
{
	return load_acquire(&in->tail) == &in->stub;
}

static inline void faas__mpsc_push(struct mpsc_in *in, struct mpsc_node *node)
{
	struct mpsc_node *before;

	store_relaxed(&node->next, NULL);
	/* Orders the node's content before its visibility, and this push before later looks at the consumer's state. */
	before = exchange_seq_cst(&in->tail, node);
	store_release(&before->next, node);
}

/* The oldest node, or NULL: there is none, or a producer has not yet linked it. */
static inline struct mpsc_node *faas__mpsc_pop(struct mpsc_in *in, struct mpsc_out *out)
{
	struct mpsc_node *head = out->head, *next = load_acquire(&head->next);

	if (head == &in->stub) {
		if (!next)
			return NULL;
		out->head = head = next;
		next = load_acquire(&head->next);
	}
	if (!next) {
		if (head != load_acquire(&in->tail))
			return NULL;
		/* The last one leaves only when something stands behind it. */
		faas__mpsc_push(in, &in->stub);
		next = load_acquire(&head->next);
		if (!next)
			return NULL;
	}
	out->head = next;
	return head;
}

#endif
