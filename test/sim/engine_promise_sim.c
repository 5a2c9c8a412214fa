/* What users of today's systems complain of most (PRODUCT.md), the plugin's side of each; and
 * what the plugin promises to devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <string.h>

/* The device works until it is in `state`. */
static void until(struct world *world, struct sim_device *device, enum update_state state)
{
	for (unsigned i = 0; i < 100 && device->hand.state != state; i++) {
		world_step(world, device);
		world_settle(world);
	}
	assert_int_equal(device->hand.state, state);
}

static void no_update_stays_in_progress_for_ever(void **unused)
{
	(void)unused;
	for (unsigned state = UPDATE_OFFERED; state <= UPDATE_TRIAL; state++) {
		for (int connected = 0; connected <= 1; connected++) {
			struct world w;
			struct sim_device *device = world_begin_one(&w, "gw1");
			bool restarted = state == UPDATE_RESTARTING || state == UPDATE_TRIAL ||
					 (!connected && (state == UPDATE_INSTALLING ||
							 state == UPDATE_INSTALLED));
			uint64_t days = 0;
			if (state == UPDATE_DEFERRED)
				world_gates(&w, device, false, 0);
			world_fast(&w, "2.0.0");
			if (state != UPDATE_OFFERED)
				until(&w, device, (enum update_state)state);
			if (!connected)
				world_cut(&w, device);
			world_check(&w);
			assert_int_equal(world_state(&w, device, 1), state);
			while (!update_state_is_final(world_state(&w, device, 1))) {
				assert_true(days++ < 9);
				world_advance(&w, 86400000);
			}
			assert_int_equal(world_state(&w, device, 1),
					 restarted ? UPDATE_LOST : UPDATE_TIMED_OUT);
			assert_int_equal(world_see(&w, 1)->places, 0);
			assert_non_null(world_update(&w, device, 1)->error);
			world_check(&w);
			world_stop(&w);
		}
	}
}

static void silence_counts_at_its_second(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_DOWNLOADING);
	world_advance(&w, 3600 * 1000 - 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	assert_int_equal(engine_fetch(w.engine, "gw1", 65536),
			 0); /* a slow one is not silent */
	world_advance(&w, 3600 * 1000 - 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	world_advance(&w, 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_TIMED_OUT);
	assert_int_equal(world_update(&w, device, 1)->error->err, OTA_DOWNLOAD_STALLED);
	world_stop(&w);
}

static void success_only_after_the_new_slot_has_booted(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	struct report report = {.v = 1,
				.seq = 90,
				.release = 1,
				.attempt = 1,
				.state = UPDATE_SUCCEEDED,
				.version = "1.0.0"};

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_INSTALLED);
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 0);
	report.digest = world_image("1.0.0");
	assert_int_equal(world_report(&w, device, &report), OTA_OK);
	assert_int_equal(world_state(&w, device, 1), UPDATE_FAILED); /* it runs the old one */
	assert_int_equal(world_update(&w, device, 1)->error->err, OTA_INTERNAL);
	world_stop(&w);
	device = world_begin_one(&w, "gw1");
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_TRIAL);
	assert_int_equal(world_state(&w, device, 1), UPDATE_TRIAL);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(device->granted, 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	world_stop(&w);
}

static void an_error_names_its_cause(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	struct report report = {.v = 1,
				.seq = 5,
				.release = 1,
				.attempt = 1,
				.state = UPDATE_FAILED,
				.version = "1.0.0",
				.has_error = true};
	struct engine_error errors[4];
	const struct update *update;

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_DOWNLOADING);
	report.digest = world_image("1.0.0");
	report.error =
		(struct report_error){.name = "insufficient_storage",
				      .number = 4,
				      .message = "slot b: 3145728 bytes missing: No space "
						 "left on device",
				      .detail = 28,
				      .state = UPDATE_DOWNLOADING};
	assert_int_equal(world_report(&w, device, &report), OTA_OK);
	for (int again = 0; again <= 1; again++) {
		update = world_update(&w, device, 1);
		assert_int_equal(update->error->err, OTA_INSUFFICIENT_STORAGE);
		assert_int_equal(update->error->detail, 28);
		assert_int_equal(update->error->state, UPDATE_DOWNLOADING);
		assert_non_null(strstr(update->error->message, "3145728 bytes missing"));
		assert_int_equal(engine_release_errors(world_see(&w, 1), errors, 4), 1);
		assert_int_equal(errors[0].count, 1);
		assert_ptr_equal(errors[0].sample, update->device);
		world_settle(&w);
		world_restart_broker(&w);
	}
	world_stop(&w);
}

static void state_never_goes_backwards(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	struct report late = {.v = 1, .release = 1, .attempt = 1, .version = "2.0.0"};

	(void)unused;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_NONE);
	late.digest = world_image("2.0.0");
	for (unsigned state = UPDATE_DEFERRED; state <= UPDATE_TRIAL; state++) {
		late.seq = 1000 + state; /* even with a number from the future */
		late.state = (enum update_state)state;
		assert_int_equal(world_report(&w, device, &late), OTA_OK);
		assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
		late.seq = 1; /* and from the past */
		assert_int_equal(world_report(&w, device, &late), OTA_OK);
		assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	}
	late.seq = 5000;
	late.state = UPDATE_SUCCEEDED;
	assert_int_equal(world_report(&w, device, &late), OTA_OK);
	world_settle(&w);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_DONE);
	world_check(&w);
	world_stop(&w);
}

static void a_power_cut_is_retried(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_DOWNLOADING);
	world_cut(&w, device);
	device->hand.state = UPDATE_NONE; /* and it forgot everything */
	device->number = 0;
	world_advance(&w, 7200000);
	assert_int_equal(world_state(&w, device, 1), UPDATE_TIMED_OUT);
	assert_string_equal(world_why(&w, device), "retry");
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	assert_int_equal(world_update(&w, device, 1)->attempt, 2);
	world_check(&w);
	world_stop(&w);
}

static void resume_after_a_reboot(void **unused)
{
	(void)unused;
	for (int silent = 0; silent <= 1; silent++) {
		struct world w;
		struct sim_device *device = world_begin_one(&w, "gw1");
		world_fast(&w, "2.0.0");
		until(&w, device, UPDATE_DOWNLOADING);
		world_cut(&w, device);
		world_advance(&w, silent ? 7200000 : 60000);
		assert_int_equal(world_state(&w, device, 1),
				 silent ? UPDATE_TIMED_OUT : UPDATE_DOWNLOADING);
		world_connect(&w, device); /* it still has the update in hand: it is believed */
		assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
		world_work(&w, UPDATE_NONE);
		assert_int_equal(device->offers, 1);
		assert_int_equal(device->downloads, 1);
		assert_int_equal(world_update(&w, device, 1)->attempt, 1);
		assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
		world_check(&w);
		world_stop(&w);
	}
}

static void version_is_known_after_a_failure(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	device->reverts = true;
	world_fast(&w, "2.0.0");
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, device, 1), UPDATE_ROLLED_BACK);
	assert_string_equal(device_version(engine_device(w.engine, "gw1")), "1.0.0");
	assert_int_equal(world_update(&w, device, 1)->error->err,
			 OTA_NO_CONNECTIVITY_AFTER_UPDATE);
	world_restart_broker(&w);
	assert_string_equal(device_version(engine_device(w.engine, "gw1")), "1.0.0");
	world_stop(&w);
}

static void it_says_why_a_device_waits(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	struct engine_why why;

	(void)unused;
	assert_string_equal(world_why(&w, device), "no_release");
	world_gates(&w, device, false, 0);
	world_fast(&w, "2.0.0");
	assert_int_equal(engine_why(w.engine, "gw1", &why, &w.why), OTA_OK);
	assert_string_equal(why.rule, "consent");
	assert_non_null(strstr(why.sentence, "the pump runs"));
	assert_int_equal(why.release->document.number, 1);
	assert_string_equal(why.firmware->version, "2.0.0");
	world_gates(&w, device, true, 0);
	until(&w, device, UPDATE_DOWNLOADING);
	assert_string_equal(world_why(&w, device), "in_hand");
	world_work(&w, UPDATE_NONE);
	assert_string_equal(world_why(&w, device), "on_target");
	assert_int_equal(engine_why(w.engine, "nobody", &why, &w.why), OTA_NOT_FOUND);
	world_stop(&w);
}

static void every_reason_has_a_name_and_a_sentence(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		assert_string_not_equal(reason_name((enum reason)i), "unknown");
		assert_string_not_equal(reason_sentence((enum reason)i), "unknown");
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(reason_name((enum reason)i),
						reason_name((enum reason)j));
	}
	assert_string_equal(reason_name(REASON_COUNT), "unknown");
}

static void lost_device_that_returns_is_believed(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	device->dies_at_restart = true;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_RESTARTING);
	world_step(&w, device);
	world_advance(&w, w.limits.restart_ms - 1);
	assert_int_equal(world_see(&w, 1)->tallies[0].overdue, 0);
	world_advance(&w, 1);
	assert_int_equal(world_see(&w, 1)->tallies[0].overdue, 1);
	assert_int_equal(world_state(&w, device, 1), UPDATE_RESTARTING);
	world_advance(&w, 3600000);
	assert_int_equal(world_state(&w, device, 1), UPDATE_LOST);
	assert_int_equal(world_see(&w, 1)->tallies[0].overdue, 0);
	device->dies_at_restart = false;
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	assert_int_equal(device->offers, 1);
	world_check(&w);
	world_stop(&w);
}

static void acknowledged_only_when_it_is_stored(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	size_t reports;

	(void)unused;
	world_fast(&w, "2.0.0");
	world_step(&w, device);
	world_step(&w, device);
	w.lazy_store = true;
	until(&w, device, UPDATE_DOWNLOADING);
	assert_int_equal(device->outbox_count, 1);
	store_memory_set_error(w.memory, OTA_INSUFFICIENT_STORAGE);
	w.lazy_store = false;
	world_settle(&w);
	assert_int_equal(device->inbox_count, 0); /* not stored, not acknowledged */
	store_memory_set_error(w.memory, OTA_OK);
	world_cut(&w, device);
	world_connect(&w, device); /* it sends it again */
	world_settle(&w);
	while (device->inbox_count)
		world_step(&w, device);
	assert_int_equal(device->outbox_count, 0);
	world_work(&w, UPDATE_NONE);
	reports = store_memory_count(w.memory, STORE_REPORT);
	world_report(&w, device,
		     &device->outbox[0]); /* stale memory: the last one, once more */
	world_settle(&w);
	assert_int_equal(store_memory_count(w.memory, STORE_REPORT), reports);
	world_stop(&w);
}

static void granted_only_when_it_is_stored(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_RESTARTING);
	w.lazy_store = true;
	until(&w, device, UPDATE_TRIAL);
	world_settle(&w);
	while (device->inbox_count)
		world_step(&w, device);
	assert_int_equal(device->granted, 0);
	store_memory_set_error(w.memory, OTA_IO_ERROR);
	w.lazy_store = false;
	world_settle(&w);
	while (device->inbox_count)
		world_step(&w, device);
	assert_int_equal(device->granted, 0);
	store_memory_set_error(w.memory, OTA_OK);
	world_hello(&w, device); /* it asks again */
	world_settle(&w);
	while (device->inbox_count)
		world_step(&w, device);
	assert_int_equal(device->granted, 1);
	world_stop(&w);
}

static void release_is_heard_of_only_when_it_is_stored(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	const struct release_spec spec = {.version = "2.0.0", .mode = RELEASE_FAST};
	uint64_t number;

	(void)unused;
	world_work(&w, UPDATE_NONE);
	w.lazy_store = true;
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_OK);
	world_advance(&w, 1000);
	assert_int_equal(device->inbox_count, 0);
	world_restart_broker(&w); /* and it is forgotten, by everybody */
	assert_int_equal(engine_product(w.engine, "lamp")->release_count, 0);
	w.lazy_store = false;
	store_memory_set_error(w.memory, OTA_IO_ERROR);
	world_connect(&w, device);
	assert_int_equal(world_try_release(&w, &spec, &number), OTA_OK);
	world_settle(&w);
	assert_int_equal(world_see(&w, 1)->state, RELEASE_ABORTED);
	store_memory_set_error(w.memory, OTA_OK);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(device->offers, 0);
	world_stop(&w);
}

static void trial_of_another_image_is_not_granted(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_RESTARTING);
	text_copy(w.releases[1].version, NAME_SIZE, "2.0.0-evil");
	until(&w, device, UPDATE_TRIAL);
	for (unsigned i = 0; i < 10; i++)
		world_step(&w, device);
	assert_int_equal(device->granted, 0);
	assert_int_not_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	world_stop(&w);
}

static void trial_of_an_ended_release_still_confirms(void **unused)
{
	(void)unused;
	for (int how = 0; how < 3; how++) {
		struct world w;
		struct sim_device *device = world_begin_one(&w, "gw1");
		world_fast(&w, "2.0.0");
		until(&w, device, UPDATE_RESTARTING);
		if (how == 0)
			world_release(&w, (struct release_spec){.version = "3.0.0"});
		else
			assert_int_equal(
				world_act(&w, 1,
					  how == 1 ? RELEASE_ACT_ABORT : RELEASE_ACT_HOLD),
				OTA_OK);
		world_advance(&w, 1000);
		for (unsigned i = 0; i < 20 && device->granted == 0; i++) {
			world_step(&w, device);
			world_settle(&w);
		}
		assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
		world_stop(&w);
	}
}

static void broker_killed_at_every_step_loses_nothing(void **unused)
{
	unsigned steps = 1;

	(void)unused;
	for (unsigned at = 0; at < steps; at++) {
		struct world w;
		struct sim_device *device = world_begin_one(&w, "gw1");
		unsigned step = 0;
		world_fast(&w, "2.0.0");
		while (device->granted == 0 || device->outbox_count || device->inbox_count) {
			if (step++ == at) {
				world_restart_broker(&w);
				world_connect(&w, device);
			}
			world_step(&w, device);
			world_settle(&w);
			world_check(&w);
			assert_true(step < 200);
		}
		assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
		assert_int_equal(device->downloads, 1);
		if (at == 0)
			steps = step;
		world_stop(&w);
	}
	print_message("broker killed at %u points\n", steps);
}

static void busy_store_refuses_by_name_and_nothing_is_lost(void **unused)
{
	struct world w;
	struct sim_device *device = world_begin_one(&w, "gw1");
	struct product_change change = {.title = "x"};

	(void)unused;
	world_fast(&w, "2.0.0");
	until(&w, device, UPDATE_DOWNLOADING);
	store_memory_set_room(w.memory, 8);
	assert_int_equal(engine_product_create(w.engine, "other", &change, &w.why), OTA_BUSY);
	world_tell(&w, device, UPDATE_DOWNLOADED, OTA_OK);
	assert_int_equal(w.why.err, OTA_BUSY);
	assert_int_equal(world_state(&w, device, 1), UPDATE_DOWNLOADING);
	store_memory_set_room(w.memory, 100000);
	world_cut(&w, device);
	world_connect(&w, device);
	world_work(&w, UPDATE_NONE);
	assert_int_equal(world_state(&w, device, 1), UPDATE_SUCCEEDED);
	assert_int_equal(device->outbox_count, 0);
	world_stop(&w);
}

static void stranger_is_quarantined_or_denied_as_the_product_says(void **unused)
{
	const bool yes = true;
	const struct product_change closed = {.import_only = &yes};
	struct world w;
	struct sim_device *stranger;

	(void)unused;
	world_begin_one(&w, "gw1");
	stranger = &w.devices[w.device_count++];
	*stranger = (struct sim_device){.id = "s1",
					.product = "lamp",
					.hardware = "a",
					.version = "1.0.0",
					.slot_size = 1u << 20};
	world_connect(&w, stranger);
	assert_int_equal(engine_device(w.engine, "s1")->status, DEVICE_QUARANTINED);
	assert_int_equal(engine_product_update(w.engine, "lamp", &closed, &w.why), OTA_OK);
	stranger = &w.devices[w.device_count++];
	*stranger = w.devices[w.device_count - 2];
	text_copy(stranger->id, NAME_SIZE, "s2");
	stranger->online = false;
	stranger->inbox = NULL;
	stranger->inbox_count = stranger->inbox_room = 0;
	world_connect(&w, stranger);
	assert_int_equal(engine_device(w.engine, "s2")->status, DEVICE_DENIED);
	world_settle(&w);
	world_restart_broker(&w);
	assert_int_equal(engine_device(w.engine, "s1")->status, DEVICE_QUARANTINED);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_update_stays_in_progress_for_ever),
		cmocka_unit_test(silence_counts_at_its_second),
		cmocka_unit_test(success_only_after_the_new_slot_has_booted),
		cmocka_unit_test(an_error_names_its_cause),
		cmocka_unit_test(state_never_goes_backwards),
		cmocka_unit_test(a_power_cut_is_retried),
		cmocka_unit_test(resume_after_a_reboot),
		cmocka_unit_test(version_is_known_after_a_failure),
		cmocka_unit_test(it_says_why_a_device_waits),
		cmocka_unit_test(every_reason_has_a_name_and_a_sentence),
		cmocka_unit_test(lost_device_that_returns_is_believed),
		cmocka_unit_test(acknowledged_only_when_it_is_stored),
		cmocka_unit_test(granted_only_when_it_is_stored),
		cmocka_unit_test(release_is_heard_of_only_when_it_is_stored),
		cmocka_unit_test(trial_of_another_image_is_not_granted),
		cmocka_unit_test(trial_of_an_ended_release_still_confirms),
		cmocka_unit_test(broker_killed_at_every_step_loses_nothing),
		cmocka_unit_test(busy_store_refuses_by_name_and_nothing_is_lost),
		cmocka_unit_test(stranger_is_quarantined_or_denied_as_the_product_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
