#include "consent.h"

#include <string.h>

const char *const consent_gate_names[] = {"download", "install", "restart", NULL};

static bool two_digits(const char *text, uint32_t below, uint32_t *ret_value)
{
	if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
		return false;
	*ret_value = (uint32_t)(text[0] - '0') * 10 + (uint32_t)(text[1] - '0');
	return *ret_value < below;
}

enum ota_err consent_window(struct consent_rules *rules, const char *text, struct ota_why *why)
{
	uint32_t from_hour, from_minute, to_hour, to_minute;

	if (!*text) {
		rules->has_window = false;
		rules->window[0] = '\0';
		return OTA_OK;
	}
	if (strlen(text) != 11 || text[2] != ':' || text[5] != '-' || text[8] != ':' ||
	    !two_digits(text, 24, &from_hour) || !two_digits(text + 3, 60, &from_minute) ||
	    !two_digits(text + 6, 24, &to_hour) || !two_digits(text + 9, 60, &to_minute))
		return ota_fail(why, OTA_BAD_REQUEST, "window '%s' is not HH:MM-HH:MM", text);
	rules->has_window = true;
	rules->window_from = from_hour * 60 + from_minute;
	rules->window_to = to_hour * 60 + to_minute;
	text_copy(rules->window, sizeof(rules->window), text);
	return OTA_OK;
}

enum ota_err consent_hold(struct consent_rules *rules, enum consent_gate gate, uint64_t now_ms,
			  uint64_t lease_ms, const char *reason, struct ota_why *why)
{
	struct consent_hold *hold = &rules->holds[gate];
	const bool renewed = hold->held && now_ms < hold->until_ms;
	const uint64_t since_ms = renewed ? hold->since_ms : now_ms;
	const uint64_t last_ms = since_ms + CONSENT_LEASE_MAX_MS;

	if (!lease_ms)
		lease_ms = CONSENT_LEASE_DEFAULT_MS;
	if (now_ms >= last_ms)
		return ota_fail(why, OTA_FORBIDDEN,
				"the %s gate has been held for seven days; it opens now",
				consent_gate_names[gate]);
	hold->held = true;
	hold->since_ms = since_ms;
	hold->until_ms = lease_ms < last_ms - now_ms ? now_ms + lease_ms : last_ms;
	text_sanitize(hold->reason, sizeof(hold->reason), reason, strlen(reason), false);
	return OTA_OK;
}

void consent_release(struct consent_rules *rules, enum consent_gate gate)
{
	memset(&rules->holds[gate], 0, sizeof(rules->holds[gate]));
}

static uint32_t minutes_until_window(const struct consent_rules *rules, uint32_t minute)
{
	const uint32_t day = 24 * 60, from = rules->window_from, to = rules->window_to;
	const bool inside =
		from <= to ? minute >= from && minute < to : minute >= from || minute < to;

	if (inside || from == to)
		return 0; /* from == to: the whole day */
	return (from + day - minute) % day;
}

bool consent_is_open(const struct consent_rules *rules, enum consent_gate gate, uint64_t now_ms,
		     uint32_t minute, char *ret_reason, uint64_t *ret_left_ms)
{
	const struct consent_hold *hold = &rules->holds[gate];

	*ret_left_ms = 0;
	ret_reason[0] = '\0';
	if (hold->held && now_ms < hold->until_ms) {
		text_copy(ret_reason, CONSENT_REASON_MAX + 1,
			  hold->reason[0] ? hold->reason : "held by the application");
		*ret_left_ms = hold->until_ms - now_ms;
		return false;
	}
	if (!rules->allowed[gate]) {
		text_copy(ret_reason, CONSENT_REASON_MAX + 1, "denied by the configuration");
		return false;
	}
	if (rules->has_window && minute != CONSENT_NO_TIME) {
		uint32_t minutes = minutes_until_window(rules, minute);

		if (minutes) {
			text_copy(ret_reason, CONSENT_REASON_MAX + 1,
				  "outside the maintenance window");
			*ret_left_ms = (uint64_t)minutes * 60000;
			return false;
		}
	}
	return true;
}
