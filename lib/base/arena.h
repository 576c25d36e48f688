/* SPDX-License-Identifier: MIT */
/* Memory that is freed all at once. One thread at a time. Zeroed memory is an empty arena. */
#ifndef FAAS_BASE_ARENA_H
#define FAAS_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/alloc.h"

struct arena {
	struct arena_chunk *chunks; /* the one in use first */
	size_t used;                /* of the first; 0: nothing of any */
};

static inline bool faas__arena_is_empty(const struct arena *arena)
{
	return arena->used == 0;
}

/* NULL when the allocator refuses. Aligned to 16. */
void *faas__arena_alloc(struct arena *arena, const struct allocator *allocator, size_t bytes);

/* Frees everything but one chunk of common size, kept for the next round. */
void faas__arena_reset(struct arena *arena, const struct allocator *allocator);
void faas__arena_deinit(struct arena *arena, const struct allocator *allocator);

#endif
