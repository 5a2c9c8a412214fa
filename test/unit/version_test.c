#include "unit.h"

#include "version.h"

/* Ascending; each is less than all that follow. SemVer 2.0 section 11 and liberal forms. */
static const char *const ascending[] = {
	"0.0.1-a",
	"0.0.1",
	"0.9",
	"1.0.0-alpha",
	"1.0.0-alpha.1",
	"1.0.0-alpha.beta",
	"1.0.0-beta",
	"1.0.0-beta.2",
	"1.0.0-beta.11",
	"1.0.0-rc.1",
	"1.0.0",
	"1.4",
	"1.4.1",
	"1.10",
	"1.10.a",
	"1.a",
	"2",
	"21",
	"22",
	"99999999999999999999999999999998",
	"99999999999999999999999999999999",
	"100000000000000000000000000000000",
	"v1",
	"v2",
};

static const char *const equal[][2] = {
	{"1", "1.0"},
	{"1.4", "1.4.0.0"},
	{"1.0.0+a", "1.0.0+b"},
	{"1.0.0", "1.0.0+build.7"},
	{"01.004", "1.4"},
	{"1.0-rc.1+x-y", "1.0.0-rc.1"},
	{"1.0-rc.01", "1.0-rc.1"},
	{"22", "22"},
};

static void versions_are_ordered_by_precedence(void **state)
{
	(void)state;
	size_t count = sizeof(ascending) / sizeof(ascending[0]);

	for (size_t a = 0; a < count; a++) {
		for (size_t b = 0; b < count; b++) {
			int order = version_compare(ascending[a], ascending[b]);
			int expected = (a > b) - (a < b);

			if ((order > 0) - (order < 0) != expected)
				fail_msg("%s against %s: %d", ascending[a], ascending[b],
					 order);
		}
	}
}

static void build_metadata_and_missing_fields_do_not_count(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(equal) / sizeof(equal[0]); i++) {
		assert_int_equal(version_compare(equal[i][0], equal[i][1]), 0);
		assert_int_equal(version_compare(equal[i][1], equal[i][0]), 0);
	}
}

static void odd_forms_are_ordered_all_the_same(void **state)
{
	(void)state;
	static const char *const odd[] = {"-",	".",  "..",  "+", "-+", "1-",	"1.",
					  "-1", ".1", "1-.", "~", "1~", "1--a", "a.b-c.d"};
	size_t count = sizeof(odd) / sizeof(odd[0]);

	for (size_t a = 0; a < count; a++) {
		assert_int_equal(version_compare(odd[a], odd[a]), 0);
		for (size_t b = 0; b < count; b++)
			assert_int_equal(version_compare(odd[a], odd[b]),
					 -version_compare(odd[b], odd[a]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_ordered_by_precedence),
		cmocka_unit_test(build_metadata_and_missing_fields_do_not_count),
		cmocka_unit_test(odd_forms_are_ordered_all_the_same),
	};

	return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
