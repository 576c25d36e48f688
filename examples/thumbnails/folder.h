/* SPDX-License-Identifier: MIT */
/*
 * What is in a folder.
 */
#ifndef THUMBNAILS_FOLDER_H
#define THUMBNAILS_FOLDER_H

#include <stddef.h>

struct folder {
	char **names; /* sorted by their bytes; without . and .. */
	size_t count;
	size_t capacity;
};

/* Reads a folder. 0, or an errno with nothing to release. */
int folder_read(struct folder *folder, const char *path);

void folder_deinit(struct folder *folder);

/* Makes a folder unless there is one. 0, or an errno. */
int folder_make(const char *path);

/* 1: the path leads to a folder, itself or by a symbolic link; 0: it does not, or nobody knows. */
int folder_is(const char *path);

/* 1: both paths lead to one and the same. */
int folder_is_same(const char *path, const char *other_path);

#endif
