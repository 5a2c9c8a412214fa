/* What holds at every instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

/* Of each error as many as there are updates with it; those that left memory count on. */
static void check_errors(const struct product *product, const struct release *release,
			 bool all_in_memory)
{
	for (uint32_t e = 0; e < release->error_count; e++) {
		const struct release_error *error = &release->errors[e];
		uint32_t count = 0;
		for (uint32_t i = 0; i < product->device_count; i++) {
			const struct update *update =
				device_update(product->devices[i], release);
			count += update && update->error && update->error->err == error->err;
		}
		assert_true(count <= error->count);
		if (all_in_memory)
			assert_int_equal(count, error->count);
	}
}

static void check_release(const struct product *product, const struct release *release,
			  uint32_t limit)
{
	uint32_t counts[UPDATE_STATE_COUNT] = {0}, places = 0, in_waves = 0, away = 0, all = 0;

	for (uint32_t i = 0; i < product->device_count; i++) {
		const struct update *update = device_update(product->devices[i], release);
		if (!update)
			continue;
		counts[update->state]++;
		all++;
		places += (update->flags & UPDATE_PLACE) != 0;
		away += !product->devices[i]->online && update->state >= UPDATE_OFFERED &&
			update->state <= UPDATE_INSTALLED && update->state != UPDATE_DEFERRED;
	}
	for (uint32_t i = 0; i < release->wave_count; i++) {
		for (unsigned s = 0; s < UPDATE_STATE_COUNT; s++)
			in_waves += release->tallies[i].counts[s];
		away -= release->tallies[i].away;
	}
	assert_int_equal(away, 0);
	assert_int_equal(in_waves, release_total(release));
	assert_int_equal(places, release->places);
	assert_true(places <= limit);
	check_errors(product, release, all == release_total(release));
	for (unsigned s = 0; s < UPDATE_STATE_COUNT; s++) {
		/* what has left memory is final, and still counted */
		if (update_state_is_final((enum update_state)s))
			assert_true(counts[s] <= release->counts[s]);
		else
			assert_int_equal(counts[s], release->counts[s]);
	}
}

void world_check(struct world *world)
{
	for (const struct product *product = engine_product_after(world->engine, NULL); product;
	     product = engine_product_after(world->engine, product->name)) {
		uint32_t statuses = 0;
		for (unsigned i = 0; i < DEVICE_STATUS_COUNT; i++)
			statuses += product->status_counts[i];
		assert_int_equal(statuses, product->device_count);
		for (uint32_t i = 0; i < product->release_count; i++) {
			const struct release *release = product->releases[i];
			uint32_t limit = release->document.max_concurrent;
			check_release(product, release,
				      limit ? limit : world->limits.max_concurrent);
		}
	}
	for (unsigned i = 0; i < world->device_count; i++)
		assert_false(world->devices[i].twice);
}
