/* Power cuts under the whole agent: the core as it is, its storage on a simulated disk, its
 * link to a plugin in memory, its clock and its machine simulated. See sim_cuts.h; and
 * --memory, with the allocations failing one after the other. */
#include "agent.h"
#include "sim_cuts.h"
#include "sim_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 6000 /* of one life: far beyond what an update takes */

enum temper {
	TEMPER_GOOD = 0,
	TEMPER_CRASHES, /* before the agent in it runs */
	TEMPER_SICK,	/* its health check fails */
	TEMPER_MUTE,	/* it does not reach the broker */
};

struct agent_scenario {
	const char *name;
	enum temper temper; /* of image 2 */
	struct sim_order orders[SIM_ORDERS + 1];
	unsigned ends_with;
	bool file_slot;
	uint64_t confirm_ms; /* 0: as by default */
};

static const struct agent_scenario scenarios[] = {
	{"a good version", TEMPER_GOOD, {{2, 0}}, 2, false},
	{"a good version in a file slot", TEMPER_GOOD, {{2, 0}}, 2, true},
	{"there and back", TEMPER_GOOD, {{2, 0}, {3, 0}}, 3, false},
	{"a version that crashes at every start", TEMPER_CRASHES, {{2, 0}}, 1, false},
	{"a version whose health check fails", TEMPER_SICK, {{2, 0}}, 1, false},
	{"a version that does not reach the broker", TEMPER_MUTE, {{2, 0}}, 1, true},
	{"a sick version, then a good one", TEMPER_SICK, {{2, 0}, {3, 0}}, 3, false},
	{"superseded while it downloads",
	 TEMPER_GOOD,
	 {{2, SIM_ORDER_SUPERSEDED}, {3, 0}},
	 3,
	 false},
	{"canceled while it downloads, then another",
	 TEMPER_GOOD,
	 {{2, SIM_ORDER_CANCELED}, {3, 0}},
	 3,
	 true},
	{"canceled while it downloads", TEMPER_GOOD, {{2, SIM_ORDER_CANCELED}}, 1, false},
	{"the broker goes away for a while",
	 TEMPER_GOOD,
	 {{2, SIM_ORDER_BROKER_GONE}},
	 2,
	 false},
	{"three updates in a row", TEMPER_GOOD, {{2, 0}, {3, 0}, {2, 0}}, 2, true},
	{"a link that is mute in the trial",
	 TEMPER_GOOD,
	 {{2, SIM_ORDER_MUTE}},
	 2,
	 true,
	 .confirm_ms = 30000},
};

struct device {
	const struct agent_scenario *scenario;
	struct sim_random random;
	struct sim_disk *disk;
	struct sim_plugin plugin;
	char broken[OTA_WHY_TEXT_MAX + 32];
	struct keep_floor floor;
	uint64_t clock_ms, boots;
	unsigned cuts, running; /* image */
	bool booted, restart;
	bool started_event;

	struct slots slots;
	struct keep keep;
	struct journal journal;
	struct logbook log;
	struct agent *agent;
};

/* --memory: the n-th allocation of the agent fails. */
static uint64_t memory_left; /* 0: none fails */
static bool memory_counts, memory_failed;

static bool memory_fails(void)
{
	if (!memory_counts || sim_memory_is_ours || memory_left == 0 || --memory_left > 0)
		return false;
	memory_failed = true;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	return memory_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return memory_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return memory_fails() ? NULL : __real_realloc(old, size);
}

static void broken(struct device *device, const char *what, uint64_t number)
{
	if (!device->broken[0])
		snprintf(device->broken, sizeof(device->broken), "%s (%llu)", what,
			 (unsigned long long)number);
}

static const char *slot_path(enum boot_slot slot)
{
	return slot == BOOT_SLOT_A ? "/slots/a" : "/slots/b";
}

/* --- the machine --- */

static uint64_t host_boot_ms(void *ctx)
{
	return ((struct device *)ctx)->clock_ms;
}

static uint64_t host_wall_s(void *ctx)
{
	return 1700000000 + host_boot_ms(ctx) / 1000;
}

static uint32_t host_minute(void *ctx, uint64_t unix_s)
{
	(void)ctx;
	return (uint32_t)(unix_s / 60 % 1440);
}

static enum ota_err host_random(void *ctx, void *ret_bytes, size_t len, struct ota_why *why)
{
	struct device *device = ctx;

	(void)why;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)ret_bytes)[i] = (uint8_t)sim_random_next(&device->random);
	return OTA_OK;
}

static uint64_t host_boot_id(void *ctx)
{
	return ((struct device *)ctx)->boots;
}

static enum ota_err host_check_start(void *ctx, const char *path, struct ota_why *why)
{
	(void)ctx;
	(void)path;
	(void)why;
	return OTA_OK;
}

static enum trial_health host_check_result(void *ctx, struct ota_why *why)
{
	const struct device *device = ctx;

	if (device->scenario->temper != TEMPER_SICK || device->running != 2)
		return TRIAL_HEALTH_GOOD;
	enum ota_err err = ota_fail(why, OTA_HEALTH_CHECK_FAILED, "exit 1");
	return err ? TRIAL_HEALTH_BAD : TRIAL_HEALTH_GOOD;
}

static bool host_outage_elsewhere(void *ctx)
{
	(void)ctx;
	return false;
}

static enum ota_err runner_begin(void *ctx, struct ota_why *why)
{
	(void)why;
	((struct device *)ctx)->started_event = true;
	return OTA_OK;
}

static enum ota_err runner_restart(void *ctx, struct ota_why *why)
{
	(void)why;
	((struct device *)ctx)->restart = true;
	return OTA_OK;
}

static uint64_t runner_tick(void *ctx, uint64_t now_ms)
{
	(void)now_ms;
	return ((struct device *)ctx)->started_event ? 0 : UINT64_MAX;
}

static bool runner_next(void *ctx, struct runner_event *ret_event)
{
	struct device *device = ctx;

	if (!device->started_event)
		return false;
	device->started_event = false;
	*ret_event = (struct runner_event){.kind = RUNNER_STARTED,
					   .slot = device->slots.running(device->slots.ctx),
					   .adopted = true};
	return true;
}

static int runner_fd(void *ctx)
{
	(void)ctx;
	return -1;
}

/* --- the device --- */

static struct sim_scenario_facts facts(unsigned scenario)
{
	return (struct sim_scenario_facts){.name = scenarios[scenario].name};
}

static void *init(unsigned scenario, uint64_t seed)
{
	static uint8_t partition[256 << 10];
	struct device *device = calloc(1, sizeof(*device));
	size_t size;
	const uint8_t *image = sim_image(1, &size);

	if (!device)
		abort();
	device->scenario = &scenarios[scenario];
	device->random.state = seed;
	device->disk = sim_disk_new(seed);
	device->clock_ms = 1000;
	sim_plugin_init(&device->plugin, device->scenario->orders, &device->random);
	if (device->scenario->file_slot) {
		sim_disk_put(device->disk, slot_path(BOOT_SLOT_A), image, size);
		return device;
	}
	memset(partition, 0, sizeof(partition));
	sim_disk_put(device->disk, slot_path(BOOT_SLOT_B), partition, sizeof(partition));
	memcpy(partition, image, size);
	sim_disk_put(device->disk, slot_path(BOOT_SLOT_A), partition, sizeof(partition));
	return device;
}

static void done(void *ctx)
{
	struct device *device = ctx;

	sim_plugin_done(&device->plugin);
	sim_disk_free(device->disk);
	free(device);
}

static struct sim_disk *disk(void *ctx)
{
	return ((struct device *)ctx)->disk;
}

/* A factory's partition is hashed whole, so it is only compared as far as the image goes. */
static unsigned slot_holds(const struct device *device, enum boot_slot slot)
{
	const uint8_t *bytes;
	size_t len, size;

	if (!sim_disk_peek(device->disk, slot_path(slot), &bytes, &len))
		return 0;
	for (unsigned image = 1; image < SIM_IMAGES; image++) {
		const uint8_t *wanted = sim_image(image, &size);
		if (len >= size && memcmp(bytes, wanted, size) == 0 &&
		    (!device->scenario->file_slot || len == size))
			return image;
	}
	return 0;
}

static bool open_slots(struct device *device)
{
	const struct disk *seam = sim_disk_seam(device->disk);
	struct slot_part part = {.slot_class = "app"};
	struct boot_store store;
	struct ota_why why;

	text_copy(part.path[BOOT_SLOT_A], DISK_PATH_SIZE, slot_path(BOOT_SLOT_A));
	text_copy(part.path[BOOT_SLOT_B], DISK_PATH_SIZE, slot_path(BOOT_SLOT_B));
	enum ota_err err = bootstate_record_open(seam, "/boot/state", 0, &store, &why);
	if (!err && device->scenario->file_slot) {
		text_copy(part.link, DISK_PATH_SIZE, "/slots/current");
		err = slot_file_open(seam, &part, 1, 0, &store, &device->slots, &why);
	} else if (!err) {
		err = slot_block_open(seam, &part, 1, NULL, &store, &device->slots, &why);
	}
	if (err && !sim_disk_is_dead(device->disk) && !memory_failed)
		broken(device, why.text, 0);
	return !err;
}

/* The boot selector, and the look at what it chose. */
static bool power_on(struct device *device)
{
	struct boot_state state;
	enum boot_slot slot;
	struct ota_why why;

	device->boots++;
	if (device->slots.boot(device->slots.ctx, &slot, &why) ||
	    sim_disk_is_dead(device->disk))
		return false;
	if (why.err)
		broken(device, why.text, 0);
	device->running = slot_holds(device, slot);
	if (!device->running)
		broken(device, "a slot was started that holds no whole image", slot);
	if (device->slots.state(device->slots.ctx, &state, NULL))
		return false;
	for (unsigned s = 0; s < BOOT_SLOT_COUNT; s++)
		if (state.bootable[s] && !slot_holds(device, (enum boot_slot)s))
			broken(device, "a slot is bootable that holds no whole image", s);
	sim_disk_protect(device->disk, slot_path(slot));
	device->booted = !device->broken[0] &&
			 !(device->scenario->temper == TEMPER_CRASHES && device->running == 2);
	return device->booted;
}

static bool open_state(struct device *device)
{
	const struct disk *seam = sim_disk_seam(device->disk);
	struct ota_why why;
	bool lost = false;

	enum ota_err err = keep_open(&device->keep, seam, "/state", &why);
	if (!err) {
		err = journal_open(&device->journal, seam, "/state", &lost, &why);
		if (err)
			keep_done(&device->keep);
	}
	if (err) {
		if (!sim_disk_is_dead(device->disk) && !memory_failed)
			broken(device, why.text, 0);
		return false;
	}
	if (lost || device->keep.floor_lost)
		broken(device, "the journal or the floor was lost", lost);
	if (device->keep.floor.number < device->floor.number ||
	    device->keep.floor.security_version < device->floor.security_version)
		broken(device, "the floor fell", device->keep.floor.number);
	return true;
}

static bool start_agent(struct device *device, const struct host *host,
			const struct runner *runner)
{
	struct agent_parts parts = {
		.settings = {.device = SIM_DEVICE,
			     .product = SIM_PRODUCT,
			     .hardware = SIM_HARDWARE,
			     .factory_version = "1.0",
			     .factory_security_version = 1,
			     .confirm_timeout_ms = device->scenario->confirm_ms
							   ? device->scenario->confirm_ms
							   : 300000,
			     .health_timeout_ms = 60000},
		.consent = {.allowed = {true, true, true}},
		.keep = &device->keep,
		.journal = &device->journal,
		.slots = &device->slots,
		.link = &device->plugin.link,
		.host = host,
		.runner = runner,
		.logbook = &device->log,
	};
	const char *root = sim_plugin_root();
	struct ota_why why;

	enum ota_err err = trust_new(root, strlen(root), &parts.trust, &why);
	if (!err) {
		err = agent_new(&parts, &device->agent, &why);
		if (err)
			trust_free(parts.trust);
	}
	if (err && !memory_failed)
		broken(device, why.text, 0);
	return !err;
}

static void remember_floor(struct device *device)
{
	if (device->keep.floor.number > device->floor.number)
		device->floor.number = device->keep.floor.number;
	if (device->keep.floor.security_version > device->floor.security_version)
		device->floor.security_version = device->keep.floor.security_version;
}

/* Steps until the power goes, it wants to restart, or (true) nothing is left to do. */
static bool step(struct device *device)
{
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		uint64_t wait_ms = agent_step(device->agent);
		if (sim_disk_is_dead(device->disk))
			return false;
		remember_floor(device);
		if (device->restart || device->broken[0])
			return false;
		if (device->plugin.broken[0]) {
			text_copy(device->broken, sizeof(device->broken),
				  device->plugin.broken);
			return false;
		}
		if (sim_plugin_wants(&device->plugin) == 0 && device->keep.report_count == 0 &&
		    device->journal.entry.state == 0 && !device->plugin.first)
			return true;
		device->clock_ms += wait_ms < 1 ? 1 : wait_ms > 60000 ? 60000 : wait_ms;
	}
	broken(device, "nothing happens any more in state", device->journal.entry.state);
	return false;
}

static bool run_agent(struct device *device)
{
	const struct host host = {.ctx = device,
				  .boot_ms = host_boot_ms,
				  .wall_s = host_wall_s,
				  .minute = host_minute,
				  .random = host_random,
				  .boot_id = host_boot_id,
				  .check_start = host_check_start,
				  .check_result = host_check_result,
				  .outage_elsewhere = host_outage_elsewhere};
	const struct runner runner = {.ctx = device,
				      .begin = runner_begin,
				      .restart = runner_restart,
				      .tick = runner_tick,
				      .next = runner_next,
				      .fd = runner_fd};
	bool idle = false;
	struct ota_why why;

	device->restart = device->started_event = false;
	device->plugin.reachable =
		device->scenario->temper != TEMPER_MUTE || device->running != 2;
	if (logbook_init(&device->log, LOG_LEVEL_DEBUG, &why))
		abort();
	memory_counts = true;
	if (!open_state(device)) {
		memory_counts = false;
		logbook_done(&device->log);
		return false;
	}
	device->log.quiet = !getenv("OTA_SIM_LOG");
	if (!device->broken[0] && start_agent(device, &host, &runner)) {
		idle = step(device);
		agent_free(device->agent);
	}
	memory_counts = false;
	logbook_done(&device->log);
	journal_done(&device->journal);
	keep_done(&device->keep);
	sim_plugin_forget(&device->plugin);
	return idle;
}

static bool live(void *ctx, bool after_kill)
{
	struct device *device = ctx;
	bool idle = false;

	/* A process that was killed starts again in the version that runs. */
	bool boots = !after_kill || !device->booted;
	device->clock_ms += 10000;
	if (!open_slots(device))
		return false;
	if (boots) {
		device->booted = false;
		sim_disk_protect(device->disk, "");
	}
	if (!boots || power_on(device))
		idle = run_agent(device);
	slots_done(&device->slots);
	if (sim_disk_violations(device->disk))
		broken(device, "the running slot was written", 0);
	return idle;
}

static void cut(void *ctx, bool kill)
{
	struct device *device = ctx;

	(void)kill;
	device->cuts++;
}

static void check_end(void *ctx)
{
	struct device *device = ctx;
	const struct agent_scenario *scenario = device->scenario;
	uint64_t allowed = 0;

	/* Three cuts may use up the three tries of a good version; it is then rolled back, */
	bool tries_used = device->cuts >= 3;
	for (unsigned i = 0; i < SIM_ORDERS && scenario->orders[i].image; i++) {
		const struct sim_order *order = &scenario->orders[i];
		enum update_state ended = device->plugin.final[i];
		bool bad = scenario->temper != TEMPER_GOOD && order->image == 2;
		enum update_state wanted =
			order->event == SIM_ORDER_SUPERSEDED ? UPDATE_SUPERSEDED
			: order->event == SIM_ORDER_CANCELED ? UPDATE_CANCELED
			: bad				     ? UPDATE_ROLLED_BACK
							     : UPDATE_SUCCEEDED;
		/* and who then gets the release of what was rolled back to has it */
		bool is_back = ended == UPDATE_ALREADY_INSTALLED && i > 0 &&
			       device->plugin.final[i - 1] == UPDATE_ROLLED_BACK;
		if (ended != wanted &&
		    !(tries_used && (ended == UPDATE_ROLLED_BACK || is_back)))
			broken(device, update_state_names[ended], i + 1);
		if (device->plugin.finals[i] != 1)
			broken(device, "final reports of a release", device->plugin.finals[i]);
		allowed += sim_pack_size(order->image) + MESSAGE_CHUNK_SIZE;
	}
	if (device->running != scenario->ends_with && !tries_used)
		broken(device, "another image runs in the end", device->running);
	allowed += device->cuts * (SLOT_SYNC_BYTES + 8 * MESSAGE_CHUNK_SIZE);
	if (device->plugin.fetched > allowed)
		broken(device, "bytes were fetched", device->plugin.fetched);
}

static const char *broken_of(void *ctx)
{
	return ((struct device *)ctx)->broken;
}

/* One update after the other, each with another allocation that fails, until none is left.
 * Every one must end, and what runs is whole; that it may end as failed is said by name. */
static int memory_main(void)
{
	unsigned ends[UPDATE_STATE_COUNT] = {0};
	uint64_t n = 0;
	bool bad = false;

	do {
		struct device *device = init(0, ++n);
		bool ended = false;
		memory_left = n;
		memory_failed = false;
		for (unsigned life = 0; life < SIM_LIVES_MAX && !ended && !device->broken[0];
		     life++) {
			ended = live(device, false);
			sim_disk_reopen(device->disk);
		}
		if (!ended && !device->broken[0])
			broken(device, "no end", n);
		if (ended && device->plugin.finals[0] != 1)
			broken(device, "final reports", device->plugin.finals[0]);
		if (device->broken[0])
			printf("allocation %llu: %s\n", (unsigned long long)n, device->broken);
		bad = bad || device->broken[0];
		ends[device->plugin.final[0]]++;
		done(device);
	} while (memory_failed);
	printf("%llu allocations, each failed once:", (unsigned long long)n - 1);
	for (unsigned state = 0; state < UPDATE_STATE_COUNT; state++)
		if (ends[state])
			printf(" %u %s", ends[state], update_state_names[state]);
	printf("\n");
	return bad;
}

int main(int argc, char **argv)
{
	const struct sim_subject subject = {
		.program = "agent_cut_sim",
		.scenario_count = sizeof(scenarios) / sizeof(scenarios[0]),
		.random_runs = 5000,
		.facts = facts,
		.init = init,
		.done = done,
		.disk = disk,
		.live = live,
		.cut = cut,
		.check_end = check_end,
		.broken = broken_of,
	};

	if (argc == 2 && strcmp(argv[1], "--memory") == 0)
		return memory_main();
	return sim_cuts_main(&subject, argc, argv);
}
