/* How updates and releases end: superseded, aborted, expired, done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <stdio.h>
#include <string.h>

/* What the older update becomes when a newer release takes its place in each of its states. */
static void supersede_during_every_state(void **unused)
{
	static const struct {
		enum update_state during, older;
		bool finishes;
	} rows[] = {
		{UPDATE_TARGETED, UPDATE_SUPERSEDED, false},
		{UPDATE_OFFERED, UPDATE_SUPERSEDED, false},
		{UPDATE_DEFERRED, UPDATE_SUPERSEDED, false},
		{UPDATE_DOWNLOADING, UPDATE_SUPERSEDED, false},
		{UPDATE_DOWNLOADED, UPDATE_SUPERSEDED, false},
		{UPDATE_VERIFIED, UPDATE_SUPERSEDED, false},
		{UPDATE_INSTALLING, UPDATE_SUCCEEDED, true},
		{UPDATE_INSTALLED, UPDATE_SUCCEEDED, true},
		{UPDATE_RESTARTING, UPDATE_SUCCEEDED, true},
		{UPDATE_TRIAL, UPDATE_SUCCEEDED, true},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct world w;
		struct sim_device *device;
		world_begin(&w);
		device = world_device(&w, "gw1");
		if (rows[i].during != UPDATE_TARGETED)
			world_connect(&w, device);
		if (rows[i].during == UPDATE_DEFERRED)
			world_gates(&w, device, false, 0);
		world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
		if (rows[i].during > UPDATE_OFFERED)
			for (unsigned n = 0; n < 40 && device->hand.state != rows[i].during;
			     n++) {
				world_step(&w, device);
				world_settle(&w);
			}
		assert_int_equal(world_state(&w, device, 1), rows[i].during);
		world_fast_to(&w, "1.2.0", RELEASE_TO_PRODUCT, NULL);
		assert_int_equal(world_see(&w, 1)->state, RELEASE_SUPERSEDED);
		world_check(&w);
		assert_int_equal(world_state(&w, device, 2),
				 rows[i].finishes || rows[i].during == UPDATE_TARGETED
					 ? UPDATE_TARGETED
					 : UPDATE_OFFERED);
		if (rows[i].finishes)
			assert_string_equal(world_why(&w, device), "busy_older");
		if (rows[i].during == UPDATE_TARGETED)
			world_connect(&w, device);
		if (rows[i].during == UPDATE_DEFERRED)
			world_gates(&w, device, true, 0);
		world_work(&w, UPDATE_NONE);
		assert_string_equal(device->version, "1.2.0");
		assert_int_equal(world_state(&w, device, 1), rows[i].older);
		assert_int_equal(world_state(&w, device, 2), UPDATE_SUCCEEDED);
		assert_int_equal(device->downloads,
				 rows[i].finishes || rows[i].during == UPDATE_DOWNLOADED ||
						 rows[i].during == UPDATE_VERIFIED
					 ? 2
					 : 1);
		world_check(&w);
		world_stop(&w);
	}
}

static void standard_newer_release_stops_the_older_download_and_waits_for_a_hello(void **unused)
{
	struct world w;
	struct sim_device *device;

	(void)unused;
	world_begin(&w);
	device = world_device(&w, "gw1");
	world_connect(&w, device);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	world_work(&w, UPDATE_DOWNLOADING);
	world_release(&w, (struct release_spec){.version = "1.2.0"});
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUPERSEDED);
	assert_int_equal(device->offers, 1);
	assert_int_equal(engine_fetch(w.engine, "gw1", 65536), ENGINE_FETCH_REFUSED);
	world_cut(&w, device);
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, "1.2.0");
	world_check(&w);
	world_stop(&w);
}

static void hundred_releases_missed_are_one_download(void **unused)
{
	struct world w;
	struct sim_device *device;
	char version[NAME_SIZE] = "";

	(void)unused;
	world_start(&w);
	device = world_device(&w, "gw1");
	for (unsigned i = 0; i < 100; i++) {
		snprintf(version, sizeof(version), "2.%u.0", i);
		world_firmware(&w, version);
		world_release(&w, (struct release_spec){.version = version});
		world_advance(&w, 86400);
	}
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, version);
	assert_int_equal(device->offers, 1);
	assert_int_equal(device->downloads, 1);
	assert_int_equal(world_count(&w, 1, UPDATE_SUPERSEDED), 1);
	world_check(&w);
	world_stop(&w);
}

static void abort_cancels_who_waits_and_asks_who_downloads(void **unused)
{
	struct world w;
	struct sim_device *waits, *downloads, *installs, *away;

	(void)unused;
	world_begin(&w);
	waits = world_device(&w, "waits");
	downloads = world_device(&w, "downloads");
	installs = world_device(&w, "installs");
	away = world_device(&w, "away");
	world_connect(&w, downloads);
	world_connect(&w, installs);
	world_connect(&w, away);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	world_work(&w, UPDATE_DOWNLOADING);
	while (installs->hand.state != UPDATE_INSTALLING)
		assert_true(world_step(&w, installs));
	world_cut(&w, away);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ABORT), OTA_OK);
	assert_int_equal(world_state(&w, waits, 1), UPDATE_CANCELED);
	assert_int_equal(world_state(&w, downloads, 1), UPDATE_DOWNLOADING);
	assert_string_equal(world_why(&w, downloads), "in_hand");
	assert_int_equal(world_state(&w, installs, 1), UPDATE_INSTALLING);
	assert_int_equal(engine_fetch(w.engine, "downloads", 65536), ENGINE_FETCH_REFUSED);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, downloads, 1), UPDATE_CANCELED);
	assert_int_equal(world_state(&w, installs, 1), UPDATE_SUCCEEDED);
	assert_string_equal(installs->version, "1.1.0");
	world_advance(&w, w.limits.cancel_ms - 1);
	world_group(&w, "alpha", "away"); /* it is looked at again, and not given more time */
	world_settle(&w);
	assert_int_equal(world_state(&w, away, 1), UPDATE_DOWNLOADING);
	world_advance(&w, 1);
	assert_int_equal(world_state(&w, away, 1), UPDATE_CANCELED);
	world_connect(&w, away); /* and is told when it is back */
	world_work(&w, UPDATE_NONE);
	assert_int_equal(away->canceled, 1);
	assert_string_equal(away->version, "1.0.0");
	world_check(&w);
	world_stop(&w);
}

static void cancel_of_an_unseen_release_needs_no_answer(void **unused)
{
	struct world w;
	struct sim_device *offline, *offered;

	(void)unused;
	world_begin(&w);
	offline = world_device(&w, "offline");
	offered = world_device(&w, "offered");
	world_connect(&w, offered);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	assert_int_equal(world_state(&w, offered, 1), UPDATE_OFFERED);
	world_cut(&w, offered); /* the offer never arrived */
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ABORT), OTA_OK);
	assert_int_equal(world_state(&w, offline, 1), UPDATE_CANCELED);
	assert_int_equal(world_state(&w, offered, 1), UPDATE_CANCELED);
	world_connect(&w, offered);
	world_connect(&w, offline);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(offered->offers + offline->offers, 0);
	assert_int_equal(release_open(world_see(&w, 1)), 0);
	world_check(&w);
	world_stop(&w);
}

static void expiry_blocks_new_starts_only(void **unused)
{
	struct world w;
	struct sim_device *waits, *works;
	struct release_thresholds patient = document_thresholds_default;

	(void)unused;
	world_begin(&w);
	waits = world_device(&w, "waits");
	works = world_device(&w, "works");
	world_connect(&w, works);
	patient.silence_s = 7200;
	world_release(&w, (struct release_spec){.version = "1.1.0",
						.mode = RELEASE_FAST,
						.thresholds = &patient,
						.not_after_s = 3600});
	world_work(&w, UPDATE_DOWNLOADING);
	world_advance(&w, 3600 * 1000 - 1);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_RUNNING);
	world_advance(&w, 1);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_EXPIRED);
	assert_int_equal(world_state(&w, waits, 1), UPDATE_EXPIRED);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, works, 1), UPDATE_SUCCEEDED);
	world_check(&w);
	world_stop(&w);
}

static void a_release_with_no_targets_says_so(void **unused)
{
	struct world w;
	struct sim_device *device;

	(void)unused;
	world_begin(&w);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_RUNNING); /* not "done" at once */
	assert_non_null(world_see(&w, 1)->reason);
	assert_non_null(strstr(world_see(&w, 1)->reason, "reaches no device"));
	world_advance(&w, 3600000);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_RUNNING);
	device = world_device(&w, "gw1"); /* and when one comes, it is served */
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(device->version, "1.1.0");
	assert_null(world_see(&w, 1)->reason);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	world_stop(&w);
}

static void done_release_serves_who_comes_later(void **unused)
{
	struct world w;
	struct sim_device *first, *second;

	(void)unused;
	world_begin(&w);
	first = world_device(&w, "first");
	world_connect(&w, first);
	world_fast_to(&w, "1.1.0", RELEASE_TO_PRODUCT, NULL);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	second = world_device(&w, "second");
	world_settle(&w);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_RUNNING);
	world_connect(&w, second);
	world_work(&w, UPDATE_NONE);
	assert_string_equal(second->version, "1.1.0");
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(supersede_during_every_state),
		cmocka_unit_test(
			standard_newer_release_stops_the_older_download_and_waits_for_a_hello),
		cmocka_unit_test(hundred_releases_missed_are_one_download),
		cmocka_unit_test(abort_cancels_who_waits_and_asks_who_downloads),
		cmocka_unit_test(cancel_of_an_unseen_release_needs_no_answer),
		cmocka_unit_test(expiry_blocks_new_starts_only),
		cmocka_unit_test(a_release_with_no_targets_says_so),
		cmocka_unit_test(done_release_serves_who_comes_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
