/* SPDX-License-Identifier: MIT */
/* A runtime's threads as a host sees them: start and stop hooks, name, stack, and several such runtimes at once. */
#if defined(__linux__)
#define _GNU_SOURCE /* pthread_getname_np */
#endif

#include "support.h"

#include <signal.h>

/* ---- Hooks ------------------------------------------------------------------------------------------------------- */

enum { THREADS_MAX = 64 };

/* What the hooks and handlers saw of each thread. */
struct watch {
	pthread_mutex_t mutex;
	int count;
	struct {
		pthread_t thread;
		int starts, runs, stops;
	} threads[THREADS_MAX];
	int mistakes; /* calls out of order, or of a thread that nobody announced */
	struct gate gate;
};

static void watch_init(struct watch *watch)
{
	memset(watch, 0, sizeof(*watch));
	pthread_mutex_init(&watch->mutex, NULL);
	gate_init(&watch->gate);
}

static void watch_deinit(struct watch *watch)
{
	gate_deinit(&watch->gate);
	pthread_mutex_destroy(&watch->mutex);
}

/* Its place; thread numbers are used again only after a stop. */
static int place_of_locked(struct watch *watch)
{
	for (int i = 0; i < watch->count; i++)
		if (pthread_equal(watch->threads[i].thread, pthread_self()) && watch->threads[i].stops == 0)
			return i;
	return -1;
}

static void on_start(void *user)
{
	struct watch *watch = user;

	pthread_mutex_lock(&watch->mutex);
	if (place_of_locked(watch) >= 0 || watch->count == THREADS_MAX) {
		watch->mistakes++;
	} else {
		watch->threads[watch->count].thread = pthread_self();
		watch->threads[watch->count++].starts = 1;
	}
	pthread_mutex_unlock(&watch->mutex);
}

static void on_stop(void *user)
{
	struct watch *watch = user;
	int place;

	pthread_mutex_lock(&watch->mutex);
	place = place_of_locked(watch);
	if (place < 0)
		watch->mistakes++;
	else
		watch->threads[place].stops++;
	pthread_mutex_unlock(&watch->mutex);
}

static int watched_handler(faas_context *context, const faas_event *event)
{
	struct watch *watch = faas_context_user(context);
	int place;

	(void)event;
	pthread_mutex_lock(&watch->mutex);
	place = place_of_locked(watch);
	if (place < 0)
		watch->mistakes++;
	else
		watch->threads[place].runs++;
	pthread_mutex_unlock(&watch->mutex);
	gate_pass(&watch->gate);
	return 0;
}

static void every_pool_thread_is_announced_and_seen_off(void **state)
{
	struct watch watch;
	struct memory memory;
	faas_runtime *runtime = NULL;
	int runs = 0;

	(void)state;
	watch_init(&watch);
	memory_init(&memory);
	assert_int_equal(FAAS_OK,
	                 faas_open(FAAS_RUNTIME(.threads = 3, .on_thread_start = on_start, .on_thread_stop = on_stop,
	                                        .thread_user = &watch, .allocator = &memory.config),
	                           &runtime));
	assert_int_equal(FAAS_OK, faas_register_function(runtime, "f",
	                                                 ONCE(.handler = watched_handler, .user = &watch,
	                                                               .deadline_ms = FAAS_NEVER)));
	/* Three at once need three threads. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(runtime, "f", NULL, NULL));
	gate_await(&watch.gate, 3);
	gate_open(&watch.gate);
	for (int i = 0; i < 100; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
	assert_int_equal(0, watch.mistakes);
	assert_true(watch.count >= 3);
	for (int i = 0; i < watch.count; i++) {
		assert_int_equal(1, watch.threads[i].starts);
		assert_int_equal(1, watch.threads[i].stops);
		runs += watch.threads[i].runs;
	}
	assert_int_equal(103, runs);
	memory_check_empty(&memory);
	watch_deinit(&watch);
}

static void a_thread_that_idles_too_long_is_seen_off_early(void **state)
{
	struct watch watch;
	faas_runtime *runtime = NULL;
	struct faas_runtime_stats stats;

	(void)state;
	watch_init(&watch);
	gate_open(&watch.gate);
	assert_int_equal(FAAS_OK,
	                 faas_open(FAAS_RUNTIME(.threads = 1, .on_thread_start = on_start, .on_thread_stop = on_stop,
	                                        .thread_user = &watch, .thread_idle_ms = 1),
	                           &runtime));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(runtime, "f", ONCE(.handler = watched_handler, .user = &watch)));
	/* A thread comes for each round, and goes. */
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(FAAS_OK, faas_invoke(runtime, "f", NULL, 0, NULL));
		do
			stats = totals_of(runtime);
		while (stats.threads > 0);
	}
	assert_true(stats.threads_started >= 3);
	assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
	assert_int_equal(0, watch.mistakes);
	for (int i = 0; i < watch.count; i++)
		assert_int_equal(1, watch.threads[i].stops);
	watch_deinit(&watch);
}

static void manual_mode_has_no_threads_to_announce(void **state)
{
	struct watch watch;
	struct bed bed;

	(void)state;
	watch_init(&watch);
	gate_open(&watch.gate);
	bed_open(&bed, FAAS_RUNTIME(.on_thread_start = on_start, .on_thread_stop = on_stop, .thread_user = &watch));
	bed_register(&bed, "f", ONCE(.handler = watched_handler, .user = &watch));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	bed_close(&bed);
	assert_int_equal(0, watch.count);
	assert_int_equal(1, watch.mistakes); /* the handler, on this thread */
	watch_deinit(&watch);
}

/* ---- What threads are like --------------------------------------------------------------------------------------- */

struct look {
	char name[32];
	int blocked; /* signals */
	uint64_t sum;
};

static int looking_handler(faas_context *context, const faas_event *event)
{
	struct look *look = faas_context_user(context);
	volatile char room[65536];
	sigset_t set;

	(void)event;
#if defined(__linux__)
	pthread_getname_np(pthread_self(), look->name, sizeof(look->name));
#endif
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	look->blocked =
		sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGUSR1) == 1 && sigismember(&set, SIGINT) == 1;
	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = (char)i;
	look->sum = (uint64_t)room[sizeof(room) - 1];
	return 0;
}

static void threads_are_named_and_block_signals(void **state)
{
	static const char *const names[] = {NULL, "fifteen-letters"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct look look = {.blocked = 0};
		faas_runtime *runtime = NULL;

		assert_int_equal(
			FAAS_OK, faas_open(FAAS_RUNTIME(.threads = 1, .thread_name = names[i], .stack_bytes = 1 << 20), &runtime));
		assert_int_equal(
			FAAS_OK, faas_register_function(runtime, "f", ONCE(.handler = looking_handler, .user = &look)));
		assert_int_equal(FAAS_OK, faas_invoke(runtime, "f", NULL, 0, NULL));
		assert_int_equal(1, look.blocked);
#if defined(__linux__)
		assert_string_equal(names[i] ? names[i] : "faas", look.name);
#endif
		assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
	}
}

/* ---- Several runtimes, and no memory ----------------------------------------------------------------------------- */

static void runtimes_with_threads_stand_side_by_side(void **state)
{
	enum { COUNT = 3 };
	struct memory memories[COUNT];
	struct record records[COUNT];
	faas_runtime *runtimes[COUNT];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		memory_init(&memories[i]);
		record_init(&records[i]);
		assert_int_equal(FAAS_OK,
		                 faas_open(FAAS_RUNTIME(.threads = 1 + i, .allocator = &memories[i].config), &runtimes[i]));
		assert_int_equal(FAAS_OK, faas_register_function(
									  runtimes[i], "f", ONCE(.handler = record_handler, .user = &records[i])));
	}
	for (int n = 0; n < 200; n++)
		for (int i = 0; i <= n % COUNT; i++)
			assert_int_equal(FAAS_OK, faas_invoke_async(runtimes[i], "f", NULL, NULL));
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(FAAS_OK, faas_drain(runtimes[i], FAAS_NEVER));
		assert_int_equal(i == 0 ? 200 : i == 1 ? 133 : 66, records[i].count);
		assert_int_equal(records[i].count, totals_of(runtimes[i]).total.succeeded);
		assert_int_equal(FAAS_OK, faas_close(runtimes[i], FAAS_NEVER, 0));
		memory_check_empty(&memories[i]);
		record_deinit(&records[i]);
	}
}

static void opening_with_threads_survives_each_refused_allocation(void **state)
{
	(void)state;
	for (int64_t n = 0, has_failed = 1; has_failed; n++) {
		struct memory memory;
		faas_runtime *runtime = NULL;
		int code;

		memory_init(&memory);
		memory_fail(&memory, n, 1);
		code = faas_open(FAAS_RUNTIME(.threads = 2, .allocator = &memory.config), &runtime);
		has_failed = memory_has_failed(&memory);
		assert_int_equal(has_failed ? FAAS_ENOMEM : FAAS_OK, code);
		if (code == FAAS_OK)
			assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
		else
			assert_null(runtime);
		memory_check_empty(&memory);
	}
}

/* Threads that cannot be made for want of memory are made later: accepted work runs all the same. */
static void work_goes_on_when_there_is_memory_again(void **state)
{
	(void)state;
	for (int64_t n = 0; n < 12; n++) {
		struct memory memory;
		struct record record;
		faas_runtime *runtime = NULL;
		int accepted = 0;

		record_init(&record);
		memory_init(&memory);
		assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = 2, .allocator = &memory.config), &runtime));
		assert_int_equal(
			FAAS_OK, faas_register_function(runtime, "f", ONCE(.handler = record_handler, .user = &record)));
		memory_fail(&memory, n, 3);
		for (int i = 0; i < 50; i++) {
			int code = faas_invoke_async(runtime, "f", NULL, NULL);

			assert_true(code == FAAS_OK || code == FAAS_ENOMEM);
			accepted += code == FAAS_OK;
		}
		record_await(&record, accepted);
		assert_int_equal(FAAS_OK, faas_drain(runtime, FAAS_NEVER));
		assert_int_equal(accepted, totals_of(runtime).total.succeeded);
		assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
		assert_int_equal(accepted, record.count);
		memory_check_empty(&memory);
		record_deinit(&record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pool_thread_is_announced_and_seen_off),
		cmocka_unit_test(a_thread_that_idles_too_long_is_seen_off_early),
		cmocka_unit_test(manual_mode_has_no_threads_to_announce),
		cmocka_unit_test(threads_are_named_and_block_signals),
		cmocka_unit_test(runtimes_with_threads_stand_side_by_side),
		cmocka_unit_test(opening_with_threads_survives_each_refused_allocation),
		cmocka_unit_test(work_goes_on_when_there_is_memory_again),
	};

	return cmocka_run_group_tests_name("runtime threads", tests, NULL, NULL);
}
