/* A record kept in two copies: the smallest thing that survives a power cut at any instant.
 *
 * Each copy has a block of 4096 bytes of its own in one file (or at one offset of a raw
 * partition): magic, sequence, length, payload, CRC32C. A write goes to the copy that is not
 * the newest and is synced before it counts, so the newest whole copy is the old or the new
 * value, never a mixture. Opening syncs first and reads from the medium: a value that was only
 * in the page cache of a killed process is durable before anybody builds on it. */
#pragma once

#include "disk.h"

#define RECORD_BLOCK	   4096u /* a page, and a multiple of every sector size */
#define RECORD_HEADER	   32u
#define RECORD_PAYLOAD_MAX (RECORD_BLOCK - RECORD_HEADER)

struct record {
	const struct disk *disk;
	char path[DISK_PATH_SIZE];
	int file; /* -1: not open */
	uint32_t magic;
	uint32_t size;	  /* of the payload; fixed per kind of record */
	uint64_t offset;  /* of the first copy */
	uint64_t written; /* the greatest sequence ever tried */
	bool writable;
	unsigned newest; /* 0 or 1: the copy that must not be overwritten; 2: none is valid */
};

enum record_found {
	RECORD_NEW = 0, /* there was no file: it was made with the given value */
	RECORD_LOST, /* there was one, but no whole copy in it: the given value stands in, and
			the next write makes it good again */
	RECORD_FOUND,
};

/* Opens the record of this magic at this offset of a file, which is made when it is not there,
 * or of a raw partition. payload (size bytes) comes in with the value of a new record and goes
 * out with the newest whole copy. Where only reading is allowed it is opened for that, and
 * record_write() fails until writing is allowed again. */
enum ota_err record_open(struct record *record, const struct disk *disk, const char *path,
			 uint64_t offset, uint32_t magic, void *payload, uint32_t size,
			 enum record_found *ret_found, struct ota_why *why) OTA_CHECKED;
/* After an error the old or the new value may be found by the next open; the old value is not
 * in danger, and writing may be tried again. */
enum ota_err record_write(struct record *record, const void *payload,
			  struct ota_why *why) OTA_CHECKED;
/* Reads the newest copy again, from the medium (another process may have written). RECORD_LOST
 * leaves the payload as it is. */
enum ota_err record_reread(struct record *record, void *payload, enum record_found *ret_found,
			   struct ota_why *why) OTA_CHECKED;
void record_done(struct record *record);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). */
uint32_t record_crc32c(uint32_t crc, const void *bytes, size_t len);

/* Integers in records are little-endian; each moves *at behind it. */
void record_put_u32(uint8_t **at, uint32_t value);
void record_put_u64(uint8_t **at, uint64_t value);
uint32_t record_get_u32(const uint8_t **at);
uint64_t record_get_u64(const uint8_t **at);
