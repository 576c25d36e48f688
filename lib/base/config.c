/* SPDX-License-Identifier: MIT */
/* Every public struct begins with its size as its caller knew it; sizes only ever grow. */
#include "base/config.h"

#include <string.h>

#include "faas/common.h"

#define SMALLEST 8u
#define LARGEST 65536u

static uint32_t size_of(const void *given)
{
	uint32_t size;

	memcpy(&size, given, sizeof(size));
	return size;
}

const void *faas__config_read(const void *given, void *copy, size_t bytes)
{
	const unsigned char *from = given;
	size_t size;

	if (!given) {
		memset(copy, 0, bytes);
		return copy;
	}
	size = size_of(given);
	if (size == bytes)
		return given;
	if (size < SMALLEST || size > LARGEST)
		return NULL;
	for (size_t i = bytes; i < size; i++)
		if (from[i] != 0)
			return NULL;
	memset(copy, 0, bytes);
	memcpy(copy, given, size < bytes ? size : bytes);
	return copy;
}

int faas__stats_write(void *to, const void *from, size_t bytes)
{
	uint32_t size;

	if (!to)
		return FAAS_EINVAL;
	size = size_of(to);
	if (size < SMALLEST || size > LARGEST)
		return FAAS_EINVAL;
	/* What a newer caller knows and we do not is zero. */
	memset((char *)to + sizeof(size), 0, size - sizeof(size));
	memcpy((char *)to + sizeof(size), (const char *)from + sizeof(size), (size < bytes ? size : bytes) - sizeof(size));
	return FAAS_OK;
}
