/* Learning where the device stands: after the agent's own start and after each start of a
 * version. The boot state is the truth; the journal only says what was meant. */
#include "agent_inside.h"

#include "own.h"

#include <string.h>

struct factory {
	uint32_t v;
	char version[NAME_SIZE];
	uint64_t security_version, size;
	struct digest digest;
};

static const struct json_field factory_fields[] = {
	{.name = "v",
	 .kind = JSON_U32,
	 .offset = offsetof(struct factory, v),
	 .min = 1,
	 .max = 1},
	{.name = "version",
	 .kind = JSON_STRING,
	 .offset = offsetof(struct factory, version),
	 .size = NAME_SIZE,
	 .min = 1,
	 .check = name_is_version,
	 .allowed = NAME_VERSION_ALLOWED},
	{.name = "security_version",
	 .kind = JSON_U64,
	 .offset = offsetof(struct factory, security_version)},
	{.name = "size", .kind = JSON_U64, .offset = offsetof(struct factory, size)},
	{.name = "digest", .kind = JSON_DIGEST, .offset = offsetof(struct factory, digest)},
	{0},
};
static const struct json_shape factory_shape = {
	.what = "factory record", .size = sizeof(struct factory), .fields = factory_fields};

enum keep_item agent_firmware_item(enum boot_slot slot)
{
	return slot == BOOT_SLOT_A ? KEEP_FIRMWARE_A : KEEP_FIRMWARE_B;
}

static bool go_on(void *arg, uint64_t done, uint64_t total)
{
	struct agent *agent = arg;

	(void)done;
	(void)total;
	if (agent->parts.host->alive)
		agent->parts.host->alive(agent->parts.host->ctx);
	return true;
}

/* --- who am I --- */

static enum ota_err hash_running(struct agent *agent, unsigned part, struct digest *ret_digest,
				 uint64_t *ret_size, struct ota_why *why)
{
	const struct slot_watch watch = {go_on, agent};

	return agent->parts.slots->digest(agent->parts.slots->ctx, SLOT_RUNNING, part,
					  ret_digest, ret_size, &watch, why);
}

static enum ota_err first_factory(struct agent *agent, struct factory *ret_factory,
				  struct ota_why *why)
{
	const struct agent_settings *settings = &agent->parts.settings;
	struct factory factory = {.v = 1,
				  .security_version = settings->factory_security_version};
	struct text json = {0};

	text_copy(factory.version, sizeof(factory.version), settings->factory_version);
	enum ota_err err = hash_running(agent, 0, &factory.digest, &factory.size, why);
	if (!err)
		err = json_write(&factory_shape, &factory, &json, why);
	if (!err)
		err = keep_put(agent->keep, KEEP_FACTORY, json.data, json.len, why);
	text_done(&json);
	if (err)
		return ota_context(why, err, "factory record");
	*ret_factory = factory;
	return OTA_OK;
}

static enum ota_err load_factory(struct agent *agent, struct factory *ret_factory,
				 struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	enum ota_err err = keep_get(agent->keep, KEEP_FACTORY, &text, &len, why);

	if (err == OTA_NOT_FOUND)
		return first_factory(agent, ret_factory, why);
	if (err)
		return err;
	return json_read(&factory_shape, text, len, JSON_SIZE_MAX, OTA_IO_ERROR, ret_factory,
			 why);
}

/* The firmware document of what runs. A signature that no longer counts (its key was rotated
 * away since) does not make the device forget its version. */
static enum ota_err load_document(struct agent *agent, const char *text, size_t len,
				  struct firmware_document *ret_document, struct ota_why *why)
{
	struct trusted_firmware firmware;
	struct envelope envelope;

	if (!trust_firmware(agent->parts.trust, text, len, &firmware, why)) {
		*ret_document = firmware.document;
		return OTA_OK;
	}
	logbook_write(agent->log, LOG_LEVEL_WARNING,
		      "the firmware that runs is not signed by today's keys: %s",
		      why ? why->text : "");
	enum ota_err err = envelope_read(text, len, ENVELOPE_FIRMWARE, &envelope, why);
	if (err)
		return err;
	err = firmware_read(envelope.payload, envelope.payload_len, ret_document, why);
	envelope_done(&envelope);
	return err;
}

/* Compares what the slot holds with what it should hold. */
static enum ota_err compare(struct agent *agent, struct agent_running *running, uint64_t size,
			    const struct digest *digest, struct ota_why *why)
{
	const struct slots *slots = agent->parts.slots;
	const struct slot_watch watch = {go_on, agent};

	running->digest = *digest;
	running->size = size;
	enum ota_err err = slots->verify(slots->ctx, SLOT_RUNNING, running->part, size, digest,
					 &watch, why);
	running->verified = !err;
	/* Not to have been able to look is no proof against it. */
	if (!err || err == OTA_OUT_OF_MEMORY)
		return err;
	agent_log(agent, LOG_LEVEL_WARNING, why, "the running image is not what was installed");
	/* Say what is there, not what should be. */
	if (hash_running(agent, running->part, &running->digest, &running->size, why))
		agent_log(agent, LOG_LEVEL_WARNING, why, "running image");
	return OTA_OK;
}

enum ota_err agent_identify(struct agent *agent, struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	struct agent_running running = {.known = true};
	size_t len;
	enum ota_err err;

	running.slot = agent->parts.slots->running(agent->parts.slots->ctx);
	if (agent->running.known && agent->running.slot == running.slot)
		return OTA_OK;
	err = keep_get(agent->keep, agent_firmware_item(running.slot), &text, &len, why);
	if (err == OTA_NOT_FOUND) {
		struct factory factory;

		err = load_factory(agent, &factory, why);
		if (err)
			return err;
		text_copy(running.version, sizeof(running.version), factory.version);
		running.security_version = factory.security_version;
		err = compare(agent, &running, factory.size, &factory.digest, why);
	} else if (!err) {
		struct firmware_document document;

		err = load_document(agent, text, len, &document, why);
		if (err)
			return ota_context(why, err, "firmware of slot %s",
					   boot_slot_names[running.slot]);
		text_copy(running.version, sizeof(running.version), document.version);
		running.security_version = document.security_version;
		if (!agent->parts.slots->find(agent->parts.slots->ctx,
					      document.components[0].slot_class, &running.part))
			running.part = 0;
		err = compare(agent, &running, document.components[0].size,
			      &document.components[0].sha256, why);
		firmware_done(&document);
	}
	if (err)
		return err;
	agent->running = running;
	logbook_write(agent->log, LOG_LEVEL_INFO, "version %s runs from slot %s",
		      running.version, boot_slot_names[running.slot]);
	return OTA_OK;
}

enum boot_slot agent_other_slot(const struct agent *agent)
{
	return agent->running.slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
}

static enum ota_err factory_content(struct agent *agent, struct agent_content *ret_content,
				    struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	struct factory factory;
	size_t len;
	enum ota_err err = keep_get(agent->keep, KEEP_FACTORY, &text, &len, why);

	if (!err)
		err = json_read(&factory_shape, text, len, JSON_SIZE_MAX, OTA_IO_ERROR,
				&factory, why);
	if (err)
		return err;
	text_copy(ret_content->version, sizeof(ret_content->version), factory.version);
	ret_content->digest = factory.digest;
	ret_content->size = factory.size;
	return OTA_OK;
}

enum ota_err agent_content_of(struct agent *agent, enum boot_slot slot,
			      struct agent_content *ret_content, struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	struct firmware_document document;
	size_t len;
	enum ota_err err = keep_get(agent->keep, agent_firmware_item(slot), &text, &len, why);

	/* Only slot A is ever delivered with something. */
	if (err == OTA_NOT_FOUND && slot == BOOT_SLOT_A)
		return factory_content(agent, ret_content, why);
	if (!err)
		err = load_document(agent, text, len, &document, why);
	if (err)
		return err;
	text_copy(ret_content->version, sizeof(ret_content->version), document.version);
	ret_content->digest = document.components[0].sha256;
	ret_content->size = document.components[0].size;
	firmware_done(&document);
	return OTA_OK;
}

/* --- what was I doing --- */

enum ota_err agent_reload(struct agent *agent, struct ota_why *why)
{
	const struct check_facts facts = agent_facts(agent);
	AUTO_FREE char *text = NULL;
	struct checked checked;
	struct offer offer;
	size_t len;

	if (agent->has_update)
		return OTA_OK;
	enum ota_err err = keep_get(agent->keep, KEEP_OFFER, &text, &len, why);
	if (!err)
		err = offer_read(text, len, &offer, why);
	if (err)
		return ota_context(why, err, "the offer on record");
	err = check_again(&facts, offer.release, offer.firmware, &checked, why);
	if (err) {
		json_done(&offer_shape, &offer);
		return ota_context(why, err, "the offer on record");
	}
	agent->checked = checked;
	agent->offer = offer;
	agent->has_update = true;
	agent->forced = checked.release.document.force;
	return agent->journal->entry.flags & JOURNAL_REVERT_ASKED
		       ? agent_load_return(agent, why)
		       : OTA_OK;
}

/* The journal is lost but an update is under way: it is made again from the offer on record. */
static enum ota_err rebuild(struct agent *agent, const struct boot_state *boot,
			    enum agent_state state, struct ota_why *why)
{
	enum ota_err err = agent_reload(agent, why);

	if (err)
		return err;
	struct journal_entry entry = {
		.state = state,
		.flags = JOURNAL_BROKER_WAS_REACHABLE,
		.release = agent->checked.release.document.number,
		.attempt = agent->offer.attempt,
		.target = boot->trying,
		.firmware = agent->checked.firmware.digest,
		.image = agent->checked.firmware.document.components[0].sha256,
	};
	logbook_write(agent->log, LOG_LEVEL_WARNING,
		      "the journal is lost; release %llu goes on from the boot state",
		      (unsigned long long)entry.release);
	err = agent_store(agent, &entry, why);
	agent->refused = err != OTA_OK;
	return err;
}

static void learn_idle(struct agent *agent, const struct boot_state *boot)
{
	const struct slots *slots = agent->parts.slots;
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;

	if (boot->phase == BOOT_SETTLED)
		return;
	if (boot->phase == BOOT_RETURNED) {
		err = slots->settle(slots->ctx, &why);
	} else if (!rebuild(agent, boot,
			    boot->phase == BOOT_ARMED ? AGENT_INSTALLED : AGENT_TRIAL, &why)) {
		agent_event(agent, boot->phase == BOOT_ARMED ? EVENT_RESUMED : EVENT_NEW_RUNS);
	} else if (agent->refused) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "journal");
	} else {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "an unknown version is on trial");
		err = slots->revert(slots->ctx, &why);
		if (!err && boot->phase == BOOT_TRYING)
			err = agent->parts.runner->restart(agent->parts.runner->ctx, &why);
	}
	if (err)
		agent_log(agent, LOG_LEVEL_ERROR, &why, "boot state");
}

/* An update that had not armed its slot. */
static void learn_early(struct agent *agent)
{
	const struct journal_entry *entry = &agent->journal->entry;
	struct ota_why why = {0};

	if (postbox_has_final(&agent->postbox, entry->release, entry->attempt)) {
		/* Its end was reported and the cut came before the journal said so. */
		struct journal_entry idle = *entry;

		idle.state = AGENT_IDLE;
		if (agent_store(agent, &idle, &why)) {
			agent_log(agent, LOG_LEVEL_ERROR, &why, "journal");
			agent->refused = true;
		}
		return;
	}
	if (agent_reload(agent, &why)) {
		agent_fail(agent, &why);
		return;
	}
	agent_event(agent, EVENT_RESUMED);
}

/* The tried slot is the permanent one: a confirm that the journal does not know. */
static void learn_confirmed(struct agent *agent)
{
	struct journal_entry entry = agent->journal->entry;
	struct ota_why why = {0};

	if (agent_reload(agent, &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "confirmed update");
	if (entry.state != AGENT_CONFIRMING) {
		entry.state = AGENT_CONFIRMING;
		if (agent_store(agent, &entry, &why)) {
			agent_log(agent, LOG_LEVEL_ERROR, &why, "journal");
			agent->refused = true;
			return;
		}
	}
	agent_event(agent, EVENT_CONFIRMED);
}

/* Where no version was started since the restart was asked for, the machine still runs what it
 * ran, whatever the boot state says about the next start. */
static bool still_waits_for_restart(const struct agent *agent, const struct boot_state *boot,
				    const struct runner_event *started)
{
	if (started->certain)
		return started->slot != boot->active;
	return started->adopted && agent->journal->entry.boot_id != 0 &&
	       agent->journal->entry.boot_id ==
		       agent->parts.host->boot_id(agent->parts.host->ctx);
}

static void learn_late(struct agent *agent, const struct boot_state *boot,
		       const struct runner_event *started)
{
	const enum agent_state state = agent_state_of(agent);
	const enum boot_slot target = (enum boot_slot)agent->journal->entry.target;
	struct ota_why why = {0};

	if (agent_reload(agent, &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "update in hand");
	switch (boot->phase) {
	case BOOT_ARMED:
		if (state == AGENT_INSTALLING)
			agent_event(agent, EVENT_ARMED);
		else if (state == AGENT_TRIAL || state == AGENT_CONFIRMING)
			agent_event(agent, EVENT_OLD_RUNS);
		else
			agent_event(agent, EVENT_RESUMED);
		return;
	case BOOT_TRYING:
		if (started->slot == boot->trying)
			agent_event(agent, EVENT_NEW_RUNS);
		else if (state == AGENT_REVERTING)
			agent_event(agent, EVENT_RESUMED);
		else
			agent_event(agent, EVENT_OLD_RUNS);
		return;
	case BOOT_RETURNED:
		if (state == AGENT_REVERTING && still_waits_for_restart(agent, boot, started))
			agent_event(agent, EVENT_RESUMED);
		else
			agent_event(agent, EVENT_OLD_RUNS);
		return;
	case BOOT_SETTLED:
		if (boot->active == target && state != AGENT_REVERTING)
			learn_confirmed(agent);
		else if (state == AGENT_INSTALLING)
			agent_event(agent, EVENT_RESUMED);
		else
			agent_event(agent, EVENT_OLD_RUNS);
		return;
	case BOOT_PHASE_COUNT:
		break;
	}
}

/* Nothing is safe to do before it is known, and noted, what runs. */
static void learn_again(struct agent *agent)
{
	agent->learn_due = true;
	agent->learn_due_ms = agent->now_ms + AGENT_RETRY_MS;
}

static void learn_by_state(struct agent *agent, const struct boot_state *boot,
			   const struct runner_event *started)
{
	const enum agent_state state = agent_state_of(agent);

	if (agent_state_is_committed(state))
		learn_late(agent, boot, started);
	else if (agent->learned)
		return; /* the application was restarted; no update is concerned */
	else if (state == AGENT_IDLE)
		learn_idle(agent, boot);
	else
		learn_early(agent);
}

void agent_learn(struct agent *agent, const struct runner_event *started)
{
	struct boot_state boot;
	struct ota_why why = {0};
	enum ota_err err = agent->parts.slots->state(agent->parts.slots->ctx, &boot, &why);

	if (!err)
		err = agent_identify(agent, &why);
	if (err) {
		agent_log(agent, LOG_LEVEL_ERROR, &why, "what runs here");
		learn_again(agent);
		return;
	}
	agent->learn_due = agent->refused = false;
	agent->started_ms = agent->now_ms;
	agent->version_runs = true;
	agent_stop_check(agent);
	if (!agent->learned)
		agent->parts.link->start(agent->parts.link->ctx);
	learn_by_state(agent, &boot, started);
	if (agent->refused) {
		learn_again(agent);
		return;
	}
	agent->learned = true;
	agent->last_exit.err = OTA_OK;
	agent->last_exit.text[0] = '\0';
}
