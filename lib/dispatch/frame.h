/* SPDX-License-Identifier: MIT */
/*
 * What the current thread is inside of: handlers and callbacks, the innermost first. It answers "may this call wait?",
 * "which lane is mine?" and "which slots do I hold?".
 */
#ifndef FAAS_DISPATCH_FRAME_H
#define FAAS_DISPATCH_FRAME_H

#include <stddef.h>

#include "base/atomics.h"
#include "faas/common.h"

struct runner;

#define FRAME_HANDLER 0 /* a handler or init, on a runner */
#define FRAME_CALLBACK 1 /* on_settled, release, fini, log; `runner` may be NULL */
#define FRAME_THREAD 2   /* a pool thread, or a caller of faas_run, between attempts */

struct frame {
	struct frame *outer;
	faas_runtime *runtime;
	struct runner *runner;
	faas_function *function; /* of a handler */
	faas_context *context;   /* of a handler */
	int kind;
	bool is_marked; /* of a callback: it shows in a slot of the runner */
};

/* The innermost frame of this thread. */
extern _Thread_local FAST_TLS struct frame *faas__frame_top;

static inline void faas__frame_push(struct frame *frame)
{
	frame->outer = faas__frame_top;
	faas__frame_top = frame;
}

static inline void faas__frame_pop(struct frame *frame)
{
	faas__frame_top = frame->outer;
}

/*
 * Around user code that is no attempt. On a runner it shows in the slot that the next attempt would have, so that others
 * know the thread is not their own: what it took ahead can go to others, and closing does not wait for it.
 */
void faas__callback_enter(struct frame *frame, faas_runtime *runtime);
void faas__callback_leave(struct frame *frame);

/* The innermost frame of this runtime on this thread; NULL: the thread comes from outside. */
static inline struct frame *faas__frame_of(const faas_runtime *runtime)
{
	struct frame *frame = faas__frame_top;

	while (frame && frame->runtime != runtime)
		frame = frame->outer;
	return frame;
}

/* The runner this thread is, for this runtime; NULL: it is a host's thread. */
static inline struct runner *faas__runner_of(const faas_runtime *runtime)
{
	struct frame *frame = faas__frame_top;

	while (frame && (frame->runtime != runtime || !frame->runner))
		frame = frame->outer;
	return frame ? frame->runner : NULL;
}

#endif
