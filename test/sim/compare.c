/* SPDX-License-Identifier: MIT */
/* Everything that can be asked of the library, asked of the model too. */
#include "sim.h"

#include <string.h>

/* ---- Counts --------------------------------------------------------------------------------------------------------- */

static const char *const counters[] = {
	"offered", "accepted", "rejected", "rejected_full",
	"rejected_runtime_full", "rejected_closed", "rejected_throttled", "rejected_other",
	"queued", "delayed", "running", "deferred",
	"succeeded", "failed", "timed_out", "expired",
	"cancelled", "dropped", "overrunning", "overruns",
	"queued_bytes", "retries", "deferrals", "dead_letters",
	"dead_letters_added", "dead_letters_redriven", "dead_letters_lost", "records",
	"records_refused", "starting", "busy", "warm",
	"workers_peak", "cold_starts", "warm_starts", "provisioned_starts",
	"warm_target", "init_failures", "init_ns", "retired_idle",
	"retired_surplus", "retired_overrun", "retired_unregistered", "retired_closed",
	"requests", "billed_ms",
};

_Static_assert(sizeof(counters) / sizeof(counters[0]) * sizeof(uint64_t) ==
                   offsetof(struct faas_function_stats, queue_time) - offsetof(struct faas_function_stats, offered),
               "each counter has its name here");

static void compare_latency(const char *who, const char *what, const struct faas_latency_stats *expected,
                            const struct faas_latency_stats *found)
{
	if (expected->count != found->count || expected->sum_ns != found->sum_ns || expected->max_ns != found->max_ns)
		complain(what, "%s: expected %llu, sum %llu, max %llu; found %llu, sum %llu, max %llu", who,
		         (unsigned long long)expected->count, (unsigned long long)expected->sum_ns,
		         (unsigned long long)expected->max_ns, (unsigned long long)found->count,
		         (unsigned long long)found->sum_ns, (unsigned long long)found->max_ns);
	if (found->p50_ns > found->p90_ns || found->p90_ns > found->p99_ns || found->p99_ns > found->p999_ns ||
	    found->p999_ns > found->max_ns + found->max_ns / 7 + 256)
		complain(what, "%s: percentiles out of order", who);
}

static void compare_stats(const char *who, const struct faas_function_stats *expected,
                          const struct faas_function_stats *found)
{
	const uint64_t *left = &expected->offered, *right = &found->offered;

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (left[i] != right[i])
			complain(counters[i], "of %s: expected %llu, found %llu", who, (unsigned long long)left[i],
			         (unsigned long long)right[i]);
	compare_latency(who, "queue_time", &expected->queue_time, &found->queue_time);
	compare_latency(who, "run_time", &expected->run_time, &found->run_time);
}

void compare_functions(struct sim *sim)
{
	learn(sim);
	for (const struct model_function *function = sim->model.functions; function; function = function->next) {
		struct faas_function_stats expected, found = {.struct_size = sizeof(found)};

		/* What is over stays as it is, and is looked at now and then. */
		if (!function->real || (model_is_over(function) && (sim->op + function->generation) % 16 != 0))
			continue;
		model_function_stats(function, &expected);
		expect("function stats", FAAS_OK, faas_function_stats(function->real, &found));
		compare_stats(function_name(function->name), &expected, &found);
		if (has_failed())
			return;
	}
}

static void compare_totals(struct sim *sim)
{
	struct faas_runtime_stats found = {.struct_size = sizeof(found)};
	struct faas_function_stats expected;
	uint64_t registered = 0, bindings = 0;

	for (int i = 0; i < NAMES; i++)
		registered += sim->model.names[i] != NULL;
	for (int i = 0; i < BINDINGS; i++)
		bindings += sim->model.bindings[i].id != 0;
	model_total_stats(&sim->model, &expected);
	expect("runtime stats", FAAS_OK, faas_runtime_stats(sim->runtime, &found));
	compare_stats("all", &expected, &found.total);
	expect("functions", (int64_t)registered, (int64_t)found.functions);
	expect("bindings", (int64_t)bindings, (int64_t)found.bindings);
	expect("emitted", (int64_t)sim->model.emitted, (int64_t)found.emitted);
	expect("unmatched", (int64_t)sim->model.unmatched, (int64_t)found.unmatched);
	expect("queued_events", (int64_t)sim->model.queued_events, (int64_t)found.queued_events);
	expect("runtime's queued_bytes", (int64_t)sim->model.queued_bytes, (int64_t)found.queued_bytes);
	expect("threads", 0, (int64_t)(found.threads + found.threads_started + found.threads_peak + found.threads_idle));
}

static void compare_overruns(struct sim *sim)
{
	struct faas_overrun_stats list[DEPTH] = {{.struct_size = sizeof(list[0])}};
	int count = 0, found;

	for (int i = 0; i < DEPTH; i++)
		list[i].struct_size = sizeof(list[i]);
	found = faas_runtime_overruns(sim->runtime, list, DEPTH);
	for (int i = 0; i < sim->model.depth; i++) {
		const struct model_attempt *attempt = &sim->model.stack[i];

		if (!attempt->is_given_up)
			continue;
		if (count < found && (list[count].is_init != attempt->is_init ||
		                      list[count].running_ns != sim->model.now - attempt->started ||
		                      strcmp(list[count].function, function_name(attempt->function->name)) != 0))
			complain("overrun", "%s for %lld ns, not %s for %lld", list[count].function,
			         (long long)list[count].running_ns, function_name(attempt->function->name),
			         (long long)(sim->model.now - attempt->started));
		count++;
	}
	expect("overruns in the list", count, found);
}

/* ---- Time ------------------------------------------------------------------------------------------------------------ */

bool has_rates(const struct sim *sim)
{
	for (const struct model_function *function = sim->model.functions; function; function = function->next)
		if (function->rate_interval > 0 && !model_is_over(function))
			return true;
	return false;
}

static bool is_early(const struct sim *sim, int64_t expected, int64_t found)
{
	return has_rates(sim) && found > 0 && (expected < 0 || found < expected);
}

static void compare_next_due(struct sim *sim)
{
	int64_t expected = model_next_due(&sim->model), found = 0;

	expect("next due", FAAS_OK, faas_next_due(sim->runtime, &found));
	if (model_may_be_due(&sim->model, expected, found))
		return;
	if (found == 0 && sim->place->kind == PLACE_HOST) {
		/* "May be runnable": something stands in line that will find nothing to do. After that the answer is exact. */
		take_steps(sim, 10000);
		expected = model_next_due(&sim->model);
		expect("next due", FAAS_OK, faas_next_due(sim->runtime, &found));
	} else if (sim->place->kind != PLACE_HOST && (found == 0 || (found > 0 && found < expected) || expected < 0)) {
		return;
	}
	if (!model_may_be_due(&sim->model, expected, found) && !is_early(sim, expected, found))
		complain("next due", "expected %lld, found %lld", (long long)expected, (long long)found);
}

/* ---- All ------------------------------------------------------------------------------------------------------------ */

static void compare_record(const faas_context *context, const struct model_invocation *record)
{
	faas_invocation *real = faas_context_record(context);

	expect("record", record != NULL, real != NULL);
	if (record && real)
		compare_settled(real, record);
}

void compare_context(struct sim *sim, const faas_context *context, const struct model_attempt *attempt)
{
	int64_t now = sim->model.now, left = FAAS_NEVER;

	if (attempt->deadline != NEVER)
		left = now < attempt->deadline ? (attempt->deadline - now) / MS : 0;
	expect("remaining_ms", left, faas_context_remaining_ms(context));
	expect("is_cancelled", attempt->is_given_up, faas_context_is_cancelled(context));
	expect("is_cold", attempt->is_cold, faas_context_is_cold(context));
	expect("attempt's number", attempt->invocation ? attempt->invocation->attempts : 1, faas_context_attempt(context));
	if (strcmp(faas_context_function(context), function_name(attempt->function->name)) != 0)
		complain("context's function", "%s", faas_context_function(context));
	if (!attempt->is_init) {
		const int *state = faas_context_state(context);

		expect("worker", attempt->worker->number, state ? *state : 0);
		compare_record(context, attempt->invocation->record);
	}
	compare_functions(sim);
	compare_overruns(sim);
	compare_next_due(sim);
}

void compare_all(struct sim *sim, bool with_totals)
{
	catch_up(sim);
	compare_functions(sim);
	for (int i = 0; i < HANDLES && !has_failed(); i++)
		if (sim->handles[i].real)
			compare_handle(&sim->handles[i]);
	if (!has_failed())
		compare_tokens(sim);
	if (with_totals && !has_failed())
		compare_totals(sim);
	if (!has_failed())
		compare_next_due(sim);
}
