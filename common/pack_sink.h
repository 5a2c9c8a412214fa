/* Where a group's decoded bytes go: collected into whole segments, each handed on once. Inside
 * the pack reader only. */
#pragma once

#include "pack_read.h"

struct pack_sink {
	const struct pack_read_seam *seam;
	uint64_t image_size;
	uint32_t segment_size;
	uint8_t *buffer;       /* of segment_size bytes */
	uint32_t segment, end; /* the one being filled; the first after the group */
	uint32_t filled;
};

enum ota_err pack_sink_init(struct pack_sink *sink, const struct pack_expected *expected,
			    const struct pack_read_seam *seam, struct ota_why *why) OTA_CHECKED;
void pack_sink_done(struct pack_sink *sink);
void pack_sink_begin(struct pack_sink *sink, const struct pack_group *group);
/* Bytes of the group that are still to come. */
uint64_t pack_sink_left(const struct pack_sink *sink);
/* Room in the current segment, to be filled in place and then declared by pack_sink_filled;
 * *ret is 0 when the group is complete. */
uint8_t *pack_sink_room(struct pack_sink *sink, uint32_t *ret_room);
/* Hands the segment on when it has become whole. */
enum ota_err pack_sink_filled(struct pack_sink *sink, uint32_t len,
			      struct ota_why *why) OTA_CHECKED;
/* `len` is at most pack_sink_left. */
enum ota_err pack_sink_put(struct pack_sink *sink, const void *bytes, size_t len,
			   struct ota_why *why) OTA_CHECKED;
