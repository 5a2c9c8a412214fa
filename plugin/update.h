/* An update: one device's passage through one release. Its state is a fold of the device's
 * reports by (attempt, seq), overlaid by what the plugin alone can know (PROTOCOL.md, States).
 */
#pragma once

#include "message.h"

struct device;
struct release;

/* The evidence of the last failure; kept in memory so that errors can be grouped. */
struct update_error {
	enum ota_err err;
	enum update_state state; /* in which it happened */
	uint32_t detail;
	char message[];
};

enum update_flag {
	UPDATE_TOLD = 1,       /* its moment has come by the mode table: it may start */
	UPDATE_PLACE = 2,      /* holds one of the release's places (max_concurrent) */
	UPDATE_PENALTY = 4,    /* three failures: sits out until due_ms */
	UPDATE_WAITING = 8,    /* to be tried again at due_ms */
	UPDATE_CANCELING = 16, /* asked to stop; the device has not said so yet */
	UPDATE_REVERTING = 32, /* to go back to the previous slot */
	UPDATE_GRANTED = 64,   /* its trial has been stored and granted */
	UPDATE_OVERDUE = 128,  /* restarts for longer than a healthy device would */
	UPDATE_FRESH = 256, /* failed for a condition of the device; again at a later hello */
	UPDATE_DIRTY = 512, /* changed since it was last stored; in memory only */
	/* bits 12 to 15: the greatest rank that the device itself has reported in this attempt
	 */
};
#define UPDATE_RANK_SHIFT 12

struct update {
	struct device *device;
	struct release *release;
	struct update *older;
	struct update_error *error; /* NULL: none */
	uint64_t seq;		    /* greatest report folded in this attempt */
	uint64_t created_ms, changed_ms;
	uint64_t due_ms; /* when silence, a retry or the penalty ends; 0: never */
	uint64_t done, total;
	uint32_t timer;	  /* place in the heap of timers, from 1; 0: none */
	uint32_t attempt; /* 0: never offered */
	uint32_t event_s; /* second of the last event that was shown */
	uint32_t saved_s; /* second in which progress was last stored */
	uint16_t flags;
	uint8_t state; /* enum update_state */
	uint8_t wave, failures, round;
};

/* What the plugin itself does to an update or learns about it. */
enum update_event {
	UPDATE_EVENT_OFFER = 0, /* the offer goes out */
	UPDATE_EVENT_ALREADY,	/* it runs the target */
	UPDATE_EVENT_TRIAL,	/* hello from the new version on trial */
	UPDATE_EVENT_SILENCE,	/* its deadline has passed, although it is connected */
	UPDATE_EVENT_VANISH,	/* its deadline has passed, and it is not connected */
	UPDATE_EVENT_CANCEL,	/* the release was aborted */
	UPDATE_EVENT_SUPERSEDE,
	UPDATE_EVENT_REMOVE, /* the release does not target it any more */
	UPDATE_EVENT_LEAVE,  /* the device was denied, removed or moved away */
	UPDATE_EVENT_EXPIRE,
	UPDATE_EVENT_RETRY,  /* a new attempt after a failure */
	UPDATE_EVENT_REOPEN, /* the release targets it again */
	UPDATE_EVENT_REVERT, /* fleet rollback */
	UPDATE_EVENT_COUNT,
};

enum update_action {
	UPDATE_ACT_NONE = 0,
	UPDATE_ACT_OFFER,
	UPDATE_ACT_GRANT,
	UPDATE_ACT_TELL,  /* send cancel; needs no answer */
	UPDATE_ACT_ASK,	  /* send cancel and wait for what the device says */
	UPDATE_ACT_AGAIN, /* begin a new attempt */
	UPDATE_ACT_REVERT,
	UPDATE_ACT_COUNT,
};

struct update_step {
	enum update_state next;
	enum update_action action;
};

/* Pure. False when the event means nothing in this state. */
bool update_next(enum update_state state, enum update_event event,
		 struct update_step *ret_step);

/* How far a state is within an attempt; a greater rank never goes back to a smaller one. */
unsigned update_rank(enum update_state state);

/* The key of the fold: of any set of reports, whatever their order and however often each came,
 * the state is that of the report with the greatest key (attempt, rank, seq). */
struct update_key {
	uint32_t attempt;
	unsigned rank;
	uint64_t seq;
};
bool update_key_is_greater(const struct update_key *a, const struct update_key *b);

/* Failed in a way that counts against the release. */
bool update_state_is_bad(enum update_state state);
/* Offered and not final: the device is at work. */
bool update_state_is_busy(enum update_state state);
/* Too late to abort. */
bool update_state_is_committed(enum update_state state);
