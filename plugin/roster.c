/* Who is there: products, devices and groups as tables. No decision is taken here. */
#define HASH_NONFATAL_OOM 1
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

bool engine_grow(void *place, uint32_t count, uint32_t *room, size_t size)
{
	void **array = place;
	uint32_t bigger = *room < 8 ? 8 : *room + *room / 2;
	void *moved;

	if (count < *room)
		return true;
	moved = realloc(*array, (size_t)bigger * size);
	if (!moved)
		return false;
	*array = moved;
	*room = bigger;
	return true;
}

struct product *roster_product(const struct engine *engine, const char *name)
{
	struct product *product = NULL;

	HASH_FIND_STR(engine->products, name, product);
	return product;
}

struct device *roster_device(const struct engine *engine, const char *id)
{
	struct device *device = NULL;

	HASH_FIND_STR(engine->devices, id, device);
	return device;
}

enum ota_err roster_add_product(struct engine *engine, const char *name,
				struct product **ret_product, struct ota_why *why)
{
	struct product *product = calloc(1, sizeof(*product));

	if (!product)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "product '%s'", name);
	text_copy(product->name, sizeof(product->name), name);
	HASH_ADD_STR(engine->products, name, product);
	if (!product->hh.tbl) {
		free(product);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "product '%s'", name);
	}
	*ret_product = product;
	return OTA_OK;
}

uint32_t roster_find(const struct product *product, const char *id, bool or_equal)
{
	uint32_t first = 0, end = product->device_count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;
		int order = strcmp(product->devices[middle]->id, id);
		if (order < 0 || (order == 0 && !or_equal))
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static bool enlist(struct product *product, struct device *device)
{
	uint32_t at;

	if (!engine_grow(&product->devices, product->device_count, &product->device_room,
			 sizeof(*product->devices)))
		return false;
	at = roster_find(product, device->id, true);
	memmove(&product->devices[at + 1], &product->devices[at],
		(product->device_count - at) * sizeof(*product->devices));
	product->devices[at] = device;
	product->device_count++;
	if (product->sweep_left && at < product->sweep_at)
		product->sweep_at++; /* the sweep goes on where it was */
	else if (product->sweep_left)
		product->sweep_left++;
	product->status_counts[device->status]++;
	product->online_count += device->online;
	return true;
}

static void delist(struct product *product, struct device *device)
{
	uint32_t at = roster_find(product, device->id, true);

	product->device_count--;
	memmove(&product->devices[at], &product->devices[at + 1],
		(product->device_count - at) * sizeof(*product->devices));
	if (product->sweep_left && at < product->sweep_at)
		product->sweep_at--;
	else if (product->sweep_left)
		product->sweep_left--;
	product->status_counts[device->status]--;
	product->online_count -= device->online;
}

enum ota_err roster_move(struct engine *engine, struct device *device, struct product *product,
			 struct ota_why *why)
{
	struct product *from = device->product;
	struct image *runs = device->runs;

	if (from == product)
		return OTA_OK;
	if (runs)
		runs = image_take(&engine->words, product, runs->version, &runs->digest);
	if ((device->runs && !runs) || !enlist(product, device)) {
		image_drop(&engine->words, runs);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "device '%s'", device->id);
	}
	image_drop(&engine->words, device->runs);
	device->runs = runs;
	delist(from, device);
	device->product = product;
	while (device->group_count)
		roster_leave(device, device->groups[0]);
	return OTA_OK;
}

enum ota_err roster_add_device(struct engine *engine, struct product *product, const char *id,
			       enum device_status status, struct device **ret_device,
			       struct ota_why *why)
{
	size_t len = strlen(id);
	struct device *device = calloc(1, sizeof(*device) + len + 1);

	if (!device)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "device '%s'", id);
	memcpy(device->id, id, len + 1);
	device->product = product;
	device->status = (uint8_t)status;
	device->gate_download = device->gate_install = device->gate_restart = true;
	HASH_ADD_KEYPTR(hh, engine->devices, device->id, len, device);
	if (!device->hh.tbl) {
		free(device);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "device '%s'", id);
	}
	if (!enlist(product, device)) {
		HASH_DEL(engine->devices, device);
		free(device);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "device '%s'", id);
	}
	*ret_device = device;
	return OTA_OK;
}

enum ota_err roster_add_group(struct product *product, const char *name,
			      struct group **ret_group, struct ota_why *why)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "group '%s'", name);
	text_copy(group->name, sizeof(group->name), name);
	group->product = product;
	HASH_ADD_STR(product->groups, name, group);
	if (!group->hh.tbl) {
		free(group);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "group '%s'", name);
	}
	*ret_group = group;
	return OTA_OK;
}

enum ota_err roster_join(struct device *device, struct group *group, struct ota_why *why)
{
	struct group **groups;

	if (device_is_member(device, group))
		return OTA_OK;
	if (device->group_count >= MESSAGE_GROUPS_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "device '%s' is in %u groups already",
				device->id, device->group_count);
	groups = realloc(device->groups, (device->group_count + 1u) * sizeof(struct group *));
	if (!groups)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "group '%s'", group->name);
	groups[device->group_count++] = group;
	device->groups = groups;
	group->member_count++;
	return OTA_OK;
}

void roster_leave(struct device *device, struct group *group)
{
	for (unsigned i = 0; i < device->group_count; i++) {
		if (device->groups[i] != group)
			continue;
		device->groups[i] = device->groups[--device->group_count];
		group->member_count--;
		return;
	}
}

void roster_set_status(struct device *device, enum device_status status)
{
	device->product->status_counts[device->status]--;
	device->status = (uint8_t)status;
	device->product->status_counts[status]++;
}

static void count_all(struct device *device, int sign)
{
	for (struct update *update = device->updates; update; update = update->older)
		attempt_count(update, sign);
}

void roster_set_online(struct device *device, bool online)
{
	count_all(device, -1); /* who is away is counted apart */
	device->product->online_count += online;
	device->product->online_count -= device->online;
	device->online = online;
	if (!online)
		device->greeted = false;
	count_all(device, 1);
}

void roster_set_runs(struct engine *engine, struct device *device, const char *version,
		     const struct digest *digest)
{
	struct image *image;

	if (device->runs && strcmp(device->runs->version, version) == 0 &&
	    digest_equal(&device->runs->digest, digest))
		return;
	image = image_take(&engine->words, device->product, version, digest);
	if (!image)
		return;
	image_drop(&engine->words, device->runs);
	device->runs = image;
}

struct device_texts *roster_texts(struct device *device)
{
	if (!device->texts)
		device->texts = calloc(1, sizeof(*device->texts));
	return device->texts;
}

static void free_device(struct engine *engine, struct device *device)
{
	struct update *update = device->updates, *older;

	for (; update; update = older) {
		older = update->older;
		free(update->error);
		free(update);
	}
	if (device->texts)
		free(device->texts->notes);
	free(device->texts);
	free(device->groups);
	HASH_DEL(engine->devices, device);
	free(device);
}

static void free_product(struct engine *engine, struct product *product)
{
	struct group *group, *next;

	HASH_ITER (hh, product->groups, group, next) {
		HASH_DEL(product->groups, group);
		free(group);
	}
	for (uint32_t i = 0; i < product->firmware_count; i++)
		shelf_free(product->firmwares[i]);
	for (uint32_t i = 0; i < product->release_count; i++)
		conduct_free(product->releases[i]);
	HASH_DEL(engine->products, product);
	free(product->devices);
	free(product->firmwares);
	free(product->releases);
	free(product->actives);
	free(product->title);
	free(product);
}

void roster_done(struct engine *engine)
{
	struct device *device, *next_device;
	struct product *product, *next_product;

	HASH_ITER (hh, engine->devices, device, next_device)
		free_device(engine, device);
	HASH_ITER (hh, engine->products, product, next_product)
		free_product(engine, product);
	word_table_done(&engine->words);
}
