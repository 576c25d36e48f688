/* SPDX-License-Identifier: MIT */
/*
 * What the random tests with threads share, beside support.h.
 *
 *     stress     runs a scenario in many rounds, each with a seed that can be given back; FAAS_TEST_REPEAT times as many
 *     findings   what threads and handlers found wrong; the main thread fails the test with the first of them
 *     crowd      host threads that start together
 *     watch      a thread that reads the numbers all the time
 *     play       a scenario's usual course: crowds and a watch, from beginning to end
 *     tally      an allocator that counts and nothing else: it adds no order between threads for sanitizers to see
 *
 * Nothing here waits for time to pass. What a scenario waits for is a join, a drain, or a handler at a gate. What threads
 * of a runtime may still touch when an assertion has failed lies in static or allocated memory, not on the stack.
 */
#ifndef TEST_STRESS_H
#define TEST_STRESS_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "support.h"

/* ---- Repeating --------------------------------------------------------------------------------------------------- */

/* How many rounds of a scenario: what it usually has, times FAAS_TEST_REPEAT. */
static inline int stress_rounds(int usual)
{
	const char *given = getenv("FAAS_TEST_REPEAT");
	long factor = given ? strtol(given, NULL, 10) : 1;

	return factor > 0 && factor <= 10000 ? usual * (int)factor : usual;
}

/* The seed of the scenario that runs: what FAAS_TEST_SEED must be to begin with it. */
static uint64_t stress_seed;

/* Round k runs with the seed + k, so that any round can be had as the first of another run. */
static inline void stress(const char *name, int usual, void (*scenario)(uint64_t seed))
{
	uint64_t seed = random_seed(name);
	int rounds = stress_rounds(usual);

	for (int i = 0; i < rounds; i++) {
		stress_seed = seed + (uint64_t)i;
		scenario(stress_seed);
	}
}

/* A random number generator of its own for each of several threads. */
static inline uint64_t stress_fork(uint64_t *seed)
{
	return random_below(seed, UINT64_MAX);
}

/* ---- Findings ---------------------------------------------------------------------------------------------------- */

struct findings {
	atomic_int count;
	atomic_int is_written;
	char first[200];
};

/* From any thread. */
__attribute__((format(printf, 2, 3))) static inline void find(struct findings *findings, const char *format, ...)
{
	va_list arguments;

	if (atomic_fetch_add(&findings->count, 1) > 0)
		return;
	va_start(arguments, format);
	(void)vsnprintf(findings->first, sizeof(findings->first), format, arguments);
	va_end(arguments);
	atomic_store(&findings->is_written, 1);
}

/* On the main thread. */
static inline void check_findings(struct findings *findings)
{
	int count = atomic_load(&findings->count);

	if (count == 0)
		return;
	while (!atomic_load(&findings->is_written))
		sched_yield();
	fail_msg("FAAS_TEST_SEED=%llu: %s (and %d more)", (unsigned long long)stress_seed, findings->first, count - 1);
}

/* Like assert_int_equal, and says the seed. On the main thread. */
#define CHECK_EQUAL(wanted, got)                                                                               \
	do {                                                                                                       \
		long long wanted_ = (long long)(wanted), got_ = (long long)(got);                                      \
                                                                                                               \
		if (wanted_ != got_)                                                                                   \
			fail_msg("FAAS_TEST_SEED=%llu: %s is %lld, not %lld", (unsigned long long)stress_seed, #got, got_, \
			         wanted_);                                                                                 \
	} while (0)

#define CHECK_BETWEEN(least, most, got)                                                                                \
	do {                                                                                                               \
		long long least_ = (long long)(least), most_ = (long long)(most), got_ = (long long)(got);                     \
                                                                                                                       \
		if (got_ < least_ || got_ > most_)                                                                             \
			fail_msg("FAAS_TEST_SEED=%llu: %s is %lld, not %lld to %lld", (unsigned long long)stress_seed, #got, got_, \
			         least_, most_);                                                                                   \
	} while (0)

/* Waits for something that another thread does without telling. */
#define UNTIL(condition) \
	do {                 \
		sched_yield();   \
	} while (!(condition))

/* ---- Host threads ------------------------------------------------------------------------------------------------ */

#define CROWD_MAX 32

struct crowd {
	pthread_t threads[CROWD_MAX];
	pthread_barrier_t start;
	int count;
	struct crowd_member {
		struct crowd *crowd;
		void (*main)(void *arg);
		void *arg;
	} members[CROWD_MAX];
};

static inline void *crowd_main(void *arg)
{
	struct crowd_member *member = arg;

	(void)pthread_barrier_wait(&member->crowd->start);
	member->main(member->arg);
	return NULL;
}

static inline void crowd_init(struct crowd *crowd)
{
	crowd->count = 0;
}

/* One more; it begins with crowd_start. */
static inline void crowd_add(struct crowd *crowd, void (*main)(void *arg), void *arg)
{
	assert_in_range(crowd->count, 0, CROWD_MAX - 1);
	crowd->members[crowd->count++] = (struct crowd_member){.crowd = crowd, .main = main, .arg = arg};
}

static inline void crowd_start(struct crowd *crowd)
{
	assert_int_equal(0, pthread_barrier_init(&crowd->start, NULL, (unsigned)crowd->count));
	for (int i = 0; i < crowd->count; i++)
		assert_int_equal(0, pthread_create(&crowd->threads[i], NULL, crowd_main, &crowd->members[i]));
}

static inline void crowd_join(struct crowd *crowd)
{
	for (int i = 0; i < crowd->count; i++)
		assert_int_equal(0, pthread_join(crowd->threads[i], NULL));
	pthread_barrier_destroy(&crowd->start);
	crowd->count = 0;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

struct tally_memory {
	faas_allocator_config config; /* give &config to what is tested */
	atomic_llong blocks, bytes;   /* held now */
	atomic_uint chance;           /* so many in 1,024 allocations are refused */
	atomic_ullong random;
};

static inline void *tally_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	struct tally_memory *memory = user;
	unsigned chance = atomic_load_explicit(&memory->chance, memory_order_relaxed);
	void *block = NULL;

	if (chance > 0) {
		uint64_t at = atomic_fetch_add_explicit(&memory->random, 1, memory_order_relaxed);

		if (random_below(&at, 1024) < chance)
			return NULL;
	}
	if (posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : (size_t)alignment, (size_t)bytes) != 0)
		return NULL;
	atomic_fetch_add_explicit(&memory->blocks, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&memory->bytes, (long long)bytes, memory_order_relaxed);
	return block;
}

static inline void tally_free(void *user, void *block, uint64_t bytes, uint64_t alignment)
{
	struct tally_memory *memory = user;

	(void)alignment;
	free(block);
	atomic_fetch_sub_explicit(&memory->bytes, (long long)bytes, memory_order_relaxed);
	atomic_fetch_sub_explicit(&memory->blocks, 1, memory_order_release);
}

static inline void tally_init(struct tally_memory *memory)
{
	*memory = (struct tally_memory){
		.config = {.struct_size = sizeof(memory->config), .alloc = tally_alloc, .free = tally_free, .user = memory}};
}

static inline void tally_check_empty(struct tally_memory *memory)
{
	CHECK_EQUAL(0, atomic_load(&memory->blocks));
	CHECK_EQUAL(0, atomic_load(&memory->bytes));
}

/* ---- Runtimes ---------------------------------------------------------------------------------------------------- */

static inline faas_runtime *open_runtime(const faas_runtime_config *config)
{
	faas_runtime *runtime = NULL;

	assert_int_equal(FAAS_OK, faas_open(config, &runtime));
	return runtime;
}

/* Closes, however often that takes: handlers that still run are on their way out. */
static inline void close_runtime(faas_runtime *runtime, int64_t grace_ms)
{
	int code;

	while ((code = faas_close(runtime, grace_ms, 0)) == FAAS_EBUSY)
		sched_yield();
	assert_int_equal(FAAS_OK, code);
}

static inline faas_function *find_function(faas_runtime *runtime, const char *name)
{
	faas_function *function = NULL;

	assert_int_equal(FAAS_OK, faas_function_find(runtime, name, &function));
	return function;
}

static inline uint64_t settled_of(const struct faas_function_stats *stats)
{
	return stats->succeeded + stats->failed + stats->timed_out + stats->expired + stats->cancelled + stats->dropped;
}

/* Keeps the processor for a random while, up to microseconds. */
static inline void dawdle(uint64_t *seed)
{
	uint64_t turns = random_below(seed, 200);

	for (volatile uint64_t i = 0; i < turns; i++)
		continue;
	if (turns % 16 == 0)
		sched_yield();
}

/* ---- Watching ---------------------------------------------------------------------------------------------------- */

/* Reads the numbers again and again while others work: gauges are never negative, counters never fall. */
struct watch {
	faas_runtime *runtime;
	faas_function *const *functions; /* handles; may be none */
	int count;
	struct findings *findings;
	atomic_int is_over;
	struct faas_function_stats last[16];
	struct faas_runtime_stats last_total;
};

struct watched_counter {
	size_t offset;
	const char *name;
};

#define WATCHED(field)                                      \
	{                                                       \
		offsetof(struct faas_function_stats, field), #field \
	}

static inline uint64_t field_of(const void *stats, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)stats + offset, sizeof(value));
	return value;
}

static inline void watch_counters(struct findings *findings, const char *name, const struct faas_function_stats *last,
                                  const struct faas_function_stats *now)
{
	static const struct watched_counter counters[] = {
		WATCHED(offered),           WATCHED(accepted),       WATCHED(rejected),         WATCHED(rejected_full),
		WATCHED(rejected_closed),   WATCHED(rejected_other), WATCHED(succeeded),        WATCHED(failed),
		WATCHED(timed_out),         WATCHED(expired),        WATCHED(cancelled),        WATCHED(dropped),
		WATCHED(overruns),          WATCHED(workers_peak),   WATCHED(cold_starts),      WATCHED(warm_starts),
		WATCHED(init_failures),     WATCHED(init_ns),        WATCHED(retired_idle),     WATCHED(retired_overrun),
		WATCHED(requests),          WATCHED(billed_ms),      WATCHED(queue_time.count), WATCHED(queue_time.sum_ns),
		WATCHED(queue_time.max_ns), WATCHED(run_time.count), WATCHED(run_time.sum_ns),  WATCHED(run_time.max_ns),
		WATCHED(retries),           WATCHED(deferrals),      WATCHED(records),          WATCHED(records_refused),
		WATCHED(dead_letters_added), WATCHED(dead_letters_lost), WATCHED(dead_letters_redriven),
		WATCHED(rejected_runtime_full), WATCHED(rejected_throttled),
	};

	for (size_t i = 0; i < COUNT_OF(counters); i++) {
		uint64_t before = field_of(last, counters[i].offset), after = field_of(now, counters[i].offset);

		if (after < before)
			find(findings, "%s: %s fell from %llu to %llu", name, counters[i].name, (unsigned long long)before,
			     (unsigned long long)after);
	}
}

static inline void watch_gauges(struct findings *findings, const char *name, const struct faas_function_stats *now)
{
	static const struct watched_counter gauges[] = {
		WATCHED(queued),   WATCHED(delayed), WATCHED(running), WATCHED(deferred), WATCHED(overrunning),
		WATCHED(starting), WATCHED(busy),    WATCHED(warm),    WATCHED(queued_bytes), WATCHED(dead_letters),
	};

	for (size_t i = 0; i < COUNT_OF(gauges); i++)
		if (field_of(now, gauges[i].offset) >> 40 != 0)
			find(findings, "%s: %s is negative", name, gauges[i].name);
	if (now->offered != now->accepted + now->rejected)
		find(findings, "%s: offered is not accepted + rejected", name);
	if (now->accepted != now->queued + now->delayed + now->running + now->deferred + settled_of(now))
		find(findings, "%s: accepted is not queued + delayed + running + deferred + settled", name);
	if (now->starting + now->busy + now->warm > now->workers_peak)
		find(findings, "%s: more workers than at their peak", name);
	if (now->overrunning > now->overruns)
		find(findings, "%s: more overruns now than ever", name);
	if (now->run_time.p50_ns > now->run_time.p99_ns || now->run_time.p99_ns > now->run_time.max_ns)
		find(findings, "%s: percentiles of run times are out of order", name);
}

static inline void watch_once(struct watch *watch)
{
	struct faas_runtime_stats total = {.struct_size = sizeof(total)};

	for (int i = 0; i < watch->count; i++) {
		struct faas_function_stats stats = {.struct_size = sizeof(stats)};
		const char *name = faas_function_name(watch->functions[i]);

		if (faas_function_stats(watch->functions[i], &stats) != FAAS_OK)
			find(watch->findings, "%s: no stats", name);
		watch_gauges(watch->findings, name, &stats);
		watch_counters(watch->findings, name, &watch->last[i], &stats);
		watch->last[i] = stats;
	}
	if (faas_runtime_stats(watch->runtime, &total) != FAAS_OK)
		find(watch->findings, "no stats of the runtime");
	watch_gauges(watch->findings, "total", &total.total);
	watch_counters(watch->findings, "total", &watch->last_total.total, &total.total);
	if (total.emitted < watch->last_total.emitted || total.unmatched < watch->last_total.unmatched)
		find(watch->findings, "emitted fell from %llu to %llu", (unsigned long long)watch->last_total.emitted,
		     (unsigned long long)total.emitted);
	if (total.threads_started < watch->last_total.threads_started ||
	    total.threads_peak < watch->last_total.threads_peak)
		find(watch->findings, "threads_started or threads_peak fell");
	watch->last_total = total;
}

static inline void watch_init(struct watch *watch, faas_runtime *runtime, faas_function *const *functions, int count,
                              struct findings *findings)
{
	memset(watch, 0, sizeof(*watch));
	assert_in_range(count, 0, (int)COUNT_OF(watch->last));
	watch->runtime = runtime;
	watch->functions = functions;
	watch->count = count;
	watch->findings = findings;
}

/* For a crowd of its own, until is_over is set. */
static inline void watch_main(void *arg)
{
	struct watch *watch = arg;

	while (!atomic_load(&watch->is_over)) {
		watch_once(watch);
		sched_yield();
	}
	watch_once(watch);
}

/* ---- A whole scenario -------------------------------------------------------------------------------------------- */

/* Those who act, and those who go on beside them until all is over, the watch among them. */
struct play {
	struct crowd actors, others;
	struct watch watch;
};

/* `functions` are watched, and must last as long as the play. Then crowd_add fills the crowds. */
static inline void play_init(struct play *play, faas_runtime *runtime, faas_function *const *functions, int count,
                             struct findings *findings)
{
	watch_init(&play->watch, runtime, functions, count, findings);
	crowd_init(&play->actors);
	crowd_init(&play->others);
	crowd_add(&play->others, watch_main, &play->watch);
}

/* Until the actors are through and everything they began is settled. */
static inline void play_perform(struct play *play)
{
	crowd_start(&play->others);
	crowd_start(&play->actors);
	crowd_join(&play->actors);
	assert_int_equal(FAAS_OK, faas_drain(play->watch.runtime, FAAS_NEVER));
}

/* Tells the others that it is over. What overran is settled by now, but may still be on its way out. */
static inline void play_end(struct play *play, atomic_int *is_over)
{
	for (int i = 0; i < play->watch.count; i++) {
		struct faas_function_stats stats;

		do {
			sched_yield();
			stats = stats_of(play->watch.functions[i]);
		} while (stats.overrunning + stats.starting + stats.busy > 0);
	}
	atomic_store(is_over, 1);
	atomic_store(&play->watch.is_over, 1);
	crowd_join(&play->others);
	check_findings(play->watch.findings);
}

#endif
