/* The part of keep.h that is the queue of reports; only keep.c calls this. */
#pragma once

#include "keep.h"

/* Finds the reports that wait and the next number. */
enum ota_err keep_report_open(struct keep *keep, struct ota_why *why) OTA_CHECKED;
