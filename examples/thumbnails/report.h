/* SPDX-License-Identifier: MIT */
/*
 * What the user sees: a progress line while it lasts, a line for each picture, the bill.
 */
#ifndef THUMBNAILS_REPORT_H
#define THUMBNAILS_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include <faas.h>

#include "folder.h"
#include "resize.h"

struct report {
	size_t total; /* names in the folder */
	size_t made;
	size_t failed;
	size_t skipped;
	int name_width;     /* of the column, in bytes */
	int has_progress;   /* stderr is a terminal */
	int progress_width; /* characters of the progress line that stand there now */
	int64_t start_ms;
	int64_t progress_ms; /* when the progress line was last renewed */
};

void report_begin(struct report *report, const struct folder *folder);

/* Whether it is time to renew the progress line: there is one, and a moment has passed. */
int report_wants_progress(const struct report *report);

/* Renews the progress line. `done` counts pictures that were resized or failed, whether their lines are out or not. */
void report_progress(struct report *report, uint64_t done);

/* The line of a picture: one of these for each name, in order. */
void report_made(struct report *report, const char *name, const struct resize_answer *sizes,
                 const struct faas_timing_stats *timing);
void report_failed(struct report *report, const char *name, const char *why);
void report_skipped(struct report *report, const char *name, const char *why);

/* The last lines. 0, or -1: not all that belongs on stdout could be written. */
int report_bill(struct report *report, const struct faas_function_stats *stats);

#endif
