/* Shared by sim_device.c (the device, its images, what the plugin sees) and sim_device_agent.c
 * (the agent in it). Nobody else includes it. */
#pragma once

#include "sim_device.h"

/* The first violation counts. */
void sim_broken(struct sim_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* An error of the storage is a matter of course while the power is gone, and a defect else. */
bool sim_failed(struct sim_device *device, enum ota_err err, const struct ota_why *why);
size_t sim_image_size(const struct sim_scenario *scenario, unsigned image, unsigned part);
const uint8_t *sim_image_of(unsigned image, unsigned part);
const struct digest *sim_image_digest(const struct sim_scenario *scenario, unsigned image,
				      unsigned part);
const char *sim_slot_path(enum boot_slot slot, unsigned part);
const struct sim_release *sim_release_of(const struct sim_device *device, uint64_t number);
/* The plugin takes a report: its number must be new, or its bytes the same as before. */
void sim_plugin_receives(struct sim_device *device, uint64_t seq, const char *payload);
/* One life of the agent; true when it has nothing more to do. */
bool sim_agent_runs(struct sim_device *device);
