/* SPDX-License-Identifier: MIT */
/* The stack of frames of each thread; plain thread-local storage without a destructor. See frame.h. */
#include "dispatch/frame.h"

#include <stddef.h>

#if defined(__GNUC__) && defined(__ELF__)
#define FAST_TLS __attribute__((tls_model("initial-exec")))
#else
#define FAST_TLS
#endif

static _Thread_local FAST_TLS struct frame *top;

void faas__frame_push(struct frame *frame)
{
	frame->outer = top;
	top = frame;
}

void faas__frame_pop(struct frame *frame)
{
	top = frame->outer;
}

struct frame *faas__frame_of(const faas_runtime *runtime)
{
	struct frame *frame = top;

	while (frame && frame->runtime != runtime)
		frame = frame->outer;
	return frame;
}

struct runner *faas__runner_of(const faas_runtime *runtime)
{
	for (struct frame *frame = top; frame; frame = frame->outer)
		if (frame->runtime == runtime && frame->runner)
			return frame->runner;
	return NULL;
}
