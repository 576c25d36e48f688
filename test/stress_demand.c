/* SPDX-License-Identifier: MIT */
/*
 * Warmth that follows demand, with threads: workers are started ahead of need and retired as the load comes and goes,
 * while the clock leaps ahead (as after a suspend), so that minutes of it pass in a moment. Each worker runs one handler
 * at a time, no bound is exceeded, every init has its fini, and when nothing comes any more the target falls to none.
 */
#include "stress.h"

#define THREADS 4
#define FUNCTIONS 3
#define CALLS 150 /* of each thread */
#define SECOND INT64_C(1000000000)

struct scene;

struct state {
	atomic_int busy;
};

struct caller {
	struct scene *scene;
	uint64_t seed, accepted;
};

struct scene {
	faas_runtime *runtime;
	faas_clock *clock;
	struct findings findings;
	faas_function *functions[FUNCTIONS];
	struct caller callers[THREADS];
	_Atomic int64_t leapt;
	atomic_int inits, finis;
	atomic_int inside; /* of the bounded one: inits and handlers */
};

enum { FREE, BOUNDED, PLAIN };

#define BOUND 3

static const char *const names[FUNCTIONS] = {"free", "bounded", "plain"};

static int64_t leaping_clock(void *user)
{
	struct scene *scene = user;

	return monotonic_ns() + atomic_load(&scene->leapt);
}

static bool is_bounded(const faas_context *context)
{
	return strcmp(faas_context_function(context), names[BOUNDED]) == 0;
}

static void enter(struct scene *scene, const faas_context *context)
{
	if (is_bounded(context) && atomic_fetch_add(&scene->inside, 1) >= BOUND)
		find(&scene->findings, "more inits and handlers at once than its concurrency");
}

static void leave(struct scene *scene, const faas_context *context)
{
	if (is_bounded(context))
		atomic_fetch_sub(&scene->inside, 1);
}

static int start(faas_context *context, void **ret_state)
{
	struct scene *scene = faas_context_user(context);

	enter(scene, context);
	*ret_state = calloc(1, sizeof(struct state));
	atomic_fetch_add(&scene->inits, *ret_state != NULL);
	leave(scene, context);
	return *ret_state ? 0 : 1;
}

static void end(void *state, void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->finis, 1);
	free(state);
}

static int handle(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	struct state *worker = faas_context_state(context);
	uint64_t turns = (uint64_t)(uintptr_t)event;

	enter(scene, context);
	if (worker && atomic_fetch_add(&worker->busy, 1) != 0)
		find(&scene->findings, "two handlers on one worker");
	dawdle(&turns);
	if (worker)
		atomic_fetch_sub(&worker->busy, 1);
	leave(scene, context);
	return 0;
}

static void call_while_time_leaps(void *arg)
{
	struct caller *caller = arg;
	struct scene *scene = caller->scene;

	for (int i = 0; i < CALLS; i++) {
		uint64_t burst = 1 + random_below(&caller->seed, 20);

		while (burst-- > 0)
			caller->accepted += faas_function_invoke_async(scene->functions[random_below(&caller->seed, FUNCTIONS)], NULL,
			                                               NULL) == FAAS_OK;
		if (random_below(&caller->seed, 4) == 0)
			atomic_fetch_add(&scene->leapt, (int64_t)random_below(&caller->seed, 2000) * 1000000);
		dawdle(&caller->seed);
	}
}

/* Nothing comes for those that follow demand, and time goes on: what the plain one does keeps the monitor looking. */
static void await_rest(struct scene *scene, uint64_t *accepted)
{
	struct faas_function_stats free_one, bounded;

	do {
		atomic_fetch_add(&scene->leapt, 2 * SECOND);
		/* Not ever more: their times in the queue, by a clock like this, would add up to more than 64 bits hold. */
		for (int i = 0; i < 20 && stats_of(scene->functions[PLAIN]).queued < 20; i++)
			*accepted += faas_function_invoke_async(scene->functions[PLAIN], NULL, NULL) == FAAS_OK;
		sched_yield();
		free_one = stats_of(scene->functions[FREE]);
		bounded = stats_of(scene->functions[BOUNDED]);
		CHECK_BETWEEN(0, BOUND, bounded.warm_target);
	} while (free_one.warm_target > 0 || free_one.warm > 1 || bounded.warm_target > 0 || bounded.warm > 1);
}

static void warmth_follows(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_runtime_stats total;
	uint64_t accepted = 0;
	struct crowd crowd, watchers;
	struct watch watch;

	assert_non_null(scene);
	tally_init(&memory);
	assert_int_equal(FAAS_OK, faas_clock_new(&(faas_clock_config){.struct_size = sizeof(faas_clock_config),
	                                                              .monotonic_ns = leaping_clock,
	                                                              .user = scene},
	                                         &scene->clock));
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(&seed, 3), .clock = scene->clock,
	                                           .allocator = &memory.config));
	for (int f = 0; f < FUNCTIONS; f++) {
		faas_function_config config = {.struct_size = sizeof(config),
		                               .handler = handle,
		                               .user = scene,
		                               .deadline_ms = FAAS_NEVER,
		                               .max_age_ms = FAAS_NEVER,
		                               .init_deadline_ms = FAAS_NEVER};

		if (f != PLAIN) {
			config.init = start;
			config.fini = end;
			config.warm_policy = FAAS_WARM_DEMAND;
		}
		if (f == BOUNDED)
			config.max_concurrency = BOUND;
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		scene->functions[f] = find_function(scene->runtime, names[f]);
	}
	watch_init(&watch, scene->runtime, scene->functions, FUNCTIONS, &scene->findings);
	crowd_init(&crowd);
	crowd_init(&watchers);
	for (int t = 0; t < THREADS; t++) {
		scene->callers[t] = (struct caller){.scene = scene, .seed = stress_fork(&seed)};
		crowd_add(&crowd, call_while_time_leaps, &scene->callers[t]);
	}
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(&crowd);
	crowd_join(&crowd);
	await_rest(scene, &accepted);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
	check_findings(&scene->findings);
	for (int t = 0; t < THREADS; t++)
		accepted += scene->callers[t].accepted;
	total = totals_of(scene->runtime);
	CHECK_EQUAL(accepted, total.total.accepted);
	CHECK_EQUAL(accepted, total.total.succeeded);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->functions[f]);
	close_runtime(scene->runtime, 0);
	CHECK_EQUAL(scene->inits, scene->finis);
	CHECK_BETWEEN(1, INT32_MAX, scene->inits);
	faas_clock_unref(scene->clock);
	tally_check_empty(&memory);
	free(scene);
}

static void demand(void **state)
{
	(void)state;
	stress("demand@leaps", 4, warmth_follows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"demand@workers come and go with the load, within every bound", demand, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress demand", tests, NULL, NULL);
}
