/* SPDX-License-Identifier: MIT */
/*
 * Workers: started cold, kept warm, retired.
 *
 * Warm workers form a stack: the one used last is taken first, so that in slack times the ones at the bottom age and
 * go. A function has one timer, set to the earliest of all that time brings it: the bottom worker's end, the end of an
 * init backoff, a retry, the deadline of a deferral, a rate's token, a look at demand. What needs user code is left to a
 * turn of the function (run.c). Nothing is set or cancelled per event.
 *
 * A failed init pauses starts: 1, 2, 4 ... 64 times init_backoff. Warm workers go on meanwhile.
 */
#include "dispatch/defer.h"
#include "dispatch/frame.h"
#include "dispatch/function.h"
#include "dispatch/retry.h"
#include "dispatch/runtime.h"

#define BACKOFF_DOUBLINGS 6u
#define RETRY_MEMORY_NS 1000000
#define LEAST_PROVISION_PAUSE_NS 100000000
#define SURPLUS_NS 20000000000 /* how long a worker idles that demand does not ask for */

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
	faas__service(function)->counts.retired[why]++;
	function->retiring--;
	faas__mutex_unlock(&function->mu);
}

static uint32_t present(const faas_function *function) holds_lock(function->mu)
{
	return function->warm_count + function->busy + function->starting;
}

/* When the worker that has idled longest is to go. */
static int64_t idle_end(const faas_function *function, const struct worker *oldest, enum retirement *ret_why)
	holds_lock(function->mu)
{
	int64_t keep_ns = function->keep_warm_ns;

	*ret_why = RETIRED_IDLE;
	if (present(function) <= faas__demand_target(function))
		return TIME_NEVER;
	/* Demand asks for fewer; the last one is kept for what comes rarely. */
	if (function->follows_demand && present(function) > 1 && keep_ns > SURPLUS_NS) {
		*ret_why = RETIRED_SURPLUS;
		keep_ns = SURPLUS_NS;
	}
	return faas__time_after(oldest->idle_since, keep_ns);
}

static struct worker *oldest_warm(faas_function *function) holds_lock(function->mu)
{
	return container_of(function->warm.prev, struct worker, node);
}

struct worker *faas__worker_pop_expired(faas_function *function, int64_t now, enum retirement *ret_why)
{
	struct worker *oldest;

	if (function->warm_count == 0)
		return NULL;
	oldest = oldest_warm(function);
	if (load_relaxed(&function->is_closed))
		*ret_why = function->is_closing ? RETIRED_CLOSED : RETIRED_UNREGISTERED;
	else if (idle_end(function, oldest, ret_why) > now)
		return NULL;
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

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When a worker is to go, or starts may go on. */
static int64_t worker_due(faas_function *function) holds_lock(function->mu)
{
	int64_t due = TIME_NEVER;
	enum retirement why;

	/* With a chore a turn is on its way, which does what is due and sets the timer anew. */
	if (load_relaxed(&function->is_closed) || load_seq_cst(&function->chores) != 0)
		return TIME_NEVER;
	if (function->warm_count > 0)
		due = idle_end(function, oldest_warm(function), &why);
	if (function->is_paused)
		due = earlier(due, faas__service(function)->init_retry_at);
	/* A start ahead of need waits for both. */
	if (present(function) < faas__demand_target(function) && faas__service(function)->provision_after != 0) {
		int64_t start = faas__service(function)->provision_after;

		if (function->is_paused && faas__service(function)->init_retry_at > start)
			start = faas__service(function)->init_retry_at;
		due = earlier(due, start);
	}
	return due;
}

/* When the timer should fire next; TIME_NEVER: not at all. */
static int64_t next_due(faas_function *function) holds_lock(function->mu)
{
	int64_t due = earlier(worker_due(function), faas__defer_due(function));

	if (load_relaxed(&function->is_closed))
		return due;
	due = earlier(due, faas__retry_due(function));
	due = earlier(due, function->rate_due);
	return earlier(due, faas__demand_due(function));
}

void faas__worker_arm_timer(faas_function *function)
{
	struct service *service = faas__service(function);
	int64_t due = next_due(function);

	/* One that is set fires no later, looks again, and costs nothing now. In manual mode faas_next_due is to be exact. */
	if (service->timer_due <= due && !faas__runtime_is_manual(function->runtime))
		return;
	if (service->timer_due == due)
		return;
	service->timer_due = due;
	if (due == TIME_NEVER) {
		if (faas__timer_cancel(&function->runtime->executor, &service->timer))
			faas_function_unref(function);
	} else if (faas__timer_set(&function->runtime->executor, &service->timer, due)) {
		faas_function_ref(function);
	}
}

void faas__worker_arm_for_idle(faas_function *function, int64_t now)
{
	int64_t keep_ns = function->follows_demand && function->keep_warm_ns > SURPLUS_NS ? SURPLUS_NS :
	                                                                                     function->keep_warm_ns;

	/* What is set fires early enough for a worker that begins to idle now, and looks again then. */
	if (faas__service(function)->timer_due <= faas__time_after(now, keep_ns) && !faas__runtime_is_manual(function->runtime))
		return;
	faas__worker_arm_timer(function);
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
	struct service *service = faas__service(function);

	if (service->init_retry_at <= now)
		end_pause(function);
	if (service->provision_after != 0 && service->provision_after <= now)
		service->provision_after = 0;
}

/* Everything that time brings, under the lock, but for the deadlines of deferrals. */
static void fall_due(faas_function *function, int64_t now, faas_invocation **dead, uint64_t *ret_freed)
	holds_lock(function->mu)
{
	bool wants_turn = worker_due(function) <= now;

	faas__retry_fall_due(function, now, dead, ret_freed);
	faas__queue_left(function, *ret_freed);
	if (function->rate_due <= now) {
		function->rate_due = TIME_NEVER;
		faas__turn_unblock(&function->runtime->executor, &function->turn);
	}
	if (faas__demand_due(function) <= now && !load_relaxed(&function->is_closed) && faas__demand_look(function, now))
		wants_turn = true;
	faas__worker_end_pauses(function, now);
	if (wants_turn)
		faas__function_chore(function);
	faas__worker_arm_timer(function);
}

void faas__worker_timer_fired(struct timer *timer, int64_t now)
{
	faas_function *function = container_of(timer, struct service, timer)->function;
	faas_invocation *dead = NULL;
	uint64_t freed = 0;
	bool expires;

	faas__mutex_lock(&function->mu);
	/* It may have been set again since it was taken out to fire. */
	if (faas__service(function)->timer_due <= now)
		faas__service(function)->timer_due = TIME_NEVER;
	expires = faas__defer_due(function) <= now;
	if (!function->is_finished)
		fall_due(function, now, &dead, &freed);
	faas__mutex_unlock(&function->mu);
	faas__queue_freed(function, freed);
	faas__dead_unref(dead);
	while (expires && faas__defer_expire_one(function, now, true))
		continue;
	faas_function_unref(function);
}

static void pause_starts(faas_function *function, int64_t now, int64_t duration_ns) holds_lock(function->mu)
{
	function->is_paused = true;
	faas__service(function)->init_retry_at = faas__time_after(now, duration_ns);
	faas__worker_arm_timer(function);
}

void faas__worker_init_ended(faas_function *function, bool succeeded, int64_t now, int64_t took_ns)
{
	uint32_t doublings = function->init_failed;

	faas__service(function)->counts.init_ns += took_ns > 0 ? (uint64_t)took_ns : 0;
	if (succeeded) {
		function->init_failed = 0;
		end_pause(function);
		faas__service(function)->init_retry_at = 0;
		return;
	}
	faas__service(function)->counts.init_failures++;
	function->init_failed++;
	if (function->init_backoff_ns == 0)
		return;
	if (doublings > BACKOFF_DOUBLINGS)
		doublings = BACKOFF_DOUBLINGS;
	pause_starts(function, now, function->init_backoff_ns << doublings);
}

void faas__worker_provision_failed(faas_function *function, int64_t now)
{
	faas__service(function)->provision_after = faas__time_after(now, LEAST_PROVISION_PAUSE_NS);
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
