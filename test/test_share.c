/* SPDX-License-Identifier: MIT */
/* The runtime's concurrency, and the part of it that functions reserve. Manual mode: slots are held by deferrals. */
#include "support_trial.h"

static struct hold hold;
static struct bed bed;

/* Opens the bed with so much concurrency. */
static void open_with(int32_t max_concurrency)
{
	hold = (struct hold){0};
	bed_open(&bed, FAAS_RUNTIME(.max_concurrency = max_concurrency));
}

static void close_all(void)
{
	(void)bed_totals(&bed);
	/* What is queued still runs. */
	assert_int_equal(FAAS_OK, faas_close(bed.runtime, 0, 0));
	bed.runtime = NULL;
	hold_clear(&hold);
	bed_close(&bed);
}

#define HELD_LONG(...) \
	FAAS_FUNCTION(.handler = hold_handler, .user = &hold, .deadline_ms = FAAS_NEVER, .attempts = 1, __VA_ARGS__)

static void queue_many(const char *function, int count)
{
	for (int i = 0; i < count; i++)
		bed_queue(&bed, function, NULL);
}

/* How many slots a function holds. */
static int held(const char *function)
{
	struct faas_function_stats stats = bed_stats(&bed, function);

	return (int)(stats.deferred + stats.running + stats.overrunning);
}

/* Completes the oldest token that is left. */
static void complete_one(void)
{
	for (int i = 0; i < hold.count; i++)
		if (faas_deferral_is_open(hold.tokens[i])) {
			assert_int_equal(FAAS_OK, faas_complete(hold.tokens[i], NULL, 0, NULL));
			return;
		}
	fail_msg("nothing is deferred");
}

/* ---- The runtime's concurrency ----------------------------------------------------------------------------------- */

static void no_more_attempts_at_once_than_the_runtime_allows(void **state)
{
	(void)state;
	open_with(3);
	bed_register(&bed, "f", HELD_LONG(.max_concurrency = 2));
	bed_register(&bed, "g", HELD_LONG(.weight = 100));
	queue_many("f", 5);
	queue_many("g", 5);
	for (int left = 10; left > 0; left--) {
		bed_run(&bed);
		assert_int_equal(left < 3 ? left : 3, held("f") + held("g"));
		assert_in_range(held("f"), 0, 2);
		assert_int_equal(0, bed_run(&bed));
		assert_true(left <= 3 || bed_next_due(&bed) != 0);
		complete_one();
	}
	assert_int_equal(5, bed_stats(&bed, "f").succeeded);
	assert_int_equal(5, bed_stats(&bed, "g").succeeded);
	close_all();
}

static void without_a_limit_there_is_none(void **state)
{
	static const int32_t limits[] = {0, FAAS_UNLIMITED};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		open_with(limits[i]);
		bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 1000));
		bed_register(&bed, "g", HELD_LONG(.reserved_concurrency = 1000));
		queue_many("f", 30);
		queue_many("g", 30);
		assert_int_equal(60, bed_run(&bed));
		close_all();
	}
}

static void every_function_that_waits_gets_its_turn(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};

	(void)state;
	open_with(1);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		bed_register(&bed, names[i], HELD_LONG(.weight = 100));
		queue_many(names[i], 4);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(1, bed_run(&bed));
		complete_one();
		/* Nobody is more than a turn ahead. */
		for (size_t k = 0; k < COUNT_OF(names); k++)
			assert_in_range(bed_stats(&bed, names[k]).succeeded, i / 5 > 0 ? i / 5 - 1 : 0, i / 5 + 2);
	}
	for (size_t k = 0; k < COUNT_OF(names); k++)
		assert_int_equal(4, bed_stats(&bed, names[k]).succeeded);
	close_all();
}

struct look_around {
	faas_clock *clock;
	faas_invocation *other;
	int status, wait, invoke;
};

static int overrun_and_look(faas_context *context, const faas_event *event)
{
	struct look_around *look = faas_context_user(context);

	(void)event;
	(void)faas_clock_advance(look->clock, 20 * MS);
	look->status = faas_invocation_status(look->other);
	look->wait = faas_invocation_wait(look->other, FAAS_NEVER);
	return 0;
}

static void an_overrun_keeps_the_runtimes_slot(void **state)
{
	struct look_around look = {0};

	(void)state;
	open_with(1);
	look.clock = bed.clock;
	bed_register(&bed, "f",
	             FAAS_FUNCTION(.handler = overrun_and_look, .user = &look, .deadline_ms = 10, .attempts = 1));
	bed_register(&bed, "g", FAAS_FUNCTION(.handler = nothing_handler));
	queue_many("f", 1);
	look.other = bed_start(&bed, "g", NULL);
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(FAAS_STATUS_QUEUED, look.status);
	assert_true(look.wait == FAAS_EPENDING || look.wait == FAAS_EDEADLK);
	bed_run(&bed);
	assert_int_equal(FAAS_OK, faas_invocation_outcome(look.other));
	faas_invocation_unref(look.other);
	close_all();
}

static int wait_and_invoke(faas_context *context, const faas_event *event)
{
	struct look_around *look = faas_context_user(context);

	(void)event;
	look->wait = faas_invocation_wait(look->other, FAAS_NEVER);
	look->invoke = faas_context_invoke(context, "g", NULL, 0, NULL);
	return 0;
}

static void a_handler_that_holds_the_last_slot_cannot_wait_for_another(void **state)
{
	struct look_around look = {0};

	(void)state;
	open_with(1);
	bed_register(&bed, "f", FAAS_FUNCTION(.handler = wait_and_invoke, .user = &look));
	bed_register(&bed, "g", FAAS_FUNCTION(.handler = nothing_handler));
	queue_many("f", 1);
	look.other = bed_start(&bed, "g", NULL);
	assert_int_equal(1, faas_run(bed.runtime, 1));
	assert_int_equal(FAAS_EDEADLK, look.wait);
	assert_int_equal(FAAS_EDEADLK, look.invoke);
	bed_run(&bed);
	assert_int_equal(1, bed_stats(&bed, "g").succeeded);
	assert_int_equal(1, bed_stats(&bed, "f").succeeded);
	faas_invocation_unref(look.other);
	close_all();
}

static void a_nested_call_takes_a_slot_of_its_own(void **state)
{
	struct look_around look = {0};

	(void)state;
	open_with(2);
	bed_register(&bed, "f", FAAS_FUNCTION(.handler = wait_and_invoke, .user = &look));
	bed_register(&bed, "g", FAAS_FUNCTION(.handler = nothing_handler));
	queue_many("f", 1);
	look.other = bed_start(&bed, "g", NULL);
	bed_run(&bed);
	assert_int_equal(FAAS_OK, look.wait);
	assert_int_equal(FAAS_OK, look.invoke);
	faas_invocation_unref(look.other);
	close_all();
}

static void a_synchronous_call_finds_no_slot(void **state)
{
	static const uint32_t flags[] = {0, FAAS_FUNCTION_INLINE};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		open_with(1);
		bed_register(&bed, "f", HELD_LONG(.weight = 100));
		bed_register(&bed, "g", FAAS_FUNCTION(.handler = nothing_handler, .flags = flags[i]));
		queue_many("f", 1);
		bed_run(&bed);
		assert_int_equal(FAAS_EAGAIN, faas_invoke(bed.runtime, "g", NULL, 0, NULL));
		complete_one();
		assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "g", NULL, 0, NULL));
		close_all();
	}
}

static void what_is_delayed_holds_no_slot(void **state)
{
	struct trial trial = {.fails = 1};

	(void)state;
	open_with(1);
	trial.clock = bed.clock;
	bed_register(&bed, "f", TRIAL(.user = &trial));
	queue_many("f", 3);
	assert_int_equal(3, bed_run(&bed));
	assert_int_equal(3, bed_stats(&bed, "f").delayed);
	bed_pass_ms(&bed, 100);
	bed_run(&bed);
	close_all();
}

/* ---- Reservations ------------------------------------------------------------------------------------------------ */

static void what_is_reserved_only_its_function_can_use(void **state)
{
	(void)state;
	open_with(5);
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 2));
	bed_register(&bed, "g", HELD_LONG(.weight = 100));
	queue_many("g", 9);
	bed_run(&bed);
	assert_int_equal(3, held("g"));
	queue_many("f", 9);
	bed_run(&bed);
	assert_int_equal(2, held("f"));
	assert_int_equal(3, held("g"));
	for (int i = 0; i < 13; i++) {
		complete_one();
		bed_run(&bed);
		assert_int_equal(5, held("f") + held("g"));
		assert_true(held("f") >= 2);
	}
	close_all();
}

static void beyond_its_part_a_function_takes_what_nobody_has_reserved(void **state)
{
	(void)state;
	open_with(6);
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 2));
	bed_register(&bed, "g", HELD_LONG(.reserved_concurrency = 1));
	queue_many("f", 9);
	bed_run(&bed);
	/* All but the one of "g". */
	assert_int_equal(5, held("f"));
	queue_many("g", 9);
	bed_run(&bed);
	assert_int_equal(5, held("f"));
	assert_int_equal(1, held("g"));
	close_all();
}

static void all_may_be_reserved(void **state)
{
	(void)state;
	open_with(3);
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 2));
	bed_register(&bed, "g", HELD_LONG(.reserved_concurrency = 1));
	bed_register(&bed, "h", HELD_LONG(.weight = 100));
	queue_many("f", 4);
	queue_many("g", 4);
	queue_many("h", 4);
	bed_run(&bed);
	assert_int_equal(2, held("f"));
	assert_int_equal(1, held("g"));
	assert_int_equal(0, held("h"));
	assert_int_equal(FAAS_EAGAIN, faas_invoke(bed.runtime, "h", NULL, 0, NULL));
	/* A reservation that goes leaves room at once. */
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "g"));
	complete_one();
	complete_one();
	complete_one();
	bed_run(&bed);
	assert_int_equal(2, held("f"));
	assert_int_equal(1, held("h"));
	close_all();
}

static void no_more_can_be_reserved_than_there_is(void **state)
{
	(void)state;
	open_with(4);
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 3));
	assert_int_equal(FAAS_ERESERVED, faas_register_function(bed.runtime, "g", HELD_LONG(.reserved_concurrency = 2)));
	assert_int_equal(1, bed_totals(&bed).functions);
	bed_register(&bed, "g", HELD_LONG(.reserved_concurrency = 1));
	assert_int_equal(FAAS_ERESERVED, faas_register_function(bed.runtime, "h", HELD_LONG(.reserved_concurrency = 1)));
	bed_register(&bed, "h", HELD_LONG(.weight = 100));
	/* One with a worker, too, gives up its part when it goes. */
	queue_many("f", 1);
	bed_run(&bed);
	complete_one();
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "f"));
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 3));
	assert_int_equal(FAAS_ERESERVED, faas_register_function(bed.runtime, "i", HELD_LONG(.reserved_concurrency = 5)));
	close_all();
	open_with(1);
	assert_int_equal(FAAS_ERESERVED, faas_register_function(bed.runtime, "f", HELD_LONG(.reserved_concurrency = 2)));
	close_all();
}

static void attempts_of_an_unregistered_function_count_as_unreserved(void **state)
{
	(void)state;
	open_with(4);
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 2));
	bed_register(&bed, "g", HELD_LONG(.weight = 100));
	queue_many("f", 2);
	bed_run(&bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "f"));
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 2));
	queue_many("g", 4);
	bed_run(&bed);
	/* Two are still held by the old one, two are reserved. */
	assert_int_equal(0, held("g"));
	queue_many("f", 4);
	bed_run(&bed);
	assert_int_equal(2, held("f"));
	complete_one();
	bed_run(&bed);
	assert_int_equal(1, held("g") + held("f") - 2);
	close_all();
}

static void a_function_that_waits_for_a_slot_can_go(void **state)
{
	(void)state;
	open_with(1);
	bed_register(&bed, "f", HELD_LONG(.weight = 100));
	bed_register(&bed, "g", HELD_LONG(.weight = 100));
	bed_register(&bed, "h", HELD_LONG(.weight = 100));
	queue_many("f", 1);
	bed_run(&bed);
	queue_many("g", 3);
	queue_many("h", 1);
	assert_int_equal(0, bed_run(&bed));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed.runtime, "g"));
	bed_run(&bed);
	assert_int_equal(3, bed_totals(&bed).total.cancelled);
	complete_one();
	assert_int_equal(1, bed_run(&bed));
	assert_int_equal(1, held("h"));
	close_all();
}

static void a_reservation_within_a_functions_own_limit(void **state)
{
	(void)state;
	open_with(10);
	assert_int_equal(FAAS_EINVAL,
	                 faas_register_function(bed.runtime, "f", HELD_LONG(.reserved_concurrency = 3, .max_concurrency = 2)));
	bed_register(&bed, "f", HELD_LONG(.reserved_concurrency = 3, .max_concurrency = 3));
	queue_many("f", 9);
	bed_run(&bed);
	assert_int_equal(3, held("f"));
	close_all();
}

static void a_provisioned_start_that_found_no_slot_comes_later(void **state)
{
	(void)state;
	open_with(1);
	bed_register(&bed, "f", HELD_LONG(.weight = 100));
	queue_many("f", 1);
	bed_run(&bed);
	bed_register(&bed, "g", FAAS_FUNCTION(.handler = nothing_handler, .provisioned = 2));
	bed_run(&bed);
	complete_one();
	bed_run(&bed);
	assert_int_equal(2, bed_stats(&bed, "g").warm);
	assert_int_equal(2, bed_stats(&bed, "g").provisioned_starts);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_attempts_at_once_than_the_runtime_allows),
		cmocka_unit_test(without_a_limit_there_is_none),
		cmocka_unit_test(every_function_that_waits_gets_its_turn),
		cmocka_unit_test(an_overrun_keeps_the_runtimes_slot),
		cmocka_unit_test(a_handler_that_holds_the_last_slot_cannot_wait_for_another),
		cmocka_unit_test(a_nested_call_takes_a_slot_of_its_own),
		cmocka_unit_test(a_synchronous_call_finds_no_slot),
		cmocka_unit_test(what_is_delayed_holds_no_slot),
		cmocka_unit_test(what_is_reserved_only_its_function_can_use),
		cmocka_unit_test(beyond_its_part_a_function_takes_what_nobody_has_reserved),
		cmocka_unit_test(all_may_be_reserved),
		cmocka_unit_test(no_more_can_be_reserved_than_there_is),
		cmocka_unit_test(attempts_of_an_unregistered_function_count_as_unreserved),
		cmocka_unit_test(a_function_that_waits_for_a_slot_can_go),
		cmocka_unit_test(a_reservation_within_a_functions_own_limit),
		cmocka_unit_test(a_provisioned_start_that_found_no_slot_comes_later),
	};

	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
