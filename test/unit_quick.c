/* SPDX-License-Identifier: MIT */
/*
 * Which turns are known to be over soon, what pool threads say of themselves while they take them, and how long callers look
 * around for their end. Time stands still but for what handlers move it by.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "dispatch/runner.h"
#include "dispatch/runtime.h"
#include "faas.h"

#define SPIN_US 20
#define SLOW_NS 20000 /* what a handler may not take, on average, if its turns are to be known as short */

static faas_clock *clock_of_tests;
static faas_runtime *runtime;
static faas_function *function;
static _Atomic(int64_t) now_ns, takes_ns;
static atomic_int calls, inits, may_return;
static atomic_int is_watched, caller_reads, legs;
static pthread_t caller;
static _Atomic(uint64_t) seen_state, seen_in_init;
static faas_deferral *_Atomic deferral;

static int64_t tell_now(void *user)
{
	(void)user;
	if (pthread_equal(pthread_self(), caller))
		atomic_fetch_add(&caller_reads, 1);
	return atomic_load(&now_ns);
}

static uint64_t state_of(const faas_context *context)
{
	return load_relaxed(&context->runner->thread.state);
}

static int init(faas_context *context, void **ret_state)
{
	(void)ret_state;
	atomic_store(&seen_in_init, state_of(context));
	atomic_fetch_add(&inits, 1);
	return 0;
}

static int handle(faas_context *context, const faas_event *event)
{
	(void)event;
	atomic_store(&seen_state, state_of(context));
	atomic_fetch_add(&now_ns, atomic_load(&takes_ns));
	atomic_fetch_add(&calls, 1);
	while (!atomic_load(&may_return))
		sched_yield();
	return 0;
}

static int defer(faas_context *context, const faas_event *event)
{
	faas_deferral *token;
	int error = faas_context_defer(context, &token);

	(void)event;
	if (error == FAAS_OK)
		atomic_store(&deferral, token);
	return error;
}

/* Whether the caller, which asks for the time as long as it looks around, goes on doing so. Else it sleeps. */
static bool is_looking(const faas_context *context)
{
	const int before = atomic_load(&caller_reads);

	while (atomic_load(&caller_reads) < before + 3) {
		if ((load_acquire(&context->invocation->state) & HAS_WAITERS) != 0)
			return false;
		sched_yield();
	}
	return true;
}

/* Lets so many times the time pass that threads look around, until the caller sleeps. */
static int outlast_caller(faas_context *context, const faas_event *event)
{
	(void)event;
	if (!atomic_load(&is_watched))
		return 0;
	atomic_store(&legs, 0);
	if (!is_looking(context))
		return 0;
	do {
		atomic_fetch_add(&now_ns, SPIN_US * 1000);
		atomic_fetch_add(&legs, 1);
	} while (is_looking(context));
	return 0;
}

/* Lets a millisecond pass once the caller looks around. */
static int let_millisecond_pass(faas_context *context, const faas_event *event)
{
	(void)event;
	if (is_looking(context))
		atomic_fetch_add(&now_ns, 1000000);
	while (!atomic_load(&may_return))
		sched_yield();
	return 0;
}

static void open_spinning(faas_handler_fn *handler, int threads, int spin_us)
{
	const faas_clock_config config = {.struct_size = sizeof(config), .monotonic_ns = tell_now};

	atomic_store(&now_ns, 1);
	atomic_store(&takes_ns, 0);
	atomic_store(&calls, 0);
	atomic_store(&inits, 0);
	atomic_store(&may_return, 1);
	atomic_store(&is_watched, 0);
	caller = pthread_self();
	assert_int_equal(FAAS_OK, faas_clock_new(&config, &clock_of_tests));
	assert_int_equal(
		FAAS_OK, faas_open(FAAS_RUNTIME(.threads = threads, .spin_us = spin_us, .clock = clock_of_tests), &runtime));
	assert_int_equal(FAAS_OK, faas_register_function(runtime, "f", FAAS_FUNCTION(.handler = handler, .init = init)));
	assert_int_equal(FAAS_OK, faas_function_find(runtime, "f", &function));
}

static void open_with(faas_handler_fn *handler, int threads)
{
	open_spinning(handler, threads, 0);
}

static void close_all(void)
{
	faas_function_unref(function);
	assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
	faas_clock_unref(clock_of_tests);
}

static void send(void)
{
	assert_int_equal(FAAS_OK, faas_invoke_async(runtime, "f", NULL, NULL));
}

/* Until all that was sent is over, and the thread that ran it has told so. */
static void await_rest(void)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	do {
		sched_yield();
		assert_int_equal(FAAS_OK, faas_function_stats(function, &stats));
	} while (stats.queued + stats.running + stats.busy + stats.starting > 0);
}

static uint32_t expected_ns_after(int64_t ns)
{
	atomic_store(&takes_ns, ns);
	send();
	await_rest();
	return load_relaxed(&function->turn.expected_ns);
}

static void a_turn_is_known_by_what_its_handlers_took(void **state)
{
	uint32_t least;

	(void)state;
	open_with(handle, 1);
	/* Nothing is known before the first, and nothing to be learned from it, which had an init. */
	assert_int_equal(0, load_relaxed(&function->turn.expected_ns));
	assert_int_equal(0, expected_ns_after(0));
	least = expected_ns_after(0);
	assert_true(least > 0);
	assert_int_equal(least, expected_ns_after(0));
	assert_true(expected_ns_after(1000) > least);
	for (int i = 0; i < 30; i++)
		(void)expected_ns_after(SLOW_NS - 1);
	assert_true(load_relaxed(&function->turn.expected_ns) > SLOW_NS / 2);
	for (int i = 0; i < 30; i++)
		(void)expected_ns_after(SLOW_NS + 1);
	assert_int_equal(0, load_relaxed(&function->turn.expected_ns));
	close_all();
}

static void a_turn_of_one_that_defers_is_not_known_to_be_short(void **state)
{
	(void)state;
	open_with(defer, 1);
	for (int i = 0; i < 3; i++) {
		faas_deferral *token;

		send();
		while ((token = atomic_exchange(&deferral, NULL)) == NULL)
			sched_yield();
		assert_int_equal(FAAS_OK, faas_complete(token, NULL, 0, NULL));
		faas_deferral_unref(token);
		await_rest();
		assert_int_equal(0, load_relaxed(&function->turn.expected_ns));
	}
	close_all();
}

static void a_thread_is_quick_while_handlers_are_known_to_be(void **state)
{
	static const uint64_t seen[] = {THREAD_BUSY, THREAD_BUSY, THREAD_QUICK, THREAD_QUICK};

	(void)state;
	open_with(handle, 1);
	for (size_t i = 0; i < COUNT_OF(seen); i++) {
		(void)expected_ns_after(0);
		assert_int_equal(seen[i], atomic_load(&seen_state));
	}
	for (int i = 0; i < 30; i++)
		(void)expected_ns_after(SLOW_NS);
	assert_int_equal(THREAD_BUSY, atomic_load(&seen_state));
	close_all();
}

/* Handlers are fast, but who knows of the init. */
static void a_thread_is_not_quick_while_a_worker_starts(void **state)
{
	(void)state;
	open_with(handle, 2);
	for (int i = 0; i < 3; i++)
		(void)expected_ns_after(0);
	assert_int_equal(1, atomic_load(&inits));
	/* One holds the only worker there is. */
	atomic_store(&may_return, 0);
	send();
	while (atomic_load(&calls) < 4)
		sched_yield();
	assert_int_equal(THREAD_QUICK, atomic_load(&seen_state));
	atomic_store(&seen_in_init, THREAD_QUICK);
	send();
	while (atomic_load(&calls) < 5)
		sched_yield();
	assert_int_equal(2, atomic_load(&inits));
	assert_int_equal(THREAD_BUSY, atomic_load(&seen_in_init));
	atomic_store(&may_return, 1);
	await_rest();
	close_all();
}

static int legs_of_a_call(void)
{
	atomic_store(&is_watched, 1);
	assert_int_equal(FAAS_OK, faas_function_invoke(function, NULL, FAAS_NEVER, NULL));
	atomic_store(&is_watched, 0);
	await_rest();
	return atomic_load(&legs);
}

static void a_caller_looks_longer_where_handlers_are_known_to_be_fast(void **state)
{
	(void)state;
	open_spinning(outlast_caller, 1, SPIN_US);
	assert_int_equal(1, legs_of_a_call());
	while (expected_ns_after(0) == 0)
		continue;
	assert_int_equal(3, legs_of_a_call());
	/* That one was not. */
	while (expected_ns_after(0) != 0)
		assert_in_range(legs_of_a_call(), 1, 3);
	assert_int_equal(1, legs_of_a_call());
	close_all();
}

static void a_caller_does_not_look_past_its_time(void **state)
{
	faas_invocation *invocation;

	(void)state;
	open_spinning(let_millisecond_pass, 1, 1000000);
	atomic_store(&may_return, 0);
	assert_int_equal(FAAS_OK, faas_function_invoke_async(function, NULL, &invocation));
	assert_int_equal(FAAS_EPENDING, faas_invocation_wait(invocation, 1));
	atomic_store(&may_return, 1);
	assert_int_equal(FAAS_OK, faas_invocation_wait(invocation, FAAS_NEVER));
	faas_invocation_unref(invocation);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_is_known_by_what_its_handlers_took),
		cmocka_unit_test(a_turn_of_one_that_defers_is_not_known_to_be_short),
		cmocka_unit_test(a_thread_is_quick_while_handlers_are_known_to_be),
		cmocka_unit_test(a_thread_is_not_quick_while_a_worker_starts),
		cmocka_unit_test(a_caller_looks_longer_where_handlers_are_known_to_be_fast),
		cmocka_unit_test(a_caller_does_not_look_past_its_time),
	};

	return cmocka_run_group_tests_name("quick", tests, NULL, NULL);
}
