/* Why one device is or is not being updated: a rule's name and a sentence with its particulars.
 */
#include "engine_core.h"

#include <stdio.h>
#include <string.h>

static void say_time(char *to, size_t size, uint64_t from_ms, uint64_t until_ms)
{
	uint64_t seconds = until_ms > from_ms ? (until_ms - from_ms) / 1000 : 0;

	snprintf(to, size, "%llu h %02llu min %02llu s", (unsigned long long)(seconds / 3600),
		 (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
}

static const char *consent_text(const struct device *device)
{
	return device->texts ? device->texts->reason : "";
}

/* What is particular to the reason, after the general sentence; "" when nothing is. */
static void say_more(const struct engine *engine, const struct device *device,
		     const struct update *update, enum reason reason, char *to, size_t size)
{
	const struct release *release = update ? update->release : device->target;
	char left[48];

	to[0] = '\0';
	if (reason == REASON_PINNED || reason == REASON_PIN_WAITS)
		snprintf(to, size, " (pinned to '%s', runs '%s')", word_text(device->pin),
			 device_version(device));
	else if (reason == REASON_CONSENT && consent_text(device)[0])
		snprintf(to, size, " (it says: %s)", consent_text(device));
	else if (reason == REASON_HARDWARE)
		snprintf(to, size, " ('%s')", device_hardware(device));
	else if (reason == REASON_STALE)
		snprintf(to, size, " (number %llu)", (unsigned long long)device->number);
	if (!release)
		return;
	if (reason == REASON_WAVE)
		snprintf(to, size, " (it is in wave %u of %u, wave %u is open)",
			 update->wave + 1u, release->wave_count, release->wave + 1);
	else if (reason == REASON_PLACE)
		snprintf(to, size, " (%u of %u)", release->places,
			 rollout_place_limit(engine, release));
	else if ((reason == REASON_HELD || reason == REASON_HALTED) && release->reason)
		snprintf(to, size, ": %s", release->reason);
	if (!update)
		return;
	if ((reason == REASON_RETRY || reason == REASON_PENALTY) && update->due_ms) {
		say_time(left, sizeof(left), engine->io.now_ms(engine->io.ctx), update->due_ms);
		snprintf(to, size, " (in %s%s%s)", left, update->error ? ", after " : "",
			 update->error ? ota_err_name(update->error->err) : "");
	} else if (reason == REASON_GIVEN_UP || reason == REASON_RETRY) {
		snprintf(to, size, " (%s: %s)", update_state_names[update->state],
			 update->error ? update->error->message : "without evidence");
	} else if (reason == REASON_IN_HAND) {
		snprintf(to, size, " (%s%s)", update_state_names[update->state],
			 update->flags & UPDATE_CANCELING ? ", asked to stop" : "");
	}
}

/* Cuts at the sentence's size; the rule is the stable part. */
static void say(const struct engine *engine, const struct device *device,
		const struct update *update, enum reason reason, struct engine_why *to)
{
	char more[200];

	say_more(engine, device, update, reason, more, sizeof(more));
	to->rule = reason_name(reason);
	text_copy(to->sentence, sizeof(to->sentence), reason_sentence(reason));
	text_copy(to->sentence + strlen(to->sentence),
		  sizeof(to->sentence) - strlen(to->sentence), more);
}

enum ota_err engine_why(const struct engine *engine, const char *id,
			struct engine_why *ret_answer, struct ota_why *why)
{
	const struct device *device = roster_device(engine, id);
	const struct update *update, *in_hand;
	struct fleet_answer answer;

	if (!device)
		return ota_fail(why, OTA_NOT_FOUND, "no device '%s'", id);
	memset(ret_answer, 0, sizeof(*ret_answer));
	in_hand = device_update_in_hand(device);
	answer = fleet_target(device);
	update = answer.release ? device_update(device, answer.release) : NULL;
	ret_answer->release = answer.release;
	if (answer.release)
		ret_answer->firmware = answer.release->firmware;
	else if (device->pin)
		ret_answer->firmware = product_firmware(device->product, device->pin->text);
	if (in_hand && in_hand->state > UPDATE_DEFERRED) {
		say(engine, device, in_hand, REASON_IN_HAND, ret_answer);
		return OTA_OK;
	}
	if (!answer.release) {
		if (device->pin && device->runs && answer.reason == REASON_PIN_WAITS &&
		    strcmp(device->pin->text, device->runs->version) == 0)
			answer.reason = REASON_ON_TARGET;
		say(engine, device, NULL, answer.reason, ret_answer);
		return OTA_OK;
	}
	say(engine, device, update, update ? rollout_blocked(engine, update) : REASON_NONE,
	    ret_answer);
	return OTA_OK;
}
