/* SPDX-License-Identifier: MIT */
/*
 * Fan-out: an emit that more than one function may get, whose fate somebody wants to know, or about which anything else is
 * out of the ordinary. See emit.c for the others.
 *
 * Each function is offered the event for itself, in the order of registration; where they are several, it lies in a block
 * of its own, counted. With FAAS_EMIT_ALL the blocks are all made first, then room is reserved everywhere, in the order of
 * registration, those that can make room by dropping last, since they never refuse; only then anything is pushed.
 *
 * Waiting for room and settling what was dropped happen out of the lane.
 */
#include <stdio.h>

#include "dispatch/emission.h"
#include "dispatch/emit.h"
#include "dispatch/runner.h"

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
	struct waiting only;           /* where one function needs no more room than this */
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

/* Remembers a full function for later. False: no memory for that. */
static bool put_off(struct fan *fan, size_t index, faas_function *function, int code)
{
	if (!fan->waiting && fan->count == 1)
		fan->waiting = &fan->only;
	else if (!fan->waiting)
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
		int code;

		if (likely(faas__offer_shared(fan->offer, lane, matches[i], &fan->parcel))) {
			fan->accepted++;
			continue;
		}
		code = faas__offer_to(fan->offer, lane, matches[i], &fan->parcel, &invocation);
		if (unlikely(faas__is_full(code) && fan->offer->may_wait) && put_off(fan, i, matches[i], code))
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
	if (fan->waiting != &fan->only)
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
			faas__queue_unreserve(made[i]->function, faas__invocation_bytes(made[i]));
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
	if (refused < fan->count && faas__is_full(code) && fan->offer->may_wait) {
		*ret_refuser = faas_function_ref(matches[refused]);
		fan->first_refusal = code;
		return;
	}
	for (size_t i = 0; i < fan->count; i++) {
		bool all = refused == fan->count, is_cause = i == refused || code == FAAS_ENOMEM || code == FAAS_ECLOSED;

		if (all)
			faas__parcel_push(fan->offer, made[i], &fan->parcel);
		note(fan, i, matches[i], all ? FAAS_OK : is_cause ? code : FAAS_EREFUSED, all ? made[i] : NULL);
	}
	/* What the emit returns is why, not that the others were spared. */
	if (refused < fan->count)
		fan->first_refusal = code;
}

/* ---- The call ---------------------------------------------------------------------------------------------------- */

/*
 * The event in a block of its own, with references for all who may get it: counted one by one, they would be fetched from
 * the threads that give theirs back meanwhile. 0, or FAAS_ENOMEM.
 */
static int share(struct fan *fan, struct lane *lane, size_t most)
{
	if (fan->parcel.shared)
		return FAAS_OK;
	fan->parcel.shared_refs = 1 + (uint32_t)most;
	fan->parcel.shared = faas__shared_event_new(fan->offer->runtime, lane, &fan->offer->plan, fan->parcel.sequence,
	                                            fan->parcel.stamp_ns, fan->parcel.shared_refs);
	return fan->parcel.shared ? FAAS_OK : FAAS_ENOMEM;
}

/* In no lane. */
static void unshare(struct fan *fan)
{
	faas_runtime *runtime = fan->offer->runtime;
	struct lane *lane;

	if (!fan->parcel.shared)
		return;
	lane = faas__lane_enter(runtime, fan->offer->runner);
	faas__shared_event_unref(runtime, lane, fan->parcel.shared, fan->parcel.shared_refs);
	faas__lane_leave(lane);
}

/* Writes the parcel, and asks the filters; they ask the event itself, so it is made for them. 0, or FAAS_ENOMEM. */
static int begin_parcel(struct fan *fan, struct lane *lane, struct route *route)
{
	int error;

	faas__parcel_begin(&fan->parcel, fan->offer, lane);
	if (route->filtered_count == 0)
		return FAAS_OK;
	error = share(fan, lane, route->count + route->filtered_count);
	if (error == FAAS_OK)
		error = faas__route_filter(fan->offer->runtime, lane, &fan->parcel.shared->event, route, &fan->filter_failed,
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
	return count > 1 ? share(fan, lane, count) : FAAS_OK;
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
	unshare(fan);
	faas__offer_end(fan->offer);
	if (fan->parcel.emission) {
		*ret_emission = fan->parcel.emission;
		add_relaxed(&fan->parcel.emission->refs, 1);
		faas__emission_one_settled(fan->parcel.emission, false);
	}
	return fan->accepted > 0 ? fan->accepted : fan->first_refusal;
}

/* One round, in a lane: looks up and offers. `*ret_refuser`: see offer_all. */
static int fan_round(struct fan *fan, bool wants_emission, faas_function **ret_refuser)
{
	faas_runtime *runtime = fan->offer->runtime;
	struct lane *lane = faas__lane_enter(runtime, fan->offer->runner);
	faas_invocation **made = NULL;
	struct route route = {.count = 0};
	int error = faas__route(runtime, lane, &fan->offer->plan, &route);

	*ret_refuser = NULL;
	if (error == FAAS_OK)
		error = begin_parcel(fan, lane, &route);
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

	unshare(fan);
	faas_emission_unref(fan->parcel.emission);
	*fan = (struct fan){.offer = offer};
}

int faas__fan_out(faas_runtime *runtime, faas_context *context, const faas_event_config *event,
                  faas_emission **ret_emission)
{
	struct offer offer;
	struct fan fan = {.offer = &offer};
	faas_function *refuser;
	int error = faas__offer_begin(&offer, runtime, context, event, NULL);

	if (error != FAAS_OK)
		return error;
	while ((error = fan_round(&fan, ret_emission != NULL, &refuser)) == FAAS_OK && refuser) {
		/* All or none, and one was full: when it may have room, everything is looked up anew. */
		int code = fan.first_refusal;
		size_t bytes = faas__parcel_bytes(&offer, refuser, &fan.parcel);

		fan_reset(&fan);
		faas__offer_end(&offer);
		offer.may_wait = faas__await_room(&offer, refuser, code, bytes);
		faas_function_unref(refuser);
	}
	if (error == FAAS_OK) {
		offer_later(&fan);
		return fan_end(&fan, ret_emission);
	}
	fan_reset(&fan);
	faas__offer_end(&offer);
	return error;
}
