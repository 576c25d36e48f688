/* SPDX-License-Identifier: MIT */
/*
 * Pools of threads: they grow while handlers block, replace threads that overrun, and hand on what a blocked thread took
 * ahead. Gates stop handlers where they are; nothing here depends on how long anything takes.
 */
#include "stress.h"

#include <signal.h>
#include <unistd.h>

#define BATCH 64 /* events that a thread takes at once at most */
#define AHEAD 30 /* events that stand behind one another in a batch */

struct pool {
	struct tally_memory memory;
	faas_runtime *runtime;
	struct findings findings;
	struct gate gate;  /* for those that are to block */
	struct gate start; /* keeps all threads busy while queues are filled */
	atomic_int done;
	faas_invocation *awaited;
};

static void pool_open(struct pool *pool, const faas_runtime_config *config)
{
	faas_runtime_config own = *config;

	memset(pool, 0, sizeof(*pool));
	tally_init(&pool->memory);
	gate_init(&pool->gate);
	gate_init(&pool->start);
	own.allocator = &pool->memory.config;
	pool->runtime = open_runtime(&own);
}

static void pool_close(struct pool *pool)
{
	struct faas_runtime_stats total;

	assert_int_equal(FAAS_OK, faas_drain(pool->runtime, FAAS_NEVER));
	total = totals_of(pool->runtime);
	assert_int_equal(total.total.accepted, settled_of(&total.total));
	close_runtime(pool->runtime, FAAS_NEVER);
	check_findings(&pool->findings);
	tally_check_empty(&pool->memory);
	gate_deinit(&pool->gate);
	gate_deinit(&pool->start);
}

static void add(struct pool *pool, const char *name, faas_handler_fn *handler, int64_t deadline_ms, int32_t concurrency)
{
	assert_int_equal(FAAS_OK,
	                 faas_register_function(pool->runtime, name,
	                                        ONCE(.handler = handler, .user = pool, .deadline_ms = deadline_ms,
	                                                      .max_concurrency = concurrency)));
}

static void send(struct pool *pool, const char *function, const char *text, faas_invocation **ret_invocation)
{
	assert_int_equal(FAAS_OK, faas_invoke_async(pool->runtime, function,
	                                            FAAS_EVENT(.data = text, .data_bytes = strlen(text)), ret_invocation));
}

/* Blocks at the gate if the event says so, or opens it. */
static int work(faas_context *context, const faas_event *event)
{
	struct pool *pool = faas_context_user(context);
	const char *text = faas_event_data(event, NULL);

	if (strcmp(text, "start") == 0)
		gate_pass(&pool->start);
	if (strcmp(text, "block") == 0)
		gate_pass(&pool->gate);
	if (strcmp(text, "open") == 0)
		gate_open(&pool->gate);
	atomic_fetch_add(&pool->done, 1);
	return 0;
}

/* Runs so many empty events that threads take them in batches. */
static void make_fast(struct pool *pool, const char *name)
{
	faas_function *function = find_function(pool->runtime, name);

	for (int i = 0; i < 5000; i++)
		assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
	UNTIL(stats_of(function).succeeded == 5000 && stats_of(function).busy == 0);
	faas_function_unref(function);
	atomic_store(&pool->done, 0);
}

/* ---- Growing ----------------------------------------------------------------------------------------------------- */

static void blocked_handlers_make_the_pool_grow(void **state)
{
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 2));
	add(&pool, "f", work, FAAS_NEVER, 0);
	add(&pool, "other", work, FAAS_NEVER, 0);
	for (int i = 0; i < 7; i++)
		send(&pool, "f", "block", NULL);
	gate_await(&pool.gate, 7);
	assert_int_equal(FAAS_OK, faas_invoke(pool.runtime, "other", NULL, FAAS_NEVER, NULL));
	assert_true(totals_of(pool.runtime).threads >= 8);
	gate_open(&pool.gate);
	pool_close(&pool);
}

static void the_pool_grows_to_its_limit(void **state)
{
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 3));
	add(&pool, "f", work, FAAS_NEVER, 0);
	for (int i = 0; i < 6; i++)
		send(&pool, "f", "block", NULL);
	gate_await(&pool.gate, 3);
	assert_int_equal(3, totals_of(pool.runtime).threads);
	gate_open(&pool.gate);
	gate_await(&pool.gate, 6);
	assert_int_equal(FAAS_OK, faas_drain(pool.runtime, FAAS_NEVER));
	assert_int_equal(3, totals_of(pool.runtime).threads_peak);
	pool_close(&pool);
}

/* ---- Overruns ---------------------------------------------------------------------------------------------------- */

static void overruns_are_replaced(void **state)
{
	struct faas_overrun_stats overruns[4];
	faas_invocation *hung[2];
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 2, .max_threads = 2, .max_overruns = 2));
	add(&pool, "a", work, 1, 0);
	add(&pool, "b", work, FAAS_NEVER, 0);
	for (int i = 0; i < 2; i++)
		send(&pool, "a", "block", &hung[i]);
	gate_await(&pool.gate, 2);
	assert_int_equal(FAAS_OK, faas_invoke(pool.runtime, "b", NULL, FAAS_NEVER, NULL));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(FAAS_OK, faas_invocation_wait(hung[i], FAAS_NEVER));
		assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(hung[i]));
		faas_invocation_unref(hung[i]);
	}
	for (size_t i = 0; i < COUNT_OF(overruns); i++)
		overruns[i].struct_size = sizeof(overruns[i]);
	assert_int_equal(2, faas_runtime_overruns(pool.runtime, overruns, COUNT_OF(overruns)));
	assert_string_equal("a", overruns[1].function);
	assert_int_equal(0, overruns[1].is_init);
	assert_int_equal(2, totals_of(pool.runtime).total.overrunning);
	gate_open(&pool.gate);
	pool_close(&pool);
}

static void so_many_overruns_are_replaced_and_no_more(void **state)
{
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 2, .max_threads = 2, .max_overruns = 3));
	add(&pool, "a", work, 1, 0);
	add(&pool, "b", work, FAAS_NEVER, 0);
	for (int i = 0; i < 8; i++)
		send(&pool, "a", "block", NULL);
	gate_await(&pool.gate, 5);
	send(&pool, "b", "", NULL);
	gate_open(&pool.gate);
	assert_int_equal(FAAS_OK, faas_drain(pool.runtime, FAAS_NEVER));
	assert_int_equal(5, totals_of(pool.runtime).threads_peak);
	pool_close(&pool);
}

/* An overrun keeps its slot: a function that hangs throttles itself, and only itself. */
static void an_overrun_keeps_its_slot(void **state)
{
	faas_invocation *hung, *behind;
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 1));
	add(&pool, "a", work, 1, 1);
	add(&pool, "b", work, FAAS_NEVER, 0);
	send(&pool, "a", "block", &hung);
	send(&pool, "a", "", &behind);
	assert_int_equal(FAAS_OK, faas_invocation_wait(hung, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invoke(pool.runtime, "b", NULL, FAAS_NEVER, NULL));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(behind));
	gate_open(&pool.gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(behind, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(behind));
	faas_invocation_unref(hung);
	faas_invocation_unref(behind);
	pool_close(&pool);
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

/* One thread has taken an event that blocks, and with it those behind it; when this returns it blocks. */
static void block_with_a_batch(struct pool *pool)
{
	add(pool, "f", work, FAAS_NEVER, 0);
	add(pool, "start", work, FAAS_NEVER, 0);
	make_fast(pool, "f");
	send(pool, "start", "start", NULL);
	gate_await(&pool->start, 1);
	send(pool, "f", "block", NULL);
	for (int i = 0; i < AHEAD; i++)
		send(pool, "f", "", NULL);
	gate_open(&pool->start);
	gate_await(&pool->gate, 1);
}

static void the_rest_of_a_blocked_batch_is_run_by_others(void **state)
{
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 2));
	block_with_a_batch(&pool);
	UNTIL(atomic_load(&pool.done) == AHEAD + 1);
	gate_open(&pool.gate);
	pool_close(&pool);
}

/* The last one of a batch of fast handlers blocks: nothing was taken ahead, but its thread had the function to itself. */
static void what_stands_behind_a_blocked_batch_is_run_by_others(void **state)
{
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 2));
	add(&pool, "f", work, FAAS_NEVER, 0);
	add(&pool, "start", work, FAAS_NEVER, 0);
	make_fast(&pool, "f");
	send(&pool, "start", "start", NULL);
	gate_await(&pool.start, 1);
	for (int i = 1; i <= 3 * BATCH; i++)
		send(&pool, "f", i == BATCH ? "block" : "", NULL);
	gate_open(&pool.start);
	UNTIL(atomic_load(&pool.done) == 3 * BATCH);
	gate_open(&pool.gate);
	pool_close(&pool);
}

static void the_rest_of_a_batch_is_cancelled_with_its_function(void **state)
{
	struct faas_function_stats stats;
	faas_function *function;
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 1));
	block_with_a_batch(&pool);
	function = find_function(pool.runtime, "f");
	assert_int_equal(FAAS_OK, faas_unregister_function(pool.runtime, "f"));
	UNTIL(stats_of(function).cancelled == AHEAD);
	stats = stats_of(function);
	assert_int_equal(1, stats.running);
	assert_int_equal(0, stats.queued);
	gate_open(&pool.gate);
	assert_int_equal(FAAS_OK, faas_drain(pool.runtime, FAAS_NEVER));
	assert_int_equal(2, atomic_load(&pool.done));
	faas_function_unref(function);
	pool_close(&pool);
}

static void the_rest_of_a_batch_is_cancelled_by_the_close(void **state)
{
	faas_function *function;
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 1));
	block_with_a_batch(&pool);
	function = find_function(pool.runtime, "f");
	assert_int_equal(FAAS_EBUSY, faas_close(pool.runtime, 0, 0));
	UNTIL(stats_of(function).cancelled == AHEAD + 1);
	gate_open(&pool.gate);
	close_runtime(pool.runtime, FAAS_NEVER);
	assert_int_equal(2, atomic_load(&pool.done));
	assert_int_equal(5000, stats_of(function).succeeded);
	faas_function_unref(function);
	tally_check_empty(&pool.memory);
	gate_deinit(&pool.gate);
	gate_deinit(&pool.start);
}

/* The last of a batch blocks: the others are over, and the queue has their room again. */
static void what_a_batch_has_run_takes_no_room(void **state)
{
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 1));
	assert_int_equal(FAAS_OK, faas_register_function(pool.runtime, "f",
	                                                 ONCE(.handler = work, .user = &pool,
	                                                               .queue_events = AHEAD, .deadline_ms = FAAS_NEVER)));
	add(&pool, "start", work, FAAS_NEVER, 0);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(pool.runtime, "f", FAAS_EVENT(.wait_ms = FAAS_NEVER), NULL));
	/* The one thread is about to be held at the start: nothing may stand before what comes then. */
	UNTIL(atomic_load(&pool.done) == 5000);
	send(&pool, "start", "start", NULL);
	gate_await(&pool.start, 1);
	for (int i = 0; i < AHEAD - 1; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(pool.runtime, "f", FAAS_EVENT(.wait_ms = FAAS_NEVER), NULL));
	send(&pool, "f", "block", NULL);
	gate_open(&pool.start);
	gate_await(&pool.gate, 1);
	for (int i = 0; i < AHEAD; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(pool.runtime, "f", FAAS_EVENT(.wait_ms = FAAS_NEVER), NULL));
	assert_int_equal(FAAS_EFULL, faas_invoke_async(pool.runtime, "f", NULL, NULL));
	gate_open(&pool.gate);
	pool_close(&pool);
}

static void block_when_settled(faas_invocation *invocation, void *user)
{
	struct pool *pool = user;

	(void)invocation;
	gate_pass(&pool->gate);
}

/*
 * What a thread takes has expired, what stands behind it has not; the first one's callback blocks until the second one has
 * run, which another thread must take over before the batch has begun. The runtime's room is none the worse for it.
 */
static void a_batch_that_has_not_begun_is_run_by_others(void **state)
{
	struct faas_runtime_stats total;
	faas_invocation *late;
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 2, .queue_events = 1000));
	add(&pool, "f", work, FAAS_NEVER, 0);
	add(&pool, "start", work, FAAS_NEVER, 0);
	send(&pool, "start", "start", NULL);
	gate_await(&pool.start, 1);
	assert_int_equal(FAAS_OK, faas_invoke_async(pool.runtime, "f", FAAS_EVENT(.timeout_ms = 1), &late));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(late, block_when_settled, &pool));
	send(&pool, "f", "open", NULL);
	spend_ns(2 * MS);
	gate_open(&pool.start);
	UNTIL(atomic_load(&pool.done) == 2);
	assert_int_equal(FAAS_OK, faas_drain(pool.runtime, FAAS_NEVER));
	total = totals_of(pool.runtime);
	assert_in_range(total.queued_events, 0, 1000);
	assert_int_equal(1, total.total.expired);
	faas_invocation_unref(late);
	pool_close(&pool);
}

/* ---- Waiting inside handlers --------------------------------------------------------------------------------------- */

static int wait_for_awaited(faas_context *context, const faas_event *event)
{
	struct pool *pool = faas_context_user(context);

	(void)event;
	return faas_invocation_wait(pool->awaited, FAAS_NEVER) == FAAS_OK ? 0 : 1;
}

/* What is waited for stands behind an event that blocks, in a thread's batch. */
static void a_waiter_takes_it_out_of_anothers_batch(void **state)
{
	faas_invocation *waiter;
	static struct pool pool;

	(void)state;
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .max_threads = 2));
	add(&pool, "f", work, FAAS_NEVER, 0);
	add(&pool, "start", work, FAAS_NEVER, 0);
	add(&pool, "waiter", wait_for_awaited, FAAS_NEVER, 0);
	make_fast(&pool, "f");
	send(&pool, "start", "start", NULL);
	gate_await(&pool.start, 1);
	send(&pool, "f", "block", NULL);
	send(&pool, "f", "", &pool.awaited);
	gate_open(&pool.start);
	gate_await(&pool.gate, 1);
	send(&pool, "waiter", "", &waiter);
	assert_int_equal(FAAS_OK, faas_invocation_wait(waiter, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(waiter));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(pool.awaited));
	gate_open(&pool.gate);
	faas_invocation_unref(waiter);
	faas_invocation_unref(pool.awaited);
	pool_close(&pool);
}

/* A host's clock that its event loop sets, and that stands still until everything has run. */
static atomic_llong cached_ns;

static int64_t read_cached(void *user)
{
	(void)user;
	return atomic_load(&cached_ns);
}

static void nobody_waits_for_a_clock_that_stands_still(void **state)
{
	static const faas_clock_config config = {.struct_size = sizeof(config), .monotonic_ns = read_cached};
	static struct pool pool;
	faas_function *function;
	faas_clock *clock;

	(void)state;
	atomic_store(&cached_ns, 1000000000);
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &clock));
	pool_open(&pool, FAAS_RUNTIME(.threads = 1, .clock = clock));
	add(&pool, "f", work, FAAS_NEVER, 0);
	make_fast(&pool, "f");
	function = find_function(pool.runtime, "f");
	for (int round = 1; round <= 2000; round++) {
		atomic_fetch_add(&cached_ns, 3000);
		for (int i = 0; i < 20; i++)
			assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
		UNTIL(atomic_load(&pool.done) == 20 * round);
	}
	faas_function_unref(function);
	pool_close(&pool);
	faas_clock_unref(clock);
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

/* What is sent to the process stays pending as long as this thread blocks it: no thread of the pool, the monitor neither,
   takes it. */
static void signals_are_left_to_the_host(void **state)
{
	static struct pool pool;
	sigset_t user, before, after, pending;

	(void)state;
	sigemptyset(&user);
	sigaddset(&user, SIGUSR1);
	assert_int_equal(0, pthread_sigmask(SIG_BLOCK, NULL, &before));
	pool_open(&pool, FAAS_RUNTIME(.threads = 2));
	add(&pool, "f", work, FAAS_NEVER, 0);
	assert_int_equal(FAAS_OK, faas_invoke(pool.runtime, "f", NULL, FAAS_NEVER, NULL));
	assert_int_equal(0, pthread_sigmask(SIG_BLOCK, &user, &after));
	for (int i = 1; i < 32; i++)
		assert_int_equal(sigismember(&before, i), sigismember(&after, i));
	assert_int_equal(0, kill(getpid(), SIGUSR1));
	assert_int_equal(FAAS_OK, faas_invoke(pool.runtime, "f", NULL, FAAS_NEVER, NULL));
	assert_int_equal(0, sigpending(&pending));
	assert_int_equal(1, sigismember(&pending, SIGUSR1));
	pool_close(&pool);
	/* Taken here, where it would end the process if it were let through. */
	while (sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1)) {
		int taken = 0;

		assert_int_equal(0, sigwait(&user, &taken));
		assert_int_equal(SIGUSR1, taken);
	}
	assert_int_equal(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocked_handlers_make_the_pool_grow),
		cmocka_unit_test(the_pool_grows_to_its_limit),
		cmocka_unit_test(overruns_are_replaced),
		cmocka_unit_test(so_many_overruns_are_replaced_and_no_more),
		cmocka_unit_test(an_overrun_keeps_its_slot),
		cmocka_unit_test(the_rest_of_a_blocked_batch_is_run_by_others),
		cmocka_unit_test(what_stands_behind_a_blocked_batch_is_run_by_others),
		cmocka_unit_test(the_rest_of_a_batch_is_cancelled_with_its_function),
		cmocka_unit_test(the_rest_of_a_batch_is_cancelled_by_the_close),
		cmocka_unit_test(what_a_batch_has_run_takes_no_room),
		cmocka_unit_test(a_batch_that_has_not_begun_is_run_by_others),
		cmocka_unit_test(a_waiter_takes_it_out_of_anothers_batch),
		cmocka_unit_test(nobody_waits_for_a_clock_that_stands_still),
		cmocka_unit_test(signals_are_left_to_the_host),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
