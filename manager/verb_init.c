/* `otactl init`: the keys of a new trust root, the root itself, and the configuration. */
#include "certificate.h"
#include "document.h"
#include "envelope.h"
#include "file.h"
#include "own.h"
#include "tool.h"

#include <string.h>
#include <time.h>

#define YEARS_DEFAULT 5
#define YEAR_S	      UINT64_C(31557600)

struct init {
	const char *directory, *manager;
	enum sign_algorithm algorithm;
	uint64_t not_after;
	struct sign_key *root, *firmware, *release, *head;
	char *envelope;
};

static void init_done(struct init *init)
{
	sign_key_free(init->root);
	sign_key_free(init->firmware);
	sign_key_free(init->release);
	sign_key_free(init->head);
	free(init->envelope);
}

static const struct {
	const char *file;
	size_t place;
} init_keys[] = {
	{"root.key", offsetof(struct init, root)},
	{"firmware.key", offsetof(struct init, firmware)},
	{"release.key", offsetof(struct init, release)},
	{"head.key", offsetof(struct init, head)},
};
#define INIT_KEYS (sizeof(init_keys) / sizeof(*init_keys))

static struct sign_key **key_place(struct init *init, unsigned i)
{
	return (struct sign_key **)(void *)((char *)init + init_keys[i].place);
}

static enum ota_err must_be_new(const char *directory, const char *file, struct ota_why *why)
{
	AUTO_FREE char *path = NULL;

	if (asprintf(&path, "%s/%s", directory, file) < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	if (!access(path, F_OK))
		return ota_fail(
			why, OTA_CONFLICT,
			"'%s' is there already and stays; choose another --dir, or move it "
			"away",
			path);
	return OTA_OK;
}

static enum ota_err make_keys(struct init *init, struct ota_why *why)
{
	enum ota_err err = must_be_new(init->directory, "root.json", why);
	unsigned i;

	for (i = 0; i < INIT_KEYS && !err; i++)
		err = must_be_new(init->directory, init_keys[i].file, why);
	for (i = 0; i < INIT_KEYS && !err; i++)
		err = sign_key_generate(init->algorithm, key_place(init, i), why);
	return err;
}

static enum ota_err fill_key(struct root_key *to, const struct sign_key *key, const char *name,
			     struct ota_why *why)
{
	const struct sign_public *public = sign_key_public(key);

	to->id = public->id;
	to->algorithm = public->algorithm;
	text_copy(to->name, sizeof(to->name), name);
	return text_base64(public->der, public->der_len, &to->public_base64, why);
}

static enum ota_err make_root(struct init *init, struct ota_why *why)
{
	static const char *const names[] = {"root", "firmware", NULL, "head"};
	struct root_key keys[INIT_KEYS] = {0};
	struct name_text all = {"*"};
	enum root_action actions[ROOT_ACTION_COUNT] = {ROOT_ACTION_RELEASE, ROOT_ACTION_FORCE,
						       ROOT_ACTION_DOWNGRADE,
						       ROOT_ACTION_ROLLBACK};
	struct root_releaser releaser = {.products = &all,
					 .product_count = 1,
					 .groups = &all,
					 .group_count = 1,
					 .actions = actions,
					 .action_count = ROOT_ACTION_COUNT,
					 .not_after = init->not_after};
	struct root_document root = {.version = 1,
				     .created = (uint64_t)time(NULL),
				     .keys = keys,
				     .key_count = INIT_KEYS,
				     .releasers = &releaser,
				     .releaser_count = 1,
				     .has_head = true};
	const struct sign_key *signer = init->root;
	struct text payload = {0};
	enum ota_err err = OTA_OK;
	unsigned i;

	for (i = 0; i < INIT_KEYS && !err; i++)
		err = fill_key(&keys[i], *key_place(init, i),
			       names[i] ? names[i] : init->manager, why);
	root.root = (struct root_role){1, &keys[0].id, 1};
	root.firmware = (struct root_role){1, &keys[1].id, 1};
	root.head = (struct root_role){1, &keys[3].id, 1};
	releaser.key = keys[2].id;
	text_copy(releaser.manager, sizeof(releaser.manager), init->manager);
	if (!err)
		err = json_write(&root_shape, &root, &payload, why);
	if (!err)
		err = envelope_make(ENVELOPE_ROOT, payload.data, payload.len, &signer, 1,
				    &init->envelope, why);
	text_done(&payload);
	for (i = 0; i < INIT_KEYS; i++)
		free(keys[i].public_base64);
	return err;
}

static enum ota_err save(struct init *init, struct ota_why *why)
{
	const char *passphrase = getenv("OTACTL_PASSPHRASE");
	enum ota_err err = file_make_directory(init->directory, 0700, why);
	unsigned i;

	for (i = 0; i < INIT_KEYS && !err; i++) {
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s/%s", init->directory, init_keys[i].file) < 0)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
		err = sign_key_save(*key_place(init, i), path, passphrase, why);
	}
	if (!err) {
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s/root.json", init->directory) < 0)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
		err = file_replace(path, init->envelope, strlen(init->envelope), 0644, why);
	}
	return err;
}

static void put_option(struct text *to, const char *key, const char *value)
{
	if (value && *value)
		text_printf(to, "%s = %s\n", key, value);
	else
		text_printf(to, "# %s =\n", key);
}

/* Writes the configuration unless there is one: a user's own file is never touched. */
static enum ota_err write_config(struct tool *tool, const struct init *init, bool *ret_written,
				 struct ota_why *why)
{
	const struct tool_options *options = &tool->options;
	struct text text = {0};
	AUTO_FREE char *directory = NULL;
	char *slash;
	enum ota_err err = OTA_OK;

	*ret_written = access(tool->config, F_OK) != 0;
	if (!*ret_written)
		return OTA_OK;
	put_option(&text, "broker", options->broker);
	put_option(&text, "ca", options->ca);
	put_option(&text, "cert", options->cert);
	put_option(&text, "key", options->key);
	put_option(&text, "product", options->product);
	text_printf(&text, "root = %s/root.json\nroot_key = %s/root.key\n", init->directory,
		    init->directory);
	text_printf(&text, "firmware_key = %s/firmware.key\nrelease_key = %s/release.key\n",
		    init->directory, init->directory);
	text_printf(&text, "head_key = %s/head.key\n", init->directory);
	directory = strdup(tool->config);
	slash = directory ? strrchr(directory, '/') : NULL;
	if (slash && slash != directory) {
		*slash = '\0';
		err = access(directory, F_OK) ? file_make_directory(directory, 0700, why)
					      : OTA_OK;
	}
	if (!err && text.failed)
		err = ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the configuration");
	if (!err)
		err = file_replace(tool->config, text.data, text.len, 0600, why);
	text_done(&text);
	return err;
}

static void say_what_next(struct tool *tool, const struct init *init, bool config_written)
{
	FILE *out = tool->screen.out;

	if (tool->screen.json) {
		fprintf(out,
			"{\"root\":\"%s/root.json\",\"manager\":\"%s\",\"config\":\"%s\"}\n",
			init->directory, init->manager, tool->config);
		return;
	}
	screen_line(&tool->screen, SCREEN_GOOD, "keys and root version 1 in %s",
		    init->directory);
	screen_line(&tool->screen, config_written ? SCREEN_GOOD : SCREEN_NOTE, "%s %s",
		    tool->config,
		    config_written ? "written"
				   : "was there and is untouched; its key paths stay");
	fprintf(out,
		"\nThe first admin is %s. On the broker, beside the line that loads the plugin:\n\n"
		"  plugin_opt_trust_root %s/root.json   (a copy that mosquitto can read)\n"
		"  plugin_opt_admin      %s\n\n"
		"On each device, the same root.json as the agent's 'root'.\n"
		"root.key is wanted again only to change keys: move it to a place that is "
		"offline.%s\n",
		init->manager, init->directory, init->manager,
		getenv("OTACTL_PASSPHRASE") ? ""
					    : " The keys are not encrypted; OTACTL_PASSPHRASE "
					      "would have done that.");
}

static const char *manager_name(struct tool *tool, struct certificate *certificate)
{
	const char *given = arguments_value(&tool->arguments, "manager");

	if (given)
		return given;
	if (tool->options.cert && *tool->options.cert &&
	    !certificate_read(tool->options.cert, certificate, NULL) && certificate->name[0])
		return certificate->name;
	return getenv("USER") ? getenv("USER") : "admin";
}

static enum ota_err whole_path(const char *given, char **ret_path, struct ota_why *why)
{
	AUTO_FREE char *here = *given == '/' ? NULL : getcwd(NULL, 0);

	if (asprintf(ret_path, "%s%s%s", here ? here : "", here ? "/" : "", given) < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	return OTA_OK;
}

static enum ota_err default_directory(const struct tool *tool, char **ret_path,
				      struct ota_why *why)
{
	const char *slash = strrchr(tool->config, '/');

	if (asprintf(ret_path, "%.*s/ota-keys", slash ? (int)(slash - tool->config) : 1,
		     slash ? tool->config : ".") < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	return OTA_OK;
}

static enum ota_err run_init(struct tool *tool, struct ota_why *why)
{
	AUTO(init_done) struct init init = {0};
	AUTO_FREE char *directory = NULL, *config = NULL;
	struct certificate certificate = {0};
	const char *algorithm = arguments_value(&tool->arguments, "algorithm");
	const char *given = arguments_value(&tool->arguments, "dir");
	uint64_t years = YEARS_DEFAULT;
	bool config_written = false;
	enum ota_err err = arguments_number(&tool->arguments, "years", 1, 30, &years, why);

	init.manager = manager_name(tool, &certificate);
	init.algorithm =
		algorithm && !strcmp(algorithm, "ecdsa-p256") ? SIGN_ECDSA_P256 : SIGN_ED25519;
	init.not_after = (uint64_t)time(NULL) + years * YEAR_S;
	if (!err && !name_is_id(init.manager))
		err = ota_fail(why, OTA_BAD_REQUEST, "manager '%s': allowed are %s",
			       init.manager, NAME_ALLOWED);
	if (!err)
		err = whole_path(tool->config, &config, why);
	if (!err) {
		free(tool->config);
		tool->config = TAKE(config);
		err = given ? whole_path(given, &directory, why)
			    : default_directory(tool, &directory, why);
	}
	init.directory = directory;
	if (!err)
		err = make_keys(&init, why);
	if (!err)
		err = make_root(&init, why);
	if (!err)
		err = save(&init, why);
	if (!err)
		err = write_config(tool, &init, &config_written, why);
	if (!err)
		say_what_next(tool, &init, config_written);
	return err;
}

static const struct verb_option init_options[] = {
	{"dir", "DIRECTORY",
	 "where the keys and root.json go (default: ota-keys beside the "
	 "configuration)",
	 false, false},
	{"manager", "NAME",
	 "the first admin, whose key signs releases (default: the CN of --cert)", false, false},
	{"algorithm", "ed25519|ecdsa-p256", "of all keys (default ed25519)", false, false},
	{"years", "N", "how long the release key is good (default 5)", false, false},
	{NULL},
};

const struct verb verb_init[] = {
	{"init", NULL, "", 0, 0, "make the keys, the trust root and the configuration",
	 init_options, run_init},
	{NULL},
};
