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

/* The firmware document of the previous slot takes the place of the one in hand. */
static enum ota_err load_previous(struct agent *agent, struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	struct trusted_firmware firmware;
	struct boot_state boot;
	size_t len;
	enum ota_err err = agent->parts.slots->state(agent->parts.slots->ctx, &boot, why);

	if (err)
		return err;
	const enum boot_slot other =
		agent->running.slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
	if (!boot.bootable[other])
		return ota_fail(why, OTA_SLOT_ERROR, "the previous slot holds no version");
	agent->journal->entry.target = other;
	err = keep_get(agent->keep, agent_firmware_item(other), &text, &len, why);
	if (err)
		return ota_context(why, err, "the previous version");
	err = trust_firmware(agent->parts.trust, text, len, &firmware, why);
	if (err)
		return ota_context(why, err, "the previous version");
	firmware_done(&agent->checked.firmware.document);
	agent->checked.firmware = firmware;
	return OTA_OK;
}

void agent_return(struct agent *agent, uint64_t release)
{
	struct ota_why why = {0};
	enum ota_err err = may_return(agent, release, &why);

	if (!err)
		err = load_previous(agent, &why);
	if (err) {
		agent_log(agent, LOG_LEVEL_WARNING, &why, "the way back is refused");
		if (agent_state_of(agent) == AGENT_IDLE)
			agent_drop_update(agent);
		return;
	}
	agent->journal->entry.flags = JOURNAL_REVERT_ASKED;
	agent->journal->entry.restarts = 0;
	agent_event(agent, EVENT_RETURN);
}
