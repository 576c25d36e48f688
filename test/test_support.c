/* SPDX-License-Identifier: MIT */
/*
 * That the tests can fail: each check of support.h is given what it must object to. As that ends a test, or the
 * process, each runs in a child.
 */
#include "support.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs one test in a silent child. Whether it passed. */
static int passes(void (*test)(void **state))
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		const struct CMUnitTest tests[] = {{"child", test, NULL, NULL, NULL}};
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		_exit(cmocka_run_group_tests_name("child", tests, NULL, NULL) != 0);
	}
	assert_true(child > 0);
	assert_int_equal(child, waitpid(child, &status, 0));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static struct memory memory;

static void *take(uint64_t bytes, uint64_t alignment)
{
	return memory.config.alloc(memory.config.user, bytes, alignment);
}

static void give(void *block, uint64_t bytes, uint64_t alignment)
{
	memory.config.free(memory.config.user, block, bytes, alignment);
}

static void in_order(void **state)
{
	void *small, *large;

	(void)state;
	memory_init(&memory);
	small = take(1, 1);
	large = take(100000, 4096);
	assert_int_equal(0, (uintptr_t)large % 4096);
	assert_int_equal(2, memory.blocks);
	assert_int_equal(100001, memory.bytes);
	give(small, 1, 1);
	give(large, 100000, 4096);
	memory_check_empty(&memory);
}

static void a_leak(void **state)
{
	(void)state;
	memory_init(&memory);
	assert_non_null(take(8, 8));
	memory_check_empty(&memory);
}

static void another_size(void **state)
{
	(void)state;
	memory_init(&memory);
	give(take(16, 8), 8, 8);
	memory_check_empty(&memory);
}

static void another_alignment(void **state)
{
	(void)state;
	memory_init(&memory);
	give(take(16, 8), 16, 16);
	memory_check_empty(&memory);
}

static void an_overrun(void **state)
{
	volatile char *block;

	(void)state;
	memory_init(&memory);
	block = take(16, 8);
	block[16] = (char)(block[16] + 1);
	give((void *)(uintptr_t)block, 16, 8);
	memory_check_empty(&memory);
}

static void no_bytes(void **state)
{
	(void)state;
	memory_init(&memory);
	give(take(0, 8), 0, 8);
	memory_check_empty(&memory);
}

static void the_allocator_objects(void **state)
{
	(void)state;
	assert_true(passes(in_order));
	assert_false(passes(a_leak));
	assert_false(passes(another_size));
	assert_false(passes(another_alignment));
	assert_false(passes(an_overrun));
	assert_false(passes(no_bytes));
}

static void the_allocator_refuses_the_nth(void **state)
{
	void *first, *fourth;

	(void)state;
	memory_init(&memory);
	memory_fail(&memory, 1, 2);
	first = take(8, 8);
	assert_non_null(first);
	assert_false(memory_has_failed(&memory));
	assert_null(take(8, 8));
	assert_true(memory_has_failed(&memory));
	assert_null(take(8, 8));
	fourth = take(8, 8);
	assert_non_null(fourth);
	memory_fail(&memory, -1, 0);
	assert_false(memory_has_failed(&memory));
	assert_int_equal(4, memory.calls);
	give(first, 8, 8);
	give(fourth, 8, 8);
	memory_check_empty(&memory);
}

/* ---- Accounts ---------------------------------------------------------------------------------------------------- */

/* Everything different, everything adding up. */
static struct faas_function_stats sound(void)
{
	return (struct faas_function_stats){
		.offered = 66,
		.accepted = 36,
		.rejected = 30,
		.rejected_full = 9,
		.rejected_runtime_full = 8,
		.rejected_closed = 7,
		.rejected_other = 6,
		.queued = 1,
		.running = 2,
		.succeeded = 3,
		.failed = 4,
		.timed_out = 5,
		.expired = 6,
		.cancelled = 7,
		.dropped = 8,
		.workers_peak = 4,
		.starting = 1,
		.busy = 1,
		.warm = 2,
		.cold_starts = 2,
		.provisioned_starts = 2,
		.overruns = 1,
		.overrunning = 1,
	};
}

/* The field that is one too large, as an offset; 0: none. */
static size_t wrong_field;

static void accounts(void **state)
{
	struct faas_function_stats stats = sound();
	uint64_t value;

	(void)state;
	if (wrong_field != 0) {
		memcpy(&value, (char *)&stats + wrong_field, sizeof(value));
		value++;
		memcpy((char *)&stats + wrong_field, &value, sizeof(value));
	}
	check_accounts(&stats);
}

static void accounts_that_do_not_add_up_are_seen(void **state)
{
#define FIELD(field) offsetof(struct faas_function_stats, field)
	static const size_t fields[] = {
		FIELD(offered),
		FIELD(accepted),
		FIELD(rejected),
		FIELD(rejected_full),
		FIELD(rejected_runtime_full),
		FIELD(rejected_closed),
		FIELD(rejected_other),
		FIELD(queued),
		FIELD(running),
		FIELD(succeeded),
		FIELD(failed),
		FIELD(timed_out),
		FIELD(expired),
		FIELD(cancelled),
		FIELD(dropped),
		FIELD(starting),
		FIELD(busy),
		FIELD(warm),
		FIELD(overrunning),
		FIELD(provisioned_starts),
	};

	(void)state;
	assert_true(passes(accounts));
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		wrong_field = fields[i];
		assert_false(passes(accounts));
	}
}

/* ---- Beds -------------------------------------------------------------------------------------------------------- */

static void a_closed_bed(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	bed_close(&bed);
}

static void a_kept_handle(void **state)
{
	struct bed bed;
	faas_function *function = NULL;

	(void)state;
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(FAAS_OK, faas_function_find(bed.runtime, "f", &function));
	bed_close(&bed);
}

static void a_bed_notices_a_kept_handle(void **state)
{
	(void)state;
	assert_true(passes(a_closed_bed));
	assert_false(passes(a_kept_handle));
}

static void a_record_keeps_what_it_is_called_with(void **state)
{
	struct bed *bed = *state;
	struct record record;

	record_init(&record);
	bed_register(bed, "a", ONCE(.handler = record_handler, .user = &record));
	bed_register(bed, "b", ONCE(.handler = record_handler, .user = &record));
	bed_bind(bed, "*.x", "a");
	bed_bind(bed, "t.*", "b");
	assert_string_equal("", record_texts(&record));
	assert_int_equal(2, bed_emit(bed, "t.x", "one"));
	assert_int_equal(2, bed_run(bed));
	assert_int_equal(1, bed_emit(bed, "t.y", "two"));
	assert_int_equal(1, bed_run(bed));
	record_await(&record, 3);
	assert_int_equal(3, record.count);
	assert_string_equal("one one two", record_texts(&record));
	assert_string_equal("a b b", record_functions(&record));
	assert_string_equal("t.y", record.calls[2].type);
	assert_int_equal(3, record.calls[2].bytes);
	assert_int_equal(1, record.calls[2].attempt);
	assert_int_equal(1, record.calls[1].is_cold);
	assert_int_equal(0, record.calls[2].is_cold);
	record_deinit(&record);
}

static void random_numbers_repeat(void **state)
{
	uint64_t seed = 5, same = 5, seen = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t number = random_below(&seed, 10);

		assert_in_range(number, 0, 9);
		assert_int_equal(number, random_below(&same, 10));
		seen |= UINT64_C(1) << number;
	}
	assert_int_equal(0x3ff, seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_allocator_objects),
		cmocka_unit_test(the_allocator_refuses_the_nth),
		cmocka_unit_test(accounts_that_do_not_add_up_are_seen),
		cmocka_unit_test(a_bed_notices_a_kept_handle),
		BED_TEST(a_record_keeps_what_it_is_called_with),
		cmocka_unit_test(random_numbers_repeat),
	};

	return cmocka_run_group_tests_name("support", tests, NULL, NULL);
}
