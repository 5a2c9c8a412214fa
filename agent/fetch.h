/* Fetching one component of a firmware into the target slot.
 *
 * First the index, whose digest the signed manifest carries; then what is already in the slot
 * is hashed against it; then the missing segments are fetched from the packs of the offer: the
 * smallest one that is against the running image, then those that need no base. Every segment
 * has its SHA-256 checked before it is written. A pack that turns out wrong, or a base that is
 * damaged here and there, costs bytes and no more: what is still missing comes from the next
 * pack. Three bad segments in a row that need no base, and the source is dropped.
 *
 * What is small comes from the device's own connection, what is large from the first of the
 * servers that the offer names (bulk), as long as nothing is wrong with it: one lie, or nothing
 * to be had, and the next one goes on with what is missing, at last the own connection.
 *
 * No threads, no blocking: the agent hands answers in and calls fetch_step(). Memory: the index
 * (32 bytes a segment), one pack reader, at most a window of early chunks. */
#pragma once

#include "flow.h"
#include "holding.h"
#include "pack_read.h"
#include "slot.h"
#include "supply.h"

#define FETCH_BAD_IN_ROW 3u

struct fetch_plan {
	const struct firmware_component *component; /* must outlive the fetch */
	const struct offer_pack *packs;		    /* must outlive the fetch */
	unsigned pack_count;
	const struct slots *slots;
	unsigned part;
	/* The running image, when it was verified: a base for packs. base_size 0: none. */
	struct digest base;
	uint64_t base_size;
	struct supply_plan supply;
	uint64_t rate; /* bytes a second; 0: no limit */
};

enum fetch_phase {
	FETCH_INDEX = 0,
	FETCH_SCAN,
	FETCH_PACK,
	FETCH_COMPLETE,
};

struct fetch_progress {
	enum fetch_phase phase;
	uint64_t done, total; /* bytes of the image that are in the slot and verified */
	uint64_t fetched;     /* bytes received */
	unsigned dropped;     /* sources and packs that were given up */
	const char *source;
	struct ota_why last; /* why the last one was given up */
};

struct fetch; /* opaque */

enum ota_err fetch_new(const struct fetch_plan *plan, struct fetch **ret_fetch,
		       struct ota_why *why) OTA_CHECKED;
void fetch_free(struct fetch *fetch); /* NULL is fine */

/* An answer that came over the own connection; when a server is asked, it is too late. */
enum ota_err fetch_answer(struct fetch *fetch, uint64_t now_ms,
			  const struct source_answer *answer, struct ota_why *why) OTA_CHECKED;
/* Does what is due, at most one segment of hashing, and says when it wants to be called again.
 * `online` false: the own connection is down, nothing is asked of it. An error ends the
 * attempt.
 */
enum ota_err fetch_step(struct fetch *fetch, uint64_t now_ms, bool online,
			uint64_t *ret_next_ms, struct ota_why *why) OTA_CHECKED;
/* The own connection was made anew. */
void fetch_again(struct fetch *fetch);
void fetch_progress(const struct fetch *fetch, struct fetch_progress *ret_progress);
/* A descriptor that is readable when fetch_step() has something to do; -1: none. */
int fetch_fd(const struct fetch *fetch);
