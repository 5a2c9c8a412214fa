#include "tool.h"

#include "json.h"
#include "own.h"

static const struct screen_column list_columns[] = {
	{"SEQ", "seq", SCREEN_NUMBER},	   {"TIME", "time_ms", SCREEN_TIME_MS},
	{"WHO", "who", SCREEN_TEXT},	   {"FROM", "from", SCREEN_TEXT},
	{"WHAT", "what", SCREEN_TEXT},	   {"PRODUCT", "product", SCREEN_TEXT},
	{"OBJECT", "object", SCREEN_TEXT}, {"DECISION", "decision", SCREEN_ERROR},
	{"WHY", "why", SCREEN_TEXT},	   {NULL},
};

static const struct screen_column verify_columns[] = {
	{"entries", "entries", SCREEN_NUMBER},
	{"first bad", "first_bad", SCREEN_NUMBER},
	{"why", "why", SCREEN_TEXT},
	{"tip", "tip", SCREEN_TEXT},
	{NULL},
};

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	return tool_ask_list(tool, "audit.list", NULL, list_columns, "nothing was audited yet",
			     why);
}

static enum ota_err run_verify(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	uint64_t entries = 0;
	bool intact;
	enum ota_err err =
		arguments_number(&tool->arguments, "entries", 1, JSON_INT_MAX, &entries, why);

	if (err)
		return err;
	if (entries)
		tool_args_number(&args, "entries", entries);
	tool_args_string(&args, "tip", arguments_value(&tool->arguments, "tip"));
	err = tool_ask(tool, "audit.verify", &args, &tree, why);
	if (err)
		return err;
	intact = view_is_true(view_at(view_root(tree), "intact"));
	if (!tool_json(tool, view_root(tree))) {
		screen_line(&tool->screen, intact ? SCREEN_GOOD : SCREEN_BAD,
			    intact ? "the chain is whole"
				   : "the chain is broken: rows were changed or removed");
		screen_record(&tool->screen, verify_columns, view_root(tree));
	}
	return intact ? OTA_OK
		      : ota_fail(why, OTA_CONFLICT, "the audit log does not hold: %s",
				 view_text(view_at(view_root(tree), "why")));
}

static const struct verb_option list_options[] = {
	{"limit", "N", "show at most so many, newest first", false, false},
	{NULL},
};
static const struct verb_option verify_options[] = {
	{"entries", "N", "how many there were at an earlier time", false, false},
	{"tip", "HASH", "the tip that was noted then", false, false},
	{NULL},
};

const struct verb verb_audit[] = {
	{"audit", "list", "", 0, 0, "who did what, newest first", list_options, run_list},
	{"audit", "verify", "", 0, 0, "check the chain of hashes over all rows", verify_options,
	 run_verify},
	{NULL},
};
