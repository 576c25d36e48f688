/* SPDX-License-Identifier: MIT */
/* Emissions: waiting for them, being told when they are settled, cancelling them, and how long they live. */
#include "support.h"

static void add(struct bed *bed, const char *name, faas_handler_fn *handler, void *user)
{
	bed_register(bed, name, ONCE(.handler = handler, .user = user));
	bed_bind(bed, "t", name);
}

static faas_emission *emit(struct bed *bed, int takers)
{
	faas_emission *emission = NULL;

	assert_int_equal(takers, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_non_null(emission);
	return emission;
}

static int outcome(const faas_emission *emission, int index)
{
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

	assert_int_equal(FAAS_OK, faas_emission_entry(emission, index, &entry));
	return entry.invocation ? faas_invocation_outcome(entry.invocation) : entry.code;
}

static int fail_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_fail(context, "no");
}

/* ---- Being told -------------------------------------------------------------------------------------------------- */

struct told {
	int count;
	faas_emission *emission;
	faas_runtime *runtime;
	int said[7];
};

static void on_settled(faas_emission *emission, void *user)
{
	struct told *told = user;

	told->count++;
	told->emission = emission;
}

static void the_callback_comes_once_with_the_last_outcome(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0};
	faas_emission *emission;

	add(bed, "a", nothing_handler, NULL);
	add(bed, "b", fail_handler, NULL);
	add(bed, "c", nothing_handler, NULL);
	emission = emit(bed, 3);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(0, told.count);
	assert_int_equal(FAAS_EPENDING, outcome(emission, 2));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(1, told.count);
	assert_ptr_equal(emission, told.emission);
	assert_int_equal(FAAS_OK, outcome(emission, 0));
	assert_int_equal(FAAS_EFAILED, outcome(emission, 1));
	assert_int_equal(FAAS_OK, outcome(emission, 2));
	bed_run(bed);
	assert_int_equal(1, told.count);
	faas_emission_unref(emission);
}

static void a_dropped_event_settles_its_emission(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0};
	faas_emission *emission;

	bed_register(bed, "f",
	             ONCE(.handler = nothing_handler, .queue_events = 1, .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_bind(bed, "t", "f");
	emission = emit(bed, 1);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(1, bed_emit(bed, "t", ""));
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_EDROPPED, outcome(emission, 0));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 0));
	faas_emission_unref(emission);
}

static void a_callback_set_late_comes_at_once(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0};
	faas_emission *unmatched = emit(bed, 0), *emission;

	assert_int_equal(FAAS_OK, faas_emission_on_settled(unmatched, on_settled, &told));
	assert_int_equal(1, told.count);
	faas_emission_unref(unmatched);
	add(bed, "f", nothing_handler, NULL);
	emission = emit(bed, 1);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(2, told.count);
	assert_ptr_equal(emission, told.emission);
	faas_emission_unref(emission);
}

static void there_is_one_callback_per_emission(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0}, other = {.count = 0};
	faas_emission *emission;

	add(bed, "f", nothing_handler, NULL);
	emission = emit(bed, 1);
	assert_int_equal(FAAS_EINVAL, faas_emission_on_settled(NULL, on_settled, &told));
	assert_int_equal(FAAS_EINVAL, faas_emission_on_settled(emission, NULL, &told));
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(FAAS_EEXIST, faas_emission_on_settled(emission, on_settled, &other));
	bed_run(bed);
	assert_int_equal(FAAS_EEXIST, faas_emission_on_settled(emission, on_settled, &other));
	assert_int_equal(1, told.count);
	assert_int_equal(0, other.count);
	faas_emission_unref(emission);
}

static void the_callback_needs_no_handle(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0};
	faas_emission *emission;

	add(bed, "f", nothing_handler, NULL);
	emission = emit(bed, 1);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	faas_emission_unref(emission);
	assert_int_equal(0, told.count);
	bed_run(bed);
	assert_int_equal(1, told.count);
	faas_emission_unref(NULL);
	assert_null(faas_emission_ref(NULL));
}

static void try_everything(faas_emission *emission, void *user)
{
	struct told *told = user;
	faas_emission *other = NULL;

	told->count++;
	told->said[0] = faas_emission_wait(emission, 0); /* settled: that is no wait */
	told->said[1] = faas_emit_event(told->runtime, FAAS_EVENT(.type = "t"), &other);
	told->said[2] = faas_emission_wait(other, FAAS_NEVER);
	told->said[3] = faas_run(told->runtime, 1);
	told->said[4] = faas_drain(told->runtime, 0);
	told->said[5] = faas_close(told->runtime, 0, 0);
	told->said[6] = faas_emission_wait(other, 0);
	faas_emission_unref(other);
}

static void a_callback_may_emit_but_not_wait(void **state)
{
	static const int expected[7] = {FAAS_OK, 1, FAAS_EDEADLK, FAAS_EDEADLK, FAAS_EDEADLK, FAAS_EDEADLK, FAAS_EPENDING};
	struct bed *bed = *state;
	struct told told = {.runtime = bed->runtime};
	faas_emission *emission;

	add(bed, "f", nothing_handler, NULL);
	/* Called by the step that settles ... */
	emission = emit(bed, 1);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, try_everything, &told));
	bed_run(bed);
	assert_int_equal(1, told.count);
	assert_memory_equal(expected, told.said, sizeof(expected));
	faas_emission_unref(emission);
	/* ... and by the call that sets it. */
	emission = emit(bed, 1);
	bed_run(bed);
	memset(told.said, 0, sizeof(told.said));
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, try_everything, &told));
	assert_int_equal(2, told.count);
	assert_memory_equal(expected, told.said, sizeof(expected));
	faas_emission_unref(emission);
}

static int slow_handler(faas_context *context, const faas_event *event)
{
	faas_clock **clock = faas_context_user(context);

	(void)event;
	(void)faas_clock_advance(*clock, 4000 * MS);
	return 0;
}

/* The deadline settles it, but only a step calls back. */
static void what_time_settles_is_told_by_a_step(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0};
	faas_emission *emission;

	add(bed, "f", slow_handler, &bed->clock);
	emission = emit(bed, 1);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_ETIMEDOUT, outcome(emission, 0));
	assert_int_equal(0, told.count);
	bed_run(bed);
	assert_int_equal(1, told.count);
	faas_emission_unref(emission);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static void waiting_performs_steps(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission;

	add(bed, "a", nothing_handler, NULL);
	add(bed, "b", fail_handler, NULL);
	emission = emit(bed, 2);
	assert_int_equal(FAAS_EPENDING, faas_emission_wait(emission, 0)); /* only looks */
	assert_int_equal(FAAS_EPENDING, outcome(emission, 0));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, FAAS_NEVER));
	assert_int_equal(FAAS_OK, outcome(emission, 0));
	assert_int_equal(FAAS_EFAILED, outcome(emission, 1));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 0));
	assert_int_equal(FAAS_EINVAL, faas_emission_wait(NULL, 0));
	assert_int_equal(FAAS_EINVAL, faas_emission_wait(emission, -2));
	assert_int_equal(FAAS_EINVAL, faas_emission_wait(emission, FAAS_MAX_DURATION_MS + 1));
	faas_emission_unref(emission);
}

static int fail_init(faas_context *context, void **ret_state)
{
	int *failures = faas_context_user(context);

	*ret_state = NULL;
	return (*failures)-- > 0;
}

static void waiting_for_what_needs_time_says_again_later(void **state)
{
	struct bed *bed = *state;
	int failures = 1;
	faas_emission *emission;

	bed_register(bed, "f", ONCE(.handler = nothing_handler, .init = fail_init, .user = &failures));
	bed_bind(bed, "t", "f");
	emission = emit(bed, 1);
	bed_run(bed);
	assert_int_equal(FAAS_EINIT, outcome(emission, 0));
	faas_emission_unref(emission);
	/* Nothing starts for 100 ms now. */
	emission = emit(bed, 1);
	assert_int_equal(FAAS_EAGAIN, faas_emission_wait(emission, FAAS_NEVER));
	assert_int_equal(FAAS_EAGAIN, faas_emission_wait(emission, 1));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, FAAS_NEVER));
	assert_int_equal(FAAS_OK, outcome(emission, 0));
	faas_emission_unref(emission);
}

static void a_wait_ends_when_its_time_is_over(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission;

	/* Runs first, and takes 4 s. */
	bed_register(bed, "slow", ONCE(.handler = slow_handler, .user = &bed->clock));
	bed_bind(bed, "slow", "slow");
	add(bed, "f", nothing_handler, NULL);
	assert_int_equal(1, bed_emit(bed, "slow", ""));
	emission = emit(bed, 1);
	assert_int_equal(FAAS_EPENDING, faas_emission_wait(emission, 3999));
	assert_int_equal(FAAS_EPENDING, outcome(emission, 0));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 1));
	faas_emission_unref(emission);
}

struct waiter {
	int said;
	int outcomes[2];
};

static int wait_handler(faas_context *context, const faas_event *event)
{
	struct waiter *waiter = faas_context_user(context);
	faas_emission *emission = NULL;
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

	(void)event;
	if (faas_context_emit_event(context, FAAS_EVENT(.type = "t"), &emission) != 2)
		return 1;
	waiter->said = faas_emission_wait(emission, FAAS_NEVER);
	for (int i = 0; i < 2; i++) {
		(void)faas_emission_entry(emission, i, &entry);
		waiter->outcomes[i] = faas_invocation_outcome(entry.invocation);
	}
	faas_emission_unref(emission);
	return 0;
}

static void a_handler_that_waits_runs_what_it_waits_for(void **state)
{
	struct bed *bed = *state;
	struct waiter waiter = {.said = 77};

	add(bed, "a", nothing_handler, NULL);
	add(bed, "b", fail_handler, NULL);
	bed_register(bed, "w", ONCE(.handler = wait_handler, .user = &waiter));
	bed_bind(bed, "w", "w");
	assert_int_equal(1, bed_emit(bed, "w", ""));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(FAAS_OK, waiter.said);
	assert_int_equal(FAAS_OK, waiter.outcomes[0]);
	assert_int_equal(FAAS_EFAILED, waiter.outcomes[1]);
	assert_int_equal(1, bed_stats(bed, "w").succeeded);
}

struct own {
	faas_emission *emission;
	int said;
};

static int wait_for_own_handler(faas_context *context, const faas_event *event)
{
	struct own *own = faas_context_user(context);

	(void)event;
	own->said = faas_emission_wait(own->emission, FAAS_NEVER);
	return 0;
}

static void a_handler_cannot_wait_for_the_emission_it_is_part_of(void **state)
{
	struct bed *bed = *state;
	struct own own = {.said = 77};

	add(bed, "f", wait_for_own_handler, &own);
	own.emission = emit(bed, 1);
	bed_run(bed);
	assert_int_equal(FAAS_EDEADLK, own.said);
	assert_int_equal(FAAS_OK, outcome(own.emission, 0));
	faas_emission_unref(own.emission);
}

/* ---- Cancelling -------------------------------------------------------------------------------------------------- */

static void cancelling_settles_what_is_left(void **state)
{
	struct bed *bed = *state;
	struct told told = {.count = 0};
	struct record record;
	faas_emission *emission;

	record_init(&record);
	add(bed, "a", record_handler, &record);
	add(bed, "b", record_handler, &record);
	add(bed, "c", record_handler, &record);
	emission = emit(bed, 3);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(2, faas_emission_cancel(emission));
	assert_int_equal(1, told.count);
	assert_int_equal(0, faas_emission_cancel(emission));
	assert_int_equal(FAAS_EINVAL, faas_emission_cancel(NULL));
	bed_run(bed);
	assert_string_equal("a", record_functions(&record));
	assert_int_equal(FAAS_OK, outcome(emission, 0));
	assert_int_equal(FAAS_ECANCELLED, outcome(emission, 1));
	assert_int_equal(FAAS_ECANCELLED, outcome(emission, 2));
	assert_int_equal(2, bed_totals(bed).total.cancelled);
	assert_int_equal(1, bed_totals(bed).total.succeeded);
	assert_int_equal(1, told.count);
	faas_emission_unref(emission);
	record_deinit(&record);
}

static int cancel_own_handler(faas_context *context, const faas_event *event)
{
	struct own *own = faas_context_user(context);

	(void)event;
	own->said = faas_context_is_cancelled(context) * 10 + faas_emission_cancel(own->emission);
	own->said += 100 * faas_context_is_cancelled(context);
	return 0;
}

static void cancelling_what_runs_makes_it_an_overrun(void **state)
{
	struct bed *bed = *state;
	struct own own = {.said = 77};
	struct faas_function_stats stats;

	add(bed, "f", cancel_own_handler, &own);
	own.emission = emit(bed, 1);
	bed_run(bed);
	assert_int_equal(101, own.said);
	assert_int_equal(FAAS_ECANCELLED, outcome(own.emission, 0));
	stats = bed_stats(bed, "f");
	assert_int_equal(1, stats.cancelled);
	assert_int_equal(0, stats.succeeded);
	assert_int_equal(1, stats.overruns);
	assert_int_equal(0, stats.overrunning);
	faas_emission_unref(own.emission);
}

/* ---- How long an emission lives ---------------------------------------------------------------------------------- */

static void an_emission_outlives_functions_and_runtime(void **state)
{
	struct bed bed;
	struct told told = {.count = 0};
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	faas_emission *emission;

	(void)state;
	bed_open(&bed, NULL);
	add(&bed, "a", nothing_handler, NULL);
	add(&bed, "b", nothing_handler, NULL);
	emission = emit(&bed, 2);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "b"));
	bed_run(&bed);
	assert_int_equal(FAAS_OK, outcome(emission, 0));
	assert_int_equal(FAAS_ECANCELLED, outcome(emission, 1));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "a"));
	assert_int_equal(FAAS_OK, faas_close(bed.runtime, 0, 0));
	bed.runtime = NULL;
	assert_ptr_equal(emission, faas_emission_ref(emission));
	faas_emission_unref(emission);
	assert_int_equal(2, faas_emission_count(emission));
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 1, &entry));
	assert_string_equal("b", entry.function);
	assert_string_equal("t", faas_event_type(faas_invocation_event(entry.invocation)));
	assert_int_equal(FAAS_ECANCELLED, outcome(emission, 1));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, FAAS_NEVER));
	assert_int_equal(0, faas_emission_cancel(emission));
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, on_settled, &told));
	assert_int_equal(1, told.count);
	faas_emission_unref(emission);
	bed_close(&bed);
}

static void an_invocation_outlives_its_emission(void **state)
{
	struct bed *bed = *state;
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	faas_emission *emission;
	faas_invocation *invocation;

	add(bed, "a", nothing_handler, NULL);
	add(bed, "b", nothing_handler, NULL);
	emission = emit(bed, 2);
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 1, &entry));
	invocation = faas_invocation_ref(entry.invocation);
	faas_emission_unref(emission);
	assert_int_equal(FAAS_EPENDING, faas_invocation_outcome(invocation));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_string_equal("b", faas_invocation_function(invocation));
	assert_string_equal("t", faas_event_type(faas_invocation_event(invocation)));
	faas_invocation_unref(invocation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(the_callback_comes_once_with_the_last_outcome),
		BED_TEST(a_dropped_event_settles_its_emission),
		BED_TEST(a_callback_set_late_comes_at_once),
		BED_TEST(there_is_one_callback_per_emission),
		BED_TEST(the_callback_needs_no_handle),
		BED_TEST(a_callback_may_emit_but_not_wait),
		BED_TEST(what_time_settles_is_told_by_a_step),
		BED_TEST(waiting_performs_steps),
		BED_TEST(waiting_for_what_needs_time_says_again_later),
		BED_TEST(a_wait_ends_when_its_time_is_over),
		BED_TEST(a_handler_that_waits_runs_what_it_waits_for),
		BED_TEST(a_handler_cannot_wait_for_the_emission_it_is_part_of),
		BED_TEST(cancelling_settles_what_is_left),
		BED_TEST(cancelling_what_runs_makes_it_an_overrun),
		cmocka_unit_test(an_emission_outlives_functions_and_runtime),
		BED_TEST(an_invocation_outlives_its_emission),
	};

	return cmocka_run_group_tests_name("emission", tests, NULL, NULL);
}
