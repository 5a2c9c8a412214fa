/* The runner of the state table. An event is looked up, the next state is written to the
 * journal, then the action is done, and repeated by each step until another event comes. The
 * one exception are the actions that end an update: they are done before the journal says idle,
 * so that no end goes unreported; that they may be repeated is seen to in agent_end(). */
#include "agent_inside.h"

#include "own.h"

#include <string.h>

enum agent_state agent_state_of(const struct agent *agent)
{
	return (enum agent_state)agent->journal->entry.state;
}

void agent_log(struct agent *agent, enum log_level level, const struct ota_why *why,
	       const char *what)
{
	logbook_write(agent->log, level, "%s: %s (%s)", what, why->text,
		      ota_err_name(why->err));
}

struct check_facts agent_facts(const struct agent *agent)
{
	const struct agent_settings *settings = &agent->parts.settings;

	return (struct check_facts){
		.trust = agent->parts.trust,
		.slots = agent->parts.slots,
		.device = settings->device,
		.product = settings->product,
		.hardware = settings->hardware,
		.groups = settings->groups,
		.development = settings->development,
		.version = agent->running.version,
		.image = agent->running.digest,
		.security_version = agent->running.security_version,
		.floor = agent->keep->floor.security_version,
		.number = agent->keep->floor.number,
		.time = agent->signed_time,
	};
}

enum ota_err agent_store(struct agent *agent, struct journal_entry *entry, struct ota_why *why)
{
	if (entry->state != AGENT_IDLE)
		entry->elapsed_ms += agent->now_ms - agent->attempt_since_ms;
	enum ota_err err = journal_write(agent->journal, entry, why);
	if (!err)
		agent->attempt_since_ms = agent->now_ms;
	return err;
}

void agent_drop_update(struct agent *agent)
{
	fetch_free(agent->fetch);
	agent->fetch = NULL;
	agent->asked_chunks = false;
	if (agent->has_update) {
		check_done(&agent->checked);
		json_done(&offer_shape, &agent->offer);
	}
	agent->has_update = false;
	agent->read_back = false;
	agent->forced = false;
	agent->component = 0;
	agent->fetched_before = agent->done_before = 0;
	agent->is_deferred = false;
	agent->deferred[0] = '\0';
	agent->trial_begun = false;
	agent_stop_check(agent);
}

static bool is_end(enum agent_action action)
{
	return action == ACTION_END_SUCCEEDED || action == ACTION_END_FAILED ||
	       action == ACTION_END_CANCELED || action == ACTION_END_SUPERSEDED ||
	       action == ACTION_END_ROLLED_BACK;
}

static void tell(struct agent *agent, enum update_state state, const struct ota_why *why)
{
	const struct agent_callbacks *callbacks = &agent->parts.callbacks;
	const char *version = agent->has_update ? agent->checked.firmware.document.version : "";

	if (callbacks->on_event && state != UPDATE_NONE)
		callbacks->on_event(callbacks->ctx, state, agent->journal->entry.release,
				    version, why);
}

static enum update_state end_state(enum agent_action action)
{
	switch (action) {
	case ACTION_END_SUCCEEDED:
		return UPDATE_SUCCEEDED;
	case ACTION_END_FAILED:
		return UPDATE_FAILED;
	case ACTION_END_CANCELED:
		return UPDATE_CANCELED;
	case ACTION_END_SUPERSEDED:
		return UPDATE_SUPERSEDED;
	case ACTION_END_ROLLED_BACK:
		return UPDATE_ROLLED_BACK;
	case ACTION_NONE:
	case ACTION_ASK_DOWNLOAD:
	case ACTION_PREPARE:
	case ACTION_FETCH:
	case ACTION_READ_BACK:
	case ACTION_ASK_INSTALL:
	case ACTION_ARM:
	case ACTION_ASK_RESTART:
	case ACTION_RESTART:
	case ACTION_PROVE:
	case ACTION_CONFIRM:
	case ACTION_REVERT:
	case AGENT_ACTION_COUNT:
		break;
	}
	return UPDATE_NONE;
}

static bool end_update(struct agent *agent, enum agent_action action)
{
	struct ota_why why = {0};
	struct journal_entry entry;
	enum ota_err err = agent_end(agent, action, &why);

	if (!err) {
		entry = agent->journal->entry;
		entry.state = AGENT_IDLE;
		entry.flags = 0;
		entry.restarts = 0;
		entry.trial_boots = 0;
		err = agent_store(agent, &entry, &why);
	}
	if (err) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "the end of the update was not noted");
		agent->refused = true;
		agent->action_due_ms = agent->now_ms + AGENT_RETRY_MS;
		return false;
	}
	if (action == ACTION_END_ROLLED_BACK &&
	    agent->parts.slots->settle(agent->parts.slots->ctx, &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "boot state");
	logbook_write(agent->log, LOG_LEVEL_INFO, "release %llu: %s",
		      (unsigned long long)entry.release, update_state_names[end_state(action)]);
	tell(agent, end_state(action), agent->failure.err ? &agent->failure : NULL);
	if (agent->failure.err)
		agent->last_error = agent->failure;
	memset(&agent->failure, 0, sizeof(agent->failure));
	agent_drop_update(agent);
	agent->action = ACTION_NONE;
	return true;
}

/* The state is reported when it is a step forward; what is repeated after a restart is not. */
static void report_step(struct agent *agent, enum agent_state from, enum agent_state to)
{
	const enum update_state state = agent_reported(to);
	struct ota_why why = {0};

	if (state <= agent_reported(from) || state == UPDATE_OFFERED ||
	    (agent->journal->entry.flags & JOURNAL_REVERT_ASKED))
		return;
	if (agent_report(agent, state, KEEP_STEP, NULL, NULL, NULL, &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "report");
	tell(agent, state, NULL);
}

bool agent_event(struct agent *agent, enum agent_event event)
{
	const enum agent_state state = agent_state_of(agent);
	struct journal_entry entry = agent->journal->entry;
	struct ota_why why = {0};
	struct agent_step step;

	if (agent_next(state, event, &step, &why)) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "event");
		return false;
	}
	if (is_end(step.action))
		return end_update(agent, step.action);
	if (step.next != state) {
		entry.state = step.next;
		if (agent_store(agent, &entry, &why)) {
			agent_log(agent, LOG_LEVEL_ERROR, &why, "journal");
			agent->refused = true;
			agent->action_due_ms = agent->now_ms + AGENT_RETRY_MS;
			return false;
		}
		logbook_write(agent->log, LOG_LEVEL_INFO, "release %llu: %s",
			      (unsigned long long)entry.release, agent_state_names[step.next]);
		report_step(agent, state, step.next);
	}
	agent->action = step.action;
	agent->action_due_ms = agent->now_ms;
	return true;
}

void agent_fail(struct agent *agent, const struct ota_why *why)
{
	agent->failure = *why;
	agent_log(agent, LOG_LEVEL_ERROR, why, "update");
	agent_event(agent,
		    agent_state_of(agent) >= AGENT_INSTALLED ? EVENT_UNFIT : EVENT_FAILED);
}

/* --- life --- */

static enum ota_err ask_mqtt(void *ctx, uint32_t transfer, const struct digest *blob,
			     uint64_t size, const struct get_range *ranges, unsigned count,
			     struct ota_why *why)
{
	struct agent *agent = ctx;
	struct get get = {.v = 1, .transfer = transfer, .blob = *blob, .range_count = count};
	char topic[TOPIC_SIZE];
	struct text payload = {0};

	(void)size;
	agent->asked_chunks = true;
	memcpy(get.ranges, ranges, count * sizeof(*ranges));
	enum ota_err err = get_write(&get, &payload, why);
	topic_of(TOPIC_GET, agent->parts.settings.device, topic);
	if (!err)
		err = agent->parts.link->publish(agent->parts.link->ctx, topic, payload.data,
						 payload.len, 0, why);
	text_done(&payload);
	return err;
}

enum ota_err agent_new(const struct agent_parts *parts, struct agent **ret_agent,
		       struct ota_why *why)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "agent");
	agent->parts = *parts;
	agent->journal = parts->journal;
	agent->keep = parts->keep;
	agent->log = parts->logbook;
	agent->consent = parts->consent;
	agent->mqtt = (struct source){.ctx = agent, .name = "mqtt", .ask = ask_mqtt};
	agent->now_ms = parts->host->boot_ms(parts->host->ctx);
	agent->attempt_since_ms = agent->now_ms;
	agent->mute_ms = AGENT_MUTE_MS;
	agent->signed_time = parts->settings.build_time;
	if (agent->keep->floor.time > agent->signed_time)
		agent->signed_time = agent->keep->floor.time;
	if (agent->journal->entry.reverts >= AGENT_REVERTS_MAX)
		agent->sit_out_until_ms = agent->now_ms + AGENT_SIT_OUT_MS;
	postbox_init(&agent->postbox, parts->keep, parts->link, parts->settings.device);
	enum ota_err err = parts->runner->begin(parts->runner->ctx, why);
	if (err) {
		free(agent);
		return err;
	}
	*ret_agent = agent;
	return OTA_OK;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	agent_drop_update(agent);
	trust_free(agent->parts.trust);
	free(agent);
}

static void take_runner_events(struct agent *agent)
{
	const struct runner *runner = agent->parts.runner;
	struct runner_event event;

	/* What could not be learned for a disk that did not answer is tried again. */
	if (agent->learn_due && agent->now_ms >= agent->learn_due_ms)
		agent_learn(agent, &agent->started);

	for (int i = 0; i < AGENT_EVENTS_PER_STEP && runner->next(runner->ctx, &event); i++) {
		if (event.kind == RUNNER_EXITED) {
			logbook_write(agent->log, LOG_LEVEL_WARNING, "application: %s",
				      event.why.text);
			agent->last_exit = agent->crash = event.why;
			agent->version_runs = false;
		} else if (event.kind == RUNNER_STARTED) {
			agent->started = event;
			agent_learn(agent, &event);
		}
	}
}

/* True when more may be waiting. */
static bool take_link_events(struct agent *agent)
{
	const struct link *link = agent->parts.link;
	struct link_event event;

	for (int i = 0; i < AGENT_EVENTS_PER_STEP; i++) {
		if (!link->next(link->ctx, &event))
			return false;
		agent_link_event(agent, &event);
		link->done(link->ctx, &event);
	}
	return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t agent_step(struct agent *agent)
{
	const struct link *link = agent->parts.link;
	const struct runner *runner = agent->parts.runner;
	struct ota_why why = {0};
	uint64_t wait_ms, next_ms;

	agent->now_ms = agent->parts.host->boot_ms(agent->parts.host->ctx);
	agent->log->now_ms = agent->now_ms;
	wait_ms = runner->tick(runner->ctx, agent->now_ms);
	take_runner_events(agent);
	if (!agent->learned || agent->learn_due)
		return least(wait_ms, AGENT_RETRY_MS);
	/* Before the link's events for the time, after them for what they made due. */
	link->tick(link->ctx, agent->now_ms);
	const bool more = take_link_events(agent);
	wait_ms = agent_act(agent);
	wait_ms = least(wait_ms, agent_repeat_hello(agent));
	wait_ms = least(wait_ms, agent_tell_consent(agent));
	wait_ms = least(wait_ms, agent_watch_link(agent));
	if (postbox_tick(&agent->postbox, agent->now_ms, &next_ms, &why)) {
		logbook_write(agent->log, LOG_LEVEL_DEBUG, "reports: %s", why.text);
		next_ms = AGENT_RETRY_MS;
	}
	wait_ms = least(wait_ms, next_ms);
	wait_ms = least(wait_ms, link->tick(link->ctx, agent->now_ms));
	wait_ms = least(wait_ms, runner->tick(runner->ctx, agent->now_ms));
	return more ? 0 : wait_ms;
}

int agent_fd(const struct agent *agent)
{
	return agent->fetch && agent->action == ACTION_FETCH ? fetch_fd(agent->fetch) : -1;
}

enum ota_err agent_hold(struct agent *agent, enum consent_gate gate, uint64_t lease_ms,
			const char *reason, struct ota_why *why)
{
	agent->now_ms = agent->parts.host->boot_ms(agent->parts.host->ctx);
	agent->action_due_ms = agent->consent_due_ms = agent->now_ms;
	return consent_hold(&agent->consent, gate, agent->now_ms, lease_ms, reason, why);
}

void agent_release(struct agent *agent, enum consent_gate gate)
{
	consent_release(&agent->consent, gate);
	agent->action_due_ms = agent->consent_due_ms = 0;
}

const struct root_document *agent_root(const struct agent *agent)
{
	return trust_root(agent->parts.trust);
}

bool agent_is_reverting(const struct agent *agent)
{
	return agent->learned && agent_state_of(agent) == AGENT_REVERTING;
}

bool agent_is_proving(const struct agent *agent, bool unknown)
{
	if (!agent->learned)
		return unknown;
	return agent_state_of(agent) == AGENT_TRIAL || agent_is_reverting(agent);
}

void agent_look(struct agent *agent, struct agent_view *ret_view)
{
	const struct journal_entry *entry = &agent->journal->entry;
	struct agent_view view = {.state = agent_reported(agent_state_of(agent)),
				  .release = entry->release,
				  .attempt = entry->attempt,
				  .digest = agent->running.digest,
				  .slot = agent->running.slot == BOOT_SLOT_A ? 'a' : 'b',
				  .online = agent->online,
				  .trial = agent_state_of(agent) == AGENT_TRIAL,
				  .reports = agent->keep->report_count,
				  .last_error = agent->last_error};

	text_copy(view.version, sizeof(view.version), agent->running.version);
	if (agent->is_deferred && view.state == UPDATE_OFFERED)
		view.state = UPDATE_DEFERRED;
	if (agent->has_update)
		text_copy(view.target_version, sizeof(view.target_version),
			  agent->checked.firmware.document.version);
	if (agent->fetch) {
		struct fetch_progress progress;

		fetch_progress(agent->fetch, &progress);
		view.done = agent->done_before + progress.done;
		view.total = progress.total;
		view.fetched = entry->fetched;
	}
	for (unsigned i = 0; i < CONSENT_GATE_COUNT; i++) {
		char reason[CONSENT_REASON_MAX + 1];
		uint64_t left_ms;

		view.open[i] = agent_gate(agent, (enum consent_gate)i, reason, &left_ms);
		if (!view.open[i] && !view.reason[0])
			text_copy(view.reason, sizeof(view.reason), reason);
	}
	*ret_view = view;
}
