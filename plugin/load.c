/* Memory from the store, at start. Documents were verified when they came in; devices verify
 * them again whatever the store says, so here they are only read. */
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

struct loading {
	struct engine *engine;
	enum ota_err err;
	struct ota_why *why;
};

static bool stop(struct loading *loading, enum ota_err err)
{
	loading->err = err;
	return err == OTA_OK;
}

static bool load_product(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	const struct store_product *from = &row->product;
	struct product *product = NULL;
	enum ota_err err =
		roster_add_product(loading->engine, from->name, &product, loading->why);

	if (err)
		return stop(loading, err);
	text_copy(product->default_hardware, NAME_SIZE, from->default_hardware);
	product->title = from->title && from->title[0] ? strdup(from->title) : NULL;
	product->import_only = from->import_only;
	product->second_approval = from->second_approval;
	product->created_ms = from->created_ms;
	return true;
}

static struct product *product_of(struct loading *loading, const char *name, const char *what)
{
	struct product *product = roster_product(loading->engine, name);

	if (!product)
		loading->err =
			ota_fail(loading->why, OTA_INTERNAL,
				 "the store has a %s of the product '%s', but not the product",
				 what, name);
	return product;
}

static bool load_group(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	struct product *product = product_of(loading, row->group.product, "group");
	struct group *group = NULL;

	if (!product)
		return false;
	if (!stop(loading, roster_add_group(product, row->group.name, &group, loading->why)))
		return false;
	group->created_ms = row->group.created_ms;
	return true;
}

static bool load_device(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	struct engine *engine = loading->engine;
	const struct store_device *from = &row->device;
	struct product *product = product_of(loading, from->product, "device");
	struct device *device = NULL;

	if (!product || !stop(loading, roster_add_device(engine, product, from->id,
							 from->status, &device, loading->why)))
		return false;
	device->development = from->development;
	device->updates_disabled = from->updates_disabled;
	device->pin = word_take(&engine->words, from->pin);
	device->hardware = word_take(&engine->words, from->hardware);
	if (from->version[0])
		roster_set_runs(engine, device, from->version, &from->digest);
	device->security_version = from->security_version;
	device->floor = from->floor;
	device->root = (uint32_t)from->root;
	device->number = from->number;
	device->slot_size = from->slot_size;
	device->first_ms = from->first_ms;
	device->seen_ms = device->stored_ms = from->seen_ms;
	if ((from->notes && from->notes[0]) || !digest_is_zero(&from->previous)) {
		if (roster_texts(device)) {
			device->texts->previous = from->previous;
			if (from->notes && from->notes[0])
				device->texts->notes = strdup(from->notes);
		}
	}
	return true;
}

static bool load_member(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	struct product *product = product_of(loading, row->member.product, "group member");
	struct group *group = product ? product_group(product, row->member.group) : NULL;
	struct device *device = roster_device(loading->engine, row->member.device);

	if (!product)
		return false;
	if (!group || !device || device->product != product)
		return true; /* it left before its row did */
	return stop(loading, roster_join(device, group, loading->why));
}

static bool load_firmware(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	const struct store_firmware *from = &row->firmware;
	struct product *product = product_of(loading, from->product, "firmware");
	AUTO(envelope_done) struct envelope envelope = {0};
	struct firmware_document document = {0};
	struct firmware *firmware = NULL;
	enum ota_err err;

	if (!product)
		return false;
	err = envelope_read(from->envelope, strlen(from->envelope), ENVELOPE_FIRMWARE,
			    &envelope, loading->why);
	if (!err)
		err = firmware_read(envelope.payload, envelope.payload_len, &document,
				    loading->why);
	if (!err)
		err = shelf_add(product, &document, &from->digest, from->development,
				from->envelope, from->packs, from->pack_count, &firmware,
				loading->why);
	if (err) {
		firmware_done(&document);
		return stop(loading,
			    ota_context(loading->why, err, "stored firmware '%s' of '%s'",
					from->version, from->product));
	}
	firmware->created_ms = from->created_ms;
	firmware->proven = from->proven;
	return true;
}

static void restore_release(struct release *release, const struct store_release *from)
{
	text_copy(release->manager, NAME_SIZE, from->manager);
	text_copy(release->approver, NAME_SIZE, from->approver);
	release->state = from->state < RELEASE_STATE_COUNT ? (enum release_state)from->state
							   : RELEASE_HELD;
	conduct_set_reason(release, from->reason);
	release->wave = from->wave < release->wave_count ? from->wave : release->wave_count - 1;
	release->fast_now = from->fast_now;
	release->reverting = from->reverting;
	for (uint32_t i = 0; i < release->wave_count && i < DOCUMENT_WAVES_MAX; i++)
		release->tallies[i].forgiven = from->forgiven[i];
	release->created_ms = from->created_ms;
	release->changed_ms = from->changed_ms;
	release->started_ms = from->started_ms;
	release->wave_ms = from->wave_ms;
	release->stored = true;
}

static bool load_release(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	const struct store_release *from = &row->release;
	struct product *product = product_of(loading, from->product, "release");
	AUTO(envelope_done) struct envelope envelope = {0};
	struct release_document document = {0};
	struct release *release = NULL;
	enum ota_err err;

	if (!product)
		return false;
	err = envelope_read(from->envelope, strlen(from->envelope), ENVELOPE_RELEASE, &envelope,
			    loading->why);
	if (!err)
		err = release_read(envelope.payload, envelope.payload_len, &document,
				   loading->why);
	if (!err)
		err = conduct_new(product, &document, from->envelope, &release, loading->why);
	if (err)
		release_done(&document);
	if (!err && !release->firmware)
		err = ota_fail(loading->why, OTA_INTERNAL, "its firmware is not in the store");
	if (!err)
		err = conduct_add(product, release, loading->why);
	if (err) {
		conduct_free(release);
		return stop(loading,
			    ota_context(loading->why, err, "stored release %llu of '%s'",
					(unsigned long long)from->number, from->product));
	}
	restore_release(release, from);
	return true;
}

/* While the broker was away nobody could be heard: that silence is not held against a device.
 */
static uint64_t due_after_start(const struct engine *engine, const struct update *update,
				uint64_t due_ms)
{
	uint64_t grace = update->release->document.thresholds.silence_s * 1000;

	if (!due_ms || !update_state_is_busy((enum update_state)update->state))
		return due_ms;
	if (grace > engine->limits.restart_ms)
		grace = engine->limits.restart_ms;
	return due_ms > engine->now + grace ? due_ms : engine->now + grace;
}

static void restore_update(struct engine *engine, struct update *update,
			   const struct store_update *from)
{
	attempt_count(update, -1);
	update->attempt = from->attempt;
	update->seq = from->seq;
	update->state = (uint8_t)from->state;
	if (from->wave < update->release->wave_count)
		update->wave = (uint8_t)from->wave;
	update->failures = (uint8_t)from->failures;
	update->round = (uint8_t)from->round;
	update->flags = (uint16_t)(from->flags & ~(unsigned)(UPDATE_DIRTY | UPDATE_PLACE));
	update->done = from->done;
	update->total = from->total;
	update->created_ms = from->created_ms;
	update->changed_ms = from->changed_ms;
	if (from->error)
		attempt_set_error(update, (enum ota_err)from->error, from->error_state,
				  from->error_detail,
				  from->error_message ? from->error_message : "");
	attempt_count(update, 1);
	if ((from->flags & UPDATE_PLACE) && !rollout_take_place(engine, update))
		update->release->starved =
			true; /* the limit was lowered: it waits for a chunk */
	timer_set(&engine->timers, update, due_after_start(engine, update, from->due_ms));
}

static bool load_update(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	const struct store_update *from = &row->update;
	struct product *product = roster_product(loading->engine, from->product);
	struct release *release = product ? product_release(product, from->release) : NULL;
	struct device *device = roster_device(loading->engine, from->device);
	struct update *update;

	if (!release || !device || from->state == UPDATE_NONE ||
	    from->state >= UPDATE_STATE_COUNT)
		return true;
	update = device_update(device, release);
	if (!update)
		update = attempt_new(loading->engine, device, release);
	if (!update)
		return stop(loading, ota_fail(loading->why, OTA_OUT_OF_MEMORY, "updates"));
	restore_update(loading->engine, update, from);
	return true;
}

static enum ota_err load_kind(struct loading *loading, enum store_kind kind, store_row_fn each)
{
	const struct store *store = loading->engine->io.store;
	enum ota_err err = store->load(store->ctx, kind, each, loading, loading->why);

	return err ? err : loading->err;
}

/* Targets of everyone, in one go: nothing is connected yet, so nothing is sent. Should the
 * store's queue fill up on the way, the ticks go on with it. */
static void compute_targets(struct engine *engine)
{
	for (struct product *product = engine->products; product; product = product->hh.next) {
		conduct_actives(product);
		product->sweep_left = product->device_count;
		product->sweep_at = 0;
		while (fleet_sweep_slice(engine, product))
			save_end(engine);
		save_end(engine);
	}
}

enum ota_err engine_load(struct engine *engine, struct ota_why *why)
{
	static const struct {
		enum store_kind kind;
		store_row_fn each;
	} steps[] = {
		{STORE_PRODUCT, load_product},	 {STORE_GROUP, load_group},
		{STORE_DEVICE, load_device},	 {STORE_MEMBER, load_member},
		{STORE_FIRMWARE, load_firmware}, {STORE_RELEASE, load_release},
		{STORE_UPDATE, load_update},
	};
	const struct store *store = engine->io.store;
	struct loading loading = {.engine = engine, .why = why};
	enum ota_err err = store->last_sequence(store->ctx, &engine->sequence, why);

	engine->now = engine->io.now_ms(engine->io.ctx);
	for (size_t i = 0; !err && i < sizeof(steps) / sizeof(*steps); i++)
		err = load_kind(&loading, steps[i].kind, steps[i].each);
	if (err)
		return err;
	compute_targets(engine);
	return OTA_OK;
}
