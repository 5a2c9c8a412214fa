#include "pack_write_part.h"

#include "own.h"

#include <stdlib.h>
#include <string.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

void pack_part_done(struct pack_part *part)
{
	free(part->bytes);
	free(part->groups);
	*part = (struct pack_part){0};
}

enum ota_err pack_part_reserve(struct pack_part *part, size_t len, struct ota_why *why)
{
	if (part->room - part->size >= len)
		return OTA_OK;
	size_t room = part->room * 2 > part->size + len ? part->room * 2 : part->size + len;
	uint8_t *bytes = realloc(part->bytes, room);
	if (!bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %zu encoded bytes",
				room);
	part->bytes = bytes;
	part->room = room;
	return OTA_OK;
}

enum ota_err pack_part_add(struct pack_part *part, enum pack_encoding encoding, uint32_t first,
			   uint32_t count, uint32_t length, struct ota_why *why)
{
	if (part->group_count == part->group_room) {
		uint32_t room = part->group_room ? part->group_room * 2 : 64;
		struct pack_group *groups = realloc(part->groups, room * sizeof *groups);
		if (!groups)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for %u groups",
					room);
		part->groups = groups;
		part->group_room = room;
	}
	part->groups[part->group_count++] = (struct pack_group){
		.encoding = encoding,
		.first = first,
		.count = count,
		.offset = part->size - length,
		.length = length,
	};
	return OTA_OK;
}

bool pack_part_is_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

struct plain {
	struct pack_part *part;
	const struct pack_image *image;
	uint32_t segment_size;
	ZSTD_CCtx *zstd;
};

static const uint8_t *plain_segment(const struct plain *plain, uint32_t segment,
				    uint32_t *ret_len)
{
	*ret_len = pack_segment_length(plain->image->size, plain->segment_size, segment);
	return plain->image->bytes + (uint64_t)segment * plain->segment_size;
}

static enum ota_err plain_feed(const struct plain *plain, const uint8_t *bytes, size_t len,
			       ZSTD_EndDirective end, struct ota_why *why)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	size_t left;
	do {
		enum ota_err err = pack_part_reserve(plain->part, 65536, why);
		if (err)
			return err;
		struct pack_part *part = plain->part;
		ZSTD_outBuffer out = {part->bytes + part->size, part->room - part->size, 0};
		left = ZSTD_compressStream2(plain->zstd, &out, &in, end);
		if (ZSTD_isError(left))
			return ota_fail(why, OTA_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
		part->size += out.pos;
	} while (left || in.pos < in.size);
	return OTA_OK;
}

/* Ends the frame begun at `start`, or replaces it by the raw bytes where that is shorter. */
static enum ota_err plain_close(const struct plain *plain, size_t start, uint32_t first,
				uint32_t count, struct ota_why *why)
{
	struct pack_part *part = plain->part;
	uint32_t last_len;
	const uint8_t *bytes = plain_segment(plain, first, &last_len);
	plain_segment(plain, first + count - 1, &last_len);
	size_t raw = (size_t)(count - 1) * plain->segment_size + last_len;
	enum ota_err err = plain_feed(plain, NULL, 0, ZSTD_e_end, why);
	if (err)
		return err;
	if (part->size - start < raw || raw > PACK_GROUP_BYTES_MAX)
		return pack_part_add(part, PACK_ZSTD, first, count,
				     (uint32_t)(part->size - start), why);
	part->size = start;
	err = pack_part_reserve(part, raw, why);
	if (err)
		return err;
	memcpy(part->bytes + start, bytes, raw);
	part->size = start + raw;
	return pack_part_add(part, PACK_RAW, first, count, (uint32_t)raw, why);
}

/* Whether one more segment would probably make a group of `count` too long. */
static bool is_long(size_t length, uint32_t count, size_t more)
{
	return count && (length + length / count > PACK_PART_GROUP_BYTES ||
			 length + ZSTD_compressBound(more) > PACK_GROUP_BYTES_MAX);
}

/* One frame from `first` on, until it is long enough, a zero segment comes or `end` is reached.
 */
static enum ota_err plain_group(const struct plain *plain, uint32_t first, uint32_t end,
				uint32_t *ret_count, struct ota_why *why)
{
	size_t start = plain->part->size, length = 0;
	uint32_t count = 0;
	ZSTD_CCtx_reset(plain->zstd, ZSTD_reset_session_only);
	while (first + count < end) {
		uint32_t len;
		const uint8_t *bytes = plain_segment(plain, first + count, &len);
		if (count && (pack_part_is_zero(bytes, len) || is_long(length, count, len)))
			break;
		enum ota_err err = plain_feed(plain, bytes, len, ZSTD_e_flush, why);
		if (err)
			return err;
		count++;
		length = plain->part->size - start;
	}
	if (count > 1 && length > PACK_PART_GROUP_BYTES) {
		plain->part->size = start;
		return plain_group(plain, first, first + count - 1, ret_count, why);
	}
	*ret_count = count;
	return plain_close(plain, start, first, count, why);
}

static void free_zstd(ZSTD_CCtx **zstd)
{
	ZSTD_freeCCtx(*zstd);
}

enum ota_err pack_part_plain(struct pack_part *part, const struct pack_image *image,
			     uint32_t segment_size, int level, uint32_t first, uint32_t count,
			     struct ota_why *why)
{
	AUTO(free_zstd) ZSTD_CCtx *zstd = ZSTD_createCCtx();
	if (!zstd)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for zstd");
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level);
	int window = (int)pack_window_log_max(segment_size);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window);
	/* Tables for the window instead of for 128 MiB. */
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_srcSizeHint, 1 << window);
	struct plain plain = {part, image, segment_size, zstd};
	uint32_t end = first + count;
	enum ota_err err = OTA_OK;
	while (first < end && !err) {
		uint32_t len, zeros = 0;
		while (first + zeros < end) {
			const uint8_t *bytes = plain_segment(&plain, first + zeros, &len);
			if (!pack_part_is_zero(bytes, len))
				break;
			zeros++;
		}
		if (zeros) {
			err = pack_part_add(part, PACK_ZERO, first, zeros, 0, why);
			first += zeros;
			continue;
		}
		uint32_t done;
		err = plain_group(&plain, first, end, &done, why);
		if (!err)
			first += done;
	}
	return err;
}
