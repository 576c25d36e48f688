/* SPDX-License-Identifier: MIT */
/* Outcomes: an invocation settles once, is counted once, and calls back once. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

struct chunk {
	struct chunk *next;
	size_t used;
	_Alignas(16) char memory[65536];
};

void *model_alloc(struct model *model, size_t bytes)
{
	struct chunk *chunk = model->arena;
	void *memory;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!chunk || chunk->used + bytes > sizeof(chunk->memory)) {
		chunk = malloc(sizeof(*chunk));
		if (!chunk)
			abort();
		chunk->next = model->arena;
		chunk->used = 0;
		model->arena = chunk;
	}
	memory = chunk->memory + chunk->used;
	chunk->used += bytes;
	memset(memory, 0, bytes);
	return memory;
}

void model_deinit(struct model *model)
{
	while (model->arena) {
		struct chunk *chunk = model->arena;

		model->arena = chunk->next;
		free(chunk);
	}
}

/* ---- Callbacks ----------------------------------------------------------------------------------------------------- */

static void fall_due(struct model *model, enum call *call, bool by_clock)
{
	if (*call != CALL_ASKED)
		return;
	*call = by_clock ? CALL_DUE_LATER : CALL_DUE_NOW;
	model->due_later += by_clock;
	model->due_now += !by_clock;
}

bool model_ask(struct model *model, enum call *call, bool is_settled)
{
	*call = CALL_ASKED;
	if (is_settled)
		fall_due(model, call, false);
	return is_settled;
}

void model_called(struct model *model, enum call *call)
{
	if (*call == CALL_DUE_NOW)
		model->due_now--;
	else if (*call == CALL_DUE_LATER)
		model->due_later--;
	else
		complain("callback", *call == CALL_DONE ? "called again" : "called before it settled");
	model->steps += *call == CALL_DUE_LATER;
	*call = CALL_DONE;
}

/* ---- Outcomes ------------------------------------------------------------------------------------------------------ */

int model_code_of(enum end end)
{
	static const int codes[] = {[END_SUCCEEDED] = FAAS_OK,           [END_FAILED] = FAAS_EFAILED,
	                            [END_TIMED_OUT] = FAAS_ETIMEDOUT,    [END_EXPIRED] = FAAS_ETIMEDOUT,
	                            [END_CANCELLED] = FAAS_ECANCELLED,   [END_DROPPED] = FAAS_EDROPPED};

	return codes[end];
}

static void count_end(struct faas_function_stats *stats, enum end end)
{
	stats->succeeded += end == END_SUCCEEDED;
	stats->failed += end == END_FAILED;
	stats->timed_out += end == END_TIMED_OUT;
	stats->expired += end == END_EXPIRED;
	stats->cancelled += end == END_CANCELLED;
	stats->dropped += end == END_DROPPED;
}

void model_settle(struct model_invocation *invocation, enum end end, int code, bool by_clock)
{
	struct model *model = invocation->function->model;
	struct model_emission *emission = invocation->emission;

	if (invocation->status >= FAAS_STATUS_SUCCEEDED)
		complain("settled", "event %d settled twice", invocation->event->number);
	invocation->status = FAAS_STATUS_SUCCEEDED + (int)end;
	invocation->code = code;
	count_end(&invocation->function->stats, end);
	fall_due(model, &invocation->call, by_clock);
	if (emission && --emission->pending == 0)
		fall_due(model, &emission->call, by_clock);
}

void model_settle_unrun(struct model_invocation *invocation, enum end end)
{
	model_unqueue(invocation);
	invocation->queued_ns = invocation->function->model->now - invocation->event->at;
	model_settle(invocation, end, model_code_of(end), false);
}

struct model_invocation *model_first_unsettled(const struct model_emission *emission)
{
	for (int i = 0; i < emission->count; i++) {
		struct model_invocation *invocation = emission->entries[i].invocation;

		if (invocation && invocation->status < FAAS_STATUS_SUCCEEDED)
			return invocation;
	}
	return NULL;
}

static void add_duration(struct faas_latency_stats *latency, int64_t ns)
{
	latency->count++;
	latency->sum_ns += (uint64_t)ns;
	if ((uint64_t)ns > latency->max_ns)
		latency->max_ns = (uint64_t)ns;
}

void model_count_run(struct model_function *function, int64_t queued_ns, int64_t run_ns)
{
	function->stats.requests++;
	function->stats.billed_ms += (uint64_t)((run_ns + MS - 1) / MS);
	add_duration(&function->stats.queue_time, queued_ns);
	add_duration(&function->stats.run_time, run_ns);
}

/* ---- Sums ---------------------------------------------------------------------------------------------------------- */

void model_function_stats(const struct model_function *function, struct faas_function_stats *ret_stats)
{
	struct faas_function_stats stats = function->stats;

	stats.rejected = stats.rejected_full + stats.rejected_runtime_full + stats.rejected_closed + stats.rejected_other;
	stats.offered = stats.accepted + stats.rejected;
	stats.queued = function->queued;
	stats.queued_bytes = function->queued_bytes;
	stats.running = stats.accepted - stats.queued - stats.succeeded - stats.failed - stats.timed_out - stats.expired -
	                stats.cancelled - stats.dropped;
	stats.starting = function->starting;
	stats.busy = function->busy;
	stats.warm = function->warm_count;
	*ret_stats = stats;
}

static void add_latency(struct faas_latency_stats *sum, const struct faas_latency_stats *one)
{
	sum->count += one->count;
	sum->sum_ns += one->sum_ns;
	if (one->max_ns > sum->max_ns)
		sum->max_ns = one->max_ns;
}

void model_total_stats(const struct model *model, struct faas_function_stats *ret_stats)
{
	struct faas_function_stats sum = {0}, one;
	const size_t first = offsetof(struct faas_function_stats, offered);
	const size_t count = (offsetof(struct faas_function_stats, queue_time) - first) / sizeof(uint64_t);

	for (const struct model_function *function = model->functions; function; function = function->next) {
		uint64_t *to = &sum.offered;
		const uint64_t *from = &one.offered;

		model_function_stats(function, &one);
		for (size_t i = 0; i < count; i++)
			to[i] += from[i];
		add_latency(&sum.queue_time, &one.queue_time);
		add_latency(&sum.run_time, &one.run_time);
	}
	*ret_stats = sum;
}
