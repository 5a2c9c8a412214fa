/* Making packs and indexes on the manager's side, from images that are mapped into memory. No
 * globals and no output but the file: fit for a worker thread. The same input and options give
 * the same bytes. */
#pragma once

#include "pack.h"

struct pack_image {
	const uint8_t *bytes; /* mapped or in memory; not changed while in use */
	uint64_t size;
};

struct pack_stage_progress {
	uint64_t done, total; /* bytes of image; total counts every stage's work */
};

struct pack_write_options {
	uint32_t segment_size;		   /* 0: 256 KiB */
	int level;			   /* effort 1 … 22 as of zstd; 0: 19 */
	unsigned threads;		   /* 1 or 2; 0: 1. Does not change the bytes. */
	const struct digest *image_digest; /* of the image, where it is known; NULL: computed */
	/* Called now and then from the calling thread; false stops with OTA_BUSY. NULL: none.
	 */
	bool (*progress)(void *ctx, struct pack_stage_progress progress);
	void *ctx;
};

struct pack_result {
	struct digest digest; /* the pack's name */
	uint64_t size;
	uint32_t groups;
	uint32_t segments[PACK_ENCODING_COUNT]; /* how many are encoded that way */
};

/* Maps a regular file read-only; close it with pack_image_close. OTA_NOT_FOUND, OTA_IO_ERROR,
 * OTA_SIZE_MISMATCH when it is empty. */
enum ota_err pack_image_open(const char *path, struct pack_image *ret_image,
			     struct ota_why *why) OTA_CHECKED;
void pack_image_close(struct pack_image *image); /* a zeroed one is fine */

/* Segment hashes, one after another (the index blob, which the caller frees), and the digests
 * that the manifest wants. segment_size 0: 256 KiB. `image_digest` is what a manifest says of
 * the image (NULL: it is computed): an index whose digest is the manifest's proves it.
 * OTA_SIZE_MISMATCH for sizes no manifest may have. */
struct pack_index {
	uint8_t *bytes;
	size_t size;
	uint32_t segment_size;
	struct digest digest; /* of the index */
	struct digest image;
};
enum ota_err pack_index_make(const struct pack_image *image, uint32_t segment_size,
			     const struct digest *image_digest, struct pack_index *ret_index,
			     struct ota_why *why) OTA_CHECKED;
void pack_index_done(struct pack_index *index);

/* Writes a pack of `image` against `base` (NULL: none) to fd, an empty regular file open for
 * reading and writing. On failure the file's content is unspecified. options NULL: defaults. */
enum ota_err pack_write(const struct pack_image *image, const struct pack_image *base,
			const struct pack_write_options *options, int fd,
			struct pack_result *ret_result, struct ota_why *why) OTA_CHECKED;
