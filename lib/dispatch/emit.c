/* SPDX-License-Identifier: MIT */
/*
 * Emitting: from an event's config to an invocation in the queue of the function it matches.
 *
 * The event is checked and measured first. Then, in a lane, the functions are looked up and each is offered the event.
 * One function: the event lies in the invocation's own block. Several: in a block of its own, which they share.
 *
 * Nearly all emits go straight through (emit_plain), the others by fan.c; of those, most functions that share an event
 * are given it here, too (faas__offer_shared), and the rest by offer.c.
 */
#include "dispatch/emit.h"

#include <assert.h>

#include "dispatch/frame.h"
#include "dispatch/runner.h"

/*
 * Nearly every emit is of a plain event, to one function that this lane has routed the type to before, which needs no
 * more than the event, and has room. That goes straight through, in one piece, with as few instructions as it takes. Where
 * anything is otherwise nothing has happened, and the event goes the other way, which tells what is wrong, too. Likewise
 * each function of a fan-out.
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

/* Whether it has been emitted to before, and an invocation of it is a header and the event. */
static inline bool needs_only_event(const faas_function *function)
{
	return likely(faas__function_is_in_service(function)) && likely(!function->wants_records) &&
	       likely(function->header_bytes == sizeof(faas_invocation));
}

/* NULL: its type, or the function, is not for here. In the lane. */
static inline faas_function *route_plain(const struct plain *plain, struct lane *lane)
{
	uint64_t generation = load_seq_cst(&plain->runtime->routes.generation);
	const struct route_cache_entry *entry =
		faas__route_remembered(lane, generation, plain->config->type, plain->lengths.type);

	if (unlikely(!entry) || unlikely(entry->key.count != 1) || unlikely(!needs_only_event(entry->matches[0])))
		return NULL;
	return entry->matches[0];
}

/* The first line of a block for it, unless that is NULL. */
static inline faas_invocation *begin_block(struct lane *lane, void *block, faas_function *function, size_t block_bytes,
                                           uint32_t flags)
{
	faas_invocation *invocation = block;

	if (unlikely(!invocation))
		return NULL;
	faas__invocation_write(invocation, function, (uint32_t)block_bytes, 1, flags);
	invocation->ahead = faas__block_ahead(&lane->blocks, block_bytes);
	return invocation;
}

/* Takes the queue's room for it. `has_runtimes`: it has the runtime's. False: one has none, and the block is gone. */
static bool reserve_queues(faas_runtime *runtime, struct lane *lane, faas_invocation *invocation, size_t bytes,
                           bool has_runtimes)
{
	if (has_runtimes) {
		if (faas__queue_reserve(invocation->function, bytes) == FAAS_OK)
			return true;
		faas__lane_release(runtime, lane, 1, (int64_t)bytes);
	}
	faas__block_free(&runtime->pool, &lane->blocks, invocation, invocation->block_bytes);
	return false;
}

/*
 * Takes room for it, which there seemed to be when so much was admitted. The runtime's comes first: what was taken out of a
 * lease is pushed (queue.c). False: there is none, and the block is gone.
 */
static inline bool reserve(faas_runtime *runtime, struct runner *runner, struct lane *lane, faas_invocation *invocation,
                           uint64_t admitted, size_t bytes)
{
	bool has_runtimes = faas__lane_reserve(runtime, lane, bytes);

	if (likely(has_runtimes) && ((runner && faas__queue_reserve_leased(invocation->function, runner, bytes)) ||
	                             likely(faas__queue_reserve_seen(invocation->function, admitted, bytes))))
		return true;
	/* Others were faster, or there is little room. */
	return reserve_queues(runtime, lane, invocation, bytes, has_runtimes);
}

static inline void write_event(const struct plain *plain, struct lane *lane, faas_event *event)
{
	int64_t now = load_relaxed(&plain->runtime->executor.published_now);

	if (unlikely(now == 0))
		now = faas__look_at_clock(plain->runtime, plain->runner);
	faas__event_write_plain(plain->config, &plain->lengths, event, &plain->runtime->origin,
	                        faas__lane_next_id(plain->runtime, lane), now);
	if (plain->from) {
		event->hops = 1;
		event->last_hop = (uint32_t)plain->from->index;
	}
}

/* In the lane. False: nothing has happened. */
static inline bool offer_plain(const struct plain *plain, struct lane *lane)
{
	faas_function *function = route_plain(plain, lane);
	faas_invocation *invocation;
	uint64_t admitted;
	void *block;

	if (unlikely(!function) || unlikely(load_seq_cst(&plain->runtime->phase) != RUNTIME_OPEN) ||
	    unlikely(!faas__queue_seems_roomy(function, plain->block_bytes, &admitted)))
		return false;
	block = faas__block_take(&lane->blocks, plain->block_bytes);
	/* The cache has been emptied: going the other way for that would cost more than the next magazine. */
	if (unlikely(!block))
		block = faas__block_alloc(&plain->runtime->pool, &lane->blocks, plain->block_bytes);
	invocation = begin_block(lane, block, function, plain->block_bytes, 0);
	if (unlikely(!invocation))
		return false;
	write_event(plain, lane, (faas_event *)(invocation + 1));
	if (unlikely(!reserve(plain->runtime, plain->runner, lane, invocation, admitted, plain->block_bytes)))
		return false;
	bump_relaxed(&lane->emitted, 1);
	faas__queue_push(function, invocation, plain->runner);
	return true;
}

bool faas__offer_shared(const struct offer *offer, struct lane *lane, faas_function *function, struct parcel *parcel)
{
	faas_invocation *invocation;
	uint64_t admitted;
	size_t bytes;

	if (!parcel->shared || parcel->has_handle || parcel->deadline != TIME_NEVER ||
	    unlikely(!needs_only_event(function)) || unlikely(load_seq_cst(&offer->runtime->phase) != RUNTIME_OPEN))
		return false;
	bytes = SHARED_BLOCK_BYTES + offer->plan.bytes - 1; /* as faas__parcel_bytes says */
	if (unlikely(!faas__queue_seems_roomy(function, bytes, &admitted)))
		return false;
	invocation = begin_block(lane, faas__block_take(&lane->blocks, SHARED_BLOCK_BYTES), function, SHARED_BLOCK_BYTES,
	                         INVOCATION_SHARED_EVENT);
	if (unlikely(!invocation))
		return false;
	*(faas_event **)(void *)(invocation + 1) = &parcel->shared->event;
	if (unlikely(!reserve_queues(offer->runtime, lane, invocation, bytes, faas__lane_reserve(offer->runtime, lane, bytes))))
		return false;
	/* One for each function, each of which takes one, given or refused; and the last one is the emitter's. */
	assert(parcel->shared_refs > 1);
	parcel->shared_refs--;
	faas__queue_push(function, invocation, offer->runner);
	return true;
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
	return faas__fan_out(runtime, context, event, ret_emission);
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
