/* SPDX-License-Identifier: MIT */
/* What a run has to say: the first disagreement, and on request a line for everything that happens. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* Forgets earlier disagreements. `is_tracing`: say everything that happens. */
void report_begin(bool is_tracing);

/* The model and the library disagree. `kind` names the disagreement; only the first one counts. */
void complain(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Complains when they differ. */
void expect(const char *kind, int64_t expected, int64_t found);

/* What comes next is not promised, so that the run ends here, without a disagreement. */
void unsure(void);

/* Whether a run is to end: for one of these two reasons. */
bool has_failed(void);
bool was_unsure(void);
const char *complaint_kind(void);
const char *complaint_text(void);

/* A line of the trace, indented by how deep handlers are nested. */
extern int trace_depth;
bool is_tracing(void);
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The library's name of a code. */
const char *code_name(int code);

#endif
