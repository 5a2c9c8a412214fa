/* `otactl root rotate`: the next version of a trust root, from the command line to a signed
 * file. */
#pragma once

#include "tool.h"

extern const struct verb_option root_rotate_options[];

enum ota_err root_rotate(struct tool *tool, struct ota_why *why) OTA_CHECKED;
/* The root's file: the word that was given, else the configuration's. */
enum ota_err root_rotate_path(struct tool *tool, const char **ret_path,
			      struct ota_why *why) OTA_CHECKED;
