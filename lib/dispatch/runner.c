/* SPDX-License-Identifier: MIT */
/*
 * Runners: what the executor asks of a thread (executor_ops), and guests, which are callers' threads that run handlers
 * for a while. Guests are kept for reuse until the runtime closes.
 */
#include "dispatch/runner.h"

#include <string.h>

#include "base/config.h"
#include "dispatch/runtime.h"

static struct runner *runner_new(faas_runtime *runtime, bool is_guest)
{
	struct runner *runner = faas__alloc_aligned(&runtime->allocator, sizeof(*runner), FAAS_LINE);

	if (!runner)
		return NULL;
	memset(runner, 0, sizeof(*runner));
	runner->runtime = runtime;
	if (!is_guest && runtime->local_count > 0)
		runner->local = add_relaxed(&runtime->locals_given, 1) % runtime->local_count + 1;
	for (size_t i = 0; i < THREAD_DEPTH; i++)
		runner->contexts[i].runner = runner;
	list_init(&runner->tally.node);
	faas__stopwatch_init(&runner->watch, runtime->clock);
	if (faas__thread_init(&runner->thread, &runtime->executor, is_guest) == FAAS_OK)
		return runner;
	faas__free_aligned(&runtime->allocator, runner, sizeof(*runner), FAAS_LINE);
	return NULL;
}

/* The lane's leases and blocks go back to the runtime. */
static void retire_lane(faas_runtime *runtime, struct lane *lane)
{
	struct lanes *lanes = &runtime->lanes;

	if (lanes->max_events != FAAS_UNLIMITED)
		add_seq_cst(&lanes->free_events, lane->credit_events);
	if (lanes->max_bytes != FAAS_UNLIMITED)
		add_seq_cst(&lanes->free_bytes, lane->credit_bytes);
	faas__block_cache_flush(&runtime->pool, &lane->blocks);
	faas__free(&runtime->allocator, lane->matches, lane->matches_capacity * sizeof(struct faas_function *));
	faas__free(&runtime->allocator, lane->filtered, lane->filtered_capacity * sizeof(struct binding *));
}

static void runner_free(struct runner *runner)
{
	faas_runtime *runtime = runner->runtime;

	retire_lane(runtime, &runner->lane);
	for (size_t i = 0; i < THREAD_DEPTH; i++)
		faas__arena_deinit(&runner->contexts[i].arena, &runtime->allocator);
	faas__thread_deinit(&runner->thread);
	faas__free_aligned(&runtime->allocator, runner, sizeof(*runner), FAAS_LINE);
}

/* ---- What the executor asks -------------------------------------------------------------------------------------- */

static faas_runtime *runtime_of(struct executor *executor)
{
	return container_of(executor, faas_runtime, executor);
}

static struct thread *thread_new(struct executor *executor)
{
	struct runner *runner = runner_new(runtime_of(executor), false);

	return runner ? &runner->thread : NULL;
}

static void thread_free(struct thread *thread)
{
	runner_free(faas__runner_from(thread));
}

static void thread_begin(struct thread *thread)
{
	struct runner *runner = faas__runner_from(thread);
	faas_runtime *runtime = runner->runtime;

	runner->base = (struct frame){.runtime = runtime, .runner = runner, .kind = FRAME_THREAD};
	faas__frame_push(&runner->base);
	/* C libraries make something ready at a thread's first allocation: now, while no lock is held. */
	faas__free(&runtime->allocator, faas__alloc(&runtime->allocator, 1), 1);
	if (runtime->on_thread_start)
		runtime->on_thread_start(runtime->thread_user);
}

static void thread_end(struct thread *thread)
{
	struct runner *runner = faas__runner_from(thread);
	faas_runtime *runtime = runner->runtime;

	if (runtime->on_thread_stop)
		runtime->on_thread_stop(runtime->thread_user);
	faas__frame_pop(&runner->base);
}

/* Its numbers pass to the runtime in the moment in which its lane is not looked at any more. */
static void thread_unlisted(struct thread *thread)
{
	struct runner *runner = faas__runner_from(thread);
	faas_runtime *runtime = runner->runtime;

	runtime->past_emitted += load_relaxed(&runner->lane.emitted);
	runtime->past_unmatched += load_relaxed(&runner->lane.unmatched);
	store_relaxed(&runner->lane.emitted, 0);
	store_relaxed(&runner->lane.unmatched, 0);
}

/* A start ahead of need has nobody to answer to; it is given up all the same, so that its thread is replaced. */
static void abandon_provisioned(faas_context *context)
{
	faas_function *function = context->function;

	if (exchange_acq_rel(&context->is_given_up, 1) != 0)
		return;
	faas__mutex_lock(&function->mu);
	faas__service(function)->counts.overruns++;
	faas__service(function)->counts.overrunning++;
	faas__mutex_unlock(&function->mu);
	faas__thread_stuck_begin(&context->runner->thread);
	store_release(&context->is_abandoned, 1);
}

static void expire(struct thread *thread, void *attempt, int64_t now)
{
	faas_context *context = attempt;
	/* An init may also have been ended by its caller's timeout. */
	bool init_is_late = context->is_init && now >= faas__time_after(context->started, context->function->init_deadline_ns);

	(void)thread;
	/* One that was given up before, whose invocation may be in another attempt by now, has nothing left to lose. */
	if (load_acquire(&context->is_given_up) != 0)
		return;
	if (context->invocation)
		(void)faas__settle_abandon(context->invocation, init_is_late ? END_FAILED : END_TIMED_OUT, now, true);
	else
		abandon_provisioned(context);
}

static bool is_ahead(struct thread *thread)
{
	struct runner *runner = faas__runner_from(thread);

	/* Or has not yet given back the room of what it has run. */
	return load_seq_cst(&runner->batch_next) < load_seq_cst(&runner->batch_end) ||
	       load_seq_cst(&runner->batch_rest) != 0;
}

/* What stands in the batch before its first attempt has begun gave its room back when it was taken. */
static uint64_t released_ahead(const struct runner *runner, uint32_t next)
{
	return next == 0 ? LOAD_EVENT + faas__invocation_bytes(runner->batch[0].invocation) : 0;
}

/*
 * Slot 0 is claimed, so the owner is inside an attempt of this batch and stays there; or it has not begun the first one,
 * since it is in a callback for what had expired, and then the first one is put back as well.
 */
static void hand_back(struct thread *thread)
{
	struct runner *runner = faas__runner_from(thread);
	faas_function *function = runner->batch_function;
	uint32_t next = load_relaxed(&runner->batch_next), end = load_relaxed(&runner->batch_end);
	uint64_t first, held;
	struct put_back rest;

	if (!is_ahead(thread))
		return;
	rest.lost_count = 0;
	rest.cancelled = NULL;
	rest.load = 0;
	faas__mutex_lock(&function->mu);
	first = next < end ? released_ahead(runner, next) : 0;
	held = load_relaxed(&runner->batch_rest);
	faas__rate_give_back(function, end - next);
	if (next < end)
		faas__queue_put_back(function, runner->batch + next, end - next, &rest);
	store_relaxed(&runner->batch_end, next);
	faas__queue_end_rest(function, held, rest.load);
	store_relaxed(&runner->batch_rest, 0);
	/* The average says "fast"; it was wrong. */
	function->run_ns_average = TICK_NS;
	function->batch_most = 0;
	store_relaxed(&function->turn.expected_ns, 0);
	faas__turn_unblock(thread->executor, &function->turn);
	if (faas__queue_has_events(function))
		faas__turn_kick(thread->executor, &function->turn);
	faas__mutex_unlock(&function->mu);
	if (first != 0)
		faas__lane_force(function->runtime, (int64_t)LOAD_EVENTS(first), (int64_t)LOAD_BYTES(first));
	faas__queue_freed(function, held + first - rest.load);
	faas__put_back_end(&rest, true);
}

/* ---- Looking at attempts from outside ---------------------------------------------------------------------------- */

struct cancelling {
	const faas_function *function; /* NULL: all */
	int64_t now;
	int count;
};

static void cancel(void *attempt, void *arg)
{
	faas_context *context = attempt;
	struct cancelling *cancelling = arg;

	if (load_acquire(&context->is_given_up) != 0 ||
	    (cancelling->function && context->function != cancelling->function))
		return;
	/* A start ahead of need is no invocation of the function. */
	if (!context->invocation && !cancelling->function)
		abandon_provisioned(context);
	else if (context->invocation && faas__settle_abandon(context->invocation, END_CANCELLED, cancelling->now, true))
		cancelling->count++;
}

int faas__runners_cancel(faas_runtime *runtime, const faas_function *function)
{
	struct cancelling cancelling = {.function = function, .now = faas__runtime_now(runtime)};

	faas__executor_visit(&runtime->executor, cancel, &cancelling);
	return cancelling.count;
}

static void hand_back_of(void *attempt, void *arg)
{
	faas_context *context = attempt;
	struct runner *runner = context->runner;

	/* The attempt in slot 0 keeps the thread in its batch; a nested one does so through it, but has another slot. */
	if (context == &runner->contexts[0] && runner->batch_function == arg)
		hand_back(&runner->thread);
}

void faas__runners_hand_back(faas_function *function)
{
	faas__executor_visit(&function->runtime->executor, hand_back_of, function);
}

struct overrun_list {
	struct faas_overrun_stats *stats;
	int capacity;
	int count;
	int64_t now;
};

static void list_overrun(void *attempt, void *arg)
{
	const faas_context *context = attempt;
	struct overrun_list *list = arg;
	struct faas_overrun_stats one = {0};

	if (load_acquire(&context->is_given_up) == 0)
		return;
	if (list->count < list->capacity) {
		char *at = (char *)list->stats + (size_t)list->count * list->stats->struct_size;

		one.is_init = context->is_init;
		one.running_ns = list->now - context->started;
		memcpy(one.function, context->function->name, context->function->name_bytes);
		/* Elements have the size of the first. */
		memcpy(at, &list->stats->struct_size, sizeof(list->stats->struct_size));
		(void)faas__stats_write(at, &one, sizeof(one));
	}
	list->count++;
}

int faas_runtime_overruns(faas_runtime *runtime, struct faas_overrun_stats *stats, int count)
{
	struct overrun_list list = {.stats = stats, .capacity = count};

	if (!runtime || count < 0 || (count > 0 && (!stats || stats->struct_size < sizeof(stats->struct_size) * 2)))
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	list.now = faas__runtime_now(runtime);
	faas__executor_visit(&runtime->executor, list_overrun, &list);
	return list.count;
}

/* ---- The rest of what the executor asks -------------------------------------------------------------------------- */

static void trim(struct executor *executor)
{
	faas_runtime *runtime = runtime_of(executor);

	faas__block_pool_trim(&runtime->pool, false);
	faas__routes_collect(runtime);
}

static void last_left(struct thread *thread)
{
	faas__runtime_tear_down(faas__runner_from(thread)->runtime, thread);
}

/* A constant table of them would have to be relocated, which takes more room. */
struct executor_ops faas__runner_ops(void)
{
	struct executor_ops ops;

	ops.thread_new = thread_new;
	ops.thread_free = thread_free;
	ops.thread_begin = thread_begin;
	ops.thread_end = thread_end;
	ops.thread_unlisted = thread_unlisted;
	ops.expire = expire;
	ops.is_ahead = is_ahead;
	ops.hand_back = hand_back;
	ops.trim = trim;
	ops.last_left = last_left;
	return ops;
}

/* ---- Guests ------------------------------------------------------------------------------------------------------ */

/* A call through a function's handle may come while the runtime is closed: then there will be no more. */
seldom static struct runner *guest_new(faas_runtime *runtime)
{
	struct runner *runner = NULL;

	add_seq_cst(&runtime->visitors, 1);
	if (load_seq_cst(&runtime->phase) < RUNTIME_CLOSING)
		runner = runner_new(runtime, true);
	if (runner)
		faas__executor_add_guest(&runtime->executor, &runner->thread);
	sub_seq_cst(&runtime->visitors, 1);
	return runner;
}

/* The one kept at this thread's stripe, else any, else a new one. */
struct runner *faas__guest_get(faas_runtime *runtime)
{
	struct runner *runner = exchange_acq_rel(&faas__lane_stripe(&runtime->lanes)->idle_guest, NULL);

	if (unlikely(!runner)) {
		faas__mutex_lock(&runtime->runners_mu);
		runner = runtime->idle_guests;
		if (runner)
			runtime->idle_guests = runner->next_idle;
		faas__mutex_unlock(&runtime->runners_mu);
	}
	if (unlikely(!runner)) {
		runner = guest_new(runtime);
		if (!runner)
			return NULL;
	}
	/* As of a pool thread: before the look at the monitor's wake_at. */
	store_seq_cst(&runner->thread.state, THREAD_BUSY);
	return runner;
}

void faas__guest_put(struct runner *runner)
{
	faas_runtime *runtime = runner->runtime;
	struct runner *nobody = NULL;

	store_release(&runner->thread.state, THREAD_PARKED);
	if (likely(cas_acq_rel(&faas__lane_stripe(&runtime->lanes)->idle_guest, &nobody, runner)))
		return;
	faas__mutex_lock(&runtime->runners_mu);
	runner->next_idle = runtime->idle_guests;
	runtime->idle_guests = runner;
	faas__mutex_unlock(&runtime->runners_mu);
}

void faas__guests_free(faas_runtime *runtime)
{
	struct executor *executor = &runtime->executor;
	struct lanes *lanes = &runtime->lanes;

	/* There are no other threads on the list any more, and nobody adds one. */
	for (uint32_t i = 0; !list_empty(&executor->threads); i++) {
		struct runner *runner = exchange_acq_rel(&lanes->stripes[i % lanes->stripe_count].idle_guest, NULL);

		if (!runner)
			runner = faas__guest_get(runtime);
		if (runner) {
			faas__executor_remove_guest(executor, &runner->thread);
			runner_free(runner);
		} else {
			/* A host's thread is about to give it back. */
			faas__thread_yield();
		}
	}
}
