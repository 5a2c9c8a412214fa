/* Round trips of a client that sends to itself through the broker: what a neighbour of the
 * fleet feels of it. One at a time; the next one goes out a pause after the last has come back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECHO_SAMPLES_MAX 200000u /* beyond, the oldest are overwritten */

struct echo {
	uint32_t *samples; /* microseconds; NULL: none yet */
	uint64_t count;	   /* since echo_clear() */
};

void echo_done(struct echo *echo);
void echo_clear(struct echo *echo);
void echo_add(struct echo *echo, uint64_t us);

struct echo_figures {
	uint64_t count;
	uint32_t p50_us, p99_us, max_us;
};
void echo_figures(const struct echo *echo, struct echo_figures *ret_figures);
