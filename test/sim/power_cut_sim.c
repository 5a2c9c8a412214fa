/* Power cuts under the durable half of the agent: see sim_cuts.h and sim_device.h. */
#include "sim_cuts.h"
#include "sim_device.h"

#include <stdlib.h>

static struct sim_scenario_facts facts(unsigned scenario)
{
	const struct sim_scenario *of = &sim_scenarios[scenario];

	return (struct sim_scenario_facts){of->name, of->image_size > 100000,
					   of->whole_sectors};
}

static void *init(unsigned scenario, uint64_t seed)
{
	struct sim_device *device = malloc(sizeof(*device));

	if (!device)
		abort();
	sim_device_init(device, &sim_scenarios[scenario], seed);
	return device;
}

static void done(void *device)
{
	sim_device_done(device);
	free(device);
}

static struct sim_disk *disk(void *device)
{
	return ((struct sim_device *)device)->disk;
}

static bool live(void *device, bool after_kill)
{
	(void)after_kill;
	return sim_device_live(device);
}

static void cut(void *device, bool kill)
{
	(void)kill;
	((struct sim_device *)device)->cuts++;
}

static void check_end(void *device)
{
	sim_device_check_end(device);
}

static const char *broken(void *device)
{
	return ((struct sim_device *)device)->broken;
}

int main(int argc, char **argv)
{
	const struct sim_subject subject = {
		.program = "power_cut_sim",
		.scenario_count = sim_scenario_count,
		.random_runs = 20000,
		.facts = facts,
		.init = init,
		.done = done,
		.disk = disk,
		.live = live,
		.cut = cut,
		.check_end = check_end,
		.broken = broken,
	};

	return sim_cuts_main(&subject, argc, argv);
}
