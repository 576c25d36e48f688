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
 * What handlers emit goes to local queues, which are inboxes like the other: a pool thread pushes to one of its own and
 * goes to that first when it is the function's turn, any other thread takes from it as well. So threads whose handlers
 * emit do not write to one line all the time; and what a handler has begun is carried on while its events are still in
 * that processor's cache, rather than behind everything that came before: a tree of events stays as small as it is deep.
 * Nobody is left behind: after LOCAL_FIRST_NS at its own queue (with slow handlers, every other batch) and whenever that
 * is empty, a thread takes its batch from all queues in turn, whoever fills them. Functions that keep an order, push out
 * their oldest event or have a rate have no local queues, nor have those of which one event at a time may run, which then
 * keep the order of arrival.
 *
 * Nor do those threads write to the word that counts room, but once for LEASE_EVENTS events: a local queue takes so much
 * ahead (lease), as long as less than half of what there is has been taken. That is in `admitted`, but not in the queue:
 * what stands there, and what counts against the bounds, is less by what is leased. A lease is made and ended under the
 * lock, together with `admitted`; in between it only shrinks, by compare-and-swap, just before what it was for is pushed
 * and the turn kicked (so nothing may go wrong after that). Who holds the lock and looks at the leases first may miss such
 * an event, whose kick is yet to come, and nothing else. Before the queue is said to be full all leases end: bounds hold to
 * the event.
 *
 * Of an ordered function the inbox is sorted before anything is popped: into the backlog, which holds what may begin, and
 * behind the heads of their keys (key.c).
 */
#include "dispatch/queue.h"

#include <string.h>

#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define LOCAL_FIRST_NS 200000 /* for which a thread stays with its own queue before it looks at another */

static struct local_queue *locals_of(const faas_function *function)
{
	return load_acquire(&faas__service(function)->locals);
}

/* Room that is leased to local queues. Under the lock it only shrinks. */
seldom static uint64_t leased_of(const faas_function *function)
{
	const struct local_queue *locals = locals_of(function);
	uint64_t leased = 0;

	for (uint32_t i = 0; locals && i < function->runtime->local_count; i++)
		leased += load_seq_cst(&locals[i].leased);
	return leased;
}

seldom uint64_t faas__queue_load(const faas_function *function)
{
	/* In this order what is taken out of a lease meanwhile is missed at most. */
	uint64_t leased = leased_of(function);

	return load_seq_cst(&function->admitted) - load_relaxed(&function->released) - leased;
}

seldom uint64_t faas__queue_load_now(faas_function *function)
{
	uint64_t load;

	faas__mutex_lock(&function->mu);
	(void)faas__queue_show_released(function);
	load = faas__queue_load(function);
	faas__mutex_unlock(&function->mu);
	return load;
}

uint64_t faas__queue_in(const faas_function *function)
{
	uint64_t in = load_seq_cst(&function->admitted) - function->popped, leased;

	/* Many more than can be leased. */
	if (likely(!locals_of(function)) || LOAD_EVENTS(in) > LEASE_EVENTS * LOCAL_MAX + function->held)
		return in;
	leased = leased_of(function);
	return load_seq_cst(&function->admitted) - function->popped - leased;
}

/* The same where it seems full, as it may for what is leased, and as long as nobody has shown what was released. */
seldom static int reserve_at_last(faas_function *function, size_t bytes) without_lock(function->mu)
{
	struct local_queue *locals = locals_of(function);
	uint64_t back = 0, admitted, released;
	bool is_reserved = false;

	faas__mutex_lock(&function->mu);
	for (uint32_t i = 0; locals && i < function->runtime->local_count; i++)
		back += exchange_seq_cst(&locals[i].leased, 0);
	admitted = sub_seq_cst(&function->admitted, back) - back;
	released = faas__queue_show_released(function);
	while (!is_reserved && faas__queue_has_room(function, admitted - released, bytes))
		is_reserved = cas_seq_cst(&function->admitted, &admitted, admitted + LOAD_EVENT + bytes);
	faas__mutex_unlock(&function->mu);
	return is_reserved ? FAAS_OK : FAAS_EFULL;
}

int faas__queue_reserve(faas_function *function, size_t bytes)
{
	/* Before `admitted`, so that the difference is never below 0. */
	uint64_t released = load_acquire(&function->released_seen), admitted = load_relaxed(&function->admitted);

	/* Sequentially consistent, like the lane's word before it: who seals the function relies on one of the two. */
	if (unlikely(load_seq_cst(&function->is_closed)))
		return FAAS_ENOTFOUND;
	while (likely(faas__queue_has_room(function, admitted - released, bytes)))
		if (likely(cas_seq_cst(&function->admitted, &admitted, admitted + LOAD_EVENT + bytes)))
			return FAAS_OK;
	return reserve_at_last(function, bytes);
}

void faas__queue_unreserve(faas_function *function, size_t bytes)
{
	sub_seq_cst(&function->admitted, LOAD_EVENT + bytes);
}

/* ---- Local queues ------------------------------------------------------------------------------------------------ */

/* NULL: no memory. */
seldom static struct local_queue *make_locals(faas_function *function)
{
	const struct allocator *allocator = &function->runtime->allocator;
	const size_t bytes = function->runtime->local_count * sizeof(struct local_queue);
	struct local_queue *made = faas__alloc_aligned(allocator, bytes, FAAS_LINE), *locals;

	if (!made)
		return NULL;
	memset(made, 0, bytes);
	for (uint32_t i = 0; i < function->runtime->local_count; i++)
		faas__mpsc_init(&made[i].in, &made[i].out);
	faas__mutex_lock(&function->mu);
	locals = locals_of(function);
	if (!locals)
		store_release(&faas__service(function)->locals, made);
	faas__mutex_unlock(&function->mu);
	if (!locals)
		return made;
	/* Another thread's handler was faster. */
	faas__free_aligned(allocator, made, bytes, FAAS_LINE);
	return locals;
}

seldom void faas__locals_free(struct faas_runtime *runtime, struct service *service)
{
	faas__free_aligned(&runtime->allocator, load_relaxed(&service->locals),
	                   runtime->local_count * sizeof(struct local_queue), FAAS_LINE);
}

/* The one that this thread fills; NULL: it has none, and the inbox will do. */
static struct local_queue *local_of(faas_function *function, const struct runner *runner)
{
	struct local_queue *locals;

	if (likely(!runner || runner->local == 0 || !function->has_locals))
		return NULL;
	locals = locals_of(function);
	if (unlikely(!locals))
		locals = make_locals(function);
	return locals ? &locals[runner->local - 1] : NULL;
}

/*
 * As faas__queue_reserve_leased, where more must be leased first. Where room might become scarce, nobody hoards any. What is
 * left, too little for this event or bytes alone, is given back.
 */
seldom static bool lease(faas_function *function, struct local_queue *local, size_t bytes) without_lock(function->mu)
{
	const uint64_t one = LOAD_EVENT + bytes, all = LEASE_EVENTS * one;
	uint64_t released = load_seq_cst(&function->released), admitted = load_seq_cst(&function->admitted);
	uint64_t load = admitted - released + all, rest;
	bool is_leased;

	if (LOAD_EVENTS(load) > function->max_events / 2 || LOAD_BYTES(load) > function->max_bytes / 2)
		return false;
	faas__mutex_lock(&function->mu);
	rest = exchange_seq_cst(&local->leased, 0);
	is_leased = cas_seq_cst(&function->admitted, &admitted, admitted + all - rest);
	store_release(&local->leased, is_leased ? all - one : rest);
	faas__mutex_unlock(&function->mu);
	return is_leased;
}

bool faas__queue_reserve_leased(faas_function *function, const struct runner *runner, size_t bytes)
{
	struct local_queue *local = local_of(function, runner);
	uint64_t leased;

	if (!local || unlikely(load_seq_cst(&function->is_closed)))
		return false;
	leased = load_relaxed(&local->leased);
	if (likely(LOAD_EVENTS(leased) - 1 < LEASE_EVENTS) && likely(LOAD_BYTES(leased) >= bytes) &&
	    likely(cas_seq_cst(&local->leased, &leased, leased - LOAD_EVENT - bytes)))
		return true;
	return lease(function, local, bytes);
}

static uint32_t queue_count(const faas_function *function)
{
	return unlikely(locals_of(function)) ? function->runtime->local_count + 1 : 1;
}

uint32_t faas__queue_choose(faas_function *function, const struct runner *runner)
{
	struct service *service = faas__service(function);
	uint32_t count = queue_count(function), turn;

	if (likely(count == 1))
		return 0;
	if (runner->local > 0) {
		struct local_queue *own = &locals_of(function)[runner->local - 1];

		if (own->first_until == 0)
			own->first_until = runner->now + LOCAL_FIRST_NS;
		if (runner->now < own->first_until && !faas__mpsc_is_empty(&own->in))
			return runner->local;
		own->first_until = 0;
	}
	/* Of these every second one is for what came from outside or was put back: it may be the oldest by far. */
	turn = service->queue_turns++;
	return turn % 2 == 0 ? 0 : 1 + turn / 2 % (count - 1);
}

seldom uint64_t faas__queue_accepted(const faas_function *function)
{
	const struct local_queue *locals = locals_of(function);
	uint64_t accepted = load_acquire(&function->accepted);

	for (uint32_t i = 0; locals && i < function->runtime->local_count; i++)
		accepted += load_acquire(&locals[i].accepted);
	return accepted;
}

/* ---- Pushing and popping ----------------------------------------------------------------------------------------- */

void faas__queue_push(faas_function *function, faas_invocation *invocation, const struct runner *runner)
{
	struct local_queue *local = local_of(function, runner);

	if (unlikely(local)) {
		add_relaxed(&local->accepted, 1);
		faas__mpsc_push(&local->in, &invocation->node);
	} else {
		add_relaxed(&function->accepted, 1);
		faas__mpsc_push(&function->inbox_in, &invocation->node);
	}
	faas__turn_kick(&function->runtime->executor, &function->turn);
}

/* From the inbox, or the n-th local queue. */
static faas_invocation *pop_inbox(faas_function *function, uint32_t queue) holds_lock(function->mu)
{
	struct local_queue *local = queue == 0 ? NULL : &locals_of(function)[queue - 1];

	return faas__queue_pop_from(local ? &local->in : &function->inbox_in, local ? &local->out : &function->inbox_out);
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
seldom static faas_invocation *sort_inbox(faas_function *function) holds_lock(function->mu)
{
	faas_invocation *invocation;

	while ((invocation = pop_inbox(function, 0)) != NULL) {
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

/* From the next queue that is not empty. */
seldom static faas_invocation *pop_elsewhere(faas_function *function, uint32_t *queue) holds_lock(function->mu)
{
	const uint32_t count = queue_count(function);
	faas_invocation *invocation = NULL;

	for (uint32_t i = 1; !invocation && i < count; i++) {
		*queue = (*queue + 1) % count;
		if (*queue == 0)
			invocation = pop_filed(function);
		if (!invocation)
			invocation = pop_inbox(function, *queue);
	}
	return invocation;
}

faas_invocation *faas__queue_pop_any(faas_function *function, uint32_t *queue, uint64_t *ret_freed)
{
	faas_invocation *invocation = unlikely(function->is_ordered) ? sort_inbox(function) : NULL;

	if (!invocation && likely(*queue == 0))
		invocation = pop_filed(function);
	if (!invocation && likely(!function->is_ordered)) {
		invocation = pop_inbox(function, *queue);
		if (!invocation)
			invocation = pop_elsewhere(function, queue);
	}
	return invocation ? faas__queue_count_popped(invocation, ret_freed) : NULL;
}

seldom faas_invocation *faas__queue_pop_oldest(faas_function *function, uint64_t *ret_freed)
{
	faas_invocation *invocation;
	uint32_t queue = 0;

	if (!function->is_ordered)
		return faas__queue_pop_any(function, &queue, ret_freed);
	invocation = sort_inbox(function);
	if (!invocation && !list_empty(&function->arrivals)) {
		invocation = container_of(function->arrivals.next, struct keyed, arrival)->of;
		unlink_filed(function, invocation);
	}
	return invocation ? faas__queue_count_popped(invocation, ret_freed) : NULL;
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
		load += faas__load_of(invocation);
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

	for (uint32_t queue = 0; queue < queue_count(function); queue++)
		while ((invocation = pop_inbox(function, queue)) != NULL) {
			if (faas__phase_of(load_acquire(&invocation->state)) == PHASE_QUEUED) {
				file(function, invocation);
				continue;
			}
			*ret_freed += faas__load_of(invocation);
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
	*ret_freed += faas__load_of(invocation);
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
seldom bool faas__queue_has_room_to_tell(faas_function *function)
{
	uint64_t events = function->max_events - function->max_events / 4, load = faas__queue_load_now(function);

	return LOAD_EVENTS(load) <= events && LOAD_BYTES(load) <= function->max_bytes - function->max_bytes / 4;
}

void faas__queue_freed(faas_function *function, uint64_t freed)
{
	faas_runtime *runtime = function->runtime;
	struct runner *runner;

	if (freed == 0)
		return;
	runner = faas__runner_of(runtime);
	if (likely(runner)) {
		/* Its own, and nothing is looked up: it need not be entered. */
		faas__lane_release(runtime, &runner->lane, (int64_t)LOAD_EVENTS(freed), (int64_t)LOAD_BYTES(freed));
	} else {
		struct lane *lane = faas__lane_enter(runtime, NULL);

		faas__lane_release(runtime, lane, (int64_t)LOAD_EVENTS(freed), (int64_t)LOAD_BYTES(freed));
		faas__lane_leave(lane);
	}
	if (unlikely(load_seq_cst(&function->room_waiters) > 0) && faas__queue_has_room_to_tell(function))
		faas__wake_waiters(runtime, function);
}
