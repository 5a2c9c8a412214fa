#include "unit.h"

#include "place.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>

#define MAGIC 0x12345678u

static enum record_found open_record(struct record *record, const struct disk *disk,
				     const struct place *place, uint64_t *value)
{
	enum record_found found;
	struct ota_why why;

	assert_ok(record_open(record, disk, place_path(place, "record"), 0, MAGIC, value,
			      sizeof(*value), &found, &why),
		  why);
	return found;
}

static void put(struct record *record, uint64_t value)
{
	struct ota_why why;

	assert_ok(record_write(record, &value, &why), why);
}

/* Overwrites `len` bytes of one copy. */
static void damage(const struct place *place, unsigned copy, unsigned at, size_t len)
{
	FILE *file = fopen(place_path(place, "record"), "r+b");

	assert_non_null(file);
	assert_int_equal(fseek(file, (long)(copy * RECORD_BLOCK + at), SEEK_SET), 0);
	while (len-- > 0)
		assert_int_equal(fputc(0x5a, file), 0x5a);
	assert_int_equal(fclose(file), 0);
}

static void a_new_record_holds_the_given_value(void **state)
{
	struct record record;
	uint64_t value = 7;

	assert_int_equal(open_record(&record, disk_posix(), *state, &value), RECORD_NEW);
	assert_int_equal(value, 7);
	record_done(&record);
	value = 0;
	assert_int_equal(open_record(&record, disk_posix(), *state, &value), RECORD_FOUND);
	assert_int_equal(value, 7);
	record_done(&record);
}

static void the_newest_value_is_found_after_each_write(void **state)
{
	struct record record;
	uint64_t value = 0;

	open_record(&record, disk_posix(), *state, &value);
	for (uint64_t i = 1; i <= 5; i++) {
		put(&record, i * 11);
		record_done(&record);
		assert_int_equal(open_record(&record, disk_posix(), *state, &value),
				 RECORD_FOUND);
		assert_int_equal(value, i * 11);
	}
	record_done(&record);
}

static void a_damaged_newest_copy_gives_the_one_before(void **state)
{
	/* The first write of a new record goes to copy 1, the second to copy 0. */
	static const unsigned places[] = {0, 4, 8, 16, 24, 28, 32, 39};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct record record;
		uint64_t value = 1;
		open_record(&record, disk_posix(), *state, &value);
		put(&record, 2);
		put(&record, 3);
		record_done(&record);
		damage(*state, 0, places[i], 1);
		assert_int_equal(open_record(&record, disk_posix(), *state, &value),
				 RECORD_FOUND);
		assert_int_equal(value, 2);
		record_done(&record);
		unlink(place_path(*state, "record"));
	}
}

static void two_damaged_copies_are_lost_and_the_next_write_heals(void **state)
{
	struct record record;
	uint64_t value = 1;

	open_record(&record, disk_posix(), *state, &value);
	put(&record, 2);
	record_done(&record);
	damage(*state, 0, 0, 64);
	damage(*state, 1, 0, 64);
	value = 99;
	assert_int_equal(open_record(&record, disk_posix(), *state, &value), RECORD_LOST);
	assert_int_equal(value, 99);
	put(&record, 5);
	record_done(&record);
	assert_int_equal(open_record(&record, disk_posix(), *state, &value), RECORD_FOUND);
	assert_int_equal(value, 5);
	record_done(&record);
}

static void a_record_of_another_kind_is_not_read(void **state)
{
	struct record record;
	enum record_found found;
	struct ota_why why;
	uint64_t value = 1;

	open_record(&record, disk_posix(), *state, &value);
	record_done(&record);
	assert_ok(record_open(&record, disk_posix(), place_path(*state, "record"), 0, MAGIC + 1,
			      &value, sizeof(value), &found, &why),
		  why);
	assert_int_equal(found, RECORD_LOST);
	record_done(&record);
}

/* A disk whose syncs fail while `failing`. */
static bool failing;

static int sync_that_fails(void *ctx, int file)
{
	return failing ? -EIO : disk_posix()->sync_data(ctx, file);
}

static void failed_writes_never_touch_the_good_copy(void **state)
{
	struct disk disk = *disk_posix();
	struct record record;
	struct ota_why why;
	uint64_t value = 1;

	disk.sync_data = sync_that_fails;
	failing = false;
	open_record(&record, &disk, *state, &value);
	put(&record, 2);
	failing = true;
	for (uint64_t i = 3; i < 7; i++)
		assert_int_equal(record_write(&record, &i, &why), OTA_IO_ERROR);
	assert_int_equal(why.detail, EIO);
	failing = false;
	record_done(&record);
	/* All tries went to the same copy: without it the last good value is there. */
	damage(*state, 0, 0, 64);
	assert_int_equal(open_record(&record, &disk, *state, &value), RECORD_FOUND);
	assert_int_equal(value, 2);
	record_done(&record);
}

static void the_sequence_goes_on_behind_a_failed_write(void **state)
{
	struct disk disk = *disk_posix();
	struct record record;
	struct ota_why why;
	uint64_t value = 1, failed = 2;

	disk.sync_data = sync_that_fails;
	failing = false;
	open_record(&record, &disk, *state, &value);
	failing = true;
	assert_int_equal(record_write(&record, &failed, &why), OTA_IO_ERROR);
	failing = false;
	put(&record, 3);
	record_done(&record);
	open_record(&record, &disk, *state, &value);
	assert_int_equal(value, 3);
	record_done(&record);
}

static void a_raw_place_is_used_at_its_offset(void **state)
{
	static const uint8_t zeros[5 * RECORD_BLOCK];
	struct record record;
	enum record_found found;
	struct ota_why why;
	uint64_t value = 1;

	place_write(*state, "raw", zeros, sizeof(zeros));
	assert_ok(record_open(&record, disk_posix(), place_path(*state, "raw"),
			      2 * RECORD_BLOCK, MAGIC, &value, sizeof(value), &found, &why),
		  why);
	assert_int_equal(found, RECORD_LOST);
	put(&record, 8);
	put(&record, 9);
	record_done(&record);
	char *bytes = unit_read(place_path(*state, "raw"), NULL);
	assert_memory_equal(bytes, zeros, 2 * RECORD_BLOCK);
	assert_memory_equal(bytes + 4 * RECORD_BLOCK, zeros, RECORD_BLOCK);
	test_free(bytes);
	assert_ok(record_open(&record, disk_posix(), place_path(*state, "raw"),
			      2 * RECORD_BLOCK, MAGIC, &value, sizeof(value), &found, &why),
		  why);
	assert_int_equal(value, 9);
	record_done(&record);
}

/* Where only reading is allowed. */
static int open_read_only(void *ctx, const char *path, int flags, mode_t mode)
{
	return (flags & O_ACCMODE) == O_RDONLY ? disk_posix()->open(ctx, path, flags, mode)
					       : -EROFS;
}

static void a_read_only_record_is_read_and_written_once_it_may_be(void **state)
{
	struct disk disk = *disk_posix();
	struct record record;
	struct ota_why why;
	uint64_t value = 4;

	open_record(&record, &disk, *state, &value);
	record_done(&record);
	disk.open = open_read_only;
	value = 0;
	assert_int_equal(open_record(&record, &disk, *state, &value), RECORD_FOUND);
	assert_int_equal(value, 4);
	assert_int_equal(record_write(&record, &value, &why), OTA_IO_ERROR);
	assert_int_equal(why.detail, EROFS);
	disk.open = disk_posix()->open; /* mounted for writing again */
	value = 5;
	assert_ok(record_write(&record, &value, &why), why);
	record_done(&record);
	value = 0;
	assert_int_equal(open_record(&record, &disk, *state, &value), RECORD_FOUND);
	assert_int_equal(value, 5);
	record_done(&record);
}

static void the_checksum_is_castagnolis(void **state)
{
	/* RFC 3720, appendix B.4 */
	uint8_t bytes[32] = {0};

	(void)state;
	assert_int_equal(record_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(record_crc32c(0, bytes, 32), 0x62a8ab43);
	assert_int_equal(record_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(record_crc32c(record_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(a_new_record_holds_the_given_value),
		IN_PLACE(the_newest_value_is_found_after_each_write),
		IN_PLACE(a_damaged_newest_copy_gives_the_one_before),
		IN_PLACE(two_damaged_copies_are_lost_and_the_next_write_heals),
		IN_PLACE(a_record_of_another_kind_is_not_read),
		IN_PLACE(failed_writes_never_touch_the_good_copy),
		IN_PLACE(the_sequence_goes_on_behind_a_failed_write),
		IN_PLACE(a_raw_place_is_used_at_its_offset),
		IN_PLACE(a_read_only_record_is_read_and_written_once_it_may_be),
		cmocka_unit_test(the_checksum_is_castagnolis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
