/* SPDX-License-Identifier: MIT */
/*
 * Threads, mutexes and condition variables that cannot be made: the call that needed one says so and leaves nothing
 * behind, or the work waits until they can be made again. The linker puts the functions below in place of the system's:
 *
 *     -Wl,--wrap=pthread_create,--wrap=pthread_mutex_init,--wrap=pthread_mutex_destroy,--wrap=pthread_cond_init
 *     -Wl,--wrap=pthread_cond_destroy
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <faas.h>

/* ---- Faults ------------------------------------------------------------------------------------------------------ */

#define NEVER_FAIL (-1)

/* From call `first` on (counted from 0), `count` calls fail. */
struct fault {
	atomic_long calls, first, count, failed;
};

static struct fault creating, making; /* threads; mutexes and condition variables */
static struct fault allocating;       /* memory for what a thread, or a caller that runs handlers, has of its own */
static atomic_long held;              /* mutexes and condition variables that were made and not destroyed */

static void fail_calls(struct fault *fault, long first, long count)
{
	atomic_store(&fault->first, NEVER_FAIL);
	atomic_store(&fault->calls, 0);
	atomic_store(&fault->failed, 0);
	atomic_store(&fault->count, count);
	atomic_store(&fault->first, first);
}

static void fail_none(struct fault *fault)
{
	atomic_store(&fault->first, NEVER_FAIL);
}

static bool must_fail(struct fault *fault)
{
	long call = atomic_fetch_add(&fault->calls, 1), first = atomic_load(&fault->first);

	if (first < 0 || call < first || call - first >= atomic_load(&fault->count))
		return false;
	atomic_fetch_add(&fault->failed, 1);
	return true;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg);
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __real_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __real_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg)
{
	return must_fail(&creating) ? EAGAIN : __real_pthread_create(thread, attr, main, arg);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	if (must_fail(&making))
		return ENOMEM;
	atomic_fetch_add(&held, 1);
	return __real_pthread_mutex_init(mutex, attr);
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	atomic_fetch_sub(&held, 1);
	return __real_pthread_mutex_destroy(mutex);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
	if (must_fail(&making))
		return EAGAIN;
	atomic_fetch_add(&held, 1);
	return __real_pthread_cond_init(cond, attr);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	atomic_fetch_sub(&held, 1);
	return __real_pthread_cond_destroy(cond);
}

/* ---- A runtime that counts what it holds --------------------------------------------------------------------------- */

#define LEAST_THREAD_BYTES 4096 /* nothing else here takes as much, */
#define MOST_THREAD_BYTES 65536 /* but for what takes more than this */

static atomic_long blocks;

static void *count_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	void *block = NULL;

	(void)user;
	if (bytes >= LEAST_THREAD_BYTES && bytes <= MOST_THREAD_BYTES && must_fail(&allocating))
		return NULL;
	if (posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : (size_t)alignment, (size_t)bytes) != 0)
		return NULL;
	atomic_fetch_add(&blocks, 1);
	return block;
}

static void count_free(void *user, void *block, uint64_t bytes, uint64_t alignment)
{
	(void)user;
	(void)bytes;
	(void)alignment;
	free(block);
	atomic_fetch_sub(&blocks, 1);
}

static const faas_allocator_config allocator = {
	.struct_size = sizeof(allocator), .alloc = count_alloc, .free = count_free};

static int open_with(int32_t threads, int32_t max_threads, faas_runtime **ret_runtime)
{
	return faas_open(FAAS_RUNTIME(.threads = threads, .max_threads = max_threads, .allocator = &allocator),
	                 ret_runtime);
}

static void assert_nothing_left(void)
{
	assert_int_equal(0, atomic_load(&blocks));
	assert_int_equal(0, atomic_load(&held));
}

static void close_and_check(faas_runtime *runtime)
{
	int code;

	while ((code = faas_close(runtime, FAAS_NEVER, 0)) == FAAS_EBUSY)
		sched_yield();
	assert_int_equal(FAAS_OK, code);
	assert_nothing_left();
}

static struct faas_runtime_stats numbers(faas_runtime *runtime)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	assert_int_equal(FAAS_OK, faas_runtime_stats(runtime, &stats));
	return stats;
}

/* Waits for something that another thread does without telling. */
#define UNTIL(condition) \
	do {                 \
		sched_yield();   \
	} while (!(condition))

static atomic_int runs;
static char untouched; /* what an output points to before a call that fails */

static int count_run(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	atomic_fetch_add(&runs, 1);
	return 0;
}

#define TOGETHER 4

static pthread_mutex_t meeting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t complete = PTHREAD_COND_INITIALIZER;
static int inside; /* under meeting */

/* Blocks until so many are in at once. */
static int meet(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	pthread_mutex_lock(&meeting);
	if (++inside == TOGETHER)
		pthread_cond_broadcast(&complete);
	while (inside < TOGETHER)
		pthread_cond_wait(&complete, &meeting);
	pthread_mutex_unlock(&meeting);
	return 0;
}

static void add(faas_runtime *runtime, const char *name, faas_handler_fn *handler, uint32_t flags)
{
	assert_int_equal(
		FAAS_OK, faas_register_function(runtime, name,
	                                    FAAS_FUNCTION(.attempts = 1, .handler = handler, .flags = flags, .deadline_ms = FAAS_NEVER)));
}

static void send(faas_runtime *runtime, const char *name, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(FAAS_OK, faas_invoke_async(runtime, name, NULL, NULL));
}

static int reset(void **state)
{
	(void)state;
	fail_none(&creating);
	fail_none(&making);
	fail_none(&allocating);
	atomic_store(&runs, 0);
	inside = 0;
	return 0;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void open_with_each_failing(int32_t threads)
{
	faas_runtime *runtime;
	long n = 0;
	int code;

	do {
		runtime = (faas_runtime *)&untouched;
		fail_calls(&making, n++, 1);
		code = open_with(threads, 0, &runtime);
		fail_none(&making);
		if (code == FAAS_OK)
			break;
		assert_int_equal(FAAS_ETHREAD, code);
		assert_ptr_equal(&untouched, runtime);
		assert_nothing_left();
	} while (n < 10000);
	assert_true(n > 10);
	close_and_check(runtime);
}

static void opening_survives_each_mutex_and_condition_that_fails(void **state)
{
	(void)state;
	open_with_each_failing(FAAS_NONE);
	open_with_each_failing(2);
}

static void opening_without_a_monitor_is_refused(void **state)
{
	faas_runtime *runtime = (faas_runtime *)&untouched;

	(void)state;
	fail_calls(&creating, 0, 1);
	assert_int_equal(FAAS_ETHREAD, open_with(1, 0, &runtime));
	assert_ptr_equal(&untouched, runtime);
	assert_nothing_left();
	assert_int_equal(FAAS_OK, open_with(1, 0, &runtime));
	close_and_check(runtime);
}

static void clocks_need_a_mutex(void **state)
{
	faas_clock *clock = (faas_clock *)&untouched;

	(void)state;
	fail_calls(&making, 0, 1);
	assert_int_equal(FAAS_ENOMEM, faas_clock_new_manual(0, &clock));
	assert_ptr_equal(&untouched, clock);
	assert_int_equal(FAAS_OK, faas_clock_new_manual(0, &clock));
	faas_clock_unref(clock);
	assert_nothing_left();
}

static void registering_survives_each_mutex_that_fails(void **state)
{
	faas_runtime *runtime;
	long n = 0;
	int code;

	(void)state;
	assert_int_equal(FAAS_OK, open_with(FAAS_NONE, 0, &runtime));
	do {
		fail_calls(&making, n++, 1);
		code = faas_register_function(runtime, "f", FAAS_FUNCTION(.attempts = 1, .handler = count_run));
		fail_none(&making);
		assert_true(code == FAAS_OK || code == FAAS_ENOMEM);
	} while (code != FAAS_OK);
	assert_true(n > 1);
	assert_int_equal(FAAS_OK, faas_invoke(runtime, "f", NULL, 0, NULL));
	close_and_check(runtime);
}

/* ---- Work without threads ---------------------------------------------------------------------------------------- */

static void without_threads_the_hosts_own_make_progress(void **state)
{
	faas_runtime *runtime;

	(void)state;
	fail_calls(&creating, 1, 1000000); /* the monitor comes first */
	assert_int_equal(FAAS_OK, open_with(2, 0, &runtime));
	add(runtime, "f", count_run, 0);
	send(runtime, "f", 100);
	while (atomic_load(&runs) < 100)
		assert_in_range(faas_run(runtime, 1), 0, 1);
	assert_int_equal(FAAS_OK, faas_drain(runtime, FAAS_NEVER));
	assert_int_equal(0, numbers(runtime).threads_started);
	fail_none(&creating);
	close_and_check(runtime);
}

/* What could not start a thread is tried again, though nobody emits any more. */
static void work_goes_on_when_threads_can_be_made_again(void **state)
{
	faas_runtime *runtime;

	(void)state;
	fail_calls(&creating, 1, 1000000);
	assert_int_equal(FAAS_OK, open_with(2, 0, &runtime));
	add(runtime, "f", count_run, 0);
	send(runtime, "f", 100);
	UNTIL(numbers(runtime).thread_failures >= 3);
	assert_int_equal(0, atomic_load(&runs));
	assert_int_equal(100, numbers(runtime).total.queued);
	fail_none(&creating);
	assert_int_equal(FAAS_OK, faas_drain(runtime, FAAS_NEVER));
	assert_int_equal(100, atomic_load(&runs));
	assert_true(numbers(runtime).threads_started >= 1);
	close_and_check(runtime);
}

/* Four handlers have to be in at once: one thread too few, and they never come together. */
static void the_pool_comes_to_its_size(struct fault *fault)
{
	for (long n = 0; n < 12; n++) {
		faas_runtime *runtime;

		assert_int_equal(FAAS_OK, open_with(2, TOGETHER, &runtime));
		add(runtime, "meet", meet, 0);
		inside = 0;
		fail_calls(fault, n, 2);
		send(runtime, "meet", TOGETHER);
		assert_int_equal(FAAS_OK, faas_drain(runtime, FAAS_NEVER));
		fail_none(fault);
		assert_int_equal(TOGETHER, numbers(runtime).threads_peak);
		assert_int_equal(atomic_load(&fault->failed), numbers(runtime).thread_failures);
		close_and_check(runtime);
	}
}

static void the_pool_grows_in_spite_of_threads_that_fail(void **state)
{
	(void)state;
	the_pool_comes_to_its_size(&creating);
}

static void the_pool_grows_in_spite_of_memory_that_is_refused(void **state)
{
	(void)state;
	the_pool_comes_to_its_size(&allocating);
}

/* Where threads sleep on mutexes. */
static void the_pool_grows_in_spite_of_mutexes_that_fail(void **state)
{
	(void)state;
	the_pool_comes_to_its_size(&making);
}

/* ---- Guests ------------------------------------------------------------------------------------------------------ */

static void a_guest_that_cannot_be_made_is_refused(void **state)
{
	faas_runtime *runtime;

	(void)state;
	assert_int_equal(FAAS_OK, open_with(FAAS_NONE, 0, &runtime));
	add(runtime, "f", count_run, 0);
	send(runtime, "f", 1);
	fail_calls(&allocating, 0, 1);
	assert_int_equal(FAAS_ENOMEM, faas_run(runtime, 10));
	assert_int_equal(1, atomic_load(&allocating.failed));
	assert_int_equal(0, atomic_load(&runs));
	for (long n = 0;; n++) {
		int code;

		fail_calls(&making, n, 1);
		code = faas_run(runtime, 10);
		if (atomic_load(&making.failed) == 0)
			break;
		assert_int_equal(FAAS_ENOMEM, code);
		assert_int_equal(0, atomic_load(&runs));
	}
	assert_int_equal(1, atomic_load(&runs));
	close_and_check(runtime);
}

static void an_inline_call_that_cannot_run_here_is_queued(void **state)
{
	faas_runtime *runtime;

	(void)state;
	assert_int_equal(FAAS_OK, open_with(1, 0, &runtime));
	add(runtime, "inline", count_run, FAAS_FUNCTION_INLINE);
	add(runtime, "f", count_run, 0);
	/* A thread is there before anything fails. */
	assert_int_equal(FAAS_OK, faas_invoke(runtime, "f", NULL, FAAS_NEVER, NULL));
	fail_calls(&allocating, 0, 1);
	assert_int_equal(FAAS_OK, faas_invoke(runtime, "inline", NULL, FAAS_NEVER, NULL));
	fail_none(&allocating);
	assert_int_equal(1, atomic_load(&allocating.failed));
	assert_int_equal(2, atomic_load(&runs));
	close_and_check(runtime);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, reset)
	const struct CMUnitTest tests[] = {
		TEST(opening_survives_each_mutex_and_condition_that_fails),
		TEST(opening_without_a_monitor_is_refused),
		TEST(clocks_need_a_mutex),
		TEST(registering_survives_each_mutex_that_fails),
		TEST(without_threads_the_hosts_own_make_progress),
		TEST(work_goes_on_when_threads_can_be_made_again),
		TEST(the_pool_grows_in_spite_of_threads_that_fail),
		TEST(the_pool_grows_in_spite_of_memory_that_is_refused),
		TEST(the_pool_grows_in_spite_of_mutexes_that_fail),
		TEST(a_guest_that_cannot_be_made_is_refused),
		TEST(an_inline_call_that_cannot_run_here_is_queued),
	};

	return cmocka_run_group_tests_name("thread faults", tests, NULL, NULL);
}
