/* SPDX-License-Identifier: MIT */
/*
 * Emitting: from an event's config to an invocation in the queue of the function it matches.
 *
 * The event is checked and measured first. Then, in a lane, the functions are looked up and each is offered the event:
 * its block is made and filled, room is reserved, and at once it is pushed, so that a queue never holds a reservation
 * while somebody copies a large payload. One function: the event lies in the invocation's own block.
 *
 * Nearly all emits go straight through (emit_plain), the others by fan.c.
 *
 * Waiting for room and settling what was dropped happen out of the lane.
 */
#include "dispatch/emit.h"

#include "dispatch/emission.h"
#include "dispatch/frame.h"
#include "dispatch/record.h"
#include "dispatch/runner.h"

/* ---- Offering to one function, as fan.c and invoke.c do ---------------------------------------------------------- */

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
seldom void faas__parcel_unmake(struct lane *lane, faas_invocation *invocation)
{
	if (!invocation)
		return;
	store_relaxed(&invocation->refs, 1);
	faas__invocation_unref_in(invocation, lane);
}

seldom void faas__parcel_push(const struct offer *offer, faas_invocation *invocation, const struct parcel *parcel)
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

/* ---- All but the usual case -------------------------------------------------------------------------------------- */

seldom static int emit_any(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
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
	return faas__fan_out(&offer, lane, &route, ret_emission);
}

/* ---- The usual case ---------------------------------------------------------------------------------------------- */

/*
 * Nearly every emit is of a plain event, to one function that this lane has routed the type to before, which needs no
 * more than the event, and has room. That goes straight through, in one piece, with as few instructions as it takes. Where
 * anything is otherwise nothing has happened, and the event goes the other way, which tells what is wrong, too.
 */
struct plain {
	faas_runtime *runtime;
	struct runner *runner; /* NULL: a host's thread */
	const faas_event_config *config;
	struct event_lengths lengths;
	size_t block_bytes;
	const faas_function *from; /* whose handler emits; NULL: none */
};

/* Where the event comes from. False: from so far that there is more to be written than one hop. */
static inline bool find_origin(struct plain *plain, const faas_context *context)
{
	const faas_invocation *cause = context ? context->invocation : NULL;

	plain->from = cause ? context->function : NULL;
	return !cause || (!faas__is_record(cause) && faas__event_of(cause)->hops == 0);
}

/* NULL: its type, or the function, is not for here. In the lane. */
static inline faas_function *route_plain(const struct plain *plain, struct lane *lane)
{
	uint64_t generation = load_seq_cst(&plain->runtime->routes.generation);
	const struct route_cache_entry *entry =
		faas__route_remembered(lane, generation, plain->config->type, plain->lengths.type);
	faas_function *function;

	if (unlikely(!entry) || unlikely(entry->count != 1))
		return NULL;
	function = entry->matches[0];
	if (unlikely(!faas__function_is_in_service(function)) || unlikely(function->wants_records) ||
	    unlikely(function->header_bytes != sizeof(faas_invocation)))
		return NULL;
	return function;
}

/* NULL: no block is at hand. */
static inline faas_invocation *make_plain(const struct plain *plain, struct lane *lane, faas_function *function)
{
	faas_invocation *invocation = faas__block_take(&lane->blocks, plain->block_bytes);
	faas_event *event;
	int64_t now;

	if (unlikely(!invocation))
		return NULL;
	event = (faas_event *)(invocation + 1);
	now = load_relaxed(&plain->runtime->executor.published_now);
	if (unlikely(now == 0))
		now = faas__look_at_clock(plain->runtime, plain->runner);
	faas__invocation_write(invocation, function, (uint32_t)plain->block_bytes, 1, 0);
	invocation->ahead = faas__block_ahead(&lane->blocks, plain->block_bytes);
	faas__event_write_plain(plain->config, &plain->lengths, event, &plain->runtime->origin,
	                        faas__lane_next_id(plain->runtime, lane), now);
	if (plain->from) {
		event->hops = 1;
		event->last_hop = (uint32_t)plain->from->index;
	}
	return invocation;
}

/* In the lane. False: nothing has happened. */
static inline bool offer_plain(const struct plain *plain, struct lane *lane)
{
	faas_function *function = route_plain(plain, lane);
	faas_invocation *invocation;
	uint64_t admitted;

	if (unlikely(!function) || unlikely(load_seq_cst(&plain->runtime->phase) != RUNTIME_OPEN) ||
	    unlikely(!faas__queue_seems_roomy(function, plain->block_bytes, &admitted)))
		return false;
	invocation = make_plain(plain, lane, function);
	if (unlikely(!invocation))
		return false;
	if (likely(faas__queue_reserve_seen(function, admitted, plain->block_bytes)) ||
	    faas__queue_reserve(function, plain->block_bytes) == FAAS_OK) {
		if (likely(faas__lane_reserve(plain->runtime, lane, plain->block_bytes))) {
			bump_relaxed(&lane->emitted, 1);
			faas__queue_push(function, invocation, plain->runner);
			return true;
		}
		faas__queue_unreserve(function, 1, plain->block_bytes);
	}
	faas__block_free(&plain->runtime->pool, &lane->blocks, invocation, plain->block_bytes);
	return false;
}

/* faas__lane_enter, without a call where it is somebody else's thread and its stripe is free. */
static inline struct lane *enter_lane(faas_runtime *runtime, struct runner *runner)
{
	struct lane *stripe = faas__lane_stripe(&runtime->lanes);

	if (likely(!runner) && likely(faas__lane_try_enter(&runtime->lanes, stripe)))
		return stripe;
	return faas__lane_enter(runtime, runner);
}

static inline bool emit_plain(faas_runtime *runtime, const faas_context *context, const faas_event_config *event)
{
	struct plain plain = {.runtime = runtime, .config = event};
	struct lane *lane;
	bool is_taken;

	if (unlikely(!event) || unlikely(faas__runtime_is_forked(runtime)) || unlikely(!find_origin(&plain, context)) ||
	    unlikely(!faas__event_is_plain(event, runtime->max_data_bytes, &plain.lengths)))
		return false;
	plain.block_bytes =
		faas__block_size(sizeof(faas_invocation) + faas__event_bytes(&plain.lengths, (size_t)event->data_bytes));
	if (unlikely(plain.block_bytes > BLOCK_MAX))
		return false;
	plain.runner = faas__runner_of(runtime);
	lane = enter_lane(runtime, plain.runner);
	is_taken = offer_plain(&plain, lane);
	faas__lane_leave(lane);
	return is_taken;
}

int faas__emit(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
               faas_emission **ret_emission)
{
	if (likely(!ret_emission) && likely(emit_plain(runtime, context, event)))
		return 1;
	return emit_any(runtime, context, event, ret_emission);
}

int faas_emit_event(faas_runtime *runtime, const faas_event_config *event, faas_emission **ret_emission)
{
	struct frame *frame;

	if (!runtime || !event)
		return FAAS_EINVAL;
	/* From inside a handler the call is linked to it as if it had been made through the context. */
	frame = faas__frame_of(runtime);
	return faas__emit(runtime, frame ? frame->context : NULL, event, ret_emission);
}
