#include "unit.h"

#include "document.h"
#include "own.h"

static char *vector(const char *name, size_t *ret_len)
{
	char path[256];

	snprintf(path, sizeof(path), VECTORS "/%s", name);
	return unit_read(path, ret_len);
}

union any {
	struct root_document root;
	struct firmware_document firmware;
	struct release_document release;
	struct head_document head;
};

static const struct kind {
	const char *file;
	const struct json_shape *shape;
} kinds[] = {
	{"root.json", &root_shape},	    {"root2.json", &root_shape},
	{"firmware.json", &firmware_shape}, {"release.json", &release_shape},
	{"release2.json", &release_shape},  {"head.json", &head_shape},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static enum ota_err read_any(const struct json_shape *shape, const char *text, size_t len,
			     union any *any, struct ota_why *why)
{
	if (shape == &root_shape)
		return root_read(text, len, &any->root, why);
	if (shape == &firmware_shape)
		return firmware_read(text, len, &any->firmware, why);
	if (shape == &release_shape)
		return release_read(text, len, &any->release, why);
	return head_read(text, len, &any->head, why);
}

static void every_vector_is_read_and_written_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		AUTO(text_done) struct text text = {0};
		struct ota_why why;
		union any any;
		size_t len;
		char *document = vector(kinds[i].file, &len);

		assert_ok(read_any(kinds[i].shape, document, len, &any, &why), why);
		assert_ok(json_write(kinds[i].shape, &any, &text, &why), why);
		assert_string_equal(text.data, document);
		json_done(kinds[i].shape, &any);
		test_free(document);
	}
}

static void every_beginning_of_a_document_is_invalid(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		size_t len;
		char *document = vector(kinds[i].file, &len);

		for (size_t at = 0; at < len; at++) {
			union any any;

			assert_int_equal(read_any(kinds[i].shape, document, at, &any, NULL),
					 OTA_MANIFEST_INVALID);
		}
		test_free(document);
	}
}

static void the_defaults_of_a_release_are_put(void **state)
{
	(void)state;
	struct release_document release;
	struct ota_why why;
	size_t len;
	char *document = vector("release2.json", &len);

	assert_ok(release_read(document, len, &release, &why), why);
	assert_false(release.has_thresholds);
	assert_int_equal(release.thresholds.success, 9000);
	assert_int_equal(release.thresholds.silence_s, 3600);
	assert_int_equal(release.wave_count, 0);
	assert_false(release.force);
	release_done(&release);
	test_free(document);
}

/* A vector with one part replaced by another. */
static char *replaced(const char *file, const char *part, const char *by)
{
	struct text text = {0};
	char *string = NULL, *document = vector(file, NULL), *at = strstr(document, part);

	if (!at)
		fail_msg("%s has no '%s'", file, part);
	text_add(&text, document, (size_t)(at - document));
	text_put(&text, by);
	text_put(&text, at + strlen(part));
	assert_int_equal(text_take(&text, &string, NULL), OTA_OK);
	test_free(document);
	return string;
}

static void assert_invalid(const struct json_shape *shape, const char *file, const char *part,
			   const char *by, const char *sentence)
{
	AUTO_FREE char *document = replaced(file, part, by);
	struct ota_why why = {0};
	union any any;

	if (read_any(shape, document, strlen(document), &any, &why) != OTA_MANIFEST_INVALID)
		fail_msg("accepted: '%s' for '%s' in %s (%s)", by, part, file, why.text);
	assert_contains(why.text, sentence);
}

static void rules_of_a_firmware_are_kept(void **state)
{
	(void)state;
	static const struct {
		const char *part, *by, *sentence;
	} cases[] = {
		{"\"product\":\"lamp\"", "\"product\":\"\"", "'product' must be"},
		{"\"product\":\"lamp\",", "", "'product' is missing"},
		{"\"version\":\"1.4.0\"", "\"version\":\"1 4\"", "'version' must be"},
		{"\"security_version\":4,", "", "'security_version' is missing"},
		{"\"raise_floor_to\":3", "\"raise_floor_to\":5", "'raise_floor_to' is above"},
		{"[\"lamp-a\",\"lamp-b\"]", "[]", "'hardware' must be an array of 1 to 16"},
		{"[\"lamp-a\",\"lamp-b\"]", "\"lamp-a\"", "'hardware' must be an array"},
		{"\"size\":1000000", "\"size\":0", "'components[0].size' must be"},
		{"\"size\":1000000", "\"size\":1048577", "index.size' is not 32 for each"},
		{"\"size\":1000000", "\"size\":4294968296", "index.size' is not 32 for each"},
		{"\"size\":1000000", "\"size\":9007199254740992", "index.size' is not 32"},
		{"\"size\":128", "\"size\":96", "index.size' is not 32 for each"},
		{"\"size\":128", "\"size\":160", "index.size' is not 32 for each"},
		{"\"segment_size\":262144", "\"segment_size\":262143", "is no power of two"},
		{"\"segment_size\":262144", "\"segment_size\":65535",
		 "'components[0].segment_size'"},
		{"\"segment_size\":262144", "\"segment_size\":2097152",
		 "'components[0].segment_size'"},
		{"\"segment_size\":262144", "\"segment_size\":0",
		 "'components[0].segment_size'"},
		{"\"name\":\"app\"", "\"name\":\"../app\"", "'components[0].name' must be"},
		{"\"index\":{", "\"indexes\":{", "'components[0].indexes' is no member"},
		{"\"severity\":\"high\"", "\"severity\":\"\"",
		 "one of low medium high critical"},
		{"\"not_after\":1821536000", "\"not_after\":1790000100",
		 "'not_after' is not after"},
		{"\"created\":1790000100", "\"created\":1.5", "a plain integer"},
		{"\"created\":1790000100", "\"created\":1790000100,\"wipe\":true", "no member"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_invalid(&firmware_shape, "firmware.json", cases[i].part, cases[i].by,
			       cases[i].sentence);
	AUTO_FREE char *component = replaced("firmware.json", "\"components\":[", "");
	char *first = strstr(component, "{\"name\":\"app\"");
	AUTO_FREE char *twice = NULL;

	*(strstr(first, "}}") + 2) = '\0';
	assert_true(asprintf(&twice, "\"components\":[%s,", first) > 0);
	assert_invalid(&firmware_shape, "firmware.json", "\"components\":[", twice,
		       "component 'app' stands there twice");
}

static void rules_of_a_release_are_kept(void **state)
{
	(void)state;
	static const char waves[] = "[{\"share\":100},{\"share\":1000},{\"share\":10000}]";
	static const struct {
		const char *part, *by, *sentence;
	} cases[] = {
		{"\"number\":7", "\"number\":0", "'number' must be"},
		{"\"mode\":\"fast\"", "\"mode\":\"Fast\"", "one of standard fast"},
		{"\"kind\":\"group\"", "\"kind\":\"all\"", "one of product group device"},
		{"\"kind\":\"group\"", "\"kind\":\"product\"",
		 "'target.name' is not the product"},
		{"\"name\":\"beta\"", "\"name\":\"Beta\"", "'target.name' is no group"},
		{waves, "[]", "'waves' must be an array of 1 to 16"},
		{waves, "[{}]", "'waves[0]' must have either"},
		{waves, "[{\"share\":10000,\"group\":\"beta\"}]",
		 "'waves[0]' must have either"},
		{waves, "[{\"share\":0}]", "'waves[0].share' must be"},
		{waves, "[{\"share\":10001}]", "'waves[0].share' must be"},
		{waves, "[{\"share\":100},{\"share\":100},{\"share\":10000}]",
		 "'waves[1].share' is not above"},
		{waves, "[{\"share\":1000},{\"group\":\"beta\"},{\"share\":100}]",
		 "'waves[2].share' is not above"},
		{waves, "[{\"share\":100}]", "the last wave's 'share' is not 10000"},
		{waves, "[{\"share\":10000},{\"group\":\"beta\"}]", "the last wave's 'share'"},
		{"\"success\":9000", "\"success\":10001", "'thresholds.success' must be"},
		{"\"sample\":1,", "", "'thresholds.sample' is missing"},
		{"\"max_concurrent\":500", "\"max_concurrent\":0", "'max_concurrent' must be"},
		{"\"not_after\":1792592000", "\"not_after\":1790000150",
		 "'not_after' is not after"},
		{"\"not_before\":1790000200", "\"not_before\":1792592001",
		 "'not_before' is after"},
		{"\"force\":true", "\"force\":1", "'force' must be true or false"},
		{"\"force\":true", "\"Force\":true", "'Force' is no member"},
		{"\"force\":true", "\"force\":true,\"force\":false", "stands there twice"},
		{",\"created\":1790000150", "", "'created' is missing"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_invalid(&release_shape, "release.json", cases[i].part, cases[i].by,
			       cases[i].sentence);
}

static void rules_of_a_root_are_kept(void **state)
{
	(void)state;
	struct root_document root;
	struct ota_why why;
	size_t len;
	char *document = vector("root.json", &len);
	char first[TEXT_HEX32_SIZE], second[TEXT_HEX32_SIZE], fourth[TEXT_HEX32_SIZE];
	char roles[256], part[512], by[512];

	assert_ok(root_read(document, len, &root, &why), why);
	text_from_digest(first, root.keys[0].id.bytes);
	text_from_digest(second, root.keys[1].id.bytes);
	text_from_digest(fourth, root.keys[3].id.bytes);
	/* an id that is not the digest of the key */
	snprintf(part, sizeof(part), "{\"id\":\"%s\"", first);
	snprintf(by, sizeof(by), "{\"id\":\"%s\"", second);
	assert_invalid(&root_shape, "root.json", part, by, "its id is not the SHA-256");
	/* the same key twice */
	snprintf(part, sizeof(part),
		 "{\"id\":\"%s\",\"algorithm\":\"ed25519\",\"public\":\"%s\"", second,
		 root.keys[1].public_base64);
	snprintf(by, sizeof(by), "{\"id\":\"%s\",\"algorithm\":\"ed25519\",\"public\":\"%s\"",
		 first, root.keys[0].public_base64);
	assert_invalid(&root_shape, "root.json", part, by, "stands there twice");
	/* a key twice in a role, in two roles, in none that is there */
	snprintf(roles, sizeof(roles), "\"root\":{\"threshold\":2,\"keys\":[\"%s\",\"", first);
	snprintf(part, sizeof(part), "%s%s", roles, second);
	snprintf(by, sizeof(by), "%s%s", roles, first);
	assert_invalid(&root_shape, "root.json", part, by, "in 'root' has a role already");
	snprintf(by, sizeof(by), "%s%s", roles, fourth);
	assert_invalid(&root_shape, "root.json", part, by, "in 'firmware' has a role already");
	snprintf(by, sizeof(by), "%s%.63s0", roles,
		 "0000000000000000000000000000000000000000"
		 "00000000000000000000000000000000");
	assert_invalid(&root_shape, "root.json", part, by, "names a key that is not there");
	root_done(&root);
	test_free(document);
}

static void members_of_a_root_are_within_their_bounds(void **state)
{
	(void)state;
	assert_invalid(&root_shape, "root.json", "\"threshold\":2", "\"threshold\":4",
		       "'root' requires 4 signatures of 3 keys");
	assert_invalid(&root_shape, "root.json", "\"threshold\":2", "\"threshold\":0",
		       "'root.threshold' must be");
	assert_invalid(&root_shape, "root.json", "\"threshold\":2", "\"threshold\":17",
		       "'root.threshold' must be");
	assert_invalid(&root_shape, "root.json", "\"version\":1", "\"version\":0",
		       "'version' must be");
	assert_invalid(&root_shape, "root.json", "\"algorithm\":\"ed25519\"",
		       "\"algorithm\":\"ecdsa-p256\"", "no public key of ecdsa-p256");
	assert_invalid(&root_shape, "root.json", "\"algorithm\":\"ed25519\"",
		       "\"algorithm\":\"none\"", "one of ed25519 ecdsa-p256");
	assert_invalid(&root_shape, "root.json", "\"algorithm\":\"ed25519\",", "",
		       "'keys[0].algorithm' is missing");
	assert_invalid(&root_shape, "root.json", "\"public\":\"MCow", "\"public\":\"????",
		       "not base64");
	assert_invalid(&root_shape, "root.json", "\"floors\":[",
		       "\"floors\":[{\"product\":\"lamp\",\"security_version\":1},",
		       "a product has two floors");
	assert_invalid(&root_shape, "root.json", "\"actions\":[\"release\"]", "\"actions\":[]",
		       "'releasers[1].actions' must be an array of 1 to 4");
	assert_invalid(&root_shape, "root.json", "\"products\":[\"*\"]",
		       "\"products\":[\"**\"]", "'releasers[0].products[0]' must be");
	assert_invalid(&root_shape, "root2.json", "\"anchors\":[\"MIIBAg==\"]",
		       "\"anchors\":[\"MIIBAg=\"]", "'anchors[0]' must be");
	assert_invalid(&root_shape, "root2.json", "\"anchors\":[\"MIIBAg==\"]",
		       "\"anchors\":[\"MIIB?g==\"]", "anchors[0]");
}

static void rules_of_a_head_are_kept(void **state)
{
	(void)state;
	assert_invalid(&head_shape, "head.json", "\"root\":2", "\"root\":0", "'root' must be");
	assert_invalid(&head_shape, "head.json", "1790605100", "1790000300", "is not after");
	assert_invalid(&head_shape, "head.json", "pump", "lamp", "a product has two numbers");
	assert_invalid(&head_shape, "head.json", "\"numbers\"", "\"Numbers\"", "no member");
}

static void a_document_has_at_most_64_kib(void **state)
{
	(void)state;
	size_t len;
	char *document = vector("head.json", &len);
	AUTO_FREE char *padded = malloc(DOCUMENT_SIZE_MAX + 1);
	struct head_document head;
	struct ota_why why;

	memset(padded, ' ', DOCUMENT_SIZE_MAX + 1);
	memcpy(padded, document, len);
	test_free(document);
	assert_ok(head_read(padded, DOCUMENT_SIZE_MAX, &head, &why), why);
	head_done(&head);
	assert_int_equal(head_read(padded, DOCUMENT_SIZE_MAX + 1, &head, &why),
			 OTA_MANIFEST_INVALID);
}

static void sizes_beyond_four_gigabytes_have_their_index(void **state)
{
	(void)state;
	assert_int_equal(firmware_index_size(1, 65536), 32);
	assert_int_equal(firmware_index_size(65536, 65536), 32);
	assert_int_equal(firmware_index_size(65537, 65536), 64);
	assert_true(firmware_index_size((UINT64_C(1) << 31) - 1, 65536) == 32 * 32768u);
	assert_true(firmware_index_size((UINT64_C(1) << 31) + 1, 65536) == 32 * 32769u);
	assert_true(firmware_index_size((UINT64_C(1) << 32) + 1, 65536) == 32 * 65537u);
	assert_true(firmware_index_size(UINT64_C(1) << 53, 65536) == UINT64_C(32) << 37);
	assert_true(firmware_index_size(UINT64_MAX, 65536) == UINT64_C(32) << 48);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_is_read_and_written_again),
		cmocka_unit_test(every_beginning_of_a_document_is_invalid),
		cmocka_unit_test(the_defaults_of_a_release_are_put),
		cmocka_unit_test(rules_of_a_firmware_are_kept),
		cmocka_unit_test(rules_of_a_release_are_kept),
		cmocka_unit_test(rules_of_a_root_are_kept),
		cmocka_unit_test(members_of_a_root_are_within_their_bounds),
		cmocka_unit_test(rules_of_a_head_are_kept),
		cmocka_unit_test(a_document_has_at_most_64_kib),
		cmocka_unit_test(sizes_beyond_four_gigabytes_have_their_index),
	};

	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
