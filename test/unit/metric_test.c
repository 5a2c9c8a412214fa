#include "unit.h"

#include "metric.h"

#include <time.h>

static void nothing_added_is_zero(void **state)
{
	(void)state;
	struct metric metric = {0};

	assert_int_equal(metric_quantile(&metric, 500), 0);
	assert_int_equal(metric_quantile(&metric, 990), 0);
}

static void a_quantile_is_at_most_a_quarter_too_large_and_never_too_small(void **state)
{
	(void)state;
	struct metric metric = {0};

	for (uint64_t us = 1; us <= 10000; us++) {
		metric_add(&metric, us);
		metric_add_cpu(&metric, us / 2);
	}
	assert_in_range(metric_quantile(&metric, 500), 5000, 6250);
	assert_in_range(metric_quantile(&metric, 990), 9900, 10000);
	assert_int_equal(metric_quantile(&metric, 1000), 10000);
	assert_int_equal(metric.max_us, 10000);
	assert_int_equal(metric.max_cpu_us, 5000);
	assert_in_range(metric_cpu_quantile(&metric, 990), 4950, 5000);
}

static void one_slow_call_shows_in_the_maximum_only(void **state)
{
	(void)state;
	struct metric metric = {0};

	for (unsigned i = 0; i < 999; i++)
		metric_add(&metric, 3);
	metric_add(&metric, 50000);
	metric_add_cpu(&metric, 7);
	assert_int_equal(metric_quantile(&metric, 990), 3);
	assert_int_equal(metric.max_us, 50000);
	assert_int_equal(metric.max_cpu_us, 7);
	assert_int_equal(metric_cpu_quantile(&metric, 500), 7); /* of those that were taken */
}

static void who_only_waits_spends_no_time_of_his_own(void **state)
{
	(void)state;
	struct metric waited = {0}, worked = {0}, timed = {0};
	struct metric_span span = metric_begin(true);
	const struct timespec pause = {.tv_nsec = 20000000};
	volatile unsigned turns = 0;

	assert_int_equal(nanosleep(&pause, NULL), 0);
	metric_end(&waited, &span);
	assert_true(waited.max_us >= 20000);
	assert_true(waited.max_cpu_us < waited.max_us / 2);
	span = metric_begin(true);
	while (turns < 20000000)
		turns++;
	metric_end(&worked, &span);
	assert_in_range(worked.max_cpu_us, 1000, worked.max_us + 1);
	span = metric_begin(false);
	metric_end(&timed, &span);
	assert_int_equal(timed.max_cpu_us, 0);
	assert_int_equal(timed.count, 1);
}

static void times_beyond_the_scale_are_counted(void **state)
{
	(void)state;
	struct metric metric = {0};

	metric_add(&metric, UINT64_MAX);
	metric_add(&metric, 0);
	assert_int_equal(metric.count, 2);
	assert_int_equal(metric_quantile(&metric, 500), 0);
	assert_true(metric_quantile(&metric, 1000) > UINT64_C(1) << 28);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_added_is_zero),
		cmocka_unit_test(a_quantile_is_at_most_a_quarter_too_large_and_never_too_small),
		cmocka_unit_test(one_slow_call_shows_in_the_maximum_only),
		cmocka_unit_test(who_only_waits_spends_no_time_of_his_own),
		cmocka_unit_test(times_beyond_the_scale_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
