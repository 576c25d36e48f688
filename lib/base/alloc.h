/* SPDX-License-Identifier: MIT */
/* Memory: the host's allocator, or the C library's. Every block is freed with the size it was made with. */
#ifndef FAAS_BASE_ALLOC_H
#define FAAS_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "faas/common.h"

#define ALLOC_ALIGNMENT 16u

struct allocator {
	void *(*alloc)(void *user, uint64_t bytes, uint64_t alignment);
	void (*free)(void *user, void *memory, uint64_t bytes, uint64_t alignment);
	void *user;
};

/* NULL config: the C library's. 0, or FAAS_EINVAL. */
int faas__allocator_init(struct allocator *allocator, const faas_allocator_config *config);

/* NULL when refused. Not cleared. */
void *faas__alloc(const struct allocator *allocator, size_t bytes);
void *faas__alloc_zero(const struct allocator *allocator, size_t bytes);
void *faas__alloc_aligned(const struct allocator *allocator, size_t bytes, size_t alignment);

/* NULL does nothing. */
void faas__free(const struct allocator *allocator, void *memory, size_t bytes);
void faas__free_aligned(const struct allocator *allocator, void *memory, size_t bytes, size_t alignment);

/*
 * For memory that begins with a page and will be written from end to end: has the system find all its pages now, which
 * costs less than to find each when it is touched, and does not interrupt who writes. Where that cannot be done nothing is.
 */
void faas__populate(void *memory, size_t bytes);

/*
 * Makes room for `need` elements in an array, doubling it. 0, or FAAS_ENOMEM and nothing changed.
 * `*capacity` counts elements of `element_bytes`.
 */
int faas__array_grow(const struct allocator *allocator, void **array, size_t *capacity, size_t need,
                     size_t element_bytes);

#endif
