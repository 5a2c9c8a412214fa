/* Going back because a manager said so: obeyed only if the release that runs was signed with
 * `rollback_on_halt`, and only to a version that is whole. Nothing is downloaded; the previous
 * slot is read back, armed and started like a new version, and made permanent once it is
 * healthy. */
#include "agent_inside.h"

#include "own.h"

#include <string.h>

static enum ota_err may_return(struct agent *agent, uint64_t release, struct ota_why *why)
{
	if (agent_state_of(agent) != AGENT_IDLE)
		return ota_fail(why, OTA_BUSY, "an update is under way");
	if (release != agent->journal->entry.release)
		return ota_fail(why, OTA_RELEASE_STALE, "release %llu is not what runs",
				(unsigned long long)release);
	enum ota_err err = agent_reload(agent, why);
	if (err)
		return err;
	if (agent->checked.release.document.number != release ||
	    !check_is_installed(&(struct check_facts){.version = agent->running.version,
						      .image = agent->running.digest},
				&agent->checked))
		return ota_fail(why, OTA_RELEASE_STALE, "release %llu is not what runs",
				(unsigned long long)release);
	if (!agent->checked.release.document.rollback_on_halt)
		return ota_fail(why, OTA_VERSION_NOT_ALLOWED,
				"release %llu was not signed with rollback_on_halt",
				(unsigned long long)release);
	return OTA_OK;
}

/* What the previous slot holds takes the place of what is in hand: it is what is read back,
 * armed and proved from here on. A firmware must still be signed by today's keys; the factory's
 * version needs no more than its record. */
enum ota_err agent_load_return(struct agent *agent, struct ota_why *why)
{
	struct firmware_component *component = &agent->checked.firmware.document.components[0];
	const enum boot_slot slot = (enum boot_slot)agent->journal->entry.target;
	AUTO_FREE char *text = NULL;
	struct trusted_firmware firmware;
	struct agent_content content;
	size_t len;
	enum ota_err err = keep_get(agent->keep, agent_firmware_item(slot), &text, &len, why);

	if (!err) {
		err = trust_firmware(agent->parts.trust, text, len, &firmware, why);
		if (err)
			return ota_context(why, err, "the previous version");
		firmware_done(&agent->checked.firmware.document);
		agent->checked.firmware = firmware;
		return OTA_OK;
	}
	err = agent_content_of(agent, slot, &content, why);
	if (err)
		return ota_context(why, err, "the previous version");
	agent->checked.firmware.document.component_count = 1;
	component->size = content.size;
	component->sha256 = content.digest;
	return OTA_OK;
}

void agent_return(struct agent *agent, uint64_t release)
{
	struct ota_why why = {0};
	struct boot_state boot;
	enum ota_err err = may_return(agent, release, &why);

	if (!err)
		err = agent->parts.slots->state(agent->parts.slots->ctx, &boot, &why);
	if (!err && !boot.bootable[agent_other_slot(agent)])
		err = ota_fail(&why, OTA_SLOT_ERROR, "the previous slot holds no version");
	if (!err) {
		agent->journal->entry.target = agent_other_slot(agent);
		err = agent_load_return(agent, &why);
	}
	if (err) {
		agent_log(agent, LOG_LEVEL_WARNING, &why, "the way back is refused");
		if (agent_state_of(agent) == AGENT_IDLE)
			agent_drop_update(agent);
		return;
	}
	agent->journal->entry.flags = JOURNAL_REVERT_ASKED | JOURNAL_BROKER_WAS_REACHABLE;
	agent->journal->entry.restarts = 0;
	agent_event(agent, EVENT_RETURN);
}
