/* SPDX-License-Identifier: MIT */
/* Functions and bindings come and go. */
#include "sim.h"

#include <string.h>

const char *function_name(int name)
{
	static const char *const names[NAMES] = {"f0", "f1", "f2", "f3", "f4"};

	return names[name];
}

/* ---- Registering ---------------------------------------------------------------------------------------------------- */

static int64_t pick_of(const struct draw *draw, unsigned field, const int64_t *values, int count)
{
	return values[draw_pick(draw, field, count)];
}

#define PICK(field, ...)                                                                                               \
	pick_of(draw, field, (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* What it does besides running. */
static void draw_delivery(const struct draw *draw, faas_function_config *config)
{
	config->attempts = (int32_t)PICK(1, 1, 0, 2, 2, 3, 5, FAAS_UNLIMITED);
	config->backoff_ms = PICK(2, FAAS_NONE, 0, 1, 2, 7);
	config->backoff_max_ms = PICK(3, 0, 1, 3, 10);
	config->jitter_percent = (int32_t)PICK(14, FAAS_NONE, FAAS_NONE, FAAS_NONE, 0, 1, 50, 100, 33);
	config->max_age_ms = PICK(4, 0, 0, 1, 5, 20, 60, FAAS_NEVER);
	config->order = draw_chance(draw, 5, 30) ? FAAS_ORDER_BY_KEY : FAAS_ORDER_NONE;
	config->dead_letters = (int32_t)PICK(6, FAAS_NONE, 0, 0, 1, 2, 3);
	config->rate_per_s = (int32_t)PICK(7, 0, 0, 0, 0, 100, 300, 1000, 1000000000);
	config->rate_burst = config->rate_per_s > 0 ? (int32_t)PICK(8, 0, 1, 1, 2, 3) : 0;
	config->reserved_concurrency = (int32_t)PICK(9, 0, 0, 0, 1, 2);
	config->on_success = draw_chance(draw, 10, 20) ? function_name(draw_pick(draw, 11, NAMES)) : NULL;
	config->on_failure = draw_chance(draw, 12, 20) ? function_name(draw_pick(draw, 13, NAMES)) : NULL;
	/* Where several that may begin expire together, their order is not promised. */
	if (config->order == FAAS_ORDER_BY_KEY && (config->on_failure || config->dead_letters != FAAS_NONE))
		config->max_age_ms = PICK(4, 0, 0, 60, FAAS_NEVER);
	if (config->max_concurrency > 0 && config->reserved_concurrency > config->max_concurrency)
		config->reserved_concurrency = config->max_concurrency;
}

/* Demand is looked at once a second: what it asks for shows where handlers may take long. */
static void draw_demand(const struct draw *draw, faas_function_config *config)
{
	config->warm_policy = FAAS_WARM_DEMAND;
	config->keep_warm_ms = PICK(1, 0, 0, FAAS_NEVER, 30000, 20000, 1000, 40);
	config->deadline_ms = PICK(2, 0, 0, FAAS_NEVER, 10);
	config->max_concurrency = (int32_t)PICK(3, 0, 0, 0, 2, 3, 8);
	config->provisioned = (int32_t)PICK(4, 0, 0, 0, 1, 2);
	config->max_age_ms = PICK(5, 0, 0, 0, FAAS_NEVER, 60);
	config->rate_per_s = (int32_t)PICK(6, 0, 0, 0, 0, 100);
	if (config->max_concurrency > 0 && config->reserved_concurrency > config->max_concurrency)
		config->reserved_concurrency = config->max_concurrency;
}

static faas_function_config draw_config(const struct draw *draw)
{
	faas_function_config config = *FAAS_FUNCTION(.handler = hook_handler);
	const struct draw more = draw_child(draw, 60), warmth = draw_child(draw, 61);

	config.deadline_ms = PICK(1, 0, 1, 2, 5, 10, 20, FAAS_NEVER);
	config.init = draw_chance(draw, 2, 60) ? hook_init : NULL;
	config.fini = draw_chance(draw, 3, 60) ? hook_fini : NULL;
	config.init_deadline_ms = PICK(4, 0, 1, 3, 10, FAAS_NEVER);
	config.init_backoff_ms = PICK(5, 0, FAAS_NONE, 1, 3, 10);
	config.keep_warm_ms = PICK(6, 0, 1, 4, 15, 40, FAAS_NEVER);
	config.queue_events = (int32_t)PICK(7, 0, 1, 2, 3, 5, 8, 8);
	config.queue_bytes = PICK(8, 0, 0, 300, 700, 2000, FAAS_UNLIMITED);
	config.queue_full = draw_chance(draw, 9, 40) ? FAAS_FULL_DROP_OLDEST : FAAS_FULL_REJECT;
	config.max_concurrency = (int32_t)PICK(10, 0, 1, 1, 2, 3, FAAS_UNLIMITED);
	config.provisioned = (int32_t)PICK(11, 0, 0, 0, 1, 2);
	config.weight = (int32_t)PICK(12, 0, 1, 10, 1000);
	config.flags = draw_chance(draw, 13, 25) ? FAAS_FUNCTION_INLINE : 0;
	config.release = draw_chance(draw, 14, 80) ? hook_release : NULL;
	if (config.max_concurrency > 0 && config.provisioned > config.max_concurrency)
		config.provisioned = config.max_concurrency;
	draw_delivery(&more, &config);
	if (draw_chance(&more, 15, 35))
		draw_demand(&warmth, &config);
	return config;
}

static int64_t ns_of(int64_t ms, int64_t preset)
{
	return ms == FAAS_NEVER ? NEVER : (ms != 0 ? ms : preset) * MS;
}

/* A name's number; -1: none. */
static int name_number(const char *name)
{
	for (int i = 0; name && i < NAMES; i++)
		if (strcmp(name, function_name(i)) == 0)
			return i;
	return -1;
}

static void configure_delivery(struct model_function *function, const faas_function_config *config)
{
	int64_t rate = config->rate_per_s, burst = config->rate_burst > 0 ? config->rate_burst : rate;

	function->is_ordered = config->order == FAAS_ORDER_BY_KEY;
	function->max_attempts = config->attempts == 0 ? 3 : config->attempts > 0 ? config->attempts : INT64_MAX;
	function->max_age = ns_of(config->max_age_ms, 6 * 3600 * 1000);
	function->retry_backoff = config->backoff_ms == FAAS_NONE ? 0 : ns_of(config->backoff_ms, 100);
	function->retry_backoff_max = ns_of(config->backoff_max_ms, 20000);
	if (function->retry_backoff_max < function->retry_backoff)
		function->retry_backoff_max = function->retry_backoff;
	function->jitter = config->jitter_percent > 0 ? config->jitter_percent : 0;
	if (config->jitter_percent == 0)
		function->jitter = 100;
	function->rate_interval = rate > 0 ? (1000000000 + rate - 1) / rate : 0;
	function->rate_ahead = rate > 0 ? (burst - 1) * function->rate_interval : 0;
	function->reserved = config->reserved_concurrency;
	function->max_letters = config->dead_letters > 0 ? (uint64_t)config->dead_letters : 0;
	if (config->dead_letters == 0)
		function->max_letters = 100;
	function->on_success = name_number(config->on_success);
	function->on_failure = name_number(config->on_failure);
}

static void configure(struct model_function *function, const faas_function_config *config)
{
	function->has_init = config->init != NULL;
	function->has_fini = config->fini != NULL;
	function->has_release = config->release != NULL;
	function->is_inline = config->flags != 0;
	function->drops_oldest = config->queue_full == FAAS_FULL_DROP_OLDEST;
	function->deadline = ns_of(config->deadline_ms, 3000);
	function->init_deadline = ns_of(config->init_deadline_ms, 10000);
	function->backoff = config->init_backoff_ms == FAAS_NONE ? 0 : ns_of(config->init_backoff_ms, 100);
	function->keep_warm = ns_of(config->keep_warm_ms, 600000);
	function->max_events = config->queue_events != 0 ? (uint64_t)config->queue_events : 1000000;
	function->max_bytes = config->queue_bytes > 0 ? (uint64_t)config->queue_bytes : (uint64_t)256 << 20;
	function->max_concurrency = config->max_concurrency > 0 ? config->max_concurrency : INT64_MAX;
	function->provisioned = (uint32_t)config->provisioned;
	function->follows_demand = config->warm_policy == FAAS_WARM_DEMAND;
	function->demand.look_at = NEVER;
	configure_delivery(function, config);
}

static void trace_register(const struct model_function *function, const faas_function_config *config, int expected)
{
	trace("register f%d%s%s%s: deadline %lld, init deadline %lld, backoff %lld, keep warm %lld ms; queue %d events, %lld "
	      "bytes%s; concurrency %d, provisioned %d%s -> %s",
	      function->name, config->init ? " init" : "", config->fini ? " fini" : "", config->release ? " release" : "",
	      (long long)config->deadline_ms, (long long)config->init_deadline_ms, (long long)config->init_backoff_ms,
	      (long long)config->keep_warm_ms, config->queue_events, (long long)config->queue_bytes,
	      config->queue_full ? ", drops oldest" : "", config->max_concurrency, config->provisioned,
	      config->flags ? ", inline" : "", code_name(expected));
	trace("    attempts %d, backoff %lld to %lld, max age %lld ms%s; dead letters %d, on success %s, on failure %s; "
	      "rate %d, burst %d; reserved %d; jitter %d%s",
	      config->attempts, (long long)config->backoff_ms, (long long)config->backoff_max_ms,
	      (long long)config->max_age_ms, config->order ? ", by key" : "", config->dead_letters,
	      config->on_success ? config->on_success : "-", config->on_failure ? config->on_failure : "-",
	      config->rate_per_s, config->rate_burst, config->reserved_concurrency, config->jitter_percent,
	      config->warm_policy ? ", by demand" : "");
}

static void add(struct sim *sim, struct model_function *function)
{
	struct model_function **last = &sim->model.functions;

	while (*last)
		last = &(*last)->next;
	*last = function;
	function->generation = sim->model.function_count++;
	function->is_open = true;
	sim->model.names[function->name] = function;
}

/* What registering says. Where several things stand against it, what is reserved comes last. */
static int predict_register(const struct model *model, const struct model_function *function)
{
	if (model->phase != PHASE_OPEN)
		return FAAS_ECLOSED;
	if (model->names[function->name])
		return FAAS_EEXIST;
	return function->reserved > model->max_concurrency - model_reserved(model) ? FAAS_ERESERVED : FAAS_OK;
}

void act_register(struct sim *sim, const struct draw *draw)
{
	struct model_function *function = model_alloc(&sim->model, sizeof(*function));
	faas_function_config config = draw_config(draw);
	int expected;

	function->model = &sim->model;
	function->name = draw_pick(draw, 0, NAMES);
	function->script.seed = draw_mix(draw->seed, 99);
	function->script.plain = draw->plain;
	configure(function, &config);
	config.user = function;
	expected = predict_register(&sim->model, function);
	if (expected == FAAS_EEXIST && sim->place->kind == PLACE_HOST && draw_chance(draw, 15, 60))
		return;
	trace_register(function, &config, expected);
	if (expected == FAAS_OK)
		add(sim, function);
	expect("register", expected, faas_register_function(sim->runtime, function_name(function->name), &config));
	if (expected == FAAS_OK && !has_failed())
		expect("find", FAAS_OK, faas_function_find(sim->runtime, function_name(function->name), &function->real));
}

void act_unregister(struct sim *sim, const struct draw *draw)
{
	int name = draw_pick(draw, 0, NAMES);
	struct model_function *function = sim->model.names[name];
	int expected = function ? FAAS_OK : FAAS_ENOTFOUND;

	trace("unregister f%d -> %s", name, code_name(expected));
	if (function)
		model_unregister(function, false);
	expect("unregister", expected, faas_unregister_function(sim->runtime, function_name(name)));
}

/* ---- Bindings ------------------------------------------------------------------------------------------------------- */

void act_bind(struct sim *sim, const struct draw *draw)
{
	int name = draw_pick(draw, 0, NAMES), expected = FAAS_OK;
	struct model_binding *binding = NULL, made = {.function = sim->model.names[name]};
	uint64_t id = 0;

	made.pattern = draw_pick(draw, 1, binding_pattern_count);
	made.filter = draw_chance(draw, 2, 35) ? draw_pick(draw, 3, binding_filter_count) : 0;
	for (int i = 0; i < BINDINGS; i++)
		if (sim->model.bindings[i].id == 0)
			binding = &sim->model.bindings[i];
	if (!binding)
		return;
	if (sim->model.phase != PHASE_OPEN)
		expected = FAAS_ECLOSED;
	else if (!made.function)
		expected = FAAS_ENOTFOUND;
	trace("bind %s to f%d%s%s -> %s", binding_patterns[made.pattern], name, made.filter ? " where " : "",
	      made.filter ? binding_filters[made.filter] : "", code_name(expected));
	expect("bind", expected,
	       faas_bind(sim->runtime,
	                 FAAS_BINDING(.pattern = binding_patterns[made.pattern], .function = function_name(name),
	                              .filter = binding_filters[made.filter]),
	                 &id));
	if (expected != FAAS_OK)
		return;
	*binding = made;
	binding->id = id;
	if (id == 0)
		complain("bind", "its id is 0");
}

static void compare_binding(struct sim *sim, const struct model_binding *binding)
{
	struct faas_binding_stats stats = {.struct_size = sizeof(stats)};

	expect("binding stats", FAAS_OK, faas_binding_stats(sim->runtime, binding->id, &stats));
	expect("binding's passed", (int64_t)binding->passed, (int64_t)stats.passed);
	expect("binding's stopped", (int64_t)binding->stopped, (int64_t)stats.stopped);
	expect("binding's errors", (int64_t)binding->errors, (int64_t)stats.errors);
}

void act_unbind(struct sim *sim, const struct draw *draw)
{
	struct model_binding *binding = NULL;
	int at = draw_pick(draw, 0, BINDINGS);

	for (int i = 0; i < BINDINGS && !binding; i++)
		if (sim->model.bindings[(at + i) % BINDINGS].id != 0)
			binding = &sim->model.bindings[(at + i) % BINDINGS];
	if (!binding)
		return;
	trace("unbind %s from f%d", binding_patterns[binding->pattern], binding->function->name);
	compare_binding(sim, binding);
	expect("unbind", FAAS_OK, faas_unbind(sim->runtime, binding->id));
	expect("unbind again", FAAS_ENOTFOUND, faas_unbind(sim->runtime, binding->id));
	binding->id = 0;
}
