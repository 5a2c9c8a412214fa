/* The journal: where the agent was in the update in hand. A two-copy record (record.h), derived
 * and never trusted: where it disagrees with the boot state the boot state wins, and envelopes
 * and slot content are always checked again. */
#pragma once

#include "digest.h"
#include "record.h"

enum journal_flag {
	JOURNAL_BROKER_WAS_REACHABLE = 1 << 0, /* before the restart into the trial */
	JOURNAL_TRIAL_EXTENDED = 1 << 1,       /* the trial's time was extended once */
	JOURNAL_DEVELOPMENT = 1 << 2,	       /* firmware signed by the development class */
	JOURNAL_REVERT_ASKED = 1 << 3,	/* by the manager, or by the agent with `cause` */
	JOURNAL_DISK_HAD_ROOM = 1 << 4, /* before the restart into the trial */
};

struct journal_entry {
	uint32_t state;	  /* of the agent's state table; 0: idle */
	uint32_t flags;	  /* enum journal_flag */
	uint64_t release; /* the update in hand; 0: none */
	uint32_t attempt;
	uint32_t cause;		   /* enum ota_err of what is being undone */
	uint32_t cause_detail;	   /* errno, OpenSSL or MQTT code */
	uint32_t trial_boots;	   /* starts of the trial version that were seen */
	uint64_t elapsed_ms;	   /* of the attempt, summed over restarts */
	uint64_t done;		   /* bytes of the image in the slot, a hint for reports */
	uint64_t fetched;	   /* bytes of blobs fetched in this attempt */
	uint64_t reverted_release; /* the one that was reverted last: no second automatic try */
	uint32_t reverted_cause;
	uint32_t reverts;	/* of that one, in a row */
	uint64_t boot_id;	/* start of the machine in which the restart was asked for */
	uint32_t restarts;	/* asked for, to get into the trial or out of it */
	uint32_t target;	/* enum boot_slot it is written to */
	struct digest firmware; /* of the manifest's payload */
	struct digest image;	/* of the first component */
	struct digest pack;	/* being fetched */
};

struct journal {
	struct record record;
	struct journal_entry entry; /* as last read or written */
};

/* Opens or makes `journal` in the state directory. A lost journal reads as idle (all zero):
 * the boot state and the envelopes tell what to do; *ret_lost (may be NULL) says so. */
enum ota_err journal_open(struct journal *journal, const struct disk *disk,
			  const char *directory, bool *ret_lost,
			  struct ota_why *why) OTA_CHECKED;
/* Durable when it returns OTA_OK; journal->entry is then *entry. */
enum ota_err journal_write(struct journal *journal, const struct journal_entry *entry,
			   struct ota_why *why) OTA_CHECKED;
void journal_done(struct journal *journal);
