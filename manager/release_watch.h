/* Following one release: on a terminal a picture that redraws itself, elsewhere a line for each
 * change. */
#pragma once

#include "tool.h"

/* Returns once the release has ended (done, superseded) or was stopped (aborted, halted,
 * expired: OTA_CONFLICT says so, for the exit status), or on Ctrl-C (OTA_OK). */
enum ota_err release_watch(struct tool *tool, const char *product, uint64_t number,
			   struct ota_why *why) OTA_CHECKED;
