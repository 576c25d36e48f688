/* SPDX-License-Identifier: MIT */
/* Draining and closing in manual mode, from every state and every place, and what outlives the runtime. */
#include "support.h"

static void check_closed(struct bed *bed, int64_t grace_ms, uint32_t flags)
{
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, grace_ms, flags));
	bed->runtime = NULL;
}

static int failing_init(faas_context *context, void **ret_state)
{
	(void)ret_state;
	return faas_context_fail(context, "not yet");
}

/* A function that starts no worker before 100 ms have passed, and an event that waits for it. */
static faas_invocation *add_stuck(struct bed *bed, const char *name)
{
	faas_invocation *invocation = NULL;

	bed_register(bed, name, ONCE(.handler = nothing_handler, .init = failing_init));
	assert_int_equal(FAAS_EINIT, faas_invoke(bed->runtime, name, NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, name, NULL, &invocation));
	assert_int_equal(0, bed_run(bed));
	return invocation;
}

/* ---- Draining ---------------------------------------------------------------------------------------------------- */

static void draining_checks_its_arguments(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(FAAS_EINVAL, faas_drain(NULL, 0));
	assert_int_equal(FAAS_EINVAL, faas_drain(bed->runtime, -2));
	assert_int_equal(FAAS_EINVAL, faas_drain(bed->runtime, FAAS_MAX_DURATION_MS + 1));
	/* Nothing has changed: it still takes functions. */
	bed_register(bed, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, FAAS_MAX_DURATION_MS));
}

static void a_drained_runtime_stays_drained(void **state)
{
	struct bed *bed = *state;
	faas_function *function = NULL;
	uint64_t id;

	bed_register(bed, "f", ONCE(.handler = nothing_handler));
	id = bed_bind(bed, "t", "f");
	for (int i = 0; i < 100; i++)
		assert_int_equal(1, bed_emit(bed, "t", ""));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(100, bed_stats(bed, "f").succeeded);
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_ECLOSED, bed_emit(bed, "t", ""));
	assert_int_equal(FAAS_ECLOSED, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_ECLOSED, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_ECLOSED,
	                 faas_register_function(bed->runtime, "g", ONCE(.handler = nothing_handler)));
	assert_int_equal(FAAS_ECLOSED, faas_bind(bed->runtime, FAAS_BINDING(.pattern = "t", .function = "f"), &id));
	/* Stats and handles are left. */
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &function));
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke_async(function, NULL, NULL));
	assert_int_equal(3, stats_of(function).rejected_closed);
	faas_function_unref(function);
	assert_int_equal(1, bed_totals(bed).functions);
}

static void draining_says_again_when_work_waits_for_time(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = add_stuck(bed, "f");

	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, FAAS_NEVER));
	assert_int_equal(FAAS_EAGAIN, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_ECLOSED, faas_invoke_async(bed->runtime, "f", NULL, NULL));
	assert_int_equal(FAAS_EPENDING, faas_invocation_outcome(invocation));
	bed_advance_ms(bed, 100);
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_EINIT, faas_invocation_outcome(invocation));
	assert_string_equal("not yet", faas_invocation_message(invocation));
	faas_invocation_unref(invocation);
}

/* ---- From inside ------------------------------------------------------------------------------------------------- */

struct tries {
	faas_runtime *runtime;
	int count;
	int wrong;
};

static void try_all(struct tries *tries)
{
	tries->count++;
	tries->wrong += faas_run(tries->runtime, 1) != FAAS_EDEADLK;
	tries->wrong += faas_drain(tries->runtime, 0) != FAAS_EDEADLK;
	tries->wrong += faas_close(tries->runtime, 0, 0) != FAAS_EDEADLK;
	tries->wrong += faas_close(tries->runtime, 0, FAAS_CLOSE_DETACH) != FAAS_EDEADLK;
}

static int trying_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	try_all(faas_context_user(context));
	return 0;
}

static int trying_init(faas_context *context, void **ret_state)
{
	(void)ret_state;
	try_all(faas_context_user(context));
	return 0;
}

static void trying_fini(void *state, void *user)
{
	(void)state;
	try_all(user);
}

static void trying_release(void *user)
{
	try_all(user);
}

static void trying_settled(faas_invocation *invocation, void *user)
{
	(void)invocation;
	try_all(user);
}

static void no_handler_or_callback_can_run_drain_or_close(void **state)
{
	struct bed *bed = *state;
	struct tries tries = {.runtime = bed->runtime};
	faas_invocation *invocation = NULL;

	bed_register(bed, "f",
	             ONCE(.handler = trying_handler, .init = trying_init, .fini = trying_fini, .user = &tries,
	                           .release = trying_release));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "f", NULL, &invocation));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, trying_settled, &tries));
	bed_run(bed);
	assert_int_equal(3, tries.count);
	faas_invocation_unref(invocation);
	/* The handler's refusals have not drained it. */
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(6, tries.count);
	assert_int_equal(0, tries.wrong);
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

static void closing_checks_its_arguments(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(FAAS_EINVAL, faas_close(NULL, 0, 0));
	assert_int_equal(FAAS_EINVAL, faas_close(bed->runtime, -2, 0));
	assert_int_equal(FAAS_EINVAL, faas_close(bed->runtime, FAAS_MAX_DURATION_MS + 1, 0));
	assert_int_equal(FAAS_EINVAL, faas_close(bed->runtime, 0, ~FAAS_CLOSE_DETACH));
	bed_register(bed, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
}

static void an_untouched_runtime_closes(void **state)
{
	static const int64_t graces[] = {0, 1, FAAS_NEVER, FAAS_MAX_DURATION_MS};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(graces); i++)
		for (uint32_t flags = 0; flags <= FAAS_CLOSE_DETACH; flags++) {
			struct bed bed;

			bed_open(&bed, NULL);
			check_closed(&bed, graces[i], flags);
			bed_close(&bed);
		}
}

/* What one function saw of its end. */
struct end {
	int inits, runs, finis, releases;
	int settled;
	int outcome;
};

static int end_init(faas_context *context, void **ret_state)
{
	struct end *end = faas_context_user(context);

	end->inits++;
	*ret_state = end;
	return 0;
}

static int end_handler(faas_context *context, const faas_event *event)
{
	struct end *end = faas_context_user(context);

	(void)event;
	end->runs++;
	return faas_context_state(context) == end ? 0 : 1;
}

static void end_fini(void *state, void *user)
{
	struct end *end = user;

	end->finis += state == end;
}

static void end_release(void *user)
{
	struct end *end = user;

	/* The last use of all. */
	end->releases += end->finis == end->inits;
}

static void end_settled(faas_invocation *invocation, void *user)
{
	struct end *end = user;

	end->settled++;
	end->outcome = faas_invocation_outcome(invocation);
}

#define END_FUNCTION(end) \
	ONCE(.handler = end_handler, .init = end_init, .fini = end_fini, .release = end_release, .user = (end))

static void closing_runs_what_can_run_and_retires_workers(void **state)
{
	(void)state;
	for (int is_drained = 0; is_drained < 2; is_drained++) {
		struct bed bed;
		struct end end = {.inits = 0};

		bed_open(&bed, NULL);
		bed_register(&bed, "f", END_FUNCTION(&end));
		for (int i = 0; i < 5; i++)
			assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, NULL));
		if (is_drained)
			assert_int_equal(FAAS_OK, faas_drain(bed.runtime, 0));
		check_closed(&bed, 0, 0);
		assert_int_equal(5, end.runs);
		assert_int_equal(1, end.inits);
		assert_int_equal(1, end.finis);
		assert_int_equal(1, end.releases);
		bed_close(&bed);
	}
}

static void closing_cancels_what_waits_for_time(void **state)
{
	(void)state;
	for (int is_drained = 0; is_drained < 2; is_drained++) {
		struct bed bed;
		struct end end = {.inits = 0};
		faas_invocation *invocation;

		bed_open(&bed, NULL);
		invocation = add_stuck(&bed, "f");
		assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, end_settled, &end));
		if (is_drained)
			assert_int_equal(FAAS_EAGAIN, faas_drain(bed.runtime, 0));
		check_closed(&bed, FAAS_NEVER, 0);
		assert_int_equal(1, end.settled);
		assert_int_equal(FAAS_ECANCELLED, end.outcome);
		assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(invocation));
		assert_string_equal(faas_strerror(FAAS_ECANCELLED), faas_invocation_message(invocation));
		faas_invocation_unref(invocation);
		bed_close(&bed);
	}
}

static void the_numbers_say_how_workers_ended(void **state)
{
	struct bed bed;
	struct end end = {.inits = 0};
	faas_function *function = NULL;
	struct faas_function_stats stats;

	(void)state;
	bed_open(&bed, NULL);
	bed_register(&bed, "f", END_FUNCTION(&end));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_function_find(bed.runtime, "f", &function));
	check_closed(&bed, 0, 0);
	stats = stats_of(function);
	assert_int_equal(1, stats.retired_closed);
	assert_int_equal(0, stats.warm + stats.busy + stats.starting);
	assert_int_equal(1, stats.succeeded);
	faas_function_unref(function);
	bed_close(&bed);
}

static void emitting_fini(void *state, void *user)
{
	struct tries *tries = user;

	(void)state;
	tries->count++;
	tries->wrong += faas_emit_event(tries->runtime, FAAS_EVENT(.type = "t"), NULL) != FAAS_ECLOSED;
	tries->wrong +=
		faas_register_function(tries->runtime, "new", ONCE(.handler = nothing_handler)) != FAAS_ECLOSED;
	tries->wrong += faas_bind(tries->runtime, FAAS_BINDING(.pattern = "t", .function = "f"), NULL) != FAAS_ECLOSED;
}

static void what_fini_says_to_a_closing_runtime_is_refused(void **state)
{
	struct bed bed;
	struct tries tries = {.count = 0};

	(void)state;
	bed_open(&bed, NULL);
	tries.runtime = bed.runtime;
	bed_register(&bed, "f", ONCE(.handler = nothing_handler, .fini = emitting_fini, .user = &tries));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	check_closed(&bed, 0, 0);
	assert_int_equal(1, tries.count);
	assert_int_equal(0, tries.wrong);
	bed_close(&bed);
}

/* ---- What outlives the runtime ----------------------------------------------------------------------------------- */

static int answering_handler(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_reply(context, "answer", 6, "text/plain");
}

static void a_function_handle_outlives_the_runtime(void **state)
{
	struct bed bed;
	faas_function *function = NULL;
	faas_invocation *invocation = (faas_invocation *)(void *)&function;

	(void)state;
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_function_find(bed.runtime, "f", &function));
	check_closed(&bed, 0, 0);
	assert_string_equal("f", faas_function_name(function));
	assert_ptr_equal(function, faas_function_ref(function));
	faas_function_unref(function);
	assert_int_equal(1, stats_of(function).succeeded);
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke(function, NULL, 0, &invocation));
	assert_null(invocation);
	assert_int_equal(FAAS_ECLOSED, faas_function_invoke_async(function, NULL, &invocation));
	assert_null(invocation);
	assert_int_equal(2, stats_of(function).rejected_closed);
	faas_function_unref(function);
	bed_close(&bed);
}

static void an_invocation_outlives_the_runtime(void **state)
{
	struct bed bed;
	struct end end = {.inits = 0};
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	faas_invocation *invocation = NULL;
	const void *data = NULL;
	const char *content_type = NULL;
	uint64_t bytes = 0;

	(void)state;
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = answering_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", FAAS_EVENT(.subject = "s"), 0, &invocation));
	check_closed(&bed, 0, 0);
	assert_int_equal(FAAS_STATUS_SUCCEEDED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	assert_string_equal("", faas_invocation_message(invocation));
	assert_int_equal(0, faas_invocation_handler_result(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, &bytes, &content_type));
	assert_string_equal("answer", data);
	assert_int_equal(6, bytes);
	assert_string_equal("text/plain", content_type);
	assert_int_equal(FAAS_OK, faas_invocation_timing(invocation, &timing));
	assert_int_equal(1, timing.attempts);
	assert_string_equal("f", faas_invocation_function(invocation));
	assert_string_equal("s", faas_event_subject(faas_invocation_event(invocation)));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, end_settled, &end));
	assert_int_equal(1, end.settled);
	assert_ptr_equal(invocation, faas_invocation_ref(invocation));
	faas_invocation_unref(invocation);
	faas_invocation_unref(invocation);
	bed_close(&bed);
}

static void memory_goes_with_the_last_handle(void **state)
{
	struct bed bed;
	faas_function *function = NULL;
	faas_invocation *invocation = NULL;
	faas_emission *emission = NULL;

	(void)state;
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	bed_bind(&bed, "t", "f");
	assert_int_equal(FAAS_OK, faas_function_find(bed.runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, &invocation));
	assert_int_equal(1, faas_emit_event(bed.runtime, FAAS_EVENT(.type = "t"), &emission));
	check_closed(&bed, 0, 0);
	assert_true(bed.memory.blocks > 0);
	faas_function_unref(function);
	assert_true(bed.memory.blocks > 0);
	faas_emission_unref(emission);
	assert_true(bed.memory.blocks > 0);
	faas_invocation_unref(invocation);
	assert_int_equal(0, bed.memory.blocks);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(draining_checks_its_arguments),
		BED_TEST(a_drained_runtime_stays_drained),
		BED_TEST(draining_says_again_when_work_waits_for_time),
		BED_TEST(no_handler_or_callback_can_run_drain_or_close),
		BED_TEST(closing_checks_its_arguments),
		cmocka_unit_test(an_untouched_runtime_closes),
		cmocka_unit_test(closing_runs_what_can_run_and_retires_workers),
		cmocka_unit_test(closing_cancels_what_waits_for_time),
		cmocka_unit_test(the_numbers_say_how_workers_ended),
		cmocka_unit_test(what_fini_says_to_a_closing_runtime_is_refused),
		cmocka_unit_test(a_function_handle_outlives_the_runtime),
		cmocka_unit_test(an_invocation_outlives_the_runtime),
		cmocka_unit_test(memory_goes_with_the_last_handle),
	};

	return cmocka_run_group_tests_name("runtime end", tests, NULL, NULL);
}
