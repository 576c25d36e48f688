/* SPDX-License-Identifier: MIT */
/*
 * A random tester: runs of random operations on a runtime in manual mode, each beside a model of what the headers
 * promise, and each decided by one number.
 *
 *     simulate [--seeds N] [--steps N] [--first S] [--seed S] [--seconds N] [--trace]
 *
 *     --seeds N    this many runs (300)            --first S    the first one's seed (1, or FAAS_TEST_SEED)
 *     --steps N    operations in each (500)        --seed S     this one run
 *     --seconds N  as many runs as that allows     --trace      say everything that happens
 *
 * Runs follow each other in a child process. Where one disagrees with the model, crashes or hangs, it is made short and
 * told as a list of what happened, and the program ends with 1.
 *
 * How it is made: sim.h. What it believes: model.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shrink.h"

#define RUN_SECONDS 10 /* of processor time, before a run counts as hung */

struct options {
	uint64_t first;
	long seeds, steps, seconds;
	bool is_tracing;
};

static void usage(void)
{
	(void)fprintf(stderr, "usage: simulate [--seeds N] [--steps N] [--first S] [--seed S] [--seconds N] [--trace]\n");
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	if (!text)
		usage();
	value = strtoull(text, &end, 0);
	if (*end != 0 || end == text)
		usage();
	return value;
}

static struct options read_options(char **arguments)
{
	const char *preset = getenv("FAAS_TEST_SEED");
	struct options options = {.first = preset && *preset ? number(preset) : 1, .seeds = 300, .steps = 500};

	while (*arguments) {
		const char *name = *arguments++;

		if (strcmp(name, "--trace") == 0) {
			options.is_tracing = true;
			continue;
		}
		if (strcmp(name, "--seeds") == 0)
			options.seeds = (long)number(*arguments);
		else if (strcmp(name, "--steps") == 0)
			options.steps = (long)number(*arguments);
		else if (strcmp(name, "--seconds") == 0)
			options.seconds = (long)number(*arguments);
		else if (strcmp(name, "--first") == 0 || strcmp(name, "--seed") == 0)
			options.first = number(*arguments);
		else
			usage();
		if (strcmp(name, "--seed") == 0)
			options.seeds = 1;
		arguments++;
	}
	return options;
}

/* ---- The child ------------------------------------------------------------------------------------------------------ */

static void limit_time(void)
{
	struct rusage used;
	struct rlimit limit;

	(void)getrusage(RUSAGE_SELF, &used);
	(void)getrlimit(RLIMIT_CPU, &limit);
	limit.rlim_cur = (rlim_t)used.ru_utime.tv_sec + (rlim_t)used.ru_stime.tv_sec + RUN_SECONDS;
	(void)setrlimit(RLIMIT_CPU, &limit);
}

static void run_all(const struct options *options, int to)
{
	const time_t began = time(NULL);
	long early = 0;

	for (long i = 0; options->seconds > 0 ? time(NULL) - began < options->seconds : i < options->seeds; i++) {
		uint64_t seed = options->first + (uint64_t)i;
		struct plan plan;
		bool agreed;

		if (write(to, &seed, sizeof(seed)) != (ssize_t)sizeof(seed))
			_exit(2);
		limit_time();
		ops_generate(&plan, seed, (int)options->steps);
		agreed = run_plan(&plan, options->is_tracing, NULL);
		free(plan.ops);
		if (!agreed) {
			(void)printf("seed %llu: %s\n", (unsigned long long)seed, complaint_text());
			(void)fflush(stdout);
			_exit(1);
		}
		early += was_unsure();
	}
	if (early > 0)
		(void)printf("%ld of them ended where what comes next is not promised\n", early);
	(void)fflush(stdout);
	_exit(0);
}

/* ---- The parent ----------------------------------------------------------------------------------------------------- */

/* Runs them in a child. How many began; `*ret_failed`: the last of them failed. */
static long supervise(const struct options *options, bool *ret_failed)
{
	int ends[2], status = 0;
	uint64_t seed;
	long count = 0;
	pid_t pid;

	(void)fflush(stdout);
	if (pipe(ends) != 0 || (pid = fork()) < 0) {
		perror("simulate");
		exit(2);
	}
	if (pid == 0) {
		(void)close(ends[0]);
		run_all(options, ends[1]);
	}
	(void)close(ends[1]);
	while (read(ends[0], &seed, sizeof(seed)) == (ssize_t)sizeof(seed))
		count++;
	(void)close(ends[0]);
	(void)waitpid(pid, &status, 0);
	*ret_failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	if (WIFSIGNALED(status))
		(void)printf("the run after %ld others was ended by signal %d\n", count - 1, WTERMSIG(status));
	return count;
}

/* Tells of a failing run as shortly as it can be told. */
static void explain(uint64_t seed, long steps)
{
	struct verdict verdict;
	struct plan plan;
	char kind[sizeof(verdict.kind)];

	ops_generate(&plan, seed, (int)steps);
	verdict_of(&plan, false, &verdict);
	if (!verdict.has_failed) {
		(void)printf("seed %llu failed, but not again\n", (unsigned long long)seed);
		return;
	}
	(void)printf("seed %llu, operation %d: %s\n", (unsigned long long)seed, verdict.last_op, verdict.text);
	memcpy(kind, verdict.kind, sizeof(kind));
	shrink(&plan, kind);
	(void)printf("the same in %d operations:\n", plan.count);
	verdict_of(&plan, true, &verdict);
	(void)printf("-> %s\nagain: simulate --seed %llu --steps %ld --trace\n", verdict.text, (unsigned long long)seed, steps);
	free(plan.ops);
}

int main(int argc, char **argv)
{
	struct options options = read_options(argv + (argc > 0));
	bool has_failed_run;
	long count;

	(void)printf("first seed %llu, %ld operations each\n", (unsigned long long)options.first, options.steps);
	count = supervise(&options, &has_failed_run);
	if (has_failed_run)
		explain(options.first + (uint64_t)(count > 0 ? count - 1 : 0), options.steps);
	(void)printf("%ld passed, %d failed\n", count - has_failed_run, has_failed_run);
	return has_failed_run;
}
