#include "compat.h"

#include "document.h"
#include "envelope.h"
#include "json.h"
#include "own.h"
#include "problem.h"
#include "signer.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define RELEASE_DAYS 30 /* how long a release made by a script may still be installed */

static const struct {
	const char *status, *verb;
} status_verbs[] = {
	{"approved", "device.approve"},
	{"denied", "device.deny"},
	{"decommissioned", "device.remove"},
};

static const char *const device_members[] = {
	"groups",
	"notes",
	"development",
	"updates_disabled",
	"status",
	"desired_version",
	"desired_firmware_version",
	"flash",
};

static enum ota_err check_members(const struct view *body, struct ota_why *why)
{
	for (const struct view *m = view_first(body); m; m = view_next(m)) {
		bool known = false;
		for (size_t i = 0; i < sizeof device_members / sizeof *device_members; i++)
			known |= !strcmp(device_members[i], view_name(m));
		if (!known)
			return ota_fail(why, OTA_BAD_REQUEST,
					"body: '%s' is not a member of a device's settings",
					view_name(m));
	}
	return OTA_OK;
}

static enum ota_err set_status(struct exchange *exchange, const char *device,
			       const char *status, struct ota_why *why)
{
	for (size_t i = 0; i < sizeof status_verbs / sizeof *status_verbs; i++) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		struct text args = {0};
		enum ota_err err;
		if (strcmp(status, status_verbs[i].status))
			continue;
		text_printf(&args, "{\"devices\":[\"%s\"]}", device);
		err = server_ask(exchange, status_verbs[i].verb, args.data, &tree, why);
		text_done(&args);
		return err;
	}
	return ota_fail(why, OTA_BAD_REQUEST,
			"body: status must be approved, denied or decommissioned");
}

/* The members that `device.set` takes; false when there are none. */
static bool put_settings(const struct view *body, const char *device, struct text *args)
{
	static const char *const same[] = {"groups", "notes", "development",
					   "updates_disabled"};
	const struct view *pin = view_at(body, "desired_version");
	bool any = false;

	text_printf(args, "{\"device\":\"%s\"", device);
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		if (!view_at(body, same[i]))
			continue;
		text_printf(args, ",\"%s\":", same[i]);
		view_write(view_at(body, same[i]), args);
		any = true;
	}
	if (!pin)
		pin = view_at(body, "desired_firmware_version");
	if (pin) {
		text_put(args, ",\"pin\":");
		json_put_string(args, view_text(pin));
		any = true;
	}
	text_put(args, "}");
	return any;
}

void compat_put_device(void *ctx)
{
	struct exchange *exchange = ctx;
	const char *device = route_param(&exchange->params, "device");
	AUTO(view_free_place) struct view_tree *body = NULL;
	struct text args = {0}, show = {0};
	struct ota_why why = {0};
	size_t len;
	const char *bytes = http_body(exchange->http, &len);
	enum ota_err err = server_check_token(exchange, &why);
	const struct view *root;

	if (!err)
		err = view_read(bytes, len, HTTP_BODY_MAX, &body, &why);
	root = err ? NULL : view_root(body);

	text_printf(&show, "{\"device\":\"%s\"}", device);
	if (!err && view_kind(root) != VIEW_OBJECT)
		err = ota_fail(&why, OTA_BAD_REQUEST, "body: must be a JSON object");
	if (!err)
		err = check_members(root, &why);
	if (!err && view_at(root, "status"))
		err = set_status(exchange, device, view_text(view_at(root, "status")), &why);
	if (!err && put_settings(root, device, &args)) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		err = server_ask(exchange, "device.set", args.data, &tree, &why);
	}
	if (!err && view_is_true(view_at(root, "flash"))) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		err = server_ask(exchange, "device.ping", show.data, &tree, &why);
	}
	if (err)
		server_refuse(exchange, &why);
	else
		server_command(exchange, "device.show", show.data);
	text_done(&args);
	text_done(&show);
}

/* A cell that no spreadsheet takes for a formula. */
static void put_cell(struct text *to, const char *value, bool last)
{
	text_put(to, "\"");
	if (*value && strchr("=+-@\t\r", *value))
		text_put(to, "'");
	for (; *value; value++) {
		if (*value == '"')
			text_put(to, "\"");
		text_add(to, value, 1);
	}
	text_put(to, last ? "\"\r\n" : "\",");
}

static void put_rows(struct text *to, const struct view *items)
{
	static const char *const columns[] = {
		"device", "state", "attempt",  "since",	     "wave",
		"done",	  "total", "failures", "error.name", "error.message"};
	size_t count = sizeof columns / sizeof *columns;

	for (const struct view *row = view_first(items); row; row = view_next(row))
		for (size_t i = 0; i < count; i++)
			put_cell(to, view_text(view_at(row, columns[i])), i + 1 == count);
}

void compat_report_csv(void *ctx)
{
	struct exchange *exchange = ctx;
	const char *product = route_param(&exchange->params, "product");
	const char *number = route_param(&exchange->params, "number");
	struct text csv = {0}, after = {0};
	struct ota_why why = {0};
	enum ota_err err = OTA_OK;
	bool more = true;

	text_put(&csv, "device,state,attempt,since,wave,done_bytes,total_bytes,failures,"
		       "error,message\r\n");
	while (!err && more) {
		AUTO(view_free_place) struct view_tree *tree = NULL;
		struct text args = {0};
		text_printf(&args, "{\"product\":\"%s\",\"number\":%s,\"limit\":500", product,
			    number);
		if (after.len) {
			text_put(&args, ",\"after\":");
			json_put_string(&args, after.data);
		}
		text_put(&args, "}");
		err = server_ask(exchange, "release.devices", args.data, &tree, &why);
		text_done(&args);
		if (err)
			break;
		put_rows(&csv, view_at(view_root(tree), "items"));
		const struct view *next = view_at(view_root(tree), "next");
		more = next != NULL;
		after.len = 0;
		text_put(&after, view_text(next));
	}
	if (err) {
		server_refuse(exchange, &why);
	} else {
		http_set_header(exchange->http, "Content-Disposition",
				"attachment; filename=\"release.csv\"");
		http_answer(exchange->http, 200, "text/csv; charset=utf-8",
			    csv.data ? csv.data : "", csv.len);
	}
	text_done(&csv);
	text_done(&after);
}

/* {version, product_default, groups, intelligent} */
static enum ota_err make_release(struct exchange *exchange, const struct view *body,
				 struct text *ret_payload, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *product = NULL, *firmware = NULL;
	struct release_document release = {0};
	struct text args = {0};
	const struct view *group = view_first(view_at(body, "groups"));
	const char *name = route_param(&exchange->params, "product");
	const char *version = view_text(view_at(body, "version"));
	enum ota_err err;

	if (!name_is_version(version))
		return ota_fail(why, OTA_BAD_REQUEST, "body: version must be %s",
				NAME_VERSION_ALLOWED);
	if (!group && !view_is_true(view_at(body, "product_default")))
		return ota_fail(why, OTA_NO_TARGETS,
				"body: one group, or product_default true, must be given");
	if (group && (view_next(group) || !name_is_product(view_text(group)) ||
		      view_is_true(view_at(body, "product_default"))))
		return ota_fail(
			why, OTA_BAD_REQUEST,
			"body: groups must name one group, and without product_default: a "
			"release has one target");
	text_printf(&args, "{\"name\":\"%s\"}", name);
	err = server_ask(exchange, "product.show", args.data, &product, why);
	args.len = 0;
	text_printf(&args, "{\"product\":\"%s\",\"version\":\"%s\"}", name, version);
	if (!err)
		err = server_ask(exchange, "firmware.show", args.data, &firmware, why);
	text_done(&args);
	if (err)
		return err;
	text_copy(release.product, sizeof release.product, name);
	release.number = view_number(view_at(view_root(product), "next_number"));
	if (!text_to_bytes(view_text(view_at(view_root(firmware), "digest")),
			   release.firmware.bytes, DIGEST_SIZE))
		return ota_fail(why, OTA_INTERNAL,
				"the plugin's answer has no firmware digest");
	release.mode =
		view_is_true(view_at(body, "intelligent")) ? RELEASE_FAST : RELEASE_STANDARD;
	release.target.kind = group ? RELEASE_TO_GROUP : RELEASE_TO_PRODUCT;
	text_copy(release.target.name, sizeof release.target.name,
		  group ? view_text(group) : name);
	release.created = (uint64_t)time(NULL);
	release.not_after = release.created + RELEASE_DAYS * 86400ull;
	return json_write(&release_shape, &release, ret_payload, why);
}

/* 422 with what must be signed; the caller sends the envelope to …/releases. */
static void answer_signature_required(struct exchange *exchange, const struct text *payload)
{
	AUTO_FREE uint8_t *bytes = NULL;
	AUTO_FREE char *payload64 = NULL, *bytes64 = NULL;
	size_t len;
	struct ota_why why = {0};
	struct text body = {0};
	const char *type = envelope_type_names[ENVELOPE_RELEASE];

	if (envelope_signed_bytes(ENVELOPE_RELEASE, payload->data, payload->len, &bytes, &len,
				  &why) ||
	    text_base64(payload->data, payload->len, &payload64, &why) ||
	    text_base64(bytes, len, &bytes64, &why)) {
		server_refuse(exchange, &why);
		return;
	}
	text_printf(
		&body,
		"{\"type\":\"/errors/signature_required\",\"title\":\"%s\",\"status\":422,"
		"\"name\":\"signature_required\",\"number\":%d,\"detail\":\"sign signed_bytes "
		"with a release key and POST the envelope to the product's releases\","
		"\"payload_type\":\"%s\",\"payload\":\"%s\",\"signed_bytes\":\"%s\"}",
		"the release must be signed", (int)OTA_SIGNATURE_REQUIRED, type, payload64,
		bytes64);
	http_answer(exchange->http, 422, "application/problem+json", body.data ? body.data : "",
		    body.len);
	text_done(&body);
}

static void create_signed(struct exchange *exchange, const struct text *payload)
{
	AUTO_FREE char *envelope = NULL;
	struct ota_why why = {0};
	struct text args = {0};

	if (signer_run(exchange->server->options.signer_command, payload->data, payload->len,
		       &envelope, &why)) {
		server_refuse(exchange, &why);
		return;
	}
	text_put(&args, "{\"release\":");
	json_put_string(&args, envelope);
	text_put(&args, "}");
	server_command(exchange, "release.create", args.data ? args.data : "{}");
	text_done(&args);
}

void compat_release_firmware(void *ctx)
{
	struct exchange *exchange = ctx;
	AUTO(view_free_place) struct view_tree *body = NULL;
	struct text payload = {0};
	struct ota_why why = {0};
	size_t len;
	const char *bytes = http_body(exchange->http, &len);
	enum ota_err err = server_check_developer(exchange, &why);

	if (!err)
		err = view_read(bytes, len, HTTP_BODY_MAX, &body, &why);
	if (!err)
		err = make_release(exchange, view_root(body), &payload, &why);
	if (err)
		server_refuse(exchange, &why);
	else if (*exchange->server->options.signer_command)
		create_signed(exchange, &payload);
	else
		answer_signature_required(exchange, &payload);
	text_done(&payload);
}
