/* SPDX-License-Identifier: MIT */
/*
 * GLib's GThreadPool. Exclusive, so that its threads are its own and stay (a shared one gives idle threads back). A
 * task is one allocation that the pool's function frees.
 * https://docs.gtk.org/glib/struct.ThreadPool.html
 */
#include "bench.h"

#include <glib.h>
#include <stdio.h>

static const char *version(void)
{
	static char text[40];

	snprintf(text, sizeof(text), "%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);
	return text;
}

static void run_one(gpointer data, gpointer user)
{
	(void)user;
	bench_run_task(NULL, data);
	g_free(data);
}

static void *open_pool(int threads, int is_fixed)
{
	GError *error = NULL;
	GThreadPool *pool = g_thread_pool_new(run_one, NULL, threads, TRUE, &error);

	(void)is_fixed;
	if (!pool || error)
		bench_die("g_thread_pool_new: %s", error ? error->message : "failed");
	return pool;
}

static void close_pool(void *pool, int64_t tasks)
{
	(void)tasks;
	if (g_thread_pool_unprocessed(pool) != 0)
		bench_die("GLib has %u tasks left", g_thread_pool_unprocessed(pool));
	g_thread_pool_free(pool, FALSE, TRUE);
}

static void submit(void *pool, const struct task *task)
{
	struct task *copy = g_malloc(sizeof(*copy));
	GError *error = NULL;

	*copy = *task;
	if (!g_thread_pool_push(pool, copy, &error))
		bench_die("g_thread_pool_push: %s", error ? error->message : "failed");
}

static void submit_nested(void *pool, void *context, const struct task *task)
{
	(void)context;
	submit(pool, task);
}

const struct peer bench_peer = {
	.name = "GLib",
	.version = version,
	.open = open_pool,
	.close = close_pool,
	.submit = submit,
	.submit_nested = submit_nested,
};
