#include "holding.h"

#include "bitmap.h"
#include "own.h"
#include "pack.h"

#include <assert.h>
#include <string.h>

enum ota_err holding_init(struct holding *holding, const struct firmware_component *component,
			  struct ota_why *why)
{
	if (!pack_sizes_are_valid(component->size, component->segment_size) ||
	    component->index.size !=
		    firmware_index_size(component->size, component->segment_size))
		return ota_fail(why, OTA_SIZE_MISMATCH, "component '%s' has impossible sizes",
				component->name);
	*holding = (struct holding){.component = component};
	holding->count = pack_segment_count(component->size, component->segment_size);
	holding->missing = holding->count;
	scan_begin(&holding->scan, holding->count);
	holding->index = malloc(component->index.size);
	holding->have = calloc(1, holding->count / 8 + 1);
	if (holding->index && holding->have)
		return OTA_OK;
	holding_done(holding);
	return ota_fail(why, OTA_OUT_OF_MEMORY, "fetch of %u segments", holding->count);
}

void holding_done(struct holding *holding)
{
	free(TAKE(holding->index));
	free(TAKE(holding->have));
	free(TAKE(holding->segment));
}

enum ota_err holding_take_index(struct holding *holding, const uint8_t *bytes, size_t len,
				bool *ret_is_whole, struct ota_why *why)
{
	const struct firmware_component *component = holding->component;
	struct digest digest;

	assert(holding->index_len + len <= component->index.size);
	memcpy(holding->index + holding->index_len, bytes, len);
	holding->index_len += len;
	*ret_is_whole = holding->index_len == component->index.size;
	if (!*ret_is_whole)
		return OTA_OK;
	enum ota_err err = digest_of(holding->index, holding->index_len, &digest, why);
	if (!err && !digest_equal(&digest, &component->index.sha256))
		err = ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
			       "the index is not the one that the firmware names");
	return err;
}

static uint32_t length_of(const struct holding *holding, uint32_t segment)
{
	return pack_segment_length(holding->component->size, holding->component->segment_size,
				   segment);
}

enum ota_err holding_scan(struct holding *holding, const struct slots *slots, unsigned part,
			  struct ota_why *why)
{
	const uint32_t size = holding->component->segment_size;
	uint32_t segment;

	holding->is_scanned = !scan_next(&holding->scan, &segment);
	if (holding->is_scanned) {
		free(TAKE(holding->segment));
		return OTA_OK;
	}
	if (!holding->segment)
		holding->segment = malloc(size);
	if (!holding->segment)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a segment");
	const uint32_t len = length_of(holding, segment);
	if (holding_has(holding, segment) ||
	    slots->read(slots->ctx, SLOT_TARGET, part, (uint64_t)segment * size,
			holding->segment, len, NULL) ||
	    !holding_is_good(holding, segment, holding->segment, len))
		return OTA_OK;
	holding_mark(holding, segment);
	scan_found(&holding->scan);
	return OTA_OK;
}

bool holding_is_scanned(const struct holding *holding)
{
	return holding->is_scanned;
}

bool holding_has(const struct holding *holding, uint32_t segment)
{
	return bitmap_has(holding->have, segment);
}

bool holding_is_good(const struct holding *holding, uint32_t segment, const void *bytes,
		     size_t len)
{
	struct digest digest;

	if (digest_of(bytes, len, &digest, NULL))
		return false;
	return !memcmp(digest.bytes, holding->index + (size_t)segment * DIGEST_SIZE,
		       DIGEST_SIZE);
}

void holding_mark(struct holding *holding, uint32_t segment)
{
	if (bitmap_has(holding->have, segment))
		return;
	bitmap_set(holding->have, segment);
	holding->done += length_of(holding, segment);
	holding->missing--;
}
