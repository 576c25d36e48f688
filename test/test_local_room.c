/* SPDX-License-Identifier: MIT */
/*
 * Threads whose handlers emit take room in a function's queue ahead: nobody sees that. Bounds hold to the event, whoever emits
 * and however much others have taken ahead; numbers are those of the events that are there; and a function ends all the same.
 *
 * The pool has as many threads as handlers that emit, and these stay until a gate is opened: meanwhile nothing they emitted runs.
 */
#include "stress.h"

#define EVENTS 1000       /* that the queue takes: so many that room is taken ahead */
#define BYTES (1 << 20)   /* likewise */
#define SOME 10           /* fewer than are taken ahead */
#define ROUNDS 50
#define WIDE 900          /* bytes of a large event's data */

struct scene {
	faas_runtime *runtime;
	faas_function *sink;
	struct findings findings;
	struct gate begin, end; /* it may emit all that there is room for; it may return */
	atomic_int emitted;    /* all that was accepted */
	atomic_int runs;       /* of the sink */
	atomic_int released;
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

	if (strcmp(text, "some") == 0)
		emit_some(scene, context, SOME);
	else
		gate_pass(&scene->begin);
	if (strcmp(text, "all") == 0)
		emit_some(scene, context, EVENTS + 1);
	else if (strcmp(text, "mixed") == 0)
		emit_mixed(scene, context);
	gate_pass(&scene->end);
	return 0;
}

static int sink(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->runs, 1);
	return 0;
}

static void note_release(void *user)
{
	atomic_fetch_add(&((struct scene *)user)->released, 1);
}

static void scene_open(struct scene *scene, int64_t queue_bytes)
{
	memset(scene, 0, sizeof(*scene));
	gate_init(&scene->begin);
	gate_init(&scene->end);
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 2, .max_threads = 2));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "fill",
	                                                 ONCE(.handler = fill, .user = scene, .deadline_ms = FAAS_NEVER)));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "sink",
	                                                 ONCE(.handler = sink, .user = scene, .release = note_release,
	                                                      .queue_events = queue_bytes ? 0 : EVENTS,
	                                                      .queue_bytes = queue_bytes)));
	assert_int_equal(FAAS_OK, faas_bind(scene->runtime, FAAS_BINDING(.pattern = "sink.*", .function = "sink"), NULL));
	scene->sink = find_function(scene->runtime, "sink");
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
	faas_function_unref(scene->sink);
	assert_int_equal(FAAS_OK, faas_unregister_function(scene->runtime, "sink"));
	UNTIL(atomic_load(&scene->released) == 1);
	close_runtime(scene->runtime, FAAS_NEVER);
	check_findings(&scene->findings);
	gate_deinit(&scene->begin);
	gate_deinit(&scene->end);
}

static void start(struct scene *scene, const char *text)
{
	assert_int_equal(FAAS_OK, faas_invoke_async(scene->runtime, "fill",
	                                            FAAS_EVENT(.data = text, .data_bytes = strlen(text)), NULL));
}

/* Both threads are in handlers, of which `some` have emitted. */
static void start_two(struct scene *scene, const char *one, const char *other, int some)
{
	start(scene, one);
	start(scene, other);
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
	scene_open(&scene, 0);
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
	scene_open(&scene, 0);
	start_two(&scene, "some", "some", 2);
	scene.small = stats_of(scene.sink).queued_bytes / (2 * SOME);
	emit_all_from_outside(&scene);
	check_queued(&scene, EVENTS);
	scene_close(&scene);
}

static void so_do_all_at_once(void **state)
{
	static struct scene scene;

	(void)state;
	for (int i = 0; i < stress_rounds(ROUNDS); i++) {
		scene_open(&scene, 0);
		start_two(&scene, "all", "all", 0);
		gate_open(&scene.begin);
		emit_all_from_outside(&scene);
		gate_await(&scene.end, 2);
		scene.small = stats_of(scene.sink).queued_bytes / EVENTS;
		check_queued(&scene, EVENTS);
		scene_close(&scene);
	}
}

static void the_bytes_are_those_of_the_events(void **state)
{
	static struct scene scene;
	uint64_t small, large;

	(void)state;
	scene_open(&scene, BYTES);
	start_two(&scene, "some", "some", 2);
	small = measure(&scene, 0);
	large = measure(&scene, WIDE);
	assert_int_equal((2 * SOME + 1) * small + large, stats_of(scene.sink).queued_bytes);
	scene_close(&scene);

	scene_open(&scene, BYTES);
	scene.small = small;
	scene.large = large;
	start_two(&scene, "mixed", "none", 0);
	begin(&scene);
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_fills_the_queue_to_the_last),
		cmocka_unit_test(so_does_a_thread_of_the_host),
		cmocka_unit_test(so_do_all_at_once),
		cmocka_unit_test(the_bytes_are_those_of_the_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
