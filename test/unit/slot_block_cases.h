/* What two partitions with our boot record do, whoever writes them: includers say how the slots
 * are opened. */
#pragma once

#include "unit.h"

#include "place.h"
#include "slot.h"

#include <errno.h>

#define CALL(slots, verb, ...) (slots)->verb((slots)->ctx, __VA_ARGS__)
#define PARTITION	       8192u

/* Opens two parts, rootfs and kernel, with the record "boot"; what the test's disk says counts.
 */
static void open_with(struct slots *slots, const struct place *place, const struct disk *disk,
		      const enum boot_slot *running);

static inline void block_parts(const struct place *place, struct slot_part parts[2])
{
	static const char *const names[2][2] = {{"rootfs-a", "rootfs-b"},
						{"kernel-a", "kernel-b"}};

	memset(parts, 0, 2 * sizeof(*parts));
	text_copy(parts[0].slot_class, sizeof(parts[0].slot_class), "rootfs");
	text_copy(parts[1].slot_class, sizeof(parts[1].slot_class), "kernel");
	for (unsigned part = 0; part < 2; part++)
		for (unsigned slot = 0; slot < 2; slot++)
			snprintf(parts[part].path[slot], DISK_PATH_SIZE, "%s/%s",
				 place->directory, names[part][slot]);
}

/* The slots themselves. */
static inline void open_block(struct slots *slots, const struct place *place,
			      const struct disk *disk, const enum boot_slot *running)
{
	struct slot_part parts[2];
	struct boot_store store;
	struct ota_why why;

	block_parts(place, parts);
	assert_ok(bootstate_record_open(disk, place_path(place, "boot"), 0, &store, &why), why);
	assert_ok(slot_block_open(disk, parts, 2, running, &store, slots, &why), why);
}

static void fill(const struct place *place, const char *name, char byte)
{
	char bytes[PARTITION];

	memset(bytes, byte, sizeof(bytes));
	place_write(place, name, bytes, sizeof(bytes));
}

static int make_partitions(void **state)
{
	if (place_make(state))
		return -1;
	fill(*state, "rootfs-a", 'r');
	fill(*state, "rootfs-b", 0);
	fill(*state, "kernel-a", 'k');
	fill(*state, "kernel-b", 0);
	return 0;
}

static void put(struct slots *slots, unsigned part, const char *image)
{
	size_t len = strlen(image);
	struct digest digest;
	struct ota_why why;

	assert_ok(digest_of(image, len, &digest, &why), why);
	assert_ok(CALL(slots, begin, part, len, &why), why);
	assert_ok(CALL(slots, write, part, 0, image, len, &why), why);
	assert_ok(CALL(slots, finish, part, &why), why);
	assert_ok(CALL(slots, verify, SLOT_TARGET, part, len, &digest, NULL, &why), why);
}

static void parts_are_found_by_their_class(void **state)
{
	struct slots slots;
	unsigned part = 9;

	open_with(&slots, *state, disk_posix(), NULL);
	assert_true(CALL(&slots, find, "kernel", &part));
	assert_int_equal(part, 1);
	assert_false(CALL(&slots, find, "bootloader", &part));
	slots_done(&slots);
}

static void all_parts_are_armed_or_none(void **state)
{
	struct boot_state boot_state;
	struct slots slots;
	struct ota_why why;

	open_with(&slots, *state, disk_posix(), NULL);
	put(&slots, 0, "rootfs 2");
	assert_int_equal(slots.arm(slots.ctx, 3, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "the part 'kernel' of slot b was not verified");
	put(&slots, 1, "kernel 2");
	assert_ok(slots.arm(slots.ctx, 3, &why), why);
	assert_ok(CALL(&slots, state, &boot_state, &why), why);
	assert_int_equal(boot_state.phase, BOOT_ARMED);
	slots_done(&slots);
}

static void the_running_partition_keeps_its_bytes(void **state)
{
	struct slots slots;
	struct ota_why why;

	open_with(&slots, *state, disk_posix(), NULL);
	put(&slots, 0, "rootfs 2");
	put(&slots, 1, "kernel 2");
	assert_ok(slots.arm(slots.ctx, 3, &why), why);
	char *bytes = unit_read(place_path(*state, "rootfs-a"), NULL);
	for (unsigned i = 0; i < PARTITION; i++)
		assert_int_equal(bytes[i], 'r');
	test_free(bytes);
	bytes = unit_read(place_path(*state, "rootfs-b"), NULL);
	assert_memory_equal(bytes, "rootfs 2\0\0\0", 11);
	test_free(bytes);
	slots_done(&slots);
}

static void an_image_larger_than_the_partition_says_how_much_is_missing(void **state)
{
	struct slots slots;
	struct ota_why why;
	uint64_t capacity;

	open_with(&slots, *state, disk_posix(), NULL);
	assert_ok(CALL(&slots, capacity, 0, &capacity, &why), why);
	assert_int_equal(capacity, PARTITION);
	assert_int_equal(CALL(&slots, begin, 0, PARTITION + 10, &why),
			 OTA_INSUFFICIENT_STORAGE);
	assert_contains(why.text,
			"10 bytes are missing: the image has 8202, the partition 8192");
	slots_done(&slots);
}

static void the_slot_that_the_bootloader_started_is_not_written(void **state)
{
	const enum boot_slot running = BOOT_SLOT_B;
	struct slots slots;
	struct ota_why why;

	/* The boot state says that A runs: then neither may be touched. */
	open_with(&slots, *state, disk_posix(), &running);
	assert_int_equal(slots.running(slots.ctx), BOOT_SLOT_B);
	assert_int_equal(CALL(&slots, begin, 0, 10, &why), OTA_BOOTLOADER_ERROR);
	slots_done(&slots);
}

static int always_in_use(void *ctx, const char *path, char *ret_how, size_t size)
{
	(void)ctx;
	(void)path;
	snprintf(ret_how, size, "it is mounted on /");
	return 1;
}

static void a_mounted_partition_is_not_written(void **state)
{
	struct disk disk = *disk_posix();
	struct slots slots;
	struct ota_why why;

	disk.in_use = always_in_use;
	open_with(&slots, *state, &disk, NULL);
	assert_int_equal(CALL(&slots, begin, 0, 10, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "is in use: it is mounted on /");
	slots_done(&slots);
}

static int b_is_in_use(void *ctx, const char *path, char *ret_how, size_t size)
{
	(void)ctx;
	snprintf(ret_how, size, "it is mounted on /");
	return strstr(path, "rootfs-b") != NULL;
}

/* A revert was written, and the agent started again before the restart came. */
static void the_slot_that_is_mounted_is_the_running_one(void **state)
{
	struct disk disk = *disk_posix();
	struct slots slots;
	struct ota_why why;

	disk.in_use = b_is_in_use;
	open_with(&slots, *state, &disk, NULL);
	assert_int_equal(slots.running(slots.ctx), BOOT_SLOT_B);
	assert_int_equal(CALL(&slots, begin, 0, 10, &why), OTA_BOOTLOADER_ERROR);
	slots_done(&slots);
}

static unsigned syncs;

static int count_sync(void *ctx, int file)
{
	syncs++;
	return disk_posix()->sync_data(ctx, file);
}

static void at_most_a_mebibyte_is_not_on_the_medium(void **state)
{
	static char megabytes[4 << 20];
	struct disk disk = *disk_posix();
	struct slots slots;
	struct ota_why why;

	place_write(*state, "rootfs-a", megabytes, sizeof(megabytes));
	place_write(*state, "rootfs-b", megabytes, sizeof(megabytes));
	disk.sync_data = count_sync;
	open_with(&slots, *state, &disk, NULL);
	assert_ok(CALL(&slots, begin, 0, sizeof(megabytes), &why), why);
	syncs = 0;
	for (unsigned i = 0; i < 16; i++)
		assert_ok(CALL(&slots, write, 0, i * (256u << 10), megabytes, 256u << 10, &why),
			  why);
	assert_int_equal(syncs, 3);
	slots_done(&slots);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_partitions, place_remove)
#define BLOCK_CASES                                                                            \
	IN_PLACE(parts_are_found_by_their_class), IN_PLACE(all_parts_are_armed_or_none),       \
		IN_PLACE(the_running_partition_keeps_its_bytes),                               \
		IN_PLACE(an_image_larger_than_the_partition_says_how_much_is_missing),         \
		IN_PLACE(the_slot_that_the_bootloader_started_is_not_written),                 \
		IN_PLACE(a_mounted_partition_is_not_written),                                  \
		IN_PLACE(the_slot_that_is_mounted_is_the_running_one),                         \
		IN_PLACE(at_most_a_mebibyte_is_not_on_the_medium),
