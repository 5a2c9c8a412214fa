/* Waves, places, the byte rate, the penalty box, second
 * persons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <stdio.h>
#include <string.h>

static const struct release_wave three[] = {{.share = 100}, {.share = 1000}, {.share = 10000}};

/* A hundred devices in three waves, by their buckets. */
static void begin(struct world *world, unsigned devices, bool connected)
{
	world_start(world);
	world_firmware(world, "2.0.0");
	world_fleet(world, "gw", devices, connected);
}

static uint64_t waves(struct world *world, const struct release_thresholds *thresholds)
{
	return world_release(world, (struct release_spec){.version = "2.0.0",
							  .mode = RELEASE_FAST,
							  .waves = three,
							  .wave_count = 3,
							  .thresholds = thresholds});
}

static void devices_are_in_the_wave_of_their_bucket(void **unused)
{
	struct world w;
	const struct release *release;

	(void)unused;
	begin(&w, 300, false);
	release = world_see(&w, waves(&w, NULL));
	for (unsigned i = 0; i < w.device_count; i++) {
		uint32_t bucket = name_bucket(w.devices[i].id, 1);
		unsigned wave = bucket < 100 ? 0 : bucket < 1000 ? 1 : 2;
		assert_int_equal(world_update(&w, &w.devices[i], 1)->wave, wave);
	}
	assert_int_equal(release_total(release), 300);
	world_check(&w);
	world_stop(&w);
}

static void next_wave_opens_after_the_bake_time_and_not_before(void **unused)
{
	struct world w;
	uint32_t first, second;

	(void)unused;
	begin(&w, 300, true);
	waves(&w, NULL);
	first = world_count(&w, 1, UPDATE_OFFERED);
	assert_true(first > 0 && first < 20);
	assert_string_equal(world_why(&w, &w.devices[299]), "wave");
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), first);
	world_advance(&w, 600 * 1000 - 1);
	assert_int_equal(world_see(&w, 1)->wave, 0);
	world_advance(&w, 1);
	assert_int_equal(world_see(&w, 1)->wave, 1);
	world_work(&w, UPDATE_NONE);
	second = world_count(&w, 1, UPDATE_SUCCEEDED);
	assert_true(second > first && second < 100);
	world_advance(&w, 600 * 1000);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 300);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	world_check(&w);
	world_stop(&w);
}

static void waves_by_group_take_their_members_first(void **unused)
{
	static const struct release_wave by_group[] = {
		{.group = "alpha"}, {.group = "beta"}, {.share = 10000}};
	struct world w;

	(void)unused;
	begin(&w, 10, true);
	world_group(&w, "alpha", "gw0001");
	world_group(&w, "beta", "gw0001");
	world_group(&w, "beta", "gw0002");
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.waves = by_group,
						.wave_count = 3});
	assert_int_equal(release_total(world_see(&w, 1)), 10);
	assert_string_equal(world_why(&w, world_find(&w, "gw0002")), "wave");
	world_work(&w, UPDATE_NONE);
	assert_string_equal(world_find(&w, "gw0001")->version, "2.0.0");
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 1);
	world_advance(&w, 600 * 1000);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(world_find(&w, "gw0002")->version, "2.0.0");
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 2);
	world_advance(&w, 600 * 1000);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	world_stop(&w);
}

/* Lets the open wave come to its restart and kills `count` of it there. */
static unsigned kill_after_restart(struct world *world, unsigned count)
{
	unsigned killed = 0;

	for (unsigned i = 0; i < world->device_count && killed < count; i++) {
		struct sim_device *device = &world->devices[i];
		const struct update *update = world_update(world, device, 1);
		if (update && update->wave == world_see(world, 1)->wave &&
		    !update_state_is_final((enum update_state)update->state)) {
			device->dies_at_restart = true;
			killed++;
		}
	}
	return killed;
}

static void three_lost_in_the_second_wave_halt_and_the_third_never_starts(void **unused)
{
	struct world w;
	unsigned lost = 0, opened;

	(void)unused;
	begin(&w, 500, true);
	waves(&w, NULL);
	world_work(&w, UPDATE_NONE);
	world_advance(&w, 600 * 1000);
	assert_int_equal(world_see(&w, 1)->wave, 1);
	assert_int_equal(kill_after_restart(&w, 3), 3);
	world_work(&w, UPDATE_NONE);
	opened = world_count(&w, 1, UPDATE_SUCCEEDED) + 3;
	assert_int_equal(world_count(&w, 1, UPDATE_RESTARTING), 3);
	for (unsigned minute = 0; minute < 60; minute++) {
		world_advance(&w, 60000); /* the bake time passes, and they are waited for */
		assert_int_equal(world_see(&w, 1)->wave, 1);
	}
	world_advance(&w, 60000);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_HALTED);
	assert_non_null(strstr(world_see(&w, 1)->reason, "wave 2: 3 of"));
	assert_int_equal(world_count(&w, 1, UPDATE_LOST), 3);
	assert_int_equal(world_count(&w, 1, UPDATE_TARGETED), 500 - opened);
	for (unsigned i = 0; i < w.device_count; i++) {
		struct sim_device *device = &w.devices[i];
		if (!device->dies_at_restart)
			continue;
		lost++;
		assert_string_equal(world_why(&w, device), "retry");
		assert_int_equal(world_update(&w, device, 1)->error->err, OTA_LOST);
		device->dies_at_restart = false; /* somebody went there */
		text_copy(device->version, NAME_SIZE, "1.0.0");
		device->hand.state = UPDATE_NONE;
		world_connect(&w, device);
	}
	assert_int_equal(lost, 3);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_RESUME), OTA_OK);
	for (unsigned i = 0; i < 10; i++) {
		world_work(&w, UPDATE_NONE);
		world_advance(&w, 600 * 1000);
	}
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 500);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	world_check(&w);
	world_stop(&w);
}

static void failures_halt_one_wave_too_and_nobody_starts_after(void **unused)
{
	struct world w;

	(void)unused;
	begin(&w, 50, true);
	world_let_fail(&w, 0, w.device_count, OTA_SIGNATURE_INVALID);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 2});
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_HALTED);
	assert_true(world_count(&w, 1, UPDATE_FAILED) >= 3);
	assert_true(world_count(&w, 1, UPDATE_FAILED) <= 6);
	assert_string_equal(world_why(&w, &w.devices[49]), "halted");
	world_check(&w);
	world_stop(&w);
}

static void resume_accepts_the_failures_so_far_and_halts_on_new_ones(void **unused)
{
	struct world w;
	uint32_t failed;

	(void)unused;
	begin(&w, 50, true);
	world_let_fail(&w, 0, w.device_count, OTA_SIGNATURE_INVALID);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 1});
	world_work(&w, UPDATE_NONE);
	failed = world_count(&w, 1, UPDATE_FAILED);
	assert_int_equal(failed, 3);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_RESUME), OTA_OK);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_RUNNING);
	assert_int_equal(world_see(&w, 1)->tallies[0].forgiven, 3);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_HALTED);
	assert_int_equal(world_count(&w, 1, UPDATE_FAILED), 6);
	world_restart_broker(&w);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_HALTED);
	assert_int_equal(world_see(&w, 1)->tallies[0].forgiven, 3);
	world_stop(&w);
}

static void retry_begins_a_new_round_for_those_that_failed(void **unused)
{
	struct world w;
	enum engine_answer answer;

	(void)unused;
	begin(&w, 4, true);
	world_let_fail(&w, 0, w.device_count, OTA_HEALTH_CHECK_FAILED);
	world_device(&w, "bystander"); /* has no update of the release */
	assert_int_equal(engine_device_deny(w.engine, "bystander", &answer, &w.why), OTA_OK);
	world_release(&w, (struct release_spec){.version = "2.0.0", .mode = RELEASE_FAST});
	assert_int_equal(world_retry(&w, 1), OTA_NO_TARGETS);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_FAILED), 4);
	assert_string_equal(world_why(&w, &w.devices[0]), "given_up");
	world_advance(&w, UINT64_C(30) * 86400000);
	assert_int_equal(world_count(&w, 1, UPDATE_FAILED), 4); /* permanent: never by itself */
	for (unsigned i = 0; i < 4; i++)
		w.devices[i].fails_in = UPDATE_NONE;
	assert_int_equal(engine_device_retry(w.engine, "nobody", 1, &answer, &w.why),
			 OTA_NOT_FOUND);
	assert_int_equal(engine_device_retry(w.engine, "bystander", 1, &answer, &w.why),
			 OTA_OK);
	assert_int_equal(answer, ENGINE_UNKNOWN);
	assert_int_equal(engine_device_retry(w.engine, "gw0001", 1, &answer, &w.why), OTA_OK);
	assert_int_equal(answer, ENGINE_CHANGED);
	assert_int_equal(engine_device_retry(w.engine, "gw0001", 1, &answer, &w.why), OTA_OK);
	assert_int_equal(answer, ENGINE_UNCHANGED);
	assert_int_equal(world_count(&w, 1, UPDATE_TARGETED), 1);
	assert_int_equal(world_update(&w, world_find(&w, "gw0001"), 1)->attempt, 2);
	assert_int_equal(world_update(&w, world_find(&w, "gw0001"), 1)->round, 1);
	assert_int_equal(world_retry(&w, 1), OTA_OK);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_RESUME), OTA_OK);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 4);
	world_check(&w);
	world_stop(&w);
}

static void hold_stops_starts_and_advance_opens_the_next_wave(void **unused)
{
	struct world w;

	(void)unused;
	begin(&w, 300, true);
	waves(&w, NULL);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_HOLD), OTA_OK);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_HOLD), OTA_CONFLICT);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ADVANCE), OTA_CONFLICT);
	assert_string_equal(world_see(&w, 1)->reason, "held by 'bob'");
	world_work(&w, UPDATE_NONE); /* what has been offered goes on */
	world_advance(&w, 700 * 1000);
	assert_int_equal(world_see(&w, 1)->wave, 0);
	assert_string_equal(world_why(&w, &w.devices[299]), "held");
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_RESUME), OTA_OK);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ADVANCE), OTA_OK);
	assert_int_equal(world_see(&w, 1)->wave, 1);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ADVANCE), OTA_OK);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ADVANCE), OTA_CONFLICT);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 300);
	world_stop(&w);
}

static void places_limit_downloads_and_pass_on(void **unused)
{
	struct world w;

	(void)unused;
	begin(&w, 100, true);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 7});
	assert_int_equal(world_count(&w, 1, UPDATE_OFFERED), 7);
	assert_string_equal(world_why(&w, &w.devices[99]), "place");
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(world_count(&w, 1, UPDATE_DOWNLOADING), 7);
	world_restart_broker(&w); /* and all come back at once */
	for (unsigned i = 0; i < w.device_count; i++)
		world_connect(&w, &w.devices[i]);
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(world_see(&w, 1)->places, 7);
	assert_int_equal(world_count(&w, 1, UPDATE_DOWNLOADING), 7);
	world_check(&w);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 100);
	world_stop(&w);
}

static void device_without_a_place_gets_no_chunk(void **unused)
{
	struct world w;
	uint32_t wait;

	(void)unused;
	begin(&w, 2, true);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 1});
	assert_int_equal(engine_fetch(w.engine, "gw0000", 65536), 0);
	assert_int_equal(engine_fetch(w.engine, "gw0001", 65536), ENGINE_FETCH_REFUSED);
	/* offered while its gate was closed, it holds no place; its application then opens it
	 */
	world_gates(&w, &w.devices[1], false, 0);
	world_work(&w, UPDATE_DOWNLOADING);
	world_gates(&w, &w.devices[1], true, 0);
	wait = engine_fetch(w.engine, "gw0001", 65536);
	assert_true(wait >= 2000 && wait < 4000);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 2);
	world_stop(&w);
}

static void byte_rate_is_kept_over_all_devices(void **unused)
{
	struct world w;
	uint64_t sent = 0;

	(void)unused;
	begin(&w, 4, true);
	world_release(&w, (struct release_spec){
				  .version = "2.0.0", .mode = RELEASE_FAST, .rate = 262144});
	for (unsigned ms = 0; ms < 10000; ms += 10) {
		for (unsigned i = 0; i < 4; i++) {
			if (engine_fetch(w.engine, w.devices[i].id, 65536) == 0)
				sent += 65536;
		}
		w.now_ms += 10;
		w.mono_ms += 10;
	}
	assert_in_range(sent, 10 * 262144 - 65536, 11 * 262144);
	assert_in_range(engine_fetch(w.engine, "gw0000", 65536) +
				engine_fetch(w.engine, "gw0000", 65536),
			1, 500);
	world_stop(&w);
}

static void three_network_failures_sit_out_a_day_and_free_the_place(void **unused)
{
	struct world w;
	struct sim_device *bad;

	(void)unused;
	begin(&w, 2, true);
	bad = &w.devices[0];
	bad->fails_in = UPDATE_DOWNLOADING;
	bad->fails_with = OTA_DOWNLOAD_STALLED;
	bad->fails_always = true;
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 1});
	world_work(&w, UPDATE_NONE);
	assert_string_equal(world_why(&w, bad), "retry");
	assert_int_equal(world_state(&w, &w.devices[1], 1), UPDATE_SUCCEEDED);
	for (unsigned i = 0; i < 40; i++) {
		world_advance(&w, 60000);
		world_work(&w, UPDATE_NONE);
	}
	assert_int_equal(bad->offers, 3);
	assert_int_equal(world_state(&w, bad, 1), UPDATE_FAILED);
	assert_string_equal(world_why(&w, bad), "penalty");
	assert_int_equal(world_see(&w, 1)->places, 0);
	world_advance(&w, 86400000 - 41 * 60000);
	assert_string_equal(world_why(&w, bad), "penalty");
	bad->fails_in = UPDATE_NONE;
	world_advance(&w, 41 * 60000);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, bad, 1), UPDATE_SUCCEEDED);
	assert_int_equal(world_update(&w, bad, 1)->round, 1);
	world_check(&w);
	world_stop(&w);
}

static void full_disk_is_tried_again_when_the_device_is_back(void **unused)
{
	struct world w;
	struct sim_device *full;

	(void)unused;
	begin(&w, 1, true);
	full = &w.devices[0];
	full->fails_in = UPDATE_DOWNLOADING;
	full->fails_with = OTA_INSUFFICIENT_STORAGE;
	world_release(&w, (struct release_spec){.version = "2.0.0", .mode = RELEASE_FAST});
	world_work(&w, UPDATE_NONE);
	world_advance(&w, 86400000);
	assert_int_equal(world_state(&w, full, 1), UPDATE_FAILED);
	assert_int_equal(full->offers, 1);
	world_cut(&w, full);
	world_connect(&w, full);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, full, 1), UPDATE_SUCCEEDED);
	world_stop(&w);
}

static void halt_sends_the_updated_back_when_it_was_signed_so(void **unused)
{
	struct world w;
	unsigned updated = 0;

	(void)unused;
	for (int signed_so = 0; signed_so <= 1; signed_so++) {
		begin(&w, 60, true);
		world_release(&w, (struct release_spec){.version = "2.0.0",
							.mode = RELEASE_FAST,
							.max_concurrent = 4,
							.rollback_on_halt = signed_so});
		for (unsigned i = 0; i < 60; i++)
			world_step(&w, &w.devices[i]);
		for (unsigned i = 8; i < 60; i++) {
			w.devices[i].fails_in = UPDATE_DOWNLOADING;
			w.devices[i].fails_with = OTA_INSTALL_FAILED;
		}
		world_work(&w, UPDATE_NONE);
		assert_int_equal(world_see(&w, 1)->state, RELEASE_HALTED);
		updated = 0;
		for (unsigned i = 0; i < 60; i++)
			updated += strcmp(w.devices[i].version, "2.0.0") == 0;
		if (signed_so) {
			assert_int_equal(updated, 0);
			assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 0);
			assert_true(world_count(&w, 1, UPDATE_ROLLED_BACK) >= 8);
			assert_int_equal(world_see(&w, 1)->tallies[0].reverted,
					 world_count(&w, 1, UPDATE_ROLLED_BACK));
		} else {
			assert_true(updated >= 8);
			assert_int_equal(world_count(&w, 1, UPDATE_ROLLED_BACK), 0);
		}
		world_check(&w);
		world_stop(&w);
	}
}

static void second_person_has_to_approve(void **unused)
{
	const bool yes = true;
	const struct product_change two = {.second_approval = &yes};
	const struct release *release;
	struct world w;

	(void)unused;
	begin(&w, 3, true);
	assert_int_equal(engine_product_update(w.engine, "lamp", &two, &w.why), OTA_OK);
	world_release(&w, (struct release_spec){.version = "2.0.0", .mode = RELEASE_FAST});
	assert_int_equal(world_see(&w, 1)->state, RELEASE_UNAPPROVED);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(w.devices[0].offers, 0);
	assert_int_equal(engine_release_act(w.engine, "lamp", 1, RELEASE_ACT_APPROVE, "ann",
					    &release, &w.why),
			 OTA_FORBIDDEN);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_APPROVE), OTA_OK);
	assert_string_equal(world_see(&w, 1)->approver, "bob");
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 3);
	world_stop(&w);
}

static void unproven_version_goes_to_one_device_first(void **unused)
{
	struct world w;
	struct release_spec fleet = {
		.version = "2.0.0", .mode = RELEASE_FAST, .unproven = true};
	struct release_spec one = fleet;
	uint64_t number = 0;

	(void)unused;
	begin(&w, 3, true);
	one.kind = RELEASE_TO_DEVICE;
	one.name = "gw0001";
	assert_int_equal(world_try_release(&w, &fleet, &number), OTA_NOT_PROVEN);
	assert_int_equal(world_try_release(&w, &one, &number), OTA_OK);
	assert_int_equal(world_try_release(&w, &fleet, &number), OTA_NOT_PROVEN);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_try_release(&w, &fleet, &number), OTA_OK);
	assert_int_equal(number, 2);
	world_stop(&w);
}

static void scheduled_release_begins_at_its_time(void **unused)
{
	struct world w;

	(void)unused;
	begin(&w, 2, true);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.not_before_s = 60});
	assert_int_equal(world_see(&w, 1)->state, RELEASE_SCHEDULED);
	world_advance(&w, 59999);
	assert_int_equal(w.devices[0].inbox_count, 1); /* the welcome */
	world_advance(&w, 1);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 2);
	world_stop(&w);
}

static void grants_that_the_store_delays_hold_the_release(void **unused)
{
	struct world w;

	(void)unused;
	begin(&w, 3, true);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 1});
	while (!w.devices[0].trial) {
		world_step(&w, &w.devices[0]);
		if (w.devices[0].hand.state == UPDATE_RESTARTING)
			w.lazy_store = true; /* the disk hangs */
		world_settle(&w);
	}
	world_advance(&w, w.limits.grant_ms - 1);
	assert_int_equal(w.devices[0].granted, 0);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_RUNNING);
	world_advance(&w, 1);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_HALTED);
	assert_non_null(strstr(world_see(&w, 1)->reason, "no grant"));
	w.lazy_store = false;
	world_settle(&w);
	world_step(&w, &w.devices[0]);
	while (w.devices[0].inbox_count)
		world_step(&w, &w.devices[0]);
	assert_int_equal(w.devices[0].granted, 1); /* stored at last */
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_are_in_the_wave_of_their_bucket),
		cmocka_unit_test(next_wave_opens_after_the_bake_time_and_not_before),
		cmocka_unit_test(waves_by_group_take_their_members_first),
		cmocka_unit_test(three_lost_in_the_second_wave_halt_and_the_third_never_starts),
		cmocka_unit_test(failures_halt_one_wave_too_and_nobody_starts_after),
		cmocka_unit_test(resume_accepts_the_failures_so_far_and_halts_on_new_ones),
		cmocka_unit_test(retry_begins_a_new_round_for_those_that_failed),
		cmocka_unit_test(hold_stops_starts_and_advance_opens_the_next_wave),
		cmocka_unit_test(places_limit_downloads_and_pass_on),
		cmocka_unit_test(device_without_a_place_gets_no_chunk),
		cmocka_unit_test(byte_rate_is_kept_over_all_devices),
		cmocka_unit_test(three_network_failures_sit_out_a_day_and_free_the_place),
		cmocka_unit_test(full_disk_is_tried_again_when_the_device_is_back),
		cmocka_unit_test(halt_sends_the_updated_back_when_it_was_signed_so),
		cmocka_unit_test(second_person_has_to_approve),
		cmocka_unit_test(unproven_version_goes_to_one_device_first),
		cmocka_unit_test(scheduled_release_begins_at_its_time),
		cmocka_unit_test(grants_that_the_store_delays_hold_the_release),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
