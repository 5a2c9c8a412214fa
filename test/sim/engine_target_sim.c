/* Which firmware is a device's target, and what happens to it when that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <stdio.h>
#include <string.h>

static const bool yes = true, no = false;

static void change(struct world *world, const char *id, struct device_change to)
{
	assert_int_equal(engine_device_set(world->engine, id, &to, &world->why), OTA_OK);
	world_settle(world);
}

static uint64_t target(const struct world *world, const char *id)
{
	const struct device *device = engine_device(world->engine, id);

	return device->target ? device->target->document.number : 0;
}

static void product_default_is_the_last_choice_and_the_highest_group_before_it(void **unused)
{
	struct world w;

	(void)unused;
	world_begin(&w);
	world_device(&w, "gw1");
	world_group(&w, "alpha", "gw1");
	world_group(&w, "beta", "gw1");
	world_group(&w, "gamma", NULL);
	assert_int_equal(world_fast_to(&w, "1.4.0", RELEASE_TO_PRODUCT, NULL), 1);
	assert_int_equal(target(&w, "gw1"), 1);
	world_fast_to(&w, "1.2.0", RELEASE_TO_GROUP, "alpha");
	assert_int_equal(target(&w, "gw1"), 2);
	world_fast_to(&w, "1.10.0", RELEASE_TO_GROUP, "beta");
	assert_int_equal(target(&w, "gw1"), 3);
	world_fast_to(&w, "1.3.0", RELEASE_TO_GROUP, "alpha"); /* newer, but a lower version */
	assert_int_equal(target(&w, "gw1"), 3);
	world_fast_to(&w, "1.4.0", RELEASE_TO_GROUP, "gamma"); /* not its group */
	assert_int_equal(target(&w, "gw1"), 3);
	assert_int_equal(world_act(&w, 3, RELEASE_ACT_ABORT), OTA_OK);
	assert_int_equal(target(&w, "gw1"), 4);
	assert_int_equal(world_act(&w, 4, RELEASE_ACT_ABORT), OTA_OK);
	assert_int_equal(target(&w, "gw1"), 1);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ABORT), OTA_OK);
	assert_int_equal(target(&w, "gw1"), 0);
	world_check(&w);
	world_stop(&w);
}

static void of_two_groups_with_the_same_version_the_newer_release_is_taken(void **unused)
{
	struct world w;

	(void)unused;
	world_begin(&w);
	world_device(&w, "gw1");
	world_group(&w, "alpha", "gw1");
	world_group(&w, "beta", "gw1");
	world_fast_to(&w, "1.2.0", RELEASE_TO_GROUP, "alpha");
	assert_int_equal(target(&w, "gw1"), 1);
	world_fast_to(&w, "1.2.0", RELEASE_TO_GROUP, "beta");
	assert_int_equal(target(&w, "gw1"), 2);
	world_fast_to(&w, "1.1.0", RELEASE_TO_GROUP, "alpha");
	assert_int_equal(target(&w, "gw1"), 2);
	world_stop(&w);
}

static void pin_takes_only_its_version_and_unpinning_goes_back(void **unused)
{
	struct world w;
	struct sim_device *device;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	world_group(&w, "alpha", "gw1");
	world_fast_to(&w, "1.2.0", RELEASE_TO_GROUP, "alpha");
	change(&w, "gw1", (struct device_change){.pin = "1.1.0"});
	assert_int_equal(target(&w, "gw1"), 0);
	assert_int_equal(world_state(&w, device, 1), UPDATE_REMOVED);
	assert_string_equal(world_why(&w, device), "pin_waits");
	world_fast_to(&w, "1.1.0", RELEASE_TO_DEVICE, "gw1");
	assert_int_equal(target(&w, "gw1"), 2);
	change(&w, "gw1", (struct device_change){.pin = ""});
	assert_int_equal(target(&w, "gw1"), 2); /* made for it: before the group's */
	assert_int_equal(world_act(&w, 2, RELEASE_ACT_ABORT), OTA_OK);
	assert_int_equal(target(&w, "gw1"), 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_TARGETED);
	world_check(&w);
	world_stop(&w);
}

static void pin_outlives_the_release_that_superseded_its_own(void **unused)
{
	struct world w;
	struct sim_device *device;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	world_fast_to(&w, "1.2.0", RELEASE_TO_PRODUCT, NULL);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUPERSEDED);
	change(&w, "gw1", (struct device_change){.pin = "1.1.0"});
	assert_int_equal(target(&w, "gw1"), 1);
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, "1.1.0");
	world_check(&w);
	world_stop(&w);
}

static void pin_to_a_version_that_is_not_on_the_shelf_is_refused(void **unused)
{
	struct world w;
	const struct device_change pin = {.pin = "9.9.9"};

	(void)unused;
	world_begin(&w);
	world_device(&w, "gw1");
	assert_int_equal(engine_device_set(w.engine, "gw1", &pin, &w.why), OTA_NOT_FOUND);
	world_stop(&w);
}

static void development_device_only_takes_what_is_made_for_it(void **unused)
{
	struct world w;
	struct release_spec spec = {.version = "2.0.0-dev",
				    .kind = RELEASE_TO_DEVICE,
				    .name = "gw1",
				    .mode = RELEASE_FAST};
	uint64_t number;

	(void)unused;
	world_begin(&w);
	world_device(&w, "gw1");
	world_firmware_of(&w, "lamp", "2.0.0-dev", true, 1, NULL);
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_VERSION_NOT_ALLOWED);
	change(&w, "gw1", (struct device_change){.development = &yes});
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	assert_int_equal(target(&w, "gw1"), 0);
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_OK);
	world_settle(&w);
	assert_int_equal(target(&w, "gw1"), number);
	change(&w, "gw1", (struct device_change){.development = &no});
	assert_string_equal(world_why(&w, world_find(&w, "gw1")), "development_key");
	world_check(&w);
	world_stop(&w);
}

static void canary_goes_on_with_its_fleet(void **unused)
{
	struct world w;
	struct sim_device *canary;

	(void)unused;
	world_begin(&w);
	canary = world_device(&w, "gw1");
	world_connect(&w, canary);
	world_fast_to(&w, "1.1.0", RELEASE_TO_DEVICE, "gw1");
	world_fast_to(&w, "1.2.0", RELEASE_TO_PRODUCT, NULL);
	assert_int_equal(target(&w, "gw1"), 1); /* its own is not done yet */
	world_work(&w, UPDATE_NONE);
	assert_string_equal(canary->version, "1.2.0");
	world_check(&w);
	world_stop(&w);
}

static void group_edits_follow_the_mode_of_the_release(void **unused)
{
	struct world w;
	struct sim_device *device;
	enum engine_answer answer;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	world_connect(&w, device);
	world_group(&w, "alpha", NULL);
	world_group(&w, "beta", NULL);
	world_release(&w, (struct release_spec){.version = "1.1.0",
						.kind = RELEASE_TO_GROUP,
						.name = "alpha"});
	world_fast_to(&w, "1.2.0", RELEASE_TO_GROUP, "beta");
	world_group(&w, "alpha", "gw1");
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(device->offers, 0); /* standard: at its next reconnection */
	world_group(&w, "beta", "gw1");
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(world_state(&w, device, 2), UPDATE_DOWNLOADING);
	assert_int_equal(
		engine_group_edit(w.engine, "lamp", "beta", "gw1", false, &answer, &w.why),
		OTA_OK);
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(world_state(&w, device, 2), UPDATE_REMOVED);
	assert_int_equal(device->canceled, 1);
	assert_int_equal(target(&w, "gw1"), 0); /* it has accepted number 2: 1 would be stale */
	assert_string_equal(world_why(&w, device), "stale");
	world_check(&w);
	world_stop(&w);
}

static void move_to_another_product_leaves_everything_behind(void **unused)
{
	struct world w;
	struct sim_device *device;
	enum engine_answer answer;

	(void)unused;
	world_begin(&w);
	world_product(&w, "valve");
	world_firmware_of(&w, "valve", "7.0.0", false, 1, NULL);
	device = world_device(&w, "gw1");
	world_group(&w, "alpha", "gw1");
	world_fast_to(&w, "1.1.0", RELEASE_TO_GROUP, "alpha");
	assert_int_equal(engine_device_approve(w.engine, "gw1", "valve", &answer, &w.why),
			 OTA_OK);
	assert_int_equal(world_see(&w, 1)->counts[UPDATE_REMOVED], 1);
	assert_int_equal(engine_device(w.engine, "gw1")->group_count, 0);
	text_copy(device->product, NAME_SIZE, "valve");
	world_release(&w, (struct release_spec){.product = "valve",
						.version = "7.0.0",
						.mode = RELEASE_FAST});
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, "7.0.0");
	world_restart_broker(&w);
	assert_string_equal(engine_device(w.engine, "gw1")->product->name, "valve");
	world_stop(&w);
}

static void denial_ends_what_no_release_could(void **unused)
{
	(void)unused;
	for (int moved = 0; moved <= 1; moved++) {
		struct world w;
		struct sim_device *device;
		enum engine_answer answer;
		world_begin(&w);
		world_product(&w, "valve");
		device = world_device(&w, "gw1");
		world_connect(&w, device);
		world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
		world_work(&w, UPDATE_INSTALLING);
		assert_int_equal(world_state(&w, device, 1), UPDATE_INSTALLING);
		if (moved)
			assert_int_equal(engine_device_approve(w.engine, "gw1", "valve",
							       &answer, &w.why),
					 OTA_OK);
		else
			assert_int_equal(engine_device_deny(w.engine, "gw1", &answer, &w.why),
					 OTA_OK);
		assert_int_equal(world_see(&w, 1)->counts[UPDATE_REMOVED], 1);
		world_stop(&w);
	}
}

static void denial_and_removal_end_everything(void **unused)
{
	struct world w;
	struct sim_device *device;
	enum engine_answer answer;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	world_connect(&w, device);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(engine_device_remove(w.engine, "gw1", &answer, &w.why), OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_REMOVED);
	assert_int_equal(w.disconnects, 1);
	assert_false(device->online);
	assert_string_equal(world_why(&w, device), "decommissioned");
	world_connect(&w, device); /* it comes back: denied, not quarantined */
	assert_int_equal(engine_device(w.engine, "gw1")->status, DEVICE_DENIED);
	assert_false(engine_may_subscribe(w.engine, "gw1", "lamp", NULL));
	assert_int_equal(world_state(&w, device, 1), UPDATE_REMOVED);
	world_check(&w);
	world_stop(&w);
}

static void unsuitable_devices_are_skipped_by_name(void **unused)
{
	static const struct {
		const char *rule;
		struct sim_device is;
	} rows[] = {
		{"hardware", {.hardware = "b", .version = "1.0.0", .slot_size = 8u << 20}},
		{"too_large", {.hardware = "a", .version = "1.0.0", .slot_size = 1000}},
		{"downgrade", {.hardware = "a", .version = "2.0.0", .slot_size = 8u << 20}},
		{"floor",
		 {.hardware = "a", .version = "1.0.0", .slot_size = 8u << 20, .floor = 6}},
		{"requires", {.hardware = "a", .version = "0.9.0", .slot_size = 8u << 20}},
		{"stale",
		 {.hardware = "a", .version = "1.0.0", .slot_size = 8u << 20, .number = 2}},
		{"offline",
		 {.hardware = "a",
		  .version = "1.0.0",
		  .slot_size = 1u << 20,
		  .floor = 5,
		  .number = 1}},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct world w;
		struct sim_device *device;
		bool fits = strcmp(rows[i].rule, "offline") == 0;
		world_start(&w);
		world_firmware_of(&w, "lamp", "1.1.0", false, 5, "1.0.0");
		device = world_device(&w, "gw1");
		text_copy(device->hardware, NAME_SIZE, rows[i].is.hardware);
		text_copy(device->version, NAME_SIZE, rows[i].is.version);
		device->slot_size = rows[i].is.slot_size;
		device->floor = rows[i].is.floor;
		device->number = rows[i].is.number;
		world_connect(&w, device);
		world_cut(&w, device);
		world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
		assert_string_equal(world_why(&w, device), rows[i].rule);
		assert_int_equal(release_total(world_see(&w, 1)), fits);
		world_connect(&w, device);
		world_work(&w, UPDATE_NONE);
		assert_int_equal(device->offers, fits);
		world_stop(&w);
	}
}

static void equal_version_with_other_bytes_is_updated(void **unused)
{
	struct world w;
	struct sim_device *device;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	text_copy(device->version, NAME_SIZE, "1.1"); /* compares equal to 1.1.0 */
	world_connect(&w, device);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, "1.1.0");
	world_stop(&w);
}

static void downgrade_is_done_when_the_release_allows_it(void **unused)
{
	struct world w;
	struct sim_device *device;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	text_copy(device->version, NAME_SIZE, "3.0.0");
	world_connect(&w, device);
	world_release(&w, (struct release_spec){.version = "1.1.0",
						.mode = RELEASE_FAST,
						.allow_downgrade = true});
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, "1.1.0");
	world_stop(&w);
}

static void dry_run_adds_up_and_names_each_reason(void **unused)
{
	struct world w;
	struct plan plan;
	struct release_spec spec = {.version = "1.2.0", .mode = RELEASE_FAST};
	struct sim_device *device;
	enum engine_answer answer;
	uint32_t skipped = 0;

	(void)unused;
	world_begin(&w);
	world_fleet(&w, "gw", 10, false);
	world_group(&w, "alpha", "gw0001");
	change(&w, "gw0002", (struct device_change){.pin = "1.1.0"});
	change(&w, "gw0003", (struct device_change){.development = &yes});
	assert_int_equal(engine_device_deny(w.engine, "gw0004", &answer, &w.why), OTA_OK);
	device = world_find(&w, "gw0005");
	text_copy(device->version, NAME_SIZE, "1.2.0");
	world_connect(&w, device);
	world_fast_to(&w, "1.1.0", RELEASE_TO_GROUP, "alpha");
	assert_int_equal(world_plan(&w, &spec, &plan), OTA_OK);
	for (unsigned i = 0; i < REASON_COUNT; i++)
		skipped += plan.skips[i].count;
	assert_int_equal(plan.skipped, skipped);
	assert_int_equal(plan.targeted + plan.skipped, 10);
	assert_int_equal(plan.targeted, 5);
	assert_int_equal(plan.waves[0], 5);
	assert_int_equal(plan.skips[REASON_GROUP_FIRST].count, 1);
	assert_string_equal(plan.skips[REASON_GROUP_FIRST].sample[0].text, "gw0001");
	assert_int_equal(plan.skips[REASON_PINNED].count, 1);
	assert_int_equal(plan.skips[REASON_DEVELOPMENT].count, 1);
	assert_int_equal(plan.skips[REASON_DENIED].count, 1);
	assert_int_equal(plan.skips[REASON_ON_TARGET].count, 1);
	spec.kind = RELEASE_TO_DEVICE;
	spec.name = "gw0006";
	assert_int_equal(world_plan(&w, &spec, &plan), OTA_OK);
	assert_int_equal(plan.targeted, 1);
	assert_int_equal(plan.skips[REASON_OTHER_DEVICE].count, 7);
	spec.kind = RELEASE_TO_GROUP;
	spec.name = "alpha";
	assert_int_equal(world_plan(&w, &spec, &plan), OTA_OK);
	assert_int_equal(plan.targeted, 1);
	assert_int_equal(plan.skips[REASON_OTHER_GROUP].count, 6);
	spec.kind = RELEASE_TO_PRODUCT;
	spec.name = NULL;
	assert_int_equal(engine_product(w.engine, "lamp")->release_count, 1);
	assert_int_equal(world_release(&w, spec), 2);
	assert_int_equal(world_count(&w, 2, UPDATE_TARGETED), 5); /* the plan came true */
	world_stop(&w);
}

static void fast_release_to_many_goes_by_the_fleet_topics(void **unused)
{
	struct world w;

	(void)unused;
	world_begin(&w);
	world_fleet(&w, "gw", 200, true);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	assert_int_equal(w.fans, w.limits.shards);
	assert_int_equal(world_count(&w, 1, UPDATE_OFFERED), 200);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 200);
	for (unsigned i = 0; i < w.device_count; i++)
		assert_int_equal(w.devices[i].offers, 1);
	world_check(&w);
	world_stop(&w);
}

static void versions_of_a_fleet_are_counted(void **unused)
{
	struct world w;
	struct engine_version versions[4];

	(void)unused;
	world_begin(&w);
	world_fleet(&w, "gw", 3, true);
	text_copy(world_device(&w, "odd")->version, NAME_SIZE, "0.1.0");
	world_connect(&w, world_find(&w, "odd"));
	world_device(&w, "never");
	assert_int_equal(engine_versions(w.engine, "lamp", versions, 4), 2);
	assert_string_equal(versions[0].version, "1.0.0");
	assert_int_equal(versions[0].devices, 3);
	assert_string_equal(versions[1].version, "0.1.0");
	assert_int_equal(engine_versions(w.engine, "lamp", versions, 1), 1);
	assert_string_equal(versions[0].version, "1.0.0"); /* of many, the most frequent */
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			product_default_is_the_last_choice_and_the_highest_group_before_it),
		cmocka_unit_test(
			of_two_groups_with_the_same_version_the_newer_release_is_taken),
		cmocka_unit_test(pin_takes_only_its_version_and_unpinning_goes_back),
		cmocka_unit_test(pin_outlives_the_release_that_superseded_its_own),
		cmocka_unit_test(pin_to_a_version_that_is_not_on_the_shelf_is_refused),
		cmocka_unit_test(development_device_only_takes_what_is_made_for_it),
		cmocka_unit_test(canary_goes_on_with_its_fleet),
		cmocka_unit_test(group_edits_follow_the_mode_of_the_release),
		cmocka_unit_test(move_to_another_product_leaves_everything_behind),
		cmocka_unit_test(denial_ends_what_no_release_could),
		cmocka_unit_test(denial_and_removal_end_everything),
		cmocka_unit_test(unsuitable_devices_are_skipped_by_name),
		cmocka_unit_test(equal_version_with_other_bytes_is_updated),
		cmocka_unit_test(downgrade_is_done_when_the_release_allows_it),
		cmocka_unit_test(dry_run_adds_up_and_names_each_reason),
		cmocka_unit_test(fast_release_to_many_goes_by_the_fleet_topics),
		cmocka_unit_test(versions_of_a_fleet_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
