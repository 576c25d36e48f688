/* SPDX-License-Identifier: MIT */
/* Functions with FAAS_FUNCTION_INLINE: a synchronous invoke runs on the caller's own thread. */
#include "support_run.h"

#include <sched.h>
#include <stdatomic.h>

/* ---- Manual mode ------------------------------------------------------------------------------------------------- */

static void an_inline_invoke_passes_what_is_queued(void **state)
{
	struct stage *stage = *state;
	faas_invocation *queued, *invocation = NULL;
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE));
	stage_register(stage, "g", NULL);
	queued = stage_start(stage, "f", NULL);
	stage_queue(stage, "g", NULL);
	assert_int_equal(FAAS_OK, faas_invoke(stage->bed.runtime, "f", JOB(.reply = "x", .takes_ns = 9), 0, &invocation));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(queued));
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(0, timing_of(invocation).queued_ns);
	assert_int_equal(9, timing_of(invocation).run_ns);
	assert_int_equal(1, timing_of(invocation).is_cold);
	assert_int_equal(1, timing_of(invocation).attempts);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(2, stats.accepted);
	assert_int_equal(1, stats.queued);
	assert_int_equal(1, stats.succeeded);
	assert_int_equal(1, stats.cold_starts);
	assert_int_equal(1, stats.warm);
	assert_int_equal(1, stats.requests);
	assert_int_equal(1, stats.billed_ms);
	assert_int_equal(2, bed_run(&stage->bed));
	faas_invocation_unref(queued);
	faas_invocation_unref(invocation);
}

static void an_inline_function_is_queued_by_all_other_calls(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE));
	bed_bind(&stage->bed, "a", "f");
	stage_queue(stage, "f", NULL);
	assert_int_equal(1, bed_emit(&stage->bed, "a", ""));
	assert_int_equal(0, stage->life.runs);
	assert_int_equal(2, bed_run(&stage->bed));
	assert_int_equal(2, stage->life.runs);
}

static void inline_invokes_use_warm_workers(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE, .keep_warm_ms = 10));
	for (int i = 0; i < 5; i++)
		assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(1, stats.cold_starts);
	assert_int_equal(4, stats.warm_starts);
	assert_int_equal(10 * MS, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, 10);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(2, bed_stats(&stage->bed, "f").cold_starts);
}

static void inline_outcomes_are_those_of_any_invoke(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE));
	stage->life.init_fails = 1;
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
	/* Starts are paused now, so it is queued like any other, and cannot run before time moves. */
	assert_int_equal(FAAS_EAGAIN, stage_invoke(stage, "f", NULL));
	bed_advance_ms(&stage->bed, 100);
	invocation = stage_settle(stage, "f", JOB(.says = "no"));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_string_equal("no", faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_OK, faas_drain(stage->bed.runtime, 0));
	assert_int_equal(FAAS_ECLOSED, stage_invoke(stage, "f", NULL));
}

static void an_inline_invoke_returns_when_its_handler_does(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE, .deadline_ms = 5));
	invocation = stage_settle(stage, "f", JOB(.takes_ns = 20 * MS, .reply = "late"));
	assert_int_equal(20 * MS, stage_now(stage));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(5 * MS, timing_of(invocation).run_ns);
	assert_int_equal(1, bed_stats(&stage->bed, "f").retired_overrun);
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 4 * MS), 3, &invocation));
	assert_int_equal(24 * MS, stage_now(stage));
	assert_int_equal(3 * MS, timing_of(invocation).run_ns);
	assert_int_equal(2, stage->life.finis);
	faas_invocation_unref(invocation);
}

struct nested {
	int code, other;
	int runs_before, runs_after;
	struct life *life;
};

static void invoke_itself(faas_context *context, void *arg)
{
	struct nested *nested = arg;

	nested->runs_before = nested->life->runs;
	nested->code = faas_context_invoke(context, faas_context_function(context), NULL, 0, NULL);
	nested->other = faas_context_invoke(context, "g", NULL, 0, NULL);
	nested->runs_after = nested->life->runs;
}

static void inline_invokes_nest(void **state)
{
	struct stage *stage = *state;
	struct nested nested = {.life = &stage->life};

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE));
	stage_register(stage, "g", ONCE(.flags = FAAS_FUNCTION_INLINE, .max_concurrency = 1));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = invoke_itself, .arg = &nested)));
	assert_int_equal(FAAS_OK, nested.code);
	assert_int_equal(FAAS_OK, nested.other);
	assert_int_equal(1, nested.runs_before);
	assert_int_equal(3, nested.runs_after);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "g", JOB(.does = invoke_itself, .arg = &nested)));
	assert_int_equal(FAAS_EDEADLK, nested.code);
	assert_int_equal(FAAS_EDEADLK, nested.other);
	assert_int_equal(2, bed_stats(&stage->bed, "g").cancelled);
	assert_int_equal(0, bed_run(&stage->bed));
}

static void unregister_itself(faas_context *context, void *arg)
{
	*(int *)arg = faas_unregister_function(faas_context_runtime(context), faas_context_function(context));
}

static void an_inline_handler_may_unregister_itself(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;
	int code = -1;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE));
	invocation = stage_settle(stage, "f", JOB(.does = unregister_itself, .arg = &code, .reply = "bye"));
	assert_int_equal(FAAS_OK, code);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(FAAS_ENOTFOUND, stage_invoke(stage, "f", NULL));
	bed_run(&stage->bed);
	assert_int_equal(1, stage->life.releases);
	faas_invocation_unref(invocation);
}

static void cancel_all(faas_context *context, void *arg)
{
	faas_function *function;

	assert_int_equal(FAAS_OK, faas_function_find(faas_context_runtime(context), faas_context_function(context), &function));
	*(int *)arg = faas_function_cancel_all(function);
	faas_function_unref(function);
}

/* Nothing is kept of the invocation then, but its outcome and the accounts are the same. */
static void an_inline_invoke_without_a_handle_ends_like_any_other(void **state)
{
	struct stage *stage = *state;
	int code;
	const struct {
		struct job job;
		int64_t timeout_ms;
		int outcome;
	} cases[] = {
		{{.reply = "yes"}, 0, FAAS_OK},
		{{.says = "no"}, 0, FAAS_EFAILED},
		{{.result = 7}, 0, FAAS_EFAILED},
		{{.takes_ns = 4 * MS}, 0, FAAS_OK},
		{{.takes_ns = 6 * MS, .reply = "late"}, 0, FAAS_ETIMEDOUT},
		{{.takes_ns = 6 * MS, .says = "late"}, 0, FAAS_ETIMEDOUT},
		{{.takes_ns = 3 * MS}, 3, FAAS_ETIMEDOUT},
		{{.does = cancel_all, .arg = &code, .reply = "done"}, 0, FAAS_ECANCELLED},
		{{.does = unregister_itself, .arg = &code, .reply = "bye"}, 0, FAAS_OK},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct faas_runtime_stats totals[3];
		faas_event_config event = *FAAS_EVENT(.data = &cases[i].job, .data_bytes = sizeof(cases[i].job));

		totals[0] = bed_totals(&stage->bed);
		for (int kept = 0; kept < 2; kept++) {
			faas_invocation *invocation = NULL;

			stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE, .deadline_ms = 5));
			assert_int_equal(cases[i].outcome, faas_invoke(stage->bed.runtime, "f", &event, cases[i].timeout_ms,
			                                               kept ? &invocation : NULL));
			faas_invocation_unref(invocation);
			(void)faas_unregister_function(stage->bed.runtime, "f");
			bed_run(&stage->bed);
			totals[kept + 1] = bed_totals(&stage->bed);
		}
		assert_int_equal(1, totals[1].total.accepted - totals[0].total.accepted);
#define SAME(field) \
	assert_int_equal(totals[1].total.field - totals[0].total.field, totals[2].total.field - totals[1].total.field)
		SAME(accepted);
		SAME(succeeded);
		SAME(failed);
		SAME(timed_out);
		SAME(cancelled);
		SAME(requests);
		SAME(billed_ms);
		SAME(overruns);
		SAME(queue_time.count);
		SAME(run_time.count);
#undef SAME
	}
}

static void an_inline_function_that_is_gone_does_not_run(void **state)
{
	struct stage *stage = *state;
	faas_function *function = NULL;
	faas_invocation *invocation = (faas_invocation *)(void *)stage;

	stage_register(stage, "f", ONCE(.flags = FAAS_FUNCTION_INLINE));
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(function, NULL, 0, &invocation));
	assert_null(invocation);
	assert_int_equal(1, stage->life.runs);
	bed_run(&stage->bed);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(2, stats_of(function).rejected_closed);
	faas_function_unref(function);
}

/* ---- With threads ------------------------------------------------------------------------------------------------ */

struct threaded {
	pthread_t caller;
	int on_caller; /* runs on the caller's thread */
	int elsewhere;
	struct gate *gate;
};

static int where_am_i(faas_context *context, const faas_event *event)
{
	struct threaded *threaded = faas_context_user(context);

	(void)event;
	if (pthread_equal(pthread_self(), threaded->caller))
		threaded->on_caller++;
	else
		threaded->elsewhere++;
	return 0;
}

static void open_threaded(struct bed *bed, const faas_runtime_config *config)
{
	memory_init(&bed->memory);
	bed->clock = NULL;
	assert_int_equal(FAAS_OK, faas_open(config, &bed->runtime));
}

static void close_threaded(struct bed *bed)
{
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, FAAS_NEVER, 0));
	memory_check_empty(&bed->memory);
}

static void an_inline_invoke_needs_no_pool_thread(void **state)
{
	struct bed bed;
	struct threaded threaded = {.caller = pthread_self()};

	(void)state;
	open_threaded(&bed, FAAS_RUNTIME(.threads = 2, .allocator = &bed.memory.config));
	bed_register(&bed, "f", ONCE(.handler = where_am_i, .user = &threaded, .flags = FAAS_FUNCTION_INLINE));
	for (int i = 0; i < 100; i++)
		assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	assert_int_equal(100, threaded.on_caller);
	assert_int_equal(0, threaded.elsewhere);
	assert_int_equal(0, bed_totals(&bed).threads_started);
	assert_int_equal(100, bed_stats(&bed, "f").succeeded);
	close_threaded(&bed);
}

static int spin_until_cancelled(faas_context *context, const faas_event *event)
{
	(void)event;
	while (!faas_context_is_cancelled(context))
		sched_yield();
	return 0;
}

static void an_inline_invoke_that_returns_late_has_timed_out(void **state)
{
	struct bed bed;
	struct faas_function_stats stats;
	faas_invocation *invocation = NULL;

	(void)state;
	open_threaded(&bed, FAAS_RUNTIME(.threads = 1, .allocator = &bed.memory.config));
	bed_register(&bed, "f",
	             ONCE(.handler = spin_until_cancelled, .flags = FAAS_FUNCTION_INLINE, .deadline_ms = 1));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(bed.runtime, "f", NULL, 0, &invocation));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(1 * MS, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
	stats = bed_stats(&bed, "f");
	assert_int_equal(1, stats.timed_out);
	assert_int_equal(0, stats.overrunning);
	assert_int_equal(1, stats.retired_overrun);
	close_threaded(&bed);
}

/* A handler on the pool's thread holds the function's only slot at the gate. Its invocation. */
static faas_invocation *open_at_gate(struct bed *bed, struct gate *gate)
{
	faas_invocation *invocation = NULL;

	gate_init(gate);
	open_threaded(bed, FAAS_RUNTIME(.threads = 1, .allocator = &bed->memory.config));
	bed_register(bed, "f",
	             ONCE(.handler = gate_handler, .user = gate, .flags = FAAS_FUNCTION_INLINE, .max_concurrency = 1,
	                  .deadline_ms = FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, &invocation));
	gate_await(gate, 1);
	return invocation;
}

static void an_inline_invoke_without_a_slot_is_queued(void **state)
{
	struct bed bed;
	struct gate gate;
	faas_invocation *first;

	(void)state;
	first = open_at_gate(&bed, &gate);
	/* The only slot is held at the gate until the caller's millisecond is over. */
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(bed.runtime, "f", NULL, 1, NULL));
	assert_int_equal(1, bed_stats(&bed, "f").expired);
	gate_open(&gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(first, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	assert_int_equal(2, gate.arrived);
	faas_invocation_unref(first);
	close_threaded(&bed);
	gate_deinit(&gate);
}

static void *invoke_f(void *arg)
{
	struct bed *bed = arg;

	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	return NULL;
}

/* Without a look at its accounts: others are about to change them. */
static uint64_t queued(struct bed *bed)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_function *function;

	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_function_stats(function, &stats));
	faas_function_unref(function);
	return stats.queued;
}

/* And its caller, who keeps no handle, is told when another thread has run it. */
static void its_caller_waits_for_another_thread_then(void **state)
{
	struct bed bed;
	struct gate gate;
	pthread_t caller;

	(void)state;
	faas_invocation_unref(open_at_gate(&bed, &gate));
	assert_int_equal(0, pthread_create(&caller, NULL, invoke_f, &bed));
	while (queued(&bed) == 0)
		sched_yield();
	/* Most likely it sleeps by then. */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	gate_open(&gate);
	pthread_join(caller, NULL);
	assert_int_equal(2, gate.arrived);
	close_threaded(&bed);
	gate_deinit(&gate);
}

static atomic_int handle_calls;

static int count_handle_call(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	atomic_fetch_add(&handle_calls, 1);
	return 0;
}

static void *invoke_until_closed(void *arg)
{
	int code;

	while ((code = faas_function_invoke(arg, NULL, 0, NULL)) == FAAS_OK)
		continue;
	assert_int_equal(FAAS_ECLOSED, code);
	return NULL;
}

/* Calls through a handle may go on while the runtime is closed; what the last one used is given back all the same. */
static void a_close_may_come_while_an_inline_invoke_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct bed bed;
		faas_function *function;
		pthread_t callers[8]; /* more than there are stripes on small machines */

		open_threaded(&bed, FAAS_RUNTIME(.threads = 1, .allocator = &bed.memory.config));
		bed_register(&bed, "f", ONCE(.handler = count_handle_call, .flags = FAAS_FUNCTION_INLINE));
		assert_int_equal(FAAS_OK, faas_function_find(bed.runtime, "f", &function));
		atomic_store(&handle_calls, 0);
		for (size_t k = 0; k < COUNT_OF(callers); k++)
			assert_int_equal(0, pthread_create(&callers[k], NULL, invoke_until_closed, function));
		while (atomic_load(&handle_calls) < i)
			sched_yield();
		assert_int_equal(FAAS_OK, faas_close(bed.runtime, FAAS_NEVER, 0));
		for (size_t k = 0; k < COUNT_OF(callers); k++)
			pthread_join(callers[k], NULL);
		faas_function_unref(function);
		memory_check_empty(&bed.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(an_inline_invoke_passes_what_is_queued),
		STAGE_TEST(an_inline_function_is_queued_by_all_other_calls),
		STAGE_TEST(inline_invokes_use_warm_workers),
		STAGE_TEST(inline_outcomes_are_those_of_any_invoke),
		STAGE_TEST(an_inline_invoke_returns_when_its_handler_does),
		STAGE_TEST(inline_invokes_nest),
		STAGE_TEST(an_inline_handler_may_unregister_itself),
		STAGE_TEST(an_inline_invoke_without_a_handle_ends_like_any_other),
		STAGE_TEST(an_inline_function_that_is_gone_does_not_run),
		cmocka_unit_test(an_inline_invoke_needs_no_pool_thread),
		cmocka_unit_test(an_inline_invoke_that_returns_late_has_timed_out),
		cmocka_unit_test(an_inline_invoke_without_a_slot_is_queued),
		cmocka_unit_test(its_caller_waits_for_another_thread_then),
		cmocka_unit_test(a_close_may_come_while_an_inline_invoke_ends),
	};

	return cmocka_run_group_tests_name("inline", tests, NULL, NULL);
}
