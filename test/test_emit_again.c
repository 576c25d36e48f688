/* SPDX-License-Identifier: MIT */
/*
 * Events that are like one before. A type that was routed is remembered, an event with nothing unusual about it takes
 * the shortest way to its function, and those of a batch run one right after the other. None of this may show, so
 * everything here comes at least twice.
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define TIMES 3

/* One like those that follow, to a function that needs nothing but the event: from then on there are blocks at hand. */
static void emit_a_plain_one(struct bed *bed)
{
	bed_register(bed, "plain", ONCE(.handler = nothing_handler));
	bed_bind(bed, "plain", "plain");
	assert_int_equal(1, bed_emit(bed, "plain", "x"));
	bed_run(bed);
}

/* ---- Functions that need more than the event --------------------------------------------------------------------- */

static void each_success_is_passed_on(void **state)
{
	struct bed *bed = *state;
	struct record record;

	record_init(&record);
	emit_a_plain_one(bed);
	bed_register(bed, "after", ONCE(.handler = record_handler, .user = &record));
	bed_register(bed, "f", ONCE(.handler = nothing_handler, .on_success = "after"));
	bed_bind(bed, "t", "f");
	for (int i = 1; i <= TIMES; i++) {
		assert_int_equal(1, bed_emit(bed, "t", "x"));
		bed_run(bed);
		assert_int_equal(i, record.count);
		assert_int_equal(i, bed_stats(bed, "f").records);
	}
	record_deinit(&record);
}

static void events_without_a_key_go_to_an_ordered_function(void **state)
{
	struct bed *bed = *state;
	struct record record;
	int keyless = 0;

	record_init(&record);
	emit_a_plain_one(bed);
	bed_register(bed, "f", ONCE(.handler = record_handler, .user = &record, .order = FAAS_ORDER_BY_KEY));
	bed_bind(bed, "t", "f");
	for (int i = 0; i < TIMES; i++) {
		assert_int_equal(1, bed_emit(bed, "t", "a"));
		assert_int_equal(1, faas_emit_event(bed->runtime, FAAS_EVENT(.type = "t", .key = "k", .data = "b", .data_bytes = 1),
		                                    NULL));
	}
	bed_run(bed);
	/* There is no order between the two kinds. */
	assert_int_equal(2 * TIMES, record.count);
	for (int i = 0; i < record.count; i++)
		keyless += strcmp(record.calls[i].data, "a") == 0;
	assert_int_equal(TIMES, keyless);
	assert_int_equal(2 * TIMES, bed_stats(bed, "f").succeeded);
	record_deinit(&record);
}

/* ---- Events of every size ---------------------------------------------------------------------------------------- */

static char bytes[1 << 20];

static int check_bytes(faas_context *context, const faas_event *event)
{
	uint64_t count;
	const char *data = faas_event_data(event, &count);

	assert_string_equal("s", faas_event_subject(event));
	assert_int_equal(*(uint64_t *)faas_context_user(context), count);
	assert_memory_equal(bytes, data, count);
	assert_int_equal(0, data[count]);
	return 0;
}

static void events_of_every_size_arrive_whole(void **state)
{
	static const uint64_t sizes[] = {0, 1, 15, 16, 17, 64, 1000, 1900, 1936, 1937, 2048, 10000, 100000, sizeof(bytes)};
	struct bed *bed = *state;
	uint64_t size;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256);
	bed_register(bed, "f", ONCE(.handler = check_bytes, .user = &size));
	bed_bind(bed, "t", "f");
	for (size_t i = 0; i < TIMES * COUNT_OF(sizes); i++) {
		size = sizes[i % COUNT_OF(sizes)];
		assert_int_equal(1, faas_emit_event(bed->runtime,
		                                    FAAS_EVENT(.type = "t", .subject = "s", .data = bytes, .data_bytes = size), NULL));
		bed_run(bed);
	}
	assert_int_equal(TIMES * COUNT_OF(sizes), bed_stats(bed, "f").succeeded);
}

/* ---- Chains ------------------------------------------------------------------------------------------------------ */

static struct chain {
	int runs, refused;
	char text[2048];
} chain;

static int emit_itself(faas_context *context, const faas_event *event)
{
	int code = faas_context_emit_event(context, FAAS_EVENT(.type = faas_event_type(event)), NULL);

	chain.runs++;
	if (code == FAAS_ELOOP) {
		chain.refused++;
		snprintf(chain.text, sizeof(chain.text), "%s", faas_context_error(context));
	}
	return 0;
}

static void a_chain_is_as_long_as_the_first_time(void **state)
{
	struct bed *bed = *state;

	chain = (struct chain){0};
	emit_a_plain_one(bed);
	bed_register(bed, "f", ONCE(.handler = emit_itself));
	bed_bind(bed, "t", "f");
	for (int i = 1; i <= TIMES; i++) {
		const char *at = chain.text;

		assert_int_equal(1, bed_emit(bed, "t", "x"));
		bed_run(bed);
		assert_int_equal(i * (FAAS_MAX_HOPS + 1), chain.runs);
		assert_int_equal(i, chain.refused);
		for (int k = 0; k < FAAS_MAX_HOPS; k++, at += 5)
			assert_memory_equal("f -> ", at, 5);
		assert_string_equal("f", at);
	}
}

static int emit_next(faas_context *context, const faas_event *event)
{
	(void)event;
	chain.runs += strcmp(faas_context_function(context), "p") == 0;
	chain.refused += faas_context_emit_event(context, FAAS_EVENT(.type = faas_context_user(context)), NULL) == FAAS_ELOOP;
	return 0;
}

/* t, its record, p, t, its record, p: of 16 hops five go to p. */
static void records_count_as_hops_each_time(void **state)
{
	static char p[] = "p", t[] = "t";
	struct bed *bed = *state;

	chain = (struct chain){0};
	emit_a_plain_one(bed);
	bed_register(bed, "after", ONCE(.handler = emit_next, .user = p));
	bed_register(bed, "f", ONCE(.handler = nothing_handler, .on_success = "after"));
	bed_register(bed, "p", ONCE(.handler = emit_next, .user = t));
	bed_bind(bed, "t", "f");
	bed_bind(bed, "p", "p");
	for (int i = 1; i <= TIMES; i++) {
		assert_int_equal(1, bed_emit(bed, "t", "x"));
		bed_run(bed);
		assert_int_equal(i * 5, chain.runs);
		assert_int_equal(i, chain.refused);
	}
}

/* ---- Deadlines, forks -------------------------------------------------------------------------------------------- */

static int take_20_ms(faas_context *context, const faas_event *event)
{
	struct bed *bed = faas_context_user(context);

	(void)event;
	return faas_clock_advance(bed->clock, 20 * MS) == FAAS_OK ? 0 : 1;
}

static void each_that_takes_too_long_times_out(void **state)
{
	struct bed *bed = *state;

	bed_register(bed, "f", ONCE(.handler = take_20_ms, .user = bed, .deadline_ms = 10));
	bed_bind(bed, "t", "f");
	for (int i = 1; i <= TIMES; i++) {
		assert_int_equal(1, bed_emit(bed, "t", "x"));
		bed_run(bed);
		assert_int_equal(i, bed_stats(bed, "f").timed_out);
		assert_int_equal(0, bed_stats(bed, "f").succeeded);
	}
}

static void a_forked_child_is_refused_what_its_parent_did(void **state)
{
	struct bed *bed = *state;
	int status;
	pid_t child;

	emit_a_plain_one(bed);
	assert_int_equal(1, bed_emit(bed, "plain", "x"));
	child = fork();
	if (child == 0)
		_exit(bed_emit(bed, "plain", "x") == FAAS_EFORKED ? 0 : 1);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_int_equal(0, status);
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

static void what_the_runtime_has_no_room_for_is_refused_each_time(void **state)
{
	struct bed bed;

	(void)state;
	bed_open(&bed, FAAS_RUNTIME(.queue_events = 2));
	bed_register(&bed, "f", ONCE(.handler = nothing_handler));
	bed_bind(&bed, "t", "f");
	for (int i = 1; i <= TIMES; i++) {
		assert_int_equal(1, bed_emit(&bed, "t", "x"));
		assert_int_equal(1, bed_emit(&bed, "t", "x"));
		assert_int_equal(FAAS_ERUNTIMEFULL, bed_emit(&bed, "t", "x"));
		assert_int_equal(i, bed_stats(&bed, "f").rejected_runtime_full);
		assert_int_equal(2, bed_totals(&bed).queued_events);
		bed_run(&bed);
		assert_int_equal(0, bed_totals(&bed).queued_events);
		assert_int_equal(0, bed_totals(&bed).queued_bytes);
	}
	bed_close(&bed);
}

#define EMITTERS 3
#define EMITS 200000

static void *emit_many(void *runtime)
{
	for (int i = 0; i < EMITS; i++) {
		int taken = faas_emit_event(runtime, FAAS_EVENT(.type = "t"), NULL);

		if (taken != 1 && taken != FAAS_EFULL)
			abort();
	}
	return NULL;
}

/* Emitters that take the last room from each other give back all that they had taken before: the runtime never gets full. */
static void refused_emitters_leave_nothing_behind(void **state)
{
	struct faas_runtime_stats totals;
	pthread_t emitters[EMITTERS];
	faas_runtime *runtime;

	(void)state;
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.queue_events = 40), &runtime));
	assert_int_equal(FAAS_OK, faas_register_function(runtime, "f", ONCE(.handler = nothing_handler, .queue_events = 8)));
	assert_int_equal(FAAS_OK, faas_bind(runtime, FAAS_BINDING(.pattern = "t", .function = "f"), NULL));
	for (int i = 0; i < EMITTERS; i++)
		assert_int_equal(0, pthread_create(&emitters[i], NULL, emit_many, runtime));
	for (int i = 0; i < EMITTERS; i++)
		assert_int_equal(0, pthread_join(emitters[i], NULL));
	assert_int_equal(FAAS_OK, faas_drain(runtime, FAAS_NEVER));
	totals = totals_of(runtime);
	assert_int_equal(EMITTERS * EMITS, totals.total.offered);
	assert_int_equal(totals.total.accepted, totals.total.succeeded);
	assert_int_equal(totals.total.rejected, totals.total.rejected_full);
	assert_int_equal(FAAS_OK, faas_close(runtime, FAAS_NEVER, 0));
}

/* ---- In a batch -------------------------------------------------------------------------------------------------- */

#define MAKES_FAST 300

/* One thread, a function that is known to be fast, and a gate behind which its events make one batch. */
static struct scene {
	faas_runtime *runtime;
	faas_function *function;
	struct gate gate;
	int reached;  /* functions that an event reaches */
	char did[64]; /* a letter for each; the handlers', and after them the test's */
	int attempts;
} scene;

static void did(char what)
{
	size_t length = strlen(scene.did);

	if (length + 1 < sizeof(scene.did))
		scene.did[length] = what;
}

/* What the event's data says. */
static int act(faas_context *context, const faas_event *event)
{
	char what = *(const char *)faas_event_data(event, NULL);

	switch (what) {
	case 'f': /* makes the function known to be fast */
		return 0;
	case 'e': /* leaves an error behind */
		(void)faas_context_invoke(context, "no such function", NULL, 0, NULL);
		did(*faas_context_error(context) ? 'e' : '?');
		return 0;
	case 'o': /* finds none */
		did(*faas_context_error(context) ? '!' : 'o');
		return 0;
	case 'p': /* is for good about a failure, and then succeeds */
		(void)faas_context_fail_permanent(context, "for good");
		did('p');
		return 0;
	case 'r': /* fails twice */
		did((char)('0' + faas_context_attempt(context)));
		return ++scene.attempts <= 2;
	case 'a': /* answers */
		(void)faas_context_reply(context, "answer", 6, NULL);
		did('a');
		return 0;
	case 'u': /* ends its function */
		did('u');
		return faas_unregister_function(scene.runtime, "f") == FAAS_OK ? 0 : 1;
	default:
		did(what);
		return 0;
	}
}

static void send(char what)
{
	assert_int_equal(scene.reached,
	                 faas_emit_event(scene.runtime, FAAS_EVENT(.type = "f", .data = &what, .data_bytes = 1), NULL));
}

static uint64_t succeeded(void)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};

	assert_int_equal(FAAS_OK, faas_function_stats(scene.function, &stats));
	return stats.succeeded;
}

static void open_scene(int others)
{
	scene = (struct scene){.reached = 1 + others};
	gate_init(&scene.gate);
	assert_int_equal(FAAS_OK, faas_open(FAAS_RUNTIME(.threads = 1, .max_threads = 1), &scene.runtime));
	assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, "f",
	                                                 FAAS_FUNCTION(.handler = act, .attempts = 3, .backoff_ms = FAAS_NONE,
	                                                               .dead_letters = FAAS_NONE)));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene.runtime, "gate",
	                                        ONCE(.handler = gate_handler, .user = &scene.gate, .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_bind(scene.runtime, FAAS_BINDING(.pattern = "f", .function = "f"), NULL));
	for (int i = 0; i < others; i++) {
		char name[] = {(char)('A' + i), 0};

		assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, name, ONCE(.handler = nothing_handler)));
		assert_int_equal(FAAS_OK, faas_bind(scene.runtime, FAAS_BINDING(.pattern = "f", .function = name), NULL));
	}
	assert_int_equal(FAAS_OK, faas_function_find(scene.runtime, "f", &scene.function));
	for (int i = 0; i < MAKES_FAST; i++)
		send('f');
	while (succeeded() != MAKES_FAST)
		sched_yield();
	assert_int_equal(FAAS_OK, faas_invoke_async(scene.runtime, "gate", NULL, NULL));
	gate_await(&scene.gate, 1);
}

static int scene_setup(void **state)
{
	(void)state;
	open_scene(0);
	return 0;
}

/* Each event goes to others, too, with whom the function shares it. */
static int shared_setup(void **state)
{
	(void)state;
	open_scene(6);
	return 0;
}

static void let_go_and_drain(void)
{
	gate_open(&scene.gate);
	assert_int_equal(FAAS_OK, faas_drain(scene.runtime, FAAS_NEVER));
}

static void send_and_drain(const char *letters)
{
	for (; *letters; letters++)
		send(*letters);
	let_go_and_drain();
}

static int scene_teardown(void **state)
{
	(void)state;
	faas_function_unref(scene.function);
	assert_int_equal(FAAS_OK, faas_close(scene.runtime, FAAS_NEVER, 0));
	gate_deinit(&scene.gate);
	return 0;
}

static void nothing_of_an_attempt_is_left_to_the_next(void **state)
{
	(void)state;
	send_and_drain("eoeopraoe");
	/* The one that failed twice came again at the end of the queue, each time with its own number. */
	assert_string_equal("eoeop1aoe23", scene.did);
	assert_int_equal(2, stats_of(scene.function).retries);
	assert_int_equal(0, stats_of(scene.function).failed);
	assert_int_equal(MAKES_FAST + 9, stats_of(scene.function).succeeded);
}

static void those_that_somebody_asks_for_run_among_the_others(void **state)
{
	faas_invocation *handles[TIMES];

	(void)state;
	for (int i = 0; i < TIMES; i++) {
		send('x');
		assert_int_equal(FAAS_OK, faas_function_invoke_async(scene.function, FAAS_EVENT(.data = "a", .data_bytes = 1),
		                                                     &handles[i]));
	}
	let_go_and_drain();
	assert_string_equal("xaxaxa", scene.did);
	for (int i = 0; i < TIMES; i++) {
		const void *answer;
		uint64_t count;

		assert_int_equal(FAAS_OK, faas_invocation_wait(handles[i], 60000));
		assert_int_equal(FAAS_OK, faas_invocation_outcome(handles[i]));
		assert_int_equal(FAAS_OK, faas_invocation_answer(handles[i], &answer, &count, NULL));
		assert_int_equal(6, count);
		assert_memory_equal("answer", answer, count);
		faas_invocation_unref(handles[i]);
	}
}

static void nothing_begins_once_its_function_has_ended(void **state)
{
	(void)state;
	send_and_drain("xxuxxxxxxxxxxx");
	assert_string_equal("xxu", scene.did);
	assert_int_equal(11, stats_of(scene.function).cancelled);
}

/* ---- Events that are shared for long ----------------------------------------------------------------------------- */

static struct memory memory;
static struct gate gate;
static atomic_int reads, mistakes;
static const char text[] = "what all of them read";

static void open_shared(int32_t threads, int64_t queue_events)
{
	memory_init(&memory);
	gate_init(&gate);
	atomic_store(&reads, 0);
	atomic_store(&mistakes, 0);
	assert_int_equal(FAAS_OK,
	                 faas_open(FAAS_RUNTIME(.threads = threads, .max_threads = threads, .queue_events = queue_events,
	                                        .allocator = &memory.config),
	                           &scene.runtime));
}

static void close_shared(void)
{
	assert_int_equal(0, atomic_load(&mistakes));
	assert_int_equal(FAAS_OK, faas_close(scene.runtime, FAAS_NEVER, 0));
	memory_check_empty(&memory);
	gate_deinit(&gate);
}

static void add_shared(const char *name, faas_handler_fn *handler, int64_t deadline_ms)
{
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene.runtime, name,
	                                        FAAS_FUNCTION(.handler = handler, .user = &gate, .deadline_ms = deadline_ms,
	                                                      .attempts = 2, .backoff_ms = FAAS_NONE)));
	assert_int_equal(FAAS_OK, faas_bind(scene.runtime, FAAS_BINDING(.pattern = "t", .function = name), NULL));
}

static void read_text(const faas_event *event)
{
	uint64_t count;
	const char *data = faas_event_data(event, &count);

	atomic_fetch_add(&mistakes, count != sizeof(text) || memcmp(data, text, sizeof(text)) != 0);
	atomic_fetch_add(&reads, 1);
}

static int read_it(faas_context *context, const faas_event *event)
{
	(void)context;
	read_text(event);
	return 0;
}

static int read_it_late(faas_context *context, const faas_event *event)
{
	if (faas_context_attempt(context) == 1)
		gate_pass(faas_context_user(context));
	read_text(event);
	return 0;
}

static void *emit_shared(void *ret_taken)
{
	*(int *)ret_taken = faas_emit_event(
		scene.runtime, FAAS_EVENT(.type = "t", .data = text, .data_bytes = sizeof(text), .wait_ms = FAAS_NEVER), NULL);
	return NULL;
}

/* The second attempt succeeds, and so does every other function, while the first one still reads. */
static void an_overrun_reads_what_all_others_are_done_with(void **state)
{
	struct faas_function_stats stats = {0};
	faas_function *late;
	int taken;

	(void)state;
	open_shared(2, 0);
	add_shared("late", read_it_late, 5);
	add_shared("other", read_it, 0);
	assert_int_equal(FAAS_OK, faas_function_find(scene.runtime, "late", &late));
	emit_shared(&taken);
	assert_int_equal(2, taken);
	gate_await(&gate, 1);
	while (atomic_load(&reads) < 2 || stats.succeeded < 1) {
		sched_yield();
		stats = stats_of(late);
	}
	gate_open(&gate);
	assert_int_equal(FAAS_OK, faas_drain(scene.runtime, FAAS_NEVER));
	while (atomic_load(&reads) < 3)
		sched_yield();
	faas_function_unref(late);
	assert_int_equal(1, stats.overruns);
	assert_int_equal(2, totals_of(scene.runtime).total.succeeded);
	close_shared();
}

/* It asks for room again and again, each time with an invocation of the event. */
static void one_that_waits_for_room_shares_it_in_the_end(void **state)
{
	pthread_t emitter;
	int taken;

	(void)state;
	open_shared(1, 1);
	add_shared("a", read_it, 0);
	add_shared("b", read_it, 0);
	add_shared("c", read_it, 0);
	assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, "gate",
	                                                 ONCE(.handler = gate_handler, .user = &gate,
	                                                      .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_invoke_async(scene.runtime, "gate", NULL, NULL));
	gate_await(&gate, 1);
	assert_int_equal(0, pthread_create(&emitter, NULL, emit_shared, &taken));
	while (totals_of(scene.runtime).queued_events < 1)
		sched_yield();
	spend_ns(30 * MS);
	assert_int_equal(1, totals_of(scene.runtime).queued_events);
	gate_open(&gate);
	assert_int_equal(0, pthread_join(emitter, NULL));
	assert_int_equal(3, taken);
	assert_int_equal(FAAS_OK, faas_drain(scene.runtime, FAAS_NEVER));
	assert_int_equal(3, atomic_load(&reads));
	assert_int_equal(0, totals_of(scene.runtime).total.rejected);
	close_shared();
}

#define SHARED_TEST(function) {#function " (shared)", function, shared_setup, scene_teardown, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(each_success_is_passed_on),
		BED_TEST(events_without_a_key_go_to_an_ordered_function),
		BED_TEST(events_of_every_size_arrive_whole),
		BED_TEST(a_chain_is_as_long_as_the_first_time),
		BED_TEST(records_count_as_hops_each_time),
		BED_TEST(each_that_takes_too_long_times_out),
		BED_TEST(a_forked_child_is_refused_what_its_parent_did),
		cmocka_unit_test(what_the_runtime_has_no_room_for_is_refused_each_time),
		cmocka_unit_test(refused_emitters_leave_nothing_behind),
		cmocka_unit_test_setup_teardown(nothing_of_an_attempt_is_left_to_the_next, scene_setup, scene_teardown),
		cmocka_unit_test_setup_teardown(those_that_somebody_asks_for_run_among_the_others, scene_setup, scene_teardown),
		cmocka_unit_test_setup_teardown(nothing_begins_once_its_function_has_ended, scene_setup, scene_teardown),
		SHARED_TEST(nothing_of_an_attempt_is_left_to_the_next),
		SHARED_TEST(those_that_somebody_asks_for_run_among_the_others),
		SHARED_TEST(nothing_begins_once_its_function_has_ended),
		cmocka_unit_test(an_overrun_reads_what_all_others_are_done_with),
		cmocka_unit_test(one_that_waits_for_room_shares_it_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
