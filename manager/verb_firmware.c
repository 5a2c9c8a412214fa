#include "document.h"
#include "envelope.h"
#include "file.h"
#include "firmware_push.h"
#include "own.h"
#include "pack_write.h"
#include "tool.h"

#include <string.h>
#include <time.h>

static const struct screen_column list_columns[] = {
	{"VERSION", "version", SCREEN_TEXT},
	{"SIZE", "size", SCREEN_BYTES},
	{"SECURITY", "security_version", SCREEN_NUMBER},
	{"HARDWARE", "hardware", SCREEN_LIST},
	{"RUNNING", "running", SCREEN_NUMBER},
	{"PROVEN", "proven", SCREEN_YES},
	{"RELEASED", "released", SCREEN_YES},
	{"DEVELOPMENT", "development", SCREEN_YES},
	{"ADDED", "added", SCREEN_AGE},
	{NULL},
};

static const struct screen_column show_columns[] = {
	{"product", "product", SCREEN_TEXT},
	{"version", "version", SCREEN_TEXT},
	{"manifest", "digest", SCREEN_TEXT},
	{"image", "image", SCREEN_TEXT},
	{"size", "size", SCREEN_BYTES},
	{"security version", "security_version", SCREEN_NUMBER},
	{"hardware", "hardware", SCREEN_LIST},
	{"development", "development", SCREEN_YES},
	{"severity", "severity", SCREEN_TEXT},
	{"advisory", "advisory", SCREEN_TEXT},
	{"notes", "notes", SCREEN_TEXT},
	{"created", "created", SCREEN_TIME},
	{"added", "added", SCREEN_TIME},
	{"has succeeded once", "proven", SCREEN_YES},
	{"released", "released", SCREEN_YES},
	{"devices running it", "running", SCREEN_NUMBER},
	{NULL},
};

static const struct screen_column pack_columns[] = {
	{"PACK", "sha256", SCREEN_SHORT},
	{"SIZE", "size", SCREEN_BYTES},
	{"FROM IMAGE", "base", SCREEN_SHORT},
	{NULL},
};

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "version", &args, why);

	return err ? err
		   : tool_ask_list(tool, "firmware.list", &args, list_columns,
				   "no firmware yet: otactl firmware sign, then push", why);
}

static enum ota_err run_show(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "version", &args, why);

	if (!err)
		err = tool_ask(tool, "firmware.show", &args, &tree, why);
	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, show_columns, view_root(tree));
	return tool_show_rows(tool, view_at(view_root(tree), "packs"), pack_columns, "no packs",
			      why);
}

static enum ota_err run_delete(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "version", &args, why);

	return err ? err : tool_ask_record(tool, "firmware.delete", &args, NULL, why);
}

static enum ota_err read_hardware(const struct arguments *arguments,
				  struct name_text hardware[DOCUMENT_HARDWARE_MAX],
				  struct firmware_document *firmware, struct ota_why *why)
{
	const char *each;
	uint32_t count;

	for (count = 0; (each = arguments_each(arguments, "hardware", count)); count++) {
		if (count == DOCUMENT_HARDWARE_MAX)
			return ota_fail(why, OTA_BAD_REQUEST, "--hardware: at most %d",
					DOCUMENT_HARDWARE_MAX);
		if (!name_is_id(each))
			return ota_fail(why, OTA_BAD_REQUEST, "--hardware '%s': allowed are %s",
					each, NAME_ALLOWED);
		text_copy(hardware[count].text, NAME_SIZE, each);
	}
	firmware->hardware = hardware;
	firmware->hardware_count = count;
	return OTA_OK;
}

static enum ota_err put_version(const struct arguments *arguments, const char *option,
				char to[NAME_SIZE], struct ota_why *why)
{
	const char *value = arguments_value(arguments, option);

	if (!value)
		return OTA_OK;
	if (!name_is_version(value))
		return ota_fail(why, OTA_BAD_REQUEST, "--%s '%s': allowed are %s", option,
				value, NAME_VERSION_ALLOWED);
	text_copy(to, NAME_SIZE, value);
	return OTA_OK;
}

static enum firmware_severity severity_of(const char *word)
{
	unsigned i;

	for (i = FIRMWARE_LOW; word && i <= FIRMWARE_CRITICAL; i++)
		if (!strcmp(firmware_severity_names[i], word))
			return (enum firmware_severity)i;
	return FIRMWARE_SEVERITY_NONE;
}

static enum ota_err fill_component(const struct arguments *arguments, const char *path,
				   struct firmware_component *component, struct ota_why *why)
{
	static const struct {
		const char *name;
		uint32_t size;
	} sizes[] = {{"64k", 65536},
		     {"128k", 131072},
		     {"256k", 262144},
		     {"512k", 524288},
		     {"1m", 1048576}};
	const char *size = arguments_value(arguments, "segment-size");
	const char *name = arguments_value(arguments, "component");
	const char *class = arguments_value(arguments, "slot-class");
	struct pack_index index = {0};
	struct pack_image image = {0};
	enum ota_err err = pack_image_open(path, &image, why);
	unsigned i;

	component->segment_size = 262144;
	for (i = 0; size && i < sizeof(sizes) / sizeof(*sizes); i++)
		if (!strcmp(sizes[i].name, size))
			component->segment_size = sizes[i].size;
	text_copy(component->name, sizeof(component->name), name ? name : "main");
	text_copy(component->slot_class, sizeof(component->slot_class), class ? class : "main");
	if (!name_is_component(component->name) || !name_is_component(component->slot_class))
		err = ota_fail(
			why, OTA_BAD_REQUEST,
			"--component and --slot-class: allowed are 1 to 32 of a-z 0-9 _ -");
	if (!err)
		err = pack_index_make(&image, component->segment_size, NULL, &index, why);
	if (!err) {
		component->size = image.size;
		component->sha256 = index.image;
		component->index.sha256 = index.digest;
		component->index.size = index.size;
	}
	pack_index_done(&index);
	pack_image_close(&image);
	return err;
}

/* Strings of the document point into the arguments, so nothing of it is freed. */
static enum ota_err fill(struct tool *tool, struct firmware_document *firmware,
			 struct name_text *hardware, struct ota_why *why)
{
	const struct arguments *arguments = &tool->arguments;
	const char *product = NULL;
	uint64_t life_s = 0;
	enum ota_err err = tool_product(tool, &product, why);

	if (err)
		return err;
	text_copy(firmware->product, sizeof(firmware->product), product);
	firmware->created = (uint64_t)time(NULL);
	firmware->security_version = 1;
	firmware->severity = severity_of(arguments_value(arguments, "severity"));
	firmware->advisory = (char *)(uintptr_t)arguments_value(arguments, "advisory");
	firmware->notes = (char *)(uintptr_t)arguments_value(arguments, "notes");
	err = put_version(arguments, "version", firmware->version, why);
	if (!err)
		err = put_version(arguments, "requires-version", firmware->requires_version,
				  why);
	if (!err)
		err = arguments_number(arguments, "security-version", 0, JSON_INT_MAX,
				       &firmware->security_version, why);
	if (!err)
		err = arguments_number(arguments, "raise-floor-to", 0,
				       firmware->security_version, &firmware->raise_floor_to,
				       why);
	if (!err)
		err = arguments_duration(arguments, "expires", &life_s, why);
	if (!err && life_s)
		firmware->not_after = firmware->created + life_s;
	return err ? err : read_hardware(arguments, hardware, firmware, why);
}

static enum ota_err write_envelope(struct tool *tool, const char *text, const char *path,
				   struct ota_why *why)
{
	enum ota_err err = file_replace(path, text, strlen(text), 0644, why);

	if (!err && tool->screen.json)
		fprintf(tool->screen.out, "{\"file\":\"%s\"}\n", path);
	return err;
}

static enum ota_err output_path(struct tool *tool, char **ret_path, struct ota_why *why)
{
	const char *given = arguments_value(&tool->arguments, "output");
	int len = given ? asprintf(ret_path, "%s", given)
			: asprintf(ret_path, "%s.firmware.json", tool->arguments.words[0]);

	return len < 0 ? ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path") : OTA_OK;
}

static enum ota_err run_sign(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	AUTO_FREE char *envelope = NULL, *path = NULL;
	struct name_text hardware[DOCUMENT_HARDWARE_MAX];
	struct firmware_component component = {0};
	struct firmware_document firmware = {.components = &component, .component_count = 1};
	const struct sign_key *signer;
	struct text payload = {0};
	char size[SCREEN_FIGURE_SIZE];
	enum ota_err err = fill(tool, &firmware, hardware, why);

	if (!err)
		err = tool_signing_key(tool, tool->options.firmware_key, "firmware_key", &key,
				       why);
	if (!err)
		err = fill_component(&tool->arguments, tool->arguments.words[0], &component,
				     why);
	if (!err)
		err = json_write(&firmware_shape, &firmware, &payload, why);
	signer = key;
	if (!err)
		err = envelope_make(ENVELOPE_FIRMWARE, payload.data, payload.len, &signer, 1,
				    &envelope, why);
	text_done(&payload);
	if (!err)
		err = output_path(tool, &path, why);
	if (!err)
		err = write_envelope(tool, envelope, path, why);
	screen_bytes(component.size, size);
	if (!err)
		screen_line(&tool->screen, SCREEN_GOOD, "%s version %s (%s) signed: %s",
			    firmware.product, firmware.version, size, path);
	return err;
}

/* Another key's signature beside those that are there, for thresholds above one. */
static enum ota_err run_cosign(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	AUTO_FREE char *before = NULL, *after = NULL;
	const char *path = tool->arguments.words[0];
	size_t len = 0;
	enum ota_err err =
		tool_signing_key(tool, tool->options.firmware_key, "firmware_key", &key, why);

	if (!err)
		err = file_read(path, ENVELOPE_SIZE_MAX, &before, &len, why);
	if (!err)
		err = envelope_sign(before, ENVELOPE_FIRMWARE, key, &after, why);
	if (!err)
		err = write_envelope(tool, after, path, why);
	if (!err)
		screen_line(&tool->screen, SCREEN_GOOD, "signature added: %s", path);
	return err;
}

static const struct verb_option list_options[] = {
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};

static const struct verb_option sign_options[] = {
	{"version", "VERSION", "what it is called, as 2.1.0", false, true},
	{"hardware", "NAME", "hardware it is for", true, true},
	{"security-version", "N", "rises when going back would be dangerous (default 1)", false,
	 false},
	{"raise-floor-to", "N", "once confirmed, nothing below this is installed again", false,
	 false},
	{"requires-version", "VERSION", "the least version that may install it", false, false},
	{"severity", "low|medium|high|critical", "of what it mends", false, false},
	{"advisory", "TEXT", "reference of the advisory it answers", false, false},
	{"notes", "TEXT", "what is new", false, false},
	{"expires", "DURATION", "no new installations after this, as 365d", false, false},
	{"component", "NAME", "name of the image's part (default main)", false, false},
	{"slot-class", "NAME", "class of slot it goes to (default main)", false, false},
	{"segment-size", "64k|128k|256k|512k|1m", "unit of verification (default 256k)", false,
	 false},
	{"signing-key", "FILE", "firmware key (default: firmware_key of the configuration)",
	 false, false},
	{"output", "FILE", "where the manifest goes (default IMAGE.firmware.json)", false,
	 false},
	{NULL},
};

static const struct verb_option cosign_options[] = {
	{"signing-key", "FILE", "firmware key (default: firmware_key of the configuration)",
	 false, false},
	{NULL},
};

static const struct verb_option push_options[] = {
	{"manifest", "FILE", "what sign made (default IMAGE.firmware.json)", false, false},
	{"delta-from", "running|none|VERSION,…",
	 "make small packs for devices that run these (default running)", false, false},
	{"base", "FILE", "an image to make a small pack against", true, false},
	{"level", "N", "effort of packing, 1 to 22 (default 19)", false, false},
	{NULL},
};

const struct verb verb_firmware[] = {
	{"firmware", "sign", "IMAGE", 1, 1, "make and sign the manifest of an image",
	 sign_options, run_sign},
	{"firmware", "cosign", "MANIFEST", 1, 1, "add another key's signature", cosign_options,
	 run_cosign},
	{"firmware", "push", "IMAGE", 1, 1, "pack, upload and register a signed image",
	 push_options, firmware_push},
	{"firmware", "list", "", 0, 0, "all versions of the product", list_options, run_list},
	{"firmware", "show", "VERSION", 1, 1, "one version with its packs", NULL, run_show},
	{"firmware", "delete", "VERSION", 1, 1, "remove a version that was never released",
	 NULL, run_delete},
	{NULL},
};
