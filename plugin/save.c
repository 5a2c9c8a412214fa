/* What an input changed becomes one batch of rows. Reports are acknowledged and trials granted
 * when the ticket of their batch comes back as stored. */
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

enum ota_err save_begin(struct engine *engine, struct ota_why *why)
{
	const struct store *store = engine->io.store;

	if (store->room(store->ctx) < ENGINE_ROOM_MIN + engine->left_count)
		return ota_fail(why, OTA_BUSY, "the store's queue is full");
	if (engine->pending_count >= ENGINE_PENDING_MAX)
		return ota_fail(why, OTA_BUSY, "%u acknowledgements wait for the store",
				engine->pending_count);
	engine->now = engine->io.now_ms(engine->io.ctx);
	return OTA_OK;
}

struct store_row *save_row(struct engine *engine, enum store_kind kind)
{
	struct store_row *row;

	if (engine->row_count == engine->row_room) {
		size_t room = engine->row_room ? engine->row_room * 2 : 64;
		struct store_row *bigger = realloc(engine->rows, room * sizeof(*bigger));
		if (!bigger) {
			engine->row_lost = true;
			return NULL;
		}
		engine->rows = bigger;
		engine->row_room = room;
	}
	row = &engine->rows[engine->row_count++];
	memset(row, 0, sizeof(*row));
	row->kind = kind;
	return row;
}

void save_product(struct engine *engine, const struct product *product)
{
	struct store_row *row = save_row(engine, STORE_PRODUCT);

	if (!row)
		return;
	text_copy(row->product.name, NAME_SIZE, product->name);
	text_copy(row->product.default_hardware, NAME_SIZE, product->default_hardware);
	row->product.title = product->title;
	row->product.import_only = product->import_only;
	row->product.second_approval = product->second_approval;
	row->product.created_ms = product->created_ms;
}

void save_device(struct engine *engine, struct device *device)
{
	struct store_row *row = save_row(engine, STORE_DEVICE);
	struct store_device *to;

	if (!row)
		return;
	to = &row->device;
	text_copy(to->id, NAME_SIZE, device->id);
	text_copy(to->product, NAME_SIZE, device->product->name);
	to->status = (enum device_status)device->status;
	to->development = device->development;
	to->updates_disabled = device->updates_disabled;
	text_copy(to->pin, NAME_SIZE, word_text(device->pin));
	text_copy(to->hardware, NAME_SIZE, device_hardware(device));
	text_copy(to->version, NAME_SIZE, device_version(device));
	if (device->runs)
		to->digest = device->runs->digest;
	if (device->texts) {
		to->notes = device->texts->notes;
		to->previous = device->texts->previous;
	}
	to->security_version = device->security_version;
	to->floor = device->floor;
	to->root = device->root;
	to->number = device->number;
	to->slot_size = device->slot_size;
	to->first_ms = device->first_ms;
	to->seen_ms = device->seen_ms;
	device->stored_ms = device->seen_ms;
}

void save_firmware(struct engine *engine, const struct firmware *firmware)
{
	struct store_row *row = save_row(engine, STORE_FIRMWARE);

	if (!row)
		return;
	text_copy(row->firmware.product, NAME_SIZE, firmware->product->name);
	text_copy(row->firmware.version, NAME_SIZE, firmware->version);
	row->firmware.digest = firmware->digest;
	row->firmware.development = firmware->development;
	row->firmware.envelope = firmware->envelope;
	row->firmware.packs = firmware->packs;
	row->firmware.pack_count = firmware->pack_count;
	row->firmware.created_ms = firmware->created_ms;
	row->firmware.proven = firmware->proven;
}

/* The report row of an event, numbered and timed. */
static struct store_report *save_event(struct engine *engine, enum store_event event,
				       const struct product *product)
{
	struct store_row *row = save_row(engine, STORE_REPORT);

	if (!row)
		return NULL;
	row->report.sequence = ++engine->sequence;
	row->report.time_ms = engine->now;
	row->report.event = event;
	text_copy(row->report.product, NAME_SIZE, product->name);
	return &row->report;
}

void save_release(struct engine *engine, struct release *release)
{
	struct store_row *row = save_row(engine, STORE_RELEASE);
	struct store_report *event;

	release->changed_ms = engine->now;
	if (!row)
		return;
	text_copy(row->release.product, NAME_SIZE, release->product->name);
	row->release.number = release->document.number;
	row->release.envelope = release->envelope;
	text_copy(row->release.manager, NAME_SIZE, release->manager);
	text_copy(row->release.approver, NAME_SIZE, release->approver);
	row->release.state = release->state;
	row->release.reason = release->reason;
	row->release.wave = release->wave;
	row->release.fast_now = release->fast_now;
	row->release.reverting = release->reverting;
	for (uint32_t i = 0; i < release->wave_count && i < DOCUMENT_WAVES_MAX; i++)
		row->release.forgiven[i] = release->tallies[i].forgiven;
	row->release.created_ms = release->created_ms;
	row->release.changed_ms = release->changed_ms;
	row->release.started_ms = release->started_ms;
	row->release.wave_ms = release->wave_ms;
	event = save_event(engine, STORE_EVENT_RELEASE, release->product);
	if (!event)
		return;
	event->release = release->document.number;
	event->release_state = release->state;
	event->wave = release->wave;
	event->reason = release->reason;
	memcpy(event->counts, release->counts, sizeof(event->counts));
	engine->io.event(engine->io.ctx, event);
}

void save_update(struct engine *engine, struct update *update)
{
	if (update->flags & UPDATE_DIRTY)
		return;
	if (engine->dirty_count == engine->dirty_room) {
		size_t room = engine->dirty_room ? engine->dirty_room * 2 : 64;
		struct update **bigger = realloc(engine->dirty, room * sizeof(*bigger));
		if (!bigger)
			return;
		engine->dirty = bigger;
		engine->dirty_room = room;
	}
	engine->dirty[engine->dirty_count++] = update;
	update->flags |= UPDATE_DIRTY;
}

static void save_update_row(struct engine *engine, const struct update *update)
{
	struct store_row *row = save_row(engine, STORE_UPDATE);
	struct store_update *to;

	if (!row)
		return;
	to = &row->update;
	text_copy(to->device, NAME_SIZE, update->device->id);
	text_copy(to->product, NAME_SIZE, update->release->product->name);
	to->release = update->release->document.number;
	to->attempt = update->attempt;
	to->seq = update->seq;
	to->state = (enum update_state)update->state;
	to->wave = update->wave;
	to->failures = update->failures;
	to->round = update->round;
	to->flags = update->flags & ~(unsigned)UPDATE_DIRTY;
	to->done = update->done;
	to->total = update->total;
	if (update->error) {
		to->error = update->error->err;
		to->error_state = update->error->state;
		to->error_detail = update->error->detail;
		to->error_message = update->error->message;
	}
	to->created_ms = update->created_ms;
	to->changed_ms = update->changed_ms;
	to->due_ms = update->due_ms;
}

void save_device_event(struct engine *engine, const struct device *device)
{
	struct store_report *event = save_event(engine, STORE_EVENT_DEVICE, device->product);

	if (!event)
		return;
	text_copy(event->device, NAME_SIZE, device->id);
	event->status = (enum device_status)device->status;
	event->online = device->online;
	text_copy(event->version, NAME_SIZE, device_version(device));
	engine->io.event(engine->io.ctx, event);
}

void save_step(struct engine *engine, const struct update *update)
{
	const struct device *device = update->device;
	struct store_report *event =
		save_event(engine, STORE_EVENT_UPDATE, update->release->product);

	if (!event)
		return;
	text_copy(event->device, NAME_SIZE, device->id);
	event->release = update->release->document.number;
	event->attempt = update->attempt;
	event->state = (enum update_state)update->state;
	text_copy(event->version, NAME_SIZE, device_version(device));
	if (device->runs)
		event->digest = device->runs->digest;
	event->done = update->done;
	event->total = update->total;
	if (update->error && update_state_is_bad((enum update_state)update->state)) {
		event->error = update->error->err;
		event->error_state = update->error->state;
		event->error_detail = update->error->detail;
		event->error_message = update->error->message;
	}
	engine->io.event(engine->io.ctx, event);
}

void save_report(struct engine *engine, const struct device *device, struct update *update,
		 const struct product *product, const struct report *report)
{
	struct store_report *event = save_event(engine, STORE_EVENT_UPDATE, product);
	uint32_t second = (uint32_t)(engine->now / 1000);
	bool progress = report->state == UPDATE_DOWNLOADING && !report->has_error;

	if (!event)
		return;
	text_copy(event->device, NAME_SIZE, device->id);
	event->release = report->release;
	event->attempt = report->attempt;
	event->seq = report->seq;
	event->state = report->state;
	event->at_ms = report->at_ms;
	text_copy(event->version, NAME_SIZE, report->version);
	event->digest = report->digest;
	event->done = report->done;
	event->total = report->total;
	event->fetched = report->fetched;
	event->reason = report->reason[0] ? report->reason : NULL;
	if (report->has_error) {
		event->error = report->error.number;
		event->error_state = report->error.state;
		event->error_detail = report->error.detail;
		event->error_message = report->error.message;
		event->error_log = report->error.log;
	}
	if (progress && update && update->event_s == second)
		return; /* progress is shown once a second */
	if (update)
		update->event_s = second;
	engine->io.event(engine->io.ctx, event);
}

/* Rows that could not be handed over are kept as copies of their own, but for history: its
 * texts are the caller's, and a report that is not acknowledged comes again. */
static void keep_rows(struct engine *engine)
{
	struct store_row *left = realloc(
		engine->left, (engine->left_count + engine->row_count + 1) * sizeof(*left));

	if (left) {
		engine->left = left;
		for (size_t i = 0; i < engine->row_count; i++) {
			if (engine->rows[i].kind == STORE_REPORT)
				continue;
			if (store_row_copy(&engine->rows[i], &left[engine->left_count], NULL) ==
			    OTA_OK)
				engine->left_count++;
		}
	}
	engine->row_count = 0;
}

static enum ota_err flush_left(struct engine *engine, struct ota_why *why)
{
	const struct store *store = engine->io.store;
	enum ota_err err;

	if (!engine->left_count)
		return OTA_OK;
	err = store->write(store->ctx, engine->left, engine->left_count, &engine->ticket, why);
	if (err)
		return err;
	for (size_t i = 0; i < engine->left_count; i++)
		store_row_done(&engine->left[i]);
	engine->left_count = 0;
	return OTA_OK;
}

enum ota_err engine_flush(struct engine *engine, struct ota_why *why)
{
	const struct store *store = engine->io.store;
	enum ota_err err;

	for (size_t i = 0; i < engine->dirty_count; i++) {
		struct update *update = engine->dirty[i];
		update->flags &= (uint16_t)~UPDATE_DIRTY;
		save_update_row(engine, update);
	}
	engine->dirty_count = 0;
	if (!engine->row_count && !engine->left_count)
		return OTA_OK;
	err = flush_left(engine, why);
	if (!err && engine->row_count)
		err = store->write(store->ctx, engine->rows, engine->row_count, &engine->ticket,
				   why);
	if (err)
		keep_rows(engine);
	engine->row_count = 0;
	if (!err && engine->row_lost)
		err = ota_fail(why, OTA_OUT_OF_MEMORY, "a row could not be stored");
	engine->row_lost = false;
	return err;
}

void save_end(struct engine *engine)
{
	struct ota_why why;

	if (engine_flush(engine, &why) != OTA_OK)
		return;
}

enum ota_err save_pending(struct engine *engine, const struct pending *pending,
			  struct ota_why *why)
{
	if (engine->pending_count == engine->pending_room) {
		uint32_t room = engine->pending_room ? engine->pending_room * 2 : 64;
		struct pending *bigger = calloc(room, sizeof(*bigger));
		if (!bigger)
			return ota_fail(why, OTA_OUT_OF_MEMORY,
					"acknowledgements wait, no memory");
		for (uint32_t i = 0; i < engine->pending_count; i++)
			bigger[i] = engine->pending[(engine->pending_first + i) %
						    engine->pending_room];
		free(engine->pending);
		engine->pending = bigger;
		engine->pending_room = room;
		engine->pending_first = 0;
	}
	engine->pending[(engine->pending_first + engine->pending_count) %
			engine->pending_room] = *pending;
	engine->pending_count++;
	return OTA_OK;
}

static void deliver_grant(struct engine *engine, const struct pending *pending, bool stored)
{
	struct control control = {.v = 1, .type = CONTROL_GRANT};
	struct release *release = pending->release;
	struct update *update;

	if (release->grants && --release->grants == 0)
		release->grant_ms = 0;
	if (!stored || !pending->device->online)
		return;
	memcpy(control.nonce, pending->nonce, sizeof(control.nonce));
	control.release = release->document.number;
	control.attempt = pending->attempt;
	update = device_update(pending->device, release);
	if (update && update->attempt == pending->attempt)
		update->flags |= UPDATE_GRANTED;
	engine->io.send_control(engine->io.ctx, pending->device->id, &control);
}

static void settle(struct engine *engine, const struct pending *pending, enum ota_err err)
{
	uint64_t seqs[] = {pending->seq};
	struct control control = {.v = 1, .type = CONTROL_ACK, .seqs = seqs, .seq_count = 1};

	if (pending->seq == 0)
		deliver_grant(engine, pending, err == OTA_OK);
	else if (!err) /* else it is not acknowledged: the device sends it again */
		engine->io.send_control(engine->io.ctx, pending->device->id, &control);
}

bool engine_saved(struct engine *engine, uint64_t ticket, enum ota_err err)
{
	bool begins = engine->begins && engine->begins <= ticket;

	if (begins)
		engine->begins = 0;
	if (err)
		conduct_unstored(engine, ticket);
	else
		engine->durable = ticket;
	while (engine->pending_count) {
		struct pending first = engine->pending[engine->pending_first];

		if (first.ticket > ticket)
			break;
		engine->pending_first = (engine->pending_first + 1) % engine->pending_room;
		engine->pending_count--;
		settle(engine, &first, err);
	}
	return begins;
}

void save_done(struct engine *engine)
{
	for (size_t i = 0; i < engine->left_count; i++)
		store_row_done(&engine->left[i]);
	free(engine->left);
	free(engine->rows);
	free(engine->dirty);
	free(engine->pending);
}
