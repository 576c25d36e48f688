/* SPDX-License-Identifier: MIT */
/*
 * Order by key, from sixteen threads: of each key one handler runs at a time, and events begin in the order in which
 * they were accepted, though attempts fail, overrun, are deferred, cancelled, dropped, expire, and are run by those who
 * wait for them.
 *
 * Counters inside the handlers prove it; and plain variables that only the order keeps from being a data race.
 */
#include "stress.h"

#define THREADS 16
#define CALLS 90 /* of each thread */
#define FUNCTIONS 4
#define KEYS 12
#define SHARED_KEYS 6 /* the first of them: used by all threads, each time under a lock that fixes the order */
#define COMPLETERS 2
#define TOKENS 4096

struct scene;

/* What an event carries. */
struct load {
	uint32_t thread, key; /* KEYS: none */
	uint64_t number;      /* of its thread's events of the key; of a shared key, of all */
	uint64_t random;
	uint32_t is_loose; /* it may have been overtaken: the order in which it was accepted is not known */
	uint32_t unused;
};

/* A key of one function. */
struct key {
	pthread_mutex_t mutex;
	uint64_t next; /* of a shared key: under mutex */
	atomic_int inside;
	atomic_ullong begun;        /* which event began last, as of who_of */
	uint64_t last[THREADS + 1]; /* the number that began last, of each thread; the handlers' alone: kept by the order */
	uint64_t turns;             /* likewise */
};

struct target {
	struct scene *scene;
	faas_function *handle;
	struct key keys[KEYS];
	atomic_ullong runs;
};

struct token {
	faas_deferral *deferral;
	struct key *key; /* NULL: none */
	uint64_t who;
};

struct caller {
	struct scene *scene;
	uint32_t index;
	uint64_t seed;
	uint64_t next[FUNCTIONS][KEYS];
	uint64_t accepted[FUNCTIONS], asked, cancels;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct target targets[FUNCTIONS];
	struct caller callers[THREADS];
	struct caller completers[COMPLETERS];
	pthread_mutex_t tokens_mutex;
	struct token tokens[TOKENS]; /* under tokens_mutex */
	int token_count;
	atomic_ullong settled, nested, swept;
	atomic_int is_over;
};

static const char *const names[FUNCTIONS] = {"wide", "narrow", "short", "nests"};
static const char *const key_names[KEYS] = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"};

static uint64_t who_of(const struct load *load)
{
	return (load->number << 8 | load->thread) + 1;
}

/* ---- Deferrals --------------------------------------------------------------------------------------------------- */

static void token_put(struct scene *scene, const struct token *token)
{
	bool fits;

	pthread_mutex_lock(&scene->tokens_mutex);
	fits = scene->token_count < TOKENS;
	if (fits)
		scene->tokens[scene->token_count++] = *token;
	pthread_mutex_unlock(&scene->tokens_mutex);
	if (!fits)
		faas_deferral_unref(token->deferral);
}

static bool token_get(struct scene *scene, uint64_t *seed, struct token *token)
{
	bool found;

	pthread_mutex_lock(&scene->tokens_mutex);
	found = scene->token_count > 0;
	if (found) {
		int at = (int)random_below(seed, (uint64_t)scene->token_count);

		*token = scene->tokens[at];
		scene->tokens[at] = scene->tokens[--scene->token_count];
	}
	pthread_mutex_unlock(&scene->tokens_mutex);
	return found;
}

/* As long as a completion counts, nothing else of the key can have begun. */
static void complete(struct caller *caller, const struct token *token)
{
	unsigned long long before = token->key ? atomic_load(&token->key->begun) : 0;
	int code = FAAS_ESETTLED;

	switch (random_below(&caller->seed, 4)) {
	case 0:
	case 1:
		code = faas_complete(token->deferral, NULL, 0, NULL);
		break;
	case 2:
		code = faas_complete_failed(token->deferral, "again");
		break;
	default:
		break;
	}
	if (code == FAAS_OK && token->key && before != token->who)
		find(&caller->scene->findings, "a key went on while an event of it was deferred");
	faas_deferral_unref(token->deferral);
}

static void complete_until_over(void *arg)
{
	struct caller *caller = arg;
	struct token token;

	for (;;) {
		bool is_over = atomic_load(&caller->scene->is_over) != 0;

		if (token_get(caller->scene, &caller->seed, &token)) {
			if (random_below(&caller->seed, 3) == 0)
				dawdle(&caller->seed);
			complete(caller, &token);
		} else if (is_over) {
			return;
		} else {
			sched_yield();
		}
	}
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static void go_in(struct target *target, struct key *key, const struct load *load)
{
	struct findings *findings = &target->scene->findings;
	uint32_t line = load->key < SHARED_KEYS ? THREADS : load->thread;
	int inside = atomic_fetch_add_explicit(&key->inside, 1, memory_order_relaxed);

	if (inside != 0)
		find(findings, "%d of key %u at once", inside + 1, load->key);
	key->turns++;
	if (!load->is_loose) {
		if (load->number < key->last[line])
			find(findings, "key %u: %llu after %llu", load->key, (unsigned long long)load->number,
			     (unsigned long long)key->last[line]);
		key->last[line] = load->number;
	}
	atomic_store_explicit(&key->begun, who_of(load), memory_order_relaxed);
}

static void go_out(struct key *key)
{
	key->turns++;
	atomic_fetch_sub_explicit(&key->inside, 1, memory_order_relaxed);
}

static void nest(struct target *target, faas_context *context, uint64_t *seed)
{
	struct load load = {.thread = THREADS,
	                    .key = (uint32_t)random_below(seed, KEYS),
	                    .is_loose = 1,
	                    .random = random_below(seed, UINT64_MAX)};
	faas_invocation *invocation = NULL;
	int at = (int)random_below(seed, 2), code;
	const faas_event_config event = {
		.struct_size = sizeof(event), .data = &load, .data_bytes = sizeof(load), .key = key_names[load.key]};

	/* What nobody holds a handle of stands before what is waited for. */
	for (uint64_t i = random_below(seed, 3); i > 0; i--)
		atomic_fetch_add(&target->scene->nested,
		                 faas_context_invoke_async(context, names[at], &event, NULL) == FAAS_OK);
	if (random_below(seed, 2) == 0) {
		code = faas_context_invoke(context, names[at], &event, 0, &invocation);
	} else {
		code = faas_context_invoke_async(context, names[at], &event, &invocation);
		if (code == FAAS_OK)
			(void)faas_invocation_wait(invocation, 2);
	}
	atomic_fetch_add(&target->scene->nested, invocation != NULL);
	faas_invocation_unref(invocation);
	if (!invocation)
		find(&target->scene->findings, "a nested call was refused: %s", faas_error_name(code));
}

static int behave(struct target *target, faas_context *context, struct key *key, const struct load *load)
{
	uint64_t seed = load->random + (uint64_t)faas_context_attempt(context);
	struct token token = {.key = key, .who = who_of(load)};

	switch (random_below(&seed, 24)) {
	case 0:
	case 1:
		return 1;
	case 2:
		return faas_context_fail_permanent(context, "for good");
	case 3:
		/* What overruns keeps its key. */
		while (!faas_context_is_cancelled(context))
			sched_yield();
		dawdle(&seed);
		dawdle(&seed);
		return 0;
	case 4:
	case 5:
	case 6:
		if (faas_context_defer(context, &token.deferral) == FAAS_OK)
			token_put(target->scene, &token);
		return 0;
	case 7:
	case 8:
		if (target == &target->scene->targets[3])
			nest(target, context, &seed);
		return 0;
	default:
		dawdle(&seed);
		return 0;
	}
}

static int handle(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	struct load load;
	struct key *key;
	int result;

	memcpy(&load, faas_event_data(event, NULL), sizeof(load));
	atomic_fetch_add(&target->runs, 1);
	key = load.key < KEYS ? &target->keys[load.key] : NULL;
	if (key)
		go_in(target, key, &load);
	result = behave(target, context, key, &load);
	if (key)
		go_out(key);
	return result;
}

/* ---- Callers ----------------------------------------------------------------------------------------------------- */

static void on_settled(faas_invocation *invocation, void *user)
{
	struct scene *scene = user;

	if (faas_invocation_status(invocation) < FAAS_STATUS_SUCCEEDED)
		find(&scene->findings, "a callback before the end");
	atomic_fetch_add(&scene->settled, 1);
}

static void look_after(struct caller *caller, faas_invocation *invocation)
{
	if (faas_invocation_on_settled(invocation, on_settled, caller->scene) == FAAS_OK)
		caller->asked++;
	switch (random_below(&caller->seed, 6)) {
	case 0:
	case 1:
		dawdle(&caller->seed);
		caller->cancels += faas_invocation_cancel(invocation) == FAAS_OK;
		break;
	case 2:
		if (faas_invocation_wait(invocation, FAAS_NEVER) != FAAS_OK)
			find(&caller->scene->findings, "a wait did not end well");
		break;
	default:
		break;
	}
}

static void call_once(struct caller *caller)
{
	uint32_t at = (uint32_t)random_below(&caller->seed, FUNCTIONS);
	struct target *target = &caller->scene->targets[at];
	struct load load = {.thread = caller->index,
	                    .key = (uint32_t)random_below(&caller->seed, KEYS + 2),
	                    .random = random_below(&caller->seed, UINT64_MAX)};
	bool is_shared = load.key < SHARED_KEYS, is_sync = !is_shared && random_below(&caller->seed, 6) == 0;
	faas_event_config event = {.struct_size = sizeof(event), .data = &load, .data_bytes = sizeof(load)};
	faas_invocation *invocation = NULL;
	int code;

	if (load.key >= KEYS)
		load.key = KEYS;
	else
		event.key = key_names[load.key];
	if (is_shared) {
		pthread_mutex_lock(&target->keys[load.key].mutex);
		load.number = target->keys[load.key].next++;
	} else if (load.key < KEYS) {
		load.number = caller->next[at][load.key]++;
	}
	if (is_sync)
		code = faas_function_invoke(target->handle, &event, (int64_t)random_below(&caller->seed, 6), &invocation);
	else
		code = faas_function_invoke_async(target->handle, &event, random_below(&caller->seed, 2) ? &invocation : NULL);
	if (is_shared)
		pthread_mutex_unlock(&target->keys[load.key].mutex);
	if (is_sync ? invocation != NULL : code == FAAS_OK)
		caller->accepted[at]++;
	else if (at != 2 || code != FAAS_EFULL)
		find(&caller->scene->findings, "a call was refused: %s", faas_error_name(code));
	if (invocation && !is_sync)
		look_after(caller, invocation);
	faas_invocation_unref(invocation);
}

static void call(void *arg)
{
	struct caller *caller = arg;

	for (int i = 0; i < CALLS; i++) {
		call_once(caller);
		if (random_below(&caller->seed, 300) == 0) {
			struct target *target = &caller->scene->targets[random_below(&caller->seed, FUNCTIONS)];

			atomic_fetch_add(&caller->scene->swept, (unsigned long long)faas_function_cancel_all(target->handle));
		}
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4), .allocator = &memory->config,
	                              .max_concurrency = random_below(seed, 4) == 0 ? 3 : 0));
	assert_int_equal(0, pthread_mutex_init(&scene->tokens_mutex, NULL));
	for (int f = 0; f < FUNCTIONS; f++) {
		struct target *target = &scene->targets[f];
		faas_function_config config = {.struct_size = sizeof(config),
		                               .handler = handle,
		                               .user = target,
		                               .order = FAAS_ORDER_BY_KEY,
		                               .attempts = 1 + (int32_t)random_below(seed, 4),
		                               .deadline_ms = 1 + (int64_t)random_below(seed, 4),
		                               .backoff_ms = random_below(seed, 2) ? FAAS_NONE : 1,
		                               .backoff_max_ms = 2,
		                               .max_age_ms = random_below(seed, 2) ? 1 + (int64_t)random_below(seed, 4) : 0,
		                               .dead_letters = 20};

		target->scene = scene;
		for (int k = 0; k < KEYS; k++)
			assert_int_equal(0, pthread_mutex_init(&target->keys[k].mutex, NULL));
		config.max_concurrency = f == 1 ? 2 : 0;
		if (f == 2) {
			config.queue_events = 8;
			config.queue_full = FAAS_FULL_DROP_OLDEST;
		}
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		target->handle = find_function(scene->runtime, names[f]);
	}
}

static void check_all(struct scene *scene)
{
	struct faas_runtime_stats total = totals_of(scene->runtime);
	uint64_t accepted = 0, cancels = 0, asked = 0;

	for (int t = 0; t < THREADS; t++) {
		for (int f = 0; f < FUNCTIONS; f++)
			accepted += scene->callers[t].accepted[f];
		cancels += scene->callers[t].cancels;
		asked += scene->callers[t].asked;
	}
	CHECK_EQUAL(accepted + scene->nested, total.total.accepted);
	CHECK_EQUAL(total.total.accepted, settled_of(&total.total));
	CHECK_EQUAL(cancels + scene->swept, total.total.cancelled);
	UNTIL(atomic_load(&scene->settled) >= asked);
	CHECK_EQUAL(asked, scene->settled);
	for (int f = 0; f < FUNCTIONS; f++) {
		struct faas_function_stats stats = stats_of(scene->targets[f].handle);

		/* The short queue may be full of what waits for a retry, which is not dropped. */
		CHECK_EQUAL(f == 2 ? stats.rejected_full : 0, stats.rejected);
		CHECK_EQUAL(0, stats.queued_bytes);
		CHECK_EQUAL(scene->targets[f].runs, stats.cold_starts + stats.warm_starts);
		for (int k = 0; k < KEYS; k++)
			CHECK_EQUAL(0, scene->targets[f].keys[k].inside);
	}
}

static void scene_free(struct scene *scene)
{
	for (int f = 0; f < FUNCTIONS; f++)
		for (int k = 0; k < KEYS; k++)
			pthread_mutex_destroy(&scene->targets[f].keys[k].mutex);
	pthread_mutex_destroy(&scene->tokens_mutex);
	free(scene);
}

static void order_holds(uint64_t seed)
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
		scene->callers[t].scene = scene;
		scene->callers[t].index = (uint32_t)t;
		scene->callers[t].seed = stress_fork(&seed);
		crowd_add(&play.actors, call, &scene->callers[t]);
	}
	for (int t = 0; t < COMPLETERS; t++) {
		scene->completers[t].scene = scene;
		scene->completers[t].seed = stress_fork(&seed);
		crowd_add(&play.others, complete_until_over, &scene->completers[t]);
	}
	play_perform(&play);
	play_end(&play, &scene->is_over);
	check_all(scene);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(handles[f]);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	scene_free(scene);
}

static void keys_under_load(void **state)
{
	(void)state;
	stress("key@order", 12, order_holds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"key@retries, overruns, deferrals, cancels, nested calls: one at a time, in order", keys_under_load, NULL,
	     NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress key", tests, NULL, NULL);
}
