/* SPDX-License-Identifier: MIT */
/*
 * Cancelling, waiting, asking for callbacks and letting go, from several threads at once, of what is queued, about to
 * run, running, and at its deadline. Each invocation settles exactly once, all see the same outcome, and each callback
 * comes exactly once.
 */
#include "stress.h"

#define THREADS 6
#define SLOTS 240
#define FUNCTIONS 3

struct scene;

/* One invocation or emission that all threads of the crowd meet at. */
struct slot {
	struct scene *scene;
	_Atomic(faas_invocation *) invocation;
	_Atomic(faas_emission *) emission;
	atomic_int asked, called; /* callbacks */
	atomic_int cancels;       /* that said they did it */
	atomic_int outcome;       /* 1: none seen; then as the first reader saw it */
};

struct member {
	struct scene *scene;
	int index;
	uint64_t seed;
	uint64_t outcomes[64]; /* of this thread's own calls, by -code */
};

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	faas_function *functions[FUNCTIONS];
	struct slot slots[SLOTS];
	struct member members[THREADS];
	atomic_ullong runs;
};

static const char *const names[FUNCTIONS] = {"a", "b", "c"};

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

/* Some are quick, some fail, some run until nobody waits for them, some end at about their deadline. */
static int handle(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	uint64_t seed = atomic_fetch_add(&scene->runs, 1) * 7919;
	char id[FAAS_ID_SIZE];
	const char *text = faas_event_id(event, id);

	if (faas_context_reply(context, text, strlen(text), "text/plain") != FAAS_OK)
		find(&scene->findings, "a reply was refused");
	switch (random_below(&seed, 12)) {
	case 0:
		return faas_context_fail(context, "on purpose");
	case 1:
		while (!faas_context_is_cancelled(context))
			sched_yield();
		return 0;
	case 2:
		while (faas_context_remaining_ms(context) > 0 && !faas_context_is_cancelled(context))
			sched_yield();
		return 0;
	default:
		dawdle(&seed);
		return 0;
	}
}

static int start(faas_context *context, void **ret_state)
{
	struct scene *scene = faas_context_user(context);
	uint64_t seed = atomic_load(&scene->runs) * 104729;

	dawdle(&seed);
	*ret_state = NULL;
	return random_below(&seed, 4) == 0;
}

/* ---- What any thread may see of a settled invocation --------------------------------------------------------------- */

static int status_for(int outcome, int status)
{
	switch (outcome) {
	case FAAS_OK:
		return FAAS_STATUS_SUCCEEDED;
	case FAAS_ECANCELLED:
		return FAAS_STATUS_CANCELLED;
	case FAAS_ETIMEDOUT:
		return status == FAAS_STATUS_EXPIRED ? status : FAAS_STATUS_TIMED_OUT;
	default:
		return FAAS_STATUS_FAILED;
	}
}

static void check_answer(struct findings *findings, const faas_invocation *invocation)
{
	const void *data = NULL;
	const char *type = NULL;
	uint64_t bytes = 0;
	char id[FAAS_ID_SIZE];
	const char *text = faas_event_id(faas_invocation_event(invocation), id);

	if (faas_invocation_answer(invocation, &data, &bytes, &type) != FAAS_OK || bytes != strlen(text) ||
	    memcmp(data, text, bytes) != 0 || strcmp(type, "text/plain") != 0)
		find(findings, "an answer is not its own");
}

static void check_settled(struct slot *slot, const faas_invocation *invocation)
{
	struct findings *findings = &slot->scene->findings;
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	int outcome = faas_invocation_outcome(invocation), status = faas_invocation_status(invocation), first = 1;

	if (!atomic_compare_exchange_strong(&slot->outcome, &first, outcome) && first != outcome)
		find(findings, "an outcome changed from %s to %s", faas_error_name(first), faas_error_name(outcome));
	if (status != status_for(outcome, status))
		find(findings, "status %d with outcome %s", status, faas_error_name(outcome));
	if (faas_invocation_timing(invocation, &timing) != FAAS_OK || timing.queued_ns < 0 || timing.init_ns < 0 ||
	    timing.run_ns < 0 || timing.attempts > 1 || timing.run_ns > INT64_C(3600000000000))
		find(findings, "impossible times: queued %lld, init %lld, run %lld", (long long)timing.queued_ns,
		     (long long)timing.init_ns, (long long)timing.run_ns);
	if ((outcome == FAAS_OK) != (faas_invocation_message(invocation)[0] == 0))
		find(findings, "a message beside %s", faas_error_name(outcome));
	if (outcome == FAAS_OK)
		check_answer(findings, invocation);
}

static void on_settled(faas_invocation *invocation, void *user)
{
	struct slot *slot = user;

	if (faas_invocation_status(invocation) < FAAS_STATUS_SUCCEEDED)
		find(&slot->scene->findings, "a callback before the end");
	check_settled(slot, invocation);
	if (faas_invoke(slot->scene->runtime, "a", NULL, 0, NULL) != FAAS_EDEADLK)
		find(&slot->scene->findings, "a callback may wait");
	atomic_fetch_add(&slot->called, 1);
}

/* ---- Meeting at an invocation ------------------------------------------------------------------------------------ */

static void wait_for(struct slot *slot, faas_invocation *invocation, int64_t timeout_ms)
{
	int code = faas_invocation_wait(invocation, timeout_ms);

	if (code == FAAS_OK)
		check_settled(slot, invocation);
	else if (code != FAAS_EPENDING || timeout_ms == FAAS_NEVER)
		find(&slot->scene->findings, "a wait: %s", faas_error_name(code));
}

static void do_something(struct member *member, struct slot *slot, faas_invocation *invocation)
{
	int code;

	switch (random_below(&member->seed, 8)) {
	case 0:
	case 1:
		code = faas_invocation_cancel(invocation);
		if (code == FAAS_OK)
			atomic_fetch_add(&slot->cancels, 1);
		else if (code != FAAS_ESTATE)
			find(&slot->scene->findings, "a cancel: %s", faas_error_name(code));
		break;
	case 2:
	case 3:
		code = faas_invocation_on_settled(invocation, on_settled, slot);
		if (code == FAAS_OK)
			atomic_fetch_add(&slot->asked, 1);
		else if (code != FAAS_EEXIST)
			find(&slot->scene->findings, "a callback: %s", faas_error_name(code));
		break;
	case 4:
		wait_for(slot, invocation, FAAS_NEVER);
		break;
	case 5:
		wait_for(slot, invocation, (int64_t)random_below(&member->seed, 3));
		break;
	case 6:
		faas_invocation_unref(faas_invocation_ref(invocation));
		break;
	default:
		(void)faas_invocation_status(invocation);
		break;
	}
}

/* One of the threads makes what all of them meet at; each has a reference of its own. */
static faas_invocation *make_invocation(struct member *member, struct slot *slot)
{
	faas_function *function = slot->scene->functions[random_below(&member->seed, FUNCTIONS)];
	faas_invocation *invocation = NULL;

	if (faas_function_invoke_async(function, NULL, &invocation) != FAAS_OK) {
		find(&slot->scene->findings, "an invoke was refused");
		return NULL;
	}
	for (int i = 1; i < THREADS; i++)
		(void)faas_invocation_ref(invocation);
	atomic_store(&slot->invocation, invocation);
	return invocation;
}

static void meet_at_invocations(void *arg)
{
	struct member *member = arg;

	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &member->scene->slots[i];
		faas_invocation *invocation;

		if (i % THREADS == member->index)
			invocation = make_invocation(member, slot);
		else
			UNTIL((invocation = atomic_load(&slot->invocation)) != NULL);
		if (random_below(&member->seed, 4) == 0)
			dawdle(&member->seed);
		do_something(member, slot, invocation);
		do_something(member, slot, invocation);
		faas_invocation_unref(invocation);
	}
}

/* ---- Meeting at an emission -------------------------------------------------------------------------------------- */

static void on_emission_settled(faas_emission *emission, void *user)
{
	struct slot *slot = user;

	for (int i = 0; i < faas_emission_count(emission); i++) {
		struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};

		if (faas_emission_entry(emission, i, &entry) != FAAS_OK || entry.code != FAAS_OK ||
		    faas_invocation_status(entry.invocation) < FAAS_STATUS_SUCCEEDED)
			find(&slot->scene->findings, "an emission's callback before its end");
	}
	atomic_fetch_add(&slot->called, 1);
}

static void do_something_with_all(struct member *member, struct slot *slot, faas_emission *emission)
{
	int code;

	switch (random_below(&member->seed, 5)) {
	case 0:
		code = faas_emission_cancel(emission);
		if (code < 0 || code > FUNCTIONS)
			find(&slot->scene->findings, "%d of an emission cancelled", code);
		else
			atomic_fetch_add(&slot->cancels, code);
		break;
	case 1:
		code = faas_emission_on_settled(emission, on_emission_settled, slot);
		if (code == FAAS_OK)
			atomic_fetch_add(&slot->asked, 1);
		else if (code != FAAS_EEXIST)
			find(&slot->scene->findings, "an emission's callback: %s", faas_error_name(code));
		break;
	case 2:
		if ((code = faas_emission_wait(emission, FAAS_NEVER)) != FAAS_OK)
			find(&slot->scene->findings, "an emission's wait: %s", faas_error_name(code));
		break;
	case 3:
		code = faas_emission_wait(emission, (int64_t)random_below(&member->seed, 3));
		if (code != FAAS_OK && code != FAAS_EPENDING)
			find(&slot->scene->findings, "an emission's wait: %s", faas_error_name(code));
		break;
	default:
		faas_emission_unref(faas_emission_ref(emission));
		break;
	}
}

static void meet_at_emissions(void *arg)
{
	struct member *member = arg;

	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &member->scene->slots[i];
		faas_emission *emission = NULL;

		if (i % THREADS == member->index) {
			if (faas_emit_event(member->scene->runtime, FAAS_EVENT(.type = "all"), &emission) != FUNCTIONS)
				find(&member->scene->findings, "an emit was refused");
			for (int k = 1; k < THREADS; k++)
				(void)faas_emission_ref(emission);
			atomic_store(&slot->emission, emission);
		} else {
			UNTIL((emission = atomic_load(&slot->emission)) != NULL);
		}
		do_something_with_all(member, slot, emission);
		do_something_with_all(member, slot, emission);
		faas_emission_unref(emission);
	}
}

/* ---- Synchronous calls with little time ---------------------------------------------------------------------------- */

static void invoke_impatiently(void *arg)
{
	struct member *member = arg;
	struct slot slot = {.scene = member->scene};

	for (int i = 0; i < SLOTS / 2; i++) {
		faas_function *function = member->scene->functions[random_below(&member->seed, FUNCTIONS)];
		int64_t timeout_ms = (int64_t)random_below(&member->seed, 4);
		faas_invocation *invocation = NULL;
		int code = faas_function_invoke(function, NULL, timeout_ms, &invocation);

		if (!invocation) {
			find(&member->scene->findings, "an invoke was refused: %s", faas_error_name(code));
			continue;
		}
		if (code != faas_invocation_outcome(invocation))
			find(&member->scene->findings, "an invoke said %s, its handle %s", faas_error_name(code),
			     faas_error_name(faas_invocation_outcome(invocation)));
		atomic_store(&slot.outcome, 1);
		check_settled(&slot, invocation);
		if (code <= 0 && code > -64)
			member->outcomes[-code]++;
		faas_invocation_unref(invocation);
	}
}

/* ---- Scenes ------------------------------------------------------------------------------------------------------ */

static struct scene *scene_new(const struct tally_memory *memory, uint64_t *seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	scene->runtime =
		open_runtime(FAAS_RUNTIME(.threads = 1 + (int32_t)random_below(seed, 4),
	                              .spin_us = random_below(seed, 2) ? FAAS_NONE : 5, .allocator = &memory->config));
	for (int f = 0; f < FUNCTIONS; f++) {
		faas_function_config config = {.struct_size = sizeof(config), .attempts = 1,
		                               .handler = handle,
		                               .user = scene,
		                               .deadline_ms = 1 + (int64_t)random_below(seed, 5),
		                               .init_backoff_ms = FAAS_NONE};

		if (random_below(seed, 2) == 0)
			config.max_concurrency = 1 + (int32_t)random_below(seed, 3);
		if (f == 1)
			config.init = start;
		if (f == 2)
			config.flags = FAAS_FUNCTION_INLINE;
		assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, names[f], &config));
		assert_int_equal(FAAS_OK,
		                 faas_bind(scene->runtime, FAAS_BINDING(.pattern = "all", .function = names[f]), NULL));
		scene->functions[f] = find_function(scene->runtime, names[f]);
	}
	for (int i = 0; i < SLOTS; i++) {
		scene->slots[i].scene = scene;
		atomic_store(&scene->slots[i].outcome, 1);
	}
	for (int t = 0; t < THREADS; t++)
		scene->members[t] = (struct member){.scene = scene, .index = t, .seed = stress_fork(seed)};
	return scene;
}

/* Every callback that was asked for has come once, and none without being asked for. Returns the cancels. */
static uint64_t check_slots(struct scene *scene)
{
	uint64_t cancels = 0;

	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &scene->slots[i];

		UNTIL(atomic_load(&slot->called) >= atomic_load(&slot->asked));
		CHECK_EQUAL(slot->asked, slot->called);
		CHECK_BETWEEN(0, 1, slot->asked);
		cancels += (uint64_t)slot->cancels;
	}
	return cancels;
}

static void scene_run(struct scene *scene, void (*main)(void *arg), struct faas_runtime_stats *ret_total)
{
	struct crowd crowd, watchers;
	struct watch watch;

	watch_init(&watch, scene->runtime, scene->functions, FUNCTIONS, &scene->findings);
	crowd_init(&crowd);
	crowd_init(&watchers);
	for (int t = 0; t < THREADS; t++)
		crowd_add(&crowd, main, &scene->members[t]);
	crowd_add(&watchers, watch_main, &watch);
	crowd_start(&watchers);
	crowd_start(&crowd);
	crowd_join(&crowd);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	atomic_store(&watch.is_over, 1);
	crowd_join(&watchers);
	check_findings(&scene->findings);
	*ret_total = totals_of(scene->runtime);
	CHECK_EQUAL(ret_total->total.accepted, settled_of(&ret_total->total));
	CHECK_EQUAL(check_slots(scene), ret_total->total.cancelled);
}

static void scene_free(struct scene *scene, struct tally_memory *memory)
{
	for (int f = 0; f < FUNCTIONS; f++)
		faas_function_unref(scene->functions[f]);
	close_runtime(scene->runtime, 0);
	check_findings(&scene->findings);
	tally_check_empty(memory);
	free(scene);
}

static void invocations_settle_once(uint64_t seed)
{
	static struct tally_memory memory;
	struct faas_runtime_stats total;
	struct scene *scene;

	tally_init(&memory);
	scene = scene_new(&memory, &seed);
	scene_run(scene, meet_at_invocations, &total);
	CHECK_EQUAL(SLOTS, total.total.accepted);
	scene_free(scene, &memory);
}

static void emissions_settle_once(uint64_t seed)
{
	static struct tally_memory memory;
	struct faas_runtime_stats total;
	struct scene *scene;

	tally_init(&memory);
	scene = scene_new(&memory, &seed);
	scene_run(scene, meet_at_emissions, &total);
	CHECK_EQUAL(SLOTS * FUNCTIONS, total.total.accepted);
	scene_free(scene, &memory);
}

static void impatient_calls_are_answered(uint64_t seed)
{
	static struct tally_memory memory;
	struct faas_runtime_stats total;
	uint64_t outcomes[64] = {0};
	struct scene *scene;

	tally_init(&memory);
	scene = scene_new(&memory, &seed);
	scene_run(scene, invoke_impatiently, &total);
	for (int t = 0; t < THREADS; t++)
		for (size_t i = 0; i < COUNT_OF(outcomes); i++)
			outcomes[i] += scene->members[t].outcomes[i];
	CHECK_EQUAL(outcomes[0], total.total.succeeded);
	CHECK_EQUAL(outcomes[-FAAS_EFAILED] + outcomes[-FAAS_EINIT], total.total.failed);
	CHECK_EQUAL(outcomes[-FAAS_ETIMEDOUT], total.total.timed_out + total.total.expired);
	CHECK_EQUAL(THREADS * (SLOTS / 2), total.total.accepted);
	scene_free(scene, &memory);
}

static void meeting_at_invocations(void **state)
{
	(void)state;
	stress("cancel@invocations", 5, invocations_settle_once);
}

static void meeting_at_emissions(void **state)
{
	(void)state;
	stress("cancel@emissions", 5, emissions_settle_once);
}

static void calling_impatiently(void **state)
{
	(void)state;
	stress("cancel@impatient", 5, impatient_calls_are_answered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"cancel@cancel, callback, wait and unref at once: an invocation settles once", meeting_at_invocations, NULL,
	     NULL, NULL},
		{"cancel@cancel, callback, wait and unref at once: an emission settles once", meeting_at_emissions, NULL, NULL,
	     NULL},
		{"cancel@synchronous calls with little time get one answer each", calling_impatiently, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress cancel", tests, NULL, NULL);
}
