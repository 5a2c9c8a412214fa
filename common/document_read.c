/* Reading the signed documents: their shapes, then the rules that no shape can say. */
#include "document.h"

#include "own.h"

#include <string.h>

static enum ota_err invalid(struct ota_why *why, const char *sentence)
{
	return ota_fail(why, OTA_MANIFEST_INVALID, "%s", sentence);
}

enum ota_err root_key_public(const struct root_key *key, struct sign_public *ret_public,
			     struct ota_why *why)
{
	AUTO_FREE uint8_t *der = NULL;
	struct sign_public public;
	size_t len = 0;
	enum ota_err err = text_unbase64(key->public_base64, strlen(key->public_base64),
					 SIGN_PUBLIC_MAX, &der, &len, why);

	if (err == OTA_OUT_OF_MEMORY)
		return err;
	if (err)
		return ota_context(why, OTA_MANIFEST_INVALID, "key '%s'", key->name);
	err = sign_public_from_der(key->algorithm, der, len, &public, why);
	if (err)
		return ota_context(why, err, "key '%s'", key->name);
	if (!digest_equal(&public.id, &key->id))
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"key '%s': its id is not the SHA-256 of its public key",
				key->name);
	*ret_public = public;
	return OTA_OK;
}

/* The roles that a key was given so far: at most one. */
struct root_check {
	const struct root_document *root;
	bool used[DOCUMENT_KEYS_MAX];
};

static enum ota_err use_key(struct root_check *check, const char *role, const struct digest *id,
			    struct ota_why *why)
{
	for (uint32_t i = 0; i < check->root->key_count; i++) {
		if (!digest_equal(&check->root->keys[i].id, id))
			continue;
		if (check->used[i])
			return ota_fail(why, OTA_MANIFEST_INVALID,
					"root: key '%s' in '%s' has a role already",
					check->root->keys[i].name, role);
		check->used[i] = true;
		return OTA_OK;
	}
	return ota_fail(why, OTA_MANIFEST_INVALID, "root: '%s' names a key that is not there",
			role);
}

static enum ota_err check_role(struct root_check *check, const char *name,
			       const struct root_role *role, struct ota_why *why)
{
	if (role->threshold > role->key_count)
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"root: '%s' requires %u signatures of %u keys", name,
				role->threshold, role->key_count);
	for (uint32_t i = 0; i < role->key_count; i++) {
		enum ota_err err = use_key(check, name, &role->keys[i], why);

		if (err)
			return err;
	}
	return OTA_OK;
}

static enum ota_err check_keys(const struct root_document *root, struct ota_why *why)
{
	for (uint32_t i = 0; i < root->key_count; i++) {
		struct sign_public public;
		enum ota_err err = root_key_public(&root->keys[i], &public, why);

		if (err)
			return ota_context(why, err, "root");
		for (uint32_t k = 0; k < i; k++) {
			if (digest_equal(&root->keys[i].id, &root->keys[k].id))
				return ota_fail(why, OTA_MANIFEST_INVALID,
						"root: key '%s' stands there twice",
						root->keys[i].name);
		}
	}
	return OTA_OK;
}

static enum ota_err check_anchors(const struct root_document *root, struct ota_why *why)
{
	for (uint32_t i = 0; i < root->anchor_count; i++) {
		AUTO_FREE uint8_t *der = NULL;
		const char *base64 = root->anchors[i].der_base64;
		size_t len = 0;
		enum ota_err err =
			text_unbase64(base64, strlen(base64), strlen(base64), &der, &len, why);

		if (err)
			return ota_context(
				why, err == OTA_OUT_OF_MEMORY ? err : OTA_MANIFEST_INVALID,
				"root: anchors[%u]", i);
	}
	return OTA_OK;
}

static enum ota_err check_root(const struct root_document *root, struct ota_why *why)
{
	struct root_check check = {.root = root};
	enum ota_err err = check_keys(root, why);

	if (!err)
		err = check_role(&check, "root", &root->root, why);
	if (!err)
		err = check_role(&check, "firmware", &root->firmware, why);
	if (!err && root->has_development)
		err = check_role(&check, "development", &root->development, why);
	if (!err && root->has_head)
		err = check_role(&check, "head", &root->head, why);
	for (uint32_t i = 0; !err && i < root->releaser_count; i++)
		err = use_key(&check, "releasers", &root->releasers[i].key, why);
	for (uint32_t i = 0; !err && i < root->floor_count; i++) {
		for (uint32_t k = 0; k < i; k++) {
			if (strcmp(root->floors[i].product, root->floors[k].product) == 0)
				return invalid(why, "root: a product has two floors");
		}
	}
	return err ? err : check_anchors(root, why);
}

uint64_t firmware_index_size(uint64_t size, uint32_t segment_size)
{
	return DIGEST_SIZE * (size / segment_size + (size % segment_size != 0));
}

static enum ota_err check_component(const struct firmware_document *firmware, uint32_t number,
				    struct ota_why *why)
{
	const struct firmware_component *component = &firmware->components[number];
	uint32_t segment = component->segment_size;

	if (segment & (segment - 1))
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"firmware: 'components[%u].segment_size' is no power of two",
				number);
	if (component->index.size != firmware_index_size(component->size, segment))
		return ota_fail(
			why, OTA_MANIFEST_INVALID,
			"firmware: 'components[%u].index.size' is not 32 for each segment",
			number);
	for (uint32_t i = 0; i < number; i++) {
		if (strcmp(firmware->components[i].name, component->name) == 0)
			return ota_fail(why, OTA_MANIFEST_INVALID,
					"firmware: component '%s' stands there twice",
					component->name);
	}
	return OTA_OK;
}

static enum ota_err check_firmware(const struct firmware_document *firmware,
				   struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	if (firmware->raise_floor_to > firmware->security_version)
		return invalid(why, "firmware: 'raise_floor_to' is above 'security_version'");
	if (firmware->not_after && firmware->not_after <= firmware->created)
		return invalid(why, "firmware: 'not_after' is not after 'created'");
	for (uint32_t i = 0; !err && i < firmware->component_count; i++)
		err = check_component(firmware, i, why);
	return err;
}

static enum ota_err check_waves(const struct release_document *release, struct ota_why *why)
{
	uint32_t share = 0;

	for (uint32_t i = 0; i < release->wave_count; i++) {
		const struct release_wave *wave = &release->waves[i];

		if ((wave->share != 0) == (wave->group[0] != '\0'))
			return ota_fail(
				why, OTA_MANIFEST_INVALID,
				"release: 'waves[%u]' must have either 'share' or 'group'", i);
		if (wave->share && wave->share <= share)
			return ota_fail(
				why, OTA_MANIFEST_INVALID,
				"release: 'waves[%u].share' is not above the one before", i);
		if (wave->share)
			share = wave->share;
	}
	if (release->wave_count &&
	    release->waves[release->wave_count - 1].share != DOCUMENT_SHARE_FULL)
		return invalid(why, "release: the last wave's 'share' is not 10000");
	return OTA_OK;
}

static enum ota_err check_release(const struct release_document *release, struct ota_why *why)
{
	const char *name = release->target.name;

	if (release->target.kind == RELEASE_TO_PRODUCT && strcmp(name, release->product) != 0)
		return invalid(why, "release: 'target.name' is not the product");
	if (release->target.kind == RELEASE_TO_GROUP && !name_is_product(name))
		return invalid(why, "release: 'target.name' is no group");
	if (release->not_after <= release->created)
		return invalid(why, "release: 'not_after' is not after 'created'");
	if (release->not_before > release->not_after)
		return invalid(why, "release: 'not_before' is after 'not_after'");
	return check_waves(release, why);
}

static enum ota_err check_head(const struct head_document *head, struct ota_why *why)
{
	if (head->not_after <= head->created)
		return invalid(why, "head: 'not_after' is not after 'created'");
	for (uint32_t i = 0; i < head->number_count; i++) {
		for (uint32_t k = 0; k < i; k++) {
			if (strcmp(head->numbers[i].product, head->numbers[k].product) == 0)
				return invalid(why, "head: a product has two numbers");
		}
	}
	return OTA_OK;
}

enum ota_err root_read(const void *payload, size_t len, struct root_document *ret_root,
		       struct ota_why *why)
{
	struct root_document root;
	enum ota_err err = json_read(&root_shape, payload, len, DOCUMENT_SIZE_MAX,
				     OTA_MANIFEST_INVALID, &root, why);

	if (!err)
		err = check_root(&root, why);
	if (err)
		root_done(&root);
	else
		*ret_root = root;
	return err;
}

enum ota_err firmware_read(const void *payload, size_t len,
			   struct firmware_document *ret_firmware, struct ota_why *why)
{
	struct firmware_document firmware;
	enum ota_err err = json_read(&firmware_shape, payload, len, DOCUMENT_SIZE_MAX,
				     OTA_MANIFEST_INVALID, &firmware, why);

	if (!err)
		err = check_firmware(&firmware, why);
	if (err)
		firmware_done(&firmware);
	else
		*ret_firmware = firmware;
	return err;
}

enum ota_err release_read(const void *payload, size_t len, struct release_document *ret_release,
			  struct ota_why *why)
{
	struct release_document release;
	enum ota_err err = json_read(&release_shape, payload, len, DOCUMENT_SIZE_MAX,
				     OTA_MANIFEST_INVALID, &release, why);

	if (!err)
		err = check_release(&release, why);
	if (err) {
		release_done(&release);
		return err;
	}
	if (!release.has_thresholds)
		release.thresholds = document_thresholds_default;
	*ret_release = release;
	return OTA_OK;
}

enum ota_err head_read(const void *payload, size_t len, struct head_document *ret_head,
		       struct ota_why *why)
{
	struct head_document head;
	enum ota_err err = json_read(&head_shape, payload, len, DOCUMENT_SIZE_MAX,
				     OTA_MANIFEST_INVALID, &head, why);

	if (!err)
		err = check_head(&head, why);
	if (err)
		head_done(&head);
	else
		*ret_head = head;
	return err;
}

void root_done(struct root_document *root)
{
	json_done(&root_shape, root);
}

void firmware_done(struct firmware_document *firmware)
{
	json_done(&firmware_shape, firmware);
}

void release_done(struct release_document *release)
{
	json_done(&release_shape, release);
}

void head_done(struct head_document *head)
{
	json_done(&head_shape, head);
}
