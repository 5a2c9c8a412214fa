#include "engine_core.h"

#include <string.h>

static void skip(struct plan *plan, enum reason reason, const struct device *device)
{
	struct plan_skip *of = &plan->skips[reason];

	plan->skipped++;
	of->count++;
	if (of->sample_count < PLAN_SAMPLE_MAX)
		text_copy(of->sample[of->sample_count++].text, NAME_SIZE, device->id);
}

void plan_make(const struct release *preview, struct plan *ret_plan)
{
	const struct product *product = preview->product;

	memset(ret_plan, 0, sizeof(*ret_plan));
	ret_plan->wave_count = preview->wave_count;
	for (uint32_t i = 0; i < product->device_count; i++) {
		const struct device *device = product->devices[i];
		enum reason reason;
		fleet_choose(device, preview, &reason);
		if (!reason)
			reason = fleet_suits(preview, device);
		if (!reason && fleet_runs(device, preview->firmware))
			reason = REASON_ON_TARGET;
		if (reason) {
			skip(ret_plan, reason, device);
			continue;
		}
		ret_plan->targeted++;
		ret_plan->waves[release_wave_of(preview, device)]++;
	}
}
