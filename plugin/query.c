/* Questions that memory answers. */
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

const struct product *engine_product(const struct engine *engine, const char *name)
{
	return roster_product(engine, name);
}

const struct product *engine_product_after(const struct engine *engine, const char *after)
{
	const struct product *best = NULL;

	for (struct product *product = engine->products; product; product = product->hh.next) {
		if (after && strcmp(product->name, after) <= 0)
			continue;
		if (!best || strcmp(product->name, best->name) < 0)
			best = product;
	}
	return best;
}

const struct device *engine_device(const struct engine *engine, const char *id)
{
	return roster_device(engine, id);
}

const struct release *engine_release(const struct engine *engine, const char *product_name,
				     uint64_t number)
{
	const struct product *product = roster_product(engine, product_name);

	return product ? product_release(product, number) : NULL;
}

static bool passes_state(const struct device_filter *filter, const struct device *device)
{
	const struct update *update;

	if (!filter->release && filter->state == UPDATE_NONE)
		return true;
	if (filter->release) {
		update = device_update(device, filter->release);
	} else {
		update = device_update_in_hand(device);
		if (!update)
			update = device->updates;
	}
	return update && (filter->state == UPDATE_NONE ||
			  (enum update_state)update->state == filter->state);
}

static bool passes(const struct device_filter *filter, const struct device *device,
		   const struct group *group)
{
	if (filter->status && (enum device_status)device->status != *filter->status)
		return false;
	if (filter->online && device->online != *filter->online)
		return false;
	if (filter->group && (!group || !device_is_member(device, group)))
		return false;
	if (filter->version && strcmp(device_version(device), filter->version) != 0)
		return false;
	if (filter->search && !strstr(device->id, filter->search))
		return false;
	return passes_state(filter, device);
}

struct devices_page {
	const struct device **devices;
	uint32_t count, room;
	bool more;
};

static void add_matches(const struct device_filter *filter, const struct product *product,
			const char *after, struct devices_page *page)
{
	const struct group *group =
		filter->group ? product_group(product, filter->group) : NULL;

	for (uint32_t i = roster_find(product, after, false); i < product->device_count; i++) {
		if (!passes(filter, product->devices[i], group))
			continue;
		if (page->count == page->room) {
			page->more = true;
			return;
		}
		page->devices[page->count++] = product->devices[i];
	}
}

uint32_t engine_devices(const struct engine *engine, const struct device_filter *filter,
			const char *after, const struct device **ret_devices, uint32_t room,
			bool *ret_more)
{
	struct devices_page page = {.devices = ret_devices, .room = room};
	const struct device *last = after[0] ? roster_device(engine, after) : NULL;
	const struct product *product;
	const char *name = NULL;

	if (filter->product) {
		product = roster_product(engine, filter->product);
		if (product)
			add_matches(filter, product, after, &page);
		*ret_more = page.more;
		return page.count;
	}
	while (!page.more && (product = engine_product_after(engine, name))) {
		int order = last ? strcmp(product->name, last->product->name) : 1;
		name = product->name;
		if (order < 0)
			continue;
		add_matches(filter, product, order == 0 ? after : "", &page);
	}
	*ret_more = page.more;
	return page.count;
}

static int more_devices_first(const void *a, const void *b)
{
	const struct engine_version *left = a, *right = b;

	if (left->devices != right->devices)
		return left->devices < right->devices ? 1 : -1;
	return strcmp(left->version, right->version);
}

uint32_t engine_versions(const struct engine *engine, const char *product_name,
			 struct engine_version *ret_versions, uint32_t room)
{
	const struct product *product = roster_product(engine, product_name);
	uint32_t count = 0;

	for (uint32_t i = 0; product && i < product->device_count; i++) {
		const struct image *runs = product->devices[i]->runs;
		uint32_t at = 0;
		if (!runs)
			continue;
		while (at < count && !(digest_equal(&ret_versions[at].digest, &runs->digest) &&
				       strcmp(ret_versions[at].version, runs->version) == 0))
			at++;
		if (at == room)
			continue;
		if (at == count) {
			ret_versions[count].devices = 0;
			ret_versions[count].digest = runs->digest;
			text_copy(ret_versions[count++].version, NAME_SIZE, runs->version);
		}
		ret_versions[at].devices++;
	}
	if (count)
		qsort(ret_versions, count, sizeof(*ret_versions), more_devices_first);
	return count;
}

static int more_errors_first(const void *a, const void *b)
{
	const struct engine_error *left = a, *right = b;

	if (left->count != right->count)
		return left->count < right->count ? 1 : -1;
	return left->err < right->err ? -1 : left->err > right->err;
}

uint32_t engine_release_errors(const struct engine *engine, const struct release *release,
			       struct engine_error *ret_errors, uint32_t room)
{
	const struct product *product = release->product;
	uint32_t count = 0;

	(void)engine;
	for (uint32_t i = 0; i < product->device_count; i++) {
		const struct update *update = device_update(product->devices[i], release);
		uint32_t at = 0;
		if (!update || !update->error)
			continue;
		while (at < count && ret_errors[at].err != update->error->err)
			at++;
		if (at == room)
			continue;
		if (at == count)
			ret_errors[count++] = (struct engine_error){.err = update->error->err,
								    .sample = update};
		ret_errors[at].count++;
	}
	if (count)
		qsort(ret_errors, count, sizeof(*ret_errors), more_errors_first);
	return count;
}

void engine_totals(const struct engine *engine, struct engine_totals *ret_totals)
{
	struct engine_totals totals = {.updates = engine->update_count,
				       .timers = engine->timers.count};

	for (struct product *product = engine->products; product; product = product->hh.next) {
		totals.products++;
		totals.devices += product->device_count;
		totals.online += product->online_count;
		totals.releases += product->release_count;
		totals.sweeps += product->sweep_left > 0;
		totals.memory_bytes += product->device_room * sizeof(struct device *);
		for (uint32_t i = 0; i < product->release_count; i++)
			totals.grants_waiting += product->releases[i]->grants;
	}
	totals.acks_waiting = engine->pending_count - totals.grants_waiting;
	totals.memory_bytes +=
		totals.devices * (sizeof(struct device) + 32) +
		totals.updates * (sizeof(struct update) + 16) +
		engine->timers.room * sizeof(struct update *) +
		(engine->devices ? HASH_OVERHEAD(hh, engine->devices) -
					   totals.devices * sizeof(UT_hash_handle)
				 : 0);
	*ret_totals = totals;
}
