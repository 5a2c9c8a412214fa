/* After a failure: again, and when. Pure. */
#pragma once

#include "message.h"

#define RETRY_ATTEMPTS_MAX 3u /* failures of a round before the device sits out */

enum retry {
	RETRY_NEVER = 0, /* only a manager may begin a new round */
	RETRY_LATER,	 /* after a back-off */
	RETRY_CHANGED,	 /* once the device's condition has changed: at a later hello */
	RETRY_PENALTY,	 /* sits out, then a new round */
};

/* `failures` of this round, this one included (≥ 1). A device that went silent is a matter of
 * the network. */
enum retry retry_decide(enum update_state state, enum ota_err err, uint32_t failures);
/* Full jitter: 1 … delays[failures - 1] milliseconds, the last one for any more. */
uint64_t retry_delay(const uint64_t delays[3], uint32_t failures, uint32_t random);
