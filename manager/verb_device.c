#include "advice.h"
#include "file.h"
#include "json.h"
#include "own.h"
#include "tool.h"

#include <string.h>

#define IDS_A_COMMAND 1000u
#define ID_FILE_MAX   (64u << 20)

static const struct screen_column list_columns[] = {
	{"DEVICE", "device", SCREEN_TEXT},
	{"STATUS", "status", SCREEN_STATE},
	{"ONLINE", "online", SCREEN_YES},
	{"VERSION", "version", SCREEN_TEXT},
	{"UPDATE", "update.state", SCREEN_STATE},
	{"TO", "update.version", SCREEN_TEXT},
	{"ERROR", "update.error.name", SCREEN_TEXT},
	{"PIN", "pin", SCREEN_TEXT},
	{"GROUPS", "groups", SCREEN_LIST},
	{"SEEN", "seen", SCREEN_AGE},
	{NULL},
};

static const struct screen_column show_columns[] = {
	{"device", "device", SCREEN_TEXT},
	{"product", "product", SCREEN_TEXT},
	{"status", "status", SCREEN_STATE},
	{"online", "online", SCREEN_YES},
	{"seen", "seen", SCREEN_AGE},
	{"hardware", "hardware", SCREEN_TEXT},
	{"version", "version", SCREEN_TEXT},
	{"image", "digest", SCREEN_TEXT},
	{"previous image", "previous", SCREEN_TEXT},
	{"security version", "security_version", SCREEN_NUMBER},
	{"security floor", "floor", SCREEN_NUMBER},
	{"trust root", "root", SCREEN_NUMBER},
	{"first seen", "first", SCREEN_TIME},
	{"room for an image", "slot_size", SCREEN_BYTES},
	{"groups", "groups", SCREEN_LIST},
	{"development", "development", SCREEN_YES},
	{"pin", "pin", SCREEN_TEXT},
	{"updates disabled", "updates_disabled", SCREEN_YES},
	{"may download", "consent.download", SCREEN_YES},
	{"may install", "consent.install", SCREEN_YES},
	{"may restart", "consent.restart", SCREEN_YES},
	{"because", "reason", SCREEN_TEXT},
	{"until at the latest", "lease", SCREEN_TIME},
	{"window", "window", SCREEN_TEXT},
	{"notes", "notes", SCREEN_TEXT},
	{"target release", "target.release", SCREEN_NUMBER},
	{"target version", "target.version", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column update_columns[] = {
	{"release", "release", SCREEN_NUMBER},
	{"to version", "version", SCREEN_TEXT},
	{"state", "state", SCREEN_STATE},
	{"since", "since", SCREEN_AGE},
	{"attempt", "attempt", SCREEN_NUMBER},
	{"verified", "done", SCREEN_BYTES},
	{"of", "total", SCREEN_BYTES},
	{"failed attempts", "failures", SCREEN_CODE},
	{"sits out", "penalty", SCREEN_YES},
	{"next at", "due", SCREEN_TIME},
	{"error", "error.name", SCREEN_TEXT},
	{"in state", "error.state", SCREEN_STATE},
	{"message", "error.message", SCREEN_TEXT},
	{"detail", "error.detail", SCREEN_CODE},
	{NULL},
};

static const struct screen_column history_columns[] = {
	{"RELEASE", "release", SCREEN_NUMBER},
	{"TO", "version", SCREEN_TEXT},
	{"STATE", "state", SCREEN_STATE},
	{"ATTEMPT", "attempt", SCREEN_NUMBER},
	{"SINCE", "since", SCREEN_TIME},
	{"ERROR", "attempts.last.error.name", SCREEN_TEXT},
	{"MESSAGE", "attempts.last.error.message", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column log_columns[] = {
	{"RECEIVED", "time_ms", SCREEN_TIME_MS}, {"RELEASE", "release", SCREEN_NUMBER},
	{"ATTEMPT", "attempt", SCREEN_NUMBER},	 {"STATE", "state", SCREEN_STATE},
	{"AFTER MS", "at_ms", SCREEN_NUMBER},	 {"RUNS", "version", SCREEN_TEXT},
	{"VERIFIED", "done", SCREEN_BYTES},	 {"REASON", "reason", SCREEN_TEXT},
	{"ERROR", "error.name", SCREEN_TEXT},	 {NULL},
};

static const struct screen_column why_columns[] = {
	{"rule", "rule", SCREEN_TEXT},
	{"why", "sentence", SCREEN_TEXT},
	{"target release", "target.release", SCREEN_NUMBER},
	{"target version", "target.version", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column ping_columns[] = {
	{"online", "online", SCREEN_YES},
	{"seen", "seen", SCREEN_AGE},
	{NULL},
};

static void put_filter(struct tool *tool, struct tool_args *args, const char *name)
{
	tool_args_string(args, name, arguments_value(&tool->arguments, name));
}

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	const char *online = arguments_value(&tool->arguments, "online");

	if (tool->options.product && *tool->options.product)
		tool_args_string(&args, "product", tool->options.product);
	put_filter(tool, &args, "status");
	put_filter(tool, &args, "group");
	put_filter(tool, &args, "version");
	put_filter(tool, &args, "state");
	put_filter(tool, &args, "search");
	if (online)
		tool_args_bool(&args, "online", !strcmp(online, "yes"));
	return tool_ask_list(tool, "device.list", &args, list_columns,
			     "no such devices; new ones appear here once they connect", why);
}

static void put_device(struct tool *tool, struct tool_args *args)
{
	tool_args_string(args, "device", tool->arguments.words[0]);
}

/* The newest evidence of the update in hand, for those who may read it. */
static void show_evidence(struct tool *tool, const struct view *device)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const struct view *each;

	put_device(tool, &args);
	tool_args_number(&args, "release", view_number(view_at(device, "update.release")));
	if (tool_ask(tool, "device.log", &args, &tree, NULL))
		return;
	for (each = view_first(view_at(view_root(tree), "items")); each;
	     each = view_next(each)) {
		const char *log = view_text(view_at(each, "error.log"));
		char *clean;

		if (!*log)
			continue;
		clean = malloc(strlen(log) + 1);
		if (!clean)
			return;
		text_sanitize(clean, strlen(log) + 1, log, strlen(log), true);
		fputc('\n', tool->screen.out);
		screen_heading(&tool->screen, "log of the failed version");
		fprintf(tool->screen.out, "%s\n", clean);
		free(clean);
		return;
	}
}

static enum ota_err run_show(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const struct view *update;
	enum ota_err err, seen;

	put_device(tool, &args);
	err = tool_ask(tool, "device.show", &args, &tree, why);
	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, show_columns, view_root(tree));
	update = view_at(view_root(tree), "update");
	if (!update)
		return OTA_OK;
	fputc('\n', tool->screen.out);
	screen_heading(&tool->screen, "update in hand");
	screen_record(&tool->screen, update_columns, update);
	if (ota_err_from_name(view_text(view_at(update, "error.name")), &seen))
		fprintf(tool->screen.out, "\nWhat to do: %s\n", advice_remedy(seen));
	if (view_at(update, "error"))
		show_evidence(tool, view_root(tree));
	return OTA_OK;
}

static enum ota_err run_why(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	put_device(tool, &args);
	return tool_ask_record(tool, "device.why", &args, why_columns, why);
}

static enum ota_err run_ping(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	put_device(tool, &args);
	return tool_ask_record(tool, "device.ping", &args, ping_columns, why);
}

static enum ota_err run_history(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	put_device(tool, &args);
	return tool_ask_list(tool, "device.updates", &args, history_columns,
			     "no updates of this device yet", why);
}

static enum ota_err put_release(struct tool *tool, struct tool_args *args, struct ota_why *why)
{
	uint64_t release = 0;
	enum ota_err err =
		arguments_number(&tool->arguments, "release", 1, JSON_INT_MAX, &release, why);

	if (!err)
		tool_args_number(args, "release", release);
	return err;
}

static enum ota_err run_log(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	uint64_t attempt = 0;
	enum ota_err err = put_release(tool, &args, why);

	put_device(tool, &args);
	if (!err)
		err = arguments_number(&tool->arguments, "attempt", 1, UINT32_MAX, &attempt,
				       why);
	if (attempt)
		tool_args_number(&args, "attempt", attempt);
	return err ? err
		   : tool_ask_list(tool, "device.log", &args, log_columns, "no reports", why);
}

static enum ota_err run_retry(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = put_release(tool, &args, why);

	put_device(tool, &args);
	return err ? err : tool_ask_record(tool, "device.retry", &args, update_columns, why);
}

static enum ota_err run_boot_previous(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = put_release(tool, &args, why);

	put_device(tool, &args);
	return err ? err : tool_ask_record(tool, "device.revert", &args, update_columns, why);
}

/* Ids from the words and, one a line with # comments, from --file. */
struct ids {
	char *file;
	const char **all;
	unsigned count, room;
};

static void ids_done(struct ids *ids)
{
	free(ids->file);
	free(ids->all);
}

static enum ota_err add_id(struct ids *ids, const char *id, struct ota_why *why)
{
	if (ids->count == ids->room) {
		unsigned room = ids->room ? 2 * ids->room : 256;
		const char **all = reallocarray(ids->all, room, sizeof(*all));

		if (!all)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for ids");
		ids->all = all;
		ids->room = room;
	}
	ids->all[ids->count++] = id;
	return OTA_OK;
}

static enum ota_err add_file(struct ids *ids, const char *path, struct ota_why *why)
{
	size_t len = 0;
	char *line, *next;
	enum ota_err err = file_read(path, ID_FILE_MAX, &ids->file, &len, why);

	for (line = ids->file; line && *line && !err; line = next) {
		size_t end = strcspn(line, "\n");

		next = line + end + (line[end] == '\n');
		line[end] = '\0';
		line[strcspn(line, "#\r \t,;")] = '\0';
		if (*line)
			err = add_id(ids, line, why);
	}
	return err;
}

static enum ota_err read_ids(struct tool *tool, struct ids *ids, struct ota_why *why)
{
	const char *path = arguments_value(&tool->arguments, "file");
	enum ota_err err = OTA_OK;
	unsigned i;

	for (i = 0; i < tool->arguments.word_count && !err; i++)
		err = add_id(ids, tool->arguments.words[i], why);
	if (!err && path)
		err = add_file(ids, path, why);
	if (!err && !ids->count)
		err = ota_fail(why, OTA_BAD_REQUEST,
			       "which devices? Name some, or give --file");
	return err;
}

/* Sends the ids in as many commands as they need and adds up the counts of the answers. */
static enum ota_err ask_in_parts(struct tool *tool, const char *verb, const char *product,
				 const struct ids *ids, const char *const counts[3],
				 struct ota_why *why)
{
	uint64_t sums[3] = {0};
	unsigned at, i;

	for (at = 0; at < ids->count; at += IDS_A_COMMAND) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		AUTO(tool_args_done) struct tool_args args = {0};
		unsigned left = ids->count - at;
		const struct view *each;
		enum ota_err err;

		tool_args_string(&args, "product", product);
		tool_args_strings(&args, "devices", ids->all + at,
				  left < IDS_A_COMMAND ? left : IDS_A_COMMAND);
		err = tool_ask(tool, verb, &args, &tree, why);
		if (err)
			return ota_context(why, err, "after %u of %u ids", at, ids->count);
		for (i = 0; i < 3; i++)
			sums[i] += view_number(view_at(view_root(tree), counts[i]));
		for (each = view_first(view_at(view_root(tree), "invalid_ids")); each;
		     each = view_next(each))
			screen_line(&tool->screen, SCREEN_BAD, "not an id: %s",
				    view_text(each));
	}
	if (tool->screen.json)
		fprintf(tool->screen.out, "{\"%s\":%llu,\"%s\":%llu,\"%s\":%llu}\n", counts[0],
			(unsigned long long)sums[0], counts[1], (unsigned long long)sums[1],
			counts[2], (unsigned long long)sums[2]);
	else
		screen_line(&tool->screen, sums[2] ? SCREEN_NOTE : SCREEN_GOOD,
			    "%llu %s, %llu %s, %llu %s", (unsigned long long)sums[0], counts[0],
			    (unsigned long long)sums[1], counts[1], (unsigned long long)sums[2],
			    counts[2]);
	return OTA_OK;
}

static enum ota_err change_status(struct tool *tool, const char *verb, struct ota_why *why)
{
	static const char *const counts[3] = {"changed", "unchanged", "unknown"};
	AUTO(ids_done) struct ids ids = {0};
	const char *product = arguments_value(&tool->arguments, "product");
	enum ota_err err = read_ids(tool, &ids, why);

	return err ? err : ask_in_parts(tool, verb, product, &ids, counts, why);
}

static enum ota_err run_approve(struct tool *tool, struct ota_why *why)
{
	return change_status(tool, "device.approve", why);
}

static enum ota_err run_deny(struct tool *tool, struct ota_why *why)
{
	return change_status(tool, "device.deny", why);
}

static enum ota_err run_remove(struct tool *tool, struct ota_why *why)
{
	return change_status(tool, "device.remove", why);
}

static enum ota_err run_import(struct tool *tool, struct ota_why *why)
{
	static const char *const counts[3] = {"added", "existing", "invalid"};
	AUTO(ids_done) struct ids ids = {0};
	const char *product = NULL;
	enum ota_err err = tool_product(tool, &product, why);

	if (!err)
		err = read_ids(tool, &ids, why);
	return err ? err : ask_in_parts(tool, "device.import", product, &ids, counts, why);
}

static enum ota_err set_one(struct tool *tool, const char *name, const char *text, bool yes,
			    struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	put_device(tool, &args);
	if (text)
		tool_args_string(&args, name, text);
	else
		tool_args_bool(&args, name, yes);
	return tool_ask_record(tool, "device.set", &args, show_columns, why);
}

static enum ota_err run_pin(struct tool *tool, struct ota_why *why)
{
	return set_one(tool, "pin", tool->arguments.words[1], false, why);
}

static enum ota_err run_unpin(struct tool *tool, struct ota_why *why)
{
	return set_one(tool, "pin", "", false, why);
}

static enum ota_err run_develop(struct tool *tool, struct ota_why *why)
{
	return set_one(tool, "development", NULL, !arguments_has(&tool->arguments, "off"), why);
}

static void put_words(struct tool_args *args, const char *name, const char *list)
{
	struct text json = {0};
	size_t len;

	text_put(&json, "[");
	for (; *list; list += len + (list[len] == ',')) {
		char word[NAME_SIZE];

		len = strcspn(list, ",");
		snprintf(word, sizeof(word), "%.*s", (int)(len < 64 ? len : 64), list);
		text_put(&json, json.len > 1 ? "," : "");
		json_put_string(&json, word);
	}
	text_put(&json, "]");
	tool_args_raw(args, name, json.data ? json.data : "[]");
	text_done(&json);
}

static enum ota_err run_group(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	put_device(tool, &args);
	put_words(&args, "groups", tool->arguments.words[1]);
	return tool_ask_record(tool, "device.set", &args, show_columns, why);
}

static enum ota_err run_set(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	const char *groups = arguments_value(&tool->arguments, "groups");
	const char *updates = arguments_value(&tool->arguments, "updates");
	const char *develop = arguments_value(&tool->arguments, "development");

	put_device(tool, &args);
	if (groups)
		put_words(&args, "groups", groups);
	tool_args_string(&args, "notes", arguments_value(&tool->arguments, "notes"));
	tool_args_string(&args, "pin", arguments_value(&tool->arguments, "pin"));
	if (develop)
		tool_args_bool(&args, "development", !strcmp(develop, "yes"));
	if (updates)
		tool_args_bool(&args, "updates_disabled", !strcmp(updates, "disabled"));
	return tool_ask_record(tool, "device.set", &args, show_columns, why);
}

static const struct verb_option list_options[] = {
	{"status", "quarantined|approved|denied|decommissioned", "only these", false, false},
	{"group", "NAME", "only members", false, false},
	{"version", "VERSION", "only those that run it", false, false},
	{"state", "STATE", "only with an update in this state", false, false},
	{"online", "yes|no", "only connected ones, or the others", false, false},
	{"search", "TEXT", "only ids that hold this", false, false},
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};
static const struct verb_option history_options[] = {
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};
static const struct verb_option ids_options[] = {
	{"file", "FILE", "ids, one a line", false, false},
	{NULL},
};
static const struct verb_option release_options[] = {
	{"release", "NUMBER", "which release", false, true},
	{NULL},
};
static const struct verb_option log_options[] = {
	{"release", "NUMBER", "which release", false, true},
	{"attempt", "NUMBER", "only this attempt", false, false},
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};
static const struct verb_option develop_options[] = {
	{"off", NULL, "make it an ordinary device again", false, false},
	{NULL},
};
static const struct verb_option set_options[] = {
	{"groups", "NAME,…", "exactly these groups", false, false},
	{"notes", "TEXT", "what people should know", false, false},
	{"pin", "VERSION", "stay on this version; '' unpins", false, false},
	{"development", "yes|no", "no fleet releases; development keys are good", false, false},
	{"updates", "enabled|disabled", "whether it is offered anything", false, false},
	{NULL},
};

const struct verb verb_device[] = {
	{"device", "list", "", 0, 0, "devices with version and update", list_options, run_list},
	{"device", "show", "DEVICE", 1, 1,
	 "one device, its update and the evidence of a failure", NULL, run_show},
	{"device", "why", "DEVICE", 1, 1, "why it is, or is not, updating", NULL, run_why},
	{"device", "history", "DEVICE", 1, 1, "its updates, newest first", history_options,
	 run_history},
	{"device", "log", "DEVICE", 1, 1, "its reports of one release", log_options, run_log},
	{"device", "ping", "DEVICE", 1, 1, "ask it to say hello", NULL, run_ping},
	{"device", "import", "[DEVICE …]", 0, VERB_WORDS_ANY,
	 "approve ids before they first connect", ids_options, run_import},
	{"device", "approve", "[DEVICE …]", 0, VERB_WORDS_ANY, "let quarantined devices in",
	 ids_options, run_approve},
	{"device", "deny", "[DEVICE …]", 0, VERB_WORDS_ANY, "shut devices out", ids_options,
	 run_deny},
	{"device", "remove", "[DEVICE …]", 0, VERB_WORDS_ANY, "decommission devices",
	 ids_options, run_remove},
	{"device", "set", "DEVICE", 1, 1, "change several settings at once", set_options,
	 run_set},
	{"device", "pin", "DEVICE VERSION", 2, 2, "keep it on one version", NULL, run_pin},
	{"device", "unpin", "DEVICE", 1, 1, "let it follow releases again", NULL, run_unpin},
	{"device", "develop", "DEVICE", 1, 1, "make it a development device", develop_options,
	 run_develop},
	{"device", "group", "DEVICE GROUP,…", 2, 2, "put it into exactly these groups", NULL,
	 run_group},
	{"device", "retry", "DEVICE", 1, 1, "try a failed update again", release_options,
	 run_retry},
	{"device", "boot-previous", "DEVICE", 1, 1, "send it back to its previous version",
	 release_options, run_boot_previous},
	{NULL},
};
