/* SPDX-License-Identifier: MIT */
/*
 * Many threads emit to several functions at once. Each event that was taken is run exactly once, each number adds up,
 * and no snapshot taken meanwhile shows anything impossible. With routes that change: see stress_routes.c.
 */
#include "stress.h"

#define PRODUCERS 8
#define EVENTS 500 /* of each producer */
#define FUNCTIONS 6
#define REJECTS 4 /* this one's queue is short */
#define DROPS 5   /* and this one's drops its oldest */
#define FAILS_EVERY 7
#define ECHOES_EVERY 5

struct scene;

/* One function, and what its handler saw. */
struct target {
	struct scene *scene;
	int index;
	faas_function *handle;
	atomic_ullong succeeded, failed;
	atomic_uchar runs[PRODUCERS][EVENTS];
};

struct producer {
	struct scene *scene;
	int index;
	uint64_t seed;
	uint64_t taken;              /* invocations, by what emit returned */
	uint64_t matched[FUNCTIONS]; /* events whose type matches the function */
	uint64_t sure[FUNCTIONS];    /* of them, those it cannot have refused */
	unsigned char is_sure[FUNCTIONS][EVENTS];
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct target targets[FUNCTIONS];
	struct producer producers[PRODUCERS];
	atomic_ullong echoes_taken, echoes;
	atomic_int is_over;
};

struct message {
	int producer, event;
	uint64_t check; /* random bytes may follow */
};

static const char *const names[FUNCTIONS] = {"all", "first", "second", "tail", "rejects", "drops"};
static const char *const patterns[FUNCTIONS][2] = {
	{"job.>", "job.*.*"}, {"job.0.*", "job.1.*"}, {"*.2.x", "job.*.y"},
	{"job.3.>", NULL},    {"job.*.x", NULL},      {"job.*.>", NULL},
};

static int matches(int function, int kind, bool is_x)
{
	switch (function) {
	case 1:
		return kind <= 1;
	case 2:
		return is_x ? kind == 2 : 1;
	case 3:
		return kind == 3;
	case REJECTS:
		return is_x;
	default:
		return 1;
	}
}

static uint64_t check_of(int producer, int event)
{
	return ((uint64_t)producer << 32 | (uint64_t)event) * UINT64_C(0x9e3779b97f4a7c15);
}

static int echo(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->echoes, 1);
	return 0;
}

static int handle(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	struct findings *findings = &target->scene->findings;
	uint64_t bytes, seed;
	const struct message *message = faas_event_data(event, &bytes);

	if (bytes < sizeof(*message) || message->check != check_of(message->producer, message->event)) {
		find(findings, "%s: an event's data changed", names[target->index]);
		return 0;
	}
	if (atomic_fetch_add(&target->runs[message->producer][message->event], 1) != 0)
		find(findings, "%s: event %d of producer %d ran twice", names[target->index], message->event,
		     message->producer);
	seed = message->check;
	dawdle(&seed);
	if (target->index == 3 && message->event % ECHOES_EVERY == 0) {
		int taken = faas_context_emit_event(context, FAAS_EVENT(.type = "echo"), NULL);

		if (taken != 1)
			find(findings, "an echo was taken by %d", taken);
		atomic_fetch_add(&target->scene->echoes_taken, (unsigned long long)taken);
	}
	if (message->event % FAILS_EVERY == 0) {
		atomic_fetch_add(&target->failed, 1);
		return 1;
	}
	atomic_fetch_add(&target->succeeded, 1);
	return 0;
}

/* ---- Producing --------------------------------------------------------------------------------------------------- */

/* What an emission says must be what the emit said, and name the functions that match, in their order. */
static void check_emission(struct producer *producer, faas_emission *emission, int taken, int kind, bool is_x)
{
	struct findings *findings = &producer->scene->findings;
	int at = 0, accepted = 0;

	for (int f = 0; f < FUNCTIONS; f++) {
		struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

		if (!matches(f, kind, is_x))
			continue;
		if (faas_emission_entry(emission, at++, &entry) != FAAS_OK || strcmp(entry.function, names[f]) != 0) {
			find(findings, "an emission does not name %s", names[f]);
			return;
		}
		accepted += entry.code == FAAS_OK;
		if ((entry.code == FAAS_OK) != (entry.invocation != NULL))
			find(findings, "%s: an entry with code %d", names[f], entry.code);
		if (entry.code != FAAS_OK && f < REJECTS && entry.code != FAAS_EREFUSED)
			find(findings, "%s refused: %d", names[f], entry.code);
	}
	if (at != faas_emission_count(emission))
		find(findings, "an emission has %d entries, not %d", faas_emission_count(emission), at);
	if (accepted != (taken > 0 ? taken : 0))
		find(findings, "an emission has %d accepted, the emit said %d", accepted, taken);
}

/* Books what the producer knows after an emit. */
static void book(struct producer *producer, int event, const faas_event_config *config, int taken, int kind, bool is_x)
{
	bool all = (config->flags & FAAS_EMIT_ALL) != 0;
	int matched = 0;

	for (int f = 0; f < FUNCTIONS; f++) {
		if (!matches(f, kind, is_x))
			continue;
		matched++;
		producer->matched[f]++;
		producer->is_sure[f][event] = all ? taken > 0 : f < REJECTS || (f == REJECTS && config->wait_ms == FAAS_NEVER);
		producer->sure[f] += producer->is_sure[f][event];
	}
	if (taken > 0)
		producer->taken += (uint64_t)taken;
	if (taken < 0 && taken != FAAS_EFULL)
		find(&producer->scene->findings, "an emit failed with %s", faas_error_name(taken));
	if ((all && taken > 0 && taken != matched) || taken > matched || (!all && taken < matched - 2))
		find(&producer->scene->findings, "%d of %d took an event", taken, matched);
}

static void produce_one(struct producer *producer, int event)
{
	struct {
		struct message message;
		char rest[2000];
	} data = {.message = {.producer = producer->index, .event = event, .check = check_of(producer->index, event)}};
	int kind = (int)random_below(&producer->seed, 4), taken;
	bool is_x = random_below(&producer->seed, 2) == 0, asks = random_below(&producer->seed, 3) == 0;
	char type[16];
	faas_event_config config = {.struct_size = sizeof(config), .type = type, .data = &data};
	faas_emission *emission = NULL;

	(void)snprintf(type, sizeof(type), "job.%d.%c", kind, is_x ? 'x' : 'y');
	config.data_bytes = sizeof(data.message) + random_below(&producer->seed, event % 16 == 0 ? sizeof(data.rest) : 64);
	if (random_below(&producer->seed, 4) == 0)
		config.flags = FAAS_EMIT_ALL;
	if (random_below(&producer->seed, 4) == 0)
		config.wait_ms = FAAS_NEVER;
	taken = faas_emit_event(producer->scene->runtime, &config, asks ? &emission : NULL);
	book(producer, event, &config, taken, kind, is_x);
	if (asks) {
		check_emission(producer, emission, taken, kind, is_x);
		if (random_below(&producer->seed, 8) == 0 && faas_emission_wait(emission, FAAS_NEVER) != FAAS_OK)
			find(&producer->scene->findings, "an emission cannot be waited for");
		faas_emission_unref(emission);
	}
}

static void produce(void *arg)
{
	struct producer *producer = arg;

	for (int event = 0; event < EVENTS; event++) {
		produce_one(producer, event);
		if (random_below(&producer->seed, 4) == 0)
			dawdle(&producer->seed);
	}
}

/* A host's thread that lends itself. */
static void lend(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->is_over))
		if (faas_run(scene->runtime, 16) <= 0)
			sched_yield();
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

/* Of what a producer knows for sure, each was run once; of the rest, none more than once (the handler sees to that). */
static void check_runs(const struct scene *scene, int f)
{
	for (int p = 0; p < PRODUCERS; p++)
		for (int e = 0; e < EVENTS; e++)
			if (scene->producers[p].is_sure[f][e] && f != DROPS && scene->targets[f].runs[p][e] != 1)
				fail_msg("FAAS_TEST_SEED=%llu: %s: event %d of %d ran %d times", (unsigned long long)stress_seed,
				         names[f], e, p, scene->targets[f].runs[p][e]);
}

static uint64_t check_function(const struct scene *scene, int f)
{
	const struct target *target = &scene->targets[f];
	struct faas_function_stats stats;
	uint64_t matched = 0, sure = 0;

	/* All is settled, but the batch of the last ones may just be ending. */
	UNTIL(stats_of(target->handle).queued_bytes == 0);
	stats = stats_of(target->handle);

	for (int p = 0; p < PRODUCERS; p++) {
		matched += scene->producers[p].matched[f];
		sure += scene->producers[p].sure[f];
	}
	CHECK_EQUAL(matched, stats.offered);
	CHECK_EQUAL(stats.accepted, settled_of(&stats));
	CHECK_EQUAL(target->succeeded, stats.succeeded);
	CHECK_EQUAL(target->failed, stats.failed);
	CHECK_EQUAL(0, stats.running + stats.queued + stats.queued_bytes);
	if (f < REJECTS)
		CHECK_EQUAL(sure, stats.accepted);
	if (f != DROPS)
		CHECK_EQUAL(0, stats.dropped);
	check_runs(scene, f);
	return stats.accepted;
}

static void check_totals(struct scene *scene)
{
	struct faas_runtime_stats total;
	uint64_t accepted = 0, taken = scene->echoes_taken;

	for (int f = 0; f < FUNCTIONS; f++)
		accepted += check_function(scene, f);
	total = totals_of(scene->runtime);
	for (int p = 0; p < PRODUCERS; p++)
		taken += scene->producers[p].taken;
	CHECK_EQUAL(taken, accepted + scene->echoes);
	CHECK_EQUAL(taken, total.total.accepted);
	CHECK_EQUAL(taken, settled_of(&total.total));
	CHECK_EQUAL(0, total.total.running + total.total.queued + total.total.queued_bytes);
	CHECK_EQUAL(PRODUCERS * EVENTS + scene->echoes_taken, total.emitted);
	CHECK_EQUAL(0, total.unmatched);
	CHECK_EQUAL(scene->echoes_taken, scene->echoes);
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4),
	                              .spin_us = random_below(seed, 2) ? FAAS_NONE : 20, .allocator = &memory->config));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene->runtime, "echo", ONCE(.handler = echo, .user = scene)));
	assert_int_equal(FAAS_OK, faas_bind(scene->runtime, FAAS_BINDING(.pattern = "echo", .function = "echo"), NULL));
	for (int f = 0; f < FUNCTIONS; f++) {
		struct target *target = &scene->targets[f];
		faas_function_config config = {
			.struct_size = sizeof(config), .attempts = 1, .handler = handle, .user = target, .deadline_ms = FAAS_NEVER};

		target->scene = scene;
		target->index = f;
		if (random_below(seed, 3) == 0)
			config.max_concurrency = 1 + (int32_t)random_below(seed, 3);
		if (f >= REJECTS)
			config.queue_events = 8 + (int32_t)random_below(seed, 64);
		config.queue_full = f == DROPS ? FAAS_FULL_DROP_OLDEST : FAAS_FULL_REJECT;
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		for (int b = 0; b < 2 && patterns[f][b]; b++)
			assert_int_equal(FAAS_OK, faas_bind(scene->runtime,
			                                    FAAS_BINDING(.pattern = patterns[f][b], .function = names[f]), NULL));
		target->handle = find_function(scene->runtime, names[f]);
	}
}

static void every_event_runs_once_and_is_counted_once(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	static struct tally_memory memory;
	faas_function *handles[FUNCTIONS];
	struct play play;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, &memory, &seed);
	for (int f = 0; f < FUNCTIONS; f++)
		handles[f] = scene->targets[f].handle;
	play_init(&play, scene->runtime, handles, FUNCTIONS, &scene->findings);
	for (int p = 0; p < PRODUCERS; p++) {
		scene->producers[p] = (struct producer){.scene = scene, .index = p, .seed = stress_fork(&seed)};
		crowd_add(&play.actors, produce, &scene->producers[p]);
	}
	if (random_below(&seed, 2) == 0)
		crowd_add(&play.others, lend, scene);
	play_perform(&play);
	play_end(&play, &scene->is_over);
	check_totals(scene);
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->targets[f].handle);
	close_runtime(scene->runtime, 0);
	tally_check_empty(&memory);
	free(scene);
}

static void fan_out(void **state)
{
	(void)state;
	stress("emit@fan-out", 20, every_event_runs_once_and_is_counted_once);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"emit@many threads and functions: every event runs once and is counted once", fan_out, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress emit", tests, NULL, NULL);
}
