#include "command.h"
#include "show.h"

#include "own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GROUPED_MAX 64 /* attempts shown on one page of device.updates */

/* ---- looking ---- */

static void show_one(struct command_call *call, const struct device_filter *filter,
		     const struct device *device)
{
	(void)filter;
	show_device(&call->result, device);
}

static const char *given(const char *text)
{
	return text[0] ? text : NULL;
}

enum ota_err command_device_list(struct command_call *call, struct ota_why *why)
{
	const struct command_args *args = &call->args;
	struct device_filter filter = {
		.product = given(args->product),
		.group = given(args->group),
		.version = given(args->version),
		.search = given(args->search),
		.status = args->has_status ? &args->status : NULL,
		.online = args->has_online ? &args->online : NULL,
		.state = args->state,
	};

	if (filter.product && !engine_product(call->service->engine, filter.product))
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", filter.product);
	if (filter.group && !filter.product)
		return ota_fail(why, OTA_BAD_REQUEST, "group needs a product");
	return command_list_devices(call, &filter, show_one, why);
}

enum ota_err command_device_show(struct command_call *call, struct ota_why *why)
{
	const struct device *device = engine_device(call->service->engine, call->args.device);

	(void)why;
	show_device(&call->result, device);
	return OTA_OK;
}

enum ota_err command_device_why(struct command_call *call, struct ota_why *why)
{
	struct engine_why answer;
	enum ota_err err = engine_why(call->service->engine, call->args.device, &answer, why);

	if (err)
		return err;
	show_open(&call->result, NULL);
	show_text(&call->result, "rule", answer.rule);
	show_text(&call->result, "sentence", answer.sentence);
	if (answer.release || answer.firmware) {
		show_open(&call->result, "target");
		show_number(&call->result, "release",
			    answer.release ? answer.release->document.number : 0);
		show_text(&call->result, "version",
			  answer.firmware ? answer.firmware->version : "");
		show_close(&call->result, '}');
	}
	show_close(&call->result, '}');
	return OTA_OK;
}

/* ---- changing many ---- */

static void name_object(struct command_call *call)
{
	if (call->args.device_count == 1)
		snprintf(call->object, sizeof(call->object), "%.100s",
			 call->args.devices[0].text);
	else
		snprintf(call->object, sizeof(call->object), "%.80s and %u more",
			 call->args.devices[0].text, call->args.device_count - 1);
}

#define INVALID_SHOWN 20

static enum ota_err import_one(struct command_call *call, uint32_t index,
			       enum engine_answer *ret_answer, struct ota_why *why)
{
	return engine_device_import(call->service->engine, call->args.product,
				    call->args.devices[index].text, ret_answer, why);
}

static enum ota_err imported(struct command_call *call, const struct command_tally *tally,
			     struct ota_why *why)
{
	uint32_t shown = 0;

	(void)why;
	show_open(&call->result, NULL);
	show_number(&call->result, "added", tally->counts[ENGINE_CHANGED]);
	show_number(&call->result, "existing", tally->counts[ENGINE_UNCHANGED]);
	show_number(&call->result, "invalid", tally->counts[ENGINE_UNKNOWN]);
	show_array(&call->result, "invalid_ids");
	for (uint32_t i = 0; i < call->args.device_count && shown < INVALID_SHOWN; i++) {
		if (name_is_id(call->args.devices[i].text))
			continue;
		show_text(&call->result, NULL, call->args.devices[i].text);
		shown++;
	}
	show_close(&call->result, ']');
	show_close(&call->result, '}');
	return OTA_OK;
}

enum ota_err command_device_import(struct command_call *call, struct ota_why *why)
{
	name_object(call);
	return command_each(call, call->args.device_count, import_one, imported, why);
}

/* All or none: rights are looked at before the first is changed. */
static enum ota_err check_rights(struct command_call *call, struct ota_why *why)
{
	enum ota_err err = OTA_OK;

	if (call->args.product[0])
		err = command_must(call, call->args.product, MANAGER_DEVELOPER, why);
	for (uint32_t i = 0; i < call->args.device_count && !err; i++) {
		const struct device *device =
			engine_device(call->service->engine, call->args.devices[i].text);

		if (!device)
			continue;
		if (!call->product[0])
			text_copy(call->product, sizeof(call->product), device->product->name);
		err = command_must(call, device->product->name, MANAGER_DEVELOPER, why);
	}
	return err;
}

static enum ota_err approve_one(struct command_call *call, uint32_t index,
				enum engine_answer *ret_answer, struct ota_why *why)
{
	return engine_device_approve(call->service->engine, call->args.devices[index].text,
				     given(call->args.product), ret_answer, why);
}

static enum ota_err deny_one(struct command_call *call, uint32_t index,
			     enum engine_answer *ret_answer, struct ota_why *why)
{
	return engine_device_deny(call->service->engine, call->args.devices[index].text,
				  ret_answer, why);
}

static enum ota_err remove_one(struct command_call *call, uint32_t index,
			       enum engine_answer *ret_answer, struct ota_why *why)
{
	return engine_device_remove(call->service->engine, call->args.devices[index].text,
				    ret_answer, why);
}

static enum ota_err change_all(struct command_call *call, command_one one, struct ota_why *why)
{
	enum ota_err err;

	name_object(call);
	err = check_rights(call, why);
	return err ? err
		   : command_each(call, call->args.device_count, one, command_show_tally, why);
}

enum ota_err command_device_approve(struct command_call *call, struct ota_why *why)
{
	return change_all(call, approve_one, why);
}

enum ota_err command_device_deny(struct command_call *call, struct ota_why *why)
{
	return change_all(call, deny_one, why);
}

enum ota_err command_device_remove(struct command_call *call, struct ota_why *why)
{
	return change_all(call, remove_one, why);
}

/* ---- changing one ---- */

enum ota_err command_device_set(struct command_call *call, struct ota_why *why)
{
	const struct command_args *args = &call->args;
	const char *groups[MESSAGE_GROUPS_MAX];
	struct device_change change = {
		.groups = args->has_groups ? groups : NULL,
		.group_count = args->group_count,
		.notes = args->has_notes ? args->notes : NULL,
		.pin = args->has_pin ? args->pin : NULL,
		.development = args->has_development ? &args->development : NULL,
		.updates_disabled = args->has_updates_disabled ? &args->updates_disabled : NULL,
	};
	enum ota_err err;

	text_copy(call->object, sizeof(call->object), args->device);
	for (uint32_t i = 0; i < args->group_count; i++)
		groups[i] = args->groups[i].text;
	err = engine_device_set(call->service->engine, args->device, &change, why);
	if (!err)
		show_device(&call->result, engine_device(call->service->engine, args->device));
	return err;
}

enum ota_err command_device_retry(struct command_call *call, struct ota_why *why)
{
	const struct engine *engine = call->service->engine;
	const struct device *device = engine_device(engine, call->args.device);
	const struct release *release;
	enum engine_answer answer;
	enum ota_err err;

	snprintf(call->object, sizeof(call->object), "%s release %" PRIu64, device->id,
		 call->args.release);
	err = engine_device_retry(call->service->engine, device->id, call->args.release,
				  &answer, why);
	if (err)
		return err;
	if (answer == ENGINE_UNKNOWN)
		return ota_fail(why, OTA_NOT_FOUND, "'%s' has no update of release %" PRIu64,
				device->id, call->args.release);
	if (answer == ENGINE_UNCHANGED)
		return ota_fail(why, OTA_NO_TARGETS,
				"the update of '%s' has not failed, or release %" PRIu64
				" is not its target any more",
				device->id, call->args.release);
	release = engine_release(engine, device->product->name, call->args.release);
	show_update(&call->result, device_update(device, release));
	return OTA_OK;
}

enum ota_err command_device_revert(struct command_call *call, struct ota_why *why)
{
	const struct update *update;
	enum ota_err err;

	snprintf(call->object, sizeof(call->object), "%s release %" PRIu64, call->args.device,
		 call->args.release);
	err = engine_device_revert(call->service->engine, call->args.device, call->args.release,
				   &update, why);
	if (!err)
		show_update(&call->result, update);
	return err;
}

enum ota_err command_device_ping(struct command_call *call, struct ota_why *why)
{
	const struct device *device = engine_device(call->service->engine, call->args.device);
	struct control rehello = {.v = 1, .type = CONTROL_REHELLO};
	AUTO(text_done) struct text json = {0};
	enum ota_err err = OTA_OK;

	text_copy(call->object, sizeof(call->object), device->id);
	if (device->online) {
		err = control_write(&rehello, &json, why);
		if (!err)
			outbox_json(call->service, TOPIC_CONTROL_DEVICE, device->id, &json, 1);
	}
	show_open(&call->result, NULL);
	show_bool(&call->result, "online", device->online);
	show_number(&call->result, "seen", device->seen_ms / 1000);
	show_close(&call->result, '}');
	return err;
}

/* ---- history ---- */

static void show_report_row(struct text *to, const struct store_row *row)
{
	show_report(to, &row->report);
}

enum ota_err command_device_log(struct command_call *call, struct ota_why *why)
{
	struct store_query query = {.kind = STORE_REPORT,
				    .release = call->args.release,
				    .attempt = call->args.attempt,
				    .logs = true,
				    .newest_first = true};

	text_copy(query.device, sizeof(query.device), call->args.device);
	return command_list_rows(call, &query, show_report_row, why);
}

/* One attempt, gathered from its reports. */
struct attempt {
	uint64_t release, first_ms, last_ms, sequence;
	uint32_t attempt, reports;
	const struct store_report *newest, *failed;
};

/* Reports come newest first. An attempt that a page cuts in two is left to the next page,
 * unless it fills the page. Returns how many attempts are whole. */
static uint32_t gather(const struct store_page *stored, struct attempt attempts[GROUPED_MAX],
		       bool *ret_cut)
{
	uint32_t count = 0;

	*ret_cut = stored->more;
	for (uint32_t i = 0; i < stored->count; i++) {
		const struct store_report *row = &stored->rows[i].report;
		uint32_t at = 0;

		if (row->event != STORE_EVENT_UPDATE)
			continue;
		while (at < count && (attempts[at].release != row->release ||
				      attempts[at].attempt != row->attempt))
			at++;
		if (at == GROUPED_MAX) {
			*ret_cut = true;
			break;
		}
		if (at == count) {
			attempts[count++] = (struct attempt){.release = row->release,
							     .attempt = row->attempt,
							     .newest = row,
							     .last_ms = row->time_ms};
		}
		attempts[at].first_ms = row->time_ms;
		attempts[at].sequence = row->sequence;
		attempts[at].reports++;
		if (row->error && !attempts[at].failed)
			attempts[at].failed = row;
	}
	return *ret_cut && count > 1 ? count - 1 : count;
}

static void show_attempt(struct text *to, const struct attempt *attempt)
{
	show_open(to, NULL);
	show_number(to, "attempt", attempt->attempt);
	show_text(to, "state", update_state_names[attempt->newest->state]);
	show_number(to, "first_ms", attempt->first_ms);
	show_number(to, "last_ms", attempt->last_ms);
	show_number(to, "reports", attempt->reports);
	if (attempt->failed) {
		show_open(to, "error");
		show_text(to, "name", ota_err_name((enum ota_err)attempt->failed->error));
		show_number(to, "number", attempt->failed->error);
		show_text(to, "message", attempt->failed->error_message);
		show_number(to, "detail", attempt->failed->error_detail);
		show_text(to, "state", update_state_names[attempt->failed->error_state]);
		show_close(to, '}');
	}
	show_close(to, '}');
}

static void show_history(struct command_call *call, const struct device *device,
			 const struct attempt *attempts, uint32_t count)
{
	struct text *to = &call->result;
	const struct release *release = engine_release(
		call->service->engine, device->product->name, attempts[0].release);
	const struct update *update = release ? device_update(device, release) : NULL;

	show_open(to, NULL);
	show_text(to, "device", device->id);
	show_number(to, "release", attempts[0].release);
	show_text(to, "version",
		  release && release->firmware ? release->firmware->version : "");
	show_number(to, "attempt", attempts[0].attempt);
	show_text(to, "state",
		  update_state_names[update ? update->state : attempts[0].newest->state]);
	show_number(to, "since", attempts[0].last_ms / 1000);
	show_number(to, "wave", update ? update->wave : 0);
	show_number(to, "failures", update ? update->failures : 0);
	show_number(to, "done", attempts[0].newest->done);
	show_number(to, "total", attempts[0].newest->total);
	show_bool(to, "interrupted",
		  update && update->state == UPDATE_DOWNLOADING && !device->online);
	show_bool(to, "penalty", update && (update->flags & UPDATE_PENALTY));
	show_number(to, "due", update ? update->due_ms / 1000 : 0);
	show_array(to, "attempts");
	for (uint32_t i = 0; i < count; i++)
		show_attempt(to, &attempts[i]);
	show_close(to, ']');
	show_close(to, '}');
}

static void updates_answered(struct command_call *call, const struct store_page *stored)
{
	const struct device *device = engine_device(call->service->engine, call->args.device);
	struct attempt attempts[GROUPED_MAX];
	struct command_page page;
	char next[24] = "";
	bool cut;
	uint32_t count = gather(stored, attempts, &cut);

	command_page_open(&page, call);
	for (uint32_t i = 0, n; device && i < count; i += n) {
		for (n = 1; i + n < count && attempts[i + n].release == attempts[i].release;
		     n++)
			;
		if (!command_page_next(&page))
			break;
		show_history(call, device, attempts + i, n);
		snprintf(next, sizeof(next), "%" PRIu64, attempts[i + n - 1].sequence);
	}
	command_page_close(&page, (page.full || cut) && next[0] ? next : NULL);
}

enum ota_err command_device_updates(struct command_call *call, struct ota_why *why)
{
	struct store_query query = {
		.kind = STORE_REPORT, .newest_first = true, .limit = STORE_PAGE_MAX};
	enum ota_err err = command_after(call, &query.after, why);

	text_copy(query.device, sizeof(query.device), call->args.device);
	return err ? err : command_ask(call, &query, updates_answered, why);
}
