#include "summon.h"

#include "own.h"
#include "service.h"

#include <string.h>

void summon_start(struct summon *summon)
{
	memset(summon, 0, sizeof(*summon));
	summon->going = true;
}

void summon_tick(struct summon *summon, struct service *service, uint64_t now_ms)
{
	const struct control rehello = {.v = 1, .type = CONTROL_REHELLO};
	const bool online = true;
	const struct device_filter filter = {.online = &online};
	const struct device *devices[SUMMON_SLICE];
	struct text json = {0};
	uint32_t count = 0;

	if (!summon->going || now_ms < summon->next_ms)
		return;
	summon->next_ms = now_ms + SUMMON_PAUSE_MS;
	for (unsigned turn = 0; turn < SUMMON_TURNS && summon->going && count == 0; turn++)
		count = engine_devices(service->engine, &filter, summon->after, devices,
				       SUMMON_SLICE, &summon->going);
	if (control_write(&rehello, &json, NULL) == OTA_OK)
		for (uint32_t i = 0; i < count; i++)
			outbox_json(service, TOPIC_CONTROL_DEVICE, devices[i]->id, &json, 1);
	text_done(&json);
}
