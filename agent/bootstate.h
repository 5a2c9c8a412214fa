/* The boot state: the only truth about what boots. Two slots, one of them active; an update
 * arms the other one for a limited number of tries, and only a confirm makes it the active one.
 *
 *          begin              arm                  select              confirm
 * settled ──────▶ settled, ──────▶ armed, try=B, ──────▶ trial, ──────────▶ settled, active=B
 * active=A        B not            B bootable,   ◀─────  tries-1  revert or
 *                 bootable         tries=3       again   (each)   tries 0 ──▶ reverted,
 * active=A, B not bootable
 *
 * Each arrow is one atomic write of the whole state, so a power cut leaves the state before or
 * after it. The slot that is active stays bootable until another one has been confirmed. */
#pragma once

#include "disk.h"

enum boot_slot {
	BOOT_SLOT_A = 0,
	BOOT_SLOT_B = 1,
	BOOT_SLOT_COUNT,
};
extern const char *const boot_slot_names[]; /* "a", "b" */

enum boot_phase {
	BOOT_SETTLED = 0,
	BOOT_ARMED,    /* `trying` boots at the next start */
	BOOT_TRYING,   /* `trying` was started at least once and is not confirmed */
	BOOT_RETURNED, /* the last trial was given up; `trying` says which slot it was */
	BOOT_PHASE_COUNT,
};
extern const char *const boot_phase_names[]; /* "settled", "armed", "trying", "returned" */

#define BOOT_TRIES_MAX 9 /* one digit in a bootloader's script */

struct boot_state {
	enum boot_phase phase;
	enum boot_slot active; /* confirmed; what boots when nothing is tried */
	enum boot_slot trying; /* armed, trying, returned */
	uint32_t tries;	       /* starts of `trying` that are left */
	bool bootable[BOOT_SLOT_COUNT];
	bool exhausted; /* returned because the tries ran out: a crash loop */
};

/* Where the state is kept: our two-copy record, U-Boot's environment, GRUB's environment block.
 * read: from the medium, every time. write: atomic and durable when it returns OTA_OK; after an
 * error either state may be there. */
struct boot_store {
	void *ctx;
	enum ota_err (*read)(void *ctx, struct boot_state *ret_state,
			     struct ota_why *why) OTA_CHECKED;
	enum ota_err (*write)(void *ctx, const struct boot_state *state,
			      struct ota_why *why) OTA_CHECKED;
	void (*done)(void *ctx);
};

/* A state that was never written, or a record of which no copy is whole, reads as
 * {settled, active = A, only A bootable}: what a device is delivered with. `path` is a file
 * (made when it is not there) or a raw partition, `offset` a multiple of 4096. */
enum ota_err bootstate_record_open(const struct disk *disk, const char *path, uint64_t offset,
				   struct boot_store *ret_store,
				   struct ota_why *why) OTA_CHECKED;
/* U-Boot's environment through libubootenv and /etc/fw_env.config (`config`). Its redundant
 * form is required: a single copy does not survive a power cut. OTA_BOOTLOADER_ERROR when the
 * agent was built without libubootenv. */
enum ota_err bootstate_uboot_open(const char *config, struct boot_store *ret_store,
				  struct ota_why *why) OTA_CHECKED;
/* GRUB's environment block (1024 bytes, `path` usually /boot/grub/grubenv), which must exist.
 * Variables of others in it are kept. */
enum ota_err bootstate_grub_open(const struct disk *disk, const char *path,
				 struct boot_store *ret_store, struct ota_why *why) OTA_CHECKED;
void bootstate_done(struct boot_store *store);

/* What a device is delivered with: settled, active = A, only A bootable. */
extern const struct boot_state bootstate_factory;
/* False for a state that no arrow leads to; it is never acted upon. */
bool bootstate_is_sound(const struct boot_state *state);

/* The state in words, as bootloader scripts and programs read it:
 *   <phase> <active> <trying> <tries> <bootable a> <bootable b> <exhausted>
 * "trying a b 2 1 1 0"; the last three are 0 or 1. */
#define BOOT_TEXT_SIZE 32
void bootstate_to_text(const struct boot_state *state, char ret_text[BOOT_TEXT_SIZE]);
/* False for any other text. */
bool bootstate_from_text(const char *text, struct boot_state *ret_state);

/* The slot that runs now, as far as the boot state knows. */
enum boot_slot bootstate_running(const struct boot_state *state);
/* The slot that an update may write: the one that does not run. */
enum boot_slot bootstate_target(const struct boot_state *state);

/* The arrows above; each reads, checks that it is allowed and writes. What is done already is
 * OTA_OK and writes nothing; what is not allowed is OTA_BOOTLOADER_ERROR. */

/* Takes the bootable flag (and a pending arm) from the slot that is about to be written.
 * Refuses the active slot, and any slot while a trial runs. */
enum ota_err bootstate_begin(const struct boot_store *store, enum boot_slot target,
			     struct ota_why *why) OTA_CHECKED;
/* One write: bootable, trying = target, tries (1 … BOOT_TRIES_MAX). */
enum ota_err bootstate_arm(const struct boot_store *store, enum boot_slot target,
			   uint32_t tries, struct ota_why *why) OTA_CHECKED;
/* What a boot selector does: decides the slot to start, and counts the try down, durably,
 * before it returns. When the state cannot be written the active slot is chosen: an uncounted
 * try could go on for ever. */
enum ota_err bootstate_select(const struct boot_store *store, enum boot_slot *ret_slot,
			      struct ota_why *why) OTA_CHECKED;
/* `running`, which is on trial, becomes the active slot. */
enum ota_err bootstate_confirm(const struct boot_store *store, enum boot_slot running,
			       struct ota_why *why) OTA_CHECKED;
/* Gives up an arm or a trial: the active slot boots next, the tried one is not bootable. */
enum ota_err bootstate_revert(const struct boot_store *store, struct ota_why *why) OTA_CHECKED;
/* After the return was reported: returned → settled. */
enum ota_err bootstate_settle(const struct boot_store *store, struct ota_why *why) OTA_CHECKED;
