/* What a device says, late, twice, or against what the plugin knows: whom the engine believes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <string.h>

/* Says it, whatever the device itself is at. */
static void say_of(struct world *world, struct sim_device *device, uint64_t release,
		   uint32_t attempt, enum update_state state, enum ota_err err)
{
	struct report report = {.v = 1, .release = release, .attempt = attempt, .state = state};

	report.seq = ++device->seq;
	text_copy(report.version, NAME_SIZE, device->version);
	report.digest = world_image(device->version);
	report.has_error = err != OTA_OK;
	report.error.number = err;
	report.error.state = state;
	assert_int_equal(world_report(world, device, &report), OTA_OK);
	world_settle(world);
}

static void say(struct world *world, struct sim_device *device, uint64_t release,
		enum update_state state, enum ota_err err)
{
	say_of(world, device, release, 1, state, err);
}

static void who_is_past_the_point_of_no_return_is_believed_after_a_supersede(void **unused)
{
	static const struct {
		enum update_state said, is;
	} rows[] = {
		{UPDATE_DOWNLOADING, UPDATE_SUPERSEDED}, {UPDATE_VERIFIED, UPDATE_SUPERSEDED},
		{UPDATE_INSTALLING, UPDATE_INSTALLING},	 {UPDATE_RESTARTING, UPDATE_RESTARTING},
		{UPDATE_FAILED, UPDATE_FAILED},		 {UPDATE_CANCELED, UPDATE_SUPERSEDED},
		{UPDATE_SUPERSEDED, UPDATE_SUPERSEDED},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct world w;
		struct sim_device *device = world_begin_one(&w, "gw1");
		world_fast(&w, "2.0.0");
		world_work(&w, UPDATE_DOWNLOADING);
		world_fast(&w, "3.0.0");
		assert_int_equal(world_state(&w, device, 1), UPDATE_SUPERSEDED);
		say(&w, device, 1, rows[i].said, OTA_OK);
		assert_int_equal(world_state(&w, device, 1), rows[i].is);
		world_check(&w);
		world_stop(&w);
	}
}

static void
what_was_removed_stays_removed_although_the_device_calls_it_superseded(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	const bool yes = true;
	const struct device_change change = {.development = &yes};

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(engine_device_set(w.engine, "gw1", &change, &w.why), OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_REMOVED);
	say(&w, device, 1, UPDATE_SUPERSEDED, OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_REMOVED);
	say(&w, device, 1, UPDATE_CANCELED, OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_REMOVED);
	world_stop(&w);
}

static void progress_after_an_abort_does_not_put_off_its_end(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ABORT), OTA_OK);
	world_advance(&w, w.limits.cancel_ms / 2);
	say(&w, device, 1, UPDATE_DOWNLOADING, OTA_OK); /* it crossed the cancel */
	say(&w, device, 1, UPDATE_DOWNLOADING, OTA_OK);
	world_advance(&w, w.limits.cancel_ms / 2 - 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	world_advance(&w, 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_CANCELED);
	world_hello(&w,
		    device); /* it has it in hand all the same: told again, not taken back */
	assert_int_equal(world_state(&w, device, 1), UPDATE_CANCELED);
	world_stop(&w);
}

static void abort_that_comes_too_late_is_shown_as_such(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_DOWNLOADING);
	assert_int_equal(world_act(&w, 1, RELEASE_ACT_ABORT), OTA_OK);
	say(&w, device, 1, UPDATE_INSTALLING, OTA_OK); /* it crossed the cancel */
	world_advance(&w, w.limits.cancel_ms);
	assert_int_equal(world_state(&w, device, 1), UPDATE_INSTALLING);
	assert_string_equal(world_why(&w, device), "in_hand");
	text_copy(device->version, NAME_SIZE, "2.0.0");
	say(&w, device, 1, UPDATE_SUCCEEDED, OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	world_check(&w);
	world_stop(&w);
}

static void hello_in(struct world *world, struct sim_device *device, uint32_t attempt,
		     enum update_state state)
{
	world_cut(world, device);
	device->hand.release = 1;
	device->hand.attempt = attempt;
	device->hand.state = state;
	world_connect(world, device);
	world_settle(world);
}

static void hello_moves_an_update_forward_and_never_back(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	hello_in(&w, device, 1, UPDATE_OFFERED);
	assert_int_equal(world_update(&w, device, 1)->flags >> UPDATE_RANK_SHIFT,
			 update_rank(UPDATE_OFFERED));
	hello_in(&w, device, 1, UPDATE_DOWNLOADING);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	hello_in(&w, device, 1, UPDATE_VERIFIED);
	assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
	hello_in(&w, device, 1, UPDATE_DOWNLOADING);
	assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
	hello_in(&w, device, 1, UPDATE_TARGETED);
	assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
	hello_in(&w, device, 1, UPDATE_SUCCEEDED); /* an end is reported, not mentioned */
	assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
	hello_in(&w, device, 2, UPDATE_DOWNLOADING); /* the store was set back */
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	assert_int_equal(world_update(&w, device, 1)->attempt, 2);
	hello_in(&w, device, 1, UPDATE_INSTALLING);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	hello_in(&w, device, 3, UPDATE_TARGETED);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	hello_in(&w, device, 3, UPDATE_SUCCEEDED);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	world_check(&w);
	world_stop(&w);
}

static void who_is_silent_and_comes_back_is_where_it_says(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_VERIFIED);
	assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
	world_cut(&w, device);
	world_advance(&w, 2 * 3600 * 1000);
	assert_int_equal(world_state(&w, device, 1), UPDATE_TIMED_OUT);
	world_connect(&w, device);
	assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
	world_work(&w, UPDATE_RESTARTING);
	device->dies_at_restart = true;
	world_step(&w, device);
	world_advance(&w, 2 * 3600 * 1000);
	assert_int_equal(world_state(&w, device, 1), UPDATE_LOST);
	world_connect(&w, device); /* it never got away: the same slot, about to restart */
	assert_int_equal(world_state(&w, device, 1), UPDATE_RESTARTING);
	world_stop(&w);
}

static void failure_of_what_is_not_its_target_any_more_is_not_tried_again(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	enum engine_answer answer;

	(void)unused;
	world_group(&w, "alpha", "gw1");
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.kind = RELEASE_TO_GROUP,
						.name = "alpha",
						.mode = RELEASE_FAST});
	world_work(&w, UPDATE_INSTALLING);
	assert_int_equal(
		engine_group_edit(w.engine, "lamp", "alpha", "gw1", false, &answer, &w.why),
		OTA_OK);
	say(&w, device, 1, UPDATE_FAILED, OTA_CONNECTION_LOST);
	assert_int_equal(world_state(&w, device, 1), UPDATE_FAILED);
	assert_int_equal(world_update(&w, device, 1)->due_ms, 0);
	world_stop(&w);
}

static void lease_matters_only_to_who_has_not_begun(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_DOWNLOADING);
	world_gates(&w, device, false, 60);
	device->lease_until_ms = 0;
	world_advance(&w, 60 * 1000);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	world_advance(&w, 3540 * 1000);
	assert_int_equal(world_state(&w, device, 1), UPDATE_TIMED_OUT);
	world_stop(&w);
}

static void any_closed_gate_gives_a_connected_device_its_time(void **unused)
{
	(void)unused;
	for (unsigned gate = 0; gate < 3; gate++) {
		struct world w;
		struct sim_device *device = world_begin_one(&w, "gw1");
		struct consent consent = {.v = 1, .consent = {gate != 0, gate != 1, gate != 2}};
		world_fast(&w, "2.0.0");
		world_work(&w, UPDATE_VERIFIED);
		assert_int_equal(engine_consent(w.engine, "gw1", &consent, &w.why), OTA_OK);
		world_advance(&w, 3 * UINT64_C(86400000));
		assert_int_equal(world_state(&w, device, 1), UPDATE_VERIFIED);
		world_cut(&w, device); /* away, it is as silent as any */
		world_advance(&w, 3600 * 1000);
		assert_int_equal(world_state(&w, device, 1), UPDATE_TIMED_OUT);
		world_stop(&w);
	}
}

static void who_fails_for_ever_does_not_count_over(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	const struct update *update;
	enum engine_answer answer;

	(void)unused;
	world_fast(&w, "2.0.0");
	for (uint32_t attempt = 1; attempt <= 300; attempt++) {
		say_of(&w, device, 1, attempt, UPDATE_DOWNLOADING, OTA_OK);
		say_of(&w, device, 1, attempt, UPDATE_FAILED, OTA_INSTALL_FAILED);
		update = world_update(&w, device, 1);
		assert_int_equal(update->failures, attempt < 255 ? attempt : 255);
	}
	for (uint32_t round = 1; round <= 300; round++) {
		assert_int_equal(engine_device_retry(w.engine, "gw1", 1, &answer, &w.why),
				 OTA_OK);
		assert_int_equal(answer, ENGINE_CHANGED);
		update = world_update(&w, device, 1);
		assert_int_equal(update->failures, 0);
		assert_int_equal(update->round, round < 255 ? round : 255);
		say_of(&w, device, 1, update->attempt, UPDATE_FAILED, OTA_INSTALL_FAILED);
	}
	world_stop(&w);
}

static void roll_back_without_evidence_counts_as_a_failure(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_DOWNLOADING);
	say(&w, device, 1, UPDATE_ROLLED_BACK, OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_ROLLED_BACK);
	assert_int_equal(world_see(&w, 1)->tallies[0].reverted, 0);
	say(&w, device, 1, UPDATE_FAILED, OTA_REVERTED_BY_MANAGER);
	assert_int_equal(world_see(&w, 1)->tallies[0].reverted, 0);
	world_check(&w);
	world_stop(&w);
}

static void report_of_a_release_that_never_was_is_acknowledged_and_refused(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	struct report report = {.v = 1,
				.seq = 77,
				.release = 9,
				.attempt = 1,
				.state = UPDATE_DOWNLOADING,
				.version = "1.0.0"};
	size_t stored;

	(void)unused;
	world_work(&w, UPDATE_NONE);
	stored = store_memory_count(w.memory, STORE_REPORT);
	assert_int_equal(world_report(&w, device, &report), OTA_NOT_FOUND);
	world_settle(&w);
	assert_int_equal(device->inbox_count, 1); /* or it would be sent for ever */
	assert_int_equal(device->inbox[0].control.type, CONTROL_ACK);
	assert_int_equal(device->inbox[0].control.release, 77);
	assert_int_equal(store_memory_count(w.memory, STORE_REPORT), stored);
	world_stop(&w);
}

static void releases_are_refused_for_what_is_not_there(void **unused)
{
	static const struct release_wave waves[] = {
		{.share = 100}, {.group = "nobody"}, {.share = 10000}};
	struct release_spec spec = {.version = "2.0.0", .kind = RELEASE_TO_DEVICE};
	struct world w;
	uint64_t number;

	(void)unused;
	world_begin_one(&w, "gw1");
	world_product(&w, "valve");
	world_device_of(&w, "v1", "valve");
	spec.name = "v1"; /* of another product */
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_NOT_FOUND);
	spec.name = "unknown";
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_NOT_FOUND);
	spec.kind = RELEASE_TO_GROUP;
	spec.name = "nobody";
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_NOT_FOUND);
	spec.kind = RELEASE_TO_PRODUCT;
	spec.name = NULL;
	spec.waves = waves;
	spec.wave_count = 3;
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_NOT_FOUND);
	assert_non_null(strstr(w.why.text, "wave 2: no group 'nobody'"));
	spec.waves = NULL;
	spec.wave_count = 0;
	spec.version = "9.9.9";
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_NOT_FOUND);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			who_is_past_the_point_of_no_return_is_believed_after_a_supersede),
		cmocka_unit_test(
			what_was_removed_stays_removed_although_the_device_calls_it_superseded),
		cmocka_unit_test(progress_after_an_abort_does_not_put_off_its_end),
		cmocka_unit_test(abort_that_comes_too_late_is_shown_as_such),
		cmocka_unit_test(hello_moves_an_update_forward_and_never_back),
		cmocka_unit_test(who_is_silent_and_comes_back_is_where_it_says),
		cmocka_unit_test(failure_of_what_is_not_its_target_any_more_is_not_tried_again),
		cmocka_unit_test(lease_matters_only_to_who_has_not_begun),
		cmocka_unit_test(any_closed_gate_gives_a_connected_device_its_time),
		cmocka_unit_test(who_fails_for_ever_does_not_count_over),
		cmocka_unit_test(roll_back_without_evidence_counts_as_a_failure),
		cmocka_unit_test(
			report_of_a_release_that_never_was_is_acknowledged_and_refused),
		cmocka_unit_test(releases_are_refused_for_what_is_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
