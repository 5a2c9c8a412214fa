/* Who is due when: a binary heap of deadlines, one for each member of the fleet. */
#pragma once

#include "why.h"

#include <stdint.h>

#define AGENDA_NEVER UINT64_MAX

struct agenda {
	uint64_t *due;	 /* by member */
	uint32_t *place; /* by member: index into heap */
	uint32_t *heap;	 /* members, the one due first at 0 */
	uint32_t count;
};

/* All members start as AGENDA_NEVER. */
enum ota_err agenda_init(struct agenda *agenda, uint32_t count,
			 struct ota_why *why) OTA_CHECKED;
void agenda_done(struct agenda *agenda);
void agenda_set(struct agenda *agenda, uint32_t member, uint64_t due_ms);
/* The earliest deadline and whose it is; count must not be 0. */
uint64_t agenda_first(const struct agenda *agenda, uint32_t *ret_member);
