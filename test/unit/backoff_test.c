#include "unit.h"

#include "backoff.h"

static void pauses_lie_between_the_minimum_and_a_ceiling_that_doubles(void **state)
{
	(void)state;
	struct backoff backoff = {.min_ms = 1000, .max_ms = 120000};
	const uint64_t ceilings[] = {1000,  2000,  4000,   8000,  16000,
				     32000, 64000, 120000, 120000};

	for (unsigned i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
		struct backoff copy = backoff;

		assert_int_equal(backoff_next(&copy, 0), 1000);
		copy = backoff;
		assert_int_equal(backoff_next(&copy, ceilings[i] - 1000), ceilings[i]);
		assert_in_range(backoff_next(&backoff, UINT64_MAX), 1000, ceilings[i]);
	}
}

static void a_success_starts_over(void **state)
{
	(void)state;
	struct backoff backoff = {.min_ms = 10, .max_ms = 1000};

	for (int i = 0; i < 20; i++)
		assert_in_range(backoff_next(&backoff, (uint64_t)i * 7919), 10, 1000);
	backoff_reset(&backoff);
	assert_int_equal(backoff_next(&backoff, UINT64_MAX), 10);
}

static void the_pauses_of_many_devices_are_spread(void **state)
{
	(void)state;
	unsigned tenth[10] = {0};

	for (uint64_t device = 0; device < 10000; device++) {
		struct backoff backoff = {.min_ms = 0, .max_ms = 100000, .failures = 40};
		uint64_t pause = backoff_next(&backoff, device * UINT64_C(0x9e3779b97f4a7c15));

		tenth[pause * 10 / 100001]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(tenth[i], 800, 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses_lie_between_the_minimum_and_a_ceiling_that_doubles),
		cmocka_unit_test(a_success_starts_over),
		cmocka_unit_test(the_pauses_of_many_devices_are_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
