/* SPDX-License-Identifier: MIT */
/*
 * Small blocks for events and invocations: allocated on one thread, freed on another, millions of times a second.
 */
#ifndef FAAS_BASE_BLOCKS_H
#define FAAS_BASE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/atomics.h"
#include "base/list.h"
#include "base/sync.h"

#define BLOCK_STEP 64u                              /* sizes are multiples of a line: no two blocks share one */
#define BLOCK_MAX 2048u                             /* larger ones go straight to the allocator */
#define BLOCK_CLASSES (BLOCK_MAX / BLOCK_STEP + 1u) /* class = bytes / BLOCK_STEP; 0 is not used */
#define BLOCK_MIN BLOCK_STEP
#define BLOCK_AHEAD 6u                              /* see faas__block_ahead */
#define BLOCK_FETCHED 2u                            /* see faas__block_take */
#define BLOCK_LINES 4u                              /* at the beginning of a block, that are fetched and owned */

/* Free blocks of one class. */
struct magazine {
	struct magazine *below; /* in a depot: the next of its stack */
	uint32_t count;
	uint16_t capacity;      /* fixed, as are the next two */
	uint16_t enough;        /* with so many, only blocks of the last one's group are added */
	uint32_t group_shift;   /* blocks of one group have equal addresses but for so many bits */
	void *blocks[];         /* the last one is given out first */
};

/* One size class of the pool. */
struct depot {
	struct mutex mu;
	struct magazine *full;    /* under mu: a stack */
	struct magazine *empty;   /* under mu: likewise */
	uint32_t full_count;      /* under mu */
	uint32_t full_low;        /* under mu: the lowest full_count since the last trim: what nobody needed meanwhile */
	uint32_t slabs;           /* under mu: all there are */
	struct list partial;      /* under mu: slabs with free blocks */
	struct slab *last_empty;  /* under mu: one empty slab kept against thrashing */
};

struct block_pool {
	struct allocator allocator; /* fixed after init */
	struct depot depots[BLOCK_CLASSES];
	struct depot magazines;     /* slabs of magazines; nothing but slabs */
};

/* A thread's (or stripe's) own blocks; the owner alone touches it. Zeroed memory is an empty cache. */
struct block_cache {
	struct magazine *loaded[BLOCK_CLASSES]; /* NULL: none yet */
	struct magazine *spare[BLOCK_CLASSES];  /* full (it has enough) or empty; NULL: none */
};

/* 0, or FAAS_ETHREAD and nothing made. */
int faas__block_pool_init(struct block_pool *pool, const struct allocator *allocator);

/* Every cache has been emptied by faas__block_cache_flush and every block freed. */
void faas__block_pool_deinit(struct block_pool *pool);

/* Gives memory that was not needed since the last call back to the allocator; `all`: whatever is free. */
void faas__block_pool_trim(struct block_pool *pool, bool all);

/* The size that a request really gets, which is what must be handed to faas__block_free. */
static inline size_t faas__block_size(size_t bytes)
{
	if (bytes <= BLOCK_MIN)
		return BLOCK_MIN;
	return (bytes + BLOCK_STEP - 1) & ~(size_t)(BLOCK_STEP - 1);
}

/*
 * A block of this size, BLOCK_MAX at most, if the cache has one at hand; else NULL. The one after the next was most likely
 * last written on another core: by the time that it is asked for, it is here.
 */
static inline void *faas__block_take(struct block_cache *cache, size_t size)
{
	struct magazine *loaded = cache->loaded[size / BLOCK_STEP];
	void *block;

	if (unlikely(!loaded || loaded->count == 0))
		return NULL;
	block = loaded->blocks[--loaded->count];
	if (likely(loaded->count >= BLOCK_FETCHED)) {
		const char *ahead = loaded->blocks[loaded->count - BLOCK_FETCHED];

		_Static_assert(BLOCK_LINES == 4, "as many as are fetched here");
		prefetch_to_write(ahead);
		if (size > FAAS_LINE)
			prefetch_to_write(ahead + FAAS_LINE);
		if (size > 2 * FAAS_LINE)
			prefetch_to_write(ahead + 2 * FAAS_LINE);
		if (size > 3 * FAAS_LINE)
			prefetch_to_write(ahead + 3 * FAAS_LINE);
	}
	return block;
}

/*
 * Writes to the lines of a block that will not be read any more. What a thread on one core has written and one on another
 * core only read lies in both caches; then the first must not write to it again before the other copy is gone, which takes
 * as long as fetching it and, since the line is there, is not begun by a prefetch on all processors. A line that was
 * written last on the other core is in that cache alone, and is fetched ahead of time like any other.
 */
static inline void faas__block_own(void *block, size_t size)
{
	for (size_t line = 1; line < BLOCK_LINES && line * FAAS_LINE < size; line++)
		store_relaxed((atomic_u32 *)(void *)((char *)block + line * FAAS_LINE), 0);
}

/* Whether the magazine takes no more, or not this one. */
static inline bool faas__magazine_is_full_for(const struct magazine *magazine, const void *block)
{
	return unlikely(magazine->count >= magazine->enough) &&
	       (magazine->count == magazine->capacity ||
	        ((uintptr_t)magazine->blocks[magazine->count - 1] ^ (uintptr_t)block) >> magazine->group_shift != 0);
}

/* Gives a block of this size, BLOCK_MAX at most, back to the cache. False: it has no room at hand. */
static inline bool faas__block_put(struct block_cache *cache, void *block, size_t size)
{
	struct magazine *loaded = cache->loaded[size / BLOCK_STEP];

	if (unlikely(!loaded) || faas__magazine_is_full_for(loaded, block))
		return false;
	loaded->blocks[loaded->count++] = block;
	return true;
}

/* A block of faas__block_size bytes, aligned to 64. NULL when the allocator refuses. */
void *faas__block_alloc(struct block_pool *pool, struct block_cache *cache, size_t size);
void faas__block_free(struct block_pool *pool, struct block_cache *cache, void *block, size_t size);

/* The same for those that are few and stay long, of BLOCK_MAX at most: without a cache, under a lock. */
void *faas__block_alloc_alone(struct block_pool *pool, size_t size);
void faas__block_free_alone(struct block_pool *pool, void *block, size_t size);

/* The block that this cache will most likely give out a few calls from now; NULL: it cannot be told. */
static inline const void *faas__block_ahead(const struct block_cache *cache, size_t size)
{
	const struct magazine *loaded = size <= BLOCK_MAX ? cache->loaded[size / BLOCK_STEP] : NULL;

	return loaded && loaded->count >= BLOCK_AHEAD ? loaded->blocks[loaded->count - BLOCK_AHEAD] : NULL;
}

/* Returns everything the cache holds to the pool. */
void faas__block_cache_flush(struct block_pool *pool, struct block_cache *cache);

#endif
