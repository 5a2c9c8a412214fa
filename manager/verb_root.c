/* Verbs of the trust root: keys, the root itself, heads. Everything is signed here; private
 * keys never travel. */
#include "envelope.h"
#include "file.h"
#include "own.h"
#include "root_edit.h"
#include "tool.h"

#include <string.h>
#include <time.h>

#define YEAR_S		UINT64_C(31557600)
#define HEAD_DEFAULT_S	(7 * UINT64_C(86400))
#define PUBLIC_FILE_MAX 4096

static const struct screen_column key_columns[] = {
	{"id", "id", SCREEN_TEXT},
	{"algorithm", "algorithm", SCREEN_TEXT},
	{"public", "public", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column root_key_columns[] = {
	{"KEY", "id", SCREEN_SHORT},
	{"NAME", "name", SCREEN_TEXT},
	{"ALGORITHM", "algorithm", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column releaser_columns[] = {
	{"RELEASER", "manager", SCREEN_TEXT},
	{"KEY", "key", SCREEN_SHORT},
	{"PRODUCTS", "products", SCREEN_LIST},
	{"GROUPS", "groups", SCREEN_LIST},
	{"MAY", "actions", SCREEN_LIST},
	{"UNTIL", "not_after", SCREEN_TIME},
	{NULL},
};

static const struct screen_column role_columns[] = {
	{"root version", "version", SCREEN_NUMBER},
	{"created", "created", SCREEN_TIME},
	{"root keys needed", "root.threshold", SCREEN_NUMBER},
	{"firmware keys needed", "firmware.threshold", SCREEN_NUMBER},
	{"development keys needed", "development.threshold", SCREEN_NUMBER},
	{"head keys needed", "head.threshold", SCREEN_NUMBER},
	{NULL},
};

static const struct screen_column version_columns[] = {
	{"version", "version", SCREEN_NUMBER},
	{NULL},
};

static const struct screen_column head_columns[] = {
	{"created", "created", SCREEN_TIME},
	{"good until", "not_after", SCREEN_TIME},
	{NULL},
};

static enum ota_err print_public(struct tool *tool, const struct sign_public *key,
				 struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO_FREE char *base64 = NULL;
	struct text text = {0};
	char hex[TEXT_HEX32_SIZE];
	enum ota_err err = text_base64(key->der, key->der_len, &base64, why);

	if (err)
		return err;
	text_from_digest(hex, key->id.bytes);
	text_printf(&text, "{\"id\":\"%s\",\"algorithm\":\"%s\",\"public\":\"%s\"}", hex,
		    sign_algorithm_names[key->algorithm], base64);
	err = view_read(text.data ? text.data : "", text.len, PUBLIC_FILE_MAX, &tree, why);
	text_done(&text);
	if (!err && !tool_json(tool, view_root(tree)))
		screen_record(&tool->screen, key_columns, view_root(tree));
	return err;
}

static enum ota_err run_key_generate(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	const char *algorithm = arguments_value(&tool->arguments, "algorithm");
	enum ota_err err = sign_key_generate(
		algorithm && !strcmp(algorithm, "ecdsa-p256") ? SIGN_ECDSA_P256 : SIGN_ED25519,
		&key, why);

	if (!err)
		err = sign_key_save(key, tool->arguments.words[0], getenv("OTACTL_PASSPHRASE"),
				    why);
	return err ? err : print_public(tool, sign_key_public(key), why);
}

static enum ota_err run_key_show(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	enum ota_err err = tool_signing_key(tool, tool->arguments.words[0], "", &key, why);

	return err ? err : print_public(tool, sign_key_public(key), why);
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

static enum ota_err root_path(struct tool *tool, const char **ret_path, struct ota_why *why)
{
	*ret_path = tool->arguments.word_count ? tool->arguments.words[0] : tool->options.root;
	if (!*ret_path || !**ret_path)
		return ota_fail(why, OTA_BAD_REQUEST,
				"which root? Name the file, or put 'root = FILE' into %s",
				tool->config);
	return OTA_OK;
}

static enum ota_err show_items(struct tool *tool, const struct view *items,
			       const struct screen_column *columns, struct ota_why *why)
{
	AUTO(screen_table_free_place) struct screen_table *table = NULL;
	const struct view *each;
	enum ota_err err = screen_table_new(columns, &table, why);

	for (each = view_first(items); each && !err; each = view_next(each))
		err = screen_table_add(&tool->screen, table, each, why);
	fputc('\n', tool->screen.out);
	if (!err)
		screen_table_print(&tool->screen, table, "none");
	return err;
}

static enum ota_err show_root(struct tool *tool, const char *text, size_t len,
			      struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	struct envelope envelope = {0};
	const struct view *root;
	enum ota_err err = envelope_read(text, len, ENVELOPE_ROOT, &envelope, why);

	if (!err)
		err = view_read((const char *)envelope.payload, envelope.payload_len,
				DOCUMENT_SIZE_MAX, &tree, why);
	envelope_done(&envelope);
	root = view_root(tree);
	if (err || tool_json(tool, root))
		return err;
	screen_record(&tool->screen, role_columns, root);
	err = show_items(tool, view_at(root, "keys"), root_key_columns, why);
	if (!err)
		err = show_items(tool, view_at(root, "releasers"), releaser_columns, why);
	return err;
}

static enum ota_err run_root_show(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO_FREE char *text = NULL;
	const char *path = tool->arguments.word_count ? tool->arguments.words[0] : NULL, *from;
	size_t len = 0;
	enum ota_err err;

	if (path) {
		err = file_read(path, ENVELOPE_SIZE_MAX, &text, &len, why);
		return err ? err : show_root(tool, text, len, why);
	}
	err = tool_ask(tool, "root.show", NULL, &tree, why);
	from = view_text(view_at(view_root(tree), "envelope"));
	return err ? err : show_root(tool, from, strlen(from), why);
}

static enum ota_err run_root_update(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	AUTO_FREE char *text = NULL;
	const char *path = NULL;
	size_t len = 0;
	enum ota_err err = root_path(tool, &path, why);

	if (!err)
		err = file_read(path, ENVELOPE_SIZE_MAX, &text, &len, why);
	tool_args_string(&args, "root", text);
	return err ? err : tool_ask_record(tool, "root.update", &args, version_columns, why);
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

static enum ota_err run_root_rotate(struct tool *tool, struct ota_why *why)
{
	AUTO(rotation_done) struct rotation rotation = {0};
	AUTO_FREE char *envelope = NULL, *usual = NULL;
	const char *path = NULL, *output, *name;
	unsigned i;
	enum ota_err err = root_path(tool, &path, why);

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
		err = apply_releaser(tool, &rotation.root, why);
	if (!err)
		err = apply_floors(tool, &rotation.root, why);
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

static enum ota_err run_root_cosign(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	AUTO_FREE char *before = NULL, *after = NULL;
	const char *path = tool->arguments.words[0];
	size_t len = 0;
	enum ota_err err =
		tool_signing_key(tool, tool->options.root_key, "root_key", &key, why);

	if (!err)
		err = file_read(path, ENVELOPE_SIZE_MAX, &before, &len, why);
	if (!err)
		err = envelope_sign(before, ENVELOPE_ROOT, key, &after, why);
	if (!err)
		err = file_replace(path, after, strlen(after), 0644, why);
	if (!err)
		screen_line(&tool->screen, SCREEN_GOOD, "signature added: %s", path);
	return err;
}

/* The newest release number of each product, as the plugin says it: the machine that signs
 * heads vouches for them, so it should not be the broker's. */
static enum ota_err collect_numbers(struct tool *tool, struct head_document *head,
				    struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const struct view *each;
	enum ota_err err;

	tool_args_number(&args, "limit", 500);
	err = tool_ask(tool, "product.list", &args, &tree, why);
	for (each = view_first(view_at(view_root(tree), "items")); each && !err;
	     each = view_next(each)) {
		uint64_t next = view_number(view_at(each, "next_number"));
		struct head_number *numbers =
			reallocarray(head->numbers, head->number_count + 1, sizeof(*numbers));

		if (!numbers)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a head");
		head->numbers = numbers;
		memset(&numbers[head->number_count], 0, sizeof(*numbers));
		text_copy(numbers[head->number_count].product, NAME_SIZE,
			  view_text(view_at(each, "name")));
		numbers[head->number_count++].number = next ? next - 1 : 0;
	}
	return err;
}

static enum ota_err fill_head(struct tool *tool, struct head_document *head,
			      struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	uint64_t life_s = HEAD_DEFAULT_S;
	enum ota_err err = arguments_duration(&tool->arguments, "valid", &life_s, why);

	if (!err)
		err = tool_ask(tool, "root.show", NULL, &tree, why);
	if (err)
		return err;
	head->created = (uint64_t)time(NULL);
	head->not_after = head->created + life_s;
	head->root = view_number(view_at(view_root(tree), "version"));
	return collect_numbers(tool, head, why);
}

static enum ota_err run_head(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	AUTO_FREE char *envelope = NULL;
	struct head_document head = {0};
	const struct sign_key *signer;
	struct text payload = {0};
	enum ota_err err =
		tool_signing_key(tool, tool->options.head_key, "head_key", &key, why);

	if (!err)
		err = fill_head(tool, &head, why);
	if (!err)
		err = json_write(&head_shape, &head, &payload, why);
	signer = key;
	if (!err)
		err = envelope_make(ENVELOPE_HEAD, payload.data, payload.len, &signer, 1,
				    &envelope, why);
	text_done(&payload);
	free(head.numbers);
	tool_args_string(&args, "head", envelope);
	return err ? err : tool_ask_record(tool, "head.update", &args, head_columns, why);
}

static const struct verb_option generate_options[] = {
	{"algorithm", "ed25519|ecdsa-p256", "default ed25519", false, false},
	{NULL},
};
static const struct verb_option rotate_options[] = {
	{"revoke", "KEY", "take this key out (its name, or its id)", true, false},
	{"firmware", "PUBLIC", "the new firmware key (a file of 'key show --json')", false,
	 false},
	{"head", "PUBLIC", "the new head key", false, false},
	{"new-root-key", "FILE", "the new root key; signs beside the old one", false, false},
	{"add-releaser", "MANAGER", "a manager whose key may sign releases", false, false},
	{"releaser-key", "PUBLIC", "that manager's key (a file of 'key show --json')", false,
	 false},
	{"products", "NAME,…", "that it may release (default *)", false, false},
	{"groups", "NAME,…", "to which groups (default *)", false, false},
	{"actions", "ACTION,…", "release, force, downgrade, rollback (default release)", false,
	 false},
	{"years", "N", "how long its key is good (default 1)", false, false},
	{"floor", "PRODUCT=N", "nothing below this security version is installed", true, false},
	{"signing-key", "FILE", "the root key of now (default: root_key of the configuration)",
	 false, false},
	{"output", "FILE", "where the new root goes (default ROOT.next)", false, false},
	{NULL},
};
static const struct verb_option signing_options[] = {
	{"signing-key", "FILE", "default: from the configuration", false, false},
	{NULL},
};
static const struct verb_option head_options[] = {
	{"valid", "DURATION", "how long it is good (default 7d)", false, false},
	{"signing-key", "FILE", "default: head_key of the configuration", false, false},
	{NULL},
};

const struct verb verb_root[] = {
	{"key", "generate", "FILE", 1, 1, "make a signing key", generate_options,
	 run_key_generate},
	{"key", "show", "FILE", 1, 1, "the public half of a signing key", NULL, run_key_show},
	{"root", "show", "[FILE]", 0, 1, "the plugin's trust root, or a file's", NULL,
	 run_root_show},
	{"root", "rotate", "[FILE]", 0, 1, "make the next root, with other keys or limits",
	 rotate_options, run_root_rotate},
	{"root", "cosign", "FILE", 1, 1, "add another root key's signature", signing_options,
	 run_root_cosign},
	{"root", "update", "[FILE]", 0, 1, "give the next root to the plugin", NULL,
	 run_root_update},
	{"head", "update", "", 0, 0, "sign and send the newest release numbers and the time",
	 head_options, run_head},
	{NULL},
};
