/* SPDX-License-Identifier: MIT */
/*
 * Stopwatches: they tell a clock that is not the system's as it is, never run ahead of the system's nor backwards, and
 * stop using a counter that turns out to change its rate. What the counter says is real, so nothing here asks how long
 * anything took.
 */
#include "unit.h"

#include "base/stopwatch.h"

#define LOOKS 200000
#define SLACK_NS 1000 /* what an error of the rate amounts to in STOPWATCH_NS is less by far */

static int64_t told; /* by the host's clock */

static int64_t tell(void *user)
{
	(void)user;
	return told;
}

static void another_clock_is_read_each_time(void **state)
{
	faas_clock *manual = NULL, *host = NULL;
	struct stopwatch watch;
	int64_t now = 0;

	(void)state;
	assert_int_equal(FAAS_OK, faas_clock_new_manual(0, &manual));
	faas__stopwatch_init(&watch, manual);
	/* At a rate that a counter might have. */
	for (int i = 0; i < 100000; i++) {
		now = faas__stopwatch_now(&watch, now);
		assert_int_equal((int64_t)i * 50, now);
		assert_int_equal(FAAS_OK, faas_clock_advance(manual, 50));
	}
	faas_clock_unref(manual);

	assert_int_equal(FAAS_OK, faas_clock_new(&(faas_clock_config){.struct_size = sizeof(faas_clock_config),
	                                                              .monotonic_ns = tell},
	                                         &host));
	faas__stopwatch_init(&watch, host);
	for (told = 1; told < 1000; told++)
		assert_int_equal(told, faas__stopwatch_now(&watch, 0));
	/* A clock that goes back is not followed. */
	told = 500;
	assert_int_equal(999, faas__stopwatch_now(&watch, 999));
	faas_clock_unref(host);
}

static void it_runs_neither_ahead_nor_backwards(void **state)
{
	struct stopwatch watch;
	int64_t last = 0, counted = 0;

	(void)state;
	faas__stopwatch_init(&watch, NULL);
	/* Long enough for the rate to be measured, where there is a counter. */
	while (faas__stopwatch_look(&watch) - watch.began_at < 3000000 && watch.limit == 0 && watch.began_at >= 0)
		continue;
	for (int i = 0; i < LOOKS; i++) {
		int64_t at = watch.at, now = faas__stopwatch_now(&watch, last);

		if (now < last || now > faas__clock_now(NULL) + SLACK_NS)
			fail_msg("%lld after %lld, at %lld", (long long)now, (long long)last, (long long)faas__clock_now(NULL));
		counted += watch.at == at;
		last = now;
	}
	/* Most of the times came from the counter, if there is one of use. */
	if (watch.limit != 0)
		assert_true(counted > LOOKS / 2);
}

/* A stopwatch that knows the rate of its counter; where there is no counter of use, the test is left out. */
static void begin_measured(struct stopwatch *watch)
{
	faas__stopwatch_init(watch, NULL);
	while (watch->began_at >= 0 && watch->limit == 0)
		(void)faas__stopwatch_look(watch);
	if (watch->limit == 0)
		skip();
}

/* A rate that was measured for a moment is relied on for a shorter one. */
static void the_longer_it_measures_the_longer_it_counts(void **state)
{
	struct stopwatch watch;
	int64_t began;

	(void)state;
	begin_measured(&watch);
	began = watch.began_at;
	assert_in_range((watch.limit * watch.scale) >> 32, 19000, 20000);
	while (watch.began_at == began)
		(void)faas__stopwatch_look(&watch);
	if (watch.limit == 0)
		skip();
	assert_true(watch.began_at - began >= 50 * (int64_t)STOPWATCH_NS);
	assert_in_range((watch.limit * watch.scale) >> 32, STOPWATCH_NS - 1000, STOPWATCH_NS);
}

static void a_counter_that_changes_its_rate_is_not_used(void **state)
{
	struct stopwatch watch;

	(void)state;
	begin_measured(&watch);
	/* As if it had counted twice as fast for two seconds. A pair of readings may lie too far apart: then another one. */
	do {
		watch.began_at = watch.at - 2000000000;
		watch.began_counter = watch.counter - 2 * ((uint64_t)2000000000 << 32) / watch.scale;
		(void)faas__stopwatch_look(&watch);
	} while (watch.limit != 0 && watch.at - watch.began_at >= 2000000000);
	assert_int_equal(0, watch.limit);
	assert_true(watch.began_at < 0);
	/* The clock it is, from now on. */
	for (int i = 0; i < 100; i++) {
		int64_t before = faas__clock_now(NULL), now = faas__stopwatch_now(&watch, 0);

		assert_true(before <= now && now <= faas__clock_now(NULL));
	}
	assert_true(watch.began_at < 0);
}

static void a_slow_counter_is_not_used(void **state)
{
	struct stopwatch watch;

	(void)state;
	faas__stopwatch_init(&watch, NULL);
	(void)faas__stopwatch_look(&watch);
	if (watch.began_at < 0)
		skip();
	/* As if it had counted a few times in two milliseconds. */
	do {
		watch.began_at = watch.at - 2000000;
		watch.began_counter = watch.counter;
		(void)faas__stopwatch_look(&watch);
	} while (watch.began_at >= 0 && watch.limit == 0);
	assert_int_equal(0, watch.limit);
	assert_true(watch.began_at < 0);
}

static void after_a_long_pause_the_rate_is_measured_anew(void **state)
{
	struct stopwatch watch;
	uint64_t scale;

	(void)state;
	/* Where the clock is slow, any look may end the use of the counter, and now and then it is this one: then once more. */
	for (int tries = 0; tries < 20; tries++) {
		begin_measured(&watch);
		scale = watch.scale;
		/* Whatever the counter did meanwhile. */
		watch.began_at = watch.at - (int64_t)20000000000;
		watch.began_counter = 0;
		(void)faas__stopwatch_look(&watch);
		if (watch.began_at >= 0)
			break;
	}
	assert_true(watch.began_at >= 0);
	assert_int_equal(watch.at, watch.began_at);
	assert_int_equal(watch.counter, watch.began_counter);
	assert_true(watch.limit != 0);
	assert_int_equal(scale, watch.scale);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_clock_is_read_each_time),
		cmocka_unit_test(it_runs_neither_ahead_nor_backwards),
		cmocka_unit_test(the_longer_it_measures_the_longer_it_counts),
		cmocka_unit_test(a_counter_that_changes_its_rate_is_not_used),
		cmocka_unit_test(a_slow_counter_is_not_used),
		cmocka_unit_test(after_a_long_pause_the_rate_is_measured_anew),
	};

	return cmocka_run_group_tests_name("stopwatch", tests, NULL, NULL);
}
