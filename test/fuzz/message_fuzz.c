/* Every message is tried on every input. One that is read is written, and what was written is
 * read as the same bytes again; frames too. Inputs in hexadecimal are frames as well. */
#include "fuzz.h"

#include "message.h"
#include "own.h"

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

enum kind { HELLO, REPORT, CONSENT, OFFER, COMMAND, REPLY, UPLOADED, CONTROL, GET, KIND_COUNT };

static const struct json_shape *const shapes[] = {
	&hello_shape,	&report_shape, &consent_shape, &offer_shape,
	&command_shape, &reply_shape,  &uploaded_shape};

static enum ota_err read_any(enum kind kind, const void *bytes, size_t len, union any *any)
{
	switch (kind) {
	case HELLO:
		return hello_read(bytes, len, &any->hello, NULL);
	case REPORT:
		return report_read(bytes, len, &any->report, NULL);
	case CONSENT:
		return consent_read(bytes, len, &any->consent, NULL);
	case OFFER:
		return offer_read(bytes, len, &any->offer, NULL);
	case COMMAND:
		return command_read(bytes, len, &any->command, NULL);
	case REPLY:
		return reply_read(bytes, len, &any->reply, NULL);
	case UPLOADED:
		return uploaded_read(bytes, len, &any->uploaded, NULL);
	case CONTROL:
		return control_read(bytes, len, &any->control, NULL);
	case GET:
	case KIND_COUNT:
		break;
	}
	return get_read(bytes, len, &any->get, NULL);
}

static enum ota_err write_any(enum kind kind, const union any *any, struct text *to)
{
	if (kind == CONTROL)
		return control_write(&any->control, to, NULL);
	if (kind == GET)
		return get_write(&any->get, to, NULL);
	return json_write(shapes[kind], any, to, NULL);
}

static void done_any(enum kind kind, union any *any)
{
	if (kind == CONTROL)
		control_done(&any->control);
	else if (kind != GET)
		json_done(shapes[kind], any);
}

static void check(enum kind kind, const void *bytes, size_t len)
{
	AUTO(text_done) struct text once = {0}, twice = {0};
	union any any;
	enum ota_err err = read_any(kind, bytes, len, &any);

	MUST(err == OTA_OK || err == OTA_BAD_REQUEST);
	if (err)
		return;
	MUST(write_any(kind, &any, &once) == OTA_OK);
	done_any(kind, &any);
	MUST(read_any(kind, once.data, once.len, &any) == OTA_OK);
	MUST(write_any(kind, &any, &twice) == OTA_OK);
	done_any(kind, &any);
	MUST(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
}

static void check_frames(const uint8_t *bytes, size_t len)
{
	uint8_t header[MESSAGE_UPLOAD_HEADER];
	struct chunk chunk;
	struct upload_frame upload;

	if (chunk_read(bytes, len, &chunk, NULL) == OTA_OK) {
		chunk_write_header(&chunk, header);
		MUST(memcmp(header, bytes, MESSAGE_CHUNK_HEADER) == 0);
		MUST(chunk.data + chunk.data_len == bytes + len);
	}
	if (upload_read(bytes, len, &upload, NULL) == OTA_OK) {
		upload_write_header(&upload, header);
		MUST(memcmp(header, bytes, MESSAGE_UPLOAD_HEADER) == 0);
		MUST(upload.data + upload.data_len == bytes + len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	for (int kind = 0; kind < KIND_COUNT; kind++)
		check((enum kind)kind, bytes, len);
	check_frames(bytes, len);
	AUTO_FREE char *hex = strndup((const char *)bytes, len);
	AUTO_FREE uint8_t *frame = malloc(len / 2 + 1);

	if (strlen(hex) == len && text_to_bytes(hex, frame, len / 2))
		check_frames(frame, len / 2);
	return 0;
}
