/* Which source is asked next: what is small comes from the device's own connection, what is
 * large from the first of the servers that the offer names and that are not dropped. */
#pragma once

#include "source.h"

struct supply_plan {
	const struct source *own;	 /* the device's own connection */
	const struct sources *bulk;	 /* NULL: none */
	const struct offer_source *urls; /* for bulk; must outlive the supply */
	unsigned url_count;
	uint64_t threshold; /* bytes to fetch from which on bulk is asked */
};

struct supply {
	struct supply_plan plan;
	const struct source *bulk[MESSAGE_SOURCES_MAX];
	unsigned at, count; /* those before `at` are dropped */
	bool is_open, own_is_dropped;
};

/* The source for so many bytes; NULL when each one is dropped. Servers are opened when they are
 * first wanted; should that fail, `why` says so, and the own connection is the answer. */
const struct source *supply_choose(struct supply *supply, uint64_t bytes, struct ota_why *why);
/* Gives the source up for good. False when there is no other: it is kept. */
bool supply_drop(struct supply *supply, const struct source *source);
void supply_close(struct supply *supply);
