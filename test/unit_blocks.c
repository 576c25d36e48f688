/* SPDX-License-Identifier: MIT */
/* The pool of small blocks: none is given out twice, none is lost, and what a burst took goes back to the allocator. */
#include "unit.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/blocks.h"
#include "faas/common.h"

#define SLAB_BYTES 262144

static void pool_open(struct block_pool *pool)
{
	assert_int_equal(FAAS_OK, faas__block_pool_init(pool, &unit_allocator));
}

static void pool_close(struct block_pool *pool)
{
	faas__block_pool_deinit(pool);
	unit_check_empty();
}

/* Whoever has a block has written its own mark all over it. */
static void mark(unsigned char *block, size_t size, unsigned char value)
{
	memset(block, value, size);
}

static bool is_marked(const unsigned char *block, size_t size, unsigned char value)
{
	for (size_t i = 0; i < size; i++)
		if (block[i] != value)
			return false;
	return true;
}

/* ---- One thread -------------------------------------------------------------------------------------------------- */

static void sizes_are_steps(void **state)
{
	(void)state;
	assert_int_equal(BLOCK_MIN, faas__block_size(0));
	assert_int_equal(BLOCK_MIN, faas__block_size(BLOCK_MIN));
	for (size_t bytes = BLOCK_MIN; bytes < 3 * BLOCK_MAX; bytes++) {
		size_t size = faas__block_size(bytes);

		assert_true(size >= bytes && size < bytes + BLOCK_STEP && size % BLOCK_STEP == 0);
		assert_int_equal(size, faas__block_size(size));
	}
}

static void blocks_do_not_overlap(void **state)
{
	enum { BLOCKS = 2000 };
	static unsigned char *blocks[BLOCKS];
	static size_t sizes[BLOCKS];
	struct random random = unit_random("blocks");
	struct block_cache cache = {0};
	struct block_pool pool;

	(void)state;
	memset(blocks, 0, sizeof(blocks));
	pool_open(&pool);
	for (int step = 0; step < 100000; step++) {
		size_t i = (size_t)unit_below(&random, BLOCKS);
		unsigned char value = (unsigned char)(i * 7 + 1);

		if (blocks[i]) {
			if (!is_marked(blocks[i], sizes[i], value))
				fail_msg("a block of %zu bytes was overwritten", sizes[i]);
			faas__block_free(&pool, &cache, blocks[i], sizes[i]);
			blocks[i] = NULL;
			continue;
		}
		sizes[i] = faas__block_size((size_t)unit_below(&random, unit_below(&random, 30) == 0 ? 5000 : (int)BLOCK_MAX));
		blocks[i] = faas__block_alloc(&pool, &cache, sizes[i]);
		assert_non_null(blocks[i]);
		assert_int_equal(0, (uintptr_t)blocks[i] % BLOCK_STEP);
		mark(blocks[i], sizes[i], value);
		if (step % 5000 == 0)
			faas__block_pool_trim(&pool, unit_below(&random, 2) == 0);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		if (blocks[i])
			faas__block_free(&pool, &cache, blocks[i], sizes[i]);
	faas__block_cache_flush(&pool, &cache);
	pool_close(&pool);
}

/*
 * Blocks that lie side by side are freed in that order: they go on together. A magazine ends where a stretch of memory does
 * of which it has all, whatever it began with.
 */
static void neighbours_stay_together(void **state)
{
	enum { BLOCKS = 1000 };
	static const size_t sizes[] = {64, 128, 192, 320, 640, 2048};
	static char *blocks[BLOCKS];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		const size_t class = sizes[i] / BLOCK_STEP;
		struct block_cache taker = {0}, giver = {0};
		struct block_pool pool;
		int ends = 0;

		pool_open(&pool);
		for (int k = 0; k < BLOCKS; k++)
			assert_non_null(blocks[k] = faas__block_alloc(&pool, &taker, sizes[i]));
		/* The first three come last: so no magazine begins where a stretch does. */
		for (int k = 3; k < BLOCKS + 3; k++) {
			const struct magazine *before = giver.loaded[class];

			faas__block_free(&pool, &giver, blocks[k % BLOCKS], sizes[i]);
			if (!before || giver.loaded[class] == before || k >= BLOCKS || blocks[k] - blocks[k - 1] != (long)sizes[i])
				continue;
			ends++;
			assert_true((uintptr_t)blocks[k] >> before->group_shift != (uintptr_t)blocks[k - 1] >> before->group_shift);
			assert_in_range(before->count, before->capacity / 3, before->capacity);
		}
		assert_true(ends >= 10);
		faas__block_cache_flush(&pool, &taker);
		faas__block_cache_flush(&pool, &giver);
		pool_close(&pool);
	}
}

static void refused_memory_is_told_and_no_more(void **state)
{
	struct block_cache cache = {0};
	struct block_pool pool;
	static void *blocks[9000];
	size_t count = 0;

	(void)state;
	pool_open(&pool);
	/* A slab of magazines and two of blocks, and then nothing: what they hold is given out to the last block. */
	unit_refuse_from(3);
	while ((blocks[count] = faas__block_alloc(&pool, &cache, 64)) != NULL)
		count++;
	assert_int_equal(2 * ((SLAB_BYTES - 64) / 64), count);
	assert_null(faas__block_alloc(&pool, &cache, 64));
	assert_null(faas__block_alloc(&pool, &cache, 128));
	assert_null(faas__block_alloc(&pool, &cache, 4096));
	unit_refuse_from(-1);
	blocks[count] = faas__block_alloc(&pool, &cache, 64);
	assert_non_null(blocks[count++]);
	while (count > 0)
		faas__block_free(&pool, &cache, blocks[--count], 64);
	faas__block_cache_flush(&pool, &cache);
	pool_close(&pool);
}

/* Without memory for another magazine they go back to their slabs. */
static void freeing_needs_no_memory(void **state)
{
	enum { BLOCKS = 5000 };
	static void *blocks[BLOCKS];
	struct block_cache cache = {0}, fresh = {0};
	struct block_pool pool;

	(void)state;
	pool_open(&pool);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < BLOCKS; i++) {
			blocks[i] = faas__block_alloc(&pool, &cache, 192);
			assert_non_null(blocks[i]);
			mark(blocks[i], 192, (unsigned char)i);
		}
		unit_refuse_from(round * 3);
		for (size_t i = 0; i < BLOCKS; i++) {
			assert_true(is_marked(blocks[i], 192, (unsigned char)i));
			/* By a thread that has no magazine yet, and by one that has. */
			faas__block_free(&pool, i % 2 ? &fresh : &cache, blocks[i], 192);
		}
		unit_refuse_from(-1);
		faas__block_cache_flush(&pool, &fresh);
	}
	faas__block_cache_flush(&pool, &cache);
	pool_close(&pool);
}

/* What lay unused from one trim to the next goes back; what is in use stays. */
static void a_burst_goes_back_and_a_working_set_stays(void **state)
{
	enum { BURST = 20000, WORKING = 500 };
	static void *blocks[BURST];
	struct block_cache cache = {0};
	struct block_pool pool;
	long long after;

	(void)state;
	pool_open(&pool);
	for (size_t i = 0; i < BURST; i++)
		blocks[i] = faas__block_alloc(&pool, &cache, 256);
	assert_true(atomic_load(&unit_bytes) >= (long long)BURST * 256);
	for (size_t i = 0; i < BURST; i++)
		faas__block_free(&pool, &cache, blocks[i], 256);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < WORKING; i++)
			blocks[i] = faas__block_alloc(&pool, &cache, 256);
		for (size_t i = 0; i < WORKING; i++)
			faas__block_free(&pool, &cache, blocks[i], 256);
		faas__block_pool_trim(&pool, false);
	}
	after = atomic_load(&unit_bytes);
	/* The working set is spread over no more slabs than its blocks have magazines; and those have slabs of their own. */
	assert_true(after < (long long)BURST * 256 / 4 + 2 * SLAB_BYTES);
	assert_true(after >= (long long)WORKING * 256);
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < WORKING; i++)
			blocks[i] = faas__block_alloc(&pool, &cache, 256);
		for (size_t i = 0; i < WORKING; i++)
			faas__block_free(&pool, &cache, blocks[i], 256);
		faas__block_pool_trim(&pool, false);
		assert_true(atomic_load(&unit_bytes) <= after);
	}
	faas__block_cache_flush(&pool, &cache);
	faas__block_pool_trim(&pool, true);
	assert_int_equal(0, atomic_load(&unit_bytes));
	pool_close(&pool);
}

#if defined(MADV_POPULATE_WRITE)
/* How many pages of the slab that a block lies in have memory. */
static size_t pages_present(const void *block)
{
	void *slab = (void *)((uintptr_t)block & ~(uintptr_t)(SLAB_BYTES - 1));
	unsigned char pages[SLAB_BYTES / 4096] = {0};
	size_t count = 0;

	assert_int_equal(0, mincore(slab, SLAB_BYTES, pages));
	for (size_t i = 0; i < SLAB_BYTES / (size_t)sysconf(_SC_PAGESIZE); i++)
		count += pages[i] & 1;
	return count;
}

/* A size that is seldom used takes the pages that it uses; one that has outgrown a slab gets the next one whole. */
static void the_second_slab_comes_with_its_pages(void **state)
{
	enum { BLOCKS = SLAB_BYTES / 256 + 100 };
	static void *blocks[BLOCKS];
	const size_t pages = SLAB_BYTES / (size_t)sysconf(_SC_PAGESIZE);
	struct block_cache cache = {0};
	struct allocator allocator;
	struct block_pool pool;

	(void)state;
	assert_int_equal(FAAS_OK, faas__allocator_init(&allocator, NULL));
	assert_int_equal(FAAS_OK, faas__block_pool_init(&pool, &allocator));
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = faas__block_alloc(&pool, &cache, 256);
		assert_non_null(blocks[i]);
		if (i == 0)
			assert_in_range(pages_present(blocks[i]), 1, pages / 2);
	}
	/* An older system does not know how. */
	if (madvise((void *)((uintptr_t)blocks[0] & ~(uintptr_t)(SLAB_BYTES - 1)), SLAB_BYTES, MADV_POPULATE_WRITE) == 0)
		assert_int_equal(pages, pages_present(blocks[BLOCKS - 1]));
	for (size_t i = 0; i < BLOCKS; i++)
		faas__block_free(&pool, &cache, blocks[i], 256);
	faas__block_cache_flush(&pool, &cache);
	faas__block_pool_trim(&pool, true);
	/* All over again. */
	blocks[0] = faas__block_alloc(&pool, &cache, 256);
	assert_non_null(blocks[0]);
	assert_in_range(pages_present(blocks[0]), 1, pages / 2);
	faas__block_free(&pool, &cache, blocks[0], 256);
	faas__block_cache_flush(&pool, &cache);
	faas__block_pool_deinit(&pool);
}
#endif

/* ---- Several threads --------------------------------------------------------------------------------------------- */

#define THREADS 4
#define STEPS 30000
#define PLACES 256

struct parcel {
	size_t size;
	unsigned char value;
	unsigned char rest[];
};

/* Blocks are made by one thread and freed by another, which finds them at one of these places. */
static struct exchange {
	struct block_pool pool;
	_Atomic(struct parcel *) places[PLACES];
	atomic_int wrong, running;
} exchange;

struct exchanger {
	pthread_t thread;
	struct random random;
	struct block_cache cache;
};

static struct parcel *parcel_new(struct exchanger *exchanger)
{
	size_t size = faas__block_size(sizeof(struct parcel) + (size_t)unit_below(&exchanger->random, 400));
	struct parcel *parcel = faas__block_alloc(&exchange.pool, &exchanger->cache, size);

	if (!parcel)
		return NULL;
	parcel->size = size;
	parcel->value = (unsigned char)faas__random_next(&exchanger->random);
	mark(parcel->rest, size - offsetof(struct parcel, rest), parcel->value);
	return parcel;
}

static void parcel_free(struct exchanger *exchanger, struct parcel *parcel)
{
	if (!parcel)
		return;
	if (!is_marked(parcel->rest, parcel->size - offsetof(struct parcel, rest), parcel->value))
		atomic_fetch_add(&exchange.wrong, 1);
	faas__block_free(&exchange.pool, &exchanger->cache, parcel, parcel->size);
}

static void *exchange_main(void *arg)
{
	struct exchanger *exchanger = arg;

	for (int step = 0; step < STEPS; step++) {
		size_t at = (size_t)unit_below(&exchanger->random, PLACES);

		parcel_free(exchanger, atomic_exchange(&exchange.places[at], parcel_new(exchanger)));
		/* Now and then a thread gives everything back, as one that leaves does. */
		if (unit_below(&exchanger->random, 4096) == 0)
			faas__block_cache_flush(&exchange.pool, &exchanger->cache);
	}
	faas__block_cache_flush(&exchange.pool, &exchanger->cache);
	atomic_fetch_sub(&exchange.running, 1);
	return NULL;
}

static void blocks_travel_between_threads(void **state)
{
	struct random random = unit_random("blocks between threads");
	static struct exchanger exchangers[THREADS];
	struct block_cache cache = {0};

	(void)state;
	memset(&exchange, 0, sizeof(exchange));
	memset(exchangers, 0, sizeof(exchangers));
	pool_open(&exchange.pool);
	atomic_store(&exchange.running, THREADS);
	for (int i = 0; i < THREADS; i++) {
		exchangers[i].random.state = faas__random_next(&random);
		assert_int_equal(0, pthread_create(&exchangers[i].thread, NULL, exchange_main, &exchangers[i]));
	}
	while (atomic_load(&exchange.running) > 0)
		faas__block_pool_trim(&exchange.pool, unit_below(&random, 4) == 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(0, pthread_join(exchangers[i].thread, NULL));
	assert_int_equal(0, atomic_load(&exchange.wrong));
	for (size_t i = 0; i < PLACES; i++) {
		struct parcel *parcel = atomic_load(&exchange.places[i]);

		if (parcel)
			faas__block_free(&exchange.pool, &cache, parcel, parcel->size);
	}
	faas__block_cache_flush(&exchange.pool, &cache);
	pool_close(&exchange.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_steps),
		cmocka_unit_test(blocks_do_not_overlap),
		cmocka_unit_test(neighbours_stay_together),
		cmocka_unit_test(refused_memory_is_told_and_no_more),
		cmocka_unit_test(freeing_needs_no_memory),
		cmocka_unit_test(a_burst_goes_back_and_a_working_set_stays),
#if defined(MADV_POPULATE_WRITE)
		cmocka_unit_test(the_second_slab_comes_with_its_pages),
#endif
		cmocka_unit_test(blocks_travel_between_threads),
	};

	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
