/* SPDX-License-Identifier: MIT */
/*
 * A model of one function's accounts, in the simplest terms: a list of queued events and counters. A random test tells
 * it what it does and what it sees, and compares the library's numbers with the model's.
 *
 * Events are numbers. What the model finds wrong, it keeps until the test asks: much of it is seen inside of handlers,
 * where nothing may be asserted.
 */
#ifndef TEST_SUPPORT_MODEL_H
#define TEST_SUPPORT_MODEL_H

#include "support_run.h"

#define MODEL_QUEUE_MAX 8
#define MODEL_EVENTS_MAX 8000
#define NOBODY (-1)

enum model_end { SUCCEEDED, FAILED, TIMED_OUT, EXPIRED, CANCELLED, DROPPED, MODEL_ENDS };

struct model {
	struct model *next;
	faas_function *handle; /* counted */
	int slot;              /* the test's own number for it */
	int is_registered;
	/* as configured */
	int max_queue, is_dropping, max_concurrency, provisioned;
	int64_t deadline_ns; /* of handlers and inits */
	/* what goes on */
	int queue[MODEL_QUEUE_MAX]; /* the oldest first */
	int queued;
	int claimed; /* the event a handler on this thread waits for, or NOBODY */
	int running;
	/* what has happened */
	int releases;
	uint64_t accepted, rejected_full, rejected_closed, ends[MODEL_ENDS];
	uint64_t started, inits, init_failures, starts, finis, overruns;
	uint64_t requests, billed_ms;
	int64_t init_ns, run_ns, run_max_ns;
	int outcomes[MODEL_EVENTS_MAX]; /* by event; FAAS_EPENDING until it has ended */
};

/* What was found wrong first; NULL: nothing. */
extern const char *model_complaint;
void model_complain(int is_wrong, const char *what);

/* A model of a function that will be registered. */
struct model *model_new(void);
void model_free(struct model *model);

/* Offers one event. What the library must say of it: FAAS_OK, FAAS_EFULL or FAAS_ENOTFOUND. */
int model_admit(struct model *model, int number);

/* The place of an event in the queue, or NOBODY. */
int model_find(const struct model *model, int number);

/* Ends a queued event by its place. */
void model_end_queued(struct model *model, int at, enum model_end end, int outcome);

void model_unregistered(struct model *model);

/* Fills in the limits of the function. */
void model_configure(const struct model *model, faas_function_config *config);

/* An init has taken so long and returned `result`. It is for the event that is claimed, or else for the oldest. */
void model_init_ended(struct model *model, int64_t took_ns, int result);

/* A handler begins with an event, and ends. */
void model_begin(struct model *model, int number);
void model_end(struct model *model, int number, int64_t run_ns, int result);

/* Asserts that the function's numbers are the model's, while nothing runs. */
void model_check(const struct model *model);

/* Asserts that the runtime's totals are the sums over all models from this one on. */
void model_check_totals(const struct model *models, faas_runtime *runtime);

#endif
