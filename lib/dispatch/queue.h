/* SPDX-License-Identifier: MIT */
/* A function's queue: room, both its ends, and what is taken out of the middle or put back. See function.h and queue.c. */
#ifndef FAAS_DISPATCH_QUEUE_H
#define FAAS_DISPATCH_QUEUE_H

#include "dispatch/function.h"

#define LOCAL_MAX 16u    /* local queues of a function */
#define LEASE_EVENTS 64u /* room that one takes at a time */

struct runner;

/* Room for one event. 0, FAAS_EFULL, or FAAS_ENOTFOUND: it is closed. */
int faas__queue_reserve(faas_function *function, size_t bytes) without_lock(function->mu);
/* The same out of what is leased to the local queue of `runner`: on true the event must be pushed. False: try the other way. */
bool faas__queue_reserve_leased(faas_function *function, const struct runner *runner, size_t bytes)
	without_lock(function->mu);
void faas__queue_unreserve(faas_function *function, size_t bytes);

/* Makes an invocation that has a reservation visible to takers, and kicks the function. `runner` NULL: a host's thread. */
void faas__queue_push(faas_function *function, faas_invocation *invocation, const struct runner *runner)
	without_lock(function->mu);

/* All that it ever accepted. */
uint64_t faas__queue_accepted(const faas_function *function);

/* Gives back the local queues, which are empty. */
void faas__locals_free(struct faas_runtime *runtime, struct service *service);

/* Which queue `runner` is to take from: 0: the backlog and the inbox; n: the n-th local one. */
uint32_t faas__queue_choose(faas_function *function, const struct runner *runner) holds_lock(function->mu);

/*
 * The next invocation, perhaps one that is settled or claimed by now; NULL: none can be reached. Its room is free.
 * From `*queue`; where that is empty, from the next that is not, which it then is.
 */
static inline faas_invocation *faas__queue_pop(faas_function *function, uint32_t *queue, uint64_t *ret_freed)
	holds_lock(function->mu);
/* The same where it does not come from the inbox alone, or nothing is there. */
faas_invocation *faas__queue_pop_any(faas_function *function, uint32_t *queue, uint64_t *ret_freed)
	holds_lock(function->mu);

/* What came of putting invocations back, to be dealt with out of the lock. */
struct put_back {
	faas_invocation *lost[BATCH_MAX]; /* not ours any more: mere references; their links are others' */
	size_t lost_count;
	faas_invocation *cancelled; /* the function is closed: for faas__settle_popped */
	uint64_t load;              /* what stands in the queue again */
};

/* One of a batch: QUEUED, with the queue's reference, and the number that its last attempt had then. */
struct taken {
	faas_invocation *invocation;
	uint32_t attempt;
};

static inline struct taken faas__taken(faas_invocation *invocation)
{
	return (struct taken){invocation, load_relaxed(&invocation->state) >> ATTEMPT_SHIFT};
}

/* Whether nobody has claimed or ended it since. */
static inline bool faas__taken_is_ours(const struct taken *taken)
{
	uint32_t state = load_acquire(&taken->invocation->state);

	return faas__phase_of(state) == PHASE_QUEUED && state >> ATTEMPT_SHIFT == taken->attempt;
}

/* Puts back what a thread took ahead, before everything else. Then, without the lock, faas__put_back_end. */
void faas__queue_put_back(faas_function *function, const struct taken *taken, size_t count, struct put_back *ret)
	holds_lock(function->mu);
void faas__put_back_end(struct put_back *put_back, bool from_monitor);

/* Puts a queued invocation in its place, if it is in the inbox or a local queue. False: it cannot be reached yet. */
bool faas__queue_file(faas_function *function, faas_invocation *invocation, uint64_t *ret_freed,
                      faas_invocation **dead) holds_lock(function->mu);

/*
 * Takes an invocation out of the middle. False: it cannot be reached, and will be passed over later. Mere references
 * that were met on the way are added to `dead`.
 */
bool faas__queue_remove(faas_function *function, faas_invocation *invocation, uint64_t *ret_freed,
                        faas_invocation **dead) holds_lock(function->mu);

/* Whether so much is free that emitters who wait are told. */
bool faas__queue_has_room_to_tell(faas_function *function) without_lock(function->mu);

/* This load has left the queue, and its room is free. */
void faas__queue_left(faas_function *function, uint64_t load) holds_lock(function->mu);

/*
 * What a thread popped beyond the first keeps its room until the batch is over: so bounds hold for what is taken ahead,
 * too. `popped` is the load of all, `rest` of those beyond the first, `back` of those that were put back.
 */
void faas__queue_took(faas_function *function, uint64_t popped, uint64_t rest) holds_lock(function->mu);
void faas__queue_end_rest(faas_function *function, uint64_t rest, uint64_t back) holds_lock(function->mu);

/* Room has been given back: returns it to the runtime, and wakes emitters that wait for it. */
void faas__queue_freed(faas_function *function, uint64_t freed) without_lock(function->mu);

static inline uint64_t faas__load_of(const faas_invocation *invocation)
{
	return LOAD_EVENT + faas__invocation_bytes(invocation);
}

/* Counts what was popped. */
static inline faas_invocation *faas__queue_count_popped(faas_invocation *invocation, uint64_t *ret_freed)
{
	invocation->is_linked = LINK_TAKEN;
	*ret_freed += faas__load_of(invocation);
	return invocation;
}

/* NULL: there is none, or it cannot be reached. */
static inline faas_invocation *faas__queue_pop_from(struct mpsc_in *in, struct mpsc_out *out)
{
	struct mpsc_node *node = faas__mpsc_pop(in, out);

	return node ? container_of(node, faas_invocation, node) : NULL;
}

static inline faas_invocation *faas__queue_pop(faas_function *function, uint32_t *queue, uint64_t *ret_freed)
{
	if (likely(*queue == 0) && likely(!function->is_ordered) && likely(list_empty(&function->backlog))) {
		faas_invocation *invocation = faas__queue_pop_from(&function->inbox_in, &function->inbox_out);

		if (likely(invocation))
			return faas__queue_count_popped(invocation, ret_freed);
	}
	return faas__queue_pop_any(function, queue, ret_freed);
}

/* All that counts against the bounds. */
uint64_t faas__queue_load(const faas_function *function) holds_lock(function->mu);
/* The same; and shows emitters what has been released. */
uint64_t faas__queue_load_now(faas_function *function) without_lock(function->mu);

/* Emitters are to go by what has been released by now, which it returns. */
static inline uint64_t faas__queue_show_released(faas_function *function) holds_lock(function->mu)
{
	uint64_t released = load_relaxed(&function->released);

	store_release(&function->released_seen, released);
	return released;
}

static inline bool faas__queue_has_room(const faas_function *function, uint64_t load, size_t bytes)
{
	return LOAD_EVENTS(load) < function->max_events && LOAD_BYTES(load) + bytes <= function->max_bytes;
}

/* Whether there is room, as far as emitters know, when this much has been admitted. */
static inline bool faas__queue_seems_roomy(const faas_function *function, size_t bytes, uint64_t *ret_admitted)
{
	uint64_t released = load_acquire(&function->released_seen);

	*ret_admitted = load_relaxed(&function->admitted);
	return faas__queue_has_room(function, *ret_admitted - released, bytes);
}

/*
 * faas__queue_reserve where nothing stands in its way and as much is admitted as when there was room: what is released goes
 * no way but up (or back by one, where a batch is put back whole). False: no more than that it must be asked.
 */
static inline bool faas__queue_reserve_seen(faas_function *function, uint64_t admitted, size_t bytes)
{
	return likely(!load_seq_cst(&function->is_closed)) &&
	       likely(cas_seq_cst(&function->admitted, &admitted, admitted + LOAD_EVENT + bytes));
}

static inline uint64_t faas__queue_delayed(const faas_function *function)
{
	return LOAD_EVENTS(load_relaxed(&function->delayed_load));
}

/* Whether there would be room if everything that can be dropped were. Delayed ones cannot. */
static inline bool faas__queue_could_fit(const faas_function *function, size_t bytes)
{
	uint64_t stays = load_relaxed(&function->delayed_load);

	return LOAD_EVENTS(stays) < function->max_events && LOAD_BYTES(stays) + bytes <= function->max_bytes;
}

/* What stands in the queue; where that is much more than what is held, perhaps more, by what is leased. */
uint64_t faas__queue_in(const faas_function *function) holds_lock(function->mu);

/* How many may begin, as far as the queue goes. */
static inline uint64_t faas__queue_runnable(const faas_function *function) holds_lock(function->mu)
{
	uint64_t events = LOAD_EVENTS(faas__queue_in(function));

	return events > function->held ? events - function->held : 0;
}

static inline bool faas__queue_has_events(const faas_function *function) holds_lock(function->mu)
{
	return faas__queue_runnable(function) > 0;
}

/* Puts an invocation that is QUEUED, and has its room, at the end of what came before this moment; kicks the turn. */
void faas__queue_rejoin(faas_function *function, faas_invocation *invocation, faas_invocation **dead,
                        uint64_t *ret_freed) holds_lock(function->mu);

/* The oldest that may be dropped: like faas__queue_pop, but from behind keys, too. */
faas_invocation *faas__queue_pop_oldest(faas_function *function, uint64_t *ret_freed) holds_lock(function->mu);

#endif
