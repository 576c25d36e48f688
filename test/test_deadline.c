/* SPDX-License-Identifier: MIT */
/* Deadlines of handlers: they settle at their nanosecond, whatever the handler does then. Manual mode. */
#include "support_run.h"

/* What a handler sees before, at and after a moment of its own. */
struct watch {
	faas_clock *clock;
	int64_t until_ns;            /* so much time passes between the two looks */
	faas_invocation *invocation; /* its own */
	struct look {
		int is_cancelled, status;
		int64_t remaining_ms, now, due;
		struct faas_function_stats stats;
	} before, after;
	int late_reply;
};

static void take_a_look(faas_context *context, const struct watch *watch, struct look *look)
{
	look->is_cancelled = faas_context_is_cancelled(context);
	look->remaining_ms = faas_context_remaining_ms(context);
	look->status = watch->invocation ? faas_invocation_status(watch->invocation) : -1;
	look->now = faas_clock_now(watch->clock);
	look->due = INT64_MIN;
	(void)faas_next_due(faas_context_runtime(context), &look->due);
	peek_at_self(context, &look->stats);
}

static void watch_time_pass(faas_context *context, void *arg)
{
	struct watch *watch = arg;

	take_a_look(context, watch, &watch->before);
	(void)faas_clock_advance(watch->clock, watch->until_ns);
	take_a_look(context, watch, &watch->after);
	watch->late_reply = faas_context_reply(context, "late", 4, NULL);
}

/* Runs one such handler under this deadline; the caller gets the invocation. */
static faas_invocation *run_watch(struct stage *stage, struct watch *watch, int64_t deadline_ms, int64_t until_ns)
{
	watch->clock = stage->bed.clock;
	watch->until_ns = until_ns;
	stage_register(stage, "f", ONCE(.deadline_ms = deadline_ms));
	watch->invocation = stage_start(stage, "f", JOB(.does = watch_time_pass, .arg = watch));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	return watch->invocation;
}

static void one_nanosecond_before_the_deadline_is_in_time(void **state)
{
	struct stage *stage = *state;
	struct watch watch = {0};
	faas_invocation *invocation = run_watch(stage, &watch, 10, 10 * MS - 1);

	assert_int_equal(0, watch.before.is_cancelled);
	assert_int_equal(10, watch.before.remaining_ms);
	assert_int_equal(10 * MS, watch.before.due);
	assert_int_equal(0, watch.after.is_cancelled);
	assert_int_equal(0, watch.after.remaining_ms);
	assert_int_equal(1, watch.after.due);
	assert_int_equal(FAAS_STATUS_RUNNING, watch.after.status);
	assert_int_equal(1, watch.after.stats.running);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(10 * MS - 1, timing_of(invocation).run_ns);
	assert_int_equal(0, bed_stats(&stage->bed, "f").overruns);
	assert_int_equal(0, stage->life.finis);
	faas_invocation_unref(invocation);
}

static void at_the_deadline_it_is_settled_while_the_handler_runs(void **state)
{
	struct stage *stage = *state;
	struct watch watch = {0};
	faas_invocation *invocation = run_watch(stage, &watch, 10, 10 * MS);

	assert_int_equal(FAAS_STATUS_RUNNING, watch.before.status);
	assert_int_equal(10 * MS, watch.after.now);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, watch.after.status);
	assert_int_equal(1, watch.after.is_cancelled);
	assert_int_equal(0, watch.after.remaining_ms);
	assert_int_equal(0, watch.after.stats.running);
	assert_int_equal(1, watch.after.stats.timed_out);
	assert_int_equal(1, watch.after.stats.overrunning);
	assert_int_equal(1, watch.after.stats.overruns);
	assert_int_equal(1, watch.after.stats.busy);
	assert_int_equal(FAAS_NEVER, watch.after.due);
	faas_invocation_unref(invocation);
}

static void what_an_overrun_says_is_dropped(void **state)
{
	struct stage *stage = *state;
	struct watch watch = {0};
	faas_invocation *invocation = run_watch(stage, &watch, 10, 70 * MS);

	assert_int_equal(FAAS_OK, watch.late_reply);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_string_equal(faas_strerror(FAAS_ETIMEDOUT), faas_invocation_message(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_int_equal(10 * MS, timing_of(invocation).run_ns);
	assert_int_equal(10, bed_stats(&stage->bed, "f").billed_ms);
	faas_invocation_unref(invocation);
}

static void a_failure_after_the_deadline_is_dropped_too(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", ONCE(.deadline_ms = 10));
	invocation = stage_settle(stage, "f", JOB(.takes_ns = 10 * MS, .says = "too late", .result = 5));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_string_equal(faas_strerror(FAAS_ETIMEDOUT), faas_invocation_message(invocation));
	assert_int_equal(0, bed_stats(&stage->bed, "f").failed);
	faas_invocation_unref(invocation);
}

static void the_worker_of_an_overrun_is_retired_and_the_next_is_new(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", ONCE(.deadline_ms = 10));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_ETIMEDOUT, stage_invoke(stage, "f", JOB(.takes_ns = 11 * MS)));
	assert_int_equal(1, stage->life.inits);
	assert_int_equal(1, stage->life.finis);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(1, stats.retired_overrun);
	assert_int_equal(0, stats.warm + stats.busy + stats.starting + stats.overrunning);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(2, stage->life.last_run);
	assert_int_equal(2, bed_stats(&stage->bed, "f").cold_starts);
	assert_int_equal(1, stage->life.finis);
}

static void the_default_deadline_is_three_seconds(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.takes_ns = 3000 * MS - 1)));
	invocation = stage_settle(stage, "f", JOB(.takes_ns = 3000 * MS));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void without_a_deadline_nothing_is_ever_late(void **state)
{
	struct stage *stage = *state;
	struct watch watch = {0};
	faas_invocation *invocation = run_watch(stage, &watch, FAAS_NEVER, INT64_C(365) * 86400 * 1000 * MS);

	assert_int_equal(FAAS_NEVER, watch.before.remaining_ms);
	assert_int_equal(FAAS_NEVER, watch.before.due);
	assert_int_equal(FAAS_NEVER, watch.after.remaining_ms);
	assert_int_equal(0, watch.after.is_cancelled);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void what_remains_is_rounded_down_to_milliseconds(void **state)
{
	static const struct {
		int64_t passed_ns, remaining_ms;
	} cases[] = {{1, 9}, {1 * MS, 9}, {1 * MS + 1, 8}, {9 * MS, 1}, {9 * MS + 1, 0}, {11 * MS, 0}};
	struct stage *stage = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct watch watch = {0};

		faas_invocation_unref(run_watch(stage, &watch, 10, cases[i].passed_ns));
		assert_int_equal(cases[i].remaining_ms, watch.after.remaining_ms);
		assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
		bed_run(&stage->bed);
	}
}

/* ---- An overrun's slot ------------------------------------------------------------------------------------------- */

struct overrun {
	faas_clock *clock;
	faas_invocation *other; /* of the same function */
	int wait;
	struct faas_function_stats stats;
};

static void overrun_and_wait(faas_context *context, void *arg)
{
	struct overrun *overrun = arg;

	(void)faas_clock_advance(overrun->clock, 50 * MS);
	overrun->wait = faas_invocation_wait(overrun->other, FAAS_NEVER);
	peek_at_self(context, &overrun->stats);
}

static void an_overrun_keeps_its_concurrency_slot(void **state)
{
	struct stage *stage = *state;
	struct overrun overrun = {.clock = stage->bed.clock};

	stage_register(stage, "f", ONCE(.deadline_ms = 10, .max_concurrency = 1));
	stage_queue(stage, "f", JOB(.does = overrun_and_wait, .arg = &overrun));
	overrun.other = stage_start(stage, "f", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_EPENDING, overrun.wait);
	assert_int_equal(1, overrun.stats.overrunning);
	assert_int_equal(1, overrun.stats.queued);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(overrun.other));
	faas_invocation_unref(overrun.other);
}

/* ---- Nested deadlines -------------------------------------------------------------------------------------------- */

struct nest {
	struct stage *stage;
	faas_invocation *outer;
	int64_t inner_takes_ns;
	int inner_code, outer_status_inside, outer_status_after;
	struct faas_timing_stats inner_timing;
};

static void look_at_outer(faas_context *context, void *arg)
{
	struct nest *nest = arg;

	(void)context;
	(void)faas_clock_advance(nest->stage->bed.clock, nest->inner_takes_ns);
	nest->outer_status_inside = faas_invocation_status(nest->outer);
}

static void run_inner(faas_context *context, void *arg)
{
	struct nest *nest = arg;
	faas_invocation *inner = NULL;

	nest->inner_code = faas_context_invoke(context, "inner", JOB(.does = look_at_outer, .arg = nest), 0, &inner);
	nest->inner_timing.struct_size = sizeof(nest->inner_timing);
	(void)faas_invocation_timing(inner, &nest->inner_timing);
	faas_invocation_unref(inner);
	nest->outer_status_after = faas_invocation_status(nest->outer);
}

/* An outer handler under 10 ms waits for an inner one under `inner_deadline_ms`, which takes `takes_ns`. */
static void run_nest(struct stage *stage, struct nest *nest, int64_t inner_deadline_ms, int64_t takes_ns)
{
	*nest = (struct nest){.stage = stage, .inner_takes_ns = takes_ns};
	stage_register(stage, "outer", ONCE(.deadline_ms = 10));
	stage_register(stage, "inner", ONCE(.deadline_ms = inner_deadline_ms));
	nest->outer = stage_start(stage, "outer", JOB(.does = run_inner, .arg = nest));
	assert_int_equal(1, bed_run(&stage->bed));
}

static void the_outer_deadline_passes_while_the_inner_handler_goes_on(void **state)
{
	struct stage *stage = *state;
	struct nest nest;

	run_nest(stage, &nest, 20, 15 * MS);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, nest.outer_status_inside);
	assert_int_equal(FAAS_OK, nest.inner_code);
	assert_int_equal(15 * MS, nest.inner_timing.run_ns);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(nest.outer));
	assert_int_equal(10 * MS, timing_of(nest.outer).run_ns);
	assert_int_equal(1, bed_stats(&stage->bed, "outer").retired_overrun);
	assert_int_equal(1, bed_stats(&stage->bed, "inner").warm);
	faas_invocation_unref(nest.outer);
}

static void the_inner_deadline_passes_and_the_outer_goes_on(void **state)
{
	struct stage *stage = *state;
	struct nest nest;

	run_nest(stage, &nest, 5, 7 * MS);
	assert_int_equal(FAAS_ETIMEDOUT, nest.inner_code);
	assert_int_equal(5 * MS, nest.inner_timing.run_ns);
	assert_int_equal(FAAS_STATUS_RUNNING, nest.outer_status_after);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(nest.outer));
	assert_int_equal(7 * MS, timing_of(nest.outer).run_ns);
	assert_int_equal(1, bed_stats(&stage->bed, "outer").warm);
	assert_int_equal(1, bed_stats(&stage->bed, "inner").retired_overrun);
	faas_invocation_unref(nest.outer);
}

static void both_deadlines_pass_in_one_jump_each_at_its_time(void **state)
{
	struct stage *stage = *state;
	struct nest nest;

	run_nest(stage, &nest, 5, 3000 * MS);
	assert_int_equal(FAAS_ETIMEDOUT, nest.inner_code);
	assert_int_equal(5 * MS, nest.inner_timing.run_ns);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(nest.outer));
	assert_int_equal(10 * MS, timing_of(nest.outer).run_ns);
	assert_int_equal(2, stage->life.finis);
	faas_invocation_unref(nest.outer);
}

/* ---- The list of overruns ---------------------------------------------------------------------------------------- */

struct list {
	faas_clock *clock;
	int64_t passes_ns; /* before the list is read */
	int count, none, one, bad;
	struct faas_overrun_stats overruns[3];
};

static void read_the_list(faas_runtime *runtime, struct list *list)
{
	for (size_t i = 0; i < COUNT_OF(list->overruns); i++)
		list->overruns[i].struct_size = sizeof(list->overruns[i]);
	list->none = faas_runtime_overruns(runtime, NULL, 0);
	list->one = faas_runtime_overruns(runtime, list->overruns, 1);
	list->bad = faas_runtime_overruns(runtime, NULL, 1);
	list->count = faas_runtime_overruns(runtime, list->overruns, COUNT_OF(list->overruns));
}

static void list_inner(faas_context *context, void *arg)
{
	struct list *list = arg;

	(void)faas_clock_advance(list->clock, list->passes_ns);
	read_the_list(faas_context_runtime(context), list);
}

static void list_outer(faas_context *context, void *arg)
{
	struct list *list = arg;

	(void)faas_clock_advance(list->clock, 1 * MS);
	(void)faas_context_invoke(context, "inner", JOB(.does = list_inner, .arg = list), 0, NULL);
}

static void overruns_are_listed_while_they_last(void **state)
{
	struct stage *stage = *state;
	struct list list = {.clock = stage->bed.clock, .passes_ns = 8 * MS};

	stage_register(stage, "outer", ONCE(.deadline_ms = 10));
	stage_register(stage, "inner", ONCE(.deadline_ms = 5));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "outer", JOB(.does = list_outer, .arg = &list)));
	assert_int_equal(1, list.none);
	assert_int_equal(1, list.one);
	assert_int_equal(FAAS_EINVAL, list.bad);
	assert_int_equal(1, list.count);
	assert_string_equal("inner", list.overruns[0].function);
	assert_int_equal(8 * MS, list.overruns[0].running_ns);
	assert_int_equal(0, list.overruns[0].is_init);
	read_the_list(stage->bed.runtime, &list);
	assert_int_equal(0, list.count);
}

static void nested_overruns_are_all_listed(void **state)
{
	struct stage *stage = *state;
	struct list list = {.clock = stage->bed.clock, .passes_ns = 20 * MS};
	int outer;

	stage_register(stage, "outer", ONCE(.deadline_ms = 10));
	stage_register(stage, "inner", ONCE(.deadline_ms = 5));
	assert_int_equal(FAAS_ETIMEDOUT, stage_invoke(stage, "outer", JOB(.does = list_outer, .arg = &list)));
	assert_int_equal(2, list.none);
	assert_int_equal(2, list.one); /* there are more than were asked for */
	assert_int_equal(2, list.count);
	outer = strcmp(list.overruns[0].function, "outer") == 0 ? 0 : 1;
	assert_string_equal("outer", list.overruns[outer].function);
	assert_string_equal("inner", list.overruns[1 - outer].function);
	assert_int_equal(21 * MS, list.overruns[outer].running_ns);
	assert_int_equal(20 * MS, list.overruns[1 - outer].running_ns);
	assert_int_equal(sizeof(list.overruns[2]), list.overruns[2].struct_size);
	assert_string_equal("", list.overruns[2].function);
}

static void an_init_after_its_deadline_is_listed_as_such(void **state)
{
	struct stage *stage = *state;
	struct list list = {.clock = stage->bed.clock, .passes_ns = 7 * MS};

	stage_register(stage, "f", ONCE(.init_deadline_ms = 5));
	stage->life.in_init = list_inner;
	stage->life.arg = &list;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(1, list.count);
	assert_int_equal(1, list.overruns[0].is_init);
	assert_int_equal(7 * MS, list.overruns[0].running_ns);
	assert_string_equal("f", list.overruns[0].function);
}

static void a_list_without_sense_is_refused(void **state)
{
	struct stage *stage = *state;
	struct faas_overrun_stats overrun = {.struct_size = 0};

	assert_int_equal(FAAS_EINVAL, faas_runtime_overruns(NULL, NULL, 0));
	assert_int_equal(FAAS_EINVAL, faas_runtime_overruns(stage->bed.runtime, NULL, -1));
	assert_int_equal(FAAS_EINVAL, faas_runtime_overruns(stage->bed.runtime, &overrun, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(one_nanosecond_before_the_deadline_is_in_time),
		STAGE_TEST(at_the_deadline_it_is_settled_while_the_handler_runs),
		STAGE_TEST(what_an_overrun_says_is_dropped),
		STAGE_TEST(a_failure_after_the_deadline_is_dropped_too),
		STAGE_TEST(the_worker_of_an_overrun_is_retired_and_the_next_is_new),
		STAGE_TEST(the_default_deadline_is_three_seconds),
		STAGE_TEST(without_a_deadline_nothing_is_ever_late),
		STAGE_TEST(what_remains_is_rounded_down_to_milliseconds),
		STAGE_TEST(an_overrun_keeps_its_concurrency_slot),
		STAGE_TEST(the_outer_deadline_passes_while_the_inner_handler_goes_on),
		STAGE_TEST(the_inner_deadline_passes_and_the_outer_goes_on),
		STAGE_TEST(both_deadlines_pass_in_one_jump_each_at_its_time),
		STAGE_TEST(overruns_are_listed_while_they_last),
		STAGE_TEST(nested_overruns_are_all_listed),
		STAGE_TEST(an_init_after_its_deadline_is_listed_as_such),
		STAGE_TEST(a_list_without_sense_is_refused),
	};

	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
