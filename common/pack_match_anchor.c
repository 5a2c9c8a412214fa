/* Both images are cut where a rolling hash of the last bytes says so, which is at the same
 * places in equal content wherever it has moved to (Xia et al., "FastCDC", 2016; its gear
 * hash). Pieces of 4 KiB on average are looked up by their hash, compared, and extended as far
 * as they are equal. */
#include "pack_match_anchor.h"

#include "own.h"

#include <string.h>

#define PIECE_MIN 1024u
#define PIECE_MAX 16384u
#define CUT_MASK  0xfffc000000000000u /* 14 bits, less what PIECE_MIN adds: 4 KiB or so */
#define REST_UNIT 256u
#define REST_MORE 64u /* bytes on both sides of a piece, for matches that begin outside */

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

static void mark(uint8_t *used, uint64_t source, uint64_t len)
{
	for (uint64_t unit = (source + REST_UNIT - 1) / REST_UNIT;
	     (unit + 1) * REST_UNIT <= source + len; unit++)
		used[unit] = 1;
}

static enum ota_err add_piece(struct pack_rest *rest, size_t *room, uint64_t source,
			      uint64_t len, struct ota_why *why)
{
	if (rest->count == *room) {
		*room = *room ? *room * 2 : 256;
		struct pack_op *pieces = realloc(rest->pieces, *room * sizeof *pieces);
		if (!pieces)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %zu pieces",
					*room);
		rest->pieces = pieces;
	}
	rest->pieces[rest->count++] = (struct pack_op){rest->size, source, len, 0};
	rest->size += len;
	return OTA_OK;
}

static enum ota_err find_rest(struct pack_rest *rest, const uint8_t *used,
			      const struct pack_image *base, struct ota_why *why)
{
	uint64_t units = (base->size + REST_UNIT - 1) / REST_UNIT;
	size_t room = 0;
	enum ota_err err = OTA_OK;
	for (uint64_t unit = 0; unit < units && !err;) {
		uint64_t first = unit;
		while (unit < units && used[unit] == used[first])
			unit++;
		uint64_t begin = first * REST_UNIT, end = unit * REST_UNIT + REST_MORE;
		begin = begin > REST_MORE ? begin - REST_MORE : 0;
		end = end < base->size ? end : base->size;
		if (!used[first])
			err = add_piece(rest, &room, begin, end - begin, why);
	}
	return err;
}

enum ota_err pack_rest_gather(const struct pack_ops *anchors, const struct pack_image *base,
			      struct pack_rest *ret_rest, struct ota_why *why)
{
	AUTO(pack_rest_done) struct pack_rest rest = {0};
	AUTO_FREE uint8_t *used = calloc(base->size / REST_UNIT + 1, 1);
	if (!used)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the rest of a base");
	for (size_t i = 0; i < anchors->count; i++)
		mark(used, anchors->ops[i].source, anchors->ops[i].copy);
	enum ota_err err = find_rest(&rest, used, base, why);
	if (err)
		return err;
	rest.bytes = malloc((size_t)rest.size + 1);
	if (!rest.bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the rest of a base");
	for (size_t i = 0; i < rest.count; i++)
		memcpy(rest.bytes + rest.pieces[i].image, base->bytes + rest.pieces[i].source,
		       (size_t)rest.pieces[i].copy);
	*ret_rest = rest;
	rest = (struct pack_rest){0};
	return OTA_OK;
}

void pack_rest_done(struct pack_rest *rest)
{
	free(rest->bytes);
	free(rest->pieces);
	*rest = (struct pack_rest){0};
}

uint64_t pack_rest_source(const struct pack_rest *rest, uint64_t at)
{
	size_t low = 0, high = rest->count - 1;
	while (low < high) {
		size_t middle = high - (high - low) / 2;
		if (rest->pieces[middle].image <= at)
			low = middle;
		else
			high = middle - 1;
	}
	return rest->pieces[low].source + (at - rest->pieces[low].image);
}
