/* SPDX-License-Identifier: MIT */
/* Handlers that wait for others, on pool threads. Gates order what matters; nothing here measures time. */
#include "support_run.h"

struct pool {
	struct memory memory;
	faas_runtime *runtime;
};

static void pool_open(struct pool *pool, int32_t threads, int32_t max_threads)
{
	memory_init(&pool->memory);
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = threads, .max_threads = max_threads,
	                                                 .allocator = &pool->memory.config),
	                                    &pool->runtime));
}

static void pool_close(struct pool *pool)
{
	(void)totals_of(pool->runtime);
	assert_int_equal(FAAS_OK, faas_close(pool->runtime, FAAS_NEVER, 0));
	memory_check_empty(&pool->memory);
}

static void pool_register(struct pool *pool, const char *name, faas_handler_fn *handler, void *user,
                          int32_t concurrency)
{
	assert_int_equal(FAAS_OK,
	                 faas_register_function(pool->runtime, name,
	                                        ONCE(.handler = handler, .user = user, .deadline_ms = FAAS_NEVER,
	                                                      .max_concurrency = concurrency)));
}

/* ---- One thread -------------------------------------------------------------------------------------------------- */

/* The event's data is a number: so many more are invoked, one inside the other; the answer is their sum. */
static int add_up(faas_context *context, const faas_event *event)
{
	int number, sum = 0;
	const void *answer;
	faas_invocation *invocation = NULL;

	memcpy(&number, faas_event_data(event, NULL), sizeof(number));
	if (number > 0) {
		const int next = number - 1;
		int code = faas_context_invoke(context, faas_context_function(context),
		                               FAAS_EVENT(.data = &next, .data_bytes = sizeof(next)), 0, &invocation);

		if (code == FAAS_OK && faas_invocation_answer(invocation, &answer, NULL, NULL) == FAAS_OK)
			memcpy(&sum, answer, sizeof(sum));
		faas_invocation_unref(invocation);
		if (code != FAAS_OK)
			return code;
	}
	sum += number;
	return faas_context_reply(context, &sum, sizeof(sum), NULL);
}

static void one_thread_suffices_for_handlers_that_wait(void **state)
{
	struct pool pool;
	const int number = 12;
	const void *answer = NULL;
	int sum;
	faas_invocation *invocation = NULL;

	(void)state;
	pool_open(&pool, 1, 1);
	pool_register(&pool, "add", add_up, NULL, 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(FAAS_OK,
		                 faas_invoke(pool.runtime, "add", FAAS_EVENT(.data = &number, .data_bytes = sizeof(number)), 0,
		                             &invocation));
		assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &answer, NULL, NULL));
		memcpy(&sum, answer, sizeof(sum));
		assert_int_equal(78, sum);
		faas_invocation_unref(invocation);
	}
	assert_int_equal(1, totals_of(pool.runtime).threads_peak);
	pool_close(&pool);
}

/* ---- Depth ------------------------------------------------------------------------------------------------------- */

#define LONG 50

struct row {
	struct gate ready; /* all are queued */
	faas_invocation *invocations[LONG + 1];
	int codes[LONG];
};

/* The event's data is the place in the row. */
static int wait_for_the_next(faas_context *context, const faas_event *event)
{
	struct row *row = faas_context_user(context);
	int at;

	memcpy(&at, faas_event_data(event, NULL), sizeof(at));
	gate_pass(&row->ready);
	if (row->invocations[at + 1])
		row->codes[at] = faas_invocation_wait(row->invocations[at + 1], FAAS_NEVER);
	return 0;
}

/* More than one thread may nest: the thread that is full parks, and another takes over. */
static void deeper_waits_go_on_on_other_threads(void **state)
{
	struct pool pool;
	static struct row row;

	(void)state;
	memset(&row, 0, sizeof(row));
	gate_init(&row.ready);
	pool_open(&pool, 1, 0);
	pool_register(&pool, "f", wait_for_the_next, &row, 0);
	for (int i = 0; i < LONG; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(pool.runtime, "f", FAAS_EVENT(.data = &i, .data_bytes = sizeof(i)),
		                                            &row.invocations[i]));
	gate_open(&row.ready);
	for (int i = 0; i < LONG; i++)
		assert_int_equal(FAAS_OK, faas_invocation_wait(row.invocations[i], FAAS_NEVER));
	for (int i = 0; i < LONG; i++) {
		assert_int_equal(FAAS_OK, row.codes[i]);
		assert_int_equal(FAAS_OK, faas_invocation_outcome(row.invocations[i]));
		faas_invocation_unref(row.invocations[i]);
	}
	pool_close(&pool);
	gate_deinit(&row.ready);
}

/* ---- Cycles ------------------------------------------------------------------------------------------------------ */

struct cycle {
	struct gate both; /* each holds its only slot */
	int codes[2];
};

static int wait_for_the_other(faas_context *context, const faas_event *event)
{
	struct cycle *cycle = faas_context_user(context);
	int is_second = strcmp(faas_context_function(context), "second") == 0;
	uint64_t bytes;

	(void)faas_event_data(event, &bytes);
	if (bytes == 0)
		return 0;
	gate_pass(&cycle->both);
	cycle->codes[is_second] = faas_context_invoke(context, is_second ? "first" : "second", NULL, 0, NULL);
	return 0;
}

static void cycles_over_threads_end_with_a_deadline(void **state)
{
	struct pool pool;
	struct cycle cycle = {.codes = {1, 1}};
	faas_invocation *first = NULL, *second = NULL;
	const faas_function_config config = {
		.struct_size = sizeof(config), .attempts = 1,
		.handler = wait_for_the_other,
		.user = &cycle,
		.max_concurrency = 1,
		.deadline_ms = 20,
	};

	(void)state;
	gate_init(&cycle.both);
	pool_open(&pool, 2, 0);
	assert_int_equal(FAAS_OK, faas_register_function(pool.runtime, "first", &config));
	assert_int_equal(FAAS_OK, faas_register_function(pool.runtime, "second", &config));
	assert_int_equal(FAAS_OK,
	                 faas_invoke_async(pool.runtime, "first", FAAS_EVENT(.data = "x", .data_bytes = 1), &first));
	assert_int_equal(FAAS_OK,
	                 faas_invoke_async(pool.runtime, "second", FAAS_EVENT(.data = "x", .data_bytes = 1), &second));
	gate_await(&cycle.both, 2);
	gate_open(&cycle.both);
	assert_int_equal(FAAS_OK, faas_invocation_wait(first, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_wait(second, FAAS_NEVER));
	/* The one whose time ends first lets the other go on. */
	assert_true(faas_invocation_outcome(first) == FAAS_ETIMEDOUT || faas_invocation_outcome(second) == FAAS_ETIMEDOUT);
	assert_int_equal(FAAS_OK, faas_drain(pool.runtime, FAAS_NEVER));
	faas_invocation_unref(first);
	faas_invocation_unref(second);
	pool_close(&pool);
	assert_true(cycle.codes[0] == FAAS_ETIMEDOUT || cycle.codes[1] == FAAS_ETIMEDOUT);
	gate_deinit(&cycle.both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_suffices_for_handlers_that_wait),
		cmocka_unit_test(deeper_waits_go_on_on_other_threads),
		cmocka_unit_test(cycles_over_threads_end_with_a_deadline),
	};

	return cmocka_run_group_tests_name("nest on threads", tests, NULL, NULL);
}
