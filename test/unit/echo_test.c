#include "unit.h"

#include "echo.h"

static void percentiles_are_those_of_what_was_added(void **state)
{
	struct echo echo = {0};
	struct echo_figures figures;

	(void)state;
	echo_figures(&echo, &figures);
	assert_int_equal(figures.count, 0);
	for (uint32_t i = 1000; i > 0; i--)
		echo_add(&echo, i);
	echo_figures(&echo, &figures);
	assert_int_equal(figures.count, 1000);
	assert_int_equal(figures.p50_us, 501);
	assert_int_equal(figures.p99_us, 991);
	assert_int_equal(figures.max_us, 1000);
	echo_clear(&echo);
	echo_add(&echo, 7);
	echo_figures(&echo, &figures);
	assert_int_equal(figures.count, 1);
	assert_int_equal(figures.max_us, 7);
	echo_done(&echo);
}

static void the_oldest_give_way(void **state)
{
	struct echo echo = {0};
	struct echo_figures figures;

	(void)state;
	echo_add(&echo, 1000000);
	for (uint32_t i = 0; i < ECHO_SAMPLES_MAX; i++)
		echo_add(&echo, 5);
	echo_figures(&echo, &figures);
	assert_int_equal(figures.max_us, 5);
	assert_int_equal(figures.count, ECHO_SAMPLES_MAX + 1);
	echo_done(&echo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_are_those_of_what_was_added),
		cmocka_unit_test(the_oldest_give_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
