/* SPDX-License-Identifier: MIT */
/* Events: emitting to whom they concern, and invoking one function without waiting. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

static bool is_inside(const struct sim *sim)
{
	return sim->place->kind != PLACE_HOST;
}

/* What runs here, if it has an event: what it makes is one hop further. */
static const struct model_invocation *cause(const struct sim *sim)
{
	const struct place *place = sim->place;

	if (place->kind != PLACE_HANDLER || !place->attempt->invocation)
		return NULL;
	return place->attempt->invocation;
}

/* ---- Making --------------------------------------------------------------------------------------------------------- */

struct model_event *new_event(struct sim *sim, const struct draw *draw, bool needs_type)
{
	static const int payloads[] = {8, 8, 40, 200, 700, 1500};
	static const int timeouts[16] = {[12] = 1, [13] = 4, [14] = 15, [15] = 50};
	struct model_event *event = model_alloc(&sim->model, sizeof(*event));
	const struct draw more = draw_child(draw, 60);
	const struct model_invocation *from = cause(sim);

	event->number = ++sim->events;
	event->type = draw_pick(draw, 2, event_type_count);
	if (!needs_type && draw_chance(draw, 3, 50))
		event->type = -1;
	event->subject = draw_chance(draw, 4, 40) ? 1 + draw_pick(draw, 4, event_subject_count - 1) : 0;
	event->attribute = draw_chance(draw, 5, 40) ? 1 + draw_pick(draw, 5, 4) : 0;
	event->payload = payloads[draw_pick(draw, 6, 6)];
	event->key = draw_chance(&more, 1, 60) ? 1 + draw_pick(&more, 2, 2) : 0;
	event->timeout = timeouts[draw_pick(&more, 3, 16)];
	event->hops = from ? from->hops + 1 : 0;
	event->at = sim->model.now;
	event->script = draw_mix(draw->seed, 77);
	event->plain = draw->plain;
	if (draw_pick(draw, 31, 40) == 39)
		event->relay = 1 + draw_pick(draw, 30, 2);
	return event;
}

void form_event(const struct model_event *event, struct event_form *ret_form)
{
	memset(ret_form->data, event->number & 0xff, (size_t)event->payload);
	memcpy(ret_form->data, &event->number, sizeof(event->number));
	ret_form->attribute = (faas_attribute_config)FAAS_ATTRIBUTE(.name = "n", .type = FAAS_ATTRIBUTE_INTEGER,
	                                                            .integer = event->attribute - 1);
	(void)snprintf(ret_form->key, sizeof(ret_form->key), "k%02d", event->key % 100);
	ret_form->config = *FAAS_EVENT(.type = event->type < 0 ? NULL : event_types[event->type],
	                               .timeout_ms = event->timeout, .key = event->key > 0 ? ret_form->key : NULL,
	                               .subject = event_subjects[event->subject], .data = ret_form->data,
	                               .data_bytes = (uint64_t)event->payload, .attributes = &ret_form->attribute,
	                               .attribute_count = event->attribute > 0);
}

int number_of(const faas_event *event)
{
	uint64_t bytes;
	int number = 0;
	const void *data = faas_event_data(event, &bytes);

	if (bytes >= sizeof(number))
		memcpy(&number, data, sizeof(number));
	return number;
}

struct model_invocation *new_invocation(struct sim *sim, struct model_function *function,
                                        const struct model_event *event, bool has_result, bool is_shared)
{
	struct model_invocation *invocation = model_alloc(&sim->model, sizeof(*invocation));

	invocation->function = function;
	invocation->event = event;
	invocation->hops = event->hops;
	invocation->has_result = has_result || function->on_success >= 0 || function->on_failure >= 0;
	invocation->bytes = model_bytes(function, event, has_result, is_shared, WAY_OFFERED);
	invocation->caller_deadline = event->timeout > 0 ? sim->model.now + event->timeout * MS : NEVER;
	invocation->code = FAAS_EPENDING;
	return invocation;
}

static int hop_code(const struct model_event *event)
{
	return event->hops > FAAS_MAX_HOPS ? FAAS_ELOOP : FAAS_OK;
}

/* ---- Emitting ------------------------------------------------------------------------------------------------------- */

/* All that an emit should bring. */
struct fan {
	struct model_event *event;
	struct model_emission *emission; /* NULL: none is asked for */
	struct model_function *matches[NAMES];
	struct model_invocation *invocations[NAMES];
	int codes[NAMES];
	int count;
	int result;
};

static void fan_settle_entries(struct fan *fan)
{
	fan->emission->count = fan->count;
	for (int i = 0; i < fan->count; i++) {
		fan->emission->entries[i].function = fan->matches[i];
		fan->emission->entries[i].code = fan->codes[i];
		if (fan->codes[i] == FAAS_OK)
			fan->emission->entries[i].invocation = fan->invocations[i];
	}
}

static void fan_offer(struct fan *fan, bool all)
{
	int accepted = 0, refusal = FAAS_OK;

	if (all)
		refusal = model_offer_all(fan->invocations, fan->count, fan->codes);
	else
		for (int i = 0; i < fan->count; i++)
			fan->codes[i] = model_offer(fan->invocations[i]);
	for (int i = 0; i < fan->count; i++) {
		accepted += fan->codes[i] == FAAS_OK;
		if (fan->codes[i] != FAAS_OK && refusal == FAAS_OK)
			refusal = fan->codes[i];
		if (fan->emission && fan->codes[i] == FAAS_OK) {
			fan->invocations[i]->emission = fan->emission;
			fan->emission->pending++;
		}
	}
	fan->result = accepted > 0 ? accepted : refusal;
}

static void predict(struct sim *sim, struct fan *fan, bool all)
{
	bool was_filtered;

	fan->result = model_intake(&sim->model, is_inside(sim));
	if (fan->result == FAAS_OK)
		fan->result = hop_code(fan->event);
	if (fan->result != FAAS_OK)
		return;
	fan->count = model_route(&sim->model, fan->event, fan->matches, &was_filtered);
	for (int i = 0; i < fan->count; i++)
		fan->invocations[i] = new_invocation(sim, fan->matches[i], fan->event, fan->emission != NULL,
		                                     fan->count > 1 || was_filtered);
	fan_offer(fan, all);
	if (fan->emission)
		fan_settle_entries(fan);
	sim->model.emitted++;
	sim->model.unmatched += fan->count == 0;
}

static int real_emit(struct sim *sim, const faas_event_config *config, faas_emission **ret_emission,
                     const struct draw *draw)
{
	if (sim->place->context && draw_pick(draw, 9, 2) == 0)
		return faas_context_emit_event(sim->place->context, config, ret_emission);
	return faas_emit_event(sim->runtime, config, ret_emission);
}

static void compare_emission(const struct fan *fan, const faas_emission *real)
{
	expect("emission count", fan->count, faas_emission_count(real));
	for (int i = 0; i < fan->count && !has_failed(); i++) {
		struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

		expect("emission entry", FAAS_OK, faas_emission_entry(real, i, &entry));
		expect("emission entry's code", fan->codes[i], entry.code);
		expect("emission entry's invocation", fan->codes[i] == FAAS_OK, entry.invocation != NULL);
		if (strcmp(entry.function, function_name(fan->matches[i]->name)) != 0)
			complain("emission entry's function", "%s", entry.function);
	}
}

static void keep_emission(struct sim *sim, const struct fan *fan, faas_emission *real, const struct draw *draw)
{
	for (int i = 0; i < fan->count; i++) {
		struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

		if (fan->codes[i] != FAAS_OK)
			continue;
		(void)faas_emission_entry(real, i, &entry);
		watch(sim, fan->invocations[i], entry.invocation);
		if (!draw_chance(draw, 10, 60))
			continue;
		(void)handle_add(sim, faas_invocation_ref(entry.invocation), fan->invocations[i]);
	}
	emission_add(sim, real, fan->emission);
}

void act_emit(struct sim *sim, const struct draw *draw)
{
	struct fan fan = {.event = new_event(sim, draw, true)};
	bool all = draw_chance(draw, 7, 25), wants = draw_chance(draw, 8, model_has_jitter(&sim->model) ? 90 : 50);
	faas_emission *real = NULL;
	struct event_form form;
	int result;

	if (wants) {
		fan.emission = model_alloc(&sim->model, sizeof(*fan.emission));
		fan.emission->model = &sim->model;
	}
	predict(sim, &fan, all);
	form_event(fan.event, &form);
	form.config.flags = all ? FAAS_EMIT_ALL : 0;
	trace("emit event %d: type %s, subject %s, n %d, key %d, timeout %d ms, %d bytes%s%s -> %s", fan.event->number,
	      event_types[fan.event->type], form.config.subject ? form.config.subject : "-", fan.event->attribute - 1,
	      fan.event->key, fan.event->timeout, fan.event->payload, all ? ", all or none" : "",
	      wants ? ", with emission" : "", code_name(fan.result));
	result = real_emit(sim, &form.config, wants ? &real : NULL, draw);
	if (has_failed())
		return;
	expect("emit", fan.result, result);
	expect("emit's emission", wants && fan.event->hops <= FAAS_MAX_HOPS && fan.result != FAAS_ECLOSED, real != NULL);
	if (real && !has_failed()) {
		compare_emission(&fan, real);
		keep_emission(sim, &fan, real, draw);
	}
}

/* ---- Invoking without waiting --------------------------------------------------------------------------------------- */

/* One of the functions registered now, or a name that is free, or (by its handle) one that was unregistered. */
struct model_function *pick_function(struct sim *sim, const struct draw *draw)
{
	struct model_function *function = sim->model.names[draw_pick(draw, 0, NAMES)];
	int past = draw_pick(draw, 1, 24);

	if (past != 23 || !sim->model.functions)
		return function;
	past = draw_pick(draw, 15, sim->model.function_count);
	function = sim->model.functions;
	while (past-- > 0)
		function = function->next;
	return function;
}

static void send_async(struct sim *sim, struct model_function *function, const struct model_event *event,
                       const struct draw *draw)
{
	bool wants = draw_chance(draw, 8, model_draws(function) ? 95 : 70);
	bool by_name = function->is_open && draw_pick(draw, 9, 2) == 0;
	struct model_invocation *invocation = new_invocation(sim, function, event, wants, false);
	int expected = model_intake(&sim->model, is_inside(sim)), result;
	faas_invocation *real = NULL;
	struct event_form form;

	if (expected != FAAS_OK)
		model_count_rejected(function, expected);
	else
		expected = hop_code(event);
	if (expected == FAAS_OK)
		expected = model_offer(invocation);
	form_event(event, &form);
	trace("invoke_async event %d: f%d, key %d, timeout %d ms, %d bytes%s -> %s", event->number, function->name,
	      event->key, event->timeout, event->payload, wants ? ", with handle" : "", code_name(expected));
	if (by_name && sim->place->context && draw_pick(draw, 10, 2) == 0)
		result = faas_context_invoke_async(sim->place->context, function_name(function->name), &form.config,
		                                   wants ? &real : NULL);
	else if (by_name)
		result = faas_invoke_async(sim->runtime, function_name(function->name), &form.config, wants ? &real : NULL);
	else
		result = faas_function_invoke_async(function->real, &form.config, wants ? &real : NULL);
	if (has_failed())
		return;
	expect("invoke_async", expected, result);
	expect("invoke_async's handle", wants && expected == FAAS_OK, real != NULL);
	if (!real)
		return;
	watch(sim, invocation, real);
	(void)handle_add(sim, real, invocation);
}

void send(struct sim *sim, struct model_function *function, const struct model_event *event, bool synchronous,
          const struct draw *draw)
{
	if (synchronous)
		send_sync(sim, function, event, draw);
	else
		send_async(sim, function, event, draw);
}

static void invoke(struct sim *sim, const struct draw *draw, bool synchronous)
{
	struct model_function *function = pick_function(sim, draw);
	const char *name = function_name(draw_pick(draw, 0, NAMES));

	if (function) {
		send(sim, function, new_event(sim, draw, false), synchronous, draw);
	} else if (synchronous) {
		trace("invoke %s, which is not registered", name);
		expect("invoke of nothing", FAAS_ENOTFOUND, faas_invoke(sim->runtime, name, NULL, 1, NULL));
	} else {
		trace("invoke_async %s, which is not registered", name);
		expect("invoke_async of nothing", FAAS_ENOTFOUND, faas_invoke_async(sim->runtime, name, NULL, NULL));
	}
}

/* Many at once, each with a key of its own. */
void act_burst(struct sim *sim, const struct draw *draw)
{
	struct model_function *function = pick_function(sim, draw);
	int count = draw_pick(draw, 7, 3) == 2 ? 1 + draw_pick(draw, 8, 60) : 0;

	for (int i = 0; function && i < count && sim->events < EVENTS_MAX && !has_failed(); i++) {
		struct draw each = draw_child(draw, (uint64_t)i);
		struct model_event *event = new_event(sim, &each, false);

		event->key = 3 + i;
		send_async(sim, function, event, &each);
	}
}

void act_invoke_async(struct sim *sim, const struct draw *draw)
{
	invoke(sim, draw, false);
}

void act_invoke(struct sim *sim, const struct draw *draw)
{
	invoke(sim, draw, true);
}
