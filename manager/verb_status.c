#include "advice.h"
#include "json.h"
#include "tool.h"
#include "own.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static const struct screen_column whoami_columns[] = {
	{"name", "name", SCREEN_TEXT},	    {"kind", "kind", SCREEN_TEXT},
	{"broker", "broker", SCREEN_TEXT},  {"plugin", "plugin", SCREEN_TEXT},
	{"its clock", "time", SCREEN_TIME}, {NULL},
};

static const struct screen_column role_columns[] = {
	{"PRODUCT", "product", SCREEN_TEXT},
	{"ROLE", "role", SCREEN_TEXT},
	{NULL},
};

static const struct screen_column status_columns[] = {
	{"plugin", "plugin", SCREEN_TEXT},
	{"broker", "broker", SCREEN_TEXT},
	{"running since", "started", SCREEN_TIME},
	{"loaded its store in ms", "start_ms", SCREEN_NUMBER},
	{"memory", "memory_bytes", SCREEN_BYTES},
	{"products", "products", SCREEN_NUMBER},
	{"devices", "devices", SCREEN_NUMBER},
	{"online", "online", SCREEN_NUMBER},
	{"chunks served", "served.chunks", SCREEN_NUMBER},
	{"bytes served", "served.bytes", SCREEN_BYTES},
	{"told to wait", "served.waits", SCREEN_NUMBER},
	{"bytes outstanding", "served.outstanding", SCREEN_BYTES},
	{"reports stored", "stored.reports", SCREEN_NUMBER},
	{"commits", "stored.commits", SCREEN_NUMBER},
	{"commit p99 µs", "stored.commit_p99_us", SCREEN_NUMBER},
	{"store queue", "stored.queue", SCREEN_NUMBER},
	{"its maximum", "stored.queue_max", SCREEN_NUMBER},
	{"failed writes", "stored.failed", SCREEN_NUMBER},
	{"blobs", "blobs.count", SCREEN_NUMBER},
	{"blob bytes", "blobs.bytes", SCREEN_BYTES},
	{"blob quota", "blobs.quota_bytes", SCREEN_BYTES},
	{"disk free", "blobs.disk_free_bytes", SCREEN_BYTES},
	{"refused: malformed", "refused.malformed", SCREEN_NUMBER},
	{"refused: forbidden", "refused.forbidden", SCREEN_NUMBER},
	{"refused: too often", "refused.rate_limited", SCREEN_NUMBER},
	{NULL},
};

static const struct screen_column callback_columns[] = {
	{"CALLBACK", "name", SCREEN_TEXT},
	{"COUNT", "count", SCREEN_NUMBER},
	{"P50 µS", "p50_us", SCREEN_NUMBER},
	{"P99 µS", "p99_us", SCREEN_NUMBER},
	{"MAX µS", "max_us", SCREEN_NUMBER},
	{"MAX CPU µS", "max_cpu_us", SCREEN_NUMBER},
	{NULL},
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static enum ota_err run_whoami(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	enum ota_err err = tool_ask(tool, "whoami", NULL, &tree, why);

	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, whoami_columns, view_root(tree));
	return tool_show_rows(tool, view_at(view_root(tree), "roles"), role_columns,
			      "no roles yet: an admin gives them with 'otactl manager set'",
			      why);
}

/* Each callback is a member {count, p50_us, …} under its name: rows are made of both. */
static enum ota_err show_callbacks(struct tool *tool, const struct view *callbacks,
				   struct ota_why *why)
{
	AUTO(screen_table_free_place) struct screen_table *table = NULL;
	const struct view *each;
	enum ota_err err = screen_table_new(callback_columns, &table, why);

	for (each = view_first(callbacks); each && !err; each = view_next(each)) {
		AUTO(view_free_place) struct view_tree *row = NULL;
		struct text text = {0};
		const struct view *figure;

		text_printf(&text, "{\"name\":\"%s\"", view_name(each));
		for (figure = view_first(each); figure; figure = view_next(figure))
			text_printf(&text, ",\"%s\":%s", view_name(figure), view_text(figure));
		text_put(&text, "}");
		err = view_read(text.data ? text.data : "", text.len, 4096, &row, why);
		if (!err)
			err = screen_table_add(&tool->screen, table, view_root(row), why);
		text_done(&text);
	}
	fputc('\n', tool->screen.out);
	if (!err)
		screen_table_print(&tool->screen, table, "");
	return err;
}

static enum ota_err run_status(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	enum ota_err err = tool_ask(tool, "status", NULL, &tree, why);

	if (err || tool_json(tool, view_root(tree)))
		return err;
	screen_record(&tool->screen, status_columns, view_root(tree));
	return show_callbacks(tool, view_at(view_root(tree), "callbacks"), why);
}

static void print_device(struct screen *screen, const struct view *event)
{
	char word[SCREEN_WORD_SIZE];

	fprintf(screen->out, "%s is ", screen_word(view_at(event, "device"), word));
	screen_state(screen, view_text(view_at(event, "status")), screen->out);
	fprintf(screen->out, ", %s, runs %s",
		view_is_true(view_at(event, "online")) ? "online" : "offline",
		screen_word(view_at(event, "version"), word));
}

static void print_update(struct screen *screen, const struct view *event)
{
	const struct view *error = view_at(event, "error");
	uint64_t total = view_number(view_at(event, "total"));
	char word[SCREEN_WORD_SIZE];

	fprintf(screen->out, "%s release %llu: ", screen_word(view_at(event, "device"), word),
		(unsigned long long)view_number(view_at(event, "release")));
	screen_state(screen, view_text(view_at(event, "state")), screen->out);
	if (total)
		fprintf(screen->out, " %llu %%",
			(unsigned long long)(view_number(view_at(event, "done")) * 100 /
					     total));
	if (error)
		fprintf(screen->out, " %s",
			screen_word(view_kind(error) == VIEW_OBJECT ? view_at(error, "name")
								    : error,
				    word));
}

static void print_release(struct screen *screen, const struct view *event)
{
	char counts[256];

	screen_format(screen, SCREEN_LIST, view_at(event, "counts"), counts, sizeof(counts));
	fprintf(screen->out,
		"release %llu: ", (unsigned long long)view_number(view_at(event, "release")));
	screen_state(screen, view_text(view_at(event, "state")), screen->out);
	fprintf(screen->out, "  %s", counts);
}

static void print_event(void *ctx, const struct view *event)
{
	struct tool *tool = ctx;
	struct screen *screen = &tool->screen;
	const char *type = view_text(view_at(event, "type"));
	char word[SCREEN_WORD_SIZE];

	if (!event || tool_json(tool, event)) {
		fflush(screen->out);
		return;
	}
	screen_format(screen, SCREEN_TIME_MS, view_at(event, "time_ms"), word, sizeof(word));
	fprintf(screen->out, "%s  ", word);
	if (!strcmp(type, "device"))
		print_device(screen, event);
	else if (!strcmp(type, "update"))
		print_update(screen, event);
	else if (!strcmp(type, "release"))
		print_release(screen, event);
	else if (!strcmp(type, "firmware"))
		fprintf(screen->out, "firmware %s",
			screen_word(view_at(event, "version"), word));
	else
		fputs(screen_word(view_at(event, "type"), word), screen->out);
	fputc('\n', screen->out);
	fflush(screen->out);
}

static enum ota_err run_watch(struct tool *tool, struct ota_why *why)
{
	const struct timespec nap = {.tv_nsec = 100000000};
	struct sigaction action = {.sa_handler = on_interrupt};
	const char *product = NULL;
	enum ota_err err = tool_product(tool, &product, why);

	if (!err)
		err = tool_connect(tool, why);
	if (err)
		return err;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	err = control_watch(tool->client, product, print_event, tool, why);
	while (!err && !interrupted)
		nanosleep(&nap, NULL);
	return err;
}

static const struct screen_column error_columns[] = {
	{"ERROR", "name", SCREEN_TEXT},
	{"NUMBER", "number", SCREEN_NUMBER},
	{"CLASS", "class", SCREEN_TEXT},
	{"MEANING", "sentence", SCREEN_TEXT},
	{NULL},
};

/* The table as the plugin and the devices have it compiled in; no connection is needed. */
static void write_errors(const char *only, struct text *to)
{
	static const char *const classes[] = {"none", "network", "device", "permanent",
					      "command"};
	enum ota_err each;
	size_t i;

	for (i = 0; ota_err_at(i, &each); i++) {
		if (only && strcmp(only, ota_err_name(each)) != 0)
			continue;
		text_printf(to,
			    "%s{\"name\":\"%s\",\"number\":%d,\"class\":\"%s\",\"sentence\":",
			    to->len ? "," : "[", ota_err_name(each), (int)each,
			    classes[ota_err_class(each)]);
		json_put_string(to, ota_err_sentence(each));
		text_put(to, ",\"meaning\":");
		json_put_string(to, advice_meaning(each));
		text_put(to, ",\"remedy\":");
		json_put_string(to, advice_remedy(each));
		text_put(to, "}");
	}
	text_put(to, to->len ? "]" : "[]");
}

static enum ota_err run_explain(struct tool *tool, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(screen_table_free_place) struct screen_table *table = NULL;
	const char *only = tool->arguments.word_count ? tool->arguments.words[0] : NULL;
	const struct view *each;
	struct text text = {0};
	enum ota_err err, known = OTA_OK;

	if (only && !ota_err_from_name(only, &known))
		return ota_fail(why, OTA_NOT_FOUND,
				"there is no error '%s'; 'otactl explain' lists "
				"them",
				only);
	write_errors(only, &text);
	err = view_read(text.data ? text.data : "", text.len, 64u << 10, &tree, why);
	text_done(&text);
	if (err || tool_json(tool, view_root(tree)))
		return err;
	if (only) {
		fprintf(tool->screen.out, "%s\n\n%s\n\nWhat to do: %s\n",
			ota_err_sentence(known), advice_meaning(known), advice_remedy(known));
		return OTA_OK;
	}
	err = screen_table_new(error_columns, &table, why);
	for (each = view_first(view_root(tree)); each && !err; each = view_next(each))
		err = screen_table_add(&tool->screen, table, each, why);
	if (!err)
		screen_table_print(&tool->screen, table, "");
	return err;
}

static enum ota_err run_completion(struct tool *tool, struct ota_why *why)
{
	(void)why;
	verb_print_completion(tool->screen.out);
	return OTA_OK;
}

static enum ota_err run_manual(struct tool *tool, struct ota_why *why)
{
	const char *part = tool->arguments.words[0];

	if (!strcmp(part, "verbs")) {
		verb_print_manual(tool->screen.out);
	} else if (!strcmp(part, "options")) {
		struct text text = {0};

		option_sample(tool_option_rows, &text);
		fputs(text.data ? text.data : "", tool->screen.out);
		text_done(&text);
	} else {
		return ota_fail(why, OTA_BAD_REQUEST, "'%s': allowed are verbs and options",
				part);
	}
	return OTA_OK;
}

const struct verb verb_status[] = {
	{"whoami", NULL, "", 0, 0, "who the broker thinks you are, and your roles", NULL,
	 run_whoami},
	{"status", NULL, "", 0, 0, "the plugin's counters, times and store", NULL, run_status},
	{"watch", NULL, "", 0, 0, "what happens in a product, as it happens", NULL, run_watch},
	{"explain", NULL, "[ERROR]", 0, 1, "what an error's name means", NULL, run_explain},
	{"completion", NULL, "", 0, 0, "a completion script for bash", NULL, run_completion},
	{"manual", NULL, "verbs|options", 1, 1,
	 "the manual's list of verbs, or a sample configuration", NULL, run_manual},
	{NULL},
};
