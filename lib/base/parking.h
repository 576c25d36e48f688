/* SPDX-License-Identifier: MIT */
/*
 * Where one thread sleeps until another one wakes it. A wake-up that comes first is kept: it ends the next sleep at once.
 */
#ifndef FAAS_BASE_PARKING_H
#define FAAS_BASE_PARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/sync.h"

#if defined(__linux__)
#include <sys/syscall.h>
#endif
/* Tests try the portable way on Linux, too. */
#if defined(SYS_futex) && !defined(FAAS_PORTABLE_PARKING)
#define HAS_FUTEX 1
#else
#define HAS_FUTEX 0
#endif

#define PARKING_EMPTY 0u
#define PARKING_WOKEN 1u
#define PARKING_ASLEEP 2u

struct parking {
	atomic_u32 word;
#if !HAS_FUTEX
	struct mutex mu; /* around writes of the word */
	struct cond cond;
#endif
};

/* 0, or FAAS_ETHREAD and nothing made. */
int faas__parking_init(struct parking *parking);
void faas__parking_deinit(struct parking *parking);

/* For one thread: sleeps until woken, or for `ns` of real time (INT64_MAX: without limit). False: that is over. */
bool faas__parking_wait(struct parking *parking, int64_t ns);

/* For any other. What it wrote before, the sleeper sees. */
void faas__parking_wake(struct parking *parking);

#endif
