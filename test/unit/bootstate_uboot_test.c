#include "unit.h"

#include "bootstate.h"
#include "own.h"
#include "place.h"

#define ENV_SIZE 0x2000

/* CRC-32 (IEEE), as U-Boot computes it over the variables. */
static uint32_t crc32_ieee(const uint8_t *at, size_t len)
{
	uint32_t crc = ~UINT32_C(0);

	while (len-- > 0) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (UINT32_C(0xedb88320) & (0u - (crc & 1u)));
	}
	return ~crc;
}

/* One copy of a redundant environment: CRC, flag byte, "name=value\0…\0". */
static void make_copy(const struct place *place, const char *name, uint8_t flag,
		      const char *variables, size_t len)
{
	uint8_t bytes[ENV_SIZE] = {0};

	bytes[4] = flag;
	memcpy(bytes + 5, variables, len);
	uint32_t crc = crc32_ieee(bytes + 5, ENV_SIZE - 5);
	memcpy(bytes, &crc, 4);
	place_write(place, name, bytes, sizeof(bytes));
}

static const char *configure(const struct place *place, unsigned copies)
{
	char text[1024];
	int len = snprintf(text, sizeof(text), "# device offset size\n%s 0x0 0x%x\n",
			   place_path(place, "env0"), ENV_SIZE);

	if (copies == 2)
		snprintf(text + len, sizeof(text) - (size_t)len, "%s 0x0 0x%x\n",
			 place_path(place, "env1"), ENV_SIZE);
	place_write(place, "fw_env.config", text, strlen(text));
	return place_path(place, "fw_env.config");
}

static int make_environment(void **state)
{
	static const char variables[] = "bootdelay=2\0board=gw\0";

	if (place_make(state))
		return -1;
	make_copy(*state, "env0", 1, variables, sizeof(variables));
	make_copy(*state, "env1", 0, variables, sizeof(variables));
	return 0;
}

static void an_update_lives_in_the_environment_of_uboot(void **state)
{
	struct boot_store store;
	struct boot_state seen;
	enum boot_slot slot;
	struct ota_why why;

	assert_ok(bootstate_uboot_open(configure(*state, 2), &store, &why), why);
	assert_ok(store.read(store.ctx, &seen, &why), why);
	assert_int_equal(seen.phase, BOOT_SETTLED);
	assert_int_equal(seen.active, BOOT_SLOT_A);
	assert_ok(bootstate_begin(&store, BOOT_SLOT_B, &why), why);
	assert_ok(bootstate_arm(&store, BOOT_SLOT_B, 3, &why), why);
	assert_ok(bootstate_select(&store, &slot, &why), why);
	assert_int_equal(slot, BOOT_SLOT_B);
	bootstate_done(&store);
	assert_ok(bootstate_uboot_open(configure(*state, 2), &store, &why), why);
	assert_ok(store.read(store.ctx, &seen, &why), why);
	assert_int_equal(seen.phase, BOOT_TRYING);
	assert_int_equal(seen.tries, 2);
	assert_ok(bootstate_confirm(&store, BOOT_SLOT_B, &why), why);
	assert_ok(store.read(store.ctx, &seen, &why), why);
	assert_int_equal(seen.active, BOOT_SLOT_B);
	bootstate_done(&store);
}

static void each_write_goes_to_the_copy_that_is_not_in_use(void **state)
{
	struct boot_store store;
	struct ota_why why;
	size_t len;

	assert_ok(bootstate_uboot_open(configure(*state, 2), &store, &why), why);
	char *before = unit_read(place_path(*state, "env0"), &len);
	assert_ok(bootstate_arm(&store, BOOT_SLOT_B, 3, &why), why);
	char *after = unit_read(place_path(*state, "env0"), &len);
	assert_memory_equal(before + 5, after + 5, ENV_SIZE - 5);
	test_free(before);
	test_free(after);
	bootstate_done(&store);
}

static void a_single_copy_is_refused(void **state)
{
	struct boot_store store;
	struct ota_why why;

	assert_int_equal(bootstate_uboot_open(configure(*state, 1), &store, &why),
			 OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "names 1 copies of the environment");
}

static void a_blank_environment_is_an_error(void **state)
{
	static const uint8_t blank[ENV_SIZE];
	struct boot_store store;
	struct ota_why why;

	place_write(*state, "env0", blank, sizeof(blank));
	place_write(*state, "env1", blank, sizeof(blank));
	assert_int_equal(bootstate_uboot_open(configure(*state, 2), &store, &why),
			 OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "neither copy of U-Boot's environment");
}

static void half_of_the_variables_is_an_error(void **state)
{
	static const char variables[] = "ota_phase=settled\0ota_active=b\0";
	struct boot_store store;
	struct ota_why why;

	make_copy(*state, "env0", 3, variables, sizeof(variables));
	assert_int_equal(bootstate_uboot_open(configure(*state, 2), &store, &why),
			 OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "2 of the 7 ota_ variables");
}

static void a_word_that_is_none_is_named(void **state)
{
	static const char variables[] = "ota_phase=confused\0";
	struct boot_store store;
	struct ota_why why;

	make_copy(*state, "env0", 3, variables, sizeof(variables));
	assert_int_equal(bootstate_uboot_open(configure(*state, 2), &store, &why),
			 OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "the variable ota_phase is 'confused'");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_environment, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(an_update_lives_in_the_environment_of_uboot),
		IN_PLACE(each_write_goes_to_the_copy_that_is_not_in_use),
		IN_PLACE(a_single_copy_is_refused),
		IN_PLACE(a_blank_environment_is_an_error),
		IN_PLACE(half_of_the_variables_is_an_error),
		IN_PLACE(a_word_that_is_none_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
