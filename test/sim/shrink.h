/* SPDX-License-Identifier: MIT */
/* Runs in a child process, and failing runs made short. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "sim.h"

/* How a run in a child process ended. */
struct verdict {
	bool has_failed;
	int last_op;       /* the operation under way; -1: none was begun */
	char kind[64];     /* of the disagreement, or how the process ended */
	char text[400];
};

/* Runs a plan in a child process of its own. */
void verdict_of(const struct plan *plan, bool is_tracing, struct verdict *ret_verdict);

/* Leaves out what the failure does not need. The plan fails in the same way before and after. */
void shrink(struct plan *plan, const char *kind);

#endif
