#include "command.h"
#include "show.h"

#include "own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void name_release(struct command_call *call, uint64_t number)
{
	snprintf(call->object, sizeof(call->object), "release %" PRIu64, number);
}

static enum ota_err plan(struct command_call *call, struct trusted_release *release,
			 struct ota_why *why)
{
	const struct product *product =
		engine_product(call->service->engine, release->document.product);
	struct plan plan = {0};
	enum ota_err err = engine_release_plan(call->service->engine, release, &plan, why);

	if (err)
		return err;
	show_plan(&call->result, &plan, release,
		  product ? product_firmware_by_digest(product, &release->document.firmware)
			  : NULL);
	return OTA_OK;
}

static enum ota_err create(struct command_call *call, struct trusted_release *trusted,
			   struct ota_why *why)
{
	const struct release *release;
	enum ota_err err = OTA_OK;

	if (call->args.override)
		err = command_must(call, trusted->document.product, MANAGER_ADMIN, why);
	if (!err)
		err = engine_release_create(call->service->engine, trusted, call->args.envelope,
					    call->args.override ? command_manager(call) : NULL,
					    &release, why);
	if (!err)
		show_release(&call->result, call->service->engine, release, false);
	return err;
}

enum ota_err command_release_create(struct command_call *call, struct ota_why *why)
{
	struct trusted_release trusted = {0};
	enum ota_err err = trust_release(call->service->trust, call->args.envelope,
					 strlen(call->args.envelope), &trusted, why);

	if (err)
		return err;
	text_copy(call->product, sizeof(call->product), trusted.document.product);
	name_release(call, trusted.document.number);
	err = command_must(call, trusted.document.product, MANAGER_DEVELOPER, why);
	if (!err)
		err = call->args.dry_run ? plan(call, &trusted, why)
					 : create(call, &trusted, why);
	release_done(&trusted.document);
	return err;
}

static enum ota_err find(const struct command_call *call, const struct release **ret_release,
			 struct ota_why *why)
{
	*ret_release =
		engine_release(call->service->engine, call->args.product, call->args.number);
	if (!*ret_release)
		return ota_fail(why, OTA_NOT_FOUND, "no release %" PRIu64 " of '%s'",
				call->args.number, call->args.product);
	return OTA_OK;
}

enum ota_err command_release_show(struct command_call *call, struct ota_why *why)
{
	const struct release *release;
	enum ota_err err = find(call, &release, why);

	if (!err)
		show_release(&call->result, call->service->engine, release, true);
	return err;
}

enum ota_err command_release_list(struct command_call *call, struct ota_why *why)
{
	const struct product *product =
		engine_product(call->service->engine, call->args.product);
	uint64_t below = UINT64_MAX, last = 0;
	struct command_page page;
	char next[24];

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", call->args.product);
	if (call->args.after[0] && !text_to_u64(call->args.after, JSON_INT_MAX, &below))
		return ota_fail(why, OTA_BAD_REQUEST, "after is a number");
	command_page_open(&page, call);
	for (uint32_t i = product->release_count; i > 0; i--) {
		const struct release *release = product->releases[i - 1];

		if (release->document.number >= below)
			continue;
		if (!command_page_next(&page))
			break;
		show_release(&call->result, call->service->engine, release, false);
		last = release->document.number;
	}
	snprintf(next, sizeof(next), "%" PRIu64, last);
	command_page_close(&page, page.full ? next : NULL);
	return OTA_OK;
}

enum ota_err command_release_devices(struct command_call *call, struct ota_why *why)
{
	const struct device *devices[STORE_PAGE_MAX];
	const struct release *release;
	struct device_filter filter = {.product = call->args.product,
				       .state = call->args.state};
	enum ota_err err = find(call, &release, why);
	char after[NAME_SIZE];
	struct command_page page;
	bool more = true;

	if (err)
		return err;
	filter.release = release;
	text_copy(after, sizeof(after), call->args.after);
	command_page_open(&page, call);
	while (more && !page.full) {
		uint32_t count = engine_devices(call->service->engine, &filter, after, devices,
						page.limit, &more);

		for (uint32_t i = 0; i < count; i++) {
			const struct update *update = device_update(devices[i], release);

			if (update &&
			    (!call->args.has_wave || update->wave == call->args.wave)) {
				if (!command_page_next(&page))
					break;
				show_update(&call->result, update);
			}
			text_copy(after, sizeof(after), devices[i]->id);
		}
		if (count == 0)
			more = false;
		if (page.count == page.limit && more)
			page.full = true;
	}
	command_page_close(&page, page.full ? after : NULL);
	return OTA_OK;
}

static enum ota_err act(struct command_call *call, enum release_act act, struct ota_why *why)
{
	AUTO_FREE const char **devices = NULL;
	uint32_t count = call->args.device_count;
	const struct release *release;
	enum ota_err err;

	name_release(call, call->args.number);
	if (count > 0) {
		devices = calloc(count, sizeof(*devices));
		if (!devices)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a command");
		for (uint32_t i = 0; i < count; i++)
			devices[i] = call->args.devices[i].text;
	}
	err = engine_release_act(call->service->engine, call->args.product, call->args.number,
				 act, command_manager(call), devices, count, &release, why);
	if (!err)
		show_release(&call->result, call->service->engine, release, false);
	return err;
}

enum ota_err command_release_hold(struct command_call *call, struct ota_why *why)
{
	return act(call, RELEASE_ACT_HOLD, why);
}

enum ota_err command_release_resume(struct command_call *call, struct ota_why *why)
{
	return act(call, RELEASE_ACT_RESUME, why);
}

enum ota_err command_release_advance(struct command_call *call, struct ota_why *why)
{
	return act(call, RELEASE_ACT_ADVANCE, why);
}

enum ota_err command_release_abort(struct command_call *call, struct ota_why *why)
{
	return act(call, RELEASE_ACT_ABORT, why);
}

enum ota_err command_release_approve(struct command_call *call, struct ota_why *why)
{
	return act(call, RELEASE_ACT_APPROVE, why);
}

/* Updates that have ended badly and may be tried again. */
static uint32_t count_failed(const struct release *release)
{
	static const enum update_state failed[] = {UPDATE_FAILED,   UPDATE_ROLLED_BACK,
						   UPDATE_REJECTED, UPDATE_TIMED_OUT,
						   UPDATE_LOST,	    UPDATE_CANCELED};
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(failed) / sizeof(*failed); i++)
		count += release->counts[failed[i]];
	return count;
}

enum ota_err command_release_retry(struct command_call *call, struct ota_why *why)
{
	const struct release *release;
	uint32_t before, changed, unknown = 0, asked;
	enum ota_err err = find(call, &release, why);

	if (err)
		return err;
	before = count_failed(release);
	asked = call->args.device_count ? call->args.device_count : before;
	for (uint32_t i = 0; i < call->args.device_count; i++) {
		const struct device *device =
			engine_device(call->service->engine, call->args.devices[i].text);

		unknown += !device || !device_update(device, release);
	}
	err = act(call, RELEASE_ACT_RETRY, why);
	if (err)
		return err;
	changed = before - count_failed(release);
	call->result.len = 0;
	show_open(&call->result, NULL);
	show_number(&call->result, "changed", changed);
	show_number(&call->result, "unchanged", asked - unknown - changed);
	show_number(&call->result, "unknown", unknown);
	show_close(&call->result, '}');
	return OTA_OK;
}
