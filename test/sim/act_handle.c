/* SPDX-License-Identifier: MIT */
/* Handles of invocations and emissions: cancelling, asking for callbacks, taking and giving back references. */
#include "sim.h"

struct handle *handle_add(struct sim *sim, faas_invocation *real, struct model_invocation *model)
{
	for (int i = 0; i < HANDLES; i++)
		if (!sim->handles[i].real) {
			sim->handles[i] = (struct handle){.real = real, .model = model, .refs = 1};
			return &sim->handles[i];
		}
	faas_invocation_unref(real);
	return NULL;
}

struct handle *handle_pick(struct sim *sim, const struct draw *draw, unsigned field)
{
	int at = draw_pick(draw, field, HANDLES);

	/* The next one there is. */
	for (int i = 0; i < HANDLES; i++)
		if (sim->handles[(at + i) % HANDLES].real)
			return &sim->handles[(at + i) % HANDLES];
	return NULL;
}

void act_cancel(struct sim *sim, const struct draw *draw)
{
	struct handle *handle = handle_pick(sim, draw, 0);
	faas_invocation *real;
	int expected;

	if (!handle)
		return;
	expected = model_cancel(handle->model);
	trace("cancel event %d at f%d -> %s", handle->model->event->number, handle->model->function->name,
	      code_name(expected));
	/* Its callback may drop the handle. */
	real = faas_invocation_ref(handle->real);
	expect("cancel", expected, faas_invocation_cancel(real));
	faas_invocation_unref(real);
}

void act_on_settled(struct sim *sim, const struct draw *draw)
{
	struct handle *handle = handle_pick(sim, draw, 0);
	struct model_invocation *invocation;

	if (!handle)
		return;
	invocation = handle->model;
	trace("on_settled of event %d at f%d", invocation->event->number, invocation->function->name);
	if (invocation->call != CALL_NONE) {
		expect("on_settled again", FAAS_EEXIST, faas_invocation_on_settled(handle->real, hook_settled, invocation));
		return;
	}
	/* In the middle of a settlement of several the library calls those that come later in their turn. */
	(void)model_ask(&sim->model, &invocation->call, invocation->status >= FAAS_STATUS_SUCCEEDED);
	expect("on_settled", FAAS_OK, faas_invocation_on_settled(handle->real, hook_settled, invocation));
}

void act_ref(struct sim *sim, const struct draw *draw)
{
	struct handle *handle = handle_pick(sim, draw, 0);

	if (!handle)
		return;
	trace("ref event %d at f%d", handle->model->event->number, handle->model->function->name);
	handle->refs += faas_invocation_ref(handle->real) != NULL;
}

static void handle_unref(struct handle *handle)
{
	faas_invocation *real = handle->real;

	if (--handle->refs == 0)
		handle->real = NULL;
	faas_invocation_unref(real);
}

void act_unref(struct sim *sim, const struct draw *draw)
{
	struct handle *handle = handle_pick(sim, draw, 0);

	if (!handle)
		return;
	trace("unref event %d at f%d", handle->model->event->number, handle->model->function->name);
	handle_unref(handle);
}

/* ---- Emissions ------------------------------------------------------------------------------------------------------ */

void emission_add(struct sim *sim, faas_emission *real, struct model_emission *model)
{
	for (int i = 0; i < EMISSIONS; i++)
		if (!sim->emissions[i].real) {
			sim->emissions[i] = (struct emission_handle){.real = real, .model = model, .refs = 1};
			return;
		}
	faas_emission_unref(real);
}

struct emission_handle *emission_pick(struct sim *sim, const struct draw *draw)
{
	int at = draw_pick(draw, 0, EMISSIONS);

	for (int i = 0; i < EMISSIONS; i++)
		if (sim->emissions[(at + i) % EMISSIONS].real)
			return &sim->emissions[(at + i) % EMISSIONS];
	return NULL;
}

void act_emission_cancel(struct sim *sim, const struct draw *draw)
{
	struct emission_handle *emission = emission_pick(sim, draw);
	faas_emission *real;
	int expected = 0;

	if (!emission || sim->place->kind == PLACE_CALLBACK)
		return;
	for (int i = 0; i < emission->model->count; i++)
		if (emission->model->entries[i].invocation)
			expected += model_cancel(emission->model->entries[i].invocation) == FAAS_OK;
	trace("cancel an emission of %d -> %d", emission->model->count, expected);
	real = faas_emission_ref(emission->real);
	/* Callbacks come one by one, between the cancels, all of which the model has done. */
	sim->is_quiet = true;
	expect("emission cancel", expected, faas_emission_cancel(real));
	sim->is_quiet = false;
	faas_emission_unref(real);
}

void act_emission_on_settled(struct sim *sim, const struct draw *draw)
{
	struct emission_handle *emission = emission_pick(sim, draw);
	struct model_emission *model;

	if (!emission)
		return;
	model = emission->model;
	trace("on_settled of an emission of %d", model->count);
	if (model->call != CALL_NONE) {
		expect("emission on_settled again", FAAS_EEXIST,
		       faas_emission_on_settled(emission->real, hook_emission_settled, model));
		return;
	}
	(void)model_ask(&sim->model, &model->call, model->pending == 0);
	expect("emission on_settled", FAAS_OK, faas_emission_on_settled(emission->real, hook_emission_settled, model));
}

static void emission_unref(struct emission_handle *emission)
{
	faas_emission *real = emission->real;

	if (--emission->refs == 0)
		emission->real = NULL;
	faas_emission_unref(real);
}

void act_emission_unref(struct sim *sim, const struct draw *draw)
{
	struct emission_handle *emission = emission_pick(sim, draw);

	if (!emission)
		return;
	trace("unref an emission of %d", emission->model->count);
	emission_unref(emission);
}

void handles_drop_all(struct sim *sim)
{
	for (int i = 0; i < HANDLES; i++)
		while (sim->handles[i].real)
			handle_unref(&sim->handles[i]);
	for (int i = 0; i < EMISSIONS; i++)
		while (sim->emissions[i].real)
			emission_unref(&sim->emissions[i]);
}
