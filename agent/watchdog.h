/* The machine's watchdog (Linux: watchdog-api, usually /dev/watchdog): once it was opened, a
 * machine that does not feed it for `timeout_ms` is reset by its hardware. So a new version
 * that hangs, with or without its agent, comes to its next try, and after the last one the old
 * version boots.
 *
 * The boot selector may start it before the version it chose (watchdog_leave()); the agent
 * takes it over, feeds it while its loop turns and the trial lasts (watchdog_when: or always),
 * and ends it in good order ("magic close") with the trial or with itself. An agent that dies,
 * or whose restart out of a bad version is under way, leaves it running. */
#pragma once

#include "why.h"

#include <stdint.h>

#define WATCHDOG_FEEDS 3u /* in each timeout */

struct watchdog {
	const char *path; /* NULL: there is none */
	uint64_t timeout_ms;
	int fd; /* -1: not open */
	uint64_t every_ms, due_ms;
};

/* The path must outlive it. */
void watchdog_init(struct watchdog *watchdog, const char *path, uint64_t timeout_ms);
/* Opens it and sets its time (whole seconds, or what the hardware makes of them); the countdown
 * begins. Fine when it is open or there is none. */
enum ota_err watchdog_open(struct watchdog *watchdog, struct ota_why *why) OTA_CHECKED;
/* When it is due; does nothing while it is not open. */
enum ota_err watchdog_feed(struct watchdog *watchdog, uint64_t now_ms,
			   struct ota_why *why) OTA_CHECKED;
/* Stops the countdown. A device that never stops (nowayout) goes on. */
void watchdog_close(struct watchdog *watchdog);
/* Lets it count on: whoever opens it next has the rest of the time. */
void watchdog_abandon(struct watchdog *watchdog);
/* Starts it and leaves it running for whoever opens it next. */
enum ota_err watchdog_leave(const char *path, uint64_t timeout_ms,
			    struct ota_why *why) OTA_CHECKED;
