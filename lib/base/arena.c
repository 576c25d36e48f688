/* SPDX-License-Identifier: MIT */
/* A stack of chunks. What does not fit in a common chunk gets one of its own, below the one in use. */
#include "base/arena.h"

#define CHUNK_BYTES 4096u
#define HEADER 32u

struct arena_chunk {
	struct arena_chunk *next;
	size_t bytes; /* with the header */
};

static struct arena_chunk *chunk_new(const struct allocator *allocator, size_t bytes)
{
	struct arena_chunk *chunk = faas__alloc(allocator, bytes);

	if (chunk)
		*chunk = (struct arena_chunk){.bytes = bytes};
	return chunk;
}

static void *large(struct arena *arena, const struct allocator *allocator, size_t bytes)
{
	struct arena_chunk *chunk = chunk_new(allocator, HEADER + bytes);

	if (!chunk)
		return NULL;
	if (arena->chunks) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		arena->chunks = chunk;
		arena->used = chunk->bytes;
	}
	return (char *)chunk + HEADER;
}

void *faas__arena_alloc(struct arena *arena, const struct allocator *allocator, size_t bytes)
{
	char *memory;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	if (arena->used == 0)
		arena->used = HEADER;
	bytes = bytes > 0 ? (bytes + ALLOC_ALIGNMENT - 1) & ~(size_t)(ALLOC_ALIGNMENT - 1) : ALLOC_ALIGNMENT;
	if (bytes > CHUNK_BYTES / 4)
		return large(arena, allocator, bytes);
	if (!arena->chunks || arena->chunks->bytes - arena->used < bytes) {
		struct arena_chunk *chunk = chunk_new(allocator, CHUNK_BYTES);

		if (!chunk)
			return NULL;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
		arena->used = HEADER;
	}
	memory = (char *)arena->chunks + arena->used;
	arena->used += bytes;
	return memory;
}

void faas__arena_reset(struct arena *arena, const struct allocator *allocator)
{
	struct arena_chunk *chunk = arena->chunks, *kept = NULL;

	while (chunk) {
		struct arena_chunk *next = chunk->next;

		if (!kept && chunk->bytes == CHUNK_BYTES)
			kept = chunk;
		else
			faas__free(allocator, chunk, chunk->bytes);
		chunk = next;
	}
	if (kept)
		kept->next = NULL;
	arena->chunks = kept;
	arena->used = 0;
}

void faas__arena_deinit(struct arena *arena, const struct allocator *allocator)
{
	faas__arena_reset(arena, allocator);
	if (arena->chunks)
		faas__free(allocator, arena->chunks, CHUNK_BYTES);
	arena->chunks = NULL;
}
