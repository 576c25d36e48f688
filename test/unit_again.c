/* SPDX-License-Identifier: MIT */
/*
 * A thread that goes on with a function of slow handlers without another turn, with the same worker and slot: it does so (or
 * nothing here would test anything), and it stops as soon as anybody else wants the thread or the slot.
 */
#include "unit.h"

#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "dispatch/function.h"
#include "dispatch/runtime.h"
#include "faas.h"

#define SLOW_NS 60000 /* by far too long for a batch of two */
#define SLOWS "s"
#define BLOCKS "b"
#define EVENTS 410
#define ASKS 20       /* each such handler makes an event for the other function, if none is under way */
#define ASKED_LEAST 3 /* if it were left to wait for the end, it would be asked for once */
#define CALM_RUNS 5000 /* after which the monitor would be calm by far */
#define BLOCKED_MS 6  /* a few ticks */
#define CHARGED 50    /* the run from which on it is looked at what is charged: by then all is known */

struct scene {
	faas_runtime *runtime;
	faas_function *slow, *fast;
	sem_t hold, block;     /* what the handler of an event that holds, or blocks, waits for */
	atomic_int runs;       /* of the slow one, and of a fast one */
	atomic_int is_asked;   /* an event for the other one is under way */
	atomic_int asked;
	_Atomic(int64_t) used_then;
	bool asks;
	bool awaits_waiter;    /* the handler that asks goes on when the other one waits for a slot */
	int ends_at;           /* the run that unregisters its own function; 0: none */
	bool counts;           /* handlers look at the counts */
	int miscounted;
	atomic_int sleeps_ms;  /* a handler blocks for so long */
};

static int64_t now_ns(void)
{
	return faas__clock_now(NULL);
}

static void ask(struct scene *scene, faas_context *context)
{
	atomic_store(&scene->is_asked, 1);
	atomic_fetch_add(&scene->asked, 1);
	(void)faas_context_invoke_async(context, "other", NULL, NULL);
	/* The slow one, of which more are queued, waits for another slot, too. */
	while (scene->awaits_waiter && load_seq_cst(&scene->runtime->share.waiters) < 2)
		sched_yield();
}

/* In the handler of the run after so many. */
static void look_at_counts(struct scene *scene, uint64_t runs)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	scene->miscounted += faas_function_stats(scene->slow, &stats) != FAAS_OK || stats.running != 1 ||
	                     stats.succeeded != runs || stats.requests != runs || stats.run_time.count != runs ||
	                     stats.accepted != stats.succeeded + stats.running + stats.queued;
}

static int be_slow(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	const struct timespec pause = {.tv_nsec = atomic_load(&scene->sleeps_ms) * NS_PER_MS};
	int64_t until = now_ns() + SLOW_NS;
	uint64_t bytes;
	int run;

	(void)faas_event_data(event, &bytes);
	if (bytes > 0)
		(void)sem_wait(&scene->hold);
	/* A handler that blocks is what the test is about; nothing waits for this to be over. */
	if (pause.tv_nsec > 0)
		(void)nanosleep(&pause, NULL);
	while (now_ns() < until)
		continue;
	if (scene->counts)
		look_at_counts(scene, (uint64_t)atomic_load(&scene->runs));
	run = atomic_fetch_add(&scene->runs, 1) + 1;
	if (scene->asks && run % ASKS == 0 && !atomic_load(&scene->is_asked))
		ask(scene, context);
	if (run == CHARGED)
		atomic_store(&scene->used_then, load_relaxed(&scene->slow->turn.used));
	if (run == scene->ends_at)
		(void)faas_unregister_function(scene->runtime, "slow");
	return 0;
}

static int be_other(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_store(&scene->is_asked, 0);
	return 0;
}

/* Makes its function known as slow, or blocks, if the event says so. */
static int be_fast(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	faas_function *function = scene->fast;
	uint64_t bytes;
	const char *data = faas_event_data(event, &bytes);

	if (bytes > 0 && *data == *SLOWS) {
		faas__mutex_lock(&function->mu);
		function->run_ns_average = 20 * NS_PER_MS;
		faas__mutex_unlock(&function->mu);
	}
	if (bytes > 0 && *data == *BLOCKS)
		(void)sem_wait(&scene->block);
	atomic_fetch_add(&scene->runs, 1);
	return 0;
}

static void open_scene(struct scene *scene, int threads, int max_threads, int max_concurrency)
{
	memset(scene, 0, sizeof(*scene));
	assert_int_equal(0, sem_init(&scene->hold, 0, 0));
	assert_int_equal(0, sem_init(&scene->block, 0, 0));
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = threads, .max_threads = max_threads,
	                                                 .max_concurrency = max_concurrency),
	                                    &scene->runtime));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "slow",
	                                                 FAAS_FUNCTION(.handler = be_slow, .user = scene,
	                                                               .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "other",
	                                                 FAAS_FUNCTION(.handler = be_other, .user = scene)));
	assert_int_equal(FAAS_OK, faas_function_find(scene->runtime, "slow", &scene->slow));
}

static void queue_slow(struct scene *scene, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(FAAS_OK, faas_function_invoke_async(scene->slow, NULL, NULL));
}

/* So that there is always more, whatever it takes; to be called again and again. */
static void keep_queued(struct scene *scene, int *queued)
{
	if (*queued - atomic_load(&scene->runs) < 20) {
		queue_slow(scene, 20);
		*queued += 20;
	}
	sched_yield();
}

/* Whether the monitor, which ticks, will not look before a handler that blocks has come and gone. */
static bool looks_seldom(struct monitor *monitor)
{
	return load_seq_cst(&monitor->is_ticking) == TICKING_CALMLY &&
	       load_seq_cst(&monitor->wake_at) - now_ns() > (BLOCKED_MS + 2) * NS_PER_MS &&
	       load_seq_cst(&monitor->wake_at) != TIME_NEVER;
}

/* Returns when a thread stands in its handler. */
static void hold_a_thread(struct scene *scene)
{
	assert_int_equal(FAAS_OK, faas_function_invoke_async(scene->slow, FAAS_EVENT(.data = "", .data_bytes = 1), NULL));
	while (load_seq_cst(&scene->slow->admitted) != load_seq_cst(&scene->slow->released))
		sched_yield();
}

/* All of them stand in the queue before the second one begins. */
static void begin_slow(struct scene *scene, int count)
{
	hold_a_thread(scene);
	queue_slow(scene, count - 1);
	(void)sem_post(&scene->hold);
}

static void run_slow(struct scene *scene, int count)
{
	begin_slow(scene, count);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
}

/* How often threads went on without another turn. */
static uint64_t times_gone_on(struct scene *scene)
{
	struct executor *executor = &scene->runtime->executor;
	uint64_t times = 0;

	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads)
		times += load_relaxed(&container_of(node, struct thread, node)->stays);
	faas__mutex_unlock(&executor->threads_mu);
	return times;
}

static uint64_t peak_workers(struct scene *scene)
{
	uint64_t peak;

	faas__mutex_lock(&scene->slow->mu);
	peak = faas__service(scene->slow)->counts.workers_peak;
	faas__mutex_unlock(&scene->slow->mu);
	return peak;
}

static void close_scene(struct scene *scene)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_runtime_stats(scene->runtime, &stats));
	assert_int_equal(stats.total.accepted, stats.total.succeeded + stats.total.cancelled);
	assert_int_equal(stats.total.requests, stats.total.succeeded);
	assert_int_equal(0, stats.total.queued);
	assert_int_equal(0, stats.total.queued_bytes);
	faas_function_unref(scene->slow);
	assert_int_equal(FAAS_OK, faas_close(scene->runtime, FAAS_NEVER, 0));
	(void)sem_destroy(&scene->hold);
	(void)sem_destroy(&scene->block);
}

static void it_goes_on_while_nobody_else_wants_the_thread(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 1, 0);
	run_slow(&scene, EVENTS);
	assert_int_equal(EVENTS, atomic_load(&scene.runs));
	/* All but the first, which started the worker, the second, from which it is known how slow they are, and the last. */
	assert_in_range(times_gone_on(&scene), EVENTS - 10, EVENTS);
	close_scene(&scene);
}

/* By all that has run, though it is added up only now and then. */
static void what_it_does_is_counted_at_once(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 1, 0);
	scene.counts = true;
	run_slow(&scene, EVENTS);
	assert_int_equal(0, scene.miscounted);
	assert_in_range(times_gone_on(&scene), EVENTS - 10, EVENTS);
	/* And learned from, each for itself. */
	assert_in_range(scene.slow->run_ns_average, SLOW_NS, 1000 * SLOW_NS);
	close_scene(&scene);
}

/*
 * While threads go on for long, the monitor looks less and less often: so seldom that it never sees anybody twice in an
 * attempt of a few milliseconds. Handlers that block for these from then on are noticed all the same, and the pool grows.
 */
static void handlers_that_come_to_block_are_noticed(void **state)
{
	struct scene scene;
	int queued = 0;

	(void)state;
	open_scene(&scene, 1, 2, 0);
	/* Where others take the processors away all the time, it never becomes calm. */
	while (!looks_seldom(&scene.runtime->executor.monitor) && atomic_load(&scene.runs) < CALM_RUNS)
		keep_queued(&scene, &queued);
	atomic_store(&scene.sleeps_ms, BLOCKED_MS);
	while (load_relaxed(&scene.runtime->executor.threads_started) < 2)
		keep_queued(&scene, &queued);
	atomic_store(&scene.sleeps_ms, 0);
	close_scene(&scene);
}

static void it_leaves_for_another_function(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 1, 0);
	scene.asks = true;
	run_slow(&scene, EVENTS);
	assert_in_range(atomic_load(&scene.asked), ASKED_LEAST, EVENTS / ASKS);
	assert_in_range(times_gone_on(&scene), EVENTS / 2, EVENTS);
	close_scene(&scene);
}

static void it_gives_back_a_slot_that_another_function_waits_for(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 2, 2, 1);
	scene.asks = scene.awaits_waiter = true;
	run_slow(&scene, EVENTS);
	assert_in_range(atomic_load(&scene.asked), ASKED_LEAST, EVENTS / ASKS);
	close_scene(&scene);
}

static void it_ends_with_its_function(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 1, 0);
	scene.ends_at = EVENTS / 2;
	run_slow(&scene, EVENTS);
	assert_int_equal(EVENTS / 2, atomic_load(&scene.runs));
	close_scene(&scene);
}

/* A second thread, which could do half of the work, is not left asleep (or unborn) while the first one goes on. */
static void it_calls_others_for_what_waits(void **state)
{
	struct scene scene;
	int queued = 0;

	(void)state;
	open_scene(&scene, 2, 2, 0);
	while (load_relaxed(&scene.runtime->executor.threads_started) < 2 || peak_workers(&scene) < 2)
		keep_queued(&scene, &queued);
	close_scene(&scene);
}

/*
 * A stream is one thread's. If then its handlers turn out not to be so fast, others are to have the function as well: else
 * nobody would come when one of them blocks, since nothing was taken ahead.
 */
static void what_was_a_stream_is_opened_to_others(void **state)
{
	enum { MAKE_FAST = 5000, BATCH = BATCH_MAX, BEHIND = 50 };
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 2, 0);
	assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, "fast",
	                                                 FAAS_FUNCTION(.handler = be_fast, .user = &scene,
	                                                               .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_function_find(scene.runtime, "fast", &scene.fast));
	for (int i = 0; i < MAKE_FAST; i++)
		assert_int_equal(FAAS_OK, faas_function_invoke_async(scene.fast, NULL, NULL));
	while (atomic_load(&scene.runs) < MAKE_FAST)
		sched_yield();
	hold_a_thread(&scene);
	for (int i = 1; i <= BATCH + 1 + BEHIND; i++) {
		const char *data = i == BATCH ? SLOWS : i == BATCH + 1 ? BLOCKS : "-";

		assert_int_equal(FAAS_OK,
		                 faas_function_invoke_async(scene.fast, FAAS_EVENT(.data = data, .data_bytes = 1), NULL));
	}
	(void)sem_post(&scene.hold);
	/* All but the one that blocks; and the slow one that held the thread. */
	while (atomic_load(&scene.runs) < MAKE_FAST + BATCH + BEHIND + 1)
		sched_yield();
	(void)sem_post(&scene.block);
	faas_function_unref(scene.fast);
	close_scene(&scene);
}

static void a_guest_returns(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 1, 0);
	begin_slow(&scene, 20);
	while (atomic_load(&scene.runs) < 20)
		sched_yield();
	hold_a_thread(&scene);
	queue_slow(&scene, 10);
	/* The first one starts a worker, the second one could go on. */
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(1, faas_run(scene.runtime, 1));
		assert_int_equal(20 + i, atomic_load(&scene.runs));
	}
	(void)sem_post(&scene.hold);
	close_scene(&scene);
}

/* Else a newcomer would have all threads for as long as nobody had wanted them. */
static void time_that_nobody_else_wanted_is_not_charged(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, 1, 1, 0);
	run_slow(&scene, EVENTS);
	assert_in_range(load_relaxed(&scene.slow->turn.used) - atomic_load(&scene.used_then), SLOW_NS,
	                (EVENTS - CHARGED) / 2 * SLOW_NS);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_on_while_nobody_else_wants_the_thread),
		cmocka_unit_test(what_it_does_is_counted_at_once),
		cmocka_unit_test(handlers_that_come_to_block_are_noticed),
		cmocka_unit_test(it_leaves_for_another_function),
		cmocka_unit_test(it_gives_back_a_slot_that_another_function_waits_for),
		cmocka_unit_test(it_ends_with_its_function),
		cmocka_unit_test(it_calls_others_for_what_waits),
		cmocka_unit_test(what_was_a_stream_is_opened_to_others),
		cmocka_unit_test(a_guest_returns),
		cmocka_unit_test(time_that_nobody_else_wanted_is_not_charged),
	};

	return cmocka_run_group_tests_name("unit_again", tests, NULL, NULL);
}
