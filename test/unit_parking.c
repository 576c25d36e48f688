/* SPDX-License-Identifier: MIT */
/* Where a thread sleeps until another one wakes it (base/parking.h). */
#include "unit.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/parking.h"

#define TURNS 20000
#define SHORT_NS 1000

static struct parking here, there;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(0, faas__parking_init(&here));
	assert_int_equal(0, faas__parking_init(&there));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	faas__parking_deinit(&there);
	faas__parking_deinit(&here);
	return 0;
}

static void a_wake_up_that_comes_first_is_kept(void **state)
{
	(void)state;
	faas__parking_wake(&here);
	assert_true(faas__parking_wait(&here, TIME_NEVER));
	faas__parking_wake(&here);
	assert_true(faas__parking_wait(&here, 0));
}

static void several_are_one(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		faas__parking_wake(&here);
	assert_true(faas__parking_wait(&here, TIME_NEVER));
	assert_false(faas__parking_wait(&here, 0));
}

/* However long that is: in the past, at once, soon; and what comes after it counts. */
static void without_one_the_time_passes(void **state)
{
	static const int64_t times[] = {INT64_MIN, -1, 0, 1, SHORT_NS, NS_PER_MS};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		int64_t began = faas__clock_now(NULL);

		assert_false(faas__parking_wait(&here, times[i]));
		if (times[i] > 0)
			assert_true(faas__clock_now(NULL) - began >= times[i]);
	}
	faas__parking_wake(&here);
	assert_true(faas__parking_wait(&here, NS_PER_MS));
}

/* ---- Two threads ------------------------------------------------------------------------------------------------- */

static int turns; /* written by whose turn it is: the wake-ups alone say so */

static void *take_turns(void *arg)
{
	(void)arg;
	for (int i = 0; i < TURNS; i++) {
		while (!faas__parking_wait(&there, TIME_NEVER))
			continue;
		turns++;
		faas__parking_wake(&here);
	}
	return NULL;
}

static void each_wakes_the_other(void **state)
{
	/* For ever, for longer than anything takes, and for so long that it may be over just before. */
	static const int64_t times[] = {TIME_NEVER, INT64_C(100) * NS_PER_S, 20 * SHORT_NS};
	pthread_t other;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		turns = 0;
		assert_int_equal(0, pthread_create(&other, NULL, take_turns, NULL));
		for (int k = 0; k < TURNS; k++) {
			turns++;
			faas__parking_wake(&there);
			while (!faas__parking_wait(&here, times[i]))
				continue;
			assert_int_equal(2 * (k + 1), turns);
		}
		assert_int_equal(0, pthread_join(other, NULL));
	}
}

static atomic_int is_over;

static void *wake_often(void *arg)
{
	(void)arg;
	while (!atomic_load(&is_over))
		faas__parking_wake(&here);
	return NULL;
}

/* One that gives up while it is woken has either been woken, or will be the next time. */
static void none_is_lost_to_a_sleeper_that_gives_up(void **state)
{
	pthread_t other;

	(void)state;
	atomic_store(&is_over, 0);
	assert_int_equal(0, pthread_create(&other, NULL, wake_often, NULL));
	for (int i = 0; i < TURNS; i++)
		if (!faas__parking_wait(&here, i % 3 * SHORT_NS))
			while (!faas__parking_wait(&here, TIME_NEVER))
				continue;
	atomic_store(&is_over, 1);
	assert_int_equal(0, pthread_join(other, NULL));
	(void)faas__parking_wait(&here, 0);
	assert_false(faas__parking_wait(&here, 0));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_wake_up_that_comes_first_is_kept),
		TEST(several_are_one),
		TEST(without_one_the_time_passes),
		TEST(each_wakes_the_other),
		TEST(none_is_lost_to_a_sleeper_that_gives_up),
	};

	return cmocka_run_group_tests_name("parking", tests, NULL, NULL);
}
