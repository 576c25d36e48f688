/* SPDX-License-Identifier: MIT */
/*
 * Retries: whether an attempt that failed is followed by another, and when.
 *
 * The delay before retry n is drawn from the last `jitter_percent` of min(backoff_max, backoff * 2^(n-1)); with 100 that
 * is from 0 to all of it (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 *
 * A delayed invocation stands in its function's heap, and the function's one timer is set to the first of them. It keeps
 * its room in the queue's bounds, taken without asking when the delay begins: room that was free when it was accepted may
 * be somebody else's by now, and what was accepted is never refused.
 */
#include "dispatch/retry.h"

#include "dispatch/function.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

bool faas__retry_is_possible(const faas_invocation *invocation, uint32_t attempt, bool is_permanent)
{
	const faas_function *function = invocation->function;

	return !is_permanent && !faas__is_sync(invocation) && attempt < function->delivery->max_attempts &&
	       load_relaxed(&function->is_closed) == 0;
}

static int64_t draw_delay(faas_function *function, uint32_t attempts) holds_lock(function->mu)
{
	const struct delivery *delivery = function->delivery;
	int64_t delay = delivery->backoff_ns, range;

	for (uint32_t i = 1; i < attempts && delay < delivery->backoff_max_ns; i++)
		delay = delay > delivery->backoff_max_ns / 2 ? delivery->backoff_max_ns : 2 * delay;
	range = (int64_t)((uint64_t)delay / 100 * delivery->jitter_percent);
	if (range == 0)
		return delay;
	return delay - range + (int64_t)(faas__random_next(&faas__service(function)->random) % (uint64_t)(range + 1));
}

enum end faas__retry_expiry(const faas_invocation *invocation, int64_t at, int *ret_code)
{
	const faas_function *function = invocation->function;

	if (!faas__is_sync(invocation) &&
	    at >= faas__time_after(faas__accepted_at(invocation), function->delivery->max_age_ns)) {
		*ret_code = FAAS_EEXPIRED;
		return END_EXPIRED;
	}
	if (faas__has_result(invocation) && at >= faas__result_of(invocation)->deadline) {
		*ret_code = FAAS_ETIMEDOUT;
		return END_EXPIRED;
	}
	return END_COUNT;
}

/* Into the heap, or, without a delay, back to the queue. */
static void put_off(faas_function *function, faas_invocation *invocation, int64_t now, int64_t delay,
                    faas_invocation **dead, uint64_t *ret_freed) holds_lock(function->mu)
{
	faas__service(function)->counts.retries++;
	add_seq_cst(&function->admitted, LOAD_EVENT + faas__invocation_bytes(invocation));
	invocation->delay.key = now + delay;
	if (delay == 0) {
		(void)faas__invocation_move(invocation, PHASE_STARTING, PHASE_QUEUED);
		faas__queue_rejoin(function, invocation, dead, ret_freed);
		return;
	}
	invocation->delay.second = faas__service(function)->delay_number++;
	function->held++;
	add_relaxed(&function->delayed_load, LOAD_EVENT + faas__invocation_bytes(invocation));
	faas__heap_insert(&faas__service(function)->delays, &invocation->delay);
	(void)faas__invocation_move(invocation, PHASE_STARTING, PHASE_DELAYED);
	faas__worker_arm_timer(function);
}

bool faas__retry(faas_invocation *invocation, uint32_t attempt, int64_t now, enum end *end, int *code)
{
	faas_function *function = invocation->function;
	faas_runtime *runtime = function->runtime;
	faas_invocation *dead = NULL;
	uint64_t freed = 0;
	bool again;
	int64_t delay;

	faas__mutex_lock(&function->mu);
	again = load_relaxed(&function->is_closed) == 0;
	if (again) {
		int expiry_code;

		delay = draw_delay(function, attempt);
		if (faas__retry_expiry(invocation, faas__time_after(now, delay), &expiry_code) == END_EXPIRED) {
			*end = END_EXPIRED;
			*code = expiry_code;
			again = false;
		}
	}
	if (again) {
		faas_invocation_ref(invocation);
		faas__lane_force(runtime, 1, (int64_t)faas__invocation_bytes(invocation));
		put_off(function, invocation, now, delay, &dead, &freed);
		faas__queue_left(function, freed);
	} else {
		(void)faas__invocation_move(invocation, PHASE_STARTING, PHASE_SETTLING);
	}
	faas__mutex_unlock(&function->mu);
	faas__queue_freed(function, freed);
	faas__dead_unref(dead);
	return again;
}

int64_t faas__retry_due(const faas_function *function)
{
	const struct heap_node *first = faas__heap_first(&faas__service(function)->delays);

	return first ? first->key : TIME_NEVER;
}

faas_invocation *faas__retry_first(faas_function *function)
{
	struct heap_node *first = faas__heap_first(&faas__service(function)->delays);

	return first ? container_of(first, faas_invocation, delay) : NULL;
}

void faas__retry_unlink(faas_function *function, faas_invocation *invocation)
{
	faas__heap_remove(&faas__service(function)->delays, &invocation->delay);
	sub_relaxed(&function->delayed_load, LOAD_EVENT + faas__invocation_bytes(invocation));
	function->held--;
}

void faas__retry_fall_due(faas_function *function, int64_t now, faas_invocation **dead, uint64_t *ret_freed)
{
	faas_invocation *invocation;

	while ((invocation = faas__retry_first(function)) != NULL && invocation->delay.key <= now) {
		faas__retry_unlink(function, invocation);
		(void)faas__invocation_move(invocation, PHASE_DELAYED, PHASE_QUEUED);
		faas__queue_rejoin(function, invocation, dead, ret_freed);
	}
}
