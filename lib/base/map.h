/* SPDX-License-Identifier: MIT */
/* A hash map from names to pointers. It does not own either; the name must live as long as its entry. */
#ifndef FAAS_BASE_MAP_H
#define FAAS_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

struct map_entry {
	uint64_t hash;
	const char *name; /* NULL: free */
	void *value;
};

/* Zeroed memory with a seed is an empty map. */
struct map {
	struct map_entry *entries;
	size_t capacity; /* 0 or a power of two */
	size_t count;
	uint64_t seed;
};

void *faas__map_get(const struct map *map, const char *name);

/* Adds an entry whose name is not there. 0, or FAAS_ENOMEM and nothing changed. */
int faas__map_add(struct map *map, const struct allocator *allocator, const char *name, void *value);
void faas__map_remove(struct map *map, const char *name);
void faas__map_deinit(struct map *map, const struct allocator *allocator);

#endif
