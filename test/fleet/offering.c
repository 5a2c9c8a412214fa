#include "offering.h"

#include "own.h"

#include <string.h>

static void offering_free(struct offering *offering)
{
	if (!offering)
		return;
	json_done(&offer_shape, &offering->offer);
	free(offering);
}

static void offering_free_place(struct offering **place)
{
	offering_free(*place);
}

void offering_book_done(struct offering_book *book)
{
	while (book->first) {
		struct offering *next = book->first->next;
		offering_free(book->first);
		book->first = next;
	}
}

static void keep_firmware(struct offering *offering, const struct firmware_document *firmware)
{
	const struct firmware_component *component = &firmware->components[0];
	text_copy(offering->product, NAME_SIZE, firmware->product);
	text_copy(offering->version, NAME_SIZE, firmware->version);
	offering->security_version = firmware->security_version;
	offering->size = component->size;
	offering->image = component->sha256;
	offering->index = component->index.sha256;
	offering->index_size = component->index.size;
	offering->hardware_count = firmware->hardware_count;
	memcpy(offering->hardware, firmware->hardware,
	       firmware->hardware_count * sizeof(*firmware->hardware));
}

static void keep_release(struct offering *offering, const struct release_document *release)
{
	offering->number = release->number;
	offering->rollback_on_halt = release->rollback_on_halt;
}

static enum ota_err read_verified(struct offering *offering, const struct trust *trust,
				  struct ota_why *why)
{
	const struct offer *offer = &offering->offer;
	struct trusted_firmware firmware;
	enum ota_err err =
		trust_firmware(trust, offer->firmware, strlen(offer->firmware), &firmware, why);
	if (err)
		return err;
	keep_firmware(offering, &firmware.document);
	struct digest digest = firmware.digest;
	firmware_done(&firmware.document);
	struct trusted_release release;
	err = trust_release(trust, offer->release, strlen(offer->release), &release, why);
	if (err)
		return err;
	keep_release(offering, &release.document);
	bool same = digest_equal(&digest, &release.document.firmware);
	release_done(&release.document);
	if (!same)
		return ota_fail(why, OTA_MANIFEST_INVALID, "the release is of other firmware");
	return OTA_OK;
}

static enum ota_err read_unverified(struct offering *offering, struct ota_why *why)
{
	const struct offer *offer = &offering->offer;
	struct envelope envelope;
	enum ota_err err = envelope_read(offer->firmware, strlen(offer->firmware),
					 ENVELOPE_FIRMWARE, &envelope, why);
	if (err)
		return err;
	struct firmware_document firmware;
	err = firmware_read(envelope.payload, envelope.payload_len, &firmware, why);
	envelope_done(&envelope);
	if (err)
		return err;
	keep_firmware(offering, &firmware);
	firmware_done(&firmware);
	err = envelope_read(offer->release, strlen(offer->release), ENVELOPE_RELEASE, &envelope,
			    why);
	if (err)
		return err;
	struct release_document release;
	err = release_read(envelope.payload, envelope.payload_len, &release, why);
	envelope_done(&envelope);
	if (err)
		return err;
	keep_release(offering, &release);
	release_done(&release);
	return OTA_OK;
}

enum ota_err offering_read(struct offering_book *book, const void *payload, size_t len,
			   const struct offering **ret_offering, struct ota_why *why)
{
	struct digest digest;
	enum ota_err err = digest_of(payload, len, &digest, why);
	if (err)
		return err;
	for (struct offering *known = book->first; known; known = known->next) {
		if (digest_equal(&known->payload, &digest)) {
			*ret_offering = known;
			return OTA_OK;
		}
	}
	AUTO(offering_free_place) struct offering *offering = calloc(1, sizeof(*offering));
	if (!offering)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "an offer");
	err = offer_read(payload, len, &offering->offer, why);
	if (!err)
		err = book->trust ? read_verified(offering, book->trust, why)
				  : read_unverified(offering, why);
	if (err)
		return err;
	offering->payload = digest;
	offering->next = book->first;
	book->first = offering;
	*ret_offering = TAKE(offering);
	return OTA_OK;
}

const struct offer_pack *offering_pack(const struct offering *offering,
				       const struct digest *base)
{
	const struct offer_pack *best = NULL;
	for (uint32_t i = 0; i < offering->offer.pack_count; i++) {
		const struct offer_pack *pack = &offering->offer.packs[i];
		bool usable = digest_is_zero(&pack->base) || digest_equal(&pack->base, base);
		if (usable && (!best || pack->size < best->size))
			best = pack;
	}
	return best;
}

bool offering_fits(const struct offering *offering, const char *product, const char *hardware)
{
	if (strcmp(offering->product, product) != 0)
		return false;
	for (uint32_t i = 0; i < offering->hardware_count; i++) {
		if (strcmp(offering->hardware[i].text, hardware) == 0)
			return true;
	}
	return false;
}
