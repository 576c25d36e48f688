/* SPDX-License-Identifier: MIT */
/* Whether, and when, an invocation is attempted again; what is between two attempts. */
#ifndef FAAS_DISPATCH_RETRY_H
#define FAAS_DISPATCH_RETRY_H

#include "dispatch/function.h"

/* Whether attempt number `attempt`, if it failed, might be followed by another. */
bool faas__retry_is_possible(const faas_invocation *invocation, uint32_t attempt, bool is_permanent);

/*
 * For whoever has moved an invocation whose attempt failed to STARTING: true: it is DELAYED, or QUEUED again, and has a
 * reference for that; the caller touches it no more than its own reference allows. False: it is SETTLING, to be settled
 * with `*end` and `*code`, which say so if its age or its caller's time would run out during the delay.
 */
bool faas__retry(faas_invocation *invocation, uint32_t attempt, int64_t now, enum end *end, int *code);

/* END_EXPIRED, and the code, if no attempt may begin at `at`; else END_COUNT. */
enum end faas__retry_expiry(const faas_invocation *invocation, int64_t at, int *ret_code);

/* The quick answer for most: neither too old nor with a caller who could be late. False: ask faas__retry_expiry. */
static inline bool faas__retry_is_young(const faas_invocation *invocation, int64_t now)
{
	const faas_event *event;

	if ((invocation->flags & (INVOCATION_HAS_RESULT | INVOCATION_IS_RECORD)) != 0)
		return false;
	event = likely(faas__is_bare(invocation)) ? faas__event_of_bare(invocation) : faas__event_behind(invocation);
	return now - event->stamp_ns < invocation->function->delivery->max_age_ns;
}

/* When the next delay ends; TIME_NEVER. */
int64_t faas__retry_due(const faas_function *function) holds_lock(function->mu);
/* The one whose delay ends first; NULL. */
faas_invocation *faas__retry_first(faas_function *function) holds_lock(function->mu);
/* Takes a DELAYED one out of its heap; its load stays. */
void faas__retry_unlink(faas_function *function, faas_invocation *invocation) holds_lock(function->mu);
/* What is due by `now` joins the queue. */
void faas__retry_fall_due(faas_function *function, int64_t now, faas_invocation **dead, uint64_t *ret_freed)
	holds_lock(function->mu);

#endif
