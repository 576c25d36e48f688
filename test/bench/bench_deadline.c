/* SPDX-License-Identifier: MIT */
/*
 * How late a deadline is seen: a handler with a deadline of 10 ms looks at the clock until it is told that it is
 * cancelled. What is printed is the time from the deadline until then, in microseconds, as percentiles over all runs;
 * the handler gives way to other threads between two looks.
 */
#include <faas.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNS 300
#define DEADLINE_MS 10

static int64_t lateness_ns[RUNS];
static int runs;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static _Atomic(faas_invocation *) self;

/*
 * Its own start is a little later than the one the library counts from, which makes what it measures that little too
 * small. The status of the invocation, not the handler's own clock, says when it was settled.
 */
static int until_cancelled(faas_context *context, const faas_event *event)
{
	int64_t start = now_ns();
	faas_invocation *invocation;

	(void)context;
	(void)event;
	do {
		sched_yield();
		invocation = atomic_load(&self);
	} while (!invocation || faas_invocation_status(invocation) == FAAS_STATUS_RUNNING);
	lateness_ns[runs] = now_ns() - start - (int64_t)DEADLINE_MS * 1000000;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void must(int code)
{
	if (code < 0) {
		fprintf(stderr, "%s\n", faas_strerror(code));
		exit(1);
	}
}

int main(void)
{
	faas_runtime *runtime;

	must(faas_open(NULL, &runtime));
	must(faas_register_function(runtime, "f",
	                            FAAS_FUNCTION(.handler = until_cancelled, .deadline_ms = DEADLINE_MS)));
	for (runs = 0; runs < RUNS; runs++) {
		faas_invocation *invocation;

		must(faas_invoke_async(runtime, "f", NULL, &invocation));
		atomic_store(&self, invocation);
		must(faas_invocation_wait(invocation, FAAS_NEVER));
		if (faas_invocation_outcome(invocation) != FAAS_ETIMEDOUT)
			return 1;
		/* The handler has seen it when its worker is gone. */
		for (;;) {
			struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

			must(faas_runtime_stats(runtime, &stats));
			if (stats.total.overrunning == 0)
				break;
			sched_yield();
		}
		atomic_store(&self, NULL);
		faas_invocation_unref(invocation);
	}
	must(faas_close(runtime, FAAS_NEVER, 0));
	qsort(lateness_ns, RUNS, sizeof(lateness_ns[0]), by_value);
	printf("deadline lateness over %d runs, us: p50 %.0f p90 %.0f p99 %.0f max %.0f\n", RUNS,
	       (double)lateness_ns[RUNS / 2] / 1e3, (double)lateness_ns[RUNS * 9 / 10] / 1e3,
	       (double)lateness_ns[RUNS * 99 / 100] / 1e3, (double)lateness_ns[RUNS - 1] / 1e3);
	return 0;
}
