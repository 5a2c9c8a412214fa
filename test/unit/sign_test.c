#include "unit.h"

#include "own.h"
#include "sign.h"

#include <sys/stat.h>

static void key_free(struct sign_key **key)
{
	sign_key_free(*key);
}

static void bytes_of(const char *hex, uint8_t *to, size_t len)
{
	if (!text_to_bytes(hex, to, len))
		fail_msg("bad hex '%s'", hex);
}

/* RFC 8032 section 7.1, TEST 2 */
static const char ed25519_public[] =
	"302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
static const char ed25519_signature[] =
	"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
/* RFC 6979 A.2.5, SHA-256, message "sample" */
static const char p256_public[] =
	"3059301306072a8648ce3d020106082a8648ce3d03010703420004"
	"60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
	"7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
static const char p256_signature[] =
	"efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
	"f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

static struct sign_public public_of(enum sign_algorithm algorithm, const char *hex)
{
	struct sign_public key = {0};
	struct ota_why why;
	uint8_t der[SIGN_PUBLIC_MAX];
	size_t len = strlen(hex) / 2;

	bytes_of(hex, der, len);
	assert_ok(sign_public_from_der(algorithm, der, len, &key, &why), why);
	return key;
}

static void the_standards_examples_verify(void **state)
{
	(void)state;
	struct sign_public ed = public_of(SIGN_ED25519, ed25519_public);
	struct sign_public p256 = public_of(SIGN_ECDSA_P256, p256_public);
	struct ota_why why;
	uint8_t signature[SIGN_SIZE];

	bytes_of(ed25519_signature, signature, SIGN_SIZE);
	assert_ok(sign_verify(&ed, "\x72", 1, signature, SIGN_SIZE, &why), why);
	bytes_of(p256_signature, signature, SIGN_SIZE);
	assert_ok(sign_verify(&p256, "sample", 6, signature, SIGN_SIZE, &why), why);
}

static void a_key_that_was_made_signs_and_verifies(void **state)
{
	(void)state;
	for (int algorithm = 0; algorithm < SIGN_ALGORITHM_COUNT; algorithm++) {
		AUTO(key_free) struct sign_key *key = NULL, *other = NULL;
		struct ota_why why;
		uint8_t signature[SIGN_SIZE];

		assert_ok(sign_key_generate((enum sign_algorithm)algorithm, &key, &why), why);
		assert_ok(sign_key_generate((enum sign_algorithm)algorithm, &other, &why), why);
		const struct sign_public *public = sign_key_public(key);

		/* 40 of them: r or s of P-256 begins with a zero byte now and then */
		for (int i = 0; i < 40; i++) {
			assert_ok(sign_make(key, &i, sizeof(i), signature, &why), why);
			assert_ok(
				sign_verify(public, &i, sizeof(i), signature, SIGN_SIZE, &why),
				why);
		}
		assert_int_equal(
			sign_verify(sign_key_public(other), "x", 1, signature, SIGN_SIZE, &why),
			OTA_SIGNATURE_INVALID);
	}
}

static void every_flipped_bit_is_seen(void **state)
{
	(void)state;
	for (int algorithm = 0; algorithm < SIGN_ALGORITHM_COUNT; algorithm++) {
		AUTO(key_free) struct sign_key *key = NULL;
		struct ota_why why;
		uint8_t signature[SIGN_SIZE], bytes[4] = "abc";

		assert_ok(sign_key_generate((enum sign_algorithm)algorithm, &key, &why), why);
		assert_ok(sign_make(key, bytes, 4, signature, &why), why);
		for (size_t bit = 0; bit < 8 * SIGN_SIZE; bit++) {
			signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(sign_verify(sign_key_public(key), bytes, 4, signature,
						     SIGN_SIZE, &why),
					 OTA_SIGNATURE_INVALID);
			signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t bit = 0; bit < 32; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(sign_verify(sign_key_public(key), bytes, 4, signature,
						     SIGN_SIZE, &why),
					 OTA_SIGNATURE_INVALID);
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static void a_signature_has_exactly_64_bytes(void **state)
{
	(void)state;
	struct sign_public ed = public_of(SIGN_ED25519, ed25519_public);
	struct ota_why why;
	uint8_t signature[SIGN_SIZE + 1] = {0};

	bytes_of(ed25519_signature, signature, SIGN_SIZE);
	static const size_t lengths[] = {0, 1, 63, 65, 128};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		assert_int_equal(sign_verify(&ed, "\x72", 1, signature, lengths[i], &why),
				 OTA_SIGNATURE_INVALID);
	memset(signature, 0, sizeof(signature));
	struct sign_public p256 = public_of(SIGN_ECDSA_P256, p256_public);

	/* r = s = 0, the signature that some verifiers took for any message */
	assert_int_equal(sign_verify(&p256, "x", 1, signature, SIGN_SIZE, &why),
			 OTA_SIGNATURE_INVALID);
	assert_int_equal(sign_verify(&ed, "x", 1, signature, SIGN_SIZE, &why),
			 OTA_SIGNATURE_INVALID);
}

static void a_public_key_has_one_form_only(void **state)
{
	(void)state;
	static const struct {
		enum sign_algorithm algorithm;
		const char *hex;
	} cases[] = {
		/* the other algorithm's */
		{SIGN_ECDSA_P256, ed25519_public},
		{SIGN_ED25519, p256_public},
		/* nothing, too short */
		{SIGN_ED25519, ""},
		{SIGN_ED25519, "302a300506032b6570032100"},
		/* a byte behind the end */
		{SIGN_ED25519,
		 "302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf"
		 "2ec4968cc0cd55f12af4660c00"},
		/* X25519 */
		{SIGN_ED25519,
		 "302a300506032b656e0321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf"
		 "2ec4968cc0cd55f12af4660c"},
		/* compressed point */
		{SIGN_ECDSA_P256, "3039301306072a8648ce3d020106082a8648ce3d030107032200"
				  "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60"
				  "f29fb6"},
		/* not on the curve */
		{SIGN_ECDSA_P256,
		 "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
		 "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
		 "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462298"},
		/* secp256k1's name */
		{SIGN_ECDSA_P256,
		 "3059301306072a8648ce3d020106082a8648ce3d03010a03420004"
		 "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
		 "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"},
		{(enum sign_algorithm)2, ed25519_public},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sign_public key = {.der_len = 7};
		struct ota_why why;
		uint8_t der[SIGN_PUBLIC_MAX];
		size_t len = strlen(cases[i].hex) / 2;

		bytes_of(cases[i].hex, der, len);
		if (sign_public_from_der(cases[i].algorithm, der, len, &key, &why) !=
		    OTA_MANIFEST_INVALID)
			fail_msg("case %zu was accepted", i);
		assert_int_equal(key.der_len, 7);
	}
}

static void the_id_is_the_digest_of_the_public_key(void **state)
{
	(void)state;
	struct sign_public ed = public_of(SIGN_ED25519, ed25519_public);
	struct digest digest;

	assert_int_equal(digest_of(ed.der, ed.der_len, &digest, NULL), OTA_OK);
	assert_true(digest_equal(&digest, &ed.id));
}

static void a_key_is_kept_in_a_file(void **state)
{
	(void)state;
	char directory[] = "/tmp/sign_test.XXXXXX", path[64];
	static const char *const passphrases[] = {NULL, "correct horse"};
	struct ota_why why;
	struct stat stat_;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/key", directory);
	for (int i = 0; i < 4; i++) {
		AUTO(key_free) struct sign_key *key = NULL, *back = NULL, *none = NULL;
		AUTO_FREE char *pem = NULL;
		const char *passphrase = passphrases[i % 2];

		assert_ok(sign_key_generate((enum sign_algorithm)(i / 2), &key, &why), why);
		assert_ok(sign_key_save(key, path, passphrase, &why), why);
		assert_int_equal(stat(path, &stat_), 0);
		assert_int_equal(stat_.st_mode & 0777, 0600);
		pem = unit_read(path, NULL);
		assert_contains(pem, passphrase ? "BEGIN ENCRYPTED PRIVATE KEY"
						: "BEGIN PRIVATE KEY");
		test_free(TAKE(pem));
		assert_ok(sign_key_load(path, passphrase, &back, &why), why);
		assert_true(
			digest_equal(&sign_key_public(back)->id, &sign_key_public(key)->id));
		assert_int_equal(sign_key_save(key, path, passphrase, &why), OTA_CONFLICT);
		if (passphrase) {
			assert_int_equal(sign_key_load(path, NULL, &none, &why),
					 OTA_UNAUTHORIZED);
			assert_contains(why.text, "needs its passphrase");
			assert_int_equal(sign_key_load(path, "wrong", &none, &why),
					 OTA_UNAUTHORIZED);
		}
		assert_null(none);
		unlink(path);
	}
	rmdir(directory);
}

static void other_files_are_not_keys(void **state)
{
	(void)state;
	struct sign_key *key = NULL;
	struct ota_why why;

	assert_int_equal(sign_key_load("/nowhere/key", NULL, &key, &why), OTA_NOT_FOUND);
	assert_int_equal(sign_key_load("/proc/self/status", NULL, &key, &why), OTA_BAD_REQUEST);
	assert_int_equal(sign_key_load("/dev/null", NULL, &key, &why), OTA_BAD_REQUEST);
	assert_null(key);
}

static void random_bytes_differ(void **state)
{
	(void)state;
	uint8_t a[16], b[16];

	assert_int_equal(sign_random(a, sizeof(a), NULL), OTA_OK);
	assert_int_equal(sign_random(b, sizeof(b), NULL), OTA_OK);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standards_examples_verify),
		cmocka_unit_test(a_key_that_was_made_signs_and_verifies),
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(a_signature_has_exactly_64_bytes),
		cmocka_unit_test(a_public_key_has_one_form_only),
		cmocka_unit_test(the_id_is_the_digest_of_the_public_key),
		cmocka_unit_test(a_key_is_kept_in_a_file),
		cmocka_unit_test(other_files_are_not_keys),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}
