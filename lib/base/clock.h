/* SPDX-License-Identifier: MIT */
/* Clocks: the system's, a host's, or one that a test moves by hand. */
#ifndef FAAS_BASE_CLOCK_H
#define FAAS_BASE_CLOCK_H

#include <stdint.h>

#include "base/atomics.h"
#include "base/list.h"
#include "base/sync.h"
#include "faas/clock.h"

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000
#define TIME_NEVER INT64_MAX

/* What follows a manual clock: told at each moment at which it has something due. */
struct clock_follower {
	struct list node; /* under the clock's mu */
	int64_t (*next_due)(struct clock_follower *follower); /* TIME_NEVER: nothing */
	void (*fire)(struct clock_follower *follower, int64_t now);
};

struct faas_clock {
	atomic_u32 refs;
	uint32_t is_manual;                  /* fixed after init */
	int64_t (*monotonic_ns)(void *user); /* fixed after init; NULL: manual or the system's */
	int64_t (*unix_ns)(void *user);      /* fixed after init */
	void *user;                          /* fixed after init */
	int64_t unix_start_ns;               /* manual: fixed after init */
	atomic_i64 manual_now;               /* writer: advance; readers: any */
	struct mutex mu;
	struct list followers;               /* under mu */
};

/* NULL is the system's clock: the common case costs no indirect call. */
int64_t faas__clock_now(const faas_clock *clock);

/* Calendar time now, in ns since 1970-01-01 UTC. */
int64_t faas__clock_unix(const faas_clock *clock);

void faas__clock_follow(faas_clock *clock, struct clock_follower *follower);
void faas__clock_unfollow(faas_clock *clock, struct clock_follower *follower);

#endif
