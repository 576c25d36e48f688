/* SPDX-License-Identifier: MIT */
/*
 * Workers: started cold, kept warm, retired.
 *
 * Warm workers form a stack: the one used last is taken first, so that in slack times the ones at the bottom age and
 * go. A function has one timer, set to the earliest of the bottom worker's end and the end of an init backoff; when it
 * fires, the function gets a turn, and the turn does what is due (run.c). Nothing is set or cancelled per event.
 *
 * A failed init pauses starts: 1, 2, 4 ... 64 times init_backoff. Warm workers go on meanwhile.
 */
#include "dispatch/frame.h"
#include "dispatch/function.h"
#include "dispatch/runtime.h"

#define BACKOFF_DOUBLINGS 6u
#define RETRY_MEMORY_NS 1000000
#define LEAST_PROVISION_PAUSE_NS 100000000

struct worker *faas__worker_new(faas_function *function)
{
	struct worker *worker = faas__alloc_zero(&function->runtime->allocator, sizeof(*worker));

	if (worker)
		list_init(&worker->node);
	return worker;
}

void faas__worker_retire(faas_function *function, struct worker *worker, enum retirement why)
{
	faas_runtime *runtime = function->runtime;
	struct frame frame;

	if (function->fini) {
		faas__callback_enter(&frame, runtime);
		function->fini(worker->state, function->user);
		faas__callback_leave(&frame);
	}
	faas__free(&runtime->allocator, worker, sizeof(*worker));
	faas__mutex_lock(&function->mu);
	function->counts.retired[why]++;
	function->retiring--;
	faas__mutex_unlock(&function->mu);
}

static uint32_t present(const faas_function *function) holds_lock(function->mu)
{
	return function->warm_count + function->busy + function->starting;
}

struct worker *faas__worker_pop_expired(faas_function *function, int64_t now, enum retirement *ret_why)
{
	struct worker *oldest;

	if (function->warm_count == 0)
		return NULL;
	oldest = container_of(function->warm.prev, struct worker, node);
	if (load_relaxed(&function->is_closed)) {
		*ret_why = function->is_closing ? RETIRED_CLOSED : RETIRED_UNREGISTERED;
	} else {
		if (present(function) <= function->provisioned ||
		    faas__time_after(oldest->idle_since, function->keep_warm_ns) > now)
			return NULL;
		*ret_why = RETIRED_IDLE;
	}
	list_remove(&oldest->node);
	function->warm_count--;
	function->retiring++;
	return oldest;
}

void faas__worker_put_warm(faas_function *function, struct worker *worker, int64_t now)
{
	worker->idle_since = now;
	list_push_front(&function->warm, &worker->node);
	function->warm_count++;
}

/* When the timer should fire next; TIME_NEVER: not at all. */
static int64_t next_due(faas_function *function) holds_lock(function->mu)
{
	int64_t due = TIME_NEVER;

	if (load_relaxed(&function->is_closed))
		return TIME_NEVER;
	if (function->warm_count > 0 && present(function) > function->provisioned)
		due = faas__time_after(container_of(function->warm.prev, struct worker, node)->idle_since,
		                       function->keep_warm_ns);
	if (function->is_paused && function->init_retry_at < due)
		due = function->init_retry_at;
	/* A start ahead of need waits for both. */
	if (present(function) < function->provisioned && function->provision_after != 0) {
		int64_t start = function->provision_after;

		if (function->is_paused && function->init_retry_at > start)
			start = function->init_retry_at;
		due = start < due ? start : due;
	}
	return due;
}

void faas__worker_arm_timer(faas_function *function)
{
	int64_t due = next_due(function);

	/* One that is set fires no later, looks again, and costs nothing now. In manual mode faas_next_due is to be exact. */
	if (function->timer_due <= due && !faas__runtime_is_manual(function->runtime))
		return;
	if (function->timer_due == due)
		return;
	function->timer_due = due;
	if (due == TIME_NEVER) {
		if (faas__timer_cancel(&function->runtime->executor, &function->timer))
			faas_function_unref(function);
	} else if (faas__timer_set(&function->runtime->executor, &function->timer, due)) {
		faas_function_ref(function);
	}
}

/* Turns that were blocked by the pause, and by nothing else, go on. */
static void end_pause(faas_function *function) holds_lock(function->mu)
{
	if (!function->is_paused)
		return;
	function->is_paused = false;
	if (!function->is_finished)
		faas__turn_unblock(&function->runtime->executor, &function->turn);
}

void faas__worker_end_pauses(faas_function *function, int64_t now)
{
	if (function->init_retry_at <= now)
		end_pause(function);
	if (function->provision_after <= now)
		function->provision_after = 0;
}

void faas__worker_timer_fired(struct timer *timer, int64_t now)
{
	faas_function *function = container_of(timer, faas_function, timer);

	faas__mutex_lock(&function->mu);
	/* It may have been set again since it was taken out to fire. */
	if (function->timer_due <= now)
		function->timer_due = TIME_NEVER;
	if (!function->is_finished) {
		bool is_due = next_due(function) <= now;

		faas__worker_end_pauses(function, now);
		if (is_due)
			faas__function_chore(function);
		else
			faas__worker_arm_timer(function);
	}
	faas__mutex_unlock(&function->mu);
	faas_function_unref(function);
}

static void pause_starts(faas_function *function, int64_t now, int64_t duration_ns) holds_lock(function->mu)
{
	function->is_paused = true;
	function->init_retry_at = faas__time_after(now, duration_ns);
	faas__worker_arm_timer(function);
}

void faas__worker_init_ended(faas_function *function, bool succeeded, int64_t now, int64_t took_ns)
{
	uint32_t doublings = function->init_failed;

	function->counts.init_ns += took_ns > 0 ? (uint64_t)took_ns : 0;
	if (succeeded) {
		function->init_failed = 0;
		end_pause(function);
		function->init_retry_at = 0;
		return;
	}
	function->counts.init_failures++;
	function->init_failed++;
	if (function->init_backoff_ns == 0)
		return;
	if (doublings > BACKOFF_DOUBLINGS)
		doublings = BACKOFF_DOUBLINGS;
	pause_starts(function, now, function->init_backoff_ns << doublings);
}

void faas__worker_provision_failed(faas_function *function, int64_t now)
{
	function->provision_after = faas__time_after(now, LEAST_PROVISION_PAUSE_NS);
	faas__worker_arm_timer(function);
}

void faas__worker_out_of_memory(faas_function *function, int64_t now)
{
	pause_starts(function, now, RETRY_MEMORY_NS);
}

void faas__function_chore(faas_function *function)
{
	struct executor *executor = &function->runtime->executor;

	store_seq_cst(&function->chores, 1);
	faas__turn_unblock(executor, &function->turn);
	faas__turn_kick(executor, &function->turn);
}
