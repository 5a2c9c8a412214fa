#include "scan.h"

void scan_begin(struct scan *scan, uint32_t segment_count)
{
	*scan = (struct scan){.count = segment_count};
}

bool scan_next(struct scan *scan, uint32_t *ret_segment)
{
	const uint32_t samples = scan->count < SCAN_SAMPLES ? scan->count : SCAN_SAMPLES;

	if (scan->step < samples) {
		*ret_segment = (uint32_t)((uint64_t)scan->step * scan->count / samples);
	} else {
		if (!scan->promising || scan->step - samples >= scan->count)
			return false;
		*ret_segment = scan->step - samples;
	}
	scan->step++;
	return true;
}

void scan_found(struct scan *scan)
{
	scan->promising = true;
}
