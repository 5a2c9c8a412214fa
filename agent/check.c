#include "check.h"

#include "name.h"
#include "version.h"

#include <string.h>

void check_done(struct checked *checked)
{
	firmware_done(&checked->firmware.document);
	release_done(&checked->release.document);
	memset(checked, 0, sizeof(*checked));
}

/* For the report only: nothing of it is believed. */
static uint64_t claimed_number(const char *release)
{
	struct envelope envelope;
	struct release_document document;
	uint64_t number = 0;

	if (envelope_read(release, strlen(release), ENVELOPE_RELEASE, &envelope, NULL))
		return 0;
	if (!release_read(envelope.payload, envelope.payload_len, &document, NULL)) {
		number = document.number;
		release_done(&document);
	}
	envelope_done(&envelope);
	return number;
}

static bool is_word_of(const char *word, const char *words)
{
	const size_t wanted = strlen(word);
	size_t len;

	for (; (words = name_next_word(words, &len)); words += len) {
		if (len == wanted && !memcmp(words, word, len))
			return true;
	}
	return false;
}

/* Groups are the broker's word, unless the device itself was told which are its own. */
static enum ota_err check_target(const struct check_facts *facts,
				 const struct release_document *release, struct ota_why *why)
{
	if (release->target.kind == RELEASE_TO_DEVICE &&
	    strcmp(release->target.name, facts->device))
		return ota_fail(why, OTA_WRONG_PRODUCT, "the release is for the device '%s'",
				release->target.name);
	if (release->target.kind == RELEASE_TO_GROUP && facts->groups && *facts->groups &&
	    !is_word_of(release->target.name, facts->groups))
		return ota_fail(why, OTA_WRONG_PRODUCT,
				"the release is for the group '%s', this device is of '%s'",
				release->target.name, facts->groups);
	return OTA_OK;
}

static enum ota_err check_product(const struct check_facts *facts,
				  const struct checked *checked, struct ota_why *why)
{
	const struct release_document *release = &checked->release.document;
	const struct firmware_document *firmware = &checked->firmware.document;

	if (!digest_equal(&release->firmware, &checked->firmware.digest))
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"release %llu names another firmware than the one offered",
				(unsigned long long)release->number);
	if (strcmp(release->product, facts->product))
		return ota_fail(why, OTA_WRONG_PRODUCT,
				"the release is for product '%s', this device is a '%s'",
				release->product, facts->product);
	if (strcmp(firmware->product, facts->product))
		return ota_fail(why, OTA_WRONG_PRODUCT,
				"the firmware is for product '%s', this device is a '%s'",
				firmware->product, facts->product);
	if (checked->firmware.development && !facts->development)
		return ota_fail(why, OTA_SIGNER_NOT_TRUSTED,
				"firmware '%s' is signed for development devices only",
				firmware->version);
	return check_target(facts, release, why);
}

static enum ota_err check_hardware(const struct check_facts *facts,
				   const struct firmware_document *firmware,
				   struct ota_why *why)
{
	for (uint32_t i = 0; i < firmware->hardware_count; i++) {
		if (!strcmp(firmware->hardware[i].text, facts->hardware))
			return OTA_OK;
	}
	return ota_fail(why, OTA_INCOMPATIBLE_HARDWARE,
			"firmware '%s' is not for this hardware, '%s'", firmware->version,
			facts->hardware);
}

static enum ota_err check_version(const struct check_facts *facts,
				  const struct checked *checked, struct ota_why *why)
{
	const struct release_document *release = &checked->release.document;
	const struct firmware_document *firmware = &checked->firmware.document;
	uint64_t floor = facts->floor;

	if (release->number < facts->number)
		return ota_fail(why, OTA_RELEASE_STALE,
				"release %llu is older than %llu, which was accepted before",
				(unsigned long long)release->number,
				(unsigned long long)facts->number);
	if (!release->allow_downgrade && version_compare(firmware->version, facts->version) < 0)
		return ota_fail(why, OTA_VERSION_NOT_ALLOWED,
				"version '%s' is older than '%s', which runs, and the release "
				"does not allow a downgrade",
				firmware->version, facts->version);
	if (firmware->requires_version[0] &&
	    version_compare(facts->version, firmware->requires_version) < 0)
		return ota_fail(why, OTA_VERSION_NOT_ALLOWED,
				"version '%s' needs at least '%s' to be running, not '%s'",
				firmware->version, firmware->requires_version, facts->version);
	if (trust_floor(facts->trust, facts->product) > floor)
		floor = trust_floor(facts->trust, facts->product);
	if (facts->security_version > floor)
		floor = facts->security_version;
	if (firmware->security_version < floor)
		return ota_fail(why, OTA_VERSION_NOT_ALLOWED,
				"security version %llu is below the floor %llu",
				(unsigned long long)firmware->security_version,
				(unsigned long long)floor);
	return OTA_OK;
}

static enum ota_err check_expiry(const struct check_facts *facts, const struct checked *checked,
				 struct ota_why *why)
{
	if (facts->time > checked->release.document.not_after)
		return ota_fail(why, OTA_RELEASE_EXPIRED, "release %llu has expired",
				(unsigned long long)checked->release.document.number);
	if (checked->firmware.document.not_after &&
	    facts->time > checked->firmware.document.not_after)
		return ota_fail(why, OTA_RELEASE_EXPIRED, "firmware '%s' has expired",
				checked->firmware.document.version);
	return OTA_OK;
}

static enum ota_err check_slots(const struct check_facts *facts, struct checked *checked,
				struct ota_why *why)
{
	const struct firmware_document *firmware = &checked->firmware.document;

	for (uint32_t i = 0; i < firmware->component_count; i++) {
		const struct firmware_component *component = &firmware->components[i];
		uint64_t capacity;

		if (!facts->slots->find(facts->slots->ctx, component->slot_class,
					&checked->parts[i]))
			return ota_fail(why, OTA_SLOT_ERROR,
					"this device has no slot of class '%s' for '%s'",
					component->slot_class, component->name);
		for (uint32_t k = 0; k < i; k++) {
			if (checked->parts[k] == checked->parts[i])
				return ota_fail(why, OTA_SLOT_ERROR,
						"two components want the slot '%s'",
						component->slot_class);
		}
		enum ota_err err = facts->slots->capacity(facts->slots->ctx, checked->parts[i],
							  &capacity, why);
		if (err)
			return ota_context(why, err, "slot '%s'", component->slot_class);
		if (component->size > capacity)
			return ota_fail(why, OTA_INSUFFICIENT_STORAGE,
					"'%s' has %llu bytes, the slot has room for %llu: %llu "
					"are missing",
					component->name, (unsigned long long)component->size,
					(unsigned long long)capacity,
					(unsigned long long)(component->size - capacity));
	}
	return OTA_OK;
}

static enum ota_err believe(const struct check_facts *facts, const char *release,
			    const char *firmware, struct checked *ret_checked,
			    struct ota_why *why)
{
	enum ota_err err = trust_firmware(facts->trust, firmware, strlen(firmware),
					  &ret_checked->firmware, why);

	if (err)
		return ota_context(why, err, "firmware");
	err = trust_release(facts->trust, release, strlen(release), &ret_checked->release, why);
	if (err)
		return ota_context(why, err, "release");
	err = check_product(facts, ret_checked, why);
	return err ? err : check_hardware(facts, &ret_checked->firmware.document, why);
}

enum ota_err check_offer(const struct check_facts *facts, const char *release,
			 const char *firmware, struct checked *ret_checked,
			 uint64_t *ret_number, struct ota_why *why)
{
	struct checked checked = {0};
	enum ota_err err = believe(facts, release, firmware, &checked, why);

	if (!err)
		err = check_version(facts, &checked, why);
	if (!err)
		err = check_expiry(facts, &checked, why);
	/* What is installed already needs no room. */
	if (!err && !check_is_installed(facts, &checked))
		err = check_slots(facts, &checked, why);
	if (err) {
		check_done(&checked);
		if (ret_number)
			*ret_number = claimed_number(release);
		return err;
	}
	if (ret_number)
		*ret_number = checked.release.document.number;
	*ret_checked = checked;
	return OTA_OK;
}

enum ota_err check_again(const struct check_facts *facts, const char *release,
			 const char *firmware, struct checked *ret_checked, struct ota_why *why)
{
	struct checked checked = {0};
	enum ota_err err = believe(facts, release, firmware, &checked, why);

	if (!err)
		err = check_slots(facts, &checked, why);
	if (err) {
		check_done(&checked);
		return err;
	}
	*ret_checked = checked;
	return OTA_OK;
}

bool check_is_installed(const struct check_facts *facts, const struct checked *checked)
{
	const struct firmware_document *firmware = &checked->firmware.document;

	return !strcmp(firmware->version, facts->version) &&
	       digest_equal(&firmware->components[0].sha256, &facts->image);
}
