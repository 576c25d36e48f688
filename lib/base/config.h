/* SPDX-License-Identifier: MIT */
/* Structs from callers, which may be older or newer than this library. */
#ifndef FAAS_BASE_CONFIG_H
#define FAAS_BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/*
 * A pointer to `given` if it has exactly our size, else to `copy`, filled with what both know and zeros. NULL: its
 * size cannot be right, or it holds something we do not know. `given` may be NULL: all zeros.
 */
const void *faas__config_read(const void *given, void *copy, size_t bytes);

/* Hands `from` (of `bytes`) to a caller's struct, as much of it as the caller knows. 0, or FAAS_EINVAL. */
int faas__stats_write(void *to, const void *from, size_t bytes);

#endif
