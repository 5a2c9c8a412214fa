/* Images and packs in memory for the tests of the pack's reader and writer. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "own.h"
#include "pack_read.h"
#include "pack_write.h"

struct bytes {
	uint8_t *at;
	size_t size;
};

static inline uint32_t fixture_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Text-like bytes that compress to about a half. */
static inline struct bytes fixture_image(size_t size, uint32_t seed)
{
	struct bytes image = {malloc(size ? size : 1), size};
	assert_non_null(image.at);
	for (size_t i = 0; i < size; i++)
		image.at[i] = (uint8_t)(fixture_random(&seed) % 13 * 7);
	return image;
}

static inline void fixture_noise(struct bytes image, size_t at, size_t len, uint32_t seed)
{
	for (size_t i = at; i < at + len; i++)
		image.at[i] = (uint8_t)(fixture_random(&seed) >> 9);
}

static inline void fixture_word(uint8_t *at, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(word >> (8 * i));
}

/* Something like AArch64 code of 64-byte functions: calls of each other, ADRP and ADD pairs,
 * and a table of pointers, laid out for functions that begin at `skip`. */
static inline struct bytes fixture_code(uint32_t functions, uint32_t skip)
{
	struct bytes image = {calloc(1, skip + functions * 72), skip + functions * 72};
	uint32_t state = 5;
	assert_non_null(image.at);
	for (uint32_t f = 0; f < functions; f++)
		for (uint32_t i = 0; i < 16; i++) {
			uint32_t at = skip + f * 64 + i * 4, random = fixture_random(&state);
			uint32_t to = skip + random % functions * 64;
			uint32_t pages = (to >> 12) - (at >> 12);
			if (i == 3)
				fixture_word(image.at + at,
					     0x94000000 | ((to - at) >> 2 & 0x3ffffff));
			else if (i == 6)
				fixture_word(image.at + at, 0x90000001 | (pages & 3) << 29 |
								    (pages >> 2 & 0x7ffff)
									    << 5);
			else
				fixture_word(image.at + at, 0xaa000000 | (random & 0x1f03ff));
		}
	for (uint32_t f = 0; f < functions; f++) {
		fixture_word(image.at + skip + functions * 64 + f * 8,
			     0x08000000 + skip + f * 64);
		fixture_word(image.at + skip + functions * 64 + f * 8 + 4, 0xffff8000);
	}
	return image;
}

/* The image as a later version of the base: edits, an insertion, a deletion, something new. */
static inline struct bytes fixture_later(struct bytes base)
{
	struct bytes image = {malloc(base.size + 100000), 0};
	size_t third = base.size / 3;
	uint32_t state = 77;
	assert_non_null(image.at);
	memcpy(image.at, base.at, third);
	image.size = third;
	fixture_noise(image, image.size, 1001, 3);
	image.size += 1001;
	memcpy(image.at + image.size, base.at + third, third);
	image.size += third;
	memcpy(image.at + image.size, base.at + 2 * third + 5003, base.size - 2 * third - 5003);
	image.size += base.size - 2 * third - 5003;
	memset(image.at + image.size, 'x', 7000);
	image.size += 7000;
	for (int i = 0; i < 300; i++)
		image.at[fixture_random(&state) % image.size] ^= 0x41;
	return image;
}

static inline struct bytes fixture_pack(struct bytes image, struct bytes base,
					const struct pack_write_options *options,
					struct pack_result *ret_result)
{
	AUTO_CLOSE int fd = memfd_create("pack", 0);
	struct ota_why why = {0};
	struct pack_image from = {base.at, base.size};
	struct pack_image to = {image.at, image.size};
	assert_true(fd >= 0);
	enum ota_err err =
		pack_write(&to, base.size ? &from : NULL, options, fd, ret_result, &why);
	if (err)
		fail_msg("pack_write: %s", why.text);
	struct bytes pack = {malloc((size_t)ret_result->size), (size_t)ret_result->size};
	assert_non_null(pack.at);
	assert_int_equal(file_pread_all(fd, pack.at, pack.size, 0, &why), OTA_OK);
	return pack;
}

/* What a device would do with a pack, keeping only segments with the right hash. */
struct fixture_device {
	struct bytes base;
	struct bytes slot;
	struct pack_index index;
	uint32_t segment_size;
	uint32_t right, wrong; /* segments handed over */
	uint64_t base_read;    /* bytes */
};

static inline enum ota_err fixture_segment(void *ctx, uint32_t segment, const void *bytes,
					   size_t len, struct ota_why *why)
{
	struct fixture_device *device = ctx;
	struct digest digest;
	size_t at = (size_t)segment * device->segment_size;
	assert_int_equal(digest_of(bytes, len, &digest, why), OTA_OK);
	assert_true(at + len <= device->slot.size);
	if (memcmp(digest.bytes, device->index.bytes + (size_t)segment * DIGEST_SIZE,
		   DIGEST_SIZE) != 0) {
		device->wrong++;
		return OTA_OK;
	}
	memcpy(device->slot.at + at, bytes, len);
	device->right++;
	return OTA_OK;
}

static inline enum ota_err fixture_base_read(void *ctx, uint64_t offset, void *ret_bytes,
					     size_t len, struct ota_why *why)
{
	struct fixture_device *device = ctx;
	(void)why;
	assert_true(offset <= device->base.size && len <= device->base.size - offset);
	memcpy(ret_bytes, device->base.at + offset, len);
	device->base_read += len;
	return OTA_OK;
}

static inline struct fixture_device fixture_device(struct bytes image, struct bytes base,
						   uint32_t segment_size,
						   struct pack_expected *ret_expected)
{
	struct fixture_device device = {.base = base, .segment_size = segment_size};
	struct pack_image as_image = {image.at, image.size};
	struct ota_why why = {0};
	assert_int_equal(pack_index_make(&as_image, segment_size, NULL, &device.index, &why),
			 OTA_OK);
	device.slot = (struct bytes){calloc(1, image.size), image.size};
	assert_non_null(device.slot.at);
	*ret_expected = (struct pack_expected){
		.image_size = image.size,
		.segment_size = segment_size,
		.image = device.index.image,
		.has_base = base.size > 0,
		.base_size = base.size,
	};
	if (base.size)
		assert_int_equal(digest_of(base.at, base.size, &ret_expected->base, &why),
				 OTA_OK);
	return device;
}

static inline void fixture_device_done(struct fixture_device *device)
{
	free(device->slot.at);
	pack_index_done(&device->index);
}

/* Reads the head and every group in pieces of `piece` bytes; the first error stops it. */
static inline enum ota_err fixture_read(struct fixture_device *device,
					const struct pack_expected *expected, struct bytes pack,
					size_t piece, struct ota_why *why)
{
	struct pack_read_seam seam = {device, fixture_base_read, fixture_segment};
	struct pack_reader *reader = NULL;
	struct pack_expected now = *expected;
	now.pack_size = pack.size;
	enum ota_err err = pack_reader_new(&now, &seam, &reader, why);
	for (size_t at = 0; !err && !pack_reader_is_ready(reader);) {
		size_t used = 0, len = pack.size - at < piece ? pack.size - at : piece;
		if (!len)
			err = ota_fail(why, OTA_DOWNLOAD_STALLED, "the pack has no more bytes");
		else
			err = pack_reader_head(reader, pack.at + at, len, &used, why);
		at += used;
	}
	for (uint32_t i = 0; !err && i < pack_reader_group_count(reader); i++) {
		struct pack_group group = pack_reader_group(reader, i);
		err = pack_reader_begin(reader, i, why);
		for (size_t at = 0; !err && at < group.length;) {
			size_t len = group.length - at < piece ? group.length - at : piece;
			err = pack_reader_feed(reader, pack.at + group.offset + at, len, why);
			at += len;
		}
		if (!err)
			assert_int_equal(pack_reader_wants(reader), 0);
	}
	pack_reader_free(reader);
	return err;
}
