/* SPDX-License-Identifier: MIT */
/*
 * One attempt: claim the invocation, start a worker if it is a cold start, call the handler under its deadline, settle.
 *
 * Order at the end: the handler returns, the clock is read, the slot ends (which waits for whoever claimed it), and only
 * then the end is decided: whoever moves the invocation's state has it. If that was somebody else, the attempt overran:
 * the thread waits until it has been let go (invocation.h), and the worker is not used again.
 */
#include "dispatch/defer.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

faas_context *faas__attempt_begin(struct runner *runner, faas_function *function, faas_invocation *invocation,
                                  bool is_cold)
{
	faas_context *context = &runner->contexts[runner->depth];

	context->function = function;
	context->invocation = invocation;
	context->queued_ns = 0;
	context->init_ns = 0;
	context->attempt = 1;
	context->is_permanent = false;
	context->deferral = NULL;
	context->error = "";
	context->is_cold = is_cold;
	context->is_init = false;
	context->answer = NULL;
	context->message = NULL;
	store_relaxed(&context->is_abandoned, 0);
	store_relaxed(&context->is_given_up, 0);
	return context;
}

/* What few attempts leave behind. */
seldom static void clean_up(faas_context *context)
{
	faas_runtime *runtime = context->runner->runtime;

	if (!faas__arena_is_empty(&context->arena))
		faas__arena_reset(&context->arena, &runtime->allocator);
	faas__answer_free(runtime, context->answer);
	faas__message_free(runtime, context->message);
	if (context->deferral)
		faas__defer_close(context);
}

static inline bool is_clean(const faas_context *context)
{
	return faas__arena_is_empty(&context->arena) && !context->answer && !context->message && !context->deferral;
}

static inline void end_attempt(faas_context *context)
{
	if (unlikely(!is_clean(context)))
		clean_up(context);
}

seldom void faas__attempt_end(faas_context *context)
{
	end_attempt(context);
}

/* Writes the times of what comes next, and only then lets others end it. */
static void begin_running(faas_context *context, bool is_init, int64_t now, int64_t deadline)
{
	faas_invocation *invocation = context->invocation;

	context->is_init = is_init;
	context->started = now;
	context->deadline = deadline;
	if (invocation && faas__has_result(invocation))
		(void)faas__invocation_move(invocation, PHASE_STARTING, PHASE_RUNNING);
}

/* A deadline, or the caller's if that comes first. */
static int64_t caller_deadline(const faas_context *context, int64_t deadline)
{
	const faas_invocation *invocation = context->invocation;

	if (invocation && faas__has_result(invocation) && faas__result_of(invocation)->deadline < deadline)
		deadline = faas__result_of(invocation)->deadline;
	return deadline;
}

/* Between init and handler. False: it was ended meanwhile. */
static bool pause_running(faas_context *context)
{
	faas_invocation *invocation = context->invocation;

	if (!invocation)
		return load_acquire(&context->is_given_up) == 0;
	if (faas__has_result(invocation))
		return faas__invocation_end_attempt(invocation, context->attempt, PHASE_STARTING);
	return load_acquire(&context->is_given_up) == 0;
}

/* Makes the attempt what this thread is inside of. The slot that it will show in. */
static inline struct slot *go_in(faas_context *context, struct frame *ret_frame)
{
	struct runner *runner = context->runner;

	*ret_frame = (struct frame){.runtime = runner->runtime, .runner = runner, .function = context->function,
	                            .context = context, .kind = FRAME_HANDLER};
	faas__frame_push(ret_frame);
	return &runner->thread.slots[runner->depth++];
}

static inline void come_out(const faas_context *context, struct frame *frame)
{
	context->runner->depth--;
	faas__frame_pop(frame);
}

/* User code of an attempt, under its deadline. `event` NULL: the init. */
static inlined int call_user(faas_context *context, struct slot *slot, const faas_event *event, int64_t *now)
{
	struct runner *runner = context->runner;
	int rc;

	faas__slot_begin(slot, context, context->deadline);
	faas__monitor_before(&runner->runtime->executor, context->deadline);
	if (event)
		rc = context->function->handler(context, event);
	else
		rc = context->function->init(context, &context->worker->state);
	/* The takers' line, for the lock, which comes after the last one of a batch: another thread may have it. */
	if (load_relaxed(&runner->batch_next) == load_relaxed(&runner->batch_end))
		prefetch_to_write(&context->function->inbox_out);
	*now = faas__stopwatch_now(&runner->watch, *now);
	faas__slot_end(slot);
	return rc;
}

static int enter(faas_context *context, const faas_event *event, int64_t *now)
{
	struct frame frame;
	struct slot *slot = go_in(context, &frame);
	int rc = call_user(context, slot, event, now);

	come_out(context, &frame);
	return rc;
}

/*
 * The thread is back from an attempt that was given up. After this nobody else knows the attempt any more.
 */
seldom static void return_from_overrun(faas_context *context)
{
	faas_function *function = context->function;

	while (load_acquire(&context->is_abandoned) == 0)
		faas__thread_yield();
	faas__thread_stuck_end(&context->runner->thread);
	faas__mutex_lock(&function->mu);
	faas__service(function)->counts.overrunning--;
	faas__mutex_unlock(&function->mu);
}

/*
 * Makes the worker's state. On START_FAILED and START_OVERRAN the worker's slot is still held; the invocation, if any,
 * is settled.
 */
seldom static enum started end_failed_start(faas_context *context, int rc, bool ok, int64_t now, struct tally *tally)
{
	bool was_abandoned = ok;

	/* One that went well and yet ends here was given up; another may have been. */
	if (!ok && context->invocation)
		was_abandoned = !faas__settle_attempt(context, END_FAILED, FAAS_EINIT, rc, now, tally);
	else if (!ok)
		was_abandoned = load_acquire(&context->is_given_up) != 0;
	if (was_abandoned)
		return_from_overrun(context);
	end_attempt(context);
	return rc == 0 ? START_OVERRAN : START_FAILED;
}

seldom enum started faas__attempt_start_worker(faas_context *context, int64_t *now, struct tally *tally)
{
	faas_function *function = context->function;
	int64_t began = *now;
	bool ok = true;
	int rc = 0;

	if (function->init) {
		int64_t deadline = faas__time_after(began, function->init_deadline_ns);

		begin_running(context, true, began, caller_deadline(context, deadline));
		rc = enter(context, NULL, now);
		ok = rc == 0 && *now < deadline;
	}
	faas__mutex_lock(&function->mu);
	faas__worker_init_ended(function, ok, *now, *now - began);
	function->starting--;
	function->busy++;
	faas__mutex_unlock(&function->mu);
	if (!function->init)
		return STARTED;
	if (!ok || !pause_running(context))
		return end_failed_start(context, rc, ok, *now, tally);
	context->is_init = false;
	context->init_ns = *now - began;
	return STARTED;
}

/* The caller's own time ended during the start. The worker is as good as new. */
seldom static void end_before_run(faas_context *context, int64_t now, struct tally *tally)
{
	begin_running(context, true, now, now);
	if (!faas__settle_attempt(context, END_TIMED_OUT, FAAS_ETIMEDOUT, 0, now, tally))
		return_from_overrun(context);
	end_attempt(context);
}

/* The handler took a token and returned 0 in time. True: the attempt is over. */
seldom static bool run_deferred(faas_context *context, enum end *end, int *code, int64_t now, enum ran *ret_ran)
{
	faas_deferral *deferral = context->deferral;
	faas_runtime *runtime = context->runner->runtime;

	switch (faas__defer_return(context, now)) {
	case DEFERRED_PENDING:
		*ret_ran = RAN_DEFERRED;
		break;
	case DEFERRED_LOST:
		return_from_overrun(context);
		*ret_ran = RAN_OVER;
		break;
	default:
		*end = deferral->end;
		*code = deferral->code;
		context->is_permanent = deferral->is_permanent;
		if (deferral->answer) {
			faas__answer_free(runtime, context->answer);
			context->answer = deferral->answer;
			deferral->answer = NULL;
		}
		if (deferral->message) {
			faas__message_free(runtime, context->message);
			context->message = deferral->message;
			deferral->message = NULL;
		}
		return false;
	}
	return true;
}

/* The handler has returned. */
static enum ran end_run(faas_context *context, int rc, int64_t now, struct tally *tally)
{
	enum ran ran = RAN;
	bool in_time = now < context->deadline;
	enum end end = !in_time ? END_TIMED_OUT : rc == 0 ? END_SUCCEEDED : END_FAILED;
	int code = !in_time ? FAAS_ETIMEDOUT : rc == 0 ? FAAS_OK : FAAS_EFAILED;

	if (unlikely(context->deferral != NULL) && end == END_SUCCEEDED &&
	    run_deferred(context, &end, &code, now, &ran)) {
		end_attempt(context);
		return ran;
	}
	/* A completion that comes from here on comes too late. */
	if (unlikely(context->deferral != NULL))
		faas__defer_close(context);
	if (!faas__settle_attempt(context, end, code, rc, now, tally)) {
		return_from_overrun(context);
		in_time = false;
	}
	end_attempt(context);
	return in_time ? RAN : RAN_OVER;
}

enum ran faas__attempt_run(faas_context *context, int64_t *now, struct tally *tally)
{
	int rc;

	if (unlikely(faas__has_result(context->invocation) && faas__result_of(context->invocation)->deadline <= *now)) {
		end_before_run(context, *now, tally);
		return RAN;
	}
	begin_running(context, false, *now, caller_deadline(context, faas__time_after(*now, context->function->deadline_ns)));
	rc = enter(context, faas__event_of(context->invocation), now);
	return end_run(context, rc, *now, tally);
}

static inline int64_t waited_ns(const faas_context *context)
{
	return context->runner->now - faas__ready_at(context->invocation);
}

/* The invocation is this thread's, and only now it may be read. */
static inline void begin_attempt(faas_context *context, int64_t waited, struct tally *tally)
{
	faas_invocation *invocation = context->invocation;

	/* The stamp comes from a time that threads publish, and may be a little ahead of this thread's. */
	context->queued_ns = waited > 0 ? waited : 0;
	invocation->attempt = context;
	invocation->attempts = (uint16_t)context->attempt;
	bump_release(&tally->started, TALLY_STARTED + (context->is_cold ? TALLY_COLD : 0u));
}

/*
 * Counted before anybody can end it, and only after nobody else can claim it. It stays STARTING, for which others wait,
 * until its times stand in the context (begin_running).
 */
bool faas__attempt_claim_locked(faas_context *context, const struct taken *taken, struct tally *tally)
{
	faas_invocation *invocation = context->invocation;
	uint32_t state = load_acquire(&invocation->state);
	/* Without a result the state word does not keep the number, and nobody but this thread's slot tells STARTING. */
	bool has_result = faas__has_result(invocation);
	uint32_t last = has_result ? taken->attempt : invocation->attempts;

	context->attempt = last < UINT16_MAX ? last + 1u : UINT16_MAX;
	do {
		if (faas__phase_of(state) != PHASE_QUEUED || state >> ATTEMPT_SHIFT != taken->attempt)
			return false;
	} while (!cas_seq_cst(&invocation->state, &state,
	                      (state & ~(PHASE_MASK | ATTEMPT_MASK)) | (has_result ? PHASE_STARTING : PHASE_RUNNING) |
	                              context->attempt << ATTEMPT_SHIFT));
	begin_attempt(context, waited_ns(context), tally);
	return true;
}

void faas__attempt_claim_unseen(faas_context *context, struct tally *tally)
{
	faas_invocation *invocation = context->invocation;
	uint32_t state = load_relaxed(&invocation->state);

	/* From here on it is reached through this thread's slot, which is not set before the attempt's times are. */
	store_relaxed(&invocation->state, (state & ~(PHASE_MASK | ATTEMPT_MASK)) | PHASE_RUNNING | 1u << ATTEMPT_SHIFT);
	begin_attempt(context, 0, tally);
}

/* Makes a queued invocation this thread's. False: it was cancelled or claimed, or its time has passed. */
bool faas__attempt_claim(faas_context *context, const struct taken *taken, int64_t now, struct tally *tally)
{
	faas_invocation *invocation = context->invocation;

	if (!faas__has_result(invocation)) {
		/* Nobody else has a reference. */
		context->attempt = invocation->attempts < UINT16_MAX ? invocation->attempts + 1u : UINT16_MAX;
		store_relaxed(&invocation->state, PHASE_RUNNING);
		begin_attempt(context, waited_ns(context), tally);
		return true;
	}
	if (faas__result_of(invocation)->deadline <= now && faas__taken_is_ours(taken) &&
	    faas__settle_unrun(invocation, END_EXPIRED, FAAS_ETIMEDOUT))
		return false;
	return faas__attempt_claim_locked(context, taken, tally);
}

/* Whether nothing but its success is to be said of an attempt. */
static inline bool is_plain_success(const faas_context *context, int rc, int64_t now)
{
	return likely(rc == 0 && now < context->deadline) && likely(is_clean(context)) &&
	       likely(load_acquire(&context->is_given_up) == 0);
}

uint32_t faas__attempt_run_plain(struct runner *runner, faas_function *function, struct worker *worker, uint32_t next,
                                 int64_t until, enum ran *ret_ran)
{
	faas_context *context = faas__attempt_begin(runner, function, NULL, false);
	struct tally *tally = &runner->tally;
	faas_invocation *invocation;
	struct frame frame;
	struct slot *slot;
	int rc;

	context->worker = worker;
	slot = go_in(context, &frame);
	do {
		faas_event *event;

		invocation = runner->batch[next].invocation;
		event = faas__event_of_bare(invocation);
		store_relaxed(&runner->batch_next, ++next);
		/* The rest of the context is as it was begun: else this would not go on. */
		context->invocation = invocation;
		context->is_permanent = false;
		context->error = "";
		context->started = runner->now;
		context->deadline = faas__time_after(runner->now, function->deadline_ns);
		store_relaxed(&invocation->state, PHASE_RUNNING);
		begin_attempt(context, runner->now - event->stamp_ns, tally);
		rc = call_user(context, slot, event, &runner->now);
		if (unlikely(!is_plain_success(context, rc, runner->now))) {
			come_out(context, &frame);
			*ret_ran = end_run(context, rc, runner->now, tally);
			faas__invocation_unref_in(invocation, &runner->lane);
			return next;
		}
		faas__settle_unasked(context, runner->now, tally);
		if (unlikely(event != (faas_event *)(invocation + 1)))
			faas__shared_event_unref(runner->runtime, &runner->lane, faas__shared_event_from(event), 1);
		faas__block_own(invocation, invocation->block_bytes);
		faas__block_free(&runner->runtime->pool, &runner->lane.blocks, invocation, invocation->block_bytes);
	} while (next < load_relaxed(&runner->batch_end) && runner->now <= until &&
	         likely(!load_relaxed(&function->is_closed)) && faas__is_plain(runner->batch[next].invocation));
	come_out(context, &frame);
	return next;
}

void faas__attempt_let_go(faas_function *function, faas_invocation *invocation)
{
	if (likely(!faas__is_keyed(invocation)))
		return;
	faas__mutex_lock(&function->mu);
	faas__key_let_go(function, invocation);
	faas__mutex_unlock(&function->mu);
}
