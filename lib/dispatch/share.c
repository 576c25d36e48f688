/* SPDX-License-Identifier: MIT */
/* The runtime's concurrency; see share.h. share.mu is a leaf under function.mu. */
#include "dispatch/share.h"

#include "dispatch/function.h"
#include "dispatch/runtime.h"

int faas__share_init(struct share *share, int32_t max_concurrency)
{
	share->max = max_concurrency > 0 ? max_concurrency : INT64_MAX;
	list_init(&share->waiting);
	return faas__mutex_init(&share->mu);
}

void faas__share_deinit(struct share *share)
{
	faas__mutex_deinit(&share->mu);
}

int faas__share_reserve(struct share *share, uint32_t count)
{
	int error = FAAS_OK;

	if (count == 0 || share->max == INT64_MAX)
		return FAAS_OK;
	faas__mutex_lock(&share->mu);
	if (share->reserved + (int64_t)count > share->max)
		error = FAAS_ERESERVED;
	else
		share->reserved += count;
	faas__mutex_unlock(&share->mu);
	return error;
}

void faas__share_leave(faas_function *function)
{
	struct share *share = &function->runtime->share;
	int64_t reserved = (int64_t)function->reserved;

	if (reserved == 0 || share->max == INT64_MAX)
		return;
	faas__mutex_lock(&share->mu);
	share->reserved -= reserved;
	share->beyond += function->active < reserved ? function->active : reserved;
	function->reserved = 0;
	faas__mutex_unlock(&share->mu);
}

static bool is_room(const struct share *share, const faas_function *function) holds_lock(share->mu)
{
	return share->in_use < share->max &&
	       (function->active < (int64_t)function->reserved || share->beyond < share->max - share->reserved);
}

static void wait_for_room(struct share *share, faas_function *function) holds_lock(share->mu)
{
	if (function->waits_for_share)
		return;
	function->waits_for_share = true;
	list_push_back(&share->waiting, &function->share_node);
	faas_function_ref(function);
	add_seq_cst(&share->waiters, 1);
}

bool faas__share_may_take(faas_function *function)
{
	struct share *share = &function->runtime->share;
	bool may;

	if (likely(share->max == INT64_MAX))
		return true;
	faas__mutex_lock(&share->mu);
	may = is_room(share, function);
	if (!may)
		wait_for_room(share, function);
	faas__mutex_unlock(&share->mu);
	return may;
}

bool faas__share_take(faas_function *function)
{
	struct share *share = &function->runtime->share;
	bool taken;

	if (likely(share->max == INT64_MAX))
		return true;
	faas__mutex_lock(&share->mu);
	taken = is_room(share, function);
	if (taken) {
		share->in_use++;
		share->beyond += function->active >= (int64_t)function->reserved;
	} else {
		wait_for_room(share, function);
	}
	faas__mutex_unlock(&share->mu);
	return taken;
}

void faas__share_give(faas_function *function)
{
	struct share *share = &function->runtime->share;

	if (likely(share->max == INT64_MAX))
		return;
	faas__mutex_lock(&share->mu);
	share->in_use--;
	share->beyond -= function->active >= (int64_t)function->reserved;
	faas__mutex_unlock(&share->mu);
}

bool faas__share_is_all(faas_runtime *runtime, int64_t count)
{
	return count >= runtime->share.max;
}

void faas__share_give_unused(faas_function *function)
{
	faas__share_give(function);
	function->gave_share = true;
}

bool faas__share_was_unused(faas_function *function)
{
	bool unused = function->gave_share;

	function->gave_share = false;
	return unused;
}

static faas_function *pop_waiting(struct share *share)
{
	faas_function *function = NULL;
	struct list *node;

	faas__mutex_lock(&share->mu);
	node = list_pop_front(&share->waiting);
	if (node) {
		function = container_of(node, faas_function, share_node);
		function->waits_for_share = false;
		sub_seq_cst(&share->waiters, 1);
	}
	faas__mutex_unlock(&share->mu);
	return function;
}

void faas__share_tell(faas_runtime *runtime)
{
	struct share *share = &runtime->share;
	/* One that waits again meanwhile was told. */
	uint32_t count = load_seq_cst(&share->waiters);

	while (count-- > 0) {
		faas_function *function = pop_waiting(share);

		if (!function)
			return;
		faas__mutex_lock(&function->mu);
		if (!function->is_finished) {
			if (!load_relaxed(&function->is_closed) &&
			    function->warm_count + function->busy + function->starting < faas__demand_target(function))
				faas__function_chore(function);
			else
				faas__turn_unblock(&runtime->executor, &function->turn);
		}
		faas__mutex_unlock(&function->mu);
		faas_function_unref(function);
	}
}

void faas__share_forget(faas_function *function)
{
	struct share *share = &function->runtime->share;
	bool waited;

	faas__mutex_lock(&share->mu);
	waited = function->waits_for_share;
	if (waited) {
		list_remove(&function->share_node);
		function->waits_for_share = false;
		sub_seq_cst(&share->waiters, 1);
	}
	faas__mutex_unlock(&share->mu);
	if (waited)
		faas_function_unref(function);
}
