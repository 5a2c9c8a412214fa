/* Whose outage is it? A new version that cannot reach the broker is at fault only if others
 * can.
 */
#pragma once

#include "why.h"

#include <stdbool.h>

/* True when the broker's host answers and refuses the connection (its service is down; a host
 * that is this machine proves nothing), or when there is a default gateway and it does not
 * answer. Blocks for a few seconds at most. */
bool outage_is_elsewhere(const char *broker);
/* True when there is no way from this machine to the broker, nor to anywhere: no interface, no
 * address or no route. `why` says what the kernel says. Nothing is sent but a question for the
 * host's address. */
bool outage_is_total(const char *broker, struct ota_why *why);
