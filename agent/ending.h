/* How the application's life ended, by name: what the kernel said of it and how long it lived.
 */
#pragma once

#include "why.h"

#include <stdint.h>

/* Who ends sooner after its start never came up: OTA_CRASH_LOOP. Who lived longer crashed
 * later: OTA_CRASHED_IN_TRIAL. */
#define ENDING_AT_ONCE_MS 3000u

struct ending {
	int status; /* waitpid()'s */
	bool known; /* false: it was not ours to wait for */
	uint64_t lived_ms;
	bool out_of_memory; /* the kernel killed somebody for want of memory meanwhile */
};

/* Fills `why`: the name, "it exited with code 7 after 120 ms" and, as detail, the exit code, or
 * 128 and the signal's number. */
enum ota_err ending_name(const struct ending *ending, struct ota_why *why) OTA_CHECKED;
/* How many processes the kernel has killed for want of memory, in the machine and in this
 * process's control group, as far as it tells. */
uint64_t ending_memory_kills(void);
