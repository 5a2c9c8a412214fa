#include "pack_fixture.h"

#define SEGMENT 65536u
#define BLOCK	4096u

static const struct pack_write_options quick = {.segment_size = SEGMENT, .level = 3};

static void delta_comes_back(struct bytes base, struct bytes image, size_t piece,
			     struct pack_result *ret_result)
{
	struct pack_expected expected;
	struct ota_why why = {0};
	struct bytes pack = fixture_pack(image, base, &quick, ret_result);
	struct fixture_device device = fixture_device(image, base, SEGMENT, &expected);
	if (fixture_read(&device, &expected, pack, piece, &why))
		fail_msg("%s", why.text);
	assert_int_equal(device.right, pack_segment_count(image.size, SEGMENT));
	assert_memory_equal(device.slot.at, image.at, image.size);
	fixture_device_done(&device);
	free(pack.at);
}

static void a_delta_gives_the_image_back(void **state)
{
	static const size_t pieces[] = {1, 513, 65536};
	struct bytes base = fixture_image(500000, 1), image = fixture_later(base);
	struct pack_result result;
	(void)state;
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
		delta_comes_back(base, image, pieces[i], &result);
	assert_true(result.segments[PACK_DELTA] > 0);
	assert_true(result.size < 6000);
	free(image.at);
	free(base.at);
}

static void moved_code_and_its_pointers_cost_next_to_nothing(void **state)
{
	struct bytes base = fixture_code(16384, 0x1000), image = fixture_code(16384, 0x1a40);
	struct pack_result result;
	(void)state;
	delta_comes_back(base, image, 65536, &result);
	assert_true(result.size < 24000); /* 32,768 references have changed */
	free(image.at);
	free(base.at);
}

static void small_and_odd_images_come_back(void **state)
{
	static const size_t sizes[] = {1, 3, 4, 65537, 131073};
	struct pack_result result;
	(void)state;
	for (size_t b = 0; b < 5; b++)
		for (size_t i = 0; i < 5; i++) {
			struct bytes base = fixture_image(sizes[b], 1);
			struct bytes image = fixture_image(sizes[i], i % 2 ? 1 : 2);
			delta_comes_back(base, image, 65536, &result);
			free(image.at);
			free(base.at);
		}
}

static void an_equal_image_costs_less_than_a_chunk_header(void **state)
{
	struct bytes base = fixture_image(3000000, 1);
	struct pack_result result;
	(void)state;
	delta_comes_back(base, base, 65536, &result);
	assert_true(result.size < 250);
	free(base.at);
}

static void noise_costs_its_own_size(void **state)
{
	struct bytes base = fixture_image(300000, 1), image = fixture_image(300000, 1);
	struct pack_result result;
	(void)state;
	fixture_noise(image, 70000, 50000, 9);
	delta_comes_back(base, image, 1000, &result);
	assert_true(result.segments[PACK_DELTA] > 0);

	assert_in_range(result.size, 50000, 50400);
	free(image.at);
	free(base.at);
}

/* Decodes with one block of the base damaged; how many segments come out wrong. */
static uint32_t spoilt_by(struct bytes pack, struct bytes image, struct bytes base,
			  size_t block)
{
	struct pack_expected expected;
	struct ota_why why = {0};
	struct fixture_device device = fixture_device(image, base, SEGMENT, &expected);
	uint8_t good[BLOCK];
	memcpy(good, base.at + block, BLOCK);
	memset(base.at + block, 0xee, BLOCK);
	if (fixture_read(&device, &expected, pack, 65536, &why))
		fail_msg("block at %zu: %s", block, why.text);
	memcpy(base.at + block, good, BLOCK);
	assert_int_equal(device.right + device.wrong, pack_segment_count(image.size, SEGMENT));
	fixture_device_done(&device);
	return device.wrong;
}

/* Each byte of these bases is copied once at most, so a block can lie in two segments. */
static void a_damaged_block_spoils_the_segments_that_copy_it_only(void **state)
{
	struct bytes bases[2] = {fixture_image(1000000, 1), fixture_code(16384, 0x1000)};
	struct bytes images[2] = {fixture_later(bases[0]), fixture_code(16384, 0x1a40)};
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct pack_result result;
		struct bytes pack = fixture_pack(images[i], bases[i], &quick, &result);
		uint32_t spoilt = 0;
		for (size_t at = 0; at + BLOCK <= bases[i].size; at += 17 * BLOCK) {
			uint32_t now = spoilt_by(pack, images[i], bases[i], at);
			assert_in_range(now, 0, 2);
			spoilt += now;
		}
		assert_true(spoilt > 0);
		free(pack.at);
		free(images[i].at);
		free(bases[i].at);
	}
}

/* Bytes of the pack that a device which stopped after `cut` of them asks for a second time. */
static uint64_t fetched_again(struct bytes pack, const struct pack_expected *expected,
			      struct fixture_device *device, uint64_t cut)
{
	struct pack_read_seam seam = {device, fixture_base_read, fixture_segment};
	struct pack_reader *reader = NULL;
	struct ota_why why = {0};
	size_t used = 0;
	uint64_t again = 0;
	assert_int_equal(pack_reader_new(expected, &seam, &reader, &why), OTA_OK);
	assert_int_equal(pack_reader_head(reader, pack.at, pack.size, &used, &why), OTA_OK);
	for (uint32_t i = 0; i < pack_reader_group_count(reader); i++) {
		struct pack_group group = pack_reader_group(reader, i);
		uint32_t before = device->right;
		if (group.offset >= cut)
			break;
		uint64_t there =
			cut - group.offset < group.length ? cut - group.offset : group.length;
		assert_int_equal(pack_reader_begin(reader, i, &why), OTA_OK);
		assert_int_equal(
			pack_reader_feed(reader, pack.at + group.offset, (size_t)there, &why),
			OTA_OK);
		if (device->right - before < group.count)
			again += there;
	}
	pack_reader_free(reader);
	return again;
}

static void check_resume(struct bytes image, struct bytes base)
{
	static const struct pack_write_options usual = {.level = 3};
	struct pack_expected expected;
	struct pack_result result;
	struct bytes pack = fixture_pack(image, base, &usual, &result);
	struct fixture_device device =
		fixture_device(image, base, PACK_SEGMENT_SIZE_DEFAULT, &expected);
	expected.pack_size = pack.size;
	uint64_t worst = 0;
	for (uint64_t cut = 60001; cut < pack.size; cut += 60001) {
		uint64_t again = fetched_again(pack, &expected, &device, cut);
		worst = again > worst ? again : worst;
	}
	assert_true(result.groups > 2);
	assert_in_range(worst, 1, PACK_SEGMENT_SIZE_DEFAULT);
	fixture_device_done(&device);
	free(pack.at);
}

static void an_interrupted_transfer_loses_no_more_than_a_segment(void **state)
{
	struct bytes base = fixture_image(4u << 20, 1), image = fixture_later(base);
	(void)state;
	for (size_t i = 0; i < image.size; i += 20)
		image.at[i] ^= (uint8_t)(i >> 4);
	fixture_noise(image, 2u << 20, 1u << 20, 8);
	check_resume(image, base);
	check_resume(image, (struct bytes){NULL, 0});
	free(image.at);
	free(base.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_delta_gives_the_image_back),
		cmocka_unit_test(moved_code_and_its_pointers_cost_next_to_nothing),
		cmocka_unit_test(small_and_odd_images_come_back),
		cmocka_unit_test(an_equal_image_costs_less_than_a_chunk_header),
		cmocka_unit_test(noise_costs_its_own_size),
		cmocka_unit_test(a_damaged_block_spoils_the_segments_that_copy_it_only),
		cmocka_unit_test(an_interrupted_transfer_loses_no_more_than_a_segment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
