/* The trial: collects the facts, asks trial_judge() and does what it says. What happens is
 * written down as it happens, for the old version to report if this one does not come through.
 */
#include "agent_inside.h"

#include "own.h"

#include <string.h>

#define CHECK_PAUSE_MS 2000 /* between two health checks */

/* --- evidence --- */

static const struct json_field evidence_fields[] = {
	{.name = "release",
	 .kind = JSON_U64,
	 .offset = offsetof(struct agent_evidence, release)},
	{.name = "attempt",
	 .kind = JSON_U32,
	 .offset = offsetof(struct agent_evidence, attempt)},
	{.name = "err", .kind = JSON_U32, .offset = offsetof(struct agent_evidence, err)},
	{.name = "detail", .kind = JSON_U32, .offset = offsetof(struct agent_evidence, detail)},
	{.name = "message",
	 .kind = JSON_STRING,
	 .offset = offsetof(struct agent_evidence, message),
	 .size = OTA_WHY_TEXT_MAX + 1},
	{.name = "log",
	 .kind = JSON_TEXT,
	 .flag = JSON_OPTIONAL,
	 .offset = offsetof(struct agent_evidence, log),
	 .max = MESSAGE_LOG_MAX},
	{0},
};
static const struct json_shape evidence_shape = {
	.what = "evidence", .size = sizeof(struct agent_evidence), .fields = evidence_fields};

void agent_keep_evidence(struct agent *agent, enum ota_err err, int detail, const char *message)
{
	struct agent_evidence evidence = {
		.release = agent->journal->entry.release,
		.attempt = agent->journal->entry.attempt,
		.err = (uint32_t)err,
		.detail = detail > 0 ? (uint32_t)detail : 0,
		/* The escapes of JSON must fit beside it. */
		.log = logbook_tail(agent->log, MESSAGE_LOG_MAX),
	};
	struct text json = {0};
	struct ota_why why = {0};

	text_sanitize(evidence.message, sizeof(evidence.message), message, strlen(message),
		      false);
	enum ota_err failed = json_write(&evidence_shape, &evidence, &json, &why);
	if (!failed)
		failed = keep_put(agent->keep, KEEP_EVIDENCE, json.data, json.len, &why);
	if (failed)
		agent_log(agent, LOG_LEVEL_WARNING, &why, "evidence");
	text_done(&json);
	free(evidence.log);
}

bool agent_read_evidence(struct agent *agent, struct agent_evidence *ret_evidence)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	return !keep_get(agent->keep, KEEP_EVIDENCE, &text, &len, NULL) &&
	       !json_read(&evidence_shape, text, len, KEEP_EVIDENCE_MAX, OTA_IO_ERROR,
			  ret_evidence, NULL);
}

void agent_evidence_done(struct agent_evidence *evidence)
{
	json_done(&evidence_shape, evidence);
}

/* --- the trial --- */

/* After the restart everything is verified again, from the envelopes. */
static enum ota_err verify_running(struct agent *agent, struct ota_why *why)
{
	enum ota_err err = agent_reload(agent, why);

	if (err)
		return err;
	if (agent->journal->entry.flags & JOURNAL_REVERT_ASKED)
		return OTA_OK;
	const struct firmware_component *component =
		&agent->checked.firmware.document.components[0];
	if (!agent->running.verified ||
	    !digest_equal(&agent->running.digest, &component->sha256))
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
				"the image that runs is not the one that release %llu names",
				(unsigned long long)agent->journal->entry.release);
	return OTA_OK;
}

static void unfit(struct agent *agent, const struct ota_why *why)
{
	agent->failure = *why;
	agent_log(agent, LOG_LEVEL_ERROR, why, "the new version failed its trial");
	agent->journal->entry.cause = (uint32_t)why->err;
	agent->journal->entry.cause_detail = why->detail > 0 ? (uint32_t)why->detail : 0;
	agent->journal->entry.restarts = 0;
	agent_keep_evidence(agent, why->err, why->detail, why->text);
	agent_event(agent, EVENT_UNFIT);
}

static bool begin_trial(struct agent *agent)
{
	struct ota_why why = {0};
	struct journal_entry entry = agent->journal->entry;

	/* Counted before anything that takes time: what ends the agent may not wait for that.
	 */
	entry.trial_boots++;
	if (agent_store(agent, &entry, &why)) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "journal");
		agent->action_due_ms = agent->now_ms + AGENT_RETRY_MS;
		return false;
	}
	enum ota_err err = entry.trial_boots > AGENT_TRIAL_BOOTS_MAX
				   ? ota_fail(&why, OTA_AGENT_KILLED,
					      "the agent was started %u times in one trial",
					      entry.trial_boots)
				   : verify_running(agent, &why);
	if (err) {
		unfit(agent, &why);
		return false;
	}
	agent->trial_begun = true;
	agent->trial_since_ms = agent->now_ms;
	agent->outage_known = false;
	agent->disk_full_ms = 0;
	agent->crash.err = OTA_OK;
	agent->link_fresh = false;
	agent->online = false;
	agent->nonce_is_trial = false;
	postbox_online(&agent->postbox, false);
	agent->parts.link->renew(agent->parts.link->ctx);
	return true;
}

void agent_stop_check(struct agent *agent)
{
	const struct host *host = agent->parts.host;

	if (agent->check_runs && host->check_stop)
		host->check_stop(host->ctx);
	agent->check_runs = false;
	agent->check_due_ms = 0; /* the pause was for the version that was checked */
	agent->health = TRIAL_HEALTH_UNKNOWN;
}

static void check_health(struct agent *agent)
{
	const struct host *host = agent->parts.host;
	char path[DISK_PATH_SIZE] = "";
	struct ota_why why = {0};

	if (agent->health == TRIAL_HEALTH_GOOD)
		return;
	if (!agent->check_runs) {
		if (agent->now_ms < agent->check_due_ms)
			return;
		if (!agent->parts.slots->path(agent->parts.slots->ctx, agent->running.slot,
					      agent->running.part, path, sizeof(path)))
			path[0] = '\0';
		if (host->check_start(host->ctx, path, &why)) {
			agent->health = TRIAL_HEALTH_BAD;
			agent->health_why = why;
			agent->check_due_ms = agent->now_ms + CHECK_PAUSE_MS;
			return;
		}
		agent->check_runs = true;
	}
	const enum trial_health health = host->check_result(host->ctx, &why);
	if (health == TRIAL_HEALTH_UNKNOWN)
		return;
	agent->check_runs = false;
	agent->check_due_ms = agent->now_ms + CHECK_PAUSE_MS;
	agent->health = health;
	if (health != TRIAL_HEALTH_GOOD)
		agent->health_why = why;
	else
		logbook_write(agent->log, LOG_LEVEL_INFO, "the health check passed");
}

/* The broker was not reached, or did not grant the commit. */
static void explain_link(struct agent *agent, struct ota_why *why)
{
	const struct host *host = agent->parts.host;
	enum ota_err err;

	if (agent->online)
		err = ota_fail(why, OTA_NO_CONNECTIVITY_AFTER_UPDATE,
			       "connected, but the commit was not granted in time");
	else if (host->network_is_down && host->network_is_down(host->ctx, why))
		err = ota_context(why, OTA_NO_NETWORK_AFTER_UPDATE, "there is no network");
	else
		err = ota_fail(why, OTA_NO_CONNECTIVITY_AFTER_UPDATE,
			       "the broker was not reached in time: %s",
			       agent->link_why.text[0] ? agent->link_why.text : "no answer");
	if (err == OTA_NO_CONNECTIVITY_AFTER_UPDATE)
		why->detail = agent->link_why.detail;
}

/* It crashed and was started again so late that the time ran out on it. */
static bool is_the_crashs_fault(const struct agent *agent, enum ota_err err)
{
	return agent->crash.err && (err == OTA_NOT_RESPONDING ||
				    (err == OTA_NO_CONNECTIVITY_AFTER_UPDATE && agent->online));
}

static void explain(struct agent *agent, enum ota_err err, struct ota_why *why)
{
	if (is_the_crashs_fault(agent, err)) {
		*why = agent->crash;
		err = ota_context(why, why->err,
				  "the new version did not prove itself in time");
	} else if (err == OTA_NO_CONNECTIVITY_AFTER_UPDATE) {
		explain_link(agent, why);
	} else if (err == OTA_HEALTH_CHECK_FAILED) {
		err = ota_fail(why, err, "the health check did not pass in time: %s",
			       agent->health_why.text);
		why->detail = agent->health_why.detail;
	} else if (err == OTA_NOT_RESPONDING) {
		err = ota_fail(why, err, "the health check did not end in time");
		why->detail = agent->health_why.detail;
	} else {
		err = ota_fail(why, err, "%s", ota_err_sentence(err));
	}
}

/* Full for a while, and it was not before the restart. */
static bool disk_was_filled(struct agent *agent)
{
	const struct host *host = agent->parts.host;

	if (!(agent->journal->entry.flags & JOURNAL_DISK_HAD_ROOM) || !host->disk_is_full ||
	    !host->disk_is_full(host->ctx)) {
		agent->disk_full_ms = 0;
		return false;
	}
	if (!agent->disk_full_ms)
		agent->disk_full_ms = agent->now_ms;
	return agent->now_ms - agent->disk_full_ms >= AGENT_DISK_FULL_MS;
}

static uint64_t extend(struct agent *agent)
{
	struct journal_entry entry = agent->journal->entry;
	struct ota_why why = {0};

	entry.flags |= JOURNAL_TRIAL_EXTENDED;
	if (agent_store(agent, &entry, &why)) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "journal");
		return AGENT_RETRY_MS;
	}
	logbook_write(agent->log, LOG_LEVEL_WARNING,
		      "the outage is not this device's own: the trial is extended once");
	return 0;
}

static uint64_t ask_grant(struct agent *agent)
{
	/* The old version was granted its commit long ago. */
	if (agent->journal->entry.flags & JOURNAL_REVERT_ASKED) {
		agent_event(agent, EVENT_GRANTED);
		return 0;
	}
	if (agent->now_ms >= agent->grant_due_ms || !agent->nonce_is_trial) {
		agent->nonce_is_trial = true;
		agent->grant_due_ms = agent->now_ms + AGENT_GRANT_POLL_MS;
		agent_say_hello(agent);
	}
	return agent->grant_due_ms - agent->now_ms;
}

/* Since the last start, or since this trial began where that was later. */
static uint64_t running_ms(const struct agent *agent)
{
	return agent->now_ms - (agent->started_ms > agent->trial_since_ms
					? agent->started_ms
					: agent->trial_since_ms);
}

static enum trial_verdict judge(struct agent *agent, uint64_t *ret_wait_ms,
				enum ota_err *ret_err)
{
	const struct agent_settings *settings = &agent->parts.settings;
	const uint32_t flags = agent->journal->entry.flags;
	const struct trial_facts facts = {
		.elapsed_ms = agent->now_ms - agent->trial_since_ms,
		.running_ms = running_ms(agent),
		.confirm_timeout_ms = settings->confirm_timeout_ms,
		.health_timeout_ms = settings->health_timeout_ms,
		.probation_ms = settings->probation_ms,
		.health = agent->health,
		.link_up = agent->online && agent->link_fresh,
		.was_reachable = flags & JOURNAL_BROKER_WAS_REACHABLE,
		.extended = flags & JOURNAL_TRIAL_EXTENDED,
		.outage_known = agent->outage_known,
		.outage_elsewhere = agent->outage_elsewhere,
		.disk_full = disk_was_filled(agent),
	};

	return trial_judge(&facts, ret_wait_ms, ret_err);
}

uint64_t agent_prove(struct agent *agent)
{
	const struct host *host = agent->parts.host;
	struct ota_why why = {0};
	enum ota_err err;
	uint64_t wait_ms;

	if (!agent->trial_begun && !begin_trial(agent))
		return 0;
	if (!agent->version_runs)
		return AGENT_TRIAL_LOOK_MS; /* it crashed; the next start or the old version
					       follows */
	check_health(agent);
	switch (judge(agent, &wait_ms, &err)) {
	case TRIAL_WAIT:
		break;
	case TRIAL_ASK_GRANT:
		wait_ms = ask_grant(agent);
		break;
	case TRIAL_ASK_OUTAGE:
		agent->outage_elsewhere = host->outage_elsewhere(host->ctx);
		agent->outage_known = true;
		return 0;
	case TRIAL_EXTEND:
		return extend(agent);
	case TRIAL_UNFIT:
		explain(agent, err, &why);
		unfit(agent, &why);
		return 0;
	}
	if (wait_ms > AGENT_TRIAL_LOOK_MS)
		wait_ms = AGENT_TRIAL_LOOK_MS;
	/* A health check that runs has nothing to wake us with. */
	if (agent->health != TRIAL_HEALTH_GOOD && wait_ms > 250)
		wait_ms = 250;
	const uint64_t left_ms = agent->trial_since_ms +
				 agent->parts.settings.confirm_timeout_ms - agent->now_ms;
	if (agent->now_ms < agent->trial_since_ms + agent->parts.settings.confirm_timeout_ms &&
	    wait_ms > left_ms)
		wait_ms = left_ms;
	return wait_ms;
}
