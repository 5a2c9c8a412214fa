/* Full-jitter back-off: each pause is random between `min` and a ceiling that doubles with
 * every failure, so that a fleet that lost its broker does not come back in step. (M. Brooker,
 * "Exponential Backoff And Jitter", 2015.) */
#pragma once

#include <stdint.h>

struct backoff {
	uint64_t min_ms, max_ms;
	unsigned failures;
};

/* The pause after one more failure; `random` is any 64 random bits. */
uint64_t backoff_next(struct backoff *backoff, uint64_t random);
void backoff_reset(struct backoff *backoff);
