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

/* What a wait on the host's side must have returned, now that it has. */
static int end_of_host_wait(struct sim *sim, const struct model_invocation *invocation, int64_t until)
{
	if (model_is_settled(invocation))
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
	const bool is_late = why == FAAS_EPENDING;

	if (why == FAAS_OK)
		return invocation->code;
	if (invocation->status == FAAS_STATUS_DEFERRED)
		model_end_deferral(invocation->deferral, is_late ? END_TIMED_OUT : END_CANCELLED);
	else
		model_settle_waiting(invocation, is_late ? END_EXPIRED : END_CANCELLED,
		                     is_late ? FAAS_ETIMEDOUT : FAAS_ECANCELLED);
	return is_late ? FAAS_ETIMEDOUT : why;
}

/* What a wait inside a handler ends with, if it did not end well. */
static int end_of_inner_wait(struct sim *sim, struct model_invocation *invocation, int64_t until)
{
	if (model_is_settled(invocation))
		return FAAS_OK;
	if (sim->place->kind == PLACE_CALLBACK || model_is_on_stack(&sim->model, invocation))
		return FAAS_EDEADLK;
	if (sim->model.now >= until || model_waits_are_over(&sim->model))
		return FAAS_EPENDING;
	return model_may_nest(&sim->model, invocation);
}

/* Whether it is run at once, past the queue. */
static bool runs_inline(const struct model *model, struct model_invocation *invocation)
{
	const struct model_function *function = invocation->function;

	return function->is_inline && !function->is_ordered && function->is_open &&
	       model_may_nest(model, invocation) == FAAS_OK;
}

/* Before the call: whether it is accepted. */
static int predict(struct sim *sim, struct model_invocation *invocation)
{
	struct model *model = &sim->model;
	struct model_function *function = invocation->function;
	int code = model_intake(model, sim->place->kind != PLACE_HOST);

	if (code == FAAS_OK && invocation->event->hops > FAAS_MAX_HOPS)
		return FAAS_ELOOP;
	if (code == FAAS_OK && sim->place->kind == PLACE_CALLBACK)
		code = FAAS_EDEADLK;
	if (code == FAAS_OK && function->is_open &&
	    model_rate_next(function, function->queued) >= invocation->caller_deadline)
		code = FAAS_ETHROTTLED;
	if (code != FAAS_OK) {
		model_count_rejected(function, code);
		return code;
	}
	if (!runs_inline(model, invocation))
		return model_offer(invocation);
	model_accept(invocation);
	model->target = invocation;
	return FAAS_OK;
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

/* After the call: what it must have said, and what it did with what was left. */
static int end_of_invoke(struct sim *sim, struct model_invocation *invocation)
{
	if (sim->place->kind == PLACE_HOST)
		return abandon(invocation, end_of_host_wait(sim, invocation, invocation->caller_deadline));
	return abandon(invocation, end_of_inner_wait(sim, invocation, invocation->caller_deadline));
}

void send_sync(struct sim *sim, struct model_function *function, const struct model_event *event,
               const struct draw *draw)
{
	struct model_invocation *invocation = new_invocation(sim, function, event, true, false);
	int64_t timeout = pick_timeout(draw, 11);
	faas_invocation *real = NULL;
	struct event_form form;
	bool is_accepted, wants = draw_pick(draw, 12, 4) != 3;
	int expected, result;

	invocation->is_sync = true;
	if (timeout > 0)
		invocation->caller_deadline = sooner(invocation->caller_deadline, after_ms(sim, timeout));
	form_event(event, &form);
	trace("invoke event %d: f%d, key %d, %d bytes, timeout %lld ms, %d ms ...", event->number, function->name,
	      event->key, event->payload, (long long)timeout, event->timeout);
	expected = predict(sim, invocation);
	is_accepted = expected == FAAS_OK;
	if (is_accepted && sim->place->kind == PLACE_HANDLER && !sim->model.target)
		sim->place->waits_on = invocation;
	result = real_invoke(sim, function, &form.config, timeout, wants ? &real : NULL, draw);
	if (!has_failed() && sim->model.target)
		complain("invoke", "event %d should have run inside the call: %s", event->number, code_name(result));
	/* Its own end, which comes last, is none that a turn found. */
	function->expired_ahead = is_accepted && result == FAAS_ETIMEDOUT && invocation->status == FAAS_STATUS_QUEUED;
	if (!has_failed())
		catch_up(sim);
	function->expired_ahead = 0;
	sim->place->waits_on = NULL;
	if (has_failed())
		return;
	if (is_accepted)
		expected = end_of_invoke(sim, invocation);
	trace("... event %d -> %s", event->number, code_name(expected));
	expect("invoke", expected, result);
	expect("invoke's handle", wants && is_accepted, real != NULL);
	expect_rest(sim);
	if (real)
		(void)handle_add(sim, real, invocation);
}

/* ---- Waiting for a handle ------------------------------------------------------------------------------------------ */

/* What it must have returned: what it would meet now is what it met. */
static int end_of_wait(struct sim *sim, struct model_invocation *invocation, int64_t timeout, int64_t until)
{
	if (model_is_settled(invocation))
		return FAAS_OK;
	if (timeout == 0)
		return FAAS_EPENDING;
	if (sim->place->kind == PLACE_HOST)
		return end_of_host_wait(sim, invocation, until);
	return end_of_inner_wait(sim, invocation, until);
}

void act_wait(struct sim *sim, const struct draw *draw)
{
	struct handle *handle = handle_pick(sim, draw, 0);
	int64_t timeout = pick_timeout(draw, 11), until;
	struct model_invocation *invocation;
	faas_invocation *real;
	int result, expected;

	if (!handle)
		return;
	invocation = handle->model;
	/* A callback in the middle of a settlement of several does not yet see the others settled. */
	if (sim->place->kind == PLACE_CALLBACK && sim->place->holds_clock)
		return;
	until = after_ms(sim, timeout);
	trace("wait for event %d up to %lld ms ...", invocation->event->number, (long long)timeout);
	/* What runs meanwhile may drop the handle. */
	real = faas_invocation_ref(handle->real);
	if (sim->place->kind == PLACE_HANDLER)
		sim->place->waits_on = invocation;
	result = faas_invocation_wait(real, timeout);
	faas_invocation_unref(real);
	if (!has_failed())
		catch_up(sim);
	sim->place->waits_on = NULL;
	if (has_failed())
		return;
	expected = end_of_wait(sim, invocation, timeout, until);
	trace("... event %d -> %s", invocation->event->number, code_name(expected));
	expect("wait", expected, result);
	expect_rest(sim);
}

/* ---- Waiting for an emission --------------------------------------------------------------------------------------- */

static int end_of_emission_wait(struct sim *sim, const struct model_emission *emission, int64_t timeout, int64_t until)
{
	struct model_invocation *left = model_first_unsettled(emission);

	return left ? end_of_wait(sim, left, timeout, until) : FAAS_OK;
}

void act_emission_wait(struct sim *sim, const struct draw *draw)
{
	struct emission_handle *emission = emission_pick(sim, draw);
	int64_t timeout = pick_timeout(draw, 11), until = after_ms(sim, timeout);
	struct model_emission *model;
	faas_emission *real;
	int result;

	if (!emission || (sim->place->kind == PLACE_CALLBACK && sim->place->holds_clock))
		return;
	model = emission->model;
	trace("wait for an emission of %d up to %lld ms ...", model->count, (long long)timeout);
	real = faas_emission_ref(emission->real);
	if (sim->place->kind == PLACE_HANDLER)
		sim->place->waits_for = model;
	result = faas_emission_wait(real, timeout);
	faas_emission_unref(real);
	if (!has_failed())
		catch_up(sim);
	sim->place->waits_for = NULL;
	if (has_failed())
		return;
	expect("emission wait", end_of_emission_wait(sim, model, timeout, until), result);
	trace("... %s", code_name(result));
	expect_rest(sim);
}
