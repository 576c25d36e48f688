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
 *     model_time.c     time passes: deadlines, delays
 *     model_slot.c     who may have a slot: of the function's own and of the runtime's concurrency
 *     model_worker.c   workers: warm, retired, ahead of need; what could run now, and when the next thing is due
 *     model_key.c      what may begin in an ordered function
 *     model_rate.c     tokens
 *     model_retry.c    what follows a failed attempt
 *     model_expire.c   what is too old
 *     model_defer.c    handlers that have returned and are completed later
 *     model_settle.c   outcomes and counts
 *     model_record.c   what follows a settlement: destinations
 *     model_letter.c   dead letters
 *     model_stats.c    sums
 *
 * Not promised, and nothing that the library would tell in time: which of several things comes first that the clock
 * brings to a function at the very same moment, that expire together in an ordered function, or that expire in several
 * turns of which nobody was told. Where that would show, the run ends there (unsure).
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

enum end { END_SUCCEEDED, END_FAILED, END_TIMED_OUT, END_EXPIRED, END_CANCELLED, END_DROPPED };

/* Where a callback stands: those that a passing deadline causes come as steps of their own, others at once. */
enum call { CALL_NONE, CALL_ASKED, CALL_DUE_NOW, CALL_DUE_LATER, CALL_DONE };

/* What was emitted or invoked with. The last three decide what its handlers do. */
struct model_event {
	int number;
	int type;       /* of event_types; -1: an invoke without one */
	int subject;    /* 0: none */
	int attribute;  /* the extension `n`; 0: none, else its value + 1 */
	int payload;    /* bytes */
	int key;        /* 0: none */
	int timeout;    /* ms; 0: none */
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
	int64_t reserved;
	uint32_t provisioned;
	bool is_ordered;
	int64_t max_attempts, max_age, retry_backoff, retry_backoff_max;
	int64_t rate_interval; /* 0: no limit */
	int64_t rate_ahead;    /* how far a burst may run ahead */
	uint64_t max_letters;
	int on_success, on_failure; /* names; -1: none */
	struct { uint64_t seed; uint32_t plain; } script; /* of its inits */
	/* changing */
	bool is_open, is_closing;
	struct model_invocation *queue, *queue_last;
	struct model_invocation *taken; /* out of the queue, by a turn that first settles what has expired; NULL: none */
	uint64_t queued;
	struct model_invocation *delays; /* the next due first; of those equally due, the one that was delayed first */
	uint64_t delayed;
	uint64_t load_bytes;     /* of what is queued and what is delayed */
	struct model_invocation *unsettled; /* in the order in which they were accepted */
	uint64_t deferred;
	int64_t rate_at;         /* when the bucket will be full again */
	struct model_invocation *letters; /* oldest first */
	uint64_t letter_count, letter_bytes;
	int64_t clock_brought;   /* the last moment at which the clock brought something here, and 1 */
	bool clock_brought_delay;
	struct model_worker *warm; /* the one used last on top */
	uint64_t warm_count, starting, busy;
	int64_t active;          /* slots held, overruns included */
	bool is_paused;
	int64_t paused_until, provision_after;
	int init_failed;         /* in a row */
	struct model_worker *finis_due; /* given up on; their fini comes before the call that caused it ends */
	int inits, released;
	int64_t mark;
	uint64_t expired_ahead;  /* that the library has counted and the model will */
	int blind_init;          /* the state of a worker whose event is not known yet; 0: none */
	struct faas_function_stats stats; /* counters only; gauges are filled in by model_function_stats */
	faas_function *real;
};

struct model_invocation {
	struct model_invocation *next; /* in the queue, among the delayed ones, or among the dead letters */
	struct model_invocation *next_expired;
	int64_t mark;
	struct model_invocation *later; /* accepted after it, and not settled */
	struct model_function *function;
	struct model_emission *emission;
	const struct model_event *event;
	const struct model_invocation *record; /* the invocation that this is the record of; NULL: none */
	bool is_sync;
	bool has_result;         /* somebody can ask */
	uint64_t bytes;
	int hops;
	int64_t accepted, caller_deadline;
	int64_t ready;           /* since when it waits for the attempt that is next */
	int status, code, handler_result;
	int is_cold, attempts;
	int64_t queued_ns, init_ns, run_ns, total_ns;
	int answer, message;     /* what the script said: 0: nothing */
	enum call call;
	/* What follows its settlement comes after its callbacks, and after that of one that was settled just before it. */
	int calls_left;
	bool waits_turn, has_followed;
	struct model_invocation *behind; /* that waits for it */
	bool is_letter;
	struct model_deferral *deferral; /* that keeps it DEFERRED */
};

/* One emission that the host asked for. */
struct model_emission {
	struct model *model;
	int count, pending;
	enum call call;
	struct model_invocation *last; /* whose settlement its callback belongs to */
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
	bool is_permanent;       /* it said that no retry can mend it */
	struct model_deferral *deferral; /* that its handler took; NULL: none */
};

/* What was said of a deferred attempt. */
enum said { SAID_NOTHING, SAID_SUCCEEDED, SAID_FAILED, SAID_FAILED_FOR_GOOD, SAID_ABANDONED };

/* The right to complete an attempt. */
struct model_deferral {
	struct model_deferral *next;   /* of those whose handler has returned */
	struct model_invocation *invocation;
	bool is_open;
	enum said said;
	int answer, message;
	int64_t started, deadline;
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
	int64_t max_concurrency;        /* INT64_MAX: unlimited */
	uint64_t queued_events, queued_bytes;
	uint64_t emitted, unmatched;
	struct model_function *functions; /* all there ever were */
	struct model_function *names[NAMES]; /* registered now */
	int function_count;
	struct model_binding bindings[BINDINGS];
	struct model_attempt stack[DEPTH + 1];
	int depth;
	struct model_deferral *deferrals; /* whose handlers have returned */
	bool is_clock;                    /* what happens now, the clock does */
	bool is_later;                    /* the callbacks of what is settled now are steps of their own */
	struct model_invocation *target;  /* what the next attempt must be of, because somebody waits for it; NULL: any */
	int due_now, due_later;           /* callbacks */
	int64_t steps;                    /* of faas_run, so far */
	int64_t mark;
	void *arena;
};

static inline bool model_is_settled(const struct model_invocation *invocation)
{
	return invocation->status >= FAAS_STATUS_SUCCEEDED;
}

/* How an invocation came to be, as far as its memory goes. */
enum way { WAY_OFFERED, WAY_RECORD, WAY_REDRIVEN };

/* How much memory it counts as in a queue: size.c. */
uint64_t model_bytes(const struct model_function *function, const struct model_event *event, bool has_result,
                     bool is_shared, enum way way);

/* Memory until model_deinit. */
void *model_alloc(struct model *model, size_t bytes);
void model_deinit(struct model *model);

/* ---- model_route.c ----------------------------------------------------------------------------------------------- */

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

/* ---- model_queue.c ----------------------------------------------------------------------------------------------- */

/* The code with which intake is refused now; `is_inside`: from a handler or callback. */
int model_intake(const struct model *model, bool is_inside);

void model_count_rejected(struct model_function *function, int code);

/* Offers an invocation: queued, or the refusal, which is counted. */
int model_offer(struct model_invocation *invocation);

/* It is accepted: now, in the queue or at once to be run. */
void model_accept(struct model_invocation *invocation);

/* To the end of its queue, whether or not there is room. */
void model_enqueue(struct model_invocation *invocation);

/* All or none. Fills codes; returns FAAS_OK or why. */
int model_offer_all(struct model_invocation **invocations, int count, int *codes);

void model_unqueue(struct model_invocation *invocation);
void model_unregister(struct model_function *function, bool is_closing);

/* ---- model_attempt.c --------------------------------------------------------------------------------------------- */

/* What a wait inside a handler would do: FAAS_OK: runs it, or the head of its key; FAAS_EDEADLK; FAAS_EAGAIN. */
int model_may_nest(const struct model *model, struct model_invocation *invocation);

/* Whether an attempt of it that counts is on the stack. */
bool model_is_on_stack(const struct model *model, const struct model_invocation *invocation);

/* Whether the waits of what is on the stack are over. */
bool model_waits_are_over(const struct model *model);

/* An attempt begins: of `invocation`, or (NULL) a start ahead of need. Complains if it may not. */
struct model_attempt *model_begin(struct model_function *function, struct model_invocation *invocation);
void model_init_ended(struct model_attempt *attempt, int result, int state);
void model_handler_ended(struct model_attempt *attempt, int result);

/* A start ahead of need of a function without init: all of it. */
void model_provisioned(struct model_function *function);

/* Its code runs on, but nobody waits for it any more. */
void model_give_up(struct model_attempt *attempt, enum end how);

/* Cancels, wherever it stands. FAAS_OK, or FAAS_ESTATE: it was settled. */
int model_cancel(struct model_invocation *invocation);

/* Cancels all of a function. How many. */
int model_cancel_all(struct model_function *function);

/* An attempt of it ended badly: it is tried again, or it settles. `code`: of an outcome that is final. */
void model_attempt_failed(struct model_invocation *invocation, enum end how, int code, bool is_permanent);

/* ---- model_time.c ------------------------------------------------------------------------------------------------ */

static inline int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t after(int64_t at, int64_t duration)
{
	return duration == NEVER ? NEVER : at + duration;
}

/* Time passes, deadlines and delays too. */
void model_advance(struct model *model, int64_t duration);

/* The next moment at which the clock brings something. */
int64_t model_next_moment(const struct model *model);

/* The clock brings something to a function. If it brings several at the same moment, their order shows. */
void model_clock_brings(struct model_function *function, bool is_delay);

/* ---- model_slot.c ------------------------------------------------------------------------------------------------ */

bool model_has_slot(const struct model_function *function);

/* Concurrency that is reserved. */
int64_t model_reserved(const struct model *model);

/* Whether all slots of the function, or of the runtime, are held on the stack. */
bool model_stack_holds_slots(const struct model_function *function);

/* ---- model_key.c ------------------------------------------------------------------------------------------------- */

void model_add_unsettled(struct model_invocation *invocation);
void model_remove_unsettled(struct model_invocation *invocation);

/* Whether its key lets it begin. */
bool model_key_lets(const struct model_invocation *invocation);

/* What has to end before it can begin: the first of its key, or itself. */
struct model_invocation *model_head(struct model_invocation *invocation);

/* Of the queued ones that may begin the first; NULL: none may. In an ordered function the others may, too. */
struct model_invocation *model_first_ready(const struct model_function *function);

/* How many of the queued ones may begin, as far as order goes. */
int model_count_ready(const struct model_function *function);

/* ---- model_rate.c ------------------------------------------------------------------------------------------------ */

bool model_rate_lets(const struct model_function *function);
void model_rate_take(struct model_function *function);

/* When an attempt may begin that `behind` others come before. */
int64_t model_rate_next(const struct model_function *function, uint64_t behind);

/* ---- model_retry.c ----------------------------------------------------------------------------------------------- */

/* An attempt failed: true: another one follows, or its time is over. */
bool model_retry(struct model_invocation *invocation);

/* The delay is over. */
void model_end_delay(struct model_invocation *invocation);
void model_undelay(struct model_invocation *invocation);

/* ---- model_expire.c ----------------------------------------------------------------------------------------------- */

/* Whether its age or its caller's time is over at that moment; then `*ret_code` is its outcome. */
bool model_is_late(const struct model_invocation *invocation, int64_t at, int *ret_code);

/* The same for now. */
bool model_is_expired(const struct model_invocation *invocation, int *ret_code);

/*
 * Settles what a turn finds expired. How many. `found`: how many the library says it found; in an ordered function that
 * may not be all.
 */
int model_expire(struct model_function *function, uint64_t found);

/* Remembers what is queued now; whether any of what was last remembered is still there and may begin. */
void model_mark(struct model_function *function);
bool model_has_marked(const struct model_function *function);

/* ---- model_defer.c ----------------------------------------------------------------------------------------------- */

struct model_deferral *model_defer(struct model_attempt *attempt);

/* A deferred one's handler has returned in time, with success. */
void model_deferred(struct model_attempt *attempt);

/* FAAS_OK, or FAAS_ESETTLED. */
int model_complete(struct model_deferral *deferral, enum said said, int answer, int message);

/* Its end by other means than a completion: the deadline, or a cancel. */
void model_end_deferral(struct model_deferral *deferral, enum end how);

/* ---- model_record.c ---------------------------------------------------------------------------------------------- */

/* What comes after the settlement, and the callbacks that come at once with it. */
void model_follow(struct model_invocation *invocation);

/* ---- model_letter.c ---------------------------------------------------------------------------------------------- */

void model_add_letter(struct model_invocation *invocation);

/* The function goes, and they with it. */
void model_lose_letters(struct model_function *function);

/* As the calls; `letter` NULL: all. */
int model_redrive(struct model_function *function, struct model_invocation *letter, bool is_inside);
int model_purge(struct model_function *function, struct model_invocation *letter);

/* ---- model_worker.c ---------------------------------------------------------------------------------------------- */

/* Whether an attempt may begin, whatever it is of: there is a slot, a worker and a token. */
bool model_can_start(const struct model_function *function);

/* Whether one of this may begin. */
bool model_may_begin(const struct model_invocation *invocation);
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

/* ---- model_settle.c ---------------------------------------------------------------------------------------------- */

/* Where the clock does it, callbacks come later. */
void model_settle(struct model_invocation *invocation, enum end end, int code);

/* Its settlement is one of several that a turn does one by one: what follows it comes after what follows `before`. */
void model_settle_after(struct model_invocation *invocation, struct model_invocation *before);

/* One that is queued or delayed. */
void model_settle_waiting(struct model_invocation *invocation, enum end end, int code);

/* The same, of one that was taken out of the queue before. */
void model_settle_unrun(struct model_invocation *invocation, enum end end, int code);
void model_count_run(struct model_function *function, int64_t queued_ns, int64_t run_ns);
int model_code_of(enum end end);

/* A callback was asked for: true: it comes at once. */
bool model_ask(struct model *model, enum call *call, bool is_settled);
void model_called(struct model *model, enum call *call);

/* A callback that comes before what follows a settlement is over. */
void model_call_ended(struct model_invocation *invocation);

/* The first of an emission's invocations that is not settled; NULL. */
struct model_invocation *model_first_unsettled(const struct model_emission *emission);

/* ---- model_stats.c ----------------------------------------------------------------------------------------------- */

void model_function_stats(const struct model_function *function, struct faas_function_stats *ret_stats);
void model_total_stats(const struct model *model, struct faas_function_stats *ret_stats);

#endif
