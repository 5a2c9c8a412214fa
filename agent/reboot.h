/* Where something else starts versions: a bootloader (block slots), a program of one's own
 * (exec slots), or a service manager (file slots without `command`). The boot state says what
 * runs. */
#pragma once

#include "host.h"

struct reboot_options {
	/* Restarts the machine, or the application; not needed where the slots restart. */
	const char *command;
	/* The boot selector is ours to run, before the command: file slots that something else
	 * supervises, and exec slots. What it could not switch is told as an exit. */
	bool selects;
	const struct slots *slots;
};

enum ota_err reboot_new(const struct reboot_options *options, struct runner *ret_runner,
			struct ota_why *why) OTA_CHECKED;
void reboot_free(struct runner *runner);
