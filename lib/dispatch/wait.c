/* SPDX-License-Identifier: MIT */
/*
 * Waiting until an invocation is settled.
 *
 * A host's thread spins for a moment and then sleeps in the bucket of the invocation's address: it marks the state word
 * (HAS_WAITERS), looks once more under the bucket's lock, and sleeps; who settles sees the mark and wakes the bucket
 * under that lock. In manual mode it performs steps instead.
 *
 * A thread inside a handler first tries to run the invocation itself (nest.c). If somebody else runs it, or no slot is
 * free, it sleeps in short slices and tries again after each, so that a slot that becomes free serves the waiter even
 * where no other thread is left to take it. It runs nothing else: user code would hold whatever locks it holds.
 */
#include "dispatch/defer.h"
#include "dispatch/emit.h"
#include "dispatch/frame.h"
#include "dispatch/runner.h"

#define SLICE_NS 5000000
#define LOOKS_PER_CLOCK 32
#define FAST_SPINS 3 /* times as long as threads look around, where handlers are known to be fast */

/* On one core: lets others go on. */
static bool give_way(faas_runtime *runtime, const faas_invocation *invocation)
{
	for (uint32_t i = 0; i < runtime->executor.yields; i++) {
		if (faas__is_settled(invocation))
			return true;
		faas__thread_yield();
	}
	return faas__is_settled(invocation);
}

/*
 * Spins for as long as threads look around, or, where the function's handlers are known to be fast, up to three times as
 * long, since even behind a burst of events its turn comes soon: to be woken after that would take about as long, and cost
 * the waking thread several runs of such a handler. Not past `latest`. False: it is still not settled.
 */
static bool spin(faas_runtime *runtime, const faas_invocation *invocation, int64_t latest)
{
	const struct result *result = faas__result_of(invocation);
	int64_t until = INT64_MIN;
	int spins = 0;

	if (runtime->executor.spin_ns == 0)
		return give_way(runtime, invocation);
	for (uint32_t looks = 0;; looks++) {
		int64_t now;

		if (load_acquire(&result->is_published) != 0)
			return true;
		cpu_relax();
		if (looks % LOOKS_PER_CLOCK != 0)
			continue;
		now = faas__runtime_now(runtime);
		if (now >= latest)
			return false;
		if (now < until)
			continue;
		/* Not looked at sooner: threads that take turns write to that line. */
		if (spins > 0 && (spins == FAST_SPINS || load_relaxed(&invocation->function->turn.expected_ns) == 0))
			return false;
		spins++;
		until = now + runtime->executor.spin_ns;
	}
}

/* Sleeps until it is settled, `until`, or `slice_ns` are over. */
static void doze(faas_runtime *runtime, faas_invocation *invocation, int64_t until, int64_t slice_ns)
{
	struct wait_bucket *bucket = faas__wait_bucket(runtime, invocation);
	int64_t left = until == TIME_NEVER ? TIME_NEVER : until - faas__runtime_now(runtime);

	if (left > slice_ns)
		left = slice_ns;
	faas__mutex_lock(&bucket->mu);
	if (faas__phase_of(or_acq_rel(&invocation->state, HAS_WAITERS)) != PHASE_SETTLED)
		(void)faas__cond_wait_ns(&bucket->cond, &bucket->mu, left);
	faas__mutex_unlock(&bucket->mu);
}

/* Whether this thread is inside the very invocation, in an attempt that counts. */
static bool is_inside(const struct runner *runner, const faas_invocation *invocation)
{
	for (int depth = 0; depth < runner->depth; depth++)
		if (runner->contexts[depth].invocation == invocation &&
		    load_acquire(&runner->contexts[depth].is_given_up) == 0)
			return true;
	return false;
}

/* The earliest of a time and the deadlines of all handlers this thread is inside of. */
static int64_t own_deadline(const struct runner *runner, int64_t until)
{
	for (int depth = 0; depth < runner->depth; depth++)
		if (runner->contexts[depth].deadline < until)
			until = runner->contexts[depth].deadline;
	return until;
}

static bool is_given_up(const struct runner *runner)
{
	for (int depth = 0; depth < runner->depth; depth++)
		if (load_acquire(&runner->contexts[depth].is_given_up) != 0)
			return true;
	return false;
}

static int await_in_handler(struct runner *runner, faas_invocation *invocation, int64_t until)
{
	faas_runtime *runtime = runner->runtime;

	if (is_inside(runner, invocation) && !faas__is_settled(invocation))
		return FAAS_EDEADLK;
	/* Cycles that no single thread can see end here, at the latest with the handler's own deadline. */
	until = own_deadline(runner, until);
	while (!faas__is_settled(invocation)) {
		int result;

		if (faas__runtime_now(runtime) >= until || is_given_up(runner))
			return FAAS_EPENDING;
		result = faas__run_invocation(runner, invocation);

		if (result == RUN_CLAIMED)
			continue;
		if (result == RUN_UNLINKED) {
			faas__thread_yield();
			continue;
		}
		if (result == FAAS_EDEADLK)
			return FAAS_EDEADLK;
		if (faas__is_settled(invocation))
			break;
		if (faas__runtime_is_manual(runtime))
			return FAAS_EAGAIN;
		faas__thread_wait_begin(&runner->thread);
		if (!spin(runtime, invocation, until))
			doze(runtime, invocation, until, SLICE_NS);
		faas__thread_wait_end(&runner->thread);
	}
	return FAAS_OK;
}

static int await_manually(faas_runtime *runtime, faas_invocation *invocation, int64_t until)
{
	while (!faas__is_settled(invocation)) {
		int steps = faas_run(runtime, 1);

		if (steps < 0)
			return steps;
		if (faas__is_settled(invocation))
			break;
		if (faas__runtime_now(runtime) >= until)
			return FAAS_EPENDING;
		if (steps == 0)
			return FAAS_EAGAIN;
	}
	return FAAS_OK;
}

static int await_outside(faas_runtime *runtime, faas_invocation *invocation, int64_t until)
{
	while (!faas__is_settled(invocation)) {
		if (spin(runtime, invocation, until))
			break;
		if (until != TIME_NEVER && faas__runtime_now(runtime) >= until)
			return FAAS_EPENDING;
		doze(runtime, invocation, until, TIME_NEVER);
	}
	return FAAS_OK;
}

int faas__await(faas_invocation *invocation, int64_t until)
{
	faas_runtime *runtime = invocation->function->runtime;
	struct frame *frame;

	if (faas__is_settled(invocation))
		return FAAS_OK;
	frame = faas__frame_of(runtime);
	if (frame && frame->kind != FRAME_HANDLER)
		return FAAS_EDEADLK;
	if (frame)
		return await_in_handler(frame->runner, invocation, until);
	if (until != TIME_NEVER && faas__runtime_now(runtime) >= until && !faas__runtime_is_manual(runtime))
		return FAAS_EPENDING;
	if (faas__runtime_is_manual(runtime))
		return await_manually(runtime, invocation, until);
	return await_outside(runtime, invocation, until);
}

int faas_invocation_wait(faas_invocation *invocation, int64_t timeout_ms)
{
	faas_runtime *runtime;
	int64_t until = TIME_NEVER;

	if (!invocation || !faas__is_duration(timeout_ms))
		return FAAS_EINVAL;
	runtime = invocation->function->runtime;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (timeout_ms == 0)
		return faas__is_settled(invocation) ? FAAS_OK : FAAS_EPENDING;
	if (timeout_ms != FAAS_NEVER)
		until = faas__time_after(faas__runtime_now(runtime), faas__ms_to_ns(timeout_ms));
	return faas__await(invocation, until);
}

int faas_invocation_cancel(faas_invocation *invocation)
{
	faas_runtime *runtime;

	if (!invocation)
		return FAAS_EINVAL;
	runtime = invocation->function->runtime;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	while (!faas__is_settled(invocation)) {
		if (faas__settle_unrun(invocation, END_CANCELLED, 0) ||
		    faas__settle_abandon(invocation, END_CANCELLED, faas__runtime_now(runtime), false) ||
		    faas__defer_end(invocation, END_CANCELLED, false))
			return FAAS_OK;
		/* Somebody settles it this moment, or it has just begun to run. */
		if (faas__phase_of(load_acquire(&invocation->state)) == PHASE_SETTLING)
			return FAAS_ESTATE;
		faas__thread_yield();
	}
	return FAAS_ESTATE;
}
