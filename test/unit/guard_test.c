#include "unit.h"

#include "guard.h"

static void a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
	(void)state;
	struct guard_bucket bucket = {0};
	unsigned given = 0;

	for (unsigned i = 0; i < 100; i++)
		given += guard_take(&bucket, 1000, 20, 40, 1);
	assert_int_equal(given, 40);
	assert_false(guard_take(&bucket, 1049, 20, 40, 1));
	assert_true(guard_take(&bucket, 1051, 20, 40, 1));
	given = 0;
	for (unsigned ms = 2000; ms < 12000; ms++)
		given += guard_take(&bucket, ms, 20, 40, 1);
	assert_in_range(given, 200, 220);
}

static void a_bucket_never_holds_more_than_its_burst(void **state)
{
	(void)state;
	struct guard_bucket bucket = {0};
	unsigned given = 0;

	assert_true(guard_take(&bucket, 1, 20, 40, 1));
	for (unsigned i = 0; i < 100; i++)
		given += guard_take(&bucket, UINT64_MAX / 2, 20, 40, 1);
	assert_int_equal(given, 40);
}

static void what_is_refused_is_not_taken(void **state)
{
	(void)state;
	struct guard_bucket bucket = {0};

	assert_false(guard_take(&bucket, 1000, 1, 10, 11));
	assert_true(guard_take(&bucket, 1000, 1, 10, 10));
}

static void a_clock_that_stands_still_or_goes_back_gives_nothing(void **state)
{
	(void)state;
	struct guard_bucket bucket = {0};

	assert_true(guard_take(&bucket, 5000, 1, 1, 1));
	assert_false(guard_take(&bucket, 5000, 1, 1, 1));
	assert_false(guard_take(&bucket, 4000, 1, 1, 1));
}

static void no_rate_is_no_limit(void **state)
{
	(void)state;
	struct guard_bucket bucket = {0};

	for (unsigned i = 0; i < 1000; i++)
		assert_true(guard_take(&bucket, 1, 0, 0, 1));
}

static void a_window_counts_and_starts_afresh(void **state)
{
	(void)state;
	struct guard_window window = {0};

	for (unsigned i = 0; i < 6; i++)
		assert_true(guard_count(&window, 10 + i, 60000, 6));
	assert_false(guard_count(&window, 60009, 60000, 6));
	assert_true(guard_count(&window, 60010, 60000, 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_gives_its_burst_and_then_its_rate),
		cmocka_unit_test(a_bucket_never_holds_more_than_its_burst),
		cmocka_unit_test(what_is_refused_is_not_taken),
		cmocka_unit_test(a_clock_that_stands_still_or_goes_back_gives_nothing),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(a_window_counts_and_starts_afresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
