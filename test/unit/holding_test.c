#include "unit.h"

#include "holding.h"

#include <string.h>

#define SEGMENT 65536u
#define SIZE	(3 * SEGMENT + 100)

struct fixture {
	uint8_t image[SIZE], slot[SIZE], index[4 * DIGEST_SIZE];
	struct firmware_component component;
	struct holding holding;
	bool is_unreadable;
	struct slots slots;
};

static enum ota_err read_slot(void *ctx, enum slot_which which, unsigned part, uint64_t offset,
			      void *ret_bytes, size_t len, struct ota_why *why)
{
	struct fixture *fixture = ctx;

	(void)part;
	assert_int_equal(which, SLOT_TARGET);
	assert_true(offset + len <= SIZE);
	if (fixture->is_unreadable && offset == SEGMENT)
		return ota_fail(why, OTA_SLOT_ERROR, "a bad block");
	memcpy(ret_bytes, fixture->slot + offset, len);
	return OTA_OK;
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct ota_why why = {0};

	for (size_t i = 0; i < SIZE; i++)
		fixture->image[i] = (uint8_t)(i * 7 + i / 999);
	for (uint32_t i = 0; i < 4; i++) {
		struct digest digest;

		assert_ok(digest_of(fixture->image + i * SEGMENT, i < 3 ? SEGMENT : 100,
				    &digest, &why),
			  why);
		memcpy(fixture->index + i * DIGEST_SIZE, digest.bytes, DIGEST_SIZE);
	}
	fixture->component = (struct firmware_component){
		.name = "main", .size = SIZE, .segment_size = SEGMENT};
	fixture->component.index.size = sizeof(fixture->index);
	assert_ok(digest_of(fixture->index, sizeof(fixture->index),
			    &fixture->component.index.sha256, &why),
		  why);
	fixture->slots = (struct slots){.ctx = fixture, .read = read_slot};
	assert_ok(holding_init(&fixture->holding, &fixture->component, &why), why);
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	holding_done(&fixture->holding);
	free(fixture);
	return 0;
}

static void take_index(struct fixture *fixture)
{
	struct ota_why why = {0};
	bool is_whole = true;

	assert_ok(holding_take_index(&fixture->holding, fixture->index, 50, &is_whole, &why),
		  why);
	assert_false(is_whole);
	assert_ok(holding_take_index(&fixture->holding, fixture->index + 50,
				     sizeof(fixture->index) - 50, &is_whole, &why),
		  why);
	assert_true(is_whole);
}

static void scan(struct fixture *fixture)
{
	struct ota_why why = {0};

	while (!holding_is_scanned(&fixture->holding))
		assert_ok(holding_scan(&fixture->holding, &fixture->slots, 0, &why), why);
}

static void what_the_slot_holds_is_found_segment_by_segment(void **state)
{
	struct fixture *fixture = *state;

	take_index(fixture);
	memcpy(fixture->slot, fixture->image, SIZE);
	fixture->slot[2 * SEGMENT + 5] ^= 1;
	scan(fixture);
	assert_int_equal(fixture->holding.missing, 1);
	assert_int_equal(fixture->holding.done, SIZE - SEGMENT);
	assert_true(holding_has(&fixture->holding, 3));
	assert_false(holding_has(&fixture->holding, 2));
	for (int i = 0; i < 2; i++) /* twice is once */
		holding_mark(&fixture->holding, 2);
	assert_int_equal(fixture->holding.missing, 0);
	assert_int_equal(fixture->holding.done, SIZE);
}

static void what_cannot_be_read_is_missing(void **state)
{
	struct fixture *fixture = *state;

	take_index(fixture);
	memcpy(fixture->slot, fixture->image, SIZE);
	fixture->is_unreadable = true;
	scan(fixture);
	assert_int_equal(fixture->holding.missing, 1);
	assert_false(holding_has(&fixture->holding, 1));
}

static void an_index_that_is_not_the_signed_one_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why = {0};
	bool is_whole;

	fixture->index[40] ^= 1;
	assert_int_equal(holding_take_index(&fixture->holding, fixture->index,
					    sizeof(fixture->index), &is_whole, &why),
			 OTA_SEGMENT_HASH_MISMATCH);
}

static void a_segment_is_good_with_its_own_hash_and_length_only(void **state)
{
	struct fixture *fixture = *state;

	take_index(fixture);
	assert_true(holding_is_good(&fixture->holding, 0, fixture->image, SEGMENT));
	assert_false(holding_is_good(&fixture->holding, 1, fixture->image, SEGMENT));
	assert_false(holding_is_good(&fixture->holding, 0, fixture->image, SEGMENT - 1));
	assert_true(holding_is_good(&fixture->holding, 3, fixture->image + 3 * SEGMENT, 100));
}

static void impossible_sizes_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct firmware_component component = fixture->component;
	struct holding holding;
	struct ota_why why = {0};

	component.index.size += DIGEST_SIZE;
	assert_int_equal(holding_init(&holding, &component, &why), OTA_SIZE_MISMATCH);
	component = fixture->component;
	component.segment_size = 65535;
	assert_int_equal(holding_init(&holding, &component, &why), OTA_SIZE_MISMATCH);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(what_the_slot_holds_is_found_segment_by_segment),
		FRESH(what_cannot_be_read_is_missing),
		FRESH(an_index_that_is_not_the_signed_one_is_refused),
		FRESH(a_segment_is_good_with_its_own_hash_and_length_only),
		FRESH(impossible_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
