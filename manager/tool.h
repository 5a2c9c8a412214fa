/* One run of otactl: its configuration, its arguments, its screen, its connection. */
#pragma once

#include "arguments.h"
#include "control.h"
#include "option.h"
#include "screen.h"
#include "sign.h"

struct tool_options {
	char *broker, *ca, *cert, *key;
	char *product;
	char *root_key, *firmware_key, *release_key, *head_key;
	char *root;
	uint64_t timeout_ms;
};
extern const struct option_row tool_option_rows[];

struct tool {
	struct arguments arguments;
	struct tool_options options;
	char *config; /* path of the configuration file; it need not exist */
	struct screen screen;
	struct control_client *client; /* NULL until something is asked */
};

/* Reads configuration and command line. */
enum ota_err tool_init(struct tool *tool, int argc, char *const *argv,
		       struct ota_why *why) OTA_CHECKED;
void tool_done(struct tool *tool);

struct tool_args;
enum ota_err tool_connect(struct tool *tool, struct ota_why *why) OTA_CHECKED;
/* The product: --product, or the configuration's. OTA_BAD_REQUEST when neither says one. */
enum ota_err tool_product(struct tool *tool, const char **ret_product,
			  struct ota_why *why) OTA_CHECKED;
/* The arguments {product, <member>: the first word on the command line, where there is one}. */
enum ota_err tool_word_args(struct tool *tool, const char *member, struct tool_args *args,
			    struct ota_why *why) OTA_CHECKED;
/* Loads a signing key: --signing-key, or `path` from the configuration (`option` names it in
 * the error). The passphrase comes from OTACTL_PASSPHRASE or is asked for on the terminal. */
enum ota_err tool_signing_key(struct tool *tool, const char *path, const char *option,
			      struct sign_key **ret_key, struct ota_why *why) OTA_CHECKED;
void tool_key_free_place(struct sign_key **place);

/* Arguments of a command as they are put together; text_done() by AUTO(tool_args_done). */
struct tool_args {
	struct text text;
};
void tool_args_done(struct tool_args *args);
void tool_args_string(struct tool_args *args, const char *name, const char *value);
void tool_args_number(struct tool_args *args, const char *name, uint64_t value);
void tool_args_bool(struct tool_args *args, const char *name, bool value);
void tool_args_strings(struct tool_args *args, const char *name, const char *const *values,
		       unsigned count);
void tool_args_raw(struct tool_args *args, const char *name, const char *json);

/* Asks the plugin; `args` NULL: none. */
enum ota_err tool_ask(struct tool *tool, const char *verb, struct tool_args *args,
		      struct view_tree **ret_result, struct ota_why *why) OTA_CHECKED;
/* Asks, and shows the result: as JSON, or as a record of these columns (NULL: "done"). */
enum ota_err tool_ask_record(struct tool *tool, const char *verb, struct tool_args *args,
			     const struct screen_column *columns,
			     struct ota_why *why) OTA_CHECKED;
/* Asks for all pages of a list (at most --limit items) and shows them as a table. */
enum ota_err tool_ask_list(struct tool *tool, const char *verb, struct tool_args *args,
			   const struct screen_column *columns, const char *none,
			   struct ota_why *why) OTA_CHECKED;
/* Shows the items of a list within an answer as a table, after an empty line. When there are
 * none `none` stands there instead; NULL: nothing does. */
enum ota_err tool_show_rows(struct tool *tool, const struct view *items,
			    const struct screen_column *columns, const char *none,
			    struct ota_why *why) OTA_CHECKED;
/* With --json, prints the value and returns true. */
bool tool_json(struct tool *tool, const struct view *value);
