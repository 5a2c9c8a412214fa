#include "sim_cuts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct sim_subject *subject;
static uint64_t stop_after = 20; /* violations */
static uint64_t every = 1;	 /* of the single cuts, counted from --seed */

struct cut {
	uint64_t operation;
	unsigned how; /* enum sim_survival, or SIM_SURVIVAL_COUNT for a kill */
};

struct run {
	unsigned scenario;
	uint64_t seed;
	struct cut cuts[SIM_CUTS_MAX];
	unsigned cut_count;
};

static const char *how_name(unsigned how)
{
	return how == SIM_SURVIVAL_COUNT ? "kill" : sim_survival_names[how];
}

static void next_cut(void *device, const struct run *run, unsigned cuts)
{
	const struct cut *cut = &run->cuts[cuts];
	bool more = cuts < run->cut_count;

	sim_disk_cut_at(subject->disk(device), more ? cut->operation : 0,
			more && cut->how == SIM_SURVIVAL_COUNT);
}

static void print_run(const struct run *run, const char *what)
{
	printf("violation in '%s': %s\n  %s --replay %u %llu",
	       subject->facts(run->scenario).name, what, subject->program, run->scenario,
	       (unsigned long long)run->seed);
	for (unsigned i = 0; i < run->cut_count; i++)
		printf(" %llu:%s", (unsigned long long)run->cuts[i].operation,
		       how_name(run->cuts[i].how));
	printf("\n");
	fflush(stdout);
}

/* True when no promise was broken. *ret_operations: of the whole run, or since the last cut. */
static bool execute(const struct run *run, uint64_t *ret_operations)
{
	void *device = subject->init(run->scenario, run->seed);
	struct sim_disk *disk = subject->disk(device);
	bool done = false, killed = false;
	unsigned cuts = 0;
	const char *broken;

	next_cut(device, run, cuts);
	for (unsigned life = 0; life < SIM_LIVES_MAX && !done && !subject->broken(device)[0];
	     life++) {
		done = subject->live(device, killed) && !sim_disk_is_dead(disk);
		killed = false;
		if (!sim_disk_is_dead(disk)) {
			sim_disk_reopen(disk);
			continue;
		}
		unsigned how = run->cuts[cuts++].how;
		killed = how == SIM_SURVIVAL_COUNT;
		sim_disk_restart(disk, killed ? SIM_ALL : (enum sim_survival)how);
		subject->cut(device, killed);
		next_cut(device, run, cuts);
	}
	if (done)
		subject->check_end(device);
	broken = subject->broken(device);
	if (!done && !broken[0])
		broken = "no end after so many lives";
	*ret_operations = sim_disk_operations(disk);
	bool good = !broken[0];
	if (!good)
		print_run(run, broken);
	subject->done(device);
	return good;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t operations_of(unsigned scenario, uint64_t *violations)
{
	const struct run run = {.scenario = scenario};
	uint64_t operations;

	if (!execute(&run, &operations))
		(*violations)++;
	return operations;
}

static bool may_happen(unsigned scenario, unsigned how)
{
	return !subject->facts(scenario).whole_sectors || how < SIM_TORN ||
	       how == SIM_SURVIVAL_COUNT;
}

/* Every single cut under every model, and a kill there. */
static uint64_t all_single_cuts(unsigned scenario, uint64_t seed, uint64_t operations,
				uint64_t *violations)
{
	uint64_t runs = 0, unused;

	for (uint64_t operation = 1 + seed % every; operation <= operations;
	     operation += every) {
		for (unsigned how = 0; how <= SIM_SURVIVAL_COUNT; how++) {
			if (!may_happen(scenario, how))
				continue;
			struct run run = {
				.scenario = scenario,
				.seed = seed + operation * 8 + how,
				.cuts = {{operation, how}},
				.cut_count = 1,
			};
			if (!execute(&run, &unused) && ++*violations >= stop_after)
				return runs;
			runs++;
		}
	}
	return runs;
}

static uint64_t random_cuts(uint64_t wanted, uint64_t seed, const uint64_t *operations,
			    uint64_t *violations)
{
	struct sim_random random = {seed};
	uint64_t runs = 0, unused;

	for (; runs < wanted && *violations < stop_after; runs++) {
		struct run run = {.seed = sim_random_next(&random)};
		do
			run.scenario =
				(unsigned)sim_random_below(&random, subject->scenario_count);
		while (subject->facts(run.scenario).large);
		run.cut_count = 2 + (unsigned)sim_random_below(&random, 2);
		for (unsigned i = 0; i < run.cut_count; i++) {
			run.cuts[i].operation =
				1 + sim_random_below(&random, operations[run.scenario]);
			/* The cuts that come soon after a start are the ones that repair. */
			if (i > 0 && sim_random_below(&random, 2))
				run.cuts[i].operation = 1 + sim_random_below(&random, 40);
			do
				run.cuts[i].how = (unsigned)sim_random_below(
					&random, SIM_SURVIVAL_COUNT + 1);
			while (!may_happen(run.scenario, run.cuts[i].how));
		}
		if (!execute(&run, &unused))
			(*violations)++;
	}
	return runs;
}

static int replay(int argc, char **argv)
{
	struct run run = {0};
	uint64_t number, operations;

	if (argc < 2 || !text_to_u64(argv[0], subject->scenario_count - 1, &number) ||
	    !text_to_u64(argv[1], UINT64_MAX, &run.seed))
		return 2;
	run.scenario = (unsigned)number;
	for (int i = 2; i < argc && run.cut_count < SIM_CUTS_MAX; i++) {
		struct cut *cut = &run.cuts[run.cut_count++];
		char *how = strchr(argv[i], ':');
		if (!how)
			return 2;
		*how++ = '\0';
		if (!text_to_u64(argv[i], UINT64_MAX, &cut->operation))
			return 2;
		while (cut->how < SIM_SURVIVAL_COUNT &&
		       strcmp(how, sim_survival_names[cut->how]) != 0)
			cut->how++;
	}
	bool good = execute(&run, &operations);
	printf("%s, %llu operations after the last cut\n", good ? "no violation" : "violation",
	       (unsigned long long)operations);
	return good ? 0 : 1;
}

int sim_cuts_main(const struct sim_subject *tested, int argc, char **argv)
{
	uint64_t operations[64], violations = 0, singles = 0, seed = 1;
	uint64_t wanted = tested->random_runs;
	const char *from_environment = getenv("OTA_SIM_CUTS");

	subject = tested;
	if (argc > 1 && strcmp(argv[1], "--replay") == 0)
		return replay(argc - 2, argv + 2);
	if (from_environment && !text_to_u64(from_environment, UINT64_MAX, &wanted))
		return 2;
	for (int i = 1; i < argc; i += 2) {
		uint64_t *to = strcmp(argv[i], "--cuts") == 0	      ? &wanted
			       : strcmp(argv[i], "--seed") == 0	      ? &seed
			       : strcmp(argv[i], "--stop-after") == 0 ? &stop_after
			       : strcmp(argv[i], "--every") == 0      ? &every
								      : NULL;
		if (!to || i + 1 == argc || !text_to_u64(argv[i + 1], UINT64_MAX, to))
			return 2;
	}
	double began = seconds();
	for (unsigned i = 0; i < subject->scenario_count && violations < stop_after; i++) {
		double at = seconds();
		operations[i] = operations_of(i, &violations);
		uint64_t runs =
			violations ? 0 : all_single_cuts(i, seed, operations[i], &violations);
		printf("%-46s %4llu operations %6llu cuts %6.2f s\n", subject->facts(i).name,
		       (unsigned long long)operations[i], (unsigned long long)runs,
		       seconds() - at);
		fflush(stdout);
		singles += runs;
	}
	double single_time = seconds() - began;
	uint64_t doubles = violations ? 0 : random_cuts(wanted, seed, operations, &violations);
	double random_time = seconds() - began - single_time;
	printf("single cuts: %llu in %u scenarios, one operation in %llu x %u models and a "
	       "kill, %.1f s\n",
	       (unsigned long long)singles, subject->scenario_count, (unsigned long long)every,
	       SIM_SURVIVAL_COUNT, single_time);
	printf("double and triple cuts: %llu, %.1f s\n", (unsigned long long)doubles,
	       random_time);
	printf("violations: %llu\n", (unsigned long long)violations);
	return violations ? 1 : 0;
}
