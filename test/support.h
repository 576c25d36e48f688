/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the public API share. They use include/faas.h and cmocka only.
 *
 *     memory   an allocator that counts, checks what is given back, and refuses the n-th allocation
 *     bed      a runtime in manual mode with a manual clock and such an allocator
 *     record   a handler that writes down what it was called with, in order
 *     gate     parks handlers at a known line, for tests with threads
 *     random   numbers from a seed that is printed and can be given back
 *
 * cmocka keeps its state per thread, so helpers that assert are for the main thread: bed_..., memory_check_empty. All
 * others may be called from handlers, on any thread; what must never happen there ends the process with a message.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <faas.h>

/* FAAS_FUNCTION for scenarios that are not about retries: an event is attempted once. */
#define ONCE(...)                                                                                                      \
	(&(faas_function_config){.struct_size = sizeof(faas_function_config), .attempts = 1, __VA_ARGS__})

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/*
 * An allocator. Each block is filled with junk and followed by its size and alignment, which `free` must repeat. From
 * allocation number `fail_from` on (counted from 0 by `calls`), `fail_count` of them are refused.
 */
struct memory {
	faas_allocator_config config; /* give &config to what is tested */
	pthread_mutex_t mutex;
	/* under mutex; a test that has the runtime to itself may read them without */
	int64_t calls;     /* allocations asked for */
	int64_t refused;   /* of them, those refused by fail_from */
	int64_t fail_from; /* -1: none */
	int64_t fail_count;
	int64_t blocks; /* held now */
	int64_t bytes;  /* held now */
};

void memory_init(struct memory *memory);

/* The n-th allocation from now on (0: the very next) and the `count` - 1 after it are refused; -1: none is. */
void memory_fail(struct memory *memory, int64_t n, int64_t count);

/* Whether memory_fail has refused an allocation since it was called. */
int memory_has_failed(struct memory *memory);

struct bed;

/*
 * `act` with allocation number n of the bed's refused. If it fails with FAAS_ENOMEM, which it must not if it `gets_by`, it
 * has changed nothing but the count of what was refused, and it is called again; at last it succeeds. Whether there was
 * an allocation n.
 */
int bed_refuse(struct bed *bed, int64_t n, int gets_by, int (*act)(void *arg), void *arg);

/* Refuses allocation after allocation: `try_one` says whether there was one of this number. */
void refuse_each(const char *name, int (*try_one)(const void *scenario, int64_t n), const void *scenario);

/* Asserts that everything was given back, and frees what the allocator itself holds. */
void memory_check_empty(struct memory *memory);

/* ---- A runtime in manual mode ------------------------------------------------------------------------------------ */

#define BED_UNIX_NS INT64_C(1700000000000000000) /* what the calendar says when a bed's clock stands at 0 */
#define MS INT64_C(1000000)

struct bed {
	struct memory memory;
	faas_clock *clock;
	faas_runtime *runtime;
};

/* Opens a runtime: `config` (NULL: all defaults) with threads = FAAS_NONE and the bed's own clock and allocator. */
void bed_open(struct bed *bed, const faas_runtime_config *config);

/*
 * Checks the accounts, closes without grace, gives the clock back, and asserts that no memory is left. A test that
 * closed the runtime itself sets `runtime` to NULL; one that keeps handles gives them back first. Closing runs what can
 * run: what handlers use must still be there, so a test whose handlers use its stack ends with bed_run.
 */
void bed_close(struct bed *bed);

void bed_register(struct bed *bed, const char *name, const faas_function_config *config);
uint64_t bed_bind(struct bed *bed, const char *pattern, const char *function);

/* Emits an event whose data is a text (without its NUL). The result is faas_emit_event's. */
int bed_emit(struct bed *bed, const char *type, const char *text);

/*
 * Emits an event, invokes the function "f" with it, and makes it without a runtime (unless it has `flags` or `wait_ms`):
 * all say `code`, and if that is an error, nothing has changed. Only "f" is bound, to everything.
 */
void bed_check_event(struct bed *bed, const faas_event_config *config, int code);

/* Moves time. Runs nothing. */
void bed_advance_ms(struct bed *bed, int64_t duration_ms);

/* Runs until nothing is runnable. Returns the number of steps. */
int bed_run(struct bed *bed);

/* When something is due, in ns from now, as faas_next_due. */
int64_t bed_next_due(struct bed *bed);

/* Snapshots, with their accounts checked. */
struct faas_function_stats bed_stats(struct bed *bed, const char *function);
struct faas_runtime_stats bed_totals(struct bed *bed);
struct faas_function_stats stats_of(const faas_function *function);
struct faas_runtime_stats totals_of(faas_runtime *runtime);

/* The snapshots of these functions, as far as they are registered, and of the runtime: only that their accounts hold. */
void bed_check_accounts(struct bed *bed, const char *const *functions, int count);

/* Asserts what must hold at every moment: offered = accepted + rejected, and so on. */
void check_accounts(const struct faas_function_stats *stats);

/* ---- A handler that writes down what it is called with ----------------------------------------------------------- */

#define RECORD_MAX 1024

struct record_call {
	char function[FAAS_MAX_NAME + 1];
	char type[64]; /* cut off if longer */
	char data[64]; /* likewise */
	uint64_t bytes;
	int attempt, is_cold;
};

struct record {
	pthread_mutex_t mutex;
	pthread_cond_t more;
	int result; /* what record_handler returns; fixed before the first call */
	/* under mutex; a test may read them once it knows that no handler runs */
	int count; /* of all calls, those that did not fit included */
	struct record_call calls[RECORD_MAX];
};

void record_init(struct record *record);
void record_deinit(struct record *record);

/* A handler: the function's `user` is the record. */
int record_handler(faas_context *context, const faas_event *event);

/* A handler that does nothing and succeeds; it needs no `user`. */
int nothing_handler(faas_context *context, const faas_event *event);

/* For handlers that do more: writes down one call. */
void record_call(struct record *record, faas_context *context, const faas_event *event);

/* Waits until there have been `count` calls. */
void record_await(struct record *record, int count);

/* The data of all calls, joined with one blank: "a b c". Valid until the next call on this thread. */
const char *record_texts(struct record *record);

/* The functions called, joined likewise. */
const char *record_functions(struct record *record);

/* ---- A gate that handlers wait at -------------------------------------------------------------------------------- */

struct gate {
	pthread_mutex_t mutex;
	pthread_cond_t moved;
	int arrived; /* under mutex: so many have come to the gate */
	int passes;  /* under mutex: so many more may pass */
	int is_open; /* under mutex: all may pass */
};

void gate_init(struct gate *gate);
void gate_deinit(struct gate *gate);

/* In a handler: says that it is there, and waits until it may pass. */
void gate_pass(struct gate *gate);

/* A handler whose `user` is the gate. */
int gate_handler(faas_context *context, const faas_event *event);

/* Waits until `count` in all have arrived. */
void gate_await(struct gate *gate, int count);

/* Lets `count` more through, or all from now on. */
void gate_let(struct gate *gate, int count);
void gate_open(struct gate *gate);

/* ---- Real time --------------------------------------------------------------------------------------------------- */

/* For tests with threads that are about time. None of them may fail because something took longer than usual. */
int64_t monotonic_ns(void);

/* Is busy until at least so much time has passed. */
void spend_ns(int64_t duration_ns);

/* ---- Random numbers ---------------------------------------------------------------------------------------------- */

/* The seed of a random test: FAAS_TEST_SEED, or a new one. Printed, so that a failure can be repeated. */
uint64_t random_seed(const char *test);

/* The next number, at least 0 and less than `bound`. */
uint64_t random_below(uint64_t *seed, uint64_t bound);

/* ---- What every test does ---------------------------------------------------------------------------------------- */

/* A setup that opens a bed with the defaults as *state, and its teardown. */
int bed_setup(void **state);
int bed_teardown(void **state);

#define BED_TEST(function) cmocka_unit_test_setup_teardown(function, bed_setup, bed_teardown)

#endif
