/* SPDX-License-Identifier: MIT */
/*
 * Lanes and the epochs that keep safe what is read in them. See lane.h.
 *
 * Why a reader never sees freed memory: a reader reads the epoch e, writes it into its word (read-modify-write), and
 * then loads a pointer. A writer unlinks, advances the epoch from E, and frees once every word is 0 or above E. If the
 * writer's look found the word 0, the reader's write came later, so its load comes after the unlinking and cannot find
 * the old pointer. If e is above E, the reader read the epoch after the writer had advanced it, hence after the
 * unlinking. All of these are sequentially consistent.
 */
#include "dispatch/lane.h"

#include "base/random.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define ID_CHUNK 256u

_Thread_local FAST_TLS char faas__lane_identity;

/* The first one is taken: somebody else is in it. */
seldom static struct lane *enter_any_stripe(struct lanes *lanes)
{
	uint32_t at = (uint32_t)(faas__lane_stripe(lanes) - lanes->stripes);

	for (uint32_t tries = 1;; tries++) {
		struct lane *lane = &lanes->stripes[(at + tries) & (lanes->stripe_count - 1)];

		if (faas__lane_try_enter(lanes, lane))
			return lane;
		if ((tries & (lanes->stripe_count - 1)) == 0)
			faas__thread_yield();
	}
}

struct lane *faas__lane_enter(faas_runtime *runtime, struct runner *runner)
{
	struct lanes *lanes = &runtime->lanes;

	if (!runner) {
		struct lane *lane = faas__lane_stripe(lanes);

		return likely(faas__lane_try_enter(lanes, lane)) ? lane : enter_any_stripe(lanes);
	}
	(void)exchange_seq_cst(&runner->lane.word, load_seq_cst(&lanes->epoch));
	return &runner->lane;
}

seldom void faas__lane_get_ids(faas_runtime *runtime, struct lane *lane)
{
	lane->id_next = add_relaxed(&runtime->lanes.id_next, ID_CHUNK);
	lane->id_end = lane->id_next + ID_CHUNK;
}

/* ---- Room in the runtime's queues -------------------------------------------------------------------------------- */

static bool lease(atomic_i64 *available, int64_t need, int64_t chunk, int64_t *credit)
{
	int64_t have = load_relaxed(available), want = need > chunk ? need : chunk, take;

	do {
		if (have < need)
			return false;
		take = have < want ? have : want;
	} while (!cas_relaxed(available, &have, have - take));
	*credit += take;
	return true;
}

/* Where there is no limit, what is leased once is enough for ever. */
static bool has_credit(atomic_i64 *available, int64_t need, int64_t chunk, int64_t max, int64_t *credit)
{
	if (*credit >= need)
		return true;
	if (max != FAAS_UNLIMITED)
		return lease(available, need - *credit, chunk, credit);
	*credit = INT64_MAX;
	return true;
}

static void give_back(atomic_i64 *available, int64_t amount, int64_t chunk, int64_t max, int64_t *credit)
{
	if (max == FAAS_UNLIMITED)
		return;
	*credit += amount;
	if (*credit <= 2 * chunk)
		return;
	add_seq_cst(available, *credit - chunk);
	*credit = chunk;
}

bool faas__lane_lease(faas_runtime *runtime, struct lane *lane, size_t bytes)
{
	struct lanes *lanes = &runtime->lanes;

	if (!has_credit(&lanes->free_events, 1, lanes->chunk_events, lanes->max_events, &lane->credit_events))
		return false;
	if (!has_credit(&lanes->free_bytes, (int64_t)bytes, lanes->chunk_bytes, lanes->max_bytes, &lane->credit_bytes)) {
		/* What was leased for it may be somebody else's room. */
		give_back(&lanes->free_events, 0, lanes->chunk_events, lanes->max_events, &lane->credit_events);
		return false;
	}
	lane->credit_events--;
	lane->credit_bytes -= (int64_t)bytes;
	return true;
}

void faas__lane_release(faas_runtime *runtime, struct lane *lane, int64_t events, int64_t bytes)
{
	struct lanes *lanes = &runtime->lanes;

	give_back(&lanes->free_events, events, lanes->chunk_events, lanes->max_events, &lane->credit_events);
	give_back(&lanes->free_bytes, bytes, lanes->chunk_bytes, lanes->max_bytes, &lane->credit_bytes);
}

seldom void faas__lane_force(faas_runtime *runtime, int64_t events, int64_t bytes)
{
	struct lanes *lanes = &runtime->lanes;

	if (lanes->max_events != FAAS_UNLIMITED)
		sub_seq_cst(&lanes->free_events, events);
	if (lanes->max_bytes != FAAS_UNLIMITED)
		sub_seq_cst(&lanes->free_bytes, bytes);
}

/* ---- Epochs ------------------------------------------------------------------------------------------------------ */

uint64_t faas__epoch_advance(faas_runtime *runtime)
{
	return add_seq_cst(&runtime->lanes.epoch, 1);
}

static bool is_past(const struct lane *lane, uint64_t epoch)
{
	uint64_t word = load_seq_cst(&lane->word);

	return word == 0 || word > epoch;
}

seldom bool faas__epoch_has_passed(faas_runtime *runtime, uint64_t epoch)
{
	struct executor *executor = &runtime->executor;
	bool passed = true;

	for (uint32_t i = 0; i < runtime->lanes.stripe_count; i++)
		if (!is_past(&runtime->lanes.stripes[i], epoch))
			return false;
	faas__mutex_lock(&executor->threads_mu);
	list_each(node, &executor->threads)
		passed = passed && is_past(&faas__runner_from(container_of(node, struct thread, node))->lane, epoch);
	faas__mutex_unlock(&executor->threads_mu);
	return passed;
}

seldom void faas__epoch_await(faas_runtime *runtime, uint64_t epoch)
{
	while (!faas__epoch_has_passed(runtime, epoch))
		faas__thread_yield();
}
