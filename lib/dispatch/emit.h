/* SPDX-License-Identifier: MIT */
/* From an event's config to invocations in queues: emit, route, admit. */
#ifndef FAAS_DISPATCH_EMIT_H
#define FAAS_DISPATCH_EMIT_H

#include "base/event.h"
#include "dispatch/function.h"
#include "dispatch/lane.h"
#include "dispatch/queue.h"
#include "dispatch/route.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* One offer of an event to functions, on one thread's stack. */
struct offer {
	faas_runtime *runtime;
	struct runner *runner;     /* NULL: a host's thread */
	struct event_plan plan;
	bool may_wait;             /* for room, by wait_ms */
	int64_t wait_until;        /* 0: not yet looked at the clock; TIME_NEVER: without limit */
	faas_invocation *dropped;  /* pushed out of full queues: counted, to be settled out of the lane */
};

/* An invocation of what the parcel holds. In the lane. NULL: no memory. */
faas_invocation *faas__parcel_make(struct offer *offer, struct lane *lane, faas_function *function,
                                   struct parcel *parcel);
/* Undoes one that nobody has seen. */
void faas__parcel_unmake(struct lane *lane, faas_invocation *invocation);
/* Queues one that was admitted. From here on others have it, but for the reference of a handle. */
void faas__parcel_push(const struct offer *offer, faas_invocation *invocation, const struct parcel *parcel);
/* Offers the event to one function, in the lane. FAAS_OK and the invocation (the caller's only if it has a handle), or
   why it was refused. */
int faas__offer_to(struct offer *offer, struct lane *lane, faas_function *function, struct parcel *parcel,
                   faas_invocation **ret_invocation);
/*
 * The same in one piece, where the event is shared and nobody can ask what becomes of it, for a function that needs no more
 * than the event and has room. False: something is otherwise, and nothing has happened.
 */
bool faas__offer_shared(const struct offer *offer, struct lane *lane, faas_function *function, struct parcel *parcel);
/* The same after a refusal with `code`: waits for room and tries again. In no lane; the caller has a reference. */
int faas__offer_until(struct offer *offer, faas_function *function, struct parcel *parcel, int code,
                      faas_invocation **ret_invocation);

/* Whether waiting could help. */
static inline bool faas__is_full(int code)
{
	return code == FAAS_EFULL || code == FAAS_ERUNTIMEFULL;
}

/* The same as faas__emit, for all emits: also those that go to several functions, or about which anything else is special. */
int faas__fan_out(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
                  faas_emission **ret_emission);

/* `context`: the attempt that emits, or NULL. Results as of the public calls. */
int faas__emit(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
               faas_emission **ret_emission);
int faas__invoke(faas_function *function, faas_context *context, const faas_event_config *event, int64_t timeout_ms,
                 faas_invocation **ret_invocation);
int faas__invoke_async(faas_function *function, faas_context *context, const faas_event_config *event,
                       faas_invocation **ret_invocation);

/* The chain of functions behind what a handler emits, one hop longer. FAAS_OK or FAAS_ELOOP. */
int faas__chain_extend(faas_context *context, struct event_plan *plan);

/* ---- wait.c ------------------------------------------------------------------------------------------------------ */

/* Waits until the invocation is settled or `until`. FAAS_OK, FAAS_EPENDING, FAAS_EAGAIN, FAAS_EDEADLK. */
int faas__await(faas_invocation *invocation, int64_t until);

/* When the event's own timeout_ms is over, for one accepted at `now`; TIME_NEVER. */
static inline int64_t faas__offer_deadline(const struct offer *offer, int64_t now)
{
	int64_t timeout_ms = offer->plan.config->timeout_ms;

	return likely(timeout_ms == 0) ? TIME_NEVER : faas__time_after(now, faas__ms_to_ns(timeout_ms));
}

/* Memory an invocation of it counts for, as far as can be told before it is made. */
static inline size_t faas__parcel_bytes(const struct offer *offer, const faas_function *function,
                                  const struct parcel *parcel)
{
	size_t header = faas__invocation_header(function, faas__parcel_needs_result(parcel, function));

	/* As faas__invocation_bytes will count it; the zero byte behind the data is no part of a shared event there. */
	if (parcel->shared)
		return faas__block_size(header + sizeof(faas_event *)) + offer->plan.bytes - 1;
	return faas__block_size(header + offer->plan.bytes);
}

/* ---- admit.c ----------------------------------------------------------------------------------------------------- */

/* Whether this runtime takes events from this thread now, and the plan of the event. 0 or the error. */
int faas__offer_begin(struct offer *offer, faas_runtime *runtime, faas_context *context,
                      const faas_event_config *event, const char *default_type);

/*
 * Whether this thread may bring in events: FAAS_OK or FAAS_ECLOSED. In a lane, or under the function's lock, the answer
 * holds until that is left: who changes the phase waits for the one and looks at counts under the other.
 */
static inline int faas__intake_check(const faas_runtime *runtime);
/* The same where it is not open to all. */
int faas__intake_check_ending(const faas_runtime *runtime);

/* The time: a thread of the pool has its stopwatch, which is cheaper than the clock. `runner` NULL: it is none. */
int64_t faas__look_at_clock(faas_runtime *runtime, struct runner *runner);

/* Settles what was dropped. In no lane. */
static inline void faas__offer_end(struct offer *offer);
void faas__offer_settle_dropped(struct offer *offer);

/* Room for an invocation of this size: 0, FAAS_EFULL, FAAS_ERUNTIMEFULL, FAAS_ENOTFOUND. In the lane. */
int faas__admit(struct offer *offer, struct lane *lane, faas_function *function, size_t bytes);
/* The same without the runtime's room, which the caller has. */
int faas__admit_to_queue(struct offer *offer, struct lane *lane, faas_function *function, size_t bytes);

/* Whether faas__admit would refuse right now, without the cost of making the event first. */
static inline int faas__admit_peek(faas_function *function, size_t bytes);
/* The same where the queue seems full. */
int faas__admit_peek_full(faas_function *function, size_t bytes) without_lock(function->mu);

/*
 * Waits until the function (or the runtime) may have room. In no lane. False: the time is over.
 * `code`: what faas__admit said of this many bytes.
 */
bool faas__await_room(struct offer *offer, faas_function *function, int code, size_t bytes);

/* ---- The usual case of the above ------------------------------------------------------------------------------------- */

/* A recent time: a published one where there is one. */
static inline int64_t faas__offer_now(const struct offer *offer)
{
	int64_t published = load_relaxed(&offer->runtime->executor.published_now);

	return likely(published != 0) ? published : faas__look_at_clock(offer->runtime, offer->runner);
}

/* Number, time and deadline of the event. In the lane. */
static inline void faas__parcel_begin(struct parcel *parcel, const struct offer *offer, struct lane *lane)
{
	parcel->sequence = faas__lane_next_id(offer->runtime, lane);
	parcel->stamp_ns = faas__offer_now(offer);
	parcel->deadline = faas__offer_deadline(offer, parcel->stamp_ns);
}

static inline int faas__intake_check(const faas_runtime *runtime)
{
	return likely(load_seq_cst(&runtime->phase) == RUNTIME_OPEN) ? FAAS_OK : faas__intake_check_ending(runtime);
}

static inline void faas__offer_end(struct offer *offer)
{
	if (unlikely(offer->dropped))
		faas__offer_settle_dropped(offer);
}

static inline int faas__admit_peek(faas_function *function, size_t bytes)
{
	uint64_t admitted;

	if (unlikely(load_relaxed(&function->is_closed)))
		return FAAS_ENOTFOUND;
	return likely(faas__queue_seems_roomy(function, bytes, &admitted)) ? FAAS_OK : faas__admit_peek_full(function, bytes);
}

#endif
