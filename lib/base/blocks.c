/* SPDX-License-Identifier: MIT */
/*
 * Magazines over slabs.
 *
 * An event is allocated by its emitter and freed by the thread that ran it. With malloc that costs 76-245 ns, because
 * the block has to find its way back to the arena it came from. Here every thread has two magazines for each size, a
 * few dozen blocks each, and works on them without a lock; full ones travel through the depot, one lock per magazine.
 *
 * A magazine is an array: it tells which blocks will be next without a look into any of them. So those that most likely
 * lie in another core's cache can be fetched well before they are asked for.
 *
 * Blocks that lie side by side stay together (a group): a magazine ends between two groups, not within one. Processors fetch
 * the neighbours of what is used, too, by themselves. If those are what is used next, that is help; if they are anything, it
 * takes lines away from another core that is about to write to them. Measured with 1,000 events queued and run at a time:
 * 35 ns to emit one where neighbours follow each other, 48 where their order has been lost, 42 where magazines end anywhere.
 *
 * Under the depot lie slabs: aligned stretches of memory cut into equal blocks, found from a block by its address; from the
 * second of a size on they come with all their pages, since that size is in use and will need them. Only
 * when a magazine is dissolved do its blocks go back to their slabs, and a slab that is whole again goes back to the
 * allocator. Dissolving happens in faas__block_pool_trim, which takes the magazines that lay in the depot unused since
 * the last trim: so a busy runtime keeps its working set, and an idle one gives the memory of a burst back.
 *
 * What would be simpler: freeing to malloc above a fixed count. It makes every burst pay for page faults again.
 *
 * Where no memory is left for another magazine, blocks go back to their slabs at once: freeing does not fail.
 *
 * Magazines, too, come from slabs, so that those of a burst leave no gaps in the allocator's memory.
 *
 * Locks: a depot's mutex, held for a moment; no other lock is taken under it, but for that of the magazines' slabs. The
 * allocator is called under them where memory is given back (it may not call back).
 *
 * Source: Bonwick and Adams, "Magazines and Vmem", USENIX 2001, sections 3 (magazines) and 3.5 (the working set).
 */
#include "base/blocks.h"

#include <assert.h>
#include <string.h>

#include "base/atomics.h"

#define SLAB_BYTES 262144u
#define SLAB_HEADER 64u
#define MAGAZINE_BYTES 18432u /* of blocks in a magazine, so that large sizes hoard no more than small ones */
#define MAGAZINE_MAX 93u      /* so that one fills a slot, */
#define MAGAZINE_SLOT 768u    /* of this size, in slabs of their own */
#define GROUP_SHIFT 13u       /* blocks that stay together lie in so many bits of memory; where they are small, */
#define GROUP_SHIFT_SMALL 10u /* in so many and their class, so that two such groups fit a magazine */

/* In its slab. */
struct free_block {
	struct free_block *next;
};

struct slab {
	struct list node;        /* in depot.partial while it has free blocks */
	struct free_block *free; /* returned blocks */
	uint32_t free_count;     /* of them */
	uint32_t uncut;          /* blocks at the end that were never handed out */
	uint32_t total;
	uint32_t size;
};

_Static_assert(sizeof(struct slab) <= SLAB_HEADER, "a slab's header");
_Static_assert(sizeof(struct magazine) + MAGAZINE_MAX * sizeof(void *) <= MAGAZINE_SLOT, "a magazine's slot");

/* How many it holds, and when it has enough: two groups, or one and what was begun before it, but never part of the next. */
static void magazine_init(struct magazine *magazine, size_t class)
{
	const size_t size = class * BLOCK_STEP, most = MAGAZINE_BYTES / size;

	magazine->group_shift = GROUP_SHIFT_SMALL + (uint32_t)class;
	if (magazine->group_shift > GROUP_SHIFT)
		magazine->group_shift = GROUP_SHIFT;
	magazine->count = 0;
	magazine->capacity = most > MAGAZINE_MAX ? MAGAZINE_MAX : (uint16_t)most;
	/* A group may begin with a block that it has only part of. */
	magazine->enough = (uint16_t)(magazine->capacity - ((size_t)1 << magazine->group_shift) / size);
}

static void push(struct magazine **stack, struct magazine *magazine)
{
	magazine->below = *stack;
	*stack = magazine;
}

/* Its lines come from whoever had it last. */
static struct magazine *pop(struct magazine **stack)
{
	struct magazine *magazine = *stack;

	if (!magazine)
		return NULL;
	*stack = magazine->below;
	for (size_t line = 1; line < MAGAZINE_SLOT / FAAS_LINE; line++)
		prefetch_to_write((const char *)magazine + line * FAAS_LINE);
	return magazine;
}

static struct slab *slab_of(void *block)
{
	return (struct slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_BYTES - 1));
}

/* The first of the blocks that were never handed out. */
static char *uncut_of(struct slab *slab)
{
	return (char *)slab + SLAB_HEADER + (size_t)(slab->total - slab->uncut) * slab->size;
}

static bool slab_is_whole(const struct slab *slab)
{
	return slab->free_count + slab->uncut == slab->total;
}

seldom static struct slab *slab_new(struct block_pool *pool, size_t class, bool grows)
{
	struct slab *slab = faas__alloc_aligned(&pool->allocator, SLAB_BYTES, SLAB_BYTES);

	if (!slab)
		return NULL;
	if (grows)
		faas__populate(slab, SLAB_BYTES);
	slab->free = NULL;
	slab->free_count = 0;
	slab->size = (uint32_t)(class * BLOCK_STEP);
	slab->total = (SLAB_BYTES - SLAB_HEADER) / slab->size;
	slab->uncut = slab->total;
	list_init(&slab->node);
	return slab;
}

seldom static void slab_free(struct block_pool *pool, struct depot *depot, struct slab *slab) holds_lock(depot->mu)
{
	depot->slabs--;
	faas__free_aligned(&pool->allocator, slab, SLAB_BYTES, SLAB_BYTES);
}

static int depot_init(struct depot *depot)
{
	memset(depot, 0, sizeof(*depot));
	list_init(&depot->partial);
	return faas__mutex_init(&depot->mu);
}

seldom int faas__block_pool_init(struct block_pool *pool, const struct allocator *allocator)
{
	size_t made = 0;

	pool->allocator = *allocator;
	if (depot_init(&pool->magazines) != FAAS_OK)
		return FAAS_ETHREAD;
	while (made < BLOCK_CLASSES && depot_init(&pool->depots[made]) == FAAS_OK)
		made++;
	if (made == BLOCK_CLASSES)
		return FAAS_OK;
	while (made > 0)
		faas__mutex_deinit(&pool->depots[--made].mu);
	faas__mutex_deinit(&pool->magazines.mu);
	return FAAS_ETHREAD;
}

static void return_to_slab(struct block_pool *pool, struct depot *depot, void *memory) holds_lock(depot->mu)
{
	struct slab *slab = slab_of(memory);
	struct free_block *block = memory;

	if (slab->free_count == 0 && slab->uncut == 0)
		list_push_back(&depot->partial, &slab->node);
	block->next = slab->free;
	slab->free = block;
	slab->free_count++;
	if (!slab_is_whole(slab))
		return;
	list_remove(&slab->node);
	if (depot->last_empty)
		slab_free(pool, depot, depot->last_empty);
	depot->last_empty = slab;
}

/* Its blocks go back to their slabs. */
seldom static void empty(struct block_pool *pool, struct depot *depot, struct magazine *magazine) holds_lock(depot->mu)
{
	while (magazine->count > 0)
		return_to_slab(pool, depot, magazine->blocks[--magazine->count]);
}

seldom static void give_one(struct block_pool *pool, struct depot *depot, void *block) without_lock(depot->mu)
{
	faas__mutex_lock(&depot->mu);
	return_to_slab(pool, depot, block);
	faas__mutex_unlock(&depot->mu);
}

seldom static void trim_depot(struct block_pool *pool, struct depot *depot, bool all) without_lock(depot->mu)
{
	struct magazine *magazine;
	uint32_t surplus;

	faas__mutex_lock(&depot->mu);
	surplus = all ? depot->full_count : depot->full_low;
	while (surplus-- > 0) {
		magazine = pop(&depot->full);
		depot->full_count--;
		empty(pool, depot, magazine);
		give_one(pool, &pool->magazines, magazine);
	}
	while ((magazine = pop(&depot->empty)) != NULL)
		give_one(pool, &pool->magazines, magazine);
	depot->full_low = depot->full_count;
	if (depot->last_empty && (all || depot->full_count == 0)) {
		slab_free(pool, depot, depot->last_empty);
		depot->last_empty = NULL;
	}
	faas__mutex_unlock(&depot->mu);
}

void faas__block_pool_trim(struct block_pool *pool, bool all)
{
	for (size_t i = 0; i < BLOCK_CLASSES; i++)
		trim_depot(pool, &pool->depots[i], all);
	/* Last, since the others give theirs back. */
	trim_depot(pool, &pool->magazines, all);
}

seldom void faas__block_pool_deinit(struct block_pool *pool)
{
	faas__block_pool_trim(pool, true);
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		assert(list_empty(&pool->depots[i].partial));
		faas__mutex_deinit(&pool->depots[i].mu);
	}
	assert(list_empty(&pool->magazines.partial));
	faas__mutex_deinit(&pool->magazines.mu);
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

/*
 * The same, or a new one; NULL: no memory. New memory is asked for without the lock: the system may take its time over it.
 * Of the first slab only the pages that are touched come to be there: many sizes never need more than a few.
 */
static struct slab *slab_to_cut(struct block_pool *pool, struct depot *depot, size_t class) holds_lock(depot->mu)
{
	struct slab *slab = slab_with_room(depot);
	const bool grows = depot->slabs > 0;

	if (slab)
		return slab;
	faas__mutex_unlock(&depot->mu);
	slab = slab_new(pool, class, grows);
	faas__mutex_lock(&depot->mu);
	if (!slab)
		return NULL;
	depot->slabs++;
	list_push_back(&depot->partial, &slab->node);
	return slab;
}

/* One block straight from a slab. NULL: no memory. */
seldom static void *take_one(struct block_pool *pool, struct depot *depot, size_t class)
{
	struct slab *slab;
	void *block;

	faas__mutex_lock(&depot->mu);
	slab = slab_to_cut(pool, depot, class);
	if (!slab) {
		faas__mutex_unlock(&depot->mu);
		return NULL;
	}
	block = slab->free;
	if (block) {
		slab->free = slab->free->next;
		slab->free_count--;
	} else {
		block = uncut_of(slab);
		slab->uncut--;
	}
	if (!slab->free && slab->uncut == 0)
		list_remove(&slab->node);
	faas__mutex_unlock(&depot->mu);
	return block;
}

/* Without blocks. NULL: no memory. */
seldom static struct magazine *magazine_new(struct block_pool *pool, size_t class)
{
	struct magazine *magazine = take_one(pool, &pool->magazines, MAGAZINE_SLOT / BLOCK_STEP);

	if (!magazine)
		return NULL;
	magazine_init(magazine, class);
	return magazine;
}

/* Blocks that were never handed out, one behind the other. Nobody has touched them. */
struct fresh {
	char *first;
	uint32_t count;
	uint32_t size;
};

/* Takes returned blocks, or else fresh ones, for an empty magazine. Under the depot's lock. */
static void take_from(struct slab *slab, struct magazine *magazine, struct fresh *fresh)
{
	while (magazine->count < magazine->capacity && slab->free) {
		magazine->blocks[magazine->count++] = slab->free;
		slab->free = slab->free->next;
		slab->free_count--;
	}
	if (magazine->count == 0) {
		fresh->size = slab->size;
		fresh->count = slab->uncut < magazine->capacity ? slab->uncut : magazine->capacity;
		fresh->first = uncut_of(slab);
		slab->uncut -= fresh->count;
	}
	if (!slab->free && slab->uncut == 0)
		list_remove(&slab->node);
}

/* The last one is given out first: so in address order, and a growing queue is written front to back. */
static void cut(const struct fresh *fresh, struct magazine *magazine)
{
	for (uint32_t i = 0; i < fresh->count; i++)
		magazine->blocks[fresh->count - 1 - i] = fresh->first + (size_t)i * fresh->size;
	magazine->count = fresh->count;
}

/*
 * A magazine with blocks for an empty one: a full one from the depot, else the same, filled from a slab, perhaps not to
 * the brim. It is as empty as before when memory is refused.
 */
seldom static struct magazine *refill(struct block_pool *pool, size_t class, struct magazine *magazine)
{
	struct depot *depot = &pool->depots[class];
	struct fresh fresh = {0};
	struct slab *slab;

	faas__mutex_lock(&depot->mu);
	if (depot->full) {
		push(&depot->empty, magazine);
		magazine = pop(&depot->full);
		depot->full_count--;
		if (depot->full_count < depot->full_low)
			depot->full_low = depot->full_count;
		faas__mutex_unlock(&depot->mu);
		return magazine;
	}
	slab = slab_to_cut(pool, depot, class);
	if (slab)
		take_from(slab, magazine, &fresh);
	faas__mutex_unlock(&depot->mu);
	if (fresh.count > 0)
		cut(&fresh, magazine);
	return magazine;
}

static void swap_magazines(struct block_cache *cache, size_t class)
{
	struct magazine *loaded = cache->loaded[class];

	cache->loaded[class] = cache->spare[class];
	cache->spare[class] = loaded;
}

/* The loaded magazine is empty, or there is none: one with blocks. NULL: no memory. */
seldom static struct magazine *reload(struct block_pool *pool, struct block_cache *cache, size_t class)
{
	struct magazine **loaded = &cache->loaded[class];

	if (cache->spare[class] && cache->spare[class]->count > 0) {
		swap_magazines(cache, class);
		return *loaded;
	}
	if (!*loaded)
		*loaded = magazine_new(pool, class);
	if (*loaded)
		*loaded = refill(pool, class, *loaded);
	return *loaded && (*loaded)->count > 0 ? *loaded : NULL;
}

/*
 * The loaded magazine is full, or there is none: one with room. A full spare one goes to the depot. NULL: no memory, and
 * nothing that could be emptied.
 */
seldom static struct magazine *unload(struct block_pool *pool, struct block_cache *cache, size_t class)
{
	struct depot *depot = &pool->depots[class];
	struct magazine **loaded = &cache->loaded[class], *spare = cache->spare[class], *room;

	if (spare && spare->count == 0) {
		swap_magazines(cache, class);
		return spare;
	}
	faas__mutex_lock(&depot->mu);
	if (spare) {
		push(&depot->full, spare);
		depot->full_count++;
		cache->spare[class] = NULL;
	}
	room = pop(&depot->empty);
	faas__mutex_unlock(&depot->mu);
	if (!room)
		room = magazine_new(pool, class);
	if (room) {
		cache->spare[class] = *loaded;
		*loaded = room;
	} else if (*loaded) {
		faas__mutex_lock(&depot->mu);
		empty(pool, depot, *loaded);
		faas__mutex_unlock(&depot->mu);
	}
	return *loaded;
}

void *faas__block_alloc(struct block_pool *pool, struct block_cache *cache, size_t size)
{
	void *block;

	if (unlikely(size > BLOCK_MAX))
		return faas__alloc_aligned(&pool->allocator, size, BLOCK_STEP);
	block = faas__block_take(cache, size);
	if (unlikely(!block) && reload(pool, cache, size / BLOCK_STEP))
		block = faas__block_take(cache, size);
	return block;
}

void faas__block_free(struct block_pool *pool, struct block_cache *cache, void *memory, size_t size)
{
	if (unlikely(size > BLOCK_MAX))
		faas__free_aligned(&pool->allocator, memory, size, BLOCK_STEP);
	else if (unlikely(!faas__block_put(cache, memory, size)) &&
	         (!unload(pool, cache, size / BLOCK_STEP) || !faas__block_put(cache, memory, size)))
		give_one(pool, &pool->depots[size / BLOCK_STEP], memory);
}

void *faas__block_alloc_alone(struct block_pool *pool, size_t size)
{
	return take_one(pool, &pool->depots[size / BLOCK_STEP], size / BLOCK_STEP);
}

void faas__block_free_alone(struct block_pool *pool, void *memory, size_t size)
{
	give_one(pool, &pool->depots[size / BLOCK_STEP], memory);
}

seldom static void flush_magazine(struct block_pool *pool, size_t class, struct magazine **at)
{
	struct depot *depot = &pool->depots[class];

	if (!*at)
		return;
	/* Not full, perhaps: the depot stacks full ones only. */
	faas__mutex_lock(&depot->mu);
	empty(pool, depot, *at);
	faas__mutex_unlock(&depot->mu);
	give_one(pool, &pool->magazines, *at);
	*at = NULL;
}

seldom void faas__block_cache_flush(struct block_pool *pool, struct block_cache *cache)
{
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		flush_magazine(pool, i, &cache->loaded[i]);
		flush_magazine(pool, i, &cache->spare[i]);
	}
}
