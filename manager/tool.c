#include "tool.h"

#include "json.h"
#include "own.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <termios.h>

#define ASK_TRIES 4
#define KEY_BYTES 16

#define ROW(key, kind, fallback, help)                                                         \
	{                                                                                      \
#		key, kind, offsetof(struct tool_options, key), 0, 0, fallback, NULL, help,    \
			false                                                                  \
	}

const struct option_row tool_option_rows[] = {
	ROW(broker, OPTION_STRING, "localhost:8883", "host and port of the broker"),
	ROW(ca, OPTION_PATH, "", "CA certificates (PEM) that the broker's must come from"),
	ROW(cert, OPTION_PATH, "", "this manager's certificate (PEM, OU=ota-manager)"),
	ROW(key, OPTION_PATH, "", "its private key (PEM)"),
	ROW(product, OPTION_STRING, "", "the product that verbs work on"),
	ROW(root_key, OPTION_PATH, "", "signs roots; best kept offline"),
	ROW(firmware_key, OPTION_PATH, "", "signs firmware"),
	ROW(release_key, OPTION_PATH, "", "signs this manager's releases"),
	ROW(head_key, OPTION_PATH, "", "signs heads"),
	ROW(root, OPTION_PATH, "", "the newest root envelope"),
	{"timeout", OPTION_DURATION, offsetof(struct tool_options, timeout_ms), 100, 3600000,
	 "15s", NULL, "how long to wait for the broker and for each answer", false},
	{NULL},
};

static char *default_config(void)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;

	if (base && *base == '/')
		return asprintf(&path, "%s/otactl.conf", base) < 0 ? NULL : path;
	return asprintf(&path, "%s/.config/otactl.conf", home ? home : "") < 0 ? NULL : path;
}

/* Paths on the command line may be relative; those in the file may not. */
static enum ota_err override(struct tool *tool, const struct option_row *row,
			     struct ota_why *why)
{
	const char *value = arguments_value(&tool->arguments, row->key);
	AUTO_FREE char *whole = NULL;
	char where[48];

	if (!value)
		return OTA_OK;
	if (row->kind == OPTION_PATH && *value != '/') {
		AUTO_FREE char *directory = getcwd(NULL, 0);

		if (!directory || asprintf(&whole, "%s/%s", directory, value) < 0)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
		value = whole;
	}
	snprintf(where, sizeof(where), "--%s", row->key);
	return option_set(tool_option_rows, &tool->options, row->key, value, where, why);
}

static bool is_global(const char *key)
{
	const struct verb_option *each;

	for (each = verb_global_options; each->name; each++)
		if (!strcmp(each->name, key))
			return true;
	return false;
}

static enum ota_err read_options(struct tool *tool, struct ota_why *why)
{
	const char *given = arguments_value(&tool->arguments, "config");
	const struct option_row *row;
	enum ota_err err = option_defaults(tool_option_rows, &tool->options, why);

	tool->config = given ? strdup(given) : default_config();
	if (!tool->config)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	if (!err && (given || !access(tool->config, F_OK)) &&
	    strcmp(tool->arguments.verb->noun, "init") != 0)
		err = option_read_file(tool_option_rows, &tool->options, tool->config, why);
	for (row = tool_option_rows; row->key && !err; row++)
		if (is_global(row->key))
			err = override(tool, row, why);
	return err;
}

enum ota_err tool_init(struct tool *tool, int argc, char *const *argv, struct ota_why *why)
{
	enum ota_err err;

	memset(tool, 0, sizeof(*tool));
	err = arguments_read(argc, argv, &tool->arguments, why);
	if (err)
		return err;
	screen_init(&tool->screen, stdout, arguments_has(&tool->arguments, "json"),
		    arguments_has(&tool->arguments, "plain"));
	return tool->arguments.help ? OTA_OK : read_options(tool, why);
}

void tool_done(struct tool *tool)
{
	control_close(tool->client);
	option_done(tool_option_rows, &tool->options);
	free(tool->config);
	memset(tool, 0, sizeof(*tool));
}

static const char *said(const char *text)
{
	return text && *text ? text : NULL;
}

enum ota_err tool_connect(struct tool *tool, struct ota_why *why)
{
	const struct control_options options = {
		.broker = tool->options.broker,
		.ca = said(tool->options.ca),
		.certificate = said(tool->options.cert),
		.key = said(tool->options.key),
		.timeout_ms = tool->options.timeout_ms,
	};

	if (tool->client)
		return OTA_OK;
	if (!options.ca || !options.certificate || !options.key)
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s must say ca, cert and key (or give --ca, --cert, --key)",
				tool->config);
	return control_open(&options, &tool->client, why);
}

enum ota_err tool_product(struct tool *tool, const char **ret_product, struct ota_why *why)
{
	const char *product = said(tool->options.product);

	if (!product)
		return ota_fail(why, OTA_BAD_REQUEST,
				"which product? Give --product NAME, or put 'product = NAME' "
				"into %s",
				tool->config);
	if (!name_is_product(product))
		return ota_fail(why, OTA_BAD_REQUEST, "product '%s': allowed are %s", product,
				NAME_LOWER_ALLOWED);
	*ret_product = product;
	return OTA_OK;
}

enum ota_err tool_word_args(struct tool *tool, const char *member, struct tool_args *args,
			    struct ota_why *why)
{
	const char *product = NULL;
	enum ota_err err = tool_product(tool, &product, why);

	if (err)
		return err;
	tool_args_string(args, "product", product);
	if (tool->arguments.word_count)
		tool_args_string(args, member, tool->arguments.words[0]);
	return OTA_OK;
}

/* Asks without echo on the controlling terminal. */
static bool ask_passphrase(const char *path, char *ret_text, size_t size)
{
	AUTO_FCLOSE FILE *terminal = fopen("/dev/tty", "r+e");
	struct termios before, silent;
	bool got;

	if (!terminal || tcgetattr(fileno(terminal), &before))
		return false;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(terminal, "passphrase of %s: ", path);
	fflush(terminal);
	tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
	got = fgets(ret_text, (int)size, terminal) != NULL;
	tcsetattr(fileno(terminal), TCSAFLUSH, &before);
	fprintf(terminal, "\n");
	if (got)
		ret_text[strcspn(ret_text, "\n")] = '\0';
	return got;
}

enum ota_err tool_signing_key(struct tool *tool, const char *path, const char *option,
			      struct sign_key **ret_key, struct ota_why *why)
{
	const char *given = arguments_value(&tool->arguments, "signing-key");
	const char *passphrase = getenv("OTACTL_PASSPHRASE");
	struct ota_why first = {0};
	char typed[256] = "";
	enum ota_err err;

	path = given ? given : said(path);
	if (!path)
		return ota_fail(
			why, OTA_SIGNATURE_REQUIRED,
			"which key signs? Give --signing-key FILE, or put '%s = FILE' into "
			"%s",
			option, tool->config);
	err = sign_key_load(path, passphrase, ret_key, &first);
	if (err && err != OTA_NOT_FOUND && !passphrase &&
	    ask_passphrase(path, typed, sizeof(typed)))
		err = sign_key_load(path, typed, ret_key, &first);
	explicit_bzero(typed, sizeof(typed));
	if (err && why)
		*why = first;
	return err;
}

void tool_key_free_place(struct sign_key **place)
{
	sign_key_free(*place);
}

void tool_args_done(struct tool_args *args)
{
	text_done(&args->text);
}

static void put_name(struct tool_args *args, const char *name)
{
	text_put(&args->text, args->text.len ? "," : "{");
	json_put_string(&args->text, name);
	text_put(&args->text, ":");
}

void tool_args_string(struct tool_args *args, const char *name, const char *value)
{
	if (!value)
		return;
	put_name(args, name);
	json_put_string(&args->text, value);
}

void tool_args_number(struct tool_args *args, const char *name, uint64_t value)
{
	put_name(args, name);
	text_printf(&args->text, "%llu", (unsigned long long)value);
}

void tool_args_bool(struct tool_args *args, const char *name, bool value)
{
	put_name(args, name);
	text_put(&args->text, value ? "true" : "false");
}

void tool_args_strings(struct tool_args *args, const char *name, const char *const *values,
		       unsigned count)
{
	unsigned i;

	put_name(args, name);
	text_put(&args->text, "[");
	for (i = 0; i < count; i++) {
		text_put(&args->text, i ? "," : "");
		json_put_string(&args->text, values[i]);
	}
	text_put(&args->text, "]");
}

void tool_args_raw(struct tool_args *args, const char *name, const char *json)
{
	put_name(args, name);
	text_put(&args->text, json);
}

/* The arguments' text, closed; `page` members are added for one page of a list. */
static enum ota_err close_args(const struct tool_args *args, uint64_t limit, const char *after,
			       char **ret_text, struct ota_why *why)
{
	struct tool_args all = {0};
	enum ota_err err;

	if (args && args->text.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a request");
	if (args && args->text.len)
		text_add(&all.text, args->text.data, args->text.len);
	if (limit)
		tool_args_number(&all, "limit", limit);
	if (after && *after)
		tool_args_string(&all, "after", after);
	text_put(&all.text, all.text.len ? "}" : "{}");
	err = text_take(&all.text, ret_text, why);
	if (err)
		text_done(&all.text);
	return err;
}

/* Verbs that change nothing, which may be asked again as they are. */
static bool is_question(const char *verb)
{
	static const char *const endings[] = {".list",	".show",    ".why",	".log",
					      ".bases", ".updates", ".devices", ".verify",
					      ".ping",	NULL};
	const char *dot = strchr(verb, '.');
	unsigned i;

	for (i = 0; dot && endings[i]; i++)
		if (!strcmp(endings[i], dot))
			return true;
	return !dot; /* whoami, status */
}

static enum ota_err make_key(char ret_key[2 * KEY_BYTES + 1], struct ota_why *why)
{
	uint8_t random[KEY_BYTES];
	enum ota_err err = sign_random(random, sizeof(random), why);
	unsigned i;

	for (i = 0; i < KEY_BYTES && !err; i++)
		snprintf(ret_key + (size_t)2 * i, 3, "%02x", random[i]);
	return err;
}

/* A connection can be lost while an answer is on its way, not least to another otactl of the
 * same name where the broker makes client ids of names. What changes something carries a key,
 * so that asking again does not do it twice. */
static enum ota_err ask_page(struct tool *tool, const char *verb, const struct tool_args *args,
			     uint64_t limit, const char *after, struct view_tree **ret_result,
			     struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	char key[2 * KEY_BYTES + 1] = "";
	struct control_request request = {.verb = verb};
	unsigned tries = ASK_TRIES;
	enum ota_err err = close_args(args, limit, after, &text, why);

	if (!err)
		err = tool_connect(tool, why);
	if (!err && !is_question(verb))
		err = make_key(key, why);
	if (err)
		return err;
	request.args = text;
	request.key = key[0] ? key : NULL;
	do {
		err = control_ask(tool->client, &request, ret_result, why);
	} while ((err == OTA_CONNECTION_LOST || err == OTA_UNREACHABLE) && --tries &&
		 !control_wait(tool->client, why));
	return err;
}

enum ota_err tool_ask(struct tool *tool, const char *verb, struct tool_args *args,
		      struct view_tree **ret_result, struct ota_why *why)
{
	return ask_page(tool, verb, args, 0, NULL, ret_result, why);
}

bool tool_json(struct tool *tool, const struct view *value)
{
	struct text text = {0};

	if (!tool->screen.json)
		return false;
	view_write(value, &text);
	fprintf(tool->screen.out, "%s\n", text.data ? text.data : "null");
	text_done(&text);
	return true;
}

enum ota_err tool_ask_record(struct tool *tool, const char *verb, struct tool_args *args,
			     const struct screen_column *columns, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	enum ota_err err = tool_ask(tool, verb, args, &tree, why);

	if (err || tool_json(tool, view_root(tree)))
		return err;
	if (columns)
		screen_record(&tool->screen, columns, view_root(tree));
	else
		screen_line(&tool->screen, SCREEN_GOOD, "done");
	return OTA_OK;
}

static enum ota_err add_page(struct tool *tool, const struct view *page,
			     struct screen_table *table, struct text *json, uint64_t *left,
			     struct ota_why *why)
{
	const struct view *each;
	enum ota_err err = OTA_OK;

	for (each = view_first(view_at(page, "items")); each && *left && !err;
	     each = view_next(each)) {
		(*left)--;
		if (tool->screen.json) {
			text_put(json, json->len ? ",\n" : "[");
			view_write(each, json);
		} else {
			err = screen_table_add(&tool->screen, table, each, why);
		}
	}
	return err;
}

enum ota_err tool_ask_list(struct tool *tool, const char *verb, struct tool_args *args,
			   const struct screen_column *columns, const char *none,
			   struct ota_why *why)
{
	AUTO(screen_table_free_place) struct screen_table *table = NULL;
	AUTO_FREE char *after = NULL;
	struct text json = {0};
	uint64_t left = UINT32_MAX;
	enum ota_err err =
		arguments_number(&tool->arguments, "limit", 1, UINT32_MAX, &left, why);

	if (!err)
		err = screen_table_new(columns, &table, why);
	while (!err && left) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		const char *next;

		err = ask_page(tool, verb, args, left < 500 ? left : 500, after, &tree, why);
		if (!err)
			err = add_page(tool, view_root(tree), table, &json, &left, why);
		next = err ? "" : view_text(view_at(view_root(tree), "next"));
		if (!*next)
			break;
		free(after);
		after = strdup(next);
	}
	if (!err && tool->screen.json)
		fprintf(tool->screen.out, "%s]\n", json.data ? json.data : "[");
	else if (!err)
		screen_table_print(&tool->screen, table, none);
	text_done(&json);
	return err;
}

enum ota_err tool_show_rows(struct tool *tool, const struct view *items,
			    const struct screen_column *columns, const char *none,
			    struct ota_why *why)
{
	AUTO(screen_table_free_place) struct screen_table *table = NULL;
	const struct view *each;
	enum ota_err err = screen_table_new(columns, &table, why);

	for (each = view_first(items); each && !err; each = view_next(each))
		err = screen_table_add(&tool->screen, table, each, why);
	if (!err && (none || screen_table_rows(table))) {
		fputc('\n', tool->screen.out);
		screen_table_print(&tool->screen, table, none ? none : "");
	}
	return err;
}
