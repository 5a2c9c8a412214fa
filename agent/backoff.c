#include "backoff.h"

uint64_t backoff_next(struct backoff *backoff, uint64_t random)
{
	uint64_t ceiling = backoff->min_ms ? backoff->min_ms : 1;

	for (unsigned i = 0; i < backoff->failures && ceiling < backoff->max_ms; i++)
		ceiling *= 2;
	if (ceiling > backoff->max_ms)
		ceiling = backoff->max_ms;
	if (backoff->failures < UINT32_MAX)
		backoff->failures++;
	if (ceiling <= backoff->min_ms)
		return backoff->min_ms;
	return backoff->min_ms + random % (ceiling - backoff->min_ms + 1);
}

void backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}
