/* Verbs of the trust root: keys, the root itself, heads. Everything is signed here; private
 * keys never travel. */
#include "certificate.h"
#include "document.h"
#include "envelope.h"
#include "file.h"
#include "own.h"
#include "root_rotate.h"
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

static void show_anchors(struct tool *tool, const struct view *anchor)
{
	struct certificate ca;
	char until[16];
	struct tm day;

	for (; anchor; anchor = view_next(anchor)) {
		if (certificate_from_base64(view_text(anchor), &ca, NULL)) {
			screen_line(&tool->screen, SCREEN_BAD,
				    "an anchor is no certificate; devices leave it out");
			continue;
		}
		strftime(until, sizeof(until), "%Y-%m-%d", gmtime_r(&ca.not_after, &day));
		screen_line(&tool->screen, SCREEN_GOOD,
			    "devices also accept a broker of the CA '%s' (until %s)", ca.name,
			    until);
	}
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
	err = tool_show_rows(tool, view_at(root, "keys"), root_key_columns, "none", why);
	if (!err)
		err = tool_show_rows(tool, view_at(root, "releasers"), releaser_columns, "none",
				     why);
	if (!err)
		show_anchors(tool, view_first(view_at(root, "anchors")));
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
	enum ota_err err = root_rotate_path(tool, &path, why);

	if (!err)
		err = file_read(path, ENVELOPE_SIZE_MAX, &text, &len, why);
	tool_args_string(&args, "root", text);
	return err ? err : tool_ask_record(tool, "root.update", &args, version_columns, why);
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
	 root_rotate_options, root_rotate},
	{"root", "cosign", "FILE", 1, 1, "add another root key's signature", signing_options,
	 run_root_cosign},
	{"root", "update", "[FILE]", 0, 1, "give the next root to the plugin", NULL,
	 run_root_update},
	{"head", "update", "", 0, 0, "sign and send the newest release numbers and the time",
	 head_options, run_head},
	{NULL},
};
