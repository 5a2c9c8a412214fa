/* A run of segments while it is being encoded: the groups made so far and their bytes. Inside
 * the pack writer only. */
#pragma once

#include "pack_write.h"

/* What a group of several segments aims to stay under: an interrupted transfer fetches a begun
 * group again, and should not lose more than one segment of the usual size. */
#define PACK_PART_GROUP_BYTES (256u << 10)

struct pack_part {
	uint8_t *bytes;
	size_t size, room;
	struct pack_group *groups; /* offset is within bytes */
	uint32_t group_count, group_room;
};

void pack_part_done(struct pack_part *part);
/* Makes sure that `len` more bytes fit behind part->size. */
enum ota_err pack_part_reserve(struct pack_part *part, size_t len,
			       struct ota_why *why) OTA_CHECKED;
/* The last `length` bytes before part->size become a group. */
enum ota_err pack_part_add(struct pack_part *part, enum pack_encoding encoding, uint32_t first,
			   uint32_t count, uint32_t length, struct ota_why *why) OTA_CHECKED;

/* Encodes segments without a base: each group zero, raw or zstd, whichever is smallest. */
enum ota_err pack_part_plain(struct pack_part *part, const struct pack_image *image,
			     uint32_t segment_size, int level, uint32_t first, uint32_t count,
			     struct ota_why *why) OTA_CHECKED;
bool pack_part_is_zero(const uint8_t *bytes, size_t len);
