/* SPDX-License-Identifier: MIT */
/* What the parts of the model do for each other and for the simulator, file by file. */
#ifndef SIM_MODEL_CALLS_H
#define SIM_MODEL_CALLS_H

#include "model.h"

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
/* The same of a record, which is offered. */
void model_clock_admits(struct model_function *function);

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

/* ---- model_demand.c ---------------------------------------------------------------------------------------------- */

/* An attempt begins: from now on there are looks. */
void model_demand_wake(struct model_function *function);

/* When the next one comes; NEVER. */
int64_t model_look_at(const struct model_function *function);
void model_look(struct model_function *function);

/* The clock changes what a look counts. */
void model_demand_counts(struct model_function *function);

/* Workers that are kept and made ahead of need. */
uint64_t model_target(const struct model_function *function);

/* What the library says of it: it is believed where rounding decides. */
void model_learn_target(struct model_function *function, uint64_t found);

/* ---- model_rate.c ------------------------------------------------------------------------------------------------ */

bool model_rate_lets(const struct model_function *function);
void model_rate_take(struct model_function *function);

/* When an attempt may begin that `behind` others come before. */
int64_t model_rate_next(const struct model_function *function, uint64_t behind);

/* ---- model_retry.c ----------------------------------------------------------------------------------------------- */

/* An attempt failed: true: another one follows, or its time is over. */
bool model_retry(struct model_invocation *invocation);

/* Another attempt follows, at a moment within these bounds. */
void model_delay(struct model_invocation *invocation, int64_t least, int64_t most);

/* The delay is over. */
void model_end_delay(struct model_invocation *invocation, bool is_clock);
void model_undelay(struct model_invocation *invocation);

/* ---- model_jitter.c ---------------------------------------------------------------------------------------------- */

/* Whether delays are drawn. */
bool model_has_jitter(const struct model *model);
bool model_draws(const struct model_function *function);

/* Whether it depends on the draw what becomes of it, or how it ends: then it is left undecided. */
bool model_leave_undecided(struct model_invocation *invocation, int64_t least, int64_t most);

/* All that may have become of these. `found`: the library's numbers. `is_clock`: the clock has moved. */
void model_learn_draws(struct model_function *function, const struct faas_function_stats *found, bool is_clock);

/* How long an attempt waited, where that is not known. */
void model_learn_queue_time(struct model_function *function, const struct faas_latency_stats *found);

/* Whether this may be the time until the next thing is due; `expected`: without what was drawn. */
bool model_may_be_due(const struct model *model, int64_t expected, int64_t found);

/* The first moment at which a delay that was drawn may, or must, be over; NEVER. */
int64_t model_first_draw(const struct model *model, bool must);

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
void model_count_run(const struct model_attempt *attempt, int64_t run_ns);
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
