/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing, at most three quarters full. Removal closes the gap by moving later entries of
 * the same run back, so there are no tombstones. Source: Knuth, The Art of Computer Programming 3, 6.4, algorithm R.
 */
#include "base/map.h"

#include <string.h>

#include "base/text.h"

static struct map_entry *slot_of(const struct map *map, uint64_t hash, const char *name)
{
	size_t mask = map->capacity - 1;
	size_t i = (size_t)hash & mask;

	while (map->entries[i].name && (map->entries[i].hash != hash || strcmp(map->entries[i].name, name) != 0))
		i = (i + 1) & mask;
	return &map->entries[i];
}

static uint64_t hash_of(const struct map *map, const char *name)
{
	return faas__text_hash(name, strlen(name), map->seed);
}

void *faas__map_get(const struct map *map, const char *name)
{
	if (map->count == 0)
		return NULL;
	return slot_of(map, hash_of(map, name), name)->value;
}

static int grow(struct map *map, const struct allocator *allocator)
{
	struct map larger = {.capacity = map->capacity > 0 ? map->capacity * 2 : 16, .seed = map->seed, .count = map->count};

	larger.entries = faas__alloc_zero(allocator, larger.capacity * sizeof(*larger.entries));
	if (!larger.entries)
		return FAAS_ENOMEM;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->entries[i].name)
			*slot_of(&larger, map->entries[i].hash, map->entries[i].name) = map->entries[i];
	faas__map_deinit(map, allocator);
	*map = larger;
	return FAAS_OK;
}

int faas__map_add(struct map *map, const struct allocator *allocator, const char *name, void *value)
{
	uint64_t hash = hash_of(map, name);

	if ((map->count + 1) * 4 > map->capacity * 3) {
		int error = grow(map, allocator);

		if (error != FAAS_OK)
			return error;
	}
	*slot_of(map, hash, name) = (struct map_entry){.hash = hash, .name = name, .value = value};
	map->count++;
	return FAAS_OK;
}

void faas__map_remove(struct map *map, const char *name)
{
	size_t mask = map->capacity - 1;
	struct map_entry *gap, *at;

	if (map->count == 0)
		return;
	gap = slot_of(map, hash_of(map, name), name);
	if (!gap->name)
		return;
	at = gap;
	for (;;) {
		size_t home, at_index, gap_index;

		at = &map->entries[(size_t)(at - map->entries + 1) & mask];
		if (!at->name)
			break;
		/* An entry may move into the gap if its home does not lie between the gap and itself. */
		home = (size_t)at->hash & mask;
		at_index = (size_t)(at - map->entries);
		gap_index = (size_t)(gap - map->entries);
		if (((at_index - home) & mask) >= ((at_index - gap_index) & mask)) {
			*gap = *at;
			gap = at;
		}
	}
	*gap = (struct map_entry){0};
	map->count--;
}

void faas__map_deinit(struct map *map, const struct allocator *allocator)
{
	faas__free(allocator, map->entries, map->capacity * sizeof(*map->entries));
	map->entries = NULL;
	map->capacity = 0;
	map->count = 0;
}
