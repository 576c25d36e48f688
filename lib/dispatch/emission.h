/* SPDX-License-Identifier: MIT */
/* Emissions: what became of one event at every function it matched. */
#ifndef FAAS_DISPATCH_EMISSION_H
#define FAAS_DISPATCH_EMISSION_H

#include "base/atomics.h"
#include "dispatch/callback.h"
#include "faas/event.h"

struct emission_entry {
	faas_function *function;     /* counted */
	faas_invocation *invocation; /* counted; NULL: refused */
	int32_t code;
};

struct faas_emission {
	struct callback callback;
	atomic_u32 refs;    /* handles, and one for each invocation not settled */
	atomic_u32 pending; /* invocations not settled, and one while it is being emitted */
	atomic_u32 flags;   /* HAS_WAITERS, HAS_CALLBACK, EMISSION_SETTLED */
	uint32_t count;     /* fixed when emitted */
	faas_runtime *runtime; /* counted */
	faas_emission_settled_fn *on_settled;
	void *on_settled_user;
	uint32_t capacity;
	struct emission_entry entries[];
};

#define EMISSION_SETTLED 1u

/* NULL: no memory. One reference, the caller's; pending is 1 until faas__emission_close. */
faas_emission *faas__emission_new(faas_runtime *runtime, size_t count);

/* One invocation fewer to wait for; `from_monitor`: callbacks are left to others. */
void faas__emission_one_settled(faas_emission *emission, bool from_monitor);

#endif
