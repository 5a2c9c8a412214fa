/* Reading an envelope never believes it: with keys of nobody's, nothing verifies. What is read
 * has a payload whose signed bytes end with it. And a trust made of the input needs a signature
 * that fits, which changing an input cannot make. */
#include "fuzz.h"

#include "own.h"
#include "trust.h"

/* The RFC 8032 example key: its private half is public, but no input in the corpus uses it. */
static const uint8_t der[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21,
			      0x00, 0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7,
			      0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e,
			      0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};

static void check(const char *text, size_t len, enum envelope_type type,
		  const struct sign_public *key)
{
	AUTO(envelope_done) struct envelope envelope = {0};

	if (envelope_read(text, len, type, &envelope, NULL))
		return;
	MUST(envelope.type == type);
	MUST(envelope.signature_count >= 1 &&
	     envelope.signature_count <= ENVELOPE_SIGNATURES_MAX);
	MUST(envelope.signed_len > envelope.payload_len);
	MUST(memcmp(envelope.signed_bytes + envelope.signed_len - envelope.payload_len,
		    envelope.payload, envelope.payload_len) == 0);
	/* each of its signatures claimed to be the key's */
	for (unsigned i = 0; i < envelope.signature_count; i++)
		envelope.signatures[i].keyid = key->id;
	MUST(envelope_verify(&envelope, key, 1, 1, NULL, NULL) == OTA_SIGNATURE_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct sign_public key;
	const char *text = (const char *)bytes;
	struct trust *trust = NULL;

	if (!key.der_len)
		MUST(sign_public_from_der(SIGN_ED25519, der, sizeof(der), &key, NULL) ==
		     OTA_OK);
	for (int type = 0; type < ENVELOPE_TYPE_COUNT; type++)
		check(text, len, (enum envelope_type)type, &key);
	if (trust_new(text, len, &trust, NULL) == OTA_OK) {
		const struct root_document *root = trust_root(trust);

		MUST(root->root.threshold >= 1 && root->root.key_count >= root->root.threshold);
		/* It is no successor of itself. */
		MUST(trust_advance(trust, text, len, NULL) == OTA_ROOT_GAP);
		trust_free(trust);
	}
	return 0;
}
