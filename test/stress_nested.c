/* SPDX-License-Identifier: MIT */
/*
 * Handlers that invoke, emit and wait, on pools of one, two and four threads that cannot grow, while host threads flood
 * the same functions: what a handler waits for stands in queues, in other threads' batches, or runs elsewhere already.
 * Every tree of calls must come to its sum; one thread suffices.
 */
#include "stress.h"

#define CALLERS 4
#define CALLS 40 /* of each */
#define FLOODERS 2
#define FLOOD 400

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	faas_function *leaf;
	atomic_ullong leaves, flooded;
	struct caller {
		struct scene *scene;
		uint64_t seed;
	} callers[CALLERS + FLOODERS];
};

/* What a call's data says. */
struct order {
	int64_t depth, fan;
	uint64_t seed;
	faas_invocation *awaited; /* `join` only: one reference is the handler's */
};

static int reply_number(faas_context *context, int64_t number)
{
	return faas_context_reply(context, &number, sizeof(number), NULL) == FAAS_OK ? 0 : 1;
}

/* The number that an invocation answered; a finding if it did not. */
static int64_t number_of(struct findings *findings, const faas_invocation *invocation)
{
	const void *data = NULL;
	uint64_t bytes = 0;
	int64_t number = 0;
	int code = faas_invocation_answer(invocation, &data, &bytes, NULL);

	if (code != FAAS_OK || bytes != sizeof(number)) {
		find(findings, "%s has no number: %s", faas_invocation_function(invocation), faas_error_name(code));
		return 0;
	}
	memcpy(&number, data, sizeof(number));
	return number;
}

static struct order order_of(const faas_event *event)
{
	struct order order = {0};
	uint64_t bytes;
	const void *data = faas_event_data(event, &bytes);

	if (bytes == sizeof(order))
		memcpy(&order, data, sizeof(order));
	return order;
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static int leaf(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->leaves, 1);
	return reply_number(context, 1);
}

static int64_t await_number(struct scene *scene, faas_invocation *invocation, int code)
{
	int64_t number = 0;

	if (code == FAAS_OK)
		code = faas_invocation_wait(invocation, FAAS_NEVER);
	if (code == FAAS_OK)
		number = number_of(&scene->findings, invocation);
	else
		find(&scene->findings, "a nested call: %s", faas_error_name(code));
	faas_invocation_unref(invocation);
	return number;
}

/* All children are invoked first, then awaited, in whatever order. */
static int64_t call_together(struct scene *scene, faas_context *context, const char *function,
                             const faas_event_config *event, int64_t fan, uint64_t *seed)
{
	faas_invocation *children[4] = {NULL};
	int codes[4];
	int64_t sum = 0;

	for (int64_t i = 0; i < fan; i++)
		codes[i] = faas_context_invoke_async(context, function, event, &children[i]);
	if (random_below(seed, 2) == 0)
		for (int64_t i = fan - 1; i >= 0; i--)
			sum += await_number(scene, children[i], codes[i]);
	else
		for (int64_t i = 0; i < fan; i++)
			sum += await_number(scene, children[i], codes[i]);
	return sum;
}

static int64_t call_one_by_one(struct scene *scene, faas_context *context, const char *function,
                               const faas_event_config *event, int64_t fan)
{
	int64_t sum = 0;

	for (int64_t i = 0; i < fan; i++) {
		faas_invocation *child = NULL;
		int code = faas_context_invoke(context, function, event, 0, &child);

		sum += await_number(scene, child, code);
	}
	return sum;
}

/* `leaves` is bound once to each of the two functions that count as leaves, so an event makes two. */
static int64_t emit_leaves(struct scene *scene, faas_context *context)
{
	faas_emission *emission = NULL;
	int taken = faas_context_emit_event(context, FAAS_EVENT(.type = "leaves"), &emission), code;
	int64_t sum = 0;

	code = taken == 2 ? faas_emission_wait(emission, FAAS_NEVER) : taken;
	if (code != FAAS_OK)
		find(&scene->findings, "an emission in a handler: %s", faas_error_name(code));
	for (int i = 0; code == FAAS_OK && i < 2; i++) {
		struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

		if (faas_emission_entry(emission, i, &entry) == FAAS_OK)
			sum += number_of(&scene->findings, entry.invocation);
	}
	faas_emission_unref(emission);
	return sum;
}

/* fan ^ depth leaves in all. */
static int tree(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	struct order order = order_of(event);
	struct order below = {.depth = order.depth - 1, .fan = order.fan, .seed = random_below(&order.seed, UINT64_MAX)};
	const faas_event_config config = {.struct_size = sizeof(config), .data = &below, .data_bytes = sizeof(below)};
	const char *function = order.depth == 1 ? "leaf" : random_below(&order.seed, 2) ? "tree" : "twig";

	if (order.depth == 0)
		return reply_number(context, 1);
	if (order.depth == 1 && order.fan == 2 && random_below(&order.seed, 2) == 0)
		return reply_number(context, emit_leaves(scene, context));
	if (random_below(&order.seed, 2) == 0)
		return reply_number(context, call_together(scene, context, function, &config, order.fan, &order.seed));
	return reply_number(context, call_one_by_one(scene, context, function, &config, order.fan));
}

/* One call in another, `depth` times; the number of those that ran, this one included. */
static int chain(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	struct order order = order_of(event);
	struct order below = {.depth = order.depth - 1};
	faas_invocation *next = NULL;
	int64_t ran = 1;
	int code;

	if (order.depth == 0)
		return reply_number(context, 1);
	code = faas_context_invoke(context, "chain", FAAS_EVENT(.data = &below, .data_bytes = sizeof(below)), 0, &next);
	if (code == FAAS_OK)
		ran += number_of(&scene->findings, next);
	else if (code != FAAS_ELOOP || next)
		find(&scene->findings, "a link of a chain: %s", faas_error_name(code));
	faas_invocation_unref(next);
	return reply_number(context, ran);
}

/* Waits for what somebody else invoked. */
static int join(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	struct order order = order_of(event);

	return reply_number(context, await_number(scene, order.awaited, FAAS_OK));
}

/* ---- Calls from outside ------------------------------------------------------------------------------------------ */

static void call_tree(struct caller *caller)
{
	struct scene *scene = caller->scene;
	struct order order = {.depth = 1 + (int64_t)random_below(&caller->seed, 4),
	                      .fan = 1 + (int64_t)random_below(&caller->seed, 3),
	                      .seed = stress_fork(&caller->seed)};
	faas_invocation *invocation = NULL;
	int64_t wanted = 1, got;
	int code;

	for (int64_t i = 0; i < order.depth; i++)
		wanted *= order.fan;
	code = faas_invoke(scene->runtime, "tree", FAAS_EVENT(.data = &order, .data_bytes = sizeof(order)), 0, &invocation);
	got = await_number(scene, invocation, code);
	if (got != wanted)
		find(&scene->findings, "a tree of %lld leaves has %lld", (long long)wanted, (long long)got);
}

static void call_chain(struct caller *caller)
{
	struct scene *scene = caller->scene;
	struct order order = {.depth = (int64_t)random_below(&caller->seed, FAAS_MAX_HOPS + 3)};
	int64_t wanted = (order.depth < FAAS_MAX_HOPS ? order.depth : FAAS_MAX_HOPS) + 1, got;
	faas_invocation *invocation = NULL;
	int code =
		faas_invoke(scene->runtime, "chain", FAAS_EVENT(.data = &order, .data_bytes = sizeof(order)), 0, &invocation);

	got = await_number(scene, invocation, code);
	if (got != wanted)
		find(&scene->findings, "a chain of %lld has %lld links", (long long)wanted, (long long)got);
}

/* A handler and this thread wait for the same invocation. */
static void call_join(struct caller *caller)
{
	struct scene *scene = caller->scene;
	struct order order = {0};
	faas_invocation *awaited = NULL, *joined = NULL;
	int code = faas_function_invoke_async(scene->leaf, NULL, &awaited);

	if (code != FAAS_OK) {
		find(&scene->findings, "a leaf was refused: %s", faas_error_name(code));
		return;
	}
	order.awaited = faas_invocation_ref(awaited);
	code = faas_invoke_async(scene->runtime, "join", FAAS_EVENT(.data = &order, .data_bytes = sizeof(order)), &joined);
	if (code != FAAS_OK)
		faas_invocation_unref(awaited);
	if (await_number(scene, awaited, FAAS_OK) != 1 || await_number(scene, joined, code) != 1)
		find(&scene->findings, "two that waited for one leaf");
}

static void call(void *arg)
{
	struct caller *caller = arg;

	for (int i = 0; i < CALLS; i++) {
		switch (random_below(&caller->seed, 4)) {
		case 0:
			call_chain(caller);
			break;
		case 1:
			call_join(caller);
			break;
		default:
			call_tree(caller);
			break;
		}
	}
}

static void flood(void *arg)
{
	struct caller *caller = arg;

	for (int i = 0; i < FLOOD; i++) {
		if (faas_function_invoke_async(caller->scene->leaf, NULL, NULL) == FAAS_OK)
			atomic_fetch_add(&caller->scene->flooded, 1);
		if (random_below(&caller->seed, 8) == 0)
			dawdle(&caller->seed);
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void build(struct scene *scene, int32_t threads, const struct tally_memory *memory)
{
	static const struct {
		const char *name;
		faas_handler_fn *handler;
	} functions[] = {{"leaf", leaf}, {"leaf2", leaf}, {"tree", tree}, {"twig", tree}, {"chain", chain}, {"join", join}};

	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = threads, .max_threads = threads, .allocator = &memory->config));
	for (size_t i = 0; i < COUNT_OF(functions); i++)
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, functions[i].name,
		                                                 ONCE(.handler = functions[i].handler, .user = scene,
		                                                               .deadline_ms = FAAS_NEVER)));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
			FAAS_OK, faas_bind(scene->runtime, FAAS_BINDING(.pattern = "leaves", .function = functions[i].name), NULL));
	scene->leaf = find_function(scene->runtime, "leaf");
}

static void nest_on(int32_t threads, uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct faas_runtime_stats total;
	static struct tally_memory memory;
	struct crowd crowd;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, threads, &memory);
	crowd_init(&crowd);
	for (int i = 0; i < CALLERS + FLOODERS; i++) {
		scene->callers[i] = (struct caller){.scene = scene, .seed = stress_fork(&seed)};
		crowd_add(&crowd, i < CALLERS ? call : flood, &scene->callers[i]);
	}
	crowd_start(&crowd);
	crowd_join(&crowd);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	check_findings(&scene->findings);
	total = totals_of(scene->runtime);
	CHECK_EQUAL(FLOODERS * FLOOD, scene->flooded);
	CHECK_EQUAL(total.total.accepted, total.total.succeeded);
	CHECK_BETWEEN(1, threads, total.threads_peak);
	faas_function_unref(scene->leaf);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	free(scene);
}

static void on_one_thread(uint64_t seed)
{
	nest_on(1, seed);
}

static void on_two_threads(uint64_t seed)
{
	nest_on(2, seed);
}

static void on_four_threads(uint64_t seed)
{
	nest_on(4, seed);
}

static void one_thread(void **state)
{
	(void)state;
	stress("nested@one", 20, on_one_thread);
}

static void two_threads(void **state)
{
	(void)state;
	stress("nested@two", 20, on_two_threads);
}

static void four_threads(void **state)
{
	(void)state;
	stress("nested@four", 20, on_four_threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"nested@one thread: every tree of calls comes to its sum", one_thread, NULL, NULL, NULL},
		{"nested@two threads: every tree of calls comes to its sum", two_threads, NULL, NULL, NULL},
		{"nested@four threads: every tree of calls comes to its sum", four_threads, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress nested", tests, NULL, NULL);
}
