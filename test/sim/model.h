/* SPDX-License-Identifier: MIT */
/*
 * The model: what the public headers promise, in the plainest code that does it, for one thread and a manual clock. It
 * knows nothing of the library's insides, but for how much memory an event counts as: it asks the library (size.c), once
 * for each kind of event, and knows that one which several functions take, or which a filter was asked about, is held
 * in another way than one that a single function has to itself.
 *
 * The simulator tells it what it does (emit, cancel, time passes) and gets the expected answer, then asks the library.
 * Which function gets a turn, and which of several possible steps comes first, is not promised: there the library tells
 * the model by calling a handler, an init, a fini or a callback, and the model says whether that was allowed.
 *
 *     model_route.c    which functions an event goes to
 *     model_queue.c    who takes it: bounds, dropping, all or none
 *     model_attempt.c  init and handler, their ends, deadlines
 *     model_worker.c   workers: warm, retired, ahead of need; what could run now, and when the next thing is due
 *     model_settle.c   outcomes and counts
 *
 * To come, each in a file of its own: a delayed queue of retries beside `queue` (its load counts there), destinations
 * from model_settle, keys as a rule on which queued invocation may begin, rates as one more reason not to begin.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <faas.h>

#define MS INT64_C(1000000)
#define NEVER INT64_MAX
#define NAMES 5              /* functions at once */
#define BINDINGS 24          /* bindings at once */
#define DEPTH (FAAS_MAX_DEPTH + 1)

enum phase { PHASE_OPEN, PHASE_DRAINING, PHASE_CLOSING };

/* Where a callback stands: those that a passing deadline causes come as steps of their own, others at once. */
enum call { CALL_NONE, CALL_ASKED, CALL_DUE_NOW, CALL_DUE_LATER, CALL_DONE };

/* What was emitted or invoked with. The last three decide what its handlers do. */
struct model_event {
	int number;
	int type;       /* of event_types; -1: an invoke without one */
	int subject;    /* 0: none */
	int attribute;  /* the extension `n`; 0: none, else its value + 1 */
	int payload;    /* bytes */
	int hops;
	int64_t at;     /* ns */
	uint64_t script;
	uint32_t plain;
	int relay;      /* handlers only pass it on: 1 by invoke_async, 2 by invoke */
};

struct model_worker {
	int number;         /* the state its init made; 0: none */
	int64_t idle_since;
	struct model_worker *below; /* in its function's stack of warm ones */
};

struct model_function {
	struct model_function *next; /* by registration */
	struct model *model;
	/* fixed */
	int name;
	int generation;      /* how many functions were registered before */
	bool has_init, has_fini, has_release, is_inline, drops_oldest;
	int64_t deadline, init_deadline, backoff, keep_warm; /* ns; NEVER */
	uint64_t max_events, max_bytes;
	int64_t max_concurrency;
	uint32_t provisioned;
	struct { uint64_t seed; uint32_t plain; } script; /* of its inits */
	/* changing */
	bool is_open, is_closing;
	struct model_invocation *queue, *queue_last;
	uint64_t queued, queued_bytes;
	struct model_worker *warm; /* the one used last on top */
	uint64_t warm_count, starting, busy;
	int64_t active;          /* slots held, overruns included */
	bool is_paused;
	int64_t paused_until, provision_after;
	int init_failed;         /* in a row */
	struct model_worker *finis_due; /* given up on; their fini comes before the call that caused it ends */
	int inits, released;
	struct faas_function_stats stats; /* counters only; gauges are filled in by model_function_stats */
	faas_function *real;
};

struct model_invocation {
	struct model_invocation *next; /* in the queue */
	struct model_function *function;
	struct model_emission *emission;
	const struct model_event *event;
	uint64_t bytes;
	int64_t caller_deadline;
	int status, code, handler_result;
	int is_cold, attempts;
	int64_t queued_ns, init_ns, run_ns;
	int answer, message;     /* what the script said: 0: nothing */
	enum call call;
};

/* One emission that the host asked for. */
struct model_emission {
	struct model *model;
	int count, pending;
	enum call call;
	struct {
		struct model_function *function;
		struct model_invocation *invocation;
		int code;
	} entries[NAMES];
};

struct model_attempt {
	struct model_function *function;
	struct model_invocation *invocation; /* NULL: ahead of need */
	struct model_worker *worker;
	bool is_cold, is_init, is_given_up;
	bool awaits_handler;     /* its init is over, its handler has not been called */
	int64_t started, deadline, queued_ns, init_ns;
	int answer, message;     /* so far */
};

struct model_binding {
	uint64_t id;             /* 0: a free place */
	struct model_function *function;
	int pattern, filter;
	uint64_t passed, stopped, errors;
};

struct model {
	int64_t now;
	enum phase phase;
	uint64_t max_events, max_bytes; /* UINT64_MAX: unlimited */
	uint64_t queued_events, queued_bytes;
	uint64_t emitted, unmatched;
	struct model_function *functions; /* all there ever were */
	struct model_function *names[NAMES]; /* registered now */
	int function_count;
	struct model_binding bindings[BINDINGS];
	struct model_attempt stack[DEPTH + 1];
	int depth;
	struct model_invocation *target;  /* what the next attempt must be of, because somebody waits for it; NULL: any */
	int due_now, due_later;           /* callbacks */
	int64_t steps;                    /* of faas_run, so far */
	void *arena;
};

/* Memory until model_deinit. */
void *model_alloc(struct model *model, size_t bytes);
void model_deinit(struct model *model);

/* ---- model_route.c ------------------------------------------------------------------------------------------------ */

extern const char *const event_types[];
extern const int event_type_count;
extern const char *const event_subjects[];
extern const int event_subject_count;
extern const char *const binding_patterns[];
extern const int binding_pattern_count;
extern const char *const binding_filters[];
extern const int binding_filter_count;

/* The functions it goes to, by registration. Counts what filters did. `*ret_was_filtered`: a filter was asked. */
int model_route(struct model *model, const struct model_event *event, struct model_function *matches[NAMES],
                bool *ret_was_filtered);

/* ---- model_queue.c ------------------------------------------------------------------------------------------------ */

/* The code with which intake is refused now; `is_inside`: from a handler or callback. */
int model_intake(const struct model *model, bool is_inside);

void model_count_rejected(struct model_function *function, int code);

/* Offers an invocation: queued, or the refusal, which is counted. */
int model_offer(struct model_invocation *invocation);

/* All or none. Fills codes; returns FAAS_OK or why. */
int model_offer_all(struct model_invocation **invocations, int count, int *codes);

void model_unqueue(struct model_invocation *invocation);
void model_unregister(struct model_function *function, bool is_closing);

/* ---- model_attempt.c ---------------------------------------------------------------------------------------------- */

/* What a wait inside a handler would do with a queued invocation: FAAS_OK: runs it; FAAS_EDEADLK; FAAS_EAGAIN. */
int model_may_nest(const struct model *model, const struct model_invocation *invocation);

/* Whether the waits of what is on the stack are over. */
bool model_waits_are_over(const struct model *model);

/* An attempt begins: of `invocation`, or (NULL) a start ahead of need. Complains if it may not. */
struct model_attempt *model_begin(struct model_function *function, struct model_invocation *invocation);
void model_init_ended(struct model_attempt *attempt, int result, int state);
void model_handler_ended(struct model_attempt *attempt, int result);

/* A start ahead of need of a function without init: all of it. */
void model_provisioned(struct model_function *function);

/* Cancels, queued or running. FAAS_OK, or FAAS_ESTATE: it was settled. */
int model_cancel(struct model_invocation *invocation);

/* Time passes, deadlines too. */
void model_advance(struct model *model, int64_t duration);

/* ---- model_worker.c ----------------------------------------------------------------------------------------------- */

bool model_may_begin(const struct model_function *function);
bool model_wants_provisioned(const struct model_function *function);
struct model_worker *model_pop_warm(struct model_function *function);
void model_put_warm(struct model_function *function, struct model_worker *worker);
uint64_t model_present(const struct model_function *function);
void model_raise_peak(struct model_function *function);

/* A worker was undone: NULL: nobody told which. Complains if none may be. `ret_was_step`: by a step of its own. */
void model_retired(struct model_function *function, int state, bool *ret_was_step);

/* Whether faas_run could do anything. */
bool model_is_runnable(const struct model *model);

/* Time until the next thing is due: 0: runnable; FAAS_NEVER. */
int64_t model_next_due(const struct model *model);

/* Whether release must have been called. */
bool model_is_over(const struct model_function *function);

/* ---- model_settle.c ----------------------------------------------------------------------------------------------- */

enum end { END_SUCCEEDED, END_FAILED, END_TIMED_OUT, END_EXPIRED, END_CANCELLED, END_DROPPED };

/* `by_clock`: a deadline passed, so that callbacks come later. */
void model_settle(struct model_invocation *invocation, enum end end, int code, bool by_clock);
void model_settle_unrun(struct model_invocation *invocation, enum end end);
void model_count_run(struct model_function *function, int64_t queued_ns, int64_t run_ns);
int model_code_of(enum end end);

/* A callback was asked for: true: it comes at once. */
bool model_ask(struct model *model, enum call *call, bool is_settled);
void model_called(struct model *model, enum call *call);

/* The first of an emission's invocations that is not settled; NULL. */
struct model_invocation *model_first_unsettled(const struct model_emission *emission);

void model_function_stats(const struct model_function *function, struct faas_function_stats *ret_stats);
void model_total_stats(const struct model *model, struct faas_function_stats *ret_stats);

#endif
