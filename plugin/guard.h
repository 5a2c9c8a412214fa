/* Guards: token buckets and windows that keep one client from costing the others anything.
 * Times are milliseconds of a monotonic clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A bucket holds up to `burst` units and gains `per_second`; zero-initialised it is full. */
struct guard_bucket {
	uint64_t last_ms; /* 0: never used */
	uint64_t level_milli;
};

/* Takes `units`; false (and nothing taken) when there are too few. per_second 0: no limit. */
bool guard_take(struct guard_bucket *bucket, uint64_t now_ms, uint64_t per_second,
		uint64_t burst, uint64_t units);

/* At most `max` in each window of `window_ms`; max 0: no limit. */
struct guard_window {
	uint64_t start_ms;
	uint32_t count;
};

bool guard_count(struct guard_window *window, uint64_t now_ms, uint64_t window_ms,
		 uint32_t max);
