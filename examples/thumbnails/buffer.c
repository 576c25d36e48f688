/* SPDX-License-Identifier: MIT */
/*
 * A piece of memory that grows and never shrinks until its worker goes. See buffer.h.
 */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

int buffer_reserve(struct buffer *buffer, size_t capacity)
{
	if (capacity <= buffer->capacity)
		return 0;
	void *data = realloc(buffer->data, capacity);
	if (!data)
		return -1;
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t count)
{
	memcpy((unsigned char *)buffer->data + buffer->size, bytes, count);
	buffer->size += count;
}

void buffer_deinit(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
