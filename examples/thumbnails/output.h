/* SPDX-License-Identifier: MIT */
/*
 * Writes files that appear whole or not at all.
 */
#ifndef THUMBNAILS_OUTPUT_H
#define THUMBNAILS_OUTPUT_H

#include <stddef.h>

/*
 * Writes a new file. It must not exist. 0, or an errno with the file gone again.
 */
int output_write(const char *path, const void *bytes, size_t count);

/*
 * Gives a written file its final name, in place of what bears that name, if anything does; a symbolic link is replaced,
 * not followed. 0, or an errno with the file gone.
 */
int output_publish(const char *path, const char *final_path);

#endif
