/* What the slot holds of one component: its index, and which segments are there with the right
 * hash. Made anew from the slot's content by every fetch: nothing about progress is trusted. */
#pragma once

#include "document.h"
#include "scan.h"
#include "slot.h"

struct holding {
	const struct firmware_component *component;
	uint32_t count, missing; /* segments */
	struct scan scan;
	bool is_scanned;
	uint64_t done;	/* bytes that are there */
	uint8_t *index; /* count × DIGEST_SIZE, once verified or while it comes */
	size_t index_len;
	uint8_t *have;	  /* bitmap */
	uint8_t *segment; /* for hashing what is in the slot */
};

/* OTA_SIZE_MISMATCH for sizes that no component can have. The component must outlive it. */
enum ota_err holding_init(struct holding *holding, const struct firmware_component *component,
			  struct ota_why *why) OTA_CHECKED;
void holding_done(struct holding *holding);
/* The next bytes of the index; the last ones must make it the one that the firmware names. */
enum ota_err holding_take_index(struct holding *holding, const uint8_t *bytes, size_t len,
				bool *ret_is_whole, struct ota_why *why) OTA_CHECKED;
/* Hashes one more segment of the slot, where that is worth it (scan.h); what cannot be read is
 * missing. */
enum ota_err holding_scan(struct holding *holding, const struct slots *slots, unsigned part,
			  struct ota_why *why) OTA_CHECKED;
bool holding_is_scanned(const struct holding *holding);
bool holding_has(const struct holding *holding, uint32_t segment);
/* The bytes have the hash that the index says. */
bool holding_is_good(const struct holding *holding, uint32_t segment, const void *bytes,
		     size_t len);
void holding_mark(struct holding *holding, uint32_t segment);
