/* SPDX-License-Identifier: MIT */
/* Time passes: at exactly their moments deadlines end what runs or is deferred, delays end, and demand is looked at. */
#include "model.h"

#include "report.h"

void model_clock_brings(struct model_function *function, bool is_delay)
{
	struct model *model = function->model;
	const int64_t moment = model->now + 1;

	/* Delays that end together end in the order in which they began. */
	if (function->clock_brought == moment && !(is_delay && function->clock_brought_delay))
		unsure();
	if (model->clock_admitted == moment)
		unsure();
	if (!is_delay)
		model_demand_counts(function);
	model->clock_brought = moment;
	function->clock_brought = moment;
	function->clock_brought_delay = is_delay;
}

void model_clock_admits(struct model_function *function)
{
	struct model *model = function->model;
	const int64_t moment = model->now + 1;
	bool is_bounded = model->max_events != UINT64_MAX || model->max_bytes != UINT64_MAX;

	/* Whether it finds room in the runtime depends on what comes to other functions at the same moment. */
	if (is_bounded && model->clock_brought == moment)
		unsure();
	model_clock_brings(function, false);
	if (is_bounded)
		model->clock_admitted = moment;
}

/* An init that its own deadline ended has failed; one that its caller's time ended has timed out. */
static void pass_deadline(struct model_attempt *attempt)
{
	bool is_init_late = attempt->is_init && attempt->function->model->now >=
	                                            after(attempt->started, attempt->function->init_deadline);

	if (!attempt->is_init)
		model_demand_counts(attempt->function);
	model_give_up(attempt, is_init_late ? END_FAILED : END_TIMED_OUT);
}

/* What is due first. At most one of them is set. A delay that was drawn is not among it: the library tells of it. */
struct moment {
	int64_t at;
	struct model_attempt *attempt;
	struct model_deferral *deferral;
	struct model_invocation *delay;
	struct model_function *look;
};

static struct moment next_moment(const struct model *model)
{
	struct moment moment = {.at = NEVER};

	for (int i = 0; i < model->depth; i++) {
		const struct model_attempt *attempt = &model->stack[i];

		if (!attempt->is_given_up && attempt->deadline < moment.at)
			moment = (struct moment){.at = attempt->deadline, .attempt = (struct model_attempt *)(uintptr_t)attempt};
	}
	for (struct model_deferral *deferral = model->deferrals; deferral; deferral = deferral->next)
		if (deferral->deadline < moment.at)
			moment = (struct moment){.at = deferral->deadline, .deferral = deferral};
	for (struct model_function *function = model->functions; function; function = function->next) {
		if (function->delays && function->delays->ready < moment.at)
			moment = (struct moment){.at = function->delays->ready, .delay = function->delays};
		if (model_look_at(function) < moment.at)
			moment = (struct moment){.at = model_look_at(function), .look = function};
	}
	return moment;
}

int64_t model_next_moment(const struct model *model)
{
	return next_moment(model).at;
}

void model_advance(struct model *model, int64_t duration)
{
	int64_t until = model->now + duration;

	model->is_clock = true;
	model->is_later = true;
	for (;;) {
		struct moment moment = next_moment(model);

		if (moment.at == NEVER || moment.at > until)
			break;
		model->now = moment.at;
		if (moment.attempt)
			pass_deadline(moment.attempt);
		else if (moment.deferral)
			model_end_deferral(moment.deferral, END_TIMED_OUT);
		else if (moment.delay)
			model_end_delay(moment.delay, true);
		else
			model_look(moment.look);
	}
	model->is_clock = false;
	model->is_later = false;
	model->now = until;
}
