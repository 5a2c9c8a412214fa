/* Puts the real parts together and drives them: the one loop of the process. */
#include "ota_agent.h"

#include "agent.h"
#include "config.h"
#include "file.h"
#include "host_posix.h"
#include "local.h"
#include "own.h"
#include "reboot.h"
#include "supervise.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <time.h>

#define LOOP_WAIT_MAX_MS 60000
#define LOCK_TRIES	 50
#define LOCK_PAUSE_MS	 20
#define DESCRIPTORS	 5

struct ota_agent_config {
	struct config config;
};

struct ota_agent {
	struct config config;
	struct ota_agent_callbacks callbacks;
	char device[NAME_SIZE];
	struct logbook logbook;
	struct keep keep;
	struct journal journal;
	struct slots own_slots;
	const struct slots *slots;
	struct link link;
	struct host host;
	struct runner runner;
	bool has_logbook, has_keep, has_journal, has_slots, has_link, has_host;
	bool supervises, leaves;
	struct agent *core;
	struct local *local;

	pthread_mutex_t lock; /* of everything above, while a step runs */
	int wake, state_lock;
	volatile bool stopped;
	void (*alive)(void *ctx);
	void *alive_ctx;
	uint64_t alive_every_ms, alive_due_ms;
};

/* --- configuration --- */

enum ota_err ota_agent_config_new(struct ota_agent_config **ret_config, struct ota_why *why)
{
	struct ota_agent_config *config = calloc(1, sizeof(*config));

	if (!config)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "configuration");
	enum ota_err err = option_defaults(config_rows, &config->config, why);
	if (err) {
		ota_agent_config_free(config);
		return err;
	}
	*ret_config = config;
	return OTA_OK;
}

void ota_agent_config_free(struct ota_agent_config *config)
{
	if (config)
		config_done(&config->config);
	free(config);
}

enum ota_err ota_agent_config_set(struct ota_agent_config *config, const char *key,
				  const char *value, struct ota_why *why)
{
	return option_set(config_rows, &config->config, key, value, "ota_agent_config_set",
			  why);
}

enum ota_err ota_agent_config_file(struct ota_agent_config *config, const char *path,
				   struct ota_why *why)
{
	return option_read_file(config_rows, &config->config, path, why);
}

/* --- parts --- */

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

static void alive(void *ctx)
{
	struct ota_agent *agent = ctx;

	if (agent->alive)
		agent->alive(agent->alive_ctx);
}

static enum ota_err open_boot_store(const struct config *config, struct boot_store *ret_store,
				    struct ota_why *why)
{
	switch (config->boot_state) {
	case CONFIG_BOOT_UBOOT:
		return bootstate_uboot_open(config->boot_record, ret_store, why);
	case CONFIG_BOOT_GRUB:
		return bootstate_grub_open(disk_posix(), config->boot_record, ret_store, why);
	default:
		return bootstate_record_open(disk_posix(), config->boot_record, 0, ret_store,
					     why);
	}
}

static enum ota_err open_slots(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	const char *const classes[] = {config->slot_class};
	struct slot_part part = {0};
	struct boot_store store;
	enum ota_err err;

	if (config->slot == CONFIG_SLOT_EXEC)
		return slot_exec_open(config->slot_program, classes, 1,
				      (uint32_t)config->slot_timeout, &agent->own_slots, why);
	text_copy(part.slot_class, sizeof(part.slot_class), config->slot_class);
	if (!text_copy(part.path[0], DISK_PATH_SIZE, config->slot_a) ||
	    !text_copy(part.path[1], DISK_PATH_SIZE, config->slot_b) ||
	    !text_copy(part.link, DISK_PATH_SIZE,
		       config->current_link ? config->current_link : ""))
		return ota_fail(why, OTA_BAD_REQUEST, "a slot's path is too long");
	err = open_boot_store(config, &store, why);
	if (err)
		return ota_context(why, err, "boot state");
	if (config->slot == CONFIG_SLOT_BLOCK)
		return slot_block_open(disk_posix(), &part, 1, NULL, &store, &agent->own_slots,
				       why);
	return slot_file_open(disk_posix(), &part, 1, config->slot_size, &store,
			      &agent->own_slots, why);
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
	const bool is_file = config->slot == CONFIG_SLOT_FILE;

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
			   : is_file		   ? "true"
						   : "reboot",
		.selects = is_file,
		.slots = agent->slots,
	};
	return reboot_new(&options, &agent->runner, why);
}

static enum ota_err open_link(struct ota_agent *agent, struct ota_why *why)
{
	const struct config *config = &agent->config;
	const struct link_options options = {
		.broker = config->broker,
		.ca_file = config->ca_file,
		.cert_file = config->cert_file,
		.key_file = config->key_file,
		.device = agent->device,
		.keepalive_ms = config->keepalive,
		.reconnect_min_ms = config->reconnect_min,
		.reconnect_max_ms = config->reconnect_max,
	};

	return link_new(&options, &agent->link, why);
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
	agent->state_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
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
		err = open_slots(agent, why);
		agent->has_slots = !err;
		agent->slots = &agent->own_slots;
	}
	if (!err)
		err = open_link(agent, why);
	agent->has_link = !err;
	if (!err)
		err = host_new(&host, &agent->host, why);
	agent->has_host = !err;
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
				.development = config->development,
				.factory_version = config->factory_version,
				.factory_security_version = config->factory_security_version,
				.confirm_timeout_ms = config->confirm_timeout,
				.health_timeout_ms = config->health_timeout,
				.probation_ms = config->probation,
				.rate = config->rate_limit,
				.build_time = OTA_BUILD_TIME,
				.https_threshold = config->https_threshold,
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

/* --- the local socket --- */

static void put_status(struct ota_agent *agent, struct text *to)
{
	char digest[TEXT_HEX32_SIZE];
	struct agent_view view;

	agent_look(agent->core, &view);
	text_from_digest(digest, view.digest.bytes);
	text_printf(to, "device %s\n", agent->device);
	text_printf(to, "online %s\n", view.online ? "yes" : "no");
	text_printf(to, "version %s\n", view.version);
	text_printf(to, "digest %s\n", digest);
	text_printf(to, "slot %c\n", view.slot);
	text_printf(to, "state %s\n",
		    view.state == UPDATE_NONE ? "idle" : update_state_names[view.state]);
	if (view.state != UPDATE_NONE) {
		text_printf(to, "release %llu\n", (unsigned long long)view.release);
		text_printf(to, "attempt %u\n", view.attempt);
		text_printf(to, "target %s\n", view.target_version);
	}
	if (view.total)
		text_printf(to, "progress %llu/%llu\n", (unsigned long long)view.done,
			    (unsigned long long)view.total);
	for (unsigned i = 0; i < CONSENT_GATE_COUNT; i++)
		text_printf(to, "%s %s\n", consent_gate_names[i],
			    view.open[i] ? "open" : "closed");
	if (view.reason[0])
		text_printf(to, "reason %s\n", view.reason);
	text_printf(to, "reports %u\n", view.reports);
	if (view.last_error.err)
		text_printf(to, "error %s: %s\n", ota_err_name(view.last_error.err),
			    view.last_error.text);
}

static bool find_gate(const char *name, unsigned *ret_first, unsigned *ret_count)
{
	if (!strcmp(name, "all")) {
		*ret_first = 0;
		*ret_count = CONSENT_GATE_COUNT;
		return true;
	}
	for (unsigned i = 0; i < CONSENT_GATE_COUNT; i++) {
		if (!strcmp(name, consent_gate_names[i])) {
			*ret_first = i;
			*ret_count = 1;
			return true;
		}
	}
	return false;
}

static enum ota_err hold_or_release(struct ota_agent *agent, char *request, struct ota_why *why)
{
	char *save = NULL;
	const char *verb = strtok_r(request, " ", &save);
	const char *gate = strtok_r(NULL, " ", &save);
	const char *seconds = gate ? strtok_r(NULL, " ", &save) : NULL;
	unsigned first, count;
	uint64_t lease_s = 0;

	if (!gate || !find_gate(gate, &first, &count))
		return ota_fail(why, OTA_BAD_REQUEST,
				"which gate? download, install, restart or all");
	if (seconds && !text_to_u64(seconds, CONSENT_LEASE_MAX_MS / 1000, &lease_s))
		return ota_fail(why, OTA_BAD_REQUEST, "the lease is 0 to %u seconds",
				(unsigned)(CONSENT_LEASE_MAX_MS / 1000));
	for (unsigned i = first; i < first + count; i++) {
		enum ota_err err = OTA_OK;

		if (!strcmp(verb, "release"))
			agent_release(agent->core, (enum consent_gate)i);
		else
			err = agent_hold(agent->core, (enum consent_gate)i, lease_s * 1000,
					 save ? save : "", why);
		if (err)
			return err;
	}
	return OTA_OK;
}

static enum ota_err answer(void *ctx, const char *request, struct text *to, struct ota_why *why)
{
	struct ota_agent *agent = ctx;
	char copy[LOCAL_LINE_MAX];

	if (!strcmp(request, "status")) {
		put_status(agent, to);
		return OTA_OK;
	}
	if (!strcmp(request, "log")) {
		AUTO_FREE char *tail = logbook_tail(&agent->logbook, LOGBOOK_SIZE);

		text_put(to, tail ? tail : "");
		return OTA_OK;
	}
	text_copy(copy, sizeof(copy), request);
	if (!strncmp(copy, "hold ", 5) || !strncmp(copy, "release ", 8))
		return hold_or_release(agent, copy, why);
	return ota_fail(why, OTA_BAD_REQUEST, "status, hold, release or log");
}

/* --- life --- */

/* Callbacks run within a step and may call back. */
static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
}

enum ota_err ota_agent_new(struct ota_agent_config *config,
			   const struct ota_agent_callbacks *callbacks,
			   const struct slots *slots, struct ota_agent **ret_agent,
			   struct ota_why *why)
{
	struct ota_agent *agent = calloc(1, sizeof(*agent));
	enum ota_err err;

	if (!agent) {
		ota_agent_config_free(config);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "agent");
	}
	agent->config = config->config;
	free(config);
	if (callbacks)
		agent->callbacks = *callbacks;
	agent->slots = slots;
	agent->state_lock = -1;
	init_lock(&agent->lock);
	agent->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = agent->wake < 0 ? ota_fail_errno(why, OTA_INTERNAL, errno, "eventfd")
			      : config_check(&agent->config, "configuration", why);
	if (!err)
		err = open_parts(agent, why);
	if (!err)
		err = open_core(agent, why);
	if (!err)
		err = local_open(agent->config.socket, answer, agent, &agent->local, why);
	if (err) {
		agent->leaves = true;
		ota_agent_free(agent);
		return err;
	}
	*ret_agent = agent;
	return OTA_OK;
}

void ota_agent_free(struct ota_agent *agent)
{
	if (!agent)
		return;
	local_free(agent->local);
	agent_free(agent->core);
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
	if (agent->wake >= 0)
		close(agent->wake);
	if (agent->state_lock >= 0)
		close(agent->state_lock);
	pthread_mutex_destroy(&agent->lock);
	config_done(&agent->config);
	free(agent);
}

static void wake(struct ota_agent *agent)
{
	const uint64_t one = 1;

	if (write(agent->wake, &one, sizeof(one)) < 0) {
		/* full, so readable, which is all that counts */
	}
}

static uint64_t now_ms(const struct ota_agent *agent)
{
	return agent->host.boot_ms(agent->host.ctx);
}

/* Waits until something may be done. */
static void wait_for(struct ota_agent *agent, uint64_t wait_ms)
{
	struct pollfd set[DESCRIPTORS] = {
		{.fd = agent->wake, .events = POLLIN},
		{.fd = agent->link.fd(agent->link.ctx), .events = POLLIN},
		{.fd = agent->runner.fd(agent->runner.ctx), .events = POLLIN},
		{.fd = local_fd(agent->local), .events = POLLIN},
	};
	uint64_t count;

	if (wait_ms > LOOP_WAIT_MAX_MS)
		wait_ms = LOOP_WAIT_MAX_MS;
	if (agent->alive && wait_ms > agent->alive_every_ms)
		wait_ms = agent->alive_every_ms;
	if (poll(set, DESCRIPTORS - 1, (int)wait_ms) > 0 && set[0].revents &&
	    read(agent->wake, &count, sizeof(count)) < 0) {
		/* EAGAIN: another wait took it */
	}
}

enum ota_err ota_agent_run(struct ota_agent *agent, struct ota_why *why)
{
	(void)why;
	while (!agent->stopped) {
		pthread_mutex_lock(&agent->lock);
		uint64_t wait_ms = agent_step(agent->core);
		if (local_step(agent->local, now_ms(agent)))
			wait_ms = 0; /* what was asked for is done now */
		if (agent->alive && now_ms(agent) >= agent->alive_due_ms) {
			agent->alive_due_ms = now_ms(agent) + agent->alive_every_ms;
			agent->alive(agent->alive_ctx);
		}
		pthread_mutex_unlock(&agent->lock);
		if (!agent->stopped)
			wait_for(agent, wait_ms);
	}
	return OTA_OK;
}

void ota_agent_stop(struct ota_agent *agent)
{
	agent->stopped = true;
	wake(agent);
}

void ota_agent_leave(struct ota_agent *agent)
{
	agent->leaves = true;
}

void ota_agent_watch(struct ota_agent *agent, unsigned long interval_ms,
		     void (*tell)(void *ctx), void *ctx)
{
	agent->alive = tell;
	agent->alive_ctx = ctx;
	agent->alive_every_ms = interval_ms;
}

enum ota_err ota_agent_hold(struct ota_agent *agent, enum ota_agent_gate gate,
			    unsigned long lease_s, const char *reason, struct ota_why *why)
{
	pthread_mutex_lock(&agent->lock);
	enum ota_err err = agent_hold(agent->core, (enum consent_gate)gate,
				      (uint64_t)lease_s * 1000, reason, why);
	pthread_mutex_unlock(&agent->lock);
	wake(agent);
	return err;
}

void ota_agent_release(struct ota_agent *agent, enum ota_agent_gate gate)
{
	pthread_mutex_lock(&agent->lock);
	agent_release(agent->core, (enum consent_gate)gate);
	pthread_mutex_unlock(&agent->lock);
	wake(agent);
}

void ota_agent_state(struct ota_agent *agent, struct ota_agent_state *ret_state)
{
	struct ota_agent_state state = {0};
	struct agent_view view;

	pthread_mutex_lock(&agent->lock);
	agent_look(agent->core, &view);
	pthread_mutex_unlock(&agent->lock);
	text_copy(state.state, sizeof(state.state), update_state_names[view.state]);
	text_copy(state.version, sizeof(state.version), view.version);
	text_from_digest(state.digest, view.digest.bytes);
	text_copy(state.target, sizeof(state.target), view.target_version);
	state.release = view.release;
	state.attempt = view.attempt;
	state.done = view.done;
	state.total = view.total;
	state.online = view.online;
	state.trial = view.trial;
	state.may_download = view.open[CONSENT_DOWNLOAD];
	state.may_install = view.open[CONSENT_INSTALL];
	state.may_restart = view.open[CONSENT_RESTART];
	text_copy(state.reason, sizeof(state.reason), view.reason);
	state.reports = view.reports;
	text_copy(state.error, sizeof(state.error), view.last_error.text);
	*ret_state = state;
}

char *ota_agent_log(struct ota_agent *agent)
{
	pthread_mutex_lock(&agent->lock);
	char *tail = logbook_tail(&agent->logbook, LOGBOOK_SIZE);
	pthread_mutex_unlock(&agent->lock);
	return tail;
}
