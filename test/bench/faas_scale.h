/* SPDX-License-Identifier: MIT */
/*
 * How libfaas alone behaves as things grow; see faas_scale.c for the workloads. Everything goes through the public API,
 * with the defaults.
 */
#ifndef FAAS_SCALE_H
#define FAAS_SCALE_H

#include "bench.h"

#include <faas.h>

#define PAYLOAD_BYTES 64

/* Ends the program on a negative code, which it returns otherwise. */
int scale_must(const char *what, int code);

/* A runtime with the defaults, warmed up: its threads run. */
faas_runtime *scale_open(void);

/* Waits for all work, compares what the runtime counted with what it was given, and closes it. */
void scale_close(faas_runtime *runtime, int64_t events);

/* Registers a function with that handler and binds it to that pattern. */
void scale_add(faas_runtime *runtime, const char *name, const char *pattern, faas_handler_fn *handler);

/* Emits an event of that type with 64 bytes, waiting for room; it must go to `functions` functions. */
void scale_emit(faas_runtime *runtime, const char *type, int functions);

/* Counts itself at the latch. */
int scale_count(faas_context *context, const faas_event *event);

/*
 * What emitting some events cost, for each function reached. Emitting: in processor time of the thread that does it. By the
 * clock, where cores are few, it is 40 ns at one time and 80 at another: as long as it takes, or twice that, as the system lets
 * the pool's second thread run on the emitter's core meanwhile or not.
 */
struct scale_cost {
	double emit_ns; /* of its processor, in the calls that emit */
	double all_ns;  /* by the clock, until all had run */
};

/* Emits `events` events, of these types in turn, each of which reaches `functions` functions. */
struct scale_cost scale_measure(faas_runtime *runtime, char *const *types, int64_t type_count, int64_t events,
                                int functions);

void scale_inline(int64_t n);
void scale_functions(int64_t n);
void scale_bindings(int64_t n);
void scale_queued(int64_t n);
void scale_payload(int64_t bytes);
void scale_neighbour(int64_t n);

#endif
