/* A release as the engine runs it: the signed document, its state, its waves and its counts. */
#pragma once

#include "product.h"

enum release_state {
	RELEASE_UNAPPROVED = 0, /* waits for the second person */
	RELEASE_SCHEDULED,	/* not_before is still to come */
	RELEASE_RUNNING,
	RELEASE_HELD,	/* a manager stopped it; resume goes on */
	RELEASE_HALTED, /* it stopped itself: too many failures, or grants that stopped */
	RELEASE_DONE,	/* every wave is open and each of its updates is final */
	RELEASE_ABORTED,
	RELEASE_SUPERSEDED, /* a newer release has the same target */
	RELEASE_EXPIRED,
	RELEASE_STATE_COUNT,
};
extern const char *const release_state_names[]; /* ends with NULL */

struct release_error {
	enum ota_err err;
	uint32_t count;
	char device[NAME_SIZE]; /* one of them */
};

struct release {
	struct product *product;
	struct release_document document;
	struct firmware *firmware;
	struct group *group; /* RELEASE_TO_GROUP */
	char *envelope;
	char manager[NAME_SIZE], approver[NAME_SIZE];
	enum release_state state;
	char *reason; /* of hold, halt, abort; NULL: none */
	bool fast_now, reverting;
	bool fanning;	    /* its offer is being fanned out */
	uint32_t fan_shard; /* next shard */
	uint32_t wave;	    /* the newest open wave */
	uint64_t created_ms, changed_ms, started_ms;
	uint64_t wave_ms;	      /* when that wave opened */
	uint64_t bake_ms;	      /* since when it has met its shares; 0: it has not */
	uint32_t wave_count;	      /* ≥ 1 */
	uint32_t places;	      /* held now; ≤ the limit */
	uint64_t rate_bytes, rate_ms; /* token bucket of the byte rate */
	uint64_t grant_ms; /* of the oldest trial whose grant is still not stored; 0: none */
	uint32_t counts[UPDATE_STATE_COUNT];
	uint32_t (*wave_counts)[UPDATE_STATE_COUNT]; /* [wave_count] */
	struct release_error *errors;		     /* grouped */
	uint32_t error_count, error_room;
	uint32_t walk; /* next device of the walk that starts updates */
	bool dirty;    /* its waves are to be judged at the next tick */
};

/* Running, held or halted: it is somebody's target. */
bool release_is_active(const struct release *release);
bool release_is_final(enum release_state state);
/* Fast, or standard whose deadline has passed. */
bool release_is_fast(const struct release *release);
bool release_reaches(const struct release *release, const struct device *device);
uint32_t release_total(const struct release *release); /* sum of the counts */
