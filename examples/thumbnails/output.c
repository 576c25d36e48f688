/* SPDX-License-Identifier: MIT */
/*
 * Writes files that appear whole or not at all: first under a name nobody looks for, then, when every byte is written
 * and the file system has accepted the close, renamed. A full disk or a passed deadline leaves nothing behind.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int write_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t written = write(fd, bytes, count);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return errno;
		bytes += written;
		count -= (size_t)written;
	}
	return 0;
}

int output_write(const char *path, const void *bytes, size_t count)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno;
	int error = write_all(fd, bytes, count);
	if (close(fd) < 0 && !error)
		error = errno;
	if (error)
		unlink(path);
	return error;
}

int output_publish(const char *path, const char *final_path)
{
	if (rename(path, final_path) == 0)
		return 0;
	int error = errno;
	unlink(path);
	return error;
}
