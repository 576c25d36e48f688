/* SPDX-License-Identifier: MIT */
/*
 * What handlers emit stands in local queues of the pool's threads: nobody is left behind by that, neither those events nor
 * those that come from outside, and they can be cancelled, claimed and counted like any other. Gates stop handlers where
 * they are; nothing here depends on how long anything takes.
 */
#include "stress.h"

#define CHILDREN 20000 /* of one tree: more than a thread runs before it looks elsewhere */
#define FEW 100
#define MAKES_FAST 5000 /* events, until threads take them in batches */
#define LONG_NS 200000 /* longer than a batch is to take */

struct scene {
	struct memory memory;
	faas_runtime *runtime;
	faas_function *function;
	struct findings findings;
	struct gate start, gate;
	atomic_int asks;             /* a child of the tree waits for the event from outside to be sent */
	atomic_int is_sent;
	atomic_int children;         /* that have run */
	atomic_int children_then;    /* when the event from outside ran; -1: it has not */
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
		int code = faas_context_invoke_async(context, "f", FAAS_EVENT(.data = "child", .data_bytes = 5),
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

/* By the time of the one that asks, handlers are known to be fast again. */
static void run_child(struct scene *scene)
{
	use_some_time();
	if (atomic_fetch_add(&scene->children, 1) != CHILDREN / 10)
		return;
	atomic_store(&scene->asks, 1);
	UNTIL(atomic_load(&scene->is_sent));
}

static void wait_for_child(struct scene *scene, faas_context *context)
{
	faas_invocation *child = NULL;
	int code = faas_context_invoke_async(context, "f", FAAS_EVENT(.data = "child", .data_bytes = 5), &child);

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
		emit_children(scene, context, "child", CHILDREN);
	} else if (strcmp(text, "start") == 0) {
		gate_pass(&scene->start);
	} else if (strcmp(text, "gate") == 0) {
		gate_pass(&scene->gate);
	} else if (strcmp(text, "child") == 0) {
		run_child(scene);
	} else if (strcmp(text, "outside") == 0) {
		atomic_store(&scene->children_then, atomic_load(&scene->children));
	} else if (strcmp(text, "emit one and block") == 0) {
		emit_children(scene, context, "open", 1);
		gate_pass(&scene->gate);
	} else if (strcmp(text, "emit one and take long") == 0) {
		emit_children(scene, context, "note", 1);
		spend_ns(LONG_NS);
	} else if (strcmp(text, "note") == 0) {
		atomic_store(&scene->others_then, atomic_load(&scene->others));
		atomic_store(&scene->child_ran, 1);
	} else if (strcmp(text, "open") == 0) {
		atomic_store(&scene->child_ran, 1);
		gate_open(&scene->gate);
	} else if (strcmp(text, "small tree") == 0) {
		emit_children(scene, context, "child", FEW);
	} else if (strcmp(text, "few") == 0) {
		emit_answerable(scene, context);
		gate_pass(&scene->gate);
	} else if (strcmp(text, "wait") == 0) {
		wait_for_child(scene, context);
	} else if (strcmp(text, "refused") == 0) {
		memory_fail(&scene->memory, 0, 1000000);
		emit_children(scene, context, "child", 1);
		if (!memory_has_failed(&scene->memory))
			find(&scene->findings, "nothing was asked for");
		memory_fail(&scene->memory, -1, 0);
	} else {
		use_some_time();
		atomic_fetch_add(&scene->others, 1);
	}
	return 0;
}

static void scene_open(struct scene *scene, int threads, int max_concurrency)
{
	memset(scene, 0, sizeof(*scene));
	memory_init(&scene->memory);
	gate_init(&scene->start);
	gate_init(&scene->gate);
	atomic_store(&scene->children_then, -1);
	scene->runtime = open_runtime(
		FAAS_RUNTIME(.threads = threads, .max_threads = threads, .max_concurrency = max_concurrency,
	                 .allocator = &scene->memory.config));
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

/* Threads go first to their own queues where handlers are known to be fast. */
static void make_fast(const struct scene *scene)
{
	for (int i = 0; i < MAKES_FAST; i++)
		send(scene, "");
	UNTIL(stats_of(scene->function).succeeded == MAKES_FAST && stats_of(scene->function).busy == 0);
}

/* The other thread stands at the gate to the end. */
static void scene_open_on_one_thread(struct scene *scene)
{
	scene_open(scene, 2, 0);
	make_fast(scene);
	send(scene, "gate");
	gate_await(&scene->gate, 1);
}

static void scene_close_on_one_thread(struct scene *scene)
{
	gate_open(&scene->gate);
	scene_close(scene);
}

/* Holds `threads` of them until `first`, and `others` that do nothing behind it, stand in the queue. */
static void send_behind_each_other(struct scene *scene, int threads, const char *first, int others)
{
	for (int i = 0; i < threads; i++)
		send(scene, "start");
	gate_await(&scene->start, threads);
	send(scene, first);
	for (int i = 0; i < others; i++)
		send(scene, "");
	gate_open(&scene->start);
}

/* A thread with a whole tree's events in its own queue comes to what is sent only then before it is through with them. */
static void an_event_from_outside_does_not_wait_for_a_tree(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open_on_one_thread(&scene);
	send(&scene, "tree");
	UNTIL(atomic_load(&scene.asks));
	send(&scene, "outside");
	atomic_store(&scene.is_sent, 1);
	UNTIL(atomic_load(&scene.children_then) >= 0);
	UNTIL(atomic_load(&scene.children) == CHILDREN);
	assert_in_range(atomic_load(&scene.children_then), 0, CHILDREN - 1);
	scene_close_on_one_thread(&scene);
}

/* The other thread always has something else to do, and comes to it all the same. */
static void what_a_blocked_handler_emitted_is_run_by_others(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2, 0);
	send_behind_each_other(&scene, 2, "emit one and block", CHILDREN);
	while (!atomic_load(&scene.child_ran))
		if (faas_function_invoke_async(scene.function, NULL, NULL) != FAAS_OK)
			sched_yield();
	scene_close(&scene);
}

/* What stands behind one that took unexpectedly long is put back: so what it emitted comes before, or behind one of them. */
static void a_batch_that_takes_long_is_put_back(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open_on_one_thread(&scene);
	send_behind_each_other(&scene, 1, "emit one and take long", 20);
	UNTIL(atomic_load(&scene.child_ran));
	assert_in_range(atomic_load(&scene.others_then), MAKES_FAST, MAKES_FAST + 1);
	scene_close_on_one_thread(&scene);
}

/* The other thread is busy: the one that waits runs it itself. */
static void a_handler_waits_for_what_it_emitted(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open_on_one_thread(&scene);
	send(&scene, "wait");
	UNTIL(stats_of(scene.function).succeeded == MAKES_FAST + 2);
	scene_close_on_one_thread(&scene);
	assert_int_equal(1, atomic_load(&scene.children));
}

/* Waiting for one, cancelling one and ending a function reach what stands in a local queue. */
static void events_in_a_local_queue_are_reached(void **state)
{
	static struct scene scene;
	struct faas_function_stats stats;

	(void)state;
	scene_open_on_one_thread(&scene);
	send(&scene, "few");
	gate_await(&scene.gate, 2);
	stats = stats_of(scene.function);
	assert_int_equal(FEW, stats.queued);
	assert_int_equal(MAKES_FAST + 2 + FEW, stats.accepted);
	assert_int_equal(FAAS_OK, faas_invocation_cancel(scene.handles[FEW / 2]));
	assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(scene.handles[FEW / 2]));
	assert_int_equal(FEW - 1, stats_of(scene.function).queued);
	assert_int_equal(FAAS_OK, faas_unregister_function(scene.runtime, "f"));
	for (int i = 0; i < FEW; i++) {
		assert_int_equal(FAAS_OK, faas_invocation_wait(scene.handles[i], FAAS_NEVER));
		assert_int_equal(FAAS_ECANCELLED, faas_invocation_outcome(scene.handles[i]));
		faas_invocation_unref(scene.handles[i]);
	}
	scene_close_on_one_thread(&scene);
	assert_int_equal(0, atomic_load(&scene.children));
}

static void without_memory_for_them_events_stand_in_the_common_queue(void **state)
{
	static struct scene scene;

	(void)state;
	scene_open(&scene, 2, 0);
	/* Threads need blocks at hand. */
	make_fast(&scene);
	send(&scene, "refused");
	UNTIL(atomic_load(&scene.children) == 1);
	scene_close(&scene);
}

/* One at a time comes in order, from handlers as well, though nothing promises it. */
static void one_at_a_time_comes_in_order(void **state)
{
	static struct scene scene;

	static const struct {
		int threads, all, concurrency;
	} ways[] = {{1, 0, 0}, {2, 0, 1}, {2, 1, 0}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		scene_open(&scene, ways[i].threads, ways[i].all);
		faas_function_unref(scene.function);
		assert_int_equal(FAAS_OK, faas_unregister_function(scene.runtime, "f"));
		assert_int_equal(FAAS_OK, faas_register_function(scene.runtime, "f",
		                                                 ONCE(.handler = act, .user = &scene,
		                                                      .deadline_ms = FAAS_NEVER,
		                                                      .max_concurrency = ways[i].concurrency,
		                                                      .queue_events = 3 * CHILDREN)));
		scene.function = find_function(scene.runtime, "f");
		make_fast(&scene);
		send(&scene, "gate");
		gate_await(&scene.gate, 1);
		send(&scene, "small tree");
		for (int k = 0; k < 5 * FEW; k++)
			send(&scene, "");
		send(&scene, "outside");
		gate_open(&scene.gate);
		UNTIL(atomic_load(&scene.children) == FEW);
		assert_int_equal(0, atomic_load(&scene.children_then));
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
