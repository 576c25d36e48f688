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
 *     model_demand.c   how many workers demand asks for
 *     model_key.c      what may begin in an ordered function
 *     model_rate.c     tokens
 *     model_retry.c    what follows a failed attempt
 *     model_jitter.c   delays that are drawn: their bounds, and what the library tells of them
 *     model_expire.c   what is too old
 *     model_defer.c    handlers that have returned and are completed later
 *     model_settle.c   outcomes and counts
 *     model_record.c   what follows a settlement: destinations
 *     model_letter.c   dead letters
 *     model_stats.c    sums
 *
 * Not promised, and nothing that the library would tell in time: which of several things comes first that the clock
 * brings to a function at the very same moment, that expire together in an ordered function, or that expire in several
 * turns of which nobody was told; and which of several delays of a function that were drawn is over. Where that would
 * show, the run ends there (unsure).
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

/* What a function that follows demand remembers of it. */
struct model_demand {
	int64_t look_at;         /* NEVER: until something comes in */
	double arrivals, run_ns; /* a look; an attempt */
	uint64_t seen_arrivals, seen_runs, seen_run_ns;
	uint64_t target, least;  /* workers; where rounding decides, the library may also have found `least` */
	int64_t looked, counted; /* the last moments at which the clock did so, and 1 */
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
	int64_t jitter;      /* percent */
	bool follows_demand;
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
	struct model_invocation *undecided; /* an attempt failed, and the draw says whether another follows */
	uint64_t queue_doubt, queue_max_most; /* of queue_time: what the sum may be more, what the maximum may be */
	struct model_demand demand;
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
	int64_t ready;           /* since when it waits for the attempt that is next; NEVER: within the bounds that follow */
	int64_t ready_least, ready_most;
	int64_t ready_doubt;     /* how much earlier it may have been */
	bool was_clock;          /* of one that is undecided: the clock ended its attempt */
	faas_invocation *watched; /* the library's; NULL: nobody can ask */
	int status, code, handler_result;
	int is_cold, attempts;
	int64_t queued_ns, init_ns, run_ns, total_ns;
	int answer, message;     /* what the script said: 0: nothing */
	enum call call;
	/* What follows its settlement comes after its callbacks, and after that of one that was settled just before it. */
	int calls_left;
	bool waits_turn, has_followed;
	bool is_one_of_many;     /* that one turn settled, all of which the model has done at once */
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
	int64_t started, deadline, queued_ns, queued_doubt, init_ns;
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
	int64_t clock_brought, clock_admitted; /* the last moments at which it did so anywhere, and 1 */
	bool is_clock;                    /* what happens now, the clock does */
	bool is_turn;                     /* a turn settles what has expired */
	bool is_later;                    /* the callbacks of what is settled now are steps of their own */
	struct model_invocation *target;  /* what the next attempt must be of, because somebody waits for it; NULL: any */
	int due_now, due_later;           /* callbacks */
	int64_t steps;                    /* of faas_run, so far */
	uint64_t draws_over;              /* delays that were drawn, and ended */
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

#include "model_calls.h"

#endif
