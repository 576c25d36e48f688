/* SPDX-License-Identifier: MIT */
/*
 * Magazines over slabs.
 *
 * An event is allocated by its emitter and freed by the thread that ran it. With malloc that costs 76-245 ns, because
 * the block has to find its way back to the arena it came from. Here every thread has two magazines for each size, a
 * few dozen blocks each, and works on them without a lock; full ones travel through the depot, one lock per magazine.
 * A magazine's blocks were freed by one thread shortly after each other, so that what travels is a chain and a count.
 *
 * Under the depot lie slabs: aligned stretches of memory cut into equal blocks, found from a block by its address. Only
 * when a magazine is dissolved do its blocks go back to their slabs, and a slab that is whole again goes back to the
 * allocator. Dissolving happens in faas__block_pool_trim, which takes the magazines that lay in the depot unused since
 * the last trim: so a busy runtime keeps its working set, and an idle one gives the memory of a burst back.
 *
 * What would be simpler: freeing to malloc above a fixed count. It makes every burst pay for page faults again.
 *
 * Locks: a depot's mutex, held for a moment; no other lock is taken under it. The allocator is called under it where
 * memory is given back (it may not call back).
 *
 * Source: Bonwick and Adams, "Magazines and Vmem", USENIX 2001, sections 3 (magazines) and 3.5 (the working set).
 */
#include "base/blocks.h"

#include <assert.h>
#include <string.h>

#include "base/atomics.h"

#define SLAB_BYTES 262144u
#define SLAB_HEADER 64u
#define MAGAZINE_BYTES 8192u /* of blocks in a magazine, so that large sizes hoard no more than small ones */
#define MAGAZINE_MAX 64u

struct free_block {
	struct free_block *next;          /* in its magazine, or in its slab */
	struct free_block *next_magazine; /* first block of a magazine in the depot: the one below it */
};

struct slab {
	struct list node;        /* in depot.partial while it has free blocks */
	struct free_block *free; /* returned blocks */
	uint32_t free_count;     /* of them */
	uint32_t uncut;          /* blocks at the end that were never handed out */
	uint32_t total;
	uint32_t size;
};

static uint32_t magazine_capacity(size_t class)
{
	size_t count = MAGAZINE_BYTES / (class * BLOCK_STEP);

	return count > MAGAZINE_MAX ? MAGAZINE_MAX : (uint32_t)count;
}

static struct slab *slab_of(void *block)
{
	return (struct slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_BYTES - 1));
}

static bool slab_is_whole(const struct slab *slab)
{
	return slab->free_count + slab->uncut == slab->total;
}

static struct slab *slab_new(struct block_pool *pool, size_t class)
{
	struct slab *slab = faas__alloc_aligned(&pool->allocator, SLAB_BYTES, SLAB_BYTES);

	if (!slab)
		return NULL;
	slab->free = NULL;
	slab->free_count = 0;
	slab->size = (uint32_t)(class * BLOCK_STEP);
	slab->total = (SLAB_BYTES - SLAB_HEADER) / slab->size;
	slab->uncut = slab->total;
	list_init(&slab->node);
	return slab;
}

static void slab_free(struct block_pool *pool, struct slab *slab)
{
	faas__free_aligned(&pool->allocator, slab, SLAB_BYTES, SLAB_BYTES);
}

int faas__block_pool_init(struct block_pool *pool, const struct allocator *allocator)
{
	assert(sizeof(struct slab) <= SLAB_HEADER);
	pool->allocator = *allocator;
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		struct depot *depot = &pool->depots[i];

		memset(depot, 0, sizeof(*depot));
		list_init(&depot->partial);
		if (faas__mutex_init(&depot->mu) != FAAS_OK) {
			while (i-- > 0)
				faas__mutex_deinit(&pool->depots[i].mu);
			return FAAS_ETHREAD;
		}
	}
	return FAAS_OK;
}

static void return_to_slab(struct block_pool *pool, struct depot *depot, struct free_block *block) holds_lock(depot->mu)
{
	struct slab *slab = slab_of(block);

	if (slab->free_count == 0 && slab->uncut == 0)
		list_push_back(&depot->partial, &slab->node);
	block->next = slab->free;
	slab->free = block;
	slab->free_count++;
	if (!slab_is_whole(slab))
		return;
	list_remove(&slab->node);
	if (depot->last_empty)
		slab_free(pool, depot->last_empty);
	depot->last_empty = slab;
}

static void dissolve(struct block_pool *pool, struct depot *depot, struct free_block *first) holds_lock(depot->mu)
{
	while (first) {
		struct free_block *next = first->next;

		return_to_slab(pool, depot, first);
		first = next;
	}
}

static void trim_depot(struct block_pool *pool, struct depot *depot, bool all) without_lock(depot->mu)
{
	uint32_t surplus;

	faas__mutex_lock(&depot->mu);
	surplus = all ? depot->full_count : depot->full_low;
	while (surplus-- > 0) {
		struct free_block *first = depot->full;

		depot->full = first->next_magazine;
		depot->full_count--;
		dissolve(pool, depot, first);
	}
	depot->full_low = depot->full_count;
	if (depot->last_empty && (all || depot->full_count == 0)) {
		slab_free(pool, depot->last_empty);
		depot->last_empty = NULL;
	}
	faas__mutex_unlock(&depot->mu);
}

void faas__block_pool_trim(struct block_pool *pool, bool all)
{
	for (size_t i = 0; i < BLOCK_CLASSES; i++)
		trim_depot(pool, &pool->depots[i], all);
}

void faas__block_pool_deinit(struct block_pool *pool)
{
	faas__block_pool_trim(pool, true);
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		assert(list_empty(&pool->depots[i].partial));
		faas__mutex_deinit(&pool->depots[i].mu);
	}
}

/* A slab with free blocks; NULL: there is none. */
static struct slab *slab_with_room(struct depot *depot) holds_lock(depot->mu)
{
	struct slab *slab;

	if (!list_empty(&depot->partial))
		return container_of(depot->partial.next, struct slab, node);
	slab = depot->last_empty;
	depot->last_empty = NULL;
	if (slab)
		list_push_back(&depot->partial, &slab->node);
	return slab;
}

/* Blocks that were never handed out, one behind the other. Nobody has touched them. */
struct fresh {
	char *first;
	uint32_t count;
	uint32_t size;
};

/* Takes returned blocks, or else fresh ones, for one magazine. Under the depot's lock. */
static void take_from(struct slab *slab, uint32_t capacity, struct magazine *magazine, struct fresh *fresh)
{
	while (magazine->count < capacity && slab->free) {
		struct free_block *block = slab->free;

		slab->free = block->next;
		slab->free_count--;
		block->next = magazine->first;
		magazine->first = block;
		magazine->count++;
	}
	if (magazine->count == 0) {
		fresh->size = slab->size;
		fresh->count = slab->uncut < capacity ? slab->uncut : capacity;
		fresh->first = (char *)slab + SLAB_HEADER + (size_t)(slab->total - slab->uncut) * slab->size;
		slab->uncut -= fresh->count;
	}
	if (!slab->free && slab->uncut == 0)
		list_remove(&slab->node);
}

/* In address order, so that a growing queue is written front to back. */
static void cut(const struct fresh *fresh, struct magazine *magazine)
{
	struct free_block **tail = &magazine->first;

	for (uint32_t i = 0; i < fresh->count; i++) {
		*tail = (struct free_block *)(void *)(fresh->first + (size_t)i * fresh->size);
		tail = &(*tail)->next;
	}
	*tail = NULL;
	magazine->count = fresh->count;
}

/*
 * Fills an empty magazine: with a full one from the depot, else from a slab, perhaps not to the brim. Leaves it empty
 * when memory is refused. New memory is asked for, and touched for the first time, without the lock: the system may
 * take its time over both.
 */
static void refill(struct block_pool *pool, size_t class, struct magazine *magazine)
{
	struct depot *depot = &pool->depots[class];
	struct fresh fresh = {0};
	struct slab *slab;

	faas__mutex_lock(&depot->mu);
	if (depot->full) {
		magazine->first = depot->full;
		magazine->count = magazine_capacity(class);
		depot->full = depot->full->next_magazine;
		depot->full_count--;
		if (depot->full_count < depot->full_low)
			depot->full_low = depot->full_count;
		faas__mutex_unlock(&depot->mu);
		return;
	}
	slab = slab_with_room(depot);
	if (!slab) {
		faas__mutex_unlock(&depot->mu);
		slab = slab_new(pool, class);
		if (!slab)
			return;
		faas__mutex_lock(&depot->mu);
		list_push_back(&depot->partial, &slab->node);
	}
	take_from(slab, magazine_capacity(class), magazine, &fresh);
	faas__mutex_unlock(&depot->mu);
	if (fresh.count > 0)
		cut(&fresh, magazine);
}

static void put_in_depot(struct block_pool *pool, size_t class, struct magazine *magazine)
{
	struct depot *depot = &pool->depots[class];

	faas__mutex_lock(&depot->mu);
	magazine->first->next_magazine = depot->full;
	depot->full = magazine->first;
	depot->full_count++;
	faas__mutex_unlock(&depot->mu);
	*magazine = (struct magazine){0};
}

static void swap_magazines(struct magazine *a, struct magazine *b)
{
	struct magazine swap = *a;

	*a = *b;
	*b = swap;
}

/* Most likely it was last written on another core. By the time that it is asked for, it is here. */
static inline void fetch_ahead(const struct free_block *block, size_t size)
{
	if (unlikely(!block))
		return;
	prefetch_to_write(block);
	if (size > FAAS_LINE)
		prefetch_to_write((const char *)block + FAAS_LINE);
	if (size > 2 * FAAS_LINE)
		prefetch_to_write((const char *)block + 2 * FAAS_LINE);
	if (size > 3 * FAAS_LINE)
		prefetch_to_write((const char *)block + 3 * FAAS_LINE);
}

void *faas__block_alloc(struct block_pool *pool, struct block_cache *cache, size_t size)
{
	size_t class = size / BLOCK_STEP;
	struct magazine *loaded;
	struct free_block *block;

	if (unlikely(size > BLOCK_MAX))
		return faas__alloc_aligned(&pool->allocator, size, BLOCK_STEP);
	loaded = &cache->loaded[class];
	if (unlikely(loaded->count == 0)) {
		swap_magazines(loaded, &cache->spare[class]);
		if (loaded->count == 0)
			refill(pool, class, loaded);
		if (loaded->count == 0)
			return NULL;
	}
	block = loaded->first;
	loaded->first = block->next;
	loaded->count--;
	if (likely(loaded->first != NULL))
		fetch_ahead(loaded->first->next, size);
	return block;
}

void faas__block_free(struct block_pool *pool, struct block_cache *cache, void *memory, size_t size)
{
	size_t class = size / BLOCK_STEP;
	struct free_block *block = memory;
	struct magazine *loaded;

	if (unlikely(size > BLOCK_MAX)) {
		faas__free_aligned(&pool->allocator, memory, size, BLOCK_STEP);
		return;
	}
	loaded = &cache->loaded[class];
	if (unlikely(loaded->count == magazine_capacity(class))) {
		struct magazine *spare = &cache->spare[class];

		if (spare->count == loaded->count)
			put_in_depot(pool, class, spare);
		swap_magazines(loaded, spare);
	}
	block->next = loaded->first;
	loaded->first = block;
	loaded->count++;
}

static void flush_magazine(struct block_pool *pool, size_t class, struct magazine *magazine)
{
	struct depot *depot = &pool->depots[class];

	if (magazine->count == 0)
		return;
	/* Not full, perhaps: the depot stacks full ones only. */
	faas__mutex_lock(&depot->mu);
	while (magazine->count > 0) {
		struct free_block *block = magazine->first;

		magazine->first = block->next;
		magazine->count--;
		return_to_slab(pool, depot, block);
	}
	faas__mutex_unlock(&depot->mu);
}

void faas__block_cache_flush(struct block_pool *pool, struct block_cache *cache)
{
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		flush_magazine(pool, i, &cache->loaded[i]);
		flush_magazine(pool, i, &cache->spare[i]);
	}
}
