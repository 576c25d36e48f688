/* SPDX-License-Identifier: MIT */
/*
 * The serverless function: takes "a file was created" events, writes thumbnails.
 *
 * Event:  `data` is the path of a picture, as the file system spells it
 * Answer: a struct resize_answer
 */
#ifndef THUMBNAILS_RESIZE_H
#define THUMBNAILS_RESIZE_H

#include <stdint.h>

#include <faas.h>

/* What all workers share: the function's user pointer. Never changes while the function is registered. */
struct resize_settings {
	uint32_t longest_side; /* of a thumbnail, in pixels */
	const char *out_dir;
};

struct resize_answer {
	uint32_t width;
	uint32_t height;
	uint32_t thumbnail_width;
	uint32_t thumbnail_height;
};

faas_init_fn resize_init;
faas_handler_fn resize_handle;
faas_fini_fn resize_fini;

#endif
