/* Both images are cut where a rolling hash of the last bytes says so, which is at the same
 * places in equal content wherever it has moved to (Xia et al., "FastCDC", 2016; its gear
 * hash). Pieces of 4 KiB on average are looked up by their hash, compared, and extended as far
 * as they are equal. */
#include "pack_match_anchor.h"

#include "own.h"
#include "pack_match_seeds.h"

#include <string.h>

#define PIECE_MIN 1024u
#define PIECE_MAX 16384u
#define CUT_MASK  0xfffc000000000000u /* 14 bits, less what PIECE_MIN adds: 4 KiB or so */

struct gear {
	uint64_t of[256];
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static void gear_init(struct gear *gear)
{
	for (uint64_t i = 0; i < 256; i++)
		gear->of[i] = mix((i + 1) * 0x9e3779b97f4a7c15);
}

static uint64_t piece_length(const struct gear *gear, const uint8_t *at, uint64_t left)
{
	uint64_t max = left < PIECE_MAX ? left : PIECE_MAX, hash = 0;
	for (uint64_t i = 0; i < max; i++) {
		hash = (hash << 1) + gear->of[at[i]];
		if (i >= PIECE_MIN && !(hash & CUT_MASK))
			return i + 1;
	}
	return max;
}

static uint64_t piece_hash(const uint8_t *at, uint64_t len)
{
	uint64_t hash = len;
	for (; len >= 8; at += 8, len -= 8) {
		uint64_t word;
		memcpy(&word, at, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 29;
	}
	for (; len; at++, len--)
		hash = (hash ^ *at) * 0x9e3779b97f4a7c15;
	return mix(hash) | 1; /* 0 is an empty slot */
}

struct known {
	uint64_t hash, source;
};

struct pieces {
	struct known *slots;
	uint64_t mask;
};

static struct known *find(const struct pieces *pieces, uint64_t hash)
{
	uint64_t slot = hash >> 20 & pieces->mask;
	while (pieces->slots[slot].hash && pieces->slots[slot].hash != hash)
		slot = (slot + 1) & pieces->mask;
	return &pieces->slots[slot];
}

static enum ota_err pieces_learn(struct pieces *pieces, const struct gear *gear,
				 const struct pack_image *base, struct ota_why *why)
{
	uint64_t slots = 1024;
	while (slots < base->size / PIECE_MIN + base->size / PIECE_MIN / 2)
		slots *= 2;
	pieces->slots = calloc(slots, sizeof *pieces->slots);
	pieces->mask = slots - 1;
	if (!pieces->slots)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the pieces of a base");
	for (uint64_t at = 0; at < base->size;) {
		uint64_t len = piece_length(gear, base->bytes + at, base->size - at);
		uint64_t hash = piece_hash(base->bytes + at, len);
		struct known *known = find(pieces, hash);
		if (!known->hash)
			*known = (struct known){hash, at};
		at += len;
	}
	return OTA_OK;
}

static bool is_equal(const struct pack_image *image, const struct pack_image *base, uint64_t at,
		     uint64_t source, uint64_t len)
{
	return source <= base->size && len <= base->size - source &&
	       memcmp(image->bytes + at, base->bytes + source, (size_t)len) == 0;
}

/* Makes the anchor as long as the images are equal; `begin`: where the one before ends. */
static void extend(const struct pack_image *image, const struct pack_image *base,
		   uint64_t begin, struct pack_op *anchor)
{
	while (anchor->image > begin && anchor->source > 0 &&
	       image->bytes[anchor->image - 1] == base->bytes[anchor->source - 1]) {
		anchor->image--;
		anchor->source--;
		anchor->copy++;
	}
	uint64_t at = anchor->image + anchor->copy, source = anchor->source + anchor->copy;
	for (uint64_t block = 4096; block; block = block > 1 ? block / 64 : 0)
		while (image->size - at >= block && is_equal(image, base, at, source, block)) {
			at += block;
			source += block;
		}
	anchor->copy = at - anchor->image;
}

enum ota_err pack_anchors_find(const struct pack_image *image, const struct pack_image *base,
			       struct pack_ops *ret_anchors, struct ota_why *why)
{
	AUTO_FREE struct gear *gear = malloc(sizeof *gear);
	AUTO_FREE void *slots = NULL;
	struct pieces pieces = {0};
	struct pack_op last = {0};
	if (!gear)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to cut images into pieces");
	gear_init(gear);
	enum ota_err err = pieces_learn(&pieces, gear, base, why);
	slots = pieces.slots;
	for (uint64_t at = 0; at < image->size && !err;) {
		uint64_t len = piece_length(gear, image->bytes + at, image->size - at);
		struct pack_op anchor = {at, last.source + (at - last.image), len, 0};
		const struct known *known = NULL;
		if (!is_equal(image, base, at, anchor.source, len)) {
			known = find(&pieces, piece_hash(image->bytes + at, len));
			anchor.source = known->source;
		}
		if (len < PIECE_MIN ||
		    (known &&
		     (!known->hash || !is_equal(image, base, at, anchor.source, len)))) {
			at += len;
			continue;
		}
		extend(image, base, last.image + last.copy, &anchor);
		err = pack_ops_add(ret_anchors, &anchor, why);
		last = anchor;
		at = anchor.image + anchor.copy;
	}
	return err;
}

enum ota_err pack_anchors_mark(const struct pack_ops *anchors, const struct pack_image *base,
			       uint8_t **ret_used, struct ota_why *why)
{
	uint8_t *used = calloc(base->size / PACK_SEEDS_UNIT + 1, 1);
	if (!used)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the rest of a base");
	for (size_t i = 0; i < anchors->count; i++) {
		uint64_t source = anchors->ops[i].source, end = source + anchors->ops[i].copy;
		uint64_t unit = (source + PACK_SEEDS_UNIT - 1) / PACK_SEEDS_UNIT;
		for (; (unit + 1) * PACK_SEEDS_UNIT <= end; unit++)
			used[unit] = 1;
	}
	*ret_used = used;
	return OTA_OK;
}
