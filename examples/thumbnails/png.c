/* SPDX-License-Identifier: MIT */
/*
 * The smallest useful PNG: a header, the remark that samples follow the sRGB curve, the compressed rows, the end. Rows
 * are not filtered, because filters pay off with adaptive Huffman codes, and deflate.c has only the fixed ones.
 */
#include "png.h"

#include <string.h>

#define CHUNK_FRAME 12u /* bytes of a chunk besides its data: length, name, checksum */

void png_init(struct png *png)
{
	memset(png, 0, sizeof(*png));
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? 0xEDB88320u ^ crc >> 1 : crc >> 1;
		png->crc_table[i] = crc;
	}
	deflate_init(&png->deflate);
}

static void put_u32(uint8_t *out, uint32_t number)
{
	out[0] = (uint8_t)(number >> 24);
	out[1] = (uint8_t)(number >> 16);
	out[2] = (uint8_t)(number >> 8);
	out[3] = (uint8_t)number;
}

/* Adds a chunk. The checksum covers its name and its data. */
static void put_chunk(struct png *png, const char *name, const void *data, size_t bytes)
{
	uint8_t number[4];
	put_u32(number, (uint32_t)bytes);
	buffer_append(&png->file, number, 4);
	const uint8_t *covered = (const uint8_t *)png->file.data + png->file.size;
	buffer_append(&png->file, name, 4);
	if (bytes)
		buffer_append(&png->file, data, bytes);

	uint32_t crc = 0xFFFFFFFFu;
	for (size_t i = 0; i < bytes + 4; i++)
		crc = png->crc_table[(crc ^ covered[i]) & 255] ^ crc >> 8;
	put_u32(number, ~crc);
	buffer_append(&png->file, number, 4);
}

static int pack_rows(struct png *png, const uint8_t *pixels, size_t row_bytes, uint32_t height)
{
	static const uint8_t no_filter = 0;
	if (buffer_reserve(&png->rows, (row_bytes + 1) * height) < 0)
		return -1;
	png->rows.size = 0;
	for (uint32_t y = 0; y < height; y++) {
		buffer_append(&png->rows, &no_filter, 1);
		buffer_append(&png->rows, pixels + y * row_bytes, row_bytes);
	}
	return deflate_run(&png->deflate, png->rows.data, png->rows.size, &png->packed);
}

int png_encode(struct png *png, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels)
{
	static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
	static const uint8_t perceptual = 0;
	uint8_t header[13] = {[8] = 8, [9] = channels == 3 ? 2 : 0}; /* bits a sample; RGB or grey */
	put_u32(header, width);
	put_u32(header + 4, height);

	if (pack_rows(png, pixels, (size_t)width * channels, height) < 0)
		return -1;
	size_t bytes = sizeof(signature) + 4 * CHUNK_FRAME + sizeof(header) + sizeof(perceptual) + png->packed.size;
	if (buffer_reserve(&png->file, bytes) < 0)
		return -1;
	png->file.size = 0;
	buffer_append(&png->file, signature, sizeof(signature));
	put_chunk(png, "IHDR", header, sizeof(header));
	put_chunk(png, "sRGB", &perceptual, sizeof(perceptual));
	put_chunk(png, "IDAT", png->packed.data, png->packed.size);
	put_chunk(png, "IEND", NULL, 0);
	return 0;
}

void png_deinit(struct png *png)
{
	buffer_deinit(&png->rows);
	buffer_deinit(&png->packed);
	buffer_deinit(&png->file);
}
