/* SPDX-License-Identifier: MIT */
/* Warmth that follows demand: how many workers are kept for how much load, and when they go. Manual mode. */
#include "support_run.h"

#define SECOND (1000 * MS)

/*
 * Lets so many seconds pass, in each of which so many events come in, each of which takes so long. One thread has no
 * time to run them all: some stay in the queue.
 */
static void drive(struct stage *stage, int seconds, int arrivals, int64_t takes_ns)
{
	for (int i = 0; i < seconds; i++) {
		int64_t end = stage_now(stage) + SECOND;

		for (int k = 0; k < arrivals; k++)
			stage_queue(stage, "f", JOB(.takes_ns = takes_ns));
		while (stage_now(stage) + takes_ns + MS < end && faas_run(stage->bed.runtime, 1) > 0)
			;
		stage_advance_ns(stage, end - stage_now(stage));
	}
}

/* What is left in the queue goes, what is to be started is started, and nothing else happens. */
static void clear_queue(struct stage *stage)
{
	faas_function *function;

	assert_int_equal(FAAS_OK, faas_function_find(stage->bed.runtime, "f", &function));
	(void)faas_function_cancel_all(function);
	faas_function_unref(function);
	bed_run(&stage->bed);
}

static struct faas_function_stats stats_now(struct stage *stage)
{
	return bed_stats(&stage->bed, "f");
}

static void passes(struct stage *stage, int64_t seconds)
{
	for (int64_t i = 0; i < seconds; i++) {
		stage_advance_ns(stage, SECOND);
		bed_run(&stage->bed);
	}
}

/* The load and four times its square root, once smoothing has forgotten what was before. */
static void a_steady_load_is_met_with_a_margin(void **state)
{
	static const struct {
		int arrivals;
		int64_t takes_ns;
		uint64_t least, most;
	} loads[] = {
		{20, 100 * MS, 7, 8},   /* 2 busy: 2 + 5.7 */
		{10, 900 * MS, 20, 21}, /* 9 busy: 9 + 12 */
		{4, 250 * MS, 4, 5},    /* 1 busy: 1 + 4 */
		{1, 10 * MS, 1, 1},     /* a hundredth: 0.01 + 0.4 */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(loads); i++) {
		struct stage stage;

		stage_open(&stage, NULL);
		stage_register(&stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .deadline_ms = FAAS_NEVER));
		drive(&stage, 120, loads[i].arrivals, loads[i].takes_ns);
		clear_queue(&stage);
		assert_in_range(stats_now(&stage).warm_target, loads[i].least, loads[i].most);
		assert_int_equal(stats_now(&stage).warm_target, stats_now(&stage).warm);
		stage_close(&stage);
	}
}

static void workers_are_started_ahead_of_need(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND));
	assert_int_equal(0, stats_now(stage).warm_target);
	drive(stage, 60, 20, 100 * MS);
	stats = stats_now(stage);
	assert_true(stats.warm_target > 4);
	assert_int_equal(1 + stats.provisioned_starts, stats.cold_starts);
	assert_true(stats.provisioned_starts >= 4);
}

static void a_load_never_asks_for_more_than_max_concurrency(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .max_concurrency = 3));
	drive(stage, 60, 50, 100 * MS);
	clear_queue(stage);
	assert_int_equal(3, stats_now(stage).warm_target);
	assert_int_equal(3, stats_now(stage).warm);
	assert_int_equal(3, stats_now(stage).workers_peak);
}

static void nor_for_less_than_is_provisioned(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .provisioned = 4, .keep_warm_ms = 1000));
	bed_run(&stage->bed);
	assert_int_equal(4, stats_now(stage).warm_target);
	assert_int_equal(4, stats_now(stage).warm);
	drive(stage, 60, 20, 100 * MS);
	clear_queue(stage);
	assert_true(stats_now(stage).warm_target > 4);
	passes(stage, 600);
	assert_int_equal(4, stats_now(stage).warm_target);
	assert_int_equal(4, stats_now(stage).warm);
}

static void without_the_policy_load_asks_for_nothing(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_KEEP, .provisioned = 2));
	drive(stage, 60, 20, 100 * MS);
	clear_queue(stage);
	assert_int_equal(2, stats_now(stage).warm_target);
	assert_int_equal(2, stats_now(stage).warm);
	assert_int_equal(0, stats_now(stage).retired_surplus);
}

/* ---- When the load is gone --------------------------------------------------------------------------------------- */

static void a_load_is_forgotten_with_a_half_life_of_ten_seconds(void **state)
{
	struct stage *stage = *state;
	uint64_t before;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .deadline_ms = FAAS_NEVER));
	drive(stage, 150, 18, 500 * MS);
	clear_queue(stage);
	before = stats_now(stage).warm_target;
	assert_in_range(before, 20, 21); /* 9 busy: 9 + 12 */
	passes(stage, 10);
	assert_in_range(stats_now(stage).warm_target, 12, 14); /* 4.5 + 8.5 */
	passes(stage, 10);
	assert_in_range(stats_now(stage).warm_target, 8, 9); /* 2.25 + 6 */
	passes(stage, 300);
	assert_int_equal(0, stats_now(stage).warm_target);
}

static void what_it_no_longer_asks_for_idles_for_twenty_seconds(void **state)
{
	struct stage *stage = *state;
	struct faas_function_stats stats;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .max_concurrency = 2));
	drive(stage, 60, 10, 100 * MS);
	clear_queue(stage);
	assert_int_equal(2, stats_now(stage).warm);
	/* The load asks for two as long as it is more than about a twentieth. */
	passes(stage, 19);
	assert_int_equal(2, stats_now(stage).warm);
	passes(stage, 200);
	stats = stats_now(stage);
	assert_int_equal(1, stats.warm);
	assert_int_equal(1, stats.retired_surplus);
	assert_int_equal(0, stats.retired_idle);
	/* The last one stays as long as any idle worker does. */
	passes(stage, 600 - 219 - 5);
	assert_int_equal(1, stats_now(stage).warm);
	passes(stage, 10);
	assert_int_equal(0, stats_now(stage).warm);
	assert_int_equal(1, stats_now(stage).retired_idle);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
}

static void a_shorter_keep_warm_holds_for_surplus_too(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .keep_warm_ms = 3000));
	drive(stage, 60, 20, 100 * MS);
	clear_queue(stage);
	assert_true(stats_now(stage).warm >= 5);
	/* What is asked for stays. */
	passes(stage, 4);
	assert_int_equal(stats_now(stage).warm_target, stats_now(stage).warm);
	passes(stage, 300);
	assert_int_equal(0, stats_now(stage).warm);
}

static void nothing_is_looked_at_where_nothing_comes_in(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .keep_warm_ms = FAAS_NEVER));
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	stage_queue(stage, "f", NULL);
	bed_run(&stage->bed);
	assert_int_equal(SECOND, bed_next_due(&stage->bed));
	passes(stage, 600);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	assert_int_equal(1, stats_now(stage).warm);
}

static void unregistering_ends_the_looks(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND));
	drive(stage, 30, 20, 100 * MS);
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "f"));
	bed_run(&stage->bed);
	assert_int_equal(FAAS_NEVER, bed_next_due(&stage->bed));
	assert_int_equal(0, bed_totals(&stage->bed).total.warm);
}

/* ---- Where starting is hard -------------------------------------------------------------------------------------- */

static void failing_inits_ahead_of_need_are_spaced(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND, .attempts = 1));
	drive(stage, 30, 20, 50 * MS);
	clear_queue(stage);
	stage->life.init_fails = 1000000;
	drive(stage, 30, 60, 50 * MS);
	clear_queue(stage);
	/* At most one in 100 ms, and fewer as they go on failing. */
	assert_in_range(stage->life.failures, 1, 300);
	stage->life.init_fails = 0;
	drive(stage, 30, 60, 50 * MS);
	clear_queue(stage);
	assert_int_equal(stats_now(stage).warm_target, stats_now(stage).warm);
}

static void refused_memory_only_delays_them(void **state)
{
	struct stage *stage = *state;

	stage_register(stage, "f", FAAS_FUNCTION(.warm_policy = FAAS_WARM_DEMAND));
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 20; k++)
			stage_queue(stage, "f", JOB(.takes_ns = 10 * MS));
		memory_fail(&stage->bed.memory, i % 7, 1 + i % 3);
		drive(stage, 1, 0, 10 * MS);
		bed_run(&stage->bed);
		memory_fail(&stage->bed.memory, -1, 0);
	}
	passes(stage, 3);
	clear_queue(stage);
	assert_int_equal(stats_now(stage).warm_target, stats_now(stage).warm);
	assert_int_equal(400, stats_now(stage).succeeded + stats_now(stage).cancelled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_load_is_met_with_a_margin),
		STAGE_TEST(workers_are_started_ahead_of_need),
		STAGE_TEST(a_load_never_asks_for_more_than_max_concurrency),
		STAGE_TEST(nor_for_less_than_is_provisioned),
		STAGE_TEST(without_the_policy_load_asks_for_nothing),
		STAGE_TEST(a_load_is_forgotten_with_a_half_life_of_ten_seconds),
		STAGE_TEST(what_it_no_longer_asks_for_idles_for_twenty_seconds),
		STAGE_TEST(a_shorter_keep_warm_holds_for_surplus_too),
		STAGE_TEST(nothing_is_looked_at_where_nothing_comes_in),
		STAGE_TEST(unregistering_ends_the_looks),
		STAGE_TEST(failing_inits_ahead_of_need_are_spaced),
		STAGE_TEST(refused_memory_only_delays_them),
	};

	return cmocka_run_group_tests_name("demand", tests, NULL, NULL);
}
