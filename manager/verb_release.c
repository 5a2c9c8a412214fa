#include "json.h"
#include "own.h"
#include "release_make.h"
#include "release_watch.h"
#include "tool.h"

#include <string.h>

static const struct screen_column list_columns[] = {
	{"NUMBER", "number", SCREEN_NUMBER},
	{"VERSION", "version", SCREEN_TEXT},
	{"MODE", "mode", SCREEN_TEXT},
	{"TO", "target.kind", SCREEN_TEXT},
	{"NAME", "target.name", SCREEN_TEXT},
	{"STATE", "state", SCREEN_STATE},
	{"TARGETED", "targeted", SCREEN_NUMBER},
	{"UPDATES", "counts", SCREEN_LIST},
	{"STARTED", "started", SCREEN_AGE},
	{"BY", "manager", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column show_columns[] = {
	{"release", "number", SCREEN_NUMBER},
	{"product", "product", SCREEN_TEXT},
	{"version", "version", SCREEN_TEXT},
	{"mode", "mode", SCREEN_TEXT},
	{"to", "target.kind", SCREEN_TEXT},
	{"name", "target.name", SCREEN_TEXT},
	{"state", "state", SCREEN_STATE},
	{"because", "reason", SCREEN_TEXT},
	{"targeted", "targeted", SCREEN_NUMBER},
	{"updates", "counts", SCREEN_LIST},
	{"wave", "wave", SCREEN_NUMBER},
	{"by", "manager", SCREEN_TEXT},
	{"approved by", "approver", SCREEN_TEXT},
	{"created", "created", SCREEN_TIME},
	{"started", "started", SCREEN_TIME},
	{"this state since", "changed", SCREEN_TIME},
	{"not before", "not_before", SCREEN_TIME},
	{"turns fast at", "deadline", SCREEN_TIME},
	{"expires", "not_after", SCREEN_TIME},
	{"forced", "force", SCREEN_YES},
	{"may downgrade", "allow_downgrade", SCREEN_YES},
	{"rolls back on halt", "rollback_on_halt", SCREEN_YES},
	{"downloads at a time", "max_concurrent", SCREEN_CODE},
	{"bytes a second", "rate", SCREEN_CODE},
	{NULL},
};

static const struct screen_column wave_columns[] = {
	{"WAVE UP TO", "share", SCREEN_SHARE},
	{"GROUP", "group", SCREEN_TEXT},
	{"TARGETED", "targeted", SCREEN_NUMBER},
	{"UPDATES", "counts", SCREEN_LIST},
	{NULL},
};

static const struct screen_column error_columns[] = {
	{"ERROR", "name", SCREEN_TEXT},
	{"COUNT", "count", SCREEN_NUMBER},
	{"FOR EXAMPLE", "device", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column device_columns[] = {
	{"DEVICE", "device", SCREEN_TEXT},
	{"STATE", "state", SCREEN_STATE},
	{"WAVE", "wave", SCREEN_NUMBER},
	{"ATTEMPT", "attempt", SCREEN_NUMBER},
	{"VERIFIED", "done", SCREEN_BYTES},
	{"OF", "total", SCREEN_BYTES},
	{"SINCE", "since", SCREEN_AGE},
	{"NEXT", "due", SCREEN_WHEN},
	{"ERROR", "error.name", SCREEN_TEXT},
	{"MESSAGE", "error.message", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column retry_columns[] = {
	{"changed", "changed", SCREEN_NUMBER},
	{"unchanged", "unchanged", SCREEN_NUMBER},
	{"unknown", "unknown", SCREEN_NUMBER},
	{NULL},
};

static enum ota_err read_number(const struct tool *tool, uint64_t *ret_number,
				struct ota_why *why)
{
	const char *word = tool->arguments.words[0];

	if (!text_to_u64(word, JSON_INT_MAX, ret_number) || !*ret_number)
		return ota_fail(why, OTA_BAD_REQUEST, "release '%s': a release is a number",
				word);
	return OTA_OK;
}

static enum ota_err number_args(struct tool *tool, struct tool_args *args, struct ota_why *why)
{
	const char *product = NULL;
	uint64_t number = 0;
	enum ota_err err = tool_product(tool, &product, why);

	if (!err)
		err = read_number(tool, &number, why);
	if (err)
		return err;
	tool_args_string(args, "product", product);
	tool_args_number(args, "number", number);
	return OTA_OK;
}

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	const char *product = NULL;
	enum ota_err err = tool_product(tool, &product, why);

	tool_args_string(&args, "product", product);
	return err ? err
		   : tool_ask_list(tool, "release.list", &args, list_columns,
				   "no releases yet: otactl release create VERSION", why);
}

static enum ota_err run_show(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = number_args(tool, &args, why);

	if (!err)
		err = tool_ask(tool, "release.show", &args, &tree, why);
	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, show_columns, view_root(tree));
	if (view_count(view_at(view_root(tree), "waves")) > 1)
		err = tool_show_rows(tool, view_at(view_root(tree), "waves"), wave_columns,
				     NULL, why);
	return err ? err
		   : tool_show_rows(tool, view_at(view_root(tree), "errors"), error_columns,
				    NULL, why);
}

static enum ota_err run_devices(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = number_args(tool, &args, why);

	tool_args_string(&args, "state", arguments_value(&tool->arguments, "state"));
	return err ? err
		   : tool_ask_list(tool, "release.devices", &args, device_columns,
				   "no such updates", why);
}

static enum ota_err command(struct tool *tool, const char *verb, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = number_args(tool, &args, why);

	return err ? err : tool_ask_record(tool, verb, &args, show_columns, why);
}

static enum ota_err run_hold(struct tool *tool, struct ota_why *why)
{
	return command(tool, "release.hold", why);
}

static enum ota_err run_resume(struct tool *tool, struct ota_why *why)
{
	return command(tool, "release.resume", why);
}

static enum ota_err run_advance(struct tool *tool, struct ota_why *why)
{
	return command(tool, "release.advance", why);
}

static enum ota_err run_abort(struct tool *tool, struct ota_why *why)
{
	return command(tool, "release.abort", why);
}

static enum ota_err run_approve(struct tool *tool, struct ota_why *why)
{
	return command(tool, "release.approve", why);
}

static enum ota_err run_retry(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = number_args(tool, &args, why);

	if (!err && tool->arguments.word_count > 1)
		tool_args_strings(&args, "devices", tool->arguments.words + 1,
				  tool->arguments.word_count - 1);
	return err ? err : tool_ask_record(tool, "release.retry", &args, retry_columns, why);
}

static enum ota_err run_watch(struct tool *tool, struct ota_why *why)
{
	const char *product = NULL;
	uint64_t number = 0;
	enum ota_err err = tool_product(tool, &product, why);

	if (!err)
		err = read_number(tool, &number, why);
	return err ? err : release_watch(tool, product, number, why);
}

static enum ota_err run_create(struct tool *tool, struct ota_why *why)
{
	return release_make(tool, arguments_has(&tool->arguments, "dry-run"), why);
}

static enum ota_err run_dry_run(struct tool *tool, struct ota_why *why)
{
	return release_make(tool, true, why);
}

static const struct verb_option limit_options[] = {
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};
static const struct verb_option devices_options[] = {
	{"state", "STATE", "only in this state", false, false},
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};

const struct verb verb_release[] = {
	{"release", "create", "VERSION", 1, 1, "sign a release of a version and start it",
	 release_make_options, run_create},
	{"release", "dry-run", "VERSION", 1, 1, "whom it would reach, and why others not",
	 release_make_options, run_dry_run},
	{"release", "list", "", 0, 0, "releases of the product, newest first", limit_options,
	 run_list},
	{"release", "show", "NUMBER", 1, 1, "one release with its waves and errors", NULL,
	 run_show},
	{"release", "devices", "NUMBER", 1, 1, "the updates of one release", devices_options,
	 run_devices},
	{"release", "watch", "NUMBER", 1, 1, "follow it until it has ended", NULL, run_watch},
	{"release", "hold", "NUMBER", 1, 1, "start nothing more for now", NULL, run_hold},
	{"release", "resume", "NUMBER", 1, 1, "go on with a held or halted one", NULL,
	 run_resume},
	{"release", "advance", "NUMBER", 1, 1, "begin the next wave now", NULL, run_advance},
	{"release", "abort", "NUMBER", 1, 1, "end it; who is installing finishes", NULL,
	 run_abort},
	{"release", "approve", "NUMBER", 1, 1, "let another manager's release start", NULL,
	 run_approve},
	{"release", "retry", "NUMBER [DEVICE …]", 1, VERB_WORDS_ANY,
	 "another attempt for all that failed, or these", NULL, run_retry},
	{NULL},
};
