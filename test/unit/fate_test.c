#include "unit.h"

#include "fate.h"

static void the_same_seed_gives_the_same_fates(void **state)
{
	(void)state;
	struct fate_plan plan = {.seed = 5, .share = {[FATE_FAIL] = 3000, [FATE_CRASH] = 3000}};
	struct fate_plan other = plan;
	unsigned differ = 0;

	other.seed = 6;
	for (unsigned i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(fate_of(&plan, name, 1, "2.0"),
				 fate_of(&plan, name, 1, "2.0"));
		differ += fate_of(&plan, name, 1, "2.0") != fate_of(&other, name, 1, "2.0");
	}
	assert_in_range(differ, 300, 900);
}

static void shares_are_what_they_say(void **state)
{
	(void)state;
	struct fate_plan plan = {.seed = 1, .share = {[FATE_FAIL] = 500, [FATE_VANISH] = 2500}};
	unsigned counts[FATE_COUNT] = {0};

	for (unsigned i = 0; i < 10000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		counts[fate_of(&plan, name, 7, "2.0")]++;
	}
	assert_in_range(counts[FATE_FAIL], 400, 600);
	assert_in_range(counts[FATE_VANISH], 2300, 2700);
	assert_int_equal(counts[FATE_CRASH], 0);
}

static void a_named_device_has_the_fate_it_was_given(void **state)
{
	(void)state;
	struct fate_plan plan = {0};
	struct ota_why why;

	assert_ok(fate_name(&plan, "d7=vanish", &why), why);
	assert_ok(fate_name(&plan, "d8=fail", &why), why);
	assert_ok(fate_name(&plan, "d7=crash", &why), why);
	assert_int_equal(fate_of(&plan, "d7", 1, "2.0"), FATE_CRASH);
	assert_int_equal(fate_of(&plan, "d8", 1, "2.0"), FATE_FAIL);
	assert_int_equal(fate_of(&plan, "d77", 1, "2.0"), FATE_SUCCEED);
	assert_int_equal(fate_name(&plan, "d7=sleep", &why), OTA_BAD_REQUEST);
	assert_contains(why.text, "sleep");
	assert_int_equal(fate_name(&plan, "d7", &why), OTA_BAD_REQUEST);
}

static void only_the_bad_version_has_fates(void **state)
{
	(void)state;
	struct fate_plan plan = {.share = {[FATE_FAIL] = 10000}, .version = "3.0"};

	assert_int_equal(fate_of(&plan, "d1", 1, "2.0"), FATE_SUCCEED);
	assert_int_equal(fate_of(&plan, "d1", 2, "3.0"), FATE_FAIL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_gives_the_same_fates),
		cmocka_unit_test(shares_are_what_they_say),
		cmocka_unit_test(a_named_device_has_the_fate_it_was_given),
		cmocka_unit_test(only_the_bad_version_has_fates),
	};

	return cmocka_run_group_tests_name("fate", tests, NULL, NULL);
}
