/* SPDX-License-Identifier: MIT */
/*
 * A piece of memory that grows and is kept: a worker's buffers are as large as its largest picture so far needed them,
 * so that warm runs do not allocate.
 */
#ifndef THUMBNAILS_BUFFER_H
#define THUMBNAILS_BUFFER_H

#include <stddef.h>

struct buffer {
	void *data;
	size_t size;     /* bytes in use; for the user to keep */
	size_t capacity; /* bytes at `data` */
};

/* Makes room for `capacity` bytes in all and keeps what is there. 0, or -1: no memory, nothing changed. */
int buffer_reserve(struct buffer *buffer, size_t capacity);

/* Adds bytes for which room was reserved. */
void buffer_append(struct buffer *buffer, const void *bytes, size_t count);

void buffer_deinit(struct buffer *buffer);

#endif
