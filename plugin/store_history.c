/* History in the SQLite store: questions, pruning, and the walk along the audit chain. */
#include "audit.h"
#include "own.h"
#include "store_sqlite_parts.h"

#include <string.h>

#define AUDIT_ROWS_PER_TURN 4096
#define PRUNE_ROWS_PER_TURN 1000

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
	return step == SQLITE_DONE ? OTA_OK : sqlite_fail(sqlite, why, "read a page");
}

static enum worker_step ask_run(struct worker_job *job)
{
	struct ask_job *ask = (struct ask_job *)job;
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
	struct where where = {0};
	AUTO(text_done) struct text sql = {0};

	ask_where(&ask->query, &where);
	text_put(&sql, "SELECT ");
	ask_columns(&ask->query, &sql);
	text_printf(&sql, " FROM \"%s\"", store_tables[ask->query.kind].name);
	text_put(&sql, where.sql.data ? where.sql.data : "");
	sql.failed = sql.failed || where.sql.failed;
	text_done(&where.sql);
	job->err = sqlite_prepare(ask->sqlite, &sql, &statement, &job->why);
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

enum ota_err sqlite_ask(void *ctx, const struct store_query *query, uint64_t *ret_ticket,
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
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(sqlite->connection, sql, -1, &statement, NULL) != SQLITE_OK)
		return sqlite_fail(sqlite, why, "prepare a statement");
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)before);
	sqlite3_bind_int(statement, 2, PRUNE_ROWS_PER_TURN);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return sqlite_fail(sqlite, why, "drop old rows");
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

enum ota_err sqlite_prune(void *ctx, uint64_t history_ms, uint64_t evidence_ms,
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
	AUTO(sqlite_finalize) sqlite3_stmt *statement = NULL;
	AUTO(text_done) struct text sql = {0};
	struct offer_pack packs[MESSAGE_PACKS_MAX];
	enum ota_err err;
	unsigned rows = 0;
	int step;

	text_put(&sql, "SELECT ");
	store_table_columns(STORE_AUDIT, &sql);
	text_printf(&sql, " FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT %d",
		    AUDIT_ROWS_PER_TURN);
	err = sqlite_prepare(verify->sqlite, &sql, &statement, why);
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
		return sqlite_fail(verify->sqlite, why, "read the audit rows");
	*ret_more = rows == AUDIT_ROWS_PER_TURN;
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
		job->err = sqlite_read_mark(verify->sqlite, &mark, &job->why);
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
