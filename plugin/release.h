/* A release as the engine runs it: the signed document, its state, its waves and its counts. */
#pragma once

#include "product.h"
#include "update.h"

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

enum release_event {
	RELEASE_EVENT_APPROVE = 0,
	RELEASE_EVENT_START, /* not_before has come */
	RELEASE_EVENT_HOLD,
	RELEASE_EVENT_RESUME,
	RELEASE_EVENT_ADVANCE,
	RELEASE_EVENT_HALT,
	RELEASE_EVENT_RETRY,
	RELEASE_EVENT_FINISH, /* every update is final */
	RELEASE_EVENT_REOPEN, /* an update is not final any more */
	RELEASE_EVENT_ABORT,
	RELEASE_EVENT_SUPERSEDE,
	RELEASE_EVENT_EXPIRE,
	RELEASE_EVENT_COUNT,
};

enum release_action {
	RELEASE_DO_NOTHING = 0,
	RELEASE_DO_START,    /* supersede the older, recompute targets */
	RELEASE_DO_WALK,     /* look for devices that may start */
	RELEASE_DO_FORGIVE,  /* accept the failures so far, then walk */
	RELEASE_DO_OPEN,     /* open the next wave */
	RELEASE_DO_ROLLBACK, /* if it was signed so: back to the previous slot */
	RELEASE_DO_RETRY,    /* new attempts for those that failed */
	RELEASE_DO_YIELD,    /* a release to one device gives way to the fleet's */
	RELEASE_DO_SWEEP,    /* it targets nobody any more: recompute */
	RELEASE_DO_COUNT,
};

struct release_step {
	enum release_state next;
	enum release_action action;
};

/* Pure. False when the event means nothing in this state. */
bool release_next(enum release_state state, enum release_event event,
		  struct release_step *ret_step);

struct release_tally {
	uint32_t counts[UPDATE_STATE_COUNT];
	uint32_t overdue;  /* of those restarting */
	uint32_t away;	   /* of those at work up to installed: not connected */
	uint32_t reverted; /* of those rolled back: because a manager wanted it */
	uint32_t forgiven; /* failures that a resume has accepted */
};

/* What went wrong, and how often: of the updates that carry an error. */
struct release_error {
	enum ota_err err;
	uint32_t count;
	const struct device *sample; /* one that had it last; perhaps it has not any more */
};

struct release {
	struct product *product;
	struct release_document document;
	struct firmware *firmware;
	struct group *group; /* RELEASE_TO_GROUP; NULL when it is gone */
	char *envelope;
	char manager[NAME_SIZE], approver[NAME_SIZE];
	enum release_state state;
	char *reason; /* of hold, halt, abort, or that it reaches nobody; NULL: none */
	bool fast_now, reverting;
	bool stored;	 /* only then anybody hears of it */
	uint64_t ticket; /* of its row */
	uint32_t wave;	 /* the newest open wave */
	uint64_t created_ms, changed_ms, started_ms;
	uint64_t wave_ms;    /* when that wave opened; 0: not even the first */
	uint64_t bake_ms;    /* since when it has met its shares; 0: it has not */
	uint32_t wave_count; /* ≥ 1 */
	uint32_t places;     /* held now; ≤ release_place_limit() */
	uint32_t counts[UPDATE_STATE_COUNT];
	struct release_tally *tallies; /* by wave: [wave_count] */
	struct release_error *errors;  /* in no order; some counts may be 0 */
	uint32_t error_count, error_room;
	uint64_t rate_bytes, rate_ms; /* token bucket of the byte rate */
	uint32_t grants;	      /* trials that wait for the store */
	uint64_t grant_ms;	      /* since when there are some */
	bool fanning;		      /* its offer is being fanned out */
	uint32_t fan_shard;	      /* next shard */
	uint64_t fan_ms;	      /* when the last was published; 0: not yet */
	uint32_t walk_at, walk_left;  /* the walk that starts updates */
	bool starved;		      /* somebody was refused for want of a place */
	bool reaches_nobody;	      /* and its reason says so */
};

/* Running, held, halted or done: it may be somebody's target. */
bool release_is_active(const struct release *release);
bool release_is_final(enum release_state state);
/* Fast, or standard whose deadline has passed. */
bool release_is_fast(const struct release *release);
/* By its document alone: is the device in the product, the group, or the one that is named? */
bool release_reaches(const struct release *release, const struct device *device);
/* The wave a device belongs to. */
uint32_t release_wave_of(const struct release *release, const struct device *device);
/* Both are for the same product, group or device. */
bool release_same_target(const struct release *a, const struct release *b);
/* Updates that are not final. */
uint32_t release_open(const struct release *release);
uint32_t release_total(const struct release *release); /* sum of the counts */
