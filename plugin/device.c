#include "release.h"

const char *device_version(const struct device *device)
{
	return device->runs ? device->runs->version : "";
}

const char *device_hardware(const struct device *device)
{
	return word_text(device->hardware);
}

bool device_is_member(const struct device *device, const struct group *group)
{
	for (unsigned i = 0; i < device->group_count; i++) {
		if (device->groups[i] == group)
			return true;
	}
	return false;
}

struct update *device_update(const struct device *device, const struct release *release)
{
	for (struct update *update = device->updates; update; update = update->older) {
		if (update->release == release)
			return update;
	}
	return NULL;
}

struct update *device_update_in_hand(const struct device *device)
{
	for (struct update *update = device->updates; update; update = update->older) {
		if (!update_state_is_final((enum update_state)update->state))
			return update;
	}
	return NULL;
}
