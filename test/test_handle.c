/* SPDX-License-Identifier: MIT */
/* Handles: who holds an invocation or a function, in every order, and how long things took. */
#include "support_run.h"

static void ignore(faas_invocation *invocation, void *user)
{
	(void)invocation;
	++*(int *)user;
}

/* ---- References -------------------------------------------------------------------------------------------------- */

static void giving_back_nothing_does_nothing(void **state)
{
	(void)state;
	faas_invocation_unref(NULL);
	faas_function_unref(NULL);
	assert_null(faas_invocation_ref(NULL));
	assert_null(faas_function_ref(NULL));
}

static void an_invocation_runs_though_its_handle_is_gone(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	faas_invocation_unref(stage_start(stage, "f", JOB(.reply = "to nobody")));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(1, bed_stats(&stage->bed, "f").succeeded);
}

/* Bit i of `order`: whether reference i is given back before the run, or after it. */
static void references_go_back_in_any_order(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	for (unsigned order = 0; order < 8; order++) {
		faas_invocation *invocation = stage_start(stage, "f", JOB(.reply = "x"));
		int told = 0;

		assert_ptr_equal(invocation, faas_invocation_ref(invocation));
		assert_ptr_equal(invocation, faas_invocation_ref(invocation));
		assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, ignore, &told));
		for (unsigned i = 0; i < 3; i++)
			if (order & 1u << i)
				faas_invocation_unref(invocation);
		assert_int_equal(1, bed_run(&stage->bed));
		assert_int_equal(1, told);
		if (order != 7)
			assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
		for (unsigned i = 0; i < 3; i++)
			if (!(order & 1u << i))
				faas_invocation_unref(invocation);
	}
}

static void unref_from_inside(faas_context *context, void *arg)
{
	faas_invocation **invocation = arg;

	(void)context;
	faas_invocation_unref(*invocation);
	*invocation = NULL;
}

static void the_last_handle_may_go_inside_the_handler(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", JOB(.does = unref_from_inside, .arg = &invocation, .reply = "to nobody"));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_null(invocation);
	assert_int_equal(1, bed_stats(&stage->bed, "f").succeeded);
}

static void unref_in_callback(faas_invocation *invocation, void *user)
{
	faas_invocation_unref(invocation);
	++*(int *)user;
}

static void the_last_handle_may_go_inside_the_callback(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	int told = 0;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, unref_in_callback, &told));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, told);
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, unref_in_callback, &told));
	assert_int_equal(2, told);
}

static void a_handle_outlives_its_function_and_its_runtime(void **state)
{
	struct stage stage;
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_invocation *settled, *queued;
	faas_function *function = NULL;
	const void *data = NULL;

	(void)state;
	stage_open(&stage, FAAS_RUNTIME(.source = "from here"));
	stage_register(&stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_function_find(stage.bed.runtime, "f", &function));
	settled = stage_settle(&stage, "f", JOB(.reply = "kept", .takes_ns = 5));
	queued = stage_start(&stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_unregister_function(stage.bed.runtime, "f"));
	assert_int_equal(FAAS_OK, faas_close(stage.bed.runtime, 0, 0));
	assert_int_equal(FAAS_OK, faas_invocation_answer(settled, &data, NULL, NULL));
	assert_string_equal("kept", data);
	assert_int_equal(5, timing_of(settled).run_ns);
	assert_string_equal("f", faas_invocation_function(settled));
	assert_string_equal("from here", faas_event_source(faas_invocation_event(settled)));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(queued));
	assert_int_equal(FAAS_OK, faas_invocation_wait(queued, FAAS_NEVER));
	assert_string_equal("f", faas_function_name(function));
	assert_int_equal(FAAS_OK, faas_function_stats(function, &stats));
	assert_int_equal(1, stats.succeeded);
	assert_int_equal(1, stats.cancelled);
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke_async(function, NULL, NULL));
	/* The runtime's memory goes with the last of them, whichever that is. */
	faas_function_unref(function);
	faas_invocation_unref(settled);
	assert_true(stage.bed.memory.blocks > 0);
	faas_invocation_unref(queued);
	faas_clock_unref(stage.bed.clock);
	memory_check_empty(&stage.bed.memory);
	assert_int_equal(1, stage.life.releases);
}

/* ---- Functions' handles ------------------------------------------------------------------------------------------ */

static void a_function_is_found_by_its_name(void **state)
{
	struct stage *stage = *state;
	faas_function *function = (faas_function *)(void *)stage, *again = NULL;
	faas_runtime *runtime = stage->bed.runtime;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_EINVAL, faas_function_find(NULL, "f", &function));
	assert_int_equal(FAAS_EINVAL, faas_function_find(runtime, NULL, &function));
	assert_int_equal(FAAS_EINVAL, faas_function_find(runtime, "f", NULL));
	assert_int_equal(FAAS_ENAME, faas_function_find(runtime, "not/ok", &function));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_find(runtime, "F", &function));
	assert_ptr_equal(stage, function);
	assert_int_equal(FAAS_OK, faas_function_find(runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_function_find(runtime, "f", &again));
	assert_ptr_equal(function, again);
	assert_string_equal("f", faas_function_name(function));
	assert_ptr_equal(function, faas_function_ref(function));
	faas_function_unref(again);
	faas_function_unref(function);
	faas_function_unref(function);
}

static void invoking_through_a_handle_is_the_same(void **state)
{
	struct stage *stage = *state;
	faas_function *function = NULL;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_EFAILED, faas_function_invoke(function, JOB(.says = "why"), 0, &invocation));
	assert_string_equal("why", faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_ETIMEDOUT, faas_function_invoke(function, JOB(.takes_ns = 2 * MS), 1, &invocation));
	assert_int_equal(1 * MS, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_OK, faas_function_invoke_async(function, JOB(.reply = "yes"), &invocation));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, NULL));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(4, stage->life.runs);
	faas_function_unref(function);
}

static void a_handle_does_not_keep_a_function_registered(void **state)
{
	struct stage *stage = *state;
	faas_function *function = NULL;
	faas_invocation *const marker = (faas_invocation *)(void *)stage;
	faas_invocation *invocation = marker;

	assert_int_equal(FAAS_EINVAL, faas_function_invoke(NULL, NULL, 0, &invocation));
	assert_null(invocation);
	assert_int_equal(FAAS_EINVAL, faas_function_invoke_async(NULL, NULL, &invocation));
	assert_null(invocation);
	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(1, stage->life.releases);
	invocation = marker;
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(function, NULL, 0, &invocation));
	assert_null(invocation);
	invocation = marker;
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke_async(function, NULL, &invocation));
	assert_ptr_equal(marker, invocation);
	/* A new one of the same name is another function. */
	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(3, stats_of(function).rejected_closed);
	assert_int_equal(0, stats_of(function).succeeded);
	assert_int_equal(1, bed_stats(&stage->bed, "f").succeeded);
	assert_int_equal(3, bed_totals(&stage->bed).total.rejected_closed);
	faas_function_unref(function);
}

/* ---- Timing ------------------------------------------------------------------------------------------------------ */

static void assert_timing(const faas_invocation *invocation, int64_t queued_ns, int64_t init_ns, int64_t run_ns,
                          int is_cold)
{
	struct faas_timing_stats timing = timing_of(invocation);

	assert_int_equal(queued_ns, timing.queued_ns);
	assert_int_equal(init_ns, timing.init_ns);
	assert_int_equal(run_ns, timing.run_ns);
	assert_int_equal(is_cold, timing.is_cold);
	assert_int_equal(1, timing.attempts);
}

static void each_stage_takes_its_own_nanoseconds(void **state)
{
	struct stage *stage = *state;
	faas_invocation *cold, *warm, *instant;

	stage_register(stage, "f", NULL);
	stage->life.init_takes_ns = 45;
	cold = stage_start(stage, "f", JOB(.takes_ns = 678));
	stage_advance_ns(stage, 23);
	warm = stage_start(stage, "f", JOB(.takes_ns = 9, .result = 1));
	stage_advance_ns(stage, 100);
	assert_int_equal(2, bed_run(&stage->bed));
	instant = stage_settle(stage, "f", NULL);
	assert_timing(cold, 123, 45, 678, 1);
	assert_timing(warm, 100 + 45 + 678, 0, 9, 0);
	assert_timing(instant, 0, 0, 0, 0);
	faas_invocation_unref(cold);
	faas_invocation_unref(warm);
	faas_invocation_unref(instant);
}

static void what_is_given_up_took_as_long_as_it_was_waited_for(void **state)
{
	struct stage *stage = *state;
	faas_invocation *late, *late_init;

	stage_register(stage, "f", ONCE(.deadline_ms = 1, .init_deadline_ms = 2));
	late = stage_settle(stage, "f", JOB(.takes_ns = 90 * MS));
	assert_timing(late, 0, 0, 1 * MS, 1);
	faas_invocation_unref(late);
	stage->life.init_takes_ns = 90 * MS;
	late_init = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(late_init));
	assert_timing(late_init, 0, 2 * MS, 0, 1);
	faas_invocation_unref(late_init);
}

/* The attempt began with its init. */
static void a_failed_init_is_an_attempt(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	stage->life.init_takes_ns = 3;
	invocation = stage_settle(stage, "f", NULL);
	assert_timing(invocation, 0, 3, 0, 1);
	faas_invocation_unref(invocation);
}

static void timing_follows_the_callers_struct_size(void **state)
{
	struct stage *stage = *state;
	union {
		struct faas_timing_stats timing;
		unsigned char bytes[sizeof(struct faas_timing_stats) + 16];
	} large;
	struct faas_timing_stats timing;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.takes_ns = 77));
	memset(&large, 0xee, sizeof(large));
	large.timing.struct_size = sizeof(large);
	assert_int_equal(FAAS_OK, faas_invocation_timing(invocation, &large.timing));
	assert_int_equal(77, large.timing.run_ns);
	assert_int_equal(sizeof(large), large.timing.struct_size);
	for (size_t i = sizeof(struct faas_timing_stats); i < sizeof(large); i++)
		assert_int_equal(0, large.bytes[i]);
	memset(&timing, 0xee, sizeof(timing));
	timing.struct_size = offsetof(struct faas_timing_stats, init_ns);
	assert_int_equal(FAAS_OK, faas_invocation_timing(invocation, &timing));
	assert_int_equal(1, timing.attempts);
	assert_int_equal((int64_t)0xeeeeeeeeeeeeeeee, timing.run_ns);
	timing.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_invocation_timing(invocation, &timing));
	assert_int_equal(FAAS_EINVAL, faas_invocation_timing(invocation, NULL));
	assert_int_equal(FAAS_EINVAL, faas_invocation_timing(NULL, &timing));
	faas_invocation_unref(invocation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(giving_back_nothing_does_nothing),
		STAGE_TEST(an_invocation_runs_though_its_handle_is_gone),
		STAGE_TEST(references_go_back_in_any_order),
		STAGE_TEST(the_last_handle_may_go_inside_the_handler),
		STAGE_TEST(the_last_handle_may_go_inside_the_callback),
		cmocka_unit_test(a_handle_outlives_its_function_and_its_runtime),
		STAGE_TEST(a_function_is_found_by_its_name),
		STAGE_TEST(invoking_through_a_handle_is_the_same),
		STAGE_TEST(a_handle_does_not_keep_a_function_registered),
		STAGE_TEST(each_stage_takes_its_own_nanoseconds),
		STAGE_TEST(what_is_given_up_took_as_long_as_it_was_waited_for),
		STAGE_TEST(a_failed_init_is_an_attempt),
		STAGE_TEST(timing_follows_the_callers_struct_size),
	};

	return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
