/* SPDX-License-Identifier: MIT */
/*
 * Making a failing run short: operations are left out, in halves, quarters, ... and one by one, as long as what is left
 * fails in the same way; then choices are made plain, one field at a time. Each try runs in a child process, because it
 * may crash or hang, and abandons its runtime where it disagrees.
 */
#include "shrink.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS 2     /* of processor time for one run, before it counts as hung */
#define SEARCH_SECONDS 40 /* then what is there is short enough */

static int report_to = -1;

/* What the child writes: the operation it is at, and how it ended. */
struct message {
	int op;
	bool is_end, has_failed;
	char kind[64];
	char text[400];
};

static void tell(const struct message *message)
{
	ssize_t written = write(report_to, message, sizeof(*message));

	if (written != (ssize_t)sizeof(*message))
		_exit(2);
}

static void tell_op(int op)
{
	struct message message = {.op = op};

	tell(&message);
}

static void child(const struct plan *plan, bool is_tracing_wanted)
{
	struct rlimit limit = {.rlim_cur = RUN_SECONDS, .rlim_max = RUN_SECONDS + 1}, no_core = {0};
	struct message message = {.is_end = true};

	(void)setrlimit(RLIMIT_CPU, &limit);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (!is_tracing_wanted) {
		int nowhere = open("/dev/null", O_WRONLY);

		(void)dup2(nowhere, STDERR_FILENO);
	}
	message.has_failed = !run_plan(plan, is_tracing_wanted, tell_op);
	(void)fflush(stdout);
	(void)strncpy(message.kind, complaint_kind(), sizeof(message.kind) - 1);
	(void)strncpy(message.text, complaint_text(), sizeof(message.text) - 1);
	tell(&message);
	_exit(0);
}

static void judge(struct verdict *verdict, int from, pid_t pid)
{
	struct message message;
	bool has_ended = false;
	int status = 0;

	*verdict = (struct verdict){.last_op = -1};
	while (read(from, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
		if (!message.is_end) {
			verdict->last_op = message.op;
			continue;
		}
		has_ended = true;
		verdict->has_failed = message.has_failed;
		memcpy(verdict->kind, message.kind, sizeof(message.kind));
		memcpy(verdict->text, message.text, sizeof(message.text));
	}
	(void)waitpid(pid, &status, 0);
	if (has_ended)
		return;
	verdict->has_failed = true;
	(void)snprintf(verdict->kind, sizeof(verdict->kind), "the process ended");
	(void)snprintf(verdict->text, sizeof(verdict->text), "the process ended with signal %d, exit code %d",
	               WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

void verdict_of(const struct plan *plan, bool is_tracing_wanted, struct verdict *ret_verdict)
{
	int ends[2];
	pid_t pid;

	(void)fflush(stdout);
	if (pipe(ends) != 0)
		abort();
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		(void)close(ends[0]);
		report_to = ends[1];
		child(plan, is_tracing_wanted);
	}
	(void)close(ends[1]);
	judge(ret_verdict, ends[0], pid);
	(void)close(ends[0]);
}

/* ---- Leaving out ---------------------------------------------------------------------------------------------------- */

struct search {
	struct plan *plan;
	const char *kind;
	time_t began;
};

static bool still_fails(struct search *search, const struct plan *plan)
{
	struct verdict verdict;

	if (time(NULL) - search->began > SEARCH_SECONDS)
		return false;
	verdict_of(plan, false, &verdict);
	return verdict.has_failed && strcmp(verdict.kind, search->kind) == 0;
}

/* Tries to do without `count` operations from `at`. */
static bool leave_out(struct search *search, int at, int count)
{
	struct plan *plan = search->plan, candidate = *plan;
	struct op *ops = malloc(sizeof(*ops) * (size_t)(plan->count + 1));
	bool fails;

	if (!ops)
		abort();
	candidate.ops = ops;
	candidate.count = plan->count - count;
	memcpy(ops, plan->ops, sizeof(*ops) * (size_t)at);
	memcpy(ops + at, plan->ops + at + count, sizeof(*ops) * (size_t)(plan->count - at - count));
	fails = still_fails(search, &candidate);
	if (fails) {
		memcpy(plan->ops, ops, sizeof(*ops) * (size_t)candidate.count);
		plan->count = candidate.count;
	}
	free(ops);
	return fails;
}

/* One pass with pieces of this size. Whether anything could go. */
static bool pass(struct search *search, int size)
{
	bool has_gone = false;
	int at = search->plan->count;

	/* From the end, since what comes later depends on what came before. */
	while (at > 0) {
		int count = at < size ? at : size;

		at -= count;
		has_gone = leave_out(search, at, count) || has_gone;
	}
	return has_gone;
}

/* ---- Making plain --------------------------------------------------------------------------------------------------- */

static void make_plain(struct search *search, uint32_t *plain)
{
	const uint32_t before = *plain;

	*plain = UINT32_MAX;
	if (still_fails(search, search->plan))
		return;
	*plain = before;
	for (int bit = 0; bit < 32; bit++) {
		const uint32_t kept = *plain;

		*plain = kept | (uint32_t)1 << bit;
		if (*plain != kept && !still_fails(search, search->plan))
			*plain = kept;
	}
}

void shrink(struct plan *plan, const char *kind)
{
	struct search search = {.plan = plan, .kind = kind, .began = time(NULL)};
	struct verdict verdict;

	verdict_of(plan, false, &verdict);
	if (verdict.last_op >= 0 && verdict.last_op + 1 < plan->count) {
		struct plan candidate = *plan;

		candidate.count = verdict.last_op + 1;
		if (still_fails(&search, &candidate))
			plan->count = candidate.count;
	}
	for (int size = plan->count / 2; size > 0; size /= 2)
		(void)pass(&search, size);
	while (pass(&search, 1))
		continue;
	make_plain(&search, &plan->plain);
	for (int i = 0; i < plan->count; i++)
		make_plain(&search, &plan->ops[i].draw.plain);
	while (pass(&search, 1))
		continue;
}
