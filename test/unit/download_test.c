#include "unit.h"

#include "digest.h"
#include "download.h"

enum { SIZE = 10 * 65536 + 5, CHUNKS = 11, WINDOW = 4 };

struct fixture {
	struct blob_shelf shelf;
	struct blob *blob;
	uint8_t *bytes;
	struct download download;
};

static int setup(void **state)
{
	static struct fixture fixture;
	struct ota_why why;
	struct digest digest;

	fixture = (struct fixture){.bytes = malloc(SIZE)};
	for (unsigned i = 0; i < SIZE; i++)
		fixture.bytes[i] = (uint8_t)(i * 7 + i / 65536);
	if (digest_of(fixture.bytes, SIZE, &digest, &why) ||
	    blob_get(&fixture.shelf, &digest, SIZE, &fixture.blob, &why))
		return -1;
	download_start(&fixture.download, fixture.blob, 9);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->bytes);
	blob_shelf_done(&fixture->shelf);
	return 0;
}

static struct chunk chunk_of(const struct fixture *fixture, uint32_t number)
{
	return (struct chunk){.kind = CHUNK_DATA,
			      .transfer = 9,
			      .number = number,
			      .data = fixture->bytes + (size_t)number * 65536,
			      .data_len = number == CHUNKS - 1 ? 5 : 65536};
}

static void take(struct fixture *fixture, uint32_t number, bool expected)
{
	struct chunk chunk = chunk_of(fixture, number);
	struct ota_why why;
	bool is_new;

	assert_ok(download_chunk(&fixture->download, &chunk, &is_new, &why), why);
	assert_int_equal(is_new, expected);
}

static void every_chunk_is_asked_for_once_and_a_window_at_a_time(void **state)
{
	struct fixture *fixture = *state;
	unsigned asked[CHUNKS] = {0};
	struct get get;

	while (!download_is_done(&fixture->download)) {
		while (download_ask(&fixture->download, WINDOW, 1, &get)) {
			for (uint32_t i = 0; i < get.range_count; i++) {
				for (uint32_t n = 0; n < get.ranges[i].count; n++)
					asked[get.ranges[i].first + n]++;
			}
		}
		assert_in_range(fixture->download.outstanding_count, 1, WINDOW);
		take(fixture, fixture->download.outstanding[0].chunk, true);
	}
	for (unsigned i = 0; i < CHUNKS; i++)
		assert_int_equal(asked[i], 1);
	assert_false(fixture->blob->broken);
}

static void a_lost_chunk_is_asked_for_again(void **state)
{
	struct fixture *fixture = *state;
	struct get get;

	assert_true(download_ask(&fixture->download, WINDOW, 1000, &get));
	take(fixture, 0, true);
	take(fixture, 2, true);
	take(fixture, 3, true);
	assert_int_equal(download_expire(&fixture->download, 1500, 1000), 0);
	assert_int_equal(download_due(&fixture->download, 1000), 2000);
	assert_int_equal(download_expire(&fixture->download, 2000, 1000), 1);
	assert_true(download_ask(&fixture->download, WINDOW, 2000, &get));
	assert_int_equal(get.ranges[0].first, 1);
	assert_int_equal(get.ranges[0].count, 1);
	take(fixture, 1, true);
	take(fixture, 1, false);
}

static void after_a_wait_nothing_is_asked_until_its_time(void **state)
{
	struct fixture *fixture = *state;
	struct get get;

	assert_true(download_ask(&fixture->download, WINDOW, 1000, &get));
	download_wait(&fixture->download, 1300);
	assert_false(download_ask(&fixture->download, WINDOW, 1299, &get));
	assert_int_equal(download_due(&fixture->download, 1000), 1300);
	assert_true(download_ask(&fixture->download, WINDOW, 1300, &get));
	assert_int_equal(get.ranges[0].first, 0);
	assert_int_equal(get.ranges[0].count, WINDOW);
}

static void a_chunk_of_another_transfer_does_not_count(void **state)
{
	struct fixture *fixture = *state;
	struct get get;

	assert_true(download_ask(&fixture->download, WINDOW, 1, &get));
	download_resume(&fixture->download, 10);
	take(fixture, 0, false);
	assert_int_equal(fixture->download.got, 0);
}

static void a_chunk_that_differs_from_the_first_one_is_an_error(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;
	struct chunk chunk = chunk_of(fixture, 3);

	assert_ok(blob_take(fixture->blob, 3, chunk.data, chunk.data_len, &why), why);
	assert_int_equal(blob_take(fixture->blob, 3, fixture->bytes, chunk.data_len, &why),
			 OTA_SEGMENT_HASH_MISMATCH);
	assert_int_equal(blob_take(fixture->blob, 3, chunk.data, 7, &why), OTA_SIZE_MISMATCH);
	assert_int_equal(blob_take(fixture->blob, CHUNKS, chunk.data, 5, &why),
			 OTA_SIZE_MISMATCH);
}

static void a_whole_blob_with_the_wrong_digest_is_an_error(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;
	enum ota_err err = OTA_OK;

	fixture->bytes[12345] ^= 1;
	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct chunk chunk = chunk_of(fixture, i);
		err = blob_take(fixture->blob, i, chunk.data, chunk.data_len, &why);
	}
	assert_int_equal(err, OTA_IMAGE_HASH_MISMATCH);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(every_chunk_is_asked_for_once_and_a_window_at_a_time),
		WITH_FIXTURE(a_lost_chunk_is_asked_for_again),
		WITH_FIXTURE(after_a_wait_nothing_is_asked_until_its_time),
		WITH_FIXTURE(a_chunk_of_another_transfer_does_not_count),
		WITH_FIXTURE(a_chunk_that_differs_from_the_first_one_is_an_error),
		WITH_FIXTURE(a_whole_blob_with_the_wrong_digest_is_an_error),
	};

	return cmocka_run_group_tests_name("download", tests, NULL, NULL);
}
