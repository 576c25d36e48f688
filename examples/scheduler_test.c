/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of scheduling decisions, as a program that uses libfaas would write them. There are no threads, and the
 * clock moves only when the test says so: a minute takes no time, and every run is the same.
 */
#include <faas.h>
#include <stdio.h>

#define SECONDS(n) ((n) * INT64_C(1000000000))

static faas_clock *test_clock;
static faas_runtime *runtime;
static int failures;

static void check(const char *claim, int holds)
{
	printf("%s  %s\n", holds ? "ok    " : "FAILED", claim);
	failures += !holds;
}

/* ---- The functions under test: a thumbnail takes no time here, a report takes two seconds, and one hangs. ---- */

static int thumbnail(faas_context *context, const faas_event *event)
{
	(void)event;
	return faas_context_reply(context, "small", 5, "text/plain");
}

static int report(faas_context *context, const faas_event *event)
{
	(void)context, (void)event;
	return faas_clock_advance(test_clock, SECONDS(2));
}

static int hang(faas_context *context, const faas_event *event)
{
	(void)event;
	faas_clock_advance(test_clock, SECONDS(60));
	return faas_context_reply(context, "late", 4, "text/plain");
}

/* ---- The tests ---- */

static void a_backlog_of_reports_does_not_hold_up_thumbnails(void)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_function *function;

	for (int i = 0; i < 10; i++)
		faas_emit_event(runtime, FAAS_EVENT(.type = "night.report"), NULL);
	for (int i = 0; i < 3; i++)
		faas_emit_event(runtime, FAAS_EVENT(.type = "image.new"), NULL);
	check("ten reports and three thumbnails run", faas_run(runtime, 100) == 13);
	check("the function is there", faas_function_find(runtime, "thumbnail", &function) == FAAS_OK);
	faas_function_stats(function, &stats);
	check("no thumbnail waits for more than two of the reports", stats.queue_time.max_ns <= SECONDS(4));
	faas_function_unref(function);
}

static void idle_workers_are_retired_after_a_minute(void)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};
	int64_t due = 0;

	faas_next_due(runtime, &due);
	check("something is due within the minute", due > 0 && due <= SECONDS(60));
	faas_clock_advance(test_clock, SECONDS(60));
	check("then two workers go", faas_run(runtime, 100) == 2);
	faas_runtime_stats(runtime, &stats);
	check("and none is left", stats.total.warm == 0 && stats.total.retired_idle == 2);
}

static void a_hanging_function_is_given_up_after_five_seconds(void)
{
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	faas_invocation *invocation;

	check("the caller is told", faas_invoke(runtime, "hang", NULL, 0, &invocation) == FAAS_ETIMEDOUT);
	faas_invocation_timing(invocation, &timing);
	check("it is charged for five seconds, not for sixty", timing.run_ns == SECONDS(5));
	check("its late answer is dropped", faas_invocation_answer(invocation, NULL, NULL, NULL) == FAAS_ETIMEDOUT);
	faas_invocation_unref(invocation);
}

int main(void)
{
	if (faas_clock_new_manual(0, &test_clock) != FAAS_OK ||
	    faas_open(FAAS_RUNTIME(.threads = FAAS_NONE, .clock = test_clock), &runtime) != FAAS_OK)
		return 1;
	faas_register_function(runtime, "thumbnail", FAAS_FUNCTION(.handler = thumbnail, .keep_warm_ms = 60000));
	faas_register_function(runtime, "report", FAAS_FUNCTION(.handler = report, .keep_warm_ms = 60000));
	faas_register_function(runtime, "hang", FAAS_FUNCTION(.handler = hang, .deadline_ms = 5000));
	faas_bind(runtime, FAAS_BINDING(.pattern = "image.*", .function = "thumbnail"), NULL);
	faas_bind(runtime, FAAS_BINDING(.pattern = "night.*", .function = "report"), NULL);

	a_backlog_of_reports_does_not_hold_up_thumbnails();
	idle_workers_are_retired_after_a_minute();
	a_hanging_function_is_given_up_after_five_seconds();

	check("everything ends well", faas_close(runtime, 0, 0) == FAAS_OK);
	faas_clock_unref(test_clock);
	printf("%d of these claims do not hold.\n", failures);
	return failures != 0;
}
