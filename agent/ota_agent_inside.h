/* The inside of libotaagent, shared by ota_agent.c (life and loop), ota_agent_parts.c (what it
 * is put together from) and ota_agent_local.c (its local socket). */
#pragma once

#include "ota_agent.h"

#include "agent.h"
#include "config.h"
#include "local.h"
#include "tls_anchors.h"
#include "watchdog.h"

#include <pthread.h>

struct ota_agent {
	struct config config;
	struct ota_agent_callbacks callbacks;
	char device[NAME_SIZE];
	struct logbook logbook;
	struct keep keep;
	struct journal journal;
	struct slots own_slots;
	const struct slots *slots;
	struct tls_anchors anchors;
	struct link link;
	struct host host;
	struct runner runner;
	struct sources bulk; /* all zero: without */
	bool has_logbook, has_keep, has_journal, has_slots, has_link, has_host;
	struct watchdog watchdog;
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

/* Opens everything that the configuration names; what was opened is closed by
 * ota_parts_close(), after a failure, too. */
enum ota_err ota_parts_open(struct ota_agent *agent, struct ota_why *why) OTA_CHECKED;
void ota_parts_close(struct ota_agent *agent);
/* Starts the machine's watchdog when its time has come, feeds it, and ends it when the trial
 * has ended. Called by the loop, and during long work. */
void ota_parts_watchdog(struct ota_agent *agent);
/* Answers a request of the local socket (local.h). */
enum ota_err ota_local_answer(void *ctx, const char *request, struct text *to,
			      struct ota_why *why) OTA_CHECKED;
