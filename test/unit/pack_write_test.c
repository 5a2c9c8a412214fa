#include "pack_fixture.h"

static const struct bytes no_base = {NULL, 0};

static void round_trip(struct bytes image, const struct pack_write_options *options,
		       size_t piece, struct pack_result *ret_result)
{
	struct pack_expected expected;
	uint32_t segment_size = options && options->segment_size ? options->segment_size
								 : PACK_SEGMENT_SIZE_DEFAULT;
	struct ota_why why = {0};
	struct bytes pack = fixture_pack(image, no_base, options, ret_result);
	struct fixture_device device = fixture_device(image, no_base, segment_size, &expected);
	if (fixture_read(&device, &expected, pack, piece, &why))
		fail_msg("%s", why.text);
	assert_int_equal(device.right, pack_segment_count(image.size, segment_size));
	assert_int_equal(device.wrong, 0);
	assert_memory_equal(device.slot.at, image.at, image.size);
	fixture_device_done(&device);
	free(pack.at);
}

static void an_image_comes_back_as_it_was(void **state)
{
	static const size_t sizes[] = {1,      2,      65535,  65536,  65537,
				       262143, 262144, 262145, 3000017};
	static const size_t pieces[] = {1, 4096, 65536, 1 << 20};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct bytes image = fixture_image(sizes[i], 7);
		for (uint32_t size = PACK_SEGMENT_SIZE_MIN; size <= PACK_SEGMENT_SIZE_MAX;
		     size *= 4) {
			struct pack_write_options options = {.segment_size = size, .level = 3};
			struct pack_result result;
			round_trip(image, &options, pieces[i % 4], &result);
		}
		free(image.at);
	}
}

static void each_group_takes_its_smallest_encoding(void **state)
{
	struct bytes image = fixture_image(5u << 20, 3);
	struct pack_write_options options = {.level = 5};
	struct pack_result result;
	(void)state;
	memset(image.at + (1u << 20), 0, 2u << 20);
	fixture_noise(image, 3u << 20, 2u << 20, 99);
	round_trip(image, &options, 65536, &result);
	assert_int_equal(result.segments[PACK_ZSTD], 4);
	assert_int_equal(result.segments[PACK_ZERO], 8);
	assert_int_equal(result.segments[PACK_RAW], 8);
	assert_true(result.size < (5u << 19) + (2u << 20));
	free(image.at);
}

static void an_image_of_zeros_costs_one_group(void **state)
{
	struct bytes image = {calloc(1, 3000000), 3000000};
	struct pack_result result;
	(void)state;
	round_trip(image, NULL, 65536, &result);
	assert_int_equal(result.size, PACK_HEADER_SIZE + PACK_GROUP_ENTRY_SIZE);
	free(image.at);
}

static void the_largest_segments_of_noise_stay_within_a_group(void **state)
{
	struct bytes image = fixture_image(3u << 20, 3);
	struct pack_write_options options = {.segment_size = 1u << 20, .level = 1};
	struct pack_result result;
	(void)state;
	fixture_noise(image, 0, image.size, 5);
	round_trip(image, &options, 65536, &result);
	assert_int_equal(result.groups, 3);
	assert_int_equal(result.segments[PACK_RAW], 3);
	free(image.at);
}

static void threads_do_not_change_the_bytes(void **state)
{
	struct bytes image = fixture_image(20u << 20, 11);
	struct pack_write_options one = {.level = 1, .threads = 1};
	struct pack_write_options two = {.level = 1, .threads = 2};
	struct pack_result of_one, of_two;
	(void)state;
	free(fixture_pack(image, no_base, &one, &of_one).at);
	free(fixture_pack(image, no_base, &two, &of_two).at);
	assert_true(digest_equal(&of_one.digest, &of_two.digest));
	free(image.at);
}

static void the_result_names_the_file(void **state)
{
	struct bytes image = fixture_image(700000, 1);
	struct pack_result result;
	struct digest digest;
	(void)state;
	struct bytes pack = fixture_pack(image, no_base, NULL, &result);
	assert_int_equal(digest_of(pack.at, pack.size, &digest, NULL), OTA_OK);
	assert_true(digest_equal(&digest, &result.digest));
	free(pack.at);
	free(image.at);
}

static bool stop_at_once(void *ctx, struct pack_stage_progress progress)
{
	uint64_t *total = ctx;
	*total = progress.total;
	return false;
}

static void it_can_be_stopped(void **state)
{
	uint64_t total = 0;
	struct bytes image = fixture_image(100000, 1);
	struct pack_image as_image = {image.at, image.size};
	struct pack_write_options options = {.progress = stop_at_once, .ctx = &total};
	struct pack_result result;
	struct ota_why why;
	AUTO_CLOSE int fd = memfd_create("pack", 0);
	(void)state;
	assert_int_equal(pack_write(&as_image, NULL, &options, fd, &result, &why), OTA_BUSY);
	assert_string_equal(why.text, "making the pack was stopped");
	assert_int_equal(total, image.size);
	free(image.at);
}

static void sizes_that_no_manifest_may_have_are_refused(void **state)
{
	struct pack_image none = {(const uint8_t *)"x", 0}, some = {(const uint8_t *)"x", 1};
	struct pack_write_options options = {.segment_size = 100000};
	struct pack_result result;
	struct pack_index index;
	struct ota_why why;
	AUTO_CLOSE int fd = memfd_create("pack", 0);
	(void)state;
	assert_int_equal(pack_write(&none, NULL, NULL, fd, &result, &why), OTA_SIZE_MISMATCH);
	assert_int_equal(pack_write(&some, NULL, &options, fd, &result, &why),
			 OTA_SIZE_MISMATCH);
	assert_int_equal(pack_index_make(&some, 100000, NULL, &index, &why), OTA_SIZE_MISMATCH);
}

static void an_index_holds_each_segments_hash(void **state)
{
	struct bytes image = fixture_image(600000, 4);
	struct pack_image as_image = {image.at, image.size};
	struct pack_index index;
	struct digest digest;
	(void)state;
	assert_int_equal(pack_index_make(&as_image, 0, NULL, &index, NULL), OTA_OK);
	assert_int_equal(index.size, 3 * DIGEST_SIZE);
	assert_int_equal(index.segment_size, PACK_SEGMENT_SIZE_DEFAULT);
	assert_int_equal(digest_of(image.at + 524288, 600000 - 524288, &digest, NULL), OTA_OK);
	assert_memory_equal(index.bytes + 64, digest.bytes, DIGEST_SIZE);
	assert_int_equal(digest_of(index.bytes, index.size, &digest, NULL), OTA_OK);
	assert_true(digest_equal(&index.digest, &digest));
	pack_index_done(&index);
	free(image.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_comes_back_as_it_was),
		cmocka_unit_test(each_group_takes_its_smallest_encoding),
		cmocka_unit_test(an_image_of_zeros_costs_one_group),
		cmocka_unit_test(the_largest_segments_of_noise_stay_within_a_group),
		cmocka_unit_test(threads_do_not_change_the_bytes),
		cmocka_unit_test(the_result_names_the_file),
		cmocka_unit_test(it_can_be_stopped),
		cmocka_unit_test(sizes_that_no_manifest_may_have_are_refused),
		cmocka_unit_test(an_index_holds_each_segments_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
