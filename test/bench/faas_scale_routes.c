/* SPDX-License-Identifier: MIT */
/* How libfaas behaves with many functions and many bindings, and what a call costs that needs neither. */
#include "faas_scale.h"

#include <stdio.h>
#include <stdlib.h>

#define REPEATS 5
#define NAME_BYTES 32
#define EMITS 100000

/* ---- An inline function ------------------------------------------------------------------------------------------ */

static int64_t calls; /* the calling thread runs the handler itself */

static int count_call(faas_context *context, const faas_event *event)
{
	(void)context;
	(void)event;
	calls++;
	return 0;
}

/* Through a pointer that the compiler cannot see through, as the library calls it. */
static double plain_ns(int64_t n)
{
	faas_handler_fn *volatile handler = count_call;
	int64_t begin = bench_now();

	for (int64_t i = 0; i < n; i++) {
		if (handler(NULL, NULL) != 0)
			bench_die("the handler failed");
	}
	return (double)(bench_now() - begin) / (double)n;
}

static double invoke_ns(faas_function *function, const faas_event_config *event, int64_t n)
{
	int64_t begin = bench_now();

	for (int64_t i = 0; i < n; i++)
		scale_must("invoke", faas_function_invoke(function, event, 0, NULL));
	return (double)(bench_now() - begin) / (double)n;
}

void scale_inline(int64_t n)
{
	static const char payload[PAYLOAD_BYTES] = "payload";
	const faas_event_config *event =
		FAAS_EVENT(.type = "bench.event", .subject = "s", .data = payload, .data_bytes = sizeof(payload));
	double plain[REPEATS], full[REPEATS], empty[REPEATS];
	faas_runtime *runtime = scale_open();
	faas_function *function;

	scale_must("register", faas_register_function(runtime, "inline",
	                                              FAAS_FUNCTION(.handler = count_call, .flags = FAAS_FUNCTION_INLINE)));
	scale_must("find", faas_function_find(runtime, "inline", &function));
	invoke_ns(function, event, n / 10 + 1);
	calls = 0;
	for (int i = 0; i < REPEATS; i++) {
		plain[i] = plain_ns(n);
		full[i] = invoke_ns(function, event, n) - plain[i];
		empty[i] = invoke_ns(function, NULL, n) - plain[i];
	}
	if (calls != 3 * REPEATS * n)
		bench_die("%lld calls instead of %lld", (long long)calls, (long long)(3 * REPEATS * n));
	bench_report("inline", "plain_ns", bench_median(plain, REPEATS));
	bench_report("inline", "above_ns", bench_median(full, REPEATS));
	bench_report("inline", "above_empty_ns", bench_median(empty, REPEATS));
	faas_function_unref(function);
	scale_close(runtime, 2 * REPEATS * n + n / 10 + 1);
}

/* ---- Many functions ---------------------------------------------------------------------------------------------- */

/* N types, each the only pattern of one function. */
static char **make_types(int64_t n)
{
	char *text = bench_alloc((size_t)n, NAME_BYTES);
	char **types = bench_alloc((size_t)n, sizeof(*types));

	for (int64_t i = 0; i < n; i++) {
		types[i] = text + i * NAME_BYTES;
		snprintf(types[i], NAME_BYTES, "bench.f%lld", (long long)i);
	}
	return types;
}

static void free_types(char **types)
{
	free(types[0]);
	free(types);
}

static void add_functions(faas_runtime *runtime, char *const *types, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		char name[NAME_BYTES];

		snprintf(name, sizeof(name), "f%lld", (long long)i);
		scale_add(runtime, name, types[i], scale_count);
	}
}

/* The same ten emits, with ten functions there and with all, in turns. */
static void compare_with_few(faas_runtime *many, char *const *types, int64_t n)
{
	double emit[REPEATS], all[REPEATS], emit_ratio[REPEATS], all_ratio[REPEATS];
	faas_runtime *few = scale_open();
	char *ten[10];

	for (int64_t i = 0; i < 10; i++)
		ten[i] = types[i * (n / 10)];
	add_functions(few, ten, 10);
	scale_measure(few, ten, 10, EMITS / 10, 1);
	scale_measure(many, ten, 10, EMITS / 10, 1);
	for (int i = 0; i < REPEATS; i++) {
		struct scale_cost with_few = scale_measure(few, ten, 10, EMITS, 1);
		struct scale_cost with_many = scale_measure(many, ten, 10, EMITS, 1);

		emit[i] = with_many.emit_ns;
		all[i] = with_many.all_ns;
		emit_ratio[i] = with_many.emit_ns / with_few.emit_ns;
		all_ratio[i] = with_many.all_ns / with_few.all_ns;
	}
	bench_report("functions", "emit_ns", bench_median(emit, REPEATS));
	bench_report("functions", "event_ns", bench_median(all, REPEATS));
	bench_report("functions", "emit_ratio", bench_median(emit_ratio, REPEATS));
	bench_report("functions", "event_ratio", bench_median(all_ratio, REPEATS));
	scale_close(few, EMITS / 10 + REPEATS * EMITS);
}

void scale_functions(int64_t n)
{
	int64_t spread = n > EMITS ? n : EMITS / n * n, before, begin;
	faas_runtime *runtime = scale_open();
	char **types = make_types(n);

	before = bench_rss_bytes();
	begin = bench_now();
	add_functions(runtime, types, n);
	bench_report("functions", "register_s", (double)(bench_now() - begin) / NS_PER_S);
	bench_report("functions", "register_ns", (double)(bench_now() - begin) / (double)n);
	bench_report("functions", "bytes", (double)(bench_rss_bytes() - before) / (double)n);
	bench_report("functions", "first_ns", scale_measure(runtime, types, n, n, 1).all_ns);
	bench_report("functions", "bytes_used", (double)(bench_rss_bytes() - before) / (double)n);
	bench_report("functions", "spread_ns", scale_measure(runtime, types, n, spread, 1).all_ns);
	compare_with_few(runtime, types, n);
	scale_close(runtime, n + spread + EMITS / 10 + REPEATS * EMITS);
	free_types(types);
}

/* ---- Many bindings ----------------------------------------------------------------------------------------------- */

void scale_bindings(int64_t n)
{
	double emit[REPEATS], all[REPEATS], emit_ratio[REPEATS], all_ratio[REPEATS];
	char plain_type[] = "bench.plain", many_type[] = "bench.many";
	char *plain = plain_type, *many = many_type;
	int64_t events = EMITS / n + 1;
	faas_runtime *runtime = scale_open();

	scale_add(runtime, "plain", plain, scale_count);
	for (int64_t i = 0; i < n; i++) {
		char name[NAME_BYTES];

		snprintf(name, sizeof(name), "f%lld", (long long)i);
		scale_add(runtime, name, many, scale_count);
	}
	scale_measure(runtime, &plain, 1, EMITS / 10, 1);
	scale_measure(runtime, &many, 1, 10, (int)n);
	for (int i = 0; i < REPEATS; i++) {
		struct scale_cost one = scale_measure(runtime, &plain, 1, EMITS, 1);
		struct scale_cost each = scale_measure(runtime, &many, 1, events, (int)n);

		emit[i] = each.emit_ns;
		all[i] = each.all_ns;
		emit_ratio[i] = each.emit_ns / one.emit_ns;
		all_ratio[i] = each.all_ns / one.all_ns;
	}
	bench_report("bindings", "emit_ns", bench_median(emit, REPEATS));
	bench_report("bindings", "event_ns", bench_median(all, REPEATS));
	bench_report("bindings", "emit_ratio", bench_median(emit_ratio, REPEATS));
	bench_report("bindings", "event_ratio", bench_median(all_ratio, REPEATS));
	scale_close(runtime, EMITS / 10 + 10 * n + REPEATS * (EMITS + events * n));
}
