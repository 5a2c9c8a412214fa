/* Consent: the device chooses its moment, through three gates.
 *
 * A gate is closed by the configuration, by a hold (reason and lease; a crashed application
 * cannot block beyond its lease), by being outside the maintenance window, or by a callback of
 * the application. Pure: time is the caller's, on the boot clock and as local time of day. */
#pragma once

#include "message.h"

#define CONSENT_LEASE_DEFAULT_MS (UINT64_C(24) * 3600 * 1000)
#define CONSENT_LEASE_MAX_MS	 (UINT64_C(7) * 24 * 3600 * 1000) /* in all, renewals included */
#define CONSENT_REASON_MAX	 128
#define CONSENT_NO_TIME		 UINT32_MAX

enum consent_gate {
	CONSENT_DOWNLOAD = 0,
	CONSENT_INSTALL,
	CONSENT_RESTART,
	CONSENT_GATE_COUNT,
};
extern const char *const consent_gate_names[]; /* "download", "install", "restart", NULL */

struct consent_hold {
	bool held;
	uint64_t since_ms, until_ms; /* boot clock; `since` of an unbroken row of holds */
	char reason[CONSENT_REASON_MAX + 1];
};

struct consent_rules {
	bool allowed[CONSENT_GATE_COUNT]; /* the configuration */
	struct consent_hold holds[CONSENT_GATE_COUNT];
	bool has_window;
	uint32_t window_from,
		window_to; /* minutes of the local day; from > to spans midnight */
	char window[12];   /* as text */
};

/* "HH:MM-HH:MM"; "" for none. OTA_BAD_REQUEST otherwise. */
enum ota_err consent_window(struct consent_rules *rules, const char *text,
			    struct ota_why *why) OTA_CHECKED;
/* Closes a gate for lease_ms (0: the default), renewing a hold that is there. The lease is cut
 * to what is left of CONSENT_LEASE_MAX_MS since the gate was first closed; when nothing is left
 * OTA_FORBIDDEN. */
enum ota_err consent_hold(struct consent_rules *rules, enum consent_gate gate, uint64_t now_ms,
			  uint64_t lease_ms, const char *reason,
			  struct ota_why *why) OTA_CHECKED;
void consent_release(struct consent_rules *rules, enum consent_gate gate);

/* True when the gate is open; else ret_reason (CONSENT_REASON_MAX + 1 bytes) says why not and
 * *ret_left_ms how long at most (0: not known). minute: of the local day, CONSENT_NO_TIME when
 * the clock is not to be trusted, which closes no window. */
bool consent_is_open(const struct consent_rules *rules, enum consent_gate gate, uint64_t now_ms,
		     uint32_t minute, char *ret_reason, uint64_t *ret_left_ms);
