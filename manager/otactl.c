/* otactl: the manager's command line. Exit status: 0 done, 1 refused, 2 usage, 3 unreachable.
 */
#include "tool.h"

#include "json.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum exit_status {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
};

static enum exit_status status_of(enum ota_err err)
{
	if (!err)
		return EXIT_DONE;
	return err == OTA_UNREACHABLE || err == OTA_CONNECTION_LOST ||
			       err == OTA_TLS_VERIFY_FAILED || err == OTA_DOWNLOAD_STALLED
		       ? EXIT_UNREACHABLE
		       : EXIT_REFUSED;
}

static void say_error(const struct tool *tool, enum ota_err err, const struct ota_why *why)
{
	struct text text = {0};
	char clean[OTA_WHY_TEXT_MAX];

	text_sanitize(clean, sizeof(clean), why->text, strlen(why->text), false);
	if (tool->screen.json) {
		text_printf(&text, "{\"error\":{\"name\":\"%s\",\"number\":%d,\"message\":",
			    ota_err_name(err), (int)err);
		json_put_string(&text, clean);
		text_put(&text, "}}");
		puts(text.data ? text.data : "{}");
		text_done(&text);
	}
	fprintf(stderr, "otactl: %s: %s\n", ota_err_name(err),
		clean[0] ? clean : ota_err_sentence(err));
}

static bool wants_help_only(int argc, char *const *argv)
{
	return argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	       !strcmp(argv[1], "help");
}

static enum exit_status show_help(int argc, char *const *argv, const struct ota_why *why)
{
	bool asked = argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"));

	if (asked) {
		verb_print_noun(argv[1], stdout);
		return EXIT_DONE;
	}
	fprintf(stderr, "otactl: %s\n", why->text);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static struct tool tool;
	struct ota_why why = {0};
	enum ota_err err;
	enum exit_status status;

	signal(SIGPIPE, SIG_IGN);
	if (wants_help_only(argc, argv)) {
		verb_print_all(argc < 2 ? stderr : stdout);
		return argc < 2 ? EXIT_USAGE : EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("otactl " OTA_VERSION);
		return EXIT_DONE;
	}
	err = tool_init(&tool, argc, argv, &why);
	if (err) {
		status = show_help(argc, argv, &why);
	} else if (tool.arguments.help) {
		verb_print_one(tool.arguments.verb, stdout);
		status = EXIT_DONE;
	} else {
		err = tool.arguments.verb->run(&tool, &why);
		if (err)
			say_error(&tool, err, &why);
		status = status_of(err);
		/* What the program itself cannot make sense of is the caller's command line. */
		if (err == OTA_BAD_REQUEST && !tool.client)
			status = EXIT_USAGE;
	}
	tool_done(&tool);
	if (fflush(stdout) && !err)
		status = EXIT_REFUSED;
	return (int)status;
}
