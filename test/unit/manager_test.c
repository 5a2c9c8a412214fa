#include "unit.h"

#include "manager.h"

static struct manager_table table;
static struct ota_why why;

static int set_up(void **state)
{
	(void)state;
	return manager_table_init(&table, "root", &why) != OTA_OK;
}

static int tear_down(void **state)
{
	(void)state;
	manager_table_done(&table);
	return 0;
}

static void grant(const char *name, const char *product, enum manager_role role, bool revoked)
{
	struct store_manager row = {.role = (uint32_t)role, .revoked_ms = revoked};

	text_copy(row.name, sizeof(row.name), name);
	text_copy(row.product, sizeof(row.product), product);
	assert_ok(manager_take(&table, &row, &why), why);
}

static void a_role_is_for_its_product_and_star_for_all(void **state)
{
	(void)state;
	grant("bob", "a", MANAGER_VIEWER, false);
	grant("bob", "b", MANAGER_ADMIN, false);
	grant("eve", "*", MANAGER_DEVELOPER, false);
	assert_int_equal(manager_role(&table, "bob", "a"), MANAGER_VIEWER);
	assert_int_equal(manager_role(&table, "bob", "b"), MANAGER_ADMIN);
	assert_int_equal(manager_role(&table, "bob", "c"), MANAGER_NOBODY);
	assert_int_equal(manager_role(&table, "bob", "*"), MANAGER_NOBODY);
	assert_int_equal(manager_role(&table, "eve", "c"), MANAGER_DEVELOPER);
	assert_int_equal(manager_role(&table, "nobody", "a"), MANAGER_NOBODY);
	assert_int_equal(manager_role(&table, "", "a"), MANAGER_NOBODY);
}

static void a_role_that_is_revoked_counts_no_more(void **state)
{
	(void)state;
	grant("bob", "a", MANAGER_VIEWER, false);
	grant("bob", "b", MANAGER_ADMIN, false);
	grant("bob", "b", MANAGER_ADMIN, true);
	assert_int_equal(manager_role(&table, "bob", "b"), MANAGER_NOBODY);
	assert_true(manager_is_known(&table, "bob"));
	grant("bob", "a", MANAGER_VIEWER, true);
	assert_false(manager_is_known(&table, "bob"));
	assert_true(manager_is_revoked(&table, "bob"));
	assert_false(manager_is_revoked(&table, "stranger"));
}

static void the_first_admin_is_one_until_a_row_for_all_says_otherwise(void **state)
{
	(void)state;
	assert_int_equal(manager_role(&table, "root", "a"), MANAGER_ADMIN);
	grant("root", "a", MANAGER_VIEWER, false);
	assert_int_equal(manager_role(&table, "root", "a"), MANAGER_ADMIN);
	grant("root", "*", MANAGER_ADMIN, true);
	assert_int_equal(manager_role(&table, "root", "b"), MANAGER_NOBODY);
	assert_int_equal(manager_role(&table, "root", "a"), MANAGER_VIEWER);
}

static void a_token_is_known_by_its_secret_until_it_ends(void **state)
{
	(void)state;
	struct store_token row = {.role = MANAGER_VIEWER, .expires_ms = 1000};
	char secret[MANAGER_TOKEN_TEXT];
	const struct store_token *found = NULL;

	assert_ok(manager_token_make(&row, secret, &why), why);
	assert_int_equal(strlen(secret), MANAGER_TOKEN_TEXT - 1);
	assert_ok(manager_take_token(&table, &row, &why), why);
	assert_ok(manager_token_check(&table, secret, 999, &found, &why), why);
	assert_string_equal(found->id, row.id);
	assert_int_equal(manager_token_check(&table, secret, 1000, &found, &why),
			 OTA_UNAUTHORIZED);
	row.revoked_ms = 5;
	assert_ok(manager_take_token(&table, &row, &why), why);
	assert_int_equal(manager_token_check(&table, secret, 10, &found, &why),
			 OTA_UNAUTHORIZED);
}

static void each_changed_digit_of_a_token_is_refused(void **state)
{
	(void)state;
	struct store_token row = {.expires_ms = 1000};
	char secret[MANAGER_TOKEN_TEXT];
	const struct store_token *found;

	assert_ok(manager_token_make(&row, secret, &why), why);
	assert_ok(manager_take_token(&table, &row, &why), why);
	for (size_t i = 0; i < sizeof(secret) - 1; i++) {
		char kept = secret[i];

		secret[i] = kept == '0' ? '1' : '0';
		assert_int_equal(manager_token_check(&table, secret, 1, &found, &why),
				 OTA_UNAUTHORIZED);
		secret[i] = kept;
	}
	secret[sizeof(secret) - 2] = '\0';
	assert_int_equal(manager_token_check(&table, secret, 1, &found, &why),
			 OTA_UNAUTHORIZED);
	assert_int_equal(manager_token_check(&table, "", 1, &found, &why), OTA_UNAUTHORIZED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_role_is_for_its_product_and_star_for_all,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_role_that_is_revoked_counts_no_more, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			the_first_admin_is_one_until_a_row_for_all_says_otherwise, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_token_is_known_by_its_secret_until_it_ends,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_changed_digit_of_a_token_is_refused,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
