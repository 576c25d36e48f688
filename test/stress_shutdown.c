/* SPDX-License-Identifier: MIT */
/*
 * Draining and closing out of random states: with work that is queued, delayed, running, deferred and hung, while
 * handles and tokens are still used. What a close says it found agrees with what the functions count, everything that
 * was accepted has ended when it is over, every init has had its fini, and no memory is left.
 */
#include "stress.h"

#define PRODUCERS 4
#define USERS 3 /* cancel and complete while the runtime ends */
#define FUNCTIONS 6
#define EVENTS 120 /* of each producer, at most */
#define BURST 300
#define HANDLES 512
#define TOKENS 2048

struct scene;

struct target {
	struct scene *scene;
	faas_function *handle;
	atomic_ullong states, ended_states, releases, purged;
};

struct member {
	struct scene *scene;
	uint64_t seed, accepted, cancels;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct target targets[FUNCTIONS];
	struct member producers[PRODUCERS];
	struct member users[USERS];
	pthread_mutex_t mutex;
	faas_invocation *handles[HANDLES]; /* under mutex, like the rest */
	faas_deferral *tokens[TOKENS];
	int handle_count, token_count;
	atomic_int may_return; /* those that hang go on */
	atomic_int hanging;
	atomic_ullong asked, called;
	atomic_int is_over;
};

static const char *const names[FUNCTIONS] = {"quick", "slow", "fails", "defers", "hangs", "ordered"};

/* ---- What is passed on ------------------------------------------------------------------------------------------- */

static void put_handle(struct scene *scene, faas_invocation *invocation)
{
	pthread_mutex_lock(&scene->mutex);
	if (scene->handle_count < HANDLES) {
		scene->handles[scene->handle_count++] = invocation;
		invocation = NULL;
	}
	pthread_mutex_unlock(&scene->mutex);
	faas_invocation_unref(invocation);
}

static faas_invocation *get_handle(struct scene *scene, uint64_t *seed)
{
	faas_invocation *invocation = NULL;

	pthread_mutex_lock(&scene->mutex);
	if (scene->handle_count > 0) {
		int at = (int)random_below(seed, (uint64_t)scene->handle_count);

		invocation = scene->handles[at];
		scene->handles[at] = scene->handles[--scene->handle_count];
	}
	pthread_mutex_unlock(&scene->mutex);
	return invocation;
}

static void put_token(struct scene *scene, faas_deferral *token)
{
	pthread_mutex_lock(&scene->mutex);
	if (scene->token_count < TOKENS) {
		scene->tokens[scene->token_count++] = token;
		token = NULL;
	}
	pthread_mutex_unlock(&scene->mutex);
	faas_deferral_unref(token);
}

static faas_deferral *get_token(struct scene *scene)
{
	faas_deferral *token = NULL;

	pthread_mutex_lock(&scene->mutex);
	if (scene->token_count > 0)
		token = scene->tokens[--scene->token_count];
	pthread_mutex_unlock(&scene->mutex);
	return token;
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static int init(faas_context *context, void **ret_state)
{
	struct target *target = faas_context_user(context);

	atomic_fetch_add(&target->states, 1);
	*ret_state = target;
	return 0;
}

static void fini(void *state, void *user)
{
	struct target *target = user;

	if (state != target || atomic_load(&target->releases) > 0)
		find(&target->scene->findings, "a fini without its state, or after the release");
	atomic_fetch_add(&target->ended_states, 1);
}

static void release(void *user)
{
	struct target *target = user;

	atomic_fetch_add(&target->releases, 1);
}

static int quick(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	return 0;
}

/* Goes on until its deadline, a cancel, or for a while. */
static int slow(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	uint64_t seed = atomic_load(&target->scene->asked);

	(void)event;
	for (uint64_t i = random_below(&seed, 300); i > 0 && !faas_context_is_cancelled(context); i--)
		sched_yield();
	/* What work causes is taken while the runtime drains. */
	if (random_below(&seed, 4) == 0)
		(void)faas_context_invoke_async(context, "quick", NULL, NULL);
	return 0;
}

static int fail_always(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_fail(context, "as always");
}

static int defer(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	faas_deferral *token;

	(void)event;
	if (faas_context_defer(context, &token) == FAAS_OK)
		put_token(target->scene, token);
	return 0;
}

static int hang(faas_context *context, const faas_event *event)
{
	struct scene *scene = ((struct target *)faas_context_user(context))->scene;

	(void)event;
	atomic_fetch_add(&scene->hanging, 1);
	while (!atomic_load(&scene->may_return))
		sched_yield();
	atomic_fetch_sub(&scene->hanging, 1);
	return 0;
}

/* ---- Before the end ---------------------------------------------------------------------------------------------- */

static void on_settled(faas_invocation *invocation, void *user)
{
	struct scene *scene = user;

	if (faas_invocation_status(invocation) < FAAS_STATUS_SUCCEEDED)
		find(&scene->findings, "a callback before the end");
	atomic_fetch_add(&scene->called, 1);
}

static void produce(void *arg)
{
	struct member *member = arg;
	struct scene *scene = member->scene;

	for (uint64_t i = random_below(&member->seed, EVENTS); i > 0; i--) {
		uint64_t drawn = random_below(&member->seed, 24);
		/* Few hang. */
		int at = drawn == 0 ? 4 : drawn < 6 ? 0 : drawn < 11 ? 1 : drawn < 15 ? 2 : drawn < 19 ? 3 : 5;
		const faas_event_config event = {.struct_size = sizeof(event), .key = drawn & 1 ? "odd" : "even"};
		faas_invocation *invocation = NULL;

		if (faas_function_invoke_async(scene->targets[at].handle, &event,
		                               random_below(&member->seed, 3) == 0 ? &invocation : NULL) != FAAS_OK) {
			find(&scene->findings, "an invoke was refused");
			continue;
		}
		member->accepted++;
		if (!invocation)
			continue;
		if (faas_invocation_on_settled(invocation, on_settled, scene) == FAAS_OK)
			atomic_fetch_add(&scene->asked, 1);
		put_handle(scene, invocation);
	}
}

/* What a function's handle is good for at any time. */
static void use_function(struct member *member, struct target *target)
{
	faas_invocation *letter;
	uint64_t position = 0;
	int count;

	switch (random_below(&member->seed, 4)) {
	case 0:
		count = faas_function_cancel_all(target->handle);
		member->cancels += (uint64_t)count;
		break;
	case 1:
		count = faas_function_purge(target->handle, NULL);
		atomic_fetch_add(&target->purged, (unsigned long long)count);
		break;
	case 2:
		count = faas_function_redrive(target->handle, NULL);
		/* It may drain, or be closed. */
		count = count == FAAS_ECLOSED || count == FAAS_ENOTFOUND ? 0 : count;
		break;
	default:
		count = 0;
		if (faas_function_dead_letter(target->handle, &position, &letter) == FAAS_OK)
			put_handle(member->scene, letter);
		break;
	}
	if (count < 0)
		find(&member->scene->findings, "sweep, purge or redrive: %s", faas_error_name(count));
}

/* Through handles and tokens, also while the runtime is closed, and after. */
static void use(void *arg)
{
	struct member *member = arg;
	struct scene *scene = member->scene;

	for (;;) {
		bool is_over = atomic_load(&scene->is_over) != 0;
		faas_invocation *invocation = get_handle(scene, &member->seed);
		faas_deferral *token = random_below(&member->seed, 4) == 0 || is_over ? get_token(scene) : NULL;

		if (token && random_below(&member->seed, 3) > 0)
			(void)faas_complete(token, NULL, 0, NULL);
		faas_deferral_unref(token);
		if (invocation && random_below(&member->seed, 3) == 0)
			member->cancels += faas_invocation_cancel(invocation) == FAAS_OK;
		faas_invocation_unref(invocation);
		if (random_below(&member->seed, 200) == 0)
			use_function(member, &scene->targets[random_below(&member->seed, FUNCTIONS)]);
		if (is_over && !invocation && !token)
			return;
		if (random_below(&member->seed, 4) == 0)
			dawdle(&member->seed);
	}
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void check_report(struct scene *scene, const struct faas_close_stats *report)
{
	uint64_t accepted = 0, sent = 0, cancelled = 0, others = 0;

	for (int f = 0; f < FUNCTIONS; f++) {
		struct faas_function_stats stats = stats_of(scene->targets[f].handle);

		CHECK_EQUAL(stats.accepted, settled_of(&stats));
		CHECK_EQUAL(0, stats.queued + stats.delayed + stats.running + stats.deferred + stats.overrunning);
		CHECK_EQUAL(0, stats.warm + stats.busy + stats.starting);
		CHECK_EQUAL(0, stats.dead_letters + stats.queued_bytes);
		/* Those of a function that is closed are lost without having been added. */
		CHECK_BETWEEN(stats.dead_letters_added, UINT32_MAX,
		              stats.dead_letters_lost + stats.dead_letters_redriven + scene->targets[f].purged);
		CHECK_EQUAL(scene->targets[f].states, scene->targets[f].ended_states);
		CHECK_EQUAL(1, scene->targets[f].releases);
		accepted += stats.accepted;
		cancelled += stats.cancelled;
	}
	for (int t = 0; t < PRODUCERS; t++)
		sent += scene->producers[t].accepted;
	CHECK_BETWEEN(sent, UINT32_MAX, accepted);
	for (int t = 0; t < USERS; t++)
		others += scene->users[t].cancels;
	CHECK_EQUAL(cancelled, others + report->queued + report->delayed + report->running + report->deferred);
}

/* Closes, lets go what hangs as soon as only that is left, and closes again. */
static void close_in_steps(struct scene *scene, uint64_t *seed, struct faas_close_stats *report)
{
	struct faas_close_stats again = {.struct_size = sizeof(again)};
	int code = faas_close_with_report(scene->runtime, (int64_t)random_below(seed, 4), 0, report);

	if (code == FAAS_EBUSY) {
		CHECK_BETWEEN(atomic_load(&scene->hanging), UINT32_MAX, report->overrunning);
	} else {
		CHECK_EQUAL(0, report->overrunning);
	}
	atomic_store(&scene->may_return, 1);
	while (code == FAAS_EBUSY) {
		code = faas_close_with_report(scene->runtime, 10, 0, &again);
		CHECK_EQUAL(report->queued, again.queued);
		CHECK_EQUAL(report->delayed, again.delayed);
		CHECK_EQUAL(report->dead_letters, again.dead_letters);
		report->running = again.running;
		report->deferred = again.deferred;
	}
	assert_int_equal(FAAS_OK, code);
}

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	static faas_handler_fn *const handlers[FUNCTIONS] = {quick, slow, fail_always, defer, hang, slow};

	assert_int_equal(0, pthread_mutex_init(&scene->mutex, NULL));
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4), .allocator = &memory->config,
	                              .max_concurrency = random_below(seed, 4) == 0 ? 4 : 0));
	for (int f = 0; f < FUNCTIONS; f++) {
		struct target *target = &scene->targets[f];
		faas_function_config config = {.struct_size = sizeof(config),
		                               .handler = handlers[f],
		                               .init = init,
		                               .fini = fini,
		                               .release = release,
		                               .user = target,
		                               .deadline_ms = 2 + (int64_t)random_below(seed, 20),
		                               .attempts = f == 2 ? FAAS_UNLIMITED : 1 + (int32_t)random_below(seed, 2),
		                               .max_age_ms = f == 2 && random_below(seed, 3) == 0 ? 5 : 0,
		                               .backoff_ms = 1 + (int64_t)random_below(seed, 10)};

		target->scene = scene;
		if (random_below(seed, 2) == 0)
			config.max_concurrency = 1 + (int32_t)random_below(seed, 3);
		if (f == 5)
			config.order = FAAS_ORDER_BY_KEY;
		if (f == 1)
			config.on_success = "quick";
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		target->handle = find_function(scene->runtime, names[f]);
	}
}

static void scene_start(struct scene *scene, struct crowd *users, uint64_t *seed)
{
	faas_function *handles[FUNCTIONS];
	struct crowd crowd, watchers;
	struct watch watch;

	for (int f = 0; f < FUNCTIONS; f++)
		handles[f] = scene->targets[f].handle;
	watch_init(&watch, scene->runtime, handles, FUNCTIONS, &scene->findings);
	crowd_init(&crowd);
	crowd_init(users);
	crowd_init(&watchers);
	for (int t = 0; t < PRODUCERS; t++) {
		scene->producers[t].scene = scene;
		scene->producers[t].seed = stress_fork(seed);
		crowd_add(&crowd, produce, &scene->producers[t]);
	}
	for (int t = 0; t < USERS; t++) {
		scene->users[t].scene = scene;
		scene->users[t].seed = stress_fork(seed);
		crowd_add(users, use, &scene->users[t]);
	}
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(users);
	crowd_start(&crowd);
	crowd_join(&crowd);
	for (uint64_t i = random_below(seed, 3) * random_below(seed, 60); i > 0; i--)
		sched_yield();
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
}

/* The end of the scene's own things; the runtime is gone, or will be. */
static void scene_end(struct scene *scene, struct crowd *users)
{
	atomic_store(&scene->is_over, 1);
	crowd_join(users);
	check_findings(&scene->findings);
}

static void scene_free(struct scene *scene)
{
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->targets[f].handle);
}

static void closing_agrees(uint64_t seed)
{
	struct faas_close_stats report = {.struct_size = sizeof(report)};
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct crowd users;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, &memory, &seed);
	scene_start(scene, &users, &seed);
	if (random_below(&seed, 3) == 0) {
		int code = faas_drain(scene->runtime, (int64_t)random_below(&seed, 5));

		if (code != FAAS_OK && code != FAAS_EPENDING)
			find(&scene->findings, "a drain: %s", faas_error_name(code));
		if (faas_invoke_async(scene->runtime, "quick", NULL, NULL) != FAAS_ECLOSED)
			find(&scene->findings, "a runtime that drains takes events");
	}
	/* So that threads have taken several at a time. */
	else if (random_below(&seed, 2) == 0)
		for (int i = 0; i < BURST; i++)
			scene->producers[0].accepted += faas_function_invoke_async(scene->targets[0].handle, NULL, NULL) == FAAS_OK;
	close_in_steps(scene, &seed, &report);
	/* A callback may still run on the thread that cancelled or completed. */
	scene_end(scene, &users);
	CHECK_EQUAL(scene->asked, scene->called);
	check_report(scene, &report);
	scene_free(scene);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->mutex);
	free(scene);
}

/* The last of the hung handlers frees the runtime. */
static void detaching_frees(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	struct faas_function_stats stats;
	struct crowd users;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, &memory, &seed);
	scene_start(scene, &users, &seed);
	assert_int_equal(FAAS_OK,
	                 faas_close_with_report(scene->runtime, (int64_t)random_below(&seed, 3), FAAS_CLOSE_DETACH, NULL));
	dawdle(&seed);
	atomic_store(&scene->may_return, 1);
	scene_end(scene, &users);
	for (int f = 0; f < FUNCTIONS; f++) {
		UNTIL(atomic_load(&scene->targets[f].releases) == 1);
		stats = stats_of(scene->targets[f].handle);
		CHECK_EQUAL(stats.accepted, settled_of(&stats));
		CHECK_EQUAL(scene->targets[f].states, scene->targets[f].ended_states);
	}
	CHECK_EQUAL(scene->asked, scene->called);
	/* A handler that was still at it may have left a token after the users had gone. */
	use(&scene->users[0]);
	scene_free(scene);
	UNTIL(atomic_load(&memory.blocks) == 0);
	tally_check_empty(&memory);
	pthread_mutex_destroy(&scene->mutex);
	free(scene);
}

static void closing(void **state)
{
	(void)state;
	stress("shutdown@close", 60, closing_agrees);
}

static void detaching(void **state)
{
	(void)state;
	stress("shutdown@detach", 40, detaching_frees);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"shutdown@close out of any state: the report agrees with the accounts", closing, NULL, NULL, NULL},
		{"shutdown@detach out of any state: the last to leave frees all", detaching, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress shutdown", tests, NULL, NULL);
}
