/* SPDX-License-Identifier: MIT */
/*
 * max_concurrency under bursts from many threads: a counter inside inits and handlers shows that it is never exceeded,
 * not for an instant, though handlers overrun, inits fail, invocations are cancelled and callers run them themselves.
 */
#include "stress.h"

#define THREADS 16
#define FUNCTIONS 4
#define CALLS 120 /* of each thread */

struct scene;

struct target {
	struct scene *scene;
	faas_function *handle;
	int limit;
	bool has_init;
	atomic_int inside; /* inits and handlers that run */
	atomic_int peak;
	atomic_ullong runs, good, bad, inits, failed_inits, finis;
};

struct caller {
	struct scene *scene;
	uint64_t seed;
	uint64_t accepted[FUNCTIONS];
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct target targets[FUNCTIONS];
	struct caller callers[THREADS];
	atomic_ullong nested; /* accepted invokes from inside handlers */
	atomic_int is_over;
};

static const char *const names[FUNCTIONS] = {"one", "two", "five", "inline"};
static const int limits[FUNCTIONS] = {1, 2, 5, 2};

/* What a call's data asks of the handler. */
enum wish { WISH_QUICK, WISH_FAIL, WISH_OVERRUN, WISH_NEST, WISH_COUNT };

static void go_in(struct target *target)
{
	int inside = atomic_fetch_add(&target->inside, 1) + 1, peak = atomic_load(&target->peak);

	if (inside > target->limit)
		find(&target->scene->findings, "%d at once, where %d may be", inside, target->limit);
	while (inside > peak && !atomic_compare_exchange_weak(&target->peak, &peak, inside))
		continue;
}

static void go_out(struct target *target)
{
	atomic_fetch_sub(&target->inside, 1);
}

static int init(faas_context *context, void **ret_state)
{
	struct target *target = faas_context_user(context);
	unsigned long long number = atomic_fetch_add(&target->inits, 1);
	uint64_t seed = number;

	go_in(target);
	dawdle(&seed);
	*ret_state = target;
	go_out(target);
	if (number % 3 != 1)
		return 0;
	atomic_fetch_add(&target->failed_inits, 1);
	return 1;
}

static void fini(void *state, void *user)
{
	struct target *target = user;

	if (state != target)
		find(&target->scene->findings, "a fini with another worker's state");
	atomic_fetch_add(&target->finis, 1);
}

/* Its deadline settles it; it goes on for a moment, keeping its slot. */
static void overrun(faas_context *context, uint64_t *seed)
{
	while (!faas_context_is_cancelled(context))
		sched_yield();
	dawdle(seed);
}

static void nest(struct target *target, faas_context *context)
{
	int other = target == &target->scene->targets[0] ? 1 : 0, code;
	faas_invocation *invocation = NULL;
	unsigned char wish = WISH_QUICK;

	/* Without a time of its own the call ends with the caller's: so does a circle of handlers that wait for each other. */
	code = faas_context_invoke(context, names[other], FAAS_EVENT(.data = &wish, .data_bytes = 1),
	                           (int64_t)(atomic_load(&target->runs) % 4), &invocation);
	if (invocation)
		atomic_fetch_add(&target->scene->nested, 1);
	faas_invocation_unref(invocation);
	if (code != FAAS_OK && code != FAAS_EDEADLK && code != FAAS_ETIMEDOUT && code != FAAS_EINIT &&
	    code != FAAS_ECANCELLED)
		find(&target->scene->findings, "a nested invoke: %s", faas_error_name(code));
}

static int handle(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	uint64_t bytes, seed = atomic_fetch_add(&target->runs, 1);
	const unsigned char *wish = faas_event_data(event, &bytes);

	go_in(target);
	if (target->has_init && faas_context_state(context) != target)
		find(&target->scene->findings, "a handler without its worker's state");
	dawdle(&seed);
	if (bytes == 1 && *wish == WISH_OVERRUN)
		overrun(context, &seed);
	if (bytes == 1 && *wish == WISH_NEST)
		nest(target, context);
	go_out(target);
	if (bytes == 1 && *wish == WISH_FAIL) {
		atomic_fetch_add(&target->bad, 1);
		return 1;
	}
	atomic_fetch_add(&target->good, 1);
	return 0;
}

/* ---- Bursts ------------------------------------------------------------------------------------------------------ */

static unsigned char draw_wish(uint64_t *seed)
{
	uint64_t drawn = random_below(seed, 64);

	return drawn == 0 ? WISH_OVERRUN : drawn < 6 ? WISH_NEST : drawn < 12 ? WISH_FAIL : WISH_QUICK;
}

static void call_once(struct caller *caller)
{
	int at = (int)random_below(&caller->seed, FUNCTIONS), code;
	faas_function *function = caller->scene->targets[at].handle;
	unsigned char wish = draw_wish(&caller->seed);
	const faas_event_config event = {.struct_size = sizeof(event), .data = &wish, .data_bytes = 1};
	faas_invocation *invocation = NULL;

	switch (random_below(&caller->seed, 4)) {
	case 0:
		code = faas_function_invoke(function, &event, 1 + (int64_t)random_below(&caller->seed, 5), &invocation);
		caller->accepted[at] += invocation != NULL;
		if (!invocation)
			find(&caller->scene->findings, "an invoke was refused: %s", faas_error_name(code));
		break;
	case 1:
		code = faas_function_invoke_async(function, &event, &invocation);
		caller->accepted[at] += code == FAAS_OK;
		if (code != FAAS_OK)
			find(&caller->scene->findings, "an invoke was refused: %s", faas_error_name(code));
		if (code == FAAS_OK && random_below(&caller->seed, 4) == 0)
			(void)faas_invocation_cancel(invocation);
		break;
	default:
		code = faas_function_invoke_async(function, &event, NULL);
		caller->accepted[at] += code == FAAS_OK;
		break;
	}
	faas_invocation_unref(invocation);
}

static void call_in_bursts(void *arg)
{
	struct caller *caller = arg;

	for (int i = 0; i < CALLS; i++) {
		call_once(caller);
		if (random_below(&caller->seed, 16) == 0)
			sched_yield();
	}
}

static void lend(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->is_over))
		if (faas_run(scene->runtime, 4) <= 0)
			sched_yield();
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static uint64_t check_target(const struct target *target, uint64_t accepted)
{
	struct faas_function_stats stats = stats_of(target->handle);

	CHECK_EQUAL(stats.accepted, settled_of(&stats));
	CHECK_EQUAL(0, target->inside);
	CHECK_BETWEEN(1, target->limit, target->peak);
	/* What a handler says after its deadline, or after a cancel, is dropped. */
	CHECK_BETWEEN(stats.succeeded, stats.succeeded + stats.timed_out + stats.cancelled, target->good);
	CHECK_EQUAL(target->runs, target->good + target->bad);
	CHECK_BETWEEN(accepted, UINT32_MAX, stats.accepted);
	CHECK_EQUAL(0, stats.dropped + stats.rejected_full + stats.rejected_runtime_full + stats.rejected_closed);
	CHECK_EQUAL(stats.requests, stats.run_time.count);
	return stats.accepted - accepted;
}

static void check_all(struct scene *scene)
{
	struct faas_runtime_stats total = totals_of(scene->runtime);
	uint64_t nested = 0;

	for (int f = 0; f < FUNCTIONS; f++) {
		uint64_t accepted = 0;

		for (int t = 0; t < THREADS; t++)
			accepted += scene->callers[t].accepted[f];
		nested += check_target(&scene->targets[f], accepted);
	}
	CHECK_EQUAL(scene->nested, nested);
	CHECK_EQUAL(total.total.accepted, settled_of(&total.total));
}

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4), .allocator = &memory->config));
	for (int f = 0; f < FUNCTIONS; f++) {
		struct target *target = &scene->targets[f];
		faas_function_config config = {.struct_size = sizeof(config), .attempts = 1,
		                               .handler = handle,
		                               .user = target,
		                               .max_concurrency = limits[f],
		                               .deadline_ms = 1 + (int64_t)random_below(seed, 3),
		                               .init_backoff_ms = FAAS_NONE};

		target->scene = scene;
		target->limit = limits[f];
		target->has_init = random_below(seed, 2) == 0;
		if (target->has_init) {
			config.init = init;
			config.fini = fini;
			config.keep_warm_ms = random_below(seed, 2) == 0 ? 1 : 0;
			config.provisioned = (int32_t)random_below(seed, 2);
		}
		config.flags = f == 3 ? FAAS_FUNCTION_INLINE : 0;
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		target->handle = find_function(scene->runtime, names[f]);
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void limits_hold(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	faas_function *handles[FUNCTIONS];
	static struct tally_memory memory;
	struct play play;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, &memory, &seed);
	for (int f = 0; f < FUNCTIONS; f++)
		handles[f] = scene->targets[f].handle;
	play_init(&play, scene->runtime, handles, FUNCTIONS, &scene->findings);
	for (int t = 0; t < THREADS; t++) {
		scene->callers[t] = (struct caller){.scene = scene, .seed = stress_fork(&seed)};
		crowd_add(&play.actors, call_in_bursts, &scene->callers[t]);
	}
	crowd_add(&play.others, lend, scene);
	play_perform(&play);
	play_end(&play, &scene->is_over);
	check_all(scene);
	close_runtime(scene->runtime, 0);
	for (int f = 0; f < FUNCTIONS; f++) {
		CHECK_EQUAL(scene->targets[f].inits - scene->targets[f].failed_inits, scene->targets[f].finis);
		CHECK_EQUAL(0, stats_of(handles[f]).warm + stats_of(handles[f]).busy);
		faas_function_unref(handles[f]);
	}
	tally_check_empty(&memory);
	free(scene);
}

static void limits_under_bursts(void **state)
{
	(void)state;
	stress("concurrency@bursts", 12, limits_hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"concurrency@bursts, overruns and failed inits: the limit is never exceeded", limits_under_bursts, NULL, NULL,
	     NULL},
	};

	return cmocka_run_group_tests_name("stress concurrency", tests, NULL, NULL);
}
