/* SPDX-License-Identifier: MIT */
/*
 * Clocks. A runtime without one uses the system's monotonic clock; where the processor has a counter that runs at a
 * constant rate, a thread goes by that for up to 20 us after it has read the clock, so that the time of one short run may
 * be some nanoseconds off, for which its neighbour's makes up. A manual clock stands still until the test moves it: with
 * it (and without threads) a runtime is a deterministic state machine.
 */
#ifndef FAAS_CLOCK_H
#define FAAS_CLOCK_H

#include <faas/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A host's own time source. `monotonic_ns` never goes back and runs at the rate of real time. */
typedef struct faas_clock_config {
	uint32_t struct_size;
	uint32_t reserved;
	int64_t (*monotonic_ns)(void *user); /* required: any thread, must not block or call back */
	int64_t (*unix_ns)(void *user);      /* ns since 1970-01-01 UTC, asked once per faas_open; NULL: the system's */
	void *user;
	void *reserved_pointer;
} faas_clock_config;

/**
 * Makes a clock that reads the host's time source.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference; `config` is copied; `user` must outlive the clock and its runtimes
 * Units:    nanoseconds
 * Returns:  FAAS_OK; FAAS_EINVAL: no monotonic_ns, or a bad struct_size; FAAS_ENOMEM
 */
FAAS_API int faas_clock_new(const faas_clock_config *config, faas_clock **ret_clock);

/**
 * Makes a clock that stands still until faas_clock_advance moves it. Its monotonic time starts at 0, its calendar
 * time at `unix_ns`. A runtime that uses it must have no threads.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference
 * Units:    `unix_ns`: nanoseconds since 1970-01-01 UTC
 * Returns:  FAAS_OK; FAAS_EINVAL: `unix_ns` is negative or `ret_clock` NULL; FAAS_ENOMEM
 */
FAAS_API int faas_clock_new_manual(int64_t unix_ns, faas_clock **ret_clock);

/**
 * Moves a manual clock forward, stopping at every moment at which something of a runtime that uses it falls due, in
 * the order of those moments: deadlines settle and timers fire at exactly their time. No handler runs; what became
 * runnable waits for faas_run. May be called from inside a handler.
 *
 * Threads:  any, but for one clock and its runtimes one at a time
 * Blocks:   no
 * Owns:     nothing
 * Units:    nanoseconds
 * Returns:  FAAS_OK; FAAS_EINVAL: not a manual clock, a negative duration, or a time past 2^62
 */
FAAS_API int faas_clock_advance(faas_clock *clock, int64_t duration_ns);

/**
 * The clock's monotonic time now.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     nothing
 * Units:    nanoseconds from an arbitrary start (a manual clock's: 0)
 * Returns:  the time; FAAS_EINVAL: `clock` is NULL
 */
FAAS_API int64_t faas_clock_now(const faas_clock *clock);

/**
 * Takes one more reference.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     the caller gets one reference more
 * Units:    none
 * Returns:  `clock`
 */
FAAS_API faas_clock *faas_clock_ref(faas_clock *clock);

/**
 * Gives one reference back; the last one frees the clock. Runtimes hold references of their own. NULL does nothing.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     takes the caller's reference
 * Units:    none
 * Returns:  nothing
 */
FAAS_API void faas_clock_unref(faas_clock *clock);

#ifdef __cplusplus
}
#endif

#endif
