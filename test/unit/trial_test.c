#include "unit.h"

#include "trial.h"

static const struct trial_facts healthy = {
	.elapsed_ms = 20000,
	.running_ms = 20000,
	.confirm_timeout_ms = 300000,
	.health_timeout_ms = 60000,
	.probation_ms = 5000,
	.health = TRIAL_HEALTH_GOOD,
	.link_up = true,
	.was_reachable = true,
};

static enum trial_verdict judge(struct trial_facts facts, enum ota_err *ret_err)
{
	uint64_t wait;
	enum trial_verdict verdict = trial_judge(&facts, &wait, ret_err);

	if (verdict == TRIAL_WAIT)
		assert_true(wait > 0);
	return verdict;
}

static enum trial_verdict verdict_of(struct trial_facts facts)
{
	enum ota_err err;

	return judge(facts, &err);
}

static enum ota_err cause_of(struct trial_facts facts)
{
	enum ota_err err;

	assert_int_equal(judge(facts, &err), TRIAL_UNFIT);
	return err;
}

static void a_healthy_connected_version_asks_for_its_grant(void **state)
{
	(void)state;
	assert_int_equal(verdict_of(healthy), TRIAL_ASK_GRANT);
}

static void nothing_but_health_and_a_link_asks_for_the_grant(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.link_up = false;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts = healthy;
	facts.health = TRIAL_HEALTH_UNKNOWN;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.health = TRIAL_HEALTH_BAD;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts = healthy;
	facts.running_ms = 4999;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.running_ms = 5000;
	assert_int_equal(verdict_of(facts), TRIAL_ASK_GRANT);
}

static void a_version_that_is_not_healthy_in_time_is_unfit(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.health = TRIAL_HEALTH_BAD;
	facts.elapsed_ms = facts.running_ms = 59999;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.elapsed_ms = facts.running_ms = 60000;
	assert_int_equal(cause_of(facts), OTA_HEALTH_CHECK_FAILED);
}

static void a_version_whose_check_never_ends_is_not_responding(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.health = TRIAL_HEALTH_UNKNOWN;
	facts.elapsed_ms = facts.running_ms = 59999;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.elapsed_ms = facts.running_ms = 60000;
	assert_int_equal(cause_of(facts), OTA_NOT_RESPONDING);
	facts.health = TRIAL_HEALTH_SILENT;
	assert_int_equal(cause_of(facts), OTA_NOT_RESPONDING);
}

static void a_version_that_crashed_and_runs_again_has_its_health_time_again(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.health = TRIAL_HEALTH_UNKNOWN;
	facts.elapsed_ms = 100000;
	facts.running_ms = 59999;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.elapsed_ms = facts.confirm_timeout_ms;
	assert_int_equal(cause_of(facts), OTA_NOT_RESPONDING);
}

static void the_health_check_has_no_more_time_than_the_trial(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.health = TRIAL_HEALTH_BAD;
	facts.health_timeout_ms = 10 * facts.confirm_timeout_ms;
	facts.elapsed_ms = facts.running_ms = facts.confirm_timeout_ms;
	assert_int_equal(cause_of(facts), OTA_HEALTH_CHECK_FAILED);
}

static void a_version_that_stays_offline_is_unfit_when_the_old_one_was_online(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.link_up = false;
	facts.elapsed_ms = facts.confirm_timeout_ms;
	assert_int_equal(verdict_of(facts), TRIAL_ASK_OUTAGE);
	facts.outage_known = true;
	assert_int_equal(cause_of(facts), OTA_NO_CONNECTIVITY_AFTER_UPDATE);
}

static void an_outage_of_others_extends_the_trial_once(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.link_up = false;
	facts.elapsed_ms = facts.confirm_timeout_ms;
	facts.outage_known = facts.outage_elsewhere = true;
	assert_int_equal(verdict_of(facts), TRIAL_EXTEND);
	facts.extended = true;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.elapsed_ms = facts.confirm_timeout_ms * (1 + TRIAL_EXTENSION) - 1;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.elapsed_ms++;
	assert_int_equal(cause_of(facts), OTA_NO_CONNECTIVITY_AFTER_UPDATE);
}

static void a_device_that_was_offline_before_is_never_reverted_for_it(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.was_reachable = facts.link_up = false;
	facts.elapsed_ms = 100 * facts.confirm_timeout_ms;
	assert_int_equal(verdict_of(facts), TRIAL_WAIT);
	facts.link_up = true;
	assert_int_equal(verdict_of(facts), TRIAL_ASK_GRANT);
}

static void a_version_that_fills_the_disk_is_unfit_whatever_else_is_good(void **state)
{
	(void)state;
	struct trial_facts facts = healthy;

	facts.disk_full = true;
	assert_int_equal(cause_of(facts), OTA_STORAGE_EXHAUSTED);
}

static void a_mute_link_is_made_anew_in_good_time_before_a_trial_ends(void **state)
{
	(void)state;
	assert_int_equal(trial_mute_ms(300000, 60000), 60000);
	assert_int_equal(trial_mute_ms(300000, 120000), 75000);
	assert_int_equal(trial_mute_ms(30000, 60000), 7500);
	assert_int_equal(trial_mute_ms(1000, 60000), TRIAL_MUTE_MIN_MS);
	assert_int_equal(trial_mute_ms(1000, 1000), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mute_link_is_made_anew_in_good_time_before_a_trial_ends),
		cmocka_unit_test(a_healthy_connected_version_asks_for_its_grant),
		cmocka_unit_test(nothing_but_health_and_a_link_asks_for_the_grant),
		cmocka_unit_test(a_version_that_is_not_healthy_in_time_is_unfit),
		cmocka_unit_test(
			a_version_that_crashed_and_runs_again_has_its_health_time_again),
		cmocka_unit_test(a_version_whose_check_never_ends_is_not_responding),
		cmocka_unit_test(the_health_check_has_no_more_time_than_the_trial),
		cmocka_unit_test(
			a_version_that_stays_offline_is_unfit_when_the_old_one_was_online),
		cmocka_unit_test(an_outage_of_others_extends_the_trial_once),
		cmocka_unit_test(a_device_that_was_offline_before_is_never_reverted_for_it),
		cmocka_unit_test(a_version_that_fills_the_disk_is_unfit_whatever_else_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
