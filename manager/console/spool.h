/* Images on their way from a browser: received in pieces into the spool directory, hashed,
 * packed and handed to the plugin with the signed manifest. The browser hashes the file itself
 * before it signs, so nothing here is trusted. Files are named by product and digest; one that
 * nobody touched for a day is removed. All functions named spool_* with an exchange run on a
 * work thread. */
#pragma once

#include "server.h"

#define SPOOL_PIECE_MAX (4u << 20) /* bytes of one PUT */

enum ota_err spool_new(const char *directory, uint64_t max_bytes, struct work *work,
		       struct spool **ret_spool, struct ota_why *why) OTA_CHECKED;
void spool_free(struct spool *spool);

/* PUT …/images/{sha256} with `Content-Range: bytes FIRST-LAST/TOTAL`: 202 with the state; 409
 * when FIRST is not where it must go on; after the last byte the pack is made. */
void spool_put(void *exchange);
/* GET …/images/{sha256}: {state: absent, receiving, packing, ready or failed; offset, size,
 * progress (0 … 100), component (what the manifest must say) and pack when ready}. */
void spool_get(void *exchange);
/* POST …/firmware {firmware, packs?}: uploads index and pack of the image that the manifest
 * names when they are here, then adds the firmware; as `firmware.add` when `packs` says they
 * are there. */
void spool_add_firmware(void *exchange);
