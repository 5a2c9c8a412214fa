/* A dry run: whom a release would reach, and for each device that it would not, why. */
#pragma once

#include "reason.h"
#include "release.h"

#define PLAN_SAMPLE_MAX 5u /* device ids named for each reason */

struct plan_skip {
	uint32_t count;
	struct name_text sample[PLAN_SAMPLE_MAX];
	uint32_t sample_count;
};

struct plan {
	uint32_t targeted;		      /* would be updated */
	uint32_t skipped;		      /* targeted + skipped = the product's devices */
	struct plan_skip skips[REASON_COUNT]; /* by reason; count 0: none */
	uint32_t waves[DOCUMENT_WAVES_MAX];   /* targeted, by wave */
	uint32_t wave_count;
	char after[NAME_SIZE]; /* the last device that was looked at */
};

/* Looks at the next `slice` devices of the product; *plan begins zeroed. `preview` is a release
 * that is not there yet: its document, product, firmware, group and wave_count. False when
 * there are no more. */
bool plan_go_on(struct plan *plan, const struct release *preview, uint32_t slice);
