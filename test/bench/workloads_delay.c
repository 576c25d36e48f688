/* SPDX-License-Identifier: MIT */
/* The workloads that time single tasks, and those whose tasks keep the pool at work. */
#include "workloads.h"

#include <pthread.h>

#define BACKLOG 64 /* tasks waiting or running in `full`, for each thread */

static const struct peer *const peer = &bench_peer;

/* ---- One task at a time ------------------------------------------------------------------------------------------ */

void wake(void)
{
	struct task task = make_task(TASK_WORK, 0);

	make_samples();
	bench_expect(run.n);
	for (int64_t i = 0; i < run.n; i++) {
		bench_pause(NS_PER_MS);
		task.number = (uint32_t)i;
		task.at_ns = bench_now();
		submit(&task);
	}
	wait_all();
	report_samples();
}

static void *wake_bare_main(void *arg)
{
	int64_t *submitted = arg;

	for (int64_t i = 0; i < run.n; i++) {
		wait_sem(&run.entered);
		run.samples[i] = bench_now() - *submitted;
		bench_count();
	}
	return NULL;
}

void wake_bare(void)
{
	int64_t submitted = 0;
	pthread_t thread;

	make_samples();
	if (pthread_create(&thread, NULL, wake_bare_main, &submitted) != 0)
		bench_die("pthread_create failed");
	for (int64_t i = 0; i < run.n; i++) {
		bench_expect(1);
		bench_pause(NS_PER_MS);
		submitted = bench_now();
		sem_post(&run.entered);
		bench_wait();
	}
	pthread_join(thread, NULL);
	report_samples();
}

void roundtrip(void)
{
	struct task task = make_task(TASK_NOTHING, 0);
	struct bench_meter meter;

	make_samples();
	bench_meter_start(&meter);
	for (int64_t i = 0; i < run.n; i++) {
		int64_t begin;

		bench_expect(1);
		begin = bench_now();
		if (peer->round_trip) {
			peer->round_trip(run.pool, &task);
			run.samples[i] = bench_now() - begin;
			bench_wait();
		} else {
			submit(&task);
			wait_all();
			run.samples[i] = bench_now() - begin;
		}
	}
	bench_meter_stop(&meter);
	bench_report_meter(run.workload, run.n, &meter);
	report_samples();
}

/* ---- Tasks that work --------------------------------------------------------------------------------------------- */

void load(void)
{
	struct task task = make_task(TASK_WORK, 0);
	struct bench_meter meter;

	task.work_ns = run.work_ns;
	bench_expect(run.n);
	bench_meter_start(&meter);
	for (int64_t i = 0; i < run.n; i++)
		submit(&task);
	wait_for_pool();
	bench_meter_stop(&meter);
	bench_report_meter(run.workload, run.n, &meter);
	bench_report(run.workload, "share",
	             (double)run.n * (double)run.work_ns / ((double)run.threads * (double)meter.wall_ns));
}

/* A stream of numbers that is the same for every peer (splitmix64). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
	return mixed ^ (mixed >> 31);
}

static void submit_work(int64_t number)
{
	struct task task = make_task(TASK_WORK, (uint32_t)number);

	task.work_ns = run.work_ns;
	task.at_ns = bench_now();
	submit(&task);
}

/* Gaps of 0 to twice the mean. Whoever submits sleeps in between: it must not take a core from the pool. */
void half(void)
{
	int64_t mean = 2 * run.work_ns / run.threads, due;
	uint64_t state = 1;

	make_samples();
	bench_expect(run.n);
	due = bench_now();
	for (int64_t i = 0; i < run.n; i++) {
		bench_pause(due - bench_now());
		submit_work(i);
		due += (int64_t)(next_random(&state) % (uint64_t)(2 * mean + 1));
	}
	wait_for_pool();
	report_samples();
}

/* The backlog is topped up every few tasks, long before it is used up. */
void full(void)
{
	int64_t backlog = BACKLOG * run.threads, submitted = 0;

	make_samples();
	bench_expect(run.n);
	atomic_store(&run.finished, 0);
	while (submitted < run.n) {
		while (submitted < run.n && submitted - atomic_load(&run.finished) < backlog)
			submit_work(submitted++);
		bench_pause(BACKLOG / 8 * run.work_ns);
	}
	wait_for_pool();
	report_samples();
}
