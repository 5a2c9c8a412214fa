#include "trial.h"

#include <stdbool.h>

static enum trial_verdict unfit(enum ota_err err, enum ota_err *ret_err)
{
	*ret_err = err;
	return TRIAL_UNFIT;
}

static enum trial_verdict wait_until(const struct trial_facts *facts, uint64_t until_ms,
				     uint64_t *ret_wait_ms)
{
	*ret_wait_ms = until_ms > facts->elapsed_ms ? until_ms - facts->elapsed_ms : 1;
	return TRIAL_WAIT;
}

enum trial_verdict trial_judge(const struct trial_facts *facts, uint64_t *ret_wait_ms,
			       enum ota_err *ret_err)
{
	const uint64_t deadline_ms =
		facts->confirm_timeout_ms * (facts->extended ? 1 + TRIAL_EXTENSION : 1);
	const uint64_t health_ms = facts->health_timeout_ms < facts->confirm_timeout_ms
					   ? facts->health_timeout_ms
					   : facts->confirm_timeout_ms;
	const bool late = facts->elapsed_ms >= deadline_ms;

	*ret_wait_ms = 0;
	*ret_err = OTA_OK;
	if (facts->disk_full)
		return unfit(OTA_STORAGE_EXHAUSTED, ret_err);
	if (facts->health != TRIAL_HEALTH_GOOD) {
		/* A version that crashed and was started again is asked again. */
		const uint64_t began_ms = facts->elapsed_ms - facts->running_ms;
		const uint64_t until_ms =
			began_ms + health_ms < deadline_ms ? began_ms + health_ms : deadline_ms;

		if (facts->elapsed_ms >= until_ms)
			return unfit(facts->health == TRIAL_HEALTH_BAD ? OTA_HEALTH_CHECK_FAILED
								       : OTA_NOT_RESPONDING,
				     ret_err);
		return wait_until(facts, until_ms, ret_wait_ms);
	}
	if (facts->running_ms < facts->probation_ms) {
		*ret_wait_ms = facts->probation_ms - facts->running_ms;
		return TRIAL_WAIT;
	}
	if (facts->link_up && !late)
		return TRIAL_ASK_GRANT;
	if (!late)
		return wait_until(facts, deadline_ms, ret_wait_ms);
	if (!facts->was_reachable) {
		/* Nothing says that the new version is to blame. */
		*ret_wait_ms = facts->confirm_timeout_ms;
		return facts->link_up ? TRIAL_ASK_GRANT : TRIAL_WAIT;
	}
	if (!facts->extended) {
		if (!facts->outage_known)
			return TRIAL_ASK_OUTAGE;
		if (facts->outage_elsewhere)
			return TRIAL_EXTEND;
	}
	return unfit(OTA_NO_CONNECTIVITY_AFTER_UPDATE, ret_err);
}

uint64_t trial_mute_ms(uint64_t confirm_timeout_ms, uint64_t mute_ms)
{
	const uint64_t part_ms = confirm_timeout_ms / TRIAL_MUTE_PART;
	const uint64_t most_ms = part_ms > TRIAL_MUTE_MIN_MS ? part_ms : TRIAL_MUTE_MIN_MS;

	return mute_ms < most_ms ? mute_ms : most_ms;
}
