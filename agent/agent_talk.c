/* What the agent says to the plugin and hears from it, but for offers. */
#include "agent_inside.h"

#include "own.h"
#include "trial.h"

#include <string.h>

static void done_text(struct text *text)
{
	text_done(text);
}

/* --- reports --- */

static void fill_error(struct report *report, const struct ota_why *error, const char *log)
{
	report->has_error = true;
	text_copy(report->error.name, sizeof(report->error.name), ota_err_name(error->err));
	report->error.number = (uint32_t)error->err;
	text_sanitize(report->error.message, sizeof(report->error.message), error->text,
		      strlen(error->text), false);
	report->error.detail = error->detail > 0 ? (uint32_t)error->detail : 0;
	report->error.log = (char *)(uintptr_t)log; /* only read */
}

static void fill_common(const struct agent *agent, struct report *report)
{
	text_copy(report->version, sizeof(report->version), agent->running.version);
	report->digest = agent->running.digest;
}

enum ota_err agent_report(struct agent *agent, enum update_state state,
			  enum keep_report_kind kind, const struct ota_why *error,
			  const char *log, const char *reason, struct ota_why *why)
{
	const struct journal_entry *entry = &agent->journal->entry;
	struct report report = {.release = entry->release,
				.attempt = entry->attempt,
				.state = state,
				.at_ms = entry->elapsed_ms +
					 (agent->now_ms - agent->attempt_since_ms),
				.fetched = entry->fetched};

	fill_common(agent, &report);
	if (agent->has_update) {
		for (uint32_t i = 0; i < agent->checked.firmware.document.component_count; i++)
			report.total += agent->checked.firmware.document.components[i].size;
		report.done = state >= UPDATE_DOWNLOADED && state <= UPDATE_SUCCEEDED
				      ? report.total
				      : entry->done;
	}
	if (reason)
		text_copy(report.reason, sizeof(report.reason), reason);
	if (error) {
		fill_error(&report, error, log);
		report.error.state = agent_reported(agent_state_of(agent));
		if (report.error.state == UPDATE_NONE)
			report.error.state = state;
	}
	return postbox_add(&agent->postbox, &report, kind, why);
}

enum ota_err agent_report_other(struct agent *agent, uint64_t release, uint32_t attempt,
				enum update_state state, const struct ota_why *error,
				struct ota_why *why)
{
	struct report report = {.release = release, .attempt = attempt, .state = state};

	fill_common(agent, &report);
	if (error) {
		fill_error(&report, error, NULL);
		report.error.state = UPDATE_OFFERED;
	}
	return postbox_add(&agent->postbox, &report, KEEP_FINAL, why);
}

/* --- hello and consent --- */

static void gather_consent(struct agent *agent, struct consent_gates *ret_gates,
			   char *ret_reason, uint64_t *ret_lease_s)
{
	bool *gates[CONSENT_GATE_COUNT] = {&ret_gates->download, &ret_gates->install,
					   &ret_gates->restart};

	ret_reason[0] = '\0';
	*ret_lease_s = 0;
	for (unsigned i = 0; i < CONSENT_GATE_COUNT; i++) {
		char reason[CONSENT_REASON_MAX + 1];
		uint64_t left_ms;

		*gates[i] = agent_gate(agent, (enum consent_gate)i, reason, &left_ms);
		if (*gates[i])
			continue;
		if (!ret_reason[0])
			text_copy(ret_reason, CONSENT_REASON_MAX + 1, reason);
		if (left_ms / 1000 > *ret_lease_s)
			*ret_lease_s = left_ms / 1000;
	}
}

static void fill_update(const struct agent *agent, struct hello *hello)
{
	const struct journal_entry *entry = &agent->journal->entry;
	const enum agent_state state = agent_state_of(agent);

	if (state == AGENT_IDLE)
		return;
	hello->has_update = true;
	hello->update.release = entry->release;
	hello->update.attempt = entry->attempt;
	hello->update.state = agent_reported(state);
	if (state == AGENT_OFFERED && agent->is_deferred)
		hello->update.state = UPDATE_DEFERRED;
	if (state != AGENT_TRIAL)
		return;
	hello->boot = BOOT_TRIAL;
	/* Asking for the grant is saying that the version is healthy. */
	if (!agent->nonce_is_trial)
		return;
	hello->has_trial = true;
	hello->trial.release = entry->release;
	hello->trial.attempt = entry->attempt;
}

static void fill_previous(struct agent *agent, struct hello *hello)
{
	const enum boot_slot other = agent_other_slot(agent);
	struct agent_content content;
	struct boot_state boot;

	if (!agent->parts.slots->state(agent->parts.slots->ctx, &boot, NULL) &&
	    boot.bootable[other] && !agent_content_of(agent, other, &content, NULL))
		hello->previous = content.digest;
}

void agent_say_hello(struct agent *agent)
{
	const struct agent_settings *settings = &agent->parts.settings;
	AUTO(done_text) struct text payload = {0};
	struct hello hello = {.v = 1,
			      .digest = agent->running.digest,
			      .security_version = agent->running.security_version,
			      .floor = agent->keep->floor.security_version,
			      .root = trust_root(agent->parts.trust)->version,
			      .number = agent->keep->floor.number};
	struct ota_why why = {0};
	char topic[TOPIC_SIZE];

	if (!agent->online)
		return;
	enum ota_err err = agent->parts.host->random(agent->parts.host->ctx, agent->nonce,
						     sizeof(agent->nonce), &why);
	memcpy(hello.nonce, agent->nonce, sizeof(hello.nonce));
	text_copy(hello.agent, sizeof(hello.agent), OTA_VERSION);
	text_copy(hello.product, sizeof(hello.product), settings->product);
	text_copy(hello.hardware, sizeof(hello.hardware), settings->hardware);
	text_copy(hello.version, sizeof(hello.version), agent->running.version);
	if (agent->parts.slots->capacity(agent->parts.slots->ctx, 0, &hello.slot_size, NULL))
		hello.slot_size = 0;
	gather_consent(agent, &hello.consent, hello.reason, &hello.lease_s);
	agent->asked_hello = true;
	agent->told = hello.consent;
	agent->told_ms = agent->now_ms;
	text_copy(agent->told_reason, sizeof(agent->told_reason), hello.reason);
	text_copy(hello.window, sizeof(hello.window), agent->consent.window);
	fill_update(agent, &hello);
	fill_previous(agent, &hello);
	if (!err)
		err = json_write(&hello_shape, &hello, &payload, &why);
	topic_of(TOPIC_HELLO, settings->device, topic);
	if (!err)
		err = agent->parts.link->publish(agent->parts.link->ctx, topic, payload.data,
						 payload.len, 1, &why);
	if (err)
		agent_log(agent, LOG_LEVEL_WARNING, &why, "hello");
	agent->hello_due_ms = agent->now_ms + (err ? AGENT_RETRY_MS : AGENT_HELLO_MS);
}

uint64_t agent_repeat_hello(struct agent *agent)
{
	if (!agent->online || agent->welcomed)
		return UINT64_MAX;
	if (agent->now_ms >= agent->hello_due_ms)
		agent_say_hello(agent);
	return agent->hello_due_ms - agent->now_ms;
}

static bool is_news(const struct agent *agent, const struct consent *consent)
{
	if (consent->consent.download != agent->told.download ||
	    consent->consent.install != agent->told.install ||
	    consent->consent.restart != agent->told.restart)
		return true;
	/* A reason may count minutes: that is worth a message now and then. */
	return strcmp(consent->reason, agent->told_reason) != 0 &&
	       agent->now_ms >= agent->told_ms + AGENT_REASON_MS;
}

uint64_t agent_tell_consent(struct agent *agent)
{
	AUTO(done_text) struct text payload = {0};
	struct consent consent = {.v = 1};
	struct ota_why why = {0};
	char topic[TOPIC_SIZE];

	if (!agent->online || !agent->welcomed)
		return UINT64_MAX;
	if (agent->now_ms < agent->consent_due_ms)
		return agent->consent_due_ms - agent->now_ms;
	gather_consent(agent, &consent.consent, consent.reason, &consent.lease_s);
	/* An application is asked again; a lease or a window ends by itself. */
	const uint64_t wait_ms = agent->parts.callbacks.may ? AGENT_GATE_POLL_MS
				 : consent.lease_s	    ? consent.lease_s * 1000 + 1000
							    : 30000;
	agent->consent_due_ms = agent->now_ms + wait_ms;
	if (!is_news(agent, &consent))
		return wait_ms;
	text_copy(consent.window, sizeof(consent.window), agent->consent.window);
	topic_of(TOPIC_CONSENT, agent->parts.settings.device, topic);
	enum ota_err err = json_write(&consent_shape, &consent, &payload, &why);
	if (!err)
		err = agent->parts.link->publish(agent->parts.link->ctx, topic, payload.data,
						 payload.len, 1, &why);
	if (err)
		return wait_ms; /* said again then, or with the next hello */
	agent->told = consent.consent;
	agent->told_ms = agent->now_ms;
	text_copy(agent->told_reason, sizeof(agent->told_reason), consent.reason);
	return wait_ms;
}

/* --- control --- */

/* True when one was newer than the root that was known. */
static bool take_roots(struct agent *agent, const struct control *control)
{
	struct ota_why why = {0};
	bool newer = false;

	for (uint32_t i = 0; i < control->root_count; i++) {
		const char *text = control->roots[i].envelope;
		enum ota_err err = trust_advance(agent->parts.trust, text, strlen(text), &why);

		if (!err)
			err = keep_put(agent->keep, KEEP_ROOT, text, strlen(text), &why);
		if (err) {
			agent_log(agent, LOG_LEVEL_ERROR, &why, "new trust root");
			agent->last_error = why;
			break;
		}
		newer = true;
		logbook_write(agent->log, LOG_LEVEL_INFO, "trust root version %llu",
			      (unsigned long long)trust_root(agent->parts.trust)->version);
	}
	/* The plugin is to know who has it; and the answer may bring the roots that did not fit
	 * into this one. */
	if (newer)
		agent_say_hello(agent);
	return newer;
}

static void take_head(struct agent *agent, const char *text)
{
	struct head_document head;
	struct ota_why why = {0};

	if (trust_head(agent->parts.trust, text, strlen(text), &head, &why)) {
		agent_log(agent, LOG_LEVEL_WARNING, &why, "head");
		return;
	}
	const struct keep_floor floor = {.time = head.created};
	if (head.created > agent->signed_time)
		agent->signed_time = head.created;
	if (keep_floor_raise(agent->keep, &floor, &why) ||
	    keep_put(agent->keep, KEEP_HEAD, text, strlen(text), &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "head");
	head_done(&head);
}

static void subscribe_fleet(struct agent *agent, const struct control *control)
{
	struct topic topic = {.kind = TOPIC_RELEASE};
	char text[TOPIC_SIZE];
	struct ota_why why = {0};

	if (control->status != DEVICE_APPROVED || !control->shards)
		return;
	text_copy(topic.name, sizeof(topic.name), control->product);
	topic.shard = name_shard(agent->parts.settings.device, control->shards);
	topic_format(&topic, text);
	enum ota_err err = agent->parts.link->subscribe(agent->parts.link->ctx, text, &why);
	topic.kind = TOPIC_RELEASE_GROUP;
	for (uint32_t i = 0; i < control->group_count && !err; i++) {
		text_copy(topic.group, sizeof(topic.group), control->groups[i].text);
		topic_format(&topic, text);
		err = agent->parts.link->subscribe(agent->parts.link->ctx, text, &why);
	}
	if (err)
		agent_log(agent, LOG_LEVEL_WARNING, &why, "fleet topics");
}

static void take_welcome(struct agent *agent, const struct control *control)
{
	if (memcmp(control->nonce, agent->nonce, sizeof(agent->nonce)))
		return; /* the answer to an earlier hello */
	const bool first = !agent->welcomed;
	agent->welcomed = true;
	agent->asked_hello = false;
	agent->broker_time = control->time;
	agent->broker_time_ms = agent->now_ms;
	if (first)
		logbook_write(agent->log, LOG_LEVEL_INFO, "the plugin knows this device as %s",
			      device_status_names[control->status]);
	agent_end_doubt(agent, take_roots(agent, control));
	if (control->head)
		take_head(agent, control->head);
	if (first)
		subscribe_fleet(agent, control);
}

static void take_grant(struct agent *agent, const struct control *control)
{
	const struct journal_entry *entry = &agent->journal->entry;

	if (agent_state_of(agent) != AGENT_TRIAL || !agent->nonce_is_trial ||
	    memcmp(control->nonce, agent->nonce, sizeof(agent->nonce)) ||
	    control->release != entry->release || control->attempt != entry->attempt ||
	    agent->health != TRIAL_HEALTH_GOOD) {
		logbook_write(agent->log, LOG_LEVEL_WARNING,
			      "a grant for release %llu that was not asked for",
			      (unsigned long long)control->release);
		return;
	}
	agent_event(agent, EVENT_GRANTED);
}

static void take_cancel(struct agent *agent, const struct control *control)
{
	static const char *const reasons[] = {"aborted", "superseded", "removed", "expired"};
	const enum agent_state state = agent_state_of(agent);

	if (state == AGENT_IDLE || control->release != agent->journal->entry.release)
		return;
	logbook_write(agent->log, LOG_LEVEL_INFO, "release %llu is canceled: %s",
		      (unsigned long long)control->release, reasons[control->reason]);
	if (agent_state_is_committed(state))
		return; /* it finishes, and says so */
	agent_event(agent,
		    control->reason == CANCEL_SUPERSEDED ? EVENT_SUPERSEDED : EVENT_CANCELED);
}

static void take_control(struct agent *agent, const void *payload, size_t len)
{
	struct control control;
	struct ota_why why = {0};

	if (control_read(payload, len, &control, &why)) {
		agent_log(agent, LOG_LEVEL_WARNING, &why, "control");
		return;
	}
	switch (control.type) {
	case CONTROL_WELCOME:
		take_welcome(agent, &control);
		break;
	case CONTROL_ACK:
		if (postbox_ack(&agent->postbox, control.seqs, control.seq_count, agent->now_ms,
				&why))
			agent_log(agent, LOG_LEVEL_WARNING, &why, "acknowledged reports");
		break;
	case CONTROL_GRANT:
		take_grant(agent, &control);
		break;
	case CONTROL_CANCEL:
		take_cancel(agent, &control);
		break;
	case CONTROL_REVERT:
		agent_return(agent, control.release);
		break;
	case CONTROL_RESUME:
		agent->action_due_ms = agent->now_ms; /* the gates are asked again now */
		break;
	case CONTROL_REHELLO:
		agent->welcomed = false;
		agent_say_hello(agent);
		break;
	case CONTROL_TYPE_COUNT:
		break;
	}
	control_done(&control);
}

static void take_chunk(struct agent *agent, const void *payload, size_t len)
{
	struct chunk chunk;
	struct ota_why why = {0};

	if (!agent->fetch || chunk_read(payload, len, &chunk, &why))
		return; /* late, or no chunk at all: asked again if it was wanted */
	const struct source_answer answer = {.kind = chunk.kind,
					     .err = chunk.err,
					     .transfer = chunk.transfer,
					     .number = chunk.number,
					     .data = chunk.data,
					     .len = chunk.data_len};
	if (fetch_answer(agent->fetch, agent->now_ms, &answer, &why)) {
		agent_stop_fetch(agent);
		agent_fail(agent, &why);
	}
	agent->action_due_ms = agent->now_ms;
}

/* --- the link --- */

static void take_message(struct agent *agent, const struct link_event *event)
{
	switch (event->topic.kind) {
	case TOPIC_CHUNK:
		take_chunk(agent, event->payload, event->len);
		break;
	case TOPIC_CONTROL_DEVICE:
		take_control(agent, event->payload, event->len);
		break;
	case TOPIC_OFFER:
	case TOPIC_RELEASE:
	case TOPIC_RELEASE_GROUP:
		agent_offer(agent, event->payload, event->len);
		break;
	case TOPIC_OTHER:
	case TOPIC_UNKNOWN:
	case TOPIC_HELLO:
	case TOPIC_REPORT:
	case TOPIC_CONSENT:
	case TOPIC_GET:
	case TOPIC_EVENTS:
	case TOPIC_COMMAND:
	case TOPIC_UPLOAD:
	case TOPIC_REPLY:
	case TOPIC_KIND_COUNT:
		logbook_write(agent->log, LOG_LEVEL_WARNING,
			      "a message on a topic that was not subscribed to");
		break;
	}
}

static void take_up(struct agent *agent)
{
	agent->online = true;
	agent->welcomed = false;
	agent->link_failures = 0;
	agent->link_fresh = true;
	agent->nonce_is_trial = false;
	logbook_write(agent->log, LOG_LEVEL_INFO, "connected to the broker");
	agent_say_hello(agent);
	postbox_online(&agent->postbox, true);
	agent->grant_due_ms = agent->now_ms;
	if (agent->fetch)
		fetch_again(agent->fetch);
	agent->action_due_ms = agent->now_ms;
}

static void take_down(struct agent *agent, const struct link_event *event)
{
	agent->link_why = event->why;
	agent->link_failures++;
	/* The first of a row, then ever fewer: an outage must not fill the log. */
	if ((agent->link_failures & (agent->link_failures - 1)) == 0)
		agent_log(agent, LOG_LEVEL_WARNING, &event->why, "broker");
	agent->online = false;
	agent->welcomed = false;
	postbox_online(&agent->postbox, false);
	if (agent_state_of(agent) == AGENT_TRIAL &&
	    agent->now_ms >= agent->evidence_ms + AGENT_JOURNAL_MS) {
		agent->evidence_ms = agent->now_ms;
		agent_keep_evidence(agent, OTA_NO_CONNECTIVITY_AFTER_UPDATE, event->why.detail,
				    event->why.text);
	}
}

static uint64_t mute_ms(const struct agent *agent)
{
	return agent_state_of(agent) == AGENT_TRIAL
		       ? trial_mute_ms(agent->parts.settings.confirm_timeout_ms, agent->mute_ms)
		       : agent->mute_ms;
}

uint64_t agent_watch_link(struct agent *agent)
{
	const bool awaits = agent->online && (agent->asked_hello || agent->asked_chunks ||
					      agent->keep->report_count > 0);
	const uint64_t patience_ms = mute_ms(agent);

	if (awaits && !agent->awaits)
		agent->silent_ms = agent->now_ms;
	agent->awaits = awaits;
	if (!awaits)
		return UINT64_MAX;
	if (agent->now_ms < agent->silent_ms + patience_ms)
		return agent->silent_ms + patience_ms - agent->now_ms;
	logbook_write(agent->log, LOG_LEVEL_WARNING,
		      "the broker has not answered for %llu s: connecting anew",
		      (unsigned long long)(patience_ms / 1000));
	if (patience_ms == agent->mute_ms)
		agent->mute_ms = agent->mute_ms * 2 < AGENT_MUTE_MAX_MS ? agent->mute_ms * 2
									: AGENT_MUTE_MAX_MS;
	agent->online = agent->welcomed = agent->awaits = false;
	postbox_online(&agent->postbox, false);
	agent->parts.link->renew(agent->parts.link->ctx);
	return 0;
}

void agent_link_event(struct agent *agent, const struct link_event *event)
{
	switch (event->kind) {
	case LINK_UP:
		agent->awaits = false;
		take_up(agent);
		break;
	case LINK_DOWN:
	case LINK_FAILED:
		take_down(agent, event);
		break;
	case LINK_MESSAGE:
		agent->silent_ms = agent->now_ms;
		agent->mute_ms = AGENT_MUTE_MS;
		agent->asked_chunks = false;
		take_message(agent, event);
		break;
	case LINK_NONE:
		break;
	}
}
