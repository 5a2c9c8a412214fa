#include "supply.h"

static void open_bulk(struct supply *supply, struct ota_why *why)
{
	const struct supply_plan *plan = &supply->plan;
	unsigned count =
		plan->url_count < MESSAGE_SOURCES_MAX ? plan->url_count : MESSAGE_SOURCES_MAX;

	if (supply->is_open || !plan->bulk || !count)
		return;
	supply->is_open = true;
	supply->count = plan->bulk->open(plan->bulk->ctx, plan->urls, count, supply->bulk, why);
}

const struct source *supply_choose(struct supply *supply, uint64_t bytes, struct ota_why *why)
{
	if (supply->own_is_dropped || bytes >= supply->plan.threshold) {
		open_bulk(supply, why);
		if (supply->at < supply->count)
			return supply->bulk[supply->at];
	}
	return supply->own_is_dropped ? NULL : supply->plan.own;
}

bool supply_drop(struct supply *supply, const struct source *source)
{
	const struct supply before = *supply;

	if (source == supply->plan.own)
		supply->own_is_dropped = true;
	else
		supply->at++;
	if (supply_choose(supply, 0, NULL))
		return true;
	supply->own_is_dropped = before.own_is_dropped;
	supply->at = before.at;
	return false;
}

void supply_close(struct supply *supply)
{
	if (supply->is_open)
		supply->plan.bulk->close(supply->plan.bulk->ctx);
	supply->is_open = false;
	supply->at = supply->count = 0;
}
