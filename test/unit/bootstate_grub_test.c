#include "unit.h"

#include "bootstate.h"
#include "place.h"

#define SIGNATURE "# GRUB Environment Block\n"

static void make_block(const struct place *place, const char *variables)
{
	char block[1024];

	memset(block, '#', sizeof(block));
	memcpy(block, SIGNATURE, strlen(SIGNATURE));
	memcpy(block + strlen(SIGNATURE), variables, strlen(variables));
	place_write(place, "grubenv", block, sizeof(block));
}

static void open_store(const struct place *place, struct boot_store *store)
{
	struct ota_why why;

	assert_ok(bootstate_grub_open(disk_posix(), place_path(place, "grubenv"), store, &why),
		  why);
}

static void an_update_lives_in_the_environment_block(void **state)
{
	struct boot_store store;
	enum boot_slot slot;
	struct ota_why why;

	make_block(*state, "saved_entry=0\nlang=a\\\\b\\\nc#\n");
	open_store(*state, &store);
	assert_ok(bootstate_begin(&store, BOOT_SLOT_B, &why), why);
	assert_ok(bootstate_arm(&store, BOOT_SLOT_B, 3, &why), why);
	assert_ok(bootstate_select(&store, &slot, &why), why);
	assert_int_equal(slot, BOOT_SLOT_B);
	bootstate_done(&store);
	size_t len;
	char *block = unit_read(place_path(*state, "grubenv"), &len);
	assert_int_equal(len, 1024);
	assert_memory_equal(block,
			    SIGNATURE "ota_state=trying a b 2 1 1 0\nsaved_entry=0\n"
				      "lang=a\\\\b\\\nc#\n#####",
			    86);
	assert_int_equal(block[1023], '#');
	test_free(block);
}

/* The first sector alone must say everything: it is what a disk writes in one piece. */
static void the_state_stands_in_the_first_sector(void **state)
{
	char variables[900] = "";
	struct boot_store store;
	struct ota_why why;

	memset(variables, 'x', 890);
	memcpy(variables, "v=", 2);
	variables[890] = '\n';
	make_block(*state, variables);
	open_store(*state, &store);
	assert_ok(bootstate_arm(&store, BOOT_SLOT_B, 3, &why), why);
	char *block = unit_read(place_path(*state, "grubenv"), NULL);
	char *at = strstr(block, "ota_state=armed a b 3 1 1 0\n");
	assert_non_null(at);
	assert_true(at - block + 28 < 512);
	test_free(block);
	bootstate_done(&store);
}

static void a_full_block_is_an_error_and_stays_as_it_is(void **state)
{
	char variables[1000];
	struct boot_store store;
	struct ota_why why;

	memset(variables, 'x', 990);
	memcpy(variables, "v=", 2);
	memcpy(variables + 990, "\n", 2);
	make_block(*state, variables);
	open_store(*state, &store);
	assert_int_equal(bootstate_arm(&store, BOOT_SLOT_B, 3, &why), OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "has no room for ota_state");
	char *block = unit_read(place_path(*state, "grubenv"), NULL);
	assert_memory_equal(block + strlen(SIGNATURE), variables, 991);
	test_free(block);
	bootstate_done(&store);
}

static void what_is_no_environment_block_is_refused(void **state)
{
	struct boot_store store;
	struct ota_why why;

	place_write(*state, "grubenv", "short", 5);
	assert_int_equal(
		bootstate_grub_open(disk_posix(), place_path(*state, "grubenv"), &store, &why),
		OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "it has 5 bytes, an environment block has 1024");
	char zeros[1024] = {0};
	place_write(*state, "grubenv", zeros, sizeof(zeros));
	assert_int_equal(
		bootstate_grub_open(disk_posix(), place_path(*state, "grubenv"), &store, &why),
		OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "does not begin with");
}

static void a_state_that_was_edited_by_hand_is_refused(void **state)
{
	struct boot_store store;
	struct boot_state seen;
	struct ota_why why;

	make_block(*state, "ota_state=tried a b 2 1 1 0\n");
	open_store(*state, &store);
	assert_int_equal(store.read(store.ctx, &seen, &why), OTA_BOOTLOADER_ERROR);
	assert_contains(why.text, "the variable ota_state cannot be read");
	bootstate_done(&store);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(an_update_lives_in_the_environment_block),
		IN_PLACE(the_state_stands_in_the_first_sector),
		IN_PLACE(a_full_block_is_an_error_and_stays_as_it_is),
		IN_PLACE(what_is_no_environment_block_is_refused),
		IN_PLACE(a_state_that_was_edited_by_hand_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
