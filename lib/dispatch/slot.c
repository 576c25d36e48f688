/* SPDX-License-Identifier: MIT */
/*
 * Concurrency slots and the workers that fill them: taken and given back under the function's lock, so that no more
 * than max_concurrency are ever held, not for an instant. A batch, a nested run, an inline call and a provisioned start
 * each hold one slot and one worker.
 */
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

void faas__slot_raise_peak(faas_function *function)
{
	uint64_t present = function->warm_count + function->busy + function->starting;

	if (present > faas__service(function)->counts.workers_peak)
		faas__service(function)->counts.workers_peak = present;
}

/* Whether the function itself would let an attempt begin; the runtime's concurrency is asked for separately. */
static bool may_start(const faas_function *function, int64_t now) holds_lock(function->mu)
{
	return function->active < function->max_concurrency &&
	       (function->warm_count > 0 || faas__worker_may_start(function, now)) &&
	       faas__rate_available(function, now, 1) > 0;
}

bool faas__slot_can_start(faas_function *function, int64_t now)
{
	return may_start(function, now) && faas__share_may_take(function);
}

/* A slot and a worker, the warmest or a new one. NULL: none can be had now, and what will change that is arranged. */
struct worker *faas__slot_take(faas_function *function, int64_t now, bool *ret_is_cold)
{
	struct list *node;
	struct worker *worker;

	if (!may_start(function, now) || !faas__share_take(function))
		return NULL;
	node = list_pop_front(&function->warm);
	*ret_is_cold = node == NULL;
	if (node) {
		worker = container_of(node, struct worker, node);
		function->warm_count--;
		function->busy++;
	} else {
		worker = faas__worker_new(function);
		if (!worker) {
			faas__share_give_unused(function);
			faas__worker_out_of_memory(function, now);
			return NULL;
		}
		function->starting++;
	}
	function->active++;
	faas__slot_raise_peak(function);
	return worker;
}

seldom void faas__slot_untake(faas_function *function, struct worker *worker, bool is_cold, uint64_t peak)
{
	faas__service(function)->counts.workers_peak = peak;
	function->active--;
	faas__share_give_unused(function);
	if (is_cold) {
		function->starting--;
		faas__free(&function->runtime->allocator, worker, sizeof(*worker));
		return;
	}
	/* As if it had not been touched: it has idled since then. */
	function->busy--;
	list_push_front(&function->warm, &worker->node);
	function->warm_count++;
}

/* After a slot or a worker has become free: turns that waited for it go on. */
static void go_on(faas_function *function) holds_lock(function->mu)
{
	if (load_relaxed(&function->is_closed) || function->warm_count + function->busy + function->starting <
	                                              faas__demand_target(function))
		store_seq_cst(&function->chores, 1);
	/* Also what this thread just added. */
	if (function->is_finished)
		return;
	faas__turn_unblock(&function->runtime->executor, &function->turn);
	if (load_seq_cst(&function->chores) != 0 || faas__queue_has_events(function))
		faas__turn_kick(&function->runtime->executor, &function->turn);
}

seldom void faas__slot_free(faas_function *function)
{
	function->active--;
	faas__share_give(function);
	faas__worker_arm_timer(function);
	go_on(function);
}

/* After user code has overrun on a worker (or its init): undoes it. `had_state`: its init had succeeded. */
seldom static void discard_worker(faas_function *function, struct worker *worker, bool had_state, enum retirement why)
{
	faas_runtime *runtime = function->runtime;

	if (had_state) {
		faas__worker_retire(function, worker, why);
		return;
	}
	faas__free(&runtime->allocator, worker, sizeof(*worker));
	faas__mutex_lock(&function->mu);
	function->retiring--;
	faas__mutex_unlock(&function->mu);
}

void faas__slot_release(struct runner *runner, faas_function *function, struct worker *worker, enum started started,
                        enum ran ran, struct tally *tally)
{
	bool keeps = started == STARTED && ran != RAN_OVER;

	if (tally)
		faas__tally_fold(function, tally);
	/* Keeps the function from finishing while fini runs. */
	function->retiring += !keeps;
	function->busy--;
	if (keeps)
		faas__worker_put_warm(function, worker, runner->now);
	/* A deferral has the slot, and perhaps given it back by now. */
	if (ran != RAN_DEFERRED) {
		function->active--;
		faas__share_give(function);
	}
	faas__worker_arm_for_idle(function, runner->now);
	go_on(function);
	faas__function_unlock_and_finish(function);
	faas__share_tell(function->runtime);
	if (keeps)
		return;
	discard_worker(function, worker, started != START_FAILED, RETIRED_OVERRUN);
	faas__mutex_lock(&function->mu);
	faas__function_unlock_and_finish(function);
}
