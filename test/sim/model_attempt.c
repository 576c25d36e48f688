/* SPDX-License-Identifier: MIT */
/*
 * Attempts: a worker and a slot are taken, perhaps an init, then the handler; deadlines and cancels give one up while
 * its code still runs. Attempts that run at the same time are nested on one thread: a stack.
 */
#include "model.h"

#include <stddef.h>

#include "report.h"

#define LEAST_PROVISION_PAUSE (100 * MS)
#define BACKOFF_DOUBLINGS 6

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t after(int64_t at, int64_t duration)
{
	return duration == NEVER ? NEVER : at + duration;
}

static int64_t caller_deadline(const struct model_attempt *attempt)
{
	return attempt->invocation ? attempt->invocation->caller_deadline : NEVER;
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------- */

int model_may_nest(const struct model *model, const struct model_invocation *invocation)
{
	const struct model_function *function = invocation->function;

	if (model->depth >= DEPTH)
		return FAAS_EAGAIN;
	/* On one thread, all slots are held by what waits. */
	if (function->active >= function->max_concurrency)
		return FAAS_EDEADLK;
	return model_may_begin(function) ? FAAS_OK : FAAS_EAGAIN;
}

bool model_waits_are_over(const struct model *model)
{
	for (int i = 0; i < model->depth; i++)
		if (model->stack[i].is_given_up || model->stack[i].deadline <= model->now)
			return true;
	return false;
}

/* ---- Beginning ----------------------------------------------------------------------------------------------------- */

static void take_worker(struct model_attempt *attempt)
{
	struct model_function *function = attempt->function;

	attempt->is_cold = !attempt->invocation || function->warm_count == 0;
	if (attempt->is_cold) {
		attempt->worker = model_alloc(function->model, sizeof(*attempt->worker));
		if (function->has_init)
			function->starting++;
		else
			function->busy++;
	} else {
		attempt->worker = model_pop_warm(function);
		function->busy++;
	}
	function->active++;
	model_raise_peak(function);
}

static void begin_handler(struct model_attempt *attempt)
{
	attempt->is_init = false;
	attempt->awaits_handler = true;
	attempt->started = attempt->function->model->now;
	attempt->deadline = sooner(after(attempt->started, attempt->function->deadline), caller_deadline(attempt));
}

static void begin_init(struct model_attempt *attempt)
{
	attempt->is_init = true;
	attempt->started = attempt->function->model->now;
	attempt->deadline = sooner(after(attempt->started, attempt->function->init_deadline), caller_deadline(attempt));
}

static void begin_invocation(struct model_attempt *attempt)
{
	struct model_invocation *invocation = attempt->invocation;

	invocation->status = FAAS_STATUS_RUNNING;
	invocation->attempts++;
	attempt->queued_ns = attempt->function->model->now - invocation->event->at;
	attempt->function->stats.cold_starts += attempt->is_cold;
	attempt->function->stats.warm_starts += !attempt->is_cold;
}

struct model_attempt *model_begin(struct model_function *function, struct model_invocation *invocation)
{
	struct model *model = function->model;
	struct model_attempt *attempt = &model->stack[model->depth];

	if (model->depth >= DEPTH) {
		complain("depth", "more than %d handlers are nested", DEPTH);
		return NULL;
	}
	if (function->active >= function->max_concurrency)
		complain("concurrency", "f%d runs %lld at once", function->name, (long long)function->active + 1);
	else if (!invocation && !model_wants_provisioned(function))
		complain("provisioned", "f%d starts a worker that nobody wants", function->name);
	else if (!model_may_begin(function))
		complain("backoff", "f%d starts before its pause is over", function->name);
	*attempt = (struct model_attempt){.function = function, .invocation = invocation};
	model->depth++;
	take_worker(attempt);
	if (invocation) {
		begin_invocation(attempt);
	} else {
		function->stats.provisioned_starts++;
		function->stats.cold_starts++;
	}
	if (attempt->is_cold && function->has_init)
		begin_init(attempt);
	else
		begin_handler(attempt);
	return attempt;
}

/* ---- Ends ---------------------------------------------------------------------------------------------------------- */

static void end(struct model_attempt *attempt, bool keeps_worker, bool has_state)
{
	struct model_function *function = attempt->function;

	function->active--;
	function->busy--;
	function->model->depth--;
	if (keeps_worker) {
		model_put_warm(function, attempt->worker);
		return;
	}
	if (!has_state)
		return;
	function->stats.retired_overrun++;
	if (function->has_fini) {
		attempt->worker->below = function->finis_due;
		function->finis_due = attempt->worker;
	}
}

static void write_result(const struct model_attempt *attempt, int64_t took)
{
	struct model_invocation *invocation = attempt->invocation;

	invocation->is_cold = attempt->is_cold;
	invocation->queued_ns = attempt->queued_ns;
	invocation->init_ns = attempt->init_ns + (attempt->is_init ? took : 0);
	invocation->run_ns = attempt->is_init ? 0 : took;
	if (!attempt->is_init)
		model_count_run(attempt->function, attempt->queued_ns, took);
}

/* Its code runs on, but nobody waits for it any more. */
static void give_up(struct model_attempt *attempt, enum end how, bool by_clock)
{
	struct model_function *function = attempt->function;
	int64_t until = sooner(function->model->now, attempt->deadline);

	attempt->is_given_up = true;
	function->stats.overruns++;
	function->stats.overrunning++;
	if (!attempt->invocation)
		return;
	write_result(attempt, until - attempt->started);
	model_settle(attempt->invocation, how, attempt->is_init && how == END_FAILED ? FAAS_EINIT : model_code_of(how),
	             by_clock);
}

static void end_in_time(struct model_attempt *attempt, enum end how, int code, int result)
{
	struct model_invocation *invocation = attempt->invocation;

	write_result(attempt, attempt->function->model->now - attempt->started);
	invocation->handler_result = result;
	invocation->answer = how == END_SUCCEEDED ? attempt->answer : 0;
	invocation->message = how == END_SUCCEEDED ? 0 : attempt->message;
	model_settle(invocation, how, code, false);
}

static void count_init(struct model_function *function, bool succeeded, int64_t took)
{
	int doublings = function->init_failed < BACKOFF_DOUBLINGS ? function->init_failed : BACKOFF_DOUBLINGS;

	function->stats.init_ns += (uint64_t)took;
	if (succeeded) {
		function->init_failed = 0;
		function->is_paused = false;
		return;
	}
	function->stats.init_failures++;
	function->init_failed++;
	if (function->backoff == 0)
		return;
	function->is_paused = true;
	function->paused_until = function->model->now + (function->backoff << doublings);
}

void model_init_ended(struct model_attempt *attempt, int result, int state)
{
	struct model_function *function = attempt->function;
	int64_t now = function->model->now, took = now - attempt->started;
	bool succeeded = result == 0 && now < after(attempt->started, function->init_deadline);

	attempt->worker->number = state;
	count_init(function, succeeded, took);
	function->starting--;
	function->busy++;
	if (!attempt->invocation)
		function->provision_after = succeeded ? 0 : now + LEAST_PROVISION_PAUSE;
	if (succeeded && !attempt->is_given_up && attempt->invocation) {
		attempt->init_ns = took;
		begin_handler(attempt);
		return;
	}
	if (attempt->is_given_up)
		function->stats.overrunning--;
	else if (attempt->invocation)
		end_in_time(attempt, END_FAILED, FAAS_EINIT, result);
	end(attempt, succeeded && !attempt->is_given_up, result == 0);
}

void model_provisioned(struct model_function *function)
{
	struct model_attempt *attempt = model_begin(function, NULL);

	function->provision_after = 0;
	if (attempt)
		end(attempt, true, false);
}

void model_handler_ended(struct model_attempt *attempt, int result)
{
	if (attempt->is_given_up)
		attempt->function->stats.overrunning--;
	else if (result == 0)
		end_in_time(attempt, END_SUCCEEDED, FAAS_OK, 0);
	else
		end_in_time(attempt, END_FAILED, FAAS_EFAILED, result);
	end(attempt, !attempt->is_given_up, true);
}

int model_cancel(struct model_invocation *invocation)
{
	struct model *model = invocation->function->model;

	if (invocation->status == FAAS_STATUS_QUEUED) {
		model_settle_unrun(invocation, END_CANCELLED);
		return FAAS_OK;
	}
	for (int i = 0; i < model->depth; i++)
		if (model->stack[i].invocation == invocation && !model->stack[i].is_given_up) {
			give_up(&model->stack[i], END_CANCELLED, false);
			return FAAS_OK;
		}
	return FAAS_ESTATE;
}

/* ---- Time ---------------------------------------------------------------------------------------------------------- */

/* An init that its own deadline ended has failed; one that its caller's time ended has timed out. */
static void pass_deadline(struct model_attempt *attempt)
{
	bool is_init_late = attempt->is_init && attempt->function->model->now >=
	                                            after(attempt->started, attempt->function->init_deadline);

	give_up(attempt, is_init_late ? END_FAILED : END_TIMED_OUT, true);
}

void model_advance(struct model *model, int64_t duration)
{
	int64_t until = model->now + duration;

	for (;;) {
		struct model_attempt *first = NULL;

		for (int i = 0; i < model->depth; i++)
			if (!model->stack[i].is_given_up && (!first || model->stack[i].deadline < first->deadline))
				first = &model->stack[i];
		if (!first || first->deadline > until)
			break;
		model->now = first->deadline;
		pass_deadline(first);
	}
	model->now = until;
}
