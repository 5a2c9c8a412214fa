#include "slot_block_cases.h"

static void open_with(struct slots *slots, const struct place *place, const struct disk *disk,
		      const enum boot_slot *running)
{
	open_block(slots, place, disk, running);
}

static void a_missing_partition_is_named(void **state)
{
	struct slot_part part = {.slot_class = "rootfs", .path = {"/nowhere/a", "/nowhere/b"}};
	struct boot_store store;
	struct slots slots;
	struct ota_why why;

	assert_ok(bootstate_record_open(disk_posix(), place_path(*state, "boot"), 0, &store,
					&why),
		  why);
	assert_int_equal(slot_block_open(disk_posix(), &part, 1, NULL, &store, &slots, &why),
			 OTA_SLOT_ERROR);
	assert_contains(why.text, "/nowhere/a");
	assert_int_equal(why.detail, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLOCK_CASES IN_PLACE(a_missing_partition_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
