#include "wave.h"

struct wave_sums wave_sum(const struct release_tally *tally)
{
	struct wave_sums sums = {.good = tally->counts[UPDATE_SUCCEEDED]};
	uint32_t excused = tally->reverted + tally->forgiven;

	for (unsigned i = 0; i < UPDATE_STATE_COUNT; i++) {
		if (update_state_is_bad((enum update_state)i))
			sums.bad += tally->counts[i];
		else if (i == UPDATE_TARGETED || i == UPDATE_DEFERRED)
			sums.waiting += tally->counts[i];
		else if (update_state_is_busy((enum update_state)i))
			sums.busy += tally->counts[i];
	}
	sums.bad += tally->overdue;
	sums.busy -= tally->overdue;
	sums.bad = sums.bad > excused ? sums.bad - excused : 0;
	sums.at_risk = tally->counts[UPDATE_RESTARTING] + tally->counts[UPDATE_TRIAL] -
		       tally->overdue + tally->away;
	return sums;
}

bool wave_is_failing(const struct release_thresholds *thresholds, const struct wave_sums *sums)
{
	uint64_t ended = (uint64_t)sums->good + sums->bad;

	if (sums->bad == 0 || sums->bad < thresholds->error_count || ended < thresholds->sample)
		return false;
	return (uint64_t)sums->bad * DOCUMENT_SHARE_FULL > ended * thresholds->errors;
}

static bool shares_are_met(const struct release_thresholds *thresholds,
			   const struct wave_sums *sums)
{
	struct wave_sums worst = *sums;
	uint64_t ended = (uint64_t)sums->good + sums->bad;
	uint64_t begun = ended + sums->busy;
	uint64_t all = begun + sums->waiting;

	if (ended < thresholds->sample && ended < all)
		return false;
	if ((uint64_t)sums->good * DOCUMENT_SHARE_FULL < begun * thresholds->success)
		return false;
	worst.bad += worst.at_risk;
	worst.busy -= worst.at_risk;
	return !wave_is_failing(thresholds, &worst);
}

enum wave_verdict wave_judge(const struct release_thresholds *thresholds,
			     const struct release_tally *tally, uint64_t now_ms,
			     uint64_t met_ms, uint64_t *ret_met_ms)
{
	struct wave_sums sums = wave_sum(tally);

	if (wave_is_failing(thresholds, &sums)) {
		*ret_met_ms = 0;
		return WAVE_HALT;
	}
	if (sums.good + sums.bad + sums.busy + sums.waiting == 0)
		return WAVE_ADVANCE;
	if (!shares_are_met(thresholds, &sums)) {
		*ret_met_ms = 0;
		return WAVE_WAIT;
	}
	*ret_met_ms = met_ms ? met_ms : now_ms;
	return now_ms - *ret_met_ms >= thresholds->bake_s * 1000 ? WAVE_ADVANCE : WAVE_BAKE;
}
