/* SPDX-License-Identifier: MIT */
/*
 * Refused allocations where delivery is concerned: destinations, keys, deferrals, completions, dead letters. Each call
 * says FAAS_ENOMEM and has changed nothing, or gets by without; and a whole story survives with every one of its
 * allocations refused in turn. Manual mode.
 */
#include "support_trial.h"

#define ALWAYS 1000000

static const char large[100000];

static struct scene {
	struct bed bed;
	struct trial trial;
	struct hold hold;
	faas_function *function; /* "f" */
	faas_invocation *letter;
	int taken; /* records that a destination ran */
} scene;

struct scenario {
	const char *name;
	void (*prepare)(void);
	int (*act)(void);    /* the call under test */
	int gets_by;         /* it must succeed without the memory */
	void (*check)(void); /* after it has succeeded */
};

static int taker(faas_context *context, const faas_event *event)
{
	(void)event;
	scene.taken += faas_context_record(context) != NULL;
	return 0;
}

static void add(const faas_function_config *config)
{
	bed_register(&scene.bed, "f", config);
	scene.function = bed_find(&scene.bed, "f");
}

static void prepare_nothing(void)
{
	bed_register(&scene.bed, "g", FAAS_FUNCTION(.handler = taker));
}

/* ---- Registering and accepting ----------------------------------------------------------------------------------- */

static int do_register(void)
{
	return faas_register_function(scene.bed.runtime, "f",
	                              FAAS_FUNCTION(.handler = nothing_handler, .order = FAAS_ORDER_BY_KEY,
	                                            .on_success = "g", .on_failure = "nobody", .rate_per_s = 1000,
	                                            .reserved_concurrency = 1, .warm_policy = FAAS_WARM_DEMAND));
}

static void check_registered(void)
{
	bed_queue(&scene.bed, "f", KEYED("k", "a"));
	bed_run(&scene.bed);
	assert_int_equal(1, scene.taken);
}

static void prepare_destination(void)
{
	prepare_nothing();
	add(FAAS_FUNCTION(.handler = nothing_handler, .order = FAAS_ORDER_BY_KEY, .on_success = "g"));
}

static int do_invoke_async(void)
{
	return faas_invoke_async(scene.bed.runtime, "f",
	                         FAAS_EVENT(.key = "k", .data = large, .data_bytes = sizeof(large), .timeout_ms = 1000),
	                         NULL);
}

static void check_recorded(void)
{
	bed_run(&scene.bed);
	assert_int_equal(1, scene.taken);
	assert_int_equal(1, bed_stats(&scene.bed, "f").records);
}

/* ---- Dead letters ------------------------------------------------------------------------------------------------ */

static void prepare_letters(void)
{
	scene.trial.fails = ALWAYS;
	add(TRIAL(.user = &scene.trial, .attempts = 1));
	for (int i = 0; i < 5; i++)
		bed_queue(&scene.bed, "f", FAAS_EVENT(.data = large, .data_bytes = sizeof(large)));
	bed_run(&scene.bed);
	assert_int_equal(5, bed_stats(&scene.bed, "f").dead_letters);
}

static int do_redrive(void)
{
	uint64_t position = 0;
	faas_invocation *letter = NULL;
	int code = faas_function_dead_letter(scene.function, &position, &letter);

	if (code == FAAS_OK)
		code = faas_function_redrive(scene.function, letter);
	faas_invocation_unref(letter);
	return code == 1 ? FAAS_OK : code;
}

static void check_redriven(void)
{
	assert_int_equal(4, bed_stats(&scene.bed, "f").dead_letters);
	assert_int_equal(1, bed_stats(&scene.bed, "f").queued);
	scene.trial.fails = 0;
	bed_run(&scene.bed);
	assert_int_equal(1, bed_stats(&scene.bed, "f").succeeded);
}

static int do_purge(void)
{
	return faas_function_purge(scene.function, NULL) == 5 ? FAAS_OK : FAAS_ENOTFOUND;
}

static void check_purged(void)
{
	assert_int_equal(0, bed_stats(&scene.bed, "f").dead_letters);
}

static void prepare_many(void)
{
	prepare_destination();
	for (int i = 0; i < 100; i++)
		bed_queue(&scene.bed, "f", KEYED(i % 2 ? "k" : "l", "a"));
}

static int do_cancel_all(void)
{
	return faas_function_cancel_all(scene.function) == 100 ? FAAS_OK : FAAS_ENOTFOUND;
}

static void check_cancelled(void)
{
	bed_run(&scene.bed);
	assert_int_equal(100, bed_stats(&scene.bed, "f").cancelled);
	assert_int_equal(0, scene.taken);
}

/* ---- Completing -------------------------------------------------------------------------------------------------- */

static void prepare_deferral(void)
{
	prepare_nothing();
	scene.hold.reply = "early";
	add(FAAS_FUNCTION(.handler = hold_handler, .user = &scene.hold, .attempts = 2, .on_success = "g",
	                  .jitter_percent = FAAS_NONE));
	scene.letter = bed_start(&scene.bed, "f", NULL);
	bed_run(&scene.bed);
	assert_int_equal(1, scene.hold.count);
}

/* The destination is registered when somebody passes records on to it already. */
static void prepare_deferral_first(void)
{
	scene.hold.reply = "early";
	add(FAAS_FUNCTION(.handler = hold_handler, .user = &scene.hold, .attempts = 2, .on_success = "g",
	                  .jitter_percent = FAAS_NONE));
	prepare_nothing();
	scene.letter = bed_start(&scene.bed, "f", NULL);
	bed_run(&scene.bed);
	assert_int_equal(1, scene.hold.count);
}

static int do_complete(void)
{
	return faas_complete(scene.hold.tokens[0], large, sizeof(large), "application/octet-stream");
}

static void check_completed(void)
{
	uint64_t bytes = 0;

	assert_int_equal(FAAS_OK, faas_invocation_answer(scene.letter, NULL, &bytes, NULL));
	assert_int_equal(sizeof(large), bytes);
	bed_run(&scene.bed);
	assert_int_equal(1, scene.taken);
}

static int do_complete_failed(void)
{
	return faas_complete_failed(scene.hold.tokens[0], "why");
}

static void check_failed(void)
{
	assert_int_equal(FAAS_STATUS_DELAYED, faas_invocation_status(scene.letter));
	bed_pass_ms(&scene.bed, 100);
	bed_run(&scene.bed);
	assert_int_equal(2, scene.hold.count);
	assert_int_equal(FAAS_OK, faas_complete(scene.hold.tokens[1], NULL, 0, NULL));
}

static int do_give_back(void)
{
	faas_deferral_unref(scene.hold.tokens[0]);
	scene.hold.tokens[0] = NULL;
	return FAAS_OK;
}

static int do_cancel(void)
{
	return faas_invocation_cancel(scene.letter);
}

static void check_nothing(void)
{
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(scene.letter));
}

/* ---- The driver -------------------------------------------------------------------------------------------------- */

static const struct scenario scenarios[] = {
	{"register", prepare_nothing, do_register, 0, check_registered},
	{"invoke_async", prepare_destination, do_invoke_async, 0, check_recorded},
	{"redrive", prepare_letters, do_redrive, 0, check_redriven},
	{"purge", prepare_letters, do_purge, 1, check_purged},
	{"cancel_all", prepare_many, do_cancel_all, 1, check_cancelled},
	{"complete", prepare_deferral, do_complete, 0, check_completed},
	{"complete, the destination being the younger", prepare_deferral_first, do_complete, 0, check_completed},
	{"complete_failed", prepare_deferral, do_complete_failed, 1, check_failed},
	{"deferral_unref", prepare_deferral, do_give_back, 1, check_failed},
	{"cancel", prepare_deferral, do_cancel, 1, check_nothing},
};

static void begin(void)
{
	memset(&scene, 0, sizeof(scene));
	bed_open(&scene.bed, NULL);
	scene.trial.clock = scene.bed.clock;
}

static void end(void)
{
	faas_invocation_unref(scene.letter);
	faas_function_unref(scene.function);
	bed_run(&scene.bed);
	hold_clear(&scene.hold);
	bed_close(&scene.bed);
}

static int act(void *arg)
{
	const struct scenario *scenario = arg;

	return scenario->act();
}

/* Whether there was an allocation number n to refuse. */
static int try_with_failure(const void *given, int64_t n)
{
	const struct scenario *scenario = given;
	struct scenario own = *scenario;
	int has_failed;

	begin();
	scenario->prepare();
	has_failed = bed_refuse(&scene.bed, n, scenario->gets_by, act, &own);
	scenario->check();
	end();
	return has_failed;
}

static void each_call_survives_each_refused_allocation(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		refuse_each(scenarios[i].name, try_with_failure, &scenarios[i]);
}

/* ---- In handlers ------------------------------------------------------------------------------------------------- */

static struct {
	int64_t n;
	int code, has_failed, later;
	char error[256];
} asked;

static int deferring_handler(faas_context *context, const faas_event *event)
{
	faas_deferral *token = NULL;

	(void)event;
	memory_fail(&scene.bed.memory, asked.n, 1);
	asked.code = faas_context_defer(context, &token);
	asked.has_failed = memory_has_failed(&scene.bed.memory);
	memory_fail(&scene.bed.memory, -1, 0);
	if (asked.code == FAAS_ENOMEM)
		asked.later = faas_context_defer(context, &token);
	(void)faas_complete(token, NULL, 0, NULL);
	faas_deferral_unref(token);
	return 0;
}

static void a_refused_deferral_can_be_asked_for_again(void **state)
{
	(void)state;
	memset(&asked, 0, sizeof(asked));
	do {
		begin();
		add(FAAS_FUNCTION(.handler = deferring_handler));
		assert_int_equal(FAAS_OK, faas_invoke(scene.bed.runtime, "f", NULL, 0, NULL));
		assert_int_equal(asked.has_failed ? FAAS_ENOMEM : FAAS_OK, asked.code);
		assert_int_equal(FAAS_OK, asked.later);
		end();
		asked.n++;
	} while (asked.has_failed);
	assert_in_range(asked.n, 2, 10);
}

static int failing_to_tell(faas_context *context, const faas_event *event)
{
	(void)event;
	/* The attempt's own small memory is used up, so that the chain's text needs an allocation. */
	for (int i = 0; i < 50; i++)
		(void)faas_context_alloc(context, 100);
	memory_fail(&scene.bed.memory, 0, 1000);
	asked.code = faas_context_invoke_async(context, "f", NULL, NULL);
	snprintf(asked.error, sizeof(asked.error), "%s", faas_context_error(context));
	memory_fail(&scene.bed.memory, -1, 0);
	if (asked.code == FAAS_ENOMEM)
		asked.code = faas_context_invoke_async(context, "f", NULL, NULL);
	return 0;
}

static void an_error_is_told_without_memory_too(void **state)
{
	(void)state;
	memset(&asked, 0, sizeof(asked));
	begin();
	add(FAAS_FUNCTION(.handler = failing_to_tell));
	bed_queue(&scene.bed, "f", NULL);
	bed_run(&scene.bed);
	assert_int_equal(FAAS_ELOOP, asked.code);
	assert_true(strlen(asked.error) > 0);
	end();
}

/* ---- A record that finds no memory ------------------------------------------------------------------------------- */

/* The record of "f" needs room for the record of "g" in turn. */
static int try_passing_on(int64_t n)
{
	struct faas_function_stats f, g;
	int has_failed;

	begin();
	bed_register(&scene.bed, "h", FAAS_FUNCTION(.handler = taker));
	bed_register(&scene.bed, "g", FAAS_FUNCTION(.handler = taker, .on_success = "h"));
	scene.trial.fails = ALWAYS;
	add(TRIAL(.user = &scene.trial, .attempts = 1, .on_failure = "g"));
	for (int i = 0; i < 300; i++)
		bed_queue(&scene.bed, "f", KEYED("k", "a"));
	memory_fail(&scene.bed.memory, n, 20);
	/* It may itself be refused memory. */
	while (faas_run(scene.bed.runtime, 1000) > 0)
		;
	has_failed = memory_has_failed(&scene.bed.memory);
	memory_fail(&scene.bed.memory, -1, 0);
	bed_pass_ms(&scene.bed, 1000);
	bed_run(&scene.bed);
	f = bed_stats(&scene.bed, "f");
	g = bed_stats(&scene.bed, "g");
	assert_int_equal(300, f.failed);
	assert_int_equal(300, f.records + f.records_refused);
	assert_int_equal(f.records_refused, f.dead_letters + f.dead_letters_lost);
	assert_int_equal(f.records, g.accepted);
	assert_int_equal(f.records_refused, g.rejected_other);
	assert_int_equal(g.accepted, g.records + g.records_refused);
	end();
	return has_failed;
}

static void a_record_that_finds_no_memory_is_a_dead_letter(void **state)
{
	int64_t n = 0;

	(void)state;
	while (try_passing_on(n))
		n++;
	assert_in_range(n, 1, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_survives_each_refused_allocation),
		cmocka_unit_test(a_refused_deferral_can_be_asked_for_again),
		cmocka_unit_test(an_error_is_told_without_memory_too),
		cmocka_unit_test(a_record_that_finds_no_memory_is_a_dead_letter),
	};

	return cmocka_run_group_tests_name("memory of delivery", tests, NULL, NULL);
}
