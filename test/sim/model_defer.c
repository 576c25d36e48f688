/* SPDX-License-Identifier: MIT */
/*
 * Deferral: a handler took a token and returned 0. Its worker is free, while its slot, its key and its deadline stay
 * until somebody completes it, its deadline passes, it is cancelled, or the last token is given back.
 */
#include "model.h"

struct model_deferral *model_defer(struct model_attempt *attempt)
{
	struct model_deferral *deferral = model_alloc(attempt->function->model, sizeof(*deferral));

	*deferral = (struct model_deferral){.invocation = attempt->invocation, .is_open = !attempt->is_given_up};
	attempt->deferral = deferral;
	return deferral;
}

void model_deferred(struct model_attempt *attempt)
{
	struct model *model = attempt->function->model;
	struct model_invocation *invocation = attempt->invocation;
	struct model_deferral *deferral = attempt->deferral;

	deferral->started = attempt->started;
	deferral->deadline = attempt->deadline;
	deferral->next = model->deferrals;
	model->deferrals = deferral;
	/* What it replied and what it knows of its init stays. */
	if (deferral->answer == 0)
		deferral->answer = attempt->answer;
	invocation->is_cold = attempt->is_cold;
	invocation->init_ns = attempt->init_ns;
	invocation->status = FAAS_STATUS_DEFERRED;
	invocation->deferral = deferral;
	attempt->function->deferred++;
	attempt->function->stats.deferrals++;
}

/* It is not DEFERRED any more; its slot is free. */
static void leave(struct model_deferral *deferral)
{
	struct model_invocation *invocation = deferral->invocation;
	struct model_function *function = invocation->function;
	struct model_deferral **at = &function->model->deferrals;

	while (*at != deferral)
		at = &(*at)->next;
	*at = deferral->next;
	deferral->is_open = false;
	invocation->deferral = NULL;
	invocation->run_ns = function->model->now - deferral->started;
	function->deferred--;
	function->active--;
}

void model_end_deferral(struct model_deferral *deferral, enum end how)
{
	leave(deferral);
	if (how == END_TIMED_OUT)
		model_attempt_failed(deferral->invocation, how, FAAS_ETIMEDOUT, false);
	else
		model_settle(deferral->invocation, how, model_code_of(how));
}

/* What was said takes effect. */
static void take_effect(struct model_deferral *deferral)
{
	struct model_invocation *invocation = deferral->invocation;

	leave(deferral);
	invocation->answer = deferral->said == SAID_SUCCEEDED ? deferral->answer : 0;
	invocation->message = deferral->message;
	if (deferral->said == SAID_SUCCEEDED)
		model_settle(invocation, END_SUCCEEDED, FAAS_OK);
	else
		model_attempt_failed(invocation, END_FAILED, deferral->said == SAID_ABANDONED ? FAAS_EABANDONED : FAAS_EFAILED,
		                     deferral->said == SAID_FAILED_FOR_GOOD);
}

int model_complete(struct model_deferral *deferral, enum said said, int answer, int message)
{
	if (!deferral->is_open)
		return FAAS_ESETTLED;
	deferral->is_open = false;
	deferral->said = said;
	if (answer != 0)
		deferral->answer = answer;
	deferral->message = message;
	/* While the handler runs, it waits for its return. */
	if (deferral->invocation->deferral == deferral)
		take_effect(deferral);
	return FAAS_OK;
}
