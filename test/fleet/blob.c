#include "blob.h"

#include "own.h"

#include <string.h>

static void blob_free(struct blob *blob)
{
	if (!blob)
		return;
	free(blob->bytes);
	free(blob->seen);
	free(blob);
}

void blob_shelf_done(struct blob_shelf *shelf)
{
	while (shelf->first) {
		struct blob *next = shelf->first->next;
		blob_free(shelf->first);
		shelf->first = next;
	}
}

enum ota_err blob_get(struct blob_shelf *shelf, const struct digest *digest, uint64_t size,
		      struct blob **ret_blob, struct ota_why *why)
{
	for (struct blob *blob = shelf->first; blob; blob = blob->next) {
		if (!digest_equal(&blob->digest, digest))
			continue;
		if (blob->size != size)
			return ota_fail(why, OTA_SIZE_MISMATCH, "one blob of two sizes");
		*ret_blob = blob;
		return OTA_OK;
	}
	struct blob *blob = calloc(1, sizeof(*blob));
	if (!blob)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a blob");
	blob->digest = *digest;
	blob->size = size;
	blob->chunk_count = (uint32_t)((size + MESSAGE_CHUNK_SIZE - 1) / MESSAGE_CHUNK_SIZE);
	blob->bytes = malloc(size);
	blob->seen = calloc(blob->chunk_count, 1);
	if (!blob->bytes || !blob->seen) {
		blob_free(blob);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a blob");
	}
	blob->next = shelf->first;
	shelf->first = blob;
	*ret_blob = blob;
	return OTA_OK;
}

uint32_t blob_chunk_length(const struct blob *blob, uint32_t number)
{
	uint64_t left = blob->size - (uint64_t)number * MESSAGE_CHUNK_SIZE;
	return left < MESSAGE_CHUNK_SIZE ? (uint32_t)left : MESSAGE_CHUNK_SIZE;
}

static enum ota_err check_whole(struct blob *blob, struct ota_why *why)
{
	struct digest digest;
	enum ota_err err = digest_of(blob->bytes, blob->size, &digest, why);
	if (err)
		return err;
	blob->broken = !digest_equal(&digest, &blob->digest);
	return OTA_OK;
}

enum ota_err blob_take(struct blob *blob, uint32_t number, const void *bytes, size_t len,
		       struct ota_why *why)
{
	if (number >= blob->chunk_count || len != blob_chunk_length(blob, number))
		return ota_fail(why, OTA_SIZE_MISMATCH, "chunk %u of %zu bytes", number, len);
	uint8_t *place = blob->bytes + (uint64_t)number * MESSAGE_CHUNK_SIZE;
	if (!blob->seen[number]) {
		memcpy(place, bytes, len);
		blob->seen[number] = 1;
		blob->seen_count++;
		if (blob->seen_count == blob->chunk_count) {
			enum ota_err err = check_whole(blob, why);
			if (err)
				return err;
		}
	} else if (memcmp(place, bytes, len) != 0) {
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH, "chunk %u differs", number);
	}
	if (blob->broken)
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
				"a blob is not what its name says");
	return OTA_OK;
}
