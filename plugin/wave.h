/* The judgement of one wave: go on, wait, or stop. Pure; all of a release's caution is here. */
#pragma once

#include "release.h"

enum wave_verdict {
	WAVE_WAIT = 0, /* not enough has succeeded yet */
	WAVE_BAKE,     /* enough has; it is watched for the bake time */
	WAVE_ADVANCE,  /* the next one may open */
	WAVE_HALT,     /* too many failures */
	WAVE_VERDICT_COUNT,
};

/* What a tally comes to. */
struct wave_sums {
	uint32_t good;	  /* succeeded */
	uint32_t bad;	  /* failed, rolled back, rejected, timed out, lost; overdue ones too;
			     neither the reverted nor the forgiven */
	uint32_t busy;	  /* at work */
	uint32_t at_risk; /* of the busy: restarting or on trial, in time; or not connected */
	uint32_t waiting; /* not begun, or put off by the device */
};
struct wave_sums wave_sum(const struct release_tally *tally);

/* True when the failures halt: at least error_count, more than the errors share of those that
 * have ended, and at least `sample` have ended. */
bool wave_is_failing(const struct release_thresholds *thresholds, const struct wave_sums *sums);

/* `met_ms`: since when the wave has met its shares (0: it has not); kept by the caller in
 * *ret_met_ms. A wave of nobody, or of devices that need nothing, advances at once. It never
 * advances while those that restart now, or are away in the middle, could still halt it. */
enum wave_verdict wave_judge(const struct release_thresholds *thresholds,
			     const struct release_tally *tally, uint64_t now_ms,
			     uint64_t met_ms, uint64_t *ret_met_ms);
