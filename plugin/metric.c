#include "metric.h"

#include <time.h>

const char *const metric_kind_names[METRIC_KIND_COUNT] = {
	[METRIC_HELLO] = "hello",     [METRIC_REPORT] = "report",
	[METRIC_GET] = "get",	      [METRIC_CONSENT] = "consent",
	[METRIC_COMMAND] = "command", [METRIC_UPLOAD] = "upload",
	[METRIC_ACL] = "acl",	      [METRIC_TICK] = "tick",
	[METRIC_CONNECT] = "connect", [METRIC_DISCONNECT] = "disconnect",
};

/* 0 … 3 have a bucket each; above, the highest bit and the two below it name the bucket. */
static unsigned bucket_of(uint64_t us)
{
	unsigned high, bucket;

	if (us < 4)
		return (unsigned)us;
	high = 63u - (unsigned)__builtin_clzll(us);
	bucket = (high - 1) * 4 + (unsigned)((us >> (high - 2)) & 3);
	return bucket < METRIC_BUCKETS ? bucket : METRIC_BUCKETS - 1;
}

static uint64_t bucket_edge(unsigned bucket)
{
	unsigned high = bucket / 4 + 1;

	if (bucket < 4)
		return bucket;
	return ((uint64_t)(bucket % 4) + 5) << (high - 2);
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

struct metric_span metric_begin(bool cpu)
{
	return (struct metric_span){
		.wall_us = clock_us(CLOCK_MONOTONIC),
		.cpu_us = cpu ? clock_us(CLOCK_THREAD_CPUTIME_ID) : 0,
	};
}

void metric_end(struct metric *metric, const struct metric_span *span)
{
	if (span->cpu_us)
		metric_add_cpu(metric, clock_us(CLOCK_THREAD_CPUTIME_ID) - span->cpu_us);
	metric_add(metric, clock_us(CLOCK_MONOTONIC) - span->wall_us);
}

void metric_add(struct metric *metric, uint64_t us)
{
	metric->count++;
	metric->total_us += us;
	metric->buckets[bucket_of(us)]++;
	if (us > metric->max_us)
		metric->max_us = us;
}

void metric_add_cpu(struct metric *metric, uint64_t cpu_us)
{
	metric->cpu_count++;
	metric->cpu_buckets[bucket_of(cpu_us)]++;
	if (cpu_us > metric->max_cpu_us)
		metric->max_cpu_us = cpu_us;
}

static uint64_t quantile(const uint32_t buckets[METRIC_BUCKETS], uint64_t count, uint64_t max,
			 unsigned per_mille)
{
	uint64_t need = (count * per_mille + 999) / 1000, seen = 0;

	if (count == 0)
		return 0;
	for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
		seen += buckets[i];
		if (seen >= need) {
			uint64_t edge = bucket_edge(i);

			return edge < max ? edge : max;
		}
	}
	return max;
}

uint64_t metric_quantile(const struct metric *metric, unsigned per_mille)
{
	return quantile(metric->buckets, metric->count, metric->max_us, per_mille);
}

uint64_t metric_cpu_quantile(const struct metric *metric, unsigned per_mille)
{
	return quantile(metric->cpu_buckets, metric->cpu_count, metric->max_cpu_us, per_mille);
}
