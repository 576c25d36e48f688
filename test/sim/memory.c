/* SPDX-License-Identifier: MIT */
/*
 * The allocator of a run: it counts, and keeps each block's size and alignment before it, so that a block given back
 * with other ones, or twice, or none at all, is found.
 */
#include "sim.h"

#include <stdlib.h>

#define LIVE 0x6c697665u

struct head {
	uint64_t bytes, alignment, mark, room;
};

/* The head lies right before the block, at its alignment. */
static uint64_t room_of(uint64_t alignment)
{
	return alignment > sizeof(struct head) ? alignment : sizeof(struct head);
}

static void *memory_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;
	uint64_t room = room_of(alignment), all = (room + bytes + alignment - 1) / alignment * alignment;
	char *block;

	if (alignment < sizeof(void *) || alignment > 16)
		block = aligned_alloc(alignment < 16 ? 16 : alignment, (all + 15) / 16 * 16);
	else
		block = malloc(all);
	if (!block)
		return NULL;
	block += room;
	((struct head *)(void *)block)[-1] = (struct head){.bytes = bytes, .alignment = alignment, .mark = LIVE, .room = room};
	memory->bytes += bytes;
	memory->blocks++;
	return block;
}

static void memory_free(void *user, void *block, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;
	struct head *head = (struct head *)block - 1;

	if (head->mark != LIVE || head->bytes != bytes || head->alignment != alignment) {
		complain("memory", "a block of %llu bytes at %llu is freed as one of %llu at %llu", (unsigned long long)head->bytes,
		         (unsigned long long)head->alignment, (unsigned long long)bytes, (unsigned long long)alignment);
		return;
	}
	head->mark = 0;
	memory->bytes -= bytes;
	memory->blocks--;
	free((char *)block - head->room);
}

faas_allocator_config memory_config(struct memory *memory)
{
	return (faas_allocator_config){
		.struct_size = sizeof(faas_allocator_config), .alloc = memory_alloc, .free = memory_free, .user = memory};
}
