/* SPDX-License-Identifier: MIT */
/* Turns, timers and slots of lib/executor on one thread: whose turn it is, what fires when, what may be claimed. */
#include "unit.h"

#include "executor/executor.h"

#define NEAR 20000

static struct executor executor;
static int64_t near_ns; /* what counts as near in the next executor: in manual mode nothing does */

static int with_near(void **state)
{
	(void)state;
	near_ns = NEAR;
	return 0;
}

static int without_near(void **state)
{
	(void)state;
	near_ns = 0;
	return 0;
}

/* An executor in manual mode: nothing runs by itself. */
static void open_executor(uint64_t draw_seed)
{
	const struct executor_config config = {
		.allocator = &unit_allocator, .thread_name = "unit", .draw_seed = draw_seed, .thread_idle_ns = TIME_NEVER};

	assert_int_equal(FAAS_OK, faas__executor_init(&executor, &config));
	assert_int_equal(0, executor.run_queue.near_ns);
	executor.run_queue.near_ns = near_ns;
}

static void close_executor(void)
{
	faas__executor_deinit(&executor);
	unit_check_empty();
}

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

static void turns_are_taken_first_come_first_served(void **state)
{
	struct turn turns[20];

	(void)state;
	open_executor(0);
	for (size_t i = 0; i < COUNT_OF(turns); i++)
		faas__turn_init(&turns[i], NULL, 100);
	for (size_t i = 0; i < COUNT_OF(turns); i++)
		faas__turn_kick(&executor, &turns[(i * 7) % COUNT_OF(turns)]);
	for (size_t i = 0; i < COUNT_OF(turns); i++)
		assert_ptr_equal(&turns[(i * 7) % COUNT_OF(turns)], faas__turn_next(&executor));
	assert_null(faas__turn_next(&executor));
	close_executor();
}

static void a_turn_stands_in_the_run_queue_once(void **state)
{
	struct turn turn;

	(void)state;
	open_executor(0);
	faas__turn_init(&turn, NULL, 100);
	faas__turn_unblock(&executor, &turn);
	assert_null(faas__turn_next(&executor));
	faas__turn_kick(&executor, &turn);
	faas__turn_kick(&executor, &turn);
	faas__turn_unblock(&executor, &turn);
	assert_ptr_equal(&turn, faas__turn_next(&executor));
	assert_null(faas__turn_next(&executor));
	/* Taken, it is still ready: who kicks it now trusts its taker to look. */
	faas__turn_kick(&executor, &turn);
	assert_null(faas__turn_next(&executor));
	faas__turn_again(&executor, &turn, NULL, true);
	assert_ptr_equal(&turn, faas__turn_next(&executor));
	faas__turn_block(&turn);
	faas__turn_kick(&executor, &turn);
	assert_null(faas__turn_next(&executor));
	faas__turn_unblock(&executor, &turn);
	assert_ptr_equal(&turn, faas__turn_next(&executor));
	faas__turn_idle(&turn);
	faas__turn_kick(&executor, &turn);
	assert_ptr_equal(&turn, faas__turn_next(&executor));
	close_executor();
}

static void it_is_known_whether_a_turn_is_the_only_one(void **state)
{
	struct turn own, other;

	(void)state;
	open_executor(0);
	faas__turn_init(&own, NULL, 100);
	faas__turn_init(&other, NULL, 100);
	assert_true(faas__turn_is_alone(&executor, &own));
	faas__turn_kick(&executor, &own);
	assert_true(faas__turn_is_alone(&executor, &own));
	assert_false(faas__turn_is_alone(&executor, &other));
	/* Above it, and, when it has been taken and put back, below it, where takers have not looked at either yet. */
	faas__turn_kick(&executor, &other);
	assert_false(faas__turn_is_alone(&executor, &own));
	assert_ptr_equal(&own, faas__turn_next(&executor));
	faas__turn_idle(&own);
	assert_false(faas__turn_is_alone(&executor, &own));
	assert_true(faas__turn_is_alone(&executor, &other));
	faas__turn_kick(&executor, &own);
	assert_false(faas__turn_is_alone(&executor, &own));
	assert_ptr_equal(&other, faas__turn_next(&executor));
	faas__turn_idle(&other);
	assert_true(faas__turn_is_alone(&executor, &own));
	assert_ptr_equal(&own, faas__turn_next(&executor));
	faas__turn_idle(&own);
	faas__turn_kick(&executor, &other);
	faas__turn_kick(&executor, &own);
	assert_false(faas__turn_is_alone(&executor, &own));
	faas__turn_block(&own);
	assert_false(faas__turn_is_alone(&executor, &own));
	while (faas__turn_next(&executor))
		continue;
	assert_true(faas__turn_is_alone(&executor, &own));
	close_executor();
}

/* All always have work. Thread time goes by weight, whatever a single turn costs. */
static void thread_time_goes_by_weight(void **state)
{
	static const uint32_t weights[] = {100, 100, 50, 200, 1000, 1};
	struct random random = unit_random("weights");
	struct turn turns[COUNT_OF(weights)];
	int64_t used[COUNT_OF(weights)] = {0}, total = 0, weight = 0;

	(void)state;
	open_executor(0);
	for (size_t i = 0; i < COUNT_OF(weights); i++) {
		faas__turn_init(&turns[i], NULL, weights[i]);
		faas__turn_kick(&executor, &turns[i]);
		weight += weights[i];
	}
	for (int step = 0; step < 200000; step++) {
		struct turn *turn = faas__turn_next(&executor);
		size_t i = (size_t)(turn - turns);
		int64_t cost = 100 + (int64_t)unit_below(&random, i == 0 ? 20000 : 2000);

		used[i] += cost;
		total += cost;
		faas__turn_charge(turn, cost);
		faas__turn_again(&executor, turn, NULL, true);
	}
	for (size_t i = 0; i < COUNT_OF(weights); i++) {
		int64_t due = total * weights[i] / weight;

		if (used[i] < due - due / 10 - 50000 || used[i] > due + due / 10 + 50000)
			fail_msg("weight %u: %lld ns of %lld, not %lld", (unsigned)weights[i], (long long)used[i], (long long)total,
			         (long long)due);
	}
	while (faas__turn_next(&executor))
		continue;
	close_executor();
}

/* Turns of which each has used this much, ready in this order, are taken in that one. */
static void check_order(const int64_t *used, const size_t *order, size_t count)
{
	struct turn turns[8], first;

	open_executor(0);
	/* The virtual time is not 0 any more. */
	faas__turn_init(&first, NULL, 100);
	faas__turn_charge(&first, 5 * NEAR);
	faas__turn_kick(&executor, &first);
	assert_ptr_equal(&first, faas__turn_next(&executor));
	for (size_t i = 0; i < count; i++) {
		faas__turn_init(&turns[i], NULL, 100);
		faas__turn_charge(&turns[i], 5 * NEAR + used[i]);
		faas__turn_kick(&executor, &turns[i]);
	}
	for (size_t i = 0; i < count; i++)
		assert_ptr_equal(&turns[order[i]], faas__turn_next(&executor));
	assert_null(faas__turn_next(&executor));
	close_executor();
}

static void near_turns_come_in_order_of_arrival_and_others_by_use(void **state)
{
	static const int64_t used[] = {NEAR + 2, NEAR, NEAR + 1, 0, 5, 3 * NEAR, -NEAR};
	static const size_t near[] = {1, 3, 4, 6, 2, 0, 5}, exact[] = {3, 6, 4, 1, 2, 0, 5};

	(void)state;
	check_order(used, near_ns > 0 ? near : exact, COUNT_OF(used));
}

/* Of two that have used the same one is taken: that is what the time is now, also for a newcomer, but who waited comes first. */
static void a_newcomer_comes_behind_who_waits(void **state)
{
	struct turn equal[2], newcomer;

	(void)state;
	open_executor(0);
	for (size_t i = 0; i < COUNT_OF(equal); i++) {
		faas__turn_init(&equal[i], NULL, 100);
		faas__turn_charge(&equal[i], 3 * NEAR);
		faas__turn_kick(&executor, &equal[i]);
	}
	faas__turn_init(&newcomer, NULL, 100);
	assert_ptr_equal(&equal[0], faas__turn_next(&executor));
	faas__turn_kick(&executor, &newcomer);
	assert_ptr_equal(&equal[1], faas__turn_next(&executor));
	assert_ptr_equal(&newcomer, faas__turn_next(&executor));
	assert_null(faas__turn_next(&executor));
	close_executor();
}

/* Two that are near, and come back all the time, do not keep a third one out that has used more. */
static void what_is_far_is_not_left_behind(void **state)
{
	struct turn near[2], far;
	int64_t used = 0;

	(void)state;
	open_executor(0);
	for (size_t i = 0; i < COUNT_OF(near); i++) {
		faas__turn_init(&near[i], NULL, 100);
		faas__turn_kick(&executor, &near[i]);
	}
	faas__turn_init(&far, NULL, 100);
	faas__turn_charge(&far, 10 * NEAR);
	faas__turn_kick(&executor, &far);
	for (struct turn *turn; (turn = faas__turn_next(&executor)) != &far; used += 300) {
		assert_non_null(turn);
		faas__turn_charge(turn, 300);
		faas__turn_again(&executor, turn, NULL, true);
	}
	assert_in_range(used, 20 * NEAR - 600, 20 * NEAR + 600 + near_ns);
	while (faas__turn_next(&executor))
		continue;
	close_executor();
}

/* One that rested earns no credit by it, and one that used much is not made to wait for that by a newcomer for ever. */
static void rest_earns_no_credit(void **state)
{
	struct turn busy, rested;
	int turns_of_rested = 0;

	(void)state;
	open_executor(0);
	faas__turn_init(&busy, NULL, 100);
	faas__turn_init(&rested, NULL, 100);
	faas__turn_kick(&executor, &busy);
	for (int i = 0; i < 1000; i++) {
		assert_ptr_equal(&busy, faas__turn_next(&executor));
		faas__turn_charge(&busy, 1000000);
		faas__turn_again(&executor, &busy, NULL, true);
	}
	faas__turn_kick(&executor, &rested);
	for (int i = 0; i < 100; i++) {
		struct turn *turn = faas__turn_next(&executor);

		turns_of_rested += turn == &rested;
		faas__turn_charge(turn, 1000000);
		faas__turn_again(&executor, turn, NULL, true);
	}
	assert_in_range(turns_of_rested, 49, 51);
	while (faas__turn_next(&executor))
		continue;
	close_executor();
}

/* Nor does one start further back because the others were alone when they were taken. */
static void one_that_is_alone_moves_time_on_as_well(void **state)
{
	struct turn alone, newcomer;

	(void)state;
	open_executor(0);
	faas__turn_init(&alone, NULL, 100);
	faas__turn_init(&newcomer, NULL, 100);
	faas__turn_charge(&alone, 10 * NEAR);
	faas__turn_kick(&executor, &alone);
	assert_ptr_equal(&alone, faas__turn_next(&executor));
	assert_int_equal(1, load_relaxed(&executor.run_queue.taken));
	assert_null(faas__turn_next(&executor));
	faas__turn_kick(&executor, &newcomer);
	assert_ptr_equal(&newcomer, faas__turn_next(&executor));
	assert_int_equal(10 * NEAR, load_relaxed(&newcomer.used));
	close_executor();
}

static void equal_turns_may_be_drawn(void **state)
{
	struct turn turns[8];
	int seen[COUNT_OF(turns)] = {0};

	(void)state;
	for (uint64_t seed = 1; seed < 400; seed++) {
		struct turn *first;

		open_executor(seed);
		for (size_t i = 0; i < COUNT_OF(turns); i++) {
			faas__turn_init(&turns[i], NULL, 100);
			faas__turn_kick(&executor, &turns[i]);
		}
		first = faas__turn_next(&executor);
		seen[first - turns]++;
		while (faas__turn_next(&executor))
			continue;
		close_executor();
	}
	for (size_t i = 0; i < COUNT_OF(turns); i++)
		assert_in_range(seen[i], 10, 120);
}

/* ---- Timers ------------------------------------------------------------------------------------------------------ */

#define TIMERS 60

static struct test_timer {
	struct timer timer;
	int64_t due; /* TIME_NEVER: not set */
	int fired;
} timers[TIMERS];

static int64_t fired_until;
static int64_t last_due;

static void fire(struct timer *timer, int64_t now)
{
	struct test_timer *fired = (struct test_timer *)timer;

	assert_int_equal(fired_until, now);
	assert_true(fired->due <= now);
	/* In the order of their times. */
	assert_true(fired->due >= last_due);
	last_due = fired->due;
	fired->due = TIME_NEVER;
	fired->fired++;
}

static int64_t earliest(void)
{
	int64_t due = TIME_NEVER;

	for (size_t i = 0; i < TIMERS; i++)
		if (timers[i].due < due)
			due = timers[i].due;
	return due;
}

static void random_timers_fire_at_their_times(void **state)
{
	struct random random = unit_random("timers");
	int64_t now = 0;

	(void)state;
	open_executor(0);
	memset(timers, 0, sizeof(timers));
	for (size_t i = 0; i < TIMERS; i++) {
		timers[i].timer.fire = fire;
		timers[i].due = TIME_NEVER;
	}
	for (int step = 0; step < 50000; step++) {
		struct test_timer *timer = &timers[unit_below(&random, TIMERS)];
		bool was_set = timer->due != TIME_NEVER;

		switch (unit_below(&random, 4)) {
		case 0:
			assert_int_equal(was_set, faas__timer_cancel(&executor, &timer->timer));
			timer->due = TIME_NEVER;
			break;
		case 1:
			now += (int64_t)unit_below(&random, 20);
			fired_until = now;
			last_due = INT64_MIN;
			faas__timers_fire(&executor, now);
			for (size_t i = 0; i < TIMERS; i++)
				assert_true(timers[i].due > now);
			break;
		default:
			timer->due = now + 1 + (int64_t)unit_below(&random, 100);
			assert_int_equal(!was_set, faas__timer_set(&executor, &timer->timer, timer->due));
			break;
		}
		assert_int_equal(earliest(), faas__timers_next(&executor));
		assert_int_equal(earliest(), faas__executor_next_due(&executor));
	}
	close_executor();
}

/* Sets itself again from its own firing, three times. */
static void fire_and_set_again(struct timer *timer, int64_t now)
{
	struct test_timer *fired = (struct test_timer *)timer;

	if (++fired->fired < 3)
		assert_true(faas__timer_set(&executor, timer, now + 10));
}

static void a_timer_may_be_set_while_it_fires(void **state)
{
	struct test_timer timer = {.timer = {.fire = fire_and_set_again}};

	(void)state;
	open_executor(0);
	assert_true(faas__timer_set(&executor, &timer.timer, 10));
	assert_false(faas__timer_set(&executor, &timer.timer, 5));
	faas__timers_fire(&executor, 4);
	assert_int_equal(0, timer.fired);
	for (int64_t now = 5; now <= 25; now++)
		faas__timers_fire(&executor, now);
	assert_int_equal(3, timer.fired);
	assert_false(faas__timer_cancel(&executor, &timer.timer));
	assert_int_equal(TIME_NEVER, faas__timers_next(&executor));
	close_executor();
}

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

static void only_what_runs_can_be_claimed_and_only_once(void **state)
{
	int attempt;
	void *claimed = NULL;
	struct slot slot;

	(void)state;
	memset(&slot, 0, sizeof(slot));
	assert_false(faas__slot_is_running(&slot));
	assert_false(faas__slot_claim(&slot, &claimed));
	for (int round = 0; round < 5; round++) {
		faas__slot_begin(&slot, &attempt, TIME_NEVER);
		assert_true(faas__slot_is_running(&slot));
		assert_true(faas__slot_claim(&slot, &claimed));
		assert_ptr_equal(&attempt, claimed);
		assert_false(faas__slot_claim(&slot, &claimed));
		assert_false(faas__slot_claim_due(&slot, INT64_MAX, &claimed));
		faas__slot_let_go(&slot);
		assert_true(faas__slot_is_running(&slot));
		assert_true(faas__slot_claim(&slot, &claimed));
		faas__slot_let_go(&slot);
		faas__slot_end(&slot);
		assert_false(faas__slot_is_running(&slot));
		assert_false(faas__slot_claim(&slot, &claimed));
	}
}

static void what_is_due_can_be_claimed_at_its_time(void **state)
{
	int attempt;
	void *claimed = NULL;
	struct slot slot;

	(void)state;
	memset(&slot, 0, sizeof(slot));
	faas__slot_begin(&slot, &attempt, 100);
	assert_false(faas__slot_claim_due(&slot, 99, &claimed));
	assert_null(claimed);
	assert_true(faas__slot_claim_due(&slot, 100, &claimed));
	assert_ptr_equal(&attempt, claimed);
	faas__slot_let_go(&slot);
	faas__slot_end(&slot);
	assert_false(faas__slot_claim_due(&slot, 1000, &claimed));
	faas__slot_begin(&slot, NULL, TIME_NEVER);
	assert_false(faas__slot_claim_due(&slot, TIME_NEVER - 1, &claimed));
	assert_true(faas__slot_claim(&slot, &claimed));
	assert_null(claimed);
	faas__slot_let_go(&slot);
	faas__slot_end(&slot);
}

/* In manual mode, and as with threads. */
#define TURN_TEST(function) \
	{#function, function, without_near, NULL, NULL}, {#function " (near)", function, with_near, without_near, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TURN_TEST(turns_are_taken_first_come_first_served),
		TURN_TEST(a_turn_stands_in_the_run_queue_once),
		TURN_TEST(it_is_known_whether_a_turn_is_the_only_one),
		TURN_TEST(thread_time_goes_by_weight),
		TURN_TEST(near_turns_come_in_order_of_arrival_and_others_by_use),
		TURN_TEST(a_newcomer_comes_behind_who_waits),
		TURN_TEST(what_is_far_is_not_left_behind),
		TURN_TEST(rest_earns_no_credit),
		TURN_TEST(one_that_is_alone_moves_time_on_as_well),
		TURN_TEST(equal_turns_may_be_drawn),
		cmocka_unit_test(random_timers_fire_at_their_times),
		cmocka_unit_test(a_timer_may_be_set_while_it_fires),
		cmocka_unit_test(only_what_runs_can_be_claimed_and_only_once),
		cmocka_unit_test(what_is_due_can_be_claimed_at_its_time),
	};

	return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}
