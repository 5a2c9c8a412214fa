/* Rows in an array per kind; the queue is a list of batches that commit() applies. */
#include "store_memory.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_DEFAULT 1000000u

struct table {
	struct store_row *rows;
	uint32_t
		*marks; /* a hash of each row's key: most rows are passed over without a look */
	size_t count, room;
};

struct batch {
	struct batch *next;
	struct store_row *rows; /* NULL: a question or a pruning */
	size_t count;
	bool asks;
	struct store_query query;
	uint64_t ticket, history_ms;
	enum ota_err err;
};

struct store_memory {
	struct store store;
	struct table tables[STORE_KIND_COUNT];
	struct batch *queue, **queue_end;
	struct batch *finished, **finished_end;
	size_t queued, most;
	uint64_t ticket;
	enum ota_err error;
};

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool is_same_key(const struct store_row *a, const struct store_row *b)
{
	switch (a->kind) {
	case STORE_PRODUCT:
		return same(a->product.name, b->product.name);
	case STORE_DEVICE:
		return same(a->device.id, b->device.id);
	case STORE_GROUP:
		return same(a->group.product, b->group.product) &&
		       same(a->group.name, b->group.name);
	case STORE_MEMBER:
		return same(a->member.product, b->member.product) &&
		       same(a->member.group, b->member.group) &&
		       same(a->member.device, b->member.device);
	case STORE_FIRMWARE:
		return same(a->firmware.product, b->firmware.product) &&
		       same(a->firmware.version, b->firmware.version);
	case STORE_RELEASE:
		return a->release.number == b->release.number &&
		       same(a->release.product, b->release.product);
	case STORE_UPDATE:
		return a->update.release == b->update.release &&
		       same(a->update.device, b->update.device) &&
		       same(a->update.product, b->update.product);
	case STORE_REPORT: /* only one that a device has sent twice */
		return a->report.seq && a->report.seq == b->report.seq &&
		       a->report.release == b->report.release &&
		       a->report.attempt == b->report.attempt &&
		       same(a->report.device, b->report.device) &&
		       same(a->report.product, b->report.product);
	case STORE_AUDIT:
		return false;
	case STORE_MANAGER:
		return same(a->manager.name, b->manager.name) &&
		       same(a->manager.product, b->manager.product);
	case STORE_TOKEN:
		return same(a->token.id, b->token.id);
	case STORE_ROOT:
		return a->root.version == b->root.version;
	case STORE_HEAD:
		return true;
	case STORE_BLOB:
		return digest_equal(&a->blob.sha256, &b->blob.sha256);
	case STORE_ANSWER:
		return same(a->answer.manager, b->answer.manager) &&
		       same(a->answer.key, b->answer.key);
	case STORE_KIND_COUNT:
		break;
	}
	return false;
}

static uint32_t mix(uint32_t mark, const char *text)
{
	for (; *text; text++)
		mark = (mark ^ (uint8_t)*text) * 16777619u;
	return mark;
}

/* Of those kinds that there are many of; 0 for all others. */
static uint32_t mark_of(const struct store_row *row)
{
	if (row->kind == STORE_DEVICE)
		return mix(2166136261u, row->device.id);
	if (row->kind == STORE_UPDATE)
		return mix((uint32_t)row->update.release, row->update.device);
	if (row->kind == STORE_REPORT)
		return mix((uint32_t)(row->report.seq * 64 + row->report.release),
			   row->report.device);
	return 0;
}

static struct store_row *find(const struct table *table, const struct store_row *row)
{
	uint32_t mark = mark_of(row);

	for (size_t i = table->count; i-- > 0;) {
		if (table->marks[i] == mark && is_same_key(&table->rows[i], row))
			return &table->rows[i];
	}
	return NULL;
}

static void remove_row(struct table *table, struct store_row *row)
{
	size_t at = (size_t)(row - table->rows);

	store_row_done(row);
	table->count--;
	memmove(row, row + 1, (table->count - at) * sizeof(*row));
	memmove(&table->marks[at], &table->marks[at + 1],
		(table->count - at) * sizeof(*table->marks));
}

/* Takes the row over. */
static void apply(struct store_memory *memory, struct store_row *row)
{
	struct table *table = &memory->tables[row->kind];
	struct store_row *there = find(table, row);
	bool history = row->kind == STORE_REPORT || row->kind == STORE_AUDIT;

	if (row->gone || (there && history)) {
		if (there && !history)
			remove_row(table, there);
		store_row_done(row);
		return;
	}
	if (there) {
		store_row_done(there);
		*there = *row;
		return;
	}
	if (table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 64;
		struct store_row *bigger = realloc(table->rows, room * sizeof(*bigger));
		uint32_t *marks = realloc(table->marks, room * sizeof(*marks));
		if (!bigger || !marks)
			abort(); /* a test's store has no soft way out */
		table->rows = bigger;
		table->marks = marks;
		table->room = room;
	}
	table->marks[table->count] = mark_of(row);
	table->rows[table->count++] = *row;
}

static void free_batch(struct batch *batch)
{
	for (size_t i = 0; batch->rows && i < batch->count; i++)
		store_row_done(&batch->rows[i]);
	free(batch->rows);
	free(batch);
}

static struct batch *enqueue(struct store_memory *memory, struct batch *batch)
{
	batch->ticket = ++memory->ticket;
	*memory->queue_end = batch;
	memory->queue_end = &batch->next;
	memory->queued += batch->count;
	return batch;
}

static enum ota_err memory_write(void *ctx, const struct store_row *rows, size_t count,
				 uint64_t *ret_ticket, struct ota_why *why)
{
	struct store_memory *memory = ctx;
	struct batch *batch;
	enum ota_err err = OTA_OK;

	if (memory->queued + count > memory->most)
		return ota_fail(why, OTA_BUSY, "the queue of the store is full");
	batch = calloc(1, sizeof(*batch));
	if (batch)
		batch->rows = calloc(count, sizeof(*batch->rows));
	if (!batch || !batch->rows) {
		free(batch);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a batch");
	}
	for (; !err && batch->count < count; batch->count++)
		err = store_row_copy(&rows[batch->count], &batch->rows[batch->count], why);
	if (err) {
		batch->count--;
		free_batch(batch);
		return err;
	}
	*ret_ticket = enqueue(memory, batch)->ticket;
	return OTA_OK;
}

static size_t memory_room(void *ctx)
{
	struct store_memory *memory = ctx;

	return memory->most > memory->queued ? memory->most - memory->queued : 0;
}

static enum ota_err memory_ask(void *ctx, const struct store_query *query, uint64_t *ret_ticket,
			       struct ota_why *why)
{
	struct store_memory *memory = ctx;
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a question");
	batch->asks = true;
	batch->query = *query;
	*ret_ticket = enqueue(memory, batch)->ticket;
	return OTA_OK;
}

static enum ota_err memory_prune(void *ctx, uint64_t history_ms, uint64_t evidence_ms,
				 uint64_t *ret_ticket, struct ota_why *why)
{
	struct store_memory *memory = ctx;
	struct batch *batch = calloc(1, sizeof(*batch));

	(void)evidence_ms;
	if (!batch)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a pruning");
	batch->history_ms = history_ms;
	*ret_ticket = enqueue(memory, batch)->ticket;
	return OTA_OK;
}

static bool is_last_of_device(const struct table *table, size_t at)
{
	for (size_t i = at + 1; i < table->count; i++) {
		if (same(table->rows[i].report.device, table->rows[at].report.device))
			return false;
	}
	return true;
}

static void prune(struct store_memory *memory, uint64_t history_ms)
{
	struct table *table = &memory->tables[STORE_REPORT];

	for (size_t i = 0; i < table->count;) {
		if (table->rows[i].report.time_ms < history_ms && !is_last_of_device(table, i))
			remove_row(table, &table->rows[i]);
		else
			i++;
	}
}

void store_memory_commit(struct store_memory *memory)
{
	struct batch *batch;

	while ((batch = memory->queue)) {
		memory->queue = batch->next;
		memory->queued -= batch->count;
		batch->next = NULL;
		batch->err = memory->error;
		for (size_t i = 0; !batch->err && i < batch->count; i++)
			apply(memory, &batch->rows[i]);
		if (!batch->err) {
			free(batch->rows);
			batch->rows = NULL;
			if (batch->history_ms)
				prune(memory, batch->history_ms);
		}
		*memory->finished_end = batch;
		memory->finished_end = &batch->next;
	}
	memory->queue_end = &memory->queue;
}

static bool matches(const struct store_query *query, const struct store_row *row)
{
	if (query->kind == STORE_AUDIT)
		return query->newest_first ? !query->after || row->audit.sequence < query->after
					   : row->audit.sequence > query->after;
	if (query->kind == STORE_UPDATE)
		return (!query->product[0] || same(query->product, row->update.product)) &&
		       (!query->device[0] || same(query->device, row->update.device)) &&
		       (!query->release || query->release == row->update.release) &&
		       (!query->state || query->state == row->update.state) &&
		       strcmp(row->update.device, query->after_device) > 0;
	return (!query->product[0] || same(query->product, row->report.product)) &&
	       (!query->device[0] || same(query->device, row->report.device)) &&
	       (!query->release || query->release == row->report.release) &&
	       (!query->attempt || query->attempt == row->report.attempt) &&
	       (query->newest_first ? !query->after || row->report.sequence < query->after
				    : row->report.sequence > query->after);
}

static void answer(struct store_memory *memory, const struct batch *batch,
		   const struct store_poll *to)
{
	const struct store_query *query = &batch->query;
	const struct table *table = &memory->tables[query->kind];
	struct store_page page = {0};

	page.rows = calloc(query->limit + 1u, sizeof(*page.rows));
	for (size_t i = 0; page.rows && i < table->count; i++) {
		size_t at = query->newest_first ? table->count - 1 - i : i;
		if (!matches(query, &table->rows[at]))
			continue;
		if (page.count == query->limit) {
			page.more = true;
			break;
		}
		if (store_row_copy(&table->rows[at], &page.rows[page.count], NULL) == OTA_OK)
			page.count++;
	}
	to->answered(to->ctx, batch->ticket, &page, OTA_OK, NULL);
	store_page_done(&page);
}

static void memory_poll(void *ctx, const struct store_poll *to)
{
	struct store_memory *memory = ctx;
	struct batch *batch;

	while ((batch = memory->finished)) {
		struct ota_why why = {.err = batch->err, .text = "the test's store fails"};
		memory->finished = batch->next;
		if (!memory->finished)
			memory->finished_end = &memory->finished;
		if (batch->asks)
			answer(memory, batch, to);
		else
			to->saved(to->ctx, batch->ticket, batch->err, &why);
		free_batch(batch);
	}
}

/* Loads come ordered as the contract says. */
static int by_order(const void *a, const void *b)
{
	const struct store_row *left = a, *right = b;
	int order = 0;

	if (left->kind == STORE_DEVICE)
		return strcmp(left->device.id, right->device.id);
	if (left->kind == STORE_UPDATE) {
		order = strcmp(left->update.device, right->update.device);
		if (!order && left->update.release != right->update.release)
			order = left->update.release < right->update.release ? -1 : 1;
	}
	if (left->kind == STORE_RELEASE) {
		order = strcmp(left->release.product, right->release.product);
		if (!order && left->release.number != right->release.number)
			order = left->release.number < right->release.number ? -1 : 1;
	}
	return order;
}

static enum ota_err memory_load(void *ctx, enum store_kind kind, store_row_fn each,
				void *each_ctx, struct ota_why *why)
{
	struct store_memory *memory = ctx;
	struct table *table = &memory->tables[kind];

	(void)why;
	if (table->count &&
	    (kind == STORE_DEVICE || kind == STORE_UPDATE || kind == STORE_RELEASE))
		qsort(table->rows, table->count, sizeof(*table->rows), by_order);
	for (size_t i = 0; i < table->count; i++)
		table->marks[i] = mark_of(&table->rows[i]);
	for (size_t i = 0; i < table->count; i++) {
		if (!each(each_ctx, &table->rows[i]))
			break;
	}
	return OTA_OK;
}

static enum ota_err memory_last_sequence(void *ctx, uint64_t *ret_sequence, struct ota_why *why)
{
	struct store_memory *memory = ctx;
	const struct table *reports = &memory->tables[STORE_REPORT];
	const struct table *audits = &memory->tables[STORE_AUDIT];

	(void)why;
	*ret_sequence = 0;
	for (size_t i = 0; i < reports->count; i++) {
		if (reports->rows[i].report.sequence > *ret_sequence)
			*ret_sequence = reports->rows[i].report.sequence;
	}
	for (size_t i = 0; i < audits->count; i++) {
		if (audits->rows[i].audit.sequence > *ret_sequence)
			*ret_sequence = audits->rows[i].audit.sequence;
	}
	return OTA_OK;
}

enum ota_err store_memory_new(struct store_memory **ret_memory, struct ota_why *why)
{
	struct store_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "a store in memory");
	memory->most = ROOM_DEFAULT;
	memory->queue_end = &memory->queue;
	memory->finished_end = &memory->finished;
	memory->store = (struct store){
		.ctx = memory,
		.write = memory_write,
		.room = memory_room,
		.ask = memory_ask,
		.poll = memory_poll,
		.load = memory_load,
		.last_sequence = memory_last_sequence,
		.prune = memory_prune,
	};
	*ret_memory = memory;
	return OTA_OK;
}

struct store *store_memory_store(struct store_memory *memory)
{
	return &memory->store;
}

void store_memory_set_room(struct store_memory *memory, size_t rows)
{
	memory->most = rows;
}

void store_memory_set_error(struct store_memory *memory, enum ota_err err)
{
	memory->error = err;
}

void store_memory_crash(struct store_memory *memory)
{
	struct batch *batch;

	while ((batch = memory->queue)) {
		memory->queue = batch->next;
		free_batch(batch);
	}
	while ((batch = memory->finished)) {
		memory->finished = batch->next;
		free_batch(batch);
	}
	memory->queue_end = &memory->queue;
	memory->finished_end = &memory->finished;
	memory->queued = 0;
	memory->ticket = 0;
}

size_t store_memory_count(const struct store_memory *memory, enum store_kind kind)
{
	return memory->tables[kind].count;
}

void store_memory_free(struct store_memory *memory)
{
	if (!memory)
		return;
	store_memory_crash(memory);
	for (unsigned kind = 0; kind < STORE_KIND_COUNT; kind++) {
		for (size_t i = 0; i < memory->tables[kind].count; i++)
			store_row_done(&memory->tables[kind].rows[i]);
		free(memory->tables[kind].rows);
		free(memory->tables[kind].marks);
	}
	free(memory);
}
