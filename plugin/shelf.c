/* The firmware of a product. */
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

void shelf_free(struct firmware *firmware)
{
	if (!firmware)
		return;
	firmware_done(&firmware->document);
	free(firmware->envelope);
	free(firmware->packs);
	free(firmware);
}

static enum ota_err add_packs(struct firmware *firmware, const struct offer_pack *packs,
			      uint32_t pack_count, struct ota_why *why)
{
	struct offer_pack *all = calloc(firmware->pack_count + pack_count + 1u, sizeof(*all));
	uint32_t count = firmware->pack_count;

	if (!all)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "packs of '%s'", firmware->version);
	if (count)
		memcpy(all, firmware->packs, count * sizeof(*all));
	for (uint32_t i = 0; i < pack_count; i++) {
		uint32_t at = 0;
		while (at < count && !digest_equal(&all[at].sha256, &packs[i].sha256))
			at++;
		if (at == count)
			all[count++] = packs[i];
	}
	if (count > MESSAGE_PACKS_MAX) {
		free(all);
		return ota_fail(why, OTA_TOO_LARGE,
				"version '%s' would have %u packs, at most %u",
				firmware->version, count, MESSAGE_PACKS_MAX);
	}
	free(firmware->packs);
	firmware->packs = all;
	firmware->pack_count = count;
	return OTA_OK;
}

enum ota_err shelf_add(struct product *product, struct firmware_document *document,
		       const struct digest *digest, bool development, const char *envelope,
		       const struct offer_pack *packs, uint32_t pack_count,
		       struct firmware **ret_firmware, struct ota_why *why)
{
	struct firmware *firmware = calloc(1, sizeof(*firmware));
	enum ota_err err = OTA_OK;

	if (firmware)
		firmware->envelope = strdup(envelope);
	if (!firmware || !firmware->envelope ||
	    !engine_grow(&product->firmwares, product->firmware_count, &product->firmware_room,
			 sizeof(*product->firmwares)))
		err = ota_fail(why, OTA_OUT_OF_MEMORY, "firmware '%s'", document->version);
	if (!err) {
		text_copy(firmware->version, NAME_SIZE, document->version);
		err = add_packs(firmware, packs, pack_count, why);
	}
	if (err) {
		shelf_free(firmware);
		return err;
	}
	firmware->product = product;
	firmware->digest = *digest;
	firmware->image = document->components[0].sha256;
	firmware->development = development;
	firmware->document = *document;
	memset(document, 0, sizeof(*document));
	product->firmwares[product->firmware_count++] = firmware;
	*ret_firmware = firmware;
	return OTA_OK;
}

static void save_firmware_event(struct engine *engine, const struct firmware *firmware)
{
	struct store_report event = {.sequence = ++engine->sequence,
				     .time_ms = engine->now,
				     .event = STORE_EVENT_FIRMWARE};
	struct store_row *row = save_row(engine, STORE_REPORT);

	text_copy(event.product, NAME_SIZE, firmware->product->name);
	text_copy(event.version, NAME_SIZE, firmware->version);
	if (row)
		row->report = event;
	engine->io.event(engine->io.ctx, &event);
}

/* Has a device of the product run it, accepted, before anybody released it? */
static bool is_proven_by_fleet(const struct firmware *firmware)
{
	const struct product *product = firmware->product;

	for (uint32_t i = 0; i < product->device_count; i++) {
		if (product->devices[i]->status == DEVICE_APPROVED &&
		    fleet_runs(product->devices[i], firmware))
			return true;
	}
	return false;
}

enum ota_err engine_firmware_add(struct engine *engine, struct trusted_firmware *trusted,
				 const char *envelope, const struct offer_pack *packs,
				 uint32_t pack_count, struct ota_why *why)
{
	struct product *product = roster_product(engine, trusted->document.product);
	struct firmware *firmware;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'",
				trusted->document.product);
	firmware = product_firmware(product, trusted->document.version);
	if (firmware && !digest_equal(&firmware->digest, &trusted->digest))
		return ota_fail(why, OTA_VERSION_EXISTS,
				"version '%s' of '%s' is there with another manifest",
				firmware->version, product->name);
	if (firmware) {
		err = add_packs(firmware, packs, pack_count, why);
		if (!err)
			firmware_done(&trusted->document);
	} else {
		err = shelf_add(product, &trusted->document, &trusted->digest,
				trusted->development, envelope, packs, pack_count, &firmware,
				why);
		if (!err) {
			firmware->created_ms = engine->now;
			firmware->proven = is_proven_by_fleet(firmware);
		}
	}
	if (err)
		return err;
	save_firmware(engine, firmware);
	save_firmware_event(engine, firmware);
	return engine_flush(engine, why);
}

enum ota_err engine_firmware_packs(struct engine *engine, const char *product_name,
				   const char *version, const struct offer_pack *packs,
				   uint32_t pack_count, struct ota_why *why)
{
	struct product *product = roster_product(engine, product_name);
	struct firmware *firmware = product ? product_firmware(product, version) : NULL;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!firmware)
		return ota_fail(why, OTA_NOT_FOUND, "no version '%s' of '%s'", version,
				product_name);
	err = add_packs(firmware, packs, pack_count, why);
	if (err)
		return err;
	save_firmware(engine, firmware);
	return engine_flush(engine, why);
}

static enum ota_err check_unused(const struct product *product, const struct firmware *firmware,
				 struct ota_why *why)
{
	for (uint32_t i = 0; i < product->release_count; i++) {
		if (product->releases[i]->firmware == firmware)
			return ota_fail(
				why, OTA_CONFLICT, "release %llu carries it",
				(unsigned long long)product->releases[i]->document.number);
	}
	for (uint32_t i = 0; i < product->device_count; i++) {
		const struct device *device = product->devices[i];
		if (device->pin && strcmp(device->pin->text, firmware->version) == 0)
			return ota_fail(why, OTA_CONFLICT, "device '%s' is pinned to it",
					device->id);
	}
	return OTA_OK;
}

enum ota_err engine_firmware_delete(struct engine *engine, const char *product_name,
				    const char *version, struct ota_why *why)
{
	struct product *product = roster_product(engine, product_name);
	struct firmware *firmware = product ? product_firmware(product, version) : NULL;
	enum ota_err err = save_begin(engine, why);
	struct store_row *row;

	if (err)
		return err;
	if (!firmware)
		return ota_fail(why, OTA_NOT_FOUND, "no version '%s' of '%s'", version,
				product_name);
	err = check_unused(product, firmware, why);
	if (err)
		return err;
	for (uint32_t i = 0; i < product->firmware_count; i++) {
		if (product->firmwares[i] != firmware)
			continue;
		product->firmware_count--;
		memmove(&product->firmwares[i], &product->firmwares[i + 1],
			(product->firmware_count - i) * sizeof(*product->firmwares));
		break;
	}
	save_firmware(engine, firmware);
	row = engine->row_count ? &engine->rows[engine->row_count - 1] : NULL;
	if (row)
		row->gone = true;
	err = engine_flush(engine, why);
	shelf_free(firmware);
	return err;
}
