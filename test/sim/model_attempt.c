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

static int64_t caller_deadline(const struct model_attempt *attempt)
{
	return attempt->invocation ? attempt->invocation->caller_deadline : NEVER;
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------- */

bool model_is_on_stack(const struct model *model, const struct model_invocation *invocation)
{
	for (int i = 0; i < model->depth; i++)
		if (model->stack[i].invocation == invocation && !model->stack[i].is_given_up)
			return true;
	return false;
}

int model_may_nest(const struct model *model, struct model_invocation *invocation)
{
	struct model_invocation *head = model_head(invocation);

	if (invocation->status != FAAS_STATUS_QUEUED || model->depth >= DEPTH)
		return FAAS_EAGAIN;
	if (head != invocation && model_is_on_stack(model, head))
		return FAAS_EDEADLK;
	if (head->status != FAAS_STATUS_QUEUED)
		return FAAS_EAGAIN;
	if (model_stack_holds_slots(head->function))
		return FAAS_EDEADLK;
	return model_may_begin(head) ? FAAS_OK : FAAS_EAGAIN;
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
	int64_t now = attempt->function->model->now;

	invocation->status = FAAS_STATUS_RUNNING;
	invocation->handler_result = 0;
	invocation->message = 0;
	if (invocation->attempts++ == 0)
		invocation->queued_ns = now - invocation->accepted;
	attempt->queued_ns = now - invocation->ready;
	attempt->queued_doubt = invocation->ready_doubt;
	attempt->function->stats.cold_starts += attempt->is_cold;
	attempt->function->stats.warm_starts += !attempt->is_cold;
	model_rate_take(attempt->function);
	model_demand_wake(attempt->function);
}

/* Why it may not; NULL: it may. */
static const char *refusal(const struct model_function *function, const struct model_invocation *invocation)
{
	int code;

	if (!model_has_slot(function))
		return "concurrency";
	if (!invocation)
		return model_wants_provisioned(function) ? NULL : "provisioned";
	if (!model_rate_lets(function))
		return "rate";
	if (!model_key_lets(invocation))
		return "key";
	if (model_is_expired(invocation, &code))
		return "age";
	return model_can_start(function) ? NULL : "backoff";
}

struct model_attempt *model_begin(struct model_function *function, struct model_invocation *invocation)
{
	struct model *model = function->model;
	struct model_attempt *attempt = &model->stack[model->depth];
	const char *why = refusal(function, invocation);

	if (model->depth >= DEPTH) {
		complain("depth", "more than %d handlers are nested", DEPTH);
		return NULL;
	}
	if (why)
		complain(why, "f%d may not begin event %d now, with %lld at once", function->name,
		         invocation ? invocation->event->number : 0, (long long)function->active);
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
	invocation->init_ns = attempt->init_ns + (attempt->is_init ? took : 0);
	invocation->run_ns = attempt->is_init ? 0 : took;
	if (!attempt->is_init)
		model_count_run(attempt, took);
}

void model_attempt_failed(struct model_invocation *invocation, enum end how, int code, bool is_permanent)
{
	if (is_permanent || !model_retry(invocation))
		model_settle(invocation, how, code);
}

void model_give_up(struct model_attempt *attempt, enum end how)
{
	struct model_function *function = attempt->function;
	int64_t until = sooner(function->model->now, attempt->deadline);

	attempt->is_given_up = true;
	if (attempt->deferral)
		attempt->deferral->is_open = false;
	function->stats.overruns++;
	function->stats.overrunning++;
	if (!attempt->invocation)
		return;
	write_result(attempt, until - attempt->started);
	if (how == END_CANCELLED)
		model_settle(attempt->invocation, how, FAAS_ECANCELLED);
	else
		model_attempt_failed(attempt->invocation, how,
		                     attempt->is_init && how == END_FAILED ? FAAS_EINIT : model_code_of(how), false);
}

static void end_in_time(struct model_attempt *attempt, enum end how, int code, int result)
{
	struct model_invocation *invocation = attempt->invocation;

	write_result(attempt, attempt->function->model->now - attempt->started);
	invocation->handler_result = result;
	invocation->answer = how == END_SUCCEEDED ? attempt->answer : 0;
	invocation->message = how == END_SUCCEEDED ? 0 : attempt->message;
	if (how == END_SUCCEEDED)
		model_settle(invocation, how, code);
	else
		model_attempt_failed(invocation, how, code, attempt->is_permanent);
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

/* It took a token, and returned 0 in time. Whether its slot is free. */
static bool end_deferred(struct model_attempt *attempt)
{
	const struct model_deferral *deferral = attempt->deferral;

	switch (deferral->said) {
	case SAID_NOTHING:
		model_count_run(attempt, attempt->function->model->now - attempt->started);
		model_deferred(attempt);
		return false;
	case SAID_SUCCEEDED:
		attempt->answer = deferral->answer ? deferral->answer : attempt->answer;
		end_in_time(attempt, END_SUCCEEDED, FAAS_OK, 0);
		break;
	default:
		attempt->message = deferral->message;
		attempt->is_permanent = deferral->said == SAID_FAILED_FOR_GOOD;
		end_in_time(attempt, END_FAILED, deferral->said == SAID_ABANDONED ? FAAS_EABANDONED : FAAS_EFAILED, 0);
		break;
	}
	return true;
}

void model_handler_ended(struct model_attempt *attempt, int result)
{
	bool frees_slot = true;

	if (attempt->is_given_up) {
		attempt->function->stats.overrunning--;
	} else if (result != 0) {
		if (attempt->deferral)
			attempt->deferral->is_open = false;
		end_in_time(attempt, END_FAILED, FAAS_EFAILED, result);
	} else if (attempt->deferral) {
		frees_slot = end_deferred(attempt);
	} else {
		end_in_time(attempt, END_SUCCEEDED, FAAS_OK, 0);
	}
	attempt->function->active += !frees_slot;
	end(attempt, !attempt->is_given_up, true);
}

int model_cancel(struct model_invocation *invocation)
{
	struct model *model = invocation->function->model;

	switch (invocation->status) {
	case FAAS_STATUS_QUEUED:
	case FAAS_STATUS_DELAYED:
		model_settle_waiting(invocation, END_CANCELLED, FAAS_ECANCELLED);
		return FAAS_OK;
	case FAAS_STATUS_DEFERRED:
		model_end_deferral(invocation->deferral, END_CANCELLED);
		return FAAS_OK;
	case FAAS_STATUS_RUNNING:
		for (int i = 0; i < model->depth; i++)
			if (model->stack[i].invocation == invocation && !model->stack[i].is_given_up)
				model_give_up(&model->stack[i], END_CANCELLED);
		return FAAS_OK;
	default:
		return FAAS_ESTATE;
	}
}

int model_cancel_all(struct model_function *function)
{
	struct model_invocation *each = function->unsettled, *next;
	int count = 0;

	for (; each; each = next) {
		next = each->later;
		/* Nobody is called while running ones are told. */
		function->model->is_later = each->status == FAAS_STATUS_RUNNING;
		count += model_cancel(each) == FAAS_OK;
	}
	function->model->is_later = false;
	return count;
}
