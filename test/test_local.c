/* SPDX-License-Identifier: MIT */
/*
 * What handlers emit stands in local queues of the pool's threads: nobody is left behind by that, neither those events nor
 * those that come from outside, and they can be cancelled, claimed and counted like any other. Gates stop handlers where
 * they are; nothing here depends on how long anything takes.
 */
#include "stress.h"

#include <time.h>

#define CHILDREN 20000 /* of one tree: more than a thread runs before it looks elsewhere */
#define FEW 100

struct scene {
	struct memory memory;
	faas_runtime *runtime;
	faas_function *function;
	struct findings findings;
	struct gate start, gate;
	atomic_int trees;            /* that have begun */
	atomic_int children[2];      /* of each tree that have run */
	atomic_int children_then[2]; /* when the event from outside ran; -1: it has not */
	atomic_int others;           /* that have run */
	atomic_int others_then;      /* when the child ran */
	atomic_int child_ran;
	faas_invocation *handles[FEW];
};

static void emit_children(struct scene *scene, faas_context *context, const char *text, int count)
{
	for (int i = 0; i < count; i++) {
		int code = faas_context_invoke_async(context, "f", FAAS_EVENT(.data = text, .data_bytes = strlen(text)), NULL);

		if (code != FAAS_OK)
			find(&scene->findings, "child %d: %s", i, faas_error_name(code));
	}
}

static void emit_answerable(struct scene *scene, faas_context *context)
{
	for (int i = 0; i < FEW; i++) {
		int code = faas_context_invoke_async(context, "f", FAAS_EVENT(.data = "child 0", .data_bytes = 7),
		                                     &scene->handles[i]);

		if (code != FAAS_OK)
			find(&scene->findings, "child %d: %s", i, faas_error_name(code));
	}
}

static void use_some_time(void)
{
	for (volatile int i = 0; i < 1000; i++)
		continue;
}

/* Each thread has a tree of its own. */
static void grow_tree(struct scene *scene, faas_context *context)
{
	int tree = atomic_fetch_add(&scene->trees, 1);

	gate_pass(&scene->start);
	emit_children(scene, context, "gate", 1);
	emit_children(scene, context, tree == 0 ? "child 0" : "child 1", CHILDREN);
}

static void note_children(struct scene *scene)
{
	for (int i = 0; i < 2; i++)
		atomic_store(&scene->children_then[i], atomic_load(&scene->children[i]));
}

/* Longer than a batch is to take. */
static void spin(void)
{
	struct timespec from, now;

	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec < 200000);
}

static void wait_for_child(struct scene *scene, faas_context *context)
{
	faas_invocation *child = NULL;
	int code = faas_context_invoke_async(context, "f", FAAS_EVENT(.data = "child 0", .data_bytes = 7), &child);

	if (code == FAAS_OK)
		code = faas_invocation_wait(child, FAAS_NEVER);
	if (code != FAAS_OK)
		find(&scene->findings, "waiting for a child: %s", faas_error_name(code));
	faas_invocation_unref(child);
}

static int act(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);
	const char *text = faas_event_data(event, NULL);

	if (strcmp(text, "tree") == 0) {
		grow_tree(scene, context);
	} else if (strcmp(text, "start") == 0) {
		gate_pass(&scene->start);
	} else if (strcmp(text, "gate") == 0) {
		gate_pass(&scene->gate);
	} else if (strncmp(text, "child", 5) == 0) {
		use_some_time();
		atomic_fetch_add(&scene->children[text[6] - '0'], 1);
	} else if (strcmp(text, "outside") == 0) {
		note_children(scene);
	} else if (strcmp(text, "emit one and block") == 0) {
		emit_children(scene, context, "open", 1);
		gate_pass(&scene->gate);
	} else if (strcmp(text, "emit one and take long") == 0) {
		emit_children(scene, context, "note", 1);
		spin();
	} else if (strcmp(text, "note") == 0) {
		atomic_store(&scene->others_then, atomic_load(&scene->others));
		atomic_store(&scene->child_ran, 1);
	} else if (strcmp(text, "open") == 0) {
		atomic_store(&scene->child_ran, 1);
		gate_open(&scene->gate);
	} else if (strcmp(text, "few") == 0) {
		emit_answerable(scene, context);
		gate_pass(&scene->gate);
	} else if (strcmp(text, "wait") == 0) {
		wait_for_child(scene, context);
	} else if (strcmp(text, "refused") == 0) {
		memory_fail(&scene->memory, 0, 1000000);
		emit_children(scene, context, "child 0", 1);
		if (!memory_has_failed(&scene->memory))
			find(&scene->findings, "nothing was asked for");
		memory_fail(&scene->memory, -1, 0);
	} else {
		use_some_time();
		atomic_fetch_add(&scene->others, 1);
	}
	return 0;
}

static void scene_open(struct scene *scene, int threads)
{
	memset(scene, 0, sizeof(*scene));
	memory_init(&scene->memory);
	gate_init(&scene->start);
	gate_init(&scene->gate);
	for (int i = 0; i < 2; i++)
		atomic_store(&scene->children_then[i], -1);
	scene->runtime = open_runtime(
		FAAS_RUNTIME(.threads = threads, .max_threads = threads, .allocator = &scene->memory.config));
	assert_int_equal(FAAS_OK, faas_register_function(scene->runtime, "f",
	                                                 ONCE(.handler = act, .user = scene, .deadline_ms = FAAS_NEVER,
	                                                      .queue_events = 3 * CHILDREN)));
	scene->function = find_function(scene->runtime, "f");
}

static void scene_close(struct scene *scene)
{
	struct faas_runtime_stats total;

	faas_function_unref(scene->function);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	total = totals_of(scene->runtime);
	check_accounts(&total.total);
	assert_int_equal(0, total.total.queued);
	assert_int_equal(total.total.accepted, settled_of(&total.total));
	/* A batch gives its room back when it is over. */
	UNTIL(totals_of(scene->runtime).total.queued_bytes == 0);
	close_runtime(scene->runtime, FAAS_NEVER);
	check_findings(&scene->findings);
	memory_check_empty(&scene->memory);
	gate_deinit(&scene->start);
	gate_deinit(&scene->gate);
}

static void send(const struct scene *scene, const char *text)
{
	assert_int_equal(FAAS_OK, faas_function_invoke_async(scene->function,
	                                                     FAAS_EVENT(.data = text, .data_bytes = strlen(text)), NULL));
}

/* Both threads have a tree's events in their queues, and come to what is emitted only then before either is through. */
static void an_event_from_outside_does_not_wait_for_a_tree(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2);
	send(&scene, "tree");
	send(&scene, "tree");
	gate_await(&scene.start, 2);
	gate_open(&scene.start);
	gate_await(&scene.gate, 2);
	send(&scene, "outside");
	gate_open(&scene.gate);
	UNTIL(atomic_load(&scene.children_then[1]) >= 0);
	for (int i = 0; i < 2; i++) {
		UNTIL(atomic_load(&scene.children[i]) == CHILDREN);
		assert_in_range(atomic_load(&scene.children_then[i]), 0, CHILDREN - 1);
	}
	scene_close(&scene);
}

/* The other thread always has something else to do, and comes to it all the same. */
static void what_a_blocked_handler_emitted_is_run_by_others(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2);
	send(&scene, "start");
	send(&scene, "start");
	gate_await(&scene.start, 2);
	send(&scene, "emit one and block");
	for (int i = 0; i < CHILDREN; i++)
		send(&scene, "");
	gate_open(&scene.start);
	while (!atomic_load(&scene.child_ran))
		if (faas_function_invoke_async(scene.function, NULL, NULL) != FAAS_OK)
			sched_yield();
	scene_close(&scene);
}

/* What stands behind one that took unexpectedly long is put back: here, so that what it emitted comes first. */
static void a_batch_that_takes_long_is_put_back(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2);
	for (int i = 0; i < 5000; i++)
		send(&scene, "");
	UNTIL(stats_of(scene.function).succeeded == 5000 && stats_of(scene.function).busy == 0);
	send(&scene, "gate");
	gate_await(&scene.gate, 1);
	send(&scene, "start");
	gate_await(&scene.start, 1);
	send(&scene, "emit one and take long");
	for (int i = 0; i < 20; i++)
		send(&scene, "");
	gate_open(&scene.start);
	UNTIL(atomic_load(&scene.child_ran));
	assert_int_equal(5000, atomic_load(&scene.others_then));
	gate_open(&scene.gate);
	scene_close(&scene);
}

/* The other thread is busy: the one that waits runs it itself. */
static void a_handler_waits_for_what_it_emitted(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2);
	send(&scene, "gate");
	gate_await(&scene.gate, 1);
	send(&scene, "wait");
	UNTIL(stats_of(scene.function).succeeded == 2);
	gate_open(&scene.gate);
	scene_close(&scene);
	assert_int_equal(1, atomic_load(&scene.children[0]));
}

/* Waiting for one, cancelling one and ending a function reach what stands in a local queue. */
static void events_in_a_local_queue_are_reached(void **state)
{
	static struct scene scene;
	struct faas_function_stats stats;

	(void)state;
	scene_open(&scene, 2);
	send(&scene, "gate");
	gate_await(&scene.gate, 1);
	send(&scene, "few");
	gate_await(&scene.gate, 2);
	stats = stats_of(scene.function);
	assert_int_equal(FEW, stats.queued);
	assert_int_equal(FEW + 2, stats.accepted);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(scene.handles[FEW / 2]));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(scene.handles[FEW / 2]));
	assert_int_equal(FEW - 1, stats_of(scene.function).queued);
	assert_int_equal(FAAS_OK, faas_unregister_function(scene.runtime, "f"));
	for (int i = 0; i < FEW; i++) {
		assert_int_equal(FAAS_OK, faas_invocation_wait(scene.handles[i], FAAS_NEVER));
		assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(scene.handles[i]));
		faas_invocation_unref(scene.handles[i]);
	}
	gate_open(&scene.gate);
	scene_close(&scene);
	assert_int_equal(0, atomic_load(&scene.children[0]));
}

static void without_memory_for_them_events_stand_in_the_common_queue(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2);
	/* Threads need blocks at hand. */
	for (int i = 0; i < 5000; i++)
		send(&scene, "");
	UNTIL(stats_of(scene.function).succeeded == 5000 && stats_of(scene.function).busy == 0);
	send(&scene, "refused");
	UNTIL(atomic_load(&scene.children[0]) == 1);
	scene_close(&scene);
}

/* One at a time comes in order, from handlers as well, though nothing promises it. */
static void one_at_a_time_comes_in_order(void **state)
{
	static struct scene scene;

	(void)state;
	for (int threads = 1; threads <= 2; threads++) {
		scene_open(&scene, threads);
		faas_function_unref(scene.function);
		assert_int_equal(FAAS_OK, faas_unregister_function(scene.runtime, "f"));
		assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, "f",
		                                                 ONCE(.handler = act, .user = &scene,
		                                                      .deadline_ms = FAAS_NEVER,
		                                                      .max_concurrency = threads == 1 ? 0 : 1,
		                                                      .queue_events = 3 * CHILDREN)));
		scene.function = find_function(scene.runtime, "f");
		send(&scene, "tree");
		send(&scene, "outside");
		gate_open(&scene.start);
		gate_open(&scene.gate);
		UNTIL(atomic_load(&scene.children[0]) == CHILDREN);
		assert_int_equal(0, atomic_load(&scene.children_then[0]));
		scene_close(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_from_outside_does_not_wait_for_a_tree),
		cmocka_unit_test(what_a_blocked_handler_emitted_is_run_by_others),
		cmocka_unit_test(a_batch_that_takes_long_is_put_back),
		cmocka_unit_test(a_handler_waits_for_what_it_emitted),
		cmocka_unit_test(events_in_a_local_queue_are_reached),
		cmocka_unit_test(without_memory_for_them_events_stand_in_the_common_queue),
		cmocka_unit_test(one_at_a_time_comes_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
