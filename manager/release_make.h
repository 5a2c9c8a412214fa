/* `otactl release create` and `dry-run`: from the command line to a signed release document. */
#pragma once

#include "tool.h"

extern const struct verb_option release_make_options[];

enum ota_err release_make(struct tool *tool, bool dry_run, struct ota_why *why) OTA_CHECKED;
