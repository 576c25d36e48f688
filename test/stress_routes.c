/* SPDX-License-Identifier: MIT */
/*
 * Emitting while bindings and functions come and go. A binding holds from the return of faas_bind to the call of
 * faas_unbind; a function that stays gets everything, once; one that goes takes nothing more with it, is released once,
 * and its numbers stay in the totals.
 */
#include "stress.h"

#define EMITTERS 4
#define STEADY_EVENTS 800 /* of each emitter */
#define BINDERS 2
#define BINDS 150 /* of each binder */
#define REGISTRARS 2
#define FUNCTIONS 60 /* of each registrar, one after the other */
#define GHOSTS 200   /* functions that nobody has a handle of */

struct scene;

struct emitter {
	struct scene *scene;
	int index;
	uint64_t seed;
	atomic_uchar runs[STEADY_EVENTS];
};

struct changer {
	struct scene *scene;
	int index;
	uint64_t seed;
	uint64_t taken; /* by `sink` */
};

/* A function for a while. */
struct brief {
	struct scene *scene;
	faas_function *handle;
	atomic_int runs, late_runs, released, workers;
	atomic_int is_gone; /* faas_unregister_function has returned */
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct emitter emitters[EMITTERS];
	struct changer binders[BINDERS], registrars[REGISTRARS];
	struct brief briefs[REGISTRARS][FUNCTIONS];
	atomic_ullong sunk, haunted, seen; /* events that ghosts took, by their emitters and by themselves */
	atomic_int released;
};

/* ---- What stays -------------------------------------------------------------------------------------------------- */

/* An event that the ghosts of the moment take, if there is one. */
static void note_ghosts(struct scene *scene, int taken)
{
	if (taken > 0)
		atomic_fetch_add(&scene->haunted, (unsigned long long)taken);
	else if (taken != 0 && taken != FAAS_ENOTFOUND)
		find(&scene->findings, "ghosts: %s", faas_error_name(taken));
}

static int steady(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	int at[2];

	memcpy(at, faas_event_data(event, NULL), sizeof(at));
	if (atomic_fetch_add(&scene->emitters[at[0]].runs[at[1]], 1) != 0)
		find(&scene->findings, "steady: event %d of %d ran twice", at[1], at[0]);
	if (at[1] % 2 == 0)
		note_ghosts(scene, faas_context_emit_event(context, FAAS_EVENT(.type = "ghost"), NULL));
	return 0;
}

static int sink(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->sunk, 1);
	return 0;
}

static void emit_steadily(void *arg)
{
	struct emitter *emitter = arg;

	for (int i = 0; i < STEADY_EVENTS; i++) {
		int at[2] = {emitter->index, i}, taken;

		taken = faas_emit_event(emitter->scene->runtime,
		                        FAAS_EVENT(.type = "steady.event", .data = at, .data_bytes = sizeof(at)), NULL);
		if (taken != 1)
			find(&emitter->scene->findings, "steady: %d functions took an event", taken);
		note_ghosts(emitter->scene, faas_emit_event(emitter->scene->runtime, FAAS_EVENT(.type = "ghost"), NULL));
		if (random_below(&emitter->seed, 4) == 0)
			dawdle(&emitter->seed);
	}
}

/* ---- Functions that are gone as soon as they are unregistered -------------------------------------------------------- */

static int haunt(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->seen, 1);
	return 0;
}

/* All emitters meet them, and none keeps them in memory. */
static void come_and_go(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < GHOSTS; i++) {
		int code = faas_register_function(scene->runtime, "ghost", ONCE(.handler = haunt, .user = scene));

		if (code != FAAS_OK)
			find(&scene->findings, "a ghost: %s", faas_error_name(code));
		code = faas_bind(scene->runtime, FAAS_BINDING(.pattern = i % 2 ? "ghost" : "*", .function = "ghost"), NULL);
		if (code != FAAS_OK)
			find(&scene->findings, "a ghost's binding: %s", faas_error_name(code));
		if (i % 4 == 0)
			sched_yield();
		code = faas_unregister_function(scene->runtime, "ghost");
		if (code != FAAS_OK)
			find(&scene->findings, "a ghost stays: %s", faas_error_name(code));
	}
}

/* ---- Bindings that come and go ----------------------------------------------------------------------------------- */

static int emit_type(struct scene *scene, const char *type)
{
	return faas_emit_event(scene->runtime, FAAS_EVENT(.type = type), NULL);
}

static uint64_t bind_or_find(struct scene *scene, const char *pattern, const char *function)
{
	uint64_t id = 0;
	int code = faas_bind(scene->runtime, FAAS_BINDING(.pattern = pattern, .function = function), &id);

	if (code != FAAS_OK || id == 0)
		find(&scene->findings, "bind %s: %s", pattern, faas_error_name(code));
	return id;
}

static void unbind_or_find(struct scene *scene, uint64_t id, int wanted)
{
	int code = faas_unbind(scene->runtime, id);

	if (code != wanted)
		find(&scene->findings, "unbind: %s", faas_error_name(code));
}

/* One round: bindings to `sink` of this thread's own types, and one more of `steady`, which must not double anything. */
static void bind_and_unbind(void *arg)
{
	struct changer *binder = arg;
	struct scene *scene = binder->scene;

	for (int i = 0; i < BINDS; i++) {
		char pattern[32], type[40];
		bool is_wild = random_below(&binder->seed, 2) == 0;
		uint64_t id, second;
		int taken;

		(void)snprintf(pattern, sizeof(pattern), is_wild ? "bind%d.n%d.>" : "bind%d.n%d.x", binder->index, i);
		(void)snprintf(type, sizeof(type), "bind%d.n%d.x", binder->index, i);
		second = bind_or_find(scene, random_below(&binder->seed, 2) ? "steady.*" : "steady.>", "steady");
		unbind_or_find(scene, second, FAAS_OK);
		if ((taken = emit_type(scene, type)) != 0)
			find(&scene->findings, "%d functions took an event before the bind", taken);
		id = bind_or_find(scene, pattern, "sink");
		if ((taken = emit_type(scene, type)) != 1)
			find(&scene->findings, "%d functions took an event after the bind", taken);
		binder->taken++;
		if (random_below(&binder->seed, 4) == 0) {
			(void)snprintf(pattern, sizeof(pattern), "bind%d.*.*", binder->index);
			second = bind_or_find(scene, pattern, "sink");
			unbind_or_find(scene, second, FAAS_OK);
			unbind_or_find(scene, second, FAAS_ENOTFOUND);
		}
		unbind_or_find(scene, id, FAAS_OK);
		if ((taken = emit_type(scene, type)) != 0)
			find(&scene->findings, "%d functions took an event after the unbind", taken);
	}
}

/* ---- Functions that come and go ---------------------------------------------------------------------------------- */

static int run_briefly(faas_context *context, const faas_event *event)
{
	struct brief *brief = faas_context_user(context);
	uint64_t seed = (uint64_t)(uintptr_t)event;

	if (atomic_load(&brief->released))
		find(&brief->scene->findings, "%s runs after its release", faas_context_function(context));
	/* What ran when it was unregistered may finish; whatever starts later should have been cancelled. */
	atomic_fetch_add(&brief->runs, 1);
	if (atomic_load(&brief->is_gone))
		atomic_fetch_add(&brief->late_runs, 1);
	dawdle(&seed);
	return 0;
}

static int start_worker(faas_context *context, void **ret_state)
{
	struct brief *brief = faas_context_user(context);

	atomic_fetch_add(&brief->workers, 1);
	*ret_state = brief;
	return 0;
}

static void end_worker(void *state, void *user)
{
	struct brief *brief = user;

	if (state != brief || atomic_load(&brief->released))
		find(&brief->scene->findings, "a fini of another worker, or after the release");
	atomic_fetch_sub(&brief->workers, 1);
}

static void release(void *user)
{
	struct brief *brief = user;

	if (atomic_fetch_add(&brief->released, 1) != 0 || atomic_load(&brief->workers) != 0)
		find(&brief->scene->findings, "a function was released twice, or with workers");
	atomic_fetch_add(&brief->scene->released, 1);
}

/* Events and invocations for it, some of them cancelled at once, some while it is being unregistered. */
static void use_briefly(struct changer *registrar, struct brief *brief, const char *type, faas_invocation **ret_last)
{
	struct scene *scene = registrar->scene;
	uint64_t events = random_below(&registrar->seed, 40);

	for (uint64_t i = 0; i < events; i++) {
		faas_invocation *invocation = NULL;
		int taken;

		if (random_below(&registrar->seed, 2) == 0) {
			if ((taken = emit_type(scene, type)) != 1)
				find(&scene->findings, "%d functions took an event of a brief one", taken);
			continue;
		}
		if (faas_function_invoke_async(brief->handle, NULL, &invocation) != FAAS_OK) {
			find(&scene->findings, "a brief function cannot be invoked");
			continue;
		}
		if (random_below(&registrar->seed, 2) == 0)
			(void)faas_invocation_cancel(invocation);
		faas_invocation_unref(*ret_last);
		*ret_last = invocation;
	}
}

struct late_cancel {
	faas_invocation *invocation;
	pthread_t thread;
	bool runs;
};

static void *cancel_late(void *arg)
{
	(void)faas_invocation_cancel(arg);
	return NULL;
}

static void live_briefly(struct changer *registrar, struct brief *brief, int number)
{
	struct scene *scene = registrar->scene;
	char name[32], type[40];
	faas_invocation *last = NULL;
	struct late_cancel late = {0};
	int code;

	(void)snprintf(name, sizeof(name), "brief%d-%d", registrar->index, number % 3);
	(void)snprintf(type, sizeof(type), "brief%d.n%d", registrar->index, number);
	brief->scene = scene;
	code = faas_register_function(scene->runtime, name,
	                              ONCE(.handler = run_briefly, .init = start_worker, .fini = end_worker,
	                                            .user = brief, .release = release, .deadline_ms = FAAS_NEVER,
	                                            .provisioned = number % 5 == 0, .max_concurrency = number % 4));
	if (code != FAAS_OK || faas_function_find(scene->runtime, name, &brief->handle) != FAAS_OK) {
		find(&scene->findings, "register %s: %s", name, faas_error_name(code));
		return;
	}
	(void)bind_or_find(scene, type, name);
	use_briefly(registrar, brief, type, &last);
	if (last)
		late.runs = pthread_create(&late.thread, NULL, cancel_late, last) == 0;
	code = faas_unregister_function(scene->runtime, name);
	atomic_store(&brief->is_gone, 1);
	if (code != FAAS_OK || faas_unregister_function(scene->runtime, name) != FAAS_ENOTFOUND)
		find(&scene->findings, "unregister %s: %s", name, faas_error_name(code));
	if ((code = emit_type(scene, type)) != 0)
		find(&scene->findings, "an event of an unregistered function: %d", code);
	if ((code = faas_function_invoke_async(brief->handle, NULL, NULL)) != FAAS_ENOTFOUND)
		find(&scene->findings, "an invoke of an unregistered function: %s", faas_error_name(code));
	if (late.runs)
		(void)pthread_join(late.thread, NULL);
	if (last && faas_invocation_wait(last, FAAS_NEVER) != FAAS_OK)
		find(&scene->findings, "an invocation of an unregistered function does not settle");
	faas_invocation_unref(last);
}

static void register_and_unregister(void *arg)
{
	struct changer *registrar = arg;

	for (int i = 0; i < FUNCTIONS; i++)
		live_briefly(registrar, &registrar->scene->briefs[registrar->index][i], i);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

/* Of one past function. Each thread, replaced ones too, may be just before its handler when the unregister returns. */
static void check_brief(const struct brief *brief, int threads, struct faas_function_stats *sum)
{
	struct faas_function_stats stats = stats_of(brief->handle);

	CHECK_EQUAL(stats.accepted, settled_of(&stats));
	/* A cancel may come during a run, or during an init, after which there is no run. */
	CHECK_BETWEEN(stats.succeeded, stats.succeeded + stats.overruns, brief->runs);
	CHECK_EQUAL(1, brief->released);
	CHECK_EQUAL(0, brief->workers);
	CHECK_EQUAL(0, stats.warm + stats.busy + stats.starting);
	CHECK_EQUAL(1, stats.rejected_closed);
	CHECK_BETWEEN(0, threads, brief->late_runs);
	sum->accepted += stats.accepted;
	sum->rejected += stats.rejected;
	sum->succeeded += stats.succeeded;
	sum->cancelled += stats.cancelled;
}

static void check_all(const struct scene *scene, int threads)
{
	struct faas_function_stats sum = {0};
	struct faas_runtime_stats total = totals_of(scene->runtime);
	uint64_t sunk = 0;

	for (int i = 0; i < BINDERS; i++)
		sunk += scene->binders[i].taken;
	CHECK_EQUAL(sunk, scene->sunk);
	for (int e = 0; e < EMITTERS; e++)
		for (int i = 0; i < STEADY_EVENTS; i++)
			CHECK_EQUAL(1, scene->emitters[e].runs[i]);
	for (int r = 0; r < REGISTRARS; r++)
		for (int i = 0; i < FUNCTIONS; i++)
			check_brief(&scene->briefs[r][i], threads + (int)total.total.overruns, &sum);
	CHECK_EQUAL(2, total.functions);
	CHECK_EQUAL(1, total.bindings);
	CHECK_EQUAL(total.total.accepted, settled_of(&total.total));
	CHECK_EQUAL(sum.accepted + sunk + EMITTERS * STEADY_EVENTS + scene->haunted, total.total.accepted);
	CHECK_EQUAL(sum.succeeded + sunk + EMITTERS * STEADY_EVENTS + scene->seen, total.total.succeeded);
	CHECK_EQUAL(sum.cancelled + scene->haunted - scene->seen, total.total.cancelled);
	CHECK_BETWEEN(sum.rejected, sum.rejected + 2 * EMITTERS * STEADY_EVENTS, total.total.rejected);
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void routes_and_functions_change(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	int threads = 1 + (int)random_below(&seed, 3);
	static struct tally_memory memory;
	struct crowd crowd, watchers;
	struct watch watch;

	assert_non_null(scene);
	tally_init(&memory);
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = threads, .max_threads = threads, .allocator = &memory.config));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene->runtime, "steady", ONCE(.handler = steady, .user = scene)));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene->runtime, "sink", ONCE(.handler = sink, .user = scene)));
	(void)bind_or_find(scene, "steady.event", "steady");
	watch_init(&watch, scene->runtime, NULL, 0, &scene->findings);
	crowd_init(&crowd);
	crowd_init(&watchers);
	for (int i = 0; i < EMITTERS; i++) {
		scene->emitters[i] = (struct emitter){.scene = scene, .index = i, .seed = stress_fork(&seed)};
		crowd_add(&crowd, emit_steadily, &scene->emitters[i]);
	}
	for (int i = 0; i < BINDERS; i++) {
		scene->binders[i] = (struct changer){.scene = scene, .index = i, .seed = stress_fork(&seed)};
		crowd_add(&crowd, bind_and_unbind, &scene->binders[i]);
	}
	for (int i = 0; i < REGISTRARS; i++) {
		scene->registrars[i] = (struct changer){.scene = scene, .index = i, .seed = stress_fork(&seed)};
		crowd_add(&crowd, register_and_unregister, &scene->registrars[i]);
	}
	crowd_add(&crowd, come_and_go, scene);
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(&crowd);
	crowd_join(&crowd);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	/* A drained runtime may still be retiring workers. */
	UNTIL(atomic_load(&scene->released) == REGISTRARS * FUNCTIONS);
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
	check_findings(&scene->findings);
	check_all(scene, threads);
	for (int r = 0; r < REGISTRARS; r++)
		for (int i = 0; i < FUNCTIONS; i++)
			faas_function_unref(scene->briefs[r][i].handle);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	free(scene);
}

static void changes(void **state)
{
	(void)state;
	stress("routes@changing", 30, routes_and_functions_change);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"routes@bindings and functions come and go: each event goes where it should", changes, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress routes", tests, NULL, NULL);
}
