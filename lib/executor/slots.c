/* SPDX-License-Identifier: MIT */
/*
 * Slots: how a deadline is seen without costing the thread that runs anything but two stores and one exchange.
 *
 * The owner writes deadline and attempt, then the word (release). A claimant reads the word (acquire), then the
 * deadline, and claims by compare-and-swap on that same word: since the sequence is part of it, what was read belongs
 * to what was claimed. The owner ends with an exchange; if that shows the claim, the owner waits until the claimant
 * has let go, which is soon, since a claimant runs no user code.
 *
 * What would be simpler: a mutex per thread. It costs two more atomic operations per run.
 */
#include "executor/executor.h"

void faas__slot_await(struct slot *slot, uint64_t sequence)
{
	while (load_acquire(&slot->let_go) != sequence)
		faas__thread_yield();
}

static bool claim(struct slot *slot, uint64_t word, void **ret_attempt)
{
	if ((word & (SLOT_RUNNING | SLOT_CLAIMED)) != SLOT_RUNNING)
		return false;
	if (!cas_acq_rel(&slot->word, &word, word | SLOT_CLAIMED))
		return false;
	*ret_attempt = load_relaxed(&slot->attempt);
	return true;
}

bool faas__slot_claim_due(struct slot *slot, int64_t now, void **ret_attempt)
{
	uint64_t word = load_acquire(&slot->word);

	if ((word & SLOT_RUNNING) == 0 || load_relaxed(&slot->deadline) > now)
		return false;
	return claim(slot, word, ret_attempt);
}

bool faas__slot_claim(struct slot *slot, void **ret_attempt)
{
	return claim(slot, load_acquire(&slot->word), ret_attempt);
}

/*
 * The owner may have ended meanwhile, in which case the word shows no claim any more; it cannot have begun again. If it
 * has not ended, the claim bit must go, so that its end need not wait and others can claim.
 */
void faas__slot_let_go(struct slot *slot)
{
	uint64_t word = load_acquire(&slot->word);
	uint64_t sequence = word >> SLOT_SEQUENCE_SHIFT;

	/* Once let_go holds the sequence, the owner may begin again: the word is not ours to change after that. */
	if ((word & SLOT_CLAIMED) != 0 && cas_acq_rel(&slot->word, &word, sequence << SLOT_SEQUENCE_SHIFT | SLOT_RUNNING))
		return;
	store_release(&slot->let_go, sequence);
}
