#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "own.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YEAR_S (365u * 86400u)

static uint64_t now_ms(void *ctx)
{
	return ((struct world *)ctx)->now_ms;
}

static uint64_t mono_ms(void *ctx)
{
	return ((struct world *)ctx)->mono_ms;
}

uint32_t world_random(struct world *world, uint32_t below)
{
	world->random = world->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return below ? (uint32_t)(world->random >> 33) % below : 0;
}

static uint32_t random_bits(void *ctx)
{
	return world_random(ctx, UINT32_MAX);
}

static struct sim_message *post(struct world *world, const char *id)
{
	struct sim_device *device = world_find(world, id);
	struct sim_message *message;

	assert_non_null(device);
	if (!device->online)
		return NULL;
	if (device->inbox_count == device->inbox_room) {
		device->inbox_room = device->inbox_room ? device->inbox_room * 2 : 8;
		device->inbox =
			realloc(device->inbox, device->inbox_room * sizeof(*device->inbox));
		assert_non_null(device->inbox);
	}
	message = &device->inbox[device->inbox_count++];
	memset(message, 0, sizeof(*message));
	return message;
}

static void send_offer(void *ctx, const struct device *device, const struct release *release,
		       uint32_t attempt)
{
	struct sim_message *message = post(ctx, device->id);

	assert_true(attempt >= 1);
	if (!message)
		return;
	message->is_offer = true;
	message->release = release->document.number;
	message->attempt = attempt;
}

static void send_control(void *ctx, const char *id, const struct control *control)
{
	struct sim_message *message = post(ctx, id);

	if (!message)
		return;
	message->control = *control;
	if (control->type == CONTROL_ACK) {
		assert_int_equal(control->seq_count, 1);
		message->control.release = control->seqs[0];
	}
	message->control.seqs = NULL;
}

static void send_welcome(void *ctx, const struct device *device, const struct hello *hello)
{
	struct sim_message *message = post(ctx, device->id);

	if (!message)
		return;
	message->control.type = CONTROL_WELCOME;
	memcpy(message->control.nonce, hello->nonce, sizeof(hello->nonce));
}

static void fan_out(void *ctx, const struct release *release, uint32_t shard)
{
	struct world *world = ctx;

	world->fans++;
	for (unsigned i = 0; i < world->device_count; i++) {
		struct sim_device *device = &world->devices[i];
		struct sim_message *message;
		if (!device->online || name_shard(device->id, world->limits.shards) != shard ||
		    !engine_may_subscribe(world->engine, device->id, release->product->name,
					  release->group ? release->group->name : NULL))
			continue;
		if (!engine_may_deliver(world->engine, device->id, release->document.number))
			continue;
		message = post(world, device->id);
		message->is_offer = true;
		message->release = release->document.number;
		message->attempt = 1;
	}
}

static void event(void *ctx, const struct store_report *report)
{
	struct world *world = ctx;

	world->events++;
	assert_true(report->sequence > world->last_event);
	world->last_event = report->sequence;
}

static void disconnect(void *ctx, const char *id)
{
	struct world *world = ctx;
	struct sim_device *device = world_find(world, id);

	world->disconnects++;
	if (device && device->online)
		world_cut(world, device);
}

static void boot(struct world *world)
{
	struct engine_io io = {
		.ctx = world,
		.now_ms = now_ms,
		.mono_ms = mono_ms,
		.random = random_bits,
		.store = store_memory_store(world->memory),
		.send_offer = send_offer,
		.send_control = send_control,
		.send_welcome = send_welcome,
		.fan_out = fan_out,
		.event = event,
		.disconnect = disconnect,
	};
	enum ota_err err = engine_new(&io, &world->limits, &world->engine, &world->why);

	assert_int_equal(err, OTA_OK);
	err = engine_load(world->engine, &world->why);
	if (err)
		fail_msg("%s", world->why.text);
}

void world_start(struct world *world)
{
	memset(world, 0, sizeof(*world));
	engine_limits_default(&world->limits);
	world->limits.fan_settle_ms = 0; /* its broker delivers at once */
	world->now_ms = WORLD_START_MS;
	world->random = 1;
	world->mono_ms = 1000;
	world->devices = calloc(WORLD_DEVICES_MAX, sizeof(*world->devices));
	assert_non_null(world->devices);
	assert_int_equal(sign_key_generate(SIGN_ED25519, &world->key, &world->why), OTA_OK);
	assert_int_equal(store_memory_new(&world->memory, &world->why), OTA_OK);
	boot(world);
	world_product(world, "lamp");
}

void world_stop(struct world *world)
{
	engine_free(world->engine);
	store_memory_free(world->memory);
	sign_key_free(world->key);
	for (unsigned i = 0; i < world->device_count; i++)
		free(world->devices[i].inbox);
	free(world->devices);
}

void world_restart_broker(struct world *world)
{
	engine_free(world->engine);
	store_memory_crash(world->memory);
	for (unsigned i = 0; i < world->device_count; i++) {
		world->devices[i].online = false;
		world->devices[i].inbox_count = 0;
	}
	world->last_event = 0;
	boot(world);
}

void world_product(struct world *world, const char *product)
{
	const struct product_change change = {.default_hardware = "a"};

	assert_int_equal(engine_product_create(world->engine, product, &change, &world->why),
			 OTA_OK);
	world_settle(world);
}

struct sim_device *world_device_of(struct world *world, const char *id, const char *product)
{
	struct sim_device *device = &world->devices[world->device_count];
	enum engine_answer answer;

	assert_true(world->device_count < WORLD_DEVICES_MAX);
	memset(device, 0, sizeof(*device));
	text_copy(device->id, NAME_SIZE, id);
	text_copy(device->product, NAME_SIZE, product);
	text_copy(device->hardware, NAME_SIZE, "a");
	text_copy(device->version, NAME_SIZE, "1.0.0");
	device->security_version = 1;
	device->slot_size = 8u << 20;
	device->gates = (struct consent_gates){true, true, true};
	world->device_count++;
	assert_int_equal(engine_device_import(world->engine, product, id, &answer, &world->why),
			 OTA_OK);
	assert_int_equal(answer, ENGINE_CHANGED);
	return device;
}

struct sim_device *world_device(struct world *world, const char *id)
{
	return world_device_of(world, id, "lamp");
}

void world_fleet(struct world *world, const char *prefix, unsigned count, bool connected)
{
	for (unsigned i = 0; i < count; i++) {
		char id[NAME_SIZE];
		struct sim_device *device;
		snprintf(id, sizeof(id), "%s%04u", prefix, i);
		device = world_device(world, id);
		if (connected)
			world_connect(world, device);
	}
	world_settle(world);
}

struct sim_device *world_find(struct world *world, const char *id)
{
	for (unsigned i = 0; i < world->device_count; i++) {
		if (strcmp(world->devices[i].id, id) == 0)
			return &world->devices[i];
	}
	return NULL;
}

void world_group(struct world *world, const char *group, const char *member)
{
	enum engine_answer answer;

	if (!product_group(engine_product(world->engine, "lamp"), group))
		assert_int_equal(engine_group_create(world->engine, "lamp", group, &world->why),
				 OTA_OK);
	if (!member)
		return;
	assert_int_equal(engine_group_edit(world->engine, "lamp", group, member, true, &answer,
					   &world->why),
			 OTA_OK);
	assert_int_not_equal(answer, ENGINE_UNKNOWN);
}

struct digest world_image(const char *version)
{
	struct digest digest;
	char text[NAME_SIZE + 8];

	snprintf(text, sizeof(text), "image %s", version);
	assert_int_equal(digest_of(text, strlen(text), &digest, NULL), OTA_OK);
	return digest;
}

static char *sign(struct world *world, enum envelope_type type, const struct json_shape *shape,
		  const void *document, struct digest *ret_digest)
{
	struct text payload = {0};
	const struct sign_key *keys[] = {world->key};
	char *envelope = NULL;

	if (json_write(shape, document, &payload, &world->why) != OTA_OK ||
	    digest_of(payload.data, payload.len, ret_digest, &world->why) != OTA_OK ||
	    envelope_make(type, payload.data, payload.len, keys, 1, &envelope, &world->why) !=
		    OTA_OK)
		fail_msg("%s", world->why.text);
	text_done(&payload);
	return envelope;
}

void world_firmware_of(struct world *world, const char *product, const char *version,
		       bool development, uint64_t security_version, const char *requires)
{
	struct firmware_component component = {.name = "main",
					       .slot_class = "main",
					       .size = WORLD_IMAGE_SIZE,
					       .segment_size = 262144};
	struct name_text hardware = {"a"};
	struct firmware_document document = {.security_version = security_version,
					     .hardware = &hardware,
					     .hardware_count = 1,
					     .components = &component,
					     .component_count = 1,
					     .created = world->now_ms / 1000};
	struct trusted_firmware trusted = {.development = development};
	AUTO_FREE char *envelope = NULL;
	AUTO(envelope_done) struct envelope read = {0};

	text_copy(document.product, NAME_SIZE, product);
	text_copy(document.version, NAME_SIZE, version);
	text_copy(document.requires_version, NAME_SIZE, requires ? requires : "");
	component.sha256 = component.index.sha256 = world_image(version);
	component.index.size = firmware_index_size(component.size, component.segment_size);
	envelope = sign(world, ENVELOPE_FIRMWARE, &firmware_shape, &document, &trusted.digest);
	if (envelope_read(envelope, strlen(envelope), ENVELOPE_FIRMWARE, &read, &world->why) ||
	    firmware_read(read.payload, read.payload_len, &trusted.document, &world->why) ||
	    engine_firmware_add(world->engine, &trusted, envelope, NULL, 0, &world->why))
		fail_msg("%s", world->why.text);
}

void world_firmware(struct world *world, const char *version)
{
	world_firmware_of(world, "lamp", version, false, 1, NULL);
}

static void fill_release(struct world *world, const struct release_spec *spec,
			 struct release_document *document)
{
	const char *name = spec->product ? spec->product : "lamp";
	const struct product *product = engine_product(world->engine, name);
	const struct firmware *firmware = product_firmware(product, spec->version);

	memset(document, 0, sizeof(*document));
	text_copy(document->product, NAME_SIZE, name);
	document->number = product_next_number(product);
	if (firmware)
		document->firmware = firmware->digest;
	document->mode = spec->mode;
	document->target.kind = spec->kind;
	text_copy(document->target.name, NAME_SIZE, spec->name ? spec->name : name);
	document->waves = (struct release_wave *)(uintptr_t)spec->waves;
	document->wave_count = spec->wave_count;
	document->has_thresholds = spec->thresholds != NULL;
	if (spec->thresholds)
		document->thresholds = *spec->thresholds;
	document->max_concurrent = spec->max_concurrent;
	document->rate = spec->rate;
	document->created = world->now_ms / 1000;
	document->not_before =
		spec->not_before_s ? world->now_ms / 1000 + spec->not_before_s : 0;
	document->deadline = spec->deadline_s ? world->now_ms / 1000 + spec->deadline_s : 0;
	document->not_after =
		world->now_ms / 1000 + (spec->not_after_s ? spec->not_after_s : YEAR_S);
	document->force = spec->force;
	document->allow_downgrade = spec->allow_downgrade;
	document->rollback_on_halt = spec->rollback_on_halt;
}

static void read_trusted(struct world *world, const struct release_spec *spec,
			 struct trusted_release *trusted, char **ret_envelope)
{
	struct release_document document;
	struct digest digest;
	AUTO(envelope_done) struct envelope read = {0};

	memset(trusted, 0, sizeof(*trusted));
	fill_release(world, spec, &document);
	*ret_envelope = sign(world, ENVELOPE_RELEASE, &release_shape, &document, &digest);
	if (envelope_read(*ret_envelope, strlen(*ret_envelope), ENVELOPE_RELEASE, &read,
			  &world->why) ||
	    release_read(read.payload, read.payload_len, &trusted->document, &world->why))
		fail_msg("%s", world->why.text);
	text_copy(trusted->manager, NAME_SIZE, spec->manager ? spec->manager : "ann");
}

enum ota_err world_try_release(struct world *world, const struct release_spec *spec,
			       uint64_t *ret_number)
{
	struct trusted_release trusted;
	AUTO_FREE char *envelope = NULL;
	const struct release *release;
	enum ota_err err;

	read_trusted(world, spec, &trusted, &envelope);
	assert_true(trusted.document.number < WORLD_RELEASES_MAX);
	text_copy(world->releases[trusted.document.number].version, NAME_SIZE, spec->version);
	err = engine_release_create(world->engine, &trusted, envelope,
				    spec->unproven ? NULL : "root", &release, &world->why);
	release_done(&trusted.document);
	if (err)
		return err;
	*ret_number = release->document.number;
	world->releases[*ret_number].force = spec->force;
	world->releases[*ret_number].number = *ret_number;
	return OTA_OK;
}

uint64_t world_release(struct world *world, struct release_spec spec)
{
	uint64_t number = 0;

	if (world_try_release(world, &spec, &number) != OTA_OK)
		fail_msg("%s", world->why.text);
	world_settle(world);
	return number;
}

uint64_t world_fast_to(struct world *world, const char *version, enum release_target kind,
		       const char *name)
{
	return world_release(world, (struct release_spec){.version = version,
							  .kind = kind,
							  .name = name,
							  .mode = RELEASE_FAST});
}

uint64_t world_fast(struct world *world, const char *version)
{
	return world_fast_to(world, version, RELEASE_TO_PRODUCT, NULL);
}

void world_begin(struct world *world)
{
	static const char *const versions[] = {"1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.10.0"};

	world_start(world);
	for (unsigned i = 0; i < 5; i++)
		world_firmware(world, versions[i]);
}

struct sim_device *world_begin_one(struct world *world, const char *id)
{
	struct sim_device *device;

	world_start(world);
	world_firmware(world, "2.0.0");
	world_firmware(world, "3.0.0");
	device = world_device(world, id);
	world_connect(world, device);
	return device;
}

void world_let_fail(struct world *world, unsigned first, unsigned end, enum ota_err err)
{
	for (unsigned i = first; i < end; i++) {
		world->devices[i].fails_in = UPDATE_DOWNLOADING;
		world->devices[i].fails_with = err;
		world->devices[i].fails_always = true;
	}
}

enum ota_err world_plan(struct world *world, const struct release_spec *spec,
			struct plan *ret_plan)
{
	struct trusted_release trusted;
	AUTO_FREE char *envelope = NULL;
	bool more = true;
	enum ota_err err = OTA_OK;

	memset(ret_plan, 0, sizeof(*ret_plan));
	read_trusted(world, spec, &trusted, &envelope);
	while (more && !err)
		err = engine_release_plan(world->engine, &trusted, ret_plan, &more,
					  &world->why);
	release_done(&trusted.document);
	return err;
}

enum ota_err world_act(struct world *world, uint64_t number, enum release_act act)
{
	const struct release *release;
	enum ota_err err = engine_release_act(world->engine, "lamp", number, act, "bob",
					      &release, &world->why);

	world_settle(world);
	return err;
}

enum ota_err world_retry(struct world *world, uint64_t number)
{
	char after[NAME_SIZE] = "";
	uint32_t retried = 0;
	bool more = true;
	enum ota_err err = OTA_OK;

	while (more && !err)
		err = engine_release_retry(world->engine, "lamp", number, after, &retried,
					   &more, &world->why);
	world_settle(world);
	return err;
}

static void saved(void *ctx, uint64_t ticket, enum ota_err err, const struct ota_why *why)
{
	struct world *world = ctx;

	(void)why;
	world->saved++;
	engine_saved(world->engine, ticket, err);
}

static void answered(void *ctx, uint64_t ticket, const struct store_page *page,
		     enum ota_err err, const struct ota_why *why)
{
	(void)ctx;
	(void)ticket;
	(void)page;
	(void)err;
	(void)why;
}

void world_settle(struct world *world)
{
	const struct store_poll to = {world, saved, answered};
	struct store *store = store_memory_store(world->memory);

	for (unsigned i = 0; i < 10000; i++) {
		unsigned saved_before = world->saved;
		bool more = engine_tick(world->engine);
		if (!world->lazy_store)
			store_memory_commit(world->memory);
		store->poll(store->ctx, &to);
		if (!more && world->saved == saved_before)
			return;
	}
	fail_msg("the engine never comes to rest");
}

void world_advance(struct world *world, uint64_t ms)
{
	world->now_ms += ms;
	world->mono_ms += ms;
	for (unsigned i = 0; i < world->device_count; i++) {
		struct sim_device *device = &world->devices[i];
		if (device->lease_until_ms && device->lease_until_ms <= world->now_ms) {
			device->lease_until_ms = 0; /* the agent opens by itself, and says so */
			world_gates(world, device, true, 0);
		}
	}
	world_settle(world);
}

const struct release *world_see_of(const struct world *world, const char *product,
				   uint64_t number)
{
	const struct release *release = engine_release(world->engine, product, number);

	assert_non_null(release);
	return release;
}

const struct release *world_see(const struct world *world, uint64_t number)
{
	return world_see_of(world, "lamp", number);
}

const struct update *world_update(const struct world *world, const struct sim_device *device,
				  uint64_t number)
{
	const struct device *known = engine_device(world->engine, device->id);

	assert_non_null(known);
	return device_update(known, world_see_of(world, known->product->name, number));
}

enum update_state world_state(const struct world *world, const struct sim_device *device,
			      uint64_t number)
{
	const struct update *update = world_update(world, device, number);

	return update ? (enum update_state)update->state : UPDATE_NONE;
}

uint32_t world_count(const struct world *world, uint64_t number, enum update_state state)
{
	return world_see(world, number)->counts[state];
}

const char *world_why(const struct world *world, const struct sim_device *device)
{
	static struct engine_why answer;
	struct ota_why why;

	assert_int_equal(engine_why(world->engine, device->id, &answer, &why), OTA_OK);
	assert_true(answer.sentence[0]);
	return answer.rule;
}
