#include "root_edit.h"

#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 4

static struct sign_key *keys[KEYS];

static const struct sign_public *key(unsigned i)
{
	return sign_key_public(keys[i]);
}

static int make_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		if (sign_key_generate(SIGN_ED25519, &keys[i], NULL))
			return -1;
	return 0;
}

static int drop_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		sign_key_free(keys[i]);
	return 0;
}

/* keys[0] is root, keys[1] firmware, keys[2] alice's release key. */
static void start(struct root_document *root)
{
	const struct root_edit_releaser alice = {"alice", "*", "*", "release", 4000000000};

	memset(root, 0, sizeof(*root));
	root->version = 1;
	root->created = 1;
	assert_int_equal(root_edit_join(root, &root->root, key(0), "root", 1, NULL), OTA_OK);
	assert_int_equal(root_edit_join(root, &root->firmware, key(1), "firmware", 1, NULL),
			 OTA_OK);
	assert_int_equal(root_edit_add_releaser(root, key(2), &alice, NULL), OTA_OK);
}

/* What was made must be what every device can read. */
static enum ota_err check(const struct root_document *root, struct ota_why *why)
{
	struct root_document again = {0};
	struct text text = {0};
	enum ota_err err = json_write(&root_shape, root, &text, why);

	if (!err)
		err = root_read(text.data, text.len, &again, why);
	root_done(&again);
	text_done(&text);
	return err;
}

static void a_root_put_together_can_be_read(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(check(&root, &why), OTA_OK);
	assert_int_equal(root.key_count, 3);
	root_done(&root);
}

static void a_revoked_key_is_in_no_role_any_more(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(root_edit_revoke(&root, "alice", &why), OTA_OK);
	assert_int_equal(root.key_count, 2);
	assert_int_equal(root.releaser_count, 0);
	assert_int_equal(root_edit_revoke(&root, "alice", &why), OTA_NOT_FOUND);
	root_done(&root);
}

static void a_key_can_be_named_by_the_first_digits_of_its_id(void **state)
{
	struct root_document root;
	char hex[TEXT_HEX32_SIZE];
	struct ota_why why;

	(void)state;
	start(&root);
	text_from_digest(hex, key(2)->id.bytes);
	hex[7] = '\0';
	assert_int_equal(root_edit_revoke(&root, hex, &why), OTA_NOT_FOUND);
	text_from_digest(hex, key(2)->id.bytes);
	hex[12] = '\0';
	assert_int_equal(root_edit_revoke(&root, hex, &why), OTA_OK);
	assert_int_equal(root.releaser_count, 0);
	root_done(&root);
}

static void a_root_without_its_firmware_key_is_refused(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(root_edit_revoke(&root, "firmware", &why), OTA_OK);
	assert_int_equal(root_edit_check(&root, &why), OTA_MANIFEST_INVALID);
	assert_non_null(strstr(why.text, "firmware"));
	assert_int_equal(root_edit_replace(&root, &root.firmware, key(3), "firmware", &why),
			 OTA_OK);
	assert_int_equal(root_edit_check(&root, &why), OTA_OK);
	root_done(&root);
}

static void a_replaced_key_takes_the_place_of_the_old(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(root_edit_replace(&root, &root.firmware, key(3), "firmware", &why),
			 OTA_OK);
	assert_int_equal(root.firmware.key_count, 1);
	assert_true(digest_equal(&root.firmware.keys[0], &key(3)->id));
	assert_int_equal(root.key_count, 3);
	assert_int_equal(check(&root, &why), OTA_OK);
	root_done(&root);
}

static void one_key_of_several_is_not_replaced_blindly(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(root_edit_join(&root, &root.firmware, key(3), "second", 2, &why),
			 OTA_OK);
	assert_int_equal(root.firmware.threshold, 2);
	assert_int_equal(check(&root, &why), OTA_OK);
	assert_int_equal(root_edit_replace(&root, &root.firmware, key(3), "x", &why),
			 OTA_CONFLICT);
	root_done(&root);
}

static void one_key_has_one_role_only(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(root_edit_join(&root, &root.firmware, key(0), "both", 1, &why),
			 OTA_OK);
	assert_int_equal(check(&root, &why), OTA_MANIFEST_INVALID);
	root_done(&root);
}

static void a_releasers_scope_is_checked(void **state)
{
	static const struct root_edit_releaser bad[] = {
		{"bob b", "*", "*", "release", 1},
		{"bob", "Thermo", "*", "release", 1},
		{"bob", "*", "a b", "release", 1},
		{"bob", "*", "*", "erase", 1},
	};
	struct root_document root;
	struct ota_why why;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start(&root);
		assert_int_equal(root_edit_add_releaser(&root, key(3), &bad[i], &why),
				 OTA_BAD_REQUEST);
		root_done(&root);
	}
}

static void a_floor_never_falls(void **state)
{
	struct root_document root;
	struct ota_why why;

	(void)state;
	start(&root);
	assert_int_equal(root_edit_set_floor(&root, "thermo", 5, &why), OTA_OK);
	assert_int_equal(root_edit_set_floor(&root, "thermo", 4, &why),
			 OTA_VERSION_NOT_ALLOWED);
	assert_int_equal(root_edit_set_floor(&root, "thermo", 6, &why), OTA_OK);
	assert_int_equal(root.floor_count, 1);
	assert_int_equal(root.floors[0].security_version, 6);
	assert_int_equal(root_edit_set_floor(&root, "T", 6, &why), OTA_BAD_REQUEST);
	root_done(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_root_put_together_can_be_read),
		cmocka_unit_test(a_revoked_key_is_in_no_role_any_more),
		cmocka_unit_test(a_key_can_be_named_by_the_first_digits_of_its_id),
		cmocka_unit_test(a_root_without_its_firmware_key_is_refused),
		cmocka_unit_test(a_replaced_key_takes_the_place_of_the_old),
		cmocka_unit_test(one_key_of_several_is_not_replaced_blindly),
		cmocka_unit_test(one_key_has_one_role_only),
		cmocka_unit_test(a_releasers_scope_is_checked),
		cmocka_unit_test(a_floor_never_falls),
	};

	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
