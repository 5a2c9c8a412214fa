/* The driver of the power-cut programs: every single cut in every scenario under every model of
 * what survives, and random double and triple ones; and the same with the process killed
 * instead of the power gone.
 *
 *   PROGRAM [--cuts N] [--seed S] [--stop-after VIOLATIONS] [--every N]
 *           [--replay SCENARIO SEED CUT…]
 *
 * N random runs of two or three cuts (default: OTA_SIM_CUTS, or the program's). A violation
 * prints the line that replays it. CUT is operation:survival or operation:kill. */
#pragma once

#include "sim_disk.h"

#define SIM_CUTS_MAX  3
#define SIM_LIVES_MAX 60

struct sim_scenario_facts {
	const char *name;
	bool large;	    /* single cuts only */
	bool whole_sectors; /* its disk writes sectors whole or not at all */
};

struct sim_subject {
	const char *program;
	unsigned scenario_count;
	uint64_t random_runs; /* by default */
	struct sim_scenario_facts (*facts)(unsigned scenario);
	/* A new device on a new disk. */
	void *(*init)(unsigned scenario, uint64_t seed);
	void (*done)(void *device);
	struct sim_disk *(*disk)(void *device);
	/* From power-on (or, after a kill, from the start of the process) until the power goes,
	 * the device restarts, or (true) it has nothing more to do. */
	bool (*live)(void *device, bool after_kill);
	/* It was cut once more. */
	void (*cut)(void *device, bool kill);
	/* What must be true once nothing disturbs the device any more. */
	void (*check_end)(void *device);
	/* The first violation; "" none. */
	const char *(*broken)(void *device);
};

int sim_cuts_main(const struct sim_subject *subject, int argc, char **argv);
