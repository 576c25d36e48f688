/* SPDX-License-Identifier: MIT */
/*
 * Reads Netpbm pictures. A file is not to be trusted: its header may promise more pixels than there are atoms, so
 * what it promises is compared with the size of the file before anybody allocates anything, and after that nothing
 * larger than a row is ever held. Only regular files are opened for good: a pipe could make us wait for ever.
 *
 * The header is a magic number and the numbers width, height and maxval, apart by white space, where comments from `#`
 * to the end of the line may stand. Exactly one white space character ends it. Raw samples are bytes, or big-endian
 * pairs of bytes when maxval is over 255; plain ones are decimal numbers.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "netpbm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_OF_FILE (-1)

/* Notes what is wrong, unless something was wrong before. Returns -1, for the caller to return. */
__attribute__((format(printf, 2, 3))) static int fail(struct netpbm *in, const char *format, ...)
{
	if (in->error[0])
		return -1;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(in->error, sizeof(in->error), format, arguments);
	va_end(arguments);
	return -1;
}

/* Refills the empty buffer. 0, or -1 at the end of the file (without an error) or on a failure (with one). */
static int refill(struct netpbm *in)
{
	if (in->error[0])
		return -1;
	if (in->go_on && !in->go_on(in->user))
		return fail(in, "given up: the deadline has passed");
	ssize_t got;
	do
		got = read(in->fd, in->buffer, sizeof(in->buffer));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail(in, "cannot be read: %s", strerror(errno));
	in->at = 0;
	in->end = (size_t)got;
	in->read_bytes += (uint64_t)got;
	return got > 0 ? 0 : -1;
}

static inline int next_byte(struct netpbm *in)
{
	if (in->at == in->end && refill(in) < 0)
		return END_OF_FILE;
	return in->buffer[in->at++];
}

static int is_space(int byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int is_digit(int byte)
{
	return byte >= '0' && byte <= '9';
}

/* Given the byte just read: if it begins a comment, the end of that comment's line instead. */
static int past_comment(struct netpbm *in, int byte)
{
	if (byte == '#')
		while (byte != '\n' && byte != '\r' && byte != END_OF_FILE)
			byte = next_byte(in);
	return byte;
}

static int past_space(struct netpbm *in)
{
	int byte = past_comment(in, next_byte(in));
	while (is_space(byte))
		byte = past_comment(in, next_byte(in));
	return byte;
}

/* Reads a number and the one white space character (or comment line, or end of file) behind it. */
static int read_number(struct netpbm *in, const char *what, uint32_t most, uint32_t *ret_number)
{
	uint32_t number = 0;
	int byte = past_space(in);
	if (byte == END_OF_FILE)
		return fail(in, "ends where %s should be", what);
	if (!is_digit(byte))
		return fail(in, "%s is not a number", what);
	for (; is_digit(byte); byte = next_byte(in)) {
		number = number * 10 + (uint32_t)(byte - '0'); /* cannot overflow: `most` is at most 1,000,000 */
		if (number > most)
			return fail(in, "%s is over %lu", what, (unsigned long)most);
	}
	byte = past_comment(in, byte);
	if (byte != END_OF_FILE && !is_space(byte))
		return fail(in, "%s is not a number", what);
	*ret_number = number;
	return in->error[0] ? -1 : 0;
}

/* Reads the magic number and what must follow it. */
static int read_magic(struct netpbm *in)
{
	int letter = next_byte(in);
	if (letter == END_OF_FILE)
		return fail(in, "is empty");
	int kind = next_byte(in);
	int space = past_comment(in, next_byte(in));
	int is_known = kind == '2' || kind == '3' || kind == '5' || kind == '6';
	if (letter != 'P' || !is_known || !is_space(space))
		return fail(in, "is not a Netpbm picture of kind P2, P3, P5 or P6");
	in->is_plain = kind <= '3';
	in->channels = kind == '3' || kind == '6' ? 3 : 1;
	return 0;
}

/* Whether the rest of the file can hold the pixels. A plain sample takes a digit and, except the last, a space. */
static int check_size(struct netpbm *in)
{
	uint64_t samples = (uint64_t)in->width * in->height * in->channels;
	uint64_t needed = in->is_plain ? 2 * samples - 1 : in->maxval > 255 ? 2 * samples : samples;
	uint64_t gone = in->read_bytes - (in->end - in->at);
	uint64_t left = in->file_bytes > gone ? in->file_bytes - gone : 0;
	if (left >= needed)
		return 0;
	return fail(in, "is cut off: %lu x %lu pixels need %llu bytes, %llu are there", (unsigned long)in->width,
	            (unsigned long)in->height, (unsigned long long)needed, (unsigned long long)left);
}

static int read_header(struct netpbm *in)
{
	if (read_magic(in) < 0 || read_number(in, "its width", NETPBM_MAX_SIDE, &in->width) < 0 ||
	    read_number(in, "its height", NETPBM_MAX_SIDE, &in->height) < 0 ||
	    read_number(in, "its maxval", NETPBM_MAX_SAMPLE, &in->maxval) < 0)
		return -1;
	if (in->width == 0 || in->height == 0)
		return fail(in, "has no pixels");
	if (in->maxval == 0)
		return fail(in, "its maxval is 0");
	return check_size(in);
}

static int open_regular_file(struct netpbm *in, const char *path)
{
	struct stat status;
	in->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (in->fd < 0 || fstat(in->fd, &status) < 0)
		return fail(in, "cannot be opened: %s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(in, "is not a regular file");
	in->file_bytes = (uint64_t)status.st_size;
	return 0;
}

int netpbm_open(struct netpbm *in, const char *path, netpbm_go_on_fn *go_on, void *user)
{
	in->go_on = go_on;
	in->user = user;
	in->error[0] = '\0';
	in->at = in->end = 0;
	in->read_bytes = in->file_bytes = 0;
	if (open_regular_file(in, path) == 0 && read_header(in) == 0)
		return 0;
	netpbm_close(in);
	return -1;
}

static int read_plain_row(struct netpbm *in, uint16_t *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t sample = 0;
		if (read_number(in, "a sample", in->maxval, &sample) < 0)
			return -1;
		samples[i] = (uint16_t)sample;
	}
	return 0;
}

static int read_raw_row(struct netpbm *in, uint16_t *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int sample = next_byte(in);
		if (in->maxval > 255) {
			int low = next_byte(in);
			sample = low == END_OF_FILE ? END_OF_FILE : sample * 256 + low;
		}
		if (sample == END_OF_FILE)
			return fail(in, "ends before its last pixel");
		if ((uint32_t)sample > in->maxval)
			return fail(in, "a sample is %d, over its maxval of %lu", sample, (unsigned long)in->maxval);
		samples[i] = (uint16_t)sample;
	}
	return 0;
}

int netpbm_read_row(struct netpbm *in, uint16_t *samples)
{
	size_t count = (size_t)in->width * in->channels;
	return in->is_plain ? read_plain_row(in, samples, count) : read_raw_row(in, samples, count);
}

void netpbm_close(struct netpbm *in)
{
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
}
