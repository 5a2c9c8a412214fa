/* Tables: how the rows of store.h stand in SQLite. One list of columns for each kind makes the
 * schema, the statements, and both directions of the conversion. */
#pragma once

#include "store.h"

#include <sqlite3.h>

#define STORE_TABLE_VERSION 1 /* PRAGMA user_version */

enum store_column_kind {
	COLUMN_NAME = 0, /* char[NAME_SIZE] */
	COLUMN_TEXT,	 /* const char *, NULL when empty */
	COLUMN_U64,
	COLUMN_U32, /* and enums */
	COLUMN_BOOL,
	COLUMN_DIGEST,
	COLUMN_PACKS,  /* a firmware's packs, 72 bytes each */
	COLUMN_COUNTS, /* a release event's counts */
};

struct store_column {
	const char *name;
	enum store_column_kind kind;
	size_t offset; /* in the row's struct */
	bool key;
};

struct store_table {
	const char *name;
	const struct store_column *columns;
	unsigned column_count;
	bool append_only;
	const char *extra; /* more SQL of the schema: indices; NULL: none */
};

extern const struct store_table store_tables[STORE_KIND_COUNT];

/* Appends the SQL. `columns` are bound as ?1 … ?n in order. */
void store_table_create(enum store_kind kind, struct text *sql);
void store_table_insert(enum store_kind kind, struct text *sql);
void store_table_delete(enum store_kind kind, struct text *sql); /* keys bound from ?1 on */
void store_table_columns(enum store_kind kind, struct text *sql);

/* Binds all columns, or the key's only. Texts stay the row's until the statement is reset. */
enum ota_err store_table_bind(sqlite3_stmt *statement, const struct store_row *row,
			      bool key_only, struct ota_why *why) OTA_CHECKED;
/* Fills a row from the current result, whose columns are those of store_table_columns(). Texts
 * and packs live until the statement's next step; `ret_packs` is room for MESSAGE_PACKS_MAX. */
enum ota_err store_table_read(sqlite3_stmt *statement, enum store_kind kind,
			      struct offer_pack *ret_packs, struct store_row *ret_row,
			      struct ota_why *why) OTA_CHECKED;
