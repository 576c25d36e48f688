/* SPDX-License-Identifier: MIT */
/*
 * Rates under bursts from sixteen threads, with retries, synchronous calls and cancels: a counter inside the handlers
 * shows that by no moment more attempts have begun than the burst and the time since registration allow, and in the end
 * everything is settled.
 */
#include "stress.h"

#define THREADS 16
#define CALLS 40 /* of each thread */

struct scene;

struct caller {
	struct scene *scene;
	uint64_t seed, accepted, throttled;
};

struct scene {
	faas_runtime *runtime;
	faas_function *function;
	struct findings findings;
	struct caller callers[THREADS];
	int rate, burst;
	int64_t registered; /* before it was */
	atomic_ullong begun;
};

/* A token is taken before its handler begins; so at any moment no more handlers have begun than tokens were there. */
static int begin(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	uint64_t begun = atomic_fetch_add(&scene->begun, 1) + 1;
	int64_t since = monotonic_ns() - scene->registered;
	uint64_t allowed = (uint64_t)scene->burst + (uint64_t)(since * scene->rate / 1000000000) + 1;

	(void)event;
	if (begun > allowed)
		find(&scene->findings, "%llu attempts have begun where %llu may", (unsigned long long)begun,
		     (unsigned long long)allowed);
	return begun % 7 == 0;
}

static void call_in_bursts(void *arg)
{
	struct caller *caller = arg;
	struct scene *scene = caller->scene;

	for (int i = 0; i < CALLS; i++) {
		faas_invocation *invocation = NULL;
		int code;

		if (random_below(&caller->seed, 8) == 0) {
			code = faas_function_invoke(scene->function, NULL, 1 + (int64_t)random_below(&caller->seed, 5), &invocation);
			if (code == FAAS_ETHROTTLED)
				caller->throttled++;
			else if (!invocation)
				find(&scene->findings, "a call was refused: %s", faas_error_name(code));
			caller->accepted += invocation != NULL;
		} else {
			code = faas_function_invoke_async(scene->function, NULL, &invocation);
			if (code != FAAS_OK)
				find(&scene->findings, "refused: %s", faas_error_name(code));
			caller->accepted += code == FAAS_OK;
			if (random_below(&caller->seed, 16) == 0)
				(void)faas_invocation_cancel(invocation);
		}
		faas_invocation_unref(invocation);
		dawdle(&caller->seed);
	}
}

static void rates_hold(uint64_t seed)
{
	static const int rates[] = {3000, 10000, 40000};
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_function_stats stats;
	uint64_t accepted = 0, throttled = 0;
	struct crowd crowd, watchers;
	struct watch watch;

	assert_non_null(scene);
	tally_init(&memory);
	scene->rate = rates[random_below(&seed, 3)];
	scene->burst = 1 + (int)random_below(&seed, 60);
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(&seed, 4), .allocator = &memory.config));
	scene->registered = monotonic_ns();
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "f",
	                                                 FAAS_FUNCTION(.handler = begin, .user = scene, .attempts = 2,
	                                                               .backoff_ms = FAAS_NONE, .deadline_ms = FAAS_NEVER,
	                                                               .rate_per_s = scene->rate, .rate_burst = scene->burst)));
	scene->function = find_function(scene->runtime, "f");
	watch_init(&watch, scene->runtime, &scene->function, 1, &scene->findings);
	crowd_init(&crowd);
	crowd_init(&watchers);
	for (int t = 0; t < THREADS; t++) {
		scene->callers[t] = (struct caller){.scene = scene, .seed = stress_fork(&seed)};
		crowd_add(&crowd, call_in_bursts, &scene->callers[t]);
	}
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(&crowd);
	crowd_join(&crowd);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	UNTIL(stats_of(scene->function).overrunning == 0);
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
	check_findings(&scene->findings);
	for (int t = 0; t < THREADS; t++) {
		accepted += scene->callers[t].accepted;
		throttled += scene->callers[t].throttled;
	}
	stats = stats_of(scene->function);
	CHECK_EQUAL(accepted, stats.accepted);
	CHECK_EQUAL(throttled, stats.rejected_throttled);
	CHECK_EQUAL(accepted, settled_of(&stats));
	CHECK_EQUAL(scene->begun, stats.requests);
	faas_function_unref(scene->function);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	free(scene);
}

static void rates(void **state)
{
	(void)state;
	stress("rate@bursts", 8, rates_hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"rate@bursts from sixteen threads: no attempt begins without its token", rates, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress rate", tests, NULL, NULL);
}
