/* Keys and signatures: the only file that knows the algorithms (with the TLS set-up). */
#pragma once

#include "digest.h"
#include "text.h"

#define SIGN_SIZE	64  /* both algorithms sign with exactly 64 bytes */
#define SIGN_PUBLIC_MAX 128 /* SPKI DER: 44 bytes for Ed25519, 91 for P-256 */

#define SIGN_PASSPHRASE_MAX 1023

enum sign_algorithm {
	SIGN_ED25519 = 0,
	SIGN_ECDSA_P256,
	SIGN_ALGORITHM_COUNT,
};

extern const char *const sign_algorithm_names[]; /* "ed25519", "ecdsa-p256", NULL */

/* A public key as it stands in a root. */
struct sign_public {
	enum sign_algorithm algorithm;
	uint8_t der[SIGN_PUBLIC_MAX];
	size_t der_len;
	struct digest id; /* SHA-256 of der */
};

struct sign_key; /* a private key; opaque */

/* Checks that the DER is a key of the named algorithm, whole and nothing after it. */
enum ota_err sign_public_from_der(enum sign_algorithm algorithm, const uint8_t *der, size_t len,
				  struct sign_public *ret_key, struct ota_why *why) OTA_CHECKED;
/* OTA_SIGNATURE_INVALID when the signature does not fit; its length must be exactly SIGN_SIZE.
 */
enum ota_err sign_verify(const struct sign_public *key, const void *bytes, size_t len,
			 const uint8_t *signature, size_t signature_len,
			 struct ota_why *why) OTA_CHECKED;

enum ota_err sign_key_generate(enum sign_algorithm algorithm, struct sign_key **ret_key,
			       struct ota_why *why) OTA_CHECKED;
/* PKCS#8 PEM, encrypted (scrypt, AES-256) when the passphrase is not NULL. The file is made
 * 0600 and must not exist (OTA_CONFLICT). */
enum ota_err sign_key_save(const struct sign_key *key, const char *path, const char *passphrase,
			   struct ota_why *why) OTA_CHECKED;
/* OTA_UNAUTHORIZED when the passphrase is missing or wrong. */
enum ota_err sign_key_load(const char *path, const char *passphrase, struct sign_key **ret_key,
			   struct ota_why *why) OTA_CHECKED;
void sign_key_free(struct sign_key *key);
const struct sign_public *sign_key_public(const struct sign_key *key);
enum ota_err sign_make(const struct sign_key *key, const void *bytes, size_t len,
		       uint8_t ret_signature[SIGN_SIZE], struct ota_why *why) OTA_CHECKED;

/* Cryptographically random bytes. */
enum ota_err sign_random(void *ret_bytes, size_t len, struct ota_why *why) OTA_CHECKED;
