/* SPDX-License-Identifier: MIT */
/* Blocks and references of invocations. The states are in invocation.h, what handles tell in handle.c. */
#include "dispatch/invocation.h"

#include <string.h>

#include "base/text.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

/* Sizes go into 32 bits; FAAS_MAX_DATA keeps them there. */
static uint32_t block_size(size_t bytes)
{
	return (uint32_t)faas__block_size(bytes);
}

bool faas__invocation_move(faas_invocation *invocation, uint32_t from, uint32_t to)
{
	uint32_t state = load_acquire(&invocation->state);

	while (faas__phase_of(state) == from)
		if (cas_seq_cst(&invocation->state, &state, (state & ~PHASE_MASK) | to))
			return true;
	return false;
}

bool faas__invocation_end_attempt(faas_invocation *invocation, uint32_t attempt, uint32_t to)
{
	uint32_t state = load_acquire(&invocation->state);

	while (faas__phase_of(state) == PHASE_RUNNING && state >> ATTEMPT_SHIFT == (attempt & 0xffffu))
		if (cas_seq_cst(&invocation->state, &state, (state & ~PHASE_MASK) | to))
			return true;
	return false;
}

seldom faas_event *faas__event_behind(const faas_invocation *invocation)
{
	if (unlikely(faas__is_record(invocation)))
		return faas__record_of(invocation)->event;
	if (unlikely(invocation->flags & INVOCATION_SHARED_EVENT))
		return *(faas_event **)faas__event_place(invocation);
	return faas__event_place(invocation);
}

/* Field by field: clearing it as a whole takes longer than all else here. Those of a callback are written with it. */
static void write_result(faas_invocation *invocation, faas_function *function, int64_t deadline)
{
	struct result *result = faas__result_of(invocation);

	result->emission = NULL;
	result->deadline = deadline;
	result->follow = NULL;
	store_relaxed(&result->is_published, 0);
	result->queued_ns = 0;
	result->init_ns = 0;
	result->run_ns = 0;
	result->total_ns = 0;
	result->answer = NULL;
	result->message = NULL;
	result->code = 0;
	result->handler_result = 0;
	result->is_cold = 0;
	if (!faas__is_borrowed(invocation))
		faas_function_ref(function);
}

seldom static void write_keyed(faas_invocation *invocation)
{
	struct keyed *keyed = faas__keyed_of(invocation);
	const char *key = faas_event_key(faas__event_of(invocation));

	memset(keyed, 0, sizeof(*keyed));
	list_init(&keyed->waiting);
	list_init(&keyed->arrival);
	keyed->of = invocation;
	if (key)
		keyed->hash = faas__text_hash(key, strlen(key), invocation->function->runtime->hash_seed);
}

faas_invocation *faas__invocation_new(faas_runtime *runtime, struct lane *lane, faas_function *function,
                                      const struct event_plan *plan, struct parcel *parcel)
{
	bool has_result = faas__parcel_needs_result(parcel, function);
	size_t header = faas__invocation_header(function, has_result);
	uint32_t bytes = block_size(header + (parcel->shared ? sizeof(faas_event *) : plan->bytes));
	faas_invocation *invocation = faas__block_alloc(&runtime->pool, &lane->blocks, bytes);
	void *place = (char *)invocation + header; /* faas__event_place */

	if (unlikely(!invocation))
		return NULL;
	faas__invocation_write(invocation, function, bytes, parcel->has_handle ? 2 : 1,
	                       (has_result ? INVOCATION_HAS_RESULT : 0) | (parcel->shared ? INVOCATION_SHARED_EVENT : 0) |
	                               (parcel->is_sync ? INVOCATION_IS_SYNC : 0) | (parcel->is_private ? INVOCATION_IS_PRIVATE : 0) |
	                               (parcel->is_borrowed ? INVOCATION_IS_BORROWED : 0) |
	                               (function->is_ordered ? INVOCATION_IS_KEYED : 0));
	invocation->ahead = faas__block_ahead(&lane->blocks, bytes);
	if (has_result) {
		write_result(invocation, function, parcel->deadline);
		faas__result_of(invocation)->emission = parcel->emission;
	}
	if (parcel->shared) {
		/* The last one that is at hand is the emitter's. */
		if (parcel->shared_refs > 1)
			parcel->shared_refs--;
		else
			add_relaxed(&parcel->shared->refs, 1);
		*(faas_event **)place = &parcel->shared->event;
	} else {
		faas__event_write(plan, place, &runtime->origin, parcel->sequence, parcel->stamp_ns);
	}
	if (unlikely(function->is_ordered))
		write_keyed(invocation);
	return invocation;
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

#define RECORD_BYTES                                                                                                   \
	(sizeof(faas_invocation) + sizeof(struct result) + sizeof(struct keyed) + sizeof(struct record))

seldom faas_invocation *faas__record_block(faas_runtime *runtime, struct lane *lane)
{
	uint32_t bytes = block_size(RECORD_BYTES);
	faas_invocation *block = faas__block_alloc(&runtime->pool, &lane->blocks, bytes);

	if (block)
		block->block_bytes = bytes;
	return block;
}

seldom void faas__record_write(faas_invocation *block, faas_function *function, faas_invocation *of, int64_t now,
                        uint32_t hops)
{
	struct record *record;

	faas__invocation_write(block, function, block->block_bytes, 1,
	                       INVOCATION_HAS_RESULT | INVOCATION_IS_RECORD | (function->is_ordered ? INVOCATION_IS_KEYED : 0));
	write_result(block, function, TIME_NEVER);
	record = faas__record_of(block);
	record->of = faas_invocation_ref(of);
	record->event = faas__event_of(of);
	record->stamp_ns = now;
	record->hops = hops;
	record->is_redriven = 0;
	if (function->is_ordered)
		write_keyed(block);
}

seldom void faas__record_unwrite(faas_invocation *block, struct lane *lane)
{
	faas_runtime *runtime = block->function->runtime;
	struct result *result = faas__result_of(block);

	if (result->follow)
		faas__block_free(&runtime->pool, &lane->blocks, result->follow, result->follow->block_bytes);
	result->follow = NULL;
	/* Neither is the last: the caller knows both. */
	sub_acq_rel(&faas__record_of(block)->of->refs, 1);
	faas_function_unref(block->function);
}

seldom struct shared_event *faas__shared_event_new(faas_runtime *runtime, struct lane *lane, const struct event_plan *plan,
                                            uint64_t sequence, int64_t stamp_ns, uint32_t refs)
{
	uint32_t bytes = block_size(offsetof(struct shared_event, event) + plan->bytes);
	struct shared_event *shared = faas__block_alloc(&runtime->pool, &lane->blocks, bytes);

	if (!shared)
		return NULL;
	store_relaxed(&shared->refs, refs);
	shared->block_bytes = bytes;
	faas__event_write(plan, &shared->event, &runtime->origin, sequence, stamp_ns);
	return shared;
}

void faas__shared_event_unref(faas_runtime *runtime, struct lane *lane, struct shared_event *shared, uint32_t refs)
{
	if (sub_acq_rel(&shared->refs, refs) == refs)
		faas__block_free(&runtime->pool, &lane->blocks, shared, shared->block_bytes);
}

static bool drop(faas_invocation *invocation)
{
	/* Alone with it: nobody can take a reference from one that nobody has. */
	if (load_acquire(&invocation->refs) == 1)
		return true;
	return sub_acq_rel(&invocation->refs, 1) == 1;
}

/* What goes with an invocation, taken from it before its block does. */
struct belongings {
	faas_runtime *runtime;
	faas_function *function;    /* counted; NULL */
	faas_invocation *record_of; /* counted; NULL */
};

/* Nothing goes with most. */
static bool has_belongings(const faas_invocation *invocation)
{
	if (faas__is_private(invocation))
		return faas__result_of(invocation)->answer || faas__result_of(invocation)->message;
	return (invocation->flags & (INVOCATION_HAS_RESULT | INVOCATION_IS_RECORD)) != 0 ||
	       unlikely(invocation->is_linked >= LINK_LETTER);
}

/* What may need the runtime after the block is gone, or leads to another invocation, comes after the lane. */
static struct belongings take_belongings(faas_invocation *invocation)
{
	struct belongings belongings = {.runtime = invocation->function->runtime};

	if (faas__has_result(invocation)) {
		struct result *result = faas__result_of(invocation);

		belongings.function = faas__is_borrowed(invocation) ? NULL : invocation->function;
		faas__answer_free(belongings.runtime, result->answer);
		faas__message_free(belongings.runtime, result->message);
	} else if (unlikely(invocation->is_linked >= LINK_LETTER)) {
		belongings.function = invocation->function;
		faas__message_free(belongings.runtime, invocation->letter.message);
	}
	if (unlikely(faas__is_record(invocation)))
		belongings.record_of = faas__record_of(invocation)->of;
	return belongings;
}

static inline void free_in(faas_invocation *invocation, faas_runtime *runtime, struct lane *lane)
{
	if (faas__has_result(invocation) && faas__result_of(invocation)->follow) {
		faas_invocation *follow = faas__result_of(invocation)->follow;

		faas__block_free(&runtime->pool, &lane->blocks, follow, follow->block_bytes);
	}
	if (invocation->flags & INVOCATION_SHARED_EVENT)
		faas__shared_event_unref(runtime, lane, faas__shared_event_from(faas__event_of(invocation)), 1);
	faas__block_free(&runtime->pool, &lane->blocks, invocation, invocation->block_bytes);
}

/* The same with what belongs to it, which is the caller's now. */
seldom static struct belongings free_whole(faas_invocation *invocation, struct lane *lane)
{
	struct belongings belongings = take_belongings(invocation);

	free_in(invocation, belongings.runtime, lane);
	return belongings;
}

/* Records of records: each was another's last holder, perhaps. Counted, so the runtime outlives the loop. */
void faas__invocation_unref_in(faas_invocation *invocation, struct lane *lane)
{
	while (invocation && drop(invocation)) {
		struct belongings belongings;

		if (likely(!has_belongings(invocation))) {
			free_in(invocation, invocation->function->runtime, lane);
			return;
		}
		belongings = free_whole(invocation, lane);
		invocation = belongings.record_of;
		faas_function_unref(belongings.function);
	}
}

seldom void faas__invocation_unref(faas_invocation *invocation)
{
	while (invocation && drop(invocation)) {
		faas_runtime *runtime = invocation->function->runtime;
		struct lane *lane = faas__lane_enter(runtime, faas__runner_of(runtime));
		struct belongings belongings = free_whole(invocation, lane);

		faas__lane_leave(lane);
		invocation = belongings.record_of;
		faas_function_unref(belongings.function);
	}
}

void faas__dead_add(faas_invocation **dead, faas_invocation *invocation)
{
	store_relaxed(&invocation->node.next, *dead ? &(*dead)->node : NULL);
	*dead = invocation;
}

seldom faas_invocation *faas__dead_reverse(faas_invocation *dead)
{
	faas_invocation *reversed = NULL;

	while (dead) {
		struct mpsc_node *next = load_relaxed(&dead->node.next);

		faas__dead_add(&reversed, dead);
		dead = next ? container_of(next, faas_invocation, node) : NULL;
	}
	return reversed;
}

seldom void faas__dead_unref(faas_invocation *dead)
{
	while (dead) {
		struct mpsc_node *next = load_relaxed(&dead->node.next);

		faas__invocation_unref(dead);
		dead = next ? container_of(next, faas_invocation, node) : NULL;
	}
}
