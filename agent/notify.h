/* Telling systemd how it goes (sd_notify(3)'s protocol, by hand: one datagram). Nothing happens
 * where nobody listens. */
#pragma once

#include <stdint.h>

/* "READY=1", "WATCHDOG=1", "STOPPING=1", "STATUS=…" */
void notify_say(const char *text);
/* Half of the watchdog's interval in milliseconds, 0 when there is no watchdog. */
uint64_t notify_watchdog_ms(void);
