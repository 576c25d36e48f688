/* SPDX-License-Identifier: MIT */
/* Starting workers: inits that fail, that take too long, and the pauses between tries. Manual mode. */
#include "support_run.h"

/* ---- Deadlines of inits ------------------------------------------------------------------------------------------ */

struct watch {
	faas_clock *clock;
	int64_t passes_ns;
	faas_invocation *invocation;
	int64_t remaining_before, remaining_after, due;
	int is_cancelled, status, outcome;
	struct faas_function_stats before, after;
};

static void watch_time_pass(faas_context *context, void *arg)
{
	struct watch *watch = arg;

	watch->remaining_before = faas_context_remaining_ms(context);
	(void)faas_next_due(faas_context_runtime(context), &watch->due);
	peek_at_self(context, &watch->before);
	(void)faas_clock_advance(watch->clock, watch->passes_ns);
	watch->remaining_after = faas_context_remaining_ms(context);
	watch->is_cancelled = faas_context_is_cancelled(context);
	watch->status = faas_invocation_status(watch->invocation);
	watch->outcome = faas_invocation_outcome(watch->invocation);
	peek_at_self(context, &watch->after);
}

/* Runs one invocation whose init takes so long; the caller gets it. */
static faas_invocation *run_init(struct stage *stage, struct watch *watch, int64_t deadline_ms, int64_t passes_ns)
{
	*watch = (struct watch){.clock = stage->bed.clock, .passes_ns = passes_ns};
	stage_register(stage, "f", ONCE(.init_deadline_ms = deadline_ms));
	stage->life.in_init = watch_time_pass;
	stage->life.arg = watch;
	watch->invocation = stage_start(stage, "f", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	stage->life.in_init = NULL;
	return watch->invocation;
}

static void an_init_has_a_deadline_of_its_own(void **state)
{
	struct stage *stage = *state;
	struct watch watch;
	faas_invocation *invocation = run_init(stage, &watch, 5000, 5000 * MS - 1);

	assert_int_equal(5000, watch.remaining_before);
	assert_int_equal(5000 * MS, watch.due);
	assert_int_equal(0, watch.remaining_after);
	assert_int_equal(0, watch.is_cancelled);
	assert_int_equal(1, watch.before.starting);
	assert_int_equal(1, watch.before.running);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_int_equal(5000 * MS - 1, timing_of(invocation).init_ns);
	assert_int_equal(5000 * MS - 1, bed_stats(&stage->bed, "f").init_ns);
	faas_invocation_unref(invocation);
}

static void an_init_at_its_deadline_has_failed(void **state)
{
	struct stage *stage = *state;
	struct watch watch;
	struct faas_function_stats stats;
	faas_invocation *invocation = run_init(stage, &watch, 10, 10 * MS);

	/* Settled at that nanosecond, while it still runs. */
	assert_int_equal(1, watch.is_cancelled);
	assert_int_equal(FAAS_STATUS_FAILED, watch.status);
	assert_int_equal(FAAS_EINIT, watch.outcome);
	assert_int_equal(1, watch.after.failed);
	assert_int_equal(1, watch.after.overrunning);
	assert_int_equal(0, watch.after.running);
	assert_int_equal(0, stage->life.runs);
	assert_int_equal(10 * MS, timing_of(invocation).init_ns);
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_string_equal(faas_strerror(FAAS_EINIT), faas_invocation_message(invocation));
	/* It has returned with a state after all: that is undone at once. */
	assert_int_equal(1, stage->life.inits);
	assert_int_equal(1, stage->life.finis);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(1, stats.init_failures);
	assert_int_equal(1, stats.retired_overrun);
	assert_int_equal(1, stats.overruns);
	assert_int_equal(0, stats.overrunning + stats.starting + stats.busy + stats.warm);
	assert_int_equal(1, stats.cold_starts);
	faas_invocation_unref(invocation);
}

static void a_late_failure_of_init_leaves_nothing_to_undo(void **state)
{
	struct stage *stage = *state;
	struct watch watch;

	stage->life.init_fails = 1;
	faas_invocation_unref(run_init(stage, &watch, 10, 30 * MS));
	assert_int_equal(FAAS_EINIT, watch.outcome);
	assert_int_equal(0, stage->life.inits);
	assert_int_equal(0, stage->life.finis);
	assert_int_equal(1, bed_stats(&stage->bed, "f").init_failures);
}

static void the_default_init_deadline_is_ten_seconds(void **state)
{
	struct stage *stage = *state;
	struct watch watch;
	faas_invocation *invocation = run_init(stage, &watch, 0, 10000 * MS);

	assert_int_equal(10000, watch.remaining_before);
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void without_a_deadline_an_init_may_take_a_year(void **state)
{
	struct stage *stage = *state;
	struct watch watch;
	faas_invocation *invocation = run_init(stage, &watch, FAAS_NEVER, INT64_C(365) * 86400 * 1000 * MS);

	assert_int_equal(FAAS_NEVER, watch.remaining_before);
	assert_int_equal(FAAS_NEVER, watch.due);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

/* The handler's deadline runs from the handler's start. */
static void init_takes_nothing_from_the_handlers_deadline(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.deadline_ms = 10));
	stage->life.init_takes_ns = 500 * MS;
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 10 * MS - 1)));
}

/* ---- Pauses after failed inits ----------------------------------------------------------------------------------- */

static void after_a_failed_init_nothing_starts_for_a_while(void **state)
{
	struct stage *stage = *state;
	faas_invocation *first, *second;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	first = stage_start(stage, "f", NULL);
	second = stage_start(stage, "f", NULL);
	assert_int_equal(1, bed_run(&stage->bed));
	/* The one that asked for it fails; the other waits it out. */
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(first));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(second));
	assert_int_equal(100 * MS, bed_next_due(&stage->bed));
	stage_advance_ns(stage, 100 * MS - 1);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, bed_next_due(&stage->bed));
	stage_advance_ns(stage, 1);
	assert_int_equal(0, bed_next_due(&stage->bed));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(second));
	assert_int_equal(100 * MS, timing_of(second).queued_ns);
	faas_invocation_unref(first);
	faas_invocation_unref(second);
}

/* Fails once more, `pause_ms` after the last failure and not a nanosecond earlier. */
static void fail_after_pause(struct stage *stage, int64_t pause_ms)
{
	int failures = stage->life.failures;

	stage->life.init_fails = 1;
	if (pause_ms > 0) {
		assert_int_equal(pause_ms * MS, bed_next_due(&stage->bed));
		stage_advance_ns(stage, pause_ms * MS - 1);
		assert_int_equal(FAAS_EAGAIN, stage_invoke(stage, "f", NULL));
		stage_advance_ns(stage, 1);
	}
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(failures + 1, stage->life.failures);
}

static void the_pause_doubles_up_to_64_times(void **state)
{
	static const int64_t pauses[] = {0, 10, 20, 40, 80, 160, 320, 640, 640, 640};
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.init_backoff_ms = 10));
	for (size_t i = 0; i < COUNT_OF(pauses); i++)
		fail_after_pause(stage, pauses[i]);
	/* A success ends that, and the next failure begins anew. */
	bed_advance_ms(&stage->bed, 640);
	stage->life.init_fails = 0;
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(1, stage->life.inits);
	bed_advance_ms(&stage->bed, 600000);
	assert_int_equal(1, bed_run(&stage->bed));
	fail_after_pause(stage, 0);
	fail_after_pause(stage, 10);
	assert_int_equal(12, bed_stats(&stage->bed, "f").init_failures);
	assert_int_equal(12, bed_stats(&stage->bed, "f").failed);
}

static void after_the_pause_nothing_is_due_any_more(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
}

static void without_a_pause_each_one_tries_at_once(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.init_backoff_ms = FAAS_NONE));
	stage->life.init_fails = 20;
	for (int i = 0; i < 10; i++)
		stage_queue(stage, "f", NULL);
	assert_int_equal(10, bed_run(&stage->bed));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	for (int i = 0; i < 10; i++)
		assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(20, stage->life.failures);
}

struct second_worker {
	struct life *life;
	int code;
};

static void need_a_second_worker(faas_context *context, void *arg)
{
	struct second_worker *second = arg;

	second->life->init_fails = 1;
	second->code = faas_context_invoke(context, faas_context_function(context), NULL, 0, NULL);
}

static void warm_workers_go_on_during_the_pause(void **state)
{
	struct stage *stage = *state;
	struct second_worker second = {.life = &stage->life};

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = need_a_second_worker, .arg = &second)));
	assert_int_equal(FAAS_EINIT, second.code);
	for (int i = 0; i < 5; i++)
		assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(1, stage->life.inits);
	/* But a second one is not started, ... */
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = need_a_second_worker, .arg = &second)));
	assert_int_equal(FAAS_EAGAIN, second.code);
	/* ... until the pause is over. */
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = need_a_second_worker, .arg = &second)));
	assert_int_equal(FAAS_EINIT, second.code);
}

static void a_cancelled_waiter_leaves_the_pause_as_it_is(void **state)
{
	struct stage *stage = *state;
	faas_invocation *waiting;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	waiting = stage_start(stage, "f", NULL);
	bed_advance_ms(&stage->bed, 50);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(waiting));
	faas_invocation_unref(waiting);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(50 * MS, bed_next_due(&stage->bed));
	waiting = stage_start(stage, "f", NULL);
	bed_advance_ms(&stage->bed, 49);
	assert_int_equal(0, bed_run(&stage->bed));
	bed_advance_ms(&stage->bed, 1);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(waiting));
	faas_invocation_unref(waiting);
}

static void unregistering_ends_the_pause(void **state)
{
	struct stage *stage = *state;
	faas_invocation *waiting;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	waiting = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(waiting));
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.releases);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	/* The pause was the old function's. */
	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(0, bed_run(&stage->bed));
	faas_invocation_unref(waiting);
}

static void functions_pause_each_for_itself(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.init_backoff_ms = 30));
	stage_register(stage, "g", ONCE(.init_backoff_ms = 20));
	stage->life.init_fails = 2;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "g", NULL));
	stage_queue(stage, "f", NULL);
	stage_queue(stage, "g", NULL);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(20 * MS, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, 20);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, bed_stats(&stage->bed, "g").succeeded);
	assert_int_equal(10 * MS, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, 10);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, bed_stats(&stage->bed, "f").succeeded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(an_init_has_a_deadline_of_its_own),
		STAGE_TEST(an_init_at_its_deadline_has_failed),
		STAGE_TEST(a_late_failure_of_init_leaves_nothing_to_undo),
		STAGE_TEST(the_default_init_deadline_is_ten_seconds),
		STAGE_TEST(without_a_deadline_an_init_may_take_a_year),
		STAGE_TEST(init_takes_nothing_from_the_handlers_deadline),
		STAGE_TEST(after_a_failed_init_nothing_starts_for_a_while),
		STAGE_TEST(the_pause_doubles_up_to_64_times),
		STAGE_TEST(after_the_pause_nothing_is_due_any_more),
		STAGE_TEST(without_a_pause_each_one_tries_at_once),
		STAGE_TEST(warm_workers_go_on_during_the_pause),
		STAGE_TEST(a_cancelled_waiter_leaves_the_pause_as_it_is),
		STAGE_TEST(unregistering_ends_the_pause),
		STAGE_TEST(functions_pause_each_for_itself),
	};

	return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
