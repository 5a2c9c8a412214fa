/* Offers: which are taken, which are refused by name, which are only noise. */
#include "agent_inside.h"

#include "own.h"

#include <string.h>

static void done_offer(struct offer *offer)
{
	json_done(&offer_shape, offer);
}

/* --- releases whose signatures keep being wrong --- */

static struct agent_ignored *find_ignored(struct agent *agent, uint64_t number)
{
	for (unsigned i = 0; i < AGENT_IGNORED_MAX; i++) {
		if (agent->ignored[i].failures && agent->ignored[i].number == number)
			return &agent->ignored[i];
	}
	return NULL;
}

static bool is_about_signatures(enum ota_err err)
{
	return err == OTA_SIGNATURE_INVALID || err == OTA_SIGNATURE_THRESHOLD ||
	       err == OTA_SIGNER_NOT_TRUSTED || err == OTA_MANIFEST_INVALID;
}

/* Counts a bad one; true when it is to be passed over in silence. */
static bool ignore(struct agent *agent, uint64_t number)
{
	struct agent_ignored *ignored = find_ignored(agent, number);

	if (!ignored) {
		ignored = &agent->ignored[agent->ignored_next++ % AGENT_IGNORED_MAX];
		*ignored = (struct agent_ignored){.number = number};
	}
	if (ignored->until_ms && agent->now_ms < ignored->until_ms)
		return true;
	if (ignored->until_ms)
		*ignored = (struct agent_ignored){.number = number};
	if (++ignored->failures < AGENT_IGNORE_AFTER)
		return false;
	ignored->until_ms = agent->now_ms + AGENT_IGNORE_MS;
	logbook_write(
		agent->log, LOG_LEVEL_WARNING,
		"release %llu came %u times with bad signatures and is ignored for 4 hours",
		(unsigned long long)number, ignored->failures);
	return false;
}

/* For want of memory an offer may be unread, and then nobody knows which one it was; or it
 * could not be noted. The next hello, said as if none had been answered, brings it again. */
static void ask_again(struct agent *agent, uint64_t after_ms)
{
	agent->welcomed = false;
	agent->hello_due_ms = agent->now_ms + after_ms;
}

static void reject_surely(struct agent *agent, uint64_t number, uint32_t attempt,
			  const struct ota_why *error)
{
	struct ota_why why = {0};

	if (is_about_signatures(error->err) && ignore(agent, number))
		return;
	agent_log(agent, LOG_LEVEL_WARNING, error, "an offer is refused");
	agent->last_error = *error;
	if (number && agent_report_other(agent, number, attempt, UPDATE_REJECTED, error, &why))
		agent_log(agent, LOG_LEVEL_WARNING, &why, "report");
}

/* A signer may be newer than the root that is known here. The answer to a hello brings the
 * newer root, and the offer comes again; or it brings none, and the refusal stands. True when
 * it waits for that answer. */
static bool doubt(struct agent *agent, uint64_t number, uint32_t attempt,
		  const struct ota_why *error)
{
	const struct agent_ignored *ignored = find_ignored(agent, number);

	if (error->err != OTA_SIGNER_NOT_TRUSTED && error->err != OTA_SIGNATURE_THRESHOLD)
		return false;
	if (!agent->online || agent->doubt.waits)
		return false;
	if (ignored && agent->now_ms < ignored->until_ms)
		return false;
	agent->doubt = (struct agent_doubt){true, number, attempt, *error};
	agent->welcomed = false;
	agent_say_hello(agent);
	return true;
}

static void reject(struct agent *agent, uint64_t number, uint32_t attempt,
		   const struct ota_why *error)
{
	if (!doubt(agent, number, attempt, error))
		reject_surely(agent, number, attempt, error);
}

void agent_end_doubt(struct agent *agent, bool root_is_newer)
{
	const struct agent_doubt doubt = agent->doubt;

	agent->doubt.waits = false;
	if (doubt.waits && !root_is_newer)
		reject_surely(agent, doubt.number, doubt.attempt, &doubt.why);
}

/* --- taking one --- */

/* Puts everything on record before the journal names it. */
static enum ota_err put_on_record(struct agent *agent, const void *payload, size_t len,
				  const struct offer *offer, uint64_t number,
				  struct ota_why *why)
{
	const struct keep_floor floor = {.number = number};
	enum ota_err err = keep_put(agent->keep, KEEP_OFFER, payload, len, why);

	if (!err)
		err = keep_put(agent->keep, KEEP_RELEASE, offer->release,
			       strlen(offer->release), why);
	if (!err)
		err = keep_put(agent->keep, KEEP_FIRMWARE, offer->firmware,
			       strlen(offer->firmware), why);
	return err ? err : keep_floor_raise(agent->keep, &floor, why);
}

static void begin(struct agent *agent, const void *payload, size_t len, struct offer *offer,
		  struct checked *checked)
{
	const uint64_t number = checked->release.document.number;
	const struct journal_entry before = agent->journal->entry;
	struct ota_why why = {0};
	enum ota_err err = put_on_record(agent, payload, len, offer, number, &why);

	if (err) {
		reject(agent, number, offer->attempt, &why);
		return;
	}
	agent_drop_update(agent);
	logbook_clear(agent->log);
	agent->journal->entry.release = number;
	agent->journal->entry.attempt = offer->attempt;
	/* The offer came from the broker: should the power go before the restart is planned,
	 * the trial must know that it can be reached. */
	agent->journal->entry.flags =
		JOURNAL_BROKER_WAS_REACHABLE |
		(checked->firmware.development ? (uint32_t)JOURNAL_DEVELOPMENT : 0);
	agent->journal->entry.elapsed_ms = 0;
	agent->journal->entry.fetched = 0;
	agent->journal->entry.done = 0;
	agent->journal->entry.restarts = 0;
	agent->journal->entry.cause = 0;
	agent->journal->entry.firmware = checked->firmware.digest;
	agent->journal->entry.image = checked->firmware.document.components[0].sha256;
	agent->attempt_since_ms = agent->now_ms;
	agent->checked = *checked;
	agent->offer = *offer;
	agent->has_update = true;
	agent->forced = checked->release.document.force;
	memset(checked, 0, sizeof(*checked));
	memset(offer, 0, sizeof(*offer));
	logbook_write(agent->log, LOG_LEVEL_INFO,
		      "release %llu, attempt %u: version %s is offered by '%s'",
		      (unsigned long long)number, agent->offer.attempt,
		      agent->checked.firmware.document.version, agent->checked.release.manager);
	if (!agent_event(agent, EVENT_OFFER)) {
		/* As if it had not come; when the disk is well again it comes again. */
		agent_drop_update(agent);
		agent->journal->entry = before;
		ask_again(agent, AGENT_RETRY_MS);
	}
}

/* The same release again while its update is in hand: a new attempt goes on from where the old
 * one stands. */
static void renew_attempt(struct agent *agent, const void *payload, size_t len,
			  struct offer *offer, struct checked *checked)
{
	struct journal_entry entry = agent->journal->entry;
	struct ota_why why = {0};

	entry.attempt = offer->attempt;
	entry.elapsed_ms = 0;
	agent->attempt_since_ms = agent->now_ms;
	enum ota_err err = put_on_record(agent, payload, len, offer, entry.release, &why);
	if (!err)
		err = agent_store(agent, &entry, &why);
	if (err) {
		agent_log(agent, LOG_LEVEL_WARNING, &why, "a new attempt");
		return;
	}
	/* The packs may be others; what is in the slot stays. */
	agent_drop_update(agent);
	agent->checked = *checked;
	agent->offer = *offer;
	agent->has_update = true;
	agent->forced = checked->release.document.force;
	memset(checked, 0, sizeof(*checked));
	memset(offer, 0, sizeof(*offer));
	agent_event(agent, EVENT_RESUMED);
}

/* No ping-pong: whoever offers it again and again (attempts are not signed) gets no restart out
 * of this device for a day. */
static bool sits_out(const struct agent *agent, uint64_t number)
{
	const struct journal_entry *entry = &agent->journal->entry;

	return entry->reverted_release == number && entry->reverts >= AGENT_REVERTS_MAX &&
	       agent->now_ms < agent->sit_out_until_ms;
}

static bool is_in_hand(const struct agent *agent, uint64_t number)
{
	return agent_state_of(agent) != AGENT_IDLE && agent->journal->entry.release == number;
}

static void take(struct agent *agent, const void *payload, size_t len, struct offer *offer,
		 struct checked *checked)
{
	const struct check_facts facts = agent_facts(agent);
	const struct journal_entry *entry = &agent->journal->entry;
	const uint64_t number = checked->release.document.number;
	struct ota_why why = {0};

	if (number == entry->release && offer->attempt <= entry->attempt) {
		logbook_write(agent->log, LOG_LEVEL_DEBUG,
			      "release %llu, attempt %u was offered before",
			      (unsigned long long)number, offer->attempt);
		return;
	}
	if (sits_out(agent, number)) {
		enum ota_err err = OTA_CRASH_LOOP;

		if (!ota_err_from_number(entry->reverted_cause, &err))
			err = OTA_CRASH_LOOP;
		err = ota_fail(&why, err,
			       "release %llu was reverted %u times here and sits out 24 hours",
			       (unsigned long long)number, entry->reverts);
		reject(agent, number, offer->attempt, &why);
		return;
	}
	if (is_in_hand(agent, number)) {
		renew_attempt(agent, payload, len, offer, checked);
		return;
	}
	if (agent_state_of(agent) != AGENT_IDLE && !agent_event(agent, EVENT_SUPERSEDED))
		return;
	if (check_is_installed(&facts, checked)) {
		const struct keep_floor floor = {.number = number};

		logbook_write(agent->log, LOG_LEVEL_INFO,
			      "release %llu: version %s runs already",
			      (unsigned long long)number, agent->running.version);
		if (keep_floor_raise(agent->keep, &floor, &why) ||
		    agent_report_other(agent, number, offer->attempt, UPDATE_ALREADY_INSTALLED,
				       NULL, &why))
			agent_log(agent, LOG_LEVEL_WARNING, &why, "report");
		return;
	}
	begin(agent, payload, len, offer, checked);
}

void agent_offer(struct agent *agent, const void *payload, size_t len)
{
	const struct check_facts facts = agent_facts(agent);
	AUTO(done_offer) struct offer offer = {0};
	AUTO(check_done) struct checked checked = {0};
	struct ota_why why = {0};
	uint64_t number = 0;

	if (agent_state_is_committed(agent_state_of(agent)))
		return; /* this one ends first; the next hello brings the newer */
	if (offer_read(payload, len, &offer, &why)) {
		if (why.err == OTA_OUT_OF_MEMORY)
			ask_again(agent, AGENT_HELLO_MS);
		reject(agent, 0, 1, &why);
		return;
	}
	if (check_offer(&facts, offer.release, offer.firmware, &checked, &number, &why)) {
		if (why.err == OTA_OUT_OF_MEMORY && number == 0)
			ask_again(agent, AGENT_HELLO_MS);
		reject(agent, number, offer.attempt, &why);
		return;
	}
	take(agent, payload, len, &offer, &checked);
}
