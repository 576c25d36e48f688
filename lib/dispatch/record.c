/* SPDX-License-Identifier: MIT */
/*
 * Records: what a function's destinations get when an asynchronous invocation of it is settled.
 *
 * The record is an invocation of the destination whose event is the settled invocation's, and which holds a reference to
 * that: faas_context_record hands it out, and all of its accessors tell of the answer, the error, the attempts and the
 * times. Its block is made together with the invocation (`follow`), so that settling needs no memory.
 *
 * A record is admitted like any event, and one hop further than what it is the record of, so that destinations that lead
 * in a circle come to an end. What is refused is not lost: a failure becomes a dead letter of its own function.
 */
#include "dispatch/record.h"

#include <stdio.h>

#include "dispatch/emit.h"
#include "dispatch/runtime.h"

int faas__follow_prepare(faas_invocation *invocation, struct lane *lane)
{
	const faas_function *function = invocation->function;
	struct result *result;

	if (likely(!function->wants_records) || faas__is_sync(invocation))
		return FAAS_OK;
	result = faas__result_of(invocation);
	result->follow = faas__record_block(function->runtime, lane);
	return result->follow ? FAAS_OK : FAAS_ENOMEM;
}

/* In the lane: makes the block an invocation of the function, and queues it. */
static int admit_record(struct offer *offer, struct lane *lane, faas_function *function, faas_invocation *block,
                        faas_invocation *of, uint32_t hops, bool is_redriven)
{
	int64_t now = faas__offer_now(offer);
	int code;

	if (load_seq_cst(&offer->runtime->phase) >= RUNTIME_CLOSING)
		return FAAS_ECLOSED;
	if (hops > FAAS_MAX_HOPS)
		return FAAS_ELOOP;
	if (faas__function_serve(function) != FAAS_OK)
		return FAAS_ENOMEM;
	faas__record_write(block, function, of, now, hops);
	faas__record_of(block)->is_redriven = is_redriven;
	code = faas__follow_prepare(block, lane);
	if (code == FAAS_OK)
		code = faas__admit(offer, lane, function, faas__invocation_bytes(block));
	if (code == FAAS_OK)
		faas__queue_push(function, block, offer->runner);
	else
		faas__record_unwrite(block, lane);
	return code;
}

int faas__record_offer(faas_function *function, faas_invocation *block, faas_invocation *of, uint32_t hops,
                       bool is_redriven, bool from_monitor)
{
	faas_runtime *runtime = function->runtime;
	struct offer offer = {.runtime = runtime, .runner = faas__runner_of(runtime)};
	struct lane *lane = faas__lane_enter(runtime, offer.runner);
	int code = admit_record(&offer, lane, function, block, of, hops, is_redriven);

	faas__lane_leave(lane);
	faas__settle_popped(offer.dropped, END_DROPPED, from_monitor);
	if (code != FAAS_OK)
		faas__count_rejected(function, code);
	return code;
}

/* The first refusal is worth a word: most often the destination's name is misspelt. In no lane, under no lock. */
static void log_refusal(faas_function *function, const char *destination, int code)
{
	char message[200];

	if (exchange_seq_cst(&function->is_refusal_logged, 1) != 0)
		return;
	(void)snprintf(message, sizeof(message), "the destination %s has not taken a record: %s (%s)", destination,
	               faas_strerror(code), faas_error_name(code));
	faas__log(function->runtime, FAAS_LOG_WARNING, function->name, message);
}

/* Passes the record on. False: it was refused, or there is no such function. */
static bool pass_on(faas_invocation *invocation, const char *destination, bool from_monitor)
{
	faas_function *function = invocation->function, *to;
	struct result *result = faas__result_of(invocation);
	faas_invocation *block = result->follow;
	int code = faas__function_get(function->runtime, destination, &to);

	if (code == FAAS_OK) {
		result->follow = NULL;
		code = faas__record_offer(to, block, invocation, faas__hops_of(invocation) + 1, false, from_monitor);
		if (code != FAAS_OK)
			result->follow = block;
		faas_function_unref(to);
	}
	faas__mutex_lock(&function->mu);
	if (code == FAAS_OK)
		faas__service(function)->counts.records++;
	else
		faas__service(function)->counts.records_refused++;
	faas__mutex_unlock(&function->mu);
	if (code != FAAS_OK && !from_monitor)
		log_refusal(function, destination, code);
	return code == FAAS_OK;
}

void faas__follow(faas_invocation *invocation, enum end end, const struct brief *brief, bool from_monitor)
{
	const struct delivery *delivery = invocation->function->delivery;

	if (!faas__is_followed(invocation->function, end) || faas__is_sync(invocation))
		return;
	if (end == END_SUCCEEDED) {
		(void)pass_on(invocation, delivery->on_success, from_monitor);
		return;
	}
	if (delivery->on_failure && pass_on(invocation, delivery->on_failure, from_monitor))
		return;
	if (delivery->max_letters > 0)
		faas__letter_add(invocation, end, brief);
}
