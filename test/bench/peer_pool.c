/* SPDX-License-Identifier: MIT */
/*
 * What one writes by hand: a list under a mutex, a condition variable, a signal for each task. A task is one
 * allocation, made by the thread that submits and freed by the one that has run it.
 */
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>

struct node {
	struct node *next;
	struct task task;
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	/* under mutex */
	struct node *first;
	struct node **last;
	int is_closing;
	/* the thread that opens and closes */
	int count;
	pthread_t *threads;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .last = &pool.first};

static const char *version(void)
{
	return "mutex, condition variable";
}

static struct node *take(void)
{
	struct node *node;

	pthread_mutex_lock(&pool.mutex);
	while (!pool.first && !pool.is_closing)
		pthread_cond_wait(&pool.cond, &pool.mutex);
	node = pool.first;
	if (node) {
		pool.first = node->next;
		if (!pool.first)
			pool.last = &pool.first;
	}
	pthread_mutex_unlock(&pool.mutex);
	return node;
}

static void *thread_main(void *arg)
{
	struct node *node;

	while ((node = take()) != NULL) {
		bench_run_task(NULL, &node->task);
		free(node);
	}
	return arg;
}

static void *open_pool(int threads, int is_fixed)
{
	(void)is_fixed;
	pool.count = threads;
	pool.threads = bench_alloc((size_t)threads, sizeof(*pool.threads));
	for (int i = 0; i < threads; i++) {
		if (pthread_create(&pool.threads[i], NULL, thread_main, NULL) != 0)
			bench_die("pthread_create failed");
	}
	return &pool;
}

static void close_pool(void *arg, int64_t tasks)
{
	(void)arg;
	(void)tasks;
	pthread_mutex_lock(&pool.mutex);
	pool.is_closing = 1;
	pthread_cond_broadcast(&pool.cond);
	pthread_mutex_unlock(&pool.mutex);
	for (int i = 0; i < pool.count; i++)
		pthread_join(pool.threads[i], NULL);
	free(pool.threads);
}

static void submit(void *arg, const struct task *task)
{
	struct node *node = malloc(sizeof(*node));

	(void)arg;
	if (!node)
		bench_die("out of memory");
	node->next = NULL;
	node->task = *task;
	pthread_mutex_lock(&pool.mutex);
	*pool.last = node;
	pool.last = &node->next;
	pthread_mutex_unlock(&pool.mutex);
	pthread_cond_signal(&pool.cond);
}

static void submit_nested(void *arg, void *context, const struct task *task)
{
	(void)context;
	submit(arg, task);
}

const struct peer bench_peer = {
	.name = "pool",
	.version = version,
	.open = open_pool,
	.close = close_pool,
	.submit = submit,
	.submit_nested = submit_nested,
};
