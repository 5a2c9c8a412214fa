#include "unit.h"

#include "consent.h"

#define HOUR UINT64_C(3600000)
#define DAY  (24 * HOUR)

static struct consent_rules open_rules(void)
{
	return (struct consent_rules){.allowed = {true, true, true}};
}

static bool is_open(const struct consent_rules *rules, enum consent_gate gate, uint64_t now_ms,
		    uint32_t minute)
{
	char reason[CONSENT_REASON_MAX + 1];
	uint64_t left;

	return consent_is_open(rules, gate, now_ms, minute, reason, &left);
}

static void a_hold_closes_its_gate_and_no_other_until_its_lease_ends(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	char reason[CONSENT_REASON_MAX + 1];
	uint64_t left;
	struct ota_why why;

	assert_ok(consent_hold(&rules, CONSENT_INSTALL, 1000, 5000, "baking", &why), why);
	assert_true(is_open(&rules, CONSENT_DOWNLOAD, 1000, 0));
	assert_true(is_open(&rules, CONSENT_RESTART, 1000, 0));
	assert_false(consent_is_open(&rules, CONSENT_INSTALL, 2000, 0, reason, &left));
	assert_string_equal(reason, "baking");
	assert_int_equal(left, 4000);
	assert_false(is_open(&rules, CONSENT_INSTALL, 5999, 0));
	assert_true(is_open(&rules, CONSENT_INSTALL, 6000, 0));
}

static void a_release_opens_at_once(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	struct ota_why why;

	assert_ok(consent_hold(&rules, CONSENT_RESTART, 1, 0, "", &why), why);
	assert_false(is_open(&rules, CONSENT_RESTART, DAY, 0));
	consent_release(&rules, CONSENT_RESTART);
	assert_true(is_open(&rules, CONSENT_RESTART, 2, 0));
}

static void renewals_cannot_hold_a_gate_beyond_seven_days(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	struct ota_why why;
	uint64_t now = 1;

	for (; now < 7 * DAY; now += 12 * HOUR)
		assert_ok(consent_hold(&rules, CONSENT_DOWNLOAD, now, DAY, "x", &why), why);
	assert_false(is_open(&rules, CONSENT_DOWNLOAD, 7 * DAY, 0));
	assert_true(is_open(&rules, CONSENT_DOWNLOAD, 7 * DAY + 1, 0));
}

static void a_lease_is_cut_to_seven_days(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	struct ota_why why;

	assert_ok(consent_hold(&rules, CONSENT_DOWNLOAD, 0, 1000 * DAY, "x", &why), why);
	assert_false(is_open(&rules, CONSENT_DOWNLOAD, 7 * DAY - 1, 0));
	assert_true(is_open(&rules, CONSENT_DOWNLOAD, 7 * DAY, 0));
}

static void a_reason_cannot_carry_control_characters(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	char reason[CONSENT_REASON_MAX + 1];
	uint64_t left;
	struct ota_why why;

	assert_ok(consent_hold(&rules, CONSENT_DOWNLOAD, 0, 10, "a\033[2Jb\nc", &why), why);
	assert_false(consent_is_open(&rules, CONSENT_DOWNLOAD, 0, 0, reason, &left));
	assert_null(strchr(reason, '\033'));
	assert_null(strchr(reason, '\n'));
}

static void a_denied_gate_says_who_denies_it(void **state)
{
	(void)state;
	struct consent_rules rules = {.allowed = {true, false, true}};
	char reason[CONSENT_REASON_MAX + 1];
	uint64_t left;

	assert_false(consent_is_open(&rules, CONSENT_INSTALL, 0, 0, reason, &left));
	assert_string_equal(reason, "denied by the configuration");
	assert_int_equal(left, 0);
}

static void a_window_opens_and_closes_by_the_local_minute(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	char reason[CONSENT_REASON_MAX + 1];
	uint64_t left;
	struct ota_why why;

	assert_ok(consent_window(&rules, "02:30-04:00", &why), why);
	assert_false(is_open(&rules, CONSENT_DOWNLOAD, 0, 149));
	assert_true(is_open(&rules, CONSENT_DOWNLOAD, 0, 150));
	assert_true(is_open(&rules, CONSENT_DOWNLOAD, 0, 239));
	assert_false(consent_is_open(&rules, CONSENT_DOWNLOAD, 0, 240, reason, &left));
	assert_int_equal(left, (24 * 60 - 240 + 150) * 60000);
	assert_string_equal(reason, "outside the maintenance window");
}

static void a_window_may_span_midnight(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	struct ota_why why;

	assert_ok(consent_window(&rules, "23:00-01:00", &why), why);
	assert_true(is_open(&rules, CONSENT_RESTART, 0, 23 * 60));
	assert_true(is_open(&rules, CONSENT_RESTART, 0, 59));
	assert_false(is_open(&rules, CONSENT_RESTART, 0, 60));
	assert_false(is_open(&rules, CONSENT_RESTART, 0, 22 * 60 + 59));
}

static void without_a_trusted_clock_no_window_closes(void **state)
{
	(void)state;
	struct consent_rules rules = open_rules();
	struct ota_why why;

	assert_ok(consent_window(&rules, "02:30-04:00", &why), why);
	assert_true(is_open(&rules, CONSENT_DOWNLOAD, 0, CONSENT_NO_TIME));
}

static void a_malformed_window_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"2:30-4:00",	 "24:00-01:00",	 "02:60-03:00",
					  "02:30",	 "02:30-04:00 ", "02.30-04.00",
					  "02:30-04:0x", "-1:30-04:00"};
	struct ota_why why;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct consent_rules rules = open_rules();

		assert_int_equal(consent_window(&rules, bad[i], &why), OTA_BAD_REQUEST);
		assert_false(rules.has_window);
		assert_contains(why.text, bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hold_closes_its_gate_and_no_other_until_its_lease_ends),
		cmocka_unit_test(a_release_opens_at_once),
		cmocka_unit_test(renewals_cannot_hold_a_gate_beyond_seven_days),
		cmocka_unit_test(a_lease_is_cut_to_seven_days),
		cmocka_unit_test(a_reason_cannot_carry_control_characters),
		cmocka_unit_test(a_denied_gate_says_who_denies_it),
		cmocka_unit_test(a_window_opens_and_closes_by_the_local_minute),
		cmocka_unit_test(a_window_may_span_midnight),
		cmocka_unit_test(without_a_trusted_clock_no_window_closes),
		cmocka_unit_test(a_malformed_window_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
