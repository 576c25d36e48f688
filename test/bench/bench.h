/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark programs share.
 *
 *     clocks, meters   wall time, processor time and context switches between two points
 *     the latch        how many tasks have still to run: every task of every peer counts itself down here, and the last
 *                      one wakes whoever waits, so counting costs all peers the same
 *     reports          one line per figure on standard output: workload, metric, value
 *     the peer         a thread pool behind a few calls; the workloads (workloads.c) are written once against these
 *
 * A count that does not come out, or a call that fails, ends the program with a message: no figure comes from a run
 * that lost or doubled a task.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000
#define NS_PER_US 1000

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

struct bench_meter {
	int64_t wall_ns;
	int64_t cpu_ns;         /* of all threads of the process */
	int64_t switches;       /* context switches of all threads, whether they gave way or were made to */
	int64_t switches_given; /* of them, those where the thread gave way, to wait for something */
};

int64_t bench_now(void);
int64_t bench_own_cpu(void); /* of the calling thread */
void bench_pause(int64_t ns);
void bench_meter_start(struct bench_meter *meter);
void bench_meter_stop(struct bench_meter *meter); /* from here on it holds the differences */
int64_t bench_rss_bytes(void);
int bench_cores(void); /* those this process may use */

/* The processor time that all other threads of this process use while main sleeps for `ns`. -1: it cannot be told. */
int64_t bench_idle_cpu_ns(int64_t ns);

/* ---- The latch --------------------------------------------------------------------------------------------------- */

void bench_expect(int64_t tasks); /* before they are submitted, and after the last wait */
void bench_count(void);           /* by each task, once, as the last thing it does */
int64_t bench_left(void);
int64_t bench_expected(void); /* since the start of the program */

/* Until all that were expected have counted; a second time it does nothing. */
void bench_wait(void);

/* When nothing has moved for so long, the wait ends the program. */
extern int bench_stuck_s;

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 1, 2)))
#endif
void bench_die(const char *format, ...);

void bench_report(const char *workload, const char *metric, double value);
void bench_report_meter(const char *workload, int64_t tasks, const struct bench_meter *meter);

/* Mean and percentiles. Sorts the samples. */
void bench_report_delays(const char *workload, int64_t *samples, size_t count);

/* A number from the command line, at least `least`. */
int64_t bench_parse(const char *text, int64_t least);

/* Of an array that it sorts. */
double bench_median(double *values, size_t count);

/* Memory that is there. */
void *bench_alloc(size_t count, size_t bytes);

/* ---- The peer ---------------------------------------------------------------------------------------------------- */

#define TASK_NOTHING 1u
#define TASK_SPAWN 2u /* submits `number` tasks that do nothing, from inside */
#define TASK_WORK 3u  /* keeps a processor for work_ns; `at_ns` is not 0: notes its start delay as sample `number` */
#define TASK_GATE 4u  /* blocks its thread until the gate opens */

#define TASK_CHECK 0x7461736b2d656e64u

/* What is submitted: 64 bytes, which the peer copies when it takes them. */
struct task {
	uint32_t kind;
	uint32_t number;
	int64_t at_ns;
	int64_t work_ns;
	uint64_t unused[4];
	uint64_t check; /* TASK_CHECK: the copy is whole */
};

/* Runs a copy of a task. `context` is whatever the peer wants back when the task submits more. */
void bench_run_task(void *context, const struct task *task);

struct peer {
	const char *name;
	const char *(*version)(void);

	/* `is_fixed`: the pool must not add threads, because the workload blocks those it has. */
	void *(*open)(int threads, int is_fixed);

	/* All tasks have run; `tasks` is how many the pool was given. Whatever the pool itself counts must agree. */
	void (*close)(void *pool, int64_t tasks);

	/* Calls `body` where this thread may submit; waits for what it submitted. NULL: anywhere will do. */
	void (*enter)(void *pool, void (*body)(void *arg), void *arg);

	/* From a thread inside `enter`. */
	void (*submit)(void *pool, const struct task *task);

	/* Submits the last of many and waits for it, the peer's own way; wait_all follows. NULL: submit. */
	void (*submit_last)(void *pool, const struct task *task);

	/* From inside a task. */
	void (*submit_nested)(void *pool, void *context, const struct task *task);

	/* Until all tasks that this thread submitted have run, the peer's own way. NULL: the latch alone. */
	void (*wait_all)(void *pool);

	/* Submits one and waits until a thread of the pool has run it. NULL: submit, wait_all. */
	void (*round_trip)(void *pool, const struct task *task);
};

/* Each program has one. */
extern const struct peer bench_peer;

#ifdef __cplusplus
}
#endif

#endif
