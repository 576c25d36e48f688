/* SPDX-License-Identifier: MIT */
/* Callbacks on settled invocations: when they come, on whose step, and what they may do. */
#include "support_run.h"

/* What a callback saw. */
struct told {
	int count;
	int status, outcome;
	int64_t at;
	faas_clock *clock;
	faas_invocation *invocation;
};

static void tell(faas_invocation *invocation, void *user)
{
	struct told *told = user;

	told->count++;
	told->status = faas_invocation_status(invocation);
	told->outcome = faas_invocation_outcome(invocation);
	told->at = told->clock ? faas_clock_now(told->clock) : 0;
	told->invocation = invocation;
}

/* ---- When -------------------------------------------------------------------------------------------------------- */

static void a_callback_comes_once_in_the_step_that_settles(void **state)
{
	struct stage *stage = *state;
	struct told told = {.clock = stage->bed.clock};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", JOB(.takes_ns = 7));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &told));
	assert_int_equal(0, told.count);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_STATUS_SUCCEEDED, told.status);
	assert_int_equal(FAAS_OK, told.outcome);
	assert_int_equal(7, told.at);
	assert_ptr_equal(invocation, told.invocation);
	assert_int_equal(0, bed_run(&stage->bed));
	assert_int_equal(1, told.count);
	faas_invocation_unref(invocation);
}

static void a_callback_on_what_is_settled_comes_at_once(void **state)
{
	struct stage *stage = *state;
	struct told told = {0};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_settle(stage, "f", JOB(.result = 3));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &told));
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_EFAILED, told.outcome);
	assert_int_equal(0, bed_run(&stage->bed));
	faas_invocation_unref(invocation);
}

static void there_is_one_callback_and_no_second(void **state)
{
	struct stage *stage = *state;
	struct told first = {0}, second = {0};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_EINVAL, faas_invocation_on_settled(NULL, tell, &second));
	assert_int_equal(FAAS_EINVAL, faas_invocation_on_settled(invocation, NULL, &second));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &first));
	assert_int_equal(FAAS_EEXIST, faas_invocation_on_settled(invocation, tell, &second));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_EEXIST, faas_invocation_on_settled(invocation, tell, &second));
	assert_int_equal(1, first.count);
	assert_int_equal(0, second.count);
	faas_invocation_unref(invocation);
}

static void cancelling_calls_back_before_it_returns(void **state)
{
	struct stage *stage = *state;
	struct told told = {0};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &told));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_ECANCELLED, told.outcome);
	faas_invocation_unref(invocation);
}

static void unregistering_calls_back_for_all_that_was_queued(void **state)
{
	struct stage *stage = *state;
	struct told told = {0};

	stage_register(stage, "f", NULL);
	for (int i = 0; i < 10; i++) {
		faas_invocation *invocation = stage_start(stage, "f", NULL);

		assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &told));
		faas_invocation_unref(invocation);
	}
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(10, told.count);
	assert_int_equal(FAAS_STATUS_CANCELLED, told.status);
}

static void closing_calls_back_for_all_that_was_queued(void **state)
{
	struct stage stage;
	struct told told = {0};
	faas_invocation *invocation;

	(void)state;
	stage_open(&stage, NULL);
	stage_register(&stage, "f", NULL);
	stage.life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(&stage, "f", NULL));
	invocation = stage_start(&stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &told));
	faas_invocation_unref(invocation);
	stage_close(&stage);
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_ECANCELLED, told.outcome);
}

struct at_deadline {
	faas_clock *clock;
	faas_invocation *invocation;
	struct told *told;
	int status, told_inside;
};

static void pass_the_deadline(faas_context *context, void *arg)
{
	struct at_deadline *scene = arg;

	(void)context;
	(void)faas_clock_advance(scene->clock, 10 * MS);
	scene->status = faas_invocation_status(scene->invocation);
	scene->told_inside = scene->told->count;
}

/* Moving the clock runs nothing: what a deadline settles calls back in a step of its own. */
static void a_deadline_leaves_its_callback_to_a_step(void **state)
{
	struct stage *stage = *state;
	struct told told = {.clock = stage->bed.clock};
	struct at_deadline scene = {.clock = stage->bed.clock, .told = &told};

	stage_register(stage, "f", ONCE(.deadline_ms = 10));
	scene.invocation = stage_start(stage, "f", JOB(.does = pass_the_deadline, .arg = &scene));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(scene.invocation, tell, &told));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, scene.status);
	assert_int_equal(0, scene.told_inside);
	assert_int_equal(0, bed_next_due(&stage->bed));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(1, told.count);
	assert_int_equal(FAAS_ETIMEDOUT, told.outcome);
	faas_invocation_unref(scene.invocation);
}

static void a_deadlines_callback_comes_although_closing_comes_first(void **state)
{
	struct stage stage;
	struct told told = {0};
	struct at_deadline scene = {.told = &told};

	(void)state;
	stage_open(&stage, NULL);
	scene.clock = stage.bed.clock;
	stage_register(&stage, "f", ONCE(.deadline_ms = 10));
	scene.invocation = stage_start(&stage, "f", JOB(.does = pass_the_deadline, .arg = &scene));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(scene.invocation, tell, &told));
	assert_int_equal(1, faas_run(stage.bed.runtime, 1));
	faas_invocation_unref(scene.invocation);
	stage_close(&stage);
	assert_int_equal(1, told.count);
}

struct counted {
	faas_runtime *runtime;
	struct faas_function_stats stats;
};

static void look_at_the_numbers(faas_invocation *invocation, void *user)
{
	struct counted *counted = user;

	counted->stats = peek(counted->runtime, faas_invocation_function(invocation));
}

/* Who learns that an invocation is settled finds it counted. */
static void a_callback_finds_its_invocation_counted(void **state)
{
	struct stage *stage = *state;
	struct counted counted = {.runtime = stage->bed.runtime};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", JOB(.takes_ns = 2 * MS));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, look_at_the_numbers, &counted));
	assert_int_equal(1, bed_run(&stage->bed));
	check_accounts(&counted.stats);
	assert_int_equal(1, counted.stats.succeeded);
	assert_int_equal(0, counted.stats.running);
	assert_int_equal(1, counted.stats.requests);
	assert_int_equal(2, counted.stats.billed_ms);
	assert_int_equal(1, counted.stats.cold_starts);
	faas_invocation_unref(invocation);
}

/* ---- Rights ------------------------------------------------------------------------------------------------------ */

/* Everything one may call from inside of a callback, and what it said. */
struct rights {
	faas_runtime *runtime;
	faas_function *function;
	faas_invocation *queued; /* not settled */
	faas_emission *emission; /* not settled */
	int called;
	int emit, invoke_async, handle_async, bind, unbind, register_it, find, stats, totals, unregister, cancel;
	int look, look_at_emission;
	int wait, wait_emission, invoke, handle_invoke, run, drain, close;
};

static int nothing(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 0;
}

static void use_all_rights(struct rights *rights)
{
	faas_runtime *runtime = rights->runtime;
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	struct faas_runtime_stats totals = {.struct_size = sizeof(totals)};
	faas_invocation *invocation = NULL;
	faas_function *found = NULL;
	uint64_t binding = 0;

	rights->called++;
	rights->emit = faas_emit_event(runtime, FAAS_EVENT(.type = "from.callback"), NULL);
	rights->invoke_async = faas_invoke_async(runtime, "other", NULL, &invocation);
	rights->handle_async = faas_function_invoke_async(rights->function, NULL, NULL);
	rights->register_it = faas_register_function(runtime, "new", ONCE(.handler = nothing));
	rights->bind = faas_bind(runtime, FAAS_BINDING(.pattern = "x", .function = "new"), &binding);
	rights->unbind = faas_unbind(runtime, binding);
	rights->find = faas_function_find(runtime, "new", &found);
	rights->stats = faas_function_stats(found, &stats);
	rights->totals = faas_runtime_stats(runtime, &totals);
	faas_function_unref(found);
	rights->unregister = faas_unregister_function(runtime, "new");
	rights->cancel = faas_invocation_cancel(invocation);
	faas_invocation_unref(invocation);
	rights->look = faas_invocation_wait(rights->queued, 0);
	rights->look_at_emission = faas_emission_wait(rights->emission, 0);
	rights->wait = faas_invocation_wait(rights->queued, FAAS_NEVER);
	rights->wait_emission = faas_emission_wait(rights->emission, 1);
	rights->invoke = faas_invoke(runtime, "other", NULL, 0, &invocation);
	rights->handle_invoke = faas_function_invoke(rights->function, NULL, 1, NULL);
	rights->run = faas_run(runtime, 1);
	rights->drain = faas_drain(runtime, 0);
	rights->close = faas_close(runtime, 0, FAAS_CLOSE_DETACH);
}

static void assert_all_rights(const struct rights *rights)
{
	assert_int_equal(1, rights->called);
	assert_int_equal(1, rights->emit);
	assert_int_equal(FAAS_OK, rights->invoke_async);
	assert_int_equal(FAAS_OK, rights->handle_async);
	assert_int_equal(FAAS_OK, rights->register_it);
	assert_int_equal(FAAS_OK, rights->bind);
	assert_int_equal(FAAS_OK, rights->unbind);
	assert_int_equal(FAAS_OK, rights->find);
	assert_int_equal(FAAS_OK, rights->stats);
	assert_int_equal(FAAS_OK, rights->totals);
	assert_int_equal(FAAS_OK, rights->unregister);
	assert_int_equal(FAAS_OK, rights->cancel);
	assert_int_equal(FAAS_EPENDING, rights->look);
	assert_int_equal(FAAS_EPENDING, rights->look_at_emission);
	assert_int_equal(FAAS_EDEADLK, rights->wait);
	assert_int_equal(FAAS_EDEADLK, rights->wait_emission);
	assert_int_equal(FAAS_EDEADLK, rights->invoke);
	assert_int_equal(FAAS_EDEADLK, rights->handle_invoke);
	assert_int_equal(FAAS_EDEADLK, rights->run);
	assert_int_equal(FAAS_EDEADLK, rights->drain);
	assert_int_equal(FAAS_EDEADLK, rights->close);
}

/* A function "other" that events "from.callback" lead to, and something queued for it. */
static void rights_begin(struct rights *rights, struct stage *stage)
{
	*rights = (struct rights){.runtime = stage->bed.runtime};
	stage_register(stage, "f", NULL);
	stage_register(stage, "other", NULL);
	bed_bind(&stage->bed, "from.callback", "other");
	bed_bind(&stage->bed, "wait.for", "other");
	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "other", &rights->function));
}

static void rights_queue(struct rights *rights, struct stage *stage)
{
	rights->queued = stage_start(stage, "other", NULL);
	assert_int_equal(1, faas_emit_event(rights->runtime, FAAS_EVENT(.type = "wait.for"), &rights->emission));
}

/* What was queued before and from inside runs afterwards: the callback has broken nothing. */
static void rights_end(struct rights *rights, struct stage *stage)
{
	struct faas_function_stats stats;

	assert_all_rights(rights);
	bed_run(&stage->bed);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(rights->queued));
	stats = stats_of(rights->function);
	assert_int_equal(2 + 2, stats.succeeded); /* queued before; emitted and invoked from inside */
	assert_int_equal(1, stats.cancelled);
	assert_int_equal(2, stats.rejected_other);
	faas_invocation_unref(rights->queued);
	faas_emission_unref(rights->emission);
	faas_function_unref(rights->function);
}

static void callback_with_rights(faas_invocation *invocation, void *user)
{
	(void)invocation;
	use_all_rights(user);
}

static void emission_callback_with_rights(faas_emission *emission, void *user)
{
	(void)emission;
	use_all_rights(user);
}

static void plain_callback_with_rights(void *user)
{
	use_all_rights(user);
}

static void a_callback_in_a_handlers_step_may_act_but_not_wait(void **state)
{
	struct stage *stage = *state;
	struct rights rights;
	faas_invocation *invocation;

	rights_begin(&rights, stage);
	invocation = stage_start(stage, "f", NULL);
	rights_queue(&rights, stage);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, callback_with_rights, &rights));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	rights_end(&rights, stage);
	faas_invocation_unref(invocation);
}

static void a_callback_on_the_hosts_thread_may_act_but_not_wait(void **state)
{
	struct stage *stage = *state;
	struct rights rights;
	faas_invocation *invocation;

	rights_begin(&rights, stage);
	invocation = stage_settle(stage, "f", NULL);
	rights_queue(&rights, stage);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, callback_with_rights, &rights));
	rights_end(&rights, stage);
	faas_invocation_unref(invocation);
}

static void a_callback_of_a_deadline_may_act_but_not_wait(void **state)
{
	struct stage *stage = *state;
	struct rights rights;
	faas_invocation *invocation;

	rights_begin(&rights, stage);
	invocation = stage_start(stage, "f", JOB(.takes_ns = 4000 * MS));
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, callback_with_rights, &rights));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(0, rights.called);
	rights_queue(&rights, stage);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	rights_end(&rights, stage);
	faas_invocation_unref(invocation);
}

static void a_callback_of_an_emission_may_act_but_not_wait(void **state)
{
	struct stage *stage = *state;
	struct rights rights;
	faas_emission *emission = NULL;

	rights_begin(&rights, stage);
	bed_bind(&stage->bed, "a", "f");
	assert_int_equal(1, faas_emit_event(stage->bed.runtime, FAAS_EVENT(.type = "a"), &emission));
	rights_queue(&rights, stage);
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, emission_callback_with_rights, &rights));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	rights_end(&rights, stage);
	faas_emission_unref(emission);
}

static void fini_may_act_but_not_wait(void **state)
{
	struct stage *stage = *state;
	struct rights rights;

	rights_begin(&rights, stage);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	/* The other one has used more thread time than f, whose turn comes first then. */
	assert_int_equal(FAAS_EFAILED, stage_invoke(stage, "other", JOB(.takes_ns = 1 * MS, .result = 1)));
	bed_advance_ms(&stage->bed, 600000 - 1);
	rights_queue(&rights, stage);
	stage->life.in_fini = plain_callback_with_rights;
	stage->life.arg = &rights;
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	stage->life.in_fini = NULL;
	assert_int_equal(1, stage->life.finis);
	rights_end(&rights, stage);
}

static void release_may_act_but_not_wait(void **state)
{
	struct stage *stage = *state;
	struct rights rights;

	rights_begin(&rights, stage);
	rights_queue(&rights, stage);
	stage->life.in_release = plain_callback_with_rights;
	stage->life.arg = &rights;
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	stage->life.in_release = NULL;
	assert_int_equal(1, stage->life.releases);
	rights_end(&rights, stage);
}

static void log_with_rights(void *user, int32_t level, const char *function, const char *message)
{
	(void)level;
	(void)function;
	(void)message;
	use_all_rights(user);
}

static void log_a_line(faas_context *context, void *arg)
{
	(void)arg;
	(void)faas_context_log(context, FAAS_LOG_ERROR, "look here");
}

static void a_log_sink_may_act_but_not_wait(void **state)
{
	struct stage stage;
	struct rights rights;

	(void)state;
	stage_open(&stage, FAAS_RUNTIME(.log = log_with_rights, .log_user = &rights));
	rights_begin(&rights, &stage);
	stage_queue(&stage, "f", JOB(.does = log_a_line));
	rights_queue(&rights, &stage);
	assert_int_equal(1, faas_run(stage.bed.runtime, 1));
	rights_end(&rights, &stage);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_callback_comes_once_in_the_step_that_settles),
		STAGE_TEST(a_callback_on_what_is_settled_comes_at_once),
		STAGE_TEST(there_is_one_callback_and_no_second),
		STAGE_TEST(cancelling_calls_back_before_it_returns),
		STAGE_TEST(unregistering_calls_back_for_all_that_was_queued),
		cmocka_unit_test(closing_calls_back_for_all_that_was_queued),
		STAGE_TEST(a_deadline_leaves_its_callback_to_a_step),
		cmocka_unit_test(a_deadlines_callback_comes_although_closing_comes_first),
		STAGE_TEST(a_callback_finds_its_invocation_counted),
		STAGE_TEST(a_callback_in_a_handlers_step_may_act_but_not_wait),
		STAGE_TEST(a_callback_on_the_hosts_thread_may_act_but_not_wait),
		STAGE_TEST(a_callback_of_a_deadline_may_act_but_not_wait),
		STAGE_TEST(a_callback_of_an_emission_may_act_but_not_wait),
		STAGE_TEST(fini_may_act_but_not_wait),
		STAGE_TEST(release_may_act_but_not_wait),
		cmocka_unit_test(a_log_sink_may_act_but_not_wait),
	};

	return cmocka_run_group_tests_name("callback", tests, NULL, NULL);
}
