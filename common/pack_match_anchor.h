/* Pairing off what an image and its base have in common, for images too large to
 * search all of the base. Inside the pack writer only. */
#pragma once

#include "pack_match.h"

/* Equal pieces of at least about 1 KiB, as ops without literals, in the order of the image and
 * not overlapping there. */
enum ota_err pack_anchors_find(const struct pack_image *image, const struct pack_image *base,
			       struct pack_ops *ret_anchors, struct ota_why *why) OTA_CHECKED;

/* For the seeds: which units of the base an anchor comes from; the caller frees it. */
enum ota_err pack_anchors_mark(const struct pack_ops *anchors, const struct pack_image *base,
			       uint8_t **ret_used, struct ota_why *why) OTA_CHECKED;
