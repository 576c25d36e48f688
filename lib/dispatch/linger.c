/* SPDX-License-Identifier: MIT */
/*
 * How a thread waits, for a moment, for what emitters are doing: for a batch worth taking, and for one event that is being
 * pushed.
 *
 * Where events come so fast that a batch would find a few at a time, emitters and takers would spend most of their time on
 * fetching each other's lines; a batch that is allowed to grow for a moment touches them once.
 */
#include "dispatch/queue.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

#define LINGER_EVENTS 64 /* for which a thread lingers */
#define LINGER_NS 6000   /* at most */
#define LINGER_LOOKS 200 /* at the clock */
#define STREAM_NS 1000   /* between events: likewise */
#define PUSH_YIELDS 2u   /* a thread gives way so often to somebody who is pushing; */
#define PUSH_WAITS 64u   /* after that every so many times */

/* How long to wait for more: by how fast they came since the last batch was taken, and no longer than that is ago. */
static int64_t linger_ns(const faas_function *function, int64_t now) holds_lock(function->mu)
{
	int64_t since = now - function->taken_at;
	int64_t there, missing, came, wait_ns;

	if (since > LINGER_EVENTS * STREAM_NS || function->runtime->executor.spin_ns == 0)
		return 0;
	there = (int64_t)LOAD_EVENTS(faas__queue_in(function));
	missing = LINGER_EVENTS - there + (int64_t)function->held;
	came = there - function->left_events;
	if (came < 2 || missing <= 0 || since > came * STREAM_NS)
		return 0;
	wait_ns = missing * since / came;
	/* Nobody knows whether they come for longer than they have. */
	if (wait_ns > since)
		wait_ns = since;
	return wait_ns < LINGER_NS ? wait_ns : LINGER_NS;
}

static int64_t linger(faas_runtime *runtime, int64_t now, int64_t ns)
{
	const int64_t until = now + ns;

	/* A host's clock may stand still. */
	for (int looks = 0; looks < LINGER_LOOKS && (now = faas__runtime_now(runtime)) < until; looks++)
		for (int i = 0; i < 8; i++)
			cpu_relax();
	return now;
}

void faas__await_batch(faas_function *function, struct runner *runner)
{
	int64_t wait_ns = linger_ns(function, runner->now);

	if (wait_ns > 0) {
		faas__mutex_unlock(&function->mu);
		runner->now = linger(runner->runtime, runner->now, wait_ns);
		faas__mutex_lock(&function->mu);
	}
	function->taken_at = runner->now;
}

seldom void faas__await_push(struct runner *runner)
{
	uint32_t waits = runner->pushes_awaited++;

	if (waits < PUSH_YIELDS || waits % PUSH_WAITS == 0 || runner->runtime->executor.spin_ns == 0)
		faas__thread_yield();
	else
		cpu_relax();
}
