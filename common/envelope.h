/* DSSE envelopes (PROTOCOL.md section 5): verify first, then parse only the verified bytes. */
#pragma once

#include "sign.h"

#define ENVELOPE_SIZE_MAX	(64u << 10)
#define ENVELOPE_SIGNATURES_MAX 16

enum envelope_type {
	ENVELOPE_ROOT = 0,
	ENVELOPE_FIRMWARE,
	ENVELOPE_RELEASE,
	ENVELOPE_HEAD,
	ENVELOPE_TYPE_COUNT,
};

extern const char *const envelope_type_names[]; /* the payloadType of each */

/* An envelope that is well-formed; nothing about it is verified yet. */
struct envelope {
	enum envelope_type type;
	uint8_t *payload; /* NUL-terminated for convenience; NUL not counted */
	size_t payload_len;
	uint8_t *signed_bytes; /* the pre-authentication encoding of type and payload */
	size_t signed_len;
	struct {
		struct digest keyid; /* a hint */
		uint8_t signature[SIGN_SIZE];
	} signatures[ENVELOPE_SIGNATURES_MAX];
	unsigned signature_count;
};

/* Reads an envelope of exactly this type. OTA_SIGNATURE_INVALID for another type, a signature
 * of the wrong length or text that is not an envelope. */
enum ota_err envelope_read(const char *text, size_t len, enum envelope_type type,
			   struct envelope *ret_envelope, struct ota_why *why) OTA_CHECKED;
void envelope_done(struct envelope *envelope);

/* Counts the distinct keys among `keys` that signed. OTA_SIGNATURE_THRESHOLD when fewer than
 * `threshold` (≥ 1, 0 is a programming error), OTA_SIGNATURE_INVALID when a signature by one of
 * the keys is wrong, OTA_SIGNER_NOT_TRUSTED when no signature is by any of them. *ret_mask (may
 * be NULL): bit i set for keys[i]. key_count ≤ 64. */
enum ota_err envelope_verify(const struct envelope *envelope, const struct sign_public *keys,
			     unsigned key_count, unsigned threshold, uint64_t *ret_mask,
			     struct ota_why *why) OTA_CHECKED;

/* Makes an envelope over the payload, signed by each of the keys. The caller frees the text. */
enum ota_err envelope_make(enum envelope_type type, const void *payload, size_t len,
			   const struct sign_key *const *keys, unsigned key_count,
			   char **ret_text, struct ota_why *why) OTA_CHECKED;
/* Adds a signature to an envelope that is there (an offline co-signer). */
enum ota_err envelope_sign(const char *text, enum envelope_type type,
			   const struct sign_key *key, char **ret_text,
			   struct ota_why *why) OTA_CHECKED;
/* The bytes that an outside signer (a browser, a PKCS#11 token) must sign. */
enum ota_err envelope_signed_bytes(enum envelope_type type, const void *payload, size_t len,
				   uint8_t **ret_bytes, size_t *ret_len,
				   struct ota_why *why) OTA_CHECKED;
