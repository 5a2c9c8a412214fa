/* Raw partitions A and B of each part. The partition is larger than the image as a rule; bytes
 * behind the image stay what they were and are never part of a digest. */
#include "slot_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct block_image {
	struct slot_image image; /* first: the ops get its address */
	bool started_is_known;
	enum boot_slot started;
};

static enum ota_err block_size(struct slot_image *image, const char *path, uint64_t *ret_size,
			       struct ota_why *why)
{
	const struct disk *disk = &image->disk;
	int file = disk->open(disk->ctx, path, O_RDONLY, 0);
	int got = file < 0 ? file : disk->size(disk->ctx, file, ret_size);

	if (file >= 0)
		disk->close(disk->ctx, file);
	if (got < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -got, "the slot '%s'", path);
	return OTA_OK;
}

static enum ota_err block_capacity(struct slot_image *image, unsigned part, uint64_t *ret_bytes,
				   struct ota_why *why)
{
	uint64_t size[BOOT_SLOT_COUNT];

	for (unsigned slot = 0; slot < BOOT_SLOT_COUNT; slot++) {
		enum ota_err err =
			block_size(image, image->parts[part].path[slot], &size[slot], why);
		if (err)
			return err;
	}
	*ret_bytes =
		size[BOOT_SLOT_A] < size[BOOT_SLOT_B] ? size[BOOT_SLOT_A] : size[BOOT_SLOT_B];
	return OTA_OK;
}

static enum ota_err block_room(struct slot_image *image, unsigned part, int file, uint64_t size,
			       struct ota_why *why)
{
	uint64_t there;
	int got = image->disk.size(image->disk.ctx, file, &there);

	(void)part;
	if (got < 0)
		return ota_fail_errno(why, OTA_SLOT_ERROR, -got, "its size");
	if (size > there)
		return ota_fail_errno(why, OTA_INSUFFICIENT_STORAGE, ENOSPC,
				      "%llu bytes are missing: the image has %llu, the "
				      "partition %llu",
				      (unsigned long long)(size - there),
				      (unsigned long long)size, (unsigned long long)there);
	return OTA_OK;
}

static bool block_look(struct slot_image *image, enum boot_slot *ret_slot)
{
	const struct block_image *blocks = (const struct block_image *)image;

	if (blocks->started_is_known)
		*ret_slot = blocks->started;
	return blocks->started_is_known;
}

static enum ota_err block_point(struct slot_image *image, enum boot_slot slot,
				struct ota_why *why)
{
	struct block_image *blocks = (struct block_image *)image;

	(void)why;
	/* boot() is called by the selector itself: what it chooses is what is started. */
	blocks->started = slot;
	return OTA_OK;
}

/* Nobody said what was started: the one of the two that the system uses, if it uses one of
 * them. Asked once, before anything here holds a partition itself. */
static void block_find_started(struct block_image *blocks)
{
	const struct disk *disk = &blocks->image.disk;
	char how[128];
	bool used[BOOT_SLOT_COUNT];

	for (unsigned slot = 0; slot < BOOT_SLOT_COUNT; slot++)
		used[slot] = disk->in_use(disk->ctx, blocks->image.parts[0].path[slot], how,
					  sizeof(how)) > 0;
	blocks->started_is_known = used[BOOT_SLOT_A] != used[BOOT_SLOT_B];
	blocks->started = used[BOOT_SLOT_B] ? BOOT_SLOT_B : BOOT_SLOT_A;
}

enum ota_err slot_block_open(const struct disk *disk, const struct slot_part *parts,
			     unsigned part_count, const enum boot_slot *running,
			     const struct boot_store *store, struct slots *ret_slots,
			     struct ota_why *why)
{
	struct slot_image *image;
	enum ota_err err = slot_image_new(disk, sizeof(struct block_image), store, &image, why);

	if (err)
		return err;
	struct block_image *blocks = (struct block_image *)image;
	image->open_flags = O_EXCL; /* the kernel then keeps mounts away from the device */
	image->capacity = block_capacity;
	image->room = block_room;
	image->look = block_look;
	image->point = block_point;
	blocks->started_is_known = running != NULL;
	if (running)
		blocks->started = *running;
	if (part_count < 1 || part_count > SLOT_PARTS_MAX)
		err = ota_fail(why, OTA_SLOT_ERROR, "%u parts, 1 to %u are allowed", part_count,
			       SLOT_PARTS_MAX);
	for (unsigned part = 0; !err && part < part_count; part++) {
		uint64_t size;
		image->parts[part] = parts[part];
		image->part_count = part + 1;
		err = block_capacity(image, part, &size, why);
	}
	if (!err && !running)
		block_find_started(blocks);
	if (!err)
		err = slot_image_slots(image, ret_slots, why);
	if (err)
		slot_image_free(image);
	return err;
}
