/* The boot state in our own two-copy record: for systems whose selector is the agent itself or
 * an init script that calls `ota-agent boot-select`. Payload: seven 32-bit numbers,
 * little-endian: phase, active, trying, tries, bootable a, bootable b, exhausted. */
#include "bootstate.h"

#include "own.h"
#include "record.h"

#include <string.h>

#define BOOT_MAGIC UINT32_C(0x4241544f) /* "OTAB" */
#define BOOT_SIZE  64u

static void state_put(const struct boot_state *state, uint8_t payload[BOOT_SIZE])
{
	uint8_t *at = payload;

	memset(payload, 0, BOOT_SIZE);
	record_put_u32(&at, state->phase);
	record_put_u32(&at, state->active);
	record_put_u32(&at, state->trying);
	record_put_u32(&at, state->tries);
	record_put_u32(&at, state->bootable[BOOT_SLOT_A]);
	record_put_u32(&at, state->bootable[BOOT_SLOT_B]);
	record_put_u32(&at, state->exhausted);
}

static void state_get(struct boot_state *state, const uint8_t payload[BOOT_SIZE])
{
	const uint8_t *at = payload;

	state->phase = (enum boot_phase)record_get_u32(&at);
	state->active = (enum boot_slot)record_get_u32(&at);
	state->trying = (enum boot_slot)record_get_u32(&at);
	state->tries = record_get_u32(&at);
	state->bootable[BOOT_SLOT_A] = record_get_u32(&at) != 0;
	state->bootable[BOOT_SLOT_B] = record_get_u32(&at) != 0;
	state->exhausted = record_get_u32(&at) != 0;
}

static enum ota_err record_store_read(void *ctx, struct boot_state *ret_state,
				      struct ota_why *why)
{
	struct record *record = ctx;
	uint8_t payload[BOOT_SIZE];
	enum record_found found;

	state_put(&bootstate_factory, payload);
	enum ota_err err = record_reread(record, payload, &found, why);
	if (err)
		return err;
	state_get(ret_state, payload);
	return OTA_OK;
}

static enum ota_err record_store_write(void *ctx, const struct boot_state *state,
				       struct ota_why *why)
{
	uint8_t payload[BOOT_SIZE];

	state_put(state, payload);
	return record_write(ctx, payload, why);
}

static void record_store_done(void *ctx)
{
	record_done(ctx);
	free(ctx);
}

enum ota_err bootstate_record_open(const struct disk *disk, const char *path, uint64_t offset,
				   struct boot_store *ret_store, struct ota_why *why)
{
	uint8_t payload[BOOT_SIZE];
	enum record_found found;
	AUTO_FREE struct record *record = malloc(sizeof(*record));

	if (!record)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the boot state");
	state_put(&bootstate_factory, payload);
	enum ota_err err = record_open(record, disk, path, offset, BOOT_MAGIC, payload,
				       BOOT_SIZE, &found, why);
	if (err)
		return ota_context(why, err, "the boot state");
	*ret_store = (struct boot_store){
		.ctx = TAKE(record),
		.read = record_store_read,
		.write = record_store_write,
		.done = record_store_done,
	};
	return OTA_OK;
}
