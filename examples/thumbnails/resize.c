/* SPDX-License-Identifier: MIT */
/*
 * The serverless function. A worker's `init` makes what is dear and can be used again: the tables between samples and
 * light, the tables of the PNG writer, and buffers that grow with the pictures. Each call then opens one picture, pulls
 * it through the resampler row by row, so that even a giant picture takes little memory, and writes the thumbnail.
 *
 * Nothing here takes a lock: a worker runs one call at a time, and different pictures have different names. A call
 * whose deadline has passed notices at its next read, and once more before the thumbnail would get its name.
 */
#include "resize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "light.h"
#include "netpbm.h"
#include "output.h"
#include "png.h"
#include "resample.h"

struct worker {
	struct light light;
	struct png png;
	struct netpbm in;
	struct resample resample;
	struct buffer samples; /* uint16_t: one row as read */
};

int resize_init(faas_context *context, void **ret_state)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return faas_context_fail(context, "no memory for a worker");
	light_init(&worker->light);
	png_init(&worker->png);
	*ret_state = worker;
	return 0;
}

void resize_fini(void *state, void *user)
{
	struct worker *worker = state;
	(void)user;
	resample_deinit(&worker->resample);
	png_deinit(&worker->png);
	buffer_deinit(&worker->samples);
	free(worker);
}

/* strerror is safe here: the C libraries keep the text of every error there is as a constant. */
static int fail_with(faas_context *context, const char *what, int error)
{
	char message[200];
	snprintf(message, sizeof(message), "%s: %s", what, strerror(error));
	return faas_context_fail(context, message);
}

static int go_on(void *context)
{
	return !faas_context_is_cancelled(context);
}

/* A path in the folder for thumbnails; the memory goes with the attempt. NULL: no memory. */
static char *out_path(faas_context *context, const char *prefix, const char *name, const char *suffix)
{
	const struct resize_settings *settings = faas_context_user(context);
	size_t bytes = strlen(settings->out_dir) + strlen(prefix) + strlen(name) + strlen(suffix) + 2;
	char *path = faas_context_alloc(context, bytes);
	if (path)
		snprintf(path, bytes, "%s/%s%s%s", settings->out_dir, prefix, name, suffix);
	return path;
}

/* Reads the open picture to its end and leaves the thumbnail's pixels in the resampler. */
static int shrink(struct worker *worker, faas_context *context)
{
	const struct resize_settings *settings = faas_context_user(context);
	struct netpbm *in = &worker->in;
	const uint32_t *linear = light_of_samples(&worker->light, in->maxval);
	size_t row_bytes = (size_t)in->width * in->channels * sizeof(uint16_t);
	if (buffer_reserve(&worker->samples, row_bytes) < 0 ||
	    resample_begin(&worker->resample, in->width, in->height, in->channels, settings->longest_side) < 0)
		return faas_context_fail(context, "no memory for the picture");
	for (uint32_t y = 0; y < in->height; y++) {
		if (netpbm_read_row(in, worker->samples.data) < 0)
			return faas_context_fail(context, in->error);
		resample_row(&worker->resample, worker->samples.data, linear, &worker->light);
	}
	return 0;
}

/* Writes the thumbnail as NAME.png: the whole name stays, so that a.pgm and a.ppm do not meet. */
static int store(struct worker *worker, faas_context *context, const faas_event *event, const char *name)
{
	char id[FAAS_ID_SIZE];
	struct resample *small = &worker->resample;
	char *unfinished = out_path(context, ".unfinished-", faas_event_id(event, id), "");
	char *finished = out_path(context, "", name, ".png");
	if (!unfinished || !finished ||
	    png_encode(&worker->png, small->pixels.data, small->out_width, small->out_height, small->channels) < 0)
		return faas_context_fail(context, "no memory for the thumbnail");
	if (faas_context_is_cancelled(context))
		return faas_context_fail(context, "given up: the deadline has passed");
	int error = output_write(unfinished, worker->png.file.data, worker->png.file.size);
	if (!error)
		error = output_publish(unfinished, finished);
	return error ? fail_with(context, "its thumbnail cannot be written", error) : 0;
}

static int answer(const struct worker *worker, faas_context *context)
{
	struct resize_answer sizes = {
		.width = worker->in.width,
		.height = worker->in.height,
		.thumbnail_width = worker->resample.out_width,
		.thumbnail_height = worker->resample.out_height,
	};
	if (faas_context_reply(context, &sizes, sizeof(sizes), NULL) != FAAS_OK)
		return faas_context_fail(context, "no memory for the answer");
	return 0;
}

int resize_handle(faas_context *context, const faas_event *event)
{
	struct worker *worker = faas_context_state(context);
	const char *path = faas_event_data(event, NULL);
	const char *slash = strrchr(path, '/');
	if (netpbm_open(&worker->in, path, go_on, context) < 0)
		return faas_context_fail(context, worker->in.error);
	int failed = shrink(worker, context);
	netpbm_close(&worker->in);
	if (!failed)
		failed = answer(worker, context); /* first, as it may fail; delivered only if the rest succeeds too */
	return failed ? failed : store(worker, context, event, slash ? slash + 1 : path);
}
