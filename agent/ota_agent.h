/* libotaagent: over-the-air updates inside an application.
 *
 * Configure it with the keys of ota-agent.conf (or with that file), give it callbacks, and let
 * ota_agent_run() have a thread of its own; every other function may be called from any thread.
 * The application decides when: it is asked through three gates (download, install, restart),
 * or it holds and releases them itself, with a reason and a lease, so that an application that
 * dies cannot block updates for ever.
 *
 *	struct ota_agent_config *config;
 *	struct ota_agent *agent;
 *	struct ota_why why;
 *
 *	if (ota_agent_config_new(&config, &why) ||
 *	    ota_agent_config_file(config, "/etc/ota-agent.conf", &why) ||
 *	    ota_agent_new(config, &callbacks, NULL, &agent, &why))
 *		fprintf(stderr, "%s\n", why.text);
 *	else
 *		ota_agent_run(agent, &why);
 */
#pragma once

#include "slot.h"
#include "why.h"

#pragma GCC visibility push(default)

#define OTA_AGENT_REASON_MAX 128

enum ota_agent_gate {
	OTA_AGENT_DOWNLOAD = 0,
	OTA_AGENT_INSTALL,
	OTA_AGENT_RESTART,
};

/* Each may be NULL. They are called from the thread that is in ota_agent_run() and must not
 * block; they may call ota_agent_state(), ota_agent_hold(), ota_agent_release() and
 * ota_agent_stop(). */
struct ota_agent_callbacks {
	void *ctx;
	/* May this be done now for this version? No: write a reason of at most
	 * OTA_AGENT_REASON_MAX bytes and a NUL to ret_reason. Asked again about once a second.
	 */
	bool (*may_download)(void *ctx, const char *version, char *ret_reason);
	bool (*may_install)(void *ctx, const char *version, char *ret_reason);
	bool (*may_restart)(void *ctx, const char *version, char *ret_reason);
	/* The update entered this state ("downloading", "trial", "succeeded", …; the words of
	 * the protocol). why: of a state that is a failure, else NULL. */
	void (*on_event)(void *ctx, const char *state, unsigned long long release,
			 const char *version, const struct ota_why *why);
};

struct ota_agent_state {
	char state[32];	  /* of the update in hand; "" when there is none */
	char version[65]; /* that runs */
	char digest[65];  /* of its image, hexadecimal */
	char target[65];  /* version of the update in hand; "" when there is none */
	unsigned long long release;
	unsigned attempt;
	unsigned long long done, total; /* bytes of the image */
	bool online, trial;
	bool may_download, may_install, may_restart;
	char reason[OTA_AGENT_REASON_MAX + 1]; /* why a gate is closed */
	unsigned reports;		       /* not yet acknowledged */
	char error[512];		       /* the last one; "" when there was none */
};

struct ota_agent_config;
struct ota_agent;

enum ota_err ota_agent_config_new(struct ota_agent_config **ret_config,
				  struct ota_why *why) OTA_CHECKED;
void ota_agent_config_free(struct ota_agent_config *config); /* NULL is fine */
/* One key of ota-agent.conf(5), as text. */
enum ota_err ota_agent_config_set(struct ota_agent_config *config, const char *key,
				  const char *value, struct ota_why *why) OTA_CHECKED;
enum ota_err ota_agent_config_file(struct ota_agent_config *config, const char *path,
				   struct ota_why *why) OTA_CHECKED;

/* Takes config over, also when it fails. `callbacks` may be NULL and is copied. `slots` (may be
 * NULL): the application's own place for versions instead of the configuration's; it must
 * outlive the agent, and its boot() is called only where `restart_command` is not empty. */
enum ota_err ota_agent_new(struct ota_agent_config *config,
			   const struct ota_agent_callbacks *callbacks,
			   const struct slots *slots, struct ota_agent **ret_agent,
			   struct ota_why *why) OTA_CHECKED;
/* Only when no thread is in ota_agent_run(). NULL is fine. */
void ota_agent_free(struct ota_agent *agent);
/* Runs until ota_agent_stop(). */
enum ota_err ota_agent_run(struct ota_agent *agent, struct ota_why *why) OTA_CHECKED;
/* May be called from a signal handler. */
void ota_agent_stop(struct ota_agent *agent);
/* The supervised application (`command`) is left running at ota_agent_free(), to be found again
 * by the next agent, instead of being ended. */
void ota_agent_leave(struct ota_agent *agent);

/* Closes a gate for lease_s seconds (0: 24 hours; at most 7 days in all). A hold survives
 * nothing but its lease: not the agent's own restart. */
enum ota_err ota_agent_hold(struct ota_agent *agent, enum ota_agent_gate gate,
			    unsigned long lease_s, const char *reason,
			    struct ota_why *why) OTA_CHECKED;
void ota_agent_release(struct ota_agent *agent, enum ota_agent_gate gate);
void ota_agent_state(struct ota_agent *agent, struct ota_agent_state *ret_state);
/* The newest log lines, at most 16 KiB; the caller frees. NULL for want of memory. */
char *ota_agent_log(struct ota_agent *agent);
/* Called about every `interval_ms` while the agent is alive and at work (a watchdog). Before
 * ota_agent_run(). */
void ota_agent_watch(struct ota_agent *agent, unsigned long interval_ms,
		     void (*alive)(void *ctx), void *ctx);

#pragma GCC visibility pop
