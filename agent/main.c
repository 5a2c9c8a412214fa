/* ota-agent: a thin main over libotaagent, and its few verbs. */
#include "config.h"
#include "file.h"
#include "lean.h"
#include "local.h"
#include "logbook.h"
#include "notify.h"
#include "ota_agent.h"
#include "own.h"
#include "sign.h"
#include "watchdog.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>

#define CONFIG_DEFAULT "/etc/ota-agent.conf"

static struct ota_agent *running;

static void on_signal(int number)
{
	if (number == SIGUSR2)
		ota_agent_leave(running);
	ota_agent_stop(running);
}

static void on_watchdog(void *ctx)
{
	(void)ctx;
	notify_say("WATCHDOG=1");
}

/* What the offer's checks needed is not needed while bytes come in. */
static void on_event(void *ctx, const char *state, unsigned long long release,
		     const char *version, const struct ota_why *why)
{
	(void)ctx;
	(void)release;
	(void)version;
	(void)why;
	if (!strcmp(state, "downloading"))
		lean_give_back();
}

static int complain(const struct ota_why *why)
{
	fprintf(stderr, "ota-agent: %s (%s)\n", why->text, ota_err_name(why->err));
	return 1;
}

static int usage(FILE *to, int code)
{
	struct text keys = {0};

	option_help(config_rows, &keys);
	fprintf(to,
		"usage: ota-agent [--config FILE]                  run\n"
		"       ota-agent [--config FILE] status           what it does now\n"
		"       ota-agent [--config FILE] hold GATE [SECONDS [REASON]]\n"
		"       ota-agent [--config FILE] release GATE     download, install, restart, all\n"
		"       ota-agent [--config FILE] log              its newest lines\n"
		"       ota-agent [--config FILE] boot-select      decide what boots, count the try\n"
		"       ota-agent --sample-config\n"
		"       ota-agent --version\n"
		"\nThe file is %s unless it is named. Keys:\n\n%s",
		CONFIG_DEFAULT, keys.data ? keys.data : "");
	text_done(&keys);
	return code;
}

static int sample(void)
{
	struct text text = {0};

	option_sample(config_rows, &text);
	fputs(text.data ? text.data : "", stdout);
	text_done(&text);
	return 0;
}

static int run(const char *path)
{
	struct ota_agent_config *config = NULL;
	struct sigaction action = {.sa_handler = on_signal};
	const struct ota_agent_callbacks callbacks = {.on_event = on_event};
	struct ota_why why = {0};
	enum ota_err err = ota_agent_config_new(&config, &why);

	if (!err)
		err = ota_agent_config_file(config, path, &why);
	if (err) {
		ota_agent_config_free(config);
		return complain(&why);
	}
	lean_begin();
	if (ota_agent_new(config, &callbacks, NULL, &running, &why))
		return complain(&why);
	lean_give_back();
	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (notify_watchdog_ms())
		ota_agent_watch(running, (unsigned long)notify_watchdog_ms(), on_watchdog,
				NULL);
	notify_say("READY=1");
	err = ota_agent_run(running, &why);
	notify_say("STOPPING=1");
	ota_agent_free(running);
	return err ? complain(&why) : 0;
}

/* So that the agent can tell this start of the machine from the one before. What matters is
 * counted in the boot state; this may fail. */
static void note_boot(const char *path)
{
	uint8_t bytes[32];
	char line[TEXT_HEX32_SIZE];

	if (sign_random(bytes, sizeof(bytes), NULL))
		return;
	text_from_digest(line, bytes);
	enum ota_err err = file_replace(path, line, strlen(line), 0644, NULL);
	(void)err;
}

/* A version that hangs before its agent runs must come to its end, too. The machine boots
 * without a watchdog rather than not at all. */
static void start_watchdog(const struct config *config, const struct boot_store *store)
{
	struct boot_state state;
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;

	if (!config->watchdog)
		return;
	if (config->watchdog_when == CONFIG_WATCHDOG_TRIAL)
		err = store->read(store->ctx, &state, &why);
	if (!err &&
	    (config->watchdog_when == CONFIG_WATCHDOG_ALWAYS || state.phase == BOOT_TRYING))
		err = watchdog_leave(config->watchdog, config->watchdog_timeout, &why);
	if (err)
		complain(&why);
}

/* For boot scripts: prints the path of what is to be started, having counted the try. */
static int boot_select(const char *path)
{
	AUTO(config_done) struct config config = {0};
	struct boot_store store;
	struct ota_why why = {0};
	enum boot_slot slot;
	enum ota_err err = config_read(&config, path, &why);

	if (!err && config.slot == CONFIG_SLOT_EXEC)
		err = ota_fail(&why, OTA_BAD_REQUEST, "exec slots select for themselves");
	if (!err)
		err = disk_make_directory(disk_posix(), config.state_dir, 0700, &why);
	if (!err)
		err = config_make_record_place(&config, &why);
	if (!err)
		err = config_boot_store(&config, &store, &why);
	if (err)
		return complain(&why);
	note_boot(config.boot_file);
	err = bootstate_select(&store, &slot, &why);
	if (!err)
		start_watchdog(&config, &store);
	bootstate_done(&store);
	if (err)
		return complain(&why);
	printf("%s\n", slot == BOOT_SLOT_A ? config.slot_a : config.slot_b);
	return 0;
}

static int ask(const char *path, char **words, int count)
{
	AUTO(config_done) struct config config = {0};
	AUTO_FREE char *answer = NULL;
	struct text request = {0};
	struct ota_why why = {0};
	enum ota_err err = config_read(&config, path, &why);

	for (int i = 0; i < count; i++)
		text_printf(&request, "%s%s", i ? " " : "", words[i]);
	if (!err && (request.failed || request.len >= LOCAL_LINE_MAX - 1))
		err = ota_fail(&why, OTA_BAD_REQUEST, "that is too long");
	if (!err)
		err = local_ask(config.socket, request.data, &answer, &why);
	text_done(&request);
	if (err)
		return complain(&why);
	fputs(answer, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"sample-config", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	static const char *const verbs[] = {"status", "hold", "release", "log"};
	const char *path = CONFIG_DEFAULT;

	for (int option; (option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1;) {
		if (option == 'c')
			path = optarg;
		else if (option == 's')
			return sample();
		else if (option == 'h')
			return usage(stdout, 0);
		else if (option == 'v')
			return printf("ota-agent %s\n", OTA_VERSION) < 0;
		else
			return usage(stderr, 2);
	}
	if (optind == argc)
		return run(path);
	if (!strcmp(argv[optind], "boot-select") && optind + 1 == argc)
		return boot_select(path);
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(argv[optind], verbs[i]))
			return ask(path, argv + optind, argc - optind);
	}
	return usage(stderr, 2);
}
