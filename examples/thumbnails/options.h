/* SPDX-License-Identifier: MIT */
/*
 * The command line.
 */
#ifndef THUMBNAILS_OPTIONS_H
#define THUMBNAILS_OPTIONS_H

#include <stdint.h>

struct options {
	uint32_t size;       /* longest side of a thumbnail, in pixels */
	int64_t deadline_ms; /* for one picture */
	const char *in_dir;
	const char *out_dir;
};

#define OPTIONS_GO 0    /* all is known: begin */
#define OPTIONS_DONE 1  /* help or version was asked for and printed */
#define OPTIONS_WRONG 2 /* the usage was wrong, and stderr says why */

int options_parse(struct options *options, int argc, char **argv);

#endif
