/* SPDX-License-Identifier: MIT */
/*
 * Reads Netpbm pictures row by row: P2 and P5 (grey), P3 and P6 (colour), plain or raw, 8 or 16 bits a sample. Of a
 * file with several pictures the first is read.
 */
#ifndef THUMBNAILS_NETPBM_H
#define THUMBNAILS_NETPBM_H

#include <stddef.h>
#include <stdint.h>

#define NETPBM_MAX_SIDE 1000000u /* pixels; keeps every sum of this program within 64 bits */
#define NETPBM_MAX_SAMPLE 65535u

/* Asked before each read from the file; 0 ends the reading. */
typedef int netpbm_go_on_fn(void *user);

struct netpbm {
	/* known when netpbm_open has succeeded */
	uint32_t width;
	uint32_t height;
	uint32_t channels; /* 1: grey; 3: red, green, blue */
	uint32_t maxval;   /* the sample that means white */
	/* what went wrong, when a call has failed */
	char error[160];
	/* the reader's own */
	int fd;
	int is_plain;
	netpbm_go_on_fn *go_on;
	void *user;
	uint64_t file_bytes; /* as the file system says */
	uint64_t read_bytes; /* of those, how many went through the buffer */
	size_t at;           /* the next byte in the buffer */
	size_t end;
	unsigned char buffer[1 << 16];
};

/* Opens a file and reads the header. 0, or -1 with `error` set and nothing left open. `go_on` may be NULL. */
int netpbm_open(struct netpbm *in, const char *path, netpbm_go_on_fn *go_on, void *user);

/* Reads the next row: width * channels samples, none over maxval. 0, or -1 with `error` set. */
int netpbm_read_row(struct netpbm *in, uint16_t *samples);

void netpbm_close(struct netpbm *in);

#endif
