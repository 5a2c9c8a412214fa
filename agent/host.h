/* What the agent needs of the machine it runs on: time, randomness, the health check, and
 * whatever starts versions. Seams; host_posix.c, supervise.c and reboot.c are the real ones.
 */
#pragma once

#include "slot.h"
#include "trial.h"

struct host {
	void *ctx;
	uint64_t (*boot_ms)(void *ctx); /* CLOCK_BOOTTIME; never 0 */
	uint64_t (*wall_s)(void *ctx);	/* Unix seconds, however wrong */
	/* Minute of the local day at this Unix time. */
	uint32_t (*minute)(void *ctx, uint64_t unix_s);
	enum ota_err (*random)(void *ctx, void *ret_bytes, size_t len, struct ota_why *why);
	/* Differs after every start of the machine; never 0. */
	uint64_t (*boot_id)(void *ctx);
	/* Starts the product's health check of the version at `path` (may be ""). */
	enum ota_err (*check_start)(void *ctx, const char *path, struct ota_why *why);
	/* UNKNOWN while it runs; a bad or silent one says why. */
	enum trial_health (*check_result)(void *ctx, struct ota_why *why);
	/* Ends a check that runs. NULL: none goes on for long. */
	void (*check_stop)(void *ctx);
	/* True when the network is down for others too: not this version's fault. */
	bool (*outage_elsewhere)(void *ctx);
	/* True when this device has no way to any network; `why` says what is missing. NULL:
	 * there is always one. */
	bool (*network_is_down)(void *ctx, struct ota_why *why);
	/* True when nothing more can be kept beside what is there. NULL: there is room. */
	bool (*disk_is_full)(void *ctx);
	/* Called now and then during long work, so that a watchdog knows that it is work. */
	void (*alive)(void *ctx);
};

enum runner_event_kind {
	RUNNER_NONE = 0,
	RUNNER_STARTED, /* the version of `slot` runs; also the first event after begin() */
	RUNNER_EXITED,	/* or could not be started: `why` */
};

struct runner_event {
	enum runner_event_kind kind;
	enum boot_slot slot;
	bool adopted; /* it ran already when the agent started */
	bool certain; /* the slot was seen to run, not taken from the boot state */
	struct ota_why why;
};

/* What starts versions: the machine's bootloader, or the agent as an application's supervisor.
 * It asks the boot state what to start and counts the tries before each start. */
struct runner {
	void *ctx;
	/* Finds what runs, or starts what the boot state names. */
	enum ota_err (*begin)(void *ctx, struct ota_why *why);
	/* Ends what runs and starts what the boot state names; RUNNER_STARTED follows, in this
	 * process or, where the machine restarts, in the next one. May be repeated. */
	enum ota_err (*restart)(void *ctx, struct ota_why *why);
	/* Called with the time; returns the milliseconds until it wants to be called again. */
	uint64_t (*tick)(void *ctx, uint64_t now_ms);
	bool (*next)(void *ctx, struct runner_event *ret_event);
	/* Readable when tick() has something to do; -1: none. */
	int (*fd)(void *ctx);
};
