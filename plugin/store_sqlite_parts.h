/* What store_sqlite.c and store_history.c share, and nobody else. */
#pragma once

#include "store_sqlite.h"
#include "store_table.h"

struct chain {
	uint64_t entries;
	struct digest tip;
};

/* The statements around rows, prepared once: reading their text costs as much as a row. */
enum sqlite_frame {
	SQLITE_FRAME_BEGIN = 0,
	SQLITE_FRAME_COMMIT,
	SQLITE_FRAME_ROLLBACK,
	SQLITE_FRAME_SAVEPOINT,
	SQLITE_FRAME_BACK,    /* to the savepoint */
	SQLITE_FRAME_RELEASE, /* the savepoint */
	SQLITE_FRAME_COUNT,
};

struct store_sqlite {
	struct store seam;
	sqlite3 *connection;
	struct worker *worker;
	sqlite3_stmt *insert[STORE_KIND_COUNT], *remove[STORE_KIND_COUNT];
	sqlite3_stmt *frames[SQLITE_FRAME_COUNT];
	struct chain chain, committed; /* the worker's thread */
	/* The caller's thread */
	uint64_t ticket;
	size_t queued_rows, queued_bytes;
	const struct store_poll *poll;
};

/* The statement's failure as an error; "the store cannot <what>: …". */
enum ota_err sqlite_fail(struct store_sqlite *sqlite, struct ota_why *why,
			 const char *what) OTA_CHECKED;
enum ota_err sqlite_prepare(struct store_sqlite *sqlite, const struct text *sql,
			    sqlite3_stmt **ret_statement, struct ota_why *why) OTA_CHECKED;
void sqlite_finalize(sqlite3_stmt *const *statement);
/* How long the audit chain is and where it ends, as the last commit noted it. */
enum ota_err sqlite_read_mark(struct store_sqlite *sqlite, struct chain *ret_chain,
			      struct ota_why *why) OTA_CHECKED;
/* store_history.c: two functions of the seam. */
enum ota_err sqlite_ask(void *ctx, const struct store_query *query, uint64_t *ret_ticket,
			struct ota_why *why) OTA_CHECKED;
enum ota_err sqlite_prune(void *ctx, uint64_t history_ms, uint64_t evidence_ms,
			  uint64_t *ret_ticket, struct ota_why *why) OTA_CHECKED;
