/* SPDX-License-Identifier: MIT */
/*
 * thumbnails [--size N] IN_DIR OUT_DIR: the classic of serverless computing. Files appear, somebody says so, and a
 * function nobody called makes thumbnails of them.
 *
 * The main program plays the object store: it emits one "object.created.FORMAT" event for each file in IN_DIR and
 * knows nothing of pictures. The function `resize` (resize.c) is bound to "object.created.*" and knows nothing of
 * folders. How many run at once, on which threads, which of them start cold, and what it all cost, is the library's.
 *
 * The queue is short and emitting waits for room in it, so a folder of any size takes little memory. What was emitted
 * is kept in a ring until its line is printed: lines come out in the order of the names, whichever picture is ready
 * first.
 *
 *     resize.c     the function                 netpbm.c    reads pictures, by rows
 *     report.c     what the user sees           resample.c  averages areas, in the linear light of light.c
 *     options.c    the command line             png.c       writes PNG, with deflate.c
 *     folder.c     what is in IN_DIR            output.c    writes files whole or not at all
 *     printable.c  names fit for a terminal     buffer.c    memory that grows
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <faas.h>

#include "folder.h"
#include "options.h"
#include "printable.h"
#include "report.h"
#include "resize.h"

#define QUEUE 256   /* events that wait for a worker; emitting more waits too */
#define RING 1024   /* pictures that wait for their line */
#define TICK_MS 100 /* between two looks at the progress */

/* A name in the folder, from its emit until its line is printed. */
struct picture {
	const char *name;
	const char *skipped;     /* why it was, or NULL */
	faas_emission *emission; /* NULL: it was not emitted */
	int code;                /* what the emit said */
};

struct run {
	struct options options;
	struct folder folder;
	faas_runtime *runtime;
	faas_function *resize;
	struct report report;
	size_t begun;    /* pictures of the folder that are or were in the ring */
	size_t finished; /* of those, the ones whose lines are printed */
	struct picture ring[RING];
};

/* Static, because a worker that outlives its deadline may outlive main as well. */
static struct resize_settings settings;

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "thumbnails: %s: %s\n", what, why);
	return -1;
}

/* "object.created." and the file's suffix in lower case, where it is a plain word, such as object.created.ppm. */
static void event_type(const char *name, char *ret_type, size_t size)
{
	const char *dot = strrchr(name, '.');
	const char *suffix = dot ? dot + 1 : "";
	size_t length = strspn(suffix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
	if (length == 0 || length > 16 || suffix[length])
		suffix = "file";
	snprintf(ret_type, size, "object.created.%s", suffix);
	for (char *letter = ret_type; *letter; letter++)
		if (*letter >= 'A' && *letter <= 'Z')
			*letter = (char)(*letter - 'A' + 'a');
}

/* Emits the event of a file. What refuses it is noted and told when its line is due. */
static void emit(struct run *run, struct picture *picture, const char *path)
{
	char type[40];
	char subject[PRINTABLE_SIZE];
	event_type(picture->name, type, sizeof(type));
	printable_name(picture->name, subject, sizeof(subject));
	const faas_event_config *event =
		FAAS_EVENT(.type = type, .subject = subject, .data = path, .data_bytes = strlen(path), .wait_ms = FAAS_NEVER);
	int took = faas_emit_event(run->runtime, event, &picture->emission);
	picture->code = took < 0 ? took : FAAS_OK;
}

/* Puts the next name into the ring. */
static void begin_picture(struct run *run)
{
	struct picture *picture = &run->ring[run->begun % RING];
	*picture = (struct picture){.name = run->folder.names[run->begun++]};
	size_t bytes = strlen(run->options.in_dir) + strlen(picture->name) + 2;
	char *path = malloc(bytes);
	if (!path) {
		picture->code = FAAS_ENOMEM;
		return;
	}
	snprintf(path, bytes, "%s/%s", run->options.in_dir, picture->name);
	if (folder_is(path))
		picture->skipped = "is a folder";
	else
		emit(run, picture, path);
	free(path);
}

/* Prints the line of a picture that was resized, or why it was not. */
static void report_invocation(struct run *run, const char *name, const faas_invocation *invocation)
{
	struct faas_timing_stats timing = {.struct_size = sizeof(timing)};
	const void *answer = NULL;
	uint64_t bytes = 0;
	int outcome = faas_invocation_answer(invocation, &answer, &bytes, NULL);
	if (outcome == FAAS_OK && bytes == sizeof(struct resize_answer)) {
		struct resize_answer sizes;
		memcpy(&sizes, answer, sizeof(sizes));
		faas_invocation_timing(invocation, &timing);
		report_made(&run->report, name, &sizes, &timing);
	} else if (outcome == FAAS_ETIMEDOUT) {
		report_failed(&run->report, name, "was given up: it took longer than the deadline");
	} else {
		report_failed(&run->report, name, faas_invocation_message(invocation));
	}
}

/* Prints the line of the first picture in the ring, if it is ready or becomes so in time. */
static void finish_picture(struct run *run, int64_t timeout_ms)
{
	struct faas_emission_entry_stats entry = {.struct_size = sizeof(entry)};
	struct picture *picture = &run->ring[run->finished % RING];
	if (picture->emission && faas_emission_wait(picture->emission, timeout_ms) == FAAS_EPENDING)
		return;
	if (picture->emission)
		faas_emission_entry(picture->emission, 0, &entry);
	if (picture->skipped)
		report_skipped(&run->report, picture->name, picture->skipped);
	else if (entry.invocation)
		report_invocation(run, picture->name, entry.invocation);
	else
		report_failed(&run->report, picture->name, faas_strerror(picture->code));
	faas_emission_unref(picture->emission);
	run->finished++;
}

static void resize_all(struct run *run)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	while (run->finished < run->folder.count) {
		int may_begin = run->begun < run->folder.count && run->begun - run->finished < RING;
		if (may_begin)
			begin_picture(run);
		finish_picture(run, may_begin ? 0 : TICK_MS);
		if (report_wants_progress(&run->report) && faas_function_stats(run->resize, &stats) == FAAS_OK)
			report_progress(&run->report, stats.requests);
	}
}

/*
 * Threads begin as one a core, and the library adds some while handlers wait for the disk. More than two a core would
 * only wait for the same disk, in workers that all had to be started cold.
 */
static int32_t most_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (cores < 1)
		cores = 1;
	return cores < FAAS_MAX_THREADS / 2 ? (int32_t)cores * 2 : FAAS_MAX_THREADS;
}

/* Opens the runtime and tells it which function waits for which events. */
static int deploy(struct run *run)
{
	const faas_function_config *resize =
		FAAS_FUNCTION(.handler = resize_handle, .init = resize_init, .fini = resize_fini, .user = &settings,
	                  .deadline_ms = run->options.deadline_ms, .queue_events = QUEUE,
	                  /* A picture that is broken stays broken. */
	                  .attempts = 1, .dead_letters = FAAS_NONE);
	settings = (struct resize_settings){.longest_side = run->options.size, .out_dir = run->options.out_dir};
	int code = faas_open(FAAS_RUNTIME(.source = "/thumbnails", .max_threads = most_threads()), &run->runtime);
	if (code == FAAS_OK)
		code = faas_register_function(run->runtime, "resize", resize);
	if (code == FAAS_OK)
		code = faas_bind(run->runtime, FAAS_BINDING(.pattern = "object.created.*", .function = "resize"), NULL);
	if (code == FAAS_OK)
		code = faas_function_find(run->runtime, "resize", &run->resize);
	return code == FAAS_OK ? 0 : complain("cannot start", faas_strerror(code));
}

/* Closes the runtime. A handler that its deadline did not stop gets a second; a file system that hangs gets no more. */
static void close_down(struct run *run)
{
	for (int tries = 0; run->runtime && faas_close(run->runtime, 0, 0) == FAAS_EBUSY; tries++) {
		if (tries == 100) {
			complain("leaving", "a picture that was given up is still being read");
			faas_close(run->runtime, 0, FAAS_CLOSE_DETACH);
			return;
		}
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
}

/* Prints the bill. The handle of the function keeps its numbers; with the runtime closed they are final. */
static int bill(struct run *run)
{
	struct faas_function_stats stats = {.struct_size = sizeof(stats)};
	faas_function_stats(run->resize, &stats);
	if (report_bill(&run->report, &stats) < 0)
		return complain("stdout", "cannot be written");
	return run->report.failed ? -1 : 0;
}

/* Reads IN_DIR first: were OUT_DIR made before that, a mistyped IN_DIR would leave an empty folder behind. */
static int prepare(struct run *run)
{
	int error = folder_read(&run->folder, run->options.in_dir);
	if (error)
		return complain(run->options.in_dir, strerror(error));
	error = folder_make(run->options.out_dir);
	if (error)
		return complain(run->options.out_dir, strerror(error));
	if (folder_is_same(run->options.in_dir, run->options.out_dir))
		return complain(run->options.out_dir, "is IN_DIR; thumbnails could overwrite pictures");
	return 0;
}

static int go(struct run *run)
{
	int result = prepare(run);
	if (result == 0)
		result = deploy(run);
	if (result == 0) {
		report_begin(&run->report, &run->folder);
		resize_all(run);
	}
	close_down(run);
	if (result == 0)
		result = bill(run);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct run run;
	int wanted = options_parse(&run.options, argc, argv);
	if (wanted != OPTIONS_GO)
		return wanted == OPTIONS_DONE ? EXIT_SUCCESS : wanted;
	int result = go(&run);
	faas_function_unref(run.resize);
	folder_deinit(&run.folder);
	return result;
}
