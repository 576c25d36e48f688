/* SPDX-License-Identifier: MIT */
/*
 * A random walk through everything that changes the accounts, beside a model (support_model.h). After every step the
 * numbers of every function are compared with the model's. Manual mode.
 *
 * The model does not foretell which function runs next. It foretells which of a function's events that is (the oldest),
 * whether an event is taken, what an attempt comes to, and every count. Each handler and init draws what it does.
 *
 * FAAS_TEST_SEED repeats a walk; FAAS_TEST_REPEAT says how many there are.
 */
#include "support_model.h"

#define SLOTS 5 /* names of functions */
#define BINDINGS 12
#define HANDLES 40
#define OPERATIONS 1500
#define NESTED_MAX 4

/* An event whose invocation the walk holds, or waits for. */
struct handle {
	struct model *model; /* NULL: free */
	int number;
	faas_invocation *invocation; /* NULL: a synchronous call that has not returned */
};

struct walk {
	struct bed bed;
	uint64_t seed;
	struct model *models;       /* all, the newest first */
	struct model *slots[SLOTS]; /* those registered */
	struct {
		uint64_t id; /* 0: free */
		int slot, pattern;
	} bindings[BINDINGS];
	struct handle handles[HANDLES];
	int numbers; /* events so far */
	int depth;   /* handlers the walk is inside of */
	uint64_t emitted, unmatched;
};

static struct walk *walk;

static const char *const names[SLOTS] = {"ant", "bee", "cat", "dog", "eel"};
static const char *const types[] = {"a.x", "a.y", "b.x"};
static const char *const patterns[] = {"a.x", "a.*", ">", "*.x"};
static const int matches[COUNT_OF(patterns)][COUNT_OF(types)] = {{1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1}};

static int draw(int bound)
{
	return (int)random_below(&walk->seed, (uint64_t)bound);
}

static void pass_time(int64_t ns)
{
	model_complain(faas_clock_advance(walk->bed.clock, ns) != FAAS_OK, "the clock stood still");
}

/* ---- Functions come and go --------------------------------------------------------------------------------------- */

static int walk_init(faas_context *context, void **ret_state);
static void walk_fini(void *state, void *user);
static void walk_release(void *user);
static int walk_handler(faas_context *context, const faas_event *event);

static void register_one(int slot)
{
	struct model *model = model_new();
	faas_function_config config = *ONCE(.handler = walk_handler, .init = walk_init, .fini = walk_fini,
	                                             .release = walk_release, .user = model, .init_backoff_ms = 5);

	model->slot = slot;
	model->deadline_ns = 10 * MS;
	model->max_queue = 1 + draw(MODEL_QUEUE_MAX);
	model->is_dropping = draw(3) == 0;
	model->max_concurrency = draw(3);
	model->provisioned = draw(4) == 0 ? draw(model->max_concurrency + 1) : 0;
	model_configure(model, &config);
	config.keep_warm_ms = draw(3) == 0 ? FAAS_NEVER : 1 + draw(100);
	config.weight = draw(1001);
	model_complain(faas_register_function(walk->bed.runtime, names[slot], &config) != FAAS_OK, "register failed");
	model_complain(faas_function_find(walk->bed.runtime, names[slot], &model->handle) != FAAS_OK, "find failed");
	model->next = walk->models;
	walk->models = model;
	walk->slots[slot] = model;
}

static void unregister(int slot)
{
	model_unregistered(walk->slots[slot]);
	walk->slots[slot] = NULL;
	for (int i = 0; i < BINDINGS; i++)
		if (walk->bindings[i].slot == slot)
			walk->bindings[i].id = 0;
	model_complain(faas_unregister_function(walk->bed.runtime, names[slot]) != FAAS_OK, "unregister failed");
}

static void register_or_unregister(void)
{
	int slot = draw(SLOTS);

	if (!walk->slots[slot])
		register_one(slot);
	else if (draw(3) == 0)
		unregister(slot);
}

static void bind_or_unbind(void)
{
	int i = draw(BINDINGS), slot = draw(SLOTS), pattern = draw(COUNT_OF(patterns));
	uint64_t *id = &walk->bindings[i].id;

	if (*id != 0) {
		model_complain(faas_unbind(walk->bed.runtime, *id) != FAAS_OK, "unbind failed");
		*id = 0;
	} else if (walk->slots[slot]) {
		const faas_binding_config *binding = FAAS_BINDING(.pattern = patterns[pattern], .function = names[slot]);

		walk->bindings[i].slot = slot;
		walk->bindings[i].pattern = pattern;
		model_complain(faas_bind(walk->bed.runtime, binding, id) != FAAS_OK, "bind failed");
	}
}

static int is_bound(int slot, int type)
{
	for (int i = 0; i < BINDINGS; i++)
		if (walk->bindings[i].id != 0 && walk->bindings[i].slot == slot && matches[walk->bindings[i].pattern][type])
			return 1;
	return 0;
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

static void emit(void)
{
	int type = draw(COUNT_OF(types)), number = walk->numbers++, taken = 0, refused = 0, code;
	faas_emission *emission = NULL;

	for (int slot = 0; slot < SLOTS; slot++) {
		if (!walk->slots[slot] || !is_bound(slot, type))
			continue;
		if (model_admit(walk->slots[slot], number) == FAAS_OK)
			taken++;
		else
			refused++;
	}
	code = faas_emit_event(walk->bed.runtime,
	                       FAAS_EVENT(.type = types[type], .data = &number, .data_bytes = sizeof(number)),
	                       draw(3) == 0 ? &emission : NULL);
	model_complain(code != (taken == 0 && refused > 0 ? FAAS_EFULL : taken), "an emit came out otherwise");
	if (emission)
		model_complain(faas_emission_count(emission) != taken + refused, "an emission of another size");
	faas_emission_unref(emission);
	walk->emitted++;
	walk->unmatched += taken + refused == 0;
}

static struct handle *free_handle(void)
{
	struct handle *handle = &walk->handles[draw(HANDLES)];

	return handle->model ? NULL : handle;
}

static void invoke_async(void)
{
	int slot = draw(SLOTS), number = walk->numbers++;
	struct model *model = walk->slots[slot];
	struct handle *handle = free_handle();
	int expected = model ? model_admit(model, number) : FAAS_ENOTFOUND;
	faas_invocation *invocation = NULL;
	int code =
		faas_invoke_async(walk->bed.runtime, names[slot], FAAS_EVENT(.data = &number, .data_bytes = sizeof(number)),
	                      handle ? &invocation : NULL);

	/* Somebody else may still have a handle of the one that is gone. */
	if (!model && walk->models && !walk->models->is_registered)
		model_complain(faas_function_invoke_async(walk->models->handle, NULL, NULL) !=
		                   model_admit(walk->models, number),
		               "a function that is gone took an event");
	model_complain(code != expected, "an asynchronous invoke came out otherwise");
	if (invocation)
		*handle = (struct handle){.model = model, .number = number, .invocation = invocation};
}

/* The invoke has given up on what is still queued: it cannot run, or the time of a handler around the call is over. */
static void check_given_up(struct model *model, int at, int code)
{
	model_complain(code != FAAS_EAGAIN && code != FAAS_EDEADLK && code != FAAS_ETIMEDOUT, "an invoke gave up so early");
	model_complain(code == FAAS_ETIMEDOUT && walk->depth == 0, "a timeout without any");
	model_complain(code == FAAS_EDEADLK && model->max_concurrency == 0, "a deadlock without a limit");
	if (code == FAAS_ETIMEDOUT)
		model_end_queued(model, at, EXPIRED, FAAS_ETIMEDOUT);
	else
		model_end_queued(model, at, CANCELLED, FAAS_ECANCELLED);
}

static void invoke(void)
{
	int slot = draw(SLOTS), number = walk->numbers++, code, at;
	struct model *model = walk->slots[slot];
	struct handle *handle = free_handle();

	if (!model || !handle || model->queued == model->max_queue)
		return;
	(void)model_admit(model, number);
	*handle = (struct handle){.model = model, .number = number};
	/* Inside of a handler the thread runs this very event. Outside it runs whatever comes before. */
	model->claimed = walk->depth > 0 ? number : NOBODY;
	code =
		faas_invoke(walk->bed.runtime, names[slot], FAAS_EVENT(.data = &number, .data_bytes = sizeof(number)), 0, NULL);
	model->claimed = NOBODY;
	at = model_find(model, number);
	if (at != NOBODY)
		check_given_up(model, at, code);
	else
		model_complain(code != model->outcomes[number], "an invoke came out otherwise");
	handle->model = NULL;
}

static void cancel(void)
{
	struct handle *handle = &walk->handles[draw(HANDLES)];
	int at;

	if (!handle->model || !handle->invocation)
		return;
	at = model_find(handle->model, handle->number);
	if (at == NOBODY && handle->model->outcomes[handle->number] == FAAS_EPENDING)
		return; /* it runs around this */
	if (at != NOBODY)
		model_end_queued(handle->model, at, CANCELLED, FAAS_ECANCELLED);
	model_complain(faas_invocation_cancel(handle->invocation) != (at != NOBODY ? FAAS_OK : FAAS_ESTATE),
	               "a cancel came out otherwise");
	model_complain(faas_invocation_outcome(handle->invocation) != handle->model->outcomes[handle->number],
	               "an event ended otherwise");
	faas_invocation_unref(handle->invocation);
	handle->model = NULL;
}

/* ---- What functions do ------------------------------------------------------------------------------------------- */

static int walk_init(faas_context *context, void **ret_state)
{
	struct model *model = faas_context_user(context);
	/* Where starts ahead of need and starts for events look the same, all go well. */
	int is_bad = model->provisioned == 0 && draw(5) == 0, result = is_bad ? draw(2) : 0;
	int64_t took = is_bad && draw(2) == 0 ? draw(25) * MS : draw(5) * MS;

	pass_time(took);
	model_init_ended(model, took, result);
	*ret_state = model;
	return result;
}

static void walk_fini(void *state, void *user)
{
	struct model *model = user;

	model->finis++;
	model_complain(state != model, "fini of another function's state");
	model_complain(model->finis > model->inits, "one fini too many");
}

static void walk_release(void *user)
{
	struct model *model = user;

	model->releases++;
	model_complain(model->is_registered || model->running > 0 || model->inits != model->finis, "release too early");
}

static void act(void)
{
	static void (*const acts[])(void) = {emit, invoke_async, cancel, invoke, register_or_unregister, bind_or_unbind};
	int choice = draw(COUNT_OF(acts));

	if (acts[choice] != invoke || walk->depth <= NESTED_MAX)
		acts[choice]();
}

static int walk_handler(faas_context *context, const faas_event *event)
{
	struct model *model = faas_context_user(context);
	int64_t began = faas_clock_now(walk->bed.clock);
	int number, result = draw(3) == 0 ? draw(5) - 2 : 0;

	memcpy(&number, faas_event_data(event, NULL), sizeof(number));
	model_begin(model, number);
	model_complain(faas_context_state(context) != model, "a worker of another function");
	walk->depth++;
	if (draw(3) == 0)
		pass_time(draw((int)(13 * MS)));
	if (draw(2) == 0)
		act();
	if (draw(4) == 0)
		(void)faas_context_reply(context, "answer", 6, NULL);
	walk->depth--;
	model_end(model, number, faas_clock_now(walk->bed.clock) - began, result);
	return result;
}

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

static void operate(void)
{
	int choice = draw(10);

	if (choice < 5)
		act();
	else if (choice < 6)
		pass_time(draw((int)(20 * MS)));
	else
		model_complain(faas_run(walk->bed.runtime, 1) < 0, "a step failed");
}

static void check_all(int operation)
{
	struct faas_runtime_stats totals = bed_totals(&walk->bed);

	if (model_complaint)
		fail_msg("operation %d: %s", operation, model_complaint);
	for (const struct model *model = walk->models; model; model = model->next)
		if (model->is_registered || operation % 50 == 0)
			model_check(model);
	model_check_totals(walk->models, walk->bed.runtime);
	assert_int_equal(walk->emitted, totals.emitted);
	assert_int_equal(walk->unmatched, totals.unmatched);
}

static void end_walk(void)
{
	for (int slot = 0; slot < SLOTS; slot++)
		if (walk->slots[slot])
			unregister(slot);
	bed_run(&walk->bed);
	check_all(0);
	for (int i = 0; i < HANDLES; i++) {
		struct handle *handle = &walk->handles[i];

		if (!handle->model)
			continue;
		assert_int_equal(handle->model->outcomes[handle->number], faas_invocation_outcome(handle->invocation));
		faas_invocation_unref(handle->invocation);
	}
	while (walk->models) {
		struct model *model = walk->models;

		walk->models = model->next;
		assert_int_equal(1, model->releases);
		assert_int_equal(model->inits, model->finis);
		model_free(model);
	}
	bed_close(&walk->bed);
}

static void the_numbers_are_a_models_after_every_step(void **state)
{
	const char *repeat = getenv("FAAS_TEST_REPEAT");
	uint64_t seed = random_seed("walk");

	(void)state;
	for (int i = 0; i < (repeat ? atoi(repeat) : 20); i++, seed++) {
		struct walk one = {.seed = seed};

		if (i > 0)
			print_message("walk: FAAS_TEST_SEED=%llu\n", (unsigned long long)seed);
		walk = &one;
		/* Turns are drawn as well, from a seed of their own. */
		bed_open(&one.bed, FAAS_RUNTIME(.seed = seed % 2 == 0 ? 0 : seed));
		model_complaint = NULL;
		for (int operation = 1; operation <= OPERATIONS && one.numbers < MODEL_EVENTS_MAX - 100; operation++) {
			operate();
			check_all(operation);
		}
		end_walk();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_numbers_are_a_models_after_every_step),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
