/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing again and again, with work that is queued, running and hung; with handles that outlive the
 * runtime; with threads that leave and come back, and workers that are retired and replaced, under load. Each init has
 * its fini, each function its release, each callback its call, each started thread its end, and no memory is left.
 */
#include "stress.h"

#define THREADS 4
#define CALLS 60 /* of each */
#define KEPT 8   /* handles that each thread keeps until after the close */
#define HANGS 3

enum { QUICK, SLOW, HUNG, FRAIL, FUNCTIONS };

struct scene;

struct member {
	struct scene *scene;
	int index;
	uint64_t seed;
	faas_invocation *kept[KEPT];
	int kept_count;
	faas_emission *emission;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct tally_memory memory;
	struct gate gate;
	faas_function *functions[FUNCTIONS];
	struct member members[THREADS];
	atomic_int starts, inits, finis, releases, asked, called, begun, ended, hangs;
};

static const char *const names[FUNCTIONS] = {"quick", "slow", "hung", "frail"};

/* ---- Functions --------------------------------------------------------------------------------------------------- */

static int quick(faas_context *context, const faas_event *event)
{
	(void)event;
	(void)faas_context_alloc(context, 100);
	return 0;
}

/* Until nobody waits for it. */
static int slow(faas_context *context, const faas_event *event)
{
	uint64_t seed = (uint64_t)(uintptr_t)event;

	if (random_below(&seed, 4) == 0)
		while (!faas_context_is_cancelled(context))
			sched_yield();
	return 0;
}

/* Until the gate is opened, whoever waits for it. */
static int hang(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	gate_pass(&scene->gate);
	return faas_context_reply(context, "late", 4, NULL);
}

static int start(faas_context *context, void **ret_state)
{
	struct scene *scene = faas_context_user(context);

	*ret_state = scene;
	if (atomic_fetch_add(&scene->starts, 1) % 4 == 3)
		return 1;
	atomic_fetch_add(&scene->inits, 1);
	return 0;
}

static void end(void *state, void *user)
{
	struct scene *scene = user;

	if (state != scene)
		find(&scene->findings, "a fini with another worker's state");
	atomic_fetch_add(&scene->finis, 1);
}

static void release(void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->releases, 1);
}

static void thread_begins(void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->begun, 1);
}

static void thread_ends(void *user)
{
	struct scene *scene = user;

	atomic_fetch_add(&scene->ended, 1);
}

static void on_settled(faas_invocation *invocation, void *user)
{
	struct scene *scene = user;

	if (faas_invocation_status(invocation) < FAAS_STATUS_SUCCEEDED)
		find(&scene->findings, "a callback before the end");
	atomic_fetch_add(&scene->called, 1);
}

/* ---- Activity ---------------------------------------------------------------------------------------------------- */

static void invoke_and_keep(struct member *member, faas_function *function)
{
	struct scene *scene = member->scene;
	faas_invocation *invocation = NULL;

	if (faas_function_invoke_async(function, NULL, &invocation) != FAAS_OK) {
		find(&scene->findings, "an invoke was refused");
		return;
	}
	if (random_below(&member->seed, 2) == 0) {
		atomic_fetch_add(&scene->asked, 1);
		if (faas_invocation_on_settled(invocation, on_settled, scene) != FAAS_OK)
			find(&scene->findings, "a callback was refused");
	}
	if (random_below(&member->seed, 8) == 0)
		(void)faas_invocation_cancel(invocation);
	if (member->kept_count < KEPT)
		member->kept[member->kept_count++] = invocation;
	else
		faas_invocation_unref(invocation);
}

static void be_active(void *arg)
{
	struct member *member = arg;
	struct scene *scene = member->scene;

	for (int i = 0; i < CALLS; i++) {
		int at = (int)random_below(&member->seed, FUNCTIONS);

		if (at == HUNG && (member->index != 0 || atomic_fetch_add(&scene->hangs, 1) >= HANGS))
			at = QUICK;
		switch (random_below(&member->seed, 3)) {
		case 0:
			(void)faas_emit_event(scene->runtime, FAAS_EVENT(.type = "any", .data = "some", .data_bytes = 4), NULL);
			break;
		case 1:
			if (faas_function_invoke_async(scene->functions[at], NULL, NULL) != FAAS_OK)
				find(&scene->findings, "an invoke was refused");
			break;
		default:
			invoke_and_keep(member, scene->functions[at]);
			break;
		}
	}
	if (faas_emit_event(scene->runtime, FAAS_EVENT(.type = "any"), &member->emission) < 1)
		find(&scene->findings, "nobody took an event");
}

/* ---- A runtime --------------------------------------------------------------------------------------------------- */

static void register_one(struct scene *scene, int f, uint64_t *seed)
{
	static faas_handler_fn *const handlers[FUNCTIONS] = {quick, slow, hang, quick};
	faas_function_config config = {
		.struct_size = sizeof(config), .attempts = 1, .handler = handlers[f], .user = scene, .release = release};

	/* What hangs is cut off by its deadline or by the close; the deadline must not come while nothing hangs. */
	config.deadline_ms =
		f == SLOW || (f == HUNG && random_below(seed, 2)) ? 1 + (int64_t)random_below(seed, 5) : FAAS_NEVER;
	config.keep_warm_ms = random_below(seed, 2) ? 1 : 0;
	config.max_concurrency = random_below(seed, 2) ? 1 + (int32_t)random_below(seed, 3) : 0;
	if (f == FRAIL || random_below(seed, 2)) {
		config.init = start;
		config.fini = end;
		config.init_backoff_ms = random_below(seed, 2) ? FAAS_NONE : 1;
		config.provisioned = (int32_t)random_below(seed, 2);
	}
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
	if (f == QUICK || f == FRAIL)
		assert_int_equal(FAAS_OK,
		                 faas_bind(scene->runtime, FAAS_BINDING(.pattern = "any", .function = names[f]), NULL));
	scene->functions[f] = find_function(scene->runtime, names[f]);
}

static struct scene *scene_new(uint64_t *seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	tally_init(&scene->memory);
	gate_init(&scene->gate);
	scene->runtime = open_runtime(
		FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4), .thread_idle_ms = random_below(seed, 2) ? 1 : 0,
	                 .max_overruns = random_below(seed, 2) ? FAAS_NONE : 2, .allocator = &scene->memory.config,
	                 .on_thread_start = thread_begins, .on_thread_stop = thread_ends, .thread_user = scene));
	for (int f = 0; f < FUNCTIONS; f++)
		register_one(scene, f, seed);
	for (int t = 0; t < THREADS; t++)
		scene->members[t] = (struct member){.scene = scene, .index = t, .seed = stress_fork(seed)};
	return scene;
}

static void let_all_be_active(struct scene *scene)
{
	struct crowd crowd;

	crowd_init(&crowd);
	for (int t = 0; t < THREADS; t++)
		crowd_add(&crowd, be_active, &scene->members[t]);
	crowd_start(&crowd);
	crowd_join(&crowd);
}

/* Gives back what a thread kept, which may be the last to hold the memory of a closed runtime. */
static void let_go(void *arg)
{
	struct member *member = arg;
	struct findings *findings = &member->scene->findings;

	for (int i = 0; i < member->kept_count; i++) {
		faas_invocation *invocation = member->kept[i];

		if (faas_invocation_wait(invocation, FAAS_NEVER) != FAAS_OK ||
		    faas_invocation_outcome(invocation) == FAAS_EPENDING)
			find(findings, "an invocation is not settled after the close");
		if (faas_invocation_cancel(invocation) != FAAS_ESTATE)
			find(findings, "an invocation was cancelled after the close");
		if (faas_invocation_function(invocation)[0] == 0 || faas_event_type(faas_invocation_event(invocation))[0] == 0)
			find(findings, "an invocation lost its event");
		faas_invocation_unref(invocation);
	}
	if (faas_emission_wait(member->emission, FAAS_NEVER) != FAAS_OK)
		find(findings, "an emission is not settled after the close");
	faas_emission_unref(member->emission);
	if (faas_function_invoke_async(member->scene->functions[member->index], NULL, NULL) != FAAS_ECLOSED)
		find(findings, "a function of a closed runtime was invoked");
	faas_function_unref(member->scene->functions[member->index]);
}

/* Every thread lets go of its own; THREADS is FUNCTIONS, so each has a function too. */
static void let_all_go(struct scene *scene)
{
	struct crowd crowd;

	_Static_assert(THREADS == FUNCTIONS, "each thread has one function to let go");
	crowd_init(&crowd);
	for (int t = 0; t < THREADS; t++)
		crowd_add(&crowd, let_go, &scene->members[t]);
	crowd_start(&crowd);
	crowd_join(&crowd);
}

/* Once everything has come to its end. */
static void check_and_free(struct scene *scene)
{
	UNTIL(atomic_load(&scene->memory.blocks) == 0);
	check_findings(&scene->findings);
	CHECK_EQUAL(scene->inits, scene->finis);
	CHECK_EQUAL(FUNCTIONS, scene->releases);
	CHECK_EQUAL(scene->asked, scene->called);
	CHECK_EQUAL(scene->begun, scene->ended);
	tally_check_empty(&scene->memory);
	gate_deinit(&scene->gate);
	free(scene);
}

/* All that was accepted is settled, though handlers may still hang; what a thread holds ahead follows in a moment. */
static void check_accounted(struct scene *scene, bool is_closed)
{
	for (int f = 0; f < FUNCTIONS; f++) {
		struct faas_function_stats stats;

		if (!is_closed)
			UNTIL((stats = stats_of(scene->functions[f]), stats.accepted == settled_of(&stats)));
		stats = stats_of(scene->functions[f]);
		CHECK_EQUAL(stats.accepted, settled_of(&stats));
		if (is_closed)
			CHECK_EQUAL(0, stats.queued_bytes + stats.starting + stats.busy + stats.warm + stats.overrunning);
	}
}

/* ---- Closing ----------------------------------------------------------------------------------------------------- */

static void closing_waits_for_handlers(uint64_t seed)
{
	struct scene *scene = scene_new(&seed);
	int code, busy = 0;

	let_all_be_active(scene);
	if (random_below(&seed, 2) == 0)
		gate_open(&scene->gate);
	while ((code = faas_close(scene->runtime, (int64_t)random_below(&seed, 3), 0)) == FAAS_EBUSY) {
		if (busy++ == 0)
			check_accounted(scene, false);
		gate_open(&scene->gate);
	}
	assert_int_equal(FAAS_OK, code);
	check_accounted(scene, true);
	let_all_go(scene);
	check_and_free(scene);
}

static void closing_detaches_from_handlers(uint64_t seed)
{
	struct scene *scene = scene_new(&seed);
	bool early = random_below(&seed, 2) == 0;

	let_all_be_active(scene);
	if (random_below(&seed, 2) == 0 || faas_close(scene->runtime, 0, 0) == FAAS_EBUSY)
		assert_int_equal(FAAS_OK, faas_close(scene->runtime, 0, FAAS_CLOSE_DETACH));
	check_accounted(scene, false);
	if (early)
		gate_open(&scene->gate);
	let_all_go(scene);
	gate_open(&scene->gate);
	check_and_free(scene);
}

static void draining_takes_what_was_accepted(uint64_t seed)
{
	struct scene *scene = scene_new(&seed);

	let_all_be_active(scene);
	gate_open(&scene->gate);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	assert_int_equal(FAAS_ECLOSED, faas_emit_event(scene->runtime, FAAS_EVENT(.type = "any"), NULL));
	check_accounted(scene, false);
	close_runtime(scene->runtime, FAAS_NEVER);
	check_accounted(scene, true);
	let_all_go(scene);
	check_and_free(scene);
}

static void close_again(void **state)
{
	(void)state;
	stress("lifecycle@busy", 20, closing_waits_for_handlers);
}

static void close_and_detach(void **state)
{
	(void)state;
	stress("lifecycle@detach", 20, closing_detaches_from_handlers);
}

static void drain_and_close(void **state)
{
	(void)state;
	stress("lifecycle@drain", 10, draining_takes_what_was_accepted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"close@queued, running and hung work: busy, then closed, and nothing is left", close_again, NULL, NULL, NULL},
		{"close@detached: the last handler to return frees the rest", close_and_detach, NULL, NULL, NULL},
		{"drain@queued and running work: all of it settles", drain_and_close, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress lifecycle", tests, NULL, NULL);
}
