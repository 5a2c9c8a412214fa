#include "show.h"

#include <inttypes.h>
#include <string.h>

static void comma(struct text *to)
{
	if (to->len > 0 && !strchr("{[", to->data[to->len - 1]))
		text_put(to, ",");
}

static void member(struct text *to, const char *name)
{
	comma(to);
	if (name)
		text_printf(to, "\"%s\":", name);
}

void show_open(struct text *to, const char *name)
{
	member(to, name);
	text_put(to, "{");
}

void show_array(struct text *to, const char *name)
{
	member(to, name);
	text_put(to, "[");
}

void show_close(struct text *to, char bracket)
{
	text_add(to, &bracket, 1);
}

void show_text(struct text *to, const char *name, const char *value)
{
	member(to, name);
	json_put_string(to, value ? value : "");
}

void show_number(struct text *to, const char *name, uint64_t value)
{
	member(to, name);
	text_printf(to, "%" PRIu64, value);
}

void show_bool(struct text *to, const char *name, bool value)
{
	member(to, name);
	text_put(to, value ? "true" : "false");
}

void show_digest(struct text *to, const char *name, const struct digest *digest)
{
	char hex[TEXT_HEX32_SIZE] = "";

	if (!digest_is_zero(digest))
		text_from_digest(hex, digest->bytes);
	show_text(to, name, hex);
}

static void show_time(struct text *to, const char *name, uint64_t ms)
{
	show_number(to, name, ms / 1000);
}

static const struct release *default_release(const struct product *product)
{
	for (uint32_t i = product->release_count; i > 0; i--) {
		const struct release *release = product->releases[i - 1];

		if (release->document.target.kind == RELEASE_TO_PRODUCT &&
		    (release_is_active(release) || release->state == RELEASE_DONE))
			return release;
	}
	return NULL;
}

static void product_members(struct text *to, const struct product *product)
{
	const struct release *release = default_release(product);

	show_text(to, "name", product->name);
	show_text(to, "title", product->title);
	show_bool(to, "import_only", product->import_only);
	show_bool(to, "second_approval", product->second_approval);
	show_text(to, "default_hardware", product->default_hardware);
	show_number(to, "devices", product->device_count);
	show_number(to, "online", product->online_count);
	show_number(to, "quarantined", product->status_counts[DEVICE_QUARANTINED]);
	show_number(to, "next_number", product_next_number(product));
	show_number(to, "default_release", release ? release->document.number : 0);
	show_time(to, "created", product->created_ms);
}

void show_product(struct text *to, const struct product *product)
{
	show_open(to, NULL);
	product_members(to, product);
	show_close(to, '}');
}

static void show_counts(struct text *to, const uint32_t counts[UPDATE_STATE_COUNT])
{
	show_open(to, "counts");
	for (int state = UPDATE_TARGETED; state < UPDATE_STATE_COUNT; state++)
		if (counts[state])
			show_number(to, update_state_names[state], counts[state]);
	show_close(to, '}');
}

#define VERSIONS_MAX 64

void show_product_more(struct text *to, const struct engine *engine,
		       const struct product *product)
{
	struct engine_version versions[VERSIONS_MAX];
	uint32_t count = engine_versions(engine, product->name, versions, VERSIONS_MAX);
	uint32_t states[UPDATE_STATE_COUNT] = {0};

	show_open(to, NULL);
	product_members(to, product);
	show_array(to, "versions");
	for (uint32_t i = 0; i < count; i++) {
		show_open(to, NULL);
		show_text(to, "version", versions[i].version);
		show_digest(to, "digest", &versions[i].digest);
		show_number(to, "count", versions[i].devices);
		show_close(to, '}');
	}
	show_close(to, ']');
	for (uint32_t i = 0; i < product->release_count; i++)
		for (int state = 0; state < UPDATE_STATE_COUNT; state++)
			if (release_is_active(product->releases[i]))
				states[state] += product->releases[i]->counts[state];
	show_open(to, "states");
	for (int state = UPDATE_TARGETED; state < UPDATE_STATE_COUNT; state++)
		if (states[state])
			show_number(to, update_state_names[state], states[state]);
	show_close(to, '}');
	show_open(to, "status");
	for (int status = 0; status < DEVICE_STATUS_COUNT; status++)
		show_number(to, device_status_names[status], product->status_counts[status]);
	show_close(to, '}');
	show_close(to, '}');
}

static void update_members(struct text *to, const struct update *update)
{
	const struct firmware *firmware = update->release->firmware;

	show_text(to, "device", update->device->id);
	show_number(to, "release", update->release->document.number);
	show_text(to, "version", firmware ? firmware->version : "");
	show_number(to, "attempt", update->attempt);
	show_text(to, "state", update_state_names[update->state]);
	show_time(to, "since", update->changed_ms);
	show_number(to, "wave", update->wave);
	show_number(to, "failures", update->failures);
	show_number(to, "done", update->done);
	show_number(to, "total", update->total);
	show_bool(to, "interrupted",
		  update->state == UPDATE_DOWNLOADING && !update->device->online);
	show_bool(to, "penalty", (update->flags & UPDATE_PENALTY) != 0);
	show_time(to, "due", update->due_ms);
	if (update->error) {
		show_open(to, "error");
		show_text(to, "name", ota_err_name(update->error->err));
		show_number(to, "number", update->error->err);
		show_text(to, "message", update->error->message);
		show_number(to, "detail", update->error->detail);
		show_text(to, "state", update_state_names[update->error->state]);
		show_close(to, '}');
	}
}

void show_update(struct text *to, const struct update *update)
{
	show_open(to, NULL);
	update_members(to, update);
	show_close(to, '}');
}

static void device_consent(struct text *to, const struct device *device)
{
	show_open(to, "consent");
	show_bool(to, "download", device->gate_download);
	show_bool(to, "install", device->gate_install);
	show_bool(to, "restart", device->gate_restart);
	show_close(to, '}');
	show_text(to, "reason", device->texts ? device->texts->reason : "");
	show_time(to, "lease", device->lease_ms);
	show_text(to, "window", device->texts ? device->texts->window : "");
	if (device->texts && !digest_is_zero(&device->texts->previous))
		show_digest(to, "previous", &device->texts->previous);
}

static void device_work(struct text *to, const struct device *device)
{
	const struct update *update = device_update_in_hand(device);

	if (device->target) {
		show_open(to, "target");
		show_number(to, "release", device->target->document.number);
		show_text(to, "version",
			  device->target->firmware ? device->target->firmware->version : "");
		show_close(to, '}');
	}
	if (!update)
		update = device->updates;
	if (update) {
		show_open(to, "update");
		update_members(to, update);
		show_close(to, '}');
	}
}

void show_device(struct text *to, const struct device *device)
{
	static const struct digest none;

	show_open(to, NULL);
	show_text(to, "device", device->id);
	show_text(to, "product", device->product->name);
	show_text(to, "status", device_status_names[device->status]);
	show_bool(to, "online", device->online);
	show_time(to, "first", device->first_ms);
	show_time(to, "seen", device->seen_ms);
	show_text(to, "hardware", device_hardware(device));
	show_text(to, "version", device_version(device));
	show_digest(to, "digest", device->runs ? &device->runs->digest : &none);
	show_number(to, "security_version", device->security_version);
	show_number(to, "floor", device->floor);
	show_number(to, "root", device->root);
	show_number(to, "number", device->number);
	show_number(to, "slot_size", device->slot_size);
	show_array(to, "groups");
	for (uint32_t i = 0; i < device->group_count; i++)
		show_text(to, NULL, device->groups[i]->name);
	show_close(to, ']');
	show_bool(to, "development", device->development);
	show_text(to, "pin", word_text(device->pin));
	show_bool(to, "updates_disabled", device->updates_disabled);
	show_text(to, "notes", device->texts ? device->texts->notes : "");
	device_consent(to, device);
	device_work(to, device);
	show_close(to, '}');
}

static void show_packs(struct text *to, const struct offer_pack *packs, uint32_t count)
{
	show_array(to, "packs");
	for (uint32_t i = 0; i < count; i++) {
		show_open(to, NULL);
		show_digest(to, "sha256", &packs[i].sha256);
		show_number(to, "size", packs[i].size);
		if (!digest_is_zero(&packs[i].base))
			show_digest(to, "base", &packs[i].base);
		show_close(to, '}');
	}
	show_close(to, ']');
}

static bool was_released(const struct firmware *firmware)
{
	for (uint32_t i = 0; i < firmware->product->release_count; i++)
		if (digest_equal(&firmware->product->releases[i]->document.firmware,
				 &firmware->digest))
			return true;
	return false;
}

void show_firmware(struct text *to, const struct engine *engine,
		   const struct firmware *firmware, bool envelope)
{
	const struct firmware_document *document = &firmware->document;

	show_open(to, NULL);
	show_text(to, "product", firmware->product->name);
	show_text(to, "version", firmware->version);
	show_digest(to, "digest", &firmware->digest);
	show_digest(to, "image", &firmware->image);
	show_number(to, "size", document->components[0].size);
	show_number(to, "security_version", document->security_version);
	show_array(to, "hardware");
	for (uint32_t i = 0; i < document->hardware_count; i++)
		show_text(to, NULL, document->hardware[i].text);
	show_close(to, ']');
	show_bool(to, "development", firmware->development);
	if (document->severity != FIRMWARE_SEVERITY_NONE)
		show_text(to, "severity", firmware_severity_names[document->severity]);
	if (document->advisory)
		show_text(to, "advisory", document->advisory);
	if (document->notes)
		show_text(to, "notes", document->notes);
	show_packs(to, firmware->packs, firmware->pack_count);
	show_digest(to, "index", &document->components[0].index.sha256);
	show_number(to, "created", document->created);
	show_time(to, "added", firmware->created_ms);
	show_bool(to, "proven", firmware->proven);
	show_bool(to, "released", was_released(firmware));
	show_number(to, "running", engine_running(engine, firmware));
	if (envelope)
		show_text(to, "envelope", firmware->envelope);
	show_close(to, '}');
}

static void show_wave_head(struct text *to, const struct release_document *document,
			   uint32_t wave)
{
	show_open(to, NULL);
	if (wave < document->wave_count && document->waves[wave].share == 0)
		show_text(to, "group", document->waves[wave].group);
	else
		show_number(to, "share",
			    wave < document->wave_count ? document->waves[wave].share
							: DOCUMENT_SHARE_FULL);
}

static void release_what(struct text *to, const struct release *release)
{
	const struct release_document *document = &release->document;

	show_text(to, "product", document->product);
	show_number(to, "number", document->number);
	show_digest(to, "firmware", &document->firmware);
	show_text(to, "version", release->firmware ? release->firmware->version : "");
	show_text(to, "mode", release_mode_names[document->mode]);
	show_open(to, "target");
	show_text(to, "kind", release_target_names[document->target.kind]);
	show_text(to, "name", document->target.name);
	show_close(to, '}');
	show_text(to, "state", release_state_names[release->state]);
	show_text(to, "reason", release->reason);
	show_text(to, "manager", release->manager);
	show_text(to, "approver", release->approver);
	show_time(to, "created", release->created_ms);
	show_time(to, "started", release->started_ms);
	show_time(to, "changed", release->changed_ms);
	show_number(to, "not_before", document->not_before);
	show_number(to, "deadline", document->deadline);
	show_number(to, "not_after", document->not_after);
	show_bool(to, "force", document->force);
	show_bool(to, "allow_downgrade", document->allow_downgrade);
	show_bool(to, "rollback_on_halt", document->rollback_on_halt);
	show_number(to, "max_concurrent", document->max_concurrent);
	show_number(to, "rate", document->rate);
	show_bool(to, "fast_now", release->fast_now);
}

#define ERRORS_MAX 32

static void show_errors(struct text *to, const struct release *release)
{
	struct engine_error errors[ERRORS_MAX];
	uint32_t count = engine_release_errors(release, errors, ERRORS_MAX);

	show_array(to, "errors");
	for (uint32_t i = 0; i < count; i++) {
		show_open(to, NULL);
		show_text(to, "name", ota_err_name(errors[i].err));
		show_number(to, "number", errors[i].err);
		show_number(to, "count", errors[i].count);
		show_text(to, "device", errors[i].sample ? errors[i].sample->id : "");
		show_close(to, '}');
	}
	show_close(to, ']');
}

void show_release(struct text *to, const struct release *release, bool envelope)
{
	show_open(to, NULL);
	release_what(to, release);
	show_number(to, "wave", release->wave);
	show_array(to, "waves");
	for (uint32_t wave = 0; wave < release->wave_count; wave++) {
		uint32_t targeted = 0;

		for (int state = 0; state < UPDATE_STATE_COUNT; state++)
			targeted += release->tallies[wave].counts[state];
		show_wave_head(to, &release->document, wave);
		show_number(to, "targeted", targeted);
		show_counts(to, release->tallies[wave].counts);
		show_close(to, '}');
	}
	show_close(to, ']');
	show_number(to, "targeted", release_total(release));
	show_counts(to, release->counts);
	show_errors(to, release);
	if (envelope)
		show_text(to, "envelope", release->envelope);
	show_close(to, '}');
}

void show_plan(struct text *to, const struct plan *plan, const struct trusted_release *release,
	       const struct firmware *firmware)
{
	show_open(to, NULL);
	show_number(to, "targeted", plan->targeted);
	show_array(to, "skipped");
	for (int reason = 0; reason < REASON_COUNT; reason++) {
		const struct plan_skip *skip = &plan->skips[reason];

		if (!skip->count)
			continue;
		show_open(to, NULL);
		show_text(to, "reason", reason_name((enum reason)reason));
		show_number(to, "count", skip->count);
		show_text(to, "sentence", reason_sentence((enum reason)reason));
		show_array(to, "sample");
		for (uint32_t i = 0; i < skip->sample_count; i++)
			show_text(to, NULL, skip->sample[i].text);
		show_close(to, ']');
		show_close(to, '}');
	}
	show_close(to, ']');
	show_array(to, "waves");
	for (uint32_t wave = 0; wave < plan->wave_count; wave++) {
		show_wave_head(to, &release->document, wave);
		show_number(to, "targeted", plan->waves[wave]);
		show_close(to, '}');
	}
	show_close(to, ']');
	show_bool(to, "proven", firmware && firmware->proven);
	show_close(to, '}');
}

static void report_error_members(struct text *to, const struct store_report *report)
{
	if (!report->error)
		return;
	show_open(to, "error");
	show_text(to, "name", ota_err_name((enum ota_err)report->error));
	show_number(to, "number", report->error);
	show_text(to, "message", report->error_message);
	show_number(to, "detail", report->error_detail);
	show_text(to, "state", update_state_names[report->error_state]);
	if (report->error_log)
		show_text(to, "log", report->error_log);
	show_close(to, '}');
}

void show_report(struct text *to, const struct store_report *report)
{
	show_open(to, NULL);
	show_number(to, "seq", report->seq);
	show_number(to, "event", report->sequence);
	show_number(to, "release", report->release);
	show_number(to, "attempt", report->attempt);
	show_text(to, "state", update_state_names[report->state]);
	show_number(to, "time_ms", report->time_ms);
	show_number(to, "at_ms", report->at_ms);
	show_text(to, "version", report->version);
	show_digest(to, "digest", &report->digest);
	show_number(to, "done", report->done);
	show_number(to, "total", report->total);
	show_number(to, "fetched", report->fetched);
	show_text(to, "reason", report->reason);
	report_error_members(to, report);
	show_close(to, '}');
}

static void event_members(struct text *to, const struct store_report *event)
{
	switch (event->event) {
	case STORE_EVENT_UPDATE:
		show_text(to, "device", event->device);
		show_number(to, "release", event->release);
		show_number(to, "attempt", event->attempt);
		show_text(to, "state", update_state_names[event->state]);
		if (event->total) {
			show_number(to, "done", event->done);
			show_number(to, "total", event->total);
		}
		if (event->error)
			show_text(to, "error", ota_err_name((enum ota_err)event->error));
		break;
	case STORE_EVENT_DEVICE:
		show_text(to, "device", event->device);
		show_text(to, "status", device_status_names[event->status]);
		show_bool(to, "online", event->online);
		show_text(to, "version", event->version);
		break;
	case STORE_EVENT_RELEASE:
		show_number(to, "release", event->release);
		show_text(to, "state", release_state_names[event->release_state]);
		show_text(to, "reason", event->reason);
		show_number(to, "wave", event->wave);
		show_counts(to, event->counts);
		break;
	case STORE_EVENT_FIRMWARE:
		show_text(to, "version", event->version);
		break;
	case STORE_EVENT_COUNT:
		break;
	}
}

void show_event(struct text *to, const struct store_report *event)
{
	static const char *const types[STORE_EVENT_COUNT] = {
		[STORE_EVENT_UPDATE] = "update",
		[STORE_EVENT_DEVICE] = "device",
		[STORE_EVENT_RELEASE] = "release",
		[STORE_EVENT_FIRMWARE] = "firmware",
	};

	show_open(to, NULL);
	show_number(to, "v", 1);
	show_number(to, "seq", event->sequence);
	show_number(to, "time_ms", event->time_ms);
	show_text(to, "product", event->product);
	show_text(to, "type", types[event->event]);
	event_members(to, event);
	show_close(to, '}');
}

void show_gap(struct text *to, uint64_t sequence, uint64_t time_ms, const char *product)
{
	show_open(to, NULL);
	show_number(to, "v", 1);
	show_number(to, "seq", sequence);
	show_number(to, "time_ms", time_ms);
	show_text(to, "product", product);
	show_text(to, "type", "gap");
	show_close(to, '}');
}

void show_audit(struct text *to, const struct store_audit *row)
{
	show_open(to, NULL);
	show_number(to, "seq", row->sequence);
	show_number(to, "time_ms", row->time_ms);
	show_text(to, "who", row->who);
	show_text(to, "from", row->from);
	show_text(to, "what", row->what);
	show_text(to, "product", row->product);
	show_text(to, "object", row->object);
	show_number(to, "decision", row->decision);
	show_text(to, "why", row->why);
	show_digest(to, "hash", &row->hash);
	show_close(to, '}');
}

void show_manager(struct text *to, const struct store_manager *row)
{
	show_open(to, NULL);
	show_text(to, "name", row->name);
	show_text(to, "product", row->product);
	show_text(to, "role",
		  row->role < MANAGER_ROLE_COUNT ? manager_role_names[row->role] : "");
	show_time(to, "since", row->created_ms);
	show_close(to, '}');
}

void show_token(struct text *to, const struct store_token *row, const char *secret)
{
	show_open(to, NULL);
	show_text(to, "id", row->id);
	show_text(to, "name", row->name);
	show_text(to, "product", row->product);
	show_text(to, "role",
		  row->role < MANAGER_ROLE_COUNT ? manager_role_names[row->role] : "");
	show_time(to, "created", row->created_ms);
	show_time(to, "expires", row->expires_ms);
	show_time(to, "revoked", row->revoked_ms);
	if (secret)
		show_text(to, "secret", secret);
	show_close(to, '}');
}
