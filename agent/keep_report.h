/* The part of keep.h that is the queue of reports; only keep.c calls this. */
#pragma once

#include "keep.h"

/* Finds the reports that wait and the next number. */
enum ota_err keep_report_open(struct keep *keep, struct ota_why *why) OTA_CHECKED;
/* Makes the reserve unless it is there; where there is no room there is none. */
void keep_reserve_make(struct keep *keep);
/* Gives its room back to the file system; false when there was none. */
bool keep_reserve_give(struct keep *keep);
