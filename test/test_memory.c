/* SPDX-License-Identifier: MIT */
/*
 * Each call that needs memory, with its allocation n refused for n = 0, 1, 2, ... until the call needs no more: it
 * says FAAS_ENOMEM and has changed nothing, or it gets by without. Whatever happens the accounts hold, the same call
 * succeeds when there is memory again, and nothing leaks. What handlers ask for is in test_memory_inside.c.
 */
#include "support.h"

#define UNTOUCHED UINT64_C(0x5a5a)

/* One try of one call. */
struct stage {
	struct bed bed;
	struct record record;
	int releases;
	uint64_t id; /* of a binding */
	faas_emission *emission;
	faas_invocation *invocation;
};

struct scenario {
	const char *name;
	void (*prepare)(struct stage *stage);
	int (*act)(struct stage *stage);    /* the call under test */
	int gets_by;                        /* it must succeed without the memory */
	void (*check)(struct stage *stage); /* after it has succeeded */
};

static void emit_x(struct stage *stage, const char *type, int takers)
{
	assert_int_equal(takers, bed_emit(&stage->bed, type, "x"));
}

static void add(struct stage *stage, const char *name)
{
	bed_register(&stage->bed, name, ONCE(.handler = record_handler, .user = &stage->record));
}

/* ---- Scenarios: registering -------------------------------------------------------------------------------------- */

static void count_release(void *user)
{
	struct stage *stage = user;

	stage->releases++;
}

static void prepare_nothing(struct stage *stage)
{
	(void)stage;
}

static int do_register(struct stage *stage)
{
	return faas_register_function(stage->bed.runtime, "new",
	                              ONCE(.handler = nothing_handler, .user = stage, .release = count_release));
}

static void check_registered(struct stage *stage)
{
	assert_int_equal(0, stage->releases);
	assert_int_equal(FAAS_OK, faas_invoke(stage->bed.runtime, "new", NULL, 0, NULL));
	assert_int_equal(FAAS_OK, faas_unregister_function(stage->bed.runtime, "new"));
	bed_run(&stage->bed);
	assert_int_equal(1, stage->releases);
}

static void prepare_queue(struct stage *stage)
{
	add(stage, "f");
	for (int i = 0; i < 5; i++) {
		bed_bind(&stage->bed, "t", "f");
		emit_x(stage, "t", 1);
	}
}

static int do_unregister(struct stage *stage)
{
	return faas_unregister_function(stage->bed.runtime, "f");
}

static void check_unregistered(struct stage *stage)
{
	emit_x(stage, "t", 0);
	assert_int_equal(5, bed_totals(&stage->bed).total.cancelled);
	assert_int_equal(0, bed_totals(&stage->bed).bindings);
	assert_int_equal(0, bed_totals(&stage->bed).functions);
}

/* ---- Scenarios: binding ------------------------------------------------------------------------------------------ */

static void prepare_two_functions(struct stage *stage)
{
	add(stage, "f");
	add(stage, "g");
}

static int do_bind(struct stage *stage)
{
	uint64_t id = UNTOUCHED;
	int code = faas_bind(stage->bed.runtime, FAAS_BINDING(.pattern = "new.*", .function = "f"), &id);

	assert_true((code == FAAS_OK) == (id != UNTOUCHED));
	return code;
}

static int do_bind_with_filter(struct stage *stage)
{
	return faas_bind(stage->bed.runtime,
	                 FAAS_BINDING(.pattern = "new.*", .function = "f", .filter = "type LIKE 'new.%' AND EXISTS id"),
	                 NULL);
}

static void check_bound(struct stage *stage)
{
	emit_x(stage, "new.x", 1);
	bed_run(&stage->bed);
	assert_string_equal("f", record_functions(&stage->record));
}

/* The next to go is one too many dead: everything is rebuilt. */
static void prepare_dying_bindings(struct stage *stage)
{
	uint64_t ids[100];

	add(stage, "f");
	for (size_t i = 0; i < COUNT_OF(ids); i++)
		ids[i] = bed_bind(&stage->bed, "dying", "f");
	for (size_t i = 0; i < 82; i++)
		assert_int_equal(FAAS_OK, faas_unbind(stage->bed.runtime, ids[i]));
	bed_bind(&stage->bed, "kept", "f");
	stage->id = ids[82];
}

static int do_unbind(struct stage *stage)
{
	return faas_unbind(stage->bed.runtime, stage->id);
}

static void check_unbound(struct stage *stage)
{
	emit_x(stage, "kept", 1);
	emit_x(stage, "dying", 1);
	assert_int_equal(FAAS_ENOTFOUND, faas_unbind(stage->bed.runtime, stage->id));
	assert_int_equal(18, bed_totals(&stage->bed).bindings);
}

/* ---- Scenarios: invoking and running ----------------------------------------------------------------------------- */

static void prepare_function(struct stage *stage)
{
	add(stage, "f");
}

static const char large[100000];

static int do_invoke_async(struct stage *stage)
{
	return faas_invoke_async(stage->bed.runtime, "f", NULL, &stage->invocation);
}

static int do_invoke_async_large(struct stage *stage)
{
	return faas_invoke_async(stage->bed.runtime, "f", FAAS_EVENT(.data = large, .data_bytes = sizeof(large)), NULL);
}

static void check_invoked(struct stage *stage)
{
	assert_int_equal(1, bed_stats(&stage->bed, "f").queued);
	bed_run(&stage->bed);
	assert_int_equal(1, stage->record.count);
	if (stage->invocation)
		assert_int_equal(FAAS_OK, faas_invocation_outcome(stage->invocation));
}

static void check_nothing(struct stage *stage)
{
	(void)stage;
}

static int do_runtime_stats(struct stage *stage)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	return faas_runtime_stats(stage->bed.runtime, &stats);
}

static int do_function_stats(struct stage *stage)
{
	faas_function *function = NULL;
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	int code = faas_function_find(stage->bed.runtime, "f", &function);

	if (code == FAAS_OK)
		code = faas_function_stats(function, &stats);
	faas_function_unref(function);
	return code;
}

static void prepare_invocation(struct stage *stage)
{
	add(stage, "f");
	assert_int_equal(FAAS_OK, do_invoke_async(stage));
}

static int do_cancel(struct stage *stage)
{
	return faas_invocation_cancel(stage->invocation);
}

static void check_cancelled(struct stage *stage)
{
	bed_run(&stage->bed);
	assert_int_equal(0, stage->record.count);
	assert_int_equal(1, bed_stats(&stage->bed, "f").cancelled);
}

/* ---- The driver -------------------------------------------------------------------------------------------------- */

static const struct scenario scenarios[] = {
	{"register", prepare_nothing, do_register, 0, check_registered},
	{"unregister", prepare_queue, do_unregister, 1, check_unregistered},
	{"bind", prepare_two_functions, do_bind, 0, check_bound},
	{"bind with a filter", prepare_two_functions, do_bind_with_filter, 0, check_bound},
	{"unbind", prepare_dying_bindings, do_unbind, 1, check_unbound},
	{"invoke_async", prepare_function, do_invoke_async, 0, check_invoked},
	{"invoke_async large", prepare_function, do_invoke_async_large, 0, check_invoked},
	{"runtime_stats", prepare_invocation, do_runtime_stats, 1, check_nothing},
	{"function_stats", prepare_invocation, do_function_stats, 1, check_nothing},
	{"cancel", prepare_invocation, do_cancel, 1, check_cancelled},
};

static void begin(struct stage *stage, const struct scenario *scenario)
{
	memset(stage, 0, sizeof(*stage));
	record_init(&stage->record);
	bed_open(&stage->bed, NULL);
	scenario->prepare(stage);
}

static void end(struct stage *stage)
{
	faas_emission_unref(stage->emission);
	faas_invocation_unref(stage->invocation);
	bed_run(&stage->bed);
	bed_close(&stage->bed);
	record_deinit(&stage->record);
}

struct call {
	const struct scenario *scenario;
	struct stage *stage;
};

static int act(void *arg)
{
	struct call *call = arg;

	return call->scenario->act(call->stage);
}

/* Whether there was an allocation number n to refuse. */
static int try_with_failure(const void *given, int64_t n)
{
	const struct scenario *scenario = given;
	struct stage stage;
	struct call call = {scenario, &stage};
	int has_failed;

	begin(&stage, scenario);
	has_failed = bed_refuse(&stage.bed, n, scenario->gets_by, act, &call);
	scenario->check(&stage);
	end(&stage);
	return has_failed;
}

static void each_call_survives_each_refused_allocation(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		refuse_each(scenarios[i].name, try_with_failure, &scenarios[i]);
}

/* ---- Many in a row, so that every table grows and is rebuilt ----------------------------------------------------- */

static void functions_in_a_row_survive(void **state)
{
	struct bed *bed = *state;
	int64_t refused = 0;

	for (int i = 0; i < 300; i++) {
		char name[16];
		int code = FAAS_ENOMEM;

		snprintf(name, sizeof(name), "f%d", i);
		for (int64_t n = 0; code == FAAS_ENOMEM; n++) {
			memory_fail(&bed->memory, n, 1);
			code = faas_register_function(bed->runtime, name, ONCE(.handler = nothing_handler));
			assert_int_equal(i + (code == FAAS_OK), bed_totals(bed).functions);
			refused += code == FAAS_ENOMEM;
		}
		assert_int_equal(FAAS_OK, code);
	}
	memory_fail(&bed->memory, -1, 0);
	assert_in_range(refused, 300, 3000);
}

static void bindings_in_a_row_survive(void **state)
{
	struct bed *bed = *state;
	int64_t refused = 0;
	uint64_t ids[300];
	char text[32];

	bed_register(bed, "f", ONCE(.handler = nothing_handler));
	for (int i = 0; i < 300; i++) {
		int code = FAAS_ENOMEM;

		snprintf(text, sizeof(text), i % 3 ? "a.*.%d" : "a.b.%d.>", i);
		for (int64_t n = 0; code == FAAS_ENOMEM; n++) {
			memory_fail(&bed->memory, n, 1);
			code = faas_bind(bed->runtime, FAAS_BINDING(.pattern = text, .function = "f"), &ids[i]);
			assert_int_equal(i + (code == FAAS_OK), bed_totals(bed).bindings);
			refused += code == FAAS_ENOMEM;
		}
		assert_int_equal(FAAS_OK, code);
	}
	memory_fail(&bed->memory, -1, 0);
	assert_in_range(refused, 300, 30000);
	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), i % 3 ? "a.x.%d" : "a.b.%d.c", i);
		assert_int_equal(1, bed_emit(bed, text, ""));
	}
	for (int i = 0; i < 300; i++) {
		memory_fail(&bed->memory, i % 20, 1);
		assert_int_equal(FAAS_OK, faas_unbind(bed->runtime, ids[i]));
		memory_fail(&bed->memory, -1, 0);
		assert_int_equal(0, bed_emit(bed, text, "") - (i < 299));
	}
}

/* ---- Calls with more to say than yes or no ----------------------------------------------------------------------- */

static void opening_survives_each_refused_allocation(void **state)
{
	(void)state;
	for (int64_t n = 0, has_failed = 1; has_failed; n++) {
		struct memory memory;
		faas_clock *clock = NULL;
		faas_runtime *runtime = NULL;
		int code;

		assert_int_equal(FAAS_OK, faas_clock_new_manual(0, &clock));
		memory_init(&memory);
		memory_fail(&memory, n, 1);
		code = faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = clock, .allocator = &memory.config), &runtime);
		has_failed = memory_has_failed(&memory);
		assert_int_equal(has_failed ? FAAS_ENOMEM : FAAS_OK, code);
		if (has_failed)
			assert_null(runtime);
		else
			assert_int_equal(FAAS_OK, faas_close(runtime, 0, 0));
		memory_check_empty(&memory);
		faas_clock_unref(clock);
	}
}

/* Each function takes or refuses for itself, so some may have the event. */
static int try_fan_out(int64_t n, int count, int with_emission, const char *filter)
{
	struct bed bed;
	struct record record;
	struct faas_runtime_stats after;
	faas_emission *emission = NULL;
	char name[16];
	int taken, has_failed;

	record_init(&record);
	bed_open(&bed, NULL);
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		bed_register(&bed, name, ONCE(.handler = record_handler, .user = &record));
		assert_int_equal(
			FAAS_OK, faas_bind(bed.runtime, FAAS_BINDING(.pattern = "t", .function = name, .filter = filter), NULL));
	}
	memory_fail(&bed.memory, n, 1);
	taken = faas_emit_event(bed.runtime, FAAS_EVENT(.type = "t", .data = large, .data_bytes = 300),
	                        with_emission ? &emission : NULL);
	has_failed = memory_has_failed(&bed.memory);
	memory_fail(&bed.memory, -1, 0);
	after = bed_totals(&bed);
	assert_true(has_failed || taken == count);
	assert_true(taken == FAAS_ENOMEM || taken > 0);
	assert_int_equal(taken > 0 ? taken : 0, after.total.accepted);
	assert_int_equal(after.total.accepted, after.total.queued);
	if (after.emitted > 0)
		assert_int_equal(count, after.total.offered);
	else
		assert_int_equal(0, after.total.offered);
	if (emission)
		assert_int_equal(count, faas_emission_count(emission));
	faas_emission_unref(emission);
	bed_run(&bed);
	assert_int_equal(taken > 0 ? taken : 0, record.count);
	assert_int_equal(count, bed_emit(&bed, "t", ""));
	bed_run(&bed);
	bed_close(&bed);
	record_deinit(&record);
	return has_failed;
}

static void emitting_survives_each_refused_allocation(void **state)
{
	static const int counts[] = {1, 2, 20, 100};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		for (int way = 0; way < 4; way++) {
			const char *filter = way & 2 ? "EXISTS id AND type = 't'" : NULL;
			int64_t n = 0;

			while (try_fan_out(n, counts[i], way & 1, filter))
				n++;
			print_message("%d functions%s: %d allocations\n", counts[i], filter ? " with filters" : "", (int)n);
			assert_in_range(n, 1, 1000);
		}
}

/* A synchronous call is over when it returns; without memory it has not run. */
static int try_invoke(int64_t n, uint32_t flags)
{
	struct bed bed;
	struct record record;
	faas_invocation *invocation = NULL;
	int code, has_failed;

	record_init(&record);
	bed_open(&bed, NULL);
	bed_register(&bed, "f", ONCE(.handler = record_handler, .user = &record, .flags = flags));
	memory_fail(&bed.memory, n, 1);
	code = faas_invoke(bed.runtime, "f", NULL, 0, &invocation);
	has_failed = memory_has_failed(&bed.memory);
	memory_fail(&bed.memory, -1, 0);
	assert_true(code == FAAS_OK || (has_failed && (code == FAAS_ENOMEM || code == FAAS_EAGAIN)));
	assert_int_equal(code == FAAS_OK, record.count);
	assert_int_equal(1, bed_stats(&bed, "f").offered);
	assert_int_equal(code == FAAS_OK, bed_stats(&bed, "f").succeeded);
	assert_int_equal(0, bed_stats(&bed, "f").queued + bed_stats(&bed, "f").running);
	if (invocation)
		assert_int_equal(code == FAAS_OK ? FAAS_OK : FAAS_ECANCELLED, faas_invocation_outcome(invocation));
	else
		assert_int_equal(1, bed_stats(&bed, "f").rejected_other);
	faas_invocation_unref(invocation);
	bed_advance_ms(&bed, 1000);
	assert_int_equal(FAAS_OK, faas_invoke(bed.runtime, "f", NULL, 0, NULL));
	bed_close(&bed);
	record_deinit(&record);
	return has_failed;
}

static void invoking_survives_each_refused_allocation(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags <= FAAS_FUNCTION_INLINE; flags++) {
		int64_t n = 0;

		while (try_invoke(n, flags))
			n++;
		print_message("invoke: %d allocations\n", (int)n);
		assert_in_range(n, 2, 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_survives_each_refused_allocation),
		BED_TEST(functions_in_a_row_survive),
		BED_TEST(bindings_in_a_row_survive),
		cmocka_unit_test(opening_survives_each_refused_allocation),
		cmocka_unit_test(emitting_survives_each_refused_allocation),
		cmocka_unit_test(invoking_survives_each_refused_allocation),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
