/* What libotaagent is put together from: the real disk, slots, link, machine and supervisor. */
#include "ota_agent_inside.h"

#include "file.h"
#include "host_posix.h"
#include "own.h"
#include "reboot.h"
#include "source_https.h"
#include "supervise.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define LOCK_TRIES    50
#define LOCK_PAUSE_MS 20

static bool may(void *ctx, enum consent_gate gate, const char *version, char *ret_reason)
{
	const struct ota_agent_callbacks *callbacks = ctx;
	bool (*const ask[CONSENT_GATE_COUNT])(void *, const char *, char *) = {
		callbacks->may_download, callbacks->may_install, callbacks->may_restart};

	return !ask[gate] || ask[gate](callbacks->ctx, version, ret_reason);
}

static void on_event(void *ctx, enum update_state state, uint64_t release, const char *version,
		     const struct ota_why *why)
{
	const struct ota_agent_callbacks *callbacks = ctx;

	if (callbacks->on_event)
		callbacks->on_event(callbacks->ctx, update_state_names[state], release, version,
				    why);
}

static bool wants_watchdog(const struct ota_agent *agent)
{
	const struct slots *slots = agent->slots;
	struct boot_state boot;

	if (agent->config.watchdog_when == CONFIG_WATCHDOG_ALWAYS)
		return true;
	if (agent->core)
		return agent_is_proving(agent->core, agent->watchdog.fd >= 0);
	return !slots->state(slots->ctx, &boot, NULL) && boot.phase == BOOT_TRYING;
}

void ota_parts_watchdog(struct ota_agent *agent)
{
	struct watchdog *watchdog = &agent->watchdog;
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;

	if (!watchdog->path)
		return;
	if (wants_watchdog(agent))
		err = watchdog_open(watchdog, &why);
	else
		watchdog_close(watchdog);
	if (!err)
		err = watchdog_feed(watchdog, agent->host.boot_ms(agent->host.ctx), &why);
	if (err) {
		logbook_write(&agent->logbook, LOG_LEVEL_ERROR, "%s (%s)", why.text,
			      ota_err_name(err));
		watchdog->path = NULL;
	}
}

static void alive(void *ctx)
{
	struct ota_agent *agent = ctx;

	ota_parts_watchdog(agent);
	if (agent->alive)
		agent->alive(agent->alive_ctx);
}

/* The newest root on record, unless the one in the configuration is newer still. */
static enum ota_err load_trust(struct ota_agent *agent, struct trust **ret_trust,
			       struct ota_why *why)
{
	AUTO_FREE char *given = NULL;
	AUTO_FREE char *kept = NULL;
	struct trust *trust, *newer;
	size_t given_len, kept_len;
	enum ota_err err =
		file_read(agent->config.trust_root, ENVELOPE_SIZE_MAX, &given, &given_len, why);

	if (!err)
		err = trust_new(given, given_len, &trust, why);
	if (err)
		return ota_context(why, err, "trust_root '%s'", agent->config.trust_root);
	if (!keep_get(&agent->keep, KEEP_ROOT, &kept, &kept_len, NULL) &&
	    !trust_new(kept, kept_len, &newer, why)) {
		if (trust_root(newer)->version >= trust_root(trust)->version) {
			struct trust *older = trust;

			trust = newer;
			newer = older;
		}
		trust_free(newer);
	}
	*ret_trust = trust;
	return OTA_OK;
}

static enum ota_err open_runner(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	const bool is_block = config->slot == CONFIG_SLOT_BLOCK;

	if (config->command) {
		const struct supervise_options options = {
			.command = config->command,
			.directory = config->state_dir,
			.slots = agent->slots,
			.stop_timeout_ms = config->stop_timeout,
		};

		agent->supervises = true;
		return supervise_new(&options, &agent->runner, why);
	}
	const struct reboot_options options = {
		.command = config->restart_command ? config->restart_command
			   : is_block		   ? "reboot"
						   : "true",
		.selects = !is_block,
		.slots = agent->slots,
	};
	return reboot_new(&options, &agent->runner, why);
}

static const char *ca_file(void *ctx)
{
	const struct ota_agent *agent = ctx;

	return tls_anchors_file(&agent->anchors, agent_root(agent->core));
}

static enum ota_err open_link(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	const struct link_options options = {
		.broker = config->broker,
		.ca_file = ca_file,
		.ca_ctx = agent,
		.cert_file = config->cert_file,
		.key_file = config->key_file,
		.device = agent->device,
		.keepalive_ms = config->keepalive,
		.reconnect_min_ms = config->reconnect_min,
		.reconnect_max_ms = config->reconnect_max,
	};

	enum ota_err err = tls_anchors_init(&agent->anchors, disk_posix(), config->state_dir,
					    config->ca_file, why);

	return err ? err : link_new(&options, &agent->link, why);
}

static enum ota_err open_bulk(struct ota_agent *agent, struct ota_why *why)
{
	const struct source_https_options options = {
		.ca_file = ca_file,
		.ca_ctx = agent,
		.cert_file = agent->config.cert_file,
		.key_file = agent->config.key_file,
		.timeout_ms = agent->config.https_timeout,
	};

	return agent->config.https ? source_https_new(&options, &agent->bulk, why) : OTA_OK;
}

/* Two agents with one state would ruin it. The lock of one that was just killed is gone with
 * it, give or take a moment. */
static enum ota_err lock_state(struct ota_agent *agent, struct ota_why *why)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000};
	char path[DISK_PATH_SIZE];
	enum ota_err err =
		disk_make_directory(disk_posix(), agent->config.state_dir, 0700, why);

	if (!err)
		err = disk_join(path, agent->config.state_dir, "agent.lock", why);
	if (err)
		return err;
	agent->state_lock = file_open_lock(path);
	if (agent->state_lock < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "'%s'", path);
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(agent->state_lock, LOCK_EX | LOCK_NB))
			return OTA_OK;
		nanosleep(&pause, NULL);
	}
	return ota_fail(why, OTA_BUSY, "another agent runs with state_dir '%s'",
			agent->config.state_dir);
}

static enum ota_err open_parts(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	const struct host_options host = {
		.health_command = config->health_command,
		.outage_check = config->outage_check,
		.broker = config->broker,
		.boot_file = config->boot_file,
		.directory = config->state_dir,
		.alive = alive,
		.alive_ctx = agent,
	};
	bool lost = false;
	enum ota_err err = lock_state(agent, why);

	if (!err)
		err = tls_identity(config->cert_file, agent->device, why);
	if (!err)
		err = logbook_init(&agent->logbook, (enum log_level)config->log_level, why);
	agent->has_logbook = !err;
	if (!err)
		err = keep_open(&agent->keep, disk_posix(), config->state_dir, why);
	agent->has_keep = !err;
	if (!err)
		err = journal_open(&agent->journal, disk_posix(), config->state_dir, &lost,
				   why);
	agent->has_journal = !err;
	if (!err && lost)
		logbook_write(&agent->logbook, LOG_LEVEL_WARNING, "the journal is lost");
	if (!err && !agent->slots) {
		err = config_agent_slots(config, &agent->own_slots, why);
		agent->has_slots = !err;
		agent->slots = &agent->own_slots;
	}
	if (!err)
		err = open_link(agent, why);
	agent->has_link = !err;
	if (!err)
		err = host_new(&host, &agent->host, why);
	agent->has_host = !err;
	if (!err)
		err = open_bulk(agent, why);
	return err ? err : open_runner(agent, why);
}

static enum ota_err open_core(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	struct agent_parts parts = {
		.settings =
			{
				.device = agent->device,
				.product = config->product,
				.hardware = config->hardware,
				.groups = config->groups,
				.development = config->development,
				.factory_version = config->factory_version,
				.factory_security_version = config->factory_security_version,
				.confirm_timeout_ms = config->confirm_timeout,
				.health_timeout_ms = config->health_timeout,
				.probation_ms = config->probation,
				.rate = config->rate_limit,
				.build_time = OTA_BUILD_TIME,
				.bulk_threshold = config->https_threshold,
			},
		.consent = {.allowed = {config->download == CONFIG_ALLOW,
					config->install == CONFIG_ALLOW,
					config->restart == CONFIG_ALLOW}},
		.callbacks = {&agent->callbacks, NULL, on_event},
		.keep = &agent->keep,
		.journal = &agent->journal,
		.slots = agent->slots,
		.link = &agent->link,
		.host = &agent->host,
		.runner = &agent->runner,
		.bulk = config->https ? &agent->bulk : NULL,
		.logbook = &agent->logbook,
	};
	enum ota_err err =
		consent_window(&parts.consent, config->window ? config->window : "", why);

	if (agent->callbacks.may_download || agent->callbacks.may_install ||
	    agent->callbacks.may_restart)
		parts.callbacks.may = may;
	if (!err)
		err = load_trust(agent, &parts.trust, why);
	if (err)
		return err;
	err = agent_new(&parts, &agent->core, why);
	if (err)
		trust_free(parts.trust);
	return err;
}

enum ota_err ota_parts_open(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	enum ota_err err = open_parts(agent, why);

	watchdog_init(&agent->watchdog, err ? NULL : config->watchdog,
		      config->watchdog_timeout);
	ota_parts_watchdog(agent);
	return err ? err : open_core(agent, why);
}

void ota_parts_close(struct ota_agent *agent)
{
	/* A restart that takes a bad version away must not hang either. */
	if (agent->core && agent_is_reverting(agent->core))
		watchdog_abandon(&agent->watchdog);
	else
		watchdog_close(&agent->watchdog);
	agent_free(agent->core);
	source_https_free(&agent->bulk);
	if (agent->supervises)
		supervise_free(&agent->runner, !agent->leaves);
	else
		reboot_free(&agent->runner);
	if (agent->has_host)
		host_free(&agent->host);
	if (agent->has_link)
		link_free(&agent->link);
	if (agent->has_slots)
		slots_done(&agent->own_slots);
	if (agent->has_journal)
		journal_done(&agent->journal);
	if (agent->has_keep)
		keep_done(&agent->keep);
	if (agent->has_logbook)
		logbook_done(&agent->logbook);
	if (agent->state_lock >= 0)
		close(agent->state_lock);
}
