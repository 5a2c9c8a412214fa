#include "slot_wire.h"

#include "record.h"

#include <string.h>

enum uses {
	USES_WHICH = 1,
	USES_PART = 2,
	USES_TRIES = 4,
	USES_OFFSET = 8,
	USES_SIZE = 16,
	USES_DIGEST = 32,
	USES_BYTES = 64,
};

static const struct {
	const char *name;
	unsigned uses;
} verbs[SLOT_VERB_COUNT] = {
	[SLOT_VERB_HELLO] = {"hello", USES_SIZE},
	[SLOT_VERB_CAPACITY] = {"capacity", USES_PART},
	[SLOT_VERB_BEGIN] = {"begin", USES_PART | USES_SIZE},
	[SLOT_VERB_WRITE] = {"write", USES_PART | USES_OFFSET | USES_BYTES},
	[SLOT_VERB_READ] = {"read", USES_WHICH | USES_PART | USES_OFFSET | USES_SIZE},
	[SLOT_VERB_FINISH] = {"finish", USES_PART},
	[SLOT_VERB_VERIFY] = {"verify", USES_WHICH | USES_PART | USES_SIZE | USES_DIGEST},
	[SLOT_VERB_DIGEST] = {"digest", USES_WHICH | USES_PART},
	[SLOT_VERB_ARM] = {"arm", USES_TRIES},
	[SLOT_VERB_STATE] = {"state", 0},
	[SLOT_VERB_CONFIRM] = {"confirm", 0},
	[SLOT_VERB_REVERT] = {"revert", 0},
	[SLOT_VERB_SETTLE] = {"settle", 0},
	[SLOT_VERB_RESTART] = {"restart", 0},
	[SLOT_VERB_GO] = {"go", 0},
	[SLOT_VERB_STOP] = {"stop", 0},
};

const char *slot_verb_name(enum slot_verb verb)
{
	return verb < SLOT_VERB_COUNT && verbs[verb].name ? verbs[verb].name : "?";
}

static void put_bytes(uint8_t **at, const void *bytes, size_t len)
{
	if (len > 0 && *at != bytes)
		memcpy(*at, bytes, len);
	*at += len;
}

size_t slot_request_write(const struct slot_request *request, uint8_t *to)
{
	uint8_t *at = to;

	record_put_u32(&at, request->verb);
	record_put_u32(&at, request->which);
	record_put_u32(&at, request->part);
	record_put_u32(&at, request->tries);
	record_put_u64(&at, request->offset);
	record_put_u64(&at, request->size);
	put_bytes(&at, request->digest.bytes, DIGEST_SIZE);
	put_bytes(&at, request->bytes, request->len);
	return (size_t)(at - to);
}

static unsigned uses_of(const struct slot_request *request)
{
	return (request->which != SLOT_RUNNING ? USES_WHICH : 0u) |
	       (request->part ? USES_PART : 0u) | (request->tries ? USES_TRIES : 0u) |
	       (request->offset ? USES_OFFSET : 0u) | (request->size ? USES_SIZE : 0u) |
	       (digest_is_zero(&request->digest) ? 0u : USES_DIGEST) |
	       (request->len ? USES_BYTES : 0u);
}

enum ota_err slot_request_read(const uint8_t *message, size_t len,
			       struct slot_request *ret_request, struct ota_why *why)
{
	struct slot_request request = {0};
	const uint8_t *at = message;

	if (len < SLOT_WIRE_HEADER || len > SLOT_WIRE_HEADER + SLOT_WIRE_DATA_MAX)
		return ota_fail(why, OTA_BAD_REQUEST, "a request of %zu bytes", len);
	uint32_t verb = record_get_u32(&at), which = record_get_u32(&at);
	if (verb >= SLOT_VERB_COUNT || !verbs[verb].name)
		return ota_fail(why, OTA_BAD_REQUEST, "there is no verb %u", verb);
	if (which > SLOT_TARGET)
		return ota_fail(why, OTA_BAD_REQUEST, "%s of slot %u", verbs[verb].name, which);
	request.verb = (enum slot_verb)verb;
	request.which = (enum slot_which)which;
	request.part = record_get_u32(&at);
	request.tries = record_get_u32(&at);
	request.offset = record_get_u64(&at);
	request.size = record_get_u64(&at);
	memcpy(request.digest.bytes, at, DIGEST_SIZE);
	request.bytes = message + SLOT_WIRE_HEADER;
	request.len = len - SLOT_WIRE_HEADER;
	if (uses_of(&request) & ~verbs[verb].uses)
		return ota_fail(why, OTA_BAD_REQUEST, "%s with more than it takes",
				verbs[verb].name);
	if (request.verb == SLOT_VERB_READ && request.size > SLOT_WIRE_DATA_MAX)
		return ota_fail(why, OTA_BAD_REQUEST, "read of %llu bytes, at most %u",
				(unsigned long long)request.size, SLOT_WIRE_DATA_MAX);
	*ret_request = request;
	return OTA_OK;
}

size_t slot_answer_write(const struct slot_answer *answer, uint8_t *to)
{
	size_t text_len = answer->why.err ? strlen(answer->why.text) : 0;
	uint8_t *at = to;

	record_put_u32(&at, answer->kind);
	record_put_u32(&at, answer->why.err);
	record_put_u32(&at, (uint32_t)answer->why.detail);
	record_put_u32(&at, (uint32_t)text_len);
	record_put_u64(&at, answer->first);
	record_put_u64(&at, answer->second);
	put_bytes(&at, answer->digest.bytes, DIGEST_SIZE);
	put_bytes(&at, answer->why.text, text_len);
	put_bytes(&at, answer->bytes, answer->len);
	return (size_t)(at - to);
}

enum ota_err slot_answer_read(const uint8_t *message, size_t len,
			      struct slot_answer *ret_answer, struct ota_why *why)
{
	struct slot_answer answer = {0};
	const uint8_t *at = message;

	if (len < SLOT_WIRE_HEADER || len > SLOT_WIRE_MAX)
		return ota_fail(why, OTA_SLOT_ERROR, "an answer of %zu bytes", len);
	uint32_t kind = record_get_u32(&at), number = record_get_u32(&at);
	answer.why.detail = (int)record_get_u32(&at);
	size_t text_len = record_get_u32(&at);
	answer.first = record_get_u64(&at);
	answer.second = record_get_u64(&at);
	memcpy(answer.digest.bytes, at, DIGEST_SIZE);
	at += DIGEST_SIZE;
	len -= SLOT_WIRE_HEADER;
	if (kind > SLOT_ANSWER_PROGRESS || text_len > len || text_len >= OTA_WHY_TEXT_MAX ||
	    (number && !ota_err_from_number(number, &answer.why.err)) ||
	    len - text_len > SLOT_WIRE_DATA_MAX)
		return ota_fail(why, OTA_SLOT_ERROR, "an answer that makes no sense");
	answer.kind = (enum slot_answer_kind)kind;
	text_sanitize(answer.why.text, sizeof(answer.why.text), (const char *)at, text_len,
		      false);
	answer.bytes = at + text_len;
	answer.len = len - text_len;
	*ret_answer = answer;
	return OTA_OK;
}
