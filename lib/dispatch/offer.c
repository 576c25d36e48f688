/* SPDX-License-Identifier: MIT */
/*
 * Offering an event to one function: its block is made and filled, room is reserved, and at once it is pushed, so that a
 * queue never holds a reservation while somebody copies a large payload. This serves every kind of event and function;
 * emit.c has a shorter way for most.
 */
#include "dispatch/emission.h"
#include "dispatch/emit.h"
#include "dispatch/record.h"

faas_invocation *faas__parcel_make(struct offer *offer, struct lane *lane, faas_function *function,
                                   struct parcel *parcel)
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
int faas__offer_to(struct offer *offer, struct lane *lane, faas_function *function, struct parcel *parcel,
                   faas_invocation **ret_invocation)
{
	int code = faas__intake_check(offer->runtime);
	faas_invocation *invocation;

	if (likely(code == FAAS_OK))
		code = faas__admit_peek(function, faas__parcel_bytes(offer, function, parcel));
	if (unlikely(code != FAAS_OK))
		return code;
	invocation = faas__parcel_make(offer, lane, function, parcel);
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
int faas__offer_until(struct offer *offer, faas_function *function, struct parcel *parcel, int code,
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
