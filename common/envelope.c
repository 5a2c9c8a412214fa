#include "envelope.h"

#include "json.h"
#include "own.h"

#include <assert.h>
#include <string.h>

const char *const envelope_type_names[] = {
	"application/vnd.mosquitto-ota.root.v1+json",
	"application/vnd.mosquitto-ota.firmware.v1+json",
	"application/vnd.mosquitto-ota.release.v1+json",
	"application/vnd.mosquitto-ota.head.v1+json",
	NULL,
};

/* An envelope as it stands in its text. */
struct wire_signature {
	struct digest keyid;
	char sig[89]; /* 64 bytes in base64 */
};

struct wire {
	enum envelope_type type;
	char *payload;
	struct wire_signature *signatures;
	uint32_t signature_count;
};

#define SIG_BASE64_LEN 88

static const struct json_field signature_fields[] = {
	{"keyid", JSON_DIGEST, .offset = offsetof(struct wire_signature, keyid)},
	{"sig", JSON_STRING, JSON_REQUIRED, offsetof(struct wire_signature, sig),
	 SIG_BASE64_LEN + 1, SIG_BASE64_LEN, .allowed = "64 bytes in base64"},
	{0},
};
static const struct json_shape signature_shape = {"signature", sizeof(struct wire_signature),
						  signature_fields};
static const struct json_field signature_element = {.kind = JSON_OBJECT,
						    .shape = &signature_shape};
static const struct json_field wire_fields[] = {
	{"payloadType", JSON_ENUM, .offset = offsetof(struct wire, type),
	 .names = envelope_type_names},
	{"payload", JSON_TEXT, .offset = offsetof(struct wire, payload), .min = 4,
	 .max = ENVELOPE_SIZE_MAX},
	{"signatures", JSON_ARRAY, .offset = offsetof(struct wire, signatures),
	 .size = sizeof(struct wire_signature), .min = 1, .max = ENVELOPE_SIGNATURES_MAX,
	 .element = &signature_element, .count_offset = offsetof(struct wire, signature_count)},
	{0},
};
static const struct json_shape wire_shape = {"envelope", sizeof(struct wire), wire_fields};

static void wire_done(struct wire *wire)
{
	json_done(&wire_shape, wire);
}

void envelope_done(struct envelope *envelope)
{
	free(envelope->payload);
	free(envelope->signed_bytes);
	*envelope = (struct envelope){0};
}

enum ota_err envelope_signed_bytes(enum envelope_type type, const void *payload, size_t len,
				   uint8_t **ret_bytes, size_t *ret_len, struct ota_why *why)
{
	const char *name = envelope_type_names[type];
	struct text text = {0};
	char *bytes = NULL;

	assert((unsigned)type < ENVELOPE_TYPE_COUNT);
	text_printf(&text, "DSSEv1 %zu %s %zu ", strlen(name), name, len);
	text_add(&text, payload, len);
	size_t signed_len = text.len;
	enum ota_err err = text_take(&text, &bytes, why);

	if (err)
		return err;
	*ret_bytes = (uint8_t *)bytes;
	*ret_len = signed_len;
	return OTA_OK;
}

/* A malformed part of an envelope is an invalid signature; want of memory is not. */
static enum ota_err unbase64(const char *what, const char *text, size_t max,
			     uint8_t **ret_bytes, size_t *ret_len, struct ota_why *why)
{
	enum ota_err err = text_unbase64(text, strlen(text), max, ret_bytes, ret_len, why);

	if (err && err != OTA_OUT_OF_MEMORY)
		err = OTA_SIGNATURE_INVALID;
	return err ? ota_context(why, err, "envelope: '%s'", what) : OTA_OK;
}

static enum ota_err take_signatures(const struct wire *wire, struct envelope *envelope,
				    struct ota_why *why)
{
	for (uint32_t i = 0; i < wire->signature_count; i++) {
		AUTO_FREE uint8_t *bytes = NULL;
		size_t len = 0;
		enum ota_err err = unbase64("sig", wire->signatures[i].sig, SIG_BASE64_LEN,
					    &bytes, &len, why);

		if (err)
			return err;
		if (len != SIGN_SIZE)
			return ota_fail(
				why, OTA_SIGNATURE_INVALID,
				"envelope: signature %u has %zu bytes, but it must be %d",
				i + 1, len, SIGN_SIZE);
		memcpy(envelope->signatures[i].signature, bytes, SIGN_SIZE);
		envelope->signatures[i].keyid = wire->signatures[i].keyid;
	}
	envelope->signature_count = wire->signature_count;
	return OTA_OK;
}

enum ota_err envelope_read(const char *text, size_t len, enum envelope_type type,
			   struct envelope *ret_envelope, struct ota_why *why)
{
	AUTO(wire_done) struct wire wire = {0};
	AUTO(envelope_done) struct envelope envelope = {.type = type};
	enum ota_err err = json_read(&wire_shape, text, len, ENVELOPE_SIZE_MAX,
				     OTA_SIGNATURE_INVALID, &wire, why);

	if (err)
		return err;
	if (wire.type != type)
		return ota_fail(why, OTA_SIGNATURE_INVALID,
				"envelope: its type is '%s', but '%s' is expected",
				envelope_type_names[wire.type], envelope_type_names[type]);
	err = unbase64("payload", wire.payload, ENVELOPE_SIZE_MAX, &envelope.payload,
		       &envelope.payload_len, why);
	if (!err)
		err = take_signatures(&wire, &envelope, why);
	if (!err)
		err = envelope_signed_bytes(type, envelope.payload, envelope.payload_len,
					    &envelope.signed_bytes, &envelope.signed_len, why);
	if (err)
		return err;
	*ret_envelope = envelope;
	envelope = (struct envelope){0};
	return OTA_OK;
}

enum ota_err envelope_verify(const struct envelope *envelope, const struct sign_public *keys,
			     unsigned key_count, unsigned threshold, uint64_t *ret_mask,
			     struct ota_why *why)
{
	uint64_t mask = 0;
	unsigned count = 0;

	assert(threshold >= 1 && key_count <= 64);
	if (threshold < 1 || key_count > 64)
		return ota_fail(why, OTA_INTERNAL, "a threshold of nobody");
	for (unsigned s = 0; s < envelope->signature_count; s++) {
		for (unsigned k = 0; k < key_count; k++) {
			if (!digest_equal(&envelope->signatures[s].keyid, &keys[k].id))
				continue;
			enum ota_err err = sign_verify(
				&keys[k], envelope->signed_bytes, envelope->signed_len,
				envelope->signatures[s].signature, SIGN_SIZE, why);

			if (err)
				return ota_context(why, err, "signature %u", s + 1);
			mask |= UINT64_C(1) << k;
		}
	}
	for (uint64_t rest = mask; rest; rest &= rest - 1)
		count++;
	if (count == 0)
		return ota_fail(
			why, OTA_SIGNER_NOT_TRUSTED,
			"none of the %u signatures is by one of the %u keys that may sign",
			envelope->signature_count, key_count);
	if (count < threshold)
		return ota_fail(why, OTA_SIGNATURE_THRESHOLD,
				"%u of the %u required keys have signed", count, threshold);
	if (ret_mask)
		*ret_mask = mask;
	return OTA_OK;
}

static enum ota_err add_signature(struct wire *wire, const uint8_t *bytes, size_t len,
				  const struct sign_key *key, struct ota_why *why)
{
	struct wire_signature *place = &wire->signatures[wire->signature_count];
	uint8_t signature[SIGN_SIZE];
	AUTO_FREE char *base64 = NULL;
	enum ota_err err = sign_make(key, bytes, len, signature, why);

	if (!err)
		err = text_base64(signature, SIGN_SIZE, &base64, why);
	if (err)
		return err;
	place->keyid = sign_key_public(key)->id;
	text_copy(place->sig, sizeof(place->sig), base64);
	wire->signature_count++;
	return OTA_OK;
}

static enum ota_err write_wire(const struct wire *wire, char **ret_text, struct ota_why *why)
{
	AUTO(text_done) struct text text = {0};
	enum ota_err err = json_write(&wire_shape, wire, &text, why);

	if (err)
		return err;
	if (text.len > ENVELOPE_SIZE_MAX)
		return ota_fail(why, OTA_TOO_LARGE,
				"the envelope has %zu bytes, at most %u fit", text.len,
				ENVELOPE_SIZE_MAX);
	return text_take(&text, ret_text, why);
}

enum ota_err envelope_make(enum envelope_type type, const void *payload, size_t len,
			   const struct sign_key *const *keys, unsigned key_count,
			   char **ret_text, struct ota_why *why)
{
	AUTO_FREE char *base64 = NULL;
	AUTO_FREE uint8_t *bytes = NULL;
	struct wire_signature signatures[ENVELOPE_SIGNATURES_MAX];
	struct wire wire = {.type = type, .signatures = signatures};
	size_t bytes_len = 0;

	if (key_count < 1 || key_count > ENVELOPE_SIGNATURES_MAX)
		return ota_fail(why, OTA_BAD_REQUEST, "an envelope has 1 to %d signatures",
				ENVELOPE_SIGNATURES_MAX);
	enum ota_err err = text_base64(payload, len, &base64, why);

	if (!err)
		err = envelope_signed_bytes(type, payload, len, &bytes, &bytes_len, why);
	for (unsigned i = 0; !err && i < key_count; i++)
		err = add_signature(&wire, bytes, bytes_len, keys[i], why);
	if (err)
		return err;
	if (strlen(base64) > ENVELOPE_SIZE_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "a document of %zu bytes is too large",
				len);
	wire.payload = base64;
	return write_wire(&wire, ret_text, why);
}

enum ota_err envelope_sign(const char *text, enum envelope_type type,
			   const struct sign_key *key, char **ret_text, struct ota_why *why)
{
	AUTO(wire_done) struct wire wire = {0};
	AUTO(envelope_done) struct envelope envelope = {0};
	struct wire_signature signatures[ENVELOPE_SIGNATURES_MAX];
	enum ota_err err = envelope_read(text, strlen(text), type, &envelope, why);

	if (!err)
		err = json_read(&wire_shape, text, strlen(text), ENVELOPE_SIZE_MAX,
				OTA_SIGNATURE_INVALID, &wire, why);
	if (err)
		return err;
	for (uint32_t i = 0; i < wire.signature_count; i++) {
		if (digest_equal(&wire.signatures[i].keyid, &sign_key_public(key)->id))
			return ota_fail(why, OTA_CONFLICT, "this key has signed already");
		signatures[i] = wire.signatures[i];
	}
	if (wire.signature_count == ENVELOPE_SIGNATURES_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "there are %d signatures already",
				ENVELOPE_SIGNATURES_MAX);
	struct wire more = {wire.type, wire.payload, signatures, wire.signature_count};

	err = add_signature(&more, envelope.signed_bytes, envelope.signed_len, key, why);
	return err ? err : write_wire(&more, ret_text, why);
}
