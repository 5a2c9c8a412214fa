#include "command.h"
#include "show.h"

#include <stdlib.h>
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

struct deletion {
	char after[NAME_SIZE];
};

static enum ota_err delete_step(struct command_call *call, bool *ret_more, struct ota_why *why)
{
	struct deletion *deletion = call->more;
	enum ota_err err =
		engine_group_delete(call->service->engine, call->args.product, call->args.group,
				    deletion->after, ret_more, why);

	if (err || *ret_more)
		return err;
	show_open(&call->result, NULL);
	show_text(&call->result, "product", call->args.product);
	show_text(&call->result, "group", call->args.group);
	show_number(&call->result, "devices", 0);
	show_close(&call->result, '}');
	return OTA_OK;
}

enum ota_err command_group_delete(struct command_call *call, struct ota_why *why)
{
	text_copy(call->object, sizeof(call->object), call->args.group);
	command_work(call, delete_step);
	return command_keep(call, sizeof(struct deletion), free, why);
}

/* First those to be added, then those to be removed. */
static enum ota_err edit_one(struct command_call *call, uint32_t index,
			     enum engine_answer *ret_answer, struct ota_why *why)
{
	const struct command_args *args = &call->args;
	bool member = index < args->add_count;
	const char *device =
		member ? args->add[index].text : args->remove[index - args->add_count].text;

	return engine_group_edit(call->service->engine, args->product, args->group, device,
				 member, ret_answer, why);
}

enum ota_err command_group_edit(struct command_call *call, struct ota_why *why)
{
	const struct command_args *args = &call->args;
	const struct product *product;
	enum ota_err err = find_product(call, &product, why);

	text_copy(call->object, sizeof(call->object), args->group);
	if (!err && !product_group(product, args->group))
		err = ota_fail(why, OTA_NOT_FOUND, "no group '%s'", args->group);
	return err ? err
		   : command_each(call, args->add_count + args->remove_count, edit_one,
				  command_show_tally, why);
}
