/* SPDX-License-Identifier: MIT */
/*
 * libuv's uv_queue_work. A task is one allocation, the request with its data, freed by the after-work callback on its
 * loop. http://docs.libuv.org/en/v1.x/threadpool.html
 *
 * A loop belongs to one thread, so each thread that submits has its own: main, each producer, and each pool thread that
 * submits from inside a task. A pool thread must not wait in its loop; it looks after it whenever a task that submitted
 * is over, and main takes the loop over when all these tasks are done, which it learns from its own loop.
 */
#include "bench.h"

#include <stdlib.h>
#include <uv.h>

struct request {
	uv_work_t work;
	struct task task;
};

/* The loop of a thread. */
struct place {
	uv_loop_t loop;
	struct place *next;
};

static _Thread_local struct place *here;

/* Those of pool threads. Under mutex while tasks submit, main's alone after that. */
static struct place *inside;
static uv_mutex_t mutex;

static void must(const char *what, int code)
{
	if (code < 0)
		bench_die("%s: %s", what, uv_strerror(code));
}

static struct place *place_new(void)
{
	struct place *place = bench_alloc(1, sizeof(*place));

	must("uv_loop_init", uv_loop_init(&place->loop));
	return place;
}

static void place_free(struct place *place)
{
	must("uv_run", uv_run(&place->loop, UV_RUN_DEFAULT));
	must("uv_loop_close", uv_loop_close(&place->loop));
	free(place);
}

static void *open_pool(int threads, int is_fixed)
{
	char text[20];

	(void)is_fixed;
	snprintf(text, sizeof(text), "%d", threads);
	/* Before the first use: this is how it is meant to be set. */
	must("uv_os_setenv", uv_os_setenv("UV_THREADPOOL_SIZE", text));
	must("uv_mutex_init", uv_mutex_init(&mutex));
	return &mutex;
}

static void close_pool(void *pool, int64_t tasks)
{
	(void)pool;
	(void)tasks;
	while (inside) {
		struct place *next = inside->next;

		place_free(inside);
		inside = next;
	}
	uv_mutex_destroy(&mutex);
	uv_library_shutdown();
}

static void enter(void *pool, void (*body)(void *arg), void *arg)
{
	(void)pool;
	here = place_new();
	body(arg);
	place_free(here);
	here = NULL;
}

static void after_work(uv_work_t *work, int status)
{
	must("work", status);
	free(work->data);
}

static void do_work(uv_work_t *work)
{
	struct request *request = work->data;

	bench_run_task(NULL, &request->task);
	if (request->task.kind == TASK_SPAWN)
		uv_run(&here->loop, UV_RUN_NOWAIT);
}

static void submit(void *pool, const struct task *task)
{
	struct request *request = malloc(sizeof(*request));

	(void)pool;
	if (!request)
		bench_die("out of memory");
	request->work.data = request;
	request->task = *task;
	must("uv_queue_work", uv_queue_work(&here->loop, &request->work, do_work, after_work));
}

static void submit_nested(void *pool, void *context, const struct task *task)
{
	(void)context;
	if (!here) {
		here = place_new();
		uv_mutex_lock(&mutex);
		here->next = inside;
		inside = here;
		uv_mutex_unlock(&mutex);
	}
	submit(pool, task);
}

/* When this thread's loop is done, so are its tasks and with them all that submit from inside. */
static void wait_all(void *pool)
{
	(void)pool;
	must("uv_run", uv_run(&here->loop, UV_RUN_DEFAULT));
	uv_mutex_lock(&mutex);
	for (struct place *place = inside; place; place = place->next)
		must("uv_run", uv_run(&place->loop, UV_RUN_DEFAULT));
	uv_mutex_unlock(&mutex);
}

const struct peer bench_peer = {
	.name = "libuv",
	.version = uv_version_string,
	.open = open_pool,
	.close = close_pool,
	.enter = enter,
	.submit = submit,
	.submit_nested = submit_nested,
	.wait_all = wait_all,
};
