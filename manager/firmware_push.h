/* `otactl firmware push`: packs an image, uploads index and packs, registers the manifest, then
 * adds packs against what runs in the field. */
#pragma once

#include "tool.h"

enum ota_err firmware_push(struct tool *tool, struct ota_why *why) OTA_CHECKED;
