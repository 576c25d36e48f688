/* SPDX-License-Identifier: MIT */
/*
 * Admission: each function takes or refuses an event for itself. Room is reserved in the function's queue and leased
 * from the runtime's; a function that drops its oldest makes room by taking events off its queue's head.
 *
 * This is also the one place where accepted events could be recorded before they count.
 *
 * Waiting for room reserves nothing: the emitter sleeps until takers have freed a quarter of the queue, or 10 ms, and
 * tries again like anybody else.
 */
#include "dispatch/emit.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"

#define WAIT_SLICE_NS 10000000
#define SHORT_SLICE_NS 1000000
#define DROP_TRIES 1000u

seldom int faas__intake_check_ending(const faas_runtime *runtime)
{
	uint32_t phase = load_seq_cst(&runtime->phase);

	/* Accepted work may still emit while the runtime drains. */
	return phase == RUNTIME_DRAINING && faas__frame_of(runtime) ? FAAS_OK : FAAS_ECLOSED;
}

int faas__offer_begin(struct offer *offer, faas_runtime *runtime, faas_context *context,
                      const faas_event_config *event, const char *default_type)
{
	int error;

	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	error = faas__intake_check(runtime);
	if (error != FAAS_OK)
		return error;
	error = faas__event_plan(&offer->plan, event, default_type, runtime->max_data_bytes);
	/* Without a default there is a look-up, which checks the type. */
	if (error == FAAS_OK && default_type)
		error = faas__event_plan_type(&offer->plan);
	if (error != FAAS_OK)
		return error;
	offer->runtime = runtime;
	offer->runner = faas__runner_of(runtime);
	offer->dropped = NULL;
	offer->may_wait = false;
	if (context && context->invocation) {
		error = faas__chain_extend(context, &offer->plan);
		if (error != FAAS_OK) {
			int type_error = faas__event_plan_type(&offer->plan);

			return type_error != FAAS_OK ? type_error : error;
		}
	}
	if (unlikely(offer->plan.config->wait_ms != 0) && !faas__runtime_is_manual(runtime) &&
	    !faas__frame_of(runtime)) {
		offer->may_wait = true;
		offer->wait_until = 0;
	}
	return FAAS_OK;
}

int64_t faas__look_at_clock(faas_runtime *runtime, struct runner *runner)
{
	if (!runner)
		return faas__runtime_now(runtime);
	runner->now = faas__stopwatch_now(&runner->watch, runner->now);
	return runner->now;
}

void faas__offer_settle_dropped(struct offer *offer)
{
	faas__settle_popped(offer->dropped, END_DROPPED, false);
	offer->dropped = NULL;
}

/* Pushes the oldest queued event out. False: there is none left to push out. Frees room in both bounds. */
seldom static bool drop_oldest(struct offer *offer, struct lane *lane, faas_function *function)
{
	faas_invocation *invocation;
	uint64_t freed = 0;
	bool dropped = false;

	faas__mutex_lock(&function->mu);
	invocation = faas__queue_pop_oldest(function, &freed);
	if (invocation) {
		faas__queue_left(function, freed);
		(void)faas__queue_show_released(function);
		dropped = faas__invocation_move(invocation, PHASE_QUEUED, PHASE_SETTLING);
		if (dropped) {
			faas__count_end(function, false, END_DROPPED);
			faas__key_check(function, invocation);
		}
	}
	faas__mutex_unlock(&function->mu);
	if (!invocation)
		return false;
	faas__lane_release(offer->runtime, lane, (int64_t)LOAD_EVENTS(freed), (int64_t)LOAD_BYTES(freed));
	if (dropped)
		faas__dead_add(&offer->dropped, invocation);
	else
		faas__invocation_unref_in(invocation, lane);
	return true;
}

seldom int faas__admit_to_queue(struct offer *offer, struct lane *lane, faas_function *function, size_t bytes)
{
	int error = FAAS_EFULL;

	/* A full queue with nothing to drop holds what other emitters are about to push: that takes them a moment. */
	for (uint32_t tries = 0; tries < DROP_TRIES; tries++) {
		error = faas__queue_reserve(function, bytes);
		if (error != FAAS_EFULL || !function->drops_oldest || !faas__queue_could_fit(function, bytes))
			break;
		if (drop_oldest(offer, lane, function))
			tries = 0;
		else
			faas__thread_yield();
	}
	return error;
}

int faas__admit(struct offer *offer, struct lane *lane, faas_function *function, size_t bytes)
{
	int error = FAAS_OK;
	uint64_t admitted;

	if (unlikely(!faas__queue_seems_roomy(function, bytes, &admitted)) ||
	    unlikely(!faas__queue_reserve_seen(function, admitted, bytes)))
		error = faas__admit_to_queue(offer, lane, function, bytes);
	if (error != FAAS_OK)
		return error;
	if (likely(faas__lane_reserve(offer->runtime, lane, bytes)))
		return FAAS_OK;
	faas__queue_unreserve(function, bytes);
	return FAAS_ERUNTIMEFULL;
}

seldom int faas__admit_peek_full(faas_function *function, size_t bytes)
{
	if (function->drops_oldest && faas__queue_could_fit(function, bytes))
		return FAAS_OK;
	return faas__queue_has_room(function, faas__queue_load_now(function), bytes) ? FAAS_OK : FAAS_EFULL;
}

/* Whether the event could ever fit. */
static bool fits_empty(const struct offer *offer, const faas_function *function, size_t bytes)
{
	int64_t most = offer->runtime->lanes.max_bytes;

	return bytes <= function->max_bytes && (most == FAAS_UNLIMITED || (int64_t)bytes <= most);
}

seldom bool faas__await_room(struct offer *offer, faas_function *function, int code, size_t bytes)
{
	faas_runtime *runtime = offer->runtime;
	struct wait_bucket *bucket = faas__wait_bucket(runtime, function);
	int64_t now = faas__runtime_now(runtime), left;

	if (code != FAAS_EFULL && code != FAAS_ERUNTIMEFULL)
		return false;
	if (offer->may_wait && offer->wait_until == 0)
		offer->wait_until = faas__time_after(now, faas__ms_to_ns(offer->plan.config->wait_ms));
	if (!offer->may_wait || now >= offer->wait_until || !fits_empty(offer, function, bytes) ||
	    load_acquire(&runtime->phase) != RUNTIME_OPEN)
		return false;
	left = offer->wait_until == TIME_NEVER ? TIME_NEVER : offer->wait_until - now;
	/* A queue that looks roomy and still refused is short of bytes, or of the runtime's room: nobody tells of those. */
	if (left > WAIT_SLICE_NS)
		left = code == FAAS_EFULL && !faas__queue_has_room_to_tell(function) ? WAIT_SLICE_NS : SHORT_SLICE_NS;
	add_seq_cst(&function->room_waiters, 1);
	faas__mutex_lock(&bucket->mu);
	/* Takers free room before they look for waiters; so who finds none here will be told. */
	if (code != FAAS_EFULL || faas__admit_peek(function, bytes) != FAAS_OK)
		(void)faas__cond_wait_ns(&bucket->cond, &bucket->mu, left);
	faas__mutex_unlock(&bucket->mu);
	sub_seq_cst(&function->room_waiters, 1);
	return true;
}
