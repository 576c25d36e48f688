/* SPDX-License-Identifier: MIT */
/*
 * Destinations: the record of a settled invocation goes to another function like any event, one hop further. A failure
 * whose record nobody takes becomes a dead letter.
 */
#include "model.h"

static struct model_invocation *new_record(const struct model_invocation *of, struct model_function *function)
{
	struct model_invocation *record = model_alloc(function->model, sizeof(*record));

	record->function = function;
	record->event = of->event;
	record->record = of;
	record->has_result = true;
	record->hops = of->hops + 1;
	record->caller_deadline = NEVER;
	record->code = FAAS_EPENDING;
	record->bytes = model_bytes(function, of->event, true, false, WAY_RECORD);
	return record;
}

/* Whether the function of this name took the record. */
static bool pass_on(const struct model_invocation *of, int name)
{
	struct model *model = of->function->model;
	struct model_function *function = model->names[name];

	if (!function)
		return false;
	if (model->phase == PHASE_CLOSING) {
		model_count_rejected(function, FAAS_ECLOSED);
		return false;
	}
	if (of->hops + 1 > FAAS_MAX_HOPS) {
		model_count_rejected(function, FAAS_ELOOP);
		return false;
	}
	if (model->is_clock)
		model_clock_admits(function);
	return model_offer(new_record(of, function)) == FAAS_OK;
}

void model_follow(struct model_invocation *invocation)
{
	struct model_function *function = invocation->function;
	bool is_success = invocation->status == FAAS_STATUS_SUCCEEDED;
	bool is_failure = invocation->status == FAAS_STATUS_FAILED || invocation->status == FAAS_STATUS_TIMED_OUT ||
	                  invocation->status == FAAS_STATUS_EXPIRED;
	int to = is_success ? function->on_success : is_failure ? function->on_failure : -1;

	if (invocation->is_sync)
		return;
	if (to >= 0 && pass_on(invocation, to)) {
		function->stats.records++;
		return;
	}
	function->stats.records_refused += to >= 0;
	if (is_failure) {
		if (function->model->is_clock)
			model_clock_brings(function, false);
		model_add_letter(invocation);
	}
}
