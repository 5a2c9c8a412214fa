/* Pairing off what an image and its base have in common, for images too large for a suffix
 * array of all of the base. Inside the pack writer only. */
#pragma once

#include "pack_match.h"

/* Equal pieces of at least about 1 KiB, as ops without literals, in the order of the image and
 * not overlapping there. */
enum ota_err pack_anchors_find(const struct pack_image *image, const struct pack_image *base,
			       struct pack_ops *ret_anchors, struct ota_why *why) OTA_CHECKED;

/* What no anchor comes from: pieces of the base, put one behind the other. */
struct pack_rest {
	uint8_t *bytes;
	uint64_t size;
	struct pack_op
		*pieces; /* image: where it is in bytes; source: in the base; copy: length */
	size_t count;
};

enum ota_err pack_rest_gather(const struct pack_ops *anchors, const struct pack_image *base,
			      struct pack_rest *ret_rest, struct ota_why *why) OTA_CHECKED;
void pack_rest_done(struct pack_rest *rest);
/* Where in the base this byte of the rest is. */
uint64_t pack_rest_source(const struct pack_rest *rest, uint64_t at);
