/* What the agent keeps beside the journal: envelopes in their exact bytes, the floors that
 * never fall, reports until they are acknowledged, and the evidence of a version that failed.
 *
 * All in one directory that both versions see (it must not lie in a slot). Single threaded. */
#pragma once

#include "envelope.h"
#include "record.h"

#define KEEP_REPORTS_MAX  256	       /* unacknowledged reports; the design's bound */
#define KEEP_REPORT_MAX	  (32u << 10)  /* bytes of one, MESSAGE_REPORT_MAX */
#define KEEP_OFFER_MAX	  (160u << 10) /* MESSAGE_OFFER_MAX */
#define KEEP_EVIDENCE_MAX (32u << 10)  /* a log of ≤ 16 KiB and what goes with it */
#define KEEP_SEQ_BLOCK	  64	       /* report numbers reserved with one write */
/* Room that is kept for the one report that tells of a full disk. */
#define KEEP_RESERVE_SIZE (KEEP_REPORT_MAX + 8192)

enum keep_item {
	KEEP_ROOT = 0,	 /* newest root envelope */
	KEEP_FIRMWARE,	 /* of the update in hand */
	KEEP_RELEASE,	 /* of the update in hand */
	KEEP_OFFER,	 /* the offer as it came: packs and sources (≤ 160 KiB) */
	KEEP_FIRMWARE_A, /* firmware envelope of what slot A holds; none: the factory's */
	KEEP_FIRMWARE_B,
	KEEP_FACTORY,  /* what the device was delivered with: digest, size, version */
	KEEP_HEAD,     /* newest head envelope */
	KEEP_EVIDENCE, /* of the failed version, for the version that reports it */
	KEEP_ITEM_COUNT,
};

enum keep_report_kind {
	KEEP_PROGRESS = 0, /* dropped first, oldest first */
	KEEP_STEP,	   /* dropped when there is no progress left */
	KEEP_FINAL,	   /* finals and errors: never dropped */
};

struct keep_report {
	uint64_t seq;
	enum keep_report_kind kind;
};

struct keep_floor {
	uint64_t security_version;
	uint64_t number; /* highest release number accepted */
	uint64_t time;	 /* latest signed time seen, Unix seconds */
};

struct keep {
	const struct disk *disk;
	char directory[DISK_PATH_SIZE];
	struct record floor_record, seq_record;
	struct keep_floor floor;
	uint64_t next_seq, reserved_seq;
	struct keep_report reports[KEEP_REPORTS_MAX]; /* ascending seq */
	unsigned report_count;
	uint64_t dropped; /* reports dropped for want of room since open */
	bool has_reserve;
	bool floor_lost; /* both copies of the floor were unreadable: it starts at 0 again */
};

/* Opens or makes the directory (0700) and reads what is there; leftovers of a cut are removed.
 */
enum ota_err keep_open(struct keep *keep, const struct disk *disk, const char *directory,
		       struct ota_why *why) OTA_CHECKED;
void keep_done(struct keep *keep);

/* Atomic replace; durable when it returns. */
enum ota_err keep_put(struct keep *keep, enum keep_item item, const void *bytes, size_t len,
		      struct ota_why *why) OTA_CHECKED;
/* The caller frees. OTA_NOT_FOUND when there is none. */
enum ota_err keep_get(struct keep *keep, enum keep_item item, char **ret_bytes, size_t *ret_len,
		      struct ota_why *why) OTA_CHECKED;
/* Fine when there is none. */
enum ota_err keep_remove(struct keep *keep, enum keep_item item,
			 struct ota_why *why) OTA_CHECKED;

/* Raises each member that is greater than what is recorded; never lowers one. Writes only when
 * something rises. */
enum ota_err keep_floor_raise(struct keep *keep, const struct keep_floor *to,
			      struct ota_why *why) OTA_CHECKED;

/* The number the next report must carry; each is given out once, also across restarts and power
 * cuts (numbers may be skipped, never reused). */
enum ota_err keep_report_seq(struct keep *keep, uint64_t *ret_seq,
			     struct ota_why *why) OTA_CHECKED;
/* Stores the payload of a report, to be sent until it is acknowledged. `seq` must come from
 * keep_report_seq() and be greater than all before. A full queue drops the oldest progress,
 * then the oldest step; when only finals are left, a progress or step is dropped itself
 * (OTA_OK) and a final is OTA_INSUFFICIENT_STORAGE. On a full disk a final takes the room
 * that was reserved for it. */
enum ota_err keep_report_add(struct keep *keep, uint64_t seq, enum keep_report_kind kind,
			     const char *payload, size_t len, struct ota_why *why) OTA_CHECKED;
/* keep->reports[i]; the caller frees. */
enum ota_err keep_report_read(struct keep *keep, unsigned i, char **ret_payload,
			      size_t *ret_len, struct ota_why *why) OTA_CHECKED;
/* Forgets acknowledged reports; unknown numbers are fine. */
enum ota_err keep_report_ack(struct keep *keep, const uint64_t *seqs, unsigned count,
			     struct ota_why *why) OTA_CHECKED;
