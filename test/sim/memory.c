/* SPDX-License-Identifier: MIT */
/*
 * The allocator of a run: it counts, and keeps each block's size and alignment before it, so that a block given back
 * with other ones, or twice, or none at all, is found.
 */
#include "sim.h"

#include <stdlib.h>

#define LIVE 0x6c697665u

struct head {
	_Alignas(16) uint64_t bytes;
	uint64_t alignment, mark, room;
	struct head *next, *prev; /* of all blocks of the run */
};

/* The head lies right before the block, at its alignment. */
static uint64_t room_of(uint64_t alignment)
{
	return (sizeof(struct head) + alignment - 1) / alignment * alignment;
}

static void *memory_alloc(void *user, uint64_t bytes, uint64_t alignment)
{
	struct memory *memory = user;
	struct head *head;
	uint64_t room = room_of(alignment), all = (room + bytes + alignment - 1) / alignment * alignment;
	char *block;

	if (alignment < sizeof(void *) || alignment > 16)
		block = aligned_alloc(alignment < 16 ? 16 : alignment, (all + 15) / 16 * 16);
	else
		block = malloc(all);
	if (!block)
		return NULL;
	block += room;
	head = (struct head *)(void *)block - 1;
	*head = (struct head){.bytes = bytes, .alignment = alignment, .mark = LIVE, .room = room, .next = memory->first};
	if (head->next)
		head->next->prev = head;
	memory->first = head;
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
	if (head->next)
		head->next->prev = head->prev;
	if (head->prev)
		head->prev->next = head->next;
	else
		memory->first = head->next;
	head->mark = 0;
	memory->bytes -= bytes;
	memory->blocks--;
	free((char *)block - head->room);
}

void memory_drop_all(struct memory *memory)
{
	while (memory->first) {
		struct head *head = memory->first;

		memory->first = head->next;
		free((char *)(head + 1) - head->room);
	}
	memory->bytes = 0;
	memory->blocks = 0;
}

faas_allocator_config memory_config(struct memory *memory)
{
	return (faas_allocator_config){
		.struct_size = sizeof(faas_allocator_config), .alloc = memory_alloc, .free = memory_free, .user = memory};
}
