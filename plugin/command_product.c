#include "command.h"
#include "show.h"

enum ota_err command_product_list(struct command_call *call, struct ota_why *why)
{
	const struct product *product = NULL;
	const char *last = NULL;
	struct command_page page;

	(void)why;
	command_page_open(&page, call);
	last = call->args.after[0] ? call->args.after : NULL;
	while ((product = engine_product_after(call->service->engine, last))) {
		if (command_may(call, product->name, MANAGER_VIEWER)) {
			if (!command_page_next(&page))
				break;
			show_product(&call->result, product);
		}
		last = product->name;
	}
	command_page_close(&page, page.full ? last : NULL);
	return OTA_OK;
}

static struct product_change change_of(const struct command_args *args)
{
	return (struct product_change){
		.title = args->has_title ? args->title : NULL,
		.default_hardware = args->has_default_hardware ? args->default_hardware : NULL,
		.import_only = args->has_import_only ? &args->import_only : NULL,
		.second_approval = args->has_second_approval ? &args->second_approval : NULL,
	};
}

static enum ota_err changed(struct command_call *call, enum ota_err err)
{
	const struct product *product =
		err ? NULL : engine_product(call->service->engine, call->args.product);

	if (product)
		show_product(&call->result, product);
	return err;
}

enum ota_err command_product_create(struct command_call *call, struct ota_why *why)
{
	struct product_change change = change_of(&call->args);

	return changed(call, engine_product_create(call->service->engine, call->args.product,
						   &change, why));
}

enum ota_err command_product_update(struct command_call *call, struct ota_why *why)
{
	struct product_change change = change_of(&call->args);

	return changed(call, engine_product_update(call->service->engine, call->args.product,
						   &change, why));
}

enum ota_err command_product_show(struct command_call *call, struct ota_why *why)
{
	const struct product *product =
		engine_product(call->service->engine, call->args.product);

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", call->args.product);
	show_product_more(&call->result, call->service->engine, product);
	return OTA_OK;
}
