#include "unit.h"

#include "measure.h"

static void a_program_is_as_long_as_its_header_says(void **state)
{
	size_t len;
	char *self = unit_read("/proc/self/exe", &len);

	(void)state;
	/* A linker puts the section table last. */
	assert_int_equal(measure_image((const uint8_t *)self, MEASURE_HEAD), len);
	test_free(self);
}

static void a_32_bit_program_of_the_other_byte_order_is_measured_too(void **state)
{
	uint8_t head[128] = "\177ELF\1\2\1";

	(void)state;
	head[31] = 52;		     /* segments begin */
	head[43] = 32, head[45] = 1; /* one of 32 bytes */
	head[52 + 6] = 0x10;	     /* at 0x1000 */
	head[52 + 18] = 0x02;	     /* 0x200 bytes in the file */
	assert_int_equal(measure_image(head, sizeof(head)), 0x1200);
}

static void file_systems_say_how_long_they_are(void **state)
{
	uint8_t head[MEASURE_HEAD] = "hsqs";

	(void)state;
	head[42] = 3;
	assert_int_equal(measure_image(head, sizeof(head)), 3 << 16);
	memset(head, 0, sizeof(head));
	head[1024 + 56] = 0x53, head[1024 + 57] = 0xef;
	head[1024 + 5] = 1;  /* 256 blocks */
	head[1024 + 24] = 2; /* of 4096 bytes */
	assert_int_equal(measure_image(head, sizeof(head)), 1 << 20);
}

static void what_is_not_known_or_not_sane_says_nothing(void **state)
{
	uint8_t head[MEASURE_HEAD];

	(void)state;
	memset(head, 0, sizeof(head));
	assert_int_equal(measure_image(head, sizeof(head)), 0);
	assert_int_equal(measure_image(head, 0), 0);
	for (size_t len = 0; len < 100; len++) {
		memset(head, 0xff, sizeof(head));
		memcpy(head, "\177ELF\2\1", 6);
		assert_true(measure_image(head, len) < UINT64_MAX / 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_is_as_long_as_its_header_says),
		cmocka_unit_test(a_32_bit_program_of_the_other_byte_order_is_measured_too),
		cmocka_unit_test(file_systems_say_how_long_they_are),
		cmocka_unit_test(what_is_not_known_or_not_sane_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
