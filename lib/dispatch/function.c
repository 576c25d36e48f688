/* SPDX-License-Identifier: MIT */
/*
 * The registry: functions by name, from registration to the end.
 *
 * Unregistering takes a function apart in an order that leaves no window: the name goes, the function closes, its
 * bindings go; then one waits until every emitter that may have seen it open has left its lane. Now nothing can be
 * pushed any more (it is sealed), and what is queued is cancelled. What runs finishes, workers retire, and whoever
 * removes the last of these finishes the function: adds its numbers to the past, calls `release`, and gives up the
 * registry's reference.
 *
 * A turn that is ready stands in the run queue; such a function does not finish before its turn was taken, so the
 * queue never holds one that is gone. After sealing, turns are kicked only under the function's lock (a timer, a slot
 * given back), where is_finished is looked at.
 */
#include <string.h>

#include "base/config.h"
#include "base/text.h"
#include "dispatch/defer.h"
#include "dispatch/frame.h"
#include "dispatch/function.h"
#include "dispatch/record.h"
#include "dispatch/retry.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* ---- References -------------------------------------------------------------------------------------------------- */

faas_function *faas_function_ref(faas_function *function)
{
	if (function)
		add_relaxed(&function->refs, 1);
	return function;
}

void faas_function_unref(faas_function *function)
{
	if (!function || faas__runtime_is_forked(function->runtime))
		return;
	if (sub_acq_rel(&function->refs, 1) == 1)
		faas__function_free(function);
}

const char *faas_function_name(const faas_function *function)
{
	return function->name;
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

int faas__function_get(faas_runtime *runtime, const char *name, faas_function **ret_function)
{
	faas_function *function;

	if (faas__name_check(name) == 0)
		return FAAS_ENAME;
	faas__mutex_lock(&runtime->functions_mu);
	function = faas_function_ref(faas__map_get(&runtime->functions, name));
	faas__mutex_unlock(&runtime->functions_mu);
	/* A closing runtime has given up its names. */
	if (!function)
		return load_acquire(&runtime->phase) >= RUNTIME_CLOSING ? FAAS_ECLOSED : FAAS_ENOTFOUND;
	*ret_function = function;
	return FAAS_OK;
}

int faas_function_find(faas_runtime *runtime, const char *name, faas_function **ret_function)
{
	if (!runtime || !name || !ret_function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (load_acquire(&runtime->phase) >= RUNTIME_CLOSING)
		return FAAS_ECLOSED;
	return faas__function_get(runtime, name, ret_function);
}

/* What was taken out of a queue to be cancelled. */
struct cancelled {
	faas_invocation *chain; /* SETTLING and counted */
	faas_invocation *dead;
	uint64_t freed;
	uint64_t queued, delayed;
};

/* ---- The end ----------------------------------------------------------------------------------------------------- */

bool faas__function_is_over(const faas_function *function)
{
	return function->is_sealed && !function->is_finished && faas__queue_in(function) == 0 &&
	       function->active == 0 && function->busy == 0 && faas__service(function)->counts.unpublished == 0 &&
	       function->warm_count == 0 && function->retiring == 0 &&
	       load_seq_cst(&function->turn.state) != TURN_READY;
}

static void finish(faas_function *function)
{
	faas_runtime *runtime = function->runtime;
	struct frame frame;

	faas__share_forget(function);
	if (faas__function_is_in_service(function) &&
	    faas__timer_cancel(&runtime->executor, &faas__service(function)->timer))
		faas_function_unref(function);
	if (function->release) {
		faas__callback_enter(&frame, runtime);
		function->release(function->user);
		faas__callback_leave(&frame);
	}
	/* Last: closing waits until the list is empty, and then takes the runtime apart. */
	faas__mutex_lock(&runtime->functions_mu);
	faas__past_add(function);
	list_remove(&function->node);
	faas__mutex_unlock(&runtime->functions_mu);
	faas_function_unref(function);
}

void faas__function_unlock_and_finish(faas_function *function)
{
	bool over = faas__function_is_over(function);

	function->is_finished = function->is_finished || over;
#if defined(FAAS_DEBUG_CHECKS)
	faas__function_check(function);
#endif
	faas__mutex_unlock(&function->mu);
	if (over)
		finish(function);
}

void faas__function_unlock_from(faas_function *function, bool from_monitor)
{
	if (!from_monitor) {
		faas__function_unlock_and_finish(function);
		return;
	}
	if (faas__function_is_over(function))
		faas__function_chore(function);
	faas__mutex_unlock(&function->mu);
}

/* It was taken out of the queue, or out of its delay, and is cancelled if nobody was faster. */
static bool cancel_one(faas_function *function, faas_invocation *invocation, uint32_t phase, struct cancelled *cancelled)
	holds_lock(function->mu)
{
	if (!faas__invocation_move(invocation, phase, PHASE_SETTLING)) {
		faas__dead_add(&cancelled->dead, invocation);
		return false;
	}
	faas__count_end(function, false, END_CANCELLED);
	faas__key_check(function, invocation);
	faas__dead_add(&cancelled->chain, invocation);
	return true;
}

/* Takes everything out of the queue and out of delays. What was still there is moved to SETTLING, counted and chained. */
static void cancel_queue(faas_function *function, struct cancelled *cancelled) holds_lock(function->mu)
{
	faas_invocation *invocation;

	while ((invocation = faas__queue_pop_oldest(function, &cancelled->freed)) != NULL) {
		cancelled->queued += cancel_one(function, invocation, PHASE_QUEUED, cancelled);
	}
	while ((invocation = faas__retry_first(function)) != NULL) {
		faas__retry_unlink(function, invocation);
		cancelled->freed += LOAD_EVENT + faas__invocation_bytes(invocation);
		cancelled->delayed += cancel_one(function, invocation, PHASE_DELAYED, cancelled);
	}
	faas__queue_left(function, cancelled->freed);
}

/* Out of the lock: what cancel_queue left to do. */
static void settle_cancelled(faas_function *function, struct cancelled *cancelled)
{
	faas__queue_freed(function, cancelled->freed);
	faas__settle_popped(cancelled->chain, END_CANCELLED, false);
	faas__dead_unref(cancelled->dead);
}

static void settle_chain(faas_invocation *chain, enum end end, const int64_t *expired_at, bool from_monitor)
{
	/* Chains grow at their front; what ended first is settled first. */
	chain = faas__dead_reverse(chain);
	while (chain) {
		faas_invocation *invocation = chain;
		struct mpsc_node *next = load_relaxed(&chain->node.next);
		faas_function *function = invocation->function;
		int code = 0;

		chain = next ? container_of(next, faas_invocation, node) : NULL;
		if (expired_at)
			(void)faas__retry_expiry(invocation, *expired_at, &code);
		faas__settle_counted(invocation, end, code, from_monitor);
		faas__invocation_unref(invocation);
		/* The function has waited for this, so it was there until now. */
		faas__count_published(function, from_monitor);
	}
}

void faas__settle_popped(faas_invocation *chain, enum end end, bool from_monitor)
{
	settle_chain(chain, end, NULL, from_monitor);
}

void faas__settle_expired(faas_invocation *chain, int64_t now)
{
	settle_chain(chain, END_EXPIRED, &now, false);
}

void faas__function_shut(faas_function *function, bool closing, struct faas_close_stats *report)
{
	struct cancelled cancelled = {0};
	uint64_t letters, deferred = 0;

	faas_function_ref(function);
	faas__mutex_lock(&function->mu);
	function->is_closing = closing;
	store_seq_cst(&function->is_closed, 1);
	faas__share_leave(function);
	faas__mutex_unlock(&function->mu);
	faas__share_tell(function->runtime);
	faas__route_remove_function(function->runtime, function);
	faas__epoch_await(function->runtime, faas__epoch_advance(function->runtime));
	letters = faas__letters_lose(function);
	faas__mutex_lock(&function->mu);
	cancel_queue(function, &cancelled);
	faas__worker_arm_timer(function);
	function->is_sealed = true;
	if (function->warm_count > 0 && !function->is_finished)
		faas__function_chore(function);
	faas__function_unlock_and_finish(function);
	settle_cancelled(function, &cancelled);
	faas__runners_hand_back(function);
	while (closing && faas__defer_cancel_one(function, false))
		deferred++;
	if (report) {
		report->queued += cancelled.queued;
		report->delayed += cancelled.delayed;
		report->deferred += deferred;
		report->dead_letters += letters;
	}
	if (load_seq_cst(&function->room_waiters) > 0)
		faas__wake_waiters(function->runtime, function);
	faas_function_unref(function);
}

int faas_function_cancel_all(faas_function *function)
{
	struct cancelled cancelled = {0};
	int deferred = 0, running;

	if (!function)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(function->runtime))
		return FAAS_EFORKED;
	/* Closing cancels everything by itself, and then waits for those who look at threads. */
	add_seq_cst(&function->runtime->visitors, 1);
	if (load_seq_cst(&function->runtime->phase) >= RUNTIME_CLOSING) {
		sub_seq_cst(&function->runtime->visitors, 1);
		return 0;
	}
	/* What threads took ahead stands in the queue again. */
	faas__runners_hand_back(function);
	faas__mutex_lock(&function->mu);
	cancel_queue(function, &cancelled);
	faas__worker_arm_timer(function);
	faas__mutex_unlock(&function->mu);
	settle_cancelled(function, &cancelled);
	while (faas__defer_cancel_one(function, false))
		deferred++;
	running = faas__runners_cancel(function->runtime, function);
	sub_seq_cst(&function->runtime->visitors, 1);
	return (int)(cancelled.queued + cancelled.delayed) + deferred + running;
}

int faas_unregister_function(faas_runtime *runtime, const char *name)
{
	faas_function *function;

	if (!runtime || !name)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (faas__name_check(name) == 0)
		return FAAS_ENAME;
	faas__mutex_lock(&runtime->functions_mu);
	function = faas__map_get(&runtime->functions, name);
	if (function) {
		faas__map_remove(&runtime->functions, name);
		runtime->function_count--;
		faas_function_ref(function);
	}
	faas__mutex_unlock(&runtime->functions_mu);
	if (!function)
		return FAAS_ENOTFOUND;
	faas__function_shut(function, false, NULL);
	faas_function_unref(function);
	return FAAS_OK;
}
