/* SPDX-License-Identifier: MIT */
/*
 * What the tests of running functions share, besides support.h.
 *
 *     job      an event whose data tells job_handler what to do: some code, let time pass, reply, fail
 *     life     counts what is called of a function, and notices what is called twice or out of place
 *     stage    a bed and a life: tests register functions on it and give them jobs
 *
 * In manual mode handlers run on the main thread, but an assert that jumps out of one would leave the runtime inside
 * it. So what runs inside of handlers writes down what it sees, and the test asserts afterwards.
 */
#ifndef TEST_SUPPORT_RUN_H
#define TEST_SUPPORT_RUN_H

#include "support.h"

/* ---- A function's life ------------------------------------------------------------------------------------------- */

/* The `user` of a function. Its workers have numbers from 1, in the order of their inits. */
struct life {
	faas_clock *clock;
	/* what inits do */
	int64_t init_takes_ns;
	int init_fails;        /* so many more inits fail, with the result 7 */
	const char *init_says; /* why; NULL: nothing */
	void (*in_init)(faas_context *context, void *arg);
	void (*in_fini)(void *arg);
	void (*in_release)(void *arg);
	void *arg;
	/* what was called */
	int registered; /* registrations that succeeded */
	int inits;      /* that succeeded */
	int failures;   /* that failed */
	int finis;
	int releases;
	int runs;
	int last_run;     /* number of the worker that ran last; 0: one without init */
	int last_retired; /* likewise, of the fini that was called last */
	int mistakes;     /* calls that must not have come */
};

int life_init(faas_context *context, void **ret_state);
void life_fini(void *state, void *user);
void life_release(void *user);

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

struct job {
	void (*does)(faas_context *context, void *arg); /* first; NULL: nothing */
	void *arg;
	int64_t takes_ns;
	const char *reply; /* NULL: no reply */
	const char *says;  /* why it fails; NULL: see result */
	int result;
};

/* An event for faas_invoke and its kin, or of a type. It is copied, so it may be as short-lived as a literal. */
#define JOB(...) FAAS_EVENT(.data = &(struct job){__VA_ARGS__}, .data_bytes = sizeof(struct job))
#define JOB_OF(name, ...) \
	FAAS_EVENT(.type = (name), .data = &(struct job){__VA_ARGS__}, .data_bytes = sizeof(struct job))

/* Does the job in the event, or nothing if there is none. The function's `user` is a life. */
int job_handler(faas_context *context, const faas_event *event);

/* ---- Stages ------------------------------------------------------------------------------------------------------ */

struct stage {
	struct bed bed;
	struct life life;
};

void stage_open(struct stage *stage, const faas_runtime_config *config);

/* Closes, and asserts that what began has ended exactly once. */
void stage_close(struct stage *stage);

int stage_setup(void **state);
int stage_teardown(void **state);

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, stage_setup, stage_teardown)

/*
 * Registers a function. Where `config` (NULL: all defaults) names no handler, it is job_handler; where it names no
 * user, init, fini and release are those of the stage's life.
 */
void stage_register(struct stage *stage, const char *name, const faas_function_config *config);

/* faas_invoke without a timeout. */
int stage_invoke(struct stage *stage, const char *name, const faas_event_config *event);

/* The same, where it must be accepted; the caller gets the invocation. */
faas_invocation *stage_settle(struct stage *stage, const char *name, const faas_event_config *event);

/* faas_invoke_async, which must succeed; the caller gets the invocation. */
faas_invocation *stage_start(struct stage *stage, const char *name, const faas_event_config *event);

/* faas_invoke_async without a handle, which must succeed. */
void stage_queue(struct stage *stage, const char *name, const faas_event_config *event);

void stage_advance_ns(struct stage *stage, int64_t ns);
int64_t stage_now(const struct stage *stage);

/* How long a settled invocation took. */
struct faas_timing_stats timing_of(const faas_invocation *invocation);

/* A function's numbers, from inside of handlers and callbacks: nothing is asserted. All zero: no such function. */
struct faas_function_stats peek(faas_runtime *runtime, const char *name);

/* For `does`: stores what it sees in *arg, a struct faas_function_stats of the function that runs. */
void peek_at_self(faas_context *context, void *arg);

#endif
