#include "store_sqlite.h"

#include "audit.h"
#include "own.h"
#include "store_sqlite_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Beside the rows of store.h: how long the audit chain is and where it ends. */
#define MARK_SQL                                                                                \
	"CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER NOT NULL," \
	" tip BLOB NOT NULL);"                                                                  \
	"INSERT INTO mark VALUES (1, 0, zeroblob(32));"

enum ota_err sqlite_fail(struct store_sqlite *sqlite, struct ota_why *why, const char *what)
{
	int code = sqlite3_extended_errcode(sqlite->connection) & 0xff;

	return ota_fail(why,
			code == SQLITE_FULL    ? OTA_INSUFFICIENT_STORAGE
			: code == SQLITE_NOMEM ? OTA_OUT_OF_MEMORY
					       : OTA_IO_ERROR,
			"the store cannot %s: %s", what, sqlite3_errmsg(sqlite->connection));
}

static enum ota_err run_sql(struct store_sqlite *sqlite, const char *sql, struct ota_why *why)
{
	if (sqlite3_exec(sqlite->connection, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_fail(sqlite, why, "run a statement");
	return OTA_OK;
}

static const char *const frame_sql[SQLITE_FRAME_COUNT] = {
	[SQLITE_FRAME_BEGIN] = "BEGIN IMMEDIATE", [SQLITE_FRAME_COMMIT] = "COMMIT",
	[SQLITE_FRAME_ROLLBACK] = "ROLLBACK",	  [SQLITE_FRAME_SAVEPOINT] = "SAVEPOINT job",
	[SQLITE_FRAME_BACK] = "ROLLBACK TO job",  [SQLITE_FRAME_RELEASE] = "RELEASE job",
};

static bool run_frame(struct store_sqlite *sqlite, enum sqlite_frame frame)
{
	bool done = sqlite3_step(sqlite->frames[frame]) == SQLITE_DONE;

	return sqlite3_reset(sqlite->frames[frame]) == SQLITE_OK && done;
}

enum ota_err sqlite_prepare(struct store_sqlite *sqlite, const struct text *sql,
			    sqlite3_stmt **ret_statement, struct ota_why *why)
{
	if (sql->failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a statement");
	if (sqlite3_prepare_v2(sqlite->connection, sql->data, -1, ret_statement, NULL) !=
	    SQLITE_OK)
		return sqlite_fail(sqlite, why, "prepare a statement");
	return OTA_OK;
}

void sqlite_finalize(sqlite3_stmt *const *statement)
{
	sqlite3_finalize(*statement);
}

/* ---- the batch's transaction, on the worker's thread ---- */

static enum ota_err batch_open(void *ctx, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;

	sqlite->committed = sqlite->chain;
	if (!run_frame(sqlite, SQLITE_FRAME_BEGIN))
		return sqlite_fail(sqlite, why, "begin a transaction");
	return OTA_OK;
}

static enum ota_err save_mark(struct store_sqlite *sqlite, struct ota_why *why)
{
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, "UPDATE mark SET entries = ?1, tip = ?2", -1,
			       &statement, NULL) != SQLITE_OK)
		return sqlite_fail(sqlite, why, "prepare a statement");
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)sqlite->chain.entries);
	sqlite3_bind_blob(statement, 2, sqlite->chain.tip.bytes, DIGEST_SIZE, SQLITE_STATIC);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return sqlite_fail(sqlite, why, "note the audit chain's end");
	return OTA_OK;
}

static enum ota_err batch_close(void *ctx, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	enum ota_err err = OTA_OK;

	if (sqlite->chain.entries != sqlite->committed.entries)
		err = save_mark(sqlite, why);
	if (!err && !run_frame(sqlite, SQLITE_FRAME_COMMIT))
		err = sqlite_fail(sqlite, why, "commit");
	if (err) {
		/* A failed COMMIT may have rolled back by itself: then this one says so and
		 * that is fine. */
		run_frame(sqlite, SQLITE_FRAME_ROLLBACK);
		sqlite->chain = sqlite->committed;
	}
	return err;
}

/* ---- writing ---- */

struct write_job {
	struct worker_job job;
	struct store_sqlite *sqlite;
	uint64_t ticket;
	size_t count, bytes;
	struct store_row rows[];
};

static enum ota_err write_row(struct store_sqlite *sqlite, struct store_row *row,
			      struct ota_why *why)
{
	sqlite3_stmt *statement =
		row->gone ? sqlite->remove[row->kind] : sqlite->insert[row->kind];
	enum ota_err err;
	int step;

	if (row->gone && store_tables[row->kind].append_only)
		return OTA_OK;
	if (row->kind == STORE_AUDIT) {
		row->audit.previous = sqlite->chain.tip;
		err = audit_hash(&row->audit, &row->audit.hash, why);
		if (err)
			return err;
	}
	err = store_table_bind(statement, row, row->gone, why);
	if (err)
		return err;
	step = sqlite3_step(statement);
	if (step != SQLITE_DONE)
		err = sqlite_fail(sqlite, why, "write a row");
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	if (!err && row->kind == STORE_AUDIT) {
		sqlite->chain.tip = row->audit.hash;
		sqlite->chain.entries++;
	}
	return err;
}

/* Whole or not at all, and whatever else is in the transaction stays. */
static enum worker_step write_run(struct worker_job *job)
{
	struct write_job *write = (struct write_job *)job;
	struct store_sqlite *sqlite = write->sqlite;
	struct chain before = sqlite->chain;

	if (write->count > 1 && !run_frame(sqlite, SQLITE_FRAME_SAVEPOINT))
		job->err = sqlite_fail(sqlite, &job->why, "set a savepoint");
	for (size_t i = 0; i < write->count && !job->err; i++)
		job->err = write_row(sqlite, &write->rows[i], &job->why);
	if (job->err) {
		sqlite->chain = before;
		if (write->count > 1)
			run_frame(sqlite, SQLITE_FRAME_BACK);
	}
	if (write->count > 1)
		run_frame(sqlite, SQLITE_FRAME_RELEASE);
	return WORKER_FINISHED;
}

static void write_free(struct write_job *write)
{
	for (size_t i = 0; i < write->count; i++)
		store_row_done(&write->rows[i]);
	free(write);
}

static void write_done(struct worker_job *job)
{
	struct write_job *write = (struct write_job *)job;
	struct store_sqlite *sqlite = write->sqlite;

	sqlite->queued_rows -= write->count;
	sqlite->queued_bytes -= write->bytes;
	if (sqlite->poll && sqlite->poll->saved)
		sqlite->poll->saved(sqlite->poll->ctx, write->ticket, job->err, &job->why);
	write_free(write);
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) : 0;
}

/* The long texts only: the rest is bounded by the number of rows. */
static size_t row_bytes(const struct store_row *row)
{
	if (row->kind == STORE_REPORT)
		return text_size(row->report.error_log) + text_size(row->report.error_message);
	if (row->kind == STORE_FIRMWARE)
		return text_size(row->firmware.envelope);
	if (row->kind == STORE_RELEASE)
		return text_size(row->release.envelope);
	if (row->kind == STORE_ANSWER)
		return text_size(row->answer.reply);
	return 0;
}

static enum ota_err sqlite_write(void *ctx, const struct store_row *rows, size_t count,
				 uint64_t *ret_ticket, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	struct write_job *write;
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += row_bytes(&rows[i]);
	if (sqlite->queued_rows + count > STORE_SQLITE_ROWS_MAX ||
	    sqlite->queued_bytes + bytes > STORE_SQLITE_BYTES_MAX)
		return ota_fail(why, OTA_BUSY, "the store's queue is full (%zu rows)",
				sqlite->queued_rows);
	write = calloc(1, sizeof(*write) + count * sizeof(*write->rows));
	if (!write)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to store %zu rows", count);
	for (size_t i = 0; i < count; i++) {
		enum ota_err err = store_row_copy(&rows[i], &write->rows[i], why);

		if (err) {
			write->count = i;
			write_free(write);
			return err;
		}
	}
	write->job = (struct worker_job){.stored = true, .run = write_run, .done = write_done};
	write->sqlite = sqlite;
	write->count = count;
	write->bytes = bytes;
	write->ticket = ++sqlite->ticket;
	sqlite->queued_rows += count;
	sqlite->queued_bytes += bytes;
	*ret_ticket = write->ticket;
	worker_push(sqlite->worker, &write->job);
	return OTA_OK;
}

static size_t sqlite_room(void *ctx)
{
	const struct store_sqlite *sqlite = ctx;

	return STORE_SQLITE_ROWS_MAX - sqlite->queued_rows;
}

uint64_t store_sqlite_queued(const struct store_sqlite *sqlite)
{
	return sqlite->queued_rows;
}

static void sqlite_poll(void *ctx, const struct store_poll *to)
{
	struct store_sqlite *sqlite = ctx;

	sqlite->poll = to;
	worker_poll(sqlite->worker);
	sqlite->poll = NULL;
}

/* ---- start ---- */

enum ota_err sqlite_read_mark(struct store_sqlite *sqlite, struct chain *ret_chain,
			      struct ota_why *why)
{
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, "SELECT entries, tip FROM mark", -1,
			       &statement, NULL) != SQLITE_OK)
		return sqlite_fail(sqlite, why, "prepare a statement");
	if (sqlite3_step(statement) != SQLITE_ROW ||
	    sqlite3_column_bytes(statement, 1) != DIGEST_SIZE)
		return ota_fail(why, OTA_IO_ERROR,
				"the store has lost the mark of the audit chain's end");
	ret_chain->entries = (uint64_t)sqlite3_column_int64(statement, 0);
	memcpy(ret_chain->tip.bytes, sqlite3_column_blob(statement, 1), DIGEST_SIZE);
	return OTA_OK;
}

static enum ota_err sqlite_load(void *ctx, enum store_kind kind, store_row_fn each,
				void *each_ctx, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
	AUTO(text_done) struct text sql = {0};
	struct offer_pack packs[MESSAGE_PACKS_MAX];
	enum ota_err err;
	int step;

	text_put(&sql, "SELECT ");
	store_table_columns(kind, &sql);
	text_printf(&sql, " FROM \"%s\"%s", store_tables[kind].name,
		    kind == STORE_UPDATE ? " ORDER BY device, release" : " ORDER BY 1, 2");
	if (kind == STORE_HEAD)
		sql.len -= strlen(" ORDER BY 1, 2"), sql.data[sql.len] = '\0';
	err = sqlite_prepare(sqlite, &sql, &statement, why);
	if (err)
		return err;
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_row row;

		err = store_table_read(statement, kind, packs, &row, why);
		if (err)
			return err;
		if (!each(each_ctx, &row))
			return OTA_OK;
	}
	return step == SQLITE_DONE ? OTA_OK : sqlite_fail(sqlite, why, "be read");
}

static enum ota_err read_number(struct store_sqlite *sqlite, const char *sql,
				uint64_t *ret_number, struct ota_why *why)
{
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, sql, -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return sqlite_fail(sqlite, why, "be read");
	*ret_number = (uint64_t)sqlite3_column_int64(statement, 0);
	return OTA_OK;
}

static enum ota_err sqlite_last_sequence(void *ctx, uint64_t *ret_sequence, struct ota_why *why)
{
	return read_number(ctx,
			   "SELECT max(coalesce((SELECT max(sequence) FROM report), 0),"
			   " coalesce((SELECT max(sequence) FROM audit), 0))",
			   ret_sequence, why);
}

static enum ota_err make_schema(struct store_sqlite *sqlite, struct ota_why *why)
{
	AUTO(text_done) struct text sql = {0};

	text_put(&sql, "BEGIN;" MARK_SQL);
	for (int kind = 0; kind < STORE_KIND_COUNT; kind++)
		store_table_create((enum store_kind)kind, &sql);
	text_printf(&sql, "PRAGMA user_version = %d; COMMIT;", STORE_TABLE_VERSION);
	if (sql.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the schema");
	return run_sql(sqlite, sql.data, why);
}

static enum ota_err check_schema(struct store_sqlite *sqlite, const char *path,
				 struct ota_why *why)
{
	uint64_t version;
	enum ota_err err = read_number(sqlite, "PRAGMA user_version", &version, why);

	if (err)
		return err;
	if (version == 0)
		return make_schema(sqlite, why);
	if (version != STORE_TABLE_VERSION)
		return ota_fail(why, OTA_CONFLICT,
				"'%s' has version %llu, this plugin reads version %d", path,
				(unsigned long long)version, STORE_TABLE_VERSION);
	return OTA_OK;
}

static enum ota_err prepare_all(struct store_sqlite *sqlite, struct ota_why *why)
{
	for (int kind = 0; kind < STORE_KIND_COUNT; kind++) {
		AUTO(text_done) struct text insert = {0};
		AUTO(text_done) struct text remove = {0};
		enum ota_err err;

		store_table_insert((enum store_kind)kind, &insert);
		store_table_delete((enum store_kind)kind, &remove);
		err = sqlite_prepare(sqlite, &insert, &sqlite->insert[kind], why);
		if (!err)
			err = sqlite_prepare(sqlite, &remove, &sqlite->remove[kind], why);
		if (err)
			return err;
	}
	for (int frame = 0; frame < SQLITE_FRAME_COUNT; frame++)
		if (sqlite3_prepare_v2(sqlite->connection, frame_sql[frame], -1,
				       &sqlite->frames[frame], NULL) != SQLITE_OK)
			return sqlite_fail(sqlite, why, "prepare a statement");
	return OTA_OK;
}

static enum ota_err open_file(struct store_sqlite *sqlite, const char *path,
			      struct ota_why *why)
{
	enum ota_err err;

	if (sqlite3_open_v2(path, &sqlite->connection,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		return ota_fail(why, OTA_IO_ERROR, "cannot open '%s': %s", path,
				sqlite->connection ? sqlite3_errmsg(sqlite->connection)
						   : "no memory");
	/* It holds hashes of tokens and everything about the fleet; blobs beside it are for web
	 * servers to read. */
	if (chmod(path, 0640))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot set the mode of '%s'",
				      path);
	err = run_sql(sqlite,
		      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
		      "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;"
		      "PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE; COMMIT",
		      why);
	if (err && (sqlite3_extended_errcode(sqlite->connection) & 0xff) == SQLITE_BUSY)
		return ota_fail(why, OTA_CONFLICT, "'%s' is in use by another process", path);
	return err ? ota_context(why, err, "'%s'", path) : OTA_OK;
}

enum ota_err store_sqlite_open(const char *directory, struct worker *worker,
			       struct store_sqlite **ret_store, struct ota_why *why)
{
	struct store_sqlite *sqlite = calloc(1, sizeof(*sqlite));
	AUTO(text_done) struct text path = {0};
	enum ota_err err;

	text_printf(&path, "%s/store.db", directory);
	if (!sqlite || path.failed) {
		free(sqlite);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the store");
	}
	sqlite->worker = worker;
	sqlite->seam = (struct store){
		.ctx = sqlite,
		.write = sqlite_write,
		.room = sqlite_room,
		.ask = sqlite_ask,
		.poll = sqlite_poll,
		.load = sqlite_load,
		.last_sequence = sqlite_last_sequence,
		.prune = sqlite_prune,
	};
	err = open_file(sqlite, path.data, why);
	if (!err)
		err = check_schema(sqlite, path.data, why);
	if (!err)
		err = prepare_all(sqlite, why);
	if (!err)
		err = sqlite_read_mark(sqlite, &sqlite->chain, why);
	if (err) {
		store_sqlite_close(sqlite);
		return err;
	}
	sqlite->committed = sqlite->chain;
	worker_set_batch(worker, &(struct worker_batch){.ctx = sqlite,
							.open = batch_open,
							.close = batch_close});
	*ret_store = sqlite;
	return OTA_OK;
}

void store_sqlite_close(struct store_sqlite *sqlite)
{
	if (!sqlite)
		return;
	for (int kind = 0; kind < STORE_KIND_COUNT; kind++) {
		sqlite3_finalize(sqlite->insert[kind]);
		sqlite3_finalize(sqlite->remove[kind]);
	}
	for (int frame = 0; frame < SQLITE_FRAME_COUNT; frame++)
		sqlite3_finalize(sqlite->frames[frame]);
	sqlite3_close(sqlite->connection);
	free(sqlite);
}

struct store *store_sqlite_store(struct store_sqlite *sqlite)
{
	return &sqlite->seam;
}
