/* Slots: the two places that hold a bootable version, behind one seam.
 *
 * A firmware has one or more components; each is a `part` of the slot pair (usually one). One
 * boot state switches all parts together. The order of an update is begin(part, size)…, write…,
 * finish(part)…, verify(part)…, arm, restart, boot, confirm | revert and every step may be
 * repeated after a power cut. begin keeps the old content, so what is already right need not be
 * fetched again. The running slot is never written: begin and write refuse it by the boot
 * state, by the system's own view (mounts, `current` link), and by an exclusive open. arm
 * refuses a target that verify has not passed since the last write. */
#pragma once

#include "bootstate.h"
#include "digest.h"

#define SLOT_PARTS_MAX 8 /* DOCUMENT_COMPONENTS_MAX */
/* Unsynced bytes of an image at most: what a cut can cost. */
#define SLOT_SYNC_BYTES (1u << 20)
#define SLOT_READ_SIZE	(256u << 10)

enum slot_which {
	SLOT_RUNNING = 0,
	SLOT_TARGET, /* the one that does not run */
};

/* Called between blocks of a long verify; false stops it with OTA_BUSY. May be NULL. */
struct slot_watch {
	bool (*go_on)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

struct slots {
	void *ctx;
	/* The part that holds components of this class; false when there is none. */
	bool (*find)(void *ctx, const char *slot_class, unsigned *ret_part);
	/* Bytes an image of the part may have at most. */
	enum ota_err (*capacity)(void *ctx, unsigned part, uint64_t *ret_bytes,
				 struct ota_why *why);
	/* Marks the target unbootable, synced, and makes room. OTA_INSUFFICIENT_STORAGE says
	 * how many bytes are missing; OTA_SLOT_ERROR when the target is in use. */
	enum ota_err (*begin)(void *ctx, unsigned part, uint64_t size, struct ota_why *why);
	/* Into the target, after begin and within its size. At most SLOT_SYNC_BYTES are not yet
	 * on the medium when it returns. */
	enum ota_err (*write)(void *ctx, unsigned part, uint64_t offset, const void *bytes,
			      size_t len, struct ota_why *why);
	/* OTA_SIZE_MISMATCH when it ends before. May come from the cache. */
	enum ota_err (*read)(void *ctx, enum slot_which which, unsigned part, uint64_t offset,
			     void *ret_bytes, size_t len, struct ota_why *why);
	/* All bytes of the part are on the medium when it returns; the image has its exact size
	 * where the back-end knows sizes. */
	enum ota_err (*finish)(void *ctx, unsigned part, struct ota_why *why);
	/* Reads [0, size) back from the medium, past the cache, and compares its SHA-256:
	 * OTA_IMAGE_HASH_MISMATCH, OTA_SIZE_MISMATCH. */
	enum ota_err (*verify)(void *ctx, enum slot_which which, unsigned part, uint64_t size,
			       const struct digest *digest, const struct slot_watch *watch,
			       struct ota_why *why);
	/* Size and SHA-256 of what a slot holds, for an image without a firmware document (the
	 * factory's). Back-ends that do not know sizes use the whole capacity. */
	enum ota_err (*digest)(void *ctx, enum slot_which which, unsigned part,
			       struct digest *ret_digest, uint64_t *ret_size,
			       const struct slot_watch *watch, struct ota_why *why);
	/* One atomic write: the target is tried at the next boot. Every part must have been
	 * verified, by this process, since it was last written. */
	enum ota_err (*arm)(void *ctx, uint32_t tries, struct ota_why *why);
	/* The boot state. A trial that the system's own view says was not started (the link
	 * could not be replaced, the bootloader chose another slot) is given as still armed. */
	enum ota_err (*state)(void *ctx, struct boot_state *ret_state, struct ota_why *why);
	/* The slot that runs, by the system's own view where there is one (link, kernel command
	 * line), else by the boot state when this was opened; boot() moves it. */
	enum boot_slot (*running)(void *ctx);
	/* What the boot selector does: counts the try down, then points at the slot that
	 * starts. Where a bootloader or init script does that, it is called there (`ota-agent
	 * boot-select`), not by the running agent. A device must start something: when the
	 * state cannot be read or the system cannot be pointed elsewhere, it answers OTA_OK
	 * with the slot that ran last, and why->err says what is wrong (why->err is OTA_OK
	 * otherwise). */
	enum ota_err (*boot)(void *ctx, enum boot_slot *ret_slot, struct ota_why *why);
	enum ota_err (*confirm)(void *ctx, struct ota_why *why);
	/* The active slot boots next; takes effect with the restart that the caller then does.
	 */
	enum ota_err (*revert)(void *ctx, struct ota_why *why);
	/* The return was reported. */
	enum ota_err (*settle)(void *ctx, struct ota_why *why);
	/* Path (file, block) of what is to be started or mounted; false when the back-end has
	 * none. */
	bool (*path)(void *ctx, enum boot_slot slot, unsigned part, char *ret_path,
		     size_t size);
	/* Restarts the machine, where the back-end has that right and the agent has not. NULL:
	 * the agent's own restart_command does. */
	enum ota_err (*restart)(void *ctx, struct ota_why *why);
	void (*done)(void *ctx);
};

struct slot_part {
	char slot_class[33];
	char path[BOOT_SLOT_COUNT][DISK_PATH_SIZE];
	char link[DISK_PATH_SIZE]; /* slot_file: names the image that runs; "": no link */
};

/* Image files A and B of each part (made 0755 and of the exact size, at the paths of `parts`;
 * the directories are made too) and a link to the one that runs, replaced by a rename at
 * boot(). The factory's image is put into A. Takes the store over, also on failure. `limit`:
 * bytes of an image at most (0: what the file system has room for). */
enum ota_err slot_file_open(const struct disk *disk, const struct slot_part *parts,
			    unsigned part_count, uint64_t limit, const struct boot_store *store,
			    struct slots *ret_slots, struct ota_why *why) OTA_CHECKED;
/* Raw partitions (or plain files of fixed size, in tests). Takes the store over, also on
 * failure. `running`: the slot that was started, as the bootloader says (kernel command line);
 * NULL: the one that is mounted or held, or else as the boot state says. */
enum ota_err slot_block_open(const struct disk *disk, const struct slot_part *parts,
			     unsigned part_count, const enum boot_slot *running,
			     const struct boot_store *store, struct slots *ret_slots,
			     struct ota_why *why) OTA_CHECKED;
/* A program called with verbs (slot_exec.c describes them); for sub-devices behind a gateway.
 * `timeout_ms` per call. */
enum ota_err slot_exec_open(const char *program, const char *const *slot_classes,
			    unsigned part_count, uint32_t timeout_ms, struct slots *ret_slots,
			    struct ota_why *why) OTA_CHECKED;
/* The partitions of ota-slot, which listens at `path` and has the right to write them; `parts`
 * are those of its configuration. `timeout_ms` without a sign of life. */
enum ota_err slot_remote_open(const char *path, const struct slot_part *parts,
			      unsigned part_count, uint32_t timeout_ms, struct slots *ret_slots,
			      struct ota_why *why) OTA_CHECKED;
void slots_done(struct slots *slots);
