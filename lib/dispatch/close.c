/* SPDX-License-Identifier: MIT */
/*
 * Draining and closing.
 *
 *     OPEN -> DRAINING   intake from outside is refused; accepted work goes on and may emit
 *          -> CLOSING    all intake is refused; what is queued is cancelled, what runs is abandoned
 *          -> CLOSED     no thread, worker or function is left; handles answer what they know
 *
 * After each change of phase one waits until every emitter that saw the old one has left its lane.
 *
 * Threads leave when they next look for work. While one is inside user code nothing it could touch is freed: closing
 * says FAAS_EBUSY and may be called again, or leaves the rest to the last thread that leaves.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/config.h"
#include "dispatch/defer.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define DRAIN_SLICE_NS 1000000
#define DRAIN_STEPS 64

static void raise_phase(faas_runtime *runtime, uint32_t phase)
{
	uint32_t now = load_acquire(&runtime->phase);

	while (now < phase)
		if (cas_seq_cst(&runtime->phase, &now, phase))
			break;
	faas__epoch_await(runtime, faas__epoch_advance(runtime));
}

/* ---- Draining ---------------------------------------------------------------------------------------------------- */

/* What can run comes to an end: nothing new comes in, chains of events have one, nothing is started ahead of need. */
static int drain_manually(faas_runtime *runtime)
{
	int steps;

	while ((steps = faas_run(runtime, DRAIN_STEPS)) > 0)
		continue;
	if (steps < 0)
		return steps;
	return faas__runtime_is_settled(runtime) ? FAAS_OK : FAAS_EAGAIN;
}

/* Looks every millisecond; how long a look takes bounds how often. */
static int drain_waiting(faas_runtime *runtime, int64_t until)
{
	struct wait_bucket *bucket = faas__wait_bucket(runtime, runtime);

	while (!faas__runtime_is_settled(runtime)) {
		int64_t now = faas__runtime_now(runtime), left = until - now;

		if (now >= until)
			return FAAS_EPENDING;
		faas__mutex_lock(&bucket->mu);
		(void)faas__cond_wait_ns(&bucket->cond, &bucket->mu, left < DRAIN_SLICE_NS ? left : DRAIN_SLICE_NS);
		faas__mutex_unlock(&bucket->mu);
	}
	return FAAS_OK;
}

static int drain(faas_runtime *runtime, int64_t timeout_ms)
{
	int64_t until = faas__time_after(faas__runtime_now(runtime), faas__ms_to_ns(timeout_ms));

	if (load_acquire(&runtime->phase) < RUNTIME_DRAINING)
		raise_phase(runtime, RUNTIME_DRAINING);
	if (faas__runtime_is_manual(runtime))
		return drain_manually(runtime);
	return drain_waiting(runtime, until);
}

int faas_drain(faas_runtime *runtime, int64_t timeout_ms)
{
	if (!runtime || !faas__is_duration(timeout_ms))
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (faas__frame_of(runtime))
		return FAAS_EDEADLK;
	return drain(runtime, timeout_ms);
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

/* A function from the list that is not shut yet, counted. */
static faas_function *next_open_function(faas_runtime *runtime)
{
	faas_function *found = NULL;

	faas__mutex_lock(&runtime->functions_mu);
	list_each(node, &runtime->function_list) {
		faas_function *function = container_of(node, faas_function, node);

		if (!load_acquire(&function->is_closed)) {
			found = faas_function_ref(function);
			break;
		}
	}
	if (found) {
		/* A handler may be unregistering it this moment. */
		if (faas__map_get(&runtime->functions, found->name) == found) {
			faas__map_remove(&runtime->functions, found->name);
			runtime->function_count--;
		}
		/* To the end, so that finding all of them takes one pass. */
		list_remove(&found->node);
		list_push_back(&runtime->function_list, &found->node);
	}
	faas__mutex_unlock(&runtime->functions_mu);
	return found;
}

/* Says what was left of one function, where anything was. */
static void log_left(faas_function *function, const struct faas_close_stats *left)
{
	char message[200];

	if (left->queued + left->delayed + left->deferred + left->dead_letters == 0)
		return;
	(void)snprintf(message, sizeof(message),
	               "closed with %" PRIu64 " queued, %" PRIu64 " delayed, %" PRIu64 " deferred, %" PRIu64 " dead letters",
	               left->queued, left->delayed, left->deferred, left->dead_letters);
	faas__log(function->runtime, FAAS_LOG_WARNING, function->name, message);
}

static void shut_functions(faas_runtime *runtime)
{
	struct faas_close_stats *report = &runtime->report;
	faas_function *function;

	while ((function = next_open_function(runtime)) != NULL) {
		struct faas_close_stats left = {0};

		faas__function_shut(function, true, &left);
		log_left(function, &left);
		report->queued += left.queued;
		report->delayed += left.delayed;
		report->deferred += left.deferred;
		report->dead_letters += left.dead_letters;
		faas_function_unref(function);
	}
}

/* One that still awaits completions, counted; NULL. */
static faas_function *next_deferring(faas_runtime *runtime)
{
	faas_function *found = NULL;

	faas__mutex_lock(&runtime->functions_mu);
	list_each(node, &runtime->function_list) {
		faas_function *function = container_of(node, faas_function, node);
		bool defers;

		faas__mutex_lock(&function->mu);
		defers = faas__service(function)->deferred > 0;
		faas__mutex_unlock(&function->mu);
		if (defers) {
			found = faas_function_ref(function);
			break;
		}
	}
	faas__mutex_unlock(&runtime->functions_mu);
	return found;
}

/* Functions that were unregistered before may have deferrals, too; and a handler that still runs may leave one. */
static void cancel_deferrals(faas_runtime *runtime)
{
	faas_function *function;

	while ((function = next_deferring(runtime)) != NULL) {
		while (faas__defer_cancel_one(function, false))
			runtime->report.deferred++;
		faas_function_unref(function);
	}
}

/* Retires what is warm, on this thread. No other thread is left. */
static void retire_workers(faas_function *function)
{
	struct worker *worker;
	enum retirement why;

	for (;;) {
		faas__mutex_lock(&function->mu);
		worker = faas__worker_pop_expired(function, 0, &why);
		faas__mutex_unlock(&function->mu);
		if (!worker)
			return;
		faas__worker_retire(function, worker, why);
	}
}

static void finish_functions(faas_runtime *runtime)
{
	struct turn *turn;

	/* Nobody takes turns any more. */
	while ((turn = faas__turn_next(&runtime->executor)) != NULL)
		faas__turn_idle(turn);
	for (;;) {
		faas_function *function = NULL;

		faas__mutex_lock(&runtime->functions_mu);
		if (!list_empty(&runtime->function_list))
			function = faas_function_ref(container_of(runtime->function_list.next, faas_function, node));
		faas__mutex_unlock(&runtime->functions_mu);
		if (!function)
			return;
		retire_workers(function);
		/* A host's thread may just be ending its last invocation. */
		faas__thread_yield();
		/* A worker's end may have given it a turn again. */
		while ((turn = faas__turn_next(&runtime->executor)) != NULL)
			faas__turn_idle(turn);
		faas__mutex_lock(&function->mu);
		faas__function_unlock_and_finish(function);
		faas_function_unref(function);
	}
}

void faas__runtime_tear_down(faas_runtime *runtime, struct thread *own)
{
	while (load_seq_cst(&runtime->visitors) > 0)
		faas__thread_yield();
	faas__executor_quiesce(&runtime->executor);
	if (own)
		runtime->executor.ops.thread_free(own);
	cancel_deferrals(runtime);
	while (faas__callback_run_one(runtime))
		continue;
	finish_functions(runtime);
	while (faas__callback_run_one(runtime))
		continue;
	faas__guests_free(runtime);
	faas__routes_deinit(runtime);
	faas__executor_deinit(&runtime->executor);
	store_release(&runtime->phase, RUNTIME_CLOSED);
	faas__runtime_unref(runtime);
}

/* Everything but the tearing down. How many threads are inside user code. */
static int bring_to_rest(faas_runtime *runtime, int64_t grace_ms)
{
	struct executor *executor = &runtime->executor;
	int64_t until = faas__time_after(faas__runtime_now(runtime), faas__ms_to_ns(grace_ms));
	int occupied;

	if (load_acquire(&runtime->phase) < RUNTIME_CLOSING) {
		(void)drain(runtime, grace_ms);
		raise_phase(runtime, RUNTIME_CLOSING);
		shut_functions(runtime);
		if (runtime->clock && runtime->clock->is_manual)
			faas__clock_unfollow(runtime->clock, &runtime->follower);
	}
	runtime->report.running += (uint64_t)faas__runners_cancel(runtime, NULL);
	cancel_deferrals(runtime);
	/* No thread may be left that could call them. */
	while (faas__callback_run_one(runtime))
		continue;
	faas__executor_stop(executor);
	occupied = faas__executor_join(executor, until);
	/* One that was about to begin when the others were told. From here on none begins any more. */
	if (occupied > 0)
		runtime->report.running += (uint64_t)faas__runners_cancel(runtime, NULL);
	cancel_deferrals(runtime);
	while (faas__callback_run_one(runtime))
		continue;
	runtime->report.overrunning = occupied > 0 ? (uint64_t)faas_runtime_overruns(runtime, NULL, 0) : 0;
	return occupied;
}

int faas_close(faas_runtime *runtime, int64_t grace_ms, uint32_t flags)
{
	return faas_close_with_report(runtime, grace_ms, flags, NULL);
}

int faas_close_with_report(faas_runtime *runtime, int64_t grace_ms, uint32_t flags, struct faas_close_stats *ret_report)
{
	int occupied;

	if (!runtime || !faas__is_duration(grace_ms) || (flags & ~FAAS_CLOSE_DETACH) != 0)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (faas__frame_of(runtime))
		return FAAS_EDEADLK;
	if (ret_report && ret_report->struct_size < 2 * sizeof(uint32_t))
		return FAAS_EINVAL;
	occupied = bring_to_rest(runtime, grace_ms);
	if (ret_report) {
		struct faas_close_stats report = runtime->report;

		report.queued += load_relaxed(&runtime->left_in_batches);
		(void)faas__stats_write(ret_report, &report, sizeof(report));
	}
	if (occupied > 0 && !(flags & FAAS_CLOSE_DETACH))
		return FAAS_EBUSY;
	if (occupied > 0 && faas__executor_detach(&runtime->executor))
		return FAAS_OK;
	faas__runtime_tear_down(runtime, NULL);
	return FAAS_OK;
}
