#include "message.h"

#include "envelope.h"
#include "own.h"

#include <string.h>

const char *const update_state_names[] = {
	[UPDATE_NONE] = "",
	[UPDATE_TARGETED] = "targeted",
	[UPDATE_OFFERED] = "offered",
	[UPDATE_DEFERRED] = "deferred",
	[UPDATE_DOWNLOADING] = "downloading",
	[UPDATE_DOWNLOADED] = "downloaded",
	[UPDATE_VERIFIED] = "verified",
	[UPDATE_INSTALLING] = "installing",
	[UPDATE_INSTALLED] = "installed",
	[UPDATE_RESTARTING] = "restarting",
	[UPDATE_TRIAL] = "trial",
	[UPDATE_SUCCEEDED] = "succeeded",
	[UPDATE_ALREADY_INSTALLED] = "already_installed",
	[UPDATE_FAILED] = "failed",
	[UPDATE_ROLLED_BACK] = "rolled_back",
	[UPDATE_REJECTED] = "rejected",
	[UPDATE_TIMED_OUT] = "timed_out",
	[UPDATE_CANCELED] = "canceled",
	[UPDATE_SUPERSEDED] = "superseded",
	[UPDATE_REMOVED] = "removed",
	[UPDATE_EXPIRED] = "expired",
	[UPDATE_LOST] = "lost",
	[UPDATE_STATE_COUNT] = NULL,
};

const char *const device_status_names[] = {"quarantined", "approved", "denied",
					   "decommissioned", NULL};
static const char *const boot_names[] = {"normal", "trial", "reverted", NULL};
static const char *const control_names[] = {"welcome", "ack",	 "grant",   "cancel",
					    "revert",  "resume", "rehello", NULL};
static const char *const cancel_names[] = {"aborted", "superseded", "removed", "expired", NULL};

bool update_state_is_final(enum update_state state)
{
	return state >= UPDATE_SUCCEEDED && state < UPDATE_STATE_COUNT;
}

#define AT(type, member) .offset = offsetof(struct type, member)
#define WITHIN(type, outer, member)                                                            \
	.offset = offsetof(struct type, outer.member) - offsetof(struct type, outer)
#define SIZE_OF(type, member) sizeof(((struct type *)NULL)->member)
#define TEXT(key, type, member)                                                                \
	{                                                                                      \
		key, JSON_STRING, AT(type, member), .size = SIZE_OF(type, member)              \
	}
#define OPTIONAL_TEXT(key, type, member)                                                       \
	{                                                                                      \
		key, JSON_STRING, JSON_OPTIONAL, AT(type, member),                             \
			.size = SIZE_OF(type, member)                                          \
	}
#define NAME(key, type, member, is, syntax)                                                    \
	{                                                                                      \
		key, JSON_STRING, AT(type, member), .size = NAME_SIZE, .check = (is),          \
						    .allowed = (syntax)                        \
	}
#define V(type)                                                                                \
	{                                                                                      \
		"v", JSON_U32, AT(type, v), .min = 1, .max = 1                                 \
	}
#define NONCE(type)                                                                            \
	{                                                                                      \
		"nonce", JSON_BYTES, AT(type, nonce), .size = MESSAGE_NONCE_SIZE               \
	}
#define END                                                                                    \
	{                                                                                      \
		.name = NULL                                                                   \
	}

static bool is_https(const char *text)
{
	return strncmp(text, "https://", 8) == 0 && text[8];
}

/* hello, consent */

static const struct json_field gates_fields[] = {
	{"download", JSON_BOOL, AT(consent_gates, download)},
	{"install", JSON_BOOL, AT(consent_gates, install)},
	{"restart", JSON_BOOL, AT(consent_gates, restart)},
	END,
};
static const struct json_shape gates_shape = {"gates", sizeof(struct consent_gates),
					      gates_fields};

static const struct json_field trial_fields[] = {
	{"release", JSON_U64, WITHIN(hello, trial, release), .min = 1},
	{"attempt", JSON_U32, WITHIN(hello, trial, attempt), .min = 1},
	END,
};
static const struct json_shape trial_shape = {"trial", SIZE_OF(hello, trial), trial_fields};

static const struct json_field update_fields[] = {
	{"release", JSON_U64, WITHIN(hello, update, release), .min = 1},
	{"attempt", JSON_U32, WITHIN(hello, update, attempt), .min = 1},
	{"state", JSON_ENUM, WITHIN(hello, update, state), .names = update_state_names},
	END,
};
static const struct json_shape update_shape = {"update", SIZE_OF(hello, update), update_fields};

static const struct json_field hello_fields[] = {
	V(hello),
	NONCE(hello),
	TEXT("agent", hello, agent),
	NAME("product", hello, product, name_is_product, NAME_LOWER_ALLOWED),
	NAME("hardware", hello, hardware, name_is_id, NAME_ALLOWED),
	NAME("version", hello, version, name_is_version, NAME_VERSION_ALLOWED),
	{"digest", JSON_DIGEST, AT(hello, digest)},
	{"security_version", JSON_U64, AT(hello, security_version)},
	{"floor", JSON_U64, AT(hello, floor)},
	{"root", JSON_U64, AT(hello, root)},
	{"number", JSON_U64, AT(hello, number)},
	{"slot_size", JSON_U64, AT(hello, slot_size)},
	{"boot", JSON_ENUM, AT(hello, boot), .names = boot_names},
	{"trial", JSON_OBJECT, JSON_OPTIONAL, AT(hello, trial), .shape = &trial_shape,
	 .has_offset = offsetof(struct hello, has_trial)},
	{"update", JSON_OBJECT, JSON_OPTIONAL, AT(hello, update), .shape = &update_shape,
	 .has_offset = offsetof(struct hello, has_update)},
	{"consent", JSON_OBJECT, AT(hello, consent), .shape = &gates_shape},
	OPTIONAL_TEXT("reason", hello, reason),
	{"lease_s", JSON_U64, JSON_OPTIONAL, AT(hello, lease_s)},
	OPTIONAL_TEXT("window", hello, window),
	{"previous", JSON_DIGEST, JSON_OPTIONAL, AT(hello, previous)},
	END,
};
const struct json_shape hello_shape = {"hello", sizeof(struct hello), hello_fields};

static const struct json_field consent_fields[] = {
	V(consent),
	{"consent", JSON_OBJECT, AT(consent, consent), .shape = &gates_shape},
	OPTIONAL_TEXT("reason", consent, reason),
	{"lease_s", JSON_U64, JSON_OPTIONAL, AT(consent, lease_s)},
	OPTIONAL_TEXT("window", consent, window),
	END,
};
const struct json_shape consent_shape = {"consent", sizeof(struct consent), consent_fields};

/* report */

static const struct json_field error_fields[] = {
	TEXT("name", report_error, name),
	{"number", JSON_U32, AT(report_error, number)},
	TEXT("message", report_error, message),
	{"detail", JSON_U32, AT(report_error, detail)},
	{"state", JSON_ENUM, AT(report_error, state), .names = update_state_names},
	{"log", JSON_TEXT, JSON_OPTIONAL, AT(report_error, log), .max = MESSAGE_LOG_MAX},
	END,
};
static const struct json_shape error_shape = {"error", sizeof(struct report_error),
					      error_fields};

static const struct json_field report_fields[] = {
	V(report),
	{"seq", JSON_U64, AT(report, seq), .min = 1},
	{"release", JSON_U64, AT(report, release), .min = 1},
	{"attempt", JSON_U32, AT(report, attempt), .min = 1},
	{"state", JSON_ENUM, AT(report, state), .names = update_state_names},
	{"at_ms", JSON_U64, AT(report, at_ms)},
	NAME("version", report, version, name_is_version, NAME_VERSION_ALLOWED),
	{"digest", JSON_DIGEST, AT(report, digest)},
	{"done", JSON_U64, JSON_OPTIONAL, AT(report, done)},
	{"total", JSON_U64, JSON_OPTIONAL, AT(report, total)},
	{"fetched", JSON_U64, JSON_OPTIONAL, AT(report, fetched)},
	OPTIONAL_TEXT("reason", report, reason),
	{"error", JSON_OBJECT, JSON_OPTIONAL, AT(report, error), .shape = &error_shape,
	 .has_offset = offsetof(struct report, has_error)},
	END,
};
const struct json_shape report_shape = {"report", sizeof(struct report), report_fields};

/* offer */

static const struct json_field pack_fields[] = {
	{"sha256", JSON_DIGEST, AT(offer_pack, sha256)},
	{"size", JSON_U64, AT(offer_pack, size), .min = 1},
	{"base", JSON_DIGEST, JSON_OPTIONAL, AT(offer_pack, base)},
	END,
};
static const struct json_shape pack_shape = {"pack", sizeof(struct offer_pack), pack_fields};
static const struct json_field pack_element = {.kind = JSON_OBJECT, .shape = &pack_shape};
static const struct json_field source_element = {.kind = JSON_STRING,
						 .size = sizeof(struct offer_source),
						 .check = is_https,
						 .allowed = "9 to 256 bytes, an https:// URL"};

static const struct json_field offer_fields[] = {
	V(offer),
	{"release", JSON_TEXT, AT(offer, release), .min = 1, .max = ENVELOPE_SIZE_MAX},
	{"firmware", JSON_TEXT, AT(offer, firmware), .min = 1, .max = ENVELOPE_SIZE_MAX},
	{"attempt", JSON_U32, AT(offer, attempt), .min = 1},
	{"packs", JSON_ARRAY, AT(offer, packs), .size = sizeof(struct offer_pack),
	 .max = MESSAGE_PACKS_MAX, .element = &pack_element,
	 .count_offset = offsetof(struct offer, pack_count)},
	{"sources", JSON_ARRAY, JSON_OPTIONAL, AT(offer, sources),
	 .size = sizeof(struct offer_source), .max = MESSAGE_SOURCES_MAX,
	 .element = &source_element, .count_offset = offsetof(struct offer, source_count)},
	END,
};
const struct json_shape offer_shape = {"offer", sizeof(struct offer), offer_fields};

/* command, reply */

static const struct json_field command_fields[] = {
	V(command),
	{"id", JSON_STRING, AT(command, id), .size = SIZE_OF(command, id), .min = 1},
	{"verb", JSON_STRING, AT(command, verb), .size = SIZE_OF(command, verb), .min = 1},
	{"args", JSON_RAW, AT(command, args), .max = MESSAGE_COMMAND_MAX},
	OPTIONAL_TEXT("token", command, token),
	OPTIONAL_TEXT("key", command, key),
	END,
};
const struct json_shape command_shape = {"command", sizeof(struct command), command_fields};

static const struct json_field reply_error_fields[] = {
	TEXT("name", reply_error, name),
	{"number", JSON_U32, AT(reply_error, number)},
	TEXT("message", reply_error, message),
	END,
};
static const struct json_shape reply_error_shape = {"error", sizeof(struct reply_error),
						    reply_error_fields};
static const struct json_field reply_fields[] = {
	V(reply),
	TEXT("id", reply, id),
	{"ok", JSON_BOOL, AT(reply, ok)},
	{"result", JSON_RAW, JSON_OPTIONAL, AT(reply, result), .max = MESSAGE_REPLY_MAX},
	{"error", JSON_OBJECT, JSON_OPTIONAL, AT(reply, error), .shape = &reply_error_shape,
	 .has_offset = offsetof(struct reply, has_error)},
	END,
};
const struct json_shape reply_shape = {"reply", sizeof(struct reply), reply_fields};

static const struct json_field uploaded_fields[] = {
	{"upload", JSON_STRING, AT(uploaded, upload), .size = SIZE_OF(uploaded, upload),
	 .min = 16},
	{"offset", JSON_U64, AT(uploaded, offset)},
	{"done", JSON_BOOL, AT(uploaded, done)},
	{"error", JSON_OBJECT, JSON_OPTIONAL, AT(uploaded, error), .shape = &reply_error_shape,
	 .has_offset = offsetof(struct uploaded, has_error)},
	END,
};
const struct json_shape uploaded_shape = {"uploaded", sizeof(struct uploaded), uploaded_fields};

/* control: one shape for each type, all over the same struct */

static const struct json_field group_element = {.kind = JSON_STRING,
						.size = NAME_SIZE,
						.check = name_is_product,
						.allowed = NAME_LOWER_ALLOWED};
static const struct json_field root_element = {
	.kind = JSON_TEXT, .min = 1, .max = ENVELOPE_SIZE_MAX};
static const struct json_field seq_element = {.kind = JSON_U64, .min = 1};

#define TYPE                                                                                   \
	{                                                                                      \
		"type", JSON_ENUM, AT(control, type), .names = control_names                   \
	}
#define RELEASE                                                                                \
	{                                                                                      \
		"release", JSON_U64, AT(control, release), .min = 1                            \
	}

static const struct json_field welcome_fields[] = {
	V(control),
	TYPE,
	NONCE(control),
	{"time", JSON_U64, AT(control, time)},
	{"status", JSON_ENUM, AT(control, status), .names = device_status_names},
	NAME("product", control, product, name_is_product, NAME_LOWER_ALLOWED),
	{"groups", JSON_ARRAY, AT(control, groups), .size = sizeof(struct name_text),
	 .max = MESSAGE_GROUPS_MAX, .element = &group_element,
	 .count_offset = offsetof(struct control, group_count)},
	{"shards", JSON_U32, AT(control, shards), .min = 1},
	{"roots", JSON_ARRAY, AT(control, roots), .size = sizeof(struct root_text),
	 .max = MESSAGE_ROOTS_MAX, .element = &root_element,
	 .count_offset = offsetof(struct control, root_count)},
	{"head", JSON_TEXT, JSON_OPTIONAL, AT(control, head), .max = ENVELOPE_SIZE_MAX},
	END,
};
static const struct json_field ack_fields[] = {
	V(control),
	TYPE,
	{"seqs", JSON_ARRAY, AT(control, seqs), .size = sizeof(uint64_t),
	 .max = MESSAGE_ACKS_MAX, .element = &seq_element,
	 .count_offset = offsetof(struct control, seq_count)},
	END,
};
static const struct json_field grant_fields[] = {
	V(control),
	TYPE,
	NONCE(control),
	RELEASE,
	{"attempt", JSON_U32, AT(control, attempt), .min = 1},
	END,
};
static const struct json_field cancel_fields[] = {
	V(control), TYPE,
	RELEASE,    {"reason", JSON_ENUM, AT(control, reason), .names = cancel_names},
	END,
};
static const struct json_field release_only_fields[] = {V(control), TYPE, RELEASE, END};
static const struct json_field type_only_fields[] = {V(control), TYPE, END};

static const struct json_shape control_shapes[] = {
	[CONTROL_WELCOME] = {"welcome", sizeof(struct control), welcome_fields},
	[CONTROL_ACK] = {"ack", sizeof(struct control), ack_fields},
	[CONTROL_GRANT] = {"grant", sizeof(struct control), grant_fields},
	[CONTROL_CANCEL] = {"cancel", sizeof(struct control), cancel_fields},
	[CONTROL_REVERT] = {"revert", sizeof(struct control), release_only_fields},
	[CONTROL_RESUME] = {"resume", sizeof(struct control), release_only_fields},
	[CONTROL_REHELLO] = {"rehello", sizeof(struct control), type_only_fields},
};
/* To see which of them it is. */
static const struct json_shape control_peek_shape = {"control", sizeof(struct control),
						     type_only_fields, .open = true};

/* get: ranges are arrays of two numbers on the wire */

struct wire_range {
	uint32_t *numbers; /* first, count */
	uint32_t count;
};

struct wire_get {
	uint32_t v;
	uint32_t transfer;
	struct digest blob;
	struct wire_range *ranges;
	uint32_t range_count;
};

static const struct json_field number_element = {.kind = JSON_U32};
static const struct json_field range_element = {.kind = JSON_ARRAY,
						AT(wire_range, numbers),
						.size = sizeof(uint32_t),
						.min = 2,
						.max = 2,
						.element = &number_element,
						.count_offset =
							offsetof(struct wire_range, count)};
static const struct json_field get_fields[] = {
	V(wire_get),
	{"transfer", JSON_U32, AT(wire_get, transfer), .min = 1},
	{"blob", JSON_DIGEST, AT(wire_get, blob)},
	{"ranges", JSON_ARRAY, AT(wire_get, ranges), .size = sizeof(struct wire_range),
	 .min = 1, .max = MESSAGE_RANGES_MAX, .element = &range_element,
	 .count_offset = offsetof(struct wire_get, range_count)},
	END,
};
static const struct json_shape get_shape = {"get", sizeof(struct wire_get), get_fields};

static void wire_get_done(struct wire_get *get)
{
	json_done(&get_shape, get);
}

enum ota_err hello_read(const void *payload, size_t len, struct hello *ret, struct ota_why *why)
{
	return json_read(&hello_shape, payload, len, MESSAGE_PAYLOAD_MAX, OTA_BAD_REQUEST, ret,
			 why);
}

enum ota_err consent_read(const void *payload, size_t len, struct consent *ret,
			  struct ota_why *why)
{
	return json_read(&consent_shape, payload, len, MESSAGE_PAYLOAD_MAX, OTA_BAD_REQUEST,
			 ret, why);
}

/* A device reports what it does itself; the rest is the plugin's to say. */
static bool is_reported(enum update_state state)
{
	switch (state) {
	case UPDATE_DEFERRED:
	case UPDATE_DOWNLOADING:
	case UPDATE_DOWNLOADED:
	case UPDATE_VERIFIED:
	case UPDATE_INSTALLING:
	case UPDATE_INSTALLED:
	case UPDATE_RESTARTING:
	case UPDATE_TRIAL:
	case UPDATE_SUCCEEDED:
	case UPDATE_ALREADY_INSTALLED:
	case UPDATE_FAILED:
	case UPDATE_ROLLED_BACK:
	case UPDATE_REJECTED:
	case UPDATE_CANCELED:
	case UPDATE_SUPERSEDED:
		return true;
	case UPDATE_NONE:
	case UPDATE_TARGETED:
	case UPDATE_OFFERED:
	case UPDATE_TIMED_OUT:
	case UPDATE_REMOVED:
	case UPDATE_EXPIRED:
	case UPDATE_LOST:
	case UPDATE_STATE_COUNT:
		break;
	}
	return false;
}

enum ota_err report_read(const void *payload, size_t len, struct report *ret,
			 struct ota_why *why)
{
	enum ota_err named, err = json_read(&report_shape, payload, len, MESSAGE_REPORT_MAX,
					    OTA_BAD_REQUEST, ret, why);

	if (err)
		return err;
	if (!is_reported(ret->state))
		err = ota_fail(why, OTA_BAD_REQUEST, "report: '%s' is not a device's to say",
			       update_state_names[ret->state]);
	else if (ret->has_error && (!ota_err_from_name(ret->error.name, &named) ||
				    (uint32_t)named != ret->error.number))
		err = ota_fail(
			why, OTA_BAD_REQUEST,
			"report: 'error.name' and 'error.number' do not belong together");
	if (err)
		json_done(&report_shape, ret);
	return err;
}

enum ota_err offer_read(const void *payload, size_t len, struct offer *ret, struct ota_why *why)
{
	return json_read(&offer_shape, payload, len, MESSAGE_OFFER_MAX, OTA_BAD_REQUEST, ret,
			 why);
}

enum ota_err command_read(const void *payload, size_t len, struct command *ret,
			  struct ota_why *why)
{
	return json_read(&command_shape, payload, len, MESSAGE_COMMAND_MAX, OTA_BAD_REQUEST,
			 ret, why);
}

enum ota_err reply_read(const void *payload, size_t len, struct reply *ret, struct ota_why *why)
{
	enum ota_err err = json_read(&reply_shape, payload, len, MESSAGE_REPLY_MAX,
				     OTA_BAD_REQUEST, ret, why);

	if (!err && (ret->ok != !ret->has_error || ret->ok != (ret->result != NULL))) {
		err = ota_fail(why, OTA_BAD_REQUEST,
			       "reply: 'ok' goes with 'result', not ok with 'error'");
		json_done(&reply_shape, ret);
	}
	return err;
}

enum ota_err uploaded_read(const void *payload, size_t len, struct uploaded *ret,
			   struct ota_why *why)
{
	return json_read(&uploaded_shape, payload, len, MESSAGE_PAYLOAD_MAX, OTA_BAD_REQUEST,
			 ret, why);
}

static enum ota_err take_ranges(const struct wire_get *wire, struct get *get,
				struct ota_why *why)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < wire->range_count; i++) {
		struct get_range range = {wire->ranges[i].numbers[0],
					  wire->ranges[i].numbers[1]};

		if (range.count < 1 || range.count > MESSAGE_WINDOW_MAX - total)
			return ota_fail(why, OTA_BAD_REQUEST,
					"get: 'ranges' must ask for 1 to %u chunks",
					MESSAGE_WINDOW_MAX);
		total += range.count;
		get->ranges[i] = range;
	}
	get->range_count = wire->range_count;
	return OTA_OK;
}

enum ota_err get_read(const void *payload, size_t len, struct get *ret, struct ota_why *why)
{
	AUTO(wire_get_done) struct wire_get wire = {0};
	enum ota_err err = json_read(&get_shape, payload, len, MESSAGE_PAYLOAD_MAX,
				     OTA_BAD_REQUEST, &wire, why);
	struct get get = {.v = wire.v, .transfer = wire.transfer, .blob = wire.blob};

	if (!err)
		err = take_ranges(&wire, &get, why);
	if (!err)
		*ret = get;
	return err;
}

enum ota_err get_write(const struct get *get, struct text *to, struct ota_why *why)
{
	struct wire_range ranges[MESSAGE_RANGES_MAX];
	uint32_t numbers[MESSAGE_RANGES_MAX][2];

	if (get->range_count > MESSAGE_RANGES_MAX)
		return ota_fail(why, OTA_INTERNAL, "get: %u ranges", get->range_count);
	for (uint32_t i = 0; i < get->range_count; i++) {
		numbers[i][0] = get->ranges[i].first;
		numbers[i][1] = get->ranges[i].count;
		ranges[i] = (struct wire_range){numbers[i], 2};
	}
	const struct wire_get wire = {get->v, get->transfer, get->blob, ranges,
				      get->range_count};

	return json_write(&get_shape, &wire, to, why);
}

enum ota_err control_read(const void *payload, size_t len, struct control *ret,
			  struct ota_why *why)
{
	enum ota_err err = json_read(&control_peek_shape, payload, len, MESSAGE_CONTROL_MAX,
				     OTA_BAD_REQUEST, ret, why);

	if (err)
		return err;
	return json_read(&control_shapes[ret->type], payload, len, MESSAGE_CONTROL_MAX,
			 OTA_BAD_REQUEST, ret, why);
}

enum ota_err control_write(const struct control *control, struct text *to, struct ota_why *why)
{
	if ((unsigned)control->type >= CONTROL_TYPE_COUNT)
		return ota_fail(why, OTA_INTERNAL, "control: no such type");
	return json_write(&control_shapes[control->type], control, to, why);
}

void control_done(struct control *control)
{
	free(control->seqs);
	json_done(&control_shapes[CONTROL_WELCOME], control); /* groups, roots, head */
}
