/* SPDX-License-Identifier: MIT */
/*
 * The allocator in use. The default one is malloc, except for large aligned blocks: those are the slabs of blocks.c,
 * and mapping them directly is what lets an emptied queue give its memory back, whatever the heap looks like.
 */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#endif

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/config.h"

#if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#define MAP_ANONYMOUS MAP_ANON
#endif

#define MAPPED_ALIGNMENT 4096u

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

/* Maps more than asked and gives back what stands before and behind the aligned part. */
static void *map_and_trim(size_t bytes, size_t alignment)
{
	size_t span = bytes + alignment;
	char *base, *start;
	size_t before, after;

	if (span < bytes)
		return NULL;
	base = map(span);
	if (!base)
		return NULL;
	before = (alignment - ((uintptr_t)base & (alignment - 1))) & (alignment - 1);
	start = base + before;
	after = span - before - bytes;
	if (before > 0)
		(void)munmap(base, before);
	if (after > 0)
		(void)munmap(start + bytes, after);
	return start;
}

/* Systems put one mapping beside the other: where the last one was aligned, so is this one, and one call is enough. */
static void *map_aligned(size_t bytes, size_t alignment)
{
	void *memory = map(bytes);

	if (!memory || ((uintptr_t)memory & (alignment - 1)) == 0)
		return memory;
	(void)munmap(memory, bytes);
	return map_and_trim(bytes, alignment);
}

static void *default_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	(void)user;
	if (bytes > SIZE_MAX / 2 || alignment > SIZE_MAX / 2)
		return NULL;
	if (alignment >= MAPPED_ALIGNMENT)
		return map_aligned((size_t)bytes, (size_t)alignment);
	if (alignment <= ALLOC_ALIGNMENT && alignment <= _Alignof(max_align_t))
		return malloc((size_t)bytes);
	return aligned_alloc((size_t)alignment, ((size_t)bytes + (size_t)alignment - 1) & ~((size_t)alignment - 1));
}

static void default_free(void *user, void *memory, uint64_t bytes, uint64_t alignment)
{
	(void)user;
	if (alignment >= MAPPED_ALIGNMENT)
		(void)munmap(memory, (size_t)bytes);
	else
		free(memory);
}

int faas__allocator_init(struct allocator *allocator, const faas_allocator_config *config)
{
	faas_allocator_config copy;

	if (!config) {
		*allocator = (struct allocator){.alloc = default_alloc, .free = default_free};
		return FAAS_OK;
	}
	config = faas__config_read(config, &copy, sizeof(copy));
	if (!config || config->reserved != 0 || !config->alloc || !config->free)
		return FAAS_EINVAL;
	*allocator = (struct allocator){.alloc = config->alloc, .free = config->free, .user = config->user};
	return FAAS_OK;
}

void *faas__alloc_aligned(const struct allocator *allocator, size_t bytes, size_t alignment)
{
	return allocator->alloc(allocator->user, bytes, alignment);
}

void *faas__alloc(const struct allocator *allocator, size_t bytes)
{
	return faas__alloc_aligned(allocator, bytes, ALLOC_ALIGNMENT);
}

void *faas__alloc_zero(const struct allocator *allocator, size_t bytes)
{
	void *memory = faas__alloc(allocator, bytes);

	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

void faas__free_aligned(const struct allocator *allocator, void *memory, size_t bytes, size_t alignment)
{
	if (memory)
		allocator->free(allocator->user, memory, bytes, alignment);
}

void faas__free(const struct allocator *allocator, void *memory, size_t bytes)
{
	faas__free_aligned(allocator, memory, bytes, ALLOC_ALIGNMENT);
}

void faas__populate(void *memory, size_t bytes)
{
#if defined(MADV_POPULATE_WRITE)
	(void)madvise(memory, bytes, MADV_POPULATE_WRITE);
#else
	(void)memory;
	(void)bytes;
#endif
}

int faas__array_grow(const struct allocator *allocator, void **array, size_t *capacity, size_t need,
                     size_t element_bytes)
{
	size_t wanted = *capacity > 0 ? *capacity : 8;
	void *larger;

	if (need <= *capacity)
		return FAAS_OK;
	while (wanted < need) {
		if (wanted > SIZE_MAX / 4 / element_bytes)
			return FAAS_ENOMEM;
		wanted *= 2;
	}
	larger = faas__alloc(allocator, wanted * element_bytes);
	if (!larger)
		return FAAS_ENOMEM;
	if (*capacity > 0)
		memcpy(larger, *array, *capacity * element_bytes);
	faas__free(allocator, *array, *capacity * element_bytes);
	*array = larger;
	*capacity = wanted;
	return FAAS_OK;
}
