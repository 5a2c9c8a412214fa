#include "echo.h"

#include <stdlib.h>
#include <string.h>

void echo_done(struct echo *echo)
{
	free(echo->samples);
	*echo = (struct echo){0};
}

void echo_clear(struct echo *echo)
{
	echo->count = 0;
}

void echo_add(struct echo *echo, uint64_t us)
{
	if (!echo->samples)
		echo->samples = calloc(ECHO_SAMPLES_MAX, sizeof(*echo->samples));
	if (!echo->samples)
		return;
	echo->samples[echo->count++ % ECHO_SAMPLES_MAX] =
		us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int order(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

	return (one > other) - (one < other);
}

void echo_figures(const struct echo *echo, struct echo_figures *ret_figures)
{
	size_t kept = echo->count < ECHO_SAMPLES_MAX ? (size_t)echo->count : ECHO_SAMPLES_MAX;
	uint32_t *sorted = kept ? malloc(kept * sizeof(*sorted)) : NULL;

	*ret_figures = (struct echo_figures){.count = echo->count};
	if (!sorted)
		return;
	memcpy(sorted, echo->samples, kept * sizeof(*sorted));
	qsort(sorted, kept, sizeof(*sorted), order);
	ret_figures->p50_us = sorted[kept / 2];
	ret_figures->p99_us = sorted[kept * 99 / 100];
	ret_figures->max_us = sorted[kept - 1];
	free(sorted);
}
