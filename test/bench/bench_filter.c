/* SPDX-License-Identifier: MIT */
/*
 * What filters cost: nanoseconds per evaluation of some expressions against one event, and per compilation of the
 * first. Rounds are interleaved, so that whatever else the machine does hits all lines alike; the median and the fastest
 * of the rounds are shown. The bar for the first line is 100 ns.
 *
 * usage: bench_filter [ROUNDS [EVALUATIONS]]
 */
#include <faas/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 1001

static const char *const expressions[] = {
	"type = 'a.b' AND subject LIKE 'images/%'",
	"type = 'other' AND subject LIKE 'images/%'",
	"subject LIKE 'images/%' AND NOT EXISTS draft",
	"subject LIKE '%.png'",
	"subject LIKE '%/2024/%_%.png'",
	"size > 1000 AND size <= 4096 * 1024",
	"region IN ('eu-west-1', 'eu-north-1', 'eu-central-1')",
	"LOWER(region) = 'eu-central-1'",
	"CONCAT(type, '/', region) = 'a.b/eu-central-1'",
	"TRUE",
};

#define COUNT (sizeof(expressions) / sizeof(expressions[0]))

static double now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *what, double *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare);
	printf("%8.1f %8.1f  %s\n", samples[count / 2], samples[0], what);
}

static void must(const char *what, int code)
{
	if (code == FAAS_OK)
		return;
	fprintf(stderr, "bench_filter: %s: %d\n", what, code);
	exit(1);
}

static faas_event *make_event(void)
{
	const faas_attribute_config attributes[] = {
		FAAS_ATTRIBUTE(.name = "size", .type = FAAS_ATTRIBUTE_INTEGER, .integer = 40000),
		FAAS_ATTRIBUTE(.name = "region", .data = "eu-central-1"),
	};
	faas_event *event = NULL;

	must("event", faas_event_new(FAAS_EVENT(.type = "a.b", .source = "//bench", .subject = "images/2024/02/cat.png",
	                                        .id = "1", .attributes = attributes, .attribute_count = 2),
	                             &event));
	return event;
}

static double time_matching(const faas_filter *filter, const faas_event *event, long evaluations)
{
	double start = now_ns();
	long passes = 0;

	for (long i = 0; i < evaluations; i++)
		passes += faas_filter_matches(filter, event, NULL);
	if (passes != 0 && passes != evaluations)
		must("an expression changed its mind", FAAS_EINVAL);
	return (now_ns() - start) / (double)evaluations;
}

static double time_compiling(const char *expression, long compilations)
{
	double start = now_ns();

	for (long i = 0; i < compilations; i++) {
		faas_filter *filter = NULL;

		must(expression, faas_filter_compile(FAAS_FILTER(.expression = expression), &filter, NULL));
		faas_filter_free(filter);
	}
	return (now_ns() - start) / (double)compilations;
}

int main(int count, char **arguments)
{
	long rounds = count > 1 ? strtol(arguments[1], NULL, 10) : 15;
	long evaluations = count > 2 ? strtol(arguments[2], NULL, 10) : 200000;
	static double samples[COUNT + 1][MAX_ROUNDS];
	faas_filter *filters[COUNT];
	faas_event *event = make_event();

	if (rounds < 1 || rounds > MAX_ROUNDS || evaluations < 100) {
		fprintf(stderr, "usage: bench_filter [ROUNDS [EVALUATIONS]]\n");
		return 2;
	}
	for (size_t i = 0; i < COUNT; i++)
		must(expressions[i], faas_filter_compile(FAAS_FILTER(.expression = expressions[i]), &filters[i], NULL));
	for (long round = 0; round < rounds; round++) {
		for (size_t i = 0; i < COUNT; i++)
			samples[i][round] = time_matching(filters[i], event, evaluations);
		samples[COUNT][round] = time_compiling(expressions[0], evaluations / 100);
	}
	printf("  median  fastest  ns per evaluation, %ld rounds of %ld\n", rounds, evaluations);
	for (size_t i = 0; i < COUNT; i++) {
		report(expressions[i], samples[i], (size_t)rounds);
		faas_filter_free(filters[i]);
	}
	report("compiling the first", samples[COUNT], (size_t)rounds);
	faas_event_free(event);
	return 0;
}
