/* SPDX-License-Identifier: MIT */
/*
 * What the current thread is inside of: handlers and callbacks, the innermost first. It answers "may this call wait?",
 * "which lane is mine?" and "which slots do I hold?".
 */
#ifndef FAAS_DISPATCH_FRAME_H
#define FAAS_DISPATCH_FRAME_H

#include "base/atomics.h"
#include "faas/common.h"

struct runner;

#define FRAME_HANDLER 0 /* a handler or init, on a runner */
#define FRAME_CALLBACK 1 /* on_settled, release, fini, log; `runner` may be NULL */

struct frame {
	struct frame *outer;
	faas_runtime *runtime;
	struct runner *runner;
	faas_function *function; /* of a handler */
	faas_context *context;   /* of a handler */
	int kind;
};

void faas__frame_push(struct frame *frame);
void faas__frame_pop(struct frame *frame);

/* The innermost frame of this runtime on this thread; NULL: the thread comes from outside. */
struct frame *faas__frame_of(const faas_runtime *runtime);

/* The runner this thread is, for this runtime; NULL: it is a host's thread. */
struct runner *faas__runner_of(const faas_runtime *runtime);

#endif
