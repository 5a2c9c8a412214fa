#include "fate.h"

#include "digest.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const fate_names[] = {
	[FATE_SUCCEED] = "succeed",	[FATE_FAIL] = "fail",
	[FATE_VANISH] = "vanish",	[FATE_ROLL_BACK] = "roll-back",
	[FATE_UNHEALTHY] = "unhealthy", [FATE_CRASH] = "crash",
	[FATE_RECONNECT] = "reconnect", [FATE_REJECT] = "reject",
	[FATE_DEFER] = "defer",		[FATE_COUNT] = NULL,
};

enum ota_err fate_name(struct fate_plan *plan, const char *text, struct ota_why *why)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text || (size_t)(equals - text) >= NAME_SIZE)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' is not DEVICE=FATE", text);
	char device[NAME_SIZE] = "";
	memcpy(device, text, (size_t)(equals - text));
	int fate = 0;
	while (fate_names[fate] && strcmp(fate_names[fate], equals + 1) != 0)
		fate++;
	if (!fate_names[fate])
		return ota_fail(why, OTA_BAD_REQUEST, "there is no fate '%s'", equals + 1);
	unsigned at = 0;
	while (at < plan->named_count && strcmp(plan->named[at].device, device) != 0)
		at++;
	if (at == FATE_NAMED_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "more than %d named fates", FATE_NAMED_MAX);
	text_copy(plan->named[at].device, NAME_SIZE, device);
	plan->named[at].fate = (enum fate)fate;
	if (at == plan->named_count)
		plan->named_count++;
	return OTA_OK;
}

/* 0 … 9999, evenly spread and independent of the place in the waves. */
static uint32_t draw(const struct fate_plan *plan, const char *device, uint64_t release)
{
	char text[NAME_SIZE + 64];
	int len = snprintf(text, sizeof(text), "fate/%" PRIu64 "/%s/%" PRIu64, plan->seed,
			   device, release);
	struct digest digest = {0};
	enum ota_err err = digest_of(text, (size_t)len, &digest, NULL);
	const uint8_t *bytes = digest.bytes;
	uint32_t value = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
			 (uint32_t)bytes[2] << 8 | bytes[3];
	return err ? 9999 : value % 10000;
}

enum fate fate_of(const struct fate_plan *plan, const char *device, uint64_t release,
		  const char *version)
{
	if (plan->version && *plan->version && strcmp(plan->version, version) != 0)
		return FATE_SUCCEED;
	for (unsigned i = 0; i < plan->named_count; i++) {
		if (strcmp(plan->named[i].device, device) == 0)
			return plan->named[i].fate;
	}
	uint64_t drawn = draw(plan, device, release);
	for (int fate = FATE_SUCCEED + 1; fate < FATE_COUNT; fate++) {
		if (drawn < plan->share[fate])
			return (enum fate)fate;
		drawn -= plan->share[fate];
	}
	return FATE_SUCCEED;
}
