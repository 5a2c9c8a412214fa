/* Commands on products, devices and groups. */
#include "engine_core.h"

#include <stdlib.h>
#include <string.h>

static enum ota_err take_title(struct product *product, const char *title, struct ota_why *why)
{
	char *copy = title ? strdup(title) : NULL;

	if (title && !copy)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "title of '%s'", product->name);
	if (title) {
		free(product->title);
		product->title = copy;
	}
	return OTA_OK;
}

static enum ota_err change_product(struct engine *engine, struct product *product,
				   const struct product_change *change, struct ota_why *why)
{
	enum ota_err err = take_title(product, change->title, why);

	if (err)
		return err;
	if (change->default_hardware)
		text_copy(product->default_hardware, NAME_SIZE, change->default_hardware);
	if (change->import_only)
		product->import_only = *change->import_only;
	if (change->second_approval)
		product->second_approval = *change->second_approval;
	save_product(engine, product);
	return engine_flush(engine, why);
}

enum ota_err engine_product_create(struct engine *engine, const char *name,
				   const struct product_change *change, struct ota_why *why)
{
	struct product *product = NULL;
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!name_is_product(name))
		return ota_fail(why, OTA_BAD_REQUEST, "product '%s': " NAME_LOWER_ALLOWED,
				name);
	if (roster_product(engine, name))
		return ota_fail(why, OTA_CONFLICT, "product '%s' is there", name);
	err = roster_add_product(engine, name, &product, why);
	if (err)
		return err;
	product->created_ms = engine->now;
	return change_product(engine, product, change, why);
}

static enum ota_err find_product(const struct engine *engine, const char *name,
				 struct product **ret_product, struct ota_why *why)
{
	struct product *product = roster_product(engine, name);

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", name);
	*ret_product = product;
	return OTA_OK;
}

enum ota_err engine_product_update(struct engine *engine, const char *name,
				   const struct product_change *change, struct ota_why *why)
{
	struct product *product = NULL;
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = find_product(engine, name, &product, why);
	return err ? err : change_product(engine, product, change, why);
}

/* Status changed, or its product: everything about it is computed anew and it is told. */
static enum ota_err settle(struct engine *engine, struct device *device, struct ota_why *why)
{
	save_device(engine, device);
	save_device_event(engine, device);
	fleet_recompute(engine, device);
	return engine_flush(engine, why);
}

enum ota_err engine_device_import(struct engine *engine, const char *product_name,
				  const char *id, enum engine_answer *ret_answer,
				  struct ota_why *why)
{
	struct product *product = NULL;
	struct device *device = roster_device(engine, id);
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = find_product(engine, product_name, &product, why);
	if (err)
		return err;
	if (!name_is_id(id)) {
		*ret_answer = ENGINE_UNKNOWN;
		return OTA_OK;
	}
	if (device) {
		*ret_answer = ENGINE_UNCHANGED;
		return OTA_OK;
	}
	err = roster_add_device(engine, product, id, DEVICE_APPROVED, &device, why);
	if (err)
		return err;
	*ret_answer = ENGINE_CHANGED;
	return settle(engine, device, why);
}

static void save_member(struct engine *engine, const struct device *device,
			const struct group *group, bool member)
{
	struct store_row *row = save_row(engine, STORE_MEMBER);

	if (!row)
		return;
	row->gone = !member;
	text_copy(row->member.product, NAME_SIZE, group->product->name);
	text_copy(row->member.group, NAME_SIZE, group->name);
	text_copy(row->member.device, NAME_SIZE, device->id);
}

enum ota_err engine_device_approve(struct engine *engine, const char *id,
				   const char *product_name, enum engine_answer *ret_answer,
				   struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	struct product *product = NULL;
	enum ota_err err = save_begin(engine, why);

	if (!err && product_name)
		err = find_product(engine, product_name, &product, why);
	if (err)
		return err;
	if (!device) {
		*ret_answer = ENGINE_UNKNOWN;
		return OTA_OK;
	}
	if (device->status == DEVICE_APPROVED && (!product || product == device->product)) {
		*ret_answer = ENGINE_UNCHANGED;
		return OTA_OK;
	}
	if (product && product != device->product) {
		while (device->group_count) {
			save_member(engine, device, device->groups[0], false);
			roster_leave(device, device->groups[0]);
		}
		err = roster_move(engine, device, product, why);
		if (err)
			return err;
		word_drop(&engine->words, device->pin);
		device->pin = NULL;
		device->number = 0; /* counted per product; its next hello says */
	}
	roster_set_status(device, DEVICE_APPROVED);
	*ret_answer = ENGINE_CHANGED;
	rollout_send(engine, device, CONTROL_REHELLO, NULL);
	return settle(engine, device, why);
}

static enum ota_err shut_out(struct engine *engine, const char *id, enum device_status status,
			     enum engine_answer *ret_answer, struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!device) {
		*ret_answer = ENGINE_UNKNOWN;
		return OTA_OK;
	}
	if (device->status == status) {
		*ret_answer = ENGINE_UNCHANGED;
		return OTA_OK;
	}
	roster_set_status(device, status);
	*ret_answer = ENGINE_CHANGED;
	err = settle(engine, device, why);
	engine->io.disconnect(engine->io.ctx, id);
	return err;
}

enum ota_err engine_device_deny(struct engine *engine, const char *id,
				enum engine_answer *ret_answer, struct ota_why *why)
{
	return shut_out(engine, id, DEVICE_DENIED, ret_answer, why);
}

enum ota_err engine_device_remove(struct engine *engine, const char *id,
				  enum engine_answer *ret_answer, struct ota_why *why)
{
	return shut_out(engine, id, DEVICE_DECOMMISSIONED, ret_answer, why);
}

static enum ota_err set_member(struct engine *engine, struct device *device,
			       struct group *group, bool member, struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	if (member == device_is_member(device, group))
		return OTA_OK;
	if (member)
		err = roster_join(device, group, why);
	else
		roster_leave(device, group);
	if (err)
		return err;
	save_member(engine, device, group, member);
	return OTA_OK;
}

static enum ota_err check_change(const struct device *device,
				 const struct device_change *change, struct ota_why *why)
{
	if (change->pin && change->pin[0] && !product_firmware(device->product, change->pin))
		return ota_fail(why, OTA_NOT_FOUND, "no version '%s' of '%s' to pin to",
				change->pin, device->product->name);
	if (!change->groups)
		return OTA_OK;
	if (change->group_count > MESSAGE_GROUPS_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "%u groups, at most %u",
				change->group_count, MESSAGE_GROUPS_MAX);
	for (uint32_t i = 0; i < change->group_count; i++) {
		if (!product_group(device->product, change->groups[i]))
			return ota_fail(why, OTA_NOT_FOUND, "no group '%s' of '%s'",
					change->groups[i], device->product->name);
	}
	return OTA_OK;
}

static bool is_named(const struct device_change *change, const struct group *group)
{
	for (uint32_t i = 0; i < change->group_count; i++) {
		if (strcmp(change->groups[i], group->name) == 0)
			return true;
	}
	return false;
}

static enum ota_err set_groups(struct engine *engine, struct device *device,
			       const struct device_change *change, struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	for (unsigned i = device->group_count; !err && i-- > 0;) {
		if (!is_named(change, device->groups[i]))
			err = set_member(engine, device, device->groups[i], false, why);
	}
	for (uint32_t i = 0; !err && i < change->group_count; i++)
		err = set_member(engine, device,
				 product_group(device->product, change->groups[i]), true, why);
	return err;
}

static enum ota_err set_notes(struct device *device, const char *notes, struct ota_why *why)
{
	char *copy = notes[0] ? strdup(notes) : NULL;

	if ((notes[0] && !copy) || !roster_texts(device)) {
		free(copy);
		return ota_fail(why, OTA_OUT_OF_MEMORY, "notes of '%s'", device->id);
	}
	free(device->texts->notes);
	device->texts->notes = copy;
	return OTA_OK;
}

enum ota_err engine_device_set(struct engine *engine, const char *id,
			       const struct device_change *change, struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	enum ota_err err = save_begin(engine, why);

	if (err)
		return err;
	if (!device)
		return ota_fail(why, OTA_NOT_FOUND, "no device '%s'", id);
	err = check_change(device, change, why);
	if (!err && change->notes)
		err = set_notes(device, change->notes, why);
	if (!err && change->groups)
		err = set_groups(engine, device, change, why);
	if (err)
		return err;
	if (change->pin) {
		struct word *pin = word_take(&engine->words, change->pin);
		if (change->pin[0] && !pin)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "pin of '%s'", id);
		word_drop(&engine->words, device->pin);
		device->pin = pin;
	}
	if (change->development)
		device->development = *change->development;
	if (change->updates_disabled)
		device->updates_disabled = *change->updates_disabled;
	if (change->groups)
		rollout_send(engine, device, CONTROL_REHELLO, NULL);
	return settle(engine, device, why);
}

enum ota_err engine_group_create(struct engine *engine, const char *product_name,
				 const char *name, struct ota_why *why)
{
	struct product *product = NULL;
	struct group *group = NULL;
	struct store_row *row;
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = find_product(engine, product_name, &product, why);
	if (err)
		return err;
	if (!name_is_product(name))
		return ota_fail(why, OTA_BAD_REQUEST, "group '%s': " NAME_LOWER_ALLOWED, name);
	if (product_group(product, name))
		return ota_fail(why, OTA_CONFLICT, "group '%s' is there", name);
	err = roster_add_group(product, name, &group, why);
	if (err)
		return err;
	group->created_ms = engine->now;
	row = save_row(engine, STORE_GROUP);
	if (row) {
		text_copy(row->group.product, NAME_SIZE, product_name);
		text_copy(row->group.name, NAME_SIZE, name);
		row->group.created_ms = group->created_ms;
	}
	return engine_flush(engine, why);
}

static enum ota_err find_group(const struct engine *engine, const char *product_name,
			       const char *name, struct group **ret_group, struct ota_why *why)
{
	struct product *product = NULL;
	enum ota_err err = find_product(engine, product_name, &product, why);
	struct group *group = err ? NULL : product_group(product, name);

	if (err)
		return err;
	if (!group)
		return ota_fail(why, OTA_NOT_FOUND, "no group '%s' of '%s'", name,
				product_name);
	*ret_group = group;
	return OTA_OK;
}

static enum ota_err check_group_unused(const struct group *group, struct ota_why *why)
{
	const struct product *product = group->product;

	for (uint32_t i = 0; i < product->release_count; i++) {
		const struct release *release = product->releases[i];
		bool named = release->group == group;
		for (uint32_t w = 0; w < release->document.wave_count; w++)
			named |= strcmp(release->document.waves[w].group, group->name) == 0;
		if (named && !release_is_final(release->state))
			return ota_fail(why, OTA_CONFLICT, "release %llu names group '%s'",
					(unsigned long long)release->document.number,
					group->name);
	}
	return OTA_OK;
}

static void forget_group(struct engine *engine, struct group *group)
{
	struct product *product = group->product;
	struct store_row *row = save_row(engine, STORE_GROUP);

	for (uint32_t i = 0; i < product->release_count; i++) {
		if (product->releases[i]->group == group)
			product->releases[i]->group = NULL;
	}
	if (row) {
		row->gone = true;
		text_copy(row->group.product, NAME_SIZE, product->name);
		text_copy(row->group.name, NAME_SIZE, group->name);
	}
	HASH_DEL(product->groups, group);
	free(group);
}

enum ota_err engine_group_delete(struct engine *engine, const char *product_name,
				 const char *name, char after[NAME_SIZE], bool *ret_more,
				 struct ota_why *why)
{
	struct group *group = NULL;
	const struct product *product;
	uint32_t at, left = engine->limits.slice;
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = find_group(engine, product_name, name, &group, why);
	if (!err)
		err = check_group_unused(group, why);
	if (err)
		return err;
	product = group->product;
	for (at = roster_find(product, after, false); at < product->device_count && left;
	     at++, left--) {
		struct device *device = product->devices[at];
		text_copy(after, NAME_SIZE, device->id);
		if (!device_is_member(device, group))
			continue;
		save_member(engine, device, group, false);
		roster_leave(device, group);
		rollout_send(engine, device, CONTROL_REHELLO, NULL);
	}
	*ret_more = at < product->device_count;
	if (!*ret_more)
		forget_group(engine, group);
	return engine_flush(engine, why);
}

enum ota_err engine_group_edit(struct engine *engine, const char *product_name,
			       const char *name, const char *id, bool member,
			       enum engine_answer *ret_answer, struct ota_why *why)
{
	struct device *device = roster_device(engine, id);
	struct group *group = NULL;
	enum ota_err err = save_begin(engine, why);

	if (!err)
		err = find_group(engine, product_name, name, &group, why);
	if (err)
		return err;
	if (!device || device->product != group->product) {
		*ret_answer = ENGINE_UNKNOWN;
		return OTA_OK;
	}
	if (device_is_member(device, group) == member) {
		*ret_answer = ENGINE_UNCHANGED;
		return OTA_OK;
	}
	err = set_member(engine, device, group, member, why);
	if (err)
		return err;
	*ret_answer = ENGINE_CHANGED;
	rollout_send(engine, device, CONTROL_REHELLO, NULL);
	fleet_recompute(engine, device);
	return engine_flush(engine, why);
}
