#include "keep.h"

#include "keep_report.h"
#include "own.h"

#include <fcntl.h>
#include <string.h>

#define FLOOR_MAGIC UINT32_C(0x4641544f) /* "OTAF" */
#define FLOOR_SIZE  64u

static const struct {
	const char *name;
	size_t max;
} keep_items[KEEP_ITEM_COUNT] = {
	[KEEP_ROOT] = {"root", ENVELOPE_SIZE_MAX},
	[KEEP_FIRMWARE] = {"firmware", ENVELOPE_SIZE_MAX},
	[KEEP_RELEASE] = {"release", ENVELOPE_SIZE_MAX},
	[KEEP_OFFER] = {"offer", KEEP_OFFER_MAX},
	[KEEP_FIRMWARE_A] = {"firmware.a", ENVELOPE_SIZE_MAX},
	[KEEP_FIRMWARE_B] = {"firmware.b", ENVELOPE_SIZE_MAX},
	[KEEP_FACTORY] = {"factory", ENVELOPE_SIZE_MAX},
	[KEEP_HEAD] = {"head", ENVELOPE_SIZE_MAX},
	[KEEP_EVIDENCE] = {"evidence", KEEP_EVIDENCE_MAX},
};

static void floor_put(const struct keep_floor *floor, uint8_t payload[FLOOR_SIZE])
{
	uint8_t *at = payload;

	memset(payload, 0, FLOOR_SIZE);
	record_put_u64(&at, floor->security_version);
	record_put_u64(&at, floor->number);
	record_put_u64(&at, floor->time);
}

static enum ota_err floor_open(struct keep *keep, struct ota_why *why)
{
	char path[DISK_PATH_SIZE];
	uint8_t payload[FLOOR_SIZE] = {0};
	const uint8_t *at = payload;
	enum record_found found;
	enum ota_err err = disk_join(path, keep->directory, "floor", why);

	if (!err)
		err = record_open(&keep->floor_record, keep->disk, path, 0, FLOOR_MAGIC,
				  payload, FLOOR_SIZE, &found, why);
	if (err)
		return err;
	keep->floor_lost = found == RECORD_LOST;
	keep->floor.security_version = record_get_u64(&at);
	keep->floor.number = record_get_u64(&at);
	keep->floor.time = record_get_u64(&at);
	return OTA_OK;
}

enum ota_err keep_open(struct keep *keep, const struct disk *disk, const char *directory,
		       struct ota_why *why)
{
	enum ota_err err;

	memset(keep, 0, sizeof(*keep));
	keep->disk = disk;
	keep->floor_record.file = keep->seq_record.file = -1;
	if (!text_copy(keep->directory, sizeof(keep->directory), directory))
		return ota_fail(why, OTA_TOO_LARGE, "the path '%s' is too long", directory);
	err = disk_make_directory(disk, directory, 0700, why);
	/* Opening a record makes every name in the directory durable. */
	if (!err)
		err = floor_open(keep, why);
	if (!err)
		err = keep_report_open(keep, why);
	if (err)
		keep_done(keep);
	else
		keep_reserve_make(keep);
	return err ? ota_context(why, err, "the state directory") : OTA_OK;
}

void keep_reserve_make(struct keep *keep)
{
	char path[DISK_PATH_SIZE];
	AUTO_FREE void *zeros = NULL;

	if (keep->has_reserve || disk_join(path, keep->directory, "reserve", NULL))
		return;
	int file = keep->disk->open(keep->disk->ctx, path, O_RDONLY, 0);
	if (file >= 0) {
		keep->disk->close(keep->disk->ctx, file);
		keep->has_reserve = true;
		return;
	}
	zeros = calloc(1, KEEP_RESERVE_SIZE);
	keep->has_reserve =
		zeros && !disk_replace(keep->disk, path, zeros, KEEP_RESERVE_SIZE, 0600, NULL);
}

bool keep_reserve_give(struct keep *keep)
{
	char path[DISK_PATH_SIZE];

	if (!keep->has_reserve || disk_join(path, keep->directory, "reserve", NULL))
		return false;
	keep->has_reserve = false;
	return !disk_remove(keep->disk, path, NULL);
}

void keep_done(struct keep *keep)
{
	record_done(&keep->floor_record);
	record_done(&keep->seq_record);
}

enum ota_err keep_put(struct keep *keep, enum keep_item item, const void *bytes, size_t len,
		      struct ota_why *why)
{
	char path[DISK_PATH_SIZE];

	if (len > keep_items[item].max)
		return ota_fail(why, OTA_TOO_LARGE, "'%s' has %zu bytes, at most %zu are kept",
				keep_items[item].name, len, keep_items[item].max);
	enum ota_err err = disk_join(path, keep->directory, keep_items[item].name, why);
	return err ? err : disk_replace(keep->disk, path, bytes, len, 0600, why);
}

enum ota_err keep_get(struct keep *keep, enum keep_item item, char **ret_bytes, size_t *ret_len,
		      struct ota_why *why)
{
	char path[DISK_PATH_SIZE];
	enum ota_err err = disk_join(path, keep->directory, keep_items[item].name, why);

	return err ? err
		   : disk_read_file(keep->disk, path, keep_items[item].max, ret_bytes, ret_len,
				    why);
}

enum ota_err keep_remove(struct keep *keep, enum keep_item item, struct ota_why *why)
{
	char path[DISK_PATH_SIZE];
	enum ota_err err = disk_join(path, keep->directory, keep_items[item].name, why);

	return err ? err : disk_remove(keep->disk, path, why);
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

enum ota_err keep_floor_raise(struct keep *keep, const struct keep_floor *to,
			      struct ota_why *why)
{
	uint8_t payload[FLOOR_SIZE];
	struct keep_floor raised = {
		.security_version = greater(keep->floor.security_version, to->security_version),
		.number = greater(keep->floor.number, to->number),
		.time = greater(keep->floor.time, to->time),
	};

	if (raised.security_version == keep->floor.security_version &&
	    raised.number == keep->floor.number && raised.time == keep->floor.time)
		return OTA_OK;
	floor_put(&raised, payload);
	enum ota_err err = record_write(&keep->floor_record, payload, why);
	if (err)
		return ota_context(why, err, "the floor");
	keep->floor = raised;
	return OTA_OK;
}
