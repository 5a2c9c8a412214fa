/* Encoding segments against a base. Inside the pack writer only. */
#pragma once

#include "pack_match.h"
#include "pack_write_part.h"

struct pack_pointers {
	bool known;
	uint32_t high, origin;
};

struct pack_delta_source {
	const struct pack_image *image, *base;
	const struct pack_ops *ops;
	struct pack_pointers pointers;
	uint32_t segment_size;
	int level;
};

/* How pointers look in this base: their high half, and what their low half is at its start. */
struct pack_pointers pack_pointers_find(const struct pack_image *base);
/* Encodes these segments in as many groups as it takes, each by whatever makes it smallest. */
enum ota_err pack_part_delta(struct pack_part *part, const struct pack_delta_source *source,
			     uint32_t first, uint32_t count, struct ota_why *why) OTA_CHECKED;
