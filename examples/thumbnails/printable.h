/* SPDX-License-Identifier: MIT */
/*
 * File names may hold any byte but `/` and NUL; terminals and event attributes are not that patient.
 */
#ifndef THUMBNAILS_PRINTABLE_H
#define THUMBNAILS_PRINTABLE_H

#include <stddef.h>

#define PRINTABLE_SIZE 1024 /* holds any name of up to 255 bytes, each as \xNN, and the NUL */

/*
 * Writes a name as UTF-8 without control characters: a byte that is not part of a well-formed, printable character
 * becomes \xNN, and so does a backslash, so that different names stay different. What does not fit is cut off.
 */
void printable_name(const char *name, char *ret_text, size_t size);

#endif
