#include "command.h"
#include "show.h"

#include "own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void name_release(struct command_call *call, uint64_t number)
{
	snprintf(call->object, sizeof(call->object), "release %" PRIu64, number);
}

struct dry_run {
	struct trusted_release release;
	struct plan plan;
};

static void dry_run_free(void *more)
{
	struct dry_run *dry_run = more;

	release_done(&dry_run->release.document);
	free(dry_run);
}

static enum ota_err plan_step(struct command_call *call, bool *ret_more, struct ota_why *why)
{
	struct engine *engine = call->service->engine;
	struct dry_run *dry_run = call->more;
	const struct release_document *document = &dry_run->release.document;
	const struct product *product;
	enum ota_err err =
		engine_release_plan(engine, &dry_run->release, &dry_run->plan, ret_more, why);

	if (err || *ret_more)
		return err;
	product = engine_product(engine, document->product);
	show_plan(&call->result, &dry_run->plan, &dry_run->release,
		  product ? product_firmware_by_digest(product, &document->firmware) : NULL);
	return OTA_OK;
}

/* Takes *release over when it succeeds. */
static enum ota_err plan(struct command_call *call, struct trusted_release *release,
			 struct ota_why *why)
{
	struct dry_run *dry_run;
	enum ota_err err = command_keep(call, sizeof(*dry_run), dry_run_free, why);

	if (err)
		return err;
	dry_run = call->more;
	dry_run->release = *release;
	memset(release, 0, sizeof(*release));
	command_work(call, plan_step);
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
		show_release(&call->result, release, false);
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
		show_release(&call->result, release, true);
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
		show_release(&call->result, release, false);
		last = release->document.number;
	}
	snprintf(next, sizeof(next), "%" PRIu64, last);
	command_page_close(&page, page.full ? next : NULL);
	return OTA_OK;
}

static void show_one(struct command_call *call, const struct device_filter *filter,
		     const struct device *device)
{
	show_update(&call->result, device_update(device, filter->release));
}

enum ota_err command_release_devices(struct command_call *call, struct ota_why *why)
{
	const struct release *release;
	struct device_filter filter = {.product = call->args.product,
				       .state = call->args.state,
				       .wave = call->args.has_wave ? &call->args.wave : NULL};
	enum ota_err err = find(call, &release, why);

	if (err)
		return err;
	filter.release = release;
	return command_list_devices(call, &filter, show_one, why);
}

static enum ota_err act(struct command_call *call, enum release_act act, struct ota_why *why)
{
	const struct release *release;
	enum ota_err err;

	name_release(call, call->args.number);
	err = engine_release_act(call->service->engine, call->args.product, call->args.number,
				 act, command_manager(call), &release, why);
	if (!err)
		show_release(&call->result, release, false);
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

struct retrying {
	char after[NAME_SIZE];
	uint32_t failed, retried;
};

static enum ota_err retry_step(struct command_call *call, bool *ret_more, struct ota_why *why)
{
	struct retrying *retrying = call->more;
	struct command_tally tally = {0};
	enum ota_err err = engine_release_retry(call->service->engine, call->args.product,
						call->args.number, retrying->after,
						&retrying->retried, ret_more, why);

	if (err || *ret_more)
		return err;
	tally.counts[ENGINE_CHANGED] = retrying->retried;
	if (retrying->failed > retrying->retried)
		tally.counts[ENGINE_UNCHANGED] = retrying->failed - retrying->retried;
	return command_show_tally(call, &tally, why);
}

static enum ota_err retry_one(struct command_call *call, uint32_t index,
			      enum engine_answer *ret_answer, struct ota_why *why)
{
	const char *id = call->args.devices[index].text;
	const struct device *device = engine_device(call->service->engine, id);

	if (!device || strcmp(device->product->name, call->args.product) != 0)
		return OTA_OK; /* unknown */
	return engine_device_retry(call->service->engine, id, call->args.number, ret_answer,
				   why);
}

static enum ota_err retried(struct command_call *call, const struct command_tally *tally,
			    struct ota_why *why)
{
	if (!tally->counts[ENGINE_CHANGED])
		return ota_fail(why, OTA_NO_TARGETS,
				"no update of release %" PRIu64
				" has failed among those devices and is still its target",
				call->args.number);
	return command_show_tally(call, tally, why);
}

enum ota_err command_release_retry(struct command_call *call, struct ota_why *why)
{
	const struct release *release;
	struct retrying *retrying;
	enum ota_err err = find(call, &release, why);

	name_release(call, call->args.number);
	if (err)
		return err;
	if (call->args.device_count)
		return command_each(call, call->args.device_count, retry_one, retried, why);
	err = command_keep(call, sizeof(*retrying), free, why);
	if (err)
		return err;
	retrying = call->more;
	retrying->failed = count_failed(release);
	command_work(call, retry_step);
	return OTA_OK;
}
