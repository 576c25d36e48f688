/* SPDX-License-Identifier: MIT */
/*
 * Delivery with threads: what an overrun keeps, completions by others, and closes that find handlers hanging. Gates stop
 * handlers where they are; what must not happen is given some milliseconds to happen in.
 */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>

#define A_WHILE_MS 30

static struct scene {
	struct memory memory;
	faas_runtime *runtime;
	struct gate gate;
	faas_deferral *token;
	int64_t times[16];
	int count;
} scene;

static void scene_open(const faas_runtime_config *config)
{
	faas_runtime_config own = *config;

	memset(&scene, 0, sizeof(scene));
	memory_init(&scene.memory);
	gate_init(&scene.gate);
	own.allocator = &scene.memory.config;
	assert_int_equal(FAAS_OK, faas_open(&own, &scene.runtime));
}

/* Nothing hangs any more. */
static void scene_close(void)
{
	if (scene.runtime) {
		assert_int_equal(FAAS_OK, faas_drain(scene.runtime, FAAS_NEVER));
		(void)totals_of(scene.runtime);
		assert_int_equal(FAAS_OK, faas_close(scene.runtime, FAAS_NEVER, 0));
	}
	faas_deferral_unref(scene.token);
	memory_check_empty(&scene.memory);
	gate_deinit(&scene.gate);
}

static void add(const char *name, const faas_function_config *config)
{
	assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, name, config));
}

static faas_invocation *start(const char *function, const char *key, const char *text)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(FAAS_OK,
	                 faas_invoke_async(scene.runtime, function,
	                                   FAAS_EVENT(.key = key, .data = text, .data_bytes = strlen(text)), &invocation));
	return invocation;
}

static struct faas_function_stats stats_now(const char *name)
{
	struct faas_function_stats stats;
	faas_function *function = NULL;

	assert_int_equal(FAAS_OK, faas_function_find(scene.runtime, name, &function));
	stats = stats_of(function);
	faas_function_unref(function);
	return stats;
}

/* Stops at the gate if its event says so, in its first attempt. */
static int blocking_handler(faas_context *context, const faas_event *event)
{
	if (strcmp(faas_event_data(event, NULL), "block") == 0 && faas_context_attempt(context) == 1)
		gate_pass(&scene.gate);
	return faas_context_reply(context, "done", 4, NULL);
}

/* ---- Overruns ---------------------------------------------------------------------------------------------------- */

static void a_retry_runs_while_the_overrun_of_the_first_attempt_still_does(void **state)
{
	faas_invocation *invocation;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 2));
	add("f",
	    FAAS_FUNCTION(.handler = blocking_handler, .deadline_ms = 20, .backoff_ms = 1, .attempts = FAAS_UNLIMITED));
	invocation = start("f", NULL, "block");
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_timing(invocation, &timing));
	assert_true(timing.attempts >= 2);
	assert_true(stats_now("f").overrunning >= 1);
	assert_int_equal(1, stats_now("f").succeeded);
	gate_open(&scene.gate);
	faas_invocation_unref(invocation);
	scene_close();
}

static void an_overrun_keeps_its_key_and_others_go_on(void **state)
{
	faas_invocation *first, *next, *other;

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 2));
	add("f", FAAS_FUNCTION(.handler = blocking_handler, .deadline_ms = 20, .attempts = 1, .order = FAAS_ORDER_BY_KEY));
	first = start("f", "k", "block");
	next = start("f", "k", "next");
	other = start("f", "l", "other");
	assert_int_equal(FAAS_OK, faas_invocation_wait(first, FAAS_NEVER));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(first));
	assert_int_equal(FAAS_OK, faas_invocation_wait(other, FAAS_NEVER));
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(next, A_WHILE_MS));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(next));
	gate_open(&scene.gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(next, FAAS_NEVER));
	faas_invocation_unref(first);
	faas_invocation_unref(next);
	faas_invocation_unref(other);
	scene_close();
}

static void an_overrun_keeps_its_key_from_its_own_retry(void **state)
{
	faas_invocation *first;

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 2));
	add("f", FAAS_FUNCTION(.handler = blocking_handler, .deadline_ms = 20, .backoff_ms = 1, .attempts = FAAS_UNLIMITED,
	                       .order = FAAS_ORDER_BY_KEY));
	first = start("f", "k", "block");
	gate_await(&scene.gate, 1);
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(first, 20 + A_WHILE_MS));
	gate_open(&scene.gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(first, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(first));
	faas_invocation_unref(first);
	scene_close();
}

static void an_overrun_keeps_the_runtimes_slot(void **state)
{
	faas_invocation *first, *other;

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 2, .max_concurrency = 1));
	add("f", FAAS_FUNCTION(.handler = blocking_handler, .deadline_ms = 20, .attempts = 1));
	add("g", FAAS_FUNCTION(.handler = nothing_handler));
	first = start("f", NULL, "block");
	gate_await(&scene.gate, 1);
	other = start("g", NULL, "");
	assert_int_equal(FAAS_OK, faas_invocation_wait(first, FAAS_NEVER));
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(other, A_WHILE_MS));
	gate_open(&scene.gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(other, FAAS_NEVER));
	faas_invocation_unref(first);
	faas_invocation_unref(other);
	scene_close();
}

/* ---- Deferrals --------------------------------------------------------------------------------------------------- */

/* Leaves its token to whoever waits at the gate. */
static int deferring_handler(faas_context *context, const faas_event *event)
{
	int code = faas_context_defer(context, &scene.token);

	(void)event;
	if (code == FAAS_OK)
		gate_pass(&scene.gate);
	return code;
}

static void *complete_later(void *arg)
{
	gate_await(&scene.gate, 1);
	*(int *)arg = faas_complete(scene.token, "by another", 10, NULL);
	return NULL;
}

static void a_completion_by_another_thread_ends_the_wait(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		const uint32_t flags = i % 2 == 0 ? 0 : FAAS_FUNCTION_INLINE;
		const int keeps = i < 2;
		faas_invocation *invocation = NULL;
		const void *data = NULL;
		pthread_t thread;
		int code = -99;

		scene_open(FAAS_RUNTIME(.threads = 1));
		gate_open(&scene.gate);
		add("f", FAAS_FUNCTION(.handler = deferring_handler, .deadline_ms = FAAS_NEVER, .flags = flags));
		assert_int_equal(0, pthread_create(&thread, NULL, complete_later, &code));
		assert_int_equal(FAAS_OK, faas_invoke(scene.runtime, "f", NULL, 0, keeps ? &invocation : NULL));
		pthread_join(thread, NULL);
		assert_int_equal(FAAS_OK, code);
		if (keeps) {
			assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, NULL, NULL));
			assert_string_equal("by another", data);
		}
		faas_invocation_unref(invocation);
		scene_close();
	}
}

static void a_deferral_times_out_by_itself(void **state)
{
	faas_invocation *invocation;

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 1));
	gate_open(&scene.gate);
	add("f", FAAS_FUNCTION(.handler = deferring_handler, .deadline_ms = 20, .attempts = 1));
	invocation = start("f", NULL, "");
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_ESETTLED, faas_complete(scene.token, NULL, 0, NULL));
	faas_invocation_unref(invocation);
	scene_close();
}

static void a_drain_waits_for_a_completion(void **state)
{
	pthread_t thread;
	int code = -99;

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 1));
	gate_open(&scene.gate);
	add("f", FAAS_FUNCTION(.handler = deferring_handler, .deadline_ms = FAAS_NEVER));
	faas_invocation_unref(start("f", NULL, ""));
	gate_await(&scene.gate, 1);
	assert_int_equal(FAAS_EPENDING, faas_drain(scene.runtime, A_WHILE_MS));
	assert_int_equal(0, pthread_create(&thread, NULL, complete_later, &code));
	assert_int_equal(FAAS_OK, faas_drain(scene.runtime, FAAS_NEVER));
	pthread_join(thread, NULL);
	assert_int_equal(FAAS_OK, code);
	scene_close();
}

/* ---- Closing while handlers hang --------------------------------------------------------------------------------- */

static int failing_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_fail(context, "always");
}

static int hold_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_defer(context, &scene.token);
}

static void check_report(const struct faas_close_stats *report, uint64_t running, uint64_t overrunning)
{
	assert_int_equal(2, report->queued);
	assert_int_equal(1, report->delayed);
	assert_int_equal(1, report->deferred);
	assert_int_equal(1, report->dead_letters);
	assert_int_equal(running, report->running);
	assert_int_equal(overrunning, report->overrunning);
}

/* Two queued behind one that hangs, one delayed, one deferred, one dead. */
static void leave_some_of_each(int64_t deadline_ms)
{
	add("hangs", FAAS_FUNCTION(.handler = blocking_handler, .max_concurrency = 1, .deadline_ms = deadline_ms,
	                           .attempts = 1, .dead_letters = FAAS_NONE));
	add("delayed", FAAS_FUNCTION(.handler = failing_handler, .backoff_ms = 3600000, .jitter_percent = FAAS_NONE));
	add("deferred", FAAS_FUNCTION(.handler = hold_handler, .deadline_ms = FAAS_NEVER));
	add("dead", FAAS_FUNCTION(.handler = failing_handler, .attempts = 1));
	faas_invocation_unref(start("hangs", NULL, "block"));
	faas_invocation_unref(start("hangs", NULL, "b"));
	faas_invocation_unref(start("hangs", NULL, "c"));
	faas_invocation_unref(start("delayed", NULL, ""));
	faas_invocation_unref(start("deferred", NULL, ""));
	faas_invocation_unref(start("dead", NULL, ""));
	gate_await(&scene.gate, 1);
	while (stats_now("delayed").delayed + stats_now("deferred").deferred + stats_now("dead").dead_letters < 3)
		sched_yield();
}

static void a_close_that_finds_a_handler_hanging_says_so_and_can_be_repeated(void **state)
{
	struct faas_close_stats report = {.struct_size = sizeof(report)};

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 3));
	leave_some_of_each(FAAS_NEVER);
	assert_int_equal(FAAS_EBUSY, faas_close_with_report(scene.runtime, 0, 0, &report));
	check_report(&report, 1, 1);
	memset(&report, 0xa5, sizeof(report));
	report.struct_size = sizeof(report);
	assert_int_equal(FAAS_EBUSY, faas_close_with_report(scene.runtime, 1, 0, &report));
	check_report(&report, 1, 1);
	assert_int_equal(FAAS_EBUSY, faas_close_with_report(scene.runtime, 0, 0, NULL));
	gate_open(&scene.gate);
	assert_int_equal(FAAS_OK, faas_close_with_report(scene.runtime, FAAS_NEVER, 0, &report));
	check_report(&report, 1, 0);
	scene.runtime = NULL;
	scene_close();
}

static void an_overrun_is_told_apart_from_what_was_cut_short(void **state)
{
	struct faas_close_stats report = {.struct_size = sizeof(report)};

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 3));
	leave_some_of_each(20);
	while (stats_now("hangs").overrunning == 0)
		sched_yield();
	assert_int_equal(FAAS_EBUSY, faas_close_with_report(scene.runtime, 0, 0, &report));
	check_report(&report, 0, 1);
	gate_open(&scene.gate);
	assert_int_equal(FAAS_OK, faas_close_with_report(scene.runtime, FAAS_NEVER, 0, &report));
	check_report(&report, 0, 0);
	scene.runtime = NULL;
	scene_close();
}

static int64_t blocks_left(void)
{
	int64_t blocks;

	pthread_mutex_lock(&scene.memory.mutex);
	blocks = scene.memory.blocks;
	pthread_mutex_unlock(&scene.memory.mutex);
	return blocks;
}

static void a_detached_close_reports_and_its_memory_goes_with_the_last_handler(void **state)
{
	struct faas_close_stats report = {.struct_size = sizeof(report)};

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 3));
	leave_some_of_each(FAAS_NEVER);
	assert_int_equal(FAAS_OK, faas_close_with_report(scene.runtime, 0, FAAS_CLOSE_DETACH, &report));
	check_report(&report, 1, 1);
	scene.runtime = NULL;
	faas_deferral_unref(scene.token);
	scene.token = NULL;
	assert_true(blocks_left() > 0);
	gate_open(&scene.gate);
	while (blocks_left() > 0)
		sched_yield();
	scene_close();
}

/* A thread that was held up between its look at the clock and what it does then. */
static _Thread_local int64_t looked_at;
static atomic_llong clock_ns;

static int64_t slow_clock(void *user)
{
	(void)user;
	return looked_at != 0 ? looked_at : atomic_fetch_add(&clock_ns, 1000) + 1000;
}

static void who_cancels_may_have_looked_at_the_clock_long_ago(void **state)
{
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	faas_invocation *invocation;
	faas_function *function;
	faas_clock *clock;

	(void)state;
	atomic_store(&clock_ns, 0);
	assert_int_equal(FAAS_OK, faas_clock_new(&(faas_clock_config){.struct_size = sizeof(faas_clock_config),
	                                                              .monotonic_ns = slow_clock},
	                                         &clock));
	scene_open(FAAS_RUNTIME(.threads = 1, .clock = clock));
	gate_open(&scene.gate);
	add("f", FAAS_FUNCTION(.handler = deferring_handler, .deadline_ms = FAAS_NEVER, .attempts = 1));
	assert_int_equal(FAAS_OK, faas_function_find(scene.runtime, "f", &function));
	looked_at = 1;
	invocation = start("f", NULL, "");
	while (faas_invocation_status(invocation) != FAAS_STATUS_DEFERRED)
		sched_yield();
	assert_int_equal(1, faas_function_cancel_all(function));
	looked_at = 0;
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_timing(invocation, &timing));
	assert_int_equal(0, timing.run_ns);
	faas_invocation_unref(invocation);
	faas_function_unref(function);
	scene_close();
	faas_clock_unref(clock);
}

/* ---- Rates ------------------------------------------------------------------------------------------------------- */

static int timing_handler(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	scene.times[scene.count++] = monotonic_ns();
	return 0;
}

static void a_rate_holds_in_real_time(void **state)
{
	int64_t begin;

	(void)state;
	scene_open(FAAS_RUNTIME(.threads = 2));
	add("f", FAAS_FUNCTION(.handler = timing_handler, .rate_per_s = 100, .rate_burst = 2, .max_concurrency = 1));
	begin = monotonic_ns();
	for (int i = 0; i < 6; i++)
		faas_invocation_unref(start("f", NULL, ""));
	assert_int_equal(FAAS_OK, faas_drain(scene.runtime, FAAS_NEVER));
	assert_int_equal(6, scene.count);
	/* What threads publish of the time may be a millisecond old. */
	for (int i = 2; i < 6; i++)
		assert_true(scene.times[i] - begin >= (i - 1) * 10 * MS - 2 * MS);
	scene_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_retry_runs_while_the_overrun_of_the_first_attempt_still_does),
		cmocka_unit_test(an_overrun_keeps_its_key_and_others_go_on),
		cmocka_unit_test(an_overrun_keeps_its_key_from_its_own_retry),
		cmocka_unit_test(an_overrun_keeps_the_runtimes_slot),
		cmocka_unit_test(a_completion_by_another_thread_ends_the_wait),
		cmocka_unit_test(a_deferral_times_out_by_itself),
		cmocka_unit_test(a_drain_waits_for_a_completion),
		cmocka_unit_test(a_close_that_finds_a_handler_hanging_says_so_and_can_be_repeated),
		cmocka_unit_test(an_overrun_is_told_apart_from_what_was_cut_short),
		cmocka_unit_test(a_detached_close_reports_and_its_memory_goes_with_the_last_handler),
		cmocka_unit_test(who_cancels_may_have_looked_at_the_clock_long_ago),
		cmocka_unit_test(a_rate_holds_in_real_time),
	};

	return cmocka_run_group_tests_name("delivery with threads", tests, NULL, NULL);
}
