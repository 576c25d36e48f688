/* SPDX-License-Identifier: MIT */
/*
 * Emissions. `pending` counts the invocations that are not settled, and one more while the emit goes on; whoever takes
 * it to zero tells. Waiting for an emission is waiting for its invocations, one after the other, so that a handler that
 * waits can run them itself.
 */
#include "dispatch/emission.h"

#include <string.h>

#include "base/config.h"
#include "dispatch/emit.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

static size_t block_bytes(size_t count)
{
	return sizeof(faas_emission) + count * sizeof(struct emission_entry);
}

faas_emission *faas__emission_new(faas_runtime *runtime, size_t count)
{
	faas_emission *emission = faas__alloc_zero(&runtime->allocator, block_bytes(count));

	if (!emission)
		return NULL;
	store_relaxed(&emission->refs, 1);
	store_relaxed(&emission->pending, 1);
	emission->count = (uint32_t)count;
	emission->runtime = faas__runtime_ref(runtime);
	return emission;
}

faas_emission *faas_emission_ref(faas_emission *emission)
{
	if (emission)
		add_relaxed(&emission->refs, 1);
	return emission;
}

void faas_emission_unref(faas_emission *emission)
{
	faas_runtime *runtime;

	if (!emission || faas__runtime_is_forked(emission->runtime) || sub_acq_rel(&emission->refs, 1) != 1)
		return;
	runtime = emission->runtime;
	for (size_t i = 0; i < emission->count; i++) {
		if (emission->entries[i].invocation)
			faas__invocation_unref(emission->entries[i].invocation);
		faas_function_unref(emission->entries[i].function);
	}
	faas__free(&runtime->allocator, emission, block_bytes(emission->count));
	faas__runtime_unref(runtime);
}

void faas__emission_one_settled(faas_emission *emission, bool from_monitor)
{
	faas_runtime *runtime = emission->runtime;

	if (sub_acq_rel(&emission->pending, 1) == 1 &&
	    (or_acq_rel(&emission->flags, EMISSION_SETTLED) & HAS_CALLBACK) != 0) {
		if (from_monitor)
			faas__callback_later(runtime, &emission->callback);
		else
			faas__callback_now(runtime, &emission->callback);
	}
	faas_emission_unref(emission);
}

int faas_emission_count(const faas_emission *emission)
{
	return (int)emission->count;
}

int faas_emission_entry(const faas_emission *emission, int index, struct faas_emission_entry_stats *ret_entry)
{
	struct faas_emission_entry_stats entry = {0};

	if (!emission || !ret_entry || index < 0)
		return FAAS_EINVAL;
	if ((uint32_t)index >= emission->count)
		return FAAS_ENOTFOUND;
	entry.code = emission->entries[index].code;
	entry.function = faas_function_name(emission->entries[index].function);
	entry.invocation = emission->entries[index].invocation;
	return faas__stats_write(ret_entry, &entry, sizeof(entry));
}

int faas_emission_wait(faas_emission *emission, int64_t timeout_ms)
{
	int64_t until;

	if (!emission || !faas__is_duration(timeout_ms))
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(emission->runtime))
		return FAAS_EFORKED;
	until = faas__time_after(faas__runtime_now(emission->runtime), faas__ms_to_ns(timeout_ms));
	for (size_t i = 0; i < emission->count; i++) {
		int error = FAAS_OK;

		if (emission->entries[i].invocation && timeout_ms == 0)
			error = faas_invocation_wait(emission->entries[i].invocation, 0);
		else if (emission->entries[i].invocation)
			error = faas__await(emission->entries[i].invocation, until);
		if (error != FAAS_OK)
			return error;
	}
	return FAAS_OK;
}

int faas_emission_cancel(faas_emission *emission)
{
	int cancelled = 0;

	if (!emission)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(emission->runtime))
		return FAAS_EFORKED;
	for (size_t i = 0; i < emission->count; i++)
		if (emission->entries[i].invocation && faas_invocation_cancel(emission->entries[i].invocation) == FAAS_OK)
			cancelled++;
	return cancelled;
}

static void call_settled(struct callback *callback)
{
	faas_emission *emission = container_of(callback, faas_emission, callback);

	emission->on_settled(emission, emission->on_settled_user);
	faas_emission_unref(emission);
}

int faas_emission_on_settled(faas_emission *emission, faas_emission_settled_fn *callback, void *user)
{
	if (!emission || !callback)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(emission->runtime))
		return FAAS_EFORKED;
	if (or_acq_rel(&emission->flags, CALLBACK_TAKEN) & CALLBACK_TAKEN)
		return FAAS_EEXIST;
	emission->callback.call = call_settled;
	emission->on_settled = callback;
	emission->on_settled_user = user;
	faas_emission_ref(emission);
	if (or_acq_rel(&emission->flags, HAS_CALLBACK) & EMISSION_SETTLED)
		faas__callback_now(emission->runtime, &emission->callback);
	return FAAS_OK;
}
