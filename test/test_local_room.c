/* SPDX-License-Identifier: MIT */
/*
 * Threads whose handlers emit take room in a function's queue ahead: nobody sees that. Bounds hold to the event, whoever
 * emits and however much others have taken ahead; numbers are those of the events that are there; and a function ends all
 * the same.
 *
 * The pool has as many threads as handlers that emit, and these stay until a gate is opened: meanwhile nothing they emitted
 * runs.
 */
#include "stress.h"

#define EVENTS 1000       /* that the queue takes: so many that room is taken ahead */
#define BYTES (1 << 20)   /* likewise */
#define SOME 10           /* fewer than are taken ahead */
#define ROUNDS 50
#define FEW_ROUNDS 5      /* where the pool must grow first */
#define WIDE 900          /* bytes of a large event's data */
#define HUGE_BYTES 1042000 /* likewise, beside which the queue has room for a few small ones, but not for a lease */
#define HUGE 100          /* of them */
#define LOOKS 2000        /* at threads that are to be at rest */
#define DELAYED 1100      /* more than all local queues take ahead */

struct scene {
	faas_runtime *runtime;
	faas_function *sink;
	struct findings findings;
	struct gate enter, begin, end; /* a handler is there; it may emit all that there is room for; it may return */
	atomic_int emitted;    /* all that was accepted */
	atomic_int runs;       /* of the sink */
	atomic_int released;
	atomic_int is_over;    /* whoever emits all the time is to stop */
	int fails;             /* the sink's handler */
	uint64_t small, large; /* bytes of an event in the queue */
};

static const char zeros[WIDE];

static int emit(faas_context *context, uint64_t data_bytes)
{
	return faas_context_emit_event(context, FAAS_EVENT(.type = "sink.event", .data = zeros, .data_bytes = data_bytes), NULL);
}

/* Emits so many small ones at most. */
static void emit_some(struct scene *scene, faas_context *context, int count)
{
	int code = 1;

	while (count-- > 0 && (code = emit(context, 0)) == 1)
		atomic_fetch_add(&scene->emitted, 1);
	if (code != 1 && code != FAAS_EFULL)
		find(&scene->findings, "emit: %s", faas_error_name(code));
}

/* As many times as the queue takes, whether there is room or not. */
static void emit_in_vain(struct scene *scene, faas_context *context)
{
	for (int i = 0; i < EVENTS; i++) {
		int code = emit(context, 0);

		if (code == 1)
			atomic_fetch_add(&scene->emitted, 1);
		else if (code != FAAS_ERUNTIMEFULL)
			find(&scene->findings, "emit: %s", faas_error_name(code));
	}
}

/* A few at a time, until it is to stop. All but one have run by then: that may be the large one. */
static void emit_all_the_time(struct scene *scene, faas_context *context)
{
	while (!atomic_load(&scene->is_over)) {
		emit_some(scene, context, SOME);
		UNTIL(atomic_load(&scene->runs) + 1 >= atomic_load(&scene->emitted));
	}
}

/* Small and large ones in turn, until the queue is full. */
static void emit_mixed(struct scene *scene, faas_context *context)
{
	uint64_t bytes = 0, next;

	for (int i = 0;; i++) {
		int code = emit(context, i % 2 == 0 ? 0 : WIDE);

		next = i % 2 == 0 ? scene->small : scene->large;
		if (code != 1) {
			if (code != FAAS_EFULL || bytes + next <= BYTES)
				find(&scene->findings, "%s after %llu bytes", faas_error_name(code), (unsigned long long)bytes);
			break;
		}
		atomic_fetch_add(&scene->emitted, 1);
		bytes += next;
		if (stats_of(scene->sink).queued_bytes != bytes)
			find(&scene->findings, "event %d: %llu bytes", i, (unsigned long long)bytes);
	}
}

static int fill(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	const char *text = faas_event_data(event, NULL);

	gate_pass(&scene->enter);
	if (strcmp(text, "some") == 0)
		emit_some(scene, context, SOME);
	else
		gate_pass(&scene->begin);
	if (strcmp(text, "all") == 0)
		emit_some(scene, context, EVENTS + 1);
	else if (strcmp(text, "mixed") == 0)
		emit_mixed(scene, context);
	else if (strcmp(text, "in vain") == 0)
		emit_in_vain(scene, context);
	else if (strcmp(text, "all the time") == 0)
		emit_all_the_time(scene, context);
	gate_pass(&scene->end);
	return 0;
}

static int sink(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->runs, 1);
	return scene->fails;
}

static void note_release(void *user)
{
	atomic_fetch_add(&((struct scene *)user)->released, 1);
}

/* Of two threads in the end, which stay. */
#define POOL(...) FAAS_RUNTIME(.max_threads = 2, .thread_idle_ms = FAAS_NEVER, __VA_ARGS__)

static void scene_open(struct scene *scene, const faas_runtime_config *pool, int queue_events, int64_t queue_bytes)
{
	memset(scene, 0, sizeof(*scene));
	gate_init(&scene->enter);
	gate_init(&scene->begin);
	gate_init(&scene->end);
	scene->runtime = open_runtime(pool);
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "fill",
	                                                 ONCE(.handler = fill, .user = scene, .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "sink",
	                                                 FAAS_FUNCTION(.handler = sink, .user = scene,
	                                                               .release = note_release,
	                                                               .deadline_ms = FAAS_NEVER, .backoff_ms = 3600000,
	                                                               .jitter_percent = FAAS_NONE,
	                                                               .queue_events = queue_events,
	                                                               .queue_bytes = queue_bytes)));
	assert_int_equal(FAAS_OK, faas_bind(scene->runtime, FAAS_BINDING(.pattern = "sink.*", .function = "sink"), NULL));
	scene->sink = find_function(scene->runtime, "sink");
}

static void scene_end(struct scene *scene)
{
	faas_function_unref(scene->sink);
	assert_int_equal(FAAS_OK, faas_unregister_function(scene->runtime, "sink"));
	UNTIL(atomic_load(&scene->released) == 1);
	close_runtime(scene->runtime, FAAS_NEVER);
	check_findings(&scene->findings);
	gate_deinit(&scene->enter);
	gate_deinit(&scene->begin);
	gate_deinit(&scene->end);
}

/* What was emitted is all there is, and runs. */
static void scene_close(struct scene *scene)
{
	struct faas_function_stats stats;

	gate_open(&scene->end);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	stats = stats_of(scene->sink);
	assert_int_equal(atomic_load(&scene->emitted), stats.accepted);
	assert_int_equal(atomic_load(&scene->emitted), stats.succeeded);
	assert_int_equal(atomic_load(&scene->emitted), atomic_load(&scene->runs));
	assert_int_equal(0, stats.queued);
	UNTIL(stats_of(scene->sink).queued_bytes == 0);
	scene_end(scene);
}

static void start(struct scene *scene, const char *text)
{
	assert_int_equal(FAAS_OK, faas_invoke_async(scene->runtime, "fill",
	                                            FAAS_EVENT(.data = text, .data_bytes = strlen(text),
	                                                       .wait_ms = FAAS_NEVER),
	                                            NULL));
}

/* Both threads are in handlers, of which `some` have emitted. */
static void start_two(struct scene *scene, const char *one, const char *other, int some)
{
	start(scene, one);
	start(scene, other);
	gate_await(&scene->enter, 2);
	gate_open(&scene->enter);
	gate_await(&scene->end, some);
	gate_await(&scene->begin, 2 - some);
}

static void begin(struct scene *scene)
{
	gate_open(&scene->begin);
	gate_await(&scene->end, 2);
}

static void check_queued(const struct scene *scene, uint64_t events)
{
	struct faas_function_stats stats = stats_of(scene->sink);

	assert_int_equal(events, stats.queued);
	assert_int_equal(events * scene->small, stats.queued_bytes);
}

/* Sends one event to the sink, and says how many bytes it was. Both threads are in handlers. */
static uint64_t measure(struct scene *scene, uint64_t data_bytes)
{
	uint64_t before = stats_of(scene->sink).queued_bytes;

	assert_int_equal(1, faas_emit_event(scene->runtime,
	                                    FAAS_EVENT(.type = "sink.event", .data = zeros, .data_bytes = data_bytes), NULL));
	atomic_fetch_add(&scene->emitted, 1);
	return stats_of(scene->sink).queued_bytes - before;
}

static void a_handler_fills_the_queue_to_the_last(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, POOL(.threads = 2), EVENTS, 0);
	start_two(&scene, "some", "all", 1);
	scene.small = stats_of(scene.sink).queued_bytes / SOME;
	check_queued(&scene, SOME);
	begin(&scene);
	check_queued(&scene, EVENTS);
	assert_int_equal(FAAS_EFULL, faas_emit_event(scene.runtime, FAAS_EVENT(.type = "sink.event"), NULL));
	scene_close(&scene);
}

static void emit_all_from_outside(struct scene *scene)
{
	int code;

	while ((code = faas_emit_event(scene->runtime, FAAS_EVENT(.type = "sink.event", .data = zeros), NULL)) == 1)
		atomic_fetch_add(&scene->emitted, 1);
	assert_int_equal(FAAS_EFULL, code);
}

static void so_does_a_thread_of_the_host(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, POOL(.threads = 2), EVENTS, 0);
	start_two(&scene, "some", "some", 2);
	scene.small = stats_of(scene.sink).queued_bytes / (2 * SOME);
	emit_all_from_outside(&scene);
	check_queued(&scene, EVENTS);
	scene_close(&scene);
}

static void fill_from_three_threads(const faas_runtime_config *pool, int rounds)
{
	static struct scene scene;

	for (int i = 0; i < stress_rounds(rounds); i++) {
		scene_open(&scene, pool, EVENTS, 0);
		start_two(&scene, "all", "all", 0);
		scene.small = measure(&scene, 0);
		gate_open(&scene.begin);
		emit_all_from_outside(&scene);
		gate_await(&scene.end, 2);
		check_queued(&scene, EVENTS);
		scene_close(&scene);
	}
}

static void so_do_all_at_once(void **state)
{
	(void)state;
	fill_from_three_threads(POOL(.threads = 2), ROUNDS);
}

/* The second thread comes when the first one blocks: there is a local queue for one. */
static void so_do_threads_that_share_a_local_queue(void **state)
{
	(void)state;
	fill_from_three_threads(POOL(.threads = 1), FEW_ROUNDS);
}

static void the_bytes_are_those_of_the_events(void **state)
{
	static struct scene scene;
	uint64_t small, large;

	(void)state;
	scene_open(&scene, POOL(.threads = 2), 0, BYTES);
	start_two(&scene, "some", "some", 2);
	small = measure(&scene, 0);
	large = measure(&scene, WIDE);
	assert_int_equal((2 * SOME + 1) * small + large, stats_of(scene.sink).queued_bytes);
	scene_close(&scene);

	scene_open(&scene, POOL(.threads = 2), 0, BYTES);
	scene.small = small;
	scene.large = large;
	start_two(&scene, "mixed", "none", 0);
	begin(&scene);
	scene_close(&scene);
}

/* What others take ahead, and use up meanwhile, is in nobody's way. */
static void an_event_for_which_there_is_room_is_taken(void **state)
{
	static struct scene scene;
	static char huge[HUGE_BYTES];

	(void)state;
	scene_open(&scene, POOL(.threads = 2), 0, BYTES);
	gate_open(&scene.enter);
	gate_open(&scene.begin);
	start(&scene, "all the time");
	for (int i = 0; i < stress_rounds(HUGE); i++) {
		int before = atomic_load(&scene.runs), code;

		UNTIL(atomic_load(&scene.runs) > before);
		atomic_fetch_add(&scene.emitted, 1);
		code = faas_emit_event(scene.runtime,
		                       FAAS_EVENT(.type = "sink.event", .data = huge, .data_bytes = HUGE_BYTES), NULL);
		assert_int_equal(1, code);
		UNTIL(stats_of(scene.sink).queued_bytes < HUGE_BYTES);
	}
	atomic_store(&scene.is_over, 1);
	scene_close(&scene);
}

/* Events that the function has room for, and the runtime has not. */
static void what_the_runtime_refuses_leaves_nothing_behind(void **state)
{
	static struct scene scene;

	(void)state;
	for (int i = 0; i < stress_rounds(ROUNDS); i++) {
		scene_open(&scene, POOL(.threads = 2, .queue_events = SOME), 0, 0);
		start_two(&scene, "in vain", "in vain", 0);
		begin(&scene);
		assert_true(stats_of(scene.sink).rejected_runtime_full > 0);
		scene_close(&scene);
		/* The same while the sink runs. */
		scene_open(&scene, POOL(.threads = 2, .queue_events = SOME), 0, 0);
		gate_open(&scene.enter);
		gate_open(&scene.begin);
		gate_open(&scene.end);
		for (int k = 0; k < SOME / 2; k++)
			start(&scene, "in vain");
		scene_close(&scene);
	}
}

/* Of those that may not begin yet, many, and of room that was taken ahead, threads do not think that there is work. */
static void threads_rest_while_events_are_delayed(void **state)
{
	static struct scene scene;

	(void)state;
	/* More or less of what was taken ahead may be left. */
	for (int more = 0; more < 4; more++) {
		scene_open(&scene, POOL(.threads = 2), 0, 0);
		scene.fails = 1;
		start_two(&scene, "some", "all", 1);
		begin(&scene);
		for (int i = EVENTS + 1 + SOME; i < DELAYED + more * SOME; i++)
			(void)measure(&scene, 0);
		gate_open(&scene.end);
		UNTIL(stats_of(scene.sink).delayed == (uint64_t)atomic_load(&scene.emitted));
		/* Not between two things to do: each time that one looks. */
		for (int looks = 0; looks < LOOKS; looks++)
			if (totals_of(scene.runtime).threads_idle < 2)
				looks = 0;
		scene_end(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_fills_the_queue_to_the_last),
		cmocka_unit_test(so_does_a_thread_of_the_host),
		cmocka_unit_test(so_do_all_at_once),
		cmocka_unit_test(so_do_threads_that_share_a_local_queue),
		cmocka_unit_test(the_bytes_are_those_of_the_events),
		cmocka_unit_test(an_event_for_which_there_is_room_is_taken),
		cmocka_unit_test(what_the_runtime_refuses_leaves_nothing_behind),
		cmocka_unit_test(threads_rest_while_events_are_delayed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
