#include "member.h"

#include <stdio.h>
#include <time.h>

uint64_t fleet_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t fleet_clock_ms(void)
{
	return fleet_clock_us() / 1000;
}

/* splitmix64 (Steele, Lea, Flood 2014): repeatable, and good enough for jitter. */
uint64_t fleet_random(struct fleet *fleet, uint64_t below)
{
	uint64_t value = fleet->random_state += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return (value ^ value >> 31) % below;
}

uint64_t fleet_about(struct fleet *fleet, uint64_t mean_ms)
{
	return mean_ms / 2 + fleet_random(fleet, mean_ms + 1);
}

void fleet_broken(struct fleet *fleet, const char *device, const struct ota_why *why)
{
	fleet->tally.broken++;
	snprintf(fleet->tally.last_broken, sizeof(fleet->tally.last_broken), "%s: %s: %s",
		 device, ota_err_name(why->err), why->text);
}

void fleet_mark(struct fleet *fleet)
{
	uint64_t now = fleet_clock_us();
	if (!fleet->tally.marked++)
		fleet->tally.first_us = now;
	fleet->tally.last_us = now;
}
