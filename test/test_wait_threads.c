/* SPDX-License-Identifier: MIT */
/*
 * Waiting, cancelling and callbacks between host threads and pool threads. Gates order what matters; nothing here
 * measures time, and what times out is held at a gate until it has.
 */
#include "support_run.h"

#include <sched.h>

struct pool {
	struct memory memory;
	faas_runtime *runtime;
	struct gate gate;
	/* written by handlers, read when they are known to be over */
	int saw_cancelled;
};

static int setup(void **state)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -1;
	memory_init(&pool->memory);
	gate_init(&pool->gate);
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = 2, .allocator = &pool->memory.config), &pool->runtime));
	*state = pool;
	return 0;
}

static int teardown(void **state)
{
	struct pool *pool = *state;

	assert_int_equal(FAAS_OK, faas_drain(pool->runtime, FAAS_NEVER));
	(void)totals_of(pool->runtime);
	assert_int_equal(FAAS_OK, faas_close(pool->runtime, FAAS_NEVER, 0));
	memory_check_empty(&pool->memory);
	gate_deinit(&pool->gate);
	free(pool);
	return 0;
}

#define POOL_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

/* Comes to the gate, then says whether it was cancelled meanwhile, and answers. */
static int held_handler(faas_context *context, const faas_event *event)
{
	struct pool *pool = faas_context_user(context);

	(void)event;
	gate_pass(&pool->gate);
	pool->saw_cancelled += faas_context_is_cancelled(context);
	return faas_context_reply(context, "answer", 6, NULL);
}

static void pool_register(struct pool *pool, const char *name, int64_t deadline_ms)
{
	const faas_function_config *config =
		ONCE(.handler = held_handler, .user = pool, .deadline_ms = deadline_ms);

	assert_int_equal(FAAS_OK, faas_register_function(pool->runtime, name, config));
}

static faas_invocation *start(struct pool *pool, const char *name)
{
	faas_invocation *invocation = NULL;

	assert_int_equal(FAAS_OK, faas_invoke_async(pool->runtime, name, NULL, &invocation));
	return invocation;
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

static void a_wait_ends_with_its_time_or_with_the_invocation(void **state)
{
	struct pool *pool = *state;
	faas_invocation *invocation;

	pool_register(pool, "f", FAAS_NEVER);
	invocation = start(pool, "f");
	gate_await(&pool->gate, 1);
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(invocation, 0));
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(invocation, 1));
	assert_int_equal(FAAS_STATUS_RUNNING, faas_invocation_status(invocation));
	gate_open(&pool->gate);
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, 0));
	faas_invocation_unref(invocation);
}

#define WAITERS 8

struct waiter {
	pthread_t thread;
	struct gate *waiting; /* who comes here is about to wait */
	faas_invocation *invocation;
	int code, outcome;
};

static void *wait_for_it(void *arg)
{
	struct waiter *waiter = arg;

	gate_pass(waiter->waiting);
	waiter->code = faas_invocation_wait(waiter->invocation, FAAS_NEVER);
	waiter->outcome = faas_invocation_outcome(waiter->invocation);
	faas_invocation_unref(waiter->invocation);
	return NULL;
}

static void all_who_wait_are_woken(void **state)
{
	struct pool *pool = *state;
	struct waiter waiters[WAITERS];
	struct gate waiting;
	faas_invocation *invocation;

	gate_init(&waiting);
	gate_open(&waiting);
	pool_register(pool, "f", FAAS_NEVER);
	invocation = start(pool, "f");
	for (int i = 0; i < WAITERS; i++) {
		waiters[i] = (struct waiter){.waiting = &waiting, .invocation = faas_invocation_ref(invocation)};
		assert_int_equal(0, pthread_create(&waiters[i].thread, NULL, wait_for_it, &waiters[i]));
	}
	gate_await(&waiting, WAITERS);
	gate_await(&pool->gate, 1);
	gate_open(&pool->gate);
	for (int i = 0; i < WAITERS; i++) {
		assert_int_equal(0, pthread_join(waiters[i].thread, NULL));
		assert_int_equal(FAAS_OK, waiters[i].code);
		assert_int_equal(FAAS_OK, waiters[i].outcome);
	}
	faas_invocation_unref(invocation);
	gate_deinit(&waiting);
}

/* ---- Ending what runs -------------------------------------------------------------------------------------------- */

static void a_handler_at_work_can_be_cancelled(void **state)
{
	struct pool *pool = *state;
	faas_invocation *invocation;
	struct faas_runtime_stats totals;

	pool_register(pool, "f", FAAS_NEVER);
	invocation = start(pool, "f");
	gate_await(&pool->gate, 1);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(invocation));
	assert_int_equal(FAAS_ESTATE, faas_invocation_cancel(invocation));
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, 0));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	totals = totals_of(pool->runtime);
	assert_int_equal(1, totals.total.overrunning);
	assert_int_equal(1, totals.total.cancelled);
	assert_int_equal(1, faas_runtime_overruns(pool->runtime, NULL, 0));
	gate_open(&pool->gate);
	while (totals_of(pool->runtime).total.overrunning > 0)
		sched_yield();
	assert_int_equal(1, pool->saw_cancelled);
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_answer(invocation, NULL, NULL, NULL));
	assert_int_equal(0, faas_runtime_overruns(pool->runtime, NULL, 0));
	faas_invocation_unref(invocation);
}

static void a_deadline_is_seen_while_the_handler_works(void **state)
{
	struct pool *pool = *state;
	faas_invocation *invocation;

	pool_register(pool, "f", 1);
	invocation = start(pool, "f");
	/* It is held at the gate until its deadline has been seen. */
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	assert_int_equal(FAAS_STATUS_TIMED_OUT, faas_invocation_status(invocation));
	assert_int_equal(1 * MS, timing_of(invocation).run_ns);
	gate_open(&pool->gate);
	while (totals_of(pool->runtime).total.retired_overrun == 0)
		sched_yield();
	assert_int_equal(1, pool->saw_cancelled);
	faas_invocation_unref(invocation);
}

static int spin_until_cancelled(faas_context *context, const faas_event *event)
{
	(void)event;
	while (!faas_context_is_cancelled(context))
		sched_yield();
	return 0;
}

static void a_callers_time_ends_the_run(void **state)
{
	struct pool *pool = *state;

	assert_int_equal(FAAS_OK,
	                 faas_register_function(pool->runtime, "f",
	                                        ONCE(.handler = spin_until_cancelled, .deadline_ms = FAAS_NEVER)));
	for (int i = 0; i < 20; i++) {
		faas_invocation *invocation = NULL;
		int status;

		assert_int_equal(FAAS_ETIMEDOUT, faas_invoke(pool->runtime, "f", NULL, 1, &invocation));
		status = faas_invocation_status(invocation);
		/* A busy machine may not even have begun it. */
		assert_true(status == FAAS_STATUS_TIMED_OUT || status == FAAS_STATUS_EXPIRED);
		assert_int_equal(status == FAAS_STATUS_TIMED_OUT, timing_of(invocation).attempts);
		faas_invocation_unref(invocation);
	}
}

/* ---- Callbacks --------------------------------------------------------------------------------------------------- */

struct told {
	faas_runtime *runtime;
	faas_invocation *queued; /* for the slot that is given back after the callback */
	pthread_t thread;
	int count, wait, invoke, run, drain, close;
};

static void tell(faas_invocation *invocation, void *user)
{
	struct told *told = user;

	(void)invocation;
	told->count++;
	told->thread = pthread_self();
	told->wait = faas_invocation_wait(told->queued, FAAS_NEVER);
	told->invoke = faas_invoke(told->runtime, "f", NULL, 0, NULL);
	told->run = faas_run(told->runtime, 1);
	told->drain = faas_drain(told->runtime, 0);
	told->close = faas_close(told->runtime, 0, 0);
}

static void a_callback_on_a_pool_thread_may_not_wait(void **state)
{
	struct pool *pool = *state;
	struct told told = {.runtime = pool->runtime};
	faas_invocation *invocation;

	assert_int_equal(FAAS_OK, faas_register_function(pool->runtime, "f",
	                                                 ONCE(.handler = held_handler, .user = pool,
	                                                               .max_concurrency = 1, .deadline_ms = FAAS_NEVER)));
	invocation = start(pool, "f");
	gate_await(&pool->gate, 1);
	told.queued = start(pool, "f");
	assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, tell, &told));
	gate_open(&pool->gate);
	/* The one after it runs when the callback is over. */
	assert_int_equal(FAAS_OK, faas_invocation_wait(told.queued, FAAS_NEVER));
	assert_int_equal(1, told.count);
	assert_false(pthread_equal(pthread_self(), told.thread));
	assert_int_equal(FAAS_EDEADLK, told.wait);
	assert_int_equal(FAAS_EDEADLK, told.invoke);
	assert_int_equal(FAAS_EDEADLK, told.run);
	assert_int_equal(FAAS_EDEADLK, told.drain);
	assert_int_equal(FAAS_EDEADLK, told.close);
	faas_invocation_unref(invocation);
	faas_invocation_unref(told.queued);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(a_wait_ends_with_its_time_or_with_the_invocation),
		POOL_TEST(all_who_wait_are_woken),
		POOL_TEST(a_handler_at_work_can_be_cancelled),
		POOL_TEST(a_deadline_is_seen_while_the_handler_works),
		POOL_TEST(a_callers_time_ends_the_run),
		POOL_TEST(a_callback_on_a_pool_thread_may_not_wait),
	};

	return cmocka_run_group_tests_name("wait on threads", tests, NULL, NULL);
}
