/* SPDX-License-Identifier: MIT */
/*
 * Threads that leave after a millisecond without work, workers that are retired after a millisecond without an event,
 * and bursts that come just then: nothing is lost, nothing sleeps for ever, and what is provisioned is there again.
 */
#include "stress.h"

#define HOSTS 2
#define ROUNDS 12
#define PROVISIONED 2

enum { BRIEF, PLAIN, READY, FUNCTIONS };

struct scene;

struct host {
	struct scene *scene;
	uint64_t seed;
	uint64_t accepted;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	faas_function *functions[FUNCTIONS];
	struct host hosts[HOSTS];
	atomic_int inits, finis, begun, ended;
	atomic_ullong runs;
};

static const char *const names[FUNCTIONS] = {"brief", "plain", "ready"};

static int handle(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	uint64_t bytes, seed = atomic_fetch_add(&scene->runs, 1);

	(void)faas_event_data(event, &bytes);
	/* One that overruns takes its worker with it. */
	while (bytes > 0 && !faas_context_is_cancelled(context))
		sched_yield();
	dawdle(&seed);
	return 0;
}

static int start(faas_context *context, void **ret_state)
{
	struct scene *scene = faas_context_user(context);

	atomic_fetch_add(&scene->inits, 1);
	*ret_state = scene;
	return 0;
}

static void end(void *state, void *user)
{
	struct scene *scene = user;

	if (state != scene)
		find(&scene->findings, "a fini with another worker's state");
	atomic_fetch_add(&scene->finis, 1);
}

static void thread_begins(void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->begun, 1);
}

static void thread_ends(void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->ended, 1);
}

/* ---- Bursts ------------------------------------------------------------------------------------------------------ */

static void burst(struct host *host)
{
	struct scene *scene = host->scene;
	uint64_t count = 1 + random_below(&host->seed, 40);

	for (uint64_t i = 0; i < count; i++) {
		faas_function *function = scene->functions[random_below(&host->seed, FUNCTIONS)];
		faas_event_config event = {.struct_size = sizeof(event), .data = "overrun"};

		if (function == scene->functions[READY] && random_below(&host->seed, 16) == 0)
			event.data_bytes = 7;
		if (faas_function_invoke_async(function, &event, NULL) != FAAS_OK)
			find(&scene->findings, "an invoke was refused");
		if (random_below(&host->seed, 8) == 0)
			dawdle(&host->seed);
	}
	host->accepted += count;
}

static struct faas_runtime_stats numbers(struct scene *scene)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	if (faas_runtime_stats(scene->runtime, &stats) != FAAS_OK)
		find(&scene->findings, "no stats");
	return stats;
}

/* Each burst comes after the one before is done, at a random distance from when threads and workers go. */
static void burst_and_rest(void *arg)
{
	struct host *host = arg;
	struct scene *scene = host->scene;

	for (int i = 0; i < ROUNDS; i++) {
		faas_invocation *invocation = NULL;

		burst(host);
		if (faas_function_invoke(scene->functions[BRIEF], NULL, FAAS_NEVER, &invocation) != FAAS_OK)
			find(&scene->findings, "a synchronous call failed");
		host->accepted += invocation != NULL;
		faas_invocation_unref(invocation);
		if (random_below(&host->seed, 3) == 0)
			UNTIL(numbers(scene).threads == 0 || atomic_load(&scene->ended) > i);
		else
			for (uint64_t turns = random_below(&host->seed, 300); turns > 0; turns--)
				sched_yield();
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4), .thread_idle_ms = 1,
	                                           .spin_us = random_below(seed, 2) ? FAAS_NONE : 0,
	                                           .allocator = &memory->config, .on_thread_start = thread_begins,
	                                           .on_thread_stop = thread_ends, .thread_user = scene));
	for (int f = 0; f < FUNCTIONS; f++) {
		faas_function_config config = {.struct_size = sizeof(config), .attempts = 1,
		                               .handler = handle,
		                               .user = scene,
		                               .keep_warm_ms = 1,
		                               .deadline_ms = FAAS_NEVER};

		if (f != PLAIN) {
			config.init = start;
			config.fini = end;
		}
		if (f == READY) {
			config.deadline_ms = 2;
			config.provisioned = PROVISIONED;
			config.max_concurrency = random_below(seed, 2) ? PROVISIONED : 0;
		}
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		scene->functions[f] = find_function(scene->runtime, names[f]);
	}
}

/* At rest: no worker but the provisioned ones, and soon no thread. */
static void await_rest(struct scene *scene)
{
	UNTIL(stats_of(scene->functions[BRIEF]).warm == 0 && stats_of(scene->functions[PLAIN]).warm == 0);
	UNTIL(stats_of(scene->functions[READY]).warm == PROVISIONED);
	UNTIL(totals_of(scene->runtime).threads == 0);
	CHECK_EQUAL(PROVISIONED, stats_of(scene->functions[READY]).warm);
	CHECK_EQUAL(0, totals_of(scene->runtime).total.busy + totals_of(scene->runtime).total.starting);
	CHECK_EQUAL(PROVISIONED, scene->inits - scene->finis);
}

static void threads_and_workers_come_and_go(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct faas_runtime_stats total;
	static struct tally_memory memory;
	uint64_t accepted = 0;
	struct crowd crowd, watchers;
	struct watch watch;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, &memory, &seed);
	watch_init(&watch, scene->runtime, scene->functions, FUNCTIONS, &scene->findings);
	crowd_init(&crowd);
	crowd_init(&watchers);
	for (int h = 0; h < HOSTS; h++) {
		scene->hosts[h] = (struct host){.scene = scene, .seed = stress_fork(&seed)};
		crowd_add(&crowd, burst_and_rest, &scene->hosts[h]);
	}
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(&crowd);
	crowd_join(&crowd);
	await_rest(scene);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
	check_findings(&scene->findings);
	total = totals_of(scene->runtime);
	for (int h = 0; h < HOSTS; h++)
		accepted += scene->hosts[h].accepted;
	CHECK_EQUAL(accepted, total.total.accepted);
	CHECK_EQUAL(accepted, total.total.succeeded + total.total.timed_out);
	CHECK_EQUAL(accepted, scene->runs);
	CHECK_EQUAL(scene->begun, total.threads_started);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->functions[f]);
	close_runtime(scene->runtime, 0);
	CHECK_EQUAL(scene->inits, scene->finis);
	CHECK_EQUAL(scene->begun, scene->ended);
	tally_check_empty(&memory);
	free(scene);
}

/* ---- One at a time ----------------------------------------------------------------------------------------------- */

#define SINGLES 1500 /* of each host */

/* A host that emits its next event as soon as the one before has run: just when a thread goes idle or to sleep. */
struct pinger {
	faas_function *function; /* its own: nobody else's event would wake a thread for it */
	uint64_t seed;
	atomic_int seen;
};

static int see(faas_context *context, const faas_event *event)
{
	struct pinger *host;

	(void)context;
	memcpy(&host, faas_event_data(event, NULL), sizeof(host));
	atomic_fetch_add(&host->seen, 1);
	return 0;
}

static void ping(void *arg)
{
	struct pinger *host = arg;
	const faas_event_config event = {.struct_size = sizeof(event), .data = &host, .data_bytes = sizeof(host)};

	for (int i = 0; i < SINGLES; i++) {
		if (faas_function_invoke_async(host->function, &event, NULL) != FAAS_OK)
			return;
		while (atomic_load(&host->seen) <= i)
			if (random_below(&host->seed, 64) == 0)
				sched_yield();
		for (volatile uint64_t turns = random_below(&host->seed, 100); turns > 0; turns--)
			continue;
	}
}

static void single_events_wake_a_thread(uint64_t seed)
{
	struct pinger *hosts = calloc(HOSTS, sizeof(*hosts));
	faas_runtime *runtime;
	struct crowd crowd;

	assert_non_null(hosts);
	runtime = open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(&seed, 2),
	                                    .spin_us = random_below(&seed, 2) ? FAAS_NONE : 2));
	crowd_init(&crowd);
	for (int h = 0; h < HOSTS; h++) {
		assert_int_equal(FAAS_OK, faas_register_function(runtime, names[h],
		                                                 ONCE(.handler = see, .max_concurrency = h % 2)));
		hosts[h].function = find_function(runtime, names[h]);
		hosts[h].seed = stress_fork(&seed);
		crowd_add(&crowd, ping, &hosts[h]);
	}
	crowd_start(&crowd);
	crowd_join(&crowd);
	for (int h = 0; h < HOSTS; h++) {
		CHECK_EQUAL(SINGLES, hosts[h].seen);
		faas_function_unref(hosts[h].function);
	}
	CHECK_EQUAL(HOSTS * SINGLES, totals_of(runtime).total.accepted);
	close_runtime(runtime, FAAS_NEVER);
	free(hosts);
}

static void coming_and_going(void **state)
{
	(void)state;
	stress("churn@idle", 20, threads_and_workers_come_and_go);
}

static void one_at_a_time(void **state)
{
	(void)state;
	stress("churn@single", 8, single_events_wake_a_thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"churn@bursts while threads leave and workers retire: nothing is lost", coming_and_going, NULL, NULL, NULL},
		{"churn@one event at a time: each wakes a thread that goes to sleep", one_at_a_time, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress churn", tests, NULL, NULL);
}
