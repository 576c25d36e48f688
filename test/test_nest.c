/* SPDX-License-Identifier: MIT */
/* Handlers that cause and wait for others: hops, depth, and what a waiting handler's thread runs. Manual mode. */
#include "support_run.h"

/* ---- Hops -------------------------------------------------------------------------------------------------------- */

/* A handler that does the same again, until that is refused. */
struct chain {
	int (*next)(faas_context *context, struct chain *chain);
	int links;
	int last; /* what ended it */
	faas_emission *emission;
};

static void go_on(faas_context *context, void *arg)
{
	struct chain *chain = arg;
	int code = chain->next(context, chain);

	if (code < 0)
		chain->last = code;
	else
		chain->links++;
}

typedef int next_fn(faas_context *context, struct chain *chain);

static int emit_next(faas_context *context, struct chain *chain)
{
	return faas_context_emit_event(context, JOB_OF("chain", .does = go_on, .arg = chain), NULL);
}

static int emit_next_from_outside(faas_context *context, struct chain *chain)
{
	return faas_emit_event(faas_context_runtime(context), JOB_OF("chain", .does = go_on, .arg = chain), NULL);
}

static int emit_next_with_emission(faas_context *context, struct chain *chain)
{
	faas_emission *emission = chain->emission;
	int code = faas_context_emit_event(context, JOB_OF("chain", .does = go_on, .arg = chain), &emission);

	if (code > 0)
		faas_emission_unref(emission);
	return code;
}

static int queue_next(faas_context *context, struct chain *chain)
{
	return faas_context_invoke_async(context, "f", JOB(.does = go_on, .arg = chain), NULL);
}

static int queue_next_from_outside(faas_context *context, struct chain *chain)
{
	return faas_invoke_async(faas_context_runtime(context), "f", JOB(.does = go_on, .arg = chain), NULL);
}

static int invoke_next(faas_context *context, struct chain *chain)
{
	return faas_context_invoke(context, "f", JOB(.does = go_on, .arg = chain), 0, NULL);
}

static int invoke_next_from_outside(faas_context *context, struct chain *chain)
{
	faas_function *function = NULL;
	int code = faas_function_find(faas_context_runtime(context), "f", &function);

	if (code == FAAS_OK)
		code = faas_function_invoke(function, JOB(.does = go_on, .arg = chain), FAAS_NEVER, NULL);
	faas_function_unref(function);
	return code;
}

/* An event from outside is no hop; so many more it may cause, one after the other, and no more. */
static void a_chain_ends_after_16_hops(void **state)
{
	next_fn *const ways[] = {
		emit_next,   emit_next_from_outside,   emit_next_with_emission, queue_next,
		invoke_next, invoke_next_from_outside, queue_next_from_outside,
	};
	struct stage *stage = *state;

	stage_register(stage, "f", NULL);
	bed_bind(&stage->bed, "chain", "f");
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		struct chain chain = {.next = ways[i], .emission = (faas_emission *)(void *)&chain};
		int runs = stage->life.runs;

		stage_queue(stage, "f", JOB(.does = go_on, .arg = &chain));
		bed_run(&stage->bed);
		assert_int_equal(FAAS_ELOOP, chain.last);
		assert_int_equal(FAAS_MAX_HOPS, chain.links);
		assert_int_equal(FAAS_MAX_HOPS + 1, stage->life.runs - runs);
		assert_ptr_equal(&chain, chain.emission); /* untouched by the refusal */
	}
	/* Nothing was offered to a function by what was refused. */
	assert_int_equal(0, bed_stats(&stage->bed, "f").rejected);
	assert_int_equal(COUNT_OF(ways) * (FAAS_MAX_HOPS + 1), bed_stats(&stage->bed, "f").succeeded);
}

/* ---- Depth ------------------------------------------------------------------------------------------------------- */

#define LONG 24

/* Invocations from outside, of which each handler waits for the next: hops do not bound these. */
struct row {
	faas_invocation *invocations[LONG + 1]; /* NULL at the end */
	int codes[LONG];
	int begun;
};

static void wait_for_the_next(faas_context *context, void *arg)
{
	struct row *row = arg;
	int at = row->begun++;

	(void)context;
	if (row->invocations[at + 1])
		row->codes[at] = faas_invocation_wait(row->invocations[at + 1], FAAS_NEVER);
}

static void handlers_nest_16_deep_and_no_deeper(void **state)
{
	struct stage *stage = *state;
	struct row row = {0};

	stage_register(stage, "f", NULL);
	for (int i = 0; i < LONG; i++)
		row.invocations[i] = stage_start(stage, "f", JOB(.does = wait_for_the_next, .arg = &row));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_MAX_DEPTH + 1, row.begun);
	for (int i = 0; i < FAAS_MAX_DEPTH; i++)
		assert_int_equal(FAAS_OK, row.codes[i]);
	/* No thread is there to take the next one over. */
	assert_int_equal(FAAS_EAGAIN, row.codes[FAAS_MAX_DEPTH]);
	for (int i = 0; i < LONG; i++)
		assert_int_equal(i <= FAAS_MAX_DEPTH ? FAAS_STATUS_SUCCEEDED : FAAS_STATUS_QUEUED,
		                 faas_invocation_status(row.invocations[i]));
	bed_run(&stage->bed);
	for (int i = 0; i < LONG; i++) {
		assert_int_equal(FAAS_OK, faas_invocation_outcome(row.invocations[i]));
		faas_invocation_unref(row.invocations[i]);
	}
	assert_int_equal(LONG, bed_stats(&stage->bed, "f").succeeded);
}

/* ---- What a waiting handler runs --------------------------------------------------------------------------------- */

struct waiter {
	faas_invocation *invocation;
	faas_emission *emission;
	struct record *record;
	int64_t timeout_ms;
	int code;
	char during[64]; /* what ran while it waited */
};

static void wait_for_it(faas_context *context, void *arg)
{
	struct waiter *waiter = arg;

	(void)context;
	waiter->code = waiter->invocation ? faas_invocation_wait(waiter->invocation, waiter->timeout_ms)
	                                  : faas_emission_wait(waiter->emission, waiter->timeout_ms);
	if (waiter->record)
		snprintf(waiter->during, sizeof(waiter->during), "%s", record_texts(waiter->record));
}

static faas_invocation *start_named(struct stage *stage, const char *function, const char *name)
{
	return stage_start(stage, function, FAAS_EVENT(.data = name, .data_bytes = strlen(name)));
}

static void a_waiting_handler_runs_what_it_waits_for_and_nothing_else(void **state)
{
	struct stage *stage = *state;
	struct record record;
	struct waiter waiter = {.record = &record, .timeout_ms = FAAS_NEVER};
	faas_invocation *others[4];

	record_init(&record);
	stage_register(stage, "f", NULL);
	stage_register(stage, "g", ONCE(.handler = record_handler, .user = &record));
	stage_register(stage, "h", ONCE(.handler = record_handler, .user = &record));
	stage_queue(stage, "f", JOB(.does = wait_for_it, .arg = &waiter));
	others[0] = start_named(stage, "h", "other");
	others[1] = start_named(stage, "g", "before");
	others[2] = start_named(stage, "g", "awaited");
	others[3] = start_named(stage, "g", "after");
	waiter.invocation = others[2];
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_OK, waiter.code);
	assert_string_equal("awaited", waiter.during);
	assert_int_equal(3, bed_run(&stage->bed));
	assert_string_equal("awaited other before after", record_texts(&record));
	for (size_t i = 0; i < COUNT_OF(others); i++)
		faas_invocation_unref(others[i]);
	record_deinit(&record);
}

static void waiting_for_an_emission_runs_all_of_it(void **state)
{
	struct stage *stage = *state;
	struct record record;
	struct waiter waiter = {.record = &record, .timeout_ms = FAAS_NEVER};

	record_init(&record);
	stage_register(stage, "f", NULL);
	stage_register(stage, "g", ONCE(.handler = record_handler, .user = &record));
	stage_register(stage, "h", ONCE(.handler = record_handler, .user = &record));
	bed_bind(&stage->bed, "a", "g");
	bed_bind(&stage->bed, "a", "h");
	stage_queue(stage, "f", JOB(.does = wait_for_it, .arg = &waiter));
	assert_int_equal(2, bed_emit(&stage->bed, "a", "not"));
	assert_int_equal(2, faas_emit_event(stage->bed.runtime, FAAS_EVENT(.type = "a", .data = "this", .data_bytes = 4),
	                                    &waiter.emission));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_OK, waiter.code);
	assert_string_equal("this this", waiter.during);
	assert_int_equal(2, bed_run(&stage->bed));
	faas_emission_unref(waiter.emission);
	record_deinit(&record);
}

static void waiting_for_what_is_settled_takes_nothing(void **state)
{
	struct stage *stage = *state;
	struct waiter waiter = {.timeout_ms = FAAS_NEVER};

	stage_register(stage, "f", NULL);
	waiter.invocation = stage_settle(stage, "f", JOB(.result = 1));
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = wait_for_it, .arg = &waiter)));
	assert_int_equal(FAAS_OK, waiter.code);
	assert_int_equal(2, stage->life.runs);
	faas_invocation_unref(waiter.invocation);
}

static void a_handler_that_only_looks_runs_nothing(void **state)
{
	struct stage *stage = *state;
	struct waiter waiter = {.timeout_ms = 0};

	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	stage_queue(stage, "f", JOB(.does = wait_for_it, .arg = &waiter));
	waiter.invocation = stage_start(stage, "g", NULL);
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_EPENDING, waiter.code);
	assert_int_equal(1, stage->life.runs);
	faas_invocation_unref(waiter.invocation);
}

static void what_cannot_run_before_time_moves_is_not_waited_for(void **state)
{
	struct stage *stage = *state;
	struct waiter waiter = {.timeout_ms = FAAS_NEVER};

	stage_register(stage, "f", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", NULL));
	stage_register(stage, "g", NULL);
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "g", NULL));
	waiter.invocation = stage_start(stage, "g", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = wait_for_it, .arg = &waiter)));
	assert_int_equal(FAAS_EAGAIN, waiter.code);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(waiter.invocation));
	bed_advance_ms(&stage->bed, 100);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = wait_for_it, .arg = &waiter)));
	assert_int_equal(FAAS_OK, waiter.code);
	faas_invocation_unref(waiter.invocation);
}

/* ---- Waits that could never end ---------------------------------------------------------------------------------- */

static void waiting_for_oneself_is_refused(void **state)
{
	struct stage *stage = *state;
	struct waiter waiter = {.timeout_ms = FAAS_NEVER};

	stage_register(stage, "f", NULL);
	waiter.invocation = stage_start(stage, "f", JOB(.does = wait_for_it, .arg = &waiter));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_EDEADLK, waiter.code);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(waiter.invocation));
	faas_invocation_unref(waiter.invocation);
}

static void waiting_for_the_emission_one_belongs_to_is_refused(void **state)
{
	struct stage *stage = *state;
	struct waiter waiter = {.timeout_ms = FAAS_NEVER};

	stage_register(stage, "f", NULL);
	bed_bind(&stage->bed, "a", "f");
	assert_int_equal(
		1, faas_emit_event(stage->bed.runtime, JOB_OF("a", .does = wait_for_it, .arg = &waiter), &waiter.emission));
	assert_int_equal(1, faas_run(stage->bed.runtime, 1));
	assert_int_equal(FAAS_EDEADLK, waiter.code);
	assert_int_equal(FAAS_OK, faas_emission_wait(waiter.emission, 0));
	faas_emission_unref(waiter.emission);
}

static void invoke_g(faas_context *context, void *arg)
{
	struct waiter *waiter = arg;

	(void)faas_context_invoke(context, "g", JOB(.does = wait_for_it, .arg = waiter), 0, NULL);
}

static void waiting_for_an_ancestor_is_refused(void **state)
{
	struct stage *stage = *state;
	struct waiter waiter = {.timeout_ms = FAAS_NEVER};

	stage_register(stage, "f", NULL);
	stage_register(stage, "g", NULL);
	waiter.invocation = stage_start(stage, "f", JOB(.does = invoke_g, .arg = &waiter));
	assert_int_equal(1, bed_run(&stage->bed));
	assert_int_equal(FAAS_EDEADLK, waiter.code);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(waiter.invocation));
	faas_invocation_unref(waiter.invocation);
}

struct triangle {
	int inner;
	faas_invocation *refused;
};

static void invoke_f_again(faas_context *context, void *arg)
{
	struct triangle *triangle = arg;

	triangle->inner = faas_context_invoke(context, "f", NULL, 0, &triangle->refused);
}

static void invoke_g_then_f(faas_context *context, void *arg)
{
	(void)faas_context_invoke(context, "g", JOB(.does = invoke_f_again, .arg = arg), 0, NULL);
}

static void a_slot_that_an_ancestor_holds_is_not_waited_for(void **state)
{
	struct stage *stage = *state;
	struct triangle triangle = {0};

	stage_register(stage, "f", ONCE(.max_concurrency = 1));
	stage_register(stage, "g", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "f", JOB(.does = invoke_g_then_f, .arg = &triangle)));
	assert_int_equal(FAAS_EDEADLK, triangle.inner);
	assert_int_equal(FAAS_STATUS_CANCELLED, faas_invocation_status(triangle.refused));
	assert_int_equal(1, bed_stats(&stage->bed, "f").cancelled);
	assert_int_equal(0, bed_run(&stage->bed));
	faas_invocation_unref(triangle.refused);
}

/* ---- Nested invokes ---------------------------------------------------------------------------------------------- */

struct inner {
	const faas_event_config *event;
	int64_t timeout_ms;
	int code, wait;
	faas_invocation *invocation;
	faas_clock *clock;
};

static void invoke_inner(faas_context *context, void *arg)
{
	struct inner *inner = arg;

	inner->code = faas_context_invoke(context, "inner", inner->event, inner->timeout_ms, &inner->invocation);
}

static void a_nested_invoke_answers_like_any_other(void **state)
{
	struct stage *stage = *state;
	struct inner inner = {.event = JOB(.reply = "from inside")};
	const void *data = NULL;

	stage_register(stage, "outer", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "outer", JOB(.does = invoke_inner, .arg = &inner)));
	assert_int_equal(FAAS_ENOTFOUND, inner.code);
	assert_null(inner.invocation);
	stage_register(stage, "inner", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "outer", JOB(.does = invoke_inner, .arg = &inner)));
	assert_int_equal(FAAS_OK, inner.code);
	assert_int_equal(FAAS_OK, faas_invocation_answer(inner.invocation, &data, NULL, NULL));
	assert_string_equal("from inside", data);
	faas_invocation_unref(inner.invocation);
	inner.event = JOB(.says = "no");
	assert_int_equal(FAAS_OK, stage_invoke(stage, "outer", JOB(.does = invoke_inner, .arg = &inner)));
	assert_int_equal(FAAS_EFAILED, inner.code);
	assert_string_equal("no", faas_invocation_message(inner.invocation));
	faas_invocation_unref(inner.invocation);
	inner.event = JOB(.takes_ns = 9 * MS);
	inner.timeout_ms = 4;
	assert_int_equal(FAAS_OK, stage_invoke(stage, "outer", JOB(.does = invoke_inner, .arg = &inner)));
	assert_int_equal(FAAS_ETIMEDOUT, inner.code);
	assert_int_equal(4 * MS, timing_of(inner.invocation).run_ns);
	faas_invocation_unref(inner.invocation);
}

static void wait_after_the_deadline(faas_context *context, void *arg)
{
	struct inner *inner = arg;

	(void)faas_clock_advance(inner->clock, 3000 * MS);
	inner->wait = faas_invocation_wait(inner->invocation, FAAS_NEVER);
	inner->code = faas_context_invoke(context, "paused", NULL, 0, NULL);
}

/* No wait goes on past the deadline of a handler it is made in. */
static void a_handler_whose_time_is_over_waits_no_more(void **state)
{
	struct stage *stage = *state;
	struct inner inner = {.clock = stage->bed.clock};

	stage_register(stage, "outer", NULL);
	assert_int_equal(FAAS_OK, stage_invoke(stage, "outer", NULL));
	stage_register(stage, "paused", ONCE(.init_backoff_ms = 10000));
	stage->life.init_fails = 1;
	assert_int_equal(FAAS_EINIT, stage_invoke(stage, "paused", NULL));
	inner.invocation = stage_start(stage, "paused", NULL);
	assert_int_equal(FAAS_ETIMEDOUT, stage_invoke(stage, "outer", JOB(.does = wait_after_the_deadline, .arg = &inner)));
	assert_int_equal(FAAS_EPENDING, inner.wait);
	assert_int_equal(FAAS_ETIMEDOUT, inner.code);
	assert_int_equal(FAAS_STATUS_QUEUED, faas_invocation_status(inner.invocation));
	assert_int_equal(FAAS_OK, faas_invocation_cancel(inner.invocation));
	faas_invocation_unref(inner.invocation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_chain_ends_after_16_hops),
		STAGE_TEST(handlers_nest_16_deep_and_no_deeper),
		STAGE_TEST(a_waiting_handler_runs_what_it_waits_for_and_nothing_else),
		STAGE_TEST(waiting_for_an_emission_runs_all_of_it),
		STAGE_TEST(waiting_for_what_is_settled_takes_nothing),
		STAGE_TEST(a_handler_that_only_looks_runs_nothing),
		STAGE_TEST(what_cannot_run_before_time_moves_is_not_waited_for),
		STAGE_TEST(waiting_for_oneself_is_refused),
		STAGE_TEST(waiting_for_the_emission_one_belongs_to_is_refused),
		STAGE_TEST(waiting_for_an_ancestor_is_refused),
		STAGE_TEST(a_slot_that_an_ancestor_holds_is_not_waited_for),
		STAGE_TEST(a_nested_invoke_answers_like_any_other),
		STAGE_TEST(a_handler_whose_time_is_over_waits_no_more),
	};

	return cmocka_run_group_tests_name("nest", tests, NULL, NULL);
}
