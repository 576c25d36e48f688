/* SPDX-License-Identifier: MIT */
/*
 * Results go to stdout, failures and the progress line to stderr. Where both are the same terminal, the progress line
 * is wiped before anything else is written, so it is always the last one; and stdout is flushed before stderr is
 * used, so that the lines stand in the order of the pictures.
 */
#define _POSIX_C_SOURCE 200809L

#include "report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "printable.h"

#define MIN_NAME_WIDTH 12
#define MAX_NAME_WIDTH 40
#define PROGRESS_MS 100 /* between two progress lines */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static double seconds_since(const struct report *report)
{
	return (double)(now_ms() - report->start_ms) / 1000.0;
}

void report_begin(struct report *report, const struct folder *folder)
{
	size_t width = MIN_NAME_WIDTH;
	for (size_t i = 0; i < folder->count; i++) {
		size_t length = strlen(folder->names[i]);
		if (length > width)
			width = length;
	}
	*report = (struct report){
		.total = folder->count,
		.name_width = width < MAX_NAME_WIDTH ? (int)width : MAX_NAME_WIDTH,
		.has_progress = isatty(STDERR_FILENO),
		.start_ms = now_ms(),
	};
}

static void wipe_progress(struct report *report)
{
	if (report->progress_width > 0)
		fprintf(stderr, "\r%*s\r", report->progress_width, "");
	report->progress_width = 0;
}

int report_wants_progress(const struct report *report)
{
	return report->has_progress && now_ms() - report->progress_ms >= PROGRESS_MS;
}

void report_progress(struct report *report, uint64_t done)
{
	char line[100];
	fflush(stdout);
	wipe_progress(report);
	snprintf(line, sizeof(line), "%llu of %llu done, %llu failed so far, %.1f s", (unsigned long long)done,
	         (unsigned long long)report->total, (unsigned long long)report->failed, seconds_since(report));
	fputs(line, stderr);
	report->progress_width = (int)strlen(line);
	report->progress_ms = now_ms();
}

void report_made(struct report *report, const char *name, const struct resize_answer *sizes,
                 const struct faas_timing_stats *timing)
{
	char text[PRINTABLE_SIZE], before[32], after[32];
	printable_name(name, text, sizeof(text));
	snprintf(before, sizeof(before), "%lux%lu", (unsigned long)sizes->width, (unsigned long)sizes->height);
	snprintf(after, sizeof(after), "%lux%lu", (unsigned long)sizes->thumbnail_width,
	         (unsigned long)sizes->thumbnail_height);
	wipe_progress(report);
	printf("%-*s  %9s -> %-9s  %s  %7.1f ms", report->name_width, text, before, after,
	       timing->is_cold ? "cold" : "warm", (double)timing->run_ns / 1e6);
	if (timing->is_cold)
		printf(" + %.1f ms init", (double)timing->init_ns / 1e6);
	putchar('\n');
	report->made++;
}

/* A line about a picture on stderr, after all that stdout has so far. */
static void complain(struct report *report, const char *name, const char *why, const char *after)
{
	char text[PRINTABLE_SIZE];
	printable_name(name, text, sizeof(text));
	fflush(stdout);
	wipe_progress(report);
	fprintf(stderr, "thumbnails: %s: %s%s\n", text, why, after);
}

void report_failed(struct report *report, const char *name, const char *why)
{
	complain(report, name, why, "");
	report->failed++;
}

void report_skipped(struct report *report, const char *name, const char *why)
{
	complain(report, name, why, ", skipped");
	report->skipped++;
}

int report_bill(struct report *report, const struct faas_function_stats *stats)
{
	wipe_progress(report);
	printf("\n%llu thumbnails made, %llu failed, %llu skipped\n", (unsigned long long)report->made,
	       (unsigned long long)report->failed, (unsigned long long)report->skipped);
	printf("requests     %10llu\n", (unsigned long long)stats->requests);
	printf("cold starts  %10llu\n", (unsigned long long)stats->cold_starts);
	printf("warm starts  %10llu\n", (unsigned long long)stats->warm_starts);
	printf("billed       %10llu ms\n", (unsigned long long)stats->billed_ms);
	printf("workers      %10llu at most\n", (unsigned long long)stats->workers_peak);
	printf("wall time    %10.2f s\n", seconds_since(report));
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
}
