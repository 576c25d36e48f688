/* SPDX-License-Identifier: MIT */
/*
 * Retries, destinations and dead letters under everything at once: attempts fail, are deferred, time out and go on
 * beside the attempt that follows them; events are cancelled; functions are swept and unregistered; letters are walked,
 * redriven and purged by several threads. Every event that was accepted ends once, every end is delivered to one place,
 * and all numbers agree.
 */
#include "stress.h"

#define PRODUCERS 6
#define KEEPERS 2  /* look after dead letters */
#define EVENTS 250 /* of each producer */
#define FUNCTIONS 6
#define LASTING 5 /* all but the last, which is unregistered and registered again */

enum { KEEPS, PASSES, FULL, SINK, SHORT, COMES_AND_GOES };

struct scene;

struct target {
	struct scene *scene;
	faas_function *handle; /* NULL: it comes and goes */
	atomic_ullong runs, states, ended_states, releases;
};

/* One event of a producer: its data are this one's address. */
struct entry {
	struct scene *scene;
	atomic_int begun;  /* the newest attempt */
	atomic_int called; /* callbacks */
	int asked;
	uint64_t random;
};

struct producer {
	struct scene *scene;
	uint64_t seed, accepted, cancels;
	struct entry entries[EVENTS];
};

struct keeper {
	struct scene *scene;
	uint64_t seed, redriven, purged, swept, walked;
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	struct target targets[FUNCTIONS];
	struct producer producers[PRODUCERS];
	struct keeper keepers[KEEPERS];
	atomic_int is_over;
	atomic_ullong records_seen;
	_Atomic(faas_deferral *) token; /* of an attempt that was deferred; whoever leaves another ends it */
	uint64_t registrations;
	faas_function_config last; /* of the function that comes and goes */
};

static const char *const names[FUNCTIONS] = {"keeps", "passes", "full", "sink", "short", "comes_and_goes"};

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static int init(faas_context *context, void **ret_state)
{
	struct target *target = faas_context_user(context);
	uint64_t seed = atomic_load(&target->runs) * 104729;

	*ret_state = target;
	if (random_below(&seed, 8) == 0)
		return 1;
	atomic_fetch_add(&target->states, 1);
	return 0;
}

static void fini(void *state, void *user)
{
	struct target *target = user;

	if (state != target)
		find(&target->scene->findings, "a fini without its state");
	atomic_fetch_add(&target->ended_states, 1);
}

static void release(void *user)
{
	struct target *target = user;

	atomic_fetch_add(&target->releases, 1);
}

/* Nobody waits for it any more; it goes on until the next attempt has begun, if that comes soon. */
static void outlive(faas_context *context, struct entry *entry)
{
	int attempt = faas_context_attempt(context);

	while (!faas_context_is_cancelled(context))
		sched_yield();
	for (int i = 0; i < 300 && atomic_load(&entry->begun) <= attempt; i++)
		sched_yield();
}

static void end_deferral(faas_deferral *token, uint64_t *seed)
{
	if (token && random_below(seed, 3) == 0)
		(void)faas_complete(token, NULL, 0, NULL);
	else if (token && random_below(seed, 2) == 0)
		(void)faas_complete_failed(token, "later, and still not");
	faas_deferral_unref(token);
}

static int defer(faas_context *context, struct entry *entry, uint64_t *seed)
{
	faas_deferral *token = NULL;

	if (faas_context_defer(context, &token) != FAAS_OK)
		find(&entry->scene->findings, "no token");
	end_deferral(atomic_exchange(&entry->scene->token, token), seed);
	return random_below(seed, 8) == 0;
}

static int behave(faas_context *context, struct entry *entry)
{
	int attempt = faas_context_attempt(context);
	uint64_t seed = entry->random + (uint64_t)attempt * 31;

	atomic_store(&entry->begun, attempt);
	switch (random_below(&seed, 12)) {
	case 0:
	case 1:
	case 2:
		return faas_context_fail(context, "not yet");
	case 3:
		return faas_context_fail_permanent(context, "never");
	case 4:
		outlive(context, entry);
		return attempt & 1;
	case 5:
		while (faas_context_remaining_ms(context) > 0 && !faas_context_is_cancelled(context))
			sched_yield();
		return 0;
	case 6:
		return defer(context, entry, &seed);
	default:
		dawdle(&seed);
		return 0;
	}
}

static int handle(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	struct entry *entry;

	memcpy(&entry, faas_event_data(event, NULL), sizeof(entry));
	atomic_fetch_add(&target->runs, 1);
	if (faas_context_record(context))
		find(&target->scene->findings, "a record where none was sent");
	return behave(context, entry);
}

/* A destination: everything of the settled invocation is there to be read. */
static int take_record(faas_context *context, const faas_event *event)
{
	struct target *target = faas_context_user(context);
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	faas_invocation *record = faas_context_record(context);
	uint64_t seed;

	seed = atomic_fetch_add(&target->runs, 1);
	if (!record || faas_invocation_status(record) < FAAS_STATUS_SUCCEEDED || faas_invocation_event(record) != event ||
	    faas_invocation_timing(record, &timing) != FAAS_OK || timing.total_ns < 0 || timing.attempts > 4)
		find(&target->scene->findings, "a record that is not settled, or not of this event");
	else if ((faas_invocation_message(record)[0] == 0) != (faas_invocation_outcome(record) == FAAS_OK))
		find(&target->scene->findings, "a record's message does not fit its outcome");
	atomic_fetch_add(&target->scene->records_seen, 1);
	dawdle(&seed);
	return seed % 16 == 3;
}

/* ---- Producers --------------------------------------------------------------------------------------------------- */

static void on_settled(faas_invocation *invocation, void *user)
{
	struct entry *entry = user;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};

	if (faas_invocation_status(invocation) < FAAS_STATUS_SUCCEEDED ||
	    faas_invocation_timing(invocation, &timing) != FAAS_OK || timing.attempts > 4 || timing.run_ns < 0)
		find(&entry->scene->findings, "a callback before the end, or %d attempts", (int)timing.attempts);
	atomic_fetch_add(&entry->called, 1);
}

static void look_after(struct producer *producer, struct entry *entry, faas_invocation *invocation)
{
	if (random_below(&producer->seed, 2) == 0) {
		entry->asked = 1;
		if (faas_invocation_on_settled(invocation, on_settled, entry) != FAAS_OK)
			find(&producer->scene->findings, "a callback was refused");
	}
	switch (random_below(&producer->seed, 8)) {
	case 0:
		dawdle(&producer->seed);
		producer->cancels += faas_invocation_cancel(invocation) == FAAS_OK;
		break;
	case 1:
	case 2:
	case 3:
		(void)faas_invocation_wait(invocation, (int64_t)random_below(&producer->seed, 3));
		break;
	default:
		break;
	}
	faas_invocation_unref(invocation);
}

static const char *draw_target(uint64_t *seed)
{
	static const int offered[] = {KEEPS, PASSES, FULL, COMES_AND_GOES};

	return names[offered[random_below(seed, COUNT_OF(offered))]];
}

static void on_all_settled(faas_emission *emission, void *user)
{
	struct entry *entry = user;

	for (int i = 0; i < faas_emission_count(emission); i++) {
		struct faas_emission_entry_stats one = {.struct_size = sizeof(one)};

		if (faas_emission_entry(emission, i, &one) != FAAS_OK ||
		    faas_invocation_status(one.invocation) < FAAS_STATUS_SUCCEEDED)
			find(&entry->scene->findings, "an emission's callback before its end");
	}
	atomic_fetch_add(&entry->called, 1);
}

/* To two functions at once. */
static void emit(struct producer *producer, struct entry *entry, const faas_event_config *event)
{
	bool has_handle = random_below(&producer->seed, 2) == 0;
	faas_emission *emission = NULL;
	int taken = faas_emit_event(producer->scene->runtime, event, has_handle ? &emission : NULL);

	if (taken != 2)
		find(&producer->scene->findings, "an emit was refused: %d", taken);
	producer->accepted += 2;
	if (!emission)
		return;
	entry->asked = 1;
	if (faas_emission_on_settled(emission, on_all_settled, entry) != FAAS_OK)
		find(&producer->scene->findings, "an emission's callback was refused");
	if (random_below(&producer->seed, 6) == 0)
		producer->cancels += (uint64_t)faas_emission_cancel(emission);
	else
		(void)faas_emission_wait(emission, (int64_t)random_below(&producer->seed, 4));
	faas_emission_unref(emission);
}

static void invoke(struct producer *producer, struct entry *entry, const faas_event_config *event)
{
	faas_invocation *invocation = NULL;
	int code = faas_invoke_async(producer->scene->runtime, draw_target(&producer->seed), event,
	                             random_below(&producer->seed, 2) ? &invocation : NULL);

	producer->accepted += code == FAAS_OK;
	if (code != FAAS_OK && code != FAAS_ENOTFOUND)
		find(&producer->scene->findings, "an invoke was refused: %s", faas_error_name(code));
	if (invocation)
		look_after(producer, entry, invocation);
}

static void produce(void *arg)
{
	struct producer *producer = arg;

	for (int i = 0; i < EVENTS; i++) {
		struct entry *entry = &producer->entries[i];
		const faas_event_config event = {.struct_size = sizeof(event),
		                                 .type = "both",
		                                 .data = &entry,
		                                 .data_bytes = sizeof(entry),
		                                 .timeout_ms = random_below(&producer->seed, 6) == 0 ? 3 : 0,
		                                 .wait_ms = FAAS_NEVER,
		                                 .key = i % 3 == 0   ? NULL
		                                        : i % 3 == 1 ? "one"
		                                                     : "two"};

		entry->scene = producer->scene;
		entry->random = stress_fork(&producer->seed);
		if (random_below(&producer->seed, 5) == 0)
			emit(producer, entry, &event);
		else
			invoke(producer, entry, &event);
	}
}

/* ---- Dead letters ------------------------------------------------------------------------------------------------ */

/* What can be read of a letter, and what can be done to one that others see as well. */
static void do_with_letter(struct keeper *keeper, faas_function *function, faas_invocation *letter)
{
	struct findings *findings = &keeper->scene->findings;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	int status = faas_invocation_status(letter), code;

	if (status != FAAS_STATUS_FAILED && status != FAAS_STATUS_TIMED_OUT && status != FAAS_STATUS_EXPIRED)
		find(findings, "a dead letter with status %d", status);
	if (faas_invocation_message(letter)[0] == 0 || faas_invocation_outcome(letter) == FAAS_OK ||
	    strcmp(faas_invocation_function(letter), faas_function_name(function)) != 0)
		find(findings, "a dead letter without a message, or of another function");
	if (faas_invocation_timing(letter, &timing) != FAAS_OK || timing.attempts > 4)
		find(findings, "a dead letter of %d attempts", (int)timing.attempts);
	if (faas_invocation_cancel(letter) != FAAS_ESTATE || faas_invocation_wait(letter, FAAS_NEVER) != FAAS_OK)
		find(findings, "a dead letter that is not settled");
	switch (random_below(&keeper->seed, 6)) {
	case 0:
		code = faas_function_redrive(function, letter);
		keeper->redriven += code == 1;
		break;
	case 1:
		code = faas_function_purge(function, letter);
		keeper->purged += code == 1;
		break;
	default:
		code = 1;
		break;
	}
	if (code != 1 && code != FAAS_ENOTFOUND && code != FAAS_EFULL)
		find(findings, "redrive or purge: %s", faas_error_name(code));
}

static void walk(struct keeper *keeper, faas_function *function)
{
	faas_invocation *letter;
	uint64_t position = 0, before = 0;

	while (faas_function_dead_letter(function, &position, &letter) == FAAS_OK) {
		if (position <= before)
			find(&keeper->scene->findings, "a walk went back");
		before = position;
		keeper->walked++;
		do_with_letter(keeper, function, letter);
		faas_invocation_unref(letter);
	}
}

static void keep(void *arg)
{
	struct keeper *keeper = arg;
	struct scene *scene = keeper->scene;

	while (!atomic_load(&scene->is_over)) {
		faas_function *function = scene->targets[random_below(&keeper->seed, LASTING)].handle;
		int count = 0;

		switch (random_below(&keeper->seed, 600)) {
		case 0:
			count = faas_function_redrive(function, NULL);
			keeper->redriven += count > 0 ? (uint64_t)count : 0;
			break;
		case 1:
			count = faas_function_purge(function, NULL);
			keeper->purged += count > 0 ? (uint64_t)count : 0;
			break;
		case 2:
			count = faas_function_cancel_all(function);
			keeper->swept += count > 0 ? (uint64_t)count : 0;
			break;
		case 3:
		case 4:
		case 5:
		case 6:
		case 7:
		case 8:
			walk(keeper, function);
			break;
		default:
			sched_yield();
			break;
		}
		if (count < 0 && count != FAAS_EFULL)
			find(&scene->findings, "all letters, or all events: %s", faas_error_name(count));
	}
}

static void come_and_go(void *arg)
{
	struct scene *scene = arg;
	uint64_t seed = scene->registrations;

	while (!atomic_load(&scene->is_over)) {
		for (int i = 0; i < 100; i++) {
			dawdle(&seed);
			sched_yield();
		}
		if (faas_unregister_function(scene->runtime, names[COMES_AND_GOES]) != FAAS_OK ||
		    faas_register_function(scene->runtime, names[COMES_AND_GOES], &scene->last) != FAAS_OK)
			find(&scene->findings, "a function cannot come and go");
		scene->registrations++;
	}
}

/* ---- The scenario ------------------------------------------------------------------------------------------------ */

static void add(struct scene *scene, int at, faas_function_config *config)
{
	struct target *target = &scene->targets[at];

	target->scene = scene;
	config->struct_size = sizeof(*config);
	config->user = target;
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[at], config));
	if (at < LASTING)
		target->handle = find_function(scene->runtime, names[at]);
}

static void build(struct scene *scene, const struct tally_memory *memory, uint64_t *seed)
{
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4), .allocator = &memory->config,
	                              .max_concurrency = random_below(seed, 4) == 0 ? 3 : 0));
	for (int f = 0; f < FUNCTIONS; f++) {
		faas_function_config config = {.handler = handle,
		                               .attempts = 2 + (int32_t)random_below(seed, 3),
		                               .deadline_ms = 1 + (int64_t)random_below(seed, 3),
		                               .max_age_ms = random_below(seed, 3) == 0 ? 4 : 0,
		                               .backoff_ms = random_below(seed, 2) ? FAAS_NONE : 1,
		                               .backoff_max_ms = 1 + (int64_t)random_below(seed, 3),
		                               .init_backoff_ms = FAAS_NONE,
		                               .dead_letters = 10 + (int32_t)random_below(seed, 60)};

		if (random_below(seed, 2) == 0)
			config.max_concurrency = 1 + (int32_t)random_below(seed, 3);
		if (f == PASSES || f == COMES_AND_GOES) {
			config.on_success = names[SINK];
			config.on_failure = names[SINK];
			config.init = init;
			config.fini = fini;
		}
		if (f == FULL) {
			/* Producers wait for room, while retries take what they need. */
			config.queue_events = random_below(seed, 2) == 0 ? 12 : 0;
			config.on_success = "nobody";
			config.on_failure = names[SHORT];
		}
		if (f == SINK || f == SHORT) {
			config.handler = take_record;
			config.queue_events = f == SHORT ? 4 : 0;
			config.deadline_ms = FAAS_NEVER;
			config.max_age_ms = 0;
		}
		if (f != SINK && random_below(seed, 3) == 0)
			config.order = FAAS_ORDER_BY_KEY;
		if (f == COMES_AND_GOES)
			config.release = release;
		add(scene, f, &config);
		if (f == COMES_AND_GOES)
			scene->last = config;
	}
	for (int f = KEEPS; f <= PASSES; f++)
		assert_int_equal(FAAS_OK,
		                 faas_bind(scene->runtime, FAAS_BINDING(.pattern = "both", .function = names[f]), NULL));
	scene->registrations = 1;
}

/* Each end has led to one place. */
static void check_target(const struct scene *scene, int at)
{
	struct faas_function_stats stats = stats_of(scene->targets[at].handle);
	uint64_t failures = stats.failed + stats.timed_out + stats.expired;

	CHECK_EQUAL(stats.accepted, settled_of(&stats));
	CHECK_EQUAL(0, stats.queued_bytes);
	CHECK_EQUAL(0, stats.delayed + stats.deferred + stats.running);
	if (at == PASSES) {
		CHECK_EQUAL(scene->targets[at].states, stats.warm + scene->targets[at].ended_states);
		CHECK_EQUAL(failures + stats.succeeded, stats.records);
		CHECK_EQUAL(0, stats.records_refused);
		CHECK_EQUAL(0, stats.dead_letters_added);
	} else if (at == FULL) {
		CHECK_EQUAL(failures, stats.records + stats.dead_letters_added);
		CHECK_EQUAL(stats.succeeded + stats.dead_letters_added, stats.records_refused);
	} else {
		CHECK_EQUAL(failures, stats.dead_letters_added);
		CHECK_EQUAL(0, stats.records + stats.records_refused);
	}
}

static void check_all(struct scene *scene)
{
	struct faas_runtime_stats total = totals_of(scene->runtime);
	struct faas_function_stats sink = stats_of(scene->targets[SINK].handle);
	struct faas_function_stats drain = stats_of(scene->targets[SHORT].handle);
	uint64_t accepted = 0, cancels = 0, redriven = 0, purged = 0;

	for (int t = 0; t < PRODUCERS; t++) {
		accepted += scene->producers[t].accepted;
		cancels += scene->producers[t].cancels;
	}
	for (int t = 0; t < KEEPERS; t++) {
		redriven += scene->keepers[t].redriven;
		purged += scene->keepers[t].purged;
		cancels += scene->keepers[t].swept;
	}
	for (int f = 0; f < LASTING; f++)
		check_target(scene, f);
	CHECK_EQUAL(accepted + redriven + total.total.records, total.total.accepted);
	CHECK_EQUAL(total.total.accepted, settled_of(&total.total));
	CHECK_EQUAL(redriven, total.total.dead_letters_redriven);
	CHECK_EQUAL(total.total.dead_letters_added - redriven - purged - total.total.dead_letters_lost,
	            total.total.dead_letters);
	CHECK_EQUAL(total.total.records,
	            sink.accepted + drain.accepted - sink.dead_letters_redriven - drain.dead_letters_redriven);
	/* What an unregistering cancels is counted by nobody here. */
	CHECK_BETWEEN(cancels, UINT32_MAX, total.total.cancelled);
	for (int t = 0; t < PRODUCERS; t++)
		for (int i = 0; i < EVENTS; i++) {
			struct entry *entry = &scene->producers[t].entries[i];

			UNTIL(atomic_load(&entry->called) >= entry->asked);
			CHECK_EQUAL(entry->asked, entry->called);
		}
}

static void everything_ends_once(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	faas_function *handles[LASTING];
	static struct tally_memory memory;
	struct crowd crowd, others, watchers;
	struct watch watch;

	assert_non_null(scene);
	tally_init(&memory);
	build(scene, &memory, &seed);
	for (int f = 0; f < LASTING; f++)
		handles[f] = scene->targets[f].handle;
	watch_init(&watch, scene->runtime, handles, LASTING, &scene->findings);
	crowd_init(&crowd);
	crowd_init(&others);
	crowd_init(&watchers);
	for (int t = 0; t < PRODUCERS; t++) {
		scene->producers[t].scene = scene;
		scene->producers[t].seed = stress_fork(&seed);
		crowd_add(&crowd, produce, &scene->producers[t]);
	}
	for (int t = 0; t < KEEPERS; t++) {
		scene->keepers[t].scene = scene;
		scene->keepers[t].seed = stress_fork(&seed);
		crowd_add(&others, keep, &scene->keepers[t]);
	}
	crowd_add(&others, come_and_go, scene);
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(&others);
	crowd_start(&crowd);
	crowd_join(&crowd);
	atomic_store(&scene->is_over, 1);
	crowd_join(&others);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	end_deferral(atomic_exchange(&scene->token, NULL), &seed);
	UNTIL(totals_of(scene->runtime).total.overrunning == 0 && totals_of(scene->runtime).total.busy == 0);
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
	check_findings(&scene->findings);
	check_all(scene);
	for (int f = 0; f < LASTING; f++)
		faas_function_unref(handles[f]);
	close_runtime(scene->runtime, 0);
	CHECK_EQUAL(scene->registrations, scene->targets[COMES_AND_GOES].releases);
	for (int f = 0; f < FUNCTIONS; f++)
		CHECK_EQUAL(scene->targets[f].states, scene->targets[f].ended_states);
	tally_check_empty(&memory);
	free(scene);
}

static void ends_and_deliveries(void **state)
{
	(void)state;
	stress("retry@deliveries", 12, everything_ends_once);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"retry@overruns, cancels, sweeps, redrives: everything ends once and is delivered once", ends_and_deliveries,
	     NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress retry", tests, NULL, NULL);
}
