#include "pack.h"

#include <string.h>

static const uint8_t magic[4] = {'O', 'T', 'A', 'P'};

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t get_u64(const uint8_t *at)
{
	return (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
}

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_u64(uint8_t *at, uint64_t value)
{
	put_u32(at, (uint32_t)(value >> 32));
	put_u32(at + 4, (uint32_t)value);
}

bool pack_has_base(const struct pack_header *header)
{
	return header->base_size > 0;
}

uint32_t pack_segment_count(uint64_t image_size, uint32_t segment_size)
{
	return (uint32_t)((image_size + segment_size - 1) / segment_size);
}

uint32_t pack_segment_length(uint64_t image_size, uint32_t segment_size, uint32_t segment)
{
	uint64_t left = image_size - (uint64_t)segment * segment_size;
	return left < segment_size ? (uint32_t)left : segment_size;
}

bool pack_sizes_are_valid(uint64_t image_size, uint32_t segment_size)
{
	bool power_of_two = segment_size && !(segment_size & (segment_size - 1));
	return power_of_two && segment_size >= PACK_SEGMENT_SIZE_MIN &&
	       segment_size <= PACK_SEGMENT_SIZE_MAX && image_size &&
	       image_size <= (uint64_t)PACK_SEGMENTS_MAX * segment_size;
}

unsigned pack_window_log_max(uint32_t segment_size)
{
	if (segment_size <= 1u << 18)
		return 20;
	return segment_size <= 1u << 19 ? 19 : 18;
}

static enum ota_err header_check(const struct pack_header *header, struct ota_why *why)
{
	if (!pack_sizes_are_valid(header->image_size, header->segment_size))
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack header: %llu bytes in segments of %u",
				(unsigned long long)header->image_size, header->segment_size);
	uint32_t segments = pack_segment_count(header->image_size, header->segment_size);
	if (!header->group_count || header->group_count > segments)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack header: %u groups of %u segments", header->group_count,
				segments);
	if (pack_has_base(header) == digest_is_zero(&header->base))
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack header: size and digest of the base do not agree");
	return OTA_OK;
}

enum ota_err pack_header_read(const void *bytes, size_t len, struct pack_header *ret_header,
			      struct ota_why *why)
{
	const uint8_t *at = bytes;
	if (len < PACK_HEADER_SIZE)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack header: %zu bytes are too few", len);
	if (memcmp(at, magic, sizeof magic) != 0)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH, "pack header: not a pack");
	if (at[4] != PACK_VERSION)
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack header: version %u is not known", at[4]);
	if (at[5] || at[6] || at[7])
		return ota_fail(why, OTA_SEGMENT_HASH_MISMATCH,
				"pack header: reserved bytes are not zero");
	struct pack_header header = {
		.image_size = get_u64(at + 8),
		.base_size = get_u64(at + 16),
		.segment_size = get_u32(at + 24),
		.group_count = get_u32(at + 28),
	};
	memcpy(header.image.bytes, at + 32, DIGEST_SIZE);
	memcpy(header.base.bytes, at + 64, DIGEST_SIZE);
	enum ota_err err = header_check(&header, why);
	if (err)
		return err;
	*ret_header = header;
	return OTA_OK;
}

void pack_header_write(const struct pack_header *header, uint8_t ret_bytes[PACK_HEADER_SIZE])
{
	memset(ret_bytes, 0, PACK_HEADER_SIZE);
	memcpy(ret_bytes, magic, sizeof magic);
	ret_bytes[4] = PACK_VERSION;
	put_u64(ret_bytes + 8, header->image_size);
	put_u64(ret_bytes + 16, header->base_size);
	put_u32(ret_bytes + 24, header->segment_size);
	put_u32(ret_bytes + 28, header->group_count);
	memcpy(ret_bytes + 32, header->image.bytes, DIGEST_SIZE);
	memcpy(ret_bytes + 64, header->base.bytes, DIGEST_SIZE);
}

void pack_group_read(const uint8_t bytes[PACK_GROUP_ENTRY_SIZE], uint8_t *ret_encoding,
		     uint32_t *ret_count, uint32_t *ret_length)
{
	uint32_t word = get_u32(bytes);
	*ret_encoding = (uint8_t)(word >> 24);
	*ret_count = word & 0xffffff;
	*ret_length = get_u32(bytes + 4);
}

void pack_group_write(const struct pack_group *group, uint8_t ret_bytes[PACK_GROUP_ENTRY_SIZE])
{
	put_u32(ret_bytes, (uint32_t)group->encoding << 24 | group->count);
	put_u32(ret_bytes + 4, group->length);
}
