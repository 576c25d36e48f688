/* SPDX-License-Identifier: MIT */
/*
 * Exact counts. At every moment, per function and in the runtime's totals:
 *
 *     offered  = accepted + rejected
 *     accepted = queued + delayed + running + deferred
 *                + succeeded + failed + timed_out + expired + cancelled + dropped
 *
 * The structs have no typedefs, so that the calls that fill them may bear their names, as with stat().
 *
 * Counters only grow; queued, delayed, running, deferred, overrunning, starting, busy, warm and dead_letters are gauges. Unregistered functions stay
 * in the totals.
 */
#ifndef FAAS_STATS_H
#define FAAS_STATS_H

#include <faas/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A distribution of durations. Percentiles are at most 12.5 % off (times below 256 ns, and from 18 minutes on, are
    only counted as such). */
struct faas_latency_stats {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	uint64_t p999_ns;
};

/** What happened to one function so far. */
struct faas_function_stats {
	uint32_t struct_size;
	uint32_t reserved;
	/* events */
	uint64_t offered;
	uint64_t accepted;
	uint64_t rejected;           /* the sum of the next five */
	uint64_t rejected_full;      /* FAAS_EFULL */
	uint64_t rejected_runtime_full; /* FAAS_ERUNTIMEFULL */
	uint64_t rejected_closed;    /* FAAS_ECLOSED, or unregistered meanwhile */
	uint64_t rejected_throttled; /* FAAS_ETHROTTLED */
	uint64_t rejected_other;     /* FAAS_ENOMEM, FAAS_EREFUSED, FAAS_EDEADLK, FAAS_ELOOP of a destination */
	uint64_t queued;             /* gauge */
	uint64_t delayed;            /* gauge: between two attempts */
	uint64_t running;            /* gauge: init or handler runs, not settled */
	uint64_t deferred;           /* gauge: to be completed */
	uint64_t succeeded;
	uint64_t failed;             /* init failures included */
	uint64_t timed_out;
	uint64_t expired;
	uint64_t cancelled;
	uint64_t dropped;
	uint64_t overrunning;        /* gauge: settled, but the handler or init still runs */
	uint64_t overruns;           /* how often that happened */
	uint64_t queued_bytes;       /* gauge: memory of queued and delayed events */
	uint64_t retries;            /* delays begun */
	uint64_t deferrals;          /* attempts deferred */
	uint64_t dead_letters;       /* gauge */
	uint64_t dead_letters_added;
	uint64_t dead_letters_redriven;
	uint64_t dead_letters_lost;  /* pushed out by newer ones, or gone with the function */
	uint64_t records;            /* of destinations, passed on */
	uint64_t records_refused;    /* that the destination refused, or that there was none */
	/* workers */
	uint64_t starting;           /* gauge: init runs */
	uint64_t busy;               /* gauge: taken to run handlers */
	uint64_t warm;               /* gauge */
	uint64_t workers_peak;       /* most workers at any time */
	uint64_t cold_starts;        /* attempts that began with an init, and provisioned starts */
	uint64_t warm_starts;        /* attempts on a warm worker */
	uint64_t provisioned_starts; /* of the cold starts, those ahead of need */
	uint64_t warm_target;        /* gauge: workers that provisioned and FAAS_WARM_DEMAND ask for */
	uint64_t init_failures;
	uint64_t init_ns;            /* all inits together */
	uint64_t retired_idle;       /* workers retired because they idled longer than keep_warm_ms */
	uint64_t retired_surplus;    /* because FAAS_WARM_DEMAND asks for fewer */
	uint64_t retired_overrun;    /* because a handler or init overran on them */
	uint64_t retired_unregistered; /* because their function was unregistered */
	uint64_t retired_closed;     /* because the runtime was closed */
	/* the bill */
	uint64_t requests;           /* handlers that ended, overruns at their deadline, deferred ones when they return */
	uint64_t billed_ms;          /* their run times, each rounded up to 1 ms */
	struct faas_latency_stats queue_time; /* from acceptance, or the end of a delay, until a worker took it */
	struct faas_latency_stats run_time;
};

/** What happened in one runtime so far. */
struct faas_runtime_stats {
	uint32_t struct_size;
	uint32_t reserved;
	uint64_t functions;          /* gauge: registered now */
	uint64_t bindings;           /* gauge */
	uint64_t emitted;            /* events that were valid and open to take */
	uint64_t unmatched;          /* of them, those that matched nothing */
	uint64_t queued_events;      /* gauge against queue_events, with what stripes hold leased */
	uint64_t queued_bytes;       /* gauge against queue_bytes, likewise */
	uint64_t threads;            /* gauge: pool threads */
	uint64_t threads_idle;       /* gauge: of them, parked or looking around */
	uint64_t threads_peak;
	uint64_t threads_started;
	uint64_t thread_failures;    /* threads that could not be made */
	struct faas_function_stats total;   /* the sums over all functions, past ones included; workers_peak is a sum too */
};

/** One handler or init that still runs after its deadline or cancellation. */
struct faas_overrun_stats {
	uint32_t struct_size;
	int32_t is_init;
	int64_t running_ns;          /* since it began */
	char function[72];
};

/* These calls bear their struct's names, as stat() does, and compilers warn of that in C++. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/**
 * A function's numbers, exact at one moment.
 *
 * Threads:  any, anywhere; also after the function was unregistered or the runtime closed
 * Blocks:   no
 * Owns:     `struct_size` is set by the caller
 * Units:    as said in faas_function_stats
 * Returns:  FAAS_OK; FAAS_EINVAL
 */
FAAS_API int faas_function_stats(const faas_function *function, struct faas_function_stats *ret_stats);

/**
 * The runtime's numbers: each function's are exact at one moment, not all at the same one.
 *
 * Threads:  any, anywhere
 * Blocks:   no; costs time in proportion to the number of functions
 * Owns:     `struct_size` is set by the caller
 * Units:    as said in faas_runtime_stats
 * Returns:  FAAS_OK; FAAS_EINVAL
 */
FAAS_API int faas_runtime_stats(faas_runtime *runtime, struct faas_runtime_stats *ret_stats);

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/**
 * Lists handlers and inits that still run after their deadline or cancellation.
 *
 * Threads:  any, anywhere
 * Blocks:   no
 * Owns:     `stats` is the caller's array of `count`; each element's `struct_size` is set by the caller
 * Units:    `count`: elements
 * Returns:  how many there are, which may be more than `count`; FAAS_EINVAL
 */
FAAS_API int faas_runtime_overruns(faas_runtime *runtime, struct faas_overrun_stats *stats, int count);

#ifdef __cplusplus
}
#endif

#endif
