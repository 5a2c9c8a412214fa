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

static void look_at(struct plan *plan, const struct release *preview,
		    const struct device *device)
{
	enum reason reason;

	fleet_choose(device, preview, &reason);
	if (!reason)
		reason = fleet_suits(preview, device);
	if (!reason && fleet_runs(device, preview->firmware))
		reason = REASON_ON_TARGET;
	if (reason) {
		skip(plan, reason, device);
		return;
	}
	plan->targeted++;
	plan->waves[release_wave_of(preview, device)]++;
}

bool plan_go_on(struct plan *plan, const struct release *preview, uint32_t slice)
{
	const struct product *product = preview->product;
	uint32_t at = roster_find(product, plan->after, false), end = product->device_count;

	plan->wave_count = preview->wave_count;
	if (end - at > slice)
		end = at + slice;
	for (; at < end; at++)
		look_at(plan, preview, product->devices[at]);
	if (end > 0)
		text_copy(plan->after, NAME_SIZE, product->devices[end - 1]->id);
	return end < product->device_count;
}
