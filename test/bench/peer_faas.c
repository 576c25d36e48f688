/* SPDX-License-Identifier: MIT */
/*
 * libfaas, through its public API and with its defaults: every event has a type, a subject, an id and a time, is routed
 * by its type, counted, measured, and runs under a deadline of 3 s; queues are bounded. An emitter waits where the
 * function's queue is full. Short of draining for good there is no waiting for many events at
 * once: in throughput and burst the last one is a call, which goes to its function without being routed, and whose caller looks
 * around for up to 60 us before it sleeps. The latch waits for the others.
 *
 * Two settings are not the defaults: where a workload asks for another number of threads than the cores, and where it
 * blocks all threads, so that the pool may not replace them, nor a deadline end the task that blocks.
 */
#include "bench.h"

#include <faas.h>
#include <stdio.h>
#include <string.h>

static faas_runtime *runtime;
static faas_function *work;

static void must(const char *what, int code)
{
	if (code < 0)
		bench_die("%s: %s", what, faas_strerror(code));
}

static int handle(faas_context *context, const faas_event *event)
{
	bench_run_task(context, faas_event_data(event, NULL));
	return 0;
}

static const char *version(void)
{
	static char text[40];
	int number = faas_version();

	snprintf(text, sizeof(text), "%d.%d.%d", number / 1000000, number / 1000 % 1000, number % 1000);
	return text;
}

static void *open_pool(int threads, int is_fixed)
{
	must("open", faas_open(FAAS_RUNTIME(.threads = threads == bench_cores() ? 0 : threads,
	                                    .max_threads = is_fixed ? threads : 0),
	                       &runtime));
	must("register", faas_register_function(runtime, "work", FAAS_FUNCTION(.handler = handle)));
	must("register",
	     faas_register_function(runtime, "gate", FAAS_FUNCTION(.handler = handle, .deadline_ms = FAAS_NEVER)));
	must("bind", faas_bind(runtime, FAAS_BINDING(.pattern = "bench.event", .function = "work"), NULL));
	must("bind", faas_bind(runtime, FAAS_BINDING(.pattern = "bench.gate", .function = "gate"), NULL));
	must("find", faas_function_find(runtime, "work", &work));
	return runtime;
}

/* Every event was taken, run once, succeeded, and has been counted and timed. */
static void close_pool(void *pool, int64_t tasks)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};
	const struct faas_function_stats *total = &stats.total;

	(void)pool;
	must("drain", faas_drain(runtime, FAAS_NEVER));
	must("stats", faas_runtime_stats(runtime, &stats));
	if (total->accepted != (uint64_t)tasks || total->succeeded != (uint64_t)tasks ||
	    total->requests != (uint64_t)tasks || total->run_time.count != (uint64_t)tasks || total->rejected != 0)
		bench_die("%lld tasks; libfaas counts %llu accepted, %llu succeeded, %llu requests, %llu timed, %llu rejected",
		          (long long)tasks, (unsigned long long)total->accepted, (unsigned long long)total->succeeded,
		          (unsigned long long)total->requests, (unsigned long long)total->run_time.count,
		          (unsigned long long)total->rejected);
	bench_report("pool", "threads_peak", (double)stats.threads_peak);
	faas_function_unref(work);
	must("close", faas_close(runtime, FAAS_NEVER, 0));
}

/* What all events have in common is filled in once for each thread. */
static const faas_event_config *event_of(const struct task *task)
{
	static _Thread_local faas_event_config event = {
		.struct_size = sizeof(faas_event_config),
		.subject = "s",
		.data_bytes = sizeof(*task),
		.wait_ms = FAAS_NEVER,
	};

	event.type = task->kind == TASK_GATE ? "bench.gate" : "bench.event";
	event.data = task;
	return &event;
}

static void check_taken(int taken)
{
	must("emit", taken);
	if (taken != 1)
		bench_die("an event went to %d functions", taken);
}

static void submit(void *pool, const struct task *task)
{
	(void)pool;
	check_taken(faas_emit_event(runtime, event_of(task), NULL));
}

static void submit_nested(void *pool, void *context, const struct task *task)
{
	(void)pool;
	check_taken(faas_context_emit_event(context, event_of(task), NULL));
}

/* A call: who makes it looks around for a moment before it sleeps. */
static void round_trip(void *pool, const struct task *task)
{
	(void)pool;
	must("invoke", faas_function_invoke(work, event_of(task), FAAS_NEVER, NULL));
}

const struct peer bench_peer = {
	.name = "libfaas",
	.version = version,
	.open = open_pool,
	.close = close_pool,
	.submit = submit,
	.submit_last = round_trip,
	.submit_nested = submit_nested,
	.round_trip = round_trip,
};
