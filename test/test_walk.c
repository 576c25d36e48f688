/* SPDX-License-Identifier: MIT */
/*
 * A random walk through everything that changes the accounts, beside a model that is a few lists and counters. After
 * every step the numbers of every function, past ones included, are compared with the model's. Manual mode.
 *
 * The model does not foretell which function runs next. It foretells which of a function's events that is (the oldest),
 * whether an event is taken, what a handler's end comes to, and every count. Each handler and init draws what it does.
 *
 * FAAS_TEST_SEED repeats a walk, FAAS_TEST_REPEAT sets how many there are.
 */
#include "support_run.h"

#define SLOTS 5        /* names of functions */
#define BINDINGS 12
#define OPERATIONS 1500
#define HANDLES 40
#define QUEUE_MAX 8
#define DEADLINE_MS 10
#define NOBODY (-1)

enum end { SUCCEEDED, FAILED, TIMED_OUT, CANCELLED, DROPPED, ENDS };

/* One registration of a name. Lives until the walk is over. */
struct model {
	struct model *next;
	faas_function *handle;
	int slot;
	int is_registered, is_dropping;
	int max_queue, max_concurrency, provisioned;
	/* the queue: numbers of events, the oldest first */
	int queue[QUEUE_MAX], queued;
	int running, claimed; /* claimed: the number of an event that a synchronous call waits for, or NOBODY */
	uint64_t accepted, rejected_full, rejected_closed, ends[ENDS];
	uint64_t started, inits, init_failures, init_ns, finis, attempt_starts, overruns;
	uint64_t requests, billed_ms, run_ns, run_max_ns;
	int releases;
};

struct handle {
	faas_invocation *invocation; /* NULL: free */
	struct model *model;
	int number;
	int expected; /* its outcome, once it has ended; FAAS_EPENDING before */
};

struct walk {
	struct bed bed;
	uint64_t seed;
	struct model *models;          /* all, the newest first */
	struct model *slots[SLOTS];    /* those registered */
	struct {
		uint64_t id; /* 0: free */
		int slot, type;
	} bindings[BINDINGS];
	struct handle handles[HANDLES];
	int numbers; /* events so far */
	int depth;   /* handlers the walk is inside of */
	uint64_t emitted, unmatched;
	const char *complaint; /* what a handler found wrong */
};

static struct walk *walk;

static const char *const names[SLOTS] = {"ant", "bee", "cat", "dog", "eel"};
static const char *const types[] = {"a.x", "a.y", "b.x"};
static const char *const patterns[] = {"a.x", "a.*", ">", "*.x"};
static const int matches[COUNT_OF(patterns)][COUNT_OF(types)] = {{1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1}};

static uint64_t draw(uint64_t bound)
{
	return random_below(&walk->seed, bound);
}

static void complain(int is_wrong, const char *what)
{
	if (is_wrong && !walk->complaint)
		walk->complaint = what;
}

/* ---- The model ------------------------------------------------------------------------------------------------------- */

static void remember_end(struct model *model, int number, int outcome)
{
	for (int i = 0; i < HANDLES; i++)
		if (walk->handles[i].invocation && walk->handles[i].model == model && walk->handles[i].number == number)
			walk->handles[i].expected = outcome;
}

static int queue_find(const struct model *model, int number)
{
	for (int i = 0; i < model->queued; i++)
		if (model->queue[i] == number)
			return i;
	return NOBODY;
}

static void queue_remove(struct model *model, int at)
{
	memmove(&model->queue[at], &model->queue[at + 1], sizeof(model->queue[0]) * (size_t)(model->queued - at - 1));
	model->queued--;
}

static void end_queued(struct model *model, int at, enum end end, int outcome)
{
	remember_end(model, model->queue[at], outcome);
	queue_remove(model, at);
	model->ends[end]++;
}

/* Whether the function takes one more event, and what that does. */
static int admit(struct model *model, int number)
{
	if (!model->is_registered) {
		model->rejected_closed++;
		return FAAS_ENOTFOUND;
	}
	if (model->queued == model->max_queue && !model->is_dropping) {
		model->rejected_full++;
		return FAAS_EFULL;
	}
	if (model->queued == model->max_queue)
		end_queued(model, 0, DROPPED, FAAS_EDROPPED);
	model->queue[model->queued++] = number;
	model->accepted++;
	return FAAS_OK;
}

/* ---- What functions do ----------------------------------------------------------------------------------------------- */

static void operate(void);
static void emit(void);
static void invoke_async(void);
static void invoke(void);
static void cancel(void);
static void unregister(int slot);

static void pass_time(int64_t ns)
{
	complain(faas_clock_advance(walk->bed.clock, ns) != FAAS_OK, "the clock stood still");
}

/* An init draws whether it works. One for an event takes that event's end, if it does not. */
static int walk_init(faas_context *context, void **ret_state)
{
	struct model *model = faas_context_user(context);
	int64_t took = draw(4) == 0 ? (int64_t)draw(25) * MS : 0;
	int fails = draw(8) == 0;
	struct faas_function_stats before = peek(faas_context_runtime(context), names[model->slot]);

	pass_time(took);
	model->init_ns += (uint64_t)took;
	*ret_state = model;
	if (fails || took >= DEADLINE_MS * MS)
		model->init_failures++;
	if (!fails)
		model->inits++;
	model->overruns += took >= DEADLINE_MS * MS;
	/* Without provisioned workers each init is for an event: the one waited for, or the oldest. */
	if (model->provisioned == 0) {
		int at = model->claimed != NOBODY ? queue_find(model, model->claimed) : 0;

		model->attempt_starts++;
		complain(at == NOBODY || model->queued == 0, "an init for no event");
		complain(before.starting == 0, "an init that is not starting");
		if ((fails || took >= DEADLINE_MS * MS) && at != NOBODY && model->queued > 0)
			end_queued(model, at, FAILED, FAAS_EINIT);
	}
	return fails;
}

static void walk_fini(void *state, void *user)
{
	struct model *model = user;

	model->finis++;
	complain(state != model, "a fini of another function's state");
	complain(model->finis > model->inits, "a fini too many");
}

static void walk_release(void *user)
{
	struct model *model = user;

	model->releases++;
	complain(model->is_registered || model->running > 0 || model->inits != model->finis, "a release too early");
}

static void act_inside(void)
{
	switch (draw(6)) {
	case 0:
		emit();
		break;
	case 1:
		invoke_async();
		break;
	case 2:
		if (walk->depth < 4)
			invoke();
		break;
	case 3:
		cancel();
		break;
	default:
		break;
	}
}

static void end_attempt(struct model *model, int number, int64_t run_ns, int result)
{
	const int64_t deadline = DEADLINE_MS * MS;

	model->running--;
	model->overruns += run_ns >= deadline;
	if (run_ns >= deadline) {
		run_ns = deadline;
		model->ends[TIMED_OUT]++;
		remember_end(model, number, FAAS_ETIMEDOUT);
	} else {
		model->ends[result == 0 ? SUCCEEDED : FAILED]++;
		remember_end(model, number, result == 0 ? FAAS_OK : FAAS_EFAILED);
	}
	model->requests++;
	model->billed_ms += (uint64_t)((run_ns + MS - 1) / MS);
	model->run_ns += (uint64_t)run_ns;
	if ((uint64_t)run_ns > model->run_max_ns)
		model->run_max_ns = (uint64_t)run_ns;
}

static int walk_handler(faas_context *context, const faas_event *event)
{
	struct model *model = faas_context_user(context);
	int64_t began = faas_clock_now(walk->bed.clock);
	int number, at, result;

	memcpy(&number, faas_event_data(event, NULL), sizeof(number));
	complain(faas_context_state(context) != model, "a worker of another function");
	at = queue_find(model, number);
	complain(at == NOBODY, "an event that was not queued");
	complain(number != model->claimed && at != 0, "not the oldest event");
	if (at != NOBODY)
		queue_remove(model, at);
	model->claimed = NOBODY;
	model->running++;
	model->started++;
	complain(model->max_concurrency > 0 && model->running > model->max_concurrency, "too many at once");
	walk->depth++;
	if (draw(3) == 0)
		pass_time((int64_t)draw(13 * MS));
	if (draw(2) == 0)
		act_inside();
	if (draw(40) == 0 && model->is_registered)
		unregister(model->slot);
	if (draw(4) == 0)
		(void)faas_context_reply(context, "answer", 6, NULL);
	walk->depth--;
	result = draw(3) == 0 ? (int)draw(5) - 2 : 0;
	end_attempt(model, number, faas_clock_now(walk->bed.clock) - began, result);
	return result;
}

/* ---- Operations ------------------------------------------------------------------------------------------------------ */

static void register_one(int slot)
{
	struct model *model = calloc(1, sizeof(*model));
	faas_function_config config = *FAAS_FUNCTION(.handler = walk_handler, .init = walk_init, .fini = walk_fini,
	                                             .release = walk_release, .user = model, .deadline_ms = DEADLINE_MS,
	                                             .init_deadline_ms = DEADLINE_MS, .init_backoff_ms = 5);

	if (!model)
		abort();
	model->slot = slot;
	model->max_queue = 1 + (int)draw(QUEUE_MAX);
	model->is_dropping = draw(3) == 0;
	model->max_concurrency = (int)draw(3);
	model->provisioned = draw(4) == 0 && model->max_concurrency != 1 ? 1 + (int)draw(2) : 0;
	model->claimed = NOBODY;
	config.queue_events = model->max_queue;
	config.queue_full = model->is_dropping ? FAAS_FULL_DROP_OLDEST : FAAS_FULL_REJECT;
	config.max_concurrency = model->max_concurrency;
	config.provisioned = model->provisioned;
	config.keep_warm_ms = draw(3) == 0 ? FAAS_NEVER : 1 + (int64_t)draw(100);
	config.weight = (int32_t)draw(1001);
	complain(faas_register_function(walk->bed.runtime, names[slot], &config) != FAAS_OK, "register failed");
	complain(faas_function_find(walk->bed.runtime, names[slot], &model->handle) != FAAS_OK, "find failed");
	model->is_registered = 1;
	model->next = walk->models;
	walk->models = model;
	walk->slots[slot] = model;
}

static void unregister(int slot)
{
	struct model *model = walk->slots[slot];

	/* What a synchronous call waits for is still queued, and is cancelled like the rest. */
	while (model->queued > 0)
		end_queued(model, 0, CANCELLED, FAAS_ECANCELLED);
	model->is_registered = 0;
	walk->slots[slot] = NULL;
	for (int i = 0; i < BINDINGS; i++)
		if (walk->bindings[i].id != 0 && walk->bindings[i].slot == slot)
			walk->bindings[i].id = 0;
	complain(faas_unregister_function(walk->bed.runtime, names[slot]) != FAAS_OK, "unregister failed");
}

static void register_or_unregister(void)
{
	int slot = (int)draw(SLOTS);

	if (!walk->slots[slot])
		register_one(slot);
	else if (draw(3) == 0)
		unregister(slot);
}

static void bind_or_unbind(void)
{
	int i = (int)draw(BINDINGS), slot = (int)draw(SLOTS);

	if (walk->bindings[i].id != 0) {
		complain(faas_unbind(walk->bed.runtime, walk->bindings[i].id) != FAAS_OK, "unbind failed");
		walk->bindings[i].id = 0;
		return;
	}
	if (!walk->slots[slot])
		return;
	walk->bindings[i].slot = slot;
	walk->bindings[i].type = (int)draw(COUNT_OF(patterns));
	complain(faas_bind(walk->bed.runtime,
	                   FAAS_BINDING(.pattern = patterns[walk->bindings[i].type], .function = names[slot]),
	                   &walk->bindings[i].id) != FAAS_OK, "bind failed");
}

static int is_bound(int slot, int type)
{
	for (int i = 0; i < BINDINGS; i++)
		if (walk->bindings[i].id != 0 && walk->bindings[i].slot == slot && matches[walk->bindings[i].type][type])
			return 1;
	return 0;
}

static void emit(void)
{
	int type = (int)draw(COUNT_OF(types)), number = walk->numbers++, taken = 0, refused = 0, code;
	faas_emission *emission = NULL;

	for (int slot = 0; slot < SLOTS; slot++) {
		if (!walk->slots[slot] || !is_bound(slot, type))
			continue;
		if (admit(walk->slots[slot], number) == FAAS_OK)
			taken++;
		else
			refused++;
	}
	code = faas_emit_event(walk->bed.runtime,
	                       FAAS_EVENT(.type = types[type], .data = &number, .data_bytes = sizeof(number)),
	                       draw(3) == 0 ? &emission : NULL);
	if (emission)
		complain(faas_emission_count(emission) != taken + refused, "an emission of another size");
	faas_emission_unref(emission);
	complain(code != (taken == 0 && refused > 0 ? FAAS_EFULL : taken), "an emit was taken by others than expected");
	walk->emitted++;
	walk->unmatched += taken + refused == 0;
}

static void invoke_async(void)
{
	int slot = (int)draw(SLOTS), number = walk->numbers++, expected = FAAS_ENOTFOUND, i = (int)draw(HANDLES);
	struct model *model = walk->slots[slot];
	const faas_event_config *event = FAAS_EVENT(.data = &number, .data_bytes = sizeof(number));
	faas_invocation *invocation = NULL;

	if (model)
		expected = admit(model, number);
	complain(faas_invoke_async(walk->bed.runtime, names[slot], event,
	                           walk->handles[i].invocation ? NULL : &invocation) != expected,
	         "an invocation was taken or refused unexpectedly");
	if (invocation)
		walk->handles[i] = (struct handle){.invocation = invocation, .model = model, .number = number,
		                                   .expected = FAAS_EPENDING};
}

/* The call's own code must agree with what the model says its event has come to. */
static void invoke(void)
{
	int slot = (int)draw(SLOTS), number = walk->numbers++, code, at, i;
	struct model *model = walk->slots[slot];
	struct handle *handle;
	faas_invocation *invocation = NULL;

	for (i = 0; i < HANDLES && walk->handles[i].invocation; i++)
		continue;
	if (!model || i == HANDLES || model->queued == model->max_queue)
		return;
	handle = &walk->handles[i];
	(void)admit(model, number);
	/* The walk finds the handle by its model and number; the invocation is known when the call has returned. */
	*handle = (struct handle){.invocation = (faas_invocation *)(void *)walk, .model = model, .number = number,
	                          .expected = FAAS_EPENDING};
	/* Inside a handler the thread runs this very event; outside it runs whatever comes before. */
	if (walk->depth > 0)
		model->claimed = number;
	code = faas_invoke(walk->bed.runtime, names[slot], FAAS_EVENT(.data = &number, .data_bytes = sizeof(number)), 0,
	                   &invocation);
	if (walk->depth > 0)
		model->claimed = NOBODY;
	at = queue_find(model, number);
	if (at != NOBODY) {
		complain(code != FAAS_EAGAIN && code != FAAS_EDEADLK && code != FAAS_ETIMEDOUT, "an invoke gave up without reason");
		if (code == FAAS_ETIMEDOUT)
			complain(faas_invocation_status(invocation) != FAAS_STATUS_EXPIRED, "an unrun event timed out");
		end_queued(model, at, CANCELLED, FAAS_ECANCELLED);
	} else {
		complain(code != handle->expected, "an invoke ended unexpectedly");
	}
	handle->invocation = NULL;
	faas_invocation_unref(invocation);
}

static void cancel(void)
{
	struct handle *handle = &walk->handles[draw(HANDLES)];
	int at;

	if (!handle->invocation || handle->invocation == (faas_invocation *)(void *)walk)
		return;
	at = queue_find(handle->model, handle->number);
	if (at != NOBODY) {
		complain(faas_invocation_cancel(handle->invocation) != FAAS_OK, "a cancel of a queued event failed");
		end_queued(handle->model, at, CANCELLED, FAAS_ECANCELLED);
	} else if (handle->expected != FAAS_EPENDING) {
		complain(faas_invocation_cancel(handle->invocation) != FAAS_ESTATE, "a settled event was cancelled");
		complain(faas_invocation_outcome(handle->invocation) != handle->expected, "an event ended unexpectedly");
		faas_invocation_unref(handle->invocation);
		handle->invocation = NULL;
	}
}

static void operate(void)
{
	uint64_t choice = draw(20);

	if (choice < 2)
		register_or_unregister();
	else if (choice < 4)
		bind_or_unbind();
	else if (choice < 8)
		emit();
	else if (choice < 10)
		invoke_async();
	else if (choice < 11)
		invoke();
	else if (choice < 13)
		cancel();
	else if (choice < 15)
		pass_time((int64_t)draw(20 * MS));
	else
		complain(faas_run(walk->bed.runtime, 1) < 0, "a step failed");
}
