/* SPDX-License-Identifier: MIT */
/*
 * Deferred completion: tokens that are lost, cancelled or outlive everything, and what a completion calls. Manual mode.
 */
#include "support_trial.h"

static struct hold hold;

static int setup(void **state)
{
	hold = (struct hold){0};
	return bed_setup(state);
}

static int teardown(void **state)
{
	hold_clear(&hold);
	return bed_teardown(state);
}

static int told, code_in_callback, open_in_callback;

static void complete_in_callback(faas_invocation *invocation, void *user)
{
	(void)invocation;
	told++;
	open_in_callback = faas_deferral_is_open(*(faas_deferral **)user);
	code_in_callback = faas_complete(*(faas_deferral **)user, NULL, 0, NULL);
}

/* ---- Tokens that are lost ---------------------------------------------------------------------------------------- */

static void the_last_reference_given_back_is_a_failure(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.attempts = 2));

	assert_ptr_equal(hold.tokens[0], faas_deferral_ref(hold.tokens[0]));
	faas_deferral_unref(hold.tokens[0]);
	assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(invocation));
	hold_clear(&hold);
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(invocation));
	bed_pass_ms(bed, 100);
	bed_run(bed);
	bed_advance_ms(bed, 7);
	faas_deferral_unref(hold.tokens[1]);
	hold.tokens[1] = NULL;
	assert_int_equal(FAAS_STATUS_FAILED, faas_invocation_status(invocation));
	assert_int_equal(FAAS_EABANDONED, faas_invocation_outcome(invocation));
	assert_string_equal(faas_strerror(FAAS_EABANDONED), faas_invocation_message(invocation));
	assert_int_equal(7 * MS, timing_of(invocation).run_ns);
	assert_int_equal(1, bed_stats(bed, "f").failed);
	assert_int_equal(1, bed_stats(bed, "f").dead_letters);
	faas_invocation_unref(invocation);
}

static void a_completed_token_can_be_given_back(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.attempts = 1));

	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	hold_clear(&hold);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
}

/* ---- Cancelling, unregistering, closing -------------------------------------------------------------------------- */

static void cancelling_settles_at_once_and_frees_the_slot(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.max_concurrency = 1));

	told = 0;
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, complete_in_callback, &hold.tokens[0]));
	bed_queue(bed, "f", NULL);
	bed_advance_ms(bed, 30);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(1, told);
	assert_int_equal(0, open_in_callback);
	assert_int_equal(FAAS_ESETTLED, code_in_callback);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(invocation));
	assert_int_equal(30 * MS, timing_of(invocation).run_ns);
	assert_int_equal(0, bed_stats(bed, "f").overruns);
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(1, bed_stats(bed, "f").deferred);
	faas_invocation_unref(invocation);
}

static int released;

static void count_release(void *user)
{
	(void)user;
	released++;
}

static void unregistering_leaves_it_to_be_completed(void **state)
{
	struct bed *bed = *state;
	faas_invocation *first, *second;

	released = 0;
	bed_register(bed, "f", HELD(.attempts = 9, .release = count_release));
	first = bed_start(bed, "f", NULL);
	second = bed_start(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(FAAS_STATUS_DEFERRED, faas_invocation_status(first));
	assert_int_equal(2, bed_totals(bed).total.deferred);
	assert_int_equal(1, bed_totals(bed).total.retired_unregistered);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], "x", 1, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_answer(first, NULL, NULL, NULL));
	/* Nobody is left to try it again. */
	assert_int_equal(FAAS_OK, faas_complete_failed(hold.tokens[1], "gone"));
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(second));
	assert_int_equal(1, bed_totals(bed).total.dead_letters_lost);
	bed_run(bed);
	assert_int_equal(1, released);
	faas_invocation_unref(first);
	faas_invocation_unref(second);
}

static void its_deadline_holds_after_unregistering(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.attempts = 9, .deadline_ms = 50));

	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(50 * MS, bed_next_due(bed));
	bed_advance_ms(bed, 50);
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	bed_run(bed);
	assert_int_equal(FAAS_NEVER, bed_next_due(bed));
	faas_invocation_unref(invocation);
}

static void closing_cancels_it_and_its_token_outlives_everything(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation = bed_hold_one(bed, &hold, HELD(.deadline_ms = FAAS_NEVER));

	bed_queue(bed, "f", NULL);
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_close(bed->runtime, 0, 0));
	bed->runtime = NULL;
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	faas_invocation_unref(invocation);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(0, faas_deferral_is_open(hold.tokens[i]));
		assert_int_equal(FAAS_ESETTLED, faas_complete(hold.tokens[i], "late", 4, NULL));
		assert_int_equal(FAAS_ESETTLED, faas_complete_failed(hold.tokens[i], "late"));
	}
}

/* ---- What a completion calls ------------------------------------------------------------------------------------- */

static int emission_told;

static void emission_callback(faas_emission *emission, void *user)
{
	(void)emission;
	(void)user;
	emission_told++;
}

static void callbacks_come_inside_of_the_completion(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;

	emission_told = 0;
	bed_register(bed, "f", HELD(.deadline_ms = 50, .attempts = 1));
	bed_bind(bed, "t", "f");
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, emission_callback, NULL));
	bed_run(bed);
	assert_int_equal(0, emission_told);
	assert_int_equal(FAAS_OK, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(1, emission_told);
	faas_emission_unref(emission);
	/* At the deadline the clock moves, and no callback comes from inside of that. */
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, emission_callback, NULL));
	bed_run(bed);
	bed_advance_ms(bed, 50);
	assert_int_equal(1, emission_told);
	assert_int_equal(1, bed_run(bed));
	assert_int_equal(2, emission_told);
	faas_emission_unref(emission);
}

static int complete_other(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return faas_complete(hold.tokens[0], "by another", 10, NULL);
}

static int defer_and_ask(faas_context *context, const faas_event *event)
{
	(void)hold_handler(context, event);
	return faas_context_invoke_async(context, "g", NULL, NULL);
}

/* How a synchronous call is made: of what function, and whether its caller keeps a handle. */
static const struct way {
	uint32_t flags;
	int keeps;
} ways[] = {{0, 1}, {0, 0}, {FAAS_FUNCTION_INLINE, 1}, {FAAS_FUNCTION_INLINE, 0}};

static void a_synchronous_call_waits_for_its_completion(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "g", FAAS_FUNCTION(.handler = complete_other));
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		faas_invocation *invocation = NULL;
		const void *data = NULL;

		hold.count = 0;
		bed_register(bed, "f", FAAS_FUNCTION(.handler = defer_and_ask, .user = &hold, .flags = ways[i].flags));
		assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, ways[i].keeps ? &invocation : NULL));
		if (ways[i].keeps) {
			assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, NULL, NULL));
			assert_string_equal("by another", data);
		}
		faas_invocation_unref(invocation);
		hold_clear(&hold);
		assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	}
}

static void one_that_nobody_completes_gives_up(void **state)
{
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		faas_invocation *invocation = NULL;

		hold.count = 0;
		bed_register(bed, "f", HELD(.flags = ways[i].flags));
		assert_int_equal(FAAS_EAGAIN, faas_invoke(bed->runtime, "f", NULL, 0, ways[i].keeps ? &invocation : NULL));
		if (ways[i].keeps)
			assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
		faas_invocation_unref(invocation);
		assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
		/* The token outlives everything else. */
		assert_int_equal(FAAS_ESETTLED, faas_complete(hold.tokens[0], NULL, 0, NULL));
		hold_clear(&hold);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_last_reference_given_back_is_a_failure),
		TEST(a_completed_token_can_be_given_back),
		TEST(cancelling_settles_at_once_and_frees_the_slot),
		TEST(unregistering_leaves_it_to_be_completed),
		TEST(its_deadline_holds_after_unregistering),
		TEST(closing_cancels_it_and_its_token_outlives_everything),
		TEST(callbacks_come_inside_of_the_completion),
		TEST(a_synchronous_call_waits_for_its_completion),
		TEST(one_that_nobody_completes_gives_up),
	};

	return cmocka_run_group_tests_name("defer end", tests, NULL, NULL);
}
