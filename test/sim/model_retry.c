/* SPDX-License-Identifier: MIT */
/*
 * Retries: what was emitted or invoked without waiting is tried again after a delay that doubles, until its attempts,
 * its age or its caller's time are used up. A delayed one keeps its room, and always finds room.
 */
#include "model.h"

static int64_t delay(const struct model_function *function, int attempts)
{
	int64_t backoff = function->retry_backoff;

	for (int i = 1; i < attempts && backoff < function->retry_backoff_max; i++)
		backoff *= 2;
	return sooner(backoff, function->retry_backoff_max);
}

/* ---- Delays ------------------------------------------------------------------------------------------------------ */

static void add_delay(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	struct model_invocation **at = &function->delays;

	while (*at && (*at)->ready <= invocation->ready)
		at = &(*at)->next;
	invocation->next = *at;
	*at = invocation;
	invocation->status = FAAS_STATUS_DELAYED;
	function->delayed++;
	function->load_bytes += invocation->bytes;
	function->model->queued_events++;
	function->model->queued_bytes += invocation->bytes;
}

void model_delay(struct model_invocation *invocation, int64_t least, int64_t most)
{
	struct model_function *function = invocation->function;

	if (function->model->is_clock)
		model_clock_brings(function, false);
	function->stats.retries++;
	/* What this one said is nothing to anybody. */
	invocation->handler_result = 0;
	invocation->message = 0;
	invocation->ready = least == most ? most : NEVER;
	invocation->ready_least = least;
	invocation->ready_most = most;
	invocation->ready_doubt = 0;
	if (most > function->model->now)
		add_delay(invocation);
	else
		model_enqueue(invocation);
}

void model_undelay(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	struct model_invocation **at = &function->delays;

	while (*at != invocation)
		at = &(*at)->next;
	*at = invocation->next;
	function->delayed--;
	function->load_bytes -= invocation->bytes;
	function->model->queued_events--;
	function->model->queued_bytes -= invocation->bytes;
}

void model_end_delay(struct model_invocation *invocation, bool is_clock)
{
	model_undelay(invocation);
	if (is_clock)
		model_clock_brings(invocation->function, true);
	model_enqueue(invocation);
}

bool model_retry(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	int64_t longest = delay(function, invocation->attempts), most = function->model->now + longest;
	int64_t least = most - longest / 100 * function->jitter;
	int code;

	if (invocation->is_sync || !function->is_open || invocation->attempts >= function->max_attempts)
		return false;
	if (model_leave_undecided(invocation, least, most))
		return true;
	if (model_is_late(invocation, least, &code))
		model_settle(invocation, END_EXPIRED, code);
	else
		model_delay(invocation, least, most);
	return true;
}
