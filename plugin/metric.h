/* Metrics: how long callbacks take. A histogram of fixed size with buckets a quarter of a power
 * of two wide (an error of at most 19 % in a quantile); adding costs a few instructions. */
#pragma once

#include <stdint.h>

#define METRIC_BUCKETS 112 /* up to 2^28 µs: minutes */

enum metric_kind {
	METRIC_HELLO = 0,
	METRIC_REPORT,
	METRIC_GET,
	METRIC_CONSENT,
	METRIC_COMMAND,
	METRIC_UPLOAD,
	METRIC_ACL,
	METRIC_TICK,
	METRIC_CONNECT,
	METRIC_KIND_COUNT,
};
extern const char *const metric_kind_names[METRIC_KIND_COUNT];

struct metric {
	uint64_t count, total_us, max_us;
	uint32_t buckets[METRIC_BUCKETS];
};

void metric_add(struct metric *metric, uint64_t us);
/* The upper edge of the bucket that holds this share (parts of a thousand), at most the
 * maximum; 0 when nothing was added. */
uint64_t metric_quantile(const struct metric *metric, unsigned per_mille);
