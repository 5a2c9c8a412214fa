#include "unit.h"

#include "delivery.h"

static struct delivery delivery;

static int set_up(void **state)
{
	(void)state;
	delivery_init(&delivery, &(struct delivery_budget){.young = 16, .all = 40});
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	delivery_done(&delivery);
	assert_int_equal(delivery.young, 0);
	assert_int_equal(delivery.all, 0);
	return 0;
}

static uint32_t admit(const char *device, uint32_t wanted, uint64_t now_ms)
{
	uint32_t wait_ms = 0, granted;

	granted = delivery_admit(&delivery, device, wanted, now_ms, &wait_ms);
	assert_true(granted <= wanted);
	assert_true(granted > 0 || wait_ms > 0);
	return granted;
}

static void a_device_alone_gets_its_window_again_and_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(admit("d1", 8, 1000 + i), 8);
	assert_int_equal(delivery.all, 8);
}

static void more_than_a_window_is_never_granted(void **state)
{
	(void)state;
	assert_int_equal(admit("d1", 100, 1000), MESSAGE_WINDOW_MAX);
}

static void the_budget_holds_for_all_together(void **state)
{
	(void)state;
	assert_int_equal(admit("d1", 8, 1000), 8);
	assert_int_equal(admit("d2", 5, 1000), 5);
	assert_int_equal(admit("d3", 3, 1000), 3);
	assert_int_equal(admit("d4", 1, 1000), 0);
	assert_int_equal(delivery.young, 16);
}

static void nobody_is_given_a_crumb_unless_he_has_waited_long(void **state)
{
	(void)state;
	assert_int_equal(admit("d1", 8, 1000), 8);
	assert_int_equal(admit("d2", 5, 1000), 5);
	for (unsigned i = 0; i < DELIVERY_PATIENCE; i++)
		assert_int_equal(admit("d3", 4, 1000), 0);
	assert_int_equal(admit("d4", 3, 1000), 3);
	delivery_forget(&delivery, "d4");
	assert_int_equal(admit("d3", 4, 1000), 3);
}

static void the_more_are_served_the_later_a_waiting_one_shall_ask_again(void **state)
{
	uint32_t wait_ms, few, many;
	char name[8];

	(void)state;
	delivery_admit(&delivery, "d1", 8, 1000, &wait_ms);
	delivery_admit(&delivery, "d2", 8, 1000, &wait_ms);
	assert_int_equal(delivery_admit(&delivery, "d3", 8, 1000, &few), 0);
	assert_in_range(few, 1, 100);
	for (unsigned i = 4; i < 2000; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(delivery_admit(&delivery, name, 8, 1000, &many), 0);
	}
	assert_in_range(many, 1900, 4100);
}

static void a_fast_device_that_steps_back_keeps_nobody_waiting(void **state)
{
	uint32_t wait_ms;

	(void)state;
	delivery.budget = (struct delivery_budget){.young = 8, .all = 8};
	assert_int_equal(admit("d1", 4, 1000), 4);
	assert_int_equal(admit("d2", 4, 1000), 4);
	assert_int_equal(admit("d3", 4, 1000), 0);
	for (uint64_t now_ms = 1002; delivery_admit(&delivery, "d1", 2, now_ms, &wait_ms);)
		now_ms += 2;
	assert_int_equal(admit("d3", 4, 1200), 4);
}

static void what_slow_devices_have_not_drained_counts_against_memory_only(void **state)
{
	(void)state;
	char name[8];

	for (unsigned i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(admit(name, 8, 1000 + i * DELIVERY_YOUNG_MS), 8);
	}
	assert_int_equal(delivery.all, 40);
	assert_int_equal(admit("d1", 1, 1000 + 10 * DELIVERY_YOUNG_MS), 0);
	assert_int_equal(admit("d1", 8, 1004 + DELIVERY_LOST_MS), 8);
}

static void while_others_wait_a_device_steps_back_after_its_turn(void **state)
{
	(void)state;
	uint64_t now_ms = 1000;
	unsigned turns = 0, got = 0;

	delivery.budget.young = 8;
	assert_int_equal(admit("greedy", 8, now_ms), 8);
	for (; !got && turns < 100; turns++) {
		admit("greedy", 8, now_ms += 2);
		got = admit("modest", 4, now_ms += 2);
	}
	assert_true(got > 0);
	assert_in_range(turns, 2, 20);
}

static void a_device_that_has_gone_frees_its_share(void **state)
{
	(void)state;
	admit("d1", 8, 1000);
	admit("d2", 8, 1000);
	assert_int_equal(admit("d3", 8, 1000), 0);
	delivery_forget(&delivery, "d1");
	delivery_forget(&delivery, "nobody");
	assert_int_equal(admit("d3", 8, 1000), 8);
}

static void the_sums_stay_right_in_any_order(void **state)
{
	(void)state;
	uint64_t now_ms = 1000;
	unsigned seed = 1;

	for (unsigned i = 0; i < 20000; i++) {
		char name[8];

		seed = seed * 1103515245u + 12345u;
		snprintf(name, sizeof(name), "d%u", (seed >> 16) % 30);
		now_ms += (seed >> 8) % 40;
		if ((seed >> 24) % 16 == 0)
			delivery_forget(&delivery, name);
		else
			admit(name, 1 + (seed >> 20) % 8, now_ms);
		assert_true(delivery.young <= 16);
		assert_true(delivery.all <= 40);
		assert_true(delivery.young <= delivery.all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_device_alone_gets_its_window_again_and_again,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_than_a_window_is_never_granted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			nobody_is_given_a_crumb_unless_he_has_waited_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_more_are_served_the_later_a_waiting_one_shall_ask_again, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_fast_device_that_steps_back_keeps_nobody_waiting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_budget_holds_for_all_together, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			what_slow_devices_have_not_drained_counts_against_memory_only, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			while_others_wait_a_device_steps_back_after_its_turn, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_device_that_has_gone_frees_its_share, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_sums_stay_right_in_any_order, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
