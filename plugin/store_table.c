#include "store_table.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define COLUMN(type, kind, member)                                                             \
	{                                                                                      \
#		member, kind, offsetof(struct type, member), false                            \
	}
#define KEY(type, kind, member)                                                                \
	{                                                                                      \
#		member, kind, offsetof(struct type, member), true                             \
	}

static const struct store_column product_columns[] = {
	KEY(store_product, COLUMN_NAME, name),
	COLUMN(store_product, COLUMN_NAME, default_hardware),
	COLUMN(store_product, COLUMN_TEXT, title),
	COLUMN(store_product, COLUMN_BOOL, import_only),
	COLUMN(store_product, COLUMN_BOOL, second_approval),
	COLUMN(store_product, COLUMN_U64, created_ms),
};

static const struct store_column device_columns[] = {
	KEY(store_device, COLUMN_NAME, id),
	COLUMN(store_device, COLUMN_NAME, product),
	COLUMN(store_device, COLUMN_U32, status),
	COLUMN(store_device, COLUMN_BOOL, development),
	COLUMN(store_device, COLUMN_BOOL, updates_disabled),
	COLUMN(store_device, COLUMN_NAME, pin),
	COLUMN(store_device, COLUMN_TEXT, notes),
	COLUMN(store_device, COLUMN_NAME, hardware),
	COLUMN(store_device, COLUMN_NAME, version),
	COLUMN(store_device, COLUMN_DIGEST, digest),
	COLUMN(store_device, COLUMN_U64, security_version),
	COLUMN(store_device, COLUMN_U64, floor),
	COLUMN(store_device, COLUMN_U64, root),
	COLUMN(store_device, COLUMN_U64, number),
	COLUMN(store_device, COLUMN_U64, slot_size),
	COLUMN(store_device, COLUMN_DIGEST, previous),
	COLUMN(store_device, COLUMN_U64, first_ms),
	COLUMN(store_device, COLUMN_U64, seen_ms),
};

static const struct store_column group_columns[] = {
	KEY(store_group, COLUMN_NAME, product),
	KEY(store_group, COLUMN_NAME, name),
	COLUMN(store_group, COLUMN_U64, created_ms),
};

static const struct store_column member_columns[] = {
	KEY(store_member, COLUMN_NAME, product),
	KEY(store_member, COLUMN_NAME, group),
	KEY(store_member, COLUMN_NAME, device),
};

static const struct store_column firmware_columns[] = {
	KEY(store_firmware, COLUMN_NAME, product),
	KEY(store_firmware, COLUMN_NAME, version),
	COLUMN(store_firmware, COLUMN_DIGEST, digest),
	COLUMN(store_firmware, COLUMN_BOOL, development),
	COLUMN(store_firmware, COLUMN_TEXT, envelope),
	COLUMN(store_firmware, COLUMN_PACKS, packs),
	COLUMN(store_firmware, COLUMN_U64, created_ms),
	COLUMN(store_firmware, COLUMN_BOOL, proven),
};

static const struct store_column release_columns[] = {
	KEY(store_release, COLUMN_NAME, product),
	KEY(store_release, COLUMN_U64, number),
	COLUMN(store_release, COLUMN_TEXT, envelope),
	COLUMN(store_release, COLUMN_NAME, manager),
	COLUMN(store_release, COLUMN_NAME, approver),
	COLUMN(store_release, COLUMN_U32, state),
	COLUMN(store_release, COLUMN_TEXT, reason),
	COLUMN(store_release, COLUMN_U32, wave),
	COLUMN(store_release, COLUMN_BOOL, fast_now),
	COLUMN(store_release, COLUMN_BOOL, reverting),
	COLUMN(store_release, COLUMN_U64, created_ms),
	COLUMN(store_release, COLUMN_U64, changed_ms),
	COLUMN(store_release, COLUMN_U64, started_ms),
	COLUMN(store_release, COLUMN_U64, wave_ms),
};

static const struct store_column update_columns[] = {
	KEY(store_update, COLUMN_NAME, device),
	KEY(store_update, COLUMN_NAME, product),
	KEY(store_update, COLUMN_U64, release),
	COLUMN(store_update, COLUMN_U32, attempt),
	COLUMN(store_update, COLUMN_U64, seq),
	COLUMN(store_update, COLUMN_U32, state),
	COLUMN(store_update, COLUMN_U32, wave),
	COLUMN(store_update, COLUMN_U32, failures),
	COLUMN(store_update, COLUMN_U32, round),
	COLUMN(store_update, COLUMN_U32, flags),
	COLUMN(store_update, COLUMN_U64, done),
	COLUMN(store_update, COLUMN_U64, total),
	COLUMN(store_update, COLUMN_U32, error),
	COLUMN(store_update, COLUMN_U32, error_state),
	COLUMN(store_update, COLUMN_U32, error_detail),
	COLUMN(store_update, COLUMN_TEXT, error_message),
	COLUMN(store_update, COLUMN_U64, created_ms),
	COLUMN(store_update, COLUMN_U64, changed_ms),
	COLUMN(store_update, COLUMN_U64, due_ms),
};

static const struct store_column report_columns[] = {
	KEY(store_report, COLUMN_U64, sequence),
	COLUMN(store_report, COLUMN_U64, time_ms),
	COLUMN(store_report, COLUMN_U32, event),
	COLUMN(store_report, COLUMN_NAME, product),
	COLUMN(store_report, COLUMN_NAME, device),
	COLUMN(store_report, COLUMN_U64, release),
	COLUMN(store_report, COLUMN_U32, attempt),
	COLUMN(store_report, COLUMN_U64, seq),
	COLUMN(store_report, COLUMN_U32, state),
	COLUMN(store_report, COLUMN_U64, at_ms),
	COLUMN(store_report, COLUMN_NAME, version),
	COLUMN(store_report, COLUMN_DIGEST, digest),
	COLUMN(store_report, COLUMN_U64, done),
	COLUMN(store_report, COLUMN_U64, total),
	COLUMN(store_report, COLUMN_U64, fetched),
	COLUMN(store_report, COLUMN_TEXT, reason),
	COLUMN(store_report, COLUMN_U32, error),
	COLUMN(store_report, COLUMN_U32, error_detail),
	COLUMN(store_report, COLUMN_U32, error_state),
	COLUMN(store_report, COLUMN_TEXT, error_message),
	COLUMN(store_report, COLUMN_TEXT, error_log),
	COLUMN(store_report, COLUMN_U32, status),
	COLUMN(store_report, COLUMN_BOOL, online),
	COLUMN(store_report, COLUMN_U32, release_state),
	COLUMN(store_report, COLUMN_U32, wave),
	COLUMN(store_report, COLUMN_COUNTS, counts),
};

static const struct store_column audit_columns[] = {
	KEY(store_audit, COLUMN_U64, sequence),	  COLUMN(store_audit, COLUMN_U64, time_ms),
	COLUMN(store_audit, COLUMN_TEXT, who),	  COLUMN(store_audit, COLUMN_TEXT, from),
	COLUMN(store_audit, COLUMN_TEXT, what),	  COLUMN(store_audit, COLUMN_TEXT, product),
	COLUMN(store_audit, COLUMN_TEXT, object), COLUMN(store_audit, COLUMN_U32, decision),
	COLUMN(store_audit, COLUMN_TEXT, why),	  COLUMN(store_audit, COLUMN_DIGEST, previous),
	COLUMN(store_audit, COLUMN_DIGEST, hash),
};

static const struct store_column manager_columns[] = {
	KEY(store_manager, COLUMN_NAME, name),
	KEY(store_manager, COLUMN_NAME, product),
	COLUMN(store_manager, COLUMN_U32, role),
	COLUMN(store_manager, COLUMN_U64, created_ms),
	COLUMN(store_manager, COLUMN_U64, revoked_ms),
};

static const struct store_column token_columns[] = {
	KEY(store_token, COLUMN_NAME, id),
	COLUMN(store_token, COLUMN_NAME, name),
	COLUMN(store_token, COLUMN_NAME, product),
	COLUMN(store_token, COLUMN_U32, role),
	COLUMN(store_token, COLUMN_DIGEST, secret),
	COLUMN(store_token, COLUMN_U64, created_ms),
	COLUMN(store_token, COLUMN_U64, expires_ms),
	COLUMN(store_token, COLUMN_U64, revoked_ms),
};

static const struct store_column root_columns[] = {
	KEY(store_root, COLUMN_U64, version),
	COLUMN(store_root, COLUMN_TEXT, envelope),
};

static const struct store_column head_columns[] = {
	COLUMN(store_head, COLUMN_TEXT, envelope),
};

static const struct store_column blob_columns[] = {
	KEY(store_blob, COLUMN_DIGEST, sha256),
	COLUMN(store_blob, COLUMN_U64, size),
	COLUMN(store_blob, COLUMN_U64, created_ms),
	COLUMN(store_blob, COLUMN_NAME, product),
};

static const struct store_column answer_columns[] = {
	KEY(store_answer, COLUMN_NAME, manager),
	KEY(store_answer, COLUMN_TEXT, key),
	COLUMN(store_answer, COLUMN_TEXT, reply),
	COLUMN(store_answer, COLUMN_U64, time_ms),
};

const struct store_table store_tables[STORE_KIND_COUNT] = {
	[STORE_PRODUCT] = {"product", product_columns, COUNT(product_columns), false, NULL},
	[STORE_DEVICE] = {"device", device_columns, COUNT(device_columns), false, NULL},
	[STORE_GROUP] = {"group", group_columns, COUNT(group_columns), false, NULL},
	[STORE_MEMBER] = {"member", member_columns, COUNT(member_columns), false, NULL},
	[STORE_FIRMWARE] = {"firmware", firmware_columns, COUNT(firmware_columns), false, NULL},
	[STORE_RELEASE] = {"release", release_columns, COUNT(release_columns), false, NULL},
	[STORE_UPDATE] = {"update", update_columns, COUNT(update_columns), false,
			  "CREATE INDEX update_release ON \"update\""
			  "(product, release, device);"},
	[STORE_REPORT] = {"report", report_columns, COUNT(report_columns), true,
			  /* The same report sent again is one report. */
			  "CREATE UNIQUE INDEX report_seq ON report"
			  "(device, seq, release, attempt) WHERE seq >= 1;"
			  "CREATE INDEX report_device ON report(device, sequence);"
			  "CREATE INDEX report_product ON report(product, sequence);"},
	[STORE_AUDIT] = {"audit", audit_columns, COUNT(audit_columns), true, NULL},
	[STORE_MANAGER] = {"manager", manager_columns, COUNT(manager_columns), false, NULL},
	[STORE_TOKEN] = {"token", token_columns, COUNT(token_columns), false, NULL},
	[STORE_ROOT] = {"root", root_columns, COUNT(root_columns), false, NULL},
	[STORE_HEAD] = {"head", head_columns, COUNT(head_columns), false, NULL},
	[STORE_BLOB] = {"blob", blob_columns, COUNT(blob_columns), false, NULL},
	[STORE_ANSWER] = {"answer", answer_columns, COUNT(answer_columns), false, NULL},
};

static const char *const column_types[] = {
	[COLUMN_NAME] = "TEXT NOT NULL",
	[COLUMN_TEXT] = "TEXT",
	[COLUMN_U64] = "INTEGER NOT NULL",
	[COLUMN_U32] = "INTEGER NOT NULL",
	[COLUMN_BOOL] = "INTEGER NOT NULL",
	[COLUMN_DIGEST] = "BLOB",
	[COLUMN_PACKS] = "BLOB",
	[COLUMN_COUNTS] = "BLOB",
};

/* A single integer key is the table's own order; anything else is an ordinary primary key. */
static unsigned key_count(const struct store_table *table)
{
	unsigned count = 0;

	for (unsigned i = 0; i < table->column_count; i++)
		count += table->columns[i].key;
	return count;
}

void store_table_create(enum store_kind kind, struct text *sql)
{
	const struct store_table *table = &store_tables[kind];
	bool rowid = table->columns[0].kind == COLUMN_U64 && key_count(table) == 1;
	const char *comma = "";

	text_printf(sql, "CREATE TABLE \"%s\" (", table->name);
	if (key_count(table) == 0)
		text_put(sql, "one INTEGER PRIMARY KEY CHECK (one = 1) DEFAULT 1, ");
	for (unsigned i = 0; i < table->column_count; i++) {
		text_printf(sql, "%s\"%s\" %s", comma, table->columns[i].name,
			    rowid && i == 0 ? "INTEGER PRIMARY KEY"
					    : column_types[table->columns[i].kind]);
		comma = ", ";
	}
	if (!rowid && key_count(table) > 0) {
		text_put(sql, ", PRIMARY KEY (");
		comma = "";
		for (unsigned i = 0; i < table->column_count; i++)
			if (table->columns[i].key) {
				text_printf(sql, "%s\"%s\"", comma, table->columns[i].name);
				comma = ", ";
			}
		text_put(sql, ")");
	}
	text_printf(sql, ")%s;", !rowid && key_count(table) > 0 ? " WITHOUT ROWID" : "");
	if (table->extra)
		text_put(sql, table->extra);
}

void store_table_columns(enum store_kind kind, struct text *sql)
{
	const struct store_table *table = &store_tables[kind];

	for (unsigned i = 0; i < table->column_count; i++)
		text_printf(sql, "%s\"%s\"", i ? ", " : "", table->columns[i].name);
}

void store_table_insert(enum store_kind kind, struct text *sql)
{
	const struct store_table *table = &store_tables[kind];

	/* A report that is there already is left alone; an audit row may never be there. */
	text_printf(sql, "INSERT %sINTO \"%s\" (",
		    kind == STORE_REPORT  ? "OR IGNORE "
		    : kind == STORE_AUDIT ? ""
					  : "OR REPLACE ",
		    table->name);
	if (key_count(table) == 0)
		text_put(sql, "one, ");
	store_table_columns(kind, sql);
	text_printf(sql, ") VALUES (%s", key_count(table) == 0 ? "1, " : "");
	for (unsigned i = 0; i < table->column_count; i++)
		text_printf(sql, "%s?%u", i ? ", " : "", i + 1);
	text_put(sql, ")");
}

void store_table_delete(enum store_kind kind, struct text *sql)
{
	const struct store_table *table = &store_tables[kind];
	unsigned bound = 0;

	text_printf(sql, "DELETE FROM \"%s\"", table->name);
	for (unsigned i = 0; i < table->column_count; i++)
		if (table->columns[i].key) {
			bound++;
			text_printf(sql, "%s \"%s\" = ?%u", bound == 1 ? " WHERE" : " AND",
				    table->columns[i].name, bound);
		}
}

static int bind_text(sqlite3_stmt *statement, int place, const char *text)
{
	return text ? sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC)
		    : sqlite3_bind_null(statement, place);
}

static int bind_digest(sqlite3_stmt *statement, int place, const struct digest *digest,
		       bool key)
{
	if (digest_is_zero(digest) && !key)
		return sqlite3_bind_null(statement, place);
	return sqlite3_bind_blob(statement, place, digest->bytes, DIGEST_SIZE, SQLITE_STATIC);
}

#define PACK_ROW_SIZE (2 * DIGEST_SIZE + 8)

static int bind_packs(sqlite3_stmt *statement, int place, const struct store_firmware *firmware)
{
	uint8_t bytes[MESSAGE_PACKS_MAX * PACK_ROW_SIZE];
	uint32_t count = firmware->pack_count < MESSAGE_PACKS_MAX ? firmware->pack_count
								  : MESSAGE_PACKS_MAX;

	for (uint32_t i = 0; i < count; i++) {
		uint8_t *at = bytes + i * PACK_ROW_SIZE;

		memcpy(at, firmware->packs[i].sha256.bytes, DIGEST_SIZE);
		memcpy(at + DIGEST_SIZE, firmware->packs[i].base.bytes, DIGEST_SIZE);
		for (unsigned b = 0; b < 8; b++)
			at[2 * DIGEST_SIZE + b] =
				(uint8_t)(firmware->packs[i].size >> (56 - 8 * b));
	}
	return sqlite3_bind_blob(statement, place, bytes, (int)(count * PACK_ROW_SIZE),
				 SQLITE_TRANSIENT);
}

static int bind_counts(sqlite3_stmt *statement, int place, const uint32_t *counts)
{
	static const uint32_t none[UPDATE_STATE_COUNT];

	if (memcmp(counts, none, sizeof(none)) == 0)
		return sqlite3_bind_null(statement, place);
	return sqlite3_bind_blob(statement, place, counts, sizeof(none), SQLITE_STATIC);
}

static int bind_column(sqlite3_stmt *statement, int place, const struct store_column *column,
		       const struct store_row *row)
{
	const void *at = (const char *)&row->product + column->offset;

	switch (column->kind) {
	case COLUMN_NAME:
		return bind_text(statement, place, at);
	case COLUMN_TEXT:
		return bind_text(statement, place, *(const char *const *)at);
	case COLUMN_U64:
		return sqlite3_bind_int64(statement, place,
					  (sqlite3_int64) * (const uint64_t *)at);
	case COLUMN_U32:
		return sqlite3_bind_int64(statement, place, *(const uint32_t *)at);
	case COLUMN_BOOL:
		return sqlite3_bind_int(statement, place, *(const bool *)at);
	case COLUMN_DIGEST:
		return bind_digest(statement, place, at, column->key);
	case COLUMN_PACKS:
		return bind_packs(statement, place, &row->firmware);
	case COLUMN_COUNTS:
		return bind_counts(statement, place, at);
	}
	return SQLITE_MISUSE;
}

enum ota_err store_table_bind(sqlite3_stmt *statement, const struct store_row *row,
			      bool key_only, struct ota_why *why)
{
	const struct store_table *table = &store_tables[row->kind];
	int place = 0;

	for (unsigned i = 0; i < table->column_count; i++) {
		if (key_only && !table->columns[i].key)
			continue;
		place++;
		if (bind_column(statement, place, &table->columns[i], row) != SQLITE_OK)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "cannot bind %s.%s",
					table->name, table->columns[i].name);
	}
	return OTA_OK;
}

static bool read_packs(sqlite3_stmt *statement, int place, struct offer_pack *packs,
		       struct store_firmware *firmware)
{
	const uint8_t *bytes = sqlite3_column_blob(statement, place);
	size_t len = (size_t)sqlite3_column_bytes(statement, place);

	if (len % PACK_ROW_SIZE || len / PACK_ROW_SIZE > MESSAGE_PACKS_MAX)
		return false;
	firmware->pack_count = (uint32_t)(len / PACK_ROW_SIZE);
	firmware->packs = packs;
	for (uint32_t i = 0; i < firmware->pack_count; i++) {
		const uint8_t *at = bytes + i * PACK_ROW_SIZE;

		packs[i] = (struct offer_pack){0};
		memcpy(packs[i].sha256.bytes, at, DIGEST_SIZE);
		memcpy(packs[i].base.bytes, at + DIGEST_SIZE, DIGEST_SIZE);
		for (unsigned b = 0; b < 8; b++)
			packs[i].size = packs[i].size << 8 | at[2 * DIGEST_SIZE + b];
	}
	return true;
}

/* Copies a blob of exactly this size; NULL leaves zeros. */
static bool read_exactly(sqlite3_stmt *statement, int place, void *to, int size)
{
	if (sqlite3_column_type(statement, place) == SQLITE_NULL)
		return true;
	if (sqlite3_column_bytes(statement, place) != size)
		return false;
	memcpy(to, sqlite3_column_blob(statement, place), (size_t)size);
	return true;
}

static bool read_column(sqlite3_stmt *statement, int place, const struct store_column *column,
			struct offer_pack *packs, struct store_row *row)
{
	void *at = (char *)&row->product + column->offset;
	const char *text;

	switch (column->kind) {
	case COLUMN_NAME:
		text = (const char *)sqlite3_column_text(statement, place);
		return text_copy(at, NAME_SIZE, text ? text : "");
	case COLUMN_TEXT:
		*(const char **)at = (const char *)sqlite3_column_text(statement, place);
		return true;
	case COLUMN_U64:
		*(uint64_t *)at = (uint64_t)sqlite3_column_int64(statement, place);
		return true;
	case COLUMN_U32:
		*(uint32_t *)at = (uint32_t)sqlite3_column_int64(statement, place);
		return true;
	case COLUMN_BOOL:
		*(bool *)at = sqlite3_column_int(statement, place) != 0;
		return true;
	case COLUMN_DIGEST:
		return read_exactly(statement, place, at, DIGEST_SIZE);
	case COLUMN_PACKS:
		return read_packs(statement, place, packs, &row->firmware);
	case COLUMN_COUNTS:
		return read_exactly(statement, place, at,
				    (int)sizeof(uint32_t[UPDATE_STATE_COUNT]));
	}
	return false;
}

enum ota_err store_table_read(sqlite3_stmt *statement, enum store_kind kind,
			      struct offer_pack *ret_packs, struct store_row *ret_row,
			      struct ota_why *why)
{
	const struct store_table *table = &store_tables[kind];
	struct store_row row = {.kind = kind};

	for (unsigned i = 0; i < table->column_count; i++)
		if (!read_column(statement, (int)i, &table->columns[i], ret_packs, &row))
			return ota_fail(why, OTA_IO_ERROR,
					"the store's %s.%s holds what cannot be read",
					table->name, table->columns[i].name);
	*ret_row = row;
	return OTA_OK;
}
