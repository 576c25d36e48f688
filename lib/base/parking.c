/* SPDX-License-Identifier: MIT */
/*
 * Parking. A condition variable does this everywhere; but who returns from waiting for one holds its mutex as if others
 * waited for that, and glibc calls the system to wake them: once more for each wake-up, before the thread gets to its
 * work. On Linux the word that says what is going on is slept on itself (futex(2)).
 *
 *     EMPTY  -> ASLEEP   the sleeper
 *     ASLEEP -> WOKEN    a waker, who calls the system only then
 *     EMPTY  -> WOKEN    a waker that comes first
 *     any    -> EMPTY    the sleeper, as it goes on
 */
#if defined(__linux__)
#define _GNU_SOURCE /* syscall */
#endif

#include "base/parking.h"

#include "base/clock.h"
#include "faas/common.h"

#if HAS_FUTEX
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* From the kernel's headers, which not every C library's compiler finds: for threads of one process. */
#define FUTEX_WAIT_HERE (0 | 128)
#define FUTEX_WAKE_HERE (1 | 128)

#define LONGEST_S 1000000000 /* a sleep that long is as good as one without end, and fits in 32 bits */

/* As the system call of that name has it, whatever the C library's is. */
struct kernel_timespec {
	long tv_sec, tv_nsec;
};

int faas__parking_init(struct parking *parking)
{
	store_relaxed(&parking->word, PARKING_EMPTY);
	return FAAS_OK;
}

void faas__parking_deinit(struct parking *parking)
{
	(void)parking;
}

/* False: the time is over. May return for no reason. */
static bool sleep_on(atomic_u32 *word, int64_t ns)
{
	struct kernel_timespec time = {.tv_sec = (long)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	const bool is_limited = ns / NS_PER_S < LONGEST_S;

	return syscall(SYS_futex, word, FUTEX_WAIT_HERE, PARKING_ASLEEP, is_limited ? &time : NULL, NULL, 0) == 0 ||
	       errno != ETIMEDOUT;
}

bool faas__parking_wait(struct parking *parking, int64_t ns)
{
	uint32_t empty = PARKING_EMPTY;

	if (ns < 0)
		ns = 0;
	if (cas_acq_rel(&parking->word, &empty, PARKING_ASLEEP))
		while (sleep_on(&parking->word, ns) && load_relaxed(&parking->word) == PARKING_ASLEEP)
			continue;
	return exchange_acq_rel(&parking->word, PARKING_EMPTY) == PARKING_WOKEN;
}

void faas__parking_wake(struct parking *parking)
{
	if (exchange_acq_rel(&parking->word, PARKING_WOKEN) == PARKING_ASLEEP)
		(void)syscall(SYS_futex, &parking->word, FUTEX_WAKE_HERE, 1, NULL, NULL, 0);
}

#else

int faas__parking_init(struct parking *parking)
{
	store_relaxed(&parking->word, PARKING_EMPTY);
	if (faas__mutex_init(&parking->mu) != FAAS_OK)
		return FAAS_ETHREAD;
	if (faas__cond_init(&parking->cond) == FAAS_OK)
		return FAAS_OK;
	faas__mutex_deinit(&parking->mu);
	return FAAS_ETHREAD;
}

void faas__parking_deinit(struct parking *parking)
{
	faas__cond_deinit(&parking->cond);
	faas__mutex_deinit(&parking->mu);
}

bool faas__parking_wait(struct parking *parking, int64_t ns)
{
	bool is_woken;

	faas__mutex_lock(&parking->mu);
	while (load_relaxed(&parking->word) != PARKING_WOKEN && !faas__cond_wait_ns(&parking->cond, &parking->mu, ns))
		continue;
	is_woken = load_relaxed(&parking->word) == PARKING_WOKEN;
	store_relaxed(&parking->word, PARKING_EMPTY);
	faas__mutex_unlock(&parking->mu);
	return is_woken;
}

/* Signals without the lock, which the woken thread would only run into: that is two more switches. */
void faas__parking_wake(struct parking *parking)
{
	faas__mutex_lock(&parking->mu);
	store_relaxed(&parking->word, PARKING_WOKEN);
	faas__mutex_unlock(&parking->mu);
	faas__cond_broadcast(&parking->cond);
}

#endif
