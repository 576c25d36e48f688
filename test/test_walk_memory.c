/* SPDX-License-Identifier: MIT */
/*
 * A random walk on which allocations are refused now and then, one or a few in a row, in calls, steps and handlers. A
 * call may then say FAAS_ENOMEM; but the accounts hold after every step, what was accepted is settled exactly once,
 * what was begun ends, and no memory is lost. Manual mode.
 *
 * FAAS_TEST_SEED repeats a walk; FAAS_TEST_REPEAT says how many there are.
 */
#include "support_run.h"

#define OPERATIONS 400
#define HANDLES 200
#define SLOTS 4

struct walk {
	struct stage stage;
	uint64_t seed;
	faas_invocation *handles[HANDLES];
	faas_emission *emissions[HANDLES];
	int told[HANDLES], emission_told[HANDLES];
	int handle_count, emission_count;
	int depth;
	const char *complaint;
};

static struct walk *walk;
static const char *const names[SLOTS] = {"ant", "bee", "cat", "dog"};

static int draw(int bound)
{
	return (int)random_below(&walk->seed, (uint64_t)bound);
}

/* A code that is not among those allowed. */
static void expect(const char *call, int code, int a, int b, int c, int d)
{
	if (code < 0 && code != FAAS_ENOMEM && code != a && code != b && code != c && code != d && !walk->complaint)
		walk->complaint = call;
}

static void told_once(faas_invocation *invocation, void *user)
{
	(void)invocation;
	++*(int *)user;
}

static void emission_told_once(faas_emission *emission, void *user)
{
	(void)emission;
	++*(int *)user;
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

static void act_inside(faas_context *context, void *arg);

static void register_one(void)
{
	faas_function_config config =
		*ONCE(.handler = job_handler, .init = life_init, .fini = life_fini, .release = life_release,
	                   .user = &walk->stage.life, .keep_warm_ms = 1 + draw(50), .queue_events = 1 + draw(5),
	                   .queue_full = draw(2), .max_concurrency = draw(3),
	                   .flags = draw(3) == 0 ? FAAS_FUNCTION_INLINE : 0, .deadline_ms = 10, .init_backoff_ms = 3);
	int code;

	config.provisioned = draw(3) == 0 ? draw(config.max_concurrency + 1) : 0;
	code = faas_register_function(walk->stage.bed.runtime, names[draw(SLOTS)], &config);
	walk->stage.life.registered += code == FAAS_OK;
	expect("register", code, FAAS_EEXIST, 0, 0, 0);
}

static void unregister_one(void)
{
	expect("unregister", faas_unregister_function(walk->stage.bed.runtime, names[draw(SLOTS)]), FAAS_ENOTFOUND, 0, 0,
	       0);
}

static void bind_one(void)
{
	static const char *const patterns[] = {"a", ">", "*"};

	expect("bind",
	       faas_bind(walk->stage.bed.runtime,
	                 FAAS_BINDING(.pattern = patterns[draw(COUNT_OF(patterns))], .function = names[draw(SLOTS)]), NULL),
	       FAAS_ENOTFOUND, 0, 0, 0);
}

static void emit(void)
{
	int takes_time = draw(4) == 0, wants = walk->emission_count < HANDLES && draw(3) == 0;
	faas_event_config event = *JOB_OF("a", .does = act_inside, .takes_ns = takes_time ? draw((int)(15 * MS)) : 0,
	                                  .reply = draw(3) == 0 ? "answer" : NULL, .result = draw(4) == 0);
	faas_emission **at = &walk->emissions[walk->emission_count];

	event.flags = draw(3) == 0 ? FAAS_EMIT_ALL : 0;
	expect("emit", faas_emit_event(walk->stage.bed.runtime, &event, wants ? at : NULL), FAAS_EFULL, FAAS_ELOOP, 0, 0);
	if (!wants || !*at)
		return;
	expect("on_settled", faas_emission_on_settled(*at, emission_told_once, &walk->emission_told[walk->emission_count]),
	       0, 0, 0, 0);
	walk->emission_count++;
}

static void keep(faas_invocation *invocation)
{
	int at = walk->handle_count++;

	walk->handles[at] = invocation;
	expect("on_settled", faas_invocation_on_settled(invocation, told_once, &walk->told[at]), 0, 0, 0, 0);
}

static void invoke_async(void)
{
	faas_invocation *invocation = NULL;
	int wants = walk->handle_count < HANDLES - 20;

	expect("invoke_async",
	       faas_invoke_async(walk->stage.bed.runtime, names[draw(SLOTS)], JOB(.does = act_inside, .says = "no"),
	                         wants ? &invocation : NULL),
	       FAAS_ENOTFOUND, FAAS_EFULL, FAAS_ELOOP, 0);
	if (invocation)
		keep(invocation);
}

static void invoke(void)
{
	static const int outcomes[] = {FAAS_ENOTFOUND, FAAS_EFULL,      FAAS_ELOOP,    FAAS_EFAILED,
	                               FAAS_ETIMEDOUT, FAAS_ECANCELLED, FAAS_EDROPPED, FAAS_EDEADLK,
	                               FAAS_EAGAIN,    FAAS_EINIT,      FAAS_ENOMEM,   FAAS_OK};
	faas_invocation *invocation = NULL;
	int is_known = 0;
	int code = faas_invoke(walk->stage.bed.runtime, names[draw(SLOTS)], JOB(.does = act_inside, .reply = "answer"),
	                       draw(2) * 5, &invocation);

	for (size_t i = 0; i < COUNT_OF(outcomes); i++)
		is_known |= code == outcomes[i];
	expect("invoke", is_known ? FAAS_OK : code, 0, 0, 0, 0);
	if (invocation && faas_invocation_outcome(invocation) == FAAS_EPENDING)
		walk->complaint = "an invoke that leaves its invocation on the way";
	if (invocation && code == FAAS_OK && faas_invocation_outcome(invocation) != FAAS_OK)
		walk->complaint = "a success that is none";
	faas_invocation_unref(invocation);
}

static void cancel(void)
{
	if (walk->handle_count > 0)
		expect("cancel", faas_invocation_cancel(walk->handles[draw(walk->handle_count)]), FAAS_ESTATE, 0, 0, 0);
}

static void step(void)
{
	if (walk->depth == 0)
		expect("run", faas_run(walk->stage.bed.runtime, 1 + draw(3)), 0, 0, 0, 0);
}

static void pass_time(void)
{
	expect("advance", faas_clock_advance(walk->stage.bed.clock, draw((int)(20 * MS))), 0, 0, 0, 0);
}

static void operate(void)
{
	static void (*const operations[])(void) = {
		register_one, register_one, unregister_one, bind_one, emit, emit, invoke_async,
		invoke,       cancel,       pass_time,      step,     step, step, step,
	};
	void (*operation)(void) = operations[draw(COUNT_OF(operations))];

	if (draw(3) == 0)
		memory_fail(&walk->stage.bed.memory, draw(5), 1 + draw(3));
	if (draw(8) == 0)
		walk->stage.life.init_fails = 1;
	operation();
}

static void act_inside(faas_context *context, void *arg)
{
	(void)arg;
	(void)faas_context_alloc(context, (uint64_t)draw(9000));
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
	struct faas_runtime_stats totals;

	for (int i = 0; i < SLOTS; i++)
		(void)faas_unregister_function(walk->stage.bed.runtime, names[i]);
	bed_run(&walk->stage.bed);
	totals = bed_totals(&walk->stage.bed);
	assert_int_equal(0, totals.total.queued + totals.total.running + totals.total.overrunning + totals.total.warm);
	assert_int_equal(0, totals.queued_events);
	assert_int_equal(0, totals.queued_bytes);
	for (int i = 0; i < walk->handle_count; i++) {
		assert_int_not_equal(FAAS_EPENDING, faas_invocation_outcome(walk->handles[i]));
		assert_int_equal(1, walk->told[i]);
		faas_invocation_unref(walk->handles[i]);
	}
	for (int i = 0; i < walk->emission_count; i++) {
		assert_int_equal(FAAS_OK, faas_emission_wait(walk->emissions[i], 0));
		assert_int_equal(1, walk->emission_told[i]);
		faas_emission_unref(walk->emissions[i]);
	}
	stage_close(&walk->stage);
}

static void refused_memory_loses_nothing(void **state)
{
	const char *repeat = getenv("FAAS_TEST_REPEAT");
	uint64_t seed = random_seed("walk with refused memory");

	(void)state;
	for (int i = 0; i < (repeat ? atoi(repeat) : 40); i++, seed++) {
		static struct walk one;

		memset(&one, 0, sizeof(one));
		one.seed = seed;
		walk = &one;
		if (i > 0)
			print_message("walk with refused memory: FAAS_TEST_SEED=%llu\n", (unsigned long long)seed);
		stage_open(&one.stage, NULL);
		for (int operation = 0; operation < OPERATIONS; operation++) {
			operate();
			check_all();
		}
		end_walk();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_memory_loses_nothing),
	};

	return cmocka_run_group_tests_name("walk with refused memory", tests, NULL, NULL);
}
