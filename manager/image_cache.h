/* Images that were pushed from this machine, kept by their digest under
 * $XDG_CACHE_HOME/otactl/images, so that a later version can be encoded against what runs in
 * the field. Losing the cache costs bytes on the air, never an update. */
#pragma once

#include "digest.h"

/* The path of the image with this digest; OTA_NOT_FOUND when it is not kept. The caller frees.
 */
enum ota_err image_cache_find(const struct digest *digest, char **ret_path,
			      struct ota_why *why) OTA_CHECKED;
/* Keeps a copy of the file; nothing to do when there is one. */
enum ota_err image_cache_keep(const char *path, const struct digest *digest,
			      struct ota_why *why) OTA_CHECKED;
