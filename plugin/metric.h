/* Metrics: how long callbacks take. A histogram of fixed size with buckets a quarter of a power
 * of two wide (an error of at most 19 % in a quantile); adding costs a few instructions.
 *
 * Two clocks: the wall's, which is what other clients of the broker feel, and the thread's own
 * CPU time, which says whether it was our work or another process that the machine ran
 * meanwhile. Reading the second is a system call (0.25 µs). */
#pragma once

#include <stdbool.h>
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
	METRIC_DISCONNECT,
	METRIC_KIND_COUNT,
};
extern const char *const metric_kind_names[METRIC_KIND_COUNT];

struct metric {
	uint64_t count, total_us, max_us;
	uint32_t buckets[METRIC_BUCKETS];
	/* Of the thread's CPU time, where it was taken. */
	uint64_t cpu_count, max_cpu_us;
	uint32_t cpu_buckets[METRIC_BUCKETS];
};

struct metric_span {
	uint64_t wall_us, cpu_us; /* cpu_us 0: that clock is not read */
};

/* Starts a measurement; without `cpu` only the wall clock's. */
struct metric_span metric_begin(bool cpu);
/* Adds what passed since. */
void metric_end(struct metric *metric, const struct metric_span *span);
void metric_add(struct metric *metric, uint64_t us);
void metric_add_cpu(struct metric *metric, uint64_t cpu_us);
/* The upper edge of the bucket that holds this share (parts of a thousand), at most the
 * maximum; 0 when nothing was added. */
uint64_t metric_quantile(const struct metric *metric, unsigned per_mille);
/* The same of the CPU time. */
uint64_t metric_cpu_quantile(const struct metric *metric, unsigned per_mille);
