/* SPDX-License-Identifier: MIT */
/* The stack of frames of each thread; plain thread-local storage without a destructor. See frame.h. */
#include "dispatch/frame.h"

#include "dispatch/runner.h"

_Thread_local FAST_TLS struct frame *faas__frame_top;

void faas__callback_enter(struct frame *frame, faas_runtime *runtime)
{
	struct runner *runner = faas__runner_of(runtime);

	*frame = (struct frame){.runtime = runtime, .runner = runner, .kind = FRAME_CALLBACK};
	/* One callback within another shows once; below the deepest attempt there is no slot, and none is needed. */
	if (runner && runner->depth < THREAD_DEPTH) {
		struct slot *slot = &runner->thread.slots[runner->depth];

		frame->is_marked = !faas__slot_is_running(slot);
		if (frame->is_marked)
			faas__slot_begin(slot, NULL, TIME_NEVER);
	}
	faas__frame_push(frame);
}

void faas__callback_leave(struct frame *frame)
{
	faas__frame_pop(frame);
	if (frame->is_marked)
		faas__slot_end(&frame->runner->thread.slots[frame->runner->depth]);
}

