/* SPDX-License-Identifier: MIT */
/*
 * What begins must end: fini once for each init that succeeded, release once after the last use, whatever ends a
 * function. Each stage checks both when it closes; here are the ways. Manual mode.
 */
#include "support_run.h"

/* ---- fini -------------------------------------------------------------------------------------------------------- */

static void closing_retires_what_is_warm(void **state)
{
	struct stage stage;
	faas_function *function = NULL;
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	(void)state;
	stage_open(&stage, NULL);
	stage_register(&stage, "f", ONCE(.provisioned = 3));
	stage_register(&stage, "g", NULL);
	assert_int_equal(3, bed_run(&stage.bed));
	assert_int_equal(FAAS_OK, stage_invoke(&stage, "g", NULL));
	assert_int_equal(FAAS_OK, faas_function_find(stage.bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_close(stage.bed.runtime, 0, 0));
	assert_int_equal(4, stage.life.finis);
	assert_int_equal(2, stage.life.releases);
	assert_int_equal(0, stage.life.mistakes);
	assert_int_equal(FAAS_OK, faas_function_stats(function, &stats));
	assert_int_equal(3, stats.retired_closed);
	assert_int_equal(0, stats.warm);
	faas_function_unref(function);
	faas_clock_unref(stage.bed.clock);
	memory_check_empty(&stage.bed.memory);
}

static void unregistering_retires_what_is_warm_in_steps(void **state)
{
	struct stage *stage = *state;
	faas_function *function = NULL;

	stage_register(stage, "f", ONCE(.provisioned = 3));
	assert_int_equal(3, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(0, stage->life.releases);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(1, faas_run(stage->bed.runtime, 1));
		assert_int_equal(i, stage->life.finis);
		assert_int_equal(i, stats_of(function).retired_unregistered);
	}
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.releases);
	assert_int_equal(3, bed_totals(&stage->bed).total.retired_unregistered);
	faas_function_unref(function);
}

static void each_way_to_retire_has_its_counter(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats total;

	stage_register(stage, "f", ONCE(.keep_warm_ms = 10, .deadline_ms = 10));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	bed_advance_ms(&stage->bed, 10);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_ETIMEDOUT, stage_invoke(stage, "f", JOB(.takes_ns = 10 * MS)));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(1, bed_run(&stage->bed));
	total = bed_totals(&stage->bed).total;
	assert_int_equal(1, total.retired_idle);
	assert_int_equal(1, total.retired_overrun);
	assert_int_equal(1, total.retired_unregistered);
	assert_int_equal(0, total.retired_closed);
	assert_int_equal(3, stage->life.finis);
}

static void a_failed_init_has_nothing_to_undo(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats total;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	bed_run(&stage->bed);
	assert_int_equal(0, stage->life.finis);
	assert_int_equal(1, stage->life.releases);
	total = bed_totals(&stage->bed).total;
	assert_int_equal(0, total.retired_idle + total.retired_overrun + total.retired_unregistered);
}

/* ---- release ----------------------------------------------------------------------------------------------------- */

static void a_failed_registration_releases_nothing(void **state)
{
	struct stage *stage = *state;
	faas_runtime *runtime = stage->bed.runtime;
	faas_function_config config = *ONCE(.handler = job_handler, .user = &stage->life, .release = life_release);

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_EINVAL, faas_register_function(NULL, "g", &config));
	assert_int_equal(FAAS_EINVAL, faas_register_function(runtime, NULL, &config));
	assert_int_equal(FAAS_ENAME, faas_register_function(runtime, "g/h", &config));
	assert_int_equal(FAAS_EEXIST, faas_register_function(runtime, "f", &config));
	config.weight = 1001;
	assert_int_equal(FAAS_EINVAL, faas_register_function(runtime, "g", &config));
	config.weight = 0;
	config.handler = NULL;
	assert_int_equal(FAAS_EINVAL, faas_register_function(runtime, "g", &config));
	config.handler = job_handler;
	for (int64_t n = 0;; n++) {
		int code;

		memory_fail(&stage->bed.memory, n, INT64_MAX / 2);
		code = faas_register_function(runtime, "g", &config);
		memory_fail(&stage->bed.memory, -1, 0);
		if (code == FAAS_OK)
			break;
		assert_int_equal(FAAS_ENOMEM, code);
		assert_int_equal(1, bed_totals(&stage->bed).functions);
		assert_int_equal(0, stage->life.releases);
	}
	stage->life.registered++;
	assert_int_equal(FAAS_OK, faas_drain(runtime, 0));
	assert_int_equal(FAAS_ECLOSED, faas_register_function(runtime, "h", &config));
	assert_int_equal(0, stage->life.releases);
}

static void release_follows_at_once_where_nothing_is_left(void **state)
{
	struct stage *stage = *state;
	faas_function *function = NULL;

	stage_register(stage, "f", NULL);
	/* A handle keeps the numbers readable, and nothing else. */
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(1, stage->life.releases);
	assert_int_equal(0, stats_of(function).offered);
	faas_function_unref(function);
	assert_int_equal(1, stage->life.releases);
}

static void release_waits_for_the_last_fini(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(0, stage->life.releases);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(1, stage->life.releases);
	assert_int_equal(1, stage->life.runs);
	faas_invocation_unref(invocation);
}

static void without_release_nothing_is_called(void **state)
{
	struct stage *stage = *state;
	int user = 0;

	stage_register(stage, "f", ONCE(.handler = gate_handler, .user = &user));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(0, stage->life.releases);
}

struct again {
	faas_runtime *runtime;
	struct life *life;
	int code;
};

static void register_again(void *arg)
{
	struct again *again = arg;

	again->life->in_release = NULL;
	again->code = faas_register_function(again->runtime, "f",
	                                     ONCE(.handler = job_handler, .init = life_init, .fini = life_fini,
	                                                   .user = again->life, .release = life_release));
	again->life->registered += again->code == FAAS_OK;
}

static void release_may_register_the_name_again(void **state)
{
	struct stage *stage = *state;
	struct again again = {.runtime = stage->bed.runtime, .life = &stage->life, .code = -1};

	stage_register(stage, "f", NULL);
	stage->life.in_release = register_again;
	stage->life.arg = &again;
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(FAAS_OK, again.code);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(1, stage->life.releases);
}

/* ---- Unregistering ----------------------------------------------------------------------------------------------- */

static void unregistering_what_is_not_there_is_refused(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_EINVAL, faas_unregister_function(NULL, "f"));
	assert_int_equal(FAAS_EINVAL, faas_unregister_function(stage->bed.runtime, NULL));
	assert_int_equal(FAAS_ENAME, faas_unregister_function(stage->bed.runtime, "f "));
	assert_int_equal(FAAS_ENOTFOUND, faas_unregister_function(stage->bed.runtime, "g"));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, faas_unregister_function(stage->bed.runtime, "f"));
}

static void unregistering_takes_bindings_and_keeps_numbers(void **state)
{
	struct stage *stage = *state;
	struct faas_runtime_stats totals;

	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	bed_bind(&stage->bed, "a", "f");
	bed_bind(&stage->bed, ">", "f");
	bed_bind(&stage->bed, "a", "g");
	assert_int_equal(2, bed_emit(&stage->bed, "a", ""));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	totals = bed_totals(&stage->bed);
	assert_int_equal(1, totals.functions);
	assert_int_equal(1, totals.bindings);
	assert_int_equal(1, totals.total.cancelled);
	assert_int_equal(2, totals.total.accepted);
	assert_int_equal(1, bed_emit(&stage->bed, "a", ""));
	assert_int_equal(0, bed_emit(&stage->bed, "b", ""));
	assert_int_equal(2, bed_run(&stage->bed));
	totals = bed_totals(&stage->bed);
	assert_int_equal(2, totals.total.succeeded);
	assert_int_equal(1, totals.total.cancelled);
	assert_int_equal(1, totals.unmatched);
}

/* A handler that unregisters its own function, registers another under the name, and runs that. */
struct successor {
	struct stage *stage;
	int unregister, twice, invoke_gone, register_it, invoke_new, queue_new;
	int release_inside;
	struct faas_function_stats old, new;
	faas_function *handle;
};

static void make_way(faas_context *context, void *arg)
{
	struct successor *successor = arg;
	faas_runtime *runtime = faas_context_runtime(context);

	(void)faas_function_find(runtime, "f", &successor->handle);
	successor->unregister = faas_unregister_function(runtime, "f");
	successor->twice = faas_unregister_function(runtime, "f");
	successor->invoke_gone = faas_context_invoke(context, "f", NULL, 0, NULL);
	successor->register_it =
		faas_register_function(runtime, "f",
	                           ONCE(.handler = job_handler, .init = life_init, .fini = life_fini,
	                                         .user = &successor->stage->life, .release = life_release));
	successor->stage->life.registered++;
	successor->invoke_new = faas_context_invoke(context, "f", NULL, 0, NULL);
	successor->queue_new = faas_context_invoke_async(context, "f", NULL, NULL);
	successor->release_inside = successor->stage->life.releases;
	successor->old.struct_size = sizeof(successor->old);
	(void)faas_function_stats(successor->handle, &successor->old);
	peek_at_self(context, &successor->new);
}

static void a_handler_may_unregister_itself_and_the_name_is_free_at_once(void **state)
{
	struct stage *stage = *state;
	struct successor successor = {.stage = stage};
	faas_invocation *running, *queued;
	struct faas_function_stats old;

	stage_register(stage, "f", NULL);
	running = stage_start(stage, "f", JOB(.does = make_way, .arg = &successor, .reply = "last words"));
	queued = stage_start(stage, "f", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_OK, successor.unregister);
	assert_int_equal(FAAS_ENOTFOUND, successor.twice);
	assert_int_equal(FAAS_ENOTFOUND, successor.invoke_gone);
	assert_int_equal(FAAS_OK, successor.register_it);
	assert_int_equal(FAAS_OK, successor.invoke_new);
	assert_int_equal(FAAS_OK, successor.queue_new);
	/* The old one is still running then; its queue was cancelled. */
	assert_int_equal(0, successor.release_inside);
	assert_int_equal(1, successor.old.running);
	assert_int_equal(1, successor.old.cancelled);
	assert_int_equal(1, successor.new.succeeded);
	assert_int_equal(1, successor.new.queued);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(queued));
	assert_int_equal(FAAS_OK, faas_invocation_answer(running, NULL, NULL, NULL));
	bed_run(&stage->bed);
	old = stats_of(successor.handle);
	assert_int_equal(1, old.succeeded);
	assert_int_equal(1, old.retired_unregistered);
	assert_int_equal(1, stage->life.releases);
	assert_int_equal(2, bed_stats(&stage->bed, "f").succeeded);
	assert_int_equal(3, bed_totals(&stage->bed).total.succeeded);
	assert_int_equal(4, bed_totals(&stage->bed).total.accepted);
	faas_function_unref(successor.handle);
	faas_invocation_unref(running);
	faas_invocation_unref(queued);
}

struct leave {
	faas_clock *clock;
	int unregister;
};

static void leave_and_overrun(faas_context *context, void *arg)
{
	struct leave *leave = arg;

	leave->unregister = faas_unregister_function(faas_context_runtime(context), faas_context_function(context));
	(void)faas_clock_advance(leave->clock, 3000 * MS);
}

static void what_overruns_after_unregistering_ends_like_any_overrun(void **state)
{
	struct stage *stage = *state;
	struct leave leave = {.clock = stage->bed.clock};
	struct faas_function_stats total;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.does = leave_and_overrun, .arg = &leave));
	assert_int_equal(FAAS_OK, leave.unregister);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	bed_run(&stage->bed);
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(1, stage->life.releases);
	total = bed_totals(&stage->bed).total;
	assert_int_equal(1, total.timed_out);
	assert_int_equal(1, total.retired_overrun);
	assert_int_equal(0, total.overrunning);
	faas_invocation_unref(invocation);
}

static void unregister_now(faas_context *context, void *arg)
{
	*(int *)arg = faas_unregister_function(faas_context_runtime(context), faas_context_function(context));
}

static void init_may_unregister_its_function(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	int code = -1;

	stage_register(stage, "f", NULL);
	stage->life.in_init = unregister_now;
	stage->life.arg = &code;
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_OK, code);
	/* What runs finishes. */
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	bed_run(&stage->bed);
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(1, stage->life.releases);
	faas_invocation_unref(invocation);
}

static void a_provisioned_init_may_unregister_its_function(void **state)
{
	struct stage *stage = *state;
	int code = -1;

	stage->life.in_init = unregister_now;
	stage->life.arg = &code;
	stage_register(stage, "f", ONCE(.provisioned = 3));
	bed_run(&stage->bed);
	assert_int_equal(FAAS_OK, code);
	assert_int_equal(1, stage->life.inits);
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(1, stage->life.releases);
}

static void a_function_may_come_and_go_many_times(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 100; i++) {
		stage_register(stage, "f", ONCE(.provisioned = i % 3));
		bed_bind(&stage->bed, "a.*", "f");
		assert_int_equal(1, bed_emit(&stage->bed, "a.b", ""));
		if (i % 2 == 0)
			bed_run(&stage->bed);
		assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
		if (i % 5 == 0)
			bed_run(&stage->bed);
	}
	bed_run(&stage->bed);
	assert_int_equal(100, stage->life.releases);
	assert_int_equal(stage->life.inits, stage->life.finis);
	assert_int_equal(50, bed_totals(&stage->bed).total.succeeded);
	assert_int_equal(50, bed_totals(&stage->bed).total.cancelled);
	assert_int_equal(0, bed_totals(&stage->bed).functions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closing_retires_what_is_warm),
		STAGE_TEST(unregistering_retires_what_is_warm_in_steps),
		STAGE_TEST(each_way_to_retire_has_its_counter),
		STAGE_TEST(a_failed_init_has_nothing_to_undo),
		STAGE_TEST(a_failed_registration_releases_nothing),
		STAGE_TEST(release_follows_at_once_where_nothing_is_left),
		STAGE_TEST(release_waits_for_the_last_fini),
		STAGE_TEST(without_release_nothing_is_called),
		STAGE_TEST(release_may_register_the_name_again),
		STAGE_TEST(unregistering_what_is_not_there_is_refused),
		STAGE_TEST(unregistering_takes_bindings_and_keeps_numbers),
		STAGE_TEST(a_handler_may_unregister_itself_and_the_name_is_free_at_once),
		STAGE_TEST(what_overruns_after_unregistering_ends_like_any_overrun),
		STAGE_TEST(init_may_unregister_its_function),
		STAGE_TEST(a_provisioned_init_may_unregister_its_function),
		STAGE_TEST(a_function_may_come_and_go_many_times),
	};

	return cmocka_run_group_tests_name("lifetime", tests, NULL, NULL);
}
