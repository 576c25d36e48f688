/* SPDX-License-Identifier: MIT */
/*
 * Memory that is refused now and then, to everybody at once: emitters, those who bind and register, handlers that reply,
 * threads and workers that are to be started. Each call says so or succeeds; what was accepted settles as soon as there
 * is memory again; the numbers are exact, and nothing leaks.
 */
#include "stress.h"

#define THREADS 4
#define CALLS 250 /* of each */

enum { PLAIN, READY, FUNCTIONS };

struct scene;

struct member {
	struct scene *scene;
	int index;
	uint64_t seed;
	uint64_t taken, refused;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct tally_memory memory;
	faas_function *functions[FUNCTIONS];
	struct member members[THREADS];
	atomic_int inits, finis, releases, registered;
	atomic_ullong runs, nested;
};

static const char *const names[FUNCTIONS] = {"plain", "ready"};

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static int handle(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	uint64_t seed = atomic_fetch_add(&scene->runs, 1);
	unsigned char *memory = faas_context_alloc(context, 1 + random_below(&seed, 10000));
	int code = faas_context_reply(context, "some", 4, "text/plain");

	(void)event;
	if (memory)
		memory[0] = 1;
	if (code != FAAS_OK && code != FAAS_ENOMEM)
		find(&scene->findings, "a reply: %s", faas_error_name(code));
	if (random_below(&seed, 16) == 0 && (code = faas_context_emit_event(context, FAAS_EVENT(.type = "more"), NULL)) > 0)
		atomic_fetch_add(&scene->nested, (unsigned long long)code);
	return random_below(&seed, 8) == 0 ? faas_context_fail(context, "on purpose") : 0;
}

static int handle_more(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->runs, 1);
	return 0;
}

static int start(faas_context *context, void **ret_state)
{
	struct scene *scene = faas_context_user(context);

	atomic_fetch_add(&scene->inits, 1);
	*ret_state = scene;
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

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* A call that may be refused, and for this reason only. */
static bool is_done(struct member *member, const char *what, int code)
{
	if (code < 0 && code != FAAS_ENOMEM)
		find(&member->scene->findings, "%s: %s", what, faas_error_name(code));
	member->refused += code == FAAS_ENOMEM;
	return code >= 0;
}

static void emit(struct member *member)
{
	faas_emission *emission = NULL;
	bool asks = random_below(&member->seed, 2) == 0;
	int code = faas_emit_event(member->scene->runtime,
	                           FAAS_EVENT(.type = "any", .data = "data", .data_bytes = 4,
	                                      .flags = random_below(&member->seed, 3) ? 0 : FAAS_EMIT_ALL),
	                           asks ? &emission : NULL);

	if (is_done(member, "emit", code))
		member->taken += (uint64_t)code;
	if (emission && random_below(&member->seed, 8) == 0 && faas_emission_wait(emission, FAAS_NEVER) != FAAS_OK)
		find(&member->scene->findings, "an emission's wait");
	faas_emission_unref(emission);
}

static void invoke(struct member *member)
{
	faas_function *function = member->scene->functions[random_below(&member->seed, FUNCTIONS)];
	faas_invocation *invocation = NULL;
	int code;

	if (random_below(&member->seed, 4) == 0) {
		code = faas_function_invoke(function, NULL, FAAS_NEVER, &invocation);
		if (!invocation)
			(void)is_done(member, "invoke", code);
		else if (code != FAAS_OK && code != FAAS_EFAILED)
			find(&member->scene->findings, "an invoke: %s", faas_error_name(code));
	} else {
		(void)is_done(member, "invoke_async", faas_function_invoke_async(function, NULL, &invocation));
	}
	member->taken += invocation != NULL;
	faas_invocation_unref(invocation);
}

static void bind_for_a_moment(struct member *member)
{
	uint64_t id = 0;
	char pattern[32];

	(void)snprintf(pattern, sizeof(pattern), "other%d.%d", member->index, (int)random_below(&member->seed, 100));
	if (!is_done(member, "bind",
	             faas_bind(member->scene->runtime, FAAS_BINDING(.pattern = pattern, .function = "plain"), &id)))
		return;
	if (random_below(&member->seed, 4) != 0 && faas_unbind(member->scene->runtime, id) != FAAS_OK)
		find(&member->scene->findings, "an unbind was refused");
}

/* Unregistering needs no memory. */
static void register_for_a_moment(struct member *member)
{
	struct scene *scene = member->scene;
	char name[32];
	int code;

	(void)snprintf(name, sizeof(name), "own%d", member->index);
	code = faas_register_function(scene->runtime, name,
	                              ONCE(.handler = handle_more, .user = scene, .release = release));
	if (!is_done(member, "register", code))
		return;
	atomic_fetch_add(&scene->registered, 1);
	code = faas_invoke_async(scene->runtime, name, NULL, NULL);
	member->taken += is_done(member, "invoke of its own", code);
	if (faas_unregister_function(scene->runtime, name) != FAAS_OK)
		find(&scene->findings, "an unregister was refused");
}

static void call(void *arg)
{
	struct member *member = arg;
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	for (int i = 0; i < CALLS; i++) {
		switch (random_below(&member->seed, 8)) {
		case 0:
			bind_for_a_moment(member);
			break;
		case 1:
			register_for_a_moment(member);
			break;
		case 2:
			(void)is_done(member, "stats", faas_runtime_stats(member->scene->runtime, &stats));
			break;
		case 3:
		case 4:
			emit(member);
			break;
		default:
			invoke(member);
			break;
		}
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void build(struct scene *scene, uint64_t *seed)
{
	tally_init(&scene->memory);
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 3), .thread_idle_ms = 1,
	                                           .allocator = &scene->memory.config));
	for (int f = 0; f < FUNCTIONS; f++) {
		faas_function_config config = {
			.struct_size = sizeof(config), .attempts = 1, .handler = handle, .user = scene, .deadline_ms = FAAS_NEVER};

		if (f == READY) {
			config.init = start;
			config.fini = end;
			config.keep_warm_ms = 1;
			config.provisioned = 1;
		}
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		assert_int_equal(FAAS_OK,
		                 faas_bind(scene->runtime, FAAS_BINDING(.pattern = "any", .function = names[f]), NULL));
		scene->functions[f] = find_function(scene->runtime, names[f]);
	}
	assert_int_equal(
		FAAS_OK, faas_register_function(scene->runtime, "more", ONCE(.handler = handle_more, .user = scene)));
	assert_int_equal(FAAS_OK, faas_bind(scene->runtime, FAAS_BINDING(.pattern = "more", .function = "more"), NULL));
	for (int t = 0; t < THREADS; t++)
		scene->members[t] = (struct member){.scene = scene, .index = t, .seed = stress_fork(seed)};
	atomic_store(&scene->memory.random, stress_fork(seed));
}

static void check_totals(struct scene *scene)
{
	struct faas_runtime_stats total = totals_of(scene->runtime);
	uint64_t taken = scene->nested;

	for (int t = 0; t < THREADS; t++)
		taken += scene->members[t].taken;
	CHECK_EQUAL(taken, total.total.accepted);
	CHECK_EQUAL(taken, settled_of(&total.total));
	CHECK_EQUAL(scene->runs, total.total.succeeded + total.total.failed);
	CHECK_EQUAL(0, total.total.rejected - total.total.rejected_other - total.total.rejected_closed);
}

static void nothing_is_lost_without_memory(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct crowd crowd;

	assert_non_null(scene);
	build(scene, &seed);
	atomic_store(&scene->memory.chance, 64 << random_below(&seed, 4));
	crowd_init(&crowd);
	for (int t = 0; t < THREADS; t++)
		crowd_add(&crowd, call, &scene->members[t]);
	crowd_start(&crowd);
	crowd_join(&crowd);
	/* With memory again all goes on by itself. */
	atomic_store(&scene->memory.chance, 0);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	UNTIL(atomic_load(&scene->releases) == atomic_load(&scene->registered));
	check_findings(&scene->findings);
	check_totals(scene);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->functions[f]);
	close_runtime(scene->runtime, 0);
	CHECK_EQUAL(scene->inits, scene->finis);
	tally_check_empty(&scene->memory);
	free(scene);
}

static void refused_memory(void **state)
{
	(void)state;
	stress("memory@refused", 30, nothing_is_lost_without_memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"memory@refused now and then: each call says so, and nothing is lost", refused_memory, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress memory", tests, NULL, NULL);
}
