/* SPDX-License-Identifier: MIT */
/*
 * The runtime's concurrency: how many attempts may run at once over all functions, and what of it is reserved.
 *
 * A function uses its reservation first, then what nobody has reserved. One that finds nothing left waits in a list; with
 * every slot that is given back all of them are told, and whose turn it then is decides who gets it.
 */
#ifndef FAAS_DISPATCH_SHARE_H
#define FAAS_DISPATCH_SHARE_H

#include "base/atomics.h"
#include "base/list.h"
#include "base/sync.h"
#include "faas/common.h"

struct share {
	int64_t max;          /* fixed; INT64_MAX: unlimited, and the rest is unused */
	struct mutex mu;
	int64_t reserved;     /* under mu: by all functions */
	int64_t in_use;       /* under mu */
	int64_t beyond;       /* under mu: of those in use, the ones that no reservation covers */
	struct list waiting;  /* under mu: functions, by share_node, each counted */
	atomic_u32 waiters;   /* writers under mu */
};

int faas__share_init(struct share *share, int32_t max_concurrency);
void faas__share_deinit(struct share *share);

/* At registration: 0, or FAAS_ERESERVED. */
int faas__share_reserve(struct share *share, uint32_t count);
/* When the function is closed: what still runs has no reservation any more. Under its lock; then faas__share_tell. */
void faas__share_leave(faas_function *function);

/* Whether a slot could be taken; if not, the function is told when one is given back. Under its lock. */
bool faas__share_may_take(faas_function *function);
/* Takes one, before `active` counts it; gives one back, after. Under the function's lock. */
bool faas__share_take(faas_function *function);
void faas__share_give(faas_function *function);
/* The same for one that nothing ran with. Whoever drops the lock asks faas__share_was_unused, and then tells. */
void faas__share_give_unused(faas_function *function);
bool faas__share_was_unused(faas_function *function);
/* Whether so many slots are all that the runtime has. */
bool faas__share_is_all(faas_runtime *runtime, int64_t count);
/* Tells those that wait. No lock is held. */
void faas__share_tell(faas_runtime *runtime);
/* The function will not wait any more. No lock is held. */
void faas__share_forget(faas_function *function);

#endif
