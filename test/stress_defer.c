/* SPDX-License-Identifier: MIT */
/*
 * Deferred completion: ten thousand invocations that wait for their completion need two threads; and completions that
 * race with handlers on their way out, deadlines, cancels, unregistering, closing and each other count exactly once.
 */
#include "stress.h"

#define MANY 10000
#define COMPLETERS 4
#define PRODUCERS 4
#define EVENTS 250 /* of each producer */
#define FUNCTIONS 3
#define TEMPS 24

/* ---- Tokens on their way from handlers to completers ------------------------------------------------------------- */

struct pool {
	pthread_mutex_t mutex;
	faas_deferral *tokens[MANY]; /* under mutex, like the rest */
	int count;
};

static void pool_put(struct pool *pool, faas_deferral *token)
{
	pthread_mutex_lock(&pool->mutex);
	if (pool->count < MANY) {
		pool->tokens[pool->count++] = token;
		token = NULL;
	}
	pthread_mutex_unlock(&pool->mutex);
	faas_deferral_unref(token);
}

/* Any of them; NULL: there is none. */
static faas_deferral *pool_get(struct pool *pool, uint64_t *seed)
{
	faas_deferral *token = NULL;

	pthread_mutex_lock(&pool->mutex);
	if (pool->count > 0) {
		int at = (int)random_below(seed, (uint64_t)pool->count);

		token = pool->tokens[at];
		pool->tokens[at] = pool->tokens[--pool->count];
	}
	pthread_mutex_unlock(&pool->mutex);
	return token;
}

/* ---- The scene --------------------------------------------------------------------------------------------------- */

struct scene;

/* One event with a handle. */
struct entry {
	struct scene *scene;
	atomic_int called;
	int asked;
};

struct member {
	struct scene *scene;
	uint64_t seed;
	uint64_t accepted, cancels;
	struct entry entries[EVENTS];
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	faas_function *functions[FUNCTIONS];
	struct pool pool;
	struct member producers[PRODUCERS];
	struct member completers[COMPLETERS];
	atomic_ullong runs, good, bad, given_up, states, ended_states;
	atomic_int is_over; /* completers leave when there is nothing left */
	atomic_int releases;
};

static const char *const names[FUNCTIONS] = {"a", "b", "c"};

static void scene_init(struct scene *scene)
{
	assert_int_equal(0, pthread_mutex_init(&scene->pool.mutex, NULL));
	for (int i = 0; i < PRODUCERS; i++)
		scene->producers[i].scene = scene;
	for (int i = 0; i < COMPLETERS; i++)
		scene->completers[i].scene = scene;
}

static int init(faas_context *context, void **ret_state)
{
	struct scene *scene = faas_context_user(context);

	atomic_fetch_add(&scene->states, 1);
	*ret_state = scene;
	return 0;
}

static void fini(void *state, void *user)
{
	struct scene *scene = user;

	if (state != scene || atomic_load(&scene->releases) > 0)
		find(&scene->findings, "a fini without its state, or after the release");
	atomic_fetch_add(&scene->ended_states, 1);
}

static void release(void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->releases, 1);
}

/* ---- Ten thousand ------------------------------------------------------------------------------------------------ */

static int put_off(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	faas_deferral *token = NULL;

	(void)event;
	if (faas_context_defer(context, &token) != FAAS_OK)
		return 1;
	pool_put(&scene->pool, token);
	return 0;
}

/* Without anything that races: what a completion says is what counts. */
static void complete_all(void *arg)
{
	struct member *member = arg;
	struct scene *scene = member->scene;
	faas_deferral *token;
	int code;

	while ((token = pool_get(&scene->pool, &member->seed)) != NULL) {
		switch (random_below(&member->seed, 4)) {
		case 0:
			code = faas_complete(token, "yes", 3, NULL);
			atomic_fetch_add(&scene->good, 1);
			break;
		case 1:
			code = faas_complete(token, NULL, 0, NULL);
			atomic_fetch_add(&scene->good, 1);
			break;
		case 2:
			code = faas_complete_failed_permanent(token, "no");
			atomic_fetch_add(&scene->bad, 1);
			break;
		default:
			code = FAAS_OK;
			atomic_fetch_add(&scene->given_up, 1);
			break;
		}
		if (code != FAAS_OK)
			find(&scene->findings, "a completion: %s", faas_error_name(code));
		faas_deferral_unref(token);
	}
}

static void ten_thousand_wait(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_function_stats stats;
	faas_function *function;
	struct crowd crowd;

	assert_non_null(scene);
	tally_init(&memory);
	scene_init(scene);
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 2, .max_threads = 2, .allocator = &memory.config));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "f",
	                                                 ONCE(.handler = put_off, .user = scene, .dead_letters = FAAS_NONE,
	                                                      .deadline_ms = FAAS_NEVER)));
	function = find_function(scene->runtime, "f");
	for (int i = 0; i < MANY; i++)
		assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
	do {
		sched_yield();
		stats = stats_of(function);
	} while (stats.deferred < MANY);
	CHECK_EQUAL(MANY, stats.deferrals);
	CHECK_EQUAL(MANY, scene->pool.count);
	CHECK_BETWEEN(1, 2, totals_of(scene->runtime).threads_peak);
	CHECK_BETWEEN(1, 2, stats.workers_peak);
	crowd_init(&crowd);
	for (int t = 0; t < COMPLETERS; t++) {
		scene->completers[t].seed = stress_fork(&seed);
		crowd_add(&crowd, complete_all, &scene->completers[t]);
	}
	crowd_start(&crowd);
	crowd_join(&crowd);
	check_findings(&scene->findings);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	stats = stats_of(function);
	CHECK_EQUAL(scene->good, stats.succeeded);
	CHECK_EQUAL(scene->bad + scene->given_up, stats.failed);
	CHECK_EQUAL(MANY, stats.accepted);
	faas_function_unref(function);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->pool.mutex);
	free(scene);
}

/* ---- Races ------------------------------------------------------------------------------------------------------- */

static void complete_somehow(struct member *member, faas_deferral *token)
{
	struct scene *scene = member->scene;
	int code = FAAS_ESETTLED;

	switch (random_below(&member->seed, 6)) {
	case 0:
	case 1:
		code = faas_complete(token, "answer", 6, "text/plain");
		atomic_fetch_add(&scene->good, code == FAAS_OK);
		break;
	case 2:
		code = faas_complete_failed(token, "once more");
		atomic_fetch_add(&scene->bad, code == FAAS_OK);
		break;
	case 3:
		code = faas_complete_failed_permanent(token, NULL);
		atomic_fetch_add(&scene->bad, code == FAAS_OK);
		break;
	case 4:
		(void)faas_deferral_is_open(token);
		break;
	default:
		break;
	}
	if (code != FAAS_OK && code != FAAS_ESETTLED)
		find(&scene->findings, "a completion: %s", faas_error_name(code));
	if (code == FAAS_OK && faas_complete(token, NULL, 0, NULL) != FAAS_ESETTLED)
		find(&scene->findings, "a second completion counts");
	if (code == FAAS_OK && faas_deferral_is_open(token))
		find(&scene->findings, "a completed token is open");
}

/* Takes a token, often lets others have it too, and does anything at all. */
static int defer_somehow(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	uint64_t seed = atomic_fetch_add(&scene->runs, 1) * 7919, drawn;
	struct member self = {.scene = scene};
	faas_deferral *token = NULL, *again = NULL;

	(void)event;
	drawn = random_below(&seed, 16);
	if (drawn == 0)
		return 0;
	if (faas_context_defer(context, &token) != FAAS_OK || faas_context_defer(context, &again) != FAAS_EEXIST) {
		find(&scene->findings, "no token");
		return 1;
	}
	if (drawn < 12)
		pool_put(&scene->pool, faas_deferral_ref(token));
	self.seed = seed;
	dawdle(&self.seed);
	if (drawn >= 10)
		complete_somehow(&self, token);
	if (drawn == 5)
		while (!faas_context_is_cancelled(context))
			sched_yield();
	if (drawn == 6)
		(void)faas_context_reply(context, "early", 5, NULL);
	faas_deferral_unref(token);
	return drawn == 7;
}

static void complete_until_over(void *arg)
{
	struct member *member = arg;
	struct scene *scene = member->scene;

	for (;;) {
		bool is_over = atomic_load(&scene->is_over) != 0;
		faas_deferral *token = pool_get(&scene->pool, &member->seed);

		if (!token && is_over)
			return;
		if (!token) {
			sched_yield();
			continue;
		}
		if (random_below(&member->seed, 4) == 0)
			dawdle(&member->seed);
		/* Two of them may have the same one. */
		if (random_below(&member->seed, 4) == 0)
			pool_put(&scene->pool, faas_deferral_ref(token));
		complete_somehow(member, token);
		faas_deferral_unref(token);
	}
}

static void on_settled(faas_invocation *invocation, void *user)
{
	struct entry *entry = user;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	const void *data;
	uint64_t bytes;

	if (faas_invocation_status(invocation) < FAAS_STATUS_SUCCEEDED)
		find(&entry->scene->findings, "a callback before the end");
	if (faas_invocation_timing(invocation, &timing) != FAAS_OK || timing.run_ns < 0 || timing.queued_ns < 0 ||
	    timing.attempts > 3)
		find(&entry->scene->findings, "impossible times: run %lld", (long long)timing.run_ns);
	if (faas_invocation_answer(invocation, &data, &bytes, NULL) == FAAS_OK &&
	    !(bytes == 6 && memcmp(data, "answer", 6) == 0) && !(bytes == 5 && memcmp(data, "early", 5) == 0))
		find(&entry->scene->findings, "an answer that nobody gave");
	atomic_fetch_add(&entry->called, 1);
}

static void produce_one(struct member *member, int number)
{
	struct scene *scene = member->scene;
	faas_function *function = scene->functions[random_below(&member->seed, FUNCTIONS)];
	const faas_event_config event = {.struct_size = sizeof(event),
	                                 .timeout_ms = random_below(&member->seed, 8) == 0 ? 2 : 0};
	struct entry *entry = &member->entries[number];
	faas_invocation *invocation = NULL;

	entry->scene = scene;
	if (random_below(&member->seed, 8) == 0) {
		(void)faas_function_invoke(function, &event, 1 + (int64_t)random_below(&member->seed, 3), &invocation);
		member->accepted += invocation != NULL;
		faas_invocation_unref(invocation);
		return;
	}
	if (random_below(&member->seed, 3) == 0) {
		member->accepted += faas_function_invoke_async(function, &event, NULL) == FAAS_OK;
		return;
	}
	if (faas_function_invoke_async(function, &event, &invocation) != FAAS_OK) {
		find(&scene->findings, "an invoke was refused");
		return;
	}
	member->accepted++;
	entry->asked = 1;
	if (faas_invocation_on_settled(invocation, on_settled, entry) != FAAS_OK)
		find(&scene->findings, "a callback was refused");
	if (random_below(&member->seed, 3) == 0) {
		dawdle(&member->seed);
		member->cancels += faas_invocation_cancel(invocation) == FAAS_OK;
	}
	faas_invocation_unref(invocation);
}

static void produce(void *arg)
{
	struct member *member = arg;

	for (int i = 0; i < EVENTS; i++) {
		produce_one(member, i);
		if (random_below(&member->seed, 8) == 0)
			sched_yield();
	}
}

static void register_all(struct scene *scene, uint64_t *seed)
{
	for (int f = 0; f < FUNCTIONS; f++) {
		faas_function_config config = {.struct_size = sizeof(config),
		                               .handler = defer_somehow,
		                               .user = scene,
		                               .deadline_ms = 1 + (int64_t)random_below(seed, 4),
		                               .backoff_ms = random_below(seed, 2) ? FAAS_NONE : 1,
		                               .attempts = 1 + (int32_t)random_below(seed, 3),
		                               .dead_letters = 50};

		if (f == 1) {
			config.max_concurrency = 1 + (int32_t)random_below(seed, 4);
			config.init = init;
			config.fini = fini;
		}
		if (f == 2)
			config.flags = FAAS_FUNCTION_INLINE;
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		scene->functions[f] = find_function(scene->runtime, names[f]);
	}
}

static void completions_race(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_runtime_stats total;
	uint64_t accepted = 0, cancels = 0;
	struct play play;

	assert_non_null(scene);
	tally_init(&memory);
	scene_init(scene);
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(&seed, 4), .allocator = &memory.config,
	                              .max_concurrency = random_below(&seed, 3) == 0 ? 4 : 0));
	register_all(scene, &seed);
	play_init(&play, scene->runtime, scene->functions, FUNCTIONS, &scene->findings);
	for (int t = 0; t < PRODUCERS; t++) {
		scene->producers[t].seed = stress_fork(&seed);
		crowd_add(&play.actors, produce, &scene->producers[t]);
	}
	for (int t = 0; t < COMPLETERS; t++) {
		scene->completers[t].seed = stress_fork(&seed);
		crowd_add(&play.others, complete_until_over, &scene->completers[t]);
	}
	play_perform(&play);
	play_end(&play, &scene->is_over);
	total = totals_of(scene->runtime);
	for (int t = 0; t < PRODUCERS; t++) {
		struct member *member = &scene->producers[t];

		accepted += member->accepted;
		cancels += member->cancels;
		for (int i = 0; i < EVENTS; i++) {
			struct entry *entry = &member->entries[i];

			/* Those of deadlines come on a pool thread, perhaps after the drain. */
			UNTIL(atomic_load(&entry->called) >= entry->asked);
			CHECK_EQUAL(entry->asked, entry->called);
		}
	}
	check_findings(&scene->findings);
	CHECK_EQUAL(accepted, total.total.accepted);
	CHECK_EQUAL(accepted, settled_of(&total.total));
	CHECK_EQUAL(0, total.total.deferred + total.total.delayed);
	CHECK_EQUAL(cancels, total.total.cancelled);
	CHECK_BETWEEN(1, scene->runs, total.total.deferrals);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->functions[f]);
	close_runtime(scene->runtime, 0);
	CHECK_EQUAL(scene->states, scene->ended_states);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->pool.mutex);
	free(scene);
}

/* ---- The function, or the runtime, ends meanwhile ---------------------------------------------------------------- */

static int defer_once(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	faas_deferral *token = NULL;

	(void)event;
	atomic_fetch_add(&scene->runs, 1);
	if (faas_context_defer(context, &token) == FAAS_OK)
		pool_put(&scene->pool, token);
	return 0;
}

/* Short-lived functions, each unregistered while completions of it come in. */
static void functions_end(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_runtime_stats total;
	struct crowd crowd;

	assert_non_null(scene);
	tally_init(&memory);
	scene_init(scene);
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(&seed, 3), .allocator = &memory.config));
	crowd_init(&crowd);
	for (int t = 0; t < COMPLETERS; t++) {
		scene->completers[t].seed = stress_fork(&seed);
		crowd_add(&crowd, complete_until_over, &scene->completers[t]);
	}
	crowd_start(&crowd);
	for (int i = 0; i < TEMPS; i++) {
		unsigned long long seen = atomic_load(&scene->runs);
		struct faas_function_stats stats;
		faas_function *function;

		atomic_store(&scene->releases, 0);
		assert_int_equal(
			FAAS_OK, faas_register_function(scene->runtime, "f",
		                                    FAAS_FUNCTION(.handler = defer_once, .user = scene, .init = init,
		                                                  .fini = fini, .release = release, .backoff_ms = FAAS_NONE)));
		function = find_function(scene->runtime, "f");
		for (int k = (int)random_below(&seed, 6); k >= 0; k--)
			assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
		if (random_below(&seed, 2) == 0)
			UNTIL(atomic_load(&scene->runs) > seen);
		assert_int_equal(FAAS_OK, faas_unregister_function(scene->runtime, "f"));
		UNTIL(atomic_load(&scene->releases) > 0);
		/* Its thread may be on the way from the completed handler. */
		UNTIL(stats_of(function).busy == 0);
		stats = stats_of(function);
		CHECK_EQUAL(stats.accepted, settled_of(&stats));
		CHECK_EQUAL(0, stats.warm + stats.starting);
		CHECK_EQUAL(scene->states, scene->ended_states);
		faas_function_unref(function);
	}
	atomic_store(&scene->is_over, 1);
	crowd_join(&crowd);
	check_findings(&scene->findings);
	total = totals_of(scene->runtime);
	CHECK_EQUAL(total.total.accepted, settled_of(&total.total));
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->pool.mutex);
	free(scene);
}

static void closing_ends_deferrals(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_function_stats stats;
	faas_function *function;
	struct crowd crowd;

	assert_non_null(scene);
	tally_init(&memory);
	scene_init(scene);
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(&seed, 3), .allocator = &memory.config));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene->runtime, "f",
	                                        FAAS_FUNCTION(.handler = defer_once, .user = scene, .init = init,
	                                                      .fini = fini, .release = release, .backoff_ms = FAAS_NONE,
	                                                      .deadline_ms = 1 + (int64_t)random_below(&seed, 20))));
	function = find_function(scene->runtime, "f");
	for (int k = 40 + (int)random_below(&seed, 100); k >= 0; k--)
		assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
	if (random_below(&seed, 2) == 0)
		UNTIL(atomic_load(&scene->runs) >= 40);
	crowd_init(&crowd);
	for (int t = 0; t < COMPLETERS; t++) {
		scene->completers[t].seed = stress_fork(&seed);
		crowd_add(&crowd, complete_until_over, &scene->completers[t]);
	}
	crowd_start(&crowd);
	dawdle(&seed);
	close_runtime(scene->runtime, (int64_t)random_below(&seed, 3));
	CHECK_EQUAL(1, scene->releases);
	CHECK_EQUAL(scene->states, scene->ended_states);
	atomic_store(&scene->is_over, 1);
	crowd_join(&crowd);
	check_findings(&scene->findings);
	stats = stats_of(function);
	CHECK_EQUAL(stats.accepted, settled_of(&stats));
	CHECK_EQUAL(0, stats.warm + stats.busy);
	faas_function_unref(function);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->pool.mutex);
	free(scene);
}

/* ---- The tests --------------------------------------------------------------------------------------------------- */

static void many_pending(void **state)
{
	(void)state;
	stress("defer@many", 2, ten_thousand_wait);
}

static void racing_completions(void **state)
{
	(void)state;
	stress("defer@races", 12, completions_race);
}

static void ending_functions(void **state)
{
	(void)state;
	stress("defer@functions", 6, functions_end);
}

static void closing(void **state)
{
	(void)state;
	stress("defer@close", 40, closing_ends_deferrals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"defer@ten thousand wait for their completion, on two threads", many_pending, NULL, NULL, NULL},
		{"defer@completions race with returns, deadlines, cancels and each other", racing_completions, NULL, NULL,
	     NULL},
		{"defer@completions race with the end of their function", ending_functions, NULL, NULL, NULL},
		{"defer@completions race with the end of the runtime", closing, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress defer", tests, NULL, NULL);
}
