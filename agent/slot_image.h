/* Slots that are images at paths: what files and raw partitions have in common. A back-end
 * fills the members that differ (room, trim, current, point) and hands the ops out as its own.
 */
#pragma once

#include "slot.h"

struct slot_image {
	struct disk disk;
	struct boot_store store;
	struct slot_part parts[SLOT_PARTS_MAX];
	unsigned part_count;
	uint64_t limit;		/* bytes of an image at most; 0: the room there is */
	enum boot_slot running; /* as of the last look, which is at open and at boot */

	/* The update in hand. */
	struct {
		int file;	   /* of the target while it is being written; -1 */
		enum boot_slot to; /* slot that `file` is */
		uint64_t size;
		uint64_t unsynced;
		bool verified; /* the closed target, since its last write */
	} work[SLOT_PARTS_MAX];

	/* Bytes an image may have at most, when no limit is set. */
	enum ota_err (*capacity)(struct slot_image *image, unsigned part, uint64_t *ret_bytes,
				 struct ota_why *why);
	/* Makes room for `size` bytes in the open target. */
	enum ota_err (*room)(struct slot_image *image, unsigned part, int file, uint64_t size,
			     struct ota_why *why);
	/* Gives the open, synced target its exact size. May be NULL. */
	enum ota_err (*trim)(struct slot_image *image, unsigned part, int file, uint64_t size,
			     struct ota_why *why);
	/* The system's own view of which slot runs; false when it has none. */
	bool (*look)(struct slot_image *image, enum boot_slot *ret_slot);
	/* Points the system at the slot that starts now. May be NULL. */
	enum ota_err (*point)(struct slot_image *image, enum boot_slot slot,
			      struct ota_why *why);
	int open_flags; /* of the target, beside O_RDWR */
};

/* An image of `size` bytes (a struct that begins with slot_image) with its store, which is
 * taken over also on failure, and no parts yet. */
enum ota_err slot_image_new(const struct disk *disk, size_t size,
			    const struct boot_store *store, struct slot_image **ret_image,
			    struct ota_why *why) OTA_CHECKED;
void slot_image_free(struct slot_image *image); /* NULL is fine */
/* Looks which slot runs and hands out the ops, which own the image from then on. */
enum ota_err slot_image_slots(struct slot_image *image, struct slots *ret_slots,
			      struct ota_why *why) OTA_CHECKED;
