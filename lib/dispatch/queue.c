/* SPDX-License-Identifier: MIT */
/*
 * A function's queue. See function.h for its two ends.
 *
 * Room is reserved before an invocation is pushed and given back when it is popped, so the bound is never exceeded. Both
 * bounds, events and bytes, lie in one word: one compare-and-swap checks and takes both. It goes by an older value of
 * what was given back, which errs on the safe side; before anything is refused the value of now is looked up.
 *
 * What a waiter claimed or somebody cancelled may still stand in the inbox; such an invocation is a mere reference,
 * recognised by its phase, and dropped by whoever pops it or moves the inbox.
 *
 * Of an ordered function the inbox is sorted before anything is popped: into the backlog, which holds what may begin, and
 * behind the heads of their keys (key.c).
 */
#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

int faas__queue_reserve(faas_function *function, size_t bytes)
{
	/* Before `admitted`, so that the difference is never below 0. */
	uint64_t seen = load_acquire(&function->released_seen), released = seen;
	uint64_t admitted = load_relaxed(&function->admitted);
	bool is_new = false;

	/* Sequentially consistent, like the lane's word before it: who seals the function relies on one of the two. */
	if (unlikely(load_seq_cst(&function->is_closed)))
		return FAAS_ENOTFOUND;
	for (;;) {
		if (likely(faas__queue_has_room(function, admitted - released, bytes))) {
			if (likely(cas_seq_cst(&function->admitted, &admitted, admitted + LOAD_EVENT + bytes)))
				return FAAS_OK;
			is_new = false;
			continue;
		}
		if (is_new)
			return FAAS_EFULL;
		released = load_seq_cst(&function->released);
		/* Only if nobody else has: a thread that was held up here must not bring back a value of long ago. */
		(void)cas_acq_rel(&function->released_seen, &seen, released);
		admitted = load_seq_cst(&function->admitted);
		is_new = true;
	}
}

void faas__queue_unreserve(faas_function *function, uint64_t events, uint64_t bytes)
{
	sub_seq_cst(&function->admitted, events * LOAD_EVENT + bytes);
}

void faas__queue_push(faas_function *function, faas_invocation *invocation)
{
	add_relaxed(&function->accepted, 1);
	faas__mpsc_push(&function->inbox_in, &invocation->node);
	faas__turn_kick(&function->runtime->executor, &function->turn);
}

static uint64_t load_of(const faas_invocation *invocation)
{
	return LOAD_EVENT + faas__invocation_bytes(invocation);
}

static faas_invocation *pop_inbox(faas_function *function) holds_lock(function->mu)
{
	struct mpsc_node *node = faas__mpsc_pop(&function->inbox_in, &function->inbox_out);
	faas_invocation *invocation = node ? container_of(node, faas_invocation, node) : NULL;

	/* One after the other, each would have to come from another core before it tells where the next one is. */
	if (invocation)
		prefetch_to_write(invocation->ahead);
	return invocation;
}

/* One out of the inbox goes to the end of what may begin, or behind its key. */
seldom static void file(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	if (function->is_ordered) {
		list_push_back(&function->arrivals, &faas__keyed_of(invocation)->arrival);
		if (!faas__key_enter(function, invocation))
			return;
	}
	list_push_back(&function->backlog, &invocation->link);
	invocation->is_linked = LINK_BACKLOG;
}

static void unlink_filed(faas_function *function, faas_invocation *invocation) holds_lock(function->mu)
{
	list_remove(&invocation->link);
	if (invocation->is_linked == LINK_WAITING)
		function->held--;
	invocation->is_linked = LINK_TAKEN;
	if (function->is_ordered)
		list_remove(&faas__keyed_of(invocation)->arrival);
}

/* Sorts the inbox of an ordered function. One that is not queued any more is returned at once; else NULL. */
static faas_invocation *sort_inbox(faas_function *function) holds_lock(function->mu)
{
	faas_invocation *invocation;

	while ((invocation = pop_inbox(function)) != NULL) {
		if (faas__phase_of(load_acquire(&invocation->state)) != PHASE_QUEUED)
			return invocation;
		file(function, invocation);
	}
	return NULL;
}

static faas_invocation *pop_filed(faas_function *function) holds_lock(function->mu)
{
	faas_invocation *invocation;

	if (list_empty(&function->backlog))
		return NULL;
	invocation = container_of(function->backlog.next, faas_invocation, link);
	unlink_filed(function, invocation);
	return invocation;
}

static faas_invocation *count_popped(faas_invocation *invocation, uint64_t *ret_freed)
{
	if (invocation) {
		invocation->is_linked = LINK_TAKEN;
		*ret_freed += load_of(invocation);
	}
	return invocation;
}

faas_invocation *faas__queue_pop(faas_function *function, uint64_t *ret_freed)
{
	faas_invocation *invocation = unlikely(function->is_ordered) ? sort_inbox(function) : NULL;

	if (likely(!invocation))
		invocation = pop_filed(function);
	if (likely(!invocation && !function->is_ordered))
		invocation = pop_inbox(function);
	return count_popped(invocation, ret_freed);
}

seldom faas_invocation *faas__queue_pop_oldest(faas_function *function, uint64_t *ret_freed)
{
	faas_invocation *invocation;

	if (!function->is_ordered)
		return faas__queue_pop(function, ret_freed);
	invocation = sort_inbox(function);
	if (!invocation && !list_empty(&function->arrivals)) {
		invocation = container_of(function->arrivals.next, struct keyed, arrival)->of;
		unlink_filed(function, invocation);
	}
	return count_popped(invocation, ret_freed);
}

seldom void faas__queue_put_back(faas_function *function, const struct taken *taken, size_t count, struct put_back *ret)
{
	bool is_closed = load_relaxed(&function->is_closed);
	uint64_t load = 0;

	while (count-- > 0) {
		faas_invocation *invocation = taken[count].invocation;

		/* A waiter may have run it, and then its link is not ours. Such claims are made under this lock. */
		if (!faas__taken_is_ours(&taken[count])) {
			faas__key_let_go(function, invocation);
			ret->lost[ret->lost_count++] = invocation;
			continue;
		}
		if (is_closed && faas__invocation_move(invocation, PHASE_QUEUED, PHASE_SETTLING)) {
			faas__count_end(function, false, END_CANCELLED);
			add_relaxed(&function->runtime->left_in_batches, function->is_closing);
			faas__key_let_go(function, invocation);
			faas__dead_add(&ret->cancelled, invocation);
			continue;
		}
		if (function->is_ordered) {
			faas__key_let_go(function, invocation);
			list_push_front(&function->arrivals, &faas__keyed_of(invocation)->arrival);
		}
		list_push_front(&function->backlog, &invocation->link);
		invocation->is_linked = LINK_BACKLOG;
		load += load_of(invocation);
	}
	function->popped -= load;
	ret->load = load;
}

seldom void faas__put_back_end(struct put_back *put_back, bool from_monitor)
{
	faas__settle_popped(put_back->cancelled, END_CANCELLED, from_monitor);
	for (size_t i = 0; i < put_back->lost_count; i++)
		faas__invocation_unref(put_back->lost[i]);
}

void faas__queue_took(faas_function *function, uint64_t popped, uint64_t rest)
{
	function->popped += popped;
	add_seq_cst(&function->released, popped - rest);
}

void faas__queue_end_rest(faas_function *function, uint64_t rest, uint64_t back)
{
	if (rest != back)
		add_seq_cst(&function->released, rest - back);
}

void faas__queue_left(faas_function *function, uint64_t load)
{
	if (load > 0)
		faas__queue_took(function, load, 0);
}

/* Moves what the inbox holds to the backlog. The lock keeps waiters from claiming meanwhile; a cancel does no harm. */
seldom static void move_inbox(faas_function *function, uint64_t *ret_freed, faas_invocation **dead) holds_lock(function->mu)
{
	faas_invocation *invocation;

	while ((invocation = pop_inbox(function)) != NULL) {
		if (faas__phase_of(load_acquire(&invocation->state)) == PHASE_QUEUED) {
			file(function, invocation);
			continue;
		}
		*ret_freed += load_of(invocation);
		faas__dead_add(dead, invocation);
	}
}

bool faas__queue_file(faas_function *function, faas_invocation *invocation, uint64_t *ret_freed,
                      faas_invocation **dead)
{
	if (invocation->is_linked == LINK_NONE)
		move_inbox(function, ret_freed, dead);
	return invocation->is_linked != LINK_NONE;
}

seldom bool faas__queue_remove(faas_function *function, faas_invocation *invocation, uint64_t *ret_freed,
                        faas_invocation **dead)
{
	if (!faas__queue_file(function, invocation, ret_freed, dead) || invocation->is_linked == LINK_TAKEN)
		return false;
	unlink_filed(function, invocation);
	*ret_freed += load_of(invocation);
	return true;
}

seldom void faas__queue_rejoin(faas_function *function, faas_invocation *invocation, faas_invocation **dead,
                        uint64_t *ret_freed)
{
	move_inbox(function, ret_freed, dead);
	if (function->is_ordered)
		list_push_back(&function->arrivals, &faas__keyed_of(invocation)->arrival);
	if (function->is_ordered && !faas__key_may_retry(function, invocation))
		return;
	list_push_back(&function->backlog, &invocation->link);
	invocation->is_linked = LINK_BACKLOG;
	faas__turn_kick(&function->runtime->executor, &function->turn);
}

/* Emitters wait until a quarter is free, lest every single pop wake one of them. */
bool faas__queue_has_room_to_tell(const faas_function *function)
{
	uint64_t load = faas__queue_load(function);
	uint64_t events = function->max_events - function->max_events / 4;

	return LOAD_EVENTS(load) <= events && LOAD_BYTES(load) <= function->max_bytes - function->max_bytes / 4;
}

void faas__queue_freed(faas_function *function, uint64_t freed)
{
	faas_runtime *runtime = function->runtime;
	struct runner *runner = faas__runner_of(runtime);
	struct lane *lane;

	if (freed == 0)
		return;
	lane = faas__lane_enter(runtime, runner);
	faas__lane_release(runtime, lane, (int64_t)LOAD_EVENTS(freed), (int64_t)LOAD_BYTES(freed));
	faas__lane_leave(lane);
	if (unlikely(load_seq_cst(&function->room_waiters) > 0) && faas__queue_has_room_to_tell(function))
		faas__wake_waiters(runtime, function);
}
