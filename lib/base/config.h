/* SPDX-License-Identifier: MIT */
/* Structs from callers, which may be older or newer than this library. */
#ifndef FAAS_BASE_CONFIG_H
#define FAAS_BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/atomics.h"

/*
 * A pointer to `given` if it has exactly our size, else to `copy`, filled with what both know and zeros. NULL: its
 * size cannot be right, or it holds something we do not know. `given` may be NULL: all zeros.
 */
static inline const void *faas__config_read(const void *given, void *copy, size_t bytes);

/* The same, where it may have another size. */
const void *faas__config_translate(const void *given, void *copy, size_t bytes);

static inline const void *faas__config_read(const void *given, void *copy, size_t bytes)
{
	uint32_t size = 0;

	if (likely(given != NULL))
		memcpy(&size, given, sizeof(size));
	return likely(size == bytes) ? given : faas__config_translate(given, copy, bytes);
}

/* Hands `from` (of `bytes`) to a caller's struct, as much of it as the caller knows. 0, or FAAS_EINVAL. */
int faas__stats_write(void *to, const void *from, size_t bytes);

#endif
