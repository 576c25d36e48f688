/* SPDX-License-Identifier: MIT */
/* Running turns on the caller's thread: manual mode, and hosts that lend a thread. */
#include "dispatch/frame.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

int faas_run(faas_runtime *runtime, int max_steps)
{
	struct runner *runner;
	int steps = 0;

	if (!runtime || max_steps < 1)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (faas__frame_of(runtime))
		return FAAS_EDEADLK;
	runner = faas__guest_get(runtime);
	if (!runner)
		return FAAS_ENOMEM;
	runner->base = (struct frame){.runtime = runtime, .runner = runner, .kind = FRAME_THREAD};
	faas__frame_push(&runner->base);
	/* A manual clock fires as it moves, a monitor by itself; a real clock without a monitor, here. */
	if (faas__runtime_is_manual(runtime))
		faas__executor_fire(&runtime->executor, faas__runtime_now(runtime));
	while (steps < max_steps && faas__executor_step(&runtime->executor, &runner->thread))
		steps++;
	faas__frame_pop(&runner->base);
	faas__guest_put(runner);
	if (steps == 0 && faas__runtime_is_manual(runtime))
		runtime->executor.ops.trim(&runtime->executor);
	return steps;
}

int faas_next_due(faas_runtime *runtime, int64_t *ret_ns)
{
	int64_t due, now;

	if (!runtime || !ret_ns)
		return FAAS_EINVAL;
	if (faas__runtime_is_forked(runtime))
		return FAAS_EFORKED;
	if (faas__run_queue_has_turns(&runtime->executor.run_queue)) {
		*ret_ns = 0;
		return FAAS_OK;
	}
	due = faas__executor_next_due(&runtime->executor);
	now = faas__runtime_now(runtime);
	*ret_ns = due == TIME_NEVER ? FAAS_NEVER : due > now ? due - now : 0;
	return FAAS_OK;
}
