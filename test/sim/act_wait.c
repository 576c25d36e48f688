/* SPDX-License-Identifier: MIT */
/*
 * Waiting: synchronous invokes, and waits for handles.
 *
 * On the host's side a wait takes steps, any steps, until what it waits for is settled, its time is over, or nothing can
 * run. Inside a handler it runs the one invocation it waits for, or ends at once; which of the two, the model knows
 * before.
 */
#include "sim.h"

#define TIMEOUTS 7

static int64_t pick_timeout(const struct draw *draw, unsigned field)
{
	static const int64_t timeouts[TIMEOUTS] = {0, FAAS_NEVER, 1, 2, 5, 10, 50};

	return timeouts[draw_pick(draw, field, TIMEOUTS)];
}

static int64_t after_ms(const struct sim *sim, int64_t ms)
{
	return ms == FAAS_NEVER ? NEVER : sim->model.now + ms * MS;
}

/* What a wait inside a handler does with what is queued. FAAS_OK: runs it, and nothing else may run before. */
static int nest(struct sim *sim, struct model_invocation *invocation)
{
	int code = FAAS_EPENDING;

	if (!model_waits_are_over(&sim->model))
		code = model_may_nest(&sim->model, invocation);
	if (code == FAAS_OK)
		sim->model.target = invocation;
	return code;
}

/* What a wait on the host's side must have returned, now that it has. */
static int end_of_host_wait(struct sim *sim, const struct model_invocation *invocation, int64_t until)
{
	if (invocation->status >= FAAS_STATUS_SUCCEEDED)
		return FAAS_OK;
	if (sim->model.now >= until)
		return FAAS_EPENDING;
	if (model_is_runnable(&sim->model))
		complain("wait", "it ends, but something can run");
	return FAAS_EAGAIN;
}

/* ---- Invoking and waiting ------------------------------------------------------------------------------------------- */

/* The caller's time is over, or it cannot wait. Returns what invoke says then. */
static int abandon(struct model_invocation *invocation, int why)
{
	if (why == FAAS_OK)
		return invocation->code;
	model_settle_unrun(invocation, why == FAAS_EPENDING ? END_EXPIRED : END_CANCELLED);
	return why == FAAS_EPENDING ? FAAS_ETIMEDOUT : why;
}

/* Before the call: what is known, and what the next attempt must be. `*ret_is_open`: known only after it. */
static int predict(struct sim *sim, struct model_invocation *invocation, bool *ret_is_open)
{
	struct model *model = &sim->model;
	struct model_function *function = invocation->function;
	int code = model_intake(model, sim->place->kind != PLACE_HOST), why;

	*ret_is_open = false;
	if (code == FAAS_OK && invocation->event->hops > FAAS_MAX_HOPS)
		return FAAS_ELOOP;
	if (code == FAAS_OK && sim->place->kind == PLACE_CALLBACK)
		code = FAAS_EDEADLK;
	if (code != FAAS_OK) {
		model_count_rejected(function, code);
		return code;
	}
	if (function->is_inline && function->is_open && model_may_nest(model, invocation) == FAAS_OK) {
		/* Runs at once, past the queue. */
		function->stats.accepted++;
		model->target = invocation;
		*ret_is_open = true;
		return FAAS_OK;
	}
	code = model_offer(invocation);
	if (code != FAAS_OK)
		return code;
	if (sim->place->kind == PLACE_HOST) {
		*ret_is_open = true;
		return FAAS_OK;
	}
	why = nest(sim, invocation);
	*ret_is_open = why == FAAS_OK;
	return why == FAAS_OK ? FAAS_OK : abandon(invocation, why);
}

static int real_invoke(struct sim *sim, struct model_function *function, const faas_event_config *config,
                       int64_t timeout, faas_invocation **ret_real, const struct draw *draw)
{
	const char *name = function_name(function->name);

	if (!function->is_open || draw_pick(draw, 9, 2) == 0)
		return faas_function_invoke(function->real, config, timeout, ret_real);
	if (sim->place->context && draw_pick(draw, 10, 2) == 0)
		return faas_context_invoke(sim->place->context, name, config, timeout, ret_real);
	return faas_invoke(sim->runtime, name, config, timeout, ret_real);
}

void send_sync(struct sim *sim, struct model_function *function, const struct model_event *event,
               const struct draw *draw)
{
	struct model_invocation *invocation = new_invocation(sim, function, event, true, false);
	int64_t timeout = pick_timeout(draw, 11);
	faas_invocation *real = NULL;
	struct event_form form;
	uint64_t accepted = function->stats.accepted;
	bool is_open, is_accepted, wants = draw_pick(draw, 12, 4) != 3;
	int expected, result;

	if (timeout > 0)
		invocation->caller_deadline = after_ms(sim, timeout);
	form_event(event, &form);
	trace("invoke event %d: f%d, %d bytes, timeout %lld ms ...", event->number, function->name, event->payload,
	      (long long)timeout);
	expected = predict(sim, invocation, &is_open);
	is_accepted = function->stats.accepted > accepted;
	result = real_invoke(sim, function, &form.config, timeout, wants ? &real : NULL, draw);
	if (has_failed())
		return;
	if (is_open && sim->model.target)
		complain("invoke", "event %d should have run inside the call", event->number);
	catch_up(sim);
	if (is_open && (sim->place->kind != PLACE_HOST || invocation->status >= FAAS_STATUS_SUCCEEDED))
		expected = invocation->code;
	else if (is_open)
		expected = abandon(invocation, end_of_host_wait(sim, invocation, invocation->caller_deadline));
	trace("... event %d -> %s", event->number, code_name(expected));
	expect("invoke", expected, result);
	expect("invoke's handle", wants && is_accepted, real != NULL);
	expect_rest(sim);
	if (real)
		(void)handle_add(sim, real, invocation);
}

/* ---- Waiting for a handle ------------------------------------------------------------------------------------------ */

static bool is_on_stack(const struct model *model, const struct model_invocation *invocation)
{
	for (int i = 0; i < model->depth; i++)
		if (model->stack[i].invocation == invocation)
			return true;
	return false;
}

/* Inside a handler or callback. `*ret_is_open`: it is run by the call. */
static int predict_wait(struct sim *sim, struct model_invocation *invocation, int64_t timeout, bool *ret_is_open)
{
	int why;

	*ret_is_open = false;
	if (invocation->status >= FAAS_STATUS_SUCCEEDED)
		return FAAS_OK;
	if (timeout == 0)
		return FAAS_EPENDING;
	if (sim->place->kind == PLACE_CALLBACK || is_on_stack(&sim->model, invocation))
		return FAAS_EDEADLK;
	why = nest(sim, invocation);
	*ret_is_open = why == FAAS_OK;
	return why;
}

void act_wait(struct sim *sim, const struct draw *draw)
{
	struct handle *handle = handle_pick(sim, draw, 0);
	int64_t timeout = pick_timeout(draw, 11), until;
	struct model_invocation *invocation;
	faas_invocation *real;
	bool is_open = false;
	int expected = FAAS_OK, result;

	if (!handle)
		return;
	invocation = handle->model;
	/* A callback in the middle of a settlement of several does not yet see the others settled. */
	if (sim->place->kind == PLACE_CALLBACK && sim->model.due_now > 0)
		return;
	until = after_ms(sim, timeout);
	trace("wait for event %d up to %lld ms ...", invocation->event->number, (long long)timeout);
	if (sim->place->kind != PLACE_HOST)
		expected = predict_wait(sim, invocation, timeout, &is_open);
	/* What runs meanwhile may drop the handle. */
	real = faas_invocation_ref(handle->real);
	result = faas_invocation_wait(real, timeout);
	faas_invocation_unref(real);
	if (has_failed())
		return;
	if (is_open && sim->model.target)
		complain("wait", "event %d should have run inside the call", invocation->event->number);
	catch_up(sim);
	if (sim->place->kind == PLACE_HOST)
		expected = timeout == 0 && invocation->status < FAAS_STATUS_SUCCEEDED ? FAAS_EPENDING
		                                                                      : end_of_host_wait(sim, invocation, until);
	trace("... event %d -> %s", invocation->event->number, code_name(expected));
	expect("wait", expected, result);
	expect_rest(sim);
}

/* ---- Waiting for an emission --------------------------------------------------------------------------------------- */

/* Why the wait ended where it did: what it would meet now is what it met. */
static int end_of_emission_wait(struct sim *sim, const struct model_emission *emission, int64_t timeout, int64_t until)
{
	const struct model_invocation *left = model_first_unsettled(emission);

	if (!left)
		return FAAS_OK;
	if (timeout == 0)
		return FAAS_EPENDING;
	if (sim->place->kind == PLACE_HOST)
		return end_of_host_wait(sim, left, until);
	if (sim->place->kind == PLACE_CALLBACK || is_on_stack(&sim->model, left))
		return FAAS_EDEADLK;
	if (sim->model.now >= until || model_waits_are_over(&sim->model))
		return FAAS_EPENDING;
	return model_may_nest(&sim->model, left);
}

void act_emission_wait(struct sim *sim, const struct draw *draw)
{
	struct emission_handle *emission = emission_pick(sim, draw);
	int64_t timeout = pick_timeout(draw, 11), until = after_ms(sim, timeout);
	struct model_emission *model;
	faas_emission *real;
	int result;

	if (!emission || (sim->place->kind == PLACE_CALLBACK && sim->model.due_now > 0))
		return;
	model = emission->model;
	trace("wait for an emission of %d up to %lld ms ...", model->count, (long long)timeout);
	real = faas_emission_ref(emission->real);
	if (sim->place->kind == PLACE_HANDLER)
		sim->place->waits_for = model;
	result = faas_emission_wait(real, timeout);
	sim->place->waits_for = NULL;
	faas_emission_unref(real);
	if (has_failed())
		return;
	catch_up(sim);
	expect("emission wait", end_of_emission_wait(sim, model, timeout, until), result);
	trace("... %s", code_name(result));
	expect_rest(sim);
}
