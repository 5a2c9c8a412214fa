/* Random histories: fifty devices, a manager who changes his mind, links that break, a broker
 * that dies. At every step the counts add up, places are within their limit, no device is
 * offered an attempt twice, nothing final goes back; and in the end everything ends.
 * OTA_HISTORIES sets how many (1,000; 10,000 take a minute), OTA_SEED where they begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES	     50u
#define STEPS	     220u
#define RELEASES     6u
#define HEARD_MAX    32u
#define PERMUTATIONS 4u

struct seen {
	uint32_t attempt;
	enum update_state state;
};

struct history {
	struct world world;
	struct report heard[HEARD_MAX]; /* reports that may come once more */
	struct sim_device *speaker[HEARD_MAX];
	unsigned heard_count;
	struct seen seen[DEVICES][RELEASES + 1];
	unsigned restarts, reports, offers;
};

static unsigned seed, finished;

static void say_seed(void)
{
	if (!finished)
		fprintf(stderr, "the history of OTA_SEED=%u failed\n", seed);
}

static uint32_t number_from(const char *name, uint32_t fallback)
{
	const char *text = getenv(name);
	uint64_t value;

	return text && text_to_u64(text, UINT32_MAX, &value) ? (uint32_t)value : fallback;
}

static void remember(struct history *history, struct sim_device *device)
{
	unsigned at = history->heard_count++ % HEARD_MAX;

	if (!device->outbox_count)
		return;
	history->heard[at] =
		device->outbox[world_random(&history->world, device->outbox_count)];
	history->speaker[at] = device;
}

static bool is_reported_end(enum update_state state)
{
	return state == UPDATE_SUCCEEDED || state == UPDATE_ALREADY_INSTALLED ||
	       state == UPDATE_FAILED || state == UPDATE_ROLLED_BACK ||
	       state == UPDATE_REJECTED;
}

static void nothing_goes_back(struct history *history)
{
	const struct world *world = &history->world;
	const struct product *product = engine_product(world->engine, "lamp");

	for (unsigned d = 0; d < world->device_count; d++) {
		const struct device *device =
			engine_device(world->engine, world->devices[d].id);
		for (uint32_t r = 0; r < product->release_count && r < RELEASES; r++) {
			const struct update *update =
				device_update(device, product->releases[r]);
			struct seen *seen = &history->seen[d][r];
			if (!update)
				continue;
			if (update->attempt == seen->attempt && is_reported_end(seen->state))
				assert_true(is_reported_end((enum update_state)update->state));
			seen->attempt = update->attempt;
			seen->state = (enum update_state)update->state;
		}
	}
}

static void make_release(struct history *history)
{
	static const struct release_wave waves[] = {{.share = 1000}, {.share = 10000}};
	static const char *const versions[] = {"1.1.0", "1.2.0", "1.3.0", "1.4.0"};
	struct world *world = &history->world;
	struct release_thresholds thresholds = document_thresholds_default;
	struct release_spec spec = {.version = versions[world_random(world, 4)],
				    .kind = (enum release_target)world_random(world, 3),
				    .mode = world_random(world, 3) ? RELEASE_FAST
								   : RELEASE_STANDARD,
				    .force = world_random(world, 8) == 0,
				    .allow_downgrade = world_random(world, 2) == 0,
				    .rollback_on_halt = world_random(world, 4) == 0,
				    .max_concurrent = 1 + world_random(world, 12),
				    .thresholds = &thresholds};
	uint64_t number;

	if (engine_product(world->engine, "lamp")->release_count >= RELEASES)
		return;
	if (world_random(world, 2)) {
		spec.waves = waves;
		spec.wave_count = 2;
	}
	if (world_random(world, 4) == 0)
		spec.deadline_s = 1 + world_random(world, 3600);
	thresholds.bake_s = world_random(world, 600);
	thresholds.silence_s = 600 + world_random(world, 3600);
	spec.name = spec.kind == RELEASE_TO_GROUP    ? "beta"
		    : spec.kind == RELEASE_TO_DEVICE ? world->devices[0].id
						     : NULL;
	(void)!world_try_release(world, &spec, &number);
}

static void manage(struct history *history, struct sim_device *device)
{
	static const bool yes = true, no = false;
	static const char *const pins[] = {"", "1.2.0", "1.3.0"};
	struct world *world = &history->world;
	struct device_change change = {0};
	enum engine_answer answer;
	uint32_t releases = engine_product(world->engine, "lamp")->release_count;
	uint32_t number = 1 + world_random(world, releases ? releases : 1);

	switch (world_random(world, 9)) {
	case 0:
		change.pin = pins[world_random(world, 3)];
		break;
	case 1:
		change.development = world_random(world, 2) ? &yes : &no;
		break;
	case 2:
		change.updates_disabled = world_random(world, 2) ? &yes : &no;
		break;
	case 3:
		(void)!engine_group_edit(world->engine, "lamp", "beta", device->id,
					 world_random(world, 2), &answer, &world->why);
		return;
	case 4:
		if (world_random(world, 3))
			(void)!engine_device_approve(world->engine, device->id, NULL, &answer,
						     &world->why);
		else
			(void)!engine_device_deny(world->engine, device->id, &answer,
						  &world->why);
		return;
	case 5:
		if (releases)
			(void)!world_retry(world, number);
		return;
	default:
		if (releases)
			(void)!world_act(
				world, number,
				(enum release_act)world_random(world, RELEASE_ACT_COUNT));
		return;
	}
	(void)!engine_device_set(world->engine, device->id, &change, &world->why);
}

static void break_something(struct history *history, struct sim_device *device)
{
	static const enum ota_err errors[] = {OTA_DOWNLOAD_STALLED, OTA_INSUFFICIENT_STORAGE,
					      OTA_SIGNATURE_INVALID, OTA_INSTALL_FAILED};
	struct world *world = &history->world;

	switch (world_random(world, 4)) {
	case 0:
		device->fails_in = UPDATE_DOWNLOADING + world_random(world, 3);
		device->fails_with = errors[world_random(world, 4)];
		break;
	case 1:
		device->reverts = true;
		break;
	case 2:
		device->dies_at_restart = !device->dies_at_restart;
		break;
	default:
		world_gates(world, device, world_random(world, 2),
			    world_random(world, 2) ? 60 + world_random(world, 600) : 0);
		break;
	}
}

static void restart_broker(struct history *history)
{
	struct world *world = &history->world;

	world_restart_broker(world);
	history->restarts++;
	memset(history->seen, 0,
	       sizeof(history->seen)); /* what was not committed is not known */
	for (unsigned i = 0; i < world->device_count; i++) {
		if (world_random(world, 2))
			world_connect(world, &world->devices[i]);
	}
}

static void repeat_a_report(struct history *history)
{
	struct world *world = &history->world;
	unsigned at = world_random(world, HEARD_MAX);

	if (!history->speaker[at])
		return;
	(void)!world_report(world, history->speaker[at], &history->heard[at]);
	history->reports++;
}

static void step(struct history *history)
{
	struct world *world = &history->world;
	struct sim_device *device = &world->devices[world_random(world, world->device_count)];
	uint32_t dice = world_random(world, 100);

	if (dice < 50) {
		for (unsigned i = 0; i < 24; i++) {
			device = &world->devices[world_random(world, world->device_count)];
			world_step(world, device);
			remember(history, device);
		}
	} else if (dice < 65) {
		if (device->online)
			world_cut(world, device);
		else if (!device->dies_at_restart || device->hand.state != UPDATE_RESTARTING)
			world_connect(world, device);
	} else if (dice < 72) {
		repeat_a_report(history);
	} else if (dice < 78) {
		break_something(history, device);
	} else if (dice < 84) {
		manage(history, device);
	} else if (dice < 88) {
		make_release(history);
	} else if (dice < 98) {
		world_advance(world, world_random(world, 4) ? world_random(world, 60000)
							    : world_random(world, 7200000));
	} else {
		restart_broker(history);
	}
	if (world_random(world, 2))
		world_settle(world);
	world_check(world);
	nothing_goes_back(history);
}

/* Everybody is well and connected, and time passes: everything has to end. */
static void everything_ends(struct history *history)
{
	struct world *world = &history->world;
	const struct product *product;

	for (unsigned i = 0; i < world->device_count; i++) {
		struct sim_device *device = &world->devices[i];
		device->fails_in = UPDATE_NONE;
		device->reverts = device->dies_at_restart = device->fails_always = false;
		device->lease_until_ms = 0;
		if (device->online)
			world_cut(world, device);
		device->gates = (struct consent_gates){true, true, true};
		world_connect(world, device);
	}
	product = engine_product(world->engine, "lamp");
	for (uint32_t i = 0; i < product->release_count; i++)
		(void)!world_act(world, i + 1, RELEASE_ACT_RESUME);
	for (unsigned i = 0; i < 4; i++) {
		world_work(world, UPDATE_NONE);
		world_check(world);
		nothing_goes_back(history);
		world_advance(world, 9 * UINT64_C(86400000));
	}
	for (uint32_t i = 0; i < product->release_count; i++) {
		const struct release *release = product->releases[i];
		for (unsigned s = UPDATE_OFFERED; s <= UPDATE_TRIAL; s++)
			assert_int_equal(release->counts[s], 0);
	}
}

static void run(struct history *history)
{
	struct world *world = &history->world;

	world_start(world);
	world->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	world_firmware(world, "1.1.0");
	world_firmware(world, "1.2.0");
	world_firmware(world, "1.3.0");
	world_firmware(world, "1.4.0");
	world_group(world, "beta", NULL);
	world->limits.fan_out_least = 20;
	world->limits.slice = 16; /* so that sweeps and walks are interrupted */
	world->limits.shards = 8;
	world_settle(world);
	world_restart_broker(world);
	world_fleet(world, "gw", DEVICES, false);
	for (unsigned i = 0; i < DEVICES; i++) {
		if (i % 3 == 0)
			world_group(world, "beta", world->devices[i].id);
		if (world_random(world, 4))
			world_connect(world, &world->devices[i]);
	}
	make_release(history);
	for (unsigned i = 0; i < STEPS; i++)
		step(history);
	everything_ends(history);
	for (unsigned i = 0; i < DEVICES; i++)
		history->offers += world->devices[i].offers;
	world_stop(world);
}

static void random_histories_keep_every_promise(void **unused)
{
	uint32_t count = number_from("OTA_HISTORIES", 1000), first = number_from("OTA_SEED", 1);
	uint64_t restarts = 0, offers = 0, repeated = 0;

	(void)unused;
	atexit(say_seed);
	for (seed = first; seed < first + count; seed++) {
		static struct history history;
		memset(&history, 0, sizeof(history));
		run(&history);
		restarts += history.restarts;
		offers += history.offers;
		repeated += history.reports;
	}
	finished = 1;
	assert_true(offers > 10 * (uint64_t)count && repeated > count && restarts > count);
	print_message(
		"%u histories of %u devices and %u steps: %llu offers, %llu reports repeated, "
		"%llu broker restarts\n",
		count, DEVICES, STEPS, (unsigned long long)offers, (unsigned long long)repeated,
		(unsigned long long)restarts);
}

static void shuffle(struct world *world, struct report *reports, unsigned count)
{
	for (unsigned i = count; i > 1; i--) {
		unsigned j = world_random(world, i);
		struct report kept = reports[i - 1];
		reports[i - 1] = reports[j];
		reports[j] = kept;
	}
}

static unsigned make_reports(struct world *world, struct report *reports)
{
	static const enum update_state states[] = {
		UPDATE_DEFERRED,   UPDATE_DOWNLOADING, UPDATE_DOWNLOADED, UPDATE_VERIFIED,
		UPDATE_INSTALLING, UPDATE_INSTALLED,   UPDATE_RESTARTING, UPDATE_TRIAL,
		UPDATE_SUCCEEDED,  UPDATE_FAILED,      UPDATE_ROLLED_BACK};
	unsigned count = 2 + world_random(world, 14);

	for (unsigned i = 0; i < count; i++) {
		struct report *report = &reports[i];
		memset(report, 0, sizeof(*report));
		report->v = 1;
		report->seq = i + 1;
		report->release = 1;
		report->attempt = 1 + world_random(world, 3);
		report->state = states[world_random(world, 11)];
		text_copy(report->version, NAME_SIZE, "2.0.0");
		report->digest = world_image("2.0.0");
		report->has_error = report->state >= UPDATE_FAILED;
		report->error.number = OTA_HEALTH_CHECK_FAILED;
		text_copy(report->error.name, sizeof(report->error.name),
			  "health_check_failed");
	}
	return count;
}

/* Each device hears the same reports in another order, some of them several times. */
static void any_order_and_number_of_reports_gives_the_same_state(void **unused)
{
	unsigned sets = 500, sent = 0;
	struct world w;

	(void)unused;
	world_start(&w);
	world_firmware(&w, "2.0.0");
	for (unsigned set = 0; set < sets; set++) {
		struct report reports[32];
		unsigned count = make_reports(&w, reports);
		const struct update *first = NULL;
		if (set % 100 == 0 && set) { /* the store in memory would grow slow */
			world_stop(&w);
			world_start(&w);
			w.random = set;
			world_firmware(&w, "2.0.0");
		}
		for (unsigned p = 0; p < PERMUTATIONS; p++) {
			char id[NAME_SIZE];
			struct sim_device *device;
			const struct update *update;
			snprintf(id, sizeof(id), "d%u-%u", set, p);
			device = world_device(&w, id);
			if (engine_product(w.engine, "lamp")->release_count == 0)
				world_release(&w, (struct release_spec){.version = "2.0.0"});
			for (unsigned i = 0; i < 2 * count; i++, sent++) {
				unsigned at = i < count ? i : world_random(&w, count);
				assert_int_equal(world_report(&w, device, &reports[at]),
						 OTA_OK);
			}
			world_settle(&w);
			update = world_update(&w, device, 1);
			assert_non_null(update);
			if (!first)
				first = update;
			assert_int_equal(update->state, first->state);
			assert_int_equal(update->attempt, first->attempt);
			assert_int_equal(update->seq, first->seq);
			shuffle(&w, reports, count);
		}
	}
	world_stop(&w);
	print_message("%u sets of reports in %u orders each, %u reports\n", sets, PERMUTATIONS,
		      sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_and_number_of_reports_gives_the_same_state),
		cmocka_unit_test(random_histories_keep_every_promise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
