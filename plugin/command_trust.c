/* The trust root and the head. */
#include "command.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum ota_err command_root_show(struct command_call *call, struct ota_why *why)
{
	const struct service *service = call->service;

	(void)why;
	show_open(&call->result, NULL);
	show_number(&call->result, "version", trust_root(service->trust)->version);
	show_text(&call->result, "envelope", service->roots[service->root_count - 1].envelope);
	show_close(&call->result, '}');
	return OTA_OK;
}

enum ota_err command_root_update(struct command_call *call, struct ota_why *why)
{
	struct service *service = call->service;
	const char *envelope = call->args.envelope;
	struct store_row row = {.kind = STORE_ROOT, .root = {.envelope = envelope}};
	enum ota_err err;

	if (service->root_count >= SERVICE_ROOTS_MAX)
		return ota_fail(why, OTA_QUOTA_EXCEEDED, "there are %u roots already",
				SERVICE_ROOTS_MAX);
	err = trust_advance(service->trust, envelope, strlen(envelope), why);
	if (err)
		return err;
	row.root.version = trust_root(service->trust)->version;
	snprintf(call->object, sizeof(call->object), "root %" PRIu64, row.root.version);
	err = service_add_root(service, row.root.version, envelope, why);
	if (!err)
		err = command_write(call, &row, 1, why);
	if (err)
		return err;
	summon_start(&service->summon); /* the new root comes with the welcome */
	show_open(&call->result, NULL);
	show_number(&call->result, "version", row.root.version);
	show_close(&call->result, '}');
	return OTA_OK;
}

/* Whoever may release anything may bring a head: its signature says all else. */
static bool develops_any(const struct command_call *call)
{
	const struct product *product = NULL;

	while ((product = engine_product_after(call->service->engine,
					       product ? product->name : NULL)))
		if (command_may(call, product->name, MANAGER_DEVELOPER))
			return true;
	return command_may(call, "*", MANAGER_DEVELOPER);
}

static enum ota_err is_newer(const struct command_call *call, const struct head_document *head,
			     struct ota_why *why)
{
	const char *stored = call->service->head;
	struct head_document before = {0};
	bool stale;

	/* One that the present root does not believe any more is no measure. */
	if (!stored || trust_head(call->service->trust, stored, strlen(stored), &before, NULL))
		return OTA_OK;
	stale = head->created < before.created;
	head_done(&before);
	return stale ? ota_fail(why, OTA_CONFLICT, "a newer head is there") : OTA_OK;
}

enum ota_err command_head_update(struct command_call *call, struct ota_why *why)
{
	struct service *service = call->service;
	struct store_row row = {.kind = STORE_HEAD, .head = {.envelope = call->args.envelope}};
	struct head_document head = {0};
	char *copy;
	enum ota_err err;

	if (!develops_any(call))
		return ota_fail(why, OTA_FORBIDDEN, "needs the role developer of a product");
	err = trust_head(service->trust, call->args.envelope, strlen(call->args.envelope),
			 &head, why);
	if (err)
		return err;
	err = is_newer(call, &head, why);
	if (!err)
		err = command_write(call, &row, 1, why);
	copy = err ? NULL : strdup(call->args.envelope);
	if (!err && copy) {
		free(service->head);
		service->head = copy;
		show_open(&call->result, NULL);
		show_number(&call->result, "created", head.created);
		show_number(&call->result, "not_after", head.not_after);
		show_close(&call->result, '}');
	}
	head_done(&head);
	return err || copy ? err : ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a head");
}
