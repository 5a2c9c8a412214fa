#include "unit.h"

#include "choice.h"

#define BASE(n)                                                                                \
	{                                                                                      \
		{                                                                              \
			n                                                                      \
		}                                                                              \
	}

static const struct digest runs = BASE(7);

static void the_smallest_delta_comes_first_and_then_what_needs_nothing(void **state)
{
	const struct offer_pack packs[] = {{.size = 500},
					   {.size = 90, .base = BASE(7)},
					   {.size = 400},
					   {.size = 80, .base = BASE(7)},
					   {.size = 10, .base = BASE(8)}};
	const unsigned wanted[] = {3, 1, 2, 0};
	unsigned order[MESSAGE_PACKS_MAX];

	(void)state;
	assert_int_equal(choice_of_packs(packs, 5, &runs, order), 4);
	assert_memory_equal(order, wanted, sizeof(wanted));
}

static void without_a_base_that_is_verified_no_delta_is_tried(void **state)
{
	const struct offer_pack packs[] = {{.size = 90, .base = BASE(7)}, {.size = 400}};
	unsigned order[MESSAGE_PACKS_MAX];

	(void)state;
	assert_int_equal(choice_of_packs(packs, 2, NULL, order), 1);
	assert_int_equal(order[0], 1);
	assert_int_equal(choice_of_packs(packs, 1, NULL, order), 0);
}

static void of_equal_ones_the_offer_s_order_is_kept_and_empty_ones_are_left_out(void **state)
{
	const struct offer_pack packs[] = {{.size = 5}, {.size = 0}, {.size = 5}};
	const unsigned wanted[] = {0, 2};
	unsigned order[MESSAGE_PACKS_MAX];

	(void)state;
	assert_int_equal(choice_of_packs(packs, 3, &runs, order), 2);
	assert_memory_equal(order, wanted, sizeof(wanted));
	assert_int_equal(choice_of_packs(packs, 0, &runs, order), 0);
}

static void no_more_than_an_offer_may_name_are_looked_at(void **state)
{
	struct offer_pack packs[MESSAGE_PACKS_MAX + 4];
	unsigned order[MESSAGE_PACKS_MAX];

	(void)state;
	for (unsigned i = 0; i < MESSAGE_PACKS_MAX + 4; i++)
		packs[i] = (struct offer_pack){.size = 100 - i};
	assert_int_equal(choice_of_packs(packs, MESSAGE_PACKS_MAX + 4, NULL, order),
			 MESSAGE_PACKS_MAX);
	assert_int_equal(order[0], MESSAGE_PACKS_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_delta_comes_first_and_then_what_needs_nothing),
		cmocka_unit_test(without_a_base_that_is_verified_no_delta_is_tried),
		cmocka_unit_test(
			of_equal_ones_the_offer_s_order_is_kept_and_empty_ones_are_left_out),
		cmocka_unit_test(no_more_than_an_offer_may_name_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
