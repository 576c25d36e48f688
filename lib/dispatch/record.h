/* SPDX-License-Identifier: MIT */
/* What follows a settlement: the record for a destination, or a place among the dead letters. */
#ifndef FAAS_DISPATCH_RECORD_H
#define FAAS_DISPATCH_RECORD_H

#include "dispatch/function.h"
#include "dispatch/runner.h"

/* How an invocation without a result ended, for its dead letter. `message` is taken from there. */
struct brief {
	int code;
	int handler_result;
	struct message **message; /* NULL: none */
};

/* Whether an end is followed by anything; the cheap question first. */
static inline bool faas__is_followed(const faas_function *function, enum end end)
{
	if (likely(end == END_SUCCEEDED))
		return unlikely(function->delivery->on_success != NULL);
	return end == END_FAILED || end == END_TIMED_OUT || end == END_EXPIRED;
}

/*
 * After an invocation was settled and published, before it counts as such (faas__count_published). The caller holds a
 * reference and no lock. `brief` is read where there is no result. `from_monitor`: no user code.
 */
void faas__follow(faas_invocation *invocation, enum end end, const struct brief *brief, bool from_monitor);

/* A block for the record of what this function is about to take, where it wants one. 0, or FAAS_ENOMEM. In the lane. */
int faas__follow_prepare(faas_invocation *invocation, struct lane *lane);

/* Offers a record to a function. FAAS_OK, or why it was refused; counted there. */
int faas__record_offer(faas_function *function, faas_invocation *block, faas_invocation *of, uint32_t hops,
                       bool is_redriven, bool from_monitor);

/* ---- letter.c ---------------------------------------------------------------------------------------------------- */

void faas__letter_add(faas_invocation *invocation, enum end end, const struct brief *brief);
/* Loses them all: the function was closed. How many. No lock is held. */
uint64_t faas__letters_lose(faas_function *function);

#endif
