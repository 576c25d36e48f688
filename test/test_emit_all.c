/* SPDX-License-Identifier: MIT */
/* FAAS_EMIT_ALL: all matched functions take the event, or none does and nothing has changed. */
#include "support.h"

static struct record record;

static void add(struct bed *bed, const char *name, int32_t queue_events, int32_t queue_full)
{
	bed_register(bed, name,
	             ONCE(.handler = record_handler, .user = &record, .queue_events = queue_events,
	                           .queue_full = queue_full));
	bed_bind(bed, "all", name);
	bed_bind(bed, name, name);
}

static int setup(void **state)
{
	record_init(&record);
	return bed_setup(state);
}

static int teardown(void **state)
{
	int result = bed_teardown(state);

	record_deinit(&record);
	return result;
}

static int emit_all(struct bed *bed, const char *text, faas_emission **ret_emission)
{
	return faas_emit_event(bed->runtime,
	                       FAAS_EVENT(.type = "all", .flags = FAAS_EMIT_ALL, .data = text, .data_bytes = strlen(text)),
	                       ret_emission);
}

static int code_at(const faas_emission *emission, int index)
{
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

	assert_int_equal(FAAS_OK, faas_emission_entry(emission, index, &entry));
	assert_true((entry.code == FAAS_OK) == (entry.invocation != NULL));
	return entry.code;
}

static void count_settled(faas_emission *emission, void *user)
{
	int *count = user;

	(void)emission;
	(*count)++;
}

static void with_room_everywhere_all_take_it(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;

	add(bed, "a", 1, FAAS_FULL_REJECT);
	add(bed, "b", 1, FAAS_FULL_DROP_OLDEST);
	add(bed, "c", 0, FAAS_FULL_REJECT);
	assert_int_equal(3, emit_all(bed, "x", &emission));
	for (int i = 0; i < 3; i++)
		assert_int_equal(FAAS_OK, code_at(emission, i));
	bed_run(bed);
	assert_string_equal("a b c", record_functions(&record));
	assert_string_equal("x x x", record_texts(&record));
	assert_int_equal(3, bed_totals(bed).total.succeeded);
	assert_int_equal(0, bed_totals(bed).total.rejected);
	faas_emission_unref(emission);
}

static void one_that_is_full_spares_the_others(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;
	struct faas_runtime_stats before, after;
	int settled = 0;

	add(bed, "a", 0, FAAS_FULL_REJECT);
	add(bed, "full", 1, FAAS_FULL_REJECT);
	add(bed, "z", 0, FAAS_FULL_REJECT);
	assert_int_equal(1, bed_emit(bed, "full", "1"));
	assert_int_equal(1, bed_emit(bed, "z", "2"));
	before = bed_totals(bed);
	assert_int_equal(FAAS_EFULL, emit_all(bed, "x", &emission));
	after = bed_totals(bed);
	assert_int_equal(before.total.accepted, after.total.accepted);
	assert_int_equal(before.total.queued, after.total.queued);
	assert_int_equal(before.total.queued_bytes, after.total.queued_bytes);
	assert_int_equal(before.emitted + 1, after.emitted);
	assert_int_equal(3, faas_emission_count(emission));
	assert_int_equal(FAAS_EREFUSED, code_at(emission, 0));
	assert_int_equal(FAAS_EFULL, code_at(emission, 1));
	assert_int_equal(FAAS_EREFUSED, code_at(emission, 2));
	assert_int_equal(1, bed_stats(bed, "a").rejected_other);
	assert_int_equal(1, bed_stats(bed, "full").rejected_full);
	assert_int_equal(0, bed_stats(bed, "full").rejected_other);
	assert_int_equal(1, bed_stats(bed, "z").rejected_other);
	/* It is settled, since nobody took it. */
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 0));
	assert_int_equal(FAAS_OK, faas_emission_on_settled(emission, count_settled, &settled));
	assert_int_equal(1, settled);
	faas_emission_unref(emission);
	assert_int_equal(FAAS_EFULL, emit_all(bed, "x", NULL));
	bed_run(bed);
	assert_string_equal("1 2", record_texts(&record));
	/* And when there is room again, it works. */
	assert_int_equal(3, emit_all(bed, "y", NULL));
	bed_run(bed);
	assert_string_equal("1 2 y y y", record_texts(&record));
}

static void functions_that_drop_lose_nothing_for_an_event_that_is_refused(void **state)
{
	struct bed *bed = *state;
	struct faas_function_stats stats;

	add(bed, "dropper", 2, FAAS_FULL_DROP_OLDEST);
	add(bed, "full", 1, FAAS_FULL_REJECT);
	add(bed, "late", 2, FAAS_FULL_DROP_OLDEST);
	assert_int_equal(1, bed_emit(bed, "full", "f"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(1, bed_emit(bed, "dropper", i ? "d2" : "d1"));
		assert_int_equal(1, bed_emit(bed, "late", i ? "l2" : "l1"));
	}
	assert_int_equal(FAAS_EFULL, emit_all(bed, "x", NULL));
	stats = bed_stats(bed, "dropper");
	assert_int_equal(0, stats.dropped);
	assert_int_equal(2, stats.queued);
	assert_int_equal(1, stats.rejected_other);
	assert_int_equal(0, bed_stats(bed, "late").dropped);
	bed_run(bed);
	assert_int_equal(5, record.count);
}

static void functions_that_drop_make_room_when_all_agree(void **state)
{
	struct bed *bed = *state;
	faas_invocation *oldest = NULL;

	add(bed, "a", 1, FAAS_FULL_DROP_OLDEST);
	add(bed, "b", 1, FAAS_FULL_REJECT);
	add(bed, "c", 2, FAAS_FULL_DROP_OLDEST);
	assert_int_equal(FAAS_OK, faas_invoke_async(bed->runtime, "a", NULL, &oldest));
	assert_int_equal(1, bed_emit(bed, "c", "c1"));
	assert_int_equal(1, bed_emit(bed, "c", "c2"));
	assert_int_equal(3, emit_all(bed, "x", NULL));
	assert_int_equal(FAAS_EDROPPED, faas_invocation_outcome(oldest));
	assert_int_equal(1, bed_stats(bed, "a").dropped);
	assert_int_equal(1, bed_stats(bed, "c").dropped);
	bed_run(bed);
	/* "c" was first in line, and goes on in turns with the others. */
	assert_int_equal(4, record.count);
	assert_null(strstr(record_texts(&record), "c1"));
	assert_int_equal(4, bed_totals(bed).total.succeeded);
	faas_invocation_unref(oldest);
}

/* The runtime's own bound: what was dropped already would be lost for nothing. */
static void a_full_runtime_costs_functions_that_drop_nothing(void **state)
{
	struct bed bed;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 4));
	add(&bed, "full", 2, FAAS_FULL_DROP_OLDEST);
	add(&bed, "empty", 2, FAAS_FULL_DROP_OLDEST);
	bed_register(&bed, "other", ONCE(.handler = record_handler, .user = &record));
	bed_bind(&bed, "other", "other");
	assert_int_equal(1, bed_emit(&bed, "full", "1"));
	assert_int_equal(1, bed_emit(&bed, "full", "2"));
	assert_int_equal(1, bed_emit(&bed, "other", "3"));
	assert_int_equal(1, bed_emit(&bed, "other", "4"));
	assert_int_equal(FAAS_ERUNTIMEFULL, emit_all(&bed, "x", NULL));
	assert_int_equal(0, bed_stats(&bed, "full").dropped);
	assert_int_equal(2, bed_stats(&bed, "full").queued);
	assert_int_equal(0, bed_stats(&bed, "empty").queued);
	assert_int_equal(2, bed_totals(&bed).total.rejected);
	bed_run(&bed);
	assert_int_equal(4, record.count);
	bed_close(&bed);
	record_deinit(&record);
}

/* A queue too small for any event refuses; so nobody drops anything for it. */
static void what_can_never_fit_drops_nothing(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;

	add(bed, "a", 2, FAAS_FULL_DROP_OLDEST);
	bed_register(bed, "tiny",
	             ONCE(.handler = record_handler, .user = &record, .queue_bytes = 1,
	                           .queue_full = FAAS_FULL_DROP_OLDEST));
	bed_bind(bed, "all", "tiny");
	assert_int_equal(1, bed_emit(bed, "a", "1"));
	assert_int_equal(1, bed_emit(bed, "a", "2"));
	assert_int_equal(FAAS_EFULL, emit_all(bed, "x", &emission));
	assert_int_equal(FAAS_EREFUSED, code_at(emission, 0));
	assert_int_equal(FAAS_EFULL, code_at(emission, 1));
	assert_int_equal(0, bed_totals(bed).total.dropped);
	assert_int_equal(2, bed_totals(bed).total.queued);
	assert_int_equal(2, bed_totals(bed).queued_events);
	faas_emission_unref(emission);
	bed_run(bed);
	assert_string_equal("1 2", record_texts(&record));
}

/* One round: allocation number n of the emit fails. Whether there was such an allocation. */
static int emit_with_failure(int64_t n, faas_emission **ret_emission)
{
	static const char large[3000];
	struct faas_runtime_stats before, after;
	struct bed bed;
	int code, has_failed;

	bed_open(&bed, NULL);
	add(&bed, "a", 1, FAAS_FULL_DROP_OLDEST);
	add(&bed, "b", 1, FAAS_FULL_DROP_OLDEST);
	assert_int_equal(1, bed_emit(&bed, "a", "queued"));
	assert_int_equal(1, bed_emit(&bed, "b", "queued"));
	before = bed_totals(&bed);
	memory_fail(&bed.memory, n, 1);
	code = faas_emit_event(
		bed.runtime, FAAS_EVENT(.type = "all", .flags = FAAS_EMIT_ALL, .data = large, .data_bytes = sizeof(large)),
		ret_emission);
	has_failed = memory_has_failed(&bed.memory);
	memory_fail(&bed.memory, -1, 0);
	after = bed_totals(&bed);
	assert_int_equal(has_failed ? FAAS_ENOMEM : 2, code);
	assert_int_equal(before.total.accepted + (has_failed ? 0 : 2), after.total.accepted);
	assert_int_equal(before.total.dropped + (has_failed ? 0 : 2), after.total.dropped);
	if (has_failed) {
		assert_int_equal(before.total.queued, after.total.queued);
		assert_int_equal(before.total.queued_bytes, after.total.queued_bytes);
		assert_int_equal(before.queued_events, after.queued_events);
		assert_int_equal(before.queued_bytes, after.queued_bytes);
		for (int i = 0; ret_emission && *ret_emission && i < 2; i++)
			assert_int_equal(FAAS_ENOMEM, code_at(*ret_emission, i));
		assert_int_equal(2, emit_all(&bed, "again", NULL));
	}
	if (ret_emission)
		faas_emission_unref(*ret_emission);
	bed_run(&bed);
	bed_close(&bed);
	return has_failed;
}

static void without_memory_nobody_takes_it(void **state)
{
	int64_t n = 0, with_emission = 0;
	faas_emission *emission = NULL;

	(void)state;
	record_init(&record);
	while (emit_with_failure(n, NULL))
		n++;
	assert_in_range(n, 2, 100);
	while (emit_with_failure(with_emission, &emission)) {
		with_emission++;
		emission = NULL;
	}
	assert_in_range(with_emission, n, 100);
	record_deinit(&record);
}

static int emit_all_handler(faas_context *context, const faas_event *event)
{
	int *said = faas_context_user(context);

	(void)event;
	*said = faas_context_emit_event(context, FAAS_EVENT(.type = "all", .flags = FAAS_EMIT_ALL), NULL);
	return 0;
}

static void a_handler_may_emit_all_or_none(void **state)
{
	struct bed *bed = *state;
	int said = 77;

	bed_register(bed, "emitter", ONCE(.handler = emit_all_handler, .user = &said));
	bed_bind(bed, "go", "emitter");
	add(bed, "a", 0, FAAS_FULL_REJECT);
	add(bed, "b", 1, FAAS_FULL_REJECT);
	assert_int_equal(1, bed_emit(bed, "go", ""));
	assert_int_equal(1, faas_run(bed->runtime, 1));
	assert_int_equal(2, said);
	assert_int_equal(1, bed_emit(bed, "go", ""));
	assert_int_equal(1, bed_stats(bed, "b").queued);
	/* "b" is full as long as it has not run; whoever runs first decides. */
	bed_run(bed);
	assert_true(said == 2 || said == FAAS_EFULL);
	assert_int_equal(bed_stats(bed, "a").succeeded, bed_stats(bed, "b").succeeded);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(with_room_everywhere_all_take_it),
		TEST(one_that_is_full_spares_the_others),
		TEST(functions_that_drop_lose_nothing_for_an_event_that_is_refused),
		TEST(functions_that_drop_make_room_when_all_agree),
		cmocka_unit_test(a_full_runtime_costs_functions_that_drop_nothing),
		TEST(what_can_never_fit_drops_nothing),
		cmocka_unit_test(without_memory_nobody_takes_it),
		TEST(a_handler_may_emit_all_or_none),
	};

	return cmocka_run_group_tests_name("emit all", tests, NULL, NULL);
}
