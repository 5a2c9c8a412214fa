#include "tool.h"

#include "own.h"

#include <string.h>

static const struct screen_column product_list_columns[] = {
	{"PRODUCT", "name", SCREEN_TEXT},
	{"DEVICES", "devices", SCREEN_NUMBER},
	{"ONLINE", "online", SCREEN_NUMBER},
	{"QUARANTINED", "quarantined", SCREEN_NUMBER},
	{"NEXT RELEASE", "next_number", SCREEN_NUMBER},
	{"CREATED", "created", SCREEN_AGE},
	{"TITLE", "title", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column product_columns[] = {
	{"product", "name", SCREEN_TEXT},
	{"title", "title", SCREEN_TEXT},
	{"devices", "devices", SCREEN_NUMBER},
	{"online", "online", SCREEN_NUMBER},
	{"by status", "status", SCREEN_LIST},
	{"updates in hand", "states", SCREEN_LIST},
	{"default release", "default_release", SCREEN_CODE},
	{"next release", "next_number", SCREEN_NUMBER},
	{"default hardware", "default_hardware", SCREEN_TEXT},
	{"import only", "import_only", SCREEN_YES},
	{"second approval", "second_approval", SCREEN_YES},
	{"created", "created", SCREEN_TIME},
	{NULL},
};

static const struct screen_column version_columns[] = {
	{"VERSION", "version", SCREEN_TEXT},
	{"IMAGE", "digest", SCREEN_SHORT},
	{"DEVICES", "count", SCREEN_NUMBER},
	{NULL},
};

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	return tool_ask_list(tool, "product.list", NULL, product_list_columns,
			     "no products yet: otactl product create NAME", why);
}

static enum ota_err run_show(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const char *name = tool->arguments.word_count ? tool->arguments.words[0] : NULL;
	enum ota_err err = name ? OTA_OK : tool_product(tool, &name, why);

	if (err)
		return err;
	tool_args_string(&args, "name", name);
	err = tool_ask(tool, "product.show", &args, &tree, why);
	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, product_columns, view_root(tree));
	return tool_show_rows(tool, view_at(view_root(tree), "versions"), version_columns, NULL,
			      why);
}

static void put_yes_no(struct tool_args *args, const struct arguments *arguments,
		       const char *option, const char *member)
{
	const char *value = arguments_value(arguments, option);

	if (value)
		tool_args_bool(args, member, !strcmp(value, "yes"));
}

static enum ota_err change(struct tool *tool, const char *verb, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	if (!name_is_product(tool->arguments.words[0]))
		return ota_fail(why, OTA_BAD_REQUEST, "product '%s': allowed are %s",
				tool->arguments.words[0], NAME_LOWER_ALLOWED);
	tool_args_string(&args, "name", tool->arguments.words[0]);
	tool_args_string(&args, "title", arguments_value(&tool->arguments, "title"));
	tool_args_string(&args, "default_hardware",
			 arguments_value(&tool->arguments, "hardware"));
	put_yes_no(&args, &tool->arguments, "import-only", "import_only");
	put_yes_no(&args, &tool->arguments, "second-approval", "second_approval");
	return tool_ask_record(tool, verb, &args, product_columns, why);
}

static enum ota_err run_create(struct tool *tool, struct ota_why *why)
{
	return change(tool, "product.create", why);
}

static enum ota_err run_update(struct tool *tool, struct ota_why *why)
{
	return change(tool, "product.update", why);
}

static const struct verb_option list_options[] = {
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};

static const struct verb_option change_options[] = {
	{"title", "TEXT", "what people call it", false, false},
	{"hardware", "NAME", "hardware that firmware is for when it does not say", false,
	 false},
	{"import-only", "yes|no", "deny unknown devices instead of quarantining them", false,
	 false},
	{"second-approval", "yes|no", "a release starts only after another manager approves it",
	 false, false},
	{NULL},
};

const struct verb verb_product[] = {
	{"product", "list", "", 0, 0, "all products with their devices", list_options,
	 run_list},
	{"product", "show", "[PRODUCT]", 0, 1, "one product: versions running, updates in hand",
	 NULL, run_show},
	{"product", "create", "PRODUCT", 1, 1, "make a product", change_options, run_create},
	{"product", "update", "PRODUCT", 1, 1, "change a product's settings", change_options,
	 run_update},
	{NULL},
};
