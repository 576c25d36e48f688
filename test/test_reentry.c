/* SPDX-License-Identifier: MIT */
/* Calls from inside of what the library calls, that change the very thing it is at. Manual mode. */
#include "support_run.h"

/* ---- Callbacks that end other things ----------------------------------------------------------------------------- */

#define LONG 200

struct row {
	faas_invocation *invocations[LONG];
	int at, codes;
};

/* Ends the next one, whose callback ends the next one, and so on. */
static void cancel_the_next(faas_invocation *invocation, void *user)
{
	struct row *row = user;

	(void)invocation;
	if (++row->at < LONG)
		row->codes |= faas_invocation_cancel(row->invocations[row->at]);
}

static void callbacks_may_end_each_other_in_a_row(void **state)
{
	struct stage *stage = *state;
	struct row row = {.at = 0};

	stage_register(stage, "f", NULL);
	for (int i = 0; i < LONG; i++) {
		row.invocations[i] = stage_start(stage, "f", NULL);
		assert_int_equal(FAAS_OK, faas_invocation_on_settled(row.invocations[i], cancel_the_next, &row));
	}
	assert_int_equal(FAAS_OK, faas_invocation_cancel(row.invocations[0]));
	assert_int_equal(LONG, row.at);
	assert_int_equal(FAAS_OK, row.codes);
	assert_int_equal(LONG, bed_stats(&stage->bed, "f").cancelled);
	assert_int_equal(0, bed_run(&stage->bed));
	for (int i = 0; i < LONG; i++)
		faas_invocation_unref(row.invocations[i]);
}

struct changes {
	struct stage *stage;
	int unregister, register_again, queue_new;
};

static void replace_the_function(faas_invocation *invocation, void *user)
{
	struct changes *changes = user;
	faas_runtime *runtime = changes->stage->bed.runtime;

	(void)invocation;
	changes->unregister = faas_unregister_function(runtime, "f");
	changes->register_again =
		faas_register_function(runtime, "f",
	                           ONCE(.handler = job_handler, .init = life_init, .fini = life_fini,
	                                         .user = &changes->stage->life, .release = life_release));
	changes->stage->life.registered += changes->register_again == FAAS_OK;
	changes->queue_new = faas_invoke_async(runtime, "f", NULL, NULL);
}

static void a_callback_of_unregistering_may_register_the_name_again(void **state)
{
	struct stage *stage = *state;
	struct changes changes = {.stage = stage};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	invocation = stage_start(stage, "f", NULL);
	stage_queue(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, replace_the_function, &changes));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	assert_int_equal(FAAS_ENOTFOUND, changes.unregister);
	assert_int_equal(FAAS_OK, changes.register_again);
	assert_int_equal(FAAS_OK, changes.queue_new);
	bed_run(&stage->bed);
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(2, bed_totals(&stage->bed).total.cancelled);
	faas_invocation_unref(invocation);
}

static void a_callback_of_a_run_may_replace_its_function(void **state)
{
	struct stage *stage = *state;
	struct changes changes = {.stage = stage};
	faas_invocation *invocation;

	stage_register(stage, "f", NULL);
	invocation = stage_start(stage, "f", NULL);
	stage_queue(stage, "f", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, replace_the_function, &changes));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_OK, changes.unregister);
	assert_int_equal(FAAS_OK, changes.register_again);
	bed_run(&stage->bed);
	assert_int_equal(2, stage->life.runs);
	assert_int_equal(2, stage->life.inits);
	assert_int_equal(1, stage->life.finis);
	assert_int_equal(1, bed_totals(&stage->bed).total.cancelled);
	faas_invocation_unref(invocation);
}

struct again {
	faas_runtime *runtime;
	int left, codes;
};

static void emit_again(faas_emission *emission, void *user)
{
	struct again *again = user;
	faas_emission *next = NULL;

	(void)emission;
	if (again->left-- == 0)
		return;
	again->codes |= faas_emit_event(again->runtime, FAAS_EVENT(.type = "a"), &next) != 1;
	again->codes |= faas_emission_on_settled(next, emit_again, again);
	faas_emission_unref(next);
}

/* A callback is no handler: what it emits begins a chain of its own. */
static void a_callback_may_emit_the_same_again_and_again(void **state)
{
	struct stage *stage = *state;
	struct again again = {.runtime = stage->bed.runtime, .left = 100};

	stage_register(stage, "f", NULL);
	bed_bind(&stage->bed, "a", "f");
	emit_again(NULL, &again);
	assert_int_equal(100, bed_run(&stage->bed));
	assert_int_equal(0, again.codes);
	assert_int_equal(-1, again.left);
}

/* ---- While the runtime closes ------------------------------------------------------------------------------------ */

struct late_calls {
	faas_runtime *runtime;
	int called, emit, invoke_async, register_it, bind, find, stats;
};

static int nothing(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 0;
}

static void call_late(void *arg)
{
	struct late_calls *late = arg;
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};
	faas_function *function = NULL;

	late->called++;
	late->emit = faas_emit_event(late->runtime, FAAS_EVENT(.type = "a"), NULL);
	late->invoke_async = faas_invoke_async(late->runtime, "f", NULL, NULL);
	late->register_it = faas_register_function(late->runtime, "new", ONCE(.handler = nothing));
	late->bind = faas_bind(late->runtime, FAAS_BINDING(.pattern = "a", .function = "f"), NULL);
	late->find = faas_function_find(late->runtime, "f", &function);
	late->stats = faas_runtime_stats(late->runtime, &stats);
}

static void call_late_when_settled(faas_invocation *invocation, void *user)
{
	(void)invocation;
	call_late(user);
}

static void assert_closed(const struct late_calls *late)
{
	assert_int_equal(1, late->called);
	assert_int_equal(FAAS_ECLOSED, late->emit);
	assert_true(late->invoke_async == FAAS_ECLOSED || late->invoke_async == FAAS_ENOTFOUND);
	assert_int_equal(FAAS_ECLOSED, late->register_it);
	assert_int_equal(FAAS_ECLOSED, late->bind);
	assert_int_equal(FAAS_ECLOSED, late->find);
	assert_int_equal(FAAS_OK, late->stats);
}

static void a_closing_runtime_takes_nothing_from_callbacks(void **state)
{
	struct stage stage;
	struct late_calls settled, fini, release;
	faas_invocation *invocation;

	(void)state;
	stage_open(&stage, NULL);
	settled = fini = release = (struct late_calls){.runtime = stage.bed.runtime};
	stage_register(&stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(&stage, "f", NULL));
	/* A function whose starts are paused, so that closing finds something to cancel. */
	stage_register(&stage, "g", NULL);
	stage.life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(&stage, "g", NULL));
	invocation = stage_start(&stage, "g", NULL);
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, call_late_when_settled, &settled));
	faas_invocation_unref(invocation);
	stage.life.in_fini = call_late;
	stage.life.arg = &fini;
	stage_close(&stage);
	assert_closed(&settled);
	assert_closed(&fini);

	stage_open(&stage, NULL);
	release.runtime = stage.bed.runtime;
	stage_register(&stage, "f", NULL);
	stage.life.in_release = call_late;
	stage.life.arg = &release;
	stage_close(&stage);
	assert_closed(&release);
}

/* ---- Handlers that end what they are in -------------------------------------------------------------------------- */

struct family {
	struct stage *stage;
	faas_invocation *outer;
	int cancel, outer_status, wait, inner_code, is_cancelled, alloc;
	faas_invocation *other;
};

static void cancel_the_outer(faas_context *context, void *arg)
{
	struct family *family = arg;

	family->cancel = faas_invocation_cancel(family->outer);
	family->outer_status = faas_invocation_status(family->outer);
	/* No wait goes on past the cancellation of a handler it is made in. */
	family->wait = faas_invocation_wait(family->other, FAAS_NEVER);
	family->is_cancelled = faas_context_is_cancelled(context);
	family->alloc = faas_context_alloc(context, 100) != NULL;
}

static void invoke_the_inner(faas_context *context, void *arg)
{
	struct family *family = arg;

	family->inner_code =
		faas_context_invoke(context, "inner", JOB(.does = cancel_the_outer, .arg = family, .reply = "x"), 0, NULL);
}

static void an_inner_handler_may_cancel_the_outer(void **state)
{
	struct stage *stage = *state;
	struct family family = {.stage = stage};

	stage_register(stage, "outer", NULL);
	stage_register(stage, "inner", NULL);
	stage_register(stage, "paused", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "paused", NULL));
	family.other = stage_start(stage, "paused", NULL);
	family.outer = stage_start(stage, "outer", JOB(.does = invoke_the_inner, .arg = &family));
	bed_run(&stage->bed);
	assert_int_equal(FAAS_OK, family.cancel);
	assert_int_equal(FAAS_STATUS_CANCELLED, family.outer_status);
	assert_int_equal(FAAS_EPENDING, family.wait);
	/* The inner one itself is not cancelled, and ends like any other. */
	assert_int_equal(0, family.is_cancelled);
	assert_int_equal(1, family.alloc);
	assert_int_equal(FAAS_OK, family.inner_code);
	assert_int_equal(1, bed_stats(&stage->bed, "outer").retired_overrun);
	assert_int_equal(1, bed_stats(&stage->bed, "inner").warm);
	faas_invocation_unref(family.outer);
	faas_invocation_unref(family.other);
}

static void unregister_inner(faas_context *context, void *arg)
{
	struct family *family = arg;

	family->cancel = faas_unregister_function(faas_context_runtime(context), "inner");
	family->inner_code = faas_context_invoke(context, "inner", NULL, 0, NULL);
	/* It was cancelled with its function. */
	family->wait = faas_invocation_wait(family->other, FAAS_NEVER);
}

static void what_a_handler_waits_for_may_be_gone(void **state)
{
	struct stage *stage = *state;
	struct family family = {.stage = stage};

	stage_register(stage, "outer", NULL);
	stage_register(stage, "inner", NULL);
	family.outer = stage_start(stage, "outer", JOB(.does = unregister_inner, .arg = &family));
	family.other = stage_start(stage, "inner", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_OK, family.cancel);
	assert_int_equal(FAAS_ENOTFOUND, family.inner_code);
	assert_int_equal(FAAS_OK, family.wait);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(family.other));
	faas_invocation_unref(family.outer);
	faas_invocation_unref(family.other);
}

static void cancel_own_in_init(faas_context *context, void *arg)
{
	struct family *family = arg;

	family->cancel = faas_invocation_cancel(family->other);
	family->is_cancelled = faas_context_is_cancelled(context);
}

static void wait_for_the_other(faas_context *context, void *arg)
{
	struct family *family = arg;

	(void)context;
	family->stage->life.in_init = cancel_own_in_init;
	family->stage->life.arg = family;
	family->wait = faas_invocation_wait(family->other, FAAS_NEVER);
}

/* The init is at work for a waiting handler, and its invocation is cancelled under its hands. */
static void a_nested_start_may_be_cancelled(void **state)
{
	struct stage *stage = *state;
	struct family family = {.stage = stage};

	stage_register(stage, "outer", NULL);
	stage_register(stage, "inner", NULL);
	stage_queue(stage, "outer", JOB(.does = wait_for_the_other, .arg = &family));
	family.other = stage_start(stage, "inner", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_OK, family.wait);
	assert_int_equal(FAAS_OK, family.cancel);
	assert_int_equal(1, family.is_cancelled);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(family.other));
	assert_int_equal(1, stage->life.runs);
	assert_int_equal(1, stage->life.finis);
	faas_invocation_unref(family.other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(callbacks_may_end_each_other_in_a_row),
		STAGE_TEST(a_callback_of_unregistering_may_register_the_name_again),
		STAGE_TEST(a_callback_of_a_run_may_replace_its_function),
		STAGE_TEST(a_callback_may_emit_the_same_again_and_again),
		cmocka_unit_test(a_closing_runtime_takes_nothing_from_callbacks),
		STAGE_TEST(an_inner_handler_may_cancel_the_outer),
		STAGE_TEST(what_a_handler_waits_for_may_be_gone),
		STAGE_TEST(a_nested_start_may_be_cancelled),
	};

	return cmocka_run_group_tests_name("reentry", tests, NULL, NULL);
}
