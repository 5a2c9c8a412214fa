/* What concerns many devices goes on a slice at a time, and ends as if it had been done at
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

static void begin(struct world *world, unsigned devices)
{
	world_start(world);
	world_firmware(world, "2.0.0");
	world_fleet(world, "gw", devices, true);
}

static void slice(struct world *world, uint32_t devices)
{
	world->limits.slice = devices;
	world_settle(world);
	world_restart_broker(world);
}

static void retry_goes_through_a_large_fleet_in_slices(void **unused)
{
	struct world w;
	char after[NAME_SIZE] = "";
	struct engine_error errors[2];
	uint32_t retried = 0;
	unsigned slices = 0;
	bool more = true;

	(void)unused;
	begin(&w, 20);
	world_let_fail(&w, 7, 14, OTA_HEALTH_CHECK_FAILED);
	world_release(&w, (struct release_spec){.version = "2.0.0", .mode = RELEASE_FAST});
	for (unsigned i = 0; i < 3; i++) {
		world_work(&w, UPDATE_NONE);
		(void)!world_act(&w, 1, RELEASE_ACT_RESUME);
	}
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_FAILED), 7);
	slice(&w, 7);
	for (unsigned i = 0; i < 20; i++)
		w.devices[i].fails_in = UPDATE_NONE;
	while (more) {
		uint32_t before = retried;
		assert_int_equal(engine_release_retry(w.engine, "lamp", 1, after, &retried,
						      &more, &w.why),
				 OTA_OK);
		assert_int_equal(retried - before, slices == 1 ? 7 : 0);
		slices++;
		world_check(&w);
	}
	assert_int_equal(slices, 3);
	assert_int_equal(retried, 7);
	assert_int_equal(engine_release_errors(world_see(&w, 1), errors, 2), 1);
	assert_int_equal(errors[0].count, 7); /* why it is tried again is still told */
	for (unsigned i = 0; i < 20; i++)
		world_connect(&w, &w.devices[i]);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 20);
	assert_int_equal(engine_release_errors(world_see(&w, 1), errors, 2), 0);
	world_stop(&w);
}

static void group_is_deleted_in_slices_and_only_when_no_release_names_it(void **unused)
{
	struct world w;
	char after[NAME_SIZE] = "";
	unsigned slices = 1;
	bool more = true;

	(void)unused;
	begin(&w, 10);
	slice(&w, 4);
	for (unsigned i = 0; i < 10; i += 2)
		world_group(&w, "beta", w.devices[i].id);
	assert_int_equal(product_group(engine_product(w.engine, "lamp"), "beta")->member_count,
			 5);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.kind = RELEASE_TO_GROUP,
						.name = "beta"});
	assert_int_equal(engine_group_delete(w.engine, "lamp", "beta", after, &more, &w.why),
			 OTA_CONFLICT);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ABORT), OTA_OK);
	for (; more; slices++)
		assert_int_equal(
			engine_group_delete(w.engine, "lamp", "beta", after, &more, &w.why),
			OTA_OK);
	assert_true(slices > 3);
	assert_null(product_group(engine_product(w.engine, "lamp"), "beta"));
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(engine_device(w.engine, w.devices[i].id)->group_count, 0);
	world_settle(&w);
	world_restart_broker(&w);
	assert_null(product_group(engine_product(w.engine, "lamp"), "beta"));
	world_stop(&w);
}

static void pages_go_on_where_the_one_before_stopped_looking(void **unused)
{
	struct world w;
	struct device_filter filter = {.search = "odd"};
	const struct device *found[4];
	char after[NAME_SIZE] = "";
	unsigned count = 0, looks = 0;
	bool more = true;

	(void)unused;
	begin(&w, 9);
	slice(&w, 4);
	world_device(&w, "odd1");
	world_device(&w, "a-odd");
	for (; more; looks++)
		count += engine_devices(w.engine, &filter, after, found, 4, &more);
	assert_int_equal(count, 2);
	assert_string_equal(found[0]->id, "odd1");
	assert_true(looks >= 3);
	world_stop(&w);
}

static void dry_run_adds_up_over_its_slices(void **unused)
{
	struct world w;
	struct release_spec spec = {.version = "2.0.0"};
	struct plan at_once, sliced;
	enum engine_answer answer;

	(void)unused;
	begin(&w, 11);
	assert_int_equal(engine_device_deny(w.engine, "gw0004", &answer, &w.why), OTA_OK);
	assert_int_equal(world_plan(&w, &spec, &at_once), OTA_OK);
	slice(&w, 3);
	assert_int_equal(world_plan(&w, &spec, &sliced), OTA_OK);
	assert_int_equal(sliced.targeted, 10);
	assert_int_equal(sliced.skips[REASON_DENIED].count, 1);
	assert_memory_equal(&sliced, &at_once, sizeof(sliced));
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_goes_through_a_large_fleet_in_slices),
		cmocka_unit_test(group_is_deleted_in_slices_and_only_when_no_release_names_it),
		cmocka_unit_test(pages_go_on_where_the_one_before_stopped_looking),
		cmocka_unit_test(dry_run_adds_up_over_its_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
