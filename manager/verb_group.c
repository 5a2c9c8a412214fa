#include "own.h"
#include "tool.h"

#include <string.h>

static const struct screen_column list_columns[] = {
	{"GROUP", "group", SCREEN_TEXT},
	{"DEVICES", "devices", SCREEN_NUMBER},
	{"RELEASE", "release", SCREEN_NUMBER},
	{NULL},
};

static const struct screen_column edit_columns[] = {
	{"changed", "changed", SCREEN_NUMBER},
	{"unchanged", "unchanged", SCREEN_NUMBER},
	{"unknown", "unknown", SCREEN_NUMBER},
	{NULL},
};

static const struct screen_column group_columns[] = {
	{"product", "product", SCREEN_TEXT},
	{"group", "group", SCREEN_TEXT},
	{"devices", "devices", SCREEN_NUMBER},
	{NULL},
};

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "group", &args, why);

	return err ? err
		   : tool_ask_list(tool, "group.list", &args, list_columns,
				   "no groups yet: otactl group create NAME", why);
}

static enum ota_err run_create(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "group", &args, why);

	return err ? err : tool_ask_record(tool, "group.create", &args, group_columns, why);
}

static enum ota_err run_delete(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "group", &args, why);

	return err ? err : tool_ask_record(tool, "group.delete", &args, group_columns, why);
}

static enum ota_err edit(struct tool *tool, const char *member, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	enum ota_err err = tool_word_args(tool, "group", &args, why);

	tool_args_strings(&args, member, tool->arguments.words + 1,
			  tool->arguments.word_count - 1);
	return err ? err : tool_ask_record(tool, "group.edit", &args, edit_columns, why);
}

static enum ota_err run_add(struct tool *tool, struct ota_why *why)
{
	return edit(tool, "add", why);
}

static enum ota_err run_take(struct tool *tool, struct ota_why *why)
{
	return edit(tool, "remove", why);
}

static const struct verb_option list_options[] = {
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};

const struct verb verb_group[] = {
	{"group", "list", "", 0, 0, "groups of the product", list_options, run_list},
	{"group", "create", "GROUP", 1, 1, "make a group", NULL, run_create},
	{"group", "delete", "GROUP", 1, 1, "remove a group; its devices stay", NULL,
	 run_delete},
	{"group", "add", "GROUP DEVICE …", 2, VERB_WORDS_ANY, "put devices into it", NULL,
	 run_add},
	{"group", "take", "GROUP DEVICE …", 2, VERB_WORDS_ANY, "take devices out of it", NULL,
	 run_take},
	{NULL},
};
