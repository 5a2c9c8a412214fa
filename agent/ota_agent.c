/* libotaagent's life and its one loop. */
#include "ota_agent_inside.h"

#include "own.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#define LOOP_WAIT_MAX_MS 60000
#define DESCRIPTORS	 5

struct ota_agent_config {
	struct config config;
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
	watchdog_init(&agent->watchdog, NULL, 0);
	init_lock(&agent->lock);
	agent->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = agent->wake < 0 ? ota_fail_errno(why, OTA_INTERNAL, errno, "eventfd")
			      : config_check(&agent->config, "configuration", why);
	if (!err)
		err = ota_parts_open(agent, why);
	if (!err)
		err = local_open(agent->config.socket, ota_local_answer, agent, &agent->local,
				 why);
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
	ota_parts_close(agent);
	if (agent->wake >= 0)
		close(agent->wake);
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
		{.fd = agent_fd(agent->core), .events = POLLIN},
	};
	uint64_t count;

	if (wait_ms > LOOP_WAIT_MAX_MS)
		wait_ms = LOOP_WAIT_MAX_MS;
	if (agent->alive && wait_ms > agent->alive_every_ms)
		wait_ms = agent->alive_every_ms;
	if (agent->watchdog.fd >= 0 && wait_ms > agent->watchdog.every_ms)
		wait_ms = agent->watchdog.every_ms;
	if (poll(set, DESCRIPTORS, (int)wait_ms) > 0 && set[0].revents &&
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
		ota_parts_watchdog(agent);
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
