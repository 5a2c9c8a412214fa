/* The store on SQLite: the embedded default of store.h. One connection (WAL, synchronous FULL,
 * exclusive), used by the worker's thread alone once the worker runs. */
#pragma once

#include "store.h"
#include "worker.h"

#define STORE_SQLITE_ROWS_MAX  65536u	   /* queued and not committed */
#define STORE_SQLITE_BYTES_MAX (64u << 20) /* of their texts: what an attacker may fill */

struct store_sqlite; /* opaque */

/* Opens or makes `<directory>/store.db` and gives the worker its transaction. OTA_CONFLICT when
 * another process holds it or a newer plugin wrote it. */
enum ota_err store_sqlite_open(const char *directory, struct worker *worker,
			       struct store_sqlite **ret_store,
			       struct ota_why *why) OTA_CHECKED;
/* After worker_free(). NULL is fine. */
void store_sqlite_close(struct store_sqlite *sqlite);
struct store *store_sqlite_store(struct store_sqlite *sqlite);

/* What checking the audit chain found. */
struct store_audit_state {
	uint64_t entries, first_bad; /* 0: none */
	struct digest tip;
	const char *fault; /* NULL: intact */
};
typedef void (*store_audit_fn)(void *ctx, const struct store_audit_state *state,
			       enum ota_err err, const struct ota_why *why);
/* Walks the whole chain on the worker's thread, some thousand rows between other work; `answer`
 * is called by store->poll(). entries_then and tip_then (NULL, 0: none) are from an earlier
 * answer. */
enum ota_err store_sqlite_verify(struct store_sqlite *sqlite, uint64_t entries_then,
				 const struct digest *tip_then, store_audit_fn answer,
				 void *ctx, struct ota_why *why) OTA_CHECKED;

uint64_t store_sqlite_queued(const struct store_sqlite *sqlite); /* rows */
