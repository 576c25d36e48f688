/* SPDX-License-Identifier: MIT */
/*
 * What only libfaas does, or what is about how its cost grows:
 *
 *     bench_faas_scale WORKLOAD [N]
 *
 *     inline      a synchronous call of an inline function through its handle, above calling the handler; N calls
 *     functions   N functions registered and bound: time and memory each; emitting with them there against with 10
 *     bindings    one event that N functions are bound to, for each function reached, against one plain event
 *     queued      N events queued while all threads are blocked, spread over functions with a million each
 *     payload     events with N bytes of data
 *     neighbour   start delay of one function while another has up to N events queued, against that function alone
 */
#include "faas_scale.h"

#include <stdio.h>
#include <string.h>

#define WARM_UP 2000

int scale_must(const char *what, int code)
{
	if (code < 0)
		bench_die("%s: %s", what, faas_strerror(code));
	return code;
}

int scale_count(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	bench_count();
	return 0;
}

void scale_add(faas_runtime *runtime, const char *name, const char *pattern, faas_handler_fn *handler)
{
	scale_must("register", faas_register_function(runtime, name, FAAS_FUNCTION(.handler = handler)));
	scale_must("bind", faas_bind(runtime, FAAS_BINDING(.pattern = pattern, .function = name), NULL));
}

void scale_emit(faas_runtime *runtime, const char *type, int functions)
{
	static const char payload[PAYLOAD_BYTES] = "payload";
	int taken = faas_emit_event(
		runtime,
		FAAS_EVENT(.type = type, .subject = "s", .data = payload, .data_bytes = sizeof(payload), .wait_ms = FAAS_NEVER),
		NULL);

	if (scale_must("emit", taken) != functions)
		bench_die("an event went to %d functions instead of %d", taken, functions);
}

faas_runtime *scale_open(void)
{
	faas_runtime *runtime;

	scale_must("open", faas_open(NULL, &runtime));
	scale_add(runtime, "warm-up", "bench.warmup", scale_count);
	bench_expect(WARM_UP);
	for (int i = 0; i < WARM_UP; i++)
		scale_emit(runtime, "bench.warmup", 1);
	bench_wait();
	return runtime;
}

void scale_close(faas_runtime *runtime, int64_t events)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};
	uint64_t expected = (uint64_t)events + WARM_UP;

	scale_must("drain", faas_drain(runtime, FAAS_NEVER));
	scale_must("stats", faas_runtime_stats(runtime, &stats));
	if (stats.total.accepted != expected || stats.total.succeeded != expected || stats.total.requests != expected ||
	    stats.total.rejected != 0)
		bench_die("%llu events; libfaas counts %llu accepted, %llu succeeded, %llu requests, %llu rejected",
		          (unsigned long long)expected, (unsigned long long)stats.total.accepted,
		          (unsigned long long)stats.total.succeeded, (unsigned long long)stats.total.requests,
		          (unsigned long long)stats.total.rejected);
	scale_must("close", faas_close(runtime, FAAS_NEVER, 0));
}

struct scale_cost scale_measure(faas_runtime *runtime, char *const *types, int64_t type_count, int64_t events,
                                int functions)
{
	double reached = (double)events * functions;
	int64_t begin, emitting;

	bench_expect(events * functions);
	begin = bench_now();
	emitting = bench_own_cpu();
	for (int64_t i = 0, which = 0; i < events; i++) {
		scale_emit(runtime, types[which], functions);
		which = which + 1 < type_count ? which + 1 : 0;
	}
	emitting = bench_own_cpu() - emitting;
	bench_wait();
	return (struct scale_cost){
		.emit_ns = (double)emitting / reached,
		.all_ns = (double)(bench_now() - begin) / reached,
	};
}

static const struct {
	const char *name;
	void (*body)(int64_t n);
	int64_t n; /* unless it is given */
	int64_t least;
} workloads[] = {
	{"inline", scale_inline, 200000, 1},
	{"functions", scale_functions, 100000, 10},
	{"bindings", scale_bindings, 1000, 1},
	{"queued", scale_queued, 1000000, 1},
	{"payload", scale_payload, 64, 0},
	{"neighbour", scale_neighbour, 1000000, 1000},
};

int main(int argc, char **argv)
{
	int version = faas_version();

	for (size_t i = 0; argc > 1 && i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (strcmp(workloads[i].name, argv[1]) != 0)
			continue;
		printf("# libfaas %d.%d.%d\n", version / 1000000, version / 1000 % 1000, version % 1000);
		workloads[i].body(argc > 2 ? bench_parse(argv[2], workloads[i].least) : workloads[i].n);
		return 0;
	}
	bench_die("usage: bench_faas_scale WORKLOAD [N]");
}
