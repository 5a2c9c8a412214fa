#include "tool.h"

#include "own.h"

#include <string.h>

static const struct screen_column manager_columns[] = {
	{"MANAGER", "name", SCREEN_TEXT},
	{"PRODUCT", "product", SCREEN_TEXT},
	{"ROLE", "role", SCREEN_TEXT},
	{"SINCE", "since", SCREEN_AGE},
	{NULL},
};

static const struct screen_column token_columns[] = {
	{"ID", "id", SCREEN_TEXT},	     {"NAME", "name", SCREEN_TEXT},
	{"PRODUCT", "product", SCREEN_TEXT}, {"ROLE", "role", SCREEN_TEXT},
	{"CREATED", "created", SCREEN_AGE},  {"EXPIRES", "expires", SCREEN_TIME},
	{"REVOKED", "revoked", SCREEN_TIME}, {NULL},
};

static const struct screen_column set_columns[] = {
	{"manager", "name", SCREEN_TEXT},
	{"product", "product", SCREEN_TEXT},
	{"role", "role", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column created_columns[] = {
	{"id", "id", SCREEN_TEXT},	     {"name", "name", SCREEN_TEXT},
	{"product", "product", SCREEN_TEXT}, {"role", "role", SCREEN_TEXT},
	{"expires", "expires", SCREEN_TIME}, {NULL},
};

static enum ota_err run_list(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	tool_args_string(&args, "product", arguments_value(&tool->arguments, "product"));
	return tool_ask_list(tool, "manager.list", &args, manager_columns, "no managers", why);
}

/* --product, or all products when it says "*". */
static enum ota_err product_or_all(struct tool *tool, const char **ret_product,
				   struct ota_why *why)
{
	const char *product = arguments_value(&tool->arguments, "product");

	if (!product || !strcmp(product, "*")) {
		*ret_product = product ? "*" : tool->options.product;
		if (!*ret_product || !**ret_product)
			return ota_fail(why, OTA_BAD_REQUEST,
					"for which product? --product NAME, or --product '*'");
		return OTA_OK;
	}
	return tool_product(tool, ret_product, why);
}

static enum ota_err run_set(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	const char *product = NULL;
	enum ota_err err = product_or_all(tool, &product, why);

	tool_args_string(&args, "name", tool->arguments.words[0]);
	tool_args_string(&args, "product", product);
	tool_args_string(&args, "role", arguments_value(&tool->arguments, "role"));
	return err ? err : tool_ask_record(tool, "manager.set", &args, set_columns, why);
}

static enum ota_err run_revoke(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	tool_args_string(&args, "name", tool->arguments.words[0]);
	tool_args_string(&args, "product", arguments_value(&tool->arguments, "product"));
	return tool_ask_record(tool, "manager.revoke", &args, set_columns, why);
}

static enum ota_err run_token_list(struct tool *tool, struct ota_why *why)
{
	return tool_ask_list(tool, "token.list", NULL, token_columns, "no tokens", why);
}

static enum ota_err run_token_create(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const char *product = NULL;
	char word[SCREEN_WORD_SIZE];
	uint64_t days = 90;
	enum ota_err err = product_or_all(tool, &product, why);

	if (!err)
		err = arguments_number(&tool->arguments, "days", 1, 3650, &days, why);
	if (err)
		return err;
	tool_args_string(&args, "name", tool->arguments.words[0]);
	tool_args_string(&args, "product", product);
	tool_args_string(&args, "role", arguments_value(&tool->arguments, "role"));
	tool_args_number(&args, "days", days);
	err = tool_ask(tool, "token.create", &args, &tree, why);
	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, created_columns, view_root(tree));
	screen_line(&tool->screen, SCREEN_NOTE, "the token, shown this once:");
	fprintf(tool->screen.out, "%s\n",
		screen_word(view_at(view_root(tree), "secret"), word));
	return OTA_OK;
}

static enum ota_err run_token_revoke(struct tool *tool, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};

	tool_args_string(&args, "id", tool->arguments.words[0]);
	return tool_ask_record(tool, "token.revoke", &args, created_columns, why);
}

static const struct verb_option list_options[] = {
	{"limit", "N", "show at most so many", false, false},
	{NULL},
};
static const struct verb_option role_options[] = {
	{"role", "admin|developer|maintainer|viewer", "what it may do", false, true},
	{NULL},
};
static const struct verb_option token_options[] = {
	{"role", "admin|developer|maintainer|viewer", "what it may do", false, true},
	{"days", "N", "how long it is good (default 90)", false, false},
	{NULL},
};

const struct verb verb_manager[] = {
	{"manager", "list", "", 0, 0, "who may do what", list_options, run_list},
	{"manager", "set", "MANAGER", 1, 1, "give a manager a role for a product ('*': all)",
	 role_options, run_set},
	{"manager", "revoke", "MANAGER", 1, 1, "take its role, and end its sessions", NULL,
	 run_revoke},
	{"token", "list", "", 0, 0, "tokens of programs that use the REST interface",
	 list_options, run_token_list},
	{"token", "create", "NAME", 1, 1, "make a token; it is shown once", token_options,
	 run_token_create},
	{"token", "revoke", "ID", 1, 1, "make a token useless", NULL, run_token_revoke},
	{NULL},
};
