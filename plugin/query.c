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
	return update && (!filter->wave || update->wave == *filter->wave) &&
	       (filter->state == UPDATE_NONE ||
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
	uint32_t count, room, left; /* left: to be looked at in this call */
	char *after;
	bool more;
};

static void add_matches(const struct device_filter *filter, const struct product *product,
			const char *after, struct devices_page *page)
{
	const struct group *group =
		filter->group ? product_group(product, filter->group) : NULL;

	for (uint32_t i = roster_find(product, after, false); i < product->device_count; i++) {
		const struct device *device = product->devices[i];
		if (page->count == page->room || page->left == 0) {
			page->more = true;
			return;
		}
		page->left--;
		text_copy(page->after, NAME_SIZE, device->id);
		if (passes(filter, device, group))
			page->devices[page->count++] = device;
	}
}

uint32_t engine_devices(const struct engine *engine, const struct device_filter *filter,
			char after[NAME_SIZE], const struct device **ret_devices, uint32_t room,
			bool *ret_more)
{
	struct devices_page page = {.devices = ret_devices,
				    .room = room,
				    .left = engine->limits.slice,
				    .after = after};
	const struct device *last = after[0] ? roster_device(engine, after) : NULL;
	const struct product *product;
	const char *name = last ? last->product->name : NULL;

	if (filter->product) {
		product = roster_product(engine, filter->product);
		if (product)
			add_matches(filter, product, after, &page);
		*ret_more = page.more;
		return page.count;
	}
	if (last)
		add_matches(filter, last->product, after, &page);
	while (!page.more && (product = engine_product_after(engine, name))) {
		add_matches(filter, product, "", &page);
		name = product->name;
	}
	*ret_more = page.more;
	return page.count;
}

uint32_t engine_versions(const struct engine *engine, const char *product_name,
			 struct engine_version *ret_versions, uint32_t room)
{
	const struct product *product = roster_product(engine, product_name);
	uint32_t count = 0;

	for (const struct image *image = engine->words.images; image; image = image->hh.next) {
		uint32_t at = count;
		if (image->product != product)
			continue;
		/* Insertion: there are a handful, and of very many the frequent are wanted. */
		while (at > 0 && ret_versions[at - 1].devices < image->users)
			at--;
		if (at == room)
			continue;
		count += count < room;
		memmove(&ret_versions[at + 1], &ret_versions[at],
			(count - at - 1) * sizeof(*ret_versions));
		ret_versions[at].devices = image->users;
		ret_versions[at].digest = image->digest;
		text_copy(ret_versions[at].version, NAME_SIZE, image->version);
	}
	return count;
}

uint32_t engine_running(const struct engine *engine, const struct firmware *firmware)
{
	uint32_t count = 0;

	for (const struct image *image = engine->words.images; image; image = image->hh.next) {
		if (image->product == firmware->product &&
		    digest_equal(&image->digest, &firmware->image))
			count += image->users;
	}
	return count;
}

static int more_errors_first(const void *a, const void *b)
{
	const struct engine_error *left = a, *right = b;

	if (left->count != right->count)
		return left->count < right->count ? 1 : -1;
	return left->err < right->err ? -1 : left->err > right->err;
}

static bool has_error(const struct device *device, const struct release *release,
		      enum ota_err err)
{
	const struct update *update = device_update(device, release);

	return update && update->error && update->error->err == err;
}

/* The one that had it last has perhaps got over it. */
static const struct device *find_sample(const struct release *release,
					const struct release_error *error)
{
	const struct product *product = release->product;

	if (has_error(error->sample, release, error->err))
		return error->sample;
	for (uint32_t i = 0; i < product->device_count; i++) {
		if (has_error(product->devices[i], release, error->err))
			return product->devices[i];
	}
	return NULL;
}

uint32_t engine_release_errors(const struct release *release, struct engine_error *ret_errors,
			       uint32_t room)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < release->error_count; i++) {
		struct release_error *error = &release->errors[i];
		if (error->count == 0 || count == room)
			continue;
		error->sample = find_sample(release, error);
		ret_errors[count++] = (struct engine_error){
			.err = error->err, .count = error->count, .sample = error->sample};
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
