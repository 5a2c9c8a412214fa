/* The store: the seam between what is decided in memory and what survives a power loss.
 *
 * Rows are typed structs. write() copies a batch into a bounded queue and returns at once; one
 * worker commits batches in the order of their tickets, each whole or not at all; poll() hands
 * back on the caller's thread which tickets are durable. Nothing may be acknowledged or granted
 * to a device before that. Everything is read back once at start with load(), later only page
 * by page with ask(). store_sqlite.c is the real one, store_memory.c that of the tests. */
#pragma once

#include "message.h"

#define STORE_PAGE_MAX 500u /* rows of one answer to ask(); a page of a list command */

enum store_kind {
	STORE_PRODUCT = 0,
	STORE_DEVICE,
	STORE_GROUP,
	STORE_MEMBER,
	STORE_FIRMWARE,
	STORE_RELEASE,
	STORE_UPDATE,
	STORE_REPORT, /* history and event log, append-only */
	STORE_AUDIT,  /* append-only */
	STORE_MANAGER,
	STORE_TOKEN,
	STORE_ROOT,
	STORE_HEAD, /* one row */
	STORE_BLOB,
	STORE_ANSWER, /* idempotency: what a command with this key was answered */
	STORE_KIND_COUNT,
};

/* Texts (const char *) are copied by write(), valid only during a callback, NULL when empty. */

struct store_product { /* key: name */
	char name[NAME_SIZE], default_hardware[NAME_SIZE];
	const char *title;
	bool import_only, second_approval;
	uint64_t created_ms;
};

struct store_device { /* key: id */
	char id[NAME_SIZE], product[NAME_SIZE];
	enum device_status status;
	bool development, updates_disabled;
	char pin[NAME_SIZE]; /* "": none */
	const char *notes;
	char hardware[NAME_SIZE], version[NAME_SIZE]; /* "": never seen */
	struct digest digest;
	uint64_t security_version, floor, root, number, slot_size;
	struct digest previous;
	uint64_t first_ms, seen_ms; /* 0: never connected */
};

struct store_group { /* key: product, name */
	char product[NAME_SIZE], name[NAME_SIZE];
	uint64_t created_ms;
};

struct store_member { /* key: product, group, device */
	char product[NAME_SIZE], group[NAME_SIZE], device[NAME_SIZE];
};

struct store_firmware { /* key: product, version */
	char product[NAME_SIZE], version[NAME_SIZE];
	struct digest digest; /* of the manifest's payload */
	bool development;
	const char *envelope;
	const struct offer_pack *packs;
	uint32_t pack_count;
	uint64_t created_ms;
	bool proven; /* has succeeded on a device */
};

struct store_release { /* key: product, number */
	char product[NAME_SIZE];
	uint64_t number;
	const char *envelope;
	char manager[NAME_SIZE], approver[NAME_SIZE]; /* who released, who approved ("" none) */
	uint32_t state;				      /* enum release_state */
	const char *reason;			      /* of hold, halt, abort; for a person */
	uint32_t wave;				      /* the newest open wave */
	bool fast_now;				      /* the deadline has turned it fast */
	bool reverting;				      /* fleet rollback has begun */
	uint32_t forgiven[DOCUMENT_WAVES_MAX];	      /* failures that a resume accepted */
	uint64_t created_ms, changed_ms, started_ms, wave_ms;
};

struct store_update { /* key: device, product, release */
	char device[NAME_SIZE], product[NAME_SIZE];
	uint64_t release;
	uint32_t attempt;
	uint64_t seq; /* greatest report folded in this attempt */
	enum update_state state;
	uint32_t wave, failures, round, flags; /* see update.h */
	uint64_t done, total;
	uint32_t error; /* number; 0: none */
	enum update_state error_state;
	uint32_t error_detail;
	const char *error_message;
	uint64_t created_ms, changed_ms, due_ms;
};

enum store_event {
	STORE_EVENT_UPDATE =
		0, /* a device's report, or a step that the plugin set itself (seq 0) */
	STORE_EVENT_DEVICE,
	STORE_EVENT_RELEASE,
	STORE_EVENT_FIRMWARE,
	STORE_EVENT_COUNT,
};

struct store_report { /* key: sequence; a second (device, release, attempt, seq ≥ 1) is ignored
		       */
	uint64_t sequence, time_ms; /* broker's clock on receipt */
	enum store_event event;
	char product[NAME_SIZE], device[NAME_SIZE];
	uint64_t release;
	uint32_t attempt;
	uint64_t seq;
	enum update_state state;
	uint64_t at_ms;
	char version[NAME_SIZE];
	struct digest digest;
	uint64_t done, total, fetched;
	const char *reason; /* of deferred; of a release event: its reason */
	uint32_t error, error_detail;
	enum update_state error_state;
	const char *error_message, *error_log;
	/* STORE_EVENT_DEVICE */
	enum device_status status;
	bool online;
	/* STORE_EVENT_RELEASE */
	uint32_t release_state, wave;
	uint32_t counts[UPDATE_STATE_COUNT];
};

struct store_audit { /* key: sequence */
	uint64_t sequence, time_ms;
	const char *who, *from, *what, *product, *object;
	uint32_t decision; /* enum ota_err; 0: allowed */
	const char *why;
	struct digest previous, hash;
};

struct store_manager { /* key: name, product */
	char name[NAME_SIZE], product[NAME_SIZE];
	uint32_t role;
	uint64_t created_ms, revoked_ms; /* 0: in force */
};

struct store_token { /* key: id */
	char id[NAME_SIZE], name[NAME_SIZE], product[NAME_SIZE];
	uint32_t role;
	struct digest secret; /* SHA-256 of the token */
	uint64_t created_ms, expires_ms, revoked_ms;
};

struct store_root { /* key: version */
	uint64_t version;
	const char *envelope;
};

struct store_head {
	const char *envelope;
};

struct store_blob { /* key: sha256 */
	struct digest sha256;
	uint64_t size, created_ms;
	char product[NAME_SIZE];
};

struct store_answer { /* key: manager, key */
	char manager[NAME_SIZE];
	const char *key, *reply;
	uint64_t time_ms;
};

struct store_row {
	enum store_kind kind;
	bool gone; /* delete the row of this key (no effect on report and audit) */
	union {
		struct store_product product;
		struct store_device device;
		struct store_group group;
		struct store_member member;
		struct store_firmware firmware;
		struct store_release release;
		struct store_update update;
		struct store_report report;
		struct store_audit audit;
		struct store_manager manager;
		struct store_token token;
		struct store_root root;
		struct store_head head;
		struct store_blob blob;
		struct store_answer answer;
	};
};

/* A question about history. Members that are "" or 0 do not restrict. */
struct store_query {
	enum store_kind kind; /* STORE_REPORT, STORE_UPDATE or STORE_AUDIT */
	char product[NAME_SIZE], device[NAME_SIZE];
	uint64_t release;
	uint32_t attempt;
	enum update_state state;
	bool logs;	   /* reports: with error_log */
	bool newest_first; /* `after` then counts downwards; 0 starts at the newest */
	uint64_t after;	   /* reports, audit: sequence; updates of a device: release number */
	char after_device[NAME_SIZE]; /* updates of a release: device id */
	uint32_t limit;		      /* 1 … STORE_PAGE_MAX */
};

struct store_page {
	struct store_row *rows;
	uint32_t count;
	bool more;
};

/* Return false to stop the iteration. */
typedef bool (*store_row_fn)(void *ctx, const struct store_row *row);

struct store_poll {
	void *ctx;
	/* In the order of tickets. A batch that failed (disk full) names why; it was not
	 * stored. */
	void (*saved)(void *ctx, uint64_t ticket, enum ota_err err, const struct ota_why *why);
	void (*answered)(void *ctx, uint64_t ticket, const struct store_page *page,
			 enum ota_err err, const struct ota_why *why);
};

struct store {
	void *ctx;
	/* Queues count ≥ 1 rows as one transaction. OTA_BUSY when the queue is full; nothing is
	 * then queued. Tickets count up from 1 and are shared with ask(). */
	enum ota_err (*write)(void *ctx, const struct store_row *rows, size_t count,
			      uint64_t *ret_ticket, struct ota_why *why) OTA_CHECKED;
	/* How many rows the queue takes now. */
	size_t (*room)(void *ctx);
	enum ota_err (*ask)(void *ctx, const struct store_query *query, uint64_t *ret_ticket,
			    struct ota_why *why) OTA_CHECKED;
	/* Hands over what the worker has finished since. Callbacks may call write() and ask().
	 */
	void (*poll)(void *ctx, const struct store_poll *to);
	/* Blocking; at start only. Devices come ordered by id, updates by device then release,
	 * releases by product then number; report and audit by sequence. */
	enum ota_err (*load)(void *ctx, enum store_kind kind, store_row_fn each, void *each_ctx,
			     struct ota_why *why) OTA_CHECKED;
	/* The greatest sequence of any report or audit row; 0 when there is none. Start only.
	 */
	enum ota_err (*last_sequence)(void *ctx, uint64_t *ret_sequence,
				      struct ota_why *why) OTA_CHECKED;
	/* Drops reports before history_ms and error logs before evidence_ms (broker's clock),
	 * but never the last report of a device. Queued like a write. */
	enum ota_err (*prune)(void *ctx, uint64_t history_ms, uint64_t evidence_ms,
			      uint64_t *ret_ticket, struct ota_why *why) OTA_CHECKED;
};

/* Makes *ret own its texts and packs; on failure *ret is untouched. */
enum ota_err store_row_copy(const struct store_row *row, struct store_row *ret,
			    struct ota_why *why) OTA_CHECKED;
void store_row_done(struct store_row *row); /* of one made by store_row_copy() */
void store_page_done(struct store_page *page);
