#include "store_sqlite.h"

#include "audit.h"
#include "own.h"
#include "store_table.h"

#include <string.h>

#define AUDIT_ROWS_PER_TURN 4096
#define PRUNE_ROWS_PER_TURN 1000

/* Beside the rows of store.h: how long the audit chain is and where it ends. */
#define MARK_SQL                                                                                \
	"CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER NOT NULL," \
	" tip BLOB NOT NULL);"                                                                  \
	"INSERT INTO mark VALUES (1, 0, zeroblob(32));"

struct chain {
	uint64_t entries;
	struct digest tip;
};

struct store_sqlite {
	struct store seam;
	sqlite3 *connection;
	struct worker *worker;
	sqlite3_stmt *insert[STORE_KIND_COUNT], *remove[STORE_KIND_COUNT];
	struct chain chain, committed; /* the worker's thread */
	/* The caller's thread */
	uint64_t ticket;
	size_t queued_rows, queued_bytes;
	const struct store_poll *poll;
};

static enum ota_err fail_sql(struct store_sqlite *sqlite, struct ota_why *why, const char *what)
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
		return fail_sql(sqlite, why, "run a statement");
	return OTA_OK;
}

static enum ota_err prepare(struct store_sqlite *sqlite, const struct text *sql,
			    sqlite3_stmt **ret_statement, struct ota_why *why)
{
	if (sql->failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a statement");
	if (sqlite3_prepare_v2(sqlite->connection, sql->data, -1, ret_statement, NULL) !=
	    SQLITE_OK)
		return fail_sql(sqlite, why, "prepare a statement");
	return OTA_OK;
}

static void finalize(sqlite3_stmt *const *statement)
{
	sqlite3_finalize(*statement);
}

/* ---- the batch's transaction, on the worker's thread ---- */

static enum ota_err batch_open(void *ctx, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;

	sqlite->committed = sqlite->chain;
	return run_sql(sqlite, "BEGIN IMMEDIATE", why);
}

static enum ota_err save_mark(struct store_sqlite *sqlite, struct ota_why *why)
{
	AUTO(finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, "UPDATE mark SET entries = ?1, tip = ?2", -1,
			       &statement, NULL) != SQLITE_OK)
		return fail_sql(sqlite, why, "prepare a statement");
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)sqlite->chain.entries);
	sqlite3_bind_blob(statement, 2, sqlite->chain.tip.bytes, DIGEST_SIZE, SQLITE_STATIC);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return fail_sql(sqlite, why, "note the audit chain's end");
	return OTA_OK;
}

static enum ota_err batch_close(void *ctx, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	enum ota_err err = OTA_OK;

	if (sqlite->chain.entries != sqlite->committed.entries)
		err = save_mark(sqlite, why);
	if (!err)
		err = run_sql(sqlite, "COMMIT", why);
	if (err) {
		/* A failed COMMIT may have rolled back by itself: then this one says so and
		 * that is fine. */
		sqlite3_exec(sqlite->connection, "ROLLBACK", NULL, NULL, NULL);
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
		err = fail_sql(sqlite, why, "write a row");
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

	if (write->count > 1)
		job->err = run_sql(sqlite, "SAVEPOINT job", &job->why);
	for (size_t i = 0; i < write->count && !job->err; i++)
		job->err = write_row(sqlite, &write->rows[i], &job->why);
	if (job->err) {
		sqlite->chain = before;
		if (write->count > 1)
			sqlite3_exec(sqlite->connection, "ROLLBACK TO job", NULL, NULL, NULL);
	}
	if (write->count > 1)
		sqlite3_exec(sqlite->connection, "RELEASE job", NULL, NULL, NULL);
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

/* ---- questions ---- */

struct ask_job {
	struct worker_job job;
	struct store_sqlite *sqlite;
	uint64_t ticket;
	struct store_query query;
	struct store_page page;
};

/* The texts of the question, bound in the order in which where_put() asked for them. */
struct where {
	struct text sql;
	const char *texts[4];
	uint64_t numbers[8];
	bool is_text[8];
	unsigned count, text_count, number_count;
};

static void where_text(struct where *where, const char *column, const char *operator,
		       const char * text)
{
	text_printf(&where->sql, " %s \"%s\" %s ?%u", where->count ? "AND" : "WHERE",
		    column, operator, where->count + 1);
	where->is_text[where->count++] = true;
	where->texts[where->text_count++] = text;
}

static void where_number(struct where *where, const char *column, const char *operator,
			 uint64_t number)
{
	text_printf(&where->sql, " %s \"%s\" %s ?%u", where->count ? "AND" : "WHERE",
		    column, operator, where->count + 1);
	where->is_text[where->count++] = false;
	where->numbers[where->number_count++] = number;
}

static void where_bind(const struct where *where, sqlite3_stmt *statement)
{
	unsigned text = 0, number = 0;

	for (unsigned i = 0; i < where->count; i++) {
		if (where->is_text[i])
			sqlite3_bind_text(statement, (int)i + 1, where->texts[text++], -1,
					  SQLITE_STATIC);
		else
			sqlite3_bind_int64(statement, (int)i + 1,
					   (sqlite3_int64)where->numbers[number++]);
	}
}

static void ask_columns(const struct store_query *query, struct text *sql)
{
	const struct store_table *table = &store_tables[query->kind];

	for (unsigned i = 0; i < table->column_count; i++) {
		bool left_out = query->kind == STORE_REPORT && !query->logs &&
				strcmp(table->columns[i].name, "error_log") == 0;

		text_printf(sql, "%s%s\"%s\"", i ? ", " : "", left_out ? "NULL AS " : "",
			    table->columns[i].name);
	}
}

static void ask_where(const struct store_query *query, struct where *where)
{
	const char *order = "sequence";

	if (query->product[0])
		where_text(where, "product", "=", query->product);
	if (query->kind != STORE_AUDIT) {
		if (query->device[0])
			where_text(where, "device", "=", query->device);
		if (query->release)
			where_number(where, "release", "=", query->release);
		if (query->attempt)
			where_number(where, "attempt", "=", query->attempt);
		if (query->state != UPDATE_NONE)
			where_number(where, "state", "=", (uint64_t)query->state);
	}
	if (query->kind == STORE_UPDATE)
		order = query->device[0] ? "release" : "device";
	if (query->kind == STORE_UPDATE && !query->device[0]) {
		if (query->after_device[0])
			where_text(where, order, query->newest_first ? "<" : ">",
				   query->after_device);
	} else if (query->after) {
		where_number(where, order, query->newest_first ? "<" : ">", query->after);
	}
	text_printf(&where->sql, " ORDER BY \"%s\"%s LIMIT %u", order,
		    query->newest_first ? " DESC" : "", query->limit + 1);
}

static enum ota_err ask_rows(struct store_sqlite *sqlite, sqlite3_stmt *statement,
			     const struct store_query *query, struct store_page *page,
			     struct ota_why *why)
{
	struct offer_pack packs[MESSAGE_PACKS_MAX];
	struct store_row row;
	enum ota_err err;
	int step;

	page->rows = calloc(query->limit, sizeof(*page->rows));
	if (!page->rows)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a page");
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		if (page->count == query->limit) {
			page->more = true;
			return OTA_OK;
		}
		err = store_table_read(statement, query->kind, packs, &row, why);
		if (!err)
			err = store_row_copy(&row, &page->rows[page->count], why);
		if (err)
			return err;
		page->count++;
	}
	return step == SQLITE_DONE ? OTA_OK : fail_sql(sqlite, why, "read a page");
}

static enum worker_step ask_run(struct worker_job *job)
{
	struct ask_job *ask = (struct ask_job *)job;
	AUTO(finalize) sqlite3_stmt *statement = NULL;
	struct where where = {0};
	AUTO(text_done) struct text sql = {0};

	ask_where(&ask->query, &where);
	text_put(&sql, "SELECT ");
	ask_columns(&ask->query, &sql);
	text_printf(&sql, " FROM \"%s\"", store_tables[ask->query.kind].name);
	text_put(&sql, where.sql.data ? where.sql.data : "");
	sql.failed = sql.failed || where.sql.failed;
	text_done(&where.sql);
	job->err = prepare(ask->sqlite, &sql, &statement, &job->why);
	if (job->err)
		return WORKER_FINISHED;
	where_bind(&where, statement);
	job->err = ask_rows(ask->sqlite, statement, &ask->query, &ask->page, &job->why);
	return WORKER_FINISHED;
}

static void ask_done(struct worker_job *job)
{
	struct ask_job *ask = (struct ask_job *)job;
	const struct store_poll *poll = ask->sqlite->poll;

	if (poll && poll->answered)
		poll->answered(poll->ctx, ask->ticket, job->err ? NULL : &ask->page, job->err,
			       &job->why);
	store_page_done(&ask->page);
	free(ask);
}

static enum ota_err sqlite_ask(void *ctx, const struct store_query *query, uint64_t *ret_ticket,
			       struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	struct ask_job *ask;

	if (query->limit < 1 || query->limit > STORE_PAGE_MAX)
		return ota_fail(why, OTA_BAD_REQUEST, "limit is 1 to %u", STORE_PAGE_MAX);
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a question");
	ask->job = (struct worker_job){.run = ask_run, .done = ask_done};
	ask->sqlite = sqlite;
	ask->query = *query;
	ask->ticket = ++sqlite->ticket;
	*ret_ticket = ask->ticket;
	worker_push(sqlite->worker, &ask->job);
	return OTA_OK;
}

static void sqlite_poll(void *ctx, const struct store_poll *to)
{
	struct store_sqlite *sqlite = ctx;

	sqlite->poll = to;
	worker_poll(sqlite->worker);
	sqlite->poll = NULL;
}

/* ---- pruning: a thousand rows a turn, each turn its own transaction ---- */

struct prune_job {
	struct worker_job job;
	struct store_sqlite *sqlite;
	uint64_t ticket, history_ms, evidence_ms;
};

/* Rows come in the order of time, so the old ones are those before the first newer one; of each
 * device the last report stays. */
#define PRUNE_HISTORY                                                                          \
	"DELETE FROM report WHERE sequence IN (SELECT sequence FROM report AS r WHERE "        \
	"sequence < coalesce((SELECT sequence FROM report WHERE time_ms >= ?1 "                \
	"ORDER BY sequence LIMIT 1), 1 << 62) AND NOT (event = 0 AND sequence = "              \
	"(SELECT max(sequence) FROM report WHERE device = r.device AND event = 0)) LIMIT ?2)"
#define PRUNE_EVIDENCE                                                                         \
	"UPDATE report SET error_log = NULL WHERE sequence IN (SELECT sequence FROM report "   \
	"WHERE sequence < coalesce((SELECT sequence FROM report WHERE time_ms >= ?1 "          \
	"ORDER BY sequence LIMIT 1), 1 << 62) AND error_log IS NOT NULL LIMIT ?2)"

static enum ota_err prune_some(struct store_sqlite *sqlite, const char *sql, uint64_t before,
			       bool *ret_more, struct ota_why *why)
{
	AUTO(finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, sql, -1, &statement, NULL) != SQLITE_OK)
		return fail_sql(sqlite, why, "prepare a statement");
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)before);
	sqlite3_bind_int(statement, 2, PRUNE_ROWS_PER_TURN);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return fail_sql(sqlite, why, "drop old rows");
	if (sqlite3_changes(sqlite->connection) >= PRUNE_ROWS_PER_TURN)
		*ret_more = true;
	return OTA_OK;
}

static enum worker_step prune_run(struct worker_job *job)
{
	struct prune_job *prune = (struct prune_job *)job;
	bool more = false;

	if (prune->history_ms)
		job->err = prune_some(prune->sqlite, PRUNE_HISTORY, prune->history_ms, &more,
				      &job->why);
	if (prune->evidence_ms && !job->err)
		job->err = prune_some(prune->sqlite, PRUNE_EVIDENCE, prune->evidence_ms, &more,
				      &job->why);
	return more && !job->err ? WORKER_AGAIN : WORKER_FINISHED;
}

static void prune_done(struct worker_job *job)
{
	struct prune_job *prune = (struct prune_job *)job;
	const struct store_poll *poll = prune->sqlite->poll;

	if (poll && poll->saved)
		poll->saved(poll->ctx, prune->ticket, job->err, &job->why);
	free(prune);
}

static enum ota_err sqlite_prune(void *ctx, uint64_t history_ms, uint64_t evidence_ms,
				 uint64_t *ret_ticket, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	struct prune_job *prune = calloc(1, sizeof(*prune));

	if (!prune)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to prune the history");
	prune->job = (struct worker_job){.stored = true, .run = prune_run, .done = prune_done};
	prune->sqlite = sqlite;
	prune->history_ms = history_ms;
	prune->evidence_ms = evidence_ms;
	prune->ticket = ++sqlite->ticket;
	*ret_ticket = prune->ticket;
	worker_push(sqlite->worker, &prune->job);
	return OTA_OK;
}

/* ---- the audit chain ---- */

struct verify_job {
	struct worker_job job;
	struct store_sqlite *sqlite;
	struct audit_check check;
	uint64_t after;
	struct store_audit_state state;
	store_audit_fn answer;
	void *ctx;
};

static enum ota_err verify_some(struct verify_job *verify, bool *ret_more, struct ota_why *why)
{
	AUTO(finalize) sqlite3_stmt *statement = NULL;
	AUTO(text_done) struct text sql = {0};
	struct offer_pack packs[MESSAGE_PACKS_MAX];
	enum ota_err err;
	unsigned rows = 0;
	int step;

	text_put(&sql, "SELECT ");
	store_table_columns(STORE_AUDIT, &sql);
	text_printf(&sql, " FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT %d",
		    AUDIT_ROWS_PER_TURN);
	err = prepare(verify->sqlite, &sql, &statement, why);
	if (err)
		return err;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)verify->after);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_row row;

		err = store_table_read(statement, STORE_AUDIT, packs, &row, why);
		if (!err)
			err = audit_check_row(&verify->check, &row.audit, why);
		if (err)
			return err;
		verify->after = row.audit.sequence;
		rows++;
	}
	if (step != SQLITE_DONE)
		return fail_sql(verify->sqlite, why, "read the audit rows");
	*ret_more = rows == AUDIT_ROWS_PER_TURN;
	return OTA_OK;
}

static enum ota_err read_mark(struct store_sqlite *sqlite, struct chain *ret_chain,
			      struct ota_why *why)
{
	AUTO(finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, "SELECT entries, tip FROM mark", -1,
			       &statement, NULL) != SQLITE_OK)
		return fail_sql(sqlite, why, "prepare a statement");
	if (sqlite3_step(statement) != SQLITE_ROW ||
	    sqlite3_column_bytes(statement, 1) != DIGEST_SIZE)
		return ota_fail(why, OTA_IO_ERROR,
				"the store has lost the mark of the audit chain's end");
	ret_chain->entries = (uint64_t)sqlite3_column_int64(statement, 0);
	memcpy(ret_chain->tip.bytes, sqlite3_column_blob(statement, 1), DIGEST_SIZE);
	return OTA_OK;
}

static enum worker_step verify_run(struct worker_job *job)
{
	struct verify_job *verify = (struct verify_job *)job;
	struct chain mark;
	bool more = false;

	job->err = verify_some(verify, &more, &job->why);
	if (more && !job->err)
		return WORKER_AGAIN;
	if (!job->err)
		job->err = read_mark(verify->sqlite, &mark, &job->why);
	/* Rows that this same transaction adds are not in the mark yet, but in memory. */
	if (!job->err && verify->sqlite->chain.entries != verify->sqlite->committed.entries)
		mark = verify->sqlite->chain;
	if (!job->err)
		verify->state = (struct store_audit_state){
			.entries = verify->check.entries,
			.first_bad = verify->check.first_bad,
			.tip = verify->check.tip,
			.fault = audit_check_end(&verify->check, mark.entries, &mark.tip),
		};
	return WORKER_FINISHED;
}

static void verify_done(struct worker_job *job)
{
	struct verify_job *verify = (struct verify_job *)job;

	if (verify->sqlite->poll)
		verify->answer(verify->ctx, &verify->state, job->err, &job->why);
	free(verify);
}

enum ota_err store_sqlite_verify(struct store_sqlite *sqlite, uint64_t entries_then,
				 const struct digest *tip_then, store_audit_fn answer,
				 void *ctx, struct ota_why *why)
{
	struct verify_job *verify = calloc(1, sizeof(*verify));

	if (!verify)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to verify the audit");
	verify->job = (struct worker_job){.run = verify_run, .done = verify_done};
	verify->sqlite = sqlite;
	verify->answer = answer;
	verify->ctx = ctx;
	if (tip_then) {
		verify->check.entries_then = entries_then;
		verify->check.tip_then = *tip_then;
	}
	worker_push(sqlite->worker, &verify->job);
	return OTA_OK;
}

/* ---- start ---- */

static enum ota_err sqlite_load(void *ctx, enum store_kind kind, store_row_fn each,
				void *each_ctx, struct ota_why *why)
{
	struct store_sqlite *sqlite = ctx;
	AUTO(finalize) sqlite3_stmt *statement = NULL;
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
	err = prepare(sqlite, &sql, &statement, why);
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
	return step == SQLITE_DONE ? OTA_OK : fail_sql(sqlite, why, "be read");
}

static enum ota_err read_number(struct store_sqlite *sqlite, const char *sql,
				uint64_t *ret_number, struct ota_why *why)
{
	AUTO(finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, sql, -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return fail_sql(sqlite, why, "be read");
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
		err = prepare(sqlite, &insert, &sqlite->insert[kind], why);
		if (!err)
			err = prepare(sqlite, &remove, &sqlite->remove[kind], why);
		if (err)
			return err;
	}
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
		err = read_mark(sqlite, &sqlite->chain, why);
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
	sqlite3_close(sqlite->connection);
	free(sqlite);
}

struct store *store_sqlite_store(struct store_sqlite *sqlite)
{
	return &sqlite->seam;
}
