#include "unit.h"

#include "file.h"
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct place {
	char directory[64], path[128];
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *base = getenv("TMPDIR");

	snprintf(place->directory, sizeof(place->directory), "%.40s/file_test.XXXXXX",
		 base ? base : "/tmp");
	if (!mkdtemp(place->directory))
		return -1;
	snprintf(place->path, sizeof(place->path), "%s/thing", place->directory);
	*state = place;
	return 0;
}

static int remove_place(void **state)
{
	static const char *const names[] = {"thing", "thing.new", "a/b/c", "a/b", "a"};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", place->directory, names[i]);
		remove(path);
	}
	int failed = rmdir(place->directory);

	free(place);
	return failed;
}

static void what_is_replaced_is_read_back(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	struct stat stat_;

	for (int round = 0; round < 2; round++) {
		AUTO_FREE char *bytes = NULL;
		size_t len = 0;

		assert_ok(file_replace(place->path, round ? "b" : "a\0c", round ? 1 : 3, 0600,
				       &why),
			  why);
		assert_ok(file_read(place->path, 100, &bytes, &len, &why), why);
		assert_int_equal(len, round ? 1 : 3);
		assert_memory_equal(bytes, round ? "b" : "a\0c", len + 1);
	}
	assert_int_equal(stat(place->path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
}

static void a_leftover_of_a_crash_is_no_obstacle(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char leftover[160];

	snprintf(leftover, sizeof(leftover), "%s.new", place->path);
	AUTO_CLOSE int fd = open(leftover, O_CREAT | O_WRONLY, 0400);

	assert_true(fd >= 0);
	assert_ok(file_replace(place->path, "x", 1, 0644, &why), why);
	assert_int_equal(access(leftover, F_OK), -1);
}

static void a_link_in_the_way_is_not_followed(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char leftover[160], target[160];
	struct stat stat_;

	snprintf(leftover, sizeof(leftover), "%s.new", place->path);
	snprintf(target, sizeof(target), "%s/elsewhere", place->directory);
	assert_int_equal(symlink(target, leftover), 0);
	assert_ok(file_replace(place->path, "x", 1, 0644, &why), why);
	assert_int_equal(stat(target, &stat_), -1);
}

static void a_full_disk_is_insufficient_storage(void **state)
{
	(void)state;
	struct ota_why why;
	AUTO_CLOSE int fd = open("/dev/full", O_WRONLY);

	assert_int_equal(file_write_all(fd, "x", 1, &why), OTA_INSUFFICIENT_STORAGE);
	assert_int_equal(why.detail, ENOSPC);
}

static void a_missing_directory_names_the_path(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char path[160];

	snprintf(path, sizeof(path), "%s/none/x", place->directory);
	assert_int_equal(file_replace(path, "x", 1, 0644, &why), OTA_IO_ERROR);
	assert_contains(why.text, path);
	assert_int_equal(why.detail, ENOENT);
}

static void a_missing_file_is_not_found(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char *bytes = NULL;
	size_t len = 7;

	assert_int_equal(file_read(place->path, 10, &bytes, &len, &why), OTA_NOT_FOUND);
	assert_contains(why.text, place->path);
	assert_null(bytes);
	assert_int_equal(len, 7);
}

static void more_than_the_limit_is_too_large(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char *bytes = NULL;
	size_t len = 0;

	assert_ok(file_replace(place->path, "12345", 5, 0644, &why), why);
	assert_int_equal(file_read(place->path, 4, &bytes, &len, &why), OTA_TOO_LARGE);
	assert_null(bytes);
	assert_ok(file_read(place->path, 5, &bytes, &len, &why), why);
	free(bytes);
	bytes = NULL;
	assert_int_equal(file_read("/dev/zero", 4096, &bytes, &len, &why), OTA_TOO_LARGE);
	assert_null(bytes);
}

static void a_file_without_a_size_is_read_too(void **state)
{
	(void)state;
	struct ota_why why;
	AUTO_FREE char *bytes = NULL;
	size_t len = 0;

	assert_ok(file_read("/proc/self/status", 65536, &bytes, &len, &why), why);
	assert_true(len > 100);
	assert_contains(bytes, "file_test");
}

static void a_directory_is_not_a_file(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char *bytes = NULL;
	size_t len = 0;

	assert_int_equal(file_read(place->directory, 65536, &bytes, &len, &why), OTA_IO_ERROR);
	assert_null(bytes);
}

static void offsets_beyond_four_gigabytes_work(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char back[4] = "";
	AUTO_CLOSE int fd = open(place->path, O_CREAT | O_RDWR, 0600);
	const uint64_t far = (UINT64_C(1) << 32) + 5;

	assert_ok(file_pwrite_all(fd, "far", 3, far, &why), why);
	assert_ok(file_pread_all(fd, back, 3, far, &why), why);
	assert_string_equal(back, "far");
	assert_int_equal(file_pread_all(fd, back, 4, far, &why), OTA_SIZE_MISMATCH);
	assert_int_equal(file_pread_all(fd, back, 4, UINT64_MAX, &why), OTA_TOO_LARGE);
	assert_int_equal(file_pwrite_all(fd, back, 4, UINT64_MAX - 3, &why), OTA_TOO_LARGE);
}

static void directories_are_made_with_their_parents(void **state)
{
	struct place *place = *state;
	struct ota_why why;
	char path[160];
	struct stat stat_;

	snprintf(path, sizeof(path), "%s/a/b/c", place->directory);
	assert_ok(file_make_directory(path, 0700, &why), why);
	assert_ok(file_make_directory(path, 0700, &why), why);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0700);
	assert_ok(file_sync_directory(path, &why), why);
	assert_ok(file_replace(place->path, "x", 1, 0644, &why), why);
	assert_int_equal(file_make_directory(place->path, 0700, &why), OTA_IO_ERROR);
	assert_int_equal(file_make_directory("", 0700, &why), OTA_IO_ERROR);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_replaced_is_read_back),
		TEST(a_leftover_of_a_crash_is_no_obstacle),
		TEST(a_link_in_the_way_is_not_followed),
		TEST(a_full_disk_is_insufficient_storage),
		TEST(a_missing_directory_names_the_path),
		TEST(a_missing_file_is_not_found),
		TEST(more_than_the_limit_is_too_large),
		TEST(a_file_without_a_size_is_read_too),
		TEST(a_directory_is_not_a_file),
		TEST(offsets_beyond_four_gigabytes_work),
		TEST(directories_are_made_with_their_parents),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
