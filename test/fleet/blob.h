/* Blobs as the whole fleet has received them: each is kept once, from the first arrival of each
 * of its chunks, and its SHA-256 is checked when it is whole. Every further arrival of a chunk
 * is compared with it byte by byte, so that each device's download is verified in full at the
 * price of a comparison. */
#pragma once

#include "message.h"

struct blob {
	struct blob *next;
	struct digest digest;
	uint64_t size;
	uint8_t *bytes;
	uint8_t *seen; /* by chunk */
	uint32_t chunk_count, seen_count;
	bool broken; /* whole, and its digest is wrong */
};

struct blob_shelf {
	struct blob *first;
};

void blob_shelf_done(struct blob_shelf *shelf);
/* The blob of this name, made when it is new. OTA_SIZE_MISMATCH when it was known with another
 * size. */
enum ota_err blob_get(struct blob_shelf *shelf, const struct digest *digest, uint64_t size,
		      struct blob **ret_blob, struct ota_why *why) OTA_CHECKED;
uint32_t blob_chunk_length(const struct blob *blob, uint32_t number);
/* OTA_SIZE_MISMATCH, OTA_SEGMENT_HASH_MISMATCH for a chunk that is not the one of before,
 * OTA_IMAGE_HASH_MISMATCH for every device once the whole turned out to be wrong. */
enum ota_err blob_take(struct blob *blob, uint32_t number, const void *bytes, size_t len,
		       struct ota_why *why) OTA_CHECKED;
