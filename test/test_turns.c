/* SPDX-License-Identifier: MIT */
/* Turns between functions: shares of thread time by weight, and no function starved by another. */
#include "support.h"

/* What one function's handler does: takes so much time, and counts. */
struct work {
	faas_clock *clock;
	int64_t takes_ns;
	int runs;
	int *all_runs; /* of all functions */
	int first_run; /* in that count */
};

static int work_handler(faas_context *context, const faas_event *event)
{
	struct work *work = faas_context_user(context);

	(void)event;
	if (work->runs++ == 0)
		work->first_run = *work->all_runs;
	++*work->all_runs;
	return faas_clock_advance(work->clock, work->takes_ns);
}

static void add(struct bed *bed, const char *name, int32_t weight, struct work *work)
{
	bed_register(bed, name, ONCE(.handler = work_handler, .user = work, .weight = weight));
	bed_bind(bed, name, name);
}

static void flood(struct bed *bed, const char *name, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(1, bed_emit(bed, name, ""));
}

static void weights_are_shares_of_thread_time(void **state)
{
	static const int64_t times[] = {0, 1000, MS, 1000 * MS};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		struct bed bed;
		int all = 0;
		struct work light = {.takes_ns = times[i], .all_runs = &all}, heavy = light, usual = light;

		bed_open(&bed, NULL);
		light.clock = heavy.clock = usual.clock = bed.clock;
		add(&bed, "light", 50, &light);
		add(&bed, "heavy", 400, &heavy);
		add(&bed, "usual", 0, &usual); /* 100 */
		flood(&bed, "light", 1000);
		flood(&bed, "heavy", 1000);
		flood(&bed, "usual", 1000);
		assert_int_equal(1100, faas_run(bed.runtime, 1100));
		/* 50 : 400 : 100 of 1100 runs that each take the same time. */
		assert_in_range(light.runs, 97, 103);
		assert_in_range(heavy.runs, 795, 805);
		assert_in_range(usual.runs, 197, 203);
		bed_run(&bed);
		assert_int_equal(3000, all);
		bed_close(&bed);
	}
}

static void the_extremes_of_weight_keep_their_shares(void **state)
{
	struct bed *bed = *state;
	int all = 0;
	struct work least = {.clock = bed->clock, .takes_ns = MS, .all_runs = &all}, most = least;

	add(bed, "least", 1, &least);
	add(bed, "most", 1000, &most);
	flood(bed, "least", 100);
	flood(bed, "most", 10000);
	assert_int_equal(5005, faas_run(bed->runtime, 5005));
	assert_in_range(least.runs, 4, 7);
	assert_int_equal(5005, least.runs + most.runs);
	bed_run(bed);
}

static void it_is_time_that_is_shared_not_runs(void **state)
{
	struct bed *bed = *state;
	int all = 0;
	struct work slow = {.clock = bed->clock, .takes_ns = 9 * MS, .all_runs = &all}, quick = slow;

	quick.takes_ns = 1 * MS;
	add(bed, "slow", 0, &slow);
	add(bed, "quick", 0, &quick);
	flood(bed, "slow", 1000);
	flood(bed, "quick", 1000);
	assert_int_equal(1000, faas_run(bed->runtime, 1000));
	assert_in_range(slow.runs, 97, 103);
	assert_in_range(quick.runs, 897, 903);
	bed_run(bed);
}

static void a_flood_does_not_starve_others(void **state)
{
	struct bed *bed = *state;
	int all = 0;
	struct work flooded = {.clock = bed->clock, .takes_ns = MS, .all_runs = &all}, rare = flooded;

	add(bed, "flooded", 1000, &flooded);
	add(bed, "rare", 1, &rare);
	flood(bed, "flooded", 10000);
	assert_int_equal(1000, faas_run(bed->runtime, 1000));
	/* A newcomer is next, whatever its weight and however long the other's queue. */
	flood(bed, "rare", 1);
	assert_int_equal(2, faas_run(bed->runtime, 2));
	assert_int_equal(1, rare.runs);
	assert_in_range(rare.first_run, 1000, 1001);
	bed_run(bed);
	assert_int_equal(10001, all);
}

/* Idling earns no credit: who comes back shares from now on. */
static void rest_is_not_made_up_for(void **state)
{
	struct bed *bed = *state;
	int all = 0, before;
	struct work steady = {.clock = bed->clock, .takes_ns = MS, .all_runs = &all}, back = steady;

	add(bed, "steady", 0, &steady);
	add(bed, "back", 0, &back);
	flood(bed, "back", 1);
	flood(bed, "steady", 5000);
	assert_int_equal(2000, faas_run(bed->runtime, 2000));
	assert_int_equal(1, back.runs);
	flood(bed, "back", 1000);
	before = steady.runs;
	assert_int_equal(200, faas_run(bed->runtime, 200));
	assert_in_range(steady.runs - before, 97, 103);
	bed_run(bed);
}

static void many_functions_take_turns(void **state)
{
	enum { COUNT = 100, EACH = 10 };
	static struct work works[COUNT];
	struct bed *bed = *state;
	int all = 0;
	char name[16];

	for (int i = 0; i < COUNT; i++) {
		works[i] = (struct work){.clock = bed->clock, .takes_ns = MS, .all_runs = &all};
		snprintf(name, sizeof(name), "f%d", i);
		add(bed, name, 0, &works[i]);
		flood(bed, name, EACH);
	}
	for (int round = 1; round <= EACH; round++) {
		assert_int_equal(COUNT, faas_run(bed->runtime, COUNT));
		for (int i = 0; i < COUNT; i++)
			assert_in_range(works[i].runs, round - 1, round + 1);
	}
	bed_run(bed);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(EACH, works[i].runs);
}

/* ---- The seed ---------------------------------------------------------------------------------------------------- */

/* The order in which equal functions run, as a text. */
static void order_with_seed(uint64_t seed, char order[64])
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	struct bed bed;
	struct record record;

	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.seed = seed));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		bed_register(&bed, names[i], ONCE(.handler = record_handler, .user = &record));
		bed_bind(&bed, names[i], names[i]);
	}
	for (size_t i = COUNT_OF(names); i-- > 0;)
		assert_int_equal(1, bed_emit(&bed, names[i], ""));
	bed_run(&bed);
	assert_int_equal(COUNT_OF(names), record.count);
	strcpy(order, record_functions(&record));
	bed_close(&bed);
	record_deinit(&record);
}

static void equals_run_in_arrival_order_or_in_one_drawn_from_the_seed(void **state)
{
	char order[64], same[64];
	int differ = 0;

	(void)state;
	order_with_seed(0, order);
	assert_string_equal("h g f e d c b a", order);
	for (uint64_t seed = 1; seed < 6; seed++) {
		order_with_seed(seed, order);
		order_with_seed(seed, same);
		assert_string_equal(order, same);
		differ += strcmp(order, "h g f e d c b a") != 0;
	}
	assert_true(differ >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights_are_shares_of_thread_time),
		BED_TEST(the_extremes_of_weight_keep_their_shares),
		BED_TEST(it_is_time_that_is_shared_not_runs),
		BED_TEST(a_flood_does_not_starve_others),
		BED_TEST(rest_is_not_made_up_for),
		BED_TEST(many_functions_take_turns),
		cmocka_unit_test(equals_run_in_arrival_order_or_in_one_drawn_from_the_seed),
	};

	return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
