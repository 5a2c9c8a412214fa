/* A simulated device fetches its pack from the offer's HTTPS source, and goes on over MQTT
 * where that fails. */
#pragma once

#include "member.h"

#define HAUL_KEY 0x80000000u /* with the member's number: epoll's name of such a connection */

/* True when the download that was just started goes this way: nothing is then asked for over
 * MQTT. */
bool haul_start(struct fleet *fleet, struct member *member);
/* Something happened on its connection. */
void haul_event(struct fleet *fleet, struct member *member);
/* Its time is up, or the server failed: the rest comes over MQTT. */
void haul_fail(struct fleet *fleet, struct member *member, const struct ota_why *why);
/* Closes the connection, if there is one; the download stands where it is. */
void haul_stop(struct member *member);
