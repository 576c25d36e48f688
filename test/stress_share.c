/* SPDX-License-Identifier: MIT */
/*
 * Concurrency that functions share: the bounds of the functions, the bound of the runtime, and what of it is reserved,
 * under bursts from sixteen threads, with overruns, retries, deferrals, cancels, short queues and refused memory.
 * Counts kept inside the handlers show that no bound is exceeded, not for an instant; and everything ends, so nobody
 * who waited for a slot was forgotten.
 */
#include "stress.h"

#define THREADS 16
#define FUNCTIONS 6
#define CALLS 100 /* of each thread */
#define COMPLETERS 2
#define TOKENS 4096
#define PATIENCE_MS 60000 /* what takes longer hangs */

struct scene;

struct target {
	struct scene *scene;
	faas_function *handle;
	int limit; /* its max_concurrency; 0: none */
	int reserved;
	int inside;  /* under scene.mutex */
	bool defers; /* all of its handlers do, and nothing else ends them: they count until they are completed */
	atomic_ullong runs;
};

struct token {
	faas_deferral *deferral;
	struct target *target;
};

struct caller {
	struct scene *scene;
	uint64_t seed, accepted;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct target targets[FUNCTIONS];
	struct caller callers[THREADS];
	struct caller completers[COMPLETERS];
	pthread_mutex_t mutex;
	int most;         /* fixed: over all functions */
	int reserved;     /* fixed: of it */
	int inside, peak; /* under mutex, like the rest */
	struct token tokens[TOKENS];
	int token_count;
	atomic_ullong nested;
	atomic_int is_quiet; /* nobody calls any more */
	atomic_int is_over;
	bool is_reserved_changing;
};

static const char *const names[FUNCTIONS] = {"reserves_two", "reserves_one", "free", "narrow", "inline", "defers"};

/* ---- Counting ---------------------------------------------------------------------------------------------------- */

static void go_in(struct target *target)
{
	struct scene *scene = target->scene;
	int beyond = 0;

	pthread_mutex_lock(&scene->mutex);
	target->inside++;
	scene->inside++;
	if (scene->inside > scene->peak)
		scene->peak = scene->inside;
	if (target->limit > 0 && target->inside > target->limit)
		find(&scene->findings, "%d at once, where the function lets %d", target->inside, target->limit);
	if (scene->inside > scene->most)
		find(&scene->findings, "%d at once, where the runtime lets %d", scene->inside, scene->most);
	for (int f = 0; f < FUNCTIONS; f++)
		beyond += scene->targets[f].inside > scene->targets[f].reserved
		              ? scene->targets[f].inside - scene->targets[f].reserved
		              : 0;
	if (beyond > scene->most - scene->reserved && !scene->is_reserved_changing)
		find(&scene->findings, "%d at once beyond what is reserved, where %d may be", beyond,
		     scene->most - scene->reserved);
	pthread_mutex_unlock(&scene->mutex);
}

static void go_out(struct target *target)
{
	pthread_mutex_lock(&target->scene->mutex);
	target->inside--;
	target->scene->inside--;
	pthread_mutex_unlock(&target->scene->mutex);
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static int put_off(struct target *target, faas_context *context)
{
	struct scene *scene = target->scene;
	struct token token = {.target = target};

	if (faas_context_defer(context, &token.deferral) != FAAS_OK) {
		/* No memory for it. */
		go_out(target);
		return 0;
	}
	pthread_mutex_lock(&scene->mutex);
	if (scene->token_count < TOKENS)
		scene->tokens[scene->token_count++] = token;
	else
		find(&scene->findings, "too many deferrals at once");
	pthread_mutex_unlock(&scene->mutex);
	return 0;
}

static void complete_until_over(void *arg)
{
	struct caller *caller = arg;
	struct scene *scene = caller->scene;

	for (;;) {
		bool is_over = atomic_load(&scene->is_over) != 0;
		struct token token = {0};

		pthread_mutex_lock(&scene->mutex);
		if (scene->token_count > 0)
			token = scene->tokens[--scene->token_count];
		pthread_mutex_unlock(&scene->mutex);
		if (token.deferral) {
			dawdle(&caller->seed);
			go_out(token.target);
			if (random_below(&caller->seed, 4) > 0 && faas_complete(token.deferral, NULL, 0, NULL) != FAAS_OK)
				find(&scene->findings, "a completion does not count");
			faas_deferral_unref(token.deferral);
		} else if (is_over) {
			return;
		} else {
			sched_yield();
		}
	}
}

static void nest(struct target *target, faas_context *context, uint64_t *seed)
{
	faas_invocation *invocation = NULL;
	int code;

	if (random_below(seed, 2) == 0)
		code = faas_context_invoke(context, names[random_below(seed, FUNCTIONS - 1)], NULL, 2, &invocation);
	else
		code = faas_context_invoke_async(context, names[random_below(seed, FUNCTIONS)], NULL, &invocation);
	(void)code;
	atomic_fetch_add(&target->scene->nested, invocation != NULL);
	faas_invocation_unref(invocation);
}

static int handle(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	uint64_t seed = atomic_fetch_add(&target->runs, 1) * 6151;
	int result = 0;

	(void)event;
	go_in(target);
	dawdle(&seed);
	if (target->defers)
		return put_off(target, context);
	switch (random_below(&seed, 24)) {
	case 0:
		while (!faas_context_is_cancelled(context))
			sched_yield();
		dawdle(&seed);
		break;
	case 1:
	case 2:
		result = 1;
		break;
	case 3:
		nest(target, context, &seed);
		break;
	default:
		break;
	}
	go_out(target);
	return result;
}

static int init(faas_context *context, void **ret_state)
{
	struct target *target = faas_context_user(context);
	uint64_t seed = atomic_load(&target->runs);

	go_in(target);
	dawdle(&seed);
	*ret_state = target;
	go_out(target);
	return random_below(&seed, 8) == 0;
}

/* ---- Bursts ------------------------------------------------------------------------------------------------------ */

static void call_once(struct caller *caller)
{
	struct target *target = &caller->scene->targets[random_below(&caller->seed, FUNCTIONS)];
	faas_invocation *invocation = NULL;
	int code;

	switch (random_below(&caller->seed, 5)) {
	case 0:
		(void)faas_function_invoke(target->handle, NULL,
		                           target->defers ? FAAS_NEVER : 1 + (int64_t)random_below(&caller->seed, 4),
		                           &invocation);
		code = invocation ? FAAS_OK : FAAS_EFULL;
		break;
	case 1:
		code = faas_function_invoke_async(target->handle, NULL, &invocation);
		if (code == FAAS_OK && !target->defers && random_below(&caller->seed, 2) == 0)
			(void)faas_invocation_cancel(invocation);
		break;
	default:
		code = faas_function_invoke_async(target->handle, NULL, NULL);
		break;
	}
	caller->accepted += code == FAAS_OK;
	faas_invocation_unref(invocation);
}

static void call_in_bursts(void *arg)
{
	struct caller *caller = arg;

	for (int i = 0; i < CALLS; i++) {
		call_once(caller);
		if (random_below(&caller->seed, 24) == 0)
			for (uint64_t k = random_below(&caller->seed, 20); k > 0; k--)
				sched_yield();
		if (random_below(&caller->seed, 400) == 0) {
			struct target *target = &caller->scene->targets[random_below(&caller->seed, FUNCTIONS - 1)];

			(void)faas_function_cancel_all(target->handle);
		}
	}
}

/* Reserves, uses and gives back a part of what others want. */
static void reserve_and_leave(void *arg)
{
	struct scene *scene = arg;
	uint64_t seed = (uint64_t)scene->most;

	while (!atomic_load(&scene->is_quiet)) {
		faas_function_config config = {.struct_size = sizeof(config),
		                               .handler = nothing_handler,
		                               .reserved_concurrency = 1 + (int32_t)random_below(&seed, 2)};
		int code = faas_register_function(scene->runtime, "guest", &config);

		if (code == FAAS_OK) {
			for (int i = 0; i < 5; i++)
				(void)faas_invoke_async(scene->runtime, "guest", NULL, NULL);
			dawdle(&seed);
			if (faas_unregister_function(scene->runtime, "guest") != FAAS_OK)
				find(&scene->findings, "a guest cannot leave");
		} else if (code != FAAS_ERESERVED && code != FAAS_ENOMEM) {
			find(&scene->findings, "a guest: %s", faas_error_name(code));
		}
		sched_yield();
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	static const int reserved[FUNCTIONS] = {2, 1, 0, 0, 0, 0};
	static const int limits[FUNCTIONS] = {4, 0, 0, 2, 0, 0};

	scene->most = 4 + (int)random_below(seed, 3);
	scene->reserved = 3;
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 6), .max_concurrency = scene->most,
	                              .queue_events = random_below(seed, 3) == 0 ? 40 : 0, .allocator = &memory->config));
	/* Inits of the first may run before the last is registered. */
	for (int f = 0; f < FUNCTIONS; f++) {
		scene->targets[f].scene = scene;
		scene->targets[f].limit = limits[f];
		scene->targets[f].reserved = reserved[f];
		scene->targets[f].defers = f == 5;
	}
	for (int f = 0; f < FUNCTIONS; f++) {
		struct target *target = &scene->targets[f];
		faas_function_config config = {.struct_size = sizeof(config),
		                               .handler = handle,
		                               .user = target,
		                               .attempts = 1 + (int32_t)random_below(seed, 3),
		                               .deadline_ms = 1 + (int64_t)random_below(seed, 3),
		                               .backoff_ms = random_below(seed, 2) ? FAAS_NONE : 1,
		                               .init_backoff_ms = FAAS_NONE,
		                               .dead_letters = 10,
		                               .max_concurrency = limits[f],
		                               .reserved_concurrency = reserved[f]};

		if (f == 1 || f == 2) {
			config.init = init;
			config.keep_warm_ms = 1;
			config.provisioned = (int32_t)random_below(seed, 2);
		}
		if (f == 2 && random_below(seed, 2) == 0) {
			config.queue_events = 4;
			config.queue_full = FAAS_FULL_DROP_OLDEST;
		}
		if (f == 3 && random_below(seed, 2) == 0)
			config.rate_per_s = 20000;
		if (f == 4)
			config.flags = FAAS_FUNCTION_INLINE;
		if (f == 5)
			config.deadline_ms = FAAS_NEVER;
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		target->handle = find_function(scene->runtime, names[f]);
	}
}

static void check_all(struct scene *scene)
{
	struct faas_runtime_stats total = totals_of(scene->runtime);
	uint64_t accepted = 0;

	for (int t = 0; t < THREADS; t++)
		accepted += scene->callers[t].accepted;
	CHECK_EQUAL(total.total.accepted, settled_of(&total.total));
	CHECK_EQUAL(0, scene->inside);
	CHECK_BETWEEN(1, scene->most, scene->peak);
	if (!scene->is_reserved_changing)
		CHECK_EQUAL(accepted + scene->nested, total.total.accepted);
	for (int f = 0; f < FUNCTIONS; f++) {
		struct faas_function_stats stats = stats_of(scene->targets[f].handle);

		CHECK_EQUAL(stats.accepted, settled_of(&stats));
		CHECK_EQUAL(0, stats.queued_bytes);
	}
}

static void run(uint64_t seed, bool changes, bool refuses)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	faas_function *handles[FUNCTIONS];
	static struct tally_memory memory;
	struct crowd guests;
	struct play play;
	int code;

	assert_non_null(scene);
	tally_init(&memory);
	assert_int_equal(0, pthread_mutex_init(&scene->mutex, NULL));
	scene->is_reserved_changing = changes;
	build(scene, &memory, &seed);
	for (int f = 0; f < FUNCTIONS; f++)
		handles[f] = scene->targets[f].handle;
	play_init(&play, scene->runtime, handles, FUNCTIONS, &scene->findings);
	crowd_init(&guests);
	for (int t = 0; t < THREADS; t++) {
		scene->callers[t].scene = scene;
		scene->callers[t].seed = stress_fork(&seed);
		crowd_add(&play.actors, call_in_bursts, &scene->callers[t]);
	}
	for (int t = 0; t < COMPLETERS; t++) {
		scene->completers[t].scene = scene;
		scene->completers[t].seed = stress_fork(&seed);
		crowd_add(&play.others, complete_until_over, &scene->completers[t]);
	}
	if (changes)
		crowd_add(&guests, reserve_and_leave, scene);
	atomic_store(&memory.chance, refuses ? 20 : 0);
	crowd_start(&play.others);
	if (changes)
		crowd_start(&guests);
	crowd_start(&play.actors);
	crowd_join(&play.actors);
	atomic_store(&scene->is_quiet, 1);
	if (changes)
		crowd_join(&guests);
	atomic_store(&memory.chance, 0);
	code = faas_drain(scene->runtime, PATIENCE_MS);
	if (code != FAAS_OK)
		find(&scene->findings, "the drain: %s; somebody who waits for a slot was forgotten", faas_error_name(code));
	check_findings(&scene->findings);
	play_end(&play, &scene->is_over);
	check_all(scene);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(handles[f]);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->mutex);
	free(scene);
}

static void bounds_hold(uint64_t seed)
{
	run(seed, false, false);
}

static void bounds_hold_without_memory(uint64_t seed)
{
	run(seed, false, true);
}

static void bounds_hold_while_reservations_change(uint64_t seed)
{
	run(seed, true, false);
}

static void bursts(void **state)
{
	(void)state;
	stress("share@bursts", 8, bounds_hold);
}

static void refused_memory(void **state)
{
	(void)state;
	stress("share@memory", 6, bounds_hold_without_memory);
}

static void reservations(void **state)
{
	(void)state;
	stress("share@reservations", 6, bounds_hold_while_reservations_change);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"share@bursts: no bound is exceeded, nobody is forgotten", bursts, NULL, NULL, NULL},
		{"share@bursts while memory is refused", refused_memory, NULL, NULL, NULL},
		{"share@bursts while others reserve and leave", reservations, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress share", tests, NULL, NULL);
}
