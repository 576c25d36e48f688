/* SPDX-License-Identifier: MIT */
/* The workloads of many tasks that do nothing: what one costs, in time and in memory. */
#include "workloads.h"

#include <pthread.h>

#define PRODUCERS 4

static const struct peer *const peer = &bench_peer;

/* ---- Many tasks -------------------------------------------------------------------------------------------------- */

/* Until all have run, the peer's own way. */
static void submit_many_and_wait(int64_t count)
{
	struct task last = make_task(TASK_NOTHING, 0);

	bench_expect(count);
	submit_many(count - 1);
	(peer->submit_last ? peer->submit_last : peer->submit)(run.pool, &last);
	wait_all();
}

void throughput(void)
{
	struct bench_meter meter;

	bench_meter_start(&meter);
	submit_many_and_wait(run.n);
	bench_meter_stop(&meter);
	bench_report_meter(run.workload, run.n, &meter);
}

void burst(void)
{
	int64_t bursts = (run.n + BURST - 1) / BURST;
	struct bench_meter meter;

	bench_meter_start(&meter);
	for (int64_t i = 0; i < bursts; i++)
		submit_many_and_wait(BURST);
	bench_meter_stop(&meter);
	bench_report_meter(run.workload, bursts * BURST, &meter);
}

void nested(void)
{
	int64_t roots = (run.n + BURST - 1) / BURST;
	struct task root = make_task(TASK_SPAWN, BURST);
	struct bench_meter meter;

	bench_expect(roots * (1 + BURST));
	bench_meter_start(&meter);
	for (int64_t i = 0; i < roots; i++)
		submit(&root);
	wait_all();
	bench_meter_stop(&meter);
	bench_report_meter(run.workload, roots * (1 + BURST), &meter);
}

static pthread_barrier_t start;

static void produce(void *arg)
{
	pthread_barrier_wait(&start);
	submit_many(*(int64_t *)arg);
	if (peer->wait_all)
		peer->wait_all(run.pool);
}

static void *producer_main(void *arg)
{
	if (peer->enter)
		peer->enter(run.pool, produce, arg);
	else
		produce(arg);
	return NULL;
}

void producers(void)
{
	int64_t each = (run.n + PRODUCERS - 1) / PRODUCERS, count = each * PRODUCERS;
	pthread_t threads[PRODUCERS];
	struct bench_meter meter;

	bench_expect(count);
	if (pthread_barrier_init(&start, NULL, PRODUCERS + 1) != 0)
		bench_die("pthread_barrier_init failed");
	for (int i = 0; i < PRODUCERS; i++) {
		if (pthread_create(&threads[i], NULL, producer_main, &each) != 0)
			bench_die("pthread_create failed");
	}
	bench_meter_start(&meter);
	pthread_barrier_wait(&start);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	bench_wait();
	bench_meter_stop(&meter);
	bench_report_meter(run.workload, count, &meter);
	pthread_barrier_destroy(&start);
}

/* ---- Memory -------------------------------------------------------------------------------------------- */

void memory(void)
{
	struct task gate = make_task(TASK_GATE, 0);
	int64_t before, peak, kept;

	bench_expect(run.n + run.threads);
	for (int i = 0; i < run.threads; i++) {
		submit(&gate);
		wait_sem(&run.entered);
	}
	before = bench_rss_bytes();
	submit_many(run.n);
	peak = bench_rss_bytes();
	if (bench_left() != run.n + run.threads)
		bench_die("tasks ran although all threads were blocked");
	for (int i = 0; i < run.threads; i++)
		sem_post(&run.opened);
	wait_all();
	bench_pause(NS_PER_S);
	kept = bench_rss_bytes();
	bench_report(run.workload, "bytes", (double)(peak - before) / (double)run.n);
	bench_report(run.workload, "kept_percent",
	             100 * (double)(kept > before ? kept - before : 0) / (double)(peak - before));
}
