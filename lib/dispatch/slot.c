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

	if (present > function->counts.workers_peak)
		function->counts.workers_peak = present;
}

bool faas__slot_can_start(const faas_function *function, int64_t now)
{
	return function->active < function->max_concurrency &&
	       (function->warm_count > 0 || faas__worker_may_start(function, now));
}

/* A slot and a worker, the warmest or a new one. NULL: none can be had now, and what will change that is arranged. */
struct worker *faas__slot_take(faas_function *function, int64_t now, bool *ret_is_cold)
{
	struct list *node;
	struct worker *worker;

	if (!faas__slot_can_start(function, now))
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
			faas__worker_out_of_memory(function, now);
			return NULL;
		}
		function->starting++;
	}
	function->active++;
	faas__slot_raise_peak(function);
	return worker;
}

/* Gives the slot back. `worker` stays warm, or is NULL: it is gone or will be retired. */
static void give_back(faas_function *function, struct worker *worker, int64_t now) holds_lock(function->mu)
{
	function->active--;
	function->busy--;
	if (worker)
		faas__worker_put_warm(function, worker, now);
	faas__worker_arm_timer(function);
	if (load_relaxed(&function->is_closed) || function->warm_count + function->busy + function->starting <
	                                              function->provisioned)
		store_seq_cst(&function->chores, 1);
	/* Turns that waited for a slot, and what this thread just added. */
	if (function->is_finished)
		return;
	faas__turn_unblock(&function->runtime->executor, &function->turn);
	if (load_seq_cst(&function->chores) != 0 || faas__queue_has_events(function))
		faas__turn_kick(&function->runtime->executor, &function->turn);
}

/* After user code has overrun on a worker (or its init): undoes it. `had_state`: its init had succeeded. */
static void discard_worker(faas_function *function, struct worker *worker, bool had_state, enum retirement why)
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
                        bool in_time, struct tally *tally)
{
	bool keeps = started == STARTED && in_time;

	if (tally)
		faas__tally_fold(function, tally);
	/* Keeps the function from finishing while fini runs. */
	function->retiring += !keeps;
	give_back(function, keeps ? worker : NULL, runner->now);
	faas__function_unlock_and_finish(function);
	if (keeps)
		return;
	discard_worker(function, worker, started != START_FAILED, RETIRED_OVERRUN);
	faas__mutex_lock(&function->mu);
	faas__function_unlock_and_finish(function);
}
