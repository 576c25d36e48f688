/* SPDX-License-Identifier: MIT */
/*
 * A pool that is wrong on purpose, once, so that tests can see the programs notice: with -t 1 it loses a task, with
 * -t 2 it runs one twice, with -t 3 it spoils a copy. It has no threads and is measured by nobody.
 */
#include "bench.h"

#define WRONG_AT 2500 /* past the tasks that only warm up */

static int fault;
static int64_t submitted;

static const char *version(void)
{
	return "on purpose";
}

static void *open_pool(int threads, int is_fixed)
{
	(void)is_fixed;
	fault = threads;
	bench_stuck_s = 1;
	return &fault;
}

static void close_pool(void *pool, int64_t tasks)
{
	(void)pool;
	(void)tasks;
}

static void submit(void *pool, const struct task *task)
{
	struct task copy = *task;
	int is_wrong = ++submitted == WRONG_AT;

	(void)pool;
	if (is_wrong && fault == 3)
		copy.check++;
	if (is_wrong && fault == 2)
		bench_run_task(NULL, &copy);
	if (!is_wrong || fault != 1)
		bench_run_task(NULL, &copy);
}

static void submit_nested(void *pool, void *context, const struct task *task)
{
	(void)context;
	submit(pool, task);
}

const struct peer bench_peer = {
	.name = "broken",
	.version = version,
	.open = open_pool,
	.close = close_pool,
	.submit = submit,
	.submit_nested = submit_nested,
};
