/* SPDX-License-Identifier: MIT */
/*
 * One run: a runtime with settings that the seed decides, the operations, and the end: draining, closing, letting go.
 * After a disagreement what is left is abandoned, with its memory: the process that ran it ends soon.
 */
#include "sim.h"

#include <string.h>

static void open_runtime(struct sim *sim, const struct plan *plan)
{
	static const int64_t events[] = {0, 0, FAAS_UNLIMITED, 3, 6, 12};
	static const int64_t bytes[] = {0, 0, FAAS_UNLIMITED, 1000, 3000, 8000};
	static const int32_t concurrency[] = {0, FAAS_UNLIMITED, 4, 3, 2, 1};
	struct draw draw = {.seed = draw_mix(plan->seed, 1), .plain = plan->plain};
	faas_allocator_config allocator = memory_config(&sim->memory);
	faas_runtime_config config = *FAAS_RUNTIME(.threads = FAAS_NONE, .allocator = &allocator);

	expect("clock", FAAS_OK, faas_clock_new_manual(0, &sim->clock));
	config.clock = sim->clock;
	config.queue_events = events[draw_pick(&draw, 0, 6)];
	config.queue_bytes = bytes[draw_pick(&draw, 1, 6)];
	config.seed = (uint64_t)draw_pick(&draw, 2, 4);
	config.max_concurrency = concurrency[draw_pick(&draw, 3, 6)];
	sim->model.max_events = config.queue_events > 0 ? (uint64_t)config.queue_events : UINT64_MAX;
	sim->model.max_bytes = config.queue_bytes > 0 ? (uint64_t)config.queue_bytes : UINT64_MAX;
	sim->model.max_concurrency = config.max_concurrency > 0 ? config.max_concurrency : INT64_MAX;
	trace("open: queue_events %lld, queue_bytes %lld, max_concurrency %d, seed %llu", (long long)config.queue_events,
	      (long long)config.queue_bytes, config.max_concurrency, (unsigned long long)config.seed);
	expect("open", FAAS_OK, faas_open(&config, &sim->runtime));
}

/* What closing does where nothing runs: what is queued is cancelled, functions and workers go. */
static void close_model(struct model *model)
{
	model->phase = PHASE_CLOSING;
	for (struct model_function *function = model->functions; function; function = function->next)
		if (function->is_open)
			model_unregister(function, true);
	while (model->deferrals)
		model_end_deferral(model->deferrals, END_CANCELLED);
}

/* What it will tell it left behind. */
static struct faas_close_stats expected_report(const struct model *model)
{
	struct faas_close_stats report = {0};

	for (const struct model_function *function = model->functions; function; function = function->next) {
		report.queued += function->queued;
		report.delayed += function->delayed;
		report.deferred += function->deferred;
		report.dead_letters += function->letter_count;
	}
	return report;
}

static void compare_report(const struct faas_close_stats *expected, const struct faas_close_stats *found)
{
	expect("report's queued", (int64_t)expected->queued, (int64_t)found->queued);
	expect("report's delayed", (int64_t)expected->delayed, (int64_t)found->delayed);
	expect("report's running", 0, (int64_t)found->running);
	expect("report's deferred", (int64_t)expected->deferred, (int64_t)found->deferred);
	expect("report's overrunning", 0, (int64_t)found->overrunning);
	expect("report's dead_letters", (int64_t)expected->dead_letters, (int64_t)found->dead_letters);
}

/* Workers that nobody told of went too. */
static void expect_closed(struct sim *sim)
{
	catch_up(sim);
	expect("callbacks that did not come", 0, sim->model.due_now);
	for (const struct model_function *function = sim->model.functions; function; function = function->next) {
		expect("warm after closing", 0, (int64_t)function->warm_count);
		expect("released after closing", function->has_release, function->released);
	}
	expect("states of workers", 0, sim->states_alive);
}

static void close_runtime(struct sim *sim, const struct plan *plan)
{
	bool keeps_handles = draw_mix(plan->seed, 2) % 2 == 0;
	struct faas_close_stats expected, found = {.struct_size = sizeof(found)};
	const struct draw none = {0};

	act_drain(sim, &none);
	if (has_failed())
		return;
	compare_all(sim, true);
	if (!keeps_handles)
		handles_drop_all(sim);
	trace("close ...");
	expected = expected_report(&sim->model);
	close_model(&sim->model);
	/* Functions go one by one, and what a callback gets to hear depends on which are left. */
	sim->is_quiet = true;
	expect("close", FAAS_OK, faas_close_with_report(sim->runtime, 0, 0, &found));
	sim->is_quiet = false;
	sim->runtime = NULL;
	if (has_failed())
		return;
	compare_report(&expected, &found);
	expect_closed(sim);
	/* At each of these another part of the functions is looked at. */
	for (sim->op = 0; sim->op < 16 && !has_failed(); sim->op++)
		compare_functions(sim);
	for (int i = 0; i < HANDLES && !has_failed(); i++)
		if (sim->handles[i].real)
			compare_handle(&sim->handles[i]);
}

static void let_go(struct sim *sim)
{
	compare_tokens(sim);
	tokens_drop_all(sim);
	unwatch_all(sim);
	handles_drop_all(sim);
	for (struct model_function *function = sim->model.functions; function; function = function->next)
		faas_function_unref(function->real);
	faas_clock_unref(sim->clock);
	expect("bytes left", 0, (int64_t)sim->memory.bytes);
	expect("blocks left", 0, (int64_t)sim->memory.blocks);
}

/* Ends a run whose model knows no further: what the host and its handlers still hold goes with all other memory. */
static void abandon(struct sim *sim)
{
	/* The runtime's own reference. */
	if (sim->memory.blocks > 0)
		faas_clock_unref(sim->clock);
	memory_drop_all(&sim->memory);
	faas_clock_unref(sim->clock);
	model_deinit(&sim->model);
}

bool run_plan(const struct plan *plan, bool is_tracing_wanted, void (*on_op)(int op))
{
	static struct sim sim;
	struct place host = {.kind = PLACE_HOST};

	memset(&sim, 0, sizeof(sim));
	sim.place = &host;
	report_begin(is_tracing_wanted);
	open_runtime(&sim, plan);
	for (sim.op = 0; sim.op < plan->count && !has_failed(); sim.op++) {
		if (on_op)
			on_op(sim.op);
		ops_do(&sim, &plan->ops[sim.op]);
		if (!has_failed())
			compare_all(&sim, sim.op % 4 == 0);
	}
	if (on_op)
		on_op(sim.op);
	if (!has_failed())
		close_runtime(&sim, plan);
	if (!has_failed())
		let_go(&sim);
	if (was_unsure())
		abandon(&sim);
	else if (!has_failed())
		model_deinit(&sim.model);
	return !has_failed() || was_unsure();
}
