#include "trust.h"

#include "own.h"

#include <string.h>

struct trust {
	struct root_document root;
};

/* The keys of a role, ready to verify with. */
struct signers {
	struct sign_public keys[DOCUMENT_KEYS_MAX];
	unsigned count;
};

static void free_trust(struct trust **trust)
{
	trust_free(*trust);
}

static enum ota_err add_signer(const struct root_document *root, const struct digest *id,
			       struct signers *signers, struct ota_why *why)
{
	for (uint32_t i = 0; i < root->key_count; i++) {
		if (digest_equal(&root->keys[i].id, id))
			return root_key_public(&root->keys[i], &signers->keys[signers->count++],
					       why);
	}
	return ota_fail(why, OTA_MANIFEST_INVALID,
			"root: a role names a key that is not there");
}

static enum ota_err verify_role(const struct root_document *root, const struct root_role *role,
				const struct envelope *envelope, struct ota_why *why)
{
	AUTO_FREE struct signers *signers = calloc(1, sizeof(*signers));
	enum ota_err err = OTA_OK;

	if (!signers)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for keys");
	for (uint32_t i = 0; !err && i < role->key_count; i++)
		err = add_signer(root, &role->keys[i], signers, why);
	return err ? err
		   : envelope_verify(envelope, signers->keys, signers->count, role->threshold,
				     NULL, why);
}

enum ota_err trust_new(const char *root_envelope, size_t len, struct trust **ret_trust,
		       struct ota_why *why)
{
	AUTO(envelope_done) struct envelope envelope = {0};
	AUTO(free_trust) struct trust *trust = calloc(1, sizeof(*trust));
	enum ota_err err = envelope_read(root_envelope, len, ENVELOPE_ROOT, &envelope, why);

	if (!trust)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a root");
	/* The one document that is read before it is verified: its keys are in it. That it is
	 * the right one is the caller's knowledge; the signature says that it is whole. */
	if (!err)
		err = root_read(envelope.payload, envelope.payload_len, &trust->root, why);
	if (!err)
		err = verify_role(&trust->root, &trust->root.root, &envelope, why);
	if (err)
		return ota_context(why, err, "root");
	*ret_trust = TAKE(trust);
	return OTA_OK;
}

void trust_free(struct trust *trust)
{
	if (!trust)
		return;
	root_done(&trust->root);
	free(trust);
}

enum ota_err trust_advance(struct trust *trust, const char *root_envelope, size_t len,
			   struct ota_why *why)
{
	AUTO(envelope_done) struct envelope envelope = {0};
	AUTO(root_done) struct root_document next = {0};
	enum ota_err err = envelope_read(root_envelope, len, ENVELOPE_ROOT, &envelope, why);

	if (!err)
		err = verify_role(&trust->root, &trust->root.root, &envelope, why);
	if (err)
		return ota_context(why, err, "root after version %llu",
				   (unsigned long long)trust->root.version);
	err = root_read(envelope.payload, envelope.payload_len, &next, why);
	if (err)
		return err;
	if (next.version != trust->root.version + 1)
		return ota_fail(why, OTA_ROOT_GAP,
				"root version %llu does not follow version %llu",
				(unsigned long long)next.version,
				(unsigned long long)trust->root.version);
	err = verify_role(&next, &next.root, &envelope, why);
	if (err)
		return ota_context(why, err, "root version %llu by its own keys",
				   (unsigned long long)next.version);
	root_done(&trust->root);
	trust->root = next;
	next = (struct root_document){0};
	return OTA_OK;
}

const struct root_document *trust_root(const struct trust *trust)
{
	return &trust->root;
}

/* The firmware class first; only when none of its keys signed, the development class. */
static enum ota_err verify_firmware(const struct root_document *root,
				    const struct envelope *envelope, bool *ret_development,
				    struct ota_why *why)
{
	enum ota_err err = verify_role(root, &root->firmware, envelope, why);
	bool development = err == OTA_SIGNER_NOT_TRUSTED && root->has_development;

	if (development)
		err = verify_role(root, &root->development, envelope, why);
	if (!err)
		*ret_development = development;
	return err;
}

enum ota_err trust_firmware(const struct trust *trust, const char *text, size_t len,
			    struct trusted_firmware *ret_firmware, struct ota_why *why)
{
	AUTO(envelope_done) struct envelope envelope = {0};
	struct trusted_firmware firmware = {.development = false};
	enum ota_err err = envelope_read(text, len, ENVELOPE_FIRMWARE, &envelope, why);

	if (!err)
		err = verify_firmware(&trust->root, &envelope, &firmware.development, why);
	if (err)
		return ota_context(why, err, "firmware");
	err = digest_of(envelope.payload, envelope.payload_len, &firmware.digest, why);
	if (!err)
		err = firmware_read(envelope.payload, envelope.payload_len, &firmware.document,
				    why);
	if (!err)
		*ret_firmware = firmware;
	return err;
}

static bool list_covers(const struct name_text *list, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(list[i].text, "*") == 0 || (name && strcmp(list[i].text, name) == 0))
			return true;
	}
	return false;
}

static bool may(const struct root_releaser *releaser, enum root_action action)
{
	for (uint32_t i = 0; i < releaser->action_count; i++) {
		if (releaser->actions[i] == action)
			return true;
	}
	return false;
}

/* What of the release is beyond the scope; NULL when nothing is. */
static const char *beyond(const struct root_releaser *scope,
			  const struct release_document *release)
{
	enum release_target kind = release->target.kind;

	if (!list_covers(scope->products, scope->product_count, release->product))
		return "the product";
	/* A scope without groups is for single devices only. */
	if (kind == RELEASE_TO_GROUP &&
	    !list_covers(scope->groups, scope->group_count, release->target.name))
		return "the group";
	if (kind == RELEASE_TO_PRODUCT && !list_covers(scope->groups, scope->group_count, NULL))
		return "the whole product";
	if (kind == RELEASE_TO_DEVICE && scope->group_count &&
	    !list_covers(scope->groups, scope->group_count, NULL))
		return "a single device";
	if (!may(scope, ROOT_ACTION_RELEASE))
		return "the action 'release'";
	if (release->force && !may(scope, ROOT_ACTION_FORCE))
		return "the action 'force'";
	if (release->allow_downgrade && !may(scope, ROOT_ACTION_DOWNGRADE))
		return "the action 'downgrade'";
	if (release->rollback_on_halt && !may(scope, ROOT_ACTION_ROLLBACK))
		return "the action 'rollback'";
	if (release->created > scope->not_after)
		return "the time";
	return NULL;
}

/* The release keys that signed, as a mask over the root's list. */
static enum ota_err verify_releasers(const struct root_document *root,
				     const struct envelope *envelope, uint64_t *ret_mask,
				     struct ota_why *why)
{
	AUTO_FREE struct signers *signers = calloc(1, sizeof(*signers));
	enum ota_err err = OTA_OK;

	if (!signers)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for keys");
	for (uint32_t i = 0; !err && i < root->releaser_count; i++)
		err = add_signer(root, &root->releasers[i].key, signers, why);
	return err ? err
		   : envelope_verify(envelope, signers->keys, signers->count, 1, ret_mask, why);
}

static enum ota_err find_scope(const struct root_document *root, uint64_t mask,
			       const struct release_document *release,
			       const struct root_releaser **ret_scope, struct ota_why *why)
{
	enum ota_err err = OTA_SIGNER_NOT_TRUSTED;

	for (uint32_t i = 0; i < root->releaser_count; i++) {
		const struct root_releaser *scope = &root->releasers[i];
		const char *what = mask & UINT64_C(1) << i ? beyond(scope, release) : NULL;

		if (what) {
			err = ota_fail(why, OTA_SIGNER_NOT_TRUSTED,
				       "release: %s is beyond what the key of '%s' may sign",
				       what, scope->manager);
		} else if (mask & UINT64_C(1) << i) {
			*ret_scope = scope;
			return OTA_OK;
		}
	}
	return err;
}

enum ota_err trust_release(const struct trust *trust, const char *text, size_t len,
			   struct trusted_release *ret_release, struct ota_why *why)
{
	AUTO(envelope_done) struct envelope envelope = {0};
	AUTO(release_done) struct release_document document = {0};
	const struct root_releaser *scope = NULL;
	uint64_t mask = 0;
	enum ota_err err = envelope_read(text, len, ENVELOPE_RELEASE, &envelope, why);

	if (!err)
		err = verify_releasers(&trust->root, &envelope, &mask, why);
	if (err)
		return ota_context(why, err, "release");
	err = release_read(envelope.payload, envelope.payload_len, &document, why);
	if (!err)
		err = find_scope(&trust->root, mask, &document, &scope, why);
	if (err)
		return err;
	*ret_release = (struct trusted_release){.document = document, .signer = scope->key};
	text_copy(ret_release->manager, sizeof(ret_release->manager), scope->manager);
	document = (struct release_document){0};
	return OTA_OK;
}

enum ota_err trust_head(const struct trust *trust, const char *text, size_t len,
			struct head_document *ret_head, struct ota_why *why)
{
	AUTO(envelope_done) struct envelope envelope = {0};
	enum ota_err err = envelope_read(text, len, ENVELOPE_HEAD, &envelope, why);

	if (!err && !trust->root.has_head)
		err = ota_fail(why, OTA_SIGNER_NOT_TRUSTED, "the root names no head key");
	if (!err)
		err = verify_role(&trust->root, &trust->root.head, &envelope, why);
	if (err)
		return ota_context(why, err, "head");
	return head_read(envelope.payload, envelope.payload_len, ret_head, why);
}

uint64_t trust_floor(const struct trust *trust, const char *product)
{
	for (uint32_t i = 0; i < trust->root.floor_count; i++) {
		if (strcmp(trust->root.floors[i].product, product) == 0)
			return trust->root.floors[i].security_version;
	}
	return 0;
}
