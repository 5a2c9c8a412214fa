#include "guard.h"

bool guard_take(struct guard_bucket *bucket, uint64_t now_ms, uint64_t per_second,
		uint64_t burst, uint64_t units)
{
	uint64_t full = burst * 1000, gained;

	if (per_second == 0)
		return true;
	if (bucket->last_ms == 0) {
		bucket->level_milli = full;
	} else if (now_ms > bucket->last_ms) {
		gained = now_ms - bucket->last_ms;
		/* Beyond the time to fill it, more makes no difference (and could overflow). */
		bucket->level_milli = gained > full / per_second + 1
					      ? full
					      : bucket->level_milli + gained * per_second;
		if (bucket->level_milli > full)
			bucket->level_milli = full;
	}
	bucket->last_ms = now_ms ? now_ms : 1;
	if (bucket->level_milli < units * 1000)
		return false;
	bucket->level_milli -= units * 1000;
	return true;
}

bool guard_count(struct guard_window *window, uint64_t now_ms, uint64_t window_ms, uint32_t max)
{
	if (max == 0)
		return true;
	if (window->count == 0 || now_ms - window->start_ms >= window_ms) {
		window->start_ms = now_ms;
		window->count = 0;
	}
	if (window->count >= max)
		return false;
	window->count++;
	return true;
}
