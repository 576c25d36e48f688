/* SPDX-License-Identifier: MIT */
/*
 * The workloads, written once against struct peer. Each program is one of them run on one peer:
 *
 *     bench_<peer> WORKLOAD [N] [-t THREADS] [-w WORK_US]
 *
 *     throughput   N tasks submitted from outside, until all have run
 *     burst        N / 1,000 times 1,000 tasks, waiting for each thousand
 *     nested       N / 1,000 tasks, each of which submits 1,000 from inside
 *     producers    N tasks from 4 threads at once
 *     wake         N times: submit one to an idle pool, until it starts; 1 ms pauses
 *     roundtrip    N times: submit one and wait until a thread of the pool has run it
 *     load         N tasks that work; how much of the threads' time was work
 *     half         N tasks that work, submitted at random moments, at half of what the threads can do: start delays
 *     full         N tasks that work, some always waiting: start delays
 *     memory       N tasks queued while all threads of the pool are blocked; what is kept 1 s after they have run
 *     idle         the processor time an idle pool uses in a second; N milliseconds are watched
 *     wake_bare    wake, without a pool: a semaphore and a thread that waits for it
 *
 * Those that count are in workloads_many.c, those that time single tasks or keep the pool at work in workloads_delay.c.
 *
 * One thread, main, submits; the pool has one thread for each core that the process may use, which is what libfaas
 * makes by default.
 */
#include "workloads.h"

#include <stdio.h>
#include <string.h>

static const struct peer *const peer = &bench_peer;

struct run run;

/* ---- Tasks ------------------------------------------------------------------------------------------------------- */

struct task make_task(uint32_t kind, uint32_t number)
{
	return (struct task){.kind = kind, .number = number, .check = TASK_CHECK};
}

static void spin_until(int64_t end)
{
	while (bench_now() < end)
		;
}

void wait_sem(sem_t *sem)
{
	while (sem_wait(sem) != 0)
		;
}

static void do_work(const struct task *task)
{
	int64_t now = bench_now();

	if (task->at_ns != 0) {
		if (run.samples[task->number] >= 0)
			bench_die("task %u ran twice", task->number);
		run.samples[task->number] = now - task->at_ns;
	}
	if (task->work_ns != 0)
		spin_until(now + task->work_ns);
}

void bench_run_task(void *context, const struct task *task)
{
	if (task->check != TASK_CHECK)
		bench_die("a task's copy is not whole");
	switch (task->kind) {
	case TASK_NOTHING:
		break;
	case TASK_SPAWN: {
		struct task child = make_task(TASK_NOTHING, 0);

		for (uint32_t i = 0; i < task->number; i++)
			peer->submit_nested(run.pool, context, &child);
		break;
	}
	case TASK_WORK:
		do_work(task);
		atomic_fetch_add_explicit(&run.finished, 1, memory_order_relaxed);
		break;
	case TASK_GATE:
		sem_post(&run.entered);
		wait_sem(&run.opened);
		break;
	default:
		bench_die("a task's copy is not the one submitted");
	}
	bench_count();
}

/* ---- What the workloads are made of ------------------------------------------------------------------------------ */

void submit(const struct task *task)
{
	peer->submit(run.pool, task);
}

void submit_many(int64_t count)
{
	struct task task = make_task(TASK_NOTHING, 0);

	for (int64_t i = 0; i < count; i++)
		submit(&task);
}

void wait_all(void)
{
	if (peer->wait_all)
		peer->wait_all(run.pool);
	bench_wait();
}

void wait_for_pool(void)
{
	bench_wait();
	wait_all();
}

static void warm_up(void)
{
	bench_expect(2 * BURST);
	submit_many(2 * BURST);
	wait_all();
}

void make_samples(void)
{
	run.samples = bench_alloc((size_t)run.n, sizeof(*run.samples));
	for (int64_t i = 0; i < run.n; i++)
		run.samples[i] = -1;
}

void report_samples(void)
{
	for (int64_t i = 0; i < run.n; i++) {
		if (run.samples[i] < 0)
			bench_die("task %lld never ran", (long long)i);
	}
	bench_report_delays(run.workload, run.samples, (size_t)run.n);
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

static void idle(void)
{
	int64_t ns = run.n * NS_PER_MS, used;

	bench_pause(ns < 500 * NS_PER_MS ? ns : 500 * NS_PER_MS); /* what was busy comes to rest */
	used = bench_idle_cpu_ns(ns);
	if (used >= 0)
		bench_report(run.workload, "cpu_ns_per_s", (double)used * NS_PER_S / (double)ns);
}

static const struct {
	const char *name;
	void (*body)(void);
	int64_t n; /* unless it is given */
	int is_fixed;
	int has_pool;
} workloads[] = {
	{"throughput", throughput, 2000000, 0, 1},
	{"burst", burst, 1000000, 0, 1},
	{"nested", nested, 1000000, 0, 1},
	{"producers", producers, 2000000, 0, 1},
	{"wake", wake, 1000, 0, 1},
	{"roundtrip", roundtrip, 20000, 0, 1},
	{"load", load, 10000, 0, 1},
	{"half", half, 10000, 0, 1},
	{"full", full, 10000, 0, 1},
	{"memory", memory, 1000000, 1, 1},
	{"idle", idle, 2000, 0, 1},
	{"wake_bare", wake_bare, 1000, 0, 0},
};

static void run_body(void *body)
{
	warm_up();
	(*(void (**)(void))body)();
}

int main(int argc, char **argv)
{
	const size_t count = sizeof(workloads) / sizeof(workloads[0]);
	size_t which = 0;
	void (*body)(void);

	while (argc > 1 && which < count && strcmp(workloads[which].name, argv[1]) != 0)
		which++;
	if (argc < 2 || which == count)
		bench_die("usage: bench_%s WORKLOAD [N] [-t THREADS] [-w WORK_US]", peer->name);
	run.workload = workloads[which].name;
	run.n = workloads[which].n;
	run.threads = bench_cores();
	run.work_ns = 100 * NS_PER_US;
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "-t") == 0 && i + 1 < argc)
			run.threads = (int)bench_parse(argv[++i], 1);
		else if (strcmp(argv[i], "-w") == 0 && i + 1 < argc)
			run.work_ns = NS_PER_US * bench_parse(argv[++i], 0);
		else
			run.n = bench_parse(argv[i], 1);
	}
	if (sem_init(&run.entered, 0, 0) != 0 || sem_init(&run.opened, 0, 0) != 0)
		bench_die("sem_init failed");

	printf("# %s %s, %d threads\n", peer->name, peer->version(), run.threads);
	body = workloads[which].body;
	if (!workloads[which].has_pool) {
		body();
		return 0;
	}
	run.pool = peer->open(run.threads, workloads[which].is_fixed);
	if (peer->enter)
		peer->enter(run.pool, run_body, &body);
	else
		run_body(&body);
	peer->close(run.pool, bench_expected());
	return 0;
}
