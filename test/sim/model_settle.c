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

/* True: it comes at once. */
static bool fall_due(struct model *model, enum call *call)
{
	if (*call != CALL_ASKED)
		return false;
	*call = model->is_later ? CALL_DUE_LATER : CALL_DUE_NOW;
	model->due_later += model->is_later;
	model->due_now += !model->is_later;
	return !model->is_later;
}

bool model_ask(struct model *model, enum call *call, bool is_settled)
{
	*call = CALL_ASKED;
	if (is_settled)
		(void)fall_due(model, call);
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

static void follow(struct model_invocation *invocation)
{
	while (invocation && invocation->calls_left == 0 && !invocation->waits_turn && !invocation->has_followed) {
		invocation->has_followed = true;
		model_follow(invocation);
		invocation = invocation->behind;
		if (invocation)
			invocation->waits_turn = false;
	}
}

void model_settle_after(struct model_invocation *invocation, struct model_invocation *before)
{
	if (!before || before->has_followed)
		return;
	before->behind = invocation;
	invocation->waits_turn = true;
}

void model_call_ended(struct model_invocation *invocation)
{
	if (!invocation || invocation->calls_left == 0)
		return;
	invocation->calls_left--;
	follow(invocation);
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

void model_settle(struct model_invocation *invocation, enum end end, int code)
{
	struct model *model = invocation->function->model;
	struct model_emission *emission = invocation->emission;

	if (model_is_settled(invocation))
		complain("settled", "event %d settled twice", invocation->event->number);
	invocation->status = FAAS_STATUS_SUCCEEDED + (int)end;
	invocation->code = code;
	invocation->total_ns = model->now - invocation->accepted;
	invocation->is_one_of_many = model->is_turn;
	if (end != END_FAILED)
		invocation->handler_result = 0;
	model_remove_unsettled(invocation);
	count_end(&invocation->function->stats, end);
	invocation->calls_left = fall_due(model, &invocation->call);
	if (emission && --emission->pending == 0 && fall_due(model, &emission->call)) {
		emission->last = invocation;
		invocation->calls_left++;
	}
	follow(invocation);
}

void model_settle_unrun(struct model_invocation *invocation, enum end end, int code)
{
	if (invocation->attempts == 0)
		invocation->queued_ns = invocation->function->model->now - invocation->accepted;
	invocation->message = 0;
	model_settle(invocation, end, code);
}

void model_settle_waiting(struct model_invocation *invocation, enum end end, int code)
{
	if (invocation->status == FAAS_STATUS_QUEUED)
		model_unqueue(invocation);
	else
		model_undelay(invocation);
	model_settle_unrun(invocation, end, code);
}

struct model_invocation *model_first_unsettled(const struct model_emission *emission)
{
	for (int i = 0; i < emission->count; i++) {
		struct model_invocation *invocation = emission->entries[i].invocation;

		if (invocation && !model_is_settled(invocation))
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

void model_count_run(const struct model_attempt *attempt, int64_t run_ns)
{
	struct model_function *function = attempt->function;
	uint64_t queued_most = (uint64_t)(attempt->queued_ns + attempt->queued_doubt);

	function->stats.requests++;
	function->stats.billed_ms += (uint64_t)((run_ns + MS - 1) / MS);
	add_duration(&function->stats.queue_time, attempt->queued_ns);
	function->queue_doubt += (uint64_t)attempt->queued_doubt;
	if (queued_most > function->queue_max_most)
		function->queue_max_most = queued_most;
	add_duration(&function->stats.run_time, run_ns);
}
