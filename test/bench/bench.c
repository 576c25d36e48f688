/* SPDX-License-Identifier: MIT */
/*
 * Clocks, the latch, reports.
 *
 * The latch is one shared counter: its cache line travels between the threads that run tasks, which costs every peer
 * the same few nanoseconds a task. Counters per thread would be cheaper, but then nobody would know who is the last.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int bench_stuck_s = 10;

void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fflush(stdout);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	_Exit(1);
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		bench_die("clock_gettime: error %d", errno);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t bench_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t bench_own_cpu(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* Where a workload submits, rests and submits again, that is part of what it measures. */
void bench_pause(int64_t ns)
{
	struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

	if (ns <= 0)
		return;
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static void read_switches(int64_t *ret_all, int64_t *ret_given)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		bench_die("getrusage: error %d", errno);
	*ret_all = usage.ru_nvcsw + usage.ru_nivcsw;
	*ret_given = usage.ru_nvcsw;
}

void bench_meter_start(struct bench_meter *meter)
{
	read_switches(&meter->switches, &meter->switches_given);
	meter->cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	meter->wall_ns = bench_now();
}

void bench_meter_stop(struct bench_meter *meter)
{
	int64_t switches, given;

	meter->wall_ns = bench_now() - meter->wall_ns;
	meter->cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID) - meter->cpu_ns;
	read_switches(&switches, &given);
	meter->switches = switches - meter->switches;
	meter->switches_given = given - meter->switches_given;
}

int64_t bench_rss_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long long pages;

	if (!file || fscanf(file, "%*s %lld", &pages) != 1)
		bench_die("cannot read /proc/self/statm");
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

int bench_cores(void)
{
	long online;
#if defined(__linux__)
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
#endif
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 && online < 4096 ? (int)online : 1;
}

/*
 * The scheduler's own account of every thread but the main one, exact to the nanosecond. -1: this kernel keeps none.
 * The difference of the process's and the thread's clock would be wrong by the microseconds between reading the two.
 */
static int64_t others_cpu_ns(void)
{
	DIR *folder = opendir("/proc/self/task");
	struct dirent *entry;
	int64_t sum = 0;

	while (folder && sum >= 0 && (entry = readdir(folder)) != NULL) {
		char path[64];
		long long used = -1;
		FILE *file;

		if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == (long)getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/schedstat", entry->d_name);
		file = fopen(path, "r");
		if (!file || fscanf(file, "%lld", &used) != 1)
			used = -1;
		if (file)
			fclose(file);
		sum = used < 0 ? -1 : sum + used;
	}
	if (!folder)
		return -1;
	closedir(folder);
	return sum;
}

int64_t bench_idle_cpu_ns(int64_t ns)
{
	int64_t before = others_cpu_ns(), after;

	bench_pause(ns);
	after = others_cpu_ns();
	return before < 0 || after < before ? -1 : after - before;
}

/* ---- The latch --------------------------------------------------------------------------------------------------- */

static struct {
	_Alignas(128) atomic_llong left; /* every task counts down */
	_Alignas(128) sem_t all_done;    /* posted by the one that reaches zero */
	/* the thread that expects and waits only */
	int64_t expected;
	int is_ready;
	int is_awaited;
} latch;

void bench_expect(int64_t tasks)
{
	if (!latch.is_ready && sem_init(&latch.all_done, 0, 0) != 0)
		bench_die("sem_init: error %d", errno);
	latch.is_ready = 1;
	if (bench_left() != 0)
		bench_die("%lld tasks too few or too many", (long long)bench_left());
	latch.expected += tasks;
	latch.is_awaited = 1;
	atomic_store(&latch.left, tasks);
}

void bench_count(void)
{
	long long left = atomic_fetch_sub(&latch.left, 1);

	if (left == 1)
		sem_post(&latch.all_done);
	else if (left < 1)
		bench_die("a task ran that nobody waits for: one ran twice");
}

int64_t bench_left(void)
{
	return atomic_load(&latch.left);
}

int64_t bench_expected(void)
{
	return latch.expected;
}

void bench_wait(void)
{
	int64_t before = -1;

	while (latch.is_awaited && sem_trywait(&latch.all_done) != 0) {
		struct timespec until;
		int64_t left = bench_left();

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += bench_stuck_s;
		if (sem_timedwait(&latch.all_done, &until) == 0)
			break;
		if (errno == ETIMEDOUT && left == before && left == bench_left())
			bench_die("%lld of %lld tasks have not run, and nothing moves", (long long)left, (long long)latch.expected);
		before = left;
	}
	latch.is_awaited = 0;
	if (bench_left() != 0)
		bench_die("%lld tasks too few or too many", (long long)bench_left());
}

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

void bench_report(const char *workload, const char *metric, double value)
{
	printf("%s %s %.9g\n", workload, metric, value);
	fflush(stdout);
}

void bench_report_meter(const char *workload, int64_t tasks, const struct bench_meter *meter)
{
	double count = (double)tasks;

	bench_report(workload, "rate", count * NS_PER_S / (double)meter->wall_ns);
	bench_report(workload, "wall_ns", (double)meter->wall_ns / count);
	bench_report(workload, "cpu_ns", (double)meter->cpu_ns / count);
	bench_report(workload, "switches", 1000 * (double)meter->switches / count);
	bench_report(workload, "switches_given", 1000 * (double)meter->switches_given / count);
}

static int compare_samples(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

/* The smallest sample that at least `thousandths` of all do not exceed. */
static double percentile(const int64_t *samples, size_t count, size_t thousandths)
{
	size_t rank = (count * thousandths + 999) / 1000;

	return (double)samples[rank > 0 ? rank - 1 : 0];
}

void bench_report_delays(const char *workload, int64_t *samples, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (double)samples[i];
	qsort(samples, count, sizeof(*samples), compare_samples);
	bench_report(workload, "mean_ns", sum / (double)count);
	bench_report(workload, "p50_ns", percentile(samples, count, 500));
	bench_report(workload, "p99_ns", percentile(samples, count, 990));
	bench_report(workload, "p999_ns", percentile(samples, count, 999));
	bench_report(workload, "max_ns", (double)samples[count - 1]);
}

static int compare_values(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_values);
	return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

int64_t bench_parse(const char *text, int64_t least)
{
	char *end;
	long long number = strtoll(text, &end, 10);

	if (*text == '\0' || *end != '\0' || number < least)
		bench_die("not a number of at least %lld: %s", (long long)least, text);
	return number;
}

void *bench_alloc(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	if (!memory)
		bench_die("out of memory");
	return memory;
}
