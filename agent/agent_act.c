/* The actions of the state table. Each may be repeated, and is, until an event ends it. */
#include "agent_inside.h"

#include "own.h"

#include <string.h>

static uint64_t wait_until(const struct agent *agent, uint64_t due_ms)
{
	return due_ms > agent->now_ms ? due_ms - agent->now_ms : 0;
}

static uint64_t later(struct agent *agent, uint64_t ms)
{
	agent->action_due_ms = agent->now_ms + ms;
	return ms;
}

/* --- gates --- */

static uint32_t local_minute(const struct agent *agent)
{
	const struct host *host = agent->parts.host;
	uint64_t now_s = host->wall_s(host->ctx);

	if (now_s < agent->signed_time) {
		/* The clock was never set. The broker's is good enough to choose a moment. */
		if (!agent->broker_time)
			return CONSENT_NO_TIME;
		now_s = agent->broker_time + (agent->now_ms - agent->broker_time_ms) / 1000;
	}
	return host->minute(host->ctx, now_s);
}

bool agent_gate(struct agent *agent, enum consent_gate gate, char *ret_reason,
		uint64_t *ret_left_ms)
{
	const struct agent_callbacks *callbacks = &agent->parts.callbacks;
	const char *version = agent->has_update ? agent->checked.firmware.document.version : "";

	if (!consent_is_open(&agent->consent, gate, agent->now_ms, local_minute(agent),
			     ret_reason, ret_left_ms))
		return false;
	if (!callbacks->may || callbacks->may(callbacks->ctx, gate, version, ret_reason))
		return true;
	ret_reason[CONSENT_REASON_MAX] = '\0';
	return false;
}

/* The plugin learns why nothing happens. */
static void defer(struct agent *agent, enum consent_gate gate, const char *reason)
{
	struct ota_why why = {0};
	const enum update_state state = gate == CONSENT_DOWNLOAD
						? UPDATE_DEFERRED
						: agent_reported(agent_state_of(agent));

	if (agent->is_deferred && (!strcmp(agent->deferred, reason) ||
				   agent->now_ms < agent->deferred_ms + AGENT_REASON_MS))
		return;
	agent->deferred_ms = agent->now_ms;
	agent->is_deferred = true;
	text_copy(agent->deferred, sizeof(agent->deferred), reason);
	logbook_write(agent->log, LOG_LEVEL_INFO, "%s is postponed: %s",
		      consent_gate_names[gate], reason);
	if (agent_report(agent, state, KEEP_STEP, NULL, NULL, reason, &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "report");
}

static uint64_t ask(struct agent *agent, enum consent_gate gate)
{
	char reason[CONSENT_REASON_MAX + 1];
	uint64_t left_ms = 0;

	if (agent->forced || agent_gate(agent, gate, reason, &left_ms)) {
		agent->is_deferred = false;
		agent_event(agent, EVENT_ALLOWED);
		return wait_until(agent, agent->action_due_ms);
	}
	defer(agent, gate, reason);
	if (agent->parts.callbacks.may)
		return later(agent, AGENT_GATE_POLL_MS);
	return later(agent, left_ms && left_ms < 30000 ? left_ms + 1 : 30000);
}

/* --- preparing and fetching --- */

static uint64_t prepare(struct agent *agent)
{
	const struct slots *slots = agent->parts.slots;
	const struct firmware_document *firmware = &agent->checked.firmware.document;
	struct ota_why why = {0};
	const enum boot_slot target =
		slots->running(slots->ctx) == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
	enum ota_err err = keep_remove(agent->keep, agent_firmware_item(target), &why);

	agent->journal->entry.target = target;
	for (uint32_t i = 0; i < firmware->component_count && !err; i++)
		err = slots->begin(slots->ctx, agent->checked.parts[i],
				   firmware->components[i].size, &why);
	if (err) {
		agent_fail(agent, &why);
		return wait_until(agent, agent->action_due_ms);
	}
	agent->component = 0;
	agent->fetched_before = agent->journal->entry.fetched;
	agent->done_before = 0;
	agent->read_back = false;
	agent_event(agent, EVENT_PREPARED);
	return wait_until(agent, agent->action_due_ms);
}

static enum ota_err start_fetch(struct agent *agent, struct ota_why *why)
{
	const struct agent_parts *parts = &agent->parts;
	const unsigned i = agent->component;
	struct fetch_plan plan = {
		.component = &agent->checked.firmware.document.components[i],
		.packs = agent->offer.packs,
		.pack_count = agent->offer.pack_count,
		.slots = parts->slots,
		.part = agent->checked.parts[i],
		.supply =
			{
				.own = &agent->mqtt,
				.bulk = parts->bulk,
				.urls = agent->offer.sources,
				.url_count = agent->offer.source_count,
				.threshold = parts->settings.bulk_threshold,
			},
		.rate = parts->settings.rate,
	};

	if (agent->running.verified && plan.part == agent->running.part) {
		plan.base = agent->running.digest;
		plan.base_size = agent->running.size;
	}
	agent->dropped_told = 0;
	agent->source_told = NULL;
	return fetch_new(&plan, &agent->fetch, why);
}

/* What has come is noted now and then, for the reports; nothing depends on it. */
static enum ota_err note_progress(struct agent *agent, struct ota_why *why)
{
	struct journal_entry *entry = &agent->journal->entry;
	struct fetch_progress progress;
	enum ota_err err = OTA_OK;

	fetch_progress(agent->fetch, &progress);
	entry->fetched = agent->fetched_before + progress.fetched;
	entry->done = agent->done_before + progress.done;
	if (agent->now_ms >= agent->journal_ms + AGENT_JOURNAL_MS) {
		struct journal_entry copy = *entry;

		agent->journal_ms = agent->now_ms;
		err = agent_store(agent, &copy, why);
	}
	if (!err && agent->now_ms >= agent->progress_ms + AGENT_PROGRESS_MS &&
	    entry->done != agent->progress_done) {
		agent->progress_ms = agent->now_ms;
		agent->progress_done = entry->done;
		err = agent_report(agent, UPDATE_DOWNLOADING, KEEP_PROGRESS, NULL, NULL, NULL,
				   why);
		if (err == OTA_CONNECTION_LOST || err == OTA_BUSY)
			err = OTA_OK; /* the next one says it */
	}
	return err;
}

/* A fetch that failed is not gone on with: where the end of the update cannot be noted either,
 * the next one starts from what the slot holds. */
void agent_stop_fetch(struct agent *agent)
{
	struct fetch_progress progress;

	if (!agent->fetch)
		return;
	fetch_progress(agent->fetch, &progress);
	agent->fetched_before += progress.fetched;
	fetch_free(agent->fetch);
	agent->fetch = NULL;
}

static enum ota_err end_component(struct agent *agent, bool *ret_all, struct ota_why *why)
{
	const struct firmware_document *firmware = &agent->checked.firmware.document;
	struct fetch_progress progress;

	fetch_progress(agent->fetch, &progress);
	agent->fetched_before += progress.fetched;
	agent->done_before += progress.done;
	enum ota_err err = agent->parts.slots->finish(
		agent->parts.slots->ctx, agent->checked.parts[agent->component], why);
	if (err)
		return err;
	fetch_free(agent->fetch);
	agent->fetch = NULL;
	agent->component++;
	*ret_all = agent->component >= firmware->component_count;
	return OTA_OK;
}

/* Whatever was given up on the way is said, though the download goes on: a server that lies is
 * somebody's business. */
static void tell_dropped(struct agent *agent)
{
	struct fetch_progress progress;
	struct ota_why why = {0};

	fetch_progress(agent->fetch, &progress);
	if (progress.dropped == agent->dropped_told)
		return;
	agent->dropped_told = progress.dropped;
	agent_log(agent, LOG_LEVEL_WARNING, &progress.last, "a pack or source is dropped");
	if (agent_report(agent, UPDATE_DOWNLOADING, KEEP_STEP, &progress.last, NULL, NULL,
			 &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "report");
}

static void log_source(struct agent *agent)
{
	struct fetch_progress progress;

	fetch_progress(agent->fetch, &progress);
	if (progress.phase != FETCH_PACK || progress.source == agent->source_told)
		return;
	agent->source_told = progress.source;
	logbook_write(agent->log, LOG_LEVEL_INFO, "release %llu: the packs come from %s",
		      (unsigned long long)agent->journal->entry.release, progress.source);
}

static uint64_t fetch(struct agent *agent)
{
	struct ota_why why = {0};
	uint64_t next_ms = 0;
	/* All came before, and the journal would not take it. */
	bool all = agent->component >= agent->checked.firmware.document.component_count;
	enum ota_err err = OTA_OK;

	if (all) {
		agent_event(agent, EVENT_COMPLETE);
		return wait_until(agent, agent->action_due_ms);
	}
	if (!agent->fetch)
		err = start_fetch(agent, &why);
	if (!err) {
		err = fetch_step(agent->fetch, agent->now_ms, agent->online, &next_ms, &why);
		tell_dropped(agent);
		log_source(agent);
	}
	if (!err)
		err = note_progress(agent, &why);
	if (!err) {
		struct fetch_progress progress;

		fetch_progress(agent->fetch, &progress);
		if (progress.phase == FETCH_COMPLETE)
			err = end_component(agent, &all, &why);
	}
	if (err) {
		agent_stop_fetch(agent);
		agent_fail(agent, &why);
		return wait_until(agent, agent->action_due_ms);
	}
	if (all) {
		agent_event(agent, EVENT_COMPLETE);
		return wait_until(agent, agent->action_due_ms);
	}
	/* Progress is said even when nothing else is due. */
	return next_ms < AGENT_JOURNAL_MS ? next_ms : AGENT_JOURNAL_MS;
}

/* --- read back, arm, restart --- */

static bool go_on(void *arg, uint64_t done, uint64_t total)
{
	struct agent *agent = arg;

	(void)done;
	(void)total;
	if (agent->parts.host->alive)
		agent->parts.host->alive(agent->parts.host->ctx);
	return true;
}

static enum ota_err verify_target(struct agent *agent, struct ota_why *why)
{
	const struct slots *slots = agent->parts.slots;
	const struct firmware_document *firmware = &agent->checked.firmware.document;
	const struct slot_watch watch = {go_on, agent};
	enum ota_err err = OTA_OK;

	for (uint32_t i = 0; i < firmware->component_count && !err; i++) {
		const struct firmware_component *component = &firmware->components[i];

		err = slots->verify(slots->ctx, SLOT_TARGET, agent->checked.parts[i],
				    component->size, &component->sha256, &watch, why);
		if (err)
			err = ota_context(why, err, "'%s' read back from the medium",
					  component->name);
	}
	return err;
}

static uint64_t read_back(struct agent *agent)
{
	struct ota_why why = {0};

	if (verify_target(agent, &why)) {
		agent_fail(agent, &why);
	} else {
		agent->read_back = true;
		agent_event(agent, EVENT_READ_BACK);
	}
	return wait_until(agent, agent->action_due_ms);
}

static uint64_t arm(struct agent *agent)
{
	struct ota_why why = {0};
	const enum keep_item item =
		agent_firmware_item((enum boot_slot)agent->journal->entry.target);
	/* Whoever runs from that slot next must know what it is. */
	enum ota_err err = OTA_OK;

	if (!(agent->journal->entry.flags & JOURNAL_REVERT_ASKED))
		err = keep_put(agent->keep, item, agent->offer.firmware,
			       strlen(agent->offer.firmware), &why);
	if (!err)
		err = agent->parts.slots->arm(agent->parts.slots->ctx, AGENT_TRIES, &why);
	if (err)
		agent_fail(agent, &why);
	else
		agent_event(agent, EVENT_ARMED);
	return wait_until(agent, agent->action_due_ms);
}

/* Notes when and how often a restart was asked for, before asking. */
static enum ota_err note_restart(struct agent *agent, struct ota_why *why)
{
	const struct host *host = agent->parts.host;
	struct journal_entry entry = agent->journal->entry;

	entry.boot_id = agent->parts.host->boot_id(agent->parts.host->ctx);
	entry.restarts++;
	if (agent_state_of(agent) == AGENT_RESTARTING && entry.restarts == 1) {
		entry.flags &= ~(uint32_t)(JOURNAL_BROKER_WAS_REACHABLE |
					   JOURNAL_TRIAL_EXTENDED | JOURNAL_DISK_HAD_ROOM);
		if (agent->online)
			entry.flags |= JOURNAL_BROKER_WAS_REACHABLE;
		if (host->disk_is_full && !host->disk_is_full(host->ctx))
			entry.flags |= JOURNAL_DISK_HAD_ROOM;
		entry.trial_boots = 0;
		entry.cause = 0;
		entry.cause_detail = 0;
	}
	return agent_store(agent, &entry, why);
}

static uint64_t restart(struct agent *agent)
{
	struct ota_why why = {0};
	enum ota_err err;

	if (agent->journal->entry.restarts >= AGENT_RESTARTS_MAX) {
		err = ota_fail(
			&why, OTA_BOOTLOADER_ERROR,
			"%u restarts, and the boot selector did not start the new version",
			agent->journal->entry.restarts);
		agent_fail(agent, &why);
		return wait_until(agent, agent->action_due_ms);
	}
	if (!agent->has_update) {
		err = agent_reload(agent, &why);
	} else {
		err = OTA_OK;
	}
	/* It may have waited for days since it was read back. */
	if (!err)
		err = verify_target(agent, &why);
	if (err) {
		agent_fail(agent, &why);
		return wait_until(agent, agent->action_due_ms);
	}
	err = note_restart(agent, &why);
	if (!err)
		err = agent->parts.runner->restart(agent->parts.runner->ctx, &why);
	if (err) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "restart");
		return later(agent, AGENT_RETRY_MS);
	}
	return later(agent, AGENT_RESTART_POLL_MS);
}

static uint64_t confirm(struct agent *agent)
{
	struct ota_why why = {0};

	if (agent->parts.slots->confirm(agent->parts.slots->ctx, &why)) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "confirm");
		return later(agent, AGENT_RETRY_MS);
	}
	agent_event(agent, EVENT_CONFIRMED);
	return wait_until(agent, agent->action_due_ms);
}

static uint64_t revert(struct agent *agent)
{
	struct ota_why why = {0};
	/* Noted first: once the boot state says that the old slot is next, only the note tells
	 * an agent that is killed here that the new version still runs. */
	enum ota_err err = note_restart(agent, &why);

	if (!err)
		err = agent->parts.slots->revert(agent->parts.slots->ctx, &why);
	if (!err)
		err = agent->parts.runner->restart(agent->parts.runner->ctx, &why);
	if (err) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "revert");
		return later(agent, AGENT_RETRY_MS);
	}
	return later(agent, AGENT_RESTART_POLL_MS);
}

uint64_t agent_act(struct agent *agent)
{
	if (agent->now_ms < agent->action_due_ms)
		return agent->action_due_ms - agent->now_ms;
	switch (agent->action) {
	case ACTION_ASK_DOWNLOAD:
		return ask(agent, CONSENT_DOWNLOAD);
	case ACTION_PREPARE:
		return prepare(agent);
	case ACTION_FETCH:
		return fetch(agent);
	case ACTION_READ_BACK:
		return read_back(agent);
	case ACTION_ASK_INSTALL:
		return ask(agent, CONSENT_INSTALL);
	case ACTION_ARM:
		return arm(agent);
	case ACTION_ASK_RESTART:
		return ask(agent, CONSENT_RESTART);
	case ACTION_RESTART:
		return restart(agent);
	case ACTION_PROVE:
		return agent_prove(agent);
	case ACTION_CONFIRM:
		return confirm(agent);
	case ACTION_REVERT:
		return revert(agent);
	case ACTION_NONE:
	case ACTION_END_SUCCEEDED:
	case ACTION_END_FAILED:
	case ACTION_END_CANCELED:
	case ACTION_END_SUPERSEDED:
	case ACTION_END_ROLLED_BACK:
	case AGENT_ACTION_COUNT:
		break;
	}
	return UINT64_MAX;
}
