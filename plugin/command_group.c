#include "command.h"
#include "show.h"

#include <string.h>

static void show_group(struct text *to, const struct product *product,
		       const struct group *group)
{
	show_open(to, NULL);
	show_text(to, "product", product->name);
	show_text(to, "group", group->name);
	show_number(to, "devices", group->member_count);
	for (uint32_t i = product->release_count; i > 0; i--)
		if (product->releases[i - 1]->group == group &&
		    release_is_active(product->releases[i - 1])) {
			show_number(to, "release", product->releases[i - 1]->document.number);
			break;
		}
	show_close(to, '}');
}

/* The next name in order; groups are few and in no order. */
static const struct group *group_after(const struct product *product, const char *after)
{
	const struct group *best = NULL;

	for (const struct group *group = product->groups; group; group = group->hh.next)
		if (strcmp(group->name, after) > 0 &&
		    (!best || strcmp(group->name, best->name) < 0))
			best = group;
	return best;
}

static enum ota_err find_product(const struct command_call *call,
				 const struct product **ret_product, struct ota_why *why)
{
	*ret_product = engine_product(call->service->engine, call->args.product);
	if (!*ret_product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", call->args.product);
	return OTA_OK;
}

enum ota_err command_group_list(struct command_call *call, struct ota_why *why)
{
	const struct product *product;
	const struct group *group;
	const char *last = call->args.after;
	struct command_page page;
	enum ota_err err = find_product(call, &product, why);

	if (err)
		return err;
	command_page_open(&page, call);
	while ((group = group_after(product, last))) {
		if (!command_page_next(&page))
			break;
		show_group(&call->result, product, group);
		last = group->name;
	}
	command_page_close(&page, page.full ? last : NULL);
	return OTA_OK;
}

enum ota_err command_group_create(struct command_call *call, struct ota_why *why)
{
	const struct product *product;
	enum ota_err err;

	text_copy(call->object, sizeof(call->object), call->args.group);
	err = engine_group_create(call->service->engine, call->args.product, call->args.group,
				  why);
	if (!err)
		err = find_product(call, &product, why);
	if (!err)
		show_group(&call->result, product, product_group(product, call->args.group));
	return err;
}

enum ota_err command_group_delete(struct command_call *call, struct ota_why *why)
{
	text_copy(call->object, sizeof(call->object), call->args.group);
	show_open(&call->result, NULL);
	show_text(&call->result, "product", call->args.product);
	show_text(&call->result, "group", call->args.group);
	show_number(&call->result, "devices", 0);
	show_close(&call->result, '}');
	return engine_group_delete(call->service->engine, call->args.product, call->args.group,
				   why);
}

static enum ota_err edit(struct command_call *call, const struct command_text *devices,
			 uint32_t count, bool member, uint32_t counts[ENGINE_UNKNOWN + 1],
			 struct ota_why *why)
{
	for (uint32_t i = 0; i < count; i++) {
		enum engine_answer answer = ENGINE_UNKNOWN;
		enum ota_err err = OTA_OK;

		if (name_is_id(devices[i].text))
			err = engine_group_edit(call->service->engine, call->args.product,
						call->args.group, devices[i].text, member,
						&answer, why);
		if (err)
			return err;
		counts[answer]++;
	}
	return OTA_OK;
}

enum ota_err command_group_edit(struct command_call *call, struct ota_why *why)
{
	uint32_t counts[ENGINE_UNKNOWN + 1] = {0};
	const struct command_args *args = &call->args;
	const struct product *product;
	enum ota_err err = find_product(call, &product, why);

	text_copy(call->object, sizeof(call->object), args->group);
	if (!err && !product_group(product, args->group))
		err = ota_fail(why, OTA_NOT_FOUND, "no group '%s'", args->group);
	if (!err)
		err = edit(call, args->add, args->add_count, true, counts, why);
	if (!err)
		err = edit(call, args->remove, args->remove_count, false, counts, why);
	if (err)
		return err;
	show_open(&call->result, NULL);
	show_number(&call->result, "changed", counts[ENGINE_CHANGED]);
	show_number(&call->result, "unchanged", counts[ENGINE_UNCHANGED]);
	show_number(&call->result, "unknown", counts[ENGINE_UNKNOWN]);
	show_close(&call->result, '}');
	return OTA_OK;
}
