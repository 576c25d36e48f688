/* SPDX-License-Identifier: MIT */
/* Memory that goes, or never comes: of attempts, of events that several letters share, of tables. Manual mode. */
#include "support_trial.h"

#define ALWAYS 1000000

static const char large[1000000];

static int wasteful_handler(faas_context *context, const faas_event *event)
{
	char *memory = faas_context_alloc(context, 1000000);

	(void)event;
	if (memory)
		memset(memory, 1, 1000000);
	(void)faas_context_reply(context, large, sizeof(large), NULL);
	return faas_context_fail(context, "again and again");
}

static void attempts_that_failed_leave_no_memory_behind(void **state)
{
	struct bed *bed = *state;
	faas_invocation *invocation;
	int64_t before;

	bed_register(bed, "f",
	             FAAS_FUNCTION(.handler = wasteful_handler, .attempts = FAAS_MAX_ATTEMPTS, .backoff_ms = FAAS_NONE));
	invocation = bed_start(bed, "f", NULL);
	assert_int_equal(2, faas_run(bed->runtime, 2));
	before = bed->memory.bytes;
	assert_int_equal(500, faas_run(bed->runtime, 500));
	assert_in_range(bed->memory.bytes, 0, before + 65536);
	bed_run(bed);
	assert_int_equal(FAAS_MAX_ATTEMPTS, timing_of(invocation).attempts);
	faas_invocation_unref(invocation);
}

static void an_event_that_many_share_goes_with_the_last_of_its_letters(void **state)
{
	enum { COUNT = 20 };
	struct bed *bed = *state;
	struct trial trial = {.fails = ALWAYS, .clock = bed->clock};
	faas_function *functions[COUNT];
	int64_t before = 0;
	char name[16];

	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		bed_register(bed, name, TRIAL(.user = &trial, .attempts = 1));
		bed_bind(bed, "t", name);
		functions[i] = bed_find(bed, name);
	}
	assert_int_equal(COUNT, bed_emit(bed, "t", "small"));
	bed_run(bed);
	before = bed->memory.bytes;
	assert_int_equal(COUNT, faas_emit_event(bed->runtime,
	                                        FAAS_EVENT(.type = "t", .data = large, .data_bytes = sizeof(large)), NULL));
	bed_run(bed);
	assert_true(bed->memory.bytes >= before + (int64_t)sizeof(large));
	for (int i = 0; i < COUNT; i++) {
		assert_true(bed->memory.bytes >= before + (int64_t)sizeof(large));
		/* Some once more, and as often as they like. */
		if (i % 3 == 0) {
			assert_int_equal(2, faas_function_redrive(functions[i], NULL));
			bed_run(bed);
			assert_int_equal(2, bed_stats(bed, faas_function_name(functions[i])).dead_letters);
		}
		assert_int_equal(2, faas_function_purge(functions[i], NULL));
		faas_function_unref(functions[i]);
	}
	assert_true(bed->memory.bytes < before + (int64_t)sizeof(large));
}

/* The table of keys grows and shrinks as it can. */
static void keys_keep_their_order_without_memory_for_their_table(void **state)
{
	enum { KEYS = 300 };
	struct bed *bed = *state;
	struct trial trial = {.clock = bed->clock};
	char key[16];

	bed_register(bed, "f", TRIAL(.user = &trial, .order = FAAS_ORDER_BY_KEY));
	bed_queue(bed, "f", KEYED("0", "1"));
	bed_run(bed);
	for (int64_t n = 0; n < 40; n++) {
		trial.count = 0;
		for (int i = 0; i < 2 * KEYS; i++) {
			snprintf(key, sizeof(key), "%d", i % KEYS);
			bed_queue(bed, "f", KEYED(key, i < KEYS ? "1" : "2"));
		}
		memory_fail(&bed->memory, n % 20, n < 20 ? 1 : 1000000);
		while (faas_run(bed->runtime, 1000) > 0)
			;
		memory_fail(&bed->memory, -1, 0);
		bed_run(bed);
		assert_int_equal(2 * KEYS, trial.count);
		assert_int_equal((n + 1) * 2 * KEYS + 1, bed_stats(bed, "f").succeeded);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(attempts_that_failed_leave_no_memory_behind),
		BED_TEST(an_event_that_many_share_goes_with_the_last_of_its_letters),
		BED_TEST(keys_keep_their_order_without_memory_for_their_table),
	};

	return cmocka_run_group_tests_name("memory freed", tests, NULL, NULL);
}
