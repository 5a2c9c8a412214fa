#include "unit.h"

#include "certificate.h"
#include "identity.h"

static enum ota_err read_subject(const char *name, int len, const char *unit,
				 const char *other_unit, struct identity *ret_identity)
{
	X509 *certificate = certificate_of(name, len, unit, other_unit);
	struct ota_why why = {0};
	enum ota_err err = identity_read(certificate, ret_identity, &why);

	X509_free(certificate);
	return err;
}

static void the_unit_is_the_role_and_the_common_name_the_name(void **state)
{
	(void)state;
	struct identity identity;

	assert_int_equal(read_subject("gw-7.b", -1, "ota-device", NULL, &identity), OTA_OK);
	assert_int_equal(identity.role, IDENTITY_DEVICE);
	assert_string_equal(identity.name, "gw-7.b");
	assert_int_equal(read_subject("alice", -1, "ota-manager", NULL, &identity), OTA_OK);
	assert_int_equal(identity.role, IDENTITY_MANAGER);
	assert_int_equal(read_subject("web", -1, "people", "ota-console", &identity), OTA_OK);
	assert_int_equal(identity.role, IDENTITY_CONSOLE);
}

static void any_other_certificate_is_a_stranger(void **state)
{
	(void)state;
	struct identity identity;

	assert_int_equal(identity_read(NULL, &identity, NULL), OTA_OK);
	assert_int_equal(identity.role, IDENTITY_STRANGER);
	assert_int_equal(read_subject("#", -1, "OTA-DEVICE", NULL, &identity), OTA_OK);
	assert_int_equal(identity.role, IDENTITY_STRANGER);
	assert_int_equal(read_subject("x", -1, NULL, NULL, &identity), OTA_OK);
	assert_int_equal(identity.role, IDENTITY_STRANGER);
}

static void names_that_are_none_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int len;
	} names[] = {{"#", -1},	   {"+", -1},	{"a/b", -1},	   {"..", -1},
		     {"d1\0x", 4}, {"d 1", -1}, {"d\xc3\xa9", -1}, {NULL, 0}};
	struct identity identity = {.role = IDENTITY_ROLE_COUNT};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_int_equal(read_subject(names[i].name, names[i].len, "ota-device", NULL,
					      &identity),
				 OTA_UNAUTHORIZED);
	assert_int_equal(identity.role, IDENTITY_ROLE_COUNT);
}

static void two_roles_in_one_certificate_are_refused(void **state)
{
	(void)state;
	struct identity identity;

	assert_int_equal(read_subject("d1", -1, "ota-device", "ota-manager", &identity),
			 OTA_UNAUTHORIZED);
	assert_int_equal(read_subject("d1", -1, "ota-device", "ota-device", &identity),
			 OTA_UNAUTHORIZED);
}

static void a_device_has_exactly_its_own_client_id(void **state)
{
	(void)state;
	const struct identity d7 = {IDENTITY_DEVICE, "d7"};

	assert_true(identity_fits(&d7, "d7"));
	assert_false(identity_fits(&d7, "d8"));
	assert_false(identity_fits(&d7, "d77"));
	assert_false(identity_fits(&d7, "d7:a"));
	assert_false(identity_fits(&d7, "d"));
	assert_false(identity_fits(&d7, ""));
	assert_false(identity_fits(&d7, NULL));
}

static void a_manager_may_add_a_short_suffix(void **state)
{
	(void)state;
	const struct identity alice = {IDENTITY_MANAGER, "alice"};

	assert_true(identity_fits(&alice, "alice"));
	assert_true(identity_fits(&alice, "alice:a"));
	assert_true(identity_fits(&alice, "alice:0123456789abcdeF"));
	assert_false(identity_fits(&alice, "alice:0123456789abcdefg"));
	assert_false(identity_fits(&alice, "alice:"));
	assert_false(identity_fits(&alice, "alice:a-b"));
	assert_false(identity_fits(&alice, "alicea"));
}

static void a_stranger_may_have_any_client_id(void **state)
{
	(void)state;
	const struct identity stranger = {IDENTITY_STRANGER, ""};

	assert_true(identity_fits(&stranger, "lamp"));
	assert_true(identity_fits(&stranger, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_unit_is_the_role_and_the_common_name_the_name),
		cmocka_unit_test(any_other_certificate_is_a_stranger),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(two_roles_in_one_certificate_are_refused),
		cmocka_unit_test(a_device_has_exactly_its_own_client_id),
		cmocka_unit_test(a_manager_may_add_a_short_suffix),
		cmocka_unit_test(a_stranger_may_have_any_client_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
