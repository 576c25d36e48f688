/* SPDX-License-Identifier: MIT */
/* How libfaas behaves with many events, large events, and a neighbour that has many. */
#include "faas_scale.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Many events queued ------------------------------------------------------------------------------------------ */

#define QUEUE 1000000 /* what a function's queue holds by default */

static sem_t entered, opened;

static int block(faas_context *context, const faas_event *event)
{
	sem_post(&entered);
	while (sem_wait(&opened) != 0)
		;
	return scale_count(context, event);
}

/* All threads blocked; the pool may not replace them. */
static faas_runtime *open_blocked(int threads)
{
	faas_runtime *runtime;

	scale_must("open", faas_open(FAAS_RUNTIME(.max_threads = threads), &runtime));
	scale_must("register",
	           faas_register_function(runtime, "gate", FAAS_FUNCTION(.handler = block, .deadline_ms = FAAS_NEVER)));
	scale_must("bind", faas_bind(runtime, FAAS_BINDING(.pattern = "bench.gate", .function = "gate"), NULL));
	for (int i = 0; i < threads; i++) {
		scale_emit(runtime, "bench.gate", 1);
		while (sem_wait(&entered) != 0)
			;
	}
	return runtime;
}

static void check_counts(faas_runtime *runtime, int64_t events)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	scale_must("drain", faas_drain(runtime, FAAS_NEVER));
	scale_must("stats", faas_runtime_stats(runtime, &stats));
	if (stats.total.succeeded != (uint64_t)events || stats.total.accepted != (uint64_t)events ||
	    stats.total.rejected != 0)
		bench_die("%lld events; libfaas counts %llu accepted, %llu succeeded", (long long)events,
		          (unsigned long long)stats.total.accepted, (unsigned long long)stats.total.succeeded);
}

void scale_queued(int64_t n)
{
	int64_t functions = (n + QUEUE - 1) / QUEUE, before, peak, kept, begin, emitted, released;
	int threads = bench_cores();
	char names[64][16], types[64][24];
	faas_runtime *runtime;

	if (functions > 64)
		bench_die("more events than this was written for");
	if (sem_init(&entered, 0, 0) != 0 || sem_init(&opened, 0, 0) != 0)
		bench_die("sem_init failed");
	bench_expect(n + threads);
	runtime = open_blocked(threads);
	for (int64_t i = 0; i < functions; i++) {
		snprintf(names[i], sizeof(names[i]), "q%lld", (long long)i);
		snprintf(types[i], sizeof(types[i]), "bench.q%lld", (long long)i);
		scale_add(runtime, names[i], types[i], scale_count);
	}

	before = bench_rss_bytes();
	begin = bench_now();
	for (int64_t i = 0; i < n; i++)
		scale_emit(runtime, types[i % functions], 1);
	emitted = bench_now();
	peak = bench_rss_bytes();
	if (bench_left() != n + threads)
		bench_die("events ran although all threads were blocked");
	released = bench_now();
	for (int i = 0; i < threads; i++)
		sem_post(&opened);
	bench_wait();
	bench_report("queued", "run_ns", (double)(bench_now() - released) / (double)n);
	bench_report("queued", "emit_ns", (double)(emitted - begin) / (double)n);
	bench_report("queued", "bytes", (double)(peak - before) / (double)n);
	bench_pause(NS_PER_S);
	kept = bench_rss_bytes();
	bench_report("queued", "kept_percent", 100 * (double)(kept > before ? kept - before : 0) / (double)(peak - before));
	check_counts(runtime, n + threads);
	scale_must("close", faas_close(runtime, FAAS_NEVER, 0));
}

/* ---- Large events ------------------------------------------------------------------------------------------------ */

static uint64_t payload_bytes;

static int check_payload(faas_context *context, const faas_event *event)
{
	uint64_t bytes;
	const unsigned char *data = faas_event_data(event, &bytes);

	if (bytes != payload_bytes || (bytes > 0 && (data[0] != 'p' || data[bytes - 1] != 'p')))
		bench_die("an event's data is not what was emitted");
	return scale_count(context, event);
}

/* As many events as make 2 GiB, but at most 200,000. */
void scale_payload(int64_t bytes)
{
	int64_t events = bytes > 0 ? ((int64_t)2 << 30) / bytes : 200000, begin;
	faas_runtime *runtime = scale_open();
	struct bench_meter meter;
	char *data;

	if (events > 200000)
		events = 200000;
	if (events < 100)
		events = 100;
	payload_bytes = (uint64_t)bytes;
	data = bench_alloc(1, (size_t)bytes + 1);
	memset(data, 'p', (size_t)bytes);
	scale_add(runtime, "payload", "bench.payload", check_payload);
	bench_expect(events);
	bench_meter_start(&meter);
	begin = bench_now();
	for (int64_t i = 0; i < events; i++) {
		if (scale_must("emit", faas_emit_event(runtime,
		                                       FAAS_EVENT(.type = "bench.payload", .subject = "s", .data = data,
		                                                  .data_bytes = (uint64_t)bytes, .wait_ms = FAAS_NEVER),
		                                       NULL)) != 1)
			bench_die("an event did not go to one function");
	}
	bench_report("payload", "emit_ns", (double)(bench_now() - begin) / (double)events);
	bench_wait();
	bench_meter_stop(&meter);
	bench_report_meter("payload", events, &meter);
	scale_close(runtime, events);
	free(data);
}

/* ---- A neighbour ------------------------------------------------------------------------------------------------- */

#define NEIGHBOUR_NS 5000 /* times the cores: a million events keep all of them for 5 s */

static int64_t *samples;
static atomic_llong samples_taken;
static int64_t flood_ns; /* fixed before the first event */
static atomic_llong flood_ran;

static int flood(faas_context *context, const faas_event *event)
{
	int64_t end = bench_now() + flood_ns;

	(void)context;
	(void)event;
	while (bench_now() < end)
		;
	atomic_fetch_add_explicit(&flood_ran, 1, memory_order_relaxed);
	return 0;
}

/* One at a time: the next is emitted after this one has counted. */
static int note_delay(faas_context *context, const faas_event *event)
{
	int64_t emitted;

	memcpy(&emitted, faas_event_data(event, NULL), sizeof(emitted));
	samples[atomic_fetch_add(&samples_taken, 1)] = bench_now() - emitted;
	return scale_count(context, event);
}

/* Emits to the neighbour until `most` wait; the number of all it was ever given. */
static int64_t top_up(faas_runtime *runtime, int64_t given, int64_t most)
{
	for (; given - atomic_load(&flood_ran) < most; given++)
		scale_emit(runtime, "bench.noisy", 1);
	return given;
}

/* With `flood` events of the neighbour waiting all the time. How many it was given. */
static int64_t sample(faas_runtime *runtime, const char *label, int64_t count, int64_t flood)
{
	int64_t given = top_up(runtime, 0, flood), least = flood;

	atomic_store(&samples_taken, 0);
	for (int64_t i = 0; i < count; i++) {
		int64_t emitted, queued;

		given = top_up(runtime, given, flood);
		bench_expect(1);
		bench_pause(NS_PER_MS);
		emitted = bench_now();
		if (scale_must("emit", faas_emit_event(runtime,
		                                       FAAS_EVENT(.type = "bench.quiet", .subject = "s", .data = &emitted,
		                                                  .data_bytes = sizeof(emitted)),
		                                       NULL)) != 1)
			bench_die("an event did not go to one function");
		bench_wait();
		queued = given - atomic_load(&flood_ran);
		least = queued < least ? queued : least;
	}
	bench_report_delays(label, samples, (size_t)count);
	bench_report(label, "least_queued", (double)least);
	return given;
}

void scale_neighbour(int64_t n)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	int64_t count = n / 500, given;
	faas_runtime *runtime = scale_open();
	faas_function *noisy;

	samples = bench_alloc((size_t)count, sizeof(*samples));
	flood_ns = (int64_t)NEIGHBOUR_NS * bench_cores();
	scale_add(runtime, "quiet", "bench.quiet", note_delay);
	scale_add(runtime, "noisy", "bench.noisy", flood);
	scale_must("find", faas_function_find(runtime, "noisy", &noisy));
	sample(runtime, "alone", count, 0);
	given = sample(runtime, "flooded", count, n);

	scale_must("unregister", faas_unregister_function(runtime, "noisy"));
	scale_must("drain", faas_drain(runtime, FAAS_NEVER));
	scale_must("stats", faas_function_stats(noisy, &stats));
	if (stats.accepted != (uint64_t)given || stats.succeeded + stats.cancelled != (uint64_t)given ||
	    stats.succeeded != (uint64_t)atomic_load(&flood_ran))
		bench_die("%lld events, %lld ran; libfaas counts %llu accepted, %llu succeeded, %llu cancelled",
		          (long long)given, (long long)atomic_load(&flood_ran), (unsigned long long)stats.accepted,
		          (unsigned long long)stats.succeeded, (unsigned long long)stats.cancelled);
	faas_function_unref(noisy);
	scale_must("close", faas_close(runtime, FAAS_NEVER, 0));
	free(samples);
}
