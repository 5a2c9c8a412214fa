/* Asking all devices that are online to say hello again, a few at a time: what a welcome
 * carries (a new trust root) then reaches devices that stay connected for months. */
#pragma once

#include "name.h"

#include <stdbool.h>
#include <stdint.h>

#define SUMMON_SLICE 50 /* devices a turn, so that their hellos come spread out */
#define SUMMON_TURNS                                                                           \
	10 /* slices of the roster looked through in a turn for those that are online */
#define SUMMON_PAUSE_MS 100

struct service;

struct summon {
	bool going;
	char after[NAME_SIZE]; /* the last device that was asked */
	uint64_t next_ms;
};

/* Begins, or begins again, with the first device. */
void summon_start(struct summon *summon);
/* Asks the next slice if it is time. */
void summon_tick(struct summon *summon, struct service *service, uint64_t now_ms);
