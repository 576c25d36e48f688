/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests of lib/base and lib/executor share: an allocator that counts and can refuse, and random numbers
 * from a seed that is printed and can be given back (FAAS_TEST_SEED). Such a test is on one thread, unless it says so.
 */
#ifndef TEST_UNIT_H
#define TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static atomic_llong unit_blocks, unit_bytes; /* held now */
static atomic_llong unit_left = -1;          /* allocations until all further ones are refused; negative: none is */

static inline void *unit_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	void *block = NULL;

	(void)user;
	if (atomic_load(&unit_left) >= 0 && atomic_fetch_sub(&unit_left, 1) <= 0) {
		atomic_store(&unit_left, 0);
		return NULL;
	}
	if (posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : (size_t)alignment, (size_t)bytes) != 0)
		return NULL;
	memset(block, 0xa5, bytes < 65536 ? (size_t)bytes : 65536);
	atomic_fetch_add(&unit_blocks, 1);
	atomic_fetch_add(&unit_bytes, (long long)bytes);
	return block;
}

static inline void unit_free(void *user, void *block, uint64_t bytes, uint64_t alignment)
{
	(void)user;
	(void)alignment;
	free(block);
	atomic_fetch_sub(&unit_blocks, 1);
	atomic_fetch_sub(&unit_bytes, (long long)bytes);
}

static const struct allocator unit_allocator = {.alloc = unit_alloc, .free = unit_free};

/* The n-th allocation from now on (0: the very next) and all after it are refused; -1: none is. */
static inline void unit_refuse_from(long long n)
{
	atomic_store(&unit_left, n);
}

static inline void unit_check_empty(void)
{
	assert_int_equal(0, atomic_load(&unit_blocks));
	assert_int_equal(0, atomic_load(&unit_bytes));
}

/* ---- Random numbers ------------------------------------------------------------------------------------------------ */

static inline struct random unit_random(const char *test)
{
	const char *given = getenv("FAAS_TEST_SEED");
	struct timespec now;
	struct random random;

	clock_gettime(CLOCK_REALTIME, &now);
	random.state =
		given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * UINT64_C(1000000007) + (uint64_t)now.tv_nsec;
	print_message("%s: FAAS_TEST_SEED=%llu\n", test, (unsigned long long)random.state);
	return random;
}

static inline uint64_t unit_below(struct random *random, uint64_t bound)
{
	return faas__random_next(random) % bound;
}

#endif
