/* SPDX-License-Identifier: MIT */
/*
 * The run queue: whose turn it is.
 *
 * Turns are ordered by the thread time they have used (while others wanted some), divided by their weight; the one that has
 * used least comes first. One that was idle starts from the virtual time of the turn taken last, so that rest earns no credit, and one
 * that floods its queue only ever competes against itself: a newcomer with little use stands before it at once.
 *
 * Deficit round robin does the same with lists, but a turn that used three seconds would be passed over thirty
 * thousand times before it had paid its debt; here that is one comparison.
 *
 * Source: Goyal, Vin, Cheng, "Start-time fair queuing", SIGCOMM 1996.
 *
 * Who makes a turn ready touches one line: it is pushed on a stack, and whoever takes a turn next files what is on it, the
 * oldest first. Turns are chosen only after that, among all of them.
 *
 * Most that become ready are the only one. Such a turn is taken off the stack by one compare-and-swap, without the lock and
 * without being filed. The word says by TURN_BEHIND whether others stand behind it: so if it is taken and comes back between
 * being seen and taken, it is still alone. Nothing in it is looked at before it has been taken, for until then its function may
 * be freed. What others file meanwhile it passes over, once. So only who holds the lock moves turns from the stack to list
 * and heap, and writes the virtual time, but others may empty a stack of one.
 *
 * Most turns are short, and many that are ready have used as good as the same. Those stand in a list, first come, first
 * served, and only what is ahead of the virtual time by more than `near_ns` goes to the heap, where each step writes to turns
 * that other cores are at. So a turn may come before one that has used less, by that much at most; in manual mode, by
 * nothing. Nor is what stands in the heap left behind: each turn in the list gets there after that much use, and when
 * the list is empty the virtual time goes on to the first in the heap.
 *
 * The state word's compare-and-swap decides who inserts a turn, so it is in the queue at most once. Order between work
 * and state: a producer publishes its work by a sequentially consistent operation and then looks at the state; a taker
 * writes IDLE (sequentially consistent) and then looks for work. One of the two sees the other.
 */
#include "executor/executor.h"

#define MOST_NS 1000000000000000 /* of one charge */
#define PERHAPS_LONG_NS 1000000   /* what a turn of which nothing is known counts as */
#define LINES_AHEAD 5             /* of what a turn is part of, from its node on */

seldom void faas__turn_init(struct turn *turn, faas__take_fn *take, uint32_t weight)
{
	turn->node.prev = NULL;
	turn->take = take;
	store_relaxed(&turn->state, TURN_IDLE);
	store_relaxed(&turn->weight, weight);
	store_relaxed(&turn->used, 0);
	store_relaxed(&turn->expected_ns, 0);
}

static struct turn *turn_at(uintptr_t arrived)
{
	return (struct turn *)(arrived & ~TURN_BEHIND);
}

static void insert(struct run_queue *queue, struct turn *turn)
{
	uintptr_t before = load_relaxed(&queue->arrived);

	/* Before the look at who is attentive or parked, in faas__executor_wake. */
	do
		store_relaxed(&turn->next_arrived, turn_at(before));
	while (!cas_seq_cst(&queue->arrived, &before, (uintptr_t)turn | (before != 0 ? TURN_BEHIND : 0)));
}

static void add_soon(struct run_queue *queue, struct turn *turn) holds_lock(queue->mu)
{
	store_relaxed(&turn->next_arrived, NULL);
	if (queue->soon)
		store_relaxed(&queue->soon_last->next_arrived, turn);
	else
		queue->soon = turn;
	queue->soon_last = turn;
}

static void file(struct run_queue *queue, struct turn *turn) holds_lock(queue->mu)
{
	const int64_t now = load_relaxed(&queue->virtual_now);

	turn->node.key = load_relaxed(&turn->used);
	if (turn->node.key < now) {
		turn->node.key = now;
		store_relaxed(&turn->used, now);
	}
	if (turn->node.key - now <= queue->near_ns && queue->draw.state == 0) {
		add_soon(queue, turn);
	} else {
		turn->node.second = queue->draw.state != 0 ? faas__random_next(&queue->draw) : queue->arrivals++;
		faas__heap_insert(&queue->heap, &turn->node);
	}
	turn->queued_ns = load_relaxed(&turn->expected_ns);
	if (turn->queued_ns == 0)
		turn->queued_ns = PERHAPS_LONG_NS;
	bump_relaxed(&queue->expected_ns, turn->queued_ns);
}

/* Files what has become ready, in that order. */
static void file_arrived(struct run_queue *queue) holds_lock(queue->mu)
{
	struct turn *turn, *next, *oldest = NULL;
	uint32_t count = 0;

	if (load_relaxed(&queue->arrived) == 0)
		return;
	/* Whoever finds the stack empty is to see that there are turns: nobody may sleep now. */
	add_seq_cst(&queue->count, 1);
	for (turn = turn_at(exchange_seq_cst(&queue->arrived, 0)); turn; turn = next) {
		next = load_relaxed(&turn->next_arrived);
		store_relaxed(&turn->next_arrived, oldest);
		oldest = turn;
	}
	for (turn = oldest; turn; turn = next) {
		next = load_relaxed(&turn->next_arrived);
		file(queue, turn);
		count++;
	}
	/* None: it was alone, and somebody has taken it without the lock. */
	if (count != 1)
		add_seq_cst(&queue->count, count - 1);
}

/* What the next turn is part of will be written when it is taken: it comes from another core meanwhile. NULL: there is none. */
static void look_ahead(const struct heap_node *next)
{
	/* From the line before: the turn begins in that. */
	for (int i = -1; next && i < LINES_AHEAD; i++)
		prefetch_to_write((const char *)next + FAAS_LINE * i);
}

static void make_ready(struct executor *executor, struct turn *turn, uint32_t from)
{
	if (!cas_seq_cst(&turn->state, &from, TURN_READY))
		return;
	insert(&executor->run_queue, turn);
	faas__executor_wake(executor);
}

void faas__turn_kick(struct executor *executor, struct turn *turn)
{
	if (load_seq_cst(&turn->state) == TURN_IDLE)
		make_ready(executor, turn, TURN_IDLE);
}

seldom void faas__turn_unblock(struct executor *executor, struct turn *turn)
{
	if (load_seq_cst(&turn->state) == TURN_BLOCKED)
		make_ready(executor, turn, TURN_BLOCKED);
}

bool faas__turn_again(struct executor *executor, struct turn *turn, struct thread *thread, bool wake)
{
	insert(&executor->run_queue, turn);
	if (wake)
		return faas__executor_wake_more(executor, thread);
	if (!faas__executor_is_manual(executor))
		faas__monitor_tick(executor);
	return false;
}

void faas__turn_charge(struct turn *turn, int64_t ns)
{
	/* A clock that is moved by hand may show years. */
	if (ns > MOST_NS)
		ns = MOST_NS;
	add_relaxed(&turn->used, ns * 100 / (int64_t)load_relaxed(&turn->weight));
}

static struct turn *take_first(struct run_queue *queue) holds_lock(queue->mu)
{
	const int64_t now = load_relaxed(&queue->virtual_now);
	struct heap_node *first = faas__heap_first(&queue->heap);
	struct turn *soon = queue->soon;

	if (soon && (!first || first->key > now)) {
		queue->soon = load_relaxed(&soon->next_arrived);
		return soon;
	}
	if (!first)
		return NULL;
	faas__heap_remove(&queue->heap, first);
	/* By no others: those of the list may be ahead of what is still in it. */
	if (first->key > now)
		store_relaxed(&queue->virtual_now, first->key);
	return container_of(first, struct turn, node);
}

/*
 * For the monitor, which asks only whether it has changed. What others count meanwhile may be lost, and the change with it: at
 * the worst a thread is called in vain.
 */
static void count_taken(struct run_queue *queue)
{
	bump_relaxed(&queue->taken, 1);
}

/* Under the lock: time never goes back, or what starts from it would come before others for as long. */
seldom static void move_on(struct run_queue *queue, int64_t to)
{
	faas__mutex_lock(&queue->mu);
	if (to > load_relaxed(&queue->virtual_now))
		store_relaxed(&queue->virtual_now, to);
	faas__mutex_unlock(&queue->mu);
}

/*
 * The only one that is ready, as if it had been filed and were the first. NULL: there may be none, or others; and always in
 * manual mode, where nothing is near and turns may be drawn.
 */
static struct turn *take_lone(struct run_queue *queue)
{
	uintptr_t arrived = load_relaxed(&queue->arrived);
	const int64_t now = load_relaxed(&queue->virtual_now);
	struct turn *turn = turn_at(arrived);
	int64_t used;

	/* Its line is on its way while the stack's is fetched to be written. */
	prefetch(turn);
	if (queue->near_ns == 0 || arrived == 0 || (arrived & TURN_BEHIND) != 0 || load_relaxed(&queue->count) != 0 ||
	    !cas_seq_cst(&queue->arrived, &arrived, 0))
		return NULL;
	used = load_relaxed(&turn->used);
	if (used < now)
		store_relaxed(&turn->used, now);
	else if (unlikely(used - now > queue->near_ns))
		move_on(queue, used);
	count_taken(queue);
	return turn;
}

struct turn *faas__turn_next(struct executor *executor)
{
	struct run_queue *queue = &executor->run_queue;
	struct heap_node *next = NULL;
	struct turn *turn;

	if (!faas__run_queue_has_turns(queue))
		return NULL;
	turn = take_lone(queue);
	if (turn)
		return turn;
	faas__mutex_lock(&queue->mu);
	file_arrived(queue);
	turn = take_first(queue);
	if (turn) {
		sub_seq_cst(&queue->count, 1);
		bump_relaxed(&queue->expected_ns, -(uint64_t)turn->queued_ns);
		count_taken(queue);
		next = queue->soon ? &queue->soon->node : faas__heap_first(&queue->heap);
	}
	faas__mutex_unlock(&queue->mu);
	look_ahead(next);
	return turn;
}

bool faas__turn_is_alone(struct executor *executor, struct turn *turn)
{
	struct run_queue *queue = &executor->run_queue;
	uintptr_t arrived = load_seq_cst(&queue->arrived);
	uint32_t others = load_seq_cst(&queue->count);

	if (arrived != 0)
		return arrived == (uintptr_t)turn && others == 0;
	return others == (load_seq_cst(&turn->state) == TURN_READY);
}
