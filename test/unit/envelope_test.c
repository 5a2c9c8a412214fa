#include "unit.h"

#include "envelope.h"
#include "json.h"
#include "own.h"

static struct sign_key *keys[3];
static struct sign_public publics[3];

static int make_keys(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		if (sign_key_generate(i == 1 ? SIGN_ECDSA_P256 : SIGN_ED25519, &keys[i], NULL))
			return -1;
		publics[i] = *sign_key_public(keys[i]);
	}
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		sign_key_free(keys[i]);
	return 0;
}

static char *make(enum envelope_type type, const char *payload, unsigned key_count)
{
	const struct sign_key *const signers[] = {keys[0], keys[1], keys[2]};
	struct ota_why why;
	char *text = NULL;

	assert_ok(
		envelope_make(type, payload, strlen(payload), signers, key_count, &text, &why),
		why);
	return text;
}

static void assert_unreadable(const char *text, const char *part)
{
	struct envelope envelope = {.signature_count = 77};
	struct ota_why why;

	if (envelope_read(text, strlen(text), ENVELOPE_ROOT, &envelope, &why) !=
	    OTA_SIGNATURE_INVALID)
		fail_msg("accepted: %s", text);
	assert_int_equal(envelope.signature_count, 77);
	assert_contains(why.text, part);
}

static void what_was_signed_is_verified_and_given_back(void **state)
{
	(void)state;
	AUTO_FREE char *text = make(ENVELOPE_RELEASE, "{\"a\":1}", 2);
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;
	uint64_t mask = 0;

	assert_ok(envelope_read(text, strlen(text), ENVELOPE_RELEASE, &envelope, &why), why);
	assert_string_equal((char *)envelope.payload, "{\"a\":1}");
	assert_int_equal(envelope.payload_len, 7);
	assert_ok(envelope_verify(&envelope, publics, 3, 2, &mask, &why), why);
	assert_int_equal(mask, 3);
}

static void the_signed_bytes_are_those_of_dsse(void **state)
{
	(void)state;
	AUTO_FREE uint8_t *bytes = NULL;
	size_t len = 0;
	static const char expected[] =
		"DSSEv1 42 application/vnd.mosquitto-ota.root.v1+json 3 a\0b";

	assert_int_equal(envelope_signed_bytes(ENVELOPE_ROOT, "a\0b", 3, &bytes, &len, NULL),
			 OTA_OK);
	assert_int_equal(len, sizeof(expected) - 1);
	assert_memory_equal(bytes, expected, len);
}

static void a_document_of_one_type_is_not_of_another(void **state)
{
	(void)state;
	AUTO_FREE char *text = make(ENVELOPE_FIRMWARE, "{}", 1);
	AUTO(text_done) struct text renamed = {0};
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;

	assert_unreadable(text, "but 'application/vnd.mosquitto-ota.root.v1+json' is expected");
	/* the type rewritten: then the signature no longer fits */
	char *type = strstr(text, "firmware");

	text_add(&renamed, text, (size_t)(type - text));
	text_put(&renamed, "root");
	text_put(&renamed, type + strlen("firmware"));
	assert_ok(envelope_read(renamed.data, renamed.len, ENVELOPE_ROOT, &envelope, &why),
		  why);
	assert_int_equal(envelope_verify(&envelope, publics, 3, 1, NULL, &why),
			 OTA_SIGNATURE_INVALID);
}

static void a_threshold_counts_distinct_keys(void **state)
{
	(void)state;
	AUTO_FREE char *one = make(ENVELOPE_ROOT, "{}", 1);
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;

	assert_ok(envelope_read(one, strlen(one), ENVELOPE_ROOT, &envelope, &why), why);
	assert_int_equal(envelope_verify(&envelope, publics, 3, 2, NULL, &why),
			 OTA_SIGNATURE_THRESHOLD);
	assert_string_equal(why.text, "1 of the 2 required keys have signed");
	/* the same signature once more */
	envelope.signatures[1] = envelope.signatures[0];
	envelope.signature_count = 2;
	assert_int_equal(envelope_verify(&envelope, publics, 3, 2, NULL, &why),
			 OTA_SIGNATURE_THRESHOLD);
	/* another, equally valid signature of the same P-256 key */
	AUTO(envelope_done) struct envelope twice = {0};
	AUTO_FREE char *two = make(ENVELOPE_ROOT, "{}", 2);

	assert_ok(envelope_read(two, strlen(two), ENVELOPE_ROOT, &twice, &why), why);
	twice.signatures[0] = twice.signatures[1];
	assert_ok(sign_make(keys[1], twice.signed_bytes, twice.signed_len,
			    twice.signatures[0].signature, &why),
		  why);
	assert_memory_not_equal(twice.signatures[0].signature, twice.signatures[1].signature,
				SIGN_SIZE);
	assert_int_equal(envelope_verify(&twice, publics, 3, 2, NULL, &why),
			 OTA_SIGNATURE_THRESHOLD);
}

static void a_signature_by_a_stranger_does_not_count(void **state)
{
	(void)state;
	AUTO_FREE char *text = make(ENVELOPE_ROOT, "{}", 2);
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;
	uint64_t mask = 0;

	assert_ok(envelope_read(text, strlen(text), ENVELOPE_ROOT, &envelope, &why), why);
	assert_int_equal(envelope_verify(&envelope, &publics[2], 1, 1, &mask, &why),
			 OTA_SIGNER_NOT_TRUSTED);
	assert_int_equal(envelope_verify(&envelope, publics, 0, 1, &mask, &why),
			 OTA_SIGNER_NOT_TRUSTED);
	assert_int_equal(mask, 0);
	/* beside one that does */
	assert_ok(envelope_verify(&envelope, &publics[1], 1, 1, &mask, &why), why);
	assert_int_equal(mask, 1);
	/* with the id of one that may: it is no signature of that key */
	envelope.signatures[0].keyid = publics[2].id;
	assert_int_equal(envelope_verify(&envelope, &publics[2], 1, 1, &mask, &why),
			 OTA_SIGNATURE_INVALID);
}

static void every_flipped_bit_of_the_payload_is_seen(void **state)
{
	(void)state;
	AUTO_FREE char *text = make(ENVELOPE_ROOT, "{\"a\":1}", 2);
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;

	assert_ok(envelope_read(text, strlen(text), ENVELOPE_ROOT, &envelope, &why), why);
	for (size_t bit = 0; bit < 8 * envelope.signed_len; bit++) {
		envelope.signed_bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(envelope_verify(&envelope, publics, 3, 1, NULL, &why),
				 OTA_SIGNATURE_INVALID);
		envelope.signed_bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* A text that is an envelope but for one thing. */
static char *text_of(const char *type, const char *payload, const char *signatures)
{
	struct text text = {0};
	char *string = NULL;

	text_printf(&text, "{\"payloadType\":\"%s\",\"payload\":\"%s\",\"signatures\":[%s]}",
		    type, payload, signatures);
	assert_int_equal(text_take(&text, &string, NULL), OTA_OK);
	return string;
}

#define ROOT_TYPE "application/vnd.mosquitto-ota.root.v1+json"
#define KEYID	  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SIG                                                                                    \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define SIGNATURE "{\"keyid\":\"" KEYID "\",\"sig\":\"" SIG "\"}"

static void what_is_no_envelope_is_an_invalid_signature(void **state)
{
	(void)state;
	static const struct {
		const char *type, *payload, *signatures, *part;
	} cases[] = {
		{ROOT_TYPE, "e30=", "", "'signatures' must be an array of 1 to 16"},
		{ROOT_TYPE, "", SIGNATURE, "'payload' must be text"},
		{ROOT_TYPE, "e30", SIGNATURE, "'payload' must be text"},
		{ROOT_TYPE, "e30=e30=", SIGNATURE, "not base64"},
		{ROOT_TYPE, "e30\\n", SIGNATURE, "not base64"},
		{ROOT_TYPE, "e31=", SIGNATURE, "not base64"},
		{"application/json", "e30=", SIGNATURE, "'payloadType' must be one of"},
		{"", "e30=", SIGNATURE, "'payloadType' must be one of"},
		{"APPLICATION/vnd.mosquitto-ota.root.v1+json", "e30=", SIGNATURE,
		 "'payloadType' must be one of"},
		{ROOT_TYPE, "e30=", "{\"keyid\":\"" KEYID "\"}",
		 "'signatures[0].sig' is missing"},
		{ROOT_TYPE, "e30=", "{\"sig\":\"" SIG "\"}",
		 "'signatures[0].keyid' is missing"},
		{ROOT_TYPE, "e30=", "{\"keyid\":\"" KEYID "\",\"sig\":\"\"}",
		 "'signatures[0].sig' must be text of 64 bytes"},
		{ROOT_TYPE, "e30=", "{\"keyid\":\"" KEYID "\",\"sig\":\"AAAA\"}",
		 "must be text of 64 bytes"},
		/* 66 bytes, 65 bytes */
		{ROOT_TYPE, "e30=",
		 "{\"keyid\":\"" KEYID
		 "\",\"sig\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		 "AAAAAAAAAAAAAAAAAA\"}",
		 "has 66 bytes, but it must be 64"},
		{ROOT_TYPE, "e30=",
		 "{\"keyid\":\"" KEYID
		 "\",\"sig\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		 "AAAAAAAAAAAAAAAAA=\"}",
		 "has 65 bytes, but it must be 64"},
		{ROOT_TYPE, "e30=", "{\"keyid\":\"\",\"sig\":\"" SIG "\"}", "keyid"},
		{ROOT_TYPE,
		 "e30=", "{\"keyid\":\"" KEYID "\",\"sig\":\"" SIG "\",\"alg\":\"none\"}",
		 "'signatures[0].alg' is no member"},
		{ROOT_TYPE, "e30=", SIGNATURE "],\"signatures\":[" SIGNATURE,
		 "'signatures' stands there twice"},
		{ROOT_TYPE, "e30=", SIGNATURE "],\"Payload\":[", "'Payload' is no member"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_FREE char *text =
			text_of(cases[i].type, cases[i].payload, cases[i].signatures);

		assert_unreadable(text, cases[i].part);
	}
	assert_unreadable("", "not a JSON object");
	assert_unreadable("{}", "'payloadType' is missing");
	assert_unreadable("eyJwYXlsb2FkIjoxfQ==", "not a JSON object");
}

static void more_than_sixteen_signatures_are_too_many(void **state)
{
	(void)state;
	AUTO(text_done) struct text many = {0};
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;

	text_put(&many, SIGNATURE);
	for (int i = 1; i < 16; i++)
		text_put(&many, "," SIGNATURE);
	AUTO_FREE char *sixteen = text_of(ROOT_TYPE, "e30=", many.data);

	assert_ok(envelope_read(sixteen, strlen(sixteen), ENVELOPE_ROOT, &envelope, &why), why);
	text_put(&many, "," SIGNATURE);
	AUTO_FREE char *seventeen = text_of(ROOT_TYPE, "e30=", many.data);

	assert_unreadable(seventeen, "array of 1 to 16");
}

static void an_envelope_has_at_most_64_kib(void **state)
{
	(void)state;
	enum { LARGE = 60000 };
	const struct sign_key *const signers[] = {keys[0]};
	AUTO_FREE char *payload = calloc(1, LARGE);
	AUTO_FREE char *fits = NULL;
	struct ota_why why;
	char *text = NULL;

	assert_int_equal(envelope_make(ENVELOPE_ROOT, payload, LARGE, signers, 1, &text, &why),
			 OTA_TOO_LARGE);
	assert_null(text);
	assert_ok(envelope_make(ENVELOPE_ROOT, payload, 48000, signers, 1, &fits, &why), why);
	AUTO(text_done) struct text padded = {0};

	text_put(&padded, fits);
	while (padded.len <= ENVELOPE_SIZE_MAX)
		text_put(&padded, " ");
	assert_unreadable(padded.data, "at most 65536 are allowed");
}

static void an_offline_signer_adds_to_what_is_there(void **state)
{
	(void)state;
	AUTO_FREE char *one = make(ENVELOPE_FIRMWARE, "{}", 1);
	AUTO_FREE char *two = NULL, *both = make(ENVELOPE_FIRMWARE, "{}", 2);
	AUTO(envelope_done) struct envelope envelope = {0};
	struct ota_why why;
	char *again = NULL;

	assert_ok(envelope_sign(one, ENVELOPE_FIRMWARE, keys[1], &two, &why), why);
	assert_int_equal(strlen(two), strlen(both));
	assert_ok(envelope_read(two, strlen(two), ENVELOPE_FIRMWARE, &envelope, &why), why);
	assert_ok(envelope_verify(&envelope, publics, 2, 2, NULL, &why), why);
	assert_int_equal(envelope_sign(two, ENVELOPE_FIRMWARE, keys[0], &again, &why),
			 OTA_CONFLICT);
	assert_int_equal(envelope_sign(two, ENVELOPE_ROOT, keys[2], &again, &why),
			 OTA_SIGNATURE_INVALID);
	assert_null(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_signed_is_verified_and_given_back),
		cmocka_unit_test(the_signed_bytes_are_those_of_dsse),
		cmocka_unit_test(a_document_of_one_type_is_not_of_another),
		cmocka_unit_test(a_threshold_counts_distinct_keys),
		cmocka_unit_test(a_signature_by_a_stranger_does_not_count),
		cmocka_unit_test(every_flipped_bit_of_the_payload_is_seen),
		cmocka_unit_test(what_is_no_envelope_is_an_invalid_signature),
		cmocka_unit_test(more_than_sixteen_signatures_are_too_many),
		cmocka_unit_test(an_envelope_has_at_most_64_kib),
		cmocka_unit_test(an_offline_signer_adds_to_what_is_there),
	};

	return cmocka_run_group_tests_name("envelope", tests, make_keys, free_keys);
}
