/* The judgement of a wave at each of its boundaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wave.h"

static struct release_tally tally_of(uint32_t good, uint32_t bad, uint32_t busy,
				     uint32_t waiting)
{
	struct release_tally tally = {.counts = {0}};

	tally.counts[UPDATE_SUCCEEDED] = good;
	tally.counts[UPDATE_FAILED] = bad;
	tally.counts[UPDATE_DOWNLOADING] = busy;
	tally.counts[UPDATE_TARGETED] = waiting;
	return tally;
}

static enum wave_verdict judge(struct release_tally tally, struct release_thresholds limits)
{
	uint64_t met = 0;

	limits.bake_s = 0;
	return wave_judge(&limits, &tally, 1000000, 0, &met);
}

static void halt_needs_both_the_count_and_the_share(void **unused)
{
	const struct release_thresholds t = document_thresholds_default;

	(void)unused;
	assert_int_equal(t.error_count, 3);
	assert_int_equal(t.errors, 500);
	assert_int_equal(judge(tally_of(0, 3, 0, 0), t), WAVE_HALT);
	assert_int_not_equal(judge(tally_of(0, 2, 0, 0), t), WAVE_HALT);
	assert_int_not_equal(judge(tally_of(57, 3, 0, 0), t), WAVE_HALT); /* exactly 5 % */
	assert_int_equal(judge(tally_of(56, 3, 0, 0), t), WAVE_HALT);
	assert_int_not_equal(judge(tally_of(0, 0, 9, 0), t), WAVE_HALT);
}

static void sample_is_needed_to_halt_and_to_advance(void **unused)
{
	struct release_thresholds t = document_thresholds_default;

	(void)unused;
	t.sample = 10;
	assert_int_equal(judge(tally_of(6, 3, 1, 0), t), WAVE_WAIT);
	assert_int_equal(judge(tally_of(7, 3, 0, 0), t), WAVE_HALT);
	assert_int_equal(judge(tally_of(9, 0, 0, 1), t), WAVE_WAIT);
	assert_int_equal(judge(tally_of(10, 0, 0, 1), t), WAVE_ADVANCE);
	assert_int_equal(judge(tally_of(4, 0, 0, 0), t), WAVE_ADVANCE); /* it has no more */
}

static void failures_that_are_allowed_are_ends_too(void **unused)
{
	struct release_thresholds t = document_thresholds_default;
	struct release_tally tally = tally_of(5, 5, 0, 0);
	uint64_t met = 0;

	(void)unused;
	t.error_count = 100;
	t.success = 5000;
	t.sample = 10;
	assert_int_equal(wave_judge(&t, &tally, 1000, met, &met), WAVE_BAKE);
	tally = tally_of(5, 5, 0, 5);
	assert_int_equal(wave_judge(&t, &tally, 1000, met, &met), WAVE_BAKE);
	tally = tally_of(10, 0, 0,
			 10); /* as many wait as are done: it is not a wave of nobody */
	assert_int_equal(wave_judge(&t, &tally, 1000, met, &met), WAVE_BAKE);
	tally = tally_of(0, 0, 10, 10);
	assert_int_equal(wave_judge(&t, &tally, 1000, met, &met), WAVE_WAIT);
	t.error_count = 0; /* no count is asked for: the share alone decides */
	tally = tally_of(10, 0, 0, 0);
	assert_int_equal(wave_judge(&t, &tally, 1000, met, &met), WAVE_BAKE);
	tally = tally_of(18, 1, 0, 0);
	assert_int_equal(wave_judge(&t, &tally, 1000, met, &met), WAVE_HALT);
}

static void success_share_is_of_those_that_have_begun(void **unused)
{
	const struct release_thresholds t = document_thresholds_default;

	(void)unused;
	assert_int_equal(judge(tally_of(9, 0, 1, 0), t), WAVE_ADVANCE); /* exactly 90 % */
	assert_int_equal(judge(tally_of(8, 0, 1, 0), t), WAVE_WAIT);
	assert_int_equal(judge(tally_of(9, 1, 0, 0), t), WAVE_ADVANCE);
	assert_int_equal(judge(tally_of(1, 0, 0, 50), t), WAVE_ADVANCE); /* the rest is away */
	assert_int_equal(judge(tally_of(0, 0, 0, 50), t), WAVE_WAIT);
	assert_int_equal(judge(tally_of(0, 0, 0, 0), t), WAVE_ADVANCE);
}

static void those_that_restart_now_or_are_away_could_still_halt(void **unused)
{
	const struct release_thresholds t = document_thresholds_default;
	struct release_tally tally = tally_of(42, 0, 0, 0);

	(void)unused;
	tally.counts[UPDATE_RESTARTING] = 2;
	assert_int_equal(judge(tally, t), WAVE_ADVANCE);
	tally.counts[UPDATE_RESTARTING] = 3;
	assert_int_equal(judge(tally, t), WAVE_WAIT);
	tally.counts[UPDATE_RESTARTING] = 1;
	tally.counts[UPDATE_TRIAL] = 2;
	assert_int_equal(judge(tally, t), WAVE_WAIT);
	tally.counts[UPDATE_RESTARTING] = 3;
	tally.counts[UPDATE_TRIAL] = 0;
	tally.overdue = 3;
	assert_int_equal(judge(tally, t), WAVE_HALT);
	tally.overdue = 2;
	assert_int_equal(judge(tally, t), WAVE_WAIT);
	tally = tally_of(42, 0, 3, 0);
	assert_int_equal(judge(tally, t), WAVE_ADVANCE);
	tally.away = 2;
	assert_int_equal(judge(tally, t), WAVE_ADVANCE);
	tally.away = 3;
	assert_int_equal(judge(tally, t), WAVE_WAIT);
	tally = tally_of(42, 0, 3, 0);
	assert_int_equal(judge(tally, t), WAVE_ADVANCE);
	tally.away = 2;
	assert_int_equal(judge(tally, t), WAVE_ADVANCE);
	tally.away = 3;
	assert_int_equal(judge(tally, t), WAVE_WAIT);
}

static void each_bad_end_counts_and_no_other(void **unused)
{
	(void)unused;
	for (unsigned state = UPDATE_TARGETED; state < UPDATE_STATE_COUNT; state++) {
		struct release_tally tally = {.counts = {0}};
		struct wave_sums sums;
		bool bad = state == UPDATE_FAILED || state == UPDATE_ROLLED_BACK ||
			   state == UPDATE_REJECTED || state == UPDATE_TIMED_OUT ||
			   state == UPDATE_LOST;
		bool waits = state == UPDATE_TARGETED || state == UPDATE_DEFERRED;
		bool busy = state > UPDATE_TARGETED && state <= UPDATE_TRIAL && !waits;
		tally.counts[state] = 5;
		sums = wave_sum(&tally);
		assert_int_equal(sums.bad, bad ? 5 : 0);
		assert_int_equal(sums.good, state == UPDATE_SUCCEEDED ? 5 : 0);
		assert_int_equal(sums.waiting, waits ? 5 : 0);
		assert_int_equal(sums.busy, busy ? 5 : 0);
		assert_int_equal(sums.at_risk,
				 state == UPDATE_RESTARTING || state == UPDATE_TRIAL ? 5 : 0);
		tally.reverted = 2;
		tally.forgiven = 1;
		assert_int_equal(wave_sum(&tally).bad, bad ? 2 : 0);
		tally.forgiven = 4;
		assert_int_equal(wave_sum(&tally).bad, 0);
	}
}

static void bake_time_begins_when_the_shares_are_met_and_again_when_they_were_not(void **unused)
{
	struct release_thresholds t = document_thresholds_default;
	struct release_tally good = tally_of(10, 0, 0, 0), poor = tally_of(5, 0, 5, 0);
	uint64_t met = 0;

	(void)unused;
	t.bake_s = 600;
	assert_int_equal(wave_judge(&t, &good, 1000, met, &met), WAVE_BAKE);
	assert_int_equal(met, 1000);
	assert_int_equal(wave_judge(&t, &good, 600999, met, &met), WAVE_BAKE);
	assert_int_equal(wave_judge(&t, &good, 601000, met, &met), WAVE_ADVANCE);
	assert_int_equal(wave_judge(&t, &poor, 601000, met, &met), WAVE_WAIT);
	assert_int_equal(met, 0);
	assert_int_equal(wave_judge(&t, &good, 700000, met, &met), WAVE_BAKE);
	assert_int_equal(wave_judge(&t, &good, 1299999, met, &met), WAVE_BAKE);
	assert_int_equal(wave_judge(&t, &good, 1300000, met, &met), WAVE_ADVANCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halt_needs_both_the_count_and_the_share),
		cmocka_unit_test(sample_is_needed_to_halt_and_to_advance),
		cmocka_unit_test(failures_that_are_allowed_are_ends_too),
		cmocka_unit_test(success_share_is_of_those_that_have_begun),
		cmocka_unit_test(those_that_restart_now_or_are_away_could_still_halt),
		cmocka_unit_test(each_bad_end_counts_and_no_other),
		cmocka_unit_test(
			bake_time_begins_when_the_shares_are_met_and_again_when_they_were_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
