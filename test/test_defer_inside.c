/* SPDX-License-Identifier: MIT */
/* Deferred completion: what happens to a token while its handler still runs, or fails. Manual mode. */
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

/* ---- In the handler ---------------------------------------------------------------------------------------------- */

struct inside {
	void (*does)(struct inside *inside, faas_context *context);
	faas_clock *clock;
	faas_invocation *invocation;
	faas_deferral *token;
	int result;
	int codes[4], is_open[2], status;
};

static int inside_handler(faas_context *context, const faas_event *event)
{
	struct inside *inside = faas_context_user(context);

	(void)event;
	inside->codes[0] = faas_context_defer(context, &inside->token);
	inside->does(inside, context);
	inside->status = inside->invocation ? faas_invocation_status(inside->invocation) : -1;
	return inside->result;
}

static faas_invocation *run_inside(struct bed *bed, struct inside *inside)
{
	inside->clock = bed->clock;
	bed_register(bed, "f", FAAS_FUNCTION(.handler = inside_handler, .user = inside, .attempts = 1, .deadline_ms = 10));
	inside->invocation = bed_start(bed, "f", NULL);
	bed_run(bed);
	return inside->invocation;
}

static void end_inside(struct inside *inside)
{
	faas_deferral_unref(inside->token);
	faas_invocation_unref(inside->invocation);
}

static void complete_twice(struct inside *inside, faas_context *context)
{
	(void)context;
	inside->is_open[0] = faas_deferral_is_open(inside->token);
	inside->codes[1] = faas_complete(inside->token, "done", 4, NULL);
	inside->is_open[1] = faas_deferral_is_open(inside->token);
	inside->codes[2] = faas_complete_failed(inside->token, "not");
}

static void a_completion_before_the_return_takes_effect_there(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = complete_twice};
	faas_invocation *invocation = run_inside(bed, &inside);
	const void *data = NULL;

	assert_int_equal(1, inside.is_open[0]);
	assert_int_equal(FAAS_OK, inside.codes[1]);
	assert_int_equal(FAAS_STATUS_RUNNING, inside.status);
	assert_int_equal(0, inside.is_open[1]);
	assert_int_equal(FAAS_ESETTLED, inside.codes[2]);
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, NULL, NULL));
	assert_string_equal("done", data);
	assert_int_equal(FAAS_ESETTLED, faas_complete(inside.token, NULL, 0, NULL));
	end_inside(&inside);
}

static void fail_early(struct inside *inside, faas_context *context)
{
	(void)faas_context_reply(context, "dropped", 7, NULL);
	inside->codes[1] = faas_complete_failed_permanent(inside->token, "early");
}

static void so_does_a_failure(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = fail_early};
	faas_invocation *invocation = run_inside(bed, &inside);

	assert_int_equal(FAAS_OK, inside.codes[1]);
	assert_int_equal(FAAS_STATUS_RUNNING, inside.status);
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_string_equal("early", faas_invocation_message(invocation));
	assert_int_equal(FAAS_EFAILED, faas_invocation_answer(invocation, NULL, NULL, NULL));
	end_inside(&inside);
}

static void a_handler_that_fails_has_failed_whatever_its_token_said(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = complete_twice, .result = 6};
	faas_invocation *invocation = run_inside(bed, &inside);

	assert_int_equal(FAAS_OK, inside.codes[1]);
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_int_equal(6, faas_invocation_handler_result(invocation));
	assert_int_equal(0, bed_stats(bed, "f").deferred);
	end_inside(&inside);
}

static int told, code_in_callback, open_in_callback;

static void complete_in_callback(faas_invocation *invocation, void *user)
{
	(void)invocation;
	told++;
	open_in_callback = faas_deferral_is_open(*(faas_deferral **)user);
	code_in_callback = faas_complete(*(faas_deferral **)user, NULL, 0, NULL);
}

static void the_token_of_a_handler_that_failed_is_worth_nothing(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;

	told = 0;
	hold.result = 1;
	bed_register(bed, "f", HELD(.attempts = 1));
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, complete_in_callback, &hold.tokens[0]));
	bed_run(bed);
	assert_int_equal(1, told);
	assert_int_equal(0, open_in_callback);
	assert_int_equal(FAAS_ESETTLED, code_in_callback);
	assert_int_equal(FAAS_EFAILED, faas_invocation_outcome(invocation));
	assert_int_equal(FAAS_ESETTLED, faas_complete(hold.tokens[0], NULL, 0, NULL));
	assert_int_equal(0, bed_stats(bed, "f").deferrals);
	faas_invocation_unref(invocation);
}

static void overrun(struct inside *inside, faas_context *context)
{
	(void)context;
	(void)faas_clock_advance(inside->clock, 10 * MS);
	inside->is_open[0] = faas_deferral_is_open(inside->token);
	inside->codes[1] = faas_complete(inside->token, NULL, 0, NULL);
}

static void so_is_that_of_an_overrun(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = overrun};
	faas_invocation *invocation = run_inside(bed, &inside);

	assert_int_equal(0, inside.is_open[0]);
	assert_int_equal(FAAS_ESETTLED, inside.codes[1]);
	assert_int_equal(FAAS_ETIMEDOUT, faas_invocation_outcome(invocation));
	assert_int_equal(1, bed_stats(bed, "f").retired_overrun);
	assert_int_equal(0, bed_stats(bed, "f").deferred);
	end_inside(&inside);
}

static void cancel_self(struct inside *inside, faas_context *context)
{
	(void)context;
	inside->codes[1] = faas_invocation_cancel(inside->invocation);
	inside->is_open[0] = faas_deferral_is_open(inside->token);
	inside->codes[2] = faas_complete(inside->token, NULL, 0, NULL);
}

static void and_that_of_a_cancelled_one(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = cancel_self};
	faas_invocation *invocation = run_inside(bed, &inside);

	assert_int_equal(FAAS_OK, inside.codes[1]);
	assert_int_equal(0, inside.is_open[0]);
	assert_int_equal(FAAS_ESETTLED, inside.codes[2]);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	assert_int_equal(0, bed_stats(bed, "f").overrunning);
	end_inside(&inside);
}

static void defer_again(struct inside *inside, faas_context *context)
{
	faas_deferral *second = NULL;

	inside->codes[1] = faas_context_defer(context, &second);
	inside->codes[2] = faas_context_defer(NULL, &second);
	inside->codes[3] = faas_context_defer(context, NULL);
	inside->is_open[0] = second == NULL;
	(void)faas_complete(inside->token, NULL, 0, NULL);
}

static void an_attempt_is_deferred_once(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = defer_again};

	(void)run_inside(bed, &inside);
	assert_int_equal(FAAS_EEXIST, inside.codes[1]);
	assert_int_equal(FAAS_EINVAL, inside.codes[2]);
	assert_int_equal(FAAS_EINVAL, inside.codes[3]);
	assert_int_equal(1, inside.is_open[0]);
	end_inside(&inside);
}

static void defer_in_init(faas_context *context, void *arg)
{
	faas_deferral *token = NULL;

	*(int *)arg = faas_context_defer(context, &token);
}

static void an_init_is_not_deferred(void **state)
{
	struct stage *stage = *state;
	int code = -99;

	stage_register(stage, "f", NULL);
	stage->life.in_init = defer_in_init;
	stage->life.arg = &code;
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	assert_int_equal(FAAS_ESTATE, code);
}

static void no_token_is_refused_or_ignored(void **state)
{
	(void)state;
	assert_int_equal(FAAS_EINVAL, faas_complete(NULL, NULL, 0, NULL));
	assert_int_equal(FAAS_EINVAL, faas_complete_failed(NULL, NULL));
	assert_int_equal(FAAS_EINVAL, faas_complete_failed_permanent(NULL, NULL));
	assert_int_equal(0, faas_deferral_is_open(NULL));
	assert_null(faas_deferral_ref(NULL));
	faas_deferral_unref(NULL);
}

static void give_back(struct inside *inside, faas_context *context)
{
	(void)context;
	faas_deferral_unref(inside->token);
	inside->token = NULL;
}

static void given_back_before_the_return_it_fails_there(void **state)
{
	struct bed *bed = *state;
	struct inside inside = {.does = give_back};
	faas_invocation *invocation = run_inside(bed, &inside);

	assert_int_equal(FAAS_STATUS_RUNNING, inside.status);
	assert_int_equal(FAAS_EABANDONED, faas_invocation_outcome(invocation));
	end_inside(&inside);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_completion_before_the_return_takes_effect_there),
		TEST(so_does_a_failure),
		TEST(a_handler_that_fails_has_failed_whatever_its_token_said),
		TEST(the_token_of_a_handler_that_failed_is_worth_nothing),
		TEST(so_is_that_of_an_overrun),
		TEST(and_that_of_a_cancelled_one),
		TEST(an_attempt_is_deferred_once),
		STAGE_TEST(an_init_is_not_deferred),
		cmocka_unit_test(no_token_is_refused_or_ignored),
		TEST(given_back_before_the_return_it_fails_there),
	};

	return cmocka_run_group_tests_name("defer inside", tests, NULL, NULL);
}
