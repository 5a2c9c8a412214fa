#include "root_rotate.h"

#include "certificate.h"
#include "envelope.h"
#include "file.h"
#include "own.h"
#include "root_edit.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#define YEAR_S		UINT64_C(31557600)
#define PUBLIC_FILE_MAX 4096

enum ota_err root_rotate_path(struct tool *tool, const char **ret_path, struct ota_why *why)
{
	*ret_path = tool->arguments.word_count ? tool->arguments.words[0] : tool->options.root;
	if (!*ret_path || !**ret_path)
		return ota_fail(why, OTA_BAD_REQUEST,
				"which root? Name the file, or put 'root = FILE' into %s",
				tool->config);
	return OTA_OK;
}

/* What `key show --json` printed, so that a private key need not travel to whom signs roots. */
static enum ota_err read_public(const char *path, struct sign_public *ret_key,
				struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_FREE uint8_t *der = NULL;
	const char *algorithm, *base64;
	size_t len = 0;
	unsigned i;
	enum ota_err err = file_read(path, PUBLIC_FILE_MAX, &text, &len, why);

	if (!err)
		err = view_read(text, len, PUBLIC_FILE_MAX, &tree, why);
	if (err)
		return ota_context(why, err,
				   "'%s' (wanted: what 'otactl key show --json' prints)", path);
	algorithm = view_text(view_at(view_root(tree), "algorithm"));
	base64 = view_text(view_at(view_root(tree), "public"));
	for (i = 0; i < SIGN_ALGORITHM_COUNT && strcmp(sign_algorithm_names[i], algorithm); i++)
		;
	if (i == SIGN_ALGORITHM_COUNT)
		return ota_fail(why, OTA_BAD_REQUEST,
				"'%s': algorithm '%s'; allowed are ed25519 and ecdsa-p256",
				path, algorithm);
	err = text_unbase64(base64, strlen(base64), SIGN_PUBLIC_MAX, &der, &len, why);
	return err ? err : sign_public_from_der((enum sign_algorithm)i, der, len, ret_key, why);
}

struct rotation {
	struct root_document root;
	struct sign_key *old_key, *new_key; /* new_key: when the root key itself changes */
};

static void rotation_done(struct rotation *rotation)
{
	root_done(&rotation->root);
	sign_key_free(rotation->old_key);
	sign_key_free(rotation->new_key);
}

static enum ota_err apply_replacements(struct tool *tool, struct rotation *rotation,
				       struct ota_why *why)
{
	static const char *const options[] = {"firmware", "head"};
	struct root_role *const roles[] = {&rotation->root.firmware, &rotation->root.head};
	const char *new_root = arguments_value(&tool->arguments, "new-root-key");
	struct sign_public key;
	enum ota_err err = OTA_OK;
	unsigned i;

	for (i = 0; i < sizeof(options) / sizeof(*options) && !err; i++) {
		const char *path = arguments_value(&tool->arguments, options[i]);

		if (path)
			err = read_public(path, &key, why);
		if (path && !err)
			err = root_edit_replace(&rotation->root, roles[i], &key, options[i],
						why);
	}
	if (!err && new_root)
		err = sign_key_load(new_root, getenv("OTACTL_PASSPHRASE"), &rotation->new_key,
				    why);
	if (!err && new_root)
		err = root_edit_replace(&rotation->root, &rotation->root.root,
					sign_key_public(rotation->new_key), "root", why);
	return err;
}

/* Keys that come in beside those that are there, and how many of them must sign. */
static enum ota_err apply_joins(struct tool *tool, struct root_document *root,
				struct ota_why *why)
{
	static const struct {
		const char *option, *threshold, *name;
		size_t role;
	} joins[] = {
		{"add-root", "root-threshold", "root", offsetof(struct root_document, root)},
		{"add-firmware", "firmware-threshold", "firmware",
		 offsetof(struct root_document, firmware)},
		{"add-development", NULL, "development",
		 offsetof(struct root_document, development)},
	};
	const char *path;
	enum ota_err err = OTA_OK;

	for (unsigned j = 0; j < sizeof(joins) / sizeof(*joins) && !err; j++) {
		struct root_role *role =
			(struct root_role *)(void *)((char *)root + joins[j].role);
		uint64_t threshold = role->threshold ? role->threshold : 1;

		for (unsigned i = 0;
		     !err && (path = arguments_each(&tool->arguments, joins[j].option, i));
		     i++) {
			struct sign_public key;

			err = read_public(path, &key, why);
			if (!err)
				err = root_edit_join(root, role, &key, joins[j].name, 0, why);
		}
		if (!err && joins[j].threshold)
			err = arguments_number(&tool->arguments, joins[j].threshold, 1,
					       DOCUMENT_THRESHOLD_MAX, &threshold, why);
		if (role->key_count)
			role->threshold = (uint32_t)threshold;
	}
	root->has_development = root->development.key_count > 0;
	return err;
}

static const char *value_or(const struct tool *tool, const char *name, const char *fallback)
{
	const char *value = arguments_value(&tool->arguments, name);

	return value ? value : fallback;
}

static enum ota_err apply_releaser(struct tool *tool, struct root_document *root,
				   struct ota_why *why)
{
	const char *path = arguments_value(&tool->arguments, "releaser-key");
	struct root_edit_releaser releaser = {
		.manager = arguments_value(&tool->arguments, "add-releaser"),
		.products = value_or(tool, "products", "*"),
		.groups = value_or(tool, "groups", "*"),
		.actions = value_or(tool, "actions", "release"),
	};
	struct sign_public key;
	uint64_t years = 1;
	enum ota_err err;

	if (!releaser.manager)
		return OTA_OK;
	if (!path)
		return ota_fail(why, OTA_BAD_REQUEST,
				"--add-releaser wants --releaser-key FILE, made by 'otactl key "
				"show --json'");
	err = arguments_number(&tool->arguments, "years", 1, 30, &years, why);
	releaser.not_after = (uint64_t)time(NULL) + years * YEAR_S;
	if (!err)
		err = read_public(path, &key, why);
	return err ? err : root_edit_add_releaser(root, &key, &releaser, why);
}

static enum ota_err apply_floors(struct tool *tool, struct root_document *root,
				 struct ota_why *why)
{
	const char *floor;
	enum ota_err err = OTA_OK;
	unsigned i;

	for (i = 0; (floor = arguments_each(&tool->arguments, "floor", i)) && !err; i++) {
		const char *equals = strchr(floor, '=');
		char product[NAME_SIZE] = "";
		uint64_t number = 0;

		if (equals && equals - floor < (long)sizeof(product))
			memcpy(product, floor, (size_t)(equals - floor));
		if (!equals || !text_to_u64(equals + 1, JSON_INT_MAX, &number))
			return ota_fail(why, OTA_BAD_REQUEST,
					"--floor '%s': allowed is PRODUCT=NUMBER", floor);
		err = root_edit_set_floor(root, product, number, why);
	}
	return err;
}

static enum ota_err add_anchor(void *ctx, const struct certificate *certificate,
			       const char *der_base64, struct ota_why *why)
{
	if (!certificate->is_authority)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' is not a CA's certificate",
				certificate->name);
	if (certificate->not_after <= time(NULL))
		return ota_fail(why, OTA_BAD_REQUEST, "the CA '%s' has expired",
				certificate->name);
	return root_edit_add_anchor(ctx, der_base64, why);
}

static enum ota_err apply_anchors(struct tool *tool, struct root_document *root,
				  struct ota_why *why)
{
	const char *path = arguments_value(&tool->arguments, "anchors");
	enum ota_err err;

	if (!path)
		return OTA_OK;
	root_edit_drop_anchors(root);
	if (!strcmp(path, "none"))
		return OTA_OK;
	err = certificate_each(path, add_anchor, root, why);
	return err ? ota_context(why, err, "--anchors '%s'", path) : OTA_OK;
}

static enum ota_err read_root(const char *path, struct root_document *ret_root,
			      struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	struct envelope envelope = {0};
	size_t len = 0;
	enum ota_err err = file_read(path, ENVELOPE_SIZE_MAX, &text, &len, why);

	if (!err)
		err = envelope_read(text, len, ENVELOPE_ROOT, &envelope, why);
	if (!err)
		err = root_read(envelope.payload, envelope.payload_len, ret_root, why);
	envelope_done(&envelope);
	return err;
}

/* Signs with the key of before and, when it changed, with the new one too; what was made is
 * read back by the same rules that every device uses. */
static enum ota_err sign_root(struct rotation *rotation, char **ret_envelope,
			      struct ota_why *why)
{
	const struct sign_key *keys[2] = {rotation->old_key, rotation->new_key};
	struct root_document check = {0};
	struct text payload = {0};
	enum ota_err err = root_edit_check(&rotation->root, why);

	if (!err)
		err = json_write(&root_shape, &rotation->root, &payload, why);
	if (!err)
		err = root_read(payload.data, payload.len, &check, why);
	root_done(&check);
	if (!err)
		err = envelope_make(ENVELOPE_ROOT, payload.data, payload.len, keys,
				    rotation->new_key ? 2 : 1, ret_envelope, why);
	text_done(&payload);
	return err;
}

enum ota_err root_rotate(struct tool *tool, struct ota_why *why)
{
	AUTO(rotation_done) struct rotation rotation = {0};
	AUTO_FREE char *envelope = NULL, *usual = NULL;
	const char *path = NULL, *output, *name;
	unsigned i;
	enum ota_err err = root_rotate_path(tool, &path, why);

	if (!err)
		err = read_root(path, &rotation.root, why);
	if (!err)
		err = tool_signing_key(tool, tool->options.root_key, "root_key",
				       &rotation.old_key, why);
	for (i = 0; !err && (name = arguments_each(&tool->arguments, "revoke", i)); i++)
		err = root_edit_revoke(&rotation.root, name, why);
	if (!err)
		err = apply_replacements(tool, &rotation, why);
	if (!err)
		err = apply_joins(tool, &rotation.root, why);
	if (!err)
		err = apply_releaser(tool, &rotation.root, why);
	if (!err)
		err = apply_floors(tool, &rotation.root, why);
	if (!err)
		err = apply_anchors(tool, &rotation.root, why);
	rotation.root.version++;
	rotation.root.created = (uint64_t)time(NULL);
	if (!err)
		err = sign_root(&rotation, &envelope, why);
	output = arguments_value(&tool->arguments, "output");
	if (!err && !output && asprintf(&usual, "%s.next", path) < 0)
		err = ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	output = output ? output : usual;
	if (!err)
		err = file_replace(output, envelope, strlen(envelope), 0644, why);
	if (!err && tool->screen.json)
		fprintf(tool->screen.out, "{\"file\":\"%s\",\"version\":%llu}\n", output,
			(unsigned long long)rotation.root.version);
	if (!err)
		screen_line(&tool->screen, SCREEN_GOOD,
			    "root version %llu: %s; now: otactl root update %s, and keep it as "
			    "your root",
			    (unsigned long long)rotation.root.version, output, output);
	return err;
}

const struct verb_option root_rotate_options[] = {
	{"revoke", "KEY", "take this key out (its name, or its id)", true, false},
	{"firmware", "PUBLIC", "the new firmware key (a file of 'key show --json')", false,
	 false},
	{"head", "PUBLIC", "the new head key", false, false},
	{"new-root-key", "FILE", "the new root key; signs beside the old one", false, false},
	{"add-root", "PUBLIC", "one more root key", true, false},
	{"root-threshold", "N", "root keys that must sign a root", false, false},
	{"add-firmware", "PUBLIC", "one more firmware key", true, false},
	{"firmware-threshold", "N", "firmware keys that must sign firmware", false, false},
	{"add-development", "PUBLIC", "a key whose firmware only development devices take",
	 true, false},
	{"add-releaser", "MANAGER", "a manager whose key may sign releases", false, false},
	{"releaser-key", "PUBLIC", "that manager's key (a file of 'key show --json')", false,
	 false},
	{"products", "NAME,…", "that it may release (default *)", false, false},
	{"groups", "NAME,…", "to which groups (default *)", false, false},
	{"actions", "ACTION,…", "release, force, downgrade, rollback (default release)", false,
	 false},
	{"years", "N", "how long its key is good (default 1)", false, false},
	{"floor", "PRODUCT=N", "nothing below this security version is installed", true, false},
	{"anchors", "FILE",
	 "CAs (PEM) that devices accept beside their ca_file, instead of those there; or none",
	 false, false},
	{"signing-key", "FILE", "the root key of now (default: root_key of the configuration)",
	 false, false},
	{"output", "FILE", "where the new root goes (default ROOT.next)", false, false},
	{NULL},
};
