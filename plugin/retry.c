#include "retry.h"

enum retry retry_decide(enum update_state state, enum ota_err err, uint32_t failures)
{
	bool silent = state == UPDATE_TIMED_OUT || state == UPDATE_LOST;
	enum ota_err_class class = silent ? OTA_CLASS_NETWORK : ota_err_class(err);

	if (class != OTA_CLASS_NETWORK && class != OTA_CLASS_DEVICE)
		return RETRY_NEVER;
	if (failures >= RETRY_ATTEMPTS_MAX)
		return RETRY_PENALTY;
	return silent || class == OTA_CLASS_DEVICE ? RETRY_CHANGED : RETRY_LATER;
}

uint64_t retry_delay(const uint64_t delays[3], uint32_t failures, uint32_t random)
{
	uint64_t most;

	switch (failures) {
	case 0:
	case 1:
		most = delays[0];
		break;
	case 2:
		most = delays[1];
		break;
	default:
		most = delays[2];
		break;
	}
	return 1 + random % (most ? most : 1);
}
