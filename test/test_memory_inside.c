/* SPDX-License-Identifier: MIT */
/*
 * Refused allocations where handlers run: what handlers ask for, the steps themselves, the end of a runtime, and a
 * whole story with every one of its allocations refused in turn.
 */
#include "support.h"

/* ---- What handlers ask for --------------------------------------------------------------------------------------- */

struct asker {
	struct bed *bed;
	int64_t n; /* the allocation to refuse */
	int has_failed;
	int code;
	int (*ask)(struct asker *asker, faas_context *context);
	faas_emission *emission;
	faas_invocation *invocation;
};

static int asking_handler(faas_context *context, const faas_event *event)
{
	struct asker *asker = faas_context_user(context);

	(void)event;
	(void)faas_context_fail(context, "early");
	(void)faas_context_reply(context, "early", 5, "text/early");
	memory_fail(&asker->bed->memory, asker->n, 1);
	asker->code = asker->ask(asker, context);
	asker->has_failed = memory_has_failed(&asker->bed->memory);
	memory_fail(&asker->bed->memory, -1, 0);
	return 0;
}

static int ask_for_memory(struct asker *asker, faas_context *context)
{
	char *memory = faas_context_alloc(context, 50000);

	(void)asker;
	if (memory)
		memset(memory, 1, 50000);
	return memory ? FAAS_OK : FAAS_ENOMEM;
}

static int ask_to_reply(struct asker *asker, faas_context *context)
{
	(void)asker;
	return faas_context_reply(context, "late", 4, NULL);
}

static int ask_to_emit(struct asker *asker, faas_context *context)
{
	return faas_context_emit_event(context, FAAS_EVENT(.type = "t"), &asker->emission) == 1 ? FAAS_OK : FAAS_ENOMEM;
}

static int ask_to_invoke_later(struct asker *asker, faas_context *context)
{
	static const char large[100000];

	return faas_context_invoke_async(context, "g", FAAS_EVENT(.data = large, .data_bytes = sizeof(large)),
	                                 &asker->invocation);
}

static int ask_to_invoke(struct asker *asker, faas_context *context)
{
	return faas_context_invoke(context, "g", NULL, 0, &asker->invocation);
}

static int ask_to_log(struct asker *asker, faas_context *context)
{
	(void)asker;
	return faas_context_log(context, FAAS_LOG_ERROR, "x");
}

static const struct {
	const char *name;
	int (*ask)(struct asker *asker, faas_context *context);
} questions[] = {
	{"alloc", ask_for_memory}, {"reply", ask_to_reply}, {"emit", ask_to_emit}, {"invoke_async", ask_to_invoke_later},
	{"invoke", ask_to_invoke}, {"log", ask_to_log},
};

static void sink(void *user, int32_t level, const char *function, const char *message)
{
	(void)user;
	(void)level;
	(void)function;
	(void)message;
}

static void check_answer(const struct asker *asker, const faas_invocation *invocation)
{
	const void *data = NULL;

	assert_int_equal(FAAS_OK, faas_invocation_answer(invocation, &data, NULL, NULL));
	assert_string_equal(asker->ask == ask_to_reply && asker->code == FAAS_OK ? "late" : "early", data);
}

static int try_asking(size_t question, int64_t n)
{
	struct bed bed;
	struct asker asker = {.bed = &bed, .n = n, .ask = questions[question].ask};
	struct record record;
	faas_invocation *invocation = NULL;

	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.log = sink));
	bed_register(&bed, "f", ONCE(.handler = asking_handler, .user = &asker));
	bed_register(&bed, "g", ONCE(.handler = record_handler, .user = &record));
	bed_bind(&bed, "t", "g");
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, &invocation));
	assert_true(asker.code == FAAS_OK || asker.has_failed);
	if (asker.code != FAAS_OK)
		assert_true(asker.code == FAAS_ENOMEM || (asker.code == FAAS_EAGAIN && asker.ask == ask_to_invoke));
	check_answer(&asker, invocation);
	bed_run(&bed);
	if (asker.code == FAAS_OK && (asker.invocation || asker.emission))
		assert_int_equal(1, record.count);
	else
		assert_int_equal(0, record.count);
	assert_int_equal(0, bed_totals(&bed).total.queued + bed_totals(&bed).total.running);
	faas_emission_unref(asker.emission);
	faas_invocation_unref(asker.invocation);
	faas_invocation_unref(invocation);
	bed_close(&bed);
	record_deinit(&record);
	return asker.has_failed;
}

static void handlers_are_told_when_there_is_no_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(questions); i++) {
		int64_t n = 0;

		while (try_asking(i, n))
			n++;
		print_message("%s: %d allocations\n", questions[i].name, (int)n);
		assert_in_range(n, questions[i].ask == ask_to_log ? 0 : 1, 100);
	}
}

static int failing_handler(faas_context *context, const faas_event *event)
{
	struct asker *asker = faas_context_user(context);
	int result;

	(void)event;
	memory_fail(&asker->bed->memory, asker->n, 1);
	result = faas_context_fail(context, "the reason");
	asker->has_failed = memory_has_failed(&asker->bed->memory);
	memory_fail(&asker->bed->memory, -1, 0);
	return result;
}

static void a_failure_without_its_message_is_still_a_failure(void **state)
{
	(void)state;
	for (int64_t n = 0, has_failed = 1; has_failed; n++) {
		struct bed bed;
		struct asker asker = {.bed = &bed, .n = n};
		faas_invocation *invocation = NULL;

		bed_open(&bed, NULL);
		bed_register(&bed, "f", ONCE(.handler = failing_handler, .user = &asker));
		assert_int_equal(FAAS_EFAILED, faas_invoke(bed.runtime, "f", NULL, 0, &invocation));
		has_failed = asker.has_failed;
		assert_int_equal(1, faas_invocation_handler_result(invocation));
		assert_string_equal(has_failed ? faas_strerror(FAAS_EFAILED) : "the reason",
		                    faas_invocation_message(invocation));
		faas_invocation_unref(invocation);
		bed_close(&bed);
		assert_true(n < 10);
	}
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static int try_running(int64_t n, int64_t count)
{
	struct bed bed;
	struct record record;
	int done, has_failed;

	record_init(&record);
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = record_handler, .user = &record));
	bed_bind(&bed, "t", "f");
	for (int i = 0; i < 3; i++)
		assert_int_equal(1, bed_emit(&bed, "t", i == 0 ? "a" : i == 1 ? "b" : "c"));
	memory_fail(&bed.memory, n, count);
	done = faas_run(bed.runtime, 100);
	has_failed = memory_has_failed(&bed.memory);
	assert_true(done == FAAS_ENOMEM || done >= 0);
	assert_int_equal(done > 0 ? done : 0, record.count);
	assert_int_equal(3 - record.count, bed_stats(&bed, "f").queued);
	assert_true(has_failed || done == 3);
	if (done == FAAS_ENOMEM)
		assert_int_equal(FAAS_ENOMEM, count > 1 ? faas_run(bed.runtime, 1) : FAAS_ENOMEM);
	memory_fail(&bed.memory, -1, 0);
	/* What waits for memory says when it will look again. */
	if (record.count < 3) {
		int64_t due = bed_next_due(&bed);

		assert_in_range(due, 0, 100 * MS);
		assert_int_equal(FAAS_OK, faas_clock_advance(bed.clock, due));
	}
	bed_run(&bed);
	assert_string_equal("a b c", record_texts(&record));
	assert_int_equal(3, bed_stats(&bed, "f").succeeded);
	assert_int_equal(0, bed_stats(&bed, "f").init_failures);
	bed_close(&bed);
	record_deinit(&record);
	return has_failed;
}

static void steps_wait_for_memory_and_lose_nothing(void **state)
{
	int64_t n = 0;

	(void)state;
	while (try_running(n, 1))
		n++;
	assert_in_range(n, 2, 100);
	for (n = 0; try_running(n, 1000); n++)
		assert_in_range(n, 0, 100);
}

static int counting_init(faas_context *context, void **ret_state)
{
	int *inits = faas_context_user(context);

	*ret_state = inits;
	++*inits;
	return 0;
}

static void provisioned_workers_wait_for_memory(void **state)
{
	(void)state;
	for (int64_t n = 0, has_failed = 1; has_failed; n++) {
		struct bed bed;
		int inits = 0;

		bed_open(&bed, NULL);
		bed_register(
			&bed, "f",
			ONCE(.handler = nothing_handler, .init = counting_init, .user = &inits, .provisioned = 2));
		memory_fail(&bed.memory, n, 1);
		(void)faas_run(bed.runtime, 100);
		has_failed = memory_has_failed(&bed.memory);
		memory_fail(&bed.memory, -1, 0);
		bed_advance_ms(&bed, 1000);
		bed_run(&bed);
		assert_int_equal(2, inits);
		assert_int_equal(2, bed_stats(&bed, "f").warm);
		assert_int_equal(2, bed_stats(&bed, "f").provisioned_starts);
		bed_close(&bed);
		assert_true(n < 100);
	}
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

struct end {
	int settled, finis, releases;
};

static void end_fini(void *state, void *user)
{
	struct end *end = user;

	(void)state;
	end->finis++;
}

static void end_release(void *user)
{
	struct end *end = user;

	end->releases++;
}

static void end_settled(faas_invocation *invocation, void *user)
{
	struct end *end = user;

	(void)invocation;
	end->settled++;
}

static void closing_needs_no_memory(void **state)
{
	(void)state;
	for (int has_run = 0; has_run < 2; has_run++) {
		struct bed bed;
		struct end end = {.settled = 0};
		faas_invocation *invocation = NULL;

		bed_open(&bed, NULL);
		bed_register(&bed, "f",
		             ONCE(.handler = nothing_handler, .fini = end_fini, .release = end_release, .user = &end));
		bed_bind(&bed, "t", "f");
		if (has_run)
			assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
		for (int i = 0; i < 100; i++)
			assert_int_equal(1, bed_emit(&bed, "t", ""));
		assert_int_equal(FAAS_OK, faas_invoke_async(bed.runtime, "f", NULL, &invocation));
		assert_int_equal(FAAS_OK, faas_invocation_on_settled(invocation, end_settled, &end));
		memory_fail(&bed.memory, 0, INT64_MAX);
		assert_int_equal(FAAS_OK, faas_close(bed.runtime, FAAS_NEVER, 0));
		bed.runtime = NULL;
		assert_int_equal(1, end.settled);
		assert_int_equal(has_run, end.finis);
		assert_int_equal(1, end.releases);
		assert_int_equal(has_run ? FAAS_OK : FAAS_ECANCELLED, faas_invocation_outcome(invocation));
		faas_invocation_unref(invocation);
		bed_close(&bed);
	}
}

static void unregistering_needs_no_memory(void **state)
{
	struct bed *bed = *state;
	struct end end = {.settled = 0};

	bed_register(bed, "f",
	             ONCE(.handler = nothing_handler, .fini = end_fini, .release = end_release, .user = &end));
	for (int i = 0; i < 200; i++)
		bed_bind(bed, "t", "f");
	assert_int_equal(FAAS_OK, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	for (int i = 0; i < 100; i++)
		assert_int_equal(1, bed_emit(bed, "t", ""));
	memory_fail(&bed->memory, 0, INT64_MAX);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	assert_int_equal(0, bed_emit(bed, "t", ""));
	bed_run(bed);
	memory_fail(&bed->memory, -1, 0);
	assert_int_equal(1, end.finis);
	assert_int_equal(1, end.releases);
	assert_int_equal(100, bed_totals(bed).total.cancelled);
}

/* ---- A whole story ----------------------------------------------------------------------------------------------- */

static int relay_handler(faas_context *context, const faas_event *event)
{
	struct record *record = faas_context_user(context);
	uint64_t bytes;
	const void *data = faas_event_data(event, &bytes);

	(void)faas_context_alloc(context, 3000);
	/* Tried again by the test if it fails. */
	if (faas_context_emit_event(context, FAAS_EVENT(.type = "out", .data = data, .data_bytes = bytes), NULL) != 1)
		return 1;
	record_call(record, context, event);
	return faas_context_reply(context, data, bytes, NULL) == FAAS_OK ? 0 : 2;
}

/* The allocations from n on, `count` of them, are refused. Whether any was. */
static int tell_story(int64_t n, int64_t count)
{
	struct bed bed;
	struct record in, out;
	faas_function *function = NULL;
	uint64_t accepted = 0;
	int has_failed;

	record_init(&in);
	record_init(&out);
	bed_open(&bed, NULL);
	memory_fail(&bed.memory, n, count);
	while (faas_register_function(bed.runtime, "in", ONCE(.handler = relay_handler, .user = &in)) != FAAS_OK)
		continue;
	while (faas_register_function(bed.runtime, "out", ONCE(.handler = record_handler, .user = &out)) !=
	       FAAS_OK)
		continue;
	while (faas_bind(bed.runtime, FAAS_BINDING(.pattern = "in.*", .function = "in"), NULL) != FAAS_OK)
		continue;
	while (faas_bind(bed.runtime, FAAS_BINDING(.pattern = "out", .function = "out"), NULL) != FAAS_OK)
		continue;
	assert_int_equal(FAAS_OK, faas_function_find(bed.runtime, "in", &function));
	for (int i = 0; i < 20; i++) {
		faas_emission *emission = NULL;
		int code = faas_emit_event(
			bed.runtime, FAAS_EVENT(.type = i % 2 ? "in.a" : "in.b", .data = "x", .data_bytes = 1), &emission);

		assert_true(code == 1 || code == FAAS_ENOMEM);
		accepted += code == 1;
		if (i % 3 == 0) {
			(void)faas_run(bed.runtime, 2);
			bed_advance_ms(&bed, 10);
		}
		faas_emission_unref(emission);
		(void)bed_totals(&bed);
	}
	while (stats_of(function).queued > 0 || bed_totals(&bed).total.queued > 0) {
		(void)faas_run(bed.runtime, 5);
		bed_advance_ms(&bed, 10);
	}
	has_failed = memory_has_failed(&bed.memory);
	memory_fail(&bed.memory, -1, 0);
	assert_int_equal(accepted, stats_of(function).accepted);
	assert_int_equal(accepted, stats_of(function).succeeded + stats_of(function).failed);
	assert_int_equal(in.count, out.count);
	assert_true(has_failed || in.count == 20);
	faas_function_unref(function);
	bed_close(&bed);
	record_deinit(&in);
	record_deinit(&out);
	return has_failed;
}

static void a_story_survives_each_refused_allocation(void **state)
{
	static const int64_t counts[] = {1, 2, 7, 30};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		int64_t n = 0;

		while (tell_story(n, counts[i]))
			n++;
		print_message("story: %d allocations\n", (int)n);
		assert_in_range(n, 20, 10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_are_told_when_there_is_no_memory),
		cmocka_unit_test(a_failure_without_its_message_is_still_a_failure),
		cmocka_unit_test(steps_wait_for_memory_and_lose_nothing),
		cmocka_unit_test(provisioned_workers_wait_for_memory),
		cmocka_unit_test(closing_needs_no_memory),
		BED_TEST(unregistering_needs_no_memory),
		cmocka_unit_test(a_story_survives_each_refused_allocation),
	};

	return cmocka_run_group_tests_name("memory inside", tests, NULL, NULL);
}
