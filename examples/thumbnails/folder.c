/* SPDX-License-Identifier: MIT */
/*
 * Reads the names in a folder, all before the first is used: so files that appear meanwhile change nothing, and the
 * order is the same each time.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int add_name(struct folder *folder, const char *name)
{
	if (folder->count == folder->capacity) {
		size_t capacity = folder->capacity ? folder->capacity * 2 : 64;
		char **names = realloc(folder->names, capacity * sizeof(*names));
		if (!names)
			return ENOMEM;
		folder->names = names;
		folder->capacity = capacity;
	}
	char *copy = strdup(name);
	if (!copy)
		return ENOMEM;
	folder->names[folder->count++] = copy;
	return 0;
}

static int add_all_names(struct folder *folder, DIR *directory)
{
	int error = 0;
	while (!error) {
		errno = 0;
		struct dirent *entry = readdir(directory);
		if (!entry)
			return errno;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = add_name(folder, entry->d_name);
	}
	return error;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int folder_read(struct folder *folder, const char *path)
{
	*folder = (struct folder){0};
	DIR *directory = opendir(path);
	if (!directory)
		return errno;
	int error = add_all_names(folder, directory);
	closedir(directory);
	if (error)
		folder_deinit(folder);
	else if (folder->count > 0)
		qsort(folder->names, folder->count, sizeof(*folder->names), compare_names);
	return error;
}

void folder_deinit(struct folder *folder)
{
	for (size_t i = 0; i < folder->count; i++)
		free(folder->names[i]);
	free(folder->names);
	*folder = (struct folder){0};
}

int folder_make(const char *path)
{
	if (mkdir(path, 0777) == 0)
		return 0;
	int error = errno;
	if (error != EEXIST)
		return error;
	return folder_is(path) ? 0 : ENOTDIR;
}

int folder_is(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int folder_is_same(const char *path, const char *other_path)
{
	struct stat status, other;
	return stat(path, &status) == 0 && stat(other_path, &other) == 0 && status.st_dev == other.st_dev &&
	       status.st_ino == other.st_ino;
}
