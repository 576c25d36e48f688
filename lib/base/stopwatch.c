/* SPDX-License-Identifier: MIT */
/*
 * Stopwatches: how the rate of the counter is measured.
 *
 * A measurement takes a pair of readings, of clock and counter, and another one at least a millisecond later. A thread
 * may be held up between the two readings of a pair; so the counter is read on both sides of the clock, and a pair that
 * lies too far apart is read again. Where they always do, the counter would gain nothing.
 */
#include "base/stopwatch.h"

#if HAS_COUNTER
#include <cpuid.h>
#endif

#define PART 50                /* of a measurement for which it is relied on */
#define SHORTEST_NS 1000000    /* the first measurement, */
#define ENOUGH_NS (PART * STOPWATCH_NS) /* the next one, */
#define AGAIN_NS 1000000000    /* and all later ones */
#define PAIR_COUNTS 1000u      /* that a pair may lie apart; the shortest measurement is some millions of counts */
#define PAIR_TRIES 3
#define AGREEMENT 256          /* two measurements may differ by this part */
#define LEAST_SCALE (1u << 24) /* 1/256 ns a count; nothing counts that fast, */
#define MOST_SCALE 0xffffffffu /* nor slower than this and is any better than the clock */

/* Whether the counter runs at one rate, whatever the processor does: what AMD and Intel call an invariant TSC. */
seldom static bool counter_is_constant(void)
{
#if HAS_COUNTER
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
#else
	return false;
#endif
}

seldom void faas__stopwatch_init(struct stopwatch *watch, const faas_clock *clock)
{
	*watch = (struct stopwatch){.clock = clock, .measure_ns = SHORTEST_NS};
	if (clock || !counter_is_constant())
		watch->began_at = -1;
}

seldom static void begin(struct stopwatch *watch)
{
	watch->began_at = watch->at;
	watch->began_counter = watch->counter;
}

/* From now on it is the clock. */
static void stop(struct stopwatch *watch)
{
	watch->began_at = -1;
	watch->limit = 0;
}

/* The scale of a finished measurement; 0: the counter is no use. */
static uint64_t scale_of(const struct stopwatch *watch, int64_t ns)
{
	uint64_t counts = watch->counter - watch->began_counter, scale = 0;

	if (counts > 0)
		scale = ((uint64_t)ns << 32) / counts;
	return scale >= LEAST_SCALE && scale <= MOST_SCALE ? scale : 0;
}

/* A good pair has been read. */
seldom static void measure(struct stopwatch *watch)
{
	int64_t ns = watch->at - watch->began_at;
	uint64_t scale, difference;

	/* After a long pause it just begins anew. */
	if (watch->began_at == 0 || ns >= UINT32_MAX) {
		begin(watch);
		return;
	}
	scale = scale_of(watch, ns);
	difference = scale > watch->scale ? scale - watch->scale : watch->scale - scale;
	if (scale == 0 || (watch->limit != 0 && difference > watch->scale / AGREEMENT)) {
		stop(watch);
		return;
	}
	watch->scale = scale;
	watch->limit = ((uint64_t)(ns < ENOUGH_NS ? SHORTEST_NS / PART : STOPWATCH_NS) << 32) / scale;
	watch->measure_ns = ns < ENOUGH_NS ? ENOUGH_NS : AGAIN_NS;
	begin(watch);
}

/* Whether clock and counter were read right after each other. */
static bool read_pair(struct stopwatch *watch)
{
	uint64_t before = faas__counter();

	watch->at = faas__clock_now(watch->clock);
	watch->counter = faas__counter();
	return watch->counter - before < PAIR_COUNTS;
}

int64_t faas__stopwatch_look(struct stopwatch *watch)
{
	bool is_good = false;

	if (unlikely(watch->began_at < 0))
		return faas__clock_now(watch->clock);
	/* After a bad pair the thread would live in the past for a while. */
	for (int tries = 0; tries < PAIR_TRIES && !is_good; tries++)
		is_good = read_pair(watch);
	if (unlikely(!is_good)) /* that is how long the clock takes */
		stop(watch);
	else if (unlikely(watch->at - watch->began_at >= watch->measure_ns))
		measure(watch);
	return watch->at;
}
