/* SPDX-License-Identifier: MIT */
/* Waiting for invocations from outside, cancelling them, and callers whose time runs out. Manual mode. */
#include "support_run.h"

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static void a_wait_runs_what_stands_before_and_nothing_after(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocations[3];

	stage_register(stage, "f", NULL);
	for (size_t i = 0; i < COUNT_OF(invocations); i++)
		invocations[i] = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocations[1], FAAS_NEVER));
	assert_int_equal(2, stage->life.runs);
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocations[0]));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocations[2]));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocations[2], 1));
	for (size_t i = 0; i < COUNT_OF(invocations); i++) {
		/* Settled: every wait is over at once, whatever the outcome. */
		assert_int_equal(FAAS_OK, faas_invocation_wait(invocations[i], 0));
		assert_int_equal(FAAS_OK, faas_invocation_wait(invocations[i], FAAS_NEVER));
		faas_invocation_unref(invocations[i]);
	}
	assert_int_equal(3, stage->life.runs);
}

static void a_wait_of_no_time_only_looks(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(invocation, 0));
	assert_int_equal(0, stage->life.runs);
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, 0));
	faas_invocation_unref(invocation);
}

static void a_wait_tells_of_the_end_and_not_of_the_outcome(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", JOB(.result = 1));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void a_wait_that_needs_time_to_move_says_so(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_EAGAIN, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_EAGAIN, faas_invocation_wait(invocation, 10));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, 10));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

static void a_wait_ends_when_its_time_is_over(void **state)
{
	struct stage *stage = *state;
	faas_invocation *slow, *next;

	stage_register(stage, "f", NULL);
	slow = stage_start(stage, "f", JOB(.takes_ns = 10 * MS));
	next = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(next, 10));
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(next));
	assert_int_equal(FAAS_OK, faas_invocation_wait(next, 10));
	faas_invocation_unref(slow);
	faas_invocation_unref(next);
}

static void a_wait_out_of_range_is_refused(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_EINVAL, faas_invocation_wait(NULL, 0));
	assert_int_equal(FAAS_EINVAL, faas_invocation_wait(invocation, -2));
	assert_int_equal(FAAS_EINVAL, faas_invocation_wait(invocation, FAAS_MAX_DURATION_MS + 1));
	assert_int_equal(FAAS_EINVAL, faas_invocation_cancel(NULL));
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(invocation));
	assert_int_equal(1, bed_run(&stage->bed));
	faas_invocation_unref(invocation);
}

/* ---- Cancelling -------------------------------------------------------------------------------------------------- */

static void what_is_cancelled_while_queued_never_runs(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;
	struct faas_function_stats stats;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", JOB(.reply = "never"));
	stage_advance_ns(stage, 55);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_string_equal(faas_strerror(FAAS_ECANCELLED), faas_invocation_message(invocation));
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(invocation));
	assert_int_equal(55, timing_of(invocation).queued_ns);
	assert_int_equal(0, timing_of(invocation).attempts);
	assert_int_equal(0, timing_of(invocation).run_ns);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(1, stats.cancelled);
	assert_int_equal(0, stats.queued_bytes);
	assert_int_equal(0, bed_totals(&stage->bed).queued_events);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(0, stage->life.inits);
	faas_invocation_unref(invocation);
}

static void cancelling_leaves_the_others_in_order(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocations[5];
	struct record record;

	record_init(&record);
	stage_register(stage, "f", ONCE(.handler = record_handler, .user = &record));
	for (size_t i = 0; i < COUNT_OF(invocations); i++) {
		char name[2] = {(char)('a' + i), 0};

		invocations[i] = stage_start(stage, "f", FAAS_EVENT(.data = name, .data_bytes = 1));
	}
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocations[2]));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocations[0]));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocations[4]));
	stage_queue(stage, "f", FAAS_EVENT(.data = "f", .data_bytes = 1));
	assert_int_equal(3, bed_run(&stage->bed));
	assert_string_equal("b d f", record_texts(&record));
	assert_int_equal(3, bed_stats(&stage->bed, "f").cancelled);
	for (size_t i = 0; i < COUNT_OF(invocations); i++)
		faas_invocation_unref(invocations[i]);
	record_deinit(&record);
}

static void cancelling_makes_room_in_a_full_queue(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", ONCE(.queue_events = 1));
	for (int i = 0; i < 3; i++) {
		invocation = stage_start(stage, "f", NULL);
		assert_int_equal(FAAS_EFULL, faas_invoke_async(stage->bed.runtime, "f", NULL, NULL));
		assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
		faas_invocation_unref(invocation);
	}
	assert_int_equal(0, bed_run(&stage->bed));
}

struct cancel {
	faas_invocation *invocation;
	struct faas_function_stats stats;
	int before, code, again, after, status;
};

static void cancel_from_inside(faas_context *context, void *arg)
{
	struct cancel *cancel = arg;

	cancel->before = faas_context_is_cancelled(context);
	cancel->code = faas_invocation_cancel(cancel->invocation);
	cancel->again = faas_invocation_cancel(cancel->invocation);
	cancel->after = faas_context_is_cancelled(context);
	cancel->status = faas_invocation_status(cancel->invocation);
	peek_at_self(context, &cancel->stats);
}

static void cancelling_what_runs_is_an_early_deadline(void **state)
{
	struct stage *stage = *state;
	struct cancel cancel = {0};
	struct faas_function_stats stats;

	stage_register(stage, "f", NULL);
	cancel.invocation = stage_start(stage, "f", JOB(.does = cancel_from_inside, .arg = &cancel, .reply = "too late"));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(0, cancel.before);
	assert_int_equal(FAAS_OK, cancel.code);
	assert_int_equal(FAAS_ESTATE, cancel.again);
	assert_int_equal(1, cancel.after);
	assert_int_equal(FAAS_STATUS_CANCELLED, cancel.status);
	assert_int_equal(1, cancel.stats.cancelled);
	assert_int_equal(1, cancel.stats.overrunning);
	assert_int_equal(0, cancel.stats.running);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(cancel.invocation));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_answer(cancel.invocation, NULL, NULL, NULL));
	assert_int_equal(1, timing_of(cancel.invocation).attempts);
	stats = bed_stats(&stage->bed, "f");
	assert_int_equal(0, stats.overrunning);
	assert_int_equal(1, stats.overruns);
	assert_int_equal(1, stats.retired_overrun);
	assert_int_equal(1, stage->life.finis);
	faas_invocation_unref(cancel.invocation);
}

static void cancel_from_init(faas_context *context, void *arg)
{
	cancel_from_inside(context, arg);
}

static void cancelling_during_init_spares_the_handler(void **state)
{
	struct stage *stage = *state;
	struct cancel cancel = {0};

	stage_register(stage, "f", NULL);
	stage->life.in_init = cancel_from_init;
	stage->life.arg = &cancel;
	cancel.invocation = stage_start(stage, "f", NULL);
	assert_int_equal(1, bed_run(&stage->bed));
	stage->life.in_init = NULL;
	assert_int_equal(FAAS_OK, cancel.code);
	assert_int_equal(1, cancel.after);
	assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(cancel.invocation));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(cancel.invocation));
	assert_int_equal(0, stage->life.runs);
	assert_int_equal(1, stage->life.finis);
	/* The init did not fail, so the next one need not wait. */
	assert_int_equal(0, bed_stats(&stage->bed, "f").init_failures);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	faas_invocation_unref(cancel.invocation);
}

static void what_is_settled_cannot_be_cancelled(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", NULL);
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(invocation));
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocation));
	assert_int_equal(0, bed_stats(&stage->bed, "f").cancelled);
	faas_invocation_unref(invocation);
}

static void unregistering_and_closing_cancel_what_is_queued(void **state)
{
	struct stage stage;
	faas_invocation *first, *second;

	(void)state;
	stage_open(&stage, NULL);
	stage_register(&stage, "f", NULL);
	stage_register(&stage, "g", NULL);
	first = stage_start(&stage, "f", NULL);
	second = stage_start(&stage, "g", NULL);
	assert_int_equal(FAAS_OK, faas_unregister_function(stage.bed.runtime, "f"));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(first));
	/* Without grace the drain runs what can run, but takes no time; so this one has something to wait for. */
	stage.life.init_fails = 1;
	assert_int_equal(1, bed_run(&stage.bed));
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(second));
	faas_invocation_unref(second);
	second = stage_start(&stage, "g", NULL);
	assert_int_equal(FAAS_OK, faas_close(stage.bed.runtime, 0, 0));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(second));
	assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(second));
	assert_int_equal(FAAS_OK, faas_invocation_wait(second, FAAS_NEVER));
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(second));
	faas_invocation_unref(first);
	faas_invocation_unref(second);
	faas_clock_unref(stage.bed.clock);
	memory_check_empty(&stage.bed.memory);
	assert_int_equal(0, stage.life.runs);
	assert_int_equal(2, stage.life.releases);
}

/* ---- The caller's time ------------------------------------------------------------------------------------------- */

static void a_caller_whose_time_passes_in_the_queue_gets_an_expired_invocation(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", NULL);
	stage_queue(stage, "f", JOB(.takes_ns = 10 * MS));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.reply = "no"), 5, &invocation));
	assert_int_equal(FAAS_STATUS_EXPIRED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(0, timing_of(invocation).attempts);
	assert_int_equal(0, timing_of(invocation).is_cold);
	assert_int_equal(10 * MS, timing_of(invocation).queued_ns);
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(1, bed_stats(&stage->bed, "f").expired);
	assert_int_equal(0, bed_run(&stage->bed));
	faas_invocation_unref(invocation);
}

static void a_callers_time_ends_the_run_at_its_nanosecond(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 5 * MS - 1), 5, &invocation));
	assert_int_equal(5 * MS - 1, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 5 * MS), 5, &invocation));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(5 * MS, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 50 * MS), 5, &invocation));
	assert_int_equal(5 * MS, timing_of(invocation).run_ns);
	assert_int_equal(2, bed_stats(&stage->bed, "f").timed_out);
	assert_int_equal(2, bed_stats(&stage->bed, "f").overruns);
	faas_invocation_unref(invocation);
}

static void a_callers_time_covers_queue_and_init_and_run(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;
	struct faas_timing_stats timing;

	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	stage_queue(stage, "g", JOB(.takes_ns = 2 * MS));
	stage->life.init_takes_ns = 1 * MS; /* of either worker */
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 3 * MS), 6, &invocation));
	timing = timing_of(invocation);
	assert_int_equal(3 * MS, timing.queued_ns);
	assert_int_equal(1 * MS, timing.init_ns);
	assert_int_equal(2 * MS, timing.run_ns);
	assert_int_equal(1, timing.is_cold);
	faas_invocation_unref(invocation);
}

/* Nobody waits any more when the init is done: the handler is not called. */
static void a_caller_whose_time_passes_in_init_is_not_kept(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", NULL);
	stage->life.init_takes_ns = 8 * MS;
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 1), 5, &invocation));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(0, stage->life.runs);
	assert_int_equal(0, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
}

static void the_functions_own_deadline_holds_under_a_longer_timeout(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", ONCE(.deadline_ms = 2));
	assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(stage->bed.runtime, "f", JOB(.takes_ns = 4 * MS), 5, &invocation));
	assert_int_equal(2 * MS, timing_of(invocation).run_ns);
	faas_invocation_unref(invocation);
}

static void an_invoke_that_needs_time_to_move_is_cancelled(void **state)
{
	struct stage *stage = *state;
	faas_invocation *invocation = NULL;

	stage_register(stage, "f", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_EAGAIN, faas_invoke(stage->bed.runtime, "f", NULL, 0, &invocation));
	assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(invocation));
	faas_invocation_unref(invocation);
	assert_int_equal(FAAS_EAGAIN, faas_invoke(stage->bed.runtime, "f", NULL, 1000, NULL));
	assert_int_equal(2, bed_stats(&stage->bed, "f").cancelled);
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_wait_runs_what_stands_before_and_nothing_after),
		STAGE_TEST(a_wait_of_no_time_only_looks),
		STAGE_TEST(a_wait_tells_of_the_end_and_not_of_the_outcome),
		STAGE_TEST(a_wait_that_needs_time_to_move_says_so),
		STAGE_TEST(a_wait_ends_when_its_time_is_over),
		STAGE_TEST(a_wait_out_of_range_is_refused),
		STAGE_TEST(what_is_cancelled_while_queued_never_runs),
		STAGE_TEST(cancelling_leaves_the_others_in_order),
		STAGE_TEST(cancelling_makes_room_in_a_full_queue),
		STAGE_TEST(cancelling_what_runs_is_an_early_deadline),
		STAGE_TEST(cancelling_during_init_spares_the_handler),
		STAGE_TEST(what_is_settled_cannot_be_cancelled),
		cmocka_unit_test(unregistering_and_closing_cancel_what_is_queued),
		STAGE_TEST(a_caller_whose_time_passes_in_the_queue_gets_an_expired_invocation),
		STAGE_TEST(a_callers_time_ends_the_run_at_its_nanosecond),
		STAGE_TEST(a_callers_time_covers_queue_and_init_and_run),
		STAGE_TEST(a_caller_whose_time_passes_in_init_is_not_kept),
		STAGE_TEST(the_functions_own_deadline_holds_under_a_longer_timeout),
		STAGE_TEST(an_invoke_that_needs_time_to_move_is_cancelled),
	};

	return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
