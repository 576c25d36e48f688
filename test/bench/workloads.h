/* SPDX-License-Identifier: MIT */
/* The workloads, and what they are made of. See workloads.c. */
#ifndef WORKLOADS_H
#define WORKLOADS_H

#include "bench.h"

#include <semaphore.h>
#include <stdatomic.h>

#define BURST 1000

struct run {
	/* fixed before the first task is submitted */
	void *pool;
	const char *workload;
	int64_t n;
	int threads;
	int64_t work_ns;
	/* each element is written by one task, and read after that has counted */
	int64_t *samples;
	/* the gate of `memory` */
	sem_t entered;
	sem_t opened;
	/* written by the tasks of `full`, read by the thread that submits */
	atomic_llong finished;
};

extern struct run run;

struct task make_task(uint32_t kind, uint32_t number);
void submit(const struct task *task);
void submit_many(int64_t count); /* tasks that do nothing */
void wait_all(void);
void wait_for_pool(void); /* the same where only the pool may run tasks: oneTBB's task_group lets the waiter help */
void wait_sem(sem_t *sem);

/* n samples, each marked as not taken yet; in memory that is there before anything is measured. */
void make_samples(void);
void report_samples(void); /* all must have been taken */

/* workloads_many.c */
void throughput(void);
void burst(void);
void nested(void);
void producers(void);
void memory(void);

/* workloads_delay.c */
void wake(void);
void wake_bare(void);
void roundtrip(void);
void load(void);
void half(void);
void full(void);

#endif
