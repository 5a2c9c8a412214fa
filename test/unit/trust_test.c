#include "unit.h"

#include "own.h"
#include "trust.h"

static char *vector(const char *name, size_t *ret_len)
{
	char path[256];

	snprintf(path, sizeof(path), VECTORS "/%s", name);
	return unit_read(path, ret_len);
}

static void vectors_are_believed(void **state)
{
	(void)state;
	size_t len;
	char *text = vector("root.envelope.json", &len);
	struct trust *trust = NULL;
	struct trusted_firmware firmware;
	struct trusted_release release;
	struct head_document head;
	struct ota_why why;

	assert_ok(trust_new(text, len, &trust, &why), why);
	test_free(text);
	assert_int_equal(trust_root(trust)->version, 1);
	text = vector("root2.envelope.json", &len);
	assert_ok(trust_advance(trust, text, len, &why), why);
	test_free(text);
	assert_int_equal(trust_root(trust)->version, 2);
	assert_int_equal(trust_floor(trust, "lamp"), 3);
	assert_int_equal(trust_floor(trust, "pump"), 0);

	text = vector("firmware.envelope.json", &len);
	assert_ok(trust_firmware(trust, text, len, &firmware, &why), why);
	test_free(text);
	assert_false(firmware.development);
	assert_string_equal(firmware.document.version, "1.4.0");
	text = vector("release.envelope.json", &len);
	assert_ok(trust_release(trust, text, len, &release, &why), why);
	test_free(text);
	assert_string_equal(release.manager, "ann");
	assert_true(digest_equal(&release.document.firmware, &firmware.digest));
	release_done(&release.document);
	text = vector("release2.envelope.json", &len);
	assert_ok(trust_release(trust, text, len, &release, &why), why);
	test_free(text);
	release_done(&release.document);
	firmware_done(&firmware.document);
	text = vector("head.envelope.json", &len);
	assert_ok(trust_head(trust, text, len, &head, &why), why);
	test_free(text);
	assert_int_equal(head.root, 2);
	head_done(&head);
	trust_free(trust);
}

static void a_vector_with_any_byte_changed_is_not_believed(void **state)
{
	(void)state;
	size_t root_len, len;
	char *root = vector("root.envelope.json", &root_len);
	struct trust *trust = NULL;
	struct ota_why why;

	assert_ok(trust_new(root, root_len, &trust, &why), why);
	char *text = vector("release.envelope.json", &len);

	for (size_t at = 0; at < len; at++) {
		char kept = text[at];
		struct trusted_release release;

		text[at] = (char)(kept ^ 1);
		enum ota_err err = trust_release(trust, text, len, &release, &why);

		if (err != OTA_SIGNATURE_INVALID && err != OTA_SIGNER_NOT_TRUSTED)
			fail_msg("byte %zu: %s", at, ota_err_name(err));
		text[at] = kept;
	}
	test_free(text);
	test_free(root);
	trust_free(trust);
}

/* A root of our own making, so that a test can sign as anybody. */
enum who {
	ROOT_A,
	ROOT_B,
	ROOT_C,
	BUILD,
	SIGN,
	DEVELOPMENT,
	HEAD,
	ANN, /* may release everything */
	BEN, /* may release lamp to beta */
	CAS, /* may release lamp to single devices */
	DEE, /* may force lamp but not release */
	STRANGER,
	WHO_COUNT,
};

static struct sign_key *keys[WHO_COUNT];

static int make_keys(void **state)
{
	(void)state;
	for (int i = 0; i < WHO_COUNT; i++) {
		if (sign_key_generate(i % 3 == 2 ? SIGN_ECDSA_P256 : SIGN_ED25519, &keys[i],
				      NULL))
			return -1;
	}
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	for (int i = 0; i < WHO_COUNT; i++)
		sign_key_free(keys[i]);
	return 0;
}

static const char *id_of(enum who who, char to[TEXT_HEX32_SIZE])
{
	text_from_digest(to, sign_key_public(keys[who])->id.bytes);
	return to;
}

static void put_key(struct text *to, enum who who, const char *separator)
{
	const struct sign_public *public = sign_key_public(keys[who]);
	AUTO_FREE char *base64 = NULL;
	char id[TEXT_HEX32_SIZE];

	assert_int_equal(text_base64(public->der, public->der_len, &base64, NULL), OTA_OK);
	text_printf(to,
		    "%s{\"id\":\"%s\",\"algorithm\":\"%s\",\"public\":\"%s\",\"name\":\"%d\"}",
		    separator, id_of(who, id), sign_algorithm_names[public->algorithm], base64,
		    (int)who);
}

static void put_role(struct text *to, const char *name, unsigned threshold, enum who first,
		     unsigned count)
{
	char id[TEXT_HEX32_SIZE];

	text_printf(to, ",\"%s\":{\"threshold\":%u,\"keys\":[", name, threshold);
	for (unsigned i = 0; i < count; i++)
		text_printf(to, "%s\"%s\"", i ? "," : "", id_of((enum who)(first + i), id));
	text_put(to, "]}");
}

static void put_releaser(struct text *to, enum who who, const char *scope)
{
	char id[TEXT_HEX32_SIZE];

	text_printf(to, "%s{\"key\":\"%s\",\"manager\":\"m%d\",%s,\"not_after\":2000}",
		    who == ANN ? "" : ",", id_of(who, id), (int)who, scope);
}

/* root_b: the second root key, so that a test can replace it. */
static char *root_document(unsigned version, enum who root_b, bool head)
{
	struct text text = {0};
	char *string = NULL, id[2][TEXT_HEX32_SIZE];

	text_printf(&text, "{\"version\":%u,\"created\":1000,\"keys\":[", version);
	put_key(&text, ROOT_A, "");
	put_key(&text, root_b, ",");
	for (int who = BUILD; who < STRANGER; who++) {
		if (head || who != HEAD)
			put_key(&text, (enum who)who, ",");
	}
	text_printf(&text, "],\"root\":{\"threshold\":2,\"keys\":[\"%s\",\"%s\"]}",
		    id_of(ROOT_A, id[0]), id_of(root_b, id[1]));
	put_role(&text, "firmware", 2, BUILD, 2);
	put_role(&text, "development", 1, DEVELOPMENT, 1);
	if (head)
		put_role(&text, "head", 1, HEAD, 1);
	text_put(&text, ",\"releasers\":[");
	put_releaser(&text, ANN,
		     "\"products\":[\"*\"],\"groups\":[\"*\"],\"actions\":[\"release\","
		     "\"force\",\"downgrade\",\"rollback\"]");
	put_releaser(&text, BEN,
		     "\"products\":[\"lamp\"],\"groups\":[\"beta\"],\"actions\":"
		     "[\"release\"]");
	put_releaser(&text, CAS,
		     "\"products\":[\"lamp\"],\"groups\":[],\"actions\":[\"release\"]");
	put_releaser(&text, DEE,
		     "\"products\":[\"lamp\"],\"groups\":[\"*\"],\"actions\":"
		     "[\"force\"]");
	text_put(&text, "],\"floors\":[]}");
	assert_int_equal(text_take(&text, &string, NULL), OTA_OK);
	return string;
}

#define SIGNERS_MAX 4

static char *signed_by(enum envelope_type type, const char *document, const enum who *who,
		       unsigned count)
{
	const struct sign_key *signers[SIGNERS_MAX];
	struct ota_why why;
	char *text = NULL;

	for (unsigned i = 0; i < count; i++)
		signers[i] = keys[who[i]];
	assert_ok(envelope_make(type, document, strlen(document), signers, count, &text, &why),
		  why);
	return text;
}

#define SIGNED(type, document, ...)                                                            \
	signed_by(type, document, (const enum who[]){__VA_ARGS__},                             \
		  sizeof((enum who[]){__VA_ARGS__}) / sizeof(enum who))

static struct trust *trust_of_our_making(void)
{
	AUTO_FREE char *document = root_document(1, ROOT_B, true);
	AUTO_FREE char *text = SIGNED(ENVELOPE_ROOT, document, ROOT_A, ROOT_B);
	struct trust *trust = NULL;
	struct ota_why why;

	assert_ok(trust_new(text, strlen(text), &trust, &why), why);
	return trust;
}

static void a_root_must_be_signed_by_its_own_threshold(void **state)
{
	(void)state;
	static const struct {
		enum who signers[3];
		unsigned count;
		enum ota_err err;
	} cases[] = {
		{{ROOT_A}, 1, OTA_SIGNATURE_THRESHOLD},
		{{STRANGER}, 1, OTA_SIGNER_NOT_TRUSTED},
		{{BUILD, SIGN}, 2, OTA_SIGNER_NOT_TRUSTED}, /* its keys, but not its root keys
							     */
		{{ROOT_A, BUILD}, 2, OTA_SIGNATURE_THRESHOLD},
		{{ROOT_A, ROOT_A}, 2, OTA_SIGNATURE_THRESHOLD},
		{{ROOT_A, ROOT_C}, 2, OTA_SIGNATURE_THRESHOLD},
		{{ROOT_A, ROOT_B, STRANGER}, 3, OTA_OK},
	};
	AUTO_FREE char *document = root_document(1, ROOT_B, true);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_FREE char *text =
			signed_by(ENVELOPE_ROOT, document, cases[i].signers, cases[i].count);
		struct trust *trust = NULL;
		struct ota_why why;
		enum ota_err err = trust_new(text, strlen(text), &trust, &why);

		if (err != cases[i].err)
			fail_msg("case %zu: %s", i, ota_err_name(err));
		assert_true((trust != NULL) == !err);
		trust_free(trust);
	}
}

static void no_root_is_never_a_trust(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "{}", "null", "[]"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct trust *trust = NULL;

		assert_int_equal(trust_new(texts[i], strlen(texts[i]), &trust, NULL),
				 OTA_SIGNATURE_INVALID);
		assert_null(trust);
	}
}

static void the_root_walks_only_to_its_successor(void **state)
{
	(void)state;
	static const struct {
		unsigned version;
		enum who root_b, signers[4];
		unsigned count;
		enum ota_err err;
	} cases[] = {
		{3, ROOT_C, {ROOT_A, ROOT_B, ROOT_C}, 3, OTA_ROOT_GAP},
		{1, ROOT_C, {ROOT_A, ROOT_B, ROOT_C}, 3, OTA_ROOT_GAP},
		{2, ROOT_C, {ROOT_A, ROOT_C}, 2, OTA_SIGNATURE_THRESHOLD}, /* N lacks B */
		{2, ROOT_C, {ROOT_A, ROOT_B}, 2, OTA_SIGNATURE_THRESHOLD}, /* N+1 lacks C */
		{2, ROOT_C, {ROOT_C, STRANGER}, 2, OTA_SIGNER_NOT_TRUSTED},
		{2, ROOT_C, {BUILD, SIGN, HEAD}, 3, OTA_SIGNER_NOT_TRUSTED},
		{2, ROOT_C, {ROOT_A, ROOT_B, ROOT_C}, 3, OTA_OK},
		{2, ROOT_C, {ROOT_A, ROOT_B, ROOT_C}, 3, OTA_SIGNATURE_THRESHOLD}, /* again */
		{3, ROOT_C, {ROOT_A, ROOT_C}, 2, OTA_OK},
	};
	struct trust *trust = trust_of_our_making();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_FREE char *document =
			root_document(cases[i].version, cases[i].root_b, true);
		AUTO_FREE char *text =
			signed_by(ENVELOPE_ROOT, document, cases[i].signers, cases[i].count);
		uint64_t before = trust_root(trust)->version;
		struct ota_why why;
		enum ota_err err = trust_advance(trust, text, strlen(text), &why);

		if (i == 7) /* the keys of version 2 signed it too: it is no gap in trust */
			assert_int_equal(err, OTA_ROOT_GAP);
		else if (err != cases[i].err)
			fail_msg("case %zu: %s %s", i, ota_err_name(err), why.text);
		assert_int_equal(trust_root(trust)->version, err ? before : cases[i].version);
	}
	trust_free(trust);
}

static const char firmware_document[] =
	"{\"product\":\"lamp\",\"version\":\"1\",\"security_version\":0,\"hardware\":[\"a\"],"
	"\"components\":[{\"name\":\"app\",\"slot_class\":\"app\",\"size\":1,\"sha256\":"
	"\"0011223344556677889900112233445566778899001122334455667788990011\",\"segment_size\":65536,"
	"\"index\":{\"sha256\":\"0011223344556677889900112233445566778899001122334455667788990011\","
	"\"size\":32}}],\"created\":1500}";

static void firmware_needs_its_threshold(void **state)
{
	(void)state;
	static const struct {
		enum who signers[3];
		unsigned count;
		enum ota_err err;
		bool development;
	} cases[] = {
		{{BUILD, SIGN}, 2, OTA_OK, false},
		{{BUILD, SIGN, DEVELOPMENT}, 3, OTA_OK, false},
		{{DEVELOPMENT}, 1, OTA_OK, true},
		{{BUILD}, 1, OTA_SIGNATURE_THRESHOLD, false},
		{{BUILD, BUILD}, 2, OTA_SIGNATURE_THRESHOLD, false},
		{{BUILD, DEVELOPMENT}, 2, OTA_SIGNATURE_THRESHOLD, false},
		{{ROOT_A, ROOT_B}, 2, OTA_SIGNER_NOT_TRUSTED, false},
		{{ANN}, 1, OTA_SIGNER_NOT_TRUSTED, false},
		{{HEAD}, 1, OTA_SIGNER_NOT_TRUSTED, false},
		{{STRANGER}, 1, OTA_SIGNER_NOT_TRUSTED, false},
	};
	struct trust *trust = trust_of_our_making();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_FREE char *text = signed_by(ENVELOPE_FIRMWARE, firmware_document,
						 cases[i].signers, cases[i].count);
		struct trusted_firmware firmware;
		struct ota_why why;
		enum ota_err err = trust_firmware(trust, text, strlen(text), &firmware, &why);

		if (err != cases[i].err)
			fail_msg("case %zu: %s", i, ota_err_name(err));
		if (err)
			continue;
		assert_int_equal(firmware.development, cases[i].development);
		firmware_done(&firmware.document);
	}
	trust_free(trust);
}

/* A release of `product` to `kind` `name`, with `more` members, created at `created`. */
static enum ota_err release_by(struct trust *trust, enum who who, const char *product,
			       const char *kind, const char *name, const char *more,
			       unsigned created)
{
	AUTO_FREE char *document = NULL;

	assert_true(
		asprintf(&document,
			 "{\"product\":\"%s\",\"number\":1,\"firmware\":\"00112233445566778899"
			 "00112233445566778899001122334455667788990011\",\"mode\":\"fast\","
			 "\"target\":{\"kind\":\"%s\",\"name\":\"%s\"},%s\"not_after\":9000,"
			 "\"created\":%u}",
			 product, kind, name, more, created) > 0);
	AUTO_FREE char *text = SIGNED(ENVELOPE_RELEASE, document, who);
	struct trusted_release release;
	struct ota_why why;
	enum ota_err err = trust_release(trust, text, strlen(text), &release, &why);

	if (!err) {
		assert_true(digest_equal(&release.signer, &sign_key_public(keys[who])->id));
		release_done(&release.document);
	}
	return err;
}

static void a_release_key_signs_within_its_scope(void **state)
{
	(void)state;
	static const struct {
		enum who who;
		const char *product, *kind, *name, *more;
		unsigned created;
		enum ota_err err;
	} cases[] = {
		{ANN, "lamp", "product", "lamp", "", 1500, OTA_OK},
		{ANN, "pump", "device", "gw1", "\"force\":true,", 1500, OTA_OK},
		{ANN, "pump", "group", "g", "\"allow_downgrade\":true,", 2000, OTA_OK},
		{ANN, "lamp", "product", "lamp", "\"rollback_on_halt\":true,", 1500, OTA_OK},
		{ANN, "lamp", "product", "lamp", "", 2001, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "group", "beta", "", 1500, OTA_OK},
		{BEN, "lamp", "group", "beta", "\"force\":false,", 1500, OTA_OK},
		{BEN, "lamp", "group", "alpha", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "product", "lamp", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "device", "gw1", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "device", "beta", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "pump", "group", "beta", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "group", "beta", "\"force\":true,", 1500, OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "group", "beta", "\"allow_downgrade\":true,", 1500,
		 OTA_SIGNER_NOT_TRUSTED},
		{BEN, "lamp", "group", "beta", "\"rollback_on_halt\":true,", 1500,
		 OTA_SIGNER_NOT_TRUSTED},
		{CAS, "lamp", "device", "gw1", "", 1500, OTA_OK},
		{CAS, "lamp", "product", "lamp", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{CAS, "lamp", "group", "beta", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{DEE, "lamp", "product", "lamp", "\"force\":true,", 1500,
		 OTA_SIGNER_NOT_TRUSTED},
		{BUILD, "lamp", "product", "lamp", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{ROOT_A, "lamp", "product", "lamp", "", 1500, OTA_SIGNER_NOT_TRUSTED},
		{STRANGER, "lamp", "product", "lamp", "", 1500, OTA_SIGNER_NOT_TRUSTED},
	};
	struct trust *trust = trust_of_our_making();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum ota_err err =
			release_by(trust, cases[i].who, cases[i].product, cases[i].kind,
				   cases[i].name, cases[i].more, cases[i].created);

		if (err != cases[i].err)
			fail_msg("case %zu: %s", i, ota_err_name(err));
	}
	trust_free(trust);
}

static void a_second_signer_may_cover_what_the_first_may_not(void **state)
{
	(void)state;
	static const char document[] =
		"{\"product\":\"lamp\",\"number\":1,\"firmware\":\"0011223344556677889900112233445566"
		"778899001122334455667788990011\",\"mode\":\"fast\",\"target\":{\"kind\":\"product\","
		"\"name\":\"lamp\"},\"not_after\":9000,\"created\":1500}";
	AUTO_FREE char *text = SIGNED(ENVELOPE_RELEASE, document, BEN, ANN);
	struct trust *trust = trust_of_our_making();
	struct trusted_release release;
	struct ota_why why;

	assert_ok(trust_release(trust, text, strlen(text), &release, &why), why);
	assert_true(digest_equal(&release.signer, &sign_key_public(keys[ANN])->id));
	release_done(&release.document);
	trust_free(trust);
}

static void a_signed_document_that_breaks_the_rules_is_invalid(void **state)
{
	(void)state;
	struct trust *trust = trust_of_our_making();
	struct trusted_firmware firmware;
	struct trusted_release release;
	struct head_document head;
	struct ota_why why;
	AUTO_FREE char *bad_firmware = SIGNED(ENVELOPE_FIRMWARE, "{}", BUILD, SIGN);
	AUTO_FREE char *bad_release = SIGNED(ENVELOPE_RELEASE, "{} ", ANN);
	AUTO_FREE char *bad_head = SIGNED(ENVELOPE_HEAD, "[]", HEAD);
	AUTO_FREE char *bad_root = SIGNED(ENVELOPE_ROOT, "{\"version\":2}", ROOT_A, ROOT_B);

	assert_int_equal(
		trust_firmware(trust, bad_firmware, strlen(bad_firmware), &firmware, &why),
		OTA_MANIFEST_INVALID);
	assert_int_equal(trust_release(trust, bad_release, strlen(bad_release), &release, &why),
			 OTA_MANIFEST_INVALID);
	assert_int_equal(trust_head(trust, bad_head, strlen(bad_head), &head, &why),
			 OTA_MANIFEST_INVALID);
	assert_int_equal(trust_advance(trust, bad_root, strlen(bad_root), &why),
			 OTA_MANIFEST_INVALID);
	assert_int_equal(trust_root(trust)->version, 1);
	trust_free(trust);
}

static void each_type_is_taken_for_itself_only(void **state)
{
	(void)state;
	struct trust *trust = trust_of_our_making();
	struct trusted_firmware firmware;
	struct trusted_release release;
	struct head_document head;
	AUTO_FREE char *text = SIGNED(ENVELOPE_FIRMWARE, firmware_document, BUILD, SIGN);
	size_t len = strlen(text);

	assert_int_equal(trust_release(trust, text, len, &release, NULL),
			 OTA_SIGNATURE_INVALID);
	assert_int_equal(trust_head(trust, text, len, &head, NULL), OTA_SIGNATURE_INVALID);
	assert_int_equal(trust_advance(trust, text, len, NULL), OTA_SIGNATURE_INVALID);
	AUTO_FREE char *other = SIGNED(ENVELOPE_RELEASE, firmware_document, BUILD, SIGN);

	assert_int_equal(trust_firmware(trust, other, strlen(other), &firmware, NULL),
			 OTA_SIGNATURE_INVALID);
	trust_free(trust);
}

static void a_head_needs_a_head_key_in_the_root(void **state)
{
	(void)state;
	static const char document[] =
		"{\"created\":1,\"not_after\":2,\"root\":1,\"numbers\":[]}";
	AUTO_FREE char *by_head = SIGNED(ENVELOPE_HEAD, document, HEAD);
	AUTO_FREE char *by_ann = SIGNED(ENVELOPE_HEAD, document, ANN);
	struct trust *trust = trust_of_our_making(), *without = NULL;
	struct head_document head;
	struct ota_why why;

	assert_ok(trust_head(trust, by_head, strlen(by_head), &head, &why), why);
	head_done(&head);
	assert_int_equal(trust_head(trust, by_ann, strlen(by_ann), &head, &why),
			 OTA_SIGNER_NOT_TRUSTED);
	AUTO_FREE char *root = root_document(1, ROOT_B, false);
	AUTO_FREE char *text = SIGNED(ENVELOPE_ROOT, root, ROOT_A, ROOT_B);

	assert_ok(trust_new(text, strlen(text), &without, &why), why);
	assert_int_equal(trust_head(without, by_head, strlen(by_head), &head, &why),
			 OTA_SIGNER_NOT_TRUSTED);
	trust_free(without);
	trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_believed),
		cmocka_unit_test(a_vector_with_any_byte_changed_is_not_believed),
		cmocka_unit_test(a_root_must_be_signed_by_its_own_threshold),
		cmocka_unit_test(no_root_is_never_a_trust),
		cmocka_unit_test(the_root_walks_only_to_its_successor),
		cmocka_unit_test(firmware_needs_its_threshold),
		cmocka_unit_test(a_release_key_signs_within_its_scope),
		cmocka_unit_test(a_second_signer_may_cover_what_the_first_may_not),
		cmocka_unit_test(a_signed_document_that_breaks_the_rules_is_invalid),
		cmocka_unit_test(each_type_is_taken_for_itself_only),
		cmocka_unit_test(a_head_needs_a_head_key_in_the_root),
	};

	return cmocka_run_group_tests_name("trust", tests, make_keys, free_keys);
}
