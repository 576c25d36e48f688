/* SPDX-License-Identifier: MIT */
/*
 * Timers: what is due later and is not the deadline of something that runs (slots.c has those). An intrusive heap
 * under one mutex; a timer fires without it, so that it may take what locks it needs and set itself again.
 *
 * A timer's owner must outlive its firing: owners count a reference while the timer is set, which firing hands on.
 */
#include "executor/executor.h"

bool faas__timer_set(struct executor *executor, struct timer *timer, int64_t due)
{
	bool was_set;

	faas__mutex_lock(&executor->timers_mu);
	was_set = faas__heap_contains(&timer->node);
	if (was_set)
		faas__heap_remove(&executor->timers, &timer->node);
	timer->node.key = due;
	timer->node.second = 0;
	faas__heap_insert(&executor->timers, &timer->node);
	faas__mutex_unlock(&executor->timers_mu);
	if (!faas__executor_is_manual(executor))
		faas__monitor_before(executor, due);
	return !was_set;
}

bool faas__timer_cancel(struct executor *executor, struct timer *timer)
{
	bool was_set;

	faas__mutex_lock(&executor->timers_mu);
	was_set = faas__heap_contains(&timer->node);
	if (was_set)
		faas__heap_remove(&executor->timers, &timer->node);
	faas__mutex_unlock(&executor->timers_mu);
	return was_set;
}

int64_t faas__timers_next(struct executor *executor)
{
	struct heap_node *first;
	int64_t due;

	faas__mutex_lock(&executor->timers_mu);
	first = faas__heap_first(&executor->timers);
	due = first ? first->key : TIME_NEVER;
	faas__mutex_unlock(&executor->timers_mu);
	return due;
}

static struct timer *pop_due(struct executor *executor, int64_t now)
{
	struct heap_node *first;

	faas__mutex_lock(&executor->timers_mu);
	first = faas__heap_first(&executor->timers);
	if (first && first->key <= now)
		faas__heap_remove(&executor->timers, first);
	else
		first = NULL;
	faas__mutex_unlock(&executor->timers_mu);
	return first ? container_of(first, struct timer, node) : NULL;
}

void faas__timers_fire(struct executor *executor, int64_t now)
{
	struct timer *timer;

	while ((timer = pop_due(executor, now)) != NULL)
		timer->fire(timer, now);
}
