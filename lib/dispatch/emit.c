/* SPDX-License-Identifier: MIT */
/*
 * Emitting: from an event's config to an invocation in the queue of the function it matches; to several, see fan.c.
 *
 * The event is checked and measured first. Then, in a lane, the functions are looked up and each is offered the event:
 * its block is made and filled, room is reserved, and at once it is pushed, so that a queue never holds a reservation
 * while somebody copies a large payload. One function: the event lies in the invocation's own block.
 *
 * Waiting for room and settling what was dropped happen out of the lane.
 */
#include "dispatch/emit.h"

#include "dispatch/emission.h"
#include "dispatch/frame.h"
#include "dispatch/record.h"
#include "dispatch/runner.h"

static inline faas_invocation *make(struct offer *offer, struct lane *lane, faas_function *function,
                                    const struct parcel *parcel)
{
	faas_invocation *invocation;

	if (unlikely(faas__function_serve(function) != FAAS_OK))
		return NULL;
	invocation = faas__invocation_new(offer->runtime, lane, function, &offer->plan, parcel);
	if (likely(!function->wants_records) || !invocation || faas__follow_prepare(invocation, lane) == FAAS_OK)
		return invocation;
	faas__parcel_unmake(lane, invocation);
	return NULL;
}

faas_invocation *faas__parcel_make(struct offer *offer, struct lane *lane, faas_function *function,
                                   const struct parcel *parcel)
{
	return make(offer, lane, function, parcel);
}

/* An invocation that nobody has seen. */
void faas__parcel_unmake(struct lane *lane, faas_invocation *invocation)
{
	if (!invocation)
		return;
	store_relaxed(&invocation->refs, 1);
	faas__invocation_unref_in(invocation, lane);
}

void faas__parcel_push(const struct offer *offer, faas_invocation *invocation, const struct parcel *parcel)
{
	if (parcel->emission) {
		add_relaxed(&parcel->emission->refs, 1);
		add_relaxed(&parcel->emission->pending, 1);
	}
	faas__queue_push(invocation->function, invocation, offer->runner);
}

/* Offers the event to one function. FAAS_OK and the invocation (the caller's only if it has a handle), or a refusal. */
int faas__offer_to(struct offer *offer, struct lane *lane, faas_function *function, const struct parcel *parcel,
                    faas_invocation **ret_invocation)
{
	int code = faas__intake_check(offer->runtime);
	faas_invocation *invocation;

	if (likely(code == FAAS_OK))
		code = faas__admit_peek(function, faas__parcel_bytes(offer, function, parcel));
	if (unlikely(code != FAAS_OK))
		return code;
	invocation = make(offer, lane, function, parcel);
	if (unlikely(!invocation))
		return FAAS_ENOMEM;
	code = faas__admit(offer, lane, function, faas__invocation_bytes(invocation));
	if (unlikely(code != FAAS_OK)) {
		faas__parcel_unmake(lane, invocation);
		return code;
	}
	*ret_invocation = invocation;
	faas__parcel_push(offer, invocation, parcel);
	return FAAS_OK;
}

/* Waits for room, again and again. In no lane; holds a reference to the function. */
seldom int faas__offer_until(struct offer *offer, faas_function *function, const struct parcel *parcel, int code,
                       faas_invocation **ret_invocation)
{
	for (;;) {
		struct lane *lane;

		/* What was dropped must not have to wait for this. */
		faas__offer_end(offer);
		if (!faas__await_room(offer, function, code, faas__parcel_bytes(offer, function, parcel)))
			break;
		lane = faas__lane_enter(offer->runtime, offer->runner);

		code = faas__offer_to(offer, lane, function, parcel, ret_invocation);
		faas__lane_leave(lane);
		if (code == FAAS_OK)
			return code;
	}
	return faas__intake_check(offer->runtime) == FAAS_OK ? code : FAAS_ECLOSED;
}

/* What nearly every emit is: one function gets it, and nobody will ask. Leaves the lane. */
static int emit_to_one(struct offer *offer, struct lane *lane, faas_function *function)
{
	faas_invocation *invocation;
	struct parcel parcel = {.shared = NULL};
	int code;

	faas__parcel_begin(&parcel, offer, lane);
	code = faas__offer_to(offer, lane, function, &parcel, &invocation);
	bump_relaxed(&lane->emitted, 1);
	if (likely(code == FAAS_OK)) {
		faas__lane_leave(lane);
	} else {
		faas_function_ref(function);
		faas__lane_leave(lane);
		if (faas__is_full(code) && offer->may_wait)
			code = faas__offer_until(offer, function, &parcel, code, &invocation);
		if (code != FAAS_OK)
			faas__count_rejected(function, code);
		faas_function_unref(function);
	}
	faas__offer_end(offer);
	return code == FAAS_OK ? 1 : code;
}

int faas__emit(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
               faas_emission **ret_emission)
{
	struct offer offer;
	struct route route;
	struct lane *lane;
	int error = faas__offer_begin(&offer, runtime, context, event, NULL);

	if (unlikely(error != FAAS_OK))
		return error;
	lane = faas__lane_enter(runtime, offer.runner);
	error = faas__route(runtime, lane, &offer.plan, &route);
	if (unlikely(error != FAAS_OK)) {
		faas__lane_leave(lane);
		return error;
	}
	if (likely(route.count == 1 && route.filtered_count == 0 && !ret_emission && offer.plan.config->flags == 0))
		return emit_to_one(&offer, lane, route.matches[0]);
	return faas__fan_out(&offer, lane, &route, ret_emission);
}

int faas_emit_event(faas_runtime *runtime, const faas_event_config *event, faas_emission **ret_emission)
{
	struct frame *frame;

	if (!runtime || !event)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	/* From inside a handler the call is linked to it as if it had been made through the context. */
	frame = faas__frame_of(runtime);
	return faas__emit(runtime, frame ? frame->context : NULL, event, ret_emission);
}
