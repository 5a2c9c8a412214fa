/* The agent as its application's supervisor (file slots): starts what the boot state names,
 * keeps it running, and finds it again after the agent itself was killed.
 *
 * The application holds a lock (an open file that it inherits) for as long as it lives, and its
 * record names process id, start time and slot; so an agent that starts anew, after kill -9
 * too, adopts it instead of starting a second one. The try of a trial is counted, by
 * slots->boot(), before every start. */
#pragma once

#include "host.h"

struct supervise_options {
	const char *command;   /* {slot} is the image */
	const char *directory; /* for lock and record */
	const struct slots *slots;
	uint64_t stop_timeout_ms;
};

enum ota_err supervise_new(const struct supervise_options *options, struct runner *ret_runner,
			   struct ota_why *why) OTA_CHECKED;
/* `stop`: ends the application first (within its stop time), else it is left to be adopted. */
void supervise_free(struct runner *runner, bool stop);
