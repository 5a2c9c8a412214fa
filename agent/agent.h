/* The agent's core: one device's update, driven step by step.
 *
 * No threads, no clock, no broker, no disk of its own: all of them are parts that the caller
 * brings (ota_agent.c the real ones, a simulation its own). agent_step() does what is due and
 * says when it wants to be called again; nothing else drives the agent. Between two steps the
 * process may be killed or the power cut: the next agent_new() goes on from the durable state.
 */
#pragma once

#include "consent.h"
#include "host.h"
#include "journal.h"
#include "keep.h"
#include "link.h"
#include "logbook.h"
#include "source.h"
#include "trust.h"

struct agent_settings {
	const char *device, *product, *hardware;
	const char *groups; /* check.h */
	bool development;   /* accepts firmware of the development class */
	const char *factory_version;
	uint64_t factory_security_version;
	uint64_t confirm_timeout_ms, health_timeout_ms, probation_ms;
	uint64_t rate;		 /* bytes a second while downloading; 0: no limit */
	uint64_t build_time;	 /* Unix seconds: no signed time can be earlier */
	uint64_t bulk_threshold; /* bytes to fetch from which on `bulk` is asked */
};

/* What an embedding application is asked and told. Any may be NULL. */
struct agent_callbacks {
	void *ctx;
	/* True when it may be done now; else a reason (at most 128 bytes) in ret_reason. Asked
	 * again every few seconds. */
	bool (*may)(void *ctx, enum consent_gate gate, const char *version, char *ret_reason);
	/* The update went to this state. */
	void (*on_event)(void *ctx, enum update_state state, uint64_t release,
			 const char *version, const struct ota_why *why);
};

struct agent_parts {
	struct agent_settings settings; /* its texts must outlive the agent */
	struct consent_rules consent;
	struct agent_callbacks callbacks;
	struct keep *keep;
	struct journal *journal;
	const struct slots *slots;
	const struct link *link;
	const struct host *host;
	const struct runner *runner;
	const struct sources *bulk; /* servers that an offer names; NULL: MQTT only */
	struct trust *trust;	    /* taken over by agent_new() when it succeeds */
	struct logbook *logbook;
};

struct agent_view {
	enum update_state state;
	uint64_t release;
	uint32_t attempt;
	char version[NAME_SIZE]; /* that runs */
	struct digest digest;
	char slot; /* 'a' or 'b' */
	char target_version[NAME_SIZE];
	uint64_t done, total, fetched;
	bool online, trial;
	bool open[CONSENT_GATE_COUNT];
	char reason[CONSENT_REASON_MAX + 1];
	unsigned reports; /* not yet acknowledged */
	struct ota_why last_error;
};

struct agent; /* opaque */

enum ota_err agent_new(const struct agent_parts *parts, struct agent **ret_agent,
		       struct ota_why *why) OTA_CHECKED;
void agent_free(struct agent *agent); /* NULL is fine */
/* Does what is due. Milliseconds until it is to be called again, at the latest; earlier when a
 * descriptor of link, runner or agent_fd() is readable. */
uint64_t agent_step(struct agent *agent);
/* Of the server that a download comes from; -1: none. */
int agent_fd(const struct agent *agent);

enum ota_err agent_hold(struct agent *agent, enum consent_gate gate, uint64_t lease_ms,
			const char *reason, struct ota_why *why) OTA_CHECKED;
void agent_release(struct agent *agent, enum consent_gate gate);
void agent_look(struct agent *agent, struct agent_view *ret_view);
/* The trust root of now; until the next step. */
const struct root_document *agent_root(const struct agent *agent);
/* The version that runs is on trial, or lost it and its restart is under way; `unknown` as long
 * as nobody knows what runs. */
bool agent_is_proving(const struct agent *agent, bool unknown);
bool agent_is_reverting(const struct agent *agent);
