/* Which segments of a slot are hashed before a download, to find out what is there already.
 *
 * Reading and hashing a slot costs as much as the download's own verification, and mostly for
 * nothing: the slot holds another version. So a few segments, spread over the image and the
 * first among them, are asked first; the rest only when one of those was right. What a stopped
 * download left always holds the first segments. A segment that is right and was not looked at
 * is fetched again, no more. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SCAN_SAMPLES 32u

struct scan {
	uint32_t count, step;
	bool promising;
};

void scan_begin(struct scan *scan, uint32_t segment_count);
/* The next to look at; false at the end. A sample may come a second time. */
bool scan_next(struct scan *scan, uint32_t *ret_segment);
/* What was looked at last is right. */
void scan_found(struct scan *scan);
