/* SPDX-License-Identifier: MIT */
/* Emitting: who takes an event, who refuses and why, how far a chain of events goes. */
#include "support.h"

/* A function that takes `queue_events` events and writes down what it runs. */
static void add(struct bed *bed, const char *name, int32_t queue_events, struct record *record)
{
	bed_register(bed, name, ONCE(.handler = record_handler, .user = record, .queue_events = queue_events));
	bed_bind(bed, "t", name);
	bed_bind(bed, name, name);
}

static void check_entry(const faas_emission *emission, int index, const char *function, int code)
{
	struct faas_emission_entry_stats entry;

	memset(&entry, 0xa5, sizeof(entry));
	entry.struct_size = sizeof(entry);
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, index, &entry));
	assert_string_equal(function, entry.function);
	assert_int_equal(code, entry.code);
	if (code == FAAS_OK)
		assert_string_equal(function, faas_invocation_function(entry.invocation));
	else
		assert_null(entry.invocation);
}

/* ---- Who takes it ------------------------------------------------------------------------------------------------ */

static void an_event_nobody_is_bound_to_is_counted(void **state)
{
	struct bed *bed = *state;
	faas_emission *emission = NULL;

	assert_int_equal(0, bed_emit(bed, "t", "x"));
	assert_int_equal(0, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(0, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .flags = FAAS_EMIT_ALL), NULL));
	assert_int_equal(0, faas_emission_count(emission));
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 0));
	assert_int_equal(0, faas_emission_cancel(emission));
	faas_emission_unref(emission);
	assert_int_equal(3, bed_totals(bed).emitted);
	assert_int_equal(3, bed_totals(bed).unmatched);
	assert_int_equal(0, bed_totals(bed).total.offered);
	assert_int_equal(0, bed_run(bed));
}

static void emit_says_how_many_functions_took_the_event(void **state)
{
	struct bed *bed = *state;
	struct record record;
	faas_emission *emission = NULL;

	record_init(&record);
	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(i, bed_emit(bed, "t", "x"));
		add(bed, name, 0, &record);
	}
	assert_int_equal(20, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(20, faas_emission_count(emission));
	check_entry(emission, 0, "f0", FAAS_OK);
	check_entry(emission, 19, "f19", FAAS_OK);
	faas_emission_unref(emission);
	bed_run(bed);
	assert_int_equal(20 * 19 / 2 + 20, record.count);
	assert_int_equal(21, bed_totals(bed).emitted);
	assert_int_equal(1, bed_totals(bed).unmatched);
	record_deinit(&record);
}

static void a_full_function_refuses_for_itself_only(void **state)
{
	struct bed *bed = *state;
	struct record record;
	faas_emission *emission = NULL;

	record_init(&record);
	add(bed, "a", 0, &record);
	add(bed, "full", 1, &record);
	add(bed, "z", 0, &record);
	assert_int_equal(1, bed_emit(bed, "full", "x"));
	assert_int_equal(2, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(2, bed_emit(bed, "t", "x"));
	assert_int_equal(3, faas_emission_count(emission));
	check_entry(emission, 0, "a", FAAS_OK);
	check_entry(emission, 1, "full", FAAS_EFULL);
	check_entry(emission, 2, "z", FAAS_OK);
	assert_int_equal(2, bed_stats(bed, "full").rejected_full);
	assert_int_equal(1, bed_stats(bed, "full").accepted);
	assert_int_equal(2, bed_stats(bed, "a").accepted);
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, FAAS_NEVER));
	bed_run(bed);
	assert_int_equal(5, record.count);
	faas_emission_unref(emission);
	record_deinit(&record);
}

static void when_all_refuse_the_first_refusal_is_the_answer(void **state)
{
	struct bed bed;
	struct record record;
	faas_emission *emission = NULL;

	(void)state;
	record_init(&record);
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 2));
	add(&bed, "a", 1, &record);
	add(&bed, "b", 0, &record);
	assert_int_equal(1, bed_emit(&bed, "a", "x"));
	assert_int_equal(1, bed_emit(&bed, "b", "x"));
	assert_int_equal(FAAS_EFULL, faas_emit_event(bed.runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(FAAS_EFULL, bed_emit(&bed, "t", "x"));
	assert_int_equal(FAAS_ERUNTIMEFULL, bed_emit(&bed, "b", "x"));
	assert_int_equal(2, faas_emission_count(emission));
	check_entry(emission, 0, "a", FAAS_EFULL);
	check_entry(emission, 1, "b", FAAS_ERUNTIMEFULL);
	assert_int_equal(FAAS_OK, faas_emission_wait(emission, 0));
	assert_int_equal(0, faas_emission_cancel(emission));
	faas_emission_unref(emission);
	assert_int_equal(2, bed_stats(&bed, "a").rejected_full);
	assert_int_equal(3, bed_stats(&bed, "b").rejected_runtime_full);
	assert_int_equal(5, bed_totals(&bed).total.rejected);
	assert_int_equal(5, bed_totals(&bed).emitted);
	bed_run(&bed);
	assert_int_equal(2, record.count);
	bed_close(&bed);
	record_deinit(&record);
}

static void entries_are_read_with_care(void **state)
{
	struct {
		struct faas_emission_entry_stats stats;
		uint64_t extra;
	} larger;
	struct bed *bed = *state;
	struct record record;
	faas_emission *emission = NULL;
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry), .code = 77};

	record_init(&record);
	add(bed, "f", 0, &record);
	assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(FAAS_ENOTFOUND, faas_emission_entry(emission, 1, &entry));
	assert_int_equal(FAAS_ENOTFOUND, faas_emission_entry(emission, INT32_MAX, &entry));
	assert_int_equal(FAAS_EINVAL, faas_emission_entry(emission, -1, &entry));
	assert_int_equal(FAAS_EINVAL, faas_emission_entry(NULL, 0, &entry));
	assert_int_equal(FAAS_EINVAL, faas_emission_entry(emission, 0, NULL));
	assert_int_equal(77, entry.code);
	entry.struct_size = 0;
	assert_int_equal(FAAS_EINVAL, faas_emission_entry(emission, 0, &entry));
	assert_int_equal(77, entry.code);
	entry.struct_size = offsetof(struct faas_emission_entry_stats, function);
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 0, &entry));
	assert_int_equal(FAAS_OK, entry.code);
	assert_null(entry.function);
	memset(&larger, 0xa5, sizeof(larger));
	larger.stats.struct_size = sizeof(larger);
	assert_int_equal(FAAS_OK, faas_emission_entry(emission, 0, &larger.stats));
	assert_string_equal("f", larger.stats.function);
	assert_int_equal(0, larger.extra);
	faas_emission_unref(emission);
	bed_run(bed);
	record_deinit(&record);
}

/* ---- Chains ------------------------------------------------------------------------------------------------------ */

enum { BY_CONTEXT, BY_RUNTIME, BY_CONTEXT_INVOKE_ASYNC, BY_INVOKE_ASYNC, BY_CONTEXT_INVOKE, BY_INVOKE, WAYS };

struct chain {
	int way;
	int runs;
	int last; /* what the last call said */
};

static int go_on(struct chain *chain, faas_context *context)
{
	faas_runtime *runtime = faas_context_runtime(context);
	const faas_event_config *event = FAAS_EVENT(.type = "next");

	switch (chain->way) {
	case BY_CONTEXT:
		return faas_context_emit_event(context, event, NULL);
	case BY_RUNTIME:
		return faas_emit_event(runtime, event, NULL);
	case BY_CONTEXT_INVOKE_ASYNC:
		return faas_context_invoke_async(context, "next", event, NULL);
	case BY_INVOKE_ASYNC:
		return faas_invoke_async(runtime, "next", event, NULL);
	case BY_CONTEXT_INVOKE:
		return faas_context_invoke(context, "next", event, 0, NULL);
	default:
		return faas_invoke(runtime, "next", event, 0, NULL);
	}
}

static int chain_handler(faas_context *context, const faas_event *event)
{
	struct chain *chain = faas_context_user(context);
	int said;

	(void)event;
	chain->runs++;
	said = go_on(chain, context);
	if (said < 0)
		chain->last = said;
	return 0;
}

static void a_chain_of_events_ends_after_16_hops(void **state)
{
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct bed bed;
		struct chain chain = {.way = way};

		bed_open(&bed, NULL);
		bed_register(&bed, "next", ONCE(.handler = chain_handler, .user = &chain));
		bed_bind(&bed, "next", "next");
		assert_int_equal(1, bed_emit(&bed, "next", ""));
		bed_run(&bed);
		/* The first event is no hop. */
		assert_int_equal(FAAS_MAX_HOPS + 1, chain.runs);
		assert_int_equal(FAAS_ELOOP, chain.last);
		assert_int_equal(FAAS_MAX_HOPS + 1, bed_stats(&bed, "next").succeeded);
		/* Hops are counted from each origin anew. */
		chain = (struct chain){.way = way};
		assert_int_equal(1, bed_emit(&bed, "next", ""));
		bed_run(&bed);
		assert_int_equal(FAAS_MAX_HOPS + 1, chain.runs);
		bed_close(&bed);
	}
}

struct probe {
	faas_emission *emission;
	faas_invocation *invocation;
	int said[3];
};

static int probe_handler(faas_context *context, const faas_event *event)
{
	struct probe *probe = faas_context_user(context);
	int said = faas_context_emit_event(context, FAAS_EVENT(.type = "probe"), NULL);

	(void)event;
	if (said != FAAS_ELOOP)
		return 0;
	probe->said[0] = faas_context_emit_event(context, FAAS_EVENT(.type = "probe"), &probe->emission);
	probe->said[1] = faas_context_invoke_async(context, "probe", NULL, &probe->invocation);
	probe->invocation = (faas_invocation *)probe;
	probe->said[2] = faas_context_invoke(context, "probe", NULL, 0, &probe->invocation);
	return 0;
}

static void a_loop_refused_leaves_nothing_behind(void **state)
{
	struct bed *bed = *state;
	struct probe probe = {.emission = NULL};
	struct faas_runtime_stats stats;

	bed_register(bed, "probe", ONCE(.handler = probe_handler, .user = &probe));
	bed_bind(bed, "probe", "probe");
	assert_int_equal(1, bed_emit(bed, "probe", ""));
	bed_run(bed);
	for (int i = 0; i < 3; i++)
		assert_int_equal(FAAS_ELOOP, probe.said[i]);
	assert_null(probe.emission);
	assert_null(probe.invocation);
	stats = bed_totals(bed);
	assert_int_equal(FAAS_MAX_HOPS + 1, stats.emitted);
	assert_int_equal(0, stats.total.rejected);
}

/* ---- From elsewhere, and at the end ------------------------------------------------------------------------------ */

static void fini_emit(void *state, void *user)
{
	faas_runtime **runtime = user;

	(void)state;
	if (faas_emit_event(*runtime, FAAS_EVENT(.type = "t", .data = "fini", .data_bytes = 4), NULL) != 1)
		*runtime = NULL;
}

static void a_callback_may_emit(void **state)
{
	struct bed *bed = *state;
	struct record record;
	faas_runtime *runtime = bed->runtime;

	record_init(&record);
	add(bed, "f", 0, &record);
	bed_register(bed, "g", ONCE(.handler = nothing_handler, .fini = fini_emit, .user = &runtime));
	bed_bind(bed, "g", "g");
	assert_int_equal(1, bed_emit(bed, "g", ""));
	bed_run(bed);
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "g"));
	bed_run(bed);
	assert_non_null(runtime);
	assert_string_equal("fini", record_texts(&record));
	record_deinit(&record);
}

static void a_drained_runtime_takes_nothing_from_outside(void **state)
{
	struct bed *bed = *state;
	struct record record;
	faas_emission *emission = NULL;
	faas_invocation *invocation = NULL;

	record_init(&record);
	add(bed, "f", 0, &record);
	assert_int_equal(1, bed_emit(bed, "t", "before"));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, 0));
	assert_int_equal(FAAS_ECLOSED, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t"), &emission));
	assert_int_equal(FAAS_ECLOSED, bed_emit(bed, "unmatched", ""));
	assert_int_equal(FAAS_ECLOSED, faas_invoke_async(bed->runtime, "f", NULL, &invocation));
	assert_int_equal(FAAS_ECLOSED, faas_invoke(bed->runtime, "f", NULL, 0, NULL));
	assert_null(emission);
	assert_null(invocation);
	assert_string_equal("before", record_texts(&record));
	/* An emit that is refused as a whole is offered to nobody; an invoke is offered to its function. */
	assert_int_equal(1, bed_totals(bed).emitted);
	assert_int_equal(2, bed_stats(bed, "f").rejected_closed);
	record_deinit(&record);
}

static int drain_step(faas_context *context, const faas_event *event)
{
	struct record *record = faas_context_user(context);

	record_call(record, context, event);
	return faas_context_emit_event(context, FAAS_EVENT(.type = "more", .data = "more", .data_bytes = 4), NULL) == 1 ? 0
	                                                                                                                : 1;
}

static void accepted_work_may_emit_while_the_runtime_drains(void **state)
{
	struct bed *bed = *state;
	struct record record;

	record_init(&record);
	bed_register(bed, "f", ONCE(.handler = drain_step, .user = &record));
	bed_register(bed, "g", ONCE(.handler = record_handler, .user = &record));
	bed_bind(bed, "t", "f");
	bed_bind(bed, "more", "g");
	assert_int_equal(1, bed_emit(bed, "t", "first"));
	assert_int_equal(FAAS_OK, faas_drain(bed->runtime, FAAS_NEVER));
	assert_string_equal("first more", record_texts(&record));
	assert_int_equal(2, bed_totals(bed).total.succeeded);
	record_deinit(&record);
}

static void refusals_after_the_end_of_a_function_stay_in_the_totals(void **state)
{
	struct bed *bed = *state;
	faas_function *function = NULL;

	bed_register(bed, "f", ONCE(.handler = nothing_handler));
	assert_int_equal(FAAS_OK, faas_function_find(bed->runtime, "f", &function));
	assert_int_equal(FAAS_OK, faas_unregister_function(bed->runtime, "f"));
	bed_run(bed);
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke_async(function, NULL, NULL));
	assert_int_equal(FAAS_ENOTFOUND, faas_function_invoke(function, NULL, 0, NULL));
	assert_int_equal(2, stats_of(function).rejected_closed);
	assert_int_equal(2, bed_totals(bed).total.rejected_closed);
	faas_function_unref(function);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(an_event_nobody_is_bound_to_is_counted),
		BED_TEST(emit_says_how_many_functions_took_the_event),
		BED_TEST(a_full_function_refuses_for_itself_only),
		cmocka_unit_test(when_all_refuse_the_first_refusal_is_the_answer),
		BED_TEST(entries_are_read_with_care),
		cmocka_unit_test(a_chain_of_events_ends_after_16_hops),
		BED_TEST(a_loop_refused_leaves_nothing_behind),
		BED_TEST(a_callback_may_emit),
		BED_TEST(a_drained_runtime_takes_nothing_from_outside),
		BED_TEST(accepted_work_may_emit_while_the_runtime_drains),
		BED_TEST(refusals_after_the_end_of_a_function_stay_in_the_totals),
	};

	return cmocka_run_group_tests_name("emit", tests, NULL, NULL);
}
