/* SPDX-License-Identifier: MIT */
/*
 * on_settled callbacks. The thread that settles calls them itself, except the monitor (and a caller of
 * faas_clock_advance), which leaves them to a turn of their own.
 */
#ifndef FAAS_DISPATCH_CALLBACK_H
#define FAAS_DISPATCH_CALLBACK_H

#include "base/sync.h"
#include "executor/executor.h"
#include "faas/common.h"

/* Lies in what is settled: at most one callback each, so queueing it cannot fail. */
struct callback {
	struct callback *next;                  /* under callbacks.mu */
	void (*call)(struct callback *callback); /* calls the user's function and drops the reference */
};

struct callbacks {
	struct turn turn;
	struct mutex mu;
	struct callback *first; /* under mu */
	struct callback **last; /* under mu */
	atomic_u32 count;       /* writers under mu */
};

int faas__callbacks_init(struct callbacks *callbacks);
void faas__callbacks_deinit(struct callbacks *callbacks);

/* Leaves a callback to a pool thread (or faas_run). */
void faas__callback_later(faas_runtime *runtime, struct callback *callback);

/* Calls it now, on this thread, as a callback: waits in it are FAAS_EDEADLK. */
void faas__callback_now(faas_runtime *runtime, struct callback *callback);

/* Runs one that was left. False: there is none. */
bool faas__callback_run_one(faas_runtime *runtime);

#endif
