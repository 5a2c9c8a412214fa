#include "unit.h"

#include "message.h"
#include "own.h"

static char *vector(const char *name, size_t *ret_len)
{
	char path[256];

	snprintf(path, sizeof(path), VECTORS "/%s", name);
	return unit_read(path, ret_len);
}

/* The bytes of a vector in hexadecimal. */
static size_t frame(const char *name, uint8_t *to, size_t room)
{
	size_t len = 0;
	char *hex = vector(name, &len);

	assert_true(len / 2 <= room);
	assert_true(text_to_bytes(hex, to, len / 2));
	test_free(hex);
	return len / 2;
}

/* Every JSON message, with how it is read, written and ended. */
union any {
	struct hello hello;
	struct report report;
	struct consent consent;
	struct offer offer;
	struct command command;
	struct reply reply;
	struct uploaded uploaded;
	struct control control;
	struct get get;
};

static enum ota_err write_any(const char *name, const union any *any, struct text *to,
			      struct ota_why *why);
static enum ota_err read_any(const char *name, const char *payload, size_t len, union any *any,
			     struct ota_why *why);
static void done_any(const char *name, union any *any);

static const struct kind {
	const char *name;
	const struct json_shape *shape;
} kinds[] = {
	{"hello", &hello_shape},
	{"report", &report_shape},
	{"consent", &consent_shape},
	{"offer", &offer_shape},
	{"command", &command_shape},
	{"reply", &reply_shape},
	{"refusal", &reply_shape},
	{"uploaded", &uploaded_shape},
	{"get", NULL},
	{"welcome", NULL},
	{"ack", NULL},
	{"grant", NULL},
	{"cancel", NULL},
	{"revert", NULL},
	{"resume", NULL},
	{"rehello", NULL},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct json_shape *shape_of(const char *name)
{
	for (size_t i = 0; i < KIND_COUNT; i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].shape;
	}
	return NULL;
}

static enum ota_err read_any(const char *name, const char *payload, size_t len, union any *any,
			     struct ota_why *why)
{
	const struct json_shape *shape = shape_of(name);

	if (shape == &hello_shape)
		return hello_read(payload, len, &any->hello, why);
	if (shape == &report_shape)
		return report_read(payload, len, &any->report, why);
	if (shape == &consent_shape)
		return consent_read(payload, len, &any->consent, why);
	if (shape == &offer_shape)
		return offer_read(payload, len, &any->offer, why);
	if (shape == &command_shape)
		return command_read(payload, len, &any->command, why);
	if (shape == &reply_shape)
		return reply_read(payload, len, &any->reply, why);
	if (shape == &uploaded_shape)
		return uploaded_read(payload, len, &any->uploaded, why);
	if (strcmp(name, "get") == 0)
		return get_read(payload, len, &any->get, why);
	return control_read(payload, len, &any->control, why);
}

static enum ota_err write_any(const char *name, const union any *any, struct text *to,
			      struct ota_why *why)
{
	if (shape_of(name))
		return json_write(shape_of(name), any, to, why);
	if (strcmp(name, "get") == 0)
		return get_write(&any->get, to, why);
	return control_write(&any->control, to, why);
}

static void done_any(const char *name, union any *any)
{
	if (shape_of(name))
		json_done(shape_of(name), any);
	else if (strcmp(name, "get") != 0)
		control_done(&any->control);
}

static void every_vector_is_read_and_written_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		AUTO(text_done) struct text text = {0};
		struct ota_why why;
		union any any;
		char file[64];
		size_t len;

		snprintf(file, sizeof(file), "%s.json", kinds[i].name);
		char *payload = vector(file, &len);

		assert_ok(read_any(kinds[i].name, payload, len, &any, &why), why);
		assert_ok(write_any(kinds[i].name, &any, &text, &why), why);
		assert_string_equal(text.data, payload);
		done_any(kinds[i].name, &any);
		test_free(payload);
	}
}

/* Cutting a message anywhere, and changing any byte of it, never does worse than an error; what
 * is still accepted is written and read again as the same. */
static void damaged_messages_are_refused_or_mean_what_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		char file[64];
		size_t len;

		snprintf(file, sizeof(file), "%s.json", kinds[i].name);
		char *payload = vector(file, &len);
		size_t step = len > 1000 ? 13 : 1;

		for (size_t at = 0; at < len; at += step) {
			AUTO(text_done) struct text text = {0};
			struct ota_why why;
			union any any;
			char kept = payload[at];

			assert_int_equal(read_any(kinds[i].name, payload, at, &any, &why),
					 OTA_BAD_REQUEST);
			payload[at] = (char)(kept ^ (1 << at % 8));
			if (read_any(kinds[i].name, payload, len, &any, &why) == OTA_OK) {
				assert_ok(write_any(kinds[i].name, &any, &text, &why), why);
				done_any(kinds[i].name, &any);
				assert_ok(read_any(kinds[i].name, text.data, text.len, &any,
						   &why),
					  why);
				done_any(kinds[i].name, &any);
			}
			payload[at] = kept;
		}
		test_free(payload);
	}
}

/* The member of a vector replaced, everything else as it was. */
static char *with(const char *name, const char *member, const char *value)
{
	char file[64], key[64];
	size_t len;
	struct text text = {0};
	char *string = NULL;

	snprintf(file, sizeof(file), "%s.json", name);
	char *payload = vector(file, &len);

	snprintf(key, sizeof(key), "\"%s\":", member);
	char *at = strstr(payload, key);

	if (!at)
		fail_msg("%s has no %s", name, member);
	at += strlen(key);
	size_t depth = 0;
	bool quoted = false;
	char *end = at;

	for (; quoted || depth || (*end != ',' && *end != '}' && *end != ']'); end++) {
		if (*end == '"' && end[-1] != '\\')
			quoted = !quoted;
		if (!quoted && (*end == '{' || *end == '['))
			depth++;
		if (!quoted && (*end == '}' || *end == ']'))
			depth--;
	}
	text_add(&text, payload, (size_t)(at - payload));
	text_put(&text, value);
	text_put(&text, end);
	assert_int_equal(text_take(&text, &string, NULL), OTA_OK);
	test_free(payload);
	return string;
}

static const struct {
	const char *name, *member, *value, *sentence;
} beyond_range[] = {
	{"hello", "v", "2", "hello: 'v' must be an integer from 1 to 1"},
	{"hello", "nonce", "\"00\"", "hello: 'nonce' must be 32 lower-case"},
	{"hello", "product", "\"Lamp\"", "hello: 'product' must be text of 1 to 64"},
	{"hello", "hardware", "\"..\"", "hello: 'hardware' must be"},
	{"hello", "version", "\"1 4\"", "hello: 'version' must be"},
	{"hello", "boot", "\"fine\"", "one of normal trial reverted"},
	{"hello", "slot_size", "9007199254740993", "beyond 2^53"},
	{"hello", "consent", "{\"download\":true,\"install\":true}",
	 "'consent.restart' is missing"},
	{"hello", "trial", "{\"release\":0,\"attempt\":1}", "'trial.release' must be"},
	{"hello", "update", "{\"release\":1,\"attempt\":1,\"state\":\"\"}",
	 "'update.state' must be one of targeted"},
	{"report", "seq", "0", "'seq' must be an integer from 1"},
	{"report", "attempt", "0", "'attempt' must be"},
	{"report", "state", "\"targeted\"", "'targeted' is not a device's to say"},
	{"report", "state", "\"lost\"", "'lost' is not a device's to say"},
	{"report", "state", "\"offered\"", "'offered' is not a device's"},
	{"report", "number", "5", "do not belong together"},
	{"report", "name", "\"no_such\"", "do not belong together"},
	{"report", "detail", "-1", "'error.detail' must be an integer"},
	{"offer", "attempt", "0", "'attempt' must be"},
	{"offer", "release", "\"\"", "'release' must be text of 1 to 65536 bytes"},
	{"offer", "packs", "[{\"sha256\":\"00\",\"size\":1}]", "'packs[0].sha256' must be 64"},
	{"offer", "sources", "[\"http://ota.example\"]", "'sources[0]' must be text of 9"},
	{"offer", "sources", "[\"https://\"]", "'sources[0]' must be text of 9"},
	{"offer", "sources", "[\"file:///etc/passwd\"]", "'sources[0]' must be"},
	{"command", "id", "\"\"", "'id' must be text of 1 to 64"},
	{"command", "args", "[]", "'args' must be an object"},
	{"command", "args", "{\"a\":1,\"a\":2}", "'args.a' stands there twice"},
	{"get", "transfer", "0", "'transfer' must be an integer from 1"},
	{"get", "transfer", "4294967296", "'transfer' must be"},
	{"get", "ranges", "[]", "array of 1 to 8"},
	{"get", "ranges", "[[0]]", "'ranges[0]' must be an array of 2 to 2"},
	{"get", "ranges", "[[0,0]]", "1 to 8 chunks"},
	{"get", "ranges", "[[0,9]]", "1 to 8 chunks"},
	{"get", "ranges", "[[0,4],[8,5]]", "1 to 8 chunks"},
	{"get", "ranges", "[[0,4294967295],[8,2]]", "1 to 8 chunks"},
	{"get", "ranges", "[0,1]", "'ranges[0]' must be an array"},
	{"welcome", "type", "\"wipe\"", "'type' must be one of welcome ack"},
	{"welcome", "shards", "0", "'shards' must be an integer from 1"},
	{"welcome", "status", "\"admin\"", "'status' must be one of quarantined"},
	{"ack", "type", "\"grant\"", "'seqs' is no member of it"},
	{"grant", "type", "\"rehello\"", "is no member of it"},
	{"cancel", "reason", "\"because\"", "one of aborted superseded"},
	{"revert", "type", "\"cancel\"", "'reason' is missing"},
	{"reply", "ok", "false", "'ok' goes with 'result'"},
	{"refusal", "ok", "true", "'ok' goes with 'result'"},
	{"uploaded", "upload", "\"a7\"", "'upload' must be text of 16 to 16"},
};

static void members_beyond_their_range_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(beyond_range) / sizeof(beyond_range[0]); i++) {
		AUTO_FREE char *payload = with(beyond_range[i].name, beyond_range[i].member,
					       beyond_range[i].value);
		struct ota_why why = {0};
		union any any;
		enum ota_err err =
			read_any(beyond_range[i].name, payload, strlen(payload), &any, &why);

		if (err != OTA_BAD_REQUEST)
			fail_msg("%s with %s %s was accepted", beyond_range[i].name,
				 beyond_range[i].member, beyond_range[i].value);
		assert_contains(why.text, beyond_range[i].sentence);
	}
}

static void each_kind_has_its_size_limit(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t max;
	} cases[] = {
		{"hello", MESSAGE_PAYLOAD_MAX},	  {"consent", MESSAGE_PAYLOAD_MAX},
		{"get", MESSAGE_PAYLOAD_MAX},	  {"report", MESSAGE_REPORT_MAX},
		{"offer", MESSAGE_OFFER_MAX},	  {"ack", MESSAGE_CONTROL_MAX},
		{"command", MESSAGE_COMMAND_MAX}, {"reply", MESSAGE_REPLY_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char file[64];
		size_t len;
		struct ota_why why;
		union any any;
		AUTO_FREE char *padded = malloc(cases[i].max + 1);

		snprintf(file, sizeof(file), "%s.json", cases[i].name);
		char *payload = vector(file, &len);

		memset(padded, ' ', cases[i].max + 1);
		memcpy(padded, payload, len);
		test_free(payload);
		assert_ok(read_any(cases[i].name, padded, cases[i].max, &any, &why), why);
		done_any(cases[i].name, &any);
		assert_int_equal(read_any(cases[i].name, padded, cases[i].max + 1, &any, &why),
				 OTA_BAD_REQUEST);
	}
}

static void the_largest_report_and_offer_fit_their_limits(void **state)
{
	(void)state;
	struct report report = {.v = 1,
				.seq = 1,
				.release = 1,
				.attempt = 1,
				.state = UPDATE_FAILED,
				.version = "1",
				.has_error = true};
	AUTO_FREE char *log = malloc(MESSAGE_LOG_MAX + 1);
	AUTO(text_done) struct text text = {0};
	struct ota_why why;

	memset(log, '"', MESSAGE_LOG_MAX); /* two bytes each on the wire */
	log[MESSAGE_LOG_MAX / 2] = '\0';
	report.error = (struct report_error){
		.name = "internal", .number = OTA_INTERNAL, .state = UPDATE_TRIAL, .log = log};
	assert_ok(json_write(&report_shape, &report, &text, &why), why);
	assert_true(text.len <= MESSAGE_REPORT_MAX);
	struct report back;

	assert_ok(report_read(text.data, text.len, &back, &why), why);
	assert_string_equal(back.error.log, log);
	json_done(&report_shape, &back);
}

static void a_message_may_lack_what_is_optional(void **state)
{
	(void)state;
	static const char *const payloads[][2] = {
		{"consent", "{\"v\":1,\"consent\":{\"download\":false,\"install\":false,"
			    "\"restart\":false}}"},
		{"command", "{\"v\":1,\"id\":\"x\",\"verb\":\"whoami\",\"args\":{}}"},
		{"ack", "{\"v\":1,\"type\":\"ack\",\"seqs\":[]}"},
	};

	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		AUTO(text_done) struct text text = {0};
		struct ota_why why;
		union any any;

		assert_ok(read_any(payloads[i][0], payloads[i][1], strlen(payloads[i][1]), &any,
				   &why),
			  why);
		assert_ok(write_any(payloads[i][0], &any, &text, &why), why);
		assert_string_equal(text.data, payloads[i][1]);
		done_any(payloads[i][0], &any);
	}
}

static void chunk_frames_are_read_and_written_again(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct chunk chunk;
		const char *data;
	} cases[] = {
		{"chunk.hex", {CHUNK_DATA, OTA_OK, 1, 9}, "the last bytes"},
		{"wait.hex", {CHUNK_WAIT, OTA_OK, 1, 250}, ""},
		{"refused.hex", {CHUNK_REFUSED, OTA_NOT_FOUND, 1, 9}, ""},
	};

	for (size_t i = 0; i < 3; i++) {
		uint8_t bytes[64], header[MESSAGE_CHUNK_HEADER];
		size_t len = frame(cases[i].name, bytes, sizeof(bytes));
		struct ota_why why;
		struct chunk chunk;

		assert_ok(chunk_read(bytes, len, &chunk, &why), why);
		assert_int_equal(chunk.kind, cases[i].chunk.kind);
		assert_int_equal(chunk.err, cases[i].chunk.err);
		assert_int_equal(chunk.transfer, cases[i].chunk.transfer);
		assert_int_equal(chunk.number, cases[i].chunk.number);
		assert_int_equal(chunk.data_len, strlen(cases[i].data));
		assert_memory_equal(chunk.data, cases[i].data, chunk.data_len);
		chunk_write_header(&chunk, header);
		assert_memory_equal(header, bytes, sizeof(header));
	}
}

static void malformed_chunk_frames_are_refused(void **state)
{
	(void)state;
	enum { TOO_LARGE = MESSAGE_CHUNK_HEADER + MESSAGE_CHUNK_SIZE + 1 };
	static const struct {
		uint8_t header[MESSAGE_CHUNK_HEADER];
		size_t data_len;
	} cases[] = {
		{{0, 0, 0, 0, 0, 0, 0, 1}, 1},	/* kind 0 */
		{{4, 0, 0, 0, 0, 0, 0, 1}, 1},	/* kind 4 */
		{{1, 1, 0, 0, 0, 0, 0, 1}, 1},	/* byte 1 */
		{{1, 0, 0, 1, 0, 0, 0, 1}, 1},	/* data with an error */
		{{2, 0, 0, 1, 0, 0, 0, 1}, 0},	/* wait with an error */
		{{3, 0, 0, 0, 0, 0, 0, 1}, 0},	/* refused without one */
		{{3, 0, 0, 77, 0, 0, 0, 1}, 0}, /* an unknown one */
		{{1, 0, 0, 0, 0, 0, 0, 0}, 1},	/* transfer 0 */
		{{1, 0, 0, 0, 0, 0, 0, 1}, 0},	/* no data */
		{{1, 0, 0, 0, 0, 0, 0, 1}, MESSAGE_CHUNK_SIZE + 1},
		{{2, 0, 0, 0, 0, 0, 0, 1}, 1}, /* wait with data */
		{{3, 0, 0, 1, 0, 0, 0, 1}, 1}, /* refused with data */
	};
	AUTO_FREE uint8_t *bytes = calloc(1, TOO_LARGE);
	struct ota_why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chunk chunk = {.transfer = 77};

		memcpy(bytes, cases[i].header, MESSAGE_CHUNK_HEADER);
		if (chunk_read(bytes, MESSAGE_CHUNK_HEADER + cases[i].data_len, &chunk, &why) !=
		    OTA_BAD_REQUEST)
			fail_msg("case %zu was accepted", i);
		assert_int_equal(chunk.transfer, 77);
	}
	for (size_t len = 0; len < MESSAGE_CHUNK_HEADER; len++) {
		struct chunk chunk;

		assert_int_equal(chunk_read(bytes, len, &chunk, &why), OTA_BAD_REQUEST);
	}
}

static void upload_frames_are_read_and_written_again(void **state)
{
	(void)state;
	uint8_t bytes[64], header[MESSAGE_UPLOAD_HEADER];
	size_t len = frame("upload.hex", bytes, sizeof(bytes));
	struct upload_frame upload;
	struct ota_why why;

	assert_ok(upload_read(bytes, len, &upload, &why), why);
	assert_int_equal(upload.upload, 0xa7);
	assert_int_equal(upload.offset, 65536);
	assert_int_equal(upload.data_len, 5);
	assert_memory_equal(upload.data, "bytes", 5);
	upload_write_header(&upload, header);
	assert_memory_equal(header, bytes, sizeof(header));
	assert_int_equal(upload_read(bytes, MESSAGE_UPLOAD_HEADER, &upload, &why),
			 OTA_BAD_REQUEST);
	assert_int_equal(upload_read(bytes, 0, &upload, &why), OTA_BAD_REQUEST);
	assert_int_equal(upload_read(bytes, MESSAGE_UPLOAD_HEADER + MESSAGE_UPLOAD_DATA_MAX + 1,
				     &upload, &why),
			 OTA_BAD_REQUEST);
}

static void final_states_are_final(void **state)
{
	(void)state;
	assert_false(update_state_is_final(UPDATE_NONE));
	assert_false(update_state_is_final(UPDATE_TARGETED));
	assert_false(update_state_is_final(UPDATE_TRIAL));
	assert_true(update_state_is_final(UPDATE_SUCCEEDED));
	assert_true(update_state_is_final(UPDATE_LOST));
	assert_false(update_state_is_final(UPDATE_STATE_COUNT));
}

struct whole {
	char *value;
};

/* White space between the tokens taken away: {"value":<text>} read as one raw value. */
static char *compact(const char *text, size_t len)
{
	static const struct json_field fields[] = {
		{"value", JSON_RAW, .offset = offsetof(struct whole, value), .max = 1 << 20},
		{0},
	};
	static const struct json_shape shape = {"example", sizeof(struct whole), fields};
	AUTO(text_done) struct text wrapped = {0};
	struct whole whole;
	struct ota_why why;

	text_put(&wrapped, "{\"value\":");
	text_add(&wrapped, text, len);
	text_put(&wrapped, "}");
	assert_ok(json_read(&shape, wrapped.data, wrapped.len, 1 << 20, OTA_BAD_REQUEST, &whole,
			    &why),
		  why);
	return whole.value;
}

static void the_examples_in_the_protocol_are_the_vectors(void **state)
{
	(void)state;
	char *protocol = unit_read(PROTOCOL, NULL);
	char *at = strstr(protocol, "\n## 10. Examples\n");
	size_t count = 0;

	assert_non_null(at);
	while ((at = strstr(at, "\n```")) != NULL) {
		bool json = strncmp(at, "\n```json\n", 9) == 0;
		char *body = strchr(at + 1, '\n') + 1, *end = strstr(body, "\n```\n");
		char *line = at - 1;

		assert_non_null(end);
		while (line[-1] != '\n')
			line--;
		char file[64] = "";

		assert_int_equal(*line, '`');
		size_t name_len = strcspn(line + 1, "`");

		assert_true(name_len < sizeof(file));
		memcpy(file, line + 1, name_len);
		char *expected = vector(file, NULL);
		AUTO_FREE char *shown = json ? compact(body, (size_t)(end - body))
					     : strndup(body, (size_t)(end - body));

		assert_string_equal(shown, expected);
		test_free(expected);
		count++;
		at = end + 1;
	}
	assert_int_equal(count, 23);
	test_free(protocol);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_is_read_and_written_again),
		cmocka_unit_test(damaged_messages_are_refused_or_mean_what_they_say),
		cmocka_unit_test(members_beyond_their_range_are_named),
		cmocka_unit_test(each_kind_has_its_size_limit),
		cmocka_unit_test(the_largest_report_and_offer_fit_their_limits),
		cmocka_unit_test(a_message_may_lack_what_is_optional),
		cmocka_unit_test(chunk_frames_are_read_and_written_again),
		cmocka_unit_test(malformed_chunk_frames_are_refused),
		cmocka_unit_test(upload_frames_are_read_and_written_again),
		cmocka_unit_test(final_states_are_final),
		cmocka_unit_test(the_examples_in_the_protocol_are_the_vectors),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
