/* One copy, at offset + 4096 × {0, 1}, little-endian:
 *
 *   0 magic   4 format = 1   8 sequence (64 bit)   16 payload size   20 zero (8 bytes)
 *   28 CRC32C of bytes 0 … 27 and of the payload   32 payload   … zero up to 4096
 *
 * The newest copy is the whole one with the greater sequence. A write never touches it,
 * whatever happened before: `newest` moves only when the other copy is known to be on the
 * medium. A sequence is used once, so a write that failed half way cannot be mistaken for the
 * next. */
#include "record.h"

#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define RECORD_FORMAT 1u
#define RECORD_NONE   2u
#define CRC_AT	      28u

uint32_t record_crc32c(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	while (len-- > 0) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (UINT32_C(0x82f63b78) & (0u - (crc & 1u)));
	}
	return ~crc;
}

void record_put_u32(uint8_t **at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		*(*at)++ = (uint8_t)(value >> (8 * i));
}

void record_put_u64(uint8_t **at, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		*(*at)++ = (uint8_t)(value >> (8 * i));
}

uint32_t record_get_u32(const uint8_t **at)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < 4; i++)
		value |= (uint32_t) * (*at)++ << (8 * i);
	return value;
}

uint64_t record_get_u64(const uint8_t **at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t) * (*at)++ << (8 * i);
	return value;
}

static uint32_t block_crc(const uint8_t *block, uint32_t size)
{
	return record_crc32c(record_crc32c(0, block, CRC_AT), block + RECORD_HEADER, size);
}

static void block_make(uint8_t block[RECORD_BLOCK], uint32_t magic, uint64_t sequence,
		       const void *payload, uint32_t size)
{
	uint8_t *at = block;

	memset(block, 0, RECORD_BLOCK);
	record_put_u32(&at, magic);
	record_put_u32(&at, RECORD_FORMAT);
	record_put_u64(&at, sequence);
	record_put_u32(&at, size);
	memcpy(block + RECORD_HEADER, payload, size);
	at = block + CRC_AT;
	record_put_u32(&at, block_crc(block, size));
}

static bool block_is_whole(const uint8_t block[RECORD_BLOCK], uint32_t magic, uint32_t size,
			   uint64_t *ret_sequence)
{
	const uint8_t *at = block;
	bool good = record_get_u32(&at) == magic && record_get_u32(&at) == RECORD_FORMAT;
	uint64_t sequence = good ? record_get_u64(&at) : 0;

	good = good && sequence > 0 && record_get_u32(&at) == size;
	at = block + CRC_AT;
	if (!good || record_get_u32(&at) != block_crc(block, size))
		return false;
	*ret_sequence = sequence;
	return true;
}

static enum ota_err record_make(const struct disk *disk, const char *path, uint64_t offset,
				uint32_t magic, const void *payload, uint32_t size,
				struct ota_why *why)
{
	size_t room = (size_t)offset + 2 * RECORD_BLOCK;
	AUTO_FREE uint8_t *bytes = calloc(1, room);

	if (!bytes)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the record '%s'", path);
	block_make(bytes + offset, magic, 1, payload, size);
	return disk_replace(disk, path, bytes, room, 0600, why);
}

static int record_open_file(struct record *record, const char *path)
{
	const struct disk *disk = record->disk;

	record->writable = true;
	int file = disk->open(disk->ctx, path, O_RDWR, 0);
	if (file == -EROFS || file == -EACCES) {
		record->writable = false;
		file = disk->open(disk->ctx, path, O_RDONLY, 0);
	}
	return file;
}

enum ota_err record_open(struct record *record, const struct disk *disk, const char *path,
			 uint64_t offset, uint32_t magic, void *payload, uint32_t size,
			 enum record_found *ret_found, struct ota_why *why)
{
	struct record opening = {
		.disk = disk, .file = -1, .magic = magic, .size = size, .offset = offset};
	enum record_found found;
	bool made = false;

	if (size > RECORD_PAYLOAD_MAX || offset % RECORD_BLOCK || offset > (1u << 30))
		return ota_fail(why, OTA_INTERNAL, "the record '%s' has a wrong size or offset",
				path);
	if (!text_copy(opening.path, sizeof(opening.path), path))
		return ota_fail(why, OTA_TOO_LARGE, "the record's path '%s'", path);
	opening.file = record_open_file(&opening, path);
	if (opening.file == -ENOENT) {
		enum ota_err err = record_make(disk, path, offset, magic, payload, size, why);
		if (err)
			return err;
		made = true;
		opening.file = record_open_file(&opening, path);
	}
	if (opening.file < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -opening.file, "the record '%s'",
				      path);
	/* A process that was killed may have left the name in the cache only. */
	enum ota_err err =
		opening.writable && !made ? disk_sync_parent(disk, path, why) : OTA_OK;
	if (!err)
		err = record_reread(&opening, payload, &found, why);
	if (err) {
		record_done(&opening);
		return ota_context(why, err, "the record '%s'", path);
	}
	*record = opening;
	*ret_found = made ? RECORD_NEW : found;
	return OTA_OK;
}

enum ota_err record_reread(struct record *record, void *payload, enum record_found *ret_found,
			   struct ota_why *why)
{
	const struct disk *disk = record->disk;
	AUTO_FREE uint8_t *blocks = malloc(2 * RECORD_BLOCK);
	uint64_t sequence[2] = {0, 0};

	if (!blocks)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a record");
	if (record->writable) {
		enum ota_err err = disk_sync(disk, record->file, why);
		if (err)
			return err;
	}
	int dropped = disk->drop_cache(disk->ctx, record->file);
	if (dropped < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -dropped, "the cache of a record");
	unsigned newest = RECORD_NONE;
	for (unsigned copy = 0; copy < 2; copy++) {
		uint8_t *block = blocks + copy * RECORD_BLOCK;
		/* A copy that cannot be read is one copy less, not the loss of both. */
		if (disk_read(disk, record->file, block, RECORD_BLOCK,
			      record->offset + copy * RECORD_BLOCK, NULL))
			continue;
		if (!block_is_whole(block, record->magic, record->size, &sequence[copy]))
			continue;
		if (newest == RECORD_NONE || sequence[copy] > sequence[newest])
			newest = copy;
	}
	record->newest = newest;
	if (newest == RECORD_NONE) {
		*ret_found = RECORD_LOST;
		return OTA_OK;
	}
	if (sequence[newest] > record->written)
		record->written = sequence[newest];
	memcpy(payload, blocks + newest * RECORD_BLOCK + RECORD_HEADER, record->size);
	*ret_found = RECORD_FOUND;
	return OTA_OK;
}

/* What could only be read may be mounted for writing again. What was read meanwhile may have
 * been in the cache only. */
static enum ota_err record_reopen(struct record *record, struct ota_why *why)
{
	const struct disk *disk = record->disk;
	int file = disk->open(disk->ctx, record->path, O_RDWR, 0);

	if (file < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, -file, "the record is read-only");
	enum ota_err err = disk_sync(disk, file, why);
	if (!err)
		err = disk_sync_parent(disk, record->path, why);
	if (err) {
		disk->close(disk->ctx, file);
		return err;
	}
	disk->close(disk->ctx, record->file);
	record->file = file;
	record->writable = true;
	return OTA_OK;
}

enum ota_err record_write(struct record *record, const void *payload, struct ota_why *why)
{
	uint8_t block[RECORD_BLOCK];
	unsigned copy = record->newest == 0 ? 1 : 0;
	enum ota_err err = record->writable ? OTA_OK : record_reopen(record, why);

	if (err)
		return err;
	block_make(block, record->magic, record->written + 1, payload, record->size);
	record->written++;
	err = disk_write(record->disk, record->file, block, sizeof(block),
			 record->offset + copy * RECORD_BLOCK, why);
	if (!err)
		err = disk_sync(record->disk, record->file, why);
	if (err)
		return err;
	record->newest = copy;
	return OTA_OK;
}

void record_done(struct record *record)
{
	if (record->disk && record->file >= 0)
		record->disk->close(record->disk->ctx, record->file);
	memset(record, 0, sizeof(*record));
	record->file = -1;
}
