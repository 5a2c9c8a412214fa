#include "unit.h"

#include "place.h"
#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* A pipe with a name stands in for the device: what is written is what it was fed. */
static int make_device(void **state, const char **ret_path)
{
	*ret_path = place_path(*state, "watchdog");
	if (access(*ret_path, F_OK) != 0)
		assert_int_equal(mkfifo(*ret_path, 0600), 0);
	return open(*ret_path, O_RDONLY | O_NONBLOCK);
}

static void assert_fed(int device, const char *bytes, size_t len)
{
	char got[64];
	ssize_t n = read(device, got, sizeof(got));

	if (len == 0) {
		assert_true(n <= 0);
		return;
	}
	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
}

static void it_is_fed_three_times_in_its_time_and_ends_in_good_order(void **state)
{
	struct watchdog watchdog;
	const char *path;
	struct ota_why why;
	int device = make_device(state, &path);

	watchdog_init(&watchdog, path, 30000);
	assert_ok(watchdog_feed(&watchdog, 1000, &why), why);
	assert_fed(device, "", 0);
	assert_ok(watchdog_open(&watchdog, &why), why);
	assert_int_equal(watchdog.every_ms, 10000);
	assert_ok(watchdog_feed(&watchdog, 1000, &why), why);
	assert_ok(watchdog_feed(&watchdog, 1001, &why), why);
	assert_ok(watchdog_feed(&watchdog, 10999, &why), why);
	assert_fed(device, "\0", 1);
	assert_ok(watchdog_feed(&watchdog, 11000, &why), why);
	assert_fed(device, "\0", 1);
	watchdog_close(&watchdog);
	watchdog_close(&watchdog);
	assert_fed(device, "V", 1);
	close(device);
}

static void one_that_is_left_goes_on_without_the_last_word(void **state)
{
	struct watchdog watchdog;
	const char *path;
	struct ota_why why;
	int device = make_device(state, &path);

	assert_ok(watchdog_leave(path, 30000, &why), why);
	assert_fed(device, "\0", 1);
	watchdog_init(&watchdog, path, 30000);
	assert_ok(watchdog_open(&watchdog, &why), why);
	assert_ok(watchdog_feed(&watchdog, 5, &why), why);
	watchdog_abandon(&watchdog);
	assert_fed(device, "\0", 1);
	close(device);
}

static void none_is_fine_and_one_that_is_not_there_is_named(void **state)
{
	struct watchdog watchdog;
	struct ota_why why;

	watchdog_init(&watchdog, NULL, 30000);
	assert_ok(watchdog_open(&watchdog, &why), why);
	assert_ok(watchdog_feed(&watchdog, 1, &why), why);
	watchdog_close(&watchdog);
	watchdog_init(&watchdog, place_path(*state, "nothing"), 30000);
	assert_int_equal(watchdog_open(&watchdog, &why), OTA_IO_ERROR);
	assert_contains(why.text, "/nothing");
	assert_int_equal(why.detail, ENOENT);
	assert_int_equal(watchdog_leave("/nowhere", 1, &why), OTA_IO_ERROR);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(it_is_fed_three_times_in_its_time_and_ends_in_good_order),
		IN_PLACE(one_that_is_left_goes_on_without_the_last_word),
		IN_PLACE(none_is_fine_and_one_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
