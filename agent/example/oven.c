/* An oven with over-the-air updates: what an application does with libotaagent.
 *
 *	oven CONFIG MINUTES
 *
 * It bakes for that many "minutes" (tenths of a second). Updates may be downloaded at any time,
 * but while it bakes none may be installed and nothing may restart; it says so with a reason
 * that the fleet's managers see. When it is done it goes on waiting for updates until SIGTERM.
 * Built as: cc oven.c -lotaagent */
#include <ota_agent.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int minutes_left;
static struct ota_agent *agent;

static bool may_install(void *ctx, const char *version, char *ret_reason)
{
	(void)ctx;
	(void)version;
	if (minutes_left == 0)
		return true;
	snprintf(ret_reason, OTA_AGENT_REASON_MAX + 1, "baking, %d minutes left", minutes_left);
	return false;
}

static void on_event(void *ctx, const char *state, unsigned long long release,
		     const char *version, const struct ota_why *why)
{
	(void)ctx;
	printf("oven: release %llu, version %s: %s%s%s\n", release, version, state,
	       why ? ": " : "", why ? why->text : "");
}

static void *bake(void *arg)
{
	(void)arg;
	while (minutes_left > 0) {
		usleep(100000);
		minutes_left--;
	}
	printf("oven: done\n");
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
	ota_agent_stop(agent);
}

int main(int argc, char **argv)
{
	const struct ota_agent_callbacks callbacks = {
		.may_install = may_install,
		.may_restart = may_install,
		.on_event = on_event,
	};
	struct ota_agent_config *config = NULL;
	struct ota_why why;
	pthread_t baker;

	if (argc != 3) {
		fprintf(stderr, "usage: oven CONFIG MINUTES\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	minutes_left = (int)strtol(argv[2], NULL, 10);
	if (ota_agent_config_new(&config, &why) ||
	    ota_agent_config_file(config, argv[1], &why)) {
		fprintf(stderr, "oven: %s\n", why.text);
		ota_agent_config_free(config);
		return 1;
	}
	if (ota_agent_new(config, &callbacks, NULL, &agent, &why)) {
		fprintf(stderr, "oven: %s\n", why.text);
		return 1;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	pthread_create(&baker, NULL, bake, NULL);
	enum ota_err err = ota_agent_run(agent, &why);
	if (err)
		fprintf(stderr, "oven: %s\n", why.text);
	minutes_left = 0;
	pthread_join(baker, NULL);
	ota_agent_free(agent);
	return err != OTA_OK;
}
