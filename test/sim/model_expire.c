/* SPDX-License-Identifier: MIT */
/*
 * Ages: what is too old, or whose caller has given up, begins no attempt. It is found out when its turn comes and it
 * could begin: a turn settles all that has expired before the first that has not, and runs that one.
 */
#include "model.h"

#include "report.h"

bool model_is_late(const struct model_invocation *invocation, int64_t at, int *ret_code)
{
	*ret_code = FAAS_EEXPIRED;
	if (!invocation->is_sync && at >= after(invocation->accepted, invocation->function->max_age))
		return true;
	*ret_code = FAAS_ETIMEDOUT;
	return at >= invocation->caller_deadline;
}

bool model_is_expired(const struct model_invocation *invocation, int *ret_code)
{
	return model_is_late(invocation, invocation->function->model->now, ret_code);
}

static bool can_expire(const struct model_invocation *queued, int *ret_code)
{
	return model_key_lets(queued) && model_is_expired(queued, ret_code);
}

/* A list of what has expired, in the order in which it was found. */
struct expired {
	struct model_invocation *first, **last;
	uint64_t count;
};

/* It leaves the queue, and its key is free, before any of them is settled. */
static void take_out(struct expired *expired, struct model_invocation *invocation)
{
	model_unqueue(invocation);
	model_remove_unsettled(invocation);
	invocation->next_expired = NULL;
	*expired->last = invocation;
	expired->last = &invocation->next_expired;
	expired->count++;
}

static void settle_expired(const struct expired *expired)
{
	struct model_invocation *before = NULL;
	int code;

	for (struct model_invocation *each = expired->first; each; each = each->next_expired) {
		(void)model_is_expired(each, &code);
		model_settle_after(each, before);
		model_settle_unrun(each, END_EXPIRED, code);
		before = each;
	}
}

/* First in, first out: all that come before the first that has not expired. */
static void find_at_head(struct model_function *function, struct expired *expired)
{
	int code;

	while (function->queue && can_expire(function->queue, &code))
		take_out(expired, function->queue);
}

static struct model_invocation *first_expired(const struct model_function *function, uint64_t *ret_count)
{
	struct model_invocation *first = NULL;
	int code;

	*ret_count = 0;
	for (struct model_invocation *queued = function->queue; queued; queued = queued->next) {
		if (!can_expire(queued, &code))
			continue;
		if (!first)
			first = queued;
		++*ret_count;
	}
	return first;
}

/*
 * Of an ordered function it is not promised which of those that may begin come first: neither which of them were found,
 * nor in which order they become records and dead letters. Each that goes may let the next of its key begin.
 */
static void find_any(struct model_function *function, uint64_t found, struct expired *expired)
{
	bool order_shows = function->on_failure >= 0 || function->max_letters > 0;
	struct model_invocation *first;
	uint64_t count;

	while (expired->count < found && (first = first_expired(function, &count)) != NULL) {
		if (count > found - expired->count || (count > 1 && order_shows))
			unsure();
		take_out(expired, first);
	}
}

/* What the turn then runs leaves the queue with them. */
static void take_next(struct model_function *function)
{
	struct model_invocation *next = function->queue;

	while (next && (next->mark != function->mark || !model_key_lets(next)))
		next = next->next;
	if (!next)
		return;
	if (function->is_ordered && function->on_failure >= 0 && model_count_ready(function) > 1)
		unsure();
	if (function->is_ordered && model_count_ready(function) > 1)
		return;
	model_unqueue(next);
	function->taken = next;
}

int model_expire(struct model_function *function, uint64_t found)
{
	struct expired expired = {.last = &expired.first};

	if (function->is_ordered)
		find_any(function, found, &expired);
	else
		find_at_head(function, &expired);
	if (expired.count > 0)
		take_next(function);
	function->model->is_turn = true;
	settle_expired(&expired);
	function->model->is_turn = false;
	return (int)expired.count;
}

void model_mark(struct model_function *function)
{
	function->mark = ++function->model->mark;
	for (struct model_invocation *queued = function->queue; queued; queued = queued->next)
		queued->mark = function->mark;
}

bool model_has_marked(const struct model_function *function)
{
	if (function->taken)
		return true;
	for (const struct model_invocation *queued = function->queue; queued; queued = queued->next)
		if (queued->mark == function->mark && model_key_lets(queued))
			return true;
	return false;
}
