/* The mode table of PRODUCT.md, cell by cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <string.h>

struct cell {
	struct world world;
	struct sim_device *device;
	uint64_t release;
};

static void begin(struct cell *cell)
{
	world_start(&cell->world);
	cell->device = world_device(&cell->world, "gw1");
	world_firmware(&cell->world, "2.0.0");
}

static void release(struct cell *cell, enum release_mode mode, bool force)
{
	cell->release = world_release(
		&cell->world,
		(struct release_spec){.version = "2.0.0", .mode = mode, .force = force});
	world_work(&cell->world, UPDATE_DOWNLOADING);
}

static void end(struct cell *cell)
{
	world_check(&cell->world);
	world_stop(&cell->world);
}

static enum update_state state(const struct cell *cell)
{
	return world_state(&cell->world, cell->device, cell->release);
}

/* Everything a device can be sent, but welcome and acks. */
static unsigned told(const struct cell *cell)
{
	const struct sim_device *device = cell->device;

	return device->offers + device->canceled + device->resumed + device->rehellos;
}

static void standard_online_enabled_hears_nothing_until_its_next_hello(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	world_connect(&c.world, c.device);
	release(&c, RELEASE_STANDARD, false);
	world_advance(&c.world, 86400000);
	assert_int_equal(told(&c), 0);
	assert_int_equal(state(&c), UPDATE_TARGETED);
	assert_string_equal(world_why(&c.world, c.device), "next_hello");
	world_hello(&c.world, c.device); /* on the same connection: not a reconnection */
	world_settle(&c.world);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(told(&c), 0);
	world_cut(&c.world, c.device);
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(c.device->offers, 1);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void fast_online_enabled_is_told_now(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	world_connect(&c.world, c.device);
	release(&c, RELEASE_FAST, false);
	assert_int_equal(c.device->offers, 1);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void fast_connected_without_a_hello_is_told_at_its_hello(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->online = true;
	engine_connected(c.world.engine, "gw1");
	release(&c, RELEASE_FAST, false);
	assert_int_equal(c.device->offers, 0);
	assert_string_equal(world_why(&c.world, c.device), "offline");
	world_hello(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(c.device->offers, 1);
	end(&c);
}

static void device_that_has_its_place_is_not_told_again(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_NONE);
	c.release = world_release(
		&c.world, (struct release_spec){.version = "2.0.0", .mode = RELEASE_FAST});
	world_gates(&c.world, c.device, true, 0);
	world_gates(&c.world, c.device, true, 0);
	world_work(&c.world, UPDATE_DOWNLOADING);
	world_gates(&c.world, c.device, true, 0);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(c.device->offers, 1);
	assert_int_equal(c.device->resumed, 0);
	end(&c);
}

static void standard_online_disabled_is_pending_at_its_next_hello(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	release(&c, RELEASE_STANDARD, false);
	assert_int_equal(told(&c), 0);
	assert_string_equal(world_why(&c.world, c.device), "next_hello");
	world_cut(&c.world, c.device);
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(state(&c), UPDATE_DEFERRED);
	assert_string_equal(world_why(&c.world, c.device), "consent");
	end(&c);
}

static void fast_online_disabled_is_pending_now(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	release(&c, RELEASE_FAST, false);
	assert_int_equal(state(&c), UPDATE_DEFERRED);
	assert_int_equal(world_see(&c.world, c.release)->places, 0);
	assert_string_equal(world_why(&c.world, c.device), "consent");
	end(&c);
}

static void standard_enabling_without_reconnecting_starts_nothing(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	release(&c, RELEASE_STANDARD, false);
	world_gates(&c.world, c.device, true, 0);
	world_advance(&c.world, 60000);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(told(&c), 0);
	assert_int_equal(state(&c), UPDATE_TARGETED);
	end(&c);
}

static void fast_enabling_without_reconnecting_starts_at_once(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	release(&c, RELEASE_FAST, false);
	world_gates(&c.world, c.device, true, 0);
	assert_int_equal(world_see(&c.world, c.release)->places, 1);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(c.device->resumed, 1);
	assert_int_equal(c.device->offers, 1);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void reconnects_still_disabled_and_enables_later(enum release_mode mode)
{
	struct cell c;

	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	release(&c, mode, false);
	world_cut(&c.world, c.device);
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(state(&c), UPDATE_DEFERRED);
	world_gates(&c.world, c.device, true, 0);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	assert_int_equal(c.device->offers, 1);
	end(&c);
}

static void standard_reconnecting_disabled_then_enabling_starts(void **unused)
{
	(void)unused;
	reconnects_still_disabled_and_enables_later(RELEASE_STANDARD);
}

static void fast_reconnecting_disabled_then_enabling_starts(void **unused)
{
	(void)unused;
	reconnects_still_disabled_and_enables_later(RELEASE_FAST);
}

static void offline_device_starts_at_its_next_hello(enum release_mode mode)
{
	struct cell c;

	begin(&c);
	release(&c, mode, false);
	assert_int_equal(state(&c), UPDATE_TARGETED);
	assert_string_equal(world_why(&c.world, c.device), "offline");
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(c.device->offers, 1);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void standard_offline_starts_at_its_next_hello(void **unused)
{
	(void)unused;
	offline_device_starts_at_its_next_hello(RELEASE_STANDARD);
}

static void fast_offline_starts_at_its_next_hello(void **unused)
{
	(void)unused;
	offline_device_starts_at_its_next_hello(RELEASE_FAST);
}

static void standard_forced_ignores_the_gate_at_the_next_hello(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	release(&c, RELEASE_STANDARD, true);
	assert_int_equal(told(&c), 0);
	world_cut(&c.world, c.device);
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void fast_forced_ignores_the_gate_now(void **unused)
{
	const bool yes = true;
	const struct device_change disabled = {.updates_disabled = &yes};
	struct cell c;

	(void)unused;
	begin(&c);
	c.device->gates.download = false;
	world_connect(&c.world, c.device);
	assert_int_equal(engine_device_set(c.world.engine, "gw1", &disabled, &c.world.why),
			 OTA_OK);
	release(&c, RELEASE_FAST, true);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void never(enum release_mode mode, const char *rule,
		  void (*prepare)(struct world *world, struct sim_device *device))
{
	struct cell c;

	begin(&c);
	world_firmware(&c.world, "1.5.0");
	prepare(&c.world, c.device);
	if (engine_device(c.world.engine, "gw1")->status != DEVICE_DENIED)
		world_connect(&c.world, c.device);
	release(&c, mode, true);
	assert_string_equal(world_why(&c.world, c.device), rule);
	if (c.device->online) {
		world_cut(&c.world, c.device);
		world_connect(&c.world, c.device);
		world_work(&c.world, UPDATE_DOWNLOADING);
	}
	assert_int_equal(told(&c), 0);
	assert_int_equal(state(&c), UPDATE_NONE);
	assert_int_equal(release_total(world_see(&c.world, c.release)), 0);
	end(&c);
}

static void make_development(struct world *world, struct sim_device *device)
{
	const bool yes = true;
	const struct device_change change = {.development = &yes};

	assert_int_equal(engine_device_set(world->engine, device->id, &change, &world->why),
			 OTA_OK);
}

static void pin_elsewhere(struct world *world, struct sim_device *device)
{
	const struct device_change change = {.pin = "1.5.0"};

	assert_int_equal(engine_device_set(world->engine, device->id, &change, &world->why),
			 OTA_OK);
}

static void deny(struct world *world, struct sim_device *device)
{
	enum engine_answer answer;

	assert_int_equal(engine_device_deny(world->engine, device->id, &answer, &world->why),
			 OTA_OK);
	assert_int_equal(answer, ENGINE_CHANGED);
}

static void development_device_never(void **unused)
{
	(void)unused;
	never(RELEASE_STANDARD, "development", make_development);
	never(RELEASE_FAST, "development", make_development);
}

static void device_pinned_elsewhere_never(void **unused)
{
	(void)unused;
	never(RELEASE_STANDARD, "pin_waits", pin_elsewhere);
	never(RELEASE_FAST, "pin_waits", pin_elsewhere);
}

static void denied_device_never(void **unused)
{
	(void)unused;
	never(RELEASE_STANDARD, "denied", deny);
	never(RELEASE_FAST, "denied", deny);
}

static void quarantined_device_never(void **unused)
{
	(void)unused;
	for (int mode = RELEASE_STANDARD; mode <= RELEASE_FAST; mode++) {
		struct cell c;
		begin(&c);
		/* one that nobody imported: it shows up by itself */
		c.device = &c.world.devices[c.world.device_count++];
		*c.device = c.world.devices[0];
		text_copy(c.device->id, NAME_SIZE, "stranger");
		world_connect(&c.world, c.device);
		release(&c, (enum release_mode)mode, true);
		assert_int_equal(told(&c), 0);
		assert_int_equal(c.device->welcomed, 1);
		assert_string_equal(world_why(&c.world, c.device), "quarantined");
		assert_int_equal(state(&c), UPDATE_NONE);
		end(&c);
	}
}

static void approval_follows_the_mode_of_the_release(void **unused)
{
	(void)unused;
	for (int mode = RELEASE_STANDARD; mode <= RELEASE_FAST; mode++) {
		struct cell c;
		enum engine_answer answer;
		begin(&c);
		c.device = &c.world.devices[c.world.device_count++];
		*c.device = c.world.devices[0];
		text_copy(c.device->id, NAME_SIZE, "stranger");
		world_connect(&c.world, c.device);
		release(&c, (enum release_mode)mode, false);
		assert_int_equal(engine_device_approve(c.world.engine, "stranger", NULL,
						       &answer, &c.world.why),
				 OTA_OK);
		world_work(&c.world, UPDATE_DOWNLOADING);
		assert_int_equal(state(&c),
				 mode == RELEASE_FAST ? UPDATE_DOWNLOADING : UPDATE_TARGETED);
		end(&c);
	}
}

static void standard_already_on_target_says_so_at_its_next_hello(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	text_copy(c.device->version, NAME_SIZE, "2.0.0");
	world_connect(&c.world, c.device);
	release(&c, RELEASE_STANDARD, false);
	assert_int_equal(state(&c), UPDATE_TARGETED);
	world_cut(&c.world, c.device);
	world_connect(&c.world, c.device);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(state(&c), UPDATE_ALREADY_INSTALLED);
	assert_int_equal(told(&c), 0);
	end(&c);
}

static void fast_already_on_target_says_so_now(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	text_copy(c.device->version, NAME_SIZE, "2.0.0");
	world_connect(&c.world, c.device);
	release(&c, RELEASE_FAST, false);
	assert_int_equal(state(&c), UPDATE_ALREADY_INSTALLED);
	assert_int_equal(told(&c), 0);
	assert_int_equal(world_see(&c.world, c.release)->state, RELEASE_DONE);
	end(&c);
}

static void standard_turns_fast_at_its_deadline(void **unused)
{
	struct cell c;
	struct release_spec spec = {.version = "2.0.0", .deadline_s = 3600};

	(void)unused;
	begin(&c);
	world_connect(&c.world, c.device);
	c.release = world_release(&c.world, spec);
	world_advance(&c.world, 3600 * 1000 - 1);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(told(&c), 0);
	world_advance(&c.world, 1);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(c.device->offers, 1);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void updates_disabled_by_a_manager_wait_for_him(void **unused)
{
	const bool yes = true, no = false;
	const struct device_change disable = {.updates_disabled = &yes};
	const struct device_change enable = {.updates_disabled = &no};
	struct cell c;

	(void)unused;
	begin(&c);
	world_connect(&c.world, c.device);
	assert_int_equal(engine_device_set(c.world.engine, "gw1", &disable, &c.world.why),
			 OTA_OK);
	release(&c, RELEASE_FAST, false);
	assert_int_equal(told(&c), 0);
	assert_string_equal(world_why(&c.world, c.device), "disabled");
	assert_int_equal(engine_device_set(c.world.engine, "gw1", &enable, &c.world.why),
			 OTA_OK);
	world_work(&c.world, UPDATE_DOWNLOADING);
	assert_int_equal(state(&c), UPDATE_DOWNLOADING);
	end(&c);
}

static void crashed_applications_hold_ends_with_its_lease(void **unused)
{
	struct cell c;

	(void)unused;
	begin(&c);
	world_connect(&c.world, c.device);
	world_gates(&c.world, c.device, false, 600);
	c.device->lease_until_ms = 0; /* the agent says nothing: the plugin knows by itself */
	release(&c, RELEASE_FAST, false);
	assert_int_equal(state(&c), UPDATE_DEFERRED);
	world_advance(&c.world, 600 * 1000 - 1);
	assert_int_equal(c.device->inbox_count, 0);
	world_advance(&c.world, 1);
	world_step(&c.world, c.device);
	assert_int_equal(c.device->resumed, 1);
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standard_online_enabled_hears_nothing_until_its_next_hello),
		cmocka_unit_test(fast_online_enabled_is_told_now),
		cmocka_unit_test(fast_connected_without_a_hello_is_told_at_its_hello),
		cmocka_unit_test(device_that_has_its_place_is_not_told_again),
		cmocka_unit_test(standard_online_disabled_is_pending_at_its_next_hello),
		cmocka_unit_test(fast_online_disabled_is_pending_now),
		cmocka_unit_test(standard_enabling_without_reconnecting_starts_nothing),
		cmocka_unit_test(fast_enabling_without_reconnecting_starts_at_once),
		cmocka_unit_test(standard_reconnecting_disabled_then_enabling_starts),
		cmocka_unit_test(fast_reconnecting_disabled_then_enabling_starts),
		cmocka_unit_test(standard_offline_starts_at_its_next_hello),
		cmocka_unit_test(fast_offline_starts_at_its_next_hello),
		cmocka_unit_test(standard_forced_ignores_the_gate_at_the_next_hello),
		cmocka_unit_test(fast_forced_ignores_the_gate_now),
		cmocka_unit_test(development_device_never),
		cmocka_unit_test(device_pinned_elsewhere_never),
		cmocka_unit_test(denied_device_never),
		cmocka_unit_test(quarantined_device_never),
		cmocka_unit_test(approval_follows_the_mode_of_the_release),
		cmocka_unit_test(standard_already_on_target_says_so_at_its_next_hello),
		cmocka_unit_test(fast_already_on_target_says_so_now),
		cmocka_unit_test(standard_turns_fast_at_its_deadline),
		cmocka_unit_test(updates_disabled_by_a_manager_wait_for_him),
		cmocka_unit_test(crashed_applications_hold_ends_with_its_lease),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
