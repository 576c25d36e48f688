/* SPDX-License-Identifier: MIT */
/* Threads of the system (base/sync.h): one that is kept off a processor leaves it, and may run afterwards where it could. */
#if defined(__linux__)
#define _GNU_SOURCE /* pthread_setaffinity_np */
#endif

#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "base/sync.h"

#if defined(__linux__)

static atomic_int seen_cpu, is_over;

static void *run_on(void *arg)
{
	while (!atomic_load(&is_over))
		atomic_store(&seen_cpu, faas__thread_cpu());
	return arg;
}

static void start(struct os_thread *ret_thread)
{
	atomic_store(&is_over, 0);
	atomic_store(&seen_cpu, -1);
	assert_int_equal(FAAS_OK, faas__thread_start(ret_thread, 0, run_on, NULL));
	while (atomic_load(&seen_cpu) < 0)
		sched_yield();
}

static void end(const struct os_thread *thread)
{
	atomic_store(&is_over, 1);
	faas__thread_join(thread);
}

static void get_cpus(const struct os_thread *thread, cpu_set_t *ret_set)
{
	assert_int_equal(0, pthread_getaffinity_np(thread->t, sizeof(*ret_set), ret_set));
}

/* May run on the first `count` of them only. False: there are fewer. */
static bool limit(const struct os_thread *thread, int count)
{
	cpu_set_t all, some;

	get_cpus(thread, &all);
	CPU_ZERO(&some);
	for (size_t cpu = 0; cpu < CPU_SETSIZE && count > 0; cpu++)
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &some);
			count--;
		}
	return count == 0 && pthread_setaffinity_np(thread->t, sizeof(some), &some) == 0;
}

/* `cpus` 0: all there are. */
static void leave_one_after_the_other(int cpus)
{
	struct os_thread thread;
	cpu_set_t before, after;

	start(&thread);
	if (cpus > 0 && !limit(&thread, cpus)) {
		end(&thread);
		skip();
	}
	get_cpus(&thread, &before);
	for (int i = 0, moves = 0; i < 100 || (CPU_COUNT(&before) > 1 && moves == 0); i++) {
		int cpu = atomic_load(&seen_cpu);

		if (faas__thread_keep_off(&thread, cpu)) {
			get_cpus(&thread, &after);
			assert_false(CPU_ISSET((size_t)cpu, &after));
			assert_int_equal(CPU_COUNT(&before) - 1, CPU_COUNT(&after));
			faas__thread_let_go(&thread, cpu);
		} else {
			assert_int_equal(1, CPU_COUNT(&before));
		}
		get_cpus(&thread, &after);
		assert_true(CPU_EQUAL(&before, &after));
		/* Perhaps it is back by now: it may go where it could. */
		sched_yield();
		moves += atomic_load(&seen_cpu) != cpu;
	}
	end(&thread);
}

static void a_thread_leaves_a_processor(void **state)
{
	(void)state;
	leave_one_after_the_other(0);
}

static void one_with_a_single_processor_stays(void **state)
{
	(void)state;
	leave_one_after_the_other(1);
}

/* A host that asked for less than all keeps what it asked for. */
static void what_the_host_asked_for_stays(void **state)
{
	(void)state;
	leave_one_after_the_other(2);
}

static void an_unknown_processor_is_no_reason_to_move(void **state)
{
	static const int unknown[] = {-1, INT32_MIN, CPU_SETSIZE, INT32_MAX, CPU_SETSIZE - 1};
	struct os_thread thread;
	cpu_set_t before, after;

	(void)state;
	start(&thread);
	get_cpus(&thread, &before);
	for (size_t i = 0; i < COUNT_OF(unknown); i++) {
		assert_false(faas__thread_keep_off(&thread, unknown[i]));
		get_cpus(&thread, &after);
		assert_true(CPU_EQUAL(&before, &after));
	}
	end(&thread);
}

#else

static void a_thread_leaves_a_processor(void **state)
{
	(void)state;
	skip();
}

#define one_with_a_single_processor_stays a_thread_leaves_a_processor
#define what_the_host_asked_for_stays a_thread_leaves_a_processor
#define an_unknown_processor_is_no_reason_to_move a_thread_leaves_a_processor

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_leaves_a_processor),
		cmocka_unit_test(one_with_a_single_processor_stays),
		cmocka_unit_test(what_the_host_asked_for_stays),
		cmocka_unit_test(an_unknown_processor_is_no_reason_to_move),
	};

	return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
