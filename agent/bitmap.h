/* One bit for each segment of an image. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool bitmap_has(const uint8_t *map, uint32_t i)
{
	return map[i / 8] & (1u << (i % 8));
}

static inline void bitmap_set(uint8_t *map, uint32_t i)
{
	map[i / 8] = (uint8_t)(map[i / 8] | 1u << (i % 8));
}
