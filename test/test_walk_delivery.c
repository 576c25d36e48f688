/* SPDX-License-Identifier: MIT */
/*
 * A random walk through all that delivery is made of: retries, destinations, dead letters, keys, rates, reservations,
 * deferrals, demand; with allocations refused now and then. Calls may say FAAS_ENOMEM; but the accounts hold after every
 * step, each callback comes exactly once, and at the end nothing is on the way and no memory is lost. Manual mode.
 *
 * FAAS_TEST_SEED repeats a walk; FAAS_TEST_REPEAT says how many there are.
 */
#include "support_run.h"

#define OPERATIONS 1000
#define HANDLES 300
#define SLOTS 4
#define TOKENS 60

static struct walk {
	struct stage stage;
	uint64_t seed;
	faas_invocation *handles[HANDLES];
	int told[HANDLES];
	int handle_count;
	faas_deferral *tokens[TOKENS];
	int depth, refuses;
	const char *complaint;
} * walk;

static const char *const names[SLOTS] = {"ant", "bee", "cat", "dog"};
static const char *const keys[] = {NULL, "x", "y", "z"};

static int draw(int bound)
{
	return (int)random_below(&walk->seed, (uint64_t)bound);
}

/* A code that is not among those allowed. */
static void expect(const char *call, int code, int a, int b, int c)
{
	if (code < 0 && code != FAAS_ENOMEM && code != a && code != b && code != c && !walk->complaint)
		walk->complaint = call;
}

static void act_inside(faas_context *context, void *arg);

static void told_once(faas_invocation *invocation, void *user)
{
	if (faas_invocation_outcome(invocation) == FAAS_EPENDING)
		walk->complaint = "a callback before the end";
	++*(int *)user;
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

static void register_one(void)
{
	faas_function_config config =
		*FAAS_FUNCTION(.handler = job_handler, .init = life_init, .fini = life_fini, .release = life_release,
	                   .user = &walk->stage.life, .deadline_ms = 10, .init_backoff_ms = 3, .max_concurrency = draw(3),
	                   .keep_warm_ms = 1 + draw(50), .queue_events = 1 + draw(9), .queue_full = draw(2),
	                   .attempts = draw(4), .max_age_ms = draw(2) * 90, .backoff_ms = draw(3) - 1, .backoff_max_ms = 20,
	                   .jitter_percent = draw(101), .order = draw(2), .dead_letters = draw(4) - 1,
	                   .rate_per_s = draw(2) * 200, .rate_burst = 1 + draw(3), .warm_policy = draw(2),
	                   .flags = draw(3) == 0 ? FAAS_FUNCTION_INLINE : 0);
	int code;

	config.reserved_concurrency = config.max_concurrency > 0 && draw(3) == 0 ? 1 : 0;
	config.provisioned = draw(3) == 0 ? draw(config.max_concurrency + 1) : 0;
	config.on_success = draw(4) == 0 ? names[draw(SLOTS)] : NULL;
	config.on_failure = draw(3) == 0 ? names[draw(SLOTS)] : NULL;
	code = faas_register_function(walk->stage.bed.runtime, names[draw(SLOTS)], &config);
	walk->stage.life.registered += code == FAAS_OK;
	expect("register", code, FAAS_EEXIST, FAAS_ERESERVED, 0);
}

static void unregister_one(void)
{
	expect("unregister", faas_unregister_function(walk->stage.bed.runtime, names[draw(SLOTS)]), FAAS_ENOTFOUND, 0, 0);
}

static void invoke_async(void)
{
	faas_invocation *invocation = NULL;
	int wants = walk->handle_count < HANDLES && draw(2) == 0;
	faas_event_config event = *JOB(.does = act_inside, .takes_ns = draw(5) == 0 ? draw((int)(15 * MS)) : 0,
	                               .reply = draw(3) == 0 ? "answer" : NULL, .says = draw(3) == 0 ? "no" : NULL);

	event.key = keys[draw(COUNT_OF(keys))];
	event.timeout_ms = draw(4) == 0 ? 1 + draw(60) : 0;
	expect("invoke_async",
	       faas_invoke_async(walk->stage.bed.runtime, names[draw(SLOTS)], &event, wants ? &invocation : NULL),
	       FAAS_ENOTFOUND, FAAS_EFULL, FAAS_ELOOP);
	if (!invocation)
		return;
	walk->handles[walk->handle_count] = invocation;
	expect("on_settled", faas_invocation_on_settled(invocation, told_once, &walk->told[walk->handle_count]), 0, 0, 0);
	walk->handle_count++;
}

static void invoke(void)
{
	faas_invocation *invocation = NULL;

	(void)faas_invoke(walk->stage.bed.runtime, names[draw(SLOTS)], JOB(.does = act_inside), draw(2) * 5, &invocation);
	if (invocation && faas_invocation_outcome(invocation) == FAAS_EPENDING)
		walk->complaint = "an invoke that leaves its invocation on the way";
	faas_invocation_unref(invocation);
}

static void cancel(void)
{
	if (walk->handle_count > 0)
		expect("cancel", faas_invocation_cancel(walk->handles[draw(walk->handle_count)]), FAAS_ESTATE, 0, 0);
}

static void complete(void)
{
	faas_deferral *token = walk->tokens[draw(TOKENS)];

	switch (token ? draw(4) : 4) {
	case 0:
		expect("complete", faas_complete(token, "done", 4, NULL), FAAS_ESETTLED, 0, 0);
		break;
	case 1:
		expect("complete_failed", faas_complete_failed(token, "undone"), FAAS_ESETTLED, 0, 0);
		break;
	case 2:
		expect("complete_failed_permanent", faas_complete_failed_permanent(token, NULL), FAAS_ESETTLED, 0, 0);
		break;
	case 3:
		for (int i = 0; i < TOKENS; i++)
			if (walk->tokens[i] == token)
				walk->tokens[i] = NULL;
		faas_deferral_unref(token);
		break;
	default:
		break;
	}
}

static void do_with_letters(void)
{
	faas_function *function = NULL;
	faas_invocation *letter = NULL;
	uint64_t position = (uint64_t)draw(5);

	if (faas_function_find(walk->stage.bed.runtime, names[draw(SLOTS)], &function) != FAAS_OK)
		return;
	if (draw(2) == 0)
		(void)faas_function_dead_letter(function, &position, &letter);
	switch (draw(4)) {
	case 0:
		expect("purge", faas_function_purge(function, letter), 0, 0, 0);
		break;
	case 1:
		if (draw(6) == 0)
			expect("cancel_all", faas_function_cancel_all(function), 0, 0, 0);
		break;
	default:
		expect("redrive", faas_function_redrive(function, letter), FAAS_EFULL, 0, 0);
		break;
	}
	faas_invocation_unref(letter);
	faas_function_unref(function);
}

static void step(void)
{
	if (walk->depth == 0)
		expect("run", faas_run(walk->stage.bed.runtime, 1 + draw(3)), 0, 0, 0);
}

static void pass_time(void)
{
	expect("advance", faas_clock_advance(walk->stage.bed.clock, draw((int)(20 * MS))), 0, 0, 0);
}

static void operate(void)
{
	static void (*const operations[])(void) = {
		register_one, register_one, unregister_one,  invoke_async, invoke_async, invoke_async, invoke, cancel,
		complete,     complete,     do_with_letters, pass_time,    pass_time,    step,         step,   step,
	};
	void (*operation)(void) = operations[draw(COUNT_OF(operations))];

	if (walk->refuses && draw(3) == 0)
		memory_fail(&walk->stage.bed.memory, draw(5), 1 + draw(3));
	if (draw(8) == 0)
		walk->stage.life.init_fails = 1;
	operation();
}

static void defer(faas_context *context)
{
	int at = draw(TOKENS);
	faas_deferral *token = NULL;

	expect("defer", faas_context_defer(context, &token), 0, 0, 0);
	if (!token)
		return;
	faas_deferral_unref(walk->tokens[at]);
	walk->tokens[at] = token;
}

static void act_inside(faas_context *context, void *arg)
{
	faas_invocation *record = faas_context_record(context);

	(void)arg;
	if (record && faas_invocation_outcome(record) == FAAS_EPENDING)
		walk->complaint = "the record of what is not settled";
	(void)faas_context_alloc(context, (uint64_t)draw(9000));
	if (draw(5) == 0)
		defer(context);
	if (draw(9) == 0)
		(void)faas_context_fail_permanent(context, "for good");
	if (walk->depth < 3 && draw(3) == 0) {
		walk->depth++;
		operate();
		walk->depth--;
	}
}

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

static void check_all(void)
{
	memory_fail(&walk->stage.bed.memory, -1, 0);
	if (walk->complaint)
		fail_msg("%s", walk->complaint);
	bed_check_accounts(&walk->stage.bed, names, SLOTS);
}

static void end_walk(void)
{
	struct faas_function_stats total;

	for (int i = 0; i < TOKENS; i++) {
		faas_deferral_unref(walk->tokens[i]);
		walk->tokens[i] = NULL;
	}
	for (int i = 0; i < SLOTS; i++)
		(void)faas_unregister_function(walk->stage.bed.runtime, names[i]);
	bed_run(&walk->stage.bed);
	for (int i = 0; i < TOKENS; i++)
		faas_deferral_unref(walk->tokens[i]);
	bed_run(&walk->stage.bed);
	total = bed_totals(&walk->stage.bed).total;
	assert_int_equal(0, total.queued + total.delayed + total.running + total.deferred + total.overrunning + total.warm);
	assert_int_equal(0, total.dead_letters);
	assert_int_equal(0, bed_totals(&walk->stage.bed).queued_events);
	assert_int_equal(0, bed_totals(&walk->stage.bed).queued_bytes);
	assert_int_equal(FAAS_NEVER, bed_next_due(&walk->stage.bed));
	for (int i = 0; i < walk->handle_count; i++) {
		assert_int_not_equal(FAAS_EPENDING, faas_invocation_outcome(walk->handles[i]));
		assert_int_equal(1, walk->told[i]);
		faas_invocation_unref(walk->handles[i]);
	}
	stage_close(&walk->stage);
}

static void run_walks(uint64_t seed, int refuses)
{
	const char *repeat = getenv("FAAS_TEST_REPEAT");

	for (int i = 0; i < (repeat ? atoi(repeat) : 40); i++, seed++) {
		static struct walk one;

		memset(&one, 0, sizeof(one));
		one.seed = seed;
		one.refuses = refuses;
		walk = &one;
		if (i > 0)
			print_message("walk of delivery: FAAS_TEST_SEED=%llu\n", (unsigned long long)seed);
		stage_open(&one.stage, FAAS_RUNTIME(.max_concurrency = i % 2 ? 4 : 0, .seed = seed));
		for (int operation = 0; operation < OPERATIONS; operation++) {
			operate();
			check_all();
		}
		end_walk();
	}
}

static void whatever_happens_nothing_is_lost(void **state)
{
	(void)state;
	run_walks(random_seed("walk of delivery"), 0);
}

static void nor_with_refused_memory(void **state)
{
	(void)state;
	run_walks(random_seed("walk of delivery with refused memory"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_nothing_is_lost),
		cmocka_unit_test(nor_with_refused_memory),
	};

	return cmocka_run_group_tests_name("walk of delivery", tests, NULL, NULL);
}
