#include "unit.h"

#include "scan.h"

static unsigned walk(uint32_t count, uint32_t good, uint8_t *ret_seen)
{
	struct scan scan;
	uint32_t segment;
	unsigned looked = 0;

	memset(ret_seen, 0, count);
	scan_begin(&scan, count);
	while (scan_next(&scan, &segment)) {
		assert_true(segment < count);
		ret_seen[segment] = 1;
		looked++;
		if (segment < good)
			scan_found(&scan);
	}
	return looked;
}

static uint32_t sum(const uint8_t *seen, uint32_t count)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		n += seen[i];
	return n;
}

static void a_slot_that_holds_something_else_is_hardly_read(void **state)
{
	static uint8_t seen[100000];

	(void)state;
	assert_int_equal(walk(100000, 0, seen), SCAN_SAMPLES);
	assert_int_equal(sum(seen, 100000), SCAN_SAMPLES);
	assert_true(seen[0]);
}

static void what_a_stopped_download_left_is_found_whole(void **state)
{
	static uint8_t seen[100000];
	static const uint32_t good[] = {1, 2, 999, 100000};

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		walk(100000, good[i], seen);
		assert_int_equal(sum(seen, 100000), 100000);
	}
}

static void a_small_image_is_looked_at_whole(void **state)
{
	uint8_t seen[SCAN_SAMPLES + 1];

	(void)state;
	for (uint32_t count = 0; count <= SCAN_SAMPLES; count++) {
		assert_int_equal(walk(count, 0, seen), count);
		assert_int_equal(sum(seen, count), count);
	}
	assert_int_equal(walk(SCAN_SAMPLES + 1, 0, seen), SCAN_SAMPLES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_that_holds_something_else_is_hardly_read),
		cmocka_unit_test(what_a_stopped_download_left_is_found_whole),
		cmocka_unit_test(a_small_image_is_looked_at_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
