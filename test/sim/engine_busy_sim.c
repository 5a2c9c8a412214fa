/* A store whose queue is short: whatever concerns everybody goes on in slices, and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <string.h>

#define DEVICES 400u

static void sweeps_go_on_when_the_store_is_behind(void **unused)
{
	struct world w;

	(void)unused;
	world_start(&w);
	world_firmware(&w, "2.0.0");
	world_firmware(&w, "3.0.0");
	world_fleet(&w, "gw", DEVICES, false);
	store_memory_set_room(w.memory, 400);
	world_release(&w, (struct release_spec){.version = "2.0.0"});
	assert_int_equal(world_count(&w, 1, UPDATE_TARGETED), DEVICES);
	world_release(&w, (struct release_spec){.version = "3.0.0"});
	for (unsigned i = 0; i < 50; i++)
		world_advance(&w, 100);
	assert_int_equal(world_count(&w, 1, UPDATE_SUPERSEDED), DEVICES);
	assert_int_equal(world_count(&w, 2, UPDATE_TARGETED), DEVICES);
	world_check(&w);
	world_stop(&w);
}

static void start_with_more_to_store_than_the_queue_takes_does_not_hang(void **unused)
{
	struct world w;

	(void)unused;
	world_start(&w);
	world_firmware(&w, "2.0.0");
	world_fleet(&w, "gw", DEVICES, false);
	for (unsigned i = 0; i < w.device_count; i++) {
		text_copy(w.devices[i].version, NAME_SIZE, "2.0.0");
		world_connect(&w, &w.devices[i]);
	}
	world_settle(&w);
	w.lazy_store = true;
	world_release(&w, (struct release_spec){.version = "2.0.0", .mode = RELEASE_FAST});
	store_memory_commit(w.memory); /* the release, and none of what follows from it */
	store_memory_set_room(w.memory, 300);
	world_restart_broker(&w);
	w.lazy_store = false;
	for (unsigned i = 0; i < 50; i++)
		world_advance(&w, 100);
	assert_int_equal(world_count(&w, 1, UPDATE_ALREADY_INSTALLED), DEVICES);
	world_check(&w);
	world_stop(&w);
}

static void places_are_given_on_when_the_store_is_behind(void **unused)
{
	struct world w;

	(void)unused;
	world_start(&w);
	world_firmware(&w, "2.0.0");
	world_fleet(&w, "gw", 100, true);
	store_memory_set_room(w.memory, 300);
	world_release(&w, (struct release_spec){.version = "2.0.0",
						.mode = RELEASE_FAST,
						.max_concurrent = 3});
	for (unsigned i = 0; i < 20; i++) {
		world_work(&w, UPDATE_NONE);
		world_check(&w);
		for (unsigned d = 0; d < w.device_count; d++) {
			if (!w.devices[d].online || !w.devices[d].outbox_count)
				continue;
			world_cut(&w, &w.devices[d]); /* what was refused comes again */
			world_connect(&w, &w.devices[d]);
		}
	}
	assert_int_equal(world_count(&w, 1, UPDATE_SUCCEEDED), 100);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sweeps_go_on_when_the_store_is_behind),
		cmocka_unit_test(start_with_more_to_store_than_the_queue_takes_does_not_hang),
		cmocka_unit_test(places_are_given_on_when_the_store_is_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
