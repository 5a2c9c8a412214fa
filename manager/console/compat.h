/* Operations that are several commands in turn: the device's settings in one PUT, the report as
 * CSV, and the calls that the field's existing scripts make. All run on a work thread. */
#pragma once

#include "server.h"

/* PUT …/devices/{device} {groups, notes, development, updates_disabled, status, desired_version
 * or desired_firmware_version (null unpins), flash}. `flash` asks the device to say hello again
 * now. */
void compat_put_device(void *exchange);
/* PUT …/firmware/release {version, product_default, groups, intelligent}: a release of that
 * version, fast when `intelligent`, signed by the configured signer; without one 422
 * `signature_required` with the exact bytes to sign. */
void compat_release_firmware(void *exchange);
/* GET …/releases/{number}/report.csv */
void compat_report_csv(void *exchange);
