/* SPDX-License-Identifier: MIT */
/* Workers: cold and warm, which one is taken, how long it is kept, how many there may be. Manual mode. */
#include "support_run.h"

/* A handler that invokes its own function until `levels` of them run, one inside the other. */
struct nest {
	int levels;
	int64_t each_takes_ns; /* when the inner one has returned */
	int codes[20];         /* what the invokes said, from the outside in */
	int invokes;
	struct faas_function_stats bottom; /* what the innermost handler sees */
};

static void go_down(faas_context *context, void *arg)
{
	struct nest *nest = arg;
	int at = nest->invokes;

	if (--nest->levels <= 0) {
		peek_at_self(context, &nest->bottom);
		return;
	}
	nest->invokes++;
	nest->codes[at] = faas_context_invoke(context, faas_context_function(context),
	                                      JOB(.does = go_down, .arg = nest, .takes_ns = nest->each_takes_ns), 0, NULL);
}

static int run_nest(struct stage *stage, const char *name, struct nest *nest)
{
	return stage_invoke(stage, name, JOB(.does = go_down, .arg = nest, .takes_ns = nest->each_takes_ns));
}

/* ---- Cold and warm ----------------------------------------------------------------------------------------------- */

static void in_init_peek(faas_context *context, void *arg)
{
	peek_at_self(context, arg);
}

static void a_worker_is_starting_then_busy_then_warm(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats init, handler, after;

	stage_register(stage, "f", NULL);
	after = bed_stats(&stage->bed, "f");
	assert_int_equal(0, after.starting + after.busy + after.warm + after.workers_peak);
	stage->life.in_init = in_init_peek;
	stage->life.arg = &init;
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = peek_at_self, .arg = &handler)));
	check_accounts(&init);
	assert_int_equal(1, init.starting);
	assert_int_equal(0, init.busy + init.warm);
	assert_int_equal(1, init.running);
	check_accounts(&handler);
	assert_int_equal(1, handler.busy);
	assert_int_equal(0, handler.starting + handler.warm);
	assert_int_equal(1, handler.cold_starts);
	assert_int_equal(0, handler.warm_starts);
	after = bed_stats(&stage->bed, "f");
	assert_int_equal(1, after.warm);
	assert_int_equal(0, after.starting + after.busy);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = peek_at_self, .arg = &handler)));
	assert_int_equal(1, handler.cold_starts);
	assert_int_equal(1, handler.warm_starts);
	assert_int_equal(1, handler.busy);
	assert_int_equal(0, handler.warm);
	assert_int_equal(1, stage->life.inits);
}

static int keep_nothing(faas_context *context, void **ret_state)
{
	(void)context;
	*ret_state = NULL;
	return 0;
}

static int note_state(faas_context *context, const faas_event *event)
{
	void **note = faas_context_user(context);

	(void)event;
	*note = faas_context_state(context);
	return 0;
}

static void no_init_and_an_empty_state_are_fine(void **state)
{
	struct stage *stage = *state;
	void *note = &note;

	stage_register(stage, "plain", ONCE(.handler = note_state, .user = &note));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "plain", NULL));
	assert_null(note);
	note = &note;
	stage_register(stage, "empty", ONCE(.handler = note_state, .user = &note, .init = keep_nothing));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "empty", NULL));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "empty", NULL));
	assert_null(note);
	assert_int_equal(1, bed_stats(&stage->bed, "empty").cold_starts);
	assert_int_equal(1, bed_stats(&stage->bed, "empty").warm_starts);
}

static void the_worker_used_last_is_taken_first(void **state)
{
	struct stage *stage = *state;
	struct nest three = {.levels = 3}, two = {.levels = 2};

	stage_register(stage, "f", NULL);
	/* Workers 1, 2 and 3 from the outside in; they return in the order 3, 2, 1. */
	assert_int_equal(FAAS_OK, run_nest(stage, "f", &three));
	assert_int_equal(3, three.bottom.busy);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
		assert_int_equal(1, stage->life.last_run);
	}
	assert_int_equal(FAAS_OK, run_nest(stage, "f", &two));
	assert_int_equal(2, two.bottom.busy);
	assert_int_equal(1, two.bottom.warm);
	assert_int_equal(3, stage->life.inits);
	assert_int_equal(3, bed_stats(&stage->bed, "f").cold_starts);
	assert_int_equal(5, bed_stats(&stage->bed, "f").warm_starts);
}

/* ---- Idle workers ------------------------------------------------------------------------------------------------ */

static void an_idle_worker_is_retired_at_its_nanosecond(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.keep_warm_ms = 1000));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 17)));
	assert_int_equal(1000 * MS, bed_next_due(&stage->bed));
	stage_advance_ns(stage, 1000 * MS - 1);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, bed_next_due(&stage->bed));
	stage_advance_ns(stage, 1);
	assert_int_equal(0, bed_next_due(&stage->bed));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(0, bed_stats(&stage->bed, "f").warm);
	assert_int_equal(1, bed_stats(&stage->bed, "f").retired_idle);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
}

static void each_use_keeps_a_worker_warm_anew(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.keep_warm_ms = 1000));
	for (int i = 0; i < 10; i++) {
		assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
		assert_int_equal(1000 * MS, bed_next_due(&stage->bed));
		bed_advance_ms(&stage->bed, 999);
		assert_int_equal(0, bed_run(&stage->bed));
		assert_int_equal(1 * MS, bed_next_due(&stage->bed));
	}
	assert_int_equal(1, stage->life.inits);
	bed_advance_ms(&stage->bed, 1);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.finis);
}

static void the_worker_that_idled_longest_goes_first(void **state)
{
	struct stage *stage = *state;
	struct nest nest = {.levels = 3, .each_takes_ns = 10 * MS};

	stage_register(stage, "f", ONCE(.keep_warm_ms = 100));
	/* Worker 3 is idle from 10 ms on, 2 from 20, 1 from 30. */
	assert_int_equal(FAAS_OK, run_nest(stage, "f", &nest));
	assert_int_equal(0, bed_run(&stage->bed));
	for (int number = 3; number >= 1; number--) {
		assert_int_equal(number == 3 ? 80 * MS : 10 * MS, bed_next_due(&stage->bed));
		stage_advance_ns(stage, bed_next_due(&stage->bed));
		assert_int_equal(1, bed_run(&stage->bed));
		assert_int_equal(number, stage->life.last_retired);
		assert_int_equal(number - 1, bed_stats(&stage->bed, "f").warm);
	}
	assert_int_equal(130 * MS, stage_now(stage));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	assert_int_equal(3, bed_stats(&stage->bed, "f").retired_idle);
}

static void workers_due_together_take_a_step_each(void **state)
{
	struct stage *stage = *state;
	struct nest nest = {.levels = 5};

	stage_register(stage, "f", ONCE(.keep_warm_ms = 100));
	assert_int_equal(FAAS_OK, run_nest(stage, "f", &nest));
	bed_advance_ms(&stage->bed, 5000);
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(1, faas_run(stage->bed.runtime, 1));
		assert_int_equal(i, stage->life.finis);
	}
	assert_int_equal(0, faas_run(stage->bed.runtime, 1));
}

static void a_worker_may_be_kept_for_ever(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.keep_warm_ms = FAAS_NEVER));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, FAAS_MAX_DURATION_MS / 2);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(1, stage->life.inits);
}

static void by_default_workers_are_kept_for_ten_minutes(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(600000 * MS, bed_next_due(&stage->bed));
}

/* ---- Provisioned workers ----------------------------------------------------------------------------------------- */

static void provisioned_workers_are_made_ahead_of_need(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.provisioned = 3));
	assert_int_equal(0, stage->life.inits);
	assert_int_equal(0, bed_next_due(&stage->bed));
	stage->life.init_takes_ns = 5;
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(1, faas_run(stage->bed.runtime, 1));
		assert_int_equal(i, stage->life.inits);
	}
	assert_int_equal(0, bed_run(&stage->bed));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(3, stats.warm);
	assert_int_equal(3, stats.cold_starts);
	assert_int_equal(3, stats.provisioned_starts);
	assert_int_equal(3, stats.workers_peak);
	assert_int_equal(15, stats.init_ns);
	assert_int_equal(0, stats.accepted + stats.requests + stats.busy + stats.starting + stats.warm_starts);
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(0, timing_of(invocation).is_cold);
	assert_int_equal(0, timing_of(invocation).init_ns);
	assert_int_equal(1, bed_stats(&stage->bed, "f").warm_starts);
	faas_invocation_unref(invocation);
}

static void provisioned_workers_stay_and_surplus_ones_go(void **state)
{
	struct stage *stage = *state;
	struct nest nest = {.levels = 5};

	stage_register(stage, "f", ONCE(.provisioned = 2, .keep_warm_ms = 100));
	assert_int_equal(2, bed_run(&stage->bed));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, 1000000);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, run_nest(stage, "f", &nest));
	assert_int_equal(5, stage->life.inits);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(100 * MS, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(3, bed_run(&stage->bed));
	assert_int_equal(2, bed_stats(&stage->bed, "f").warm);
	assert_int_equal(3, bed_stats(&stage->bed, "f").retired_idle);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
}

static void a_provisioned_worker_that_dies_is_replaced(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.provisioned = 2, .deadline_ms = 10));
	assert_int_equal(2, bed_run(&stage->bed));
	assert_int_equal(FAAS_ETIMEDOUT, stage_invoke(stage, "f", JOB(.takes_ns = 10 * MS)));
	assert_int_equal(1, bed_stats(&stage->bed, "f").warm);
	assert_int_equal(1, bed_run(&stage->bed));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(2, stats.warm);
	assert_int_equal(3, stats.provisioned_starts);
	assert_int_equal(3, stage->life.inits);
	assert_int_equal(1, stage->life.finis);
}

static void a_provisioned_start_that_fails_is_tried_again_after_a_pause(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage->life.init_fails = 2;
	stage_register(stage, "f", ONCE(.provisioned = 2));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(100 * MS, bed_next_due(&stage->bed));
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(200 * MS, bed_next_due(&stage->bed));
	stage_advance_ns(stage, 200 * MS - 1);
	assert_int_equal(0, bed_run(&stage->bed));
	stage_advance_ns(stage, 1);
	assert_int_equal(2, bed_run(&stage->bed));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(2, stats.warm);
	assert_int_equal(2, stats.init_failures);
	assert_int_equal(4, stats.provisioned_starts);
	assert_int_equal(0, stats.failed);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
}

static void provisioned_starts_that_fail_pause_in_any_case(void **state)
{
	struct stage *stage = *state;

	stage->life.init_fails = 3;
	stage_register(stage, "f", ONCE(.provisioned = 1, .init_backoff_ms = FAAS_NONE));
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(1, bed_run(&stage->bed));
		assert_int_equal(i, stage->life.failures);
		assert_int_equal(100 * MS, bed_next_due(&stage->bed));
		stage_advance_ns(stage, 100 * MS - 1);
		assert_int_equal(0, bed_run(&stage->bed));
		stage_advance_ns(stage, 1);
	}
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, bed_stats(&stage->bed, "f").warm);
}

static void events_do_not_share_the_pause_of_provisioned_starts(void **state)
{
	struct stage *stage = *state;

	stage->life.init_fails = 1;
	stage_register(stage, "f", ONCE(.provisioned = 1, .init_backoff_ms = FAAS_NONE));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(1, stage->life.inits);
	/* And with that there is one. */
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, stage->life.inits);
}

static void a_provisioned_start_has_its_deadline_too(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage->life.init_takes_ns = 50 * MS;
	stage_register(stage, "f", ONCE(.provisioned = 1, .init_deadline_ms = 20));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(0, stats.warm + stats.busy + stats.starting + stats.overrunning);
	assert_int_equal(1, stats.init_failures);
	assert_int_equal(1, stats.overruns);
	assert_int_equal(1, stats.retired_overrun);
	assert_int_equal(1, stage->life.finis);
	stage->life.init_takes_ns = 0;
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(1, bed_stats(&stage->bed, "f").warm);
}

static void unregistering_before_the_first_start_starts_nothing(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", ONCE(.provisioned = 4));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(0, stage->life.inits);
	assert_int_equal(1, stage->life.releases);
}

static void provisioned_starts_leave_room_for_events(void **state)
{
	struct stage *stage = *state;
	const faas_function_config *more_than_may_run =
		ONCE(.handler = job_handler, .provisioned = 3, .max_concurrency = 2);

	assert_int_equal(FAAS_EINVAL, faas_register_function(stage->bed.runtime, "f", more_than_may_run));
	stage_register(stage, "f", ONCE(.provisioned = 2, .max_concurrency = 2));
	stage_queue(stage, "f", NULL);
	assert_int_equal(3, bed_run(&stage->bed));
	assert_int_equal(2, stage->life.inits);
	assert_int_equal(1, stage->life.runs);
}

/* ---- How many at once -------------------------------------------------------------------------------------------- */

static void more_than_max_concurrency_would_wait_for_itself(void **state)
{
	struct stage *stage = *state;
	struct nest one = {.levels = 2}, two = {.levels = 3};

	stage_register(stage, "one", ONCE(.max_concurrency = 1));
	assert_int_equal(FAAS_OK, run_nest(stage, "one", &one));
	assert_int_equal(FAAS_EDEADLK, one.codes[0]);
	assert_int_equal(1, bed_stats(&stage->bed, "one").cancelled);
	assert_int_equal(1, bed_stats(&stage->bed, "one").workers_peak);
	stage_register(stage, "two", ONCE(.max_concurrency = 2));
	assert_int_equal(FAAS_OK, run_nest(stage, "two", &two));
	assert_int_equal(FAAS_OK, two.codes[0]);
	assert_int_equal(FAAS_EDEADLK, two.codes[1]);
	assert_int_equal(2, bed_stats(&stage->bed, "two").workers_peak);
	assert_int_equal(0, bed_run(&stage->bed));
}

static void without_a_limit_as_many_run_as_nest(void **state)
{
	struct stage *stage = *state;
	struct nest nest = {.levels = FAAS_MAX_DEPTH + 1};
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.max_concurrency = FAAS_UNLIMITED));
	assert_int_equal(FAAS_OK, run_nest(stage, "f", &nest));
	for (int i = 0; i < FAAS_MAX_DEPTH; i++)
		assert_int_equal(FAAS_OK, nest.codes[i]);
	assert_int_equal(FAAS_MAX_DEPTH + 1, nest.bottom.busy);
	assert_int_equal(FAAS_MAX_DEPTH + 1, nest.bottom.running);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(FAAS_MAX_DEPTH + 1, stats.workers_peak);
	assert_int_equal(FAAS_MAX_DEPTH + 1, stats.warm);
	/* The peak stays when they are gone. */
	bed_advance_ms(&stage->bed, 600000);
	assert_int_equal(FAAS_MAX_DEPTH + 1, bed_run(&stage->bed));
	assert_int_equal(FAAS_MAX_DEPTH + 1, bed_stats(&stage->bed, "f").workers_peak);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_MAX_DEPTH + 1, bed_stats(&stage->bed, "f").workers_peak);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_worker_is_starting_then_busy_then_warm),
		STAGE_TEST(no_init_and_an_empty_state_are_fine),
		STAGE_TEST(the_worker_used_last_is_taken_first),
		STAGE_TEST(an_idle_worker_is_retired_at_its_nanosecond),
		STAGE_TEST(each_use_keeps_a_worker_warm_anew),
		STAGE_TEST(the_worker_that_idled_longest_goes_first),
		STAGE_TEST(workers_due_together_take_a_step_each),
		STAGE_TEST(a_worker_may_be_kept_for_ever),
		STAGE_TEST(by_default_workers_are_kept_for_ten_minutes),
		STAGE_TEST(provisioned_workers_are_made_ahead_of_need),
		STAGE_TEST(provisioned_workers_stay_and_surplus_ones_go),
		STAGE_TEST(a_provisioned_worker_that_dies_is_replaced),
		STAGE_TEST(a_provisioned_start_that_fails_is_tried_again_after_a_pause),
		STAGE_TEST(provisioned_starts_that_fail_pause_in_any_case),
		STAGE_TEST(events_do_not_share_the_pause_of_provisioned_starts),
		STAGE_TEST(a_provisioned_start_has_its_deadline_too),
		STAGE_TEST(unregistering_before_the_first_start_starts_nothing),
		STAGE_TEST(provisioned_starts_leave_room_for_events),
		STAGE_TEST(more_than_max_concurrency_would_wait_for_itself),
		STAGE_TEST(without_a_limit_as_many_run_as_nest),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
