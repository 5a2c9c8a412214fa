#include "release_make.h"

#include "document.h"
#include "envelope.h"
#include "file.h"
#include "own.h"
#include "release_watch.h"
#include "trust.h"

#include <string.h>
#include <time.h>

#define LIFE_DEFAULT_S (30 * UINT64_C(86400))

static const struct screen_column skipped_columns[] = {
	{"NOT REACHED BECAUSE", "sentence", SCREEN_TEXT},
	{"DEVICES", "count", SCREEN_NUMBER},
	{"FOR EXAMPLE", "sample", SCREEN_LIST},
	{NULL},
};

static const struct screen_column wave_columns[] = {
	{"WAVE UP TO", "share", SCREEN_SHARE},
	{"GROUP", "group", SCREEN_TEXT},
	{"DEVICES", "targeted", SCREEN_NUMBER},
	{NULL},
};

const struct verb_option release_make_options[] = {
	{"fast", NULL, "devices that are online are told now", false, false},
	{"standard", NULL, "devices learn of it when they next connect (the default)", false,
	 false},
	{"group", "NAME", "only to this group", false, false},
	{"device", "NAME", "only to this device", false, false},
	{"waves", "PERCENT,…",
	 "cumulative shares (default 1,10,50,100 for a product, else 100)", false, false},
	{"wave-groups", "NAME,…", "these groups one after another", false, false},
	{"success", "PERCENT", "of a wave before the next begins (default 90)", false, false},
	{"errors", "PERCENT", "of a wave that halt it, with --error-count (default 5)", false,
	 false},
	{"error-count", "N", "failures that halt it, with --errors (default 3)", false, false},
	{"sample", "N", "results that a wave needs before it is judged (default 1)", false,
	 false},
	{"bake", "DURATION", "rest between waves (default 10m)", false, false},
	{"silence", "DURATION", "without a word a device counts as lost (default 1h)", false,
	 false},
	{"max-concurrent", "N", "downloads at a time", false, false},
	{"rate", "BYTES", "a second, all devices together", false, false},
	{"start-in", "DURATION", "start later", false, false},
	{"deadline", "DURATION", "a standard release turns fast after this", false, false},
	{"expires", "DURATION", "no new installations after this (default 30d)", false, false},
	{"allow-downgrade", NULL, "an older version than the running one is fine", false,
	 false},
	{"force", NULL, "ignore a device's 'may I start' gate", false, false},
	{"rollback-on-halt", NULL, "send updated devices back if it halts", false, false},
	{"override", NULL, "start although the version succeeded on no device yet (admin)",
	 false, false},
	{"number", "N", "its number, when the plugin's cannot be confirmed", false, false},
	{"dry-run", NULL, "only say whom it would reach", false, false},
	{"watch", NULL, "then follow it until it has ended", false, false},
	{"signing-key", "FILE", "release key (default: release_key of the configuration)",
	 false, false},
	{NULL},
};

static enum ota_err set_target(const struct arguments *arguments,
			       struct release_document *release, struct ota_why *why)
{
	const char *group = arguments_value(arguments, "group");
	const char *device = arguments_value(arguments, "device");

	if (group && device)
		return ota_fail(why, OTA_BAD_REQUEST, "--group and --device: choose one");
	if (group && !name_is_product(group))
		return ota_fail(why, OTA_BAD_REQUEST, "--group '%s': allowed are %s", group,
				NAME_LOWER_ALLOWED);
	if (device && !name_is_id(device))
		return ota_fail(why, OTA_BAD_REQUEST, "--device '%s': allowed are %s", device,
				NAME_ALLOWED);
	release->target.kind = group	? RELEASE_TO_GROUP
			       : device ? RELEASE_TO_DEVICE
					: RELEASE_TO_PRODUCT;
	text_copy(release->target.name, NAME_SIZE,
		  group	   ? group
		  : device ? device
			   : release->product);
	return OTA_OK;
}

static enum ota_err add_wave(struct release_document *release, const char *word, bool is_group,
			     struct ota_why *why)
{
	struct release_wave *wave = &release->waves[release->wave_count];

	if (release->wave_count == DOCUMENT_WAVES_MAX)
		return ota_fail(why, OTA_BAD_REQUEST, "at most %d waves", DOCUMENT_WAVES_MAX);
	release->wave_count++;
	if (!is_group)
		return arguments_share(word, "--waves", &wave->share, why);
	if (!name_is_product(word))
		return ota_fail(why, OTA_BAD_REQUEST, "--wave-groups '%s': allowed are %s",
				word, NAME_LOWER_ALLOWED);
	text_copy(wave->group, sizeof(wave->group), word);
	return OTA_OK;
}

static enum ota_err set_waves(const struct arguments *arguments,
			      struct release_document *release, struct ota_why *why)
{
	const char *groups = arguments_value(arguments, "wave-groups");
	const char *list = arguments_value(arguments, "waves");
	enum ota_err err = OTA_OK;
	size_t len;

	if (groups && list)
		return ota_fail(why, OTA_BAD_REQUEST, "--waves and --wave-groups: choose one");
	if (!groups && !list && release->target.kind == RELEASE_TO_PRODUCT)
		list = "1,10,50,100";
	list = groups ? groups : list;
	for (; list && *list && !err; list += len + (list[len] == ',')) {
		char word[NAME_SIZE];

		len = strcspn(list, ",");
		snprintf(word, sizeof(word), "%.*s", (int)(len < 64 ? len : 64), list);
		err = add_wave(release, word, groups != NULL, why);
	}
	if (!err && release->wave_count && !groups &&
	    release->waves[release->wave_count - 1].share != DOCUMENT_SHARE_FULL)
		return ota_fail(why, OTA_BAD_REQUEST, "--waves must end with 100");
	/* One wave of all is said by saying nothing. */
	if (!err && release->wave_count == 1 && !groups)
		release->wave_count = 0;
	return err;
}

static enum ota_err put_share(const struct arguments *arguments, const char *option,
			      uint32_t *place, struct ota_why *why)
{
	const char *value = arguments_value(arguments, option);
	char what[32];

	snprintf(what, sizeof(what), "--%s", option);
	return value ? arguments_share(value, what, place, why) : OTA_OK;
}

static enum ota_err set_thresholds(const struct arguments *arguments,
				   struct release_document *release, struct ota_why *why)
{
	static const char *const any[] = {"success", "errors", "error-count",
					  "sample",  "bake",   "silence"};
	struct release_thresholds *to = &release->thresholds;
	uint64_t count, sample;
	enum ota_err err;

	*to = document_thresholds_default;
	for (unsigned i = 0; i < sizeof(any) / sizeof(*any); i++)
		release->has_thresholds |= arguments_has(arguments, any[i]);
	count = to->error_count;
	sample = to->sample;
	err = put_share(arguments, "success", &to->success, why);
	if (!err)
		err = put_share(arguments, "errors", &to->errors, why);
	if (!err)
		err = arguments_number(arguments, "error-count", 0, UINT32_MAX, &count, why);
	if (!err)
		err = arguments_number(arguments, "sample", 0, UINT32_MAX, &sample, why);
	if (!err)
		err = arguments_duration(arguments, "bake", &to->bake_s, why);
	if (!err)
		err = arguments_duration(arguments, "silence", &to->silence_s, why);
	to->error_count = (uint32_t)count;
	to->sample = (uint32_t)sample;
	return err;
}

static enum ota_err set_rate(const struct arguments *arguments,
			     struct release_document *release, struct ota_why *why)
{
	const char *value = arguments_value(arguments, "rate");
	const struct option_row rows[] = {
		{.key = "rate",
		 .kind = OPTION_NUMBER,
		 .min = 1,
		 .max = UINT64_C(1) << 50,
		 .fallback = "",
		 .help = "bytes",
		 .bytes = true},
		{0},
	};

	return value ? option_set(rows, &release->rate, "rate", value, "the command line", why)
		     : OTA_OK;
}

static enum ota_err set_times(const struct arguments *arguments,
			      struct release_document *release, struct ota_why *why)
{
	uint64_t life_s = LIFE_DEFAULT_S, start_s = 0, deadline_s = 0, concurrent = 0;
	enum ota_err err = arguments_duration(arguments, "expires", &life_s, why);

	if (!err)
		err = arguments_duration(arguments, "start-in", &start_s, why);
	if (!err)
		err = arguments_duration(arguments, "deadline", &deadline_s, why);
	if (!err)
		err = arguments_number(arguments, "max-concurrent", 1, 1000000, &concurrent,
				       why);
	if (!err && deadline_s && arguments_has(arguments, "fast"))
		return ota_fail(why, OTA_BAD_REQUEST, "--deadline is for standard releases");
	release->created = (uint64_t)time(NULL);
	release->not_after = release->created + life_s;
	release->not_before = start_s ? release->created + start_s : 0;
	release->deadline = deadline_s ? release->created + deadline_s : 0;
	release->max_concurrent = (uint32_t)concurrent;
	return err;
}

static void free_trust(struct trust **place)
{
	trust_free(*place);
}

static enum ota_err load_trust(struct tool *tool, struct trust **ret_trust, struct ota_why *why)
{
	AUTO_FREE char *root = NULL;
	size_t len = 0;
	enum ota_err err = file_read(tool->options.root, ENVELOPE_SIZE_MAX, &root, &len, why);

	if (!err)
		err = trust_new(root, len, ret_trust, why);
	return err ? ota_context(why, err, "the root '%s'", tool->options.root) : OTA_OK;
}

static bool has_root(const struct tool *tool)
{
	return tool->options.root && *tool->options.root;
}

/* Reads the manifest that the plugin shows, verified by the root in our own hands where there
 * is one: what is signed below is a digest, and a broker in wrong hands must not choose it. */
static enum ota_err read_firmware(struct tool *tool, const char *envelope,
				  struct trusted_firmware *ret_firmware, struct ota_why *why)
{
	AUTO(free_trust) struct trust *trust = NULL;
	struct envelope plain = {0};
	enum ota_err err;

	if (has_root(tool)) {
		err = load_trust(tool, &trust, why);
		if (err)
			return err;
		err = trust_firmware(trust, envelope, strlen(envelope), ret_firmware, why);
		return err ? ota_context(why, err, "by the root '%s'", tool->options.root)
			   : OTA_OK;
	}
	screen_line(&tool->screen, SCREEN_NOTE,
		    "no root in %s: the plugin's word on this firmware is not checked",
		    tool->config);
	err = envelope_read(envelope, strlen(envelope), ENVELOPE_FIRMWARE, &plain, why);
	if (!err)
		err = digest_of(plain.payload, plain.payload_len, &ret_firmware->digest, why);
	if (!err)
		err = firmware_read(plain.payload, plain.payload_len, &ret_firmware->document,
				    why);
	envelope_done(&plain);
	return err;
}

static enum ota_err check_firmware(struct tool *tool, const struct view *shown,
				   struct release_document *release, struct ota_why *why)
{
	struct trusted_firmware firmware = {0};
	enum ota_err err =
		read_firmware(tool, view_text(view_at(shown, "envelope")), &firmware, why);

	if (err)
		return err;
	if (strcmp(firmware.document.product, release->product) != 0 ||
	    strcmp(firmware.document.version, tool->arguments.words[0]) != 0)
		err = ota_fail(
			why, OTA_SIGNATURE_INVALID,
			"asked for %s version %s, the plugin showed the manifest of %s version "
			"%s: it is not to be trusted",
			release->product, tool->arguments.words[0], firmware.document.product,
			firmware.document.version);
	release->firmware = firmware.digest;
	firmware_done(&firmware.document);
	return err;
}

/* The release before this one, as a signature of ours says it. */
static enum ota_err check_before(struct tool *tool, const struct release_document *release,
				 struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	AUTO(free_trust) struct trust *trust = NULL;
	struct trusted_release before = {0};
	const char *envelope;
	bool good;
	enum ota_err err;

	tool_args_string(&args, "product", release->product);
	tool_args_number(&args, "number", release->number - 1);
	err = tool_ask(tool, "release.show", &args, &tree, why);
	if (!err)
		err = load_trust(tool, &trust, why);
	envelope = view_text(view_at(view_root(tree), "envelope"));
	if (!err)
		err = trust_release(trust, envelope, strlen(envelope), &before, why);
	if (err)
		return err;
	good = !strcmp(before.document.product, release->product) &&
	       before.document.number == release->number - 1;
	release_done(&before.document);
	return good ? OTA_OK : ota_fail(why, OTA_SIGNATURE_INVALID, "it is another release");
}

/* Devices refuse every number below the highest they have seen: a broker in wrong hands must
 * not make us sign one so high that none is left above it. */
static enum ota_err check_number(struct tool *tool, struct release_document *release,
				 struct ota_why *why)
{
	uint64_t given = 0;
	enum ota_err err =
		arguments_number(&tool->arguments, "number", 1, JSON_INT_MAX, &given, why);

	if (err || given) {
		release->number = given;
		return err;
	}
	if (release->number == 1 || !has_root(tool))
		return OTA_OK;
	err = check_before(tool, release, why);
	if (!err)
		return OTA_OK;
	return ota_context(why, err,
			   "the plugin says that this is release %llu, but our root does not "
			   "confirm release %llu (if its manager was removed: --number %llu)",
			   (unsigned long long)release->number,
			   (unsigned long long)release->number - 1,
			   (unsigned long long)release->number);
}

/* What only the plugin knows: the next number, and the manifest. */
static enum ota_err look_up(struct tool *tool, struct release_document *release,
			    struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *product = NULL, *firmware = NULL;
	AUTO(tool_args_done) struct tool_args product_args = {0}, firmware_args = {0};
	enum ota_err err;

	tool_args_string(&product_args, "name", release->product);
	tool_args_string(&firmware_args, "product", release->product);
	tool_args_string(&firmware_args, "version", tool->arguments.words[0]);
	err = tool_ask(tool, "product.show", &product_args, &product, why);
	if (!err)
		err = tool_ask(tool, "firmware.show", &firmware_args, &firmware, why);
	if (err)
		return err;
	release->number = view_number(view_at(view_root(product), "next_number"));
	if (!release->number)
		return ota_fail(why, OTA_INTERNAL, "the plugin's answer is broken");
	err = check_number(tool, release, why);
	if (err)
		return err;
	return check_firmware(tool, view_root(firmware), release, why);
}

static enum ota_err fill(struct tool *tool, struct release_document *release,
			 struct ota_why *why)
{
	const struct arguments *arguments = &tool->arguments;
	const char *product = NULL;
	enum ota_err err = tool_product(tool, &product, why);

	if (err)
		return err;
	if (arguments_has(arguments, "fast") && arguments_has(arguments, "standard"))
		return ota_fail(why, OTA_BAD_REQUEST, "--fast and --standard: choose one");
	text_copy(release->product, sizeof(release->product), product);
	release->mode = arguments_has(arguments, "fast") ? RELEASE_FAST : RELEASE_STANDARD;
	release->allow_downgrade = arguments_has(arguments, "allow-downgrade");
	release->force = arguments_has(arguments, "force");
	release->rollback_on_halt = arguments_has(arguments, "rollback-on-halt");
	err = set_target(arguments, release, why);
	if (!err)
		err = set_waves(arguments, release, why);
	if (!err)
		err = set_thresholds(arguments, release, why);
	if (!err)
		err = set_rate(arguments, release, why);
	if (!err)
		err = set_times(arguments, release, why);
	return err;
}

static enum ota_err sign(struct tool *tool, const struct release_document *release,
			 char **ret_envelope, struct ota_why *why)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	const struct sign_key *signer;
	struct text payload = {0};
	enum ota_err err =
		tool_signing_key(tool, tool->options.release_key, "release_key", &key, why);

	if (!err)
		err = json_write(&release_shape, release, &payload, why);
	signer = key;
	if (!err)
		err = envelope_make(ENVELOPE_RELEASE, payload.data, payload.len, &signer, 1,
				    ret_envelope, why);
	text_done(&payload);
	return err;
}

static enum ota_err show_dry_run(struct tool *tool, const struct view *result,
				 struct ota_why *why)
{
	uint64_t targeted = view_number(view_at(result, "targeted"));
	enum ota_err err;

	if (tool_json(tool, result))
		return OTA_OK;
	screen_line(&tool->screen, targeted ? SCREEN_GOOD : SCREEN_NOTE,
		    "it would reach %llu devices; nothing was started",
		    (unsigned long long)targeted);
	if (view_at(result, "proven") && !view_is_true(view_at(result, "proven")))
		screen_line(
			&tool->screen, SCREEN_NOTE,
			"this version has succeeded on no device yet: release it to one first "
			"(--device), or an admin uses --override");
	err = tool_show_rows(tool, view_at(result, "waves"), wave_columns, NULL, why);
	return err ? err
		   : tool_show_rows(tool, view_at(result, "skipped"), skipped_columns, NULL,
				    why);
}

static void show_created(struct tool *tool, const struct release_document *release,
			 const struct view *result)
{
	bool all = release->target.kind == RELEASE_TO_PRODUCT;
	char when[32];

	screen_line(&tool->screen, SCREEN_GOOD, "release %llu: %s version %s, %s, to %s%s%s",
		    (unsigned long long)release->number, release->product,
		    tool->arguments.words[0], release_mode_names[release->mode],
		    all ? "all devices" : release_target_names[release->target.kind],
		    all ? "" : " ", all ? "" : release->target.name);
	if (!strcmp(view_text(view_at(result, "state")), "unapproved"))
		screen_line(&tool->screen, SCREEN_NOTE,
			    "it starts once another manager says: otactl release approve %llu",
			    (unsigned long long)release->number);
	else if (release->not_before) {
		screen_format(&tool->screen, SCREEN_TIME, view_at(result, "not_before"), when,
			      sizeof(when));
		screen_line(&tool->screen, SCREEN_NOTE, "it starts at %s", when);
	}
}

enum ota_err release_make(struct tool *tool, bool dry_run, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	AUTO_FREE char *envelope = NULL;
	struct release_wave waves[DOCUMENT_WAVES_MAX] = {0};
	struct release_document release = {.waves = waves};
	enum ota_err err = fill(tool, &release, why);

	if (!err)
		err = look_up(tool, &release, why);
	if (!err)
		err = sign(tool, &release, &envelope, why);
	if (err)
		return err;
	tool_args_string(&args, "release", envelope);
	if (dry_run)
		tool_args_bool(&args, "dry_run", true);
	if (arguments_has(&tool->arguments, "override"))
		tool_args_bool(&args, "override", true);
	err = tool_ask(tool, "release.create", &args, &tree, why);
	if (err)
		return err;
	if (dry_run)
		return show_dry_run(tool, view_root(tree), why);
	show_created(tool, &release, view_root(tree));
	if (arguments_has(&tool->arguments, "watch"))
		return release_watch(tool, release.product, release.number, why);
	tool_json(tool, view_root(tree));
	return OTA_OK;
}
