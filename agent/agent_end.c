/* The end of an update: what is reported, with its cause and evidence, before the journal says
 * idle. */
#include "agent_inside.h"

#include "measure.h"
#include "own.h"

#include <string.h>

static enum ota_err end_succeeded(struct agent *agent, struct ota_why *why)
{
	const bool returned = agent->journal->entry.flags & JOURNAL_REVERT_ASKED;
	enum ota_err err = OTA_OK;

	if (returned) {
		err = ota_fail(&agent->failure, OTA_REVERTED_BY_MANAGER,
			       "the manager wanted the previous version back");
		return agent_report(agent, UPDATE_ROLLED_BACK, KEEP_FINAL, &agent->failure,
				    NULL, NULL, why);
	}
	if (agent->has_update) {
		const struct keep_floor floor = {
			.security_version = agent->checked.firmware.document.raise_floor_to};

		err = keep_floor_raise(agent->keep, &floor, why);
	}
	if (!err)
		err = keep_remove(agent->keep, KEEP_EVIDENCE, why);
	return err ? err
		   : agent_report(agent, UPDATE_SUCCEEDED, KEEP_FINAL, NULL, NULL, NULL, why);
}

/* What an update's end was told of must not start any more: an arm that failed half-way, or a
 * trial whose start could not be counted, so that the old version runs with tries left. */
static enum ota_err disarm(struct agent *agent, const struct boot_state *boot,
			   struct ota_why *why)
{
	if (boot->phase != BOOT_ARMED && boot->phase != BOOT_TRYING)
		return OTA_OK;
	return agent->parts.slots->revert(agent->parts.slots->ctx, why);
}

static enum ota_err end_failed(struct agent *agent, struct ota_why *why)
{
	AUTO_FREE char *log = logbook_tail(agent->log, MESSAGE_LOG_MAX);
	struct boot_state boot;

	enum ota_err err = agent->parts.slots->state(agent->parts.slots->ctx, &boot, why);
	if (!err)
		err = disarm(agent, &boot, why);
	if (err)
		return err;
	return agent_report(agent, UPDATE_FAILED, KEEP_FINAL, &agent->failure, log, NULL, why);
}

/* True when the failed image ends before its own contents do. */
static bool is_truncated(struct agent *agent, uint64_t *ret_has, uint64_t *ret_needs)
{
	const struct slots *slots = agent->parts.slots;
	const struct firmware_component *component;
	uint8_t head[MEASURE_HEAD];

	if (!agent->has_update)
		return false;
	component = &agent->checked.firmware.document.components[0];
	const size_t len =
		component->size < sizeof(head) ? (size_t)component->size : sizeof(head);
	if (slots->read(slots->ctx, SLOT_TARGET, agent->checked.parts[0], 0, head, len, NULL))
		return false;
	*ret_has = component->size;
	*ret_needs = measure_image(head, len);
	return *ret_needs > *ret_has;
}

/* The tries are used up: by what? */
static enum ota_err crash_cause(struct agent *agent)
{
	const struct ota_why *last = &agent->last_exit;
	uint64_t has, needs;
	enum ota_err err = last->err ? last->err : OTA_CRASH_LOOP;

	if (is_truncated(agent, &has, &needs))
		err = ota_fail(&agent->failure, OTA_IMAGE_TRUNCATED,
			       "the image has %llu bytes and by its own header %llu; it was "
			       "started %u times%s%s",
			       (unsigned long long)has, (unsigned long long)needs, AGENT_TRIES,
			       last->text[0] ? ": " : "", last->text);
	else
		err = ota_fail(
			&agent->failure, err,
			"the new version was started %u times and never proved itself%s%s",
			AGENT_TRIES, last->text[0] ? ": " : "", last->text);
	agent->failure.detail = last->detail;
	return err;
}

/* Why did the new version not stay? What it wrote down itself, unless it never got so far. */
static void gather_cause(struct agent *agent, const struct boot_state *boot,
			 const struct agent_evidence *evidence, bool has_evidence)
{
	const struct journal_entry *entry = &agent->journal->entry;
	enum ota_err err;

	if (agent->failure.err)
		return;
	if (boot->phase == BOOT_RETURNED && boot->exhausted) {
		err = crash_cause(agent);
	} else if (entry->cause && ota_err_from_number(entry->cause, &err)) {
		err = ota_fail(&agent->failure, err, "%s",
			       has_evidence ? evidence->message : ota_err_sentence(err));
		agent->failure.detail = (int)entry->cause_detail;
	} else if (has_evidence && ota_err_from_number(evidence->err, &err)) {
		err = ota_fail(&agent->failure, err, "%s", evidence->message);
		agent->failure.detail = (int)evidence->detail;
	} else {
		const struct ota_why *last = &agent->last_exit;

		err = ota_fail(&agent->failure, last->err ? last->err : OTA_CRASH_LOOP,
			       "the old version runs again%s%s",
			       last->text[0] ? ": " : " and nothing says why", last->text);
		agent->failure.detail = last->detail;
	}
	(void)err;
}

static enum ota_err end_rolled_back(struct agent *agent, struct ota_why *why)
{
	struct journal_entry *entry = &agent->journal->entry;
	struct agent_evidence evidence = {0};
	AUTO_FREE char *log = NULL;
	struct boot_state boot;
	enum ota_err err = agent->parts.slots->state(agent->parts.slots->ctx, &boot, why);

	if (err)
		return err;
	const bool has_evidence = agent_read_evidence(agent, &evidence) &&
				  evidence.release == entry->release &&
				  evidence.attempt == entry->attempt;
	gather_cause(agent, &boot, &evidence, has_evidence);
	log = logbook_tail(agent->log, MESSAGE_LOG_MAX);
	err = disarm(agent, &boot, why);
	if (!err)
		err = agent_report(agent, UPDATE_ROLLED_BACK, KEEP_FINAL, &agent->failure,
				   has_evidence && evidence.log && strlen(evidence.log) > 0
					   ? evidence.log
					   : log,
				   NULL, why);
	agent_evidence_done(&evidence);
	if (!err)
		err = keep_remove(agent->keep, KEEP_EVIDENCE, why);
	if (err)
		return err;
	entry->reverts = entry->reverted_release == entry->release ? entry->reverts + 1 : 1;
	entry->reverted_release = entry->release;
	entry->reverted_cause = (uint32_t)agent->failure.err;
	if (entry->reverts >= AGENT_REVERTS_MAX)
		agent->sit_out_until_ms = agent->now_ms + AGENT_SIT_OUT_MS;
	return OTA_OK;
}

enum ota_err agent_end(struct agent *agent, enum agent_action action, struct ota_why *why)
{
	const struct journal_entry *entry = &agent->journal->entry;
	enum update_state state;

	if (postbox_has_final(&agent->postbox, entry->release, entry->attempt))
		return OTA_OK; /* said before a cut; only the journal did not know */
	if (action == ACTION_END_SUCCEEDED)
		return end_succeeded(agent, why);
	if (action == ACTION_END_FAILED)
		return end_failed(agent, why);
	if (action == ACTION_END_ROLLED_BACK)
		return end_rolled_back(agent, why);
	state = action == ACTION_END_CANCELED ? UPDATE_CANCELED : UPDATE_SUPERSEDED;
	return agent_report(agent, state, KEEP_FINAL, NULL, NULL, NULL, why);
}
