/* SPDX-License-Identifier: MIT */
/* Callbacks that the monitor leaves to others: a list under a mutex, served by a turn of its own. See callback.h. */
#include "dispatch/callback.h"

#include "dispatch/frame.h"
#include "dispatch/runner.h"
#include "dispatch/runtime.h"

static bool take(struct turn *turn, struct thread *thread)
{
	struct callbacks *callbacks = container_of(turn, struct callbacks, turn);
	faas_runtime *runtime = faas__runner_from(thread)->runtime;
	bool called;

	faas__turn_idle(turn);
	called = faas__callback_run_one(runtime);
	if (load_seq_cst(&callbacks->count) > 0)
		faas__turn_kick(&runtime->executor, turn);
	return called;
}

int faas__callbacks_init(struct callbacks *callbacks)
{
	faas__turn_init(&callbacks->turn, take, 100);
	callbacks->first = NULL;
	callbacks->last = &callbacks->first;
	return faas__mutex_init(&callbacks->mu);
}

void faas__callbacks_deinit(struct callbacks *callbacks)
{
	faas__mutex_deinit(&callbacks->mu);
}

void faas__callback_later(faas_runtime *runtime, struct callback *callback)
{
	struct callbacks *callbacks = &runtime->callbacks;

	callback->next = NULL;
	faas__mutex_lock(&callbacks->mu);
	*callbacks->last = callback;
	callbacks->last = &callback->next;
	add_seq_cst(&callbacks->count, 1);
	faas__mutex_unlock(&callbacks->mu);
	faas__turn_kick(&runtime->executor, &callbacks->turn);
}

void faas__callback_now(faas_runtime *runtime, struct callback *callback)
{
	struct frame frame;

	faas__callback_enter(&frame, runtime);
	callback->call(callback);
	faas__callback_leave(&frame);
}

bool faas__callback_run_one(faas_runtime *runtime)
{
	struct callbacks *callbacks = &runtime->callbacks;
	struct callback *callback;

	faas__mutex_lock(&callbacks->mu);
	callback = callbacks->first;
	if (callback) {
		callbacks->first = callback->next;
		if (!callbacks->first)
			callbacks->last = &callbacks->first;
		sub_seq_cst(&callbacks->count, 1);
	}
	faas__mutex_unlock(&callbacks->mu);
	if (callback)
		faas__callback_now(runtime, callback);
	return callback != NULL;
}
