/* Packs (PROTOCOL.md section 7): an image encoded against one base image or none, as a file
 * named by its SHA-256 and fetched in chunks.
 *
 * A pack is not trusted. Its header and table are checked against the signed manifest before
 * they are used (pack_read.h), and a decoded segment counts for nothing until its SHA-256 is
 * the one in the signed index. */
#pragma once

#include "digest.h"

#define PACK_VERSION		  1
#define PACK_CHUNK_SIZE		  65536u /* the unit of transfer; the last of a blob is shorter */
#define PACK_HEADER_SIZE	  96u
#define PACK_GROUP_ENTRY_SIZE	  8u
#define PACK_SEGMENT_SIZE_MIN	  65536u
#define PACK_SEGMENT_SIZE_MAX	  1048576u
#define PACK_SEGMENT_SIZE_DEFAULT 262144u
/* 16 GiB of image at 256 KiB; bounds the table (512 KiB) and the index (2 MiB) in memory. */
#define PACK_SEGMENTS_MAX 65536u
/* What an interrupted transfer may have to fetch again; a raw segment of the largest size fits.
 */
#define PACK_GROUP_BYTES_MAX 1048576u

/* How a group, a run of one or more segments, is encoded. The number is in the file. */
enum pack_encoding {
	PACK_ZERO = 0, /* nothing but zero bytes; no encoded bytes */
	PACK_RAW,      /* as it is */
	PACK_ZSTD,     /* one zstd frame */
	PACK_DELTA,    /* against the base */
	PACK_ENCODING_COUNT,
};

struct pack_header {
	uint64_t image_size;
	uint64_t base_size; /* 0 without a base */
	uint32_t segment_size;
	uint32_t group_count;
	struct digest image;
	struct digest base; /* zero without a base */
};

/* One group, as the table tells it. */
struct pack_group {
	enum pack_encoding encoding;
	uint32_t first, count; /* segments of the image */
	uint64_t offset;       /* of its first encoded byte in the pack */
	uint32_t length;       /* encoded bytes */
};

bool pack_has_base(const struct pack_header *header);
/* ⌈image_size / segment_size⌉ */
uint32_t pack_segment_count(uint64_t image_size, uint32_t segment_size);
/* Length of that segment of the image: segment_size, but for the last. */
uint32_t pack_segment_length(uint64_t image_size, uint32_t segment_size, uint32_t segment);
/* A power of two from PACK_SEGMENT_SIZE_MIN to PACK_SEGMENT_SIZE_MAX, and no more than
 * PACK_SEGMENTS_MAX of them in the image, which is not empty. */
bool pack_sizes_are_valid(uint64_t image_size, uint32_t segment_size);
/* The largest window a zstd frame of the pack may ask for, so that it and a segment fit the
 * decoder's memory: log2 of bytes. */
unsigned pack_window_log_max(uint32_t segment_size);

/* Reads the first PACK_HEADER_SIZE bytes of a pack and checks each field by itself (magic,
 * version, sizes, count, reserved bytes zero). OTA_SEGMENT_HASH_MISMATCH names the field. Fits
 * for whoever stores packs: it says what the pack is for, and whether it is one at all. */
enum ota_err pack_header_read(const void *bytes, size_t len, struct pack_header *ret_header,
			      struct ota_why *why) OTA_CHECKED;
void pack_header_write(const struct pack_header *header, uint8_t ret_bytes[PACK_HEADER_SIZE]);

/* One entry of the table, its fields not judged; the reader does that. */
void pack_group_read(const uint8_t bytes[PACK_GROUP_ENTRY_SIZE], uint8_t *ret_encoding,
		     uint32_t *ret_count, uint32_t *ret_length);
void pack_group_write(const struct pack_group *group, uint8_t ret_bytes[PACK_GROUP_ENTRY_SIZE]);
