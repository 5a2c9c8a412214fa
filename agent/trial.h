/* The trial: when has a new version proved itself, and when has it failed?
 *
 * Pure: from what is known now to a verdict. The rules (AGENT.md): within the time the health
 * check passes, the link is up and the plugin grants the commit. A version is reverted for want
 * of connectivity only if the broker was reachable before the restart, and the time is extended
 * once when the outage is not this device's own. */
#pragma once

#include "why.h"

#include <stdint.h>

/* The extension, as a multiple of the confirm time: a broker's outage of an hour at the default
 * of five minutes. */
#define TRIAL_EXTENSION 12u

/* A link that is up and mute, while a version is on trial, is made anew after at most this part
 * of the confirm time, so that new ones have their chance; sooner than this is no silence. */
#define TRIAL_MUTE_PART	  4u
#define TRIAL_MUTE_MIN_MS 5000u

enum trial_health {
	TRIAL_HEALTH_UNKNOWN = 0, /* not asked yet, or a check runs */
	TRIAL_HEALTH_GOOD,
	TRIAL_HEALTH_BAD,    /* the last check failed; asked again until its time is over */
	TRIAL_HEALTH_SILENT, /* it did not end in the time of one check; the same */
};

struct trial_facts {
	uint64_t elapsed_ms;	     /* since this trial began */
	uint64_t confirm_timeout_ms; /* for everything */
	uint64_t health_timeout_ms;  /* for the health check, since the last start */
	uint64_t probation_ms;	     /* it must have run so long without a crash */
	uint64_t running_ms;	     /* it runs since; at most elapsed_ms */
	enum trial_health health;
	bool link_up;	    /* and fresh: made after the restart */
	bool was_reachable; /* the broker, before the restart */
	bool extended;
	bool outage_elsewhere; /* known only when asked: see TRIAL_ASK_OUTAGE */
	bool outage_known;
	bool disk_full; /* and was not before the restart */
};

enum trial_verdict {
	TRIAL_WAIT = 0,
	TRIAL_ASK_GRANT,  /* healthy and connected: say so in a hello */
	TRIAL_ASK_OUTAGE, /* find out whether the outage is this device's own */
	TRIAL_EXTEND,
	TRIAL_UNFIT, /* *ret_err says why */
};

/* *ret_wait_ms: at the latest then look again (never 0 with TRIAL_WAIT). */
enum trial_verdict trial_judge(const struct trial_facts *facts, uint64_t *ret_wait_ms,
			       enum ota_err *ret_err);

/* How long the link may be mute during a trial; `mute_ms`: outside of one. */
uint64_t trial_mute_ms(uint64_t confirm_timeout_ms, uint64_t mute_ms);
