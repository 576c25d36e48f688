/* SPDX-License-Identifier: MIT */
/*
 * A stopwatch: the time at less than half the price, for a thread that asks again and again.
 *
 * The system's clock is read once; for a moment after that the processor's own counter tells how much time has passed.
 * It is used only where the processor says that it counts at a constant rate, where that rate has been measured against
 * the system's clock (and is measured again and again; should it ever differ, the counter is not used any more), and
 * after a reading never for longer than a fiftieth of that measurement, nor than STOPWATCH_NS: so an error of the rate
 * amounts to a few nanoseconds, and a counter that jumps, as when a thread comes to a processor that counts from
 * elsewhere, is noticed.
 *
 * Readings of the counter may move by some nanoseconds against the instructions around them. Where the end of one run is
 * the beginning of the next, what the one gains the other loses.
 */
#ifndef FAAS_BASE_STOPWATCH_H
#define FAAS_BASE_STOPWATCH_H

#include <stdint.h>

#include "base/atomics.h"
#include "base/clock.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_COUNTER 1
static inline uint64_t faas__counter(void)
{
	return __builtin_ia32_rdtsc();
}
#else
#define HAS_COUNTER 0
static inline uint64_t faas__counter(void)
{
	return 0;
}
#endif

#define STOPWATCH_NS 500000 /* after a reading of the clock */

struct stopwatch {
	const faas_clock *clock; /* fixed; NULL: the system's, the only one that it is used for */
	int64_t at;              /* the last reading of the clock */
	uint64_t counter;        /* right after it */
	uint64_t scale;          /* nanoseconds in a count, with 32 binary places */
	uint64_t limit;          /* counts for which it is relied on; 0: the rate is not known */
	int64_t measure_ns;      /* how long the next measurement takes */
	int64_t began_at;        /* where the measurement of the rate began; 0: not yet, negative: the counter is no use */
	uint64_t began_counter;
};

void faas__stopwatch_init(struct stopwatch *watch, const faas_clock *clock);

/* Reads the clock. */
int64_t faas__stopwatch_look(struct stopwatch *watch);

/* The time; not before `last`, which is the time that this thread was told last. */
static inline int64_t faas__stopwatch_now(struct stopwatch *watch, int64_t last)
{
	uint64_t passed = faas__counter() - watch->counter;
	int64_t now;

	if (likely(passed < watch->limit))
		now = watch->at + (int64_t)(passed * watch->scale >> 32);
	else
		now = faas__stopwatch_look(watch);
	return now > last ? now : last;
}

#endif
