/* SPDX-License-Identifier: MIT */
/*
 * Emitting: from an event's config to invocations in the queues of the functions it matches.
 *
 * The event is checked and measured first. Then, in a lane, the functions are looked up and each is offered the event:
 * its block is made and filled, room is reserved, and at once it is pushed, so that a queue never holds a reservation
 * while somebody copies a large payload. One function: the event lies in the invocation's own block. Several: in a block
 * of its own, counted. With FAAS_EMIT_ALL the blocks are all made first, then room is reserved everywhere, in the order
 * of registration, those that can make room by dropping last, since they never refuse; only then anything is pushed.
 *
 * Waiting for room and settling what was dropped happen out of the lane.
 */
#include "dispatch/emit.h"

#include <stdio.h>

#include "dispatch/emission.h"
#include "dispatch/frame.h"
#include "dispatch/record.h"
#include "dispatch/runner.h"

static inline faas_invocation *make(struct offer *offer, struct lane *lane, faas_function *function,
                                    const struct parcel *parcel)
{
	faas_invocation *invocation = faas__invocation_new(offer->runtime, lane, function, &offer->plan, parcel);

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

void faas__parcel_push(faas_invocation *invocation, const struct parcel *parcel)
{
	if (parcel->emission) {
		add_relaxed(&parcel->emission->refs, 1);
		add_relaxed(&parcel->emission->pending, 1);
	}
	faas__queue_push(invocation->function, invocation);
}

/* Memory an invocation of it counts for, as far as can be told before it is made. */
static inline size_t parcel_bytes(const struct offer *offer, const faas_function *function,
                                  const struct parcel *parcel)
{
	size_t header = faas__invocation_header(function, faas__parcel_needs_result(parcel, function));

	/* As faas__invocation_bytes will count it; the zero byte behind the data is no part of a shared event there. */
	if (parcel->shared)
		return faas__block_size(header) + offer->plan.bytes - 1;
	return faas__block_size(header + offer->plan.bytes);
}

/* Offers the event to one function. FAAS_OK and the invocation (the caller's only if it has a handle), or a refusal. */
int faas__offer_to(struct offer *offer, struct lane *lane, faas_function *function, const struct parcel *parcel,
                    faas_invocation **ret_invocation)
{
	int code = faas__intake_check(offer->runtime);
	faas_invocation *invocation;

	if (likely(code == FAAS_OK))
		code = faas__admit_peek(function, parcel_bytes(offer, function, parcel));
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
	faas__parcel_push(invocation, parcel);
	return FAAS_OK;
}

/* Waits for room, again and again. In no lane; holds a reference to the function. */
int faas__offer_until(struct offer *offer, faas_function *function, const struct parcel *parcel, int code,
                       faas_invocation **ret_invocation)
{
	for (;;) {
		struct lane *lane;

		/* What was dropped must not have to wait for this. */
		faas__offer_end(offer);
		if (!faas__await_room(offer, function, code, parcel_bytes(offer, function, parcel)))
			break;
		lane = faas__lane_enter(offer->runtime, offer->runner);

		code = faas__offer_to(offer, lane, function, parcel, ret_invocation);
		faas__lane_leave(lane);
		if (code == FAAS_OK)
			return code;
	}
	return faas__intake_check(offer->runtime) == FAAS_OK ? code : FAAS_ECLOSED;
}

/* ---- Emitting to all that match ---------------------------------------------------------------------------------- */

/* A function that was full and whose emitter may wait. */
struct waiting {
	faas_function *function; /* counted */
	size_t index;
	int code;
};

/* The fan-out of one emit. */
struct fan {
	struct offer *offer;
	struct parcel parcel;
	size_t count;
	int accepted;
	int first_refusal;
	struct waiting *waiting;
	size_t waiting_count;
	struct binding *filter_failed; /* counted; whose first error is to be logged; NULL: none */
	int filter_code;
};

static void note(struct fan *fan, size_t index, faas_function *function, int code, faas_invocation *invocation)
{
	if (code == FAAS_OK) {
		fan->accepted++;
	} else {
		faas__count_rejected(function, code);
		if (fan->first_refusal == FAAS_OK)
			fan->first_refusal = code;
	}
	if (fan->parcel.emission) {
		struct emission_entry *entry = &fan->parcel.emission->entries[index];

		entry->function = faas_function_ref(function);
		entry->invocation = code == FAAS_OK ? invocation : NULL;
		entry->code = code;
	}
}

static bool is_full(int code)
{
	return code == FAAS_EFULL || code == FAAS_ERUNTIMEFULL;
}

/* Remembers a full function for later. False: no memory for that. */
static bool put_off(struct fan *fan, size_t index, faas_function *function, int code)
{
	if (!fan->waiting)
		fan->waiting = faas__alloc(&fan->offer->runtime->allocator, fan->count * sizeof(*fan->waiting));
	if (!fan->waiting)
		return false;
	fan->waiting[fan->waiting_count++] =
		(struct waiting){.function = faas_function_ref(function), .index = index, .code = code};
	return true;
}

static void offer_each(struct fan *fan, struct lane *lane, struct faas_function *const *matches)
{
	for (size_t i = 0; i < fan->count; i++) {
		faas_invocation *invocation = NULL;
		int code = faas__offer_to(fan->offer, lane, matches[i], &fan->parcel, &invocation);

		if (unlikely(is_full(code) && fan->offer->may_wait) && put_off(fan, i, matches[i], code))
			continue;
		note(fan, i, matches[i], code, invocation);
	}
}

/* Out of the lane: those that were full, one after the other, until the time is over. */
static void offer_later(struct fan *fan)
{
	for (size_t i = 0; i < fan->waiting_count; i++) {
		struct waiting *waiting = &fan->waiting[i];
		faas_invocation *invocation = NULL;
		int code = faas__offer_until(fan->offer, waiting->function, &fan->parcel, waiting->code, &invocation);

		note(fan, waiting->index, waiting->function, code, invocation);
		faas_function_unref(waiting->function);
	}
	faas__free(&fan->offer->runtime->allocator, fan->waiting, fan->count * sizeof(*fan->waiting));
}

/* ---- All or none ------------------------------------------------------------------------------------------------- */

/* Leases the runtime's room for all. The index that found it full, or count. */
static size_t lease_all(struct fan *fan, struct lane *lane, faas_invocation *const *made)
{
	for (size_t i = 0; i < fan->count; i++)
		if (!faas__lane_reserve(fan->offer->runtime, lane, faas__invocation_bytes(made[i])))
			return i;
	return fan->count;
}

static void unlease(struct fan *fan, struct lane *lane, faas_invocation *const *made, size_t count)
{
	for (size_t i = 0; i < count; i++)
		faas__lane_release(fan->offer->runtime, lane, 1, (int64_t)faas__invocation_bytes(made[i]));
}

/* Reserves room for those that drop (or do not drop) their oldest. The index that refused, or count. */
static size_t reserve_some(struct fan *fan, struct lane *lane, faas_invocation *const *made, bool droppers,
                           int *ret_code)
{
	for (size_t i = 0; i < fan->count; i++) {
		if (made[i]->function->drops_oldest != droppers)
			continue;
		*ret_code = faas__admit_to_queue(fan->offer, lane, made[i]->function, faas__invocation_bytes(made[i]));
		if (*ret_code != FAAS_OK)
			return i;
	}
	return fan->count;
}

static void unreserve_some(faas_invocation *const *made, bool droppers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (made[i]->function->drops_oldest == droppers)
			faas__queue_unreserve(made[i]->function, 1, faas__invocation_bytes(made[i]));
}

/* The runtime's room first, before anything is dropped for it in vain; then those that can refuse; then the droppers. */
static size_t reserve_all(struct fan *fan, struct lane *lane, faas_invocation *const *made, int *ret_code)
{
	size_t refused = lease_all(fan, lane, made);

	if (refused < fan->count) {
		*ret_code = FAAS_ERUNTIMEFULL;
		unlease(fan, lane, made, refused);
		return refused;
	}
	refused = reserve_some(fan, lane, made, false, ret_code);
	if (refused < fan->count) {
		unreserve_some(made, false, refused);
	} else {
		refused = reserve_some(fan, lane, made, true, ret_code);
		if (refused < fan->count) {
			unreserve_some(made, true, refused);
			unreserve_some(made, false, fan->count);
		}
	}
	if (refused < fan->count)
		unlease(fan, lane, made, fan->count);
	return refused;
}

/* Whether a dropper could be asked in vain: then it must be found out before anything is dropped. */
static size_t find_hopeless(const struct fan *fan, faas_invocation *const *made, int *ret_code)
{
	for (size_t i = 0; i < fan->count; i++) {
		*ret_code = faas__admit_peek(made[i]->function, faas__invocation_bytes(made[i]));
		if (*ret_code != FAAS_OK)
			return i;
	}
	return fan->count;
}

static size_t make_all(struct fan *fan, struct lane *lane, struct faas_function *const *matches,
                       faas_invocation **made)
{
	for (size_t i = 0; i < fan->count; i++) {
		made[i] = faas__parcel_make(fan->offer, lane, matches[i], &fan->parcel);
		if (!made[i]) {
			while (i-- > 0)
				faas__parcel_unmake(lane, made[i]);
			return 0;
		}
	}
	return fan->count;
}

/* One try. `*ret_refuser`: the function that refused, counted, if that can be waited for. */
static void offer_all(struct fan *fan, struct lane *lane, struct faas_function *const *matches,
                      faas_invocation **made, faas_function **ret_refuser)
{
	size_t refused = 0;
	int code = faas__intake_check(fan->offer->runtime);

	*ret_refuser = NULL;
	if (code == FAAS_OK)
		code = FAAS_ENOMEM;
	if (code == FAAS_ENOMEM && make_all(fan, lane, matches, made) == fan->count) {
		refused = find_hopeless(fan, made, &code);
		if (refused == fan->count)
			refused = reserve_all(fan, lane, made, &code);
		if (refused < fan->count)
			for (size_t i = 0; i < fan->count; i++)
				faas__parcel_unmake(lane, made[i]);
	}
	if (refused < fan->count && is_full(code) && fan->offer->may_wait) {
		*ret_refuser = faas_function_ref(matches[refused]);
		fan->first_refusal = code;
		return;
	}
	for (size_t i = 0; i < fan->count; i++) {
		bool all = refused == fan->count;

		if (all)
			faas__parcel_push(made[i], &fan->parcel);
		note(fan, i, matches[i], all ? FAAS_OK : i == refused || code == FAAS_ENOMEM || code == FAAS_ECLOSED ? code : FAAS_EREFUSED,
		     all ? made[i] : NULL);
	}
	/* What the emit returns is why, not that the others were spared. */
	if (refused < fan->count)
		fan->first_refusal = code;
}

/* ---- The call ---------------------------------------------------------------------------------------------------- */

/* The event in a block of its own. 0, or FAAS_ENOMEM. */
static int share(struct fan *fan, struct lane *lane)
{
	if (!fan->parcel.shared)
		fan->parcel.shared = faas__shared_event_new(fan->offer->runtime, lane, &fan->offer->plan,
		                                            fan->parcel.sequence, fan->parcel.stamp_ns);
	return fan->parcel.shared ? FAAS_OK : FAAS_ENOMEM;
}

/* Finds who gets the event. Filters ask the event itself, so it is made for them. 0, or FAAS_ENOMEM. */
static int find_route(struct fan *fan, struct lane *lane, struct route *route)
{
	const struct event_plan *plan = &fan->offer->plan;
	faas_runtime *runtime = fan->offer->runtime;
	int error;

	*route = (struct route){0};
	error = faas__route(runtime, lane, plan->config->type, plan->type, route);
	if (error != FAAS_OK)
		return error;
	fan->parcel.sequence = faas__lane_next_id(runtime, lane);
	fan->parcel.stamp_ns = faas__executor_recent(&runtime->executor);
	fan->parcel.deadline = faas__offer_deadline(fan->offer, fan->parcel.stamp_ns);
	if (likely(route->filtered_count == 0))
		return FAAS_OK;
	error = share(fan, lane);
	if (error == FAAS_OK)
		error = faas__route_filter(runtime, lane, &fan->parcel.shared->event, route, &fan->filter_failed,
		                           &fan->filter_code);
	return error;
}

/* Makes what the fan-out needs. 0, or FAAS_ENOMEM. */
static int fan_begin(struct fan *fan, struct lane *lane, size_t count, bool wants_emission)
{
	fan->count = count;
	if (wants_emission) {
		fan->parcel.emission = faas__emission_new(fan->offer->runtime, count);
		if (!fan->parcel.emission)
			return FAAS_ENOMEM;
		fan->parcel.has_handle = true;
	}
	return count > 1 ? share(fan, lane) : FAAS_OK;
}

/* In no lane: says what the first error of a binding's filter was. */
static void log_filter_error(struct fan *fan)
{
	faas_runtime *runtime = fan->offer->runtime;
	char message[160];

	if (likely(!fan->filter_failed))
		return;
	(void)snprintf(message, sizeof(message), "a binding's filter ended in an error, so the event does not pass: %s (%s)",
	               faas_strerror(fan->filter_code), faas_error_name(fan->filter_code));
	faas__log(runtime, FAAS_LOG_WARNING, fan->filter_failed->function->name, message);
	faas__binding_unref(runtime, fan->filter_failed);
	fan->filter_failed = NULL;
}

/* In no lane. The emission is complete now, and may already be settled. */
static int fan_end(struct fan *fan, faas_emission **ret_emission)
{
	faas_runtime *runtime = fan->offer->runtime;
	struct lane *lane;

	if (fan->parcel.shared) {
		lane = faas__lane_enter(runtime, fan->offer->runner);
		faas__shared_event_unref(runtime, lane, fan->parcel.shared);
		faas__lane_leave(lane);
	}
	faas__offer_end(fan->offer);
	if (fan->parcel.emission) {
		*ret_emission = fan->parcel.emission;
		add_relaxed(&fan->parcel.emission->refs, 1);
		faas__emission_one_settled(fan->parcel.emission, false);
	}
	return fan->accepted > 0 ? fan->accepted : fan->first_refusal;
}

/* What nearly every emit is: one function gets it, and nobody will ask. */
static inline bool is_for_one(const struct fan *fan, const struct route *route, bool wants_emission)
{
	return route->count == 1 && !wants_emission && !fan->parcel.shared && fan->offer->plan.config->flags == 0;
}

static inline void offer_one(struct fan *fan, struct lane *lane, faas_function *function)
{
	faas_invocation *invocation;
	int code = faas__offer_to(fan->offer, lane, function, &fan->parcel, &invocation);

	fan->count = 1;
	if (likely(code == FAAS_OK))
		fan->accepted = 1;
	else if (!is_full(code) || !fan->offer->may_wait || !put_off(fan, 0, function, code))
		note(fan, 0, function, code, NULL);
	bump_relaxed(&lane->emitted, 1);
}

/* One round in the lane: look up and offer. `*ret_refuser`: see offer_all. */
static int emit_round(struct fan *fan, bool wants_emission, faas_function **ret_refuser)
{
	faas_runtime *runtime = fan->offer->runtime;
	struct lane *lane = faas__lane_enter(runtime, fan->offer->runner);
	faas_invocation **made = NULL;
	struct route route;
	int error = find_route(fan, lane, &route);

	*ret_refuser = NULL;
	if (likely(error == FAAS_OK && is_for_one(fan, &route, wants_emission))) {
		offer_one(fan, lane, route.matches[0]);
		faas__lane_leave(lane);
		return FAAS_OK;
	}
	if (error == FAAS_OK)
		error = fan_begin(fan, lane, route.count, wants_emission);
	if (error == FAAS_OK && (fan->offer->plan.config->flags & FAAS_EMIT_ALL) && route.count > 0) {
		made = faas__alloc(&runtime->allocator, route.count * sizeof(faas_invocation *));
		error = made ? FAAS_OK : FAAS_ENOMEM;
	}
	if (error == FAAS_OK) {
		if (made)
			offer_all(fan, lane, route.matches, made, ret_refuser);
		else
			offer_each(fan, lane, route.matches);
		/* A round that another one follows does not count. */
		bump_relaxed(&lane->emitted, *ret_refuser == NULL);
		bump_relaxed(&lane->unmatched, route.count == 0);
	}
	faas__lane_leave(lane);
	faas__free(&runtime->allocator, made, route.count * sizeof(faas_invocation *));
	log_filter_error(fan);
	return error;
}

/* Forgets a round that came to nothing, before the next. */
static void fan_reset(struct fan *fan)
{
	struct offer *offer = fan->offer;

	if (fan->parcel.shared) {
		struct lane *lane = faas__lane_enter(offer->runtime, offer->runner);

		faas__shared_event_unref(offer->runtime, lane, fan->parcel.shared);
		faas__lane_leave(lane);
	}
	faas_emission_unref(fan->parcel.emission);
	*fan = (struct fan){.offer = offer};
}

int faas__emit(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
               faas_emission **ret_emission)
{
	struct offer offer;
	struct fan fan = {.offer = &offer};
	faas_function *refuser;
	int error = faas__offer_begin(&offer, runtime, context, event, NULL);

	if (error != FAAS_OK)
		return error;
	for (;;) {
		int code;

		error = emit_round(&fan, ret_emission != NULL, &refuser);
		if (error != FAAS_OK) {
			fan_reset(&fan);
			faas__offer_end(&offer);
			return error;
		}
		if (!refuser)
			break;
		/* All or none, and one was full: when it may have room, everything is looked up anew. */
		code = fan.first_refusal;
		fan_reset(&fan);
		faas__offer_end(&offer);
		offer.may_wait = faas__await_room(&offer, refuser, code, parcel_bytes(&offer, refuser, &fan.parcel));
		faas_function_unref(refuser);
	}
	if (likely(fan.count == 1 && fan.accepted == 1 && !fan.parcel.emission && !fan.parcel.shared && !offer.dropped))
		return 1;
	if (fan.waiting_count > 0)
		offer_later(&fan);
	return fan_end(&fan, ret_emission);
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
